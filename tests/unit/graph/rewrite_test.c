/* Changing graphs in place, as passes do. */
#include "unit/graph/support.h"

static const char *const body = "  group 0 full tokens_per_block=4\n"
                                "  group 1 full tokens_per_block=8\n"
                                "  %0 = input name=\"tokens\" : i32[T]\n"
                                "  %1 = weight name=\"table\" : bf16[10,8]\n"
                                "  %2 = embedding(%0, %1) : f32[T,8]        # embed\n"
                                "  %3 = cache : cache<f32, 2, 4>\n"
                                "  %4 = kv_write(%2, %2, %3) : cache<f32, 2, 4>\n"
                                "  %5 = affine(%2) factor=2 : f32[T,8]\n"
                                "  %6 = cache group=1 : cache<f32, 2, 4>\n"
                                "  %7 = attention(%5, %6) n_heads=2 : f32[T,8]\n"
                                "  %8 = add(%2, %2) : f32[T,8]\n"
                                "  output y = %8\n";

static tri_graph *parsed(void) {
    tri_graph *g = NULL;
    assert_ok(parse_body(&g, body, err));
    return g;
}

static tri_node *node_of(tri_graph *g, int32_t id) {
    tri_node *node = g->first;
    while (node->results[0]->id != id)
        node = node->next;
    return node;
}

static void expect_text(tri_graph *g, const char *expected) {
    tri_buf text = {0};
    assert_ok(tri_graph_verify(g, err));
    tri_graph_print_to(g, &text);
    assert_string_equal(text.ptr, expected);
    tri_buf_deinit(&text);
}

static void nodes_are_put_before_others_and_replace_uses(void **state) {
    (void)state;
    tri_graph *g = parsed();
    tri_node *add = node_of(g, 8);
    tri_value *x = node_of(g, 2)->results[0];
    assert_int_equal(tri_value_count_uses(g, x), 5);
    tri_node *mul =
        tri_node_create(g, node_of(g, 3), TRI_OP_MUL, (tri_value *[]){x, x}, 2, NULL, 0);
    assert_int_equal(mul->results[0]->id, 9);
    tri_value_replace(g, add->results[0], mul->results[0]);
    assert_int_equal(tri_value_count_uses(g, add->results[0]), 0);
    assert_int_equal(tri_value_count_uses(g, mul->results[0]), 1);
    tri_node_remove(g, add);
    tri_graph_remove_dead(g);
    /* kv_write and the cache it needs stay; the attention that nobody reads goes. */
    expect_text(g, "trireme.graph 1\n"
                   "graph \"t\" {\n"
                   "  group 0 full tokens_per_block=4\n"
                   "  group 1 full tokens_per_block=8\n"
                   "  %0 = input name=\"tokens\" : i32[T]\n"
                   "  %1 = weight name=\"table\" : bf16[10,8]\n"
                   "  %2 = embedding(%0, %1) : f32[T,8]        # embed\n"
                   "  %9 = mul(%2, %2) : f32[T,8]\n"
                   "  %3 = cache : cache<f32, 2, 4>\n"
                   "  %4 = kv_write(%2, %2, %3) : cache<f32, 2, 4>\n"
                   "  output y = %9\n"
                   "}\n");
    assert_int_equal(g->groups[0].n_layers, 1);
    assert_int_equal(g->groups[1].n_layers, 0);
    assert_int_equal(g->groups[1].bytes_per_token, 0);
    tri_graph_destroy(g);
}

static void nodes_inherit_the_scope_they_are_put_into(void **state) {
    (void)state;
    tri_graph *g = parsed();
    tri_value *table = node_of(g, 1)->results[0];
    tri_node *cast = tri_node_create(g, node_of(g, 2), TRI_OP_CAST, &table, 1, NULL, 0);
    assert_string_equal(cast->scope, "embed");
    assert_true(cast->results[0]->constant);
    tri_graph_destroy(g);
}

static void types_are_inferred_again_from_the_sources(void **state) {
    (void)state;
    tri_graph *g = parsed();
    tri_type type = node_of(g, 1)->results[0]->type;
    type.dtype = TRI_F16;
    type.dims[0] = 20;
    tri_graph_set_weight_type(g, "table", &type);
    assert_int_not_equal(tri_graph_verify(g, NULL), TRI_OK); /* until inferred */
    assert_ok(tri_graph_infer(g, err));
    assert_ok(tri_graph_verify(g, err));
    assert_int_equal(node_of(g, 1)->results[0]->type.dims[0], 20);

    /* A cache keeps the type it is given; its group's bytes follow. */
    node_of(g, 3)->results[0]->type.dtype = TRI_BF16;
    assert_ok(tri_graph_infer(g, err));
    assert_int_equal(node_of(g, 4)->results[0]->type.dtype, TRI_BF16);
    assert_int_equal(g->groups[0].bytes_per_token, 2 * 8 * 2);

    type.dims[1] = 12;
    tri_error err = {0};
    tri_graph_set_weight_type(g, "table", &type);
    assert_int_equal(tri_graph_infer(g, &err), TRI_E_ARGUMENT);
    assert_has(err.message, "kv_write: k is f32[T,12]");
    tri_graph_destroy(g);
}

static void weights_are_found_again_until_removed(void **state) {
    (void)state;
    tri_graph *g = parsed();
    tri_value *table = node_of(g, 1)->results[0];
    assert_ptr_equal(tri_weight(g, "table"), table);
    tri_type type = table->type;
    declare(g, "other", TRI_BF16, 10, 8);
    tri_value *other = tri_weight(g, "other");
    assert_ptr_equal(tri_weight(g, "other"), other);
    tri_node_remove(g, other->node);
    assert_ptr_not_equal(tri_weight(g, "other"), other);
    assert_int_equal(type.dims[1], 8);
    tri_graph_destroy(g);
}

/* What remove_dead must keep although nobody reads it. */
static void effects_are_kept(void **state) {
    (void)state;
    static const char *const effects = "  group 0 full tokens_per_block=4\n"
                                       "  group 1 recurrent\n"
                                       "  %0 = receive columns=8 : f32[T,8]\n"
                                       "  %1 = receive from=1 columns=8 : f32[T,8]\n"
                                       "  %2 = input name=\"positions\" : i32[T]\n"
                                       "  %3 = rope_frequencies rotary_dim=4 : f32[2]\n"
                                       "  %4 = cache : cache<f32, 2, 4>\n"
                                       "  %5, %6 = rope_kv_write(%0, %0, %0, %4, %2, %3) "
                                       "head_size=4 : f32[T,8], cache<f32, 2, 4>\n"
                                       "  %7 = input name=\"tokens\" : i32[T]\n"
                                       "  %8 = counts group=1 vocab_size=10 : state<u16, 10>\n"
                                       "  %9 = count_tokens(%7, %8) : state<u16, 10>\n"
                                       "  send(%0) to=2\n";
    tri_graph *g = NULL;
    assert_ok(parse_body(&g, effects, err));
    int32_t n = g->n_nodes;
    assert_int_equal(g->groups[1].bytes_per_sequence, 20);
    tri_graph_remove_dead(g);
    assert_int_equal(g->n_nodes, n);
    tri_graph_destroy(g);
}

static void clones_share_nothing(void **state) {
    (void)state;
    tri_graph *g = parsed(), *copy = NULL;
    tri_buf text = {0}, again = {0};
    tri_graph_print_to(g, &text);
    assert_ok(tri_graph_clone(g, &copy, err));
    tri_graph_destroy(g);
    assert_ok(tri_graph_verify(copy, err));
    tri_graph_print_to(copy, &again);
    assert_string_equal(text.ptr, again.ptr);
    assert_true(tri_graph_has_weight(copy, "table"));
    assert_ptr_equal(tri_weight(copy, "table"), node_of(copy, 1)->results[0]);
    tri_buf_deinit(&text);
    tri_buf_deinit(&again);
    tri_graph_destroy(copy);
}

/* ---- attributes ---- */

static void attributes_have_kinds_and_defaults(void **state) {
    (void)state;
    tri_graph *g = parsed();
    tri_value *x = node_of(g, 2)->results[0];
    tri_node *node = tri_node_create(g, NULL, TRI_OP_AFFINE, &x, 1, NULL, 0);
    assert_true(tri_node_float(node, "factor") >= 1.0 && tri_node_float(node, "factor") <= 1.0);
    assert_null(tri_node_attr(node, "kind"));
    tri_node_create(g, NULL, TRI_OP_AFFINE, &x, 1, &TRI_AI("factor", 2), 1);
    assert_has(g->error.message, "affine: factor is a float, given is an integer");
    tri_graph_destroy(g);
}

static void the_table_is_laid_out_from_ops_def(void **state) {
    (void)state;
    const tri_op_info *info = tri_op_get(TRI_OP_LINEAR);
    static const char *const operands[] = {"x", "weight", "bias", "accumulator", "scales", "parts"};
    assert_string_equal(info->name, "linear");
    assert_int_equal(info->n_operands, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(info->operand_names[i], operands[i]);
        assert_int_equal(info->operand_optional[i], i >= 2);
    }
    assert_int_equal(info->n_results, 1);
    info = tri_op_get(TRI_OP_ROPE_FREQUENCIES);
    assert_int_equal(info->n_attrs, 10);
    assert_string_equal(info->attrs[0].name, "type");
    assert_string_equal(info->attrs[0].s, "default");
    assert_int_equal(info->attrs[9].kind, TRI_ATTR_FLOATS);
    for (int i = 0; i < TRI_N_OPS; i++) {
        tri_op op = TRI_N_OPS;
        assert_true(tri_op_find(tri_op_get((tri_op)i)->name, &op));
        assert_int_equal(op, i);
    }
    tri_op op = TRI_N_OPS;
    assert_false(tri_op_find("no_such", &op));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_put_before_others_and_replace_uses),
        cmocka_unit_test(nodes_inherit_the_scope_they_are_put_into),
        cmocka_unit_test(types_are_inferred_again_from_the_sources),
        cmocka_unit_test(weights_are_found_again_until_removed),
        cmocka_unit_test(effects_are_kept),
        cmocka_unit_test(clones_share_nothing),
        cmocka_unit_test(attributes_have_kinds_and_defaults),
        cmocka_unit_test(the_table_is_laid_out_from_ops_def),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
