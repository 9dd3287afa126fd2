/* gguf_build.h - GGUF bytes, piece by piece, for tests of what no writer would write. */
#ifndef TRI_TESTS_GGUF_BUILD_H
#define TRI_TESTS_GGUF_BUILD_H

#include <string.h>

#include "data/gguf.h"

static inline void put_u32(tri_buf *b, uint32_t x) {
    tri_buf_append(b, &x, sizeof x);
}

static inline void put_u64(tri_buf *b, uint64_t x) {
    tri_buf_append(b, &x, sizeof x);
}

static inline void put_text(tri_buf *b, const char *text) {
    put_u64(b, strlen(text));
    tri_buf_puts(b, text);
}

static inline void put_header(tri_buf *b, uint64_t n_tensors, uint64_t n_values) {
    tri_buf_append(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, n_tensors);
    put_u64(b, n_values);
}

static inline void put_key(tri_buf *b, const char *key, uint32_t kind) {
    put_text(b, key);
    put_u32(b, kind);
}

static inline void put_key_u32(tri_buf *b, const char *key, uint32_t value) {
    put_key(b, key, TRI_GGUF_U32);
    put_u32(b, value);
}

static inline void put_key_f32(tri_buf *b, const char *key, float value) {
    put_key(b, key, TRI_GGUF_F32);
    tri_buf_append(b, &value, sizeof value);
}

static inline void put_key_text(tri_buf *b, const char *key, const char *value) {
    put_key(b, key, TRI_GGUF_STRING);
    put_text(b, value);
}

/* dims as GGUF has them: innermost first. */
static inline void put_tensor(tri_buf *b, const char *name, uint32_t n_dims, const uint64_t *dims,
    uint32_t type, uint64_t offset) {
    put_text(b, name);
    put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        put_u64(b, dims[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

/* Zeros up to the next multiple of 32, and n more. */
static inline void put_data(tri_buf *b, size_t n) {
    static const uint8_t zeros[64] = {0};
    tri_buf_append(b, zeros, (32 - b->len % 32) % 32);
    for (size_t i = 0; i < n; i++)
        tri_buf_putc(b, (char)i);
}

#endif
