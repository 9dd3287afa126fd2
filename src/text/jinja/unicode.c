#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include "text/jinja/unicode_tables.h"

size_t jj_point(const char *text, size_t n, uint32_t *c) {
    uint8_t first = (uint8_t)text[0];
    if (first < 0x80) {
        *c = first;
        return 1;
    }
    utf8proc_int32_t point;
    utf8proc_ssize_t len =
        utf8proc_iterate((const utf8proc_uint8_t *)text, n < 4 ? (utf8proc_ssize_t)n : 4, &point);
    *c = len > 0 ? (uint32_t)point : 0xFFFD;
    return len > 0 ? (size_t)len : 1;
}

size_t jj_put_point(uint32_t c, char *out) {
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

size_t jj_last_point(const char *text, size_t n) {
    size_t at = n - 1;
    while (at > 0 && n - at < 4 && ((uint8_t)text[at] & 0xC0) == 0x80)
        at--;
    return at;
}

size_t jj_rstrip(const char *text, size_t n) {
    while (n > 0) {
        uint32_t c;
        size_t at = jj_last_point(text, n);
        jj_point(text + at, n - at, &c);
        if (!jj_is_space(c)) break;
        n = at;
    }
    return n;
}

static utf8proc_category_t category(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c);
}

bool jj_is_space(uint32_t c) {
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool jj_is_break(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool jj_is_alpha(uint32_t c) {
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool jj_is_decimal(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    return category(c) == UTF8PROC_CATEGORY_ND;
}

bool jj_is_digit(uint32_t c) {
    return jj_is_decimal(c) || (c >= 0x80 && jj_in_table(JJ_DIGITS, c));
}

bool jj_is_numeric(uint32_t c) {
    if (c < 0x80) return jj_is_decimal(c);
    utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) || jj_in_table(JJ_NUMERALS, c);
}

bool jj_is_word(uint32_t c) {
    return c == '_' || jj_is_alpha(c) || jj_is_numeric(c);
}

bool jj_is_printable(uint32_t c) {
    if (c < 0x80) return c >= 32 && c < 127;
    utf8proc_category_t k = category(c);
    return k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS;
}

bool jj_is_lower(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z';
    return category(c) == UTF8PROC_CATEGORY_LL || jj_in_table(JJ_OTHER_LOWER, c);
}

bool jj_is_upper(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z';
    return category(c) == UTF8PROC_CATEGORY_LU || jj_in_table(JJ_OTHER_UPPER, c);
}

bool jj_is_title(uint32_t c) {
    return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_LT;
}

bool jj_is_cased(uint32_t c) {
    return jj_is_lower(c) || jj_is_upper(c) || jj_is_title(c);
}

bool jj_is_case_ignorable(uint32_t c) {
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK ||
           jj_in_table(JJ_CASE_IGNORABLE, c);
}

static int copy_multi(const uint32_t *from, uint32_t out[3]) {
    int n = 0;
    while (n < 3 && from[n]) {
        out[n] = from[n];
        n++;
    }
    return n;
}

int jj_map_case(jj_case how, uint32_t c, uint32_t out[3]) {
    const uint32_t *multi = NULL;
    utf8proc_int32_t point = (utf8proc_int32_t)c;
    if (c < 0x80) {
        bool up = how == JJ_UPPER || how == JJ_TITLE;
        out[0] = up && jj_is_lower(c) ? c - 32 : !up && jj_is_upper(c) ? c + 32 : c;
        return 1;
    }
    switch (how) {
    case JJ_UPPER:
        multi = jj_upper_of(c);
        out[0] = (uint32_t)utf8proc_toupper(point);
        break;
    case JJ_TITLE:
        multi = jj_title_of(c);
        out[0] = (uint32_t)utf8proc_totitle(point);
        break;
    case JJ_LOWER:
        out[0] = (uint32_t)utf8proc_tolower(point);
        if (c == 0x130) { /* capital i with dot, the only one that becomes two */
            out[0] = 'i';
            out[1] = 0x307;
            return 2;
        }
        break;
    case JJ_FOLD: {
        utf8proc_int32_t folded[4];
        int boundary = UTF8PROC_BOUNDCLASS_START;
        utf8proc_ssize_t n =
            utf8proc_decompose_char(point, folded, 4, UTF8PROC_CASEFOLD, &boundary);
        if (n < 1 || n > 3) n = 1, folded[0] = point;
        for (int i = 0; i < n; i++)
            out[i] = (uint32_t)folded[i];
        return (int)n;
    }
    }
    return multi ? copy_multi(multi, out) : 1;
}
