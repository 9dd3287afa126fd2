/* linear_ask.h - what a description asks of linear on CUDA, read once for all its candidates. */
#ifndef TRI_KERNELS_CUDA_LINEAR_ASK_H
#define TRI_KERNELS_CUDA_LINEAR_ASK_H

#include "kernels/cuda/family.h"
#include "kernels/cuda/linear.h"

enum { /* operands */
    TRI_LINEAR_X,
    TRI_LINEAR_WEIGHT,
    TRI_LINEAR_BIAS,
    TRI_LINEAR_ACCUMULATOR,
    TRI_LINEAR_SCALES,
    TRI_LINEAR_PARTS,                  /* of linear */
    TRI_LINEAR_NORM = TRI_LINEAR_PARTS /* of linear_norm */
};
enum { TRI_LINEAR_SUM, TRI_LINEAR_Y16, TRI_LINEAR_LEFT_PARTS }; /* results of linear_norm */

typedef struct tri_cuda_linear_ask {
    int64_t first_dim, max_rows;
    int64_t n, k, w_rows; /* of y and x; of w: n, gated: 2 n */
    int32_t weight_dtype;
    bool bf16_x, bf16_out; /* else float32 */
    bool rounds;           /* x enters as bf16 */
    bool bias, add;
    tri_cuda_gate gate;
    int64_t n_groups; /* scales of a row of w; 0: no scales */
    bool one_scale;   /* a single one for all of w */
    bool norm_in;     /* x is to be divided by its rms, of parts */
    bool norm_out;    /* linear_norm */
    int32_t n_parts;  /* of either */
    float eps;
} tri_cuda_linear_ask;

/* 0, or 1 with the reason why no CUDA kernel can. */
int32_t tri_cuda_linear_read(
    const tri_plugin_desc *desc, tri_cuda_linear_ask *ask, char *reason, size_t reason_bytes);

void tri_cuda_linear_cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost);

/* Rows that are gone through at a time where something waits in workspace: a multiple of 64. */
int64_t tri_cuda_linear_chunk(const tri_cuda_linear_ask *ask);

#endif
