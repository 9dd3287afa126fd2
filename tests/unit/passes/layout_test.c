/* layout_test.c - one layout a tensor, chosen among what its uses take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/model.h"
#include "unit/passes/text.h"

/* What a made-up target takes, preferred first; NULL-terminated.  All else takes row. */
typedef struct taken {
    const char *linear[4], *embedding[4];
    bool saw_packed;
} taken;

static int32_t layouts(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
    const char **out, int32_t room, tri_error *err) {
    taken *t = user;
    const char *const row[] = {"row", NULL};
    const char *const *list = row;
    (void)g;
    (void)err;
    assert_true(node->operands[slot]->constant);
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (node->operands[i] && strcmp(node->operands[i]->type.layout, "row") != 0)
            t->saw_packed = true;
    }
    if (node->op == TRI_OP_LINEAR && slot == 1) list = t->linear;
    if (node->op == TRI_OP_EMBEDDING && slot == 1) list = t->embedding;
    int32_t n = 0;
    for (; list[n]; n++) {
        assert_true(n < room);
        out[n] = list[n];
    }
    return n;
}

static tri_status run(tri_graph *g, taken *t, tri_error *err) {
    tri_status rc = tri_pass_layout(g, &(tri_target){.user = t, .layouts = layouts}, err);
    if (!rc) text_check(g);
    return rc;
}

static tri_graph *define(const char *name) {
    test_model m = test_model_named(name, 2);
    tri_graph *g = test_model_define(&m);
    assert_non_null(g);
    return g;
}

static const char *weight_layout(const tri_graph *g, tri_op op, int32_t index) {
    return text_find(g, op, index)->operands[1]->type.layout;
}

/* Two linears take panels; the table is read by rows only. */
static void test_each_as_it_likes(void **state) {
    (void)state;
    tri_error err = {0};
    taken t = {.linear = {"panel16", "row"}, .embedding = {"row"}};
    tri_graph *g = define("llama");
    assert_int_equal(run(g, &t, &err), TRI_OK);
    assert_string_equal(weight_layout(g, TRI_OP_LINEAR, 0), "panel16");
    assert_string_equal(weight_layout(g, TRI_OP_EMBEDDING, 0), "row");
    assert_int_equal(text_count(g, TRI_OP_PACK), text_count(g, TRI_OP_LINEAR));
    assert_false(t.saw_packed); /* every question is about the graph before */
    tri_graph_destroy(g);
}

/* The head reads all of a tied table, the embedding a row a token: the head's order decides, among
 * what both take. */
static void test_tied_table(void **state) {
    (void)state;
    const struct {
        taken t;
        const char *chosen;
    } cases[] = {
        {{.linear = {"panel16", "row"}, .embedding = {"row", "panel16"}}, "panel16"},
        {{.linear = {"panel32", "panel16", "row"}, .embedding = {"row", "panel16"}}, "panel16"},
        {{.linear = {"panel16", "row"}, .embedding = {"row"}}, "row"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_error err = {0};
        taken t = cases[i].t;
        tri_graph *g = define("qwen3");
        assert_int_equal(run(g, &t, &err), TRI_OK);
        assert_string_equal(weight_layout(g, TRI_OP_EMBEDDING, 0), cases[i].chosen);
        const tri_value *table = text_find(g, TRI_OP_EMBEDDING, 0)->operands[1];
        int32_t last = text_count(g, TRI_OP_LINEAR) - 1;
        assert_ptr_equal(text_find(g, TRI_OP_LINEAR, last)->operands[1], table);
        tri_graph_destroy(g);
    }
}

static void test_nothing_in_common(void **state) {
    (void)state;
    tri_error err = {0};
    taken t = {.linear = {"panel16"}, .embedding = {"row", "panel32"}};
    tri_graph *g = define("qwen3");
    assert_int_equal(run(g, &t, &err), TRI_E_UNSUPPORTED);
    text_assert_has(err.message, "weight(\"transformer.vocab_embedding.weight\")");
    text_assert_has(err.message, "embedding takes row panel32");
    text_assert_has(err.message, "linear takes panel16");
    tri_graph_destroy(g);
}

static int32_t refuse(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
    const char **out, int32_t room, tri_error *err) {
    (void)user;
    (void)g;
    (void)slot;
    (void)room;
    out[0] = "row";
    if (node->op != TRI_OP_LINEAR) return 1;
    tri_fail(err, TRI_E_UNSUPPORTED, "i4 needs avx512");
    return 0;
}

static void test_no_kernel(void **state) {
    (void)state;
    tri_error err = {0};
    tri_graph *g = define("llama");
    assert_int_equal(tri_pass_layout(g, &(tri_target){.layouts = refuse}, &err), TRI_E_UNSUPPORTED);
    text_assert_has(err.message, "i4 needs avx512");
    text_assert_has(err.message, "weight of linear of transformer.layers.0");
    tri_graph_destroy(g);
}

/* Again: nothing changes; for another target: as if it had been the first. */
static void test_again(void **state) {
    (void)state;
    tri_error err = {0};
    taken a = {.linear = {"panel16", "row"}, .embedding = {"row", "panel16"}};
    taken b = {.linear = {"tile", "row"}, .embedding = {"row"}};
    tri_graph *g = define("gemma"), *fresh = define("gemma");
    assert_int_equal(run(g, &a, &err), TRI_OK);
    char *once = text_print(g);
    assert_int_equal(run(g, &a, &err), TRI_OK);
    char *twice = text_print(g);
    assert_string_equal(once, twice);
    assert_int_equal(run(g, &b, &err), TRI_OK);
    assert_false(b.saw_packed);
    assert_int_equal(run(fresh, &b, &err), TRI_OK);
    for (int32_t i = 0; i < text_count(g, TRI_OP_LINEAR); i++)
        assert_string_equal(
            weight_layout(g, TRI_OP_LINEAR, i), weight_layout(fresh, TRI_OP_LINEAR, i));
    assert_int_equal(text_count(g, TRI_OP_PACK), text_count(fresh, TRI_OP_PACK));
    tri_free(once);
    tri_free(twice);
    tri_graph_destroy(g);
    tri_graph_destroy(fresh);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_as_it_likes),
        cmocka_unit_test(test_tied_table),
        cmocka_unit_test(test_nothing_in_common),
        cmocka_unit_test(test_no_kernel),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests_name("passes/layout", tests, NULL, NULL);
}
