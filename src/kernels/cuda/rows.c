#include "kernels/cuda/rows.h"

#include "kernels/cuda/linear.h"

enum { THREADS = 512 };

void tri_cuda_norm_program(int64_t columns, bool residual, int32_t n_rows,
    tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "rms_norm"};
    tri_cuda_define(program, "P_COLUMNS", columns);
    tri_cuda_define(program, "P_THREADS", THREADS);
    tri_cuda_define(program, "P_RESIDUAL", residual);
    *grid = (tri_cuda_grid){.grid_x = (uint32_t)n_rows, .grid_y = 1, .block = THREADS};
}

void tri_cuda_embedding_program(int64_t columns, int64_t vocab_size, int32_t n_parts,
    int32_t n_rows, tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "embedding"};
    tri_cuda_define(program, "P_COLUMNS", columns);
    tri_cuda_define(program, "P_THREADS", THREADS);
    tri_cuda_define(program, "P_PARTS", n_parts);
    tri_cuda_define(program, "P_NORM_STRIDE", TRI_CUDA_NORM_STRIDE);
    tri_cuda_define(program, "P_VOCAB", vocab_size);
    *grid = (tri_cuda_grid){.grid_x = (uint32_t)n_rows, .grid_y = 1, .block = THREADS};
}

void tri_cuda_rope_program(const tri_cuda_rope_desc *desc, int32_t n_tokens,
    tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "rope_kv_write"};
    tri_cuda_define(program, "P_HEADS", desc->n_heads);
    tri_cuda_define(program, "P_KV_HEADS", desc->n_kv_heads);
    tri_cuda_define(program, "P_D", desc->head_size);
    tri_cuda_define(program, "P_HALF", desc->n_frequencies);
    tri_cuda_define(program, "P_BLOCK", desc->tokens_per_block);
    *grid = (tri_cuda_grid){.grid_x = (uint32_t)n_tokens,
        .grid_y = (uint32_t)(desc->n_heads + 2 * desc->n_kv_heads),
        .block = (uint32_t)desc->head_size / 2};
}
