/* linear_enter.cu - x as bf16 in rows that tensor maps and cuBLASLt take.
 *
 * Shapes   x [T, K] float32 or bf16, rows allow vectors of 4 elements; y [T, K] bf16, dense to the
 *          next multiple of 8
 * Math     one rounding
 * Grid     (ceil(K / 1024), T), block 256
 * Defines  P_X_BF16                             from kernels/cuda/linear_product.c
 * Needs    K % 4 == 0
 * Bound    memory, T K (2 + 2 or 4) bytes */
#include "ptx.cuh"

typedef struct enter_arguments {
    const void *x;
    u16 *y;
    i64 x_stride, y_stride; /* elements */
    int k;
} enter_arguments;

extern "C" __global__ void __launch_bounds__(256)
    linear_enter(const __grid_constant__ enter_arguments a) {
    int k = (blockIdx.x * 256 + threadIdx.x) * 4;
    i64 m = blockIdx.y;
    grid_launch_dependents();
    grid_wait();
    if (k >= a.k) return;
    uint2 pairs;
    if (P_X_BF16) {
        pairs = *(const uint2 *)((const u16 *)a.x + m * a.x_stride + k);
    } else {
        float4 v = *(const float4 *)((const float *)a.x + m * a.x_stride + k);
        pairs = make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
    }
    *(uint2 *)(a.y + m * a.y_stride + k) = pairs;
}
