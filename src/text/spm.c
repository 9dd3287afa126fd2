#include "text/spm.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const char replacement_char[] = "\xEF\xBF\xBD";
static const char escaped_space[] = "\xE2\x96\x81"; /* U+2581 */
enum { ESCAPED_SPACE_BYTES = 3 };

/* Length of the well-formed character that text starts with; 0: none. */
static size_t valid_char(tri_str text) {
    if (text.len && (uint8_t)text.ptr[0] < 0x80) return 1;
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate(
        (const utf8proc_uint8_t *)text.ptr, text.len > 4 ? 4 : (utf8proc_ssize_t)text.len, &c);
    return n > 0 ? (size_t)n : 0;
}

/* ---- normalisation ---- */

tri_status tri_spm_user_defined(tri_trie *trie, const tri_str *pieces, const uint8_t *types,
    int32_t n, tri_arena *arena, tri_error *err) {
    int32_t n_keys = 0;
    for (int32_t id = 0; id < n; id++)
        n_keys += types[id] == TRI_PIECE_USER_DEFINED && pieces[id].len > 0;
    if (n_keys == 0) return TRI_OK;
    tri_str *keys = malloc((size_t)n_keys * sizeof *keys);
    int32_t *ids = malloc((size_t)n_keys * sizeof *ids);
    tri_status rc = TRI_OK;
    if (keys && ids) {
        n_keys = 0;
        for (int32_t id = 0; id < n; id++) {
            if (types[id] != TRI_PIECE_USER_DEFINED || !pieces[id].len) continue;
            keys[n_keys] = pieces[id];
            ids[n_keys++] = id;
        }
        rc = tri_trie_build(trie, keys, ids, n_keys, arena, err);
    } else {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d user-defined pieces", n_keys);
    }
    free(keys);
    free(ids);
    return rc;
}

static tri_str rest_of(tri_str text, size_t at) {
    return (tri_str){text.ptr + at, text.len - at};
}

/* What stands at the start of text, normalised; returns how much of text that is. */
static size_t next_part(const tri_spm_normalizer *n, tri_str text, tri_str *part) {
    if (n->user_defined.n_units) {
        size_t length = tri_trie_longest(&n->user_defined, text, NULL);
        if (length) {
            *part = (tri_str){text.ptr, length};
            return length;
        }
    }
    if (n->charsmap) {
        size_t length = tri_charsmap_longest(n->charsmap, text, part);
        if (length) return length;
    }
    size_t length = valid_char(text);
    *part = length ? (tri_str){text.ptr, length} : (tri_str){replacement_char, 3};
    return length ? length : 1;
}

static void append_space(const tri_spm_normalizer *n, tri_buf *out) {
    if (n->rules.escape_whitespaces) {
        tri_buf_append(out, escaped_space, ESCAPED_SPACE_BYTES);
    } else {
        tri_buf_putc(out, ' ');
    }
}

static void append_part(const tri_spm_normalizer *n, tri_str part, tri_buf *out) {
    if (!n->rules.escape_whitespaces) {
        tri_buf_append(out, part.ptr, part.len);
        return;
    }
    size_t done = 0;
    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] != ' ') continue;
        tri_buf_append(out, part.ptr + done, i - done);
        append_space(n, out);
        done = i + 1;
    }
    tri_buf_append(out, part.ptr + done, part.len - done);
}

static size_t skip_leading_spaces(const tri_spm_normalizer *n, tri_str text) {
    tri_str part;
    for (size_t at = 0; at < text.len;) {
        size_t length = next_part(n, rest_of(text, at), &part);
        if (!tri_str_is(part, " ")) return at;
        at += length;
    }
    return text.len;
}

static void drop_trailing_spaces(const tri_spm_normalizer *n, size_t start, tri_buf *out) {
    const char *space = n->rules.escape_whitespaces ? escaped_space : " ";
    size_t length = strlen(space);
    while (out->len - start >= length && !memcmp(out->ptr + out->len - length, space, length))
        out->len -= length;
    if (out->ptr) out->ptr[out->len] = '\0';
}

tri_status tri_spm_normalize(
    const tri_spm_normalizer *n, tri_str text, tri_buf *out, tri_error *err) {
    bool squeeze = n->rules.remove_extra_whitespaces, after_space = squeeze;
    bool suffix = n->rules.whitespace_as_suffix;
    size_t at = squeeze ? skip_leading_spaces(n, text) : 0, start = out->len;
    if (at >= text.len) return TRI_OK;
    if (n->rules.add_dummy_prefix && !suffix) append_space(n, out);
    while (at < text.len) {
        tri_str part;
        at += next_part(n, rest_of(text, at), &part);
        while (after_space && part.len && part.ptr[0] == ' ')
            part = rest_of(part, 1);
        if (part.len) {
            append_part(n, part, out);
            after_space = squeeze && part.ptr[part.len - 1] == ' ';
        }
    }
    if (squeeze && !out->failed) drop_trailing_spaces(n, start, out);
    if (n->rules.add_dummy_prefix && suffix) append_space(n, out);
    return tri_buf_status(out, err);
}

/* ---- decoding ---- */

static int32_t hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int32_t tri_spm_byte_of(tri_str piece) {
    if (piece.len != 6 || memcmp(piece.ptr, "<0x", 3) != 0 || piece.ptr[5] != '>') return -1;
    int32_t high = hex_digit(piece.ptr[3]), low = hex_digit(piece.ptr[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void append_text(tri_spm_decoder *d, const char *text, size_t n, tri_buf *out) {
    if (n) d->any_text = true;
    tri_buf_append(out, text, n);
}

/* Could more bytes make a character of these?  They are no whole one.  Unicode 15, table 3-7. */
static bool may_become_char(const char *bytes, size_t n) {
    uint8_t b0 = (uint8_t)bytes[0];
    size_t length = b0 >= 0xC2 && b0 < 0xE0 ? 2 : b0 < 0xE0 ? 0 : b0 < 0xF0 ? 3 : b0 < 0xF5 ? 4 : 0;
    if (n >= length) return false;
    for (size_t i = 1; i < n; i++)
        if (((uint8_t)bytes[i] & 0xC0) != 0x80) return false;
    if (n < 2) return true;
    uint8_t b1 = (uint8_t)bytes[1];
    if (b0 == 0xE0) return b1 >= 0xA0;
    if (b0 == 0xED) return b1 <= 0x9F;
    if (b0 == 0xF0) return b1 >= 0x90;
    return b0 != 0xF4 || b1 <= 0x8F;
}

/* What of the held bytes can be told; last: all of them. */
static void flush_bytes(tri_spm_decoder *d, bool last, tri_buf *out) {
    size_t at = 0;
    while (at < d->n_held) {
        tri_str left = {d->held + at, d->n_held - at};
        size_t n = valid_char(left);
        if (n) {
            append_text(d, left.ptr, n, out);
            at += n;
        } else if (!last && may_become_char(left.ptr, left.len)) {
            break;
        } else {
            append_text(d, replacement_char, 3, out);
            at++;
        }
    }
    memmove(d->held, d->held + at, d->n_held - at);
    d->n_held = (uint8_t)(d->n_held - at);
}

static void append_piece(
    tri_spm_decoder *d, const tri_spm_decoding *g, tri_str piece, bool at_start, tri_buf *out) {
    d->space_dropped = false;
    bool drops = g->rules.add_dummy_prefix || g->rules.remove_extra_whitespaces;
    if (at_start && drops && tri_str_starts(piece, escaped_space)) {
        piece = rest_of(piece, ESCAPED_SPACE_BYTES);
        d->space_dropped = !g->rules.remove_extra_whitespaces; /* then all leading ones go */
    }
    while (piece.len) {
        const char *space = memmem(piece.ptr, piece.len, escaped_space, ESCAPED_SPACE_BYTES);
        size_t n = space ? (size_t)(space - piece.ptr) : piece.len;
        append_text(d, piece.ptr, n, out);
        if (!space) break;
        append_text(d, " ", 1, out);
        piece = rest_of(piece, n + ESCAPED_SPACE_BYTES);
    }
}

static bool is_literal(uint8_t type) {
    return type == TRI_PIECE_UNKNOWN || type == TRI_PIECE_CONTROL || type == TRI_PIECE_USER_DEFINED;
}

void tri_spm_decode(tri_spm_decoder *d, const tri_spm_decoding *g, int32_t id, tri_buf *out) {
    if (id < 0 || id >= g->n_pieces) return;
    tri_str piece = g->pieces[id];
    if (g->types[id] == TRI_PIECE_BYTE) {
        int32_t byte = tri_spm_byte_of(piece);
        if (byte < 0) return;
        d->held[d->n_held++] = (char)byte;
        flush_bytes(d, false, out);
        return;
    }
    flush_bytes(d, true, out);
    if (d->any_text || d->space_dropped) d->started = true;
    if (g->literal && is_literal(g->types[id])) {
        d->space_dropped = false;
        append_text(d, piece.ptr, piece.len, out);
    } else if (g->types[id] == TRI_PIECE_CONTROL) {
        d->space_dropped = false;
    } else if (g->types[id] == TRI_PIECE_UNKNOWN) {
        d->space_dropped = false;
        append_text(d, g->unk_surface.ptr, g->unk_surface.len, out);
    } else {
        append_piece(d, g, piece, !d->started, out);
    }
}

void tri_spm_decode_finish(tri_spm_decoder *d, tri_buf *out) {
    flush_bytes(d, true, out);
}
