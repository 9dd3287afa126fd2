/* constants.h - what constant ops compute, by row; the meaning is graph/interp's. */
#ifndef TRI_ENGINE_CONSTANTS_H
#define TRI_ENGINE_CONSTANTS_H

#include "graph/ir.h"

typedef struct tri_quantization {
    tri_dtype dtype; /* i8 or i4 */
    int64_t group;   /* columns that share a scale; 0: a whole row */
    float largest;   /* 127 or 7 */
} tri_quantization;

tri_status tri_quantization_of(tri_quantization *q, const tri_node *node, tri_error *err);
/* One row of n columns: integers as they are stored, or their scales. */
void tri_quantize_row(const tri_quantization *q, const float *x, int64_t n, void *row);
void tri_quantize_row_scales(const tri_quantization *q, const float *x, int64_t n, float *scales);

/* x = x * factor + offset */
void tri_constant_affine(float *x, int64_t n, double factor, double offset);

#endif
