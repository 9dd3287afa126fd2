#include "text/jinja/lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/program.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

enum { MAX_NESTING = 200 };

typedef struct lexer {
    tri_str src;
    size_t at;
    tri_arena *arena;
    tri_error *err;
    tri_jinja_token *tokens;
    int32_t n, cap;
    bool line_starting; /* the last match ended a line */
    char open[MAX_NESTING];
    int32_t n_open;
} lexer;

void tri_jinja_place(tri_str text, size_t at, int32_t *line, int32_t *column) {
    *line = *column = 1;
    for (size_t i = 0; i < at && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((uint8_t)text.ptr[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

tri_status tri_jinja_syntax(tri_error *err, tri_str source, size_t at, const char *format, ...) {
    char message[512];
    int32_t line, column;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tri_jinja_place(source, at, &line, &column);
    return TRI_FAIL(
        err, TRI_E_FORMAT, "line %" PRId32 ", column %" PRId32 ": %s", line, column, message);
}

static tri_status add(lexer *l, tri_jinja_token_kind kind, size_t at, tri_str text) {
    if (l->n == l->cap) {
        int32_t cap = l->cap ? l->cap * 2 : 256;
        tri_jinja_token *grown = TRI_NEW_N(l->arena, tri_jinja_token, cap);
        if (!grown) return TRI_FAIL(l->err, TRI_E_MEMORY, "no memory for a template");
        if (l->n) memcpy(grown, l->tokens, (size_t)l->n * sizeof *grown);
        l->tokens = grown;
        l->cap = cap;
    }
    l->tokens[l->n++] = (tri_jinja_token){.kind = (uint8_t)kind, .at = (uint32_t)at, .text = text};
    return TRI_OK;
}

static char peek(const lexer *l, size_t at) {
    return at < l->src.len ? l->src.ptr[at] : 0;
}

static bool has(const lexer *l, size_t at, const char *text) {
    size_t n = strlen(text);
    return at <= l->src.len && l->src.len - at >= n && !memcmp(l->src.ptr + at, text, n);
}

static size_t skip_space(const lexer *l, size_t at) {
    uint32_t c;
    for (size_t n; at < l->src.len; at += n) {
        n = tri_utf8_point(l->src.ptr + at, l->src.len - at, &c);
        if (!tri_jinja_is_space(c)) break;
    }
    return at;
}

/* Where a tag's end at `at` is over, 0: none is there.  plus: "+%}" is one too. */
static size_t tag_end(const lexer *l, size_t at, const char *end, bool plus, bool trim) {
    if (plus && peek(l, at) == '+' && has(l, at + 1, end)) return at + 3;
    if (peek(l, at) == '-' && has(l, at + 1, end)) return skip_space(l, at + 3);
    if (!has(l, at, end)) return 0;
    at += 2;
    return trim && peek(l, at) == '\n' ? at + 1 : at;
}

/* "{%- raw %}" at `at`: where it is over, else 0. */
static size_t raw_begin(const lexer *l, size_t at) {
    if (!has(l, at, "{%")) return 0;
    at += 2;
    if (peek(l, at) == '-' || peek(l, at) == '+') at++;
    at = skip_space(l, at);
    if (!has(l, at, "raw")) return 0;
    at = skip_space(l, at + 3);
    if (has(l, at, "%}")) return at + 2;
    return has(l, at, "-%}") ? skip_space(l, at + 3) : 0;
}

/* "{%- endraw %}" at `at`. */
static size_t raw_end(const lexer *l, size_t at) {
    if (!has(l, at, "{%")) return 0;
    at += 2;
    if (peek(l, at) == '-' || peek(l, at) == '+') at++;
    at = skip_space(l, at);
    if (!has(l, at, "endraw")) return 0;
    return tag_end(l, skip_space(l, at + 6), "%}", true, true);
}

/* The text [begin, end) before a tag with this sign. */
static tri_status add_data(lexer *l, size_t begin, size_t end, char sign, bool variable) {
    tri_str text = {l->src.ptr + begin, end - begin};
    if (sign == '-') {
        text.len = tri_jinja_rstrip(text.ptr, text.len);
    } else if (sign != '+' && !variable) {
        size_t line = text.len;
        while (line > 0 && text.ptr[line - 1] != '\n')
            line--;
        if ((line > 0 || l->line_starting) && skip_space(l, begin + line) >= end) text.len = line;
    }
    return text.len ? add(l, TRI_JINJA_T_DATA, begin, text) : TRI_OK;
}

static char sign_at(const lexer *l, size_t at) {
    char c = peek(l, at);
    return c == '-' || c == '+' ? c : 0;
}

static tri_status lex_comment(lexer *l, size_t begin) {
    for (size_t at = l->at; at < l->src.len; at++) {
        size_t end = tag_end(l, at, "#}", true, true);
        if (!end) continue;
        l->at = end;
        l->line_starting = l->src.ptr[end - 1] == '\n';
        return TRI_OK;
    }
    if (l->at >= l->src.len) return TRI_OK; /* jinja2 forgives one that is empty at the end */
    return tri_jinja_syntax(l->err, l->src, begin, "Missing end of comment tag");
}

static tri_status lex_raw(lexer *l, size_t begin) {
    for (size_t at = l->at; at < l->src.len; at++) {
        size_t end = raw_end(l, at);
        if (!end) continue;
        TRI_TRY(add_data(l, l->at, at, sign_at(l, at + 2), false));
        l->at = end;
        l->line_starting = l->src.ptr[end - 1] == '\n';
        return TRI_OK;
    }
    if (l->at >= l->src.len) return TRI_OK;
    return tri_jinja_syntax(l->err, l->src, begin, "Missing end of raw directive");
}

/* ---- inside tags ---- */

static size_t digits(const lexer *l, size_t at, const char *set) { /* d(_?d)* */
    size_t end = at;
    while (peek(l, end) && strchr(set, peek(l, end))) {
        end++;
        if (peek(l, end) == '_' && peek(l, end + 1) && strchr(set, peek(l, end + 1))) end++;
    }
    return end;
}

static size_t float_end(const lexer *l, size_t at) {
    static const char decimal[] = "0123456789";
    size_t whole = digits(l, at, decimal), end = whole;
    if (at > 0 && l->src.ptr[at - 1] == '.') return 0;
    if (whole == at) return 0;
    bool is_float = false;
    if (peek(l, end) == '.') {
        size_t fraction = digits(l, end + 1, decimal);
        if (fraction > end + 1) {
            end = fraction;
            is_float = true;
        }
    }
    if ((peek(l, end) | 32) == 'e') {
        size_t exponent = end + 1;
        if (peek(l, exponent) == '+' || peek(l, exponent) == '-') exponent++;
        size_t stop = digits(l, exponent, decimal);
        if (stop > exponent) return stop;
    }
    return is_float ? end : 0;
}

static size_t integer_end(const lexer *l, size_t at) {
    if (peek(l, at) == '0') {
        static const char *const sets[] = {"b01", "o01234567", "x0123456789abcdefABCDEF"};
        for (int i = 0; i < 3; i++) {
            if ((peek(l, at + 1) | 32) != sets[i][0]) continue;
            size_t start = at + 2 + (peek(l, at + 2) == '_');
            size_t end = digits(l, start, sets[i] + 1);
            if (end > start) return end;
        }
        return digits(l, at, "0");
    }
    return digits(l, at, "0123456789");
}

static tri_status lex_number(lexer *l) {
    size_t begin = l->at, end = float_end(l, begin);
    tri_jinja_token_kind kind = end ? TRI_JINJA_T_FLOAT : TRI_JINJA_T_INTEGER;
    if (!end) end = integer_end(l, begin);
    char *text = tri_arena_alloc_aligned(l->arena, end - begin + 1, 1);
    if (!text) return TRI_FAIL(l->err, TRI_E_MEMORY, "no memory for a template");
    size_t n = 0;
    for (size_t i = begin; i < end; i++) {
        if (l->src.ptr[i] != '_') text[n++] = l->src.ptr[i];
    }
    l->at = end;
    return add(l, kind, begin, (tri_str){text, n});
}

static tri_status lex_name(lexer *l) {
    size_t begin = l->at;
    uint32_t c;
    bool valid = true;
    while (l->at < l->src.len) {
        size_t n = tri_utf8_point(l->src.ptr + l->at, l->src.len - l->at, &c);
        if (!tri_jinja_is_word(c)) break;
        valid = valid && tri_jinja_may_be_named(c, l->at == begin);
        l->at += n;
    }
    if (!valid) return tri_jinja_syntax(l->err, l->src, begin, "Invalid character in identifier");
    return add(l, TRI_JINJA_T_NAME, begin, (tri_str){l->src.ptr + begin, l->at - begin});
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static tri_status put_escape(lexer *l, const char **at, const char *end, char **out) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *p = *at;
    const char *known = memchr(from, *p, sizeof from - 1);
    if (*p == '\n') {
        p++;
    } else if (known) {
        *(*out)++ = to[known - from];
        p++;
    } else if (*p >= '0' && *p <= '7') {
        uint32_t c = 0;
        for (int i = 0; i < 3 && p < end && *p >= '0' && *p <= '7'; i++) {
            c = c * 8 + (uint32_t)(*p++ - '0');
        }
        *out += tri_utf8_encode(c, *out);
    } else if (*p == 'x' || *p == 'u' || *p == 'U') {
        int n = *p == 'x' ? 2 : *p == 'u' ? 4 : 8, got = 0;
        uint32_t c = 0;
        for (p++; got < n && p < end && hex_value(*p) >= 0; got++) {
            c = c << 4 | (uint32_t)hex_value(*p++);
        }
        if (got < n || c > 0x10FFFF) {
            return tri_jinja_syntax(l->err, l->src, (size_t)(*at - l->src.ptr), "%s",
                got < n ? "truncated \\x, \\u or \\U escape" : "illegal Unicode character");
        }
        *out += tri_jinja_put_code(c, *out);
    } else if (*p == 'N') {
        return tri_jinja_syntax(l->err, l->src, (size_t)(*at - l->src.ptr),
            "\\N{...} escapes are not supported: write the character");
    } else {
        *(*out)++ = '\\';
        if ((uint8_t)*p >= 0x80) {
            /* jinja2 writes the character as an escape first, whose backslash this one escapes. */
            uint32_t c;
            p += tri_utf8_point(p, (size_t)(end - p), &c);
            *out += snprintf(*out, 12, c < 0x100 ? "x%02x" : c < 0x10000 ? "u%04x" : "U%08x", c);
        } else {
            *(*out)++ = *p++;
        }
    }
    *at = p;
    return TRI_OK;
}

static tri_status lex_string(lexer *l) {
    size_t begin = l->at, end = begin + 1;
    char quote = l->src.ptr[begin];
    while (end < l->src.len && l->src.ptr[end] != quote)
        end += l->src.ptr[end] == '\\' ? 2 : 1;
    if (end >= l->src.len)
        return tri_jinja_syntax(l->err, l->src, begin, "unexpected char '%c'", quote);
    const char *p = l->src.ptr + begin + 1, *stop = l->src.ptr + end;
    l->at = end + 1;
    if (!memchr(p, '\\', (size_t)(stop - p))) {
        return add(l, TRI_JINJA_T_STRING, begin, (tri_str){p, (size_t)(stop - p)});
    }
    /* An escaped character of two bytes can become ten. */
    char *text = tri_arena_alloc_aligned(l->arena, (size_t)(stop - p) * 4 + 16, 1), *out = text;
    if (!text) return TRI_FAIL(l->err, TRI_E_MEMORY, "no memory for a template");
    while (p < stop) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        p++;
        TRI_TRY(put_escape(l, &p, stop, &out));
    }
    return add(l, TRI_JINJA_T_STRING, begin, (tri_str){text, (size_t)(out - text)});
}

static tri_status balance(lexer *l, char c) {
    static const char opens[] = "{([", closes[] = "})]";
    const char *open = strchr(opens, c), *close = strchr(closes, c);
    if (open) {
        if (l->n_open == MAX_NESTING) {
            return tri_jinja_syntax(
                l->err, l->src, l->at, "more than %d nested brackets", MAX_NESTING);
        }
        l->open[l->n_open++] = closes[open - opens];
    } else if (close) {
        if (!l->n_open) return tri_jinja_syntax(l->err, l->src, l->at, "unexpected '%c'", c);
        char expected = l->open[--l->n_open];
        if (expected != c) {
            return tri_jinja_syntax(
                l->err, l->src, l->at, "unexpected '%c', expected '%c'", c, expected);
        }
    }
    return TRI_OK;
}

static tri_status lex_operator(lexer *l) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    char c = peek(l, l->at);
    uint16_t op = 0;
    size_t n = 1;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        if (has(l, l->at, two[i])) {
            op = (uint16_t)TRI_JINJA_OP2(two[i][0], two[i][1]);
            n = 2;
        }
    }
    if (!op && c && strchr("+-/*%~[](){}><=.:|,;", c)) op = (uint16_t)c;
    if (!op) {
        uint32_t point;
        size_t n_bytes = tri_utf8_point(l->src.ptr + l->at, l->src.len - l->at, &point);
        return tri_jinja_syntax(
            l->err, l->src, l->at, "unexpected char '%.*s'", (int)n_bytes, l->src.ptr + l->at);
    }
    if (n == 1) TRI_TRY(balance(l, c));
    TRI_TRY(add(l, TRI_JINJA_T_OPERATOR, l->at, (tri_str){l->src.ptr + l->at, n}));
    l->tokens[l->n - 1].op = op;
    l->at += n;
    return TRI_OK;
}

static tri_status lex_tag(lexer *l, bool variable) {
    l->n_open = 0;
    while (l->at < l->src.len) {
        size_t end =
            l->n_open ? 0 : tag_end(l, l->at, variable ? "}}" : "%}", !variable, !variable);
        if (end) {
            TRI_TRY(add(l, variable ? TRI_JINJA_T_VARIABLE_END : TRI_JINJA_T_BLOCK_END, l->at,
                (tri_str){0}));
            l->at = end;
            l->line_starting = l->src.ptr[end - 1] == '\n';
            return TRI_OK;
        }
        char c = l->src.ptr[l->at];
        uint32_t point;
        size_t n = tri_utf8_point(l->src.ptr + l->at, l->src.len - l->at, &point);
        if (tri_jinja_is_space(point))
            l->at += n;
        else if (isdigit((unsigned char)c))
            TRI_TRY(lex_number(l));
        else if (tri_jinja_is_word(point))
            TRI_TRY(lex_name(l));
        else if (c == '\'' || c == '"')
            TRI_TRY(lex_string(l));
        else
            TRI_TRY(lex_operator(l));
    }
    return TRI_OK;
}

static tri_status lex_root(lexer *l) {
    size_t begin = l->at, at = begin;
    for (;; at++) {
        const char *brace = at < l->src.len ? memchr(l->src.ptr + at, '{', l->src.len - at) : NULL;
        if (!brace) {
            tri_str rest = {l->src.ptr + begin, l->src.len - begin};
            l->at = l->src.len;
            return add(l, TRI_JINJA_T_DATA, begin, rest);
        }
        at = (size_t)(brace - l->src.ptr);
        char c = peek(l, at + 1);
        if (c == '%' || c == '{' || c == '#') break;
    }
    char kind = l->src.ptr[at + 1], sign = sign_at(l, at + 2);
    size_t raw = raw_begin(l, at);
    TRI_TRY(add_data(l, begin, at, sign, kind == '{'));
    l->at = raw ? raw : at + 2 + (sign != 0);
    l->line_starting = l->src.ptr[l->at - 1] == '\n';
    if (raw) return lex_raw(l, at);
    if (kind == '#') return lex_comment(l, at);
    TRI_TRY(add(
        l, kind == '{' ? TRI_JINJA_T_VARIABLE_BEGIN : TRI_JINJA_T_BLOCK_BEGIN, at, (tri_str){0}));
    return lex_tag(l, kind == '{');
}

tri_status tri_jinja_lex(
    tri_jinja_tokens *tokens, tri_str source, tri_arena *arena, tri_error *err) {
    lexer l = {.src = source, .arena = arena, .err = err, .line_starting = true};
    while (l.at < source.len)
        TRI_TRY(lex_root(&l));
    TRI_TRY(add(&l, TRI_JINJA_T_END, source.len, (tri_str){0}));
    *tokens = (tri_jinja_tokens){l.tokens, l.n};
    return TRI_OK;
}
