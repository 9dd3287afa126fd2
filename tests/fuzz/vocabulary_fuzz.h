/* vocabulary_fuzz.h - what the fuzz targets of vocabularies do with one that loads. */
#ifndef TRI_FUZZ_VOCABULARY_H
#define TRI_FUZZ_VOCABULARY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/pipeline.h"
#include "trireme/graph.h"

static inline tri_tokenizer *fuzz_new_tokenizer(void) {
    tri_tokenizer *t = calloc(1, sizeof *t);
    if (t) tri_arena_init(&t->arena, 64 << 20);
    return t;
}

/* Whole and one id at a time, the same text comes out. */
static inline void fuzz_decode(const tri_tokenizer *t, const int32_t *ids, int32_t n) {
    tri_error err = {0};
    tri_decoder *d = NULL;
    tri_buf out = {0};
    char *text = NULL;
    const char *part = NULL;
    size_t length = 0;
    bool stopped = false;
    TRI_ASSERT(tri_tokenizer_decode(t, ids, n, false, &text, &length, &err) == TRI_OK);
    size_t n_text = length;
    TRI_ASSERT(tri_decoder_create(&d, t, false, NULL, 0, &err) == TRI_OK);
    for (int32_t i = 0; i < n; i++) {
        TRI_ASSERT(tri_decoder_add(d, ids[i], &part, &length, &stopped, &err) == TRI_OK);
        tri_buf_append(&out, part, length);
    }
    TRI_ASSERT(tri_decoder_finish(d, &part, &length, &stopped, &err) == TRI_OK);
    tri_buf_append(&out, part, length);
    TRI_ASSERT(out.len == n_text && (!n_text || !memcmp(out.ptr, text, n_text)));
    tri_decoder_destroy(d);
    tri_buf_deinit(&out);
    tri_free(text);
}

static inline void fuzz_encode(const tri_tokenizer *t, tri_str text) {
    const tri_encode_options options = {
        .struct_size = sizeof options, .add_special_tokens = true, .parse_special = true};
    tri_error err = {0};
    int32_t *ids = NULL, n = 0;
    if (tri_tokenizer_encode(t, text.ptr, text.len, &options, &ids, &n, &err)) {
        TRI_ASSERT(err.message[0]);
        return;
    }
    for (int32_t i = 0; i < n; i++)
        TRI_ASSERT(ids[i] >= 0 && ids[i] < tri_tokenizer_vocab_size(t));
    fuzz_decode(t, ids, n);
    tri_free(ids);
}

/* Closes it. */
static inline void fuzz_use_tokenizer(
    tri_tokenizer *t, tri_status loaded, tri_str file, tri_error *err) {
    if (!loaded) loaded = tri_tokenizer_finish(t, err);
    if (!loaded) {
        int32_t every[512], n = 0;
        while (n < 512 && n < tri_tokenizer_vocab_size(t)) {
            every[n] = n;
            n++;
        }
        fuzz_encode(
            t, TRI_STR("a lot of 12 h\xC3\xA9llo \xF0\x9F\x98\x80 <s>x</s>\n\n  don't \xFF"));
        fuzz_encode(t, (tri_str){file.ptr, file.len < 4096 ? file.len : 4096});
        fuzz_decode(t, every, n);
    } else {
        TRI_ASSERT(err->message[0]);
    }
    tri_tokenizer_close(t);
}

#endif
