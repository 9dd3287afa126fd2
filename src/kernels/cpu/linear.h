/* linear.h - y [M, N] = (x [M, K] w^T) * scales + bias + accumulator: what its candidates share.
 *
 * A candidate is a core (how the sums are taken) over one form of x:
 *
 *     core            weights            x as                  sums, in the order of K
 *     rows_f32        any, layout row    f32 rows              16 lanes, multiplied and added
 *     rows_i8         integer, row       i8 rows               one chain over sub-blocks
 *     rows_i8_lanes   integer, row       i8 rows               8 lanes, then across
 *     tiles_f32       any                f32 tiles             one chain of fused multiply-adds
 *     tiles_i8        panel16, integer   i8 tiles              one chain over blocks of 32
 *     tiles_i16       panel16, integer   i16 tiles             one chain over blocks of 32
 *     tiles_bf16      panel16, not f32   bf16 tiles            one chain over AMX tiles, 32 of K
 * each
 *
 * x is prepared in workspace by all threads first: rounded or quantised as `activation` says, and
 * for tiles interleaved, [K][m] for the m rows of a tile, so that a core walks one stream.  Then
 * threads take pieces of panels of 16 results for all M rows.  No sum depends on where a row lies
 * among them or on who computes it; none on M, but where a variant hands over to another from some
 * M on (`many`), which only quantised weights do. */
#ifndef TRI_KERNELS_CPU_LINEAR_H
#define TRI_KERNELS_CPU_LINEAR_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/int_form.h"

enum {
    TRI_LINEAR_TILE_F32 = 6, /* most rows of a tile */
    TRI_LINEAR_TILE_I8 = 4,
    TRI_LINEAR_TILE_F32_AVX512 = 12,
    TRI_LINEAR_TILE_I8_AVX512 = 8,
    TRI_LINEAR_TILE_I16_AVX512 = 4,
    TRI_LINEAR_K_STEP = 256,  /* K at a time when weights are unpacked; a multiple of any block */
    TRI_LINEAR_ROW_STEP = 192 /* rows of x at a time; a multiple of the tiles */
};

typedef enum tri_x_rounding { TRI_X_F32, TRI_X_BF16, TRI_X_I8 } tri_x_rounding;

typedef enum tri_x_form { /* how the core wants x */
    TRI_X_ROWS_F32,
    TRI_X_ROWS_I8,
    TRI_X_TILES_F32,
    TRI_X_TILES_I8,
    TRI_X_TILES_I16,
    TRI_X_TILES_BF16
} tri_x_form;

typedef struct tri_linear tri_linear;
typedef struct tri_linear_variant tri_linear_variant;

/* x prepared.  Of the forms, those that the core asked for are set; strides are in elements. */
typedef struct tri_linear_x {
    const float *f32; /* rows [M][row_stride], or tiles [K][m] one after the other */
    int64_t row_stride;
    const int8_t *i8;     /* rows [M][K], or tiles [K/4][m][4]; of 16 bits the upper eight */
    const int8_t *i8_low; /* tiles of 16 bits: what 256 times those leave, -128 to 127 */
    const float *scales;  /* rows [M][K/32], or tiles [K/32][m] */
    const float
        *scaled_sums;     /* scale * sum of q: rows [M][K/16] of 16 each, tiles [K/32][m] of 32 */
    const int32_t *sums;  /* tiles [K/16][m]: sum of q over 16 */
    const uint16_t *bf16; /* tiles [M/16][K/32][16][32], K padded with zeros, M with anything */
} tri_linear_x;

typedef struct tri_linear_run { /* one launch on one thread */
    const tri_linear *linear;
    const tri_linear_variant *variant; /* for this many rows */
    const uint8_t *weight;
    int64_t weight_stride;                /* bytes of a row; of a panel when packed */
    const float *scales;                  /* NULL: none */
    const float *bias;                    /* NULL: none */
    const tri_plugin_tensor *accumulator; /* NULL: none */
    const tri_plugin_tensor *y;
    tri_linear_x x;
    int64_t n_rows;      /* M */
    int64_t first, last; /* rows of w: a piece */
    uint8_t *scratch;    /* this thread's, tri_linear.scratch_bytes */
} tri_linear_run;

typedef void (*tri_linear_core)(const tri_linear_run *run);

struct tri_linear_variant {
    const char *layout; /* of weights */
    tri_x_form form;
    int32_t tile; /* most rows of a tile, 0: rows */
    tri_linear_core core;
    int64_t (*scratch_bytes)(const tri_linear *linear);
    /* For TRI_X_TILES_BF16: n columns of a row of x, from a multiple of 32 on, into the row's place
     * in each tile (TRI_LINEAR_BF16_TILE apart), the last tile filled with zeros. */
    void (*round_bf16)(const float *x, int64_t n, uint16_t *out);
    const tri_linear_variant *many; /* takes over from many_rows rows on; NULL: none does */
    int32_t many_rows;
};
enum { TRI_LINEAR_BF16_TILE = 16 * 32 };

struct tri_linear { /* a launch's state */
    const tri_linear_variant *variant;
    int64_t first_dim, max_rows, n, k;
    int32_t dtype; /* of weights */
    tri_x_rounding rounding;
    int64_t n_groups;   /* columns that share a scale are k / n_groups; 0: no scales */
    int64_t scale_step; /* floats from one row's scales to the next: 0 when all rows share one */
    bool has_bias, has_accumulator;
    int64_t scratch_bytes; /* a thread's */
};

/* ---- tiles: M rows in the fewest tiles of at most `most`, sizes as even as can be ---- */

typedef struct tri_tiling {
    int64_t n_tiles, small, n_large; /* the first n_large have small + 1 rows */
} tri_tiling;

static inline tri_tiling tri_tile_rows(int64_t n_rows, int32_t most) {
    int64_t n_tiles = (n_rows + most - 1) / most;
    if (n_tiles == 0) return (tri_tiling){0, 0, 0};
    return (tri_tiling){n_tiles, n_rows / n_tiles, n_rows % n_tiles};
}
static inline int64_t tri_tile_first(const tri_tiling *t, int64_t tile) {
    return tile * t->small + (tile < t->n_large ? tile : t->n_large);
}
static inline int32_t tri_tile_size(const tri_tiling *t, int64_t tile) {
    return (int32_t)(t->small + (tile < t->n_large ? 1 : 0));
}

/* ---- helpers of cores ---- */

static inline float tri_linear_scale(const tri_linear_run *run, int64_t row, int64_t k) {
    const tri_linear *l = run->linear;
    return run->scales[row * l->scale_step + k / (l->k / l->n_groups)];
}

/* Scales of a panel's 16 rows for the group that k is in; rows past the end get 0. */
void tri_linear_panel_scales(const tri_linear_run *run, int64_t panel, int64_t k, float scales[16]);

/* Weights [k0, k0 + n) of one row of layout "row" as float32, scales applied.  k0 and n are
 * multiples of the format's block. */
void tri_linear_decode_row(
    const tri_linear_run *run, int64_t row, int64_t k0, int64_t n, float *out);

/* y = sum + bias + accumulator for columns [column, column + n) of one row. */
void tri_linear_store(
    const tri_linear_run *run, int64_t row, int64_t column, int64_t n, const float *sums);

/* ---- variants ---- */

extern const tri_linear_variant tri_linear_rows_f32, tri_linear_rows_i8;
extern const tri_linear_variant tri_linear_row_tiles_f32_avx2, tri_linear_panel_tiles_f32_avx2;
extern const tri_linear_variant tri_linear_rows_i8_avx2, tri_linear_panel_tiles_i8_avx2;
extern const tri_linear_variant tri_linear_panel_tiles_f32_avx512;
extern const tri_linear_variant tri_linear_panel_tiles_i8_avx512;
extern const tri_linear_variant tri_linear_panel_amx;    /* bf16 tiles */
extern const tri_linear_variant tri_linear_panel_i8_amx; /* i8 tiles, bf16 tiles for many rows */
extern const tri_linear_variant tri_linear_panel_tiles_i16_avx512;
extern const tri_linear_variant tri_linear_panel_i16_amx; /* i16 tiles, bf16 tiles for many rows */

#endif
