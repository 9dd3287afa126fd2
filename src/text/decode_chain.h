/* decode_chain.h - a tokenizer's decoder steps over tokens as they come, with the text that the
 * whole list of them gives.
 *
 * A step is told of each token's bytes, perhaps in several parts, and of its end, and tells the
 * next step the same way.  Steps that join all tokens into one pass parts on as they come; so text
 * leaves as soon as no later token can change it.  A run of byte tokens is text only when it has
 * ended: whether it is characters or U+FFFD hangs on all of it. */
#ifndef TRI_TEXT_DECODE_CHAIN_H
#define TRI_TEXT_DECODE_CHAIN_H

#include "text/pipeline.h"
#include "text/spm.h"

typedef struct tri_decode_stage {
    const tri_decode_step *step; /* NULL: joins tokens with spaces */
    tri_buf token;               /* the one that is coming */
    tri_buf other;               /* what the step makes of it */
    tri_buf held;                /* an earlier token, or a run of bytes */
    bool has_held;
    int64_t n_tokens;        /* so far */
    char partial[4];         /* an unfinished character */
    int32_t n_partial;       /* bytes */
    int32_t n_start, n_stop; /* Strip: characters taken off the start; held back at the end */
    tri_regex_scan *scan;
} tri_decode_stage;

typedef struct tri_decode_chain {
    const tri_tokenizer *t;
    tri_decode_stage stages[TRI_MAX_STEPS];
    int32_t n_stages;
    tri_spm_decoder spm; /* SentencePiece's decoding is no chain: it goes by ids */
    tri_buf *out;
    tri_error *err;
} tri_decode_chain;

void tri_decode_chain_init(tri_decode_chain *c, const tri_tokenizer *t);
void tri_decode_chain_deinit(tri_decode_chain *c);
void tri_decode_chain_reset(tri_decode_chain *c);
/* Appends what token id makes certain to out; finish: the rest. */
tri_status tri_decode_chain_add(tri_decode_chain *c, int32_t id, tri_buf *out, tri_error *err);
tri_status tri_decode_chain_finish(tri_decode_chain *c, tri_buf *out, tri_error *err);

#endif
