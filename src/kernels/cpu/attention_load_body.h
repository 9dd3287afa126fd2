/* attention_load_body.h - load_keys and load_values of attention.h in AVX2, for it and what
 * contains it. */
#include "kernels/cpu/avx2.h"
#include "trireme/types.h"

enum { COLUMNS = TRI_ATTENTION_COLUMNS };

/* 8 elements from column `at` of a row. */
TRI_INLINE __m256 load_8(const int32_t dtype, const uint8_t *row, int64_t at) {
    if (dtype == TRI_F32) return _mm256_loadu_ps((const float *)(const void *)row + at);
    return dtype == TRI_BF16 ? tri_load_bf16(row + at * 2) : tri_load_f16(row + at * 2);
}

/* n < 8 of them, zeros beside. */
static __m256 load_some(int32_t dtype, const uint8_t *row, int64_t at, int64_t n) {
    uint8_t room[32] = {0};
    int64_t elem_bytes = dtype == TRI_F32 ? 4 : 2;
    memcpy(room, row + at * elem_bytes, (size_t)(n * elem_bytes));
    return load_8(dtype, room, 0);
}

TRI_INLINE __m256 load_up_to_8(const int32_t dtype, const uint8_t *row, int64_t at, int64_t n) {
    return n >= 8 ? load_8(dtype, row, at) : load_some(dtype, row, at, n);
}

TRI_INLINE void keys_body(const int32_t dtype, const uint8_t *const *rows,
    const uint8_t *const *values, int64_t d, float *panel) {
    const int64_t line_elems = dtype == TRI_F32 ? 16 : 32;
    for (int64_t i = 0; i < d; i += 8) {
        if (i % line_elems == 0) {
            int64_t at = i / line_elems * 64;
            for (int64_t j = 0; j < COLUMNS; j++) {
                _mm_prefetch((const char *)rows[COLUMNS + j] + at, _MM_HINT_T0);
                _mm_prefetch((const char *)values[j] + at, _MM_HINT_T0);
            }
        }
        for (int64_t half = 0; half < 2; half++) {
            __m256 t[8];
#pragma GCC unroll 8
            for (int64_t j = 0; j < 8; j++)
                t[j] = load_up_to_8(dtype, rows[half * 8 + j], i, d - i);
            tri_transpose_8x8(t);
            for (int64_t j = 0; j < 8 && i + j < d; j++) {
                _mm256_storeu_ps(panel + (i + j) * COLUMNS + half * 8, t[j]);
            }
        }
    }
}

static void load_keys(int32_t dtype, const uint8_t *const *rows, const uint8_t *const *values,
    int64_t d, float *panel) {
    switch (dtype) {
    case TRI_F32:
        keys_body(TRI_F32, rows, values, d, panel);
        break;
    case TRI_BF16:
        keys_body(TRI_BF16, rows, values, d, panel);
        break;
    default:
        keys_body(TRI_F16, rows, values, d, panel);
        break;
    }
}

TRI_INLINE void values_body(const int32_t dtype, const uint8_t *const *rows, int64_t n,
    int64_t column, int64_t width, float *panel) {
    for (int64_t j = 0; j < n; j++, panel += COLUMNS) {
        _mm256_storeu_ps(panel, load_up_to_8(dtype, rows[j], column, width));
        __m256 second = _mm256_setzero_ps();
        if (width > 8) second = load_up_to_8(dtype, rows[j], column + 8, width - 8);
        _mm256_storeu_ps(panel + 8, second);
    }
}

static void load_values(int32_t dtype, const uint8_t *const *rows, int64_t n, int64_t column,
    int64_t width, float *panel) {
    switch (dtype) {
    case TRI_F32:
        values_body(TRI_F32, rows, n, column, width, panel);
        break;
    case TRI_BF16:
        values_body(TRI_BF16, rows, n, column, width, panel);
        break;
    default:
        values_body(TRI_F16, rows, n, column, width, panel);
        break;
    }
}
