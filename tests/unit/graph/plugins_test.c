/* The registry: what it refuses and why; what graphs make of plugin ops. */
#include "unit/graph/support.h"

#include "graph/plugins.h"

static int32_t infer(const tri_plugin_type *inputs, int32_t n_inputs,
    const tri_plugin_field *fields, int32_t n_fields, tri_plugin_type *outputs) {
    (void)n_inputs;
    (void)n_fields;
    outputs[0] = inputs[0];
    outputs[0].n_dims = (int32_t)fields[0].i;
    outputs[0].layout = fields[0].i == 1 ? "tiled" : "row";
    return fields[0].i == 9;
}

static const tri_plugin_field fields[] = {
    {.name = "dims", .kind = 0, .i = 2}, {.name = "note", .kind = 2, .s = "x"}};

static tri_plugin_op good(void) {
    return (tri_plugin_op){.struct_size = sizeof(tri_plugin_op),
        .name = "mine",
        .version = 1,
        .n_inputs = 1,
        .n_outputs = 1,
        .fields = fields,
        .n_fields = 2,
        .infer = infer};
}

static void expect_refusal(tri_plugin_op op, tri_status status, const char *message) {
    tri_plugin_registry *registry = NULL;
    assert_ok(tri_plugin_registry_create(&registry, err));
    tri_error err = {0};
    assert_int_equal(tri_plugin_registry_add_op(registry, &op, &err), status);
    assert_has(err.message, message);
    assert_int_equal(tri_plugin_registry_count(registry), 0);
    tri_plugin_registry_destroy(registry);
}

static void refusals_name_the_cause(void **state) {
    (void)state;
    tri_plugin_op op = good();
    op.struct_size = 8;
    expect_refusal(op, TRI_E_VERSION, "struct_size is 8");
    op = good(), op.name = "Mine";
    expect_refusal(op, TRI_E_ARGUMENT, "plugin op Mine: names are [a-z]");
    op = good(), op.name = NULL;
    expect_refusal(op, TRI_E_ARGUMENT, "(unnamed)");
    op = good(), op.name = "linear";
    expect_refusal(op, TRI_E_ARGUMENT, "plugin op linear: a built-in op has this name");
    op = good(), op.version = 0;
    expect_refusal(op, TRI_E_ARGUMENT, "version is 0");
    op = good(), op.n_inputs = 9;
    expect_refusal(op, TRI_E_LIMIT, "9 inputs, at most 8");
    op = good(), op.n_outputs = 0;
    expect_refusal(op, TRI_E_LIMIT, "0 outputs, 1 to 3");
    op = good(), op.n_fields = 13;
    expect_refusal(op, TRI_E_LIMIT, "13 fields, at most 12");
    op = good(), op.infer = NULL;
    expect_refusal(op, TRI_E_ARGUMENT, "infer is missing");
    op = good(), op.shard = 5;
    expect_refusal(op, TRI_E_ARGUMENT, "shard is 5");
    static const tri_plugin_field twice[] = {{.name = "a"}, {.name = "a"}};
    op = good(), op.fields = twice;
    expect_refusal(op, TRI_E_ARGUMENT, "field a is given twice");
    static const tri_plugin_field strange[] = {{.name = "a"}, {.name = "b", .kind = 3}};
    op = good(), op.fields = strange;
    expect_refusal(op, TRI_E_ARGUMENT, "field b has kind 3");
    static const tri_plugin_field nameless[] = {{.name = "a"}, {.name = NULL}};
    op = good(), op.fields = nameless;
    expect_refusal(op, TRI_E_ARGUMENT, "field 1 is named '(null)'");
}

static void ops_are_found_by_name(void **state) {
    (void)state;
    tri_plugin_registry *registry = NULL;
    char names[40][8];
    tri_plugin_op ops[40];
    assert_ok(tri_plugin_registry_create(&registry, err));
    for (int i = 0; i < 40; i++) {
        ops[i] = good();
        names[i][0] = (char)('a' + i % 26);
        names[i][1] = (char)('a' + i / 26);
        names[i][2] = '\0';
        ops[i].name = names[i];
        assert_ok(tri_plugin_registry_add_op(registry, &ops[i], err));
    }
    assert_int_equal(tri_plugin_registry_count(registry), 40);
    assert_ptr_equal(tri_plugin_registry_find_op(registry, "bb"), &ops[27]);
    assert_ptr_equal(tri_plugin_registry_op(registry, 27), &ops[27]);
    assert_null(tri_plugin_registry_find_op(registry, "zz"));
    assert_null(tri_plugin_registry_find_op(NULL, "aa"));
    tri_error err = {0};
    assert_int_equal(tri_plugin_registry_add_op(registry, &ops[3], &err), TRI_E_ARGUMENT);
    assert_has(err.message, "registered already");
    tri_plugin_registry_destroy(registry);
}

/* The sticky error of a graph with one use of the op, its first field set; "" when it is fine. */
static void use(int64_t dims, const char *op_name, bool with_registry, char out[1024]) {
    tri_plugin_op op = good();
    tri_plugin_registry *registry = NULL;
    assert_ok(tri_plugin_registry_create(&registry, err));
    assert_ok(tri_plugin_registry_add_op(registry, &op, err));
    tri_graph *g = graph_named("t");
    if (with_registry) tri_graph_set_plugins(g, registry);
    declare(g, "table", TRI_F32, 4, 4);
    tri_value *x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "table"));
    tri_field field = {.name = "dims", .kind = TRI_FIELD_I64, .i64 = dims};
    tri_value *y = tri_plugin_op_value(g, op_name, &x, 1, &field, 1);
    if (!g->error.status) {
        assert_string_equal(y->node->plugin, "mine");
        assert_int_equal(y->node->n_attrs, 2);
        assert_string_equal(tri_node_string(y->node, "note"), "x");
    }
    strcpy(out, g->error.message);
    tri_graph_destroy(g);
    tri_plugin_registry_destroy(registry);
}

static void what_a_plugin_infers_is_checked(void **state) {
    (void)state;
    char message[1024];
    use(2, "mine", true, message);
    assert_string_equal(message, "");
    use(2, "mine", false, message);
    assert_has(message, "plugin op 'mine' is not among the 0 that are loaded");
    use(2, "yours", true, message);
    assert_has(message, "plugin op 'yours' is not among the 1 that are loaded");
    use(1, "mine", true, message);
    assert_has(message, "mine: the plugin gives result 0 layout 'tiled'");
    use(5, "mine", true, message);
    assert_has(message, "mine: the plugin inferred 5 dims for result 0");
    use(9, "mine", true, message);
    assert_has(message, "mine: the plugin");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_the_cause),
        cmocka_unit_test(ops_are_found_by_name),
        cmocka_unit_test(what_a_plugin_infers_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
