/* linear_product.c - the candidate of linear for bf16 and e4m3 weights on Hopper.
 *
 *     rows          program
 *     to 64 (*)     linear_stream, in buckets of 8, 16, 32 and 64 rows
 *     more          bf16 weights: cuBLASLt, where it is installed; else linear_tile
 *
 * (*) to 32 where cuBLASLt takes the others.  What neither a stream nor a product does goes through
 * workspace: float32 or unaligned x is first written as bf16 rows (linear_enter), a bias, a gate
 * come after the product (linear_finish), a chunk of rows at a time.
 *
 * A row's result depends on which program took it, with cuBLASLt also on the bucket of rows
 * (cublaslt.h), and on nothing else of its batch: not on the other rows, not on its place. */
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cublaslt.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/linear_plain.h"

enum { N_BUCKETS = 4, PRODUCT_ROWS = 32, ENTER_COLUMNS = 1024, ENTER_THREADS = 256, X_ALIGN = 16 };
static const int32_t buckets[N_BUCKETS] = {8, 16, 32, 64};

typedef struct place { /* in workspace */
    int64_t product, x, sums, end;
} place;

typedef struct product_state {
    tri_cuda_linear_ask ask;
    tri_cuda_linear_desc desc;
    tri_cuda_linear_config configs[N_BUCKETS];
    tri_cuda_grid grids[N_BUCKETS];
    tri_cuda_kernel streams[N_BUCKETS];
    tri_cuda_kernel enter, finish;
    tri_cuda_plain plain; /* without cuBLASLt */
    tri_cublaslt *lt;
    const tri_cublaslt_plan *plan; /* NULL: there is none */
    bool enters;                   /* x is written as bf16 rows first */
    place place;
} product_state;

/* ---- what is asked ---- */

static tri_cuda_linear_desc describe(const tri_cuda_linear_ask *ask) {
    return (tri_cuda_linear_desc){.n = ask->n,
        .k = ask->k,
        .weight_dtype = ask->weight_dtype,
        .scaled = ask->n_groups > 0,
        .one_scale = ask->one_scale,
        .bias = ask->bias,
        .gate = ask->gate,
        .add = ask->add,
        .float_out = !ask->bf16_out};
}

static int32_t choose_all(const tri_cuda_linear_ask *ask, const tri_plugin_device *device,
    tri_cuda_linear_config configs[N_BUCKETS], tri_error *err) {
    const tri_cuda_linear_desc desc = describe(ask);
    for (int32_t i = 0; i < N_BUCKETS; i++)
        if (tri_cuda_linear_choose(&desc, buckets[i], device->n_threads, &configs[i], err))
            return 1;
    return 0;
}

static int32_t read(
    const tri_plugin_desc *desc, tri_cuda_linear_ask *ask, char *reason, size_t reason_bytes) {
    const tri_plugin_device *device = desc->device;
    tri_cuda_linear_config configs[N_BUCKETS];
    tri_error err = {0};
    if (tri_cuda_linear_read(desc, ask, reason, reason_bytes)) return 1;
    if (strcmp(device->kind, "cuda") == 0 && strcmp(device->arch, "sm_90a") != 0)
        return tri_reject(reason, reason_bytes, "for sm_90a, not %s", device->arch);
    if (!ask->rounds && !ask->bf16_x)
        return tri_reject(reason, reason_bytes, "f32 activations; bf16 ones are taken");
    if (ask->n_groups > 1)
        return tri_reject(reason, reason_bytes, "scales of groups; those of rows are taken");
    if (ask->add && ask->bf16_out)
        return tri_reject(reason, reason_bytes, "an accumulator and bf16 results");
    if (choose_all(ask, device, configs, &err))
        return tri_reject(reason, reason_bytes, "%s", err.message);
    return 0;
}

static bool wants_product(const tri_cuda_linear_ask *ask) {
    return ask->weight_dtype == TRI_BF16 && ask->n_groups == 0 && ask->max_rows > PRODUCT_ROWS;
}
static bool finishes(const tri_cuda_linear_ask *ask) {
    return ask->gate || ask->bias;
}
static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}
static int64_t x_stride_bytes(const tri_cuda_linear_ask *ask) {
    return round_up(ask->k * 2, X_ALIGN);
}

static place place_all(const tri_cuda_linear_ask *ask) {
    int64_t rows = tri_cuda_linear_chunk(ask);
    if (rows > ask->max_rows) rows = ask->max_rows;
    place p = {.x = wants_product(ask) ? TRI_CUBLASLT_WORKSPACE_BYTES : 0};
    p.sums = round_up(p.x + rows * x_stride_bytes(ask), 256);
    p.end = p.sums + (finishes(ask) && ask->max_rows > PRODUCT_ROWS
                             ? rows * ask->w_rows * (int64_t)sizeof(float)
                             : 0);
    return p;
}

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    tri_cuda_linear_ask ask;
    return read(desc, &ask, reason, reason_bytes);
}

static int64_t workspace_bytes(const tri_plugin_desc *desc) {
    tri_cuda_linear_ask ask;
    char reason[128];
    return read(desc, &ask, reason, sizeof reason) ? 0 : place_all(&ask).end;
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    tri_cuda_linear_ask ask;
    char reason[128];
    if (read(desc, &ask, reason, sizeof reason)) return 1;
    product_state *s = calloc(1, sizeof *s);
    if (!s) return 1;
    s->ask = ask;
    s->desc = describe(&ask);
    s->place = place_all(&ask);
    if (choose_all(&ask, desc->device, s->configs, NULL)) {
        free(s);
        return 1;
    }
    for (int32_t i = 0; i < N_BUCKETS; i++) {
        tri_cuda_linear_program(&s->desc, &s->configs[i], &s->streams[i].program, &s->grids[i]);
        s->streams[i].shared_bytes = s->grids[i].shared_bytes;
    }
    s->enter.program.entry = "linear_enter";
    tri_cuda_define(&s->enter.program, "P_X_BF16", ask.bf16_x);
    tri_cuda_finish_init(&s->finish, &ask);
    tri_cuda_plain_init(&s->plain, &ask, ask.bf16_out && !ask.gate);
    *state = s;
    return 0;
}

static void destroy(void *state) {
    product_state *s = state;
    tri_cublaslt_unref(s->lt);
    free(s);
}

/* ---- preparing ---- */

/* The largest power of two, at most 256, that divides all addresses of a tensor's rows. */
static int32_t alignment(uint64_t address, int64_t stride_bytes) {
    uint64_t bits = address | (uint64_t)stride_bytes | 256;
    return (int32_t)(bits & (~bits + 1));
}

/* Without the library, or an algorithm, there are the plain programs. */
static void find_plan(product_state *s, const tri_cuda_linear_tensors *t, tri_cuda_queue *queue) {
    const tri_cuda_linear_ask *ask = &s->ask;
    bool direct = !finishes(ask);
    int64_t x_stride = s->enters ? x_stride_bytes(ask) : t->x_stride;
    const tri_cublaslt_product product = {.n = ask->w_rows,
        .k = ask->k,
        .x_stride = x_stride / 2,
        .y_stride = direct ? t->y_stride / (ask->bf16_out ? 2 : 4) : ask->w_rows,
        .c_stride = direct && ask->add ? t->r_stride / 4 : 0,
        .x_align = s->enters ? alignment(0, x_stride) : alignment(t->x, x_stride),
        .y_align = direct ? alignment(t->y | t->r, t->y_stride | t->r_stride)
                          : alignment(0, ask->w_rows * 4),
        .bf16_out = direct && ask->bf16_out,
        .add = direct && ask->add};
    if (s->plan || tri_cublaslt_ref(&s->lt, queue->cu, NULL)) return;
    int64_t rows = s->enters || !direct ? tri_cuda_linear_chunk(ask) : ask->max_rows;
    if (tri_cublaslt_find(s->lt, &product, (int32_t)(rows < ask->max_rows ? rows : ask->max_rows),
            &s->plan, NULL)) {
        tri_cublaslt_unref(s->lt);
        s->lt = NULL;
    }
}

static void prepare(product_state *s, const tri_plugin_launch *l, tri_cuda_queue *queue) {
    const tri_cuda_linear_ask *ask = &s->ask;
    for (int32_t i = 0; i < N_BUCKETS; i++)
        if (i == 0 || ask->max_rows > buckets[i - 1])
            tri_cuda_kernel_prepare(&s->streams[i], queue);
    tri_cuda_kernel_prepare(&s->enter, queue);
    if (ask->max_rows > PRODUCT_ROWS) {
        if (finishes(ask)) tri_cuda_kernel_prepare(&s->finish, queue);
        tri_cuda_kernel_prepare(&s->plain.many[0], queue);
        tri_cuda_kernel_prepare(&s->plain.many[1], queue);
    }
    if (queue->collect || queue->status) return;
    const tri_cuda_linear_tensors t = tri_cuda_linear_bind(ask, l);
    s->enters = !ask->bf16_x || alignment(t.x, t.x_stride) < X_ALIGN;
    if (wants_product(ask)) find_plan(s, &t, queue);
}

/* ---- enqueueing ---- */

/* x as bf16 rows: where and how far apart. */
static uint64_t enter(const product_state *s, tri_cuda_queue *queue, uint64_t workspace, uint64_t x,
    int64_t x_stride, int32_t n_rows) {
    const tri_cuda_linear_ask *ask = &s->ask;
    const struct {
        uint64_t x, y;
        int64_t x_stride, y_stride;
        int32_t k;
    } a = {x, workspace + (uint64_t)s->place.x, x_stride / (ask->bf16_x ? 2 : 4),
        x_stride_bytes(ask) / 2, (int32_t)ask->k};
    const tri_cuda_grid grid = {.grid_x = (uint32_t)((ask->k + ENTER_COLUMNS - 1) / ENTER_COLUMNS),
        .grid_y = (uint32_t)n_rows,
        .block = ENTER_THREADS};
    tri_cuda_kernel_enqueue(&s->enter, queue, &grid, &a);
    return a.y;
}

static void enqueue_stream(const product_state *s, tri_cuda_queue *queue,
    const tri_cuda_linear_tensors *t, uint64_t workspace, int32_t n_rows) {
    const tri_cuda_linear_ask *ask = &s->ask;
    int32_t i = 0;
    while (buckets[i] < n_rows)
        i++;
    uint64_t x = t->x;
    int64_t x_stride = t->x_stride;
    if (s->enters) {
        x = enter(s, queue, workspace, t->x, t->x_stride, n_rows);
        x_stride = x_stride_bytes(ask);
    }
    tri_cuda_linear_arguments a = {.y = t->y,
        .r = t->r,
        .scale = t->scales,
        .bias = t->bias,
        .y_stride = t->y_stride / (ask->bf16_out ? 2 : 4),
        .r_stride = t->r_stride / 4,
        .n_rows = n_rows};
    if (queue->status) return;
    queue->status = tri_cuda_linear_map(
        queue->cu, &s->desc, &s->configs[i], t->w, x, x_stride / 2, n_rows, &a, &queue->error);
    tri_cuda_kernel_enqueue(&s->streams[i], queue, &s->grids[i], &a);
}

static void enqueue_product(const product_state *s, tri_cuda_queue *queue,
    const tri_cuda_linear_tensors *t, uint64_t workspace, int32_t n_rows) {
    const tri_cuda_linear_ask *ask = &s->ask;
    bool direct = !finishes(ask);
    int64_t chunk = direct && !s->enters ? n_rows : tri_cuda_linear_chunk(ask);
    for (int64_t first = 0; first < n_rows && !queue->status; first += chunk) {
        int32_t m = (int32_t)(n_rows - first < chunk ? n_rows - first : chunk);
        uint64_t x = t->x + (uint64_t)(first * t->x_stride),
                 y = t->y + (uint64_t)(first * t->y_stride),
                 r = t->r ? t->r + (uint64_t)(first * t->r_stride) : 0,
                 sums = workspace + (uint64_t)s->place.sums;
        const tri_cublaslt_run run = {.n_rows = m,
            .w = t->w,
            .x = s->enters ? enter(s, queue, workspace, x, t->x_stride, m) : x,
            .c = r,
            .y = direct ? y : sums,
            .workspace = workspace + (uint64_t)s->place.product,
            .stream = queue->stream};
        if (!queue->status) queue->status = tri_cublaslt_enqueue(s->plan, &run, &queue->error);
        if (direct) continue;
        tri_cuda_finish_enqueue(&s->finish, queue,
            &(tri_cuda_finish){.sums = sums,
                .bias = t->bias,
                .r = r,
                .y = y,
                .sums_stride = ask->w_rows,
                .y_stride = t->y_stride / (ask->bf16_out ? 2 : 4),
                .r_stride = t->r_stride / 4,
                .n = (int32_t)ask->n},
            m);
    }
}

static void launch(void *state, const tri_plugin_launch *l) {
    product_state *s = state;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        prepare(s, l, queue);
        return;
    }
    int32_t n_rows = (int32_t)tri_extent_rows(&l->step->extents, s->ask.first_dim);
    if (n_rows == 0) return;
    const tri_cuda_linear_tensors t = tri_cuda_linear_bind(&s->ask, l);
    uint64_t workspace = tri_cuda_address(l->workspace);
    if (n_rows <= (s->plan ? PRODUCT_ROWS : TRI_CUDA_LINEAR_ROWS))
        enqueue_stream(s, queue, &t, workspace, n_rows);
    else if (s->plan)
        enqueue_product(s, queue, &t, workspace, n_rows);
    else
        tri_cuda_plain_rows(
            &s->plain, &s->finish, queue, &t, workspace + (uint64_t)s->place.sums, n_rows);
}

static const tri_plugin_kernel linear_stream = {
    TRI_CUDA_KERNEL("linear", "linear_stream", "sm_90a", "linear_stream"),
    .supports = supports,
    .cost = tri_cuda_linear_cost,
    .workspace_bytes = workspace_bytes,
    .create = create,
    .destroy = destroy,
    .launch = launch,
};

const tri_plugin_kernel *const tri_cuda_linear_kernels[] = {
    &linear_stream, &tri_cuda_linear_plain, NULL};
