/* The panel16 layout: exact round trips, any chunks of rows, rows read back; and integer forms of
 * blocks against base's decoding. */
#include "unit/kernels/lab.h"

#include "kernels/builtin.h"
#include "kernels/cpu/int_form.h"
#include "kernels/cpu/panel16.h"

static const tri_plugin_layout *panel16(void) {
    for (int32_t i = 0; tri_builtin_layouts[i]; i++) {
        if (strcmp(tri_builtin_layouts[i]->name, "panel16") == 0) return tri_builtin_layouts[i];
    }
    fail_msg("no panel16");
    return NULL;
}

static void check_round_trip(tri_dtype dtype, int64_t n, int64_t k) {
    const tri_plugin_layout *layout = panel16();
    tri_plugin_type type = {
        .dtype = (int32_t)dtype, .n_dims = 2, .dims = {n, k}, .layout = "row", .constant = true};
    tri_type graph_type = {.dtype = dtype, .n_dims = 2, .dims = {n, k}};
    int64_t row_bytes = tri_dtype_row_bytes(dtype, k), n_bytes = layout->bytes(&type);
    assert_true(n_bytes > 0);
    uint8_t *rows = lab_make_weight(&graph_type, 17), *back = malloc((size_t)(n * row_bytes));
    uint8_t *packed = malloc((size_t)n_bytes + 64), *again = malloc((size_t)n_bytes);
    float *expected = malloc((size_t)k * sizeof(float)), *got = malloc((size_t)k * sizeof(float));
    assert_true(back && packed && again && expected && got);
    memset(packed, 0xA5, (size_t)n_bytes + 64);
    layout->pack(&type, 0, n, rows, packed);
    for (int32_t i = 0; i < 64; i++)
        assert_int_equal(packed[n_bytes + i], 0xA5);

    memset(again, 0x5A, (size_t)n_bytes); /* in chunks of 16 and 32: the same bytes */
    for (int64_t first = 0, step = 16; first < n; first += step, step = 48 - step) {
        int64_t rest = n - first < step ? n - first : step;
        layout->pack(&type, first, rest, rows + first * row_bytes, again);
    }
    assert_memory_equal(packed, again, (size_t)n_bytes);

    layout->unpack(&type, 0, n, packed, back);
    assert_memory_equal(rows, back, (size_t)(n * row_bytes));
    for (int64_t first = 0, step = 1; first < n; first += step, step = step % 19 + 3) {
        int64_t rest = n - first < step ? n - first : step; /* any rows, not only whole panels */
        memset(back, 0, (size_t)(n * row_bytes));
        layout->unpack(&type, first, rest, packed, back);
        assert_memory_equal(rows + first * row_bytes, back, (size_t)(rest * row_bytes));
    }
    for (int64_t row = 0; row < n; row++) {
        tri_codec_decode(dtype, rows + row * row_bytes, expected, k);
        tri_panel16_read_row((int32_t)dtype, k, packed, row, 0, k, got);
        assert_memory_equal(expected, got, (size_t)k * sizeof(float));
    }
    free(rows);
    free(back);
    free(packed);
    free(again);
    free(expected);
    free(got);
}

static void test_round_trips(void **unused) {
    (void)unused;
    static const int64_t rows[] = {1, 15, 16, 17, 100};
    for (size_t i = 0; i < 5; i++) {
        for (int64_t k = 1; k <= 9; k++) {
            check_round_trip(TRI_F32, rows[i], k);
            check_round_trip(TRI_F16, rows[i], k);
            check_round_trip(TRI_BF16, rows[i], k);
            check_round_trip(TRI_I8, rows[i], k);
            check_round_trip(TRI_I4, rows[i], 2 * k);
        }
        check_round_trip(TRI_BF16, rows[i], 131);
        check_round_trip(TRI_I4, rows[i], 66);
        for (int64_t k = 32; k <= 128; k += 32) {
            check_round_trip(TRI_Q4_0, rows[i], k);
            check_round_trip(TRI_Q4_1, rows[i], k);
            check_round_trip(TRI_Q8_0, rows[i], k);
            check_round_trip(TRI_Q5_0, rows[i], k);
            check_round_trip(TRI_Q5_1, rows[i], k);
        }
        for (int64_t k = 256; k <= 512; k += 256) {
            check_round_trip(TRI_Q4_K, rows[i], k);
            check_round_trip(TRI_Q5_K, rows[i], k);
            check_round_trip(TRI_Q6_K, rows[i], k);
        }
    }
}

static void test_what_cannot_be_packed(void **unused) {
    (void)unused;
    const tri_plugin_layout *layout = panel16();
    static const tri_plugin_type refused[] = {
        {.dtype = TRI_Q2_K, .n_dims = 2, .dims = {16, 256}},
        {.dtype = TRI_Q4_K, .n_dims = 2, .dims = {16, 128}},
        {.dtype = TRI_Q8_0, .n_dims = 2, .dims = {16, 33}},
        {.dtype = TRI_F32, .n_dims = 1, .dims = {16}},
        {.dtype = TRI_F32, .n_dims = 2, .dims = {0, 16}},
        {.dtype = TRI_F32, .n_dims = 2, .dims = {INT64_MAX - 16, 1 << 20}},
        {.dtype = TRI_I64, .n_dims = 2, .dims = {16, 16}},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_true(layout->bytes(&refused[i]) < 0);
    }
}

/* d q + m is what base decodes, but for the rounding of the sum. */
static void test_integer_forms(void **unused) {
    (void)unused;
    enum { K = 1024 };
    int32_t n_formats = 0;
    for (int32_t dtype = 0; dtype < TRI_N_DTYPES; dtype++) {
        tri_int_form form = tri_int_form_of(dtype);
        if (!form.sub) continue;
        n_formats++;
        tri_type type = {.dtype = (tri_dtype)dtype, .n_dims = 1, .dims = {K}};
        uint8_t *row = lab_make_weight(&type, (uint64_t)dtype);
        float expected[K];
        tri_codec_decode((tri_dtype)dtype, row, expected, K);
        static const tri_int_decode_fn decoders[] = {tri_int_decode_generic, tri_int_decode_avx2};
        int32_t n_decoders = __builtin_cpu_supports("avx2") ? 2 : 1;
        for (int32_t v = 0; v < n_decoders; v++) {
            int8_t q[K];
            float d[K / 16], m[K / 16];
            decoders[v](dtype, row, K, q, d, m);
            for (int32_t i = 0; i < K; i++) {
                float min = form.has_min ? m[i / form.sub] : 0.0f;
                float value = d[i / form.sub] * (float)q[i] + min;
                if (!(fabsf(value - expected[i]) <= 1e-6f * fabsf(expected[i]))) {
                    fail_msg("%s[%d]: %g, %g is due", tri_dtype_name((tri_dtype)dtype), (int)i,
                        (double)value, (double)expected[i]);
                }
            }
        }
        free(row);
    }
    assert_int_equal(n_formats, 13);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_what_cannot_be_packed),
        cmocka_unit_test(test_integer_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
