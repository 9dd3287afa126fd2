/* unigram.h - the most likely way to cut a text into pieces, each with a log probability.
 *
 * Viterbi over a trie of the pieces (Kudo 2018, arXiv:1804.10959): time linear in the text for
 * pieces of bounded length, 4 bytes of scratch a byte of text.  Two sets of rules, which differ in
 * arithmetic and in what a piece may be:
 *
 *   Hugging Face   scores in double; every piece can be matched; a run of unknown characters is one
 *                  token, looked up whole, then its bytes (byte_fallback), then unk
 *   SentencePiece  the best score so far in float; unused, control, unknown and byte pieces are
 *                  never matched; user-defined ones always win; unknown characters become bytes one
 *                  by one, or a run of them one unk */
#ifndef TRI_TEXT_UNIGRAM_H
#define TRI_TEXT_UNIGRAM_H

#include "base/arena.h"
#include "base/buf.h"

typedef enum tri_piece_type { /* SentencePiece's and GGUF's numbers */
    TRI_PIECE_NORMAL = 1,
    TRI_PIECE_UNKNOWN,
    TRI_PIECE_CONTROL,
    TRI_PIECE_USER_DEFINED,
    TRI_PIECE_UNUSED,
    TRI_PIECE_BYTE
} tri_piece_type;

typedef struct tri_unigram_desc {
    const tri_str *pieces; /* [n] by id, borrowed while the model is created */
    const double *scores;  /* [n] */
    const uint8_t *types;  /* [n] tri_piece_type; NULL: Hugging Face's rules, which have no types */
    int32_t n;
    int32_t unk_id; /* -1: none, and a text that needs it is TRI_E_ARGUMENT */
    bool byte_fallback;
} tri_unigram_desc;

typedef struct tri_unigram tri_unigram; /* in the arena; immutable: shared by threads */

tri_status tri_unigram_create(
    tri_unigram **unigram, const tri_unigram_desc *desc, tri_arena *arena, tri_error *err);

/* Of the pieces that text can become; -1: none. */
int32_t tri_unigram_find(const tri_unigram *unigram, tri_str piece);

/* Scratch of one thread, growing to the longest text. */
typedef struct tri_unigram_scratch {
    int32_t *steps;
    double *scores;
    size_t n_steps, n_scores;
} tri_unigram_scratch;

void tri_unigram_scratch_deinit(tri_unigram_scratch *scratch);
/* Appends the ids (int32_t) of one word, or of a whole text, to out. */
tri_status tri_unigram_encode(const tri_unigram *unigram, tri_unigram_scratch *scratch,
    tri_str word, tri_buf *out, tri_error *err);

#endif
