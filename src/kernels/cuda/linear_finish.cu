/* linear_finish.cu - what a matrix product leaves to do: y = sum * scale + bias + r, or
 * gate(sum ...) * (sum' ...).
 *
 * Shapes   sums [T, W] float32; y [T, N] float32 or bf16; scales, bias [W], r [T, N] float32; W = N,
 *          gated: 2N, the gate's columns first
 * Math     float32, one rounding, at the store
 * Grid     (ceil(N / (P_VECTOR * 256)), T), block 256: P_VECTOR results a thread
 * Defines  P_GATE (linear.cuh), P_BF16_OUT, P_VECTOR 1 or 4      from kernels/cuda/linear_plain.c
 * Needs    N and sums_stride multiples of P_VECTOR, rows aligned to as many elements
 * Bound    memory, T (4 W + 2 or 4 N) bytes */
#include "linear.cuh"

typedef struct finish_arguments {
    const float *sums, *scales, *bias, *r; /* but sums: or NULL */
    void *y;
    i64 sums_stride, y_stride, r_stride; /* elements */
    int n, scale_step;
} finish_arguments;

DEVICE void load_vector(const float *from, float v[P_VECTOR]) {
#if P_VECTOR == 4
    float4 four = *(const float4 *)from;
    v[0] = four.x;
    v[1] = four.y;
    v[2] = four.z;
    v[3] = four.w;
#else
    v[0] = *from;
#endif
}

/* Sums of row m from column n of W, times scale, plus bias. */
DEVICE void load_sums(const finish_arguments *a, i64 m, int n, float v[P_VECTOR]) {
    load_vector(a->sums + m * a->sums_stride + n, v);
    float bias[P_VECTOR] = {};
    if (a->bias) load_vector(a->bias + n, bias);
#pragma unroll
    for (int i = 0; i < P_VECTOR; i++) {
        if (a->scales) v[i] *= a->scales[(n + i) * a->scale_step];
        v[i] += bias[i];
    }
}

extern "C" __global__ void __launch_bounds__(256)
    linear_finish(const __grid_constant__ finish_arguments a) {
    int n = (blockIdx.x * 256 + threadIdx.x) * P_VECTOR;
    i64 m = blockIdx.y;
    float v[P_VECTOR], up[P_VECTOR], r[P_VECTOR] = {};
    grid_launch_dependents();
    grid_wait();
    if (n >= a.n) return;
    load_sums(&a, m, n, v);
    if (P_GATE != GATE_NONE) load_sums(&a, m, a.n + n, up);
    if (a.r) load_vector(a.r + m * a.r_stride + n, r);
#pragma unroll
    for (int i = 0; i < P_VECTOR; i++) {
        if (P_GATE != GATE_NONE) v[i] = gate_of(P_GATE, v[i]) * up[i];
        v[i] += r[i];
    }
    i64 at = m * a.y_stride + n;
#if P_VECTOR == 4
    if (P_BF16_OUT)
        *(uint2 *)((u16 *)a.y + at) = make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
    else
        *(float4 *)((float *)a.y + at) = make_float4(v[0], v[1], v[2], v[3]);
#else
    if (P_BF16_OUT)
        ((u16 *)a.y)[at] = (u16)pack_bf16(v[0], v[0]);
    else
        ((float *)a.y)[at] = v[0];
#endif
}
