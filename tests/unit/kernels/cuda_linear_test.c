/* linear_stream.cu against float64: all roles of its arguments, ragged N and K, any M to 64; and
 * that a token's bits do not depend on the rows beside it. */
#include "unit/kernels/cuda_gpu.h"

#include "kernels/cuda/linear.h"

static gpu g;
static bool have_gpu;

/* Operands are bf16 or e4m3, so products are exact; the tensor cores add with at least 23 bits, cut
 * off, over K / 16 steps: far below 2e-5 of the norm for K to 4104.  One rounding to bf16 (8 bits)
 * errs by 2^-8 of a value at most, evenly spread: 2^-8 / sqrt(3) of the norm at most. */
static const double float_tolerance = 2e-5, bf16_tolerance = 2.26e-3;

typedef struct operands {
    int64_t n, k, w_rows;
    int32_t m;
    uint16_t *x;
    float *next;
    uint8_t *w8;
    uint16_t *w16;
    float *w, *r, *scale, *norm;
    uint64_t x_at, w_at, r_at, scale_at, norm_at, next_at;
} operands;

static void make_operands(operands *o, const tri_cuda_linear_desc *d, int32_t m) {
    *o = (operands){.n = d->n, .k = d->k, .w_rows = d->gate ? 2 * d->n : d->n, .m = m};
    int64_t n_w = o->w_rows * o->k;
    float *source = random_f32(n_w, 0.05f, 1);
    o->w = malloc((size_t)n_w * sizeof *o->w);
    o->w8 = malloc((size_t)n_w * 2);
    tri_dtype dtype = (tri_dtype)d->weight_dtype;
    tri_codec_encode(dtype, source, o->w8, n_w);
    tri_codec_decode(dtype, o->w8, o->w, n_w);
    o->x = random_bf16(m * o->k, 1.0f, 2);
    o->r = random_f32(m * o->n, 1.0f, 3);
    o->scale = random_f32(o->w_rows, 0.3f, 4);
    o->next = random_f32(o->n, 1.0f, 5);
    o->norm = calloc(3 * TRI_CUDA_NORM_STRIDE, sizeof *o->norm);
    for (int32_t i = 0; i < 3 * TRI_CUDA_NORM_STRIDE; i++)
        o->norm[i] = 10.0f + (float)i;
    o->x_at = gpu_array(&g, o->x, m * o->k * 2);
    o->w_at = gpu_array(&g, o->w8, n_w * (dtype == TRI_BF16 ? 2 : 1));
    o->r_at = gpu_array(&g, o->r, m * o->n * 4);
    o->scale_at = gpu_array(&g, o->scale, o->w_rows * 4);
    o->norm_at = gpu_array(&g, o->norm, 3 * TRI_CUDA_NORM_STRIDE * 4);
    o->next_at = gpu_array(&g, o->next, o->n * 4);
    free(source);
}

static void free_operands(operands *o) {
    free(o->w);
    free(o->w8);
    free(o->x);
    free(o->r);
    free(o->scale);
    free(o->next);
    free(o->norm);
    gpu_clear(&g);
}

static double dot(const operands *o, int64_t row, int32_t m) {
    double sum = 0;
    for (int64_t k = 0; k < o->k; k++)
        sum += (double)o->w[row * o->k + k] * (double)tri_bf16_to_f32(o->x[m * o->k + k]);
    return sum;
}

static double reference(const operands *o, const tri_cuda_linear_desc *d, int64_t n, int32_t m) {
    double sum = dot(o, n, m), up = d->gate ? dot(o, o->n + n, m) : 0, rms = 1;
    if (d->scaled) {
        sum *= (double)o->scale[n];
        if (d->gate) up *= (double)o->scale[o->n + n];
    }
    if (d->norm_in) {
        double squares = 0;
        for (int32_t p = 0; p < 3; p++)
            squares += (double)o->norm[p * TRI_CUDA_NORM_STRIDE + m];
        rms = 1 / sqrt(squares / (double)o->k + 0.125);
    }
    sum *= rms;
    up *= rms;
    if (d->gate) sum = sum / (1 + exp(-sum)) * up;
    return d->add ? sum + (double)o->r[m * o->n + n] : sum;
}

typedef struct results {
    void *y;
    uint16_t *y16;
    float *parts;
    int32_t n_parts;
} results;

/* Rows [first, first + m) of the operands by candidate i; false: it cannot. */
static bool run(const operands *o, const tri_cuda_linear_desc *d, int32_t i, int32_t first,
    int32_t m, results *out) {
    tri_cuda_linear_config config;
    tri_cuda_program program;
    tri_cuda_grid grid;
    char reason[128];
    assert_true(tri_cuda_linear_candidate(d, m, 7, i, &config, reason));
    if (reason[0]) return false;
    config.norm_parts = 3;
    tri_cuda_linear_program(d, &config, &program, &grid);
    tri_cu_function function = gpu_function(&g, &program, grid.shared_bytes);
    int64_t elem = d->add || d->float_out ? 4 : 2,
            parts_bytes = config.grid * TRI_CUDA_NORM_STRIDE * 4;
    uint64_t y = gpu_array(&g, NULL, m * o->n * elem), y16 = gpu_array(&g, NULL, m * o->n * 2),
             parts = gpu_array(&g, NULL, parts_bytes);
    tri_cuda_linear_arguments a = {.y = y,
        .r = o->r_at + (uint64_t)(first * o->n * 4),
        .scale = o->scale_at,
        .norm_in = o->norm_at + (uint64_t)first * 4,
        .norm_out = parts,
        .next_weight = o->next_at,
        .y16 = y16,
        .y_stride = o->n,
        .r_stride = o->n,
        .y16_stride = o->n,
        .in_row = 1,
        .in_part = TRI_CUDA_NORM_STRIDE,
        .out_row = 1,
        .out_part = TRI_CUDA_NORM_STRIDE,
        .n_rows = m,
        .eps = 0.125f};
    tri_error err = {0};
    if (tri_cuda_linear_map(
            g.cu, d, &config, o->w_at, o->x_at + (uint64_t)(first * o->k * 2), o->k, m, &a, &err))
        fail_msg("%s", err.message);
    tri_cuda_enqueue(&g.queue, function, &grid, &a);
    *out = (results){.y = malloc((size_t)(m * o->n * elem)),
        .y16 = malloc((size_t)(m * o->n * 2)),
        .parts = malloc((size_t)parts_bytes),
        .n_parts = config.grid};
    gpu_read(&g, out->y, y, m * o->n * elem);
    gpu_read(&g, out->y16, y16, m * o->n * 2);
    gpu_read(&g, out->parts, parts, parts_bytes);
    return true;
}

static void free_results(results *r) {
    free(r->y);
    free(r->y16);
    free(r->parts);
}

static void check_norm_out(const operands *o, const results *r) {
    const float *y = r->y;
    for (int32_t m = 0; m < o->m; m++) {
        double squares = 0, parts = 0;
        for (int64_t n = 0; n < o->n; n++) {
            float v = y[m * o->n + n], next = o->next[n] * v;
            squares += (double)v * (double)v;
            assert_int_equal(r->y16[m * o->n + n], tri_f32_to_bf16(next));
        }
        for (int32_t p = 0; p < r->n_parts; p++)
            parts += (double)r->parts[p * TRI_CUDA_NORM_STRIDE + m];
        /* float32 sums of n squares */
        assert_true(fabs(parts - squares) <= 1e-5 * squares);
    }
}

static void check(const tri_cuda_linear_desc *d, int32_t m) {
    if (!have_gpu) skip();
    operands o;
    make_operands(&o, d, m);
    int64_t count = m * o.n;
    double *expected = malloc((size_t)count * sizeof *expected);
    float *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i < count; i++)
        expected[i] = reference(&o, d, i % o.n, (int32_t)(i / o.n));
    bool is_float = d->add || d->float_out, any = false;
    for (int32_t i = 0; i < 4; i++) {
        results r;
        if (!run(&o, d, i, 0, m, &r)) continue;
        any = true;
        tri_codec_decode(is_float ? TRI_F32 : TRI_BF16, r.y, y, count);
        double error = relative_error(y, expected, count);
        if (!(error <= (is_float ? float_tolerance : bf16_tolerance)))
            fail_msg("candidate %d: error %g", (int)i, error);
        if (d->norm_out) check_norm_out(&o, &r);
        free_results(&r);
    }
    assert_true(any);
    free(expected);
    free(y);
    free_operands(&o);
}

static void test_plain(void **unused) {
    (void)unused;
    check(&(tri_cuda_linear_desc){.n = 16, .k = 64, .weight_dtype = TRI_BF16}, 1);
    check(&(tri_cuda_linear_desc){.n = 201, .k = 1000, .weight_dtype = TRI_BF16, .float_out = true},
        5);
    check(&(tri_cuda_linear_desc){.n = 331, .k = 520, .weight_dtype = TRI_BF16}, 17);
    check(&(tri_cuda_linear_desc){.n = 72, .k = 4104, .weight_dtype = TRI_BF16, .float_out = true},
        63);
}

static void test_add_and_norms(void **unused) {
    (void)unused;
    check(
        &(tri_cuda_linear_desc){
            .n = 200, .k = 512, .weight_dtype = TRI_BF16, .add = true, .norm_out = true},
        3);
    check(&(tri_cuda_linear_desc){.n = 999,
              .k = 1024,
              .weight_dtype = TRI_BF16,
              .add = true,
              .norm_in = true,
              .norm_out = true},
        33);
}

static void test_gated(void **unused) {
    (void)unused;
    check(
        &(tri_cuda_linear_desc){
            .n = 50, .k = 264, .weight_dtype = TRI_BF16, .gate = TRI_CUDA_GATE_SILU},
        2);
    check(&(tri_cuda_linear_desc){.n = 640,
              .k = 1024,
              .weight_dtype = TRI_BF16,
              .gate = TRI_CUDA_GATE_SILU,
              .norm_in = true},
        64);
}

static void test_e4m3(void **unused) {
    (void)unused;
    check(
        &(tri_cuda_linear_desc){
            .n = 130, .k = 1040, .weight_dtype = TRI_F8_E4M3, .scaled = true, .float_out = true},
        7);
    check(&(tri_cuda_linear_desc){.n = 96,
              .k = 2048,
              .weight_dtype = TRI_F8_E4M3,
              .scaled = true,
              .gate = TRI_CUDA_GATE_SILU,
              .norm_in = true},
        31);
}

/* Every finite e4m3 value, subnormals too, one in each row at a time: y is exact. */
static void test_e4m3_values(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    enum { N = 256, K = 64 };
    const tri_cuda_linear_desc d = {.n = N, .k = K, .weight_dtype = TRI_F8_E4M3, .float_out = true};
    operands o;
    make_operands(&o, &d, 1);
    uint8_t w[N * K] = {0};
    uint16_t x[K];
    for (int32_t n = 0; n < N; n++)
        w[n * K + n % K] = (n & 0x7f) == 0x7f ? 0 : (uint8_t)n; /* NaN is no value */
    for (int32_t k = 0; k < K; k++)
        x[k] = tri_f32_to_bf16(1.0f);
    o.w_at = gpu_array(&g, w, sizeof w);
    o.x_at = gpu_array(&g, x, sizeof x);
    results r;
    assert_true(run(&o, &d, 0, 0, 1, &r));
    for (int32_t n = 0; n < N; n++) {
        float expected;
        tri_codec_decode(TRI_F8_E4M3, &w[n * K + n % K], &expected, 1);
        assert_true(((const float *)r.y)[n] == expected);
    }
    free_results(&r);
    free_operands(&o);
}

static void test_rows_do_not_matter(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    static const int32_t counts[] = {1, 3, 8, 16, 29};
    for (int32_t fp8 = 0; fp8 < 2; fp8++) {
        const tri_cuda_linear_desc d = {.n = 144,
            .k = 1552,
            .weight_dtype = fp8 ? TRI_F8_E4M3 : TRI_BF16,
            .scaled = true,
            .add = true};
        operands o;
        results all, some;
        make_operands(&o, &d, 64);
        assert_true(run(&o, &d, 0, 0, 64, &all));
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            int32_t first = 11;
            assert_true(run(&o, &d, 0, first, counts[i], &some));
            assert_memory_equal(some.y, (const float *)all.y + first * o.n,
                (size_t)(counts[i] * o.n) * sizeof(float));
            free_results(&some);
        }
        free_results(&all);
        free_operands(&o);
    }
}

/* What the choice says of a request, without a GPU. */
static void test_candidates(void **unused) {
    (void)unused;
    tri_cuda_linear_config c;
    char reason[128];
    const tri_cuda_linear_desc d = {.n = 4096, .k = 4096, .weight_dtype = TRI_BF16};
    static const int32_t rows[] = {1, 2, 8, 9, 64};
    static const int32_t buckets[] = {8, 8, 8, 16, 64};
    for (int32_t i = 0; i < 5; i++) {
        assert_true(tri_cuda_linear_candidate(&d, rows[i], 132, 0, &c, reason));
        assert_string_equal(reason, "");
        assert_int_equal(c.rows, buckets[i]);
        assert_true(c.shared_bytes <= 227 << 10 && c.stages >= 2);
        if (rows[i] <= 16) assert_true(2 * (c.shared_bytes + 1024) <= 228 << 10);
    }
    assert_true(tri_cuda_linear_candidate(&d, 65, 132, 0, &c, reason));
    assert_non_null(strstr(reason, "65 rows, at most 64"));
    const tri_cuda_linear_desc odd = {.n = 8, .k = 12, .weight_dtype = TRI_BF16};
    assert_true(tri_cuda_linear_candidate(&odd, 1, 132, 0, &c, reason));
    assert_non_null(strstr(reason, "aligned"));
    const tri_cuda_linear_desc gated = {
        .n = 64, .k = 64, .weight_dtype = TRI_BF16, .gate = TRI_CUDA_GATE_SILU};
    assert_true(tri_cuda_linear_candidate(&gated, 1, 132, 2, &c, reason));
    assert_non_null(strstr(reason, "by two"));
    assert_false(tri_cuda_linear_candidate(&d, 1, 132, 99, &c, reason));

    tri_error err = {0};
    assert_int_equal(tri_cuda_linear_choose(&d, 8, 132, &c, &err), TRI_OK);
    assert_int_equal(c.tiles, 2); /* 256 units on 132 blocks: two each */
    const tri_cuda_linear_desc qkv = {.n = 6144, .k = 4096, .weight_dtype = TRI_BF16};
    assert_int_equal(tri_cuda_linear_choose(&qkv, 8, 132, &c, &err), TRI_OK);
    assert_int_equal(c.tiles, 3); /* 384: three */
    assert_int_equal(tri_cuda_linear_choose(&odd, 8, 132, &c, &err), TRI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "aligned"));
}

int main(void) {
    have_gpu = gpu_open(&g);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_add_and_norms),
        cmocka_unit_test(test_gated),
        cmocka_unit_test(test_e4m3),
        cmocka_unit_test(test_e4m3_values),
        cmocka_unit_test(test_rows_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
