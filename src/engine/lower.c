#include "engine/lower.h"

#include <string.h>

static tri_status verified(tri_graph *g, const char *pass, tri_status rc, tri_error *err) {
    if (rc) return rc; /* the pass says its name */
    rc = tri_graph_verify(g, err);
    if (rc) tri_error_context(err, "after pass %s", pass);
    return rc;
}

tri_status tri_lower(
    tri_graph *g, const tri_precision *precision, tri_select *select, tri_error *err) {
    tri_target target = tri_select_target(select);
    TRI_TRY(verified(g, "precision", tri_pass_precision(g, precision, err), err));
    TRI_TRY(verified(g, "fuse", tri_pass_fuse(g, err), err));
    if (strcmp(select->device->kind, "cuda") == 0)
        TRI_TRY(verified(g, "narrow", tri_pass_narrow(g, err), err));
    return verified(g, "layout", tri_pass_layout(g, &target, err), err);
}

const tri_value *tri_graph_output(const tri_graph *g, const char *name) {
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (strcmp(g->outputs[i].name, name) == 0) return g->outputs[i].value;
    }
    return NULL;
}

/* ---- sampling ---- */

static tri_value *append(tri_graph *s, tri_op op, tri_value *a, tri_value *b) {
    tri_value *operands[] = {a, b};
    return tri_node_create(s, NULL, op, operands, b ? 2 : 1, NULL, 0)->results[0];
}

tri_status tri_sample_graph_create(
    tri_graph **sample, const tri_graph *g, int64_t vocab_size, bool fused, tri_error *err) {
    tri_graph *s = NULL;
    if (g->n_groups == TRI_MAX_GROUPS)
        return TRI_FAIL(err, TRI_E_LIMIT,
            "%" PRId32 " groups of caches leave none for sampling; at most %d can be", g->n_groups,
            TRI_MAX_GROUPS - 1);
    TRI_TRY(tri_graph_create(&s, "sample", err));
    for (int32_t i = 0; i < g->n_groups; i++) {
        s->groups[i] = g->groups[i];
        s->groups[i].n_layers = 0;
        s->groups[i].bytes_per_token = 0;
    }
    s->n_groups = g->n_groups + 1;
    s->groups[g->n_groups] = (tri_group){.kind = TRI_GROUP_RECURRENT};

    tri_attr attrs[] = {TRI_AI("group", g->n_groups), TRI_AI("vocab_size", vocab_size)};
    tri_value *counts = tri_node_create(s, NULL, TRI_OP_COUNTS, NULL, 0, attrs, 2)->results[0];
    counts = append(s, TRI_OP_COUNT_TOKENS, tri_input_tokens(s), counts);
    tri_value *logits = tri_input_logits(s, vocab_size);
    if (!fused) {
        logits = append(s, TRI_OP_PENALTIES, logits, counts);
        logits = append(s, TRI_OP_MASK, logits, NULL);
    }
    tri_value *operands[] = {logits, fused ? counts : NULL};
    const tri_attr masked[] = {TRI_AI("masked", 1)};
    tri_node *node = tri_node_create(s, NULL, TRI_OP_SAMPLE, operands, 2, masked, fused ? 1 : 0);
    tri_graph_set_output(s, "tokens", node->results[0]);
    tri_graph_set_output(s, "logprobs", node->results[1]);
    tri_status rc = tri_graph_finish(s, err);
    if (rc) {
        tri_error_context(err, "sampling graph");
        tri_graph_destroy(s);
        return rc;
    }
    *sample = s;
    return TRI_OK;
}

/* ---- kernels ---- */

tri_status tri_pick_kernels(const tri_select *select, const tri_graph *g, tri_arena *arena,
    tri_pick **picks, int32_t *n_picks, tri_error *err) {
    tri_pick *made = TRI_NEW_N(arena, tri_pick, g->n_nodes + 1);
    tri_arena scratch;
    int32_t n = 0;
    tri_status rc = TRI_OK;
    tri_arena_init(&scratch, 0);
    if (!made) rc = TRI_FAIL(err, TRI_E_MEMORY, "choosing kernels: out of memory");
    for (const tri_node *node = g->first; node && !rc; node = node->next) {
        tri_plugin_desc *desc;
        tri_kernel_choice *choices;
        int32_t n_choices;
        if (!tri_node_is_launch(node)) continue;
        rc = tri_select_describe(select, g, node, &scratch, &desc, err);
        if (!rc) rc = tri_select_candidates(select, desc, &scratch, &choices, &n_choices, err);
        if (rc)
            tri_error_context(err, "%s", *node->scope ? node->scope : g->name);
        else
            made[n++] = (tri_pick){.node = node, .kernel = choices[0].kernel};
    }
    tri_arena_deinit(&scratch);
    if (rc) return rc;
    *picks = made;
    *n_picks = n;
    return TRI_OK;
}
