/* attention_paged.cu - causal attention over a paged cache, any mix of prompts and decoding tokens.
 *
 * Shapes   q, y [T, H D] float32 or bf16; cache as in plugin.h, bf16 or f16, with the step's k and v.
 *          A row is one query head of one token: row r of a sequence and key head h is head
 *          h H / G + r % (H / G) of token r / (H / G)
 * Math     q rounded to the cache's type; scores in float32.  Tile: 64 positions, its softmax with
 *          float32 sums, weights rounded to the cache's type for the product with v.  Tiles are
 *          folded in order to runs of 256 positions from position 0, runs in order to the result.
 *          All work below is these operations in this order, so nothing depends on company, on how
 *          a prompt is cut, or on the grid
 * Grid     (any), block 128.  Every block lists the step's work for itself, before it waits:
 *          tiles     sequences of many rows: 64 rows of a key head, a warp has 16 of them and goes
 *                    over all positions; the block shares the copies of k and v
 *          units     sequences of at most 16 rows a key head (8 with heads over 128; or one token): a
 *                    block has the rows, each warp a tile of a run.  A unit is the whole context,
 *                    or, where there is too little work so, some runs, each of which leaves a part;
 *                    the block that ends a sequence's last missing unit folds the parts
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_D = D, P_BLOCK tokens a cache block, P_F16 the cache's type,
 *          P_Q_BF16, P_Y_BF16, P_SOFTCAP (0/1), P_STAGES places for a half tile of k and v each (1, 2),
 *          P_RESIDENT blocks a multiprocessor, P_COUNTERS         from kernels/cuda/attention_paged.c
 * Needs    D % 8 == 0, D <= 256; cache rows 16-byte aligned; q and y 8-byte aligned; P_COUNTERS >=
 *          sequences * G * ceil(H / G / 16); launches of one module one after another
 * Bound    decode: memory, 4 G D bytes a position; prompts: 4 H D operations a pair of positions */
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
#define LISTED 64 /* units that a block knows ahead, in two halves */
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
#define TILES ((int *)(LIST + LISTED))           /* [S + 1] tiles before each, for one key head */
#define UNITS(a) (TILES + (a)->n_sequences + 1)  /* [S + 1] units before each */
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
/* ---- many rows ---- */

typedef struct rows_state { /* of rows g and g + 8 */
    float most[2], sum[2];
    float out[N_TILES][4];
} rows_state;

DEVICE void clear(rows_state *f) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        f->most[r] = MINUS_INFINITY;
        f->sum[r] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < N_TILES; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            f->out[i][e] = 0.0f;
    }
}

/* The tile's product with v, folded into the run's. */
DEVICE void fold_tile(rows_state *run, const tile_sums *f, u32 values, const u32 p[16], int lane) {
    float2 w[2];
    u32 at = values + lane_offset(lane, true);
#pragma unroll
    for (int r = 0; r < 2; r++)
        w[r] = fold(&run->most[r], &run->sum[r], f->most[r], f->sum[r]);
#pragma unroll
    for (int i = 0; i < N_TILES; i += 4) {
        float out[4][4] = {};
        __syncwarp(); /* else the compiler loads ahead until registers spill */
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (i + 4 <= N_TILES)
                weigh(at + k * 16 * PITCH + i * 16, p + 4 * k, out);
            else
                weigh_few(at + k * 16 * PITCH + i * 16, p + 4 * k, out);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (i + j >= N_TILES) continue;
#pragma unroll
            for (int e = 0; e < 4; e++)
                run->out[i + j][e] = folded(run->out[i + j][e], out[j][e], w[e / 2]);
        }
    }
}

/* The run folded into the total, and cleared. */
DEVICE void fold_run(const paged_arguments *a, rows_state *run, rows_state *total) {
    float2 w[2];
    bool fresh = total->most[0] == MINUS_INFINITY && total->most[1] == MINUS_INFINITY;
#pragma unroll
    for (int r = 0; r < 2; r++)
        w[r] = fold(&total->most[r], &total->sum[r], run->most[r], run->sum[r]);
#pragma unroll
    for (int i = 0; i < N_TILES; i++) {
#if TOTAL_IN_MEMORY
        float4 *at = &a->totals[((i64)blockIdx.x * N_TILES + i) * THREADS + thread_index()];
        float4 v = fresh ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : *at;
        *at = make_float4(folded(v.x, run->out[i][0], w[0]), folded(v.y, run->out[i][1], w[0]),
            folded(v.z, run->out[i][2], w[1]), folded(v.w, run->out[i][3], w[1]));
#else
        (void)fresh;
#    pragma unroll
        for (int e = 0; e < 4; e++)
            total->out[i][e] = folded(total->out[i][e], run->out[i][e], w[e / 2]);
#endif
    }
    clear(run);
}

typedef struct tile_rows { /* 64 rows of one key head; in shared memory */
    sequence q;
    int head, first_row;
    int first, end; /* tiles of positions that any row sees */
} tile_rows;

DEVICE void set_rows(const paged_arguments *a, int index, tile_rows *u) {
    int tile = index / P_KV_HEADS, s = find(TILES, a->n_sequences, tile);
    sequence q = sequence_of(a, s);
    int first_row = (TILES[s + 1] - 1 - tile) * ROWS; /* the longest first */
    int last_row = min(first_row + ROWS, q.n_rows) - 1;
    u->q = q;
    u->head = index % P_KV_HEADS;
    u->first_row = first_row;
    u->first = first_seen(a, q.first_position + first_row / GROUP) / TILE;
    u->end = (q.first_position + last_row / GROUP) / TILE + 1;
}

DEVICE void store_rows(const paged_arguments *a, const tile_rows *u, const rows_state *total) {
    int g = thread_index() % 32 / 4, t = thread_index() % 4;
    int first = u->first_row + thread_index() / 32 * 16;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = first + g + r * 8;
        if (row >= u->q.n_rows) continue;
        u8 *y =
            a->y + row_offset(u->q.first_token, row, u->head, a->y_stride, P_Y_BF16 ? 2 : 4);
        float inverse = 1.0f / total->sum[r];
#pragma unroll
        for (int i = 0; i < N_TILES; i++) {
            if (i * 8 >= P_D) continue;
#if TOTAL_IN_MEMORY
            float4 v = a->totals[((i64)blockIdx.x * N_TILES + i) * THREADS + thread_index()];
            float x = r ? v.z : v.x, z = r ? v.w : v.y;
#else
            float x = total->out[i][2 * r], z = total->out[i][2 * r + 1];
#endif
            store_pair(y, i * 8 + 2 * t, x * inverse, z * inverse);
        }
    }
}

/* Tile `tile` of a sequence's positions to a stage: warps take halves of k, then of v. */
DEVICE void copy_tile(const paged_arguments *a, const tile_rows *u, int tile, u32 stage) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    int position = tile * TILE + warp % 2 * HALF + lane;
    int entry = position < u->q.context ? u->q.blocks[position / P_BLOCK] : -1;
    i64 row = place_of(a, entry, position, u->head);
    copy_half(stage + warp * PLACE, a->cache + (warp / 2 ? a->v_offset : 0), row, lane);
    copy_async_commit();
}

/* A tile's part in the warp's 16 rows. */
DEVICE void add_tile(
    const paged_arguments *a, const tile_rows *u, int tile, u32 stage, rows_state *run) {
    int warp = thread_index() / 32, lane = thread_index() % 32, own = u->first_row + warp * 16;
    int lowest = u->q.first_position + own / GROUP;
    int highest = u->q.first_position + (own + 15) / GROUP;
    u32 queries = shared_address(QUERIES) + warp * 16 * PITCH, p[16];
    float s[8][4];
    if (own >= u->q.n_rows || tile * TILE > highest) return;
    score_half(queries, stage, s, lane);
    score_half(queries, stage + PLACE, s + 4, lane);
    if (tile * TILE + TILE - 1 > lowest || tile * TILE <= highest - a->window) {
        int row = own + lane / 4;
        int positions[2] = {
            u->q.first_position + row / GROUP, u->q.first_position + (row + 8) / GROUP};
        mask(a, s, tile * TILE, positions, lane % 4);
    }
    tile_sums f = soften(a, s, p);
    fold_tile(run, &f, stage + 2 * PLACE, p, lane);
}

DEVICE void attend_rows(const paged_arguments *a, const tile_rows *u) {
    u32 places = shared_address(memory);
    rows_state run, total;
    clear(&run);
    clear(&total);
    load_queries(a, u->q.first_token, u->head, u->first_row + thread_index() / 32 * 16, u->q.n_rows);
    copy_tile(a, u, u->first, places + (P_STAGES == 2 ? u->first % 2 * 4 * PLACE : 0));
#pragma unroll 1
    for (int tile = u->first; tile < u->end; tile++) {
        u32 stage = places + (P_STAGES == 2 ? tile % 2 * 4 * PLACE : 0);
        COPY_ASYNC_WAIT(0);
        __syncthreads(); /* the tile of all warps; the other stage is read by all */
        if (P_STAGES == 2 && tile + 1 < u->end)
            copy_tile(a, u, tile + 1, places + (tile + 1) % 2 * 4 * PLACE);
        add_tile(a, u, tile, stage, &run);
        if (tile % RUN_TILES == RUN_TILES - 1 || tile == u->end - 1) fold_run(a, &run, &total);
        if (P_STAGES == 1 && tile + 1 < u->end) {
            __syncthreads(); /* the stage is read by all */
            copy_tile(a, u, tile + 1, places);
        }
    }
    store_rows(a, u, &total);
}

DEVICE void attend_tiles(const paged_arguments *a) {
    __shared__ tile_rows rows;
    int n = TILES[a->n_sequences] * P_KV_HEADS;
#pragma unroll 1
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        if (threadIdx.x == 0) set_rows(a, i, &rows);
        __syncthreads(); /* the item, before it is read */
        attend_rows(a, &rows);
        __syncthreads(); /* item and stages are read by all before the next is written */
    }
}

/* ---- few rows ---- */

/* The number'th unit of this block; one without runs behind the last. */
DEVICE void set_unit(const paged_arguments *a, const plan *p, int number) {
    int index = blockIdx.x + number * gridDim.x;
    unit *u = &LIST[number % LISTED];
    u->of = u->run = u->end = u->context = u->first_position = 0;
    if (index >= UNITS(a)[a->n_sequences]) return;
    int s = find(UNITS(a), a->n_sequences, index), i = index - UNITS(a)[s];
    sequence q = sequence_of(a, s);
    work w = work_of(a, &q, p->unit_runs);
    int pair = i % w.n_pairs, segment = i / w.n_pairs, first = first_run(a, &q);
    u->of = s;
    u->context = q.context;
    u->first_position = q.first_position;
    u->first_run = first;
    u->n_runs = w.n_runs;
    u->n_segments = w.n_segments;
    u->part = PARTS(a)[s] + pair * w.n_runs;
    u->head = pair % P_KV_HEADS;
    u->group = pair / P_KV_HEADS;
    u->n_rows = min(UNIT_ROWS, q.n_rows - u->group * UNIT_ROWS);
    u->run = first + segment * w.n_runs / w.n_segments;
    u->end = first + (segment + 1) * w.n_runs / w.n_segments;
}

typedef struct cursor { /* a run of a unit */
    int number, run;
} cursor;

DEVICE const unit *unit_at(cursor c) {
    return &LIST[c.number % LISTED];
}
DEVICE cursor next_run(cursor c) {
    cursor n = {c.number, c.run + 1};
    if (n.run < unit_at(c)->end) return n;
    n.number++;
    n.run = unit_at(n)->run;
    return n;
}

/* Of this warp's tile in a run, and this lane's position in a half. */
DEVICE int tile_offset(void) {
    return thread_index() / 32 * TILE + thread_index() % 32;
}

/* Whether any row sees tile `tile` of the run. */
DEVICE bool has_tile(const paged_arguments *a, const unit *u, int run, int tile) {
    int first = (run * RUN_TILES + tile) * TILE;
    return first < u->context && first + TILE > first_seen(a, u->first_position);
}

typedef struct totals { /* of UNIT_ROWS rows: four columns each of some rows a thread */
    float most[N_PIECES], sum[N_PIECES];
    float4 value[N_PIECES];
} totals;

DEVICE void clear_totals(totals *f) {
#pragma unroll
    for (int j = 0; j < N_PIECES; j++) {
        f->most[j] = MINUS_INFINITY;
        f->sum[j] = 0.0f;
        f->value[j] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
}

/* Row and first column of this thread's piece j; row 16 where it has none. */
DEVICE int2 piece_of(int j) {
    int e = thread_index() + j % PER_THREAD * THREADS;
    return make_int2(e < 8 * CHUNKS ? j / PER_THREAD * 8 + e / CHUNKS : 16, e % CHUNKS * 4);
}

DEVICE float4 folded_4(float4 v, float4 more, float2 weights) {
    return make_float4(folded(v.x, more.x, weights), folded(v.y, more.y, weights),
        folded(v.z, more.z, weights), folded(v.w, more.w, weights));
}

/* The warps' tiles of the run, in `present` by bits, to the run, and that to the total. */
DEVICE void fold_piece(int present, int j, totals *total) {
    int2 at = piece_of(j);
    float most = MINUS_INFINITY, sum = 0.0f;
    float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        if (!(present >> w & 1)) continue;
        float2 more = SHARE_SUMS[w * 16 + at.x];
        float2 weights = fold(&most, &sum, more.x, more.y);
        value = folded_4(value,
            *(const float4 *)(SHARES + (w * 8 + at.x % 8) * SHARE_PITCH + at.y), weights);
    }
    float2 weights = fold(&total->most[j], &total->sum[j], most, sum);
    total->value[j] = folded_4(total->value[j], value, weights);
}

DEVICE void fold_shares(const paged_arguments *a, const unit *u, int run, const tile_sums *f,
    const float out[N_TILES][4], totals *total) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    int g = lane / 4, t = lane % 4, present = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++)
        present |= has_tile(a, u, run, w) << w;
#pragma unroll
    for (int half = 0; half < UNIT_ROWS / 8; half++) {
        if (half * 8 >= u->n_rows) continue;
        __syncthreads(); /* the last shares are read */
        if (present >> warp & 1) {
            if (t == 0)
                SHARE_SUMS[warp * 16 + half * 8 + g] = make_float2(f->most[half], f->sum[half]);
            float *row = SHARES + (warp * 8 + g) * SHARE_PITCH + 2 * t;
#pragma unroll
            for (int i = 0; i < N_TILES; i++)
                *(float2 *)(row + i * 8) = make_float2(out[i][2 * half], out[i][2 * half + 1]);
        }
        __syncthreads(); /* shares before they are read */
#pragma unroll
        for (int j = half * PER_THREAD; j < (half + 1) * PER_THREAD; j++)
            if (piece_of(j).x < u->n_rows) fold_piece(present, j, total);
    }
}

DEVICE void store_piece(const paged_arguments *a, const unit *u, int2 at, float4 v, float sum) {
    int row = u->group * UNIT_ROWS + at.x;
    u8 *y = a->y + row_offset(a->cu_seqlens[u->of], row, u->head, a->y_stride, P_Y_BF16 ? 2 : 4);
    float inverse = 1.0f / sum;
    store_pair(y, at.y, v.x * inverse, v.y * inverse);
    store_pair(y, at.y + 2, v.z * inverse, v.w * inverse);
}

DEVICE void store_totals(const paged_arguments *a, const unit *u, const totals *total) {
#pragma unroll
    for (int j = 0; j < N_PIECES; j++) {
        int2 at = piece_of(j);
        if (at.x < u->n_rows) store_piece(a, u, at, total->value[j], total->sum[j]);
    }
}

DEVICE void store_part(
    const paged_arguments *a, const plan *p, const unit *u, int run, const totals *total) {
#pragma unroll
    for (int j = 0; j < N_PIECES; j++) {
        int2 at = piece_of(j);
        if (at.x >= u->n_rows) continue;
        i64 row = (i64)(u->part + run - u->first_run) * p->part_rows + at.x;
        if (at.y == 0) a->part_sums[row] = make_float2(total->most[j], total->sum[j]);
        *(float4 *)(a->parts + row * P_D + at.y) = total->value[j];
    }
}

/* All parts of the unit's rows to the result. */
DEVICE void fold_parts(const paged_arguments *a, const plan *p, const unit *u) {
#pragma unroll 1
    for (int e = thread_index(); e < u->n_rows * CHUNKS; e += THREADS) {
        int2 at = make_int2(e / CHUNKS, e % CHUNKS * 4);
        float most = MINUS_INFINITY, sum = 0.0f;
        float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f), v[PARTS_AT_ONCE];
        float2 more[PARTS_AT_ONCE];
#pragma unroll 1
        for (int i0 = 0; i0 < u->n_runs; i0 += PARTS_AT_ONCE) {
#pragma unroll
            for (int i = 0; i < PARTS_AT_ONCE; i++) { /* all loads, then their use */
                if (i0 + i >= u->n_runs) continue;
                i64 row = (i64)(u->part + i0 + i) * p->part_rows + at.x;
                more[i] = __ldcg(&a->part_sums[row]);
                v[i] = __ldcg((const float4 *)(a->parts + row * P_D + at.y));
            }
#pragma unroll
            for (int i = 0; i < PARTS_AT_ONCE; i++) {
                if (i0 + i >= u->n_runs) continue;
                value = folded_4(value, v[i], fold(&most, &sum, more[i].x, more[i].y));
            }
        }
        store_piece(a, u, at, value, sum);
    }
}

/* Whether this block is the last of these rows' units to be done. */
DEVICE bool is_last(const unit *u, u32 *flag) {
    __syncthreads(); /* the parts of all threads before the count that announces them */
    if (thread_index() == 0) {
        u32 *counter = &finished[(u->of * ROW_GROUPS + u->group) * P_KV_HEADS + u->head];
        *flag = add_and_synchronize(counter, 1) == (u32)u->n_segments - 1;
        if (*flag) *counter = 0;
    }
    __syncthreads(); /* the flag; and what thread 0 may read now, all may */
    return *flag != 0;
}

/* One warp's copies run ahead of its sums by P_STAGES halves: k, k, v, v of a tile, then of the
 * next run's. */
typedef struct ahead {
    int entries[2]; /* of the halves of a tile, a position a lane */
} ahead;

DEVICE ahead look_ahead(const paged_arguments *a, cursor c) {
    const unit *u = unit_at(c);
    const int *blocks = a->block_tables + (i64)u->of * a->max_blocks;
    ahead f;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int position = c.run * (RUN_TILES * TILE) + h * HALF + tile_offset();
        f.entries[h] = position < u->context ? blocks[position / P_BLOCK] : -1;
    }
    return f;
}

/* Copy number i of a tile's four, or none; a group either way. */
DEVICE void copy_ahead(const paged_arguments *a, cursor c, const ahead *f, bool any, int i) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    u32 to = shared_address(memory) + (warp * P_STAGES + i % P_STAGES) * PLACE;
    __syncwarp(); /* what the place held is read */
    if (any) {
        int position = c.run * (RUN_TILES * TILE) + i % 2 * HALF + tile_offset();
        i64 row = place_of(a, f->entries[i % 2], position, unit_at(c)->head);
        copy_half(to, a->cache + (i / 2 ? a->v_offset : 0), row, lane);
    }
    copy_async_commit();
}

/* Half i has come. */
DEVICE void await_half(void) {
    COPY_ASYNC_WAIT(P_STAGES - 1);
    __syncwarp();
}

/* One tile of few rows: its sums, and its product with v to `out`.  Copies of the next begin. */
DEVICE tile_sums attend_tile(const paged_arguments *a, cursor now, const ahead *rows, cursor next,
    const ahead *next_rows, bool next_own, float out[N_TILES][4]) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    u32 places = shared_address(memory) + warp * P_STAGES * PLACE, weights[16];
    u32 queries = shared_address(QUERIES) + now.number % 2 * 16 * PITCH;
    int first = (now.run * RUN_TILES + warp) * TILE;
    const unit *u = unit_at(now);
    float s[8][4];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        await_half();
        score_half(queries, places + h % P_STAGES * PLACE, s + 4 * h, lane);
        copy_ahead(a, now, rows, true, h + P_STAGES);
    }
    if (first + TILE > u->first_position || first <= u->context - 1 - a->window) {
        int row = u->group * UNIT_ROWS + lane / 4;
        int positions[2] = {u->first_position + row / GROUP, u->first_position + (row + 8) / GROUP};
        mask(a, s, first, positions, lane % 4);
    }
    tile_sums f = soften(a, s, weights);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        await_half();
        u32 at = places + h % P_STAGES * PLACE + lane_offset(lane, true);
#pragma unroll
        for (int i = 0; i < N_TILES; i += 2) {
            if (i % 4 == 0) __syncwarp(); /* as in fold_tile */
            weigh_few(at + i * 16, weights + 8 * h, out + i);
            weigh_few(at + 16 * PITCH + i * 16, weights + 8 * h + 4, out + i);
        }
        if (h + P_STAGES < 2)
            copy_ahead(a, now, rows, true, 3);
        else
            copy_ahead(a, next, next_rows, next_own, h + P_STAGES - 2);
    }
    return f;
}

/* Queries of a unit: a warp has four of 16 rows; in registers between fetch and put. */
typedef struct fetched {
    query_word words[4][FETCHED];
} fetched;

DEVICE void fetch_queries(const paged_arguments *a, cursor c, fetched *f) {
    const unit *u = unit_at(c);
    int lane = thread_index() % 32, first_token = u->end > u->run ? a->cu_seqlens[u->of] : 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int r = thread_index() / 32 * 4 + i, row = u->group * UNIT_ROWS + r;
        const u8 *from =
            a->q + row_offset(first_token, row, u->head, a->q_stride, P_Q_BF16 ? 2 : 4);
        bool any = u->end > u->run && r < u->n_rows;
#pragma unroll
        for (int j = 0; j < FETCHED; j++)
            f->words[i][j] = query_word_at(from, any, lane * 2 + j * 64);
    }
}

DEVICE void put_queries(cursor c, const fetched *f) {
    int lane = thread_index() % 32;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u8 *to = QUERIES + (c.number % 2 * 16 + thread_index() / 32 * 4 + i) * PITCH;
#pragma unroll
        for (int j = 0; j < FETCHED; j++) {
            int column = lane * 2 + j * 64;
            if (column < WIDTH) *(u32 *)(to + column * 2) = query_pair(f->words[i][j]);
        }
    }
}

/* After a run: what becomes of the total; `ends`: the unit's last. */
DEVICE void end_run_of(const paged_arguments *a, const plan *p, cursor c, bool ends, totals *total) {
    __shared__ u32 flag;
    const unit *u = unit_at(c);
    if (u->n_segments == 1) {
        if (!ends) return;
        store_totals(a, u, total);
    } else {
        store_part(a, p, u, c.run, total);
        if (ends && is_last(u, &flag)) fold_parts(a, p, u);
    }
    clear_totals(total);
}

DEVICE void attend_units(const paged_arguments *a, const plan *p) {
    totals total;
    cursor now = {0, LIST[0].run};
    ahead rows = look_ahead(a, now);
    if (LIST[0].run == LIST[0].end) return;
    for (int i = 0; i < P_STAGES; i++)
        copy_ahead(a, now, &rows, has_tile(a, unit_at(now), now.run, thread_index() / 32), i);
    fetched queries;
    fetch_queries(a, now, &queries);
    put_queries(now, &queries);
    clear_totals(&total);
    __syncthreads(); /* queries, before they are read */
#pragma unroll 1
    while (now.run < unit_at(now)->end) {
        const unit *u = unit_at(now);
        cursor next = next_run(now);
        bool next_own = has_tile(a, unit_at(next), next.run, thread_index() / 32);
        bool ends = next.number != now.number, refill = ends && next.number % (LISTED / 2) == 0;
        ahead next_rows = look_ahead(a, next);
        if (ends && P_D <= 128) fetch_queries(a, next, &queries);
        tile_sums f = {};
        float out[N_TILES][4] = {};
        if (has_tile(a, u, now.run, thread_index() / 32)) {
            f = attend_tile(a, now, &rows, next, &next_rows, next_own, out);
        } else {
            for (int i = 0; i < P_STAGES; i++)
                copy_ahead(a, next, &next_rows, next_own, i);
        }
        if (ends && P_D > 128) fetch_queries(a, next, &queries); /* no registers before */
        if (ends) put_queries(next, &queries); /* fold_shares has barriers, before they are read */
        fold_shares(a, u, now.run, &f, out, &total);
        end_run_of(a, p, now, ends, &total);
        __syncthreads(); /* shares and unit are read by all */
        if (refill && thread_index() < LISTED / 2)
            set_unit(a, p, next.number + LISTED / 2 + thread_index());
        if (refill) __syncthreads(); /* the units, before they are read */
        now = next;
        rows = next_rows;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, P_RESIDENT) attention_paged(
    const __grid_constant__ paged_arguments a) {
    __shared__ plan p;
    grid_launch_dependents();
    clear_padding();
    make_plan(&a, &p); /* of the step's own arrays, older than any kernel of it */
    if (threadIdx.x < LISTED) set_unit(&a, &p, threadIdx.x);
    __syncthreads(); /* the units, before they are read */
    grid_wait();
    attend_tiles(&a);
    attend_units(&a, &p);
}
