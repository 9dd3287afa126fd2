/* elementwise.cu - y = f(a, b) element by element: sums, products, activations; and rows chosen.
 *
 * Shapes   a, b, y [rows, C], row strides in bytes; gated_activation: b is a's second half; select_rows:
 *          row i of y is row rows[i] of a
 * Math     float32, exp, erf and tanh to 2 ulp; one rounding to y's type
 * Grid     units of P_VECTOR elements in row order, P_PER a thread, block P_THREADS
 * Defines  P_OP, P_KIND of activation, P_VECTOR, P_A, P_B, P_Y types of elements, P_PER,
 *          P_THREADS                                            from kernels/cuda/elementwise.c
 * Needs    C % P_VECTOR == 0; y may be a or b
 * Bound    memory: a, b, y once each */
#include "elements.cuh"

#define OP_ADD 0
#define OP_MUL 1
#define OP_AFFINE 2
#define OP_SOFTCAP 3
#define OP_ACTIVATION 4
#define OP_GATED 5
#define OP_SELECT 6
#define BINARY (P_OP == OP_ADD || P_OP == OP_MUL || P_OP == OP_GATED)

#define SILU 0
#define GELU 1
#define GELU_TANH 2
#define RELU 3

typedef struct elementwise_arguments {
    const u8 *a, *b;
    u8 *y;
    const int *rows;
    i64 a_stride, b_stride, y_stride; /* bytes */
    u32 row_units, n_units;           /* of a row, of all */
    float p, q;                       /* factor and offset; cap */
} elementwise_arguments;

DEVICE float activate(float x) {
    if (P_KIND == SILU) return x / (1.0f + expf(-x));
    if (P_KIND == GELU) return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    if (P_KIND == GELU_TANH) {
        float inner = 0.79788456080286536f * (x + 0.044715f * x * x * x);
        return 0.5f * x * (1.0f + tanhf(inner));
    }
    return x > 0.0f || x != x ? x : 0.0f; /* NaN stays NaN */
}

DEVICE float element(const elementwise_arguments *e, float a, float b) {
    if (P_OP == OP_ADD) return a + b;
    if (P_OP == OP_MUL) return a * b;
    if (P_OP == OP_AFFINE) return a * e->p + e->q;
    if (P_OP == OP_SOFTCAP) return e->p * tanhf(a / e->p);
    if (P_OP == OP_ACTIVATION) return activate(a);
    if (P_OP == OP_GATED) return activate(a) * b;
    return a;
}

extern "C" __global__ void __launch_bounds__(P_THREADS) elementwise(
    const __grid_constant__ elementwise_arguments e) {
    float a[P_PER][P_VECTOR], b[P_PER][P_VECTOR];
    u32 first = blockIdx.x * (P_THREADS * P_PER) + threadIdx.x;
    grid_launch_dependents();
    grid_wait();
#pragma unroll
    for (int i = 0; i < P_PER; i++) {
        u32 unit = first + i * P_THREADS;
        if (unit >= e.n_units) break;
        i64 row = unit / e.row_units, column = (i64)(unit % e.row_units) * P_VECTOR;
        i64 from = P_OP == OP_SELECT ? e.rows[row] : row;
        load_elements(a[i], e.a + from * e.a_stride, column, P_A, P_VECTOR);
        if (BINARY) load_elements(b[i], e.b + row * e.b_stride, column, P_B, P_VECTOR);
    }
#pragma unroll
    for (int i = 0; i < P_PER; i++) {
        u32 unit = first + i * P_THREADS;
        if (unit >= e.n_units) break;
        i64 row = unit / e.row_units, column = (i64)(unit % e.row_units) * P_VECTOR;
        for (int j = 0; j < P_VECTOR; j++)
            a[i][j] = element(&e, a[i][j], BINARY ? b[i][j] : 0.0f);
        store_elements(e.y + row * e.y_stride, column, a[i], P_Y, P_VECTOR);
    }
}
