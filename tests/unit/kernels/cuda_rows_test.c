/* Norms, element-wise ops, embedding, select_rows on CUDA against the interpreter.  Skips where
 * there is no GPU.
 *
 * Every token's result depends on the token alone here, so its bits must be the same in every step,
 * whatever is beside it. */
#include "unit/kernels/cuda_gpu.h"
#include "unit/kernels/lab.h"

#include "kernels/cuda/linear.h"
#include "kernels/cuda/rows.h"

enum { MAX_TOKENS = 70, N_TOKENS = 61, MOST = 6 };

/* Which results to look at, within `tolerance`; or `rounded` to bf16 from another's bits. */
typedef struct expectation {
    int32_t id;
    double tolerance;
    int32_t rounded;
} expectation;

/* The rows that tokens had when they were first seen. */
typedef struct first_rows {
    float *of[N_TOKENS];
} first_rows;

static void same_for_token(const machine *m, int32_t id, const tri_step *step, first_rows *first) {
    const lab_value *v = &m->l->reference[id];
    size_t row_bytes = (size_t)v->columns * sizeof(float);
    for (int64_t r = 0; r < v->rows; r++) {
        int32_t t = v->rows == step->n_tokens ? (int32_t)r : TRI_STEP_I32(step, rows)[r];
        float **row = &first->of[TRI_STEP_I32(step, tokens)[t]];
        if (*row) {
            assert_memory_equal(*row, machine_row(m, id, r), row_bytes);
            continue;
        }
        *row = malloc(row_bytes);
        assert_non_null(*row);
        memcpy(*row, machine_row(m, id, r), row_bytes);
    }
}

static void is_rounded(const machine *m, int32_t narrow, int32_t wide) {
    const lab_value *v = &m->l->reference[narrow];
    for (int64_t r = 0; r < v->rows; r++) {
        for (int64_t c = 0; c < v->columns; c++) {
            float y = machine_row(m, wide, r)[c];
            assert_int_equal(tri_f32_to_bf16(machine_row(m, narrow, r)[c]), tri_f32_to_bf16(y));
        }
    }
}

static void look(const machine *m, const char *what, const tri_step *step,
    const expectation *expected, first_rows *first) {
    for (int32_t i = 0; i < MOST && expected[i].id; i++) {
        const expectation *e = &expected[i];
        if (e->rounded) {
            is_rounded(m, e->id, e->rounded);
        } else {
            expect_close(m, e->id, e->tolerance, "%s, %d rows, %%%d", what,
                (int)m->l->reference[e->id].rows, (int)e->id);
        }
        same_for_token(m, e->id, step, &first[i]);
    }
}

/* Steps of several sizes, sequences without tokens among them; the last one as a graph too. */
static void run_steps(lab *l, const char *what, const expectation *expected) {
    static const int32_t token_counts[] = {1, 2, 7, MAX_TOKENS};
    first_rows first[MOST] = {0};
    machine m;
    machine_open(&m, l, (lab_setup){.device = "cuda", .n_runs = 3});
    for (size_t t = 0; t < sizeof token_counts / sizeof token_counts[0]; t++) {
        int32_t n_second = token_counts[t] / 3;
        lab_sequence sequences[3] = {{.id = 0, .n = token_counts[t] - n_second, .context = 100},
            {.id = 1, .n = n_second, .context = 200}, {.id = 2, .n = 0, .context = 1}};
        tri_step *step = lab_step(l, sequences, 3);
        lab_run(l, step);
        machine_run(&m, step);
        look(&m, what, step, expected, first);
        free(step);
    }
    machine_close(&m);
    for (int32_t i = 0; i < MOST; i++)
        for (int32_t t = 0; t < N_TOKENS; t++)
            free(first[i].of[t]);
}

static void check(const char *what, const char *body, const expectation *expected) {
    lab l;
    lab_open(&l, body, (lab_limits){.tokens = MAX_TOKENS, .sequences = LAB_SLOTS});
    run_steps(&l, what, expected);
    lab_close(&l);
}

#define X_AND_R                                                                                    \
    "  %%0 = input name=\"tokens\" : i32[T]\n"                                                     \
    "  %%1 = weight name=\"x\" : f32[61,%d]\n"                                                     \
    "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"                                                    \
    "  %%3 = weight name=\"r\" : f32[61,%d]\n"                                                     \
    "  %%4 = embedding(%%0, %%3) : f32[T,%d]\n"

/* %3 and %6 are bf16: the tables have C ones, then C numbers that bf16 has, and relu(1) times those
 * is exact. */
#define X_AND_R_BF16                                                                               \
    "  %%0 = input name=\"tokens\" : i32[T]\n"                                                     \
    "  %%1 = weight name=\"x\" : bf16[61,%d]\n"                                                    \
    "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"                                                    \
    "  %%3 = gated_activation(%%2) kind=\"relu\" dtype=\"bf16\" : bf16[T,%d]\n"                    \
    "  %%4 = weight name=\"r\" : bf16[61,%d]\n"                                                    \
    "  %%5 = embedding(%%0, %%4) : f32[T,%d]\n"                                                    \
    "  %%6 = gated_activation(%%5) kind=\"relu\" dtype=\"bf16\" : bf16[T,%d]\n"

static void set_ones(lab *l, int32_t id, int32_t columns) {
    uint16_t *table = l->weights[id];
    for (int32_t row = 0; row < N_TOKENS; row++)
        for (int32_t c = 0; c < columns; c++)
            table[row * 2 * columns + c] = tri_f32_to_bf16(1.0f);
}

static void check_bf16(
    const char *what, const char *body, int32_t columns, const expectation *expected) {
    lab l;
    lab_open(&l, body, (lab_limits){.tokens = MAX_TOKENS, .sequences = LAB_SLOTS});
    set_ones(&l, 1, columns);
    set_ones(&l, 4, columns);
    run_steps(&l, what, expected);
    lab_close(&l);
}

/* ---- norms ---- */

/* Half a unit of the largest element, which is some 5 times the root mean square. */
static const double one_rounding = 5 * 0x1p-24;

/* The sum of squares goes through 16 terms of a thread here, 5 halvings, and 32 warps, which is
 * less than chain_tolerance of a stretch's 16th allows; 3 units for rsqrt and the mean, two
 * products, whose largest is some 12 times the root mean square. */
static double norm_tolerance(int32_t stretch) {
    return chain_tolerance(stretch / 16) + 60 * 0x1p-24;
}

static void test_norms(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const struct {
        int32_t columns, stretch;
        const char *w;
    } shapes[] = {{1, 1, "f32"}, {33, 11, "bf16"}, {1000, 1000, "f16"}, {4096, 4096, "f32"},
        {640, 128, "bf16"}, {1023, 1023, "f32"}, {12292, 12292, "bf16"}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int c = shapes[s].columns, stretch = shapes[s].stretch;
        char body[1024], what[64];
        double tolerance = norm_tolerance(stretch);
        const expectation e[MOST] = {{11, tolerance, 0}, {12, one_rounding, 0}, {13, tolerance, 0},
            {14, 0, 11}, {16, 0, 13}};
        (void)snprintf(what, sizeof what, "norm of %d by %d", c, stretch);
        (void)snprintf(body, sizeof body,
            X_AND_R "  %%5 = weight name=\"w\" : %s[%d]\n"
                    "  %%11 = rms_norm(%%2, %%5) eps=0.001 : f32[T,%d]\n"
                    "  %%12, %%13 = add_rms_norm(%%2, %%4, %%5) eps=0.01 : f32[T,%d], f32[T,%d]\n"
                    "  %%14 = rms_norm(%%2, %%5) eps=0.001 dtype=\"bf16\" : bf16[T,%d]\n"
                    "  %%15, %%16 = add_rms_norm(%%2, %%4, %%5) eps=0.01 dtype=\"bf16\" : "
                    "f32[T,%d], bf16[T,%d]\n  output y = %%11\n",
            c, c, c, c, shapes[s].w, stretch, c, c, c, c, c, c);
        check(what, body, e);
    }
}

/* The norm is of the sum before it is rounded, in the interpreter too. */
static void test_norms_of_bf16(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const int32_t shapes[][2] = {{33, 33}, {576, 64}, {2048, 2048}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int c = shapes[s][0], stretch = shapes[s][1];
        char body[1024];
        const expectation e[MOST] = {{3, 0, 0}, {11, norm_tolerance(stretch), 0}, {12, 0, 0},
            {13, norm_tolerance(stretch), 0}};
        (void)snprintf(body, sizeof body,
            X_AND_R_BF16
            "  %%7 = weight name=\"w\" : f32[%d]\n"
            "  %%11 = rms_norm(%%3, %%7) eps=0.001 dtype=\"f32\" : f32[T,%d]\n"
            "  %%12, %%13 = add_rms_norm(%%3, %%6, %%7) eps=0.001 : bf16[T,%d], f32[T,%d]\n"
            "  output y = %%11\n",
            2 * c, 2 * c, c, 2 * c, 2 * c, c, stretch, c, c, c);
        check_bf16("norm of bf16", body, c, e);
    }
}

/* ---- element-wise ---- */

static void test_elements(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const struct {
        const char *text;
        double tolerance;
    } ops[] = {
        {"add(%2, %4)", 5 * 0x1p-24},
        {"mul(%2, %4)", 30 * 0x1p-24}, /* products reach further beyond their deviation */
        {"affine(%2) factor=0.7 offset=-3", 10 * 0x1p-24},
        /* tanh, erf and the exponential are good to 2 ulp, the division before adds one more */
        {"softcap(%2) cap=0.75", 8 * 0x1p-24},
        {"softcap(%2) cap=30", 30 * 0x1p-24},
        {"activation(%2)", 30 * 0x1p-24},
        {"activation(%2) kind=\"gelu\"", 30 * 0x1p-24},
        {"activation(%2) kind=\"gelu_tanh\"", 30 * 0x1p-24},
        {"activation(%2) kind=\"relu\"", 0},
    };
    static const int columns[] = {31, 576};
    for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++) {
        for (size_t c = 0; c < 2; c++) {
            char body[1024];
            int n = columns[c], at = snprintf(body, sizeof body, X_AND_R, n, n, n, n);
            (void)snprintf(body + at, sizeof body - (size_t)at,
                "  %%10 = %s : f32[T,%d]\n  output y = %%10\n", ops[o].text, n);
            check(ops[o].text, body, (expectation[MOST]){{10, ops[o].tolerance, 0}});
        }
    }
}

static void test_elements_of_bf16(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const int columns[] = {7, 576};
    for (size_t i = 0; i < 2; i++) {
        char body[1024];
        int c = columns[i];
        const expectation e[MOST] = {
            {7, 5 * 0x1p-24, 0}, {8, 30 * 0x1p-24, 0}, {9, 30 * 0x1p-24, 0}, {11, 0, 0}};
        (void)snprintf(body, sizeof body,
            X_AND_R_BF16 "  %%7 = add(%%3, %%6) : f32[T,%d]\n"
                         "  %%8 = mul(%%3, %%7) : f32[T,%d]\n"
                         "  %%9 = activation(%%3) : f32[T,%d]\n"
                         "  %%10 = input name=\"rows\" : i32[R]\n"
                         "  %%11 = select_rows(%%6, %%10) : bf16[R,%d]\n  output y = %%11\n",
            2 * c, 2 * c, c, 2 * c, 2 * c, c, c, c, c, c);
        check_bf16("elements of bf16", body, c, e);
    }
}

/* The gate's two halves are columns of one value, the sum meets views of others. */
static void test_gated_and_views(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const char *const kinds[] = {"silu", "gelu", "gelu_tanh", "relu"};
    static const int columns[] = {17, 1536};
    for (size_t k = 0; k < 4; k++) {
        for (size_t c = 0; c < 2; c++) {
            char body[1024];
            int n = columns[c], wide = 2 * n + 8;
            (void)snprintf(body, sizeof body,
                X_AND_R "  %%5 = columns(%%2) first=4 n=%d : f32[T,%d]\n"
                        "  %%10 = gated_activation(%%5) kind=\"%s\" : f32[T,%d]\n"
                        "  %%6 = columns(%%4) first=8 n=%d : f32[T,%d]\n"
                        "  %%11 = add(%%10, %%6) : f32[T,%d]\n"
                        "  %%12 = gated_activation(%%5) kind=\"%s\" dtype=\"bf16\" : bf16[T,%d]\n"
                        "  output y = %%11\n",
                wide, wide, wide, wide, 2 * n, 2 * n, kinds[k], n, n, n, n, kinds[k], n);
            /* |silu(x) y| of two normal numbers is up to 40 times its root mean square */
            const expectation e[MOST] = {
                {10, 100 * 0x1p-24, 0}, {11, 100 * 0x1p-24, 0}, {12, 0, 10}};
            check(kinds[k], body, e);
        }
    }
}

/* Infinities and NaN go where the arithmetic sends them. */
static void test_special_values(void **unused) {
    (void)unused;
    lab_require("cuda");
    lab l;
    machine m;
    char body[1024];
    (void)snprintf(body, sizeof body,
        X_AND_R "  %%10 = activation(%%2) kind=\"relu\" : f32[T,20]\n"
                "  %%11 = activation(%%10) : f32[T,20]\n  output y = %%11\n",
        20, 20, 20, 20);
    lab_open(&l, body, (lab_limits){0});
    static const float values[] = {INFINITY, -INFINITY, NAN, 200.0f, -200.0f};
    float *table = l.weights[1];
    for (int32_t row = 0; row < N_TOKENS; row++)
        memcpy(table + row * 20 + 3, values, sizeof values);
    lab_sequence sequence = {.n = 2, .context = 2};
    tri_step *step = lab_step(&l, &sequence, 1);
    machine_open(&m, &l, (lab_setup){.device = "cuda"});
    machine_run(&m, step);
    const float *relu = machine_row(&m, 10, 1), *silu = machine_row(&m, 11, 1);
    assert_true(relu[3] == INFINITY && relu[4] == 0.0f && isnan(relu[5]));
    assert_true(silu[3] == INFINITY && silu[4] == 0.0f && isnan(silu[5]));
    assert_true(silu[6] == 200.0f && silu[7] == 0.0f);
    machine_close(&m);
    free(step);
    lab_close(&l);
}

/* A prompt of thousands of tokens, and a step that asks for no rows. */
static void test_many_tokens(void **unused) {
    (void)unused;
    lab_require("cuda");
    enum { T = 9001, C = 96 };
    lab l;
    machine m;
    char body[1024];
    (void)snprintf(body, sizeof body,
        X_AND_R "  %%5 = weight name=\"w\" : f32[16]\n"
                "  %%6, %%7 = add_rms_norm(%%2, %%4, %%5) eps=0.001 : f32[T,96], f32[T,96]\n"
                "  %%8 = gated_activation(%%7) : f32[T,48]\n"
                "  %%9 = input name=\"rows\" : i32[R]\n"
                "  %%10 = select_rows(%%8, %%9) : f32[R,48]\n  output y = %%10\n",
        C, C, C, C);
    lab_open(&l, body, (lab_limits){.tokens = T});
    machine_open(&m, &l, (lab_setup){.device = "cuda"});
    lab_sequence sequences[] = {
        {.id = 0, .n = T - 1, .context = T - 1}, {.id = 1, .n = 1, .context = 3}};
    tri_step *step = lab_step(&l, sequences, 2);
    for (int32_t rows = 2; rows >= 0; rows -= 2) {
        step->n_rows = rows;
        lab_run(&l, step);
        machine_run(&m, step);
        expect_close(&m, 6, one_rounding, "sums of %d tokens", (int)T);
        expect_close(&m, 7, norm_tolerance(16), "norms of %d tokens", (int)T);
        /* silu's slope is up to 1.1: what the norm was off comes through, times the other half */
        if (rows) expect_close(&m, 10, 10 * norm_tolerance(16), "gates of %d tokens", (int)T);
    }
    machine_close(&m);
    free(step);
    lab_close(&l);
}

/* ---- embedding ---- */

static void check_table(const char *dtype, int columns, int first, const char *scales) {
    lab l;
    machine m;
    char body[1024];
    int32_t tokens[80];
    (void)snprintf(body, sizeof body,
        "  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"table\" : %s[37,%d]\n"
        "%s%s%s"
        "  %%3 = embedding(%%0, %%1%s) first=%d : f32[T,%d]\n  output y = %%3\n",
        dtype, columns, scales ? "  %2 = weight name=\"s\" : f32" : "", scales ? scales : "",
        scales ? "\n" : "", scales ? ", scales=%2" : "", first, columns);
    lab_open(&l, body, (lab_limits){.tokens = 80});
    for (int32_t t = 0; t < 80; t++)
        tokens[t] = t % 62 - 1; /* -1, the shard, and beyond it */
    machine_open(&m, &l, (lab_setup){.device = "cuda"});
    for (int32_t n = 1; n <= 80; n += 79) {
        lab_sequence sequence = {.n = n, .context = n, .tokens = tokens};
        tri_step *step = lab_step(&l, &sequence, 1);
        lab_run(&l, step);
        machine_run(&m, step);
        /* Exact but for one rounding of a scale's product. */
        expect_close(&m, 3, scales ? 5 * 0x1p-24 : 0, "%s[37,%d] first %d%s", dtype, columns, first,
            scales ? scales : "");
        free(step);
    }
    machine_close(&m);
    lab_close(&l);
}

static void test_tables(void **unused) {
    (void)unused;
    lab_require("cuda");
    check_table("f32", 4096, 0, NULL);
    check_table("f32", 67, 10, NULL);
    check_table("bf16", 1, 0, NULL);
    check_table("bf16", 68, 10, NULL);
    check_table("bf16", 67, 0, NULL);
    check_table("f16", 67, 10, NULL);
    check_table("f16", 60, 0, "[1]");
    check_table("i8", 30, 0, "[37]");
    check_table("i8", 40, 5, "[37,5]");
    check_table("i8", 30, 5, "[37,10]");
}

/* embedding.cu with what a first linear layer wants of its rows. */
static void test_embedding_parts(void **unused) {
    (void)unused;
    enum { T = 5, C = 580, V = 40, PARTS = 7 };
    static const int32_t tokens[T] = {0, 39, -1, 7, 40};
    static float x[T * C], parts[PARTS * TRI_CUDA_NORM_STRIDE];
    static uint16_t y16[T * C];
    gpu g;
    if (!gpu_open(&g)) skip();
    uint16_t *table = random_bf16(V * C, 2.0f, 1), *w = random_bf16(C, 1.0f, 2);
    uint64_t x_at = gpu_array(&g, NULL, sizeof x), y_at = gpu_array(&g, NULL, sizeof y16);
    uint64_t parts_at = gpu_array(&g, NULL, sizeof parts);
    const tri_cuda_embedding_arguments a = {.tokens = gpu_array(&g, tokens, sizeof tokens),
        .table = gpu_array(&g, table, V * C * 2),
        .w = gpu_array(&g, w, C * 2),
        .x = x_at,
        .y16 = y_at,
        .parts = parts_at,
        .table_stride = C * 2,
        .x_stride = C * 4,
        .n_rows = V};
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_embedding_program(C, PARTS, T, &program, &grid);
    tri_cuda_enqueue(&g.queue, gpu_function(&g, &program, 0), &grid, &a);
    gpu_read(&g, x, x_at, sizeof x);
    gpu_read(&g, y16, y_at, sizeof y16);
    gpu_read(&g, parts, parts_at, sizeof parts);
    for (int32_t t = 0; t < T; t++) {
        bool is_there = tokens[t] >= 0 && tokens[t] < V;
        double squares = 0, sum = 0;
        for (int32_t c = 0; c < C; c++) {
            float v = is_there ? tri_bf16_to_f32(table[tokens[t] * C + c]) : 0.0f;
            assert_true(x[t * C + c] == v);
            assert_int_equal(y16[t * C + c], tri_f32_to_bf16(v * tri_bf16_to_f32(w[c])));
            squares += (double)v * (double)v;
        }
        for (int32_t p = 0; p < PARTS; p++)
            sum += (double)parts[p * TRI_CUDA_NORM_STRIDE + t];
        assert_true(fabs(sum - squares) <= 1e-5 * squares);
    }
    free(table);
    free(w);
    gpu_clear(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_norms_of_bf16),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_elements_of_bf16),
        cmocka_unit_test(test_gated_and_views),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_many_tokens),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_embedding_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
