/* cpu.h - what CPU kernels share: reading a description, rows of a launch, shares of threads. */
#ifndef TRI_KERNELS_CPU_CPU_H
#define TRI_KERNELS_CPU_CPU_H

#include "base/thread.h"
#include "trireme/plugin.h"

/* ---- description ---- */

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
/* Rejects operand `input` unless it is left out or float32 in layout row. */
int32_t tri_require_f32(const tri_plugin_desc *desc, int32_t input, char *reason, size_t bytes);

/* ---- launch ---- */

static inline int64_t tri_launch_rows(const tri_plugin_launch *launch, int64_t first_dim) {
    return tri_extent_rows(&launch->step->extents, first_dim);
}
static inline float *tri_row_f32(const tri_plugin_tensor *tensor, int64_t row) {
    return (float *)((uint8_t *)tensor->data + row * tensor->row_stride_bytes);
}
/* This thread's [first, last) of n items. */
static inline void tri_launch_share(
    const tri_plugin_launch *launch, int64_t n, int64_t *first, int64_t *last) {
    tri_split(n, 1, launch->thread, launch->n_threads, first, last);
}

/* ---- memory ---- */

enum { TRI_CACHE_LINE = 64 };
static inline int64_t tri_round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* sizeof, op, name ... of a kernel of this device. */
#define TRI_CPU_KERNEL(op_, name_, isa_, numerics_)                                                \
    .struct_size = sizeof(tri_plugin_kernel), .op = (op_), .name = (name_), .device = "cpu",       \
    .isa = (isa_), .numerics = (numerics_)

#endif
