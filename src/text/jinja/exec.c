/* exec.c - statements, macros and loops. */
#include "text/jinja/eval.h"
#include "text/jinja/ops.h"

#include "text/jinja/attr.h"

static tri_jinja_flow run(tri_jinja_vm *vm, const tri_jinja_node *node);

static tri_jinja_value of_context(tri_jinja_vm *vm, const tri_jinja_load *load) {
    tri_jinja_value v = tri_jinja_input(vm, &vm->user, load->name);
    if (!tri_jinja_given(v)) v = tri_jinja_input(vm, &vm->model, load->name);
    if (tri_jinja_given(v)) return v;
    return load->global >= 0 ? tri_jinja_global(load->global) : tri_jinja_missing();
}

bool tri_jinja_enter_scope(tri_jinja_vm *vm, const tri_jinja_scope *scope) {
    for (int32_t i = 0; i < scope->n_loads; i++) {
        const tri_jinja_load *load = &scope->loads[i];
        tri_jinja_value v = tri_jinja_missing();
        if (load->kind == TRI_JINJA_LOAD_CONTEXT) {
            v = of_context(vm, load);
        } else if (load->kind == TRI_JINJA_LOAD_ALIAS) {
            tri_jinja_activation *a = vm->variables;
            for (int32_t hops = load->hops; hops > 0; hops--)
                a = a->parent;
            v = a->slots[load->from];
        }
        vm->variables->slots[load->slot] = v;
    }
    return tri_jinja_step(vm, scope->n_loads);
}

static void leave_scope(tri_jinja_vm *vm, const tri_jinja_scope *scope) {
    for (int32_t i = 0; i < scope->n_clear; i++) {
        vm->variables->slots[scope->clear[i]] = tri_jinja_missing();
    }
}

tri_jinja_activation *tri_jinja_activate(
    tri_jinja_vm *vm, const tri_jinja_function *function, tri_jinja_activation *outer) {
    size_t n = (size_t)function->n_slots;
    tri_jinja_activation *a = tri_jinja_alloc(vm, sizeof *a + n * sizeof *a->slots);
    if (!a) return NULL;
    a->parent = outer;
    for (size_t i = 0; i < n; i++)
        a->slots[i] = tri_jinja_missing();
    return a;
}

/* ---- blocks whose output is a value ---- */

static tri_jinja_flow capture(
    tri_jinja_vm *vm, const tri_jinja_block *block, tri_jinja_value *text) {
    tri_jinja_out out = {0}, *outer = vm->out;
    vm->out = &out;
    tri_jinja_flow flow = tri_jinja_run_block(vm, block);
    vm->out = outer;
    if (flow == TRI_JINJA_GO_ON) {
        *text = tri_jinja_out_str(vm, &out);
        if (tri_jinja_is_error(*text)) return TRI_JINJA_FAILED;
    }
    return flow;
}

static tri_jinja_flow run_set_block(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value text;
    if (!tri_jinja_enter_scope(vm, &node->scope)) return TRI_JINJA_FAILED;
    tri_jinja_flow flow = capture(vm, &node->body, &text);
    if (flow != TRI_JINJA_GO_ON) return flow;
    if (node->b) text = tri_jinja_eval_filter(vm, node->b, text);
    if (tri_jinja_is_error(text) || !tri_jinja_assign(vm, node->a, text)) return TRI_JINJA_FAILED;
    leave_scope(vm, &node->scope);
    return TRI_JINJA_GO_ON;
}

static tri_jinja_flow run_filter_block(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value text;
    if (!tri_jinja_enter_scope(vm, &node->scope)) return TRI_JINJA_FAILED;
    tri_jinja_flow flow = capture(vm, &node->body, &text);
    if (flow != TRI_JINJA_GO_ON) return flow;
    text = tri_jinja_eval_filter(vm, node->a, text);
    if (tri_jinja_is_error(text)) return TRI_JINJA_FAILED;
    if (text.kind != TRI_JINJA_STR) {
        tri_jinja_fail(vm, "expected str instance, %s found", tri_jinja_type_name(text));
        return TRI_JINJA_FAILED;
    }
    tri_jinja_put_str(vm, vm->out, text.as.s);
    leave_scope(vm, &node->scope);
    return vm->rc ? TRI_JINJA_FAILED : TRI_JINJA_GO_ON;
}

static tri_jinja_flow run_with(tri_jinja_vm *vm, const tri_jinja_node *node) {
    if (!tri_jinja_enter_scope(vm, &node->scope)) return TRI_JINJA_FAILED;
    for (int32_t i = 0; i < node->n; i += 2) {
        tri_jinja_value v = tri_jinja_eval(vm, node->list[i + 1]);
        if (tri_jinja_is_error(v) || !tri_jinja_assign(vm, node->list[i], v))
            return TRI_JINJA_FAILED;
    }
    tri_jinja_flow flow = tri_jinja_run_block(vm, &node->body);
    if (flow == TRI_JINJA_GO_ON) leave_scope(vm, &node->scope);
    return flow;
}

/* ---- loops ---- */

typedef struct loop_run {
    const tri_jinja_node *node;
    tri_jinja_iter *iter;
    tri_jinja_loop *loop; /* NULL: the body does not name it */
} loop_run;

static tri_jinja_flow run_turns(tri_jinja_vm *vm, const loop_run *r) {
    const tri_jinja_node *node = r->node;
    bool ended_none = true; /* no turn ran to its end: then "else" runs, as in jinja2 */
    for (;;) {
        tri_jinja_value item;
        vm->at = node->at;
        int got =
            r->loop ? tri_jinja_loop_next(vm, r->loop, &item) : tri_jinja_next(vm, r->iter, &item);
        if (got < 0 || !tri_jinja_step(vm, 1)) return TRI_JINJA_FAILED;
        if (!got) break;
        if (!tri_jinja_assign(vm, node->a, item)) return TRI_JINJA_FAILED;
        if (r->loop) {
            vm->variables->slots[node->loop_slot] =
                (tri_jinja_value){.kind = TRI_JINJA_LOOP, .as.loop = r->loop};
        }
        if (!tri_jinja_enter_scope(vm, &node->scope)) return TRI_JINJA_FAILED;
        tri_jinja_flow flow = tri_jinja_run_block(vm, &node->body);
        if (flow == TRI_JINJA_FAILED) return flow;
        if (flow == TRI_JINJA_BROKE) break;
        if (flow == TRI_JINJA_GO_ON) ended_none = false;
    }
    leave_scope(vm, &node->scope);
    if (!ended_none || !node->other.n) return TRI_JINJA_GO_ON;
    if (!tri_jinja_enter_scope(vm, &node->other_scope)) return TRI_JINJA_FAILED;
    tri_jinja_flow flow = tri_jinja_run_block(vm, &node->other);
    if (flow == TRI_JINJA_GO_ON) leave_scope(vm, &node->other_scope);
    return flow;
}

/* The turns over what is iterated; vm->variables is where the loop's own variables are. */
static tri_jinja_flow run_loop(tri_jinja_vm *vm, const tri_jinja_node *node,
    tri_jinja_value iterable, int64_t depth0, tri_jinja_activation *outer) {
    loop_run r = {.node = node};
    if (node->test) {
        r.iter = tri_jinja_iter_new(vm, TRI_JINJA_I_TEST, iterable);
        if (!r.iter) return TRI_JINJA_FAILED;
        r.iter->node = node;
        r.iter->variables = outer;
        iterable = tri_jinja_of_iter(r.iter);
    } else {
        vm->at = node->b->at;
        r.iter = tri_jinja_iterate(vm, iterable);
        if (!r.iter) return TRI_JINJA_FAILED;
    }
    if (node->loop_slot >= 0) {
        r.loop = TRI_JINJA_NEW(vm, tri_jinja_loop);
        if (!r.loop) return TRI_JINJA_FAILED;
        *r.loop = (tri_jinja_loop){.iter = r.iter,
            .iterable = iterable,
            .index0 = -1,
            .length = -1,
            .depth0 = depth0,
            .before = tri_jinja_missing(),
            .current = tri_jinja_missing(),
            .after = tri_jinja_missing(),
            .changed = tri_jinja_missing(),
            .node = node,
            .outer = outer};
    }
    return run_turns(vm, &r);
}

static tri_jinja_value run_recursive(tri_jinja_vm *vm, const tri_jinja_node *node,
    tri_jinja_value iterable, int64_t depth0, tri_jinja_activation *outer) {
    tri_jinja_out out = {0}, *outer_out = vm->out;
    tri_jinja_activation *saved = vm->variables;
    if (vm->n_calls >= vm->limits.max_depth) {
        return tri_jinja_limit(
            vm, "calls nested too deeply (max_depth %" PRId32 ")", vm->limits.max_depth);
    }
    tri_jinja_activation *own = tri_jinja_activate(vm, node->function, outer);
    if (!own) return tri_jinja_error();
    vm->n_calls++;
    vm->variables = own;
    vm->out = &out;
    tri_jinja_flow flow = run_loop(vm, node, iterable, depth0, outer);
    vm->out = outer_out;
    vm->variables = saved;
    vm->n_calls--;
    return flow == TRI_JINJA_FAILED ? tri_jinja_error() : tri_jinja_out_str(vm, &out);
}

static tri_jinja_flow run_for(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value iterable = tri_jinja_eval(vm, node->b);
    if (tri_jinja_is_error(iterable)) return TRI_JINJA_FAILED;
    if (!node->flag) return run_loop(vm, node, iterable, 0, vm->variables);
    tri_jinja_value text = run_recursive(vm, node, iterable, 0, vm->variables);
    if (tri_jinja_is_error(text)) return TRI_JINJA_FAILED;
    tri_jinja_put_str(vm, vm->out, text.as.s);
    return vm->rc ? TRI_JINJA_FAILED : TRI_JINJA_GO_ON;
}

tri_jinja_value tri_jinja_loop_call(
    tri_jinja_vm *vm, tri_jinja_loop *loop, const tri_jinja_args *args) {
    tri_jinja_value v[1];
    if (!tri_jinja_bind(vm, "loop", "iterable", 1, 1, args, v)) return tri_jinja_error();
    if (!loop->node->flag) {
        return tri_jinja_fail(
            vm, "The loop must have the 'recursive' marker to be called recursively.");
    }
    if (!tri_jinja_enter(vm)) return tri_jinja_error();
    tri_jinja_value text = run_recursive(vm, loop->node, v[0], loop->depth0 + 1, loop->outer);
    tri_jinja_leave(vm);
    return text;
}

/* ---- macros ---- */

static tri_jinja_value take_named(
    const tri_jinja_args *args, bool *taken, const tri_jinja_str *name) {
    for (int32_t i = 0; i < args->n_named; i++) {
        if (!taken[i] && tri_jinja_str_eq(args->names[i], name)) {
            taken[i] = true;
            return args->named[i];
        }
    }
    return tri_jinja_missing();
}

static const tri_jinja_str *name_of(const tri_jinja_function *f) {
    static const tri_jinja_str none = {.ptr = ""};
    return f->name ? f->name : &none;
}

static tri_jinja_value rest_named(tri_jinja_vm *vm, const tri_jinja_args *args, const bool *taken) {
    tri_jinja_dict *rest = tri_jinja_dict_new(vm, 0);
    if (!rest) return tri_jinja_error();
    for (int32_t i = 0; i < args->n_named; i++) {
        if (taken[i]) continue;
        if (!tri_jinja_dict_put(vm, rest, tri_jinja_of_str(args->names[i]), args->named[i]))
            return tri_jinja_error();
    }
    return tri_jinja_of_dict(rest);
}

static bool bind_special(tri_jinja_vm *vm, const tri_jinja_function *f, tri_jinja_activation *own,
    const tri_jinja_args *args, bool *taken) {
    static const tri_jinja_str caller_name = {.ptr = "caller", .n = 6};
    if (f->caller_slot >= 0) {
        tri_jinja_value caller = take_named(args, taken, &caller_name);
        if (!tri_jinja_given(caller) || caller.kind == TRI_JINJA_NONE) {
            caller = tri_jinja_undefined_hint(vm, "No caller defined");
        }
        own->slots[f->caller_slot] = caller;
    }
    if (f->kwargs_slot >= 0) {
        own->slots[f->kwargs_slot] = rest_named(vm, args, taken);
    } else {
        for (int32_t i = 0; i < args->n_named; i++) {
            if (taken[i]) continue;
            tri_jinja_fail(vm, "macro '%.*s' takes no keyword argument '%.*s'",
                TRI_JINJA_SHOWN(name_of(f)), TRI_JINJA_SHOWN(args->names[i]));
            return false;
        }
    }
    int32_t extra = args->n > f->n_params ? args->n - f->n_params : 0;
    if (f->varargs_slot >= 0) {
        tri_jinja_list *rest = tri_jinja_list_new(vm, (size_t)extra);
        if (!rest) return false;
        for (int32_t i = 0; i < extra; i++)
            rest->items[i] = args->v[f->n_params + i];
        own->slots[f->varargs_slot] = tri_jinja_of_tuple(rest);
    } else if (extra) {
        tri_jinja_fail(vm, "macro '%.*s' takes not more than %" PRId32 " argument(s)",
            TRI_JINJA_SHOWN(name_of(f)), f->n_params);
        return false;
    }
    return !vm->rc;
}

static bool bind_macro(tri_jinja_vm *vm, const tri_jinja_function *f, tri_jinja_activation *own,
    const tri_jinja_args *args) {
    bool few[8] = {false}, *taken = few;
    if (args->n_named > 8) {
        taken = tri_jinja_array(vm, (size_t)args->n_named, sizeof *taken);
        if (!taken) return false;
    }
    for (int32_t i = 0; i < f->n_params; i++) {
        tri_jinja_value v = i < args->n ? args->v[i] : take_named(args, taken, f->params[i]->name);
        own->slots[f->params[i]->slot] = v;
    }
    return bind_special(vm, f, own, args, taken);
}

/* Runs in the macro's own activation: defaults may name other parameters. */
static bool fill_defaults(tri_jinja_vm *vm, const tri_jinja_function *f) {
    int32_t first = f->n_params - f->n_defaults;
    for (int32_t i = 0; i < f->n_params; i++) {
        tri_jinja_value *slot = &vm->variables->slots[f->params[i]->slot];
        if (tri_jinja_given(*slot)) continue;
        tri_jinja_value v =
            i >= first ? tri_jinja_eval(vm, f->defaults[i - first])
                       : tri_jinja_undefined_name(vm, TRI_JINJA_LACK_PARAMETER, f->params[i]->name);
        if (tri_jinja_is_error(v)) return false;
        *slot = v;
    }
    return true;
}

tri_jinja_value tri_jinja_macro_call(
    tri_jinja_vm *vm, tri_jinja_macro *macro, const tri_jinja_args *args) {
    const tri_jinja_function *f = macro->function;
    tri_jinja_activation *saved = vm->variables;
    tri_jinja_value text = tri_jinja_error();
    if (vm->n_calls >= vm->limits.max_depth) {
        return tri_jinja_limit(
            vm, "calls nested too deeply (max_depth %" PRId32 ")", vm->limits.max_depth);
    }
    tri_jinja_activation *own = tri_jinja_activate(vm, f, macro->outer);
    if (!own || !bind_macro(vm, f, own, args) || !tri_jinja_enter(vm)) return tri_jinja_error();
    vm->n_calls++;
    vm->variables = own;
    if (tri_jinja_enter_scope(vm, &f->scope) && fill_defaults(vm, f)) {
        if (capture(vm, &f->body, &text) != TRI_JINJA_GO_ON) text = tri_jinja_error();
    }
    vm->variables = saved;
    vm->n_calls--;
    tri_jinja_leave(vm);
    return text;
}

static tri_jinja_flow run_macro(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_macro *macro = TRI_JINJA_NEW(vm, tri_jinja_macro);
    if (!macro) return TRI_JINJA_FAILED;
    *macro = (tri_jinja_macro){node, node->function, vm->variables};
    tri_jinja_activation *a = vm->variables;
    for (int32_t hops = node->hops; hops > 0; hops--)
        a = a->parent;
    a->slots[node->slot] = (tri_jinja_value){.kind = TRI_JINJA_MACRO, .as.macro = macro};
    return TRI_JINJA_GO_ON;
}

/* ---- statements ---- */

static tri_jinja_flow run_output(tri_jinja_vm *vm, const tri_jinja_node *node) {
    for (int32_t i = 0; i < node->n; i++) {
        const tri_jinja_node *part = node->list[i];
        if (part->kind == TRI_JINJA_N_TEXT) {
            tri_jinja_put(vm, vm->out, part->value.as.s->ptr, part->value.as.s->n, false);
            continue;
        }
        tri_jinja_value v = tri_jinja_eval_printed(vm, part);
        if (tri_jinja_is_error(v)) return TRI_JINJA_FAILED;
        tri_jinja_put_value(vm, vm->out, v);
    }
    return vm->rc ? TRI_JINJA_FAILED : TRI_JINJA_GO_ON;
}

static tri_jinja_flow run_if(tri_jinja_vm *vm, const tri_jinja_node *node) {
    for (int32_t i = -1; i < node->n; i++) {
        const tri_jinja_node *branch = i < 0 ? node : node->list[i];
        tri_jinja_value test = tri_jinja_eval(vm, branch->a);
        if (tri_jinja_is_error(test)) return TRI_JINJA_FAILED;
        bool taken = tri_jinja_truth(vm, test);
        if (vm->rc) return TRI_JINJA_FAILED;
        if (taken) return tri_jinja_run_block(vm, &branch->body);
    }
    return tri_jinja_run_block(vm, &node->other);
}

static bool check_namespaces(tri_jinja_vm *vm, const tri_jinja_node *target) {
    if (target->kind == TRI_JINJA_N_TUPLE) {
        for (int32_t i = 0; i < target->n; i++) {
            if (!check_namespaces(vm, target->list[i])) return false;
        }
    }
    if (target->kind != TRI_JINJA_N_NSREF) return true;
    tri_jinja_activation *a = vm->variables;
    for (int32_t hops = target->hops; hops > 0; hops--)
        a = a->parent;
    if (a->slots[target->slot].kind == TRI_JINJA_NAMESPACE) return true;
    vm->at = target->at;
    tri_jinja_fail(vm, "cannot assign attribute on non-namespace object");
    return false;
}

static tri_jinja_flow run_set(tri_jinja_vm *vm, const tri_jinja_node *node) {
    if (node->a->kind != TRI_JINJA_N_NAME && !check_namespaces(vm, node->a))
        return TRI_JINJA_FAILED;
    tri_jinja_value v = tri_jinja_eval(vm, node->b);
    return !tri_jinja_is_error(v) && tri_jinja_assign(vm, node->a, v) ? TRI_JINJA_GO_ON
                                                                      : TRI_JINJA_FAILED;
}

static tri_jinja_flow run_node(tri_jinja_vm *vm, const tri_jinja_node *node) {
    tri_jinja_value v;
    tri_jinja_flow flow;
    switch ((tri_jinja_node_kind)node->kind) {
    case TRI_JINJA_N_OUTPUT:
        return run_output(vm, node);
    case TRI_JINJA_N_IF:
        return run_if(vm, node);
    case TRI_JINJA_N_FOR:
        return run_for(vm, node);
    case TRI_JINJA_N_MACRO:
        return run_macro(vm, node);
    case TRI_JINJA_N_CALL_BLOCK:
    case TRI_JINJA_N_GENERATION:
        v = tri_jinja_eval_call_block(vm, node);
        if (tri_jinja_is_error(v)) return TRI_JINJA_FAILED;
        tri_jinja_put_value(vm, vm->out, v);
        return vm->rc ? TRI_JINJA_FAILED : TRI_JINJA_GO_ON;
    case TRI_JINJA_N_SET:
        return run_set(vm, node);
    case TRI_JINJA_N_SET_BLOCK:
        return run_set_block(vm, node);
    case TRI_JINJA_N_FILTER_BLOCK:
        return run_filter_block(vm, node);
    case TRI_JINJA_N_WITH:
        return run_with(vm, node);
    case TRI_JINJA_N_SCOPE:
        if (!tri_jinja_enter_scope(vm, &node->scope)) return TRI_JINJA_FAILED;
        flow = tri_jinja_run_block(vm, &node->body);
        if (flow == TRI_JINJA_GO_ON) leave_scope(vm, &node->scope);
        return flow;
    case TRI_JINJA_N_BREAK:
        return TRI_JINJA_BROKE;
    case TRI_JINJA_N_CONTINUE:
        return TRI_JINJA_CONTINUED;
    default:
        vm->at = node->at;
        tri_jinja_fail(
            vm, "%.*s", (int)node->value.as.s->n, node->value.as.s->ptr); /* the parser's own */
        return TRI_JINJA_FAILED;
    }
}

static tri_jinja_flow run(tri_jinja_vm *vm, const tri_jinja_node *node) {
    if (!tri_jinja_step(vm, 1) || !tri_jinja_enter(vm)) return TRI_JINJA_FAILED;
    tri_jinja_flow flow = run_node(vm, node);
    tri_jinja_leave(vm);
    return flow;
}

tri_jinja_flow tri_jinja_run_block(tri_jinja_vm *vm, const tri_jinja_block *block) {
    for (int32_t i = 0; i < block->n; i++) {
        tri_jinja_flow flow = run(vm, block->items[i]);
        if (flow != TRI_JINJA_GO_ON) return flow;
    }
    return TRI_JINJA_GO_ON;
}
