/* text.h - tokenizers, incremental detokenisation and chat templates.
 *
 * Usable without the rest of Trireme: a model directory or a tokenizer file in, ids or text out.
 * What is opened here is immutable and may be used from many threads; decoders, stop filters and
 * results belong to one thread.  Text is UTF-8; each maximal ill-formed part of it is read as
 * U+FFFD (Unicode 15, section 3.9), as Python's errors="replace" and Rust's lossy strings do. */
#ifndef TRIREME_TEXT_H
#define TRIREME_TEXT_H

#include "trireme/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes [begin, end) of a text. */
typedef struct tri_text_span {
    size_t begin, end;
} tri_text_span;

/* ---- tokenizers ---- */

typedef struct tri_tokenizer tri_tokenizer;

/* path: a directory (tokenizer.json, tekken.json, tokenizer.model, tiktoken.model or *.tiktoken,
 * tokenizer.gguf; the first there is, in this order), one such file, or a GGUF file. */
TRI_API tri_status tri_tokenizer_open(tri_tokenizer **tokenizer, const char *path, tri_error *err);
TRI_API void tri_tokenizer_close(tri_tokenizer *tokenizer);

TRI_API int32_t tri_tokenizer_vocab_size(const tri_tokenizer *t); /* one past the largest id */
/* The token as the file writes it (byte-level and metaspace alphabets included), NUL-terminated,
 * owned by the tokenizer; NULL: no such id.  *n (may be NULL) gets its length. */
TRI_API const char *tri_tokenizer_token(const tri_tokenizer *t, int32_t id, size_t *n);
TRI_API int32_t tri_tokenizer_find(const tri_tokenizer *t, const char *token, size_t n); /* or -1 */
TRI_API bool tri_tokenizer_is_special(const tri_tokenizer *t, int32_t id);

typedef struct tri_encode_options { /* zeroed: plain text from a stranger */
    uint32_t struct_size;           /* sizeof(tri_encode_options) */
    bool add_special_tokens;        /* what the post-processor puts around (bos, eos, [CLS]) */
    bool parse_special; /* "<|im_end|>" in the text becomes the special token; outside `plain` */
    const tri_text_span
        *plain; /* sorted, disjoint: no special token is read in any part of these */
    int32_t n_plain;
    int32_t n_threads; /* for long texts [1] */
} tri_encode_options;

/* *ids: n_ids of them, tri_free. */
TRI_API tri_status tri_tokenizer_encode(const tri_tokenizer *t, const char *text, size_t n,
    const tri_encode_options *options, int32_t **ids, int32_t *n_ids, tri_error *err);
/* The whole text of ids at once; *text NUL-terminated, tri_free.  Models pad their vocabulary and
 * may give any of their ids: one past tri_tokenizer_vocab_size, or one that has no token
 * (tri_tokenizer_token is NULL), is no text, here and in tri_decoder_add; a negative one is
 * TRI_E_ARGUMENT.  (`trireme detokenize` refuses all three.) */
TRI_API tri_status tri_tokenizer_decode(const tri_tokenizer *t, const int32_t *ids, int32_t n_ids,
    bool skip_special, char **text, size_t *n, tri_error *err);

/* ---- a stream of ids as text ---- */

typedef struct tri_decoder tri_decoder;

/* Never half a character; what is emitted, joined, equals tri_tokenizer_decode of all ids.  Text
 * that starts with or contains one of the stop strings ends before it, and text that could still
 * become one is held back.  stops are copied. */
TRI_API tri_status tri_decoder_create(tri_decoder **decoder, const tri_tokenizer *t,
    bool skip_special, const char *const *stops, int32_t n_stops, tri_error *err);
TRI_API void tri_decoder_destroy(tri_decoder *decoder);
/* What came out, owned by the decoder until its next call; *stopped: a stop string has come, and
 * nothing more will come out. */
TRI_API tri_status tri_decoder_add(
    tri_decoder *decoder, int32_t id, const char **text, size_t *n, bool *stopped, tri_error *err);
/* No more ids: what was held, ill-formed bytes as U+FFFD. */
TRI_API tri_status tri_decoder_finish(
    tri_decoder *decoder, const char **text, size_t *n, bool *stopped, tri_error *err);
TRI_API void tri_decoder_reset(tri_decoder *decoder); /* for another stream */

/* ---- chat templates ---- */

typedef struct tri_chat_template tri_chat_template;

/* From a directory (chat_template.jinja, chat_template.json, tokenizer_config.json,
 * tokenizer.gguf), a GGUF file or a file of Jinja.  name: which one of several ("default" when
 * NULL; "tool_use" is taken by itself when there are tools and name is NULL).  None there is
 * TRI_E_NOT_FOUND. */
TRI_API tri_status tri_chat_template_open(
    tri_chat_template **t, const char *path, const char *name, tri_error *err);
TRI_API void tri_chat_template_close(tri_chat_template *t);
/* NUL-terminated, owned by the template; a NUL may also stand inside.  *n (may be NULL) gets its
 * length. */
TRI_API const char *tri_chat_template_source(const tri_chat_template *t, size_t *n);

typedef struct tri_chat_text { /* zeroed before use; tri_chat_text_free after */
    char *text;                /* NUL-terminated */
    size_t n;
    tri_text_span *plain; /* what came from the inputs: never special tokens */
    int32_t n_plain;
} tri_chat_text;

/* inputs: a JSON object with `messages` and, as the template asks, `tools`, `documents`,
 * `add_generation_prompt`, `enable_thinking`, `reasoning_effort` or anything else: the variables of
 * the template.  `messages` is an array; `tools`, where it is not null, an array of objects, as
 * transformers wants it.  bos_token, eos_token and the like come from the model.  Errors name line
 * and column of the template; raise_exception is TRI_E_ARGUMENT with its message. */
TRI_API tri_status tri_chat_template_render(
    const tri_chat_template *t, const char *inputs, size_t n, tri_chat_text *out, tri_error *err);
TRI_API void tri_chat_text_free(tri_chat_text *text);
/* A rendered conversation as ids: the template's own special tokens are read, the inputs' are not.
 * *ids: tri_free. */
TRI_API tri_status tri_chat_text_encode(const tri_chat_text *text, const tri_tokenizer *t,
    int32_t **ids, int32_t *n_ids, tri_error *err);

#ifdef __cplusplus
}
#endif
#endif
