/* UTF-8 against a decoder written from Unicode's Table 3-7 by enumeration; categories and spaces by
 * counts published with Unicode 15.0 (DerivedGeneralCategory.txt, PropList.txt, Scripts.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "text/unicode.h"
#include "text/unicode_tables.h"

static void sanitized(const char *bytes, size_t n, const char *want) {
    tri_buf out = {0};
    tri_utf8_sanitize(&out, (tri_str){bytes, n});
    assert_false(out.failed);
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.ptr ? out.ptr : "", want, out.len);
    tri_buf_deinit(&out);
}

#define FFFD "\xEF\xBF\xBD"

static void utf8(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= TRI_CODE_MAX; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        char bytes[4];
        size_t n = tri_utf8_encode(c, bytes);
        uint32_t back = 0, valid = 0;
        assert_int_equal(tri_utf8_decode(bytes, n, &back), n);
        assert_int_equal(back, c);
        assert_int_equal(tri_utf8_decode_valid(bytes, &valid), n);
        assert_int_equal(valid, c);
        assert_true(tri_utf8_valid((tri_str){bytes, n}));
        if (n > 1) assert_false(tri_utf8_valid((tri_str){bytes, n - 1}));
    }
    /* Examples of Unicode 15.0, section 3.9, tables 3-8 to 3-11. */
    sanitized(
        "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
    sanitized(
        "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
    sanitized(
        "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B");
    sanitized("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, FFFD FFFD FFFD FFFD "A");
    sanitized("plain ascii that is long \xC3\xA9", 27, "plain ascii that is long \xC3\xA9");
    sanitized("", 0, "");
    sanitized("tail\xF0\x9F\x98", 7, "tail" FFFD);
    assert_int_equal(tri_utf8_n_codes(TRI_STR("a\xC3\xA9\xE2\x82\xAC")), 3);
}

static void properties(void **state) {
    (void)state;
    if (strcmp(utf8proc_unicode_version(), "15.0.0") != 0) skip();
    int64_t counts[TRI_N_CATEGORIES] = {0};
    int64_t n_space = 0, n_han = 0, n_latin = 0, n_common = 0;
    int32_t han = tri_unicode_script_find(TRI_STR("Han"));
    int32_t latin = tri_unicode_script_find(TRI_STR("latn"));
    int32_t run = 0; /* ICU's runs against utf8proc */
    for (uint32_t c = 0; c <= TRI_CODE_MAX; c++) {
        run += tri_category_runs[run + 1] >> 8 == c;
        assert_int_equal(tri_category_runs[run] & 0xFF, tri_unicode_category(c));
        counts[tri_unicode_category(c)]++;
        n_space += tri_unicode_is_space(c);
        int32_t script = tri_unicode_script(c);
        n_han += script == han;
        n_latin += script == latin;
        n_common += script == TRI_SCRIPT_COMMON;
    }
    assert_int_equal(run + 1, tri_n_category_runs);
    assert_int_equal(counts[TRI_LU], 1831);
    assert_int_equal(counts[TRI_LL], 2233);
    assert_int_equal(counts[TRI_ND], 680);
    assert_int_equal(counts[TRI_CS], 2048);
    assert_int_equal(counts[TRI_CO], 137468);
    assert_int_equal(n_space, 25);
    assert_int_equal(n_han, 98408);
    assert_int_equal(n_latin, 1481);
    assert_int_equal(n_common, 8301);

    assert_true(tri_unicode_in('A', TRI_CATS_LETTER));
    assert_false(tri_unicode_in('1', TRI_CATS_LETTER | TRI_CATS_MARK));
    assert_true(tri_unicode_in(0x10FFFF, TRI_CATS_OTHER));
    assert_true(tri_unicode_is_word(0x24B6) && tri_unicode_is_word('_'));
    assert_false(tri_unicode_is_word('-') || tri_unicode_is_word(0xB2));
    assert_string_equal(tri_unicode_script_name(tri_unicode_script(0x30FC)), "Common");
    assert_string_equal(tri_unicode_script_name(tri_unicode_script(0x3042)), "Hiragana");
    assert_int_equal(
        tri_unicode_script_find(TRI_STR("OLD italic")), tri_unicode_script_find(TRI_STR("Ital")));
    assert_int_equal(tri_unicode_script_find(TRI_STR("Klingon")), -1);
    assert_null(tri_unicode_script_name(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(utf8), cmocka_unit_test(properties)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
