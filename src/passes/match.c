#include "passes/match.h"

#include <stdio.h>
#include <string.h>

bool tri_match_is(const tri_value *value, tri_op op) {
    return value && value->node->op == op;
}

tri_node *tri_match_sole_user(const tri_graph *g, const tri_value *value) {
    tri_node *user = NULL;
    int32_t n = 0;
    for (tri_node *node = g->first; node && n < 2; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (node->operands[i] != value) continue;
            user = node;
            n++;
        }
    }
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].value == value) n++;
    }
    return n == 1 ? user : NULL;
}

tri_node *tri_match_root_weight(const tri_value *constant) {
    while (constant->constant && constant->node->n_operands == 1)
        constant = constant->node->operands[0];
    return constant->node->op == TRI_OP_WEIGHT ? constant->node : NULL;
}

const char *tri_match_slot_name(const tri_node *node, int32_t slot) {
    return node->op == TRI_OP_PLUGIN ? "" : tri_op_get(node->op)->operand_names[slot];
}

tri_match_text tri_match_describe(const tri_node *node) {
    tri_match_text out;
    const char *name = node->plugin ? node->plugin : tri_op_get(node->op)->name;
    snprintf(out.s, sizeof out.s, "%s%s%s", name, *node->scope ? " of " : "", node->scope);
    return out;
}

static tri_attr *attr_of(tri_node *node, const char *name, tri_attr_kind kind) {
    tri_attr *found = NULL;
    for (int32_t i = 0; i < node->n_attrs && !found; i++) {
        if (strcmp(node->attrs[i].name, name) == 0) found = &node->attrs[i];
    }
    TRI_ASSERT(found && found->kind == kind);
    return found;
}

void tri_match_set_int(tri_node *node, const char *attr, int64_t value) {
    attr_of(node, attr, TRI_ATTR_INT)->i = value;
}

void tri_match_set_float(tri_node *node, const char *attr, double value) {
    attr_of(node, attr, TRI_ATTR_FLOAT)->f = value;
}

void tri_match_set_string(tri_graph *g, tri_node *node, const char *attr, const char *text) {
    const char *interned = tri_graph_intern(g, text);
    if (interned) attr_of(node, attr, TRI_ATTR_STRING)->s = interned;
}

void tri_match_set_operand(tri_node *node, const char *name, tri_value *value) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (strcmp(tri_match_slot_name(node, i), name) == 0) {
            node->operands[i] = value;
            return;
        }
    }
    TRI_ASSERT(false && "no such operand");
}

static bool attr_equal(const tri_attr *a, const tri_attr *b) {
    switch (b->kind) {
    case TRI_ATTR_INT:
        return a->i == b->i;
    case TRI_ATTR_FLOAT:
        return a->f == b->f;
    case TRI_ATTR_STRING:
        return strcmp(a->s, b->s) == 0;
    case TRI_ATTR_FLOATS:
        break;
    }
    return false;
}

static bool same_attrs(const tri_node *node, const tri_attr *attrs, int32_t n_attrs) {
    for (int32_t i = 0; i < n_attrs; i++) {
        const tri_attr *a = tri_node_attr(node, attrs[i].name);
        if (!a || a->kind != attrs[i].kind || !attr_equal(a, &attrs[i])) return false;
    }
    return true;
}

tri_value *tri_match_constant(
    tri_graph *g, tri_value *x, tri_op op, const tri_attr *attrs, int32_t n_attrs) {
    for (tri_node *node = x->node->next; node; node = node->next) {
        /* Equal nodes stand in the run of constants right behind x: made below. */
        if (node->n_operands != 1 || node->operands[0] != x) break;
        if (node->op == op && same_attrs(node, attrs, n_attrs)) return node->results[0];
    }
    tri_node *made = tri_node_create(g, x->node->next, op, &x, 1, attrs, n_attrs);
    if (!g->error.status) made->scope = x->node->scope;
    return made->results[0];
}

tri_status tri_match_finish(tri_graph *g, const char *pass, tri_error *err) {
    tri_status rc = g->error.status;
    if (rc && err) *err = g->error;
    if (!rc) {
        tri_graph_remove_dead(g);
        rc = tri_graph_infer(g, err);
    }
    if (!rc) rc = tri_graph_verify(g, err);
    if (rc) tri_error_context(err, "%s", pass);
    return rc;
}
