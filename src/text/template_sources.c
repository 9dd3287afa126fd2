#include <string.h>

#include "base/file.h"
#include "data/gguf.h"
#include "text/template.h"
#include "text/unicode.h"

enum { MAX_TEMPLATE_BYTES = 4 << 20, MAX_CONFIG_BYTES = 64 << 20 };

static const char *const token_keys[TRI_TEMPLATE_TOKENS - 1] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

/* The first of a name stays. */
static tri_status add_template(
    tri_template_sources *s, tri_str name, tri_str text, tri_error *err) {
    for (int32_t i = 0; i < s->n; i++) {
        if (tri_str_equal(s->names[i], name)) return TRI_OK;
    }
    if (s->n == TRI_TEMPLATE_MAX) {
        return TRI_FAIL(err, TRI_E_LIMIT, "more than %d chat templates", TRI_TEMPLATE_MAX);
    }
    s->names[s->n] = name;
    s->texts[s->n++] = text;
    return TRI_OK;
}

static void add_token(tri_template_sources *s, const char *key, tri_str text) {
    for (int32_t i = 0; i < s->n_tokens; i++) {
        if (tri_str_is(s->token_keys[i], key)) return;
    }
    if (s->n_tokens == TRI_TEMPLATE_TOKENS) return; /* each known key once: never */
    s->token_keys[s->n_tokens] = tri_str_of(key);
    s->tokens[s->n_tokens++] = text;
}

/* ---- Hugging Face's files ---- */

/* A template, or a list of {"name": ..., "template": ...}. */
static tri_status add_json_templates(
    tri_template_sources *s, const tri_json *value, tri_error *err) {
    if (tri_json_is(value, TRI_JSON_STRING))
        return add_template(s, TRI_STR("default"), value->text, err);
    if (!value || tri_json_is(value, TRI_JSON_NULL)) return TRI_OK;
    if (!tri_json_is(value, TRI_JSON_ARRAY))
        return TRI_FAIL(err, TRI_E_FORMAT, "chat_template is neither text nor a list of templates");
    for (int32_t i = 0; i < value->n; i++) {
        const tri_json *name = tri_json_get(&value->items[i], "name");
        const tri_json *text = tri_json_get(&value->items[i], "template");
        if (!tri_json_is(name, TRI_JSON_STRING) || !tri_json_is(text, TRI_JSON_STRING)) {
            return TRI_FAIL(
                err, TRI_E_FORMAT, "chat_template[%d] has no name and template of text", i);
        }
        TRI_TRY(add_template(s, name->text, text->text, err));
    }
    return TRI_OK;
}

/* A token is its text, or an object with `content`. */
static void add_json_tokens(tri_template_sources *s, const tri_json *root) {
    for (size_t i = 0; i < sizeof token_keys / sizeof *token_keys; i++) {
        const tri_json *value = tri_json_get(root, token_keys[i]);
        if (tri_json_is(value, TRI_JSON_OBJECT)) value = tri_json_get(value, "content");
        if (tri_json_is(value, TRI_JSON_STRING)) add_token(s, token_keys[i], value->text);
    }
    if (!s->extra_tokens) s->extra_tokens = tri_json_get(root, "additional_special_tokens");
}

static tri_status read_json(
    tri_template_sources *s, const char *path, tri_arena *arena, tri_error *err) {
    tri_str text;
    const tri_json *root;
    if (!tri_path_exists(path)) return TRI_OK;
    tri_status rc = tri_file_read(path, MAX_CONFIG_BYTES, arena, &text, err);
    if (!rc) rc = tri_json_parse(text, arena, &root, err);
    if (!rc) rc = add_json_templates(s, tri_json_get(root, "chat_template"), err);
    if (rc) {
        tri_error_context(err, "%s", path);
        return rc;
    }
    add_json_tokens(s, root);
    return TRI_OK;
}

static tri_status read_text(
    tri_template_sources *s, tri_str name, const char *path, tri_arena *arena, tri_error *err) {
    tri_str text;
    TRI_TRY(tri_file_read(path, MAX_TEMPLATE_BYTES, arena, &text, err));
    return add_template(s, name, text, err);
}

/* additional_chat_templates/NAME.jinja, as transformers writes several. */
static tri_status read_more(
    tri_template_sources *s, const char *dir, tri_arena *arena, tri_error *err) {
    static const char suffix[] = ".jinja";
    char **names;
    int32_t n;
    const char *more = tri_path_join(arena, dir, "additional_chat_templates");
    if (!more) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (!tri_path_is_dir(more)) return TRI_OK;
    TRI_TRY(tri_path_list(more, arena, &names, &n, err));
    for (int32_t i = 0; i < n; i++) {
        tri_str name = tri_str_of(names[i]);
        if (!tri_str_ends(name, suffix)) continue;
        const char *path = tri_path_join(arena, more, names[i]);
        if (!path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
        name.len -= sizeof suffix - 1;
        TRI_TRY(read_text(s, name, path, arena, err));
    }
    return TRI_OK;
}

/* ---- GGUF ---- */

static tri_status copy_text(tri_str text, tri_arena *arena, tri_str *copy, tri_error *err) {
    char *bytes = tri_arena_strndup(arena, text.ptr, text.len);
    if (!bytes) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu bytes of text", text.len);
    *copy = (tri_str){bytes, text.len};
    return TRI_OK;
}

/* The file's bytes; templates compute with UTF-8. */
static tri_status copy_token(tri_str token, tri_arena *arena, tri_str *copy, tri_error *err) {
    tri_buf mended = {0};
    tri_utf8_sanitize(&mended, token);
    tri_status rc = tri_buf_status(&mended, err);
    if (!rc) rc = copy_text((tri_str){mended.ptr ? mended.ptr : "", mended.len}, arena, copy, err);
    tri_buf_deinit(&mended);
    return rc;
}

static tri_status gguf_templates(
    tri_template_sources *s, const tri_gguf *gguf, tri_arena *arena, tri_error *err) {
    static const char key[] = "tokenizer.chat_template";
    for (int32_t i = 0; i < gguf->n_values; i++) {
        const tri_gguf_value *v = &gguf->values[i];
        if (v->kind != TRI_GGUF_STRING || strncmp(v->key, key, sizeof key - 1) != 0) continue;
        tri_str name = tri_str_of(v->key + sizeof key - 1), text;
        if (name.len == 0) {
            name = TRI_STR("default");
        } else if (name.ptr[0] == '.' && name.len > 1) {
            name = (tri_str){name.ptr + 1, name.len - 1};
        } else {
            continue;
        }
        TRI_TRY(copy_text(name, arena, &name, err));
        TRI_TRY(copy_text(v->string, arena, &text, err));
        TRI_TRY(add_template(s, name, text, err));
    }
    return TRI_OK;
}

static tri_status gguf_tokens(
    tri_template_sources *s, const tri_gguf *gguf, tri_arena *arena, tri_error *err) {
    static const char *const id_keys[sizeof token_keys / sizeof *token_keys] = {
        "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.seperator_token_id", /* so spelt */
        "tokenizer.ggml.padding_token_id", "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.mask_token_id"};
    const tri_gguf_value *tokens = tri_gguf_find(gguf, "tokenizer.ggml.tokens");
    if (!tokens || tokens->kind != TRI_GGUF_ARRAY || tokens->element != TRI_GGUF_STRING)
        return TRI_OK;
    for (size_t i = 0; i < sizeof id_keys / sizeof *id_keys; i++) {
        int64_t id = -1;
        tri_str text;
        /* Some files write -1 for none, as a 32-bit number without sign. */
        TRI_TRY(tri_gguf_read_i64(gguf, id_keys[i], INT32_MIN, UINT32_MAX, &id, err));
        if (id < 0 || id >= tokens->n) continue;
        TRI_TRY(copy_token(tokens->strings[id], arena, &text, err));
        add_token(s, token_keys[i], text);
    }
    return TRI_OK;
}

static tri_status read_gguf(
    tri_template_sources *s, const char *path, tri_arena *arena, tri_error *err) {
    tri_gguf gguf;
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    tri_status rc = tri_gguf_open(&gguf, path, &scratch, err);
    if (!rc) {
        rc = gguf_templates(s, &gguf, arena, err);
        if (!rc) rc = gguf_tokens(s, &gguf, arena, err);
        tri_gguf_close(&gguf);
    }
    tri_arena_deinit(&scratch);
    return rc;
}

/* ---- all ---- */

static tri_status read_dir(
    tri_template_sources *s, const char *dir, tri_arena *arena, tri_error *err) {
    const char *jinja = tri_path_join(arena, dir, "chat_template.jinja");
    const char *json = tri_path_join(arena, dir, "chat_template.json");
    const char *config = tri_path_join(arena, dir, "tokenizer_config.json");
    const char *map = tri_path_join(arena, dir, "special_tokens_map.json");
    const char *gguf = tri_path_join(arena, dir, "tokenizer.gguf");
    if (!jinja || !json || !config || !map || !gguf)
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    if (tri_path_exists(jinja)) TRI_TRY(read_text(s, TRI_STR("default"), jinja, arena, err));
    TRI_TRY(read_more(s, dir, arena, err));
    TRI_TRY(read_json(s, json, arena, err));
    TRI_TRY(read_json(s, config, arena, err));
    TRI_TRY(read_json(s, map, arena, err));
    return tri_path_exists(gguf) ? read_gguf(s, gguf, arena, err) : TRI_OK;
}

tri_status tri_template_sources_read(
    tri_template_sources *sources, const char *path, tri_arena *arena, tri_error *err) {
    tri_template_sources s = {0};
    if (tri_path_is_dir(path)) {
        TRI_TRY(read_dir(&s, path, arena, err));
    } else if (tri_gguf_is(path)) {
        TRI_TRY(read_gguf(&s, path, arena, err));
    } else if (tri_str_ends(tri_str_of(path), ".json")) {
        TRI_TRY(read_json(&s, path, arena, err));
    } else {
        TRI_TRY(read_text(&s, TRI_STR("default"), path, arena, err));
    }
    *sources = s;
    return TRI_OK;
}
