/* narrow_test.c - narrowing changes nothing where readers round to bf16 anyway, little where rope
 * comes between, and nothing is narrowed that something else reads too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/run.h"
#include "unit/passes/text.h"

static tri_status held_as(tri_graph *g, tri_dtype kv, bool narrow, tri_error *err) {
    const tri_precision precision = {
        .weights = TRI_BF16, .kv = kv, .weight_only = TRI_N_DTYPES, .activation = "bf16"};
    TRI_TRY(tri_pass_precision(g, &precision, err));
    TRI_TRY(tri_pass_fuse(g, err));
    return narrow ? tri_pass_narrow(g, err) : TRI_OK;
}

#define REWRITE(name, kv, narrow)                                                                  \
    static tri_status name(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {               \
        (void)tp;                                                                                  \
        (void)rank;                                                                                \
        return held_as(g, kv, narrow, err);                                                        \
    }
REWRITE(wide_f32, TRI_F32, false)
REWRITE(narrow_f32, TRI_F32, true)
REWRITE(wide_bf16, TRI_BF16, false)
REWRITE(narrow_bf16, TRI_BF16, true)

/* Over a float32 cache only values that are rounded anyway are narrowed: not a bit changes.  Over a
 * bf16 one q and k are rounded before rope as well: 2^-9 of a score's terms, which softmax and
 * norms pass on with a gain of about one, against logits that bf16 products already put that far
 * off. */
static void test_results(void **state) {
    (void)state;
    const run_layout alone = {.tp = 1, .pp = 1};
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        test_model m = test_model_named(test_model_names[i], 2);
        run_logits wide = run_model(&m, alone, wide_f32), narrow = run_model(&m, alone, narrow_f32);
        assert_int_equal(wide.n, narrow.n);
        assert_memory_equal(wide.data, narrow.data, (size_t)wide.n * sizeof *wide.data);
        free(wide.data);
        free(narrow.data);
        wide = run_model(&m, alone, wide_bf16);
        narrow = run_model(&m, alone, narrow_bf16);
        double error = run_error(&narrow, &wide);
        if (!(error < 0.05)) fail_msg("%s: %g", test_model_names[i], error);
        if (!(error > 0)) fail_msg("%s: nothing was narrowed", test_model_names[i]);
        free(wide.data);
        free(narrow.data);
    }
}

#define HEAD                                                                                       \
    "  %0 = input name=\"tokens\" : i32[T]\n  %1 = weight name=\"t\" : f32[8,16]\n"                \
    "  %2 = embedding(%0, %1) : f32[T,16]\n  %3 = weight name=\"n\" : f32[16]\n"                   \
    "  %4 = rms_norm(%2, %3) : f32[T,16]\n  %5 = weight name=\"w\" : bf16[8,16]\n"

/* The norm's dtype after the pass. */
static tri_dtype norm_dtype(const char *rest) {
    char body[2048];
    tri_error err = {0};
    (void)snprintf(body, sizeof body, "%s%s", HEAD, rest);
    tri_graph *g = text_parse(body, NULL);
    if (tri_pass_narrow(g, &err)) fail_msg("%s", err.message);
    text_check(g);
    tri_dtype dtype = text_find(g, TRI_OP_RMS_NORM, 0)->results[0]->type.dtype;
    tri_graph_destroy(g);
    return dtype;
}

static void test_readers(void **state) {
    (void)state;
#define LINEAR "  %6 = linear(%4, %5) activation=\"bf16\" : f32[T,8]\n"
    assert_int_equal(norm_dtype(LINEAR "  output y = %6\n"), TRI_BF16);
    assert_int_equal(norm_dtype("  %6 = linear(%4, %5) : f32[T,8]\n  output y = %6\n"), TRI_F32);
    assert_int_equal(norm_dtype(LINEAR "  output y = %6\n  output z = %4\n"), TRI_F32);
    assert_int_equal(
        norm_dtype(LINEAR "  %7 = activation(%4) : f32[T,16]\n  output y = %6\n  output z = %7\n"),
        TRI_F32);
    /* Through views and selected rows. */
    assert_int_equal(norm_dtype("  %6 = input name=\"rows\" : i32[R]\n"
                                "  %7 = select_rows(%4, %6) : f32[R,16]\n"
                                "  %8 = linear(%7, %5) activation=\"bf16\" : f32[R,8]\n"
                                "  output y = %8\n"),
        TRI_BF16);
    assert_int_equal(norm_dtype("  %6 = columns(%4) n=8 : f32[T,8]\n"
                                "  %7 = weight name=\"v\" : bf16[8,8]\n"
                                "  %8 = linear(%6, %7) activation=\"bf16\" : f32[T,8]\n"
                                "  %9 = add(%6, %8) : f32[T,8]\n  output y = %9\n"),
        TRI_F32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results), cmocka_unit_test(test_readers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
