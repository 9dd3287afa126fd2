/* tile_f32_avx2.h - the inner loop of float32 products: m rows of x against panels of 16 columns of
 * w, every result one chain of fused multiply-adds along K.  Linear and attention are made of it.
 */
#ifndef TRI_KERNELS_CPU_TILE_F32_AVX2_H
#define TRI_KERNELS_CPU_TILE_F32_AVX2_H

#include <stdbool.h>

#include "kernels/cpu/avx2.h"

enum { TRI_TILE_ROWS = 6, TRI_TILE_PANELS = 4, TRI_TILE_COLUMNS = 16 };

typedef enum tri_tile_weights {
    TRI_TILE_F32,
    TRI_TILE_BF16,
    TRI_TILE_F16
} tri_tile_weights; /* as in panel16.h */

typedef struct tri_tile_strides { /* in elements */
    int64_t x_k, x_row;           /* of x, from one k and one row to the next */
    int64_t sums_row;             /* of sums; panels follow one another, m rows each */
    int64_t panel_bytes;          /* from one panel of w to the next */
    int64_t ahead_bytes;          /* of w, what to prefetch; 0: nothing new */
} tri_tile_strides;

/* Sums start at `sums` (from zero when `fresh`) and end there; w holds n weights of each column.
 * form, m and n_panels are constants where this is called. */
TRI_INLINE void tri_tile_f32(const tri_tile_weights form, const int64_t m, const int64_t n_panels,
    const uint8_t *w, const float *x, int64_t n, const tri_tile_strides strides, bool fresh,
    float *sums) {
    __m256 acc[TRI_TILE_PANELS][TRI_TILE_ROWS][2];
#pragma GCC unroll 4
    for (int64_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 6
        for (int64_t r = 0; r < m; r++) {
            float *at = sums + (p * m + r) * strides.sums_row;
            acc[p][r][0] = fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(at);
            acc[p][r][1] = fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(at + 8);
        }
    }
    int64_t k = 0;
    if (form == TRI_TILE_BF16) {
        const __m256i high = _mm256_set1_epi32((int32_t)0xFFFF0000);
        for (; k + 2 <= n; k += 2, w += 64) {
#pragma GCC unroll 4
            for (int64_t p = 0; p < n_panels; p++) {
                const uint8_t *at = w + p * strides.panel_bytes;
                _mm_prefetch((const char *)at + strides.ahead_bytes, _MM_HINT_T0);
                __m256i a = tri_load_i(at), b = tri_load_i(at + 32);
                __m256 a0 = _mm256_castsi256_ps(_mm256_slli_epi32(a, 16));
                __m256 b0 = _mm256_castsi256_ps(_mm256_slli_epi32(b, 16));
                __m256 a1 = _mm256_castsi256_ps(_mm256_and_si256(a, high));
                __m256 b1 = _mm256_castsi256_ps(_mm256_and_si256(b, high));
#pragma GCC unroll 6
                for (int64_t r = 0; r < m; r++) {
                    __m256 x0 = _mm256_broadcast_ss(x + k * strides.x_k + r * strides.x_row);
                    acc[p][r][0] = _mm256_fmadd_ps(a0, x0, acc[p][r][0]);
                    acc[p][r][1] = _mm256_fmadd_ps(b0, x0, acc[p][r][1]);
                    __m256 x1 = _mm256_broadcast_ss(x + (k + 1) * strides.x_k + r * strides.x_row);
                    acc[p][r][0] = _mm256_fmadd_ps(a1, x1, acc[p][r][0]);
                    acc[p][r][1] = _mm256_fmadd_ps(b1, x1, acc[p][r][1]);
                }
            }
        }
    }
    for (; k < n; k++) {
#pragma GCC unroll 4
        for (int64_t p = 0; p < n_panels; p++) {
            const uint8_t *at = w + p * strides.panel_bytes;
            __m256 a, b;
            if (form == TRI_TILE_F32) {
                _mm_prefetch((const char *)at + strides.ahead_bytes, _MM_HINT_T0);
                a = _mm256_loadu_ps((const float *)(const void *)at);
                b = _mm256_loadu_ps((const float *)(const void *)(at + 32));
            } else if (form == TRI_TILE_F16) {
                if (k % 2 == 0) _mm_prefetch((const char *)at + strides.ahead_bytes, _MM_HINT_T0);
                a = tri_load_f16(at);
                b = tri_load_f16(at + 16);
            } else { /* the odd one of the last pair */
                a = _mm256_castsi256_ps(_mm256_slli_epi32(tri_load_i(at), 16));
                b = _mm256_castsi256_ps(_mm256_slli_epi32(tri_load_i(at + 32), 16));
            }
#pragma GCC unroll 6
            for (int64_t r = 0; r < m; r++) {
                __m256 xk = _mm256_broadcast_ss(x + k * strides.x_k + r * strides.x_row);
                acc[p][r][0] = _mm256_fmadd_ps(a, xk, acc[p][r][0]);
                acc[p][r][1] = _mm256_fmadd_ps(b, xk, acc[p][r][1]);
            }
        }
        w += form == TRI_TILE_F16 ? 32 : 64;
    }
#pragma GCC unroll 4
    for (int64_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 6
        for (int64_t r = 0; r < m; r++) {
            float *at = sums + (p * m + r) * strides.sums_row;
            _mm256_storeu_ps(at, acc[p][r][0]);
            _mm256_storeu_ps(at + 8, acc[p][r][1]);
        }
    }
}

#endif
