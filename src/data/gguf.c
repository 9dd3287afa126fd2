#include "data/gguf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"

enum {
    GGUF_HEADER_BYTES = 24,
    GGUF_MAX_VALUES = 1 << 20,
    GGUF_MAX_TENSORS = 1 << 20,
    GGUF_MAX_NAME_BYTES = 65535, /* the format's limit for keys */
    GGUF_MAX_DIMS = 4,
    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MAX_ALIGNMENT = 1 << 20,
    GGUF_MIN_VALUE_BYTES = 8 + 4 + 1, /* key length, kind, the smallest value */
    GGUF_MIN_TENSOR_BYTES = 8 + 4 + 4 + 8
};

/* ---- cursor: every read is checked against what is left ---- */

typedef struct cursor {
    const uint8_t *start, *at, *end;
    tri_arena *arena;
    tri_error *err;
} cursor;

static uint64_t n_left(const cursor *c) {
    return (uint64_t)(c->end - c->at);
}

static tri_status truncated(const cursor *c, const char *what) {
    return TRI_FAIL(c->err, TRI_E_FORMAT,
        "truncated: %s at byte %td does not fit in %td bytes; copy the file again", what,
        c->at - c->start, c->end - c->start);
}

static tri_status no_memory(const cursor *c, const char *what) {
    return TRI_FAIL(c->err, TRI_E_MEMORY, "no memory for %s", what);
}

static tri_status take(cursor *c, uint64_t n, const char *what, const uint8_t **bytes) {
    if (n > n_left(c)) return truncated(c, what);
    *bytes = c->at;
    c->at += n;
    return TRI_OK;
}

static tri_status take_u32(cursor *c, const char *what, uint32_t *value) {
    const uint8_t *bytes;
    TRI_TRY(take(c, sizeof *value, what, &bytes));
    memcpy(value, bytes, sizeof *value);
    return TRI_OK;
}

static tri_status take_u64(cursor *c, const char *what, uint64_t *value) {
    const uint8_t *bytes;
    TRI_TRY(take(c, sizeof *value, what, &bytes));
    memcpy(value, bytes, sizeof *value);
    return TRI_OK;
}

static tri_status take_string(cursor *c, const char *what, tri_str *text) {
    uint64_t n;
    const uint8_t *bytes;
    TRI_TRY(take_u64(c, what, &n));
    TRI_TRY(take(c, n, what, &bytes));
    *text = (tri_str){(const char *)bytes, (size_t)n};
    return TRI_OK;
}

/* A key or a tensor's name, NUL-terminated in the arena and not yet in `index`. */
static tri_status take_name(
    cursor *c, const char *what, tri_map *index, int32_t number, const char **name) {
    tri_str text;
    int64_t other;
    TRI_TRY(take_string(c, what, &text));
    if (text.len == 0 || text.len > GGUF_MAX_NAME_BYTES || memchr(text.ptr, 0, text.len)) {
        return TRI_FAIL(c->err, TRI_E_FORMAT,
            "%s %d has %zu bytes or a NUL in it; from 1 to %d without are possible", what, number,
            text.len, GGUF_MAX_NAME_BYTES);
    }
    char *copy = tri_arena_strndup(c->arena, text.ptr, text.len);
    if (!copy) return no_memory(c, what);
    text.ptr = copy;
    if (tri_map_get(index, text, &other)) {
        return TRI_FAIL(c->err, TRI_E_FORMAT, "%s %.200s twice", what, copy);
    }
    *name = copy;
    return tri_map_put(index, text, number, c->err);
}

/* ---- metadata ---- */

/* Bytes of a value of each kind; 0: not of fixed size. */
static const uint8_t kind_bytes[] = {
    [TRI_GGUF_U8] = 1,
    [TRI_GGUF_I8] = 1,
    [TRI_GGUF_U16] = 2,
    [TRI_GGUF_I16] = 2,
    [TRI_GGUF_U32] = 4,
    [TRI_GGUF_I32] = 4,
    [TRI_GGUF_F32] = 4,
    [TRI_GGUF_BOOL] = 1,
    [TRI_GGUF_STRING] = 0,
    [TRI_GGUF_ARRAY] = 0,
    [TRI_GGUF_U64] = 8,
    [TRI_GGUF_I64] = 8,
    [TRI_GGUF_F64] = 8,
};

static tri_status take_kind(cursor *c, const char *key, tri_gguf_kind *kind) {
    uint32_t number;
    TRI_TRY(take_u32(c, key, &number));
    if (number >= sizeof kind_bytes) {
        return TRI_FAIL(
            c->err, TRI_E_FORMAT, "%.200s has the unknown value type %" PRIu32, key, number);
    }
    *kind = (tri_gguf_kind)number;
    return TRI_OK;
}

static tri_status check_bools(cursor *c, const tri_gguf_value *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (v->data[i] <= 1) continue;
        return TRI_FAIL(c->err, TRI_E_FORMAT, "%.200s holds the boolean %d", v->key, v->data[i]);
    }
    return TRI_OK;
}

static tri_status take_strings(cursor *c, tri_gguf_value *v) {
    if ((uint64_t)v->n > n_left(c) / sizeof(uint64_t)) return truncated(c, v->key);
    tri_str *strings = TRI_NEW_N(c->arena, tri_str, v->n);
    if (!strings) return no_memory(c, v->key);
    for (int64_t i = 0; i < v->n; i++)
        TRI_TRY(take_string(c, v->key, &strings[i]));
    v->strings = strings;
    return TRI_OK;
}

static tri_status take_array(cursor *c, tri_gguf_value *v) {
    uint64_t n;
    TRI_TRY(take_kind(c, v->key, &v->element));
    TRI_TRY(take_u64(c, v->key, &n));
    if (v->element == TRI_GGUF_ARRAY) {
        return TRI_FAIL(
            c->err, TRI_E_UNSUPPORTED, "%.200s is an array of arrays, which is not read", v->key);
    }
    v->data = c->at;
    uint64_t smallest = v->element == TRI_GGUF_STRING ? sizeof(uint64_t) : kind_bytes[v->element];
    if (n > n_left(c) / smallest) return truncated(c, v->key);
    v->n = (int64_t)n;
    if (v->element == TRI_GGUF_STRING) return take_strings(c, v);
    c->at += n * smallest;
    return v->element == TRI_GGUF_BOOL ? check_bools(c, v, v->n) : TRI_OK;
}

static tri_status take_value(cursor *c, tri_gguf_value *v) {
    TRI_TRY(take_kind(c, v->key, &v->kind));
    v->element = v->kind;
    v->data = c->at;
    if (v->kind == TRI_GGUF_STRING) return take_string(c, v->key, &v->string);
    if (v->kind == TRI_GGUF_ARRAY) return take_array(c, v);
    TRI_TRY(take(c, kind_bytes[v->kind], v->key, &v->data));
    return v->kind == TRI_GGUF_BOOL ? check_bools(c, v, 1) : TRI_OK;
}

static tri_status take_values(cursor *c, tri_gguf *g) {
    g->values = TRI_NEW_N(c->arena, tri_gguf_value, g->n_values + 1);
    if (!g->values) return no_memory(c, "the metadata");
    TRI_TRY(tri_map_reserve(&g->value_index, (size_t)g->n_values, c->err));
    g->metadata_offset = c->at - c->start;
    for (int32_t i = 0; i < g->n_values; i++) {
        TRI_TRY(take_name(c, "key", &g->value_index, i, &g->values[i].key));
        TRI_TRY(take_value(c, &g->values[i]));
    }
    g->metadata_bytes = c->at - c->start - g->metadata_offset;
    return TRI_OK;
}

static tri_status read_alignment(const tri_gguf *g, int64_t *alignment, tri_error *err) {
    *alignment = GGUF_DEFAULT_ALIGNMENT;
    TRI_TRY(tri_gguf_read_i64(g, "general.alignment", 1, GGUF_MAX_ALIGNMENT, alignment, err));
    if ((*alignment & (*alignment - 1)) == 0) return TRI_OK;
    return TRI_FAIL(
        err, TRI_E_FORMAT, "general.alignment %" PRId64 " is not a power of two", *alignment);
}

/* ---- tensors ---- */

static const char *unread_type(uint32_t type) {
    static const struct {
        uint32_t type;
        const char *name;
    } types[] = {{9, "Q8_1"}, {15, "Q8_K"}, {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
        {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"},
        {40, "NVFP4"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type == type) return types[i].name;
    }
    return "unknown";
}

static tri_status take_dims(cursor *c, tri_gguf_tensor *t) {
    uint32_t n_dims;
    TRI_TRY(take_u32(c, t->name, &n_dims));
    if (n_dims > GGUF_MAX_DIMS) {
        return TRI_FAIL(c->err, TRI_E_FORMAT, "tensor %.200s has %" PRIu32 " dims, at most %d",
            t->name, n_dims, GGUF_MAX_DIMS);
    }
    t->n_dims = (int32_t)n_dims;
    for (int32_t i = t->n_dims - 1; i >= 0; i--) {
        uint64_t dim;
        TRI_TRY(take_u64(c, t->name, &dim));
        if (dim == 0 || dim > INT64_MAX) {
            return TRI_FAIL(
                c->err, TRI_E_FORMAT, "tensor %.200s has a dim of %" PRIu64, t->name, dim);
        }
        t->dims[i] = (int64_t)dim;
    }
    return TRI_OK;
}

static tri_status take_type(cursor *c, tri_gguf_tensor *t) {
    uint32_t type;
    TRI_TRY(take_u32(c, t->name, &type));
    if (type <= INT32_MAX && tri_dtype_from_gguf((int32_t)type, &t->dtype)) return TRI_OK;
    return TRI_FAIL(c->err, TRI_E_UNSUPPORTED,
        "tensor %.200s has type %" PRIu32 " (%s), which is not read; use a file of another "
        "quantisation, such as Q4_K_M or Q8_0",
        t->name, type, unread_type(type));
}

static tri_status count_bytes(cursor *c, tri_gguf_tensor *t) {
    int64_t row = t->n_dims ? t->dims[t->n_dims - 1] : 1;
    t->n_bytes = tri_dtype_row_bytes(t->dtype, row);
    if (t->n_bytes < 0) {
        return TRI_FAIL(c->err, TRI_E_FORMAT,
            "tensor %.200s has rows of %" PRId64 " elements, %s takes multiples of %d", t->name,
            row, tri_dtype_name(t->dtype), tri_dtype_get(t->dtype)->block_elems);
    }
    for (int32_t i = 0; i < t->n_dims - 1; i++) {
        if (__builtin_mul_overflow(t->n_bytes, t->dims[i], &t->n_bytes)) {
            return TRI_FAIL(
                c->err, TRI_E_FORMAT, "tensor %.200s: its shape overflows 2^63 bytes", t->name);
        }
    }
    return TRI_OK;
}

/* Offsets wait until the start of the data is known. */
static tri_status take_tensors(cursor *c, tri_gguf *g, uint64_t *offsets) {
    TRI_TRY(tri_map_reserve(&g->tensor_index, (size_t)g->n_tensors, c->err));
    for (int32_t i = 0; i < g->n_tensors; i++) {
        tri_gguf_tensor *t = &g->tensors[i];
        TRI_TRY(take_name(c, "tensor", &g->tensor_index, i, &t->name));
        TRI_TRY(take_dims(c, t));
        TRI_TRY(take_type(c, t));
        TRI_TRY(count_bytes(c, t));
        TRI_TRY(take_u64(c, t->name, &offsets[i]));
    }
    return TRI_OK;
}

static int by_data(const void *a, const void *b) {
    const tri_gguf_tensor *const *x = a, *const *y = b;
    return (*x)->data < (*y)->data ? -1 : (*x)->data > (*y)->data;
}

static tri_status check_overlaps(cursor *c, tri_gguf *g) {
    const tri_gguf_tensor **sorted = TRI_NEW_N(c->arena, const tri_gguf_tensor *, g->n_tensors + 1);
    if (!sorted) return no_memory(c, "the tensors");
    for (int32_t i = 0; i < g->n_tensors; i++)
        sorted[i] = &g->tensors[i];
    qsort(sorted, (size_t)g->n_tensors, sizeof *sorted, by_data);
    for (int32_t i = 1; i < g->n_tensors; i++) {
        if (sorted[i - 1]->data + sorted[i - 1]->n_bytes <= sorted[i]->data) continue;
        return TRI_FAIL(c->err, TRI_E_FORMAT, "tensors %.200s and %.200s overlap",
            sorted[i - 1]->name, sorted[i]->name);
    }
    return TRI_OK;
}

static tri_status place_tensors(
    cursor *c, tri_gguf *g, const uint64_t *offsets, uint64_t alignment) {
    uint64_t n_bytes = (uint64_t)(c->end - c->start);
    uint64_t start = (uint64_t)(c->at - c->start);
    start = (start + alignment - 1) & ~(alignment - 1); /* both far below 2^63 */
    for (int32_t i = 0; i < g->n_tensors; i++) {
        tri_gguf_tensor *t = &g->tensors[i];
        if (offsets[i] % alignment) {
            return TRI_FAIL(c->err, TRI_E_FORMAT,
                "tensor %.200s: its offset %" PRIu64 " is not a multiple of the alignment %" PRIu64,
                t->name, offsets[i], alignment);
        }
        if (start > n_bytes || offsets[i] > n_bytes - start ||
            (uint64_t)t->n_bytes > n_bytes - start - offsets[i]) {
            return TRI_FAIL(c->err, TRI_E_FORMAT,
                "truncated: tensor %.200s, %" PRId64 " bytes at %" PRIu64
                " of the data from %" PRIu64 " on, does not fit in %" PRIu64 " bytes",
                t->name, t->n_bytes, offsets[i], start, n_bytes);
        }
        t->data = c->start + start + offsets[i];
    }
    return check_overlaps(c, g);
}

/* ---- the whole ---- */

static tri_status take_version(cursor *c, uint32_t *version) {
    const uint8_t *magic;
    TRI_TRY(take(c, 4, "the header", &magic));
    if (memcmp(magic, "GGUF", 4) != 0) {
        return TRI_FAIL(c->err, TRI_E_FORMAT, "not a GGUF file: it begins with %02x %02x %02x %02x",
            magic[0], magic[1], magic[2], magic[3]);
    }
    TRI_TRY(take_u32(c, "the version", version));
    if (*version == 2 || *version == 3) return TRI_OK;
    if ((*version & 0xFFFF) == 0) {
        return TRI_FAIL(
            c->err, TRI_E_UNSUPPORTED, "big-endian; convert it with gguf's gguf_convert_endian.py");
    }
    return TRI_FAIL(c->err, TRI_E_VERSION,
        "GGUF version %" PRIu32 ", versions 2 and 3 are read; convert the model again", *version);
}

static tri_status take_count(
    cursor *c, const char *what, uint64_t smallest, uint64_t max, int32_t *count) {
    uint64_t n;
    TRI_TRY(take_u64(c, what, &n));
    if (n > n_left(c) / smallest) return truncated(c, what);
    if (n > max) {
        return TRI_FAIL(
            c->err, TRI_E_LIMIT, "%s is %" PRIu64 ", at most %" PRIu64 " are read", what, n, max);
    }
    *count = (int32_t)n;
    return TRI_OK;
}

static tri_status parse(cursor *c, tri_gguf *g) {
    int64_t alignment;
    TRI_TRY(take_version(c, &g->version));
    TRI_TRY(take_count(
        c, "the number of tensors", GGUF_MIN_TENSOR_BYTES, GGUF_MAX_TENSORS, &g->n_tensors));
    TRI_TRY(
        take_count(c, "the number of keys", GGUF_MIN_VALUE_BYTES, GGUF_MAX_VALUES, &g->n_values));
    TRI_TRY(take_values(c, g));
    TRI_TRY(read_alignment(g, &alignment, c->err));
    g->tensors = TRI_NEW_N(c->arena, tri_gguf_tensor, g->n_tensors + 1);
    uint64_t *offsets = TRI_NEW_N(c->arena, uint64_t, g->n_tensors + 1);
    if (!g->tensors || !offsets) return no_memory(c, "the tensors");
    TRI_TRY(take_tensors(c, g, offsets));
    return place_tensors(c, g, offsets, (uint64_t)alignment);
}

tri_status tri_gguf_parse(
    tri_gguf *gguf, const uint8_t *bytes, int64_t n_bytes, tri_arena *arena, tri_error *err) {
    TRI_ASSERT(n_bytes >= 0);
    tri_gguf out = {0};
    if (n_bytes < GGUF_HEADER_BYTES) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%" PRId64 " bytes, a GGUF header has %d", n_bytes,
            GGUF_HEADER_BYTES);
    }
    cursor c = {.start = bytes, .at = bytes, .end = bytes + n_bytes, .arena = arena, .err = err};
    tri_status rc = parse(&c, &out);
    if (rc) {
        tri_gguf_close(&out);
        return rc;
    }
    *gguf = out;
    return TRI_OK;
}

tri_status tri_gguf_open(tri_gguf *gguf, const char *path, tri_arena *arena, tri_error *err) {
    tri_file_map map = {0};
    TRI_TRY(tri_file_map_open(&map, path, err));
    tri_status rc = tri_gguf_parse(gguf, map.data, map.n_bytes, arena, err);
    if (rc) {
        tri_file_map_close(&map);
        tri_error_context(err, "GGUF %s", path);
        return rc;
    }
    gguf->map = map;
    return TRI_OK;
}

void tri_gguf_close(tri_gguf *gguf) {
    tri_map_deinit(&gguf->value_index);
    tri_map_deinit(&gguf->tensor_index);
    tri_file_map_close(&gguf->map);
    *gguf = (tri_gguf){0};
}

bool tri_gguf_is(const char *path) {
    char magic[4];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* of a pipe nobody may write */
    if (fd < 0) return false;
    bool is = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
    close(fd);
    return is;
}

const tri_gguf_tensor *tri_gguf_tensor_find(const tri_gguf *gguf, const char *name) {
    int64_t i;
    return tri_map_get(&gguf->tensor_index, tri_str_of(name), &i) ? &gguf->tensors[i] : NULL;
}
