#include "text/jinja/builtin.h"

#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/eval.h"
#include "text/jinja/ops.h"

/* Which parameter has the name, -1: none; names that come before "/" cannot be given by name. */
static int parameter(const char *params, const tri_jinja_str *name) {
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

bool tri_jinja_bind(tri_jinja_vm *vm, const char *what, const char *params, int min, int max,
    const tri_jinja_args *args, tri_jinja_value *v) {
    if (args->n > max) {
        tri_jinja_fail(
            vm, "%s takes at most %d argument(s) (%" PRId32 " given)", what, max, args->n);
        return false;
    }
    for (int i = 0; i < max; i++)
        v[i] = i < args->n ? args->v[i] : tri_jinja_missing();
    for (int32_t i = 0; i < args->n_named; i++) {
        const tri_jinja_str *name = args->names[i];
        int at = parameter(params, name);
        int n = (int)(name->n < 60 ? name->n : 60);
        if (at < 0 || at >= max) {
            tri_jinja_fail(vm, "%s got an unexpected keyword argument '%.*s'", what, n, name->ptr);
            return false;
        }
        if (tri_jinja_given(v[at])) {
            tri_jinja_fail(vm, "%s got multiple values for argument '%.*s'", what, n, name->ptr);
            return false;
        }
        v[at] = args->named[i];
    }
    for (int i = 0; i < min; i++) {
        if (tri_jinja_given(v[i])) continue;
        tri_jinja_fail(vm, "%s is missing a required argument", what);
        return false;
    }
    return true;
}

tri_jinja_value tri_jinja_builtin_call(
    tri_jinja_vm *vm, const tri_jinja_builtin *b, const tri_jinja_args *args) {
    tri_jinja_value v[TRI_JINJA_MAX_PARAMS];
    if (b->max < 0) {
        if (args->n < b->min)
            return tri_jinja_fail(vm, "%s is missing a required argument", b->name);
        return b->fn(vm, NULL, args);
    }
    if (!tri_jinja_bind(vm, b->name, b->params, b->min, b->max, args, v)) return tri_jinja_error();
    tri_jinja_value result = b->fn(vm, v, args);
    return vm->rc ? tri_jinja_error() : result;
}

tri_jinja_value tri_jinja_method_call(tri_jinja_vm *vm, const tri_jinja_method_def *def,
    tri_jinja_value self, const tri_jinja_args *args) {
    tri_jinja_value v[TRI_JINJA_MAX_PARAMS];
    if (!def->fn) {
        return tri_jinja_lacking(
            vm, "the method %s of %s is not supported", def->name, tri_jinja_type_name(self));
    }
    if (def->max < 0) return def->fn(vm, self, NULL, args);
    if (!tri_jinja_bind(vm, def->name, def->params, def->min, def->max, args, v))
        return tri_jinja_error();
    tri_jinja_value result = def->fn(vm, self, v, args);
    return vm->rc ? tri_jinja_error() : result;
}

bool tri_jinja_callable(tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_UNDEFINED:
    case TRI_JINJA_MACRO:
    case TRI_JINJA_LOOP:
    case TRI_JINJA_FUNCTION:
    case TRI_JINJA_METHOD:
    case TRI_JINJA_JOINER:
        return true;
    default:
        return false;
    }
}

static tri_jinja_value joiner_call(
    tri_jinja_vm *vm, tri_jinja_joiner *joiner, const tri_jinja_args *args) {
    if (args->n || args->n_named) return tri_jinja_fail(vm, "a joiner takes no arguments");
    if (joiner->used) return joiner->separator;
    joiner->used = true;
    return tri_jinja_text(vm, "");
}

tri_jinja_value tri_jinja_call_value(
    tri_jinja_vm *vm, tri_jinja_value f, const tri_jinja_args *args) {
    tri_jinja_value result;
    if (!tri_jinja_enter(vm)) return tri_jinja_error();
    switch ((tri_jinja_kind)f.kind) {
    case TRI_JINJA_UNDEFINED:
        result = tri_jinja_fail_undefined(vm, f);
        break;
    case TRI_JINJA_MACRO:
        result = tri_jinja_macro_call(vm, f.as.macro, args);
        break;
    case TRI_JINJA_LOOP:
        result = tri_jinja_loop_call(vm, f.as.loop, args);
        break;
    case TRI_JINJA_METHOD:
        result = tri_jinja_method_call(vm, f.as.method->def, f.as.method->self, args);
        break;
    case TRI_JINJA_JOINER:
        result = joiner_call(vm, f.as.joiner, args);
        break;
    case TRI_JINJA_FUNCTION:
        result = tri_jinja_builtin_call(vm, &tri_jinja_globals[f.id], args);
        break;
    default:
        result = tri_jinja_fail(vm, "'%s' object is not callable",
            f.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(f));
        break;
    }
    tri_jinja_leave(vm);
    return result;
}

bool tri_jinja_int_arg(tri_jinja_vm *vm, tri_jinja_value v, int64_t fallback, int64_t *i) {
    *i = fallback;
    if (!tri_jinja_given(v) || tri_jinja_as_int(v, i)) return true;
    if (v.kind == TRI_JINJA_UNDEFINED)
        tri_jinja_fail_undefined(vm, v);
    else {
        tri_jinja_fail(vm, "'%s' object cannot be interpreted as an integer",
            v.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(v));
    }
    return false;
}

tri_jinja_str *tri_jinja_str_arg(tri_jinja_vm *vm, tri_jinja_value v, const char *what) {
    if (v.kind == TRI_JINJA_STR) return v.as.s;
    tri_jinja_fail(vm, "%s must be str, not %s", what,
        v.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(v));
    return NULL;
}

bool tri_jinja_truth_arg(tri_jinja_vm *vm, tri_jinja_value v, bool fallback) {
    return tri_jinja_given(v) ? tri_jinja_truth(vm, v) : fallback;
}
