/* linear_i8_avx512.c - core of linear for panels of 4- and 8-bit weights and 8-bit activations; the
 * sums of linear_i8_avx2.c, bit for bit.
 *
 * vpdpbusd multiplies unsigned by signed bytes: weights enter as 0 .. 255, and the sum of x times
 * what was added to them, an integer too, is where a block's sum starts.
 *
 *     M <= 8   panels are streamed once
 *     M > 8    K_STEP x 16 weights at a time, as bytes in scratch, meet every tile of x */
#include "kernels/cpu/avx512.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel16.h"

enum {
    ROWS = TRI_PANEL_ROWS,
    BLOCK = TRI_PANEL_BLOCK,
    QUADS = BLOCK / 4,
    TILE = TRI_LINEAR_TILE_I8_AVX512,
    K_STEP = TRI_LINEAR_K_STEP,
    ROW_STEP = TRI_LINEAR_ROW_STEP,
    STEP_BLOCKS = K_STEP / BLOCK
};

typedef struct weight_form { /* constants where a core is instantiated */
    bool nibbles, has_min;
    bool has_blocks; /* scales stand in the block, not in an operand */
    int32_t offset;  /* what the unsigned bytes exceed the weights by */
} weight_form;

static weight_form form_of(int32_t dtype) {
    switch (dtype) {
    case TRI_Q4_1:
        return (weight_form){.nibbles = true, .has_min = true, .has_blocks = true};
    case TRI_Q4_0:
        return (weight_form){.nibbles = true, .has_blocks = true, .offset = 8};
    case TRI_I4:
        return (weight_form){.nibbles = true, .offset = 8};
    case TRI_Q8_0:
        return (weight_form){.has_blocks = true, .offset = 128};
    default:
        return (weight_form){.offset = 128};
    }
}

/* Bytes of a block, and of the scales before its values. */
TRI_INLINE int64_t head_bytes(const weight_form f) {
    return !f.has_blocks ? 0 : f.has_min ? 4 * ROWS : 2 * ROWS;
}
TRI_INLINE int64_t block_bytes(const weight_form f) {
    return head_bytes(f) + ROWS * BLOCK / (f.nibbles ? 2 : 1);
}

TRI_INLINE __m512i load_quad(const weight_form f, const uint8_t *values, int64_t quad) {
    if (f.nibbles) return tri_spread_quad(values + quad * 32);
    return _mm512_xor_si512(_mm512_loadu_si512(values + quad * 64), _mm512_set1_epi8(-128));
}

typedef struct x_tile { /* m rows of x from some block on */
    const int8_t *i8;
    const float *scales, *scaled_sums;
    const int32_t *sums;
} x_tile;

static x_tile x_tile_at(const tri_linear_run *run, int64_t first_row, int64_t m, int64_t k) {
    const tri_linear_x *x = &run->x;
    int64_t element = first_row * run->linear->k + k * m, block = element / BLOCK;
    return (x_tile){.i8 = x->i8 + element,
        .scales = x->scales + block,
        .scaled_sums = x->scaled_sums + block,
        .sums = x->sums + block};
}

TRI_INLINE __m512i broadcast_quad(const int8_t *at) {
    int32_t word;
    memcpy(&word, at, sizeof word);
    return _mm512_set1_epi32(word);
}

/* acc[r] += what block `block` of m rows adds.  `values` are as in a panel, or bytes [quad][16][4]
 * when `unpacked`. */
TRI_INLINE void add_block(const weight_form f, const bool unpacked, const int64_t m,
    const uint8_t *values, __m512 d, __m512 min, const x_tile *x, int64_t block, __m512 acc[TILE]) {
    __m512i dots[TILE];
    const int8_t *xq = x->i8 + block * BLOCK * m;
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++) {
        dots[r] = f.offset ? _mm512_set1_epi32(-f.offset * x->sums[block * m + r])
                           : _mm512_setzero_si512();
    }
#pragma GCC unroll 8
    for (int64_t quad = 0; quad < QUADS; quad++) {
        __m512i w = unpacked ? _mm512_loadu_si512(values + quad * 64) : load_quad(f, values, quad);
#pragma GCC unroll 8
        for (int64_t r = 0; r < m; r++) {
            dots[r] = _mm512_dpbusd_epi32(dots[r], w, broadcast_quad(xq + (quad * m + r) * 4));
        }
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++) {
        int64_t at = block * m + r;
        __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(x->scales[at]));
        acc[r] = _mm512_add_ps(acc[r], _mm512_mul_ps(scale, _mm512_cvtepi32_ps(dots[r])));
        if (f.has_min) {
            __m512 part = _mm512_mul_ps(min, _mm512_set1_ps(x->scaled_sums[at]));
            acc[r] = _mm512_add_ps(acc[r], part);
        }
    }
}

/* ---- few rows: straight from the panel ---- */

TRI_INLINE void stream_body(
    const weight_form f, const int64_t m, const tri_linear_run *run, int64_t panel, float *sums) {
    const tri_linear *l = run->linear;
    const uint8_t *at = run->weight + panel * run->weight_stride;
    x_tile x = x_tile_at(run, 0, m, 0);
    int64_t group_blocks = f.has_blocks ? 0 : l->k / l->n_groups / BLOCK, group_end = 0;
    __m512 acc[TILE], d = _mm512_setzero_ps(), min = d;
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        acc[r] = _mm512_setzero_ps();
    for (int64_t b = 0; b < l->k / BLOCK; b++, at += block_bytes(f)) {
#pragma GCC unroll 9
        for (int64_t line = 0; line < block_bytes(f); line += 64) {
            _mm_prefetch((const char *)at + TRI_PREFETCH_BYTES + line, _MM_HINT_T0);
        }
        if (f.has_blocks) {
            d = tri_load16_f16(at);
            if (f.has_min) min = tri_load16_f16(at + 2 * ROWS);
        } else if (b == group_end) {
            float scales[ROWS];
            tri_linear_panel_scales(run, panel, b * BLOCK, scales);
            d = _mm512_loadu_ps(scales);
            group_end += group_blocks;
        }
        add_block(f, false, m, at + head_bytes(f), d, min, &x, b, acc);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        _mm512_storeu_ps(sums + r * ROWS, acc[r]);
}

typedef void (*stream_fn)(const tri_linear_run *run, int64_t panel, float *sums);

#define DEFINE_STREAM(name, form, m)                                                               \
    static void stream_##name##_##m(const tri_linear_run *run, int64_t panel, float *sums) {       \
        stream_body(form, m, run, panel, sums);                                                    \
    }
#define DEFINE_STREAMS(name, ...)                                                                  \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 1)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 2)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 3)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 4)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 5)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 6)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 7)                                           \
    DEFINE_STREAM(name, ((weight_form){__VA_ARGS__}), 8)                                           \
    static const stream_fn streams_##name[TILE] = {stream_##name##_1, stream_##name##_2,           \
        stream_##name##_3, stream_##name##_4, stream_##name##_5, stream_##name##_6,                \
        stream_##name##_7, stream_##name##_8};
DEFINE_STREAMS(q4_1, .nibbles = true, .has_min = true, .has_blocks = true)
DEFINE_STREAMS(q4_0, .nibbles = true, .has_blocks = true, .offset = 8)
DEFINE_STREAMS(q8_0, .has_blocks = true, .offset = 128)
DEFINE_STREAMS(i4, .nibbles = true, .offset = 8)
DEFINE_STREAMS(i8, .offset = 128)

static const stream_fn *streams_of(int32_t dtype) {
    switch (dtype) {
    case TRI_Q4_1:
        return streams_q4_1;
    case TRI_Q4_0:
        return streams_q4_0;
    case TRI_Q8_0:
        return streams_q8_0;
    case TRI_I4:
        return streams_i4;
    default:
        return streams_i8;
    }
}

/* ---- many rows: steps of a panel against tiles ---- */

typedef struct step_weights { /* K_STEP of 16 rows */
    float d[STEP_BLOCKS][ROWS], min[STEP_BLOCKS][ROWS];
    uint8_t values[STEP_BLOCKS * BLOCK * ROWS]; /* [quad][16][4] */
    int32_t offset;
} step_weights;

static void load_step(const tri_linear_run *run, const weight_form f, int64_t panel, int64_t k0,
    int64_t n_blocks, step_weights *out) {
    const uint8_t *at = run->weight + panel * run->weight_stride + k0 / BLOCK * block_bytes(f);
    for (int64_t b = 0; b < n_blocks; b++, at += block_bytes(f)) {
        for (int64_t line = 0; line < block_bytes(f); line += 64) { /* the step after this one */
            _mm_prefetch((const char *)at + n_blocks * block_bytes(f) + line, _MM_HINT_T0);
        }
        if (f.has_blocks)
            _mm512_storeu_ps(out->d[b], tri_load16_f16(at));
        else
            tri_linear_panel_scales(run, panel, k0 + b * BLOCK, out->d[b]);
        if (f.has_min) _mm512_storeu_ps(out->min[b], tri_load16_f16(at + 2 * ROWS));
        for (int64_t quad = 0; quad < QUADS; quad++) {
            _mm512_storeu_si512(
                out->values + (b * QUADS + quad) * 64, load_quad(f, at + head_bytes(f), quad));
        }
    }
}

/* Adds n_blocks to `sums` [m][16]. */
TRI_INLINE void step_body(const weight_form f, const int64_t m, const step_weights *w,
    const x_tile *x, int64_t n_blocks, float *sums) {
    __m512 acc[TILE];
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        acc[r] = _mm512_loadu_ps(sums + r * ROWS);
    for (int64_t b = 0; b < n_blocks; b++) {
        add_block(f, true, m, w->values + b * BLOCK * ROWS, _mm512_loadu_ps(w->d[b]),
            _mm512_loadu_ps(w->min[b]), x, b, acc);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < m; r++)
        _mm512_storeu_ps(sums + r * ROWS, acc[r]);
}

typedef void (*step_fn)(const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums);

#define DEFINE_STEP(name, form, m)                                                                 \
    static void step_##name##_##m(                                                                 \
        const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums) {                   \
        step_body(form, m, w, x, n_blocks, sums);                                                  \
    }
#define DEFINE_STEPS(name, ...)                                                                    \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 1)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 2)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 3)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 4)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 5)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 6)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 7)                                             \
    DEFINE_STEP(name, ((weight_form){__VA_ARGS__}), 8)                                             \
    static const step_fn steps_##name[TILE] = {step_##name##_1, step_##name##_2, step_##name##_3,  \
        step_##name##_4, step_##name##_5, step_##name##_6, step_##name##_7, step_##name##_8};
DEFINE_STEPS(min, .has_min = true)
DEFINE_STEPS(eight, .offset = 8)
DEFINE_STEPS(bytes, .offset = 128)

static const step_fn *steps_of(const weight_form f) {
    return f.has_min ? steps_min : f.offset == 8 ? steps_eight : steps_bytes;
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
    const weight_form f = form_of(l->dtype);
    const step_fn *steps = steps_of(f);
    step_weights *w = (step_weights *)(void *)run->scratch;
    float *sums = (float *)(void *)(run->scratch + sizeof *w);
    int64_t first_row = tri_tile_first(tiling, first_tile);
    int64_t n_rows = tri_tile_first(tiling, last_tile) - first_row;
    memset(sums, 0, (size_t)(n_rows * ROWS) * sizeof *sums);
    for (int64_t k0 = 0; k0 < l->k; k0 += K_STEP) {
        int64_t n_blocks = (l->k - k0 < K_STEP ? l->k - k0 : K_STEP) / BLOCK;
        load_step(run, f, panel, k0, n_blocks, w);
        for (int64_t t = first_tile; t < last_tile; t++) {
            int64_t row = tri_tile_first(tiling, t);
            int32_t m = tri_tile_size(tiling, t);
            x_tile x = x_tile_at(run, row, m, k0);
            steps[m - 1](w, &x, n_blocks, sums + (row - first_row) * ROWS);
        }
    }
    store_rows(run, first_row, n_rows, panel, sums);
}

static void panel_tiles_i8(const tri_linear_run *run) {
    int64_t first = run->first / ROWS, last = (run->last + ROWS - 1) / ROWS;
    if (run->n_rows <= TILE) {
        stream_fn stream = streams_of(run->linear->dtype)[run->n_rows - 1];
        for (int64_t panel = first; panel < last; panel++) {
            float sums[TILE * ROWS];
            stream(run, panel, sums);
            store_rows(run, 0, run->n_rows, panel, sums);
        }
        return;
    }
    tri_tiling tiling = tri_tile_rows(run->n_rows, TILE);
    int64_t step = ROW_STEP / TILE;
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

/* From some 16 rows on unpacking a panel to bf16 costs less than what tiles then save; and x need
 * not be rounded to 8 bits. */
const tri_linear_variant tri_linear_panel_i8_amx = {.layout = "panel16",
    .form = TRI_X_TILES_I8,
    .tile = TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes,
    .many = &tri_linear_panel_amx,
    .many_rows = 16};
