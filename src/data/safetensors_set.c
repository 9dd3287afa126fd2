#include <string.h>

#include "data/safetensors.h"

enum { SET_INDEX_MAX_BYTES = 100000000, SET_INDEX_TREE_MAX_BYTES = 1 << 30 };

static const char *const single_name = "model.safetensors";
static const char *const index_name = "model.safetensors.index.json";

/* A shard stands beside its index: its name is no path. */
static bool is_plain_file_name(tri_str name) {
    return name.len > 0 && !memchr(name.ptr, '/', name.len) && !memchr(name.ptr, 0, name.len) &&
           !strstr(name.ptr, "..");
}

static tri_status add_file(
    tri_safetensors_set *set, const char *dir, const char *name, tri_arena *arena, tri_error *err) {
    char *path = tri_path_join(arena, dir, name);
    if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the path of %s", name);
    TRI_TRY(tri_safetensors_open(&set->files[set->n_files], path, arena, err));
    set->paths[set->n_files++] = path;
    return TRI_OK;
}

static tri_status reserve_files(
    tri_safetensors_set *set, int32_t n, tri_arena *arena, tri_error *err) {
    set->files = TRI_NEW_N(arena, tri_safetensors, n);
    set->paths = TRI_NEW_N(arena, const char *, n);
    if (set->files && set->paths) return TRI_OK;
    return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d safetensors files", n);
}

static tri_status open_single(
    tri_safetensors_set *set, const char *dir, tri_arena *arena, tri_error *err) {
    TRI_TRY(reserve_files(set, 1, arena, err));
    TRI_TRY(add_file(set, dir, single_name, arena, err));
    TRI_TRY(tri_map_reserve(&set->index, (size_t)set->files[0].n_tensors, err));
    for (int32_t i = 0; i < set->files[0].n_tensors; i++) {
        TRI_TRY(tri_map_put(&set->index, tri_str_of(set->files[0].tensors[i].name), i, err));
    }
    return TRI_OK;
}

/* Numbers the files in the order in which weight_map first names them. */
static tri_status collect_shards(
    const tri_json *weights, tri_map *shards, int32_t *n_shards, tri_error *err) {
    for (int32_t i = 0; i < weights->n; i++) {
        const tri_json *file = &weights->items[i];
        if (!tri_json_is(file, TRI_JSON_STRING) || !is_plain_file_name(file->text)) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "tensor %.200s: \"%.200s\" is not the name of a file in the same directory",
                weights->keys[i].ptr, tri_json_is(file, TRI_JSON_STRING) ? file->text.ptr : "");
        }
        int64_t known;
        if (tri_map_get(shards, file->text, &known)) continue;
        TRI_TRY(tri_map_put(shards, file->text, *n_shards, err));
        ++*n_shards;
    }
    return TRI_OK;
}

static tri_status open_shards(tri_safetensors_set *set, const char *dir, const tri_json *weights,
    const tri_map *shards, tri_arena *arena, tri_error *err) {
    for (int32_t i = 0; i < weights->n; i++) {
        tri_str file = weights->items[i].text;
        int64_t shard;
        TRI_ASSERT(tri_map_get(shards, file, &shard));
        if (shard == set->n_files) TRI_TRY(add_file(set, dir, file.ptr, arena, err));
    }
    TRI_TRY(tri_map_reserve(&set->index, (size_t)weights->n, err));
    for (int32_t i = 0; i < weights->n; i++) {
        int64_t shard, tensor;
        TRI_ASSERT(tri_map_get(shards, weights->items[i].text, &shard));
        const tri_safetensors *s = &set->files[shard];
        if (!tri_map_get(&s->index, weights->keys[i], &tensor)) {
            return TRI_FAIL(err, TRI_E_FORMAT, "tensor %.200s is not in %s, where %s puts it",
                weights->keys[i].ptr, set->paths[shard], index_name);
        }
        /* The key must outlive the index's text. */
        tri_str name = tri_str_of(s->tensors[tensor].name);
        TRI_TRY(tri_map_put(&set->index, name, shard << 32 | tensor, err));
    }
    return TRI_OK;
}

static tri_status open_index(tri_safetensors_set *set, const char *dir, const char *index_path,
    tri_arena *arena, tri_error *err) {
    tri_arena scratch; /* the index is read once */
    tri_arena_init(&scratch, SET_INDEX_TREE_MAX_BYTES);
    tri_map shards = {0};
    tri_str text;
    const tri_json *root, *weights;
    int32_t n_shards = 0;

    tri_status rc = tri_file_read(index_path, SET_INDEX_MAX_BYTES, &scratch, &text, err);
    if (rc) goto done;
    rc = tri_json_parse(text, &scratch, &root, err);
    if (rc) goto named;
    weights = tri_json_get(root, "weight_map");
    if (!tri_json_is(weights, TRI_JSON_OBJECT)) {
        rc = TRI_FAIL(err, TRI_E_FORMAT, "no object \"weight_map\"");
        goto named;
    }
    rc = collect_shards(weights, &shards, &n_shards, err);
    if (rc) goto named;
    rc = reserve_files(set, n_shards ? n_shards : 1, arena, err);
    if (!rc) rc = open_shards(set, dir, weights, &shards, arena, err);

named:
    if (rc) tri_error_context(err, "%s", index_path);
done:
    tri_map_deinit(&shards);
    tri_arena_deinit(&scratch);
    return rc;
}

tri_status tri_safetensors_set_open(
    tri_safetensors_set *set, const char *dir, tri_arena *arena, tri_error *err) {
    tri_safetensors_set out = {0};
    const char *single = tri_path_join(arena, dir, single_name);
    const char *index = tri_path_join(arena, dir, index_name);
    if (!single || !index) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the path of %s", dir);
    tri_status rc;
    if (tri_path_exists(single)) {
        rc = open_single(&out, dir, arena, err);
    } else if (tri_path_exists(index)) {
        rc = open_index(&out, dir, index, arena, err);
    } else {
        rc = TRI_FAIL(err, TRI_E_NOT_FOUND,
            "%s has neither %s nor %s; other weight formats (.bin, .pth) are not read: save the "
            "model as safetensors",
            dir, single_name, index_name);
    }
    if (rc) {
        tri_safetensors_set_close(&out);
        return rc;
    }
    *set = out;
    return TRI_OK;
}

void tri_safetensors_set_close(tri_safetensors_set *set) {
    for (int32_t i = 0; i < set->n_files; i++)
        tri_safetensors_close(&set->files[i]);
    tri_map_deinit(&set->index);
    *set = (tri_safetensors_set){0};
}

const tri_safetensor *tri_safetensors_set_find(const tri_safetensors_set *set, const char *name) {
    int64_t at;
    if (!tri_map_get(&set->index, tri_str_of(name), &at)) return NULL;
    return &set->files[at >> 32].tensors[at & 0xFFFFFFFF];
}
