#include "device/bound.h"

#include <stdlib.h>

bool tri_bound_launch_init(tri_bound_launch *b, const tri_launch *launch,
    const tri_plugin_step *step, void *workspace, tri_comm *comm) {
    size_t n = launch->n_inputs > 0 ? (size_t)launch->n_inputs : 0;
    if (n && launch->caches) {
        b->caches = calloc(n, sizeof *b->caches);
        b->caches_by_operand = calloc(n, sizeof *b->caches_by_operand);
        if (!b->caches || !b->caches_by_operand) return false;
    }
    if (n && launch->states) {
        b->states = calloc(n, sizeof *b->states);
        b->states_by_operand = calloc(n, sizeof *b->states_by_operand);
        if (!b->states || !b->states_by_operand) return false;
    }
    for (size_t k = 0; k < n; k++) {
        if (launch->caches && launch->caches[k]) {
            b->caches[k] = *launch->caches[k];
            b->caches_by_operand[k] = &b->caches[k];
        }
        if (launch->states && launch->states[k]) {
            b->states[k] = *launch->states[k];
            b->states_by_operand[k] = &b->states[k];
        }
    }
    b->launch = (tri_plugin_launch){.struct_size = sizeof(tri_plugin_launch),
        .step = step,
        .inputs = launch->inputs,
        .outputs = launch->outputs,
        .caches = b->caches_by_operand,
        .states = b->states_by_operand,
        .workspace = workspace,
        .comm = comm};
    return true;
}

void tri_bound_launch_deinit(tri_bound_launch *b) {
    free(b->caches);
    free(b->caches_by_operand);
    free(b->states);
    free(b->states_by_operand);
}

static const int32_t *at(uintptr_t base, uint32_t offset) {
    return (const int32_t *)(base + offset);
}

void tri_bound_launch_set_step(
    tri_bound_launch *b, const tri_launch *launch, const tri_step *header, uintptr_t base) {
    for (int32_t k = 0; k < launch->n_inputs; k++) {
        int32_t g = launch->cache_groups ? launch->cache_groups[k] : -1;
        if (b->caches_by_operand && b->caches_by_operand[k]) {
            b->caches[k].block_tables = at(base, header->groups[g].block_tables);
            b->caches[k].max_blocks = header->groups[g].max_blocks;
        }
        if (b->states_by_operand && b->states_by_operand[k]) {
            b->states[k].slots = at(base, header->groups[g].state_slots);
        }
    }
}

void tri_step_bind(
    tri_plugin_step *to, const tri_step *header, uintptr_t base, int64_t n_context_tokens) {
    to->step = at(base, 0);
    to->extents = (tri_plugin_extents){.n_tokens = header->n_tokens,
        .n_sequences = header->n_sequences,
        .n_rows = header->n_rows,
        .n_context_tokens = n_context_tokens};
    to->positions = at(base, header->positions);
    to->cu_seqlens = at(base, header->cu_seqlens);
    to->context_lens = at(base, header->context_lens);
    to->rows = at(base, header->rows);
}
