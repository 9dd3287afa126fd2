/* attention_paged.c - attention on CUDA: the op "attention", for any step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/family.h"

enum {
    Q,
    CACHE,
    MAX_HEAD = 256,
    MAX_GROUP = 32,
    THREADS = 128,
    WARPS = 4,
    ROWS = 64,
    LISTED = 32, /* units that a block knows */
    UNIT_BYTES = 48,
    HALF = 32,   /* positions of a place */
    SMALL = 128, /* heads over this: other numbers of rows, see attention_paged.cu */
    PROMPT_ROWS = 128,
    PROMPT_TILE = 128,
    PROMPT_STAGES = 2,
    PROMPT_THREADS = 384,
    ALIGN = 256,
    LEAST_COUNTERS = 1 << 14,
    PARTS_FLOATS = 8 << 20, /* room for parts of split contexts */
    BLOCK_SHARED = 1024     /* what a block takes besides what it asks for */
};

static const double log2_e = 1.4426950408889634;

typedef struct paged_arguments { /* of attention_paged.cu */
    uint64_t q, y;
    int64_t q_stride, y_stride;
    uint64_t cache;
    int64_t block_stride, v_offset;
    uint64_t block_tables, cu_seqlens, context_lens, parts, part_sums, totals;
    int64_t part_floats;
    int32_t max_blocks, n_sequences, window, skips_long;
    float scale_log2, cap_log2;
} paged_arguments;

typedef struct prompt_arguments { /* of attention_prompt.cu */
    tri_cu_tensor_map cache_map;
    uint64_t q, y;
    int64_t q_stride, y_stride, block_rows, v_rows;
    uint64_t block_tables, cu_seqlens, context_lens;
    int32_t max_blocks, n_sequences, window, n_cache_rows;
    float scale_log2, cap_log2;
} prompt_arguments;

typedef struct float_arguments { /* of attention_float.cu */
    uint64_t q, y;
    int64_t q_stride, y_stride;
    uint64_t cache;
    int64_t block_stride, v_offset;
    uint64_t block_tables, cu_seqlens, context_lens;
    int32_t max_blocks, n_sequences, n_tokens, window;
    float scale_log2, cap_log2;
} float_arguments;

typedef struct config { /* of attention_paged.cu */
    int32_t stages, resident;
    int64_t shared_bytes;
} config;

typedef struct attention {
    tri_cuda_kernel kernel, prompt; /* prompt: of attention_prompt.cu, where that is used */
    bool has_prompt;
    int32_t n_kv_heads, group, head_size, window, grid, n_multiprocessors;
    int32_t unit;              /* positions of a copy */
    int64_t part_sums, totals; /* in workspace, behind the parts */
    float scale_log2, cap_log2;
} attention;

/* ---- what is asked ---- */

static int64_t group_of(const tri_plugin_desc *desc) {
    return tri_desc_int(desc, "n_heads", 0) / desc->inputs[CACHE].dims[0];
}

/* Shared memory of a multiprocessor.  By architecture, so that an engine built without the device
 * has the same programs. */
static int64_t multiprocessor_shared(const tri_plugin_device *device) {
    const char *arch = device->arch ? device->arch : "";
    if (strncmp(arch, "sm_90", 5) == 0 || strncmp(arch, "sm_10", 5) == 0) return 228 << 10;
    if (strncmp(arch, "sm_80", 5) == 0 || strncmp(arch, "sm_87", 5) == 0) return 164 << 10;
    return 100 << 10;
}

/* Room for 8 rows of each warp's results. */
static int64_t shares_bytes(const tri_plugin_desc *desc) {
    return (int64_t)WARPS * 8 * ((desc->inputs[CACHE].dims[1] + 15) / 16 * 16 + 8) * 4;
}

static int64_t shared_bytes(const tri_plugin_desc *desc, int32_t stages) {
    int64_t width = (desc->inputs[CACHE].dims[1] + 15) / 16 * 16, pitch = width * 2 + 16;
    int64_t lists = (int64_t)LISTED * UNIT_BYTES + 2 * ((int64_t)desc->max_sequences + 1) * 4;
    return (int64_t)WARPS * stages * HALF * pitch + (int64_t)ROWS * pitch + shares_bytes(desc) +
           (int64_t)WARPS * 16 * 8 + lists;
}

/* Two places a warp where they fit; two blocks a multiprocessor where they fit.  False: none do. */
static bool choose(const tri_plugin_desc *desc, config *c) {
    int64_t room = multiprocessor_shared(desc->device);
    for (int32_t stages = 2; stages > 0; stages--) {
        int64_t bytes = shared_bytes(desc, stages);
        if (bytes + BLOCK_SHARED > room) continue;
        bool two = desc->inputs[CACHE].dims[1] <= SMALL && 2 * (bytes + BLOCK_SHARED) <= room;
        *c = (config){.stages = stages, .resident = two ? 2 : 1, .shared_bytes = bytes};
        return true;
    }
    return false;
}

static int32_t supports_shape(const tri_plugin_desc *desc, int32_t unit, char *reason, size_t n) {
    const tri_plugin_type *q = &desc->inputs[Q], *cache = &desc->inputs[CACHE];
    int64_t n_heads = tri_desc_int(desc, "n_heads", 0);
    if ((q->dtype != TRI_F32 && q->dtype != TRI_BF16) || !tri_type_has_layout(q, "row"))
        return tri_reject(reason, n, "q is to be float32 or bf16 in rows");
    if (desc->outputs[0].dtype != TRI_F32 && desc->outputs[0].dtype != TRI_BF16)
        return tri_reject(reason, n, "results are float32 or bf16");
    if (n_heads < 1 || n_heads % cache->dims[0] || n_heads / cache->dims[0] > MAX_GROUP) {
        return tri_reject(reason, n, "%d query heads on %d key heads: 1 to %d each are possible",
            (int)n_heads, (int)cache->dims[0], MAX_GROUP);
    }
    if (cache->dims[1] % unit || cache->dims[1] > MAX_HEAD) {
        return tri_reject(reason, n, "heads of %d columns: multiples of %d up to %d are possible",
            (int)cache->dims[1], unit, MAX_HEAD);
    }
    return 0;
}

static int32_t supports_paged(const tri_plugin_desc *desc, char *reason, size_t n) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    config c;
    if (cache->dtype != TRI_BF16 && cache->dtype != TRI_F16)
        return tri_reject(reason, n, "caches are bfloat16 or float16");
    if (supports_shape(desc, 8, reason, n)) return 1;
    if (((int64_t)desc->max_sequences + 1) * 4 > shares_bytes(desc)) {
        return tri_reject(reason, n, "%d sequences: up to %d are possible with heads of %d",
            (int)desc->max_sequences, (int)(shares_bytes(desc) / 4 - 1), (int)cache->dims[1]);
    }
    if (!choose(desc, &c)) {
        return tri_reject(reason, n, "%d bytes of shared memory are needed, %d are there",
            (int)shared_bytes(desc, 1), (int)multiprocessor_shared(desc->device) - BLOCK_SHARED);
    }
    return 0;
}

static int32_t supports_float(const tri_plugin_desc *desc, char *reason, size_t n) {
    if (desc->inputs[CACHE].dtype != TRI_F32) return tri_reject(reason, n, "caches are float32");
    return supports_shape(desc, 4, reason, n);
}

/* Positions that one copy of attention_prompt.cu takes from a block of the cache; 0: none. */
static int32_t unit_of(int32_t tokens_per_block) {
    if (tokens_per_block < 8 || tokens_per_block % 8) return 0;
    int32_t unit = 8;
    while (unit < PROMPT_TILE && tokens_per_block % (2 * unit) == 0)
        unit *= 2;
    return unit;
}

static int32_t supports_hopper(const tri_plugin_desc *desc, char *reason, size_t n) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    const char *arch = desc->device->arch ? desc->device->arch : "";
    if (strcmp(arch, "sm_90a") != 0) return tri_reject(reason, n, "sm_90a, not %s", arch);
    if (supports_paged(desc, reason, n)) return 1;
    if (cache->dtype != TRI_BF16) return tri_reject(reason, n, "caches are bfloat16");
    if (cache->dims[1] != 64 && cache->dims[1] != 128) {
        return tri_reject(
            reason, n, "heads of %d columns: 64 and 128 are possible", (int)cache->dims[1]);
    }
    if (!unit_of(desc->tokens_per_block)) {
        return tri_reject(reason, n, "cache blocks of %d tokens: multiples of 8 are possible",
            (int)desc->tokens_per_block);
    }
    return 0;
}

static void cost(const tri_plugin_desc *desc, const tri_plugin_extents *e, tri_plugin_cost *c) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    double columns = (double)desc->inputs[Q].dims[1], tokens = e->n_tokens;
    double context = (double)e->n_context_tokens;
    double sequences = e->n_sequences > 0 ? e->n_sequences : 1;
    double window = (double)tri_desc_int(desc, "window", 0);
    double queries = tokens / sequences, seen = context / sequences - (queries - 1) / 2;
    double elem = (double)tri_dtype_row_bytes((tri_dtype)cache->dtype, 1);
    double io = (double)(tri_dtype_row_bytes((tri_dtype)desc->inputs[Q].dtype, 1) +
                         tri_dtype_row_bytes((tri_dtype)desc->outputs[0].dtype, 1));
    if (window > 0 && window < seen) seen = window;
    if (window > 0 && (window + queries) * sequences < context)
        context = (window + queries) * sequences;
    double kv = 2.0 * elem * (double)(cache->dims[0] * cache->dims[1]);
    *c = (tri_plugin_cost){
        .bytes = kv * context + io * columns * tokens, .flops = 4 * columns * tokens * seen};
}

/* ---- workspace: parts, their sums, totals ---- */

static int64_t round_up(int64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Where things are behind the parts; returns the end.  a may be NULL. */
static int64_t place(const tri_plugin_desc *desc, attention *a) {
    int64_t head = desc->inputs[CACHE].dims[1], at = round_up((int64_t)PARTS_FLOATS * 4);
    if (a) a->part_sums = at;
    at = round_up(at + PARTS_FLOATS / head * 8);
    if (a) a->totals = at;
    int64_t blocks = desc->device->n_threads; /* one a multiprocessor with such heads */
    return head > SMALL ? at + blocks * ((head + 15) / 16 * 16) * ROWS * 4 : at;
}

static int64_t workspace_bytes(const tri_plugin_desc *desc) {
    return place(desc, NULL);
}

/* ---- launching ---- */

static void define_common(const tri_plugin_desc *desc, tri_cuda_program *p) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    tri_cuda_define(p, "P_HEADS", tri_desc_int(desc, "n_heads", 0));
    tri_cuda_define(p, "P_KV_HEADS", cache->dims[0]);
    tri_cuda_define(p, "P_D", cache->dims[1]);
    tri_cuda_define(p, "P_BLOCK", desc->tokens_per_block);
    tri_cuda_define(p, "P_Q_BF16", desc->inputs[Q].dtype == TRI_BF16);
    tri_cuda_define(p, "P_Y_BF16", desc->outputs[0].dtype == TRI_BF16);
    tri_cuda_define(p, "P_SOFTCAP", tri_desc_float(desc, "softcap", 0.0) > 0.0);
}

static attention *make(const tri_plugin_desc *desc, const char *entry) {
    attention *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    int64_t head = desc->inputs[CACHE].dims[1], window = tri_desc_int(desc, "window", 0);
    double scale = tri_desc_float(desc, "scale", 0.0), cap = tri_desc_float(desc, "softcap", 0.0);
    if (!(scale > 0.0)) scale = 1.0 / sqrt((double)head);
    a->head_size = (int32_t)head;
    a->n_kv_heads = (int32_t)desc->inputs[CACHE].dims[0];
    a->group = (int32_t)group_of(desc);
    a->n_multiprocessors = desc->device->n_threads;
    a->window = window > 0 && window < 1 << 30 ? (int32_t)window : 1 << 30;
    a->scale_log2 = (float)(cap > 0.0 ? scale * 2.0 * log2_e / cap : scale * log2_e);
    a->cap_log2 = (float)(cap * log2_e);
    a->kernel.program.entry = entry;
    define_common(desc, &a->kernel.program);
    return a;
}

static int32_t create_paged(const tri_plugin_desc *desc, void **state) {
    config c;
    attention *a = make(desc, "attention_paged");
    if (!a || !choose(desc, &c)) {
        free(a);
        return 1;
    }
    int64_t unit_rows = a->head_size > SMALL ? 8 : 16;
    int64_t row_groups = (group_of(desc) + unit_rows - 1) / unit_rows;
    int64_t pairs = row_groups * desc->inputs[CACHE].dims[0];
    tri_cuda_program *p = &a->kernel.program;
    tri_cuda_define(p, "P_F16", desc->inputs[CACHE].dtype == TRI_F16);
    tri_cuda_define(p, "P_STAGES", c.stages);
    tri_cuda_define(p, "P_RESIDENT", c.resident);
    int64_t counters = LEAST_COUNTERS; /* so that limits seldom make another program */
    while (counters < desc->max_sequences * pairs)
        counters *= 2;
    tri_cuda_define(p, "P_COUNTERS", counters);
    a->kernel.shared_bytes = (uint32_t)c.shared_bytes;
    a->grid = desc->device->n_threads * c.resident;
    place(desc, a);
    *state = a;
    return 0;
}

static int32_t create_hopper(const tri_plugin_desc *desc, void **state) {
    if (create_paged(desc, state)) return 1;
    attention *a = *state;
    a->has_prompt = true;
    a->unit = unit_of(desc->tokens_per_block);
    tri_cuda_program *p = &a->prompt.program;
    p->entry = "attention_prompt";
    define_common(desc, p);
    tri_cuda_define(p, "P_UNIT", a->unit);
    tri_cuda_define(p, "P_STAGES", PROMPT_STAGES);
    int64_t tile = (int64_t)PROMPT_TILE * a->head_size * 2;
    int64_t list = ((int64_t)desc->max_sequences + 1) * 4;
    a->prompt.shared_bytes = (uint32_t)(1024 + (1 + 2 * PROMPT_STAGES) * tile + list);
    return 0;
}

static int32_t create_float(const tri_plugin_desc *desc, void **state) {
    attention *a = make(desc, "attention_float");
    if (!a) return 1;
    a->grid = desc->device->n_threads * 8;
    *state = a;
    return 0;
}

/* All that the two have in common. */
static paged_arguments arguments_of(const attention *a, const tri_plugin_launch *l) {
    const tri_plugin_cache *cache = l->caches[CACHE];
    uint64_t work = tri_cuda_address(l->workspace);
    return (paged_arguments){.q = tri_cuda_address(l->inputs[Q].data),
        .y = tri_cuda_address(l->outputs[0].data),
        .q_stride = l->inputs[Q].row_stride_bytes,
        .y_stride = l->outputs[0].row_stride_bytes,
        .cache = tri_cuda_address(cache->base),
        .block_stride = cache->block_stride_bytes,
        .v_offset = cache->v_offset_bytes,
        .block_tables = tri_cuda_address(cache->block_tables),
        .cu_seqlens = tri_cuda_address(l->step->cu_seqlens),
        .context_lens = tri_cuda_address(l->step->context_lens),
        .parts = work,
        .part_sums = work + (uint64_t)a->part_sums,
        .totals = work + (uint64_t)a->totals,
        .part_floats = PARTS_FLOATS,
        .max_blocks = cache->max_blocks,
        .n_sequences = l->step->extents.n_sequences,
        .window = a->window,
        .scale_log2 = a->scale_log2,
        .cap_log2 = a->cap_log2};
}

/* False: the cache's blocks are no whole rows, which copies count by. */
static bool make_map(
    const attention *a, const tri_plugin_cache *cache, tri_cuda_queue *queue, prompt_arguments *p) {
    enum { LINE = 128 }; /* bytes */
    int64_t row_bytes = (int64_t)a->head_size * 2;
    int64_t n_rows = cache->n_blocks * (cache->block_stride_bytes / row_bytes);
    if (cache->block_stride_bytes % row_bytes || cache->v_offset_bytes % row_bytes ||
        n_rows >= INT32_MAX)
        return false;
    p->block_rows = cache->block_stride_bytes / row_bytes;
    p->v_rows = cache->v_offset_bytes / row_bytes;
    p->n_cache_rows = (int32_t)n_rows;
    const uint64_t dims[3] = {LINE / 2, (uint64_t)n_rows, (uint64_t)(row_bytes / LINE)};
    const uint64_t strides[2] = {(uint64_t)row_bytes, LINE};
    const uint32_t box[3] = {LINE / 2, (uint32_t)a->unit, 1}, steps[3] = {1, 1, 1};
    tri_cu_result result = queue->cu->tensor_map(&p->cache_map, TRI_CU_MAP_BF16, 3, cache->base,
        dims, strides, box, steps, 0, TRI_CU_MAP_SWIZZLE_128, TRI_CU_MAP_PROMOTE_256, 0);
    if (result)
        queue->status = tri_cu_fail(queue->cu, result, "attention: tensor map", &queue->error);
    return result == 0;
}

/* Rows of a key head that attention_paged.cu has as few, with heads of at most SMALL. */
static int32_t few_rows(const attention *a) {
    return (a->group + 15) / 16 * 16;
}

/* Sequences of many rows to attention_prompt.cu, where a step may have any: more tokens than
 * sequences.  (In a step of fewer such a sequence beside idle ones is left to attention_paged.cu.)
 */
static bool launch_prompt(attention *a, const tri_plugin_launch *l, const paged_arguments *p) {
    const tri_plugin_extents *e = &l->step->extents;
    prompt_arguments arguments = {.q = p->q,
        .y = p->y,
        .q_stride = p->q_stride,
        .y_stride = p->y_stride,
        .block_tables = p->block_tables,
        .cu_seqlens = p->cu_seqlens,
        .context_lens = p->context_lens,
        .max_blocks = p->max_blocks,
        .n_sequences = p->n_sequences,
        .window = p->window,
        .scale_log2 = p->scale_log2,
        .cap_log2 = p->cap_log2};
    tri_cuda_queue *queue = l->team;
    if (e->n_tokens <= e->n_sequences || e->n_tokens * a->group <= few_rows(a) ||
        !make_map(a, l->caches[CACHE], queue, &arguments))
        return false;
    int64_t tiles = (int64_t)e->n_tokens * a->group / PROMPT_ROWS + e->n_sequences;
    int64_t items = tiles * a->n_kv_heads;
    const tri_cuda_grid grid = {
        .grid_x = (uint32_t)(items < a->n_multiprocessors ? items : a->n_multiprocessors),
        .grid_y = 1,
        .block = PROMPT_THREADS,
        .shared_bytes = a->prompt.shared_bytes};
    tri_cuda_kernel_enqueue(&a->prompt, queue, &grid, &arguments);
    return true;
}

static void launch_paged(void *state, const tri_plugin_launch *l) {
    attention *a = state;
    tri_cuda_queue *queue = l->team;
    const tri_plugin_extents *e = l->step ? &l->step->extents : NULL;
    if (queue->preparing) {
        tri_cuda_kernel_prepare(&a->kernel, queue);
        if (a->has_prompt) tri_cuda_kernel_prepare(&a->prompt, queue);
        return;
    }
    if (!e || e->n_tokens == 0) return;
    paged_arguments arguments = arguments_of(a, l);
    if (a->has_prompt && launch_prompt(a, l, &arguments)) {
        if (e->n_sequences == 1) return; /* and it has them all */
        arguments.skips_long = 1;
    }
    const tri_cuda_grid grid = {.grid_x = (uint32_t)a->grid,
        .grid_y = 1,
        .block = THREADS,
        .shared_bytes = a->kernel.shared_bytes};
    tri_cuda_kernel_enqueue(&a->kernel, queue, &grid, &arguments);
}

static void launch_float(void *state, const tri_plugin_launch *l) {
    attention *a = state;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        tri_cuda_kernel_prepare(&a->kernel, queue);
        return;
    }
    if (l->step->extents.n_tokens == 0) return;
    const paged_arguments p = arguments_of(a, l);
    const float_arguments arguments = {.q = p.q,
        .y = p.y,
        .q_stride = p.q_stride,
        .y_stride = p.y_stride,
        .cache = p.cache,
        .block_stride = p.block_stride,
        .v_offset = p.v_offset,
        .block_tables = p.block_tables,
        .cu_seqlens = p.cu_seqlens,
        .context_lens = p.context_lens,
        .max_blocks = p.max_blocks,
        .n_sequences = p.n_sequences,
        .n_tokens = l->step->extents.n_tokens,
        .window = p.window,
        .scale_log2 = p.scale_log2,
        .cap_log2 = p.cap_log2};
    const tri_cuda_grid grid = {.grid_x = (uint32_t)a->grid, .grid_y = 1, .block = THREADS};
    tri_cuda_kernel_enqueue(&a->kernel, queue, &grid, &arguments);
}

static const tri_plugin_kernel attention_paged = {
    TRI_CUDA_KERNEL("attention", "attention_paged", "sm_80", "attention tile64 run256"),
    .supports = supports_paged, .cost = cost, .workspace_bytes = workspace_bytes,
    .create = create_paged, .destroy = free, .launch = launch_paged};

/* As the above, but for sequences that have many rows in a step. */
static const tri_plugin_kernel attention_hopper = {
    TRI_CUDA_KERNEL("attention", "attention_hopper", "sm_90a", "attention prompts wgmma tile128"),
    .supports = supports_hopper, .cost = cost, .workspace_bytes = workspace_bytes,
    .create = create_hopper, .destroy = free, .launch = launch_paged};

static const tri_plugin_kernel attention_float = {
    TRI_CUDA_KERNEL("attention", "attention_float", "sm_80", "attention f32 tile128"),
    .supports = supports_float, .cost = cost, .create = create_float, .destroy = free,
    .launch = launch_float};

const tri_plugin_kernel *const tri_cuda_attention_kernels[] = {
    &attention_hopper, &attention_paged, &attention_float, NULL};
