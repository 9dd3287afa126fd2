/* repack.c - an engine lowered again for a CPU that it was not built for, from what it stores.
 *
 * Its canonical graph goes through the same passes with the other CPU's kernels; stored tensors are
 * unpacked by their derivations run backwards and packed as the new derivations say.  The result is
 * an engine directory in the cache, made under a lock and found by its key: the sums of the ranks'
 * headers, the instruction set, this version. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/engine.h"
#include "engine/supply.h"

enum { LOCK_TIMEOUT_MS = 3600 * 1000 };

typedef struct repacking {
    const char *dir, *to_dir, *isa;
    const tri_plugin_set *plugins;
    tri_plugin_device facts;
    tri_team *team;
    int32_t n_ranks;
    int64_t weight_bytes;
} repacking;

/* ---- one rank ---- */

static tri_status lower_again(
    tri_rank *to, const tri_rank *from, const repacking *r, tri_select *select, tri_error *err) {
    tri_graph *canonical = NULL;
    tri_engine_spec spec = from->spec;
    spec.target = "cpu";
    spec.isa = tri_isa_shown(r->isa);
    tri_status rc = tri_graph_parse_with(
        &canonical, from->canonical.ptr, from->canonical.len, r->plugins->ops, err);
    if (rc) {
        tri_error_context(err, "canonical_graph");
        return rc;
    }
    return tri_rank_lower(to, canonical, &spec, r->plugins, select, err);
}

static tri_status write_again(const tri_rank *to, const tri_rank *from, const repacking *r,
    const tri_select *select, const char *path, tri_error *err) {
    tri_recovery recovery = {0};
    const uint8_t *const *data;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_rank_data(from, &arena, &data, err);
    if (!rc)
        rc = tri_recovery_create(
            &recovery, from->stored, data, from->n_stored, r->plugins->kernels, err);
    if (rc) goto done;
    tri_supply supply = tri_supply_recovery(&recovery);
    const tri_rank_writing writing = {
        .plugins = r->plugins, .select = select, .supply = &supply, .team = r->team};
    rc = tri_rank_write(to, path, &writing, err);
    tri_recovery_destroy(&recovery);

done:
    tri_arena_deinit(&arena);
    return rc;
}

static tri_status repack_rank(
    repacking *r, int32_t index, const tri_select *own, tri_arena *arena, tri_error *err) {
    tri_rank from = {0}, to = {0};
    char misfit[512]; /* it need not run here */
    const char *from_path = tri_rank_path(arena, r->dir, index);
    const char *to_path = tri_rank_path(arena, r->to_dir, index);
    if (!from_path || !to_path) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    TRI_TRY(tri_rank_open(&from, from_path, r->plugins, own, misfit, sizeof misfit, err));
    tri_select select = tri_select_for(r->plugins->kernels, &r->facts, &from.spec);
    tri_status rc = lower_again(&to, &from, r, &select, err);
    if (!rc) {
        rc = write_again(&to, &from, r, &select, to_path, err);
        r->weight_bytes += tri_rank_weight_bytes(&to);
        if (!rc && index == r->n_ranks - 1)
            rc = tri_engine_config_rewrite(r->dir, r->to_dir, &to, r->weight_bytes, err);
        tri_rank_close(&to);
    }
    tri_rank_close(&from);
    return rc;
}

/* ---- the cache ---- */

static tri_status make(repacking *r, const char *path, tri_arena *arena, tri_error *err) {
    tri_dir_writer dir;
    tri_select own = {.kernels = r->plugins->kernels,
        .device = &r->facts,
        .max_tokens = 1,
        .max_sequences = 1,
        .max_rows = 1};
    TRI_TRY(tri_dir_writer_open(&dir, path, err));
    r->to_dir = dir.path;
    tri_status rc = tri_team_create(&r->team, 0, err);
    for (int32_t i = 0; i < r->n_ranks && !rc; i++)
        rc = repack_rank(r, i, &own, arena, err);
    tri_team_destroy(r->team);
    if (rc) {
        tri_dir_writer_abandon(&dir);
        return rc;
    }
    return tri_dir_writer_commit(&dir, err);
}

/* What the engine is: the sums that its files keep of themselves. */
static tri_status make_key(const repacking *r, tri_arena *arena, uint64_t *key, tri_error *err) {
    tri_buf text = {0};
    tri_status rc = TRI_OK;
    tri_buf_printf(&text, "%s %s", TRI_VERSION_STRING, r->isa);
    for (int32_t i = 0; i < r->n_ranks && !rc; i++) {
        tri_engine_file f;
        const char *path = tri_rank_path(arena, r->dir, i);
        if (!path) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        if (!rc) rc = tri_engine_file_open(&f, path, err);
        if (rc) break;
        size_t n = (size_t)f.file.n_tensors * sizeof *f.checksums;
        tri_buf_printf(&text, " %016" PRIx64, tri_hash64(f.checksums, n, 0));
        tri_engine_file_close(&f);
    }
    if (!rc) rc = tri_buf_status(&text, err);
    if (!rc) *key = tri_hash64(text.ptr, text.len, 0);
    tri_buf_deinit(&text);
    return rc;
}

static tri_status make_under_lock(repacking *r, const char *cache_dir, const char *path, bool *made,
    tri_arena *arena, tri_error *err) {
    tri_file_lock lock;
    const char *lock_path = tri_arena_printf(arena, "%s.lock", path);
    const char *first = tri_rank_path(arena, path, 0);
    if (!lock_path || !first) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    tri_status rc = tri_file_lock_take(&lock, lock_path, 0, err);
    if (rc == TRI_E_BUSY) {
        tri_log(TRI_LOG_INFO, "engine", "dir=%s what=\"another process packs it again: waiting\"",
            r->dir);
        rc = tri_file_lock_take(&lock, lock_path, LOCK_TIMEOUT_MS, err);
    }
    if (rc) return rc;
    bool there = tri_path_exists(first);
    if (!there) {
        tri_dir_remove_abandoned(cache_dir);
        rc = make(r, path, arena, err);
    }
    tri_file_lock_release(&lock);
    *made = !there;
    return rc;
}

tri_status tri_repack(const char *dir, const char *cache_dir, const char *isa,
    const tri_plugin_set *plugins, tri_arena *arena, const char **path, bool *made,
    tri_error *err) {
    repacking r = {
        .dir = dir, .isa = isa, .plugins = plugins, .facts = tri_target_facts("cpu", isa)};
    tri_engine_config config;
    uint64_t key;
    tri_status rc = tri_engine_config_read(&config, dir, arena, err);
    if (rc) goto done;
    r.n_ranks = config.tp_size * config.pp_size;
    rc = make_key(&r, arena, &key, err);
    if (rc) goto done;
    const char *entry =
        tri_arena_printf(arena, "%s/repacked-%s-%016" PRIx64, cache_dir, tri_isa_shown(isa), key);
    if (!entry) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    if (!rc) rc = tri_path_make_dirs(cache_dir, err);
    if (!rc) rc = make_under_lock(&r, cache_dir, entry, made, arena, err);
    if (!rc) *path = entry;

done:
    if (rc) tri_error_context(err, "packing again for %s", tri_isa_shown(isa));
    return rc;
}
