/* linear_amx.c - core of linear in tiles: 16 rows of x by 16 results, 32 of K an instruction, bf16
 * products summed in float32.  A result is one chain of such tiles along K, whatever M: what a tile
 * adds depends on one row of x and one of w alone, and sums that wait in scratch lose nothing.
 *
 *     M <= 64, bf16   a panel is streamed once, prefetched, and meets up to four tiles of rows
 *     else            two panels of K_STEP at a time (unpacked when they are not bf16) stay in L1
 *                     and meet every pair of row tiles: four accumulators, a tile load a product.
 *                     A step of ROW_STEP rows of x, and the sums of PANELS panels, stay in L2
 *                     meanwhile.  Software prefetch only takes fill buffers away here
 *
 * Bound    decode: reading w once.  Prompts: 1024 multiply-adds a cycle */
#include "kernels/cpu/amx.h"
#include "kernels/cpu/avx512.h"
#include "kernels/cpu/linear_unpack.h"
#include "kernels/cpu/panel16.h"

enum {
    ROWS = TRI_AMX_ROWS,
    TILE_K = TRI_AMX_K,
    TILE_BYTES = TRI_AMX_TILE_BYTES,
    TILE_ELEMS = TRI_LINEAR_BF16_TILE,
    K_STEP = 256,
    ROW_STEP = 512,
    PANELS = 16,
    STREAM_TILES = 4
};

/* ---- places ---- */

typedef struct scratch { /* of a thread */
    uint16_t *b;         /* [2][K_STEP / 32] tiles: panels unpacked */
    float *sums;         /* [PANELS][ROW_STEP / 16] tiles [16][16] */
} scratch;

static int64_t place(uint8_t *at, scratch *s) {
    int64_t b_bytes = (int64_t)2 * K_STEP / TILE_K * TILE_BYTES;
    int64_t sums_bytes = (int64_t)PANELS * (ROW_STEP / ROWS) * TILE_BYTES;
    if (s) *s = (scratch){(uint16_t *)(void *)at, (float *)(void *)(at + b_bytes)};
    return b_bytes + sums_bytes;
}

static int64_t scratch_bytes(const tri_linear *linear) {
    (void)linear;
    return place(NULL, NULL);
}

/* Tiles of 16 rows of x from k0 on. */
static const uint16_t *x_tiles(const tri_linear_run *run, int64_t row_tile, int64_t k0) {
    return run->x.bf16 + row_tile * ROWS * tri_round_up(run->linear->k, TILE_K) + k0 * ROWS;
}

/* y = sums (* scale) + bias + accumulator for a tile of 16 rows and a panel. */
static void store_tile(
    const tri_linear_run *run, int64_t row_tile, int64_t panel, const float *sums) {
    const tri_linear *l = run->linear;
    int64_t row = row_tile * ROWS, column = panel * ROWS;
    int64_t n_rows = run->n_rows - row < ROWS ? run->n_rows - row : ROWS;
    __mmask16 lanes = tri_first_lanes(l->n - column < ROWS ? l->n - column : ROWS);
    __m512 bias = _mm512_setzero_ps(), scale = _mm512_set1_ps(1.0f);
    bool scaled = run->scales && tri_linear_scales_sums(l);
    if (run->bias) bias = _mm512_maskz_loadu_ps(lanes, run->bias + column);
    if (scaled) {
        float scales[TRI_PANEL_ROWS];
        tri_linear_panel_scales(run, panel, 0, scales);
        scale = _mm512_loadu_ps(scales);
    }
    for (int64_t r = 0; r < n_rows; r++) {
        __m512 sum = _mm512_loadu_ps(sums + r * ROWS);
        if (scaled) sum = _mm512_mul_ps(sum, scale);
        if (run->bias) sum = _mm512_add_ps(sum, bias);
        if (run->accumulator) {
            const float *accumulator = tri_row_f32(run->accumulator, row + r) + column;
            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, accumulator));
        }
        _mm512_mask_storeu_ps(tri_row_f32(run->y, row + r) + column, lanes, sum);
    }
}

/* ---- few rows: a panel against up to four row tiles ---- */

/* One tile of B at b against m tiles of A, from registers 4 and 5 in turn. */
#define STREAM_STEP(m)                                                                             \
    do {                                                                                           \
        TRI_AMX_LOAD(6, b, 64);                                                                    \
        TRI_AMX_LOAD(4, a[0] + t * TILE_ELEMS, 64);                                                \
        TRI_AMX_DOT_BF16(0, 4, 6);                                                                 \
        if ((m) > 1) {                                                                             \
            TRI_AMX_LOAD(5, a[1] + t * TILE_ELEMS, 64);                                            \
            TRI_AMX_DOT_BF16(1, 5, 6);                                                             \
        }                                                                                          \
        if ((m) > 2) {                                                                             \
            TRI_AMX_LOAD(4, a[2] + t * TILE_ELEMS, 64);                                            \
            TRI_AMX_DOT_BF16(2, 4, 6);                                                             \
        }                                                                                          \
        if ((m) > 3) {                                                                             \
            TRI_AMX_LOAD(5, a[3] + t * TILE_ELEMS, 64);                                            \
            TRI_AMX_DOT_BF16(3, 5, 6);                                                             \
        }                                                                                          \
    } while (0)

TRI_INLINE void stream_panel(const tri_linear_run *run, const int m, int64_t panel, scratch s) {
    const int64_t k = run->linear->k, n_whole = k / TILE_K;
    const uint8_t *b = run->weight + panel * run->weight_stride;
    const uint16_t *a[STREAM_TILES];
    for (int i = 0; i < m; i++)
        a[i] = x_tiles(run, i, 0);
    TRI_AMX_ZERO(0);
    if (m > 1) TRI_AMX_ZERO(1);
    if (m > 2) TRI_AMX_ZERO(2);
    if (m > 3) TRI_AMX_ZERO(3);
    int64_t t = 0;
    for (; t < n_whole; t++, b += TILE_BYTES) {
#pragma GCC unroll 16
        for (int64_t line = 0; line < TILE_BYTES; line += 64) {
            _mm_prefetch((const char *)b + TRI_STREAM_AHEAD_BYTES + line, _MM_HINT_T0);
        }
        STREAM_STEP(m);
    }
    if (k % TILE_K) {
        tri_linear_unpack_bf16(run, panel, t * TILE_K, k % TILE_K, s.b);
        b = (const uint8_t *)s.b;
        STREAM_STEP(m);
    }
    TRI_AMX_STORE(0, s.sums, 64);
    if (m > 1) TRI_AMX_STORE(1, s.sums + (size_t)ROWS * ROWS, 64);
    if (m > 2) TRI_AMX_STORE(2, s.sums + (size_t)2 * ROWS * ROWS, 64);
    if (m > 3) TRI_AMX_STORE(3, s.sums + (size_t)3 * ROWS * ROWS, 64);
    for (int i = 0; i < m; i++)
        store_tile(run, i, panel, s.sums + (ptrdiff_t)i * ROWS * ROWS);
}

static void stream_panels(const tri_linear_run *run, scratch s) {
    int64_t first = run->first / ROWS, last = (run->last + ROWS - 1) / ROWS;
    int64_t m = (run->n_rows + ROWS - 1) / ROWS;
    for (int64_t panel = first; panel < last; panel++) {
        switch (m) {
        case 1:
            stream_panel(run, 1, panel, s);
            break;
        case 2:
            stream_panel(run, 2, panel, s);
            break;
        case 3:
            stream_panel(run, 3, panel, s);
            break;
        default:
            stream_panel(run, 4, panel, s);
            break;
        }
    }
}

/* ---- many rows ---- */

typedef struct product { /* n tiles along K */
    const uint16_t *a[2], *b[2];
    int64_t n;
    bool fresh;     /* from zero, not from sums */
    float *sums[4]; /* of (a0, b0), (a0, b1), (a1, b0), (a1, b1) */
} product;

TRI_INLINE void multiply(const product *p, const bool two_a, const bool two_b) {
    if (p->fresh) {
        TRI_AMX_ZERO(0);
        if (two_b) TRI_AMX_ZERO(1);
        if (two_a) TRI_AMX_ZERO(2);
        if (two_a && two_b) TRI_AMX_ZERO(3);
    } else {
        TRI_AMX_LOAD(0, p->sums[0], 64);
        if (two_b) TRI_AMX_LOAD(1, p->sums[1], 64);
        if (two_a) TRI_AMX_LOAD(2, p->sums[2], 64);
        if (two_a && two_b) TRI_AMX_LOAD(3, p->sums[3], 64);
    }
    const uint16_t *a0 = p->a[0], *a1 = p->a[1], *b0 = p->b[0], *b1 = p->b[1];
    for (int64_t at = 0; at < p->n * TILE_ELEMS; at += TILE_ELEMS) {
        TRI_AMX_LOAD(6, b0 + at, 64);
        TRI_AMX_LOAD(4, a0 + at, 64);
        TRI_AMX_DOT_BF16(0, 4, 6);
        if (two_b) {
            TRI_AMX_LOAD(7, b1 + at, 64);
            TRI_AMX_DOT_BF16(1, 4, 7);
        }
        if (two_a) {
            TRI_AMX_LOAD(5, a1 + at, 64);
            TRI_AMX_DOT_BF16(2, 5, 6);
            if (two_b) TRI_AMX_DOT_BF16(3, 5, 7);
        }
    }
    TRI_AMX_STORE(0, p->sums[0], 64);
    if (two_b) TRI_AMX_STORE(1, p->sums[1], 64);
    if (two_a) TRI_AMX_STORE(2, p->sums[2], 64);
    if (two_a && two_b) TRI_AMX_STORE(3, p->sums[3], 64);
}

typedef struct part { /* of a product: rows and panels whose sums wait in scratch, one step of K */
    int64_t first_row_tile, n_row_tiles;
    int64_t first_panel, n_panels;
    int64_t k0, n;
} part;

/* Tiles of one panel for this step. */
static const uint16_t *b_tiles(
    const tri_linear_run *run, const part *at, int64_t panel, uint16_t *unpacked) {
    bool in_place = run->linear->dtype == TRI_BF16 && at->n % TILE_K == 0;
    if (in_place) {
        return (const uint16_t *)(const void *)(run->weight + panel * run->weight_stride) +
               at->k0 * ROWS;
    }
    tri_linear_unpack_bf16(run, panel, at->k0, at->n, unpacked);
    return unpacked;
}

static void multiply_panels(
    const tri_linear_run *run, const part *at, int64_t panel, scratch s, bool is_last) {
    int64_t in_part = panel - at->first_panel;
    bool two_b = in_part + 1 < at->n_panels;
    product p = {.n = (at->n + TILE_K - 1) / TILE_K, .fresh = at->k0 == 0};
    p.b[0] = b_tiles(run, at, panel, s.b);
    if (two_b) p.b[1] = b_tiles(run, at, panel + 1, s.b + (size_t)K_STEP * ROWS);
    float *sums0 = s.sums + in_part * (ROW_STEP / ROWS) * ROWS * ROWS;
    float *sums1 = sums0 + (int64_t)(ROW_STEP / ROWS) * ROWS * ROWS;
    for (int64_t i = 0; i < at->n_row_tiles; i += 2) {
        bool two_a = i + 1 < at->n_row_tiles;
        int64_t row_tile = at->first_row_tile + i;
        for (int64_t j = 0; j < 2; j++) {
            p.a[j] = x_tiles(run, row_tile + (two_a ? j : 0), at->k0);
            p.sums[2 * j] = sums0 + (i + j) * ROWS * ROWS;
            p.sums[2 * j + 1] = sums1 + (i + j) * ROWS * ROWS;
        }
        if (two_a && two_b)
            multiply(&p, true, true);
        else if (two_a)
            multiply(&p, true, false);
        else if (two_b)
            multiply(&p, false, true);
        else
            multiply(&p, false, false);
        for (int64_t j = 0; is_last && j < (two_a ? 2 : 1); j++) {
            store_tile(run, row_tile + j, panel, p.sums[2 * j]);
            if (two_b) store_tile(run, row_tile + j, panel + 1, p.sums[2 * j + 1]);
        }
    }
}

static void multiply_all(const tri_linear_run *run, scratch s) {
    int64_t k = run->linear->k, last = (run->last + ROWS - 1) / ROWS;
    int64_t n_row_tiles = (run->n_rows + ROWS - 1) / ROWS;
    part at = {0};
    for (at.first_row_tile = 0; at.first_row_tile < n_row_tiles;
         at.first_row_tile += ROW_STEP / ROWS) {
        int64_t left = n_row_tiles - at.first_row_tile;
        at.n_row_tiles = left < ROW_STEP / ROWS ? left : ROW_STEP / ROWS;
        for (at.first_panel = run->first / ROWS; at.first_panel < last; at.first_panel += PANELS) {
            left = last - at.first_panel;
            at.n_panels = left < PANELS ? left : PANELS;
            for (at.k0 = 0; at.k0 < k; at.k0 += K_STEP) {
                at.n = k - at.k0 < K_STEP ? k - at.k0 : K_STEP;
                for (int64_t i = 0; i < at.n_panels; i += 2) {
                    multiply_panels(run, &at, at.first_panel + i, s, at.k0 + K_STEP >= k);
                }
            }
        }
    }
}

static void panel_amx(const tri_linear_run *run) {
    int64_t n_rows = run->n_rows < ROWS ? run->n_rows : ROWS;
    tri_amx_config config = tri_amx_config_for((int32_t)n_rows);
    scratch s;
    place(run->scratch, &s);
    TRI_AMX_BEGIN(config);
    if (run->linear->dtype == TRI_BF16 && run->n_rows <= (int64_t)STREAM_TILES * ROWS)
        stream_panels(run, s);
    else
        multiply_all(run, s);
    TRI_AMX_END();
}

/* ---- x ---- */

static void round_bf16(const float *x, int64_t n, uint16_t *out) {
    for (; n > 0; n -= TILE_K, x += TILE_K, out += TILE_ELEMS) {
        __m512 low = _mm512_maskz_loadu_ps(tri_first_lanes(n < 16 ? n : 16), x);
        __m512 high = _mm512_setzero_ps();
        if (n > 16) high = _mm512_maskz_loadu_ps(tri_first_lanes(n < 32 ? n - 16 : 16), x + 16);
        _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

const tri_linear_variant tri_linear_panel_amx = {.layout = "panel16",
    .form = TRI_X_TILES_BF16,
    .core = panel_amx,
    .scratch_bytes = scratch_bytes,
    .round_bf16 = round_bf16};
