#include "kernels/cpu/linear_x.h"

#include <math.h>
#include <string.h>

#include "base/codec.h"

enum { PIECE = 256, BLOCK = 32 }; /* columns of x prepared at a time */

tri_linear_places tri_linear_place(
    const tri_linear *l, const tri_linear_variant *variant, int64_t n_rows) {
    tri_linear_places p = {0};
    int64_t n = n_rows * l->k, n_blocks = n / BLOCK, at = 0;
    bool i16 = variant->form == TRI_X_TILES_I16, tiles = variant->form == TRI_X_TILES_I8 || i16;
    if (variant->form == TRI_X_ROWS_F32 || variant->form == TRI_X_TILES_F32) {
        p.f32 = at;
        at += tri_round_up(n * 4, TRI_CACHE_LINE);
    } else if (variant->form == TRI_X_TILES_BF16) {
        p.bf16 = at;
        at += tri_round_up(n_rows, 16) * tri_round_up(l->k, 32) * 2;
    } else {
        p.i8 = at;
        at += tri_round_up(n, TRI_CACHE_LINE);
        p.i8_low = at;
        at += i16 ? tri_round_up(n, TRI_CACHE_LINE) : 0;
        p.scales = at;
        at += tri_round_up(n_blocks * 4, TRI_CACHE_LINE);
        p.scaled_sums = at;
        at += tri_round_up(n_blocks * (tiles ? 4 : 8), TRI_CACHE_LINE);
        p.sums = at;
        at += tiles ? tri_round_up(n_blocks * 8, TRI_CACHE_LINE) : 0;
    }
    p.end_bytes = at;
    return p;
}

/* ---- rounding ---- */

static void round_bf16(const float *x, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        out[i] = tri_bf16_to_f32(tri_f32_to_bf16(x[i]));
}

static void round_i8(const float *x, float *out, int64_t n) {
    int8_t q[PIECE];
    float scales[PIECE / BLOCK];
    tri_quantize_activations(x, q, scales, n);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)q[i] * scales[i / BLOCK];
}

static void round_x(tri_x_rounding rounding, const float *x, float *out, int64_t n) {
    switch (rounding) {
    case TRI_X_F32:
        memcpy(out, x, (size_t)n * sizeof *x);
        break;
    case TRI_X_BF16:
        round_bf16(x, out, n);
        break;
    case TRI_X_I8:
        round_i8(x, out, n);
        break;
    }
}

/* ---- one piece of one row ---- */

typedef struct place_in_tile { /* of a row of x: element k of it is at base + k * size + lane */
    int64_t base;              /* of the tile, in elements of one column */
    int32_t size, lane;
} place_in_tile;

static place_in_tile find_place(const tri_tiling *t, int64_t row) {
    int64_t in_large = t->n_large * (t->small + 1);
    int64_t small = t->small > 0 ? t->small : 1; /* 0: no rows, and no place is sought */
    int64_t tile = row < in_large ? row / (t->small + 1) : t->n_large + (row - in_large) / small;
    int64_t first = tri_tile_first(t, tile);
    return (place_in_tile){first, tri_tile_size(t, tile), (int32_t)(row - first)};
}

static int32_t sum_of(const int8_t *q, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += q[i];
    return sum;
}

static void rows_i8_piece(const tri_linear *l, uint8_t *base, const tri_linear_places *p,
    const float *x, int64_t row, int64_t k0, int64_t n) {
    int8_t *q = (int8_t *)(base + p->i8) + row * l->k + k0;
    float *scales = (float *)(void *)(base + p->scales) + (row * l->k + k0) / BLOCK;
    float *sums = (float *)(void *)(base + p->scaled_sums) + (row * l->k + k0) / (BLOCK / 2);
    tri_quantize_activations(x, q, scales, n);
    for (int64_t i = 0; i < n / 16; i++)
        sums[i] = scales[i / 2] * (float)sum_of(q + i * 16, 16);
}

static void tiles_f32_piece(const tri_linear *l, uint8_t *base, const tri_linear_places *p,
    const float *x, place_in_tile at, int64_t k0, int64_t n) {
    float *out = (float *)(void *)(base + p->f32) + at.base * l->k + k0 * at.size + at.lane;
    if (at.size == 1) {
        round_x(l->rounding, x, out, n);
        return;
    }
    float rounded[PIECE];
    round_x(l->rounding, x, rounded, n);
    for (int64_t i = 0; i < n; i++)
        out[i * at.size] = rounded[i];
}

/* Blocks of 32 as 16-bit integers, |q| <= 32512 so that the upper byte of any is at most 127. */
static void quantize_i16(const float *x, int16_t *q, float *scales, int64_t n) {
    const float most = 32512.0f;
    for (int64_t b = 0; b < n / BLOCK; b++, x += BLOCK, q += BLOCK) {
        float largest = 0.0f;
        for (int32_t i = 0; i < BLOCK; i++) {
            float a = fabsf(x[i]);
            largest = a > largest ? a : largest;
        }
        float inverse = largest > 0.0f ? most / largest : 0.0f;
        scales[b] = largest / most;
        for (int32_t i = 0; i < BLOCK; i++) {
            float v = x[i] * inverse;
            v = v < most ? v : most; /* NaN and infinity too */
            v = v > -most ? v : -most;
            q[i] = (int16_t)(v + (v < 0.0f ? -0.5f : 0.5f));
        }
    }
}

static int32_t sum_of_i16(const int16_t *q, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += q[i];
    return sum;
}

static void tiles_i16_piece(const tri_linear *l, uint8_t *base, const tri_linear_places *p,
    const float *x, place_in_tile at, int64_t k0, int64_t n) {
    float rounded[PIECE], scales[PIECE / BLOCK];
    int16_t q[PIECE] = {0};
    int8_t high[PIECE], low[PIECE];
    round_x(l->rounding, x, rounded, n);
    quantize_i16(rounded, q, scales, n);
    for (int64_t i = 0; i < n; i++) {
        low[i] = (int8_t)(((q[i] + 128) & 255) - 128);
        high[i] = (int8_t)((q[i] - low[i]) / 256);
    }
    int64_t quad = (at.base * l->k + k0 * at.size) / 4 + at.lane;
    for (int64_t i = 0; i < n / 4; i++, quad += at.size) {
        memcpy(base + p->i8 + quad * 4, high + i * 4, 4);
        memcpy(base + p->i8_low + quad * 4, low + i * 4, 4);
    }
    int64_t block = (at.base * l->k + k0 * at.size) / BLOCK + at.lane;
    float *out_scales = (float *)(void *)(base + p->scales);
    float *scaled_sums = (float *)(void *)(base + p->scaled_sums);
    int32_t *sums = (int32_t *)(void *)(base + p->sums);
    for (int64_t i = 0; i < n / BLOCK; i++, block += at.size) {
        int32_t first = sum_of_i16(q + i * BLOCK, 16), second = sum_of_i16(q + i * BLOCK + 16, 16);
        int64_t half = 2 * (block - at.lane) + at.lane;
        out_scales[block] = scales[i];
        scaled_sums[block] = scales[i] * (float)(first + second);
        sums[half] = first;
        sums[half + at.size] = second;
    }
}

static void tiles_i8_piece(const tri_linear *l, uint8_t *base, const tri_linear_places *p,
    const float *x, place_in_tile at, int64_t k0, int64_t n) {
    int8_t q[PIECE];
    float scales[PIECE / BLOCK];
    tri_quantize_activations(x, q, scales, n);

    int64_t quad = (at.base * l->k + k0 * at.size) / 4 + at.lane;
    for (int64_t i = 0; i < n / 4; i++, quad += at.size) {
        memcpy(base + p->i8 + quad * 4, q + i * 4, 4);
    }
    int64_t block = (at.base * l->k + k0 * at.size) / BLOCK + at.lane;
    float *out_scales = (float *)(void *)(base + p->scales);
    float *scaled_sums = (float *)(void *)(base + p->scaled_sums);
    int32_t *sums = (int32_t *)(void *)(base + p->sums);
    for (int64_t i = 0; i < n / BLOCK; i++, block += at.size) {
        int32_t first = sum_of(q + i * BLOCK, 16), second = sum_of(q + i * BLOCK + 16, 16);
        int64_t half = 2 * (block - at.lane) + at.lane;
        out_scales[block] = scales[i];
        scaled_sums[block] = scales[i] * (float)(first + second);
        sums[half] = first;
        sums[half + at.size] = second;
    }
}

static void tiles_bf16_piece(const tri_linear *l, uint8_t *base, const tri_linear_run *run,
    const tri_linear_places *p, const float *x, int64_t row, int64_t k0, int64_t n) {
    uint16_t *tiles = (uint16_t *)(void *)(base + p->bf16);
    int64_t at = row / 16 * 16 * tri_round_up(l->k, 32) + k0 * 16 + row % 16 * 32;
    run->variant->round_bf16(x, n, tiles + at);
}

/* ---- all of it ---- */

bool tri_linear_prepare(
    tri_linear_run *run, const tri_plugin_tensor *x, const tri_plugin_launch *launch) {
    const tri_linear *l = run->linear;
    tri_x_form form = run->variant->form;
    bool as_it_is = l->rounding == TRI_X_F32 &&
                    (form == TRI_X_ROWS_F32 || (form == TRI_X_TILES_F32 && run->n_rows == 1));
    if (as_it_is) {
        run->x.f32 = x->data;
        run->x.row_stride = x->row_stride_bytes / (int64_t)sizeof(float);
        return false;
    }
    uint8_t *base = launch->workspace;
    tri_linear_places p = tri_linear_place(l, run->variant, run->n_rows);
    run->x = (tri_linear_x){.f32 = (const float *)(void *)(base + p.f32),
        .row_stride = l->k,
        .i8 = (const int8_t *)(base + p.i8),
        .i8_low = (const int8_t *)(base + p.i8_low),
        .scales = (const float *)(void *)(base + p.scales),
        .scaled_sums = (const float *)(void *)(base + p.scaled_sums),
        .sums = (const int32_t *)(void *)(base + p.sums),
        .bf16 = (const uint16_t *)(void *)(base + p.bf16)};

    tri_tiling tiling = tri_tile_rows(run->n_rows, run->variant->tile ? run->variant->tile : 1);
    int64_t n_pieces = (l->k + PIECE - 1) / PIECE, first, last;
    tri_launch_share(launch, run->n_rows * n_pieces, &first, &last);
    for (int64_t item = first; item < last; item++) {
        int64_t row = item / n_pieces, k0 = item % n_pieces * PIECE;
        int64_t n = l->k - k0 < PIECE ? l->k - k0 : PIECE;
        const float *in = tri_row_f32(x, row) + k0;
        switch (form) {
        case TRI_X_ROWS_F32:
            round_x(l->rounding, in, (float *)(void *)(base + p.f32) + row * l->k + k0, n);
            break;
        case TRI_X_ROWS_I8:
            rows_i8_piece(l, base, &p, in, row, k0, n);
            break;
        case TRI_X_TILES_F32:
            tiles_f32_piece(l, base, &p, in, find_place(&tiling, row), k0, n);
            break;
        case TRI_X_TILES_I8:
            tiles_i8_piece(l, base, &p, in, find_place(&tiling, row), k0, n);
            break;
        case TRI_X_TILES_I16:
            tiles_i16_piece(l, base, &p, in, find_place(&tiling, row), k0, n);
            break;
        case TRI_X_TILES_BF16:
            tiles_bf16_piece(l, base, run, &p, in, row, k0, n);
            break;
        }
    }
    return true;
}
