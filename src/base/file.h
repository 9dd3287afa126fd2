/* file.h - mapping files for reading, replacing them atomically, locking, paths.
 *
 * Everything takes UTF-8 paths and says the path in its errors. */
#ifndef TRI_BASE_FILE_H
#define TRI_BASE_FILE_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct tri_file_map {
    const uint8_t *data; /* NULL when empty */
    int64_t n_bytes;
    int64_t mtime_ns;
} tri_file_map;

/* Read-only and shared: pages come from the page cache and cost no private memory. */
tri_status tri_file_map_open(tri_file_map *map, const char *path, tri_error *err);
void tri_file_map_close(tri_file_map *map);
/* Hints that [offset, offset + n) will be read soon, or will not be again. */
void tri_file_map_will_need(const tri_file_map *map, int64_t offset, int64_t n_bytes);
void tri_file_map_dont_need(const tri_file_map *map, int64_t offset, int64_t n_bytes);

/* Reads a whole small file into the arena, NUL-terminated.  Over max_bytes: TRI_E_LIMIT. */
tri_status tri_file_read(
    const char *path, size_t max_bytes, tri_arena *arena, tri_str *text, tri_error *err);

bool tri_path_exists(const char *path);
bool tri_path_is_dir(const char *path);
/* dir/name in the arena. */
char *tri_path_join(tri_arena *arena, const char *dir, const char *name);
const char *tri_path_base(const char *path); /* after the last slash; borrowed */
tri_status tri_path_make_dirs(const char *path, tri_error *err); /* mkdir -p */
tri_status tri_path_remove_tree(const char *path, tri_error *err);
/* Names of the entries of a directory, sorted, without . and .. */
tri_status tri_path_list(
    const char *dir, tri_arena *arena, char ***names, int32_t *n_names, tri_error *err);

/* A file being written beside its final place: write, then commit (fsync, rename) or abandon
 * (unlink).  A crash or a full disk leaves the old file as it was. */
typedef struct tri_file_writer {
    int fd;
    int64_t offset_bytes;
    char *temporary_path, *path; /* heap */
} tri_file_writer;

tri_status tri_file_writer_open(tri_file_writer *w, const char *path, tri_error *err);
tri_status tri_file_writer_write(tri_file_writer *w, const void *bytes, size_t n, tri_error *err);
/* At a given place, for headers known only at the end.  Does not move the offset. */
tri_status tri_file_writer_patch(
    tri_file_writer *w, int64_t offset, const void *bytes, size_t n, tri_error *err);
tri_status tri_file_writer_commit(tri_file_writer *w, tri_error *err); /* closes in any case */
void tri_file_writer_abandon(tri_file_writer *w);                      /* no-op after commit */
/* open + write + commit */
tri_status tri_file_replace(const char *path, const void *bytes, size_t n, tri_error *err);

/* A directory made whole or not at all: fill *path, then commit renames it over final_path
 * (an existing directory there changes places with it and is removed after).  Of a link, what it
 * leads to is replaced.
 *
 * A writer holds a lock on its directory.  What killed writers left beside final_path is known by
 * not being locked, and open removes it. */
typedef struct tri_dir_writer {
    int lock_fd;
    char *path, *final_path; /* heap */
} tri_dir_writer;

tri_status tri_dir_writer_open(tri_dir_writer *w, const char *final_path, tri_error *err);
tri_status tri_dir_writer_commit(tri_dir_writer *w, tri_error *err);
void tri_dir_writer_abandon(tri_dir_writer *w);
/* What killed writers left in dir, of whatever final_path: for directories of our own. */
void tri_dir_remove_abandoned(const char *dir);
/* Whether a writer may replace `path`: it is absent, empty, or holds a file named `mark` and else
 * only what is_ours knows, as what was written there before does.  Else TRI_E_ARGUMENT: something
 * in it is somebody's, and would be lost. */
tri_status tri_dir_check_replaceable(
    const char *path, const char *mark, bool (*is_ours)(const char *name), tri_error *err);

/* An exclusive advisory lock on path (created when absent, removed at release), released by
 * process end too.  Waits at most timeout_ms (TRI_E_BUSY after). */
typedef struct tri_file_lock {
    int fd;
    char *path; /* heap */
} tri_file_lock;

tri_status tri_file_lock_take(
    tri_file_lock *lock, const char *path, int64_t timeout_ms, tri_error *err);
void tri_file_lock_release(tri_file_lock *lock);

#endif
