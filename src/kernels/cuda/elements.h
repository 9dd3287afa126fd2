/* elements.h - types of elements as inc/elements.cuh numbers them. */
#ifndef TRI_KERNELS_CUDA_ELEMENTS_H
#define TRI_KERNELS_CUDA_ELEMENTS_H

#include "kernels/desc.h"

enum { TRI_CUDA_F32 = 0, TRI_CUDA_BF16 = 1, TRI_CUDA_F16 = 2, TRI_CUDA_I8 = 3 };

/* -1: kernels do not read these. */
int32_t tri_cuda_element(int32_t dtype);
int32_t tri_cuda_element_bytes(int32_t element);

/* Rejects operand `input` unless it is left out, or rows of f32, of bf16 or, where constant, of
 * f16. */
int32_t tri_cuda_require_floats(
    const tri_plugin_desc *desc, int32_t input, char *reason, size_t reason_bytes);

#endif
