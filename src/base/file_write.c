/* file_write.c - replacing files and directories whole or not at all (declared in file.h).
 *
 * Order on commit: the data reaches the disk, then the name changes, then the directory that holds
 * the name reaches the disk.  A crash between any two leaves the old or the new, never a mixture
 * and never neither: a directory that is replaced changes names with the new one in one step.  On a
 * file system that cannot do that, there is a moment in which the old lies beside under ".old". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

enum { MAX_WRITE_BYTES = 1 << 30, MAX_NAME_TRIES = 100 };

/* path + ".<pid>-<ns>.<suffix>" on the heap: beside path, so that rename stays in one file system,
 * and of no other writer. */
static char *name_beside(const char *path, const char *suffix) {
    char *name;
    int n = asprintf(
        &name, "%s.%d-%" PRIx64 ".%s", path, (int)getpid(), (uint64_t)tri_clock_ns(), suffix);
    return n < 0 ? NULL : name;
}

/* The directory that holds path, on the heap. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static tri_status sync_dir(const char *dir, tri_error *err) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return tri_fail_errno(err, "open directory %s", dir);
    tri_status rc = TRI_OK;
    /* EINVAL: a file system that cannot sync directories, so has nothing to lose here. */
    if (fsync(fd) != 0 && errno != EINVAL) rc = tri_fail_errno(err, "sync directory %s", dir);
    close(fd);
    return rc;
}

static tri_status sync_parent(const char *path, tri_error *err) {
    char *parent = parent_of(path);
    if (!parent) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", path);
    tri_status rc = sync_dir(parent, err);
    free(parent);
    return rc;
}

/* ---- one file ---- */

static void writer_clear(tri_file_writer *w) {
    free(w->temporary_path);
    free(w->path);
    *w = (tri_file_writer){.fd = -1};
}

tri_status tri_file_writer_open(tri_file_writer *w, const char *path, tri_error *err) {
    tri_file_writer tmp = {.fd = -1, .path = strdup(path)};
    tri_status rc = TRI_OK;
    for (int try = 0; tmp.path && tmp.fd < 0 && try < MAX_NAME_TRIES; try++) {
        free(tmp.temporary_path);
        tmp.temporary_path = name_beside(path, "tmp");
        if (!tmp.temporary_path) break;
        tmp.fd = open(tmp.temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (tmp.fd < 0 && errno != EEXIST) {
            rc = tri_fail_errno(err, "create %s", tmp.temporary_path);
            goto done;
        }
    }
    if (!tmp.path || !tmp.temporary_path) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", path);
    } else if (tmp.fd < 0) {
        rc = TRI_FAIL(err, TRI_E_IO, "no free name beside %s", path);
    }

done:
    if (rc) {
        writer_clear(&tmp);
    } else {
        *w = tmp;
    }
    return rc;
}

tri_status tri_file_writer_patch(
    tri_file_writer *w, int64_t offset, const void *bytes, size_t n, tri_error *err) {
    const char *at = bytes;
    while (n > 0) {
        size_t piece = n < MAX_WRITE_BYTES ? n : MAX_WRITE_BYTES;
        ssize_t put = pwrite(w->fd, at, piece, offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            return tri_fail_errno(
                err, "write %zu bytes at %" PRId64 " of %s", n, offset, w->temporary_path);
        }
        at += put;
        offset += put;
        n -= (size_t)put;
    }
    return TRI_OK;
}

tri_status tri_file_writer_write(tri_file_writer *w, const void *bytes, size_t n, tri_error *err) {
    TRI_TRY(tri_file_writer_patch(w, w->offset_bytes, bytes, n, err));
    w->offset_bytes += (int64_t)n;
    return TRI_OK;
}

tri_status tri_file_writer_commit(tri_file_writer *w, tri_error *err) {
    TRI_ASSERT(w->temporary_path);
    tri_status rc = TRI_OK;
    if (fsync(w->fd) != 0) rc = tri_fail_errno(err, "sync %s", w->temporary_path);
    /* Some file systems report a failed write only here. */
    if (close(w->fd) != 0 && !rc) rc = tri_fail_errno(err, "close %s", w->temporary_path);
    w->fd = -1;
    if (!rc && rename(w->temporary_path, w->path) != 0) {
        rc = tri_fail_errno(err, "rename %s to %s", w->temporary_path, w->path);
    }
    if (rc) {
        unlink(w->temporary_path);
    } else {
        rc = sync_parent(w->path, err);
    }
    writer_clear(w);
    return rc;
}

void tri_file_writer_abandon(tri_file_writer *w) {
    if (!w->temporary_path) return;
    close(w->fd);
    unlink(w->temporary_path);
    writer_clear(w);
}

tri_status tri_file_replace(const char *path, const void *bytes, size_t n, tri_error *err) {
    tri_file_writer w;
    TRI_TRY(tri_file_writer_open(&w, path, err));
    tri_status rc = tri_file_writer_write(&w, bytes, n, err);
    if (rc) {
        tri_file_writer_abandon(&w);
        return rc;
    }
    return tri_file_writer_commit(&w, err);
}

/* ---- a directory ---- */

static void dir_writer_clear(tri_dir_writer *w) {
    free(w->path);
    free(w->final_path);
    *w = (tri_dir_writer){0};
}

/* final_path without trailing slashes, so that a name can be put beside it. */
static char *trimmed(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return strndup(path, n);
}

/* Makes the directories that lead to final_path as well. */
tri_status tri_dir_writer_open(tri_dir_writer *w, const char *final_path, tri_error *err) {
    tri_dir_writer tmp = {.final_path = trimmed(final_path)};
    char *parent = tmp.final_path ? parent_of(tmp.final_path) : NULL;
    tri_status rc = TRI_OK;
    if (!parent) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", final_path);
        goto done;
    }
    const char *base = tri_path_base(tmp.final_path);
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT,
            "cannot replace directory \"%s\": name a new directory inside it", final_path);
        goto done;
    }
    rc = tri_path_make_dirs(parent, err);
    if (rc) goto done;
    if (tri_path_exists(tmp.final_path) && !tri_path_is_dir(tmp.final_path)) {
        rc = TRI_FAIL(err, TRI_E_IO, "%s exists and is not a directory", tmp.final_path);
        goto done;
    }
    tmp.path = name_beside(tmp.final_path, "tmp");
    if (!tmp.path) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", final_path);
        goto done;
    }
    if (mkdir(tmp.path, 0777) != 0) rc = tri_fail_errno(err, "make directory %s", tmp.path);

done:
    free(parent);
    if (rc) {
        dir_writer_clear(&tmp);
    } else {
        *w = tmp;
    }
    return rc;
}

/* Renames the finished directory into place; *old is where the former one lies now, or NULL. */
static tri_status put_in_place(const tri_dir_writer *w, char **old, tri_error *err) {
    if (tri_path_exists(w->final_path)) {
        if (renameat2(AT_FDCWD, w->path, AT_FDCWD, w->final_path, RENAME_EXCHANGE) == 0) {
            *old = strdup(w->path);
            return *old ? TRI_OK : TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", w->path);
        }
        char *aside = name_beside(w->final_path, "old");
        if (!aside) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", w->final_path);
        if (rename(w->final_path, aside) != 0) {
            tri_status rc = tri_fail_errno(err, "rename %s to %s", w->final_path, aside);
            free(aside);
            return rc;
        }
        *old = aside;
    }
    if (rename(w->path, w->final_path) != 0) {
        tri_status rc = tri_fail_errno(err, "rename %s to %s", w->path, w->final_path);
        if (*old && rename(*old, w->final_path) != 0) {
            tri_error_context(err, "the former directory is now %s", *old);
        }
        free(*old);
        *old = NULL;
        return rc;
    }
    return TRI_OK;
}

tri_status tri_dir_check_replaceable(const char *path, const char *mark, tri_error *err) {
    tri_arena arena;
    char **names = NULL;
    int32_t n = 0;
    if (!tri_path_is_dir(path)) return TRI_OK;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_path_list(path, &arena, &names, &n, err);
    bool marked = n == 0;
    for (int32_t i = 0; i < n && !marked; i++)
        marked = strcmp(names[i], mark) == 0;
    if (!rc && !marked) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s exists and holds other things (%s, ...), but no %s: it is left as it is; name a "
            "new directory",
            path, names[0], mark);
    }
    tri_arena_deinit(&arena);
    return rc;
}

tri_status tri_dir_writer_commit(tri_dir_writer *w, tri_error *err) {
    TRI_ASSERT(w->path);
    char *old = NULL;
    tri_status rc = sync_dir(w->path, err);
    if (!rc) rc = put_in_place(w, &old, err);
    if (rc) {
        tri_path_remove_tree(w->path, NULL);
    } else {
        rc = sync_parent(w->final_path, err);
        if (old && !rc) rc = tri_path_remove_tree(old, err);
    }
    free(old);
    dir_writer_clear(w);
    return rc;
}

void tri_dir_writer_abandon(tri_dir_writer *w) {
    if (!w->path) return;
    tri_path_remove_tree(w->path, NULL);
    dir_writer_clear(w);
}
