/* rms_norm.cu - y = x / rms(x) * w by stretches of w's length; residual: sum = x + r comes first.
 *
 * Shapes   x, r, sum [T, C], y [T, C], w [n]; C a multiple of n; row strides in bytes
 * Math     the sum of squares in float32: a thread's elements in order, threads by halving within a
 *          warp, warps in order; n and the block's shape fix it.  One rounding a result; the norm is
 *          of the sum before its rounding
 * Grid     stretches in row order, P_GROUPS a block, P_GROUP threads each
 * Defines  P_COLUMNS = C, P_STRETCH = n, P_GROUP, P_GROUPS, P_VECTOR elements at a time, P_X (r and
 *          sum too), P_W, P_Y types of elements, P_RESIDUAL           from kernels/cuda/norm.c
 * Needs    n % P_VECTOR == 0, x may be sum or y; more than a warp a stretch: one stretch a block
 * Bound    memory: x, r, sum, y once each */
#include "elements.cuh"

#define STRETCHES (P_COLUMNS / P_STRETCH)
#define VECTORS (P_STRETCH / P_VECTOR)
#define PER_THREAD ((VECTORS + P_GROUP - 1) / P_GROUP)
#define WARPS (P_GROUP / 32)
/* Weights are read before the wait where there are registers for them. */
#define EARLY (PER_THREAD * P_VECTOR <= 16)

static_assert(P_STRETCH % P_VECTOR == 0 && P_COLUMNS % P_STRETCH == 0, "whole vectors, stretches");
static_assert(P_GROUP % 32 == 0 && (P_GROUP == 32 || P_GROUPS == 1), "whole warps");

typedef struct norm_arguments {
    const u8 *x, *r, *w;
    u8 *sum, *y;
    i64 x_stride, r_stride, sum_stride, y_stride; /* bytes */
    u32 n_stretches;                              /* of all rows */
    float eps;
} norm_arguments;

/* Over the group's threads. */
DEVICE float group_sum(float sum) {
    sum = warp_sum(sum);
    if (WARPS == 1) return sum;
    __shared__ float warp_sums[WARPS];
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads(); /* sums of all warps */
    sum = 0.0f;
    for (int i = 0; i < WARPS; i++)
        sum += warp_sums[i];
    return sum;
}

extern "C" __global__ void __launch_bounds__(P_GROUP *P_GROUPS) rms_norm(
    const __grid_constant__ norm_arguments a) {
    int lane = threadIdx.x % P_GROUP;
    float v[PER_THREAD][P_VECTOR], w[PER_THREAD][P_VECTOR], r[P_VECTOR], sum = 0.0f;
    grid_launch_dependents();
#pragma unroll
    for (int i = 0; EARLY && i < PER_THREAD; i++) {
        int k = i * P_GROUP + lane;
        if (k < VECTORS) load_elements(w[i], a.w, (i64)k * P_VECTOR, P_W, P_VECTOR);
    }
    grid_wait();
    u32 item = blockIdx.x * P_GROUPS + threadIdx.x / P_GROUP;
    if (item >= a.n_stretches) return; /* a whole group */
    i64 row = item / STRETCHES;
    int first = item % STRETCHES * P_STRETCH;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int k = i * P_GROUP + lane;
        if (k >= VECTORS) break;
        i64 column = first + k * P_VECTOR;
        load_elements(v[i], a.x + row * a.x_stride, column, P_X, P_VECTOR);
        if (P_RESIDUAL) {
            load_elements(r, a.r + row * a.r_stride, column, P_X, P_VECTOR);
            for (int j = 0; j < P_VECTOR; j++)
                v[i][j] += r[j];
            store_elements(a.sum + row * a.sum_stride, column, v[i], P_X, P_VECTOR);
        }
        for (int j = 0; j < P_VECTOR; j++)
            sum += v[i][j] * v[i][j];
    }
    float scale = rsqrtf(group_sum(sum) / P_STRETCH + a.eps);
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int k = i * P_GROUP + lane;
        if (k >= VECTORS) break;
        if (!EARLY) load_elements(w[i], a.w, (i64)k * P_VECTOR, P_W, P_VECTOR);
        for (int j = 0; j < P_VECTOR; j++)
            v[i][j] *= scale * w[i][j];
        store_elements(a.y + row * a.y_stride, first + k * P_VECTOR, v[i], P_Y, P_VECTOR);
    }
}
