#include "text/wordlevel.h"

#include "text/pieces.h"

struct tri_wordlevel {
    tri_pieces table;
    int32_t unk_id;
};

tri_status tri_wordlevel_create(tri_wordlevel **wordlevel, const tri_str *pieces, int32_t n,
    int32_t unk_id, tri_arena *arena, tri_error *err) {
    tri_wordlevel *w = TRI_NEW(arena, tri_wordlevel);
    if (!w) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a WordLevel model");
    w->unk_id = unk_id;
    TRI_TRY(tri_pieces_init(&w->table, pieces, n, arena, err));
    *wordlevel = w;
    return TRI_OK;
}

int32_t tri_wordlevel_find(const tri_wordlevel *w, tri_str piece) {
    return tri_pieces_find(&w->table, piece);
}

tri_status tri_wordlevel_encode(
    const tri_wordlevel *w, tri_str word, tri_buf *out, tri_error *err) {
    int32_t id = tri_pieces_find(&w->table, word);
    if (id < 0) id = w->unk_id;
    if (id < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "the word '%.*s' is not in the vocabulary, which has no unk_token",
            (int)(word.len < 60 ? word.len : 60), word.ptr);
    }
    tri_buf_append(out, &id, sizeof id);
    return TRI_OK;
}
