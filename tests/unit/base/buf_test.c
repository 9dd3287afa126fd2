#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void views(void **state) {
    (void)state;
    tri_str a = TRI_STR("model.layers");
    assert_true(tri_str_starts(a, "model."));
    assert_true(tri_str_starts(a, ""));
    assert_false(tri_str_starts(a, "model.layers."));
    assert_true(tri_str_ends(a, "layers"));
    assert_false(tri_str_ends(a, "a.model.layers"));
    assert_true(tri_str_is(a, "model.layers"));
    assert_false(tri_str_is(a, "model.layer"));
    assert_true(tri_str_equal(tri_str_of(NULL), (tri_str){0}));
    assert_false(tri_str_equal(TRI_STR("a\0b"), TRI_STR("a\0c")));
}

static void integers(void **state) {
    (void)state;
    int64_t n = 7;
    assert_true(tri_str_to_i64(TRI_STR("-9223372036854775808"), &n) && n == INT64_MIN);
    assert_true(tri_str_to_i64(TRI_STR("9223372036854775807"), &n) && n == INT64_MAX);
    assert_true(tri_str_to_i64(TRI_STR("+12"), &n) && n == 12);
    const char *bad[] = {"", "-", "+", "9223372036854775808", "-9223372036854775809", "1.0", " 1",
        "1 ", "0x10", "1e3", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        n = 7;
        assert_false(tri_str_to_i64(tri_str_of(bad[i]), &n));
        assert_int_equal(n, 7);
    }
}

static void floats(void **state) {
    (void)state;
    double x = 7;
    assert_true(tri_str_to_f64(TRI_STR("0.1"), &x) && x == 0.1);
    assert_true(tri_str_to_f64(TRI_STR("-1.5e-3"), &x) && x == -1.5e-3);
    assert_true(tri_str_to_f64(TRI_STR(".5"), &x) && x == 0.5);
    assert_true(tri_str_to_f64(TRI_STR("1e-999"), &x) && x == 0);
    /* 1 + 2^-53 is halfway to the next double and goes to the even 1; a digit far behind it
     * decides. */
    char text[300] = "1.00000000000000011102230246251565404236316680908203125";
    assert_true(tri_str_to_f64(tri_str_of(text), &x) && x == 1);
    size_t n = strlen(text);
    memset(text + n, '0', 200);
    memcpy(text + n + 200, "1", 2);
    assert_true(tri_str_to_f64(tri_str_of(text), &x) && x == 0x1.0000000000001p0);
    const char *bad[] = {"", ".", "-", "1e", "1e+", "inf", "nan", "0x1p3", "1,5", " 1", "1 ",
        "1e999", "-1e999", "e5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        x = 7;
        assert_false(tri_str_to_f64(tri_str_of(bad[i]), &x));
        assert_true(x == 7);
    }
}

static void buffer_grows_and_keeps_its_nul(void **state) {
    (void)state;
    tri_buf buf = {0};
    char expected[1001] = {0};
    for (int i = 0; i < 100; i++) {
        tri_buf_puts(&buf, "abc");
        tri_buf_putc(&buf, '-');
        tri_buf_append(&buf, "xyzzy", 3);
        tri_buf_printf(&buf, "%03d", i);
        char piece[32];
        snprintf(piece, sizeof piece, "abc-xyz%03d", i);
        strcat(expected, piece);
        assert_int_equal(buf.ptr[buf.len], 0);
    }
    assert_string_equal(buf.ptr, expected);
    memset(tri_buf_extend(&buf, 5), 'q', 5);
    assert_int_equal(buf.len, 1005);
    assert_string_equal(buf.ptr + 1000, "qqqqq");
    assert_int_equal(tri_buf_status(&buf, NULL), TRI_OK);
    tri_buf_clear(&buf);
    assert_string_equal(buf.ptr, "");
    tri_buf_deinit(&buf);
    assert_null(buf.ptr);
}

static void failure_sticks_until_cleared(void **state) {
    (void)state;
    tri_error err = {0};
    tri_buf buf = {.limit_bytes = 10};
    tri_buf_puts(&buf, "12345678");
    tri_buf_puts(&buf, "9012345");
    tri_buf_putc(&buf, 'x'); /* would fit, but a hole must not appear */
    assert_string_equal(buf.ptr, "12345678");
    assert_int_equal(tri_buf_status(&buf, &err), TRI_E_LIMIT);
    assert_non_null(strstr(err.message, "10 bytes"));
    tri_buf_clear(&buf);
    tri_buf_puts(&buf, "1234567890");
    assert_int_equal(tri_buf_status(&buf, &err), TRI_OK);
    tri_buf_deinit(&buf);

    tri_buf huge = {0};
    tri_buf_putc(&huge, 'x');
    assert_null(tri_buf_extend(&huge, SIZE_MAX));
    assert_int_equal(tri_buf_status(&huge, NULL), TRI_E_MEMORY);
    tri_buf_deinit(&huge);
}

static void text_is_escaped_for_people(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {{"", ""}, {"plain \\ \"text\"", "plain \\ \"text\""},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd"}, {"\x1b[31m\x7f", "\\x1b[31m\\x7f"},
        {"\xC2\x9b\xC2\xA0", "\\u009b\xC2\xA0"},
        {"\xE2\x80\xAE\xE2\x81\xA6\xEF\xBB\xBF", "\\u202e\\u2066\\ufeff"},
        {"caf\xC3\xA9 \xF0\x9F\x98\x80", "caf\xC3\xA9 \xF0\x9F\x98\x80"},
        {"\xC3(\xF0\x9F\x98", "\\xc3(\\xf0\\x9f\\x98"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char shown[64];
        tri_buf buf = {0};
        tri_str text = tri_str_of(cases[i].text);
        assert_int_equal(tri_str_escape(text, shown, sizeof shown), strlen(cases[i].shown));
        assert_string_equal(shown, cases[i].shown);
        tri_buf_put_escaped(&buf, text);
        tri_buf_putc(&buf, '.');
        assert_int_equal(buf.len, strlen(cases[i].shown) + 1);
        assert_memory_equal(buf.ptr, cases[i].shown, buf.len - 1);
        tri_buf_deinit(&buf);
    }
    char five[5];
    assert_int_equal(tri_str_escape((tri_str){"\0a", 2}, five, sizeof five), 4);
    assert_string_equal(five, "\\x00");
    assert_int_equal(tri_str_escape(tri_str_of("abc\xC3\xA9"), five, sizeof five), 3);
    assert_int_equal(tri_str_escape(tri_str_of("abc\n"), five, sizeof five), 3);
}

static void nearest_suggests_only_what_is_near(void **state) {
    (void)state;
    const char *const flags[] = {"max_batch_size", "max_beam_width", "max_seq_len", "gemm_plugin"};
    assert_string_equal(tri_nearest("max_batchsize", flags, 4), "max_batch_size");
    assert_string_equal(tri_nearest("gem_plugin", flags, 4), "gemm_plugin");
    assert_string_equal(tri_nearest("max_seq_len", flags, 4), "max_seq_len");
    assert_null(tri_nearest("verbose", flags, 4));
    assert_null(tri_nearest("", flags, 4));
    const char *const one[] = {"a"};
    assert_null(tri_nearest("x", one, 1));
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[199] = 0;
    assert_null(tri_nearest(longest, flags, 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(integers),
        cmocka_unit_test(floats),
        cmocka_unit_test(buffer_grows_and_keeps_its_nul),
        cmocka_unit_test(failure_sticks_until_cleared),
        cmocka_unit_test(text_is_escaped_for_people),
        cmocka_unit_test(nearest_suggests_only_what_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
