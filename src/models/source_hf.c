/* source_hf.c - a Hugging Face model directory: config.json, generation_config.json, safetensors.
 */
#include <string.h>

#include "models/source_internal.h"

enum { MAX_CONFIG_BYTES = 64 << 20 };

/* Where the decoder stands among the tensors: alone, or inside a multimodal model. */
static tri_status find_prefix(tri_source *s, tri_error *err) {
    static const struct {
        const char *prefix, *head;
    } places[] = {{"model.", "lm_head"}, {"language_model.model.", "language_model.lm_head"},
        {"model.language_model.", "lm_head"}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *name = tri_arena_printf(&s->arena, "%sembed_tokens.weight", places[i].prefix);
        if (!name) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for names");
        if (!tri_tensor_table_find(&s->tables[0], name)) continue;
        s->hf_prefix = places[i].prefix;
        s->hf_head = places[i].head;
        return TRI_OK;
    }
    return TRI_OK; /* the plan says which tensor is missing */
}

static tri_status list_tensors(tri_source *s, tri_error *err) {
    int64_t n = 0;
    for (int32_t f = 0; f < s->hf.n_files; f++)
        n += s->hf.files[f].n_tensors;
    if (n > INT32_MAX) return TRI_FAIL(err, TRI_E_LIMIT, "%" PRId64 " tensors", n);
    s->tables = TRI_NEW(&s->arena, tri_tensor_table);
    if (!s->tables) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the tensors' table");
    s->n_tables = 1;
    TRI_TRY(tri_tensor_table_init(&s->tables[0], (int32_t)n, &s->arena, err));
    for (int32_t f = 0; f < s->hf.n_files; f++)
        TRI_TRY(tri_tensor_table_add_file(&s->tables[0], &s->hf.files[f], err));
    return TRI_OK;
}

tri_status tri_source_open_hf(tri_source *s, tri_str config, tri_error *err) {
    tri_str generation = {0};
    const char *path = tri_path_join(&s->arena, s->path, "generation_config.json");
    if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (tri_path_exists(path))
        TRI_TRY(tri_file_read(path, MAX_CONFIG_BYTES, &s->arena, &generation, err));
    TRI_TRY(tri_model_config_from_hf(&s->config, config, generation, &s->arena, err));
    if (s->options.dummy) return TRI_OK;
    TRI_TRY(tri_safetensors_set_open(&s->hf, s->path, &s->arena, err));
    TRI_TRY(list_tensors(s, err));
    return find_prefix(s, err);
}
