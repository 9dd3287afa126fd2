/* json.h - the one JSON reader and writer.
 *
 * Reads RFC 8259 and what Python's json writes beside it (NaN, Infinity, -Infinity, integers of any
 * size), in one pass over borrowed text; input is hostile: depth is capped, strings are checked to
 * be UTF-8, lone surrogates become U+FFFD, duplicate keys keep the last.  Errors give line and
 * column.
 *
 * Two ways in: the pull parser (no memory at all, for megabytes of tokenizer) and the tree in an
 * arena (for configs). */
#ifndef TRI_BASE_JSON_H
#define TRI_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"

enum { TRI_JSON_MAX_DEPTH = 256 };

typedef enum tri_json_kind {
    TRI_JSON_NULL,
    TRI_JSON_BOOL,
    TRI_JSON_NUMBER,
    TRI_JSON_STRING,
    TRI_JSON_ARRAY,  /* as an event: its start */
    TRI_JSON_OBJECT, /* as an event: its start */
    TRI_JSON_KEY,    /* events only */
    TRI_JSON_END_ARRAY,
    TRI_JSON_END_OBJECT,
    TRI_JSON_END /* of the text */
} tri_json_kind;

/* ---- pull parser ---- */

typedef struct tri_json_reader {
    const char *text, *at, *end;
    int32_t depth;
    uint8_t stack[TRI_JSON_MAX_DEPTH]; /* '{' or '[' */
    int32_t state;
} tri_json_reader;

typedef struct tri_json_event {
    tri_json_kind kind;
    bool boolean;
    bool escaped; /* raw holds escapes: use tri_json_unescape */
    tri_str raw;  /* key or string without its quotes; number as written */
} tri_json_event;

void tri_json_reader_init(tri_json_reader *r, tri_str text);
tri_status tri_json_next(tri_json_reader *r, tri_json_event *event, tri_error *err);
/* After a key or in an array: skips one whole value. */
tri_status tri_json_skip(tri_json_reader *r, tri_error *err);
/* Writes the string's UTF-8 into out (room for raw.len bytes is always enough); returns its length.
 */
size_t tri_json_unescape(tri_str raw, char *out);
/* Integer without loss: false for fractions (3.0 is 3), for NaN and past the range. */
bool tri_json_number_i64(tri_str raw, int64_t *value);
double tri_json_number_f64(tri_str raw);

/* ---- tree ---- */

typedef struct tri_json {
    tri_json_kind kind; /* NULL, BOOL, NUMBER, STRING, ARRAY, OBJECT */
    bool boolean;
    tri_str text; /* STRING: decoded, NUL-terminated; NUMBER: as written */
    int32_t n;    /* of ARRAY, OBJECT */
    struct tri_json *items;
    tri_str *keys; /* OBJECT: n, decoded, NUL-terminated; in the order of the text */
} tri_json;

tri_status tri_json_parse(tri_str text, tri_arena *arena, const tri_json **root, tri_error *err);

/* The value of a key, or NULL (also for NULL or non-objects, so calls chain). */
const tri_json *tri_json_get(const tri_json *object, const char *key);
bool tri_json_is(const tri_json *value, tri_json_kind kind); /* false for NULL */

/* Typed reads of `key`: absent or null leaves *value (the default) alone; a wrong type or a value
 * out of [min, max] is TRI_E_FORMAT naming the key and the value. */
tri_status tri_json_read_i64(const tri_json *object, const char *key, int64_t min, int64_t max,
    int64_t *value, tri_error *err);
tri_status tri_json_read_i32(const tri_json *object, const char *key, int32_t min, int32_t max,
    int32_t *value, tri_error *err);
tri_status tri_json_read_f64(
    const tri_json *object, const char *key, double *value, tri_error *err);
tri_status tri_json_read_bool(const tri_json *object, const char *key, bool *value, tri_error *err);
tri_status tri_json_read_string(
    const tri_json *object, const char *key, const char **value, tri_error *err);

/* ---- writer ---- */

typedef struct tri_json_writer { /* commas, indentation and escapes are its own */
    tri_buf *out;
    int32_t indent; /* 0: one line; else spaces a level */
    int32_t depth;
    bool need_comma, after_key;
} tri_json_writer;

void tri_json_writer_init(tri_json_writer *w, tri_buf *out, int32_t indent);
void tri_json_begin_object(tri_json_writer *w);
void tri_json_end_object(tri_json_writer *w);
void tri_json_begin_array(tri_json_writer *w);
void tri_json_end_array(tri_json_writer *w);
void tri_json_key(tri_json_writer *w, const char *key);
void tri_json_string(tri_json_writer *w, tri_str text); /* invalid UTF-8 becomes U+FFFD */
void tri_json_i64(tri_json_writer *w, int64_t value);
void tri_json_f64(tri_json_writer *w, double value); /* shortest that reads back */
void tri_json_bool(tri_json_writer *w, bool value);
void tri_json_null(tri_json_writer *w);
void tri_json_value(tri_json_writer *w, const tri_json *value); /* a whole tree, as it was read */

#endif
