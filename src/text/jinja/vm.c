#include "text/jinja/vm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "text/jinja/ops.h"
#include "text/jinja/program.h"

static void fail_with(jj_vm *vm, tri_status status, const char *format, va_list args) {
    char message[384];
    if (vm->rc) return;
    int32_t line, column;
    vsnprintf(message, sizeof message, format, args);
    tri_jinja_place(vm->program->source, vm->at, &line, &column);
    vm->rc = TRI_FAIL(
        vm->err, status, "line %" PRId32 ", column %" PRId32 ": %s", line, column, message);
}

jj_value jj_fail(jj_vm *vm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_with(vm, TRI_E_ARGUMENT, format, args);
    va_end(args);
    return jj_error();
}

jj_value jj_limit(jj_vm *vm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_with(vm, TRI_E_LIMIT, format, args);
    va_end(args);
    return jj_error();
}

jj_value jj_lacking(jj_vm *vm, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_with(vm, TRI_E_UNSUPPORTED, format, args);
    va_end(args);
    return jj_error();
}

static const char *name_of(jj_vm *vm, jj_value name) {
    jj_out out = {0};
    jj_repr(vm, &out, name);
    jj_value text = jj_out_str(vm, &out);
    if (jj_is_error(text)) return "?";
    const char *copy = tri_arena_strndup(&vm->arena, text.as.s->ptr, text.as.s->n);
    return copy ? copy : "?";
}

jj_value jj_fail_undefined(jj_vm *vm, jj_value v) {
    const jj_undefined *u = v.as.undefined;
    switch (u->lack) {
    case JJ_LACK_NAME:
        return jj_fail(vm, "%s is undefined", name_of(vm, u->name));
    case JJ_LACK_PARAMETER:
        return jj_fail(vm, "parameter %s was not provided", name_of(vm, u->name));
    case JJ_LACK_UNSAFE:
        return jj_fail(vm, "access to attribute %s of '%s' object is unsafe.", name_of(vm, u->name),
            jj_type_name(u->object));
    case JJ_LACK_HINT:
        return jj_fail(vm, "%s", u->hint);
    case JJ_LACK_ATTRIBUTE:
        break;
    }
    if (u->name.kind != JJ_STR) {
        return jj_fail(
            vm, "%s object has no element %s", jj_type_name(u->object), name_of(vm, u->name));
    }
    return jj_fail(vm, "'%s%s' has no attribute %s", jj_type_name(u->object),
        u->object.kind == JJ_NONE ? "" : " object", name_of(vm, u->name));
}

bool jj_steps_over(jj_vm *vm) {
    jj_limit(vm, "the template took more than %" PRId64 " steps (max_steps)", vm->limits.max_steps);
    return true;
}

bool jj_too_deep(jj_vm *vm) {
    jj_limit(vm, "nested too deeply (max_depth %" PRId32 ")", vm->limits.max_depth);
    return false;
}

void *jj_alloc(jj_vm *vm, size_t n_bytes) {
    if (vm->rc) return NULL;
    void *at = tri_arena_alloc(&vm->arena, n_bytes ? n_bytes : 1);
    if (!at) {
        jj_limit(vm, "the template needs more than %zu bytes of memory (max_memory_bytes)",
            vm->limits.max_memory_bytes);
    }
    return at;
}

void *jj_array(jj_vm *vm, size_t n, size_t elem_bytes) {
    size_t n_bytes;
    if (__builtin_mul_overflow(n, elem_bytes, &n_bytes)) n_bytes = SIZE_MAX;
    return jj_alloc(vm, n_bytes);
}

/* ---- lists ---- */

jj_list *jj_list_new(jj_vm *vm, size_t n) {
    jj_list *list = JJ_NEW(vm, jj_list);
    if (!list) return NULL;
    list->items = n ? jj_array(vm, n, sizeof *list->items) : NULL;
    list->n = n;
    if (n && !list->items) return NULL;
    for (size_t i = 0; i < n; i++)
        list->items[i] = jj_missing();
    return list;
}

jj_value jj_pair(jj_vm *vm, jj_value a, jj_value b) {
    jj_list *list = jj_list_new(vm, 2);
    if (!list) return jj_error();
    list->items[0] = a;
    list->items[1] = b;
    return jj_of_tuple(list);
}

bool jj_push(jj_vm *vm, jj_items *items, jj_value v) {
    if (items->n == items->cap) {
        size_t cap = items->cap ? items->cap * 2 : 8;
        jj_value *grown = jj_array(vm, cap, sizeof *grown);
        if (!grown) return false;
        if (items->n) memcpy(grown, items->items, items->n * sizeof *grown);
        items->items = grown;
        items->cap = cap;
    }
    items->items[items->n++] = v;
    return jj_step(vm, 1);
}

jj_value jj_items_list(jj_vm *vm, const jj_items *items) {
    jj_list *list = JJ_NEW(vm, jj_list);
    if (!list) return jj_error();
    list->items = items->items;
    list->n = items->n;
    return jj_of_list(list);
}

/* ---- dicts ---- */

enum { DICT_SMALL = 8 };

jj_dict *jj_dict_new(jj_vm *vm, size_t room) {
    jj_dict *d = JJ_NEW(vm, jj_dict);
    if (!d) return NULL;
    d->cap = room;
    d->entries = room ? jj_array(vm, room, sizeof *d->entries) : NULL;
    return room && !d->entries ? NULL : d;
}

static uint32_t hash_i64(int64_t i) {
    uint64_t x = (uint64_t)i * 0x9E3779B97F4A7C15u;
    return (uint32_t)(x >> 32) | 1;
}

bool jj_hash(jj_vm *vm, jj_value v, uint32_t *hash) {
    switch ((jj_kind)v.kind) {
    case JJ_STR:
        *hash = jj_str_hash(v.as.s);
        return true;
    case JJ_BOOL:
        *hash = hash_i64(v.as.b);
        return true;
    case JJ_INT:
        *hash = hash_i64(v.as.i);
        return true;
    case JJ_FLOAT:
        if (v.as.f >= -9.2e18 && v.as.f <= 9.2e18 && v.as.f == (double)(int64_t)v.as.f) {
            *hash = hash_i64((int64_t)v.as.f);
        } else {
            *hash = (uint32_t)tri_hash64(&v.as.f, sizeof v.as.f, 1) | 1;
        }
        return true;
    case JJ_TUPLE:
        *hash = 77;
        for (size_t i = 0; i < v.as.list->n; i++) {
            uint32_t part;
            if (!jj_enter(vm)) return false;
            bool ok = jj_hash(vm, v.as.list->items[i], &part);
            jj_leave(vm);
            if (!ok) return false;
            *hash = (*hash * 31 + part) | 1;
        }
        return true;
    case JJ_VIEW:
        *hash = hash_i64((int64_t)(intptr_t)v.as.p);
        return v.id == JJ_VALUES;
    case JJ_LIST:
    case JJ_DICT:
    case JJ_ERROR:
        return false;
    case JJ_BIG:
        *hash = jj_str_hash(v.as.s);
        return true;
    case JJ_NONE:
    case JJ_UNDEFINED:
        *hash = v.kind;
        return true;
    default:
        *hash = hash_i64((int64_t)(intptr_t)v.as.p);
        return true;
    }
}

static bool index_dict(jj_vm *vm, jj_dict *d) {
    size_t n_slots = 32;
    while (n_slots < d->cap * 2)
        n_slots *= 2;
    d->slots = jj_array(vm, n_slots, sizeof *d->slots);
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

bool jj_dict_index(jj_vm *vm, jj_dict *d) {
    return d->n <= DICT_SMALL || index_dict(vm, d);
}

static bool same_key(jj_vm *vm, jj_value a, jj_value b) {
    if (a.kind == JJ_STR && b.kind == JJ_STR) return jj_str_eq(a.as.s, b.as.s);
    return jj_equal(vm, a, b);
}

const jj_entry *jj_dict_find(jj_vm *vm, const jj_dict *d, jj_value key, uint32_t hash) {
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++) {
            if (d->entries[i].hash == hash && same_key(vm, d->entries[i].key, key)) {
                return &d->entries[i];
            }
        }
        return NULL;
    }
    for (size_t at = hash & (d->n_slots - 1); d->slots[at]; at = (at + 1) & (d->n_slots - 1)) {
        const jj_entry *e = &d->entries[d->slots[at] - 1];
        if (e->hash == hash && same_key(vm, e->key, key)) return e;
    }
    return NULL;
}

const jj_entry *jj_dict_str(const jj_dict *d, const jj_str *key, uint32_t hash) {
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++) {
            const jj_entry *e = &d->entries[i];
            if (e->hash == hash && e->key.kind == JJ_STR && jj_str_eq(e->key.as.s, key)) return e;
        }
        return NULL;
    }
    for (size_t at = hash & (d->n_slots - 1); d->slots[at]; at = (at + 1) & (d->n_slots - 1)) {
        const jj_entry *e = &d->entries[d->slots[at] - 1];
        if (e->hash == hash && e->key.kind == JJ_STR && jj_str_eq(e->key.as.s, key)) return e;
    }
    return NULL;
}

static bool grow_dict(jj_vm *vm, jj_dict *d) {
    size_t cap = d->cap ? d->cap * 2 : 4;
    if (cap > UINT32_MAX / 2) {
        jj_limit(vm, "a dict of %zu entries is too large", d->n);
        return false;
    }
    jj_entry *entries = jj_array(vm, cap, sizeof *entries);
    if (!entries) return false;
    if (d->n) memcpy(entries, d->entries, d->n * sizeof *entries);
    d->entries = entries;
    d->cap = cap;
    return !d->slots || index_dict(vm, d);
}

bool jj_dict_put(jj_vm *vm, jj_dict *d, jj_value key, jj_value value) {
    uint32_t hash;
    if (!jj_hash(vm, key, &hash)) {
        jj_fail(vm, "unhashable type: '%s'", jj_type_name(key));
        return false;
    }
    const jj_entry *old = jj_dict_find(vm, d, key, hash);
    if (vm->rc) return false;
    if (old) {
        d->entries[old - d->entries].value = value;
        return true;
    }
    if (d->n == d->cap && !grow_dict(vm, d)) return false;
    d->entries[d->n++] = (jj_entry){key, value, hash};
    if (!d->slots) return d->n <= DICT_SMALL || index_dict(vm, d);
    size_t at = hash & (d->n_slots - 1);
    while (d->slots[at])
        at = (at + 1) & (d->n_slots - 1);
    d->slots[at] = (uint32_t)d->n;
    return true;
}
