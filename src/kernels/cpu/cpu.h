/* cpu.h - what CPU kernels share: rows of a launch, shares of threads. */
#ifndef TRI_KERNELS_CPU_CPU_H
#define TRI_KERNELS_CPU_CPU_H

#include "base/thread.h"
#include "kernels/desc.h"

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

/* Takes the next n units of phase 0 or 1 of the launch; the first of them. */
static inline int64_t tri_launch_take(const tri_plugin_launch *launch, int32_t phase, int64_t n) {
    return __atomic_fetch_add(&launch->taken[phase], n, __ATOMIC_RELAXED);
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
