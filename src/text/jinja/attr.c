#include "text/jinja/attr.h"

#include <string.h>

#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

bool jj_attr_find(jj_attr *attr, tri_str name) {
    const jj_method_def *const tables[] = {jj_str_methods, jj_other_methods};
    bool any = false;
    *attr = (jj_attr){{NULL}};
    for (size_t t = 0; t < 2; t++) {
        for (const jj_method_def *def = tables[t]; def->name; def++) {
            if (!tri_str_is(name, def->name)) continue;
            attr->of[def->kind] = def;
            any = true;
        }
    }
    return any;
}

/* ---- undefined ---- */

static jj_value undefined(
    jj_vm *vm, jj_lack lack, const char *hint, jj_value object, jj_value name) {
    jj_undefined *u = JJ_NEW(vm, jj_undefined);
    if (!u) return jj_error();
    *u = (jj_undefined){lack, hint, object, name};
    return (jj_value){.kind = JJ_UNDEFINED, .as.undefined = u};
}

jj_value jj_undefined_name(jj_vm *vm, jj_lack lack, jj_str *name) {
    return undefined(vm, lack, NULL, jj_missing(), jj_of_str(name));
}

jj_value jj_undefined_of(jj_vm *vm, jj_lack lack, jj_value object, jj_value name) {
    return undefined(vm, lack, NULL, object, name);
}

jj_value jj_undefined_hint(jj_vm *vm, const char *hint) {
    return undefined(vm, JJ_LACK_HINT, hint, jj_missing(), jj_missing());
}

/* ---- attributes ---- */

static jj_value bound_method(jj_vm *vm, jj_value self, const jj_method_def *def) {
    jj_method *m = JJ_NEW(vm, jj_method);
    if (!m) return jj_error();
    *m = (jj_method){self, def};
    return (jj_value){.kind = JJ_METHOD, .as.method = m};
}

static jj_value macro_attr(jj_vm *vm, const jj_macro *macro, const jj_str *name) {
    const jj_function *f = macro->function;
    if (tri_str_is(jj_view_of(name), "name")) return f->name ? jj_of_str(f->name) : jj_none();
    if (tri_str_is(jj_view_of(name), "catch_kwargs")) return jj_bool(f->kwargs_slot >= 0);
    if (tri_str_is(jj_view_of(name), "catch_varargs")) return jj_bool(f->varargs_slot >= 0);
    if (tri_str_is(jj_view_of(name), "caller")) return jj_bool(f->caller_slot >= 0);
    if (tri_str_is(jj_view_of(name), "explicit_caller")) return jj_bool(f->explicit_caller);
    if (!tri_str_is(jj_view_of(name), "arguments")) return jj_missing();
    jj_list *names = jj_list_new(vm, (size_t)f->n_params);
    if (!names) return jj_error();
    for (int32_t i = 0; i < f->n_params; i++)
        names->items[i] = jj_of_str(f->params[i]->name);
    return jj_of_tuple(names);
}

/* What getattr() of Python finds; MISSING when it would raise AttributeError. */
static jj_value python_attr(jj_vm *vm, jj_value object, jj_str *name, const struct jj_attr *known) {
    const jj_method_def *def = known ? known->of[object.kind] : NULL;
    if (def && def->sort == JJ_METHOD_OF) return bound_method(vm, object, def);
    if (def && def->sort == JJ_PROPERTY_OF) return def->fn(vm, object, NULL, NULL);
    if (def) return jj_undefined_of(vm, JJ_LACK_UNSAFE, object, jj_of_str(name));
    if (object.kind == JJ_LOOP) return jj_loop_attr(vm, object.as.loop, name);
    if (object.kind == JJ_MACRO) return macro_attr(vm, object.as.macro, name);
    if (object.kind == JJ_TUPLE && object.as.list->fields) {
        for (size_t i = 0; i < object.as.list->n; i++) {
            if (tri_str_is(jj_view_of(name), object.as.list->fields[i])) {
                return object.as.list->items[i];
            }
        }
    }
    static const char *const dunders[] = {"__class__", "__doc__", "__init__", "__dict__",
        "__module__", "__eq__", "__hash__", "__str__", "__repr__", "__len__", "__iter__",
        "__getitem__", "__contains__", "__reduce__", "__subclasshook__", "__new__", "__dir__",
        "__format__", "__getattribute__", "__setattr__", "__delattr__", "__sizeof__", "__ne__",
        "__lt__", "__le__", "__gt__", "__ge__", "__reduce_ex__", "__init_subclass__"};
    if (name->n < 5 || name->ptr[0] != '_') return jj_missing();
    for (size_t i = 0; i < sizeof dunders / sizeof *dunders; i++) {
        if (tri_str_is(jj_view_of(name), dunders[i])) {
            return jj_undefined_of(vm, JJ_LACK_UNSAFE, object, jj_of_str(name));
        }
    }
    return jj_missing();
}

jj_value jj_getattr(jj_vm *vm, jj_value object, jj_str *name, const struct jj_attr *known) {
    if (object.kind == JJ_UNDEFINED) {
        jj_value own =
            name->n > 4 && name->ptr[0] == '_' ? python_attr(vm, object, name, NULL) : jj_missing();
        return jj_given(own) ? own : jj_fail_undefined(vm, object);
    }
    if (object.kind == JJ_NAMESPACE) {
        const jj_entry *e = jj_dict_str(object.as.ns->attrs, name, jj_str_hash(name));
        return e ? e->value : jj_undefined_of(vm, JJ_LACK_ATTRIBUTE, object, jj_of_str(name));
    }
    jj_value v = jj_missing();
    if (known || object.kind == JJ_LOOP || object.kind == JJ_MACRO || object.kind == JJ_TUPLE ||
        (name->n && name->ptr[0] == '_')) {
        v = python_attr(vm, object, name, known);
    }
    if (jj_given(v)) return v;
    if (object.kind == JJ_DICT) {
        const jj_entry *e = jj_dict_str(object.as.dict, name, jj_str_hash(name));
        if (e) return e->value;
    }
    return jj_undefined_of(vm, JJ_LACK_ATTRIBUTE, object, jj_of_str(name));
}

/* ---- items ---- */

static jj_value char_at(jj_vm *vm, jj_str *s, int64_t i) {
    if (!jj_step(vm, jj_str_ascii(s) ? 0 : (int64_t)(s->n >> 6))) return jj_error();
    int64_t n = jj_str_count(s);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return jj_missing();
    size_t at = jj_str_offset(s, i);
    uint32_t c;
    return jj_of_str(jj_sub(vm, s, at, at + jj_point(s->ptr + at, s->n - at, &c)));
}

/* object[key] of Python; MISSING where that raises TypeError or LookupError. */
static jj_value python_item(jj_vm *vm, jj_value object, jj_value key) {
    int64_t i;
    uint32_t hash;
    switch ((jj_kind)object.kind) {
    case JJ_DICT: {
        if (!jj_hash(vm, key, &hash)) return jj_missing();
        const jj_entry *e = jj_dict_find(vm, object.as.dict, key, hash);
        return e ? e->value : jj_missing();
    }
    case JJ_LIST:
    case JJ_TUPLE: {
        int64_t n = (int64_t)object.as.list->n;
        if (!jj_as_int(key, &i)) return jj_missing();
        if (i < 0) i += n;
        return i < 0 || i >= n ? jj_missing() : object.as.list->items[i];
    }
    case JJ_STR:
        return jj_as_int(key, &i) ? char_at(vm, object.as.s, i) : jj_missing();
    case JJ_RANGE:
        if (!jj_as_int(key, &i)) return jj_missing();
        if (i < 0) i += object.as.range->n;
        if (i < 0 || i >= object.as.range->n) return jj_missing();
        return jj_int(object.as.range->start + i * object.as.range->step);
    default:
        return jj_missing();
    }
}

jj_value jj_getitem(jj_vm *vm, jj_value object, jj_value key) {
    if (object.kind == JJ_UNDEFINED) return jj_fail_undefined(vm, object);
    jj_value v = python_item(vm, object, key);
    if (jj_given(v)) return v;
    if (key.kind == JJ_STR) {
        jj_attr known;
        bool any = jj_attr_find(&known, jj_view_of(key.as.s));
        if (object.kind == JJ_NAMESPACE) return jj_getattr(vm, object, key.as.s, NULL);
        v = python_attr(vm, object, key.as.s, any ? &known : NULL);
        if (jj_given(v)) return v;
    }
    return jj_undefined_of(vm, JJ_LACK_ATTRIBUTE, object, key);
}

/* ---- slices ---- */

static bool slice_index(jj_vm *vm, jj_value v, int64_t *i) {
    if (jj_as_int(v, i)) return true;
    if (v.kind == JJ_BIG) {
        *i = v.as.s->ptr[0] == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    jj_fail(vm, "slice indices must be integers or None or have an __index__ method");
    return false;
}

typedef struct bounds { /* n items from start on, step apart; stop as PySlice_AdjustIndices has it
                         */
    int64_t start, stop, step, n;
} bounds;

static bool adjust(jj_vm *vm, jj_value from, jj_value to, jj_value by, int64_t len, bounds *out) {
    bounds b = {.step = 1};
    if (by.kind != JJ_NONE && !slice_index(vm, by, &b.step)) return false;
    if (!b.step) {
        jj_fail(vm, "slice step cannot be zero");
        return false;
    }
    if (b.step < -INT64_MAX) b.step = -INT64_MAX;
    bool back = b.step < 0;
    int64_t low = back ? -1 : 0, high = back ? len - 1 : len;
    b.start = back ? high : low;
    b.stop = back ? low : high;
    if (from.kind != JJ_NONE) {
        if (!slice_index(vm, from, &b.start)) return false;
        if (b.start < 0 && (b.start += len) < low) b.start = low;
        if (b.start > high) b.start = high;
    }
    if (to.kind != JJ_NONE) {
        if (!slice_index(vm, to, &b.stop)) return false;
        if (b.stop < 0 && (b.stop += len) < low) b.stop = low;
        if (b.stop > high) b.stop = high;
    }
    if (!back && b.start < b.stop) b.n = (b.stop - b.start - 1) / b.step + 1;
    if (back && b.stop < b.start) b.n = (b.start - b.stop - 1) / -b.step + 1;
    *out = b;
    return true;
}

static jj_value slice_str(jj_vm *vm, jj_str *s, int64_t start, int64_t step, int64_t n) {
    if (n <= 0) return jj_of_str(jj_sub(vm, s, 0, 0));
    if (step == 1) {
        size_t begin = jj_str_offset(s, start), end = jj_str_offset(s, start + n);
        return jj_of_str(jj_sub(vm, s, begin, end));
    }
    jj_out out = {0};
    size_t at = jj_str_offset(s, start);
    bool ascii = jj_str_ascii(s);
    for (int64_t i = 0; i < n; i++) {
        uint32_t c;
        size_t len = jj_point(s->ptr + at, s->n - at, &c);
        jj_put_part(vm, &out, s, at, at + len);
        if (!jj_step(vm, 1)) return jj_error();
        if (i + 1 == n) break;
        if (ascii) {
            at = (size_t)((int64_t)at + step);
            continue;
        }
        for (int64_t k = 0; k < step; k++) {
            at += jj_point(s->ptr + at, s->n - at, &c);
        }
        for (int64_t k = 0; k > step; k--)
            at = jj_last_point(s->ptr, at);
    }
    return jj_out_str(vm, &out);
}

static jj_value slice_list(jj_vm *vm, jj_value v, int64_t start, int64_t step, int64_t n) {
    const jj_list *from = v.as.list;
    jj_list *list = jj_list_new(vm, (size_t)n);
    if (!list || !jj_step(vm, n)) return jj_error();
    for (int64_t i = 0; i < n; i++)
        list->items[i] = from->items[start + i * step];
    list->plain = from->plain;
    return v.kind == JJ_TUPLE ? jj_of_tuple(list) : jj_of_list(list);
}

static bool is_index(jj_value v) {
    return v.kind == JJ_NONE || v.kind == JJ_BOOL || v.kind == JJ_INT || v.kind == JJ_BIG;
}

static bool has_slices(jj_value v) {
    return v.kind == JJ_STR || v.kind == JJ_LIST || v.kind == JJ_TUPLE || v.kind == JJ_RANGE;
}

jj_value jj_slice(jj_vm *vm, jj_value v, jj_value from, jj_value to, jj_value by) {
    bounds b;
    if (v.kind == JJ_UNDEFINED) return jj_fail_undefined(vm, v);
    if (vm->folding && !(has_slices(v) && is_index(from) && is_index(to) && is_index(by))) {
        return jj_undefined_hint(vm, "a slice of what has none");
    }
    if (v.kind == JJ_DICT) return jj_fail(vm, "unhashable type: 'slice'");
    if (!has_slices(v)) {
        return jj_fail(vm, "'%s' object is not subscriptable",
            v.kind == JJ_NONE ? "NoneType" : jj_type_name(v));
    }
    int64_t len = jj_length(vm, v);
    if (len < 0 || !adjust(vm, from, to, by, len, &b)) return jj_error();
    if (v.kind == JJ_STR) {
        bool markup = v.as.s->markup;
        if (!jj_step(vm, (int64_t)(v.as.s->n >> 8))) return jj_error();
        jj_value part = slice_str(vm, v.as.s, b.start, b.step, b.n);
        if (!jj_is_error(part) && markup && part.as.s != v.as.s) part.as.s->markup = true;
        return part;
    }
    if (v.kind != JJ_RANGE) return slice_list(vm, v, b.start, b.step, b.n);
    jj_range *r = JJ_NEW(vm, jj_range);
    if (!r) return jj_error();
    const jj_range *old = v.as.range;
    *r = (jj_range){
        old->start + b.start * old->step, old->start + b.stop * old->step, old->step * b.step, b.n};
    return (jj_value){.kind = JJ_RANGE, .as.range = r};
}
