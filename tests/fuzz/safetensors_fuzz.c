/* Whatever parses keeps the header's promises: tensors lie in the file, without holes, are found by
 * name, and have the bytes that their shapes ask for. */
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "data/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const volatile uint8_t *at) {
    (void)*at;
}

static void check(const tri_safetensors *s, const uint8_t *data, size_t size) {
    int64_t at = s->header_bytes;
    for (int32_t i = 0; i < s->n_tensors; i++) {
        const tri_safetensor *t = &s->tensors[i];
        int64_t n = tri_dtype_get(t->dtype)->block_bytes;
        for (int32_t d = 0; d < t->n_dims; d++)
            n *= t->dims[d];
        TRI_ASSERT(t->n_bytes == n);
        TRI_ASSERT(t->offset_bytes == at && t->data == data + at);
        TRI_ASSERT(tri_safetensors_find(s, t->name) == t);
        if (n) {
            touch(t->data);
            touch(t->data + n - 1);
        }
        at += n;
    }
    TRI_ASSERT(at == (int64_t)size);
    for (int32_t i = 0; s->metadata && i < s->metadata->n; i++)
        TRI_ASSERT(tri_json_get(s->metadata, s->metadata->keys[i].ptr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_arena arena;
    tri_safetensors s;
    tri_error err = {0};
    tri_arena_init(&arena, 64 << 20);
    if (tri_safetensors_parse(&s, data, (int64_t)size, &arena, &err) == TRI_OK) {
        check(&s, data, size);
        tri_safetensors_close(&s);
    } else {
        TRI_ASSERT(err.message[0]);
    }
    tri_arena_deinit(&arena);
    return 0;
}
