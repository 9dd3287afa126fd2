/* encode.h - text to ids: what one thread needs for it, kept by the tokenizer between calls. */
#ifndef TRI_TEXT_ENCODE_H
#define TRI_TEXT_ENCODE_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/spm_bpe.h"
#include "text/unigram.h"

/* Words of so many bytes and ids at most are remembered, in a table that never grows: the newest
 * word of a slot stays. */
enum { TRI_CACHE_WORD_BYTES = 24, TRI_CACHE_IDS = 9, TRI_CACHE_SLOTS = 1 << 14 };

typedef struct tri_cached_word { /* one cache line; length 0: free */
    uint64_t key[3];
    uint16_t length, n_ids;
    int32_t ids[TRI_CACHE_IDS];
} tri_cached_word;

typedef struct tri_encoder {
    const tri_tokenizer *t;
    tri_normalize_scratch normalize;
    tri_pretokenize_scratch pretokenize;
    tri_bpe_scratch bpe;
    tri_unigram_scratch unigram;
    tri_spm_bpe_scratch spm_bpe;
    tri_buf wordpiece;
    tri_cached_word *cache;    /* [TRI_CACHE_SLOTS] */
    tri_buf ids;               /* int32_t: the result so far */
    tri_buf mended, plain;     /* the text and its plain spans, where it was ill-formed */
    tri_buf raw_cuts, cuts;    /* tri_added_cut */
    struct tri_encoder *after; /* in the pool */
} tri_encoder;

typedef struct tri_encoders tri_encoders; /* a pool, for any threads */

tri_status tri_encoders_create(tri_encoders **encoders, tri_error *err);
void tri_encoders_destroy(tri_encoders *encoders);
/* Takes one out, making it when all are in use. */
tri_status tri_encoder_take(const tri_tokenizer *t, tri_encoder **encoder, tri_error *err);
void tri_encoder_give_back(tri_encoder *encoder);

/* Appends the ids of a word to encoder->ids. */
tri_status tri_encode_word(void *encoder, tri_str word, tri_error *err);
/* Appends the ids of a normalised stretch without added tokens. */
tri_status tri_encode_stretch(
    tri_encoder *encoder, tri_stretch stretch, int32_t n_threads, tri_error *err);
/* The same with several threads, each on a part (encode_parallel.c). */
tri_status tri_encode_parallel(
    tri_encoder *encoder, tri_stretch stretch, int32_t n_threads, tri_error *err);
/* From at on, the next place where a word without pre-tokenizers may be cut: before U+2581 that
 * something else precedes; text.len: none. */
size_t tri_next_metaspace_cut(tri_str text, size_t at);

#endif
