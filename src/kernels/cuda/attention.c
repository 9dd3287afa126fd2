#include "kernels/cuda/attention.h"

#include <stdio.h>

enum {
    HEAD = 128,
    MAX_GROUP = 8,
    SPLIT = 256,
    THREADS = 384, /* resident a multiprocessor: what registers allow without a spill */
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
    if (desc->tokens_per_block < 1) {
        (void)snprintf(reason, 128, "cache blocks of %d tokens", (int)desc->tokens_per_block);
        return false;
    }
    int32_t resident = THREADS / (SPLIT / 2);
    *config = (tri_cuda_attention_config){
        .split = SPLIT, .resident = resident, .grid = n_multiprocessors * resident};
    return true;
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
    w.items = place(&w.end, max_items * 8);
    w.first_item = place(&w.end, (max_sequences + 1) * 4);
    w.rotations = place(&w.end, max_sequences * HEAD / 2 * 8);
    w.parts = place(&w.end, parts * HEAD * 4);
    w.part_sums = place(&w.end, parts * 8);
    w.counters = place(&w.end, max_sequences * desc->n_kv_heads * 4);
    return w;
}

void tri_cuda_attention_program(const tri_cuda_attention_desc *desc,
    const tri_cuda_attention_config *config, tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "attention_decode"};
    tri_cuda_define(program, "P_HEADS", desc->n_heads);
    tri_cuda_define(program, "P_KV_HEADS", desc->n_kv_heads);
    tri_cuda_define(program, "P_SPLIT", config->split);
    tri_cuda_define(program, "P_BLOCK", desc->tokens_per_block);
    tri_cuda_define(program, "P_RESIDENT", config->resident);
    *grid = (tri_cuda_grid){
        .grid_x = (uint32_t)config->grid, .grid_y = 1, .block = (uint32_t)(config->split / 2)};
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
