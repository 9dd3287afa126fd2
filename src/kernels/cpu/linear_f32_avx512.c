/* linear_f32_avx512.c - cores of linear in float32: the chains of linear_f32_avx2.c, bit for bit, a
 * panel's 16 results in one register.
 *
 *     M <= 6   weights are streamed once, widened in registers; several panels at a time hide the
 *              latency of the chains
 *     M > 6    K_STEP x 16 weights at a time become float32 in scratch, two panels' at once
 *              (float32 panels are used where they are), and meet every tile of up to 12 rows */
#include "kernels/cpu/linear.h"
#include "kernels/cpu/panel16.h"
#include "kernels/cpu/panel_avx512.h"

enum {
    ROWS = TRI_PANEL_ROWS,
    BLOCK = TRI_PANEL_BLOCK,
    TILE = TRI_LINEAR_TILE_F32_AVX512,
    STREAM_ROWS = 6,
    K_STEP = TRI_LINEAR_K_STEP,
    ROW_STEP = TRI_LINEAR_ROW_STEP,
    MAX_PANELS = 4
};

typedef enum weight_form { F32, BF16, F16 } weight_form;

/* ---- tiles ---- */

typedef struct tile_job {
    const uint8_t *w;
    int64_t stride_bytes, ahead_bytes; /* to the next panel; of the stream, what to ask for */
    const float *x;                    /* [n][m] */
    int64_t n;
    bool fresh;
    float *sums; /* [n_panels][m][16], sums_panel floats from one panel to the next */
    int64_t sums_panel;
} tile_job;

TRI_INLINE void tile_body(
    const weight_form form, const int64_t m, const int64_t n_panels, const tile_job *job) {
    const __m512i high = _mm512_set1_epi32((int32_t)0xFFFF0000);
    __m512 acc[MAX_PANELS][TILE];
    const uint8_t *w = job->w;
    const float *x = job->x;
#pragma GCC unroll 4
    for (int64_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 12
        for (int64_t r = 0; r < m; r++) {
            const float *at = job->sums + p * job->sums_panel + r * ROWS;
            acc[p][r] = job->fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(at);
        }
    }
    int64_t k = 0;
    if (form == BF16) {
        for (; k + 2 <= job->n; k += 2, w += 64, x += 2 * m) {
#pragma GCC unroll 4
            for (int64_t p = 0; p < n_panels; p++) {
                const uint8_t *at = w + p * job->stride_bytes;
                _mm_prefetch((const char *)at + job->ahead_bytes, _MM_HINT_T0);
                __m512i pair = _mm512_loadu_si512(at);
                __m512 w0 = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
                __m512 w1 = _mm512_castsi512_ps(_mm512_and_si512(pair, high));
#pragma GCC unroll 12
                for (int64_t r = 0; r < m; r++) {
                    acc[p][r] = _mm512_fmadd_ps(w0, _mm512_set1_ps(x[r]), acc[p][r]);
                    acc[p][r] = _mm512_fmadd_ps(w1, _mm512_set1_ps(x[m + r]), acc[p][r]);
                }
            }
        }
    }
    for (; k < job->n; k++, x += m) {
#pragma GCC unroll 4
        for (int64_t p = 0; p < n_panels; p++) {
            const uint8_t *at = w + p * job->stride_bytes;
            __m512 wk;
            if (form == F32) {
                _mm_prefetch((const char *)at + job->ahead_bytes, _MM_HINT_T0);
                wk = _mm512_loadu_ps((const float *)(const void *)at);
            } else if (form == F16) {
                if (k % 2 == 0) _mm_prefetch((const char *)at + job->ahead_bytes, _MM_HINT_T0);
                wk = tri_load16_f16(at);
            } else { /* the odd one of the last pair */
                wk = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(at), 16));
            }
#pragma GCC unroll 12
            for (int64_t r = 0; r < m; r++)
                acc[p][r] = _mm512_fmadd_ps(wk, _mm512_set1_ps(x[r]), acc[p][r]);
        }
        w += form == F16 ? 32 : 64;
    }
#pragma GCC unroll 4
    for (int64_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 12
        for (int64_t r = 0; r < m; r++)
            _mm512_storeu_ps(job->sums + p * job->sums_panel + r * ROWS, acc[p][r]);
    }
}

typedef void (*tile_fn)(const tile_job *job);

#define DEFINE_TILE(form, m, n_panels)                                                             \
    static void tile_##form##_##m##_##n_panels(const tile_job *job) {                              \
        tile_body(form, m, n_panels, job);                                                         \
    }
#define DEFINE_STREAMS(form)                                                                       \
    DEFINE_TILE(form, 1, 1)                                                                        \
    DEFINE_TILE(form, 2, 1)                                                                        \
    DEFINE_TILE(form, 3, 1)                                                                        \
    DEFINE_TILE(form, 4, 1)                                                                        \
    DEFINE_TILE(form, 5, 1)                                                                        \
    DEFINE_TILE(form, 6, 1)                                                                        \
    DEFINE_TILE(form, 1, 4)                                                                        \
    DEFINE_TILE(form, 2, 4)                                                                        \
    DEFINE_TILE(form, 3, 4)                                                                        \
    DEFINE_TILE(form, 4, 4)                                                                        \
    DEFINE_TILE(form, 5, 4)                                                                        \
    DEFINE_TILE(form, 6, 4)
DEFINE_STREAMS(F32)
DEFINE_STREAMS(BF16)
DEFINE_STREAMS(F16)
#define STREAMS(form, n)                                                                           \
    {                                                                                              \
        tile_##form##_1_##n, tile_##form##_2_##n, tile_##form##_3_##n, tile_##form##_4_##n,        \
            tile_##form##_5_##n, tile_##form##_6_##n                                               \
    }
/* [form][m - 1] */
static const tile_fn narrow[3][STREAM_ROWS] = {STREAMS(F32, 1), STREAMS(BF16, 1), STREAMS(F16, 1)};
static const tile_fn wide[3][STREAM_ROWS] = {STREAMS(F32, 4), STREAMS(BF16, 4), STREAMS(F16, 4)};

#define DEFINE_BLOCKS(n)                                                                           \
    DEFINE_TILE(F32, 7, n)                                                                         \
    DEFINE_TILE(F32, 8, n)                                                                         \
    DEFINE_TILE(F32, 9, n)                                                                         \
    DEFINE_TILE(F32, 10, n)                                                                        \
    DEFINE_TILE(F32, 11, n)                                                                        \
    DEFINE_TILE(F32, 12, n)
DEFINE_BLOCKS(1)
DEFINE_TILE(F32, 1, 2)
DEFINE_TILE(F32, 2, 2)
DEFINE_TILE(F32, 3, 2)
DEFINE_TILE(F32, 4, 2)
DEFINE_TILE(F32, 5, 2)
DEFINE_TILE(F32, 6, 2)
DEFINE_BLOCKS(2)
#define BLOCKS(n)                                                                                  \
    {                                                                                              \
        tile_F32_1_##n, tile_F32_2_##n, tile_F32_3_##n, tile_F32_4_##n, tile_F32_5_##n,            \
            tile_F32_6_##n, tile_F32_7_##n, tile_F32_8_##n, tile_F32_9_##n, tile_F32_10_##n,       \
            tile_F32_11_##n, tile_F32_12_##n                                                       \
    }
/* [n_panels - 1][m - 1] */
static const tile_fn blocks[2][TILE] = {BLOCKS(1), BLOCKS(2)};

static void store_tile(
    const tri_linear_run *run, int64_t first_row, int32_t m, int64_t column, const float *sums) {
    int64_t n = run->linear->n - column < ROWS ? run->linear->n - column : ROWS;
    for (int64_t r = 0; r < m; r++) {
        tri_linear_store(run, first_row + r, column, n, sums + r * ROWS);
    }
}

/* ---- few rows: straight from the panels ---- */

static void stream_panels(const tri_linear_run *run, weight_form form) {
    const tri_linear *l = run->linear;
    int32_t m = (int32_t)run->n_rows;
    int64_t last = (run->last + ROWS - 1) / ROWS;
    float sums[MAX_PANELS * STREAM_ROWS * ROWS];
    for (int64_t panel = run->first / ROWS; panel < last;) {
        int64_t n_panels = last - panel >= MAX_PANELS ? MAX_PANELS : 1;
        tile_job job = {.w = run->weight + panel * run->weight_stride,
            .stride_bytes = run->weight_stride,
            .ahead_bytes = TRI_STREAM_AHEAD_BYTES,
            .x = run->x.f32,
            .n = l->k,
            .fresh = true,
            .sums = sums,
            .sums_panel = (int64_t)m * ROWS};
        (n_panels > 1 ? wide : narrow)[form][m - 1](&job);
        for (int64_t p = 0; p < n_panels; p++, panel++) {
            store_tile(run, 0, m, panel * ROWS, sums + p * m * ROWS);
        }
    }
}

/* ---- weights of a panel as float32 [n][16] ---- */

/* The step of packed weights that follows these, while there is other work to hide it behind. */
TRI_INLINE void prefetch_next(const uint8_t *at, int64_t step_bytes) {
    _mm_prefetch((const char *)at + step_bytes, _MM_HINT_T0);
}

/* k0 is where a block of the format starts. */
static void unpack_blocks(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *out) {
    const tri_panel_form f = tri_panel_form_of(run->linear->dtype);
    const __m512i offset = _mm512_set1_epi32(f.offset);
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
        for (int64_t quad = 0; quad < BLOCK / 4; quad++) {
            __m512i q = tri_load_quad(f, at + tri_panel_scale_bytes(f), quad);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++, out += ROWS) {
                __m512 w = _mm512_mul_ps(tri_quad_value(q, i, offset), s.d[quad / 4]);
                if (f.has_min) w = _mm512_add_ps(w, s.m);
                _mm512_storeu_ps(out, w);
            }
        }
    }
}

/* i8 and i4 with scales; k0 is a multiple of 4. */
static void unpack_integers(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *out) {
    const tri_linear *l = run->linear;
    const tri_panel_form f = tri_panel_form_of(l->dtype);
    const __m512i offset = _mm512_set1_epi32(f.offset);
    const uint8_t *at = run->weight + panel * run->weight_stride;
    int64_t group = l->k / l->n_groups, group_end = k0;
    float scales[ROWS] = {0};
    for (int64_t k = k0; k < k0 + n; k++, out += ROWS) {
        if (k >= group_end) {
            tri_linear_panel_scales(run, panel, k, scales);
            group_end = (k / group + 1) * group;
        }
        __m512i q = tri_load_quad(f, at + k / 4 * (f.nibbles ? 32 : 64), 0);
        __m512 w = tri_quad_value(q, (int)(k % 4), offset);
        _mm512_storeu_ps(out, _mm512_mul_ps(w, _mm512_loadu_ps(scales)));
    }
}

/* Weights [k0, k0 + n) of a panel as float32. */
static void unpack_panel(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, float *out) {
    const tri_linear *l = run->linear;
    const uint8_t *at = run->weight + panel * run->weight_stride;
    switch (l->dtype) {
    case TRI_F16:
        at += k0 * ROWS * 2;
        for (int64_t k = 0; k < n; k++) {
            prefetch_next(at + k * ROWS * 2, n * ROWS * 2);
            _mm512_storeu_ps(out + k * ROWS, tri_load16_f16(at + k * ROWS * 2));
        }
        break;
    case TRI_BF16: {
        const __m512i high = _mm512_set1_epi32((int32_t)0xFFFF0000);
        at += k0 * ROWS * 2;
        for (int64_t k = 0; k < n; k++) {
            prefetch_next(at + k / 2 * 64, (n + 1) / 2 * 64);
            __m512i pair = _mm512_loadu_si512(at + k / 2 * 64);
            pair = k % 2 ? _mm512_and_si512(pair, high) : _mm512_slli_epi32(pair, 16);
            _mm512_storeu_si512(out + k * ROWS, pair);
        }
        break;
    }
    case TRI_I8:
    case TRI_I4:
        unpack_integers(run, panel, k0, n, out);
        break;
    default:
        unpack_blocks(run, panel, k0, n, out);
        break;
    }
}

/* ---- many rows ---- */

enum { SUMS = ROW_STEP * ROWS, UNPACKED = K_STEP * ROWS }; /* floats of one panel */

static void multiply_panels(const tri_linear_run *run, const tri_tiling *tiling, int64_t first_tile,
    int64_t last_tile, int64_t panel, int64_t n_panels) {
    const tri_linear *l = run->linear;
    float *unpacked = (float *)(void *)run->scratch, *sums = unpacked + (int64_t)2 * UNPACKED;
    int64_t first_row = tri_tile_first(tiling, first_tile);
    for (int64_t k0 = 0; k0 < l->k; k0 += K_STEP) {
        int64_t n = l->k - k0 < K_STEP ? l->k - k0 : K_STEP;
        tile_job job = {.w = (const uint8_t *)unpacked,
            .stride_bytes = UNPACKED * (int64_t)sizeof(float),
            .n = n,
            .fresh = k0 == 0,
            .sums_panel = SUMS};
        if (l->dtype == TRI_F32) {
            job.w = run->weight + panel * run->weight_stride + k0 * ROWS * 4;
            job.stride_bytes = run->weight_stride;
        } else {
            for (int64_t p = 0; p < n_panels; p++)
                unpack_panel(run, panel + p, k0, n, unpacked + p * UNPACKED);
        }
        for (int64_t t = first_tile; t < last_tile; t++) {
            int64_t row = tri_tile_first(tiling, t);
            int32_t m = tri_tile_size(tiling, t);
            /* Weights used in place: the first tile brings the next step's. */
            job.ahead_bytes = l->dtype == TRI_F32 && t == first_tile ? n * ROWS * 4 : 0;
            job.x = run->x.f32 + row * l->k + k0 * m;
            job.sums = sums + (row - first_row) * ROWS;
            blocks[n_panels - 1][m - 1](&job);
        }
    }
    for (int64_t t = first_tile; t < last_tile; t++) {
        int64_t row = tri_tile_first(tiling, t);
        for (int64_t p = 0; p < n_panels; p++) {
            store_tile(run, row, tri_tile_size(tiling, t), (panel + p) * ROWS,
                sums + p * SUMS + (row - first_row) * ROWS);
        }
    }
}

static void panel_tiles(const tri_linear_run *run) {
    int32_t dtype = run->linear->dtype;
    bool streams = dtype == TRI_F32 || dtype == TRI_BF16 || dtype == TRI_F16;
    if (streams && run->n_rows <= STREAM_ROWS) {
        stream_panels(run, dtype == TRI_F32 ? F32 : dtype == TRI_BF16 ? BF16 : F16);
        return;
    }
    tri_tiling tiling = tri_tile_rows(run->n_rows, TILE);
    int64_t step = ROW_STEP / TILE, last = (run->last + ROWS - 1) / ROWS;
    for (int64_t tile = 0; tile < tiling.n_tiles; tile += step) {
        int64_t last_tile = tile + step < tiling.n_tiles ? tile + step : tiling.n_tiles;
        for (int64_t panel = run->first / ROWS; panel < last; panel += 2) {
            int64_t n_panels = last - panel < 2 ? 1 : 2;
            multiply_panels(run, &tiling, tile, last_tile, panel, n_panels);
        }
    }
}

static int64_t scratch_bytes(const tri_linear *linear) {
    (void)linear;
    return (int64_t)2 * (UNPACKED + SUMS) * (int64_t)sizeof(float);
}

const tri_linear_variant tri_linear_panel_tiles_f32_avx512 = {.layout = "panel16",
    .form = TRI_X_TILES_F32,
    .tile = TILE,
    .core = panel_tiles,
    .scratch_bytes = scratch_bytes};
