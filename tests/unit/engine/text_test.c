/* The small texts of an engine: plans and build settings, printed and read, also when hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/plan_text.h"
#include "unit/engine/support.h"

static tri_status parse_plan(tri_plan_lists *lists, const char *text, tri_error *err) {
    static tri_arena arena;
    tri_arena_deinit(&arena);
    tri_arena_init(&arena, 0);
    return tri_plan_parse(lists, tri_str_of(text), &arena, err);
}

static void test_plan(void **state) {
    (void)state;
    tri_plan_lists lists;
    OK(parse_plan(&lists,
        "trireme.plan 1\nforward 0 linear some_kernel two words\n"
        "forward 1 add other_kernel \nsample 0 mask mask_generic x\n",
        err));
    assert_int_equal(lists.n_forward, 2);
    assert_int_equal(lists.n_sample, 1);
    assert_string_equal(lists.forward[0].op, "linear");
    assert_string_equal(lists.forward[0].kernel, "some_kernel");
    assert_string_equal(lists.forward[0].numerics, "two words");
    assert_string_equal(lists.forward[1].numerics, "");
    assert_string_equal(lists.sample[0].op, "mask");
    OK(parse_plan(&lists, "trireme.plan 1", err));
    assert_int_equal(lists.n_forward, 0);
}

static void test_bad_plans(void **state) {
    (void)state;
    static const char *const bad[] = {"", "trireme.plan 2\n", "trireme.plan 1 \n",
        "trireme.plan 1\n\n", "trireme.plan 1\nforward 1 add k\n",
        "trireme.plan 1\nforward 0 add\n", "trireme.plan 1\nforward 0  k\n",
        "trireme.plan 1\nbackward 0 add k\n", "trireme.plan 1\nforward -1 add k\n",
        "trireme.plan 1\nforward 0 add k\nforward 0 add k\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tri_plan_lists lists;
        FAILS(TRI_E_FORMAT, parse_plan(&lists, bad[i], err), "plan");
    }
}

static tri_engine_target target; /* specs point into it */

static tri_status spec_of(tri_engine_spec *spec, tri_build_options options, tri_error *err) {
    options.struct_size = sizeof options;
    return tri_spec_from_options(spec, &options, &target, err);
}

static void test_defaults(void **state) {
    (void)state;
    tri_engine_spec s;
    OK(spec_of(&s, (tri_build_options){0}, err));
    assert_string_equal(s.target, "cpu");
    assert_string_equal(s.isa, tri_isa_shown(tri_machine_isa()));
    assert_int_equal(s.max_batch_size, 8);
    assert_int_equal(s.max_num_tokens, 512);
    assert_int_equal(s.tokens_per_block, 32);
    assert_int_equal(s.precision.weights, TRI_N_DTYPES);
    assert_int_equal(s.precision.weight_only, TRI_N_DTYPES);
    assert_null(s.precision.activation);
    OK(spec_of(&s, (tri_build_options){.weight_only = "int4"}, err));
    assert_int_equal(s.precision.group_size, 128);
    OK(spec_of(&s, (tri_build_options){.weight_only = "int4", .group_size = -1}, err));
    assert_int_equal(s.precision.group_size, 0);
    OK(spec_of(&s, (tri_build_options){.cpu_isa = "generic", .activation_dtype = "int8"}, err));
    assert_string_equal(s.isa, "generic");
    assert_string_equal(s.precision.activation, "i8");
}

static void test_bad_options(void **state) {
    (void)state;
    const struct {
        tri_build_options options;
        tri_status status;
        const char *word;
    } bad[] = {
        {{.target = "tpu"}, TRI_E_UNSUPPORTED, "tpu"},
        {{.cpu_isa = "sse9"}, TRI_E_ARGUMENT, "sse9"},
        {{.dtype = "float8"}, TRI_E_ARGUMENT, "float8"},
        {{.activation_dtype = "int4"}, TRI_E_ARGUMENT, "activation_dtype"},
        {{.kv_cache_dtype = "int8"}, TRI_E_ARGUMENT, "kv_cache_dtype"},
        {{.weight_only = "int2"}, TRI_E_ARGUMENT, "weight_only"},
        {{.weight_only = "int4", .group_size = 48}, TRI_E_ARGUMENT, "group_size"},
        {{.weight_only = "int4", .group_size = -2}, TRI_E_ARGUMENT, "group_size"},
        {{.tp_size = -1}, TRI_E_ARGUMENT, "tp_size"},
        {{.tokens_per_block = 5000}, TRI_E_ARGUMENT, "tokens_per_block"},
        {{.max_seq_len = -7}, TRI_E_ARGUMENT, "max_seq_len"},
        {{.max_beam_width = 2}, TRI_E_UNSUPPORTED, "max_beam_width"},
        {{.n_plugins = 1}, TRI_E_ARGUMENT, "n_plugins"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tri_engine_spec s;
        FAILS(bad[i].status, spec_of(&s, bad[i].options, err), bad[i].word);
    }
}

static tri_status read_spec(tri_engine_spec *spec, const char *text, tri_error *err) {
    static tri_arena arena;
    const tri_json *json;
    tri_arena_deinit(&arena);
    tri_arena_init(&arena, 0);
    TRI_TRY(tri_json_parse(tri_str_of(text), &arena, &json, err));
    return tri_spec_read(spec, json, &arena, err);
}

static void test_spec_text(void **state) {
    (void)state;
    tri_engine_spec s, back;
    OK(spec_of(&s,
        (tri_build_options){.dtype = "bfloat16",
            .kv_cache_dtype = "float16",
            .weight_only = "int4",
            .group_size = 64,
            .activation_dtype = "float32",
            .max_batch_size = 3,
            .max_num_tokens = 99,
            .max_seq_len = 1234,
            .tokens_per_block = 16,
            .strip_plan = true},
        err));
    s.rank = 3;
    s.tp_size = 2;
    s.pp_size = 2;
    tri_buf text = {0};
    tri_json_writer w;
    tri_json_writer_init(&w, &text, 0);
    tri_spec_write(&s, &w);
    OK(read_spec(&back, text.ptr, err));
    assert_string_equal(back.target, s.target);
    assert_string_equal(back.isa, s.isa);
    assert_string_equal(back.precision.activation, "f32");
    assert_int_equal(back.precision.weights, s.precision.weights);
    assert_int_equal(back.precision.kv, s.precision.kv);
    assert_int_equal(back.precision.weight_only, s.precision.weight_only);
    assert_int_equal(back.precision.group_size, s.precision.group_size);
    assert_int_equal(back.rank, 3);
    assert_int_equal(back.tp_size, 2);
    assert_int_equal(back.pp_size, 2);
    assert_int_equal(back.max_batch_size, 3);
    assert_int_equal(back.max_num_tokens, 99);
    assert_int_equal(back.max_seq_len, 1234);
    assert_int_equal(back.tokens_per_block, 16);
    assert_true(back.stripped);
    tri_buf_deinit(&text);
}

static void test_bad_spec_text(void **state) {
    (void)state;
    static const char *const bad[] = {"[]", "{}", "{\"target\":\"cpu\"}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"tp_size\":0}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"rank\":1}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"weights\":\"i8\"}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"weight_only\":\"f32\"}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"activation\":\"f64\"}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"max_seq_len\":-1}",
        "{\"target\":\"cpu\",\"isa\":\"avx2\",\"group_size\":1e30}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tri_engine_spec s;
        FAILS(TRI_E_FORMAT, read_spec(&s, bad[i], err), "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_bad_plans),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_spec_text),
        cmocka_unit_test(test_bad_spec_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
