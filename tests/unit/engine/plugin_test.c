/* plugin_test.c - the example plugin inside one program: registered, put into a graph, and its
 * kernel held to its formula whatever the threads and strides. */
#include "../examples/plugin/swish_limit.c" /* first: cmocka defines a macro named fail */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/plugin_host.h"
#include "passes/passes.h"

static const char mlp[] = "trireme.graph 1\n"
                          "graph \"t\" {\n"
                          "  %0 = input name=\"tokens\" : i32[T]\n"
                          "  %1 = weight name=\"table\" : f32[10,8]\n"
                          "  %2 = weight name=\"fc\" : f32[12,8]\n"
                          "  %3 = weight name=\"gate\" : f32[12,8]\n"
                          "  %4 = embedding(%0, %1) : f32[T,8]\n"
                          "  %5 = linear(%4, %2) : f32[T,12]\n"
                          "  %6 = linear(%4, %3) : f32[T,12]\n"
                          "  %7 = activation(%5) : f32[T,12]\n"
                          "  %8 = mul(%7, %6) : f32[T,12]\n"
                          "  %9 = activation(%8) kind=\"relu\" : f32[T,12]\n"
                          "  output y = %9\n"
                          "}\n";

/* ---- a host that only registers ---- */

static char said[256];

static void keep_reason(void *registry, const char *message) {
    (void)registry;
    (void)snprintf(said, sizeof said, "%s", message);
}

static int32_t add_op(void *registry, const tri_plugin_op *added) {
    return tri_plugin_registry_add_op(((tri_plugin_set *)registry)->ops, added, NULL) != TRI_OK;
}

static int32_t add_kernel(void *registry, const tri_plugin_kernel *added) {
    return tri_kernels_register(((tri_plugin_set *)registry)->kernels, added, NULL) != TRI_OK;
}

static tri_plugin_host host_of(tri_plugin_set *set) {
    return (tri_plugin_host){.struct_size = sizeof(tri_plugin_host),
        .abi = TRI_PLUGIN_ABI,
        .version = TRI_VERSION_STRING,
        .registry = set,
        .register_op = add_op,
        .register_kernel = add_kernel,
        .fail = keep_reason};
}

static tri_plugin_set loaded(void) {
    tri_plugin_set set;
    tri_error err = {0};
    if (tri_plugin_set_open(&set, NULL, 0, &err)) fail_msg("%s", err.message);
    tri_plugin_host host = host_of(&set);
    assert_int_equal(tri_plugin_init(&host), 0);
    return set;
}

static tri_graph *parsed(const char *text, const tri_plugin_set *set) {
    tri_graph *g = NULL;
    tri_error err = {0};
    if (tri_graph_parse_with(&g, text, strlen(text), set->ops, &err)) fail_msg("%s", err.message);
    return g;
}

static void expect_text(const tri_graph *g, const char *part, bool there) {
    char *text = NULL;
    assert_int_equal(tri_graph_print(g, &text, NULL), TRI_OK);
    if ((strstr(text, part) != NULL) != there)
        fail_msg("'%s' %s:\n%s", part, there ? "is not there" : "is there", text);
    tri_free(text);
}

/* ---- in a graph ---- */

static void replaces_silu_alone(void **state) {
    (void)state;
    tri_plugin_set set = loaded();
    tri_graph *g = parsed(mlp, &set);
    assert_int_equal(tri_plugin_set_replace(&set, g, NULL), TRI_OK);
    expect_text(g, "plugin.swish_limit(%5) alpha=1 limit=7 : f32[T,12]", true);
    expect_text(g, "activation(%8) kind=\"relu\"", true);

    char *text = NULL; /* what an engine stores reads back as it was */
    assert_int_equal(tri_graph_print(g, &text, NULL), TRI_OK);
    tri_graph *again = parsed(text, &set);
    expect_text(again, "plugin.swish_limit(%5) alpha=1 limit=7 : f32[T,12]", true);
    tri_free(text);
    tri_graph_destroy(again);
    tri_graph_destroy(g);
    tri_plugin_set_close(&set);
}

static void is_not_fused_away(void **state) {
    (void)state;
    tri_plugin_set set = loaded();
    tri_graph *g = parsed(mlp, &set);
    assert_int_equal(tri_pass_fuse(g, NULL), TRI_OK);
    expect_text(g, "gated_activation", true); /* what becomes of it without the plugin */
    tri_graph_destroy(g);

    g = parsed(mlp, &set);
    assert_int_equal(tri_plugin_set_replace(&set, g, NULL), TRI_OK);
    assert_int_equal(tri_pass_fuse(g, NULL), TRI_OK);
    expect_text(g, "gated_activation", false);
    expect_text(g, "plugin.swish_limit", true);
    tri_graph_destroy(g);
    tri_plugin_set_close(&set);
}

/* A stored graph, tampered with: the text is refused, by the host or by infer. */
static void refuses(const tri_plugin_set *set, const char *use, const char *reason) {
    char text[512];
    tri_graph *g = NULL;
    tri_error err = {0};
    (void)snprintf(text, sizeof text,
        "trireme.graph 1\ngraph \"t\" {\n  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"table\" : f32[10,8]\n  %%2 = embedding(%%0, %%1) : f32[T,8]\n"
        "  %%3 = %s : f32[T,8]\n  output y = %%3\n}\n",
        use);
    tri_status rc = tri_graph_parse_with(&g, text, strlen(text), set ? set->ops : NULL, &err);
    assert_int_not_equal(rc, TRI_OK);
    if (!strstr(err.message, reason)) fail_msg("'%s' is not in: %s", reason, err.message);
}

static void refuses_hostile_uses(void **state) {
    (void)state;
    tri_plugin_set set = loaded();
    refuses(&set, "plugin.swish_limit(%2) alpha=1.0 limit=-1.0", "refused");
    refuses(&set, "plugin.swish_limit(%2) alpha=1.0 limit=0.0", "refused");
    refuses(&set, "plugin.swish_limit(%0) alpha=1.0 limit=7.0", "refused");
    refuses(&set, "plugin.swish_limit(%2) alpha=1.0 width=7.0", "width");
    refuses(&set, "plugin.swish_limit(%2) alpha=1.0 limit=\"wide\"", "number");
    refuses(&set, "plugin.swish_limit(%2, %2) alpha=1.0 limit=7.0", "swish_limit");
    refuses(&set, "plugin.swish_limit.2(%2) alpha=1.0 limit=7.0", "version");
    refuses(&set, "plugin.swish_other(%2) alpha=1.0 limit=7.0", "--plugin");
    refuses(NULL, "plugin.swish_limit(%2) alpha=1.0 limit=7.0", "--plugin");
    tri_plugin_set_close(&set);
}

static void another_abi_is_refused(void **state) {
    (void)state;
    tri_plugin_set set = loaded();
    tri_plugin_host host = host_of(&set);
    host.abi = TRI_PLUGIN_ABI + 1;
    assert_int_not_equal(tri_plugin_init(&host), 0);
    assert_non_null(strstr(said, "ABI"));
    tri_plugin_set_close(&set);
}

/* ---- the kernel ---- */

enum { ROWS = 7, COLUMNS = 19, STRIDE = 24 };

static const tri_plugin_field narrow[] = {
    {.name = "alpha", .kind = 1, .f = 1.702}, {.name = "limit", .kind = 1, .f = 0.75}};

static void run_kernel(const float *x, float *y, int32_t rows, int32_t n_threads) {
    const tri_plugin_type type = {
        .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, COLUMNS}, .layout = "row"};
    const tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = "swish_limit",
        .n_inputs = 1,
        .n_outputs = 1,
        .n_fields = 2,
        .inputs = &type,
        .outputs = &type,
        .fields = narrow};
    const tri_plugin_step step = {.struct_size = sizeof step, .extents = {.n_tokens = rows}};
    float *input = test_malloc(sizeof *x * (size_t)rows * STRIDE);
    memcpy(input, x, sizeof *x * (size_t)rows * STRIDE);
    const tri_plugin_tensor in = {.data = input, .row_stride_bytes = STRIDE * sizeof *x};
    const tri_plugin_tensor out = {.data = y, .row_stride_bytes = COLUMNS * sizeof *y};
    void *made = NULL;
    assert_int_equal(kernel.create(&desc, &made), 0);
    for (int32_t thread = n_threads - 1; thread >= 0; thread--) { /* no thread waits for another */
        kernel.launch(made, &(tri_plugin_launch){.struct_size = sizeof(tri_plugin_launch),
                                .step = &step,
                                .inputs = &in,
                                .outputs = &out,
                                .thread = thread,
                                .n_threads = n_threads});
    }
    kernel.destroy(made);
    test_free(input);
}

static void kernel_is_the_formula(void **state) {
    (void)state;
    float x[ROWS * STRIDE], y[ROWS * COLUMNS], one[ROWS * COLUMNS], meant[ROWS * COLUMNS];
    float dense[ROWS * COLUMNS];
    for (uint64_t i = 0; i < ROWS * STRIDE; i++)
        x[i] = (float)((int64_t)(i * 2654435761u % 2000) - 1000) / 100.0F; /* -10 to 10 */
    x[0] = 0.75F;
    x[1] = -80.0F; /* exp(136) overflows float: the quotient is then -0, what it is to 1e-57 */
    x[2] = 3e38F;

    run_kernel(x, one, ROWS, 1);
    for (int32_t n_threads = 2; n_threads <= 9; n_threads++) {
        memset(y, 0xFF, sizeof y);
        run_kernel(x, y, ROWS, n_threads);
        assert_memory_equal(y, one, sizeof y);
    }
    for (int32_t r = 0; r < ROWS; r++) { /* a row alone, as when decoding */
        run_kernel(x + (ptrdiff_t)r * STRIDE, y, 1, 3);
        assert_memory_equal(y, one + (ptrdiff_t)r * COLUMNS, sizeof *y * COLUMNS);
    }
    for (int32_t r = 0; r < ROWS; r++)
        memcpy(dense + r * COLUMNS, x + r * STRIDE, sizeof *x * COLUMNS);
    const int64_t rows = ROWS, columns = COLUMNS;
    assert_int_equal(op.reference(&(tri_plugin_reference){.inputs = (const float *[]){dense},
                         .outputs = (float *[]){meant},
                         .input_rows = &rows,
                         .input_columns = &columns,
                         .fields = narrow,
                         .n_fields = 2}),
        0);
    for (int32_t i = 0; i < ROWS * COLUMNS; i++) {
        double z = fmin((double)dense[i], 0.75), expected = z / (1 + exp(-1.702 * z));
        /* alpha * z up to 17 is rounded before exp: a relative error of 17 * 2^-24, and a few ulp.
         */
        double bound = 2e-6 * fabs(expected) + 1e-37;
        assert_true(fabs((double)one[i] - expected) <= bound);
        assert_true(fabs((double)meant[i] - expected) <= 1e-7 * fabs(expected) + 1e-37);
    }
}

static void kernel_says_why_not(void **state) {
    (void)state;
    const tri_plugin_type f32 = {.dtype = TRI_F32, .n_dims = 2}, bf16 = {.dtype = TRI_BF16};
    tri_plugin_desc desc = {.inputs = &f32, .outputs = &f32};
    char reason[128] = "";
    assert_int_equal(kernel.supports(&desc, reason, sizeof reason), 0);
    desc.inputs = &bf16;
    assert_int_not_equal(kernel.supports(&desc, reason, sizeof reason), 0);
    assert_string_equal(reason, "computes float32 only");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_silu_alone),
        cmocka_unit_test(is_not_fused_away),
        cmocka_unit_test(refuses_hostile_uses),
        cmocka_unit_test(another_abi_is_refused),
        cmocka_unit_test(kernel_is_the_formula),
        cmocka_unit_test(kernel_says_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
