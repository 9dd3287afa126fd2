/* Norms, element-wise ops, activations, select_rows: every candidate against the interpreter, and
 * equal bits from all candidates. */
#include "unit/kernels/lab.h"

enum { MAX_TOKENS = 70 };

/* Which result (%10, %11) to look at, within `tolerance`. */
typedef struct expectation {
    int32_t id;
    double tolerance;
} expectation;

static void compare(
    const machine *m, const expectation *expected, const char *name, float *first, bool is_first) {
    for (const expectation *e = expected; e->id; e++) {
        expect_close(m, e->id, e->tolerance, "%s, %d rows, %%%d", name,
            (int)m->l->reference[e->id].rows, (int)e->id);
    }
    const lab_value *v = &m->l->reference[expected[0].id];
    for (int64_t r = 0; r < v->rows; r++) {
        const float *row = machine_row(m, expected[0].id, r);
        size_t row_bytes = (size_t)v->columns * sizeof *row;
        if (is_first)
            memcpy(first + r * v->columns, row, row_bytes);
        else
            assert_memory_equal(first + r * v->columns, row, row_bytes);
    }
}

/* Steps of several sizes; all candidates against the interpreter and against the first one's bits.
 */
static void check(const char *op, const char *body, const expectation *expected) {
    static const int32_t token_counts[] = {1, 2, 7, MAX_TOKENS};
    lab l;
    const char *names[16];
    machine m[3];
    lab_open(&l, body, (lab_limits){.tokens = MAX_TOKENS, .sequences = LAB_SLOTS});
    int32_t n = lab_candidates(&l, op, NULL, names);
    assert_true(n <= 3);
    for (int32_t i = 0; i < n; i++) {
        machine_open(&m[i], &l, (lab_setup){.op = op, .kernel = names[i], .n_threads = 1 + i});
    }
    for (size_t t = 0; t < sizeof token_counts / sizeof token_counts[0]; t++) {
        int32_t n_second = token_counts[t] / 3;
        lab_sequence sequences[3] = {{.id = 0, .n = token_counts[t] - n_second, .context = 100},
            {.id = 1, .n = n_second, .context = 200}, {.id = 2, .n = 0, .context = 1}};
        tri_step *step = lab_step(&l, sequences, 3);
        lab_run(&l, step);
        const lab_value *v = &l.reference[expected[0].id];
        float *first = malloc((size_t)(v->rows * v->columns) * sizeof *first);
        assert_non_null(first);
        for (int32_t i = 0; i < n; i++) {
            machine_run(&m[i], step);
            compare(&m[i], expected, names[i], first, i == 0);
        }
        free(first);
        free(step);
    }
    for (int32_t i = 0; i < n; i++)
        machine_close(&m[i]);
    lab_close(&l);
}

#define X_AND_R                                                                                    \
    "  %%0 = input name=\"tokens\" : i32[T]\n"                                                     \
    "  %%1 = weight name=\"x\" : f32[61,%d]\n"                                                     \
    "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"                                                    \
    "  %%3 = weight name=\"r\" : f32[61,%d]\n"                                                     \
    "  %%4 = embedding(%%0, %%3) : f32[T,%d]\n"

/* One operation on each element is right to one rounding, so half a unit of the largest element,
 * which is some 5 times the root mean square; a norm adds the sum's roundings. */
static const double one_rounding = 5 * 0x1p-24;

/* A norm: the sum's error, three roundings of the scale and two products, whose largest is some 12
 * times the root mean square. */
static double norm_tolerance(int32_t stretch) {
    return chain_tolerance(stretch / 16) + 60 * 0x1p-24;
}

static void test_norms(void **unused) {
    (void)unused;
    static const struct {
        int32_t columns, stretch;
    } shapes[] = {
        {1, 1}, {15, 15}, {16, 16}, {576, 576}, {1000, 1000}, {192, 64}, {60, 20}, {33, 11}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int c = shapes[s].columns, stretch = shapes[s].stretch;
        char body[1024];
        expectation norm[] = {{11, norm_tolerance(stretch)}, {0, 0}};
        expectation sum[] = {{11, norm_tolerance(stretch)}, {10, one_rounding}, {0, 0}};
        (void)snprintf(body, sizeof body,
            X_AND_R "  %%5 = weight name=\"w\" : f32[%d]\n"
                    "  %%11 = rms_norm(%%2, %%5) eps=0.001 : f32[T,%d]\n  output y = %%11\n",
            c, c, c, c, stretch, c);
        check("rms_norm", body, norm);
        (void)snprintf(body, sizeof body,
            X_AND_R "  %%5 = weight name=\"w\" : f32[%d]\n"
                    "  %%10, %%11 = add_rms_norm(%%2, %%4, %%5) eps=0.001 : f32[T,%d], f32[T,%d]\n"
                    "  output y = %%11\n",
            c, c, c, c, stretch, c, c);
        check("add_rms_norm", body, sum);
    }
}

static void test_elements(void **unused) {
    (void)unused;
    static const struct {
        const char *op, *text;
        double tolerance;
    } ops[] = {
        {"add", "add(%2, %4)", 5 * 0x1p-24},
        {"mul", "mul(%2, %4)", 30 * 0x1p-24}, /* products reach further beyond their deviation */
        {"affine", "affine(%2) factor=0.7 offset=-3", 10 * 0x1p-24},
        /* tanh and the exponential are good to 2 ulp, the division before adds one more */
        {"softcap", "softcap(%2) cap=0.75", 8 * 0x1p-24},
        {"softcap", "softcap(%2) cap=30", 30 * 0x1p-24},
        {"activation", "activation(%2)", 30 * 0x1p-24},
        {"activation", "activation(%2) kind=\"gelu\"", 30 * 0x1p-24},
        {"activation", "activation(%2) kind=\"gelu_tanh\"", 30 * 0x1p-24},
        {"activation", "activation(%2) kind=\"relu\"", 0},
    };
    static const int columns[] = {1, 31, 576, 2500};
    for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++) {
        for (size_t c = 0; c < 4; c++) {
            char body[1024];
            int n = columns[c];
            int at = snprintf(body, sizeof body, X_AND_R, n, n, n, n);
            (void)snprintf(body + at, sizeof body - (size_t)at,
                "  %%10 = %s : f32[T,%d]\n  output y = %%10\n", ops[o].text, n);
            expectation e[] = {{10, ops[o].tolerance}, {0, 0}};
            check(ops[o].op, body, e);
        }
    }
}

/* The gate's two halves are columns of one value, the product meets views of others. */
static void test_gated_and_views(void **unused) {
    (void)unused;
    static const char *const kinds[] = {"silu", "gelu", "gelu_tanh", "relu"};
    static const int columns[] = {1, 17, 1536};
    for (size_t k = 0; k < 4; k++) {
        for (size_t c = 0; c < 3; c++) {
            char body[1024];
            int n = columns[c], wide = 2 * n + 3;
            (void)snprintf(body, sizeof body,
                X_AND_R "  %%5 = columns(%%2) first=1 n=%d : f32[T,%d]\n"
                        "  %%10 = gated_activation(%%5) kind=\"%s\" : f32[T,%d]\n"
                        "  %%6 = columns(%%4) first=2 n=%d : f32[T,%d]\n"
                        "  %%11 = add(%%10, %%6) : f32[T,%d]\n  output y = %%11\n",
                wide, wide, wide, wide, 2 * n, 2 * n, kinds[k], n, n, n, n);
            /* |silu(x) y| of two normal numbers is up to 40 times its root mean square */
            expectation e[] = {{10, 100 * 0x1p-24}, {11, 100 * 0x1p-24}, {0, 0}};
            check("gated_activation", body, e);
        }
    }
}

static void test_select_rows(void **unused) {
    (void)unused;
    char body[1024];
    (void)snprintf(body, sizeof body,
        X_AND_R "  %%5 = input name=\"rows\" : i32[R]\n"
                "  %%10 = select_rows(%%2, %%5) : f32[R,100]\n  output y = %%10\n",
        100, 100, 100, 100);
    expectation e[] = {{10, 0}, {0, 0}};
    check("select_rows", body, e);
}

/* Infinities and NaN go where the arithmetic sends them, in every variant. */
static void test_special_values(void **unused) {
    (void)unused;
    lab l;
    const char *names[16];
    char body[1024];
    (void)snprintf(body, sizeof body,
        X_AND_R "  %%10 = activation(%%2) kind=\"relu\" : f32[T,20]\n"
                "  %%11 = activation(%%10) : f32[T,20]\n  output y = %%11\n",
        20, 20, 20, 20);
    lab_open(&l, body, (lab_limits){0});
    float *table = l.weights[1];
    for (int32_t row = 0; row < 61; row++) {
        table[row * 20 + 3] = INFINITY;
        table[row * 20 + 4] = -INFINITY;
        table[row * 20 + 5] = NAN;
        table[row * 20 + 6] = 200.0f;
        table[row * 20 + 7] = -200.0f;
    }
    lab_sequence sequence = {.n = 2, .context = 2};
    tri_step *step = lab_step(&l, &sequence, 1);
    int32_t n = lab_candidates(&l, "activation", NULL, names);
    for (int32_t i = 0; i < n; i++) {
        machine m;
        machine_open(&m, &l, (lab_setup){.op = "activation", .kernel = names[i]});
        machine_run(&m, step);
        const float *relu = machine_row(&m, 10, 1), *silu = machine_row(&m, 11, 1);
        assert_true(relu[3] == INFINITY && relu[4] == 0.0f && isnan(relu[5]));
        assert_true(silu[3] == INFINITY && silu[4] == 0.0f && isnan(silu[5]));
        assert_true(silu[6] == 200.0f && silu[7] == 0.0f);
        machine_close(&m);
    }
    free(step);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_gated_and_views),
        cmocka_unit_test(test_select_rows),
        cmocka_unit_test(test_special_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
