#include "kernels/builtin.h"

#include "kernels/cpu/families.h"
#include "kernels/cuda/families.h"

const tri_plugin_kernel *const *const tri_builtin_families[] = {
    tri_rows_kernels,
    tri_linear_kernels,
    tri_embedding_kernels,
    tri_rope_kernels,
    tri_attention_kernels,
    tri_collective_kernels,
    tri_penalty_kernels,
    tri_sample_kernels,
    tri_cuda_rows_kernels,
    tri_cuda_rope_kernels,
    tri_cuda_linear_kernels,
    tri_cuda_attention_kernels,
    tri_cuda_sampling_kernels,
    NULL,
};

const tri_plugin_layout *const tri_builtin_layouts[] = {&tri_panel16_layout, NULL};
