/* load_json.h - what the files that read tokenizer.json share. */
#ifndef TRI_TEXT_LOAD_JSON_H
#define TRI_TEXT_LOAD_JSON_H

#include "base/json.h"
#include "text/pipeline.h"

/* ---- load_json_steps.c: normalizer, pre_tokenizer, decoder; scratch for what is dropped after
 * ---- */
tri_status tri_load_json_normalizer(tri_tokenizer *t, const tri_json *value, tri_error *err);
tri_status tri_load_json_pre_tokenizer(tri_tokenizer *t, const tri_json *value, tri_error *err);
tri_status tri_load_json_decoder(tri_tokenizer *t, const tri_json *value, tri_error *err);

/* A component's "type", or "". */
tri_str tri_load_json_type(const tri_json *component);
/* object[key] as a string, copied; absent: what *value holds. */
tri_status tri_load_json_string(
    tri_tokenizer *t, const tri_json *object, const char *key, tri_str *value, tri_error *err);

/* ---- load_json_model.c ---- */

typedef struct tri_json_view { /* a string of the file, as written; 16 bytes: there are many */
    const char *ptr;
    uint32_t len : 31, escaped : 1;
    int32_t id; /* of a piece; a score's index */
} tri_json_view;

typedef struct tri_json_model {
    tri_str type;   /* empty: what it holds decides */
    tri_buf pieces; /* tri_json_view */
    tri_buf scores; /* double: of Unigram's */
    tri_buf merges; /* tri_json_view: one "a b" or two a merge, as merges_are_pairs says */
    bool merges_are_pairs, has_vocab, has_merges, is_list;
    bool has_unk_id, has_max_chars, fuse_unk, byte_fallback, ignore_merges;
    double dropout;
    int64_t unk_id, max_chars;
    tri_json_view unk_token, prefix, suffix; /* ptr NULL: none */
} tri_json_model;

void tri_json_model_deinit(tri_json_model *m);
/* Reads the value of "model" at the reader. */
tri_status tri_json_model_read(tri_json_model *m, tri_json_reader *r, tri_error *err);
/* Sets tokens and model; the steps are loaded already. */
tri_status tri_json_model_build(
    tri_tokenizer *t, const tri_json_model *m, int64_t n_tokens, tri_error *err);

#endif
