/* source_checkpoint.c - a TensorRT-LLM checkpoint directory: config.json and a file for each rank,
 * whose tensors have canonical names already. */
#include "models/source_internal.h"

/* The files are cut already: what was asked for must be what the config says. */
static tri_status check_mapping(const tri_source *s, tri_error *err) {
    int32_t tp = s->config.mapping.tp_size, pp = s->config.mapping.pp_size;
    if (tp > TRI_MAX_MAPPING || pp > TRI_MAX_MAPPING)
        return TRI_FAIL(err, TRI_E_LIMIT,
            "config.json: tp_size %" PRId32 ", pp_size %" PRId32 ", each is at most %d", tp, pp,
            TRI_MAX_MAPPING);
    if ((s->options.tp_size == 0 || s->options.tp_size == tp) &&
        (s->options.pp_size == 0 || s->options.pp_size == pp))
        return TRI_OK;
    return TRI_FAIL(err, TRI_E_ARGUMENT,
        "the checkpoint is cut for tp_size %" PRId32 " and pp_size %" PRId32 ", not %" PRId32
        " and %" PRId32 ": convert the original model again",
        tp, pp, s->options.tp_size ? s->options.tp_size : tp,
        s->options.pp_size ? s->options.pp_size : pp);
}

static tri_status open_rank(tri_source *s, int32_t rank, tri_error *err) {
    const char *name = tri_arena_printf(&s->arena, "rank%" PRId32 ".safetensors", rank);
    const char *path = name ? tri_path_join(&s->arena, s->path, name) : NULL;
    if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    tri_safetensors *file = &s->rank_files[rank];
    TRI_TRY(tri_safetensors_open(file, path, &s->arena, err));
    s->n_rank_files = rank + 1;
    TRI_TRY(tri_tensor_table_init(&s->tables[rank], file->n_tensors, &s->arena, err));
    s->n_tables = rank + 1;
    return tri_tensor_table_add_file(&s->tables[rank], file, err);
}

tri_status tri_source_open_checkpoint(tri_source *s, tri_str config, tri_error *err) {
    TRI_TRY(tri_model_config_from_checkpoint(&s->config, config, &s->arena, err));
    TRI_TRY(tri_model_config_check(&s->config, err));
    TRI_TRY(check_mapping(s, err));
    if (s->options.dummy) return TRI_OK;
    int32_t n_ranks = s->config.mapping.tp_size * s->config.mapping.pp_size;
    s->rank_files = TRI_NEW_N(&s->arena, tri_safetensors, n_ranks);
    s->tables = TRI_NEW_N(&s->arena, tri_tensor_table, n_ranks);
    if (!s->rank_files || !s->tables)
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %" PRId32 " ranks", n_ranks);
    for (int32_t r = 0; r < n_ranks; r++)
        TRI_TRY(open_rank(s, r, err));
    return TRI_OK;
}
