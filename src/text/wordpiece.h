/* wordpiece.h - the longest piece first, again and again (Schuster and Nakajima 2012; BERT). */
#ifndef TRI_TEXT_WORDPIECE_H
#define TRI_TEXT_WORDPIECE_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct tri_wordpiece_config {
    int32_t n_pieces;
    int32_t unk_id;         /* -1: a word that cannot be made is TRI_E_ARGUMENT */
    int32_t max_word_chars; /* longer words are unknown */
    tri_str prefix;         /* of pieces inside a word: "##"; borrowed from the arena */
} tri_wordpiece_config;

typedef struct tri_wordpiece tri_wordpiece; /* in an arena, immutable */

/* pieces: by id, borrowed from the arena. */
tri_status tri_wordpiece_create(tri_wordpiece **wordpiece, const tri_wordpiece_config *config,
    const tri_str *pieces, tri_arena *arena, tri_error *err);
int32_t tri_wordpiece_find(const tri_wordpiece *wordpiece, tri_str piece); /* -1: none */
/* scratch: for a prefixed piece, kept between calls. */
tri_status tri_wordpiece_encode(
    const tri_wordpiece *wordpiece, tri_buf *scratch, tri_str word, tri_buf *out, tri_error *err);

#endif
