/* rows.h - kernels on rows of tokens on CUDA: embedding, rms_norm, rope with the cache write.
 *
 * Programs and arguments of the sources of the same names; the layouts are the same. */
#ifndef TRI_KERNELS_CUDA_ROWS_H
#define TRI_KERNELS_CUDA_ROWS_H

#include "kernels/cuda/program.h"

typedef struct tri_cuda_norm_arguments { /* of rms_norm.cu */
    uint64_t x, r, w, y;
    int64_t x_stride, r_stride, y_stride; /* elements */
    float eps;
} tri_cuda_norm_arguments;

/* y [T, columns] bf16 of x float32; residual: x += r first. */
void tri_cuda_norm_program(
    int64_t columns, bool residual, int32_t n_rows, tri_cuda_program *program, tri_cuda_grid *grid);

typedef struct tri_cuda_embedding_arguments { /* of embedding.cu */
    uint64_t tokens, table, w, x, y16, parts;
} tri_cuda_embedding_arguments;

/* n_parts: what the first linear layer is told as its norm_parts. */
void tri_cuda_embedding_program(int64_t columns, int64_t vocab_size, int32_t n_parts,
    int32_t n_rows, tri_cuda_program *program, tri_cuda_grid *grid);

typedef struct tri_cuda_rope_arguments { /* of rope_kv_write.cu */
    uint64_t qkv, positions, cache_positions, slots, frequencies, cache;
    int64_t block_stride, v_offset; /* bytes */
    uint64_t block_tables;
    int32_t max_blocks;
    float magnitude;
} tri_cuda_rope_arguments;

typedef struct tri_cuda_rope_desc {
    int32_t n_heads, n_kv_heads, head_size, n_frequencies, tokens_per_block;
} tri_cuda_rope_desc;

void tri_cuda_rope_program(const tri_cuda_rope_desc *desc, int32_t n_tokens,
    tri_cuda_program *program, tri_cuda_grid *grid);

#endif
