/* int_form.h - block weights as 8-bit integers with scales: what integer dots work on.
 *
 * Every sub-block of 16 or 32 weights of a block format is w = d q + m with q an int8. base/codec.h
 * gives the same weights as floats (a test holds the two together); here the integers themselves
 * are wanted.  One body (int_form_body.h) is compiled for each instruction set. */
#ifndef TRI_KERNELS_CPU_INT_FORM_H
#define TRI_KERNELS_CPU_INT_FORM_H

#include "trireme/types.h"

typedef struct tri_int_form {
    int32_t sub;  /* weights of a sub-block: 16 or 32; 0: the format has no integer form */
    bool has_min; /* m is not always 0 */
} tri_int_form;

tri_int_form tri_int_form_of(int32_t dtype);

/* The first n weights (a multiple of the block) of `row`: q[n], d[n / sub], m[n / sub] (m is left
 * alone unless has_min). */
typedef void (*tri_int_decode_fn)(
    int32_t dtype, const uint8_t *row, int64_t n, int8_t *q, float *d, float *m);
void tri_int_decode_generic(
    int32_t dtype, const uint8_t *row, int64_t n, int8_t *q, float *d, float *m);
void tri_int_decode_avx2(
    int32_t dtype, const uint8_t *row, int64_t n, int8_t *q, float *d, float *m);

#endif
