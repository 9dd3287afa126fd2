/* tokenizer.c - opening a tokenizer, and what it says of its tokens. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/bpe.h"
#include "text/encode.h"
#include "text/spm_bpe.h"
#include "text/unigram.h"
#include "text/wordlevel.h"
#include "text/wordpiece.h"
#include "trireme/graph.h"

enum { MAX_ADDED = 1 << 22 };

/* ---- for loaders ---- */

tri_status tri_tokenizer_reserve_tokens(tri_tokenizer *t, int64_t n, tri_error *err) {
    if (n < 0 || n > INT32_MAX / 2) {
        return TRI_FAIL(err, TRI_E_LIMIT, "%" PRId64 " tokens; at most %d", n, INT32_MAX / 2);
    }
    t->tokens = TRI_NEW_N(&t->arena, tri_str, n + 1);
    if (!t->tokens) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %" PRId64 " tokens", n);
    t->n_tokens = (int32_t)n;
    return TRI_OK;
}

tri_status tri_tokenizer_copy(tri_tokenizer *t, tri_str text, tri_str *copy, tri_error *err) {
    char *bytes = tri_arena_alloc_aligned(&t->arena, text.len + 1, 1);
    if (!bytes) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu bytes", text.len);
    if (text.len) memcpy(bytes, text.ptr, text.len);
    *copy = (tri_str){bytes, text.len};
    return TRI_OK;
}

tri_status tri_tokenizer_set_token(tri_tokenizer *t, int32_t id, tri_str text, tri_error *err) {
    if (id < 0 || id >= t->n_tokens) {
        return TRI_FAIL(err, TRI_E_FORMAT, "token '%.*s' has id %d, not in [0, %d)",
            (int)(text.len < 60 ? text.len : 60), text.ptr, id, t->n_tokens);
    }
    return tri_tokenizer_copy(t, text, &t->tokens[id], err);
}

tri_status tri_pattern_compile(tri_pattern *p, tri_str expression, tri_error *err) {
    tri_status rc = tri_regex_compile(&p->regex, expression, err);
    if (rc) {
        tri_error_context(err, "expression '%.*s'",
            (int)(expression.len < 200 ? expression.len : 200), expression.ptr);
    }
    return rc;
}

/* ---- lookup ---- */

int32_t tri_tokenizer_find_model(const tri_tokenizer *t, tri_str text) {
    int32_t id = -1;
    switch (t->model) {
    case TRI_MODEL_BPE:
        if (t->raw_bytes) {
            char room[512], *raw = text.len <= sizeof room ? room : malloc(text.len);
            size_t n;
            if (raw && tri_byte_level_undo(text, raw, &n)) {
                id = tri_bpe_find(t->bpe, (tri_str){raw, n});
            }
            if (raw != room) free(raw);
            if (id >= 0 && tri_str_equal(t->tokens[id], text)) return id;
        }
        id = tri_bpe_find(t->bpe, text);
        break;
    case TRI_MODEL_UNIGRAM:
        id = tri_unigram_find(t->unigram, text);
        break;
    case TRI_MODEL_SPM_BPE:
        id = tri_spm_bpe_find(t->spm_bpe, text);
        break;
    case TRI_MODEL_WORDPIECE:
        id = tri_wordpiece_find(t->wordpiece, text);
        break;
    case TRI_MODEL_WORDLEVEL:
        id = tri_wordlevel_find(t->wordlevel, text);
        break;
    }
    return id >= 0 && tri_str_equal(t->tokens[id], text) ? id : -1;
}

int32_t tri_tokenizer_find(const tri_tokenizer *t, const char *token, size_t n) {
    tri_str text = {n ? token : "", n};
    int32_t i = tri_added_find(t->added_index, text);
    return i >= 0 ? t->added[i].id : tri_tokenizer_find_model(t, text);
}

int32_t tri_tokenizer_vocab_size(const tri_tokenizer *t) {
    return t->n_tokens;
}

const char *tri_tokenizer_token(const tri_tokenizer *t, int32_t id, size_t *n) {
    if (id < 0 || id >= t->n_tokens || !t->tokens[id].ptr) return NULL;
    if (n) *n = t->tokens[id].len;
    return t->tokens[id].ptr;
}

bool tri_tokenizer_is_special(const tri_tokenizer *t, int32_t id) {
    return id >= 0 && id < t->n_tokens && t->special[id];
}

/* ---- finishing ---- */

static tri_status check(const tri_tokenizer *t, tri_error *err) {
    for (int32_t i = 0; i < t->n_added; i++) {
        if (t->added[i].id < 0 || t->added[i].id >= t->n_tokens) {
            return TRI_FAIL(err, TRI_E_FORMAT, "added token %d of %d", t->added[i].id, t->n_tokens);
        }
    }
    for (int32_t i = 0; i < t->n_single; i++) {
        if (t->single[i].id >= t->n_tokens) {
            return TRI_FAIL(err, TRI_E_FORMAT, "the post-processor puts token %d of %d",
                t->single[i].id, t->n_tokens);
        }
    }
    if (t->n_added > MAX_ADDED) {
        return TRI_FAIL(err, TRI_E_LIMIT, "%d added tokens; at most %d", t->n_added, MAX_ADDED);
    }
    return TRI_OK;
}

static tri_status index_added(tri_tokenizer *t, tri_error *err) {
    tri_normalize_scratch scratch = {0};
    tri_status rc = TRI_OK;
    tri_str *normalized = TRI_NEW_N(&t->arena, tri_str, t->n_added + 1);
    t->special = tri_arena_alloc(&t->arena, (size_t)t->n_tokens + 1);
    if (!normalized || !t->special) {
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d tokens", t->n_tokens);
    }
    for (int32_t i = 0; i < t->n_added && !rc; i++) {
        const tri_added_token *a = &t->added[i];
        tri_stretch out;
        if (a->special) t->special[a->id] = 1;
        if (!a->normalized) continue;
        rc = tri_normalize(t, &scratch, (tri_stretch){a->text, 1}, &out, err);
        if (!rc) rc = tri_tokenizer_copy(t, out.text, &normalized[i], err);
    }
    tri_normalize_scratch_deinit(&scratch);
    if (rc) return rc;
    return tri_added_index_create(
        &t->added_index, t->added, t->n_added, normalized, &t->arena, err);
}

/* Tokens' bytes by id, where decoding is nothing but joining them. */
static tri_status fill_decoded(tri_tokenizer *t, tri_error *err) {
    tri_decode_kind kind = t->decoders[0].kind;
    if (t->n_decoders != 1 || (kind != TRI_DECODE_BYTE_LEVEL && kind != TRI_DECODE_BYTES)) {
        return TRI_OK;
    }
    size_t n_bytes = 1;
    for (int32_t i = 0; i < t->n_tokens; i++)
        n_bytes += t->tokens[i].len;
    tri_str *decoded = TRI_NEW_N(&t->arena, tri_str, t->n_tokens + 1);
    char *at = tri_arena_alloc_aligned(&t->arena, n_bytes, 1);
    if (!decoded || !at) {
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d tokens", t->n_tokens);
    }
    for (int32_t i = 0; i < t->n_tokens; i++) {
        size_t n;
        decoded[i] = t->tokens[i];
        if (kind == TRI_DECODE_BYTES || !t->tokens[i].ptr) continue;
        if (t->literal && t->literal[i]) continue;
        if (!tri_byte_level_undo(t->tokens[i], at, &n)) continue;
        decoded[i] = (tri_str){at, n};
        at += n;
    }
    t->decoded = decoded;
    return TRI_OK;
}

tri_status tri_tokenizer_finish(tri_tokenizer *t, tri_error *err) {
    TRI_TRY(check(t, err));
    TRI_TRY(index_added(t, err));
    TRI_TRY(fill_decoded(t, err));
    t->cut_at_metaspace =
        t->model == TRI_MODEL_BPE && tri_bpe_cuts_before(t->bpe, TRI_STR("\xE2\x96\x81"));
    return tri_encoders_create(&t->encoders, err);
}

/* ---- opening and closing ---- */

static bool ends_with_ignoring_case(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcasecmp(name + n - m, end);
}

/* The file of that name beside path; empty where there is none. */
static tri_str read_beside(const char *path, const char *name, tri_arena *arena) {
    const char *base = tri_path_base(path);
    char *dir = tri_arena_strndup(arena, path, (size_t)(base - path));
    const char *file = dir ? tri_path_join(arena, *dir ? dir : ".", name) : NULL;
    tri_str text = {"", 0}, read;
    if (file && tri_path_exists(file) && !tri_file_read(file, 16 << 20, arena, &read, NULL)) {
        text = read;
    }
    return text;
}

/* config.json's model_type, or NULL. */
static const char *model_type_beside(const char *path, tri_arena *arena) {
    const char *type = NULL;
    tri_str text = read_beside(path, "config.json", arena);
    const tri_json *root;
    if (!text.len || tri_json_parse(text, arena, &root, NULL) ||
        tri_json_read_string(root, "model_type", &type, NULL)) {
        return NULL;
    }
    return type;
}

static bool is_gguf(tri_str file) {
    return tri_str_starts(file, "GGUF");
}

static tri_status load_file(
    tri_tokenizer *t, const char *path, tri_arena *scratch, tri_error *err) {
    const char *name = tri_path_base(path);
    tri_file_map map;
    TRI_TRY(tri_file_map_open(&map, path, err));
    tri_str file = {map.data ? (const char *)map.data : "", (size_t)map.n_bytes};
    tri_status rc;
    if (is_gguf(file)) {
        rc = tri_load_gguf_tokenizer(t, path, err);
    } else if (ends_with_ignoring_case(name, ".json")) {
        rc = strcasestr(name, "tekken") ? tri_load_tekken(t, file, err)
                                        : tri_load_tokenizer_json(t, file, err);
    } else if (ends_with_ignoring_case(name, ".tiktoken") || tri_is_tiktoken(file)) {
        rc = tri_load_tiktoken(t, file, model_type_beside(path, scratch),
            read_beside(path, "tokenizer_config.json", scratch), err);
    } else if (ends_with_ignoring_case(name, ".model") || strcasestr(name, ".model.v")) {
        rc = tri_load_sentencepiece(
            t, file, read_beside(path, "tokenizer_config.json", scratch), err);
    } else {
        rc = TRI_FAIL(err, TRI_E_FORMAT,
            "a tokenizer is a .json, .model, .tiktoken or GGUF file, and this is none");
    }
    tri_file_map_close(&map);
    return rc;
}

static tri_status find_file(
    const char *dir, tri_arena *scratch, const char **path, tri_error *err) {
    static const char *const names[] = {
        "tokenizer.json", "tekken.json", "tokenizer.model", "tiktoken.model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *path = tri_path_join(scratch, dir, names[i]);
        if (!*path) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
        if (tri_path_exists(*path)) return TRI_OK;
    }
    char **entries;
    int32_t n;
    TRI_TRY(tri_path_list(dir, scratch, &entries, &n, err));
    for (int32_t i = 0; i < n; i++) {
        if (!ends_with_ignoring_case(entries[i], ".tiktoken")) continue;
        *path = tri_path_join(scratch, dir, entries[i]);
        return *path ? TRI_OK : TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    }
    *path = tri_path_join(scratch, dir, "tokenizer.gguf");
    if (*path && tri_path_exists(*path)) return TRI_OK;
    return TRI_FAIL(err, TRI_E_NOT_FOUND,
        "none of tokenizer.json, tekken.json, tokenizer.model, tiktoken.model, *.tiktoken and "
        "tokenizer.gguf is there; copy the model's tokenizer.json beside it");
}

tri_status tri_tokenizer_open(tri_tokenizer **tokenizer, const char *path, tri_error *err) {
    tri_arena scratch;
    const char *file = path;
    tri_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a tokenizer");
    tri_arena_init(&t->arena, 0);
    tri_arena_init(&scratch, 0);
    tri_status rc = tri_path_is_dir(path) ? find_file(path, &scratch, &file, err) : TRI_OK;
    if (!rc) rc = load_file(t, file, &scratch, err);
    if (!rc) rc = tri_tokenizer_finish(t, err);
    if (rc) {
        tri_tokenizer_close(t);
        tri_error_context(err, "tokenizer %s", file ? file : path);
    } else {
        *tokenizer = t;
    }
    tri_arena_deinit(&scratch);
    return rc;
}

void tri_tokenizer_close(tri_tokenizer *t) {
    if (!t) return;
    tri_encoders_destroy(t->encoders);
    for (int i = 0; i < TRI_MAX_STEPS; i++) {
        tri_regex_free(t->normalizers[i].pattern.regex);
        tri_regex_free(t->pre_tokenizers[i].pattern.regex);
        tri_regex_free(t->decoders[i].pattern.regex);
    }
    tri_arena_deinit(&t->arena);
    free(t);
}
