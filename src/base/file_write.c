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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

enum { MAX_WRITE_BYTES = 1 << 30, MAX_NAME_TRIES = 100 };

/* path + ".<pid>-<ns in 16 hex digits>.<suffix>" on the heap: beside path, so that rename stays in
 * one file system, of no other writer, and like no name that people give. */
static char *name_beside(const char *path, const char *suffix) {
    char *name;
    int n = asprintf(
        &name, "%s.%d-%016" PRIx64 ".%s", path, (int)getpid(), (uint64_t)tri_clock_ns(), suffix);
    return n < 0 ? NULL : name;
}

/* The length of the path's name in a name that name_beside made; 0: it did not make it. */
static size_t stem_of(const char *name, const char *suffix) {
    enum { HEX = 16 };
    static const char hex[] = "0123456789abcdef";
    size_t at = strlen(name), n_suffix = strlen(suffix), digits = 0;
    if (at < n_suffix + HEX + 5 || strcmp(name + at - n_suffix, suffix) != 0) return 0;
    at -= n_suffix;
    if (name[--at] != '.') return 0;
    for (int i = 0; i < HEX; i++) {
        if (!strchr(hex, name[--at])) return 0;
    }
    if (name[--at] != '-') return 0;
    for (; at > 1 && strchr(hex, name[at - 1]) && name[at - 1] <= '9'; at--)
        digits++;
    return digits && name[at - 1] == '.' ? at - 1 : 0;
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
    if (w->path && w->lock_fd >= 0) close(w->lock_fd);
    free(w->path);
    free(w->final_path);
    *w = (tri_dir_writer){.lock_fd = -1};
}

/* Locks a directory without waiting; -1: another has it, it is gone, or there are no locks here. */
static int lock_dir(const char *path) {
    struct stat mine, there;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -1;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &mine) == 0 &&
                  stat(path, &there) == 0 && mine.st_ino == there.st_ino;
    if (locked) return fd;
    close(fd);
    return -1;
}

/* A directory that its writer left; an ".old" one is the only copy while nothing is in its place.
 */
static void remove_if_abandoned(const char *dir, const char *name, size_t n_stem, bool is_old) {
    tri_arena arena;
    tri_arena_init(&arena, 0);
    const char *path = tri_path_join(&arena, dir, name);
    const char *stem = tri_arena_strndup(&arena, name, n_stem);
    const char *final_path = stem ? tri_path_join(&arena, dir, stem) : NULL;
    int fd = -1;
    if (path && final_path && (!is_old || tri_path_exists(final_path))) fd = lock_dir(path);
    if (fd >= 0) {
        tri_path_remove_tree(path, NULL);
        close(fd);
    }
    tri_arena_deinit(&arena);
}

/* Best effort: what cannot be removed stays.  stem NULL: whatever was to be made. */
static void remove_abandoned(const char *dir, const char *stem) {
    tri_arena arena;
    char **names = NULL;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    if (tri_path_list(dir, &arena, &names, &n, NULL)) n = 0;
    for (int32_t i = 0; i < n; i++) {
        size_t tmp = stem_of(names[i], "tmp"), old = stem_of(names[i], "old");
        size_t n_stem = tmp ? tmp : old;
        bool wanted = !stem || (strlen(stem) == n_stem && !strncmp(names[i], stem, n_stem));
        if (n_stem && wanted) remove_if_abandoned(dir, names[i], n_stem, old != 0);
    }
    tri_arena_deinit(&arena);
}

void tri_dir_remove_abandoned(const char *dir) {
    remove_abandoned(dir, NULL);
}

/* Between mkdir and the lock another writer may take the directory for an abandoned one: then it is
 * made again under a new name.  Where there are no locks it stays unlocked, and is never taken for
 * abandoned either. */
static tri_status make_locked(tri_dir_writer *w, tri_error *err) {
    for (int try = 0; try < MAX_NAME_TRIES; try++) {
        free(w->path);
        w->path = name_beside(w->final_path, "tmp");
        if (!w->path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", w->final_path);
        if (mkdir(w->path, 0777) != 0) {
            if (errno == EEXIST) continue;
            return tri_fail_errno(err, "make directory %s", w->path);
        }
        w->lock_fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->lock_fd < 0) continue;
        int rc = flock(w->lock_fd, LOCK_EX | LOCK_NB);
        bool taken = rc != 0 && errno == EWOULDBLOCK;
        if (!taken && tri_path_is_dir(w->path)) return TRI_OK;
        close(w->lock_fd);
        w->lock_fd = -1;
    }
    return TRI_FAIL(err, TRI_E_IO, "no free name beside %s", w->final_path);
}

/* final_path without trailing slashes, so that a name can be put beside it; of a link, what it
 * leads to. */
static char *resolved(const char *path, tri_error *err) {
    struct stat st;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *trimmed = strndup(path, n), *target = trimmed;
    if (!trimmed) {
        (void)TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", path);
    } else if (lstat(trimmed, &st) == 0 && S_ISLNK(st.st_mode)) {
        target = realpath(trimmed, NULL);
        if (!target) (void)tri_fail_errno(err, "follow link %s", trimmed);
        free(trimmed);
    }
    return target;
}

/* Makes the directories that lead to final_path as well. */
tri_status tri_dir_writer_open(tri_dir_writer *w, const char *final_path, tri_error *err) {
    tri_error why = {0};
    tri_dir_writer tmp = {.final_path = resolved(final_path, &why), .lock_fd = -1};
    char *parent = tmp.final_path ? parent_of(tmp.final_path) : NULL;
    tri_status rc = TRI_OK;
    if (!parent) {
        rc = why.status ? why.status : TRI_E_MEMORY;
        rc = TRI_FAIL(err, rc, "%s", why.status ? why.message : "no memory for a path");
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
    remove_abandoned(parent, base);
    rc = make_locked(&tmp, err);

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

tri_status tri_dir_check_replaceable(
    const char *path, const char *mark, bool (*is_ours)(const char *name), tri_error *err) {
    tri_arena arena;
    char **names = NULL;
    int32_t n = 0;
    if (!tri_path_is_dir(path)) return TRI_OK;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_path_list(path, &arena, &names, &n, err);
    bool marked = n == 0;
    const char *foreign = NULL;
    for (int32_t i = 0; i < n; i++) {
        const char *entry = tri_path_join(&arena, path, names[i]);
        marked = marked || strcmp(names[i], mark) == 0;
        if (!foreign && (!is_ours(names[i]) || !entry || tri_path_is_dir(entry)))
            foreign = names[i];
    }
    if (!rc && !marked) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s exists and holds other things (%s, ...), but no %s: it is left as it is; name a "
            "new directory",
            path, foreign ? foreign : names[0], mark);
    } else if (!rc && foreign) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s would be replaced, and %s in it lost: move that away, or name a new directory",
            path, foreign);
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
