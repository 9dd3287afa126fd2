/* source_tokenizer.c - what belongs to a model beside its weights travels with it, verbatim. */
#include <string.h>

#include "models/source_internal.h"

static const char *const companions[] = {"tokenizer.json", "tokenizer.model", "tekken.json",
    "tiktoken.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    "generation_config.json", "tokenizer.gguf"};
static const char templates_dir[] = "additional_chat_templates";

bool tri_source_is_companion(const char *name) {
    for (size_t i = 0; i < sizeof(companions) / sizeof(companions[0]); i++)
        if (strcmp(name, companions[i]) == 0) return true;
    return false;
}

bool tri_source_is_part(const char *name) {
    tri_str s = tri_str_of(name);
    return strcmp(name, "config.json") == 0 || tri_str_ends(s, ".safetensors") ||
           tri_str_ends(s, ".safetensors.index.json") || tri_source_is_companion(name);
}

bool tri_source_is_rank_file(const char *name, const char *suffix) {
    size_t digits = strncmp(name, "rank", 4) == 0 ? strspn(name + 4, "0123456789") : 0;
    return digits > 0 && strcmp(name + 4 + digits, suffix) == 0;
}

static tri_status copy_file(const char *from, const char *to, tri_error *err) {
    tri_file_map map = {0};
    TRI_TRY(tri_file_map_open(&map, from, err));
    tri_status rc = tri_file_replace(to, map.data, (size_t)map.n_bytes, err);
    tri_file_map_close(&map);
    return rc;
}

static tri_status copy_named(
    const char *from_dir, const char *to_dir, const char *name, tri_arena *arena, tri_error *err) {
    const char *from = tri_path_join(arena, from_dir, name);
    const char *to = tri_path_join(arena, to_dir, name);
    if (!from || !to) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    return tri_path_exists(from) ? copy_file(from, to, err) : TRI_OK;
}

static tri_status copy_suffixed(const char *from_dir, const char *to_dir, const char *suffix,
    tri_arena *arena, tri_error *err) {
    char **names;
    int32_t n;
    TRI_TRY(tri_path_list(from_dir, arena, &names, &n, err));
    for (int32_t i = 0; i < n; i++) {
        if (!tri_str_ends(tri_str_of(names[i]), suffix)) continue;
        TRI_TRY(copy_named(from_dir, to_dir, names[i], arena, err));
    }
    return TRI_OK;
}

static tri_status copy_templates(
    const char *from_dir, const char *to_dir, tri_arena *arena, tri_error *err) {
    const char *from = tri_path_join(arena, from_dir, templates_dir);
    const char *to = tri_path_join(arena, to_dir, templates_dir);
    if (!from || !to) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (!tri_path_is_dir(from)) return TRI_OK;
    TRI_TRY(tri_path_make_dirs(to, err));
    return copy_suffixed(from, to, ".jinja", arena, err);
}

static tri_status copy_companions(
    const tri_source *s, const char *dir, tri_arena *arena, tri_error *err) {
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++)
        TRI_TRY(copy_named(s->path, dir, companions[i], arena, err));
    TRI_TRY(copy_suffixed(s->path, dir, ".tiktoken", arena, err));
    return copy_templates(s->path, dir, arena, err);
}

tri_status tri_source_copy_tokenizer(const tri_source *s, const char *dir, tri_error *err) {
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_status rc;
    if (s->kind == TRI_SOURCE_GGUF) {
        const char *to = tri_path_join(&arena, dir, "tokenizer.gguf");
        rc = to ? tri_gguf_write_metadata(&s->gguf, to, err)
                : TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    } else {
        rc = copy_companions(s, dir, &arena, err);
    }
    tri_arena_deinit(&arena);
    if (rc) tri_error_context(err, "tokenizer of %s", s->path);
    return rc;
}
