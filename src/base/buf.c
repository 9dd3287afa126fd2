#include "base/buf.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- views ---- */

tri_str tri_str_of(const char *text) {
    return text ? (tri_str){text, strlen(text)} : (tri_str){"", 0};
}

bool tri_str_equal(tri_str a, tri_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool tri_str_is(tri_str a, const char *text) {
    return tri_str_equal(a, tri_str_of(text));
}

bool tri_str_starts(tri_str a, const char *prefix) {
    size_t n = strlen(prefix);
    return n <= a.len && (n == 0 || memcmp(a.ptr, prefix, n) == 0);
}

bool tri_str_ends(tri_str a, const char *suffix) {
    size_t n = strlen(suffix);
    return n <= a.len && (n == 0 || memcmp(a.ptr + a.len - n, suffix, n) == 0);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool tri_str_to_i64(tri_str a, int64_t *value) {
    size_t i = 0;
    bool negative = a.len > 0 && a.ptr[0] == '-';
    if (a.len > 0 && (a.ptr[0] == '-' || a.ptr[0] == '+')) i++;
    if (i == a.len) return false;
    int64_t n = 0;
    for (; i < a.len; i++) {
        if (!is_digit(a.ptr[i])) return false;
        int64_t digit = a.ptr[i] - '0';
        if (__builtin_mul_overflow(n, (int64_t)10, &n)) return false;
        if (__builtin_add_overflow(n, negative ? -digit : digit, &n)) return false;
    }
    *value = n;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits], a digit before or after the point. */
static bool is_decimal(tri_str a) {
    size_t i = 0, n_digits = 0;
    if (i < a.len && (a.ptr[i] == '-' || a.ptr[i] == '+')) i++;
    for (; i < a.len && is_digit(a.ptr[i]); i++)
        n_digits++;
    if (i < a.len && a.ptr[i] == '.') {
        for (i++; i < a.len && is_digit(a.ptr[i]); i++)
            n_digits++;
    }
    if (n_digits == 0) return false;
    if (i == a.len) return true;
    if (a.ptr[i] != 'e' && a.ptr[i] != 'E') return false;
    i++;
    if (i < a.len && (a.ptr[i] == '-' || a.ptr[i] == '+')) i++;
    if (i == a.len) return false;
    while (i < a.len && is_digit(a.ptr[i]))
        i++;
    return i == a.len;
}

bool tri_str_to_f64(tri_str a, double *value) {
    char small[64], *text = small;
    if (!is_decimal(a)) return false;
    if (a.len >= sizeof small && !(text = malloc(a.len + 1))) return false;
    memcpy(text, a.ptr, a.len);
    text[a.len] = 0;
    /* The C library keeps the "C" locale as a constant: this allocates nothing. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double x = c_locale ? strtod_l(text, NULL, c_locale) : HUGE_VAL;
    if (c_locale) freelocale(c_locale);
    if (text != small) free(text);
    if (isinf(x)) return false;
    *value = x;
    return true;
}

/* ---- buffer ---- */

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

/* ---- nearest ---- */

enum { NEAREST_MAX_LEN = 63 };

/* Levenshtein distance by rows of its table; a swap of neighbours counts as 2. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b) {
    size_t row[NEAREST_MAX_LEN + 1];
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n_b];
}

const char *tri_nearest(const char *word, const char *const *candidates, size_t n) {
    size_t n_word = strlen(word);
    if (n_word > NEAREST_MAX_LEN) return NULL;
    const char *nearest = NULL;
    size_t least = n_word / 3 + 2; /* near: at most a third of the letters and one more differ */
    for (size_t i = 0; i < n; i++) {
        size_t n_candidate = strlen(candidates[i]);
        if (n_candidate > NEAREST_MAX_LEN) continue;
        size_t distance = edit_distance(word, n_word, candidates[i], n_candidate);
        if (distance < least && distance < n_word) {
            least = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
