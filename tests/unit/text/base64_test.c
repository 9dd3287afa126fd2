/* RFC 4648, section 10, and what is no base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/base64.h"

static void decodes(const char *text, const char *want) {
    char out[64];
    size_t n = 0;
    assert_true(tri_base64_decode(tri_str_of(text), out, &n));
    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, n);
}

static void vectors(void **state) {
    (void)state;
    decodes("", "");
    decodes("Zg==", "f");
    decodes("Zm8=", "fo");
    decodes("Zm9v", "foo");
    decodes("Zm9vYg==", "foob");
    decodes("Zm9vYmE=", "fooba");
    decodes("Zm9vYmFy", "foobar");
    decodes("++//", "\xFB\xEF\xFF");
}

static void refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "Z", "Zg", "Zg=", "Z===", "====", "Zm9v YQ==", "Zg==Zg==", "Zm9-", "Zm\n="};
    char out[64];
    size_t n;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tri_base64_decode(tri_str_of(wrong[i]), out, &n));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
