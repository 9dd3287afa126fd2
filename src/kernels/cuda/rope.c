/* rope.c - rope, kv_write and rope_kv_write by rope.cu. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.h"

enum { ROPE_X, ROPE_POSITIONS, ROPE_FREQUENCIES };
enum { WRITE_K, WRITE_V, WRITE_CACHE };
enum { Q, K, V, CACHE, POSITIONS, FREQUENCIES, Q_NORM, K_NORM };
enum {
    NONE = -1,
    WARP = 32,
    WARPS = 8,
    LEAST_LANES = 8,
    MAX_HEAD = 512,             /* its elements stay in registers */
    BLOCKS_A_MULTIPROCESSOR = 4 /* what fills it; below that, a token's heads are split */
};

typedef struct rope_arguments { /* of rope.cu */
    uint64_t q, k, v, y;
    int64_t q_stride, k_stride, v_stride, y_stride;
    uint64_t q_norm, k_norm, frequencies;
    uint64_t positions, cu_seqlens, context_lens, block_tables, cache;
    int64_t block_stride, v_offset;
    int32_t max_blocks, n_blocks, n_sequences;
    float magnitude, eps;
} rope_arguments;

typedef struct operands { /* of an op: their places, NONE where it has none */
    int32_t q, k, v, cache, frequencies, q_norm, k_norm;
} operands;

typedef struct rope {
    tri_cuda_kernel kernel;
    const tri_plugin_desc *desc;
    operands at;
    int64_t unit;
    int32_t n_heads; /* of q, k and v */
    int32_t groups;  /* of lanes in a block, a head each */
    int32_t n_multiprocessors;
    float magnitude, eps;
} rope;

/* ---- what is asked ---- */

static operands operands_of(const tri_plugin_desc *desc) {
    if (strcmp(desc->op, "rope") == 0)
        return (operands){ROPE_X, NONE, NONE, NONE, ROPE_FREQUENCIES, NONE, NONE};
    if (strcmp(desc->op, "kv_write") == 0)
        return (operands){NONE, WRITE_K, WRITE_V, WRITE_CACHE, NONE, NONE, NONE};
    return (operands){Q, K, V, CACHE, FREQUENCIES, tri_desc_input(desc, Q_NORM) ? Q_NORM : NONE,
        tri_desc_input(desc, K_NORM) ? K_NORM : NONE};
}

static int64_t head_size_of(const tri_plugin_desc *desc, const operands *at) {
    return at->cache != NONE ? desc->inputs[at->cache].dims[1] : tri_desc_int(desc, "head_size", 0);
}

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    const operands at = operands_of(desc);
    const int32_t floats[] = {at.q, at.k, at.v, at.q_norm, at.k_norm};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        if (floats[i] != NONE && tri_cuda_require_floats(desc, floats[i], reason, reason_bytes))
            return 1;
    }
    if (at.frequencies != NONE && desc->inputs[at.frequencies].dtype != TRI_F32)
        return tri_reject(reason, reason_bytes, "frequencies are not float32");
    int64_t head_size = head_size_of(desc, &at);
    if (head_size < 1 || head_size > MAX_HEAD) {
        return tri_reject(reason, reason_bytes, "heads of %lld columns, at most %d",
            (long long)head_size, (int)MAX_HEAD);
    }
    if (at.cache == NONE) return 0;
    int32_t element = tri_cuda_element(desc->inputs[at.cache].dtype);
    if (element < 0 || element == TRI_CUDA_I8)
        return tri_reject(reason, reason_bytes, "caches are float32, float16 or bfloat16");
    if (desc->tokens_per_block < 1)
        return tri_reject(reason, reason_bytes, "the cache has no blocks");
    return 0;
}

static double token_bytes(const tri_plugin_type *type) {
    return (double)tri_plugin_columns(type) * tri_cuda_element_bytes(tri_cuda_element(type->dtype));
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    const operands at = operands_of(desc);
    double bytes = 0, columns = 0;
    for (int32_t i = 0; i < 3; i++) {
        int32_t input = i == 0 ? at.q : i == 1 ? at.k : at.v;
        if (input == NONE) continue;
        const tri_plugin_type *x = &desc->inputs[input];
        const tri_plugin_type *y = i == 0 ? &desc->outputs[0] : &desc->inputs[at.cache];
        columns += (double)tri_plugin_columns(x);
        bytes += token_bytes(x) +
                 (double)tri_plugin_columns(x) * tri_cuda_element_bytes(tri_cuda_element(y->dtype));
    }
    *c = (tri_plugin_cost){
        .bytes = bytes * extents->n_tokens, .flops = 4 * columns * extents->n_tokens};
}

/* ---- how ---- */

static int32_t element_of(const tri_plugin_desc *desc, int32_t input, int32_t otherwise) {
    return input == NONE ? otherwise : tri_cuda_element(desc->inputs[input].dtype);
}

static int64_t heads_of(const tri_plugin_desc *desc, int32_t input, int64_t head_size) {
    return input == NONE ? 0 : tri_plugin_columns(&desc->inputs[input]) / head_size;
}

/* Pairs, or columns, that a lane takes at a time: views begin at multiples of four elements. */
static int64_t unit_of(int64_t d, int64_t n_pairs) {
    int64_t unit = 4;
    while (d % unit || n_pairs % unit)
        unit /= 2;
    return unit;
}

/* Lanes of a head: enough for half of it at once, which are its turned pairs at most. */
static int64_t lanes_of(int64_t d, int64_t unit) {
    int64_t lanes = LEAST_LANES;
    while (lanes < WARP && 2 * unit * lanes < d)
        lanes *= 2;
    return lanes;
}

static void make_program(const tri_plugin_desc *desc, const operands *at, rope *r) {
    int64_t d = head_size_of(desc, at);
    int64_t n = at->frequencies == NONE ? 0 : tri_plugin_columns(&desc->inputs[at->frequencies]);
    int64_t heads = heads_of(desc, at->q, d), kv_heads = heads_of(desc, at->k, d);
    int64_t unit = unit_of(d, n), lanes = lanes_of(d, unit);
    const struct {
        const char *name;
        int64_t value;
    } defines[] = {
        {"P_HEADS", heads},
        {"P_KV_HEADS", kv_heads},
        {"P_D", d},
        {"P_PAIRS", n},
        {"P_INTERLEAVED", n ? tri_desc_int(desc, "interleaved", 0) : 0},
        {"P_UNIT", unit},
        {"P_LANES", lanes},
        {"P_Q", element_of(desc, at->q, TRI_CUDA_F32)},
        {"P_K", element_of(desc, at->k, TRI_CUDA_F32)},
        {"P_V", element_of(desc, at->v, TRI_CUDA_F32)},
        {"P_Y", heads ? tri_cuda_element(desc->outputs[0].dtype) : TRI_CUDA_F32},
        {"P_CACHE", element_of(desc, at->cache, TRI_CUDA_F32)},
        {"P_Q_NORM", element_of(desc, at->q_norm, NONE)},
        {"P_K_NORM", element_of(desc, at->k_norm, NONE)},
        {"P_BLOCK", desc->tokens_per_block > 0 ? desc->tokens_per_block : 1},
        {"P_WARPS", WARPS},
    };
    for (size_t i = 0; i < sizeof defines / sizeof defines[0]; i++)
        tri_cuda_define(&r->kernel.program, defines[i].name, defines[i].value);
    r->unit = unit;
    r->n_heads = (int32_t)(heads + 2 * kv_heads);
    r->groups = (int32_t)((int64_t)WARPS * WARP / lanes);
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    rope *r = calloc(1, sizeof *r);
    if (!r) return 1;
    *r = (rope){.kernel.program.entry = "rope",
        .desc = desc,
        .at = operands_of(desc),
        .n_multiprocessors = desc->device->n_threads,
        .magnitude = (float)tri_desc_float(desc, "magnitude", 1.0),
        .eps = (float)tri_desc_float(desc, "eps", 1e-5)};
    make_program(desc, &r->at, r);
    *state = r;
    return 0;
}

/* How many blocks share a token: enough to fill the device, a head a group at most. */
static uint32_t blocks_a_token(const rope *r, int32_t n_tokens) {
    int32_t most = (r->n_heads + r->groups - 1) / r->groups;
    int64_t full = (int64_t)BLOCKS_A_MULTIPROCESSOR * r->n_multiprocessors;
    int64_t n = (full + n_tokens - 1) / n_tokens;
    return (uint32_t)(n < 1 ? 1 : n > most ? most : n);
}

static void set_tensor(
    const tri_plugin_tensor *tensors, int32_t at, uint64_t *address, int64_t *stride) {
    if (at == NONE) return;
    *address = tri_cuda_address(tensors[at].data);
    *stride = tensors[at].row_stride_bytes;
}

static void set_constant(const tri_plugin_tensor *tensors, int32_t at, uint64_t *address) {
    int64_t unused;
    set_tensor(tensors, at, address, &unused);
}

static void set_cache(const tri_plugin_launch *l, int32_t at, rope_arguments *a) {
    if (at == NONE) return;
    const tri_plugin_cache *cache = l->caches[at];
    a->cu_seqlens = tri_cuda_address(l->step->cu_seqlens);
    a->context_lens = tri_cuda_address(l->step->context_lens);
    a->block_tables = tri_cuda_address(cache->block_tables);
    a->cache = tri_cuda_address(cache->base);
    a->block_stride = cache->block_stride_bytes;
    a->v_offset = cache->v_offset_bytes;
    a->max_blocks = cache->max_blocks;
    a->n_blocks = cache->n_blocks;
}

static void launch(void *state, const tri_plugin_launch *l) {
    rope *r = state;
    const operands *at = &r->at;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        tri_cuda_require_aligned(queue, r->desc, l, r->unit);
        tri_cuda_kernel_prepare(&r->kernel, queue);
        return;
    }
    int32_t n_tokens = l->step->extents.n_tokens;
    if (!n_tokens) return;
    /* The positions are the step's own, which are there before any kernel runs: the operand's copy
     * may not be. */
    rope_arguments a = {.positions = tri_cuda_address(l->step->positions),
        .n_sequences = l->step->extents.n_sequences,
        .magnitude = r->magnitude,
        .eps = r->eps};
    set_tensor(l->inputs, at->q, &a.q, &a.q_stride);
    set_tensor(l->inputs, at->k, &a.k, &a.k_stride);
    set_tensor(l->inputs, at->v, &a.v, &a.v_stride);
    set_tensor(l->outputs, at->q == NONE ? NONE : 0, &a.y, &a.y_stride);
    set_constant(l->inputs, at->q_norm, &a.q_norm);
    set_constant(l->inputs, at->k_norm, &a.k_norm);
    set_constant(l->inputs, at->frequencies, &a.frequencies);
    set_cache(l, at->cache, &a);
    const tri_cuda_grid grid = {
        .grid_x = (uint32_t)n_tokens, .grid_y = blocks_a_token(r, n_tokens), .block = WARPS * WARP};
    tri_cuda_kernel_enqueue(&r->kernel, queue, &grid, &a);
}

/* ---- registration ---- */

#define ROPE_KERNEL(op_)                                                                           \
    static const tri_plugin_kernel op_##_cuda = {                                                  \
        TRI_CUDA_KERNEL(#op_, #op_ "_cuda", "sm_80", "f32_lanes"), .supports = supports,           \
        .cost = cost, .create = create, .destroy = free, .launch = launch}

ROPE_KERNEL(rope);
ROPE_KERNEL(kv_write);
ROPE_KERNEL(rope_kv_write);

const tri_plugin_kernel *const tri_cuda_rope_kernels[] = {
    &rope_cuda, &kv_write_cuda, &rope_kv_write_cuda, NULL};
