/* linear_unpack.h - panels of 16 rows of w as the tiles that AMX multiplies by: [K/32][16][16][2]
 * bfloat16, pairs along K. */
#ifndef TRI_KERNELS_CPU_LINEAR_UNPACK_H
#define TRI_KERNELS_CPU_LINEAR_UNPACK_H

#include "kernels/cpu/linear.h"

/* Weights [k0, k0 + n) of a panel, k0 a multiple of 32, rounded to bfloat16 with their scales,
 * zeros up to the end of the last tile.  Scales of one group a row are left out: the sum is scaled.
 */
void tri_linear_unpack_bf16(
    const tri_linear_run *run, int64_t panel, int64_t k0, int64_t n, uint16_t *tiles);

/* Whether every row has one scale, so that whole sums are scaled. */
static inline bool tri_linear_scales_sums(const tri_linear *l) {
    return l->n_groups == 1;
}

#endif
