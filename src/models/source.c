#include "models/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "models/source_internal.h"

enum { MAX_CONFIG_BYTES = 64 << 20 };

/* ---- opening ---- */

/* A checkpoint's config.json says "architecture", Hugging Face's says "architectures". */
static tri_status open_directory(tri_source *s, tri_error *err) {
    const char *path = tri_path_join(&s->arena, s->path, "config.json");
    if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (!tri_path_exists(path))
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "there is no config.json in it: give a Hugging Face model directory, a TensorRT-LLM "
            "checkpoint directory or a .gguf file");
    tri_str text;
    const tri_json *root;
    TRI_TRY(tri_file_read(path, MAX_CONFIG_BYTES, &s->arena, &text, err));
    tri_status rc = tri_json_parse(text, &s->arena, &root, err);
    if (rc) {
        tri_error_context(err, "config.json");
        return rc;
    }
    /* What a build wrote (engine/config.c), whether or not its ranks are still there. */
    if (tri_json_get(root, "build_config") || tri_json_get(root, "trireme")) {
        const char *rank0 = tri_path_join(&s->arena, s->path, "rank0.engine");
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "it is an engine, already built%s: give the model that it was built from",
            rank0 && tri_path_exists(rank0) ? "" : ", whose rank0.engine is missing");
    }
    bool checkpoint = tri_json_is(tri_json_get(root, "architecture"), TRI_JSON_STRING);
    s->kind = checkpoint ? TRI_SOURCE_CHECKPOINT : TRI_SOURCE_HF;
    return checkpoint ? tri_source_open_checkpoint(s, text, err) : tri_source_open_hf(s, text, err);
}

static tri_status refuse_file(const tri_source *s, tri_error *err) {
    tri_file_map map = {0};
    TRI_TRY(tri_file_map_open(&map, s->path, err)); /* what is no file at all */
    bool is_empty = map.n_bytes == 0;
    tri_file_map_close(&map);
    if (is_empty) return TRI_FAIL(err, TRI_E_FORMAT, "it is empty; copy the file again");
    if (tri_str_ends(tri_str_of(s->path), ".gguf"))
        return TRI_FAIL(err, TRI_E_FORMAT,
            "it does not begin with \"GGUF\": it is damaged or "
            "something else; copy the file again");
    if (tri_str_ends(tri_str_of(s->path), ".engine"))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "it is a rank of an engine, already built");
    return TRI_FAIL(err, TRI_E_FORMAT,
        "neither a model directory nor a GGUF file: of safetensors give the directory");
}

static tri_status open_path(tri_source *s, tri_error *err) {
    if (tri_path_is_dir(s->path)) return open_directory(s, err);
    if (!tri_path_exists(s->path)) return tri_fail_errno(err, "open");
    if (!tri_gguf_is(s->path)) return refuse_file(s, err);
    s->kind = TRI_SOURCE_GGUF;
    return tri_source_open_gguf(s, err);
}

static tri_status check_options(const tri_source_options *o, tri_error *err) {
    if (o->dtype != TRI_F32 && o->dtype != TRI_F16 && o->dtype != TRI_BF16 &&
        o->dtype != TRI_N_DTYPES)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "weights cannot be converted to %s: choose auto, float32, float16 or bfloat16",
            (uint32_t)o->dtype < TRI_N_DTYPES ? tri_dtype_name(o->dtype) : "this dtype");
    if (o->tp_size < 0 || o->tp_size > TRI_MAX_MAPPING || o->pp_size < 0 ||
        o->pp_size > TRI_MAX_MAPPING)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "tp_size %" PRId32 ", pp_size %" PRId32 ": each is 1 to %d, or 0 for the default",
            o->tp_size, o->pp_size, TRI_MAX_MAPPING);
    return TRI_OK;
}

/* ---- what the weights say about the config ---- */

static tri_status describe_blocks(tri_source *s, tri_error *err) {
    int32_t tp = s->config.mapping.tp_size, n = 0;
    int64_t room = 0;
    for (int32_t r = 0; r < s->n_ranks; r += tp)
        room += s->ranks[r].n_entries;
    tri_gguf_type_entry *types = TRI_NEW_N(&s->arena, tri_gguf_type_entry, room + 1);
    if (!types) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the block types");
    for (int32_t r = 0; r < s->n_ranks; r += tp) {
        int32_t first = 0, n_layers;
        TRI_TRY(tri_model_config_stage(&s->config, r / tp, &first, &n_layers, err));
        for (int32_t i = 0; i < s->ranks[r].n_entries; i++) {
            const tri_source_entry *e = &s->ranks[r].entries[i];
            if (!tri_dtype_get(e->weight.type.dtype)->is_block) continue;
            const char *name = e->weight.name;
            if (e->layer >= 0) { /* numbered over all stages */
                const char *module = strchr(name + strlen("transformer.layers."), '.');
                name = tri_arena_printf(
                    &s->arena, "transformer.layers.%" PRId32 "%s", first + e->layer, module);
                if (!name) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the block types");
            }
            types[n++] = (tri_gguf_type_entry){.name = name, .dtype = e->weight.type.dtype};
        }
    }
    if (n > 0) {
        s->config.quantization.kind = TRI_QUANT_GGUF;
        s->config.quantization.gguf_types = types;
        s->config.quantization.n_gguf_types = n;
    } else if (s->config.quantization.kind == TRI_QUANT_GGUF) {
        s->config.quantization.kind = TRI_QUANT_NONE;
        s->config.quantization.n_gguf_types = 0;
    }
    return TRI_OK;
}

/* The first unquantised matrix's, else the first vector's: blocks have a type of their own. */
static void describe_dtype(tri_source *s) {
    for (int32_t n_dims = 2; n_dims >= 1; n_dims--)
        for (int32_t r = 0; r < s->n_ranks; r++)
            for (int32_t i = 0; i < s->ranks[r].n_entries; i++) {
                const tri_type *type = &s->ranks[r].entries[i].weight.type;
                if (type->n_dims != n_dims || tri_dtype_get(type->dtype)->is_block) continue;
                s->config.dtype = type->dtype;
                return;
            }
}

static void describe_biases(tri_source *s) {
    tri_model_config *c = &s->config;
    c->attn_bias = c->attn_dense_bias = c->mlp_bias = false;
    for (int32_t i = 0; i < s->ranks[0].n_entries; i++) {
        const char *name = s->ranks[0].entries[i].weight.name;
        if (!tri_str_ends(tri_str_of(name), ".bias")) continue;
        if (strstr(name, ".attention.dense."))
            c->attn_dense_bias = true;
        else if (strstr(name, ".attention."))
            c->attn_bias = true;
        else
            c->mlp_bias = true;
    }
}

/* ---- tensors nobody uses ---- */

/* Buffers that say what the config says, and heads that the config ties to the embedding. */
static bool may_be_unused(const char *name) {
    static const char *const known[] = {
        "rotary_emb.inv_freq", "rope_freqs", "rope_factors_", "lm_head.weight"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strstr(name, known[i])) return true;
    return false;
}

static void warn_of_unused(const tri_source *s) {
    const char *names[3] = {"", "", ""};
    int32_t n = 0;
    for (int32_t t = 0; t < s->n_tables && !s->options.dummy; t++)
        for (int32_t i = 0; i < s->tables[t].n_tensors; i++) {
            const tri_stored_tensor *tensor = &s->tables[t].tensors[i];
            if (tensor->used || may_be_unused(tensor->name)) continue;
            if (n < 3) names[n] = tensor->name;
            n++;
        }
    if (n > 0)
        tri_log(TRI_LOG_WARN, "source",
            "path=%s unused_tensors=%" PRId32
            " such_as=%s%s%s%s%s reason=\"%s has no use for them\"",
            s->path, n, names[0], n > 1 ? "," : "", names[1], n > 2 ? "," : "", names[2],
            s->config.architecture);
}

/* ---- interface ---- */

static tri_status open_source(tri_source *s, tri_error *err) {
    TRI_TRY(check_options(&s->options, err));
    TRI_TRY(open_path(s, err));
    tri_model_config *c = &s->config;
    if (s->options.tp_size > 0) c->mapping.tp_size = s->options.tp_size;
    if (s->options.pp_size > 0) c->mapping.pp_size = s->options.pp_size;
    TRI_TRY(tri_model_config_check(c, err));
    s->family = tri_model_find(c->architecture);
    if (!s->family)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "architecture %s is not known", c->architecture);
    if (s->options.dummy) {
        s->quantiles = tri_dummy_quantiles(&s->arena);
        if (!s->quantiles) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for random numbers");
    }
    TRI_TRY(tri_source_plan(s, err));
    TRI_TRY(describe_blocks(s, err));
    describe_dtype(s);
    describe_biases(s);
    warn_of_unused(s);
    return TRI_OK;
}

tri_status tri_source_open(
    tri_source **source, const char *path, const tri_source_options *options, tri_error *err) {
    tri_source *s = calloc(1, sizeof *s);
    if (!s) return TRI_FAIL(err, TRI_E_MEMORY, "no memory to open %s", path);
    tri_arena_init(&s->arena, 0);
    s->options = *options;
    s->hf_prefix = "model.";
    s->hf_head = "lm_head";
    s->path = tri_arena_strdup(&s->arena, path);

    tri_status rc =
        s->path ? open_source(s, err) : TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (rc) {
        tri_error_path(err, "model", path);
        tri_source_close(s);
        return rc;
    }
    *source = s;
    return TRI_OK;
}

void tri_source_close(tri_source *s) {
    if (!s) return;
    for (int32_t r = 0; s->ranks && r < s->n_ranks; r++)
        tri_map_deinit(&s->ranks[r].index);
    for (int32_t t = 0; t < s->n_tables; t++)
        tri_map_deinit(&s->tables[t].index);
    for (int32_t r = 0; r < s->n_rank_files; r++)
        tri_safetensors_close(&s->rank_files[r]);
    tri_safetensors_set_close(&s->hf);
    tri_gguf_close(&s->gguf);
    tri_arena_deinit(&s->arena);
    free(s);
}

tri_source_kind tri_source_get_kind(const tri_source *s) {
    return s->kind;
}

const tri_model_config *tri_source_config(const tri_source *s) {
    return &s->config;
}

const char *tri_source_path(const tri_source *s) {
    return s->path;
}

int32_t tri_source_n_weights(const tri_source *s, int32_t rank) {
    TRI_ASSERT(rank >= 0 && rank < s->n_ranks);
    return s->ranks[rank].n_entries;
}

const tri_source_weight *tri_source_get(const tri_source *s, int32_t rank, int32_t index) {
    TRI_ASSERT(index >= 0 && index < tri_source_n_weights(s, rank));
    return &s->ranks[rank].entries[index].weight;
}

int32_t tri_source_find(const tri_source *s, int32_t rank, const char *name) {
    int64_t at;
    TRI_ASSERT(rank >= 0 && rank < s->n_ranks);
    return tri_map_get(&s->ranks[rank].index, tri_str_of(name), &at) ? (int32_t)at : -1;
}

tri_status tri_source_read(const tri_source *s, int32_t rank, int32_t index, int64_t first,
    int64_t n, void *out, tri_error *err) {
    const tri_source_weight *w = tri_source_get(s, rank, index);
    if (first < 0 || n < 0 || first > w->n_rows || n > w->n_rows - first)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s has %" PRId64 " rows; %" PRId64 " from %" PRId64 " on were asked for", w->name,
            w->n_rows, n, first);
    const tri_source_entry *e = &s->ranks[rank].entries[index];
    if (w->type.n_dims == 1) n *= e->n_rows; /* one row of elements, each a row inside */
    tri_source_gather(s, e, first, n, out);
    return TRI_OK;
}

void tri_source_declare(const tri_source *s, int32_t pp_rank, tri_graph *g) {
    const tri_source_rank *rank = &s->ranks[(int64_t)pp_rank * s->config.mapping.tp_size];
    for (int32_t i = 0; i < rank->n_entries; i++) {
        const tri_source_entry *e = &rank->entries[i];
        int64_t dims[2];
        tri_model_weight_dims(&s->config, e->module, &dims[0], &dims[1]);
        tri_graph_declare_weight(
            g, e->weight.name, e->weight.type.dtype, dims, e->weight.type.n_dims);
    }
}
