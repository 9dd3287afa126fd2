/* byte_level.c - the printable alphabet of byte-level vocabularies: the 188 bytes that print stand
 * for themselves, the other 68 for U+0100 and on, in order (Radford et al. 2019, encoder.py's
 * bytes_to_unicode). */
#include "text/tokenizer_inside.h"

#include <utf8proc.h>

static bool prints(int byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* The byte that code point stands for, or -1. */
static int byte_of(utf8proc_int32_t code_point) {
    if (code_point < 0x100) return prints(code_point) ? code_point : -1;
    int n = 0x100;
    if (code_point > 0x100 + 67) return -1;
    for (int byte = 0; byte < 256; byte++) {
        if (!prints(byte) && n++ == code_point) return byte;
    }
    return -1;
}

tri_status tri_byte_level_undo(tri_str piece, tri_arena *arena, tri_str *raw, tri_error *err) {
    char *out = tri_arena_alloc(arena, piece.len + 1);
    if (!out) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a piece of %zu bytes", piece.len);
    size_t n = 0;
    for (size_t at = 0; at < piece.len;) {
        utf8proc_int32_t code_point;
        utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)piece.ptr + at,
            (utf8proc_ssize_t)(piece.len - at), &code_point);
        int byte = len > 0 ? byte_of(code_point) : -1;
        size_t step = len > 0 ? (size_t)len : 1;
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            for (size_t i = 0; i < step; i++)
                out[n++] = piece.ptr[at + i];
        }
        at += step;
    }
    *raw = (tri_str){out, n};
    return TRI_OK;
}
