#include "text/regex_parse.h"

#include <stdio.h>
#include <string.h>

#include "text/unicode.h"

bool tri_regex_parse_fail(
    tri_regex_parser *p, tri_status status, size_t at, const char *format, ...) {
    if (p->ast->status) return false;
    p->ast->status = status;
    if (!p->ast->err) return false;
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tri_fail(p->ast->err, status, "at byte %zu: %s", at, message);
    return false;
}

static bool more(const tri_regex_parser *p) {
    return p->at < p->text.len;
}

static bool looking_at(const tri_regex_parser *p, const char *text) {
    return tri_str_starts((tri_str){p->text.ptr + p->at, p->text.len - p->at}, text);
}

static bool skip(tri_regex_parser *p, const char *text) {
    if (!looking_at(p, text)) return false;
    p->at += strlen(text);
    return true;
}

static tri_node *fail(tri_regex_parser *p, tri_status status, size_t at, const char *what) {
    tri_regex_parse_fail(p, status, at, "%s", what);
    return NULL;
}

static tri_node *of_code(tri_regex_parser *p, uint32_t code) {
    tri_code_set set = {0};
    tri_code_set_add(&set, code, code, p->ast->arena);
    if (p->flags.ignore_case) tri_code_set_fold(&set, &p->folds, p->ast->arena);
    return tri_node_set(p->ast, &set);
}

static tri_node *of_range(tri_regex_parser *p, uint32_t first, uint32_t last) {
    tri_code_set set = {0};
    tri_code_set_add(&set, first, last, p->ast->arena);
    return tri_node_set(p->ast, &set);
}

static tri_node *any_but_newline(tri_regex_parser *p) {
    tri_code_set set = {0};
    tri_code_set_add(&set, 0, '\n' - 1, p->ast->arena);
    tri_code_set_add(&set, '\n' + 1, TRI_CODE_MAX, p->ast->arena);
    return tri_node_set(p->ast, &set);
}

static tri_node *text_edge(tri_regex_parser *p, tri_node_kind direction) {
    return tri_node_assert(p->ast, direction, &(tri_code_set){0}, true);
}

static tri_node *line_edge(tri_regex_parser *p, tri_node_kind direction) {
    tri_code_set newline = {0};
    tri_code_set_add(&newline, '\n', '\n', p->ast->arena);
    if (direction == TRI_NODE_NEXT) return tri_node_assert(p->ast, direction, &newline, true);
    /* A newline that ends the text starts no line. */
    tri_code_set any = {0};
    tri_code_set_add(&any, 0, TRI_CODE_MAX, p->ast->arena);
    return tri_node_alt(p->ast, text_edge(p, direction),
        tri_node_cat(p->ast, tri_node_assert(p->ast, direction, &newline, false),
            tri_node_assert(p->ast, TRI_NODE_NEXT, &any, false)));
}

/* ---- escapes outside classes ---- */

static tri_node *parse_newline(tri_regex_parser *p) { /* \R: (?>\r\n|[\n-\r\x85\u2028\u2029]) */
    tri_code_set set = {0};
    tri_code_set_add(&set, '\n', '\r', p->ast->arena);
    tri_code_set_add(&set, 0x85, 0x85, p->ast->arena);
    tri_code_set_add(&set, 0x2028, 0x2029, p->ast->arena);
    tri_node *both = tri_node_cat(p->ast, of_range(p, '\r', '\r'), of_range(p, '\n', '\n'));
    return tri_node_atomic(p->ast, tri_node_alt(p->ast, both, tri_node_set(p->ast, &set)));
}

/* \w, \b outside a class.  Oniguruma reads them below U+0100 from a Latin-1 table in which the
 * superscript digits and fractions are of words; within [...] and [[:word:]] it does not.  Unicode
 * (UTS 18, annex C) has the joiners, which Oniguruma has not. */
static tri_code_set word_set(tri_regex_parser *p) {
    static const tri_code_range perl[] = {{0x200C, 0x200D}};
    static const tri_code_range ruby[] = {{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}};
    bool is_ruby = p->syntax == TRI_REGEX_RUBY;
    tri_code_set set = {0};
    tri_class_escape(&set, 'w', p->ast->arena);
    for (int32_t i = 0; i < (is_ruby ? 3 : 1); i++) {
        tri_code_range r = is_ruby ? ruby[i] : perl[i];
        tri_code_set_add(&set, r.first, r.last, p->ast->arena);
    }
    tri_code_set_normalize(&set);
    return set;
}

static tri_node *parse_escape(tri_regex_parser *p) {
    size_t start = p->at;
    uint32_t code = 0;
    tri_code_set set = {0};
    bool is_set, known;
    if (skip(p, "\\w") || skip(p, "\\W")) {
        set = word_set(p);
        if (p->text.ptr[start + 1] == 'W') tri_code_set_negate(&set, p->ast->arena);
        return tri_node_set(p->ast, &set);
    }
    if (!tri_regex_parse_escape(p, &code, &set, &is_set, &known)) return NULL;
    if (known && is_set) {
        tri_code_set_normalize(&set);
        return tri_node_set(p->ast, &set);
    }
    if (known) return of_code(p, code);

    char c = p->text.ptr[p->at + 1];
    p->at += 2;
    switch (c) {
    case 'A':
        return text_edge(p, TRI_NODE_PREV);
    case 'z':
        return text_edge(p, TRI_NODE_NEXT);
    case 'Z':
        return tri_node_look(p->ast,
            tri_node_cat(p->ast, tri_node_repeat(p->ast, of_range(p, '\n', '\n'), 0, 1, false),
                text_edge(p, TRI_NODE_NEXT)),
            false, false);
    case 'b':
    case 'B':
        set = word_set(p);
        return tri_node_word_boundary(p->ast, &set, c == 'B');
    case 'R':
        return parse_newline(p);
    case 'N':
        return any_but_newline(p);
    case 'O':
        return of_range(p, 0, TRI_CODE_MAX);
    default:
        if (c == 'k' || c == 'g' || (c >= '1' && c <= '9'))
            return fail(p, TRI_E_UNSUPPORTED, start, "back-references and calls");
        tri_regex_parse_fail(p, TRI_E_UNSUPPORTED, start, "\\%c", c);
        return NULL;
    }
}

/* ---- groups ---- */

static tri_node *parse_alternatives(tri_regex_parser *p);

static tri_node *close_group(tri_regex_parser *p, size_t start, tri_node *body) {
    if (!body) return NULL;
    if (!skip(p, ")")) return fail(p, TRI_E_FORMAT, start, "( without its )");
    p->ast->at = start;
    return body;
}

/* Letters of (?i-m:...); leaves p->at behind the last of them. */
static bool parse_flags(tri_regex_parser *p) {
    bool on = true;
    for (; more(p); p->at++) {
        switch (p->text.ptr[p->at]) {
        case '-':
            on = false;
            break;
        case 'i':
            p->flags.ignore_case = on;
            break;
        case 'x':
            p->flags.extended = on;
            break;
        case 'u':
            break;
        case 'm':
            if (p->syntax == TRI_REGEX_RUBY) {
                p->flags.dot_all = on;
            } else {
                p->flags.multiline = on;
            }
            break;
        case 's':
            if (p->syntax == TRI_REGEX_RUBY)
                return tri_regex_parse_fail(p, TRI_E_FORMAT, p->at, "(?s) is not Ruby's");
            p->flags.dot_all = on;
            break;
        case ':':
        case ')':
            return true;
        default:
            return tri_regex_parse_fail(p, TRI_E_UNSUPPORTED, p->at, "a group that starts (?%c",
                p->text.ptr[p->at] & 0x80 ? '?' : p->text.ptr[p->at]);
        }
    }
    return tri_regex_parse_fail(p, TRI_E_FORMAT, p->at, "(? without its )");
}

static bool skip_name(tri_regex_parser *p) {
    bool quoted = looking_at(p, "'");
    if (!skip(p, "P<") && !skip(p, "<") && !skip(p, "'")) return false;
    const char *from = p->text.ptr + p->at;
    const char *to = memchr(from, quoted ? '\'' : '>', p->text.len - p->at);
    if (!to || to == from) return false;
    p->at += (size_t)(to - from) + 1;
    return true;
}

static tri_node *parse_group(tri_regex_parser *p) {
    size_t start = p->at++;
    if (!skip(p, "?")) return close_group(p, start, parse_alternatives(p));
    if (skip(p, ":")) return close_group(p, start, parse_alternatives(p));
    if (skip(p, ">")) return tri_node_atomic(p->ast, close_group(p, start, parse_alternatives(p)));
    static const struct {
        const char *start;
        bool behind, negated;
    } looks[] = {{"=", false, false}, {"!", false, true}, {"<=", true, false}, {"<!", true, true}};
    for (size_t i = 0; i < 4; i++)
        if (skip(p, looks[i].start))
            return tri_node_look(p->ast, close_group(p, start, parse_alternatives(p)),
                looks[i].behind, looks[i].negated);
    if (skip_name(p)) return close_group(p, start, parse_alternatives(p));
    if (skip(p, "#")) {
        const char *end = memchr(p->text.ptr + p->at, ')', p->text.len - p->at);
        if (!end) return fail(p, TRI_E_FORMAT, start, "(?# without its )");
        p->at = (size_t)(end - p->text.ptr) + 1;
        return tri_node_empty(p->ast);
    }

    tri_regex_parser outer = *p;
    if (!parse_flags(p)) return NULL;
    if (skip(p, ":")) {
        tri_node *n = close_group(p, start, parse_alternatives(p));
        p->flags = outer.flags;
        return n;
    }
    p->at++; /* the rest of the group, or in Ruby's reading, of its alternatives as well */
    if (p->syntax == TRI_REGEX_RUBY) return parse_alternatives(p);
    return tri_node_empty(p->ast);
}

/* ---- repeats ---- */

/* {n}, {n,}, {n,m}, {,m}: false where it is none of these and so a literal. */
static bool parse_counts(tri_regex_parser *p, int32_t *min, int32_t *max) {
    size_t i = p->at + 1;
    int64_t counts[2] = {0, -1};
    bool digits[2] = {false, false}, comma = false;
    for (int k = 0; k < 2; k++) {
        int64_t value = 0;
        for (; i < p->text.len && p->text.ptr[i] >= '0' && p->text.ptr[i] <= '9'; i++) {
            if (value < 1000000) value = value * 10 + (p->text.ptr[i] - '0');
            digits[k] = true;
        }
        if (digits[k]) counts[k] = value;
        if (k == 0 && i < p->text.len && p->text.ptr[i] == ',') {
            comma = true;
            i++;
        } else {
            break;
        }
    }
    if (i >= p->text.len || p->text.ptr[i] != '}') return false;
    if (!digits[0] && !(p->syntax == TRI_REGEX_RUBY && digits[1])) return false;
    if (!comma) counts[1] = counts[0];
    if (counts[0] > TRI_REGEX_MAX_REPEAT || counts[1] > TRI_REGEX_MAX_REPEAT) {
        tri_regex_parse_fail(
            p, TRI_E_LIMIT, p->at, "a repeat of more than %d", (int)TRI_REGEX_MAX_REPEAT);
    } else if (counts[1] >= 0 && counts[0] > counts[1]) {
        tri_regex_parse_fail(
            p, TRI_E_FORMAT, p->at, "{%d,%d} repeats nothing", (int)counts[0], (int)counts[1]);
    }
    *min = (int32_t)counts[0];
    *max = (int32_t)counts[1];
    p->at = i + 1;
    return true;
}

static void skip_ignored(tri_regex_parser *p) {
    while (p->flags.extended && more(p)) {
        char c = p->text.ptr[p->at];
        if (c == '#') {
            while (more(p) && p->text.ptr[p->at] != '\n')
                p->at++;
        } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
            p->at++;
        } else {
            break;
        }
    }
}

static tri_node *parse_repeats(tri_regex_parser *p, tri_node *n) {
    while (n && !p->ast->status) {
        skip_ignored(p);
        if (!more(p)) break;
        size_t start = p->at;
        int32_t min = 0, max = -1;
        bool counted = false;
        if (skip(p, "+")) {
            min = 1;
        } else if (skip(p, "?")) {
            max = 1;
        } else if (!skip(p, "*")) {
            if (p->text.ptr[p->at] != '{' || !parse_counts(p, &min, &max)) break;
            counted = true;
        }
        p->ast->at = start;
        bool ruby_counted = counted && p->syntax == TRI_REGEX_RUBY;
        if (skip(p, "?")) {
            /* Ruby reads a{2}? as (?:a{2})?. */
            bool optional = ruby_counted && min == max;
            n = tri_node_repeat(p->ast, n, min, max, !optional);
            if (optional) n = tri_node_repeat(p->ast, n, 0, 1, false);
        } else if (!ruby_counted && skip(p, "+")) {
            n = tri_node_atomic(p->ast, tri_node_repeat(p->ast, n, min, max, false));
        } else {
            n = tri_node_repeat(p->ast, n, min, max, false);
        }
    }
    return p->ast->status ? NULL : n;
}

/* ---- sequences and alternatives ---- */

static tri_node *parse_atom(tri_regex_parser *p) {
    size_t start = p->at;
    p->ast->at = start;
    switch (p->text.ptr[p->at]) {
    case '(':
        return parse_group(p);
    case '\\':
        return parse_escape(p);
    case '[': {
        tri_code_set set = {0};
        return tri_regex_parse_class(p, &set) ? tri_node_set(p->ast, &set) : NULL;
    }
    case '.':
        p->at++;
        return p->flags.dot_all ? of_range(p, 0, TRI_CODE_MAX) : any_but_newline(p);
    case '^':
        p->at++;
        return p->flags.multiline || p->syntax == TRI_REGEX_RUBY ? line_edge(p, TRI_NODE_PREV)
                                                                 : text_edge(p, TRI_NODE_PREV);
    case '$':
        p->at++;
        return p->flags.multiline || p->syntax == TRI_REGEX_RUBY ? line_edge(p, TRI_NODE_NEXT)
                                                                 : text_edge(p, TRI_NODE_NEXT);
    case '*':
    case '+':
    case '?':
        return fail(p, TRI_E_FORMAT, start, "a repeat of nothing");
    default: {
        uint32_t code;
        p->at += tri_utf8_decode_valid(p->text.ptr + p->at, &code);
        return of_code(p, code);
    }
    }
}

typedef struct node_list {
    tri_node **items;
    int32_t n, cap;
} node_list;

static bool push(tri_regex_parser *p, node_list *list, tri_node *n) {
    if (!n) return false;
    if (list->n == list->cap) {
        int32_t cap = list->cap ? 2 * list->cap : 8;
        tri_node **grown = TRI_NEW_N(p->ast->arena, tri_node *, cap);
        if (!grown) return tri_regex_parse_fail(p, TRI_E_LIMIT, p->at, "too much memory");
        if (list->n) memcpy(grown, list->items, (size_t)list->n * sizeof *grown);
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->n++] = n;
    return true;
}

static tri_node *parse_sequence(tri_regex_parser *p) {
    node_list list = {0};
    for (;;) {
        skip_ignored(p);
        if (!more(p) || p->text.ptr[p->at] == '|' || p->text.ptr[p->at] == ')') break;
        if (!push(p, &list, parse_repeats(p, parse_atom(p)))) return NULL;
    }
    tri_node *n = tri_node_empty(p->ast);
    while (list.n > 0)
        n = tri_node_cat(p->ast, list.items[--list.n], n);
    return n;
}

/* Flags set inside do not reach what follows the group. */
static tri_node *parse_alternatives(tri_regex_parser *p) {
    if (++p->depth > TRI_REGEX_MAX_DEPTH) {
        tri_regex_parse_fail(
            p, TRI_E_LIMIT, p->at, "nested more than %d deep", (int)TRI_REGEX_MAX_DEPTH);
        return NULL;
    }
    tri_regex_parser outer = *p;
    node_list list = {0}; /* all but the last */
    tri_node *n = parse_sequence(p);
    while (n && skip(p, "|")) {
        if (!push(p, &list, n)) return NULL;
        n = parse_sequence(p);
    }
    while (n && list.n > 0)
        n = tri_node_alt(p->ast, list.items[--list.n], n);
    p->flags = outer.flags;
    p->depth--;
    return n;
}

tri_status tri_regex_parse(tri_ast *ast, tri_str pattern, tri_regex_syntax syntax) {
    if (pattern.len > TRI_REGEX_MAX_PATTERN_BYTES)
        return TRI_FAIL(ast->err, TRI_E_LIMIT, "%zu bytes, the limit is %d", pattern.len,
            (int)TRI_REGEX_MAX_PATTERN_BYTES);
    size_t valid = tri_utf8_valid_prefix(pattern);
    if (valid < pattern.len)
        return TRI_FAIL(ast->err, TRI_E_FORMAT, "at byte %zu: not UTF-8", valid);
    tri_regex_parser p = {.ast = ast, .text = pattern, .syntax = syntax};
    tri_node *root = parse_alternatives(&p);
    if (root && more(&p)) fail(&p, TRI_E_FORMAT, p.at, ") without its (");
    ast->root = root;
    return ast->status;
}
