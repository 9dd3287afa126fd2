/* embedding.c - embedding by embedding.cu: tables of f32, bf16, f16, or i8 with scales. */
#include <stdlib.h>

#include "base/codec.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/rows.h"

enum { TOKENS, TABLE, SCALES };
enum { WARP = 32, MAX_THREADS = 512 };

typedef struct embedding {
    tri_cuda_kernel kernel;
    bool scaled;
    int64_t scale_stride;
    int32_t first, n_rows, columns_a_scale;
    uint32_t threads;
} embedding;

/* ---- what is asked ---- */

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    const tri_plugin_type *table = &desc->inputs[TABLE], *scales = tri_desc_input(desc, SCALES);
    if (!tri_type_has_layout(table, "row"))
        return tri_reject(reason, reason_bytes, "the table is stored as %s", table->layout);
    if (table->n_dims != 2 || tri_cuda_element(table->dtype) < 0) {
        return tri_reject(reason, reason_bytes, "the table is %s; f32, bf16, f16, i8 can be",
            tri_dtype_name((tri_dtype)table->dtype));
    }
    if (table->dims[0] > INT32_MAX || table->dims[1] > INT32_MAX / 2)
        return tri_reject(reason, reason_bytes, "the table has more than 2^31 rows or columns");
    if (scales && (scales->dtype != TRI_F32 || !tri_type_has_layout(scales, "row")))
        return tri_reject(reason, reason_bytes, "scales are not float32 rows");
    if (scales && scales->n_dims == 2 && table->dims[1] % scales->dims[1])
        return tri_reject(reason, reason_bytes, "scales do not fit the table");
    return 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    const tri_plugin_type *table = &desc->inputs[TABLE];
    double elements = (double)extents->n_tokens * (double)table->dims[1];
    int32_t element = tri_cuda_element(table->dtype);
    *c = (tri_plugin_cost){.bytes = elements * (4 + tri_cuda_element_bytes(element))};
}

/* ---- how ---- */

typedef struct config {
    int64_t columns;
    int32_t element, n_parts;
    bool scaled;
} config;

/* The program, and how many threads its blocks have. */
static uint32_t make_program(const config *c, tri_cuda_program *program) {
    int64_t vector = c->columns % 4 == 0 ? 4 : 1;
    int64_t threads = (c->columns / vector + WARP - 1) / WARP * WARP;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    *program = (tri_cuda_program){.entry = "embedding"};
    tri_cuda_define(program, "P_COLUMNS", c->columns);
    tri_cuda_define(program, "P_THREADS", threads);
    tri_cuda_define(program, "P_VECTOR", vector);
    tri_cuda_define(program, "P_TABLE", c->element);
    tri_cuda_define(program, "P_SCALED", c->scaled);
    tri_cuda_define(program, "P_PARTS", c->n_parts);
    tri_cuda_define(program, "P_NORM_STRIDE", TRI_CUDA_NORM_STRIDE);
    return (uint32_t)threads;
}

void tri_cuda_embedding_program(int64_t columns, int32_t n_parts, int32_t n_rows,
    tri_cuda_program *program, tri_cuda_grid *grid) {
    const config c = {.columns = columns, .element = TRI_CUDA_BF16, .n_parts = n_parts};
    *grid = (tri_cuda_grid){
        .grid_x = (uint32_t)n_rows, .grid_y = 1, .block = make_program(&c, program)};
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    const tri_plugin_type *table = &desc->inputs[TABLE], *scales = tri_desc_input(desc, SCALES);
    embedding *e = calloc(1, sizeof *e);
    if (!e) return 1;
    const config c = {.columns = table->dims[1],
        .element = tri_cuda_element(table->dtype),
        .scaled = scales != NULL};
    e->scaled = c.scaled;
    e->threads = make_program(&c, &e->kernel.program);
    e->first = (int32_t)tri_desc_int(desc, "first", 0);
    e->n_rows = (int32_t)table->dims[0];
    e->columns_a_scale = (int32_t)table->dims[1];
    if (scales && scales->n_dims == 2) {
        e->scale_stride = scales->dims[1];
        e->columns_a_scale = (int32_t)(table->dims[1] / scales->dims[1]);
    } else if (scales) {
        e->scale_stride = scales->dims[0] == 1 ? 0 : 1;
    }
    *state = e;
    return 0;
}

static void launch(void *state, const tri_plugin_launch *l) {
    embedding *e = state;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        tri_cuda_kernel_prepare(&e->kernel, queue);
        return;
    }
    const tri_plugin_tensor *table = &l->inputs[TABLE], *x = &l->outputs[0];
    const tri_cuda_embedding_arguments a = {.tokens = tri_cuda_address(l->inputs[TOKENS].data),
        .table = tri_cuda_address(table->data),
        .scales = e->scaled ? tri_cuda_address(l->inputs[SCALES].data) : 0,
        .x = tri_cuda_address(x->data),
        .table_stride = table->row_stride_bytes,
        .x_stride = x->row_stride_bytes,
        .scale_stride = e->scale_stride,
        .first = e->first,
        .n_rows = e->n_rows,
        .columns_a_scale = e->columns_a_scale};
    const tri_cuda_grid grid = {
        .grid_x = (uint32_t)l->step->extents.n_tokens, .grid_y = 1, .block = e->threads};
    if (grid.grid_x) tri_cuda_kernel_enqueue(&e->kernel, queue, &grid, &a);
}

const tri_plugin_kernel tri_cuda_embedding = {
    TRI_CUDA_KERNEL("embedding", "embedding_cuda", "sm_80", "f32"),
    .supports = supports,
    .cost = cost,
    .create = create,
    .destroy = free,
    .launch = launch,
};
