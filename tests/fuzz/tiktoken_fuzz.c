/* Any tiktoken file, and after a line of dashes any tokenizer_config.json beside it: refused with a
 * reason, or able to encode and decode any text. */
#include <string.h>

#include "text/pipeline.h"
#include "vocabulary_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char mark[] = "---\n";
    tri_error err = {0};
    tri_str file = {(const char *)data, size}, config = {0};
    const char *at = size ? memmem(data, size, mark, sizeof mark - 1) : NULL;
    if (at) {
        file.len = (size_t)(at - file.ptr);
        at += sizeof mark - 1;
        config = (tri_str){at, size - (size_t)(at - file.ptr)};
    }
    tri_is_tiktoken(file);
    tri_tokenizer *t = fuzz_new_tokenizer();
    if (t) fuzz_use_tokenizer(t, tri_load_tiktoken(t, file, "r50k_base", config, &err), file, &err);
    return 0;
}
