/* Real tokenizers' expressions against cuts by Oniguruma and Python's regex module
 * (tests/golden/text/make_regex.py); the syntax, errors and limits by hand-written cases; texts on
 * which trying place after place would be quadratic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "text/regex.h"

static tri_regex_scan *scan_of(tri_regex **regex, tri_str pattern, tri_regex_syntax syntax) {
    tri_error err = {0};
    tri_regex_scan *scan = NULL;
    if (tri_regex_compile_as(regex, pattern, syntax, &err)) fail_msg("%s", err.message);
    if (tri_regex_scan_create(&scan, *regex, &err)) fail_msg("%s", err.message);
    return scan;
}

static void put_piece(tri_buf *out, size_t n) {
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (n > 0) tri_buf_putc(out, alphabet[n]);
}

static void cut(tri_regex_scan *scan, tri_str text, tri_buf *out) {
    size_t at = 0, begin, end, done = 0;
    tri_buf_clear(out);
    assert_int_equal(tri_regex_scan_begin(scan, text, NULL), TRI_OK);
    while (tri_regex_scan_next(scan, &at, &begin, &end)) {
        put_piece(out, begin - done);
        put_piece(out, end - begin);
        done = end;
    }
    put_piece(out, text.len - done);
}

static void golden(void **state) {
    (void)state;
    tri_error err = {0};
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_str file;
    tri_buf got = {0};
    if (tri_file_read(TRI_TESTS_DIR "/golden/text/regex.json", 1 << 20, &arena, &file, &err))
        fail_msg("%s", err.message);
    const tri_json *root = NULL;
    if (tri_json_parse(file, &arena, &root, &err)) fail_msg("%s", err.message);
    const tri_json *texts = tri_json_get(root, "texts"), *patterns = tri_json_get(root, "patterns");
    assert_true(texts && patterns && patterns->n > 40 && texts->n > 300);
    int32_t n_bad = 0;
    for (int32_t i = 0; i < patterns->n; i++) {
        const tri_json *p = &patterns->items[i], *cuts = tri_json_get(p, "cuts");
        bool ruby = tri_str_is(tri_json_get(p, "syntax")->text, "ruby");
        tri_regex *regex = NULL;
        tri_regex_scan *scan = scan_of(
            &regex, tri_json_get(p, "pattern")->text, ruby ? TRI_REGEX_RUBY : TRI_REGEX_PERL);
        assert_int_equal(cuts->n, texts->n);
        for (int32_t k = 0; k < texts->n; k++) {
            cut(scan, texts->items[k].text, &got);
            if (tri_str_equal((tri_str){got.ptr, got.len}, cuts->items[k].text)) continue;
            print_error("%.*s on '%.*s': %s, not %.*s\n", (int)tri_json_get(p, "name")->text.len,
                tri_json_get(p, "name")->text.ptr, (int)texts->items[k].text.len,
                texts->items[k].text.ptr, got.ptr, (int)cuts->items[k].text.len,
                cuts->items[k].text.ptr);
            n_bad++;
        }
        tri_regex_scan_free(scan);
        tri_regex_free(regex);
    }
    tri_buf_deinit(&got);
    tri_arena_deinit(&arena);
    assert_int_equal(n_bad, 0);
}

/* Matches as "begin-end begin-end". */
static void check(
    const char *pattern, tri_regex_syntax syntax, const char *text, const char *want) {
    tri_regex *regex = NULL;
    tri_regex_scan *scan = scan_of(&regex, tri_str_of(pattern), syntax);
    tri_buf got = {0};
    tri_buf_puts(&got, "");
    for (int round = 0; round < 2; round++) { /* the second time with the automaton made */
        size_t at = 0, begin, end;
        tri_buf_clear(&got);
        assert_int_equal(tri_regex_scan_begin(scan, tri_str_of(text), NULL), TRI_OK);
        while (tri_regex_scan_next(scan, &at, &begin, &end))
            tri_buf_printf(&got, "%s%zu-%zu", got.len ? " " : "", begin, end);
        if (strcmp(got.len ? got.ptr : "", want) != 0)
            fail_msg("%s on '%s': %s, not %s", pattern, text, got.len ? got.ptr : "", want);
    }
    tri_buf_deinit(&got);
    tri_regex_scan_free(scan);
    tri_regex_free(regex);
}

/* Expected by the definition of a backtracking matcher, worked out by hand. */
static void syntax(void **state) {
    (void)state;
    const tri_regex_syntax perl = TRI_REGEX_PERL, ruby = TRI_REGEX_RUBY;
    check("a|ab", perl, "abab", "0-1 2-3");
    check("(?:a|ab)(?:c|bcd)", perl, "abcd", "0-4");
    check("a*?b|a", perl, "aab", "0-3");
    check("a{2,3}", perl, "aaaaa", "0-3 3-5");
    check("a{2,3}?", perl, "aaaaa", "0-2 2-4");
    check("a{,2}", perl, "a{,2}", "0-5");
    check("a{,2}b", ruby, "aaab", "1-4");
    check("x{1", perl, "x{1", "0-3");
    check("\\d{1,3}+", perl, "12345", "0-3 3-5");
    check("\\d{1,3}+", ruby, "12345", "0-5");
    check("a++a", perl, "aaa", "");
    check("(?>a|ab)c", perl, "abc ac", "4-6");
    check("(?>ab|a)b", perl, "abb ab", "0-3");
    check("(?:ab|c)?+c", perl, "abcc cc c", "0-3 5-7");
    /* An empty match behind a match is none, one elsewhere moves on a code point. */
    check("b*", perl, "abc", "0-0 1-2 3-3");
    check("", perl, "\xC3\xA9", "0-0 2-2");
    check("(?:|a)*", perl, "aa", "0-0 1-1 2-2");
    check("(?:a?)*b", perl, "aab", "0-3");
    check("^a|b$", perl, "a\na b\nb", "0-1 6-7");
    check("^a|b$", ruby, "a\na b\nb", "0-1 2-3 4-5 6-7");
    check("(?m)^a", perl, "a\na", "0-1 2-3");
    check("(?s).", perl, "\n", "0-1");
    check("(?m).", ruby, "\n", "0-1");
    check(".", perl, "\n\xE2\x82\xAC", "1-4");
    check("\\Aa|a\\z|b\\Z", perl, "aaba\n", "0-1");
    check("b\\Z", perl, "bb\n", "1-2");
    check("\\bfoo\\b", perl, "foo food foo", "0-3 9-12");
    check("o\\B", perl, "foo food", "1-2 5-6 6-7");
    check("(?<=a)b|(?<!a)c", perl, "abcac", "1-2 2-3");
    check("(?<=ab+)c", perl, "abbc bc", "3-4");
    check("(?=\\w+!)\\w", perl, "ab! c", "0-1 1-2");
    check("(?!(?:ab)+c)a", perl, "ababc aba", "6-7 8-9");
    check("(?=a(?!b(?=c)))a", perl, "abc abd", "4-5");
    check("(?i)stra\xC3\x9F"
          "e",
        perl,
        "STRA\xE1\xBA\x9E"
        "E",
        "0-8");
    check("(?i:k)K", perl, "kK KK \xE2\x84\xAAK", "0-2 3-5 6-10");
    check("(?i:a)b|(?-i)B", perl, "AB Ab", "1-2 3-5");
    check("a(?i)b|c", ruby, "aC ab C", "0-2 3-5");
    check("a(?i)b|c", perl, "aC ab C", "1-2 3-5 6-7");
    check("[a-c&&[^b]x]", perl, "abcx", "0-1 2-3");
    check("[^a-c&&[^b]]", perl, "abcx", "1-2 3-4");
    check("[]a]+", perl, "]a]", "0-3");
    check("[a\\]\\-z-]+", perl, "a]-z-b", "0-5");
    check("[\\d\\s]+", perl, "1 \xD9\xA3x", "0-4");
    check("[[:alpha:][:^ascii:]]+", perl,
        "a\xE2\x82\xAC"
        "1",
        "0-4");
    check("\\p{Han}|\\p{sc=Greek}|\\p{^L}", perl,
        "\xE4\xB8\x80\xCE\xB1"
        "a1",
        "0-3 3-5 6-7");
    check("\\pL\\PL", perl, "a1", "0-2");
    check("\\x41\\x{20AC}\\u0042\\012\\t\\e", perl,
        "A\xE2\x82\xAC"
        "B\n\t\033",
        "0-8");
    check("\\R", perl, "\r\n\n\xC2\x85", "0-2 2-3 3-5");
    check("\\Rx|\\n", perl, "\r\nx\r\n\n", "0-3 4-5 5-6");
    check("(?x) a b # no\n [ ]", perl, "ab ", "0-3");
    check("(?<name>a)(?P<more>b)(?#no)c", perl, "abc", "0-3");
    check("\\h", perl, "g\tF", "2-3");
    check("(?:(?:a|b)(?:c|d)){2}", perl, "acbdad", "0-4");
    check("\\w", ruby, "\xC2\xBD", "0-2");
    check("[\\w]", ruby, "\xC2\xBD", "");
    check("\\w|[\\w]", perl, "\xC2\xBD\xE2\x80\x8D", "2-5");
    check("\\w|[\\w]", ruby, "\xE2\x80\x8D", "");
}

static void rejected(const char *pattern, tri_status status, const char *place) {
    tri_error err = {0};
    tri_regex *regex = NULL;
    tri_status rc = tri_regex_compile(&regex, tri_str_of(pattern), &err);
    if (rc != status || !strstr(err.message, place))
        fail_msg("%s: %s %s", pattern, tri_status_name(rc), err.message);
    assert_null(regex);
}

static void errors(void **state) {
    (void)state;
    rejected("a(b", TRI_E_FORMAT, "at byte 1: ( without its )");
    rejected("a)b", TRI_E_FORMAT, "at byte 1: ) without its (");
    rejected("ab[c", TRI_E_FORMAT, "at byte 2: [ without its ]");
    rejected("*", TRI_E_FORMAT, "at byte 0: a repeat of nothing");
    rejected("a{3,2}", TRI_E_FORMAT, "at byte 1");
    rejected("[z-a]", TRI_E_FORMAT, "at byte 1: the range U+007A-U+0061 is empty");
    rejected("[a-\\d]", TRI_E_FORMAT, "at byte 3");
    rejected("ab\\", TRI_E_FORMAT, "at byte 2");
    rejected("\\x{110000}", TRI_E_FORMAT, "U+110000");
    rejected("\\p{L", TRI_E_FORMAT, "at byte 0");
    rejected("a\xFF", TRI_E_FORMAT, "at byte 1: not UTF-8");
    rejected("\\p{Klingon}", TRI_E_UNSUPPORTED, "\\p{Klingon}");
    rejected("(a)\\1", TRI_E_UNSUPPORTED, "at byte 3: back-references");
    rejected("a\\G", TRI_E_UNSUPPORTED, "at byte 1: \\G");
    rejected("x(?>a*b*)c", TRI_E_UNSUPPORTED, "at byte 1: this possessive repeat");
    rejected("(?(1)a)", TRI_E_UNSUPPORTED, "(?(");
    rejected("a{100000}", TRI_E_LIMIT, "at byte 1: a repeat of more than 4096");
    rejected("(?:a{1000}){1000}", TRI_E_LIMIT, "16384 steps");
    rejected("(?=aa)(?=ab)(?=ac)(?=ad)(?=ae)(?=af)(?=ag)", TRI_E_LIMIT, "look-around");

    tri_buf deep = {0};
    for (int i = 0; i < 5000; i++)
        tri_buf_putc(&deep, '(');
    rejected(deep.ptr, TRI_E_LIMIT, "nested more than 250 deep");
    tri_buf_clear(&deep);
    for (int i = 0; i < 5000; i++)
        tri_buf_putc(&deep, '[');
    rejected(deep.ptr, TRI_E_LIMIT, "nested more than 250 deep");
    tri_buf_clear(&deep);
    tri_buf_putc(&deep, 'a');
    for (int i = 0; i < 5000; i++)
        tri_buf_puts(&deep, "*?");
    rejected(deep.ptr, TRI_E_LIMIT, "nested more than 250 deep");
    tri_buf_clear(&deep);
    for (int i = 0; i < 70000; i++)
        tri_buf_putc(&deep, 'a');
    rejected(deep.ptr, TRI_E_LIMIT, "70000 bytes");
    tri_buf_deinit(&deep);

    tri_regex *regex = NULL;
    assert_int_equal(tri_regex_compile(&regex, TRI_STR("(a{1,1000}|b)"), NULL), TRI_OK);
    tri_regex_free(regex);
    assert_int_equal(tri_regex_compile(&regex, TRI_STR("("), NULL), TRI_E_FORMAT);
}

static size_t count(const char *pattern, tri_str text, size_t *last_end) {
    tri_regex *regex = NULL;
    tri_regex_scan *scan = scan_of(&regex, tri_str_of(pattern), TRI_REGEX_PERL);
    size_t at = 0, begin, n = 0;
    assert_int_equal(tri_regex_scan_begin(scan, text, NULL), TRI_OK);
    while (tri_regex_scan_next(scan, &at, &begin, last_end))
        n++;
    tri_regex_scan_free(scan);
    tri_regex_free(regex);
    return n;
}

/* Quadratic time would be hours. */
static void linear(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    char *text = malloc(N);
    assert_non_null(text);
    tri_str t = {text, N};
    size_t end = 0;
    memset(text, 'a', N);
    assert_int_equal(count("a+b", t, &end), 0);
    assert_int_equal(count("(a|b)*c", t, &end), 0);
    assert_int_equal(count("(?:a{7})+b", t, &end), 0);
    assert_int_equal(count("a|a*b", t, &end), N);
    assert_int_equal(count("(?=a+b)a", t, &end), 0);
    assert_int_equal(count("(?:a+)+$", t, &end), 1);
    assert_int_equal(end, N);
    text[N - 1] = 'b';
    assert_int_equal(count("a*c|a{3}", t, &end), (N - 1) / 3);
    assert_int_equal(count("a+b", t, &end), 1);
    memset(text, ' ', N);
    text[N - 1] = 'x';
    assert_int_equal(count("\\s+$", t, &end), 0);
    assert_int_equal(count("\\s*[\\r\\n]+|\\s++$|\\s+(?!\\S)|\\s", t, &end), 2);
    memset(text, '7', N);
    assert_int_equal(count("(?=(\\d{3})+(?!\\d))", t, &end), (N - 1) / 3);
    free(text);
}

static void scans(void **state) {
    (void)state;
    tri_regex *regex = NULL;
    tri_regex_scan *scan = scan_of(&regex, TRI_STR("a+b|a"), TRI_REGEX_PERL);
    tri_regex_scan *other = NULL;
    assert_int_equal(tri_regex_scan_create(&other, regex, NULL), TRI_OK);
    size_t at = 0, begin = 7, end = 7;
    assert_false(tri_regex_scan_next(scan, &at, &begin, &end)); /* no text yet: an empty one */
    tri_buf text = {0};
    for (int i = 0; i < 2000; i++)
        tri_buf_putc(&text, 'a');
    tri_buf_putc(&text, 'b');
    assert_int_equal(tri_regex_scan_begin(scan, (tri_str){text.ptr, text.len}, NULL), TRI_OK);
    assert_int_equal(tri_regex_scan_begin(other, TRI_STR("xa"), NULL), TRI_OK);
    for (int round = 0; round < 3; round++) { /* going back finds the same again */
        at = 0;
        assert_true(tri_regex_scan_next(scan, &at, &begin, &end));
        assert_true(begin == 0 && end == 2001 && at == 2001);
        at = 1990;
        assert_true(tri_regex_scan_next(scan, &at, &begin, &end));
        assert_true(begin == 1990 && end == 2001);
        assert_false(tri_regex_scan_next(scan, &at, &begin, &end));
    }
    at = 0;
    assert_true(tri_regex_scan_next(other, &at, &begin, &end));
    assert_true(begin == 1 && end == 2);
    tri_buf_deinit(&text);
    tri_regex_scan_free(other);
    tri_regex_scan_free(scan);
    tri_regex_free(regex);
    tri_regex_free(NULL);
    tri_regex_scan_free(NULL);
}

/* An automaton of 2^12 states and more over a text that visits them: its table is dropped. */
static void many_states(void **state) {
    (void)state;
    enum { N = 1 << 18 };
    char *text = malloc(N);
    assert_non_null(text);
    uint32_t r = 1;
    size_t want = 0, from = 0;
    for (size_t i = 0; i < N; i++) {
        r = r * 1664525u + 1013904223u;
        text[i] = r >> 31 ? 'a' : 'b';
    }
    text[N / 2] = '\n';
    /* .*a.{16}: the longest start of a line that ends 17 behind an a. */
    for (size_t line = 0; line < 2; line++) {
        size_t to = line ? N : N / 2;
        for (size_t i = to - 17; i > from; i--)
            if (text[i] == 'a') {
                want += i + 17;
                break;
            }
        from = N / 2 + 1;
    }
    tri_regex *regex = NULL;
    tri_regex_scan *scan = scan_of(&regex, TRI_STR(".*a.{16}"), TRI_REGEX_PERL);
    size_t at = 0, begin, end, got = 0;
    assert_int_equal(tri_regex_scan_begin(scan, (tri_str){text, N}, NULL), TRI_OK);
    while (tri_regex_scan_next(scan, &at, &begin, &end))
        got += end;
    assert_int_equal(got, want);
    tri_regex_scan_free(scan);
    tri_regex_free(regex);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(syntax),
        cmocka_unit_test(errors), cmocka_unit_test(linear), cmocka_unit_test(scans),
        cmocka_unit_test(many_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
