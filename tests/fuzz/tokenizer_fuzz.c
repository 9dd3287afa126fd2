/* Any tokenizer.json: refused with a reason, or able to encode and decode any text; decoded in a
 * stream, the text is the same. */
#include <stdlib.h>
#include <string.h>

#include "text/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const tri_tokenizer *t, const int32_t *ids, int32_t n_ids) {
    char *whole = NULL;
    size_t n_whole = 0;
    tri_decoder *d = NULL;
    tri_buf joined = {0};
    tri_error err = {0};
    if (tri_tokenizer_decode(t, ids, n_ids, true, &whole, &n_whole, &err)) abort();
    if (tri_decoder_create(&d, t, true, NULL, 0, &err)) abort();
    for (int32_t i = 0; i <= n_ids; i++) {
        const char *text = NULL;
        size_t n = 0;
        bool stopped;
        tri_status rc = i < n_ids ? tri_decoder_add(d, ids[i], &text, &n, &stopped, &err)
                                  : tri_decoder_finish(d, &text, &n, &stopped, &err);
        if (rc) abort();
        tri_buf_append(&joined, text, n);
    }
    if (joined.len != n_whole || (n_whole && memcmp(joined.ptr, whole, n_whole) != 0)) abort();
    tri_buf_deinit(&joined);
    tri_decoder_destroy(d);
    tri_free(whole);
}

static void use(const tri_tokenizer *t, tri_str text) {
    const tri_encode_options options = {
        .struct_size = sizeof options, .parse_special = true, .add_special_tokens = true};
    int32_t *ids = NULL, n = 0;
    if (tri_tokenizer_encode(t, text.ptr, text.len, &options, &ids, &n, NULL)) return;
    decode(t, ids, n);
    tri_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_tokenizer *t = calloc(1, sizeof *t);
    tri_error err = {0};
    if (!t) return 0;
    tri_arena_init(&t->arena, 0);
    tri_status rc = tri_load_tokenizer_json(t, (tri_str){(const char *)data, size}, &err);
    if (!rc) rc = tri_tokenizer_finish(t, &err);
    if (rc) {
        if (err.status != rc || !err.message[0]) abort(); /* every refusal says why */
    } else {
        use(t, TRI_STR("Hello, wor\xffld 123  \n\n <|end|> \xE2\x82 caf\xC3\xA9"));
        use(t, (tri_str){(const char *)data, size < 200 ? size : 200});
    }
    tri_tokenizer_close(t);
    return 0;
}
