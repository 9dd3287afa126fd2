#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/split.h"

#include <pcre2.h>
#include <string.h>

const char tri_split_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const char llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                            " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const char *const *tri_split_of_gguf(const char *pre, const char **known) {
    static const char *const gpt2_list[] = {tri_split_gpt2, NULL};
    static const char *const digits_list[] = {"\\p{N}", tri_split_gpt2, NULL};
    static const char *const llama3_list[] = {llama3, NULL};
    static const char *const qwen2_list[] = {qwen2, NULL};
    static const struct {
        const char *pre;
        const char *const *patterns;
    } table[] = {{"gpt-2", gpt2_list}, {"smollm", digits_list}, {"starcoder", digits_list},
        {"refact", digits_list}, {"command-r", digits_list}, {"codeshell", digits_list},
        {"llama-bpe", llama3_list}, {"llama3", llama3_list}, {"llama-v3", llama3_list},
        {"qwen2", qwen2_list}};
    if (known) *known = "gpt-2, smollm, starcoder, refact, command-r, codeshell, llama-bpe, qwen2";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!strcmp(pre, table[i].pre)) return table[i].patterns;
    }
    return NULL;
}

tri_status tri_split_add(tri_split *split, tri_str pattern, tri_error *err) {
    int code;
    PCRE2_SIZE at;
    if (split->n == TRI_SPLIT_MAX) {
        return TRI_FAIL(err, TRI_E_LIMIT, "more than %d split patterns", TRI_SPLIT_MAX);
    }
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
        PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &at, NULL);
    if (!compiled) {
        char message[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
        return TRI_FAIL(err, TRI_E_FORMAT, "split pattern '%.*s', at %zu: %s",
            (int)(pattern.len < 200 ? pattern.len : 200), pattern.ptr, (size_t)at, message);
    }
    pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without JIT it matches all the same */
    split->patterns[split->n++] = compiled;
    return TRI_OK;
}

void tri_split_deinit(tri_split *split) {
    for (int32_t i = 0; i < split->n; i++)
        pcre2_code_free(split->patterns[i]);
    *split = (tri_split){0};
}

typedef struct run {
    const tri_split *split;
    pcre2_match_data *match[TRI_SPLIT_MAX];
    tri_split_fn fn;
    void *user;
    tri_error *err;
} run;

static tri_status cut(run *r, int32_t level, tri_str text) {
    if (text.len == 0) return TRI_OK;
    if (level == r->split->n) return r->fn(r->user, text, r->err);
    size_t done = 0;
    while (done < text.len) {
        int rc = pcre2_match(r->split->patterns[level], (PCRE2_SPTR)text.ptr, text.len, done, 0,
            r->match[level], NULL);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) {
            return TRI_FAIL(r->err, TRI_E_LIMIT,
                "a split pattern gave up on %zu bytes of text (PCRE2 error %d)", text.len, rc);
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(r->match[level]);
        if (span[1] <= span[0]) break; /* an empty match would never end */
        TRI_TRY(cut(r, level + 1, (tri_str){text.ptr + done, span[0] - done}));
        TRI_TRY(cut(r, level + 1, (tri_str){text.ptr + span[0], span[1] - span[0]}));
        done = span[1];
    }
    return cut(r, level + 1, (tri_str){text.ptr + done, text.len - done});
}

tri_status tri_split_run(
    const tri_split *split, tri_str text, tri_split_fn fn, void *user, tri_error *err) {
    run r = {.split = split, .fn = fn, .user = user, .err = err};
    tri_status rc = TRI_OK;
    for (int32_t i = 0; i < split->n && !rc; i++) {
        r.match[i] = pcre2_match_data_create(1, NULL);
        if (!r.match[i]) rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory to match a pattern");
    }
    if (!rc) rc = cut(&r, 0, text);
    for (int32_t i = 0; i < split->n; i++)
        pcre2_match_data_free(r.match[i]);
    return rc;
}
