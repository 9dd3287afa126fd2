/* The null device runs an engine's plan without computing: the same launches as the CPU, counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/engine/support.h"

static void build(const char *dir, const char *target) {
    scratch model = golden_path("families/gemma2");
    tri_build_options options = build_options(model.path, dir);
    options.target = target;
    OK(tri_build(&options, err));
}

static void run_three_steps(runner *r) {
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6};
    for (int32_t i = 0; i < 3; i++) {
        const golden_sequence s = {tokens + 2 * i, 2, 2 * i, 0};
        free(runner_logits(r, &s, 1));
    }
}

static void test_same_launches(void **state) {
    (void)state;
    scratch dir = scratch_dir("null");
    build(dir.path, "cpu");
    runner cpu, null;
    runner_open(&cpu, dir.path);
    const tri_engine_options options = {.struct_size = sizeof options, .null_device = true};
    runner_open_with(&null, dir.path, &options, "null");
    assert_string_equal(null.info.target, "null");
    run_three_steps(&cpu);
    run_three_steps(&null);
    const tri_device_counters *a = tri_device_get_counters(cpu.ranks[0].device);
    const tri_device_counters *b = tri_device_get_counters(null.ranks[0].device);
    assert_int_equal(a->n_captures, 2); /* forward and sampling */
    assert_int_equal(b->n_captures, 2);
    assert_int_equal(a->n_submits, 6);
    assert_int_equal(b->n_submits, 6);
    int32_t n = tri_plan_n_launches(cpu.ranks[0].plan);
    assert_int_equal(n, tri_plan_n_launches(null.ranks[0].plan));
    assert_int_equal(a->n_launches, 3 * n);
    assert_int_equal(b->n_launches, a->n_launches);
    assert_int_equal(a->reserved_bytes, b->reserved_bytes);
    for (int32_t i = 0; i < n; i++) {
        tri_plan_launch_info x, y;
        tri_plan_get_launch(cpu.ranks[0].plan, i, &x);
        tri_plan_get_launch(null.ranks[0].plan, i, &y);
        assert_string_equal(x.kernel, y.kernel);
        assert_string_equal(x.name, y.name);
    }
    runner_deinit(&cpu);
    runner_deinit(&null);
}

/* A GPU's engine, planned without one: kernels of its own, memory reserved, launches counted. */
static void test_cuda_plan(void **state) {
    (void)state;
    static const char *const families[] = {"llama_mha", "qwen3", "gemma2", "phi3"};
    static const char *const targets[] = {"cuda:sm_80", "cuda:sm_90a"};
    for (size_t i = 0; i < 8; i++) {
        scratch dir = scratch_dir("null_cuda");
        char name[64];
        (void)snprintf(name, sizeof name, "families/%s", families[i / 2]);
        scratch model = golden_path(name);
        tri_build_options options = build_options(model.path, dir.path);
        options.target = targets[i % 2];
        options.strip_code = true;
        OK(tri_build(&options, err));
        const tri_engine_options opening = {.struct_size = sizeof opening, .null_device = true};
        runner r;
        runner_open_with(&r, dir.path, &opening, "null");
        assert_string_equal(r.info.target, "null");
        assert_string_equal(r.info.isa, targets[i % 2] + 5);
        run_three_steps(&r);
        const tri_device_counters *counters = tri_device_get_counters(r.ranks[0].device);
        int32_t n = tri_plan_n_launches(r.ranks[0].plan);
        assert_int_equal(counters->n_submits, 6);
        assert_int_equal(counters->n_launches, 3 * n);
        assert_true(counters->reserved_bytes > 0);
        for (int32_t k = 0; k < n; k++) { /* besides inputs, which the device copies its own way */
            tri_plan_launch_info info;
            tri_plan_get_launch(r.ranks[0].plan, k, &info);
            if (strcmp(info.kernel, "step_inputs") == 0) continue;
            if (strstr(info.kernel, "avx") || strstr(info.kernel, "generic"))
                fail_msg("%s is a CPU's", info.kernel);
        }
        runner_deinit(&r);
    }
}

/* --target null: an engine that is always opened so. */
static void test_target(void **state) {
    (void)state;
    scratch dir = scratch_dir("null_target");
    build(dir.path, "null");
    tri_engine *engine = NULL;
    tri_engine_info info;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    tri_engine_get_info(engine, &info);
    assert_string_equal(info.target, "null");
    runner r;
    runner_init(&r, engine, "null");
    run_three_steps(&r);
    runner_deinit(&r);
}

static tri_step *one_token(runner *r, int32_t token) {
    golden_sequence s = {&token, 1, 0, 0};
    return golden_step(&r->groups, &s, 1, GOLDEN_ALL_ROWS);
}

/* Steps that do not fit the plan are refused before anything runs. */
static void test_bad_steps(void **state) {
    (void)state;
    scratch dir = scratch_dir("bad_steps");
    build(dir.path, "cpu");
    runner r;
    runner_open(&r, dir.path);
    tri_plan *plan = r.ranks[0].plan;
    tri_step *step = one_token(&r, 7);
    FAILS(TRI_E_ARGUMENT, tri_plan_complete(plan, err), "submitted");
    OK(tri_plan_submit(plan, step, err));
    OK(tri_plan_complete(plan, err));
    ((int32_t *)(uintptr_t)tri_step_at(step, step->tokens))[0] = r.info.vocab_size;
    assert_int_not_equal(tri_plan_submit(plan, step, NULL), TRI_OK);
    free(step);
    step = one_token(&r, 7);
    step->n_groups--;
    FAILS(TRI_E_LIMIT, tri_plan_submit(plan, step, err), "groups");
    free(step);
    int32_t many[600] = {0};
    golden_sequence s = {many, 250, 0, 0};
    golden_sequence three[3] = {s, s, s};
    three[1].slot = 1;
    three[2].slot = 2;
    step = golden_step(&r.groups, three, 3, GOLDEN_LAST_ROWS);
    FAILS(TRI_E_LIMIT, tri_plan_submit(plan, step, err), "750 tokens", "512");
    free(step);
    runner_deinit(&r);
}

/* Two steps may be in flight; each complete is of the first not yet completed. */
static void test_two_in_flight(void **state) {
    (void)state;
    scratch dir = scratch_dir("in_flight");
    build(dir.path, "cpu");
    runner r;
    runner_open(&r, dir.path);
    tri_plan *plan = r.ranks[0].plan;
    tri_step *a = one_token(&r, 7), *b = one_token(&r, 8);
    OK(tri_plan_submit(plan, a, err));
    OK(tri_plan_submit(plan, b, err));
    OK(tri_plan_complete(plan, err));
    OK(tri_plan_complete(plan, err));
    float *both = malloc((size_t)r.info.vocab_size * sizeof *both);
    const float *logits;
    OK(tri_plan_read_logits(plan, &logits, err));
    memcpy(both, logits, (size_t)r.info.vocab_size * sizeof *both);
    const float *alone = runner_run(&r, b);
    assert_memory_equal(both, alone, (size_t)r.info.vocab_size * sizeof *both);
    free(both);
    free(a);
    free(b);
    runner_deinit(&r);
}

static void test_bad_limits(void **state) {
    (void)state;
    scratch dir = scratch_dir("limits");
    build(dir.path, "cpu");
    tri_engine *engine = NULL;
    tri_device *device = NULL;
    tri_plan *plan = NULL;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    OK(tri_device_create(&device, NULL, err));
    tri_plan_limits limits = {.max_tokens = 8,
        .max_sequences = 2,
        .max_rows = 2,
        .max_seq_len = 64,
        .n_blocks = {16, 16, 2}};
    OK(tri_plan_create(&plan, engine, 0, device, NULL, &limits, err));
    assert_int_equal(tri_plan_get_limits(plan)->max_rows, 2);
    tri_step_shape shape = tri_plan_step_shape(plan);
    assert_int_equal(shape.n_groups, 3); /* full, sliding, counts */
    assert_int_equal(shape.max_blocks[0], 16);
    assert_int_equal(shape.max_blocks[2], 0);
    tri_plan_destroy(plan);
    limits.n_blocks[1] = 0;
    FAILS(TRI_E_ARGUMENT, tri_plan_create(&plan, engine, 0, device, NULL, &limits, err), "group 1",
        "blocks");
    limits.n_blocks[1] = 1;
    limits.max_tokens = 0;
    FAILS(TRI_E_ARGUMENT, tri_plan_create(&plan, engine, 0, device, NULL, &limits, err), "tokens");
    limits.max_tokens = 1;
    FAILS(TRI_E_ARGUMENT, tri_plan_create(&plan, engine, 1, device, NULL, &limits, err), "rank 1");
    tri_device_destroy(device);
    tri_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_launches),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_cuda_plan),
        cmocka_unit_test(test_bad_steps),
        cmocka_unit_test(test_two_in_flight),
        cmocka_unit_test(test_bad_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
