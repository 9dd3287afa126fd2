/* layout.c - in which layout each constant is stored.
 *
 * Every run-time use of a constant states, through the target, the layouts its kernels take.  One
 * tensor is stored once, so it gets a layout that all its uses take; among those, the one preferred
 * by the use that reads most bytes in a step: a linear reads its whole weight, an embedding a row a
 * token, so of a tied table the linear decides.  Equals: the earlier node. */
#include "passes/passes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/match.h"

enum { MAX_LAYOUTS = 16, MAX_USES = 4096 }; /* uses of rope frequencies: two a layer */

typedef struct use {
    tri_node *node;
    int32_t slot;
    int32_t n_layouts;
    const char *layouts[MAX_LAYOUTS];
} use;

/* What is packed, whether or not it has been. */
static tri_value *unpacked(tri_value *value) {
    return tri_match_is(value, TRI_OP_PACK) ? value->node->operands[0] : value;
}

static bool is_run_time(const tri_node *node) {
    return node->n_results == 0 || !node->results[0]->constant;
}

static bool is_stored(const tri_value *value) {
    return value && value->constant && value->type.kind == TRI_TYPE_TENSOR;
}

static tri_match_text describe_constant(const tri_value *value) {
    tri_match_text out;
    tri_buf text = {0};
    tri_value_print_expression(value, &text);
    snprintf(out.s, sizeof out.s, "%s", text.ptr ? text.ptr : "constant");
    tri_buf_deinit(&text);
    return out;
}

static tri_status ask(
    const tri_graph *g, const tri_target *target, use *u, const tri_value *value, tri_error *err) {
    tri_error why = {0};
    u->n_layouts =
        target->layouts(target->user, g, u->node, u->slot, u->layouts, MAX_LAYOUTS, &why);
    if (u->n_layouts > 0 && u->n_layouts <= MAX_LAYOUTS) return TRI_OK;
    if (u->n_layouts > MAX_LAYOUTS)
        return TRI_FAIL(err, TRI_E_LIMIT, "%s: %" PRId32 " layouts, at most %d",
            tri_match_describe(u->node).s, u->n_layouts, MAX_LAYOUTS);
    return TRI_FAIL(err, why.status ? why.status : TRI_E_UNSUPPORTED,
        "no layout of %s for %s of %s: %s", describe_constant(value).s,
        tri_match_slot_name(u->node, u->slot), tri_match_describe(u->node).s,
        why.status ? why.message : "no kernel of the target takes it");
}

static bool takes(const use *u, const char *layout) {
    for (int32_t i = 0; i < u->n_layouts; i++) {
        if (strcmp(u->layouts[i], layout) == 0) return true;
    }
    return false;
}

/* Whether a step reads the whole constant, however few tokens it has. */
static bool reads_all(const use *u) {
    return u->node->op != TRI_OP_EMBEDDING;
}

static const use *decider(const use *uses, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        if (reads_all(&uses[i])) return &uses[i];
    }
    return &uses[0];
}

static tri_status fail_apart(const use *uses, int32_t n, const tri_value *value, tri_error *err) {
    tri_buf text = {0};
    for (int32_t i = 0; i < n && text.len < 512; i++) {
        tri_buf_printf(&text, "%s%s takes", i > 0 ? "; " : "", tri_match_describe(uses[i].node).s);
        for (int32_t k = 0; k < uses[i].n_layouts; k++)
            tri_buf_printf(&text, " %s", uses[i].layouts[k]);
    }
    tri_status rc = TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s is stored once, but its uses have no layout in common: %s", describe_constant(value).s,
        text.ptr ? text.ptr : "");
    tri_buf_deinit(&text);
    return rc;
}

static tri_status choose(
    const use *uses, int32_t n, const tri_value *value, const char **layout, tri_error *err) {
    const use *first = decider(uses, n);
    for (int32_t k = 0; k < first->n_layouts; k++) {
        bool all = true;
        for (int32_t i = 0; i < n && all; i++)
            all = takes(&uses[i], first->layouts[k]);
        if (all) {
            *layout = first->layouts[k];
            return TRI_OK;
        }
    }
    return fail_apart(uses, n, value, err);
}

/* The layout for all run-time uses of value, the first of which is in `from`. */
static tri_status choose_for(const tri_graph *g, const tri_target *target, tri_node *from,
    const tri_value *value, use *uses, const char **layout, tri_error *err) {
    int32_t n = 0;
    for (tri_node *node = from; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (node->operands[i] != value || !is_run_time(node)) continue;
            if (n == MAX_USES)
                return TRI_FAIL(err, TRI_E_LIMIT, "%s has more than %d uses",
                    describe_constant(value).s, MAX_USES);
            uses[n] = (use){.node = node, .slot = i};
            TRI_TRY(ask(g, target, &uses[n], value, err));
            n++;
        }
    }
    return choose(uses, n, value, layout, err);
}

/* Packing again starts over, so that a graph can be laid out for another target. */
static void unpack_all(tri_graph *g) {
    for (tri_node *node = g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (is_stored(node->operands[i]) && is_run_time(node))
                node->operands[i] = unpacked(node->operands[i]);
        }
    }
}

/* Only after all are chosen, so that every question saw the graph unpacked. */
static void pack_all(tri_graph *g, const char *const *layouts, int32_t n_values) {
    for (tri_node *node = g->first; node && !g->error.status; node = node->next) {
        for (int32_t i = 0; i < node->n_operands && is_run_time(node); i++) {
            tri_value *value = node->operands[i];
            if (!is_stored(value) || value->id >= n_values) continue;
            const char *layout = layouts[value->id];
            if (strcmp(layout, "row") == 0) continue;
            node->operands[i] =
                tri_match_constant(g, value, TRI_OP_PACK, &TRI_AS("layout", layout), 1);
        }
    }
}

tri_status tri_pass_layout(tri_graph *g, const tri_target *target, tri_error *err) {
    tri_status rc = TRI_OK;
    int32_t n_values = g->next_id;
    use *uses = calloc(MAX_USES, sizeof *uses);
    const char **layouts = calloc((size_t)n_values + 1, sizeof *layouts); /* by value id */
    if (!uses || !layouts) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        goto done;
    }
    unpack_all(g);
    for (tri_node *node = g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands && is_run_time(node); i++) {
            const tri_value *value = node->operands[i];
            if (!is_stored(value) || layouts[value->id]) continue;
            rc = choose_for(g, target, node, value, uses, &layouts[value->id], err);
            if (rc) goto done;
        }
    }
    pack_all(g, layouts, n_values);

done:
    free(uses);
    free(layouts);
    if (rc) {
        tri_error_context(err, "layout");
        return rc;
    }
    return tri_match_finish(g, "layout", err);
}
