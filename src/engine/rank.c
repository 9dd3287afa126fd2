#include "engine/rank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/code.h"
#include "engine/derive.h"
#include "engine/plan_text.h"

enum { MAX_BLOB_BYTES = 1 << 26 };

void tri_rank_close(tri_rank *rank) {
    tri_graph_destroy(rank->graph);
    tri_graph_destroy(rank->sample);
    if (rank->has_file) tri_engine_file_close(&rank->file);
    tri_arena_deinit(&rank->arena);
    *rank = (tri_rank){0};
}

char *tri_rank_path(tri_arena *arena, const char *dir, int32_t rank) {
    return tri_arena_printf(arena, "%s/rank%" PRId32 ".engine", dir, rank);
}

static tri_status no_memory(tri_error *err) {
    return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
}

/* ---- what lowering and opening share ---- */

/* From the lowered graph: what is stored, and the sampling graph. */
static tri_status settle(
    tri_rank *rank, const tri_plugin_set *plugins, const tri_select *select, tri_error *err) {
    TRI_TRY(tri_pass_fold(rank->graph, &rank->arena, &rank->stored, &rank->n_stored, err));
    rank->stored_bytes = TRI_NEW_N(&rank->arena, int64_t, rank->n_stored + 1);
    if (!rank->stored_bytes) return no_memory(err);
    for (int32_t i = 0; i < rank->n_stored; i++) {
        tri_status rc = tri_stored_bytes(
            plugins->kernels, &rank->stored[i].value->type, &rank->stored_bytes[i], err);
        if (rc) {
            tri_error_context(err, "%s", rank->stored[i].name);
            return rc;
        }
    }
    const tri_value *logits = tri_graph_output(rank->graph, "logits");
    bool last = rank->spec.rank / rank->spec.tp_size == rank->spec.pp_size - 1;
    if ((logits != NULL) != last)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "rank %" PRId32 " of %" PRId32 " x %" PRId32 " has %s logits", rank->spec.rank,
            rank->spec.tp_size, rank->spec.pp_size, logits ? "" : "no");
    if (!logits) return TRI_OK;
    bool fused = strcmp(select->device->kind, "cuda") == 0; /* sampling in one launch there */
    return tri_sample_graph_create(&rank->sample, rank->graph, logits->type.dims[1], fused, err);
}

static tri_status pick_all(tri_rank *rank, const tri_select *select, tri_error *err) {
    TRI_TRY(
        tri_pick_kernels(select, rank->graph, &rank->arena, &rank->forward, &rank->n_forward, err));
    if (!rank->sample) return TRI_OK;
    return tri_pick_kernels(
        select, rank->sample, &rank->arena, &rank->sampling, &rank->n_sampling, err);
}

/* ---- lowering ---- */

tri_status tri_rank_lower(tri_rank *rank, tri_graph *canonical, const tri_engine_spec *spec,
    const tri_plugin_set *plugins, tri_select *select, tri_error *err) {
    tri_rank made = {.spec = *spec, .graph = canonical};
    tri_buf text = {0};
    tri_arena_init(&made.arena, 0);
    tri_graph_print_to(canonical, &text);
    tri_status rc = tri_buf_status(&text, err);
    if (!rc) {
        made.canonical = (tri_str){tri_arena_strndup(&made.arena, text.ptr, text.len), text.len};
        if (!made.canonical.ptr) rc = no_memory(err);
    }
    if (!rc) rc = tri_lower(made.graph, &spec->precision, select, err);
    if (!rc) rc = settle(&made, plugins, select, err);
    if (!rc) rc = pick_all(&made, select, err);
    tri_buf_deinit(&text);
    if (rc)
        tri_rank_close(&made);
    else
        *rank = made;
    return rc;
}

/* ---- opening ---- */

/* Bytes in the file against what layouts say. */
static tri_status check_bytes(const tri_rank *rank, tri_error *err) {
    for (int32_t i = 0; i < rank->n_stored; i++) {
        const tri_engine_tensor *t = &rank->file.tensors[i];
        if (t->data && t->n_bytes != rank->stored_bytes[i])
            return TRI_FAIL(err, TRI_E_FORMAT, "weight %s has %" PRId64 " bytes, %s takes %" PRId64,
                t->name, t->n_bytes, tri_type_print(&t->type).s, rank->stored_bytes[i]);
    }
    return TRI_OK;
}

/* The kernel that the plan names where it is as it was, else the best that takes what is stored,
 * one of the plan's numerics if possible.  No kernel: *misfit. */
static tri_status take_kernel(const tri_select *select, const tri_graph *g, const tri_node *node,
    const tri_plan_line *line, const tri_plugin_kernel **kernel, char *misfit, size_t room,
    tri_error *err) {
    tri_arena arena;
    tri_plugin_desc *desc;
    tri_kernel_choice *choices;
    int32_t n = 0;
    char reason[128];
    tri_error why = {0};
    tri_arena_init(&arena, 0);
    tri_status rc = tri_select_describe(select, g, node, &arena, &desc, err);
    if (rc) goto done;
    const tri_plugin_kernel *named = line ? tri_kernels_find(select->kernels, line->kernel) : NULL;
    if (named && strcmp(named->numerics ? named->numerics : "", line->numerics) == 0 &&
        tri_select_accepts(select, named, desc, reason)) {
        *kernel = named;
        goto done;
    }
    if (tri_select_candidates(select, desc, &arena, &choices, &n, &why)) {
        (void)snprintf(misfit, room, "%.*s", (int)room - 1, why.message);
        goto done;
    }
    *kernel = choices[0].kernel;
    for (int32_t i = n - 1; i >= 0 && line; i--) {
        const char *numerics = choices[i].kernel->numerics ? choices[i].kernel->numerics : "";
        if (choices[i].supported && strcmp(numerics, line->numerics) == 0)
            *kernel = choices[i].kernel;
    }

done:
    tri_arena_deinit(&arena);
    return rc;
}

static tri_status take_plan(tri_rank *rank, const tri_select *select, const tri_graph *g,
    const tri_plan_line *lines, int32_t n_lines, tri_pick **picks, int32_t *n_picks, char *misfit,
    size_t room, tri_error *err) {
    tri_pick *made = TRI_NEW_N(&rank->arena, tri_pick, g->n_nodes + 1);
    int32_t n = 0;
    if (!made) return no_memory(err);
    for (const tri_node *node = g->first; node; node = node->next) {
        if (!tri_node_is_launch(node)) continue;
        bool same = n < n_lines && strcmp(lines[n].op, tri_node_op_name(node)) == 0;
        made[n].node = node;
        TRI_TRY(take_kernel(
            select, g, node, same ? &lines[n] : NULL, &made[n].kernel, misfit, room, err));
        if (!made[n].kernel) return TRI_OK;
        const char *numerics = made[n].kernel->numerics ? made[n].kernel->numerics : "";
        if (same && !rank->other_numerics && strcmp(numerics, lines[n].numerics) != 0) {
            rank->other_numerics = tri_arena_printf(&rank->arena, "%s by %s (%s), not %s (%s)",
                lines[n].op, made[n].kernel->name, numerics, lines[n].kernel, lines[n].numerics);
        }
        n++;
    }
    *picks = made;
    *n_picks = n;
    return TRI_OK;
}

static tri_status take_plugin_bytes(tri_rank *rank, tri_error *err) {
    for (int32_t i = 0; i < rank->n_forward; i++) {
        const tri_node *node = rank->forward[i].node;
        tri_str bytes;
        if (!node->plugin || !tri_engine_file_plugin(&rank->file, i, &bytes)) continue;
        const tri_plugin_op *op = tri_plugin_registry_find_op(rank->graph->plugins, node->plugin);
        if (op && op->deserialise && op->deserialise(bytes.ptr, (int64_t)bytes.len) != 0)
            return TRI_FAIL(err, TRI_E_FORMAT,
                "plugin op %s refused what it keeps in plugin.%" PRId32, node->plugin, i);
        rank->forward[i].kept = bytes;
    }
    return TRI_OK;
}

static tri_status read_graph(tri_rank *rank, const tri_plugin_set *plugins, tri_error *err) {
    const tri_engine_file *f = &rank->file;
    tri_status rc =
        tri_graph_parse_with(&rank->graph, f->graph.ptr, f->graph.len, plugins->ops, err);
    return rc ? rc : tri_graph_verify(rank->graph, err);
}

/* rank->file is open. */
static tri_status read_rank(tri_rank *rank, const tri_plugin_set *plugins, const tri_select *select,
    char *misfit, size_t room, tri_error *err) {
    tri_plan_lists lists;
    misfit[0] = '\0';
    rank->spec = rank->file.spec;
    rank->canonical = rank->file.canonical_graph;
    TRI_TRY(read_graph(rank, plugins, err));
    TRI_TRY(settle(rank, plugins, select, err));
    TRI_TRY(tri_engine_file_match(&rank->file, rank->stored, rank->n_stored, err));
    TRI_TRY(check_bytes(rank, err));
    TRI_TRY(tri_plan_parse(&lists, rank->file.plan, &rank->arena, err));
    TRI_TRY(take_plan(rank, select, rank->graph, lists.forward, lists.n_forward, &rank->forward,
        &rank->n_forward, misfit, room, err));
    if (rank->sample && !misfit[0])
        TRI_TRY(take_plan(rank, select, rank->sample, lists.sample, lists.n_sample, &rank->sampling,
            &rank->n_sampling, misfit, room, err));
    return take_plugin_bytes(rank, err);
}

static tri_status finish_open(tri_rank *rank, tri_rank *made, const tri_plugin_set *plugins,
    const tri_select *select, char *misfit, size_t room, tri_error *err) {
    made->has_file = true;
    tri_status rc = read_rank(made, plugins, select, misfit, room, err);
    if (rc)
        tri_rank_close(made);
    else
        *rank = *made;
    return rc;
}

tri_status tri_rank_open(tri_rank *rank, const char *path, const tri_plugin_set *plugins,
    const tri_select *select, char *misfit, size_t room, tri_error *err) {
    tri_rank made = {0};
    tri_arena_init(&made.arena, 0);
    TRI_TRY(tri_engine_file_open(&made.file, path, err));
    tri_status rc = finish_open(rank, &made, plugins, select, misfit, room, err);
    if (rc) tri_error_context(err, "%s", path);
    return rc;
}

tri_status tri_rank_parse(tri_rank *rank, const uint8_t *bytes, int64_t n_bytes,
    const tri_plugin_set *plugins, const tri_select *select, char *misfit, size_t room,
    tri_error *err) {
    tri_rank made = {0};
    tri_arena_init(&made.arena, 0);
    TRI_TRY(tri_engine_file_parse(&made.file, bytes, n_bytes, err));
    return finish_open(rank, &made, plugins, select, misfit, room, err);
}

tri_status tri_rank_data(
    const tri_rank *rank, tri_arena *arena, const uint8_t *const **data, tri_error *err) {
    const uint8_t **made = TRI_NEW_N(arena, const uint8_t *, rank->n_stored + 1);
    if (!made) return no_memory(err);
    for (int32_t i = 0; i < rank->n_stored && rank->has_file; i++)
        made[i] = rank->file.tensors[i].data;
    *data = made;
    return TRI_OK;
}

int64_t tri_rank_weight_bytes(const tri_rank *rank) {
    int64_t n = 0;
    for (int32_t i = 0; i < rank->n_stored; i++)
        n += rank->stored_bytes[i];
    return n;
}

/* ---- writing ---- */

typedef struct filling {
    const tri_rank *rank;
    const tri_rank_writing *writing;
} filling;

static tri_status fill_weight(
    void *user, int32_t index, void *out, int64_t n_bytes, tri_error *err) {
    const filling *f = user;
    const tri_stored *s = &f->rank->stored[index];
    const tri_rank_writing *w = f->writing;
    TRI_TRY(tri_derive(s->value, w->supply, w->plugins->kernels, w->team, out, err));
    return w->after ? w->after(w->user, s->name, n_bytes, err) : TRI_OK;
}

/* What each plugin op's node keeps. */
static tri_status serialise(const tri_rank *rank, const tri_plugin_set *plugins, tri_arena *arena,
    tri_engine_blob **blobs, int32_t *n_blobs, tri_error *err) {
    tri_engine_blob *made = TRI_NEW_N(arena, tri_engine_blob, rank->n_forward + 1);
    int32_t n = 0;
    if (!made) return no_memory(err);
    for (int32_t i = 0; i < rank->n_forward; i++) {
        const tri_node *node = rank->forward[i].node;
        tri_plugin_field fields[TRI_MAX_ATTRS];
        const tri_plugin_op *op =
            node->plugin ? tri_plugin_registry_find_op(plugins->ops, node->plugin) : NULL;
        if (!op || !op->serialise) continue;
        tri_plugin_fields_of(node, fields);
        int64_t n_bytes = op->serialise(fields, node->n_attrs, NULL, 0);
        if (n_bytes == 0) continue;
        if (n_bytes < 0 || n_bytes > MAX_BLOB_BYTES)
            return TRI_FAIL(err, TRI_E_LIMIT,
                "plugin op %s wants to keep %" PRId64 " bytes, at most %d can be", op->name,
                n_bytes, MAX_BLOB_BYTES);
        char *bytes = tri_arena_alloc(arena, (size_t)n_bytes);
        const char *name = tri_arena_printf(arena, "plugin.%" PRId32, i);
        if (!bytes || !name) return no_memory(err);
        if (op->serialise(fields, node->n_attrs, bytes, n_bytes) != n_bytes)
            return TRI_FAIL(err, TRI_E_INTERNAL,
                "plugin op %s gave another number of bytes the second time", op->name);
        made[n++] = (tri_engine_blob){name, {bytes, (size_t)n_bytes}};
    }
    *blobs = made;
    *n_blobs = n;
    return TRI_OK;
}

/* Machine code for a GPU.  Without a compiler the engine brings none, and is compiled when it is
 * loaded. */
static tri_status make_code(
    tri_code *code, const tri_rank *rank, const tri_rank_writing *writing, tri_error *err) {
    const tri_select *select = writing->select;
    TRI_TRY(tri_code_add_picks(code, select, rank->graph, rank->forward, rank->n_forward, err));
    if (rank->sample)
        TRI_TRY(
            tri_code_add_picks(code, select, rank->sample, rank->sampling, rank->n_sampling, err));
    tri_error why = {0};
    tri_status rc = tri_code_make(code, NULL, writing->team, &why);
    if (rc == TRI_E_DEVICE) {
        tri_log(
            TRI_LOG_WARN, "build", "what=\"no machine code is stored\" why=\"%s\"", why.message);
        return TRI_OK;
    }
    if (rc && err) *err = why;
    return rc;
}

static tri_status add_code(
    tri_engine_contents *contents, const tri_code *code, tri_arena *arena, tri_error *err) {
    tri_engine_blob *all = TRI_NEW_N(arena, tri_engine_blob, contents->n_blobs + code->n_items + 1);
    if (!all) return no_memory(err);
    for (int32_t i = 0; i < contents->n_blobs; i++)
        all[i] = contents->blobs[i];
    for (int32_t i = 0; i < code->n_items; i++) {
        const tri_code_item *item = &code->items[i];
        const char *name = tri_arena_printf(arena, "code.%s", item->key);
        if (!name) return no_memory(err);
        if (!item->cubin) continue;
        all[contents->n_blobs++] =
            (tri_engine_blob){name, {(const char *)item->cubin, (size_t)item->n_bytes}};
    }
    contents->blobs = all;
    return TRI_OK;
}

tri_status tri_rank_write(
    const tri_rank *rank, const char *path, const tri_rank_writing *writing, tri_error *err) {
    tri_engine_contents contents = {.spec = &rank->spec,
        .canonical_graph = rank->canonical,
        .stored = rank->stored,
        .stored_bytes = rank->stored_bytes,
        .n_stored = rank->n_stored};
    filling f = {.rank = rank, .writing = writing};
    tri_buf graph = {0}, plan = {0};
    tri_engine_blob *blobs;
    tri_arena arena;
    tri_code code;
    tri_arena_init(&arena, 0);
    tri_code_init(&code, tri_isa_of(rank->spec.isa));
    tri_graph_print_to(rank->graph, &graph);
    tri_plan_print(rank->forward, rank->n_forward, rank->sampling, rank->n_sampling, &plan);
    tri_status rc = tri_buf_status(&graph, err);
    if (!rc) rc = tri_buf_status(&plan, err);
    if (!rc) rc = serialise(rank, writing->plugins, &arena, &blobs, &contents.n_blobs, err);
    if (rc) goto done;
    contents.graph = (tri_str){graph.ptr, graph.len};
    contents.plan = (tri_str){plan.ptr, plan.len};
    contents.blobs = blobs;
    if (strcmp(rank->spec.target, "cuda") == 0 && !writing->strip_code) {
        rc = make_code(&code, rank, writing, err);
        if (!rc) rc = add_code(&contents, &code, &arena, err);
        if (rc) goto done;
    }
    rc = tri_engine_file_write(path, &contents, fill_weight, &f, err);

done:
    tri_buf_deinit(&graph);
    tri_buf_deinit(&plan);
    tri_code_deinit(&code);
    tri_arena_deinit(&arena);
    return rc;
}
