#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "engine/engine.h"

/* ---- closing ---- */

static void close_ranks(tri_engine *e) {
    for (int32_t i = 0; e->ranks && i < e->n_ranks; i++)
        tri_rank_close(&e->ranks[i]);
    e->n_ranks = 0;
}

void tri_engine_close(tri_engine *engine) {
    if (!engine) return;
    for (int32_t i = 0; engine->weights && i < engine->n_ranks; i++)
        tri_weight_set_unref(engine, engine->weights[i]);
    close_ranks(engine);
    tri_plugin_set_close(&engine->plugins);
    if (engine->has_locks) {
        pthread_mutex_destroy(&engine->lock);
        pthread_mutex_destroy(&engine->taking);
    }
    tri_arena_deinit(&engine->arena);
    free(engine);
}

/* ---- ranks ---- */

static tri_status check_rank(const tri_engine *e, int32_t index, tri_error *err) {
    const tri_engine_spec *spec = &e->ranks[index].spec;
    if (spec->rank != index || spec->tp_size != e->config.tp_size ||
        spec->pp_size != e->config.pp_size)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "it is rank %" PRId32 " of tp_size %" PRId32 " pp_size %" PRId32
            ", config.json says %" PRId32 " of %" PRId32 " and %" PRId32,
            spec->rank, spec->tp_size, spec->pp_size, index, e->config.tp_size, e->config.pp_size);
    return TRI_OK;
}

static tri_status open_ranks(
    tri_engine *e, const char *dir, char *misfit, size_t room, bool verify, tri_error *err) {
    misfit[0] = '\0';
    for (int32_t i = 0; i < e->config.tp_size * e->config.pp_size; i++) {
        const char *path = tri_rank_path(&e->arena, dir, i);
        if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        TRI_TRY(tri_rank_open(&e->ranks[i], path, &e->plugins, &e->select, misfit, room, err));
        e->n_ranks = i + 1;
        tri_status rc = check_rank(e, i, err);
        if (!rc && verify) rc = tri_engine_file_verify(&e->ranks[i].file, err);
        if (rc) {
            tri_error_context(err, "%s", path);
            return rc;
        }
        if (misfit[0]) return TRI_OK;
    }
    e->spec = e->ranks[0].spec;
    return TRI_OK;
}

/* ---- groups ---- */

static bool same_kind(const tri_plan_group *a, const tri_group *b) {
    return a->recurrent == (b->kind == TRI_GROUP_RECURRENT) && a->window == b->window &&
           (a->recurrent || a->tokens_per_block == b->tokens_per_block);
}

static int64_t group_bytes(const tri_group *g) {
    return g->kind == TRI_GROUP_RECURRENT ? g->bytes_per_sequence
                                          : g->bytes_per_token * g->tokens_per_block;
}

/* Puts a rank's group among the engine's that this rank has none of yet. */
static tri_status add_group(
    tri_engine *e, int32_t rank, int32_t local, const tri_group *g, tri_error *err) {
    int32_t *group_of = e->group_of + (size_t)rank * TRI_MAX_GROUPS;
    int32_t at = 0;
    for (; at < e->n_groups; at++) {
        bool taken = false;
        for (int32_t k = 0; k < local; k++)
            taken = taken || group_of[k] == at;
        if (!taken && same_kind(&e->groups[at], g)) break;
    }
    if (at == TRI_MAX_GROUPS)
        return TRI_FAIL(
            err, TRI_E_LIMIT, "more than %d groups of caches in all ranks", TRI_MAX_GROUPS);
    if (at == e->n_groups) {
        e->groups[e->n_groups++] = (tri_plan_group){.recurrent = g->kind == TRI_GROUP_RECURRENT,
            .window = g->window,
            .tokens_per_block = g->tokens_per_block};
    }
    e->groups[at].bytes_per_block += group_bytes(g);
    group_of[local] = at;
    return TRI_OK;
}

/* Caches of all ranks first, so that the counts of sampling come last. */
static tri_status join_groups(tri_engine *e, tri_error *err) {
    e->group_of = TRI_NEW_N(&e->arena, int32_t, (size_t)e->n_ranks * TRI_MAX_GROUPS);
    if (!e->group_of) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int32_t r = 0; r < e->n_ranks; r++) {
        const tri_graph *g = e->ranks[r].graph;
        for (int32_t i = 0; i < g->n_groups; i++)
            TRI_TRY(add_group(e, r, i, &g->groups[i], err));
    }
    for (int32_t r = 0; r < e->n_ranks; r++) {
        const tri_graph *s = e->ranks[r].sample;
        if (s) TRI_TRY(add_group(e, r, s->n_groups - 1, &s->groups[s->n_groups - 1], err));
    }
    return TRI_OK;
}

int32_t tri_engine_groups(const tri_engine *engine, tri_plan_group groups[TRI_MAX_GROUPS]) {
    memcpy(groups, engine->groups, sizeof engine->groups);
    return engine->n_groups;
}

/* ---- weights ---- */

static tri_status share_files(tri_engine *e, tri_error *err) {
    e->weights = TRI_NEW_N(&e->arena, tri_weight_set *, e->n_ranks);
    if (!e->weights) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int32_t r = 0; r < e->n_ranks; r++) {
        tri_weight_set *set = calloc(1, sizeof *set);
        if (!set) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        tri_arena_init(&set->arena, 0);
        set->n_refs = 1;
        e->weights[r] = set;
        TRI_TRY(tri_rank_data(&e->ranks[r], &set->arena, &set->data, err));
    }
    return TRI_OK;
}

/* ---- opening ---- */

/* What this machine runs of what the engine was built for; another CPU when the caller says so. */
static tri_status choose_target(const tri_engine *e, const tri_engine_options *options,
    const tri_engine_target *built_for, tri_engine_target *target, tri_error *err) {
    *target = *built_for;
    bool gpu = strcmp(built_for->kind, "cuda") == 0;
    if (options->cpu_isa && !gpu) {
        TRI_TRY(tri_target_check("cpu", tri_isa_of(options->cpu_isa), err));
        (void)snprintf(target->arch, sizeof target->arch, "%s", tri_isa_of(options->cpu_isa));
    }
    if (e->null_device) return TRI_OK;
    if (tri_target_here(target->kind, target->arch, target->arch)) return TRI_OK;
    if (!options->cache_dir) return TRI_OK; /* the device's own error tells what is missing */
    target->kind = "cpu";
    tri_target_here("cpu", tri_machine_isa(), target->arch);
    return TRI_OK;
}

/* The target that rank 0's header names, before anything of it is used. */
static tri_status read_built_for(
    tri_engine *e, const char *dir, tri_engine_target *target, bool *null_target, tri_error *err) {
    tri_engine_file file;
    const char *path = tri_rank_path(&e->arena, dir, 0);
    if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    TRI_TRY(tri_engine_file_open(&file, path, err));
    *target = (tri_engine_target){.kind = strcmp(file.spec.target, "cuda") == 0 ? "cuda" : "cpu"};
    (void)snprintf(target->arch, sizeof target->arch, "%s", tri_isa_of(file.spec.isa));
    *null_target = strcmp(file.spec.target, "null") == 0;
    tri_engine_file_close(&file);
    return TRI_OK;
}

static void choose_for(tri_engine *e) {
    e->facts = tri_target_facts(e->target.kind, e->target.arch);
    e->select = (tri_select){.kernels = e->plugins.kernels,
        .device = &e->facts,
        .max_tokens = 1,
        .max_sequences = 1,
        .max_rows = 1};
}

static tri_status repack(tri_engine *e, const char *dir, const tri_engine_options *options,
    const tri_engine_target *built_for, const char *why, tri_error *err) {
    const char *path = NULL, *built = tri_isa_shown(built_for->arch);
    const char *here = tri_isa_shown(e->target.arch);
    if (strcmp(e->target.kind, "cuda") == 0)
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "built for %s, it cannot run on %s (%s)", built, here, why);
    if (!options->cache_dir)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "built for %s, to run on %s it must be packed again (%s), and no cache directory was "
            "given for that: build it with --cpu_isa %s",
            built, here, why, here);
    close_ranks(e);
    bool made = false;
    TRI_TRY(tri_repack(
        dir, options->cache_dir, e->target.arch, &e->plugins, &e->arena, &path, &made, err));
    e->repacked =
        tri_arena_printf(&e->arena, "built for %s, packed again for %s into %s", built, here, path);
    char misfit[512];
    TRI_TRY(open_ranks(e, path, misfit, sizeof misfit, options->verify_weights, err));
    if (misfit[0]) return TRI_FAIL(err, TRI_E_INTERNAL, "packed again, and yet: %s", misfit);
    if (made) /* said once: later opens find it */
        tri_log(TRI_LOG_INFO, "engine", "dir=%s what=\"%s\"", dir,
            e->repacked ? e->repacked : "packed again");
    return TRI_OK;
}

static tri_status open_dir(
    tri_engine *e, const char *dir, const tri_engine_options *options, tri_error *err) {
    tri_engine_target built_for;
    bool null_target;
    char misfit[512];
    pthread_mutex_init(&e->lock, NULL); /* cannot fail with no attributes here */
    pthread_mutex_init(&e->taking, NULL);
    e->has_locks = true;
    e->dir = tri_arena_strdup(&e->arena, dir);
    if (!e->dir) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    TRI_TRY(tri_engine_config_read(&e->config, dir, &e->arena, err));
    TRI_TRY(read_built_for(e, dir, &built_for, &null_target, err));
    e->null_device = options->null_device || null_target;
    e->trust_code = options->trust_engine_code;
    e->dummy_weights = options->dummy_weights;
    if (options->cache_dir) {
        e->code_dir = tri_arena_printf(&e->arena, "%s/code", options->cache_dir);
        if (!e->code_dir) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    }
    TRI_TRY(choose_target(e, options, &built_for, &e->target, err));
    TRI_TRY(tri_plugin_set_open(&e->plugins, options->plugins, options->n_plugins, err));
    choose_for(e);
    e->ranks =
        TRI_NEW_N(&e->arena, tri_rank, (size_t)e->config.tp_size * (size_t)e->config.pp_size);
    if (!e->ranks) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    TRI_TRY(open_ranks(e, dir, misfit, sizeof misfit, options->verify_weights, err));
    bool other_kind = strcmp(e->target.kind, built_for.kind) != 0;
    bool asked = options->cpu_isa && !other_kind && strcmp(e->target.arch, built_for.arch) != 0;
    if (asked && !misfit[0]) (void)snprintf(misfit, sizeof misfit, "as asked");
    if (other_kind) (void)snprintf(misfit, sizeof misfit, "this machine has no CUDA device");
    if (misfit[0])
        TRI_TRY(repack(e, dir, options, &built_for, misfit, err));
    else if (e->ranks[0].other_numerics)
        tri_log(TRI_LOG_INFO, "engine",
            "dir=%s what=\"built for %s, runs on %s: the same weights, other sums\" first=\"%s\"",
            dir, tri_isa_shown(built_for.arch), tri_isa_shown(e->target.arch),
            e->ranks[0].other_numerics);
    TRI_TRY(join_groups(e, err));
    return share_files(e, err);
}

static tri_status check_options(const tri_engine_options *options, tri_error *err) {
    if (options->struct_size != sizeof *options)
        return TRI_FAIL(err, TRI_E_VERSION,
            "tri_engine_options.struct_size is %" PRIu32 ", this library reads %zu",
            options->struct_size, sizeof *options);
    if (options->n_plugins < 0 || (options->n_plugins > 0 && !options->plugins))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "n_plugins is %" PRId32, options->n_plugins);
    return TRI_OK;
}

tri_status tri_engine_open(
    tri_engine **engine, const char *dir, const tri_engine_options *options, tri_error *err) {
    const tri_engine_options defaults = {.struct_size = sizeof defaults};
    if (!options) options = &defaults;
    TRI_TRY(check_options(options, err));
    if (!dir) return TRI_FAIL(err, TRI_E_ARGUMENT, "engine: the directory is NULL");
    tri_engine *e = calloc(1, sizeof *e);
    if (!e) return TRI_FAIL(err, TRI_E_MEMORY, "engine: out of memory");
    tri_arena_init(&e->arena, 0);
    tri_status rc = open_dir(e, dir, options, err);
    if (rc) {
        tri_error_path(err, "engine", dir);
        tri_engine_close(e);
    } else {
        *engine = e;
    }
    return rc;
}

/* ---- info ---- */

void tri_engine_get_info(const tri_engine *engine, tri_engine_info *info) {
    const tri_engine *e = engine;
    const tri_rank *last = &e->ranks[e->n_ranks - 1];
    *info = (tri_engine_info){.architecture = e->config.architecture,
        .target = e->null_device ? "null" : e->target.kind,
        .isa = tri_isa_shown(e->facts.arch),
        .dir = e->dir,
        .repacked = e->repacked,
        .vocab_size = (int32_t)tri_graph_output(last->graph, "logits")->type.dims[1],
        .n_layers = e->config.n_layers,
        .hidden_size = e->config.hidden_size,
        .tp_size = e->config.tp_size,
        .pp_size = e->config.pp_size,
        .max_batch_size = e->spec.max_batch_size,
        .max_num_tokens = e->spec.max_num_tokens,
        .max_seq_len = e->spec.max_seq_len,
        .n_parameters = e->config.n_parameters,
        .bos_id = e->config.bos_id,
        .pad_id = e->config.pad_id,
        .n_eos = e->config.n_eos,
        .stripped = e->spec.stripped};
    memcpy(info->eos_ids, e->config.eos_ids, sizeof info->eos_ids);
    for (int32_t r = 0; r < e->n_ranks; r++)
        info->weight_bytes += tri_rank_weight_bytes(&e->ranks[r]);
    tri_engine *guarded = (tri_engine *)(uintptr_t)engine; /* the lock alone */
    pthread_mutex_lock(&guarded->lock);
    info->generation = e->generation;
    info->stripped = e->spec.stripped && e->generation == 0 && !e->dummy_weights;
    pthread_mutex_unlock(&guarded->lock);
}
