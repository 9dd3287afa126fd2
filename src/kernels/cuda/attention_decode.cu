/* attention_decode.cu - one new token a sequence: rope, its k and v into the cache, attention.
 *
 * Shapes   qkv [S, (H + 2 G) D] bf16, q | k | v; paged cache as in plugin.h, bf16; y [S, H D] bf16.
 *          H = P_GROUP G, D = 128
 * Math     rope of pairs (i, i + D / 2) in float32, rounded to bf16; scores float32; softmax by slab
 *          of 64 positions, weights rounded to bf16 for the product with v, float32 sums; slabs
 *          merged in order to chunks of P_SPLIT from position 0, chunks in order to the result.
 *          So nothing depends on other sequences
 * Grid     (any): blocks take (item, kv head) pairs in turn, items as step_plan lists them.  The
 *          block that ends a sequence's last missing chunk merges them.  Block P_SPLIT / 2: a slab
 *          a warp
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_SPLIT, P_BLOCK tokens a cache block, P_RESIDENT blocks a
 *          multiprocessor
 *                                                              from kernels/cuda/attention.c
 * Needs    P_SPLIT % 64 == 0, H / G <= 8, every position below the context mapped; the step's token
 *          is at position context_lens[s] - 1
 * Bound    memory: 4 G D bytes a position */
#include "ptx.cuh"

#define D 128
#define HALF (D / 2)
#define GROUP (P_HEADS / P_KV_HEADS)
#define N_WARPS (P_SPLIT / 64)
#define THREADS (N_WARPS * 32)
#define ROW ((P_HEADS + 2 * P_KV_HEADS) * D)
#define PART (GROUP * D)
#define MINUS_INFINITY __int_as_float((int)0xff800000)

static_assert(GROUP <= 8 && P_SPLIT % 64 == 0 && THREADS >= 32, "see the head of the file");

typedef struct attention_arguments {
    const u16 *qkv;
    u16 *y;
    u8 *cache;
    i64 block_stride, v_offset; /* bytes */
    const int *block_tables;
    const int *context_lens;
    const int2 *items;
    const int *first_item;
    const float2 *rotations; /* [S, D / 2] */
    float *parts;            /* [items, G, GROUP, D] unnormalised */
    float2 *part_sums;       /* [items, G, GROUP] {max in base 2, sum} */
    u32 *counters;           /* [S, G], 0 before and after */
    int max_blocks, n_sequences;
    float scale_log2; /* scale times log2(e) */
} attention_arguments;

typedef struct item {
    int sequence, chunk, head, index, n_chunks, context;
    const int *blocks;
} item;

/* K of a position; V is v_offset further. */
DEVICE u8 *key_at(const attention_arguments *a, const item *it, u32 position) {
    i64 block = it->blocks[position / P_BLOCK];
    return a->cache + block * a->block_stride +
           (it->head * P_BLOCK + position % P_BLOCK) * (D * 2);
}

/* Two bf16 pairs, elements i, i + 1 and i + HALF, i + HALF + 1 of a head, turned. */
DEVICE void rotate(u32 *low, u32 *high, float2 r0, float2 r1) {
    float x0 = bf16_low(*low), x1 = bf16_high(*low), y0 = bf16_low(*high), y1 = bf16_high(*high);
    *low = pack_bf16(x0 * r0.x - y0 * r0.y, x1 * r1.x - y1 * r1.y);
    *high = pack_bf16(y0 * r0.x + x0 * r0.y, y1 * r1.x + x1 * r1.y);
}

/* The new token's k, turned, and v to their places.  One warp; lane i has elements 2i and 2i + 1
 * of each half. */
DEVICE void write_new(const attention_arguments *a, const item *it, int lane) {
    const u16 *row = a->qkv + (i64)it->sequence * ROW;
    const u32 *k = (const u32 *)(row + (P_HEADS + it->head) * D);
    const u32 *v = (const u32 *)(row + (P_HEADS + P_KV_HEADS + it->head) * D);
    const float2 *r = a->rotations + it->sequence * HALF + lane * 2;
    u32 low = k[lane], high = k[lane + 32];
    u8 *to = key_at(a, it, it->context - 1);
    rotate(&low, &high, r[0], r[1]);
    ((u32 *)to)[lane] = low;
    ((u32 *)to)[lane + 32] = high;
    ((u32 *)(to + a->v_offset))[lane] = v[lane];
    ((u32 *)(to + a->v_offset))[lane + 32] = v[lane + 32];
}

/* q of the group's head g, lane t: four pieces of 8 elements at 32 p + 8 t. */
DEVICE void load_q(const attention_arguments *a, const item *it, int g, int t, uint4 q[4]) {
    if (g >= GROUP) {
        for (int p = 0; p < 4; p++)
            q[p] = make_uint4(0, 0, 0, 0);
        return;
    }
    const u16 *row = a->qkv + (i64)it->sequence * ROW + (it->head * GROUP + g) * D + t * 8;
    const float2 *r = a->rotations + it->sequence * HALF + t * 8;
#pragma unroll
    for (int p = 0; p < 4; p++)
        q[p] = *(const uint4 *)(row + p * 32);
#pragma unroll
    for (int p = 0; p < 2; p++) {
        rotate(&q[p].x, &q[p + 2].x, r[p * 32 + 0], r[p * 32 + 1]);
        rotate(&q[p].y, &q[p + 2].y, r[p * 32 + 2], r[p * 32 + 3]);
        rotate(&q[p].z, &q[p + 2].z, r[p * 32 + 4], r[p * 32 + 5]);
        rotate(&q[p].w, &q[p + 2].w, r[p * 32 + 6], r[p * 32 + 7]);
    }
}

/* Scores of 8 positions from `first`: s[0], s[1] of head g at first + 2t, + 1. */
DEVICE void score(
    const attention_arguments *a, const item *it, const uint4 q[4], int first, int lane, float s[2]) {
    int g = lane / 4, t = lane % 4, last = it->context - 1;
    int position = first + g < last ? first + g : last;
    const uint4 *k = (const uint4 *)key_at(a, it, position) + t;
    float d[4] = {};
    uint4 b[4];
#pragma unroll
    for (int p = 0; p < 4; p++)
        b[p] = k[p * 4];
#pragma unroll
    for (int p = 0; p < 4; p++) {
        mma_bf16(d, q[p].x, 0, q[p].y, 0, b[p].x, b[p].y);
        mma_bf16(d, q[p].z, 0, q[p].w, 0, b[p].z, b[p].w);
    }
    s[0] = first + 2 * t <= last ? d[0] * a->scale_log2 : MINUS_INFINITY;
    s[1] = first + 2 * t + 1 <= last ? d[1] * a->scale_log2 : MINUS_INFINITY;
}

/* out [D, heads] += v of 16 positions times their weights: rows of tile e are elements 8 g + e and
 * 64 + 8 g + e. */
DEVICE void weigh(const attention_arguments *a, const item *it, u32 p0, u32 p1, int first, int lane,
    float out[8][4]) {
    int g = lane / 4, t = lane % 4, last = it->context - 1;
    uint4 v[4][2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int position = first + (i / 2) * 8 + 2 * t + i % 2;
        const uint4 *at =
            (const uint4 *)(key_at(a, it, position < last ? position : last) + a->v_offset) + g;
        v[i][0] = at[0];
        v[i][1] = at[8];
    }
#define PAIR(i, h, w, half) __byte_perm(v[i][h].w, v[i + 1][h].w, half ? 0x7632 : 0x5410)
#define TILE(e, w, half)                                                                           \
    mma_bf16(out[e], PAIR(0, 0, w, half), PAIR(0, 1, w, half), PAIR(2, 0, w, half),                \
        PAIR(2, 1, w, half), p0, p1)
    TILE(0, x, 0);
    TILE(1, x, 1);
    TILE(2, y, 0);
    TILE(3, y, 1);
    TILE(4, z, 0);
    TILE(5, z, 1);
    TILE(6, w, 0);
    TILE(7, w, 1);
#undef TILE
#undef PAIR
}

/* One slab of 64 positions: its max (base 2), sum and weighted v to shared memory. */
DEVICE void slab(const attention_arguments *a, const item *it, int first, int lane, float *out_rows,
    float2 *sums) {
    int g = lane / 4, t = lane % 4;
    uint4 q[4];
    float s[8][2], out[8][4] = {}, most = MINUS_INFINITY, sum = 0.0f;
    load_q(a, it, g, t, q);
    /* By halves, not unrolled: the loads of one half fit the registers. */
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            s[j][0] = s[4 + j][0];
            s[j][1] = s[4 + j][1];
            score(a, it, q, first + half * 32 + j * 8, lane, s[4 + j]);
            most = fmaxf(most, fmaxf(s[4 + j][0], s[4 + j][1]));
        }
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    u32 p[8];
#pragma unroll
    for (int j = 0; j < 8; j++) {
        float e0 = exp2f(s[j][0] - most), e1 = exp2f(s[j][1] - most);
        sum += e0 + e1;
        p[j] = pack_bf16(e0, e1);
    }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
        weigh(a, it, p[0], p[1], first + half * 32, lane, out);
        weigh(a, it, p[2], p[3], first + half * 32 + 16, lane, out);
#pragma unroll
        for (int j = 0; j < 4; j++)
            p[j] = p[4 + j];
    }
    if (g < GROUP && t == 0) sums[g] = make_float2(most, sum);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (2 * t + h >= GROUP) continue;
        float *row = out_rows + (2 * t + h) * D + g * 8;
#pragma unroll
        for (int e = 0; e < 8; e++) {
            row[e] = out[e][h];
            row[HALF + e] = out[e][2 + h];
        }
    }
}

/* The merged result of n parts of one head's element, in order. */
DEVICE float merge(
    const float *parts, i64 stride, const float2 *sums, i64 sums_stride, int n, float2 *total) {
    float most = MINUS_INFINITY, sum = 0.0f, value = 0.0f;
    for (int i = 0; i < n; i++)
        most = fmaxf(most, __ldcg(&sums[i * sums_stride]).x);
    for (int i = 0; i < n; i++) {
        float2 part = __ldcg(&sums[i * sums_stride]);
        float weight = exp2f(part.x - most);
        sum += part.y * weight;
        value += __ldcg(&parts[i * stride]) * weight;
    }
    *total = make_float2(most, sum);
    return value;
}
/* The same in shared memory. */
DEVICE float merge_slabs(const float *parts, const float2 *sums, int n, float2 *total) {
    float most = MINUS_INFINITY, sum = 0.0f, value = 0.0f;
    for (int i = 0; i < n; i++)
        most = fmaxf(most, sums[i * GROUP].x);
    for (int i = 0; i < n; i++) {
        float weight = exp2f(sums[i * GROUP].x - most);
        sum += sums[i * GROUP].y * weight;
        value += parts[i * PART] * weight;
    }
    *total = make_float2(most, sum);
    return value;
}

DEVICE void store_result(const attention_arguments *a, const item *it, int i, float value, float sum) {
    float y = value / sum;
    a->y[(i64)it->sequence * (P_HEADS * D) + it->head * PART + i] = (u16)pack_bf16(y, y);
}

DEVICE void attend(
    const attention_arguments *a, const item *it, float *slabs, float2 *sums, u32 *is_last) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, start = it->chunk * P_SPLIT;
    int left = it->context - start, n_slabs = left < P_SPLIT ? (left + 63) / 64 : N_WARPS;
    if (it->chunk == it->n_chunks - 1) {
        if (warp == 0) write_new(a, it, lane);
        __syncthreads(); /* the new row is read below by other warps */
    }
    if (warp < n_slabs)
        slab(a, it, start + warp * 64, lane, slabs + warp * PART, sums + warp * GROUP);
    __syncthreads(); /* slabs before their merge */

    i64 part = (i64)it->index * P_KV_HEADS + it->head;
    for (int i = threadIdx.x; i < PART; i += THREADS) {
        float2 total;
        float value = merge_slabs(slabs + i, sums + i / D, n_slabs, &total);
        if (it->n_chunks == 1) {
            store_result(a, it, i, value, total.y);
        } else {
            a->parts[part * PART + i] = value;
            if (i % D == 0) a->part_sums[part * GROUP + i / D] = total;
        }
    }
    if (it->n_chunks == 1) return;

    __threadfence(); /* this thread's part before the count that announces it */
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 *counter = &a->counters[it->sequence * P_KV_HEADS + it->head];
        *is_last = atomicAdd(counter, 1) == (u32)it->n_chunks - 1;
        if (*is_last) *counter = 0;
    }
    __syncthreads();
    if (!*is_last) return;
    __threadfence(); /* the others' parts after their counts */
    part = (i64)(it->index - it->chunk) * P_KV_HEADS + it->head;
    for (int i = threadIdx.x; i < PART; i += THREADS) {
        float2 total;
        float value = merge(a->parts + part * PART + i, (i64)P_KV_HEADS * PART,
            a->part_sums + part * GROUP + i / D, P_KV_HEADS * GROUP, it->n_chunks, &total);
        store_result(a, it, i, value, total.y);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, P_RESIDENT) attention_decode(
    const __grid_constant__ attention_arguments a) {
    __shared__ float slabs[N_WARPS * PART];
    __shared__ float2 sums[N_WARPS * GROUP];
    __shared__ u32 is_last;
    grid_launch_dependents();
    grid_wait();
    int n_work = a.first_item[a.n_sequences] * P_KV_HEADS;
    for (int work = blockIdx.x; work < n_work; work += gridDim.x) {
        item it;
        it.index = work / P_KV_HEADS;
        it.head = work % P_KV_HEADS;
        int2 entry = a.items[it.index];
        it.sequence = entry.x;
        it.chunk = entry.y;
        it.context = a.context_lens[it.sequence];
        it.n_chunks = (it.context + P_SPLIT - 1) / P_SPLIT;
        it.blocks = a.block_tables + (i64)it.sequence * a.max_blocks;
        attend(&a, &it, slabs, sums, &is_last);
        __syncthreads(); /* all have read slabs and is_last before the next item writes them */
    }
}
