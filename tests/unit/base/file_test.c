#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

    /* Of a directory that cannot be made, the reason why, not what the look at it says. */
    tri_error err = {0};
    uid_t user = geteuid();
    assert_int_equal(chmod(f->dir, 0555), 0);
    if (user == 0) assert_int_equal(seteuid(65534), 0); /* root may write everywhere */
    tri_status rc = tri_path_make_dirs(in_dir(f, "new"), &err);
    if (user == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(f->dir, 0700), 0);
    assert_int_equal(rc, TRI_E_IO);
    assert_non_null(strstr(err.message, strerror(EACCES)));

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

static void make_empty_dirs(fixture *f, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_int_equal(tri_path_make_dirs(in_dir(f, names[i]), NULL), TRI_OK);
}

static void what_a_killed_writer_left_is_removed(void **state) {
    fixture *f = *state;
    const char *final = in_dir(f, "engine");
    static const char *const gone[] = {
        "engine.12-00000000000000ab.tmp/part", "engine.4711-0123456789abcdef.old"};
    static const char *const kept[] = {"engine.12-00000000000000ab.tmp.notes",
        "engine.x-00000000000000ab.tmp", "engine.-00000000000000ab.tmp", "engine.2024-10.old",
        "engine2.12-00000000000000ab.tmp", "engine.12-00000000000000aB.tmp",
        ".12-00000000000000ab.tmp", "engine.5-000000000000000a.txt"};
    enum { N_GONE = sizeof gone / sizeof *gone, N_KEPT = sizeof kept / sizeof *kept };
    tri_dir_writer first, second;
    make_empty_dirs(f, gone, N_GONE);
    make_empty_dirs(f, kept, N_KEPT);
    assert_int_equal(tri_dir_writer_open(&first, final, NULL), TRI_OK);
    assert_false(tri_path_exists(in_dir(f, "engine.12-00000000000000ab.tmp")));
    assert_true(tri_path_exists(in_dir(f, gone[1]))); /* nothing is in its place: the only copy */
    assert_int_equal(tri_path_make_dirs(final, NULL), TRI_OK);
    assert_int_equal(tri_dir_writer_open(&second, final, NULL), TRI_OK);
    assert_false(tri_path_exists(in_dir(f, gone[1])));
    for (size_t i = 0; i < N_KEPT; i++)
        assert_true(tri_path_exists(in_dir(f, kept[i])));
    assert_true(tri_path_exists(first.path)); /* at work */
    tri_dir_writer_abandon(&second);
    assert_int_equal(tri_dir_writer_commit(&first, NULL), TRI_OK);
    assert_true(tri_path_is_dir(final));

    tri_dir_remove_abandoned(f->dir); /* whatever it was to become */
    assert_false(tri_path_exists(in_dir(f, "engine2.12-00000000000000ab.tmp")));
    assert_int_equal(n_entries(f, f->dir), N_KEPT); /* one less, and the engine */
}

/* A writer in another process keeps its directory until the process is dead, however it dies. */
static void only_the_dead_abandon(void **state) {
    fixture *f = *state;
    const char *final = in_dir(f, "engine");
    int to_child[2], to_parent[2];
    char byte;
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(to_parent), 0);
    pid_t child = fork();
    if (child == 0) {
        tri_dir_writer w;
        close(to_child[1]);
        byte = tri_dir_writer_open(&w, final, NULL) == TRI_OK;
        if (write(to_parent[1], &byte, 1) == 1 && read(to_child[0], &byte, 1) < 0) _exit(1);
        _exit(0); /* without a word to the writer, as if killed */
    }
    assert_int_equal(read(to_parent[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    tri_dir_remove_abandoned(f->dir);
    assert_int_equal(n_entries(f, f->dir), 1);
    close(to_child[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(n_entries(f, f->dir), 1);
    tri_dir_remove_abandoned(f->dir);
    assert_int_equal(n_entries(f, f->dir), 0);
    close(to_child[0]);
    close(to_parent[0]);
    close(to_parent[1]);
}

static void a_link_is_followed_not_replaced(void **state) {
    fixture *f = *state;
    tri_dir_writer w;
    tri_error err = {0};
    assert_int_equal(tri_path_make_dirs(in_dir(f, "far/engine"), NULL), TRI_OK);
    assert_int_equal(symlink("far/engine", in_dir(f, "link")), 0);
    assert_int_equal(tri_dir_writer_open(&w, in_dir(f, "link/"), NULL), TRI_OK);
    assert_int_equal(
        tri_file_replace(tri_path_join(&f->arena, w.path, "new"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_dir_writer_commit(&w, NULL), TRI_OK);
    struct stat st;
    assert_int_equal(lstat(in_dir(f, "link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_true(tri_path_exists(in_dir(f, "far/engine/new")));
    assert_int_equal(symlink("nowhere", in_dir(f, "dangling")), 0);
    assert_int_equal(tri_dir_writer_open(&w, in_dir(f, "dangling"), &err), TRI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "dangling"));
}

static void a_pipe_is_refused_at_once(void **state) {
    fixture *f = *state;
    const char *path = in_dir(f, "pipe");
    tri_error err = {0};
    tri_file_map map;
    tri_str text;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(tri_file_map_open(&map, path, &err), TRI_E_IO);
    assert_non_null(strstr(err.message, "a device or pipe, not a file"));
    assert_int_equal(tri_file_read(path, 100, &f->arena, &text, &err), TRI_E_IO);
}

static bool is_ours(const char *name) {
    return strncmp(name, "rank", 4) == 0;
}

static void directory_of_others_is_not_replaceable(void **state) {
    fixture *f = *state;
    const char *dir = in_dir(f, "home");
    tri_error err = {0};
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", is_ours, &err), TRI_OK); /* absent */
    assert_int_equal(tri_path_make_dirs(dir, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", is_ours, &err), TRI_OK); /* empty */
    assert_int_equal(tri_file_replace(in_dir(f, "home/thesis"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", is_ours, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "thesis"));
    assert_int_equal(tri_file_replace(in_dir(f, "home/rank0"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", is_ours, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "thesis"));
    assert_int_equal(unlink(in_dir(f, "home/thesis")), 0);
    assert_int_equal(tri_file_replace(in_dir(f, "home/rank1"), "1", 1, NULL), TRI_OK);
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", is_ours, &err), TRI_OK);
    assert_int_equal(tri_path_make_dirs(in_dir(f, "home/rank2"), NULL), TRI_OK); /* a directory */
    assert_int_equal(tri_dir_check_replaceable(dir, "rank0", is_ours, &err), TRI_E_ARGUMENT);
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
    assert_false(tri_path_exists(path)); /* no file stays behind */
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
        cmocka_unit_test_setup_teardown(what_a_killed_writer_left_is_removed, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(only_the_dead_abandon, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_link_is_followed_not_replaced, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_pipe_is_refused_at_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            directory_of_others_is_not_replaceable, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(lock_excludes, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
