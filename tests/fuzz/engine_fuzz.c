/* A rank's file from anywhere: header, metadata, plan, graphs, memory plan.  Checksums are put
 * right first, or nothing behind them would ever be reached. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

static void put_sums_right(uint8_t *bytes, int64_t n_bytes) {
    tri_safetensors s;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    if (tri_safetensors_parse(&s, bytes, n_bytes, &arena, NULL) == TRI_OK) {
        const tri_safetensor *t = tri_safetensors_find(&s, "checksums");
        size_t n = (size_t)s.n_tensors + 2;
        if (t && t->dtype == TRI_U64 && t->n_bytes == (int64_t)(n * sizeof(uint64_t)) &&
            (uintptr_t)t->data % sizeof(uint64_t) == 0) {
            uint64_t *sums = (uint64_t *)(uintptr_t)t->data;
            sums[0] = tri_hash64(bytes, (size_t)s.header_bytes, 0);
            for (int32_t i = 0; i < s.n_tensors; i++) {
                const tri_safetensor *x = &s.tensors[i];
                sums[i + 1] = x == t ? 0 : tri_hash64(x->data, (size_t)x->n_bytes, 0);
            }
            sums[n - 1] = tri_hash64(sums, (n - 1) * sizeof *sums, 0);
        }
        tri_safetensors_close(&s);
    }
    tri_arena_deinit(&arena);
}

/* What an open engine would be asked first: the memory that plans need. */
static void size_up(tri_rank *rank, const tri_plugin_set *plugins, const tri_select *select) {
    int32_t group_of[TRI_MAX_GROUPS];
    tri_engine engine = {.ranks = rank,
        .n_ranks = 1,
        .spec = rank->spec,
        .plugins = *plugins,
        .select = *select,
        .group_of = group_of};
    const tri_graph *g = rank->sample ? rank->sample : rank->graph;
    tri_memory_need need;
    for (int32_t i = 0; i < g->n_groups; i++) {
        group_of[i] = i;
        engine.groups[i] = (tri_plan_group){.recurrent = g->groups[i].kind == TRI_GROUP_RECURRENT,
            .window = g->groups[i].window,
            .tokens_per_block = g->groups[i].tokens_per_block};
    }
    engine.n_groups = g->n_groups;
    (void)tri_engine_memory_need(&engine, 2, 16, 64, 0, &need, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tri_plugin_set plugins;
    static tri_plugin_device facts;
    if (!plugins.kernels) {
        if (tri_plugin_set_open(&plugins, NULL, 0, NULL)) abort();
        facts = tri_target_facts("cpu", "");
    }
    if (size > (size_t)1 << 22) return 0;
    const tri_select select = {.kernels = plugins.kernels,
        .device = &facts,
        .max_tokens = 8,
        .max_sequences = 2,
        .max_rows = 2};
    uint8_t *bytes = aligned_alloc(TRI_ENGINE_PAGE, (size / TRI_ENGINE_PAGE + 1) * TRI_ENGINE_PAGE);
    tri_rank rank;
    char misfit[256];
    if (!bytes) return 0;
    if (size > 0) memcpy(bytes, data, size);
    put_sums_right(bytes, (int64_t)size);
    if (tri_rank_parse(&rank, bytes, (int64_t)size, &plugins, &select, misfit, sizeof misfit,
            NULL) == TRI_OK) {
        if (!misfit[0]) size_up(&rank, &plugins, &select);
        tri_rank_close(&rank);
    }
    free(bytes);
    return 0;
}
