/* linear.c - kernels of linear: what is asked, which core, one launch.
 *
 * Share    pieces of panels of 16 results (rows of w), taken in turn, all M rows of x
 * Bound    decode: reading w once.  Prompts: 2 M N K operations
 * Order    x prepared | barrier | cores; y may be the accumulator itself */
#include "kernels/cpu/linear.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/linear_x.h"
#include "kernels/cpu/panel16.h"

enum { X, WEIGHT, BIAS, ACCUMULATOR, SCALES, PARTS };
enum { BLOCK = 32, MAX_DIM = 1 << 30 };

/* ---- what is asked ---- */

static int32_t rounding_of(const char *activation) {
    if (strcmp(activation, "f32") == 0) return TRI_X_F32;
    if (strcmp(activation, "bf16") == 0) return TRI_X_BF16;
    return strcmp(activation, "i8") == 0 ? TRI_X_I8 : -1;
}

static bool readable_weight(int32_t dtype) {
    switch (dtype) {
    case TRI_F32:
    case TRI_F16:
    case TRI_BF16:
    case TRI_I8:
    case TRI_I4:
        return true;
    default:
        return tri_int_form_of(dtype).sub != 0;
    }
}

static void read_scales(const tri_plugin_type *scales, int64_t *n_groups, int64_t *scale_step) {
    *n_groups = scales->n_dims == 2 ? scales->dims[1] : 1;
    *scale_step = scales->n_dims == 1 && scales->dims[0] == 1 ? 0 : *n_groups;
}

/* What any candidate needs; layout: that of the weight. */
static int32_t check(
    const tri_plugin_desc *desc, const char *layout, char *reason, size_t reason_bytes) {
    const tri_plugin_type *w = tri_desc_input(desc, WEIGHT), *scales = tri_desc_input(desc, SCALES);
    if (tri_require_f32(desc, X, reason, reason_bytes) ||
        tri_require_f32(desc, BIAS, reason, reason_bytes) ||
        tri_require_f32(desc, ACCUMULATOR, reason, reason_bytes) ||
        tri_require_f32(desc, SCALES, reason, reason_bytes)) {
        return 1;
    }
    if (!tri_type_has_layout(w, layout) && !tri_type_has_layout(w, "row")) {
        return tri_reject(reason, reason_bytes, "the weight is stored as %s", w->layout);
    }
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)w->dtype);
    if (w->n_dims != 2 || w->dims[0] > MAX_DIM || w->dims[1] > MAX_DIM) {
        return tri_reject(reason, reason_bytes, "the weight is no matrix of at most 2^30 rows");
    }
    if (!readable_weight(w->dtype)) {
        return tri_reject(reason, reason_bytes, "%s weights cannot be read", info->name);
    }
    if (*tri_desc_string(desc, "gate", ""))
        return tri_reject(reason, reason_bytes, "no gate is applied here");
    if (tri_desc_input(desc, PARTS))
        return tri_reject(reason, reason_bytes, "no norm is deferred to here");
    int32_t rounding = rounding_of(tri_desc_string(desc, "activation", "f32"));
    if (rounding < 0) return tri_reject(reason, reason_bytes, "unknown activation");
    if (rounding == TRI_X_I8 && w->dims[1] % BLOCK) {
        return tri_reject(reason, reason_bytes, "8-bit activations need K %% 32 == 0");
    }
    if (scales) {
        int64_t n_groups, step;
        read_scales(scales, &n_groups, &step);
        int64_t group = w->dims[1] / n_groups;
        if (info->is_block || w->dims[1] % n_groups) {
            return tri_reject(reason, reason_bytes, "scales do not fit the weight");
        }
        if (w->dtype == TRI_I4 && group % 2) {
            return tri_reject(reason, reason_bytes, "groups of i4 weights must be even");
        }
    } else if (w->dtype == TRI_I8 || w->dtype == TRI_I4) {
        return tri_reject(reason, reason_bytes, "integer weights need scales");
    }
    return 0;
}

/* Whether integer dots can be taken: by blocks of 32, a scale each. */
static int32_t check_integer(
    const tri_plugin_desc *desc, tri_x_rounding rounding, char *reason, size_t reason_bytes) {
    const tri_plugin_type *w = tri_desc_input(desc, WEIGHT), *scales = tri_desc_input(desc, SCALES);
    if (rounding_of(tri_desc_string(desc, "activation", "f32")) != (int32_t)rounding) {
        return tri_reject(
            reason, reason_bytes, "needs %s activations", rounding == TRI_X_I8 ? "8-bit" : "bf16");
    }
    if (w->dims[1] % BLOCK) return tri_reject(reason, reason_bytes, "needs K %% 32 == 0");
    if (tri_int_form_of(w->dtype).sub) return 0;
    if (w->dtype != TRI_I8 && w->dtype != TRI_I4) {
        return tri_reject(reason, reason_bytes, "needs integer weights");
    }
    int64_t n_groups, step;
    read_scales(scales, &n_groups, &step);
    if (w->dims[1] / n_groups % BLOCK) {
        return tri_reject(reason, reason_bytes, "needs groups of a multiple of 32");
    }
    return 0;
}

static int32_t supports_row(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return check(desc, "row", reason, reason_bytes);
}

static int32_t supports_row_i8(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return check(desc, "row", reason, reason_bytes) ||
           check_integer(desc, TRI_X_I8, reason, reason_bytes);
}

static int32_t check_panel(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    const tri_plugin_type *w = tri_desc_input(desc, WEIGHT);
    if (tri_panel16_bytes(w->dtype, w->dims[1]) < 0) {
        return tri_reject(
            reason, reason_bytes, "%s has no panels", tri_dtype_get((tri_dtype)w->dtype)->name);
    }
    return 0;
}

static int32_t supports_panel(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return check(desc, "panel16", reason, reason_bytes) || check_panel(desc, reason, reason_bytes);
}

static int32_t supports_panel_i8(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return supports_panel(desc, reason, reason_bytes) ||
           check_integer(desc, TRI_X_I8, reason, reason_bytes);
}

/* 16-bit integers in place of bf16 activations. */
static int32_t supports_panel_i16(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return supports_panel(desc, reason, reason_bytes) ||
           check_integer(desc, TRI_X_BF16, reason, reason_bytes);
}

/* bf16 tiles: of x rounded to bf16, and of weights that are or become bf16. */
static int32_t supports_amx(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    if (supports_panel(desc, reason, reason_bytes)) return 1;
    const tri_plugin_type *w = tri_desc_input(desc, WEIGHT), *scales = tri_desc_input(desc, SCALES);
    if (w->dtype == TRI_F32 || w->dtype == TRI_F16) {
        return tri_reject(reason, reason_bytes, "%s weights would lose precision",
            tri_dtype_get((tri_dtype)w->dtype)->name);
    }
    if (rounding_of(tri_desc_string(desc, "activation", "f32")) != TRI_X_BF16) {
        return tri_reject(reason, reason_bytes, "needs bf16 activations");
    }
    int64_t n_groups = 1, step;
    if (scales) read_scales(scales, &n_groups, &step);
    if (n_groups > 1 && w->dims[1] / n_groups % BLOCK) {
        return tri_reject(reason, reason_bytes, "needs groups of a multiple of 32");
    }
    return 0;
}

static const char *panel_layout(const tri_plugin_desc *desc, int32_t input) {
    (void)desc;
    return input == WEIGHT ? "panel16" : NULL;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    const tri_plugin_type *w = &desc->inputs[WEIGHT], *scales = tri_desc_input(desc, SCALES);
    double m = (double)tri_extent_rows(extents, desc->outputs[0].dims[0]);
    double n = (double)w->dims[0], k = (double)w->dims[1];
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)w->dtype);
    c->bytes = n * k * info->block_bytes / info->block_elems + 4 * m * (n + k);
    if (scales)
        c->bytes +=
            4.0 * (double)scales->dims[0] * (scales->n_dims == 2 ? (double)scales->dims[1] : 1.0);
    if (tri_desc_input(desc, ACCUMULATOR)) c->bytes += 4 * m * n;
    c->flops = 2 * m * n * k;
}

/* ---- state ---- */

static void describe(
    const tri_plugin_desc *desc, const tri_linear_variant *variant, tri_linear *l) {
    const tri_plugin_type *w = &desc->inputs[WEIGHT], *scales = tri_desc_input(desc, SCALES);
    *l = (tri_linear){.variant = variant,
        .first_dim = desc->outputs[0].dims[0],
        .max_rows = tri_desc_max_rows(desc, &desc->outputs[0]),
        .n = w->dims[0],
        .k = w->dims[1],
        .dtype = w->dtype,
        .rounding = (tri_x_rounding)rounding_of(tri_desc_string(desc, "activation", "f32")),
        .has_bias = tri_desc_input(desc, BIAS) != NULL,
        .has_accumulator = tri_desc_input(desc, ACCUMULATOR) != NULL};
    if (scales) read_scales(scales, &l->n_groups, &l->scale_step);
    for (const tri_linear_variant *v = variant; v; v = v->many) {
        int64_t scratch_bytes = tri_round_up(v->scratch_bytes(l), TRI_CACHE_LINE);
        if (scratch_bytes > l->scratch_bytes) l->scratch_bytes = scratch_bytes;
    }
}

static int32_t create(
    const tri_plugin_desc *desc, const tri_linear_variant *variant, void **state) {
    tri_linear *l = malloc(sizeof *l);
    if (!l) return 1;
    describe(desc, variant, l);
    *state = l;
    return 0;
}

static int64_t workspace(const tri_plugin_desc *desc, const tri_linear_variant *variant) {
    tri_linear l;
    int64_t x_bytes = 0;
    describe(desc, variant, &l);
    for (const tri_linear_variant *v = variant; v; v = v->many) {
        int64_t bytes = tri_linear_place(&l, v, l.max_rows).end_bytes;
        if (bytes > x_bytes) x_bytes = bytes;
    }
    return x_bytes + l.scratch_bytes * desc->device->n_threads;
}

/* ---- launch ---- */

/* Rows of w in a piece: some microseconds of reading, at least a few pieces a thread. */
static int64_t piece_rows(const tri_linear_run *run, int32_t n_threads) {
    enum { PIECE_BYTES = 128 << 10, PIECES_A_THREAD = 4, MOST_PANELS = 16 };
    const tri_linear *l = run->linear;
    if (n_threads == 1) return l->n;
    int64_t n_panels = (l->n + TRI_PANEL_ROWS - 1) / TRI_PANEL_ROWS;
    bool packed = strcmp(run->variant->layout, "panel16") == 0;
    int64_t panel_bytes = run->weight_stride * (packed ? 1 : TRI_PANEL_ROWS);
    int64_t most = run->n_rows <= MOST_PANELS ? PIECE_BYTES / (panel_bytes + 1) + 1 : MOST_PANELS;
    int64_t fair = n_panels / ((int64_t)n_threads * PIECES_A_THREAD);
    int64_t n = fair < most ? fair : most;
    if (n < 1) n = 1;
    return tri_round_up(n, run->n_rows > MOST_PANELS ? 2 : 4) * TRI_PANEL_ROWS; /* worked at once */
}

static const tri_linear_variant *variant_for(const tri_linear *l, int64_t n_rows) {
    const tri_linear_variant *v = l->variant;
    return v->many && n_rows >= v->many_rows ? v->many : v;
}

static void linear_launch(void *state, const tri_plugin_launch *launch) {
    const tri_linear *l = state;
    tri_linear_run run = {.linear = l,
        .n_rows = tri_launch_rows(launch, l->first_dim),
        .weight = launch->inputs[WEIGHT].data,
        .weight_stride = launch->inputs[WEIGHT].row_stride_bytes,
        .scales = l->n_groups ? launch->inputs[SCALES].data : NULL,
        .bias = l->has_bias ? launch->inputs[BIAS].data : NULL,
        .accumulator = l->has_accumulator ? &launch->inputs[ACCUMULATOR] : NULL,
        .y = &launch->outputs[0]};
    if (run.n_rows == 0) return;
    run.variant = variant_for(l, run.n_rows);
    if (strcmp(l->variant->layout, "panel16") == 0) {
        run.weight_stride = tri_panel16_bytes(l->dtype, l->k);
    }
    if (tri_linear_prepare(&run, &launch->inputs[X], launch)) {
        launch->barrier(launch->team); /* the cores read what all threads prepared */
    }
    run.scratch = (uint8_t *)launch->workspace +
                  tri_linear_place(l, run.variant, run.n_rows).end_bytes +
                  launch->thread * l->scratch_bytes;
    int64_t piece = piece_rows(&run, launch->n_threads);
    for (;;) {
        run.first = tri_launch_take(launch, 0, piece);
        if (run.first >= l->n) return;
        run.last = run.first + piece < l->n ? run.first + piece : l->n;
        run.variant->core(&run);
    }
}

void tri_linear_panel_scales(
    const tri_linear_run *run, int64_t panel, int64_t k, float scales[TRI_PANEL_ROWS]) {
    for (int64_t r = 0; r < TRI_PANEL_ROWS; r++) {
        int64_t row = panel * TRI_PANEL_ROWS + r;
        scales[r] = row < run->linear->n ? tri_linear_scale(run, row, k) : 0.0f;
    }
}

void tri_linear_decode_row(
    const tri_linear_run *run, int64_t row, int64_t k0, int64_t n, float *out) {
    const tri_linear *l = run->linear;
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)l->dtype);
    const uint8_t *bytes =
        run->weight + row * run->weight_stride + k0 / info->block_elems * info->block_bytes;
    tri_codec_decode((tri_dtype)l->dtype, bytes, out, n);
    if (!run->scales) return;
    for (int64_t i = 0; i < n; i++)
        out[i] *= tri_linear_scale(run, row, k0 + i);
}

void tri_linear_store(
    const tri_linear_run *run, int64_t row, int64_t column, int64_t n, const float *sums) {
    float *y = tri_row_f32(run->y, row) + column;
    const float *accumulator =
        run->accumulator ? tri_row_f32(run->accumulator, row) + column : NULL;
    for (int64_t i = 0; i < n; i++) {
        float sum = sums[i];
        if (run->bias) sum += run->bias[column + i];
        if (accumulator) sum += accumulator[i];
        y[i] = sum;
    }
}

/* ---- registration ---- */

#define LINEAR_KERNEL(name_, isa_, numerics_, variant_, supports_, layout_)                        \
    static int32_t create_##name_(const tri_plugin_desc *desc, void **state) {                     \
        return create(desc, &variant_, state);                                                     \
    }                                                                                              \
    static int64_t workspace_##name_(const tri_plugin_desc *desc) {                                \
        return workspace(desc, &variant_);                                                         \
    }                                                                                              \
    static const tri_plugin_kernel name_ = {                                                       \
        TRI_CPU_KERNEL("linear", "linear_" #name_, isa_, numerics_), .supports = supports_,        \
        .layout = layout_, .cost = cost, .workspace_bytes = workspace_##name_,                     \
        .create = create_##name_, .destroy = free, .launch = linear_launch};

LINEAR_KERNEL(panel16_i16_amx, "amx", "i16_blocks_bf16_tiles", tri_linear_panel_i16_amx,
    supports_panel_i16, panel_layout)
LINEAR_KERNEL(panel16_amx, "amx", "bf16_tiles", tri_linear_panel_amx, supports_amx, panel_layout)
LINEAR_KERNEL(panel16_i8_amx, "amx", "i8_blocks_bf16_tiles", tri_linear_panel_i8_amx,
    supports_panel_i8, panel_layout)
LINEAR_KERNEL(panel16_i8_avx512, "avx512", "i8_blocks", tri_linear_panel_tiles_i8_avx512,
    supports_panel_i8, panel_layout)
LINEAR_KERNEL(panel16_i16_avx512, "avx512", "i16_blocks", tri_linear_panel_tiles_i16_avx512,
    supports_panel_i16, panel_layout)
LINEAR_KERNEL(panel16_avx512, "avx512", "f32_fma", tri_linear_panel_tiles_f32_avx512,
    supports_panel, panel_layout)
LINEAR_KERNEL(panel16_i8_avx2, "avx2", "i8_blocks", tri_linear_panel_tiles_i8_avx2,
    supports_panel_i8, panel_layout)
LINEAR_KERNEL(row_i8_avx2, "avx2", "i8_lanes8", tri_linear_rows_i8_avx2, supports_row_i8, NULL)
LINEAR_KERNEL(
    panel16_avx2, "avx2", "f32_fma", tri_linear_panel_tiles_f32_avx2, supports_panel, panel_layout)
LINEAR_KERNEL(row_avx2, "avx2", "f32_fma", tri_linear_row_tiles_f32_avx2, supports_row, NULL)
LINEAR_KERNEL(row_i8_generic, "", "i8_blocks", tri_linear_rows_i8, supports_row_i8, NULL)
LINEAR_KERNEL(row_generic, "", "f32_lanes16", tri_linear_rows_f32, supports_row, NULL)

const tri_plugin_kernel *const tri_linear_kernels[] = {
    &panel16_i16_amx,
    &panel16_amx,
    &panel16_i8_amx,
    &panel16_i8_avx512,
    &panel16_i16_avx512,
    &panel16_avx512,
    &panel16_i8_avx2,
    &row_i8_avx2,
    &panel16_avx2,
    &row_avx2,
    &row_i8_generic,
    &row_generic,
    NULL,
};
