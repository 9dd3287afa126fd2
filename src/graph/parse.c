/* parse.c - reads the text form (see ir.h and print.c).  The text is hostile: every length, number
 * and name is checked, nothing nests, and memory is capped.
 *
 *   text   = "trireme.graph" N eol "graph" string "{" eol line* "}" eol*
 *   line   = "group" N kind {name=integer} | "output" name = %id | node | nothing, then a comment
 *   node   = [%id {, %id} =] op [( operand {, operand} )] {name=value} [: type {, type}]
 *   op     = name[.version] | plugin.name[.version]
 *   type   = dtype[dim,...][@layout] | cache<dtype, heads, size> | state<dtype, n>
 *
 * The types written are held against inference; of weights, caches and input "logits" they are the
 * declaration.  The result need not satisfy verify: callers who got the text from outside run it.
 */
#include <stdlib.h>
#include <string.h>

#include "graph/ir.h"
#include "graph/lex.h"
#include "graph/plugins.h"
#include "graph/shape.h"

enum {
    TEXT_VERSION = 1,
    MAX_TEXT_BYTES = 16 << 20,
    MAX_ARENA_BYTES = 1 << 30,
    MAX_STRING_BYTES = 4096,
    MAX_FLOATS = TRI_MAX_HEAD_SIZE / 2
};

typedef struct parser {
    tri_lexer lex;
    int32_t line;
    tri_graph *g;
    tri_map ids; /* digits of an id, in the text, to its value's address */
    int64_t next_id;
} parser;

typedef struct parsed_node { /* one line, before the node is made */
    tri_op op;
    const tri_plugin_op *plugin;
    int64_t version;
    int32_t n_results, n_types, n_operands, n_attrs;
    tri_str ids[TRI_MAX_RESULTS];
    tri_value *operands[TRI_MAX_OPERANDS];
    tri_attr attrs[TRI_MAX_ATTRS];
    tri_type types[TRI_MAX_RESULTS];
    char name[80];
} parsed_node;

/* A quoted string, interned in the graph. */
static tri_status intern_string(parser *p, const char **text, tri_error *err) {
    char out[MAX_STRING_BYTES];
    TRI_TRY(tri_lex_string(&p->lex, out, sizeof out, err));
    *text = tri_graph_intern(p->g, out);
    return *text ? TRI_OK : TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
}

/* ---- values and types ---- */

/* The digits after %, without leading zeros so that they can be keys. */
static tri_status take_id(parser *p, tri_str *digits, tri_error *err) {
    int64_t id;
    if (!tri_lex_take(&p->lex, '%')) return tri_lex_expected(&p->lex, "%id", err);
    *digits = (tri_str){p->lex.at, 0};
    while (p->lex.at < p->lex.end && *p->lex.at >= '0' && *p->lex.at <= '9')
        p->lex.at++;
    digits->len = (size_t)(p->lex.at - digits->ptr);
    if (digits->len == 0 || (digits->len > 1 && digits->ptr[0] == '0') || digits->len > 9)
        return TRI_FAIL(err, TRI_E_FORMAT, "'%%%.*s' is no value id",
            digits->len > 24 ? 24 : (int)digits->len, digits->ptr);
    if (!tri_str_to_i64(*digits, &id) || id >= TRI_MAX_VALUES)
        return TRI_FAIL(err, TRI_E_LIMIT, "%%%.*s: ids are below %d", (int)digits->len, digits->ptr,
            TRI_MAX_VALUES);
    return TRI_OK;
}

static tri_status take_value(parser *p, tri_value **value, tri_error *err) {
    tri_str digits = {0};
    int64_t at;
    TRI_TRY(take_id(p, &digits, err));
    if (!tri_map_get(&p->ids, digits, &at))
        return TRI_FAIL(err, TRI_E_FORMAT, "%%%.*s is not defined before this use", (int)digits.len,
            digits.ptr);
    *value = (tri_value *)(intptr_t)at;
    return TRI_OK;
}

static tri_status take_dtype(parser *p, tri_dtype *dtype, tri_error *err) {
    char name[24] = "";
    const char *start = (tri_lex_skip_blanks(&p->lex), p->lex.at);
    if (!tri_lex_name(&p->lex, "", name, sizeof name) || !tri_dtype_parse(name, dtype)) {
        p->lex.at = start;
        return tri_lex_expected(&p->lex, "a dtype", err);
    }
    return TRI_OK;
}

static tri_status take_dim(parser *p, int64_t *dim, tri_error *err) {
    if (tri_lex_take(&p->lex, 'T'))
        *dim = TRI_DIM_T;
    else if (tri_lex_take(&p->lex, 'S'))
        *dim = TRI_DIM_S;
    else if (tri_lex_take(&p->lex, 'R'))
        *dim = TRI_DIM_R;
    else
        return tri_lex_integer(&p->lex, 1, TRI_MAX_ELEMS, "a dim", dim, err);
    return TRI_OK;
}

static tri_status take_dims(parser *p, char close, tri_type *type, tri_error *err) {
    do {
        if (type->n_dims == TRI_MAX_DIMS)
            return TRI_FAIL(err, TRI_E_LIMIT, "a type has more than %d dims", TRI_MAX_DIMS);
        TRI_TRY(take_dim(p, &type->dims[type->n_dims++], err));
    } while (tri_lex_take(&p->lex, ','));
    return tri_lex_expect(&p->lex, close, err);
}

static tri_status take_type(parser *p, tri_type *out, tri_error *err) {
    tri_type type = {.kind = TRI_TYPE_TENSOR, .layout = "row"};
    const char *start = (tri_lex_skip_blanks(&p->lex), p->lex.at);
    tri_str word = tri_lex_word(&p->lex, "");
    if (tri_str_is(word, "cache") || tri_str_is(word, "state")) {
        type.kind = tri_str_is(word, "cache") ? TRI_TYPE_CACHE : TRI_TYPE_STATE;
        TRI_TRY(tri_lex_expect(&p->lex, '<', err));
        TRI_TRY(take_dtype(p, &type.dtype, err));
        TRI_TRY(tri_lex_expect(&p->lex, ',', err));
        TRI_TRY(take_dims(p, '>', &type, err));
    } else {
        p->lex.at = start;
        TRI_TRY(take_dtype(p, &type.dtype, err));
        TRI_TRY(tri_lex_expect(&p->lex, '[', err));
        TRI_TRY(take_dims(p, ']', &type, err));
        if (tri_lex_take(&p->lex, '@')) {
            char layout[64];
            if (!tri_lex_name(&p->lex, "", layout, sizeof layout))
                return tri_lex_expected(&p->lex, "a layout", err);
            type.layout = tri_graph_intern(p->g, layout);
            if (!type.layout) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        }
    }
    TRI_TRY(tri_type_check(&type, err));
    *out = type;
    return TRI_OK;
}

/* ---- nodes ---- */

static tri_status take_op(parser *p, parsed_node *n, tri_error *err) {
    char name[80] = "";
    int64_t current;
    const char *start = (tri_lex_skip_blanks(&p->lex), p->lex.at);
    if (!tri_lex_name(&p->lex, "", name, sizeof name))
        return tri_lex_expected(&p->lex, "an op", err);
    bool plugin = strcmp(name, "plugin") == 0;
    if (plugin) {
        TRI_TRY(tri_lex_expect(&p->lex, '.', err));
        if (!tri_lex_name(&p->lex, "", name, sizeof name))
            return tri_lex_expected(&p->lex, "a plugin op", err);
        n->op = TRI_OP_PLUGIN;
        n->plugin = tri_plugin_registry_find_op(p->g->plugins, name);
        if (!n->plugin)
            return TRI_FAIL(err, TRI_E_NOT_FOUND,
                "plugin op '%s' is not among the %" PRId32
                " that are loaded; name its library: --plugin",
                name, tri_plugin_registry_count(p->g->plugins));
        current = n->plugin->version;
    } else {
        if (!tri_op_find(name, &n->op)) {
            p->lex.at = start;
            return tri_lex_expected(&p->lex, "an op", err);
        }
        current = tri_op_get(n->op)->version;
    }
    memcpy(n->name, name, sizeof n->name);
    n->version = 1;
    if (p->lex.at < p->lex.end && *p->lex.at == '.') {
        p->lex.at++;
        TRI_TRY(tri_lex_integer(&p->lex, 1, INT32_MAX, "an op's version", &n->version, err));
    }
    if (n->version > current)
        return TRI_FAIL(err, TRI_E_VERSION,
            "%s version %" PRId64 ": %s has version %" PRId64 "; read it with a newer one", name,
            n->version, plugin ? "the plugin loaded" : "this build", current);
    if (n->version < current)
        return TRI_FAIL(err, TRI_E_VERSION,
            "%s version %" PRId64 ": %s has version %" PRId64 " and no rule to upgrade it", name,
            n->version, plugin ? "the plugin loaded" : "this build", current);
    return TRI_OK;
}

static tri_status take_named_operand(parser *p, parsed_node *n, tri_error *err) {
    const tri_op_info *info = tri_op_get(n->op);
    char name[32] = "";
    const char *start = (tri_lex_skip_blanks(&p->lex), p->lex.at);
    if (tri_lex_name(&p->lex, "", name, sizeof name)) {
        for (int32_t i = 0; i < info->n_operands && !n->plugin; i++) {
            if (!info->operand_optional[i] || strcmp(info->operand_names[i], name) != 0) continue;
            if (n->operands[i])
                return TRI_FAIL(err, TRI_E_FORMAT, "operand %s is given twice", name);
            TRI_TRY(tri_lex_expect(&p->lex, '=', err));
            return take_value(p, &n->operands[i], err);
        }
    }
    p->lex.at = start;
    return tri_lex_expected(&p->lex, "an operand", err);
}

static tri_status take_operands(parser *p, parsed_node *n, tri_error *err) {
    const tri_op_info *info = tri_op_get(n->op);
    int32_t n_slots = n->plugin ? n->plugin->n_inputs : info->n_operands, position = 0;
    n->n_operands = n_slots;
    if (n_slots == 0) return TRI_OK;
    TRI_TRY(tri_lex_expect(&p->lex, '(', err));
    if (tri_lex_take(&p->lex, ')')) return TRI_OK;
    do {
        bool left_out = n->plugin && tri_lex_at(&p->lex, '_');
        if (!tri_lex_at(&p->lex, '%') && !left_out) {
            TRI_TRY(take_named_operand(p, n, err));
            continue;
        }
        if (position == n_slots || (!n->plugin && info->operand_optional[position]))
            return TRI_FAIL(
                err, TRI_E_FORMAT, "%s takes %" PRId32 " operands by position", n->name, position);
        if (left_out)
            tri_lex_take(&p->lex, '_');
        else
            TRI_TRY(take_value(p, &n->operands[position], err));
        position++;
    } while (tri_lex_take(&p->lex, ','));
    return tri_lex_expect(&p->lex, ')', err);
}

static tri_status take_floats(parser *p, tri_attr *a, tri_error *err) {
    int64_t n = 1;
    TRI_TRY(tri_lex_expect(&p->lex, '[', err));
    for (const char *c = p->lex.at; c < p->lex.end && *c != ']' && *c != '\n'; c++)
        n += *c == ',';
    if (n > MAX_FLOATS)
        return TRI_FAIL(err, TRI_E_LIMIT, "%s has %" PRId64 " numbers, at most %d can be", a->name,
            n, MAX_FLOATS);
    double *fs = TRI_NEW_N(&p->g->arena, double, n);
    if (!fs) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    a->fs = fs;
    if (tri_lex_take(&p->lex, ']')) return TRI_OK;
    do {
        TRI_TRY(tri_lex_number(&p->lex, a->name, &fs[a->n_fs], err));
        a->n_fs++;
    } while (a->n_fs < n && tri_lex_take(&p->lex, ','));
    return tri_lex_expect(&p->lex, ']', err);
}

/* The kind that attribute `name` of the op has; what the text looks like when there is none, so
 * that creating the node can say which there are. */
static tri_attr_kind attr_kind(parser *p, const parsed_node *n, const char *name) {
    const tri_op_info *info = tri_op_get(n->op);
    for (int32_t i = 0; n->plugin && i < n->plugin->n_fields; i++) {
        static const tri_attr_kind kinds[] = {TRI_ATTR_INT, TRI_ATTR_FLOAT, TRI_ATTR_STRING};
        if (strcmp(n->plugin->fields[i].name, name) == 0) return kinds[n->plugin->fields[i].kind];
    }
    for (int32_t i = 0; i < info->n_attrs; i++) {
        if (strcmp(info->attrs[i].name, name) == 0) return info->attrs[i].kind;
    }
    return tri_lex_at(&p->lex, '"')   ? TRI_ATTR_STRING
           : tri_lex_at(&p->lex, '[') ? TRI_ATTR_FLOATS
                                      : TRI_ATTR_FLOAT;
}

static tri_status take_attr(parser *p, parsed_node *n, tri_error *err) {
    char name[80] = "";
    if (n->n_attrs == TRI_MAX_ATTRS)
        return TRI_FAIL(err, TRI_E_LIMIT, "more than %d attributes", TRI_MAX_ATTRS);
    tri_attr *a = &n->attrs[n->n_attrs];
    if (!tri_lex_name(&p->lex, "", name, sizeof name))
        return tri_lex_expected(&p->lex, "an attribute", err);
    TRI_TRY(tri_lex_expect(&p->lex, '=', err));
    *a = (tri_attr){.kind = attr_kind(p, n, name), .s = ""};
    a->name = tri_graph_intern(p->g, name);
    if (!a->name) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int32_t i = 0; i < n->n_attrs; i++) {
        if (strcmp(n->attrs[i].name, name) == 0)
            return TRI_FAIL(err, TRI_E_FORMAT, "attribute %s is given twice", name);
    }
    n->n_attrs++;
    switch (a->kind) {
    case TRI_ATTR_INT:
        return tri_lex_integer(&p->lex, INT64_MIN, INT64_MAX, name, &a->i, err);
    case TRI_ATTR_FLOAT:
        return tri_lex_number(&p->lex, name, &a->f, err);
    case TRI_ATTR_STRING:
        return intern_string(p, &a->s, err);
    case TRI_ATTR_FLOATS:
        return take_floats(p, a, err);
    }
    return TRI_OK;
}

static bool at_line_end(parser *p) {
    tri_lex_skip_blanks(&p->lex);
    return p->lex.at == p->lex.end || *p->lex.at == '\n' || *p->lex.at == '#';
}

/* Moves to the next line; *scope is a comment of one word that can be a scope, else "". */
static tri_status end_line(parser *p, const char **scope, tri_error *err) {
    char text[2048] = "";
    if (!at_line_end(p)) return tri_lex_expected(&p->lex, "the end of the line", err);
    *scope = "";
    if (tri_lex_take(&p->lex, '#') && tri_lex_name(&p->lex, ".-", text, sizeof text) &&
        at_line_end(p) && !tri_lex_at(&p->lex, '#')) {
        *scope = tri_graph_intern(p->g, text);
        if (!*scope) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    }
    while (p->lex.at < p->lex.end && *p->lex.at != '\n')
        p->lex.at++;
    if (p->lex.at < p->lex.end) p->lex.at++;
    p->line++;
    return TRI_OK;
}

static tri_status take_node(parser *p, parsed_node *n, tri_error *err) {
    if (tri_lex_at(&p->lex, '%')) {
        do {
            if (n->n_results == TRI_MAX_RESULTS)
                return TRI_FAIL(err, TRI_E_LIMIT, "more than %d results", TRI_MAX_RESULTS);
            TRI_TRY(take_id(p, &n->ids[n->n_results++], err));
        } while (tri_lex_take(&p->lex, ','));
        TRI_TRY(tri_lex_expect(&p->lex, '=', err));
    }
    TRI_TRY(take_op(p, n, err));
    TRI_TRY(take_operands(p, n, err));
    while (!at_line_end(p) && !tri_lex_at(&p->lex, ':'))
        TRI_TRY(take_attr(p, n, err));
    if (tri_lex_take(&p->lex, ':')) {
        do {
            if (n->n_types == TRI_MAX_RESULTS)
                return TRI_FAIL(err, TRI_E_LIMIT, "more than %d types", TRI_MAX_RESULTS);
            TRI_TRY(take_type(p, &n->types[n->n_types++], err));
        } while (tri_lex_take(&p->lex, ','));
    }
    int32_t n_results = n->plugin ? n->plugin->n_outputs : tri_op_get(n->op)->n_results;
    if (n->n_results != n_results || n->n_types != n_results)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s has %" PRId32 " results; written are %" PRId32 " and %" PRId32 " types", n->name,
            n_results, n->n_results, n->n_types);
    return TRI_OK;
}

/* What the text says of a weight is its declaration. */
static void declare_weight(parser *p, const parsed_node *n) {
    int64_t index;
    const tri_type *t = &n->types[0];
    if (n->n_attrs == 0 || n->attrs[0].kind != TRI_ATTR_STRING) return;
    const char *name = n->attrs[0].s;
    if (tri_map_get(&p->g->weight_index, tri_str_of(name), &index)) return;
    tri_graph_declare_weight(p->g, name, t->dtype, t->dims, t->n_dims);
    if (!p->g->error.status) tri_graph_set_weight_type(p->g, name, t);
}

static tri_status define(parser *p, const parsed_node *n, tri_node *node, tri_error *err) {
    for (int32_t i = 0; i < n->n_results; i++) {
        tri_value *value = node->results[i];
        int64_t id, other;
        if (!tri_type_equal(&value->type, &n->types[i]))
            return TRI_FAIL(err, TRI_E_FORMAT, "%%%.*s is written as %s, but %s gives %s",
                (int)n->ids[i].len, n->ids[i].ptr, tri_type_print(&n->types[i]).s, n->name,
                tri_type_print(&value->type).s);
        if (tri_map_get(&p->ids, n->ids[i], &other))
            return TRI_FAIL(
                err, TRI_E_FORMAT, "%%%.*s is defined twice", (int)n->ids[i].len, n->ids[i].ptr);
        TRI_ASSERT(tri_str_to_i64(n->ids[i], &id));
        value->id = (int32_t)id;
        if (id >= p->next_id) p->next_id = id + 1;
        TRI_TRY(tri_map_put(&p->ids, n->ids[i], (int64_t)(intptr_t)value, err));
    }
    return TRI_OK;
}

static tri_status parse_node(parser *p, tri_error *err) {
    tri_graph *g = p->g;
    parsed_node n = {0};
    const char *scope = "";
    tri_node *node;
    TRI_TRY(take_node(p, &n, err));
    if (n.op == TRI_OP_WEIGHT) declare_weight(p, &n);
    if (n.plugin)
        node =
            tri_node_create_plugin(g, NULL, n.name, n.operands, n.n_operands, n.attrs, n.n_attrs);
    else
        node = tri_node_create_typed(
            g, NULL, n.op, n.operands, n.n_operands, n.attrs, n.n_attrs, n.types);
    if (g->error.status) return TRI_FAIL(err, g->error.status, "%s", g->error.message);
    TRI_TRY(define(p, &n, node, err));
    if (n.op == TRI_OP_WEIGHT) {
        int64_t index;
        if (tri_map_get(&g->weight_index, tri_str_of(node->attrs[0].s), &index) &&
            !g->weights[index].value)
            g->weights[index].value = node->results[0];
    }
    TRI_TRY(end_line(p, &scope, err));
    node->scope = scope;
    return TRI_OK;
}

/* ---- the rest of the lines ---- */

static tri_status parse_group(parser *p, tri_error *err) {
    tri_graph *g = p->g;
    tri_group group = {0};
    int64_t index, window = 0, tokens = 0;
    const char *scope;
    TRI_TRY(tri_lex_integer(&p->lex, 0, TRI_MAX_GROUPS - 1, "a group's number", &index, err));
    if (index != g->n_groups)
        return TRI_FAIL(err, TRI_E_FORMAT, "group %" PRId64 " where group %" PRId32 " is due",
            index, g->n_groups);
    const char *start = (tri_lex_skip_blanks(&p->lex), p->lex.at);
    tri_str kind = tri_lex_word(&p->lex, "");
    if (tri_str_is(kind, "sliding")) {
        group.kind = TRI_GROUP_SLIDING;
    } else if (tri_str_is(kind, "recurrent")) {
        group.kind = TRI_GROUP_RECURRENT;
    } else if (!tri_str_is(kind, "full")) {
        p->lex.at = start;
        return tri_lex_expected(&p->lex, "full, sliding or recurrent", err);
    }
    while (!at_line_end(p)) {
        start = p->lex.at;
        tri_str name = tri_lex_word(&p->lex, "");
        bool is_window = tri_str_is(name, "window") && group.kind == TRI_GROUP_SLIDING;
        if (!is_window &&
            (!tri_str_is(name, "tokens_per_block") || group.kind == TRI_GROUP_RECURRENT)) {
            p->lex.at = start;
            return tri_lex_expected(&p->lex, "window (of sliding groups) or tokens_per_block", err);
        }
        TRI_TRY(tri_lex_expect(&p->lex, '=', err));
        if (is_window)
            TRI_TRY(tri_lex_integer(&p->lex, 1, INT32_MAX, "window", &window, err));
        else
            TRI_TRY(tri_lex_integer(&p->lex, 1, 65536, "tokens_per_block", &tokens, err));
    }
    if ((group.kind == TRI_GROUP_SLIDING && window == 0) ||
        (group.kind != TRI_GROUP_RECURRENT && tokens == 0))
        return tri_lex_expected(&p->lex, "window= or tokens_per_block=", err);
    group.window = (int32_t)window;
    group.tokens_per_block = (int32_t)tokens;
    g->groups[g->n_groups++] = group;
    return end_line(p, &scope, err);
}

static tri_status parse_output(parser *p, tri_error *err) {
    char name[80] = "";
    tri_value *value;
    const char *scope;
    if (!tri_lex_name(&p->lex, ".-", name, sizeof name))
        return tri_lex_expected(&p->lex, "an output's name", err);
    TRI_TRY(tri_lex_expect(&p->lex, '=', err));
    TRI_TRY(take_value(p, &value, err));
    tri_graph_set_output(p->g, name, value);
    if (p->g->error.status) return TRI_FAIL(err, p->g->error.status, "%s", p->g->error.message);
    return end_line(p, &scope, err);
}

/* Blank lines and comments. */
static tri_status skip_empty_lines(parser *p, tri_error *err) {
    const char *scope;
    while (p->lex.at < p->lex.end && at_line_end(p) && p->lex.at < p->lex.end)
        TRI_TRY(end_line(p, &scope, err));
    return TRI_OK;
}

static bool take_keyword(parser *p, const char *keyword) {
    const char *start = (tri_lex_skip_blanks(&p->lex), p->lex.at);
    if (tri_str_is(tri_lex_word(&p->lex, "."), keyword)) return true;
    p->lex.at = start;
    return false;
}

static tri_status parse_head(parser *p, const char **name, tri_error *err) {
    const char *scope;
    int64_t version;
    TRI_TRY(skip_empty_lines(p, err));
    if (!take_keyword(p, "trireme.graph")) return tri_lex_expected(&p->lex, "trireme.graph", err);
    TRI_TRY(tri_lex_integer(&p->lex, 1, INT32_MAX, "the version of the text", &version, err));
    if (version > TEXT_VERSION)
        return TRI_FAIL(err, TRI_E_VERSION,
            "text version %" PRId64 ", this build reads up to %d; read it with a newer one",
            version, TEXT_VERSION);
    TRI_TRY(end_line(p, &scope, err));
    TRI_TRY(skip_empty_lines(p, err));
    if (!take_keyword(p, "graph")) return tri_lex_expected(&p->lex, "graph", err);
    TRI_TRY(intern_string(p, name, err));
    TRI_TRY(tri_lex_expect(&p->lex, '{', err));
    return end_line(p, &scope, err);
}

static tri_status parse_lines(parser *p, tri_error *err) {
    const char *scope;
    for (;;) {
        TRI_TRY(skip_empty_lines(p, err));
        if (p->lex.at == p->lex.end) return tri_lex_expected(&p->lex, "'}'", err);
        if (tri_lex_take(&p->lex, '}')) break;
        if (take_keyword(p, "group"))
            TRI_TRY(parse_group(p, err));
        else if (take_keyword(p, "output"))
            TRI_TRY(parse_output(p, err));
        else
            TRI_TRY(parse_node(p, err));
    }
    TRI_TRY(end_line(p, &scope, err));
    TRI_TRY(skip_empty_lines(p, err));
    return p->lex.at == p->lex.end ? TRI_OK : tri_lex_expected(&p->lex, "nothing after '}'", err);
}

tri_status tri_graph_parse_with(tri_graph **g, const char *text, size_t n_bytes,
    const struct tri_plugin_registry *plugins, tri_error *err) {
    parser p = {.lex = {.at = text, .end = text + n_bytes}, .line = 1};
    const char *name = "";
    tri_status rc = TRI_OK;
    if (n_bytes > MAX_TEXT_BYTES) {
        rc = TRI_FAIL(err, TRI_E_LIMIT, "%zu bytes, at most %d can be", n_bytes, MAX_TEXT_BYTES);
        goto done;
    }
    rc = tri_graph_create(&p.g, "", err);
    if (rc) goto done;
    p.g->arena.limit_bytes = MAX_ARENA_BYTES;
    p.g->plugins = plugins;
    rc = parse_head(&p, &name, err);
    if (!rc) rc = parse_lines(&p, err);
    if (rc) {
        tri_error_context(err, "line %" PRId32, p.line);
        goto done;
    }
    p.g->name = name;
    p.g->next_id = (int32_t)p.next_id;
    p.g->arena.limit_bytes = 0;
    *g = p.g;

done:
    tri_map_deinit(&p.ids);
    if (rc) {
        tri_graph_destroy(p.g);
        tri_error_context(err, "graph text");
    }
    return rc;
}

tri_status tri_graph_parse(tri_graph **g, const char *text, size_t n_bytes, tri_error *err) {
    return tri_graph_parse_with(g, text, n_bytes, NULL, err);
}
