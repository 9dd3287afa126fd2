/* convert.c - any source as a checkpoint directory: config.json, rankN.safetensors, tokenizer
 * files.
 *
 * Weights stream through a buffer of a few rows; nothing else grows with the model. */
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "models/source_internal.h"

enum { CHUNK_BYTES = 4 << 20, DATA_ALIGN = 64 };

typedef struct tri_conversion {
    tri_source *source;
    const char *dir; /* being filled */
    uint8_t *buffer; /* a whole row at least */
    int64_t buffer_bytes, done_bytes, total_bytes;
    tri_progress_fn progress;
    void *user;
} tri_conversion;

static int64_t weight_bytes(const tri_source_weight *w) {
    return w->n_rows * w->row_bytes;
}

/* Bytes in all, and a buffer for CHUNK_BYTES or the longest row. */
static tri_status prepare(tri_conversion *c, tri_error *err) {
    c->buffer_bytes = CHUNK_BYTES;
    for (int32_t r = 0; r < c->source->n_ranks; r++)
        for (int32_t i = 0; i < c->source->ranks[r].n_entries; i++) {
            const tri_source_weight *w = tri_source_get(c->source, r, i);
            c->total_bytes += weight_bytes(w);
            if (w->row_bytes > c->buffer_bytes) c->buffer_bytes = w->row_bytes;
        }
    c->buffer = malloc((size_t)c->buffer_bytes);
    if (!c->buffer)
        return TRI_FAIL(
            err, TRI_E_MEMORY, "no memory for a buffer of %" PRId64 " bytes", c->buffer_bytes);
    return TRI_OK;
}

/* Blocks have no dtype in safetensors: U8 [rows, row bytes], their type in the config. */
static tri_status declare(
    tri_safetensors_writer *w, const tri_source_weight *weight, tri_error *err) {
    bool blocks = tri_dtype_get(weight->type.dtype)->is_block;
    int64_t dims[2] = {weight->type.dims[0], blocks ? weight->row_bytes : weight->type.dims[1]};
    return tri_safetensors_writer_declare(
        w, weight->name, blocks ? TRI_U8 : weight->type.dtype, dims, weight->type.n_dims, err);
}

static tri_status report(const tri_conversion *c, const char *what, tri_error *err) {
    if (!c->progress || c->progress(c->user, what, c->done_bytes, c->total_bytes)) return TRI_OK;
    return TRI_FAIL(err, TRI_E_CANCELLED, "cancelled; nothing was written");
}

static tri_status stream(
    tri_conversion *c, tri_safetensors_writer *w, int32_t rank, int32_t index, tri_error *err) {
    const tri_source_weight *weight = tri_source_get(c->source, rank, index);
    int64_t step = c->buffer_bytes / weight->row_bytes;
    for (int64_t first = 0; first < weight->n_rows; first += step) {
        int64_t left = weight->n_rows - first, n = step < left ? step : left;
        TRI_TRY(tri_source_read(c->source, rank, index, first, n, c->buffer, err));
        TRI_TRY(tri_safetensors_writer_write(w, c->buffer, (size_t)(n * weight->row_bytes), err));
        c->done_bytes += n * weight->row_bytes;
        TRI_TRY(report(c, weight->name, err));
    }
    return TRI_OK;
}

static tri_status write_rank(tri_conversion *c, int32_t rank, const char *path, tri_error *err) {
    tri_safetensors_writer *w = NULL;
    int32_t n = tri_source_n_weights(c->source, rank);
    tri_status rc = tri_safetensors_writer_open(&w, path, err);
    if (rc) return rc;
    rc = tri_safetensors_writer_metadata(w, "format", "pt", err); /* what Python readers expect */
    for (int32_t i = 0; i < n && !rc; i++)
        rc = declare(w, tri_source_get(c->source, rank, i), err);
    if (!rc) rc = tri_safetensors_writer_begin(w, DATA_ALIGN, err);
    for (int32_t i = 0; i < n && !rc; i++)
        rc = stream(c, w, rank, i, err);
    if (rc) {
        tri_safetensors_writer_abandon(w);
        return rc;
    }
    return tri_safetensors_writer_commit(w, err);
}

static tri_status write_config(const tri_conversion *c, const char *path, tri_error *err) {
    tri_buf text = {0};
    tri_json_writer w;
    tri_json_writer_init(&w, &text, 4);
    tri_model_config_write(&c->source->config, &w);
    tri_buf_putc(&text, '\n');
    tri_status rc = tri_buf_status(&text, err);
    if (!rc) rc = tri_file_replace(path, text.ptr, text.len, err);
    tri_buf_deinit(&text);
    return rc;
}

static tri_status fill_directory(tri_conversion *c, tri_arena *arena, tri_error *err) {
    TRI_TRY(prepare(c, err));
    for (int32_t r = 0; r < c->source->n_ranks; r++) {
        const char *name = tri_arena_printf(arena, "rank%" PRId32 ".safetensors", r);
        const char *path = name ? tri_path_join(arena, c->dir, name) : NULL;
        if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
        TRI_TRY(write_rank(c, r, path, err));
    }
    const char *config = tri_path_join(arena, c->dir, "config.json");
    if (!config) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    TRI_TRY(write_config(c, config, err));
    TRI_TRY(tri_source_copy_tokenizer(c->source, c->dir, err));
    return report(c, "writing", err); /* the last moment to turn back */
}

static bool is_checkpoint_file(const char *name) {
    return strcmp(name, "config.json") == 0 || tri_source_is_rank_file(name, ".safetensors") ||
           tri_source_is_companion(name);
}

tri_status tri_convert(tri_source *source, const char *output_dir, tri_progress_fn progress,
    void *progress_user, tri_error *err) {
    tri_arena arena;
    tri_dir_writer dir = {0};
    tri_arena_init(&arena, 0);
    tri_conversion c = {.source = source, .progress = progress, .user = progress_user};

    tri_status rc =
        tri_dir_check_replaceable(output_dir, "rank0.safetensors", is_checkpoint_file, err);
    if (!rc) rc = tri_dir_writer_open(&dir, output_dir, err);
    if (rc) goto done;
    c.dir = dir.path;
    rc = fill_directory(&c, &arena, err);
    if (rc)
        tri_dir_writer_abandon(&dir);
    else
        rc = tri_dir_writer_commit(&dir, err);

done:
    if (rc) tri_error_context(err, "convert %s to %s", source->path, output_dir);
    free(c.buffer);
    tri_arena_deinit(&arena);
    return rc;
}
