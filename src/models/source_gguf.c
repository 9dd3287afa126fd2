/* source_gguf.c - a GGUF file: its metadata is the config, its tensors are a table. */
#include "models/source_internal.h"

tri_status tri_source_open_gguf(tri_source *s, tri_error *err) {
    TRI_TRY(tri_gguf_open(&s->gguf, s->path, &s->arena, err));
    TRI_TRY(tri_model_config_from_gguf(&s->config, &s->gguf, &s->arena, err));
    s->tables = TRI_NEW(&s->arena, tri_tensor_table);
    if (!s->tables) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the tensors' table");
    s->n_tables = 1;
    TRI_TRY(tri_tensor_table_init(&s->tables[0], s->gguf.n_tensors, &s->arena, err));
    for (int32_t i = 0; i < s->gguf.n_tensors; i++) {
        const tri_gguf_tensor *t = &s->gguf.tensors[i];
        tri_stored_tensor stored = {.name = t->name,
            .data = t->data,
            .dtype = t->dtype,
            .n_dims = t->n_dims,
            .dims = {t->n_dims > 0 ? t->dims[0] : 0, t->n_dims > 1 ? t->dims[1] : 0}};
        TRI_TRY(tri_tensor_table_add(&s->tables[0], &stored, err));
    }
    /* llama.cpp leaves the head out when it is the embedding */
    if (!tri_tensor_table_find(&s->tables[0], "output.weight"))
        s->config.tie_word_embeddings = true;
    return TRI_OK;
}
