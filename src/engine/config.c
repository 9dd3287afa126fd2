#include "engine/config.h"

#include <string.h>

#include "base/codec.h"
#include "base/file.h"

enum { MAX_CONFIG_BYTES = 16 << 20, MAX_RANKS = 1024 };

void tri_engine_config_from_model(tri_engine_config *config, const tri_model_config *model) {
    *config = (tri_engine_config){.architecture = model->architecture,
        .vocab_size = model->vocab_size,
        .hidden_size = model->hidden_size,
        .n_layers = model->n_layers,
        .tp_size = model->mapping.tp_size,
        .pp_size = model->mapping.pp_size,
        .bos_id = model->bos_id,
        .pad_id = model->pad_id,
        .n_eos = model->n_eos < TRI_ENGINE_MAX_EOS ? model->n_eos : TRI_ENGINE_MAX_EOS};
    memcpy(config->eos_ids, model->eos_ids, (size_t)config->n_eos * sizeof *config->eos_ids);
}

/* ---- writing ---- */

static void write_i64(tri_json_writer *w, const char *key, int64_t value) {
    tri_json_key(w, key);
    tri_json_i64(w, value);
}

static void write_text(tri_json_writer *w, const char *key, const char *value) {
    tri_json_key(w, key);
    tri_json_string(w, tri_str_of(value));
}

static void write_bool(tri_json_writer *w, const char *key, bool value) {
    tri_json_key(w, key);
    tri_json_bool(w, value);
}

/* The model's config as it was read, or what is known of a graph of one's own. */
typedef struct pretrained {
    const tri_model_config *model;
    const tri_json *json;
} pretrained;

static void write_pretrained(
    tri_json_writer *w, const tri_engine_config *config, const pretrained *from) {
    tri_json_key(w, "pretrained_config");
    if (from->model || from->json) {
        if (from->model) tri_model_config_write(from->model, w);
        if (!from->model) tri_json_value(w, from->json);
        return;
    }
    tri_json_begin_object(w);
    write_text(w, "architecture", config->architecture);
    write_i64(w, "vocab_size", config->vocab_size);
    write_i64(w, "hidden_size", config->hidden_size);
    write_i64(w, "num_hidden_layers", config->n_layers);
    tri_json_end_object(w);
}

static void write_build(tri_json_writer *w, const tri_engine_spec *spec) {
    tri_json_key(w, "build_config");
    tri_json_begin_object(w);
    write_i64(w, "max_batch_size", spec->max_batch_size);
    write_i64(w, "max_num_tokens", spec->max_num_tokens);
    write_i64(w, "max_seq_len", spec->max_seq_len);
    write_i64(w, "max_beam_width", 1);
    write_text(w, "kv_cache_type", "PAGED");
    write_bool(w, "strip_plan", spec->stripped);
    tri_json_key(w, "plugin_config");
    tri_json_begin_object(w);
    write_i64(w, "tokens_per_block", spec->tokens_per_block);
    write_bool(w, "remove_input_padding", true);
    write_bool(w, "paged_kv_cache", true);
    tri_json_end_object(w);
    tri_json_end_object(w);
}

static void write_groups(tri_json_writer *w, const tri_graph *g) {
    static const char *const kinds[] = {"full", "sliding", "recurrent"};
    tri_json_key(w, "groups");
    tri_json_begin_array(w);
    for (int32_t i = 0; i < g->n_groups; i++) {
        const tri_group *group = &g->groups[i];
        tri_json_begin_object(w);
        write_text(w, "kind", kinds[group->kind]);
        if (group->window) write_i64(w, "window", group->window);
        write_i64(w, "layers", group->n_layers);
        write_i64(w, "tokens_per_block", group->tokens_per_block);
        write_i64(w, "bytes_per_token", group->bytes_per_token);
        tri_json_end_object(w);
    }
    tri_json_end_array(w);
}

static void write_own(tri_json_writer *w, const tri_engine_config *config, const tri_rank *rank0,
    int64_t weight_bytes) {
    tri_json_key(w, "trireme");
    tri_json_begin_object(w);
    write_i64(w, "format", TRI_ENGINE_FORMAT);
    write_text(w, "architecture", config->architecture);
    write_i64(w, "vocab_size", config->vocab_size);
    write_i64(w, "hidden_size", config->hidden_size);
    write_i64(w, "n_layers", config->n_layers);
    write_i64(w, "n_parameters", config->n_parameters);
    write_i64(w, "weight_bytes", weight_bytes);
    write_i64(w, "tp_size", config->tp_size);
    write_i64(w, "pp_size", config->pp_size);
    write_i64(w, "bos_id", config->bos_id);
    write_i64(w, "pad_id", config->pad_id);
    tri_json_key(w, "eos_ids");
    tri_json_begin_array(w);
    for (int32_t i = 0; i < config->n_eos; i++)
        tri_json_i64(w, config->eos_ids[i]);
    tri_json_end_array(w);
    tri_json_key(w, "build");
    tri_spec_write(&rank0->spec, w);
    write_groups(w, rank0->graph);
    tri_json_end_object(w);
}

static tri_status write_all(const char *dir, const tri_engine_config *config,
    const pretrained *from, const tri_rank *rank0, int64_t weight_bytes, tri_error *err) {
    tri_buf out = {0};
    tri_json_writer w;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_json_writer_init(&w, &out, 2);
    tri_json_begin_object(&w);
    write_text(&w, "version", TRI_VERSION_STRING);
    write_pretrained(&w, config, from);
    write_build(&w, &rank0->spec);
    write_own(&w, config, rank0, weight_bytes);
    tri_json_end_object(&w);
    tri_buf_putc(&out, '\n');
    const char *path = tri_path_join(&arena, dir, "config.json");
    tri_status rc = tri_buf_status(&out, err);
    if (!rc && !path) rc = TRI_FAIL(err, TRI_E_MEMORY, "config.json: out of memory");
    if (!rc) rc = tri_file_replace(path, out.ptr, out.len, err);
    tri_buf_deinit(&out);
    tri_arena_deinit(&arena);
    return rc;
}

tri_status tri_engine_config_write(const char *dir, const tri_engine_config *config,
    const tri_model_config *model, const tri_rank *rank0, int64_t weight_bytes, tri_error *err) {
    const pretrained from = {.model = model};
    return write_all(dir, config, &from, rank0, weight_bytes, err);
}

/* ---- reading ---- */

static tri_status read_eos(tri_engine_config *c, const tri_json *own, tri_error *err) {
    const tri_json *ids = tri_json_get(own, "eos_ids");
    if (!ids) return TRI_OK;
    if (!tri_json_is(ids, TRI_JSON_ARRAY) || ids->n > TRI_ENGINE_MAX_EOS)
        return TRI_FAIL(
            err, TRI_E_FORMAT, "eos_ids is not a list of at most %d ids", TRI_ENGINE_MAX_EOS);
    for (int32_t i = 0; i < ids->n; i++) {
        int64_t id = -1;
        if (!tri_json_is(&ids->items[i], TRI_JSON_NUMBER) ||
            !tri_json_number_i64(ids->items[i].text, &id) || id < 0 || id > INT32_MAX)
            return TRI_FAIL(err, TRI_E_FORMAT, "eos_ids[%" PRId32 "] is no token id", i);
        c->eos_ids[i] = (int32_t)id;
    }
    c->n_eos = ids->n;
    return TRI_OK;
}

static tri_status read_own(
    tri_engine_config *c, const tri_json *own, tri_arena *arena, tri_error *err) {
    const char *architecture = NULL;
    if (!tri_json_is(own, TRI_JSON_OBJECT))
        return TRI_FAIL(err, TRI_E_FORMAT,
            "it has no object \"trireme\": this is no engine's config (is it a checkpoint? build "
            "it "
            "first: trireme build)");
    TRI_TRY(tri_json_read_string(own, "architecture", &architecture, err));
    c->architecture = tri_arena_strdup(arena, architecture ? architecture : "unknown");
    if (!c->architecture) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    TRI_TRY(tri_json_read_i32(own, "vocab_size", 0, INT32_MAX, &c->vocab_size, err));
    TRI_TRY(tri_json_read_i32(own, "hidden_size", 0, INT32_MAX, &c->hidden_size, err));
    TRI_TRY(tri_json_read_i32(own, "n_layers", 0, INT32_MAX, &c->n_layers, err));
    TRI_TRY(tri_json_read_i64(own, "n_parameters", 0, INT64_MAX, &c->n_parameters, err));
    TRI_TRY(tri_json_read_i32(own, "tp_size", 1, MAX_RANKS, &c->tp_size, err));
    TRI_TRY(tri_json_read_i32(own, "pp_size", 1, MAX_RANKS, &c->pp_size, err));
    TRI_TRY(tri_json_read_i32(own, "bos_id", -1, INT32_MAX, &c->bos_id, err));
    TRI_TRY(tri_json_read_i32(own, "pad_id", -1, INT32_MAX, &c->pad_id, err));
    return read_eos(c, own, err);
}

static tri_status read_json(
    const char *dir, tri_arena *arena, const tri_json **root, tri_error *err) {
    const char *path = tri_path_join(arena, dir, "config.json");
    tri_str text;
    if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "config.json: out of memory");
    TRI_TRY(tri_file_read(path, MAX_CONFIG_BYTES, arena, &text, err));
    return tri_json_parse(text, arena, root, err);
}

static tri_status read_config(
    tri_engine_config *config, const tri_json *root, tri_arena *arena, tri_error *err) {
    tri_engine_config c = {.tp_size = 1, .pp_size = 1, .bos_id = -1, .pad_id = -1};
    TRI_TRY(read_own(&c, tri_json_get(root, "trireme"), arena, err));
    if ((int64_t)c.tp_size * c.pp_size > MAX_RANKS)
        return TRI_FAIL(err, TRI_E_LIMIT, "%" PRId32 " x %" PRId32 " ranks, at most %d can be",
            c.tp_size, c.pp_size, MAX_RANKS);
    *config = c;
    return TRI_OK;
}

tri_status tri_engine_config_read(
    tri_engine_config *config, const char *dir, tri_arena *arena, tri_error *err) {
    const tri_json *root = NULL;
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    tri_status rc = read_json(dir, &scratch, &root, err);
    if (!rc) rc = read_config(config, root, arena, err);
    if (rc) tri_error_context(err, "%s/config.json", dir);
    tri_arena_deinit(&scratch);
    return rc;
}

tri_status tri_engine_config_rewrite(const char *from_dir, const char *to_dir,
    const tri_rank *rank0, int64_t weight_bytes, tri_error *err) {
    tri_engine_config config;
    pretrained from = {0};
    const tri_json *root = NULL;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_status rc = read_json(from_dir, &arena, &root, err);
    if (!rc) rc = read_config(&config, root, &arena, err);
    if (!rc) {
        from.json = tri_json_get(root, "pretrained_config");
        rc = write_all(to_dir, &config, &from, rank0, weight_bytes, err);
    }
    tri_arena_deinit(&arena);
    return rc;
}
