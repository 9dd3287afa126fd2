#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/build_options.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

enum { PATH_BYTES = 4096 };

static bool is_engine(const char *path) {
    char name[PATH_BYTES];
    int n = snprintf(name, sizeof name, "%s/rank0.engine", path);
    return n > 0 && (size_t)n < sizeof name && tri_path_exists(name);
}

static tri_status is_dummy(const char *load_format, bool *dummy, tri_error *err) {
    *dummy = load_format && strcmp(load_format, "dummy") == 0;
    if (*dummy || !load_format || strcmp(load_format, "auto") == 0) return TRI_OK;
    return TRI_FAIL(err, TRI_E_ARGUMENT, "load_format is '%s'; auto and dummy can be", load_format);
}

static tri_status open_engine(tri_engine **engine, const char *dir, const char *cache,
    const tri_build_options *build, tri_engine_checks checks, tri_error *err) {
    bool dummy;
    TRI_TRY(is_dummy(checks.load_format, &dummy, err));
    TRI_TRY(tri_engine_open(engine, dir,
        &(tri_engine_options){.struct_size = sizeof(tri_engine_options),
            .plugins = build->plugins,
            .n_plugins = build->n_plugins,
            .cache_dir = cache,
            .cpu_isa = build->cpu_isa,
            .verify_weights = checks.verify,
            .trust_engine_code = checks.trust_engine_code,
            .dummy_weights = dummy},
        err));
    tri_engine_info info;
    tri_engine_get_info(*engine, &info);
    if (info.repacked) fprintf(stderr, "%s\n", info.repacked);
    return TRI_OK;
}

static tri_status build_into(
    const char *cache, tri_build_options *build, char *engine_dir, size_t room, tri_error *err) {
    tri_interruptible work;
    tri_interruptible_begin(&work);
    build->progress = tri_interruptible_show;
    build->progress_user = &work;
    bool built = false;
    tri_status rc = tri_build_cached(build, cache, engine_dir, room, &built, err);
    tri_interruptible_end(&work);
    if (!rc && built) {
        fprintf(stderr, "built %s in %.2f s\n", engine_dir,
            (double)(tri_clock_ns() - work.progress.started_ns) / 1e9);
    }
    if (rc && err && strstr(err->message, cache))
        tri_error_context(err, "in the cache %s (set XDG_CACHE_HOME for another place)", cache);
    return rc;
}

/* What is damaged or of another version in the cache is no loss: it is made anew. */
static tri_status open_cached(tri_engine **engine, const char *cache, tri_build_options *build,
    tri_engine_checks checks, tri_error *err) {
    char dir[PATH_BYTES];
    tri_error why = {0};
    checks.trust_engine_code = true; /* made here, by this user */
    TRI_TRY(build_into(cache, build, dir, sizeof dir, err));
    tri_status rc = open_engine(engine, dir, cache, build, checks, &why);
    if (rc == TRI_E_FORMAT || rc == TRI_E_CHECKSUM || rc == TRI_E_VERSION) {
        fprintf(stderr, "building again: %s\n", why.message);
        build->rebuild = true;
        TRI_TRY(build_into(cache, build, dir, sizeof dir, err));
        return open_engine(engine, dir, cache, build, checks, err);
    }
    if (rc && err) *err = why;
    return rc;
}

static tri_status refuse_build_options(
    const char *path, const tri_build_options *build, tri_error *err) {
    const char *flag = tri_first_build_option(build);
    if (!flag) return TRI_OK;
    return TRI_FAIL(err, TRI_E_ARGUMENT,
        "%s is an engine, already built: --%s belongs to `trireme build`", path, flag);
}

tri_status tri_engine_for(tri_engine **engine, const char *path, tri_build_options *build,
    tri_engine_checks checks, tri_error *err) {
    char cache[PATH_BYTES];
    bool has_cache = tri_cache_dir(cache, sizeof cache);
    if (!tri_path_exists(path)) {
        tri_status rc = tri_fail_errno(err, "%s", path);
        if (rc != TRI_E_NOT_FOUND) return rc;
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "%s: no such file or directory; an engine, a HF directory, a checkpoint or a GGUF file "
            "is wanted",
            path);
    }
    if (is_engine(path)) {
        TRI_TRY(refuse_build_options(path, build, err));
        return open_engine(engine, path, has_cache ? cache : NULL, build, checks, err);
    }
    if (!has_cache) {
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "no place for the engine: neither XDG_CACHE_HOME nor HOME is an absolute path; set "
            "one, or build "
            "with `trireme build` and run that");
    }
    build->model_dir = path;
    return open_cached(engine, cache, build, checks, err);
}
