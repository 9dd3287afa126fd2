/* linear_stream.cu - y [M, N] = x [M, K] w^T for M at most 64: weights stream through shared memory.
 *
 * Shapes   w [W, K] bf16 or e4m3, row-major; x [M, K] bf16, M <= P_M; y [M, N] bf16 or float32.
 *          W = N, gated: W = 2N, rows [0, N) gate and [N, 2N) up.  w and x come as tensor maps of
 *          lines of 128 bytes: boxes of 16 rows of w, of P_M rows of x, P_CHUNK columns each
 * Math     sums float32: m16n8k16 products over the K slices of a warp in order, then the slices of
 *          the P_WARPS / P_ROW_WARPS warps in order; y = sum * scale[n] * rms[m] + bias[n], then + r,
 *          or gate(y) * up; one rounding, at the store.  The order depends on K, P_CHUNK,
 *          P_ROW_WARPS and which block has the row, not on M or P_M
 * Grid     (P_GRID): each block has a contiguous share of the 16-row units of N and walks K for
 *          P_TILES weight tiles at a time.  Block P_WARPS * 32 + 32: the last warp copies, a ring of
 *          P_STAGES chunks, the first round of which is asked for before the dependency wait, so
 *          that a block that shares its multiprocessor with the kernel before has work at once
 * Defines  P_N, P_K, P_M, P_GRID; P_TILES 16-row tiles a pass, P_CHUNK columns a stage, P_STAGES,
 *          P_WARPS, P_ROW_WARPS (warps side by side over tiles; the others split the chunk), P_RAGGED
 *          (K is no multiple of a line: copies by single lines); P_FP8, P_SCALE (1: float [W] for the
 *          rows of w, 2: one float for all), P_BIAS (float [W]), P_GATE (linear.cuh), P_ADD (r float32 [M, N], y float32), P_FLOAT_OUT, P_NORM_IN (x is
 *          unnormalised: its sums of squares come in P_NORM_PARTS parts a row), P_NORM_OUT
 *          (also y16 = bf16(y * next_weight) and the sums of squares of y, P_GRID parts), P_LATE (lets the next kernel start only when all before this
 *          one are complete: what they wrote may then be read before the next one's wait)
 *                                                                     from kernels/cuda/linear.c
 * Needs    rows of w and x 16-byte aligned; P_CHUNK a multiple of 32 (e4m3: 64) times the warps that
 *          split it, and of a line
 * Bound    memory, W * K weight bytes
 * Got      bench/results, cuda_linear */
#include "linear.cuh"

#define P_GATED (P_GATE != GATE_NONE)
#define SPLIT (P_WARPS / P_ROW_WARPS)      /* warps that share a chunk's columns */
#define WARP_TILES (P_TILES / P_ROW_WARPS) /* tiles of one warp */
#define WARP_COLUMNS (P_CHUNK / SPLIT)
#define W_BYTES (P_FP8 ? 1 : 2)
#define LINE 128                           /* bytes of a row that lie together */
#define W_LINE (LINE / W_BYTES)            /* columns */
#define X_LINE (LINE / 2)
#define STEP (P_FP8 ? 64 : 32)             /* columns that 16 bytes a lane cover */
#define N_CHUNKS ((P_K + P_CHUNK - 1) / P_CHUNK)
#define W_LINES (P_CHUNK / W_LINE)
#define X_LINES (P_CHUNK / X_LINE)
#define W_TILE (16 * LINE * W_LINES)
#define X_BOX (P_M * LINE * X_LINES)
#define STAGE (P_TILES * W_TILE + X_BOX)
#define N_TILES8 (P_M / 8) /* of tokens */
#define UNIT_TILES (P_GATED ? 2 : 1)
#define PASS_UNITS (P_TILES / UNIT_TILES)
#define N_UNITS ((P_N + 15) / 16)
#define SUM_STRIDE (P_TILES * 16 + 4) /* floats between tokens of a partial sum */
#define CONSUMERS (P_WARPS * 32)

static_assert(P_M % 8 == 0 && P_M <= 64, "tokens by eights");
static_assert(P_TILES % (P_ROW_WARPS * UNIT_TILES) == 0, "a warp has whole units");
static_assert(P_CHUNK % (STEP * SPLIT) == 0 && P_CHUNK % W_LINE == 0, "whole steps and lines");
static_assert(P_K * W_BYTES % 16 == 0 && P_K % 8 == 0, "rows are 16-byte aligned");
static_assert(P_RAGGED || P_K % W_LINE == 0, "else copies by lines");
static_assert(!P_NORM_OUT || (P_TILES == 2 && !P_GATED && P_ADD), "a warp stores one token's rows");
static_assert(STAGE % 1024 == 0, "stages keep the swizzle's alignment");

typedef struct linear_arguments {
    u64 w_map[16], x_map[16]; /* CUtensorMap */
    void *y;
    const float *r;
    const float *scale, *bias;
    const float *norm_in;
    float *norm_out;
    const float *next_weight;           /* [N]: of the norm that follows */
    u16 *y16;
    i64 y_stride, r_stride, y16_stride; /* elements */
    int in_row, in_part;                /* floats between rows and between parts of norm_in */
    int out_row, out_part;              /* of norm_out */
    int n_rows;                         /* M */
    float eps;
} __attribute__((aligned(64))) linear_arguments;

/* ---- shares ---- */

DEVICE int first_unit(int block) {
    return (int)((i64)block * N_UNITS / P_GRID);
}

typedef struct ring {
    u32 stages, full, empty; /* shared addresses */
} ring;

/* ---- the copying warp: one lane ---- */

/* Row of w where tile `tile` of a pass at `unit` begins. */
DEVICE int tile_row(int unit, int tile) {
    return P_GATED ? (tile & 1) * P_N + (unit + tile / 2) * 16 : (unit + tile) * 16;
}

DEVICE void copy_lines(
    u32 to, const void *map, int chunk, int row, int n_rows, int line, u32 barrier, u64 policy) {
#if P_RAGGED
    for (int i = 0; i < P_CHUNK / line; i++)
        copy_box(to + i * n_rows * LINE, map, chunk * P_CHUNK + i * line, row, 0, barrier, policy);
#else
    copy_box(to, map, 0, row, chunk * (P_CHUNK / line), barrier, policy);
#endif
}

DEVICE void copy_weights(const linear_arguments *a, const ring *ring, int slot, int unit,
    int n_units, int chunk, u64 policy) {
    u32 barrier = ring->full + slot * 8, to = ring->stages + slot * STAGE;
    mbarrier_expect(barrier, (u32)(n_units * UNIT_TILES * W_TILE + X_BOX));
    for (int tile = 0; tile < n_units * UNIT_TILES; tile++) {
        copy_lines(to + tile * W_TILE, a->w_map, chunk, tile_row(unit, tile), 16, W_LINE, barrier,
            policy);
    }
}

DEVICE void copy_x(const linear_arguments *a, const ring *ring, int slot, int chunk, u64 policy) {
    copy_lines(ring->stages + slot * STAGE + P_TILES * W_TILE, a->x_map, chunk, 0, P_M, X_LINE,
        ring->full + slot * 8, policy);
}

/* The blocks start their walk along K at different chunks, else all would ask for the same lines of x
 * at once, and few slices of L2 would answer. */
DEVICE int first_chunk(void) {
    return blockIdx.x % N_CHUNKS;
}

typedef struct place { /* of a chunk in a block's walk */
    int unit, n_units, chunk;
} place;

DEVICE place first_place(int unit, int end) {
    place p = {unit, end - unit < PASS_UNITS ? end - unit : PASS_UNITS, first_chunk()};
    return p;
}

DEVICE void next_place(place *p, int end) {
    if (++p->chunk == N_CHUNKS) p->chunk = 0;
    if (p->chunk != first_chunk()) return;
    p->unit += PASS_UNITS;
    p->n_units = end - p->unit < PASS_UNITS ? end - p->unit : PASS_UNITS;
}

DEVICE void copy_all(const linear_arguments *a, const ring *ring, int unit, int end) {
    u64 once = policy_evict_first(), keep = policy_evict_last();
    int total = (end - unit + PASS_UNITS - 1) / PASS_UNITS * N_CHUNKS;
    int ahead = total < P_STAGES ? total : P_STAGES;
    place p = first_place(unit, end), of_x = p;
    for (int i = 0; i < ahead; i++) {
        copy_weights(a, ring, i, p.unit, p.n_units, p.chunk, once);
        next_place(&p, end);
    }
    grid_wait();
    fence_async_global();
    for (int i = 0; i < ahead; i++) {
        copy_x(a, ring, i, of_x.chunk, keep);
        next_place(&of_x, end);
    }
    int slot = 0;
    u32 parity = 0;
    for (int i = ahead; i < total; i++) {
        mbarrier_wait(ring->empty + slot * 8, parity); /* all consumers have read the slot */
        copy_weights(a, ring, slot, p.unit, p.n_units, p.chunk, once);
        copy_x(a, ring, slot, p.chunk, keep);
        next_place(&p, end);
        if (++slot == P_STAGES) {
            slot = 0;
            parity ^= 1;
        }
    }
}

/* ---- the multiplying warps ---- */

/* Which row of eight lane group g reads: the two groups of a 16-byte phase, 2i and 2i + 1, differ in
 * bit 2 of the row, so that the swizzle puts their halves of a line into different banks. */
DEVICE int spread(int g) {
    return g >> 1 | (g & 1) << 2;
}
/* e4m3: x is read as pieces 2t and 2t + 1, where neighbours do not collide. */
#define X_ROW(g) (P_FP8 ? (g) : spread(g))

/* Shared address of 16-byte piece `piece` of line `line` of row `row` in a box of n_rows. */
DEVICE u32 piece_at(u32 box, int n_rows, int line, int row, int piece) {
    return box + (line * n_rows + row) * LINE + ((piece ^ (row & 7)) << 4);
}

DEVICE void load_x(u32 x, int column, int row, int t, u32 b[P_FP8 ? 8 : 4]) {
#if P_FP8 /* 16 columns at 16 t, as the pairs that e4m3_to_bf16 gives: (0, 2), (1, 3) of each four */
    uint4 lo = load_shared_16(piece_at(x, P_M, column / X_LINE, row, 2 * t));
    uint4 hi = load_shared_16(piece_at(x, P_M, column / X_LINE, row, 2 * t + 1));
    u32 v[8] = {lo.x, lo.y, lo.z, lo.w, hi.x, hi.y, hi.z, hi.w};
#    pragma unroll
    for (int i = 0; i < 8; i += 2) {
        b[i] = __byte_perm(v[i], v[i + 1], 0x5410);
        b[i + 1] = __byte_perm(v[i], v[i + 1], 0x7632);
    }
#else
    uint4 v = load_shared_16(
        piece_at(x, P_M, column / X_LINE, row, column % X_LINE / 8 + t));
    b[0] = v.x;
    b[1] = v.y;
    b[2] = v.z;
    b[3] = v.w;
#endif
}

/* STEP columns from `column` of the stage, all tiles of the warp. */
DEVICE void multiply_step(
    float sums[WARP_TILES][N_TILES8][4], u32 w, u32 x, int column, int lane) {
    int g = lane / 4, t = lane % 4, row = spread(g), piece = column % W_LINE * W_BYTES / 16 + t;
    u32 b[N_TILES8][P_FP8 ? 8 : 4];
#pragma unroll
    for (int j = 0; j < N_TILES8; j++)
        load_x(x, column, j * 8 + X_ROW(g), t, b[j]);
#pragma unroll
    for (int i = 0; i < WARP_TILES; i++) {
        uint4 a0 = load_shared_16(piece_at(w + i * W_TILE, 16, column / W_LINE, row, piece));
        uint4 a1 = load_shared_16(piece_at(w + i * W_TILE, 16, column / W_LINE, row + 8, piece));
        u32 lo[4] = {a0.x, a0.y, a0.z, a0.w}, hi[4] = {a1.x, a1.y, a1.z, a1.w};
#if P_FP8
#    pragma unroll
        for (int q = 0; q < 4; q++) {
            u32 lo_even, lo_odd, hi_even, hi_odd;
            e4m3_to_bf16(lo[q], &lo_even, &lo_odd);
            e4m3_to_bf16(hi[q], &hi_even, &hi_odd);
#    pragma unroll
            for (int j = 0; j < N_TILES8; j++)
                mma_bf16(
                    sums[i][j], lo_even, hi_even, lo_odd, hi_odd, b[j][2 * q], b[j][2 * q + 1]);
        }
#else
#    pragma unroll
        for (int q = 0; q < 4; q += 2) {
#    pragma unroll
            for (int j = 0; j < N_TILES8; j++)
                mma_bf16(sums[i][j], lo[q], hi[q], lo[q + 1], hi[q + 1], b[j][q], b[j][q + 1]);
        }
#endif
    }
}

/* One result, unit row n of token m, from the summed slices. */
DEVICE float store(const linear_arguments *a, int m, int n, float sum, float up, float rms) {
    if (P_SCALE) {
        sum *= a->scale[P_SCALE == 1 ? n : 0];
        if (P_GATED) up *= a->scale[P_SCALE == 1 ? P_N + n : 0];
    }
    if (P_NORM_IN) {
        sum *= rms;
        up *= rms;
    }
    if (P_BIAS) {
        sum += a->bias[n];
        if (P_GATED) up += a->bias[P_N + n];
    }
    if (P_GATED) sum = gate_of(P_GATE, sum) * up;
    if (P_ADD) sum += a->r[m * a->r_stride + n];
    if (P_ADD || P_FLOAT_OUT)
        ((float *)a->y)[m * a->y_stride + n] = sum;
    else
        ((u16 *)a->y)[m * a->y_stride + n] = (u16)pack_bf16(sum, sum);
    if (P_NORM_OUT) {
        float next = a->next_weight[n] * sum;
        a->y16[m * a->y16_stride + n] = (u16)pack_bf16(next, next);
    }
    return sum;
}

/* Slices of all warps, then the results of 8 tokens at a time.  barrier 1 orders writing a slice
 * before its reading, the second one reading before the next tokens' writing. */
DEVICE void finish_pass(const linear_arguments *a, float sums[WARP_TILES][N_TILES8][4], float *part,
    const float *rms, float *squares, int unit, int n_units, int warp, int lane) {
    int g = lane / 4, t = lane % 4, slice = warp % SPLIT, row_warp = warp / SPLIT;
    float *own = part + slice * 8 * SUM_STRIDE + row_warp * WARP_TILES * 16 + spread(g);
#pragma unroll
    for (int j = 0; j < N_TILES8; j++) {
#pragma unroll
        for (int i = 0; i < WARP_TILES; i++) {
            float *even = own + X_ROW(2 * t) * SUM_STRIDE + i * 16;
            float *odd = own + X_ROW(2 * t + 1) * SUM_STRIDE + i * 16;
            even[0] = sums[i][j][0];
            odd[0] = sums[i][j][1];
            even[8] = sums[i][j][2];
            odd[8] = sums[i][j][3];
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
                if (lane == 0) squares[m] += square;
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
            mbarrier_wait(ring->full + slot * 8, parity);
#pragma unroll
            for (int at = 0; at < WARP_COLUMNS; at += STEP) {
                multiply_step(sums, stage + row_warp * WARP_TILES * W_TILE,
                    stage + P_TILES * W_TILE, slice * WARP_COLUMNS + at, lane);
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
            sum += a->norm_in[m * a->in_row + p * a->in_part];
        sum = warp_sum(sum);
        if (lane == 0) rms[m] = rsqrtf(sum / P_K + a->eps);
    }
}

extern "C" __global__ void __launch_bounds__(CONSUMERS + 32, P_M <= 16 ? 2 : 1)
    linear_stream(const __grid_constant__ linear_arguments a) {
    extern __shared__ u8 memory[];
    __shared__ __align__(8) u64 barriers[2 * P_STAGES];
    __shared__ float part[SPLIT * 8 * SUM_STRIDE];
    __shared__ float rms[P_NORM_IN ? P_M : 1], squares[P_NORM_OUT ? P_M : 1];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int unit = first_unit(blockIdx.x), end = first_unit(blockIdx.x + 1);
    ring ring = {(shared_address(memory) + 1023) & ~1023u, shared_address(barriers),
        shared_address(barriers) + P_STAGES * 8};

    if (!P_LATE) grid_launch_dependents();
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
        if (lane == 0) copy_all(&a, &ring, unit, end);
        return;
    }
    grid_wait();
    if (P_LATE) grid_launch_dependents();
    if (P_NORM_IN) {
        find_rms(&a, rms, warp, lane);
        barrier_sync(1, CONSUMERS); /* rms of all tokens before any result */
    }
    multiply_all(&a, &ring, part, rms, squares, unit, end, warp, lane);
    if (P_NORM_OUT && threadIdx.x < a.n_rows)
        a.norm_out[threadIdx.x * a.out_row + blockIdx.x * a.out_part] = squares[threadIdx.x];
}
