#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/commands.h"

static bool is_engine(const char *path) {
    char name[4096];
    int n = snprintf(name, sizeof name, "%s/rank0.engine", path);
    return n > 0 && (size_t)n < sizeof name && tri_path_exists(name);
}

tri_status tri_engine_for(
    const char *path, tri_build_options *build, char *engine_dir, size_t room, tri_error *err) {
    if (!tri_path_exists(path)) {
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "%s: no such file or directory; an engine, a HF directory, a checkpoint or a GGUF file "
            "is "
            "wanted",
            path);
    }
    if (is_engine(path)) {
        int n = snprintf(engine_dir, room, "%s", path);
        if (n > 0 && (size_t)n < room) return TRI_OK;
        return TRI_FAIL(err, TRI_E_LIMIT, "path of %zu bytes; at most %zu", strlen(path), room - 1);
    }
    char cache[4096];
    if (!tri_cache_dir(cache, sizeof cache)) {
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "no place for the engine: neither XDG_CACHE_HOME nor HOME is set; set one, or build "
            "with "
            "`trireme build` and run that");
    }
    tri_progress progress;
    tri_progress_init(&progress);
    build->model_dir = path;
    build->progress = tri_progress_show;
    build->progress_user = &progress;
    bool built = false;
    tri_status rc = tri_build_cached(build, cache, engine_dir, room, &built, err);
    tri_progress_end(&progress);
    if (!rc && built) {
        fprintf(stderr, "built %s in %.2f s\n", engine_dir,
            (double)(tri_clock_ns() - progress.started_ns) / 1e9);
    }
    return rc;
}
