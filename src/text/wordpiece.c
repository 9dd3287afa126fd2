#include "text/wordpiece.h"

#include "text/pieces.h"
#include "text/utf8.h"

struct tri_wordpiece {
    tri_wordpiece_config config;
    tri_pieces table;
    size_t longest_bytes; /* of a piece */
};

tri_status tri_wordpiece_create(tri_wordpiece **wordpiece, const tri_wordpiece_config *config,
    const tri_str *pieces, tri_arena *arena, tri_error *err) {
    tri_wordpiece *w = TRI_NEW(arena, tri_wordpiece);
    if (!w) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a WordPiece model");
    w->config = *config;
    for (int32_t i = 0; i < config->n_pieces; i++) {
        if (pieces[i].len > w->longest_bytes) w->longest_bytes = pieces[i].len;
    }
    TRI_TRY(tri_pieces_init(&w->table, pieces, config->n_pieces, arena, err));
    *wordpiece = w;
    return TRI_OK;
}

int32_t tri_wordpiece_find(const tri_wordpiece *w, tri_str piece) {
    return tri_pieces_find(&w->table, piece);
}

static tri_status put_unknown(const tri_wordpiece *w, tri_str word, tri_buf *out, tri_error *err) {
    if (w->config.unk_id < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "no pieces make the word '%.*s', and the vocabulary has no unk_token",
            (int)(word.len < 60 ? word.len : 60), word.ptr);
    }
    tri_buf_append(out, &w->config.unk_id, sizeof w->config.unk_id);
    return TRI_OK;
}

static bool is_too_long(const tri_wordpiece *w, tri_str word) {
    if (word.len <= (size_t)w->config.max_word_chars) return false;
    int64_t n = 0;
    for (size_t i = 0; i < word.len; i++)
        n += ((uint8_t)word.ptr[i] & 0xC0) != 0x80;
    return n > w->config.max_word_chars;
}

tri_status tri_wordpiece_encode(
    const tri_wordpiece *w, tri_buf *scratch, tri_str word, tri_buf *out, tri_error *err) {
    size_t before = out->len, prefix = w->config.prefix.len;
    if (is_too_long(w, word)) return put_unknown(w, word, out, err);
    for (size_t from = 0; from < word.len;) {
        /* The prefix and all that could follow it, once; then shorter and shorter. */
        size_t n = word.len - from, head = from ? prefix : 0;
        if (n + head > w->longest_bytes) n = w->longest_bytes > head ? w->longest_bytes - head : 0;
        while (n > 0 && from + n < word.len && ((uint8_t)word.ptr[from + n] & 0xC0) == 0x80)
            n--;
        tri_str piece = {word.ptr + from, n};
        if (head) {
            tri_buf_clear(scratch);
            tri_buf_append(scratch, w->config.prefix.ptr, prefix);
            tri_buf_append(scratch, word.ptr + from, n);
            TRI_TRY(tri_buf_status(scratch, err));
            piece = (tri_str){scratch->ptr, head + n};
        }
        int32_t id = -1;
        while (n > 0 && (id = tri_pieces_find(&w->table, piece)) < 0) {
            size_t shorter = tri_utf8_before(word.ptr + from, n);
            piece.len -= n - shorter;
            n = shorter;
        }
        if (id < 0) {
            out->len = before;
            return put_unknown(w, word, out, err);
        }
        tri_buf_append(out, &id, sizeof id);
        from += n;
    }
    return TRI_OK;
}
