/* linear_i8_avx2.c - core of linear for panels of 4- and 8-bit weights and 8-bit activations.
 *
 * Within a block of 32 the products are summed as integers, without error; each block then adds
 * (d * x scale) * sum, and m * (x scale * x sum) where the format has minima, in the order of K,
 * with separate roundings: the plain C core gives the same bits.
 *
 * Unsigned 4-bit weights meet signed bytes in vpmaddubsw; eight quads of at most 2 * 15 * 127 stay
 * within 16 bits.  8-bit weights do so after their sign has moved to x (|w| <= 128, |x| <= 127: a
 * pair fits).
 *
 *     M <= 4   panels are streamed once
 *     M > 4    K_STEP x 16 weights at a time (nibbles unpacked into scratch) meet every tile of x
 */
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel16.h"

enum {
    ROWS = TRI_PANEL_ROWS,
    BLOCK = TRI_PANEL_BLOCK,
    QUADS = BLOCK / 4,
    TILE = TRI_LINEAR_TILE_I8,
    K_STEP = TRI_LINEAR_K_STEP,
    ROW_STEP = TRI_LINEAR_ROW_STEP,
    STEP_BLOCKS = K_STEP / BLOCK
};

typedef enum weight_kind {
    NIBBLES_MIN,    /* q4_1: 0 .. 15, and a minimum */
    NIBBLES_OFFSET, /* q4_0, i4: 0 .. 15, less 8 */
    BYTES           /* q8_0, i8 */
} weight_kind;

static weight_kind kind_of(int32_t dtype) {
    switch (dtype) {
    case TRI_Q4_1:
        return NIBBLES_MIN;
    case TRI_Q4_0:
    case TRI_I4:
        return NIBBLES_OFFSET;
    default:
        return BYTES;
    }
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

/* ---- one block's integer sums ---- */

/* dots[r][half]: for m rows of x, 8 sums each half. */
TRI_INLINE void dot_nibbles(
    const int64_t m, const uint8_t *quads, const int8_t *x, bool unpacked, __m256i dots[TILE][2]) {
    const __m256i low4 = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i acc[TILE][2];
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int64_t quad = 0; quad < QUADS; quad++) {
        __m256i a, b;
        if (unpacked) {
            a = tri_load_i(quads + quad * 64);
            b = tri_load_i(quads + quad * 64 + 32);
        } else {
            __m256i both = tri_load_i(quads + quad * 32);
            a = _mm256_and_si256(both, low4);
            b = _mm256_and_si256(_mm256_srli_epi16(both, 4), low4);
        }
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            __m256i xq = tri_broadcast_32(x + (quad * m + r) * 4);
            acc[r][0] = _mm256_add_epi16(acc[r][0], _mm256_maddubs_epi16(a, xq));
            acc[r][1] = _mm256_add_epi16(acc[r][1], _mm256_maddubs_epi16(b, xq));
        }
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++) {
        dots[r][0] = _mm256_madd_epi16(acc[r][0], ones);
        dots[r][1] = _mm256_madd_epi16(acc[r][1], ones);
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

/* ---- what a block adds ---- */

typedef struct block_scales { /* of 16 rows of w */
    __m256 d[2], m[2];
} block_scales;

TRI_INLINE void add_block(const weight_kind kind, const int64_t m, __m256i dots[TILE][2],
    const block_scales *w, const x_tile *x, int64_t block, __m256 acc[TILE][2]) {
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++) {
        int64_t at = block * m + r;
        __m256 scale = _mm256_broadcast_ss(x->scales + at);
#pragma GCC unroll 2
        for (int64_t half = 0; half < 2; half++) {
            __m256i dot = dots[r][half];
            if (kind == NIBBLES_OFFSET) {
                dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(8 * x->sums[at]));
            }
            __m256 part = _mm256_mul_ps(_mm256_mul_ps(w->d[half], scale), _mm256_cvtepi32_ps(dot));
            acc[r][half] = _mm256_add_ps(acc[r][half], part);
            if (kind == NIBBLES_MIN) {
                part = _mm256_mul_ps(w->m[half], _mm256_broadcast_ss(x->scaled_sums + at));
                acc[r][half] = _mm256_add_ps(acc[r][half], part);
            }
        }
    }
}

/* ---- few rows: straight from the panel ---- */

TRI_INLINE void stream_body(const weight_kind kind, const bool has_blocks, const int64_t m,
    const tri_linear_run *run, int64_t panel, float *sums) {
    const tri_linear *l = run->linear;
    const uint8_t *at = run->weight + panel * run->weight_stride;
    const int64_t head = !has_blocks ? 0 : kind == NIBBLES_MIN ? 64 : 32;
    const int64_t block_bytes = head + ROWS * BLOCK / (kind == BYTES ? 1 : 2);
    x_tile x = x_tile_at(run, 0, m, 0);
    block_scales scales = {0};
    int64_t group_blocks = has_blocks ? 0 : l->k / l->n_groups / BLOCK, group_end = 0;
    __m256 acc[TILE][2];
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < l->k / BLOCK; b++, at += block_bytes) {
#pragma GCC unroll 9
        for (int64_t line = 0; line < block_bytes; line += 64) {
            _mm_prefetch((const char *)at + TRI_PREFETCH_BYTES + line, _MM_HINT_T0);
        }
        if (has_blocks) {
            scales.d[0] = tri_load_f16(at);
            scales.d[1] = tri_load_f16(at + 16);
            if (kind == NIBBLES_MIN) {
                scales.m[0] = tri_load_f16(at + 32);
                scales.m[1] = tri_load_f16(at + 48);
            }
        } else if (b == group_end) {
            float d[ROWS];
            tri_linear_panel_scales(run, panel, b * BLOCK, d);
            scales.d[0] = _mm256_loadu_ps(d);
            scales.d[1] = _mm256_loadu_ps(d + 8);
            group_end += group_blocks;
        }
        __m256i dots[TILE][2];
        const int8_t *xq = x.i8 + b * BLOCK * m;
        if (kind == BYTES)
            dot_bytes(m, at + head, xq, dots);
        else
            dot_nibbles(m, at + head, xq, false, dots);
        add_block(kind, m, dots, &scales, &x, b, acc);
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < m; r++) {
        _mm256_storeu_ps(sums + r * ROWS, acc[r][0]);
        _mm256_storeu_ps(sums + r * ROWS + 8, acc[r][1]);
    }
}

typedef void (*stream_fn)(const tri_linear_run *run, int64_t panel, float *sums);

#define DEFINE_STREAM(name, kind, has_blocks, m)                                                   \
    static void stream_##name##_##m(const tri_linear_run *run, int64_t panel, float *sums) {       \
        stream_body(kind, has_blocks, m, run, panel, sums);                                        \
    }
#define DEFINE_STREAMS(name, kind, has_blocks)                                                     \
    DEFINE_STREAM(name, kind, has_blocks, 1)                                                       \
    DEFINE_STREAM(name, kind, has_blocks, 2)                                                       \
    DEFINE_STREAM(name, kind, has_blocks, 3)                                                       \
    DEFINE_STREAM(name, kind, has_blocks, 4)                                                       \
    static const stream_fn streams_##name[TILE] = {                                                \
        stream_##name##_1, stream_##name##_2, stream_##name##_3, stream_##name##_4};
DEFINE_STREAMS(q4_1, NIBBLES_MIN, true)
DEFINE_STREAMS(q4_0, NIBBLES_OFFSET, true)
DEFINE_STREAMS(q8_0, BYTES, true)
DEFINE_STREAMS(i4, NIBBLES_OFFSET, false)
DEFINE_STREAMS(i8, BYTES, false)

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
    float d[STEP_BLOCKS][ROWS], m[STEP_BLOCKS][ROWS];
    const uint8_t *values; /* of the first block: bytes in their panel, nibbles in `unpacked` */
    int64_t values_stride;
    uint8_t unpacked[STEP_BLOCKS * BLOCK * ROWS]; /* [quad][16][4] */
} step_weights;

static void unpack_nibbles(const uint8_t *quads, uint8_t *out) {
    const __m256i low4 = _mm256_set1_epi8(15);
    for (int64_t quad = 0; quad < QUADS; quad++) {
        __m256i both = tri_load_i(quads + quad * 32);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), low4);
        _mm256_storeu_si256((__m256i *)(void *)(out + quad * 64), _mm256_and_si256(both, low4));
        _mm256_storeu_si256((__m256i *)(void *)(out + quad * 64 + 32), high);
    }
}

static void load_scales(const uint8_t *at, float scales[ROWS]) {
    _mm256_storeu_ps(scales, tri_load_f16(at));
    _mm256_storeu_ps(scales + 8, tri_load_f16(at + 16));
}

static void load_step(const tri_linear_run *run, weight_kind kind, int64_t panel, int64_t k0,
    int64_t n_blocks, step_weights *out) {
    int32_t dtype = run->linear->dtype;
    bool has_blocks = dtype != TRI_I8 && dtype != TRI_I4;
    int64_t head = !has_blocks ? 0 : kind == NIBBLES_MIN ? 64 : 32;
    int64_t block_bytes = head + ROWS * BLOCK / (kind == BYTES ? 1 : 2);
    const uint8_t *at = run->weight + panel * run->weight_stride + k0 / BLOCK * block_bytes;
    out->values = kind == BYTES ? at + head : out->unpacked;
    out->values_stride = kind == BYTES ? block_bytes : (int64_t)BLOCK * ROWS;
    for (int64_t b = 0; b < n_blocks; b++, at += block_bytes) {
        for (int64_t line = 0; line < block_bytes; line += 64) { /* the step after this one */
            _mm_prefetch((const char *)at + n_blocks * block_bytes + line, _MM_HINT_T0);
        }
        if (has_blocks)
            load_scales(at, out->d[b]);
        else
            tri_linear_panel_scales(run, panel, k0 + b * BLOCK, out->d[b]);
        if (kind == NIBBLES_MIN) load_scales(at + 32, out->m[b]);
        if (kind != BYTES) unpack_nibbles(at + head, out->unpacked + b * BLOCK * ROWS);
    }
}

/* Adds n_blocks to `sums` [m][16]. */
TRI_INLINE void step_body(const weight_kind kind, const int64_t m, const step_weights *w,
    const x_tile *x, int64_t n_blocks, float *sums) {
    for (int64_t b = 0; b < n_blocks; b++) {
        __m256i dots[TILE][2];
        __m256 acc[TILE][2];
        block_scales scales = {.d = {_mm256_loadu_ps(w->d[b]), _mm256_loadu_ps(w->d[b] + 8)}};
        const uint8_t *values = w->values + b * w->values_stride;
        const int8_t *xq = x->i8 + b * BLOCK * m;
        if (kind == NIBBLES_MIN) {
            scales.m[0] = _mm256_loadu_ps(w->m[b]);
            scales.m[1] = _mm256_loadu_ps(w->m[b] + 8);
        }
        if (kind == BYTES)
            dot_bytes(m, values, xq, dots);
        else
            dot_nibbles(m, values, xq, true, dots);
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            acc[r][0] = _mm256_loadu_ps(sums + r * ROWS);
            acc[r][1] = _mm256_loadu_ps(sums + r * ROWS + 8);
        }
        add_block(kind, m, dots, &scales, x, b, acc);
#pragma GCC unroll 4
        for (int64_t r = 0; r < m; r++) {
            _mm256_storeu_ps(sums + r * ROWS, acc[r][0]);
            _mm256_storeu_ps(sums + r * ROWS + 8, acc[r][1]);
        }
    }
}

typedef void (*step_fn)(const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums);

#define DEFINE_STEP(kind, m)                                                                       \
    static void step_##kind##_##m(                                                                 \
        const step_weights *w, const x_tile *x, int64_t n_blocks, float *sums) {                   \
        step_body(kind, m, w, x, n_blocks, sums);                                                  \
    }
#define DEFINE_STEPS(kind)                                                                         \
    DEFINE_STEP(kind, 1)                                                                           \
    DEFINE_STEP(kind, 2)                                                                           \
    DEFINE_STEP(kind, 3)                                                                           \
    DEFINE_STEP(kind, 4)
DEFINE_STEPS(NIBBLES_MIN)
DEFINE_STEPS(NIBBLES_OFFSET)
DEFINE_STEPS(BYTES)
#define STEPS(kind)                                                                                \
    { step_##kind##_1, step_##kind##_2, step_##kind##_3, step_##kind##_4 }
static const step_fn steps[3][TILE] = {
    [NIBBLES_MIN] = STEPS(NIBBLES_MIN),
    [NIBBLES_OFFSET] = STEPS(NIBBLES_OFFSET),
    [BYTES] = STEPS(BYTES),
};

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
    weight_kind kind = kind_of(l->dtype);
    step_weights *w = (step_weights *)(void *)run->scratch;
    float *sums = (float *)(void *)(run->scratch + sizeof *w);
    int64_t first_row = tri_tile_first(tiling, first_tile);
    int64_t n_rows = tri_tile_first(tiling, last_tile) - first_row;
    memset(sums, 0, (size_t)(n_rows * ROWS) * sizeof *sums);
    for (int64_t k0 = 0; k0 < l->k; k0 += K_STEP) {
        int64_t n_blocks = (l->k - k0 < K_STEP ? l->k - k0 : K_STEP) / BLOCK;
        load_step(run, kind, panel, k0, n_blocks, w);
        for (int64_t t = first_tile; t < last_tile; t++) {
            int64_t row = tri_tile_first(tiling, t);
            int32_t m = tri_tile_size(tiling, t);
            x_tile x = x_tile_at(run, row, m, k0);
            steps[kind][m - 1](w, &x, n_blocks, sums + (row - first_row) * ROWS);
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
    return (int64_t)sizeof(step_weights) + (int64_t)ROW_STEP * ROWS * (int64_t)sizeof(float);
}

const tri_linear_variant tri_linear_panel_tiles_i8_avx2 = {.layout = "panel16",
    .form = TRI_X_TILES_I8,
    .tile = TILE,
    .core = panel_tiles_i8,
    .scratch_bytes = scratch_bytes};
