/* shard_test.c - ranks as threads give what one rank gives; what cannot be split is refused, and
 * left as it was.  The text of split models: golden_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "graph/plugins.h"
#include "passes/passes.h"
#include "unit/passes/run.h"
#include "unit/passes/text.h"

/* ---- the same results ---- */

static tri_status shard(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    return tri_pass_shard(g, tp, rank, err);
}

/* All that a build does to the numbers, at float32. */
static tri_status shard_and_fuse(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    const tri_precision p = {.weights = TRI_F32, .weight_only = TRI_N_DTYPES};
    TRI_TRY(tri_pass_shard(g, tp, rank, err));
    TRI_TRY(tri_pass_precision(g, &p, err));
    return tri_pass_fuse(g, err);
}

static void redeclare_table(tri_graph *g, int32_t dim, int32_t tp) {
    static const char name[] = "transformer.vocab_embedding.weight";
    int64_t index;
    if (!tri_map_get(&g->weight_index, tri_str_of(name), &index)) return; /* another stage's */
    tri_type type = g->weights[index].type;
    type.dims[dim] = (type.dims[dim] + tp - 1) / tp;
    tri_graph_set_weight_type(g, name, &type);
}

static tri_status shard_vocabulary(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    redeclare_table(g, 0, tp);
    return tri_pass_shard(g, tp, rank, err);
}

static tri_status shard_embedding_columns(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    redeclare_table(g, 1, tp);
    return tri_pass_shard(g, tp, rank, err);
}

/* A sum over ranks rounds each rank's part to float32 and adds tp of them, 2^-24 of some units
 * each, where one rank rounds once: two sums a layer, which norms carry on with a gain of about
 * one.  A wrong row or head makes an error of order one, see test_can_fail. */
static const double some_roundings = 1e-5;

static void compare(const test_model *m, const run_logits *alone, run_layout how,
    run_rewrite rewrite, const char *what) {
    run_logits got = run_model(m, how, rewrite);
    double error = run_error(&got, alone);
    if (!(error < some_roundings))
        fail_msg("%s at tp %d, pp %d: %g", what, (int)how.tp, (int)how.pp, error);
    free(got.data);
}

static const run_layout layouts[] = {{1, 1, 0}, {2, 1, 0}, {4, 1, 0}, {1, 2, 0}, {2, 2, 0}};

static void test_same_results(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        const char *name = test_model_names[i];
        test_model m = test_model_named(name, 2);
        if (strcmp(name, "blocks") == 0) continue; /* its blocks are wider than a part */
        run_logits alone = run_model(&m, layouts[0], NULL);
        assert_true(alone.deviation > 0.5);
        for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
            compare(&m, &alone, layouts[k], shard, name);
            compare(&m, &alone, layouts[k], shard_and_fuse, name);
        }
        free(alone.data);
    }
}

/* use_parallel_embedding, tied and not; a vocabulary that tp does not divide. */
static void test_vocabulary(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "qwen3"};
    for (size_t i = 0; i < 2; i++) {
        for (int32_t vocab = 40; vocab < 43; vocab++) {
            test_model m = test_model_named(names[i], 2);
            m.vocab = vocab;
            run_logits alone = run_model(&m, layouts[0], NULL);
            for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
                run_layout how = layouts[k];
                compare(&m, &alone, how, shard, names[i]);
                how.embedding = RUN_BY_ROWS;
                compare(&m, &alone, how, shard_vocabulary, names[i]);
                how.embedding = RUN_BY_COLUMNS;
                if (!m.tied) compare(&m, &alone, how, shard_embedding_columns, names[i]);
            }
            free(alone.data);
        }
    }
}

/* More ranks than kv heads, down to one head for all. */
static void test_few_kv_heads(void **state) {
    (void)state;
    const run_layout eight = {8, 1, 0};
    for (int32_t n_kv = 1; n_kv <= 8; n_kv *= 2) {
        test_model m = test_model_named("qwen3", 1);
        m.n_heads = 8;
        m.n_kv_heads = n_kv;
        run_logits alone = run_model(&m, layouts[0], NULL);
        compare(&m, &alone, layouts[1], shard, "few kv heads");
        compare(&m, &alone, layouts[2], shard, "few kv heads");
        compare(&m, &alone, eight, shard_and_fuse, "few kv heads");
        free(alone.data);
    }
}

/* The comparison sees one missing sum. */
static tri_status shard_without_a_sum(tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    TRI_TRY(tri_pass_shard(g, tp, rank, err));
    tri_node *sum = text_find(g, TRI_OP_ALL_REDUCE, 1);
    tri_value_replace(g, sum->results[0], sum->operands[0]);
    tri_node_remove(g, sum);
    return TRI_OK;
}

static tri_status shard_with_bias_everywhere(
    tri_graph *g, int32_t tp, int32_t rank, tri_error *err) {
    (void)rank;
    return tri_pass_shard(g, tp, 0, err);
}

static double error_of(const char *model, run_rewrite rewrite) {
    test_model m = test_model_named(model, 2);
    run_logits alone = run_model(&m, layouts[0], NULL),
               got = run_model_apart(&m, layouts[1], rewrite);
    double error = run_error(&got, &alone);
    free(alone.data);
    free(got.data);
    return error;
}

static void test_can_fail(void **state) {
    (void)state;
    assert_true(error_of("llama", shard_without_a_sum) > 0.1);
    assert_true(error_of("bias", shard_with_bias_everywhere) > 0.1);
    assert_true(
        error_of("qwen3", shard_with_bias_everywhere) > 0.1); /* rank 0's rows of the head */
    assert_true(error_of("bias", shard) < some_roundings);
}

/* ---- shapes ---- */

/* A tied head: this rank's rows, gathered; whole where the vocabulary cannot be divided. */
static void test_tied_head(void **state) {
    (void)state;
    for (int32_t vocab = 40; vocab < 42; vocab++) {
        tri_error err = {0};
        test_model m = test_model_named("qwen3", 1);
        m.vocab = vocab;
        tri_graph *g = test_model_define(&m);
        assert_int_equal(tri_pass_shard(g, 4, 2, &err), TRI_OK);
        text_check(g);
        bool divides = vocab % 4 == 0;
        assert_int_equal(text_count(g, TRI_OP_SLICE_ROWS), divides);
        assert_int_equal(text_count(g, TRI_OP_ALL_GATHER), divides);
        assert_int_equal(g->outputs[0].value->type.dims[1], vocab);
        if (divides) {
            const tri_node *slice = text_find(g, TRI_OP_SLICE_ROWS, 0);
            assert_int_equal(tri_node_int(slice, "first"), 20);
            assert_int_equal(tri_node_int(slice, "n"), 10);
        }
        tri_graph_destroy(g);
    }
}

static void test_caches_shrink(void **state) {
    (void)state;
    const struct { int32_t tp, heads; } cases[] = {{1, 2}, {2, 1}, {4, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_error err = {0};
        test_model m = test_model_named("gemma", 2);
        tri_graph *g = test_model_define(&m);
        assert_int_equal(tri_pass_shard(g, cases[i].tp, 0, &err), TRI_OK);
        text_check(g);
        assert_int_equal(text_find(g, TRI_OP_CACHE, 0)->results[0]->type.dims[0], cases[i].heads);
        /* K and V, 8 elements of 4 bytes */
        assert_int_equal(g->groups[0].bytes_per_token, 2 * cases[i].heads * 8 * 4);
        tri_graph_destroy(g);
    }
}

/* A caller that declares the shards, as an engine does, is held to them. */
static void test_declared_shards(void **state) {
    (void)state;
    tri_error err = {0};
    test_model m = test_model_named("llama", 1);
    tri_graph *g = test_model_define(&m);
    tri_type type = {.dtype = TRI_BF16, .n_dims = 2, .dims = {20, 32}, .layout = "row"};
    tri_graph_set_weight_type(g, "lm_head.weight", &type);
    assert_int_equal(tri_pass_shard(g, 2, 0, &err), TRI_OK);
    tri_graph_destroy(g);
    g = test_model_define(&m);
    type.dims[0] = 21;
    tri_graph_set_weight_type(g, "lm_head.weight", &type);
    assert_int_equal(tri_pass_shard(g, 2, 0, &err), TRI_E_ARGUMENT);
    text_assert_has(err.message,
        "lm_head.weight is declared as bf16[21,32]; of bf16[40,32], rank 0 of 2 holds bf16[20,32]");
    tri_graph_destroy(g);
}

/* ---- plugins ---- */

static int32_t same_type(const tri_plugin_type *inputs, int32_t n_inputs,
    const tri_plugin_field *fields, int32_t n_fields, tri_plugin_type *outputs) {
    (void)n_inputs;
    (void)fields;
    (void)n_fields;
    outputs[0] = inputs[0];
    return 0;
}

static int32_t twice(const tri_plugin_reference *run) {
    for (int64_t i = 0; i < run->input_rows[0] * run->input_columns[0]; i++)
        run->outputs[0][i] = 2.0f * run->inputs[0][i];
    return 0;
}

#define UP                                                                                         \
    "  %0 = input name=\"tokens\" : i32[T]\n"                                                      \
    "  %1 = weight name=\"table\" : f32[8,16]\n"                                                   \
    "  %2 = embedding(%0, %1) : f32[T,16]\n"                                                       \
    "  %3 = weight name=\"mlp.fc.weight\" : f32[32,16]\n"                                          \
    "  %4 = linear(%2, %3) : f32[T,32]\n"
#define DOWN(x)                                                                                    \
    "  %20 = weight name=\"mlp.proj.weight\" : f32[16,32]\n"                                       \
    "  %21 = linear(" x ", %20) : f32[T,16]\n"                                                     \
    "  output y = %21\n"

static void test_plugins(void **state) {
    (void)state;
    tri_error err = {0};
    tri_plugin_registry *plugins = NULL;
    tri_plugin_op op = {.struct_size = sizeof op,
        .name = "twice",
        .version = 1,
        .n_inputs = 1,
        .n_outputs = 1,
        .infer = same_type,
        .reference = twice,
        .shard = TRI_SHARD_COLUMNS};
    assert_int_equal(tri_plugin_registry_create(&plugins, &err), TRI_OK);
    assert_int_equal(tri_plugin_registry_add_op(plugins, &op, &err), TRI_OK);
    static const char body[] = UP "  %5 = plugin.twice(%4) : f32[T,32]\n" DOWN("%5");
    tri_graph *g = text_parse(body, plugins);
    assert_int_equal(tri_pass_shard(g, 4, 1, &err), TRI_OK);
    text_check(g);
    assert_int_equal(text_find(g, TRI_OP_PLUGIN, 0)->results[0]->type.dims[1], 8);
    tri_graph_destroy(g);

    op.shard = TRI_SHARD_REPLICATE;
    g = text_parse(body, plugins);
    assert_int_equal(tri_pass_shard(g, 4, 1, &err), TRI_E_UNSUPPORTED);
    text_assert_has(err.message, "plugin op twice works on whole rows");
    tri_graph_destroy(g);
    /* On what every rank has whole, nothing is in the way. */
    g = text_parse(UP "  %6 = plugin.twice(%2) : f32[T,16]\n  output x = %6\n" DOWN("%4"), plugins);
    assert_int_equal(tri_pass_shard(g, 4, 1, &err), TRI_OK);
    tri_graph_destroy(g);
    tri_plugin_registry_destroy(plugins);
}

/* ---- refusals ---- */

static void refuse(tri_graph *g, int32_t tp, int32_t rank, const char *part) {
    tri_error err = {0};
    char *before = text_print(g);
    assert_int_not_equal(tri_pass_shard(g, tp, rank, &err), TRI_OK);
    text_assert_has(err.message, part);
    char *after = text_print(g);
    assert_string_equal(before, after);
    tri_free(before);
    tri_free(after);
    tri_graph_destroy(g);
}

static void test_what_does_not_divide(void **state) {
    (void)state;
    test_model m = test_model_named("llama", 1);
    refuse(test_model_define(&m), 3, 0,
        "4 heads of transformer.layers.0.attention.qkv.weight cannot be divided by tp_size 3");
    m.n_heads = 6;
    m.n_kv_heads = 3;
    refuse(test_model_define(&m), 2, 1,
        "3 kv heads of transformer.layers.0.attention.qkv.weight cannot be divided by tp_size 2");
    m = test_model_named("separate", 1);
    m.n_heads = 12;
    m.n_kv_heads = 3;
    refuse(test_model_define(&m), 4, 1, "3 kv heads of transformer.layers.0.attention");
    m = test_model_named("llama", 1);
    m.intermediate = 66;
    refuse(test_model_define(&m), 4, 3,
        "66 features of transformer.layers.0.mlp.fc.weight cannot be divided by tp_size 4");
    m = test_model_named("blocks", 1);
    refuse(test_model_define(&m), 2, 0,
        "transformer.layers.0.attention.dense.weight: 16 of 32 columns a rank would cut a block of "
        "q8_0 (32 columns)");
    refuse(test_model_define(&m), 0, 0, "tp_rank is 0 of tp_size 0");
    refuse(test_model_define(&m), 2, 2, "tp_rank is 2 of tp_size 2");
    refuse(test_model_define(&m), 2, -1, "tp_rank is -1");
}

static void test_what_needs_all_columns(void **state) {
    (void)state;
    static const struct {
        const char *body, *part;
    } cases[] = {
        {UP "  %5 = weight name=\"w\" : f32[32]\n  %6 = rms_norm(%4, %5) : f32[T,32]\n" DOWN("%6"),
            "rms_norm needs all columns of x"},
        {UP "  %5 = gated_activation(%4) : f32[T,16]\n  output x = %5\n  output z = %4\n",
            "gated_activation needs all columns of x"},
        {UP "  output y = %4\n", "output y would be split over 2 ranks"},
        {UP "  send(%4)\n", "send needs all columns of x"},
        {UP "  %5 = columns(%4) n=16 : f32[T,16]\n  output y = %5\n",
            "columns: columns [0, 16) are a piece of what is split"},
        {UP "  %5 = weight name=\"up\" : f32[32,16]\n  %6 = linear(%2, %5) : f32[T,32]\n"
            "  %7 = mul(%4, %6) : f32[T,32]\n" DOWN("%7"),
            "mul: its operands are not split alike"},
        {UP "  %5 = weight name=\"down\" : f32[16,32]\n  %6 = linear(%4, %5) : f32[T,16]\n"
            "  output y = %6\n",
            "down multiplies columns split over 2 ranks; only attention.dense and mlp.proj can"},
        {"  %0 = input name=\"tokens\" : i32[T]\n  %1 = weight name=\"table\" : f32[8,32]\n"
         "  %2 = embedding(%0, %1) : f32[T,32]\n" DOWN("%2"),
            "mlp.proj.weight is split by its columns, but what it multiplies is whole"},
        {UP "  %5 = weight name=\"attention.v.weight\" : f32[16,16]\n"
            "  %6 = linear(%2, %5) : f32[T,16]\n  output y = %6\n",
            "attention.v.weight is split by heads, but flows into no attention op"},
        {UP "  %6 = weight name=\"mlp.proj.weight\" : i8[16,32]\n"
            "  %7 = weight name=\"mlp.proj.weights_scaling_factor\" : f32[16,1]\n"
            "  %8 = linear(%4, %6, scales=%7) : f32[T,16]\n  %9 = all_reduce(%8) : f32[T,16]\n"
            "  output y = %9\n",
            "the graph is split already: it has all_reduce"},
        {UP "  %6 = weight name=\"mlp.proj.weight\" : f32[16,32]\n"
            "  %8 = linear(%4, %6, accumulator=%2) : f32[T,16]\n  output y = %8\n",
            "linear has an accumulator: shard before fusing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(text_parse(cases[i].body, NULL), 2, 0, cases[i].part);
}

/* Scales go with their rows and groups. */
static void test_scales(void **state) {
    (void)state;
    static const char body[] =
        "  %0 = input name=\"tokens\" : i32[T]\n  %1 = weight name=\"table\" : f32[8,16]\n"
        "  %2 = embedding(%0, %1) : f32[T,16]\n"
        "  %3 = weight name=\"mlp.fc.weight\" : i8[32,16]\n"
        "  %4 = weight name=\"mlp.fc.scales\" : f32[32,2]\n"
        "  %5 = linear(%2, %3, scales=%4) : f32[T,32]\n"
        "  %6 = weight name=\"mlp.proj.weight\" : i8[16,32]\n"
        "  %7 = weight name=\"mlp.proj.scales\" : f32[16,4]\n"
        "  %8 = linear(%5, %6, scales=%7) : f32[T,16]\n  output y = %8\n";
    tri_error err = {0};
    tri_graph *g = text_parse(body, NULL);
    assert_int_equal(tri_pass_shard(g, 4, 0, &err), TRI_OK);
    const tri_type *up = &tri_node_operand(text_find(g, TRI_OP_LINEAR, 0), "scales")->type;
    const tri_type *down = &tri_node_operand(text_find(g, TRI_OP_LINEAR, 1), "scales")->type;
    assert_int_equal(up->dims[0], 8);
    assert_int_equal(up->dims[1], 2);
    assert_int_equal(down->dims[0], 16);
    assert_int_equal(down->dims[1], 1);
    tri_graph_destroy(g);
    refuse(text_parse(body, NULL), 8, 0,
        "mlp.proj.weight: 4 of 32 columns a rank would cut a group of 8 columns");
}

/* Not idempotent: what has been split says so; one rank changes nothing. */
static void test_again(void **state) {
    (void)state;
    tri_error err = {0};
    test_model m = test_model_named("llama", 1);
    tri_graph *g = test_model_define(&m);
    assert_int_equal(tri_pass_shard(g, 2, 0, &err), TRI_OK);
    refuse(g, 2, 0, "the graph is split already");
    g = test_model_define(&m);
    char *before = text_print(g);
    assert_int_equal(tri_pass_shard(g, 1, 0, &err), TRI_OK);
    char *after = text_print(g);
    assert_string_equal(before, after);
    tri_free(before);
    tri_free(after);
    tri_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_results),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_few_kv_heads),
        cmocka_unit_test(test_can_fail),
        cmocka_unit_test(test_tied_head),
        cmocka_unit_test(test_caches_shrink),
        cmocka_unit_test(test_declared_shards),
        cmocka_unit_test(test_plugins),
        cmocka_unit_test(test_what_does_not_divide),
        cmocka_unit_test(test_what_needs_all_columns),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests_name("passes/shard", tests, NULL, NULL);
}
