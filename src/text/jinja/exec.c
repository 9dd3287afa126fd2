/* exec.c - statements, macros and loops. */
#include "text/jinja/eval.h"
#include "text/jinja/ops.h"

#include "text/jinja/attr.h"

static jj_flow run(jj_vm *vm, const jj_node *node);

static jj_value of_context(jj_vm *vm, const jj_load *load) {
    jj_value v = jj_input(vm, &vm->user, load->name);
    if (!jj_given(v)) v = jj_input(vm, &vm->model, load->name);
    if (jj_given(v)) return v;
    return load->global >= 0 ? jj_global(load->global) : jj_missing();
}

bool jj_enter_scope(jj_vm *vm, const jj_scope *scope) {
    for (int32_t i = 0; i < scope->n_loads; i++) {
        const jj_load *load = &scope->loads[i];
        jj_value v = jj_missing();
        if (load->kind == JJ_LOAD_CONTEXT) {
            v = of_context(vm, load);
        } else if (load->kind == JJ_LOAD_ALIAS) {
            jj_activation *a = vm->variables;
            for (int32_t hops = load->hops; hops > 0; hops--)
                a = a->parent;
            v = a->slots[load->from];
        }
        vm->variables->slots[load->slot] = v;
    }
    return jj_step(vm, scope->n_loads);
}

static void leave_scope(jj_vm *vm, const jj_scope *scope) {
    for (int32_t i = 0; i < scope->n_clear; i++) {
        vm->variables->slots[scope->clear[i]] = jj_missing();
    }
}

jj_activation *jj_activate(jj_vm *vm, const jj_function *function, jj_activation *outer) {
    size_t n = (size_t)function->n_slots;
    jj_activation *a = jj_alloc(vm, sizeof *a + n * sizeof *a->slots);
    if (!a) return NULL;
    a->parent = outer;
    for (size_t i = 0; i < n; i++)
        a->slots[i] = jj_missing();
    return a;
}

/* ---- blocks whose output is a value ---- */

static jj_flow capture(jj_vm *vm, const jj_block *block, jj_value *text) {
    jj_out out = {0}, *outer = vm->out;
    vm->out = &out;
    jj_flow flow = jj_run_block(vm, block);
    vm->out = outer;
    if (flow == JJ_GO_ON) {
        *text = jj_out_str(vm, &out);
        if (jj_is_error(*text)) return JJ_FAILED;
    }
    return flow;
}

static jj_flow run_set_block(jj_vm *vm, const jj_node *node) {
    jj_value text;
    if (!jj_enter_scope(vm, &node->scope)) return JJ_FAILED;
    jj_flow flow = capture(vm, &node->body, &text);
    if (flow != JJ_GO_ON) return flow;
    if (node->b) text = jj_eval_filter(vm, node->b, text);
    if (jj_is_error(text) || !jj_assign(vm, node->a, text)) return JJ_FAILED;
    leave_scope(vm, &node->scope);
    return JJ_GO_ON;
}

static jj_flow run_filter_block(jj_vm *vm, const jj_node *node) {
    jj_value text;
    if (!jj_enter_scope(vm, &node->scope)) return JJ_FAILED;
    jj_flow flow = capture(vm, &node->body, &text);
    if (flow != JJ_GO_ON) return flow;
    text = jj_eval_filter(vm, node->a, text);
    if (jj_is_error(text)) return JJ_FAILED;
    if (text.kind != JJ_STR) {
        jj_fail(vm, "expected str instance, %s found", jj_type_name(text));
        return JJ_FAILED;
    }
    jj_put_str(vm, vm->out, text.as.s);
    leave_scope(vm, &node->scope);
    return vm->rc ? JJ_FAILED : JJ_GO_ON;
}

static jj_flow run_with(jj_vm *vm, const jj_node *node) {
    if (!jj_enter_scope(vm, &node->scope)) return JJ_FAILED;
    for (int32_t i = 0; i < node->n; i += 2) {
        jj_value v = jj_eval(vm, node->list[i + 1]);
        if (jj_is_error(v) || !jj_assign(vm, node->list[i], v)) return JJ_FAILED;
    }
    jj_flow flow = jj_run_block(vm, &node->body);
    if (flow == JJ_GO_ON) leave_scope(vm, &node->scope);
    return flow;
}

/* ---- loops ---- */

typedef struct loop_run {
    const jj_node *node;
    jj_iter *iter;
    jj_loop *loop; /* NULL: the body does not name it */
} loop_run;

static jj_flow run_turns(jj_vm *vm, const loop_run *r) {
    const jj_node *node = r->node;
    bool ended_none = true; /* no turn ran to its end: then "else" runs, as in jinja2 */
    for (;;) {
        jj_value item;
        vm->at = node->at;
        int got = r->loop ? jj_loop_next(vm, r->loop, &item) : jj_next(vm, r->iter, &item);
        if (got < 0 || !jj_step(vm, 1)) return JJ_FAILED;
        if (!got) break;
        if (!jj_assign(vm, node->a, item)) return JJ_FAILED;
        if (r->loop) {
            vm->variables->slots[node->loop_slot] = (jj_value){.kind = JJ_LOOP, .as.loop = r->loop};
        }
        if (!jj_enter_scope(vm, &node->scope)) return JJ_FAILED;
        jj_flow flow = jj_run_block(vm, &node->body);
        if (flow == JJ_FAILED) return flow;
        if (flow == JJ_BROKE) break;
        if (flow == JJ_GO_ON) ended_none = false;
    }
    leave_scope(vm, &node->scope);
    if (!ended_none || !node->other.n) return JJ_GO_ON;
    if (!jj_enter_scope(vm, &node->other_scope)) return JJ_FAILED;
    jj_flow flow = jj_run_block(vm, &node->other);
    if (flow == JJ_GO_ON) leave_scope(vm, &node->other_scope);
    return flow;
}

/* The turns over what is iterated; vm->variables is where the loop's own variables are. */
static jj_flow run_loop(
    jj_vm *vm, const jj_node *node, jj_value iterable, int64_t depth0, jj_activation *outer) {
    loop_run r = {.node = node};
    if (node->test) {
        r.iter = jj_iter_new(vm, JJ_I_TEST, iterable);
        if (!r.iter) return JJ_FAILED;
        r.iter->node = node;
        r.iter->variables = outer;
        iterable = jj_of_iter(r.iter);
    } else {
        vm->at = node->b->at;
        r.iter = jj_iterate(vm, iterable);
        if (!r.iter) return JJ_FAILED;
    }
    if (node->loop_slot >= 0) {
        r.loop = JJ_NEW(vm, jj_loop);
        if (!r.loop) return JJ_FAILED;
        *r.loop = (jj_loop){.iter = r.iter,
            .iterable = iterable,
            .index0 = -1,
            .length = -1,
            .depth0 = depth0,
            .before = jj_missing(),
            .current = jj_missing(),
            .after = jj_missing(),
            .changed = jj_missing(),
            .node = node,
            .outer = outer};
    }
    return run_turns(vm, &r);
}

static jj_value run_recursive(
    jj_vm *vm, const jj_node *node, jj_value iterable, int64_t depth0, jj_activation *outer) {
    jj_out out = {0}, *outer_out = vm->out;
    jj_activation *saved = vm->variables;
    if (vm->n_calls >= vm->limits.max_depth) {
        return jj_limit(
            vm, "calls nested too deeply (max_depth %" PRId32 ")", vm->limits.max_depth);
    }
    jj_activation *own = jj_activate(vm, node->function, outer);
    if (!own) return jj_error();
    vm->n_calls++;
    vm->variables = own;
    vm->out = &out;
    jj_flow flow = run_loop(vm, node, iterable, depth0, outer);
    vm->out = outer_out;
    vm->variables = saved;
    vm->n_calls--;
    return flow == JJ_FAILED ? jj_error() : jj_out_str(vm, &out);
}

static jj_flow run_for(jj_vm *vm, const jj_node *node) {
    jj_value iterable = jj_eval(vm, node->b);
    if (jj_is_error(iterable)) return JJ_FAILED;
    if (!node->flag) return run_loop(vm, node, iterable, 0, vm->variables);
    jj_value text = run_recursive(vm, node, iterable, 0, vm->variables);
    if (jj_is_error(text)) return JJ_FAILED;
    jj_put_str(vm, vm->out, text.as.s);
    return vm->rc ? JJ_FAILED : JJ_GO_ON;
}

jj_value jj_loop_call(jj_vm *vm, jj_loop *loop, const jj_args *args) {
    jj_value v[1];
    if (!jj_bind(vm, "loop", "iterable", 1, 1, args, v)) return jj_error();
    if (!loop->node->flag) {
        return jj_fail(vm, "The loop must have the 'recursive' marker to be called recursively.");
    }
    if (!jj_enter(vm)) return jj_error();
    jj_value text = run_recursive(vm, loop->node, v[0], loop->depth0 + 1, loop->outer);
    jj_leave(vm);
    return text;
}

/* ---- macros ---- */

static jj_value take_named(const jj_args *args, bool *taken, const jj_str *name) {
    for (int32_t i = 0; i < args->n_named; i++) {
        if (!taken[i] && jj_str_eq(args->names[i], name)) {
            taken[i] = true;
            return args->named[i];
        }
    }
    return jj_missing();
}

static const jj_str *name_of(const jj_function *f) {
    static const jj_str none = {.ptr = ""};
    return f->name ? f->name : &none;
}

static jj_value rest_named(jj_vm *vm, const jj_args *args, const bool *taken) {
    jj_dict *rest = jj_dict_new(vm, 0);
    if (!rest) return jj_error();
    for (int32_t i = 0; i < args->n_named; i++) {
        if (taken[i]) continue;
        if (!jj_dict_put(vm, rest, jj_of_str(args->names[i]), args->named[i])) return jj_error();
    }
    return jj_of_dict(rest);
}

static bool bind_special(
    jj_vm *vm, const jj_function *f, jj_activation *own, const jj_args *args, bool *taken) {
    static const jj_str caller_name = {.ptr = "caller", .n = 6};
    if (f->caller_slot >= 0) {
        jj_value caller = take_named(args, taken, &caller_name);
        if (!jj_given(caller) || caller.kind == JJ_NONE) {
            caller = jj_undefined_hint(vm, "No caller defined");
        }
        own->slots[f->caller_slot] = caller;
    }
    if (f->kwargs_slot >= 0) {
        own->slots[f->kwargs_slot] = rest_named(vm, args, taken);
    } else {
        for (int32_t i = 0; i < args->n_named; i++) {
            if (taken[i]) continue;
            jj_fail(vm, "macro '%.*s' takes no keyword argument '%.*s'", JJ_SHOWN(name_of(f)),
                JJ_SHOWN(args->names[i]));
            return false;
        }
    }
    int32_t extra = args->n > f->n_params ? args->n - f->n_params : 0;
    if (f->varargs_slot >= 0) {
        jj_list *rest = jj_list_new(vm, (size_t)extra);
        if (!rest) return false;
        for (int32_t i = 0; i < extra; i++)
            rest->items[i] = args->v[f->n_params + i];
        own->slots[f->varargs_slot] = jj_of_tuple(rest);
    } else if (extra) {
        jj_fail(vm, "macro '%.*s' takes not more than %" PRId32 " argument(s)",
            JJ_SHOWN(name_of(f)), f->n_params);
        return false;
    }
    return !vm->rc;
}

static bool bind_macro(jj_vm *vm, const jj_function *f, jj_activation *own, const jj_args *args) {
    bool few[8] = {false}, *taken = few;
    if (args->n_named > 8) {
        taken = jj_array(vm, (size_t)args->n_named, sizeof *taken);
        if (!taken) return false;
    }
    for (int32_t i = 0; i < f->n_params; i++) {
        jj_value v = i < args->n ? args->v[i] : take_named(args, taken, f->params[i]->name);
        own->slots[f->params[i]->slot] = v;
    }
    return bind_special(vm, f, own, args, taken);
}

/* Runs in the macro's own activation: defaults may name other parameters. */
static bool fill_defaults(jj_vm *vm, const jj_function *f) {
    int32_t first = f->n_params - f->n_defaults;
    for (int32_t i = 0; i < f->n_params; i++) {
        jj_value *slot = &vm->variables->slots[f->params[i]->slot];
        if (jj_given(*slot)) continue;
        jj_value v = i >= first ? jj_eval(vm, f->defaults[i - first])
                                : jj_undefined_name(vm, JJ_LACK_PARAMETER, f->params[i]->name);
        if (jj_is_error(v)) return false;
        *slot = v;
    }
    return true;
}

jj_value jj_macro_call(jj_vm *vm, jj_macro *macro, const jj_args *args) {
    const jj_function *f = macro->function;
    jj_activation *saved = vm->variables;
    jj_value text = jj_error();
    if (vm->n_calls >= vm->limits.max_depth) {
        return jj_limit(
            vm, "calls nested too deeply (max_depth %" PRId32 ")", vm->limits.max_depth);
    }
    jj_activation *own = jj_activate(vm, f, macro->outer);
    if (!own || !bind_macro(vm, f, own, args) || !jj_enter(vm)) return jj_error();
    vm->n_calls++;
    vm->variables = own;
    if (jj_enter_scope(vm, &f->scope) && fill_defaults(vm, f)) {
        if (capture(vm, &f->body, &text) != JJ_GO_ON) text = jj_error();
    }
    vm->variables = saved;
    vm->n_calls--;
    jj_leave(vm);
    return text;
}

static jj_flow run_macro(jj_vm *vm, const jj_node *node) {
    jj_macro *macro = JJ_NEW(vm, jj_macro);
    if (!macro) return JJ_FAILED;
    *macro = (jj_macro){node, node->function, vm->variables};
    jj_activation *a = vm->variables;
    for (int32_t hops = node->hops; hops > 0; hops--)
        a = a->parent;
    a->slots[node->slot] = (jj_value){.kind = JJ_MACRO, .as.macro = macro};
    return JJ_GO_ON;
}

/* ---- statements ---- */

static jj_flow run_output(jj_vm *vm, const jj_node *node) {
    for (int32_t i = 0; i < node->n; i++) {
        const jj_node *part = node->list[i];
        if (part->kind == JJ_N_TEXT) {
            jj_put(vm, vm->out, part->value.as.s->ptr, part->value.as.s->n, false);
            continue;
        }
        jj_value v = jj_eval_printed(vm, part);
        if (jj_is_error(v)) return JJ_FAILED;
        jj_put_value(vm, vm->out, v);
    }
    return vm->rc ? JJ_FAILED : JJ_GO_ON;
}

static jj_flow run_if(jj_vm *vm, const jj_node *node) {
    for (int32_t i = -1; i < node->n; i++) {
        const jj_node *branch = i < 0 ? node : node->list[i];
        jj_value test = jj_eval(vm, branch->a);
        if (jj_is_error(test)) return JJ_FAILED;
        bool taken = jj_truth(vm, test);
        if (vm->rc) return JJ_FAILED;
        if (taken) return jj_run_block(vm, &branch->body);
    }
    return jj_run_block(vm, &node->other);
}

static bool check_namespaces(jj_vm *vm, const jj_node *target) {
    if (target->kind == JJ_N_TUPLE) {
        for (int32_t i = 0; i < target->n; i++) {
            if (!check_namespaces(vm, target->list[i])) return false;
        }
    }
    if (target->kind != JJ_N_NSREF) return true;
    jj_activation *a = vm->variables;
    for (int32_t hops = target->hops; hops > 0; hops--)
        a = a->parent;
    if (a->slots[target->slot].kind == JJ_NAMESPACE) return true;
    vm->at = target->at;
    jj_fail(vm, "cannot assign attribute on non-namespace object");
    return false;
}

static jj_flow run_set(jj_vm *vm, const jj_node *node) {
    if (node->a->kind != JJ_N_NAME && !check_namespaces(vm, node->a)) return JJ_FAILED;
    jj_value v = jj_eval(vm, node->b);
    return !jj_is_error(v) && jj_assign(vm, node->a, v) ? JJ_GO_ON : JJ_FAILED;
}

static jj_flow run_node(jj_vm *vm, const jj_node *node) {
    jj_value v;
    jj_flow flow;
    switch ((jj_node_kind)node->kind) {
    case JJ_N_OUTPUT:
        return run_output(vm, node);
    case JJ_N_IF:
        return run_if(vm, node);
    case JJ_N_FOR:
        return run_for(vm, node);
    case JJ_N_MACRO:
        return run_macro(vm, node);
    case JJ_N_CALL_BLOCK:
    case JJ_N_GENERATION:
        v = jj_eval_call_block(vm, node);
        if (jj_is_error(v)) return JJ_FAILED;
        jj_put_value(vm, vm->out, v);
        return vm->rc ? JJ_FAILED : JJ_GO_ON;
    case JJ_N_SET:
        return run_set(vm, node);
    case JJ_N_SET_BLOCK:
        return run_set_block(vm, node);
    case JJ_N_FILTER_BLOCK:
        return run_filter_block(vm, node);
    case JJ_N_WITH:
        return run_with(vm, node);
    case JJ_N_SCOPE:
        if (!jj_enter_scope(vm, &node->scope)) return JJ_FAILED;
        flow = jj_run_block(vm, &node->body);
        if (flow == JJ_GO_ON) leave_scope(vm, &node->scope);
        return flow;
    case JJ_N_BREAK:
        return JJ_BROKE;
    case JJ_N_CONTINUE:
        return JJ_CONTINUED;
    default:
        vm->at = node->at;
        jj_fail(vm, "%.*s", (int)node->value.as.s->n, node->value.as.s->ptr); /* the parser's own */
        return JJ_FAILED;
    }
}

static jj_flow run(jj_vm *vm, const jj_node *node) {
    if (!jj_step(vm, 1) || !jj_enter(vm)) return JJ_FAILED;
    jj_flow flow = run_node(vm, node);
    jj_leave(vm);
    return flow;
}

jj_flow jj_run_block(jj_vm *vm, const jj_block *block) {
    for (int32_t i = 0; i < block->n; i++) {
        jj_flow flow = run(vm, block->items[i]);
        if (flow != JJ_GO_ON) return flow;
    }
    return JJ_GO_ON;
}
