/* linear_x.h - preparing x for the cores of linear: sizes and places in one function, filled by all
 * threads together. */
#ifndef TRI_KERNELS_CPU_LINEAR_X_H
#define TRI_KERNELS_CPU_LINEAR_X_H

#include "kernels/cpu/linear.h"

typedef struct tri_linear_places { /* byte offsets in workspace */
    int64_t f32, i8, i8_low, scales, scaled_sums, sums, bf16;
    int64_t end_bytes;
} tri_linear_places;

/* Where the form of n_rows of x that a variant wants lies. */
tri_linear_places tri_linear_place(
    const tri_linear *linear, const tri_linear_variant *variant, int64_t n_rows);

/* Fills run->x, every thread its share; the caller's barrier orders it before the cores.  False
 * when nothing was written and no barrier is needed. */
bool tri_linear_prepare(
    tri_linear_run *run, const tri_plugin_tensor *x, const tri_plugin_launch *launch);

#endif
