/* escape.c - text from files, fit to be shown (declared in buf.h). */
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/buf.h"

enum { MAX_PIECE = 12 }; /* the longest escape, \U0010ffff, and its NUL */

/* Marks that turn the direction of writing, and separators of lines: they show as nothing, and
 * move what is around them. */
static bool is_invisible(utf8proc_int32_t c) {
    return (c >= 0x200E && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

/* The first character of a text, as it is shown; *n_in: the bytes it takes there. */
static size_t next_piece(const char *at, size_t left, char piece[MAX_PIECE], size_t *n_in) {
    static const char named[] = "\n\t\r", letters[] = "ntr";
    unsigned char first = (unsigned char)*at;
    utf8proc_int32_t c = -1;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)at, left < 4 ? (utf8proc_ssize_t)left : 4, &c);
    const char *name = first ? strchr(named, first) : NULL;
    *n_in = n > 0 ? (size_t)n : 1;
    if (name) return (size_t)snprintf(piece, MAX_PIECE, "\\%c", letters[name - named]);
    if (n <= 0 || c < 0x20 || c == 0x7F)
        return (size_t)snprintf(piece, MAX_PIECE, "\\x%02x", first);
    if ((c >= 0x80 && c < 0xA0) || is_invisible(c))
        return (size_t)snprintf(piece, MAX_PIECE, "\\u%04x", (unsigned)c);
    memcpy(piece, at, *n_in);
    return *n_in;
}

size_t tri_str_escape(tri_str text, char *out, size_t room) {
    char piece[MAX_PIECE];
    size_t len = 0;
    for (size_t i = 0, n_in; i < text.len; i += n_in) {
        size_t n = next_piece(text.ptr + i, text.len - i, piece, &n_in);
        if (n >= room - len) break;
        memcpy(out + len, piece, n);
        len += n;
    }
    out[len] = 0;
    return len;
}

void tri_buf_put_escaped(tri_buf *buf, tri_str text) {
    char piece[MAX_PIECE];
    for (size_t i = 0, n_in; i < text.len; i += n_in) {
        size_t n = next_piece(text.ptr + i, text.len - i, piece, &n_in);
        tri_buf_append(buf, piece, n);
    }
}
