#include "text/jinja/eval.h"

#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/ops.h"

enum { FEW_ARGS = 6 };

static jj_value *slot_at(jj_vm *vm, int32_t hops, int32_t slot) {
    jj_activation *a = vm->variables;
    for (; hops > 0; hops--)
        a = a->parent;
    return &a->slots[slot];
}

static jj_value eval_sequence(jj_vm *vm, const jj_node *node) {
    jj_list *list = jj_list_new(vm, (size_t)node->n);
    if (!list) return jj_error();
    for (int32_t i = 0; i < node->n; i++) {
        list->items[i] = jj_eval(vm, node->list[i]);
        JJ_TRY(list->items[i]);
    }
    return node->kind == JJ_N_TUPLE ? jj_of_tuple(list) : jj_of_list(list);
}

static jj_value eval_dict(jj_vm *vm, const jj_node *node) {
    jj_dict *d = jj_dict_new(vm, (size_t)node->n / 2);
    if (!d) return jj_error();
    for (int32_t i = 0; i < node->n; i += 2) {
        jj_value key = jj_eval(vm, node->list[i]);
        JJ_TRY(key);
        jj_value value = jj_eval(vm, node->list[i + 1]);
        JJ_TRY(value);
        vm->at = node->at;
        if (!jj_dict_put(vm, d, key, value)) return jj_error();
    }
    return jj_of_dict(d);
}

static jj_value eval_concat(jj_vm *vm, const jj_node *node) {
    jj_value first = jj_eval(vm, node->list[0]);
    JJ_TRY(first);
    first = jj_str_of(vm, first);
    for (int32_t i = 1; i < node->n; i++) {
        JJ_TRY(first);
        jj_value next = jj_eval(vm, node->list[i]);
        JJ_TRY(next);
        next = jj_str_of(vm, next);
        JJ_TRY(next);
        first = jj_concat(vm, first.as.s, next.as.s);
    }
    return first;
}

static jj_value eval_compare(jj_vm *vm, const jj_node *node) {
    jj_value left = jj_eval(vm, node->a), result = jj_bool(true);
    JJ_TRY(left);
    for (int32_t i = 0; i < node->n; i++) {
        jj_value right = jj_eval(vm, node->list[i]->a);
        JJ_TRY(right);
        vm->at = node->list[i]->at;
        result = jj_compare(vm, (jj_op)node->list[i]->op, left, right);
        JJ_TRY(result);
        if (!result.as.b) return result;
        left = right;
    }
    return result;
}

static jj_value eval_optional(jj_vm *vm, const jj_node *node) {
    return node ? jj_eval(vm, node) : jj_none();
}

static jj_value eval_slice(jj_vm *vm, const jj_node *node) {
    jj_value object = jj_eval(vm, node->a);
    JJ_TRY(object);
    jj_value start = eval_optional(vm, node->b);
    JJ_TRY(start);
    jj_value stop = eval_optional(vm, node->c);
    JJ_TRY(stop);
    jj_value step = eval_optional(vm, node->d);
    JJ_TRY(step);
    vm->at = node->at;
    return jj_slice(vm, object, start, stop, step);
}

static jj_value eval_cond(jj_vm *vm, const jj_node *node) {
    /* Folded (below) when the test is a constant and so is what it chooses. */
    bool folds = node->c && node->c->constant;
    jj_value test = folds ? jj_eval_printed(vm, node->b) : jj_eval(vm, node->b);
    JJ_TRY(test);
    if (jj_truth(vm, test)) return jj_eval(vm, node->a);
    if (node->c) return jj_eval(vm, node->c);
    return jj_undefined_hint(
        vm, "the inline if-expression evaluated to false and no else section was defined.");
}

/* ---- calls ---- */

typedef struct gathered { /* the arguments of one call; few need no memory */
    jj_args args;
    jj_value few[FEW_ARGS];
} gathered;

static bool add_star(jj_vm *vm, jj_items *items, const jj_node *star) {
    jj_value v = jj_eval(vm, star);
    if (jj_is_error(v)) return false;
    vm->at = star->at;
    v = jj_collect(vm, v);
    if (jj_is_error(v)) return false;
    for (size_t i = 0; i < v.as.list->n; i++) {
        if (!jj_push(vm, items, v.as.list->items[i])) return false;
    }
    return true;
}

static bool add_star_star(
    jj_vm *vm, gathered *g, const jj_call *call, const jj_node *star, jj_value caller) {
    jj_value v = star ? jj_eval(vm, star) : jj_none();
    size_t more = 0;
    if (jj_is_error(v)) return false;
    if (star && v.kind != JJ_DICT) {
        vm->at = star->at;
        jj_fail(vm, "argument after ** must be a mapping, not %s", jj_type_name(v));
        return false;
    }
    if (star) more = v.as.dict->n;
    if (jj_given(caller)) more++;
    size_t n = (size_t)g->args.n_named + more;
    jj_value *values = jj_array(vm, n, sizeof *values);
    jj_str **names = jj_array(vm, n, sizeof *names);
    if (!values || !names) return false;
    for (int32_t i = 0; i < call->n_named; i++) {
        values[i] = g->args.named[i];
        names[i] = call->names[i];
    }
    n = (size_t)call->n_named;
    for (size_t i = 0; star && i < v.as.dict->n; i++) {
        jj_value key = v.as.dict->entries[i].key;
        if (key.kind != JJ_STR) {
            jj_fail(vm, "keywords must be strings");
            return false;
        }
        for (size_t k = 0; k < n; k++) {
            if (jj_str_eq(names[k], key.as.s)) {
                jj_fail(vm, "got multiple values for a keyword argument");
                return false;
            }
        }
        names[n] = key.as.s;
        values[n++] = v.as.dict->entries[i].value;
    }
    if (jj_given(caller)) {
        static const jj_str name = {.ptr = "caller", .n = 6, .ascii = 1};
        names[n] = jj_str_copy(vm, &name);
        if (!names[n]) return false;
        values[n++] = caller;
    }
    g->args.named = values;
    g->args.names = names;
    g->args.n_named = (int32_t)n;
    return true;
}

/* first: what a filter or test is applied to, MISSING: nothing.  caller: of a call block. */
static bool gather(jj_vm *vm, const jj_call *call, jj_value first, jj_value caller, gathered *g) {
    int32_t n = call->n + jj_given(first), total = n + call->n_named;
    jj_value *v = g->few;
    if (total > FEW_ARGS) {
        v = jj_array(vm, (size_t)total, sizeof *v);
        if (!v) return false;
    }
    g->args = (jj_args){.v = v, .named = v + n, .names = call->names};
    if (jj_given(first)) v[g->args.n++] = first;
    for (int32_t i = 0; i < call->n; i++) {
        v[g->args.n] = jj_eval(vm, call->args[i]);
        if (jj_is_error(v[g->args.n++])) return false;
    }
    for (int32_t i = 0; i < call->n_named; i++) {
        v[n + i] = jj_eval(vm, call->named[i]);
        if (jj_is_error(v[n + i])) return false;
    }
    g->args.n_named = call->n_named;
    if (call->star) {
        jj_items items = {0};
        for (int32_t i = 0; i < n; i++) {
            if (!jj_push(vm, &items, v[i])) return false;
        }
        if (!add_star(vm, &items, call->star)) return false;
        if (items.n > INT32_MAX) return false;
        g->args.v = items.items;
        g->args.n = (int32_t)items.n;
    }
    if (!call->star_star && !jj_given(caller)) return true;
    return add_star_star(vm, g, call, call->star_star, caller);
}

static __attribute__((noinline)) jj_value eval_method_call(
    jj_vm *vm, const jj_node *node, const jj_method_def *def, jj_value self) {
    gathered g;
    if (!gather(vm, &node->call, jj_missing(), jj_missing(), &g)) return jj_error();
    vm->at = node->a->at;
    return jj_method_call(vm, def, self, &g.args);
}

static __attribute__((noinline)) jj_value eval_plain_call(
    jj_vm *vm, const jj_node *node, jj_value callee, jj_value caller) {
    gathered g;
    if (!gather(vm, &node->call, jj_missing(), caller, &g)) return jj_error();
    vm->at = node->at;
    return jj_call_value(vm, callee, &g.args);
}

static jj_value eval_call_with(jj_vm *vm, const jj_node *node, jj_value caller) {
    const jj_node *callee = node->a;
    jj_value f;
    if (callee->kind == JJ_N_GETATTR) {
        jj_value self = jj_eval(vm, callee->a);
        JJ_TRY(self);
        const jj_method_def *def = callee->known ? callee->known->of[self.kind] : NULL;
        if (def && def->sort == JJ_METHOD_OF && !jj_given(caller)) {
            return eval_method_call(vm, node, def, self);
        }
        vm->at = callee->at;
        f = jj_getattr(vm, self, callee->attr, callee->known);
    } else {
        f = jj_eval(vm, callee);
    }
    JJ_TRY(f);
    return eval_plain_call(vm, node, f, caller);
}

__attribute__((noinline)) jj_value jj_eval_filter(jj_vm *vm, const jj_node *node, jj_value below) {
    gathered g;
    jj_value v = below;
    if (node->a) {
        if (!jj_enter(vm)) return jj_error();
        v = node->a->kind == JJ_N_FILTER ? jj_eval_filter(vm, node->a, below)
                                         : jj_eval(vm, node->a);
        jj_leave(vm);
    }
    JJ_TRY(v);
    vm->at = node->at;
    if (!node->builtin) return jj_fail(vm, "No filter named '%.*s' found.", JJ_SHOWN(node->name));
    if (!gather(vm, &node->call, v, jj_missing(), &g)) return jj_error();
    vm->at = node->at;
    return jj_builtin_call(vm, node->builtin, &g.args);
}

static __attribute__((noinline)) jj_value eval_test(jj_vm *vm, const jj_node *node) {
    gathered g;
    jj_value v = jj_eval(vm, node->a);
    JJ_TRY(v);
    vm->at = node->at;
    if (!node->builtin) return jj_fail(vm, "No test named '%.*s' found.", JJ_SHOWN(node->name));
    if (!gather(vm, &node->call, v, jj_missing(), &g)) return jj_error();
    vm->at = node->at;
    return jj_builtin_call(vm, node->builtin, &g.args);
}

/* ---- all of them ---- */

static jj_value eval_node(jj_vm *vm, const jj_node *node) {
    jj_value a, b;
    switch ((jj_node_kind)node->kind) {
    case JJ_N_CONST:
    case JJ_N_TEXT:
        return node->value;
    case JJ_N_NAME:
        a = *slot_at(vm, node->hops, node->slot);
        return jj_given(a) ? a : jj_undefined_name(vm, JJ_LACK_NAME, node->name);
    case JJ_N_TUPLE:
    case JJ_N_LISTEX:
        return eval_sequence(vm, node);
    case JJ_N_DICTEX:
        return eval_dict(vm, node);
    case JJ_N_COND:
        return eval_cond(vm, node);
    case JJ_N_AND:
    case JJ_N_OR:
        a = jj_eval(vm, node->a);
        JJ_TRY(a);
        return jj_truth(vm, a) == (node->kind == JJ_N_OR) ? a : jj_eval(vm, node->b);
    case JJ_N_NOT:
        a = jj_eval(vm, node->a);
        JJ_TRY(a);
        return jj_bool(!jj_truth(vm, a));
    case JJ_N_NEG:
    case JJ_N_POS:
        a = jj_eval(vm, node->a);
        JJ_TRY(a);
        vm->at = node->at;
        return node->kind == JJ_N_NEG ? jj_negate(vm, a) : jj_positive(vm, a);
    case JJ_N_BINARY:
        a = jj_eval(vm, node->a);
        JJ_TRY(a);
        b = jj_eval(vm, node->b);
        JJ_TRY(b);
        vm->at = node->at;
        return jj_binary(vm, (jj_op)node->op, a, b);
    case JJ_N_COMPARE:
        return eval_compare(vm, node);
    case JJ_N_CONCAT:
        return eval_concat(vm, node);
    case JJ_N_GETATTR:
        a = jj_eval(vm, node->a);
        JJ_TRY(a);
        vm->at = node->at;
        return jj_getattr(vm, a, node->attr, node->known);
    case JJ_N_GETITEM:
        a = jj_eval(vm, node->a);
        JJ_TRY(a);
        b = jj_eval(vm, node->b);
        JJ_TRY(b);
        vm->at = node->at;
        return jj_getitem(vm, a, b);
    case JJ_N_SLICE:
        return eval_slice(vm, node);
    case JJ_N_CALL:
        return eval_call_with(vm, node, jj_missing());
    case JJ_N_FILTER:
        return jj_eval_filter(vm, node, jj_missing());
    case JJ_N_TEST:
        return eval_test(vm, node);
    default:
        return jj_fail(vm, "not an expression");
    }
}

/* What jinja2 can write into the code that it makes of a template. */
static bool is_literal(jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_NONE:
    case JJ_BOOL:
    case JJ_INT:
    case JJ_BIG:
    case JJ_FLOAT:
    case JJ_STR:
    case JJ_RANGE:
        return true;
    case JJ_LIST:
    case JJ_TUPLE:
        for (size_t i = 0; i < v.as.list->n; i++)
            if (!is_literal(v.as.list->items[i])) return false;
        return true;
    case JJ_DICT:
        for (size_t i = 0; i < v.as.dict->n; i++) {
            const jj_entry *e = &v.as.dict->entries[i];
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
static __attribute__((noinline)) jj_value eval_folded(
    jj_vm *vm, const jj_node *node, bool is_printed) {
    if (vm->folding) return eval_node(vm, node);
    vm->folding = true;
    jj_value v = eval_node(vm, node);
    vm->folding = false;
    return vm->rc || is_printed || is_literal(v) ? v : eval_node(vm, node);
}

static jj_value eval_any(jj_vm *vm, const jj_node *node, bool is_printed) {
    if (!jj_step(vm, 1) || !jj_enter(vm)) return jj_error();
    jj_value v =
        node->constant && node->slices ? eval_folded(vm, node, is_printed) : eval_node(vm, node);
    jj_leave(vm);
    return vm->rc ? jj_error() : v;
}

jj_value jj_eval(jj_vm *vm, const jj_node *node) {
    return node->kind == JJ_N_CONST ? node->value : eval_any(vm, node, false);
}

jj_value jj_eval_printed(jj_vm *vm, const jj_node *node) {
    return node->kind == JJ_N_CONST ? node->value : eval_any(vm, node, true);
}

/* ---- assignment ---- */

static bool assign_tuple(jj_vm *vm, const jj_node *target, jj_value v) {
    if (v.kind == JJ_UNDEFINED || !jj_iterable(v)) {
        if (v.kind != JJ_UNDEFINED) {
            jj_fail(vm, "cannot unpack non-iterable %s object", jj_type_name(v));
            return false;
        }
    }
    if (v.kind != JJ_LIST && v.kind != JJ_TUPLE) v = jj_collect(vm, v);
    if (jj_is_error(v)) return false;
    size_t got = v.as.list->n, wanted = (size_t)target->n;
    if (got > wanted) {
        jj_fail(vm, "too many values to unpack (expected %zu)", wanted);
        return false;
    }
    if (got < wanted) {
        jj_fail(vm, "not enough values to unpack (expected %zu, got %zu)", wanted, got);
        return false;
    }
    for (size_t i = 0; i < wanted; i++) {
        if (!jj_assign(vm, target->list[i], v.as.list->items[i])) return false;
    }
    return true;
}

bool jj_assign(jj_vm *vm, const jj_node *target, jj_value v) {
    if (target->kind == JJ_N_NAME) {
        *slot_at(vm, target->hops, target->slot) = v;
        return true;
    }
    vm->at = target->at;
    if (target->kind == JJ_N_TUPLE) {
        if (!jj_enter(vm)) return false;
        bool ok = assign_tuple(vm, target, v);
        jj_leave(vm);
        return ok;
    }
    jj_value ns = *slot_at(vm, target->hops, target->slot);
    if (ns.kind != JJ_NAMESPACE) {
        jj_fail(vm, "cannot assign attribute on non-namespace object");
        return false;
    }
    if (target->attr->n && target->attr->ptr[0] == '_') {
        jj_fail(vm,
            "Chat templates cannot store underscore-prefixed attributes on a namespace, but got "
            "'%.*s'. Please rename the attribute.",
            JJ_SHOWN(target->attr));
        return false;
    }
    return jj_dict_put(vm, ns.as.ns->attrs, jj_of_str(target->attr), v);
}

/* ---- call blocks ---- */

jj_value jj_eval_call_block(jj_vm *vm, const jj_node *node) {
    jj_macro *macro = JJ_NEW(vm, jj_macro);
    if (!macro) return jj_error();
    *macro = (jj_macro){node, node->function, vm->variables};
    jj_value caller = {.kind = JJ_MACRO, .as.macro = macro};
    if (node->kind == JJ_N_GENERATION) return jj_macro_call(vm, macro, &(jj_args){0});
    if (!jj_enter(vm)) return jj_error();
    jj_value v = eval_call_with(vm, node->a, caller);
    jj_leave(vm);
    return v;
}
