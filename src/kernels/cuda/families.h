/* families.h - the kernels of each CUDA family, for the registry; every list ends in NULL. */
#ifndef TRI_KERNELS_CUDA_FAMILIES_H
#define TRI_KERNELS_CUDA_FAMILIES_H

#include "trireme/plugin.h"

extern const tri_plugin_kernel *const tri_cuda_rows_kernels[]; /* norms, element-wise, rows */
extern const tri_plugin_kernel *const tri_cuda_rope_kernels[]; /* rope, kv_write, both */
extern const tri_plugin_kernel
    *const tri_cuda_linear_kernels[]; /* linear, embedding's table is rows' */
extern const tri_plugin_kernel *const tri_cuda_attention_kernels[]; /* attention */
extern const tri_plugin_kernel *const tri_cuda_sampling_kernels[];  /* counts to tokens */

#endif
