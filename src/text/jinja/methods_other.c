/* methods_other.c - attributes of lists, dicts, numbers and the rest. */
#include <math.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"

#define METHOD(name)                                                                               \
    static jj_value name(jj_vm *vm, jj_value self, jj_value *v, const jj_args *args)
#define UNUSED ((void)vm, (void)self, (void)v, (void)args)

/* ---- lists and tuples ---- */

METHOD(list_count) {
    UNUSED;
    int64_t n = 0;
    for (size_t i = 0; i < self.as.list->n; i++)
        n += jj_equal(vm, self.as.list->items[i], v[0]);
    return jj_step(vm, (int64_t)self.as.list->n) ? jj_int(n) : jj_error();
}

METHOD(list_index) {
    UNUSED;
    int64_t start, stop, n = (int64_t)self.as.list->n;
    if (!jj_int_arg(vm, v[1], 0, &start) || !jj_int_arg(vm, v[2], n, &stop)) return jj_error();
    if (start < 0 && (start += n) < 0) start = 0;
    if (stop < 0) stop += n;
    for (int64_t i = start; i < n && i < stop; i++) {
        if (jj_equal(vm, self.as.list->items[i], v[0])) return jj_int(i);
        if (!jj_step(vm, 1)) return jj_error();
    }
    return jj_fail(vm, "the value is not in the %s", jj_type_name(self));
}

METHOD(list_copy) {
    UNUSED;
    jj_list *copy = jj_list_new(vm, self.as.list->n);
    if (!copy || !jj_step(vm, (int64_t)copy->n)) return jj_error();
    copy->plain = self.as.list->plain;
    if (copy->n) memcpy(copy->items, self.as.list->items, copy->n * sizeof *copy->items);
    return jj_of_list(copy);
}

/* ---- dicts ---- */

static jj_value view(jj_value self, jj_view which) {
    return (jj_value){.kind = JJ_VIEW, .id = (uint16_t)which, .as.dict = self.as.dict};
}

METHOD(dict_keys) {
    UNUSED;
    return view(self, JJ_KEYS);
}
METHOD(dict_values) {
    UNUSED;
    return view(self, JJ_VALUES);
}
METHOD(dict_items) {
    UNUSED;
    return view(self, JJ_ITEMS);
}

METHOD(dict_get) {
    UNUSED;
    uint32_t hash;
    if (!jj_hash(vm, v[0], &hash)) {
        return jj_fail(vm, "unhashable type: '%s'", jj_type_name(v[0]));
    }
    const jj_entry *e = jj_dict_find(vm, self.as.dict, v[0], hash);
    return e ? e->value : jj_given(v[1]) ? v[1] : jj_none();
}

METHOD(dict_copy) {
    UNUSED;
    jj_dict *copy = jj_dict_new(vm, self.as.dict->n);
    if (!copy) return jj_error();
    copy->plain = self.as.dict->plain;
    for (size_t i = 0; i < self.as.dict->n; i++) {
        const jj_entry *e = &self.as.dict->entries[i];
        if (!jj_dict_put(vm, copy, e->key, e->value) || !jj_step(vm, 1)) return jj_error();
    }
    return jj_of_dict(copy);
}

METHOD(dict_fromkeys) {
    UNUSED;
    jj_value keys = jj_collect(vm, v[0]);
    JJ_TRY(keys);
    jj_dict *d = jj_dict_new(vm, keys.as.list->n);
    if (!d) return jj_error();
    for (size_t i = 0; i < keys.as.list->n; i++) {
        jj_value value = jj_given(v[1]) ? v[1] : jj_none();
        if (!jj_dict_put(vm, d, keys.as.list->items[i], value)) return jj_error();
    }
    return jj_of_dict(d);
}

/* ---- numbers ---- */

static jj_value as_number(jj_value self) {
    jj_value v = self.kind == JJ_BOOL ? jj_int(self.as.b) : self;
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
    return self.kind == JJ_FLOAT ? jj_float(0) : jj_int(0);
}
METHOD(int_denominator) {
    UNUSED;
    return jj_int(1);
}
METHOD(int_bit_length) {
    UNUSED;
    int64_t i = 0;
    jj_as_int(self, &i);
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    return jj_int(u ? 64 - __builtin_clzll(u) : 0);
}
METHOD(int_bit_count) {
    UNUSED;
    int64_t i = 0;
    jj_as_int(self, &i);
    return jj_int(__builtin_popcountll(i < 0 ? 0 - (uint64_t)i : (uint64_t)i));
}
METHOD(float_is_integer) {
    UNUSED;
    return jj_bool(isfinite(self.as.f) && floor(self.as.f) == self.as.f);
}

/* ---- others ---- */

METHOD(range_start) {
    UNUSED;
    return jj_int(self.as.range->start);
}
METHOD(range_stop) {
    UNUSED;
    return jj_int(self.as.range->stop);
}
METHOD(range_step) {
    UNUSED;
    return jj_int(self.as.range->step);
}

METHOD(cycler_next) {
    UNUSED;
    jj_cycler *c = self.as.cycler;
    jj_value item = c->items->items[c->at];
    c->at = (c->at + 1) % c->items->n;
    return item;
}
METHOD(cycler_reset) {
    UNUSED;
    self.as.cycler->at = 0;
    return jj_none();
}
METHOD(cycler_current) {
    UNUSED;
    return self.as.cycler->items->items[self.as.cycler->at];
}

METHOD(loop_cycle) {
    UNUSED;
    if (args->n_named) return jj_fail(vm, "cycle() takes no keyword arguments");
    if (!args->n) return jj_fail(vm, "no items for cycling given");
    return args->v[self.as.loop->index0 % args->n];
}
METHOD(loop_changed) {
    UNUSED;
    jj_loop *loop = self.as.loop;
    if (args->n_named) return jj_fail(vm, "changed() takes no keyword arguments");
    jj_list *now = jj_list_new(vm, (size_t)args->n);
    if (!now) return jj_error();
    for (int32_t i = 0; i < args->n; i++)
        now->items[i] = args->v[i];
    jj_value tuple = jj_of_tuple(now);
    bool same = jj_given(loop->changed) && jj_equal(vm, loop->changed, tuple);
    if (!same) loop->changed = tuple;
    return jj_bool(!same);
}

METHOD(function_fromkeys) { /* dict.fromkeys: the only function with an attribute */
    UNUSED;
    if (jj_globals[self.id].name[0] != 'd') {
        return jj_fail(vm, "'function object' has no attribute 'fromkeys'");
    }
    return dict_fromkeys(vm, self, v, args);
}

#define FOR_INTS(name, sort, fn)                                                                   \
    {name, JJ_INT, sort, fn, 0, 0, ""}, {                                                          \
        name, JJ_BOOL, sort, fn, 0, 0, ""                                                          \
    }
#define UNSAFE(name, kind)                                                                         \
    { name, kind, JJ_UNSAFE_OF, NULL, 0, 0, "" }

const jj_method_def jj_other_methods[] = {
    {"count", JJ_LIST, 0, list_count, 1, 1, ""},
    {"count", JJ_TUPLE, 0, list_count, 1, 1, ""},
    {"index", JJ_LIST, 0, list_index, 1, 3, ""},
    {"index", JJ_TUPLE, 0, list_index, 1, 3, ""},
    {"copy", JJ_LIST, 0, list_copy, 0, 0, ""},
    UNSAFE("append", JJ_LIST),
    UNSAFE("clear", JJ_LIST),
    UNSAFE("pop", JJ_LIST),
    UNSAFE("reverse", JJ_LIST),
    UNSAFE("insert", JJ_LIST),
    UNSAFE("sort", JJ_LIST),
    UNSAFE("extend", JJ_LIST),
    UNSAFE("remove", JJ_LIST),
    {"keys", JJ_DICT, 0, dict_keys, 0, 0, ""},
    {"values", JJ_DICT, 0, dict_values, 0, 0, ""},
    {"items", JJ_DICT, 0, dict_items, 0, 0, ""},
    {"get", JJ_DICT, 0, dict_get, 1, 2, ""},
    {"copy", JJ_DICT, 0, dict_copy, 0, 0, ""},
    {"fromkeys", JJ_DICT, 0, dict_fromkeys, 1, 2, ""},
    UNSAFE("clear", JJ_DICT),
    UNSAFE("pop", JJ_DICT),
    UNSAFE("popitem", JJ_DICT),
    UNSAFE("setdefault", JJ_DICT),
    UNSAFE("update", JJ_DICT),
    {"mapping", JJ_VIEW, 0, NULL, 0, 0, ""},
    {"isdisjoint", JJ_VIEW, 0, NULL, 1, 1, ""},
    FOR_INTS("real", JJ_PROPERTY_OF, number_real),
    FOR_INTS("imag", JJ_PROPERTY_OF, number_imag),
    FOR_INTS("numerator", JJ_PROPERTY_OF, number_real),
    FOR_INTS("denominator", JJ_PROPERTY_OF, int_denominator),
    FOR_INTS("conjugate", JJ_METHOD_OF, number_conjugate),
    FOR_INTS("bit_length", JJ_METHOD_OF, int_bit_length),
    FOR_INTS("bit_count", JJ_METHOD_OF, int_bit_count),
    FOR_INTS("to_bytes", JJ_METHOD_OF, NULL),
    FOR_INTS("from_bytes", JJ_METHOD_OF, NULL),
    FOR_INTS("as_integer_ratio", JJ_METHOD_OF, NULL),
    {"real", JJ_FLOAT, JJ_PROPERTY_OF, number_real, 0, 0, ""},
    {"imag", JJ_FLOAT, JJ_PROPERTY_OF, number_imag, 0, 0, ""},
    {"conjugate", JJ_FLOAT, 0, number_conjugate, 0, 0, ""},
    {"is_integer", JJ_FLOAT, 0, float_is_integer, 0, 0, ""},
    {"as_integer_ratio", JJ_FLOAT, 0, NULL, 0, 0, ""},
    {"hex", JJ_FLOAT, 0, NULL, 0, 0, ""},
    {"fromhex", JJ_FLOAT, 0, NULL, 0, 1, ""},
    {"start", JJ_RANGE, JJ_PROPERTY_OF, range_start, 0, 0, ""},
    {"stop", JJ_RANGE, JJ_PROPERTY_OF, range_stop, 0, 0, ""},
    {"step", JJ_RANGE, JJ_PROPERTY_OF, range_step, 0, 0, ""},
    {"count", JJ_RANGE, 0, NULL, 1, 1, ""},
    {"index", JJ_RANGE, 0, NULL, 1, 1, ""},
    {"next", JJ_CYCLER, 0, cycler_next, 0, 0, ""},
    {"reset", JJ_CYCLER, 0, cycler_reset, 0, 0, ""},
    {"current", JJ_CYCLER, JJ_PROPERTY_OF, cycler_current, 0, 0, ""},
    {"cycle", JJ_LOOP, 0, loop_cycle, 0, -1, ""},
    {"changed", JJ_LOOP, 0, loop_changed, 0, -1, ""},
    {"fromkeys", JJ_FUNCTION, 0, function_fromkeys, 1, 2, ""},
    {0},
};
