/* inspect_plan.c - an engine's launches as they would run here, why other kernels were passed over,
 * and what memory the hinted limits take. */
#include <string.h>

#include "engine/engine.h"
#include "engine/inspect.h"

/* A reason, once for all launches that it holds for. */
typedef struct rejection {
    const char *op, *kernel, *reason;
    int32_t n;
} rejection;

typedef struct planning {
    const tri_engine *engine;
    tri_arena arena;
    rejection *rejections;
    int32_t n_rejections, room;
    tri_buf *out;
} planning;

static void note(planning *p, const char *op, const char *kernel, const char *reason) {
    for (int32_t i = 0; i < p->n_rejections; i++) {
        rejection *r = &p->rejections[i];
        if (strcmp(r->kernel, kernel) == 0 && strcmp(r->op, op) == 0 &&
            strcmp(r->reason, reason) == 0) {
            r->n++;
            return;
        }
    }
    if (p->n_rejections == p->room) return;
    const char *copy = tri_arena_strdup(&p->arena, reason);
    if (copy) p->rejections[p->n_rejections++] = (rejection){op, kernel, copy, 1};
}

static tri_status show_launch(
    planning *p, const tri_graph *g, const tri_pick *pick, int32_t index, tri_error *err) {
    tri_select select = p->engine->select;
    const tri_engine_spec *spec = &p->engine->spec;
    tri_plugin_desc *desc;
    tri_kernel_choice *choices;
    int32_t n;
    select.max_tokens = spec->max_num_tokens;
    select.max_sequences = select.max_rows = spec->max_batch_size;
    TRI_TRY(tri_select_describe(&select, g, pick->node, &p->arena, &desc, err));
    TRI_TRY(tri_select_candidates(&select, desc, &p->arena, &choices, &n, err));
    const tri_plugin_extents decode = {1, 1, 1, 1};
    tri_plugin_cost cost = {0};
    if (pick->kernel->cost) pick->kernel->cost(desc, &decode, &cost);
    tri_buf_printf(p->out, "  %4" PRId32 "  %-24s  %-16s  %-28s  %-14s  %10s  %s\n", index,
        pick->node->scope, desc->op, pick->kernel->name,
        pick->kernel->numerics ? pick->kernel->numerics : "",
        tri_inspect_bytes((int64_t)cost.bytes).s, tri_inspect_count((int64_t)cost.flops).s);
    for (int32_t i = 0; i < n; i++) {
        if (choices[i].kernel == pick->kernel) continue;
        note(p, desc->op, choices[i].kernel->name,
            choices[i].supported ? "can, but costs more here" : choices[i].reason);
    }
    return TRI_OK;
}

static tri_status show_list(planning *p, const char *title, const tri_graph *g,
    const tri_pick *picks, int32_t n, tri_error *err) {
    tri_buf_printf(p->out, "%s: %" PRId32 " launches\n", title, n);
    tri_buf_printf(p->out, "  %4s  %-24s  %-16s  %-28s  %-14s  %10s  %s\n", "", "scope", "op",
        "kernel", "numerics", "bytes", "flops (one token)");
    for (int32_t i = 0; i < n; i++)
        TRI_TRY(show_launch(p, g, &picks[i], i, err));
    return TRI_OK;
}

static void show_rejections(planning *p) {
    if (p->n_rejections == 0) return;
    tri_buf_puts(p->out, "not chosen:\n");
    for (int32_t i = 0; i < p->n_rejections; i++) {
        const rejection *r = &p->rejections[i];
        tri_buf_printf(
            p->out, "  %-16s  %-28s  %4" PRId32 " x  %s\n", r->op, r->kernel, r->n, r->reason);
    }
}

static void show_bytes(tri_buf *out, const char *what, int64_t n) {
    tri_buf_printf(out, "  %-12s  %10s\n", what, tri_inspect_bytes(n).s);
}

static tri_status show_memory(planning *p, tri_error *err) {
    tri_memory_need need;
    const tri_engine_spec *spec = &p->engine->spec;
    TRI_TRY(tri_engine_memory_need(p->engine, 0, 0, 0, 0, &need, err));
    tri_buf_printf(p->out,
        "memory for %" PRId32 " sequences of %" PRId64 " tokens, %" PRId32 " tokens a step:\n",
        spec->max_batch_size, spec->max_seq_len, spec->max_num_tokens);
    show_bytes(p->out, "weights", need.weight_bytes);
    show_bytes(p->out, "KV cache", need.kv_bytes);
    show_bytes(p->out, "states", need.state_bytes);
    show_bytes(p->out, "activations", need.activation_bytes);
    show_bytes(p->out, "workspace", need.workspace_bytes);
    show_bytes(p->out, "step", need.step_bytes);
    return TRI_OK;
}

static tri_status show_ranks(planning *p, tri_error *err) {
    for (int32_t r = 0; r < p->engine->n_ranks; r++) {
        const tri_rank *rank = &p->engine->ranks[r];
        if (p->engine->n_ranks > 1) tri_buf_printf(p->out, "rank %" PRId32 "\n", r);
        TRI_TRY(show_list(p, "forward", rank->graph, rank->forward, rank->n_forward, err));
        if (rank->sample)
            TRI_TRY(show_list(p, "sample", rank->sample, rank->sampling, rank->n_sampling, err));
    }
    show_rejections(p);
    return show_memory(p, err);
}

tri_status tri_inspect_plan_text(
    const char *engine_dir, const tri_engine_options *plugins, tri_buf *out, tri_error *err) {
    enum { ROOM = 256 };
    const tri_engine_options options = {.struct_size = sizeof options,
        .plugins = plugins ? plugins->plugins : NULL,
        .n_plugins = plugins ? plugins->n_plugins : 0,
        .null_device = true};
    tri_engine *engine = NULL;
    planning p = {.room = ROOM, .out = out};
    TRI_TRY(tri_engine_open(&engine, engine_dir, &options, err));
    tri_arena_init(&p.arena, 0);
    p.engine = engine;
    p.rejections = TRI_NEW_N(&p.arena, rejection, ROOM);
    tri_status rc = TRI_OK;
    if (!p.rejections) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    if (!rc) rc = show_ranks(&p, err);
    tri_arena_deinit(&p.arena);
    tri_engine_close(engine);
    return rc;
}
