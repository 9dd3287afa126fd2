#include "kernels/cuda/elements.h"

#include "base/codec.h"

int32_t tri_cuda_element(int32_t dtype) {
    switch (dtype) {
    case TRI_F32:
        return TRI_CUDA_F32;
    case TRI_BF16:
        return TRI_CUDA_BF16;
    case TRI_F16:
        return TRI_CUDA_F16;
    case TRI_I8:
        return TRI_CUDA_I8;
    default:
        return -1;
    }
}

int32_t tri_cuda_element_bytes(int32_t element) {
    static const int32_t bytes[] = {4, 2, 2, 1};
    return bytes[element];
}

int32_t tri_cuda_require_floats(
    const tri_plugin_desc *desc, int32_t input, char *reason, size_t reason_bytes) {
    const tri_plugin_type *type = tri_desc_input(desc, input);
    if (!type) return 0;
    bool fits = type->dtype == TRI_F32 || type->dtype == TRI_BF16 ||
                (type->constant && type->dtype == TRI_F16);
    if (!fits || !tri_type_has_layout(type, "row")) {
        return tri_reject(reason, reason_bytes, "operand %d is %s in layout %s; f32 or bf16%s rows",
            (int)input, tri_dtype_name((tri_dtype)type->dtype), type->layout ? type->layout : "row",
            type->constant ? " or f16" : "");
    }
    return 0;
}
