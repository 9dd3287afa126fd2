/* attention_prompt.cu - causal attention over a paged cache for sequences of many rows in a step.
 *
 * Shapes   as attention_paged.cu, which does the other sequences; cache bf16, also as a tensor map of
 *          its rows of D
 * Math     q rounded to bf16; scores float32; softmax over tiles of 128 positions from position 0
 *          with a running maximum, weights rounded to bf16 for the product with v, float32 sums.  A
 *          row's result depends on nothing but the row: neither on company nor on how its prompt is
 *          cut, as long as the sequence has many rows in the step
 * Grid     (any), block 384: blocks take 128 rows of a sequence and key head in turn, the longest
 *          first.  One warp copies tiles of k and v to P_STAGES places each; two warpgroups have 64
 *          rows each: the product with k of a tile runs with that of the tile before with v, and
 *          softmax under the latter
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_D = D, P_BLOCK tokens a cache block, P_UNIT of them a copy,
 *          P_Q_BF16, P_Y_BF16, P_SOFTCAP (0/1), P_STAGES        from kernels/cuda/attention_paged.c
 * Needs    sm_90a; D 64 or 128, P_UNIT % 8 == 0, 128 % P_UNIT == 0, P_BLOCK % P_UNIT == 0; blocks and
 *          v's offset whole rows of D
 * Bound    arithmetic, 4 H D operations a pair of positions
 * Source   arXiv:2407.08608 */
#include "ptx.cuh"

#define D P_D
#define GROUP (P_HEADS / P_KV_HEADS)
#define ROW_GROUPS ((GROUP + 15) / 16) /* as attention_paged.cu has it for such heads */
#define ROWS 128
#define TILE 128
#define UNITS (TILE / P_UNIT)
#define HALVES (D / 64)              /* of 64 columns: lines of 128 bytes */
#define HALF_BYTES (TILE * 128)
#define TILE_BYTES (HALVES * HALF_BYTES)
#define QUERY_HALF (64 * 128)        /* of a warpgroup's rows */
#define QUERY_BYTES (HALVES * QUERY_HALF)
#define GROUP_THREADS 128
#define CONSUMERS 2
#define THREADS (GROUP_THREADS * (CONSUMERS + 1))
#define MINUS_INFINITY __int_as_float((int)0xff800000)

static_assert(D == 64 || D == 128, "see the head of the file");
static_assert(P_UNIT % 8 == 0 && TILE % P_UNIT == 0 && P_BLOCK % P_UNIT == 0, "whole copies");
static_assert(UNITS <= 32, "a lane copies a unit");

typedef struct prompt_arguments {
    u64 cache_map[16]; /* CUtensorMap */
    const u8 *q;
    u8 *y;
    i64 q_stride, y_stride;     /* bytes */
    i64 block_rows, v_rows;     /* rows of D from a block to the next, from k to v */
    const int *block_tables, *cu_seqlens, *context_lens;
    int max_blocks, n_sequences, window, n_cache_rows;
    float scale_log2; /* as in attention_paged.cu */
    float cap_log2;
} __attribute__((aligned(64))) prompt_arguments;

extern __shared__ u8 memory[];
/* From a 1024-byte boundary: queries, places for k, places for v; then the list. */
#define KEYS (CONSUMERS * QUERY_BYTES)
#define VALUES (KEYS + P_STAGES * TILE_BYTES)
#define LIST (VALUES + P_STAGES * TILE_BYTES)

typedef struct ring { /* shared addresses of barriers */
    u32 full_k, full_v, empty_k, empty_v;
} ring;

/* ---- the step's work ---- */

typedef struct item { /* 128 rows of one key head */
    int first_token, n_rows, context, first_position; /* of the sequence in this step */
    int head, first_row;
    int first, end; /* tiles of positions that any row sees */
    const int *blocks;
} item;

DEVICE int scan_warp(int v) {
    for (int step = 1; step < 32; step <<= 1) {
        int other = __shfl_up_sync(0xffffffffu, v, step);
        if (threadIdx.x % 32 >= step) v += other;
    }
    return v;
}

/* Items before each sequence, for one key head, to list [S + 1].  One warp. */
DEVICE void list_items(const prompt_arguments *a, int *list) {
    int total = 0;
    for (int s0 = 0; s0 < a->n_sequences; s0 += 32) {
        int s = s0 + threadIdx.x % 32, n = 0;
        if (s < a->n_sequences) {
            int rows = (a->cu_seqlens[s + 1] - a->cu_seqlens[s]) * GROUP;
            n = rows > ROW_GROUPS * 16 ? (rows + ROWS - 1) / ROWS : 0;
        }
        int to = scan_warp(n);
        if (s < a->n_sequences) list[s] = total + to - n;
        total += __shfl_sync(0xffffffffu, to, 31);
    }
    if (threadIdx.x == 0) list[a->n_sequences] = total;
}

DEVICE int first_seen(const prompt_arguments *a, int position) {
    int first = position + 1 - a->window;
    return first > 0 ? first : 0;
}

DEVICE item item_of(const prompt_arguments *a, const int *list, int index) {
    int number = index / P_KV_HEADS, low = 0, high = a->n_sequences;
    while (high - low > 1) { /* list[s] <= number < list[s + 1] */
        int middle = (low + high) / 2;
        if (list[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    item it;
    int end_token = a->cu_seqlens[low + 1];
    it.first_token = a->cu_seqlens[low];
    it.n_rows = (end_token - it.first_token) * GROUP;
    it.context = a->context_lens[low];
    it.first_position = it.context - (end_token - it.first_token);
    it.head = index % P_KV_HEADS;
    it.first_row = (list[low + 1] - 1 - number) * ROWS; /* the longest first */
    int last_row = min(it.first_row + ROWS, it.n_rows) - 1;
    it.first = first_seen(a, it.first_position + it.first_row / GROUP) / TILE;
    it.end = (it.first_position + last_row / GROUP) / TILE + 1;
    it.blocks = a->block_tables + (i64)low * a->max_blocks;
    return it;
}

/* ---- the copying warp ---- */

/* Row of the cache that holds k of this lane's unit; none: behind the last, which arrives as zeros. */
DEVICE i64 unit_row(const prompt_arguments *a, const item *it, int tile, int lane) {
    int position = tile * TILE + lane * P_UNIT;
    int entry = lane < UNITS && position < it->context ? it->blocks[position / P_BLOCK] : -1;
    if (entry < 0) return -1;
    return entry * a->block_rows + it->head * P_BLOCK + position % P_BLOCK;
}

DEVICE void copy_tile(
    const prompt_arguments *a, u32 to, i64 row, u32 barrier, u64 policy, int lane) {
    if (lane == 0) mbarrier_expect(barrier, TILE_BYTES);
    __syncwarp(); /* announced before it is copied */
    if (lane >= UNITS) return;
    for (int h = 0; h < HALVES; h++) {
        copy_box(to + h * HALF_BYTES + lane * P_UNIT * 128, a->cache_map, 0,
            row < 0 ? a->n_cache_rows : (int)row, h, barrier, policy);
    }
}

DEVICE void copy_all(const prompt_arguments *a, const int *list, u32 base, const ring *r) {
    int lane = threadIdx.x % 32, n = list[a->n_sequences] * P_KV_HEADS;
    u64 policy = policy_evict_normal();
    u32 fills = 0;
    for (int index = blockIdx.x; index < n; index += gridDim.x) {
        item it = item_of(a, list, index);
        for (int tile = it.first; tile < it.end; tile++, fills++) {
            u32 slot = fills % P_STAGES, parity = (fills / P_STAGES & 1) ^ 1;
            i64 row = unit_row(a, &it, tile, lane);
            mbarrier_wait(r->empty_k + slot * 8, parity);
            copy_tile(a, base + KEYS + slot * TILE_BYTES, row, r->full_k + slot * 8, policy, lane);
            mbarrier_wait(r->empty_v + slot * 8, parity);
            copy_tile(a, base + VALUES + slot * TILE_BYTES, row < 0 ? -1 : row + a->v_rows,
                r->full_v + slot * 8, policy, lane);
        }
    }
}

/* ---- the computing warpgroups ---- */

DEVICE i64 row_offset(const item *it, int row, i64 stride, int element) {
    return (it->first_token + row / GROUP) * stride +
           (i64)(it->head * GROUP + row % GROUP) * (D * element);
}

/* Eight elements of q, rounded. */
DEVICE uint4 query_piece(const u8 *from) {
#if P_Q_BF16
    return *(const uint4 *)from;
#else
    float4 x = *(const float4 *)from, y = *(const float4 *)(from + 16);
    return make_uint4(
        pack_bf16(x.x, x.y), pack_bf16(x.z, x.w), pack_bf16(y.x, y.y), pack_bf16(y.z, y.w));
#endif
}

/* 64 rows from `first` to this warpgroup's place, zeros behind the last; own: its threads. */
DEVICE void load_queries(const prompt_arguments *a, const item *it, int first, u8 *to, int own) {
    uint4 pieces[D / 16];
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
        int index = i * GROUP_THREADS + own, r = index / (D / 8), piece = index % (D / 8);
        pieces[i] = make_uint4(0, 0, 0, 0);
        if (first + r < it->n_rows)
            pieces[i] = query_piece(a->q + row_offset(it, first + r, a->q_stride, P_Q_BF16 ? 2 : 4) +
                                    piece * (P_Q_BF16 ? 16 : 32));
    }
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
        int index = i * GROUP_THREADS + own, r = index / (D / 8), piece = index % (D / 8);
        *(uint4 *)(to + piece / 8 * QUERY_HALF + r * 128 + ((piece % 8 ^ r % 8) << 4)) = pieces[i];
    }
}

/* s [64, 128] = q k^T, begun. */
DEVICE void begin_scores(float s[64], u32 queries, u32 keys) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        u64 q = wgmma_operand(queries + k / 4 * QUERY_HALF + k % 4 * 32, 16);
        u64 b = wgmma_operand(keys + k / 4 * HALF_BYTES + k % 4 * 32, 16);
        wgmma_64x128(s, q, b, k > 0);
    }
    wgmma_commit();
}

/* out [64, D] += weights times v, begun. */
DEVICE void begin_output(float out[D / 2], const u32 p[32], u32 values) {
#pragma unroll
    for (int k = 0; k < TILE / 16; k++) {
        u64 v = wgmma_operand(values + k * 16 * 128, HALF_BYTES);
#if P_D == 128
        wgmma_rows_64x128(out, p + 4 * k, v);
#else
        wgmma_rows_64x64(out, p + 4 * k, v);
#endif
    }
    wgmma_commit();
}

typedef struct rows_sums { /* of rows g and g + 8: maximum in base 2, this lane's share of the sum */
    float most[2], sum[2];
} rows_sums;

/* Minus infinity where a row does not see a position. */
DEVICE void mask(const prompt_arguments *a, float s[64], int first, const int positions[2], int t) {
#pragma unroll
    for (int i = 0; i < 64; i++) {
        int position = first + i / 4 * 8 + 2 * t + i % 2, own = positions[i / 2 % 2];
        if (position > own || position <= own - a->window) s[i] = MINUS_INFINITY;
    }
}

/* Scores to weights; keep: by what earlier weights are multiplied. */
DEVICE void soften(const prompt_arguments *a, float s[64], rows_sums *f, float keep[2]) {
    float scale = a->scale_log2;
#if P_SOFTCAP
    scale = 1.0f;
#    pragma unroll
    for (int i = 0; i < 64; i++) { /* tanh of x from e^2x; minus infinity stays */
        float e = exp2_quick(s[i] * a->scale_log2);
        if (s[i] != MINUS_INFINITY) s[i] = a->cap_log2 * (1.0f - __fdividef(2.0f, e + 1.0f));
    }
#endif
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float most = MINUS_INFINITY, sum = 0.0f;
#pragma unroll
        for (int i = 0; i < 16; i++)
            most = fmaxf(most, fmaxf(s[4 * i + 2 * r], s[4 * i + 2 * r + 1]));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        most = fmaxf(f->most[r], most * scale);
        float base = most == MINUS_INFINITY ? 0.0f : most;
        keep[r] = exp2_quick(f->most[r] - base);
#pragma unroll
        for (int i = 0; i < 16; i++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float *x = &s[4 * i + 2 * r + e];
                *x = exp2_quick(__fmaf_rn(*x, scale, -base));
                sum += *x;
            }
        }
        f->sum[r] = __fmaf_rn(f->sum[r], keep[r], sum);
        f->most[r] = most;
    }
}

/* As mma wants its left operand: 16 positions in four words. */
DEVICE void pack_weights(const float s[64], u32 p[32]) {
#pragma unroll
    for (int i = 0; i < 32; i++)
        p[i] = pack_bf16(s[2 * i], s[2 * i + 1]);
}

/* Rows of v behind the context, which may hold anything, also NaN, to zero.  A warpgroup. */
DEVICE void clear_tail(u8 *values, int n_left, int own) {
    if (n_left >= TILE) return;
    for (int i = own; i < (TILE - n_left) * 8 * HALVES; i += GROUP_THREADS) {
        int r = n_left + i / (8 * HALVES), piece = i % (8 * HALVES);
        *(uint4 *)(values + piece / 8 * HALF_BYTES + r * 128 + piece % 8 * 16) =
            make_uint4(0, 0, 0, 0);
    }
    fence_async_shared();
}

DEVICE void store_rows(const prompt_arguments *a, const item *it, int first, const float out[D / 2],
    const rows_sums *f, int lane) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = first + lane / 4 + r * 8;
        float sum = f->sum[r];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (row >= it->n_rows) continue;
        float inverse = 1.0f / sum;
        u8 *y = a->y + row_offset(it, row, a->y_stride, P_Y_BF16 ? 2 : 4);
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            int column = i * 8 + 2 * (lane % 4);
            float x = out[4 * i + 2 * r] * inverse, z = out[4 * i + 2 * r + 1] * inverse;
#if P_Y_BF16
            *(u32 *)(y + column * 2) = pack_bf16(x, z);
#else
            *(float2 *)(y + column * 4) = make_float2(x, z);
#endif
        }
    }
}

DEVICE void release(u32 barrier) {
    __syncwarp(); /* all lanes are done with the place */
    if (threadIdx.x % 32 == 0) mbarrier_arrive(barrier);
}

/* Weighs the scores of a tile: masked, softened. */
DEVICE void add_scores(const prompt_arguments *a, float s[64], int tile, const int positions[2],
    int lowest, int highest, rows_sums *f, float keep[2], int lane) {
#pragma unroll
    for (int i = 0; i < 64; i++)
        KEEP(s[i]);
    if (tile * TILE + TILE - 1 > lowest || tile * TILE <= highest - a->window)
        mask(a, s, tile * TILE, positions, lane % 4);
    soften(a, s, f, keep);
}

DEVICE void attend(const prompt_arguments *a, const int *list, u32 base, u8 *base_pointer,
    const ring *r, int group) {
    int own = threadIdx.x % GROUP_THREADS, lane = own % 32;
    int n = list[a->n_sequences] * P_KV_HEADS;
    u32 queries = base + group * QUERY_BYTES, uses = 0;
    float s[64], out[D / 2], keep[2];
    u32 p[32];
    for (int index = blockIdx.x; index < n; index += gridDim.x) {
        item it = item_of(a, list, index);
        int first_row = it.first_row + group * 64, row = first_row + own / 32 * 16;
        int positions[2] = {it.first_position + (row + lane / 4) / GROUP,
            it.first_position + (row + lane / 4 + 8) / GROUP};
        int lowest = it.first_position + row / GROUP;
        int highest = it.first_position + (row + 15) / GROUP;
        rows_sums f = {{MINUS_INFINITY, MINUS_INFINITY}, {0.0f, 0.0f}};
        barrier_sync(1 + group, GROUP_THREADS); /* the last item's queries are read */
        load_queries(a, &it, first_row, base_pointer + group * QUERY_BYTES, own);
        fence_async_shared();
        barrier_sync(1 + group, GROUP_THREADS); /* all queries, before they are read */
#pragma unroll
        for (int i = 0; i < D / 2; i++)
            out[i] = 0.0f;
        u32 slot = uses % P_STAGES;
        mbarrier_wait(r->full_k + slot * 8, uses / P_STAGES & 1);
        wgmma_fence();
        begin_scores(s, queries, base + KEYS + slot * TILE_BYTES);
        WGMMA_WAIT(0);
        release(r->empty_k + slot * 8);
        add_scores(a, s, it.first, positions, lowest, highest, &f, keep, lane);
        pack_weights(s, p);
#pragma unroll 1
        for (int tile = it.first + 1; tile < it.end; tile++, uses++) {
            u32 next = (uses + 1) % P_STAGES;
            slot = uses % P_STAGES;
            mbarrier_wait(r->full_k + next * 8, (uses + 1) / P_STAGES & 1);
            wgmma_fence();
            begin_scores(s, queries, base + KEYS + next * TILE_BYTES);
            mbarrier_wait(r->full_v + slot * 8, uses / P_STAGES & 1);
            begin_output(out, p, base + VALUES + slot * TILE_BYTES);
            WGMMA_WAIT(1);
            release(r->empty_k + next * 8);
            add_scores(a, s, tile, positions, lowest, highest, &f, keep, lane);
            WGMMA_WAIT(0);
            release(r->empty_v + slot * 8);
#pragma unroll
            for (int i = 0; i < D / 2; i++) {
                KEEP(out[i]);
                out[i] *= keep[i / 2 % 2];
            }
            pack_weights(s, p);
        }
        slot = uses % P_STAGES;
        mbarrier_wait(r->full_v + slot * 8, uses / P_STAGES & 1);
        clear_tail(base_pointer + VALUES + slot * TILE_BYTES, it.context - (it.end - 1) * TILE, own);
        barrier_sync(1 + group, GROUP_THREADS); /* zeros, before they are read */
        wgmma_fence();
        begin_output(out, p, base + VALUES + slot * TILE_BYTES);
        WGMMA_WAIT(0);
        release(r->empty_v + slot * 8);
        uses++;
#pragma unroll
        for (int i = 0; i < D / 2; i++)
            KEEP(out[i]);
        store_rows(a, &it, row, out, &f, lane);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_prompt(
    const __grid_constant__ prompt_arguments a) {
    __shared__ __align__(8) u64 barriers[4 * P_STAGES];
    u32 base = (shared_address(memory) + 1023) & ~1023u, first = shared_address(barriers);
    u8 *base_pointer = memory + (base - shared_address(memory));
    int *list = (int *)(base_pointer + LIST);
    ring r = {first, first + P_STAGES * 8, first + P_STAGES * 16, first + P_STAGES * 24};
    grid_launch_dependents();
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2 * P_STAGES; i++) {
            mbarrier_init(r.full_k + i * 8, 1); /* full_v lies behind full_k */
            mbarrier_init(r.empty_k + i * 8, CONSUMERS * 4);
        }
        mbarrier_fence_init();
    }
    if (threadIdx.x < 32) list_items(&a, list); /* the step's own arrays, older than any kernel */
    __syncthreads(); /* barriers and list */
    grid_wait();
    if (threadIdx.x < GROUP_THREADS) {
        REGISTERS_DECREASE(24);
        if (threadIdx.x < 32) copy_all(&a, list, base, &r);
    } else {
        REGISTERS_INCREASE(240);
        attend(&a, list, base, base_pointer, &r, threadIdx.x / GROUP_THREADS - 1);
    }
}
