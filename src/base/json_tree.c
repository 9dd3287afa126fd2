/* json_tree.c - a whole text as values in an arena (declared in json.h).
 *
 * Values wait on a heap stack until their container ends, then move to the arena in one piece; so
 * the arena holds exactly the tree. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/map.h"

typedef struct entry {
    tri_json value;
    tri_str key; /* in objects */
} entry;

typedef struct builder {
    tri_arena *arena;
    entry *entries; /* children of the open containers, innermost last */
    size_t n, cap;
    size_t starts[TRI_JSON_MAX_DEPTH];          /* first child of each open container */
    tri_json_kind kinds[TRI_JSON_MAX_DEPTH];    /* what each is */
    tri_str container_keys[TRI_JSON_MAX_DEPTH]; /* the key under which each stands */
    int32_t depth;
} builder;

static tri_status no_memory(tri_error *err) {
    return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a JSON tree within the arena's limit");
}

static tri_status push(builder *b, tri_json value, tri_str key, tri_error *err) {
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        size_t limit = b->arena->limit_bytes;
        if (limit && b->n * sizeof *b->entries > limit) return no_memory(err);
        entry *entries = realloc(b->entries, cap * sizeof *entries);
        if (!entries) return no_memory(err);
        b->entries = entries;
        b->cap = cap;
    }
    b->entries[b->n++] = (entry){value, key};
    return TRI_OK;
}

static tri_status copy_text(
    builder *b, const tri_json_event *event, tri_str *text, tri_error *err) {
    char *copy;
    size_t n = event->raw.len;
    if (event->escaped) {
        copy = tri_arena_alloc_aligned(b->arena, n + 1, 1);
        if (copy) n = tri_json_unescape(event->raw, copy);
    } else {
        copy = tri_arena_strndup(b->arena, event->raw.ptr, n);
    }
    if (!copy) return no_memory(err);
    *text = (tri_str){copy, n};
    return TRI_OK;
}

/* The last of equal keys gives the value, the first of them the place, as Python's dict has it. */
static tri_status drop_duplicates(entry *children, size_t *n, tri_error *err) {
    tri_map seen = {0};
    size_t kept = 0;
    tri_status rc = tri_map_reserve(&seen, *n, err);
    for (size_t i = 0; !rc && i < *n; i++) {
        int64_t first;
        if (tri_map_get(&seen, children[i].key, &first)) {
            children[first].value = children[i].value;
            continue;
        }
        rc = tri_map_put(&seen, children[i].key, (int64_t)kept, err);
        children[kept++] = children[i];
    }
    tri_map_deinit(&seen);
    if (!rc) *n = kept;
    return rc;
}

static tri_status end_container(builder *b, tri_error *err) {
    int32_t level = --b->depth;
    size_t n = b->n - b->starts[level];
    entry *children = n ? b->entries + b->starts[level] : NULL;
    tri_json value = {.kind = b->kinds[level]};
    bool object = value.kind == TRI_JSON_OBJECT;
    if (object && n > 1) TRI_TRY(drop_duplicates(children, &n, err));
    if (n > INT32_MAX) return no_memory(err);
    value.n = (int32_t)n;
    value.items = TRI_NEW_N(b->arena, tri_json, n);
    if (object) value.keys = TRI_NEW_N(b->arena, tri_str, n);
    if (!value.items || (object && !value.keys)) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        value.items[i] = children[i].value;
        if (object) value.keys[i] = children[i].key;
    }
    b->n = b->starts[level];
    return push(b, value, b->container_keys[level], err);
}

static tri_status build(builder *b, tri_str text, tri_error *err) {
    tri_json_reader r;
    tri_json_event event;
    tri_str key = {0};
    tri_json_reader_init(&r, text);
    for (;;) {
        TRI_TRY(tri_json_next(&r, &event, err));
        tri_json value = {.kind = event.kind, .boolean = event.boolean};
        switch (event.kind) {
        case TRI_JSON_END:
            return TRI_OK;
        case TRI_JSON_KEY:
            TRI_TRY(copy_text(b, &event, &key, err));
            continue;
        case TRI_JSON_ARRAY:
        case TRI_JSON_OBJECT:
            b->starts[b->depth] = b->n;
            b->kinds[b->depth] = event.kind;
            b->container_keys[b->depth++] = key;
            break;
        case TRI_JSON_END_ARRAY:
        case TRI_JSON_END_OBJECT:
            TRI_TRY(end_container(b, err));
            break;
        case TRI_JSON_STRING:
        case TRI_JSON_NUMBER:
            TRI_TRY(copy_text(b, &event, &value.text, err));
            TRI_TRY(push(b, value, key, err));
            break;
        case TRI_JSON_NULL:
        case TRI_JSON_BOOL:
            TRI_TRY(push(b, value, key, err));
            break;
        }
        key = (tri_str){0};
    }
}

tri_status tri_json_parse(tri_str text, tri_arena *arena, const tri_json **root, tri_error *err) {
    builder b = {.arena = arena};
    tri_status rc = build(&b, text, err);
    if (rc) goto done;
    TRI_ASSERT(b.n == 1); /* the reader ends well only after one value */
    tri_json *value = TRI_NEW(arena, tri_json);
    if (!value) {
        rc = no_memory(err);
        goto done;
    }
    *value = b.entries[0].value;
    *root = value;

done:
    free(b.entries);
    return rc;
}

/* ---- reading it ---- */

const tri_json *tri_json_get(const tri_json *object, const char *key) {
    if (!tri_json_is(object, TRI_JSON_OBJECT)) return NULL;
    for (int32_t i = 0; i < object->n; i++) {
        if (tri_str_is(object->keys[i], key)) return &object->items[i];
    }
    return NULL;
}

bool tri_json_is(const tri_json *value, tri_json_kind kind) {
    return value && value->kind == kind;
}

/* The value of a key that is there and not null. */
static const tri_json *present(const tri_json *object, const char *key) {
    const tri_json *value = tri_json_get(object, key);
    return tri_json_is(value, TRI_JSON_NULL) ? NULL : value;
}

static tri_status wrong(
    const char *key, const tri_json *value, const char *wanted, tri_error *err) {
    enum { SHOWN = 60 };
    int n = value->text.len < SHOWN ? (int)value->text.len : SHOWN;
    switch (value->kind) {
    case TRI_JSON_NUMBER:
        return TRI_FAIL(
            err, TRI_E_FORMAT, "\"%s\" is %.*s, not %s", key, n, value->text.ptr, wanted);
    case TRI_JSON_STRING:
        return TRI_FAIL(
            err, TRI_E_FORMAT, "\"%s\" is \"%.*s\", not %s", key, n, value->text.ptr, wanted);
    case TRI_JSON_BOOL:
        return TRI_FAIL(err, TRI_E_FORMAT, "\"%s\" is %s, not %s", key,
            value->boolean ? "true" : "false", wanted);
    default:
        return TRI_FAIL(err, TRI_E_FORMAT, "\"%s\" is %s of %" PRId32 ", not %s", key,
            value->kind == TRI_JSON_ARRAY ? "an array" : "an object", value->n, wanted);
    }
}

tri_status tri_json_read_i64(const tri_json *object, const char *key, int64_t min, int64_t max,
    int64_t *value, tri_error *err) {
    const tri_json *v = present(object, key);
    int64_t n;
    if (!v) return TRI_OK;
    if (v->kind != TRI_JSON_NUMBER || !tri_json_number_i64(v->text, &n) || n < min || n > max) {
        char wanted[80];
        snprintf(wanted, sizeof wanted, "an integer in [%" PRId64 ", %" PRId64 "]", min, max);
        return wrong(key, v, wanted, err);
    }
    *value = n;
    return TRI_OK;
}

tri_status tri_json_read_i32(const tri_json *object, const char *key, int32_t min, int32_t max,
    int32_t *value, tri_error *err) {
    int64_t n = *value;
    TRI_TRY(tri_json_read_i64(object, key, min, max, &n, err));
    *value = (int32_t)n;
    return TRI_OK;
}

tri_status tri_json_read_f64(
    const tri_json *object, const char *key, double *value, tri_error *err) {
    const tri_json *v = present(object, key);
    if (!v) return TRI_OK;
    if (v->kind != TRI_JSON_NUMBER) return wrong(key, v, "a number", err);
    *value = tri_json_number_f64(v->text);
    return TRI_OK;
}

tri_status tri_json_read_bool(
    const tri_json *object, const char *key, bool *value, tri_error *err) {
    const tri_json *v = present(object, key);
    if (!v) return TRI_OK;
    if (v->kind != TRI_JSON_BOOL) return wrong(key, v, "true or false", err);
    *value = v->boolean;
    return TRI_OK;
}

tri_status tri_json_read_string(
    const tri_json *object, const char *key, const char **value, tri_error *err) {
    const tri_json *v = present(object, key);
    if (!v) return TRI_OK;
    if (v->kind != TRI_JSON_STRING) return wrong(key, v, "a string", err);
    *value = v->text.ptr;
    return TRI_OK;
}
