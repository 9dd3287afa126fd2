/* linear_decode.cu - rows of w as bf16, for a matrix product.
 *
 * Shapes   w [N, K] of a dtype that bf16 holds exactly (e4m3, i8, i4), row-major; y [N, K] bf16 dense
 * Math     exact
 * Grid     (ceil(K / 2048), N), block 256: eight weights a thread
 * Defines  P_W (linear.cuh)                     from kernels/cuda/linear_product.c
 * Needs    K % 8 == 0
 * Bound    memory, reading N K weights (what is written stays in L2 when it is little) */
#define P_W_ALIGNED 1
#define P_X_BF16 1
#define P_ROUND 1
#define P_SCALES 0
#define P_BF16_OUT 1
#include "linear.cuh"

typedef struct decode_arguments {
    const u8 *w;
    u16 *y;
    i64 w_stride; /* bytes */
    int k;
} decode_arguments;

extern "C" __global__ void __launch_bounds__(256)
    linear_decode(const __grid_constant__ decode_arguments a) {
    int k = (blockIdx.x * 256 + threadIdx.x) * 8;
    i64 n = blockIdx.y;
    u32 raw[W_WORDS], hi[4], lo[4];
    grid_launch_dependents();
    if (k < a.k) load_weights(a.w + n * a.w_stride, k, a.k, raw);
    grid_wait(); /* y may still be read */
    if (k >= a.k) return;
    weights_to_bf16(raw, hi, lo);
    *(uint4 *)(a.y + n * a.k + k) = make_uint4(hi[0], hi[1], hi[2], hi[3]);
}
