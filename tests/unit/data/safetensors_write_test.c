#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/safetensors.h"

typedef struct {
    char dir[64];
    const char *path;
    tri_arena arena;
    tri_error err;
    tri_safetensors_writer *w;
} fixture;

static int make_dir(void **state) {
    fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/tri_safetensors_test_XXXXXX");
    *state = f;
    if (!mkdtemp(f->dir)) return -1;
    f->path = tri_path_join(&f->arena, f->dir, "x.safetensors");
    return tri_safetensors_writer_open(&f->w, f->path, &f->err) ? -1 : 0;
}

/* Whatever happened, nothing but the finished file may be left. */
static int remove_dir(void **state) {
    fixture *f = *state;
    char **names;
    int32_t n = 0;
    if (f->w) tri_safetensors_writer_abandon(f->w);
    tri_path_list(f->dir, &f->arena, &names, &n, NULL);
    int32_t n_expected = tri_path_exists(f->path);
    tri_path_remove_tree(f->dir, NULL);
    tri_arena_deinit(&f->arena);
    free(f);
    return n == n_expected ? 0 : -1;
}

static tri_status commit(fixture *f) {
    tri_safetensors_writer *w = f->w;
    f->w = NULL;
    return tri_safetensors_writer_commit(w, &f->err);
}

static void declare(fixture *f, const char *name, tri_dtype dtype, int64_t a, int64_t b) {
    assert_int_equal(
        tri_safetensors_writer_declare(f->w, name, dtype, (int64_t[]){a, b}, 2, &f->err), TRI_OK);
}

/* The header byte by byte, as the format's description has it. */
static void writes_the_format(void **state) {
    fixture *f = *state;
    assert_int_equal(tri_safetensors_writer_metadata(f->w, "format", "a \"b\"", &f->err), TRI_OK);
    declare(f, "w", TRI_BF16, 2, 1);
    declare(f, "none", TRI_F32, 0, 5);
    assert_int_equal(tri_safetensors_writer_declare(f->w, "s", TRI_U8, NULL, 0, &f->err), TRI_OK);
    assert_int_equal(tri_safetensors_writer_begin(f->w, 64, &f->err), TRI_OK);
    assert_int_equal(tri_safetensors_writer_write(f->w, "ab", 2, &f->err), TRI_OK);
    assert_int_equal(tri_safetensors_writer_write(f->w, "cde", 3, &f->err), TRI_OK);
    assert_int_equal(commit(f), TRI_OK);

    const char *json = "{\"__metadata__\":{\"format\":\"a \\\"b\\\"\"},"
                       "\"w\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[0,4]},"
                       "\"none\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[4,4]},"
                       "\"s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[4,5]}}";
    tri_str text;
    assert_int_equal(tri_file_read(f->path, 10000, &f->arena, &text, &f->err), TRI_OK);
    size_t n_header = (8 + strlen(json) + 63) / 64 * 64;
    assert_int_equal(text.len, n_header + 5);
    uint64_t length = n_header - 8;
    assert_memory_equal(text.ptr, &length, 8); /* little-endian machines only, as the program */
    assert_memory_equal(text.ptr + 8, json, strlen(json));
    for (size_t i = 8 + strlen(json); i < n_header; i++)
        assert_int_equal(text.ptr[i], ' ');
    assert_memory_equal(text.ptr + n_header, "abcde", 5);
}

static void aligns_the_data(void **state) {
    fixture *f = *state;
    declare(f, "w", TRI_U8, 1, 3);
    assert_int_equal(tri_safetensors_writer_begin(f->w, 4096, &f->err), TRI_OK);
    assert_int_equal(tri_safetensors_writer_write(f->w, "abc", 3, &f->err), TRI_OK);
    assert_int_equal(commit(f), TRI_OK);
    tri_safetensors s;
    assert_int_equal(tri_safetensors_open(&s, f->path, &f->arena, &f->err), TRI_OK);
    assert_int_equal(s.header_bytes, 4096);
    assert_int_equal(s.tensors[0].offset_bytes, 4096);
    assert_memory_equal(s.tensors[0].data, "abc", 3);
    tri_safetensors_close(&s);
}

static void fills_a_mapped_file(void **state) {
    fixture *f = *state;
    uint8_t *file = NULL;
    int64_t header_bytes = 0, n_bytes = 0;
    declare(f, "a", TRI_U8, 1, 3);
    declare(f, "b", TRI_U8, 1, 2);
    assert_int_equal(
        tri_safetensors_writer_map(f->w, &file, &header_bytes, &n_bytes, &f->err), TRI_E_ARGUMENT);
    assert_int_equal(tri_safetensors_writer_begin(f->w, 512, &f->err), TRI_OK);
    assert_int_equal(
        tri_safetensors_writer_map(f->w, &file, &header_bytes, &n_bytes, &f->err), TRI_OK);
    assert_int_equal(header_bytes, 512);
    assert_int_equal(n_bytes, 517);
    assert_int_equal(file[8], '{');
    memcpy(file + header_bytes + 3, "de", 2);
    memcpy(file + header_bytes, "abc", 3);
    assert_int_equal(tri_safetensors_writer_write(f->w, "x", 1, &f->err), TRI_E_ARGUMENT);
    assert_int_equal(commit(f), TRI_OK);
    tri_safetensors s;
    assert_int_equal(tri_safetensors_open(&s, f->path, &f->arena, &f->err), TRI_OK);
    assert_int_equal(s.map.n_bytes, 517);
    assert_memory_equal(tri_safetensors_find(&s, "a")->data, "abc", 3);
    assert_memory_equal(tri_safetensors_find(&s, "b")->data, "de", 2);
    tri_safetensors_close(&s);
}

static void abandons_a_mapped_file(void **state) {
    fixture *f = *state;
    uint8_t *file;
    int64_t header_bytes, n_bytes;
    declare(f, "a", TRI_U8, 1, 3);
    assert_int_equal(tri_safetensors_writer_begin(f->w, 8, &f->err), TRI_OK);
    assert_int_equal(
        tri_safetensors_writer_map(f->w, &file, &header_bytes, &n_bytes, &f->err), TRI_OK);
    tri_safetensors_writer_abandon(f->w);
    f->w = NULL;
    assert_false(tri_path_exists(f->path));
}

static void writes_an_empty_file(void **state) {
    fixture *f = *state;
    assert_int_equal(tri_safetensors_writer_begin(f->w, 8, &f->err), TRI_OK);
    assert_int_equal(commit(f), TRI_OK);
    tri_str text;
    assert_int_equal(tri_file_read(f->path, 100, &f->arena, &text, &f->err), TRI_OK);
    assert_int_equal(text.len, 16);
    assert_memory_equal(text.ptr, "\10\0\0\0\0\0\0\0{}      ", 16);
}

static void refuse(fixture *f, tri_status rc, const char *message) {
    assert_int_equal(rc, TRI_E_ARGUMENT);
    if (!strstr(f->err.message, message)) fail_msg("%s\nlacks: %s", f->err.message, message);
}

static void refuses_bad_declarations(void **state) {
    fixture *f = *state;
    int64_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, huge[2] = {1LL << 32, 1LL << 31};
    declare(f, "a", TRI_U8, 1, 1);
    refuse(f, tri_safetensors_writer_declare(f->w, "a", TRI_U8, dims, 1, &f->err), "twice");
    refuse(f, tri_safetensors_writer_declare(f->w, "b", TRI_U8, dims, 9, &f->err), "9 dims");
    refuse(f, tri_safetensors_writer_declare(f->w, "b", TRI_U8, huge, 2, &f->err), "overflows");
    refuse(f, tri_safetensors_writer_declare(f->w, "b", TRI_Q4_0, dims, 2, &f->err), "q4_0");
    dims[0] = -1;
    refuse(f, tri_safetensors_writer_declare(f->w, "b", TRI_U8, dims, 2, &f->err), "-1");
    refuse(f, tri_safetensors_writer_declare(f->w, "__metadata__", TRI_U8, dims, 0, &f->err),
        "__metadata__");
    assert_int_equal(tri_safetensors_writer_metadata(f->w, "k", "1", &f->err), TRI_OK);
    refuse(f, tri_safetensors_writer_metadata(f->w, "k", "2", &f->err), "twice");
    refuse(f, tri_safetensors_writer_begin(f->w, 4, &f->err), "alignment 4");
    refuse(f, tri_safetensors_writer_begin(f->w, 24, &f->err), "alignment 24");
}

static void refuses_calls_out_of_order(void **state) {
    fixture *f = *state;
    declare(f, "a", TRI_U8, 1, 3);
    refuse(f, tri_safetensors_writer_write(f->w, "a", 1, &f->err), "before the header");
    assert_int_equal(tri_safetensors_writer_begin(f->w, 8, &f->err), TRI_OK);
    refuse(f, tri_safetensors_writer_begin(f->w, 8, &f->err), "already");
    refuse(f, tri_safetensors_writer_declare(f->w, "b", TRI_U8, NULL, 0, &f->err), "after");
    refuse(f, tri_safetensors_writer_metadata(f->w, "b", "c", &f->err), "after");
    refuse(f, tri_safetensors_writer_write(f->w, "abcd", 4, &f->err), "3 declared");
    assert_int_equal(tri_safetensors_writer_write(f->w, "ab", 2, &f->err), TRI_OK);
    refuse(f, commit(f), "2 of 3");
    assert_false(tri_path_exists(f->path));
}

static void needs_a_header(void **state) {
    fixture *f = *state;
    refuse(f, commit(f), "no header");
    assert_false(tri_path_exists(f->path));
}

static void leaves_nothing_when_abandoned(void **state) {
    fixture *f = *state;
    declare(f, "a", TRI_U8, 1, 3);
    assert_int_equal(tri_safetensors_writer_begin(f->w, 8, &f->err), TRI_OK);
    tri_safetensors_writer_abandon(f->w);
    f->w = NULL;
    assert_false(tri_path_exists(f->path));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(writes_the_format),
        CASE(aligns_the_data),
        CASE(fills_a_mapped_file),
        CASE(abandons_a_mapped_file),
        CASE(writes_an_empty_file),
        CASE(refuses_bad_declarations),
        CASE(refuses_calls_out_of_order),
        CASE(needs_a_header),
        CASE(leaves_nothing_when_abandoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
