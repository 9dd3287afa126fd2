/* The rules of tests/golden/text/make_vocabularies.py, as sentencepiece compiled them, applied in
 * the two ways; what each gives follows from the rules by hand.  And maps that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "text/charsmap.h"

/* normalizer_spec (field 3) of the model, its field 2: both length-delimited, lengths of two bytes
 * at most. */
static tri_str field_of(tri_str message, uint8_t tag) {
    const uint8_t *p = (const uint8_t *)message.ptr, *end = p + message.len;
    while (p < end) {
        uint8_t found = *p++;
        size_t n = 0, shift = 0;
        if ((found & 7) == 5) {
            n = 4;
        } else {
            do
                n |= (size_t)(*p & 0x7F) << shift, shift += 7;
            while (*p++ & 0x80);
            if ((found & 7) == 0) n = 0;
        }
        if (found == tag) return (tri_str){(const char *)p, n};
        p += n;
    }
    fail_msg("no field with tag %d", tag);
    return (tri_str){0};
}

static tri_arena arena;

static tri_str read_map(void) {
    tri_str file;
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_file_read(TRI_TESTS_DIR "/golden/text/vocabularies/unigram.model", 1 << 20,
                         &arena, &file, NULL),
        TRI_OK);
    return field_of(field_of(file, 3 << 3 | 2), 2 << 3 | 2);
}

static void longest(const tri_charsmap *m, const char *text, size_t length, const char *want) {
    tri_str got = {0};
    assert_int_equal(tri_charsmap_longest(m, tri_str_of(text), &got), length);
    if (!length) return;
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void by_cluster(const tri_charsmap *m, const char *text, const char *want) {
    tri_buf out = {0};
    assert_int_equal(tri_charsmap_normalize(m, tri_str_of(text), &out, NULL), TRI_OK);
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.ptr ? out.ptr : "", want, out.len);
    tri_buf_deinit(&out);
}

static void both_ways(void **state) {
    (void)state;
    tri_charsmap *m;
    tri_str bytes = read_map();
    assert_int_equal(tri_charsmap_open(&m, bytes, &arena, NULL), TRI_OK);
    longest(m, "a\xCC\x81rest", 3, "\xC3\xA1");
    longest(m, "arest", 0, "");
    longest(m, "xyz", 3, "x"); /* and not xy */
    longest(m, "xya", 2, "yyy");
    longest(m, "\xEF\xAC\x81", 3, "fi");
    longest(m, "\xEF\xAC", 0, "");
    longest(m, "\xC2\xAD", 2, ""); /* deleted */
    longest(m, "", 0, "");

    by_cluster(m, "a\xCC\x81 \xEF\xAC\x81\xC2\xBD", "\xC3\xA1 fi1/2");
    by_cluster(m, "xyz", "xyz"); /* three clusters; no key is one character of them */
    /* e with two marks is 5 bytes: the shortest key that it begins with takes it all. */
    by_cluster(m, "e\xCC\x81\xCC\x82", "\xC3\xA9");
    /* With three it is 7: characters by themselves, of which none is a key. */
    by_cluster(m, "e\xCC\x81\xCC\x82\xCC\x83", "e\xCC\x81\xCC\x82\xCC\x83");
    by_cluster(m, "", "");
    tri_arena_deinit(&arena);
}

static void lies(void **state) {
    (void)state;
    tri_charsmap *m;
    tri_str bytes = read_map();
    char *copy = malloc(bytes.len);
    for (size_t n = 0; n < 5; n++) {
        assert_int_equal(
            tri_charsmap_open(&m, (tri_str){bytes.ptr, n}, &arena, NULL), TRI_E_FORMAT);
    }
    /* Any one byte of it changed: refused, or walked without leaving it. */
    for (size_t i = 0; i < bytes.len; i += 3) {
        memcpy(copy, bytes.ptr, bytes.len);
        copy[i] = (char)(copy[i] ^ 0x5A);
        if (tri_charsmap_open(&m, (tri_str){copy, bytes.len}, &arena, NULL)) continue;
        tri_buf out = {0};
        assert_int_equal(
            tri_charsmap_normalize(
                m, TRI_STR("xyza\xCC\x81\xEF\xAC\x81\xC2\xBD\xE3\x80\x80\t\xC2\xAD"), &out, NULL),
            TRI_OK);
        tri_buf_deinit(&out);
    }
    free(copy);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
