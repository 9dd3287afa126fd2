#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include "text/unicode_tables.h"
#include "text/utf8.h"

size_t tri_jinja_put_code(uint32_t c, char *out) {
    return tri_utf8_encode(c >= 0xD800 && c < 0xE000 ? TRI_CODE_REPLACEMENT : c, out);
}

size_t tri_jinja_rstrip(const char *text, size_t n) {
    while (n > 0) {
        uint32_t c;
        size_t at = tri_utf8_before(text, n);
        tri_utf8_point(text + at, n - at, &c);
        if (!tri_jinja_is_space(c)) break;
        n = at;
    }
    return n;
}

static utf8proc_category_t category(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c);
}

bool tri_jinja_is_space(uint32_t c) {
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool tri_jinja_is_break(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool tri_jinja_is_alpha(uint32_t c) {
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool tri_jinja_is_decimal(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    return category(c) == UTF8PROC_CATEGORY_ND;
}

bool tri_jinja_is_digit(uint32_t c) {
    return tri_jinja_is_decimal(c) ||
           (c >= 0x80 && tri_code_ranges_hold(tri_unicode_digit, tri_n_unicode_digit, c));
}

bool tri_jinja_is_numeric(uint32_t c) {
    if (c < 0x80) return tri_jinja_is_decimal(c);
    utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) ||
           tri_code_ranges_hold(tri_unicode_numeral, tri_n_unicode_numeral, c);
}

bool tri_jinja_is_word(uint32_t c) {
    return c == '_' || tri_jinja_is_alpha(c) || tri_jinja_is_numeric(c);
}

bool tri_jinja_may_be_named(uint32_t c, bool first) {
    enum { START = TRI_CATS_LETTER | 1u << TRI_NL };
    enum { GOES_ON = START | 1u << TRI_MN | 1u << TRI_MC | 1u << TRI_ND | 1u << TRI_PC };
    if (c == '_') return true;
    if (first) {
        return tri_unicode_in(c, START) !=
               tri_code_ranges_hold(tri_unicode_odd_start, tri_n_unicode_odd_start, c);
    }
    return tri_unicode_in(c, GOES_ON) !=
           tri_code_ranges_hold(tri_unicode_odd_continue, tri_n_unicode_odd_continue, c);
}

bool tri_jinja_is_printable(uint32_t c) {
    if (c < 0x80) return c >= 32 && c < 127;
    utf8proc_category_t k = category(c);
    return k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS;
}

bool tri_jinja_is_lower(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z';
    return category(c) == UTF8PROC_CATEGORY_LL ||
           tri_code_ranges_hold(tri_unicode_lowercase, tri_n_unicode_lowercase, c);
}

bool tri_jinja_is_upper(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z';
    return category(c) == UTF8PROC_CATEGORY_LU ||
           tri_code_ranges_hold(tri_unicode_uppercase, tri_n_unicode_uppercase, c);
}

bool tri_jinja_is_title(uint32_t c) {
    return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_LT;
}

bool tri_jinja_is_cased(uint32_t c) {
    return tri_jinja_is_lower(c) || tri_jinja_is_upper(c) || tri_jinja_is_title(c);
}

bool tri_jinja_is_case_ignorable(uint32_t c) {
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK ||
           tri_code_ranges_hold(tri_unicode_case_ignorable, tri_n_unicode_case_ignorable, c);
}

static const uint32_t *find_mapping(const tri_code_mapping *rows, int32_t n, uint32_t c) {
    for (int32_t low = 0, high = n; low < high;) {
        int32_t middle = low + (high - low) / 2;
        if (rows[middle].from == c) return rows[middle].to;
        if (rows[middle].from < c)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int copy_multi(const uint32_t *from, uint32_t out[3]) {
    int n = 0;
    while (n < 3 && from[n]) {
        out[n] = from[n];
        n++;
    }
    return n;
}

int tri_jinja_map_case(tri_jinja_case how, uint32_t c, uint32_t out[3]) {
    const uint32_t *multi = NULL;
    utf8proc_int32_t point = (utf8proc_int32_t)c;
    if (c < 0x80) {
        bool up = how == TRI_JINJA_UPPER || how == TRI_JINJA_TITLE;
        out[0] = up && tri_jinja_is_lower(c) ? c - 32 : !up && tri_jinja_is_upper(c) ? c + 32 : c;
        return 1;
    }
    switch (how) {
    case TRI_JINJA_UPPER:
        multi = find_mapping(tri_unicode_to_upper, tri_n_unicode_to_upper, c);
        out[0] = (uint32_t)utf8proc_toupper(point);
        break;
    case TRI_JINJA_TITLE:
        multi = find_mapping(tri_unicode_to_title, tri_n_unicode_to_title, c);
        out[0] = (uint32_t)utf8proc_totitle(point);
        break;
    case TRI_JINJA_LOWER:
        out[0] = (uint32_t)utf8proc_tolower(point);
        if (c == 0x130) { /* capital i with dot, the only one that becomes two */
            out[0] = 'i';
            out[1] = 0x307;
            return 2;
        }
        break;
    case TRI_JINJA_FOLD: {
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
