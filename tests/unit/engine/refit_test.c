/* Refits: other weights into an engine give, bit for bit, what building from those weights gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/engine/support.h"

/* A model directory with the same config and other weights: another golden model's file with its
 * data turned around, float by float, so that it stays plausible. */
static void make_other(const char *model, const char *dir) {
    tri_arena arena;
    char from[700], to[700];
    tri_str text;
    tri_arena_init(&arena, 0);
    OK(tri_path_make_dirs(dir, err));
    (void)snprintf(from, sizeof from, "%s/config.json", model);
    (void)snprintf(to, sizeof to, "%s/config.json", dir);
    OK(tri_file_read(from, 1 << 20, &arena, &text, err));
    OK(tri_file_replace(to, text.ptr, text.len, err));

    tri_safetensors s;
    tri_safetensors_writer *w = NULL;
    (void)snprintf(from, sizeof from, "%s/model.safetensors", model);
    (void)snprintf(to, sizeof to, "%s/model.safetensors", dir);
    OK(tri_safetensors_open(&s, from, &arena, err));
    OK(tri_safetensors_writer_open(&w, to, err));
    for (int32_t i = 0; i < s.n_tensors; i++)
        OK(tri_safetensors_writer_declare(
            w, s.tensors[i].name, s.tensors[i].dtype, s.tensors[i].dims, s.tensors[i].n_dims, err));
    OK(tri_safetensors_writer_begin(w, 64, err));
    for (int32_t i = 0; i < s.n_tensors; i++) {
        const tri_safetensor *t = &s.tensors[i];
        int64_t elem = tri_dtype_row_bytes(t->dtype, 1), n = t->n_bytes / elem;
        uint8_t *turned = malloc((size_t)t->n_bytes);
        assert_non_null(turned);
        for (int64_t k = 0; k < n; k++)
            memcpy(turned + k * elem, t->data + (n - 1 - k) * elem, (size_t)elem);
        OK(tri_safetensors_writer_write(w, turned, (size_t)t->n_bytes, err));
        free(turned);
    }
    OK(tri_safetensors_writer_commit(w, err));
    tri_safetensors_close(&s);
    tri_arena_deinit(&arena);
}

static const int32_t tokens[] = {1, 5, 9, 2, 30, 17, 8};

static float *logits_of(const char *dir, int64_t *n) {
    runner r;
    const golden_sequence s = {tokens, 7, 0, 1};
    runner_open(&r, dir);
    float *logits = runner_logits(&r, &s, 1);
    *n = 7 * (int64_t)r.info.vocab_size;
    runner_deinit(&r);
    return logits;
}

static void check_same(const char *a, const char *b) {
    int64_t n_a, n_b;
    float *x = logits_of(a, &n_a), *y = logits_of(b, &n_b);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(x, y, (size_t)n_a * sizeof *x);
    free(x);
    free(y);
}

typedef struct setting {
    const char *model, *dtype, *weight_only;
    int32_t tp_size;
} setting;

static const setting settings[] = {
    {"families/llama_tied", "float32", NULL, 1},
    {"families/qwen2", "bfloat16", NULL, 1},
    {"families/gemma3", "bfloat16", "int8", 1},
    {"families/llama_mha", "bfloat16", NULL, 2},
};

static void build(const setting *s, const char *model, const char *dir, bool strip) {
    tri_build_options options = build_options(model, dir);
    options.dtype = s->dtype;
    options.weight_only = s->weight_only;
    options.tp_size = s->tp_size;
    options.strip_plan = strip;
    OK(tri_build(&options, err));
}

static void test_offline(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const setting *s = &settings[i];
        scratch model = golden_path(s->model), other = scratch_dir("other");
        scratch a = scratch_dir("refit_a"), b = scratch_dir("refit_b"), c = scratch_dir("refit_c");
        make_other(model.path, other.path);
        build(s, model.path, a.path, false);
        build(s, other.path, b.path, false);
        OK(tri_refit(a.path, other.path, c.path, NULL, NULL, NULL, err));
        check_same(c.path, b.path);
        OK(tri_refit(a.path, other.path, NULL, NULL, NULL, NULL, err)); /* in place */
        check_same(a.path, b.path);
    }
}

static void test_stripped(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const setting *s = &settings[i];
        scratch model = golden_path(s->model);
        scratch whole = scratch_dir("whole"), stripped = scratch_dir("stripped");
        build(s, model.path, whole.path, false);
        build(s, model.path, stripped.path, true);
        tri_engine *engine = NULL;
        tri_device *device = NULL;
        tri_plan *plan = NULL;
        tri_engine_info info;
        OK(tri_engine_open(&engine, stripped.path, NULL, err));
        tri_engine_get_info(engine, &info);
        assert_true(info.stripped);
        assert_true(info.weight_bytes > 0);
        const tri_plan_limits limits = {.max_tokens = 8,
            .max_sequences = 1,
            .max_rows = 8,
            .max_seq_len = 64,
            .n_blocks = {16, 16, 16, 16}};
        if (s->tp_size == 1) {
            OK(tri_device_create(&device, NULL, err));
            FAILS(TRI_E_ARGUMENT, tri_plan_create(&plan, engine, 0, device, NULL, &limits, err),
                "strip_plan", "refit");
            tri_device_destroy(device);
        }
        tri_engine_close(engine);
        OK(tri_refit(stripped.path, model.path, NULL, NULL, NULL, NULL, err));
        check_same(stripped.path, whole.path);
    }
}

/* Between two steps of a plan that goes on running. */
static void test_live(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const setting *s = &settings[i];
        scratch model = golden_path(s->model), other = scratch_dir("other");
        scratch a = scratch_dir("live_a"), b = scratch_dir("live_b");
        make_other(model.path, other.path);
        build(s, model.path, a.path, false);
        build(s, other.path, b.path, false);
        int64_t n;
        float *expected = logits_of(b.path, &n), *before = logits_of(a.path, &n);
        runner r;
        const golden_sequence sequence = {tokens, 7, 0, 1};
        runner_open(&r, a.path);
        OK(tri_engine_refit(r.engine, other.path, err));
        /* Not yet taken: the step runs on the old weights. */
        float *logits = runner_logits(&r, &sequence, 1);
        assert_memory_equal(logits, before, (size_t)n * sizeof *logits);
        free(logits);
        for (int32_t k = 0; k < r.n_ranks; k++) {
            bool changed = false;
            OK(tri_plan_take_refit(r.ranks[k].plan, &changed, err));
            assert_true(changed);
            OK(tri_plan_take_refit(r.ranks[k].plan, &changed, err));
            assert_false(changed);
        }
        tri_engine_get_info(r.engine, &r.info);
        assert_int_equal(r.info.generation, 1);
        logits = runner_logits(&r, &sequence, 1);
        assert_memory_equal(logits, expected, (size_t)n * sizeof *logits);
        free(logits);
        /* And back, with the first set not yet given up by everybody. */
        OK(tri_engine_refit(r.engine, model.path, err));
        tri_plan *plans[8];
        bool changed = false;
        for (int32_t k = 0; k < r.n_ranks; k++)
            plans[k] = r.ranks[k].plan;
        OK(tri_plans_take_refit(plans, r.n_ranks, &changed, err));
        assert_true(changed);
        logits = runner_logits(&r, &sequence, 1);
        assert_memory_equal(logits, before, (size_t)n * sizeof *logits);
        free(logits);
        free(before);
        free(expected);
        runner_deinit(&r);
    }
}

/* HF -> checkpoint -> engine gives what HF -> engine gives, and takes refits from either. */
static void test_round_trip(void **state) {
    (void)state;
    static const struct {
        const char *model;
        int32_t tp, pp;
    } cases[] = {{"families/llama_tied", 1, 1}, {"families/phi3", 2, 1}, {"families/gemma2", 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch model = golden_path(cases[i].model), other = scratch_dir("other");
        scratch checkpoint = scratch_dir("trip_checkpoint"), changed = scratch_dir("trip_changed");
        scratch direct = scratch_dir("trip_direct"), trip = scratch_dir("trip_engine");
        const tri_source_options as_stored = {
            .dtype = TRI_N_DTYPES, .tp_size = cases[i].tp, .pp_size = cases[i].pp};
        make_other(model.path, other.path);
        tri_source *source = NULL;
        OK(tri_source_open(&source, model.path, &as_stored, err));
        OK(tri_convert(source, checkpoint.path, NULL, NULL, err));
        tri_source_close(source);
        OK(tri_source_open(&source, other.path, &as_stored, err));
        OK(tri_convert(source, changed.path, NULL, NULL, err));
        tri_source_close(source);

        tri_build_options options = build_options(model.path, direct.path);
        options.tp_size = cases[i].tp;
        options.pp_size = cases[i].pp;
        OK(tri_build(&options, err));
        options = build_options(checkpoint.path, trip.path); /* ranks are the checkpoint's */
        OK(tri_build(&options, err));
        check_same(trip.path, direct.path);
        OK(tri_refit(trip.path, other.path, NULL, NULL, NULL, NULL, err));
        OK(tri_refit(direct.path, changed.path, NULL, NULL, NULL, NULL, err));
        check_same(trip.path, direct.path);
    }
}

/* Another architecture, another shape, another setting, no model at all: refused, and the engine is
 * as it was. */
static void test_refused(void **state) {
    (void)state;
    scratch model = golden_path("families/llama_mha"), qwen = golden_path("families/qwen2");
    scratch llama3 = golden_path("families/llama_rope_llama3"), a = scratch_dir("refused");
    build(&settings[0], model.path, a.path, false);
    int64_t n;
    float *before = logits_of(a.path, &n);
    FAILS(TRI_E_ARGUMENT, tri_refit(a.path, qwen.path, NULL, NULL, NULL, NULL, err),
        "LlamaForCausalLM", "Qwen2ForCausalLM");
    FAILS(TRI_E_ARGUMENT, tri_refit(a.path, llama3.path, NULL, NULL, NULL, NULL, err),
        "not the engine's model");
    FAILS(TRI_E_NOT_FOUND, tri_refit(a.path, "/nowhere", NULL, NULL, NULL, NULL, err), "/nowhere");
    /* Neither message lends the model the engine's types, and both end before anything is written.
     */
    scratch gguf = golden_path("gguf/tiny_llama.gguf"), blocks = scratch_dir("refused_blocks");
    scratch decoded = scratch_dir("refused_decoded");
    const tri_source_options as_f32 = {.dtype = TRI_F32};
    tri_source *source = NULL;
    OK(tri_source_open(&source, gguf.path, &as_f32, err));
    OK(tri_convert(source, decoded.path, NULL, NULL, err));
    tri_source_close(source);
    const tri_build_options options = build_options(gguf.path, blocks.path);
    OK(tri_build(&options, err));
    FAILS(TRI_E_ARGUMENT, tri_refit(blocks.path, decoded.path, NULL, NULL, NULL, NULL, err), "f32",
        "in the engine", "GGUF", "build");
    FAILS(TRI_E_ARGUMENT, tri_refit(blocks.path, model.path, NULL, NULL, NULL, NULL, err),
        "not the engine's model", "vocab_embedding.weight is [", "in the engine");

    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, a.path, NULL, err));
    FAILS(TRI_E_ARGUMENT, tri_engine_refit(engine, llama3.path, err), "not the engine's model");
    tri_engine_info info;
    tri_engine_get_info(engine, &info);
    assert_int_equal(info.generation, 0);
    tri_engine_close(engine);
    float *after = logits_of(a.path, &n);
    assert_memory_equal(before, after, (size_t)n * sizeof *before);
    free(before);
    free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offline),
        cmocka_unit_test(test_stripped),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
