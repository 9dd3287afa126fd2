/* Engines of several ranks, run as threads of one process, against transformers' logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/families.h"
#include "unit/engine/support.h"

static double run_split(const char *name, int32_t tp, int32_t pp, const char *dtype) {
    golden_model m;
    runner r;
    golden_sequence s[2];
    golden_open(&m, name, NULL);
    scratch dir = scratch_dir("ranks");
    tri_build_options options = build_options(m.path, dir.path);
    options.tp_size = tp;
    options.pp_size = pp;
    options.dtype = dtype;
    OK(tri_build(&options, err));
    runner_open(&r, dir.path);
    assert_int_equal(r.n_ranks, tp * pp);
    assert_int_equal(r.info.tp_size, tp);
    s[0] = golden_prompt(&m, 0, 0);
    s[1] = golden_prompt(&m, 1, 2);
    float *logits = runner_logits(&r, s, 2);
    double worst = 0;
    int64_t at = 0;
    for (int32_t i = 0; i < 2; i++) {
        int64_t n = (int64_t)s[i].n_tokens * r.info.vocab_size;
        double error =
            golden_error(logits + at, golden_floats(golden_find(&m, "seq%d.logits", (int)i)), n);
        if (error > worst) worst = error;
        at += n;
    }
    /* Every rank of the last stage samples the same. */
    for (int32_t t = 1; t < tp; t++)
        assert_memory_equal(tri_plan_tokens(runner_head(&r)),
            tri_plan_tokens(r.ranks[r.n_ranks - tp + t].plan), sizeof(int32_t));
    free(logits);
    runner_deinit(&r);
    golden_close(&m);
    return worst;
}

/* As float32 on one rank: splitting a sum among ranks only orders it otherwise. */
static void test_tensor_parallel(void **state) {
    (void)state;
    static const char *const names[] = {"families/llama_mha", "families/qwen3", "families/qwen2",
        "families/gemma3", "families/phi3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int32_t tp = 2; tp <= 4; tp *= 2) {
            double error = run_split(names[i], tp, 1, "float32");
            if (!(error < 3e-5)) fail_msg("%s tp %d: off by %g", names[i], (int)tp, error);
        }
    }
}

static void test_pipeline(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int32_t tp, pp;
    } cases[] = {{"families/llama_bias", 1, 3}, {"families/gemma2", 1, 2}, {"families/qwen2", 2, 2},
        {"families/gemma2", 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double error = run_split(cases[i].name, cases[i].tp, cases[i].pp, "float32");
        if (!(error < 3e-5))
            fail_msg("%s tp %d pp %d: off by %g", cases[i].name, (int)cases[i].tp, (int)cases[i].pp,
                error);
    }
}

/* What cannot be cut is said by name. */
static void test_uneven(void **state) {
    (void)state;
    scratch model = golden_path("families/llama_mha"), dir = scratch_dir("uneven");
    tri_build_options options = build_options(model.path, dir.path);
    options.tp_size = 3;
    FAILS(TRI_E_FORMAT, tri_build(&options, err), "num_attention_heads 4", "tp_size 3");
    assert_false(tri_path_exists(dir.path));
    options.tp_size = 1;
    options.pp_size = 7;
    tri_error error = {0};
    assert_int_not_equal(tri_build(&options, &error), TRI_OK);
    assert_non_null(strstr(error.message, "7"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensor_parallel),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_uneven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
