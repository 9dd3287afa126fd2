/* regex_fuzz.c - the first line a pattern, the rest a text: compiling and scanning hold their
 * promises, and where PCRE2 means the same by the pattern it finds the same matches. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "text/regex.h"
#include "text/regex_parse.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

enum { MAX_PATTERN = 200, MAX_TEXT = 4096, MAX_COMPARED = 200 };

/* Engines differ in where they stop repeating what matched nothing, and in whether an earlier
 * choice inside a look-around counts: neither is compared. */
static bool repeats_nothing(const tri_node *n) {
    for (; n->kind == TRI_NODE_CAT || n->kind == TRI_NODE_ALT; n = n->b)
        if (repeats_nothing(n->a)) return true;
    return n->kind == TRI_NODE_REPEAT && (n->a->nullable || repeats_nothing(n->a));
}

/* Letters, digits and operators that mean the same everywhere; \d \s and \p of old characters. */
static bool common(tri_str pattern) {
    bool in_class = false;
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.ptr[i], next = i + 1 < pattern.len ? pattern.ptr[i + 1] : '\0';
        if (c == '\\') {
            if (!next || !strchr("dDsS.*+?()[]{}|^$\\nrt", next)) return false;
            i++;
            continue;
        }
        if (!strchr("abcst 019.*+?()[]{},|^$-:=!<>\n", c) || !c) return false;
        if (c == '[' && in_class) return false;
        if (c == '[' && (next == ']' || next == '^')) {
            if (next == ']' || (i + 2 < pattern.len && pattern.ptr[i + 2] == ']')) return false;
            i++;
        }
        if (c == '[') in_class = true;
        if (c == ']') in_class = false;
        if (c == '-' && !in_class) continue;
        if (c == '-' && (i == 0 || i + 2 >= pattern.len)) return false;
        if (c == '-' && (strchr("\\[", next) || pattern.ptr[i - 1] == '[')) return false;
        if (c == '-' && i >= 2 && (pattern.ptr[i - 2] == '\\' || pattern.ptr[i - 2] == '-'))
            return false;
        /* PCRE2 reads verbs, options and names here. */
        if (c == '(' && (next == '*' || (next == '?' && i + 2 < pattern.len &&
                                            !strchr(":=!><", pattern.ptr[i + 2]))))
            return false;
        if (c == '(' && next == '?' && i + 3 < pattern.len && pattern.ptr[i + 2] == '<' &&
            !strchr("=!", pattern.ptr[i + 3]))
            return false;
    }
    return true;
}

static bool simple(tri_str pattern) {
    tri_arena arena;
    tri_arena_init(&arena, 8 << 20);
    tri_ast *ast = TRI_NEW(&arena, tri_ast);
    require(ast != NULL);
    ast->arena = &arena;
    bool ok =
        tri_regex_parse(ast, pattern, TRI_REGEX_PERL) == TRI_OK && !repeats_nothing(ast->root);
    for (int32_t i = 0; ok && i < ast->n_looks; i++)
        ok = !repeats_nothing(ast->looks[i].node);
    tri_arena_deinit(&arena);
    return ok;
}

static void compare(tri_regex_scan *scan, tri_str pattern, tri_str text) {
    int code;
    size_t offset;
    pcre2_code *pcre = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
        PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code, &offset,
        NULL);
    if (!pcre) return;
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(pcre, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    require(match && context);
    pcre2_set_match_limit(context, 20000);
    size_t at = 0, begin = 0, end = 0, from = 0, last_end = SIZE_MAX;
    for (;;) {
        int rc = pcre2_match(pcre, (PCRE2_SPTR)text.ptr, text.len, from, 0, match, context);
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) break;
        const size_t *span = pcre2_get_ovector_pointer(match);
        if (rc > 0 && span[1] < span[0]) break;
        if (rc > 0 && span[0] == span[1] && span[0] == last_end) {
            if (last_end == text.len) rc = PCRE2_ERROR_NOMATCH;
            from = last_end +
                   (last_end < text.len ? tri_utf8_length((unsigned char)text.ptr[last_end]) : 0);
            if (rc > 0) {
                last_end = SIZE_MAX;
                continue;
            }
        }
        bool found = tri_regex_scan_next(scan, &at, &begin, &end);
        require(found == (rc > 0));
        if (!found) break;
        require(begin == span[0] && end == span[1]);
        from = last_end = end;
    }
    pcre2_match_context_free(context);
    pcre2_match_data_free(match);
    pcre2_code_free(pcre);
}

static void scan_all(tri_regex_scan *scan, tri_str text) {
    size_t at = 0, begin, end, last = 0;
    while (tri_regex_scan_next(scan, &at, &begin, &end)) {
        require(begin >= last && end >= begin && end <= text.len && at > begin);
        require(begin == text.len || ((unsigned char)text.ptr[begin] & 0xC0) != 0x80);
        require(end == text.len || ((unsigned char)text.ptr[end] & 0xC0) != 0x80);
        last = end;
    }
}

static void run(tri_str pattern, tri_str text, tri_regex_syntax syntax) {
    tri_regex *regex = NULL;
    tri_regex_scan *scan = NULL;
    tri_error err = {0};
    tri_status rc = tri_regex_compile_as(&regex, pattern, syntax, &err);
    require(rc == TRI_OK || (regex == NULL && err.status == rc && err.message[0]));
    if (rc) return;
    require(tri_regex_scan_create(&scan, regex, NULL) == TRI_OK);
    require(tri_regex_scan_begin(scan, text, NULL) == TRI_OK);
    scan_all(scan, text);
    if (syntax == TRI_REGEX_PERL && text.len <= MAX_COMPARED && common(pattern) &&
        simple(pattern)) {
        require(tri_regex_scan_begin(scan, text, NULL) == TRI_OK);
        compare(scan, pattern, text);
    }
    tri_regex_scan_free(scan);
    tri_regex_free(regex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *bytes = (const char *)data;
    const char *line = size ? memchr(bytes, '\n', size) : NULL;
    size_t n = line ? (size_t)(line - bytes) : size;
    if (n > MAX_PATTERN || size - n > MAX_TEXT) return 0;
    tri_buf text = {0};
    tri_buf_puts(&text, "");
    if (line) tri_utf8_sanitize(&text, (tri_str){line + 1, size - n - 1});
    require(!text.failed);
    /* Copies of exactly their size, so that reading past them is seen. */
    char *p = malloc(n ? n : 1), *t = malloc(text.len ? text.len : 1);
    require(p && t);
    if (n) memcpy(p, bytes, n);
    if (text.len) memcpy(t, text.ptr, text.len);
    run((tri_str){p, n}, (tri_str){t, text.len}, TRI_REGEX_PERL);
    run((tri_str){p, n}, (tri_str){t, text.len}, TRI_REGEX_RUBY);
    free(p);
    free(t);
    tri_buf_deinit(&text);
    return 0;
}
