/* A written checkpoint, read again, serves what the original serves: bytes, types, and a config
 * that defines the same graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/weights.h"

typedef struct progress {
    int64_t done, total;
    int n_calls;
} progress;

static bool keep_progress(void *user, const char *what, int64_t done, int64_t total) {
    progress *p = user;
    assert_non_null(what);
    assert_true((done > p->done && done <= total) || done == total);
    p->done = done;
    p->total = total;
    p->n_calls++;
    return true;
}

/* Ends the work at the call that p->total counts down to. */
static bool stop(void *user, const char *what, int64_t done, int64_t total) {
    progress *p = user;
    (void)what, (void)done, (void)total;
    return ++p->n_calls <= p->total;
}

static tri_source *convert_and_open(tri_source *source, const char *dir) {
    tri_error err = {0};
    tri_source *checkpoint = NULL;
    progress p = {0};
    golden_ok(tri_convert(source, dir, keep_progress, &p, &err), &err);
    assert_true(p.n_calls > 0);
    assert_int_equal(p.done, p.total);
    tri_source_options options = {.dtype = TRI_N_DTYPES};
    golden_ok(tri_source_open(&checkpoint, dir, &options, &err), &err);
    assert_int_equal(tri_source_get_kind(checkpoint), TRI_SOURCE_CHECKPOINT);
    return checkpoint;
}

static void assert_same_graph(const tri_source *a, const tri_source *b, int32_t stage) {
    char *text_a = NULL, *text_b = NULL;
    tri_error err = {0};
    tri_graph *graph_a = golden_graph(a, stage, 256), *graph_b = golden_graph(b, stage, 256);
    golden_ok(tri_graph_print(graph_a, &text_a, &err), &err);
    golden_ok(tri_graph_print(graph_b, &text_b, &err), &err);
    assert_string_equal(text_a, text_b);
    tri_free(text_a);
    tri_free(text_b);
    tri_graph_destroy(graph_a);
    tri_graph_destroy(graph_b);
}

static void round_trip(const char *golden, tri_dtype dtype, int32_t tp, int32_t pp) {
    char dir[600];
    char *parent = weights_make_dir();
    (void)snprintf(dir, sizeof dir, "%s/checkpoint", parent);
    tri_source *source = weights_open(golden, dtype, tp, pp);
    tri_source *checkpoint = convert_and_open(source, dir);
    const tri_model_config *c = tri_source_config(checkpoint);
    assert_int_equal(c->mapping.tp_size, tp);
    assert_int_equal(c->mapping.pp_size, pp);
    assert_int_equal(c->dtype, tri_source_config(source)->dtype);
    for (int32_t rank = 0; rank < tp * pp; rank++)
        weights_assert_equal(source, checkpoint, rank);
    for (int32_t stage = 0; stage < pp; stage++)
        assert_same_graph(source, checkpoint, stage);
    tri_source_close(source);
    tri_source_close(checkpoint);
    weights_remove_dir(parent);
}

static void test_round_trips(void **state) {
    (void)state;
    for (int32_t pp = 1; pp <= 2; pp++)
        for (int32_t tp = 1; tp <= 4; tp *= 2) {
            round_trip("families/qwen2", TRI_N_DTYPES, tp, pp);
            round_trip("families/gemma2", TRI_N_DTYPES, tp, pp);
        }
    static const char *const others[] = {"llama_mha", "llama_rope_llama3", "llama_tied",
        "llama_bias", "mistral", "qwen3", "qwen3_bias", "gemma3", "phi3", "phi3_longrope"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "families/%s", others[i]);
        round_trip(name, TRI_N_DTYPES, 1, 1);
    }
    round_trip("families/llama_mha", TRI_F32, 4, 1);
    round_trip("families/gemma3", TRI_F16, 2, 1);
}

static void test_blocks_round_trip(void **state) {
    (void)state;
    round_trip("gguf/tiny_llama.gguf", TRI_N_DTYPES, 1, 1);
    round_trip("gguf/tiny_llama.gguf", TRI_N_DTYPES, 2, 1);
    round_trip("gguf/tiny_llama.gguf", TRI_N_DTYPES, 1, 2); /* layers of unlike formats */
    round_trip("gguf/tiny_llama.gguf", TRI_BF16, 4, 2);
}

/* What a reader that knows nothing of us sees. */
static void test_files_are_as_the_old_tools_wrote_them(void **state) {
    (void)state;
    char dir[600], path[700];
    char *parent = weights_make_dir();
    (void)snprintf(dir, sizeof dir, "%s/checkpoint", parent);
    tri_source *source = weights_open("gguf/tiny_llama.gguf", TRI_N_DTYPES, 1, 2);
    tri_source_close(convert_and_open(source, dir));
    tri_arena arena;
    tri_error err = {0};
    tri_safetensors file;
    tri_arena_init(&arena, 0);
    (void)snprintf(path, sizeof path, "%s/rank1.safetensors", dir);
    golden_ok(tri_safetensors_open(&file, path, &arena, &err), &err);
    const tri_safetensor *fc = tri_safetensors_find(&file, "transformer.layers.0.mlp.fc.weight");
    assert_non_null(fc);
    assert_int_equal(fc->dtype, TRI_U8);
    assert_int_equal(fc->dims[0], 512);
    assert_int_equal(fc->dims[1], 256 / 32 * 18); /* Q4_0 */
    assert_null(tri_safetensors_find(&file, "transformer.vocab_embedding.weight"));
    assert_int_equal(tri_safetensors_find(&file, "lm_head.weight")->dtype, TRI_F16);

    tri_str text;
    const tri_json *root;
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    golden_ok(tri_file_read(path, 1 << 20, &arena, &text, &err), &err);
    golden_ok(tri_json_parse(text, &arena, &root, &err), &err);
    const tri_json *quantization = tri_json_get(root, "quantization");
    assert_true(tri_str_is(tri_json_get(quantization, "quant_algo")->text, "GGUF"));
    /* by the layer's number in the whole model, as both ranks share this file */
    assert_non_null(tri_json_get(
        tri_json_get(quantization, "gguf_types"), "transformer.layers.1.mlp.fc.weight"));
    const tri_json *mapping = tri_json_get(root, "mapping");
    assert_true(tri_str_is(tri_json_get(mapping, "pp_size")->text, "2"));
    assert_true(tri_str_is(tri_json_get(mapping, "world_size")->text, "2"));
    tri_safetensors_close(&file);
    tri_arena_deinit(&arena);
    tri_source_close(source);
    weights_remove_dir(parent);
}

static void test_mapping_of_a_checkpoint_is_fixed(void **state) {
    (void)state;
    char dir[600];
    char *parent = weights_make_dir();
    tri_error err = {0};
    (void)snprintf(dir, sizeof dir, "%s/checkpoint", parent);
    tri_source *source = weights_open("families/qwen2", TRI_N_DTYPES, 2, 1);
    tri_source_close(convert_and_open(source, dir));
    tri_source *again = NULL;
    tri_source_options options = {.dtype = TRI_N_DTYPES, .tp_size = 4};
    assert_int_equal(tri_source_open(&again, dir, &options, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "tp_size 2"));
    options.tp_size = 2;
    golden_ok(tri_source_open(&again, dir, &options, &err), &err);
    tri_source_close(again);
    tri_source_close(source);
    weights_remove_dir(parent);
}

static void assert_same_file(const char *a, const char *b) {
    tri_error err = {0};
    tri_file_map x = {0}, y = {0};
    golden_ok(tri_file_map_open(&x, a, &err), &err);
    golden_ok(tri_file_map_open(&y, b, &err), &err);
    assert_int_equal(x.n_bytes, y.n_bytes);
    assert_memory_equal(x.data, y.data, (size_t)x.n_bytes);
    tri_file_map_close(&x);
    tri_file_map_close(&y);
}

static void test_tokenizer_travels(void **state) {
    (void)state;
    char first[600], second[600], a[700], b[700];
    char *parent = weights_make_dir();
    (void)snprintf(first, sizeof first, "%s/first", parent);
    (void)snprintf(second, sizeof second, "%s/second", parent);

    tri_source *hf = weights_open("families/llama_mha", TRI_N_DTYPES, 0, 0);
    tri_source_close(convert_and_open(hf, first));
    (void)snprintf(a, sizeof a, "%s/generation_config.json", tri_source_path(hf));
    (void)snprintf(b, sizeof b, "%s/generation_config.json", first);
    assert_same_file(a, b);
    tri_source_close(hf);

    /* GGUF -> checkpoint (over the other one) -> checkpoint */
    tri_source *gguf = weights_open("gguf/tiny_llama.gguf", TRI_N_DTYPES, 0, 0);
    tri_source *checkpoint = convert_and_open(gguf, first);
    tri_source_close(convert_and_open(checkpoint, second));
    (void)snprintf(a, sizeof a, "%s/tokenizer.gguf", first);
    (void)snprintf(b, sizeof b, "%s/tokenizer.gguf", second);
    assert_same_file(a, b);
    tri_arena arena;
    tri_error err = {0};
    tri_gguf tokenizer;
    tri_arena_init(&arena, 0);
    golden_ok(tri_gguf_open(&tokenizer, b, &arena, &err), &err);
    assert_int_equal(tokenizer.n_tensors, 0);
    assert_int_equal(tri_gguf_find(&tokenizer, "tokenizer.ggml.tokens")->n, 303);
    tri_gguf_close(&tokenizer);
    tri_arena_deinit(&arena);
    (void)snprintf(b, sizeof b, "%s/generation_config.json", first);
    assert_false(tri_path_exists(b));
    tri_source_close(checkpoint);
    tri_source_close(gguf);
    weights_remove_dir(parent);
}

static void test_failure_leaves_nothing(void **state) {
    (void)state;
    char file[600], dir[700];
    char *parent = weights_make_dir();
    tri_error err = {0};
    char **names;
    int32_t n;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    (void)snprintf(file, sizeof file, "%s/file", parent);
    golden_ok(tri_file_replace(file, "x", 1, &err), &err);
    (void)snprintf(dir, sizeof dir, "%s/checkpoint", file); /* inside a file: cannot be */
    tri_source *source = weights_open("families/qwen2", TRI_N_DTYPES, 1, 1);
    assert_int_not_equal(tri_convert(source, dir, NULL, NULL, &err), TRI_OK);
    assert_non_null(strstr(err.message, dir));
    golden_ok(tri_path_list(parent, &arena, &names, &n, &err), &err);
    assert_int_equal(n, 1);
    (void)snprintf(dir, sizeof dir, "%s/checkpoint", parent);
    tri_status rc = TRI_E_CANCELLED;
    int64_t n_stops = -1; /* ended at every moment at which it can be */
    while (rc == TRI_E_CANCELLED) {
        golden_ok(tri_path_list(parent, &arena, &names, &n, &err), &err);
        assert_int_equal(n, 1);
        progress p = {.total = ++n_stops};
        rc = tri_convert(source, dir, stop, &p, &err);
    }
    assert_int_equal(rc, TRI_OK);
    assert_true(n_stops > 2);
    tri_source_close(source);
    tri_arena_deinit(&arena);
    weights_remove_dir(parent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_blocks_round_trip),
        cmocka_unit_test(test_files_are_as_the_old_tools_wrote_them),
        cmocka_unit_test(test_mapping_of_a_checkpoint_is_fixed),
        cmocka_unit_test(test_tokenizer_travels),
        cmocka_unit_test(test_failure_leaves_nothing),
    };
    return cmocka_run_group_tests_name("models/convert", tests, NULL, NULL);
}
