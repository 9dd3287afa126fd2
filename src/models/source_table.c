#include "models/source_internal.h"

tri_status tri_tensor_table_init(
    tri_tensor_table *table, int32_t n_tensors, tri_arena *arena, tri_error *err) {
    tri_tensor_table t = {.tensors = TRI_NEW_N(arena, tri_stored_tensor, n_tensors + 1)};
    if (!t.tensors)
        return TRI_FAIL(
            err, TRI_E_MEMORY, "no memory for a table of %" PRId32 " tensors", n_tensors);
    TRI_TRY(tri_map_reserve(&t.index, (size_t)n_tensors, err));
    *table = t;
    return TRI_OK;
}

tri_status tri_tensor_table_add(
    tri_tensor_table *table, const tri_stored_tensor *tensor, tri_error *err) {
    TRI_TRY(tri_map_put(&table->index, tri_str_of(tensor->name), table->n_tensors, err));
    table->tensors[table->n_tensors++] = *tensor;
    return TRI_OK;
}

tri_status tri_tensor_table_add_file(
    tri_tensor_table *table, const tri_safetensors *file, tri_error *err) {
    for (int32_t i = 0; i < file->n_tensors; i++) {
        const tri_safetensor *t = &file->tensors[i];
        tri_stored_tensor stored = {.name = t->name,
            .data = t->data,
            .dtype = t->dtype,
            .n_dims = t->n_dims,
            .dims = {t->n_dims > 0 ? t->dims[0] : 0, t->n_dims > 1 ? t->dims[1] : 0}};
        TRI_TRY(tri_tensor_table_add(table, &stored, err));
    }
    return TRI_OK;
}

tri_stored_tensor *tri_tensor_table_find(const tri_tensor_table *table, const char *name) {
    int64_t at;
    return tri_map_get(&table->index, tri_str_of(name), &at) ? &table->tensors[at] : NULL;
}
