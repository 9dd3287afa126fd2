/* linear.cuh - what linear's kernels share: the gate, and eight weights or eight x at a time.
 *
 * P_W       dtype of w, one of W_*; P_W_ALIGNED: K % 8 == 0, so that rows of w allow vectors
 * P_X_BF16  x is bf16, else float32; P_ROUND: float32 x enters rounded to bf16
 * The second half is for files that define P_W. */
#ifndef LINEAR_CUH
#define LINEAR_CUH

#include "ptx.cuh"

/* ---- gates: as kernels/cuda/linear.h numbers them ---- */

#define GATE_NONE 0
#define GATE_SILU 1
#define GATE_GELU 2
#define GATE_GELU_TANH 3
#define GATE_RELU 4

DEVICE float gate_of(int kind, float x) {
    if (kind == GATE_SILU) return x / (1.0f + __expf(-x));
    if (kind == GATE_GELU) return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    if (kind == GATE_GELU_TANH)
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    return x > 0.0f ? x : 0.0f;
}

#ifdef P_W

#    define W_F32 0
#    define W_BF16 1
#    define W_F16 2
#    define W_E4M3 3
#    define W_I8 4
#    define W_I4 5
/* 32-bit words that hold eight weights */
#    define W_WORDS (P_W == W_F32 ? 8 : P_W <= W_F16 ? 4 : P_W == W_I4 ? 1 : 2)
#    define X_WORDS (P_X_BF16 ? 4 : 8)

/* ---- weights ---- */

/* Eight weights of a row from column k, a multiple of 8 below n_columns; zeros past the end. */
DEVICE void load_weights(const u8 *row, int k, int n_columns, u32 raw[W_WORDS]) {
#    if P_W_ALIGNED
    const u8 *at = row + (i64)k * (W_WORDS * 4) / 8;
#        if P_W <= W_F16
#            pragma unroll
    for (int i = 0; i < W_WORDS; i += 4) {
        uint4 v = load_global_16(at + i * 4);
        raw[i] = v.x;
        raw[i + 1] = v.y;
        raw[i + 2] = v.z;
        raw[i + 3] = v.w;
    }
#        elif P_W == W_I4
    raw[0] = __ldg((const u32 *)at);
#        else
    uint2 v = __ldg((const uint2 *)at);
    raw[0] = v.x;
    raw[1] = v.y;
#        endif
#    else
#        pragma unroll
    for (int i = 0; i < W_WORDS; i++)
        raw[i] = 0;
#        pragma unroll
    for (int i = 0; i < 8; i++) {
        if (k + i >= n_columns) break;
#        if P_W == W_F32
        raw[i] = ((const u32 *)row)[k + i];
#        elif P_W <= W_F16
        raw[i / 2] |= (u32)((const u16 *)row)[k + i] << i % 2 * 16;
#        elif P_W == W_I4
        if (i % 2 == 0) raw[0] |= (u32)row[(k + i) / 2] << i * 4;
#        else
        raw[i / 4] |= (u32)row[k + i] << i % 4 * 8;
#        endif
    }
#    endif
}

/* Pairs of bf16; lo: what f16 has beyond bf16's eight bits, exactly (else unused). */
DEVICE void weights_to_bf16(const u32 raw[W_WORDS], u32 hi[4], u32 lo[4]) {
#    pragma unroll
    for (int i = 0; i < 4; i++) {
#    if P_W == W_BF16
        hi[i] = raw[i];
#    elif P_W == W_F16
        float a = f16_to_float((u16)raw[i]), b = f16_to_float((u16)(raw[i] >> 16));
        hi[i] = pack_bf16(a, b);
        lo[i] = pack_bf16(a - bf16_low(hi[i]), b - bf16_high(hi[i]));
#    elif P_W == W_E4M3
        u32 even, odd;
        e4m3_to_bf16(raw[i / 2], &even, &odd);
        hi[i] = i % 2 ? __byte_perm(even, odd, 0x7632) : __byte_perm(even, odd, 0x5410);
#    elif P_W == W_I8
        int v = (int)raw[i / 2] >> i % 2 * 16;
        hi[i] = pack_bf16((float)(signed char)v, (float)(signed char)(v >> 8));
#    elif P_W == W_I4
        u32 v = raw[0] >> i * 8;
        hi[i] = pack_bf16((float)((int)(v & 15) ^ 8) - 8.0f, (float)((int)(v >> 4 & 15) ^ 8) - 8.0f);
#    endif
    }
}

DEVICE void weights_to_float(const u32 raw[W_WORDS], float w[8]) {
#    if P_W == W_F32
#        pragma unroll
    for (int i = 0; i < 8; i++)
        w[i] = __uint_as_float(raw[i]);
#    elif P_W == W_F16
#        pragma unroll
    for (int i = 0; i < 8; i++)
        w[i] = f16_to_float((u16)(raw[i / 2] >> i % 2 * 16));
#    else
    u32 pairs[4], none[4];
    weights_to_bf16(raw, pairs, none);
#        pragma unroll
    for (int i = 0; i < 4; i++) {
        w[2 * i] = bf16_low(pairs[i]);
        w[2 * i + 1] = bf16_high(pairs[i]);
    }
#    endif
}

/* ---- x ---- */

/* Eight of a row of x from column k, a multiple of 8; zeros past the end, whatever memory holds
 * there.  Rows allow vectors of four elements. */
DEVICE void load_x8(const void *row, int k, int n_columns, u32 raw[X_WORDS]) {
#    pragma unroll
    for (int half = 0; half < 2; half++) {
        int at = k + half * 4;
        if (P_W_ALIGNED || at + 4 <= n_columns) { /* aligned: no branch between loads */
#    if P_X_BF16
            uint2 v = *(const uint2 *)((const u16 *)row + at);
            raw[half * 2] = v.x;
            raw[half * 2 + 1] = v.y;
#    else
            uint4 v = *(const uint4 *)((const float *)row + at);
            raw[half * 4] = v.x;
            raw[half * 4 + 1] = v.y;
            raw[half * 4 + 2] = v.z;
            raw[half * 4 + 3] = v.w;
#    endif
            continue;
        }
#    pragma unroll
        for (int i = 0; i < 4; i++) {
#    if P_X_BF16
            u32 v = at + i < n_columns ? ((const u16 *)row)[at + i] : 0;
            raw[half * 2 + i / 2] = i % 2 ? raw[half * 2 + i / 2] | v << 16 : v;
#    else
            raw[half * 4 + i] = at + i < n_columns ? ((const u32 *)row)[at + i] : 0;
#    endif
        }
    }
}

DEVICE void x_to_bf16(const u32 raw[X_WORDS], u32 pairs[4]) {
#    pragma unroll
    for (int i = 0; i < 4; i++) {
#    if P_X_BF16
        pairs[i] = raw[i];
#    else
        pairs[i] = pack_bf16(__uint_as_float(raw[2 * i]), __uint_as_float(raw[2 * i + 1]));
#    endif
    }
}

DEVICE void x_to_float(const u32 raw[X_WORDS], float x[8]) {
#    if P_X_BF16 || P_ROUND
    u32 pairs[4];
    x_to_bf16(raw, pairs);
#        pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] = bf16_low(pairs[i]);
        x[2 * i + 1] = bf16_high(pairs[i]);
    }
#    else
#        pragma unroll
    for (int i = 0; i < 8; i++)
        x[i] = __uint_as_float(raw[i]);
#    endif
}

/* ---- one launch ---- */

#    define SCALES_NONE 0
#    define SCALES_ROWS 1   /* [N], or one for all */
#    define SCALES_GROUPS 2 /* [N, K / group] */

typedef struct plain_arguments {
    const u8 *w;
    const void *x;
    void *y;
    const float *bias, *r, *scales;         /* bias [N] or NULL, r [T, N] or NULL */
    i64 w_stride;                           /* bytes */
    i64 x_stride, y_stride, r_stride;       /* elements */
    int n_rows, n, k, group, scale_step;    /* scale_step: from one row's scales to the next */
} plain_arguments;

DEVICE const u8 *weight_row(const plain_arguments *a, int n) {
    return a->w + n * a->w_stride;
}
DEVICE const void *x_row(const plain_arguments *a, int m) {
    return (const u8 *)a->x + m * a->x_stride * (P_X_BF16 ? 2 : 4);
}

/* Weights of eight columns times their groups' scales. */
DEVICE void scale_groups(const plain_arguments *a, int n, int k, float w[8]) {
#    if P_SCALES == SCALES_GROUPS
    const float *scales = a->scales + (i64)n * a->scale_step;
    if (a->group % 8 == 0) {
        float scale = __ldg(scales + k / a->group);
#        pragma unroll
        for (int i = 0; i < 8; i++)
            w[i] *= scale;
        return;
    }
#        pragma unroll
    for (int i = 0; i < 8; i++)
        w[i] *= k + i < a->k ? __ldg(scales + (k + i) / a->group) : 0.0f;
#    endif
}

/* One result from its sum. */
DEVICE float finish_sum(const plain_arguments *a, int m, int n, float sum) {
    if (P_SCALES == SCALES_ROWS) sum *= __ldg(a->scales + n * a->scale_step);
    if (a->bias) sum += __ldg(a->bias + n);
    if (a->r) sum += a->r[m * a->r_stride + n];
    return sum;
}

DEVICE void store_result(const plain_arguments *a, int m, int n, float sum) {
    float y = finish_sum(a, m, n, sum);
    if (P_BF16_OUT)
        ((u16 *)a->y)[m * a->y_stride + n] = (u16)pack_bf16(y, y);
    else
        ((float *)a->y)[m * a->y_stride + n] = y;
}

#endif
#endif
