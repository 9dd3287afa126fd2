/* sampling.h - loops over the vocabulary that instruction sets differ in; the bits are the same. */
#ifndef TRI_KERNELS_CPU_SAMPLING_H
#define TRI_KERNELS_CPU_SAMPLING_H

#include <stdint.h>

typedef struct tri_sampling_functions {
    /* Largest of x [n]; -infinity when there is none (NaN is passed over). */
    float (*max)(const float *x, int64_t n);
    /* Sum of e^((x - shift) * factor); the terms go to p unless it is NULL. */
    float (*exp_sum)(const float *x, int64_t n, float shift, float factor, float *p);
} tri_sampling_functions;

extern const tri_sampling_functions tri_sampling_generic, tri_sampling_avx2;

#endif
