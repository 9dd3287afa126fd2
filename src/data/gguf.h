/* gguf.h - reading GGUF v2 and v3 (little-endian): metadata and tensors, mapped.
 *
 * Hostile until checked: counts, lengths, nesting, alignment, offsets, n * size. */
#ifndef TRI_DATA_GGUF_H
#define TRI_DATA_GGUF_H

#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"

typedef enum tri_gguf_kind { /* GGUF's numbers */
    TRI_GGUF_U8 = 0,
    TRI_GGUF_I8,
    TRI_GGUF_U16,
    TRI_GGUF_I16,
    TRI_GGUF_U32,
    TRI_GGUF_I32,
    TRI_GGUF_F32,
    TRI_GGUF_BOOL,
    TRI_GGUF_STRING,
    TRI_GGUF_ARRAY,
    TRI_GGUF_U64,
    TRI_GGUF_I64,
    TRI_GGUF_F64
} tri_gguf_kind;

typedef struct tri_gguf_value {
    const char *key;             /* NUL-terminated, in the arena */
    tri_gguf_kind kind, element; /* element: of an array (arrays of arrays are refused) */
    int64_t n;                   /* elements of an array */
    const uint8_t *data;         /* where the value stands in the file */
    tri_str string;              /* of a STRING, borrowed */
    const tri_str *strings;      /* of an array of strings, in the arena */
} tri_gguf_value;

typedef struct tri_gguf_tensor {
    const char *name;
    tri_dtype dtype;
    int32_t n_dims;
    int64_t dims[4]; /* outermost first, as everywhere here (GGUF stores them the other way) */
    const uint8_t *data;
    int64_t n_bytes;
} tri_gguf_tensor;

typedef struct tri_gguf {
    tri_file_map map;
    uint32_t version;
    int32_t n_values, n_tensors;
    tri_gguf_value *values;
    tri_gguf_tensor *tensors;
    tri_map value_index, tensor_index;
    int64_t metadata_offset, metadata_bytes; /* the key-value section, verbatim */
} tri_gguf;

tri_status tri_gguf_open(tri_gguf *gguf, const char *path, tri_arena *arena, tri_error *err);
tri_status tri_gguf_parse(
    tri_gguf *gguf, const uint8_t *bytes, int64_t n_bytes, tri_arena *arena, tri_error *err);
void tri_gguf_close(tri_gguf *gguf);
bool tri_gguf_is(const char *path); /* starts with "GGUF" */

const tri_gguf_value *tri_gguf_find(const tri_gguf *gguf, const char *key);
const tri_gguf_tensor *tri_gguf_tensor_find(const tri_gguf *gguf, const char *name);
/* Typed reads as base/json's: absent leaves *value alone, a wrong kind or range is an error with
 * the key. */
tri_status tri_gguf_read_i64(const tri_gguf *gguf, const char *key, int64_t min, int64_t max,
    int64_t *value, tri_error *err);
tri_status tri_gguf_read_f64(const tri_gguf *gguf, const char *key, double *value, tri_error *err);
tri_status tri_gguf_read_bool(const tri_gguf *gguf, const char *key, bool *value, tri_error *err);
tri_status tri_gguf_read_str(const tri_gguf *gguf, const char *key, tri_str *value, tri_error *err);
/* Element i of a numeric array. */
int64_t tri_gguf_array_i64(const tri_gguf_value *array, int64_t i);
double tri_gguf_array_f64(const tri_gguf_value *array, int64_t i);

/* A GGUF of the same metadata and no tensors: how an engine keeps a GGUF's tokenizer, verbatim. */
tri_status tri_gguf_write_metadata(const tri_gguf *gguf, const char *path, tri_error *err);

#endif
