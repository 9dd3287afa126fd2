/* An engine that meets another CPU: lowered again from what it stores, once, into the cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/derive.h"
#include "engine/supply.h"
#include "unit/engine/own_model.h"

static const char *const isas[] = {"generic", "avx2"};

typedef struct setting {
    const char *model, *dtype, *weight_only, *activation;
    tri_precision precision;
    double tolerance; /* of the logits on either target, in standard deviations: see build_test.c */
} setting;

static const setting settings[] = {
    {"llama", "float32", NULL, NULL, {TRI_F32, NULL, TRI_F32, TRI_N_DTYPES, 0}, 2e-5},
    {"gemma", "bfloat16", NULL, NULL, {TRI_BF16, NULL, TRI_BF16, TRI_N_DTYPES, 0}, 2e-2},
    {"qwen3", "bfloat16", "int4", "float32", {TRI_BF16, "f32", TRI_BF16, TRI_I4, 32}, 2e-2},
    {"blocks", NULL, NULL, NULL, {TRI_N_DTYPES, NULL, TRI_F16, TRI_N_DTYPES, 0}, 2e-2},
};

static bool machine_has_avx2(void) {
    return tri_isa_within("avx2", tri_machine_isa());
}

static void check_logits(runner *r, const float *expected, const setting *s, const char *isa) {
    golden_sequence sequences[2];
    int32_t tokens[2][16];
    int64_t n = own_prompts(sequences, tokens) * (int64_t)r->info.vocab_size;
    float *logits = runner_logits(r, sequences, 2);
    double error = golden_error(logits, expected, n);
    if (!(error < s->tolerance)) fail_msg("%s on %s: off by %g", s->model, isa, error);
    free(logits);
}

static void check_both_ways(const setting *s, int from) {
    const test_model model = test_model_named(s->model, 2);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 21);
    scratch dir = scratch_dir("repack"), cache = scratch_dir("repack_cache");
    const char *built_for = isas[from], *here = isas[1 - from];
    tri_build_options options = build_options(NULL, dir.path);
    options.cpu_isa = built_for;
    options.dtype = s->dtype;
    options.weight_only = s->weight_only;
    options.activation_dtype = s->activation;
    options.group_size = 32;
    OK(tri_build_graph(g, own_read, &w, &options, err));
    float *expected = own_reference(g, &w, &s->precision);

    tri_engine_options opening = {
        .struct_size = sizeof opening, .cache_dir = cache.path, .verify_weights = true};
    char first[512] = "";
    for (int again = 0; again < 2; again++) {
        runner r;
        opening.cpu_isa = built_for;
        runner_open_with(&r, dir.path, &opening, "cpu");
        assert_null(r.info.repacked);
        check_logits(&r, expected, s, built_for);
        runner_deinit(&r);

        opening.cpu_isa = here;
        runner_open_with(&r, dir.path, &opening, "cpu");
        assert_non_null(r.info.repacked);
        assert_non_null(strstr(r.info.repacked, built_for));
        assert_non_null(strstr(r.info.repacked, cache.path));
        assert_string_equal(r.info.isa, here);
        assert_string_equal(r.info.dir, dir.path);
        if (again) assert_string_equal(r.info.repacked, first);
        (void)snprintf(first, sizeof first, "%s", r.info.repacked);
        check_logits(&r, expected, s, here);
        runner_deinit(&r);
    }
    opening.cache_dir = NULL;
    tri_engine *engine = NULL;
    FAILS(TRI_E_UNSUPPORTED, tri_engine_open(&engine, dir.path, &opening, err), built_for, here,
        "cache");
    free(expected);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

static void test_repack(void **state) {
    (void)state;
    if (!machine_has_avx2()) skip();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        check_both_ways(&settings[i], 1);
        check_both_ways(&settings[i], 0);
    }
}

/* A repacked engine takes refits as the one it was made from does. */
static void test_refit_after(void **state) {
    (void)state;
    if (!machine_has_avx2()) skip();
    scratch model = golden_path("families/qwen2"), dir = scratch_dir("repack_refit");
    scratch cache = scratch_dir("repack_refit_cache"), direct = scratch_dir("repack_direct");
    tri_build_options options = build_options(model.path, dir.path);
    options.cpu_isa = "avx2";
    OK(tri_build(&options, err));
    options.cpu_isa = "generic";
    options.output_dir = direct.path;
    OK(tri_build(&options, err));
    const tri_engine_options opening = {
        .struct_size = sizeof opening, .cache_dir = cache.path, .cpu_isa = "generic"};
    const int32_t tokens[] = {3, 1, 4, 1, 5};
    const golden_sequence s = {tokens, 5, 0, 0};
    runner a, b;
    runner_open_with(&a, dir.path, &opening, "cpu");
    runner_open(&b, direct.path);
    OK(tri_engine_refit(a.engine, model.path, err));
    bool changed = false;
    OK(tri_plan_take_refit(a.ranks[0].plan, &changed, err));
    assert_true(changed);
    float *x = runner_logits(&a, &s, 1), *y = runner_logits(&b, &s, 1);
    assert_memory_equal(x, y, 5 * (size_t)a.info.vocab_size * sizeof *x);
    free(x);
    free(y);
    runner_deinit(&a);
    runner_deinit(&b);
}

/* Without weights there is nothing to pack, but they can be filled in after. */
static void test_stripped(void **state) {
    (void)state;
    if (!machine_has_avx2()) skip();
    scratch model = golden_path("families/gemma2"), dir = scratch_dir("repack_stripped");
    scratch cache = scratch_dir("repack_stripped_cache");
    tri_build_options options = build_options(model.path, dir.path);
    options.cpu_isa = "avx2";
    options.strip_plan = true;
    OK(tri_build(&options, err));
    const tri_engine_options opening = {
        .struct_size = sizeof opening, .cache_dir = cache.path, .cpu_isa = "generic"};
    tri_engine *engine = NULL;
    tri_engine_info info;
    OK(tri_engine_open(&engine, dir.path, &opening, err));
    tri_engine_get_info(engine, &info);
    assert_true(info.stripped);
    assert_non_null(info.repacked);
    OK(tri_engine_refit(engine, model.path, err));
    tri_engine_get_info(engine, &info);
    assert_false(info.stripped);
    runner r;
    const int32_t tokens[] = {3, 1, 4, 1, 5};
    const golden_sequence s = {tokens, 5, 0, 0};
    runner_init(&r, engine, "cpu");
    float *logits = runner_logits(&r, &s, 1);
    assert_true(golden_deviation(logits, 5 * (int64_t)info.vocab_size) > 0.5);
    free(logits);
    runner_deinit(&r);
}

/* What derivations run backwards give back, and the name of the step that loses. */
static void test_recovery(void **state) {
    (void)state;
    const test_model model = test_model_named("llama", 1);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 9);
    scratch dir = scratch_dir("recovery");
    tri_build_options options = build_options(NULL, dir.path);
    options.dtype = "float32";
    OK(tri_build_graph(g, own_read, &w, &options, err));
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    const tri_rank *rank = &engine->ranks[0];
    tri_recovery recovery;
    OK(tri_recovery_create(&recovery, rank->stored, engine->weights[0]->data, rank->n_stored,
        engine->plugins.kernels, err));
    tri_supply supply = tri_supply_recovery(&recovery);
    tri_team *team = NULL;
    OK(tri_team_create(&team, 2, err));
    int n = 0;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op != TRI_OP_WEIGHT) continue;
        const tri_value *value = node->results[0];
        size_t n_bytes = (size_t)tri_type_dense_bytes(&value->type);
        void *out = malloc(n_bytes);
        OK(tri_derive(value, &supply, engine->plugins.kernels, team, out, err));
        assert_memory_equal(out, own_weight(&w, tri_node_string(node, "name")), n_bytes);
        free(out);
        n++;
    }
    assert_true(n > 8);
    tri_recovery_destroy(&recovery);
    tri_engine_close(engine);

    options.weight_only = "int8";
    OK(tri_build_graph(g, own_read, &w, &options, err));
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    rank = &engine->ranks[0];
    OK(tri_recovery_create(&recovery, rank->stored, engine->weights[0]->data, rank->n_stored,
        engine->plugins.kernels, err));
    supply = tri_supply_recovery(&recovery);
    const tri_value *lost = NULL;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_WEIGHT &&
            strcmp(tri_node_string(node, "name"), "transformer.layers.0.mlp.fc.weight") == 0)
            lost = node->results[0];
    }
    assert_non_null(lost);
    char out[16];
    FAILS(TRI_E_UNSUPPORTED, tri_derive(lost, &supply, engine->plugins.kernels, team, out, err),
        "transformer.layers.0.mlp.fc.weight", "quantize");
    tri_recovery_destroy(&recovery);
    tri_engine_close(engine);
    tri_team_destroy(team);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repack),
        cmocka_unit_test(test_refit_after),
        cmocka_unit_test(test_stripped),
        cmocka_unit_test(test_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
