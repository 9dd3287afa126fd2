/* embedding.cu - rows of the table as the residual stream, and what a first norm wants of them.
 *
 * Shapes   tokens [T]; table [V, C], dense rows; scales [1], [V] or [V, groups] float32; x [T, C]
 *          float32.  P_PARTS: y16 [T, C] bf16 = x * w (w bf16 [C]), dense; parts [P_PARTS,
 *          P_NORM_STRIDE]: sums of squares, as linear_stream's P_NORM_OUT leaves them: the sum is in
 *          part 0, the others are 0
 * Math     exact, but for the product with a scale and y16's rounding
 * Grid     (T), block P_THREADS
 * Defines  P_COLUMNS = C, P_THREADS, P_VECTOR, P_TABLE type of elements, P_SCALED, P_PARTS (0: no norm
 *          follows), P_NORM_STRIDE                              from kernels/cuda/embedding.c
 * Needs    C % P_VECTOR == 0; P_PARTS: T <= P_NORM_STRIDE.  Tokens without a row give zeros
 * Bound    memory, (4 + table's bytes) T C */
#include "elements.cuh"

typedef struct embedding_arguments {
    const int *tokens;
    const u8 *table;
    const float *scales;
    u8 *x;
    const u16 *w;
    u16 *y16;
    float *parts;
    i64 table_stride, x_stride;         /* bytes */
    i64 scale_stride;                   /* floats a row of the table */
    int first, n_rows, columns_a_scale; /* the table has tokens [first, first + n_rows) */
} embedding_arguments;

/* What the first norm gets of a row: its sum of squares. */
DEVICE void write_parts(const embedding_arguments *a, float sum) {
    __shared__ float warp_sums[P_THREADS / 32];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads(); /* sums of all warps */
    sum = 0.0f;
    for (int i = 0; i < P_THREADS / 32; i++)
        sum += warp_sums[i];
    for (int p = threadIdx.x; p < P_PARTS; p += P_THREADS)
        a->parts[p * P_NORM_STRIDE + blockIdx.x] = p == 0 ? sum : 0.0f;
}

extern "C" __global__ void __launch_bounds__(P_THREADS) embedding(
    const __grid_constant__ embedding_arguments a) {
    grid_launch_dependents();
    grid_wait();
    i64 row = blockIdx.x;
    int token = a.tokens[row], at = token - a.first;
    bool is_there = token >= 0 && at >= 0 && at < a.n_rows;
    float sum = 0.0f;
#pragma unroll 4
    for (int c = threadIdx.x * P_VECTOR; c < P_COLUMNS; c += P_THREADS * P_VECTOR) {
        float v[P_VECTOR] = {0.0f}, w[P_VECTOR];
        if (is_there) {
            load_elements(v, a.table + at * a.table_stride, c, P_TABLE, P_VECTOR);
            for (int j = 0; P_SCALED && j < P_VECTOR; j++)
                v[j] *= a.scales[at * a.scale_stride + (c + j) / a.columns_a_scale];
        }
        store_elements(a.x + row * a.x_stride, c, v, ELEMENT_F32, P_VECTOR);
        if (!P_PARTS) continue;
        load_elements(w, a.w, c, ELEMENT_BF16, P_VECTOR);
        for (int j = 0; j < P_VECTOR; j++) {
            sum += v[j] * v[j];
            w[j] *= v[j];
        }
        store_elements(a.y16 + row * P_COLUMNS, c, w, ELEMENT_BF16, P_VECTOR);
    }
    if (P_PARTS) write_parts(&a, sum);
}
