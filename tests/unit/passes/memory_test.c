/* memory_test.c - the plan is held against a machine that does what the plan says: every value
 * marks its bytes when it is defined, and finds its own marks at each use and, for outputs, at the
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/model.h"
#include "unit/passes/text.h"

enum { TOKENS = 5, SEQUENCES = 3, ROWS = 2, CELL_BYTES = 4 };

typedef struct machine {
    const tri_memory_plan *plan;
    int32_t *owner; /* of each cell: id of the value whose data it holds */
    int32_t n_cells;
} machine;

static const tri_placement *place_of(const machine *m, const tri_value *value) {
    const tri_placement *p = &m->plan->placements[value->id];
    assert_ptr_equal(p->value, value);
    return p;
}

static bool has_place(const tri_value *value) {
    return value && !value->constant && value->type.kind == TRI_TYPE_TENSOR;
}

static int64_t rows_of(const tri_value *value) {
    int64_t d = value->type.dims[0];
    return d == TRI_DIM_T ? TOKENS : d == TRI_DIM_R ? ROWS : d == TRI_DIM_S ? SEQUENCES : d;
}

/* All elements here take one cell. */
static int64_t columns_of(const tri_value *value) {
    return value->type.n_dims > 1 ? value->type.dims[1] : 1;
}

static int64_t cell_of(const machine *m, const tri_value *value, int64_t row, int64_t column) {
    const tri_placement *p = place_of(m, value);
    int64_t at = p->offset_bytes + row * p->row_stride_bytes + column * CELL_BYTES;
    assert_true(at >= 0 && at % CELL_BYTES == 0);
    assert_true(at + CELL_BYTES <= p->offset_bytes + p->n_bytes);
    assert_true(at + CELL_BYTES <= m->plan->total_bytes);
    return at / CELL_BYTES;
}

/* The value whose bytes a view shows. */
static const tri_value *root_of(const tri_value *value) {
    while (value->node->op == TRI_OP_COLUMNS)
        value = value->node->operands[0];
    return value;
}

static void mark(machine *m, const tri_value *value) {
    for (int64_t r = 0; r < rows_of(value); r++) {
        for (int64_t c = 0; c < columns_of(value); c++)
            m->owner[cell_of(m, value, r, c)] = value->id;
    }
}

static void find_marks(const machine *m, const tri_value *value) {
    for (int64_t r = 0; r < rows_of(value); r++) {
        for (int64_t c = 0; c < columns_of(value); c++) {
            int32_t owner = m->owner[cell_of(m, value, r, c)];
            if (owner != root_of(value)->id)
                fail_msg("%%%d of %s is overwritten by %%%d", (int)value->id,
                    tri_op_get(value->node->op)->name, (int)owner);
        }
    }
}

static bool same_place(const machine *m, const tri_value *a, const tri_value *b) {
    const tri_placement *x = place_of(m, a), *y = place_of(m, b);
    return x->offset_bytes == y->offset_bytes && x->row_stride_bytes == y->row_stride_bytes &&
           x->n_bytes == y->n_bytes;
}

static bool overlap(const machine *m, const tri_value *a, const tri_value *b) {
    const tri_placement *x = place_of(m, a), *y = place_of(m, b);
    return x->offset_bytes < y->offset_bytes + y->n_bytes &&
           y->offset_bytes < x->offset_bytes + x->n_bytes;
}

/* Which operand a kernel's result may lie exactly on: the rule that kernels are written to. */
static bool may_overwrite(const tri_node *node, int32_t slot) {
    switch (node->op) {
    case TRI_OP_ADD:
    case TRI_OP_MUL:
    case TRI_OP_AFFINE:
    case TRI_OP_SOFTCAP:
    case TRI_OP_ACTIVATION:
    case TRI_OP_ALL_REDUCE:
        return true;
    case TRI_OP_LINEAR:
        return strcmp(tri_op_get(node->op)->operand_names[slot], "accumulator") == 0;
    default:
        return false;
    }
}

static void check_results(const machine *m, const tri_node *node, int32_t *n_in_place) {
    if (node->op == TRI_OP_COLUMNS) return;
    for (int32_t r = 0; r < node->n_results; r++) {
        const tri_value *y = node->results[r];
        if (!has_place(y)) continue;
        assert_int_equal(place_of(m, y)->offset_bytes % 64, 0);
        for (int32_t i = 0; i < node->n_operands; i++) {
            const tri_value *x = node->operands[i];
            if (!has_place(x) || !overlap(m, x, y)) continue;
            if (!may_overwrite(node, i) || !same_place(m, x, y))
                fail_msg("%%%d of %s lies over its operand %%%d", (int)y->id,
                    tri_op_get(node->op)->name, (int)x->id);
            ++*n_in_place;
        }
        for (int32_t i = 0; i < r; i++) {
            if (has_place(node->results[i])) assert_false(overlap(m, node->results[i], y));
        }
    }
}

/* Returns how many results lie over an operand. */
static int32_t simulate(const tri_graph *g, const tri_memory_plan *plan) {
    machine m = {.plan = plan, .n_cells = (int32_t)(plan->total_bytes / CELL_BYTES)};
    int32_t n_in_place = 0;
    m.owner = calloc((size_t)m.n_cells + 1, sizeof *m.owner);
    for (int32_t i = 0; i < m.n_cells; i++)
        m.owner[i] = -1;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_INPUT) mark(&m, node->results[0]); /* there before all */
    }
    for (const tri_node *node = g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (has_place(node->operands[i])) find_marks(&m, node->operands[i]);
        }
        check_results(&m, node, &n_in_place);
        for (int32_t i = 0; i < node->n_results; i++) {
            if (!has_place(node->results[i]))
                assert_int_equal(plan->placements[node->results[i]->id].offset_bytes, -1);
            else if (node->op != TRI_OP_COLUMNS && node->op != TRI_OP_INPUT)
                mark(&m, node->results[i]);
        }
    }
    for (int32_t i = 0; i < g->n_outputs; i++)
        find_marks(&m, g->outputs[i].value);
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_INPUT) find_marks(&m, node->results[0]);
    }
    free(m.owner);
    return n_in_place;
}

static int64_t plan_and_simulate(const tri_graph *g, int32_t *n_in_place) {
    tri_error err = {0};
    tri_arena arena;
    tri_memory_plan plan;
    tri_arena_init(&arena, 0);
    if (tri_pass_memory(g, TOKENS, SEQUENCES, ROWS, &arena, &plan, &err))
        fail_msg("%s", err.message);
    *n_in_place = simulate(g, &plan);
    int64_t total = plan.total_bytes;
    tri_arena_deinit(&arena);
    return total;
}

static tri_graph *define(const char *name, int32_t n_layers) {
    test_model m = test_model_named(name, n_layers);
    tri_graph *g = test_model_define(&m);
    assert_non_null(g);
    return g;
}

static void test_every_model(void **state) {
    (void)state;
    tri_error err = {0};
    int32_t n;
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        tri_graph *g = define(test_model_names[i], 2);
        plan_and_simulate(g, &n);
        assert_true(n > 0); /* the residual add */
        if (tri_pass_fuse(g, &err)) fail_msg("%s", err.message);
        plan_and_simulate(g, &n);
        tri_graph_destroy(g);
        if (strcmp(test_model_names[i], "blocks") == 0) continue; /* too small to cut */
        g = define(test_model_names[i], 2);
        if (tri_pass_shard(g, 2, 1, &err)) fail_msg("%s", err.message);
        plan_and_simulate(g, &n);
        assert_true(n > 0);
        if (tri_pass_fuse(g, &err)) fail_msg("%s", err.message);
        plan_and_simulate(g, &n);
        assert_true(n > 0); /* all_reduce */
        tri_graph_destroy(g);
    }
}

static void test_stages(void **state) {
    (void)state;
    int32_t n;
    for (int32_t first = 0; first < 3; first++) {
        test_model m = test_model_named("llama", 3);
        m.first = first;
        m.n_stage = 1;
        tri_graph *g = test_model_define(&m);
        assert_non_null(g);
        plan_and_simulate(g, &n);
        tri_graph_destroy(g);
    }
}

/* Layers use the same memory one after the other. */
static void test_depth_is_free(void **state) {
    (void)state;
    int32_t n;
    tri_graph *two = define("llama", 2), *nine = define("llama", 9);
    assert_int_equal(plan_and_simulate(two, &n), plan_and_simulate(nine, &n));
    tri_graph_destroy(two);
    tri_graph_destroy(nine);
}

/* By hand: x [5, 16] f32 is 320 bytes, the pair beside it 640, tokens and rows 64 each. */
static void test_small_sizes(void **state) {
    (void)state;
    int32_t n;
    tri_graph *g = text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                              "  %1 = weight name=\"table\" : f32[8,16]\n"
                              "  %2 = embedding(%0, %1) : f32[T,16]\n"
                              "  %3 = weight name=\"up\" : f32[32,16]\n"
                              "  %4 = linear(%2, %3) : f32[T,32]\n"
                              "  %5 = gated_activation(%4) : f32[T,16]\n"
                              "  %6 = affine(%5) factor=2 : f32[T,16]\n"
                              "  %7 = add(%2, %6) : f32[T,16]\n"
                              "  %8 = input name=\"rows\" : i32[R]\n"
                              "  %9 = select_rows(%7, %8) : f32[R,16]\n"
                              "  output logits = %9\n",
        NULL);
    /* %2 lives to the end of the add; %4 with it, then %5 beside both; %6 over %5; %7 over %2; %9
     * into what %4 left. */
    assert_int_equal(plan_and_simulate(g, &n), 64 + 64 + 320 + 640 + 320);
    assert_int_equal(n, 2);
    tri_graph_destroy(g);
}

/* A value whose view is still to be read may not be overwritten, nor may a view. */
static void test_views(void **state) {
    (void)state;
    int32_t n;
    tri_graph *g = text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                              "  %1 = weight name=\"table\" : f32[8,16]\n"
                              "  %2 = embedding(%0, %1) : f32[T,16]\n"
                              "  %3 = columns(%2) n=8 : f32[T,8]\n"
                              "  %4 = columns(%2) first=8 n=8 : f32[T,8]\n"
                              "  %5 = columns(%4) first=4 n=4 : f32[T,4]\n"
                              "  %6 = activation(%2) : f32[T,16]\n"
                              "  %7 = mul(%3, %4) : f32[T,8]\n"
                              "  %8 = affine(%5) factor=2 : f32[T,4]\n"
                              "  output all = %6\n"
                              "  output product = %7\n"
                              "  output part = %8\n",
        NULL);
    plan_and_simulate(g, &n);
    assert_int_equal(n, 0);
    tri_graph_destroy(g);
}

/* linear reads x while it writes: an accumulator that is x too cannot be overwritten; a sum of a
 * value with itself can. */
static void test_same_operand(void **state) {
    (void)state;
    int32_t n;
    tri_graph *g = text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                              "  %1 = weight name=\"table\" : f32[16,16]\n"
                              "  %2 = embedding(%0, %1) : f32[T,16]\n"
                              "  %3 = linear(%2, %1, accumulator=%2) : f32[T,16]\n"
                              "  output y = %3\n",
        NULL);
    plan_and_simulate(g, &n);
    assert_int_equal(n, 0);
    tri_graph_destroy(g);
    g = text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                   "  %1 = weight name=\"table\" : f32[16,16]\n"
                   "  %2 = embedding(%0, %1) : f32[T,16]\n"
                   "  %3 = add(%2, %2) : f32[T,16]\n"
                   "  output y = %3\n",
        NULL);
    plan_and_simulate(g, &n);
    assert_int_equal(n, 2);
    tri_graph_destroy(g);
}

static void test_unused_results(void **state) {
    (void)state;
    int32_t n;
    tri_graph *g = text_parse("  %0 = input name=\"logits\" : f32[R,40]\n"
                              "  %1, %2 = sample(%0) : i32[R], f32[R]\n"
                              "  output tokens = %1\n",
        NULL);
    plan_and_simulate(g, &n);
    tri_graph_destroy(g);
}

static void test_limits(void **state) {
    (void)state;
    tri_error err = {0};
    tri_arena arena;
    tri_memory_plan plan = {.total_bytes = 7};
    tri_arena_init(&arena, 0);
    tri_graph *g = define("llama", 1);
    assert_int_equal(tri_pass_memory(g, INT64_MAX / 64, 1, 1, &arena, &plan, &err), TRI_E_LIMIT);
    text_assert_has(err.message, "2^63 bytes");
    /* Each fits, all together do not. */
    assert_int_equal(tri_pass_memory(g, INT64_MAX / 512, 1, 1, &arena, &plan, &err), TRI_E_LIMIT);
    text_assert_has(err.message, "2^63 bytes");
    assert_int_equal(tri_pass_memory(g, -1, 1, 1, &arena, &plan, &err), TRI_E_ARGUMENT);
    assert_int_equal(plan.total_bytes, 7);
    assert_int_equal(tri_pass_memory(g, 0, 0, 0, &arena, &plan, &err), TRI_OK);
    assert_int_equal(plan.total_bytes, 0);
    tri_graph_destroy(g);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_model),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_depth_is_free),
        cmocka_unit_test(test_small_sizes),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_same_operand),
        cmocka_unit_test(test_unused_results),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("passes/memory", tests, NULL, NULL);
}
