/* gguf_value.c - typed reads of GGUF metadata, and writing it out again (declared in gguf.h). */
#include <string.h>

#include "data/gguf.h"

const tri_gguf_value *tri_gguf_find(const tri_gguf *gguf, const char *key) {
    int64_t i;
    return tri_map_get(&gguf->value_index, tri_str_of(key), &i) ? &gguf->values[i] : NULL;
}

/* ---- numbers, wherever they stand (nothing in a GGUF's metadata is aligned) ---- */

static bool load_i64(tri_gguf_kind kind, const uint8_t *at, int64_t *value) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } x;
#define LOAD(member)                                                                               \
    memcpy(&x.member, at, sizeof x.member);                                                        \
    *value = (int64_t)x.member;                                                                    \
    return true
    switch (kind) {
    case TRI_GGUF_U8:
    case TRI_GGUF_BOOL:
        LOAD(u8);
    case TRI_GGUF_I8:
        LOAD(i8);
    case TRI_GGUF_U16:
        LOAD(u16);
    case TRI_GGUF_I16:
        LOAD(i16);
    case TRI_GGUF_U32:
        LOAD(u32);
    case TRI_GGUF_I32:
        LOAD(i32);
    case TRI_GGUF_I64:
        LOAD(i64);
    case TRI_GGUF_U64:
        memcpy(&x.u64, at, sizeof x.u64);
        if (x.u64 > INT64_MAX) return false;
        *value = (int64_t)x.u64;
        return true;
    default:
        return false;
    }
#undef LOAD
}

static bool load_f64(tri_gguf_kind kind, const uint8_t *at, double *value) {
    float f;
    int64_t i;
    if (kind == TRI_GGUF_F64) {
        memcpy(value, at, sizeof *value);
        return true;
    }
    if (kind == TRI_GGUF_F32) {
        memcpy(&f, at, sizeof f);
        *value = (double)f;
        return true;
    }
    if (!load_i64(kind, at, &i)) return false;
    *value = (double)i;
    return true;
}

/* ---- scalars ---- */

static tri_status wrong_kind(const char *key, const char *wanted, tri_error *err) {
    return TRI_FAIL(err, TRI_E_FORMAT, "%s is not %s", key, wanted);
}

tri_status tri_gguf_read_i64(const tri_gguf *gguf, const char *key, int64_t min, int64_t max,
    int64_t *value, tri_error *err) {
    const tri_gguf_value *v = tri_gguf_find(gguf, key);
    int64_t x;
    if (!v) return TRI_OK;
    if (v->kind == TRI_GGUF_BOOL || !load_i64(v->kind, v->data, &x))
        return wrong_kind(key, "an integer below 2^63", err);
    if (x < min || x > max) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s is %" PRId64 ", it must be from %" PRId64 " to %" PRId64, key, x, min, max);
    }
    *value = x;
    return TRI_OK;
}

tri_status tri_gguf_read_f64(const tri_gguf *gguf, const char *key, double *value, tri_error *err) {
    const tri_gguf_value *v = tri_gguf_find(gguf, key);
    if (!v) return TRI_OK;
    if (v->kind == TRI_GGUF_BOOL || !load_f64(v->kind, v->data, value))
        return wrong_kind(key, "a number", err);
    return TRI_OK;
}

tri_status tri_gguf_read_bool(const tri_gguf *gguf, const char *key, bool *value, tri_error *err) {
    const tri_gguf_value *v = tri_gguf_find(gguf, key);
    if (!v) return TRI_OK;
    if (v->kind != TRI_GGUF_BOOL) return wrong_kind(key, "a boolean", err);
    *value = v->data[0] != 0;
    return TRI_OK;
}

tri_status tri_gguf_read_str(
    const tri_gguf *gguf, const char *key, tri_str *value, tri_error *err) {
    const tri_gguf_value *v = tri_gguf_find(gguf, key);
    if (!v) return TRI_OK;
    if (v->kind != TRI_GGUF_STRING) return wrong_kind(key, "a string", err);
    *value = v->string;
    return TRI_OK;
}

/* ---- arrays ---- */

static const uint8_t *element(const tri_gguf_value *array, int64_t i) {
    static const uint8_t n_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}; /* by kind */
    if (array->kind != TRI_GGUF_ARRAY || i < 0 || i >= array->n) return NULL;
    return array->data + i * n_bytes[array->element];
}

int64_t tri_gguf_array_i64(const tri_gguf_value *array, int64_t i) {
    const uint8_t *at = element(array, i);
    int64_t value = 0;
    return at && load_i64(array->element, at, &value) ? value : 0;
}

double tri_gguf_array_f64(const tri_gguf_value *array, int64_t i) {
    const uint8_t *at = element(array, i);
    double value = 0.0;
    return at && load_f64(array->element, at, &value) ? value : 0.0;
}

/* ---- writing ---- */

tri_status tri_gguf_write_metadata(const tri_gguf *gguf, const char *path, tri_error *err) {
    if (!gguf->map.data) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%s: its metadata comes from no open file", path);
    }
    uint8_t header[24] = "GGUF"; /* magic, version, no tensors, number of keys */
    uint64_t n_values = (uint64_t)gguf->n_values;
    memcpy(header + 4, &gguf->version, sizeof gguf->version);
    memcpy(header + 16, &n_values, sizeof n_values);
    tri_file_writer w;
    TRI_TRY(tri_file_writer_open(&w, path, err));
    tri_status rc = tri_file_writer_write(&w, header, sizeof header, err);
    if (!rc) {
        rc = tri_file_writer_write(
            &w, gguf->map.data + gguf->metadata_offset, (size_t)gguf->metadata_bytes, err);
    }
    if (rc) {
        tri_file_writer_abandon(&w);
        return rc;
    }
    return tri_file_writer_commit(&w, err);
}
