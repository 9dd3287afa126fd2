/* load_tekken.c - tekken.json: Mistral's tokenizers, a tiktoken vocabulary after special tokens.
 *
 * Special tokens have the first ids, ranked ones follow.  Files up to v7 may leave the special
 * tokens out; those then have a fixed list, and ids without a token are filled up, all as
 * mistral_common does. */
#include <stdio.h>

#include "base/json.h"
#include "text/ranks.h"

enum { MAX_IDS = 1 << 24, MAX_SPECIALS = 1 << 16 };

static const char *const first_specials[] = {"<unk>", "<s>", "</s>", "[INST]", "[/INST]",
    "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]",
    "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"};
enum { N_FIRST_SPECIALS = sizeof first_specials / sizeof *first_specials };

typedef struct tekken {
    const tri_json *config, *specials; /* specials: NULL when the file has none */
    tri_str vocab;                     /* its text, read piece by piece */
    tri_str pattern;
    int32_t n_ids, n_specials;
    int64_t version;
} tekken;

/* The top level: small values as trees, the vocabulary as text. */
static tri_status read_top(
    tekken *k, tri_json_reader *r, tri_str json, tri_arena *scratch, tri_error *err) {
    tri_json_event e;
    tri_json_reader_init(r, json);
    TRI_TRY(tri_json_next(r, &e, err));
    if (e.kind != TRI_JSON_OBJECT) return TRI_FAIL(err, TRI_E_FORMAT, "not a JSON object");
    for (;;) {
        TRI_TRY(tri_json_next(r, &e, err));
        if (e.kind == TRI_JSON_END_OBJECT) break;
        const char *begin = r->at;
        TRI_TRY(tri_json_skip(r, err));
        tri_str value = {begin, (size_t)(r->at - begin)};
        if (tri_str_is(e.raw, "config")) TRI_TRY(tri_json_parse(value, scratch, &k->config, err));
        if (tri_str_is(e.raw, "special_tokens"))
            TRI_TRY(tri_json_parse(value, scratch, &k->specials, err));
        if (tri_str_is(e.raw, "vocab")) k->vocab = value;
    }
    TRI_TRY(tri_json_next(r, &e, err)); /* nothing may follow */
    if (tri_json_is(k->specials, TRI_JSON_NULL)) k->specials = NULL;
    return TRI_OK;
}

static tri_status read_config(tekken *k, tri_error *err) {
    const char *version = "";
    if (!tri_json_is(k->config, TRI_JSON_OBJECT) || !k->vocab.len)
        return TRI_FAIL(err, TRI_E_FORMAT, "config or vocab is missing");
    const tri_json *pattern = tri_json_get(k->config, "pattern");
    if (!pattern) return TRI_FAIL(err, TRI_E_FORMAT, "config.pattern is missing");
    if (!tri_json_is(pattern, TRI_JSON_STRING))
        return TRI_FAIL(err, TRI_E_FORMAT, "config.pattern is not a text");
    k->pattern = pattern->text;
    TRI_TRY(tri_json_read_string(k->config, "version", &version, err));
    bool known = version[0] == 'v' && tri_str_to_i64(tri_str_of(version + 1), &k->version);
    if (!known || k->version < 1) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "config.version is '%s'; it should be like v11", version);
    }
    k->n_ids = k->n_specials = -1;
    TRI_TRY(tri_json_read_i32(k->config, "default_vocab_size", 1, MAX_IDS, &k->n_ids, err));
    TRI_TRY(tri_json_read_i32(
        k->config, "default_num_special_tokens", 0, MAX_SPECIALS, &k->n_specials, err));
    if (k->n_specials < 0 || k->n_specials >= k->n_ids) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "default_num_special_tokens is %d and default_vocab_size %d; both must be there, the "
            "first the smaller",
            k->n_specials, k->n_ids);
    }
    return TRI_OK;
}

static tri_status read_specials(
    const tekken *k, tri_ranks *ranks, int32_t *bos_id, tri_error *err) {
    int32_t n = 0;
    if (!k->specials && k->version > 7) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "no special_tokens; files after v7 (this is v%" PRId64 ") must have them", k->version);
    }
    if (k->specials && !tri_json_is(k->specials, TRI_JSON_ARRAY))
        return TRI_FAIL(err, TRI_E_FORMAT, "special_tokens is not an array");
    n = k->specials ? k->specials->n : N_FIRST_SPECIALS;
    if (n > k->n_specials) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%d special tokens; default_num_special_tokens is %d", n,
            k->n_specials);
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t id = k->specials ? -1 : i;
        tri_str text = k->specials ? (tri_str){0} : tri_str_of(first_specials[i]);
        if (k->specials) {
            const tri_json *item = &k->specials->items[i];
            const tri_json *string = tri_json_get(item, "token_str");
            TRI_TRY(tri_json_read_i32(item, "rank", 0, n - 1, &id, err));
            if (id < 0 || !tri_json_is(string, TRI_JSON_STRING))
                return TRI_FAIL(err, TRI_E_FORMAT, "special token %d lacks rank or token_str", i);
            text = string->text;
        }
        TRI_TRY(tri_ranks_add_special(ranks, id, text, err));
        if (tri_str_is(text, "<s>")) *bos_id = id;
    }
    for (int32_t id = n; id < k->n_specials; id++) {
        char text[32];
        int length = snprintf(text, sizeof text, "<SPECIAL_%d>", id);
        TRI_TRY(tri_ranks_add_special(ranks, id, (tri_str){text, (size_t)length}, err));
    }
    return TRI_OK;
}

/* One object of the vocabulary, after its brace. */
static tri_status read_token(tri_json_reader *r, int64_t *rank, tri_str *base64, tri_error *err) {
    tri_json_event e;
    bool ranked = false;
    *base64 = (tri_str){0};
    for (;;) {
        TRI_TRY(tri_json_next(r, &e, err));
        if (e.kind == TRI_JSON_END_OBJECT) break;
        bool is_rank = tri_str_is(e.raw, "rank"), is_bytes = tri_str_is(e.raw, "token_bytes");
        if (!is_rank && !is_bytes) {
            TRI_TRY(tri_json_skip(r, err));
            continue;
        }
        TRI_TRY(tri_json_next(r, &e, err));
        bool ok = is_bytes ? e.kind == TRI_JSON_STRING && !e.escaped
                           : e.kind == TRI_JSON_NUMBER && tri_json_number_i64(e.raw, rank);
        if (!ok) {
            return TRI_FAIL(err, TRI_E_FORMAT, "%s",
                is_bytes ? "token_bytes is not a text without escapes" : "rank is not an integer");
        }
        if (is_bytes) *base64 = e.raw;
        ranked = ranked || is_rank;
    }
    if (ranked && base64->ptr) return TRI_OK;
    return TRI_FAIL(err, TRI_E_FORMAT, "%s is missing", ranked ? "token_bytes" : "rank");
}

static tri_status enter_vocab(const tekken *k, tri_json_reader *r, tri_error *err) {
    tri_json_event e;
    tri_json_reader_init(r, k->vocab);
    TRI_TRY(tri_json_next(r, &e, err));
    return e.kind == TRI_JSON_ARRAY ? TRI_OK : TRI_FAIL(err, TRI_E_FORMAT, "vocab is not an array");
}

/* r: inside the array. */
static tri_status read_vocab(tri_ranks *ranks, tri_json_reader *r, tri_error *err) {
    tri_json_event e;
    for (int32_t i = 0; i < ranks->n_ranks; i++) {
        int64_t rank = -1;
        tri_str base64;
        TRI_TRY(tri_json_next(r, &e, err));
        if (e.kind == TRI_JSON_END_ARRAY) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "vocab has %d tokens; default_vocab_size less special tokens is %d", i,
                ranks->n_ranks);
        }
        if (e.kind != TRI_JSON_OBJECT)
            return TRI_FAIL(err, TRI_E_FORMAT, "vocab[%d]: not an object", i);
        tri_status rc = read_token(r, &rank, &base64, err);
        if (!rc && rank != i) {
            rc = TRI_FAIL(err, TRI_E_FORMAT, "its rank is %" PRId64 ", not its place", rank);
        }
        if (!rc) rc = tri_ranks_set(ranks, i, base64, err);
        if (rc) {
            tri_error_context(err, "vocab[%d]", i);
            return rc;
        }
    }
    return TRI_OK;
}

static tri_status load(
    tri_tokenizer *t, tri_str json, tri_json_reader *r, tri_arena *scratch, tri_error *err) {
    tekken k = {0};
    tri_ranks ranks;
    int32_t bos_id = -1;
    TRI_TRY(read_top(&k, r, json, scratch, err));
    TRI_TRY(read_config(&k, err));
    TRI_TRY(enter_vocab(&k, r, err));
    /* A token of the vocabulary takes at least `{"rank":0,"token_bytes":""}`. */
    if ((size_t)(k.n_ids - k.n_specials) > k.vocab.len / 28 + 1) {
        return TRI_FAIL(err, TRI_E_FORMAT, "default_vocab_size is %d; vocab has only %zu bytes",
            k.n_ids, k.vocab.len);
    }
    TRI_TRY(tri_ranks_init(&ranks, t, k.n_ids, k.n_specials, k.n_ids - k.n_specials, err));
    TRI_TRY(read_specials(&k, &ranks, &bos_id, err));
    TRI_TRY(read_vocab(&ranks, r, err));
    return tri_ranks_finish(&ranks, k.pattern, &bos_id, bos_id >= 0, err);
}

tri_status tri_load_tekken(tri_tokenizer *t, tri_str json, tri_error *err) {
    tri_json_reader reader;
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    tri_status rc = load(t, json, &reader, &scratch, err);
    tri_arena_deinit(&scratch);
    return rc;
}
