/* rows_body.h - the loops of rows.h; included once for each instruction set, which defines
 * TRI_ROWS_FUNCTIONS. */
#include <math.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec_math.h"

typedef float lanes8 __attribute__((vector_size(32)));

/* Sum of squares over 16 lanes: lane j takes elements j, j + 16 ...; then pairs of lanes. */
static float sum_of_squares(const float *x, int64_t n) {
    lanes8 a = {0}, b = {0}, va, vb;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        memcpy(&va, x + i, sizeof va);
        memcpy(&vb, x + i + 8, sizeof vb);
        a += va * va;
        b += vb * vb;
    }
    float lanes[16];
    memcpy(lanes, &a, sizeof a);
    memcpy(lanes + 8, &b, sizeof b);
    for (int64_t j = 0; i + j < n; j++)
        lanes[j] += x[i + j] * x[i + j];
    for (int32_t width = 8; width > 0; width /= 2) {
        for (int32_t j = 0; j < width; j++)
            lanes[j] += lanes[j + width];
    }
    return lanes[0];
}

static void rms_norm_row(
    const float *x, const float *w, float *y, int64_t n, int64_t stretch, float eps) {
    for (int64_t at = 0; at < n; at += stretch) {
        float mean = sum_of_squares(x + at, stretch) / (float)stretch;
        float scale = 1.0f / sqrtf(mean + eps);
        for (int64_t i = 0; i < stretch; i++)
            y[at + i] = x[at + i] * scale * w[i];
    }
}

static void add_row(const float *a, const float *b, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void mul_row(const float *a, const float *b, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void affine_row(const float *x, float *y, int64_t n, float factor, float offset) {
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * factor + offset;
}

static void softcap_row(const float *x, float *y, int64_t n, float cap) {
    for (int64_t i = 0; i < n; i++)
        y[i] = cap * tri_tanhf(x[i] / cap);
}

#define DEFINE_ACTIVATION(kind)                                                                    \
    static void kind##_row(const float *x, float *y, int64_t n) {                                  \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = tri_##kind(x[i]);                                                               \
    }                                                                                              \
    static void kind##_gate_row(const float *x, const float *up, float *y, int64_t n) {            \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = tri_##kind(x[i]) * up[i];                                                       \
    }
DEFINE_ACTIVATION(silu)
DEFINE_ACTIVATION(gelu)
DEFINE_ACTIVATION(gelu_tanh)
DEFINE_ACTIVATION(relu)
#undef DEFINE_ACTIVATION

const tri_rows_functions TRI_ROWS_FUNCTIONS = {
    .rms_norm = rms_norm_row,
    .add = add_row,
    .mul = mul_row,
    .affine = affine_row,
    .softcap = softcap_row,
    .activate = {silu_row, gelu_row, gelu_tanh_row, relu_row},
    .gate = {silu_gate_row, gelu_gate_row, gelu_tanh_gate_row, relu_gate_row},
};
