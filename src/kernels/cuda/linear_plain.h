/* linear_plain.h - products of any rows, dtypes and alignments: one enqueue, several programs.
 *
 *     rows      x enters as   w            program
 *     to 32     any           any          linear_dot
 *     more      bf16          not f32 (*)  linear_tile
 *     more      any           any          linear_fma
 *
 * (*) and groups of scales a multiple of 32 columns.  The programs sum in different orders: a row's
 * result depends on which one took it, and on nothing else of its batch. */
#ifndef TRI_KERNELS_CUDA_LINEAR_PLAIN_H
#define TRI_KERNELS_CUDA_LINEAR_PLAIN_H

#include "kernels/cuda/linear_ask.h"

enum { TRI_CUDA_DOT_ROWS = 32, TRI_CUDA_DOT_TOKENS = 8 }; /* of linear_dot: in all, of a warp */

typedef struct tri_cuda_plain {
    tri_cuda_linear_ask ask;
    bool tiles;              /* linear_tile, else linear_fma */
    tri_cuda_kernel dot[2];  /* of one row, of more */
    tri_cuda_kernel many[2]; /* linear_tile: small and large tiles; linear_fma: the first */
} tri_cuda_plain;

/* Sums x w^T of all rows of w: a gate is not applied. bf16_out: of what is stored. */
void tri_cuda_plain_init(tri_cuda_plain *plain, const tri_cuda_linear_ask *ask, bool bf16_out);
void tri_cuda_plain_prepare(tri_cuda_plain *plain, tri_cuda_queue *queue);

typedef struct tri_cuda_plain_run {    /* plain_arguments of linear.cuh; the layouts are the same */
    uint64_t w, x, y, bias, r, scales; /* bias, r: or 0 */
    int64_t w_stride;                  /* bytes */
    int64_t x_stride, y_stride, r_stride;
    int32_t n_rows, n, k, group, scale_step;
} tri_cuda_plain_run;

/* Fills n and what follows. */
void tri_cuda_plain_enqueue(
    const tri_cuda_plain *plain, tri_cuda_queue *queue, tri_cuda_plain_run *run);

int64_t tri_cuda_weight_code(int32_t dtype); /* P_W of linear.cuh */

/* ---- what stands between products and results (linear_finish.cu) ---- */

typedef struct tri_cuda_finish {
    uint64_t sums, scales, bias, r, y; /* scales, bias, r: or 0 */
    int64_t sums_stride, y_stride, r_stride;
    int32_t n, scale_step; /* scale_step: 0 when all rows of w share one */
} tri_cuda_finish;

void tri_cuda_finish_init(tri_cuda_kernel *kernel, const tri_cuda_linear_ask *ask);
void tri_cuda_finish_enqueue(const tri_cuda_kernel *kernel, tri_cuda_queue *queue,
    const tri_cuda_finish *finish, int32_t n_rows);

extern const tri_plugin_kernel tri_cuda_linear_plain; /* the candidate */

/* ---- a launch's tensors ---- */

typedef struct tri_cuda_linear_tensors {
    uint64_t x, w, bias, r, scales, y;              /* bias, r, scales: or 0 */
    int64_t x_stride, w_stride, r_stride, y_stride; /* bytes */
} tri_cuda_linear_tensors;

tri_cuda_linear_tensors tri_cuda_linear_bind(
    const tri_cuda_linear_ask *ask, const tri_plugin_launch *launch);

/* All rows by plain's programs; gated ones by way of sums, of a chunk's rows. */
void tri_cuda_plain_rows(const tri_cuda_plain *plain, const tri_cuda_kernel *finish,
    tri_cuda_queue *queue, const tri_cuda_linear_tensors *tensors, uint64_t sums, int32_t n_rows);

#endif
