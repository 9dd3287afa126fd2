/* wordlevel.h - a word is a piece or unknown. */
#ifndef TRI_TEXT_WORDLEVEL_H
#define TRI_TEXT_WORDLEVEL_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct tri_wordlevel tri_wordlevel; /* in an arena, immutable */

/* pieces: by id, borrowed from the arena; unk_id -1: an unknown word is TRI_E_ARGUMENT. */
tri_status tri_wordlevel_create(tri_wordlevel **wordlevel, const tri_str *pieces, int32_t n,
    int32_t unk_id, tri_arena *arena, tri_error *err);
int32_t tri_wordlevel_find(const tri_wordlevel *wordlevel, tri_str piece); /* -1: none */
tri_status tri_wordlevel_encode(
    const tri_wordlevel *wordlevel, tri_str word, tri_buf *out, tri_error *err);

#endif
