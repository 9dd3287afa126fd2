/* linear_rows.c - cores of linear in plain C over weights of layout "row": one row of w is decoded,
 * then meets every row of x. */
#include <string.h>

#include "kernels/cpu/linear.h"

enum { BLOCK = 32, LANES = 16 };

/* ---- float ---- */

/* Lane j sums elements j, j + 16 ...; then pairs of lanes. */
static float dot_f32(const float *x, const float *w, int64_t n) {
    float lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int32_t j = 0; j < LANES; j++)
            lanes[j] += x[i + j] * w[i + j];
    }
    for (int32_t j = 0; i + j < n; j++)
        lanes[j] += x[i + j] * w[i + j];
    for (int32_t width = LANES / 2; width > 0; width /= 2) {
        for (int32_t j = 0; j < width; j++)
            lanes[j] += lanes[j + width];
    }
    return lanes[0];
}

static void rows_f32(const tri_linear_run *run) {
    const tri_linear *l = run->linear;
    float *w = (float *)(void *)run->scratch;
    for (int64_t row = run->first; row < run->last; row++) {
        tri_linear_decode_row(run, row, 0, l->k, w);
        for (int64_t m = 0; m < run->n_rows; m++) {
            float sum = dot_f32(run->x.f32 + m * run->x.row_stride, w, l->k);
            tri_linear_store(run, m, row, 1, &sum);
        }
    }
}

static int64_t rows_f32_scratch(const tri_linear *l) {
    return l->k * 4;
}

const tri_linear_variant tri_linear_rows_f32 = {
    .layout = "row", .form = TRI_X_ROWS_F32, .core = rows_f32, .scratch_bytes = rows_f32_scratch};

/* ---- integer ---- */

typedef struct int_row { /* a decoded row: q [K], d and m [K / sub] */
    int8_t *q;
    float *d, *m;
    int32_t sub;
    bool has_min;
} int_row;

static int_row int_row_in(const tri_linear *l, uint8_t *scratch) {
    tri_int_form form = tri_int_form_of(l->dtype);
    int32_t sub = form.sub ? form.sub : BLOCK;
    float *d = (float *)(void *)scratch, *m = d + l->k / sub;
    return (int_row){
        .q = (int8_t *)(m + l->k / sub), .d = d, .m = m, .sub = sub, .has_min = form.has_min};
}

static void decode_int_row(const tri_linear_run *run, int64_t row, const int_row *out) {
    const tri_linear *l = run->linear;
    const uint8_t *bytes = run->weight + row * run->weight_stride;
    if (l->dtype != TRI_I8 && l->dtype != TRI_I4) {
        tri_int_decode_generic(l->dtype, bytes, l->k, out->q, out->d, out->m);
        return;
    }
    for (int64_t b = 0; b < l->k / BLOCK; b++)
        out->d[b] = tri_linear_scale(run, row, b * BLOCK);
    if (l->dtype == TRI_I8) {
        memcpy(out->q, bytes, (size_t)l->k);
        return;
    }
    for (int64_t i = 0; i < l->k / 2; i++) { /* sign extension of each nibble */
        out->q[2 * i] = (int8_t)((bytes[i] & 15) - ((bytes[i] & 8) << 1));
        out->q[2 * i + 1] = (int8_t)((bytes[i] >> 4) - ((bytes[i] & 128) >> 3));
    }
}

static float dot_int(const int_row *w, const int8_t *x, const float *scales, int64_t k) {
    float sum = 0.0f;
    for (int64_t j = 0; j < k / w->sub; j++) {
        const int8_t *a = w->q + j * w->sub, *b = x + j * w->sub;
        float scale = scales[j * w->sub / BLOCK];
        int32_t dot = 0, x_sum = 0;
        for (int32_t i = 0; i < w->sub; i++)
            dot += a[i] * b[i];
        sum = sum + w->d[j] * scale * (float)dot;
        if (!w->has_min) continue;
        for (int32_t i = 0; i < w->sub; i++)
            x_sum += b[i];
        sum = sum + w->m[j] * (scale * (float)x_sum);
    }
    return sum;
}

static void rows_i8(const tri_linear_run *run) {
    const tri_linear *l = run->linear;
    int_row w = int_row_in(l, run->scratch);
    for (int64_t row = run->first; row < run->last; row++) {
        decode_int_row(run, row, &w);
        for (int64_t m = 0; m < run->n_rows; m++) {
            float sum = dot_int(&w, run->x.i8 + m * l->k, run->x.scales + m * l->k / BLOCK, l->k);
            tri_linear_store(run, m, row, 1, &sum);
        }
    }
}

static int64_t rows_i8_scratch(const tri_linear *l) {
    return l->k + l->k / 16 * 8;
}

const tri_linear_variant tri_linear_rows_i8 = {
    .layout = "row", .form = TRI_X_ROWS_I8, .core = rows_i8, .scratch_bytes = rows_i8_scratch};
