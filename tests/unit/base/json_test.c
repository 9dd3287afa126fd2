#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

/* ---- pull parser ---- */

static void events_in_order(void **state) {
    (void)state;
    static const tri_json_kind kinds[] = {TRI_JSON_OBJECT, TRI_JSON_KEY, TRI_JSON_ARRAY,
        TRI_JSON_NUMBER, TRI_JSON_BOOL, TRI_JSON_NULL, TRI_JSON_OBJECT, TRI_JSON_END_OBJECT,
        TRI_JSON_ARRAY, TRI_JSON_END_ARRAY, TRI_JSON_END_ARRAY, TRI_JSON_KEY, TRI_JSON_STRING,
        TRI_JSON_END_OBJECT, TRI_JSON_END, TRI_JSON_END};
    tri_json_reader r;
    tri_json_event e;
    tri_json_reader_init(
        &r, TRI_STR("\xEF\xBB\xBF {\"a\":[-1.5e3, true,null,{ },[]] ,\n\t\"b\" : \"x\\ny\"}\r\n"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_int_equal(tri_json_next(&r, &e, NULL), TRI_OK);
        assert_int_equal(e.kind, kinds[i]);
        if (i == 1) assert_true(tri_str_is(e.raw, "a") && !e.escaped);
        if (i == 3) assert_true(tri_str_is(e.raw, "-1.5e3"));
        if (i == 4) assert_true(e.boolean);
        if (i == 12) assert_true(tri_str_is(e.raw, "x\\ny") && e.escaped);
    }
}

static void skip_takes_one_whole_value(void **state) {
    (void)state;
    tri_json_reader r;
    tri_json_event e;
    tri_json_reader_init(&r, TRI_STR("[1, {\"a\": [2, {\"b\": 3}]}, \"x\", 4]"));
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tri_json_skip(&r, NULL), TRI_OK);
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_OK);
    assert_true(tri_str_is(e.raw, "4"));
    assert_int_equal(tri_json_skip(&r, NULL), TRI_E_ARGUMENT);
}

static tri_status drain(const char *text, tri_error *err) {
    /* A copy of exactly the text, so that a sanitizer sees one byte too far. */
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    tri_json_reader r;
    tri_json_event e = {0};
    tri_json_reader_init(&r, (tri_str){copy, n});
    tri_status rc = TRI_OK;
    do
        rc = tri_json_next(&r, &e, err);
    while (!rc && e.kind != TRI_JSON_END);
    free(copy);
    return rc;
}

static void accepts_what_python_writes(void **state) {
    (void)state;
    const char *good[] = {"NaN", "Infinity", "-Infinity", "[NaN,-Infinity]", "0", "-0", "1E+2",
        "123456789012345678901234567890", "\"\"", "{}", "[]", " 1 ", "\"\xF0\x9F\x9A\xA3\"",
        "\"\\ud83d\"", "\"\x7F\"", "{\"\":{\"\":[]}}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (drain(good[i], NULL)) fail_msg("refused: %s", good[i]);
    }
}

/* The reader looks at eight bytes at once: every byte at every place of a run of them. */
static void every_byte_at_every_place(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 1; at <= 19; at++) {
            char text[32] = "\"aaaaaaaaaaaaaaaaaaa\"";
            text[at] = (char)byte;
            char *copy = malloc(21);
            memcpy(copy, text, 21);
            tri_json_reader r;
            tri_json_event e;
            tri_json_reader_init(&r, (tri_str){copy, 21});
            tri_status rc = tri_json_next(&r, &e, NULL);
            if (byte == '"') {
                assert_int_equal(rc, TRI_OK);
                assert_int_equal(e.raw.len, at - 1);
            } else if (byte < 0x20 || byte == '\\' || byte >= 0x80) {
                assert_int_equal(rc, TRI_E_FORMAT); /* \a is no escape, a lone byte no UTF-8 */
            } else {
                assert_int_equal(rc, TRI_OK);
                assert_int_equal(e.raw.len, 19);
            }
            free(copy);
        }
    }
}

static void refuses_what_is_not_json(void **state) {
    (void)state;
    const char *bad[] = {"", " ", "{", "[", "]", "}", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:2}", "{\"a\" 1}", "[1 2]", "1 2", "[1}", "{]",
        "{\"a\":1]", "01", "-", "-a", "1.", ".5", "+1", "1e", "1e+", "0x10", "nan", "Inf", "tru",
        "truex", "nulll", "'a'", "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
        "\"\\", "\"a\nb\"", "\"\x01\"", "\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"",
        "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\"", "\"\xC3", "//x\n1", "[1]//", "\"\\\0\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (drain(bad[i], NULL) != TRI_E_FORMAT) fail_msg("accepted: %s", bad[i]);
    }
    tri_json_reader r;
    tri_json_event e;
    tri_json_reader_init(&r, TRI_STR("\"\\\0\""));
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_E_FORMAT);
    tri_json_reader_init(&r, (tri_str){0});
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_E_FORMAT);
}

static void errors_give_line_and_column_and_stay(void **state) {
    (void)state;
    tri_error err = {0};
    drain("{\n  \"\xC3\xA9\": 1 x\n}", &err);
    assert_string_equal(err.message, "JSON line 2, column 10: expected ',' or '}', not 'x'");
    drain("[1,\n", &err);
    assert_string_equal(err.message, "JSON line 2, column 1: expected a value, but the text ends");

    tri_json_reader r;
    tri_json_event e;
    tri_json_reader_init(&r, TRI_STR("[x"));
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_OK);
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_E_FORMAT);
    assert_int_equal(tri_json_next(&r, &e, NULL), TRI_E_FORMAT);
}

static void depth_is_capped(void **state) {
    (void)state;
    char text[2 * TRI_JSON_MAX_DEPTH + 3] = {0};
    memset(text, '[', TRI_JSON_MAX_DEPTH);
    memset(text + TRI_JSON_MAX_DEPTH, ']', TRI_JSON_MAX_DEPTH);
    assert_int_equal(drain(text, NULL), TRI_OK);
    tri_arena arena = {0};
    const tri_json *root;
    assert_int_equal(tri_json_parse(tri_str_of(text), &arena, &root, NULL), TRI_OK);
    tri_arena_deinit(&arena);
    memset(text, '[', TRI_JSON_MAX_DEPTH + 1);
    assert_int_equal(drain(text, NULL), TRI_E_LIMIT);
}

static void escapes_decode(void **state) {
    (void)state;
    static const struct {
        const char *raw, *text;
    } cases[] = {
        {"plain", "plain"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u20AC", "A\xC3\xA9\xE2\x82\xAC"},
        {"\\ud83d\\udea3!", "\xF0\x9F\x9A\xA3!"}, /* a surrogate pair */
        {"\\ud83d", "\xEF\xBF\xBD"},              /* its first half alone */
        {"\\udea3x", "\xEF\xBF\xBDx"},            /* its second half alone */
        {"\\ud83d\\u0041", "\xEF\xBF\xBD"
                           "A"},
        {"\\ud83d\\ud83d\\udea3", "\xEF\xBF\xBD\xF0\x9F\x9A\xA3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = malloc(strlen(cases[i].raw)); /* the promised room and no more */
        size_t n = tri_json_unescape(tri_str_of(cases[i].raw), out);
        assert_true(tri_str_is((tri_str){out, n}, cases[i].text));
        free(out);
    }
    char nul;
    assert_int_equal(tri_json_unescape(TRI_STR("\\u0000"), &nul), 1);
    assert_int_equal(nul, 0);
}

static void integers_without_loss(void **state) {
    (void)state;
    static const struct {
        const char *raw;
        int64_t value;
    } good[] = {{"0", 0}, {"-0", 0}, {"3.0", 3}, {"3.000", 3}, {"1e3", 1000}, {"1.5e1", 15},
        {"-2.50E+2", -250}, {"1200e-2", 12}, {"0.00", 0}, {"0e999999999999", 0},
        {"0.0e-999999999999", 0}, {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN}, {"-9223372036854775808.0", INT64_MIN},
        {"100000000000000000000e-2", 1000000000000000000}, {"0.5e1", 5}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t value = 77;
        if (!tri_json_number_i64(tri_str_of(good[i].raw), &value) || value != good[i].value) {
            fail_msg("%s read as %" PRId64, good[i].raw, value);
        }
    }
    const char *bad[] = {"3.5", "1e-1", "NaN", "Infinity", "-Infinity", "9223372036854775808",
        "-9223372036854775809", "1e19", "1e999999999999", "0.1e0", "12.01e1",
        "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t value = 77;
        assert_false(tri_json_number_i64(tri_str_of(bad[i]), &value));
        assert_int_equal(value, 77);
    }
}

static void floats(void **state) {
    (void)state;
    assert_true(tri_json_number_f64(TRI_STR("-0.1")) == -0.1);
    assert_true(tri_json_number_f64(TRI_STR("-11.928380012512207")) == -11.928380012512207);
    assert_true(tri_json_number_f64(TRI_STR("1e400")) == INFINITY);
    assert_true(tri_json_number_f64(TRI_STR("-1e400")) == -INFINITY);
    assert_true(tri_json_number_f64(TRI_STR("-Infinity")) == -INFINITY);
    assert_true(tri_json_number_f64(TRI_STR("Infinity")) == INFINITY);
    assert_true(isnan(tri_json_number_f64(TRI_STR("NaN"))));
}

/* ---- tree ---- */

static const char config[] = "{\"hidden_size\": 576, \"eps\": 1e-05, \"tie\": true, \"rope\": null,"
                             " \"name\": \"Smol\\u004cM\", \"dims\": [1, 2.0, \"x\"],"
                             " \"big\": 3000000000, \"a\": 1, \"b\": 2, \"a\": {\"c\": 3}}";

static void tree_holds_the_text(void **state) {
    (void)state;
    tri_arena arena = {0};
    const tri_json *root = NULL;
    char *text = strdup(config);
    assert_int_equal(tri_json_parse(tri_str_of(text), &arena, &root, NULL), TRI_OK);
    free(text); /* the tree stands alone */
    assert_true(tri_json_is(root, TRI_JSON_OBJECT));
    assert_int_equal(root->n, 9);
    assert_string_equal(root->keys[0].ptr, "hidden_size");
    assert_string_equal(root->keys[7].ptr, "a"); /* the first place, */
    const tri_json *a = tri_json_get(root, "a");
    assert_ptr_equal(a, &root->items[7]); /* the last value */
    assert_string_equal(tri_json_get(a, "c")->text.ptr, "3");
    const tri_json *dims = tri_json_get(root, "dims");
    assert_int_equal(dims->n, 3);
    assert_string_equal(dims->items[1].text.ptr, "2.0");
    assert_string_equal(dims->items[2].text.ptr, "x");
    assert_null(tri_json_get(tri_json_get(root, "none"), "of these"));
    assert_null(tri_json_get(dims, "x"));
    assert_false(tri_json_is(NULL, TRI_JSON_NULL));
    tri_arena_deinit(&arena);
}

static void typed_reads(void **state) {
    (void)state;
    tri_arena arena = {0};
    const tri_json *root = NULL;
    tri_error err = {0};
    assert_int_equal(tri_json_parse(TRI_STR(config), &arena, &root, NULL), TRI_OK);
    int32_t i32 = 5;
    int64_t i64 = 5;
    double f64 = 5;
    bool flag = false;
    const char *name = "default";
    assert_int_equal(tri_json_read_i32(root, "hidden_size", 1, 1000, &i32, &err), TRI_OK);
    assert_int_equal(i32, 576);
    assert_int_equal(tri_json_read_i32(root, "hidden_size", 1, 500, &i32, &err), TRI_E_FORMAT);
    assert_string_equal(err.message, "\"hidden_size\" is 576, not an integer in [1, 500]");
    assert_int_equal(i32, 576);
    assert_int_equal(tri_json_read_i32(root, "big", 0, INT32_MAX, &i32, &err), TRI_E_FORMAT);
    assert_int_equal(tri_json_read_i64(root, "big", 0, INT64_MAX, &i64, &err), TRI_OK);
    assert_int_equal(i64, 3000000000);
    assert_int_equal(tri_json_read_i64(root, "eps", 0, 9, &i64, &err), TRI_E_FORMAT);
    assert_int_equal(tri_json_read_f64(root, "eps", &f64, &err), TRI_OK);
    assert_true(f64 == 1e-5);
    assert_int_equal(tri_json_read_f64(root, "name", &f64, &err), TRI_E_FORMAT);
    assert_string_equal(err.message, "\"name\" is \"SmolLM\", not a number");
    assert_int_equal(tri_json_read_bool(root, "tie", &flag, &err), TRI_OK);
    assert_true(flag);
    assert_int_equal(tri_json_read_bool(root, "dims", &flag, &err), TRI_E_FORMAT);
    assert_string_equal(err.message, "\"dims\" is an array of 3, not true or false");
    assert_int_equal(tri_json_read_string(root, "tie", &name, &err), TRI_E_FORMAT);
    assert_string_equal(err.message, "\"tie\" is true, not a string");
    /* Absent and null leave the default. */
    assert_int_equal(tri_json_read_string(root, "rope", &name, &err), TRI_OK);
    assert_int_equal(tri_json_read_string(root, "none", &name, &err), TRI_OK);
    assert_int_equal(tri_json_read_string(NULL, "none", &name, &err), TRI_OK);
    assert_string_equal(name, "default");
    assert_int_equal(tri_json_read_string(root, "name", &name, &err), TRI_OK);
    assert_string_equal(name, "SmolLM");
    tri_arena_deinit(&arena);
}

static void tree_respects_the_arenas_limit(void **state) {
    (void)state;
    tri_buf text = {0};
    tri_buf_putc(&text, '[');
    for (int i = 0; i < 10000; i++)
        tri_buf_puts(&text, "[],");
    tri_buf_puts(&text, "0]");
    tri_arena arena;
    tri_arena_init(&arena, 4096);
    const tri_json *root = NULL;
    assert_int_equal(
        tri_json_parse((tri_str){text.ptr, text.len}, &arena, &root, NULL), TRI_E_MEMORY);
    assert_null(root);
    tri_arena_deinit(&arena);
    tri_buf_deinit(&text);
}

/* ---- writer ---- */

static void writes_one_line_or_indented(void **state) {
    (void)state;
    tri_buf out = {0};
    tri_json_writer w;
    for (int indent = 0; indent <= 2; indent += 2) {
        tri_json_writer_init(&w, &out, indent);
        tri_json_begin_object(&w);
        tri_json_key(&w, "a");
        tri_json_begin_array(&w);
        tri_json_i64(&w, INT64_MIN);
        tri_json_bool(&w, true);
        tri_json_null(&w);
        tri_json_end_array(&w);
        tri_json_key(&w, "b");
        tri_json_begin_object(&w);
        tri_json_end_object(&w);
        tri_json_key(&w, "c");
        tri_json_string(&w, TRI_STR("\"\\\n\x01\x7F\0\xC3\xA9\xFF\xE2\x82"));
        tri_json_end_object(&w);
        tri_buf_putc(&out, '\n');
    }
    assert_string_equal(out.ptr,
        "{\"a\":[-9223372036854775808,true,null],\"b\":{},"
        "\"c\":\"\\\"\\\\\\n\\u0001\\u007f\\u0000\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"}\n"
        "{\n  \"a\": [\n    -9223372036854775808,\n    true,\n    null\n  ],\n  \"b\": {},\n"
        "  \"c\": "
        "\"\\\"\\\\\\n\\u0001\\u007f\\u0000\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"\n"
        "}\n");
    tri_buf_deinit(&out);
}

static const char *write_f64(tri_buf *out, double value) {
    tri_json_writer w;
    tri_buf_clear(out);
    tri_json_writer_init(&w, out, 0);
    tri_json_f64(&w, value);
    return out->ptr;
}

static void doubles_are_shortest_and_read_back(void **state) {
    (void)state;
    tri_buf out = {0};
    assert_string_equal(write_f64(&out, 0.1), "0.1");
    assert_string_equal(write_f64(&out, 1e-5), "1e-05");
    assert_string_equal(write_f64(&out, 10000), "10000.0");
    assert_string_equal(write_f64(&out, -0.0), "-0.0");
    assert_string_equal(write_f64(&out, 0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(write_f64(&out, 5e-324), "4.94065645841247e-324");
    assert_string_equal(write_f64(&out, NAN), "NaN");
    assert_string_equal(write_f64(&out, -INFINITY), "-Infinity");
    uint64_t bits = 88172645463325252;
    for (int i = 0; i < 20000; i++) { /* xorshift64: any bit pattern */
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isnan(value)) continue;
        write_f64(&out, value);
        assert_true(tri_json_number_f64((tri_str){out.ptr, out.len}) == value);
        assert_true(strtod(out.ptr, NULL) == value);
    }
    tri_buf_deinit(&out);
}

static void locale_changes_nothing(void **state) {
    (void)state;
    /* A comma for the point, where the machine has such a locale; else the C locale again. */
    if (!setlocale(LC_ALL, "de_DE.UTF-8")) setlocale(LC_ALL, "C.UTF-8");
    tri_buf out = {0};
    assert_string_equal(write_f64(&out, 0.5), "0.5");
    assert_true(tri_json_number_f64(TRI_STR("0.123456789012345678")) == 0.123456789012345678);
    tri_buf_deinit(&out);
    setlocale(LC_ALL, "C");
}

static void a_tree_writes_as_it_was_read(void **state) {
    (void)state;
    static const char text[] =
        "{\"a\":[1.50,-0,1e5,NaN,123456789012345678901234567890],\"b\\n\":{\"c\":[]},\"d\":null}";
    tri_arena arena = {0};
    tri_buf out = {0};
    tri_json_writer w;
    const tri_json *root = NULL;
    assert_int_equal(tri_json_parse(TRI_STR(text), &arena, &root, NULL), TRI_OK);
    tri_json_writer_init(&w, &out, 0);
    tri_json_value(&w, root);
    assert_string_equal(out.ptr, text);
    tri_buf_deinit(&out);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_in_order),
        cmocka_unit_test(skip_takes_one_whole_value),
        cmocka_unit_test(accepts_what_python_writes),
        cmocka_unit_test(every_byte_at_every_place),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(errors_give_line_and_column_and_stay),
        cmocka_unit_test(depth_is_capped),
        cmocka_unit_test(escapes_decode),
        cmocka_unit_test(integers_without_loss),
        cmocka_unit_test(floats),
        cmocka_unit_test(tree_holds_the_text),
        cmocka_unit_test(typed_reads),
        cmocka_unit_test(tree_respects_the_arenas_limit),
        cmocka_unit_test(writes_one_line_or_indented),
        cmocka_unit_test(doubles_are_shortest_and_read_back),
        cmocka_unit_test(locale_changes_nothing),
        cmocka_unit_test(a_tree_writes_as_it_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
