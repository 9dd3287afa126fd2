/* path.c - paths and directories (declared in file.h). */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

bool tri_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool tri_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *tri_path_join(tri_arena *arena, const char *dir, const char *name) {
    size_t n = strlen(dir);
    const char *slash = n == 0 || dir[n - 1] == '/' ? "" : "/";
    return tri_arena_printf(arena, "%s%s%s", dir, slash, name);
}

const char *tri_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

tri_status tri_path_make_dirs(const char *path, tri_error *err) {
    char *part = strdup(path);
    if (!part) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", path);
    tri_status rc = TRI_OK;
    for (char *at = part; !rc && *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char end = *at;
        *at = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            int why = errno; /* the look at it sets errno too */
            bool there = tri_path_is_dir(part);
            errno = why;
            if (!there) rc = tri_fail_errno(err, "make directory %s", part);
        }
        *at = end;
    }
    if (!rc && !tri_path_is_dir(path)) {
        rc = TRI_FAIL(err, TRI_E_IO, "%s exists and is not a directory", path);
    }
    free(part);
    return rc;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1; /* another may remove it too */
}

/* A path that does not exist is already removed.  Links are removed, not followed. */
tri_status tri_path_remove_tree(const char *path, tri_error *err) {
    enum { MAX_OPEN_DIRS = 16 };
    if (nftw(path, remove_entry, MAX_OPEN_DIRS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return tri_fail_errno(err, "remove %s", path);
    }
    return TRI_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

tri_status tri_path_list(
    const char *dir, tri_arena *arena, char ***names, int32_t *n_names, tri_error *err) {
    tri_status rc = TRI_OK;
    tri_buf list = {0}; /* of char * */
    DIR *d = opendir(dir);
    if (!d) return tri_fail_errno(err, "open directory %s", dir);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry && errno != 0) {
            rc = tri_fail_errno(err, "read directory %s", dir);
            goto done;
        }
        if (!entry) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *name = tri_arena_strdup(arena, entry->d_name);
        tri_buf_append(&list, &name, sizeof name);
        if (!name || list.failed) {
            rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for the names in %s", dir);
            goto done;
        }
    }
    size_t n = list.len / sizeof(char *);
    char **sorted = TRI_NEW_N(arena, char *, n);
    if (!sorted || n > INT32_MAX) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for the %zu names in %s", n, dir);
        goto done;
    }
    if (n) {
        memcpy(sorted, list.ptr, list.len);
        qsort(sorted, n, sizeof(char *), compare_names);
    }
    *names = sorted;
    *n_names = (int32_t)n;

done:
    closedir(d);
    tri_buf_deinit(&list);
    return rc;
}
