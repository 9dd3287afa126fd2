/* linear_i8_avx2.c - core of linear for panels of 4- to 8-bit weights and 8-bit activations.
 *
 * Within a record of 32 (or its halves, where they have scales) the products are summed as
 * integers, without error; each then adds (d * x scale) * sum, and m * (x scale * x sum) where the
 * format has minima, in the order of K, with separate roundings: the plain C core gives the same
 * bits.
 *
 * Unsigned values meet signed bytes in vpmaddubsw; as many quads as stay within 16 bits are added
 * there.  8-bit weights do so after their sign has moved to x (|w| <= 128, |x| <= 127: a pair
 * fits).
 *
 *     M <= 4   panels are streamed once
 *     M > 4    K_STEP x 16 weights at a time (as bytes, in scratch) meet every tile of x
 */
#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel16.h"
#include "kernels/cpu/panel_avx2.h"

enum {
    ROWS = TRI_PANEL_ROWS,
    BLOCK = TRI_PANEL_BLOCK,
    QUADS = BLOCK / 4,
    TILE = TRI_LINEAR_TILE_I8,
    K_STEP = TRI_LINEAR_K_STEP,
    ROW_STEP = TRI_LINEAR_ROW_STEP,
    STEP_BLOCKS = K_STEP / BLOCK
};

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
        .sums = x->sums + 2 * block};
}

/* ---- one record's integer sums ---- */

/* Quads of which products of unsigned values and bytes of x sum up within 16 bits. */
TRI_INLINE int64_t quads_in_16_bits(const tri_panel_form f) {
    return f.high_bits == 0 ? 8 : f.high_bits == 1 ? 4 : 2; /* 2 * 127 * 15, 31, 63 a pair */
}

/* dots[r][side]: sums over quads [first, last) for m rows of x. */
TRI_INLINE void dot_values(const tri_panel_form f, const bool unpacked, const int64_t m,
    const uint8_t *values, const int8_t *x, const int64_t first, const int64_t last,
    __m256i dots[TILE][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int64_t most = quads_in_16_bits(f);
    __m256i acc[TILE][2];
#pragma GCC unroll 8
    for (int64_t quad = first; quad < last; quad++) {
        __m256i w[2];
        if (unpacked) {
            w[0] = tri_load_i(values + quad * 64);
            w[1] = tri_load_i(values + quad * 64 + 32);
        } else {
            tri_load_nibbles(f, values, quad, w);
        }
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            __m256i xq = tri_broadcast_32(x + (quad * m + r) * 4);
#pragma GCC unroll 2
            for (int64_t side = 0; side < 2; side++) {
                __m256i product = _mm256_maddubs_epi16(w[side], xq);
                acc[r][side] =
                    (quad - first) % most == 0 ? product : _mm256_add_epi16(acc[r][side], product);
                if ((quad - first) % most == most - 1) {
                    __m256i wide = _mm256_madd_epi16(acc[r][side], ones);
                    dots[r][side] =
                        quad - first == most - 1 ? wide : _mm256_add_epi32(dots[r][side], wide);
                }
            }
        }
    }
}

TRI_INLINE void dot_bytes(
    const int64_t m, const uint8_t *quads, const int8_t *x, __m256i dots[TILE][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++)
        dots[r][0] = dots[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int64_t quad = 0; quad < QUADS; quad++) {
        __m256i a = tri_load_i(quads + quad * 64), b = tri_load_i(quads + quad * 64 + 32);
        __m256i abs_a = _mm256_abs_epi8(a), abs_b = _mm256_abs_epi8(b);
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            __m256i xq = tri_broadcast_32(x + (quad * m + r) * 4);
            __m256i pa = _mm256_maddubs_epi16(abs_a, _mm256_sign_epi8(xq, a));
            __m256i pb = _mm256_maddubs_epi16(abs_b, _mm256_sign_epi8(xq, b));
            dots[r][0] = _mm256_add_epi32(dots[r][0], _mm256_madd_epi16(pa, ones));
            dots[r][1] = _mm256_add_epi32(dots[r][1], _mm256_madd_epi16(pb, ones));
        }
    }
}

/* ---- what a record adds ---- */

/* What the sums of its half (of all, without halves) add. */
TRI_INLINE void add_dots(const tri_panel_form f, const int64_t m, __m256i dots[TILE][2],
    const tri_record_scales *w, const x_tile *x, int64_t block, const int64_t half,
    __m256 acc[TILE][2]) {
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++) {
        int64_t at = block * m + r;
        const int32_t *sums = x->sums + (2 * block + half) * m + r;
        __m256 scale = _mm256_broadcast_ss(x->scales + at);
#pragma GCC unroll 2
        for (int64_t side = 0; side < 2; side++) {
            __m256i dot = dots[r][side];
            if (f.nibbles && f.offset) {
                int32_t sum = f.halves ? sums[0] : sums[0] + sums[m];
                dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(f.offset * sum));
            }
            __m256 d = _mm256_mul_ps(w->d[half][side], scale);
            __m256 part = _mm256_mul_ps(d, _mm256_cvtepi32_ps(dot));
            acc[r][side] = _mm256_add_ps(acc[r][side], part);
            if (f.has_min) {
                part = _mm256_mul_ps(w->m[side], _mm256_broadcast_ss(x->scaled_sums + at));
                acc[r][side] = _mm256_add_ps(acc[r][side], part);
            }
        }
    }
}

/* acc += record `block` of a panel, values at `values`. */
TRI_INLINE void add_record(const tri_panel_form f, const bool unpacked, const int64_t m,
    const uint8_t *values, const tri_record_scales *w, const x_tile *x, int64_t block,
    __m256 acc[TILE][2]) {
    const int8_t *xq = x->i8 + block * BLOCK * m;
    __m256i dots[TILE][2];
    if (f.halves) {
        dot_values(f, unpacked, m, values, xq, 0, QUADS / 2, dots);
        add_dots(f, m, dots, w, x, block, 0, acc);
        dot_values(f, unpacked, m, values, xq, QUADS / 2, QUADS, dots);
        add_dots(f, m, dots, w, x, block, 1, acc);
        return;
    }
    if (f.nibbles)
        dot_values(f, unpacked, m, values, xq, 0, QUADS, dots);
    else
        dot_bytes(m, values, xq, dots);
    add_dots(f, m, dots, w, x, block, 0, acc);
}

/* ---- few rows: straight from the panel ---- */

TRI_INLINE void stream_body(const tri_panel_form f, const int64_t m, const tri_linear_run *run,
    int64_t panel, float *sums) {
    const tri_linear *l = run->linear;
    const uint8_t *at = run->weight + panel * run->weight_stride;
    x_tile x = x_tile_at(run, 0, m, 0);
    tri_record_scales scales = {0};
    tri_block_head head = {0};
    int64_t group = f.scales ? 0 : l->k / l->n_groups / BLOCK, group_end = 0;
    __m256 acc[TILE][2];
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < l->k / BLOCK; b++, at += tri_panel_record_bytes(f)) {
        if (f.scales == TRI_SCALES_BLOCK && b % TRI_BLOCK_RECORDS == 0) {
            head = tri_load_head(f, at);
            at += tri_panel_head_bytes(f);
        }
#pragma GCC unroll 9
        for (int64_t line = 0; line < tri_panel_record_bytes(f); line += 64) {
            _mm_prefetch((const char *)at + TRI_PREFETCH_BYTES + line, _MM_HINT_T0);
        }
        if (f.scales) {
            tri_load_scales(f, &head, at, &scales);
        } else if (b == group_end) {
            float d[ROWS];
            tri_linear_panel_scales(run, panel, b * BLOCK, d);
            scales.d[0][0] = _mm256_loadu_ps(d);
            scales.d[0][1] = _mm256_loadu_ps(d + 8);
            group_end += group;
        }
        add_record(f, false, m, at + tri_panel_scale_bytes(f), &scales, &x, b, acc);
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++) {
        _mm256_storeu_ps(sums + r * ROWS, acc[r][0]);
        _mm256_storeu_ps(sums + r * ROWS + 8, acc[r][1]);
    }
}

typedef void (*stream_fn)(const tri_linear_run *run, int64_t panel, float *sums);

#define DEFINE_STREAM(dtype, m)                                                                    \
    static void stream_##dtype##_##m(const tri_linear_run *run, int64_t panel, float *sums) {      \
        stream_body(tri_panel_form_of(dtype), m, run, panel, sums);                                \
    }
#define DEFINE_STREAMS(dtype)                                                                      \
    DEFINE_STREAM(dtype, 1)                                                                        \
    DEFINE_STREAM(dtype, 2)                                                                        \
    DEFINE_STREAM(dtype, 3)                                                                        \
    DEFINE_STREAM(dtype, 4)
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
#define STREAMS(dtype)                                                                             \
    [dtype] = {stream_##dtype##_1, stream_##dtype##_2, stream_##dtype##_3, stream_##dtype##_4},
static const stream_fn streams[TRI_N_DTYPES][TILE] = {EACH_DTYPE(STREAMS)};

/* ---- many rows: steps of a panel against tiles ---- */

typedef struct step_weights {                            /* K_STEP of 16 rows */
    float d[STEP_BLOCKS][2][ROWS], m[STEP_BLOCKS][ROWS]; /* d by halves */
    uint8_t values[STEP_BLOCKS * BLOCK * ROWS];          /* [quad][16][4] */
} step_weights;

static void unpack_record(const tri_panel_form f, const uint8_t *values, uint8_t *out) {
    if (!f.nibbles) {
        memcpy(out, values, (size_t)BLOCK * ROWS);
        return;
    }
    for (int64_t quad = 0; quad < QUADS; quad++) {
        __m256i q[2];
        tri_load_nibbles(f, values, quad, q);
        _mm256_storeu_si256((__m256i *)(void *)(out + quad * 64), q[0]);
        _mm256_storeu_si256((__m256i *)(void *)(out + quad * 64 + 32), q[1]);
    }
}

/* k0 is where a block of the format starts. */
static void load_step(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n_blocks, step_weights *out) {
    const tri_panel_form f = tri_panel_form_of(run->linear->dtype);
    const uint8_t *at =
        run->weight + panel * run->weight_stride + tri_panel_record_at(f, k0 / BLOCK);
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
            tri_record_scales scales = {0};
            tri_load_scales(f, &head, at, &scales);
            for (int64_t side = 0; side < 2; side++) {
                _mm256_storeu_ps(out->d[b][0] + side * 8, scales.d[0][side]);
                _mm256_storeu_ps(out->d[b][1] + side * 8, scales.d[1][side]);
                _mm256_storeu_ps(out->m[b] + side * 8, scales.m[side]);
            }
        } else {
            tri_linear_panel_scales(run, panel, k0 + b * BLOCK, out->d[b][0]);
        }
        unpack_record(f, at + tri_panel_scale_bytes(f), out->values + b * BLOCK * ROWS);
    }
}

/* Adds n_blocks to `sums` [m][16]. */
TRI_INLINE void step_body(const tri_panel_form f, const int64_t m, const step_weights *w,
    const x_tile *x, int64_t n_blocks, float *sums) {
    __m256 acc[TILE][2];
    for (int64_t b = 0; b < n_blocks; b++) {
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            acc[r][0] = _mm256_loadu_ps(sums + r * ROWS);
            acc[r][1] = _mm256_loadu_ps(sums + r * ROWS + 8);
        }
        tri_record_scales scales = {0};
#pragma GCC unroll 2
        for (int64_t side = 0; side < 2; side++) {
            scales.d[0][side] = _mm256_loadu_ps(w->d[b][0] + side * 8);
            if (f.halves) scales.d[1][side] = _mm256_loadu_ps(w->d[b][1] + side * 8);
            if (f.has_min) scales.m[side] = _mm256_loadu_ps(w->m[b] + side * 8);
        }
        add_record(f, true, m, w->values + b * BLOCK * ROWS, &scales, x, b, acc);
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            _mm256_storeu_ps(sums + r * ROWS, acc[r][0]);
            _mm256_storeu_ps(sums + r * ROWS + 8, acc[r][1]);
        }
    }
}

typedef void (*step_fn)(const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums);

#define DEFINE_STEP(dtype, m)                                                                      \
    static void step_##dtype##_##m(                                                                \
        const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums) {                   \
        step_body(tri_panel_form_of(dtype), m, w, x, n_blocks, sums);                              \
    }
#define DEFINE_STEPS(dtype)                                                                        \
    DEFINE_STEP(dtype, 1)                                                                          \
    DEFINE_STEP(dtype, 2)                                                                          \
    DEFINE_STEP(dtype, 3)                                                                          \
    DEFINE_STEP(dtype, 4)
EACH_DTYPE(DEFINE_STEPS)
#define STEPS(dtype)                                                                               \
    [dtype] = {step_##dtype##_1, step_##dtype##_2, step_##dtype##_3, step_##dtype##_4},
static const step_fn steps[TRI_N_DTYPES][TILE] = {EACH_DTYPE(STEPS)};

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
            steps[l->dtype][m - 1](w, &x, n_blocks, sums + (row - first_row) * ROWS);
        }
    }
    store_rows(run, first_row, n_rows, panel, sums);
}

static void panel_tiles_i8(const tri_linear_run *run) {
    int64_t first = run->first / ROWS, last = (run->last + ROWS - 1) / ROWS;
    if (run->n_rows <= TILE) {
        stream_fn stream = streams[run->linear->dtype][run->n_rows - 1];
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
    return (int64_t)sizeof(step_weights) + (int64_t)ROW_STEP * ROWS * (int64_t)sizeof(float);
}

const tri_linear_variant tri_linear_panel_tiles_i8_avx2 = {.layout = "panel16",
    .form = TRI_X_TILES_I8,
    .tile = TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes};
