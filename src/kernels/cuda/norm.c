/* norm.c - rms_norm and add_rms_norm by rms_norm.cu.
 *
 * Config   whole rows and long stretches: a block each, two vectors a thread; stretches of a head
 * or so: a warp each */
#include <stdlib.h>

#include "kernels/cuda/rows.h"

enum {
    WARP = 32,
    WARPS_A_BLOCK = 8, /* where a warp has a stretch of its own */
    MAX_THREADS = 1024,
    VECTORS_A_THREAD = 2,
    MAX_STRETCH = 32 * MAX_THREADS /* 32 floats a thread stay in registers */
};

typedef struct norm_arguments { /* of rms_norm.cu */
    uint64_t x, r, w, sum, y;
    int64_t x_stride, r_stride, sum_stride, y_stride;
    uint32_t n_stretches;
    float eps;
} norm_arguments;

typedef struct norm {
    tri_cuda_kernel kernel;
    bool residual;
    int64_t first_dim;
    uint32_t stretches_a_row, groups, threads; /* groups of a block, threads of it */
    float eps;
} norm;

/* ---- what is asked ---- */

static bool is_residual(const tri_plugin_desc *desc) {
    return desc->n_outputs == 2;
}
static int64_t stretch_of(const tri_plugin_desc *desc) {
    return tri_plugin_columns(&desc->inputs[desc->n_inputs - 1]);
}

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    for (int32_t i = 0; i < desc->n_inputs; i++)
        if (tri_cuda_require_floats(desc, i, reason, reason_bytes)) return 1;
    int64_t stretch = stretch_of(desc);
    if (stretch > MAX_STRETCH) {
        return tri_reject(reason, reason_bytes, "norms over %lld columns, at most %d",
            (long long)stretch, (int)MAX_STRETCH);
    }
    int64_t stretches = tri_desc_max_rows(desc, &desc->inputs[0]) *
                        (tri_plugin_columns(&desc->inputs[0]) / stretch);
    if (stretches > INT32_MAX) {
        return tri_reject(
            reason, reason_bytes, "%lld norms in a step, at most 2^31 - 1", (long long)stretches);
    }
    return 0;
}

/* ---- how ---- */

static int32_t group_threads(int64_t vectors) {
    int64_t threads = (vectors + VECTORS_A_THREAD - 1) / VECTORS_A_THREAD;
    threads = (threads + WARP - 1) / WARP * WARP;
    return threads > MAX_THREADS ? MAX_THREADS : (int32_t)threads;
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    norm *n = calloc(1, sizeof *n);
    if (!n) return 1;
    int64_t columns = tri_plugin_columns(&desc->inputs[0]), stretch = stretch_of(desc);
    int32_t vector = stretch % 4 == 0 ? 4 : 1, group = group_threads(stretch / vector);
    int32_t groups = group == WARP ? WARPS_A_BLOCK : 1;
    *n = (norm){.kernel.program.entry = "rms_norm",
        .residual = is_residual(desc),
        .first_dim = desc->inputs[0].dims[0],
        .stretches_a_row = (uint32_t)(columns / stretch),
        .groups = (uint32_t)groups,
        .threads = (uint32_t)(group * groups),
        .eps = (float)tri_desc_float(desc, "eps", 1e-5)};
    const struct {
        const char *name;
        int64_t value;
    } defines[] = {
        {"P_COLUMNS", columns},
        {"P_STRETCH", stretch},
        {"P_GROUP", group},
        {"P_GROUPS", groups},
        {"P_VECTOR", vector},
        {"P_X", tri_cuda_element(desc->inputs[0].dtype)},
        {"P_W", tri_cuda_element(desc->inputs[desc->n_inputs - 1].dtype)},
        {"P_Y", tri_cuda_element(desc->outputs[desc->n_outputs - 1].dtype)},
        {"P_RESIDUAL", n->residual},
    };
    for (size_t i = 0; i < sizeof defines / sizeof defines[0]; i++)
        tri_cuda_define(&n->kernel.program, defines[i].name, defines[i].value);
    *state = n;
    return 0;
}

static void launch(void *state, const tri_plugin_launch *l) {
    norm *n = state;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        tri_cuda_kernel_prepare(&n->kernel, queue);
        return;
    }
    int32_t last_input = n->residual ? 2 : 1, last_output = n->residual ? 1 : 0;
    const tri_plugin_tensor *x = &l->inputs[0], *r = &l->inputs[1], *w = &l->inputs[last_input];
    const tri_plugin_tensor *sum = &l->outputs[0], *y = &l->outputs[last_output];
    int64_t rows = tri_extent_rows(&l->step->extents, n->first_dim);
    const norm_arguments a = {.x = tri_cuda_address(x->data),
        .r = tri_cuda_address(r->data),
        .w = tri_cuda_address(w->data),
        .sum = tri_cuda_address(sum->data),
        .y = tri_cuda_address(y->data),
        .x_stride = x->row_stride_bytes,
        .r_stride = r->row_stride_bytes,
        .sum_stride = sum->row_stride_bytes,
        .y_stride = y->row_stride_bytes,
        .n_stretches = (uint32_t)rows * n->stretches_a_row,
        .eps = n->eps};
    if (!a.n_stretches) return;
    const tri_cuda_grid grid = {
        .grid_x = (a.n_stretches + n->groups - 1) / n->groups, .grid_y = 1, .block = n->threads};
    tri_cuda_kernel_enqueue(&n->kernel, queue, &grid, &a);
}

const tri_plugin_kernel tri_cuda_rms_norm = {
    TRI_CUDA_KERNEL("rms_norm", "rms_norm_cuda", "sm_80", "f32_threads2"),
    .supports = supports,
    .cost = tri_cuda_rows_cost,
    .create = create,
    .destroy = free,
    .launch = launch,
};

const tri_plugin_kernel tri_cuda_add_rms_norm = {
    TRI_CUDA_KERNEL("add_rms_norm", "add_rms_norm_cuda", "sm_80", "f32_threads2"),
    .supports = supports,
    .cost = tri_cuda_rows_cost,
    .create = create,
    .destroy = free,
    .launch = launch,
};
