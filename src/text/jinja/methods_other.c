/* methods_other.c - attributes of lists, dicts, numbers and the rest. */
#include <math.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"

#define METHOD(name)                                                                               \
    static tri_jinja_value name(                                                                   \
        tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, const tri_jinja_args *args)
#define UNUSED ((void)vm, (void)self, (void)v, (void)args)

/* ---- lists and tuples ---- */

METHOD(list_count) {
    UNUSED;
    int64_t n = 0;
    for (size_t i = 0; i < self.as.list->n; i++)
        n += tri_jinja_equal(vm, self.as.list->items[i], v[0]);
    return tri_jinja_step(vm, (int64_t)self.as.list->n) ? tri_jinja_int(n) : tri_jinja_error();
}

METHOD(list_index) {
    UNUSED;
    int64_t start, stop, n = (int64_t)self.as.list->n;
    if (!tri_jinja_int_arg(vm, v[1], 0, &start) || !tri_jinja_int_arg(vm, v[2], n, &stop))
        return tri_jinja_error();
    if (start < 0 && (start += n) < 0) start = 0;
    if (stop < 0) stop += n;
    for (int64_t i = start; i < n && i < stop; i++) {
        if (tri_jinja_equal(vm, self.as.list->items[i], v[0])) return tri_jinja_int(i);
        if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
    }
    return tri_jinja_fail(vm, "the value is not in the %s", tri_jinja_type_name(self));
}

METHOD(list_copy) {
    UNUSED;
    tri_jinja_list *copy = tri_jinja_list_new(vm, self.as.list->n);
    if (!copy || !tri_jinja_step(vm, (int64_t)copy->n)) return tri_jinja_error();
    copy->plain = self.as.list->plain;
    if (copy->n) memcpy(copy->items, self.as.list->items, copy->n * sizeof *copy->items);
    return tri_jinja_of_list(copy);
}

/* ---- dicts ---- */

static tri_jinja_value view(tri_jinja_value self, tri_jinja_view which) {
    return (tri_jinja_value){
        .kind = TRI_JINJA_VIEW, .id = (uint16_t)which, .as.dict = self.as.dict};
}

METHOD(dict_keys) {
    UNUSED;
    return view(self, TRI_JINJA_KEYS);
}
METHOD(dict_values) {
    UNUSED;
    return view(self, TRI_JINJA_VALUES);
}
METHOD(dict_items) {
    UNUSED;
    return view(self, TRI_JINJA_ITEMS);
}

METHOD(dict_get) {
    UNUSED;
    uint32_t hash;
    if (!tri_jinja_hash(vm, v[0], &hash)) {
        return tri_jinja_fail(vm, "unhashable type: '%s'", tri_jinja_type_name(v[0]));
    }
    const tri_jinja_entry *e = tri_jinja_dict_find(vm, self.as.dict, v[0], hash);
    return e ? e->value : tri_jinja_given(v[1]) ? v[1] : tri_jinja_none();
}

METHOD(dict_copy) {
    UNUSED;
    tri_jinja_dict *copy = tri_jinja_dict_new(vm, self.as.dict->n);
    if (!copy) return tri_jinja_error();
    copy->plain = self.as.dict->plain;
    for (size_t i = 0; i < self.as.dict->n; i++) {
        const tri_jinja_entry *e = &self.as.dict->entries[i];
        if (!tri_jinja_dict_put(vm, copy, e->key, e->value) || !tri_jinja_step(vm, 1))
            return tri_jinja_error();
    }
    return tri_jinja_of_dict(copy);
}

METHOD(dict_fromkeys) {
    UNUSED;
    tri_jinja_value keys = tri_jinja_collect(vm, v[0]);
    TRI_JINJA_TRY(keys);
    tri_jinja_dict *d = tri_jinja_dict_new(vm, keys.as.list->n);
    if (!d) return tri_jinja_error();
    for (size_t i = 0; i < keys.as.list->n; i++) {
        tri_jinja_value value = tri_jinja_given(v[1]) ? v[1] : tri_jinja_none();
        if (!tri_jinja_dict_put(vm, d, keys.as.list->items[i], value)) return tri_jinja_error();
    }
    return tri_jinja_of_dict(d);
}

/* ---- numbers ---- */

static tri_jinja_value as_number(tri_jinja_value self) {
    tri_jinja_value v = self.kind == TRI_JINJA_BOOL ? tri_jinja_int(self.as.b) : self;
    v.plain = self.plain;
    return v;
}

METHOD(number_real) {
    UNUSED;
    return as_number(self);
}
METHOD(number_conjugate) {
    UNUSED;
    return as_number(self);
}
METHOD(number_imag) {
    UNUSED;
    return self.kind == TRI_JINJA_FLOAT ? tri_jinja_float(0) : tri_jinja_int(0);
}
METHOD(int_denominator) {
    UNUSED;
    return tri_jinja_int(1);
}
METHOD(int_bit_length) {
    UNUSED;
    int64_t i = 0;
    tri_jinja_as_int(self, &i);
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    return tri_jinja_int(u ? 64 - __builtin_clzll(u) : 0);
}
METHOD(int_bit_count) {
    UNUSED;
    int64_t i = 0;
    tri_jinja_as_int(self, &i);
    return tri_jinja_int(__builtin_popcountll(i < 0 ? 0 - (uint64_t)i : (uint64_t)i));
}
METHOD(float_is_integer) {
    UNUSED;
    return tri_jinja_bool(isfinite(self.as.f) && floor(self.as.f) == self.as.f);
}

/* ---- others ---- */

METHOD(range_start) {
    UNUSED;
    return tri_jinja_int(self.as.range->start);
}
METHOD(range_stop) {
    UNUSED;
    return tri_jinja_int(self.as.range->stop);
}
METHOD(range_step) {
    UNUSED;
    return tri_jinja_int(self.as.range->step);
}

METHOD(cycler_next) {
    UNUSED;
    tri_jinja_cycler *c = self.as.cycler;
    tri_jinja_value item = c->items->items[c->at];
    c->at = (c->at + 1) % c->items->n;
    return item;
}
METHOD(cycler_reset) {
    UNUSED;
    self.as.cycler->at = 0;
    return tri_jinja_none();
}
METHOD(cycler_current) {
    UNUSED;
    return self.as.cycler->items->items[self.as.cycler->at];
}

METHOD(loop_cycle) {
    UNUSED;
    if (args->n_named) return tri_jinja_fail(vm, "cycle() takes no keyword arguments");
    if (!args->n) return tri_jinja_fail(vm, "no items for cycling given");
    return args->v[self.as.loop->index0 % args->n];
}
METHOD(loop_changed) {
    UNUSED;
    tri_jinja_loop *loop = self.as.loop;
    if (args->n_named) return tri_jinja_fail(vm, "changed() takes no keyword arguments");
    tri_jinja_list *now = tri_jinja_list_new(vm, (size_t)args->n);
    if (!now) return tri_jinja_error();
    for (int32_t i = 0; i < args->n; i++)
        now->items[i] = args->v[i];
    tri_jinja_value tuple = tri_jinja_of_tuple(now);
    bool same = tri_jinja_given(loop->changed) && tri_jinja_equal(vm, loop->changed, tuple);
    if (!same) loop->changed = tuple;
    return tri_jinja_bool(!same);
}

METHOD(function_fromkeys) { /* dict.fromkeys: the only function with an attribute */
    UNUSED;
    if (tri_jinja_globals[self.id].name[0] != 'd') {
        return tri_jinja_fail(vm, "'function object' has no attribute 'fromkeys'");
    }
    return dict_fromkeys(vm, self, v, args);
}

#define FOR_INTS(name, sort, fn)                                                                   \
    {name, TRI_JINJA_INT, sort, fn, 0, 0, ""}, {                                                   \
        name, TRI_JINJA_BOOL, sort, fn, 0, 0, ""                                                   \
    }
#define UNSAFE(name, kind)                                                                         \
    { name, kind, TRI_JINJA_UNSAFE_OF, NULL, 0, 0, "" }

const tri_jinja_method_def tri_jinja_other_methods[] = {
    {"count", TRI_JINJA_LIST, 0, list_count, 1, 1, ""},
    {"count", TRI_JINJA_TUPLE, 0, list_count, 1, 1, ""},
    {"index", TRI_JINJA_LIST, 0, list_index, 1, 3, ""},
    {"index", TRI_JINJA_TUPLE, 0, list_index, 1, 3, ""},
    {"copy", TRI_JINJA_LIST, 0, list_copy, 0, 0, ""},
    UNSAFE("append", TRI_JINJA_LIST),
    UNSAFE("clear", TRI_JINJA_LIST),
    UNSAFE("pop", TRI_JINJA_LIST),
    UNSAFE("reverse", TRI_JINJA_LIST),
    UNSAFE("insert", TRI_JINJA_LIST),
    UNSAFE("sort", TRI_JINJA_LIST),
    UNSAFE("extend", TRI_JINJA_LIST),
    UNSAFE("remove", TRI_JINJA_LIST),
    {"keys", TRI_JINJA_DICT, 0, dict_keys, 0, 0, ""},
    {"values", TRI_JINJA_DICT, 0, dict_values, 0, 0, ""},
    {"items", TRI_JINJA_DICT, 0, dict_items, 0, 0, ""},
    {"get", TRI_JINJA_DICT, 0, dict_get, 1, 2, ""},
    {"copy", TRI_JINJA_DICT, 0, dict_copy, 0, 0, ""},
    {"fromkeys", TRI_JINJA_DICT, 0, dict_fromkeys, 1, 2, ""},
    UNSAFE("clear", TRI_JINJA_DICT),
    UNSAFE("pop", TRI_JINJA_DICT),
    UNSAFE("popitem", TRI_JINJA_DICT),
    UNSAFE("setdefault", TRI_JINJA_DICT),
    UNSAFE("update", TRI_JINJA_DICT),
    {"mapping", TRI_JINJA_VIEW, 0, NULL, 0, 0, ""},
    {"isdisjoint", TRI_JINJA_VIEW, 0, NULL, 1, 1, ""},
    FOR_INTS("real", TRI_JINJA_PROPERTY_OF, number_real),
    FOR_INTS("imag", TRI_JINJA_PROPERTY_OF, number_imag),
    FOR_INTS("numerator", TRI_JINJA_PROPERTY_OF, number_real),
    FOR_INTS("denominator", TRI_JINJA_PROPERTY_OF, int_denominator),
    FOR_INTS("conjugate", TRI_JINJA_METHOD_OF, number_conjugate),
    FOR_INTS("bit_length", TRI_JINJA_METHOD_OF, int_bit_length),
    FOR_INTS("bit_count", TRI_JINJA_METHOD_OF, int_bit_count),
    FOR_INTS("to_bytes", TRI_JINJA_METHOD_OF, NULL),
    FOR_INTS("from_bytes", TRI_JINJA_METHOD_OF, NULL),
    FOR_INTS("as_integer_ratio", TRI_JINJA_METHOD_OF, NULL),
    {"real", TRI_JINJA_FLOAT, TRI_JINJA_PROPERTY_OF, number_real, 0, 0, ""},
    {"imag", TRI_JINJA_FLOAT, TRI_JINJA_PROPERTY_OF, number_imag, 0, 0, ""},
    {"conjugate", TRI_JINJA_FLOAT, 0, number_conjugate, 0, 0, ""},
    {"is_integer", TRI_JINJA_FLOAT, 0, float_is_integer, 0, 0, ""},
    {"as_integer_ratio", TRI_JINJA_FLOAT, 0, NULL, 0, 0, ""},
    {"hex", TRI_JINJA_FLOAT, 0, NULL, 0, 0, ""},
    {"fromhex", TRI_JINJA_FLOAT, 0, NULL, 0, 1, ""},
    {"start", TRI_JINJA_RANGE, TRI_JINJA_PROPERTY_OF, range_start, 0, 0, ""},
    {"stop", TRI_JINJA_RANGE, TRI_JINJA_PROPERTY_OF, range_stop, 0, 0, ""},
    {"step", TRI_JINJA_RANGE, TRI_JINJA_PROPERTY_OF, range_step, 0, 0, ""},
    {"count", TRI_JINJA_RANGE, 0, NULL, 1, 1, ""},
    {"index", TRI_JINJA_RANGE, 0, NULL, 1, 1, ""},
    {"next", TRI_JINJA_CYCLER, 0, cycler_next, 0, 0, ""},
    {"reset", TRI_JINJA_CYCLER, 0, cycler_reset, 0, 0, ""},
    {"current", TRI_JINJA_CYCLER, TRI_JINJA_PROPERTY_OF, cycler_current, 0, 0, ""},
    {"cycle", TRI_JINJA_LOOP, 0, loop_cycle, 0, -1, ""},
    {"changed", TRI_JINJA_LOOP, 0, loop_changed, 0, -1, ""},
    {"fromkeys", TRI_JINJA_FUNCTION, 0, function_fromkeys, 1, 2, ""},
    {0},
};
