/* linear_product.c - the candidate of linear for bf16 and e4m3 weights on Hopper.
 *
 *     rows          program
 *     to 64         linear_stream, in buckets of 8, 16, 32 and 64 rows
 *     more          linear_tile
 *     from 33       bf16 weights: cuBLASLt, where it is installed
 *     from 129      e4m3 weights: the same, on slices of them as bf16 (linear_decode)
 *
 * What neither a stream nor a product does goes through workspace: float32 or unaligned x is first
 * written as bf16 rows (linear_enter), scales, a bias, a gate come after the product
 * (linear_finish), a chunk of rows at a time.
 *
 * Deferred norms: linear_norm's streams leave y times the norm's weight in bf16 and parts of its
 * sums of squares, for which the next linear's streams divide.  Beyond 32 rows linear_norm divides
 * itself (linear_norm.cu) and leaves parts of an rms of 1, so that products need not look.
 *
 * A row's result depends on which program took it, with cuBLASLt also on the bucket of rows
 * (cublaslt.h), and on nothing else of its batch: not on the other rows, not on its place. */
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cublaslt.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/linear_plain.h"

enum { N_BUCKETS = 4, PRODUCT_ROWS = 32, ENTER_COLUMNS = 1024, ENTER_THREADS = 256, X_ALIGN = 16 };
enum { NORM_THREADS = 512, DECODE_THREADS = 256, DECODE_COLUMNS = 2048 };
enum {
    DECODED_ROWS = 128,     /* to which decoding slices costs more than it gains */
    SLICE_BYTES = 32 << 20, /* of decoded weights: L2 holds them */
    SLICE_UNIT = 128,       /* rows */
    N_PLANS = 2             /* of whole slices, of the last */
};
static const int32_t buckets[N_BUCKETS] = {8, 16, 32, 64};

typedef struct place { /* in workspace */
    int64_t product, x, slice, sums, end;
} place;

typedef struct product_state {
    tri_cuda_linear_ask ask;
    tri_cuda_linear_desc desc;
    tri_cuda_linear_config configs[N_BUCKETS];
    tri_cuda_grid grids[N_BUCKETS];
    tri_cuda_kernel streams[N_BUCKETS];
    tri_cuda_kernel enter, finish, norm, decode;
    tri_cuda_plain plain; /* without cuBLASLt */
    tri_cublaslt *lt;
    const tri_cublaslt_plan *plans[N_PLANS]; /* the first NULL: there are none */
    bool enters;                             /* x is written as bf16 rows first */
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
        .float_out = !ask->bf16_out,
        .norm_in = ask->norm_in,
        .norm_out = ask->norm_out};
}

static bool decodes(const tri_cuda_linear_ask *ask) {
    return ask->weight_dtype != TRI_BF16;
}

/* Rows to which products lose. */
static int32_t least_product(const tri_cuda_linear_ask *ask) {
    return decodes(ask) ? DECODED_ROWS : PRODUCT_ROWS;
}

/* Most rows that streams take. */
static int32_t stream_rows(const tri_cuda_linear_ask *ask, bool has_product) {
    bool narrow = ask->norm_out || (has_product && !decodes(ask));
    return narrow ? PRODUCT_ROWS : TRI_CUDA_LINEAR_ROWS;
}

static int32_t choose_all(const tri_cuda_linear_ask *ask, const tri_plugin_device *device,
    tri_cuda_linear_config configs[N_BUCKETS], tri_error *err) {
    const tri_cuda_linear_desc desc = describe(ask);
    int32_t n_blocks = ask->norm_out ? ask->n_parts : device->n_threads;
    for (int32_t i = 0; i < N_BUCKETS; i++) {
        if (tri_cuda_linear_choose(&desc, buckets[i], n_blocks, &configs[i], err)) return 1;
        configs[i].norm_parts = ask->n_parts;
    }
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
    if (ask->norm_out && !ask->add)
        return tri_reject(reason, reason_bytes, "no accumulator; a residual is due");
    if (choose_all(ask, device, configs, &err))
        return tri_reject(reason, reason_bytes, "%s", err.message);
    return 0;
}

static bool wants_product(const tri_cuda_linear_ask *ask) {
    return ask->max_rows > least_product(ask);
}
static bool finishes(const tri_cuda_linear_ask *ask) {
    return ask->gate || ask->bias || ask->n_groups > 0;
}
/* Rows of w in one product. */
static int64_t slice_rows(const tri_cuda_linear_ask *ask) {
    int64_t rows = SLICE_BYTES / (ask->k * 2) / SLICE_UNIT * SLICE_UNIT;
    if (!decodes(ask) || rows > ask->w_rows) return ask->w_rows;
    return rows > 0 ? rows : SLICE_UNIT;
}
static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}
static int64_t x_stride_bytes(const tri_cuda_linear_ask *ask) {
    return round_up(ask->k * 2, X_ALIGN);
}

/* Elements between rows of sums: 16 bytes. */
static int64_t sums_stride(const tri_cuda_linear_ask *ask) {
    return round_up(ask->w_rows, 4);
}

static place place_all(const tri_cuda_linear_ask *ask) {
    int64_t rows = tri_cuda_linear_chunk(ask);
    if (rows > ask->max_rows) rows = ask->max_rows;
    place p = {.x = wants_product(ask) ? TRI_CUBLASLT_WORKSPACE_BYTES : 0};
    p.slice = round_up(p.x + rows * x_stride_bytes(ask), 256);
    p.sums = round_up(
        p.slice + (wants_product(ask) && decodes(ask) ? slice_rows(ask) * ask->k * 2 : 0), 256);
    p.end = p.sums + (finishes(ask) && ask->max_rows > PRODUCT_ROWS
                             ? rows * sums_stride(ask) * (int64_t)sizeof(float)
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
    s->decode.program.entry = "linear_decode";
    tri_cuda_define(&s->decode.program, "P_W", tri_cuda_weight_code(ask.weight_dtype));
    s->norm.program.entry = "linear_norm";
    tri_cuda_define(&s->norm.program, "P_THREADS", NORM_THREADS);
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

/* The product of n rows of w, with the strides that x and y have in this launch. */
static tri_cublaslt_product describe_product(
    const product_state *s, const tri_cuda_linear_tensors *t, int64_t n) {
    const tri_cuda_linear_ask *ask = &s->ask;
    int64_t x_stride = s->enters ? x_stride_bytes(ask) : t->x_stride;
    bool to_y = !finishes(ask);
    int64_t y_stride = to_y ? t->y_stride : sums_stride(ask) * 4;
    return (tri_cublaslt_product){.n = n,
        .k = ask->k,
        .x_stride = x_stride / 2,
        .y_stride = y_stride / (to_y && ask->bf16_out ? 2 : 4),
        .c_stride = to_y && ask->add ? t->r_stride / 4 : 0,
        .x_align = s->enters ? alignment(0, x_stride) : alignment(t->x, x_stride),
        .y_align = to_y ? alignment(t->y | t->r, y_stride | t->r_stride) : alignment(0, y_stride),
        .bf16_out = to_y && ask->bf16_out,
        .add = to_y && ask->add};
}

/* Without the library, or an algorithm, there are the plain programs. */
static void find_plans(product_state *s, const tri_cuda_linear_tensors *t, tri_cuda_queue *queue) {
    const tri_cuda_linear_ask *ask = &s->ask;
    int64_t slice = slice_rows(ask), rest = ask->w_rows % slice;
    int64_t rows = s->enters || finishes(ask) ? tri_cuda_linear_chunk(ask) : ask->max_rows;
    int32_t max_rows = (int32_t)(rows < ask->max_rows ? rows : ask->max_rows);
    if (s->lt || tri_cublaslt_ref(&s->lt, queue->cu, NULL)) return;
    const tri_cublaslt_product whole = describe_product(s, t, slice),
                               last = describe_product(s, t, rest);
    if (tri_cublaslt_find(s->lt, &whole, max_rows, &s->plans[0], NULL) ||
        (rest && tri_cublaslt_find(s->lt, &last, max_rows, &s->plans[1], NULL)))
        s->plans[0] = NULL;
}

static void prepare(product_state *s, const tri_plugin_launch *l, tri_cuda_queue *queue) {
    const tri_cuda_linear_ask *ask = &s->ask;
    for (int32_t i = 0; i < N_BUCKETS && buckets[i] <= stream_rows(ask, false); i++)
        if (i == 0 || ask->max_rows > buckets[i - 1])
            tri_cuda_kernel_prepare(&s->streams[i], queue);
    if (ask->norm_out && ask->max_rows > PRODUCT_ROWS) tri_cuda_kernel_prepare(&s->norm, queue);
    tri_cuda_kernel_prepare(&s->enter, queue);
    if (wants_product(ask) && decodes(ask)) tri_cuda_kernel_prepare(&s->decode, queue);
    if (ask->max_rows > PRODUCT_ROWS) {
        if (finishes(ask)) tri_cuda_kernel_prepare(&s->finish, queue);
        tri_cuda_kernel_prepare(&s->plain.many[0], queue);
        tri_cuda_kernel_prepare(&s->plain.many[1], queue);
    }
    if (queue->collect || queue->status) return;
    const tri_cuda_linear_tensors t = tri_cuda_linear_bind(ask, l);
    s->enters = !ask->bf16_x || alignment(t.x, t.x_stride) < X_ALIGN;
    if (wants_product(ask)) find_plans(s, &t, queue);
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

/* The operands of a norm that is deferred, in or out. */
static void bind_norm(
    const product_state *s, const tri_plugin_launch *l, tri_cuda_linear_arguments *a) {
    const tri_cuda_linear_ask *ask = &s->ask;
    a->eps = ask->eps;
    if (ask->norm_in) {
        const tri_plugin_tensor *parts = &l->inputs[TRI_LINEAR_PARTS];
        a->norm_in = tri_cuda_address(parts->data);
        a->in_row = (int32_t)(parts->row_stride_bytes / 4);
        a->in_part = 1;
    }
    if (ask->norm_out) {
        const tri_plugin_tensor *y16 = &l->outputs[TRI_LINEAR_Y16],
                                *parts = &l->outputs[TRI_LINEAR_LEFT_PARTS];
        a->next_weight = tri_cuda_address(l->inputs[TRI_LINEAR_NORM].data);
        a->y16 = tri_cuda_address(y16->data);
        a->y16_stride = y16->row_stride_bytes / 2;
        a->norm_out = tri_cuda_address(parts->data);
        a->out_row = (int32_t)(parts->row_stride_bytes / 4);
        a->out_part = 1;
    }
}

static void enqueue_norm(const product_state *s, tri_cuda_queue *queue, const tri_plugin_launch *l,
    const tri_cuda_linear_tensors *t, int32_t n_rows) {
    tri_cuda_linear_arguments of = {0};
    bind_norm(s, l, &of);
    const struct {
        uint64_t sums, w, y, parts;
        int64_t sums_stride, y_stride, parts_stride;
        int32_t n, n_parts;
        float eps;
    } a = {t->y, of.next_weight, of.y16, of.norm_out, t->y_stride / 4, of.y16_stride, of.out_row,
        (int32_t)s->ask.n, s->ask.n_parts, s->ask.eps};
    const tri_cuda_grid grid = {.grid_x = (uint32_t)n_rows, .grid_y = 1, .block = NORM_THREADS};
    tri_cuda_kernel_enqueue(&s->norm, queue, &grid, &a);
}

static void enqueue_stream(const product_state *s, tri_cuda_queue *queue,
    const tri_plugin_launch *l, const tri_cuda_linear_tensors *t, int32_t n_rows) {
    uint64_t workspace = tri_cuda_address(l->workspace);
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
    bind_norm(s, l, &a);
    if (queue->status) return;
    queue->status = tri_cuda_linear_map(
        queue->cu, &s->desc, &s->configs[i], t->w, x, x_stride / 2, n_rows, &a, &queue->error);
    tri_cuda_kernel_enqueue(&s->streams[i], queue, &s->grids[i], &a);
}

/* Rows [first, first + n) of w as bf16: where. */
static uint64_t decode_slice(const product_state *s, tri_cuda_queue *queue,
    const tri_cuda_linear_tensors *t, uint64_t workspace, int64_t first, int64_t n) {
    const tri_cuda_linear_ask *ask = &s->ask;
    uint64_t w = t->w + (uint64_t)(first * t->w_stride);
    if (!decodes(ask)) return w;
    const struct {
        uint64_t w, y;
        int64_t w_stride;
        int32_t k;
    } a = {w, workspace + (uint64_t)s->place.slice, t->w_stride, (int32_t)ask->k};
    const tri_cuda_grid grid = {
        .grid_x = (uint32_t)((ask->k + DECODE_COLUMNS - 1) / DECODE_COLUMNS),
        .grid_y = (uint32_t)n,
        .block = DECODE_THREADS};
    tri_cuda_kernel_enqueue(&s->decode, queue, &grid, &a);
    return a.y;
}

/* Of one chunk of rows: all products, slice by slice. */
static void multiply_slices(const product_state *s, tri_cuda_queue *queue,
    const tri_cuda_linear_tensors *t, uint64_t workspace, tri_cublaslt_run *run) {
    const tri_cuda_linear_ask *ask = &s->ask;
    int64_t slice = slice_rows(ask), y_bytes = !finishes(ask) && ask->bf16_out ? 2 : 4;
    uint64_t y = run->y, c = run->c;
    for (int64_t first = 0; first < ask->w_rows && !queue->status; first += slice) {
        int64_t n = ask->w_rows - first < slice ? ask->w_rows - first : slice;
        run->w = decode_slice(s, queue, t, workspace, first, n);
        run->y = y + (uint64_t)(first * y_bytes);
        run->c = c ? c + (uint64_t)(first * 4) : 0;
        if (queue->status) return;
        queue->status = tri_cublaslt_enqueue(s->plans[n < slice], run, &queue->error);
    }
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
        tri_cublaslt_run run = {.n_rows = m,
            .x = s->enters ? enter(s, queue, workspace, x, t->x_stride, m) : x,
            .c = direct ? r : 0,
            .y = direct ? y : sums,
            .workspace = workspace + (uint64_t)s->place.product,
            .stream = queue->stream};
        multiply_slices(s, queue, t, workspace, &run);
        if (direct) continue;
        tri_cuda_finish_enqueue(&s->finish, queue,
            &(tri_cuda_finish){.sums = sums,
                .scales = t->scales,
                .bias = t->bias,
                .r = r,
                .y = y,
                .sums_stride = sums_stride(ask),
                .y_stride = t->y_stride / (ask->bf16_out ? 2 : 4),
                .r_stride = t->r_stride / 4,
                .n = (int32_t)ask->n,
                .scale_step = ask->one_scale ? 0 : 1},
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
    if (n_rows <= stream_rows(&s->ask, s->plans[0] != NULL)) {
        enqueue_stream(s, queue, l, &t, n_rows);
        return;
    }
    if (s->plans[0] && n_rows > least_product(&s->ask))
        enqueue_product(s, queue, &t, workspace, n_rows);
    else
        tri_cuda_plain_rows(
            &s->plain, &s->finish, queue, &t, workspace + (uint64_t)s->place.sums, n_rows);
    if (s->ask.norm_out) enqueue_norm(s, queue, l, &t, n_rows);
}

static const tri_plugin_kernel linear_norm_stream = {
    TRI_CUDA_KERNEL("linear_norm", "linear_norm_stream", "sm_90a", "linear_stream"),
    .supports = supports,
    .cost = tri_cuda_linear_cost,
    .workspace_bytes = workspace_bytes,
    .create = create,
    .destroy = destroy,
    .launch = launch,
};

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
    &linear_stream, &tri_cuda_linear_plain, &linear_norm_stream, NULL};
