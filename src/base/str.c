/* str.c - views of text: comparing, reading numbers, suggesting (declared in buf.h). */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

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

/* Up to 15 digits and their power of ten are exact doubles, so that one division rounds once and
 * right (Clinger 1990).  False: not of that kind. */
static bool short_to_f64(tri_str a, double *value) {
    static const double powers[] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (a.len > 16) return false; /* a sign or a point and 15 digits */
    bool negative = a.ptr[0] == '-';
    int64_t digits = 0;
    int32_t n_digits = 0, n_after_point = -1;
    for (size_t i = a.ptr[0] == '-' || a.ptr[0] == '+'; i < a.len; i++) {
        if (a.ptr[i] == '.') {
            n_after_point = 0;
        } else if (is_digit(a.ptr[i])) {
            digits = digits * 10 + (a.ptr[i] - '0');
            n_digits++;
            if (n_after_point >= 0) n_after_point++;
        } else {
            return false;
        }
    }
    if (n_digits > 15) return false;
    double x = (double)digits / powers[n_after_point > 0 ? n_after_point : 0];
    *value = negative ? -x : x;
    return true;
}

bool tri_str_to_f64(tri_str a, double *value) {
    char small[64], *text = small;
    if (!is_decimal(a)) return false;
    if (short_to_f64(a, value)) return true;
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
