/* attention.h - attention of a decode step on CUDA: one new token a sequence.
 *
 * step_plan runs once a step: it lists (sequence, chunk) items and the angles of rope.
 * attention_decode runs in each layer: rope of q and k, k and v into the cache, attention.
 *
 * numerics  chunks of `split` positions from 0, slabs of 16 within: a sequence's result does not
 *           depend on the others */
#ifndef TRI_KERNELS_CUDA_ATTENTION_H
#define TRI_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/program.h"
#include "trireme/plugin.h"

typedef struct tri_cuda_attention_desc {
    int32_t n_heads, n_kv_heads; /* heads of 128 */
    int32_t tokens_per_block;
} tri_cuda_attention_desc;

typedef struct tri_cuda_attention_config {
    int32_t split;    /* positions a chunk */
    int32_t warps;    /* slabs of 16 are dealt to them */
    int32_t stages;   /* places for slabs, a multiple of warps */
    int32_t resident; /* blocks a multiprocessor */
    int32_t grid;
    bool early;           /* the kernel before it is `late`: see attention_decode.cu */
    int32_t shared_bytes; /* dynamic */
} tri_cuda_attention_config;

typedef struct tri_cuda_plan_arguments { /* of step_plan.cu */
    uint64_t context_lens, positions, frequencies, items, first_item, rotations;
    int32_t n_sequences;
} tri_cuda_plan_arguments;

typedef struct tri_cuda_attention_arguments { /* of attention_decode.cu */
    tri_cu_tensor_map cache_map;              /* by tri_cuda_attention_map */
    uint64_t qkv, y, cache;
    int64_t block_rows, v_rows; /* rows of 128 from a block to the next, from k to v */
    uint64_t block_tables, context_lens, items, first_item, rotations, parts, part_sums, counters;
    int32_t max_blocks, n_sequences;
    float scale_log2; /* scale times log2(e) */
} tri_cuda_attention_arguments;

/* What the two share in workspace for at most max_items items and max_sequences: offsets in bytes
 * from its start.  counters must be zero before the first step; every step leaves them so. */
typedef struct tri_cuda_attention_workspace {
    int64_t items, first_item, rotations, parts, part_sums, counters, end;
} tri_cuda_attention_workspace;

/* Fills in what concerns the cache. */
tri_status tri_cuda_attention_map(const tri_cu *cu, const tri_cuda_attention_desc *desc,
    uint64_t cache, int64_t block_stride_bytes, int64_t v_offset_bytes, int64_t n_blocks,
    tri_cuda_attention_arguments *arguments, tri_error *err);
/* False: cannot, reason says why. */
bool tri_cuda_attention_choose(const tri_cuda_attention_desc *desc, int32_t n_multiprocessors,
    tri_cuda_attention_config *config, char reason[128]);
tri_cuda_attention_workspace tri_cuda_attention_place(
    const tri_cuda_attention_desc *desc, int64_t max_items, int64_t max_sequences);
/* Blocks for n_sequences with contexts of at most max_context: no more than there is work, since
 * blocks in excess keep the next kernel's from starting. */
int32_t tri_cuda_attention_blocks(const tri_cuda_attention_desc *desc,
    const tri_cuda_attention_config *config, int32_t n_sequences, int64_t max_context);
/* grid is of all blocks. */
void tri_cuda_attention_program(const tri_cuda_attention_desc *desc,
    const tri_cuda_attention_config *config, tri_cuda_program *program, tri_cuda_grid *grid);
/* grid is for n_sequences. */
void tri_cuda_plan_program(const tri_cuda_attention_config *config, int32_t n_sequences,
    tri_cuda_program *program, tri_cuda_grid *grid);
tri_plugin_cost tri_cuda_attention_cost(
    const tri_cuda_attention_desc *desc, int64_t n_context_tokens, int32_t n_sequences);

#endif
