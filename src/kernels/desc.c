#include "kernels/desc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const tri_plugin_field *find(const tri_plugin_desc *desc, const char *name, int32_t kind) {
    for (int32_t i = 0; i < desc->n_fields; i++) {
        const tri_plugin_field *field = &desc->fields[i];
        if (field->kind == kind && strcmp(field->name, name) == 0) return field;
    }
    return NULL;
}

int64_t tri_desc_int(const tri_plugin_desc *desc, const char *field, int64_t otherwise) {
    const tri_plugin_field *f = find(desc, field, 0);
    return f ? f->i : otherwise;
}

double tri_desc_float(const tri_plugin_desc *desc, const char *field, double otherwise) {
    const tri_plugin_field *f = find(desc, field, 1);
    return f ? f->f : otherwise;
}

const char *tri_desc_string(const tri_plugin_desc *desc, const char *field, const char *otherwise) {
    const tri_plugin_field *f = find(desc, field, 2);
    return f && f->s ? f->s : otherwise;
}

const tri_plugin_type *tri_desc_input(const tri_plugin_desc *desc, int32_t i) {
    return i < desc->n_inputs && desc->inputs[i].n_dims >= 0 ? &desc->inputs[i] : NULL;
}

bool tri_type_has_layout(const tri_plugin_type *type, const char *layout) {
    return strcmp(type->layout ? type->layout : "row", layout) == 0;
}

int64_t tri_plugin_columns(const tri_plugin_type *type) {
    return type->n_dims > 0 ? type->dims[type->n_dims - 1] : 1;
}

int64_t tri_desc_max_rows(const tri_plugin_desc *desc, const tri_plugin_type *type) {
    switch (type->dims[0]) {
    case TRI_DIM_T:
        return desc->max_tokens;
    case TRI_DIM_S:
        return desc->max_sequences;
    case TRI_DIM_R:
        return desc->max_rows;
    default:
        return type->dims[0];
    }
}

int64_t tri_extent_rows(const tri_plugin_extents *extents, int64_t first_dim) {
    switch (first_dim) {
    case TRI_DIM_T:
        return extents->n_tokens;
    case TRI_DIM_S:
        return extents->n_sequences;
    case TRI_DIM_R:
        return extents->n_rows;
    default:
        return first_dim;
    }
}

int32_t tri_reject(char *reason, size_t reason_bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, reason_bytes, format, args);
    va_end(args);
    return 1;
}

int32_t tri_require_f32(const tri_plugin_desc *desc, int32_t input, char *reason, size_t bytes) {
    const tri_plugin_type *type = tri_desc_input(desc, input);
    for (int32_t i = 0; i < desc->n_outputs; i++) {
        const tri_plugin_type *result = &desc->outputs[i];
        if (result->dims[0] < 0 && result->dtype == TRI_BF16)
            return tri_reject(reason, bytes, "result %d is bf16 rows", (int)i);
    }
    if (!type) return 0;
    if (type->dtype != TRI_F32 || !tri_type_has_layout(type, "row")) {
        return tri_reject(reason, bytes, "operand %d is not float32 rows", (int)input);
    }
    return 0;
}
