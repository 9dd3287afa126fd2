/* Random keys over few bytes, so that they share prefixes, against a search through all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/trie.h"

enum { N_KEYS = 3000, MAX_BYTES = 12 };

static uint32_t next(uint32_t *random) {
    *random ^= *random << 13, *random ^= *random >> 17, *random ^= *random << 5;
    return *random;
}

static size_t make(uint32_t *random, char *out) {
    static const char bytes[] = {'a', 'b', 'c', '\0', '\xFF', '\x80'};
    size_t n = next(random) % (MAX_BYTES + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = next(random) % 8 ? bytes[next(random) % sizeof bytes] : (char)next(random);
    return n;
}

static void agrees_with_search(void **state) {
    (void)state;
    static char bytes[N_KEYS][MAX_BYTES];
    static tri_str keys[N_KEYS];
    static int32_t values[N_KEYS];
    uint32_t random = 12345;
    tri_arena arena;
    tri_trie trie;
    tri_arena_init(&arena, 0);
    for (int i = 0; i < N_KEYS; i++) {
        keys[i] = (tri_str){bytes[i], make(&random, bytes[i])};
        values[i] = i;
    }
    assert_int_equal(tri_trie_build(&trie, keys, values, N_KEYS, &arena, NULL), TRI_OK);
    assert_int_equal(trie.n_units % 256, 0);
    for (int round = 0; round < 2000; round++) {
        char text[MAX_BYTES];
        tri_str view = {text, make(&random, text)};
        int32_t exact = -1, longest = -1, got = -1;
        size_t length = 0;
        for (int i = 0; i < N_KEYS; i++) {
            size_t n = keys[i].len;
            if (n == 0 || n > view.len || memcmp(keys[i].ptr, text, n) != 0) continue;
            if (n == view.len) exact = i; /* of equal ones the last */
            if (n < length) continue;
            length = n;
            longest = i;
        }
        assert_int_equal(tri_trie_find(&trie, view), exact);
        assert_int_equal(tri_trie_longest(&trie, view, &got), length);
        if (length) assert_int_equal(got, longest);
    }
    tri_arena_deinit(&arena);
}

static void edges(void **state) {
    (void)state;
    tri_arena arena;
    tri_trie trie;
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_trie_build(&trie, NULL, NULL, 0, &arena, NULL), TRI_OK);
    assert_int_equal(tri_trie_find(&trie, TRI_STR("a")), -1);
    assert_int_equal(tri_trie_find(&trie, (tri_str){"", 0}), -1);
    const tri_str empty = {"", 0};
    assert_int_equal(tri_trie_build(&trie, &empty, (int32_t[]){7}, 1, &arena, NULL), TRI_OK);
    assert_int_equal(tri_trie_find(&trie, empty), -1);
    /* A key of a million bytes takes work and memory in proportion. */
    size_t n = 1000000;
    char *text = malloc(n);
    memset(text, 'x', n);
    const tri_str big = {text, n};
    assert_int_equal(tri_trie_build(&trie, &big, (int32_t[]){7}, 1, &arena, NULL), TRI_OK);
    assert_int_equal(tri_trie_find(&trie, big), 7);
    assert_true(trie.n_units < 2 * n);
    free(text);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_search),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
