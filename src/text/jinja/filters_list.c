/* filters_list.c - filters of sequences. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/filters.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/sort.h"
#include "text/jinja/strings.h"

TRI_JINJA_FILTER(f_length) {
    TRI_JINJA_UNUSED;
    int64_t n = tri_jinja_length(vm, v[0]);
    return n < 0 ? tri_jinja_error() : tri_jinja_int(n);
}

TRI_JINJA_FILTER(f_first) {
    TRI_JINJA_UNUSED;
    tri_jinja_value item;
    tri_jinja_iter *it = tri_jinja_iterate(vm, v[0]);
    int got = it ? tri_jinja_next(vm, it, &item) : -1;
    if (got < 0) return tri_jinja_error();
    return got ? item : tri_jinja_undefined_hint(vm, "No first item, sequence was empty.");
}

static tri_jinja_iter *reversed_or_fail(tri_jinja_vm *vm, tri_jinja_value v) {
    tri_jinja_iter *it = tri_jinja_reversed(vm, v);
    if (!it && !vm->rc) tri_jinja_fail(vm, "'%s' object is not reversible", tri_jinja_type_name(v));
    return it;
}

TRI_JINJA_FILTER(f_last) {
    TRI_JINJA_UNUSED;
    tri_jinja_value item;
    if (v[0].kind == TRI_JINJA_UNDEFINED || (v[0].kind == TRI_JINJA_STR && !v[0].as.s->n)) {
        return tri_jinja_undefined_hint(vm, "No last item, sequence was empty.");
    }
    if (v[0].kind == TRI_JINJA_STR) return tri_jinja_getitem(vm, v[0], tri_jinja_int(-1));
    tri_jinja_iter *it = reversed_or_fail(vm, v[0]);
    int got = it ? tri_jinja_next(vm, it, &item) : -1;
    if (got < 0) return tri_jinja_error();
    return got ? item : tri_jinja_undefined_hint(vm, "No last item, sequence was empty.");
}

TRI_JINJA_FILTER(f_reverse) {
    TRI_JINJA_UNUSED;
    if (v[0].kind == TRI_JINJA_STR)
        return tri_jinja_slice(vm, v[0], tri_jinja_none(), tri_jinja_none(), tri_jinja_int(-1));
    if (v[0].kind == TRI_JINJA_UNDEFINED)
        return tri_jinja_of_iter(tri_jinja_iter_new(vm, TRI_JINJA_I_EMPTY, v[0]));
    tri_jinja_iter *it = tri_jinja_reversed(vm, v[0]);
    if (it || vm->rc) return tri_jinja_of_iter(it);
    if (!tri_jinja_iterable(v[0])) return tri_jinja_fail(vm, "argument must be iterable");
    tri_jinja_value list = tri_jinja_collect(vm, v[0]);
    TRI_JINJA_TRY(list);
    return tri_jinja_slice(vm, list, tri_jinja_none(), tri_jinja_none(), tri_jinja_int(-1));
}

TRI_JINJA_FILTER(f_list) {
    TRI_JINJA_UNUSED;
    return tri_jinja_collect(vm, v[0]);
}

TRI_JINJA_FILTER(f_items) {
    TRI_JINJA_UNUSED;
    return tri_jinja_of_iter(tri_jinja_iter_new(vm, TRI_JINJA_I_ITEMS, v[0]));
}

TRI_JINJA_FILTER(f_join) {
    TRI_JINJA_UNUSED;
    tri_jinja_value separator =
                        tri_jinja_given(v[1]) ? tri_jinja_str_of(vm, v[1]) : tri_jinja_text(vm, ""),
                    items = v[0];
    TRI_JINJA_TRY(separator);
    if (tri_jinja_given(v[2]) && v[2].kind != TRI_JINJA_NONE) {
        if (!tri_jinja_iterate(vm, items)) return tri_jinja_error();
        tri_jinja_iter *it = tri_jinja_iter_new(vm, TRI_JINJA_I_MAP, items);
        if (!it) return tri_jinja_error();
        it->attribute = v[2];
        it->started = true;
        it->inner = tri_jinja_iterate(vm, items);
        items = tri_jinja_of_iter(it);
    }
    return tri_jinja_join(vm, separator.as.s, items, false);
}

/* ---- keys ---- */

static tri_jinja_value lowered(tri_jinja_vm *vm, tri_jinja_value v, bool ignore_case) {
    return ignore_case && v.kind == TRI_JINJA_STR ? tri_jinja_cased(vm, v.as.s, TRI_JINJA_LOWER)
                                                  : v;
}

/* "a.b,c": a list of values, as jinja2 sorts by. */
static tri_jinja_value sort_key(
    tri_jinja_vm *vm, tri_jinja_value item, tri_jinja_value attribute, bool ignore_case) {
    tri_jinja_items key = {0};
    if (!tri_jinja_given(attribute) || attribute.kind != TRI_JINJA_STR) {
        tri_jinja_value v = lowered(
            vm, tri_jinja_attribute_of(vm, item, attribute, tri_jinja_missing()), ignore_case);
        if (vm->rc || !tri_jinja_push(vm, &key, v)) return tri_jinja_error();
        return tri_jinja_items_list(vm, &key);
    }
    tri_jinja_str *all = attribute.as.s;
    for (size_t begin = 0; begin <= all->n;) {
        size_t end = begin;
        while (end < all->n && all->ptr[end] != ',')
            end++;
        tri_jinja_value part = tri_jinja_of_str(tri_jinja_sub(vm, all, begin, end));
        TRI_JINJA_TRY(part);
        tri_jinja_value v =
            lowered(vm, tri_jinja_attribute_of(vm, item, part, tri_jinja_missing()), ignore_case);
        if (vm->rc || !tri_jinja_push(vm, &key, v)) return tri_jinja_error();
        begin = end + 1;
    }
    return tri_jinja_items_list(vm, &key);
}

static tri_jinja_value in_order(
    tri_jinja_vm *vm, const tri_jinja_list *from, const uint32_t *order) {
    tri_jinja_list *to = tri_jinja_list_new(vm, from->n);
    if (!to || !order) return tri_jinja_error();
    for (size_t i = 0; i < from->n; i++)
        to->items[i] = from->items[order[i]];
    return tri_jinja_of_list(to);
}

TRI_JINJA_FILTER(f_sort) {
    TRI_JINJA_UNUSED;
    tri_jinja_value all = tri_jinja_collect(vm, v[0]);
    TRI_JINJA_TRY(all);
    bool reverse = tri_jinja_truth_arg(vm, v[1], false),
         sensitive = tri_jinja_truth_arg(vm, v[2], false);
    tri_jinja_value *keys = tri_jinja_array(vm, all.as.list->n, sizeof *keys);
    if (!keys) return tri_jinja_error();
    for (size_t i = 0; i < all.as.list->n; i++) {
        keys[i] = sort_key(vm, all.as.list->items[i], v[3], !sensitive);
        TRI_JINJA_TRY(keys[i]);
    }
    return in_order(vm, all.as.list, tri_jinja_sort_order(vm, keys, all.as.list->n, reverse));
}

TRI_JINJA_FILTER(f_dictsort) {
    TRI_JINJA_UNUSED;
    bool sensitive = tri_jinja_truth_arg(vm, v[1], false),
         reverse = tri_jinja_truth_arg(vm, v[3], false);
    bool by_value = tri_jinja_given(v[2]) && tri_jinja_is_str(v[2], "value");
    if (tri_jinja_given(v[2]) && !by_value && !tri_jinja_is_str(v[2], "key")) {
        return tri_jinja_fail(vm, "You can only sort by either \"key\" or \"value\"");
    }
    if (v[0].kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v[0]);
    if (v[0].kind != TRI_JINJA_DICT) {
        return tri_jinja_fail(
            vm, "'%s' object has no attribute 'items'", tri_jinja_type_name(v[0]));
    }
    tri_jinja_value view = v[0];
    view.kind = TRI_JINJA_VIEW;
    view.id = TRI_JINJA_ITEMS;
    tri_jinja_value pairs = tri_jinja_collect(vm, view);
    TRI_JINJA_TRY(pairs);
    tri_jinja_value *keys = tri_jinja_array(vm, pairs.as.list->n, sizeof *keys);
    if (!keys) return tri_jinja_error();
    for (size_t i = 0; i < pairs.as.list->n; i++) {
        keys[i] = lowered(vm, pairs.as.list->items[i].as.list->items[by_value], !sensitive);
        TRI_JINJA_TRY(keys[i]);
    }
    return in_order(vm, pairs.as.list, tri_jinja_sort_order(vm, keys, pairs.as.list->n, reverse));
}

TRI_JINJA_FILTER(f_groupby) {
    TRI_JINJA_UNUSED;
    static const char *const fields[] = {"grouper", "list"};
    bool ignore_case = !tri_jinja_truth_arg(vm, v[3], false);
    tri_jinja_value all = tri_jinja_collect(vm, v[0]);
    TRI_JINJA_TRY(all);
    size_t n = all.as.list->n;
    tri_jinja_value *keys = tri_jinja_array(vm, n, sizeof *keys);
    if (!keys) return tri_jinja_error();
    for (size_t i = 0; i < n; i++) {
        keys[i] =
            lowered(vm, tri_jinja_attribute_of(vm, all.as.list->items[i], v[1], v[2]), ignore_case);
        TRI_JINJA_TRY(keys[i]);
    }
    const uint32_t *order = tri_jinja_sort_order(vm, keys, n, false);
    if (!order) return tri_jinja_error();
    tri_jinja_items groups = {0};
    for (size_t i = 0; i < n;) {
        tri_jinja_items members = {0};
        size_t end = i;
        while (end < n && (end == i || tri_jinja_equal(vm, keys[order[i]], keys[order[end]]))) {
            if (!tri_jinja_push(vm, &members, all.as.list->items[order[end++]]))
                return tri_jinja_error();
        }
        tri_jinja_value key = keys[order[i]];
        if (ignore_case) key = tri_jinja_attribute_of(vm, members.items[0], v[1], v[2]);
        tri_jinja_value list = tri_jinja_items_list(vm, &members);
        if (vm->rc) return tri_jinja_error();
        tri_jinja_value group = tri_jinja_pair(vm, key, list);
        if (tri_jinja_is_error(group) || !tri_jinja_push(vm, &groups, group))
            return tri_jinja_error();
        group.as.list->fields = fields;
        i = end;
    }
    return tri_jinja_items_list(vm, &groups);
}

static tri_jinja_value extreme(tri_jinja_vm *vm, tri_jinja_value *v, bool max) {
    bool ignore_case = !tri_jinja_truth_arg(vm, v[1], false);
    tri_jinja_iter *it = tri_jinja_iterate(vm, v[0]);
    tri_jinja_value item, best = tri_jinja_missing(), best_key = tri_jinja_missing();
    int got = -1;
    while (it && (got = tri_jinja_next(vm, it, &item)) > 0) {
        tri_jinja_value key =
            lowered(vm, tri_jinja_attribute_of(vm, item, v[2], tri_jinja_missing()), ignore_case);
        TRI_JINJA_TRY(key);
        bool better = !tri_jinja_given(best) || (max ? tri_jinja_less(vm, best_key, key)
                                                     : tri_jinja_less(vm, key, best_key)) > 0;
        if (vm->rc) return tri_jinja_error();
        if (!better) continue;
        best = item;
        best_key = key;
    }
    if (got < 0) return tri_jinja_error();
    return tri_jinja_given(best)
               ? best
               : tri_jinja_undefined_hint(vm, "No aggregated item, sequence was empty.");
}

TRI_JINJA_FILTER(f_min) {
    TRI_JINJA_UNUSED;
    return extreme(vm, v, false);
}
TRI_JINJA_FILTER(f_max) {
    TRI_JINJA_UNUSED;
    return extreme(vm, v, true);
}

TRI_JINJA_FILTER(f_sum) {
    TRI_JINJA_UNUSED;
    tri_jinja_iter *it = tri_jinja_iterate(vm, v[0]);
    tri_jinja_value item, sum = tri_jinja_given(v[2]) ? v[2] : tri_jinja_int(0);
    int got = -1;
    if (it && sum.kind == TRI_JINJA_STR)
        return tri_jinja_fail(vm, "sum() can't sum strings [use ''.join(seq) instead]");
    while (it && (got = tri_jinja_next(vm, it, &item)) > 0) {
        item = tri_jinja_attribute_of(vm, item, v[1], tri_jinja_missing());
        TRI_JINJA_TRY(item);
        sum = tri_jinja_binary(vm, TRI_JINJA_ADD, sum, item);
        TRI_JINJA_TRY(sum);
    }
    return got < 0 ? tri_jinja_error() : sum;
}

TRI_JINJA_FILTER(f_unique) {
    TRI_JINJA_UNUSED;
    tri_jinja_iter *it = tri_jinja_iter_new(vm, TRI_JINJA_I_UNIQUE, v[0]);
    if (!it) return tri_jinja_error();
    it->ignore_case = !tri_jinja_truth_arg(vm, v[1], false);
    it->attribute = v[2];
    return tri_jinja_of_iter(it);
}

TRI_JINJA_FILTER(f_batch) {
    TRI_JINJA_UNUSED;
    tri_jinja_iter *it = tri_jinja_iter_new(vm, TRI_JINJA_I_BATCH, v[0]);
    if (!it) return tri_jinja_error();
    it->i = -1; /* what is no integer is never reached */
    tri_jinja_as_int(v[1], &it->i);
    it->extra[1] = tri_jinja_given(v[2]) ? v[2] : tri_jinja_none();
    return tri_jinja_of_iter(it);
}

TRI_JINJA_FILTER(f_slice) {
    TRI_JINJA_UNUSED;
    tri_jinja_iter *it = tri_jinja_iter_new(vm, TRI_JINJA_I_SLICE, v[0]);
    if (!it || !tri_jinja_int_arg(vm, v[1], 0, &it->n)) return tri_jinja_error();
    it->extra[1] = tri_jinja_given(v[2]) ? v[2] : tri_jinja_none();
    return tri_jinja_of_iter(it);
}

/* ---- map and select: a filter's or test's name and its arguments, or an attribute ---- */

static bool take_rest(
    tri_jinja_vm *vm, tri_jinja_iter *it, const tri_jinja_args *args, int32_t from) {
    int32_t n = args->n > from ? args->n - from : 0;
    it->args.v = tri_jinja_array(vm, (size_t)n + 1, sizeof *it->args.v);
    it->args.named = tri_jinja_array(vm, (size_t)args->n_named, sizeof *it->args.named);
    tri_jinja_str **names = tri_jinja_array(vm, (size_t)args->n_named, sizeof *names);
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

static bool take_name(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value name, bool filter) {
    if (name.kind != TRI_JINJA_STR) {
        tri_jinja_value text = tri_jinja_str_of(vm, name);
        if (tri_jinja_is_error(text)) return false;
        it->fn_name = text.as.s;
        return true;
    }
    it->fn_name = name.as.s;
    it->fn = filter ? tri_jinja_filter_find(tri_jinja_view_of(name.as.s))
                    : tri_jinja_test_find(tri_jinja_view_of(name.as.s));
    return true;
}

/* map(attribute=..., default=...) */
static bool map_by_attribute(tri_jinja_iter *it, const tri_jinja_args *args) {
    bool found = false;
    for (int32_t i = 0; i < args->n_named; i++) {
        if (tri_jinja_is_str(tri_jinja_of_str(args->names[i]), "attribute")) {
            it->attribute = args->named[i];
            found = true;
        } else if (tri_jinja_is_str(tri_jinja_of_str(args->names[i]), "default")) {
            it->fallback = args->named[i];
        } else {
            it->wrong = "Unexpected keyword argument";
        }
    }
    return found;
}

TRI_JINJA_FILTER(f_map) {
    TRI_JINJA_UNUSED;
    tri_jinja_iter *it = tri_jinja_iter_new(vm, TRI_JINJA_I_MAP, args->v[0]);
    if (!it) return tri_jinja_error();
    if (args->n == 1 && map_by_attribute(it, args)) return tri_jinja_of_iter(it);
    if (args->n == 1) it->wrong = "map requires a filter argument";
    if (args->n > 1 && !take_name(vm, it, args->v[1], true)) return tri_jinja_error();
    return take_rest(vm, it, args, 2) ? tri_jinja_of_iter(it) : tri_jinja_error();
}

static tri_jinja_value select(
    tri_jinja_vm *vm, const tri_jinja_args *args, bool reject, bool by_attribute) {
    int32_t from = by_attribute ? 2 : 1;
    tri_jinja_iter *it = tri_jinja_iter_new(vm, TRI_JINJA_I_SELECT, args->v[0]);
    if (!it) return tri_jinja_error();
    it->reject = reject;
    if (by_attribute && args->n < 2) {
        it->wrong = "Missing parameter for attribute name";
        return tri_jinja_of_iter(it);
    }
    if (by_attribute) it->attribute = args->v[1];
    if (args->n > from && !take_name(vm, it, args->v[from], false)) return tri_jinja_error();
    return take_rest(vm, it, args, from + 1) ? tri_jinja_of_iter(it) : tri_jinja_error();
}

TRI_JINJA_FILTER(f_select) {
    TRI_JINJA_UNUSED;
    return select(vm, args, false, false);
}
TRI_JINJA_FILTER(f_reject) {
    TRI_JINJA_UNUSED;
    return select(vm, args, true, false);
}
TRI_JINJA_FILTER(f_selectattr) {
    TRI_JINJA_UNUSED;
    return select(vm, args, false, true);
}
TRI_JINJA_FILTER(f_rejectattr) {
    TRI_JINJA_UNUSED;
    return select(vm, args, true, true);
}

const tri_jinja_builtin tri_jinja_list_filters[] = {
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
