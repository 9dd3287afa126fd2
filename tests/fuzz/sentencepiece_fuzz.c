/* Any tokenizer.model: refused with a reason, or able to encode and decode any text. */
#include "text/pipeline.h"
#include "vocabulary_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_error err = {0};
    tri_str file = {(const char *)data, size};
    tri_tokenizer *t = fuzz_new_tokenizer();
    if (t) fuzz_use_tokenizer(t, tri_load_sentencepiece(t, file, (tri_str){0}, &err), file, &err);
    return 0;
}
