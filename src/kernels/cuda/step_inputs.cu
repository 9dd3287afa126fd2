/* step_inputs.cu - arrays of the step to where operands of launches point.
 *
 * Shapes   step: the bytes of a tri_step, in its header at `offset` where an array of n int32 begins;
 *          sampled: [R] what the step before sampled, for tokens that name its row r as -2 - r
 * Grid     (ceil(the largest n / P_THREADS), P_ARRAYS), block P_THREADS: an array a row of blocks
 * Defines  P_ARRAYS, P_THREADS                              from kernels/step_inputs.c
 * Bound    latency, 8 bytes an element */
#include "ptx.cuh"

typedef struct step_inputs_arguments {
    const u8 *step;
    const int *sampled; /* tokens of the step before, or NULL */
    int *to[P_ARRAYS];
    int offsets[P_ARRAYS], n[P_ARRAYS];
} step_inputs_arguments;

extern "C" __global__ void __launch_bounds__(P_THREADS) step_inputs(
    const __grid_constant__ step_inputs_arguments a) {
    grid_launch_dependents();
    grid_wait();
    int array = blockIdx.y, i = blockIdx.x * P_THREADS + threadIdx.x;
    if (i >= a.n[array]) return;
    u32 at = *(const u32 *)(a.step + a.offsets[array]);
    int x = ((const int *)(a.step + at))[i];
    if (x < -1 && a.sampled) x = a.sampled[-2 - x]; /* base/step.h: only tokens are negative */
    a.to[array][i] = x;
}
