/* avx2.h - small pieces that the AVX2 kernels share. */
#ifndef TRI_KERNELS_CPU_AVX2_H
#define TRI_KERNELS_CPU_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define TRI_INLINE static inline __attribute__((always_inline))

/* Streams are prefetched this far ahead: about what is in flight at full memory speed. */
enum { TRI_PREFETCH_BYTES = 1024 };

TRI_INLINE __m256i tri_load_i(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* 8 float16 or bfloat16 to float32. */
TRI_INLINE __m256 tri_load_f16(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
TRI_INLINE __m256 tri_load_bf16(const void *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

/* 4 bytes everywhere. */
TRI_INLINE __m256i tri_broadcast_32(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}

/* Lanes j and j + 4, then j and j + 2, then the last two. */
TRI_INLINE float tri_sum_lanes(__m256 v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    a = _mm_add_ss(a, _mm_movehdup_ps(a));
    return _mm_cvtss_f32(a);
}

/* Rows become columns. */
TRI_INLINE void tri_transpose_8x8(__m256 r[8]) {
    __m256 t[8], s[8];
    for (int64_t i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int64_t i = 0; i < 8; i += 4) {
        s[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        s[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        s[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        s[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int64_t i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
    }
}

#endif
