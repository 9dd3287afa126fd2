#include "text/jinja/iter.h"

#include "text/jinja/attr.h"
#include "text/jinja/eval.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

tri_jinja_iter *tri_jinja_iter_new(
    tri_jinja_vm *vm, tri_jinja_iter_kind kind, tri_jinja_value source) {
    tri_jinja_iter *it = TRI_JINJA_NEW(vm, tri_jinja_iter);
    if (!it) return NULL;
    it->kind = (uint8_t)kind;
    it->source = source;
    it->attribute = it->fallback = it->extra[0] = it->extra[1] = tri_jinja_missing();
    return it;
}

tri_jinja_value tri_jinja_of_iter(tri_jinja_iter *it) {
    return it ? (tri_jinja_value){.kind = TRI_JINJA_ITER, .as.iter = it} : tri_jinja_error();
}

bool tri_jinja_iterable(tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_UNDEFINED:
    case TRI_JINJA_STR:
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
    case TRI_JINJA_DICT:
    case TRI_JINJA_VIEW:
    case TRI_JINJA_RANGE:
    case TRI_JINJA_ITER:
    case TRI_JINJA_LOOP:
        return true;
    default:
        return false;
    }
}

tri_jinja_iter *tri_jinja_iterate(tri_jinja_vm *vm, tri_jinja_value v) {
    static const uint8_t kinds[] = {[TRI_JINJA_UNDEFINED] = TRI_JINJA_I_EMPTY,
        [TRI_JINJA_STR] = TRI_JINJA_I_STR,
        [TRI_JINJA_LIST] = TRI_JINJA_I_LIST,
        [TRI_JINJA_TUPLE] = TRI_JINJA_I_LIST,
        [TRI_JINJA_DICT] = TRI_JINJA_I_DICT,
        [TRI_JINJA_VIEW] = TRI_JINJA_I_DICT,
        [TRI_JINJA_RANGE] = TRI_JINJA_I_RANGE};
    if (v.kind == TRI_JINJA_ITER) return v.as.iter;
    if (v.kind == TRI_JINJA_LOOP) {
        tri_jinja_lacking(vm, "iterating over the loop variable is not supported");
        return NULL;
    }
    if (!tri_jinja_iterable(v)) {
        tri_jinja_fail(vm, "'%s' object is not iterable",
            v.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(v));
        return NULL;
    }
    if (v.kind == TRI_JINJA_DICT) v.id = TRI_JINJA_KEYS;
    return tri_jinja_iter_new(vm, (tri_jinja_iter_kind)kinds[v.kind], v);
}

tri_jinja_iter *tri_jinja_reversed(tri_jinja_vm *vm, tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
        return tri_jinja_iter_new(vm, TRI_JINJA_I_LIST_BACK, v);
    case TRI_JINJA_DICT:
        v.id = TRI_JINJA_KEYS;
        return tri_jinja_iter_new(vm, TRI_JINJA_I_DICT_BACK, v);
    case TRI_JINJA_VIEW:
        return tri_jinja_iter_new(vm, TRI_JINJA_I_DICT_BACK, v);
    case TRI_JINJA_RANGE:
        return tri_jinja_iter_new(vm, TRI_JINJA_I_RANGE_BACK, v);
    default:
        return NULL;
    }
}

tri_jinja_value tri_jinja_collect(tri_jinja_vm *vm, tri_jinja_value v) {
    if (v.kind == TRI_JINJA_LIST) return v;
    tri_jinja_iter *it = tri_jinja_iterate(vm, v);
    tri_jinja_items items = {0};
    tri_jinja_value item;
    int got;
    if (!it) return tri_jinja_error();
    while ((got = tri_jinja_next(vm, it, &item)) > 0) {
        if (!tri_jinja_push(vm, &items, item)) return tri_jinja_error();
    }
    return got < 0 ? tri_jinja_error() : tri_jinja_items_list(vm, &items);
}

/* ---- attributes of items ---- */

static tri_jinja_value one_attribute(tri_jinja_vm *vm, tri_jinja_value item, tri_jinja_str *part) {
    bool digits = part->n > 0 && part->n < 19;
    int64_t index = 0;
    for (size_t i = 0; digits && i < part->n; i++) {
        digits = part->ptr[i] >= '0' && part->ptr[i] <= '9';
        index = index * 10 + (part->ptr[i] - '0');
    }
    return tri_jinja_getitem(vm, item, digits ? tri_jinja_int(index) : tri_jinja_of_str(part));
}

tri_jinja_value tri_jinja_attribute_of(
    tri_jinja_vm *vm, tri_jinja_value item, tri_jinja_value attribute, tri_jinja_value fallback) {
    bool other = tri_jinja_given(fallback) && fallback.kind != TRI_JINJA_NONE;
    if (!tri_jinja_given(attribute) || attribute.kind == TRI_JINJA_NONE) return item;
    if (attribute.kind != TRI_JINJA_STR) {
        item = tri_jinja_getitem(vm, item, attribute);
        return other && item.kind == TRI_JINJA_UNDEFINED ? fallback : item;
    }
    tri_jinja_str *path = attribute.as.s;
    for (size_t begin = 0; begin <= path->n;) {
        size_t end = begin;
        while (end < path->n && path->ptr[end] != '.')
            end++;
        tri_jinja_str *part = tri_jinja_sub(vm, path, begin, end);
        if (!part) return tri_jinja_error();
        item = one_attribute(vm, item, part);
        TRI_JINJA_TRY(item);
        if (other && item.kind == TRI_JINJA_UNDEFINED) item = fallback;
        begin = end + 1;
    }
    return item;
}

/* ---- generators ---- */

static int failed_or(tri_jinja_vm *vm, int result) {
    return vm->rc ? -1 : result;
}

static int start(tri_jinja_vm *vm, tri_jinja_iter *it, bool only_if_true) {
    it->started = true;
    if (only_if_true && !tri_jinja_truth(vm, it->source)) {
        it->done = true;
        return failed_or(vm, 0);
    }
    if (it->wrong) {
        tri_jinja_fail(vm, "%s", it->wrong);
        return -1;
    }
    it->inner = tri_jinja_iterate(vm, it->source);
    return it->inner ? 1 : -1;
}

static tri_jinja_value apply(
    tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value item, const char *sort) {
    if (!it->fn)
        return tri_jinja_fail(vm, "No %s named '%.*s'.", sort, TRI_JINJA_SHOWN(it->fn_name));
    it->args.v[0] = item;
    if (!tri_jinja_enter(vm)) return tri_jinja_error();
    tri_jinja_value v = tri_jinja_builtin_call(vm, it->fn, &it->args);
    tri_jinja_leave(vm);
    return v;
}

static int next_map(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    tri_jinja_value item;
    int got = tri_jinja_next(vm, it->inner, &item);
    if (got <= 0) return got;
    *v = it->fn_name ? apply(vm, it, item, "filter")
                     : tri_jinja_attribute_of(vm, item, it->attribute, it->fallback);
    return failed_or(vm, 1);
}

static int next_select(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    for (;;) {
        int got = tri_jinja_next(vm, it->inner, v);
        if (got <= 0) return got;
        tri_jinja_value tested = tri_jinja_attribute_of(vm, *v, it->attribute, tri_jinja_missing());
        if (!vm->rc && it->fn_name) tested = apply(vm, it, tested, "test");
        if (vm->rc) return -1;
        bool yes = tri_jinja_truth(vm, tested);
        if (vm->rc || !tri_jinja_step(vm, 1)) return -1;
        if (yes != it->reject) return 1;
    }
}

static tri_jinja_value lowered(tri_jinja_vm *vm, tri_jinja_value v) {
    static const tri_jinja_args none = {0};
    const tri_jinja_builtin *lower = tri_jinja_filter_find(TRI_STR("lower"));
    return v.kind == TRI_JINJA_STR ? lower->fn(vm, &v, &none) : v;
}

static int next_unique(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    if (!it->seen) it->seen = tri_jinja_dict_new(vm, 0);
    for (;;) {
        int got = it->seen ? tri_jinja_next(vm, it->inner, v) : -1;
        if (got <= 0) return got;
        tri_jinja_value key = tri_jinja_attribute_of(vm, *v, it->attribute, tri_jinja_missing());
        if (!vm->rc && it->ignore_case) key = lowered(vm, key);
        size_t n = it->seen->n;
        if (vm->rc || !tri_jinja_dict_put(vm, it->seen, key, tri_jinja_none()) ||
            !tri_jinja_step(vm, 1))
            return -1;
        if (it->seen->n > n) return 1;
    }
}

static int next_batch(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    int64_t count = it->i;
    tri_jinja_items items = {0};
    tri_jinja_value item;
    if (it->started && it->n) { /* read ahead: the item that did not fit */
        if (!tri_jinja_push(vm, &items, it->extra[0])) return -1;
        it->n = 0;
    }
    int got;
    while ((got = tri_jinja_next(vm, it->inner, &item)) > 0) {
        if ((int64_t)items.n == count) {
            it->extra[0] = item;
            it->n = 1;
            *v = tri_jinja_items_list(vm, &items);
            return failed_or(vm, 1);
        }
        if (!tri_jinja_push(vm, &items, item)) return -1;
    }
    if (got < 0 || !items.n) return got;
    it->done = true;
    while (it->extra[1].kind != TRI_JINJA_NONE && (int64_t)items.n < count) {
        if (!tri_jinja_push(vm, &items, it->extra[1])) return -1;
    }
    *v = tri_jinja_items_list(vm, &items);
    return failed_or(vm, 1);
}

/* Slice i of n, the first ones an item longer when it does not come out even. */
static int next_slice(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    if (!it->started) {
        it->started = true;
        it->source = tri_jinja_collect(vm, it->source);
        if (vm->rc) return -1;
        if (!it->n) {
            tri_jinja_fail(vm, "integer division or modulo by zero");
            return -1;
        }
    }
    if (it->i >= it->n) return 0;
    const tri_jinja_list *all = it->source.as.list;
    int64_t each = (int64_t)all->n / it->n, extra = (int64_t)all->n % it->n;
    int64_t begin = it->i * each + (it->i < extra ? it->i : extra);
    int64_t end = begin + each + (it->i < extra);
    tri_jinja_items items = {0};
    for (int64_t i = begin; i < end; i++) {
        if (!tri_jinja_push(vm, &items, all->items[i])) return -1;
    }
    if (it->extra[1].kind != TRI_JINJA_NONE && it->i >= extra) {
        if (!tri_jinja_push(vm, &items, it->extra[1])) return -1;
    }
    it->i++;
    *v = tri_jinja_items_list(vm, &items);
    return failed_or(vm, 1);
}

static int next_items(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    if (!it->started) {
        it->started = true;
        if (it->source.kind == TRI_JINJA_UNDEFINED) return 0;
        if (it->source.kind != TRI_JINJA_DICT) {
            tri_jinja_fail(vm, "Can only get item pairs from a mapping.");
            return -1;
        }
        it->source.kind = TRI_JINJA_VIEW;
        it->source.id = TRI_JINJA_ITEMS;
        it->inner = tri_jinja_iter_new(vm, TRI_JINJA_I_DICT, it->source);
    }
    return it->inner ? tri_jinja_next(vm, it->inner, v) : failed_or(vm, 0);
}

static tri_jinja_value target_value(tri_jinja_vm *vm, const tri_jinja_node *target) {
    if (target->kind != TRI_JINJA_N_TUPLE) return vm->variables->slots[target->slot];
    tri_jinja_list *list = tri_jinja_list_new(vm, (size_t)target->n);
    if (!list) return tri_jinja_error();
    for (int32_t i = 0; i < target->n; i++)
        list->items[i] = target_value(vm, target->list[i]);
    return tri_jinja_of_tuple(list);
}

/* Runs in an activation of its own; what it yields is what the target took. */
static int next_test(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    const tri_jinja_function *test = it->node->test;
    tri_jinja_activation *saved = vm->variables;
    int result = 0;
    if (!it->started) {
        it->started = true;
        it->variables = tri_jinja_activate(vm, test, it->variables);
        if (!it->variables) return -1;
        vm->variables = it->variables;
        bool ok = tri_jinja_enter_scope(vm, &test->scope);
        vm->variables = saved;
        if (!ok) return -1;
        vm->at = it->node->b->at;
        it->inner = tri_jinja_iterate(vm, it->source);
        if (!it->inner) return -1;
    }
    while ((result = tri_jinja_next(vm, it->inner, v)) > 0) {
        vm->variables = it->variables;
        bool taken = false;
        if (tri_jinja_assign(vm, test->params[0], *v)) {
            tri_jinja_value tested = tri_jinja_eval(vm, test->defaults[0]);
            taken = !tri_jinja_is_error(tested) && tri_jinja_truth(vm, tested);
            if (taken) *v = target_value(vm, test->params[0]);
        }
        vm->variables = saved;
        if (vm->rc || !tri_jinja_step(vm, 1)) return -1;
        if (taken) return 1;
    }
    return result;
}

static int next_of_dict(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v, int64_t at) {
    const tri_jinja_entry *e = &it->source.as.dict->entries[at];
    if (it->source.id == TRI_JINJA_KEYS)
        *v = e->key;
    else if (it->source.id == TRI_JINJA_VALUES)
        *v = e->value;
    else
        *v = tri_jinja_pair(vm, e->key, e->value);
    return failed_or(vm, 1);
}

static int next_of_str(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    tri_jinja_str *s = it->source.as.s;
    uint32_t c;
    if ((size_t)it->i >= s->n) return 0;
    size_t at = (size_t)it->i, n = tri_utf8_point(s->ptr + at, s->n - at, &c);
    it->i += (int64_t)n;
    tri_jinja_str *one = tri_jinja_sub(vm, s, at, at + n);
    if (one && one == s) one = tri_jinja_str_copy(vm, s);
    if (one) one->markup = false; /* Markup is no exception: its characters are plain text */
    *v = tri_jinja_of_str(one);
    return failed_or(vm, 1);
}

static int next_generated(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    if (it->kind == TRI_JINJA_I_SLICE) return next_slice(vm, it, v);
    if (it->kind == TRI_JINJA_I_ITEMS) return next_items(vm, it, v);
    if (it->kind == TRI_JINJA_I_TEST) return next_test(vm, it, v);
    if (!it->started) {
        int started = start(vm, it, it->kind == TRI_JINJA_I_MAP || it->kind == TRI_JINJA_I_SELECT);
        if (started <= 0) return started;
    }
    return it->kind == TRI_JINJA_I_MAP      ? next_map(vm, it, v)
           : it->kind == TRI_JINJA_I_SELECT ? next_select(vm, it, v)
           : it->kind == TRI_JINJA_I_UNIQUE ? next_unique(vm, it, v)
                                            : next_batch(vm, it, v);
}

int tri_jinja_next(tri_jinja_vm *vm, tri_jinja_iter *it, tri_jinja_value *v) {
    int result;
    switch ((tri_jinja_iter_kind)it->kind) {
    case TRI_JINJA_I_EMPTY:
        return 0;
    case TRI_JINJA_I_LIST:
        if ((size_t)it->i >= it->source.as.list->n) return 0;
        *v = it->source.as.list->items[it->i++];
        return 1;
    case TRI_JINJA_I_LIST_BACK:
        if ((size_t)it->i >= it->source.as.list->n) return 0;
        *v = it->source.as.list->items[it->source.as.list->n - 1 - (size_t)it->i++];
        return 1;
    case TRI_JINJA_I_STR:
        return next_of_str(vm, it, v);
    case TRI_JINJA_I_DICT:
        if ((size_t)it->i >= it->source.as.dict->n) return 0;
        return next_of_dict(vm, it, v, it->i++);
    case TRI_JINJA_I_DICT_BACK:
        if ((size_t)it->i >= it->source.as.dict->n) return 0;
        return next_of_dict(vm, it, v, (int64_t)it->source.as.dict->n - 1 - it->i++);
    case TRI_JINJA_I_RANGE:
    case TRI_JINJA_I_RANGE_BACK: {
        const tri_jinja_range *r = it->source.as.range;
        if (it->i >= r->n) return 0;
        int64_t i = it->kind == TRI_JINJA_I_RANGE ? it->i : r->n - 1 - it->i;
        it->i++;
        *v = tri_jinja_int(r->start + i * r->step);
        return 1;
    }
    default:
        break;
    }
    if (it->done) return 0;
    if (!tri_jinja_enter(vm)) return -1;
    result = next_generated(vm, it, v);
    tri_jinja_leave(vm);
    if (result <= 0) it->done = true;
    return result;
}

/* ---- the loop variable ---- */

static int peek(tri_jinja_vm *vm, tri_jinja_loop *loop) {
    if (loop->has_after) return 1;
    int got = tri_jinja_next(vm, loop->iter, &loop->after);
    if (got > 0) loop->has_after = true;
    return got;
}

int tri_jinja_loop_next(tri_jinja_vm *vm, tri_jinja_loop *loop, tri_jinja_value *v) {
    int got = peek(vm, loop);
    if (got <= 0) return got;
    *v = loop->after;
    loop->has_after = false;
    loop->index0++;
    loop->before = loop->current;
    loop->current = *v;
    return 1;
}

int64_t tri_jinja_loop_length(tri_jinja_vm *vm, tri_jinja_loop *loop) {
    if (loop->length >= 0) return loop->length;
    if (tri_jinja_has_length(loop->iterable)) {
        loop->length = tri_jinja_length(vm, loop->iterable);
        return loop->length;
    }
    tri_jinja_value rest = tri_jinja_collect(vm, tri_jinja_of_iter(loop->iter));
    if (tri_jinja_is_error(rest)) return -1;
    loop->iter = tri_jinja_iterate(vm, rest);
    if (!loop->iter) return -1;
    loop->length = (int64_t)rest.as.list->n + loop->index0 + 1 + loop->has_after;
    return loop->length;
}

static tri_jinja_value neighbour(tri_jinja_vm *vm, tri_jinja_loop *loop, bool next) {
    if (!next) {
        return loop->index0 == 0 ? tri_jinja_undefined_hint(vm, "there is no previous item")
                                 : loop->before;
    }
    int got = peek(vm, loop);
    if (got < 0) return tri_jinja_error();
    return got ? loop->after : tri_jinja_undefined_hint(vm, "there is no next item");
}

tri_jinja_value tri_jinja_loop_attr(
    tri_jinja_vm *vm, tri_jinja_loop *loop, const tri_jinja_str *attr) {
    tri_str name = tri_jinja_view_of(attr);
    if (tri_str_is(name, "index0")) return tri_jinja_int(loop->index0);
    if (tri_str_is(name, "index")) return tri_jinja_int(loop->index0 + 1);
    if (tri_str_is(name, "first")) return tri_jinja_bool(loop->index0 == 0);
    if (tri_str_is(name, "last")) {
        int got = peek(vm, loop);
        return got < 0 ? tri_jinja_error() : tri_jinja_bool(got == 0);
    }
    if (tri_str_is(name, "previtem")) return neighbour(vm, loop, false);
    if (tri_str_is(name, "nextitem")) return neighbour(vm, loop, true);
    if (tri_str_is(name, "depth")) return tri_jinja_int(loop->depth0 + 1);
    if (tri_str_is(name, "depth0")) return tri_jinja_int(loop->depth0);
    bool back = tri_str_is(name, "revindex"), back0 = tri_str_is(name, "revindex0");
    if (back || back0 || tri_str_is(name, "length")) {
        int64_t n = tri_jinja_loop_length(vm, loop);
        if (n < 0) return tri_jinja_error();
        return tri_jinja_int(back ? n - loop->index0 : back0 ? n - loop->index0 - 1 : n);
    }
    return tri_jinja_missing();
}
