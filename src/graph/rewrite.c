/* rewrite.c - changing a graph in place, and copying it. */
#include <stdlib.h>
#include <string.h>

#include "graph/ir.h"
#include "graph/shape.h"

void tri_value_replace(tri_graph *g, tri_value *from, tri_value *to) {
    for (tri_node *node = g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (node->operands[i] == from) node->operands[i] = to;
        }
    }
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].value == from) g->outputs[i].value = to;
    }
}

int32_t tri_value_count_uses(const tri_graph *g, const tri_value *value) {
    int32_t n = 0;
    for (const tri_node *node = g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++)
            n += node->operands[i] == value;
    }
    for (int32_t i = 0; i < g->n_outputs; i++)
        n += g->outputs[i].value == value;
    return n;
}

static void unlink_node(tri_graph *g, tri_node *node) {
    if (node->op == TRI_OP_WEIGHT) {
        int64_t index;
        if (tri_map_get(&g->weight_index, tri_str_of(tri_node_string(node, "name")), &index) &&
            g->weights[index].value == node->results[0])
            g->weights[index].value = NULL;
    }
    if (node->previous)
        node->previous->next = node->next;
    else
        g->first = node->next;
    if (node->next)
        node->next->previous = node->previous;
    else
        g->last = node->previous;
    node->previous = node->next = NULL;
    g->n_nodes--;
}

void tri_node_remove(tri_graph *g, tri_node *node) {
    for (int32_t i = 0; i < node->n_results; i++)
        TRI_ASSERT(tri_value_count_uses(g, node->results[i]) == 0);
    unlink_node(g, node);
    if (node->op == TRI_OP_CACHE || node->op == TRI_OP_COUNTS) tri_graph_count_groups(g);
}

/* A node that does something beside its results.  A receive pairs with another rank's send. */
static bool has_effect(const tri_node *node) {
    switch (node->op) {
    case TRI_OP_KV_WRITE:
    case TRI_OP_ROPE_KV_WRITE:
    case TRI_OP_COUNT_TOKENS:
    case TRI_OP_SEND:
    case TRI_OP_RECEIVE:
        return true;
    default:
        return false;
    }
}

/* Operands are defined before uses, so that one walk backwards has seen every user of a node before
 * the node itself. */
void tri_graph_remove_dead(tri_graph *g) {
    bool *used = calloc((size_t)g->next_id + 1, sizeof *used);
    if (!used) {
        tri_graph_fail(g, TRI_E_MEMORY, "removing dead nodes: out of memory");
        return;
    }
    for (int32_t i = 0; i < g->n_outputs; i++)
        used[g->outputs[i].value->id] = true;
    for (tri_node *node = g->last, *previous; node; node = previous) {
        previous = node->previous;
        bool keep = has_effect(node);
        for (int32_t i = 0; i < node->n_results; i++)
            keep = keep || used[node->results[i]->id];
        if (!keep) {
            unlink_node(g, node);
            continue;
        }
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (node->operands[i]) used[node->operands[i]->id] = true;
        }
    }
    free(used);
    tri_graph_count_groups(g);
}

tri_status tri_graph_infer(tri_graph *g, tri_error *err) {
    for (tri_node *node = g->first; node; node = node->next) {
        tri_type types[TRI_MAX_RESULTS];
        tri_status rc = tri_shape_infer(g, node, types, err);
        if (rc) {
            if (*node->scope) tri_error_context(err, "%s", node->scope);
            return rc;
        }
        tri_node_set_types(g, node, types);
    }
    tri_graph_count_groups(g);
    return TRI_OK;
}

/* ---- copying ---- */

static tri_status copy_weights(const tri_graph *g, tri_graph *to) {
    for (int32_t i = 0; i < g->n_weights; i++) {
        const tri_type *t = &g->weights[i].type;
        tri_graph_declare_weight(to, g->weights[i].name, t->dtype, t->dims, t->n_dims);
        if (!to->error.status) tri_graph_set_weight_type(to, g->weights[i].name, t);
    }
    return to->error.status;
}

/* `values` maps ids of g to values of the copy. */
static tri_status copy_node(
    const tri_graph *g, tri_graph *to, const tri_node *node, tri_value **values) {
    tri_value *operands[TRI_MAX_OPERANDS];
    tri_type types[TRI_MAX_RESULTS];
    tri_node *copy;
    for (int32_t i = 0; i < node->n_operands; i++)
        operands[i] = node->operands[i] ? values[node->operands[i]->id] : NULL;
    for (int32_t i = 0; i < node->n_results; i++)
        types[i] = node->results[i]->type;
    if (node->plugin)
        copy = tri_node_create_plugin(
            to, NULL, node->plugin, operands, node->n_operands, node->attrs, node->n_attrs);
    else
        copy = tri_node_create_typed(
            to, NULL, node->op, operands, node->n_operands, node->attrs, node->n_attrs, types);
    if (to->error.status) return to->error.status;
    const char *scope = tri_graph_intern(to, node->scope);
    copy->scope = scope ? scope : "";
    copy->version = node->version;
    for (int32_t i = 0; i < node->n_results; i++) {
        int32_t id = node->results[i]->id;
        copy->results[i]->id = id;
        values[id] = copy->results[i];
    }
    if (node->op == TRI_OP_WEIGHT) {
        int64_t index;
        const char *name = tri_node_string(node, "name");
        if (tri_map_get(&g->weight_index, tri_str_of(name), &index) &&
            g->weights[index].value == node->results[0])
            to->weights[index].value = copy->results[0];
    }
    return to->error.status;
}

tri_status tri_graph_clone(const tri_graph *g, tri_graph **copy, tri_error *err) {
    tri_graph *to = NULL;
    tri_value **values = NULL;
    tri_status rc = g->error.status;
    if (rc) {
        rc = TRI_FAIL(err, rc, "%s", g->error.message);
        goto done;
    }
    rc = tri_graph_create(&to, g->name, err);
    if (rc) goto done;
    values = calloc((size_t)g->next_id + 1, sizeof *values);
    if (!values) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        goto done;
    }
    to->plugins = g->plugins;
    to->kv_dtype = g->kv_dtype;
    to->tokens_per_block = g->tokens_per_block;
    to->n_groups = g->n_groups;
    memcpy(to->groups, g->groups, sizeof to->groups);
    tri_graph_count_groups(to);
    rc = copy_weights(g, to);
    for (const tri_node *node = g->first; !rc && node; node = node->next)
        rc = copy_node(g, to, node, values);
    for (int32_t i = 0; !rc && i < g->n_outputs; i++) {
        tri_graph_set_output(to, g->outputs[i].name, values[g->outputs[i].value->id]);
        rc = to->error.status;
    }
    if (rc) {
        rc = TRI_FAIL(err, rc, "%s", to->error.message);
        goto done;
    }
    to->next_id = g->next_id;
    *copy = to;

done:
    free(values);
    if (rc) {
        tri_graph_destroy(to);
        tri_error_context(err, "copying graph %s", g->name);
    }
    return rc;
}
