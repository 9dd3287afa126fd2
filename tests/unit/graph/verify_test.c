/* Each rule of verify.c, broken in a graph that was whole. */
#include "unit/graph/support.h"

static const char *const whole = "  group 0 sliding window=8 tokens_per_block=4\n"
                                 "  %0 = input name=\"tokens\" : i32[T]\n"
                                 "  %1 = weight name=\"table\" : bf16[10,8]\n"
                                 "  %2 = embedding(%0, %1) : f32[T,8]\n"
                                 "  %3 = cache : cache<f32, 2, 4>\n"
                                 "  %4 = kv_write(%2, %2, %3) : cache<f32, 2, 4>\n"
                                 "  %5 = attention(%2, %4) n_heads=2 window=8 : f32[T,8]\n"
                                 "  %6 = cache layer=1 : cache<f32, 2, 4>\n"
                                 "  %7 = kv_write(%5, %5, %6) : cache<f32, 2, 4>\n"
                                 "  %8 = attention(%5, %7) n_heads=2 window=4 : f32[T,8]\n"
                                 "  output y = %8\n";

static tri_node *node_of(tri_graph *g, int32_t id) {
    tri_node *node = g->first;
    while (node->results[0]->id != id)
        node = node->next;
    return node;
}

static void move_before(tri_graph *g, tri_node *node, tri_node *before) {
    node->previous->next = node->next;
    if (node->next)
        node->next->previous = node->previous;
    else
        g->last = node->previous;
    node->previous = before->previous;
    node->next = before;
    if (before->previous)
        before->previous->next = node;
    else
        g->first = node;
    before->previous = node;
}

static void error_pending(tri_graph *g) {
    tri_graph_fail(g, TRI_E_UNSUPPORTED, "some trouble");
}

static void list_cut(tri_graph *g) {
    node_of(g, 5)->previous = NULL;
}

static void list_miscounted(tri_graph *g) {
    g->n_nodes++;
}

static void id_twice(tri_graph *g) {
    node_of(g, 5)->results[0]->id = 4;
}

static void id_too_large(tri_graph *g) {
    node_of(g, 8)->results[0]->id = g->next_id;
}

static void foreign_result(tri_graph *g) {
    node_of(g, 5)->results[0]->node = node_of(g, 2);
}

static void use_before_definition(tri_graph *g) {
    move_before(g, node_of(g, 2), g->first);
}

static void operand_missing(tri_graph *g) {
    node_of(g, 2)->operands[1] = NULL;
}

static void attribute_missing(tri_graph *g) {
    node_of(g, 5)->n_attrs--;
}

static void other_version(tri_graph *g) {
    node_of(g, 5)->version = 7;
}

static void other_type(tri_graph *g) {
    node_of(g, 5)->results[0]->type.dims[1] = 16;
}

static void marked_constant(tri_graph *g) {
    node_of(g, 2)->results[0]->constant = true;
}

static void attribute_without_sense(tri_graph *g) {
    ((tri_attr *)(uintptr_t)tri_node_attr(node_of(g, 5), "n_heads"))->i = 3;
}

static void blocks_of_nothing(tri_graph *g) {
    g->groups[0].tokens_per_block = 0;
}

static void window_of_full(tri_graph *g) {
    g->groups[0].kind = TRI_GROUP_FULL;
}

static void layer_twice(tri_graph *g) {
    ((tri_attr *)(uintptr_t)tri_node_attr(node_of(g, 6), "layer"))->i = 0;
}

static void layer_left_out(tri_graph *g) {
    ((tri_attr *)(uintptr_t)tri_node_attr(node_of(g, 6), "layer"))->i = 2;
}

static void bytes_miscounted(tri_graph *g) {
    g->groups[0].bytes_per_token++;
}

static void old_version_read(tri_graph *g) {
    node_of(g, 8)->operands[1] = node_of(g, 6)->results[0];
}

static void written_twice(tri_graph *g) {
    node_of(g, 7)->operands[2] = node_of(g, 3)->results[0];
}

static void window_too_wide(tri_graph *g) {
    ((tri_attr *)(uintptr_t)tri_node_attr(node_of(g, 5), "window"))->i = 9;
}

static void no_output(tri_graph *g) {
    g->n_outputs = 0;
}

static void constant_output(tri_graph *g) {
    g->outputs[0].value = node_of(g, 1)->results[0];
}

static void cache_output(tri_graph *g) {
    g->outputs[0].value = node_of(g, 7)->results[0];
}

typedef struct broken_rule {
    void (*damage)(tri_graph *g);
    const char *message;
} broken_rule;

static const broken_rule rules[] = {
    {error_pending, "some trouble"},
    {list_cut, "rule 2: the node list is broken"},
    {list_miscounted, "rule 2: 9 nodes are listed, 10 counted"},
    {id_twice, "rule 2: %4 is defined twice"},
    {id_too_large, "rule 2: %9 is not below next_id 9"},
    {foreign_result, "rule 2: result 0 does not know its node"},
    {use_before_definition, "rule 3: operand %0 is not defined before this use"},
    {operand_missing, "rule 4: operand table is left out"},
    {attribute_missing, "rule 4: 4 attributes, 5 are due"},
    {other_version, "rule 4: version 7, this build has version 1"},
    {other_type, "rule 5: %5 is f32[T,16], inference says f32[T,8]"},
    {marked_constant, "rule 5: %2 is marked constant"},
    {attribute_without_sense, "%5 = attention: rule 5: attention: q is f32[T,8], 3 heads of 4"},
    {blocks_of_nothing, "group 0: rule 6: tokens_per_block is 0"},
    {window_of_full, "group 0: rule 6: window is 8"},
    {layer_twice, "group 0: rule 6: layer 0 of 2 members"},
    {layer_left_out, "group 0: rule 6: layer 2 of 2 members"},
    {bytes_miscounted, "group 0: rule 6: says 2 members, 129 bytes a token"},
    {old_version_read, "rule 7: %6 is used after it was written"},
    {written_twice, "rule 7: %3 is used after it was written"},
    {window_too_wide, "rule 8: window=9 over a group that keeps 8 positions"},
    {no_output, "rule 10: the graph has neither an output nor a send"},
    {constant_output, "rule 10: output 'y' is constant bf16[10,8]"},
    {cache_output, "rule 10: output 'y' is cache<f32, 2, 4>"},
};

static void each_rule_is_checked(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        tri_graph *g = NULL;
        assert_ok(parse_body(&g, whole, err));
        assert_ok(tri_graph_verify(g, err));
        tri_error failure = {0};
        rules[i].damage(g);
        assert_int_not_equal(tri_graph_verify(g, &failure), TRI_OK);
        assert_has(failure.message, rules[i].message);
        tri_graph_destroy(g);
    }
}

static void constants_have_a_depth(void **state) {
    (void)state;
    for (int depth = 64; depth <= 65; depth++) {
        tri_graph *g = graph_named("t");
        tri_error err = {0};
        declare(g, "w", TRI_F32, 4, 0);
        tri_value *w = tri_weight(g, "w");
        for (int i = 1; i < depth; i++)
            w = tri_affine(g, w, 1.0, 0.0);
        tri_value *x =
            tri_node_create(g, NULL, TRI_OP_RECEIVE, NULL, 0, &TRI_AI("columns", 4), 1)->results[0];
        tri_graph_set_output(g, "y", tri_rms_norm(g, x, w, 0.0));
        assert_int_equal(tri_graph_verify(g, &err), depth == 64 ? TRI_OK : TRI_E_LIMIT);
        if (depth > 64) assert_has(err.message, "rule 9");
        tri_graph_destroy(g);
    }
}

/* Later attention may read a cache that an earlier layer wrote. */
static void caches_may_be_shared(void **state) {
    (void)state;
    tri_graph *g = NULL;
    assert_ok(parse_body(&g,
        "  group 0 full tokens_per_block=4\n"
        "  %0 = receive columns=8 : f32[T,8]\n"
        "  %1 = cache : cache<f32, 2, 4>\n"
        "  %2 = kv_write(%0, %0, %1) : cache<f32, 2, 4>\n"
        "  %3 = attention(%0, %2) n_heads=2 : f32[T,8]\n"
        "  %4 = attention(%3, %2) n_heads=2 window=4 : f32[T,8]\n"
        "  send(%4)\n",
        err));
    assert_ok(tri_graph_verify(g, err));
    tri_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_is_checked),
        cmocka_unit_test(constants_have_a_depth),
        cmocka_unit_test(caches_may_be_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
