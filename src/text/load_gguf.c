/* load_gguf.c - tokenizers in GGUF metadata, kind "gpt2" (byte-level BPE). */
#include <string.h>

#include "data/gguf.h"
#include "text/tokenizer_inside.h"

enum { TOKEN_CONTROL = 3, TOKEN_USER_DEFINED = 4 }; /* llama.cpp's token types */

static tri_status string_array(
    const tri_gguf *g, const char *key, const tri_gguf_value **value, tri_error *err) {
    const tri_gguf_value *v = tri_gguf_find(g, key);
    if (!v || v->kind != TRI_GGUF_ARRAY || v->element != TRI_GGUF_STRING || v->n > INT32_MAX / 2) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is missing or no array of strings", key);
    }
    *value = v;
    return TRI_OK;
}

static tri_status check_kind(const tri_gguf *g, tri_error *err) {
    tri_str model = {0};
    TRI_TRY(tri_gguf_read_str(g, "tokenizer.ggml.model", &model, err));
    if (!tri_str_is(model, "gpt2")) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "tokenizer.ggml.model is '%.*s'; only gpt2 (byte-level BPE) is supported",
            (int)model.len, model.ptr);
    }
    return TRI_OK;
}

static tri_status load_split(tri_tokenizer *t, const tri_gguf *g, tri_error *err) {
    tri_str pre = TRI_STR("gpt-2");
    const char *known = NULL;
    TRI_TRY(tri_gguf_read_str(g, "tokenizer.ggml.pre", &pre, err));
    char *name = tri_arena_strndup(&t->arena, pre.ptr, pre.len);
    const char *const *patterns = name ? tri_split_of_gguf(name, &known) : NULL;
    if (!patterns) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "tokenizer.ggml.pre is '%.*s'; known here: %s",
            (int)pre.len, pre.ptr, known ? known : "");
    }
    for (; *patterns; patterns++)
        TRI_TRY(tri_split_add(&t->split, tri_str_of(*patterns), err));
    /* llama.cpp takes whole words from Llama 3's vocabulary before merging. */
    t->bpe.ignore_merges = !strncmp(name, "llama", 5);
    return TRI_OK;
}

static tri_status load_pieces(
    tri_tokenizer *t, const tri_gguf *g, const tri_gguf_value *tokens, tri_error *err) {
    const tri_gguf_value *types = tri_gguf_find(g, "tokenizer.ggml.token_type");
    if (types && (types->kind != TRI_GGUF_ARRAY || types->n != tokens->n ||
                     types->element == TRI_GGUF_STRING)) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "tokenizer.ggml.token_type is not an array of %" PRId64 " numbers", tokens->n);
    }
    t->added = TRI_NEW_N(&t->arena, tri_added_token, tokens->n);
    if (!t->added)
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %" PRId64 " tokens", tokens->n);
    for (int32_t id = 0; id < (int32_t)tokens->n; id++) {
        int64_t type = types ? tri_gguf_array_i64(types, id) : 1;
        bool added = type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED;
        tri_str piece = tokens->strings[id], raw = {0};
        if (added) {
            char *copy = tri_arena_strndup(&t->arena, piece.ptr, piece.len);
            if (!copy) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for token %d", id);
            raw = (tri_str){copy, piece.len};
            if (piece.len) {
                t->added[t->n_added++] =
                    (tri_added_token){.text = raw, .id = id, .special = type == TOKEN_CONTROL};
            }
        } else {
            TRI_TRY(tri_byte_level_undo(piece, &t->arena, &raw, err));
        }
        TRI_TRY(tri_bpe_set_piece(&t->bpe, id, raw, err));
    }
    return TRI_OK;
}

static tri_status load_merges(tri_tokenizer *t, const tri_gguf_value *merges, tri_error *err) {
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    tri_status rc = TRI_OK;
    for (int32_t i = 0; i < (int32_t)merges->n && !rc; i++) {
        tri_str merge = merges->strings[i], left = {0}, right = {0};
        const char *space = merge.len > 1 ? memchr(merge.ptr + 1, ' ', merge.len - 1) : NULL;
        if (!space) {
            rc = TRI_FAIL(err, TRI_E_FORMAT, "tokenizer.ggml.merges[%d] '%.*s' has no space", i,
                (int)(merge.len < 60 ? merge.len : 60), merge.ptr);
            break;
        }
        size_t n = (size_t)(space - merge.ptr);
        rc = tri_byte_level_undo((tri_str){merge.ptr, n}, &scratch, &left, err);
        if (!rc) {
            rc =
                tri_byte_level_undo((tri_str){space + 1, merge.len - n - 1}, &scratch, &right, err);
        }
        if (!rc) tri_bpe_add_merge(&t->bpe, i, left, right);
    }
    tri_arena_deinit(&scratch);
    return rc;
}

static tri_status load_bos(tri_tokenizer *t, const tri_gguf *g, tri_error *err) {
    bool add = false;
    int64_t id = -1;
    TRI_TRY(tri_gguf_read_bool(g, "tokenizer.ggml.add_bos_token", &add, err));
    TRI_TRY(tri_gguf_read_i64(g, "tokenizer.ggml.bos_token_id", 0, t->bpe.n_pieces - 1, &id, err));
    if (add && id >= 0) t->prefix[t->n_prefix++] = (int32_t)id;
    return TRI_OK;
}

static tri_status load(tri_tokenizer *t, const tri_gguf *g, tri_error *err) {
    const tri_gguf_value *tokens = NULL, *merges = NULL;
    TRI_TRY(check_kind(g, err));
    TRI_TRY(string_array(g, "tokenizer.ggml.tokens", &tokens, err));
    TRI_TRY(string_array(g, "tokenizer.ggml.merges", &merges, err));
    if (tokens->n < 1) return TRI_FAIL(err, TRI_E_FORMAT, "tokenizer.ggml.tokens is empty");
    TRI_TRY(tri_bpe_init(&t->bpe, (int32_t)tokens->n, (int32_t)merges->n, &t->arena, err));
    TRI_TRY(load_pieces(t, g, tokens, err));
    tri_bpe_find_bytes(&t->bpe);
    TRI_TRY(load_merges(t, merges, err));
    TRI_TRY(load_split(t, g, err));
    return load_bos(t, g, err);
}

tri_status tri_tokenizer_load_gguf(tri_tokenizer *t, const char *path, tri_error *err) {
    tri_gguf gguf;
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    tri_status rc = tri_gguf_open(&gguf, path, &scratch, err);
    if (!rc) {
        rc = load(t, &gguf, err);
        tri_gguf_close(&gguf);
    }
    tri_arena_deinit(&scratch);
    return rc;
}
