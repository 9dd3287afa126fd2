/* Text: every op prints and parses as itself; what is wrong with hostile text is said. */
#include <locale.h>
#include <stdio.h>

#include "unit/graph/support.h"

#include "base/rng.h"
#include "graph/plugins.h"

#define CORPUS TRI_TESTS_DIR "/fuzz/corpus/ir"

static void read_text(const char *name, tri_buf *out) {
    char path[1024], chunk[4096];
    snprintf(path, sizeof path, CORPUS "/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        tri_buf_append(out, chunk, n);
    fclose(f);
}

/* Drops blank lines and lines of comment, which are not kept. */
static void strip_comments(tri_buf *text) {
    tri_buf out = {0};
    for (char *line = text->ptr, *next; *line; line = next) {
        next = strchr(line, '\n');
        next = next ? next + 1 : line + strlen(line);
        size_t blanks = strspn(line, " ");
        if (line[blanks] != '#' && line[blanks] != '\n')
            tri_buf_append(&out, line, (size_t)(next - line));
    }
    tri_buf_deinit(text);
    *text = out;
}

static void corpus_round_trips_and_has_every_op(void **state) {
    (void)state;
    static const char *const names[] = {
        "model.txt", "constants.txt", "sampling.txt", "attention.txt"};
    bool seen[TRI_N_OPS] = {[TRI_OP_PLUGIN] = true}; /* below */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tri_buf text = {0};
        tri_graph *g = NULL;
        char *printed = NULL;
        read_text(names[i], &text);
        assert_ok(tri_graph_parse(&g, text.ptr, text.len, err));
        assert_ok(tri_graph_verify(g, err));
        assert_ok(tri_graph_print(g, &printed, err));
        strip_comments(&text);
        assert_string_equal(printed, text.ptr);
        for (const tri_node *node = g->first; node; node = node->next)
            seen[node->op] = true;
        tri_free(printed);
        tri_buf_deinit(&text);
        tri_graph_destroy(g);
    }
    for (int op = 0; op < TRI_N_OPS; op++) {
        if (!seen[op]) fail_msg("no corpus file has %s", tri_op_get((tri_op)op)->name);
    }
}

static void derivations_print_as_expressions(void **state) {
    (void)state;
    tri_graph *g = NULL;
    tri_buf out = {0};
    assert_ok(parse_body(&g,
        "  %0 = weight name=\"a\" : bf16[16,64]\n"
        "  %1 = weight name=\"b\" : bf16[8,64]\n"
        "  %2 = concat_rows(%0, %1) : bf16[24,64]\n"
        "  %3 = quantize(%2) dtype=\"i4\" group=32 : i4[24,64]\n"
        "  %4 = pack(%3) layout=\"panel16\" : i4[24,64]@panel16\n",
        err));
    tri_value_print_expression(g->last->results[0], &out);
    assert_string_equal(out.ptr, "pack(quantize(concat_rows(weight(\"a\"), weight(\"b\")), "
                                 "dtype=\"i4\", group=32), layout=\"panel16\")");
    tri_buf_deinit(&out);
    tri_graph_destroy(g);
}

/* A value doubled 60 times has 2^60 leaves. */
static void expressions_without_end_fail(void **state) {
    (void)state;
    tri_buf body = {0}, out = {0};
    tri_graph *g = NULL;
    tri_buf_puts(&body, "  %0 = weight name=\"a\" : f32[4]\n");
    for (int i = 1; i < 60; i++)
        tri_buf_printf(&body, "  %%%d = add(%%%d, %%%d) : f32[4]\n", i, i - 1, i - 1);
    assert_ok(parse_body(&g, body.ptr, err));
    tri_value_print_expression(g->last->results[0], &out);
    assert_true(out.failed);
    tri_buf_deinit(&out);
    tri_buf_deinit(&body);
    tri_graph_destroy(g);
}

static void doubles_read_back_exactly(void **state) {
    (void)state;
    setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* a decimal comma, where it is installed */
    for (uint64_t i = 0; i < 2000; i++) {
        union {
            uint32_t words[4];
            double value;
        } bits;
        tri_philox(9, i, 0, bits.words);
        double value = i < 20 ? (double)i / 10.0 : bits.value;
        if (!(value - value <= 0.0)) continue; /* NaN, infinity */
        tri_graph *g = graph_named("t"), *again = NULL;
        char *text = NULL;
        declare(g, "w", TRI_F32, 4, 0);
        tri_affine(g, tri_weight(g, "w"), value, 0.0);
        assert_ok(tri_graph_print(g, &text, err));
        assert_ok(tri_graph_parse(&again, text, strlen(text), err));
        double back = tri_node_float(again->last, "factor");
        assert_memory_equal(&back, &value, sizeof back);
        tri_free(text);
        tri_graph_destroy(g);
        tri_graph_destroy(again);
    }
    setlocale(LC_NUMERIC, "C");
}

static void names_need_not_be_nice(void **state) {
    (void)state;
    static const char name[] = "a \"quoted\" \\ name\n\x7f \xc3\xa9";
    tri_graph *g = graph_named(name), *again = NULL;
    char *text = NULL;
    declare(g, name, TRI_F32, 4, 0);
    tri_weight(g, name);
    assert_ok(tri_graph_print(g, &text, err));
    assert_has(text, "\"a \\\"quoted\\\" \\\\ name\\x0a\\x7f \xc3\xa9\"");
    assert_ok(tri_graph_parse(&again, text, strlen(text), err));
    assert_string_equal(again->name, name);
    assert_string_equal(tri_node_string(again->first, "name"), name);
    tri_free(text);
    tri_graph_destroy(g);
    tri_graph_destroy(again);
}

/* ---- errors ---- */

typedef struct bad_text {
    const char *body;
    tri_status status;
    const char *message;
} bad_text;

#define X "  %0 = input name=\"tokens\" : i32[T]\n"

static const bad_text bad_bodies[] = {
    {"  %0 = imput name=\"tokens\" : i32[T]\n", TRI_E_FORMAT,
        "line 3: an op is due, not 'imput name=\"tokens\" : i3'"},
    {"  %0 = input.2 name=\"tokens\" : i32[T]\n", TRI_E_VERSION,
        "line 3: input version 2: this build has version 1"},
    {"  %0 = input.0 name=\"tokens\" : i32[T]\n", TRI_E_FORMAT, "an op's version"},
    {"  %0 = plugin.swish : f32[T,4]\n", TRI_E_NOT_FOUND, "plugin op 'swish'"},
    {"  %0 = input name=\"time\" : i32[T]\n", TRI_E_ARGUMENT, "name is 'time'"},
    {"  %0 = input name=\"tokens\" : i32[R]\n", TRI_E_FORMAT,
        "%0 is written as i32[R], but input gives i32[T]"},
    {"  %0 = input name=\"tokens\" name=\"tokens\" : i32[T]\n", TRI_E_FORMAT, "given twice"},
    {"  %0 = input nme=\"tokens\" : i32[T]\n", TRI_E_ARGUMENT,
        "attribute 'nme' does not exist; did you mean 'name'"},
    {"  %0 = input name=tokens : i32[T]\n", TRI_E_FORMAT, "a quoted string is due"},
    {"  %0 = input name=\"tokens : i32[T]\n", TRI_E_FORMAT, "byte 0x0a"},
    {"  %0 = input name=\"a\\q\" : i32[T]\n", TRI_E_FORMAT, "escapes"},
    {"  %0 = input name=\"a\\x00\" : i32[T]\n", TRI_E_FORMAT, "escapes"},
    {"  %0 = input name=\"tokens\"\n", TRI_E_FORMAT, "input has 1 results; written are 1 and 0"},
    {"  input name=\"tokens\" : i32[T]\n", TRI_E_FORMAT, "written are 0 and 1"},
    {"  %00 = input name=\"tokens\" : i32[T]\n", TRI_E_FORMAT, "'%00' is no value id"},
    {"  %9999999 = input name=\"tokens\" : i32[T]\n", TRI_E_LIMIT, "ids are below"},
    {X X, TRI_E_FORMAT, "line 4: %0 is defined twice"},
    {X "  %1 = add(%0, %2) : f32[T,4]\n", TRI_E_FORMAT, "%2 is not defined before this use"},
    {X "  %1 = add(%0) : f32[T,4]\n", TRI_E_ARGUMENT, "add: operand b is left out"},
    {X "  %1 = add(%0, %0, %0) : f32[T,4]\n", TRI_E_FORMAT, "takes 2 operands by position"},
    {X "  %1 = add(%0, c=%0) : f32[T,4]\n", TRI_E_FORMAT, "an operand is due, not 'c=%0)"},
    {X "  %1 = linear(%0, %0, bias=%0, bias=%0) : f32[T,4]\n", TRI_E_FORMAT,
        "operand bias is given twice"},
    {X "  %1 = linear(%0, %0, %0) : f32[T,4]\n", TRI_E_FORMAT, "takes 2 operands by position"},
    {"  %0 = weight name=\"w\" : f33[4]\n", TRI_E_FORMAT, "a dtype is due, not 'f33[4]'"},
    {"  %0 = weight name=\"w\" : f32[4,4,4,4,4]\n", TRI_E_LIMIT, "more than 4 dims"},
    {"  %0 = weight name=\"w\" : f32[0]\n", TRI_E_FORMAT, "a dim is 0"},
    {"  %0 = weight name=\"w\" : f32[16777216,16777217]\n", TRI_E_LIMIT, "2^48"},
    {"  %0 = weight name=\"w\" : f32[99999999999999999999]\n", TRI_E_FORMAT,
        "a dim: an integer is due"},
    {"  %0 = weight name=\"w\" : q4_0[4,33]\n", TRI_E_ARGUMENT, "blocks of 32"},
    {"  %0 = weight name=\"w\" : f32[T,4]\n", TRI_E_ARGUMENT, "static dims"},
    {"  %0 = weight name=\"w\" : f32[4]\n  %1 = weight name=\"w\" : f32[5]\n", TRI_E_FORMAT,
        "%1 is written as f32[5], but weight gives f32[4]"},
    {"  %0 = cache : cache<f32, 1, 4>\n", TRI_E_ARGUMENT, "group is 0, the graph has 0 groups"},
    {"  group 1 full tokens_per_block=4\n", TRI_E_FORMAT, "group 1 where group 0 is due"},
    {"  group 0 round tokens_per_block=4\n", TRI_E_FORMAT, "full, sliding or recurrent is due"},
    {"  group 0 full tokens_per_block=0\n", TRI_E_FORMAT, "tokens_per_block is 0"},
    {"  group 0 sliding tokens_per_block=4\n", TRI_E_FORMAT, "window= or tokens_per_block="},
    {"  group 0 full window=4 tokens_per_block=4\n", TRI_E_FORMAT, "window (of sliding groups)"},
    {X "  output y = %1\n", TRI_E_FORMAT, "%1 is not defined"},
    {X "  output y = %0\n  output y = %0\n", TRI_E_ARGUMENT, "output 'y' is given twice"},
    {X "  output y = %0 extra\n", TRI_E_FORMAT, "the end of the line is due"},
    {X "}\nmore\n", TRI_E_FORMAT, "nothing after '}' is due"},
    {"  %0 = rope_frequencies rotary_dim=4 factor=1e999 : f32[2]\n", TRI_E_FORMAT,
        "factor: a finite number is due, not '1e999"},
    {"  %0 = rope_frequencies rotary_dim=4.5 : f32[2]\n", TRI_E_FORMAT,
        "rotary_dim: an integer is due, not '4.5"},
    {"  %0 = rope_frequencies frequency_factors=[1, two] : f32[2]\n", TRI_E_FORMAT,
        "frequency_factors: a finite number is due, not 'two"},
    {"  \x01\n", TRI_E_FORMAT, "a byte not ASCII"},
};

static void errors_name_line_and_cause(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_bodies / sizeof *bad_bodies; i++) {
        tri_graph *g = NULL;
        tri_error err = {0};
        tri_status rc = parse_body(&g, bad_bodies[i].body, &err);
        if (rc != bad_bodies[i].status || !strstr(err.message, bad_bodies[i].message) || g)
            fail_msg("%s-> %s: %s\n(%s: %s is due)", bad_bodies[i].body, tri_status_name(rc),
                err.message, tri_status_name(bad_bodies[i].status), bad_bodies[i].message);
        assert_has(err.message, "graph text: line ");
    }
}

static void head_is_checked(void **state) {
    (void)state;
    static const bad_text heads[] = {
        {"", TRI_E_FORMAT, "line 1: trireme.graph is due, not 'the end of the line'"},
        {"trireme.graph 2\n", TRI_E_VERSION, "text version 2, this build reads up to 1"},
        {"trireme.graph 1\ngraph t {\n}\n", TRI_E_FORMAT, "a quoted string"},
        {"trireme.graph 1\ngraph \"t\" {\n", TRI_E_FORMAT, "'}' is due"},
        {"trireme.graph 1 graph \"t\" {\n}\n", TRI_E_FORMAT, "the end of the line"},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        tri_graph *g = NULL;
        tri_error err = {0};
        assert_int_equal(
            tri_graph_parse(&g, heads[i].body, strlen(heads[i].body), &err), heads[i].status);
        assert_has(err.message, heads[i].message);
    }
}

/* ---- plugins ---- */

static int32_t infer_same(const tri_plugin_type *inputs, int32_t n_inputs,
    const tri_plugin_field *fields, int32_t n_fields, tri_plugin_type *outputs) {
    (void)fields;
    (void)n_fields;
    for (int32_t i = 0; i < n_inputs && i < 2; i++)
        outputs[i] = inputs[0];
    return inputs[0].n_dims == 2 ? 0 : 1;
}

static void plugin_ops_print_name_and_all_fields(void **state) {
    (void)state;
    static const tri_plugin_field fields[] = {{.name = "beta", .kind = 1, .f = 1.0},
        {.name = "count", .kind = 0, .i = 3}, {.name = "note", .kind = 2}};
    tri_plugin_op op = {.struct_size = sizeof op,
        .name = "swish",
        .version = 2,
        .n_inputs = 2,
        .n_outputs = 2,
        .fields = fields,
        .n_fields = 3,
        .infer = infer_same};
    static const char text[] =
        "trireme.graph 1\n"
        "graph \"t\" {\n"
        "  %0 = receive columns=4 : f32[T,4]\n"
        "  %1, %2 = plugin.swish.2(%0, _) beta=0.5 count=-3 note=\"a b\" : f32[T,4], f32[T,4]\n"
        "  send(%2)\n"
        "}\n";
    tri_plugin_registry *plugins = NULL;
    tri_graph *g = NULL;
    tri_error failure = {0};
    char *printed = NULL;
    assert_ok(tri_plugin_registry_create(&plugins, err));
    assert_ok(tri_plugin_registry_add_op(plugins, &op, err));
    assert_ok(tri_graph_parse_with(&g, text, strlen(text), plugins, err));
    assert_ok(tri_graph_verify(g, err));
    assert_ok(tri_graph_print(g, &printed, err));
    assert_string_equal(printed, text);
    tri_free(printed);
    tri_graph_destroy(g);

    op.version = 1;
    assert_int_equal(
        tri_graph_parse_with(&g, text, strlen(text), plugins, &failure), TRI_E_VERSION);
    assert_has(failure.message, "swish version 2: the plugin loaded has version 1");
    op.version = 3;
    assert_int_equal(
        tri_graph_parse_with(&g, text, strlen(text), plugins, &failure), TRI_E_VERSION);
    assert_has(failure.message, "no rule to upgrade");
    tri_plugin_registry_destroy(plugins);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corpus_round_trips_and_has_every_op),
        cmocka_unit_test(derivations_print_as_expressions),
        cmocka_unit_test(expressions_without_end_fail),
        cmocka_unit_test(doubles_read_back_exactly),
        cmocka_unit_test(names_need_not_be_nice),
        cmocka_unit_test(errors_name_line_and_cause),
        cmocka_unit_test(head_is_checked),
        cmocka_unit_test(plugin_ops_print_name_and_all_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
