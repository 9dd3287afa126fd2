/* filters_list.c - filters of sequences. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/filters.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/sort.h"
#include "text/jinja/strings.h"

JJ_FILTER(f_length) {
    JJ_UNUSED;
    int64_t n = jj_length(vm, v[0]);
    return n < 0 ? jj_error() : jj_int(n);
}

JJ_FILTER(f_first) {
    JJ_UNUSED;
    jj_value item;
    jj_iter *it = jj_iterate(vm, v[0]);
    int got = it ? jj_next(vm, it, &item) : -1;
    if (got < 0) return jj_error();
    return got ? item : jj_undefined_hint(vm, "No first item, sequence was empty.");
}

static jj_iter *reversed_or_fail(jj_vm *vm, jj_value v) {
    jj_iter *it = jj_reversed(vm, v);
    if (!it && !vm->rc) jj_fail(vm, "'%s' object is not reversible", jj_type_name(v));
    return it;
}

JJ_FILTER(f_last) {
    JJ_UNUSED;
    jj_value item;
    if (v[0].kind == JJ_UNDEFINED || (v[0].kind == JJ_STR && !v[0].as.s->n)) {
        return jj_undefined_hint(vm, "No last item, sequence was empty.");
    }
    if (v[0].kind == JJ_STR) return jj_getitem(vm, v[0], jj_int(-1));
    jj_iter *it = reversed_or_fail(vm, v[0]);
    int got = it ? jj_next(vm, it, &item) : -1;
    if (got < 0) return jj_error();
    return got ? item : jj_undefined_hint(vm, "No last item, sequence was empty.");
}

JJ_FILTER(f_reverse) {
    JJ_UNUSED;
    if (v[0].kind == JJ_STR) return jj_slice(vm, v[0], jj_none(), jj_none(), jj_int(-1));
    if (v[0].kind == JJ_UNDEFINED) return jj_of_iter(jj_iter_new(vm, JJ_I_EMPTY, v[0]));
    jj_iter *it = jj_reversed(vm, v[0]);
    if (it || vm->rc) return jj_of_iter(it);
    if (!jj_iterable(v[0])) return jj_fail(vm, "argument must be iterable");
    jj_value list = jj_collect(vm, v[0]);
    JJ_TRY(list);
    return jj_slice(vm, list, jj_none(), jj_none(), jj_int(-1));
}

JJ_FILTER(f_list) {
    JJ_UNUSED;
    return jj_collect(vm, v[0]);
}

JJ_FILTER(f_items) {
    JJ_UNUSED;
    return jj_of_iter(jj_iter_new(vm, JJ_I_ITEMS, v[0]));
}

JJ_FILTER(f_join) {
    JJ_UNUSED;
    jj_value separator = jj_given(v[1]) ? jj_str_of(vm, v[1]) : jj_text(vm, ""), items = v[0];
    JJ_TRY(separator);
    if (jj_given(v[2]) && v[2].kind != JJ_NONE) {
        if (!jj_iterate(vm, items)) return jj_error();
        jj_iter *it = jj_iter_new(vm, JJ_I_MAP, items);
        if (!it) return jj_error();
        it->attribute = v[2];
        it->started = true;
        it->inner = jj_iterate(vm, items);
        items = jj_of_iter(it);
    }
    return jj_join(vm, separator.as.s, items, false);
}

/* ---- keys ---- */

static jj_value lowered(jj_vm *vm, jj_value v, bool ignore_case) {
    return ignore_case && v.kind == JJ_STR ? jj_cased(vm, v.as.s, JJ_LOWER) : v;
}

/* "a.b,c": a list of values, as jinja2 sorts by. */
static jj_value sort_key(jj_vm *vm, jj_value item, jj_value attribute, bool ignore_case) {
    jj_items key = {0};
    if (!jj_given(attribute) || attribute.kind != JJ_STR) {
        jj_value v = lowered(vm, jj_attribute_of(vm, item, attribute, jj_missing()), ignore_case);
        if (vm->rc || !jj_push(vm, &key, v)) return jj_error();
        return jj_items_list(vm, &key);
    }
    jj_str *all = attribute.as.s;
    for (size_t begin = 0; begin <= all->n;) {
        size_t end = begin;
        while (end < all->n && all->ptr[end] != ',')
            end++;
        jj_value part = jj_of_str(jj_sub(vm, all, begin, end));
        JJ_TRY(part);
        jj_value v = lowered(vm, jj_attribute_of(vm, item, part, jj_missing()), ignore_case);
        if (vm->rc || !jj_push(vm, &key, v)) return jj_error();
        begin = end + 1;
    }
    return jj_items_list(vm, &key);
}

static jj_value in_order(jj_vm *vm, const jj_list *from, const uint32_t *order) {
    jj_list *to = jj_list_new(vm, from->n);
    if (!to || !order) return jj_error();
    for (size_t i = 0; i < from->n; i++)
        to->items[i] = from->items[order[i]];
    return jj_of_list(to);
}

JJ_FILTER(f_sort) {
    JJ_UNUSED;
    jj_value all = jj_collect(vm, v[0]);
    JJ_TRY(all);
    bool reverse = jj_truth_arg(vm, v[1], false), sensitive = jj_truth_arg(vm, v[2], false);
    jj_value *keys = jj_array(vm, all.as.list->n, sizeof *keys);
    if (!keys) return jj_error();
    for (size_t i = 0; i < all.as.list->n; i++) {
        keys[i] = sort_key(vm, all.as.list->items[i], v[3], !sensitive);
        JJ_TRY(keys[i]);
    }
    return in_order(vm, all.as.list, jj_sort_order(vm, keys, all.as.list->n, reverse));
}

JJ_FILTER(f_dictsort) {
    JJ_UNUSED;
    bool sensitive = jj_truth_arg(vm, v[1], false), reverse = jj_truth_arg(vm, v[3], false);
    bool by_value = jj_given(v[2]) && jj_is_str(v[2], "value");
    if (jj_given(v[2]) && !by_value && !jj_is_str(v[2], "key")) {
        return jj_fail(vm, "You can only sort by either \"key\" or \"value\"");
    }
    if (v[0].kind == JJ_UNDEFINED) return jj_fail_undefined(vm, v[0]);
    if (v[0].kind != JJ_DICT) {
        return jj_fail(vm, "'%s' object has no attribute 'items'", jj_type_name(v[0]));
    }
    jj_value view = v[0];
    view.kind = JJ_VIEW;
    view.id = JJ_ITEMS;
    jj_value pairs = jj_collect(vm, view);
    JJ_TRY(pairs);
    jj_value *keys = jj_array(vm, pairs.as.list->n, sizeof *keys);
    if (!keys) return jj_error();
    for (size_t i = 0; i < pairs.as.list->n; i++) {
        keys[i] = lowered(vm, pairs.as.list->items[i].as.list->items[by_value], !sensitive);
        JJ_TRY(keys[i]);
    }
    return in_order(vm, pairs.as.list, jj_sort_order(vm, keys, pairs.as.list->n, reverse));
}

JJ_FILTER(f_groupby) {
    JJ_UNUSED;
    static const char *const fields[] = {"grouper", "list"};
    bool ignore_case = !jj_truth_arg(vm, v[3], false);
    jj_value all = jj_collect(vm, v[0]);
    JJ_TRY(all);
    size_t n = all.as.list->n;
    jj_value *keys = jj_array(vm, n, sizeof *keys);
    if (!keys) return jj_error();
    for (size_t i = 0; i < n; i++) {
        keys[i] = lowered(vm, jj_attribute_of(vm, all.as.list->items[i], v[1], v[2]), ignore_case);
        JJ_TRY(keys[i]);
    }
    const uint32_t *order = jj_sort_order(vm, keys, n, false);
    if (!order) return jj_error();
    jj_items groups = {0};
    for (size_t i = 0; i < n;) {
        jj_items members = {0};
        size_t end = i;
        while (end < n && (end == i || jj_equal(vm, keys[order[i]], keys[order[end]]))) {
            if (!jj_push(vm, &members, all.as.list->items[order[end++]])) return jj_error();
        }
        jj_value key = keys[order[i]];
        if (ignore_case) key = jj_attribute_of(vm, members.items[0], v[1], v[2]);
        jj_value list = jj_items_list(vm, &members);
        if (vm->rc) return jj_error();
        jj_value group = jj_pair(vm, key, list);
        if (jj_is_error(group) || !jj_push(vm, &groups, group)) return jj_error();
        group.as.list->fields = fields;
        i = end;
    }
    return jj_items_list(vm, &groups);
}

static jj_value extreme(jj_vm *vm, jj_value *v, bool max) {
    bool ignore_case = !jj_truth_arg(vm, v[1], false);
    jj_iter *it = jj_iterate(vm, v[0]);
    jj_value item, best = jj_missing(), best_key = jj_missing();
    int got = -1;
    while (it && (got = jj_next(vm, it, &item)) > 0) {
        jj_value key = lowered(vm, jj_attribute_of(vm, item, v[2], jj_missing()), ignore_case);
        JJ_TRY(key);
        bool better =
            !jj_given(best) || (max ? jj_less(vm, best_key, key) : jj_less(vm, key, best_key)) > 0;
        if (vm->rc) return jj_error();
        if (!better) continue;
        best = item;
        best_key = key;
    }
    if (got < 0) return jj_error();
    return jj_given(best) ? best : jj_undefined_hint(vm, "No aggregated item, sequence was empty.");
}

JJ_FILTER(f_min) {
    JJ_UNUSED;
    return extreme(vm, v, false);
}
JJ_FILTER(f_max) {
    JJ_UNUSED;
    return extreme(vm, v, true);
}

JJ_FILTER(f_sum) {
    JJ_UNUSED;
    jj_iter *it = jj_iterate(vm, v[0]);
    jj_value item, sum = jj_given(v[2]) ? v[2] : jj_int(0);
    int got = -1;
    if (it && sum.kind == JJ_STR)
        return jj_fail(vm, "sum() can't sum strings [use ''.join(seq) instead]");
    while (it && (got = jj_next(vm, it, &item)) > 0) {
        item = jj_attribute_of(vm, item, v[1], jj_missing());
        JJ_TRY(item);
        sum = jj_binary(vm, JJ_ADD, sum, item);
        JJ_TRY(sum);
    }
    return got < 0 ? jj_error() : sum;
}

JJ_FILTER(f_unique) {
    JJ_UNUSED;
    jj_iter *it = jj_iter_new(vm, JJ_I_UNIQUE, v[0]);
    if (!it) return jj_error();
    it->ignore_case = !jj_truth_arg(vm, v[1], false);
    it->attribute = v[2];
    return jj_of_iter(it);
}

JJ_FILTER(f_batch) {
    JJ_UNUSED;
    jj_iter *it = jj_iter_new(vm, JJ_I_BATCH, v[0]);
    if (!it) return jj_error();
    it->i = -1; /* what is no integer is never reached */
    jj_as_int(v[1], &it->i);
    it->extra[1] = jj_given(v[2]) ? v[2] : jj_none();
    return jj_of_iter(it);
}

JJ_FILTER(f_slice) {
    JJ_UNUSED;
    jj_iter *it = jj_iter_new(vm, JJ_I_SLICE, v[0]);
    if (!it || !jj_int_arg(vm, v[1], 0, &it->n)) return jj_error();
    it->extra[1] = jj_given(v[2]) ? v[2] : jj_none();
    return jj_of_iter(it);
}

/* ---- map and select: a filter's or test's name and its arguments, or an attribute ---- */

static bool take_rest(jj_vm *vm, jj_iter *it, const jj_args *args, int32_t from) {
    int32_t n = args->n > from ? args->n - from : 0;
    it->args.v = jj_array(vm, (size_t)n + 1, sizeof *it->args.v);
    it->args.named = jj_array(vm, (size_t)args->n_named, sizeof *it->args.named);
    jj_str **names = jj_array(vm, (size_t)args->n_named, sizeof *names);
    if (!it->args.v || !it->args.named || !names) return false;
    it->args.n = n + 1;
    for (int32_t i = 0; i < n; i++)
        it->args.v[i + 1] = args->v[from + i];
    it->args.n_named = args->n_named;
    for (int32_t i = 0; i < args->n_named; i++) {
        it->args.named[i] = args->named[i];
        names[i] = args->names[i];
    }
    it->args.names = names;
    return true;
}

static bool take_name(jj_vm *vm, jj_iter *it, jj_value name, bool filter) {
    if (name.kind != JJ_STR) {
        jj_value text = jj_str_of(vm, name);
        if (jj_is_error(text)) return false;
        it->fn_name = text.as.s;
        return true;
    }
    it->fn_name = name.as.s;
    it->fn = filter ? jj_filter_find(jj_view_of(name.as.s)) : jj_test_find(jj_view_of(name.as.s));
    return true;
}

/* map(attribute=..., default=...) */
static bool map_by_attribute(jj_iter *it, const jj_args *args) {
    bool found = false;
    for (int32_t i = 0; i < args->n_named; i++) {
        if (jj_is_str(jj_of_str(args->names[i]), "attribute")) {
            it->attribute = args->named[i];
            found = true;
        } else if (jj_is_str(jj_of_str(args->names[i]), "default")) {
            it->fallback = args->named[i];
        } else {
            it->wrong = "Unexpected keyword argument";
        }
    }
    return found;
}

JJ_FILTER(f_map) {
    JJ_UNUSED;
    jj_iter *it = jj_iter_new(vm, JJ_I_MAP, args->v[0]);
    if (!it) return jj_error();
    if (args->n == 1 && map_by_attribute(it, args)) return jj_of_iter(it);
    if (args->n == 1) it->wrong = "map requires a filter argument";
    if (args->n > 1 && !take_name(vm, it, args->v[1], true)) return jj_error();
    return take_rest(vm, it, args, 2) ? jj_of_iter(it) : jj_error();
}

static jj_value select(jj_vm *vm, const jj_args *args, bool reject, bool by_attribute) {
    int32_t from = by_attribute ? 2 : 1;
    jj_iter *it = jj_iter_new(vm, JJ_I_SELECT, args->v[0]);
    if (!it) return jj_error();
    it->reject = reject;
    if (by_attribute && args->n < 2) {
        it->wrong = "Missing parameter for attribute name";
        return jj_of_iter(it);
    }
    if (by_attribute) it->attribute = args->v[1];
    if (args->n > from && !take_name(vm, it, args->v[from], false)) return jj_error();
    return take_rest(vm, it, args, from + 1) ? jj_of_iter(it) : jj_error();
}

JJ_FILTER(f_select) {
    JJ_UNUSED;
    return select(vm, args, false, false);
}
JJ_FILTER(f_reject) {
    JJ_UNUSED;
    return select(vm, args, true, false);
}
JJ_FILTER(f_selectattr) {
    JJ_UNUSED;
    return select(vm, args, false, true);
}
JJ_FILTER(f_rejectattr) {
    JJ_UNUSED;
    return select(vm, args, true, true);
}

const jj_builtin jj_list_filters[] = {
    {"length", f_length, 1, 1, ""},
    {"count", f_length, 1, 1, ""},
    {"first", f_first, 1, 1, "seq"},
    {"last", f_last, 1, 1, "seq"},
    {"reverse", f_reverse, 1, 1, "value"},
    {"list", f_list, 1, 1, "value"},
    {"items", f_items, 1, 1, "value"},
    {"join", f_join, 1, 3, "value d attribute"},
    {"sort", f_sort, 1, 4, "value reverse case_sensitive attribute"},
    {"dictsort", f_dictsort, 1, 4, "value case_sensitive by reverse"},
    {"groupby", f_groupby, 2, 4, "value attribute default case_sensitive"},
    {"min", f_min, 1, 3, "value case_sensitive attribute"},
    {"max", f_max, 1, 3, "value case_sensitive attribute"},
    {"sum", f_sum, 1, 3, "iterable attribute start"},
    {"unique", f_unique, 1, 3, "value case_sensitive attribute"},
    {"batch", f_batch, 2, 3, "value linecount fill_with"},
    {"slice", f_slice, 2, 3, "value slices fill_with"},
    {"map", f_map, 1, -1, ""},
    {"select", f_select, 1, -1, ""},
    {"reject", f_reject, 1, -1, ""},
    {"selectattr", f_selectattr, 1, -1, ""},
    {"rejectattr", f_rejectattr, 1, -1, ""},
    {0},
};
