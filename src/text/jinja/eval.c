#include "text/jinja/eval.h"

#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/ops.h"

enum { FEW_ARGS = 6 };

static tri_jinja_value *slot_at(tri_jinja_vm *vm, int32_t hops, int32_t slot) {
    tri_jinja_activation *a = vm->variables;
    for (; hops > 0; hops--)
        a = a->parent;
    return &a->slots[slot];
}

static tri_jinja_value eval_sequence(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_list *list = tri_jinja_list_new(vm, (size_t)node->n);
    if (!list) return tri_jinja_error();
    for (int32_t i = 0; i < node->n; i++) {
        list->items[i] = tri_jinja_eval(vm, node->list[i]);
        TRI_JINJA_TRY(list->items[i]);
    }
    return node->kind == TRI_JINJA_N_TUPLE ? tri_jinja_of_tuple(list) : tri_jinja_of_list(list);
}

static tri_jinja_value eval_dict(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_dict *d = tri_jinja_dict_new(vm, (size_t)node->n / 2);
    if (!d) return tri_jinja_error();
    for (int32_t i = 0; i < node->n; i += 2) {
        tri_jinja_value key = tri_jinja_eval(vm, node->list[i]);
        TRI_JINJA_TRY(key);
        tri_jinja_value value = tri_jinja_eval(vm, node->list[i + 1]);
        TRI_JINJA_TRY(value);
        vm->at = node->at;
        if (!tri_jinja_dict_put(vm, d, key, value)) return tri_jinja_error();
    }
    return tri_jinja_of_dict(d);
}

static tri_jinja_value eval_concat(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value first = tri_jinja_eval(vm, node->list[0]);
    TRI_JINJA_TRY(first);
    first = tri_jinja_str_of(vm, first);
    for (int32_t i = 1; i < node->n; i++) {
        TRI_JINJA_TRY(first);
        tri_jinja_value next = tri_jinja_eval(vm, node->list[i]);
        TRI_JINJA_TRY(next);
        next = tri_jinja_str_of(vm, next);
        TRI_JINJA_TRY(next);
        first = tri_jinja_concat(vm, first.as.s, next.as.s);
    }
    return first;
}

static tri_jinja_value eval_compare(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value left = tri_jinja_eval(vm, node->a), result = tri_jinja_bool(true);
    TRI_JINJA_TRY(left);
    for (int32_t i = 0; i < node->n; i++) {
        tri_jinja_value right = tri_jinja_eval(vm, node->list[i]->a);
        TRI_JINJA_TRY(right);
        vm->at = node->list[i]->at;
        result = tri_jinja_compare(vm, (tri_jinja_op)node->list[i]->op, left, right);
        TRI_JINJA_TRY(result);
        if (!result.as.b) return result;
        left = right;
    }
    return result;
}

static tri_jinja_value eval_optional(tri_jinja_vm *vm, const tri_jinja_node *node) {
    return node ? tri_jinja_eval(vm, node) : tri_jinja_none();
}

static tri_jinja_value eval_slice(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value object = tri_jinja_eval(vm, node->a);
    TRI_JINJA_TRY(object);
    tri_jinja_value start = eval_optional(vm, node->b);
    TRI_JINJA_TRY(start);
    tri_jinja_value stop = eval_optional(vm, node->c);
    TRI_JINJA_TRY(stop);
    tri_jinja_value step = eval_optional(vm, node->d);
    TRI_JINJA_TRY(step);
    vm->at = node->at;
    return tri_jinja_slice(vm, object, start, stop, step);
}

static tri_jinja_value eval_cond(tri_jinja_vm *vm, const tri_jinja_node *node) {
    /* Folded (below) when the test is a constant and so is what it chooses. */
    bool folds = node->c && node->c->constant;
    tri_jinja_value test =
        folds ? tri_jinja_eval_printed(vm, node->b) : tri_jinja_eval(vm, node->b);
    TRI_JINJA_TRY(test);
    if (tri_jinja_truth(vm, test)) return tri_jinja_eval(vm, node->a);
    if (node->c) return tri_jinja_eval(vm, node->c);
    return tri_jinja_undefined_hint(
        vm, "the inline if-expression evaluated to false and no else section was defined.");
}

/* ---- calls ---- */

typedef struct gathered { /* the arguments of one call; few need no memory */
    tri_jinja_args args;
    tri_jinja_value few[FEW_ARGS];
} gathered;

static bool add_star(tri_jinja_vm *vm, tri_jinja_items *items, const tri_jinja_node *star) {
    tri_jinja_value v = tri_jinja_eval(vm, star);
    if (tri_jinja_is_error(v)) return false;
    vm->at = star->at;
    v = tri_jinja_collect(vm, v);
    if (tri_jinja_is_error(v)) return false;
    for (size_t i = 0; i < v.as.list->n; i++) {
        if (!tri_jinja_push(vm, items, v.as.list->items[i])) return false;
    }
    return true;
}

static bool add_star_star(tri_jinja_vm *vm, gathered *g, const tri_jinja_call *call,
    const tri_jinja_node *star, tri_jinja_value caller) {
    tri_jinja_value v = star ? tri_jinja_eval(vm, star) : tri_jinja_none();
    size_t more = 0;
    if (tri_jinja_is_error(v)) return false;
    if (star && v.kind != TRI_JINJA_DICT) {
        vm->at = star->at;
        tri_jinja_fail(vm, "argument after ** must be a mapping, not %s", tri_jinja_type_name(v));
        return false;
    }
    if (star) more = v.as.dict->n;
    if (tri_jinja_given(caller)) more++;
    size_t n = (size_t)g->args.n_named + more;
    tri_jinja_value *values = tri_jinja_array(vm, n, sizeof *values);
    tri_jinja_str **names = tri_jinja_array(vm, n, sizeof *names);
    if (!values || !names) return false;
    for (int32_t i = 0; i < call->n_named; i++) {
        values[i] = g->args.named[i];
        names[i] = call->names[i];
    }
    n = (size_t)call->n_named;
    for (size_t i = 0; star && i < v.as.dict->n; i++) {
        tri_jinja_value key = v.as.dict->entries[i].key;
        if (key.kind != TRI_JINJA_STR) {
            tri_jinja_fail(vm, "keywords must be strings");
            return false;
        }
        for (size_t k = 0; k < n; k++) {
            if (tri_jinja_str_eq(names[k], key.as.s)) {
                tri_jinja_fail(vm, "got multiple values for a keyword argument");
                return false;
            }
        }
        names[n] = key.as.s;
        values[n++] = v.as.dict->entries[i].value;
    }
    if (tri_jinja_given(caller)) {
        static const tri_jinja_str name = {.ptr = "caller", .n = 6, .ascii = 1};
        names[n] = tri_jinja_str_copy(vm, &name);
        if (!names[n]) return false;
        values[n++] = caller;
    }
    g->args.named = values;
    g->args.names = names;
    g->args.n_named = (int32_t)n;
    return true;
}

/* first: what a filter or test is applied to, MISSING: nothing.  caller: of a call block. */
static bool gather(tri_jinja_vm *vm, const tri_jinja_call *call, tri_jinja_value first,
    tri_jinja_value caller, gathered *g) {
    int32_t n = call->n + tri_jinja_given(first), total = n + call->n_named;
    tri_jinja_value *v = g->few;
    if (total > FEW_ARGS) {
        v = tri_jinja_array(vm, (size_t)total, sizeof *v);
        if (!v) return false;
    }
    g->args = (tri_jinja_args){.v = v, .named = v + n, .names = call->names};
    if (tri_jinja_given(first)) v[g->args.n++] = first;
    for (int32_t i = 0; i < call->n; i++) {
        v[g->args.n] = tri_jinja_eval(vm, call->args[i]);
        if (tri_jinja_is_error(v[g->args.n++])) return false;
    }
    for (int32_t i = 0; i < call->n_named; i++) {
        v[n + i] = tri_jinja_eval(vm, call->named[i]);
        if (tri_jinja_is_error(v[n + i])) return false;
    }
    g->args.n_named = call->n_named;
    if (call->star) {
        tri_jinja_items items = {0};
        for (int32_t i = 0; i < n; i++) {
            if (!tri_jinja_push(vm, &items, v[i])) return false;
        }
        if (!add_star(vm, &items, call->star)) return false;
        if (items.n > INT32_MAX) return false;
        g->args.v = items.items;
        g->args.n = (int32_t)items.n;
    }
    if (!call->star_star && !tri_jinja_given(caller)) return true;
    return add_star_star(vm, g, call, call->star_star, caller);
}

static __attribute__((noinline)) tri_jinja_value eval_method_call(tri_jinja_vm *vm,
    const tri_jinja_node *node, const tri_jinja_method_def *def, tri_jinja_value self) {
    gathered g;
    if (!gather(vm, &node->call, tri_jinja_missing(), tri_jinja_missing(), &g))
        return tri_jinja_error();
    vm->at = node->a->at;
    return tri_jinja_method_call(vm, def, self, &g.args);
}

static __attribute__((noinline)) tri_jinja_value eval_plain_call(
    tri_jinja_vm *vm, const tri_jinja_node *node, tri_jinja_value callee, tri_jinja_value caller) {
    gathered g;
    if (!gather(vm, &node->call, tri_jinja_missing(), caller, &g)) return tri_jinja_error();
    vm->at = node->at;
    return tri_jinja_call_value(vm, callee, &g.args);
}

static tri_jinja_value eval_call_with(
    tri_jinja_vm *vm, const tri_jinja_node *node, tri_jinja_value caller) {
    const tri_jinja_node *callee = node->a;
    tri_jinja_value f;
    if (callee->kind == TRI_JINJA_N_GETATTR) {
        tri_jinja_value self = tri_jinja_eval(vm, callee->a);
        TRI_JINJA_TRY(self);
        const tri_jinja_method_def *def = callee->known ? callee->known->of[self.kind] : NULL;
        if (def && def->sort == TRI_JINJA_METHOD_OF && !tri_jinja_given(caller)) {
            return eval_method_call(vm, node, def, self);
        }
        vm->at = callee->at;
        f = tri_jinja_getattr(vm, self, callee->attr, callee->known);
    } else {
        f = tri_jinja_eval(vm, callee);
    }
    TRI_JINJA_TRY(f);
    return eval_plain_call(vm, node, f, caller);
}

__attribute__((noinline)) tri_jinja_value tri_jinja_eval_filter(
    tri_jinja_vm *vm, const tri_jinja_node *node, tri_jinja_value below) {
    gathered g;
    tri_jinja_value v = below;
    if (node->a) {
        if (!tri_jinja_enter(vm)) return tri_jinja_error();
        v = node->a->kind == TRI_JINJA_N_FILTER ? tri_jinja_eval_filter(vm, node->a, below)
                                                : tri_jinja_eval(vm, node->a);
        tri_jinja_leave(vm);
    }
    TRI_JINJA_TRY(v);
    vm->at = node->at;
    if (!node->builtin)
        return tri_jinja_fail(vm, "No filter named '%.*s' found.", TRI_JINJA_SHOWN(node->name));
    if (!gather(vm, &node->call, v, tri_jinja_missing(), &g)) return tri_jinja_error();
    vm->at = node->at;
    return tri_jinja_builtin_call(vm, node->builtin, &g.args);
}

static __attribute__((noinline)) tri_jinja_value eval_test(
    tri_jinja_vm *vm, const tri_jinja_node *node) {
    gathered g;
    tri_jinja_value v = tri_jinja_eval(vm, node->a);
    TRI_JINJA_TRY(v);
    vm->at = node->at;
    if (!node->builtin)
        return tri_jinja_fail(vm, "No test named '%.*s' found.", TRI_JINJA_SHOWN(node->name));
    if (!gather(vm, &node->call, v, tri_jinja_missing(), &g)) return tri_jinja_error();
    vm->at = node->at;
    return tri_jinja_builtin_call(vm, node->builtin, &g.args);
}

/* ---- all of them ---- */

static tri_jinja_value eval_node(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value a, b;
    switch ((tri_jinja_node_kind)node->kind) {
    case TRI_JINJA_N_CONST:
    case TRI_JINJA_N_TEXT:
        return node->value;
    case TRI_JINJA_N_NAME:
        a = *slot_at(vm, node->hops, node->slot);
        return tri_jinja_given(a) ? a
                                  : tri_jinja_undefined_name(vm, TRI_JINJA_LACK_NAME, node->name);
    case TRI_JINJA_N_TUPLE:
    case TRI_JINJA_N_LISTEX:
        return eval_sequence(vm, node);
    case TRI_JINJA_N_DICTEX:
        return eval_dict(vm, node);
    case TRI_JINJA_N_COND:
        return eval_cond(vm, node);
    case TRI_JINJA_N_AND:
    case TRI_JINJA_N_OR:
        a = tri_jinja_eval(vm, node->a);
        TRI_JINJA_TRY(a);
        return tri_jinja_truth(vm, a) == (node->kind == TRI_JINJA_N_OR)
                   ? a
                   : tri_jinja_eval(vm, node->b);
    case TRI_JINJA_N_NOT:
        a = tri_jinja_eval(vm, node->a);
        TRI_JINJA_TRY(a);
        return tri_jinja_bool(!tri_jinja_truth(vm, a));
    case TRI_JINJA_N_NEG:
    case TRI_JINJA_N_POS:
        a = tri_jinja_eval(vm, node->a);
        TRI_JINJA_TRY(a);
        vm->at = node->at;
        return node->kind == TRI_JINJA_N_NEG ? tri_jinja_negate(vm, a) : tri_jinja_positive(vm, a);
    case TRI_JINJA_N_BINARY:
        a = tri_jinja_eval(vm, node->a);
        TRI_JINJA_TRY(a);
        b = tri_jinja_eval(vm, node->b);
        TRI_JINJA_TRY(b);
        vm->at = node->at;
        return tri_jinja_binary(vm, (tri_jinja_op)node->op, a, b);
    case TRI_JINJA_N_COMPARE:
        return eval_compare(vm, node);
    case TRI_JINJA_N_CONCAT:
        return eval_concat(vm, node);
    case TRI_JINJA_N_GETATTR:
        a = tri_jinja_eval(vm, node->a);
        TRI_JINJA_TRY(a);
        vm->at = node->at;
        return tri_jinja_getattr(vm, a, node->attr, node->known);
    case TRI_JINJA_N_GETITEM:
        a = tri_jinja_eval(vm, node->a);
        TRI_JINJA_TRY(a);
        b = tri_jinja_eval(vm, node->b);
        TRI_JINJA_TRY(b);
        vm->at = node->at;
        return tri_jinja_getitem(vm, a, b);
    case TRI_JINJA_N_SLICE:
        return eval_slice(vm, node);
    case TRI_JINJA_N_CALL:
        return eval_call_with(vm, node, tri_jinja_missing());
    case TRI_JINJA_N_FILTER:
        return tri_jinja_eval_filter(vm, node, tri_jinja_missing());
    case TRI_JINJA_N_TEST:
        return eval_test(vm, node);
    default:
        return tri_jinja_fail(vm, "not an expression");
    }
}

/* What jinja2 can write into the code that it makes of a template. */
static bool is_literal(tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_NONE:
    case TRI_JINJA_BOOL:
    case TRI_JINJA_INT:
    case TRI_JINJA_BIG:
    case TRI_JINJA_FLOAT:
    case TRI_JINJA_STR:
    case TRI_JINJA_RANGE:
        return true;
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
        for (size_t i = 0; i < v.as.list->n; i++)
            if (!is_literal(v.as.list->items[i])) return false;
        return true;
    case TRI_JINJA_DICT:
        for (size_t i = 0; i < v.as.dict->n; i++) {
            const tri_jinja_entry *e = &v.as.dict->entries[i];
            if (!is_literal(e->key) || !is_literal(e->value)) return false;
        }
        return true;
    default:
        return false;
    }
}

/* jinja2 computes constant expressions when it compiles, and subscripts them by other rules than
 * the code it makes: there a slice of what has none, (2.5)[:2], is undefined and no error.  Where
 * the result can be written into the code, or is printed, that is what counts. */
static __attribute__((noinline)) tri_jinja_value eval_folded(
    tri_jinja_vm *vm, const tri_jinja_node *node, bool is_printed) {
    if (vm->folding) return eval_node(vm, node);
    vm->folding = true;
    tri_jinja_value v = eval_node(vm, node);
    vm->folding = false;
    return vm->rc || is_printed || is_literal(v) ? v : eval_node(vm, node);
}

static tri_jinja_value eval_any(tri_jinja_vm *vm, const tri_jinja_node *node, bool is_printed) {
    if (!tri_jinja_step(vm, 1) || !tri_jinja_enter(vm)) return tri_jinja_error();
    tri_jinja_value v =
        node->constant && node->slices ? eval_folded(vm, node, is_printed) : eval_node(vm, node);
    tri_jinja_leave(vm);
    return vm->rc ? tri_jinja_error() : v;
}

tri_jinja_value tri_jinja_eval(tri_jinja_vm *vm, const tri_jinja_node *node) {
    return node->kind == TRI_JINJA_N_CONST ? node->value : eval_any(vm, node, false);
}

tri_jinja_value tri_jinja_eval_printed(tri_jinja_vm *vm, const tri_jinja_node *node) {
    return node->kind == TRI_JINJA_N_CONST ? node->value : eval_any(vm, node, true);
}

/* ---- assignment ---- */

static bool assign_tuple(tri_jinja_vm *vm, const tri_jinja_node *target, tri_jinja_value v) {
    if (v.kind == TRI_JINJA_UNDEFINED || !tri_jinja_iterable(v)) {
        if (v.kind != TRI_JINJA_UNDEFINED) {
            tri_jinja_fail(vm, "cannot unpack non-iterable %s object", tri_jinja_type_name(v));
            return false;
        }
    }
    if (v.kind != TRI_JINJA_LIST && v.kind != TRI_JINJA_TUPLE) v = tri_jinja_collect(vm, v);
    if (tri_jinja_is_error(v)) return false;
    size_t got = v.as.list->n, wanted = (size_t)target->n;
    if (got > wanted) {
        tri_jinja_fail(vm, "too many values to unpack (expected %zu)", wanted);
        return false;
    }
    if (got < wanted) {
        tri_jinja_fail(vm, "not enough values to unpack (expected %zu, got %zu)", wanted, got);
        return false;
    }
    for (size_t i = 0; i < wanted; i++) {
        if (!tri_jinja_assign(vm, target->list[i], v.as.list->items[i])) return false;
    }
    return true;
}

bool tri_jinja_assign(tri_jinja_vm *vm, const tri_jinja_node *target, tri_jinja_value v) {
    if (target->kind == TRI_JINJA_N_NAME) {
        *slot_at(vm, target->hops, target->slot) = v;
        return true;
    }
    vm->at = target->at;
    if (target->kind == TRI_JINJA_N_TUPLE) {
        if (!tri_jinja_enter(vm)) return false;
        bool ok = assign_tuple(vm, target, v);
        tri_jinja_leave(vm);
        return ok;
    }
    tri_jinja_value ns = *slot_at(vm, target->hops, target->slot);
    if (ns.kind != TRI_JINJA_NAMESPACE) {
        tri_jinja_fail(vm, "cannot assign attribute on non-namespace object");
        return false;
    }
    if (target->attr->n && target->attr->ptr[0] == '_') {
        tri_jinja_fail(vm,
            "Chat templates cannot store underscore-prefixed attributes on a namespace, but got "
            "'%.*s'. Please rename the attribute.",
            TRI_JINJA_SHOWN(target->attr));
        return false;
    }
    return tri_jinja_dict_put(vm, ns.as.ns->attrs, tri_jinja_of_str(target->attr), v);
}

/* ---- call blocks ---- */

tri_jinja_value tri_jinja_eval_call_block(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_macro *macro = TRI_JINJA_NEW(vm, tri_jinja_macro);
    if (!macro) return tri_jinja_error();
    *macro = (tri_jinja_macro){node, node->function, vm->variables};
    tri_jinja_value caller = {.kind = TRI_JINJA_MACRO, .as.macro = macro};
    if (node->kind == TRI_JINJA_N_GENERATION)
        return tri_jinja_macro_call(vm, macro, &(tri_jinja_args){0});
    if (!tri_jinja_enter(vm)) return tri_jinja_error();
    tri_jinja_value v = eval_call_with(vm, node->a, caller);
    tri_jinja_leave(vm);
    return v;
}
