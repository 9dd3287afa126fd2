#include "text/jinja/iter.h"

#include "text/jinja/attr.h"
#include "text/jinja/eval.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

jj_iter *jj_iter_new(jj_vm *vm, jj_iter_kind kind, jj_value source) {
    jj_iter *it = JJ_NEW(vm, jj_iter);
    if (!it) return NULL;
    it->kind = (uint8_t)kind;
    it->source = source;
    it->attribute = it->fallback = it->extra[0] = it->extra[1] = jj_missing();
    return it;
}

jj_value jj_of_iter(jj_iter *it) {
    return it ? (jj_value){.kind = JJ_ITER, .as.iter = it} : jj_error();
}

bool jj_iterable(jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_UNDEFINED:
    case JJ_STR:
    case JJ_LIST:
    case JJ_TUPLE:
    case JJ_DICT:
    case JJ_VIEW:
    case JJ_RANGE:
    case JJ_ITER:
    case JJ_LOOP:
        return true;
    default:
        return false;
    }
}

jj_iter *jj_iterate(jj_vm *vm, jj_value v) {
    static const uint8_t kinds[] = {[JJ_UNDEFINED] = JJ_I_EMPTY,
        [JJ_STR] = JJ_I_STR,
        [JJ_LIST] = JJ_I_LIST,
        [JJ_TUPLE] = JJ_I_LIST,
        [JJ_DICT] = JJ_I_DICT,
        [JJ_VIEW] = JJ_I_DICT,
        [JJ_RANGE] = JJ_I_RANGE};
    if (v.kind == JJ_ITER) return v.as.iter;
    if (v.kind == JJ_LOOP) {
        jj_lacking(vm, "iterating over the loop variable is not supported");
        return NULL;
    }
    if (!jj_iterable(v)) {
        jj_fail(
            vm, "'%s' object is not iterable", v.kind == JJ_NONE ? "NoneType" : jj_type_name(v));
        return NULL;
    }
    if (v.kind == JJ_DICT) v.id = JJ_KEYS;
    return jj_iter_new(vm, (jj_iter_kind)kinds[v.kind], v);
}

jj_iter *jj_reversed(jj_vm *vm, jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_LIST:
    case JJ_TUPLE:
        return jj_iter_new(vm, JJ_I_LIST_BACK, v);
    case JJ_DICT:
        v.id = JJ_KEYS;
        return jj_iter_new(vm, JJ_I_DICT_BACK, v);
    case JJ_VIEW:
        return jj_iter_new(vm, JJ_I_DICT_BACK, v);
    case JJ_RANGE:
        return jj_iter_new(vm, JJ_I_RANGE_BACK, v);
    default:
        return NULL;
    }
}

jj_value jj_collect(jj_vm *vm, jj_value v) {
    if (v.kind == JJ_LIST) return v;
    jj_iter *it = jj_iterate(vm, v);
    jj_items items = {0};
    jj_value item;
    int got;
    if (!it) return jj_error();
    while ((got = jj_next(vm, it, &item)) > 0) {
        if (!jj_push(vm, &items, item)) return jj_error();
    }
    return got < 0 ? jj_error() : jj_items_list(vm, &items);
}

/* ---- attributes of items ---- */

static jj_value one_attribute(jj_vm *vm, jj_value item, jj_str *part) {
    bool digits = part->n > 0 && part->n < 19;
    int64_t index = 0;
    for (size_t i = 0; digits && i < part->n; i++) {
        digits = part->ptr[i] >= '0' && part->ptr[i] <= '9';
        index = index * 10 + (part->ptr[i] - '0');
    }
    return jj_getitem(vm, item, digits ? jj_int(index) : jj_of_str(part));
}

jj_value jj_attribute_of(jj_vm *vm, jj_value item, jj_value attribute, jj_value fallback) {
    bool other = jj_given(fallback) && fallback.kind != JJ_NONE;
    if (!jj_given(attribute) || attribute.kind == JJ_NONE) return item;
    if (attribute.kind != JJ_STR) {
        item = jj_getitem(vm, item, attribute);
        return other && item.kind == JJ_UNDEFINED ? fallback : item;
    }
    jj_str *path = attribute.as.s;
    for (size_t begin = 0; begin <= path->n;) {
        size_t end = begin;
        while (end < path->n && path->ptr[end] != '.')
            end++;
        jj_str *part = jj_sub(vm, path, begin, end);
        if (!part) return jj_error();
        item = one_attribute(vm, item, part);
        JJ_TRY(item);
        if (other && item.kind == JJ_UNDEFINED) item = fallback;
        begin = end + 1;
    }
    return item;
}

/* ---- generators ---- */

static int failed_or(jj_vm *vm, int result) {
    return vm->rc ? -1 : result;
}

static int start(jj_vm *vm, jj_iter *it, bool only_if_true) {
    it->started = true;
    if (only_if_true && !jj_truth(vm, it->source)) {
        it->done = true;
        return failed_or(vm, 0);
    }
    if (it->wrong) {
        jj_fail(vm, "%s", it->wrong);
        return -1;
    }
    it->inner = jj_iterate(vm, it->source);
    return it->inner ? 1 : -1;
}

static jj_value apply(jj_vm *vm, jj_iter *it, jj_value item, const char *sort) {
    if (!it->fn) return jj_fail(vm, "No %s named '%.*s'.", sort, JJ_SHOWN(it->fn_name));
    it->args.v[0] = item;
    if (!jj_enter(vm)) return jj_error();
    jj_value v = jj_builtin_call(vm, it->fn, &it->args);
    jj_leave(vm);
    return v;
}

static int next_map(jj_vm *vm, jj_iter *it, jj_value *v) {
    jj_value item;
    int got = jj_next(vm, it->inner, &item);
    if (got <= 0) return got;
    *v = it->fn_name ? apply(vm, it, item, "filter")
                     : jj_attribute_of(vm, item, it->attribute, it->fallback);
    return failed_or(vm, 1);
}

static int next_select(jj_vm *vm, jj_iter *it, jj_value *v) {
    for (;;) {
        int got = jj_next(vm, it->inner, v);
        if (got <= 0) return got;
        jj_value tested = jj_attribute_of(vm, *v, it->attribute, jj_missing());
        if (!vm->rc && it->fn_name) tested = apply(vm, it, tested, "test");
        if (vm->rc) return -1;
        bool yes = jj_truth(vm, tested);
        if (vm->rc || !jj_step(vm, 1)) return -1;
        if (yes != it->reject) return 1;
    }
}

static jj_value lowered(jj_vm *vm, jj_value v) {
    static const jj_args none = {0};
    const jj_builtin *lower = jj_filter_find(TRI_STR("lower"));
    return v.kind == JJ_STR ? lower->fn(vm, &v, &none) : v;
}

static int next_unique(jj_vm *vm, jj_iter *it, jj_value *v) {
    if (!it->seen) it->seen = jj_dict_new(vm, 0);
    for (;;) {
        int got = it->seen ? jj_next(vm, it->inner, v) : -1;
        if (got <= 0) return got;
        jj_value key = jj_attribute_of(vm, *v, it->attribute, jj_missing());
        if (!vm->rc && it->ignore_case) key = lowered(vm, key);
        size_t n = it->seen->n;
        if (vm->rc || !jj_dict_put(vm, it->seen, key, jj_none()) || !jj_step(vm, 1)) return -1;
        if (it->seen->n > n) return 1;
    }
}

static int next_batch(jj_vm *vm, jj_iter *it, jj_value *v) {
    int64_t count = it->i;
    jj_items items = {0};
    jj_value item;
    if (it->started && it->n) { /* read ahead: the item that did not fit */
        if (!jj_push(vm, &items, it->extra[0])) return -1;
        it->n = 0;
    }
    int got;
    while ((got = jj_next(vm, it->inner, &item)) > 0) {
        if ((int64_t)items.n == count) {
            it->extra[0] = item;
            it->n = 1;
            *v = jj_items_list(vm, &items);
            return failed_or(vm, 1);
        }
        if (!jj_push(vm, &items, item)) return -1;
    }
    if (got < 0 || !items.n) return got;
    it->done = true;
    while (it->extra[1].kind != JJ_NONE && (int64_t)items.n < count) {
        if (!jj_push(vm, &items, it->extra[1])) return -1;
    }
    *v = jj_items_list(vm, &items);
    return failed_or(vm, 1);
}

/* Slice i of n, the first ones an item longer when it does not come out even. */
static int next_slice(jj_vm *vm, jj_iter *it, jj_value *v) {
    if (!it->started) {
        it->started = true;
        it->source = jj_collect(vm, it->source);
        if (vm->rc) return -1;
        if (!it->n) {
            jj_fail(vm, "integer division or modulo by zero");
            return -1;
        }
    }
    if (it->i >= it->n) return 0;
    const jj_list *all = it->source.as.list;
    int64_t each = (int64_t)all->n / it->n, extra = (int64_t)all->n % it->n;
    int64_t begin = it->i * each + (it->i < extra ? it->i : extra);
    int64_t end = begin + each + (it->i < extra);
    jj_items items = {0};
    for (int64_t i = begin; i < end; i++) {
        if (!jj_push(vm, &items, all->items[i])) return -1;
    }
    if (it->extra[1].kind != JJ_NONE && it->i >= extra) {
        if (!jj_push(vm, &items, it->extra[1])) return -1;
    }
    it->i++;
    *v = jj_items_list(vm, &items);
    return failed_or(vm, 1);
}

static int next_items(jj_vm *vm, jj_iter *it, jj_value *v) {
    if (!it->started) {
        it->started = true;
        if (it->source.kind == JJ_UNDEFINED) return 0;
        if (it->source.kind != JJ_DICT) {
            jj_fail(vm, "Can only get item pairs from a mapping.");
            return -1;
        }
        it->source.kind = JJ_VIEW;
        it->source.id = JJ_ITEMS;
        it->inner = jj_iter_new(vm, JJ_I_DICT, it->source);
    }
    return it->inner ? jj_next(vm, it->inner, v) : failed_or(vm, 0);
}

static jj_value target_value(jj_vm *vm, const jj_node *target) {
    if (target->kind != JJ_N_TUPLE) return vm->variables->slots[target->slot];
    jj_list *list = jj_list_new(vm, (size_t)target->n);
    if (!list) return jj_error();
    for (int32_t i = 0; i < target->n; i++)
        list->items[i] = target_value(vm, target->list[i]);
    return jj_of_tuple(list);
}

/* Runs in an activation of its own; what it yields is what the target took. */
static int next_test(jj_vm *vm, jj_iter *it, jj_value *v) {
    const jj_function *test = it->node->test;
    jj_activation *saved = vm->variables;
    int result = 0;
    if (!it->started) {
        it->started = true;
        it->variables = jj_activate(vm, test, it->variables);
        if (!it->variables) return -1;
        vm->variables = it->variables;
        bool ok = jj_enter_scope(vm, &test->scope);
        vm->variables = saved;
        if (!ok) return -1;
        vm->at = it->node->b->at;
        it->inner = jj_iterate(vm, it->source);
        if (!it->inner) return -1;
    }
    while ((result = jj_next(vm, it->inner, v)) > 0) {
        vm->variables = it->variables;
        bool taken = false;
        if (jj_assign(vm, test->params[0], *v)) {
            jj_value tested = jj_eval(vm, test->defaults[0]);
            taken = !jj_is_error(tested) && jj_truth(vm, tested);
            if (taken) *v = target_value(vm, test->params[0]);
        }
        vm->variables = saved;
        if (vm->rc || !jj_step(vm, 1)) return -1;
        if (taken) return 1;
    }
    return result;
}

static int next_of_dict(jj_vm *vm, jj_iter *it, jj_value *v, int64_t at) {
    const jj_entry *e = &it->source.as.dict->entries[at];
    if (it->source.id == JJ_KEYS)
        *v = e->key;
    else if (it->source.id == JJ_VALUES)
        *v = e->value;
    else
        *v = jj_pair(vm, e->key, e->value);
    return failed_or(vm, 1);
}

static int next_of_str(jj_vm *vm, jj_iter *it, jj_value *v) {
    jj_str *s = it->source.as.s;
    uint32_t c;
    if ((size_t)it->i >= s->n) return 0;
    size_t at = (size_t)it->i, n = jj_point(s->ptr + at, s->n - at, &c);
    it->i += (int64_t)n;
    jj_str *one = jj_sub(vm, s, at, at + n);
    if (one && one == s) one = jj_str_copy(vm, s);
    if (one) one->markup = false; /* Markup is no exception: its characters are plain text */
    *v = jj_of_str(one);
    return failed_or(vm, 1);
}

static int next_generated(jj_vm *vm, jj_iter *it, jj_value *v) {
    if (it->kind == JJ_I_SLICE) return next_slice(vm, it, v);
    if (it->kind == JJ_I_ITEMS) return next_items(vm, it, v);
    if (it->kind == JJ_I_TEST) return next_test(vm, it, v);
    if (!it->started) {
        int started = start(vm, it, it->kind == JJ_I_MAP || it->kind == JJ_I_SELECT);
        if (started <= 0) return started;
    }
    return it->kind == JJ_I_MAP      ? next_map(vm, it, v)
           : it->kind == JJ_I_SELECT ? next_select(vm, it, v)
           : it->kind == JJ_I_UNIQUE ? next_unique(vm, it, v)
                                     : next_batch(vm, it, v);
}

int jj_next(jj_vm *vm, jj_iter *it, jj_value *v) {
    int result;
    switch ((jj_iter_kind)it->kind) {
    case JJ_I_EMPTY:
        return 0;
    case JJ_I_LIST:
        if ((size_t)it->i >= it->source.as.list->n) return 0;
        *v = it->source.as.list->items[it->i++];
        return 1;
    case JJ_I_LIST_BACK:
        if ((size_t)it->i >= it->source.as.list->n) return 0;
        *v = it->source.as.list->items[it->source.as.list->n - 1 - (size_t)it->i++];
        return 1;
    case JJ_I_STR:
        return next_of_str(vm, it, v);
    case JJ_I_DICT:
        if ((size_t)it->i >= it->source.as.dict->n) return 0;
        return next_of_dict(vm, it, v, it->i++);
    case JJ_I_DICT_BACK:
        if ((size_t)it->i >= it->source.as.dict->n) return 0;
        return next_of_dict(vm, it, v, (int64_t)it->source.as.dict->n - 1 - it->i++);
    case JJ_I_RANGE:
    case JJ_I_RANGE_BACK: {
        const jj_range *r = it->source.as.range;
        if (it->i >= r->n) return 0;
        int64_t i = it->kind == JJ_I_RANGE ? it->i : r->n - 1 - it->i;
        it->i++;
        *v = jj_int(r->start + i * r->step);
        return 1;
    }
    default:
        break;
    }
    if (it->done) return 0;
    if (!jj_enter(vm)) return -1;
    result = next_generated(vm, it, v);
    jj_leave(vm);
    if (result <= 0) it->done = true;
    return result;
}

/* ---- the loop variable ---- */

static int peek(jj_vm *vm, jj_loop *loop) {
    if (loop->has_after) return 1;
    int got = jj_next(vm, loop->iter, &loop->after);
    if (got > 0) loop->has_after = true;
    return got;
}

int jj_loop_next(jj_vm *vm, jj_loop *loop, jj_value *v) {
    int got = peek(vm, loop);
    if (got <= 0) return got;
    *v = loop->after;
    loop->has_after = false;
    loop->index0++;
    loop->before = loop->current;
    loop->current = *v;
    return 1;
}

int64_t jj_loop_length(jj_vm *vm, jj_loop *loop) {
    if (loop->length >= 0) return loop->length;
    if (jj_has_length(loop->iterable)) {
        loop->length = jj_length(vm, loop->iterable);
        return loop->length;
    }
    jj_value rest = jj_collect(vm, jj_of_iter(loop->iter));
    if (jj_is_error(rest)) return -1;
    loop->iter = jj_iterate(vm, rest);
    if (!loop->iter) return -1;
    loop->length = (int64_t)rest.as.list->n + loop->index0 + 1 + loop->has_after;
    return loop->length;
}

static jj_value neighbour(jj_vm *vm, jj_loop *loop, bool next) {
    if (!next) {
        return loop->index0 == 0 ? jj_undefined_hint(vm, "there is no previous item")
                                 : loop->before;
    }
    int got = peek(vm, loop);
    if (got < 0) return jj_error();
    return got ? loop->after : jj_undefined_hint(vm, "there is no next item");
}

jj_value jj_loop_attr(jj_vm *vm, jj_loop *loop, const jj_str *attr) {
    tri_str name = jj_view_of(attr);
    if (tri_str_is(name, "index0")) return jj_int(loop->index0);
    if (tri_str_is(name, "index")) return jj_int(loop->index0 + 1);
    if (tri_str_is(name, "first")) return jj_bool(loop->index0 == 0);
    if (tri_str_is(name, "last")) {
        int got = peek(vm, loop);
        return got < 0 ? jj_error() : jj_bool(got == 0);
    }
    if (tri_str_is(name, "previtem")) return neighbour(vm, loop, false);
    if (tri_str_is(name, "nextitem")) return neighbour(vm, loop, true);
    if (tri_str_is(name, "depth")) return jj_int(loop->depth0 + 1);
    if (tri_str_is(name, "depth0")) return jj_int(loop->depth0);
    bool back = tri_str_is(name, "revindex"), back0 = tri_str_is(name, "revindex0");
    if (back || back0 || tri_str_is(name, "length")) {
        int64_t n = jj_loop_length(vm, loop);
        if (n < 0) return jj_error();
        return jj_int(back ? n - loop->index0 : back0 ? n - loop->index0 - 1 : n);
    }
    return jj_missing();
}
