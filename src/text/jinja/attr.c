#include "text/jinja/attr.h"

#include <string.h>

#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

bool tri_jinja_attr_find(tri_jinja_attr *attr, tri_str name) {
    const tri_jinja_method_def *const tables[] = {tri_jinja_str_methods, tri_jinja_other_methods};
    bool any = false;
    *attr = (tri_jinja_attr){{NULL}};
    for (size_t t = 0; t < 2; t++) {
        for (const tri_jinja_method_def *def = tables[t]; def->name; def++) {
            if (!tri_str_is(name, def->name)) continue;
            attr->of[def->kind] = def;
            any = true;
        }
    }
    return any;
}

/* ---- undefined ---- */

static tri_jinja_value undefined(tri_jinja_vm *vm, tri_jinja_lack lack, const char *hint,
    tri_jinja_value object, tri_jinja_value name) {
    tri_jinja_undefined *u = TRI_JINJA_NEW(vm, tri_jinja_undefined);
    if (!u) return tri_jinja_error();
    *u = (tri_jinja_undefined){lack, hint, object, name};
    return (tri_jinja_value){.kind = TRI_JINJA_UNDEFINED, .as.undefined = u};
}

tri_jinja_value tri_jinja_undefined_name(
    tri_jinja_vm *vm, tri_jinja_lack lack, tri_jinja_str *name) {
    return undefined(vm, lack, NULL, tri_jinja_missing(), tri_jinja_of_str(name));
}

tri_jinja_value tri_jinja_undefined_of(
    tri_jinja_vm *vm, tri_jinja_lack lack, tri_jinja_value object, tri_jinja_value name) {
    return undefined(vm, lack, NULL, object, name);
}

tri_jinja_value tri_jinja_undefined_hint(tri_jinja_vm *vm, const char *hint) {
    return undefined(vm, TRI_JINJA_LACK_HINT, hint, tri_jinja_missing(), tri_jinja_missing());
}

/* ---- attributes ---- */

static tri_jinja_value bound_method(
    tri_jinja_vm *vm, tri_jinja_value self, const tri_jinja_method_def *def) {
    tri_jinja_method *m = TRI_JINJA_NEW(vm, tri_jinja_method);
    if (!m) return tri_jinja_error();
    *m = (tri_jinja_method){self, def};
    return (tri_jinja_value){.kind = TRI_JINJA_METHOD, .as.method = m};
}

static tri_jinja_value macro_attr(
    tri_jinja_vm *vm, const tri_jinja_macro *macro, const tri_jinja_str *name) {
    const tri_jinja_function *f = macro->function;
    if (tri_str_is(tri_jinja_view_of(name), "name"))
        return f->name ? tri_jinja_of_str(f->name) : tri_jinja_none();
    if (tri_str_is(tri_jinja_view_of(name), "catch_kwargs"))
        return tri_jinja_bool(f->kwargs_slot >= 0);
    if (tri_str_is(tri_jinja_view_of(name), "catch_varargs"))
        return tri_jinja_bool(f->varargs_slot >= 0);
    if (tri_str_is(tri_jinja_view_of(name), "caller")) return tri_jinja_bool(f->caller_slot >= 0);
    if (tri_str_is(tri_jinja_view_of(name), "explicit_caller"))
        return tri_jinja_bool(f->explicit_caller);
    if (!tri_str_is(tri_jinja_view_of(name), "arguments")) return tri_jinja_missing();
    tri_jinja_list *names = tri_jinja_list_new(vm, (size_t)f->n_params);
    if (!names) return tri_jinja_error();
    for (int32_t i = 0; i < f->n_params; i++)
        names->items[i] = tri_jinja_of_str(f->params[i]->name);
    return tri_jinja_of_tuple(names);
}

/* What getattr() of Python finds; MISSING when it would raise AttributeError. */
static tri_jinja_value python_attr(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_str *name,
    const struct tri_jinja_attr *known) {
    const tri_jinja_method_def *def = known ? known->of[object.kind] : NULL;
    if (def && def->sort == TRI_JINJA_METHOD_OF) return bound_method(vm, object, def);
    if (def && def->sort == TRI_JINJA_PROPERTY_OF) return def->fn(vm, object, NULL, NULL);
    if (def)
        return tri_jinja_undefined_of(vm, TRI_JINJA_LACK_UNSAFE, object, tri_jinja_of_str(name));
    if (object.kind == TRI_JINJA_LOOP) return tri_jinja_loop_attr(vm, object.as.loop, name);
    if (object.kind == TRI_JINJA_MACRO) return macro_attr(vm, object.as.macro, name);
    if (object.kind == TRI_JINJA_TUPLE && object.as.list->fields) {
        for (size_t i = 0; i < object.as.list->n; i++) {
            if (tri_str_is(tri_jinja_view_of(name), object.as.list->fields[i])) {
                return object.as.list->items[i];
            }
        }
    }
    static const char *const dunders[] = {"__class__", "__doc__", "__init__", "__dict__",
        "__module__", "__eq__", "__hash__", "__str__", "__repr__", "__len__", "__iter__",
        "__getitem__", "__contains__", "__reduce__", "__subclasshook__", "__new__", "__dir__",
        "__format__", "__getattribute__", "__setattr__", "__delattr__", "__sizeof__", "__ne__",
        "__lt__", "__le__", "__gt__", "__ge__", "__reduce_ex__", "__init_subclass__"};
    if (name->n < 5 || name->ptr[0] != '_') return tri_jinja_missing();
    for (size_t i = 0; i < sizeof dunders / sizeof *dunders; i++) {
        if (tri_str_is(tri_jinja_view_of(name), dunders[i])) {
            return tri_jinja_undefined_of(
                vm, TRI_JINJA_LACK_UNSAFE, object, tri_jinja_of_str(name));
        }
    }
    return tri_jinja_missing();
}

tri_jinja_value tri_jinja_getattr(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_str *name,
    const struct tri_jinja_attr *known) {
    if (object.kind == TRI_JINJA_UNDEFINED) {
        tri_jinja_value own = name->n > 4 && name->ptr[0] == '_'
                                  ? python_attr(vm, object, name, NULL)
                                  : tri_jinja_missing();
        return tri_jinja_given(own) ? own : tri_jinja_fail_undefined(vm, object);
    }
    if (object.kind == TRI_JINJA_NAMESPACE) {
        const tri_jinja_entry *e =
            tri_jinja_dict_str(object.as.ns->attrs, name, tri_jinja_str_hash(name));
        return e ? e->value
                 : tri_jinja_undefined_of(
                       vm, TRI_JINJA_LACK_ATTRIBUTE, object, tri_jinja_of_str(name));
    }
    tri_jinja_value v = tri_jinja_missing();
    if (known || object.kind == TRI_JINJA_LOOP || object.kind == TRI_JINJA_MACRO ||
        object.kind == TRI_JINJA_TUPLE || (name->n && name->ptr[0] == '_')) {
        v = python_attr(vm, object, name, known);
    }
    if (tri_jinja_given(v)) return v;
    if (object.kind == TRI_JINJA_DICT) {
        const tri_jinja_entry *e =
            tri_jinja_dict_str(object.as.dict, name, tri_jinja_str_hash(name));
        if (e) return e->value;
    }
    return tri_jinja_undefined_of(vm, TRI_JINJA_LACK_ATTRIBUTE, object, tri_jinja_of_str(name));
}

/* ---- items ---- */

static tri_jinja_value char_at(tri_jinja_vm *vm, tri_jinja_str *s, int64_t i) {
    if (!tri_jinja_step(vm, tri_jinja_str_ascii(s) ? 0 : (int64_t)(s->n >> 6)))
        return tri_jinja_error();
    int64_t n = tri_jinja_str_count(s);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return tri_jinja_missing();
    size_t at = tri_jinja_str_offset(s, i);
    uint32_t c;
    return tri_jinja_of_str(
        tri_jinja_sub(vm, s, at, at + tri_utf8_point(s->ptr + at, s->n - at, &c)));
}

/* object[key] of Python; MISSING where that raises TypeError or LookupError. */
static tri_jinja_value python_item(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_value key) {
    int64_t i;
    uint32_t hash;
    switch ((tri_jinja_kind)object.kind) {
    case TRI_JINJA_DICT: {
        if (!tri_jinja_hash(vm, key, &hash)) return tri_jinja_missing();
        const tri_jinja_entry *e = tri_jinja_dict_find(vm, object.as.dict, key, hash);
        return e ? e->value : tri_jinja_missing();
    }
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE: {
        int64_t n = (int64_t)object.as.list->n;
        if (!tri_jinja_as_int(key, &i)) return tri_jinja_missing();
        if (i < 0) i += n;
        return i < 0 || i >= n ? tri_jinja_missing() : object.as.list->items[i];
    }
    case TRI_JINJA_STR:
        return tri_jinja_as_int(key, &i) ? char_at(vm, object.as.s, i) : tri_jinja_missing();
    case TRI_JINJA_RANGE:
        if (!tri_jinja_as_int(key, &i)) return tri_jinja_missing();
        if (i < 0) i += object.as.range->n;
        if (i < 0 || i >= object.as.range->n) return tri_jinja_missing();
        return tri_jinja_int(object.as.range->start + i * object.as.range->step);
    default:
        return tri_jinja_missing();
    }
}

tri_jinja_value tri_jinja_getitem(tri_jinja_vm *vm, tri_jinja_value object, tri_jinja_value key) {
    if (object.kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, object);
    tri_jinja_value v = python_item(vm, object, key);
    if (tri_jinja_given(v)) return v;
    if (key.kind == TRI_JINJA_STR) {
        tri_jinja_attr known;
        bool any = tri_jinja_attr_find(&known, tri_jinja_view_of(key.as.s));
        if (object.kind == TRI_JINJA_NAMESPACE)
            return tri_jinja_getattr(vm, object, key.as.s, NULL);
        v = python_attr(vm, object, key.as.s, any ? &known : NULL);
        if (tri_jinja_given(v)) return v;
    }
    return tri_jinja_undefined_of(vm, TRI_JINJA_LACK_ATTRIBUTE, object, key);
}

/* ---- slices ---- */

static bool slice_index(tri_jinja_vm *vm, tri_jinja_value v, int64_t *i) {
    if (tri_jinja_as_int(v, i)) return true;
    if (v.kind == TRI_JINJA_BIG) {
        *i = v.as.s->ptr[0] == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    tri_jinja_fail(vm, "slice indices must be integers or None or have an __index__ method");
    return false;
}

typedef struct bounds { /* n items from start on, step apart; stop as PySlice_AdjustIndices has it
                         */
    int64_t start, stop, step, n;
} bounds;

static bool adjust(tri_jinja_vm *vm, tri_jinja_value from, tri_jinja_value to, tri_jinja_value by,
    int64_t len, bounds *out) {
    bounds b = {.step = 1};
    if (by.kind != TRI_JINJA_NONE && !slice_index(vm, by, &b.step)) return false;
    if (!b.step) {
        tri_jinja_fail(vm, "slice step cannot be zero");
        return false;
    }
    if (b.step < -INT64_MAX) b.step = -INT64_MAX;
    bool back = b.step < 0;
    int64_t low = back ? -1 : 0, high = back ? len - 1 : len;
    b.start = back ? high : low;
    b.stop = back ? low : high;
    if (from.kind != TRI_JINJA_NONE) {
        if (!slice_index(vm, from, &b.start)) return false;
        if (b.start < 0 && (b.start += len) < low) b.start = low;
        if (b.start > high) b.start = high;
    }
    if (to.kind != TRI_JINJA_NONE) {
        if (!slice_index(vm, to, &b.stop)) return false;
        if (b.stop < 0 && (b.stop += len) < low) b.stop = low;
        if (b.stop > high) b.stop = high;
    }
    if (!back && b.start < b.stop) b.n = (b.stop - b.start - 1) / b.step + 1;
    if (back && b.stop < b.start) b.n = (b.start - b.stop - 1) / -b.step + 1;
    *out = b;
    return true;
}

static tri_jinja_value slice_str(
    tri_jinja_vm *vm, tri_jinja_str *s, int64_t start, int64_t step, int64_t n) {
    if (n <= 0) return tri_jinja_of_str(tri_jinja_sub(vm, s, 0, 0));
    if (step == 1) {
        size_t begin = tri_jinja_str_offset(s, start), end = tri_jinja_str_offset(s, start + n);
        return tri_jinja_of_str(tri_jinja_sub(vm, s, begin, end));
    }
    tri_jinja_out out = {0};
    size_t at = tri_jinja_str_offset(s, start);
    bool ascii = tri_jinja_str_ascii(s);
    for (int64_t i = 0; i < n; i++) {
        uint32_t c;
        size_t len = tri_utf8_point(s->ptr + at, s->n - at, &c);
        tri_jinja_put_part(vm, &out, s, at, at + len);
        if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
        if (i + 1 == n) break;
        if (ascii) {
            at = (size_t)((int64_t)at + step);
            continue;
        }
        for (int64_t k = 0; k < step; k++) {
            at += tri_utf8_point(s->ptr + at, s->n - at, &c);
        }
        for (int64_t k = 0; k > step && at > 0; k--)
            at = tri_utf8_before(s->ptr, at);
    }
    return tri_jinja_out_str(vm, &out);
}

static tri_jinja_value slice_list(
    tri_jinja_vm *vm, tri_jinja_value v, int64_t start, int64_t step, int64_t n) {
    const tri_jinja_list *from = v.as.list;
    tri_jinja_list *list = tri_jinja_list_new(vm, (size_t)n);
    if (!list || !tri_jinja_step(vm, n)) return tri_jinja_error();
    for (int64_t i = 0; i < n; i++)
        list->items[i] = from->items[start + i * step];
    list->plain = from->plain;
    return v.kind == TRI_JINJA_TUPLE ? tri_jinja_of_tuple(list) : tri_jinja_of_list(list);
}

static bool is_index(tri_jinja_value v) {
    return v.kind == TRI_JINJA_NONE || v.kind == TRI_JINJA_BOOL || v.kind == TRI_JINJA_INT ||
           v.kind == TRI_JINJA_BIG;
}

static bool has_slices(tri_jinja_value v) {
    return v.kind == TRI_JINJA_STR || v.kind == TRI_JINJA_LIST || v.kind == TRI_JINJA_TUPLE ||
           v.kind == TRI_JINJA_RANGE;
}

tri_jinja_value tri_jinja_slice(tri_jinja_vm *vm, tri_jinja_value v, tri_jinja_value from,
    tri_jinja_value to, tri_jinja_value by) {
    bounds b;
    if (v.kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v);
    if (vm->folding && !(has_slices(v) && is_index(from) && is_index(to) && is_index(by))) {
        return tri_jinja_undefined_hint(vm, "a slice of what has none");
    }
    if (v.kind == TRI_JINJA_DICT) return tri_jinja_fail(vm, "unhashable type: 'slice'");
    if (!has_slices(v)) {
        return tri_jinja_fail(vm, "'%s' object is not subscriptable",
            v.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(v));
    }
    int64_t len = tri_jinja_length(vm, v);
    if (len < 0 || !adjust(vm, from, to, by, len, &b)) return tri_jinja_error();
    if (v.kind == TRI_JINJA_STR) {
        bool markup = v.as.s->markup;
        if (!tri_jinja_step(vm, (int64_t)(v.as.s->n >> 8))) return tri_jinja_error();
        tri_jinja_value part = slice_str(vm, v.as.s, b.start, b.step, b.n);
        if (!tri_jinja_is_error(part) && markup && part.as.s != v.as.s) part.as.s->markup = true;
        return part;
    }
    if (v.kind != TRI_JINJA_RANGE) return slice_list(vm, v, b.start, b.step, b.n);
    tri_jinja_range *r = TRI_JINJA_NEW(vm, tri_jinja_range);
    if (!r) return tri_jinja_error();
    const tri_jinja_range *old = v.as.range;
    *r = (tri_jinja_range){
        old->start + b.start * old->step, old->start + b.stop * old->step, old->step * b.step, b.n};
    return (tri_jinja_value){.kind = TRI_JINJA_RANGE, .as.range = r};
}
