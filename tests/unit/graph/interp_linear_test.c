/* Embedding and linear, by hand. */
#include "unit/graph/interp_support.h"

#include "base/codec.h"

static const float x2[] = {1, 2, 3, 4, -1, 0, 0.5f, 2};

static void bias_accumulator_and_plain_weight(void **state) {
    (void)state;
    static const float w[] = {1, 0, 0, 0, 0, 1, 0, -1, 1, 1, 1, 1};
    static const float bias[] = {0.5f, 10, -1};
    harness h;
    harness_open(&h,
        RUN_X "[2,4]\n"
              "  %2 = embedding(%0, %1) : f32[T,4]\n"
              "  %3 = weight name=\"w\" : f32[3,4]\n"
              "  %4 = weight name=\"b\" : f32[3]\n"
              "  %5 = linear(%2, %3, bias=%4) : f32[T,3]\n"
              "  %6 = linear(%2, %3, accumulator=%5) : f32[T,3]\n"
              "  output y = %6\n",
        (named[]){{"x", x2}, {"w", w}, {"b", bias}, {0}});
    harness_simple_step(&h, 2);
    harness_run(&h);
    expect_floats(&h, "%5", (float[]){1.5f, 8, 9, -0.5f, 8, 0.5f}, 2, 3, 0);
    expect_floats(&h, "y", (float[]){2.5f, 6, 19, -1.5f, 6, 2}, 2, 3, 0);
    harness_close(&h);
}

/* relu(x g^T + b) * (x u^T + b'), the gate's rows first. */
static void a_gate_halves_the_results(void **state) {
    (void)state;
    static const float w[] = {1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 1, 1, 1, 1};
    static const float bias[] = {0.5f, 4, 10, -1};
    harness h;
    harness_open(&h,
        RUN_X "[2,4]\n"
              "  %2 = embedding(%0, %1) : f32[T,4]\n"
              "  %3 = weight name=\"w\" : f32[4,4]\n"
              "  %4 = weight name=\"b\" : f32[4]\n"
              "  %5 = linear(%2, %3, bias=%4) gate=\"relu\" : f32[T,2]\n"
              "  output y = %5\n",
        (named[]){{"x", x2}, {"w", w}, {"b", bias}, {0}});
    harness_simple_step(&h, 2);
    harness_run(&h);
    /* x = 1 2 3 4: (1.5, 1) times (12, 9); x = -1 0 0.5 2: (0, 3.5) times (10, 0.5). */
    expect_floats(&h, "y", (float[]){18, 9, 0, 1.75f}, 2, 2, 0);
    harness_close(&h);
}

/* linear_norm and a linear with its parts against rms_norm between two linears. */
static void a_norm_is_deferred(void **state) {
    (void)state;
    static const float w[] = {1, 0, 0, 2, 0, 1, 0, -1, 1, 1, 1, 1}, norm[] = {1, 0.5f, 2};
    static const float v[] = {1, 2, -1, 0.5f, 1, 1};
    harness h;
    harness_open(&h,
        RUN_X "[2,4]\n"
              "  %2 = embedding(%0, %1) : f32[T,4]\n"
              "  %3 = weight name=\"w\" : f32[3,4]\n"
              "  %4 = weight name=\"n\" : f32[3]\n"
              "  %5 = weight name=\"v\" : f32[2,3]\n"
              "  %6 = linear(%2, %3) : f32[T,3]\n"
              "  %7, %8, %9 = linear_norm(%2, %3, accumulator=%6, norm=%4) eps=0.25 n_parts=2"
              " : f32[T,3], bf16[T,3], f32[T,2]\n"
              "  %10 = linear(%8, %5, parts=%9) eps=0.25 : f32[T,2]\n"
              "  %11 = rms_norm(%7, %4) eps=0.25 : f32[T,3]\n"
              "  %12 = linear(%11, %5) : f32[T,2]\n"
              "  output y = %10\n  output due = %12\n  output sum = %7\n  output parts = %9\n",
        (named[]){{"x", x2}, {"w", w}, {"n", norm}, {"v", v}, {0}});
    harness_simple_step(&h, 2);
    harness_run(&h);
    /* Twice x w^T: x = 1 2 3 4 gives 9 -2 10, x = -1 0 0.5 2 gives 3 -2 1.5. */
    expect_floats(&h, "sum", (float[]){18, -4, 20, 6, -4, 3}, 2, 3, 0);
    expect_floats(&h, "parts", (float[]){740, 0, 61, 0}, 2, 2, 0);
    /* (18, -2, 40) and (6, -2, 6), exact in bf16, over sqrt(740 / 3 + 1/4), sqrt(61 / 3 + 1/4) */
    const float a = 1.0f / sqrtf(740.0f / 3 + 0.25f), b = 1.0f / sqrtf(61.0f / 3 + 0.25f);
    expect_floats(&h, "y", (float[]){-26 * a, 47 * a, -4 * b, 7 * b}, 2, 2, 1e-5);
    expect_floats(&h, "due", (float[]){-26 * a, 47 * a, -4 * b, 7 * b}, 2, 2, 1e-5);
    harness_close(&h);
}

static void scales_by_row_by_group_and_one_for_all(void **state) {
    (void)state;
    static const int8_t w[] = {1, 2, 3, 4, -1, -2, -3, -4};
    static const float rows[] = {0.5f, 2}, groups[] = {1, 10, 0.5f, 0.25f}, one[] = {3};
    harness h;
    harness_open(&h,
        RUN_X "[2,4]\n"
              "  %2 = embedding(%0, %1) : f32[T,4]\n"
              "  %3 = weight name=\"w\" : i8[2,4]\n"
              "  %4 = weight name=\"rows\" : f32[2]\n"
              "  %5 = weight name=\"groups\" : f32[2,2]\n"
              "  %6 = weight name=\"one\" : f32[1]\n"
              "  %7 = linear(%2, %3, scales=%4) : f32[T,2]\n"
              "  %8 = linear(%2, %3, scales=%5) : f32[T,2]\n"
              "  %9 = linear(%2, %3, scales=%6) : f32[T,2]\n"
              "  output y = %9\n",
        (named[]){{"x", x2}, {"w", w}, {"rows", rows}, {"groups", groups}, {"one", one}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    /* x = 1 2 3 4: 5 of the first two columns, 25 of the last two. */
    expect_floats(&h, "%7", (float[]){15, -60}, 1, 2, 0);
    expect_floats(&h, "%8", (float[]){255, -2.5f - 6.25f}, 1, 2, 0);
    expect_floats(&h, "%9", (float[]){90, -90}, 1, 2, 0);
    harness_close(&h);
}

/* i4: two signed nibbles a byte, the low one first. */
static void four_bit_weights(void **state) {
    (void)state;
    static const uint8_t w[] = {0x21, 0xf8, 0x70, 0x0c}; /* 1 2 -8 -1 | 0 7 -4 0 */
    static const float scales[] = {1, 0.5f};
    harness h;
    harness_open(&h,
        RUN_X "[2,4]\n"
              "  %2 = embedding(%0, %1) : f32[T,4]\n"
              "  %3 = weight name=\"w\" : i4[2,4]\n"
              "  %4 = weight name=\"s\" : f32[2]\n"
              "  %5 = linear(%2, %3, scales=%4) : f32[T,2]\n"
              "  output y = %5\n",
        (named[]){{"x", x2}, {"w", w}, {"s", scales}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    expect_floats(&h, "y", (float[]){1 + 4 - 24 - 4, (14 - 12) * 0.5f}, 1, 2, 0);
    harness_close(&h);
}

/* What bf16 and i8 make of x, with the identity as weight. */
static void activations_are_rounded_as_stated(void **state) {
    (void)state;
    static float x[32], w[32 * 32];
    memset(w, 0, sizeof w);
    for (int i = 0; i < 32; i++) {
        x[i] = (float)(i - 16) / 16.0f;
        w[i * 33] = 1.0f;
    }
    x[0] = 1.27f;       /* the largest: scale 0.01, so that q = 100 x */
    x[1] = 0.125f;      /* 12.5, half to even: 12 */
    x[2] = -0.135f;     /* -13.5 in exact numbers; float 0.135 / float 0.01 says which way */
    x[3] = 1.00390625f; /* 1 + 2^-8: halfway between bf16 1 and 1 + 2^-7, even: 1 */
    x[4] = 1.01171875f; /* 1 + 3 * 2^-8: halfway, even: 1 + 2^-6 */
    float bf16[32], i8[32];
    int8_t q[32];
    float scale;
    tri_quantize_activations(x, q, &scale, 32);
    for (int i = 0; i < 32; i++) {
        bf16[i] = tri_bf16_to_f32(tri_f32_to_bf16(x[i]));
        i8[i] = scale * (float)q[i];
    }
    assert_int_equal(q[0], 127);
    harness h;
    harness_open(&h,
        RUN_X "[1,32]\n"
              "  %2 = embedding(%0, %1) : f32[T,32]\n"
              "  %3 = weight name=\"w\" : f32[32,32]\n"
              "  %4 = linear(%2, %3) activation=\"bf16\" : f32[T,32]\n"
              "  %5 = linear(%2, %3) activation=\"i8\" : f32[T,32]\n"
              "  output y = %5\n",
        (named[]){{"x", x}, {"w", w}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    expect_floats(&h, "%4", bf16, 1, 32, 0);
    expect_floats(&h, "%5", i8, 1, 32, 0); /* one rounding of an exact product on both sides */
    int64_t rows, columns;
    const float *y = tri_interp_output(h.interp, "%4", &rows, &columns);
    assert_true(y[3] >= 1.0f && y[3] <= 1.0f);
    assert_true(y[4] >= 1.015625f && y[4] <= 1.015625f);
    y = tri_interp_output(h.interp, "%5", &rows, &columns);
    assert_float_equal(y[1], 0.12, 1e-6);
    harness_close(&h);
}

/* A block of q8_0 by hand: scale 0.5 as f16 (0x3800), integers. */
static void blocks_decode(void **state) {
    (void)state;
    uint8_t w[34] = {0x00, 0x38};
    float x[32];
    double sum = 0.0;
    for (int i = 0; i < 32; i++) {
        w[2 + i] = (uint8_t)(i - 10);
        x[i] = (float)i;
        sum += 0.5 * (i - 10) * i;
    }
    float expected = (float)sum;
    harness h;
    harness_open(&h,
        RUN_X "[1,32]\n"
              "  %2 = embedding(%0, %1) : f32[T,32]\n"
              "  %3 = weight name=\"w\" : q8_0[1,32]\n"
              "  %4 = linear(%2, %3) : f32[T,1]\n"
              "  output y = %4\n",
        (named[]){{"x", x}, {"w", w}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    expect_floats(&h, "y", &expected, 1, 1, 0);
    harness_close(&h);
}

/* Tokens outside a shard's part of the vocabulary, and rows of embeddings (-1), give zeros. */
static void embedding_of_a_shard(void **state) {
    (void)state;
    static const int8_t table[] = {1, 2, 3, 4};
    static const float scales[] = {10, 100};
    int32_t n = 4;
    harness h;
    harness_open(&h,
        "  %0 = input name=\"tokens\" : i32[T]\n"
        "  %1 = weight name=\"t\" : i8[2,2]\n"
        "  %2 = weight name=\"s\" : f32[2]\n"
        "  %3 = embedding(%0, %1, scales=%2) first=5 : f32[T,2]\n"
        "  output y = %3\n",
        (named[]){{"t", table}, {"s", scales}, {0}});
    harness_step(&h, 1, &n, &n, (int32_t[]){5, 4, 6, 7});
    ((int32_t *)(void *)((uint8_t *)h.step + h.step->tokens))[3] = -1;
    harness_run(&h);
    expect_floats(&h, "y", (float[]){10, 20, 0, 0, 300, 400, 0, 0}, 4, 2, 0);
    harness_close(&h);
}

static void sums_do_not_lose_small_terms(void **state) {
    (void)state;
    /* In float32 2^24 + 1 + ... + 1 stays 2^24. */
    static float x[64], w[64];
    x[0] = 16777216.0f;
    w[0] = 1.0f;
    for (int i = 1; i < 64; i++)
        x[i] = w[i] = 1.0f;
    float expected = 16777216.0f + 64.0f; /* 63 more, rounded to even 64 */
    harness h;
    harness_open(&h,
        RUN_X "[1,64]\n"
              "  %2 = embedding(%0, %1) : f32[T,64]\n"
              "  %3 = weight name=\"w\" : f32[1,64]\n"
              "  %4 = linear(%2, %3) : f32[T,1]\n"
              "  output y = %4\n",
        (named[]){{"x", x}, {"w", w}, {0}});
    harness_simple_step(&h, 1);
    harness_run(&h);
    expect_floats(&h, "y", &expected, 1, 1, 0);
    harness_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_accumulator_and_plain_weight),
        cmocka_unit_test(a_gate_halves_the_results),
        cmocka_unit_test(a_norm_is_deferred),
        cmocka_unit_test(scales_by_row_by_group_and_one_for_all),
        cmocka_unit_test(four_bit_weights),
        cmocka_unit_test(activations_are_rounded_as_stated),
        cmocka_unit_test(blocks_decode),
        cmocka_unit_test(embedding_of_a_shard),
        cmocka_unit_test(sums_do_not_lose_small_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
