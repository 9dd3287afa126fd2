/* Any tokenizer.json: refused with a reason, or able to encode and decode any text. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_inside.h"
#include "trireme/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const tri_tokenizer *t, tri_str text) {
    int32_t *ids = NULL, n = 0;
    tri_error err = {0};
    if (tri_tokenizer_encode(t, text, &(tri_encode_options){.parse_special = true, .add_bos = true},
            &ids, &n, &err)) {
        return;
    }
    tri_decoder d;
    tri_buf out = {0};
    tri_decoder_init(&d, t, true);
    for (int32_t i = 0; i < n; i++)
        TRI_ASSERT(tri_decoder_add(&d, ids[i], &out, &err) == TRI_OK);
    tri_decoder_finish(&d, &out);
    tri_buf_deinit(&out);
    tri_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_error err = {0};
    tri_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return 0;
    tri_arena_init(&t->arena, 64 << 20);
    tri_str text = {(const char *)data, size};
    if (!tri_tokenizer_load_hf(t, text, &err) && !tri_tokenizer_index_added(t, &err)) {
        use(t, TRI_STR("a lot of 12 h\xC3\xA9llo \xF0\x9F\x98\x80 <s>x</s>\n\n  don't \xFF\xC3"));
        use(t, text);
    } else {
        TRI_ASSERT(err.message[0]);
    }
    tri_tokenizer_close(t);
    return 0;
}
