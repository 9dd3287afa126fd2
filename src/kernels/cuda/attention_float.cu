/* attention_float.cu - causal attention over a paged cache of float32, any mix of tokens.
 *
 * Shapes   q, y [T, H D] float32 or bf16; cache as in plugin.h, float32, with the step's k and v
 * Math     float32 throughout: a thread has the score of a position, D products in order; softmax by
 *          tiles of 128 positions from position 0, folded in order; a thread has columns of the
 *          product with v, positions in order.  Each token for itself, so nothing depends on company
 * Grid     (any), block 128: blocks take (token, head) pairs in turn
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_D = D, P_BLOCK tokens a cache block, P_Q_BF16, P_Y_BF16,
 *          P_SOFTCAP (0/1)                                    from kernels/cuda/attention_paged.c
 * Needs    D % 4 == 0; cache rows 16-byte aligned
 * Bound    memory, 8 H D bytes a position: query heads do not share what they read */
#include "ptx.cuh"

#define THREADS 128
#define COLUMNS ((P_D + THREADS - 1) / THREADS) /* of a thread */
#define MINUS_INFINITY __int_as_float((int)0xff800000)

static_assert(P_D % 4 == 0 && P_HEADS % P_KV_HEADS == 0, "see the head of the file");

typedef struct float_arguments { /* as paged_arguments, without workspace */
    const u8 *q;
    u8 *y;
    i64 q_stride, y_stride; /* bytes */
    const u8 *cache;
    i64 block_stride, v_offset; /* bytes */
    const int *block_tables, *cu_seqlens, *context_lens;
    int max_blocks, n_sequences, n_tokens, window;
    float scale_log2, cap_log2;
} float_arguments;

/* The sequence of a token: cu[s] <= token < cu[s + 1]. */
DEVICE int sequence_of(const int *cu, int n, int token) {
    int low = 0, high = n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (cu[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}

DEVICE float element(const u8 *row, int i, bool is_bf16) {
    return is_bf16 ? __uint_as_float((u32)((const u16 *)row)[i] << 16) : ((const float *)row)[i];
}

/* k of a position, NULL where the table has none. */
DEVICE const float *key_of(const float_arguments *a, const int *blocks, int position, int head) {
    int entry = blocks[position / P_BLOCK];
    if (entry < 0) return 0;
    return (const float *)(a->cache + entry * a->block_stride) +
           (i64)(head * P_BLOCK + position % P_BLOCK) * P_D;
}

DEVICE float score(const float_arguments *a, const float *q, const float *k) {
    float x = 0.0f;
    for (int d = 0; d < P_D && k; d += 4) {
        float4 v = *(const float4 *)(k + d);
        x += q[d] * v.x;
        x += q[d + 1] * v.y;
        x += q[d + 2] * v.z;
        x += q[d + 3] * v.w;
    }
    x *= a->scale_log2;
#if P_SOFTCAP
    x = a->cap_log2 * (1.0f - 2.0f / (exp2f(x) + 1.0f)); /* tanh of y from e^2y */
#endif
    return x;
}

typedef struct room {
    float q[P_D], weights[THREADS], warps[THREADS / 32];
    const float *values[THREADS];
} room;

/* Maximum, or sum, of x over the block, in one order. */
DEVICE float over_block(float x, bool is_sum, float *warps) {
    for (int step = 16; step > 0; step >>= 1) {
        float other = __shfl_xor_sync(0xffffffffu, x, step);
        x = is_sum ? x + other : fmaxf(x, other);
    }
    __syncthreads(); /* the last call's are read */
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = warps[0];
    for (int w = 1; w < THREADS / 32; w++)
        x = is_sum ? x + warps[w] : fmaxf(x, warps[w]);
    return x;
}

DEVICE void attend(const float_arguments *a, int token, int head, room *m) {
    int s = sequence_of(a->cu_seqlens, a->n_sequences, token), tid = threadIdx.x;
    int position = a->context_lens[s] - (a->cu_seqlens[s + 1] - token);
    const int *blocks = a->block_tables + (i64)s * a->max_blocks;
    int first = position + 1 - a->window > 0 ? position + 1 - a->window : 0;
    float most = MINUS_INFINITY, sum = 0.0f, value[COLUMNS] = {};
    const u8 *q = a->q + token * a->q_stride + (i64)head * (P_D * (P_Q_BF16 ? 2 : 4));
    for (int d = tid; d < P_D; d += THREADS)
        m->q[d] = element(q, d, P_Q_BF16);
    for (int from = first / THREADS * THREADS; from <= position; from += THREADS) {
        int own = from + tid;
        bool seen = own >= first && own <= position;
        __syncthreads(); /* q is there; weights of the last tile are read */
        const float *k = seen ? key_of(a, blocks, own, head / (P_HEADS / P_KV_HEADS)) : 0;
        float x = seen ? score(a, m->q, k) : MINUS_INFINITY;
        float top = fmaxf(most, over_block(x, false, m->warps)), keep = exp2f(most - top);
        float weight = exp2f(x - top);
        m->weights[tid] = weight;
        m->values[tid] = k ? (const float *)((const u8 *)k + a->v_offset) : 0;
        sum = sum * keep + over_block(weight, true, m->warps); /* its barriers show the weights */
        most = top;
        for (int c = 0; c < COLUMNS; c++) {
            int column = tid + c * THREADS;
            float more = 0.0f;
            for (int i = 0; i < THREADS && column < P_D; i++)
                if (m->values[i]) more += m->weights[i] * m->values[i][column];
            value[c] = value[c] * keep + more;
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        int column = tid + c * THREADS;
        u8 *y = a->y + token * a->y_stride;
        if (column >= P_D) continue;
#if P_Y_BF16
        ((u16 *)y)[head * P_D + column] = (u16)pack_bf16(value[c] / sum, 0.0f);
#else
        ((float *)y)[head * P_D + column] = value[c] / sum;
#endif
    }
    __syncthreads(); /* weights are read before the next pair's */
}

extern "C" __global__ void __launch_bounds__(THREADS) attention_float(
    const __grid_constant__ float_arguments a) {
    __shared__ room m;
    grid_launch_dependents();
    grid_wait();
    int n = a.n_tokens * P_HEADS;
    for (int i = blockIdx.x; i < n; i += gridDim.x)
        attend(&a, i / P_HEADS, i % P_HEADS, &m);
}
