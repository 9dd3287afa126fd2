/* rms_norm.cu - y = x / rms(x) * w row by row; residual: x += r first, and x is written back.
 *
 * Shapes   x, r [T, C] float32, y [T, C] bf16, w [C] float32; rows 16-byte aligned
 * Math     sum of squares in float32, over threads, then over warps; one rounding, at the store
 * Grid     (T), block P_THREADS
 * Defines  P_COLUMNS = C, P_THREADS, P_RESIDUAL      from kernels/cuda/rows.c
 * Needs    C % 4 == 0
 * Bound    memory, (6 + 8 P_RESIDUAL) T C bytes */
#include "ptx.cuh"

#define VECTORS (P_COLUMNS / 4)
#define PER_THREAD ((VECTORS + P_THREADS - 1) / P_THREADS)

static_assert(P_COLUMNS % 4 == 0 && P_THREADS % 32 == 0, "whole vectors and warps");

typedef struct norm_arguments {
    float *x;
    const float *r, *w;
    u16 *y;
    i64 x_stride, r_stride, y_stride; /* elements */
    float eps;
} norm_arguments;

extern "C" __global__ void __launch_bounds__(P_THREADS) rms_norm(
    const __grid_constant__ norm_arguments a) {
    __shared__ float warp_sums[P_THREADS / 32];
    grid_launch_dependents();
    grid_wait();
    float4 *x = (float4 *)(a.x + blockIdx.x * a.x_stride);
    const float4 *r = (const float4 *)(a.r + blockIdx.x * a.r_stride);
    uint2 *y = (uint2 *)(a.y + blockIdx.x * a.y_stride);
    float4 v[PER_THREAD];
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int k = i * P_THREADS + threadIdx.x;
        if (k >= VECTORS) break;
        v[i] = x[k];
        if (P_RESIDUAL) {
            float4 more = r[k];
            v[i] = make_float4(v[i].x + more.x, v[i].y + more.y, v[i].z + more.z, v[i].w + more.w);
            x[k] = v[i];
        }
        sum += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads(); /* sums of all warps */
    sum = 0.0f;
    for (int i = 0; i < P_THREADS / 32; i++)
        sum += warp_sums[i];
    float scale = rsqrtf(sum / P_COLUMNS + a.eps);
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int k = i * P_THREADS + threadIdx.x;
        if (k >= VECTORS) break;
        float4 w = ((const float4 *)a.w)[k];
        y[k] = make_uint2(pack_bf16(v[i].x * scale * w.x, v[i].y * scale * w.y),
            pack_bf16(v[i].z * scale * w.z, v[i].w * scale * w.w));
    }
}
