#include "kernels/cpu/linear_unpack.h"

#include "kernels/cpu/panel16.h"
#include "kernels/cpu/panel_avx512.h"

enum { ROWS = TRI_PANEL_ROWS, BLOCK = TRI_PANEL_BLOCK, QUADS = BLOCK / 4 };

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

/* Four k of 16 rows: d (q - offset), and + m with has_min. */
TRI_INLINE void store_quad(__m512i quad, __m512i offset, __m512 d, const bool has_min, __m512 m,
    __m512i interleave, uint16_t *out) {
    __m512 w[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w[i] = _mm512_mul_ps(tri_quad_value(quad, i, offset), d);
        if (has_min) w[i] = _mm512_add_ps(w[i], m); /* rounded twice, as base/codec.c does */
    }
    _mm512_storeu_si512(out, pairs(w[0], w[1], interleave));
    _mm512_storeu_si512(out + (size_t)2 * ROWS, pairs(w[2], w[3], interleave));
}

/* k0 is where a block of the format starts. */
TRI_INLINE void blocks_body(const tri_panel_form f, const tri_linear_run *run, int64_t panel,
    int64_t k0, int64_t n, uint16_t *out) {
    const uint8_t *at =
        run->weight + panel * run->weight_stride + tri_panel_record_at(f, k0 / BLOCK);
    const int64_t ahead_bytes = 2 * run->weight_stride; /* panels come in pairs */
    const __m512i interleave = interleaving(), offset = _mm512_set1_epi32(f.offset);
    tri_record_scales s = {0};
    tri_block_head head = {0};
    for (int64_t b = 0; b < n / BLOCK; b++, at += tri_panel_record_bytes(f)) {
        if (f.scales == TRI_SCALES_BLOCK && b % TRI_BLOCK_RECORDS == 0) {
            head = tri_load_head(f, at);
            at += tri_panel_head_bytes(f);
        }
        for (int64_t line = 0; line < tri_panel_record_bytes(f); line += 64) {
            _mm_prefetch((const char *)at + ahead_bytes + line, _MM_HINT_T1);
        }
        tri_load_scales(f, &head, at, &s);
        for (int64_t quad = 0; quad < QUADS; quad++, out += (size_t)4 * ROWS) {
            __m512i q = tri_load_quad(f, at + tri_panel_scale_bytes(f), quad);
            store_quad(q, offset, s.d[quad / (QUADS / 2)], f.has_min, s.m, interleave, out);
        }
    }
}

#define UNPACK(dtype)                                                                              \
    case dtype:                                                                                    \
        blocks_body(tri_panel_form_of(dtype), run, panel, k0, n, out);                             \
        break;
static void unpack_blocks(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *out) {
    switch (run->linear->dtype) {
        UNPACK(TRI_Q4_0)
        UNPACK(TRI_Q4_1)
        UNPACK(TRI_Q5_0)
        UNPACK(TRI_Q5_1)
        UNPACK(TRI_Q8_0)
        UNPACK(TRI_Q4_K)
        UNPACK(TRI_Q5_K)
        UNPACK(TRI_Q6_K)
    default:
        break;
    }
}

/* i8 and i4: groups are whole multiples of 32 unless there is only one. */
static void unpack_integers(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *out) {
    const tri_linear *l = run->linear;
    const tri_panel_form f = tri_panel_form_of(l->dtype);
    const int64_t quad_bytes = f.nibbles ? 32 : 64;
    const uint8_t *at = run->weight + panel * run->weight_stride + k0 / 4 * quad_bytes;
    const __m512i interleave = interleaving(), offset = _mm512_set1_epi32(f.offset);
    int64_t group = l->k / l->n_groups, n_quads = (n + 3) / 4;
    __m512 d = _mm512_set1_ps(1.0f);
    for (int64_t quad = 0; quad < n_quads; quad++, at += quad_bytes, out += (size_t)4 * ROWS) {
        int64_t k = k0 + 4 * quad, left = n - 4 * quad;
        if (!tri_linear_scales_sums(l) && (quad == 0 || k % group == 0)) {
            float scales[ROWS];
            tri_linear_panel_scales(run, panel, k, scales);
            d = _mm512_loadu_ps(scales);
        }
        _mm_prefetch((const char *)at + 2 * run->weight_stride, _MM_HINT_T1);
        store_quad(tri_load_quad(f, at, 0), offset, d, false, d, interleave, out);
        for (int64_t i = left; i < 4; i++) { /* what lies past K is no weight */
            for (int64_t r = 0; r < ROWS; r++)
                out[i / 2 * 2 * ROWS + r * 2 + i % 2] = 0;
        }
    }
    for (; n_quads % QUADS; n_quads++, out += (size_t)4 * ROWS)
        memset(out, 0, (size_t)4 * ROWS * sizeof *out);
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
