/* rows.h - what the row families on CUDA share: norms, element-wise ops, embedding. */
#ifndef TRI_KERNELS_CUDA_ROWS_H
#define TRI_KERNELS_CUDA_ROWS_H

#include "kernels/cuda/elements.h"
#include "kernels/cuda/family.h"

/* Of every operand and result its bytes, a few operations an element. */
void tri_cuda_rows_cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost);

extern const tri_plugin_kernel tri_cuda_rms_norm, tri_cuda_add_rms_norm, tri_cuda_embedding;
extern const tri_plugin_kernel tri_cuda_add, tri_cuda_mul, tri_cuda_affine, tri_cuda_softcap,
    tri_cuda_activation, tri_cuda_gated_activation, tri_cuda_select_rows;

/* ---- embedding.cu where a norm follows, for linear_stream's norm_in ---- */

typedef struct tri_cuda_embedding_arguments { /* of embedding.cu */
    uint64_t tokens, table, scales, x, w, y16, parts;
    int64_t table_stride, x_stride; /* bytes */
    int64_t scale_stride;           /* floats */
    int32_t first, n_rows, columns_a_scale;
} tri_cuda_embedding_arguments;

/* A bf16 table.  n_parts: what the first linear layer is told as its norm_parts. */
void tri_cuda_embedding_program(int64_t columns, int32_t n_parts, int32_t n_rows,
    tri_cuda_program *program, tri_cuda_grid *grid);

#endif
