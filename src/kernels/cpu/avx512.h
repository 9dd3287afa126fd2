/* avx512.h - small pieces that the AVX-512 and AMX kernels share. */
#ifndef TRI_KERNELS_CPU_AVX512_H
#define TRI_KERNELS_CPU_AVX512_H

#include "kernels/cpu/avx2.h"

/* Streams are prefetched this far ahead. */
enum { TRI_STREAM_AHEAD_BYTES = 4096 };

/* 16 float16 or bfloat16 to float32. */
TRI_INLINE __m512 tri_load16_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
TRI_INLINE __m512 tri_load16_bf16(const void *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* The first n of 16 lanes, n <= 16. */
TRI_INLINE __mmask16 tri_first_lanes(int64_t n) {
    return (__mmask16)((1u << n) - 1u);
}

/* A quad of nibbles [8][4], of rows r and r + 8 (panel16.h), as bytes [16][4]. */
TRI_INLINE __m512i tri_spread_quad(const uint8_t *quad) {
    const __m512i shifts = _mm512_set_epi64(
        0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0, 0, 0, 0);
    __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)quad));
    return _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15));
}

#endif
