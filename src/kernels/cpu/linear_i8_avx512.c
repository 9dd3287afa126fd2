/* linear_i8_avx512.c - core of linear for panels of 4- to 8-bit weights and 8-bit activations; the
 * sums of linear_i8_avx2.c, bit for bit.
 *
 * vpdpbusd multiplies unsigned by signed bytes: weights enter as 0 .. 255, and the sum of x times
 * what was added to them, an integer too, is where a block's sum starts.  x of 16 bits, for
 * bf16 activations, is two such sums, of its upper and its lower bytes: 256 a + b is exact as well.
 *
 *     M <= 8   panels are streamed once (4 for 16 bits)
 *     M > 8    K_STEP x 16 weights at a time, as bytes in scratch, meet every tile of x */
#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel16.h"
#include "kernels/cpu/panel_avx512.h"

enum {
    ROWS = TRI_PANEL_ROWS,
    BLOCK = TRI_PANEL_BLOCK,
    QUADS = BLOCK / 4,
    TILE = TRI_LINEAR_TILE_I8_AVX512,
    WIDE_TILE = TRI_LINEAR_TILE_I16_AVX512,
    K_STEP = TRI_LINEAR_K_STEP,
    ROW_STEP = TRI_LINEAR_ROW_STEP,
    STEP_BLOCKS = K_STEP / BLOCK
};

typedef struct x_tile { /* m rows of x from some block on */
    const int8_t *i8, *i8_low;
    const float *scales, *scaled_sums;
    const int32_t *sums;
} x_tile;

static x_tile x_tile_at(const tri_linear_run *run, int64_t first_row, int64_t m, int64_t k) {
    const tri_linear_x *x = &run->x;
    int64_t element = first_row * run->linear->k + k * m, block = element / BLOCK;
    return (x_tile){.i8 = x->i8 + element,
        .i8_low = x->i8_low + element,
        .scales = x->scales + block,
        .scaled_sums = x->scaled_sums + block,
        .sums = x->sums + 2 * block};
}

TRI_INLINE __m512i broadcast_quad(const int8_t *at) {
    int32_t word;
    memcpy(&word, at, sizeof word);
    return _mm512_set1_epi32(word);
}

/* dots[r]: sums over quads [first, last) of (value - offset) x for m rows of x; of which `half` (or
 * the whole record, without halves) that is. */
TRI_INLINE void dot_values(const tri_panel_form f, const bool wide, const bool unpacked,
    const int64_t m, const uint8_t *values, const x_tile *x, int64_t block, const int64_t half,
    __m512i dots[TILE]) {
    const int64_t first = half * (QUADS / 2), last = f.halves ? first + QUADS / 2 : QUADS;
    const int64_t at = block * BLOCK * m;
    const int32_t *sums = x->sums + (2 * block + half) * m;
    __m512i high[TILE];
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++) {
        int32_t sum = f.halves ? sums[r] : sums[r] + sums[m + r];
        dots[r] = f.offset ? _mm512_set1_epi32(-f.offset * sum) : _mm512_setzero_si512();
        high[r] = _mm512_setzero_si512();
    }
#pragma GCC unroll 8
    for (int64_t quad = first; quad < last; quad++) {
        __m512i w =
            unpacked ? _mm512_loadu_si512(values + quad * 64) : tri_load_quad(f, values, quad);
#pragma GCC unroll 8
        for (int64_t r = 0; r < m; r++) {
            const int64_t xq = at + (quad * m + r) * 4;
            if (wide) {
                high[r] = _mm512_dpbusd_epi32(high[r], w, broadcast_quad(x->i8 + xq));
                dots[r] = _mm512_dpbusd_epi32(dots[r], w, broadcast_quad(x->i8_low + xq));
            } else {
                dots[r] = _mm512_dpbusd_epi32(dots[r], w, broadcast_quad(x->i8 + xq));
            }
        }
    }
    if (!wide) return;
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        dots[r] = _mm512_add_epi32(dots[r], _mm512_slli_epi32(high[r], 8));
}

/* acc[r] += what a half (or all, without halves) of record `block` of m rows adds. */
TRI_INLINE void add_half(const tri_panel_form f, const bool wide, const bool unpacked,
    const int64_t m, const uint8_t *values, const tri_record_scales *w, const x_tile *x,
    int64_t block, const int64_t half, __m512 acc[TILE]) {
    __m512i dots[TILE];
    dot_values(f, wide, unpacked, m, values, x, block, half, dots);
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++) {
        int64_t at = block * m + r;
        __m512 d = _mm512_mul_ps(w->d[half], _mm512_set1_ps(x->scales[at]));
        acc[r] = _mm512_add_ps(acc[r], _mm512_mul_ps(d, _mm512_cvtepi32_ps(dots[r])));
        if (f.has_min) {
            __m512 part = _mm512_mul_ps(w->m, _mm512_set1_ps(x->scaled_sums[at]));
            acc[r] = _mm512_add_ps(acc[r], part);
        }
    }
}

/* A whole record; values are as in a panel, or bytes [quad][16][4] when `unpacked`. */
TRI_INLINE void add_record(const tri_panel_form f, const bool wide, const bool unpacked,
    const int64_t m, const uint8_t *values, const tri_record_scales *w, const x_tile *x,
    int64_t block, __m512 acc[TILE]) {
    add_half(f, wide, unpacked, m, values, w, x, block, 0, acc);
    if (f.halves) add_half(f, wide, unpacked, m, values, w, x, block, 1, acc);
}

/* ---- few rows: straight from the panel ---- */

TRI_INLINE void stream_body(const tri_panel_form f, const bool wide, const int64_t m,
    const tri_linear_run *run, int64_t panel, float *sums) {
    const tri_linear *l = run->linear;
    const uint8_t *at = run->weight + panel * run->weight_stride;
    x_tile x = x_tile_at(run, 0, m, 0);
    tri_record_scales scales = {0};
    tri_block_head head = {0};
    int64_t group = f.scales ? 0 : l->k / l->n_groups / BLOCK, group_end = 0;
    __m512 acc[TILE];
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        acc[r] = _mm512_setzero_ps();
    for (int64_t b = 0; b < l->k / BLOCK; b++, at += tri_panel_record_bytes(f)) {
        if (f.scales == TRI_SCALES_BLOCK && b % TRI_BLOCK_RECORDS == 0) {
            head = tri_load_head(f, at);
            at += tri_panel_head_bytes(f);
        }
#pragma GCC unroll 9
        for (int64_t line = 0; line < tri_panel_record_bytes(f); line += 64) {
            _mm_prefetch((const char *)at + TRI_STREAM_AHEAD_BYTES + line, _MM_HINT_T0);
        }
        if (f.scales) {
            tri_load_scales(f, &head, at, &scales);
        } else if (b == group_end) {
            float d[ROWS];
            tri_linear_panel_scales(run, panel, b * BLOCK, d);
            scales.d[0] = _mm512_loadu_ps(d);
            group_end += group;
        }
        add_record(f, wide, false, m, at + tri_panel_scale_bytes(f), &scales, &x, b, acc);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        _mm512_storeu_ps(sums + r * ROWS, acc[r]);
}

typedef void (*stream_fn)(const tri_linear_run *run, int64_t panel, float *sums);

#define DEFINE_STREAM(dtype, m)                                                                    \
    static void stream_##dtype##_##m(const tri_linear_run *run, int64_t panel, float *sums) {      \
        stream_body(tri_panel_form_of(dtype), false, m, run, panel, sums);                         \
    }
#define DEFINE_WIDE_STREAM(dtype, m)                                                               \
    static void wide_stream_##dtype##_##m(const tri_linear_run *run, int64_t panel, float *sums) { \
        stream_body(tri_panel_form_of(dtype), true, m, run, panel, sums);                          \
    }
#define TO_WIDE_TILE(X, dtype) X(dtype, 1) X(dtype, 2) X(dtype, 3) X(dtype, 4)
#define TO_TILE(X, dtype) TO_WIDE_TILE(X, dtype) X(dtype, 5) X(dtype, 6) X(dtype, 7) X(dtype, 8)
#define DEFINE_STREAMS(dtype) TO_TILE(DEFINE_STREAM, dtype) TO_WIDE_TILE(DEFINE_WIDE_STREAM, dtype)
#define EACH_DTYPE(X)                                                                              \
    X(TRI_I8)                                                                                      \
    X(TRI_I4)                                                                                      \
    X(TRI_Q8_0)                                                                                    \
    X(TRI_Q4_0)                                                                                    \
    X(TRI_Q4_1)                                                                                    \
    X(TRI_Q5_0)                                                                                    \
    X(TRI_Q5_1)                                                                                    \
    X(TRI_Q4_K)                                                                                    \
    X(TRI_Q5_K)                                                                                    \
    X(TRI_Q6_K)
EACH_DTYPE(DEFINE_STREAMS)
#define STREAM(dtype, m) stream_##dtype##_##m,
#define STREAMS(dtype) [dtype] = {TO_TILE(STREAM, dtype)},
static const stream_fn streams[TRI_N_DTYPES][TILE] = {EACH_DTYPE(STREAMS)};
#define WIDE_STREAM(dtype, m) wide_stream_##dtype##_##m,
#define WIDE_STREAMS(dtype) [dtype] = {TO_WIDE_TILE(WIDE_STREAM, dtype)},
static const stream_fn wide_streams[TRI_N_DTYPES][WIDE_TILE] = {EACH_DTYPE(WIDE_STREAMS)};

/* ---- many rows: steps of a panel against tiles ---- */

typedef struct step_weights { /* K_STEP of 16 rows */
    float d[STEP_BLOCKS][2][ROWS], m[STEP_BLOCKS][ROWS];
    uint8_t values[STEP_BLOCKS * BLOCK * ROWS]; /* [quad][16][4] */
} step_weights;

/* k0 is where a block of the format starts. */
static void load_step(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n_blocks, step_weights *out) {
    const tri_panel_form f = tri_panel_form_of(run->linear->dtype);
    const uint8_t *at =
        run->weight + panel * run->weight_stride + tri_panel_record_at(f, k0 / BLOCK);
    tri_record_scales scales = {0};
    tri_block_head head = {0};
    for (int64_t b = 0; b < n_blocks; b++, at += tri_panel_record_bytes(f)) {
        if (f.scales == TRI_SCALES_BLOCK && b % TRI_BLOCK_RECORDS == 0) {
            head = tri_load_head(f, at);
            at += tri_panel_head_bytes(f);
        }
        for (int64_t line = 0; line < tri_panel_record_bytes(f); line += 64) {
            _mm_prefetch(/* the step after this one */
                (const char *)at + n_blocks * tri_panel_record_bytes(f) + line, _MM_HINT_T0);
        }
        if (f.scales) {
            tri_load_scales(f, &head, at, &scales);
            _mm512_storeu_ps(out->d[b][0], scales.d[0]);
            _mm512_storeu_ps(out->d[b][1], scales.d[1]);
            _mm512_storeu_ps(out->m[b], scales.m);
        } else {
            tri_linear_panel_scales(run, panel, k0 + b * BLOCK, out->d[b][0]);
        }
        for (int64_t quad = 0; quad < QUADS; quad++) {
            _mm512_storeu_si512(out->values + (b * QUADS + quad) * 64,
                tri_load_quad(f, at + tri_panel_scale_bytes(f), quad));
        }
    }
}

/* Adds n_blocks to `sums` [m][16]. */
TRI_INLINE void step_body(const tri_panel_form f, const bool wide, const int64_t m,
    const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums) {
    __m512 acc[TILE];
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        acc[r] = _mm512_loadu_ps(sums + r * ROWS);
    for (int64_t b = 0; b < n_blocks; b++) {
        tri_record_scales scales = {.d = {_mm512_loadu_ps(w->d[b][0])}};
        if (f.halves) scales.d[1] = _mm512_loadu_ps(w->d[b][1]);
        if (f.has_min) scales.m = _mm512_loadu_ps(w->m[b]);
        add_record(f, wide, true, m, w->values + b * BLOCK * ROWS, &scales, x, b, acc);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        _mm512_storeu_ps(sums + r * ROWS, acc[r]);
}

typedef void (*step_fn)(const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums);

/* Once unpacked, formats differ in offset, minima and halves alone. */
#define DEFINE_STEP(dtype, m)                                                                      \
    static void step_##dtype##_##m(                                                                \
        const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums) {                   \
        step_body(tri_panel_form_of(dtype), false, m, w, x, n_blocks, sums);                       \
    }
#define DEFINE_WIDE_STEP(dtype, m)                                                                 \
    static void wide_step_##dtype##_##m(                                                           \
        const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums) {                   \
        step_body(tri_panel_form_of(dtype), true, m, w, x, n_blocks, sums);                        \
    }
#define DEFINE_STEPS(dtype) TO_TILE(DEFINE_STEP, dtype) TO_WIDE_TILE(DEFINE_WIDE_STEP, dtype)
DEFINE_STEPS(TRI_I8)
DEFINE_STEPS(TRI_I4)
DEFINE_STEPS(TRI_Q4_1)
DEFINE_STEPS(TRI_Q5_0)
DEFINE_STEPS(TRI_Q6_K)
#define STEP(dtype, m) step_##dtype##_##m,
#define WIDE_STEP(dtype, m) wide_step_##dtype##_##m,
#define EACH_FORMAT(ROW_COUNTS, X)                                                                 \
    [TRI_I8] = {ROW_COUNTS(X, TRI_I8)}, [TRI_Q8_0] = {ROW_COUNTS(X, TRI_I8)},                      \
    [TRI_I4] = {ROW_COUNTS(X, TRI_I4)}, [TRI_Q4_0] = {ROW_COUNTS(X, TRI_I4)},                      \
    [TRI_Q4_1] = {ROW_COUNTS(X, TRI_Q4_1)}, [TRI_Q5_0] = {ROW_COUNTS(X, TRI_Q5_0)},                \
    [TRI_Q5_1] = {ROW_COUNTS(X, TRI_Q4_1)}, [TRI_Q4_K] = {ROW_COUNTS(X, TRI_Q4_1)},                \
    [TRI_Q5_K] = {ROW_COUNTS(X, TRI_Q4_1)}, [TRI_Q6_K] = {ROW_COUNTS(X, TRI_Q6_K)}
static const step_fn steps[TRI_N_DTYPES][TILE] = {EACH_FORMAT(TO_TILE, STEP)};
static const step_fn wide_steps[TRI_N_DTYPES][WIDE_TILE] = {EACH_FORMAT(TO_WIDE_TILE, WIDE_STEP)};

static bool is_wide(const tri_linear_run *run) {
    return run->variant->form == TRI_X_TILES_I16;
}

static void store_rows(const tri_linear_run *run, int64_t first_row, int64_t n_rows, int64_t panel,
    const float *sums) {
    int64_t column = panel * ROWS, left = run->linear->n - column;
    for (int64_t r = 0; r < n_rows; r++) {
        tri_linear_store(run, first_row + r, column, left < ROWS ? left : ROWS, sums + r * ROWS);
    }
}

static void multiply_panel(const tri_linear_run *run, const tri_tiling *tiling, int64_t first_tile,
    int64_t last_tile, int64_t panel) {
    const tri_linear *l = run->linear;
    const step_fn *step = is_wide(run) ? wide_steps[l->dtype] : steps[l->dtype];
    step_weights *w = (step_weights *)(void *)run->scratch;
    float *sums = (float *)(void *)(run->scratch + sizeof *w);
    int64_t first_row = tri_tile_first(tiling, first_tile);
    int64_t n_rows = tri_tile_first(tiling, last_tile) - first_row;
    memset(sums, 0, (size_t)(n_rows * ROWS) * sizeof *sums);
    for (int64_t k0 = 0; k0 < l->k; k0 += K_STEP) {
        int64_t n_blocks = (l->k - k0 < K_STEP ? l->k - k0 : K_STEP) / BLOCK;
        load_step(run, panel, k0, n_blocks, w);
        for (int64_t t = first_tile; t < last_tile; t++) {
            int64_t row = tri_tile_first(tiling, t);
            int32_t m = tri_tile_size(tiling, t);
            x_tile x = x_tile_at(run, row, m, k0);
            step[m - 1](w, &x, n_blocks, sums + (row - first_row) * ROWS);
        }
    }
    store_rows(run, first_row, n_rows, panel, sums);
}

static void panel_tiles_i8(const tri_linear_run *run) {
    int64_t first = run->first / ROWS, last = (run->last + ROWS - 1) / ROWS;
    if (run->n_rows <= run->variant->tile) {
        int32_t dtype = run->linear->dtype;
        const stream_fn *of = is_wide(run) ? wide_streams[dtype] : streams[dtype];
        stream_fn stream = of[run->n_rows - 1];
        for (int64_t panel = first; panel < last; panel++) {
            float sums[TILE * ROWS];
            stream(run, panel, sums);
            store_rows(run, 0, run->n_rows, panel, sums);
        }
        return;
    }
    tri_tiling tiling = tri_tile_rows(run->n_rows, run->variant->tile);
    int64_t step = ROW_STEP / run->variant->tile;
    for (int64_t tile = 0; tile < tiling.n_tiles; tile += step) {
        int64_t last_tile = tile + step < tiling.n_tiles ? tile + step : tiling.n_tiles;
        for (int64_t panel = first; panel < last; panel++) {
            multiply_panel(run, &tiling, tile, last_tile, panel);
        }
    }
}

static int64_t scratch_bytes(const tri_linear *linear) {
    (void)linear;
    return tri_round_up((int64_t)sizeof(step_weights), 64) +
           (int64_t)ROW_STEP * ROWS * (int64_t)sizeof(float);
}

const tri_linear_variant tri_linear_panel_tiles_i8_avx512 = {.layout = "panel16",
    .form = TRI_X_TILES_I8,
    .tile = TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes};

const tri_linear_variant tri_linear_panel_tiles_i16_avx512 = {.layout = "panel16",
    .form = TRI_X_TILES_I16,
    .tile = WIDE_TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes};

/* From some 16 rows on unpacking a panel to bf16 costs less than what tiles then save; and x need
 * not be rounded to 8 bits. */
const tri_linear_variant tri_linear_panel_i8_amx = {.layout = "panel16",
    .form = TRI_X_TILES_I8,
    .tile = TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes,
    .many = &tri_linear_panel_amx,
    .many_rows = 16};

const tri_linear_variant tri_linear_panel_i16_amx = {.layout = "panel16",
    .form = TRI_X_TILES_I16,
    .tile = WIDE_TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes,
    .many = &tri_linear_panel_amx,
    .many_rows = 16};
