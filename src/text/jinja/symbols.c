#include "text/jinja/symbols.h"

#include <string.h>

static bool names_add(tri_jinja_symbols *s, tri_jinja_names *names, tri_jinja_str *name) {
    if (names->n == names->cap) {
        int32_t cap = names->cap ? names->cap * 2 : 8;
        tri_jinja_str **grown = TRI_NEW_N(s->arena, tri_jinja_str *, cap);
        if (!grown) {
            s->failed = true;
            return false;
        }
        if (names->n) memcpy(grown, names->items, (size_t)names->n * sizeof *grown);
        names->items = grown;
        names->cap = cap;
    }
    names->items[names->n++] = name;
    return true;
}

static bool same_name(const tri_jinja_str *a, const tri_jinja_str *b) {
    return a->hash == b->hash && tri_str_equal((tri_str){a->ptr, a->n}, (tri_str){b->ptr, b->n});
}

static bool names_have(const tri_jinja_names *names, const tri_jinja_str *name) {
    for (int32_t i = 0; i < names->n; i++) {
        if (same_name(names->items[i], name)) return true;
    }
    return false;
}

static void names_put(tri_jinja_symbols *s, tri_jinja_names *names, tri_jinja_str *name) {
    if (!names_have(names, name)) names_add(s, names, name);
}

static void set_load(
    tri_jinja_symbols *s, tri_jinja_str *name, tri_jinja_source source, int32_t outer_level) {
    for (int32_t i = 0; i < s->n_loads; i++) {
        if (same_name(s->loads[i].name, name)) {
            s->loads[i] = (tri_jinja_symbol_load){name, source, outer_level};
            return;
        }
    }
    if (s->n_loads == s->cap_loads) {
        int32_t cap = s->cap_loads ? s->cap_loads * 2 : 8;
        tri_jinja_symbol_load *grown = TRI_NEW_N(s->arena, tri_jinja_symbol_load, cap);
        if (!grown) {
            s->failed = true;
            return;
        }
        if (s->n_loads) memcpy(grown, s->loads, (size_t)s->n_loads * sizeof *grown);
        s->loads = grown;
        s->cap_loads = cap;
    }
    s->loads[s->n_loads++] = (tri_jinja_symbol_load){name, source, outer_level};
}

static void define(
    tri_jinja_symbols *s, tri_jinja_str *name, tri_jinja_source source, int32_t outer_level) {
    names_put(s, &s->refs, name);
    set_load(s, name, source, outer_level);
}

tri_jinja_symbols *tri_jinja_symbols_new(
    tri_arena *arena, tri_jinja_symbols *parent, tri_jinja_frame_function *owner) {
    tri_jinja_symbols *s = TRI_NEW(arena, tri_jinja_symbols);
    if (!s) return NULL;
    s->parent = parent;
    s->owner = owner;
    s->level = parent ? parent->level + 1 : 0;
    s->arena = arena;
    return s;
}

static tri_jinja_names copy_names(tri_jinja_symbols *s, const tri_jinja_names *names) {
    tri_jinja_names copy = {0};
    for (int32_t i = 0; i < names->n; i++)
        names_add(s, &copy, names->items[i]);
    return copy;
}

tri_jinja_symbols *tri_jinja_symbols_copy(const tri_jinja_symbols *s) {
    tri_jinja_symbols *copy = TRI_NEW(s->arena, tri_jinja_symbols);
    if (!copy) return NULL;
    *copy = *s;
    copy->refs = copy_names(copy, &s->refs);
    copy->stores = copy_names(copy, &s->stores);
    copy->loads = NULL;
    copy->n_loads = copy->cap_loads = 0;
    for (int32_t i = 0; i < s->n_loads; i++) {
        set_load(copy, s->loads[i].name, s->loads[i].source, s->loads[i].outer_level);
    }
    return copy;
}

tri_jinja_symbols *tri_jinja_symbols_find(tri_jinja_symbols *s, const tri_jinja_str *name) {
    for (; s; s = s->parent) {
        if (names_have(&s->refs, name)) return s;
    }
    return NULL;
}

void tri_jinja_symbols_load(tri_jinja_symbols *s, tri_jinja_str *name) {
    if (!tri_jinja_symbols_find(s, name)) define(s, name, TRI_JINJA_FROM_CONTEXT, 0);
}

void tri_jinja_symbols_store(tri_jinja_symbols *s, tri_jinja_str *name) {
    names_put(s, &s->stores, name);
    if (names_have(&s->refs, name)) return;
    tri_jinja_symbols *outer = s->parent ? tri_jinja_symbols_find(s->parent, name) : NULL;
    define(
        s, name, outer ? TRI_JINJA_FROM_OUTER : TRI_JINJA_FROM_NOTHING, outer ? outer->level : 0);
}

void tri_jinja_symbols_parameter(tri_jinja_symbols *s, tri_jinja_str *name) {
    names_put(s, &s->stores, name);
    define(s, name, TRI_JINJA_FROM_PARAMETER, 0);
}

void tri_jinja_symbols_merge(tri_jinja_symbols *s, tri_jinja_symbols *const *branches, int32_t n) {
    tri_jinja_names stores = {0};
    for (int32_t b = 0; b < n; b++) {
        s->failed |= branches[b]->failed;
        for (int32_t i = 0; i < branches[b]->stores.n; i++) {
            tri_jinja_str *name = branches[b]->stores.items[i];
            if (!names_have(&s->stores, name)) names_put(s, &stores, name);
        }
    }
    for (int32_t b = 0; b < n; b++) {
        const tri_jinja_symbols *from = branches[b];
        for (int32_t i = 0; i < from->refs.n; i++)
            names_put(s, &s->refs, from->refs.items[i]);
        for (int32_t i = 0; i < from->n_loads; i++) {
            set_load(s, from->loads[i].name, from->loads[i].source, from->loads[i].outer_level);
        }
        for (int32_t i = 0; i < from->stores.n; i++)
            names_put(s, &s->stores, from->stores.items[i]);
    }
    for (int32_t i = 0; i < stores.n; i++) {
        tri_jinja_symbols *outer =
            s->parent ? tri_jinja_symbols_find(s->parent, stores.items[i]) : NULL;
        set_load(s, stores.items[i], outer ? TRI_JINJA_FROM_OUTER : TRI_JINJA_FROM_CONTEXT,
            outer ? outer->level : 0);
    }
}

/* ---- tracking ---- */

static void track_call(tri_jinja_symbols *s, const tri_jinja_call *call) {
    for (int32_t i = 0; i < call->n; i++)
        tri_jinja_track_expr(s, call->args[i]);
    for (int32_t i = 0; i < call->n_named; i++)
        tri_jinja_track_expr(s, call->named[i]);
    tri_jinja_track_expr(s, call->star);
    tri_jinja_track_expr(s, call->star_star);
}

void tri_jinja_track_expr(tri_jinja_symbols *s, const tri_jinja_node *node) {
    if (!node) return;
    if (node->kind == TRI_JINJA_N_NAME || node->kind == TRI_JINJA_N_NSREF) {
        tri_jinja_symbols_load(s, node->name);
        return;
    }
    tri_jinja_track_expr(s, node->a);
    tri_jinja_track_expr(s, node->b);
    tri_jinja_track_expr(s, node->c);
    tri_jinja_track_expr(s, node->d);
    for (int32_t i = 0; i < node->n; i++)
        tri_jinja_track_expr(s, node->list[i]);
    track_call(s, &node->call);
}

void tri_jinja_track_target(tri_jinja_symbols *s, const tri_jinja_node *target, bool parameter) {
    if (target->kind == TRI_JINJA_N_TUPLE) {
        for (int32_t i = 0; i < target->n; i++)
            tri_jinja_track_target(s, target->list[i], parameter);
    } else if (target->kind == TRI_JINJA_N_NSREF) {
        tri_jinja_symbols_load(s, target->name);
    } else if (parameter) {
        tri_jinja_symbols_parameter(s, target->name);
    } else {
        tri_jinja_symbols_store(s, target->name);
    }
}

static void track_if(tri_jinja_symbols *s, const tri_jinja_node *node);

static tri_jinja_symbols *branch_of(tri_jinja_symbols *s) {
    tri_jinja_symbols *copy = tri_jinja_symbols_copy(s);
    if (!copy) s->failed = true;
    return copy;
}

static void track_if(tri_jinja_symbols *s, const tri_jinja_node *node) {
    tri_jinja_track_expr(s, node->a);
    tri_jinja_symbols *branches[3] = {branch_of(s), branch_of(s), branch_of(s)};
    if (s->failed) return;
    tri_jinja_track_block(branches[0], &node->body);
    for (int32_t i = 0; i < node->n; i++)
        track_if(branches[1], node->list[i]);
    tri_jinja_track_block(branches[2], &node->other);
    tri_jinja_symbols_merge(s, branches, 3);
}

static void track_statement(tri_jinja_symbols *s, const tri_jinja_node *node) {
    switch ((tri_jinja_node_kind)node->kind) {
    case TRI_JINJA_N_OUTPUT:
        for (int32_t i = 0; i < node->n; i++)
            tri_jinja_track_expr(s, node->list[i]);
        break;
    case TRI_JINJA_N_IF:
        track_if(s, node);
        break;
    case TRI_JINJA_N_FOR:
        tri_jinja_track_expr(s, node->b);
        break;
    case TRI_JINJA_N_MACRO:
        tri_jinja_symbols_store(s, node->name);
        break;
    case TRI_JINJA_N_CALL_BLOCK:
    case TRI_JINJA_N_FILTER_BLOCK:
        tri_jinja_track_expr(s, node->a);
        break;
    case TRI_JINJA_N_SET:
        tri_jinja_track_expr(s, node->b);
        tri_jinja_track_target(s, node->a, false);
        break;
    case TRI_JINJA_N_SET_BLOCK:
        tri_jinja_track_target(s, node->a, false);
        break;
    case TRI_JINJA_N_WITH:
        for (int32_t i = 1; i < node->n; i += 2)
            tri_jinja_track_expr(s, node->list[i]);
        break;
    default:
        break;
    }
}

void tri_jinja_track_block(tri_jinja_symbols *s, const tri_jinja_block *block) {
    for (int32_t i = 0; i < block->n; i++)
        track_statement(s, block->items[i]);
}

/* ---- undeclared names ---- */

typedef struct search {
    const char *const *names;
    bool *found;
    bool gone[3]; /* stored to before it was read */
    int32_t n;
} search;

static void search_name(search *f, const tri_jinja_str *name, bool load) {
    for (int32_t i = 0; i < f->n; i++) {
        if (f->gone[i] || !tri_str_is((tri_str){name->ptr, name->n}, f->names[i])) continue;
        if (load)
            f->found[i] = true;
        else
            f->gone[i] = true;
    }
}

static void search_expr(search *f, const tri_jinja_node *node, bool load) {
    if (!node || node->kind == TRI_JINJA_N_NSREF) return;
    if (node->kind == TRI_JINJA_N_NAME) {
        search_name(f, node->name, load);
        return;
    }
    const tri_jinja_node *const kids[] = {node->a, node->b, node->c, node->d};
    for (int i = 0; i < 4; i++)
        search_expr(f, kids[i], load);
    for (int32_t i = 0; i < node->n; i++)
        search_expr(f, node->list[i], load);
    for (int32_t i = 0; i < node->call.n; i++)
        search_expr(f, node->call.args[i], true);
    for (int32_t i = 0; i < node->call.n_named; i++)
        search_expr(f, node->call.named[i], true);
    search_expr(f, node->call.star, true);
    search_expr(f, node->call.star_star, true);
}

static void search_block(search *f, const tri_jinja_block *block);

static void search_function(search *f, const tri_jinja_function *function) {
    for (int32_t i = 0; i < function->n_params; i++) {
        search_name(f, function->params[i]->name, false);
    }
    for (int32_t i = 0; i < function->n_defaults; i++)
        search_expr(f, function->defaults[i], true);
    search_block(f, &function->body);
}

static void search_if(search *f, const tri_jinja_node *node) {
    search_expr(f, node->a, true);
    search_block(f, &node->body);
    for (int32_t i = 0; i < node->n; i++)
        search_if(f, node->list[i]);
    search_block(f, &node->other);
}

static void search_statement(search *f, const tri_jinja_node *node) {
    switch ((tri_jinja_node_kind)node->kind) {
    case TRI_JINJA_N_OUTPUT:
        for (int32_t i = 0; i < node->n; i++)
            search_expr(f, node->list[i], true);
        break;
    case TRI_JINJA_N_IF:
        search_if(f, node);
        break;
    case TRI_JINJA_N_FOR:
        search_expr(f, node->a, false);
        search_expr(f, node->b, true);
        search_block(f, &node->body);
        search_block(f, &node->other);
        search_expr(f, node->c, true);
        break;
    case TRI_JINJA_N_MACRO:
    case TRI_JINJA_N_GENERATION:
    case TRI_JINJA_N_CALL_BLOCK:
        search_expr(f, node->a, true);
        search_function(f, node->function);
        break;
    case TRI_JINJA_N_SET:
        search_expr(f, node->a, false);
        search_expr(f, node->b, true);
        break;
    case TRI_JINJA_N_SET_BLOCK:
        search_expr(f, node->a, false);
        search_expr(f, node->b, true);
        search_block(f, &node->body);
        break;
    case TRI_JINJA_N_FILTER_BLOCK:
        search_block(f, &node->body);
        search_expr(f, node->a, true);
        break;
    case TRI_JINJA_N_WITH:
        for (int32_t i = 0; i < node->n; i += 2)
            search_expr(f, node->list[i], false);
        for (int32_t i = 1; i < node->n; i += 2)
            search_expr(f, node->list[i], true);
        search_block(f, &node->body);
        break;
    default:
        search_block(f, &node->body);
        break;
    }
}

static void search_block(search *f, const tri_jinja_block *block) {
    for (int32_t i = 0; i < block->n; i++)
        search_statement(f, block->items[i]);
}

void tri_jinja_find_undeclared(
    const tri_jinja_block *block, const char *const *names, int32_t n, bool *found) {
    search f = {.names = names, .found = found, .n = n};
    memset(found, 0, (size_t)n * sizeof *found);
    search_block(&f, block);
}
