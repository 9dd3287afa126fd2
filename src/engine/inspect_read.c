#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/file.h"
#include "data/gguf.h"
#include "engine/config.h"
#include "engine/inspect.h"
#include "models/source.h"

void tri_inspection_deinit(tri_inspection *inspection) {
    tri_arena_deinit(&inspection->arena);
}

static tri_status no_memory(tri_error *err) {
    return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
}

static tri_status add_file(tri_inspection *in, const char *path, int64_t n_bytes,
    int64_t header_bytes, int32_t n_entries, tri_inspect_file **file, tri_error *err) {
    if (in->n_files == in->cap_files) {
        int32_t cap = in->cap_files ? 2 * in->cap_files : 8;
        tri_inspect_file *grown = TRI_NEW_N(&in->arena, tri_inspect_file, cap);
        if (!grown) return no_memory(err);
        for (int32_t i = 0; i < in->n_files; i++)
            grown[i] = in->files[i];
        in->files = grown;
        in->cap_files = cap;
    }
    tri_inspect_file *f = &in->files[in->n_files];
    *f = (tri_inspect_file){.name = tri_arena_strdup(&in->arena, tri_path_base(path)),
        .n_bytes = n_bytes,
        .header_bytes = header_bytes,
        .entries = TRI_NEW_N(&in->arena, tri_inspect_entry, n_entries + 1)};
    if (!f->name || !f->entries) return no_memory(err);
    in->n_files++;
    *file = f;
    return TRI_OK;
}

/* ---- safetensors ---- */

static tri_status copy_tensors(
    tri_inspection *in, tri_inspect_file *file, const tri_safetensors *s, tri_error *err) {
    for (int32_t i = 0; i < s->n_tensors; i++) {
        const tri_safetensor *t = &s->tensors[i];
        tri_inspect_entry *e = &file->entries[file->n_entries++];
        *e = (tri_inspect_entry){.name = tri_arena_strdup(&in->arena, t->name),
            .kind = TRI_ENTRY_WEIGHT,
            .dtype = tri_dtype_name(t->dtype),
            .layout = "row",
            .n_dims = t->n_dims,
            .n_bytes = t->n_bytes};
        if (!e->name) return no_memory(err);
        memcpy(e->dims, t->dims, sizeof e->dims);
    }
    return TRI_OK;
}

static tri_status read_safetensors(tri_inspection *in, const char *path, tri_error *err) {
    tri_safetensors s;
    tri_inspect_file *file;
    TRI_TRY(tri_safetensors_open(&s, path, &in->arena, err));
    tri_status rc = add_file(in, path, s.map.n_bytes, s.header_bytes, s.n_tensors, &file, err);
    if (!rc) rc = copy_tensors(in, file, &s, err);
    tri_safetensors_close(&s);
    return rc;
}

/* ---- engines ---- */

static tri_inspect_entry *find_entry(tri_inspect_file *file, const char *name) {
    for (int32_t i = 0; i < file->n_entries; i++) {
        if (strcmp(file->entries[i].name, name) == 0) return &file->entries[i];
    }
    return NULL;
}

/* What the engine says of a weight, over what safetensors says of its bytes. */
static tri_status describe_weight(
    tri_inspection *in, tri_inspect_file *file, const tri_engine_tensor *t, tri_error *err) {
    tri_inspect_entry *e = find_entry(file, t->name);
    if (!e) {
        e = &file->entries[file->n_entries++];
        *e = (tri_inspect_entry){.name = tri_arena_strdup(&in->arena, t->name),
            .kind = TRI_ENTRY_WEIGHT,
            .stripped = true};
    }
    e->dtype = tri_dtype_name(t->type.dtype);
    e->layout = tri_arena_strdup(&in->arena, t->type.layout);
    e->n_dims = t->type.n_dims;
    memcpy(e->dims, t->type.dims, sizeof t->type.dims);
    e->derivation = tri_arena_strdup(&in->arena, t->derivation);
    if (t->lossy) e->lossy = tri_arena_strdup(&in->arena, t->lossy);
    if (!e->name || !e->layout || !e->derivation || (t->lossy && !e->lossy)) return no_memory(err);
    return TRI_OK;
}

static tri_status copy_engine(
    tri_inspection *in, const char *path, const tri_engine_file *f, tri_error *err) {
    tri_inspect_file *file;
    TRI_TRY(add_file(in, path, f->file.map.n_bytes, f->file.header_bytes,
        f->file.n_tensors + f->n_tensors, &file, err));
    TRI_TRY(copy_tensors(in, file, &f->file, err));
    for (int32_t i = 0; i < file->n_entries; i++) {
        tri_inspect_entry *e = &file->entries[i];
        e->kind = tri_entry_kind_of(e->name);
        if (e->kind == TRI_ENTRY_PLAN) e->dtype = "text";
    }
    for (int32_t i = 0; i < f->n_tensors; i++)
        TRI_TRY(describe_weight(in, file, &f->tensors[i], err));
    return TRI_OK;
}

static const char *dtype_or(tri_dtype dtype, const char *otherwise) {
    return dtype == TRI_N_DTYPES ? otherwise : tri_dtype_name(dtype);
}

static void add_engine_facts(tri_inspection *in, const tri_engine_file *f) {
    const tri_engine_spec *s = &f->spec;
    const tri_precision *p = &s->precision;
    tri_inspect_add_fact(in, "target", "%s %s", s->target, s->isa);
    tri_inspect_add_fact(in, "written_by", "Trireme %s, format %" PRId32, f->version, f->format);
    if (s->tp_size * s->pp_size > 1)
        tri_inspect_add_fact(
            in, "ranks", "tensor parallel %" PRId32 ", pipeline %" PRId32, s->tp_size, s->pp_size);
    tri_inspect_add_fact(in, "precision", "weights %s%s%s, activations %s, KV cache %s",
        dtype_or(p->weights, "as they came"), p->weight_only == TRI_N_DTYPES ? "" : " then ",
        dtype_or(p->weight_only, ""), p->activation ? p->activation : "as the weights ask",
        dtype_or(p->kv, "f32"));
    tri_inspect_add_fact(in, "limits",
        "%" PRId32 " sequences, %" PRId32 " tokens a step, %" PRId64
        " tokens a sequence (hints), %" PRId32 " tokens a block",
        s->max_batch_size, s->max_num_tokens, s->max_seq_len, s->tokens_per_block);
    if (s->stripped)
        tri_inspect_add_fact(in, "stripped", "weights were left out: trireme refit fills them in");
}

static tri_status read_rank(
    tri_inspection *in, const char *path, bool first, bool verify, tri_error *err) {
    tri_engine_file f;
    TRI_TRY(tri_engine_file_open(&f, path, err));
    tri_status rc = copy_engine(in, path, &f, err);
    if (!rc && first) add_engine_facts(in, &f);
    if (!rc && verify) {
        rc = tri_engine_file_verify(&f, err);
        if (rc) tri_error_context(err, "%s", path);
    }
    if (!rc && verify)
        tri_inspect_add_fact(in, "verified", "%s: every checksum agrees", tri_path_base(path));
    tri_engine_file_close(&f);
    return rc;
}

static tri_status read_engine(tri_inspection *in, const char *dir, bool verify, tri_error *err) {
    tri_engine_config config;
    TRI_TRY(tri_engine_config_read(&config, dir, &in->arena, err));
    in->what = "engine";
    tri_inspect_add_fact(in, "model", "%s, %s parameters, %" PRId32 " layers, %" PRId32 " tokens",
        config.architecture, tri_inspect_count(config.n_parameters).s, config.n_layers,
        config.vocab_size);
    for (int32_t r = 0; r < config.tp_size * config.pp_size; r++) {
        const char *path = tri_rank_path(&in->arena, dir, r);
        if (!path) return no_memory(err);
        TRI_TRY(read_rank(in, path, r == 0, verify, err));
    }
    return TRI_OK;
}

/* ---- models ---- */

/* Up to the first tensor's data. */
static int64_t gguf_header_bytes(const tri_gguf *g) {
    int64_t least = g->map.n_bytes;
    for (int32_t i = 0; i < g->n_tensors; i++) {
        int64_t at = g->tensors[i].data - g->map.data;
        if (at < least) least = at;
    }
    return least;
}

static tri_status read_gguf(tri_inspection *in, const char *path, tri_error *err) {
    tri_gguf g;
    tri_inspect_file *file;
    TRI_TRY(tri_gguf_open(&g, path, &in->arena, err));
    in->what = "GGUF file";
    tri_str architecture = {0};
    tri_status rc = tri_gguf_read_str(&g, "general.architecture", &architecture, err);
    if (!rc)
        tri_inspect_add_fact(in, "model",
            "%.*s, GGUF version %" PRIu32 ", %" PRId32 " metadata values", (int)architecture.len,
            architecture.ptr ? architecture.ptr : "", g.version, g.n_values);
    if (!rc) rc = add_file(in, path, g.map.n_bytes, gguf_header_bytes(&g), g.n_tensors, &file, err);
    for (int32_t i = 0; i < g.n_tensors && !rc; i++) {
        const tri_gguf_tensor *t = &g.tensors[i];
        tri_inspect_entry *e = &file->entries[file->n_entries++];
        *e = (tri_inspect_entry){.name = tri_arena_strdup(&in->arena, t->name),
            .kind = TRI_ENTRY_WEIGHT,
            .dtype = tri_dtype_name(t->dtype),
            .layout = "row",
            .n_dims = t->n_dims,
            .n_bytes = t->n_bytes};
        for (int32_t d = 0; d < t->n_dims && d < 4; d++)
            e->dims[d] = t->dims[d];
        if (!e->name) rc = no_memory(err);
    }
    tri_gguf_close(&g);
    return rc;
}

/* The files that a Hugging Face model is read from: its index names them. */
static tri_status read_indexed(tri_inspection *in, const char *dir, tri_error *err) {
    tri_safetensors_set set;
    tri_status rc = TRI_OK;
    TRI_TRY(tri_safetensors_set_open(&set, dir, &in->arena, err));
    for (int32_t i = 0; i < set.n_files && !rc; i++)
        rc = read_safetensors(in, set.paths[i], err);
    tri_safetensors_set_close(&set);
    return rc;
}

static tri_status has(
    tri_inspection *in, const char *dir, const char *name, bool *is_there, tri_error *err) {
    const char *path = tri_path_join(&in->arena, dir, name);
    if (!path) return no_memory(err);
    *is_there = tri_path_exists(path);
    return TRI_OK;
}

/* A checkpoint's ranks, a model's files, or else whatever safetensors files there are. */
static tri_status read_model_dir(tri_inspection *in, const char *dir, tri_error *err) {
    char **names;
    bool is_checkpoint, is_single, is_indexed;
    int32_t n, n_read = 0;
    TRI_TRY(has(in, dir, "rank0.safetensors", &is_checkpoint, err));
    TRI_TRY(has(in, dir, "model.safetensors", &is_single, err));
    TRI_TRY(has(in, dir, "model.safetensors.index.json", &is_indexed, err));
    in->what = is_checkpoint ? "checkpoint" : "Hugging Face directory";
    if (!is_checkpoint && (is_single || is_indexed)) return read_indexed(in, dir, err);
    TRI_TRY(tri_path_list(dir, &in->arena, &names, &n, err));
    for (int32_t i = 0; i < n; i++) {
        const char *path = tri_path_join(&in->arena, dir, names[i]);
        if (!path) return no_memory(err);
        if (!tri_str_ends(tri_str_of(names[i]), ".safetensors")) continue;
        if (is_checkpoint && !tri_source_is_rank_file(names[i], ".safetensors")) continue;
        TRI_TRY(read_safetensors(in, path, err));
        n_read++;
    }
    if (n_read == 0)
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "%s holds neither rank0.engine nor .safetensors files: an engine, a checkpoint, a "
            "Hugging Face directory, or a .safetensors, .engine or .gguf file can be looked into",
            dir);
    return TRI_OK;
}

/* A file: by what it begins with and whether its metadata are an engine's. */
static tri_status read_one_file(tri_inspection *in, const char *path, bool verify, tri_error *err) {
    if (tri_gguf_is(path)) return read_gguf(in, path, err);
    if (tri_str_ends(tri_str_of(path), ".engine")) {
        in->what = "rank of an engine";
        return read_rank(in, path, true, verify, err);
    }
    in->what = "safetensors file";
    return read_safetensors(in, path, err);
}

tri_status tri_inspect_read(
    tri_inspection *inspection, const char *path, uint32_t what, tri_error *err) {
    bool verify = what & TRI_INSPECT_VERIFY;
    *inspection = (tri_inspection){0};
    tri_arena_init(&inspection->arena, 0);
    inspection->path = tri_arena_strdup(&inspection->arena, path);
    if (!inspection->path) return no_memory(err);
    if (!tri_path_exists(path)) return tri_fail_errno(err, "%s", path);
    bool is_dir = tri_path_is_dir(path), is_engine = false;
    if (is_dir) TRI_TRY(has(inspection, path, "rank0.engine", &is_engine, err));
    tri_status rc = !is_dir     ? read_one_file(inspection, path, verify, err)
                    : is_engine ? read_engine(inspection, path, verify, err)
                                : read_model_dir(inspection, path, err);
    bool has_sums = is_engine || (!rc && tri_inspect_is(inspection, "rank of an engine"));
    if (!rc && verify && !has_sums)
        tri_inspect_add_fact(inspection, "verified",
            "nothing: a %s has no checksums, only engines do", inspection->what);
    return rc;
}
