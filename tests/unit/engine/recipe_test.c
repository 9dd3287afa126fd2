/* Derivations, read in rows and in parallel, against the interpreter evaluating the same ops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/derive.h"
#include "engine/supply.h"
#include "graph/interp.h"
#include "unit/engine/own_model.h"

/* A graph with weights a [96, 64], b [32, 64] of a dtype, and a vector v [64]; each test adds one
 * expression. */
static tri_graph *make_graph(tri_dtype dtype) {
    const int64_t a[] = {96, 64}, b[] = {32, 64}, v[] = {64};
    tri_graph *g = NULL;
    OK(tri_graph_create(&g, "recipe", err));
    tri_graph_declare_weight(g, "a", dtype, a, 2);
    tri_graph_declare_weight(g, "b", dtype, b, 2);
    tri_graph_declare_weight(g, "v", TRI_BF16, v, 1);
    return g;
}

static tri_value *op(
    tri_graph *g, tri_op o, tri_value *x, tri_value *y, const tri_attr *attrs, int32_t n_attrs) {
    tri_value *operands[] = {x, y};
    tri_value *out = tri_node_create(g, NULL, o, operands,
        y   ? 2
        : x ? 1
            : 0,
        attrs, n_attrs)
                         ->results[0];
    if (g->error.status) fail_msg("%s", g->error.message);
    return out;
}

/* What the interpreter makes of a constant; the graph is rounded off to be one that can run. */
static float *interpreted(tri_graph *g, own_weights *w, tri_value *value, int64_t *n) {
    tri_value *x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "a"));
    tri_output_logits(
        g, tri_matmul(g, tri_select_rows(g, x, tri_input_rows(g)), tri_weight(g, "b")));
    OK(tri_graph_finish(g, err));
    tri_interp *interp = NULL;
    const tri_interp_options options = {.weight = own_interp_weight, .weight_user = w};
    const float *data;
    OK(tri_interp_create(&interp, g, &options, err));
    OK(tri_interp_constant(interp, value, &data, n, err));
    float *copy = malloc((size_t)*n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, data, (size_t)*n * sizeof *copy);
    tri_interp_destroy(interp);
    return copy;
}

/* Derives with several threads and compares all elements, exactly: both say how each is rounded. */
static void check(tri_graph *g, tri_value *value) {
    own_weights w = own_weights_of(g, 11);
    tri_reader_supply reader = {.read = own_read, .user = &w};
    tri_supply supply = tri_supply_reader(&reader);
    tri_kernels *kernels = NULL;
    tri_team *team = NULL;
    int64_t n_bytes, n;
    OK(tri_kernels_create(&kernels, err));
    OK(tri_team_create(&team, 3, err));
    OK(tri_stored_bytes(kernels, &value->type, &n_bytes, err));
    uint8_t *out = malloc((size_t)n_bytes);
    OK(tri_derive(value, &supply, kernels, team, out, err));

    float *expected = interpreted(g, &w, value, &n);
    float *decoded = malloc((size_t)n * sizeof *decoded);
    assert_int_equal(n_bytes, tri_type_dense_bytes(&value->type));
    tri_codec_decode(value->type.dtype, out, decoded, n);
    for (int64_t i = 0; i < n; i++) {
        if (decoded[i] < expected[i] || decoded[i] > expected[i])
            fail_msg("%s element %d: %.9g, not %.9g", tri_type_print(&value->type).s, (int)i,
                (double)decoded[i], (double)expected[i]);
    }
    free(decoded);
    free(expected);
    free(out);
    tri_reader_supply_clear(&reader);
    tri_team_destroy(team);
    tri_kernels_destroy(kernels);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

static void test_ops(void **state) {
    (void)state;
    static const tri_dtype dtypes[] = {TRI_F32, TRI_BF16, TRI_F16, TRI_Q8_0, TRI_Q4_0};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        tri_graph *g = make_graph(dtypes[i]);
        check(g, op(g, TRI_OP_CONCAT_ROWS, tri_weight(g, "a"), tri_weight(g, "b"), NULL, 0));
        g = make_graph(dtypes[i]);
        const tri_attr slice[] = {TRI_AI("first", 17), TRI_AI("n", 40)};
        check(g, op(g, TRI_OP_SLICE_ROWS, tri_weight(g, "a"), NULL, slice, 2));
        g = make_graph(dtypes[i]);
        check(g, op(g, TRI_OP_CAST, tri_weight(g, "a"), NULL, &TRI_AS("dtype", "f32"), 1));
        g = make_graph(dtypes[i]);
        check(g, op(g, TRI_OP_CAST, tri_weight(g, "a"), NULL, &TRI_AS("dtype", "bf16"), 1));
    }
}

static void test_quantize(void **state) {
    (void)state;
    static const char *const dtypes[] = {"i8", "i4"};
    static const int64_t groups[] = {0, 32, 64};
    for (int d = 0; d < 2; d++) {
        for (int k = 0; k < 3; k++) {
            const tri_attr attrs[] = {TRI_AS("dtype", dtypes[d]), TRI_AI("group", groups[k])};
            tri_graph *g = make_graph(TRI_BF16);
            check(g, op(g, TRI_OP_QUANTIZE, tri_weight(g, "a"), NULL, attrs, 2));
        }
    }
}

static void test_vectors(void **state) {
    (void)state;
    tri_graph *g = make_graph(TRI_F32);
    const tri_attr affine[] = {TRI_AF("factor", 0.3), TRI_AF("offset", 1.0)};
    tri_value *v = op(g, TRI_OP_CAST, tri_weight(g, "v"), NULL, &TRI_AS("dtype", "f32"), 1);
    check(g, op(g, TRI_OP_AFFINE, v, NULL, affine, 2));
    g = make_graph(TRI_F32);
    const tri_attr first[] = {TRI_AI("first", 5), TRI_AI("n", 20)};
    const tri_attr rest[] = {TRI_AI("first", 20), TRI_AI("n", 44)};
    tri_value *a = op(g, TRI_OP_SLICE_ROWS, tri_weight(g, "v"), NULL, first, 2);
    tri_value *b = op(g, TRI_OP_SLICE_ROWS, tri_weight(g, "v"), NULL, rest, 2);
    check(g, op(g, TRI_OP_CONCAT_ROWS, a, b, NULL, 0));
}

/* Steps upon steps. */
static void test_nested(void **state) {
    (void)state;
    tri_graph *g = make_graph(TRI_Q8_0);
    const tri_attr slice[] = {TRI_AI("first", 50), TRI_AI("n", 70)};
    const tri_attr quantize[] = {TRI_AS("dtype", "i8"), TRI_AI("group", 16)};
    tri_value *x = op(g, TRI_OP_CONCAT_ROWS, tri_weight(g, "a"), tri_weight(g, "b"), NULL, 0);
    x = op(g, TRI_OP_SLICE_ROWS, x, NULL, slice, 2);
    x = op(g, TRI_OP_CAST, x, NULL, &TRI_AS("dtype", "bf16"), 1);
    check(g, op(g, TRI_OP_QUANTIZE, x, NULL, quantize, 2));
}

/* Every layout takes apart what it put together. */
static void test_layouts(void **state) {
    (void)state;
    static const tri_dtype dtypes[] = {TRI_F32, TRI_BF16, TRI_F16, TRI_I8, TRI_I4, TRI_Q8_0,
        TRI_Q4_0, TRI_Q4_1, TRI_Q4_K, TRI_Q6_K};
    static const char *const layouts[] = {"panel16"};
    tri_kernels *kernels = NULL;
    int n_tried = 0;
    OK(tri_kernels_create(&kernels, err));
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++) {
        const tri_plugin_layout *layout = tri_kernels_find_layout(kernels, layouts[l]);
        for (size_t d = 0; layout && d < sizeof dtypes / sizeof *dtypes; d++) {
            const tri_plugin_type type = {.dtype = (int32_t)dtypes[d],
                .n_dims = 2,
                .dims = {83, 512},
                .layout = "row",
                .constant = true};
            int64_t n_bytes = layout->bytes(&type);
            if (n_bytes < 0) continue;
            int64_t row = tri_dtype_row_bytes(dtypes[d], 512), unit = layout->row_unit;
            uint8_t *rows = malloc((size_t)(83 * row)), *back = malloc((size_t)(83 * row));
            uint8_t *packed = calloc(1, (size_t)n_bytes);
            for (int64_t i = 0; i < 83 * row; i++)
                rows[i] = (uint8_t)(i * 37 + i / 251);
            for (int64_t first = 0; first < 83; first += unit) {
                int64_t n = 83 - first < unit ? 83 - first : unit;
                layout->pack(&type, first, n, rows + first * row, packed);
            }
            layout->unpack(&type, 0, 83, packed, back);
            assert_memory_equal(rows, back, (size_t)(83 * row));
            free(rows);
            free(back);
            free(packed);
            n_tried++;
        }
    }
    assert_true(n_tried > 0);
    tri_kernels_destroy(kernels);
}

static void test_refused(void **state) {
    (void)state;
    tri_arena arena;
    const tri_recipe *recipe = NULL;
    tri_arena_init(&arena, 0);
    own_weights w = {0};
    tri_graph *g = make_graph(TRI_F32);
    w = own_weights_of(g, 1);
    tri_reader_supply reader = {.read = own_read, .user = &w};
    tri_supply supply = tri_supply_reader(&reader);
    tri_value *x = tri_weight(g, "a");
    const tri_attr whole[] = {TRI_AI("first", 0), TRI_AI("n", 96)};
    for (int i = 0; i < 40; i++)
        x = op(g, TRI_OP_SLICE_ROWS, x, NULL, whole, 2);
    FAILS(TRI_E_LIMIT, tri_recipe_create(&recipe, x, &supply, &arena, err), "deep");
    x = tri_embedding(g, tri_input_tokens(g), tri_weight(g, "a"));
    FAILS(TRI_E_FORMAT, tri_recipe_create(&recipe, x, &supply, &arena, err), "dense");
    tri_reader_supply_clear(&reader);
    own_weights_free(&w);
    tri_graph_destroy(g);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
