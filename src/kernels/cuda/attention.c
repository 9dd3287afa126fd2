#include "kernels/cuda/attention.h"

#include <stdio.h>

enum {
    HEAD = 128,
    MAX_GROUP = 8,
    SPLIT = 256,
    SLAB = 16,
    COPY_THREADS = 32,
    WARPS = 4,
    STAGES = 8,
    STAGE_BYTES = 2 * SLAB * HEAD * 2,
    ROW_BYTES = HEAD * 2,
    RESIDENT = 3, /* blocks a multiprocessor: registers and the ring */
    PLAN_THREADS = 1024,
    ALIGN = 256
};

bool tri_cuda_attention_choose(const tri_cuda_attention_desc *desc, int32_t n_multiprocessors,
    tri_cuda_attention_config *config, char reason[128]) {
    reason[0] = 0;
    if (desc->n_kv_heads < 1 || desc->n_heads % desc->n_kv_heads ||
        desc->n_heads / desc->n_kv_heads > MAX_GROUP) {
        (void)snprintf(reason, 128, "%d query heads on %d key heads: 1 to %d a key head are due",
            (int)desc->n_heads, (int)desc->n_kv_heads, MAX_GROUP);
        return false;
    }
    int32_t block = desc->tokens_per_block;
    if (block != 8 && (block < SLAB || block % SLAB)) {
        (void)snprintf(
            reason, 128, "cache blocks of %d tokens; 8 or a multiple of 16 are due", (int)block);
        return false;
    }
    *config = (tri_cuda_attention_config){.split = SPLIT,
        .warps = WARPS,
        .stages = STAGES,
        .resident = RESIDENT,
        .grid = n_multiprocessors * RESIDENT,
        .shared_bytes = STAGES * STAGE_BYTES + 1024};
    return true;
}

tri_status tri_cuda_attention_map(const tri_cu *cu, const tri_cuda_attention_desc *desc,
    uint64_t cache, int64_t block_stride_bytes, int64_t v_offset_bytes, int64_t n_blocks,
    tri_cuda_attention_arguments *arguments, tri_error *err) {
    if (block_stride_bytes % ROW_BYTES || v_offset_bytes % ROW_BYTES || cache % 16) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "attention: cache blocks of %" PRId64 " bytes, v %" PRId64
            " further, are no whole rows of %d bytes",
            block_stride_bytes, v_offset_bytes, ROW_BYTES);
    }
    int64_t n_rows = n_blocks * (block_stride_bytes / ROW_BYTES);
    if (n_rows > INT32_MAX) {
        return TRI_FAIL(
            err, TRI_E_LIMIT, "attention: a cache of %" PRId64 " rows, at most 2^31 - 1", n_rows);
    }
    int32_t unit = desc->tokens_per_block < SLAB ? desc->tokens_per_block : SLAB;
    const uint64_t dims[3] = {HEAD / 2, (uint64_t)n_rows, 2}, strides[2] = {ROW_BYTES, HEAD};
    const uint32_t box[3] = {HEAD / 2, (uint32_t)unit, 2}, steps[3] = {1, 1, 1};
    TRI_CU_TRY(cu,
        tensor_map(&arguments->cache_map, TRI_CU_MAP_BF16, 3, (void *)(uintptr_t)cache, dims,
            strides, box, steps, 0, TRI_CU_MAP_SWIZZLE_128, TRI_CU_MAP_PROMOTE_256, 0),
        "attention: tensor map", err);
    arguments->cache = cache;
    arguments->block_rows = block_stride_bytes / ROW_BYTES;
    arguments->v_rows = v_offset_bytes / ROW_BYTES;
    return TRI_OK;
}

static int64_t place(int64_t *end, int64_t n_bytes) {
    int64_t at = *end;
    *end = (at + n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

tri_cuda_attention_workspace tri_cuda_attention_place(
    const tri_cuda_attention_desc *desc, int64_t max_items, int64_t max_sequences) {
    tri_cuda_attention_workspace w = {0};
    int64_t parts = max_items * desc->n_heads;
    w.items = place(&w.end, max_items * 16);
    w.first_item = place(&w.end, (max_sequences + 1) * 4);
    w.rotations = place(&w.end, max_sequences * HEAD / 2 * 8);
    w.parts = place(&w.end, parts * HEAD * 4);
    w.part_sums = place(&w.end, parts * 8);
    w.counters = place(&w.end, max_sequences * desc->n_kv_heads * 4);
    return w;
}

int32_t tri_cuda_attention_blocks(const tri_cuda_attention_desc *desc,
    const tri_cuda_attention_config *config, int32_t n_sequences, int64_t max_context) {
    int64_t chunks = (max_context + config->split - 1) / config->split;
    int64_t work = chunks > config->grid ? config->grid : chunks * desc->n_kv_heads * n_sequences;
    return work < config->grid ? (int32_t)work : config->grid;
}

void tri_cuda_attention_program(const tri_cuda_attention_desc *desc,
    const tri_cuda_attention_config *config, tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "attention_decode"};
    tri_cuda_define(program, "P_HEADS", desc->n_heads);
    tri_cuda_define(program, "P_KV_HEADS", desc->n_kv_heads);
    tri_cuda_define(program, "P_SPLIT", config->split);
    tri_cuda_define(program, "P_BLOCK", desc->tokens_per_block);
    tri_cuda_define(program, "P_WARPS", config->warps);
    tri_cuda_define(program, "P_STAGES", config->stages);
    tri_cuda_define(program, "P_RESIDENT", config->resident);
    tri_cuda_define(program, "P_EARLY", config->early);
    *grid = (tri_cuda_grid){.grid_x = (uint32_t)config->grid,
        .grid_y = 1,
        .block = (uint32_t)config->warps * 32 + COPY_THREADS,
        .shared_bytes = (uint32_t)config->shared_bytes};
}

void tri_cuda_plan_program(const tri_cuda_attention_config *config, int32_t n_sequences,
    tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "step_plan"};
    tri_cuda_define(program, "P_SPLIT", config->split);
    tri_cuda_define(program, "P_HALF", HEAD / 2);
    *grid =
        (tri_cuda_grid){.grid_x = 1 + (uint32_t)n_sequences, .grid_y = 1, .block = PLAN_THREADS};
}

tri_plugin_cost tri_cuda_attention_cost(
    const tri_cuda_attention_desc *desc, int64_t n_context_tokens, int32_t n_sequences) {
    double kv = 4.0 * HEAD * desc->n_kv_heads, q = (double)HEAD * desc->n_heads;
    return (tri_plugin_cost){
        .bytes = kv * (double)(n_context_tokens + n_sequences) + 4 * q * n_sequences,
        .flops = 4 * q * (double)n_context_tokens};
}
