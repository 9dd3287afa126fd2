/* desc.h - what kernels of every device share: reading a description. */
#ifndef TRI_KERNELS_DESC_H
#define TRI_KERNELS_DESC_H

#include "trireme/plugin.h"

int64_t tri_desc_int(const tri_plugin_desc *desc, const char *field, int64_t otherwise);
double tri_desc_float(const tri_plugin_desc *desc, const char *field, double otherwise);
const char *tri_desc_string(const tri_plugin_desc *desc, const char *field, const char *otherwise);

/* Operand i, or NULL when it is left out. */
const tri_plugin_type *tri_desc_input(const tri_plugin_desc *desc, int32_t i);
bool tri_type_has_layout(const tri_plugin_type *type, const char *layout);
int64_t tri_plugin_columns(const tri_plugin_type *type); /* last dim */
/* Most rows a tensor can have: its first dim, or the plan's limit. */
int64_t tri_desc_max_rows(const tri_plugin_desc *desc, const tri_plugin_type *type);
/* Rows at these extents. */
int64_t tri_extent_rows(const tri_plugin_extents *extents, int64_t first_dim);

/* Writes the reason and returns 1. */
int32_t tri_reject(char *reason, size_t reason_bytes, const char *format, ...) TRI_PRINTF(3, 4);
/* Rejects operand `input` unless it is left out or float32 in layout row, and narrow results. */
int32_t tri_require_f32(const tri_plugin_desc *desc, int32_t input, char *reason, size_t bytes);

#endif
