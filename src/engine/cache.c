/* cache.c - engines built once and found again: what `run` and `serve` do with a model.
 *
 * An entry's name is the model's and a hash over all that could change the engine: this version,
 * the options, and of each plugin and each file that a model is read from its name, size, time,
 * first bytes and samples of the rest: copying tools may keep sizes and times over other weights.
 * One process builds, others wait for its lock.  What killed processes left is removed by the next
 * one that builds. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/map.h"
#include "engine/build.h"

enum {
    WAIT_MS = 100, /* for the lock, between looks at whether the caller still wants it */
    HEAD_BYTES = 64 << 10,
    SAMPLES = 256, /* a file; a page each, of a 16 GB file every 64 MB */
    SAMPLE_BYTES = 4096,
    MAX_STEM = 64
};

static void add_text(tri_buf *key, const char *name, const char *value) {
    tri_buf_printf(key, "%s=%s\n", name, value ? value : "");
}

static void add_i64(tri_buf *key, const char *name, int64_t value) {
    tri_buf_printf(key, "%s=%" PRId64 "\n", name, value);
}

static void add_options(tri_buf *key, const tri_build_options *o) {
    add_text(key, "version", TRI_VERSION_STRING);
    add_i64(key, "format", TRI_ENGINE_FORMAT);
    add_text(key, "target", o->target ? o->target : "cpu");
    add_text(key, "isa", o->cpu_isa ? o->cpu_isa : tri_isa_shown(tri_machine_isa()));
    add_text(key, "dtype", o->dtype);
    add_text(key, "activation_dtype", o->activation_dtype);
    add_text(key, "kv_cache_dtype", o->kv_cache_dtype);
    add_text(key, "weight_only", o->weight_only);
    add_i64(key, "group_size", o->group_size);
    add_i64(key, "tp_size", o->tp_size);
    add_i64(key, "pp_size", o->pp_size);
    add_i64(key, "max_batch_size", o->max_batch_size);
    add_i64(key, "max_num_tokens", o->max_num_tokens);
    add_i64(key, "max_seq_len", o->max_seq_len);
    add_i64(key, "tokens_per_block", o->tokens_per_block);
    add_i64(key, "strip_plan", o->strip_plan);
    add_i64(key, "strip_code", o->strip_code);
    add_i64(key, "dummy_weights", o->dummy_weights);
}

/* The first bytes, and pages at even distances up to the last. */
static uint64_t sample_hash(const tri_file_map *map) {
    int64_t head = map->n_bytes < HEAD_BYTES ? map->n_bytes : HEAD_BYTES;
    uint64_t hash = tri_hash64(map->data, (size_t)head, 0);
    int64_t last = map->n_bytes - SAMPLE_BYTES;
    for (int64_t i = 1; i <= SAMPLES && last > head; i++) {
        int64_t at = head + (last - head) / SAMPLES * i;
        if (i == SAMPLES) at = last;
        hash = tri_hash64(map->data + at, SAMPLE_BYTES, hash);
    }
    return hash;
}

/* Tells files apart without reading gigabytes. */
static tri_status add_file(tri_buf *key, const char *name, const char *path, tri_error *err) {
    tri_file_map map;
    TRI_TRY(tri_file_map_open(&map, path, err));
    tri_buf_printf(key, "file=%s size=%" PRId64 " mtime=%" PRId64 " sample=%016" PRIx64 "\n", name,
        map.n_bytes, map.mtime_ns, sample_hash(&map));
    tri_file_map_close(&map);
    return TRI_OK;
}

static tri_status add_model(tri_buf *key, const char *model, tri_arena *arena, tri_error *err) {
    char **names;
    int32_t n;
    if (!tri_path_is_dir(model)) return add_file(key, tri_path_base(model), model, err);
    TRI_TRY(tri_path_list(model, arena, &names, &n, err));
    for (int32_t i = 0; i < n; i++) {
        const char *path = tri_path_join(arena, model, names[i]);
        if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        /* A link to nothing is no part: if the model needs it, the build says so. */
        if (!tri_source_is_part(names[i]) || !tri_path_exists(path)) continue;
        TRI_TRY(add_file(key, names[i], path, err));
    }
    return TRI_OK;
}

static tri_status make_key(
    const tri_build_options *options, tri_arena *arena, uint64_t *key, tri_error *err) {
    tri_buf text = {0};
    add_options(&text, options);
    tri_status rc = add_model(&text, options->model_dir, arena, err);
    for (int32_t i = 0; i < options->n_plugins && !rc; i++)
        rc = add_file(&text, tri_path_base(options->plugins[i]), options->plugins[i], err);
    if (!rc) rc = tri_buf_status(&text, err);
    if (!rc) *key = tri_hash64(text.ptr, text.len, 0);
    tri_buf_deinit(&text);
    return rc;
}

/* The model's name, for people who look into the cache. */
static const char *stem_of(const char *model, tri_arena *arena) {
    size_t len = strlen(model);
    while (len > 1 && model[len - 1] == '/')
        len--;
    char *copy = tri_arena_strndup(arena, model, len);
    if (!copy) return NULL;
    const char *base = tri_path_base(copy);
    size_t n = strlen(base) < MAX_STEM ? strlen(base) : MAX_STEM;
    char *stem = tri_arena_strndup(arena, base, n);
    for (char *c = stem; c && *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '.' || *c == '-' || *c == '_';
        if (!plain) *c = '_';
    }
    return stem;
}

static bool is_engine(const char *dir, tri_arena *arena) {
    const char *rank0 = tri_rank_path(arena, dir, 0);
    return rank0 && tri_path_exists(rank0);
}

static tri_status take_lock(tri_file_lock *lock, const tri_build_options *options, const char *dir,
    tri_arena *arena, tri_error *err) {
    const char *path = tri_arena_printf(arena, "%s.lock", dir);
    const char *what = tri_arena_printf(arena, "waiting for another process that builds %s", dir);
    if (!path || !what) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    const tri_build_report report = {.progress = options->progress, .user = options->progress_user};
    tri_status rc = tri_file_lock_take(lock, path, 0, err);
    while (rc == TRI_E_BUSY) {
        TRI_TRY(tri_build_report_show(&report, what, err));
        rc = tri_file_lock_take(lock, path, WAIT_MS, err);
    }
    return rc;
}

static tri_status build_under_lock(const tri_build_options *options, const char *cache_dir,
    const char *dir, bool *built, tri_arena *arena, tri_error *err) {
    tri_file_lock lock;
    tri_build_options own = *options;
    TRI_TRY(take_lock(&lock, options, dir, arena, err));
    tri_status rc = TRI_OK;
    /* Another process may have made it while we waited. */
    bool there = !options->rebuild && is_engine(dir, arena);
    own.output_dir = dir;
    own.dry_run = false;
    if (!there) {
        tri_dir_remove_abandoned(cache_dir);
        rc = tri_build(&own, err);
    }
    tri_file_lock_release(&lock);
    if (!rc) *built = !there;
    return rc;
}

tri_status tri_build_cached(const tri_build_options *options, const char *cache_dir, char *path,
    size_t room, bool *built, tri_error *err) {
    tri_arena arena;
    uint64_t key = 0;
    bool made = false;
    if (options->struct_size != sizeof *options || !options->model_dir || !cache_dir)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "a build for the cache needs struct_size %zu (it is %" PRIu32
            "), model_dir and a cache directory",
            sizeof *options, options->struct_size);
    tri_arena_init(&arena, 0);
    tri_status rc = make_key(options, &arena, &key, err);
    if (rc) goto done;
    const char *stem = stem_of(options->model_dir, &arena);
    const char *dir =
        tri_arena_printf(&arena, "%s/%s-%016" PRIx64, cache_dir, stem ? stem : "engine", key);
    if (!dir || strlen(dir) >= room) {
        rc = TRI_FAIL(err, TRI_E_LIMIT, "the path in the cache has no room in %zu bytes", room);
        goto done;
    }
    rc = tri_path_make_dirs(cache_dir, err);
    if (!rc && (options->rebuild || !is_engine(dir, &arena)))
        rc = build_under_lock(options, cache_dir, dir, &made, &arena, err);
    if (!rc) {
        memcpy(path, dir, strlen(dir) + 1);
        if (built) *built = made;
    }

done:
    tri_arena_deinit(&arena);
    return rc;
}
