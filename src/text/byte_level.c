/* byte_level.c - the printable alphabet of byte-level vocabularies: the 188 bytes that print stand
 * for themselves, the other 68 for U+0100 and on, in order (Radford et al. 2019, encoder.py's
 * bytes_to_unicode). */
#include "text/pipeline.h"
#include "text/utf8.h"

const char tri_gpt2_expression[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* Bytes that do not print are 0x00-0x20 (code points 0x100-0x120), 0x7F-0xA0 (0x121-0x142) and
 * 0xAD (0x143). */
static int byte_of(uint32_t c) {
    if (c >= 0x21 && c <= 0x7E) return (int)c;
    if (c >= 0xA1 && c <= 0xFF && c != 0xAD) return (int)c;
    if (c >= 0x100 && c <= 0x120) return (int)(c - 0x100);
    if (c >= 0x121 && c <= 0x142) return (int)(c - 0x121 + 0x7F);
    return c == 0x143 ? 0xAD : -1;
}

static uint32_t character_of(uint8_t byte) {
    if (byte <= 0x20) return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143 : byte;
}

bool tri_byte_level_undo(tri_str piece, char *out, size_t *n) {
    size_t to = 0;
    for (size_t at = 0, length; at < piece.len; at += length) {
        if (piece.ptr[at] > 0x20 && piece.ptr[at] < 0x7F) {
            out[to++] = piece.ptr[at];
            length = 1;
            continue;
        }
        int byte = byte_of(tri_utf8_get(piece.ptr + at, &length));
        if (byte < 0) return false;
        out[to++] = (char)byte;
    }
    *n = to;
    return true;
}

void tri_byte_level_map(tri_str bytes, tri_buf *out) {
    for (size_t i = 0; i < bytes.len; i++)
        tri_utf8_append(out, character_of((uint8_t)bytes.ptr[i]));
}
