#include "text/jinja/builtin.h"

#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/eval.h"
#include "text/jinja/ops.h"

/* Which parameter has the name, -1: none; names that come before "/" cannot be given by name. */
static int parameter(const char *params, const jj_str *name) {
    const char *slash = strchr(params, '/'), *p = params;
    for (int i = 0; *p; i++) {
        const char *end = strchr(p, ' ');
        size_t n = end ? (size_t)(end - p) : strlen(p);
        if (p == slash)
            i--;
        else if (!(slash && p < slash) && n == name->n && !memcmp(p, name->ptr, n))
            return i;
        p += n + (end != NULL);
    }
    return -1;
}

bool jj_bind(jj_vm *vm, const char *what, const char *params, int min, int max, const jj_args *args,
    jj_value *v) {
    if (args->n > max) {
        jj_fail(vm, "%s takes at most %d argument(s) (%" PRId32 " given)", what, max, args->n);
        return false;
    }
    for (int i = 0; i < max; i++)
        v[i] = i < args->n ? args->v[i] : jj_missing();
    for (int32_t i = 0; i < args->n_named; i++) {
        const jj_str *name = args->names[i];
        int at = parameter(params, name);
        int n = (int)(name->n < 60 ? name->n : 60);
        if (at < 0 || at >= max) {
            jj_fail(vm, "%s got an unexpected keyword argument '%.*s'", what, n, name->ptr);
            return false;
        }
        if (jj_given(v[at])) {
            jj_fail(vm, "%s got multiple values for argument '%.*s'", what, n, name->ptr);
            return false;
        }
        v[at] = args->named[i];
    }
    for (int i = 0; i < min; i++) {
        if (jj_given(v[i])) continue;
        jj_fail(vm, "%s is missing a required argument", what);
        return false;
    }
    return true;
}

jj_value jj_builtin_call(jj_vm *vm, const jj_builtin *b, const jj_args *args) {
    jj_value v[JJ_MAX_PARAMS];
    if (b->max < 0) {
        if (args->n < b->min) return jj_fail(vm, "%s is missing a required argument", b->name);
        return b->fn(vm, NULL, args);
    }
    if (!jj_bind(vm, b->name, b->params, b->min, b->max, args, v)) return jj_error();
    jj_value result = b->fn(vm, v, args);
    return vm->rc ? jj_error() : result;
}

jj_value jj_method_call(jj_vm *vm, const jj_method_def *def, jj_value self, const jj_args *args) {
    jj_value v[JJ_MAX_PARAMS];
    if (!def->fn) {
        return jj_lacking(
            vm, "the method %s of %s is not supported", def->name, jj_type_name(self));
    }
    if (def->max < 0) return def->fn(vm, self, NULL, args);
    if (!jj_bind(vm, def->name, def->params, def->min, def->max, args, v)) return jj_error();
    jj_value result = def->fn(vm, self, v, args);
    return vm->rc ? jj_error() : result;
}

bool jj_callable(jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_UNDEFINED:
    case JJ_MACRO:
    case JJ_LOOP:
    case JJ_FUNCTION:
    case JJ_METHOD:
    case JJ_JOINER:
        return true;
    default:
        return false;
    }
}

static jj_value joiner_call(jj_vm *vm, jj_joiner *joiner, const jj_args *args) {
    if (args->n || args->n_named) return jj_fail(vm, "a joiner takes no arguments");
    if (joiner->used) return joiner->separator;
    joiner->used = true;
    return jj_text(vm, "");
}

jj_value jj_call_value(jj_vm *vm, jj_value f, const jj_args *args) {
    jj_value result;
    if (!jj_enter(vm)) return jj_error();
    switch ((jj_kind)f.kind) {
    case JJ_UNDEFINED:
        result = jj_fail_undefined(vm, f);
        break;
    case JJ_MACRO:
        result = jj_macro_call(vm, f.as.macro, args);
        break;
    case JJ_LOOP:
        result = jj_loop_call(vm, f.as.loop, args);
        break;
    case JJ_METHOD:
        result = jj_method_call(vm, f.as.method->def, f.as.method->self, args);
        break;
    case JJ_JOINER:
        result = joiner_call(vm, f.as.joiner, args);
        break;
    case JJ_FUNCTION:
        result = jj_builtin_call(vm, &jj_globals[f.id], args);
        break;
    default:
        result = jj_fail(
            vm, "'%s' object is not callable", f.kind == JJ_NONE ? "NoneType" : jj_type_name(f));
        break;
    }
    jj_leave(vm);
    return result;
}

bool jj_int_arg(jj_vm *vm, jj_value v, int64_t fallback, int64_t *i) {
    *i = fallback;
    if (!jj_given(v) || jj_as_int(v, i)) return true;
    if (v.kind == JJ_UNDEFINED)
        jj_fail_undefined(vm, v);
    else {
        jj_fail(vm, "'%s' object cannot be interpreted as an integer",
            v.kind == JJ_NONE ? "NoneType" : jj_type_name(v));
    }
    return false;
}

jj_str *jj_str_arg(jj_vm *vm, jj_value v, const char *what) {
    if (v.kind == JJ_STR) return v.as.s;
    jj_fail(vm, "%s must be str, not %s", what, v.kind == JJ_NONE ? "NoneType" : jj_type_name(v));
    return NULL;
}

bool jj_truth_arg(jj_vm *vm, jj_value v, bool fallback) {
    return jj_given(v) ? jj_truth(vm, v) : fallback;
}
