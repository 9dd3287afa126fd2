/* precision_test.c - types after the pass, and what it refuses.  Whole models: golden_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/model.h"
#include "unit/passes/text.h"

static const tri_precision as_stored = {.weights = TRI_N_DTYPES, .weight_only = TRI_N_DTYPES};

static tri_graph *define(const char *name, tri_dtype dtype) {
    test_model m = test_model_named(name, 2);
    m.dtype = dtype;
    tri_graph *g = test_model_define(&m);
    assert_non_null(g);
    return g;
}

static void run(tri_graph *g, const tri_precision *precision) {
    tri_error err = {0};
    if (tri_pass_precision(g, precision, &err)) fail_msg("%s", err.message);
    text_check(g);
}

static void refuse(const char *model, tri_dtype dtype, const tri_precision *precision,
    tri_status status, const char *part) {
    tri_error err = {0};
    tri_graph *g = define(model, dtype);
    assert_int_equal(tri_pass_precision(g, precision, &err), status);
    text_assert_has(err.message, part);
    tri_graph_destroy(g);
}

/* ---- activations by weight ---- */

static void test_activation(void **state) {
    (void)state;
    const struct {
        tri_dtype stored, weights, weight_only;
        const char *asked, *got;
    } cases[] = {
        {TRI_F32, TRI_N_DTYPES, TRI_N_DTYPES, NULL, "f32"},
        {TRI_BF16, TRI_N_DTYPES, TRI_N_DTYPES, NULL, "bf16"},
        {TRI_F16, TRI_N_DTYPES, TRI_N_DTYPES, NULL, "bf16"},
        {TRI_Q8_0, TRI_N_DTYPES, TRI_N_DTYPES, NULL, "i8"},
        {TRI_Q4_0, TRI_N_DTYPES, TRI_N_DTYPES, NULL, "i8"},
        {TRI_Q4_0, TRI_F32, TRI_N_DTYPES, NULL, "f32"},
        {TRI_Q4_0, TRI_BF16, TRI_N_DTYPES, NULL, "bf16"},
        {TRI_BF16, TRI_F32, TRI_N_DTYPES, NULL, "f32"},
        {TRI_F32, TRI_BF16, TRI_N_DTYPES, NULL, "bf16"},
        {TRI_F32, TRI_BF16, TRI_I8, NULL, "bf16"},
        {TRI_BF16, TRI_N_DTYPES, TRI_N_DTYPES, "i8", "i8"},
        {TRI_Q8_0, TRI_N_DTYPES, TRI_N_DTYPES, "f32", "f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_graph *g = define("llama", cases[i].stored);
        run(g, &(tri_precision){.weights = cases[i].weights,
                   .weight_only = cases[i].weight_only,
                   .activation = cases[i].asked});
        for (tri_node *node = g->first; node; node = node->next) {
            if (node->op == TRI_OP_LINEAR)
                assert_string_equal(tri_node_string(node, "activation"), cases[i].got);
        }
        tri_graph_destroy(g);
    }
}

/* ---- types of operands ---- */

static bool is_head(const tri_node *linear) {
    return tri_node_operand(linear, "x")->type.dims[0] == TRI_DIM_R;
}

static void check_types(const tri_graph *g, tri_dtype linear, tri_dtype table) {
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_LINEAR) {
            tri_value *bias = tri_node_operand(node, "bias");
            assert_int_equal(
                tri_node_operand(node, "weight")->type.dtype, is_head(node) ? table : linear);
            if (bias) assert_int_equal(bias->type.dtype, TRI_F32);
        }
        if (node->op == TRI_OP_EMBEDDING)
            assert_int_equal(tri_node_operand(node, "table")->type.dtype, table);
        if (node->op == TRI_OP_RMS_NORM)
            assert_int_equal(tri_node_operand(node, "w")->type.dtype, TRI_F32);
    }
}

static void test_types(void **state) {
    (void)state;
    const struct {
        const char *model;
        tri_dtype stored, weights, weight_only, linear, table;
    } cases[] = {
        {"bias", TRI_BF16, TRI_N_DTYPES, TRI_N_DTYPES, TRI_BF16, TRI_BF16},
        {"bias", TRI_F16, TRI_BF16, TRI_N_DTYPES, TRI_BF16, TRI_BF16},
        {"bias", TRI_Q4_0, TRI_N_DTYPES, TRI_N_DTYPES, TRI_Q4_0, TRI_Q4_0},
        {"bias", TRI_Q4_0, TRI_F16, TRI_N_DTYPES, TRI_F16, TRI_F16},
        {"bias", TRI_F32, TRI_BF16, TRI_I8, TRI_I8, TRI_BF16},
        {"bias", TRI_Q8_0, TRI_BF16, TRI_I4, TRI_I4, TRI_BF16},
        /* blocks that are kept are quantised enough */
        {"bias", TRI_Q8_0, TRI_N_DTYPES, TRI_I4, TRI_Q8_0, TRI_Q8_0},
        {"gemma", TRI_BF16, TRI_N_DTYPES, TRI_I4, TRI_I4, TRI_BF16},
        {"qwen3", TRI_BF16, TRI_F32, TRI_I8, TRI_I8, TRI_F32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_graph *g = define(cases[i].model, cases[i].stored);
        run(g, &(tri_precision){.weights = cases[i].weights, .weight_only = cases[i].weight_only});
        check_types(g, cases[i].linear, cases[i].table);
        tri_graph_destroy(g);
    }
}

/* A table that embedding and head share is cast once. */
static void test_tied_table_stays_one(void **state) {
    (void)state;
    tri_graph *g = define("gemma", TRI_BF16);
    run(g, &(tri_precision){.weights = TRI_F16, .weight_only = TRI_I4});
    const tri_value *table = tri_node_operand(text_find(g, TRI_OP_EMBEDDING, 0), "table");
    const tri_node *head = NULL;
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_LINEAR && is_head(node)) head = node;
    }
    assert_non_null(head);
    assert_ptr_equal(tri_node_operand(head, "weight"), table);
    assert_int_equal(table->type.dtype, TRI_F16);
    tri_graph_destroy(g);
}

/* What the embedding reads stays readable for it, wherever else it is used. */
static void test_tied_inside(void **state) {
    (void)state;
    tri_graph *g = text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                              "  %1 = weight name=\"table\" : bf16[16,16]\n"
                              "  %2 = embedding(%0, %1) : f32[T,16]\n"
                              "  %3 = linear(%2, %1) : f32[T,16]\n"
                              "  %4 = activation(%3) : f32[T,16]\n"
                              "  %5 = add(%2, %4) : f32[T,16]\n"
                              "  output y = %5\n",
        NULL);
    run(g, &(tri_precision){.weights = TRI_N_DTYPES, .weight_only = TRI_I8});
    assert_int_equal(text_count(g, TRI_OP_QUANTIZE), 0);
    tri_graph_destroy(g);
}

static void test_caches(void **state) {
    (void)state;
    tri_graph *g = define("gemma", TRI_BF16);
    tri_precision p = as_stored;
    p.kv = TRI_F16;
    run(g, &p);
    assert_int_equal(text_find(g, TRI_OP_CACHE, 1)->results[0]->type.dtype, TRI_F16);
    assert_int_equal(g->kv_dtype, TRI_F16);
    /* 2 kv heads of 8, K and V, 2 bytes: one layer full, one sliding */
    assert_int_equal(g->groups[0].bytes_per_token, 2 * 2 * 8 * 2);
    assert_int_equal(g->groups[1].bytes_per_token, 2 * 2 * 8 * 2);
    tri_graph_destroy(g);
}

/* Weights that come with scales keep both as they are; scales become float32. */
static void test_prequantised(void **state) {
    (void)state;
    tri_graph *g = text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                              "  %1 = weight name=\"table\" : bf16[8,32]\n"
                              "  %2 = embedding(%0, %1) : f32[T,32]\n"
                              "  %3 = weight name=\"up.weight\" : i8[64,32]\n"
                              "  %4 = weight name=\"up.per_channel_scale\" : f16[64]\n"
                              "  %5 = linear(%2, %3, scales=%4) : f32[T,64]\n"
                              "  %6 = weight name=\"down.weight\" : f8_e4m3[32,64]\n"
                              "  %7 = weight name=\"down.weights_scaling_factor\" : bf16[32,4]\n"
                              "  %8 = linear(%5, %6, scales=%7) : f32[T,32]\n"
                              "  %9 = weight name=\"out.weight\" : bf16[32,32]\n"
                              "  %10 = linear(%8, %9) : f32[T,32]\n"
                              "  %11 = add(%2, %10) : f32[T,32]\n"
                              "  output y = %11\n",
        NULL);
    run(g, &(tri_precision){.weights = TRI_F32, .weight_only = TRI_I4});
    const tri_node *up = text_find(g, TRI_OP_LINEAR, 0), *down = text_find(g, TRI_OP_LINEAR, 1);
    assert_int_equal(tri_node_operand(up, "weight")->type.dtype, TRI_I8);
    assert_int_equal(tri_node_operand(up, "scales")->type.dtype, TRI_F32);
    assert_int_equal(tri_node_operand(down, "weight")->type.dtype, TRI_F8_E4M3);
    assert_int_equal(tri_node_operand(down, "scales")->type.dtype, TRI_F32);
    assert_int_equal(
        tri_node_operand(text_find(g, TRI_OP_LINEAR, 2), "weight")->type.dtype, TRI_I4);
    assert_string_equal(tri_node_string(up, "activation"), "bf16");
    tri_graph_destroy(g);
}

static void test_groups(void **state) {
    (void)state;
    tri_graph *g = define("llama", TRI_BF16);
    run(g, &(tri_precision){.weights = TRI_N_DTYPES, .weight_only = TRI_I4, .group_size = 8});
    const tri_type *scales = &tri_node_operand(text_find(g, TRI_OP_LINEAR, 0), "scales")->type;
    assert_int_equal(scales->n_dims, 2);
    assert_int_equal(scales->dims[1], 32 / 8);
    tri_graph_destroy(g);
    g = define("llama", TRI_BF16); /* i8: a row, whatever the group */
    run(g, &(tri_precision){.weights = TRI_N_DTYPES, .weight_only = TRI_I8, .group_size = 7});
    assert_int_equal(tri_node_operand(text_find(g, TRI_OP_LINEAR, 0), "scales")->type.n_dims, 1);
    tri_graph_destroy(g);
}

/* The same again finds everything as it should be. */
static void test_idempotent(void **state) {
    (void)state;
    const tri_precision p = {.weights = TRI_BF16, .weight_only = TRI_I4, .group_size = 16};
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        tri_graph *g = define(test_model_names[i], TRI_F32);
        run(g, &p);
        char *once = text_print(g);
        run(g, &p);
        char *twice = text_print(g);
        assert_string_equal(once, twice);
        tri_free(once);
        tri_free(twice);
        tri_graph_destroy(g);
    }
}

static void test_refusals(void **state) {
    (void)state;
    tri_precision p = {.weights = TRI_N_DTYPES, .weight_only = TRI_I4, .group_size = 48};
    refuse("llama", TRI_BF16, &p, TRI_E_ARGUMENT,
        "transformer.layers.0.attention.qkv.weight has 32 columns, no multiple of group_size 48");
    p.group_size = -1;
    refuse("llama", TRI_BF16, &p, TRI_E_ARGUMENT, "group_size is -1");
    p = as_stored;
    p.weights = TRI_I8;
    refuse("llama", TRI_BF16, &p, TRI_E_UNSUPPORTED, "weights cannot be held as i8");
    p = as_stored;
    p.kv = TRI_Q8_0;
    refuse("llama", TRI_BF16, &p, TRI_E_UNSUPPORTED, "caches cannot hold q8_0");
    p = as_stored;
    p.weight_only = TRI_BF16;
    refuse("llama", TRI_BF16, &p, TRI_E_UNSUPPORTED, "quantisation to bf16");
    p = as_stored;
    p.activation = "int8";
    refuse("llama", TRI_BF16, &p, TRI_E_UNSUPPORTED, "activation is 'int8'");

    tri_error err = {0};
    test_model m = test_model_named("llama", 1);
    m.intermediate = 40;
    tri_graph *g = test_model_define(&m);
    p = as_stored;
    p.activation = "i8";
    assert_int_equal(tri_pass_precision(g, &p, &err), TRI_E_ARGUMENT);
    text_assert_has(err.message, "mlp.proj.weight has 40 columns, 8-bit activations");
    tri_graph_destroy(g);
    m.intermediate = 33;
    g = test_model_define(&m);
    p = as_stored;
    p.weight_only = TRI_I4;
    assert_int_equal(tri_pass_precision(g, &p, &err), TRI_E_ARGUMENT);
    text_assert_has(err.message, "mlp.proj.weight has 33 columns, i4 needs an even number");
    tri_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_tied_table_stays_one),
        cmocka_unit_test(test_tied_inside),
        cmocka_unit_test(test_caches),
        cmocka_unit_test(test_prequantised),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_idempotent),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("passes/precision", tests, NULL, NULL);
}
