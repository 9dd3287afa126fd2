/* ir.c - graphs and nodes: creation, names, attributes, groups. */
#include "graph/ir.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "graph/plugins.h"
#include "graph/shape.h"

enum { DEFAULT_TOKENS_PER_BLOCK = 32 };

/* ---- graphs ---- */

/* What a create that failed returns: results of a type that no rule reads, since every later create
 * sees the sticky error first. */
static bool make_broken(tri_graph *g) {
    tri_node *node = TRI_NEW(&g->arena, tri_node);
    if (!node) return false;
    *node = (tri_node){.op = TRI_OP_INPUT, .n_results = TRI_MAX_RESULTS, .scope = ""};
    for (int32_t i = 0; i < TRI_MAX_RESULTS; i++) {
        tri_value *value = TRI_NEW(&g->arena, tri_value);
        if (!value) return false;
        *value = (tri_value){
            .id = -1, .type = tri_type_tensor(TRI_F32, 2, TRI_DIM_T, 1), .node = node, .result = i};
        node->results[i] = value;
    }
    g->broken = node;
    return true;
}

tri_status tri_graph_create(tri_graph **graph, const char *name, tri_error *err) {
    if (!name) return TRI_FAIL(err, TRI_E_ARGUMENT, "graph: name is NULL");
    tri_graph *g = calloc(1, sizeof *g);
    if (!g) return TRI_FAIL(err, TRI_E_MEMORY, "graph %s: out of memory", name);
    tri_arena_init(&g->arena, 0);
    g->kv_dtype = TRI_F32;
    g->tokens_per_block = DEFAULT_TOKENS_PER_BLOCK;
    g->scopes[0] = "";
    g->name = tri_graph_intern(g, name);
    if (!g->name || !make_broken(g)) {
        tri_graph_destroy(g);
        return TRI_FAIL(err, TRI_E_MEMORY, "graph %s: out of memory", name);
    }
    *graph = g;
    return TRI_OK;
}

void tri_graph_destroy(tri_graph *g) {
    if (!g) return;
    free(g->weights);
    tri_map_deinit(&g->weight_index);
    tri_map_deinit(&g->strings);
    tri_arena_deinit(&g->arena);
    if (g->release) g->release(g->owned);
    free(g);
}

static const char *current_scope(const tri_graph *g) {
    return g->n_scopes > 0 ? g->scopes[g->n_scopes - 1] : "";
}

tri_status tri_graph_fail(tri_graph *g, tri_status status, const char *format, ...) {
    char text[sizeof g->error.message];
    if (g->error.status) return g->error.status;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tri_fail(&g->error, status, "%s", text);
    if (*current_scope(g)) tri_error_context(&g->error, "%s", current_scope(g));
    return status;
}

const char *tri_graph_intern(tri_graph *g, const char *text) {
    int64_t at;
    if (tri_map_get(&g->strings, tri_str_of(text), &at)) return (const char *)(intptr_t)at;
    char *copy = tri_arena_strdup(&g->arena, text);
    if (!copy || tri_map_put(&g->strings, tri_str_of(copy), (int64_t)(intptr_t)copy, NULL)) {
        tri_graph_fail(g, TRI_E_MEMORY, "out of memory for names");
        return NULL;
    }
    return copy;
}

void tri_graph_set_plugins(tri_graph *g, const struct tri_plugin_registry *plugins) {
    g->plugins = plugins;
}

/* ---- weights ---- */

static bool find_weight(const tri_graph *g, const char *name, int64_t *index) {
    return tri_map_get(&g->weight_index, tri_str_of(name), index);
}

void tri_graph_declare_weight(
    tri_graph *g, const char *name, tri_dtype dtype, const int64_t *dims, int32_t n_dims) {
    int64_t index;
    if (g->error.status) return;
    if (!name || !*name || n_dims < 0 || n_dims > TRI_MAX_DIMS || (uint32_t)dtype >= TRI_N_DTYPES) {
        tri_graph_fail(g, TRI_E_ARGUMENT,
            "declaring weight '%s': a name is needed, %" PRId32
            " dims where 0 to %d can be, dtype %d",
            name ? name : "(null)", n_dims, TRI_MAX_DIMS, (int)dtype);
        return;
    }
    if (find_weight(g, name, &index)) {
        tri_graph_fail(g, TRI_E_ARGUMENT, "weight '%s' is declared twice", name);
        return;
    }
    if (g->n_weights == g->cap_weights) {
        int32_t cap = g->cap_weights ? 2 * g->cap_weights : 64;
        tri_graph_weight *grown =
            cap > g->cap_weights ? realloc(g->weights, (size_t)cap * sizeof *grown) : NULL;
        if (!grown) {
            tri_graph_fail(g, TRI_E_MEMORY, "weight '%s': out of memory", name);
            return;
        }
        g->weights = grown;
        g->cap_weights = cap;
    }
    tri_graph_weight *w = &g->weights[g->n_weights];
    *w = (tri_graph_weight){.name = tri_graph_intern(g, name),
        .type = {.kind = TRI_TYPE_TENSOR, .dtype = dtype, .n_dims = n_dims, .layout = "row"}};
    for (int32_t i = 0; i < n_dims; i++)
        w->type.dims[i] = dims[i];
    if (n_dims == 0) {
        w->type.n_dims = 1;
        w->type.dims[0] = 1;
    }
    if (!w->name || tri_map_put(&g->weight_index, tri_str_of(w->name), g->n_weights, NULL)) {
        tri_graph_fail(g, TRI_E_MEMORY, "weight '%s': out of memory", name);
        return;
    }
    g->n_weights++;
}

void tri_graph_set_weight_type(tri_graph *g, const char *name, const tri_type *type) {
    int64_t index;
    if (!find_weight(g, name, &index)) {
        tri_graph_fail(g, TRI_E_NOT_FOUND, "weight '%s' is not declared", name);
        return;
    }
    const char *layout = tri_graph_intern(g, type->layout);
    g->weights[index].type = *type;
    g->weights[index].type.layout = layout ? layout : "row";
}

/* ---- nodes ---- */

typedef struct node_spec {
    tri_node *before;
    tri_op op;
    const char *plugin; /* interned name, with its op below; else NULL */
    const tri_plugin_op *plugin_op;
    tri_value *const *operands;
    int32_t n_operands;
    const tri_attr *attrs;
    int32_t n_attrs;
    const tri_type *types; /* of sources without a rule; else NULL */
} node_spec;

static const char *spec_name(const node_spec *spec) {
    return spec->plugin ? spec->plugin : tri_op_get(spec->op)->name;
}

static tri_status set_operands(tri_node *node, const node_spec *spec, tri_error *err) {
    const tri_op_info *info = tri_op_get(spec->op);
    int32_t n_slots = spec->plugin_op ? spec->plugin_op->n_inputs : info->n_operands;
    if (spec->n_operands > n_slots)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%" PRId32 " operands, it takes %" PRId32,
            spec->n_operands, n_slots);
    node->n_operands = n_slots;
    for (int32_t i = 0; i < n_slots; i++) {
        tri_value *value = i < spec->n_operands ? spec->operands[i] : NULL;
        if (!value && !spec->plugin && !info->operand_optional[i])
            return TRI_FAIL(err, TRI_E_ARGUMENT, "operand %s is left out", info->operand_names[i]);
        node->operands[i] = value;
    }
    return TRI_OK;
}

static tri_status default_attrs(
    tri_graph *g, tri_node *node, const node_spec *spec, tri_error *err) {
    const tri_op_info *info = tri_op_get(spec->op);
    const tri_plugin_op *plugin = spec->plugin_op;
    node->n_attrs = plugin ? plugin->n_fields : info->n_attrs;
    if (node->n_attrs == 0) return TRI_OK;
    node->attrs = TRI_NEW_N(&g->arena, tri_attr, node->n_attrs);
    if (!node->attrs) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int32_t i = 0; i < node->n_attrs; i++) {
        if (!plugin) {
            node->attrs[i] = info->attrs[i];
            continue;
        }
        const tri_plugin_field *field = &plugin->fields[i];
        const char *text = field->kind == 2 && field->s ? field->s : "";
        node->attrs[i] = (tri_attr){.name = tri_graph_intern(g, field->name),
            .kind = field->kind == 0   ? TRI_ATTR_INT
                    : field->kind == 1 ? TRI_ATTR_FLOAT
                                       : TRI_ATTR_STRING,
            .i = field->i,
            .f = field->f,
            .s = tri_graph_intern(g, text)};
        if (!node->attrs[i].name || !node->attrs[i].s)
            return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    }
    return TRI_OK;
}

static tri_status set_attr(tri_graph *g, tri_attr *to, const tri_attr *from, tri_error *err) {
    static const char *const kinds[] = {"an integer", "a float", "a string", "a list of floats"};
    if (from->kind != to->kind)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%s is %s, given is %s", to->name, kinds[to->kind],
            kinds[from->kind]);
    switch (to->kind) {
    case TRI_ATTR_INT:
        to->i = from->i;
        break;
    case TRI_ATTR_FLOAT:
        if (!isfinite(from->f))
            return TRI_FAIL(err, TRI_E_ARGUMENT, "%s is %g, it must be finite", to->name, from->f);
        to->f = from->f;
        break;
    case TRI_ATTR_STRING:
        if (!from->s) return TRI_FAIL(err, TRI_E_ARGUMENT, "%s is NULL", to->name);
        to->s = tri_graph_intern(g, from->s);
        if (!to->s) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        break;
    case TRI_ATTR_FLOATS: {
        double *copy = NULL;
        if (from->n_fs < 0 || (from->n_fs > 0 && !from->fs))
            return TRI_FAIL(
                err, TRI_E_ARGUMENT, "%s has %" PRId32 " numbers", to->name, from->n_fs);
        if (from->n_fs > 0) copy = TRI_NEW_N(&g->arena, double, from->n_fs);
        if (from->n_fs > 0 && !copy) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        for (int32_t i = 0; i < from->n_fs; i++) {
            if (!isfinite(from->fs[i]))
                return TRI_FAIL(err, TRI_E_ARGUMENT, "%s[%" PRId32 "] is not finite", to->name, i);
            copy[i] = from->fs[i];
        }
        to->fs = copy;
        to->n_fs = from->n_fs;
        break;
    }
    }
    return TRI_OK;
}

static tri_status set_attrs(tri_graph *g, tri_node *node, const node_spec *spec, tri_error *err) {
    TRI_TRY(default_attrs(g, node, spec, err));
    for (int32_t i = 0; i < spec->n_attrs; i++) {
        tri_attr *to = NULL;
        for (int32_t k = 0; k < node->n_attrs && !to; k++) {
            if (strcmp(node->attrs[k].name, spec->attrs[i].name) == 0) to = &node->attrs[k];
        }
        if (!to) {
            const char *names[TRI_MAX_ATTRS];
            for (int32_t k = 0; k < node->n_attrs; k++)
                names[k] = node->attrs[k].name;
            const char *near = tri_nearest(spec->attrs[i].name, names, (size_t)node->n_attrs);
            return TRI_FAIL(err, TRI_E_ARGUMENT, "attribute '%s' does not exist%s%s%s",
                spec->attrs[i].name, near ? "; did you mean '" : "", near ? near : "",
                near ? "'" : "");
        }
        TRI_TRY(set_attr(g, to, &spec->attrs[i], err));
    }
    return TRI_OK;
}

static void count_member(tri_graph *g, const tri_node *node);

/* Weights and what needs no run-time operand; collectives stay where all ranks meet. */
bool tri_node_is_constant(const tri_node *node) {
    if (node->op == TRI_OP_WEIGHT || node->op == TRI_OP_ROPE_FREQUENCIES) return true;
    bool any = false;
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (!node->operands[i]) continue;
        if (!node->operands[i]->constant) return false;
        any = true;
    }
    return any;
}

void tri_node_set_types(tri_graph *g, tri_node *node, const tri_type *types) {
    bool constant = tri_node_is_constant(node);
    for (int32_t i = 0; i < node->n_results; i++) {
        tri_value *value = node->results[i];
        const char *layout =
            strcmp(types[i].layout, "row") == 0 ? "row" : tri_graph_intern(g, types[i].layout);
        value->type = types[i];
        value->type.layout = layout ? layout : "row";
        value->constant = constant;
    }
}

static tri_status make_results(
    tri_graph *g, tri_node *node, const node_spec *spec, tri_error *err) {
    tri_type types[TRI_MAX_RESULTS];
    node->n_results =
        spec->plugin_op ? spec->plugin_op->n_outputs : tri_op_get(spec->op)->n_results;
    if (g->next_id > TRI_MAX_VALUES - TRI_MAX_RESULTS)
        return TRI_FAIL(err, TRI_E_LIMIT, "the graph has more than %d values", TRI_MAX_VALUES);
    for (int32_t i = 0; i < node->n_results; i++) {
        tri_value *value = TRI_NEW(&g->arena, tri_value);
        if (!value) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        *value = (tri_value){.id = g->next_id + i, .node = node, .result = i};
        value->type = spec->types ? spec->types[i] : tri_type_tensor(TRI_F32, 1, 1, 0);
        node->results[i] = value;
    }
    tri_status rc = tri_shape_infer(g, node, types, err);
    if (rc) return rc;
    tri_node_set_types(g, node, types);
    g->next_id += node->n_results;
    return TRI_OK;
}

static void link_node(tri_graph *g, tri_node *before, tri_node *node) {
    node->next = before;
    node->previous = before ? before->previous : g->last;
    if (node->previous)
        node->previous->next = node;
    else
        g->first = node;
    if (before)
        before->previous = node;
    else
        g->last = node;
    g->n_nodes++;
}

static tri_node *create(tri_graph *g, const node_spec *spec) {
    tri_error err = {0};
    bool named = false; /* shape inference puts the op in front itself */
    if (g->error.status) return g->broken;
    tri_node *node = TRI_NEW(&g->arena, tri_node);
    tri_status rc = node ? TRI_OK : TRI_FAIL(&err, TRI_E_MEMORY, "out of memory");
    if (rc) goto done;
    *node = (tri_node){.op = spec->op,
        .version = spec->plugin_op ? spec->plugin_op->version : tri_op_get(spec->op)->version,
        .scope = spec->before ? spec->before->scope : current_scope(g),
        .plugin = spec->plugin};
    rc = set_operands(node, spec, &err);
    if (!rc) rc = set_attrs(g, node, spec, &err);
    if (rc) goto done;
    named = true;
    rc = make_results(g, node, spec, &err);
    if (rc) goto done;
    link_node(g, spec->before, node);
    count_member(g, node);

done:
    if (rc) {
        if (!named) tri_error_context(&err, "%s", spec_name(spec));
        tri_graph_fail(g, rc, "%s", err.message);
        return g->broken;
    }
    return node;
}

tri_node *tri_node_create_typed(tri_graph *g, tri_node *before, tri_op op,
    tri_value *const *operands, int32_t n_operands, const tri_attr *attrs, int32_t n_attrs,
    const tri_type *types) {
    TRI_ASSERT(op < TRI_N_OPS && op != TRI_OP_PLUGIN);
    return create(g, &(node_spec){.before = before,
                         .op = op,
                         .operands = operands,
                         .n_operands = n_operands,
                         .attrs = attrs,
                         .n_attrs = n_attrs,
                         .types = types});
}

tri_node *tri_node_create(tri_graph *g, tri_node *before, tri_op op, tri_value *const *operands,
    int32_t n_operands, const tri_attr *attrs, int32_t n_attrs) {
    return tri_node_create_typed(g, before, op, operands, n_operands, attrs, n_attrs, NULL);
}

tri_node *tri_node_create_plugin(tri_graph *g, tri_node *before, const char *name,
    tri_value *const *operands, int32_t n_operands, const tri_attr *attrs, int32_t n_attrs) {
    const tri_plugin_op *op = tri_plugin_registry_find_op(g->plugins, name);
    if (!op) {
        tri_graph_fail(g, TRI_E_NOT_FOUND,
            "plugin op '%s' is not among the %" PRId32
            " that are loaded; name its library: --plugin",
            name, tri_plugin_registry_count(g->plugins));
        return g->broken;
    }
    const char *interned = tri_graph_intern(g, name);
    if (!interned) return g->broken;
    return create(g, &(node_spec){.before = before,
                         .op = TRI_OP_PLUGIN,
                         .plugin = interned,
                         .plugin_op = op,
                         .operands = operands,
                         .n_operands = n_operands,
                         .attrs = attrs,
                         .n_attrs = n_attrs});
}

/* ---- attributes and operands ---- */

const tri_attr *tri_node_attr(const tri_node *node, const char *attr) {
    for (int32_t i = 0; i < node->n_attrs; i++) {
        if (strcmp(node->attrs[i].name, attr) == 0) return &node->attrs[i];
    }
    return NULL;
}

int64_t tri_node_int(const tri_node *node, const char *attr) {
    const tri_attr *a = tri_node_attr(node, attr);
    TRI_ASSERT(a && a->kind == TRI_ATTR_INT);
    return a->i;
}

double tri_node_float(const tri_node *node, const char *attr) {
    const tri_attr *a = tri_node_attr(node, attr);
    TRI_ASSERT(a && a->kind == TRI_ATTR_FLOAT);
    return a->f;
}

const char *tri_node_string(const tri_node *node, const char *attr) {
    const tri_attr *a = tri_node_attr(node, attr);
    TRI_ASSERT(a && a->kind == TRI_ATTR_STRING);
    return a->s;
}

tri_value *tri_node_operand(const tri_node *node, const char *name) {
    const tri_op_info *info = tri_op_get(node->op);
    for (int32_t i = 0; i < info->n_operands; i++) {
        if (strcmp(info->operand_names[i], name) == 0) return node->operands[i];
    }
    return NULL;
}

/* ---- groups ---- */

int32_t tri_group_find(
    tri_graph *g, tri_group_kind kind, int32_t window, int32_t tokens_per_block) {
    bool paged = kind != TRI_GROUP_RECURRENT;
    if (g->error.status) return -1;
    if (paged && (tokens_per_block < 1 || tokens_per_block > 65536)) {
        tri_graph_fail(g, TRI_E_ARGUMENT, "tokens_per_block is %" PRId32 ", it must be 1 to 65536",
            tokens_per_block);
        return -1;
    }
    if ((kind == TRI_GROUP_SLIDING) != (window > 0)) {
        tri_graph_fail(
            g, TRI_E_ARGUMENT, "window is %" PRId32 ", only sliding groups have one", window);
        return -1;
    }
    for (int32_t i = 0; i < g->n_groups; i++) {
        const tri_group *group = &g->groups[i];
        if (group->kind == kind && group->window == window &&
            (!paged || group->tokens_per_block == tokens_per_block))
            return i;
    }
    if (g->n_groups == TRI_MAX_GROUPS) {
        tri_graph_fail(g, TRI_E_LIMIT,
            "more than %d kinds of cache (kind, window, block size) in one graph", TRI_MAX_GROUPS);
        return -1;
    }
    g->groups[g->n_groups] = (tri_group){
        .kind = kind, .window = window, .tokens_per_block = paged ? tokens_per_block : 0};
    return g->n_groups++;
}

tri_member_bytes tri_group_member_bytes(const tri_node *node) {
    const tri_type *t = &node->results[0]->type;
    if (node->op == TRI_OP_CACHE)
        return (tri_member_bytes){
            .per_token = 2 * tri_dtype_row_bytes(t->dtype, t->dims[0] * t->dims[1])};
    return (tri_member_bytes){.per_sequence = tri_dtype_row_bytes(t->dtype, t->dims[0])};
}

static void count_member(tri_graph *g, const tri_node *node) {
    if (node->op != TRI_OP_CACHE && node->op != TRI_OP_COUNTS) return;
    tri_member_bytes bytes = tri_group_member_bytes(node);
    tri_group *group = &g->groups[tri_node_int(node, "group")];
    group->n_layers++;
    group->bytes_per_token += bytes.per_token;
    group->bytes_per_sequence += bytes.per_sequence;
}

void tri_graph_count_groups(tri_graph *g) {
    for (int32_t i = 0; i < g->n_groups; i++) {
        g->groups[i].n_layers = 0;
        g->groups[i].bytes_per_token = g->groups[i].bytes_per_sequence = 0;
    }
    for (const tri_node *node = g->first; node; node = node->next)
        count_member(g, node);
}
