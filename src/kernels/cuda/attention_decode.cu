/* attention_decode.cu - one new token a sequence: rope, its k and v into the cache, attention.
 *
 * Shapes   qkv [S, (H + 2 G) D] bf16, q | k | v; paged cache as in plugin.h, bf16, also as a tensor map
 *          of its rows of D; y [S, H D] bf16.  H = P_GROUP G, D = 128
 * Math     rope of pairs (i, i + D / 2) in float32, rounded to bf16; scores float32; softmax by slab
 *          of 32 positions, weights rounded to bf16 for the product with v, float32 sums; slabs
 *          merged in order to chunks of P_SPLIT from position 0, chunks to the result in an order
 *          that their number fixes.  So nothing depends on other sequences
 * Grid     (any): blocks take (item, kv head) pairs in turn, items as step_plan lists them.  The
 *          block that ends a sequence's last missing chunk merges them.  Block P_WARPS * 32 + 32:
 *          slabs are dealt to warps in turn, and one more warp copies them to P_STAGES places.  A
 *          place belongs to one warp, which so sees each of its barrier's phases end
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_SPLIT, P_BLOCK tokens a cache block, P_WARPS, P_STAGES, P_EARLY
 *          (what kernels before the last one wrote may be read before the wait: step_plan's items
 *          and the cache without the step's tokens)           from kernels/cuda/attention.c
 * Needs    P_SPLIT % 32 == 0, H / G <= 8, P_BLOCK a multiple of 32 or 8 or 16, at most P_SPLIT / 32 *
 *          D chunks a sequence, P_STAGES a multiple of P_WARPS, every position below the context mapped; the step's token is at
 *          position context_lens[s] - 1
 * Bound    memory: 4 G D bytes a position */
#include "ptx.cuh"

#define D 128
#define HALF (D / 2)
#define SLAB 32
#define GROUP (P_HEADS / P_KV_HEADS)
#define N_SLABS (P_SPLIT / SLAB)
#define CONSUMERS (P_WARPS * 32)
#define ROW ((P_HEADS + 2 * P_KV_HEADS) * D)
#define ROW_BYTES (D * 2)
#define PART (GROUP * D)
#define UNIT (P_BLOCK < SLAB ? P_BLOCK : SLAB) /* positions of one copy */
#define UNITS (SLAB / UNIT)
#define UNIT_BYTES (UNIT * ROW_BYTES)
#define STAGE (2 * SLAB * ROW_BYTES)
#define MINUS_INFINITY __int_as_float((int)0xff800000)

static_assert(GROUP <= 8 && P_SPLIT % SLAB == 0, "see the head of the file");
static_assert(P_STAGES % P_WARPS == 0 && P_STAGES <= 32, "a place is one warp's");
static_assert(P_BLOCK % UNIT == 0 && SLAB % UNIT == 0 && UNIT % 8 == 0, "whole copies");

typedef struct attention_arguments {
    u64 cache_map[16]; /* CUtensorMap */
    const u16 *qkv;
    u16 *y;
    u8 *cache;
    i64 block_rows, v_rows; /* rows of D from a block to the next, from k to v */
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
} __attribute__((aligned(64))) attention_arguments;

typedef struct item {
    int sequence, chunk, head, index, n_chunks, context, n_slabs;
    const int *blocks;
} item;

DEVICE item item_of(const attention_arguments *a, int work) {
    item it;
    it.index = work / P_KV_HEADS;
    it.head = work % P_KV_HEADS;
    int2 entry = a->items[it.index];
    it.sequence = entry.x;
    it.chunk = entry.y;
    it.context = a->context_lens[it.sequence];
    it.n_chunks = (it.context + P_SPLIT - 1) / P_SPLIT;
    int left = it.context - it.chunk * P_SPLIT;
    it.n_slabs = left < P_SPLIT ? (left + SLAB - 1) / SLAB : N_SLABS;
    it.blocks = a->block_tables + (i64)it.sequence * a->max_blocks;
    return it;
}

/* Among the computing warps.  bar.sync counts whole warps, so each warp must arrive as one: lanes that
 * took a branch of their own are waited for first. */
DEVICE void consumers_sync(void) {
    __syncwarp();
    barrier_sync(1, CONSUMERS);
}

typedef struct ring {
    u32 stages, full, empty; /* shared addresses */
} ring;

/* Row of the cache that holds k of a position. */
DEVICE i64 key_row(const attention_arguments *a, const item *it, u32 position) {
    return it->blocks[position / P_BLOCK] * a->block_rows + it->head * P_BLOCK + position % P_BLOCK;
}

/* Two bf16 pairs, elements i, i + 1 and i + HALF, i + HALF + 1 of a head, turned. */
DEVICE void rotate(u32 *low, u32 *high, float2 r0, float2 r1) {
    float x0 = bf16_low(*low), x1 = bf16_high(*low), y0 = bf16_low(*high), y1 = bf16_high(*high);
    *low = pack_bf16(x0 * r0.x - y0 * r0.y, x1 * r1.x - y1 * r1.y);
    *high = pack_bf16(y0 * r0.x + x0 * r0.y, y1 * r1.x + x1 * r1.y);
}

/* ---- the copying warp ---- */

/* The new token's k, turned, and v to their places.  Lane i has elements 2i and 2i + 1 of each half. */
DEVICE void write_new(const attention_arguments *a, const item *it, int lane) {
    const u16 *row = a->qkv + (i64)it->sequence * ROW;
    const u32 *k = (const u32 *)(row + (P_HEADS + it->head) * D);
    const u32 *v = (const u32 *)(row + (P_HEADS + P_KV_HEADS + it->head) * D);
    const float2 *r = a->rotations + it->sequence * HALF + lane * 2;
    u32 low = k[lane], high = k[lane + 32];
    u32 *to = (u32 *)(a->cache + key_row(a, it, it->context - 1) * ROW_BYTES);
    u32 *v_to = to + a->v_rows * (ROW_BYTES / 4);
    rotate(&low, &high, r[0], r[1]);
    to[lane] = low;
    to[lane + 32] = high;
    v_to[lane] = v[lane];
    v_to[lane + 32] = v[lane + 32];
}

DEVICE void copy_slab(const attention_arguments *a, const item *it, const ring *ring, int slot,
    int first, u64 policy) {
    u32 barrier = ring->full + slot * 8, to = ring->stages + slot * STAGE;
    int left = (it->context - first + UNIT - 1) / UNIT, n = left < UNITS ? left : UNITS;
    mbarrier_expect(barrier, (u32)(n * 2 * UNIT_BYTES));
    for (int i = 0; i < n; i++) {
        int row = (int)key_row(a, it, first + i * UNIT);
        copy_box(to + i * UNIT_BYTES, a->cache_map, 0, row, 0, barrier, policy);
        copy_box(to + (UNITS + i) * UNIT_BYTES, a->cache_map, 0, row + (int)a->v_rows, 0, barrier,
            policy);
    }
}

DEVICE void copy_all(const attention_arguments *a, const ring *ring, int n_work, int lane) {
    u64 policy = policy_evict_first();
    bool waited = !P_EARLY;
    u32 used = 0, parity = 0; /* by place: filled before; parity of its next fill */
    for (int work = blockIdx.x; work < n_work; work += gridDim.x) {
        item it = item_of(a, work);
        for (int i = 0; i < it.n_slabs; i++) {
            int slot = i % P_STAGES;
            if (it.chunk == it.n_chunks - 1 && i == it.n_slabs - 1) {
                if (!waited) grid_wait();
                waited = true;
                write_new(a, &it, lane);
                fence_async_global(); /* the stores, before the copy engine reads them */
                __syncwarp();
            }
            if (used >> slot & 1) mbarrier_wait(ring->empty + slot * 8, ~parity >> slot & 1);
            if (lane == 0)
                copy_slab(a, &it, ring, slot, it.chunk * P_SPLIT + i * SLAB, policy);
            used |= 1u << slot;
            parity ^= 1u << slot;
        }
    }
    if (!waited) grid_wait();
}

/* ---- the computing warps ---- */

/* As in linear_stream.cu: which row, or piece, of eight lane group g reads. */
DEVICE int spread(int g) {
    return g >> 1 | (g & 1) << 2;
}

/* 16-byte piece `piece` of 16 of row `row` of k (or v) of a slab in a stage. */
DEVICE uint4 load_piece(u32 rows, int row, int piece) {
    u32 unit = rows + row / UNIT * UNIT_BYTES, in = row % UNIT;
    return load_shared_16(unit + (piece / 8 * UNIT + in) * 128 + ((piece % 8 ^ (row & 7)) << 4));
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

/* Scores of 8 positions from row `row`, left of which are there: s[0], s[1] of head g at rows t and
 * t + 4 from there. */
DEVICE void score(u32 keys, const uint4 q[4], int row, int left, int lane, float scale, float s[2]) {
    int g = lane / 4, t = lane % 4;
    float d[4] = {};
#pragma unroll
    for (int p = 0; p < 4; p++) {
        uint4 b = load_piece(keys, row + spread(g), p * 4 + t);
        mma_bf16(d, q[p].x, 0, q[p].y, 0, b.x, b.y);
        mma_bf16(d, q[p].z, 0, q[p].w, 0, b.z, b.w);
    }
    s[0] = row + t < left ? d[0] * scale : MINUS_INFINITY;
    s[1] = row + t + 4 < left ? d[1] * scale : MINUS_INFINITY;
}

/* out [D, heads] += v of 16 positions times their weights.  Of tile 4 h + w, row g is element
 * 64 h + 8 spread(g) + 2 w and row g + 8 the one after it. */
DEVICE void weigh(u32 values, u32 p0, u32 p1, int row, int left, int lane, float out[8][4]) {
    int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int from = row + i * 4 + t; /* rows behind the context may hold anything, also NaN */
            v[i] = load_piece(values, from, h * 8 + spread(g));
            if (from >= left) v[i] = make_uint4(0, 0, 0, 0);
        }
#define PAIR(i, word, half) __byte_perm(v[i].word, v[i + 1].word, half ? 0x7632 : 0x5410)
#define TILE(w, word)                                                                              \
    mma_bf16(out[h * 4 + w], PAIR(0, word, 0), PAIR(0, word, 1), PAIR(2, word, 0),                 \
        PAIR(2, word, 1), p0, p1)
        TILE(0, x);
        TILE(1, y);
        TILE(2, z);
        TILE(3, w);
#undef TILE
#undef PAIR
    }
}

/* One slab: its max (base 2), sum and weighted v to shared memory. */
DEVICE void slab(u32 keys, const uint4 q[4], int left, int lane, float scale, float *out_rows,
    float2 *sums) {
    int g = lane / 4, t = lane % 4;
    float s[4][2] = {}, out[8][4] = {}, most = MINUS_INFINITY, sum = 0.0f;
    u32 p[4];
#pragma unroll 1 /* else all k is loaded at once, and registers spill */
    for (int row = 0; row < SLAB; row += 16) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            s[j][0] = s[2 + j][0];
            s[j][1] = s[2 + j][1];
            score(keys, q, row + j * 8, left, lane, scale, s[2 + j]);
            most = fmaxf(most, fmaxf(s[2 + j][0], s[2 + j][1]));
        }
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float e0 = exp2f(s[j][0] - most), e1 = exp2f(s[j][1] - most);
        sum += e0 + e1;
        p[j] = pack_bf16(e0, e1);
    }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    weigh(keys + SLAB * ROW_BYTES, p[0], p[1], 0, left, lane, out);
    weigh(keys + SLAB * ROW_BYTES, p[2], p[3], 16, left, lane, out);
    if (g < GROUP && t == 0) sums[g] = make_float2(most, sum);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (2 * t + h >= GROUP) continue;
        float *row = out_rows + (2 * t + h) * D + spread(g) * 8;
#pragma unroll
        for (int e = 0; e < 8; e++)
            *(float2 *)(row + e / 4 * HALF + e % 4 * 2) = make_float2(out[e][h], out[e][2 + h]);
    }
}

DEVICE void store_result(const attention_arguments *a, const item *it, int i, float value, float sum) {
    float y = value / sum;
    a->y[(i64)it->sequence * (P_HEADS * D) + it->head * PART + i] = (u16)pack_bf16(y, y);
}

/* Slabs to the result, or to a part of it. */
DEVICE void merge_slabs(const attention_arguments *a, const item *it, const float *slabs,
    const float2 *sums) {
    i64 part = (i64)it->index * P_KV_HEADS + it->head;
    for (int i = threadIdx.x; i < PART; i += CONSUMERS) {
        const float2 *own = sums + i / D;
        float most = MINUS_INFINITY, sum = 0.0f, value = 0.0f;
        for (int s = 0; s < it->n_slabs; s++)
            most = fmaxf(most, own[s * GROUP].x);
        for (int s = 0; s < it->n_slabs; s++) {
            float weight = exp2f(own[s * GROUP].x - most);
            sum += own[s * GROUP].y * weight;
            value += slabs[s * PART + i] * weight;
        }
        if (it->n_chunks == 1) {
            store_result(a, it, i, value, sum);
        } else {
            a->parts[part * PART + i] = value;
            if (i % D == 0) a->part_sums[part * GROUP + i / D] = make_float2(most, sum);
        }
    }
}

/* Weights of a head's chunks to weights [n_chunks], their sum to *total.  One warp. */
DEVICE void weigh_chunks(const float2 *sums, int n_chunks, float *weights, float *total, int lane) {
    float most = MINUS_INFINITY, sum = 0.0f;
    for (int c = lane; c < n_chunks; c += 32)
        most = fmaxf(most, __ldcg(&sums[c * (P_KV_HEADS * GROUP)]).x);
    for (int step = 16; step > 0; step >>= 1)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
    for (int c = lane; c < n_chunks; c += 32) {
        float2 part = __ldcg(&sums[c * (P_KV_HEADS * GROUP)]);
        float weight = exp2f(part.x - most);
        weights[c] = weight;
        sum += part.y * weight;
    }
    sum = warp_sum(sum);
    if (lane == 0) *total = sum;
}

/* All chunks of a sequence, written by any blocks, to the result.  `weights` has room for
 * GROUP * n_chunks floats. */
DEVICE void merge_chunks(
    const attention_arguments *a, const item *it, float *weights, float *totals) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    i64 part = (i64)(it->index - it->chunk) * P_KV_HEADS + it->head;
    for (int h = warp; h < GROUP; h += P_WARPS) {
        weigh_chunks(a->part_sums + part * GROUP + h, it->n_chunks, weights + h * it->n_chunks,
            totals + h, lane);
    }
    consumers_sync(); /* weights before their use */
    for (int i = threadIdx.x; i < PART; i += CONSUMERS) {
        const float *from = a->parts + part * PART + i, *weight = weights + i / D * it->n_chunks;
        float value = 0.0f;
#pragma unroll 8
        for (int c = 0; c < it->n_chunks; c++)
            value += __ldcg(&from[(i64)c * (P_KV_HEADS * PART)]) * weight[c];
        store_result(a, it, i, value, totals[i / D]);
    }
}

/* Whether this block is the last of a sequence's chunks to be done.  All consumers call it. */
DEVICE bool is_last(const attention_arguments *a, const item *it, u32 *flag) {
    __threadfence(); /* this thread's part before the count that announces it */
    consumers_sync();
    if (threadIdx.x == 0) {
        u32 *counter = &a->counters[it->sequence * P_KV_HEADS + it->head];
        *flag = atomicAdd(counter, 1) == (u32)it->n_chunks - 1;
        if (*flag) *counter = 0;
        __threadfence(); /* the others' parts after their counts */
    }
    consumers_sync();
    return *flag != 0;
}

extern "C" __global__ void __launch_bounds__(CONSUMERS + 32, 2) attention_decode(
    const __grid_constant__ attention_arguments a) {
    extern __shared__ u8 memory[];
    __shared__ __align__(8) u64 barriers[2 * P_STAGES];
    __shared__ float slabs[N_SLABS * PART], totals[GROUP];
    __shared__ float2 sums[N_SLABS * GROUP];
    __shared__ u32 flag;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    ring ring = {(shared_address(memory) + 1023) & ~1023u, shared_address(barriers),
        shared_address(barriers) + P_STAGES * 8};
    grid_launch_dependents();
    if (!P_EARLY) grid_wait();
    int n_work = a.first_item[a.n_sequences] * P_KV_HEADS;
    /* Blocks that have work wait, and a step has at least one. */
    if (blockIdx.x >= n_work) return;
    if (threadIdx.x == 0) {
        for (int i = 0; i < P_STAGES; i++) {
            mbarrier_init(ring.full + i * 8, 1);
            mbarrier_init(ring.empty + i * 8, 1);
        }
        mbarrier_fence_init();
    }
    __syncthreads();
    if (warp == P_WARPS) {
        copy_all(&a, &ring, n_work, lane);
        return;
    }
    grid_wait();
    u32 parities = 0; /* by place: of its next fill */
    for (int work = blockIdx.x; work < n_work; work += gridDim.x) {
        item it = item_of(&a, work);
        uint4 q[4];
        load_q(&a, &it, lane / 4, lane % 4, q);
        for (int i = warp; i < it.n_slabs; i += P_WARPS) {
            int slot = i % P_STAGES;
            mbarrier_wait(ring.full + slot * 8, parities >> slot & 1);
            parities ^= 1u << slot;
            slab(ring.stages + slot * STAGE, q, it.context - it.chunk * P_SPLIT - i * SLAB, lane,
                a.scale_log2, slabs + i * PART, sums + i * GROUP);
            __syncwarp();
            if (lane == 0) mbarrier_arrive(ring.empty + slot * 8);
        }
        consumers_sync(); /* slabs before their merge */
        merge_slabs(&a, &it, slabs, sums);
        if (it.n_chunks > 1 && is_last(&a, &it, &flag)) merge_chunks(&a, &it, slabs, totals);
        consumers_sync(); /* all is read before the next item writes it */
    }
}
