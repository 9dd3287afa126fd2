#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

typedef struct {
    char dir[64];
    tri_arena arena;
} fixture;

static int make_dir(void **state) {
    fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/tri_file_test_XXXXXX");
    *state = f;
    return mkdtemp(f->dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    fixture *f = *state;
    tri_status rc = tri_path_remove_tree(f->dir, NULL);
    bool gone = !tri_path_exists(f->dir);
    tri_arena_deinit(&f->arena);
    free(f);
    return rc || !gone ? -1 : 0;
}

static const char *in_dir(fixture *f, const char *name) {
    return tri_path_join(&f->arena, f->dir, name);
}

static int32_t n_entries(fixture *f, const char *dir) {
    char **names;
    int32_t n = -1;
    assert_int_equal(tri_path_list(dir, &f->arena, &names, &n, NULL), TRI_OK);
    return n;
}

static const char *content(fixture *f, const char *path) {
    tri_str text;
    assert_int_equal(tri_file_read(path, 1000, &f->arena, &text, NULL), TRI_OK);
    assert_int_equal(text.ptr[text.len], 0);
    return text.ptr;
}

static void maps_and_reads(void **state) {
    fixture *f = *state;
    const char *path = in_dir(f, "a");
    tri_error err = {0};
    tri_file_map map = {0};
    tri_str text;
    assert_int_equal(tri_file_replace(path, "hello", 5, NULL), TRI_OK);
    assert_int_equal(tri_file_map_open(&map, path, NULL), TRI_OK);
    assert_int_equal(map.n_bytes, 5);
    assert_memory_equal(map.data, "hello", 5);
    assert_true(map.mtime_ns > 0);
    tri_file_map_will_need(&map, 1, INT64_MAX);
    tri_file_map_dont_need(&map, 0, 5);
    tri_file_map_dont_need(&map, -5, 5);
    tri_file_map_dont_need(&map, 5, 1);
    assert_memory_equal(map.data, "hello", 5);
    tri_file_map_close(&map);
    assert_null(map.data);
    assert_string_equal(content(f, path), "hello");
    assert_int_equal(tri_file_read(path, 4, &f->arena, &text, &err), TRI_E_LIMIT);
    assert_non_null(strstr(err.message, path));

    assert_int_equal(tri_file_replace(path, NULL, 0, NULL), TRI_OK);
    assert_int_equal(tri_file_map_open(&map, path, NULL), TRI_OK);
    assert_null(map.data);
    assert_int_equal(map.n_bytes, 0);
    tri_file_map_close(&map);
    assert_string_equal(content(f, path), "");

    assert_int_equal(tri_file_map_open(&map, f->dir, &err), TRI_E_IO);
    assert_non_null(strstr(err.message, "is a directory"));
    assert_int_equal(tri_file_map_open(&map, in_dir(f, "none"), &err), TRI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "none"));
}

static void writer_replaces_only_on_commit(void **state) {
    fixture *f = *state;
    const char *path = in_dir(f, "a");
    tri_file_writer w;
    assert_int_equal(tri_file_replace(path, "old", 3, NULL), TRI_OK);

    assert_int_equal(tri_file_writer_open(&w, path, NULL), TRI_OK);
    assert_int_equal(tri_file_writer_write(&w, "0000new", 7, NULL), TRI_OK);
    assert_int_equal(tri_file_writer_patch(&w, 0, "1234", 4, NULL), TRI_OK);
    assert_int_equal(tri_file_writer_write(&w, "!", 1, NULL), TRI_OK);
    assert_int_equal(w.offset_bytes, 8);
    assert_string_equal(content(f, path), "old");
    assert_int_equal(tri_file_writer_commit(&w, NULL), TRI_OK);
    assert_string_equal(content(f, path), "1234new!");
    tri_file_writer_abandon(&w);

    assert_int_equal(tri_file_writer_open(&w, path, NULL), TRI_OK);
    assert_int_equal(tri_file_writer_write(&w, "lost", 4, NULL), TRI_OK);
    tri_file_writer_abandon(&w);
    tri_file_writer_abandon(&w);
    assert_string_equal(content(f, path), "1234new!");
    assert_int_equal(n_entries(f, f->dir), 1);

    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);

    tri_file_writer zeroed = {0};
    tri_file_writer_abandon(&zeroed);
    assert_int_equal(tri_file_writer_open(&w, in_dir(f, "no/such"), NULL), TRI_E_NOT_FOUND);
}

static void a_full_disk_is_an_error_that_leaves_the_old(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    tri_file_writer w = {.fd = -1};
    FILE *full = fopen("/dev/full", "w");
    w.fd = fileno(full);
    w.temporary_path = strdup("/dev/full");
    tri_error err = {0};
    assert_int_equal(tri_file_writer_write(&w, "x", 1, &err), TRI_E_IO);
    assert_non_null(strstr(err.message, "No space left"));
    assert_int_equal(w.offset_bytes, 0);
    free(w.temporary_path);
    fclose(full);
}

static void failed_commit_leaves_nothing(void **state) {
    fixture *f = *state;
    const char *path = in_dir(f, "taken");
    tri_file_writer w;
    tri_error err = {0};
    assert_int_equal(tri_path_make_dirs(in_dir(f, "taken/sub"), NULL), TRI_OK);
    assert_int_equal(tri_file_writer_open(&w, path, NULL), TRI_OK);
    assert_int_equal(tri_file_writer_commit(&w, &err), TRI_E_IO); /* a directory is in the way */
    assert_non_null(strstr(err.message, path));
    assert_int_equal(n_entries(f, f->dir), 1);
    assert_true(tri_path_is_dir(path));
}

static void paths(void **state) {
    fixture *f = *state;
    assert_string_equal(tri_path_join(&f->arena, "a", "b"), "a/b");
    assert_string_equal(tri_path_join(&f->arena, "a/", "b"), "a/b");
    assert_string_equal(tri_path_join(&f->arena, "", "b"), "b");
    assert_string_equal(tri_path_base("a/b/c.gguf"), "c.gguf");
    assert_string_equal(tri_path_base("c"), "c");

    const char *deep = in_dir(f, "x//y/z/");
    assert_int_equal(tri_path_make_dirs(deep, NULL), TRI_OK);
    assert_int_equal(tri_path_make_dirs(deep, NULL), TRI_OK);
    assert_true(tri_path_is_dir(in_dir(f, "x/y/z")));
    assert_int_equal(tri_file_replace(in_dir(f, "x/file"), "1", 1, NULL), TRI_OK);
    assert_false(tri_path_is_dir(in_dir(f, "x/file")));
    assert_int_equal(tri_path_make_dirs(in_dir(f, "x/file/sub"), NULL), TRI_E_IO);
    assert_int_equal(tri_path_make_dirs(in_dir(f, "x/file"), NULL), TRI_E_IO);

    char **names;
    int32_t n;
    assert_int_equal(tri_file_replace(in_dir(f, "x/a"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_path_list(in_dir(f, "x"), &f->arena, &names, &n, NULL), TRI_OK);
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "file");
    assert_string_equal(names[2], "y");
    assert_int_equal(
        tri_path_list(in_dir(f, "none"), &f->arena, &names, &n, NULL), TRI_E_NOT_FOUND);

    /* Removing a tree does not follow links out of it. */
    assert_int_equal(tri_file_replace(in_dir(f, "kept"), "1", 1, NULL), TRI_OK);
    assert_int_equal(symlink(f->dir, in_dir(f, "x/out")), 0);
    assert_int_equal(tri_path_remove_tree(in_dir(f, "x"), NULL), TRI_OK);
    assert_false(tri_path_exists(in_dir(f, "x")));
    assert_true(tri_path_exists(in_dir(f, "kept")));
    assert_int_equal(tri_path_remove_tree(in_dir(f, "x"), NULL), TRI_OK);
}

static void directory_is_made_whole_or_not_at_all(void **state) {
    fixture *f = *state;
    const char *final = in_dir(f, "engines/smol/");
    const char *parent = in_dir(f, "engines");
    tri_dir_writer w;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(tri_dir_writer_open(&w, final, NULL), TRI_OK);
        const char *name = round ? "new" : "old";
        assert_int_equal(
            tri_file_replace(tri_path_join(&f->arena, w.path, name), "1", 1, NULL), TRI_OK);
        assert_int_equal(tri_path_exists(in_dir(f, "engines/smol/new")), 0);
        assert_int_equal(tri_dir_writer_commit(&w, NULL), TRI_OK);
    }
    assert_true(tri_path_exists(in_dir(f, "engines/smol/new")));
    assert_false(tri_path_exists(in_dir(f, "engines/smol/old")));
    assert_int_equal(n_entries(f, parent), 1);

    assert_int_equal(tri_dir_writer_open(&w, final, NULL), TRI_OK);
    assert_int_equal(n_entries(f, parent), 2);
    tri_dir_writer_abandon(&w);
    tri_dir_writer_abandon(&w);
    assert_int_equal(n_entries(f, parent), 1);

    tri_error err = {0};
    assert_int_equal(tri_dir_writer_open(&w, ".", &err), TRI_E_ARGUMENT);
    assert_int_equal(tri_dir_writer_open(&w, "a/..", &err), TRI_E_ARGUMENT);
    assert_int_equal(tri_dir_writer_open(&w, "/", &err), TRI_E_ARGUMENT);
    assert_int_equal(tri_dir_writer_open(&w, "", &err), TRI_E_ARGUMENT);
    assert_int_equal(tri_dir_writer_open(&w, in_dir(f, "engines/smol/new"), &err), TRI_E_IO);
    assert_int_equal(n_entries(f, in_dir(f, "engines/smol")), 1);
}

static void directory_of_others_is_not_replaceable(void **state) {
    fixture *f = *state;
    const char *dir = in_dir(f, "home");
    tri_error err = {0};
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", &err), TRI_OK); /* absent */
    assert_int_equal(tri_path_make_dirs(dir, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", &err), TRI_OK); /* empty */
    assert_int_equal(tri_file_replace(in_dir(f, "home/thesis"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "thesis"));
    assert_int_equal(tri_file_replace(in_dir(f, "home/rank0"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", &err), TRI_OK);
}

typedef struct {
    const char *path;
    _Atomic int *inside, *most;
} contender;

static void *contend(void *arg) {
    const contender *c = arg;
    for (int i = 0; i < 20; i++) {
        tri_file_lock lock;
        if (tri_file_lock_take(&lock, c->path, 60000, NULL)) return (void *)c;
        int inside = ++*c->inside;
        if (inside > *c->most) *c->most = inside;
        --*c->inside;
        tri_file_lock_release(&lock);
    }
    return NULL;
}

static void lock_excludes(void **state) {
    fixture *f = *state;
    const char *path = in_dir(f, "lock");
    tri_file_lock a, b;
    tri_error err = {0};
    assert_int_equal(tri_file_lock_take(&a, path, 0, NULL), TRI_OK);
    assert_int_equal(tri_file_lock_take(&b, path, 0, &err), TRI_E_BUSY);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(tri_file_lock_take(&b, path, 20, &err), TRI_E_BUSY);
    tri_file_lock_release(&a);
    tri_file_lock_release(&a);
    assert_int_equal(tri_file_lock_take(&b, path, 0, NULL), TRI_OK);
    tri_file_lock_release(&b);
    assert_int_equal(tri_file_lock_take(&a, in_dir(f, "no/lock"), 0, NULL), TRI_E_NOT_FOUND);

    _Atomic int inside = 0, most = 0;
    contender c = {path, &inside, &most};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, contend, &c);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(most, 1);
    assert_int_equal(inside, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maps_and_reads, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(writer_replaces_only_on_commit, make_dir, remove_dir),
        cmocka_unit_test(a_full_disk_is_an_error_that_leaves_the_old),
        cmocka_unit_test_setup_teardown(failed_commit_leaves_nothing, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(paths, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            directory_is_made_whole_or_not_at_all, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            directory_of_others_is_not_replaceable, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(lock_excludes, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
