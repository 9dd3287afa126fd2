/* What inspect says of every kind of file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/engine/support.h"

static char *inspected(const char *path, uint32_t what) {
    char *text = NULL;
    OK(tri_inspect(path, what, NULL, &text, err));
    assert_non_null(text);
    return text;
}

static void expect(const char *text, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!strstr(text, words[i])) fail_msg("'%s' is not in:\n%.3000s", words[i], text);
    }
}
#define EXPECT(text, ...)                                                                          \
    expect(text, (const char *const[]){__VA_ARGS__},                                               \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static scratch build(const char *name, bool strip) {
    scratch model = golden_path("families/qwen3"), dir = scratch_dir(name);
    tri_build_options options = build_options(model.path, dir.path);
    options.cpu_isa = "generic";
    options.weight_only = "int8";
    options.strip_plan = strip;
    OK(tri_build(&options, err));
    return dir;
}

static void test_engine(void **state) {
    (void)state;
    scratch dir = build("inspect", false);
    char *text = inspected(dir.path, TRI_INSPECT_SUMMARY);
    EXPECT(text, "engine", "Qwen3ForCausalLM", "cpu generic", "weights", "Weights or code?",
        "no code", "plan", "rank0.engine", "canonical_graph", "i8", "transformer.ln_f.weight");
    free(text);
    text = inspected(dir.path, TRI_INSPECT_WEIGHTS | TRI_INSPECT_VERIFY);
    EXPECT(text, "derivation", "weight(\"transformer.ln_f.weight\")", "lossy: quantize",
        "every checksum agrees");
    assert_null(strstr(text, "canonical_graph"));
    free(text);
    text = inspected(dir.path, TRI_INSPECT_GRAPH);
    EXPECT(text, "trireme.graph 1", "output logits");
    free(text);
    text = inspected(dir.path, TRI_INSPECT_PLAN);
    EXPECT(text, "forward:", "sample: 4 launches", "numerics", "not chosen:", "needs avx2",
        "KV cache", "activations");
    free(text);
    text = inspected(dir.path, TRI_INSPECT_DOT);
    EXPECT(text, "digraph \"Qwen3ForCausalLM\"", "cluster_", "attention", "-> out0");
    assert_true(text[strlen(text) - 2] == '}');
    free(text);
}

static void test_json(void **state) {
    (void)state;
    scratch dir = build("inspect_json", false);
    char *text = inspected(dir.path, TRI_INSPECT_JSON | TRI_INSPECT_PLAN | TRI_INSPECT_GRAPH);
    tri_arena arena;
    const tri_json *root;
    tri_arena_init(&arena, 0);
    OK(tri_json_parse(tri_str_of(text), &arena, &root, err));
    assert_true(tri_str_is(tri_json_get(root, "what")->text, "engine"));
    const tri_json *files = tri_json_get(root, "files");
    assert_int_equal(files->n, 1);
    const tri_json *entries = tri_json_get(&files->items[0], "entries");
    assert_true(entries->n > 20);
    int64_t total = 0, bytes = 0, header = 0, n = 0;
    for (int32_t i = 0; i < entries->n; i++) {
        OK(tri_json_read_i64(&entries->items[i], "bytes", 0, INT64_MAX, &n, err));
        total += n;
    }
    OK(tri_json_read_i64(&files->items[0], "bytes", 0, INT64_MAX, &bytes, err));
    OK(tri_json_read_i64(&files->items[0], "header_bytes", 0, INT64_MAX, &header, err));
    assert_int_equal(total + header, bytes); /* nothing of the file is unaccounted for */
    assert_non_null(tri_json_get(root, "plan"));
    assert_non_null(tri_json_get(root, "graph"));
    tri_arena_deinit(&arena);
    free(text);
}

static void test_stripped(void **state) {
    (void)state;
    scratch dir = build("inspect_stripped", true);
    char *text = inspected(dir.path, TRI_INSPECT_WEIGHTS);
    EXPECT(text, "left out", "stripped", "transformer.ln_f.weight");
    free(text);
}

static void test_models(void **state) {
    (void)state;
    scratch hf = golden_path("families/gemma2"), gguf = golden_path("gguf/tiny_llama.gguf");
    scratch file = golden_path("families/gemma2/model.safetensors");
    char *text = inspected(hf.path, TRI_INSPECT_SUMMARY);
    EXPECT(text, "Hugging Face directory", "model.embed_tokens.weight", "model.safetensors");
    free(text);
    text = inspected(hf.path, TRI_INSPECT_GRAPH);
    EXPECT(text, "trireme.graph 1", "Gemma2ForCausalLM");
    free(text);
    text = inspected(file.path, TRI_INSPECT_WEIGHTS);
    EXPECT(text, "safetensors file", "model.layers.0.mlp.gate_proj.weight");
    free(text);
    text = inspected(gguf.path, TRI_INSPECT_SUMMARY);
    EXPECT(text, "GGUF file", "token_embd.weight", "llama");
    free(text);
    text = inspected(gguf.path, TRI_INSPECT_DOT);
    EXPECT(text, "digraph", "rope");
    free(text);
}

static void test_refused(void **state) {
    (void)state;
    char *text = NULL;
    scratch none = scratch_dir("nothing"), hf = golden_path("families/gemma2");
    FAILS(TRI_E_NOT_FOUND, tri_inspect(none.path, 0, NULL, &text, err), none.path);
    OK(tri_path_make_dirs(none.path, err));
    FAILS(TRI_E_NOT_FOUND, tri_inspect(none.path, 0, NULL, &text, err), "rank0.engine");
    FAILS(TRI_E_ARGUMENT, tri_inspect(hf.path, TRI_INSPECT_PLAN, NULL, &text, err), "no plan");
    FAILS(TRI_E_ARGUMENT, tri_inspect(NULL, 0, NULL, &text, err), "path");
    assert_null(text);
}

static void write_tensor(const char *path, const char *name) {
    tri_safetensors_writer *w = NULL;
    const int64_t dims[1] = {4};
    OK(tri_safetensors_writer_open(&w, path, err));
    OK(tri_safetensors_writer_declare(w, name, TRI_U8, dims, 1, err));
    OK(tri_safetensors_writer_begin(w, 8, err));
    OK(tri_safetensors_writer_write(w, "1234", 4, err));
    OK(tri_safetensors_writer_commit(w, err));
}

/* What a file says reaches the terminal spelled out, in columns, in every form. */
static void test_names_are_escaped(void **state) {
    (void)state;
    static const char name[] = "ab\x1b[31mRED\n\xC2\x9b";
    scratch dir = scratch_dir("inspect_escaped");
    char path[700];
    OK(tri_path_make_dirs(dir.path, err));
    (void)snprintf(path, sizeof path, "%s/a\x1b.safetensors", dir.path);
    write_tensor(path, name);
    static const uint32_t kinds[] = {TRI_INSPECT_SUMMARY, TRI_INSPECT_WEIGHTS, TRI_INSPECT_JSON};
    for (size_t i = 0; i < 3; i++) {
        char *text = inspected(path, kinds[i]);
        assert_null(strchr(text, 0x1b));
        assert_null(strstr(text, "\xC2\x9b"));
        if (kinds[i] == TRI_INSPECT_JSON) {
            EXPECT(text, "ab\\u001b[31mRED\\n\\u009b");
        } else {
            EXPECT(text, "  ab\\x1b[31mRED\\n\\u009b ", "a\\x1b.safetensors");
        }
        free(text);
    }
    FAILS(TRI_E_NOT_FOUND, tri_inspect("no\x1b[31m", 0, NULL, &(char *){NULL}, err), "no\\x1b[31m");
}

/* Of a model's directory what the model is read from; of others whatever is there. */
static void test_which_files(void **state) {
    (void)state;
    scratch dir = scratch_dir("inspect_files");
    char path[700];
    OK(tri_path_make_dirs(dir.path, err));
    static const char *const names[] = {"stray", "model-1", "rank0", "rank1"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s.safetensors", dir.path, names[i]);
        write_tensor(path, names[i]);
    }
    char *text = inspected(dir.path, 0);
    EXPECT(text, ": checkpoint", "rank0.safetensors", "rank1.safetensors");
    assert_null(strstr(text, "stray"));
    free(text);
    (void)snprintf(path, sizeof path, "%s/rank0.safetensors", dir.path);
    OK(tri_path_remove_tree(path, err));
    text = inspected(dir.path, 0);
    EXPECT(text, "stray.safetensors", "model-1.safetensors");
    free(text);
    static const char index[] = "{\"weight_map\": {\"model-1\": \"model-1.safetensors\"}}";
    (void)snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir.path);
    OK(tri_file_replace(path, index, sizeof index - 1, err));
    text = inspected(dir.path, 0);
    EXPECT(text, "Hugging Face directory", "model-1.safetensors");
    assert_null(strstr(text, "stray"));
    free(text);
}

/* Each question that is asked is answered or refused. */
static void test_nothing_is_passed_over(void **state) {
    (void)state;
    scratch dir = build("inspect_rank", false), gguf = golden_path("gguf/tiny_llama.gguf");
    scratch hf = golden_path("families/gemma2");
    char rank0[700];
    (void)snprintf(rank0, sizeof rank0, "%s/rank0.engine", dir.path);
    char *of_engine = inspected(dir.path, TRI_INSPECT_DOT),
         *of_rank = inspected(rank0, TRI_INSPECT_DOT);
    assert_string_equal(of_engine, of_rank);
    free(of_engine);
    free(of_rank);
    char *text = inspected(rank0, TRI_INSPECT_GRAPH | TRI_INSPECT_VERIFY);
    EXPECT(text, "trireme.graph 1", "every checksum agrees");
    free(text);
    FAILS(TRI_E_ARGUMENT, tri_inspect(rank0, TRI_INSPECT_PLAN, NULL, &text, err), "directory");
    FAILS(TRI_E_ARGUMENT,
        tri_inspect(dir.path, TRI_INSPECT_JSON | TRI_INSPECT_DOT, NULL, &text, err), "JSON", "dot");
    const char *const without[] = {gguf.path, hf.path};
    for (size_t i = 0; i < 2; i++) {
        text = inspected(without[i], TRI_INSPECT_VERIFY);
        EXPECT(text, "verified    nothing", "no checksums");
        free(text);
    }
    text = inspected(gguf.path, TRI_INSPECT_JSON);
    EXPECT(text, "\"header_bytes\": ");
    assert_null(strstr(text, "\"header_bytes\": 0,"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_which_files),
        cmocka_unit_test(test_nothing_is_passed_over),
        cmocka_unit_test(test_engine),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_stripped),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
