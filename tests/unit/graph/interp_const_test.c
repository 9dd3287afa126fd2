/* Constants: derivations by hand, rope frequencies against transformers. */
#include "unit/graph/interp_support.h"

#include "base/codec.h"

static void rows_columns_and_casts(void **state) {
    (void)state;
    static const float a[] = {1, 2, 3, 4}, b[] = {5, 6}, v[] = {7, 8, 9};
    static const float fine[] = {1.00390625f, -1.01171875f, 3, 0};
    harness h;
    harness_open(&h,
        "  %0 = input name=\"tokens\" : i32[T]\n"
        "  %1 = weight name=\"a\" : f32[2,2]\n"
        "  %2 = weight name=\"b\" : f32[1,2]\n"
        "  %3 = weight name=\"v\" : f32[3]\n"
        "  %4 = concat_rows(%1, %2) : f32[3,2]\n"
        "  %5 = slice_rows(%4) first=1 n=2 : f32[2,2]\n"
        "  %6 = columns(%5) first=1 n=1 : f32[2,1]\n"
        "  %7 = concat_rows(%3, %3) : f32[6]\n"
        "  %8 = slice_rows(%7) first=2 n=2 : f32[2]\n"
        "  %9 = weight name=\"fine\" : f32[2,2]\n"
        "  %10 = cast(%9) dtype=\"bf16\" : bf16[2,2]\n"
        "  %11 = pack(%10) layout=\"panel16\" : bf16[2,2]@panel16\n"
        "  %12 = tie(%11) : bf16[2,2]@panel16\n"
        "  %13 = affine(%3) factor=2 offset=1 : f32[3]\n"
        "  output y = %0\n",
        (named[]){{"a", a}, {"b", b}, {"v", v}, {"fine", fine}, {0}});
    expect_constant(&h, 4, (float[]){1, 2, 3, 4, 5, 6}, 6, 0);
    expect_constant(&h, 5, (float[]){3, 4, 5, 6}, 4, 0);
    expect_constant(&h, 6, (float[]){4, 6}, 2, 0);
    expect_constant(&h, 7, (float[]){7, 8, 9, 7, 8, 9}, 6, 0);
    expect_constant(&h, 8, (float[]){9, 7}, 2, 0);
    expect_constant(&h, 10, (float[]){1, -1.015625f, 3, 0}, 4, 0);
    expect_constant(&h, 11, (float[]){1, -1.015625f, 3, 0}, 4, 0);
    expect_constant(&h, 12, (float[]){1, -1.015625f, 3, 0}, 4, 0);
    expect_constant(&h, 13, (float[]){15, 17, 19}, 3, 0);
    harness_close(&h);
}

static void quantisation(void **state) {
    (void)state;
    /* Row 0: groups [12.7, -6.35] and [0, 0]; row 1: [7, 3.5] and [-1, 0.5].  In i8 the first scale
     * is 0.1, 6.35 / 0.1 = 63.5 up to rounding; i4: 12.7 / 7. */
    static const float w[] = {12.7f, -6.0f, 0, 0, 7, 3.5f, -1, 0.5f};
    harness h;
    harness_open(&h,
        "  %0 = input name=\"tokens\" : i32[T]\n"
        "  %1 = weight name=\"w\" : f32[2,4]\n"
        "  %2 = quantize(%1) group=2 : i8[2,4]\n"
        "  %3 = quantize_scales(%1) group=2 : f32[2,2]\n"
        "  %4 = quantize(%1) dtype=\"i4\" : i4[2,4]\n"
        "  %5 = quantize_scales(%1) dtype=\"i4\" : f32[2]\n"
        "  output y = %0\n",
        (named[]){{"w", w}, {0}});
    expect_constant(&h, 2, (float[]){127, -60, 0, 0, 127, 64, -127, 64}, 8, 0); /* 63.5 to even */
    expect_constant(&h, 3, (float[]){12.7f / 127, 0, 7.0f / 127, 1.0f / 127}, 4, 0);
    expect_constant(&h, 4, (float[]){7, -3, 0, 0, 7, 4, -1, 0}, 8, 0); /* 3.5 and 0.5 to even */
    expect_constant(&h, 5, (float[]){12.7f / 7, 1}, 2, 0);
    harness_close(&h);
}

/* ROPE_INIT_FUNCTIONS of transformers 4.57.6, which computes in float32: equal to a few units in
 * its last place, 3e-7 relative. */
typedef struct rope_case {
    const char *attrs;
    int32_t n;
    const float *expected;
} rope_case;

static const float linear4[] = {0.25f, 0.079056941f, 0.0250000004f, 0.00790569466f, 0.00249999994f,
    0.000790569466f, 0.000250000012f, 7.90569466e-05f};
static const float llama3[] = {1, 0.663601279f, 0.440366626f, 0.292227834f, 0.193922758f,
    0.128687382f, 0.0853971019f, 0.0566696189f, 0.0376060307f, 0.0249554086f, 0.0165604409f,
    0.0109895291f, 0.00729266508f, 0.00483942125f, 0.00321144611f, 0.00129054801f, 0.000429556705f,
    9.70828623e-05f, 1.94616387e-05f, 1.29147675e-05f, 8.57025589e-06f, 5.68723226e-06f,
    3.77405445e-06f, 2.50446715e-06f, 1.66196742e-06f, 1.10288363e-06f, 7.31874934e-07f,
    4.85673127e-07f, 3.22293289e-07f, 2.1387423e-07f, 1.41927202e-07f, 9.41830649e-08f};
static const float yarn4[] = {1, 0.421696514f, 0.177827939f, 0.0749894157f, 0.0316227786f,
    0.0133352149f, 0.00477990136f, 0.00165996165f, 0.000549999997f, 0.000168678584f,
    4.44569851e-05f, 1.87473561e-05f, 7.90569356e-06f, 3.33380353e-06f, 1.40585337e-06f,
    5.92843435e-07f};
static const float yarn8[] = {1, 0.316227764f, 0.100000001f, 0.0177878123f, 0.00124999997f,
    0.000395284733f, 0.000125000006f, 3.95284733e-05f};
static const float longrope[] = {1, 0.0799999982f, 0.00400000019f, 0.000250000012f};

static void rope_frequencies_of_each_type(void **state) {
    (void)state;
    static const rope_case cases[] = {
        {"type=\"linear\" rotary_dim=16 factor=4", 8, linear4},
        {"type=\"llama3\" rotary_dim=64 base=500000 factor=32 original_max_positions=8192", 32,
            llama3},
        {"type=\"yarn\" rotary_dim=32 base=1e6 factor=4 original_max_positions=32768", 16, yarn4},
        {"type=\"yarn\" rotary_dim=16 factor=8 beta_fast=16 beta_slow=2 "
         "original_max_positions=1024",
            8, yarn8},
        {"type=\"longrope\" rotary_dim=8 frequency_factors=[1, 1.25, 2.5, 4]", 4, longrope},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512];
        harness h;
        snprintf(body, sizeof body,
            "  %%0 = input name=\"tokens\" : i32[T]\n"
            "  %%1 = rope_frequencies %s : f32[%d]\n"
            "  output y = %%0\n",
            cases[i].attrs, (int)cases[i].n);
        harness_open(&h, body, (named[]){{0}});
        for (int32_t k = 0; k < cases[i].n; k++) {
            const float *y = NULL;
            int64_t n;
            assert_ok(tri_interp_constant(h.interp, h.g->first->next->results[0], &y, &n, err));
            assert_int_equal(n, cases[i].n);
            double due = (double)cases[i].expected[k];
            if (fabs((double)y[k] - due) > 2e-6 * due)
                fail_msg("%s [%d]: %.9g, %.9g is due", cases[i].attrs, (int)k, (double)y[k], due);
        }
        harness_close(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_columns_and_casts),
        cmocka_unit_test(quantisation),
        cmocka_unit_test(rope_frequencies_of_each_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
