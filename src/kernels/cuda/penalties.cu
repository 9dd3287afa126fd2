/* penalties.cu - tokens seen: logit / repetition when positive, * when not; then by the n times a
 * token is in the output, - frequency n - presence.
 *
 * Shapes   x, y [R, V] float32, rows 16-byte aligned, y may be x; counts, step as in sampling.cuh
 * Math     double where there is a count, one rounding
 * Grid     (pieces of P_THREADS * P_VECTORS vectors, R), block P_THREADS
 * Defines  P_THREADS, P_VECTORS a thread; sampling.cuh's     from kernels/cuda/sampling.c
 * Bound    memory, 10 V bytes a penalised row; others are copied, or left alone when y is x */
#include "sampling.cuh"

typedef struct penalties_arguments {
    const u8 *step;
    const float *x;
    float *y;
    i64 x_stride, y_stride; /* elements */
    count_slots counts;
} penalties_arguments;

extern "C" __global__ void __launch_bounds__(P_THREADS) penalties(
    const __grid_constant__ penalties_arguments a) {
    grid_launch_dependents();
    grid_wait();
    int row = blockIdx.y, first = blockIdx.x * P_THREADS * P_VECTORS + threadIdx.x;
    const step_sampling *p = sampling_of(a.step, row);
    const float *x = a.x + row * a.x_stride;
    float *y = a.y + row * a.y_stride;
    bool penalised = is_penalised(p);
    if (!penalised && x == y) return;
    const u8 *counts = penalised ? counts_of(&a.counts, p) : 0;
    float4 v[P_VECTORS];
#pragma unroll
    for (int i = 0; i < P_VECTORS; i++) {
        int at = first + i * P_THREADS;
        if (at < VECTORS) v[i] = ((const float4 *)x)[at];
    }
#pragma unroll
    for (int i = 0; i < P_VECTORS; i++) {
        int at = first + i * P_THREADS;
        if (at >= VECTORS) break;
        store_vector(y, at, counts ? penalise_vector(v[i], load_counts(counts, at), p) : v[i]);
    }
}
