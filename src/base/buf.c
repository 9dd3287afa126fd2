#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tri_buf_deinit(tri_buf *buf) {
    free(buf->ptr);
    *buf = (tri_buf){.limit_bytes = buf->limit_bytes};
}

void tri_buf_clear(tri_buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->ptr) buf->ptr[0] = 0;
}

char *tri_buf_extend(tri_buf *buf, size_t n) {
    size_t len, need;
    if (buf->failed) return NULL;
    if (__builtin_add_overflow(buf->len, n, &len) || __builtin_add_overflow(len, 1, &need) ||
        (buf->limit_bytes && len > buf->limit_bytes)) {
        buf->failed = true;
        return NULL;
    }
    if (need > buf->cap) {
        size_t cap = buf->cap > SIZE_MAX / 2 ? need : buf->cap * 2;
        if (cap < need) cap = need;
        if (cap < 64) cap = 64;
        char *ptr = realloc(buf->ptr, cap);
        if (!ptr) {
            buf->failed = true;
            return NULL;
        }
        buf->ptr = ptr;
        buf->cap = cap;
    }
    char *at = buf->ptr + buf->len;
    buf->len = len;
    buf->ptr[len] = 0;
    return at;
}

void tri_buf_append(tri_buf *buf, const void *bytes, size_t n) {
    char *at = tri_buf_extend(buf, n);
    if (at && n) memcpy(at, bytes, n);
}

void tri_buf_puts(tri_buf *buf, const char *text) {
    tri_buf_append(buf, text, strlen(text));
}

void tri_buf_putc(tri_buf *buf, char c) {
    char *at = tri_buf_extend(buf, 1);
    if (at) *at = c;
}

void tri_buf_printf(tri_buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) buf->failed = true;
    char *at = n < 0 ? NULL : tri_buf_extend(buf, (size_t)n);
    if (at) vsnprintf(at, (size_t)n + 1, format, again);
    va_end(again);
}

tri_status tri_buf_status(const tri_buf *buf, tri_error *err) {
    if (!buf->failed) return TRI_OK;
    if (buf->limit_bytes) {
        return TRI_FAIL(err, TRI_E_LIMIT, "text grows past its limit of %zu bytes, %zu written",
            buf->limit_bytes, buf->len);
    }
    return TRI_FAIL(err, TRI_E_MEMORY, "no memory for text past %zu bytes", buf->len);
}
