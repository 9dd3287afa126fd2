/* load_tiktoken.c - tiktoken files: a line a token, its bytes in base64 and its rank.
 *
 * The file says neither how text is split nor which special tokens there are.  The first comes from
 * the kind of model, or from how many ranks there are; the second from tokenizer_config.json, and
 * what it leaves out from the lists that models of the kind share. */
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "text/base64.h"
#include "text/ranks.h"

/* OpenAI's, as in tiktoken_ext/openai_public.py; Llama 3, DBRX and GLM-4 split by cl100k's too. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define ENDING " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const char cl100k[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" ENDING;
static const char qwen[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" ENDING;
static const char o200k[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
    "+" CONTRACTIONS "?"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
    "*" CONTRACTIONS "?"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char kimi[] =
    "[\\p{Han}]+"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*"
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+" CONTRACTIONS "?"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+"
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*" CONTRACTIONS "?"
    "|\\p{N}{1,3}|" ENDING;

/* Special tokens that a kind has without saying so: from an id on (after the ranks when negative),
 * texts in order; one with %d stands for numbers [from, from + n). */
typedef struct special_run {
    int32_t id;
    const char *text;
    int32_t from, n;
} special_run;

static const special_run llama3_specials[] = {{-1, "<|begin_of_text|>", 0, 1},
    {-1, "<|end_of_text|>", 0, 1}, {-1, "<|reserved_special_token_%d|>", 0, 4},
    {-1, "<|start_header_id|>", 0, 1}, {-1, "<|end_header_id|>", 0, 1},
    {-1, "<|reserved_special_token_%d|>", 4, 1}, {-1, "<|eot_id|>", 0, 1},
    {-1, "<|reserved_special_token_%d|>", 5, 246}, {0}};
static const special_run qwen_specials[] = {{-1, "<|endoftext|>", 0, 1}, {-1, "<|im_start|>", 0, 1},
    {-1, "<|im_end|>", 0, 1}, {-1, "<|extra_%d|>", 0, 205}, {0}};
/* Numbered by their ids. */
static const special_run kimi_specials[] = {{-1, "<|reserved_token_%d|>", 163584, 256}, {0}};
static const special_run cl100k_specials[] = {{100257, "<|endoftext|>", 0, 1},
    {-1, "<|fim_prefix|>", 0, 1}, {-1, "<|fim_middle|>", 0, 1}, {-1, "<|fim_suffix|>", 0, 1},
    {100276, "<|endofprompt|>", 0, 1}, {0}};
static const special_run o200k_specials[] = {{199998, "<|startoftext|>", 0, 1},
    {-1, "<|endoftext|>", 0, 1}, {-1, "<|reserved_%d|>", 200000, 2}, {-1, "<|return|>", 0, 1},
    {-1, "<|constrain|>", 0, 1}, {-1, "<|reserved_%d|>", 200004, 1}, {-1, "<|channel|>", 0, 1},
    {-1, "<|start|>", 0, 1}, {-1, "<|end|>", 0, 1}, {-1, "<|message|>", 0, 1},
    {-1, "<|reserved_%d|>", 200009, 3}, {-1, "<|call|>", 0, 1}, {-1, "<|reserved_%d|>", 200013, 5},
    {200018, "<|endofprompt|>", 0, 1}, {0}};
/* ChatGLM4Tokenizer of zai-org/glm-4-9b-chat (tokenization_chatglm.py): names and prefix. */
static const special_run glm4_specials[] = {{-1, "<|endoftext|>", 0, 1}, {-1, "[MASK]", 0, 1},
    {-1, "[gMASK]", 0, 1}, {-1, "[sMASK]", 0, 1}, {-1, "<sop>", 0, 1}, {-1, "<eop>", 0, 1},
    {-1, "<|system|>", 0, 1}, {-1, "<|user|>", 0, 1}, {-1, "<|assistant|>", 0, 1},
    {-1, "<|observation|>", 0, 1}, {-1, "<|begin_of_image|>", 0, 1}, {-1, "<|end_of_image|>", 0, 1},
    {-1, "<|begin_of_video|>", 0, 1}, {-1, "<|end_of_video|>", 0, 1}, {0}};
static const special_run gpt2_specials[] = {{-1, "<|endoftext|>", 0, 1}, {0}};
enum { MAX_PREFIX = 2 };

static const struct kind {
    const char *model_type; /* config.json's, or tiktoken's name of the encoding */
    int32_t n_ranks;        /* recognises files of an unknown model; 0: does not */
    const char *expression;
    const special_run *specials;
    const char *prefix[MAX_PREFIX]; /* in front with special tokens; NULL: nothing is */
    bool nfc;
} kinds[] = {
    {"llama", 128000, cl100k, llama3_specials, {"<|begin_of_text|>"}, false},
    {"qwen", 151643, qwen, qwen_specials, {NULL}, true},
    {"kimi_k2", 163584, kimi, kimi_specials, {NULL}, false},
    {"kimi_vl", 0, kimi, kimi_specials, {NULL}, false},
    {"kimi_linear", 0, kimi, kimi_specials, {NULL}, false},
    {"kimi_k25", 0, kimi, kimi_specials, {NULL}, false},
    {"chatglm", 151329, cl100k, glm4_specials, {"[gMASK]", "<sop>"}, false},
    {"gpt_oss", 199998, o200k, o200k_specials, {NULL}, false},
    {"o200k_base", 0, o200k, o200k_specials, {NULL}, false},
    {"o200k_harmony", 0, o200k, o200k_specials, {NULL}, false},
    {"cl100k_base", 100256, cl100k, cl100k_specials, {NULL}, false},
    {"dbrx", 0, cl100k, cl100k_specials, {NULL}, false},
    {"gpt2", 50256, tri_gpt2_expression, gpt2_specials, {NULL}, false},
    {"r50k_base", 0, tri_gpt2_expression, gpt2_specials, {NULL}, false},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds, MAX_RANKS = 1 << 24, MAX_SPECIALS = 1 << 16 };

static tri_status find_kind(
    const char *model_type, int32_t n_ranks, const struct kind **kind, tri_error *err) {
    for (int i = 0; i < N_KINDS; i++) {
        if (!model_type || strcmp(kinds[i].model_type, model_type) != 0) continue;
        if (n_ranks < kinds[i].n_ranks) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "%d ranks, and files of %s have %d: it is cut short, or not this model's", n_ranks,
                model_type, kinds[i].n_ranks);
        }
        *kind = &kinds[i];
        return TRI_OK;
    }
    for (int i = 0; i < N_KINDS; i++) {
        if (kinds[i].n_ranks != n_ranks) continue;
        *kind = &kinds[i];
        return TRI_OK;
    }
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "a tiktoken file of %d ranks for model_type '%s': how it splits text is not known.  Known "
        "are llama, qwen, kimi_k2, chatglm, gpt_oss, dbrx, cl100k_base, o200k_base and gpt2; a "
        "tokenizer.json says it itself",
        n_ranks, model_type ? model_type : "");
}

/* ---- lines ---- */

typedef struct line {
    tri_str base64;
    int64_t rank;
} line;

/* Takes the next line that is not empty off the text; false: none, or one that is not base64, a
 * space and a rank, which stays. */
static bool next_line(tri_str *text, line *out) {
    *out = (line){0};
    while (text->len && (text->ptr[0] == '\n' || text->ptr[0] == '\r'))
        *text = (tri_str){text->ptr + 1, text->len - 1};
    if (!text->len) return false;
    const char *end = memchr(text->ptr, '\n', text->len);
    size_t n = end ? (size_t)(end - text->ptr) : text->len;
    tri_str whole = {text->ptr, n};
    if (whole.len && whole.ptr[whole.len - 1] == '\r') whole.len--;
    const char *space = memchr(whole.ptr, ' ', whole.len);
    if (!space || space == whole.ptr) return false;
    tri_str rank = {space + 1, whole.len - (size_t)(space - whole.ptr) - 1};
    if (!tri_str_to_i64(rank, &out->rank)) return false;
    out->base64 = (tri_str){whole.ptr, (size_t)(space - whole.ptr)};
    *text = (tri_str){text->ptr + n, text->len - n};
    return true;
}

bool tri_is_tiktoken(tri_str file) {
    char bytes[64];
    size_t n;
    line first;
    if (file.len > 256) file.len = 256;
    return next_line(&file, &first) && first.base64.len <= sizeof bytes &&
           tri_base64_decode(first.base64, bytes, &n);
}

static tri_status count_ranks(tri_str text, int32_t *n_ranks, tri_error *err) {
    int64_t most = -1, n_lines = 0;
    line l;
    while (next_line(&text, &l)) {
        n_lines++;
        if (l.rank < 0 || l.rank >= MAX_RANKS) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "line %" PRId64 " has rank %" PRId64 "; ranks are 0 to %d", n_lines, l.rank,
                MAX_RANKS - 1);
        }
        if (l.rank > most) most = l.rank;
    }
    if (text.len || n_lines == 0) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "line %" PRId64 " is not base64, a space and a rank: no tiktoken file", n_lines + 1);
    }
    if (most != n_lines - 1) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%" PRId64 " lines, but the largest rank is %" PRId64 "; each rank has one line",
            n_lines, most);
    }
    *n_ranks = (int32_t)n_lines;
    return TRI_OK;
}

/* ---- special tokens ---- */

typedef struct special {
    int32_t id;
    tri_str text;
    bool control, lstrip, rstrip, single_word, normalized;
} special;

typedef struct specials { /* all that the model may have, the configured ones first */
    special *items;
    int32_t n, cap;
    tri_map ids, texts;
    tri_arena *scratch;
} specials;

/* What was said first stands: the configuration before the kind's list. */
static tri_status add(specials *s, special item, tri_error *err) {
    int64_t other;
    tri_str id = {(const char *)&item.id, sizeof item.id};
    if (tri_map_get(&s->ids, id, &other) || tri_map_get(&s->texts, item.text, &other))
        return TRI_OK;
    if (s->n >= s->cap) return TRI_FAIL(err, TRI_E_LIMIT, "more than %d special tokens", s->cap);
    special *kept = &s->items[s->n++];
    *kept = item;
    TRI_TRY(tri_map_put(&s->ids, (tri_str){(const char *)&kept->id, sizeof kept->id}, 1, err));
    return tri_map_put(&s->texts, item.text, 1, err);
}

static int32_t find_special(const specials *s, const char *text) {
    for (int32_t i = 0; i < s->n; i++)
        if (tri_str_is(s->items[i].text, text)) return s->items[i].id;
    return -1;
}

static tri_status read_added(specials *s, tri_str config, tri_error *err) {
    const tri_json *root = NULL;
    if (!config.len) return TRI_OK;
    TRI_TRY(tri_json_parse(config, s->scratch, &root, err));
    const tri_json *added = tri_json_get(root, "added_tokens_decoder");
    if (!tri_json_is(added, TRI_JSON_OBJECT)) return TRI_OK;
    for (int32_t i = 0; i < added->n; i++) {
        int64_t id = -1;
        const tri_json *item = &added->items[i], *content = tri_json_get(item, "content");
        special token = {.control = true};
        if (!tri_str_to_i64(added->keys[i], &id) || id < 0 || id >= MAX_RANKS + MAX_SPECIALS ||
            !tri_json_is(content, TRI_JSON_STRING)) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "added_tokens_decoder: '%s' is no id, or its token has no content",
                added->keys[i].ptr);
        }
        token.id = (int32_t)id;
        token.text = content->text;
        TRI_TRY(tri_json_read_bool(item, "special", &token.control, err));
        TRI_TRY(tri_json_read_bool(item, "lstrip", &token.lstrip, err));
        TRI_TRY(tri_json_read_bool(item, "rstrip", &token.rstrip, err));
        TRI_TRY(tri_json_read_bool(item, "single_word", &token.single_word, err));
        TRI_TRY(tri_json_read_bool(item, "normalized", &token.normalized, err));
        TRI_TRY(add(s, token, err));
    }
    return TRI_OK;
}

static tri_status add_runs(specials *s, const special_run *run, int32_t n_ranks, tri_error *err) {
    for (int32_t id = n_ranks; run->text; run++) {
        if (run->id >= 0) id = run->id;
        for (int32_t i = 0; i < run->n; i++, id++) {
            const char *number = strstr(run->text, "%d");
            const char *text = run->text;
            if (number) {
                text = tri_arena_printf(s->scratch, "%.*s%d%s", (int)(number - run->text),
                    run->text, run->from + i, number + 2);
            }
            if (!text) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a special token");
            TRI_TRY(add(s, (special){.id = id, .text = tri_str_of(text), .control = true}, err));
        }
    }
    return TRI_OK;
}

/* ---- */

static tri_status fill(tri_ranks *ranks, tri_str file, const specials *s, tri_error *err) {
    line l;
    while (next_line(&file, &l))
        TRI_TRY(tri_ranks_set(ranks, (int32_t)l.rank, l.base64, err));
    for (int32_t i = 0; i < s->n; i++) {
        const special *item = &s->items[i];
        tri_tokenizer *t = ranks->t;
        int32_t before = t->n_added;
        TRI_TRY(tri_ranks_add_special(ranks, item->id, item->text, err));
        if (t->n_added == before) continue;
        tri_added_token *token = &t->added[before];
        token->special = item->control;
        token->lstrip = item->lstrip;
        token->rstrip = item->rstrip;
        token->single_word = item->single_word;
        token->normalized = item->normalized;
    }
    return TRI_OK;
}

static tri_status load(tri_tokenizer *t, tri_str file, const char *model_type, tri_str config,
    specials *s, tri_error *err) {
    const struct kind *kind = NULL;
    tri_ranks ranks;
    int32_t n_ranks, n_ids, n_prefix = 0, prefix[MAX_PREFIX];
    TRI_TRY(count_ranks(file, &n_ranks, err));
    TRI_TRY(find_kind(model_type, n_ranks, &kind, err));
    s->cap = MAX_SPECIALS;
    s->items = TRI_NEW_N(s->scratch, special, s->cap);
    if (!s->items) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for special tokens");
    tri_status rc = read_added(s, config, err);
    if (rc) {
        tri_error_context(err, "tokenizer_config.json");
        return rc;
    }
    TRI_TRY(add_runs(s, kind->specials, n_ranks, err));
    n_ids = n_ranks;
    for (int32_t i = 0; i < s->n; i++) {
        if (s->items[i].id >= n_ids) n_ids = s->items[i].id + 1;
    }
    for (int32_t i = 0; i < MAX_PREFIX && kind->prefix[i]; i++) {
        int32_t id = find_special(s, kind->prefix[i]);
        if (id >= 0) prefix[n_prefix++] = id;
    }
    if (n_ids - n_ranks > MAX_SPECIALS) {
        return TRI_FAIL(
            err, TRI_E_LIMIT, "a special token has id %d; there are %d ranks", n_ids - 1, n_ranks);
    }
    if (kind->nfc) t->normalizers[t->n_normalizers++].kind = TRI_NORM_NFC;
    TRI_TRY(tri_ranks_init(&ranks, t, n_ids, 0, n_ranks, err));
    TRI_TRY(fill(&ranks, file, s, err));
    return tri_ranks_finish(&ranks, tri_str_of(kind->expression), prefix, n_prefix, err);
}

tri_status tri_load_tiktoken(tri_tokenizer *t, tri_str file, const char *model_type,
    tri_str tokenizer_config, tri_error *err) {
    tri_arena scratch;
    tri_arena_init(&scratch, 0);
    specials s = {.scratch = &scratch};
    tri_status rc = load(t, file, model_type, tokenizer_config, &s, err);
    tri_map_deinit(&s.ids);
    tri_map_deinit(&s.texts);
    tri_arena_deinit(&scratch);
    return rc;
}
