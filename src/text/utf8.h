/* utf8.h - small steps through well-formed UTF-8, for loops over every character (unicode.h has the
 * rest). */
#ifndef TRI_TEXT_UTF8_H
#define TRI_TEXT_UTF8_H

#include <string.h>

#include "text/unicode.h"

static inline uint32_t tri_utf8_get(const char *at, size_t *length) {
    uint32_t code;
    *length = tri_utf8_decode_valid(at, &code);
    return code;
}

/* tri_utf8_decode, with U+FFFD for what is ill-formed. */
static inline size_t tri_utf8_point(const char *at, size_t n, uint32_t *code) {
    if ((uint8_t)at[0] < 0x80) {
        *code = (uint8_t)at[0];
        return 1;
    }
    size_t length = tri_utf8_decode(at, n, code);
    if (*code == TRI_UTF8_INVALID) *code = TRI_CODE_REPLACEMENT;
    return length;
}

/* Where the character before `end` begins (end > 0). */
static inline size_t tri_utf8_before(const char *text, size_t end) {
    end--;
    while (end > 0 && ((uint8_t)text[end] & 0xC0) == 0x80)
        end--;
    return end;
}

/* How many bytes from `at` on are ASCII. */
static inline size_t tri_utf8_ascii(const char *at, size_t n) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint64_t w[4];
        memcpy(w, at + i, sizeof w);
        if ((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080u) break;
    }
    while (i < n && (uint8_t)at[i] < 0x80)
        i++;
    return i;
}

#endif
