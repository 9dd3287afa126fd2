/* Rope, caches and attention: against PyTorch in float64 (scaled_dot_product_attention;
 * transformers' apply_rotary_pos_emb of Llama and GPT-J), and against themselves under other
 * chunkings, block orders and batch-mates, which must change no bit. */
#include "unit/graph/interp_support.h"

#include "base/codec.h"

enum { T = 6, H = 2, D = 4 };

/* One rounding to float32 of numbers below 4. */
static const float one_rounding = 2.5e-7f;

static float q_values[T * H * D], k_values[T * D], v_values[T * D];

static const named qkv[] = {{"q", q_values}, {"k", k_values}, {"v", v_values}, {0}};

#define QKV                                                                                        \
    "  %0 = input name=\"tokens\" : i32[T]\n"                                                      \
    "  %1 = weight name=\"q\" : f32[6,8]\n"                                                        \
    "  %2 = weight name=\"k\" : f32[6,4]\n"                                                        \
    "  %3 = weight name=\"v\" : f32[6,4]\n"                                                        \
    "  %4 = embedding(%0, %1) : f32[T,8]\n"                                                        \
    "  %5 = embedding(%0, %2) : f32[T,4]\n"                                                        \
    "  %6 = embedding(%0, %3) : f32[T,4]\n"

static int prepare(void **state) {
    (void)state;
    fill(q_values, N_OF(q_values), 1);
    fill(k_values, N_OF(k_values), 2);
    fill(v_values, N_OF(v_values), 3);
    return 0;
}

static const float full[] = {1.00000000f, 0.00000000f, -1.00000000f, 0.75000000f, 1.00000000f,
    0.00000000f, -1.00000000f, 0.75000000f, 0.60743682f, -0.39256318f, -0.52892418f, 0.35743682f,
    0.59897337f, -0.40102663f, -0.51876805f, 0.34897337f, 0.91372654f, -0.08627346f, -0.67035530f,
    0.66372654f, 0.43944121f, -0.56055879f, -0.18944121f, 0.18944121f, 0.87028742f, -0.12971258f,
    -0.56075395f, 0.62028742f, -0.00525437f, -1.00525437f, 0.45134649f, -0.25525437f, 0.73494988f,
    -0.01780788f, -0.60606302f, 0.73219212f, -0.03227935f, -0.87838585f, 0.36307072f, -0.12838585f,
    -0.45222992f, 0.04555112f, -0.26514806f, 0.79555112f, 0.08104902f, -0.80072454f, 0.51282805f,
    -0.05072454f};

static void full_attention(void **state) {
    (void)state;
    harness h;
    harness_open(&h,
        "  group 0 full tokens_per_block=4\n" QKV "  %7 = cache : cache<f32, 1, 4>\n"
        "  %8 = kv_write(%5, %6, %7) : cache<f32, 1, 4>\n"
        "  %9 = attention(%4, %8) n_heads=2 scale=0.5 : f32[T,8]\n"
        "  %10 = attention(%4, %8) n_heads=2 : f32[T,8]\n"
        "  output y = %9\n",
        qkv);
    harness_simple_step(&h, T);
    harness_run(&h);
    expect_floats(&h, "y", full, T, H * D, (double)one_rounding);
    expect_floats(&h, "%10", full, T, H * D, (double)one_rounding); /* 1 / sqrt(4) */
    harness_close(&h);
}

static void window_and_softcap(void **state) {
    (void)state;
    static const float window3[] = {0.78937130f, -0.21062870f, -0.28674749f, 0.53937130f,
        -0.06846110f, -1.06846110f, 0.54260186f, -0.31846110f};
    static const float window5[] = {-0.93152731f, 0.18062134f, -0.18152731f, 0.93062134f,
        0.03031541f, -0.77668360f, 0.78031541f, -0.02668360f};
    static const float cap2[] = {-0.80179078f, 0.25509184f, -0.38047359f, 1.00509184f, 0.04377164f,
        -0.90721701f, 0.64012317f, -0.15721701f};
    int64_t rows, columns;
    harness h;
    harness_open(&h,
        "  group 0 sliding window=3 tokens_per_block=2\n"
        "  group 1 full tokens_per_block=2\n" QKV "  %7 = cache : cache<f32, 1, 4>\n"
        "  %8 = kv_write(%5, %6, %7) : cache<f32, 1, 4>\n"
        "  %9 = attention(%4, %8) n_heads=2 window=3 : f32[T,8]\n"
        "  %10 = cache group=1 : cache<f32, 1, 4>\n"
        "  %11 = kv_write(%5, %6, %10) : cache<f32, 1, 4>\n"
        "  %12 = attention(%4, %11) n_heads=2 scale=1 softcap=2 : f32[T,8]\n"
        "  output y = %9\n",
        qkv);
    harness_simple_step(&h, T);
    harness_run(&h);
    const float *y = tri_interp_output(h.interp, "y", &rows, &columns);
    const float *z = tri_interp_output(h.interp, "%12", &rows, &columns);
    for (int i = 0; i < H * D; i++) {
        assert_float_equal(y[3 * H * D + i], window3[i], one_rounding);
        assert_float_equal(y[5 * H * D + i], window5[i], one_rounding);
        assert_float_equal(z[5 * H * D + i], cap2[i], one_rounding);
    }
    harness_close(&h);
}

static const char *const chunked =
    "  group 0 full tokens_per_block=4\n" QKV "  %7 = cache : cache<bf16, 1, 4>\n"
    "  %8 = kv_write(%5, %6, %7) : cache<bf16, 1, 4>\n"
    "  %9 = attention(%4, %8) n_heads=2 : f32[T,8]\n"
    "  output y = %9\n";

/* Rows of the sequence computed in one step of six tokens. */
static void whole(float y[T * H * D]) {
    int64_t rows, columns;
    harness h;
    harness_open(&h, chunked, qkv);
    harness_simple_step(&h, T);
    harness_run(&h);
    memcpy(y, tri_interp_output(h.interp, "y", &rows, &columns), T * H * D * sizeof *y);
    harness_close(&h);
}

static void chunks_and_batch_mates_change_no_bit(void **state) {
    (void)state;
    float due[T * H * D];
    int64_t rows, columns;
    harness h;
    whole(due);
    harness_open(&h, chunked, qkv);
    /* 1, 2, then 3 tokens of it as sequence 1, beside a sequence of other tokens. */
    static const int32_t lens[3][2] = {{2, 1}, {1, 2}, {3, 3}};
    static const int32_t contexts[3][2] = {{2, 1}, {3, 3}, {6, 6}};
    static const int32_t tokens[3][6] = {{5, 5, 0}, {4, 1, 2}, {3, 3, 3, 3, 4, 5}};
    for (int i = 0; i < 3; i++) {
        harness_step(&h, 2, lens[i], contexts[i], tokens[i]);
        harness_run(&h);
        const float *y = tri_interp_output(h.interp, "y", &rows, &columns);
        int32_t first = contexts[i][1] - lens[i][1];
        assert_memory_equal(
            y + lens[i][0] * H * D, due + first * H * D, (size_t)(lens[i][1] * H * D) * sizeof *y);
    }
    harness_close(&h);
}

/* With one token, attention gives back v as the cache holds it. */
static void caches_round_to_their_dtype(void **state) {
    (void)state;
    static const tri_dtype dtypes[] = {TRI_F32, TRI_BF16, TRI_F16};
    prepare(NULL);
    for (int i = 0; i < D; i++)
        v_values[i] = 1.0f + (float)(i + 1) * 0.00123f;
    for (int d = 0; d < 3; d++) {
        char body[1024];
        float due[D];
        int64_t rows, columns;
        harness h;
        snprintf(body, sizeof body,
            "%s  %%7 = cache : cache<%s, 1, 4>\n"
            "  %%8 = kv_write(%%5, %%6, %%7) : cache<%s, 1, 4>\n"
            "  %%9 = attention(%%4, %%8) n_heads=2 : f32[T,8]\n"
            "  output y = %%9\n",
            "  group 0 full tokens_per_block=4\n" QKV, tri_dtype_name(dtypes[d]),
            tri_dtype_name(dtypes[d]));
        harness_open(&h, body, qkv);
        harness_simple_step(&h, 1);
        harness_run(&h);
        for (int i = 0; i < D; i++) {
            float v = v_values[i];
            due[i] = d == 0   ? v
                     : d == 1 ? tri_bf16_to_f32(tri_f32_to_bf16(v))
                              : tri_f16_to_f32(tri_f32_to_f16(v));
            if (d > 0) assert_true(due[i] < v || due[i] > v);
        }
        const float *y = tri_interp_output(h.interp, "y", &rows, &columns);
        assert_memory_equal(y, due, sizeof due);
        assert_memory_equal(y + D, due, sizeof due);
        harness_close(&h);
    }
    prepare(NULL);
}

static void missing_blocks_are_named(void **state) {
    (void)state;
    tri_error err = {0};
    harness h;
    harness_open(&h, chunked, qkv);
    tri_step *step = harness_simple_step(&h, T);
    FIELD(int32_t, groups[0].block_tables)[1] = TRI_STEP_NO_BLOCK;
    assert_int_equal(tri_interp_run(h.interp, step, &err), TRI_E_ARGUMENT);
    assert_has(err.message, "position 4 of sequence 0 has no block in group 0");
    assert_has(err.message, "kv_write");
    harness_close(&h);
}

/* A sliding group may have lost its early blocks. */
static void window_needs_no_older_block(void **state) {
    (void)state;
    int32_t lens = 1, context = 6;
    harness h;
    harness_open(&h,
        "  group 0 sliding window=2 tokens_per_block=2\n" QKV "  %7 = cache : cache<f32, 1, 4>\n"
        "  %8 = kv_write(%5, %6, %7) : cache<f32, 1, 4>\n"
        "  %9 = attention(%4, %8) n_heads=2 window=2 : f32[T,8]\n"
        "  output y = %9\n",
        qkv);
    harness_simple_step(&h, 5);
    harness_run(&h);
    tri_step *step = harness_step(&h, 1, &lens, &context, (int32_t[]){5});
    FIELD(int32_t, groups[0].block_tables)[0] = TRI_STEP_NO_BLOCK;
    FIELD(int32_t, groups[0].block_tables)[1] = TRI_STEP_NO_BLOCK;
    harness_run(&h); /* positions 4 and 5 are in entry 2 */
    harness_close(&h);
}

/* ---- rope ---- */

static void rope_of_both_kinds(void **state) {
    (void)state;
    static const float frequencies[] = {1.0f, 0.25f};
    /* Rows at positions 1 and 100, two heads of six, four columns rotated. */
    static const float neox[] = {2.18559819f, -0.54889513f, -0.06641197f, 0.63390783f, -0.5f, 1.25f,
        -1.05959311f, -1.09002647f, 1.12600508f, -0.27832945f, -1.0f, 0.75f, -1.99662212f,
        0.99156164f, 0.30269642f, 1.75924146f, 0.25f, -0.75f, 0.53392985f, 0.14889572f,
        -2.05302677f, 1.11510316f, -0.25f, -1.25f};
    static const float gptj[] = {0.61559448f, 0.49602766f, -1.33484251f, 0.17520126f, -0.5f, 1.25f,
        0.76617882f, -0.19485898f, 0.96891242f, 0.24740396f, -1.0f, 0.75f, -0.82471577f,
        1.06411649f, -0.33016172f, 1.30517939f, 0.25f, -0.75f, 0.86231887f, -0.50636564f,
        -0.89193900f, 0.87575386f, -0.25f, -1.25f};
    float x[48];
    int64_t rows, columns;
    harness h;
    fill(x, 48, 4);
    harness_open(&h,
        RUN_X "[4,12]\n"
              "  %2 = embedding(%0, %1) : f32[T,12]\n"
              "  %3 = input name=\"positions\" : i32[T]\n"
              "  %4 = weight name=\"f\" : f32[2]\n"
              "  %5 = rope(%2, %3, %4) head_size=6 magnitude=1.5 : f32[T,12]\n"
              "  %6 = rope(%2, %3, %4) head_size=6 interleaved=1 : f32[T,12]\n"
              "  output y = %5\n",
        (named[]){{"x", x}, {"f", frequencies}, {0}});
    tri_step *step = harness_simple_step(&h, 4);
    memcpy(FIELD(int32_t, positions), (int32_t[]){0, 1, 7, 100}, 4 * sizeof(int32_t));
    harness_run(&h);
    const float *y = tri_interp_output(h.interp, "%5", &rows, &columns);
    const float *z = tri_interp_output(h.interp, "%6", &rows, &columns);
    for (int i = 0; i < 12; i++) {
        assert_float_equal(y[12 + i], neox[i], one_rounding);
        assert_float_equal(y[36 + i], neox[12 + i], one_rounding);
        assert_float_equal(z[12 + i], gptj[i], one_rounding);
        assert_float_equal(z[36 + i], gptj[12 + i], one_rounding);
    }
    harness_close(&h);
}

/* The fused op is norms, ropes and write one after the other, to the bit. */
static void fused_op_is_its_parts(void **state) {
    (void)state;
    static const float q_norm[] = {1, 0.5f, 2, -1}, k_norm[] = {0.25f, 1, 1, 3};
    int64_t rows, columns;
    harness h;
    harness_open(&h,
        "  group 0 full tokens_per_block=4\n" QKV "  %7 = input name=\"positions\" : i32[T]\n"
        "  %8 = rope_frequencies rotary_dim=4 : f32[2]\n"
        "  %9 = weight name=\"qn\" : f32[4]\n"
        "  %10 = weight name=\"kn\" : f32[4]\n"
        "  %11 = rms_norm(%4, %9) eps=1e-06 : f32[T,8]\n"
        "  %12 = rms_norm(%5, %10) eps=1e-06 : f32[T,4]\n"
        "  %13 = rope(%11, %7, %8) head_size=4 magnitude=1.25 : f32[T,8]\n"
        "  %14 = rope(%12, %7, %8) head_size=4 magnitude=1.25 : f32[T,4]\n"
        "  %15 = cache : cache<f16, 1, 4>\n"
        "  %16 = kv_write(%14, %6, %15) : cache<f16, 1, 4>\n"
        "  %17 = attention(%13, %16) n_heads=2 : f32[T,8]\n"
        "  %18 = cache layer=1 : cache<f16, 1, 4>\n"
        "  %19, %20 = rope_kv_write(%4, %5, %6, %18, %7, %8, q_norm=%9, k_norm=%10) head_size=4 "
        "magnitude=1.25 eps=1e-06 : f32[T,8], cache<f16, 1, 4>\n"
        "  %21 = attention(%19, %20) n_heads=2 : f32[T,8]\n"
        "  output y = %21\n",
        (named[]){{"q", q_values}, {"k", k_values}, {"v", v_values}, {"qn", q_norm}, {"kn", k_norm},
            {0}});
    harness_simple_step(&h, T);
    harness_run(&h);
    const float *parts = tri_interp_output(h.interp, "%17", &rows, &columns);
    const float *fused = tri_interp_output(h.interp, "y", &rows, &columns);
    assert_memory_equal(parts, fused, T * H * D * sizeof *fused);
    harness_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_attention),
        cmocka_unit_test(window_and_softcap),
        cmocka_unit_test(chunks_and_batch_mates_change_no_bit),
        cmocka_unit_test(caches_round_to_their_dtype),
        cmocka_unit_test(missing_blocks_are_named),
        cmocka_unit_test(window_needs_no_older_block),
        cmocka_unit_test(rope_of_both_kinds),
        cmocka_unit_test(fused_op_is_its_parts),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
