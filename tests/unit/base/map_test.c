#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/map.h"

static void holds_many_keys(void **state) {
    (void)state;
    enum { N = 5000 };
    static char names[N][16];
    tri_map map = {0};
    int64_t value = -1;
    assert_false(tri_map_get(&map, TRI_STR("x"), &value));
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "key%d", i);
        assert_int_equal(tri_map_put(&map, tri_str_of(names[i]), i, NULL), TRI_OK);
    }
    assert_int_equal(map.n_used, N);
    for (int i = 0; i < N; i++) {
        assert_true(tri_map_get(&map, tri_str_of(names[i]), &value));
        assert_int_equal(value, i);
    }
    value = -1;
    assert_false(tri_map_get(&map, TRI_STR("key5000"), &value));
    assert_false(tri_map_get(&map, TRI_STR("key"), &value));
    assert_int_equal(value, -1);
    tri_map_deinit(&map);
}

static void put_replaces_and_the_empty_key_is_a_key(void **state) {
    (void)state;
    tri_map map = {0};
    int64_t value = 0;
    assert_int_equal(tri_map_put(&map, TRI_STR("a"), 1, NULL), TRI_OK);
    assert_int_equal(tri_map_put(&map, TRI_STR("a"), 2, NULL), TRI_OK);
    assert_int_equal(tri_map_put(&map, (tri_str){0}, 3, NULL), TRI_OK);
    assert_int_equal(map.n_used, 2);
    assert_true(tri_map_get(&map, TRI_STR("a"), &value) && value == 2);
    assert_true(tri_map_get(&map, TRI_STR(""), &value) && value == 3);
    tri_map_deinit(&map);
}

static void reserve_avoids_growing(void **state) {
    (void)state;
    static const char keys[] = "abcdefghijklmnopqrstuvwxyz";
    tri_map map = {0};
    assert_int_equal(tri_map_reserve(&map, 26, NULL), TRI_OK);
    const void *slots = map.slots;
    for (int i = 0; i < 26; i++) {
        assert_int_equal(tri_map_put(&map, (tri_str){keys + i, 1}, i, NULL), TRI_OK);
    }
    assert_ptr_equal(slots, map.slots);
    assert_int_equal(tri_map_reserve(&map, SIZE_MAX, NULL), TRI_E_MEMORY);
    tri_map_deinit(&map);
}

/* From xxHash's own sanity tests: XXH3_64bits of no bytes. */
static void hash_is_xxh3(void **state) {
    (void)state;
    assert_true(tri_hash64(NULL, 0, 0) == 0x2D06800538D394C2u);
    assert_true(tri_hash64("a", 1, 0) != tri_hash64("a", 1, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_many_keys),
        cmocka_unit_test(put_replaces_and_the_empty_key_is_a_key),
        cmocka_unit_test(reserve_avoids_growing),
        cmocka_unit_test(hash_is_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
