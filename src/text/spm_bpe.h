/* spm_bpe.h - SentencePiece's BPE: of all neighbours whose concatenation is a piece, those whose
 * piece scores best are joined first, the leftmost of equals.
 *
 * There is no list of merges, so symbols are found as nodes of a trie.  The text is a whole
 * sentence; it is cut, without changing the outcome, wherever no piece holds the two characters
 * there side by side.  Longer stretches go by windows, of which only what no continuation can
 * change is kept: time is linear in the text and scratch does not grow with it, but for
 * vocabularies made to defeat that, which get wider windows. */
#ifndef TRI_TEXT_SPM_BPE_H
#define TRI_TEXT_SPM_BPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "text/trie.h"

typedef struct tri_spm_bpe_desc {
    const tri_str *pieces; /* [n] by id, borrowed while the model is created */
    const float *scores;   /* [n] */
    const uint8_t *types;  /* [n] tri_piece_type (unigram.h) */
    int32_t n;
    int32_t unk_id; /* -1: none; what has no piece is then left out */
    bool byte_fallback;
    bool characters;        /* model type CHAR: nothing is joined */
    int32_t window_symbols; /* how long a stretch is joined at once; 0: the default, 512 */
} tri_spm_bpe_desc;

typedef struct tri_spm_bpe tri_spm_bpe; /* in the arena; immutable: shared by threads */

tri_status tri_spm_bpe_create(
    tri_spm_bpe **bpe, const tri_spm_bpe_desc *desc, tri_arena *arena, tri_error *err);

/* Of the pieces that text can become; -1: none. */
int32_t tri_spm_bpe_find(const tri_spm_bpe *bpe, tri_str piece);

/* Scratch of one thread, growing to the longest stretch. */
typedef struct tri_spm_bpe_scratch {
    struct tri_spm_symbol *symbols;
    struct tri_spm_candidate *heap;
    int32_t *splits;
    size_t symbol_cap, heap_cap;
} tri_spm_bpe_scratch;

void tri_spm_bpe_scratch_deinit(tri_spm_bpe_scratch *scratch);
/* Appends the ids (int32_t) of a whole normalised text to out. */
tri_status tri_spm_bpe_encode(const tri_spm_bpe *bpe, tri_spm_bpe_scratch *scratch, tri_str text,
    tri_buf *out, tri_error *err);

#endif
