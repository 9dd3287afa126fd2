/* file.c - reading files and locking them (declared in file.h). */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Opens a regular file for reading; *fd is the caller's to close.  Without O_NONBLOCK a pipe that
 * nobody writes to would be waited for; files do not heed it. */
static tri_status open_regular(const char *path, int *fd, struct stat *st, tri_error *err) {
    int f = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (f < 0) return tri_fail_errno(err, "open %s", path);
    if (fstat(f, st) != 0) {
        tri_status rc = tri_fail_errno(err, "stat %s", path);
        close(f);
        return rc;
    }
    if (!S_ISREG(st->st_mode)) {
        close(f);
        return TRI_FAIL(err, TRI_E_IO, "%s is %s, not a file", path,
            S_ISDIR(st->st_mode) ? "a directory" : "a device or pipe");
    }
    *fd = f;
    return TRI_OK;
}

tri_status tri_file_map_open(tri_file_map *map, const char *path, tri_error *err) {
    struct stat st = {0};
    int fd = -1;
    TRI_TRY(open_regular(path, &fd, &st, err));
    tri_status rc = TRI_OK;
    void *data = NULL;
    if (st.st_size > 0) {
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) rc = tri_fail_errno(err, "map %s", path);
    }
    close(fd);
    if (rc) return rc;
    *map = (tri_file_map){.data = data,
        .n_bytes = st.st_size,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    return TRI_OK;
}

void tri_file_map_close(tri_file_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, (size_t)map->n_bytes);
    *map = (tri_file_map){0};
}

/* Only a hint: a range outside the map is cut, a refusal ignored. */
static void advise(const tri_file_map *map, int64_t offset, int64_t n_bytes, int advice) {
    if (offset < 0 || n_bytes <= 0 || offset >= map->n_bytes) return;
    if (n_bytes > map->n_bytes - offset) n_bytes = map->n_bytes - offset;
    int64_t start = offset & ~((int64_t)sysconf(_SC_PAGESIZE) - 1);
    madvise((void *)(uintptr_t)(map->data + start), (size_t)(n_bytes + offset - start), advice);
}

void tri_file_map_will_need(const tri_file_map *map, int64_t offset, int64_t n_bytes) {
    advise(map, offset, n_bytes, MADV_WILLNEED);
}

/* Unmaps the pages; they stay in the page cache, and a later read brings them back. */
void tri_file_map_dont_need(const tri_file_map *map, int64_t offset, int64_t n_bytes) {
    advise(map, offset, n_bytes, MADV_DONTNEED);
}

tri_status tri_file_read(
    const char *path, size_t max_bytes, tri_arena *arena, tri_str *text, tri_error *err) {
    struct stat st = {0};
    int fd = -1;
    tri_status rc = open_regular(path, &fd, &st, err);
    if (rc) return rc;
    size_t size = (size_t)st.st_size, n = 0;
    char *bytes = NULL;
    if (size > max_bytes) {
        rc =
            TRI_FAIL(err, TRI_E_LIMIT, "%s has %zu bytes, the limit is %zu", path, size, max_bytes);
        goto done;
    }
    bytes = tri_arena_alloc_aligned(arena, size + 1, 1);
    if (!bytes) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for the %zu bytes of %s", size, path);
        goto done;
    }
    while (n < size) {
        ssize_t got = read(fd, bytes + n, size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            rc = tri_fail_errno(err, "read %s", path);
            goto done;
        }
        if (got == 0) break; /* cut short meanwhile */
        n += (size_t)got;
    }
    *text = (tri_str){bytes, n};

done:
    close(fd);
    return rc;
}

/* Whether `path` still names the open file: who had the lock before removed its file. */
static bool is_named(int fd, const char *path) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

/* *fd: the locked file, or -1 when another has it. */
static tri_status try_lock(const char *path, int *fd, tri_error *err) {
    *fd = -1;
    for (;;) {
        int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (f < 0) return tri_fail_errno(err, "open lock %s", path);
        /* flock belongs to the open file, so it holds between threads of one process as well. */
        bool locked = flock(f, LOCK_EX | LOCK_NB) == 0;
        if (locked && is_named(f, path)) {
            *fd = f;
            return TRI_OK;
        }
        tri_status rc = TRI_OK;
        bool busy = !locked && errno == EWOULDBLOCK;
        if (!locked && !busy && errno != EINTR) rc = tri_fail_errno(err, "lock %s", path);
        close(f);
        if (rc || busy) return rc;
    }
}

tri_status tri_file_lock_take(
    tri_file_lock *lock, const char *path, int64_t timeout_ms, tri_error *err) {
    int64_t start_ns = tri_clock_ns();
    char *copy = strdup(path);
    int fd = -1;
    tri_status rc = TRI_OK;
    if (!copy) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for path %s", path);
    for (;;) {
        rc = try_lock(path, &fd, err);
        if (rc || fd >= 0) break;
        if ((tri_clock_ns() - start_ns) / 1000000 >= timeout_ms) {
            rc = TRI_FAIL(err, TRI_E_BUSY,
                "%s is held by another process after %" PRId64 " ms; try again when it is done",
                path, timeout_ms);
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    if (rc) {
        free(copy);
        return rc;
    }
    *lock = (tri_file_lock){.fd = fd, .path = copy};
    return TRI_OK;
}

/* The file goes while it is still locked: who opened it meanwhile sees that it has no name. */
void tri_file_lock_release(tri_file_lock *lock) {
    if (!lock->path) return;
    unlink(lock->path);
    close(lock->fd);
    free(lock->path);
    *lock = (tri_file_lock){.fd = -1};
}
