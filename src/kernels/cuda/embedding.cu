/* embedding.cu - rows of the table as the residual stream, and what the first norm wants of them.
 *
 * Shapes   tokens [T], table [V, C] bf16; x [T, C] float32; y16 [T, C] bf16 = x * w (w bf16 [C]);
 *          parts [P_PARTS, P_NORM_STRIDE]: sums of squares, as linear_stream's P_NORM_OUT leaves them:
 *          the sum is in part 0, the others are 0
 * Grid     (T), block P_THREADS
 * Defines  P_COLUMNS = C, P_THREADS, P_PARTS, P_NORM_STRIDE, P_VOCAB; tokens outside [0, P_VOCAB)
 *          give zero rows                                       from kernels/cuda/embedding.c
 * Needs    C % 2 == 0, T <= P_NORM_STRIDE
 * Bound    memory, 8 T C bytes */
#include "ptx.cuh"

typedef struct embedding_arguments {
    const int *tokens;
    const u32 *table;
    const u32 *w;
    float *x;
    u32 *y16;
    float *parts;
} embedding_arguments;

extern "C" __global__ void __launch_bounds__(P_THREADS) embedding(
    const __grid_constant__ embedding_arguments a) {
    __shared__ float warp_sums[P_THREADS / 32];
    grid_launch_dependents();
    grid_wait();
    int row = blockIdx.x, token = a.tokens[row];
    const u32 *from = a.table + (i64)token * (P_COLUMNS / 2);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < P_COLUMNS / 2; i += P_THREADS) {
        u32 pair = token >= 0 && token < P_VOCAB ? from[i] : 0;
        float lo = bf16_low(pair), hi = bf16_high(pair);
        i64 at = (i64)row * (P_COLUMNS / 2) + i;
        ((float2 *)a.x)[at] = make_float2(lo, hi);
        a.y16[at] = pack_bf16(lo * bf16_low(a.w[i]), hi * bf16_high(a.w[i]));
        sum += lo * lo + hi * hi;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads(); /* sums of all warps */
    sum = 0.0f;
    for (int i = 0; i < P_THREADS / 32; i++)
        sum += warp_sums[i];
    for (int p = threadIdx.x; p < P_PARTS; p += P_THREADS)
        a.parts[p * P_NORM_STRIDE + row] = p == 0 ? sum : 0.0f;
}
