/* tokenizer.h - byte-level BPE tokenizers from tokenizer.json and GGUF metadata; incremental
 * decoding.
 *
 * A tokenizer is immutable once open and may be used from many threads. */
#ifndef TRI_TEXT_TOKENIZER_H
#define TRI_TEXT_TOKENIZER_H

#include "base/buf.h"

typedef struct tri_tokenizer tri_tokenizer;

/* dir: holds tokenizer.json or tokenizer.gguf; or the path of a .gguf file. */
tri_status tri_tokenizer_open(tri_tokenizer **tokenizer, const char *path, tri_error *err);
void tri_tokenizer_close(tri_tokenizer *tokenizer);

int32_t tri_tokenizer_vocab_size(const tri_tokenizer *t);
int32_t tri_tokenizer_find(
    const tri_tokenizer *t, tri_str piece); /* -1: none; special tokens too */
bool tri_tokenizer_is_special(const tri_tokenizer *t, int32_t id);

typedef struct tri_encode_options {
    bool parse_special; /* text like <|im_end|> becomes the special token; never for text from users
                         */
    bool add_bos;       /* where the model asks for it */
} tri_encode_options;
/* *ids: heap, tri_free. */
tri_status tri_tokenizer_encode(const tri_tokenizer *t, tri_str text,
    const tri_encode_options *options, int32_t **ids, int32_t *n_ids, tri_error *err);

/* Decoding that never emits half a character: bytes of an unfinished one are held back.
 * skip_special leaves special tokens out. */
typedef struct tri_decoder {
    const tri_tokenizer *tokenizer;
    bool skip_special;
    char held[8];
    int32_t n_held;
} tri_decoder;
void tri_decoder_init(tri_decoder *d, const tri_tokenizer *t, bool skip_special);
tri_status tri_decoder_add(tri_decoder *d, int32_t id, tri_buf *out, tri_error *err);
void tri_decoder_finish(tri_decoder *d, tri_buf *out); /* what was held, invalid bytes as U+FFFD */

/* Stop strings over a stream: text is passed on unless it could still become one. */
typedef struct tri_stop_filter {
    const char *const *stops;
    int32_t n_stops;
    tri_buf held;
} tri_stop_filter;
void tri_stop_filter_init(tri_stop_filter *f, const char *const *stops, int32_t n_stops);
void tri_stop_filter_deinit(tri_stop_filter *f);
/* True when a stop string has come: out has what stands before it. */
bool tri_stop_filter_add(tri_stop_filter *f, tri_str text, tri_buf *out);
void tri_stop_filter_finish(tri_stop_filter *f, tri_buf *out);

#endif
