#include "kernels/cpu/linear_unpack.h"

#include "kernels/cpu/avx512.h"
#include "kernels/cpu/panel16.h"

enum { ROWS = TRI_PANEL_ROWS, BLOCK = TRI_PANEL_BLOCK, QUADS = BLOCK / 4 };

/* Value i of each of 16 quads of bytes, as floats. */
TRI_INLINE __m512 quad_value(__m512i quads, const int i) {
    __m512i top = i == 3 ? quads : _mm512_sll_epi32(quads, _mm_cvtsi32_si128(24 - 8 * i));
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(top, 24));
}

/* 16 pairs (even, odd) in bfloat16. */
TRI_INLINE __m512i pairs(__m512 even, __m512 odd, __m512i interleave) {
    return _mm512_permutexvar_epi16(
        interleave, (__m512i)_mm512_cvtne2ps_pbh(odd, even)); /* even in the low half */
}

TRI_INLINE __m512i interleaving(void) {
    const __m512i even = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i odd = _mm512_slli_epi32(_mm512_add_epi32(even, _mm512_set1_epi32(16)), 16);
    return _mm512_or_si512(even, odd);
}

/* Four k of 16 rows: d q, and + m with has_min. */
TRI_INLINE void store_quad(
    __m512i quad, __m512 d, const bool has_min, __m512 m, __m512i interleave, uint16_t *out) {
    __m512 w[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 q = quad_value(quad, i);
        w[i] = _mm512_mul_ps(q, d);
        if (has_min) w[i] = _mm512_add_ps(w[i], m); /* rounded twice, as base/codec.c does */
    }
    _mm512_storeu_si512(out, pairs(w[0], w[1], interleave));
    _mm512_storeu_si512(out + 2 * ROWS, pairs(w[2], w[3], interleave));
}

static void unpack_blocks(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *out) {
    const int32_t dtype = run->linear->dtype;
    const int64_t block_bytes = tri_panel16_block_bytes(dtype);
    const uint8_t *at = run->weight + panel * run->weight_stride + k0 / BLOCK * block_bytes;
    const int64_t ahead_bytes = 2 * run->weight_stride; /* panels come in pairs */
    const __m512i interleave = interleaving();
    const __m512i offset = _mm512_set1_epi8(dtype == TRI_Q4_0 ? 8 : 0);
    for (int64_t k = 0; k < n; k += BLOCK, at += block_bytes) {
        __m512 d = tri_load16_f16(at), m = _mm512_setzero_ps();
        for (int64_t line = 0; line < block_bytes; line += 64) {
            _mm_prefetch((const char *)at + ahead_bytes + line, _MM_HINT_T1);
        }
        if (dtype == TRI_Q8_0) {
            for (int64_t quad = 0; quad < QUADS; quad++, out += 4 * ROWS) {
                __m512i q = _mm512_loadu_si512(at + 32 + quad * 64);
                store_quad(q, d, false, m, interleave, out);
            }
        } else if (dtype == TRI_Q4_0) {
            for (int64_t quad = 0; quad < QUADS; quad++, out += 4 * ROWS) {
                __m512i q = _mm512_sub_epi8(tri_spread_quad(at + 32 + quad * 32), offset);
                store_quad(q, d, false, m, interleave, out);
            }
        } else {
            m = tri_load16_f16(at + 32);
            for (int64_t quad = 0; quad < QUADS; quad++, out += 4 * ROWS) {
                store_quad(tri_spread_quad(at + 64 + quad * 32), d, true, m, interleave, out);
            }
        }
    }
}

/* i8 and i4: groups are whole multiples of 32 unless there is only one. */
static void unpack_integers(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *out) {
    const tri_linear *l = run->linear;
    const bool bytes = l->dtype == TRI_I8;
    const int64_t quad_bytes = bytes ? 64 : 32;
    const uint8_t *at = run->weight + panel * run->weight_stride + k0 / 4 * quad_bytes;
    const __m512i interleave = interleaving(), eight = _mm512_set1_epi8(8);
    int64_t group = l->k / l->n_groups, n_quads = (n + 3) / 4;
    __m512 d = _mm512_set1_ps(1.0f);
    for (int64_t quad = 0; quad < n_quads; quad++, at += quad_bytes, out += 4 * ROWS) {
        int64_t k = k0 + 4 * quad;
        if (!tri_linear_scales_sums(l) && (quad == 0 || k % group == 0)) {
            float scales[ROWS];
            tri_linear_panel_scales(run, panel, k, scales);
            d = _mm512_loadu_ps(scales);
        }
        _mm_prefetch((const char *)at + 2 * run->weight_stride, _MM_HINT_T1);
        __m512i q = bytes ? _mm512_loadu_si512(at) : _mm512_sub_epi8(tri_spread_quad(at), eight);
        int64_t left = n - 4 * quad; /* what lies past K is no weight */
        if (left < 4) q = _mm512_and_si512(q, _mm512_set1_epi32((1 << (8 * (int32_t)left)) - 1));
        store_quad(q, d, false, d, interleave, out);
    }
    for (; n_quads % QUADS; n_quads++, out += 4 * ROWS)
        memset(out, 0, 4 * ROWS * sizeof *out);
}

static void unpack_bf16(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *out) {
    const uint8_t *at = run->weight + panel * run->weight_stride + k0 * ROWS * 2;
    int64_t n_bytes = (n + 1) / 2 * ROWS * 4;
    memcpy(out, at, (size_t)n_bytes);
    memset((uint8_t *)out + n_bytes, 0, (size_t)(tri_round_up(n, BLOCK) * ROWS * 2 - n_bytes));
}

void tri_linear_unpack_bf16(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *tiles) {
    switch (run->linear->dtype) {
    case TRI_BF16:
        unpack_bf16(run, panel, k0, n, tiles);
        break;
    case TRI_I8:
    case TRI_I4:
        unpack_integers(run, panel, k0, n, tiles);
        break;
    default:
        unpack_blocks(run, panel, k0, n, tiles);
        break;
    }
}
