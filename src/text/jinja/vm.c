#include "text/jinja/vm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "text/jinja/ops.h"
#include "text/jinja/program.h"

static void fail_with(tri_jinja_vm *vm, tri_status status, const char *format, va_list args) {
    char message[384];
    if (vm->rc) return;
    int32_t line, column;
    vsnprintf(message, sizeof message, format, args);
    tri_jinja_place(vm->program->source, vm->at, &line, &column);
    vm->rc = TRI_FAIL(
        vm->err, status, "line %" PRId32 ", column %" PRId32 ": %s", line, column, message);
}

tri_jinja_value tri_jinja_fail(tri_jinja_vm *vm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_with(vm, TRI_E_ARGUMENT, format, args);
    va_end(args);
    return tri_jinja_error();
}

tri_jinja_value tri_jinja_limit(tri_jinja_vm *vm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_with(vm, TRI_E_LIMIT, format, args);
    va_end(args);
    return tri_jinja_error();
}

tri_jinja_value tri_jinja_lacking(tri_jinja_vm *vm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_with(vm, TRI_E_UNSUPPORTED, format, args);
    va_end(args);
    return tri_jinja_error();
}

static const char *name_of(tri_jinja_vm *vm, tri_jinja_value name) {
    tri_jinja_out out = {0};
    tri_jinja_repr(vm, &out, name);
    tri_jinja_value text = tri_jinja_out_str(vm, &out);
    if (tri_jinja_is_error(text)) return "?";
    const char *copy = tri_arena_strndup(&vm->arena, text.as.s->ptr, text.as.s->n);
    return copy ? copy : "?";
}

tri_jinja_value tri_jinja_fail_undefined(tri_jinja_vm *vm, tri_jinja_value v) {
    const tri_jinja_undefined *u = v.as.undefined;
    switch (u->lack) {
    case TRI_JINJA_LACK_NAME:
        return tri_jinja_fail(vm, "%s is undefined", name_of(vm, u->name));
    case TRI_JINJA_LACK_PARAMETER:
        return tri_jinja_fail(vm, "parameter %s was not provided", name_of(vm, u->name));
    case TRI_JINJA_LACK_UNSAFE:
        return tri_jinja_fail(vm, "access to attribute %s of '%s' object is unsafe.",
            name_of(vm, u->name), tri_jinja_type_name(u->object));
    case TRI_JINJA_LACK_HINT:
        return tri_jinja_fail(vm, "%s", u->hint);
    case TRI_JINJA_LACK_ATTRIBUTE:
        break;
    }
    if (u->name.kind != TRI_JINJA_STR) {
        return tri_jinja_fail(vm, "%s object has no element %s", tri_jinja_type_name(u->object),
            name_of(vm, u->name));
    }
    return tri_jinja_fail(vm, "'%s%s' has no attribute %s", tri_jinja_type_name(u->object),
        u->object.kind == TRI_JINJA_NONE ? "" : " object", name_of(vm, u->name));
}

bool tri_jinja_steps_over(tri_jinja_vm *vm) {
    tri_jinja_limit(
        vm, "the template took more than %" PRId64 " steps (max_steps)", vm->limits.max_steps);
    return true;
}

bool tri_jinja_too_deep(tri_jinja_vm *vm) {
    tri_jinja_limit(vm, "nested too deeply (max_depth %" PRId32 ")", vm->limits.max_depth);
    return false;
}

void *tri_jinja_alloc(tri_jinja_vm *vm, size_t n_bytes) {
    if (vm->rc) return NULL;
    void *at = tri_arena_alloc(&vm->arena, n_bytes ? n_bytes : 1);
    if (!at) {
        tri_jinja_limit(vm, "the template needs more than %zu bytes of memory (max_memory_bytes)",
            vm->limits.max_memory_bytes);
    }
    return at;
}

void *tri_jinja_array(tri_jinja_vm *vm, size_t n, size_t elem_bytes) {
    size_t n_bytes;
    if (__builtin_mul_overflow(n, elem_bytes, &n_bytes)) n_bytes = SIZE_MAX;
    return tri_jinja_alloc(vm, n_bytes);
}

/* ---- lists ---- */

tri_jinja_list *tri_jinja_list_new(tri_jinja_vm *vm, size_t n) {
    tri_jinja_list *list = TRI_JINJA_NEW(vm, tri_jinja_list);
    if (!list) return NULL;
    list->items = n ? tri_jinja_array(vm, n, sizeof *list->items) : NULL;
    list->n = n;
    if (n && !list->items) return NULL;
    for (size_t i = 0; i < n; i++)
        list->items[i] = tri_jinja_missing();
    return list;
}

tri_jinja_value tri_jinja_pair(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b) {
    tri_jinja_list *list = tri_jinja_list_new(vm, 2);
    if (!list) return tri_jinja_error();
    list->items[0] = a;
    list->items[1] = b;
    return tri_jinja_of_tuple(list);
}

bool tri_jinja_push(tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_value v) {
    if (items->n == items->cap) {
        size_t cap = items->cap ? items->cap * 2 : 8;
        tri_jinja_value *grown = tri_jinja_array(vm, cap, sizeof *grown);
        if (!grown) return false;
        if (items->n) memcpy(grown, items->items, items->n * sizeof *grown);
        items->items = grown;
        items->cap = cap;
    }
    items->items[items->n++] = v;
    return tri_jinja_step(vm, 1);
}

tri_jinja_value tri_jinja_items_list(tri_jinja_vm *vm, const tri_jinja_items *items) {
    tri_jinja_list *list = TRI_JINJA_NEW(vm, tri_jinja_list);
    if (!list) return tri_jinja_error();
    list->items = items->items;
    list->n = items->n;
    return tri_jinja_of_list(list);
}

/* ---- dicts ---- */

enum { DICT_SMALL = 8 };

tri_jinja_dict *tri_jinja_dict_new(tri_jinja_vm *vm, size_t room) {
    tri_jinja_dict *d = TRI_JINJA_NEW(vm, tri_jinja_dict);
    if (!d) return NULL;
    d->cap = room;
    d->entries = room ? tri_jinja_array(vm, room, sizeof *d->entries) : NULL;
    return room && !d->entries ? NULL : d;
}

static uint32_t hash_i64(int64_t i) {
    uint64_t x = (uint64_t)i * 0x9E3779B97F4A7C15u;
    return (uint32_t)(x >> 32) | 1;
}

bool tri_jinja_hash(tri_jinja_vm *vm, tri_jinja_value v, uint32_t *hash) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_STR:
        *hash = tri_jinja_str_hash(v.as.s);
        return true;
    case TRI_JINJA_BOOL:
        *hash = hash_i64(v.as.b);
        return true;
    case TRI_JINJA_INT:
        *hash = hash_i64(v.as.i);
        return true;
    case TRI_JINJA_FLOAT:
        if (v.as.f >= -9.2e18 && v.as.f <= 9.2e18 && v.as.f == (double)(int64_t)v.as.f) {
            *hash = hash_i64((int64_t)v.as.f);
        } else {
            *hash = (uint32_t)tri_hash64(&v.as.f, sizeof v.as.f, 1) | 1;
        }
        return true;
    case TRI_JINJA_TUPLE:
        *hash = 77;
        for (size_t i = 0; i < v.as.list->n; i++) {
            uint32_t part;
            if (!tri_jinja_enter(vm)) return false;
            bool ok = tri_jinja_hash(vm, v.as.list->items[i], &part);
            tri_jinja_leave(vm);
            if (!ok) return false;
            *hash = (*hash * 31 + part) | 1;
        }
        return true;
    case TRI_JINJA_VIEW:
        *hash = hash_i64((int64_t)(intptr_t)v.as.p);
        return v.id == TRI_JINJA_VALUES;
    case TRI_JINJA_LIST:
    case TRI_JINJA_DICT:
    case TRI_JINJA_ERROR:
        return false;
    case TRI_JINJA_BIG:
        *hash = tri_jinja_str_hash(v.as.s);
        return true;
    case TRI_JINJA_NONE:
    case TRI_JINJA_UNDEFINED:
        *hash = v.kind;
        return true;
    default:
        *hash = hash_i64((int64_t)(intptr_t)v.as.p);
        return true;
    }
}

static bool index_dict(tri_jinja_vm *vm, tri_jinja_dict *d) {
    size_t n_slots = 32;
    while (n_slots < d->cap * 2)
        n_slots *= 2;
    d->slots = tri_jinja_array(vm, n_slots, sizeof *d->slots);
    if (!d->slots) return false;
    d->n_slots = n_slots;
    for (size_t i = 0; i < d->n; i++) {
        size_t at = d->entries[i].hash & (n_slots - 1);
        while (d->slots[at])
            at = (at + 1) & (n_slots - 1);
        d->slots[at] = (uint32_t)i + 1;
    }
    return true;
}

bool tri_jinja_dict_index(tri_jinja_vm *vm, tri_jinja_dict *d) {
    return d->n <= DICT_SMALL || index_dict(vm, d);
}

static bool same_key(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b) {
    if (a.kind == TRI_JINJA_STR && b.kind == TRI_JINJA_STR) return tri_jinja_str_eq(a.as.s, b.as.s);
    return tri_jinja_equal(vm, a, b);
}

const tri_jinja_entry *tri_jinja_dict_find(
    tri_jinja_vm *vm, const tri_jinja_dict *d, tri_jinja_value key, uint32_t hash) {
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++) {
            if (d->entries[i].hash == hash && same_key(vm, d->entries[i].key, key)) {
                return &d->entries[i];
            }
        }
        return NULL;
    }
    for (size_t at = hash & (d->n_slots - 1); d->slots[at]; at = (at + 1) & (d->n_slots - 1)) {
        const tri_jinja_entry *e = &d->entries[d->slots[at] - 1];
        if (e->hash == hash && same_key(vm, e->key, key)) return e;
    }
    return NULL;
}

const tri_jinja_entry *tri_jinja_dict_str(
    const tri_jinja_dict *d, const tri_jinja_str *key, uint32_t hash) {
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++) {
            const tri_jinja_entry *e = &d->entries[i];
            if (e->hash == hash && e->key.kind == TRI_JINJA_STR &&
                tri_jinja_str_eq(e->key.as.s, key))
                return e;
        }
        return NULL;
    }
    for (size_t at = hash & (d->n_slots - 1); d->slots[at]; at = (at + 1) & (d->n_slots - 1)) {
        const tri_jinja_entry *e = &d->entries[d->slots[at] - 1];
        if (e->hash == hash && e->key.kind == TRI_JINJA_STR && tri_jinja_str_eq(e->key.as.s, key))
            return e;
    }
    return NULL;
}

static bool grow_dict(tri_jinja_vm *vm, tri_jinja_dict *d) {
    size_t cap = d->cap ? d->cap * 2 : 4;
    if (cap > UINT32_MAX / 2) {
        tri_jinja_limit(vm, "a dict of %zu entries is too large", d->n);
        return false;
    }
    tri_jinja_entry *entries = tri_jinja_array(vm, cap, sizeof *entries);
    if (!entries) return false;
    if (d->n) memcpy(entries, d->entries, d->n * sizeof *entries);
    d->entries = entries;
    d->cap = cap;
    return !d->slots || index_dict(vm, d);
}

bool tri_jinja_dict_put(
    tri_jinja_vm *vm, tri_jinja_dict *d, tri_jinja_value key, tri_jinja_value value) {
    uint32_t hash;
    if (!tri_jinja_hash(vm, key, &hash)) {
        tri_jinja_fail(vm, "unhashable type: '%s'", tri_jinja_type_name(key));
        return false;
    }
    const tri_jinja_entry *old = tri_jinja_dict_find(vm, d, key, hash);
    if (vm->rc) return false;
    if (old) {
        d->entries[old - d->entries].value = value;
        return true;
    }
    if (d->n == d->cap && !grow_dict(vm, d)) return false;
    d->entries[d->n++] = (tri_jinja_entry){key, value, hash};
    if (!d->slots) return d->n <= DICT_SMALL || index_dict(vm, d);
    size_t at = hash & (d->n_slots - 1);
    while (d->slots[at])
        at = (at + 1) & (d->n_slots - 1);
    d->slots[at] = (uint32_t)d->n;
    return true;
}
