/* attention_avx512.c - the chains of attention_avx2.c, bit for bit, 16 columns in one register. */
#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/attention_load_body.h"
#include "kernels/cpu/avx512.h"

enum { TILE = 12 };

/* ---- scores, and values of many rows ---- */

TRI_INLINE void multiply_tile(const int64_t m, const float *panel, const float *x, int64_t x_stride,
    int64_t n, float *sums, int64_t sums_stride) {
    __m512 acc[TILE];
#pragma GCC unroll 12
    for (int64_t r = 0; r < m; r++)
        acc[r] = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k++) {
        __m512 w = _mm512_loadu_ps(panel + k * COLUMNS);
#pragma GCC unroll 12
        for (int64_t r = 0; r < m; r++)
            acc[r] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[r * x_stride + k]), acc[r]);
    }
#pragma GCC unroll 12
    for (int64_t r = 0; r < m; r++)
        _mm512_storeu_ps(sums + r * sums_stride, acc[r]);
}

#define EACH_ROW_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)

#define MULTIPLY(m)                                                                                \
    case m:                                                                                        \
        multiply_tile(m, panel, x, x_stride, n, sums, sums_stride);                                \
        break;

static void multiply(const float *panel, const float *x, int64_t x_stride, int64_t m, int64_t n,
    float *sums, int64_t sums_stride) {
    for (int64_t left = m; left > 0; left -= TILE) {
        switch (left < TILE ? left : TILE) {
            EACH_ROW_COUNT(MULTIPLY)
        default:
            break;
        }
        x += TILE * x_stride;
        sums += TILE * sums_stride;
    }
}

/* ---- values of few rows, where they lie ---- */

TRI_INLINE __m512 load_16(const int32_t dtype, const uint8_t *row, int64_t at) {
    if (dtype == TRI_F32) return _mm512_loadu_ps((const float *)(const void *)row + at);
    return dtype == TRI_BF16 ? tri_load16_bf16(row + at * 2) : tri_load16_f16(row + at * 2);
}

/* width < 16 of them, zeros beside. */
static __m512 load_part(int32_t dtype, const uint8_t *row, int64_t at, int64_t width) {
    uint8_t room[64] = {0};
    int64_t elem_bytes = dtype == TRI_F32 ? 4 : 2;
    memcpy(room, row + at * elem_bytes, (size_t)(width * elem_bytes));
    return load_16(dtype, room, 0);
}

/* m rows against 16 columns of V; sums may be written 16 wide. */
TRI_INLINE void values_tile(const int32_t dtype, const int64_t m, const uint8_t *const *rows,
    const float *x, int64_t x_stride, int64_t n, int64_t column, int64_t width, float *sums,
    int64_t sums_stride) {
    __m512 acc[TILE];
#pragma GCC unroll 12
    for (int64_t r = 0; r < m; r++)
        acc[r] = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k++) {
        __m512 v = width == COLUMNS ? load_16(dtype, rows[k], column)
                                    : load_part(dtype, rows[k], column, width);
#pragma GCC unroll 12
        for (int64_t r = 0; r < m; r++)
            acc[r] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[r * x_stride + k]), acc[r]);
    }
#pragma GCC unroll 12
    for (int64_t r = 0; r < m; r++)
        _mm512_storeu_ps(sums + r * sums_stride, acc[r]);
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

#define VALUES(m)                                                                                  \
    case m:                                                                                        \
        values_tiles(dtype, m, rows, x, x_stride, n, d, sums, sums_stride);                        \
        return true;

TRI_INLINE bool values_of(const int32_t dtype, const uint8_t *const *rows, const float *x,
    int64_t x_stride, int64_t m, int64_t n, int64_t d, float *sums, int64_t sums_stride) {
    switch (m) {
        EACH_ROW_COUNT(VALUES)
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

const tri_attention_functions tri_attention_avx512 = {.load_keys = load_keys,
    .load_values = load_values,
    .multiply = multiply,
    .multiply_values = multiply_values,
    .softmax = softmax,
    .merge = merge};
