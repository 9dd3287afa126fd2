/* Files that the gguf package wrote: every kind of value, every type of tensor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/json.h"
#include "data/gguf.h"
#include "data/safetensors.h"

#define GOLDEN TRI_TESTS_DIR "/golden/gguf/"

typedef struct {
    char dir[64];
    tri_arena arena;
    tri_error err;
    tri_gguf gguf;
} fixture;

static int open_kinds(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    strcpy(f->dir, "/tmp/tri_gguf_test_XXXXXX");
    if (!mkdtemp(f->dir)) return -1;
    return tri_gguf_open(&f->gguf, GOLDEN "kinds.gguf", &f->arena, &f->err) ? -1 : 0;
}

static int close_kinds(void **state) {
    fixture *f = *state;
    tri_gguf_close(&f->gguf);
    tri_path_remove_tree(f->dir, NULL);
    tri_arena_deinit(&f->arena);
    free(f);
    return 0;
}

static const tri_json *read_json(fixture *f, const char *path) {
    tri_str text;
    const tri_json *root;
    assert_int_equal(tri_file_read(path, 1 << 20, &f->arena, &text, NULL), TRI_OK);
    assert_int_equal(tri_json_parse(text, &f->arena, &root, NULL), TRI_OK);
    return root;
}

static void expect_number(const tri_gguf *g, const char *key, const tri_json *want) {
    double f64 = 0;
    int64_t i64 = 0;
    tri_error err = {0};
    if (tri_json_number_i64(want->text, &i64)) {
        int64_t got = ~i64;
        if (tri_gguf_read_i64(g, key, INT64_MIN, INT64_MAX, &got, &err))
            fail_msg("%s", err.message);
        assert_int_equal(got, i64);
        return;
    }
    if (tri_str_is(want->text, "18446744073709551615")) { /* no int64_t holds it */
        assert_int_equal(tri_gguf_read_i64(g, key, INT64_MIN, INT64_MAX, &i64, &err), TRI_E_FORMAT);
        assert_int_equal(tri_gguf_find(g, key)->kind, TRI_GGUF_U64);
        return;
    }
    assert_int_equal(tri_gguf_read_f64(g, key, &f64, &err), TRI_OK);
    assert_true(f64 == tri_json_number_f64(want->text));
}

static void expect_array(const tri_gguf_value *v, const tri_json *want) {
    assert_int_equal(v->kind, TRI_GGUF_ARRAY);
    assert_int_equal(v->n, want->n);
    for (int32_t i = 0; i < want->n; i++) {
        const tri_json *item = &want->items[i];
        if (item->kind == TRI_JSON_STRING)
            assert_true(tri_str_equal(v->strings[i], item->text));
        else if (item->kind == TRI_JSON_BOOL)
            assert_int_equal(tri_gguf_array_i64(v, i), item->boolean);
        else
            assert_true(tri_gguf_array_f64(v, i) == tri_json_number_f64(item->text));
    }
    assert_int_equal(tri_gguf_array_i64(v, v->n), 0);
    assert_int_equal(tri_gguf_array_i64(v, -1), 0);
}

static void expect_metadata(fixture *f, const tri_gguf *g) {
    const tri_json *list = tri_json_get(read_json(f, GOLDEN "kinds.json"), "metadata");
    assert_int_equal(g->n_values, list->n);
    for (int32_t i = 0; i < list->n; i++) {
        const char *key = tri_json_get(&list->items[i], "key")->text.ptr;
        const tri_json *want = tri_json_get(&list->items[i], "value");
        tri_str text = {0};
        bool flag = false;
        assert_string_equal(g->values[i].key, key);
        assert_ptr_equal(tri_gguf_find(g, key), &g->values[i]);
        switch (want->kind) {
        case TRI_JSON_NUMBER:
            expect_number(g, key, want);
            break;
        case TRI_JSON_BOOL:
            assert_int_equal(tri_gguf_read_bool(g, key, &flag, NULL), TRI_OK);
            assert_int_equal(flag, want->boolean);
            break;
        case TRI_JSON_STRING:
            assert_int_equal(tri_gguf_read_str(g, key, &text, NULL), TRI_OK);
            assert_true(tri_str_equal(text, want->text));
            break;
        default:
            expect_array(&g->values[i], want);
        }
    }
}

static void reads_every_kind_of_value(void **state) {
    fixture *f = *state;
    assert_int_equal(f->gguf.version, 3);
    expect_metadata(f, &f->gguf);
}

static void refuses_reads_of_the_wrong_kind(void **state) {
    fixture *f = *state;
    int64_t i64 = 77;
    double f64 = 77;
    bool flag = true;
    tri_str text = {0};
    const tri_gguf *g = &f->gguf;
    assert_int_equal(tri_gguf_read_i64(g, "absent", 0, 1, &i64, &f->err), TRI_OK);
    assert_int_equal(tri_gguf_read_i64(g, "test.string", 0, 1, &i64, &f->err), TRI_E_FORMAT);
    assert_non_null(strstr(f->err.message, "test.string"));
    assert_int_equal(tri_gguf_read_i64(g, "test.float32", 0, 1, &i64, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_i64(g, "test.true", 0, 1, &i64, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_i64(g, "test.array_int", 0, 1, &i64, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_i64(g, "test.uint8", 0, 199, &i64, &f->err), TRI_E_FORMAT);
    assert_non_null(strstr(f->err.message, "test.uint8 is 200"));
    assert_int_equal(tri_gguf_read_i64(g, "test.int8", -99, 0, &i64, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_f64(g, "test.string", &f64, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_f64(g, "test.true", &f64, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_bool(g, "test.uint8", &flag, &f->err), TRI_E_FORMAT);
    assert_int_equal(tri_gguf_read_str(g, "test.uint8", &text, &f->err), TRI_E_FORMAT);
    assert_int_equal(i64, 77);
    assert_true(f64 == 77 && flag && text.ptr == NULL);
    assert_int_equal(tri_gguf_read_f64(g, "test.uint8", &f64, &f->err), TRI_OK);
    assert_true(f64 == 200);
    const tri_gguf_value *strings = tri_gguf_find(g, "test.array_string");
    assert_int_equal(tri_gguf_array_i64(strings, 0), 0);
    assert_true(tri_gguf_array_f64(strings, 0) == 0);
}

/* Values as gguf's own dequantize gives them; the codecs' exactness is the codec test's matter. */
static void reads_every_type_of_tensor(void **state) {
    fixture *f = *state;
    tri_safetensors expected;
    assert_int_equal(
        tri_safetensors_open(&expected, GOLDEN "kinds.safetensors", &f->arena, &f->err), TRI_OK);
    assert_int_equal(f->gguf.n_tensors, expected.n_tensors);
    for (int32_t i = 0; i < f->gguf.n_tensors; i++) {
        const tri_gguf_tensor *t = &f->gguf.tensors[i];
        const tri_safetensor *want = tri_safetensors_find(&expected, t->name);
        assert_non_null(want);
        assert_int_equal(t->n_dims, want->n_dims);
        int64_t n = 1;
        for (int32_t d = 0; d < t->n_dims; d++) {
            assert_int_equal(t->dims[d], want->dims[d]);
            n *= t->dims[d];
        }
        assert_int_equal(t->n_bytes, tri_dtype_row_bytes(t->dtype, n));
        assert_int_equal((t->data - f->gguf.map.data) % 64, 0);
        float *values = malloc((size_t)n * sizeof *values);
        tri_codec_decode(t->dtype, t->data, values, n);
        for (int64_t k = 0; k < n; k++) {
            float x;
            memcpy(&x, want->data + (size_t)k * sizeof x, sizeof x);
            if (x != values[k]) fail_msg("%s[%d]: %g, not %g", t->name, (int)k, values[k], x);
        }
        free(values);
        assert_ptr_equal(tri_gguf_tensor_find(&f->gguf, t->name), t);
    }
    assert_null(tri_gguf_tensor_find(&f->gguf, "absent"));
    tri_safetensors_close(&expected);
}

static void writes_metadata_verbatim(void **state) {
    fixture *f = *state;
    char *path = tri_path_join(&f->arena, f->dir, "tokenizer.gguf");
    tri_gguf copy;
    assert_int_equal(tri_gguf_write_metadata(&f->gguf, path, &f->err), TRI_OK);
    assert_true(tri_gguf_is(path));
    assert_int_equal(tri_gguf_open(&copy, path, &f->arena, &f->err), TRI_OK);
    assert_int_equal(copy.n_tensors, 0);
    expect_metadata(f, &copy);
    assert_int_equal(copy.map.n_bytes, 24 + f->gguf.metadata_bytes);
    assert_int_equal(copy.metadata_bytes, f->gguf.metadata_bytes);
    assert_memory_equal(copy.map.data + 24, f->gguf.map.data + 24, (size_t)f->gguf.metadata_bytes);
    tri_gguf_close(&copy);
}

static void tells_gguf_files(void **state) {
    (void)state;
    assert_true(tri_gguf_is(GOLDEN "kinds.gguf"));
    assert_false(tri_gguf_is(GOLDEN "kinds.json"));
    assert_false(tri_gguf_is(GOLDEN "absent"));
    assert_false(tri_gguf_is(GOLDEN));
}

/* Every prefix is refused, up to the end of the last tensor. */
static void refuses_every_truncation(void **state) {
    fixture *f = *state;
    int64_t end = 0;
    for (int32_t i = 0; i < f->gguf.n_tensors; i++) {
        const tri_gguf_tensor *t = &f->gguf.tensors[i];
        int64_t its_end = t->data - f->gguf.map.data + t->n_bytes;
        if (its_end > end) end = its_end;
    }
    for (int64_t n = 0; n < end; n += n < 3000 ? 1 : 97) {
        tri_gguf cut;
        tri_arena arena = {0};
        uint8_t *bytes = malloc((size_t)n + 1);
        memcpy(bytes, f->gguf.map.data, (size_t)n);
        assert_int_equal(tri_gguf_parse(&cut, bytes, n, &arena, &f->err), TRI_E_FORMAT);
        free(bytes);
        tri_arena_deinit(&arena);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_kinds, close_kinds)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(reads_every_kind_of_value),
        CASE(refuses_reads_of_the_wrong_kind),
        CASE(reads_every_type_of_tensor),
        CASE(writes_metadata_verbatim),
        CASE(tells_gguf_files),
        CASE(refuses_every_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
