/* spm.h - what a SentencePiece model does to a text before its pieces and after them.
 *
 * Tables live in the loader's arena, are immutable and shared by threads; a decoder belongs to one
 * stream. */
#ifndef TRI_TEXT_SPM_H
#define TRI_TEXT_SPM_H

#include "base/buf.h"
#include "text/charsmap.h"
#include "text/trie.h"
#include "text/unigram.h"

typedef struct tri_spm_rules {     /* normalizer_spec and trainer_spec */
    bool add_dummy_prefix;         /* a space before the text */
    bool whitespace_as_suffix;     /* after it instead */
    bool remove_extra_whitespaces; /* runs of spaces are one, none at the ends */
    bool escape_whitespaces;       /* spaces become U+2581 */
} tri_spm_rules;

/* ---- normalisation, of a whole text ---- */

typedef struct tri_spm_normalizer {
    tri_spm_rules rules;
    const tri_charsmap *charsmap; /* NULL: nothing is replaced */
    tri_trie user_defined;        /* pieces that are left as they are; no units: none */
} tri_spm_normalizer;

/* The user-defined ones of n pieces. */
tri_status tri_spm_user_defined(tri_trie *trie, const tri_str *pieces, const uint8_t *types,
    int32_t n, tri_arena *arena, tri_error *err);
/* Appends to out.  Every ill-formed byte becomes U+FFFD. */
tri_status tri_spm_normalize(
    const tri_spm_normalizer *normalizer, tri_str text, tri_buf *out, tri_error *err);

/* ---- decoding ---- */

typedef struct tri_spm_decoding {
    tri_spm_rules rules;
    int32_t n_pieces;
    const tri_str *pieces;
    const uint8_t *types; /* [n_pieces] tri_piece_type */
    tri_str unk_surface;  /* what an unknown piece is in text: " U+2047 " unless the file says */
    bool literal; /* unknown, control and user-defined pieces are text as they stand: GGUF's */
} tri_spm_decoding;

typedef struct tri_spm_decoder { /* zeroed: the start of a stream */
    bool any_text;               /* something has come out */
    bool space_dropped;          /* the piece before was the one that lost its dummy prefix */
    bool started;                /* no dummy prefix is looked for any more */
    uint8_t n_held;
    char held[4]; /* byte pieces that are not a character yet */
} tri_spm_decoder;

/* Appends what the next id adds: byte pieces only as whole characters, one U+FFFD for each byte
 * that cannot be part of one.  Control pieces add nothing unless they are literal; ids without a
 * piece neither. */
void tri_spm_decode(
    tri_spm_decoder *decoder, const tri_spm_decoding *decoding, int32_t id, tri_buf *out);
/* No more ids: held bytes become U+FFFD each. */
void tri_spm_decode_finish(tri_spm_decoder *decoder, tri_buf *out);

/* "<0x1F>" is 31; -1: no byte piece. */
int32_t tri_spm_byte_of(tri_str piece);

#endif
