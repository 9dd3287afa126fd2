/* elementwise.c - add, mul, affine, softcap, activation, gated_activation, select_rows by
 * elementwise.cu.
 *
 * Config   a block has 512 vectors; operands of two bytes need twice the loads in flight to keep
 *          the memory busy, so a thread has four vectors of those, else two */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/rows.h"

enum { UNITS_A_BLOCK = 512 };
enum { ADD, MUL, AFFINE, SOFTCAP, ACTIVATION, GATED, SELECT, N_OPS }; /* as in elementwise.cu */

typedef struct elementwise_arguments { /* of elementwise.cu */
    uint64_t a, b, y, rows;
    int64_t a_stride, b_stride, y_stride;
    uint32_t row_units, n_units;
    float p, q;
} elementwise_arguments;

typedef struct elementwise {
    tri_cuda_kernel kernel;
    int32_t op;
    int64_t first_dim;
    int64_t half_bytes; /* of a gated row, from the gate to what it lets through */
    uint32_t row_units, threads;
    float p, q;
} elementwise;

/* ---- what is asked ---- */

static int32_t op_of(const char *op) {
    static const char *const ops[N_OPS] = {
        "add", "mul", "affine", "softcap", "activation", "gated_activation", "select_rows"};
    int32_t i = 0;
    while (strcmp(op, ops[i]) != 0)
        i++;
    return i;
}

/* As in elementwise.cu; -1: unknown. */
static int32_t kind_of(const tri_plugin_desc *desc) {
    static const char *const kinds[] = {"silu", "gelu", "gelu_tanh", "relu"};
    for (int32_t i = 0; i < 4; i++)
        if (strcmp(tri_desc_string(desc, "kind", "silu"), kinds[i]) == 0) return i;
    return -1;
}

static bool is_binary(int32_t op) {
    return op == ADD || op == MUL;
}
static int32_t vector_of(const tri_plugin_desc *desc) {
    return tri_plugin_columns(&desc->outputs[0]) % 4 == 0 ? 4 : 1;
}

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    int32_t n = is_binary(op_of(desc->op)) ? 2 : 1;
    for (int32_t i = 0; i < n; i++)
        if (tri_cuda_require_floats(desc, i, reason, reason_bytes)) return 1;
    if (kind_of(desc) < 0) {
        return tri_reject(reason, reason_bytes, "activation \"%s\" is unknown",
            tri_desc_string(desc, "kind", "silu"));
    }
    const tri_plugin_type *y = &desc->outputs[0];
    int64_t units = tri_desc_max_rows(desc, y) * (tri_plugin_columns(y) / vector_of(desc));
    if (units > INT32_MAX) {
        return tri_reject(
            reason, reason_bytes, "%lld vectors in a step, at most 2^31 - 1", (long long)units);
    }
    return 0;
}

/* ---- how ---- */

static void set_parameters(elementwise *e, const tri_plugin_desc *desc) {
    if (e->op == AFFINE) {
        e->p = (float)tri_desc_float(desc, "factor", 1.0);
        e->q = (float)tri_desc_float(desc, "offset", 0.0);
    } else if (e->op == SOFTCAP) {
        e->p = (float)tri_desc_float(desc, "cap", 0.0);
    }
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    elementwise *e = calloc(1, sizeof *e);
    if (!e) return 1;
    const tri_plugin_type *y = &desc->outputs[0];
    int32_t op = op_of(desc->op), vector = vector_of(desc);
    int32_t a = tri_cuda_element(desc->inputs[0].dtype);
    int32_t b = is_binary(op) ? tri_cuda_element(desc->inputs[1].dtype) : a;
    int32_t per_thread = a == TRI_CUDA_F32 ? 2 : 4;
    *e = (elementwise){.kernel.program.entry = "elementwise",
        .op = op,
        .first_dim = y->dims[0],
        .half_bytes = tri_plugin_columns(y) * tri_cuda_element_bytes(a),
        .row_units = (uint32_t)(tri_plugin_columns(y) / vector),
        .threads = (uint32_t)(UNITS_A_BLOCK / per_thread)};
    set_parameters(e, desc);
    const struct {
        const char *name;
        int64_t value;
    } defines[] = {
        {"P_OP", op},
        {"P_KIND", kind_of(desc)},
        {"P_VECTOR", vector},
        {"P_A", a},
        {"P_B", b},
        {"P_Y", tri_cuda_element(y->dtype)},
        {"P_PER", per_thread},
        {"P_THREADS", e->threads},
    };
    for (size_t i = 0; i < sizeof defines / sizeof defines[0]; i++)
        tri_cuda_define(&e->kernel.program, defines[i].name, defines[i].value);
    *state = e;
    return 0;
}

static void launch(void *state, const tri_plugin_launch *l) {
    elementwise *e = state;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        tri_cuda_kernel_prepare(&e->kernel, queue);
        return;
    }
    const tri_plugin_tensor *x = &l->inputs[0], *y = &l->outputs[0];
    const tri_plugin_tensor *other = is_binary(e->op) ? &l->inputs[1] : x;
    int64_t rows = tri_extent_rows(&l->step->extents, e->first_dim);
    const elementwise_arguments a = {.a = tri_cuda_address(x->data),
        .b = tri_cuda_address(other->data) + (uint64_t)(e->op == GATED ? e->half_bytes : 0),
        .y = tri_cuda_address(y->data),
        .rows = e->op == SELECT ? tri_cuda_address(l->inputs[1].data) : 0,
        .a_stride = x->row_stride_bytes,
        .b_stride = other->row_stride_bytes,
        .y_stride = y->row_stride_bytes,
        .row_units = e->row_units,
        .n_units = (uint32_t)rows * e->row_units,
        .p = e->p,
        .q = e->q};
    if (!a.n_units) return;
    const tri_cuda_grid grid = {.grid_x = (a.n_units + UNITS_A_BLOCK - 1) / UNITS_A_BLOCK,
        .grid_y = 1,
        .block = e->threads};
    tri_cuda_kernel_enqueue(&e->kernel, queue, &grid, &a);
}

#define ELEMENTWISE_KERNEL(op_)                                                                    \
    const tri_plugin_kernel tri_cuda_##op_ = {TRI_CUDA_KERNEL(#op_, #op_ "_cuda", "sm_80", "f32"), \
        .supports = supports, .cost = tri_cuda_rows_cost, .create = create, .destroy = free,       \
        .launch = launch}

ELEMENTWISE_KERNEL(add);
ELEMENTWISE_KERNEL(mul);
ELEMENTWISE_KERNEL(affine);
ELEMENTWISE_KERNEL(softcap);
ELEMENTWISE_KERNEL(activation);
ELEMENTWISE_KERNEL(gated_activation);
ELEMENTWISE_KERNEL(select_rows);
