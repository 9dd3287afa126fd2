#include "engine/refit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/codec.h"
#include "base/file.h"
#include "engine/derive.h"
#include "engine/engine.h"
#include "engine/supply.h"

/* ---- is it the same model? ---- */

static tri_str line_at(const char *text) {
    const char *end = strchr(text, '\n');
    return (tri_str){text, end ? (size_t)(end - text) : strlen(text)};
}

/* The first line in which two graphs differ. */
static tri_status compare(const char *engine, const char *model, tri_error *err) {
    enum { SHOWN = 160 };
    if (strcmp(engine, model) == 0) return TRI_OK;
    for (;;) {
        tri_str a = line_at(engine), b = line_at(model);
        if (!tri_str_equal(a, b))
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "it is not the engine's model: the engine has \"%.*s\" where it has \"%.*s\"",
                (int)(a.len < SHOWN ? a.len : SHOWN), a.ptr, (int)(b.len < SHOWN ? b.len : SHOWN),
                b.ptr);
        engine += a.len + 1;
        model += b.len + 1;
    }
}

typedef struct dims_text {
    char s[64];
} dims_text;

static dims_text dims_of(const tri_type *type) {
    dims_text out = {.s = "["};
    size_t n = 1;
    for (int32_t i = 0; i < type->n_dims && n < sizeof out.s - 24; i++)
        n += (size_t)snprintf(
            out.s + n, sizeof out.s - n, "%s%" PRId64, i ? "," : "", type->dims[i]);
    (void)snprintf(out.s + n, sizeof out.s - n, "]");
    return out;
}

static bool same_dims(const tri_type *a, const tri_type *b) {
    return a->n_dims == b->n_dims &&
           memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) == 0;
}

/* A weight of the engine, as the model has it: told before graphs are compared, in which the
 * model's weights are given the engine's types. */
static tri_status check_weight(
    const tri_node *node, const tri_source *source, int32_t rank, tri_error *err) {
    const char *name = tri_node_string(node, "name");
    const tri_type *due = &node->results[0]->type;
    int32_t index = tri_source_find(source, rank, name);
    if (index < 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "it is not the engine's model: it has no %s", name);
    const tri_type *type = &tri_source_get(source, rank, index)->type;
    if (!same_dims(type, due))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "it is not the engine's model: %s is %s here and %s in the engine", name,
            dims_of(type).s, dims_of(due).s);
    if (tri_dtype_get(due->dtype)->is_block && type->dtype != due->dtype)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s is %s here and %s in the engine, and blocks are not made anew: refit from a GGUF "
            "file of the same types, or build an engine of this model",
            name, tri_dtype_name(type->dtype), tri_dtype_name(due->dtype));
    return TRI_OK;
}

static tri_status check_weights(
    const tri_graph *engine, const tri_source *source, int32_t rank, tri_error *err) {
    for (const tri_node *node = engine->first; node; node = node->next) {
        if (node->op == TRI_OP_WEIGHT) TRI_TRY(check_weight(node, source, rank, err));
    }
    return TRI_OK;
}

tri_status tri_refit_check(
    const tri_rank *rank, const tri_source *source, const tri_plugin_set *plugins, tri_error *err) {
    tri_graph *engine = NULL, *model = NULL;
    tri_buf engine_text = {0}, model_text = {0};
    const tri_model_config *config = tri_source_config(source);
    tri_status rc =
        tri_graph_parse_with(&engine, rank->canonical.ptr, rank->canonical.len, plugins->ops, err);
    if (rc) return rc;
    if (strcmp(engine->name, config->architecture) != 0) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT, "the engine is a %s, %s is a %s", engine->name,
            tri_source_path(source), config->architecture);
        goto done;
    }
    rc = check_weights(engine, source, rank->spec.rank, err);
    if (rc) goto done;
    rc = tri_canonical_graph(
        &model, source, rank->spec.rank, &rank->spec, plugins, engine, NULL, err);
    if (rc) goto done;
    tri_graph_print_to(engine, &engine_text);
    tri_graph_print_to(model, &model_text);
    rc = tri_buf_status(&engine_text, err);
    if (!rc) rc = tri_buf_status(&model_text, err);
    if (!rc) rc = compare(engine_text.ptr, model_text.ptr, err);

done:
    if (rc) tri_error_context(err, "%s", tri_source_path(source));
    tri_buf_deinit(&engine_text);
    tri_buf_deinit(&model_text);
    tri_graph_destroy(engine);
    tri_graph_destroy(model);
    return rc;
}

static tri_status check_all(const tri_rank *ranks, int32_t n_ranks, const tri_source *source,
    const tri_plugin_set *plugins, tri_error *err) {
    for (int32_t r = 0; r < n_ranks; r++)
        TRI_TRY(tri_refit_check(&ranks[r], source, plugins, err));
    return TRI_OK;
}

/* ---- offline ---- */

typedef struct refitting {
    tri_engine *engine;
    tri_source *source;
    tri_team *team;
    tri_build_report report;
} refitting;

static bool is_made_anew(const char *name) {
    return strcmp(name, "config.json") == 0 || tri_source_is_rank_file(name, ".engine");
}

/* A directory in an engine is nobody's work but its owner's: it would be lost with the old one. */
static tri_status check_no_directories(const char *engine_dir, tri_error *err) {
    tri_arena arena;
    char **names;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_path_list(engine_dir, &arena, &names, &n, err);
    for (int32_t i = 0; i < n && !rc; i++) {
        const char *path = tri_path_join(&arena, engine_dir, names[i]);
        if (!path) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        if (!rc && tri_path_is_dir(path))
            rc = TRI_FAIL(err, TRI_E_ARGUMENT,
                "it is replaced whole, and the directory %s in it would be lost: move that away, "
                "or name a new output_dir",
                names[i]);
    }
    tri_arena_deinit(&arena);
    return rc;
}

/* The tokenizer's files, and in place whatever else lies there, verbatim. */
static tri_status copy_rest(const char *from, const char *to, bool in_place, tri_error *err) {
    tri_arena arena;
    char **names;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_path_list(from, &arena, &names, &n, err);
    for (int32_t i = 0; i < n && !rc; i++) {
        const char *source = tri_path_join(&arena, from, names[i]);
        const char *target = tri_path_join(&arena, to, names[i]);
        tri_file_map map;
        if (!source || !target) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        if (rc || is_made_anew(names[i])) continue;
        if (!in_place && !tri_source_is_companion(names[i])) continue;
        rc = tri_file_map_open(&map, source, err);
        if (rc) break;
        rc = tri_file_replace(target, map.data, (size_t)map.n_bytes, err);
        tri_file_map_close(&map);
    }
    tri_arena_deinit(&arena);
    return rc;
}

static tri_status write_ranks(refitting *f, const char *dir, tri_error *err) {
    tri_engine *e = f->engine;
    for (int32_t r = 0; r < e->n_ranks; r++) {
        tri_source_supply from = {.source = f->source, .rank = r};
        tri_supply supply = tri_supply_source(&from);
        const tri_rank_writing writing = {.plugins = &e->plugins,
            .select = &e->select,
            .supply = &supply,
            .team = f->team,
            .after = tri_build_report_weight,
            .user = &f->report};
        const char *path = tri_rank_path(&e->arena, dir, r);
        if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        e->ranks[r].spec.stripped = false;
        TRI_TRY(tri_rank_write(&e->ranks[r], path, &writing, err));
    }
    return TRI_OK;
}

static tri_status refit_into(refitting *f, const char *dir, bool in_place, tri_error *err) {
    tri_engine *e = f->engine;
    for (int32_t r = 0; r < e->n_ranks; r++)
        f->report.total += tri_rank_weight_bytes(&e->ranks[r]);
    TRI_TRY(write_ranks(f, dir, err));
    TRI_TRY(tri_engine_config_rewrite(e->dir, dir, &e->ranks[0], f->report.total, err));
    TRI_TRY(copy_rest(e->dir, dir, in_place, err));
    return tri_build_report_show(&f->report, "writing", err); /* the last moment to turn back */
}

tri_status tri_refit(const char *engine_dir, const char *model_dir, const char *output_dir,
    const tri_engine_options *options, tri_build_progress progress, void *progress_user,
    tri_error *err) {
    refitting f = {.report = {.progress = progress, .user = progress_user}};
    tri_engine_options opening = {.struct_size = sizeof opening, .null_device = true};
    tri_dir_writer dir;
    if (!engine_dir || !model_dir)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "refit: an engine and a model are needed");
    if (output_dir)
        TRI_TRY(tri_dir_check_replaceable(output_dir, "rank0.engine", tri_engine_has_file, err));
    if (options) {
        opening.plugins = options->plugins;
        opening.n_plugins = options->n_plugins;
    }
    tri_status rc = tri_engine_open(&f.engine, engine_dir, &opening, err);
    if (!rc && !output_dir) rc = check_no_directories(engine_dir, err);
    if (!rc) rc = tri_source_for(&f.source, model_dir, &f.engine->spec, false, err);
    if (!rc) rc = check_all(f.engine->ranks, f.engine->n_ranks, f.source, &f.engine->plugins, err);
    if (!rc) rc = tri_team_create(&f.team, 0, err);
    if (!rc) rc = tri_dir_writer_open(&dir, output_dir ? output_dir : engine_dir, err);
    if (rc) goto done;
    rc = refit_into(&f, dir.path, !output_dir, err);
    if (rc)
        tri_dir_writer_abandon(&dir);
    else
        rc = tri_dir_writer_commit(&dir, err);

done:
    tri_team_destroy(f.team);
    tri_source_close(f.source);
    tri_engine_close(f.engine);
    if (rc) tri_error_path(err, "refit", engine_dir);
    return rc;
}

/* ---- live ---- */

static int64_t aligned(int64_t n) {
    return (n + TRI_ENGINE_PAGE - 1) / TRI_ENGINE_PAGE * TRI_ENGINE_PAGE;
}

static void destroy_set(tri_weight_set *set) {
    if (!set) return;
    if (set->memory) munmap(set->memory, set->n_bytes);
    tri_arena_deinit(&set->arena);
    free(set);
}

static tri_status reserve_set(
    const tri_rank *rank, tri_weight_set *set, uint8_t ***places, tri_error *err) {
    int64_t n_bytes = TRI_ENGINE_PAGE;
    for (int32_t i = 0; i < rank->n_stored; i++)
        n_bytes += aligned(rank->stored_bytes[i]);
    *places = TRI_NEW_N(&set->arena, uint8_t *, rank->n_stored + 1);
    void *memory =
        mmap(NULL, (size_t)n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || !*places) {
        if (memory != MAP_FAILED) munmap(memory, (size_t)n_bytes);
        return TRI_FAIL(err, TRI_E_MEMORY, "no %" PRId64 " bytes for the new weights", n_bytes);
    }
    set->memory = memory;
    set->n_bytes = (size_t)n_bytes;
    uint8_t *at = memory;
    for (int32_t i = 0; i < rank->n_stored; i++) {
        (*places)[i] = at;
        at += aligned(rank->stored_bytes[i]);
    }
    set->data = (const uint8_t *const *)*places;
    return TRI_OK;
}

static tri_status stage_rank(tri_engine *e, int32_t r, const tri_source *source, tri_team *team,
    tri_weight_set **set, tri_error *err) {
    const tri_rank *rank = &e->ranks[r];
    tri_source_supply from = {.source = source, .rank = r};
    tri_supply supply = tri_supply_source(&from);
    uint8_t **places;
    *set = calloc(1, sizeof **set);
    if (!*set) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    tri_arena_init(&(*set)->arena, 0);
    TRI_TRY(reserve_set(rank, *set, &places, err));
    for (int32_t i = 0; i < rank->n_stored; i++) {
        tri_status rc =
            tri_derive(rank->stored[i].value, &supply, e->plugins.kernels, team, places[i], err);
        if (rc) {
            tri_error_context(err, "%s", rank->stored[i].name);
            return rc;
        }
    }
    return TRI_OK;
}

tri_status tri_engine_refit(tri_engine *engine, const char *model_dir, tri_error *err) {
    tri_source *source = NULL;
    tri_team *team = NULL;
    tri_weight_set **sets = calloc((size_t)engine->n_ranks, sizeof *sets);
    if (!sets) return TRI_FAIL(err, TRI_E_MEMORY, "refit: out of memory");
    tri_status rc = tri_source_for(&source, model_dir, &engine->spec, false, err);
    if (!rc) rc = check_all(engine->ranks, engine->n_ranks, source, &engine->plugins, err);
    if (!rc) rc = tri_team_create(&team, 0, err);
    for (int32_t r = 0; r < engine->n_ranks && !rc; r++)
        rc = stage_rank(engine, r, source, team, &sets[r], err);
    if (!rc) tri_engine_put_weights(engine, sets);
    for (int32_t r = 0; r < engine->n_ranks; r++)
        destroy_set(sets[r]);
    free(sets);
    tri_team_destroy(team);
    tri_source_close(source);
    if (rc) tri_error_context(err, "refit");
    return rc;
}
