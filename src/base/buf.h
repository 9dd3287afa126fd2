/* buf.h - a growing byte buffer (heap), and string views.
 *
 * A failed append marks the buffer; check once at the end with tri_buf_status. */
#ifndef TRI_BASE_BUF_H
#define TRI_BASE_BUF_H

#include "base/status.h"

typedef struct tri_str { /* borrowed bytes, not NUL-terminated */
    const char *ptr;
    size_t len;
} tri_str;

#define TRI_STR(literal) ((tri_str){(literal), sizeof(literal) - 1})
tri_str tri_str_of(const char *text); /* of a C string; NULL gives an empty view */
bool tri_str_equal(tri_str a, tri_str b);
bool tri_str_is(tri_str a, const char *text);
bool tri_str_starts(tri_str a, const char *prefix);
bool tri_str_ends(tri_str a, const char *suffix);
/* Decimal only, whole view, range-checked.  False leaves *value alone. */
bool tri_str_to_i64(tri_str a, int64_t *value);
bool tri_str_to_f64(tri_str a, double *value); /* locale-independent */
/* Text from a file as people may see it: what would move the cursor, change colours or turn the
 * direction of writing is spelled out (\n, \x1b, \u202e), and so is what is not UTF-8.  Cut between
 * characters to room bytes with the NUL; returns the length. */
size_t tri_str_escape(tri_str text, char *out, size_t room);

typedef struct tri_buf {
    char *ptr; /* always NUL-terminated past len once anything was appended */
    size_t len, cap;
    size_t limit_bytes; /* 0: none */
    bool failed;
} tri_buf;

void tri_buf_deinit(tri_buf *buf);
void tri_buf_clear(tri_buf *buf); /* keeps the memory */
void tri_buf_append(tri_buf *buf, const void *bytes, size_t n);
void tri_buf_puts(tri_buf *buf, const char *text);
void tri_buf_putc(tri_buf *buf, char c);
void tri_buf_printf(tri_buf *buf, const char *format, ...) TRI_PRINTF(2, 3);
void tri_buf_put_escaped(tri_buf *buf, tri_str text); /* as tri_str_escape */
char *tri_buf_extend(tri_buf *buf, size_t n); /* room for n more, len moved; NULL on failure */
tri_status tri_buf_status(const tri_buf *buf, tri_error *err);

/* The nearest of n candidates by edit distance, or NULL when none is near: for "did you mean". */
const char *tri_nearest(const char *word, const char *const *candidates, size_t n);

#endif
