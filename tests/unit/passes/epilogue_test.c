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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results), cmocka_unit_test(test_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
