#include "engine/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "engine/supply.h"

/* One build, from checked options to a directory. */
typedef struct building {
    const tri_build_options *options;
    tri_engine_target target;
    tri_engine_spec spec;
    tri_engine_config config;
    const tri_model_config *model; /* NULL: a graph of the caller's */
    tri_plugin_set plugins;
    tri_plugin_device facts;
    tri_select select;
    tri_team *team;
    tri_rank *ranks;
    int32_t n_ranks;
    tri_build_report report;
} building;

tri_status tri_build_report_show(const tri_build_report *report, const char *what, tri_error *err) {
    if (!report->progress || report->progress(report->user, what, report->done, report->total))
        return TRI_OK;
    return TRI_FAIL(err, TRI_E_CANCELLED, "cancelled; nothing was written");
}

tri_status tri_build_report_weight(void *user, const char *name, int64_t n_bytes, tri_error *err) {
    tri_build_report *report = user;
    (void)name;
    report->done += n_bytes;
    bool last = report->done == report->total; /* what is left is the disk's */
    return tri_build_report_show(report, last ? "writing" : "packing weights", err);
}

bool tri_engine_has_file(const char *name) {
    return strcmp(name, "config.json") == 0 || tri_source_is_rank_file(name, ".engine") ||
           tri_source_is_companion(name);
}

static void building_deinit(building *b) {
    for (int32_t i = 0; b->ranks && i < b->n_ranks; i++)
        tri_rank_close(&b->ranks[i]);
    free(b->ranks);
    tri_team_destroy(b->team);
    tri_plugin_set_close(&b->plugins);
}

/* A CPU engine's instruction set is what its kernels may need, not all that the machine has. */
static tri_status settle_isa(building *b, tri_error *err) {
    if (strcmp(b->target.kind, "cuda") != 0) {
        const char *most = b->target.arch;
        const char *used = tri_kernels_isa(b->plugins.kernels, most);
        if (b->options->cpu_isa && strcmp(used, most) != 0)
            return TRI_FAIL(err, TRI_E_UNSUPPORTED,
                "cpu_isa is '%s', which no kernel here uses; %s is the most that can be",
                b->options->cpu_isa, tri_isa_shown(used));
        (void)snprintf(b->target.arch, sizeof b->target.arch, "%s", used);
    } else if (b->options->cpu_isa) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "cpu_isa is '%s', but the target is %s",
            b->options->cpu_isa, b->options->target);
    }
    b->spec.isa = tri_isa_shown(b->target.arch);
    b->facts = tri_target_facts(b->target.kind, b->target.arch);
    return TRI_OK;
}

/* b stays where it is: the spec points into it. */
static tri_status building_init(building *b, const tri_build_options *options, tri_error *err) {
    *b = (building){.options = options};
    TRI_TRY(tri_spec_from_options(&b->spec, options, &b->target, err));
    b->report = (tri_build_report){.progress = options->progress, .user = options->progress_user};
    tri_status rc = tri_plugin_set_open(&b->plugins, options->plugins, options->n_plugins, err);
    if (!rc) rc = settle_isa(b, err);
    if (!rc) rc = tri_team_create(&b->team, options->n_threads, err);
    if (rc) building_deinit(b);
    return rc;
}

static tri_status add_ranks(building *b, int32_t n, tri_error *err) {
    b->ranks = calloc((size_t)n, sizeof *b->ranks);
    if (!b->ranks) return TRI_FAIL(err, TRI_E_MEMORY, "%" PRId32 " ranks: out of memory", n);
    b->n_ranks = n;
    b->select = tri_select_for(b->plugins.kernels, &b->facts, &b->spec);
    return TRI_OK;
}

static tri_status lower_rank(building *b, int32_t rank, tri_graph *canonical, tri_error *err) {
    tri_engine_spec spec = b->spec;
    spec.rank = rank;
    tri_status rc = tri_rank_lower(&b->ranks[rank], canonical, &spec, &b->plugins, &b->select, err);
    if (rc) tri_error_context(err, "rank %" PRId32, rank);
    if (!rc) b->report.total += tri_rank_weight_bytes(&b->ranks[rank]);
    return rc;
}

/* GGUF blocks are left as they are: that nothing was quantised would be found out too late. */
static tri_status check_weight_only(const building *b, tri_error *err) {
    if (b->spec.precision.weight_only == TRI_N_DTYPES) return TRI_OK;
    for (int32_t r = 0; r < b->n_ranks; r++) {
        for (const tri_node *node = b->ranks[r].graph->first; node; node = node->next) {
            if (node->op == TRI_OP_QUANTIZE) return TRI_OK;
        }
    }
    return TRI_FAIL(err, TRI_E_ARGUMENT,
        "weight_only is %s, but no linear has float weights to quantise: blocks of a GGUF stay as "
        "they are unless dtype decodes them (float32, bfloat16)",
        b->options->weight_only);
}

/* What becomes of `auto`. */
static tri_dtype kv_dtype_for(const tri_precision *p, tri_dtype weights, bool blocks) {
    if (p->kv != TRI_N_DTYPES) return p->kv;
    if (p->weights != TRI_N_DTYPES) return p->weights;
    return blocks ? TRI_F16 : weights; /* as precise as 8-bit activations can use */
}

/* ---- from a model ---- */

static tri_status open_source(building *b, tri_source **source, tri_error *err) {
    const tri_build_options *o = b->options;
    tri_engine_spec spec = b->spec;
    spec.tp_size = o->tp_size;
    spec.pp_size = o->pp_size;
    if (!o->model_dir) return TRI_FAIL(err, TRI_E_ARGUMENT, "model_dir is NULL");
    return tri_source_for(source, o->model_dir, &spec, o->dummy_weights, err);
}

/* What becomes of `auto` where the target's kernels take no blocks. */
static void settle_weights(building *b, bool blocks) {
    tri_precision *p = &b->spec.precision;
    if (strcmp(b->target.kind, "cuda") == 0 && blocks && p->weights == TRI_N_DTYPES)
        p->weights = TRI_BF16;
}

static void take_model(building *b, const tri_source *source) {
    const tri_model_config *model = tri_source_config(source);
    tri_engine_spec *spec = &b->spec;
    bool blocks = model->quantization.kind == TRI_QUANT_GGUF;
    b->model = model;
    tri_engine_config_from_model(&b->config, model);
    spec->tp_size = model->mapping.tp_size;
    spec->pp_size = model->mapping.pp_size;
    settle_weights(b, blocks);
    spec->precision.kv = kv_dtype_for(&spec->precision, model->dtype, blocks);
    int64_t longest = model->max_position_embeddings > 0 ? model->max_position_embeddings : 2048;
    if (spec->max_seq_len == 0) spec->max_seq_len = longest;
    if (spec->max_seq_len > longest)
        tri_log(TRI_LOG_WARN, "build",
            "max_seq_len=%" PRId64 " max_position_embeddings=%" PRId64
            " what=\"longer sequences than the model was made for\"",
            spec->max_seq_len, longest);
}

static tri_status lower_model(building *b, const tri_source *source, tri_error *err) {
    TRI_TRY(add_ranks(b, b->spec.tp_size * b->spec.pp_size, err));
    for (int32_t r = 0; r < b->n_ranks; r++) {
        tri_graph *g = NULL;
        int64_t n_parameters = 0;
        TRI_TRY(
            tri_canonical_graph(&g, source, r, &b->spec, &b->plugins, NULL, &n_parameters, err));
        if (r % b->spec.tp_size == 0) b->config.n_parameters += n_parameters;
        TRI_TRY(lower_rank(b, r, g, err));
    }
    return check_weight_only(b, err);
}

/* ---- writing ---- */

static tri_status write_rank(building *b, const char *dir, int32_t rank, const tri_supply *supply,
    tri_status (*after)(void *, const char *, int64_t, tri_error *), void *user, tri_error *err) {
    tri_arena arena;
    tri_arena_init(&arena, 0);
    const tri_rank_writing writing = {.plugins = &b->plugins,
        .select = &b->select,
        .strip_code = b->options->strip_code,
        .supply = supply,
        .team = b->team,
        .after = after,
        .user = user};
    const char *path = tri_rank_path(&arena, dir, rank);
    tri_status rc = TRI_OK;
    if (!path) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    if (!rc) rc = tri_rank_write(&b->ranks[rank], path, &writing, err);
    tri_arena_deinit(&arena);
    return rc;
}

static tri_status write_config(building *b, const char *dir, tri_error *err) {
    int64_t weight_bytes = 0;
    for (int32_t r = 0; r < b->n_ranks; r++)
        weight_bytes += tri_rank_weight_bytes(&b->ranks[r]);
    return tri_engine_config_write(dir, &b->config, b->model, &b->ranks[0], weight_bytes, err);
}

static tri_status write_model(
    building *b, const tri_source *source, const char *dir, tri_error *err) {
    for (int32_t r = 0; r < b->n_ranks; r++) {
        tri_source_supply from = {.source = source, .rank = r};
        tri_supply supply = tri_supply_source(&from);
        TRI_TRY(write_rank(b, dir, r, &supply, tri_build_report_weight, &b->report, err));
    }
    TRI_TRY(write_config(b, dir, err));
    TRI_TRY(tri_source_copy_tokenizer(source, dir, err));
    return tri_build_report_show(&b->report, "writing", err); /* the last moment to turn back */
}

static tri_status check_output(const tri_build_options *options, tri_error *err) {
    if (!options->output_dir || !*options->output_dir)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "output_dir is not given");
    return tri_dir_check_replaceable(options->output_dir, "rank0.engine", tri_engine_has_file, err);
}

tri_status tri_build(const tri_build_options *options, tri_error *err) {
    building b;
    tri_source *source = NULL;
    tri_dir_writer dir = {0};
    bool opened = false;
    TRI_TRY(building_init(&b, options, err));
    tri_status rc = check_output(options, err);
    if (!rc) rc = open_source(&b, &source, err);
    if (rc) goto done;
    take_model(&b, source);
    rc = lower_model(&b, source, err);
    if (!rc && options->dry_run) rc = tri_build_report_show(&b.report, "planned", err);
    if (rc || options->dry_run) goto done;
    rc = tri_dir_writer_open(&dir, options->output_dir, err);
    if (rc) goto done;
    opened = true;
    rc = write_model(&b, source, dir.path, err);
    if (!rc) {
        opened = false; /* commit cleans up after itself */
        rc = tri_dir_writer_commit(&dir, err);
    }

done:
    if (opened) tri_dir_writer_abandon(&dir);
    tri_source_close(source);
    building_deinit(&b);
    if (rc) tri_error_path(err, "build", options->model_dir ? options->model_dir : "");
    return rc;
}

/* ---- from a graph of the caller's ---- */

static tri_status check_graph(
    const tri_graph *graph, const tri_build_options *options, tri_error *err) {
    const tri_value *logits = tri_graph_output(graph, "logits");
    TRI_TRY(tri_graph_verify(graph, err));
    if (!logits) return TRI_FAIL(err, TRI_E_ARGUMENT, "the graph has no logits: tri_output_logits");
    if (options->tp_size > 1 || options->pp_size > 1)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "tp_size %" PRId32 " and pp_size %" PRId32 ": a model of one's own runs on one rank",
            options->tp_size, options->pp_size);
    return TRI_OK;
}

static void take_graph(building *b, const tri_graph *graph) {
    tri_engine_spec *spec = &b->spec;
    spec->tp_size = spec->pp_size = 1;
    b->config = (tri_engine_config){.architecture = graph->name,
        .vocab_size = (int32_t)tri_graph_output(graph, "logits")->type.dims[1],
        .n_parameters = tri_graph_parameters(graph),
        .tp_size = 1,
        .pp_size = 1,
        .bos_id = -1,
        .pad_id = -1};
    bool blocks = false;
    tri_dtype dtype = TRI_BF16;
    for (const tri_node *node = graph->first; node; node = node->next) {
        if (node->op == TRI_OP_CACHE) b->config.n_layers++;
        if (node->op == TRI_OP_EMBEDDING)
            b->config.hidden_size = (int32_t)node->results[0]->type.dims[1];
        if (node->op != TRI_OP_WEIGHT || node->results[0]->type.n_dims != 2) continue;
        tri_dtype d = node->results[0]->type.dtype;
        blocks = blocks || d >= TRI_Q4_0;
        if (d == TRI_F32 || d == TRI_F16 || d == TRI_BF16) dtype = d;
    }
    settle_weights(b, blocks);
    spec->precision.kv = kv_dtype_for(&spec->precision, dtype, blocks);
    if (graph->n_groups > 0 && graph->groups[0].tokens_per_block > 0)
        spec->tokens_per_block = graph->groups[0].tokens_per_block;
    if (spec->max_seq_len == 0) spec->max_seq_len = 2048;
}

typedef struct own_weights {
    tri_reader_supply reader;
    tri_build_report *report;
} own_weights;

static tri_status after_own(void *user, const char *name, int64_t n_bytes, tri_error *err) {
    own_weights *own = user;
    tri_reader_supply_clear(&own->reader);
    return tri_build_report_weight(own->report, name, n_bytes, err);
}

static tri_status write_own(
    building *b, tri_weight_reader read, void *user, const char *dir, tri_error *err) {
    own_weights own = {.reader = {.read = read, .user = user}, .report = &b->report};
    tri_supply supply = tri_supply_reader(&own.reader);
    tri_status rc = write_rank(b, dir, 0, &supply, after_own, &own, err);
    tri_reader_supply_clear(&own.reader);
    return rc ? rc : write_config(b, dir, err);
}

tri_status tri_build_graph(const tri_graph *graph, tri_weight_reader read, void *user,
    const tri_build_options *options, tri_error *err) {
    building b;
    tri_graph *own = NULL;
    tri_dir_writer dir = {0};
    bool opened = false;
    TRI_TRY(building_init(&b, options, err));
    tri_status rc = check_output(options, err);
    if (!rc) rc = check_graph(graph, options, err);
    if (!rc) rc = tri_graph_clone(graph, &own, err);
    if (rc) goto done;
    tri_graph_set_plugins(own, b.plugins.ops);
    take_graph(&b, own);
    rc = add_ranks(&b, 1, err);
    if (!rc) rc = tri_plugin_set_replace(&b.plugins, own, err);
    if (rc) {
        tri_graph_destroy(own);
        goto done;
    }
    rc = lower_rank(&b, 0, own, err);
    if (!rc) rc = check_weight_only(&b, err);
    if (!rc && options->dry_run) rc = tri_build_report_show(&b.report, "planned", err);
    if (rc || options->dry_run) goto done;
    rc = tri_dir_writer_open(&dir, options->output_dir, err);
    if (rc) goto done;
    opened = true;
    rc = write_own(&b, read, user, dir.path, err);
    if (!rc) {
        opened = false;
        rc = tri_dir_writer_commit(&dir, err);
    }

done:
    if (opened) tri_dir_writer_abandon(&dir);
    building_deinit(&b);
    if (rc) tri_error_context(err, "build %s", graph->name);
    return rc;
}
