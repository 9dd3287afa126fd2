/* panel_avx2.h - records of panels (panel_form.h) in AVX2 registers: [0] rows 0 to 7, [1] the
 * others. */
#ifndef TRI_KERNELS_CPU_PANEL_AVX2_H
#define TRI_KERNELS_CPU_PANEL_AVX2_H

#include "kernels/cpu/avx2.h"
#include "kernels/cpu/panel_form.h"

typedef struct tri_record_scales { /* of 16 rows */
    __m256 d[2][2];                /* by half of the record, the same twice but for `halves` */
    __m256 m[2];
} tri_record_scales;

typedef struct tri_block_head {
    __m256 d[2], m[2];
} tri_block_head;

TRI_INLINE tri_block_head tri_load_head(const tri_panel_form f, const uint8_t *at) {
    tri_block_head h = {.d = {tri_load_f16(at), tri_load_f16(at + 16)}};
    if (f.has_min) {
        h.m[0] = tri_load_f16(at + 32);
        h.m[1] = tri_load_f16(at + 48);
    }
    return h;
}

TRI_INLINE __m256 tri_load_u8_f32(const uint8_t *at) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at)));
}
TRI_INLINE __m256 tri_load_i8_f32(const uint8_t *at) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at)));
}

/* Of a record at `at`; head: of its block. */
TRI_INLINE void tri_load_scales(
    const tri_panel_form f, const tri_block_head *head, const uint8_t *at, tri_record_scales *s) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
#pragma GCC unroll 2
    for (int64_t side = 0; side < 2; side++) {
        if (f.scales == TRI_SCALES_RECORD) {
            s->d[0][side] = s->d[1][side] = tri_load_f16(at + side * 16);
            if (f.has_min) s->m[side] = tri_load_f16(at + 32 + side * 16);
        } else if (f.halves) {
            s->d[0][side] = _mm256_mul_ps(head->d[side], tri_load_i8_f32(at + side * 8));
            s->d[1][side] = _mm256_mul_ps(head->d[side], tri_load_i8_f32(at + 16 + side * 8));
        } else {
            s->d[0][side] = s->d[1][side] =
                _mm256_mul_ps(head->d[side], tri_load_u8_f32(at + side * 8));
            __m256 m = _mm256_mul_ps(head->m[side], tri_load_u8_f32(at + 16 + side * 8));
            s->m[side] = _mm256_xor_ps(m, sign);
        }
    }
}

/* Bytes of which bits of a 32-bit word are set become `value`, the others 0. */
TRI_INLINE __m256i tri_spread_bits(const uint8_t *bits, char value) {
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i masks = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(tri_broadcast_32(bits), which), masks);
    return _mm256_and_si256(_mm256_cmpeq_epi8(spread, masks), _mm256_set1_epi8(value));
}

/* Quad `quad` of values of nibbles, unsigned. */
TRI_INLINE void tri_load_nibbles(
    const tri_panel_form f, const uint8_t *values, int64_t quad, __m256i q[2]) {
    const __m256i low4 = _mm256_set1_epi8(15);
    __m256i both = tri_load_i(values + quad * 32);
    q[0] = _mm256_and_si256(both, low4);
    q[1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low4);
#pragma GCC unroll 2
    for (int32_t bit = 0; bit < f.high_bits; bit++) {
        const uint8_t *bits = values + 256 + (ptrdiff_t)bit * 64 + quad * 8;
        q[0] = _mm256_or_si256(q[0], tri_spread_bits(bits, (char)(16 << bit)));
        q[1] = _mm256_or_si256(q[1], tri_spread_bits(bits + 4, (char)(16 << bit)));
    }
}

#endif
