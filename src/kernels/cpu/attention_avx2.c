#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/attention_load_body.h"
#include "kernels/cpu/tile_f32_avx2.h"

enum { TILE = TRI_TILE_ROWS };

#define MULTIPLY(m)                                                                                \
    case m:                                                                                        \
        tri_tile_f32(TRI_TILE_F32, m, 1, (const uint8_t *)panel, x, n, strides, true, sums);       \
        break;

static void multiply(const float *panel, const float *x, int64_t x_stride, int64_t m, int64_t n,
    float *sums, int64_t sums_stride) {
    tri_tile_strides strides = {.x_k = 1, .x_row = x_stride, .sums_row = sums_stride};
    for (int64_t left = m; left > 0; left -= TILE) {
        switch (left < TILE ? left : TILE) {
            MULTIPLY(1)
            MULTIPLY(2)
            MULTIPLY(3)
            MULTIPLY(4)
            MULTIPLY(5)
        default:
            MULTIPLY(6)
        }
        x += TILE * x_stride;
        sums += TILE * sums_stride;
    }
}

/* m rows against 16 columns of V where it lies. */
TRI_INLINE void values_tile(const int32_t dtype, const int64_t m, const uint8_t *const *rows,
    const float *x, int64_t x_stride, int64_t n, int64_t column, int64_t width, float *sums,
    int64_t sums_stride) {
    __m256 acc[TILE][2];
#pragma GCC unroll 6
    for (int64_t r = 0; r < m; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < n; k++) {
        __m256 a = load_up_to_8(dtype, rows[k], column, width);
        __m256 b =
            width > 8 ? load_up_to_8(dtype, rows[k], column + 8, width - 8) : _mm256_setzero_ps();
#pragma GCC unroll 6
        for (int64_t r = 0; r < m; r++) {
            __m256 p = _mm256_broadcast_ss(x + r * x_stride + k);
            acc[r][0] = _mm256_fmadd_ps(a, p, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(b, p, acc[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int64_t r = 0; r < m; r++) {
        _mm256_storeu_ps(sums + r * sums_stride, acc[r][0]);
        _mm256_storeu_ps(sums + r * sums_stride + 8, acc[r][1]);
    }
}

TRI_INLINE void values_tiles(const int32_t dtype, const int64_t m, const uint8_t *const *rows,
    const float *x, int64_t x_stride, int64_t n, int64_t d, float *sums, int64_t sums_stride) {
    int64_t column = 0;
    for (; column + COLUMNS <= d; column += COLUMNS) {
        values_tile(dtype, m, rows, x, x_stride, n, column, COLUMNS, sums + column, sums_stride);
    }
    if (column < d) {
        values_tile(dtype, m, rows, x, x_stride, n, column, d - column, sums + column, sums_stride);
    }
}

TRI_INLINE bool values_of(const int32_t dtype, const uint8_t *const *rows, const float *x,
    int64_t x_stride, int64_t m, int64_t n, int64_t d, float *sums, int64_t sums_stride) {
    switch (m) {
    case 1:
        values_tiles(dtype, 1, rows, x, x_stride, n, d, sums, sums_stride);
        return true;
    case 2:
        values_tiles(dtype, 2, rows, x, x_stride, n, d, sums, sums_stride);
        return true;
    case 3:
        values_tiles(dtype, 3, rows, x, x_stride, n, d, sums, sums_stride);
        return true;
    case 4:
        values_tiles(dtype, 4, rows, x, x_stride, n, d, sums, sums_stride);
        return true;
    case 5:
        values_tiles(dtype, 5, rows, x, x_stride, n, d, sums, sums_stride);
        return true;
    case 6:
        values_tiles(dtype, 6, rows, x, x_stride, n, d, sums, sums_stride);
        return true;
    default:
        return false;
    }
}

static bool multiply_values(int32_t dtype, const uint8_t *const *rows, const float *x,
    int64_t x_stride, int64_t m, int64_t n, int64_t d, float *sums, int64_t sums_stride) {
    switch (dtype) {
    case TRI_F32:
        return values_of(TRI_F32, rows, x, x_stride, m, n, d, sums, sums_stride);
    case TRI_BF16:
        return values_of(TRI_BF16, rows, x, x_stride, m, n, d, sums, sums_stride);
    default:
        return values_of(TRI_F16, rows, x, x_stride, m, n, d, sums, sums_stride);
    }
}

const tri_attention_functions tri_attention_avx2 = {.load_keys = load_keys,
    .load_values = load_values,
    .multiply = multiply,
    .multiply_values = multiply_values,
    .softmax = softmax,
    .merge = merge};
