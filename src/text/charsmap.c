#include "text/charsmap.h"

#include <string.h>
#include <utf8proc.h>

struct tri_charsmap {
    tri_str units;        /* 32 bits each, little-endian, not aligned */
    tri_str replacements; /* each ended by a NUL, or by the end */
};

/* ---- the double array ----
 *
 * A unit: bits 0..7 and 31 the label, 8 whether a string ends here, 9 whether the offset is in
 * steps of 256, 10..30 the offset.  Where a string ends, the unit at the offset is its value. */

static uint32_t unit_at(const tri_charsmap *m, uint32_t at) {
    const uint8_t *p = (const uint8_t *)m->units.ptr + (size_t)at * 4;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit >> 9 & 1) * 8);
}

static bool is_continuation(char c) {
    return ((uint8_t)c & 0xC0) == 0x80;
}

/* False: outside the map, or inside a character of it. */
static bool replacement_at(const tri_charsmap *m, uint32_t at, tri_str *replacement) {
    if (at >= m->replacements.len || is_continuation(m->replacements.ptr[at])) return false;
    const char *text = m->replacements.ptr + at;
    *replacement = (tri_str){text, strnlen(text, m->replacements.len - at)};
    return true;
}

/* The first, or the longest, prefix in the map: its length, 0: none. */
static size_t find_prefix(const tri_charsmap *m, tri_str text, bool first, tri_str *replacement) {
    uint32_t n_units = (uint32_t)(m->units.len / 4), at = 0;
    size_t found = 0;
    if (n_units == 0) return 0;
    at ^= offset_of(unit_at(m, 0));
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        at ^= c;
        if (c == 0 || at >= n_units) break;
        uint32_t unit = unit_at(m, at);
        if ((unit & 0x800000FFu) != c) break;
        at ^= offset_of(unit);
        if (!(unit >> 8 & 1) || at >= n_units) continue;
        if (!replacement_at(m, unit_at(m, at) & 0x7FFFFFFFu, replacement)) continue;
        found = i + 1;
        if (first) break;
    }
    return found;
}

/* ---- opening ---- */

static bool is_utf8(tri_str text) {
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text.ptr;
    for (size_t left = text.len; left > 0;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, left > 4 ? 4 : (utf8proc_ssize_t)left, &c);
        if (n <= 0) return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

tri_status tri_charsmap_open(tri_charsmap **map, tri_str bytes, tri_arena *arena, tri_error *err) {
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    if (bytes.len < 5) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "precompiled_charsmap: %zu bytes, the least is 5", bytes.len);
    }
    size_t n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (n >= bytes.len - 4 || n % 4 != 0) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "precompiled_charsmap: a trie of %zu bytes in %zu; it must be a multiple of 4 and "
            "leave room for replacements",
            n, bytes.len);
    }
    tri_charsmap m = {{bytes.ptr + 4, n}, {bytes.ptr + 4 + n, bytes.len - 4 - n}};
    if (!is_utf8(m.replacements)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "precompiled_charsmap: the replacements are not UTF-8");
    }
    tri_charsmap *made = TRI_NEW(arena, tri_charsmap);
    if (!made) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a map");
    *made = m;
    *map = made;
    return TRI_OK;
}

/* ---- walking ---- */

size_t tri_charsmap_longest(const tri_charsmap *map, tri_str text, tri_str *replacement) {
    return find_prefix(map, text, false, replacement);
}

/* By its first byte, which the text's being valid makes sure of. */
static size_t read_char(tri_str text, size_t at, utf8proc_int32_t *c) {
    size_t left = text.len - at;
    utf8proc_ssize_t n = utf8proc_iterate(
        (const utf8proc_uint8_t *)text.ptr + at, left > 4 ? 4 : (utf8proc_ssize_t)left, c);
    if (n > 0) return (size_t)n;
    *c = 0xFFFD;
    return 1;
}

static size_t cluster_end(tri_str text, size_t at) {
    utf8proc_int32_t previous, c, state = 0;
    at += read_char(text, at, &previous);
    while (at < text.len) {
        size_t n = read_char(text, at, &c);
        if (utf8proc_grapheme_break_stateful(previous, c, &state)) break;
        previous = c;
        at += n;
    }
    return at;
}

static void append_replaced(const tri_charsmap *map, tri_str text, tri_buf *out) {
    tri_str replacement;
    bool found = find_prefix(map, text, true, &replacement) > 0;
    if (!found) replacement = text;
    tri_buf_append(out, replacement.ptr, replacement.len);
}

tri_status tri_charsmap_normalize(
    const tri_charsmap *map, tri_str text, tri_buf *out, tri_error *err) {
    enum { SHORT_CLUSTER = 6 }; /* bytes: below it a cluster is looked up whole */
    tri_str replacement;
    for (size_t at = 0; at < text.len;) {
        size_t end = cluster_end(text, at);
        tri_str cluster = {text.ptr + at, end - at};
        if (cluster.len < SHORT_CLUSTER && find_prefix(map, cluster, true, &replacement) > 0) {
            tri_buf_append(out, replacement.ptr, replacement.len);
            at = end;
            continue;
        }
        while (at < end) {
            utf8proc_int32_t c;
            size_t n = read_char(text, at, &c);
            append_replaced(map, (tri_str){text.ptr + at, n}, out);
            at += n;
        }
    }
    return tri_buf_status(out, err);
}
