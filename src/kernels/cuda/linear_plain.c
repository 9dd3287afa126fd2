/* linear_plain.c - the candidate of linear that takes whatever comes. */
#include "kernels/cuda/linear_plain.h"

#include <stdlib.h>

#include "kernels/cuda/families.h"

enum { /* as the sources say */
    DOT_WARPS = 4,
    DOT_ROWS = 2, /* of w, a warp; for a single token one */
    SMALL_TILE = 64,
    LARGE_TILE = 128,
    TILE_THREADS = 256,
    TILE_PAD = 8,
    FMA_TILE = 64,
    FMA_THREADS = 128,
    FINISH_THREADS = 256,
    FILLING_BLOCKS = 132 /* large tiles from as many blocks on */
};

/* ---- programs ---- */

int64_t tri_cuda_weight_code(int32_t dtype) {
    switch (dtype) {
    case TRI_F32:
        return 0;
    case TRI_BF16:
        return 1;
    case TRI_F16:
        return 2;
    case TRI_F8_E4M3:
        return 3;
    case TRI_I8:
        return 4;
    default:
        return 5;
    }
}

static int64_t group_of(const tri_cuda_linear_ask *ask) {
    return ask->n_groups > 1 ? ask->k / ask->n_groups : 0;
}

static tri_cuda_program program(
    const tri_cuda_linear_ask *ask, const char *entry, bool bf16_out, bool rounds) {
    tri_cuda_program p = {.entry = entry};
    tri_cuda_define(&p, "P_W", tri_cuda_weight_code(ask->weight_dtype));
    tri_cuda_define(&p, "P_W_ALIGNED", ask->k % 8 == 0);
    tri_cuda_define(&p, "P_X_BF16", ask->bf16_x);
    tri_cuda_define(&p, "P_SCALES", ask->n_groups == 0 ? 0 : ask->n_groups == 1 ? 1 : 2);
    tri_cuda_define(&p, "P_BF16_OUT", bf16_out);
    if (rounds) tri_cuda_define(&p, "P_ROUND", ask->rounds);
    return p;
}

static int32_t tile_depth(const tri_cuda_linear_ask *ask, int32_t tile) {
    return tile == SMALL_TILE && group_of(ask) % 64 == 0 ? 64 : 32;
}

static void init_tile(
    tri_cuda_kernel *kernel, const tri_cuda_linear_ask *ask, int32_t tile, bool bf16_out) {
    int32_t depth = tile_depth(ask, tile), parts = ask->weight_dtype == TRI_F16 ? 3 : 2;
    kernel->program = program(ask, "linear_tile", bf16_out, false);
    kernel->shared_bytes = (uint32_t)(2 * parts * tile * (depth + TILE_PAD) * 2);
    tri_cuda_define(&kernel->program, "P_BM", tile);
    tri_cuda_define(&kernel->program, "P_BN", tile);
    tri_cuda_define(&kernel->program, "P_BK", depth);
}

void tri_cuda_plain_init(tri_cuda_plain *plain, const tri_cuda_linear_ask *ask, bool bf16_out) {
    *plain = (tri_cuda_plain){.ask = *ask,
        .tiles = (ask->rounds || ask->bf16_x) && ask->weight_dtype != TRI_F32 &&
                 group_of(ask) % 32 == 0};
    for (int32_t i = 0; i < 2; i++) {
        tri_cuda_program *p = &plain->dot[i].program;
        *p = program(ask, "linear_dot", bf16_out, true);
        tri_cuda_define(p, "P_M", i ? TRI_CUDA_DOT_TOKENS : 1);
        tri_cuda_define(p, "P_ROWS", i ? DOT_ROWS : 1);
        tri_cuda_define(p, "P_WARPS", DOT_WARPS);
    }
    if (plain->tiles) {
        init_tile(&plain->many[0], ask, SMALL_TILE, bf16_out);
        init_tile(&plain->many[1], ask, LARGE_TILE, bf16_out);
    } else {
        plain->many[0].program = program(ask, "linear_fma", bf16_out, true);
    }
}

void tri_cuda_plain_prepare(tri_cuda_plain *plain, tri_cuda_queue *queue) {
    const tri_cuda_linear_ask *ask = &plain->ask;
    tri_cuda_kernel_prepare(&plain->dot[0], queue);
    if (ask->max_rows > 1) tri_cuda_kernel_prepare(&plain->dot[1], queue);
    if (ask->max_rows <= TRI_CUDA_DOT_ROWS) return;
    tri_cuda_kernel_prepare(&plain->many[0], queue);
    if (plain->tiles) tri_cuda_kernel_prepare(&plain->many[1], queue);
}

static uint32_t blocks(int64_t n, int64_t unit) {
    return (uint32_t)((n + unit - 1) / unit);
}

static void enqueue_tiles(
    const tri_cuda_plain *plain, tri_cuda_queue *queue, const tri_cuda_plain_run *run) {
    bool large =
        (int64_t)blocks(run->n, LARGE_TILE) * blocks(run->n_rows, LARGE_TILE) >= FILLING_BLOCKS;
    int32_t tile = large ? LARGE_TILE : SMALL_TILE;
    const tri_cuda_kernel *kernel = &plain->many[large ? 1 : 0];
    const tri_cuda_grid grid = {.grid_x = blocks(run->n, tile),
        .grid_y = blocks(run->n_rows, tile),
        .block = TILE_THREADS,
        .shared_bytes = kernel->shared_bytes};
    tri_cuda_kernel_enqueue(kernel, queue, &grid, run);
}

void tri_cuda_plain_enqueue(
    const tri_cuda_plain *plain, tri_cuda_queue *queue, tri_cuda_plain_run *run) {
    const tri_cuda_linear_ask *ask = &plain->ask;
    run->n = (int32_t)ask->w_rows;
    run->k = (int32_t)ask->k;
    run->group = (int32_t)group_of(ask);
    run->scale_step = ask->one_scale ? 0 : (int32_t)ask->n_groups;
    if (run->n_rows <= TRI_CUDA_DOT_ROWS) {
        bool one = run->n_rows == 1;
        const tri_cuda_grid grid = {
            .grid_x = blocks(run->n, (int64_t)DOT_WARPS * (one ? 1 : DOT_ROWS)),
            .grid_y = blocks(run->n_rows, TRI_CUDA_DOT_TOKENS),
            .block = DOT_WARPS * 32};
        tri_cuda_kernel_enqueue(&plain->dot[one ? 0 : 1], queue, &grid, run);
    } else if (plain->tiles) {
        enqueue_tiles(plain, queue, run);
    } else {
        const tri_cuda_grid grid = {.grid_x = blocks(run->n, FMA_TILE),
            .grid_y = blocks(run->n_rows, FMA_TILE),
            .block = FMA_THREADS};
        tri_cuda_kernel_enqueue(&plain->many[0], queue, &grid, run);
    }
}

/* Results a thread: rows of sums are W columns apart, all others by 16 bytes. */
static int32_t finish_vector(int64_t n) {
    return n % 4 == 0 ? 4 : 1;
}

void tri_cuda_finish_init(tri_cuda_kernel *kernel, const tri_cuda_linear_ask *ask) {
    *kernel = (tri_cuda_kernel){.program.entry = "linear_finish"};
    tri_cuda_define(&kernel->program, "P_GATE", ask->gate);
    tri_cuda_define(&kernel->program, "P_BF16_OUT", ask->bf16_out);
    tri_cuda_define(&kernel->program, "P_VECTOR", finish_vector(ask->n));
}

void tri_cuda_finish_enqueue(const tri_cuda_kernel *kernel, tri_cuda_queue *queue,
    const tri_cuda_finish *finish, int32_t n_rows) {
    const tri_cuda_grid grid = {
        .grid_x = blocks(finish->n, (int64_t)FINISH_THREADS * finish_vector(finish->n)),
        .grid_y = (uint32_t)n_rows,
        .block = FINISH_THREADS};
    tri_cuda_kernel_enqueue(kernel, queue, &grid, finish);
}

/* ---- a launch ---- */

tri_cuda_linear_tensors tri_cuda_linear_bind(
    const tri_cuda_linear_ask *ask, const tri_plugin_launch *launch) {
    const tri_plugin_tensor *in = launch->inputs;
    return (tri_cuda_linear_tensors){.x = tri_cuda_address(in[TRI_LINEAR_X].data),
        .w = tri_cuda_address(in[TRI_LINEAR_WEIGHT].data),
        .bias = ask->bias ? tri_cuda_address(in[TRI_LINEAR_BIAS].data) : 0,
        .r = ask->add ? tri_cuda_address(in[TRI_LINEAR_ACCUMULATOR].data) : 0,
        .scales = ask->n_groups ? tri_cuda_address(in[TRI_LINEAR_SCALES].data) : 0,
        .y = tri_cuda_address(launch->outputs[0].data),
        .x_stride = in[TRI_LINEAR_X].row_stride_bytes,
        .w_stride = in[TRI_LINEAR_WEIGHT].row_stride_bytes,
        .r_stride = ask->add ? in[TRI_LINEAR_ACCUMULATOR].row_stride_bytes : 0,
        .y_stride = launch->outputs[0].row_stride_bytes};
}

void tri_cuda_plain_rows(const tri_cuda_plain *plain, const tri_cuda_kernel *finish,
    tri_cuda_queue *queue, const tri_cuda_linear_tensors *t, uint64_t sums, int32_t n_rows) {
    const tri_cuda_linear_ask *ask = &plain->ask;
    int64_t y_bytes = ask->bf16_out ? 2 : 4,
            chunk = ask->gate ? tri_cuda_linear_chunk(ask) : n_rows;
    for (int64_t first = 0; first < n_rows; first += chunk) {
        int32_t m = (int32_t)(n_rows - first < chunk ? n_rows - first : chunk);
        uint64_t y = t->y + (uint64_t)(first * t->y_stride),
                 r = t->r ? t->r + (uint64_t)(first * t->r_stride) : 0;
        tri_cuda_plain_run run = {.w = t->w,
            .x = t->x + (uint64_t)(first * t->x_stride),
            .y = ask->gate ? sums : y,
            .bias = ask->gate ? 0 : t->bias,
            .r = ask->gate ? 0 : r,
            .scales = t->scales,
            .w_stride = t->w_stride,
            .x_stride = t->x_stride / (ask->bf16_x ? 2 : 4),
            .y_stride = ask->gate ? ask->w_rows : t->y_stride / y_bytes,
            .r_stride = t->r_stride / 4,
            .n_rows = m};
        tri_cuda_plain_enqueue(plain, queue, &run);
        if (!ask->gate) continue;
        tri_cuda_finish_enqueue(finish, queue,
            &(tri_cuda_finish){.sums = sums,
                .bias = t->bias,
                .r = r,
                .y = y,
                .sums_stride = ask->w_rows,
                .y_stride = t->y_stride / y_bytes,
                .r_stride = t->r_stride / 4,
                .n = (int32_t)ask->n},
            m);
    }
}

/* ---- the candidate ---- */

typedef struct plain_state {
    tri_cuda_plain plain;
    tri_cuda_kernel finish;
} plain_state;

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    tri_cuda_linear_ask ask;
    if (tri_cuda_linear_read(desc, &ask, reason, reason_bytes)) return 1;
    if (ask.norm_in) return tri_reject(reason, reason_bytes, "no norm is deferred to here");
    return 0;
}

static int64_t workspace_bytes(const tri_plugin_desc *desc) {
    tri_cuda_linear_ask ask;
    char reason[128];
    if (tri_cuda_linear_read(desc, &ask, reason, sizeof reason) || !ask.gate) return 0;
    int64_t rows = tri_cuda_linear_chunk(&ask);
    return (ask.max_rows < rows ? ask.max_rows : rows) * ask.w_rows * (int64_t)sizeof(float);
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    tri_cuda_linear_ask ask;
    char reason[128];
    if (tri_cuda_linear_read(desc, &ask, reason, sizeof reason)) return 1;
    plain_state *s = calloc(1, sizeof *s);
    if (!s) return 1;
    tri_cuda_plain_init(&s->plain, &ask, ask.bf16_out && !ask.gate);
    tri_cuda_finish_init(&s->finish, &ask);
    *state = s;
    return 0;
}

static void launch(void *state, const tri_plugin_launch *l) {
    plain_state *s = state;
    tri_cuda_queue *queue = l->team;
    const tri_cuda_linear_ask *ask = &s->plain.ask;
    if (queue->preparing) {
        tri_cuda_plain_prepare(&s->plain, queue);
        if (ask->gate) tri_cuda_kernel_prepare(&s->finish, queue);
        return;
    }
    int64_t n_rows = tri_extent_rows(&l->step->extents, ask->first_dim);
    if (n_rows == 0) return;
    tri_cuda_linear_tensors tensors = tri_cuda_linear_bind(ask, l);
    tri_cuda_plain_rows(
        &s->plain, &s->finish, queue, &tensors, tri_cuda_address(l->workspace), (int32_t)n_rows);
}

const tri_plugin_kernel tri_cuda_linear_plain = {
    TRI_CUDA_KERNEL("linear", "linear_plain", "sm_80", "linear_plain"),
    .supports = supports,
    .cost = tri_cuda_linear_cost,
    .workspace_bytes = workspace_bytes,
    .create = create,
    .destroy = free,
    .launch = launch,
};
