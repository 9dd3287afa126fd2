/* memory.c - what a choice of limits needs, by the same functions that plans reserve with. */
#include "engine/bind.h"

#include "device/device.h"

/* Rows of logits that executors have room for even when their batch is smaller. */
enum { FEW_ROWS = 32 };

typedef struct needing {
    tri_engine *engine;
    tri_plan_limits limits;
    tri_memory_need need;
    tri_arena *arena;
} needing;

static tri_status add(int64_t *total, int64_t n, const char *what, tri_error *err) {
    if (n < 0 || __builtin_add_overflow(*total, n, total))
        return TRI_FAIL(err, TRI_E_LIMIT, "%s take more than 2^63 bytes", what);
    return TRI_OK;
}

static tri_status add_graph(needing *n, int32_t rank, const tri_graph *g, const tri_pick *picks,
    int32_t n_picks, int32_t first_group, int64_t *workspace, tri_error *err) {
    tri_bound bound;
    const tri_binding binding = {
        .engine = n->engine, .rank = rank, .limits = &n->limits, .arena = n->arena};
    TRI_TRY(tri_bind_measure(&bound, &binding, g, picks, n_picks, err));
    TRI_TRY(add(&n->need.activation_bytes, bound.memory_plan.total_bytes, "activations", err));
    if (bound.workspace_bytes > *workspace) *workspace = bound.workspace_bytes;
    for (int32_t i = first_group; i < g->n_groups; i++) {
        int32_t group = n->engine->group_of[rank * TRI_MAX_GROUPS + i];
        bool recurrent = n->engine->groups[group].recurrent;
        TRI_TRY(add(recurrent ? &n->need.state_bytes : &n->need.kv_bytes,
            tri_group_memory_bytes(g, i, n->limits.n_blocks[group]), "caches", err));
    }
    return TRI_OK;
}

static tri_status add_rank(needing *n, int32_t rank, tri_error *err) {
    const tri_rank *r = &n->engine->ranks[rank];
    int64_t workspace = 0;
    TRI_TRY(add(&n->need.weight_bytes, tri_rank_weight_bytes(r), "weights", err));
    TRI_TRY(add_graph(n, rank, r->graph, r->forward, r->n_forward, 0, &workspace, err));
    if (r->sample)
        TRI_TRY(add_graph(
            n, rank, r->sample, r->sampling, r->n_sampling, r->graph->n_groups, &workspace, err));
    return add(&n->need.workspace_bytes, workspace, "workspaces", err);
}

static int64_t or_default(int64_t value, int64_t otherwise) {
    return value > 0 ? value : otherwise;
}

tri_status tri_engine_memory_need(const tri_engine *engine, int32_t max_batch_size,
    int32_t max_num_tokens, int64_t max_seq_len, int64_t kv_tokens, tri_memory_need *need,
    tri_error *err) {
    tri_arena arena;
    /* Sizing reads only what is fixed in an open engine. */
    needing n = {.engine = (tri_engine *)(uintptr_t)engine, .arena = &arena};
    int64_t batch = or_default(max_batch_size, engine->spec.max_batch_size);
    int64_t tokens = or_default(max_num_tokens, engine->spec.max_num_tokens);
    int64_t length = or_default(max_seq_len, engine->spec.max_seq_len);
    if (length > INT32_MAX || kv_tokens < 0 || kv_tokens > (int64_t)1 << 40)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "max_seq_len %" PRId64 " (at most %d), kv_tokens %" PRId64 " (at most 2^40)", length,
            INT32_MAX, kv_tokens);
    int64_t rows = batch > FEW_ROWS ? batch : FEW_ROWS;
    n.limits = (tri_plan_limits){.max_tokens = (int32_t)tokens,
        .max_sequences = (int32_t)batch,
        .max_rows = (int32_t)rows,
        .max_seq_len = length};
    tri_step_shape shape = {.n_tokens = (int32_t)tokens,
        .n_sequences = (int32_t)batch,
        .n_rows = (int32_t)rows,
        .n_groups = engine->n_groups,
        .n_position_axes = 1};
    for (int32_t g = 0; g < engine->n_groups; g++) {
        const tri_plan_group *group = &engine->groups[g];
        int64_t per_block = group->recurrent ? 1 : group->tokens_per_block;
        int64_t each = (length + per_block - 1) / per_block; /* of a sequence */
        int64_t blocks = group->recurrent ? batch
                         : kv_tokens > 0  ? (kv_tokens + per_block - 1) / per_block
                                          : batch * each;
        if (blocks > INT32_MAX)
            return TRI_FAIL(err, TRI_E_LIMIT, "%" PRId64 " blocks of KV are too many", blocks);
        n.limits.n_blocks[g] = (int32_t)blocks;
        if (!group->recurrent) shape.max_blocks[g] = (int32_t)each;
    }
    n.need.step_bytes = tri_step_bytes(&shape);
    tri_arena_init(&arena, 0);
    tri_status rc = TRI_OK;
    for (int32_t r = 0; r < engine->n_ranks && !rc; r++)
        rc = add_rank(&n, r, err);
    tri_arena_deinit(&arena);
    if (rc)
        tri_error_context(err, "memory need");
    else
        *need = n.need;
    return rc;
}
