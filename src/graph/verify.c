/* verify.c - what every graph must satisfy, checked when it is finished, between passes and after
 * reading.
 *
 *  1  No error is pending.
 *  2  The node list is whole: links agree, n_nodes counts them, every result knows its node, ids
 * are unique and below next_id. 3  Definitions come before uses, and every value used is defined in
 * this graph. 4  Nodes have the operands, results, attributes and version of the op table or of
 * their plugin. 5  Types and constness are what inference says. 6  Groups: block size and window
 * fit the kind; members are numbered 0 .. n_layers - 1, each once; n_layers and byte counts are
 * theirs. 7  A cache or state has one live version: each version is written at most once, and
 * nothing uses it after the write. 8  Attention over a sliding group sees no further than the
 * group's window keeps. 9  Constants have static dims and are at most TRI_MAX_CONSTANT_DEPTH ops
 * from their sources. 10  There is an output or a send; outputs are run-time tensors with names of
 * their own. */
#include <stdlib.h>
#include <string.h>

#include "graph/ir.h"
#include "graph/plugins.h"
#include "graph/shape.h"

typedef struct fact { /* of one value */
    const tri_value *value;
    const tri_node *source; /* of a cache or state: the cache or counts node it began as */
    bool written;           /* a later version exists */
    int32_t depth;
} fact;

typedef struct verifier {
    const tri_graph *g;
    fact *facts; /* by id */
} verifier;

#define RULE(err, number, ...) TRI_FAIL((err), TRI_E_INTERNAL, "rule " #number ": " __VA_ARGS__)

static tri_status check_list(const tri_graph *g, tri_error *err) {
    const tri_node *previous = NULL;
    int32_t n = 0;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->previous != previous || ++n > g->n_nodes)
            return RULE(err, 2, "the node list is broken after %" PRId32 " nodes", n);
        previous = node;
    }
    if (n != g->n_nodes || g->last != previous)
        return RULE(err, 2, "%" PRId32 " nodes are listed, %" PRId32 " counted", n, g->n_nodes);
    return TRI_OK;
}

static tri_status check_definition(verifier *v, const tri_node *node, tri_error *err) {
    for (int32_t i = 0; i < node->n_results; i++) {
        const tri_value *value = node->results[i];
        if (!value || value->node != node || value->result != i)
            return RULE(err, 2, "result %" PRId32 " does not know its node", i);
        if (value->id < 0 || value->id >= v->g->next_id)
            return RULE(
                err, 2, "%%%" PRId32 " is not below next_id %" PRId32, value->id, v->g->next_id);
        if (v->facts[value->id].value)
            return RULE(err, 2, "%%%" PRId32 " is defined twice", value->id);
        v->facts[value->id].value = value;
    }
    return TRI_OK;
}

static tri_status check_uses(verifier *v, const tri_node *node, tri_error *err) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        if (!value) continue;
        if (value->id < 0 || value->id >= v->g->next_id || v->facts[value->id].value != value)
            return RULE(err, 3, "operand %%%" PRId32 " is not defined before this use", value->id);
    }
    return TRI_OK;
}

static tri_status check_attrs(
    const tri_node *node, const tri_op_info *info, const tri_plugin_op *plugin, tri_error *err) {
    int32_t n = plugin ? plugin->n_fields : info->n_attrs;
    if (node->n_attrs != n)
        return RULE(err, 4, "%" PRId32 " attributes, %" PRId32 " are due", node->n_attrs, n);
    for (int32_t i = 0; i < n; i++) {
        const tri_attr *a = &node->attrs[i];
        const char *name = plugin ? plugin->fields[i].name : info->attrs[i].name;
        if (strcmp(a->name, name) != 0)
            return RULE(err, 4, "attribute %" PRId32 " is %s, %s is due", i, a->name, name);
        if (!plugin && a->kind != info->attrs[i].kind)
            return RULE(err, 4, "attribute %s has another kind", name);
        if (a->kind == TRI_ATTR_STRING && !a->s) return RULE(err, 4, "attribute %s is NULL", name);
    }
    return TRI_OK;
}

static tri_status check_form(const verifier *v, const tri_node *node, tri_error *err) {
    if ((uint32_t)node->op >= TRI_N_OPS) return RULE(err, 4, "op %d does not exist", (int)node->op);
    const tri_op_info *info = tri_op_get(node->op);
    const tri_plugin_op *plugin = NULL;
    if (node->op == TRI_OP_PLUGIN) {
        plugin = tri_plugin_registry_find_op(v->g->plugins, node->plugin);
        if (!plugin)
            return TRI_FAIL(err, TRI_E_NOT_FOUND,
                "plugin op '%s' is not loaded; name its library: --plugin",
                node->plugin ? node->plugin : "(null)");
    }
    int32_t version = plugin ? plugin->version : info->version;
    if (node->version != version)
        return TRI_FAIL(err, TRI_E_VERSION,
            "rule 4: version %" PRId32 ", this build has version %" PRId32, node->version, version);
    int32_t n_operands = plugin ? plugin->n_inputs : info->n_operands;
    int32_t n_results = plugin ? plugin->n_outputs : info->n_results;
    if (node->n_operands != n_operands || node->n_results != n_results)
        return RULE(err, 4,
            "%" PRId32 " operands and %" PRId32 " results, %" PRId32 " and %" PRId32 " are due",
            node->n_operands, node->n_results, n_operands, n_results);
    for (int32_t i = 0; i < n_operands; i++) {
        if (!node->operands[i] && !plugin && !info->operand_optional[i])
            return RULE(err, 4, "operand %s is left out", info->operand_names[i]);
    }
    return check_attrs(node, info, plugin, err);
}

static tri_status check_types(const verifier *v, const tri_node *node, tri_error *err) {
    tri_type types[TRI_MAX_RESULTS];
    bool constant = tri_node_is_constant(node);
    tri_status rc = tri_shape_infer(v->g, node, types, err);
    if (rc) {
        tri_error_context(err, "rule 5");
        return rc;
    }
    for (int32_t i = 0; i < node->n_results; i++) {
        const tri_value *value = node->results[i];
        if (!tri_type_equal(&value->type, &types[i]))
            return RULE(err, 5, "%%%" PRId32 " is %s, inference says %s", value->id,
                tri_type_print(&value->type).s, tri_type_print(&types[i]).s);
        if (value->constant != constant)
            return RULE(err, 5, "%%%" PRId32 " is marked %s", value->id,
                value->constant ? "constant" : "computed at run time");
    }
    return TRI_OK;
}

static bool is_memory(const tri_value *value) {
    return value && value->type.kind != TRI_TYPE_TENSOR;
}

static tri_status check_memory(verifier *v, const tri_node *node, tri_error *err) {
    const tri_node *source = node;
    bool writes = false;
    for (int32_t i = 0; i < node->n_results; i++)
        writes = writes || is_memory(node->results[i]);
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        if (!is_memory(value)) continue;
        if (v->facts[value->id].written)
            return RULE(err, 7, "%%%" PRId32 " is used after it was written: use the later version",
                value->id);
        if (writes) v->facts[value->id].written = true;
        source = v->facts[value->id].source;
    }
    for (int32_t i = 0; i < node->n_results; i++) {
        if (is_memory(node->results[i])) v->facts[node->results[i]->id].source = source;
    }
    return TRI_OK;
}

static tri_status check_window(const verifier *v, const tri_node *node, tri_error *err) {
    if (node->op != TRI_OP_ATTENTION) return TRI_OK;
    const tri_node *cache = v->facts[tri_node_operand(node, "cache")->id].source;
    const tri_group *group = &v->g->groups[tri_node_int(cache, "group")];
    int64_t window = tri_node_int(node, "window");
    if (group->kind == TRI_GROUP_SLIDING && (window < 1 || window > group->window))
        return RULE(err, 8, "window=%" PRId64 " over a group that keeps %" PRId32 " positions",
            window, group->window);
    return TRI_OK;
}

static tri_status check_constant(verifier *v, const tri_node *node, tri_error *err) {
    int32_t depth = 0;
    if (node->n_results == 0 || !node->results[0]->constant) return TRI_OK;
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (!node->operands[i]) continue;
        int32_t d = v->facts[node->operands[i]->id].depth;
        if (d > depth) depth = d;
    }
    if (depth + 1 > TRI_MAX_CONSTANT_DEPTH)
        return TRI_FAIL(err, TRI_E_LIMIT, "rule 9: a constant derived by more than %d ops in a row",
            TRI_MAX_CONSTANT_DEPTH);
    for (int32_t i = 0; i < node->n_results; i++) {
        const tri_type *t = &node->results[i]->type;
        v->facts[node->results[i]->id].depth = depth + 1;
        if (t->kind != TRI_TYPE_TENSOR || t->dims[0] < 1)
            return RULE(
                err, 9, "constant %%%" PRId32 " is %s", node->results[i]->id, tri_type_print(t).s);
    }
    return TRI_OK;
}

static tri_status check_node(verifier *v, const tri_node *node, tri_error *err) {
    TRI_TRY(check_form(v, node, err));
    TRI_TRY(check_uses(v, node, err));
    TRI_TRY(check_definition(v, node, err));
    TRI_TRY(check_types(v, node, err));
    TRI_TRY(check_memory(v, node, err));
    TRI_TRY(check_window(v, node, err));
    return check_constant(v, node, err);
}

/* ---- groups ---- */

static tri_status check_group_form(const tri_group *group, tri_error *err) {
    bool paged = group->kind != TRI_GROUP_RECURRENT;
    if (paged && (group->tokens_per_block < 1 || group->tokens_per_block > 65536))
        return RULE(err, 6, "tokens_per_block is %" PRId32 ", it must be 1 to 65536",
            group->tokens_per_block);
    if ((group->kind == TRI_GROUP_SLIDING) != (group->window > 0))
        return RULE(
            err, 6, "window is %" PRId32 "; sliding groups have one, others none", group->window);
    return TRI_OK;
}

static tri_status check_members(const tri_graph *g, int32_t index, tri_error *err) {
    const tri_group *group = &g->groups[index];
    tri_status rc = TRI_OK;
    int64_t per_token = 0, per_sequence = 0;
    int32_t n = 0;
    if (group->n_layers < 0 || group->n_layers > g->n_nodes)
        return RULE(
            err, 6, "n_layers is %" PRId32 " of %" PRId32 " nodes", group->n_layers, g->n_nodes);
    bool *seen = calloc((size_t)group->n_layers + 1, sizeof *seen);
    if (!seen) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op != TRI_OP_CACHE && node->op != TRI_OP_COUNTS) continue;
        if (tri_node_int(node, "group") != index) continue;
        tri_member_bytes bytes = tri_group_member_bytes(node);
        per_token += bytes.per_token;
        per_sequence += bytes.per_sequence;
        n++;
        if (node->op != TRI_OP_CACHE) continue;
        int64_t layer = tri_node_int(node, "layer");
        if (layer < 0 || layer >= group->n_layers || seen[layer]) {
            rc = RULE(err, 6,
                "layer %" PRId64 " of %" PRId32 " members: they are numbered from 0, each once",
                layer, group->n_layers);
            goto done;
        }
        seen[layer] = true;
    }
    if (n != group->n_layers || per_token != group->bytes_per_token ||
        per_sequence != group->bytes_per_sequence)
        rc = RULE(err, 6,
            "says %" PRId32 " members, %" PRId64 " bytes a token, %" PRId64
            " a sequence; its nodes say %" PRId32 ", %" PRId64 ", %" PRId64,
            group->n_layers, group->bytes_per_token, group->bytes_per_sequence, n, per_token,
            per_sequence);

done:
    free(seen);
    return rc;
}

static tri_status check_groups(const tri_graph *g, tri_error *err) {
    if (g->n_groups < 0 || g->n_groups > TRI_MAX_GROUPS)
        return RULE(err, 6, "%" PRId32 " groups", g->n_groups);
    for (int32_t i = 0; i < g->n_groups; i++) {
        tri_status rc = check_group_form(&g->groups[i], err);
        if (!rc) rc = check_members(g, i, err);
        if (rc) {
            tri_error_context(err, "group %" PRId32, i);
            return rc;
        }
    }
    return TRI_OK;
}

/* ---- outputs ---- */

static tri_status check_outputs(const verifier *v, tri_error *err) {
    const tri_graph *g = v->g;
    bool sends = false;
    for (const tri_node *node = g->first; node; node = node->next)
        sends = sends || node->op == TRI_OP_SEND;
    if (g->n_outputs == 0 && !sends)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "rule 10: the graph has neither an output nor a send; name one: tri_output_logits");
    for (int32_t i = 0; i < g->n_outputs; i++) {
        const tri_value *value = g->outputs[i].value;
        if (!value || value->id < 0 || value->id >= g->next_id ||
            v->facts[value->id].value != value)
            return RULE(err, 10, "output '%s' is not defined", g->outputs[i].name);
        if (value->type.kind != TRI_TYPE_TENSOR || value->constant)
            return RULE(err, 10, "output '%s' is %s%s, a run-time tensor is due",
                g->outputs[i].name, value->constant ? "constant " : "",
                tri_type_print(&value->type).s);
        for (int32_t k = 0; k < i; k++) {
            if (strcmp(g->outputs[k].name, g->outputs[i].name) == 0)
                return RULE(err, 10, "output '%s' is given twice", g->outputs[i].name);
        }
    }
    return TRI_OK;
}

static tri_status verify(const tri_graph *g, verifier *v, tri_error *err) {
    TRI_TRY(check_list(g, err));
    v->facts = calloc((size_t)g->next_id + 1, sizeof *v->facts);
    if (!v->facts) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (const tri_node *node = g->first; node; node = node->next) {
        tri_status rc = check_node(v, node, err);
        if (rc) {
            if (node->n_results > 0 && node->results[0])
                tri_error_context(err, "%%%" PRId32 " = %s", node->results[0]->id,
                    node->plugin ? node->plugin : tri_op_get(node->op)->name);
            if (*node->scope) tri_error_context(err, "%s", node->scope);
            return rc;
        }
    }
    TRI_TRY(check_groups(g, err));
    return check_outputs(v, err);
}

tri_status tri_graph_verify(const tri_graph *g, tri_error *err) {
    verifier v = {.g = g};
    tri_status rc = g->error.status;
    if (rc)
        rc = TRI_FAIL(err, rc, "%s", g->error.message);
    else
        rc = verify(g, &v, err);
    if (rc) tri_error_context(err, "graph %s", g->name);
    free(v.facts);
    return rc;
}
