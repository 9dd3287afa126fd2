/* mask.cu - tokens whose bit is 0 get -infinity, in rows that have a mask.
 *
 * Shapes   x, y [R, V] float32, rows 16-byte aligned, y may be x; masks, step as in sampling.cuh
 * Grid     (pieces of P_THREADS * P_VECTORS vectors, R), block P_THREADS
 * Defines  P_THREADS, P_VECTORS a thread; sampling.cuh's     from kernels/cuda/sampling.c
 * Bound    memory, 8 V bytes a masked row; others are copied, or left alone when y is x */
#include "sampling.cuh"

typedef struct mask_arguments {
    const u8 *step;
    const float *x;
    float *y;
    i64 x_stride, y_stride; /* elements */
    mask_slots masks;
} mask_arguments;

extern "C" __global__ void __launch_bounds__(P_THREADS) mask(
    const __grid_constant__ mask_arguments a) {
    grid_launch_dependents();
    grid_wait();
    int row = blockIdx.y, first = blockIdx.x * P_THREADS * P_VECTORS + threadIdx.x;
    const step_sampling *p = sampling_of(a.step, row);
    const float *x = a.x + row * a.x_stride;
    float *y = a.y + row * a.y_stride;
    bool masked = p->mask_slot >= 0;
    if (!masked && x == y) return;
    const u32 *words = masked ? mask_of(&a.masks, p) : 0;
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
        store_vector(y, at, masked ? mask_vector(v[i], load_mask(words, at)) : v[i]);
    }
}
