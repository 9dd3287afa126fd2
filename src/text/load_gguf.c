/* load_gguf.c - tokenizers in GGUF metadata.  Here: what all kinds share, and the kinds "gpt2"
 * (byte-level BPE), "gemma4" (BPE over characters with byte fallback) and "whitespace" (BPE over
 * characters of words).
 *
 * Token types decide what a text can become: control tokens and unknown ones besides the unknown
 * token are special, user-defined ones are found in the text before anything else, and none of them
 * is ever made by merging, so that text cannot spell a special token (in llama.cpp's "llama" kind
 * it can).  All of these are text as they stand, also in byte-level vocabularies, as llama.cpp
 * prints them.  GGUF has no flags of added tokens; the ones llama.cpp knows by the model's name are
 * set here too. */
#include <ctype.h>
#include <string.h>

#include "text/bpe.h"
#include "text/gguf_vocab.h"
#include "text/pre_names.h"
#include "text/unicode.h"

enum { MAX_TOKENS = 1 << 24 };

/* ---- shared ---- */

/* Tokens are text from here on: what is not UTF-8 in one is U+FFFD, and no piece is made of it. */
static tri_status set_token(tri_gguf_vocab *v, int32_t id, tri_error *err) {
    tri_buf mended = {0};
    if (tri_utf8_valid(v->tokens[id])) return tri_tokenizer_set_token(v->t, id, v->tokens[id], err);
    tri_utf8_sanitize(&mended, v->tokens[id]);
    tri_status rc = tri_buf_status(&mended, err);
    if (!rc) rc = tri_tokenizer_set_token(v->t, id, (tri_str){mended.ptr, mended.len}, err);
    tri_buf_deinit(&mended);
    return rc;
}

static tri_status read_tokens(tri_gguf_vocab *v, tri_error *err) {
    const tri_gguf_value *tokens = tri_gguf_find(v->g, "tokenizer.ggml.tokens");
    const tri_gguf_value *types = tri_gguf_find(v->g, "tokenizer.ggml.token_type");
    if (!tokens || tokens->kind != TRI_GGUF_ARRAY || tokens->element != TRI_GGUF_STRING ||
        tokens->n < 1 || tokens->n > MAX_TOKENS) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "tokenizer.ggml.tokens is missing, or not an array of 1 to %d strings", MAX_TOKENS);
    }
    bool typed = types && types->kind == TRI_GGUF_ARRAY && types->n >= tokens->n &&
                 (types->element == TRI_GGUF_I32 || types->element == TRI_GGUF_U32);
    if (types && !typed) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "tokenizer.ggml.token_type is not an array of %" PRId64 " 32-bit integers", tokens->n);
    }
    v->tokens = tokens->strings;
    v->n = (int32_t)tokens->n;
    v->types = TRI_NEW_N(&v->t->arena, uint8_t, v->n);
    if (!v->types) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d tokens", v->n);
    TRI_TRY(tri_tokenizer_reserve_tokens(v->t, v->n, err));
    for (int32_t id = 0; id < v->n; id++) {
        int64_t type = types ? tri_gguf_array_i64(types, id) : TRI_PIECE_NORMAL;
        bool known = type >= TRI_PIECE_NORMAL && type <= TRI_PIECE_BYTE;
        v->types[id] = known ? (uint8_t)type : TRI_PIECE_NORMAL;
        TRI_TRY(set_token(v, id, err));
    }
    return TRI_OK;
}

tri_status tri_gguf_vocab_id(
    const tri_gguf_vocab *v, const char *name, int32_t *id, tri_error *err) {
    char key[96] = "tokenizer.ggml.";
    int64_t value = -1;
    strncat(key, name, sizeof key - strlen(key) - 1);
    TRI_TRY(tri_gguf_read_i64(v->g, key, -1, UINT32_MAX, &value, err));
    /* Some converters write an id past the vocabulary for a token that is not there. */
    if (value >= 0 && value < v->n) *id = (int32_t)value;
    if (*id >= v->n) *id = -1;
    return TRI_OK;
}

void tri_gguf_vocab_frame(const tri_gguf_vocab *v, int32_t first, int32_t last) {
    tri_tokenizer *t = v->t;
    if (first < 0 && last < 0) return;
    if (first >= 0) t->single[t->n_single++] = (tri_template_item){.id = first};
    t->single[t->n_single++] = (tri_template_item){.id = -1};
    if (last >= 0) t->single[t->n_single++] = (tri_template_item){.id = last};
}

/* Whether text holds the word, whose letters are lower-case, in any case. */
static bool holds(tri_str text, const char *word) {
    size_t n = strlen(word);
    for (size_t at = 0; at + n <= text.len; at++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text.ptr[at + i]) == word[i])
            i++;
        if (i == n) return true;
    }
    return false;
}

static void set_flags(tri_added_token *token, bool phi3, const char *lstripped) {
    if (lstripped) token->lstrip = tri_str_is(token->text, lstripped);
    if (!phi3) return;
    token->rstrip = !tri_str_is(token->text, "<unk>") && !tri_str_is(token->text, "<s>") &&
                    !tri_str_is(token->text, "<|endoftext|>");
}

static tri_status add_added(tri_gguf_vocab *v, tri_error *err) {
    tri_tokenizer *t = v->t;
    tri_str name = {0}, arch = {0}, pre = {0};
    int32_t n = 0;
    TRI_TRY(tri_gguf_read_str(v->g, "general.name", &name, err));
    TRI_TRY(tri_gguf_read_str(v->g, "general.architecture", &arch, err));
    TRI_TRY(tri_gguf_read_str(v->g, "tokenizer.ggml.pre", &pre, err));
    bool phi3 = holds(name, "phi-3") || holds(name, "phi3");
    const char *lstripped = NULL;
    if (holds(pre, "jina-v2-de") || holds(pre, "jina-v2-es") || holds(pre, "jina-v2-code") ||
        holds(arch, "nomic-bert-moe") || holds(arch, "jina-bert-v3")) {
        lstripped = "<mask>";
    } else if (holds(name, "modern-bert")) {
        lstripped = "[MASK]";
    }
    for (int32_t id = 0; id < v->n; id++)
        n += v->types[id] >= TRI_PIECE_UNKNOWN && v->types[id] <= TRI_PIECE_USER_DEFINED;
    t->added = TRI_NEW_N(&t->arena, tri_added_token, n + 1);
    if (!t->added) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d special tokens", n);
    for (int32_t id = 0; id < v->n; id++) {
        uint8_t type = v->types[id];
        if (type < TRI_PIECE_UNKNOWN || type > TRI_PIECE_USER_DEFINED || !v->tokens[id].len)
            continue;
        tri_added_token *token = &t->added[t->n_added++];
        *token = (tri_added_token){
            .text = t->tokens[id], .id = id, .special = type != TRI_PIECE_USER_DEFINED};
        set_flags(token, phi3, lstripped);
    }
    return TRI_OK;
}

/* ---- BPE with merges ---- */

static tri_status find_rules(
    const tri_gguf_vocab *v, tri_str model, const tri_pre_rules **rules, tri_error *err) {
    tri_str pre = TRI_STR("default");
    const char *nearest = NULL;
    TRI_TRY(tri_gguf_read_str(v->g, "tokenizer.ggml.pre", &pre, err));
    if (!pre.len) pre = TRI_STR("default");
    if (tri_str_is(model, "gemma4")) pre = TRI_STR("gemma4");
    if (tri_str_is(model, "whitespace")) pre = TRI_STR("whitespace");
    *rules = tri_pre_find(pre, &nearest);
    if (*rules) return TRI_OK;
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "tokenizer.ggml.pre '%.*s' stands for a way to split text that is not known here%s%s%s; a "
        "tokenizer.json says it itself",
        (int)(pre.len < 60 ? pre.len : 60), pre.ptr, nearest ? " (the nearest known is " : "",
        nearest ? nearest : "", nearest ? ")" : "");
}

static bool is_merged(uint8_t type) {
    return type == TRI_PIECE_NORMAL || type == TRI_PIECE_UNUSED || type == TRI_PIECE_BYTE;
}

/* A token as the model has it: raw bytes, or the text itself. *piece has no ptr where no text can
 * become it. */
static tri_status to_piece(
    const tri_gguf_vocab *v, tri_str token, bool bytes, tri_str *piece, tri_error *err) {
    *piece = (tri_str){0};
    if (!token.len || !tri_utf8_valid(token)) return TRI_OK;
    char *raw = tri_arena_alloc_aligned(&v->t->arena, token.len, 1);
    if (!raw) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a token of %zu bytes", token.len);
    size_t n = token.len;
    if (!bytes) {
        memcpy(raw, token.ptr, n);
    } else if (!tri_byte_level_undo(token, raw, &n)) {
        return TRI_OK;
    }
    *piece = (tri_str){raw, n};
    return TRI_OK;
}

static tri_status add_merges(
    const tri_gguf_vocab *v, const tri_gguf_value *merges, bool bytes, tri_error *err) {
    tri_buf raw = {0};
    TRI_TRY(tri_bpe_reserve_merges(v->t->bpe, merges->n, &v->t->arena, err));
    for (int64_t i = 0; i < merges->n; i++) {
        tri_str merge = merges->strings[i];
        const char *space = merge.len > 1 ? memchr(merge.ptr + 1, ' ', merge.len - 1) : NULL;
        if (!space) {
            tri_buf_deinit(&raw);
            return TRI_FAIL(err, TRI_E_FORMAT,
                "tokenizer.ggml.merges[%" PRId64 "] '%.*s' is not two tokens with a space between",
                i, (int)(merge.len < 60 ? merge.len : 60), merge.ptr);
        }
        tri_str left = {merge.ptr, (size_t)(space - merge.ptr)};
        tri_str right = {space + 1, merge.len - left.len - 1};
        tri_buf_clear(&raw);
        char *out = tri_buf_extend(&raw, merge.len);
        size_t n_left = left.len, n_right = right.len;
        if (!out) break;
        if (bytes) {
            if (!tri_utf8_valid(merge)) continue;
            if (!tri_byte_level_undo(left, out, &n_left)) continue;
            if (!tri_byte_level_undo(right, out + n_left, &n_right)) continue;
            left = (tri_str){out, n_left};
            right = (tri_str){out + n_left, n_right};
        }
        tri_bpe_add_merge_of(v->t->bpe, (int32_t)i, left, right);
    }
    tri_status rc = tri_buf_status(&raw, err);
    tri_buf_deinit(&raw);
    return rc;
}

static tri_status load_merges(const tri_gguf_vocab *v, const tri_pre_rules *rules, bool bytes,
    const tri_str *pieces, tri_error *err) {
    const tri_gguf_value *merges = tri_gguf_find(v->g, "tokenizer.ggml.merges");
    if (merges && (merges->kind != TRI_GGUF_ARRAY || merges->element != TRI_GGUF_STRING ||
                      merges->n > INT32_MAX)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "tokenizer.ggml.merges is not an array of strings");
    }
    if (merges) return add_merges(v, merges, bytes, err);
    if (strcmp(rules->name, "kimi-k2") != 0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "tokenizer.ggml.merges is missing");
    }
    int32_t *ranks = TRI_NEW_N(&v->t->arena, int32_t, v->n); /* a tiktoken vocabulary */
    if (!ranks) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d ranks", v->n);
    for (int32_t id = 0; id < v->n; id++)
        ranks[id] = pieces[id].ptr ? id : -1;
    return tri_bpe_derive_merges(v->t->bpe, ranks, &v->t->arena, err);
}

static tri_status add_patterns(tri_tokenizer *t, const tri_pre_rules *rules, tri_error *err) {
    for (const char *const *pattern = rules->patterns; *pattern; pattern++) {
        tri_pre_tokenizer *split = &t->pre_tokenizers[t->n_pre_tokenizers];
        *split = (tri_pre_tokenizer){.kind = TRI_PRE_SPLIT, .behavior = TRI_SPLIT_ISOLATED};
        TRI_TRY(tri_pattern_compile(&split->pattern, tri_str_of(*pattern), err));
        t->n_pre_tokenizers++;
    }
    return TRI_OK;
}

static const tri_str metaspace = {"\xE2\x96\x81", 3};

static tri_status add_steps(const tri_gguf_vocab *v, const tri_pre_rules *rules, tri_error *err) {
    tri_tokenizer *t = v->t;
    if (rules->flags & TRI_PRE_NFC) t->normalizers[t->n_normalizers++].kind = TRI_NORM_NFC;
    TRI_TRY(add_patterns(t, rules, err));
    if (rules->flags & TRI_PRE_CHARACTERS) {
        t->normalizers[t->n_normalizers++] = (tri_normalizer){
            .kind = TRI_NORM_REPLACE, .pattern = {.literal = TRI_STR(" ")}, .content = metaspace};
        t->decoders[t->n_decoders++] = (tri_decode_step){
            .kind = TRI_DECODE_REPLACE, .pattern = {.literal = metaspace}, .content = TRI_STR(" ")};
        t->decoders[t->n_decoders++].kind = TRI_DECODE_BYTE_FALLBACK;
        t->decoders[t->n_decoders++].kind = TRI_DECODE_FUSE;
    } else if (rules->flags & TRI_PRE_WORDS) {
        bool lowercase = false;
        TRI_TRY(tri_gguf_read_bool(v->g, "tokenizer.ggml.normalizer.lowercase", &lowercase, err));
        if (lowercase) t->normalizers[t->n_normalizers++].kind = TRI_NORM_LOWERCASE;
        t->pre_tokenizers[t->n_pre_tokenizers++].kind = TRI_PRE_WHITESPACE_SPLIT;
    } else {
        t->raw_bytes = true;
        t->decoders[t->n_decoders++].kind = TRI_DECODE_BYTE_LEVEL;
    }
    return TRI_OK;
}

static tri_status add_bpe_frame(
    const tri_gguf_vocab *v, const tri_pre_rules *rules, tri_error *err) {
    bool bos = rules->flags & TRI_PRE_ADD_BOS, eos = false;
    int32_t bos_id = rules->flags & TRI_PRE_CHARACTERS ? -1 : 11, eos_id = bos_id;
    if (rules->flags & TRI_PRE_NO_BOS) bos_id = -1;
    TRI_TRY(tri_gguf_read_bool(v->g, "tokenizer.ggml.add_bos_token", &bos, err));
    TRI_TRY(tri_gguf_read_bool(v->g, "tokenizer.ggml.add_eos_token", &eos, err));
    TRI_TRY(tri_gguf_vocab_id(v, "bos_token_id", &bos_id, err));
    TRI_TRY(tri_gguf_vocab_id(v, "eos_token_id", &eos_id, err));
    if (rules->flags & TRI_PRE_SMART_BOS) bos = true;
    tri_gguf_vocab_frame(v, bos ? bos_id : -1, eos ? eos_id : -1);
    return TRI_OK;
}

static tri_status load_bpe(tri_gguf_vocab *v, tri_str model, tri_error *err) {
    const tri_pre_rules *rules = NULL;
    tri_tokenizer *t = v->t;
    TRI_TRY(find_rules(v, model, &rules, err));
    bool characters = rules->flags & TRI_PRE_CHARACTERS;
    bool bytes = !(rules->flags & (TRI_PRE_CHARACTERS | TRI_PRE_WORDS));
    tri_str *pieces = TRI_NEW_N(&t->arena, tri_str, v->n);
    uint8_t *literal = TRI_NEW_N(&t->arena, uint8_t, v->n);
    if (!pieces || !literal) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", v->n);
    TRI_TRY(tri_gguf_vocab_id(v, "unknown_token_id", &v->unk_id, err));
    for (int32_t id = 0; id < v->n; id++) {
        literal[id] = !is_merged(v->types[id]);
        if (literal[id]) continue;
        TRI_TRY(to_piece(v, v->tokens[id], bytes, &pieces[id], err));
    }
    t->literal = literal;
    t->model = TRI_MODEL_BPE;
    TRI_TRY(tri_bpe_create(&t->bpe,
        &(tri_bpe_config){.n_pieces = v->n,
            .bytes = bytes,
            .byte_fallback = characters,
            .fuse_unk = characters,
            .ignore_merges = rules->flags & TRI_PRE_IGNORE_MERGES,
            .unk_id = bytes ? -1 : v->unk_id},
        pieces, &t->arena, err));
    TRI_TRY(load_merges(v, rules, bytes, pieces, err));
    TRI_TRY(add_steps(v, rules, err));
    TRI_TRY(add_bpe_frame(v, rules, err));
    return add_added(v, err);
}

/* ---- */

static tri_status load(tri_gguf_vocab *v, tri_error *err) {
    tri_str model = {0};
    TRI_TRY(tri_gguf_read_str(v->g, "tokenizer.ggml.model", &model, err));
    if (!model.len) {
        return TRI_FAIL(err, TRI_E_NOT_FOUND, "no tokenizer.ggml.model: no tokenizer in this file");
    }
    bool bpe =
        tri_str_is(model, "gpt2") || tri_str_is(model, "gemma4") || tri_str_is(model, "whitespace");
    bool llama = tri_str_is(model, "llama"), t5 = tri_str_is(model, "t5");
    if (!bpe && !llama && !t5 && !tri_str_is(model, "bert")) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "tokenizer.ggml.model '%.*s' is not supported; gpt2, llama, bert, t5, gemma4 and "
            "whitespace are (rwkv, plamo2 and hybriddna are not)",
            (int)(model.len < 60 ? model.len : 60), model.ptr);
    }
    TRI_TRY(read_tokens(v, err));
    if (bpe) return load_bpe(v, model, err);
    TRI_TRY(llama ? tri_gguf_load_llama(v, err)
            : t5  ? tri_gguf_load_t5(v, err)
                  : tri_gguf_load_bert(v, err));
    return add_added(v, err);
}

tri_status tri_load_gguf_vocab(tri_tokenizer *t, const tri_gguf *gguf, tri_error *err) {
    tri_gguf_vocab v = {.t = t, .g = gguf, .unk_id = -1};
    return load(&v, err);
}

tri_status tri_load_gguf_tokenizer(tri_tokenizer *t, const char *path, tri_error *err) {
    tri_gguf gguf;
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    tri_status rc = tri_gguf_open(&gguf, path, &scratch, err);
    if (!rc) {
        rc = tri_load_gguf_vocab(t, &gguf, err);
        tri_gguf_close(&gguf);
    }
    tri_arena_deinit(&scratch);
    return rc;
}
