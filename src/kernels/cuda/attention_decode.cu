/* attention_decode.cu - one new token a sequence: rope, its k and v into the cache, attention.
 *
 * Shapes   qkv [S, (H + 2 G) D] bf16, q | k | v; paged cache as in plugin.h, bf16, also as a tensor map
 *          of its rows of D; y [S, H D] bf16.  H = P_GROUP G, D = 128
 * Math     rope of pairs (i, i + D / 2) in float32, rounded to bf16; scores float32; softmax by slab
 *          of 16 positions, weights rounded to bf16 for the product with v, float32 sums; every
 *          P_WARPS-th slab of a chunk merged in order, these in order to chunks of P_SPLIT from
 *          position 0, chunks to the result in an order that their number fixes.  So nothing
 *          depends on other sequences
 * Grid     (any): blocks take (item, kv head) pairs in turn, items as step_plan lists them.  The
 *          block that ends a sequence's last missing chunk merges them.  Block P_WARPS * 32 + 32:
 *          slabs are dealt to warps in turn, and one more warp copies them to P_STAGES places.  A
 *          place belongs to one warp, which so sees each of its barrier's phases end
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_SPLIT, P_BLOCK tokens a cache block, P_WARPS, P_STAGES,
 *          P_RESIDENT blocks a multiprocessor, P_EARLY (what kernels before the last one wrote may
 *          be read before the wait: step_plan's items and the cache without the step's tokens)
 *                                                               from kernels/cuda/attention.c
 * Needs    P_SPLIT % 16 == 0, H / G <= 8, P_BLOCK 8 or a multiple of 16, P_STAGES a multiple of
 *          P_WARPS, at most P_WARPS * D chunks a sequence, every position below the context mapped;
 *          the step's token is at position context_lens[s] - 1
 * Bound    memory: 4 G D bytes a position */
#include "ptx.cuh"

#define D 128
#define HALF (D / 2)
#define SLAB 16
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
    const int4 *items;
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
    int4 entry = a->items[it.index];
    it.sequence = entry.x;
    it.chunk = entry.y;
    it.context = entry.z;
    it.n_chunks = entry.w;
    int left = it.context - it.chunk * P_SPLIT;
    it.n_slabs = left < P_SPLIT ? (left + SLAB - 1) / SLAB : N_SLABS;
    it.blocks = a->block_tables + (i64)it.sequence * a->max_blocks;
    return it;
}

/* Among the computing warps. */
DEVICE void consumers_sync(void) {
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

/* One head turned, from qkv: lane i has elements 2i and 2i + 1 of each half. */
DEVICE void turn(const attention_arguments *a, const item *it, int head, int lane, u32 *low, u32 *high) {
    const u32 *x = (const u32 *)(a->qkv + (i64)it->sequence * ROW + head * D);
    float4 r = *(const float4 *)(a->rotations + it->sequence * HALF + lane * 2);
    *low = x[lane];
    *high = x[lane + 32];
    rotate(low, high, make_float2(r.x, r.y), make_float2(r.z, r.w));
}

/* The new token's k, turned, and v to their places.  One warp. */
DEVICE void write_new(const attention_arguments *a, const item *it, int lane) {
    const u32 *v = (const u32 *)(a->qkv + (i64)it->sequence * ROW +
                                 (P_HEADS + P_KV_HEADS + it->head) * D);
    u32 *to = (u32 *)(a->cache + key_row(a, it, it->context - 1) * ROW_BYTES);
    u32 *v_to = to + a->v_rows * (ROW_BYTES / 4);
    turn(a, it, P_HEADS + it->head, lane, &to[lane], &to[lane + 32]);
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

/* Bytes of row `row` of a slab from its first, in the first half; the second is UNIT lines on. */
#define ROW_AT(row) ((row) / UNIT * UNIT_BYTES + (row) % UNIT * 128)

/* The group's heads of q, turned, to shared memory: [GROUP][D]. */
DEVICE void put_q(const attention_arguments *a, const item *it, u32 *rows, int warp, int lane) {
    for (int h = warp; h < GROUP; h += P_WARPS) {
        u32 low, high;
        turn(a, it, it->head * GROUP + h, lane, &low, &high);
        rows[h * HALF + lane] = low;
        rows[h * HALF + lane + 32] = high;
    }
}

/* Head g for lane t: four pieces of 8 elements at 32 p + 8 t; zeros behind the group. */
DEVICE void load_q(u32 rows, int g, int t, uint4 q[4]) {
#pragma unroll
    for (int p = 0; p < 4; p++) {
        q[p] = load_shared_16(rows + (g < GROUP ? g : 0) * ROW_BYTES + p * 64 + t * 16);
        if (g >= GROUP) q[p] = make_uint4(0, 0, 0, 0);
    }
}

/* Scores of the 8 positions from row `row`, 0 or 8; `left` of the slab are there: s[0], s[1] of head
 * g at rows t and t + 4 from there.  Lane g reads row spread(g), its pieces t and t + 4 of each half:
 * addresses that differ in bit 6, since the swizzle is by exclusive or. */
DEVICE void score(u32 keys, const uint4 q[4], int row, int left, int lane, float scale, float s[2]) {
    int t = lane % 4, own = spread(lane / 4);
    u32 at = keys + ROW_AT(row) + own * 128 + ((t ^ own) << 4);
    float d[4] = {};
#pragma unroll
    for (int p = 0; p < 4; p++) {
        uint4 b = load_shared_16((p % 2 ? at ^ 64 : at) + p / 2 * UNIT * 128);
        mma_bf16(d, q[p].x, 0, q[p].y, 0, b.x, b.y);
        mma_bf16(d, q[p].z, 0, q[p].w, 0, b.z, b.w);
    }
    s[0] = row + t < left ? d[0] * scale : MINUS_INFINITY;
    s[1] = row + t + 4 < left ? d[1] * scale : MINUS_INFINITY;
}

/* out [D, heads] += v of 16 positions times their weights.  Of tile 4 h + w, row g is element
 * 64 h + 8 spread(g) + 2 w and row g + 8 the one after it. */
DEVICE void weigh(u32 values, u32 p0, u32 p1, int left, int lane, float out[8][4]) {
    int t = lane % 4;
    u32 at = values + t * 128 + ((spread(lane / 4) ^ t) << 4);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) { /* rows behind the context may hold anything, also NaN */
            v[i] = load_shared_16((i % 2 ? at ^ 64 : at) + ROW_AT(i * 4) + h * UNIT * 128);
            if (i * 4 + t >= left) v[i] = make_uint4(0, 0, 0, 0);
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

typedef struct softmax { /* of the positions so far; of head lane / 4 */
    float most, sum;     /* max in base 2 */
    float out[8][4];     /* of heads 2 t and 2 t + 1, as weigh leaves it */
} softmax;

/* One slab of 16 positions, `left` of them there, more. */
DEVICE void add_slab(softmax *f, u32 keys, const uint4 q[4], int left, int lane, float scale) {
    int t = lane % 4;
    float s[2][2], most = f->most;
    score(keys, q, 0, left, lane, scale, s[0]);
    score(keys, q, 8, left, lane, scale, s[1]);
    most = fmaxf(fmaxf(most, fmaxf(s[0][0], s[0][1])), fmaxf(s[1][0], s[1][1]));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    float keep = exp2f(f->most - most), e[4], sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        e[i] = exp2f(s[i / 2][i % 2] - most);
        sum += e[i];
    }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    f->most = most;
    f->sum = f->sum * keep + sum;
    float keep0 = __shfl_sync(0xffffffffu, keep, 8 * t);
    float keep1 = __shfl_sync(0xffffffffu, keep, 8 * t + 4);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        f->out[i][0] *= keep0;
        f->out[i][1] *= keep1;
        f->out[i][2] *= keep0;
        f->out[i][3] *= keep1;
    }
    weigh(keys + SLAB * ROW_BYTES, pack_bf16(e[0], e[1]), pack_bf16(e[2], e[3]), left, lane,
        f->out);
}

/* A warp's share of a chunk to shared memory. */
DEVICE void put_share(const softmax *f, int lane, float *out_rows, float2 *sums) {
    int g = lane / 4, t = lane % 4;
    if (g < GROUP && t == 0) sums[g] = make_float2(f->most, f->sum);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (2 * t + h >= GROUP) continue;
        float *row = out_rows + (2 * t + h) * D + spread(g) * 8;
#pragma unroll
        for (int e = 0; e < 8; e++)
            *(float2 *)(row + e / 4 * HALF + e % 4 * 2) =
                make_float2(f->out[e][h], f->out[e][2 + h]);
    }
}

DEVICE void store_result(const attention_arguments *a, const item *it, int i, float value, float sum) {
    float y = value / sum;
    a->y[(i64)it->sequence * (P_HEADS * D) + it->head * PART + i] = (u16)pack_bf16(y, y);
}

/* The warps' shares to the result, or to a part of it. */
DEVICE void merge_shares(const attention_arguments *a, const item *it, const float *shares,
    const float2 *sums) {
    i64 part = (i64)it->index * P_KV_HEADS + it->head;
    int n_shares = it->n_slabs < P_WARPS ? it->n_slabs : P_WARPS;
    for (int i = threadIdx.x; i < PART; i += CONSUMERS) {
        const float2 *own = sums + i / D;
        float most = MINUS_INFINITY, sum = 0.0f, value = 0.0f;
        for (int s = 0; s < n_shares; s++)
            most = fmaxf(most, own[s * GROUP].x);
        for (int s = 0; s < n_shares; s++) {
            float weight = exp2f(own[s * GROUP].x - most);
            sum += own[s * GROUP].y * weight;
            value += shares[s * PART + i] * weight;
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
    consumers_sync(); /* the parts of all threads before the count that announces them */
    if (threadIdx.x == 0) {
        u32 *counter = &a->counters[it->sequence * P_KV_HEADS + it->head];
        __threadfence(); /* what the barrier showed to this thread, to other blocks */
        *flag = atomicAdd(counter, 1) == (u32)it->n_chunks - 1;
        if (*flag) *counter = 0;
        __threadfence(); /* the others' parts after their counts */
    }
    consumers_sync();
    return *flag != 0;
}

extern "C" __global__ void __launch_bounds__(CONSUMERS + 32, P_RESIDENT) attention_decode(
    const __grid_constant__ attention_arguments a) {
    extern __shared__ u8 memory[];
    __shared__ __align__(8) u64 barriers[2 * P_STAGES];
    __shared__ float shares[P_WARPS * PART], totals[GROUP];
    __shared__ float2 sums[P_WARPS * GROUP];
    __shared__ __align__(16) u32 heads[GROUP * HALF];
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
    u32 parities = 0; /* by place: of its next fill */
    for (int work = blockIdx.x; work < n_work; work += gridDim.x) {
        item it = item_of(&a, work);
        uint4 q[4];
        if (work == blockIdx.x) grid_wait();
        put_q(&a, &it, heads, warp, lane);
        consumers_sync(); /* all heads before they are read */
        softmax f = {MINUS_INFINITY, 0.0f, {}};
#pragma unroll 1 /* registers for one slab */
        for (int i = warp; i < it.n_slabs; i += P_WARPS) {
            int slot = i % P_STAGES;
            mbarrier_wait(ring.full + slot * 8, parities >> slot & 1);
            parities ^= 1u << slot;
            load_q(shared_address(heads), lane / 4, lane % 4, q); /* kept, it would spill */
            add_slab(&f, ring.stages + slot * STAGE, q,
                it.context - it.chunk * P_SPLIT - i * SLAB, lane, a.scale_log2);
            __syncwarp();
            if (lane == 0) mbarrier_arrive(ring.empty + slot * 8);
        }
        if (warp < it.n_slabs) put_share(&f, lane, shares + warp * PART, sums + warp * GROUP);
        consumers_sync(); /* shares before their merge */
        merge_shares(&a, &it, shares, sums);
        if (it.n_chunks > 1 && is_last(&a, &it, &flag)) merge_chunks(&a, &it, shares, totals);
        consumers_sync(); /* all is read before the next item writes it */
    }
}
