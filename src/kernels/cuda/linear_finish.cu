/* linear_finish.cu - what a matrix product leaves to do: y = sum + bias + r, or gate(sum) * sum'.
 *
 * Shapes   sums [T, W] float32 dense; y [T, N] float32 or bf16; bias [W], r [T, N] float32; W = N,
 *          gated: 2N, the gate's columns first
 * Math     float32, one rounding, at the store
 * Grid     (ceil(N / 256), T), block 256
 * Defines  P_GATE (linear.cuh), P_BF16_OUT      from kernels/cuda/linear_product.c
 * Bound    memory, T (4 W + 2 or 4 N) bytes */
#include "linear.cuh"

typedef struct finish_arguments {
    const float *sums, *bias, *r; /* bias, r: or NULL */
    void *y;
    i64 sums_stride, y_stride, r_stride; /* elements */
    int n;
} finish_arguments;

extern "C" __global__ void __launch_bounds__(256)
    linear_finish(const __grid_constant__ finish_arguments a) {
    int n = blockIdx.x * 256 + threadIdx.x;
    i64 m = blockIdx.y;
    grid_launch_dependents();
    grid_wait();
    if (n >= a.n) return;
    float sum = a.sums[m * a.sums_stride + n];
    if (a.bias) sum += a.bias[n];
    if (P_GATE != GATE_NONE) {
        float up = a.sums[m * a.sums_stride + a.n + n];
        if (a.bias) up += a.bias[a.n + n];
        sum = gate_of(P_GATE, sum) * up;
    }
    if (a.r) sum += a.r[m * a.r_stride + n];
    if (P_BF16_OUT)
        ((u16 *)a.y)[m * a.y_stride + n] = (u16)pack_bf16(sum, sum);
    else
        ((float *)a.y)[m * a.y_stride + n] = sum;
}
