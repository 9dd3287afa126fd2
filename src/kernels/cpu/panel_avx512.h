/* panel_avx512.h - records of panels (panel_form.h) in AVX-512 registers, a lane for each row. */
#ifndef TRI_KERNELS_CPU_PANEL_AVX512_H
#define TRI_KERNELS_CPU_PANEL_AVX512_H

#include "kernels/cpu/avx512.h"
#include "kernels/cpu/panel_form.h"

typedef struct tri_record_scales { /* of 16 rows */
    __m512 d[2];                   /* by half of the record, the same twice but for `halves` */
    __m512 m;
} tri_record_scales;

typedef struct tri_block_head {
    __m512 d, m;
} tri_block_head;

TRI_INLINE tri_block_head tri_load_head(const tri_panel_form f, const uint8_t *at) {
    tri_block_head h = {.d = tri_load16_f16(at), .m = _mm512_setzero_ps()};
    if (f.has_min) h.m = tri_load16_f16(at + 32);
    return h;
}

TRI_INLINE __m512 tri_load16_u8(const uint8_t *at) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at)));
}
TRI_INLINE __m512 tri_load16_i8(const uint8_t *at) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at)));
}

/* Of a record at `at`; head: of its block. */
TRI_INLINE void tri_load_scales(
    const tri_panel_form f, const tri_block_head *head, const uint8_t *at, tri_record_scales *s) {
    if (f.scales == TRI_SCALES_RECORD) {
        s->d[0] = s->d[1] = tri_load16_f16(at);
        if (f.has_min) s->m = tri_load16_f16(at + 32);
    } else if (f.halves) {
        s->d[0] = _mm512_mul_ps(head->d, tri_load16_i8(at));
        s->d[1] = _mm512_mul_ps(head->d, tri_load16_i8(at + 16));
    } else {
        s->d[0] = s->d[1] = _mm512_mul_ps(head->d, tri_load16_u8(at));
        s->m = _mm512_mul_ps(_mm512_mul_ps(head->m, tri_load16_u8(at + 16)), _mm512_set1_ps(-1.0f));
    }
}

/* A quad of values, unsigned: bytes [16][4]. */
TRI_INLINE __m512i tri_load_quad(const tri_panel_form f, const uint8_t *values, int64_t quad) {
    if (!f.nibbles) {
        return _mm512_xor_si512(_mm512_loadu_si512(values + quad * 64), _mm512_set1_epi8(-128));
    }
    __m512i q = tri_spread_quad(values + quad * 32);
#pragma GCC unroll 2
    for (int32_t bit = 0; bit < f.high_bits; bit++) {
        uint64_t bits;
        memcpy(&bits, values + 256 + (ptrdiff_t)bit * 64 + quad * 8, sizeof bits);
        q = _mm512_mask_add_epi8(q, bits, q, _mm512_set1_epi8((char)(16 << bit)));
    }
    return q;
}

/* Value i of each of 16 quads of unsigned bytes, less offset, as floats. */
TRI_INLINE __m512 tri_quad_value(__m512i quad, const int i, __m512i offset) {
    __m512i byte = i == 0 ? quad : _mm512_srl_epi32(quad, _mm_cvtsi32_si128(8 * i));
    if (i < 3) byte = _mm512_and_si512(byte, _mm512_set1_epi32(255));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(byte, offset));
}

#endif
