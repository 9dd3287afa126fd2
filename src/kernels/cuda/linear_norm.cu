/* linear_norm.cu - what linear_norm leaves of sums that another program made: y = sum / rms(sum) * w,
 * and parts that give an rms of 1.
 *
 * Shapes   sums [T, N] float32, y [T, N] bf16, w [N] float32, parts [T, P] float32
 * Math     squares float32, over threads, then over warps; one rounding, at the store
 * Grid     (T), block P_THREADS
 * Defines  P_THREADS                            from kernels/cuda/linear_product.c
 * Bound    memory, 6 T N bytes (the second reading of a row is from L1) */
#include "ptx.cuh"

typedef struct norm_arguments {
    const float *sums, *w;
    u16 *y;
    float *parts;
    i64 sums_stride, y_stride, parts_stride; /* elements */
    int n, n_parts;
    float eps;
} norm_arguments;

extern "C" __global__ void __launch_bounds__(P_THREADS)
    linear_norm(const __grid_constant__ norm_arguments a) {
    __shared__ float warp_sums[P_THREADS / 32];
    grid_launch_dependents();
    grid_wait();
    const float *row = a.sums + blockIdx.x * a.sums_stride;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < a.n; i += P_THREADS)
        sum += row[i] * row[i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads(); /* sums of all warps */
    sum = 0.0f;
    for (int i = 0; i < P_THREADS / 32; i++)
        sum += warp_sums[i];
    float scale = rsqrtf(sum / a.n + a.eps);
    for (int i = threadIdx.x; i < a.n; i += P_THREADS) {
        float y = row[i] * scale * a.w[i];
        a.y[blockIdx.x * a.y_stride + i] = (u16)pack_bf16(y, y);
    }
    /* squares of which n has the mean 1 - eps */
    for (int i = threadIdx.x; i < a.n_parts; i += P_THREADS)
        a.parts[blockIdx.x * a.parts_stride + i] = i == 0 ? a.n * (1.0f - a.eps) : 0.0f;
}
