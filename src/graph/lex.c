#include "graph/lex.h"

#include <string.h>

void tri_lex_skip_blanks(tri_lexer *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

bool tri_lex_at(tri_lexer *p, char c) {
    tri_lex_skip_blanks(p);
    return p->at < p->end && *p->at == c;
}

bool tri_lex_take(tri_lexer *p, char c) {
    if (!tri_lex_at(p, c)) return false;
    p->at++;
    return true;
}

/* What stands at the cursor, for messages. */
static tri_str here(tri_lexer *p) {
    tri_lex_skip_blanks(p);
    const char *from = p->at, *to = from;
    while (to < p->end && *to >= 0x20 && *to < 0x7f && to - from < 24)
        to++;
    if (to > from) return (tri_str){from, (size_t)(to - from)};
    return to == p->end || *to == '\n' ? TRI_STR("the end of the line")
                                       : TRI_STR("a byte not ASCII");
}

tri_status tri_lex_expected(tri_lexer *p, const char *what, tri_error *err) {
    tri_str found = here(p);
    return TRI_FAIL(err, TRI_E_FORMAT, "%s is due, not '%.*s'", what, (int)found.len, found.ptr);
}

tri_status tri_lex_expect(tri_lexer *p, char c, tri_error *err) {
    char what[4] = {'\'', c, '\'', '\0'};
    return tri_lex_take(p, c) ? TRI_OK : tri_lex_expected(p, what, err);
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

tri_str tri_lex_word(tri_lexer *p, const char *more) {
    tri_lex_skip_blanks(p);
    tri_str word = {p->at, 0};
    while (p->at < p->end && *p->at != '\0' && (is_word(*p->at) || strchr(more, *p->at)))
        p->at++;
    word.len = (size_t)(p->at - word.ptr);
    return word;
}

bool tri_lex_name(tri_lexer *p, const char *more, char *out, size_t room) {
    tri_str word = tri_lex_word(p, more);
    if (word.len == 0 || word.len >= room) return false;
    memcpy(out, word.ptr, word.len);
    out[word.len] = '\0';
    return true;
}

static tri_status not_a(tri_lexer *p, const char *what, const char *kind, tri_error *err) {
    tri_status rc = tri_lex_expected(p, kind, err);
    tri_error_context(err, "%s", what);
    return rc;
}

tri_status tri_lex_integer(
    tri_lexer *p, int64_t min, int64_t max, const char *what, int64_t *value, tri_error *err) {
    int64_t v;
    const char *start = (tri_lex_skip_blanks(p), p->at);
    if (!tri_str_to_i64(tri_lex_word(p, "+-."), &v)) {
        p->at = start;
        return not_a(p, what, "an integer", err);
    }
    if (v < min || v > max)
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is %" PRId64 ", it must be %" PRId64 " to %" PRId64,
            what, v, min, max);
    *value = v;
    return TRI_OK;
}

tri_status tri_lex_number(tri_lexer *p, const char *what, double *value, tri_error *err) {
    const char *start = (tri_lex_skip_blanks(p), p->at);
    if (tri_str_to_f64(tri_lex_word(p, "+-."), value)) return TRI_OK;
    p->at = start;
    return not_a(p, what, "a finite number", err);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What follows a backslash. */
static bool take_escape(tri_lexer *p, char *c) {
    size_t left = (size_t)(p->end - p->at);
    if (left >= 1 && (*p->at == '"' || *p->at == '\\')) {
        *c = *p->at++;
        return true;
    }
    if (left < 3 || *p->at != 'x' || hex_digit(p->at[1]) < 0 || hex_digit(p->at[2]) < 0)
        return false;
    *c = (char)(hex_digit(p->at[1]) * 16 + hex_digit(p->at[2]));
    p->at += 3;
    return *c != '\0';
}

tri_status tri_lex_string(tri_lexer *p, char *out, size_t room, tri_error *err) {
    size_t n = 0;
    if (!tri_lex_take(p, '"')) return tri_lex_expected(p, "a quoted string", err);
    while (p->at < p->end && *p->at != '"') {
        char c = *p->at++;
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return TRI_FAIL(err, TRI_E_FORMAT, "a string holds byte 0x%02x: write it as \\x%02x",
                (unsigned)c, (unsigned)c);
        if (c == '\\' && !take_escape(p, &c))
            return TRI_FAIL(
                err, TRI_E_FORMAT, "a string's escapes are \\\", \\\\ and \\x01 to \\xff");
        if (n + 1 == room)
            return TRI_FAIL(err, TRI_E_LIMIT, "a string has more than %zu bytes", room - 1);
        out[n++] = c;
    }
    if (!tri_lex_take(p, '"')) return TRI_FAIL(err, TRI_E_FORMAT, "a string does not end");
    out[n] = '\0';
    return TRI_OK;
}
