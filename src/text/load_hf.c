/* load_hf.c - tokenizer.json with a byte-level BPE model.  A component that is not supported is an
 * error that names it. */
#include <string.h>

#include "base/json.h"
#include "text/tokenizer_inside.h"

static tri_str type_of(const tri_json *component) {
    const tri_json *type = tri_json_get(component, "type");
    return tri_json_is(type, TRI_JSON_STRING) ? type->text : TRI_STR("");
}

static tri_status unsupported(const char *what, const tri_json *component, tri_error *err) {
    tri_str type = type_of(component);
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s of type '%.*s' is not supported; byte-level BPE tokenizers are", what, (int)type.len,
        type.ptr);
}

/* ---- normalizer, pre-tokenizer, post-processor ---- */

static tri_status load_normalizer(tri_tokenizer *t, const tri_json *n, tri_error *err) {
    if (!tri_json_is(n, TRI_JSON_OBJECT)) return TRI_OK;
    if (tri_str_is(type_of(n), "NFC")) {
        t->nfc = true;
        return TRI_OK;
    }
    if (!tri_str_is(type_of(n), "Sequence")) return unsupported("normalizer", n, err);
    const tri_json *list = tri_json_get(n, "normalizers");
    for (int32_t i = 0; tri_json_is(list, TRI_JSON_ARRAY) && i < list->n; i++) {
        if (!tri_str_is(type_of(&list->items[i]), "NFC")) {
            return unsupported("normalizer", &list->items[i], err);
        }
        t->nfc = true;
    }
    return TRI_OK;
}

static tri_status load_split_pattern(tri_tokenizer *t, const tri_json *p, tri_error *err) {
    const tri_json *pattern = tri_json_get(p, "pattern");
    const tri_json *regex = tri_json_get(pattern, "Regex");
    const tri_json *behavior = tri_json_get(p, "behavior");
    bool invert = false;
    TRI_TRY(tri_json_read_bool(p, "invert", &invert, err));
    if (!tri_json_is(regex, TRI_JSON_STRING)) {
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "a Split whose pattern is no Regex is not supported");
    }
    if (!tri_json_is(behavior, TRI_JSON_STRING) || !tri_str_is(behavior->text, "Isolated")) {
        /* Removed with invert keeps the matches alone: the same, when the pattern covers all text.
         */
        bool removed = tri_json_is(behavior, TRI_JSON_STRING) &&
                       tri_str_is(behavior->text, "Removed") && invert;
        if (!removed) {
            return TRI_FAIL(
                err, TRI_E_UNSUPPORTED, "a Split whose behavior is not Isolated is not supported");
        }
    }
    return tri_split_add(&t->split, regex->text, err);
}

static tri_status load_pre_tokenizer(
    tri_tokenizer *t, const tri_json *p, bool *byte_level, tri_error *err) {
    tri_str type = type_of(p);
    if (tri_str_is(type, "Sequence")) {
        const tri_json *list = tri_json_get(p, "pretokenizers");
        for (int32_t i = 0; tri_json_is(list, TRI_JSON_ARRAY) && i < list->n; i++) {
            if (tri_str_is(type_of(&list->items[i]), "Sequence")) {
                return unsupported("nested pre_tokenizer", &list->items[i], err);
            }
            TRI_TRY(load_pre_tokenizer(t, &list->items[i], byte_level, err));
        }
        return TRI_OK;
    }
    if (tri_str_is(type, "ByteLevel")) {
        bool use_regex = true;
        *byte_level = true;
        TRI_TRY(tri_json_read_bool(p, "use_regex", &use_regex, err));
        TRI_TRY(tri_json_read_bool(p, "add_prefix_space", &t->add_prefix_space, err));
        return use_regex ? tri_split_add(&t->split, tri_str_of(tri_split_gpt2), err) : TRI_OK;
    }
    if (tri_str_is(type, "Digits")) {
        bool individual = false;
        TRI_TRY(tri_json_read_bool(p, "individual_digits", &individual, err));
        return tri_split_add(&t->split, tri_str_of(individual ? "\\p{N}" : "\\p{N}+"), err);
    }
    if (tri_str_is(type, "Split")) return load_split_pattern(t, p, err);
    return unsupported("pre_tokenizer", p, err);
}

static tri_status load_template(tri_tokenizer *t, const tri_json *p, tri_error *err) {
    const tri_json *single = tri_json_get(p, "single"),
                   *specials = tri_json_get(p, "special_tokens");
    bool before = true;
    for (int32_t i = 0; tri_json_is(single, TRI_JSON_ARRAY) && i < single->n; i++) {
        const tri_json *special = tri_json_get(&single->items[i], "SpecialToken");
        if (!special) {
            before = false;
            continue;
        }
        const char *name = "";
        TRI_TRY(tri_json_read_string(special, "id", &name, err));
        const tri_json *ids = tri_json_get(tri_json_get(specials, name), "ids");
        int64_t id;
        bool ok = tri_json_is(ids, TRI_JSON_ARRAY) && ids->n == 1 &&
                  ids->items[0].kind == TRI_JSON_NUMBER &&
                  tri_json_number_i64(ids->items[0].text, &id) && id >= 0 && id < t->bpe.n_pieces;
        int32_t *n = before ? &t->n_prefix : &t->n_suffix;
        if (!ok || *n == TRI_MAX_AFFIXES) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "post_processor: special token '%s' has no single id in the vocabulary", name);
        }
        (before ? t->prefix : t->suffix)[(*n)++] = (int32_t)id;
    }
    return TRI_OK;
}

static tri_status load_post_processor(tri_tokenizer *t, const tri_json *p, tri_error *err) {
    if (!tri_json_is(p, TRI_JSON_OBJECT) || tri_str_is(type_of(p), "ByteLevel")) return TRI_OK;
    if (tri_str_is(type_of(p), "TemplateProcessing")) return load_template(t, p, err);
    if (!tri_str_is(type_of(p), "Sequence")) return unsupported("post_processor", p, err);
    const tri_json *list = tri_json_get(p, "processors");
    for (int32_t i = 0; tri_json_is(list, TRI_JSON_ARRAY) && i < list->n; i++) {
        const tri_json *item = &list->items[i];
        if (tri_str_is(type_of(item), "ByteLevel")) continue;
        if (!tri_str_is(type_of(item), "TemplateProcessing")) {
            return unsupported("post_processor", item, err);
        }
        TRI_TRY(load_template(t, item, err));
    }
    return TRI_OK;
}

/* ---- vocabulary ---- */

static tri_status bad_id(tri_str piece, int32_t n_pieces, tri_error *err) {
    return TRI_FAIL(err, TRI_E_FORMAT, "token '%.*s' has no id in [0, %d)",
        (int)(piece.len < 60 ? piece.len : 60), piece.ptr, n_pieces);
}

/* One past the largest id of vocab and added tokens. */
static tri_status count_pieces(
    const tri_json *vocab, const tri_json *added, int32_t *n_pieces, tri_error *err) {
    int64_t most = -1, id = 0;
    for (int32_t i = 0; i < vocab->n; i++) {
        if (vocab->items[i].kind != TRI_JSON_NUMBER ||
            !tri_json_number_i64(vocab->items[i].text, &id) || id < 0) {
            return bad_id(vocab->keys[i], INT32_MAX, err);
        }
        if (id > most) most = id;
    }
    for (int32_t i = 0; tri_json_is(added, TRI_JSON_ARRAY) && i < added->n; i++) {
        TRI_TRY(tri_json_read_i64(&added->items[i], "id", 0, INT32_MAX, &id, err));
        if (id > most) most = id;
    }
    /* Ids leave few holes: far more ids than pieces is not a tokenizer. */
    int64_t n = (int64_t)vocab->n + (tri_json_is(added, TRI_JSON_ARRAY) ? added->n : 0);
    if (most < 0 || most > 16 * n + 65536) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%" PRId64 " tokens with ids up to %" PRId64, n, most);
    }
    *n_pieces = (int32_t)most + 1;
    return TRI_OK;
}

static tri_status load_added(tri_tokenizer *t, const tri_json *added, tri_error *err) {
    if (!tri_json_is(added, TRI_JSON_ARRAY)) return TRI_OK;
    t->added = TRI_NEW_N(&t->arena, tri_added_token, added->n);
    if (!t->added) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d added tokens", added->n);
    for (int32_t i = 0; i < added->n; i++) {
        const tri_json *item = &added->items[i];
        const char *content = "";
        tri_added_token a = {0};
        TRI_TRY(tri_json_read_string(item, "content", &content, err));
        TRI_TRY(tri_json_read_i32(item, "id", 0, t->bpe.n_pieces - 1, &a.id, err));
        TRI_TRY(tri_json_read_bool(item, "special", &a.special, err));
        TRI_TRY(tri_json_read_bool(item, "lstrip", &a.lstrip, err));
        TRI_TRY(tri_json_read_bool(item, "rstrip", &a.rstrip, err));
        char *copy = tri_arena_strdup(&t->arena, content);
        if (!copy) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for added token %d", a.id);
        a.text = tri_str_of(copy);
        if (a.text.len) t->added[t->n_added++] = a;
        TRI_TRY(tri_bpe_set_piece(&t->bpe, a.id, a.text, err));
    }
    return TRI_OK;
}

static tri_status load_vocab(tri_tokenizer *t, const tri_json *vocab, tri_error *err) {
    for (int32_t i = 0; i < vocab->n; i++) {
        int64_t id = -1;
        tri_str raw;
        if (!tri_json_number_i64(vocab->items[i].text, &id) || id < 0 || id >= t->bpe.n_pieces) {
            return bad_id(vocab->keys[i], t->bpe.n_pieces, err);
        }
        TRI_TRY(tri_byte_level_undo(vocab->keys[i], &t->arena, &raw, err));
        TRI_TRY(tri_bpe_set_piece(&t->bpe, (int32_t)id, raw, err));
    }
    return TRI_OK;
}

/* "a b" or ["a", "b"]. */
static bool merge_parts(const tri_json *merge, tri_str *left, tri_str *right) {
    if (merge->kind == TRI_JSON_ARRAY) {
        if (merge->n != 2 || merge->items[0].kind != TRI_JSON_STRING ||
            merge->items[1].kind != TRI_JSON_STRING) {
            return false;
        }
        *left = merge->items[0].text;
        *right = merge->items[1].text;
        return true;
    }
    if (merge->kind != TRI_JSON_STRING || merge->text.len < 3) return false;
    const char *space = memchr(merge->text.ptr + 1, ' ', merge->text.len - 1);
    if (!space) return false;
    size_t n = (size_t)(space - merge->text.ptr);
    *left = (tri_str){merge->text.ptr, n};
    *right = (tri_str){space + 1, merge->text.len - n - 1};
    return true;
}

static tri_status load_merges(
    tri_tokenizer *t, const tri_json *merges, tri_arena *scratch, tri_error *err) {
    for (int32_t i = 0; i < merges->n; i++) {
        tri_str left, right, raw_left, raw_right;
        if (!merge_parts(&merges->items[i], &left, &right)) {
            return TRI_FAIL(err, TRI_E_FORMAT, "model.merges[%d] is no pair", i);
        }
        TRI_TRY(tri_byte_level_undo(left, scratch, &raw_left, err));
        TRI_TRY(tri_byte_level_undo(right, scratch, &raw_right, err));
        tri_bpe_add_merge(&t->bpe, i, raw_left, raw_right);
    }
    return TRI_OK;
}

static tri_status load(tri_tokenizer *t, const tri_json *root, tri_arena *scratch, tri_error *err) {
    const tri_json *model = tri_json_get(root, "model"), *vocab = tri_json_get(model, "vocab");
    const tri_json *merges = tri_json_get(model, "merges");
    const tri_json *added = tri_json_get(root, "added_tokens");
    bool byte_level = false;
    int32_t n_pieces = 0;
    tri_str type = type_of(model);
    /* Old files leave the type out. */
    if (type.len && !tri_str_is(type, "BPE")) return unsupported("model", model, err);
    if (!tri_json_is(vocab, TRI_JSON_OBJECT) || !tri_json_is(merges, TRI_JSON_ARRAY)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "model.vocab or model.merges is missing");
    }
    TRI_TRY(load_pre_tokenizer(t, tri_json_get(root, "pre_tokenizer"), &byte_level, err));
    if (!byte_level) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "pre_tokenizer has no ByteLevel; only byte-level BPE tokenizers are supported");
    }
    TRI_TRY(load_normalizer(t, tri_json_get(root, "normalizer"), err));
    TRI_TRY(count_pieces(vocab, added, &n_pieces, err));
    TRI_TRY(tri_bpe_init(&t->bpe, n_pieces, merges->n, &t->arena, err));
    TRI_TRY(tri_json_read_bool(model, "ignore_merges", &t->bpe.ignore_merges, err));
    TRI_TRY(load_vocab(t, vocab, err));
    TRI_TRY(load_added(t, added, err));
    tri_bpe_find_bytes(&t->bpe);
    TRI_TRY(load_merges(t, merges, scratch, err));
    return load_post_processor(t, tri_json_get(root, "post_processor"), err);
}

tri_status tri_tokenizer_load_hf(tri_tokenizer *t, tri_str json, tri_error *err) {
    tri_arena scratch;
    const tri_json *root;
    tri_arena_init(&scratch, 0);
    tri_status rc = tri_json_parse(json, &scratch, &root, err);
    if (!rc) rc = load(t, root, &scratch, err);
    tri_arena_deinit(&scratch);
    if (rc) tri_error_context(err, "tokenizer.json");
    return rc;
}
