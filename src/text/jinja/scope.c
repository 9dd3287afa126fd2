#include "text/jinja/scope.h"

#include <string.h>

#include "text/jinja/builtin.h"
#include "text/jinja/lex.h"
#include "text/jinja/symbols.h"

typedef struct resolver {
    tri_str src;
    tri_arena *arena;
    tri_error *err;
} resolver;

typedef struct frame {
    tri_jinja_symbols *symbols;
    tri_jinja_frame_function *function;
    bool soft;       /* inside an if: an unknown filter fails only when it is reached */
    bool in_loop;    /* break is allowed */
    bool inside_for; /* in any function: loop cannot be set */
} frame;

static tri_status no_memory(resolver *r) {
    return TRI_FAIL(r->err, TRI_E_MEMORY, "no memory for a template");
}

static tri_status resolve_block(resolver *r, const frame *f, tri_jinja_block *block);
static tri_status resolve_expr(resolver *r, const frame *f, tri_jinja_node *node);

/* ---- slots ---- */

static tri_status slot_of(
    resolver *r, tri_jinja_frame_function *fn, int32_t level, tri_jinja_str *name, int32_t *slot) {
    for (int32_t i = 0; i < fn->n; i++) {
        if (fn->slots[i].level == level && tri_jinja_str_eq(fn->slots[i].name, name)) {
            *slot = i;
            return TRI_OK;
        }
    }
    if (fn->n == fn->cap) {
        int32_t cap = fn->cap ? fn->cap * 2 : 16;
        tri_jinja_variable *grown = TRI_NEW_N(r->arena, tri_jinja_variable, cap);
        if (!grown) return no_memory(r);
        if (fn->n) memcpy(grown, fn->slots, (size_t)fn->n * sizeof *grown);
        fn->slots = grown;
        fn->cap = cap;
    }
    *slot = fn->n;
    fn->slots[fn->n++] = (tri_jinja_variable){level, name};
    fn->function->n_slots = fn->n;
    return TRI_OK;
}

static int32_t hops_to(const tri_jinja_frame_function *from, const tri_jinja_frame_function *to) {
    int32_t hops = 0;
    for (; from && from != to; from = from->parent)
        hops++;
    return hops;
}

static tri_status refer(
    resolver *r, const frame *f, tri_jinja_str *name, uint32_t at, int32_t *hops, int32_t *slot) {
    tri_jinja_symbols *s = tri_jinja_symbols_find(f->symbols, name);
    if (!s) {
        /* jinja2 stops here, too: the filter of a set block reads a name that nothing else does. */
        return tri_jinja_syntax(r->err, r->src, at,
            "Tried to resolve a name to a reference that was unknown to the frame ('%.*s')",
            TRI_JINJA_SHOWN(name));
    }
    *hops = hops_to(f->function, s->owner);
    return slot_of(r, s->owner, s->level, name, slot);
}

static tri_status fill_load(resolver *r, tri_jinja_symbols *s, const tri_jinja_symbol_load *from,
    tri_jinja_load *load, int32_t slot) {
    load->slot = slot;
    if (from->source == TRI_JINJA_FROM_CONTEXT) {
        load->kind = TRI_JINJA_LOAD_CONTEXT;
        load->name = from->name;
        load->global = tri_jinja_global_find(tri_jinja_view_of(from->name));
    } else if (from->source == TRI_JINJA_FROM_OUTER) {
        tri_jinja_symbols *outer = s->parent;
        while (outer->level != from->outer_level)
            outer = outer->parent;
        load->kind = TRI_JINJA_LOAD_ALIAS;
        load->hops = hops_to(s->owner, outer->owner);
        TRI_TRY(slot_of(r, outer->owner, outer->level, from->name, &load->from));
    } else {
        load->kind = TRI_JINJA_LOAD_NOTHING;
    }
    return TRI_OK;
}

static tri_status finish_scope(resolver *r, tri_jinja_symbols *s, tri_jinja_scope *scope) {
    if (s->failed) return no_memory(r);
    scope->loads = TRI_NEW_N(r->arena, tri_jinja_load, s->n_loads + 1);
    scope->clear = TRI_NEW_N(r->arena, int32_t, s->n_loads + 1);
    if (!scope->loads || !scope->clear) return no_memory(r);
    for (int32_t i = 0; i < s->n_loads; i++) {
        int32_t slot;
        TRI_TRY(slot_of(r, s->owner, s->level, s->loads[i].name, &slot));
        scope->clear[scope->n_clear++] = slot;
        if (s->loads[i].source == TRI_JINJA_FROM_PARAMETER) continue;
        TRI_TRY(fill_load(r, s, &s->loads[i], &scope->loads[scope->n_loads++], slot));
    }
    return TRI_OK;
}

static tri_status inner_frame(
    resolver *r, const frame *f, tri_jinja_frame_function *function, frame *inner) {
    *inner = *f;
    inner->soft = false;
    inner->function = function ? function : f->function;
    if (function) inner->in_loop = false;
    inner->symbols = tri_jinja_symbols_new(r->arena, f->symbols, inner->function);
    return inner->symbols ? TRI_OK : no_memory(r);
}

static tri_status new_function(
    resolver *r, const frame *f, tri_jinja_function *function, tri_jinja_frame_function **out) {
    tri_jinja_frame_function *fn = TRI_NEW(r->arena, tri_jinja_frame_function);
    if (!fn) return no_memory(r);
    fn->parent = f ? f->function : NULL;
    fn->function = function;
    *out = fn;
    return TRI_OK;
}

/* ---- expressions ---- */

static tri_status resolve_call(resolver *r, const frame *f, tri_jinja_call *call) {
    for (int32_t i = 0; i < call->n; i++)
        TRI_TRY(resolve_expr(r, f, call->args[i]));
    for (int32_t i = 0; i < call->n_named; i++)
        TRI_TRY(resolve_expr(r, f, call->named[i]));
    TRI_TRY(resolve_expr(r, f, call->star));
    return resolve_expr(r, f, call->star_star);
}

typedef struct traits {
    bool constant, slices;
} traits;

static void add_traits(traits *t, const tri_jinja_node *child) {
    if (!child) return;
    t->constant = t->constant && child->constant;
    t->slices = t->slices || child->slices;
}

/* These look at the context, and jinja2 leaves them to the rendering. */
static bool is_of_context(const tri_jinja_builtin *builtin) {
    static const char *const names[] = {
        "map", "select", "reject", "selectattr", "rejectattr", "random"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(builtin->name, names[i])) return true;
    return false;
}

/* After the children's: what eval.c folds. */
static void set_traits(tri_jinja_node *node) {
    traits t = {.constant = true, .slices = node->kind == TRI_JINJA_N_SLICE};
    bool called = node->kind == TRI_JINJA_N_FILTER || node->kind == TRI_JINJA_N_TEST;
    if (called) t.constant = node->a && node->builtin && !is_of_context(node->builtin);
    if (node->kind == TRI_JINJA_N_CALL) t.constant = false;
    add_traits(&t, node->a);
    add_traits(&t, node->b);
    add_traits(&t, node->c);
    add_traits(&t, node->d);
    for (int32_t i = 0; i < node->n; i++)
        add_traits(&t, node->list[i]);
    for (int32_t i = 0; i < node->call.n; i++)
        add_traits(&t, node->call.args[i]);
    for (int32_t i = 0; i < node->call.n_named; i++)
        add_traits(&t, node->call.named[i]);
    add_traits(&t, node->call.star);
    add_traits(&t, node->call.star_star);
    node->constant = t.constant;
    node->slices = t.slices;
}

static tri_status resolve_expr(resolver *r, const frame *f, tri_jinja_node *node) {
    if (!node) return TRI_OK;
    if (node->kind == TRI_JINJA_N_NAME || node->kind == TRI_JINJA_N_NSREF) {
        return refer(r, f, node->name, node->at, &node->hops, &node->slot);
    }
    frame soft = *f;
    if (node->kind == TRI_JINJA_N_COND) {
        soft.soft = true;
        f = &soft;
    }
    if ((node->kind == TRI_JINJA_N_FILTER || node->kind == TRI_JINJA_N_TEST) && !node->builtin &&
        !f->soft) {
        return tri_jinja_syntax(r->err, r->src, node->at, "No %s named '%.*s'.",
            node->kind == TRI_JINJA_N_FILTER ? "filter" : "test", TRI_JINJA_SHOWN(node->name));
    }
    TRI_TRY(resolve_expr(r, f, node->a));
    TRI_TRY(resolve_expr(r, f, node->b));
    TRI_TRY(resolve_expr(r, f, node->c));
    TRI_TRY(resolve_expr(r, f, node->d));
    for (int32_t i = 0; i < node->n; i++)
        TRI_TRY(resolve_expr(r, f, node->list[i]));
    TRI_TRY(resolve_call(r, f, &node->call));
    set_traits(node);
    return TRI_OK;
}

static tri_status resolve_target(resolver *r, const frame *f, tri_jinja_node *target) {
    if (target->kind == TRI_JINJA_N_TUPLE) {
        for (int32_t i = 0; i < target->n; i++)
            TRI_TRY(resolve_target(r, f, target->list[i]));
        return TRI_OK;
    }
    if (f->inside_for && target->kind == TRI_JINJA_N_NAME &&
        tri_jinja_is_str(tri_jinja_of_str(target->name), "loop")) {
        return tri_jinja_syntax(
            r->err, r->src, target->at, "Can't assign to special loop variable in for-loop target");
    }
    return resolve_expr(r, f, target);
}

/* ---- statements ---- */

static tri_status special_parameter(
    resolver *r, frame *f, const char *name, bool wanted, int32_t *slot) {
    *slot = -1;
    if (!wanted) return TRI_OK;
    tri_jinja_str *s = TRI_NEW(r->arena, tri_jinja_str);
    if (!s) return no_memory(r);
    s->ptr = name;
    s->n = strlen(name);
    tri_jinja_str_hash(s);
    tri_jinja_str_ascii(s);
    tri_jinja_symbols_parameter(f->symbols, s);
    return slot_of(r, f->function, f->symbols->level, s, slot);
}

static void track_function(tri_jinja_symbols *s, const tri_jinja_function *function) {
    for (int32_t i = 0; i < function->n_params; i++) {
        tri_jinja_symbols_parameter(s, function->params[i]->name);
    }
    for (int32_t i = 0; i < function->n_defaults; i++)
        tri_jinja_track_expr(s, function->defaults[i]);
    tri_jinja_track_block(s, &function->body);
}

/* Macros, call blocks and {% generation %}. */
static tri_status resolve_function(
    resolver *r, const frame *outer, tri_jinja_function *function, uint32_t at) {
    static const char *const special[] = {"caller", "kwargs", "varargs"};
    frame f;
    tri_jinja_frame_function *fn;
    bool used[3], named[3] = {false};
    TRI_TRY(new_function(r, outer, function, &fn));
    TRI_TRY(inner_frame(r, outer, fn, &f));
    track_function(f.symbols, function);
    tri_jinja_find_undeclared(&function->body, special, 3, used);
    for (int32_t i = 0; i < function->n_params; i++) {
        for (int k = 0; k < 3; k++) {
            if (!tri_jinja_is_str(tri_jinja_of_str(function->params[i]->name), special[k]))
                continue;
            named[k] = true;
            if (k == 0 && used[0] && i < function->n_params - function->n_defaults) {
                return tri_jinja_syntax(r->err, r->src, at,
                    "When defining macros or call blocks the special \"caller\" argument must be "
                    "omitted or be given a default.");
            }
        }
    }
    function->explicit_caller = named[0];
    TRI_TRY(special_parameter(r, &f, "caller", used[0] && !named[0], &function->caller_slot));
    TRI_TRY(special_parameter(r, &f, "kwargs", used[1] && !named[1], &function->kwargs_slot));
    TRI_TRY(special_parameter(r, &f, "varargs", used[2] && !named[2], &function->varargs_slot));
    track_function(f.symbols, function);
    for (int32_t i = 0; i < function->n_params; i++) {
        TRI_TRY(resolve_expr(r, &f, function->params[i]));
    }
    for (int32_t i = 0; i < function->n_defaults; i++) {
        TRI_TRY(resolve_expr(r, &f, function->defaults[i]));
    }
    TRI_TRY(resolve_block(r, &f, &function->body));
    return finish_scope(r, f.symbols, &function->scope);
}

static tri_status clone_target(resolver *r, const tri_jinja_node *target, tri_jinja_node **out) {
    tri_jinja_node *copy = TRI_NEW(r->arena, tri_jinja_node);
    if (!copy) return no_memory(r);
    *copy = *target;
    *out = copy;
    if (!target->n) return TRI_OK;
    copy->list = TRI_NEW_N(r->arena, tri_jinja_node *, target->n);
    if (!copy->list) return no_memory(r);
    for (int32_t i = 0; i < target->n; i++) {
        TRI_TRY(clone_target(r, target->list[i], &copy->list[i]));
    }
    return TRI_OK;
}

/* The test of a loop is a function of its own: params[0] is the target, defaults[0] the test. */
static tri_status resolve_loop_test(resolver *r, const frame *outer, tri_jinja_node *node) {
    frame f;
    tri_jinja_frame_function *fn;
    tri_jinja_function *test = TRI_NEW(r->arena, tri_jinja_function);
    if (!test) return no_memory(r);
    TRI_TRY(new_function(r, outer, test, &fn));
    TRI_TRY(inner_frame(r, outer, fn, &f));
    test->params = TRI_NEW_N(r->arena, tri_jinja_node *, 2);
    if (!test->params) return no_memory(r);
    test->defaults = test->params + 1;
    TRI_TRY(clone_target(r, node->a, &test->params[0]));
    test->defaults[0] = node->c;
    tri_jinja_track_target(f.symbols, node->a, true);
    tri_jinja_track_expr(f.symbols, node->c);
    f.inside_for = true;
    TRI_TRY(resolve_target(r, &f, test->params[0]));
    TRI_TRY(resolve_expr(r, &f, node->c));
    TRI_TRY(finish_scope(r, f.symbols, &test->scope));
    node->test = test;
    return TRI_OK;
}

static tri_status resolve_for(resolver *r, const frame *outer, tri_jinja_node *node) {
    static const char *const loop_name[] = {"loop"};
    frame f, other;
    tri_jinja_frame_function *fn = NULL;
    bool extended;
    TRI_TRY(resolve_expr(r, outer, node->b));
    if (node->c) TRI_TRY(resolve_loop_test(r, outer, node));
    if (node->flag) {
        node->function = TRI_NEW(r->arena, tri_jinja_function);
        if (!node->function) return no_memory(r);
        TRI_TRY(new_function(r, outer, node->function, &fn));
    }
    TRI_TRY(inner_frame(r, outer, fn, &f));
    tri_jinja_find_undeclared(&node->body, loop_name, 1, &extended);
    if (extended || node->flag) {
        TRI_TRY(special_parameter(r, &f, "loop", true, &node->loop_slot));
    }
    tri_jinja_track_target(f.symbols, node->a, true);
    tri_jinja_track_block(f.symbols, &node->body);
    f.inside_for = true;
    TRI_TRY(resolve_target(r, &f, node->a));
    f.in_loop = true;
    TRI_TRY(resolve_block(r, &f, &node->body));
    TRI_TRY(finish_scope(r, f.symbols, &node->scope));
    if (!node->other.n) return TRI_OK;
    TRI_TRY(inner_frame(r, outer, fn, &other));
    other.inside_for = true;
    tri_jinja_track_block(other.symbols, &node->other);
    TRI_TRY(resolve_block(r, &other, &node->other));
    return finish_scope(r, other.symbols, &node->other_scope);
}

static tri_status resolve_if(resolver *r, const frame *outer, tri_jinja_node *node) {
    frame f = *outer;
    f.soft = true;
    TRI_TRY(resolve_expr(r, &f, node->a));
    TRI_TRY(resolve_block(r, &f, &node->body));
    for (int32_t i = 0; i < node->n; i++) {
        TRI_TRY(resolve_expr(r, &f, node->list[i]->a));
        TRI_TRY(resolve_block(r, &f, &node->list[i]->body));
    }
    return resolve_block(r, &f, &node->other);
}

static tri_status resolve_set_block(resolver *r, const frame *outer, tri_jinja_node *node) {
    frame f;
    TRI_TRY(inner_frame(r, outer, NULL, &f));
    tri_jinja_track_block(f.symbols, &node->body);
    TRI_TRY(resolve_block(r, &f, &node->body));
    TRI_TRY(resolve_target(r, outer, node->a));
    TRI_TRY(resolve_expr(r, &f, node->b));
    return finish_scope(r, f.symbols, &node->scope);
}

static tri_status resolve_filter_block(resolver *r, const frame *outer, tri_jinja_node *node) {
    frame f;
    TRI_TRY(inner_frame(r, outer, NULL, &f));
    tri_jinja_track_block(f.symbols, &node->body);
    tri_jinja_track_expr(f.symbols, node->a);
    TRI_TRY(resolve_block(r, &f, &node->body));
    TRI_TRY(resolve_expr(r, &f, node->a));
    return finish_scope(r, f.symbols, &node->scope);
}

static tri_status resolve_with(resolver *r, const frame *outer, tri_jinja_node *node) {
    frame f;
    TRI_TRY(inner_frame(r, outer, NULL, &f));
    for (int32_t i = 0; i < node->n; i += 2)
        tri_jinja_track_target(f.symbols, node->list[i], true);
    tri_jinja_track_block(f.symbols, &node->body);
    for (int32_t i = 0; i < node->n; i += 2) {
        TRI_TRY(resolve_expr(r, &f, node->list[i]));
        TRI_TRY(resolve_expr(r, outer, node->list[i + 1]));
    }
    TRI_TRY(resolve_block(r, &f, &node->body));
    return finish_scope(r, f.symbols, &node->scope);
}

static tri_status resolve_statement(resolver *r, const frame *f, tri_jinja_node *node) {
    frame inner;
    switch ((tri_jinja_node_kind)node->kind) {
    case TRI_JINJA_N_OUTPUT:
        for (int32_t i = 0; i < node->n; i++)
            TRI_TRY(resolve_expr(r, f, node->list[i]));
        return TRI_OK;
    case TRI_JINJA_N_IF:
        return resolve_if(r, f, node);
    case TRI_JINJA_N_FOR:
        return resolve_for(r, f, node);
    case TRI_JINJA_N_MACRO:
        TRI_TRY(resolve_function(r, f, node->function, node->at));
        return refer(r, f, node->name, node->at, &node->hops, &node->slot);
    case TRI_JINJA_N_CALL_BLOCK:
        TRI_TRY(resolve_function(r, f, node->function, node->at));
        return resolve_expr(r, f, node->a);
    case TRI_JINJA_N_GENERATION:
        return resolve_function(r, f, node->function, node->at);
    case TRI_JINJA_N_SET:
        TRI_TRY(resolve_expr(r, f, node->b));
        return resolve_target(r, f, node->a);
    case TRI_JINJA_N_SET_BLOCK:
        return resolve_set_block(r, f, node);
    case TRI_JINJA_N_FILTER_BLOCK:
        return resolve_filter_block(r, f, node);
    case TRI_JINJA_N_WITH:
        return resolve_with(r, f, node);
    case TRI_JINJA_N_SCOPE:
        TRI_TRY(inner_frame(r, f, NULL, &inner));
        tri_jinja_track_block(inner.symbols, &node->body);
        TRI_TRY(resolve_block(r, &inner, &node->body));
        return finish_scope(r, inner.symbols, &node->scope);
    case TRI_JINJA_N_BREAK:
    case TRI_JINJA_N_CONTINUE:
        if (f->in_loop) return TRI_OK;
        return tri_jinja_syntax(r->err, r->src, node->at, "'%s' outside loop",
            node->kind == TRI_JINJA_N_BREAK ? "break" : "continue");
    default:
        return TRI_OK;
    }
}

static tri_status resolve_block(resolver *r, const frame *f, tri_jinja_block *block) {
    for (int32_t i = 0; i < block->n; i++)
        TRI_TRY(resolve_statement(r, f, block->items[i]));
    return TRI_OK;
}

tri_status tri_jinja_resolve(
    tri_jinja_function *root, tri_str source, tri_arena *arena, tri_error *err) {
    resolver r = {source, arena, err};
    frame f = {0};
    TRI_TRY(new_function(&r, NULL, root, &f.function));
    f.symbols = tri_jinja_symbols_new(arena, NULL, f.function);
    if (!f.symbols) return no_memory(&r);
    tri_jinja_track_block(f.symbols, &root->body);
    TRI_TRY(resolve_block(&r, &f, &root->body));
    return finish_scope(&r, f.symbols, &root->scope);
}
