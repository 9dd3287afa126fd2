/* Engines of hand-made random models against the interpreter running the graph they were built
 * from, in every mode that numbers can be held in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/engine/own_model.h"

typedef struct mode {
    const char *name, *dtype, *activation, *weight_only;
    int32_t group_size;
    tri_precision precision; /* the same for the interpreter */
    double tolerance;        /* in standard deviations of the logits */
} mode;

/* The interpreter sums in double what kernels sum in float32, over at most 64 columns here: an
 * error of a few 1e-7 of each sum, through two layers.  Rounding to bf16 or to 8 bits turns such an
 * error into one step of the rounding where a value lies at a boundary: 2^-9 or 1/254 of one
 * operand among 32 of a sum, now and then. */
static const mode modes[] = {
    {"f32", "float32", NULL, NULL, 0, {TRI_F32, NULL, TRI_F32, TRI_N_DTYPES, 0}, 2e-5},
    {"bf16", "bfloat16", NULL, NULL, 0, {TRI_BF16, NULL, TRI_BF16, TRI_N_DTYPES, 0}, 2e-2},
    {"bf16 f32", "bfloat16", "float32", NULL, 0, {TRI_BF16, "f32", TRI_BF16, TRI_N_DTYPES, 0},
        1e-2},
    {"int8", "bfloat16", "float32", "int8", 0, {TRI_BF16, "f32", TRI_BF16, TRI_I8, 0}, 1e-2},
    {"int4", "float32", "float32", "int4", 32, {TRI_F32, "f32", TRI_F32, TRI_I4, 32}, 2e-5},
};

/* blocks: the dtype of matrices, or TRI_N_DTYPES for the model's own. */
static void check_blocks(const char *name, tri_dtype blocks, const mode *m) {
    test_model model = test_model_named(name, 2);
    if (blocks != TRI_N_DTYPES) model.dtype = blocks;
    tri_graph *g = test_model_define(&model);
    assert_non_null(g);
    own_weights w = own_weights_of(g, 7);
    scratch dir = scratch_dir("own");
    tri_build_options options = build_options(NULL, dir.path);
    options.dtype = m->dtype;
    options.activation_dtype = m->activation;
    options.weight_only = m->weight_only;
    options.group_size = m->group_size;
    OK(tri_build_graph(g, own_read, &w, &options, err));

    runner r;
    golden_sequence s[2];
    int32_t tokens[2][16];
    int32_t n_tokens = own_prompts(s, tokens);
    runner_open(&r, dir.path);
    assert_string_equal(r.info.architecture, "TestForCausalLM");
    assert_int_equal(r.info.vocab_size, model.vocab);
    float *logits = runner_logits(&r, s, 2);
    float *expected = own_reference(g, &w, &m->precision);
    double error = golden_error(logits, expected, (int64_t)n_tokens * model.vocab);
    if (!(error < m->tolerance)) fail_msg("%s as %s: logits are off by %g", name, m->name, error);
    free(expected);
    free(logits);
    runner_deinit(&r);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

static void check_model(const char *name, const mode *m) {
    check_blocks(name, TRI_N_DTYPES, m);
}

static void test_modes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        check_model("llama", &modes[i]);
}

static void test_models(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        check_model(test_model_names[i], &modes[0]);
        if (strcmp(test_model_names[i], "blocks") != 0) check_model(test_model_names[i], &modes[1]);
    }
}

/* GGUF blocks kept, activations in 8-bit blocks. */
static void test_blocks(void **state) {
    (void)state;
    const mode m = {
        "blocks", NULL, NULL, NULL, 0, {TRI_N_DTYPES, NULL, TRI_F16, TRI_N_DTYPES, 0}, 2e-2};
    static const tri_dtype blocks[] = {TRI_Q8_0, TRI_Q4_0, TRI_Q4_1, TRI_Q5_0, TRI_Q5_1};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        check_blocks("blocks", blocks[i], &m);
}

/* Decoding in chunks of any size, and other sequences beside it in any order, change no bit. */
static void check_invariance(const char *dtype) {
    const test_model model = test_model_named("gemma", 2);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 3);
    scratch dir = scratch_dir("chunks");
    tri_build_options options = build_options(NULL, dir.path);
    options.dtype = dtype;
    OK(tri_build_graph(g, own_read, &w, &options, err));
    runner r;
    golden_sequence s[2];
    int32_t tokens[2][16];
    own_prompts(s, tokens);
    runner_open(&r, dir.path);
    size_t row = (size_t)model.vocab * sizeof(float);
    float *whole = runner_logits(&r, s, 1);
    int32_t chunk = 1, at = 0;
    while (at < s[0].n_tokens) {
        int32_t n = s[0].n_tokens - at < chunk ? s[0].n_tokens - at : chunk;
        golden_sequence part = {tokens[0] + at, n, at, 3};
        float *logits = runner_logits(&r, &part, 1);
        assert_memory_equal(logits, whole + (int64_t)at * model.vocab, (size_t)n * row);
        free(logits);
        at += n;
        chunk++;
    }
    const golden_sequence swapped[2] = {s[1], s[0]};
    float *in_order = runner_logits(&r, s, 2), *other = runner_logits(&r, swapped, 2);
    assert_memory_equal(in_order, whole, (size_t)s[0].n_tokens * row);
    assert_memory_equal(
        other + (int64_t)s[1].n_tokens * model.vocab, whole, (size_t)s[0].n_tokens * row);
    assert_memory_equal(
        other, in_order + (int64_t)s[0].n_tokens * model.vocab, (size_t)s[1].n_tokens * row);
    free(in_order);
    free(other);
    free(whole);
    runner_deinit(&r);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

static void test_invariance(void **state) {
    (void)state;
    check_invariance("float32");
    check_invariance("bfloat16");
}

static tri_status failing_read(
    void *user, const char *name, void *out, int64_t n_bytes, tri_error *err) {
    (void)user;
    (void)out;
    return TRI_FAIL(err, TRI_E_IO, "%s: the disk is gone after %d bytes", name, (int)n_bytes);
}

/* A failed build leaves nothing, and what was there stays. */
static void test_failed(void **state) {
    (void)state;
    const test_model model = test_model_named("llama", 1);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 1);
    scratch dir = scratch_dir("failed");
    tri_build_options options = build_options(NULL, dir.path);
    FAILS(TRI_E_IO, tri_build_graph(g, failing_read, NULL, &options, err), "the disk is gone",
        "transformer");
    assert_false(tri_path_exists(dir.path));
    OK(tri_build_graph(g, own_read, &w, &options, err));
    FAILS(TRI_E_IO, tri_build_graph(g, failing_read, NULL, &options, err), "the disk is gone");
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    tri_engine_close(engine);

    options.tp_size = 2;
    FAILS(TRI_E_UNSUPPORTED, tri_build_graph(g, own_read, &w, &options, err), "tp_size 2");
    options.tp_size = 0;
    options.dtype = "float12";
    FAILS(TRI_E_ARGUMENT, tri_build_graph(g, own_read, &w, &options, err), "dtype", "float12");
    options.dtype = NULL;
    options.max_beam_width = 4;
    FAILS(TRI_E_UNSUPPORTED, tri_build_graph(g, own_read, &w, &options, err), "max_beam_width");
    options.max_beam_width = 1;
    test_model blocks = test_model_named("blocks", 1);
    tri_graph *quantised = test_model_define(&blocks);
    options.weight_only = "int8";
    FAILS(TRI_E_ARGUMENT, tri_build_graph(quantised, own_read, &w, &options, err), "weight_only",
        "dtype");
    tri_graph_destroy(quantised);
    options.weight_only = NULL;
    options.struct_size = 8;
    FAILS(TRI_E_VERSION, tri_build_graph(g, own_read, &w, &options, err), "struct_size");
    own_weights_free(&w);
    tri_graph_destroy(g);
}

typedef struct stopper {
    int32_t left; /* calls until it says no */
} stopper;

static bool stop_after(void *user, const char *what, int64_t done, int64_t total) {
    stopper *s = user;
    assert_true(done <= total && total > 0 && *what);
    return s->left-- > 0;
}

static int32_t n_entries(const char *dir) {
    tri_arena arena;
    char **names;
    int32_t n = -1;
    tri_arena_init(&arena, 0);
    OK(tri_path_list(dir, &arena, &names, &n, err));
    tri_arena_deinit(&arena);
    return n;
}

/* Ended at every moment at which it can be: nothing is left, and what was there stays. */
static void test_cancelled(void **state) {
    (void)state;
    scratch model = golden_path("families/llama_tied"), home = scratch_dir("cancelled");
    char out[600];
    (void)snprintf(out, sizeof out, "%s/e", home.path);
    OK(tri_path_make_dirs(home.path, err));
    tri_build_options options = build_options(model.path, out);
    int32_t n_stops = 0;
    for (;; n_stops++) {
        stopper s = {n_stops};
        options.progress = stop_after;
        options.progress_user = &s;
        tri_error err = {0};
        tri_status rc = tri_build(&options, &err);
        if (!rc) break;
        assert_int_equal(rc, TRI_E_CANCELLED);
        assert_non_null(strstr(err.message, "cancelled"));
        assert_int_equal(n_entries(home.path), 0);
    }
    assert_true(n_stops > 2);
    assert_int_equal(n_entries(home.path), 1);
    for (n_stops = 0;; n_stops++) {
        stopper s = {n_stops};
        tri_error err = {0};
        tri_status rc = tri_refit(out, model.path, NULL, NULL, stop_after, &s, &err);
        if (!rc) break;
        assert_int_equal(rc, TRI_E_CANCELLED);
        assert_non_null(strstr(err.message, "cancelled"));
        assert_int_equal(n_entries(home.path), 1);
    }
    assert_true(n_stops > 2);
    tri_engine *engine = NULL;
    const tri_engine_options verify = {.struct_size = sizeof verify, .verify_weights = true};
    OK(tri_engine_open(&engine, out, &verify, err));
    tri_engine_close(engine);
}

/* What is no part of an engine would be lost with the directory. */
static void test_foreign(void **state) {
    (void)state;
    scratch model = golden_path("families/llama_tied"), dir = scratch_dir("foreign");
    scratch other = scratch_dir("foreign_other");
    char sub[600], note[600], copied[600];
    (void)snprintf(sub, sizeof sub, "%s/sub", dir.path);
    (void)snprintf(note, sizeof note, "%s/notes.txt", dir.path);
    (void)snprintf(copied, sizeof copied, "%s/notes.txt", other.path);
    tri_build_options options = build_options(model.path, dir.path);
    OK(tri_build(&options, err));
    OK(tri_build(&options, err)); /* over itself */
    OK(tri_path_make_dirs(sub, err));
    FAILS(TRI_E_ARGUMENT, tri_build(&options, err), "sub", "lost");
    FAILS(TRI_E_ARGUMENT, tri_refit(dir.path, model.path, NULL, NULL, NULL, NULL, err), "sub");
    OK(tri_path_remove_tree(sub, err));
    OK(tri_file_replace(note, "mine", 4, err));
    FAILS(TRI_E_ARGUMENT, tri_build(&options, err), "notes.txt", "lost");
    OK(tri_refit(dir.path, model.path, NULL, NULL, NULL, NULL, err)); /* takes it along */
    assert_true(tri_path_exists(note));
    OK(tri_refit(dir.path, model.path, other.path, NULL, NULL, NULL, err));
    assert_false(tri_path_exists(copied)); /* another engine */
    OK(tri_refit(dir.path, model.path, other.path, NULL, NULL, NULL, err));
}

/* What plans reserve is what was told before. */
static void test_memory_need(void **state) {
    (void)state;
    const test_model model = test_model_named("llama", 2);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 1);
    scratch dir = scratch_dir("need");
    tri_build_options options = build_options(NULL, dir.path);
    OK(tri_build_graph(g, own_read, &w, &options, err));
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    tri_memory_need need, twice;
    OK(tri_engine_memory_need(engine, 4, 64, 128, 512, &need, err));
    OK(tri_engine_memory_need(engine, 4, 64, 128, 1024, &twice, err));
    /* K and V of 2 layers, 2 heads of 8, bf16, for 512 tokens */
    assert_int_equal(need.kv_bytes, 2 * 2 * 2 * 8 * 2 * 512);
    assert_int_equal(twice.kv_bytes, 2 * need.kv_bytes);
    /* u16 a token of the vocabulary, a sequence, in whole cache lines */
    assert_int_equal(need.state_bytes, 4 * 128);
    assert_true(need.weight_bytes > 0 && need.activation_bytes > 0 && need.step_bytes > 0);
    OK(tri_engine_memory_need(engine, 0, 0, 0, 0, &twice, err));
    assert_true(twice.kv_bytes >= (int64_t)8 * GOLDEN_MAX_LEN * 128);
    OK(tri_engine_memory_need(engine, 4, 64, 33, 0, &twice, err)); /* 2 blocks of 32 each */
    assert_int_equal(2 * twice.kv_bytes, need.kv_bytes);
    FAILS(TRI_E_ARGUMENT, tri_engine_memory_need(engine, 1, 1, 1, -5, &need, err), "kv_tokens");
    tri_engine_close(engine);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_memory_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
