/* rows.c - kernels of rms_norm, add_rms_norm, add, mul, affine, softcap, activation,
 * gated_activation and select_rows: x [T, C] float32 to y of as many rows, any row stride.
 *
 * Share    whole rows for the norms; else pieces of CHUNK columns, so that one row has work for all
 * Bound    memory: each operand read once, each result written once */
#include "kernels/cpu/rows.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/families.h"

enum { CHUNK = 1024 };

struct tri_rows_state {
    const tri_rows_functions *functions;
    int64_t first_dim, columns, stretch;
    float a, b; /* eps; factor and offset; cap */
    int32_t kind;
};

int32_t tri_activation_of(const char *kind) {
    static const char *const kinds[4] = {"silu", "gelu", "gelu_tanh", "relu"};
    for (int32_t i = 0; i < 4; i++) {
        if (strcmp(kind, kinds[i]) == 0) return i;
    }
    return -1;
}

/* ---- what is asked ---- */

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    for (int32_t i = 0; i < desc->n_inputs; i++) {
        if (tri_require_f32(desc, i, reason, reason_bytes)) return 1;
    }
    const char *kind = tri_desc_string(desc, "kind", "silu");
    if (tri_activation_of(kind) < 0) {
        return tri_reject(reason, reason_bytes, "activation \"%s\" is unknown", kind);
    }
    return 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    double elements = 0;
    for (int32_t i = 0; i < desc->n_inputs; i++) {
        const tri_plugin_type *type = tri_desc_input(desc, i);
        if (!type) continue;
        int64_t rows = type->n_dims > 1 ? tri_extent_rows(extents, type->dims[0]) : 1;
        elements += (double)rows * (double)tri_plugin_columns(type);
    }
    double results = 0;
    for (int32_t i = 0; i < desc->n_outputs; i++) {
        results += (double)tri_extent_rows(extents, desc->outputs[i].dims[0]) *
                   (double)tri_plugin_columns(&desc->outputs[i]);
    }
    *c = (tri_plugin_cost){.bytes = 4 * (elements + results), .flops = 4 * results};
}

static int32_t create(
    const tri_plugin_desc *desc, const tri_rows_functions *functions, void **state) {
    tri_rows_state *s = calloc(1, sizeof *s);
    if (!s) return 1;
    const tri_plugin_type *y = &desc->outputs[0];
    s->functions = functions;
    s->first_dim = y->dims[0];
    s->columns = tri_plugin_columns(y);
    s->kind = tri_activation_of(tri_desc_string(desc, "kind", "silu"));
    if (strcmp(desc->op, "rms_norm") == 0 || strcmp(desc->op, "add_rms_norm") == 0) {
        s->stretch = tri_plugin_columns(&desc->inputs[desc->n_inputs - 1]);
        s->a = (float)tri_desc_float(desc, "eps", 1e-5);
    } else if (strcmp(desc->op, "affine") == 0) {
        s->a = (float)tri_desc_float(desc, "factor", 1.0);
        s->b = (float)tri_desc_float(desc, "offset", 0.0);
    } else if (strcmp(desc->op, "softcap") == 0) {
        s->a = (float)tri_desc_float(desc, "cap", 0.0);
    }
    *state = s;
    return 0;
}

static int32_t create_avx2(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_rows_avx2, state);
}
static int32_t create_generic(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_rows_generic, state);
}

/* ---- norms ---- */

static void rms_norm_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    const tri_plugin_tensor *x = &launch->inputs[0], *y = &launch->outputs[0];
    const float *w = launch->inputs[1].data;
    int64_t first, last;
    tri_launch_share(launch, tri_launch_rows(launch, s->first_dim), &first, &last);
    for (int64_t row = first; row < last; row++) {
        s->functions->rms_norm(
            tri_row_f32(x, row), w, tri_row_f32(y, row), s->columns, s->stretch, s->a);
    }
}

static void add_rms_norm_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    const tri_plugin_tensor *x = &launch->inputs[0], *r = &launch->inputs[1];
    const tri_plugin_tensor *sum = &launch->outputs[0], *y = &launch->outputs[1];
    const float *w = launch->inputs[2].data;
    int64_t first, last;
    tri_launch_share(launch, tri_launch_rows(launch, s->first_dim), &first, &last);
    for (int64_t row = first; row < last; row++) {
        float *sum_row = tri_row_f32(sum, row);
        s->functions->add(tri_row_f32(x, row), tri_row_f32(r, row), sum_row, s->columns);
        s->functions->rms_norm(sum_row, w, tri_row_f32(y, row), s->columns, s->stretch, s->a);
    }
}

/* ---- element-wise ---- */

typedef struct piece { /* of a row */
    int64_t row, column, n;
} piece;

static int64_t n_pieces(const tri_rows_state *s, const tri_plugin_launch *launch) {
    return tri_launch_rows(launch, s->first_dim) * ((s->columns + CHUNK - 1) / CHUNK);
}

static piece piece_of(const tri_rows_state *s, int64_t item) {
    int64_t n_chunks = (s->columns + CHUNK - 1) / CHUNK, column = item % n_chunks * CHUNK;
    int64_t left = s->columns - column;
    return (piece){item / n_chunks, column, left < CHUNK ? left : CHUNK};
}

static void binary_launch(const tri_rows_state *s, const tri_plugin_launch *launch,
    void (*apply)(const float *, const float *, float *, int64_t)) {
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t item = first; item < last; item++) {
        piece p = piece_of(s, item);
        apply(tri_row_f32(&launch->inputs[0], p.row) + p.column,
            tri_row_f32(&launch->inputs[1], p.row) + p.column,
            tri_row_f32(&launch->outputs[0], p.row) + p.column, p.n);
    }
}

static void add_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    binary_launch(s, launch, s->functions->add);
}

static void mul_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    binary_launch(s, launch, s->functions->mul);
}

static void affine_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t item = first; item < last; item++) {
        piece p = piece_of(s, item);
        s->functions->affine(tri_row_f32(&launch->inputs[0], p.row) + p.column,
            tri_row_f32(&launch->outputs[0], p.row) + p.column, p.n, s->a, s->b);
    }
}

static void softcap_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t item = first; item < last; item++) {
        piece p = piece_of(s, item);
        s->functions->softcap(tri_row_f32(&launch->inputs[0], p.row) + p.column,
            tri_row_f32(&launch->outputs[0], p.row) + p.column, p.n, s->a);
    }
}

static void activation_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t item = first; item < last; item++) {
        piece p = piece_of(s, item);
        s->functions->activate[s->kind](tri_row_f32(&launch->inputs[0], p.row) + p.column,
            tri_row_f32(&launch->outputs[0], p.row) + p.column, p.n);
    }
}

static void gated_activation_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t item = first; item < last; item++) {
        piece p = piece_of(s, item);
        const float *x = tri_row_f32(&launch->inputs[0], p.row) + p.column;
        s->functions->gate[s->kind](
            x, x + s->columns, tri_row_f32(&launch->outputs[0], p.row) + p.column, p.n);
    }
}

/* ---- select_rows ---- */

static int32_t select_supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return tri_require_f32(desc, 0, reason, reason_bytes);
}

static void select_rows_launch(void *state, const tri_plugin_launch *launch) {
    const tri_rows_state *s = state;
    const int32_t *rows = launch->inputs[1].data;
    int64_t first, last;
    tri_launch_share(launch, tri_launch_rows(launch, s->first_dim), &first, &last);
    for (int64_t r = first; r < last; r++) {
        memcpy(tri_row_f32(&launch->outputs[0], r), tri_row_f32(&launch->inputs[0], rows[r]),
            (size_t)s->columns * sizeof(float));
    }
}

/* ---- registration ---- */

#define ROWS_KERNEL(op, isa, numerics_)                                                            \
    static const tri_plugin_kernel op##_##isa = {                                                  \
        TRI_CPU_KERNEL(#op, #op "_" #isa, ISA_##isa, numerics_), .supports = supports,             \
        .cost = cost, .create = create_##isa, .destroy = free, .launch = op##_launch};
#define ROWS_KERNELS(op, numerics_)                                                                \
    ROWS_KERNEL(op, avx2, numerics_)                                                               \
    ROWS_KERNEL(op, generic, numerics_)
#define ISA_avx2 "avx2"
#define ISA_generic ""

ROWS_KERNELS(rms_norm, "f32_lanes16")
ROWS_KERNELS(add_rms_norm, "f32_lanes16")
ROWS_KERNELS(add, "f32")
ROWS_KERNELS(mul, "f32")
ROWS_KERNELS(affine, "f32")
ROWS_KERNELS(softcap, "f32")
ROWS_KERNELS(activation, "f32")
ROWS_KERNELS(gated_activation, "f32")

static const tri_plugin_kernel select_rows = {
    TRI_CPU_KERNEL("select_rows", "select_rows_generic", "", "f32"),
    .supports = select_supports,
    .cost = cost,
    .create = create_generic,
    .destroy = free,
    .launch = select_rows_launch,
};

const tri_plugin_kernel *const tri_rows_kernels[] = {
    &rms_norm_avx2,
    &rms_norm_generic,
    &add_rms_norm_avx2,
    &add_rms_norm_generic,
    &add_avx2,
    &add_generic,
    &mul_avx2,
    &mul_generic,
    &affine_avx2,
    &affine_generic,
    &softcap_avx2,
    &softcap_generic,
    &activation_avx2,
    &activation_generic,
    &gated_activation_avx2,
    &gated_activation_generic,
    &select_rows,
    NULL,
};
