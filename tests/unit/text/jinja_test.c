/* What the engine promises beside jinja2's results, which tests/e2e/test_templates.py compares:
 * limits, errors with their place, marks of what came from the inputs, reuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/jinja/jinja.h"

static tri_status render_with(const char *source, const char *user, const char *model,
    const tri_jinja_limits *limits, tri_jinja_result *result, tri_error *err) {
    tri_arena arena;
    tri_jinja *jinja = NULL;
    const tri_json *u = NULL, *m = NULL;
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_json_parse(tri_str_of(user), &arena, &u, NULL), TRI_OK);
    if (model) assert_int_equal(tri_json_parse(tri_str_of(model), &arena, &m, NULL), TRI_OK);
    tri_status rc = tri_jinja_compile(&jinja, tri_str_of(source), err);
    tri_jinja_inputs inputs = {.model = m, .user = u, .now_s = 1};
    if (!rc) rc = tri_jinja_render(jinja, &inputs, limits, result, err);
    tri_jinja_free(jinja);
    tri_arena_deinit(&arena);
    return rc;
}

static void expect(const char *source, const char *user, const char *text) {
    tri_jinja_result r = {{0}, {0}};
    tri_error err = {0};
    if (render_with(source, user, NULL, NULL, &r, &err)) fail_msg("%s: %s", source, err.message);
    assert_string_equal(r.text.ptr ? r.text.ptr : "", text);
    tri_jinja_result_deinit(&r);
}

static void expect_error(const char *source, tri_status status, const char *message) {
    tri_jinja_result r = {{0}, {0}};
    tri_error err = {0};
    assert_int_equal(render_with(source, "{}", NULL, NULL, &r, &err), status);
    assert_string_equal(err.message, message);
    assert_int_equal(r.text.len, 0);
    tri_jinja_result_deinit(&r);
}

static void renders(void **state) {
    (void)state;
    expect("{% for m in messages %}<|{{ m.role }}|>{{ m['content'] }}\n{% endfor %}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}", "<|user|>hi\n");
    expect("", "{}", "");
    expect("{{ x }}{{ (x.y is defined) if x else 1 }}", "{}", "1");
    expect("{{ b }}{{ n }}{{ f }}{{ l }}",
        "{\"b\": true, \"n\": null, \"f\": 1e3, \"l\": [\"a'b\"]}", "TrueNone1000.0[\"a'b\"]");
    expect("{{ i }}", "{\"i\": 123456789012345678901234567890}", "123456789012345678901234567890");
    /* A constant, folded as jinja2 folds it; and characters of escaped text, which are plain. */
    expect("[{{ (2.5)[:2] }}]{{ '<'|e|list }}", "{}", "[]['&', 'l', 't', ';']");
}

static void names_the_place(void **state) {
    (void)state;
    expect_error("{{ a }}\n {{ b.c }}", TRI_E_ARGUMENT, "line 2, column 6: 'b' is undefined");
    expect_error("{{ raise_exception('no') }}", TRI_E_ARGUMENT, "line 1, column 19: no");
    expect_error("x {% if %}", TRI_E_FORMAT, "line 1, column 9: Expected an expression");
    expect_error("{{ 'a'|nope }}", TRI_E_FORMAT, "line 1, column 8: No filter named 'nope'.");
    expect_error("{{ [1] is divisibleby }}", TRI_E_ARGUMENT,
        "line 1, column 8: divisibleby is missing a required argument");
    expect_error("\xff", TRI_E_FORMAT, "line 1, column 1: the template is not UTF-8");
}

static void keeps_limits(void **state) {
    (void)state;
    const struct {
        const char *source;
        tri_jinja_limits limits;
        const char *named;
    } cases[] = {
        {"{% for i in range(1000) %}{% endfor %}", {.max_steps = 500}, "max_steps"},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", {.max_depth = 20}, "max_depth"},
        {"{% for i in range(1000) %}abc{% endfor %}", {.max_output_bytes = 100},
            "max_output_bytes"},
        {"{{ 'abc' * 1000000 }}", {.max_memory_bytes = 1 << 20}, "max_memory_bytes"},
        {"{{ range(90000)|list|length }}", {.max_memory_bytes = 1 << 18}, "max_memory_bytes"},
        {"{{ 2 ** 64 }}", {0}, "64 bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_jinja_result r = {{0}, {0}};
        tri_error err = {0};
        tri_status rc = render_with(cases[i].source, "{}", NULL, &cases[i].limits, &r, &err);
        assert_int_equal(rc, TRI_E_LIMIT);
        if (!strstr(err.message, cases[i].named)) fail_msg("%s", err.message);
        tri_jinja_result_deinit(&r);
    }
}

static void marks_the_inputs(void **state) {
    (void)state;
    tri_jinja_result r = {{0}, {0}};
    tri_error err = {0};
    /* The model's bos_token is trusted, the user's text is not, also where it is cut and joined. */
    tri_status rc = render_with("{{ bos_token }}[{{ (x ~ '|' ~ x)[1:-1]|upper }}]{{ bos_token }}",
        "{\"x\": \"abc\"}", "{\"bos_token\": \"<s>\"}", NULL, &r, &err);
    assert_int_equal(rc, TRI_OK);
    assert_string_equal(r.text.ptr, "<s>[BC|AB]<s>");
    const tri_text_span *spans = (const tri_text_span *)(const void *)r.plain.ptr;
    assert_int_equal(r.plain.len / sizeof *spans, 2);
    assert_int_equal(spans[0].begin, 4);
    assert_int_equal(spans[0].end, 6);
    assert_int_equal(spans[1].begin, 7);
    assert_int_equal(spans[1].end, 9);
    tri_jinja_result_deinit(&r);
}

static void users_names_win(void **state) {
    (void)state;
    tri_jinja_result r = {{0}, {0}};
    assert_int_equal(render_with("{{ a }}{{ b }}{{ range }}", "{\"a\": 1, \"range\": 2}",
                         "{\"a\": 3, \"b\": 4}", NULL, &r, NULL),
        TRI_OK);
    assert_string_equal(r.text.ptr, "142");
    assert_int_equal(r.plain.len, 2 * sizeof(tri_text_span));
    tri_jinja_result_deinit(&r);
}

/* A result is overwritten by the next rendering, and a failed one leaves it alone. */
static void reuses_results(void **state) {
    (void)state;
    tri_jinja_result r = {{0}, {0}};
    assert_int_equal(render_with("{{ x }}", "{\"x\": \"one\"}", NULL, NULL, &r, NULL), TRI_OK);
    assert_int_equal(
        render_with("a{{ y.z }}", "{\"x\": \"one\"}", NULL, NULL, &r, NULL), TRI_E_ARGUMENT);
    assert_string_equal(r.text.ptr, "one");
    assert_int_equal(render_with("two", "{}", NULL, NULL, &r, NULL), TRI_OK);
    assert_string_equal(r.text.ptr, "two");
    assert_int_equal(r.plain.len, 0);
    tri_jinja_result_deinit(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders),
        cmocka_unit_test(names_the_place),
        cmocka_unit_test(keeps_limits),
        cmocka_unit_test(marks_the_inputs),
        cmocka_unit_test(users_names_win),
        cmocka_unit_test(reuses_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
