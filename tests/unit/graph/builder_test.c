/* The calls of graph.h: what they emit, and what they say when it cannot be. */
#include <stdio.h>

#include "unit/graph/support.h"

enum { C = 8, H = 2, G = 1, D = 4, V = 10 };

static void declare_layer(tri_graph *g, int i, bool norms) {
    char name[96];
    static const struct {
        const char *name;
        int64_t rows, columns;
    } weights[] = {{"input_layernorm.weight", C, 0}, {"attention.qkv.weight", (H + 2 * G) * D, C},
        {"attention.qkv.bias", (H + 2 * G) * D, 0}, {"attention.dense.weight", C, H * D},
        {"attention.q_layernorm.weight", D, 0}, {"attention.k_layernorm.weight", D, 0}};
    for (size_t k = 0; k < (norms ? 6 : 4); k++) {
        snprintf(name, sizeof name, "transformer.layers.%d.%s", i, weights[k].name);
        declare(g, name, TRI_BF16, weights[k].rows, weights[k].columns);
    }
}

static tri_value *layer(tri_graph *g, int i, tri_value *x, int32_t window, bool norms) {
    tri_rope_desc rope = {.base = 10000.0};
    tri_scope_push(g, "transformer.layers.%d", i);
    tri_value *h = tri_rms_norm(g, x, tri_weight(g, "input_layernorm.weight"), 1e-6);
    h = tri_linear(g, h, "attention.qkv");
    tri_attention_desc desc = {.n_heads = H,
        .n_kv_heads = G,
        .head_size = D,
        .window = window,
        .rope = &rope,
        .norm_epsilon = 1e-6};
    if (norms) {
        desc.q_norm = tri_weight(g, "attention.q_layernorm.weight");
        desc.k_norm = tri_weight(g, "attention.k_layernorm.weight");
    }
    tri_value *q = tri_columns(g, h, 0, H * D);
    tri_value *k = tri_columns(g, h, H * D, G * D);
    tri_value *v = tri_columns(g, h, (H + G) * D, G * D);
    h = tri_attention(g, q, k, v, &desc);
    x = tri_add(g, x, tri_linear(g, h, "attention.dense"));
    tri_scope_pop(g);
    return x;
}

static const char *const expected =
    "trireme.graph 1\n"
    "graph \"TestForCausalLM\" {\n"
    "  group 0 sliding window=16 tokens_per_block=32\n"
    "  group 1 full tokens_per_block=32\n"
    "  %0 = input name=\"tokens\" : i32[T]\n"
    "  %1 = weight name=\"transformer.vocab_embedding.weight\" : bf16[10,8]\n"
    "  %2 = embedding(%0, %1) : f32[T,8]\n"
    "  %3 = weight name=\"transformer.layers.0.input_layernorm.weight\" : bf16[8]"
    "        # transformer.layers.0\n"
    "  %4 = rms_norm(%2, %3) eps=1e-06 : f32[T,8]        # transformer.layers.0\n"
    "  %5 = weight name=\"transformer.layers.0.attention.qkv.weight\" : bf16[16,8]"
    "        # transformer.layers.0\n"
    "  %6 = weight name=\"transformer.layers.0.attention.qkv.bias\" : bf16[16]"
    "        # transformer.layers.0\n"
    "  %7 = linear(%4, %5, bias=%6) : f32[T,16]        # transformer.layers.0\n"
    "  %8 = columns(%7) n=8 : f32[T,8]        # transformer.layers.0\n"
    "  %9 = columns(%7) first=8 n=4 : f32[T,4]        # transformer.layers.0\n"
    "  %10 = columns(%7) first=12 n=4 : f32[T,4]        # transformer.layers.0\n"
    "  %11 = input name=\"positions\" : i32[T]        # transformer.layers.0\n"
    "  %12 = rope_frequencies rotary_dim=4 : f32[2]        # transformer.layers.0\n"
    "  %13 = rope(%8, %11, %12) head_size=4 : f32[T,8]        # transformer.layers.0\n"
    "  %14 = rope(%9, %11, %12) head_size=4 : f32[T,4]        # transformer.layers.0\n"
    "  %15 = cache : cache<f32, 1, 4>        # transformer.layers.0\n"
    "  %16 = kv_write(%14, %10, %15) : cache<f32, 1, 4>        # transformer.layers.0\n"
    "  %17 = attention(%13, %16) n_heads=2 scale=0.5 window=16 : f32[T,8]"
    "        # transformer.layers.0\n"
    "  %18 = weight name=\"transformer.layers.0.attention.dense.weight\" : bf16[8,8]"
    "        # transformer.layers.0\n"
    "  %19 = linear(%17, %18) : f32[T,8]        # transformer.layers.0\n"
    "  %20 = add(%2, %19) : f32[T,8]        # transformer.layers.0\n"
    "  %21 = weight name=\"transformer.layers.1.input_layernorm.weight\" : bf16[8]"
    "        # transformer.layers.1\n"
    "  %22 = rms_norm(%20, %21) eps=1e-06 : f32[T,8]        # transformer.layers.1\n"
    "  %23 = weight name=\"transformer.layers.1.attention.qkv.weight\" : bf16[16,8]"
    "        # transformer.layers.1\n"
    "  %24 = weight name=\"transformer.layers.1.attention.qkv.bias\" : bf16[16]"
    "        # transformer.layers.1\n"
    "  %25 = linear(%22, %23, bias=%24) : f32[T,16]        # transformer.layers.1\n"
    "  %26 = weight name=\"transformer.layers.1.attention.q_layernorm.weight\" : bf16[4]"
    "        # transformer.layers.1\n"
    "  %27 = weight name=\"transformer.layers.1.attention.k_layernorm.weight\" : bf16[4]"
    "        # transformer.layers.1\n"
    "  %28 = columns(%25) n=8 : f32[T,8]        # transformer.layers.1\n"
    "  %29 = columns(%25) first=8 n=4 : f32[T,4]        # transformer.layers.1\n"
    "  %30 = columns(%25) first=12 n=4 : f32[T,4]        # transformer.layers.1\n"
    "  %31 = rms_norm(%28, %26) eps=1e-06 : f32[T,8]        # transformer.layers.1\n"
    "  %32 = rms_norm(%29, %27) eps=1e-06 : f32[T,4]        # transformer.layers.1\n"
    "  %33 = rope(%31, %11, %12) head_size=4 : f32[T,8]        # transformer.layers.1\n"
    "  %34 = rope(%32, %11, %12) head_size=4 : f32[T,4]        # transformer.layers.1\n"
    "  %35 = cache group=1 : cache<f32, 1, 4>        # transformer.layers.1\n"
    "  %36 = kv_write(%34, %30, %35) : cache<f32, 1, 4>        # transformer.layers.1\n"
    "  %37 = attention(%33, %36) n_heads=2 scale=0.5 : f32[T,8]        # transformer.layers.1\n"
    "  %38 = weight name=\"transformer.layers.1.attention.dense.weight\" : bf16[8,8]"
    "        # transformer.layers.1\n"
    "  %39 = linear(%37, %38) : f32[T,8]        # transformer.layers.1\n"
    "  %40 = add(%20, %39) : f32[T,8]        # transformer.layers.1\n"
    "  %41 = input name=\"rows\" : i32[R]\n"
    "  %42 = select_rows(%40, %41) : f32[R,8]\n"
    "  %43 = linear(%42, %1) : f32[R,10]\n"
    "  output logits = %43\n"
    "}\n";

/* Two layers, one sliding and one full with head norms, tied embeddings. */
static tri_graph *small_model(void) {
    tri_graph *g = graph_named("TestForCausalLM");
    declare(g, "transformer.vocab_embedding.weight", TRI_BF16, V, C);
    declare_layer(g, 0, false);
    declare_layer(g, 1, true);
    tri_value *tokens = tri_input_tokens(g);
    tri_value *x = tri_embedding(g, tokens, tri_weight(g, "transformer.vocab_embedding.weight"));
    x = layer(g, 0, x, 16, false);
    x = layer(g, 1, x, 0, true);
    x = tri_select_rows(g, x, tri_input_rows(g));
    tri_output_logits(g, tri_matmul(g, x, tri_weight(g, "transformer.vocab_embedding.weight")));
    assert_ok(tri_graph_finish(g, err));
    return g;
}

static void emits_what_the_header_says(void **state) {
    (void)state;
    tri_graph *g = small_model();
    char *text = NULL;
    assert_ok(tri_graph_print(g, &text, err));
    assert_string_equal(text, expected);
    assert_int_equal(g->groups[0].n_layers, 1);
    assert_int_equal(g->groups[0].bytes_per_token, 2 * G * D * 4);
    tri_free(text);
    tri_graph_destroy(g);
}

static void reads_back_as_the_same_text(void **state) {
    (void)state;
    tri_graph *g = NULL, *copy = NULL;
    char *text = NULL;
    assert_ok(tri_graph_parse(&g, expected, strlen(expected), err));
    assert_ok(tri_graph_verify(g, err));
    assert_ok(tri_graph_print(g, &text, err));
    assert_string_equal(text, expected);
    tri_free(text);
    assert_ok(tri_graph_clone(g, &copy, err));
    tri_graph_destroy(g);
    assert_ok(tri_graph_verify(copy, err));
    assert_ok(tri_graph_print(copy, &text, err));
    assert_string_equal(text, expected);
    tri_free(text);
    tri_graph_destroy(copy);
}

static void groups_by_kind_window_and_dtype(void **state) {
    (void)state;
    tri_graph *g = graph_named("t");
    g->kv_dtype = TRI_BF16;
    g->tokens_per_block = 8;
    tri_attention_desc desc = {.n_heads = 4, .n_kv_heads = 2, .head_size = 4};
    declare(g, "table", TRI_F32, V, 16);
    declare(g, "kv.weight", TRI_F32, 8, 16);
    tri_value *x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "table"));
    tri_value *kv = tri_linear(g, x, "kv");
    for (int i = 0; i < 6; i++) {
        desc.window = i % 3 == 2 ? 0 : 64;
        tri_attention(g, x, kv, kv, &desc);
    }
    assert_int_equal(g->error.status, TRI_OK);
    assert_int_equal(g->n_groups, 2);
    assert_int_equal(g->groups[0].kind, TRI_GROUP_SLIDING);
    assert_int_equal(g->groups[0].window, 64);
    assert_int_equal(g->groups[0].n_layers, 4);
    assert_int_equal(g->groups[0].bytes_per_token, 4 * 2 * 8 * 2);
    assert_int_equal(g->groups[1].kind, TRI_GROUP_FULL);
    assert_int_equal(g->groups[1].n_layers, 2);
    assert_int_equal(g->groups[1].tokens_per_block, 8);
    tri_graph_destroy(g);
}

static void linear_finds_bias_and_scales(void **state) {
    (void)state;
    tri_graph *g = graph_named("t");
    declare(g, "table", TRI_F32, V, 64);
    declare(g, "a.weight", TRI_I8, 16, 64);
    declare(g, "a.per_channel_scale", TRI_F32, 16, 0);
    declare(g, "b.weight", TRI_I4, 16, 64);
    declare(g, "b.weights_scaling_factor", TRI_F16, 16, 2);
    declare(g, "b.bias", TRI_F32, 16, 0);
    tri_value *x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "table"));
    tri_value *a = tri_linear(g, x, "a"), *b = tri_linear(g, x, "b");
    assert_int_equal(g->error.status, TRI_OK);
    assert_null(tri_node_operand(a->node, "bias"));
    assert_string_equal(
        tri_node_string(tri_node_operand(a->node, "scales")->node, "name"), "a.per_channel_scale");
    assert_string_equal(tri_node_string(tri_node_operand(b->node, "scales")->node, "name"),
        "b.weights_scaling_factor");
    assert_string_equal(tri_node_string(tri_node_operand(b->node, "bias")->node, "name"), "b.bias");
    assert_string_equal(tri_node_string(a->node, "activation"), "f32");
    assert_true(tri_graph_has_weight(g, "a.weight"));
    assert_false(tri_graph_has_weight(g, "a.bias"));
    tri_graph_destroy(g);
}

/* The first error stays, names where it happened, and later calls are harmless. */
static void first_error_sticks(void **state) {
    (void)state;
    tri_graph *g = graph_named("t");
    tri_error err = {0};
    declare(g, "table", TRI_BF16, V, C);
    declare(g, "layers.3.up.weight", TRI_BF16, 16, 12);
    tri_value *x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "table"));
    tri_scope_push(g, "layers.%d", 3);
    x = tri_linear(g, x, "up");
    x = tri_linear(g, x, "missing");
    x = tri_softcap(g, tri_columns(g, x, 5, 1000), -1.0);
    x = tri_attention(g, x, x, x, &(tri_attention_desc){0});
    tri_scope_pop(g);
    tri_output_logits(g, x);
    assert_int_equal(tri_graph_finish(g, &err), TRI_E_ARGUMENT);
    assert_has(err.message, "graph t: ");
    assert_has(err.message, "layers.3.up.weight");
    assert_has(err.message, "linear: weight is constant bf16[16,12]");
    assert_has(err.message, "x is f32[T,8]");
    tri_graph_destroy(g);
}

static void unknown_weight_names_the_nearest(void **state) {
    (void)state;
    tri_graph *g = graph_named("t");
    tri_error err = {0};
    declare(g, "transformer.vocab_embedding.weight", TRI_BF16, V, C);
    tri_weight(g, "transformer.vocab_embeding.weight");
    assert_int_equal(tri_graph_finish(g, &err), TRI_E_NOT_FOUND);
    assert_has(err.message, "did you mean 'transformer.vocab_embedding.weight'");
    tri_graph_destroy(g);
}

static void scopes_nest_and_must_close(void **state) {
    (void)state;
    tri_graph *g = graph_named("t");
    tri_error err = {0};
    declare(g, "a.b.w", TRI_F32, 4, 0);
    tri_scope_push(g, "a");
    tri_scope_push(g, "b");
    assert_true(tri_graph_has_weight(g, "w"));
    tri_value *w = tri_weight(g, "w");
    assert_string_equal(w->node->scope, "a.b");
    assert_ptr_equal(w, tri_weight(g, "w"));
    tri_scope_pop(g);
    assert_int_equal(tri_graph_finish(g, &err), TRI_E_ARGUMENT);
    assert_has(err.message, "scope 'a' is not popped");
    tri_graph_destroy(g);

    g = graph_named("t");
    tri_scope_pop(g);
    assert_int_equal(tri_graph_finish(g, NULL), TRI_E_ARGUMENT);
    tri_graph_destroy(g);

    g = graph_named("t");
    tri_scope_push(g, "with space");
    assert_int_equal(g->error.status, TRI_E_ARGUMENT);
    tri_graph_destroy(g);
}

static void a_graph_needs_an_output(void **state) {
    (void)state;
    tri_graph *g = graph_named("t");
    tri_error err = {0};
    tri_input_tokens(g);
    assert_int_equal(tri_graph_finish(g, &err), TRI_E_ARGUMENT);
    assert_has(err.message, "rule 10");
    tri_graph_destroy(g);
}

static void rope_magnitudes(void **state) {
    (void)state;
    /* yarn, factor 4: 0.1 * 1.3862943611 + 1; longrope, 131072 over 4096:
     * sqrt(1 + ln(32) / ln(4096)) = sqrt(1 + 5/12). */
    assert_float_equal(tri_rope_magnitude(&(tri_rope_desc){.type = TRI_ROPE_YARN, .factor = 4.0}),
        1.13862943611, 1e-10);
    assert_float_equal(
        tri_rope_magnitude(&(tri_rope_desc){
            .type = TRI_ROPE_LONGROPE, .factor = 32.0, .original_max_positions = 4096}),
        1.19023807142, 1e-10);
    assert_float_equal(tri_rope_magnitude(&(tri_rope_desc){
                           .type = TRI_ROPE_YARN, .factor = 4.0, .attention_factor = 0.5}),
        0.5, 0);
    assert_float_equal(tri_rope_magnitude(&(tri_rope_desc){.base = 1e4}), 1.0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emits_what_the_header_says),
        cmocka_unit_test(reads_back_as_the_same_text),
        cmocka_unit_test(groups_by_kind_window_and_dtype),
        cmocka_unit_test(linear_finds_bias_and_scales),
        cmocka_unit_test(first_error_sticks),
        cmocka_unit_test(unknown_weight_names_the_nearest),
        cmocka_unit_test(scopes_nest_and_must_close),
        cmocka_unit_test(a_graph_needs_an_output),
        cmocka_unit_test(rope_magnitudes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
