/* epilogue_test.c - a gate in a linear's epilogue computes what two ops did, and linears that
 * something else reads too keep their results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/run.h"
#include "unit/passes/text.h"

static tri_status fused(tri_graph *g, bool epilogue, tri_error *err) {
    const tri_precision precision = {
        .weights = TRI_BF16, .kv = TRI_F32, .weight_only = TRI_N_DTYPES, .activation = "bf16"};
    TRI_TRY(tri_pass_precision(g, &precision, err));
    TRI_TRY(tri_pass_fuse(g, err));
    TRI_TRY(tri_pass_narrow(g, err));
    return epilogue ? tri_pass_epilogue(g, err) : TRI_OK;
}
static int32_t n_deferred;

static tri_status apart(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    (void)tp;
    (void)rank;
    return fused(g, false, err);
}
static tri_status merged(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    (void)tp;
    (void)rank;
    TRI_TRY(fused(g, true, err));
    if (text_count(g, TRI_OP_GATED_ACTIVATION)) fail_msg("a gated activation is left");
    return TRI_OK;
}

/* What is left out is a rounding to float32; where that moves a bf16 to its neighbour, 2^-8 of one
 * element of hundreds that a logit sums is moved. */
static void test_results(void **state) {
    (void)state;
    const run_layout alone = {.tp = 1, .pp = 1};
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        test_model m = test_model_named(test_model_names[i], 2);
        run_logits two = run_model(&m, alone, apart), one = run_model(&m, alone, merged);
        double error = run_error(&one, &two);
        if (!(error < 2e-3)) fail_msg("%s: %g", test_model_names[i], error);
        free(two.data);
        free(one.data);
    }
}

static tri_status deferred(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    TRI_TRY(merged(g, tp, rank, err));
    TRI_TRY(tri_pass_defer_norms(g, 3, NULL, err));
    n_deferred += text_count(g, TRI_OP_LINEAR_NORM);
    return TRI_OK;
}

/* What enters a linear is rounded to bf16 before the division by the rms instead of after it: two
 * roundings of 2^-9 of a value that differ at random before each of three deferrals' readers: 0.005
 * of a result, four deviations for the largest of some hundred logits, and twice that for what
 * layers add to it. */
static void test_deferred(void **state) {
    (void)state;
    const run_layout alone = {.tp = 1, .pp = 1};
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        test_model m = test_model_named(test_model_names[i], 2);
        run_logits two = run_model(&m, alone, apart), one = run_model(&m, alone, deferred);
        double error = run_error(&one, &two);
        if (!(error < 0.04)) fail_msg("%s: %g", test_model_names[i], error);
        free(two.data);
        free(one.data);
    }
    assert_true(n_deferred > 0);
}

/* Of a target: all but linears with parts. */
static int32_t no_parts(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
    const char **layouts, int32_t room, tri_error *err) {
    (void)user;
    (void)g;
    (void)slot;
    (void)room;
    (void)err;
    layouts[0] = "row";
    return node->op == TRI_OP_LINEAR && tri_node_operand(node, "parts") ? 0 : 1;
}

/* How many norms of the graph are deferred. */
static int32_t count_deferred(const char *rest, const tri_target *target) {
    char body[2048];
    tri_error err = {0};
    (void)snprintf(body, sizeof body,
        "  %%0 = input name=\"tokens\" : i32[T]\n  %%1 = weight name=\"t\" : f32[8,16]\n"
        "  %%2 = embedding(%%0, %%1) : f32[T,16]\n  %%3 = weight name=\"w\" : bf16[16,16]\n"
        "  %%4 = weight name=\"n\" : f32[16]\n  %%5 = weight name=\"v\" : bf16[8,16]\n%s",
        rest);
    tri_graph *g = text_parse(body, NULL);
    if (tri_pass_defer_norms(g, 132, target, &err)) fail_msg("%s", err.message);
    text_check(g);
    int32_t n = text_count(g, TRI_OP_LINEAR_NORM);
    assert_int_equal(text_count(g, TRI_OP_RMS_NORM), n ? 0 : 1);
    tri_graph_destroy(g);
    return n;
}

static void test_norm_rules(void **state) {
    (void)state;
#define SUM "  %6 = linear(%2, %3, accumulator=%2) activation=\"bf16\" : f32[T,16]\n"
#define NORM "  %7 = rms_norm(%6, %4) dtype=\"bf16\" : bf16[T,16]\n"
#define READER "  %8 = linear(%7, %5) activation=\"bf16\" : f32[T,8]\n"
    const tri_target target = {.layouts = no_parts};
    assert_int_equal(count_deferred(SUM NORM READER "  output y = %8\n", NULL), 1);
    assert_int_equal(count_deferred(SUM NORM READER "  output y = %8\n", &target), 0);
    /* Two readers; the residual read later on. */
    assert_int_equal(count_deferred(SUM NORM READER
                         "  %9 = linear(%7, %3, accumulator=%6) activation=\"bf16\" : f32[T,16]\n"
                         "  output y = %8\n  output z = %9\n",
                         NULL),
        1);
    /* Without a residual; the norm read by something else, or as a result; a sum that is needed
     * before the norm; readers that do not round. */
    assert_int_equal(
        count_deferred("  %6 = linear(%2, %3) : f32[T,16]\n" NORM READER "  output y = %8\n", NULL),
        0);
    assert_int_equal(count_deferred(SUM NORM READER
                         "  %9 = add(%7, %7) : f32[T,16]\n  output y = %8\n  output z = %9\n",
                         NULL),
        0);
    assert_int_equal(count_deferred(SUM NORM READER "  output y = %8\n  output z = %7\n", NULL), 0);
    assert_int_equal(count_deferred(SUM "  %9 = affine(%6) factor=2 : f32[T,16]\n" NORM READER
                                        "  output y = %8\n  output z = %9\n",
                         NULL),
        0);
    assert_int_equal(
        count_deferred(SUM NORM "  %8 = linear(%7, %5) : f32[T,8]\n  output y = %8\n", NULL), 0);
}

#define HEAD                                                                                       \
    "  %0 = input name=\"tokens\" : i32[T]\n  %1 = weight name=\"t\" : f32[8,16]\n"                \
    "  %2 = embedding(%0, %1) : f32[T,16]\n  %3 = weight name=\"w\" : bf16[12,16]\n"

/* The graph after the pass, run twice. */
static char *after(const char *rest) {
    char body[2048];
    tri_error err = {0};
    (void)snprintf(body, sizeof body, "%s%s", HEAD, rest);
    tri_graph *g = text_parse(body, NULL);
    if (tri_pass_epilogue(g, &err)) fail_msg("%s", err.message);
    text_check(g);
    char *once = text_print(g);
    if (tri_pass_epilogue(g, &err)) fail_msg("%s", err.message);
    char *twice = text_print(g);
    assert_string_equal(once, twice);
    tri_free(twice);
    tri_graph_destroy(g);
    return once;
}

static void expect(const char *rest, const char *has, const char *lacks) {
    char *text = after(rest);
    text_assert_has(text, has);
    text_assert_lacks(text, lacks);
    tri_free(text);
}

static void test_rules(void **state) {
    (void)state;
#define LINEAR "  %4 = linear(%2, %3) activation=\"bf16\" : f32[T,12]\n"
#define GATED "  %5 = gated_activation(%4) kind=\"gelu_tanh\" dtype=\"bf16\" : bf16[T,6]\n"
    expect(LINEAR GATED "  output y = %5\n",
        "activation=\"bf16\" dtype=\"bf16\" gate=\"gelu_tanh\" : bf16[T,6]", "gated_activation");
    expect("  %4 = weight name=\"b\" : f32[12]\n"
           "  %5 = linear(%2, %3, bias=%4) : f32[T,12]\n"
           "  %6 = gated_activation(%5) : f32[T,6]\n  output y = %6\n",
        "bias=%4) gate=\"silu\" : f32[T,6]", "gated_activation");
    /* Read elsewhere; rounded between; with an accumulator. */
    expect(LINEAR GATED "  output y = %5\n  output z = %4\n", "gated_activation", "gate=");
    expect("  %4 = linear(%2, %3) dtype=\"bf16\" : bf16[T,12]\n" GATED "  output y = %5\n",
        "gated_activation", "gate=");
    expect(LINEAR "  %5 = linear(%2, %3, accumulator=%4) : f32[T,12]\n"
                  "  %6 = gated_activation(%5) : f32[T,6]\n  output y = %6\n",
        "gated_activation", "gate=");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_results), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_deferred), cmocka_unit_test(test_norm_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
