#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/safetensors.h"

#define FILES TRI_TESTS_DIR "/unit/data/files/"
#define GOLDEN TRI_TESTS_DIR "/golden/families/"

static float first_value(const tri_safetensors_set *set, const char *name) {
    const tri_safetensor *t = tri_safetensors_set_find(set, name);
    assert_non_null(t);
    float value;
    memcpy(&value, t->data, sizeof value);
    return value;
}

/* "both" is in both files with different values: the index says which counts. */
static void finds_tensors_where_the_index_says(void **state) {
    (void)state;
    tri_arena arena = {0};
    tri_error err = {0};
    tri_safetensors_set set;
    assert_int_equal(tri_safetensors_set_open(&set, FILES "sharded", &arena, &err), TRI_OK);
    assert_int_equal(set.n_files, 2);
    assert_float_equal(first_value(&set, "x"), 1.0f, 0);
    assert_float_equal(first_value(&set, "y"), 3.0f, 0);
    assert_float_equal(first_value(&set, "both"), 5.0f, 0);
    assert_null(tri_safetensors_set_find(&set, "z"));
    tri_safetensors_set_close(&set);
    tri_arena_deinit(&arena);
}

static void opens_model_directories(void **state) {
    (void)state;
    tri_arena arena = {0};
    tri_error err = {0};
    tri_safetensors_set set;
    assert_int_equal(tri_safetensors_set_open(&set, GOLDEN "llama_tied", &arena, &err), TRI_OK);
    assert_int_equal(set.n_files, 1);
    assert_non_null(tri_safetensors_set_find(&set, "model.layers.2.self_attn.q_proj.weight"));
    tri_safetensors_set_close(&set);
    assert_int_equal(tri_safetensors_set_open(&set, GOLDEN "qwen3_bias", &arena, &err), TRI_OK);
    assert_int_equal(set.n_files, 4);
    const tri_safetensor *t =
        tri_safetensors_set_find(&set, "model.layers.2.self_attn.q_proj.weight");
    assert_int_equal(t->dims[0], 96);
    assert_int_equal(t->dims[1], 48);
    assert_int_equal(t->dtype, TRI_F32);
    tri_safetensors_set_close(&set);
    tri_arena_deinit(&arena);
}

/* ---- indices of our own ---- */

typedef struct {
    char dir[64];
    tri_arena arena;
} fixture;

static int make_dir(void **state) {
    fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/tri_set_test_XXXXXX");
    *state = f;
    return mkdtemp(f->dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    fixture *f = *state;
    tri_path_remove_tree(f->dir, NULL);
    tri_arena_deinit(&f->arena);
    free(f);
    return 0;
}

static void refuse(fixture *f, const char *index, tri_status status, const char *message) {
    tri_error err = {0};
    tri_safetensors_set set = {0};
    if (index) {
        const char *path = tri_path_join(&f->arena, f->dir, "model.safetensors.index.json");
        assert_int_equal(tri_file_replace(path, index, strlen(index), NULL), TRI_OK);
    }
    assert_int_equal(tri_safetensors_set_open(&set, f->dir, &f->arena, &err), status);
    if (!strstr(err.message, message)) fail_msg("%s\nlacks: %s", err.message, message);
    assert_null(set.files);
}

static void refuses_bad_indices(void **state) {
    fixture *f = *state;
    const char *shard = tri_path_join(&f->arena, f->dir, "a.safetensors");
    const char empty[] = "\2\0\0\0\0\0\0\0{}";
    assert_int_equal(tri_file_replace(shard, empty, sizeof empty - 1, NULL), TRI_OK);
    refuse(f, NULL, TRI_E_NOT_FOUND, "neither");
    refuse(f, "{", TRI_E_FORMAT, "index.json");
    refuse(f, "[]", TRI_E_FORMAT, "weight_map");
    refuse(f, "{\"weight_map\":3}", TRI_E_FORMAT, "weight_map");
    refuse(f, "{\"weight_map\":{\"x\":3}}", TRI_E_FORMAT, "tensor x");
    refuse(f, "{\"weight_map\":{\"x\":\"../a.safetensors\"}}", TRI_E_FORMAT, "same directory");
    refuse(f, "{\"weight_map\":{\"x\":\"/etc/passwd\"}}", TRI_E_FORMAT, "same directory");
    refuse(f, "{\"weight_map\":{\"x\":\"\"}}", TRI_E_FORMAT, "same directory");
    refuse(f, "{\"weight_map\":{\"x\":\"a.safetensors\\u0000b\"}}", TRI_E_FORMAT, "same directory");
    refuse(f, "{\"weight_map\":{\"x\":\"b.safetensors\"}}", TRI_E_NOT_FOUND, "b.safetensors");
    refuse(f, "{\"weight_map\":{\"x\":\"a.safetensors\"}}", TRI_E_FORMAT, "tensor x is not in");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_tensors_where_the_index_says),
        cmocka_unit_test(opens_model_directories),
        cmocka_unit_test_setup_teardown(refuses_bad_indices, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
