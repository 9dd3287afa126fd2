/* attention.cuh - of attention_paged.cu: its arguments and shared memory, the list of a step's work,
 * copies of k and v, one tile of 64 positions for 16 rows, and how results are folded.
 *
 * The head of attention_paged.cu says what all this is for, and which defines it needs. */
#ifndef ATTENTION_CUH
#define ATTENTION_CUH

#include "ptx.cuh"

#define THREADS 128
#define WARPS 4
#define TILE 64
#define HALF 32 /* positions of one copy, by one warp */
#define RUN_TILES 4
#define GROUP (P_HEADS / P_KV_HEADS)
#define UNIT_ROWS (P_D > 128 ? 8 : 16) /* for registers */
#define ROW_GROUPS ((GROUP + UNIT_ROWS - 1) / UNIT_ROWS)
#define ROWS 64 /* of a block, of many rows */
#define STEPS ((P_D + 15) / 16)
#define WIDTH (STEPS * 16)         /* D, and zeros */
#define N_TILES (WIDTH / 8)        /* of 8 columns */
#define PITCH (WIDTH * 2 + 16)     /* an odd number of 16-byte pieces: no bank conflicts */
#define PIECES (P_D / 8)           /* of a row of the cache */
#define PLACE (HALF * PITCH)
#define N_PLACES (WARPS * P_STAGES)
#define SHARE_PITCH (WIDTH + 8)    /* floats */
#define CHUNKS (P_D / 4)           /* of a row, four columns each */
#define PER_THREAD ((8 * CHUNKS + THREADS - 1) / THREADS) /* chunks of 8 rows */
#define N_PIECES (UNIT_ROWS / 8 * PER_THREAD)
#define PARTS_AT_ONCE 16
#define LISTED 32 /* units that a block knows ahead, in two halves */
#define TOTAL_IN_MEMORY (P_D > 128)
#define MINUS_INFINITY __int_as_float((int)0xff800000)

static_assert(P_D % 8 == 0 && P_D <= 256 && P_HEADS % P_KV_HEADS == 0, "see the head of the file");
static_assert(P_STAGES == 1 || P_STAGES == 2, "places a warp");

#if P_F16
#    define MMA mma_f16
#    define PACK pack_f16
#else
#    define MMA mma_bf16
#    define PACK pack_bf16
#endif

typedef struct paged_arguments {
    const u8 *q;
    u8 *y;
    i64 q_stride, y_stride; /* bytes */
    const u8 *cache;
    i64 block_stride, v_offset; /* bytes */
    const int *block_tables, *cu_seqlens, *context_lens;
    float *parts;      /* [parts][rows][D] unnormalised */
    float2 *part_sums; /* [parts][rows] {max in base 2, sum} */
    float4 *totals;    /* [blocks][columns / 8][128], with heads over 128 */
    i64 part_floats;   /* room in parts */
    int max_blocks, n_sequences, window;
    int skips_long;   /* sequences of many rows are another kernel's */
    float scale_log2; /* scale times log2(e); with a softcap scale * 2 log2(e) / softcap */
    float cap_log2;   /* softcap times log2(e) */
} paged_arguments;

typedef struct unit { /* in shared memory */
    int of, context, first_position; /* its sequence */
    int head, group, n_rows;         /* UNIT_ROWS at most, of this group */
    int run, end;                    /* runs: [run, end) */
    int first_run, n_runs;           /* of the sequence */
    int n_segments;                  /* units of these rows; over 1: each run leaves a part */
    int part;                        /* of these rows' first run */
} unit;

/* Shared memory: places, queries of 64 rows, shares of the warps, the block's units,
 * lists of the plan. */
extern __shared__ __align__(16) u8 memory[];
#define QUERIES (memory + N_PLACES * PLACE)
#define SHARES ((float *)(QUERIES + ROWS * PITCH)) /* [WARPS][8][SHARE_PITCH]: 8 rows of a tile */
#define SHARE_SUMS ((float2 *)(SHARES + WARPS * 8 * SHARE_PITCH)) /* [WARPS][16] */
#define LIST ((unit *)(SHARE_SUMS + WARPS * 16)) /* [LISTED] */
#define TILES ((int *)SHARES) /* [S + 1] tiles before each, for one key head; read before any shares */
#define UNITS(a) ((int *)(LIST + LISTED))          /* [S + 1] units before each */
#define PARTS(a) (UNITS(a) + (a)->n_sequences + 1) /* [S + 1] parts before each */

static __device__ u32 finished[P_COUNTERS]; /* runs of a sequence's rows; 0 between launches */

/* ---- the step's work ---- */

typedef struct sequence {
    int first_token, n_rows, context, first_position; /* of the first token */
    const int *blocks;
} sequence;

DEVICE sequence sequence_of(const paged_arguments *a, int s) {
    sequence q;
    q.first_token = a->cu_seqlens[s];
    int n = a->cu_seqlens[s + 1] - q.first_token;
    q.n_rows = n * GROUP;
    q.context = a->context_lens[s];
    q.first_position = q.context - n;
    q.blocks = a->block_tables + (i64)s * a->max_blocks;
    return q;
}

DEVICE int first_seen(const paged_arguments *a, int position) {
    int first = position + 1 - a->window;
    return first > 0 ? first : 0;
}

DEVICE int group_count(int n_rows) {
    return (n_rows + UNIT_ROWS - 1) / UNIT_ROWS;
}
DEVICE bool is_long(const sequence *q) {
    return group_count(q->n_rows) > ROW_GROUPS;
}
DEVICE int first_run(const paged_arguments *a, const sequence *q) {
    return first_seen(a, q->first_position) / (TILE * RUN_TILES);
}
DEVICE int end_run(const sequence *q) {
    return (q->context - 1) / (TILE * RUN_TILES) + 1;
}

typedef struct plan { /* in shared memory */
    int unit_runs;    /* of a unit at most */
    int part_rows;
} plan;

/* Sums of a and b over the block, maximum of c. */
DEVICE int3 block_totals(int a, int b, int c, int3 *scratch) {
    for (int step = 16; step > 0; step >>= 1) {
        a += __shfl_xor_sync(0xffffffffu, a, step);
        b += __shfl_xor_sync(0xffffffffu, b, step);
        c = max(c, __shfl_xor_sync(0xffffffffu, c, step));
    }
    __syncthreads(); /* scratch of the last call is read */
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = make_int3(a, b, c);
    __syncthreads();
    int3 all = scratch[0];
    for (int w = 1; w < WARPS; w++) {
        all.x += scratch[w].x;
        all.y += scratch[w].y;
        all.z = max(all.z, scratch[w].z);
    }
    return all;
}

typedef struct work { /* of a sequence of few rows */
    int n_runs, n_segments, n_pairs; /* runs; units of each pair of key head and group of rows */
} work;

DEVICE work work_of(const paged_arguments *a, const sequence *q, int unit_runs) {
    work w = {0, 0, 0};
    if (q->n_rows == 0 || is_long(q)) return w;
    w.n_runs = end_run(q) - first_run(a, q);
    w.n_segments = (w.n_runs + unit_runs - 1) / unit_runs;
    w.n_pairs = group_count(q->n_rows) * P_KV_HEADS;
    return w;
}

/* Units are half a block's share of the work at most, one run at least; whole contexts where the
 * parts would not fit. */
DEVICE void choose_units(const paged_arguments *a, plan *p, int3 *scratch) {
    int runs = 0, rows = 0, n_parts = 0;
    for (int s = threadIdx.x; s < a->n_sequences; s += THREADS) {
        sequence q = sequence_of(a, s);
        work w = work_of(a, &q, 1);
        runs += w.n_runs * w.n_pairs;
        if (w.n_pairs) rows = max(rows, min(q.n_rows, UNIT_ROWS));
    }
    int3 all = block_totals(runs, 0, rows, scratch);
    int grid = 2 * (int)gridDim.x, unit_runs = max(1, (all.x + grid - 1) / grid);
    int part_rows = max(1, all.z);
    for (int s = threadIdx.x; s < a->n_sequences; s += THREADS) {
        sequence q = sequence_of(a, s);
        work w = work_of(a, &q, unit_runs);
        n_parts += w.n_segments > 1 ? w.n_runs * w.n_pairs : 0;
    }
    all = block_totals(n_parts, 0, 0, scratch);
    if ((i64)all.x * part_rows * P_D > a->part_floats) unit_runs = 1 << 20;
    if (threadIdx.x == 0) {
        p->unit_runs = unit_runs;
        p->part_rows = part_rows;
    }
    __syncthreads(); /* the choice, before it is read */
}

DEVICE int scan_warp(int v) {
    for (int step = 1; step < 32; step <<= 1) {
        int other = __shfl_up_sync(0xffffffffu, v, step);
        if (threadIdx.x % 32 >= step) v += other;
    }
    return v;
}

/* What comes before each sequence. */
DEVICE void make_plan(const paged_arguments *a, plan *p) {
    __shared__ int3 scratch[WARPS];
    int warp = threadIdx.x / 32;
    int3 total = make_int3(0, 0, 0);
    choose_units(a, p, scratch);
    for (int s0 = 0; s0 < a->n_sequences; s0 += THREADS) {
        int s = s0 + threadIdx.x;
        int3 n = make_int3(0, 0, 0);
        if (s < a->n_sequences) {
            sequence q = sequence_of(a, s);
            work w = work_of(a, &q, p->unit_runs);
            n.x = is_long(&q) && !a->skips_long ? (q.n_rows + ROWS - 1) / ROWS : 0;
            n.y = w.n_segments * w.n_pairs;
            n.z = w.n_segments > 1 ? w.n_runs * w.n_pairs : 0;
        }
        int3 to = make_int3(scan_warp(n.x), scan_warp(n.y), scan_warp(n.z)), before = total;
        __syncthreads(); /* scratch is read */
        if (threadIdx.x % 32 == 31) scratch[warp] = to;
        __syncthreads();
        for (int w = 0; w < WARPS; w++) {
            int3 more = scratch[w];
            if (w < warp) before = make_int3(before.x + more.x, before.y + more.y, before.z + more.z);
            total = make_int3(total.x + more.x, total.y + more.y, total.z + more.z);
        }
        if (s < a->n_sequences) {
            TILES[s] = before.x + to.x - n.x;
            UNITS(a)[s] = before.y + to.y - n.y;
            PARTS(a)[s] = before.z + to.z - n.z;
        }
    }
    if (threadIdx.x == 0) {
        TILES[a->n_sequences] = total.x;
        UNITS(a)[a->n_sequences] = total.y;
    }
    __syncthreads(); /* the lists, before anyone searches them */
}

/* The sequence that has number i: at[s] <= i < at[s + 1]. */
DEVICE int find(const int *at, int n, int i) {
    int low = 0, high = n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (at[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- copies of k and v ---- */

/* Bytes from the cache's start to k of a position whose table entry is given; below 0: nowhere. */
DEVICE i64 place_of(const paged_arguments *a, int entry, int position, int head) {
    if (entry < 0) return -1;
    return entry * a->block_stride + (i64)(head * P_BLOCK + position % P_BLOCK) * (P_D * 2);
}

/* One warp: 32 rows, that of lane i at `row` of lane i. */
DEVICE void copy_half(u32 to, const u8 *from, i64 row, int lane) {
#pragma unroll 4 /* registers */
    for (int i = 0; i < PIECES; i++) {
        int index = i * 32 + lane, r = index / PIECES, piece = index % PIECES;
        i64 at = __shfl_sync(0xffffffffu, row, r);
        copy_async_16(to + r * PITCH + piece * 16, from + (at < 0 ? 0 : at) + piece * 16, at >= 0);
    }
}

/* Zeros behind the columns of all places, which copies leave alone. */
DEVICE void clear_padding(void) {
#if P_D % 16
    for (int r = threadIdx.x; r < N_PLACES * HALF; r += THREADS)
        *(uint4 *)(memory + r * PITCH + P_D * 2) = make_uint4(0, 0, 0, 0);
#endif
}

/* ---- a tile ---- */

#if P_Q_BF16
typedef u32 query_word; /* two elements of q */
#else
typedef float2 query_word;
#endif
#define FETCHED ((WIDTH + 63) / 64) /* of a row, a lane */

/* Zeros where there is none, or behind the head. */
DEVICE query_word query_word_at(const u8 *row, bool any, int column) {
    query_word zero = {};
    if (!any || column >= P_D) return zero;
    return *(const query_word *)(row + column * (P_Q_BF16 ? 2 : 4));
}
DEVICE u32 query_pair(query_word w) {
#if P_Q_BF16 && !P_F16
    return w;
#elif P_Q_BF16
    return PACK(bf16_low(w), bf16_high(w));
#else
    return PACK(w.x, w.y);
#endif
}

/* Byte of q or y where a row begins. */
DEVICE i64 row_offset(int first_token, int row, int head, i64 stride, int element) {
    return (first_token + row / GROUP) * stride +
           (i64)(head * GROUP + row % GROUP) * (P_D * element);
}

/* Rows [first, first + 16) of q to this warp's place, zeros from row `end` on. */
DEVICE void load_queries(
    const paged_arguments *a, int first_token, int head, int first, int end) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    u8 *to = QUERIES + warp * 16 * PITCH;
    __syncwarp(); /* the rows before these are used */
#pragma unroll 4
    for (int r = 0; r < 16; r++) {
        int row = first + r;
        const u8 *from = a->q + row_offset(first_token, row, head, a->q_stride, P_Q_BF16 ? 2 : 4);
        for (int c = lane * 2; c < WIDTH; c += 64)
            *(u32 *)(to + r * PITCH + c * 2) = query_pair(query_word_at(from, row < end, c));
    }
    __syncwarp(); /* all rows before they are read */
}

/* Where this lane's row of 8 by 8 matrices is: `turned` a [16, 16] block that lane groups take by
 * columns (a's of mma, v's), else one they take by rows (k's). */
DEVICE u32 lane_offset(int lane, bool turned) {
    return turned ? lane % 16 * PITCH + lane / 16 * 16
                  : (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 16;
}

/* Scores of 32 positions: s[i] of positions 8 i + 2 t and the next, rows g and g + 8. */
DEVICE void score_half(u32 queries, u32 keys, float s[4][4], int lane) {
    u32 q_at = queries + lane_offset(lane, true), k_at = keys + lane_offset(lane, false);
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[i][e] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        u32 q[4];
        if (k % 4 == 0) __syncwarp(); /* as in fold_tile */
        load_matrices(q_at + k * 32, q);
#pragma unroll
        for (int j = 0; j < 2; j++) {
            u32 b[4];
            load_matrices(k_at + j * 16 * PITCH + k * 32, b);
            MMA(s[2 * j], q[0], q[1], q[2], q[3], b[0], b[1]);
            MMA(s[2 * j + 1], q[0], q[1], q[2], q[3], b[2], b[3]);
        }
    }
}

/* Minus infinity where a row does not see a position; `first` is the tile's. */
DEVICE void mask(const paged_arguments *a, float s[8][4], int first, const int positions[2], int t) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int position = first + i * 8 + 2 * t + e % 2, own = positions[e / 2];
            if (position > own || position <= own - a->window) s[i][e] = MINUS_INFINITY;
        }
    }
}

typedef struct tile_sums {
    float most[2], sum[2]; /* of rows g and g + 8; max in base 2 */
} tile_sums;

/* Scores to weights, packed as mma wants its left operand. */
DEVICE tile_sums soften(const paged_arguments *a, float s[8][4], u32 p[16]) {
    tile_sums f;
    float scale = a->scale_log2;
#if P_SOFTCAP
    scale = 1.0f;
#    pragma unroll
    for (int i = 0; i < 32; i++) { /* tanh of x from e^2x; minus infinity stays */
        float *x = &s[i / 4][i % 4];
        float e = exp2_quick(*x * a->scale_log2);
        if (*x != MINUS_INFINITY) *x = a->cap_log2 * (1.0f - __fdividef(2.0f, e + 1.0f));
    }
#endif
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float most = MINUS_INFINITY, sum = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i++)
            most = fmaxf(most, fmaxf(s[i][2 * r], s[i][2 * r + 1]));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        most *= scale;
        float base = most == MINUS_INFINITY ? 0.0f : most;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float x = exp2_quick(__fmaf_rn(s[i][2 * r], scale, -base));
            float y = exp2_quick(__fmaf_rn(s[i][2 * r + 1], scale, -base));
            sum += x;
            sum += y;
            p[i / 2 * 4 + i % 2 * 2 + r] = PACK(x, y);
        }
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        f.most[r] = most;
        f.sum[r] = sum;
    }
    return f;
}

/* out [16, 32] += weights of 16 positions times v, columns from `values`. */
DEVICE void weigh(u32 values, const u32 p[4], float out[4][4]) {
#pragma unroll
    for (int j = 0; j < 2; j++) {
        u32 v[4];
        load_matrices_turned(values + j * 32, v);
        MMA(out[2 * j], p[0], p[1], p[2], p[3], v[0], v[1]);
        MMA(out[2 * j + 1], p[0], p[1], p[2], p[3], v[2], v[3]);
    }
}
DEVICE void weigh_few(u32 values, const u32 p[4], float out[2][4]) {
    u32 v[4];
    load_matrices_turned(values, v);
    MMA(out[0], p[0], p[1], p[2], p[3], v[0], v[1]);
    MMA(out[1], p[0], p[1], p[2], p[3], v[2], v[3]);
}

/* ---- folding ---- */

/* {most, sum} of some positions and of later ones to those of all; weights of either's values. */
DEVICE float2 fold(float *most, float *sum, float more, float more_sum) {
    float top = fmaxf(*most, more), base = top == MINUS_INFINITY ? 0.0f : top;
    float keep = exp2_quick(*most - base), take = exp2_quick(more - base);
    *sum = __fmaf_rn(more_sum, take, __fmul_rn(*sum, keep));
    *most = top;
    return make_float2(keep, take);
}
DEVICE float folded(float value, float more, float2 weights) {
    return __fmaf_rn(more, weights.y, __fmul_rn(value, weights.x));
}

DEVICE void store_pair(u8 *row, int column, float x, float y) {
#if P_Y_BF16
    *(u32 *)(row + column * 2) = pack_bf16(x, y);
#else
    *(float2 *)(row + column * 4) = make_float2(x, y);
#endif
}

#endif
