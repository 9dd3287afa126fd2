#include "kernels/cuda/rows.h"

#include "base/codec.h"
#include "kernels/cuda/families.h"

static double tensor_bytes(const tri_plugin_type *type, const tri_plugin_extents *extents) {
    int64_t rows =
        type->n_dims > 1 || type->dims[0] < 0 ? tri_extent_rows(extents, type->dims[0]) : 1;
    int64_t row_bytes = type->n_dims > 1
                            ? tri_dtype_row_bytes((tri_dtype)type->dtype, tri_plugin_columns(type))
                            : tri_dtype_row_bytes((tri_dtype)type->dtype, 1);
    return (double)rows * (double)row_bytes;
}

void tri_cuda_rows_cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost) {
    double bytes = 0, elements = 0;
    for (int32_t i = 0; i < desc->n_inputs; i++) {
        const tri_plugin_type *type = tri_desc_input(desc, i);
        if (type) bytes += tensor_bytes(type, extents);
    }
    for (int32_t i = 0; i < desc->n_outputs; i++) {
        const tri_plugin_type *type = &desc->outputs[i];
        bytes += tensor_bytes(type, extents);
        elements +=
            (double)tri_extent_rows(extents, type->dims[0]) * (double)tri_plugin_columns(type);
    }
    *cost = (tri_plugin_cost){.bytes = bytes, .flops = 4 * elements};
}

const tri_plugin_kernel *const tri_cuda_rows_kernels[] = {
    &tri_cuda_embedding,
    &tri_cuda_rms_norm,
    &tri_cuda_add_rms_norm,
    &tri_cuda_add,
    &tri_cuda_mul,
    &tri_cuda_affine,
    &tri_cuda_softcap,
    &tri_cuda_activation,
    &tri_cuda_gated_activation,
    &tri_cuda_select_rows,
    NULL,
};
