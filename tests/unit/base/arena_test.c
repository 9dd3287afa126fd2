#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void pieces_are_zero_aligned_and_apart(void **state) {
    (void)state;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    enum { N = 2000 };
    unsigned char *pieces[N];
    size_t sizes[N];
    for (size_t i = 0; i < N; i++) {
        size_t align = (size_t)1 << (i % 13);
        sizes[i] = i % 97 == 0 ? 30000 : i % 61;
        pieces[i] = tri_arena_alloc_aligned(&arena, sizes[i], align);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % align, 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(pieces[i][j], 0);
        memset(pieces[i], (int)(i & 0xFF), sizes[i]);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(pieces[i][j], i & 0xFF);
    }
    assert_int_equal((uintptr_t)tri_arena_alloc(&arena, 1) % 16, 0);
    tri_arena_deinit(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_non_null(tri_arena_alloc(&arena, 8));
    tri_arena_deinit(&arena);
}

static void limit_and_overflow_give_null(void **state) {
    (void)state;
    tri_arena arena;
    tri_arena_init(&arena, 1000);
    assert_non_null(tri_arena_alloc(&arena, 600));
    assert_null(tri_arena_alloc(&arena, 600));
    assert_non_null(tri_arena_alloc(&arena, 400));
    assert_null(tri_arena_alloc(&arena, SIZE_MAX));
    assert_null(tri_arena_array(&arena, SIZE_MAX / 2, 4));
    assert_int_equal(arena.used_bytes, 1000);
    tri_arena_deinit(&arena);
    tri_arena_init(&arena, 0);
    assert_null(tri_arena_alloc(&arena, SIZE_MAX - 8));
    tri_arena_deinit(&arena);
}

static void text(void **state) {
    (void)state;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    assert_string_equal(tri_arena_strdup(&arena, "abc"), "abc");
    assert_string_equal(tri_arena_strndup(&arena, "abcdef", 2), "ab");
    assert_memory_equal(tri_arena_strndup(&arena, "a\0b", 3), "a\0b", 4);
    assert_string_equal(tri_arena_strndup(&arena, NULL, 0), "");
    assert_string_equal(tri_arena_printf(&arena, "%s.%d", "layers", 7), "layers.7");
    int64_t *values = TRI_NEW_N(&arena, int64_t, 5);
    assert_int_equal(values[4], 0);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zero_aligned_and_apart),
        cmocka_unit_test(limit_and_overflow_give_null),
        cmocka_unit_test(text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
