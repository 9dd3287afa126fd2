/* Malformed and hostile GGUF bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/data/gguf_build.h"

static tri_status parse(tri_buf *b, tri_gguf *g, tri_arena *arena, tri_error *err) {
    /* Exactly as many bytes as there are, so that a read past them is seen. */
    uint8_t *bytes = malloc(b->len + 1);
    memcpy(bytes, b->ptr, b->len);
    tri_status rc = tri_gguf_parse(g, bytes, (int64_t)b->len, arena, err);
    free(bytes);
    tri_buf_deinit(b);
    return rc;
}

static void refuse(tri_buf *b, tri_status status, const char *message) {
    tri_gguf g = {.n_values = -5};
    tri_arena arena = {0};
    tri_error err = {0};
    tri_arena_init(&arena, 1 << 20); /* no hostile count may ask for more */
    tri_status rc = parse(b, &g, &arena, &err);
    if (rc != status) fail_msg("%s: %s", tri_status_name(rc), err.message);
    if (!strstr(err.message, message)) fail_msg("%s\nlacks: %s", err.message, message);
    assert_int_equal(g.n_values, -5); /* untouched */
    tri_arena_deinit(&arena);
}

static void accept(tri_buf *b, int32_t n_tensors, int32_t n_values) {
    tri_gguf g;
    tri_arena arena = {0};
    tri_error err = {0};
    if (parse(b, &g, &arena, &err)) fail_msg("%s", err.message);
    assert_int_equal(g.n_tensors, n_tensors);
    assert_int_equal(g.n_values, n_values);
    tri_gguf_close(&g);
    tri_arena_deinit(&arena);
}

static void accepts_the_format(void **state) {
    (void)state;
    tri_buf b = {0};
    put_header(&b, 0, 0);
    accept(&b, 0, 0);
    put_header(&b, 0, 0);
    b.ptr[4] = 2;
    accept(&b, 0, 0);
    put_header(&b, 2, 0);
    put_tensor(&b, "b", 1, (uint64_t[]){3}, 0, 32); /* not in the order of their data */
    put_tensor(&b, "a", 2, (uint64_t[]){2, 3}, 0, 0);
    put_data(&b, 32 + 12);
    accept(&b, 2, 0);
    put_header(&b, 1, 1);
    put_key_u32(&b, "general.alignment", 8);
    put_tensor(&b, "a", 0, NULL, 0, 8);
    put_data(&b, 12);
    accept(&b, 1, 1);
}

static void refuses_other_files(void **state) {
    (void)state;
    tri_buf b = {0};
    tri_buf_puts(&b, "GGUF");
    refuse(&b, TRI_E_FORMAT, "4 bytes");
    put_header(&b, 0, 0);
    b.ptr[0] = 'X';
    refuse(&b, TRI_E_FORMAT, "not a GGUF file");
    put_header(&b, 0, 0);
    b.ptr[4] = 1;
    refuse(&b, TRI_E_VERSION, "version 1");
    put_header(&b, 0, 0);
    b.ptr[4] = 0, b.ptr[7] = 3;
    refuse(&b, TRI_E_UNSUPPORTED, "big-endian");
}

static void refuses_hostile_counts(void **state) {
    (void)state;
    tri_buf b = {0};
    put_header(&b, UINT64_MAX, 0);
    refuse(&b, TRI_E_FORMAT, "number of tensors");
    put_header(&b, 0, UINT64_MAX / 13 + 1);
    refuse(&b, TRI_E_FORMAT, "number of keys");
    put_header(&b, 0, 1ULL << 32); /* 0 in 32 bits */
    refuse(&b, TRI_E_FORMAT, "number of keys");
    put_header(&b, 0, 2);
    put_key_u32(&b, "a", 1);
    put_data(&b, 4);
    refuse(&b, TRI_E_FORMAT, "");
}

static void refuses_hostile_strings(void **state) {
    (void)state;
    tri_buf b = {0};
    put_header(&b, 0, 1);
    put_u64(&b, UINT64_MAX);
    put_data(&b, 32);
    refuse(&b, TRI_E_FORMAT, "truncated: key");
    put_header(&b, 0, 1);
    put_u64(&b, 0);
    put_data(&b, 32);
    refuse(&b, TRI_E_FORMAT, "key 0 has 0 bytes");
    put_header(&b, 0, 1);
    put_u64(&b, 2);
    tri_buf_append(&b, "a\0", 2);
    put_data(&b, 32);
    refuse(&b, TRI_E_FORMAT, "NUL");
    put_header(&b, 0, 1);
    put_key(&b, "k", TRI_GGUF_STRING);
    put_u64(&b, UINT64_MAX - 7);
    put_data(&b, 32);
    refuse(&b, TRI_E_FORMAT, "truncated: k");
    put_header(&b, 0, 2);
    put_key_u32(&b, "twin", 1);
    put_key_u32(&b, "twin", 1);
    refuse(&b, TRI_E_FORMAT, "twin twice");
}

static void refuses_hostile_values(void **state) {
    (void)state;
    tri_buf b = {0};
    put_header(&b, 0, 1);
    put_key(&b, "k", 13);
    put_data(&b, 32);
    refuse(&b, TRI_E_FORMAT, "unknown value type 13");
    put_header(&b, 0, 1);
    put_key(&b, "k", TRI_GGUF_BOOL);
    tri_buf_putc(&b, 2);
    refuse(&b, TRI_E_FORMAT, "boolean 2");
    put_header(&b, 0, 1);
    put_key(&b, "k", TRI_GGUF_U64);
    put_u32(&b, 0);
    refuse(&b, TRI_E_FORMAT, "truncated: k");
}

static void put_array(tri_buf *b, uint32_t element, uint64_t n) {
    put_header(b, 0, 1);
    put_key(b, "k", TRI_GGUF_ARRAY);
    put_u32(b, element);
    put_u64(b, n);
}

static void refuses_hostile_arrays(void **state) {
    (void)state;
    tri_buf b = {0};
    put_array(&b, TRI_GGUF_ARRAY, 1);
    refuse(&b, TRI_E_UNSUPPORTED, "array of arrays");
    put_array(&b, TRI_GGUF_U64, UINT64_MAX / 8 + 1); /* times 8 is 0 */
    put_data(&b, 64);
    refuse(&b, TRI_E_FORMAT, "truncated: k");
    put_array(&b, TRI_GGUF_STRING, 1ULL << 60); /* times 16 is 0 */
    put_data(&b, 64);
    refuse(&b, TRI_E_FORMAT, "truncated: k");
    put_array(&b, TRI_GGUF_STRING, 2);
    put_text(&b, "a");
    put_u64(&b, 1);
    refuse(&b, TRI_E_FORMAT, "truncated: k");
    put_array(&b, TRI_GGUF_BOOL, 2);
    tri_buf_append(&b, "\1\3", 2);
    refuse(&b, TRI_E_FORMAT, "boolean 3");
    put_array(&b, 99, 0);
    refuse(&b, TRI_E_FORMAT, "unknown value type 99");
}

static void refuses_bad_alignments(void **state) {
    (void)state;
    const uint32_t values[] = {0, 24, UINT32_MAX, 1u << 31};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        tri_buf b = {0};
        put_header(&b, 0, 1);
        put_key_u32(&b, "general.alignment", values[i]);
        refuse(&b, TRI_E_FORMAT, "general.alignment");
    }
    tri_buf b = {0};
    put_header(&b, 0, 1);
    put_key_text(&b, "general.alignment", "32");
    refuse(&b, TRI_E_FORMAT, "general.alignment");
}

static void put_one_tensor(tri_buf *b, uint32_t n_dims, const uint64_t *dims, uint32_t type,
    uint64_t offset, size_t n_data) {
    put_header(b, 1, 0);
    put_tensor(b, "t", n_dims, dims, type, offset);
    put_data(b, n_data);
}

static void refuses_hostile_tensors(void **state) {
    (void)state;
    tri_buf b = {0};
    const uint64_t huge = 1ULL << 32, four[5] = {1, 1, 1, 1, 1};
    put_one_tensor(&b, 5, four, 0, 0, 64);
    refuse(&b, TRI_E_FORMAT, "5 dims");
    put_one_tensor(&b, 1, (uint64_t[]){0}, 0, 0, 64);
    refuse(&b, TRI_E_FORMAT, "a dim of 0");
    put_one_tensor(&b, 1, (uint64_t[]){1ULL << 63}, 0, 0, 64);
    refuse(&b, TRI_E_FORMAT, "a dim of");
    put_one_tensor(&b, 2, (uint64_t[]){huge, huge}, 0, 0, 64); /* 2^66 bytes: 0 in 64 bits */
    refuse(&b, TRI_E_FORMAT, "overflows");
    put_one_tensor(&b, 4, (uint64_t[]){1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0, 0, 64);
    refuse(&b, TRI_E_FORMAT, "overflows");
    put_one_tensor(&b, 1, (uint64_t[]){INT64_MAX}, 0, 0, 64);
    refuse(&b, TRI_E_FORMAT, "");
    put_one_tensor(&b, 1, (uint64_t[]){33}, 2, 0, 64); /* q4_0 */
    refuse(&b, TRI_E_FORMAT, "multiples of 32");
    put_one_tensor(&b, 1, (uint64_t[]){16}, 16, 0, 64);
    refuse(&b, TRI_E_UNSUPPORTED, "IQ2_XXS");
    put_one_tensor(&b, 1, (uint64_t[]){16}, 0xFFFFFFFF, 0, 64);
    refuse(&b, TRI_E_UNSUPPORTED, "unknown");
    put_one_tensor(&b, 1, (uint64_t[]){16}, 0, 16, 96);
    refuse(&b, TRI_E_FORMAT, "not a multiple of the alignment");
    put_one_tensor(&b, 1, (uint64_t[]){16}, 0, 32, 64); /* one byte of 32 + 64 too few is 63 */
    refuse(&b, TRI_E_FORMAT, "truncated: tensor t");
    put_one_tensor(&b, 1, (uint64_t[]){16}, 0, UINT64_MAX - 31, 64); /* offset + start wraps */
    refuse(&b, TRI_E_FORMAT, "truncated: tensor t");
    put_header(&b, 2, 0);
    put_tensor(&b, "a", 1, (uint64_t[]){16}, 0, 0);
    put_tensor(&b, "b", 1, (uint64_t[]){16}, 0, 32);
    put_data(&b, 96);
    refuse(&b, TRI_E_FORMAT, "a and b overlap");
    put_header(&b, 2, 0);
    put_tensor(&b, "a", 1, (uint64_t[]){1}, 0, 0);
    put_tensor(&b, "a", 1, (uint64_t[]){1}, 0, 32);
    put_data(&b, 96);
    refuse(&b, TRI_E_FORMAT, "tensor a twice");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_the_format),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(refuses_hostile_counts),
        cmocka_unit_test(refuses_hostile_strings),
        cmocka_unit_test(refuses_hostile_values),
        cmocka_unit_test(refuses_hostile_arrays),
        cmocka_unit_test(refuses_bad_alignments),
        cmocka_unit_test(refuses_hostile_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
