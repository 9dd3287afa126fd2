/* linear_rows_avx2.c - core of linear for integer weights of layout "row" and 8-bit activations: a
 * row of w becomes bytes and scales once, then meets every row of x.
 *
 * Eight lanes, each the four products of every block of 32 that fall to it: lane j of a block holds
 * elements 4 j to 4 j + 3, so sub-blocks of 16 are lanes 0 to 3 and 4 to 7.  Lanes are added across
 * at the end; minima are summed beside, over lanes of their own. */
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/linear.h"

enum { BLOCK = 32, ROWS_AT_ONCE = 4 };

typedef struct int_row { /* a decoded row */
    int8_t *q;           /* [K] */
    float *d;            /* [K / 16], twice each for sub-blocks of 32 */
    float *m;            /* likewise */
    float *by_sub;       /* [2][K / 16]: d and m as decoded */
} int_row;

static int_row int_row_in(const tri_linear *l, uint8_t *scratch) {
    int64_t n = tri_round_up(l->k / 16, 8);
    float *d = (float *)(void *)scratch;
    return (int_row){.d = d, .m = d + n, .by_sub = d + 2 * n, .q = (int8_t *)(d + 4 * n)};
}

static int64_t scratch_bytes(const tri_linear *l) {
    return tri_round_up(l->k / 16, 8) * 16 + l->k;
}

static void unpack_i4(const uint8_t *bytes, int8_t *q, int64_t n) {
    for (int64_t i = 0; i < n / 2; i++) { /* sign extension of each nibble */
        q[2 * i] = (int8_t)((bytes[i] & 15) - ((bytes[i] & 8) << 1));
        q[2 * i + 1] = (int8_t)((bytes[i] >> 4) - ((bytes[i] & 128) >> 3));
    }
}

static void decode_row(const tri_linear_run *run, int64_t row, const int_row *out) {
    const tri_linear *l = run->linear;
    const uint8_t *bytes = run->weight + row * run->weight_stride;
    tri_int_form form = tri_int_form_of(l->dtype);
    int64_t n = l->k / 16;
    if (form.sub == 16) {
        tri_int_decode_avx2(l->dtype, bytes, l->k, out->q, out->d, out->m);
        return;
    }
    float *d = out->by_sub, *m = out->by_sub + n / 2;
    if (form.sub == 32) {
        tri_int_decode_avx2(l->dtype, bytes, l->k, out->q, d, m);
    } else {
        for (int64_t b = 0; b < n / 2; b++)
            d[b] = tri_linear_scale(run, row, b * BLOCK);
        if (l->dtype == TRI_I8)
            memcpy(out->q, bytes, (size_t)l->k);
        else
            unpack_i4(bytes, out->q, l->k);
    }
    for (int64_t b = 0; b < n / 2; b++)
        out->d[2 * b] = out->d[2 * b + 1] = d[b];
    if (!form.has_min) return;
    for (int64_t b = 0; b < n / 2; b++)
        out->m[2 * b] = out->m[2 * b + 1] = m[b];
}

/* Sums of `n` rows of x, [K] bytes and [K / 32] scales each. */
TRI_INLINE void dot_rows(const int64_t n, const int_row *w, const int8_t *x, const float *scales,
    int64_t k, float *sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256 acc[ROWS_AT_ONCE];
#pragma GCC unroll 4
    for (int64_t r = 0; r < n; r++)
        acc[r] = _mm256_setzero_ps();
    for (int64_t b = 0; b < k / BLOCK; b++) {
        __m256i q = tri_load_i(w->q + b * BLOCK), magnitude = _mm256_abs_epi8(q);
        __m256 d = _mm256_set_m128(_mm_set1_ps(w->d[2 * b + 1]), _mm_set1_ps(w->d[2 * b]));
#pragma GCC unroll 4
        for (int64_t r = 0; r < n; r++) {
            __m256i signed_x = _mm256_sign_epi8(tri_load_i(x + r * k + b * BLOCK), q);
            __m256i dot = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, signed_x), ones);
            __m256 scale = _mm256_mul_ps(d, _mm256_broadcast_ss(scales + r * (k / BLOCK) + b));
            acc[r] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dot), acc[r]);
        }
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < n; r++)
        sums[r] = tri_sum_lanes(acc[r]);
}

/* Sum of m times the scaled sums of x, by lanes of sub-blocks of 16. */
static float dot_minima(const float *m, const float *scaled_sums, int64_t n) {
    __m256 acc = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        acc = _mm256_fmadd_ps(_mm256_loadu_ps(m + i), _mm256_loadu_ps(scaled_sums + i), acc);
    }
    float sum = tri_sum_lanes(acc);
    for (; i < n; i++)
        sum += m[i] * scaled_sums[i];
    return sum;
}

static void rows_i8(const tri_linear_run *run) {
    const tri_linear *l = run->linear;
    int_row w = int_row_in(l, run->scratch);
    bool has_min = tri_int_form_of(l->dtype).has_min;
    for (int64_t row = run->first; row < run->last; row++) {
        decode_row(run, row, &w);
        for (int64_t m = 0; m < run->n_rows;) {
            float sums[ROWS_AT_ONCE];
            const int8_t *x = run->x.i8 + m * l->k;
            const float *scales = run->x.scales + m * (l->k / BLOCK);
            int64_t n = run->n_rows - m < ROWS_AT_ONCE ? 1 : ROWS_AT_ONCE;
            if (n == ROWS_AT_ONCE)
                dot_rows(ROWS_AT_ONCE, &w, x, scales, l->k, sums);
            else
                dot_rows(1, &w, x, scales, l->k, sums);
            for (int64_t r = 0; r < n; r++, m++) {
                if (has_min) {
                    sums[r] += dot_minima(w.m, run->x.scaled_sums + m * (l->k / 16), l->k / 16);
                }
                tri_linear_store(run, m, row, 1, &sums[r]);
            }
        }
    }
}

const tri_linear_variant tri_linear_rows_i8_avx2 = {
    .layout = "row", .form = TRI_X_ROWS_I8, .core = rows_i8, .scratch_bytes = scratch_bytes};
