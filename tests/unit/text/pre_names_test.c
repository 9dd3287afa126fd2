/* Every name is there once, and its expressions compile; the nearest name is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/pre_names.h"
#include "text/regex.h"

static void table(void **state) {
    (void)state;
    int32_t n = 0;
    tri_error err = {0};
    const tri_pre_rules *all = tri_pre_all(&n);
    assert_true(n > 80);
    for (int32_t i = 0; i < n; i++) {
        assert_ptr_equal(tri_pre_find(tri_str_of(all[i].name), NULL), &all[i]);
        for (const char *const *pattern = all[i].patterns; *pattern; pattern++) {
            tri_regex *regex = NULL;
            if (tri_regex_compile(&regex, tri_str_of(*pattern), &err))
                fail_msg("%s: %s: %s", all[i].name, *pattern, err.message);
            tri_regex_free(regex);
        }
    }
}

static void unknown(void **state) {
    (void)state;
    const char *nearest = NULL;
    assert_null(tri_pre_find(TRI_STR("lama-bpe"), &nearest));
    assert_string_equal(nearest, "llama-bpe");
    assert_null(tri_pre_find(TRI_STR(""), &nearest));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(unknown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
