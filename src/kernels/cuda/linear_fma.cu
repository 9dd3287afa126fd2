/* linear_fma.cu - y [T, N] = x [T, K] w^T in float32, for many rows.
 *
 * Shapes   w [N, K] of any dtype of linear.cuh, row-major; x [T, K] float32 or bf16; y [T, N] float32
 *          or bf16; scales, bias [N], r [T, N] float32
 * Math     sums float32, one chain of fused multiply-adds in the order of K; weights of groups times
 *          their scale first; y = sum * scale + bias + r, rounded once.  The order depends on K alone
 * Grid     (ceil(N / 64), ceil(T / 64)), block 128: 8 tokens by 4 results a thread.  Two stages of 16
 *          columns in shared memory, columns first
 * Defines  P_W, P_W_ALIGNED, P_X_BF16, P_ROUND, P_SCALES, P_BF16_OUT    from kernels/cuda/linear_plain.c
 * Needs    rows of x allow vectors of 4 elements; P_W_ALIGNED: K % 8 == 0
 * Bound    float32 units, 2 T N K */
#include "linear.cuh"

#define TILE 64
#define DEPTH 16
#define THREADS 128
#define STRIDE (TILE + 4)
#define OWN_M 8
#define OWN_N 4

static_assert(TILE * DEPTH / 8 == THREADS, "a thread loads eight columns of each side");

typedef struct stage {
    float x[DEPTH][STRIDE], w[DEPTH][STRIDE];
} stage;

DEVICE void store_stage(const plain_arguments *a, stage *s, int n, int k, const u32 raw_w[W_WORDS],
    const u32 raw_x[X_WORDS]) {
    int row = threadIdx.x % TILE, column = threadIdx.x / TILE * 8;
    float w[8], x[8];
    weights_to_float(raw_w, w);
    if (k < a->k) scale_groups(a, n, k, w);
    x_to_float(raw_x, x);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        s->w[column + i][row] = w[i];
        s->x[column + i][row] = x[i];
    }
}

/* Past the end: zeros on both sides, since what memory holds there may be no number. */
DEVICE void load_stage(const plain_arguments *a, int m, int n, int k, u32 raw_w[W_WORDS],
    u32 raw_x[X_WORDS]) {
    if (k < a->k) {
        load_weights(weight_row(a, n), k, a->k, raw_w);
        load_x8(x_row(a, m), k, a->k, raw_x);
        return;
    }
#pragma unroll
    for (int i = 0; i < W_WORDS; i++)
        raw_w[i] = 0;
#pragma unroll
    for (int i = 0; i < X_WORDS; i++)
        raw_x[i] = 0;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    linear_fma(const __grid_constant__ plain_arguments a) {
    __shared__ __align__(16) stage stages[2];
    int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    int row = threadIdx.x % TILE, column = threadIdx.x / TILE * 8;
    /* rows past the end: the last one, not stored */
    int m_load = m0 + row < a.n_rows ? m0 + row : a.n_rows - 1;
    int n_load = n0 + row < a.n ? n0 + row : a.n - 1;
    int own_m = threadIdx.x / 16 * OWN_M, own_n = threadIdx.x % 16 * OWN_N;
    u32 raw_w[W_WORDS], raw_x[X_WORDS];
    float sums[OWN_M][OWN_N] = {};
    grid_launch_dependents();
    grid_wait();
    load_stage(&a, m_load, n_load, column, raw_w, raw_x);
    store_stage(&a, &stages[0], n_load, column, raw_w, raw_x);
    for (int k = 0, at = 0; k < a.k; k += DEPTH, at ^= 1) {
        bool more = k + DEPTH < a.k;
        const stage *s = &stages[at];
        __syncthreads(); /* this stage is written, and the other one read */
        if (more) load_stage(&a, m_load, n_load, k + DEPTH + column, raw_w, raw_x);
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            float4 x0 = *(const float4 *)&s->x[i][own_m], x1 = *(const float4 *)&s->x[i][own_m + 4];
            float4 w = *(const float4 *)&s->w[i][own_n];
            float xs[OWN_M] = {x0.x, x0.y, x0.z, x0.w, x1.x, x1.y, x1.z, x1.w};
            float ws[OWN_N] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int m = 0; m < OWN_M; m++) {
#pragma unroll
                for (int n = 0; n < OWN_N; n++)
                    sums[m][n] = fmaf(xs[m], ws[n], sums[m][n]);
            }
        }
        if (more) store_stage(&a, &stages[at ^ 1], n_load, k + DEPTH + column, raw_w, raw_x);
    }
#pragma unroll
    for (int m = 0; m < OWN_M; m++) {
#pragma unroll
        for (int n = 0; n < OWN_N; n++) {
            if (m0 + own_m + m < a.n_rows && n0 + own_n + n < a.n)
                store_result(&a, m0 + own_m + m, n0 + own_n + n, sums[m][n]);
        }
    }
}
