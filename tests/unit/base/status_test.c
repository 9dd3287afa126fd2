#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "trireme/graph.h"

static void first_failure_is_told_and_context_goes_in_front(void **state) {
    (void)state;
    tri_error err = {0};
    assert_int_equal(TRI_FAIL(&err, TRI_E_FORMAT, "%d bytes", 3), TRI_E_FORMAT);
    assert_int_equal(err.status, TRI_E_FORMAT);
    tri_error_context(&err, "safetensors %s", "a.st");
    tri_error_context(&err, "load");
    assert_string_equal(err.message, "load: safetensors a.st: 3 bytes");
}

static void null_error_is_accepted(void **state) {
    (void)state;
    assert_int_equal(TRI_FAIL(NULL, TRI_E_LIMIT, "x"), TRI_E_LIMIT);
    tri_error_context(NULL, "x");
    errno = ENOENT;
    assert_int_equal(tri_fail_errno(NULL, "x"), TRI_E_NOT_FOUND);
}

static void context_without_an_error_does_nothing(void **state) {
    (void)state;
    tri_error err = {0};
    tri_error_context(&err, "load");
    assert_string_equal(err.message, "");
}

static void a_path_is_named_once(void **state) {
    (void)state;
    tri_error err = {0};
    tri_error_path(&err, "model", "dir");
    assert_string_equal(err.message, "");
    tri_error_path(NULL, "model", "dir");
    static const struct {
        const char *first, *path, *then;
    } cases[] = {
        {"GGUF a.gguf: cut", "a.gguf", "GGUF a.gguf: cut"},
        {"safetensors dir/m.st: cut", "dir", "safetensors dir/m.st: cut"},
        {"safetensors dir/m.st: cut", "dir/", "safetensors dir/m.st: cut"},
        {"dir: no such file", "dir", "dir: no such file"},
        /* names of other things, and other paths, hold the letters */
        {"a header is cut", "a", "model a: a header is cut"},
        {"safetensors subdir/m.st: cut", "dir", "model dir: safetensors subdir/m.st: cut"},
        {"safetensors dir2/m.st: cut", "dir", "model dir: safetensors dir2/m.st: cut"},
        {"cut", "", "model : cut"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)TRI_FAIL(&err, TRI_E_FORMAT, "%s", cases[i].first);
        tri_error_path(&err, "model", cases[i].path);
        assert_string_equal(err.message, cases[i].then);
    }
}

static void messages_are_one_line_of_whole_characters(void **state) {
    (void)state;
    tri_error err = {0};
    (void)TRI_FAIL(&err, TRI_E_FORMAT, "a\nb\tc");
    assert_string_equal(err.message, "a b c");

    /* 1022 letters and a two-byte character: the cut falls inside the character. */
    char text[1100];
    memset(text, 'x', sizeof text);
    memcpy(text + 1022, "\xC3\xA9y", 4);
    (void)TRI_FAIL(&err, TRI_E_FORMAT, "%s", text);
    assert_int_equal(strlen(err.message), 1022);
    assert_int_equal(err.message[1021], 'x');
    tri_error_context(&err, "%s", text);
    assert_int_equal(strlen(err.message), 1022);
    (void)TRI_FAIL(&err, TRI_E_IO, "%s", err.message);
    assert_int_equal(strlen(err.message), 1022);
}

static void what_a_terminal_obeys_is_spelled_out(void **state) {
    (void)state;
    tri_error err = {0};
    (void)TRI_FAIL(&err, TRI_E_FORMAT, "tensor %s", "ab\x1b[31mRED\x7f\xff\xC2\x9b!\xE2\x80\xAE");
    assert_string_equal(err.message, "tensor ab\\x1b[31mRED\\x7f\\xff\\u009b!\\u202e");
    tri_error_context(&err, "open"); /* what is spelled out already stays */
    assert_string_equal(err.message, "open: tensor ab\\x1b[31mRED\\x7f\\xff\\u009b!\\u202e");

    char text[1100]; /* each byte takes four: whole escapes, up to the room there is */
    memset(text, 1, sizeof text - 1);
    text[sizeof text - 1] = 0;
    (void)TRI_FAIL(&err, TRI_E_FORMAT, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message / 4 * 4 - 4);
    assert_string_equal(err.message + strlen(err.message) - 4, "\\x01");
}

static void errno_chooses_the_status(void **state) {
    (void)state;
    tri_error err = {0};
    errno = ENOENT;
    assert_int_equal(tri_fail_errno(&err, "open %s", "f"), TRI_E_NOT_FOUND);
    assert_string_equal(err.message, "open f: No such file or directory");
    errno = ENOMEM;
    assert_int_equal(tri_fail_errno(&err, "x"), TRI_E_MEMORY);
    errno = EACCES;
    assert_int_equal(tri_fail_errno(&err, "x"), TRI_E_IO);
}

static void names(void **state) {
    (void)state;
    assert_string_equal(tri_status_name(TRI_OK), "TRI_OK");
    assert_string_equal(tri_status_name(TRI_E_INTERNAL), "TRI_E_INTERNAL");
    assert_string_equal(tri_status_name((tri_status)99), "unknown status");
    assert_string_equal(tri_version(), TRI_VERSION_STRING);
    tri_free(malloc(1));
    tri_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failure_is_told_and_context_goes_in_front),
        cmocka_unit_test(null_error_is_accepted),
        cmocka_unit_test(context_without_an_error_does_nothing),
        cmocka_unit_test(a_path_is_named_once),
        cmocka_unit_test(messages_are_one_line_of_whole_characters),
        cmocka_unit_test(what_a_terminal_obeys_is_spelled_out),
        cmocka_unit_test(errno_chooses_the_status),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
