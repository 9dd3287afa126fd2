#include "data/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

enum { SAFETENSORS_HEADER_MAX_BYTES = 100000000, SAFETENSORS_KEY_BYTES = 32 };

typedef struct header_parser {
    tri_json_reader json;
    tri_arena *arena;
    tri_error *err;
    const uint8_t *bytes;
    int64_t header_bytes, data_bytes;
    tri_buf tensors; /* tri_safetensor[] */
    const tri_json *metadata;
} header_parser;

/* ---- pieces of JSON ---- */

static tri_status no_memory(header_parser *p) {
    return TRI_FAIL(
        p->err, TRI_E_MEMORY, "no memory for the header of %" PRId64 " bytes", p->header_bytes);
}

static tri_status next_of_kind(
    header_parser *p, tri_json_kind kind, const char *what, tri_json_event *event) {
    TRI_TRY(tri_json_next(&p->json, event, p->err));
    if (event->kind == kind) return TRI_OK;
    return TRI_FAIL(p->err, TRI_E_FORMAT, "%s", what);
}

/* A key or string, in the arena.  A NUL inside would make two names look the same to C. */
static tri_status take_string(header_parser *p, const tri_json_event *event, tri_str *text) {
    char *copy = tri_arena_alloc_aligned(p->arena, event->raw.len + 1, 1);
    if (!copy) return no_memory(p);
    size_t n = event->raw.len;
    if (event->escaped) {
        n = tri_json_unescape(event->raw, copy);
        copy[n] = 0;
    } else if (n) {
        memcpy(copy, event->raw.ptr, n);
    }
    if (memchr(copy, 0, n)) {
        return TRI_FAIL(p->err, TRI_E_FORMAT, "a NUL in the name \"%.100s\"", copy);
    }
    *text = (tri_str){copy, n};
    return TRI_OK;
}

/* The field names of a tensor are short: anything longer is none of them. */
static tri_str field_name(const tri_json_event *event, char room[SAFETENSORS_KEY_BYTES]) {
    if (!event->escaped) return event->raw;
    if (event->raw.len > SAFETENSORS_KEY_BYTES) return TRI_STR("");
    return (tri_str){room, tri_json_unescape(event->raw, room)};
}

/* Up to `room` non-negative integers. */
static tri_status parse_integers(
    header_parser *p, const char *name, const char *field, int64_t *values, int room, int *n) {
    tri_json_event event;
    TRI_TRY(tri_json_next(&p->json, &event, p->err));
    if (event.kind != TRI_JSON_ARRAY) {
        return TRI_FAIL(p->err, TRI_E_FORMAT, "tensor %.200s: %s is not an array", name, field);
    }
    for (*n = 0;; ++*n) {
        TRI_TRY(tri_json_next(&p->json, &event, p->err));
        if (event.kind == TRI_JSON_END_ARRAY) return TRI_OK;
        if (*n == room) {
            return TRI_FAIL(p->err, TRI_E_LIMIT, "tensor %.200s: %s has more than %d entries", name,
                field, room);
        }
        int64_t value;
        if (event.kind != TRI_JSON_NUMBER || !tri_str_to_i64(event.raw, &value) || value < 0) {
            return TRI_FAIL(p->err, TRI_E_FORMAT,
                "tensor %.200s: entry %d of %s is not an integer from 0 to 2^63 - 1", name, *n,
                field);
        }
        values[*n] = value;
    }
}

/* ---- one tensor ---- */

static const char *const unsupported_dtypes[] = {
    "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};

static tri_status parse_dtype(header_parser *p, const char *name, tri_dtype *dtype) {
    tri_json_event event;
    tri_str text;
    TRI_TRY(tri_json_next(&p->json, &event, p->err));
    if (event.kind != TRI_JSON_STRING) {
        return TRI_FAIL(p->err, TRI_E_FORMAT, "tensor %.200s: dtype is not a string", name);
    }
    TRI_TRY(take_string(p, &event, &text));
    if (tri_dtype_from_safetensors(text, dtype)) return TRI_OK;
    for (size_t i = 0; i < sizeof unsupported_dtypes / sizeof *unsupported_dtypes; i++) {
        if (!tri_str_is(text, unsupported_dtypes[i])) continue;
        return TRI_FAIL(p->err, TRI_E_UNSUPPORTED,
            "tensor %.200s has dtype %s, which is not read here; store it as U8, F8_E4M3 or BF16",
            name, text.ptr);
    }
    return TRI_FAIL(
        p->err, TRI_E_FORMAT, "tensor %.200s has the unknown dtype \"%.40s\"", name, text.ptr);
}

/* Bytes that dtype and dims ask for, checked against the offsets. */
static tri_status check_size(
    header_parser *p, const tri_safetensor *t, int64_t start, int64_t end) {
    int64_t n_bytes = tri_dtype_get(t->dtype)->block_bytes;
    for (int32_t i = 0; i < t->n_dims; i++) {
        if (__builtin_mul_overflow(n_bytes, t->dims[i], &n_bytes)) {
            return TRI_FAIL(
                p->err, TRI_E_FORMAT, "tensor %.200s: its shape overflows 2^63 bytes", t->name);
        }
    }
    if (end >= start && end > p->data_bytes) {
        return TRI_FAIL(p->err, TRI_E_FORMAT,
            "truncated: tensor %.200s ends at byte %" PRId64 " of the data, and %" PRId64
            " are there; copy or make the file again",
            t->name, end, p->data_bytes);
    }
    if (end < start) {
        return TRI_FAIL(p->err, TRI_E_FORMAT,
            "tensor %.200s: data_offsets [%" PRId64 ", %" PRId64 "] run backwards", t->name, start,
            end);
    }
    if (n_bytes != end - start) {
        return TRI_FAIL(p->err, TRI_E_FORMAT,
            "tensor %.200s: shape and dtype ask for %" PRId64 " bytes, data_offsets give %" PRId64,
            t->name, n_bytes, end - start);
    }
    return TRI_OK;
}

static tri_status parse_tensor(header_parser *p, const char *name) {
    tri_safetensor t = {.name = name};
    int64_t offsets[2];
    bool seen[3] = {false};
    tri_json_event event;
    TRI_TRY(tri_json_next(&p->json, &event, p->err));
    if (event.kind != TRI_JSON_OBJECT) {
        return TRI_FAIL(p->err, TRI_E_FORMAT, "tensor %.200s: not an object", name);
    }
    for (;;) {
        TRI_TRY(tri_json_next(&p->json, &event, p->err));
        if (event.kind == TRI_JSON_END_OBJECT) break;
        char room[SAFETENSORS_KEY_BYTES];
        tri_str key = field_name(&event, room);
        int n = 0, field;
        if (tri_str_is(key, "dtype")) {
            field = 0;
            TRI_TRY(parse_dtype(p, name, &t.dtype));
        } else if (tri_str_is(key, "shape")) {
            field = 1;
            TRI_TRY(parse_integers(
                p, name, "shape", t.dims, (int)(sizeof t.dims / sizeof *t.dims), &n));
            t.n_dims = n;
        } else if (tri_str_is(key, "data_offsets")) {
            field = 2;
            TRI_TRY(parse_integers(p, name, "data_offsets", offsets, 2, &n));
            if (n != 2) {
                return TRI_FAIL(p->err, TRI_E_FORMAT,
                    "tensor %.200s: data_offsets has %d entries, not 2", name, n);
            }
        } else {
            TRI_TRY(tri_json_skip(&p->json, p->err));
            continue;
        }
        if (seen[field]) {
            return TRI_FAIL(
                p->err, TRI_E_FORMAT, "tensor %.200s: %.*s twice", name, (int)key.len, key.ptr);
        }
        seen[field] = true;
    }
    if (!seen[0] || !seen[1] || !seen[2]) {
        return TRI_FAIL(p->err, TRI_E_FORMAT, "tensor %.200s has no %s", name,
            !seen[0]   ? "dtype"
            : !seen[1] ? "shape"
                       : "data_offsets");
    }
    TRI_TRY(check_size(p, &t, offsets[0], offsets[1]));
    t.n_bytes = offsets[1] - offsets[0];
    t.offset_bytes = p->header_bytes + offsets[0];
    t.data = p->bytes + t.offset_bytes;
    tri_buf_append(&p->tensors, &t, sizeof t);
    return tri_buf_status(&p->tensors, p->err);
}

/* ---- "__metadata__" ---- */

static tri_status parse_metadata(header_parser *p) {
    tri_json_event event;
    tri_buf keys = {0}, items = {0};
    tri_json *object = TRI_NEW(p->arena, tri_json);
    tri_status rc = object ? TRI_OK : no_memory(p);
    if (!rc) rc = next_of_kind(p, TRI_JSON_OBJECT, "__metadata__ is not an object", &event);
    while (!rc) {
        rc = tri_json_next(&p->json, &event, p->err);
        if (rc || event.kind == TRI_JSON_END_OBJECT) break;
        tri_str key, value;
        rc = take_string(p, &event, &key);
        if (!rc) rc = next_of_kind(p, TRI_JSON_STRING, "a __metadata__ value is no string", &event);
        if (!rc) rc = take_string(p, &event, &value);
        if (rc) break;
        tri_buf_append(&keys, &key, sizeof key);
        tri_buf_append(
            &items, &(tri_json){.kind = TRI_JSON_STRING, .text = value}, sizeof(tri_json));
        rc = tri_buf_status(&keys, p->err);
        if (!rc) rc = tri_buf_status(&items, p->err);
    }
    if (!rc) {
        object->kind = TRI_JSON_OBJECT;
        object->n = (int32_t)(keys.len / sizeof(tri_str));
        object->keys = TRI_NEW_N(p->arena, tri_str, object->n + 1);
        object->items = TRI_NEW_N(p->arena, tri_json, object->n + 1);
        if (!object->keys || !object->items) rc = no_memory(p);
    }
    if (!rc && object->n) {
        memcpy(object->keys, keys.ptr, keys.len);
        memcpy(object->items, items.ptr, items.len);
    }
    if (!rc) p->metadata = object;
    tri_buf_deinit(&keys);
    tri_buf_deinit(&items);
    return rc;
}

/* ---- the whole header ---- */

static tri_status parse_entries(header_parser *p) {
    tri_json_event event;
    TRI_TRY(next_of_kind(p, TRI_JSON_OBJECT, "the header is not a JSON object", &event));
    for (;;) {
        TRI_TRY(tri_json_next(&p->json, &event, p->err));
        if (event.kind == TRI_JSON_END_OBJECT) break;
        tri_str key;
        TRI_TRY(take_string(p, &event, &key));
        if (!tri_str_is(key, "__metadata__")) {
            TRI_TRY(parse_tensor(p, key.ptr));
        } else if (p->metadata) {
            return TRI_FAIL(p->err, TRI_E_FORMAT, "__metadata__ twice");
        } else {
            TRI_TRY(parse_metadata(p));
        }
    }
    return next_of_kind(p, TRI_JSON_END, "text after the header's object", &event);
}

static int by_offset(const void *a, const void *b) {
    const tri_safetensor *x = a, *y = b;
    if (x->offset_bytes != y->offset_bytes) return x->offset_bytes < y->offset_bytes ? -1 : 1;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Every byte of data belongs to exactly one tensor. */
static tri_status check_contiguous(header_parser *p, const tri_safetensors *s) {
    int64_t at = s->header_bytes;
    for (int32_t i = 0; i < s->n_tensors; i++) {
        const tri_safetensor *t = &s->tensors[i];
        if (t->offset_bytes != at) {
            return TRI_FAIL(p->err, TRI_E_FORMAT,
                "tensor %.200s starts at byte %" PRId64 " of the data, %s byte %" PRId64, t->name,
                t->offset_bytes - s->header_bytes,
                t->offset_bytes > at ? "leaving a hole from" : "overlapping what reaches to",
                at - s->header_bytes);
        }
        at += t->n_bytes;
    }
    int64_t end = s->header_bytes + p->data_bytes;
    if (at == end) return TRI_OK;
    return TRI_FAIL(p->err, TRI_E_FORMAT,
        "the tensors end at byte %" PRId64 " of the file, the file has %" PRId64, at, end);
}

static tri_status build_index(header_parser *p, tri_safetensors *s) {
    TRI_TRY(tri_map_reserve(&s->index, (size_t)s->n_tensors, p->err));
    for (int32_t i = 0; i < s->n_tensors; i++) {
        tri_str name = tri_str_of(s->tensors[i].name);
        int64_t other;
        if (tri_map_get(&s->index, name, &other)) {
            return TRI_FAIL(p->err, TRI_E_FORMAT, "tensor %.200s twice", name.ptr);
        }
        TRI_TRY(tri_map_put(&s->index, name, i, p->err));
    }
    return TRI_OK;
}

static tri_status read_header_bytes(
    const uint8_t *bytes, int64_t n_bytes, int64_t *header_bytes, tri_error *err) {
    if (n_bytes < 8) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "%" PRId64 " bytes, the header's length alone needs 8", n_bytes);
    }
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | bytes[i];
    if (n > SAFETENSORS_HEADER_MAX_BYTES) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "not a safetensors file: a header of %" PRIu64 " bytes, the format's limit is %d", n,
            SAFETENSORS_HEADER_MAX_BYTES);
    }
    if ((int64_t)n > n_bytes - 8) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "truncated: a header of %" PRIu64 " bytes in a file of %" PRId64
            "; copy or make the file again",
            n, n_bytes);
    }
    if (n == 0 || bytes[8] != '{') {
        return TRI_FAIL(err, TRI_E_FORMAT, "not a safetensors file: the header must begin with {");
    }
    *header_bytes = 8 + (int64_t)n;
    return TRI_OK;
}

tri_status tri_safetensors_parse(
    tri_safetensors *s, const uint8_t *bytes, int64_t n_bytes, tri_arena *arena, tri_error *err) {
    TRI_ASSERT(n_bytes >= 0);
    tri_safetensors out = {0};
    TRI_TRY(read_header_bytes(bytes, n_bytes, &out.header_bytes, err));
    header_parser p = {.arena = arena,
        .err = err,
        .bytes = bytes,
        .header_bytes = out.header_bytes,
        .data_bytes = n_bytes - out.header_bytes};
    tri_json_reader_init(
        &p.json, (tri_str){(const char *)bytes + 8, (size_t)(out.header_bytes - 8)});

    tri_status rc = parse_entries(&p);
    if (rc) goto done;
    out.metadata = p.metadata;
    out.n_tensors = (int32_t)(p.tensors.len / sizeof(tri_safetensor));
    out.tensors = TRI_NEW_N(arena, tri_safetensor, out.n_tensors + 1);
    if (!out.tensors) {
        rc = no_memory(&p);
        goto done;
    }
    if (out.n_tensors) {
        memcpy(out.tensors, p.tensors.ptr, p.tensors.len);
        qsort(out.tensors, (size_t)out.n_tensors, sizeof *out.tensors, by_offset);
    }
    rc = check_contiguous(&p, &out);
    if (rc) goto done;
    rc = build_index(&p, &out);
    if (rc) goto done;
    *s = out;

done:
    tri_buf_deinit(&p.tensors);
    if (rc) tri_map_deinit(&out.index);
    return rc;
}

/* ---- files ---- */

tri_status tri_safetensors_open(
    tri_safetensors *s, const char *path, tri_arena *arena, tri_error *err) {
    tri_file_map map = {0};
    TRI_TRY(tri_file_map_open(&map, path, err));
    tri_status rc = tri_safetensors_parse(s, map.data, map.n_bytes, arena, err);
    if (rc) {
        tri_file_map_close(&map);
        tri_error_context(err, "safetensors %s", path);
        return rc;
    }
    s->map = map;
    return TRI_OK;
}

void tri_safetensors_close(tri_safetensors *s) {
    tri_map_deinit(&s->index);
    tri_file_map_close(&s->map);
    *s = (tri_safetensors){0};
}

const tri_safetensor *tri_safetensors_find(const tri_safetensors *s, const char *name) {
    int64_t i;
    return tri_map_get(&s->index, tri_str_of(name), &i) ? &s->tensors[i] : NULL;
}
