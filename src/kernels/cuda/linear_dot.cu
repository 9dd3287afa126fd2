/* linear_dot.cu - y [T, N] = x [T, K] w^T for few rows: a warp takes whole rows of w.
 *
 * Shapes   w [N, K] of any dtype of linear.cuh, row-major; x [T, K] float32 or bf16; y [T, N] float32
 *          or bf16; scales, bias [N], r [T, N] float32
 * Math     sums float32: each lane a chain over its columns (8 of every 256), then across the lanes;
 *          y = sum * scale + bias + r, rounded once.  The order depends on K alone
 * Grid     (ceil(N / (P_WARPS P_ROWS)), ceil(T / P_M)), block P_WARPS * 32
 * Defines  P_W, P_W_ALIGNED, P_X_BF16, P_ROUND, P_SCALES, P_BF16_OUT; P_M tokens and P_ROWS rows of w
 *          a warp, P_WARPS                       from kernels/cuda/linear_plain.c
 * Needs    rows of x allow vectors of 4 elements; P_W_ALIGNED: K % 8 == 0
 * Bound    memory, the bytes of w, ceil(T / P_M) times (the second time from L2) */
#include "linear.cuh"

#define COLUMNS 8 /* at a time, a lane */

extern "C" __global__ void __launch_bounds__(P_WARPS * 32, P_X_BF16 ? 4 : 3)
    linear_dot(const __grid_constant__ plain_arguments a) {
    int lane = threadIdx.x % 32, first = (blockIdx.x * P_WARPS + threadIdx.x / 32) * P_ROWS;
    int m0 = blockIdx.y * P_M;
    u32 raw[P_ROWS][W_WORDS];
    float sums[P_ROWS][P_M] = {};
    const u8 *rows[P_ROWS];
    grid_launch_dependents();
    if (first >= a.n) {
        grid_wait();
        return;
    }
#pragma unroll
    for (int r = 0; r < P_ROWS; r++) { /* rows past the end: the last one, not stored */
        rows[r] = weight_row(&a, first + r < a.n ? first + r : a.n - 1);
        if (lane * COLUMNS < a.k) load_weights(rows[r], lane * COLUMNS, a.k, raw[r]);
    }
    grid_wait();
    for (int k = lane * COLUMNS; k < a.k; k += 32 * COLUMNS) {
        float w[P_ROWS][8];
        int next = k + 32 * COLUMNS;
#pragma unroll
        for (int r = 0; r < P_ROWS; r++) {
            weights_to_float(raw[r], w[r]);
            scale_groups(&a, first + r < a.n ? first + r : a.n - 1, k, w[r]);
            if (next < a.k) load_weights(rows[r], next, a.k, raw[r]);
        }
#pragma unroll
        for (int m = 0; m < P_M; m++) {
            u32 raw_x[X_WORDS];
            float x[8];
            load_x8(x_row(&a, m0 + m < a.n_rows ? m0 + m : a.n_rows - 1), k, a.k, raw_x);
            x_to_float(raw_x, x);
#pragma unroll
            for (int r = 0; r < P_ROWS; r++) {
#pragma unroll
                for (int i = 0; i < 8; i++)
                    sums[r][m] = fmaf(w[r][i], x[i], sums[r][m]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < P_ROWS; r++) {
#pragma unroll
        for (int m = 0; m < P_M; m++) {
            float sum = warp_sum(sums[r][m]);
            if (lane == (r * P_M + m) % 32 && first + r < a.n && m0 + m < a.n_rows)
                store_result(&a, m0 + m, first + r, sum);
        }
    }
}
