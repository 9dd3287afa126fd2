/* Row ops against numbers by hand, or from PyTorch in float64 where said; and what goes with all
 * ops: observers, collectives, plugins. */
#include "unit/graph/interp_support.h"

#include "graph/plugins.h"

/* One rounding to float32 of numbers below 4. */
static const double one_rounding = 2.5e-7;

static void norms_by_stretches(void **state) {
    (void)state;
    float x[6], r[6];
    static const float w[] = {1, 0.5f, -2};
    fill(x, 6, 5);
    for (int i = 0; i < 6; i++) {
        r[i] = x[i] - 1.0f; /* what is added to row 1 below, so that the sum is x again */
    }
    static const float ones[] = {1, 1, 1, 1, 1, 1};
    float table[12];
    memcpy(table, r, sizeof r);
    memcpy(table + 6, ones, sizeof ones);
    harness h;
    harness_open(&h,
        "  %0 = input name=\"tokens\" : i32[T]\n"
        "  %1 = weight name=\"x\" : f32[1,6]\n"
        "  %2 = weight name=\"r\" : f32[2,6]\n"
        "  %3 = weight name=\"w\" : f32[3]\n"
        "  %4 = embedding(%0, %1) : f32[T,6]\n"
        "  %5 = rms_norm(%4, %3) : f32[T,6]\n"
        "  %6 = embedding(%0, %2) : f32[T,6]\n"
        "  %7 = affine(%6) offset=1 : f32[T,6]\n"
        "  %8 = affine(%6) factor=0 : f32[T,6]\n"
        "  %9, %10 = add_rms_norm(%7, %8, %3) : f32[T,6], f32[T,6]\n"
        "  output y = %5\n",
        (named[]){{"x", x}, {"r", table}, {"w", w}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    /* torch: x * rsqrt(mean(x^2) + 1e-5) * w over [2, 3] */
    static const float expected[] = {
        -0.31622524f, -0.79056309f, -1.26490094f, -0.63245047f, 0.79056309f, -0.63245047f};
    expect_floats(&h, "%5", expected, 1, 6, one_rounding);
    expect_floats(&h, "%9", x, 1, 6, 0);
    expect_floats(&h, "%10", expected, 1, 6, one_rounding);
    harness_close(&h);
}

static void elementwise_and_views(void **state) {
    (void)state;
    static const float x[] = {-3, -1, -0.25f, 0, 0.5f, 2};
    harness h;
    harness_open(&h,
        RUN_X "[1,6]\n"
              "  %2 = embedding(%0, %1) : f32[T,6]\n"
              "  %3 = activation(%2) : f32[T,6]\n"
              "  %4 = activation(%2) kind=\"gelu\" : f32[T,6]\n"
              "  %5 = activation(%2) kind=\"gelu_tanh\" : f32[T,6]\n"
              "  %6 = activation(%2) kind=\"relu\" : f32[T,6]\n"
              "  %7 = gated_activation(%2) : f32[T,3]\n"
              "  %8 = affine(%2) factor=2 offset=-1 : f32[T,6]\n"
              "  %9 = softcap(%2) cap=2 : f32[T,6]\n"
              "  %10 = add(%2, %8) : f32[T,6]\n"
              "  %11 = mul(%2, %8) : f32[T,6]\n"
              "  %12 = columns(%2) first=1 n=4 : f32[T,4]\n"
              "  output y = %12\n",
        (named[]){{"x", x}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    /* torch.nn.functional silu, gelu, gelu(approximate="tanh") */
    expect_floats(&h, "%3",
        (float[]){-0.14227762f, -0.26894142f, -0.10945587f, 0, 0.31122967f, 1.76159416f}, 1, 6,
        one_rounding);
    expect_floats(&h, "%4",
        (float[]){-0.00404969f, -0.15865525f, -0.10032342f, 0, 0.34573123f, 1.95449974f}, 1, 6,
        one_rounding);
    expect_floats(&h, "%5",
        (float[]){-0.00363739f, -0.15880801f, -0.10032465f, 0, 0.34571401f, 1.95459769f}, 1, 6,
        one_rounding);
    expect_floats(&h, "%6", (float[]){0, 0, 0, 0, 0.5f, 2}, 1, 6, 0);
    expect_floats(
        &h, "%7", (float[]){0, -0.26894142f * 0.5f, -0.10945587f * 2.0f}, 1, 3, one_rounding);
    expect_floats(&h, "%8", (float[]){-7, -3, -1.5f, -1, 0, 3}, 1, 6, 0);
    expect_floats(&h, "%9",
        (float[]){2 * tanhf(-1.5f), 2 * tanhf(-0.5f), 2 * tanhf(-0.125f), 0, 2 * tanhf(0.25f),
            2 * tanhf(1)},
        1, 6, one_rounding);
    expect_floats(&h, "%10", (float[]){-10, -4, -1.75f, -1, 0.5f, 5}, 1, 6, 0);
    expect_floats(&h, "%11", (float[]){21, 3, 0.375f, 0, 0, 6}, 1, 6, 0);
    expect_floats(&h, "y", (float[]){-1, -0.25f, 0, 0.5f}, 1, 4, 0);
    harness_close(&h);
}

static void rows_are_selected(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4, 5, 6};
    harness h;
    harness_open(&h,
        RUN_X "[3,2]\n"
              "  %2 = embedding(%0, %1) : f32[T,2]\n"
              "  %3 = input name=\"rows\" : i32[R]\n"
              "  %4 = select_rows(%2, %3) : f32[R,2]\n"
              "  output y = %4\n",
        (named[]){{"x", x}, {0}});
    harness_simple_step(&h, 3);
    h.step->n_rows = 2;
    ((int32_t *)(void *)((uint8_t *)h.step + h.step->rows))[1] = 2;
    harness_run(&h);
    expect_floats(&h, "y", (float[]){1, 2, 5, 6}, 2, 2, 0);
    harness_close(&h);
}

/* ---- observers and collectives ---- */

typedef struct seen {
    int32_t n, ids[16];
    float first[16];
} seen;

static void watch(
    void *user, const tri_value *value, const float *data, int64_t rows, int64_t columns) {
    seen *s = user;
    assert_true(rows == 2 && columns > 0);
    s->ids[s->n] = value->id;
    s->first[s->n++] = data[0];
}

static void observers_see_every_tensor(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4};
    seen s = {0};
    harness h;
    harness_open_with(&h,
        RUN_X "[2,2]\n"
              "  %2 = embedding(%0, %1) : f32[T,2]\n"
              "  %3 = affine(%2) offset=7 : f32[T,2]\n"
              "  output y = %3\n",
        (named[]){{"x", x}, {0}}, (tri_interp_options){.observe = watch, .observe_user = &s});
    int32_t n = 2;
    harness_step(&h, 1, &n, &n, (int32_t[]){1, 0});
    harness_run(&h);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.ids[0], 0);
    assert_float_equal(s.first[0], 1.0f, 0);
    assert_float_equal(s.first[1], 3.0f, 0);
    assert_float_equal(s.first[2], 10.0f, 0);
    harness_close(&h);
}

static void twice(void *user, float *x, int64_t n) {
    (void)user;
    for (int64_t i = 0; i < n; i++)
        x[i] *= 2.0f;
}

static void side_by_side(void *user, const float *x, float *y, int64_t rows, int64_t columns) {
    (void)user;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            y[r * 2 * columns + c] = x[r * columns + c];
            y[r * 2 * columns + columns + c] = -x[r * columns + c];
        }
    }
}

static void post(void *user, int32_t to, const float *x, int64_t n) {
    assert_int_equal(to, 3);
    memcpy(user, x, (size_t)n * sizeof *x);
}

static void fetch(void *user, int32_t from, float *x, int64_t n) {
    (void)user;
    assert_int_equal(from, 1);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i + 1);
}

static void collectives_go_through_the_rank(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4};
    float sent[8] = {0};
    tri_interp_comm comm = {sent, twice, side_by_side, post, fetch};
    harness h;
    const char *body = "  %0 = receive from=1 columns=2 : f32[T,2]\n"
                       "  %1 = all_reduce(%0) : f32[T,2]\n"
                       "  %2 = all_gather(%1) n_ranks=2 n=3 : f32[T,3]\n"
                       "  send(%2) to=3\n";
    harness_open_with(&h, body, (named[]){{"x", x}, {0}}, (tri_interp_options){.comm = &comm});
    harness_simple_step(&h, 2);
    harness_run(&h);
    expect_floats(&h, "%2", (float[]){2, 4, -2, 6, 8, -6}, 2, 3, 0);
    assert_memory_equal(sent, ((float[]){2, 4, -2, 6, 8, -6}), 6 * sizeof(float));
    harness_close(&h);

    tri_error err = {0};
    harness_open(&h, body, (named[]){{0}});
    harness_simple_step(&h, 2);
    assert_int_equal(tri_interp_run(h.interp, h.step, &err), TRI_E_ARGUMENT);
    assert_has(err.message, "receive");
    harness_close(&h);
}

/* ---- plugins ---- */

static int32_t infer_swish(const tri_plugin_type *inputs, int32_t n_inputs,
    const tri_plugin_field *fields, int32_t n_fields, tri_plugin_type *outputs) {
    if (n_inputs != 2 || n_fields != 2 || strcmp(fields[0].name, "beta") != 0) return 1;
    if (inputs[0].n_dims != 2 || inputs[1].n_dims != -1) return 1;
    outputs[0] = inputs[0];
    return 0;
}

static int32_t reference_swish(const tri_plugin_reference *run) {
    for (int64_t i = 0; i < run->input_rows[0] * run->input_columns[0]; i++) {
        double x = (double)run->inputs[0][i];
        run->outputs[0][i] = (float)(x / (1.0 + exp(-run->fields[0].f * x)));
    }
    return run->inputs[1] ? 1 : 0;
}

static void plugin_ops_run_their_reference(void **state) {
    (void)state;
    static const float x[] = {-3, -1, -0.25f, 0, 0.5f, 2};
    static const tri_plugin_field fields[] = {
        {.name = "beta", .kind = 1, .f = 1.0}, {.name = "note", .kind = 2, .s = "none"}};
    static const tri_plugin_op op = {.struct_size = sizeof op,
        .name = "swish_beta",
        .version = 1,
        .n_inputs = 2,
        .n_outputs = 1,
        .fields = fields,
        .n_fields = 2,
        .infer = infer_swish,
        .reference = reference_swish};
    tri_plugin_registry *plugins = NULL;
    assert_ok(tri_plugin_registry_create(&plugins, err));
    assert_ok(tri_plugin_registry_add_op(plugins, &op, err));

    tri_graph *g = graph_named("t");
    tri_graph_set_plugins(g, plugins);
    declare(g, "x", TRI_F32, 1, 6);
    tri_value *v = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "x"));
    tri_field field = {.name = "beta", .kind = TRI_FIELD_F64, .f64 = 1.0};
    v = tri_plugin_op_value(g, "swish_beta", (tri_value *[]){v, NULL}, 2, &field, 1);
    tri_graph_set_output(g, "y", v);
    assert_ok(tri_graph_finish(g, err));

    harness h = {.g = g, .weights = (named[]){{"x", x}, {0}}};
    tri_interp_options options = {.weight = harness_weight, .weight_user = &h};
    assert_ok(tri_interp_create(&h.interp, g, &options, err));
    harness_simple_step(&h, 1);
    harness_run(&h);
    expect_floats(&h, "y",
        (float[]){-0.14227762f, -0.26894142f, -0.10945587f, 0, 0.31122967f, 1.76159416f}, 1, 6,
        one_rounding);
    harness_close(&h);
    tri_plugin_registry_destroy(plugins);
}

/* ---- errors ---- */

static void missing_weight_is_named(void **state) {
    (void)state;
    tri_error err = {0};
    harness h;
    harness_open(&h,
        RUN_X "[2,2]\n"
              "  %2 = embedding(%0, %1) : f32[T,2]        # layers.7\n"
              "  output y = %2\n",
        (named[]){{0}});
    harness_simple_step(&h, 1);
    assert_int_equal(tri_interp_run(h.interp, h.step, &err), TRI_E_NOT_FOUND);
    assert_has(err.message, "'x' is not in the test");
    assert_has(err.message, "interpreting step");
    harness_close(&h);
}

static void results_are_known_only_after_a_run(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4};
    int64_t rows, columns;
    harness h;
    harness_open(&h,
        RUN_X "[2,2]\n"
              "  %2 = embedding(%0, %1) : f32[T,2]\n"
              "  output y = %2\n",
        (named[]){{"x", x}, {0}});
    assert_null(tri_interp_output(h.interp, "y", &rows, &columns));
    harness_simple_step(&h, 1);
    harness_run(&h);
    assert_non_null(tri_interp_output(h.interp, "y", &rows, &columns));
    assert_null(tri_interp_output(h.interp, "z", &rows, &columns));
    assert_null(tri_interp_output(h.interp, "%9", &rows, &columns));
    assert_null(tri_interp_output(h.interp, "%0", &rows, &columns)); /* i32 */
    assert_non_null(tri_interp_output_i32(h.interp, "%0", &rows));
    harness_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_by_stretches),
        cmocka_unit_test(elementwise_and_views),
        cmocka_unit_test(rows_are_selected),
        cmocka_unit_test(observers_see_every_tensor),
        cmocka_unit_test(collectives_go_through_the_rank),
        cmocka_unit_test(plugin_ops_run_their_reference),
        cmocka_unit_test(missing_weight_is_named),
        cmocka_unit_test(results_are_known_only_after_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
