/* Any tokenizer.json: refused with a reason, or able to encode and decode any text, and a stream of
 * its ids gives the text that all of them give. */
#include <stdlib.h>
#include <string.h>

#include "text/pipeline.h"
#include "trireme/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stream(const tri_tokenizer *t, const int32_t *ids, int32_t n, tri_str whole) {
    tri_decoder *d = NULL;
    tri_error err = {0};
    tri_buf joined = {0};
    const char *text;
    size_t length;
    bool stopped = false;
    TRI_ASSERT(tri_decoder_create(&d, t, true, NULL, 0, &err) == TRI_OK);
    for (int32_t i = 0; i <= n; i++) {
        tri_status rc = i < n ? tri_decoder_add(d, ids[i], &text, &length, &stopped, &err)
                              : tri_decoder_finish(d, &text, &length, &stopped, &err);
        TRI_ASSERT(rc == TRI_OK && !stopped);
        tri_buf_append(&joined, text, length);
    }
    TRI_ASSERT(
        joined.len == whole.len && !memcmp(joined.ptr ? joined.ptr : "", whole.ptr, joined.len));
    tri_buf_deinit(&joined);
    tri_decoder_destroy(d);
}

static void use(const tri_tokenizer *t, tri_str text, bool parse_special) {
    int32_t *ids = NULL, n = 0;
    char *out = NULL;
    size_t length = 0;
    tri_error err = {0};
    const tri_text_span plain[] = {{0, text.len / 3}, {text.len / 2, text.len}};
    const tri_encode_options options = {.struct_size = sizeof options,
        .parse_special = parse_special,
        .add_special_tokens = parse_special,
        .plain = plain,
        .n_plain = parse_special ? 2 : 0};
    if (tri_tokenizer_encode(t, text.ptr, text.len, &options, &ids, &n, &err)) return;
    for (int32_t i = 0; i < n; i++)
        TRI_ASSERT(ids[i] >= 0 && ids[i] < tri_tokenizer_vocab_size(t));
    TRI_ASSERT(tri_tokenizer_decode(t, ids, n, true, &out, &length, &err) == TRI_OK);
    check_stream(t, ids, n, (tri_str){out, length});
    tri_free(out);
    tri_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_error err = {0};
    tri_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return 0;
    tri_arena_init(&t->arena, 64 << 20);
    tri_str text = {(const char *)data, size};
    if (!tri_load_tokenizer_json(t, text, &err) && !tri_tokenizer_finish(t, &err)) {
        use(t, TRI_STR("a lot of 12 h\xC3\xA9llo \xF0\x9F\x98\x80 <s>x</s>\n\n  don't \xFF\xC3"),
            false);
        use(t, text, true);
    } else {
        TRI_ASSERT(err.message[0]);
    }
    tri_tokenizer_close(t);
    return 0;
}
