/* linear: every candidate against the interpreter; bits that may not depend on company. */
#include "unit/kernels/lab.h"

typedef struct shape {
    int64_t n, k;
    int32_t m;
} shape;

/* x: rows of a table by token, [T, K]. */
static void open_linear(lab *l, tri_dtype dtype, const char *activation, shape s,
    const char *scales, bool extras, lab_limits limits) {
    char body[1024], scale_line[128] = "";
    if (scales) {
        (void)snprintf(
            scale_line, sizeof scale_line, "  %%6 = weight name=\"s\" : f32%s\n", scales);
    }
    (void)snprintf(body, sizeof body,
        "  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"x\" : f32[61,%d]\n"
        "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"
        "  %%3 = weight name=\"w\" : %s[%d,%d]\n"
        "  %%4 = weight name=\"b\" : f32[%d]\n"
        "  %%5 = weight name=\"a\" : f32[61,%d]\n"
        "%s"
        "  %%7 = embedding(%%0, %%5) : f32[T,%d]\n"
        "  %%8 = linear(%%2, %%3%s%s) activation=\"%s\" : f32[T,%d]\n"
        "  output y = %%8\n",
        (int)s.k, (int)s.k, tri_dtype_name(dtype), (int)s.n, (int)s.k, (int)s.n, (int)s.n,
        scale_line, (int)s.n, extras ? ", bias=%4, accumulator=%7" : "",
        scales ? ", scales=%6" : "", activation, (int)s.n);
    lab_open(l, body, limits);
}

enum { W = 3, SCALES = 6, Y = 8, TOKENS = 600, FIRST_BF16_TILES = 16 };

/* Kernels of bf16 tiles take x and quantised weights rounded to bfloat16; of those for 8-bit
 * activations only many rows go there. */
static bool rounds_both(const char *kernel, tri_dtype dtype, int32_t m) {
    if (strcmp(kernel, "linear_panel16_i8_amx") == 0) return m >= FIRST_BF16_TILES;
    if (strcmp(kernel, "linear_panel16_i16_amx") == 0) return m >= FIRST_BF16_TILES;
    return strcmp(kernel, "linear_panel16_amx") == 0 && dtype != TRI_BF16;
}

/* 16-bit integers stand for x: of the largest of 32 normal numbers, some 2.1 deviations and at most
 * 4, a step is 1/32512, its error uniform in half of that to both sides.  A sum errs by as much of
 * its own deviation, the largest of thousands of sums by five times it. */
static double tolerance_of(const char *kernel, int64_t k, bool rounded) {
    double steps = strstr(kernel, "_i16_") && !rounded ? 5 * 4.0 / 32512 / sqrt(12.0) : 0.0;
    return chain_tolerance(k) + steps;
}

/* The same linear with x and w rounded to bfloat16, w with its scales but where there is only one a
 * row. */
static void open_rounded(lab *r, const lab *l, tri_dtype dtype, shape s, const char *scales,
    bool extras, lab_limits limits) {
    int64_t n_groups =
        scales && strchr(scales, ',') ? strtol(strchr(scales, ',') + 1, NULL, 10) : 1;
    if (scales && n_groups == 1) {
        open_linear(r, dtype, "bf16", s, scales, extras, limits);
        return;
    }
    open_linear(r, TRI_BF16, "bf16", s, NULL, extras, limits);
    int64_t row_bytes = tri_dtype_row_bytes(dtype, s.k);
    float *row = malloc((size_t)s.k * sizeof *row);
    assert_non_null(row);
    for (int64_t n = 0; n < s.n; n++) {
        tri_codec_decode(dtype, (const uint8_t *)l->weights[W] + n * row_bytes, row, s.k);
        for (int64_t k = 0; scales && k < s.k; k++) {
            row[k] *= ((const float *)l->weights[SCALES])[n * n_groups + k / (s.k / n_groups)];
        }
        tri_codec_encode(TRI_BF16, row, (uint8_t *)r->weights[W] + n * s.k * 2, s.k);
    }
    free(row);
    lab_interpret(r);
}

/* One step of `m` tokens. */
static tri_step *rows_step(const lab *l, int32_t m) {
    lab_sequence sequence = {.n = m, .context = m};
    return lab_step(l, &sequence, m > 0 ? 1 : 0);
}

static void check(
    tri_dtype dtype, const char *activation, shape s, const char *scales, bool extras) {
    lab l, rounded;
    const char *names[16];
    const lab_limits limits = {.tokens = TOKENS, .blocks = 1};
    open_linear(&l, dtype, activation, s, scales, extras, limits);
    open_rounded(&rounded, &l, dtype, s, scales, extras, limits);
    int32_t n = lab_candidates(&l, "linear", NULL, names);
    assert_true(n > 0);
    tri_step *step = rows_step(&l, s.m);
    lab_run(&l, step);
    lab_run(&rounded, step);
    for (int32_t i = 0; i < n; i++) {
        machine m;
        bool rounds = rounds_both(names[i], dtype, s.m);
        const lab *oracle = rounds ? &rounded : &l;
        machine_open(&m, &l,
            (lab_setup){
                .op = "linear", .kernel = names[i], .reuse_accumulator = extras && s.m % 2 == 0});
        machine_run(&m, step);
        expect_close_to(&m, Y, &oracle->reference[Y], tolerance_of(names[i], s.k, rounds),
            "%s %s activation %s [%d, %d] x [%d]%s", names[i], tri_dtype_name(dtype), activation,
            (int)s.n, (int)s.k, (int)s.m, scales ? scales : "");
        machine_close(&m);
    }
    free(step);
    lab_close(&l);
    lab_close(&rounded);
}

/* Tails of panels, tiles, K steps and row steps; one row, one column. */
static void test_floats(void **unused) {
    (void)unused;
    static const shape shapes[] = {{1, 1, 1}, {16, 8, 1}, {17, 33, 2}, {70, 31, 3}, {64, 257, 4},
        {5, 300, 5}, {80, 64, 6}, {33, 77, 7}, {40, 513, 13}, {48, 40, 193}, {50, 64, 17},
        {300, 96, 70}, {40, 1030, 100}, {34, 48, 530}};
    static const tri_dtype dtypes[] = {TRI_F32, TRI_BF16, TRI_F16};
    for (size_t d = 0; d < 3; d++) {
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            check(dtypes[d], i % 2 ? "bf16" : "f32", shapes[i], NULL, i % 3 == 1);
        }
        check(dtypes[d], "i8", (shape){35, 96, 9}, NULL, true);
    }
}

static void test_blocks(void **unused) {
    (void)unused;
    static const tri_dtype dtypes[] = {TRI_Q4_0, TRI_Q4_1, TRI_Q5_0, TRI_Q5_1, TRI_Q8_0, TRI_Q2_K,
        TRI_Q3_K, TRI_Q4_K, TRI_Q5_K, TRI_Q6_K, TRI_IQ4_NL, TRI_IQ4_XS, TRI_MXFP4};
    static const char *const activations[] = {"i8", "f32", "bf16"};
    static const int32_t rows[] = {1, 2, 3, 4, 5, 9, 50};
    for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
        int64_t k = tri_dtype_get(dtypes[d])->block_elems == 256 ? 768 : 288;
        for (size_t i = 0; i < 7; i++) {
            shape s = {i % 2 ? 37 : 48, k, rows[i]};
            check(dtypes[d], activations[i < 5 ? 0 : i - 4], s, NULL, i % 2);
            if (i < 2) check(dtypes[d], activations[1 + i], s, NULL, false);
        }
        check(dtypes[d], "i8", (shape){16, k, 200}, NULL, false);
        check(dtypes[d], "bf16", (shape){300, k, 33}, NULL, true);
        check(dtypes[d], "i8", (shape){40, k, 16}, NULL, true);
    }
}

static void test_scaled_integers(void **unused) {
    (void)unused;
    static const tri_dtype dtypes[] = {TRI_I8, TRI_I4};
    static const char *const activations[] = {"i8", "f32", "bf16"};
    for (size_t d = 0; d < 2; d++) {
        for (size_t a = 0; a < 3; a++) {
            check(dtypes[d], activations[a], (shape){37, 320, 1}, "[37]", false);
            check(dtypes[d], activations[a], (shape){37, 320, 7}, "[37,5]", true);
            check(dtypes[d], activations[a], (shape){20, 128, 3}, "[1]", true);
            check(dtypes[d], activations[a], (shape){16, 96, 5}, "[16,6]", false); /* by 16 */
        }
        check(dtypes[d], "i8", (shape){52, 640, 40}, "[52,5]", true);
        check(dtypes[d], "i8", (shape){52, 640, 40}, "[52]", true);
        check(dtypes[d], "bf16", (shape){52, 640, 40}, "[52,5]", true);
        check(dtypes[d], "bf16", (shape){52, 1062, 40}, "[52]", true);
        check(dtypes[d], "f32", (shape){19, 42, 2}, "[19,3]", false); /* by 14: half quads */
    }
    check(TRI_I8, "f32", (shape){19, 45, 3}, "[19]", true);
}

/* ---- bits ---- */

static void copy_row(const machine *m, int64_t row, float *out, int64_t n) {
    memcpy(out, machine_row(m, Y, row), (size_t)n * sizeof *out);
}

/* How results may depend on M: kernels that hand over to others have a first M of theirs. */
static int32_t ways(const char *kernel, int32_t m) {
    bool hands_over = strcmp(kernel, "linear_panel16_i8_amx") == 0 ||
                      strcmp(kernel, "linear_panel16_i16_amx") == 0;
    return hands_over && m >= FIRST_BF16_TILES;
}

/* Row of token 7 alone, on one thread; then among others, anywhere, on more threads. */
static void check_bits(tri_dtype dtype, const char *activation, int64_t k, const char *scales) {
    enum { N = 84, MAX = 70 };
    lab l;
    const char *names[16];
    open_linear(&l, dtype, activation, (shape){N, k, 0}, scales, true, (lab_limits){.tokens = MAX});
    int32_t n = lab_candidates(&l, "linear", NULL, names);
    for (int32_t i = 0; i < n; i++) {
        float alone[2][N], among[N];
        bool seen[2] = {false, false};
        for (int32_t n_threads = 1; n_threads <= 3; n_threads++) {
            static const int32_t rows[] = {1, 2, 3, 4, 5, 6, 7, 11, 16, 33, 64, MAX};
            machine m;
            machine_open(
                &m, &l, (lab_setup){.op = "linear", .kernel = names[i], .n_threads = n_threads});
            for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
                int32_t tokens[MAX], at = rows[j] * 2 / 3;
                for (int32_t t = 0; t < rows[j]; t++)
                    tokens[t] = (t * 11 + rows[j]) % 60;
                tokens[at] = 7;
                lab_sequence sequence = {.n = rows[j], .context = rows[j], .tokens = tokens};
                tri_step *step = lab_step(&l, &sequence, 1);
                machine_run(&m, step);
                free(step);
                int32_t way = ways(names[i], rows[j]);
                copy_row(&m, at, seen[way] ? among : alone[way], N);
                bool same = !seen[way] || memcmp(alone[way], among, sizeof among) == 0;
                seen[way] = true;
                if (!same) {
                    fail_msg("%s %s activation %s: row %d of %d on %d threads has other bits",
                        names[i], tri_dtype_name(dtype), activation, (int)at, (int)rows[j],
                        (int)n_threads);
                }
            }
            machine_close(&m);
        }
    }
    lab_close(&l);
}

static void test_company_changes_nothing(void **unused) {
    (void)unused;
    check_bits(TRI_F32, "f32", 300, NULL);
    check_bits(TRI_BF16, "bf16", 301, NULL);
    check_bits(TRI_F16, "f32", 300, NULL);
    check_bits(TRI_Q4_0, "i8", 320, NULL);
    check_bits(TRI_Q4_1, "i8", 320, NULL);
    check_bits(TRI_Q8_0, "i8", 320, NULL);
    check_bits(TRI_Q8_0, "bf16", 320, NULL);
    check_bits(TRI_Q6_K, "i8", 512, NULL);
    check_bits(TRI_Q4_K, "i8", 512, NULL);
    check_bits(TRI_Q5_K, "bf16", 512, NULL);
    check_bits(TRI_Q5_1, "i8", 320, NULL);
    check_bits(TRI_I8, "i8", 320, "[84]");
    check_bits(TRI_I4, "i8", 320, "[84,5]");
    check_bits(TRI_I8, "bf16", 320, "[84]");
    check_bits(TRI_I4, "bf16", 320, "[84,5]");
    check_bits(TRI_BF16, "bf16", 1100, NULL);
}

/* The same numerics id means the same bits, whatever the instruction set. */
static void test_equal_ids_have_equal_bits(void **unused) {
    (void)unused;
    static const struct {
        tri_dtype dtype;
        const char *activation, *scales;
    } cases[] = {{TRI_F32, "f32", NULL}, {TRI_BF16, "bf16", NULL}, {TRI_Q4_1, "i8", NULL},
        {TRI_Q4_0, "i8", NULL}, {TRI_Q8_0, "i8", NULL}, {TRI_Q8_0, "bf16", NULL},
        {TRI_Q5_0, "i8", NULL}, {TRI_Q5_1, "i8", NULL}, {TRI_Q4_K, "i8", NULL},
        {TRI_Q5_K, "i8", NULL}, {TRI_Q6_K, "i8", NULL}, {TRI_Q6_K, "f32", NULL},
        {TRI_I4, "i8", "[40,3]"}, {TRI_I8, "i8", "[40]"}, {TRI_I8, "f32", "[40]"}};
    enum { N = 40, M = 9 };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        lab l;
        const char *names[16];
        int64_t k = tri_dtype_get(cases[c].dtype)->block_elems == 256 ? 768 : 96;
        open_linear(&l, cases[c].dtype, cases[c].activation, (shape){N, k, M}, cases[c].scales,
            true, (lab_limits){.tokens = M});
        int32_t n = lab_candidates(&l, "linear", NULL, names);
        tri_step *step = rows_step(&l, M);
        float results[16][M * N];
        for (int32_t i = 0; i < n; i++) {
            machine m;
            machine_open(&m, &l, (lab_setup){.op = "linear", .kernel = names[i]});
            machine_run(&m, step);
            for (int64_t r = 0; r < M; r++)
                copy_row(&m, r, results[i] + r * N, N);
            machine_close(&m);
            for (int32_t j = 0; j < i; j++) {
                const char *a = tri_kernels_find(l.kernels, names[i])->numerics;
                const char *b = tri_kernels_find(l.kernels, names[j])->numerics;
                bool same = memcmp(results[i], results[j], sizeof results[i]) == 0;
                if (strcmp(a, b) == 0 && !same) {
                    fail_msg("%s: %s and %s promise %s, their bits differ",
                        tri_dtype_name(cases[c].dtype), names[i], names[j], a);
                }
            }
        }
        free(step);
        lab_close(&l);
    }
}

/* No rows, no work, no harm. */
static void test_empty_step(void **unused) {
    (void)unused;
    lab l;
    open_linear(&l, TRI_F32, "f32", (shape){20, 40, 0}, NULL, true, (lab_limits){0});
    machine m;
    machine_open(&m, &l, (lab_setup){0});
    tri_step *step = rows_step(&l, 0);
    machine_run(&m, step);
    free(step);
    machine_close(&m);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_scaled_integers),
        cmocka_unit_test(test_company_changes_nothing),
        cmocka_unit_test(test_equal_ids_have_equal_bits),
        cmocka_unit_test(test_empty_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
