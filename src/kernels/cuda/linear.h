/* linear.h - linear layers of few rows on CUDA: what is asked, candidates, program, arguments.
 *
 * desc    what is asked of a weight
 * config  how: one of a short list, a pure function of desc, rows and device
 * numerics  order of sums: depends on K, chunk, warps and row_warps of the config, never on rows,
 * so that a token's result is the same in any batch */
#ifndef TRI_KERNELS_CUDA_LINEAR_H
#define TRI_KERNELS_CUDA_LINEAR_H

#include "kernels/cuda/program.h"
#include "trireme/plugin.h"

enum { TRI_CUDA_LINEAR_ROWS = 64, TRI_CUDA_NORM_STRIDE = 64 }; /* most rows of x in one launch */

typedef enum tri_cuda_gate { /* as linear.cuh numbers them */
    TRI_CUDA_GATE_NONE,
    TRI_CUDA_GATE_SILU,
    TRI_CUDA_GATE_GELU,
    TRI_CUDA_GATE_GELU_TANH,
    TRI_CUDA_GATE_RELU
} tri_cuda_gate;

typedef struct tri_cuda_linear_desc {
    int64_t n, k;         /* of y and x; gated: the weight has 2 n rows */
    int32_t weight_dtype; /* TRI_BF16, TRI_F8_E4M3 */
    bool scaled;          /* float32 [rows of w] */
    bool one_scale;       /* scaled, by a single float32 */
    bool bias;            /* float32 [rows of w] */
    tri_cuda_gate gate;   /* y = gate(x gate^T) * (x up^T) */
    bool add;             /* y = r + ..., float32 */
    bool float_out;       /* y is float32; always so when add */
    bool norm_in;         /* x is to be divided by its rms, from parts of its sums of squares */
    bool late;            /* lets the next kernel start only after all before this one */
    bool norm_out;        /* also y * next weight in bf16 and parts of y's sums of squares */
} tri_cuda_linear_desc;

typedef struct tri_cuda_linear_config {
    int32_t rows;                    /* M at most: 8, 16, 32 or 64 */
    int32_t tiles, chunk, row_warps; /* 16-row tiles a pass, columns a stage, warps over tiles */
    int32_t stages, warps, grid;
    int32_t norm_parts;   /* blocks of the kernel that made norm_in */
    int32_t shared_bytes; /* dynamic */
} tri_cuda_linear_config;

/* What linear_stream.cu takes; the layouts are the same. */
typedef struct tri_cuda_linear_arguments {
    tri_cu_tensor_map w_map, x_map; /* by tri_cuda_linear_map */
    uint64_t y, r, scale, bias, norm_in, norm_out, next_weight, y16;
    int64_t y_stride, r_stride, y16_stride; /* elements */
    int32_t in_row, in_part;                /* floats between rows and between parts of norm_in */
    int32_t out_row, out_part;              /* of norm_out */
    int32_t n_rows;
    float eps;
} tri_cuda_linear_arguments;

/* The i-th candidate, 0 is preferred; false past the last.  reason is empty when it can be used. */
bool tri_cuda_linear_candidate(const tri_cuda_linear_desc *desc, int32_t rows,
    int32_t n_multiprocessors, int32_t i, tri_cuda_linear_config *config, char reason[128]);

/* The best of the candidates, all of them of one numerics for a desc; TRI_E_UNSUPPORTED with the
 * reasons when none can. */
tri_status tri_cuda_linear_choose(const tri_cuda_linear_desc *desc, int32_t rows,
    int32_t n_multiprocessors, tri_cuda_linear_config *config, tri_error *err);

void tri_cuda_linear_program(const tri_cuda_linear_desc *desc, const tri_cuda_linear_config *config,
    tri_cuda_program *program, tri_cuda_grid *grid);
/* The maps of w and of n_rows rows of x, for the arguments; addresses 16-byte aligned, x_stride in
 * elements, a multiple of 8. */
tri_status tri_cuda_linear_map(const tri_cu *cu, const tri_cuda_linear_desc *desc,
    const tri_cuda_linear_config *config, uint64_t w, uint64_t x, int64_t x_stride, int32_t n_rows,
    tri_cuda_linear_arguments *arguments, tri_error *err);

#endif
