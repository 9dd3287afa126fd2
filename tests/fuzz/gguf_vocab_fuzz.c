/* Any GGUF's vocabulary: refused with a reason, or able to encode and decode any text. */
#include "data/gguf.h"
#include "text/pipeline.h"
#include "vocabulary_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_error err = {0};
    tri_arena arena;
    tri_gguf gguf;
    tri_arena_init(&arena, 64 << 20);
    tri_tokenizer *t = fuzz_new_tokenizer();
    if (t && !tri_gguf_parse(&gguf, data, (int64_t)size, &arena, &err)) {
        tri_str file = {(const char *)data, size};
        fuzz_use_tokenizer(t, tri_load_gguf_vocab(t, &gguf, &err), file, &err);
        tri_gguf_close(&gguf);
    } else {
        tri_tokenizer_close(t);
    }
    tri_arena_deinit(&arena);
    return 0;
}
