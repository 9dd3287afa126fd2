#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "text/unicode_tables.h"

/* ---- UTF-8 ---- */

size_t tri_utf8_decode(const char *text, size_t n, uint32_t *code) {
    const unsigned char *p = (const unsigned char *)text;
    uint32_t first = p[0];
    *code = first;
    if (first < 0x80) return 1;

    *code = TRI_UTF8_INVALID;
    if (first < 0xC2 || first > 0xF4) return 1;
    size_t length = tri_utf8_length(p[0]);
    /* The second byte's range rules out overlong forms, surrogates and codes past U+10FFFF. */
    uint32_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint32_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    uint32_t c = first & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= n || p[i] < low || p[i] > high) return i;
        c = c << 6 | (p[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code = c;
    return length;
}

size_t tri_utf8_encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(marks[n] | code);
    return n;
}

void tri_utf8_append(tri_buf *out, uint32_t code) {
    char bytes[4];
    tri_buf_append(out, bytes, tri_utf8_encode(code, bytes));
}

size_t tri_utf8_valid_prefix(tri_str text) {
    size_t i = 0;
    while (i < text.len) {
        if ((unsigned char)text.ptr[i] < 0x80) {
            for (uint64_t word; i + 8 <= text.len; i += 8) {
                memcpy(&word, text.ptr + i, 8);
                if (word & 0x8080808080808080u) break;
            }
            while (i < text.len && (unsigned char)text.ptr[i] < 0x80)
                i++;
            continue;
        }
        uint32_t code;
        size_t n = tri_utf8_decode(text.ptr + i, text.len - i, &code);
        if (code == TRI_UTF8_INVALID) break;
        i += n;
    }
    return i;
}

bool tri_utf8_valid(tri_str text) {
    return tri_utf8_valid_prefix(text) == text.len;
}

void tri_utf8_sanitize(tri_buf *out, tri_str text) {
    while (text.len > 0) {
        size_t good = tri_utf8_valid_prefix(text);
        tri_buf_append(out, text.ptr, good);
        text.ptr += good;
        text.len -= good;
        if (text.len == 0) break;
        uint32_t code;
        size_t bad = tri_utf8_decode(text.ptr, text.len, &code);
        tri_buf_append(out, "\xEF\xBF\xBD", 3);
        text.ptr += bad;
        text.len -= bad;
    }
}

size_t tri_utf8_n_codes(tri_str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return n;
}

/* ---- properties ---- */

tri_category tri_unicode_category(uint32_t code) {
    return code > TRI_CODE_MAX ? TRI_CN : (tri_category)utf8proc_category((utf8proc_int32_t)code);
}

bool tri_unicode_in(uint32_t code, uint32_t categories) {
    return categories >> tri_unicode_category(code) & 1;
}

bool tri_unicode_is_space(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool tri_code_ranges_hold(const tri_code_range *ranges, int32_t n, uint32_t code) {
    int32_t low = 0, high = n; /* the first range that ends at the code or past it */
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && ranges[low].first <= code;
}

bool tri_unicode_is_word(uint32_t code) {
    if (tri_unicode_in(
            code, TRI_CATS_LETTER | TRI_CATS_MARK | 1u << TRI_ND | 1u << TRI_NL | 1u << TRI_PC))
        return true;
    return code == 0x200C || code == 0x200D ||
           tri_code_ranges_hold(tri_unicode_alphabetic, tri_n_unicode_alphabetic, code);
}

int32_t tri_unicode_script(uint32_t code) {
    if (code > TRI_CODE_MAX) return TRI_SCRIPT_UNKNOWN;
    const uint32_t *run = tri_script_runs + tri_script_index[code >> 8];
    while (run[1] >> 8 <= code)
        run++;
    return (int32_t)(*run & 0xFF);
}

/* Case, blanks, hyphens and underscores do not count. */
static bool same_name(tri_str a, const char *b) {
    size_t i = 0;
    for (;; i++, b++) {
        while (i < a.len && (a.ptr[i] == '_' || a.ptr[i] == '-' || a.ptr[i] == ' '))
            i++;
        while (*b == '_')
            b++;
        if (i >= a.len || !*b) return i >= a.len && !*b;
        unsigned x = (unsigned char)a.ptr[i], y = (unsigned char)*b;
        if (x >= 'A' && x <= 'Z') x += 32;
        if (y >= 'A' && y <= 'Z') y += 32;
        if (x != y) return false;
    }
}

int32_t tri_unicode_script_find(tri_str name) {
    for (int32_t i = 0; i < tri_n_scripts; i++)
        if (same_name(name, tri_script_names[i][0]) || same_name(name, tri_script_names[i][1]))
            return i;
    return -1;
}

const char *tri_unicode_script_name(int32_t script) {
    return script >= 0 && script < tri_n_scripts ? tri_script_names[script][0] : NULL;
}
