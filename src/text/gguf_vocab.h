/* gguf_vocab.h - a GGUF's vocabulary as its loaders share it: load_gguf.c, load_gguf_spm.c and
 * load_gguf_bert.c. */
#ifndef TRI_TEXT_GGUF_VOCAB_H
#define TRI_TEXT_GGUF_VOCAB_H

#include "data/gguf.h"
#include "text/pipeline.h"
#include "text/unigram.h"

typedef struct tri_gguf_vocab {
    tri_tokenizer *t;
    const tri_gguf *g;
    const tri_str *tokens; /* [n], the mapping's */
    int32_t n;
    uint8_t *types; /* [n] tri_piece_type; the file's, and NORMAL for those it does not know */
    int32_t unk_id; /* -1: none */
} tri_gguf_vocab;

/* An id under tokenizer.ggml.; *id is the default, -1 for none, and stays when the key is absent.
 * A default past the vocabulary is none. */
tri_status tri_gguf_vocab_id(
    const tri_gguf_vocab *v, const char *name, int32_t *id, tri_error *err);
/* What stands around a text: the ids there are. */
void tri_gguf_vocab_frame(const tri_gguf_vocab *v, int32_t first, int32_t last);

/* The kinds "llama" (SentencePiece's BPE), "t5" (its Unigram) and "bert" (WordPiece). */
tri_status tri_gguf_load_llama(tri_gguf_vocab *v, tri_error *err);
tri_status tri_gguf_load_t5(tri_gguf_vocab *v, tri_error *err);
tri_status tri_gguf_load_bert(tri_gguf_vocab *v, tri_error *err);

#endif
