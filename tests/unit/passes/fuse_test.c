/* fuse_test.c - what is computed stays what it was, and what must not be fused is not.  The fused
 * text of whole models: golden_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/run.h"
#include "unit/passes/text.h"

/* ---- the same results ---- */

static tri_status fuse(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    (void)tp;
    (void)rank;
    return tri_pass_fuse(g, err);
}

static tri_status quantise(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    (void)tp;
    (void)rank;
    return tri_pass_precision(g,
        &(tri_precision){
            .weights = TRI_F32, .weight_only = TRI_I4, .group_size = 16, .activation = "f32"},
        err);
}

static tri_status quantise_and_fuse(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    TRI_TRY(quantise(g, tp, rank, err));
    return tri_pass_fuse(g, err);
}

/* Fusing drops roundings to float32: a gated activation's factor, a residual sum's addend, each
 * 2^-24 of a value of a few units, two to three a layer.  Norms and softmax carry a difference on
 * with a gain of about one; a wrong operand makes an error of order one. */
static const double one_rounding_less = 4e-6;

static void test_same_results(void **state) {
    (void)state;
    const run_layout alone = {.tp = 1, .pp = 1};
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        test_model m = test_model_named(test_model_names[i], 2);
        run_logits plain = run_model(&m, alone, NULL), fused = run_model(&m, alone, fuse);
        assert_true(plain.deviation > 0.5);
        double error = run_error(&fused, &plain);
        if (!(error < one_rounding_less)) fail_msg("%s: %g", test_model_names[i], error);
        free(plain.data);
        free(fused.data);
        plain = run_model(&m, alone, quantise);
        fused = run_model(&m, alone, quantise_and_fuse);
        error = run_error(&fused, &plain);
        if (!(error < one_rounding_less)) fail_msg("%s, int4: %g", test_model_names[i], error);
        free(plain.data);
        free(fused.data);
    }
}

/* ---- single rules ---- */

static tri_graph *fused(const char *body) {
    tri_error err = {0};
    tri_graph *g = text_parse(body, NULL);
    if (tri_pass_fuse(g, &err)) fail_msg("%s", err.message);
    text_check(g);
    return g;
}

static int32_t count_after(const char *body, tri_op op) {
    tri_graph *g = fused(body);
    int32_t n = text_count(g, op);
    tri_graph_destroy(g);
    return n;
}

#define X16                                                                                        \
    "  %0 = input name=\"tokens\" : i32[T]\n"                                                      \
    "  %1 = weight name=\"table\" : f32[8,16]\n"                                                   \
    "  %2 = embedding(%0, %1) : f32[T,16]\n"

static void test_affine(void **state) {
    (void)state;
    tri_graph *g = fused(X16 "  %3 = affine(%2) factor=2 offset=3 : f32[T,16]\n"
                             "  %4 = affine(%3) factor=-0.5 : f32[T,16]\n"
                             "  %5 = affine(%4) factor=4 offset=1 : f32[T,16]\n"
                             "  %6 = weight name=\"w\" : bf16[16]\n"
                             "  %7 = affine(%6) offset=1 : f32[16]\n"
                             "  %8 = affine(%7) factor=3 : f32[16]\n"
                             "  %9 = rms_norm(%5, %8) : f32[T,16]\n"
                             "  output y = %9\n");
    assert_int_equal(text_count(g, TRI_OP_AFFINE), 2);
    /* 4 * (-0.5 * (2x + 3)) + 1 = -4x - 5, and 3 * (w + 1) = 3w + 3 */
    const tri_node *x = text_find(g, TRI_OP_AFFINE, 0), *w = text_find(g, TRI_OP_AFFINE, 1);
    assert_true(tri_node_float(x, "factor") == -4.0);
    assert_true(tri_node_float(x, "offset") == -5.0);
    assert_true(tri_node_float(w, "factor") == 3.0);
    assert_true(tri_node_float(w, "offset") == 3.0);
    tri_graph_destroy(g);
}

/* The first part of the pair is what the activation takes, whichever side of mul it stands on. */
static void test_gated_sides(void **state) {
    (void)state;
#define SIDES(product)                                                                             \
    X16 "  %3 = weight name=\"up\" : f32[24,16]\n  %4 = linear(%2, %3) : f32[T,24]\n"              \
        "  %5 = weight name=\"gate\" : f32[24,16]\n  %6 = linear(%2, %5) : f32[T,24]\n"            \
        "  %7 = activation(%6) kind=\"gelu\" : f32[T,24]\n  %8 = mul(" product ") : f32[T,24]\n"   \
        "  output y = %8\n"
    static const char *const bodies[] = {SIDES("%4, %7"), SIDES("%7, %4")};
#undef SIDES
    for (int32_t i = 0; i < 2; i++) {
        tri_graph *g = fused(bodies[i]);
        const tri_node *concat = text_find(g, TRI_OP_CONCAT_ROWS, 0);
        assert_string_equal(tri_node_string(concat->operands[0]->node, "name"), "gate");
        assert_string_equal(tri_node_string(concat->operands[1]->node, "name"), "up");
        assert_string_equal(
            tri_node_string(text_find(g, TRI_OP_GATED_ACTIVATION, 0), "kind"), "gelu");
        assert_int_equal(text_count(g, TRI_OP_LINEAR), 1);
        tri_graph_destroy(g);
    }
}

/* Two linears of one x, silu of the first, their product; with one thing in the way. */
static void test_gated_refusals(void **state) {
    (void)state;
#define GATE(w1, w2, linear1, linear2, act, product, rest)                                         \
    X16 "  %3 = weight name=\"fc\" : " w1 "\n  %4 = weight name=\"gate\" : " w2                    \
        "\n  %5 = weight name=\"b\" : f32[24]\n  %6 = weight name=\"s\" : f32[1]\n"                \
        "  %7 = linear(" linear1 ") : f32[T,24]\n  %8 = linear(" linear2 ") : f32[T,24]\n"         \
        "  %9 = activation(" act ") : f32[T,24]\n  %10 = mul(" product ") : f32[T,24]\n" rest      \
        "  output y = %10\n"
#define F "f32[24,16]"
    static const struct {
        const char *why, *body;
        int32_t n;
    } cases[] = {
        {"it fits", GATE(F, F, "%2, %3", "%2, %4", "%7", "%9, %8", ""), 1},
        {"both biased", GATE(F, F, "%2, %3, bias=%5", "%2, %4, bias=%5", "%7", "%9, %8", ""), 1},
        {"dtypes", GATE(F, "bf16[24,16]", "%2, %3", "%2, %4", "%7", "%9, %8", ""), 0},
        {"one bias", GATE(F, F, "%2, %3, bias=%5", "%2, %4", "%7", "%9, %8", ""), 0},
        {"one scale for all",
            GATE("i8[24,16]", "i8[24,16]", "%2, %3, scales=%6", "%2, %4, scales=%6", "%7", "%9, %8",
                ""),
            0},
        {"one weight for both", GATE(F, F, "%2, %3", "%2, %3", "%7", "%9, %8", ""), 0},
        {"the product of one", GATE(F, F, "%2, %3", "%2, %4", "%7", "%9, %7", ""), 0},
        {"fc used again", GATE(F, F, "%2, %3", "%2, %4", "%7", "%9, %8", "  output more = %7\n"),
            0},
        {"gate used again", GATE(F, F, "%2, %3", "%2, %4", "%7", "%9, %8", "  output more = %8\n"),
            0},
        {"silu used again", GATE(F, F, "%2, %3", "%2, %4", "%7", "%9, %8", "  output more = %9\n"),
            0},
        {"weight used again",
            GATE(F, F, "%2, %3", "%2, %4", "%7", "%9, %8",
                "  %11 = linear(%2, %4) : f32[T,24]\n  output more = %11\n"),
            0},
    };
#undef F
#undef GATE
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (count_after(cases[i].body, TRI_OP_GATED_ACTIVATION) != cases[i].n)
            fail_msg("%s", cases[i].why);
    }
}

static void test_accumulator(void **state) {
    (void)state;
    /* Two branches into one sum: each linear takes what was before. */
    tri_graph *g = fused(X16 "  %3 = weight name=\"a\" : f32[16,16]\n"
                             "  %4 = linear(%2, %3) : f32[T,16]\n"
                             "  %5 = weight name=\"b\" : f32[16,16]\n"
                             "  %6 = linear(%2, %5) : f32[T,16]\n"
                             "  %7 = add(%4, %6) : f32[T,16]\n"
                             "  %8 = add(%7, %2) : f32[T,16]\n"
                             "  output y = %8\n");
    /* add(a, b): b takes a; the sum is a linear, but has an accumulator now. */
    const tri_node *b = text_find(g, TRI_OP_LINEAR, 1);
    assert_int_equal(text_count(g, TRI_OP_LINEAR), 2);
    assert_int_equal(text_count(g, TRI_OP_ADD), 1);
    assert_string_equal(tri_node_string(tri_node_operand(b, "weight")->node, "name"), "b");
    assert_ptr_equal(
        tri_node_operand(b, "accumulator"), text_find(g, TRI_OP_LINEAR, 0)->results[0]);
    tri_graph_destroy(g);
    /* A linear that something else reads stays as it is. */
    assert_int_equal(count_after(X16 "  %3 = weight name=\"a\" : f32[16,16]\n"
                                     "  %4 = linear(%2, %3) : f32[T,16]\n"
                                     "  %5 = add(%2, %4) : f32[T,16]\n"
                                     "  output y = %5\n"
                                     "  output more = %4\n",
                         TRI_OP_ADD),
        1);
}

static void test_add_norm(void **state) {
    (void)state;
#define NORMS                                                                                      \
    X16 "  %3 = activation(%2) : f32[T,16]\n"                                                      \
        "  %4 = add(%2, %3) : f32[T,16]\n"                                                         \
        "  %5 = weight name=\"w\" : f32[16]\n"
    /* The second norm of a sum takes the first's. */
    tri_graph *g = fused(NORMS "  %6 = rms_norm(%4, %5) eps=0.5 : f32[T,16]\n"
                               "  %7 = rms_norm(%4, %5) : f32[T,16]\n"
                               "  %8 = mul(%6, %7) : f32[T,16]\n"
                               "  %9 = add(%8, %4) : f32[T,16]\n"
                               "  output y = %9\n");
    const tri_node *both = text_find(g, TRI_OP_ADD_RMS_NORM, 0);
    assert_true(tri_node_float(both, "eps") == 0.5);
    assert_ptr_equal(text_find(g, TRI_OP_RMS_NORM, 0)->operands[0], both->results[0]);
    assert_int_equal(text_count(g, TRI_OP_ADD), 1);
    tri_graph_destroy(g);
    /* Something needs the sum before the norm stands. */
    assert_int_equal(count_after(NORMS "  %6 = softcap(%4) cap=2 : f32[T,16]\n"
                                       "  %7 = rms_norm(%4, %5) : f32[T,16]\n"
                                       "  %8 = add(%6, %7) : f32[T,16]\n"
                                       "  output y = %8\n",
                         TRI_OP_ADD_RMS_NORM),
        0);
#undef NORMS
}

/* One layer's attention, with the ropes and the norms before them to be filled in. */
static void test_rope_refusals(void **state) {
    (void)state;
#define ATTEND(q, k, rest)                                                                         \
    "  group 0 full tokens_per_block=32\n" X16                                                     \
    "  %3 = input name=\"positions\" : i32[T]\n  %4 = rope_frequencies rotary_dim=8 : f32[4]\n"    \
    "  %5 = rope_frequencies base=500 rotary_dim=8 : f32[4]\n"                                     \
    "  %6 = weight name=\"n\" : f32[8]\n  %7 = weight name=\"wide\" : f32[16]\n"                   \
    "  %8 = rms_norm(%2, %6) : f32[T,16]\n  %9 = rms_norm(%2, %7) : f32[T,16]\n"                   \
    "  %10 = rms_norm(%2, %6) eps=0.1 : f32[T,16]\n"                                               \
    "  %11 = rope(" q " : f32[T,16]\n  %12 = rope(" k " : f32[T,16]\n"                             \
    "  %13 = cache : cache<f32, 2, 8>\n  %14 = kv_write(%12, %2, %13) : cache<f32, 2, 8>\n"        \
    "  %15 = attention(%11, %14) n_heads=2 scale=1 : f32[T,16]\n  output y = %15\n" rest
    static const struct {
        const char *why, *body;
        int32_t n, n_norms; /* fused; norms left outside */
    } cases[] = {
        {"plain", ATTEND("%2, %3, %4) head_size=8", "%2, %3, %4) head_size=8", ""), 1, 0},
        {"norm of q", ATTEND("%8, %3, %4) head_size=8", "%2, %3, %4) head_size=8", ""), 1, 0},
        {"norm of k", ATTEND("%2, %3, %4) head_size=8", "%10, %3, %4) head_size=8", ""), 1, 0},
        {"two eps", ATTEND("%8, %3, %4) head_size=8", "%10, %3, %4) head_size=8", ""), 1, 2},
        {"over the row", ATTEND("%9, %3, %4) head_size=8", "%2, %3, %4) head_size=8", ""), 1, 1},
        {"one norm for both", ATTEND("%8, %3, %4) head_size=8", "%8, %3, %4) head_size=8", ""), 1,
            1},
        {"two tables", ATTEND("%2, %3, %4) head_size=8", "%2, %3, %5) head_size=8", ""), 0, 0},
        {"two ways", ATTEND("%2, %3, %4) head_size=8 interleaved=1", "%2, %3, %4) head_size=8", ""),
            0, 0},
        {"two sizes", ATTEND("%2, %3, %4) head_size=8", "%2, %3, %4) head_size=16", ""), 0, 0},
        {"two magnitudes",
            ATTEND("%2, %3, %4) head_size=8 magnitude=2", "%2, %3, %4) head_size=8", ""), 0, 0},
        {"q seen",
            ATTEND("%2, %3, %4) head_size=8", "%2, %3, %4) head_size=8", "  output more = %11\n"),
            0, 0},
        {"k seen",
            ATTEND("%2, %3, %4) head_size=8", "%2, %3, %4) head_size=8", "  output more = %12\n"),
            0, 0},
    };
#undef ATTEND
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_graph *g = fused(cases[i].body);
        if (text_count(g, TRI_OP_ROPE_KV_WRITE) != cases[i].n ||
            text_count(g, TRI_OP_RMS_NORM) != cases[i].n_norms ||
            text_count(g, TRI_OP_KV_WRITE) != 1 - cases[i].n)
            fail_msg("%s", cases[i].why);
        tri_graph_destroy(g);
    }
}

/* Again: there is nothing left to fuse. */
static void test_idempotent(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        tri_error err = {0};
        test_model m = test_model_named(test_model_names[i], 2);
        tri_graph *g = test_model_define(&m);
        assert_int_equal(tri_pass_fuse(g, &err), TRI_OK);
        char *once = text_print(g);
        assert_int_equal(tri_pass_fuse(g, &err), TRI_OK);
        char *twice = text_print(g);
        assert_string_equal(once, twice);
        tri_free(once);
        tri_free(twice);
        tri_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_results),
        cmocka_unit_test(test_affine),
        cmocka_unit_test(test_gated_sides),
        cmocka_unit_test(test_gated_refusals),
        cmocka_unit_test(test_accumulator),
        cmocka_unit_test(test_add_norm),
        cmocka_unit_test(test_rope_refusals),
        cmocka_unit_test(test_idempotent),
    };
    return cmocka_run_group_tests_name("passes/fuse", tests, NULL, NULL);
}
