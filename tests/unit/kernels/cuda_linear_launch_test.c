/* linear's candidates on CUDA against the interpreter: dtypes, scales, edges of N, K and rows,
 * bias, accumulator in place, both result dtypes; and bits that may not depend on company.
 *
 * x is the input `logits`, [R, K] float32.  bf16 x, and accumulators, are made of it by a linear
 * whose rows of w have a single one: exact, so that interpreter and device start from equal
 * numbers. */
#include "unit/kernels/lab.h"

enum { MAX_ROWS = 200, SOURCE = 64 }; /* columns of logits where x is made of them */

typedef struct request {
    tri_dtype weight;
    const char *activation;
    int32_t n, k;
    const char *scales; /* type, or NULL */
    const char *gate;   /* or NULL; n: rows of w, twice those of y */
    bool bf16_x, bias, add, bf16_out;
} request;

static int32_t source_columns(const request *r) {
    return r->bf16_x ? SOURCE : r->k;
}

static int32_t y_columns(const request *r) {
    return r->gate ? r->n / 2 : r->n;
}

static int32_t y_id;

/* Rows of a single one, in columns that differ from row to row. */
static void fill_choices(lab *l, const char *name, int64_t rows, int64_t columns, int64_t step) {
    const void *data = NULL;
    assert_ok(lab_weight(l, name, &data, err));
    uint16_t *w = (uint16_t *)(uintptr_t)data;
    memset(w, 0, (size_t)(rows * columns) * sizeof *w);
    for (int64_t i = 0; i < rows; i++)
        w[i * columns + (i * step + i / columns) % columns] = tri_f32_to_bf16(1.0f);
}

static void open_request(lab *l, const request *r) {
    char body[2048];
    int32_t n = 0, source = source_columns(r), id = 1, x = 0, w, bias = -1, a = -1, scales = -1;
    int32_t columns = y_columns(r);
#define LINE(...) n += snprintf(body + n, sizeof body - (size_t)n, __VA_ARGS__)
    LINE("  %%0 = input name=\"logits\" : f32[R,%d]\n", source);
    if (r->bf16_x) {
        LINE("  %%%d = weight name=\"choose_x\" : bf16[%d,%d]\n", id, r->k, source);
        LINE("  %%%d = linear(%%0, %%%d) activation=\"bf16\" dtype=\"bf16\" : bf16[R,%d]\n", id + 1,
            id, r->k);
        x = id + 1;
        id += 2;
    }
    if (r->add) {
        LINE("  %%%d = weight name=\"choose_a\" : bf16[%d,%d]\n", id, r->n, source);
        LINE("  %%%d = linear(%%0, %%%d) activation=\"bf16\" : f32[R,%d]\n", id + 1, id, r->n);
        a = id + 1;
        id += 2;
    }
    w = id++;
    LINE("  %%%d = weight name=\"w\" : %s[%d,%d]\n", w, tri_dtype_name(r->weight), r->n, r->k);
    if (r->bias) {
        bias = id++;
        LINE("  %%%d = weight name=\"b\" : f32[%d]\n", bias, r->n);
    }
    if (r->scales) {
        scales = id++;
        LINE("  %%%d = weight name=\"s\" : f32%s\n", scales, r->scales);
    }
    y_id = id;
    LINE("  %%%d = linear(%%%d, %%%d", y_id, x, w);
    if (r->bias) LINE(", bias=%%%d", bias);
    if (r->add) LINE(", accumulator=%%%d", a);
    if (r->scales) LINE(", scales=%%%d", scales);
    LINE(") activation=\"%s\"", r->activation);
    if (r->bf16_out) LINE(" dtype=\"bf16\"");
    if (r->gate) LINE(" gate=\"%s\"", r->gate);
    LINE(" : %s[R,%d]\n  output y = %%%d\n", r->bf16_out ? "bf16" : "f32", columns, y_id);
#undef LINE
    lab_open(l, body,
        (lab_limits){.tokens = MAX_ROWS, .sequences = MAX_ROWS, .rows = MAX_ROWS, .blocks = 1});
    if (r->bf16_x) fill_choices(l, "choose_x", r->k, source, 5);
    if (r->add) fill_choices(l, "choose_a", r->n, source, 7);
}

static tri_step *rows_step(const lab *l, int32_t m) {
    lab_sequence sequences[MAX_ROWS];
    for (int32_t i = 0; i < m; i++)
        sequences[i] = (lab_sequence){.id = i % LAB_SLOTS, .n = 1, .context = 1};
    return lab_step(l, sequences, m);
}

/* Products are exact or rounded once; tensor cores add cut off at 2^-23 of the sum so far, once for
 * each 16 columns, and chains round less.  The largest of some thousand results, and of the sums on
 * the way, is about 4.5 times their root mean square.  bf16: a sum on the other side of a middle is
 * a whole unit away, 2^-7 of it.  A gate multiplies two such sums, some tens in size here, while
 * half of the products are next to nothing: against their root mean square the errors of both
 * factors count, each times the other's largest value. */
enum { GATED = 8 };
static double tolerance(const request *r) {
    if (r->bf16_out) return 6 * 0x1p-7;
    return (16.0 + r->k / 16.0) * 0x1p-21 * (r->gate ? GATED : 1);
}

static void fill_logits(float *logits, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        logits[i] = lab_random(99, i);
}

static const int32_t row_counts[] = {1, 2, 7, 8, 9, 16, 17, 33, 64, 65, 200};

static void check_kernel(
    lab *l, const request *r, const char *kernel, const int32_t *counts, int32_t n_counts) {
    for (int32_t in_place = 0; in_place <= (r->add && !r->bf16_out); in_place++) {
        machine m;
        machine_open(&m, l,
            (lab_setup){.device = "cuda",
                .op = "linear",
                .kernel = kernel,
                .reuse_accumulator = in_place != 0});
        for (int32_t i = 0; i < n_counts; i++) {
            tri_step *step = rows_step(l, counts[i]);
            lab_run(l, step);
            machine_run(&m, step);
            expect_close(&m, y_id, tolerance(r), "%s %s activation %s [%d, %d]%s%s%s%s of %d rows",
                kernel, tri_dtype_name(r->weight), r->activation, (int)r->n, (int)r->k,
                r->bf16_x ? " bf16 x" : "", r->bias ? " bias" : "", r->add ? " add" : "",
                r->bf16_out ? " bf16 out" : "", (int)counts[i]);
            free(step);
        }
        machine_close(&m);
    }
}

static void check(const char *kernel, const request *r) {
    lab l;
    static float logits[MAX_ROWS * 1600];
    assert_true(r->k <= 1600);
    fill_logits(logits, MAX_ROWS * 1600);
    open_request(&l, r);
    l.logits = logits;
    check_kernel(&l, r, kernel, row_counts, sizeof row_counts / sizeof row_counts[0]);
    lab_close(&l);
}

#define REQUEST(dtype, activation_, n_, k_, ...)                                                   \
    { .weight = (dtype), .activation = (activation_), .n = (n_), .k = (k_), __VA_ARGS__ }
#define CHECK(kernel, ...) check(kernel, &(const request)REQUEST(__VA_ARGS__))

static void test_stream(void **unused) {
    (void)unused;
    lab_require("cuda");
    CHECK("linear_stream", TRI_BF16, "bf16", 201, 1000, .bf16_x = true);
    CHECK("linear_stream", TRI_BF16, "bf16", 96, 576, .bf16_out = true, .bias = true);
    CHECK("linear_stream", TRI_BF16, "bf16", 136, 264, .bf16_x = true, .add = true);
    CHECK("linear_stream", TRI_BF16, "bf16", 77, 1544, .add = true, .bias = true);
}

static void test_stream_scaled(void **unused) {
    (void)unused;
    lab_require("cuda");
    CHECK("linear_stream", TRI_F8_E4M3, "bf16", 131, 1040, .scales = "[131]", .bf16_x = true,
        .bias = true);
    CHECK("linear_stream", TRI_F8_E4M3, "bf16", 64, 512, .scales = "[1]", .bf16_out = true);
    CHECK("linear_stream", TRI_BF16, "bf16", 40, 256, .scales = "[40]", .bf16_x = true);
}

static void test_gates(void **unused) {
    (void)unused;
    lab_require("cuda");
    CHECK("linear_stream", TRI_BF16, "bf16", 400, 256, .gate = "silu", .bf16_x = true);
    CHECK("linear_stream", TRI_BF16, "bf16", 146, 576, .gate = "gelu_tanh", .bias = true);
    CHECK("linear_stream", TRI_F8_E4M3, "bf16", 96, 512, .scales = "[96]", .gate = "gelu",
        .bf16_x = true, .bf16_out = true);
    CHECK("linear_plain", TRI_F32, "f32", 70, 301, .gate = "relu", .bias = true);
    CHECK("linear_plain", TRI_I4, "bf16", 140, 256, .scales = "[140,2]", .gate = "silu",
        .bf16_out = true);
}

static void test_plain_floats(void **unused) {
    (void)unused;
    lab_require("cuda");
    CHECK("linear_plain", TRI_F32, "f32", 201, 576, .bias = false);
    CHECK("linear_plain", TRI_F32, "bf16", 7, 33, .bias = true, .bf16_out = true);
    CHECK("linear_plain", TRI_BF16, "f32", 70, 301, .add = true);
    CHECK("linear_plain", TRI_BF16, "bf16", 130, 301, .bias = true, .add = true);
    CHECK("linear_plain", TRI_BF16, "bf16", 65, 576, .bf16_x = true, .bf16_out = true);
    CHECK("linear_plain", TRI_F16, "bf16", 67, 264, .bf16_x = true, .bias = true);
    CHECK("linear_plain", TRI_F16, "f32", 129, 43, .bias = false);
    CHECK("linear_plain", TRI_F16, "bf16", 64, 43, .add = true, .bf16_out = true);
    CHECK("linear_plain", TRI_BF16, "bf16", 1, 1, .bias = false);
}

static void test_plain_integers(void **unused) {
    (void)unused;
    lab_require("cuda");
    CHECK("linear_plain", TRI_I8, "bf16", 131, 320, .scales = "[131]", .bf16_x = true);
    CHECK("linear_plain", TRI_I8, "bf16", 37, 320, .scales = "[37,5]", .add = true);
    CHECK("linear_plain", TRI_I8, "f32", 20, 45, .scales = "[20,3]", .bias = true);
    CHECK("linear_plain", TRI_I8, "bf16", 33, 45, .scales = "[1]");
    CHECK("linear_plain", TRI_I4, "bf16", 140, 512, .scales = "[140,4]", .bf16_x = true,
        .bias = true);
    CHECK("linear_plain", TRI_I4, "bf16", 37, 320, .scales = "[37,10]", .bf16_out = true);
    CHECK("linear_plain", TRI_I4, "bf16", 19, 42, .scales = "[19,3]");
    CHECK("linear_plain", TRI_I4, "f32", 16, 96, .scales = "[16]");
    CHECK("linear_plain", TRI_F8_E4M3, "bf16", 70, 200, .scales = "[70]", .bf16_x = true);
    CHECK("linear_plain", TRI_F8_E4M3, "f32", 70, 201, .bias = false);
}

/* ---- deferred norms ---- */

/* linear_norm over a residual, then a linear that divides.  To 32 rows what is rounded to bf16 is
 * the same on both sides, but for sums beside a middle: one in some thousand elements of y is 2^-8
 * off.  Beyond, the device divides before it rounds: 2^-9 a side at random, 4.5 deviations. */
static void check_deferred(tri_dtype weight, const char *scales, int32_t n, int32_t k) {
    enum { SUM = 9, Y = 12, READERS = 72 };
    char body[2048];
    lab l;
    static float logits[MAX_ROWS * SOURCE];
    (void)snprintf(body, sizeof body,
        "  %%0 = input name=\"logits\" : f32[R,64]\n"
        "  %%1 = weight name=\"choose_x\" : bf16[%d,64]\n"
        "  %%2 = linear(%%0, %%1) activation=\"bf16\" dtype=\"bf16\" : bf16[R,%d]\n"
        "  %%3 = weight name=\"choose_a\" : bf16[%d,64]\n"
        "  %%4 = linear(%%0, %%3) activation=\"bf16\" : f32[R,%d]\n"
        "  %%5 = weight name=\"w\" : %s[%d,%d]\n  %%6 = weight name=\"n\" : f32[%d]\n"
        "  %%7 = weight name=\"v\" : bf16[%d,%d]\n  %%8 = weight name=\"s\" : f32[%d]\n"
        "  %%9, %%10, %%11 = linear_norm(%%2, %%5, accumulator=%%4%s, norm=%%6) "
        "activation=\"bf16\" "
        "eps=0.01 n_parts=132 : f32[R,%d], bf16[R,%d], f32[R,132]\n"
        "  %%12 = linear(%%10, %%7, parts=%%11) activation=\"bf16\" eps=0.01 : f32[R,%d]\n"
        "  output y = %%12\n  output sum = %%9\n  output s = %%8\n",
        k, k, n, n, tri_dtype_name(weight), n, k, n, READERS, n, n, scales, n, n, READERS);
    char *unused_scales = strstr(body, "  output s");
    if (unused_scales) *unused_scales = 0;
    lab_open(&l, body,
        (lab_limits){.tokens = MAX_ROWS, .sequences = MAX_ROWS, .rows = MAX_ROWS, .blocks = 1});
    fill_choices(&l, "choose_x", k, SOURCE, 5);
    fill_choices(&l, "choose_a", n, SOURCE, 7);
    fill_logits(logits, MAX_ROWS * SOURCE);
    l.logits = logits;
    const request sums = {.weight = weight, .k = k};
    machine m;
    machine_open(&m, &l, (lab_setup){.device = "cuda", .n_runs = 3});
    for (size_t i = 0; i < sizeof row_counts / sizeof row_counts[0]; i++) {
        tri_step *step = rows_step(&l, row_counts[i]);
        lab_run(&l, step);
        machine_run(&m, step);
        expect_close(&m, SUM, tolerance(&sums), "sum of %d rows", (int)row_counts[i]);
        expect_close(&m, Y, row_counts[i] <= 32 ? 2e-3 : 1.2e-2, "%s [%d, %d], %d rows after",
            tri_dtype_name(weight), (int)n, (int)k, (int)row_counts[i]);
        free(step);
    }
    machine_close(&m);
    lab_close(&l);
}

static void test_deferred_norms(void **unused) {
    (void)unused;
    lab_require("cuda");
    check_deferred(TRI_BF16, "", 576, 264);
    check_deferred(TRI_BF16, "", 1000, 512);
    check_deferred(TRI_F8_E4M3, ", scales=%8", 200, 272);
}

/* ---- bits ---- */

/* One row's bits, alone among counts[0] rows of other contents and elsewhere among the others. */
static void check_bits(
    const char *kernel, const request *r, const int32_t *counts, int32_t n_counts) {
    lab l;
    machine m;
    int32_t k = source_columns(r);
    float *logits = malloc((size_t)(MAX_ROWS * k) * sizeof *logits);
    float *first = malloc((size_t)y_columns(r) * sizeof *first);
    open_request(&l, r);
    l.logits = logits;
    machine_open(&m, &l, (lab_setup){.device = "cuda", .op = "linear", .kernel = kernel});
    for (int32_t i = 0; i < n_counts; i++) {
        int32_t at = counts[i] * 2 / 3;
        for (int64_t j = 0; j < (int64_t)counts[i] * k; j++)
            logits[j] = lab_random(7 + (uint64_t)i, j);
        for (int32_t j = 0; j < k; j++)
            logits[at * k + j] = lab_random(5, j);
        tri_step *step = rows_step(&l, counts[i]);
        machine_run(&m, step);
        free(step);
        if (i == 0) {
            memcpy(first, machine_row(&m, y_id, at), (size_t)y_columns(r) * sizeof *first);
        } else if (memcmp(first, machine_row(&m, y_id, at), (size_t)y_columns(r) * sizeof *first) !=
                   0) {
            fail_msg("%s %s: row %d of %d has other bits than among %d", kernel,
                tri_dtype_name(r->weight), (int)at, (int)counts[i], (int)counts[0]);
        }
    }
    machine_close(&m);
    lab_close(&l);
    free(first);
    free(logits);
}

static void test_company_changes_nothing(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const int32_t few[] = {1, 2, 5, 8, 9, 16, 30, 32}, many[] = {33, 64, 65, 128, 200};
    static const int32_t bucket[] = {65, 70, 96}; /* of cuBLASLt's */
    const request stream = REQUEST(TRI_BF16, "bf16", 201, 1000, .bf16_x = true);
    check_bits("linear_stream", &stream, few, 8);
    check_bits("linear_stream", &stream, bucket, 3);
    const request f32 = REQUEST(TRI_F32, "f32", 201, 1000, .bias = false);
    check_bits("linear_plain", &f32, few, 8);
    check_bits("linear_plain", &f32, many, 5);
    const request gated = REQUEST(
        TRI_BF16, "bf16", 400, 520, .gate = "silu", .bf16_x = true, .bias = true, .bf16_out = true);
    check_bits("linear_stream", &gated, few, 8);
    check_bits("linear_stream", &gated, bucket, 3);
    const request i4 = REQUEST(TRI_I4, "bf16", 201, 1024, .scales = "[201,8]");
    check_bits("linear_plain", &i4, few, 8);
    check_bits("linear_plain", &i4, many, 5);
}

/* A step seen a third time is a graph's replay; the result is the same. */
static void test_graph(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const int32_t counts[] = {5, 100};
    static float logits[MAX_ROWS * SOURCE];
    const request r =
        REQUEST(TRI_BF16, "bf16", 150, 520, .bf16_x = true, .bias = true, .bf16_out = true);
    lab l;
    machine m;
    fill_logits(logits, MAX_ROWS * SOURCE);
    open_request(&l, &r);
    l.logits = logits;
    machine_open(&m, &l,
        (lab_setup){.device = "cuda", .n_runs = 4, .op = "linear", .kernel = "linear_stream"});
    for (int32_t i = 0; i < 2; i++) {
        tri_step *step = rows_step(&l, counts[i]);
        lab_run(&l, step);
        machine_run(&m, step);
        expect_close(&m, y_id, tolerance(&r), "graph of %d rows", (int)counts[i]);
        free(step);
    }
    machine_close(&m);
    lab_close(&l);
}

/* ---- without a GPU ---- */

/* What the tests above start from: x and accumulators are chosen columns of logits, exactly. */
static void test_choices(void **unused) {
    (void)unused;
    static float logits[MAX_ROWS * SOURCE];
    const request r = REQUEST(TRI_I8, "bf16", 90, 128, .scales = "[90,4]", .bf16_x = true,
        .bias = true, .add = true, .bf16_out = true);
    lab l;
    fill_logits(logits, MAX_ROWS * SOURCE);
    open_request(&l, &r);
    l.logits = logits;
    tri_step *step = rows_step(&l, 3);
    lab_run(&l, step);
    const lab_value *x = &l.reference[2], *a = &l.reference[4];
    assert_int_equal(x->rows * x->columns, 3 * 128);
    assert_int_equal(a->rows * a->columns, 3 * 90);
    for (int32_t i = 0; i < 3 * 128; i++) {
        int32_t k = i % 128;
        float due = logits[i / 128 * SOURCE + (k * 5 + k / SOURCE) % SOURCE];
        assert_true(x->f[i] == tri_bf16_to_f32(tri_f32_to_bf16(due)));
    }
    assert_int_equal(l.reference[y_id].columns, 90);
    free(step);
    lab_close(&l);
}

static const tri_plugin_kernel *find(const tri_kernels *kernels, const char *name) {
    const tri_plugin_kernel *kernel = tri_kernels_find(kernels, name);
    assert_non_null(kernel);
    return kernel;
}

/* What each candidate says of a request; "" when it takes it. */
static void expect_reason(
    const tri_kernels *kernels, const char *name, const tri_plugin_desc *desc, const char *due) {
    char reason[160] = "";
    bool refused = find(kernels, name)->supports(desc, reason, sizeof reason) != 0;
    assert_int_equal(refused, due[0] != 0);
    if (refused && !strstr(reason, due)) fail_msg("%s: \"%s\" lacks \"%s\"", name, reason, due);
}

static void test_reasons(void **unused) {
    (void)unused;
    tri_kernels *kernels = NULL;
    assert_ok(tri_kernels_create(&kernels, err));
    tri_plugin_device device = {
        .struct_size = sizeof device, .kind = "cuda", .arch = "sm_90a", .n_threads = 132};
    tri_plugin_type in[5] = {{TRI_BF16, 2, {TRI_DIM_T, 4096}, "row", false},
        {TRI_BF16, 2, {6144, 4096}, "row", true}, {.n_dims = -1}, {.n_dims = -1}, {.n_dims = -1}};
    tri_plugin_type out = {TRI_F32, 2, {TRI_DIM_T, 6144}, "row", false};
    tri_plugin_field fields[] = {{.name = "activation", .kind = 2, .s = "bf16"}};
    tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = "linear",
        .n_inputs = 5,
        .n_outputs = 1,
        .n_fields = 1,
        .inputs = in,
        .outputs = &out,
        .fields = fields,
        .device = &device,
        .max_tokens = 8192,
        .max_sequences = 256,
        .max_rows = 256};
    expect_reason(kernels, "linear_stream", &desc, "");
    expect_reason(kernels, "linear_plain", &desc, "");
    device.arch = "sm_80";
    expect_reason(kernels, "linear_stream", &desc, "sm_90a");
    device.arch = "sm_90a";
    in[0].dims[1] = in[1].dims[1] = 4092;
    expect_reason(kernels, "linear_stream", &desc, "aligned");
    expect_reason(kernels, "linear_plain", &desc, "");
    in[0].dims[1] = in[1].dims[1] = 4096;
    in[1].dtype = TRI_F16;
    expect_reason(kernels, "linear_stream", &desc, "bf16 or e4m3");
    in[1].dtype = TRI_Q4_0;
    expect_reason(kernels, "linear_plain", &desc, "q4_0 weights cannot be read");
    in[1].dtype = TRI_I8;
    expect_reason(kernels, "linear_plain", &desc, "need scales");
    in[4] = (tri_plugin_type){TRI_F32, 2, {6144, 32}, "row", true};
    expect_reason(kernels, "linear_plain", &desc, "");
    in[1].dtype = TRI_F8_E4M3;
    expect_reason(kernels, "linear_stream", &desc, "groups");
    fields[0].s = "i8";
    expect_reason(kernels, "linear_plain", &desc, "i8 activations");
    fields[0].s = "f32";
    in[0].dtype = TRI_F32;
    expect_reason(kernels, "linear_stream", &desc, "f32 activations");
    tri_kernels_destroy(kernels);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_scaled),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_deferred_norms),
        cmocka_unit_test(test_plain_floats),
        cmocka_unit_test(test_plain_integers),
        cmocka_unit_test(test_company_changes_nothing),
        cmocka_unit_test(test_graph),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
