/* linear_tile.cu - y [T, N] = x [T, K] w^T with x as bf16, on tensor cores, for many rows.
 *
 * Shapes   w [N, K] bf16, f16, e4m3, i8 or i4, row-major; x [T, K] float32 or bf16; y [T, N] float32
 *          or bf16; scales, bias [N], r [T, N] float32
 * Math     x rounded to bf16, w as it is (f16 as the sum of two bf16); sums float32: m16n8k16
 *          products in the order of K, with scales of groups a sum for each group first;
 *          y = sum * scale + bias + r, rounded once.  The order depends on K, group and dtype alone
 * Grid     (ceil(N / P_BN), ceil(T / P_BM)), block 256: 2 by 4 warps.  Two stages of P_BK columns in
 *          shared memory; the next one's bytes wait in registers
 * Defines  P_W, P_W_ALIGNED, P_X_BF16, P_SCALES, P_BF16_OUT; P_BM by P_BN results a block, P_BK
 *                                               from kernels/cuda/linear_plain.c
 * Needs    rows of x allow vectors of 4 elements; group % P_BK == 0
 * Bound    tensor cores, 2 T N K (f16: twice) */
#define P_ROUND 1
#include "linear.cuh"

#define SPLIT (P_W == W_F16 ? 2 : 1)
#define STRIDE (P_BK + 8) /* bf16 between rows: eight rows of 16 bytes meet 32 banks */
#define WARPS_M 2
#define WARPS_N 4
#define WM (P_BM / WARPS_M)
#define WN (P_BN / WARPS_N)
#define TILES_M (WM / 16)
#define TILES_N (WN / 8)
#define UNITS (P_BK / 8) /* of a row of a stage */
#define X_UNITS (P_BM * UNITS / 256)
#define W_UNITS (P_BN * UNITS / 256)
#define STAGE ((P_BM + SPLIT * P_BN) * STRIDE * 2)

static_assert(WM % 16 == 0 && WN % 16 == 0, "ldmatrix takes 16 rows");
static_assert(P_BM * UNITS % 256 == 0 && P_BN * UNITS % 256 == 0, "whole units a thread");

typedef struct staged { /* a stage's bytes of one thread */
    u32 x[X_UNITS][X_WORDS], w[W_UNITS][W_WORDS];
} staged;

/* Rows and columns past the end are read at the last ones, so that no branch parts the loads: rows
 * are not stored, columns count nothing, since their weights are zeros. */
DEVICE int no_later(int at, int last) {
    return at < last ? at : last;
}

DEVICE void load_weight_stage(const plain_arguments *a, int n0, int k0, staged *s) {
#pragma unroll
    for (int i = 0; i < W_UNITS; i++) {
        int unit = i * 256 + threadIdx.x, k = k0 + unit % UNITS * 8;
        const u8 *row = weight_row(a, no_later(n0 + unit / UNITS, a->n - 1));
        load_weights(row, no_later(k, (a->k - 1) / 8 * 8), a->k, s->w[i]);
#pragma unroll
        for (int j = 0; j < W_WORDS; j++)
            s->w[i][j] = k < a->k ? s->w[i][j] : 0;
    }
}

DEVICE void load_x_stage(const plain_arguments *a, int m0, int k0, staged *s) {
#pragma unroll
    for (int i = 0; i < X_UNITS; i++) {
        int unit = i * 256 + threadIdx.x, k = k0 + unit % UNITS * 8;
        const void *row = x_row(a, no_later(m0 + unit / UNITS, a->n_rows - 1));
        load_x8(row, no_later(k, (a->k - 1) / 8 * 8), a->k, s->x[i]);
    }
}

DEVICE void put(u8 *at, const u32 v[4]) {
    *(uint4 *)at = make_uint4(v[0], v[1], v[2], v[3]);
}

DEVICE void store_stage(u8 *stage, const staged *s) {
#pragma unroll
    for (int i = 0; i < X_UNITS; i++) {
        int unit = i * 256 + threadIdx.x;
        u32 pairs[4];
        x_to_bf16(s->x[i], pairs);
        put(stage + (unit / UNITS * STRIDE + unit % UNITS * 8) * 2, pairs);
    }
#pragma unroll
    for (int i = 0; i < W_UNITS; i++) {
        int unit = i * 256 + threadIdx.x;
        u8 *at = stage + ((P_BM + unit / UNITS) * STRIDE + unit % UNITS * 8) * 2;
        u32 hi[4], lo[4];
        weights_to_bf16(s->w[i], hi, lo);
        put(at, hi);
        if (SPLIT == 2) put(at + P_BN * STRIDE * 2, lo);
    }
}

/* sums += the stage's products. */
DEVICE void multiply_stage(
    u32 stage, int warp_m, int warp_n, int lane, float sums[TILES_M][TILES_N][4]) {
#pragma unroll
    for (int k = 0; k < P_BK; k += 16) {
        u32 x[TILES_M][4];
#pragma unroll
        for (int i = 0; i < TILES_M; i++) {
            int row = warp_m * WM + i * 16 + lane % 16;
            load_matrices(stage + (row * STRIDE + k + lane / 16 * 8) * 2, x[i]);
        }
#pragma unroll
        for (int half = 0; half < SPLIT; half++) {
#pragma unroll
            for (int j = 0; j < TILES_N; j += 2) {
                int row = P_BM + half * P_BN + warp_n * WN + j * 8 + lane / 16 * 8 + lane % 8;
                u32 w[4];
                load_matrices(stage + (row * STRIDE + k + lane / 8 % 2 * 8) * 2, w);
#pragma unroll
                for (int i = 0; i < TILES_M; i++) {
                    mma_bf16(sums[i][j], x[i][0], x[i][1], x[i][2], x[i][3], w[0], w[1]);
                    mma_bf16(sums[i][j + 1], x[i][0], x[i][1], x[i][2], x[i][3], w[2], w[3]);
                }
            }
        }
    }
}

#if P_SCALES == SCALES_GROUPS
/* sums += scale * part, and part begins anew. */
DEVICE void add_group(const plain_arguments *a, int n0, int group, float part[TILES_M][TILES_N][4],
    float sums[TILES_M][TILES_N][4]) {
#    pragma unroll
    for (int j = 0; j < TILES_N; j++) {
        float scale[2];
#    pragma unroll
        for (int c = 0; c < 2; c++) {
            int n = n0 + j * 8 + c;
            scale[c] = n < a->n ? __ldg(a->scales + (i64)n * a->scale_step + group) : 0.0f;
        }
#    pragma unroll
        for (int i = 0; i < TILES_M; i++) {
#    pragma unroll
            for (int c = 0; c < 4; c++) {
                sums[i][j][c] = fmaf(scale[c % 2], part[i][j][c], sums[i][j][c]);
                part[i][j][c] = 0.0f;
            }
        }
    }
}
#endif

extern "C" __global__ void __launch_bounds__(256)
    linear_tile(const __grid_constant__ plain_arguments a) {
    extern __shared__ __align__(16) u8 memory[];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int warp_m = warp / WARPS_N, warp_n = warp % WARPS_N;
    int m0 = blockIdx.y * P_BM, n0 = blockIdx.x * P_BN;
    staged s;
    float sums[TILES_M][TILES_N][4] = {};
    grid_launch_dependents();
    load_weight_stage(&a, n0, 0, &s);
    grid_wait();
    load_x_stage(&a, m0, 0, &s);
    store_stage(memory, &s);
#if P_SCALES == SCALES_GROUPS
    float part[TILES_M][TILES_N][4] = {};
#endif
    for (int k = 0, at = 0; k < a.k; k += P_BK, at ^= 1) {
        bool more = k + P_BK < a.k;
        __syncthreads(); /* this stage is written, and the other one read */
        if (more) {
            load_weight_stage(&a, n0, k + P_BK, &s);
            load_x_stage(&a, m0, k + P_BK, &s);
        }
#if P_SCALES == SCALES_GROUPS
        multiply_stage(shared_address(memory) + at * STAGE, warp_m, warp_n, lane, part);
        if ((k + P_BK) % a.group == 0)
            add_group(&a, n0 + warp_n * WN + lane % 4 * 2, k / a.group, part, sums);
#else
        multiply_stage(shared_address(memory) + at * STAGE, warp_m, warp_n, lane, sums);
#endif
        if (more) store_stage(memory + (at ^ 1) * STAGE, &s);
    }
#pragma unroll
    for (int i = 0; i < TILES_M; i++) {
#pragma unroll
        for (int j = 0; j < TILES_N; j++) {
#pragma unroll
            for (int c = 0; c < 4; c++) {
                int m = m0 + warp_m * WM + i * 16 + lane / 4 + c / 2 * 8;
                int n = n0 + warp_n * WN + j * 8 + lane % 4 * 2 + c % 2;
                if (m < a.n_rows && n < a.n) store_result(&a, m, n, sums[i][j][c]);
            }
        }
    }
}
