/* families.h - what each family file of the CPU registers: arrays ending in NULL. */
#ifndef TRI_KERNELS_CPU_FAMILIES_H
#define TRI_KERNELS_CPU_FAMILIES_H

#include "trireme/plugin.h"

extern const tri_plugin_kernel *const tri_rows_kernels[];
extern const tri_plugin_kernel *const tri_linear_kernels[];
extern const tri_plugin_kernel *const tri_embedding_kernels[];
extern const tri_plugin_kernel *const tri_rope_kernels[];
extern const tri_plugin_kernel *const tri_attention_kernels[];
extern const tri_plugin_kernel *const tri_collective_kernels[];
extern const tri_plugin_kernel *const tri_penalty_kernels[];
extern const tri_plugin_kernel *const tri_sample_kernels[];

extern const tri_plugin_layout tri_panel16_layout;

#endif
