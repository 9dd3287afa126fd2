/* vec_math.h - elementary functions that compilers vectorise, with the same bits in every variant:
 * no branches, no library calls, no fused operations.
 *
 * Coefficients: Cephes (S. Moshier), expf and tanhf. */
#ifndef TRI_KERNELS_CPU_VEC_MATH_H
#define TRI_KERNELS_CPU_VEC_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float tri_float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t tri_bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^x within 2 ulp; 0 below -87.33 (where the result would be subnormal), infinity past 88.72,
 * exact at 0, NaN stays NaN.  x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 is split so that n times
 * its high part is exact. */
static inline float tri_expf(float x) {
    const float lowest = -87.33654f, highest = 88.72283f;
    float c = x < lowest ? lowest : x;
    c = c > highest ? highest : c;
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: rounds what is added to it */
    float shifted = c * 1.44269504088896341f + to_integer;
    float n = shifted - to_integer;
    float r = c - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    /* 2^n in two factors, since n = 128 has no float of its own. */
    int32_t i = (int32_t)(tri_bits_of_float(shifted) - 0x4B400000u);
    int32_t half = i >> 1;
    float scale_a = tri_float_of_bits((uint32_t)(half + 127) << 23);
    float scale_b = tri_float_of_bits((uint32_t)(i - half + 127) << 23);
    float y = p * scale_a * scale_b;
    y = x < lowest ? 0.0f : y;
    y = x > highest ? INFINITY : y;
    return y;
}

static inline float tri_tanhf(float x) {
    float a = fabsf(x);
    float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = p * z * x + x;
    float large = 1.0f - 2.0f / (tri_expf(2.0f * a) + 1.0f);
    large = x < 0.0f ? -large : large;
    return a < 0.625f ? small : large;
}

static inline float tri_silu(float x) {
    return x / (1.0f + tri_expf(-x));
}
/* arXiv:1606.08415, with erf. */
static inline float tri_gelu(float x) {
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}
static inline float tri_gelu_tanh(float x) {
    float inner = 0.79788456080286536f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (1.0f + tri_tanhf(inner));
}
static inline float tri_relu(float x) {
    return x > 0.0f || x != x ? x : 0.0f; /* NaN stays NaN */
}

#endif
