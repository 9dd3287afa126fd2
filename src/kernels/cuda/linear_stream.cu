/* linear_stream.cu - y [M, N] = x [M, K] w^T for M at most 64: weights stream through shared memory.
 *
 * Shapes   w [W, K] bf16 or e4m3, row-major; x [M, K] bf16, M <= P_M, rows 16-byte aligned;
 *          y [M, N] bf16 or float32.  W = N, gated: W = 2N, rows [0, N) gate and [N, 2N) up
 * Math     sums float32: m16n8k16 products over the K slices of a warp in order, then the slices of
 *          the P_WARPS / P_ROW_WARPS warps in order; y = sum * scale[n] * rms[m], then + r, or
 *          silu(gate) * up; one rounding, at the store.  The order depends on K, P_CHUNK and
 *          P_ROW_WARPS, not on M or P_M
 * Grid     (P_GRID): each block has a contiguous share of the 16-row units of N and walks K for
 *          P_TILES weight tiles at a time.  Block P_WARPS * 32 + 32: the last warp copies, a ring of
 *          P_STAGES chunks, the first round of which is asked for before the dependency wait
 * Defines  P_N, P_K, P_M, P_GRID; P_TILES 16-row tiles a pass, P_CHUNK columns a stage, P_STAGES,
 *          P_WARPS, P_ROW_WARPS (warps side by side over tiles; the others split the chunk);
 *          P_FP8, P_SCALE (float [W] for the rows of w), P_GATED, P_ADD (r float32 [M, N], y
 *          float32), P_FLOAT_OUT, P_NORM_IN (x is unnormalised: its sums of squares come in parts
 *          [P_NORM_PARTS, P_M]), P_NORM_OUT (also y16 = bf16(y * next_weight) and the sums of squares
 *          of y, parts [P_GRID, P_M])                            from kernels/cuda/linear.c
 * Needs    K rows of w 16-byte aligned; P_CHUNK a multiple of 32 (e4m3: 64) times the warps that
 *          split it
 * Bound    memory, W * K weight bytes
 * Got      bench/results, family=linear */
#include "ptx.cuh"

#define SPLIT (P_WARPS / P_ROW_WARPS)        /* warps that share a chunk's columns */
#define WARP_TILES (P_TILES / P_ROW_WARPS)   /* tiles of one warp */
#define WARP_COLUMNS (P_CHUNK / SPLIT)
#define W_BYTES (P_FP8 ? 1 : 2)
#define STEP (P_FP8 ? 64 : 32)               /* columns that 16 bytes a lane cover */
#define N_CHUNKS ((P_K + P_CHUNK - 1) / P_CHUNK)
#define TAIL (P_K % P_CHUNK)
/* Rows of a stage, padded so that the eight lanes of a 16-byte phase touch all banks. */
#define W_STRIDE (P_CHUNK * W_BYTES + 64)
#define X_STRIDE (P_CHUNK * 2 + (P_FP8 ? 16 : 64))
#define W_STAGE (P_TILES * 16 * W_STRIDE)
#define STAGE (W_STAGE + P_M * X_STRIDE)
#define N_TILES8 ((P_M + 7) / 8)             /* of tokens */
#define UNIT_TILES (P_GATED ? 2 : 1)
#define PASS_UNITS (P_TILES / UNIT_TILES)
#define N_UNITS ((P_N + 15) / 16)
#define W_ROWS (P_GATED ? 2 * P_N : P_N)
#define SUM_STRIDE (P_TILES * 16 + 4)        /* floats between tokens of a partial sum */
#define SUM_BYTES (SPLIT * 8 * SUM_STRIDE * 4)
#define CONSUMERS (P_WARPS * 32)

static_assert(P_TILES % (P_ROW_WARPS * UNIT_TILES) == 0, "a warp has whole units");
static_assert(P_CHUNK % (STEP * SPLIT) == 0, "a warp's columns are whole steps");
static_assert(P_K * W_BYTES % 16 == 0, "rows of w are 16-byte aligned");
static_assert(!P_NORM_OUT || (P_TILES == 2 && !P_GATED && P_ADD), "a warp stores one token's rows");
static_assert(STAGE % 16 == 0 && SUM_BYTES % 16 == 0, "stages stay aligned");

typedef struct linear_arguments {
    const u8 *w;
    const u16 *x;
    void *y;
    const float *r;
    const float *scale;
    const float *norm_in;  /* [P_NORM_PARTS, P_M] */
    float *norm_out;       /* [P_GRID, P_M] */
    const u16 *next_weight; /* [N] bf16: of the norm that follows */
    u16 *y16;
    i64 x_stride, y_stride, r_stride, y16_stride; /* elements */
    int n_rows;                                   /* M */
    float eps;
} linear_arguments;

/* ---- shares ---- */

DEVICE int first_unit(int block) {
    return (int)((i64)block * N_UNITS / P_GRID);
}

/* ---- the copying warp ---- */

/* Row of w that row r (0 to P_TILES * 16) of a pass at `unit` has. */
DEVICE int weight_row(int unit, int r) {
    int tile = r / 16;
    if (P_GATED) return (tile & 1) * P_N + (unit + tile / 2) * 16 + r % 16;
    return (unit + tile) * 16 + r % 16;
}
/* Whether that row is there, and is within this pass's n_units. */
DEVICE bool has_row(int unit, int n_units, int r) {
    int u = r / 16 / UNIT_TILES;
    return u < n_units && (unit + u) * 16 + r % 16 < P_N;
}
DEVICE int rows_of(int unit, int n_units) {
    int rows = n_units * 16, left = P_N - unit * 16;
    return (rows < left ? rows : left) * UNIT_TILES;
}

DEVICE int chunk_columns(int chunk) {
    return TAIL && chunk == N_CHUNKS - 1 ? TAIL : P_CHUNK;
}

typedef struct ring {
    u32 stages, full, empty; /* shared addresses */
} ring;

DEVICE void copy_weights(const linear_arguments *a, const ring *ring, int slot, int unit,
    int n_units, int chunk, int lane, u64 policy) {
    u32 barrier = ring->full + slot * 8, to = ring->stages + slot * STAGE;
    int columns = chunk_columns(chunk);
    if (lane == 0) {
        mbarrier_expect(barrier, (u32)(rows_of(unit, n_units) * columns * W_BYTES) +
                                     (u32)(a->n_rows * columns * 2));
    }
    __syncwarp();
    for (int r = lane; r < P_TILES * 16; r += 32) {
        if (!has_row(unit, n_units, r)) continue;
        const u8 *from = a->w + ((i64)weight_row(unit, r) * P_K + (i64)chunk * P_CHUNK) * W_BYTES;
        copy_bulk_once(to + r * W_STRIDE, from, (u32)(columns * W_BYTES), barrier, policy);
    }
}

DEVICE void copy_x(const linear_arguments *a, const ring *ring, int slot, int chunk, int lane) {
    u32 barrier = ring->full + slot * 8, to = ring->stages + slot * STAGE + W_STAGE;
    int columns = chunk_columns(chunk);
    for (int m = lane; m < a->n_rows; m += 32) {
        copy_bulk(to + m * X_STRIDE, a->x + m * a->x_stride + (i64)chunk * P_CHUNK,
            (u32)(columns * 2), barrier);
    }
}

DEVICE void copy_all(const linear_arguments *a, const ring *ring, int unit, int end, int lane) {
    u64 policy = policy_evict_first();
    int n_passes = (end - unit + PASS_UNITS - 1) / PASS_UNITS, total = n_passes * N_CHUNKS;
    int ahead = total < P_STAGES ? total : P_STAGES;
#define PASS_OF(i) (unit + (i) / N_CHUNKS * PASS_UNITS)
#define UNITS_OF(i) (end - PASS_OF(i) < PASS_UNITS ? end - PASS_OF(i) : PASS_UNITS)
    for (int i = 0; i < ahead; i++)
        copy_weights(a, ring, i, PASS_OF(i), UNITS_OF(i), i % N_CHUNKS, lane, policy);
    grid_wait();
    fence_async_global();
    for (int i = 0; i < ahead; i++)
        copy_x(a, ring, i, i % N_CHUNKS, lane);
    int slot = 0;
    u32 parity = 0;
    for (int i = ahead; i < total; i++) {
        mbarrier_wait(ring->empty + slot * 8, parity); /* all consumers have read the slot */
        copy_weights(a, ring, slot, PASS_OF(i), UNITS_OF(i), i % N_CHUNKS, lane, policy);
        copy_x(a, ring, slot, i % N_CHUNKS, lane);
        if (++slot == P_STAGES) {
            slot = 0;
            parity ^= 1;
        }
    }
#undef PASS_OF
#undef UNITS_OF
}

/* ---- the multiplying warps ---- */

/* 16 bytes of row `row` at byte `at`; zero past the end of K. */
DEVICE uint4 load_piece(u32 row, int at, int n_bytes) {
    if (TAIL && at >= n_bytes) return make_uint4(0, 0, 0, 0);
    return load_shared_16(row + at);
}

#if P_FP8
/* x of 16 columns at 16t as the pairs that e4m3_to_bf16 gives: (0, 2), (1, 3) of each four. */
DEVICE void load_x(u32 row, int column, int n_columns, u32 b[8]) {
    uint4 lo = load_piece(row, column * 2, n_columns * 2);
    uint4 hi = load_piece(row, column * 2 + 16, n_columns * 2);
    u32 v[8] = {lo.x, lo.y, lo.z, lo.w, hi.x, hi.y, hi.z, hi.w};
#    pragma unroll
    for (int i = 0; i < 8; i += 2) {
        b[i] = __byte_perm(v[i], v[i + 1], 0x5410);
        b[i + 1] = __byte_perm(v[i], v[i + 1], 0x7632);
    }
}
#endif

DEVICE void multiply_step(
    float sums[WARP_TILES][N_TILES8][4], u32 w, u32 x, int column, int n_columns, int lane, int m) {
    int g = lane / 4, t = lane % 4;
    int own = column + t * (STEP / 4);
#if P_FP8
    u32 b[N_TILES8][8];
#    pragma unroll
    for (int j = 0; j < N_TILES8; j++) {
        int token = j * 8 + g;
        load_x(x + (token < m ? token : 0) * X_STRIDE, own, n_columns, b[j]);
    }
#else
    uint4 b[N_TILES8];
#    pragma unroll
    for (int j = 0; j < N_TILES8; j++) {
        int token = j * 8 + g; /* columns past M: any finite or not, they are never stored */
        b[j] = load_piece(x + (token < m ? token : 0) * X_STRIDE, own * 2, n_columns * 2);
    }
#endif
#pragma unroll
    for (int i = 0; i < WARP_TILES; i++) {
        u32 row = w + (i * 16 + g) * W_STRIDE;
        uint4 a0 = load_piece(row, own * W_BYTES, n_columns * W_BYTES);
        uint4 a1 = load_piece(row + 8 * W_STRIDE, own * W_BYTES, n_columns * W_BYTES);
#if P_FP8
        u32 lo[4] = {a0.x, a0.y, a0.z, a0.w}, hi[4] = {a1.x, a1.y, a1.z, a1.w};
#    pragma unroll
        for (int q = 0; q < 4; q++) {
            u32 lo_even, lo_odd, hi_even, hi_odd;
            e4m3_to_bf16(lo[q], &lo_even, &lo_odd);
            e4m3_to_bf16(hi[q], &hi_even, &hi_odd);
#    pragma unroll
            for (int j = 0; j < N_TILES8; j++)
                mma_bf16(sums[i][j], lo_even, hi_even, lo_odd, hi_odd, b[j][2 * q], b[j][2 * q + 1]);
        }
#else
#    pragma unroll
        for (int j = 0; j < N_TILES8; j++) {
            mma_bf16(sums[i][j], a0.x, a1.x, a0.y, a1.y, b[j].x, b[j].y);
            mma_bf16(sums[i][j], a0.z, a1.z, a0.w, a1.w, b[j].z, b[j].w);
        }
#endif
    }
}

/* One result, unit row n of token m, from the summed slices. */
DEVICE float store(const linear_arguments *a, int m, int n, float sum, float up, float rms) {
    if (P_SCALE) {
        sum *= a->scale[n];
        if (P_GATED) up *= a->scale[P_N + n];
    }
    if (P_NORM_IN) {
        sum *= rms;
        up *= rms;
    }
    if (P_GATED) sum = sum / (1.0f + __expf(-sum)) * up;
    if (P_ADD) sum += a->r[m * a->r_stride + n];
    if (P_ADD || P_FLOAT_OUT)
        ((float *)a->y)[m * a->y_stride + n] = sum;
    else
        ((u16 *)a->y)[m * a->y_stride + n] = (u16)pack_bf16(sum, sum);
    if (P_NORM_OUT) {
        float next = bf16_low(a->next_weight[n]) * sum;
        a->y16[m * a->y16_stride + n] = (u16)pack_bf16(next, next);
    }
    return sum;
}

/* Slices of all warps, then the results of 8 tokens at a time.  barrier 1 orders writing a slice
 * before its reading, the second one reading before the next tokens' writing. */
DEVICE void finish_pass(const linear_arguments *a, float sums[WARP_TILES][N_TILES8][4], float *part,
    const float *rms, float *squares, int unit, int n_units, int warp, int lane) {
    int g = lane / 4, t = lane % 4, slice = warp % SPLIT, row_warp = warp / SPLIT;
#pragma unroll
    for (int j = 0; j < N_TILES8; j++) {
#pragma unroll
        for (int i = 0; i < WARP_TILES; i++) {
            float *to = part + (slice * 8 + 2 * t) * SUM_STRIDE + (row_warp * WARP_TILES + i) * 16 + g;
            to[0] = sums[i][j][0];
            to[SUM_STRIDE] = sums[i][j][1];
            to[8] = sums[i][j][2];
            to[SUM_STRIDE + 8] = sums[i][j][3];
        }
        barrier_sync(1, CONSUMERS);
        for (int k = warp * 32 + lane; k < PASS_UNITS * 16 * 8; k += CONSUMERS) {
            int row = k % (PASS_UNITS * 16), column = k / (PASS_UNITS * 16), m = j * 8 + column;
            int n = unit * 16 + row;
            int at = column * SUM_STRIDE + row / 16 * UNIT_TILES * 16 + row % 16;
            float sum = part[at], up = P_GATED ? part[at + 16] : 0.0f, y = 0.0f;
#pragma unroll
            for (int s = 1; s < SPLIT; s++) {
                sum += part[at + s * 8 * SUM_STRIDE];
                if (P_GATED) up += part[at + s * 8 * SUM_STRIDE + 16];
            }
            if (m < a->n_rows && row < n_units * 16 && n < P_N)
                y = store(a, m, n, sum, up, P_NORM_IN ? rms[m] : 0.0f);
            if (P_NORM_OUT) { /* the 32 rows of one token are one warp's */
                float square = warp_sum(y * y);
                if (lane == 0 && m < P_M) squares[m] += square;
            }
        }
        barrier_sync(1, CONSUMERS);
    }
}

DEVICE void multiply_all(const linear_arguments *a, const ring *ring, float *part, float *rms,
    float *squares, int unit, int end, int warp, int lane) {
    int slice = warp % SPLIT, row_warp = warp / SPLIT, slot = 0;
    u32 parity = 0;
    for (; unit < end; unit += PASS_UNITS) {
        int n_units = end - unit < PASS_UNITS ? end - unit : PASS_UNITS;
        float sums[WARP_TILES][N_TILES8][4] = {};
        for (int chunk = 0; chunk < N_CHUNKS; chunk++) {
            u32 stage = ring->stages + slot * STAGE;
            int columns = chunk_columns(chunk);
            mbarrier_wait(ring->full + slot * 8, parity);
#pragma unroll
            for (int at = 0; at < WARP_COLUMNS; at += STEP) {
                int column = slice * WARP_COLUMNS + at;
                if (TAIL && column >= columns) break;
                multiply_step(sums, stage + row_warp * WARP_TILES * 16 * W_STRIDE, stage + W_STAGE,
                    column, columns, lane, a->n_rows);
            }
            __syncwarp();
            if (lane == 0) mbarrier_arrive(ring->empty + slot * 8);
            if (++slot == P_STAGES) {
                slot = 0;
                parity ^= 1;
            }
        }
        finish_pass(a, sums, part, rms, squares, unit, n_units, warp, lane);
    }
}

/* 1 / rms of each token from the parts of its sum of squares, added in one order. */
DEVICE void find_rms(const linear_arguments *a, float *rms, int warp, int lane) {
    for (int m = warp; m < a->n_rows; m += P_WARPS) {
        float sum = 0.0f;
        for (int p = lane; p < P_NORM_PARTS; p += 32)
            sum += a->norm_in[p * P_NORM_STRIDE + m];
        sum = warp_sum(sum);
        if (lane == 0) rms[m] = rsqrtf(sum / P_K + a->eps);
    }
}

extern "C" __global__ void __launch_bounds__(CONSUMERS + 32, P_M <= 16 ? 2 : 1)
    linear_stream(const __grid_constant__ linear_arguments a) {
    extern __shared__ __align__(128) u8 memory[];
    __shared__ __align__(8) u64 barriers[2 * P_STAGES];
    __shared__ float rms[P_NORM_IN ? P_M : 1], squares[P_NORM_OUT ? P_M : 1];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int unit = first_unit(blockIdx.x), end = first_unit(blockIdx.x + 1);
    ring ring = {shared_address(memory) + SUM_BYTES, shared_address(barriers),
        shared_address(barriers) + P_STAGES * 8};

    grid_launch_dependents();
    if (threadIdx.x == 0) {
        for (int i = 0; i < P_STAGES; i++) {
            mbarrier_init(ring.full + i * 8, 1);
            mbarrier_init(ring.empty + i * 8, P_WARPS);
        }
        mbarrier_fence_init();
    }
    if (P_NORM_OUT && threadIdx.x < P_M) squares[threadIdx.x] = 0.0f;
    __syncthreads();
    if (warp == P_WARPS) {
        copy_all(&a, &ring, unit, end, lane);
        return;
    }
    grid_wait();
    if (P_NORM_IN) {
        find_rms(&a, rms, warp, lane);
        barrier_sync(1, CONSUMERS); /* rms of all tokens before any result */
    }
    multiply_all(&a, &ring, (float *)memory, rms, squares, unit, end, warp, lane);
    if (P_NORM_OUT && threadIdx.x < a.n_rows)
        a.norm_out[blockIdx.x * P_NORM_STRIDE + threadIdx.x] = squares[threadIdx.x];
}
