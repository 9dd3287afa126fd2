#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

typedef struct {
    int n;
    tri_log_level level;
    char line[4096];
} capture;

static void keep(void *user, tri_log_level level, const char *line) {
    capture *c = user;
    c->n++;
    c->level = level;
    strcpy(c->line, line);
}

static void lines_have_time_level_topic_and_text(void **state) {
    (void)state;
    capture c = {0};
    tri_log_configure(TRI_LOG_INFO, keep, &c);
    tri_log(TRI_LOG_DEBUG, "engine", "hidden=1");
    assert_int_equal(c.n, 0);
    tri_log(TRI_LOG_WARN, "engine", "path=%s n=%d", "a\nb", 3);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.level, TRI_LOG_WARN);
    /* 2026-01-31T12:34:56.789Z */
    assert_int_equal(c.line[10], 'T');
    assert_string_equal(c.line + 23, "Z warn engine path=a b n=3");
    tri_log_configure(TRI_LOG_INFO, NULL, NULL);
}

static void long_lines_are_cut(void **state) {
    (void)state;
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    capture c = {0};
    tri_log_configure(TRI_LOG_DEBUG, keep, &c);
    tri_log(TRI_LOG_DEBUG, "t", "%s", text);
    assert_in_range(strlen(c.line), 1000, 2047);
    tri_log(TRI_LOG_DEBUG, text, "%s", text);
    assert_in_range(strlen(c.line), 1000, 2047);
    tri_log_configure(TRI_LOG_INFO, NULL, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_time_level_topic_and_text),
        cmocka_unit_test(long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
