/* linear_f32_avx2.c - cores of linear in float32: each result is one chain of fused multiply-adds
 * along K, 16 results of a panel side by side.
 *
 *     M <= 6   weights are streamed once, widened in registers; several panels at a time hide the
 *              latency of the chains
 *     M > 6    K_STEP x 16 weights at a time become float32 in scratch (float32 panels are used
 * where they are), and meet every tile of x; partial sums wait in scratch between steps, which
 *              leaves the chains as they are */
#include "base/codec.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel16.h"
#include "kernels/cpu/panel_avx2.h"
#include "kernels/cpu/tile_f32_avx2.h"

enum {
    ROWS = TRI_PANEL_ROWS,
    BLOCK = TRI_PANEL_BLOCK,
    TILE = TRI_LINEAR_TILE_F32,
    K_STEP = TRI_LINEAR_K_STEP,
    ROW_STEP = TRI_LINEAR_ROW_STEP,
    MAX_PANELS = TRI_TILE_PANELS
};

/* ---- tiles ---- */

typedef void (*tile_fn)(const uint8_t *w, int64_t stride, int64_t ahead, const float *x, int64_t n,
    bool fresh, float *sums);

#define DEFINE_TILE(form, m, n_panels)                                                             \
    static void tile_##form##_##m##_##n_panels(const uint8_t *w, int64_t stride, int64_t ahead,    \
        const float *x, int64_t n, bool fresh, float *sums) {                                      \
        tri_tile_strides strides = {m, 1, ROWS, stride, ahead};                                    \
        tri_tile_f32(TRI_TILE_##form, m, n_panels, w, x, n, strides, fresh, sums);                 \
    }
#define DEFINE_TILES(form)                                                                         \
    DEFINE_TILE(form, 1, 1)                                                                        \
    DEFINE_TILE(form, 2, 1)                                                                        \
    DEFINE_TILE(form, 3, 1)                                                                        \
    DEFINE_TILE(form, 4, 1)                                                                        \
    DEFINE_TILE(form, 5, 1)                                                                        \
    DEFINE_TILE(form, 6, 1)                                                                        \
    DEFINE_TILE(form, 1, 4)                                                                        \
    DEFINE_TILE(form, 2, 2)                                                                        \
    DEFINE_TILE(form, 3, 2)
DEFINE_TILES(F32)
DEFINE_TILES(BF16)
DEFINE_TILES(F16)

/* [form][m - 1], of one panel and of WIDE[m - 1] panels. */
#define NARROW(form)                                                                               \
    {                                                                                              \
        tile_##form##_1_1, tile_##form##_2_1, tile_##form##_3_1, tile_##form##_4_1,                \
            tile_##form##_5_1, tile_##form##_6_1                                                   \
    }
#define WIDER(form)                                                                                \
    {                                                                                              \
        tile_##form##_1_4, tile_##form##_2_2, tile_##form##_3_2, tile_##form##_4_1,                \
            tile_##form##_5_1, tile_##form##_6_1                                                   \
    }
static const tile_fn narrow[3][TILE] = {NARROW(F32), NARROW(BF16), NARROW(F16)};
static const tile_fn wide[3][TILE] = {WIDER(F32), WIDER(BF16), WIDER(F16)};
static const int wide_panels[TILE] = {4, 2, 2, 1, 1, 1};

static void store_tile(
    const tri_linear_run *run, int64_t first_row, int32_t m, int64_t column, const float *sums) {
    int64_t n = run->linear->n - column < ROWS ? run->linear->n - column : ROWS;
    for (int64_t r = 0; r < m; r++) {
        tri_linear_store(run, first_row + r, column, n, sums + r * ROWS);
    }
}

/* ---- few rows: straight from the panels ---- */

static void stream_panels(const tri_linear_run *run, tri_tile_weights form) {
    const tri_linear *l = run->linear;
    int32_t m = (int32_t)run->n_rows;
    int64_t last = (run->last + ROWS - 1) / ROWS;
    for (int64_t panel = run->first / ROWS; panel < last;) {
        float sums[MAX_PANELS * ROWS > TILE * 2 * ROWS ? MAX_PANELS * ROWS : TILE * 2 * ROWS];
        bool is_wide = last - panel >= wide_panels[m - 1];
        int64_t n_panels = is_wide ? wide_panels[m - 1] : 1;
        tile_fn tile = is_wide ? wide[form][m - 1] : narrow[form][m - 1];
        tile(run->weight + panel * run->weight_stride, run->weight_stride, TRI_PREFETCH_BYTES,
            run->x.f32, l->k, true, sums);
        for (int64_t p = 0; p < n_panels; p++, panel++) {
            store_tile(run, 0, m, panel * ROWS, sums + p * m * ROWS);
        }
    }
}

/* ---- weights of a panel as float32 [n][16] ---- */

/* 4-byte quads of 8 rows: value i of each as an integer. */
TRI_INLINE __m256i quad_bytes(__m256i quad, int64_t i) {
    return _mm256_srai_epi32(_mm256_sll_epi32(quad, _mm_cvtsi64_si128(24 - 8 * i)), 24);
}

/* The step of packed weights that follows these, while there is other work to hide it behind. */
TRI_INLINE void prefetch_next(const uint8_t *at, int64_t step_bytes) {
    _mm_prefetch((const char *)at + step_bytes, _MM_HINT_T0);
}

/* k0 is where a block of the format starts. */
static void unpack_blocks(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *out) {
    const tri_panel_form f = tri_panel_form_of(run->linear->dtype);
    const __m256i offset = _mm256_set1_epi8((char)(f.nibbles ? f.offset : 0));
    const uint8_t *at =
        run->weight + panel * run->weight_stride + tri_panel_record_at(f, k0 / BLOCK);
    tri_record_scales s = {0};
    tri_block_head head = {0};
    for (int64_t b = 0; b < n / BLOCK; b++, at += tri_panel_record_bytes(f)) {
        if (f.scales == TRI_SCALES_BLOCK && b % TRI_BLOCK_RECORDS == 0) {
            head = tri_load_head(f, at);
            at += tri_panel_head_bytes(f);
        }
        for (int64_t line = 0; line < tri_panel_record_bytes(f); line += 64) {
            prefetch_next(at + line, n / BLOCK * tri_panel_record_bytes(f));
        }
        tri_load_scales(f, &head, at, &s);
        const uint8_t *values = at + tri_panel_scale_bytes(f);
        for (int64_t quad = 0; quad < BLOCK / 4; quad++) {
            __m256i q[2];
            if (f.nibbles) {
                tri_load_nibbles(f, values, quad, q);
            } else {
                q[0] = tri_load_i(values + quad * 64);
                q[1] = tri_load_i(values + quad * 64 + 32);
            }
            for (int64_t i = 0; i < 4; i++, out += ROWS) {
                for (int64_t side = 0; side < 2; side++) {
                    __m256i bytes = quad_bytes(_mm256_sub_epi8(q[side], offset), i);
                    __m256 w = _mm256_mul_ps(_mm256_cvtepi32_ps(bytes), s.d[quad / 4][side]);
                    if (f.has_min) w = _mm256_add_ps(w, s.m[side]);
                    _mm256_storeu_ps(out + side * 8, w);
                }
            }
        }
    }
}

/* i8 and i4 with scales; k0 is a multiple of 4. */
static void unpack_integers(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *out) {
    const tri_linear *l = run->linear;
    const __m256i low4 = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8);
    const uint8_t *at = run->weight + panel * run->weight_stride;
    int64_t group = l->k / l->n_groups, group_end = k0;
    float scales[ROWS] = {0};
    for (int64_t k = k0; k < k0 + n; k++) {
        if (k >= group_end) {
            for (int64_t r = 0; r < ROWS && panel * ROWS + r < l->n; r++) {
                scales[r] = tri_linear_scale(run, panel * ROWS + r, k);
            }
            group_end = (k / group + 1) * group;
        }
        __m256i a, b;
        if (l->dtype == TRI_I8) {
            a = tri_load_i(at + k / 4 * 64);
            b = tri_load_i(at + k / 4 * 64 + 32);
        } else {
            __m256i both = tri_load_i(at + k / 4 * 32);
            a = _mm256_sub_epi8(_mm256_and_si256(both, low4), eight);
            b = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(both, 4), low4), eight);
        }
        int64_t i = k % 4;
        __m256 wa = _mm256_cvtepi32_ps(quad_bytes(a, i)), wb = _mm256_cvtepi32_ps(quad_bytes(b, i));
        _mm256_storeu_ps(out, _mm256_mul_ps(wa, _mm256_loadu_ps(scales)));
        _mm256_storeu_ps(out + 8, _mm256_mul_ps(wb, _mm256_loadu_ps(scales + 8)));
        out += ROWS;
    }
}

/* Weights [k0, k0 + n) of a panel: where they are, or unpacked into scratch. */
static const float *panel_weights(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *scratch) {
    const tri_linear *l = run->linear;
    const uint8_t *at = run->weight + panel * run->weight_stride;
    switch (l->dtype) {
    case TRI_F32:
        return (const float *)(const void *)at + k0 * ROWS;
    case TRI_F16:
        at += k0 * ROWS * 2;
        for (int64_t i = 0; i < n * ROWS; i += 8) {
            prefetch_next(at + i * 2, n * ROWS * 2);
            _mm256_storeu_ps(scratch + i, tri_load_f16(at + i * 2));
        }
        break;
    case TRI_BF16: {
        const __m256i high = _mm256_set1_epi32((int32_t)0xFFFF0000);
        at += k0 * ROWS * 2;
        for (int64_t k = 0; k < n; k++) {
            prefetch_next(at + k / 2 * 64, (n + 1) / 2 * 64);
            for (int64_t half = 0; half < 2; half++) {
                __m256i pair = tri_load_i(at + k / 2 * 64 + half * 32);
                pair = k % 2 ? _mm256_and_si256(pair, high) : _mm256_slli_epi32(pair, 16);
                _mm256_storeu_si256((__m256i *)(void *)(scratch + k * ROWS + half * 8), pair);
            }
        }
        break;
    }
    case TRI_I8:
    case TRI_I4:
        unpack_integers(run, panel, k0, n, scratch);
        break;
    default:
        unpack_blocks(run, panel, k0, n, scratch);
        break;
    }
    return scratch;
}

/* The same from rows: decoded one by one, then transposed. */
static const float *row_weights(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *scratch) {
    const tri_linear *l = run->linear;
    float decoded[ROWS][K_STEP];
    for (int64_t r = 0; r < ROWS; r++) {
        int64_t row = panel * ROWS + r;
        if (row < l->n)
            tri_linear_decode_row(run, row, k0, n, decoded[r]);
        else
            memset(decoded[r], 0, sizeof decoded[r]);
    }
    for (int64_t k = 0; k < n; k += 8) {
        for (int64_t half = 0; half < 2; half++) {
            __m256 t[8];
            for (int64_t r = 0; r < 8; r++)
                t[r] = _mm256_loadu_ps(&decoded[half * 8 + r][k]);
            tri_transpose_8x8(t);
            for (int64_t i = 0; i < 8 && k + i < n; i++) {
                _mm256_storeu_ps(scratch + (k + i) * ROWS + half * 8, t[i]);
            }
        }
    }
    return scratch;
}

/* ---- many rows ---- */

typedef const float *(*weights_fn)(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *scratch);

static void multiply_panel(const tri_linear_run *run, const tri_tiling *tiling, int64_t first_tile,
    int64_t last_tile, int64_t panel, weights_fn weights) {
    const tri_linear *l = run->linear;
    float *unpacked = (float *)(void *)run->scratch, *sums = unpacked + (int64_t)K_STEP * ROWS;
    int64_t first_row = tri_tile_first(tiling, first_tile);
    for (int64_t k0 = 0; k0 < l->k; k0 += K_STEP) {
        int64_t n = l->k - k0 < K_STEP ? l->k - k0 : K_STEP;
        const float *w = weights(run, panel, k0, n, unpacked);
        for (int64_t t = first_tile; t < last_tile; t++) {
            int64_t row = tri_tile_first(tiling, t);
            int32_t m = tri_tile_size(tiling, t);
            /* Weights used in place: the first tile brings the next step's. */
            int64_t ahead = w != unpacked && t == first_tile ? n * ROWS * 4 : 0;
            narrow[TRI_TILE_F32][m - 1]((const uint8_t *)w, 0, ahead,
                run->x.f32 + row * l->k + k0 * m, n, k0 == 0, sums + (row - first_row) * ROWS);
        }
    }
    for (int64_t t = first_tile; t < last_tile; t++) {
        int64_t row = tri_tile_first(tiling, t);
        store_tile(
            run, row, tri_tile_size(tiling, t), panel * ROWS, sums + (row - first_row) * ROWS);
    }
}

static void multiply(const tri_linear_run *run, weights_fn weights) {
    tri_tiling tiling = tri_tile_rows(run->n_rows, TILE);
    int64_t step = ROW_STEP / TILE;
    for (int64_t tile = 0; tile < tiling.n_tiles; tile += step) {
        int64_t last = tile + step < tiling.n_tiles ? tile + step : tiling.n_tiles;
        for (int64_t panel = run->first / ROWS; panel * ROWS < run->last; panel++) {
            multiply_panel(run, &tiling, tile, last, panel, weights);
        }
    }
}

static void panel_tiles(const tri_linear_run *run) {
    int32_t dtype = run->linear->dtype;
    bool streams = dtype == TRI_F32 || dtype == TRI_BF16 || dtype == TRI_F16;
    if (streams && run->n_rows <= TILE) {
        stream_panels(run, dtype == TRI_F32    ? TRI_TILE_F32
                           : dtype == TRI_BF16 ? TRI_TILE_BF16
                                               : TRI_TILE_F16);
    } else {
        multiply(run, panel_weights);
    }
}

static void row_tiles(const tri_linear_run *run) {
    multiply(run, row_weights);
}

static int64_t scratch_bytes(const tri_linear *linear) {
    (void)linear;
    return (int64_t)(K_STEP + ROW_STEP) * ROWS * (int64_t)sizeof(float);
}

const tri_linear_variant tri_linear_panel_tiles_f32_avx2 = {.layout = "panel16",
    .form = TRI_X_TILES_F32,
    .tile = TILE,
    .core = panel_tiles,
    .scratch_bytes = scratch_bytes};

const tri_linear_variant tri_linear_row_tiles_f32_avx2 = {.layout = "row",
    .form = TRI_X_TILES_F32,
    .tile = TILE,
    .core = row_tiles,
    .scratch_bytes = scratch_bytes};
