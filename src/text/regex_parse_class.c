#include <string.h>

#include "text/regex_parse.h"
#include "text/unicode.h"

static bool hex_digit(char c, uint32_t *value) {
    if (c >= '0' && c <= '9') {
        *value = (uint32_t)(c - '0');
    } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
        *value = (uint32_t)((c | 32) - 'a' + 10);
    } else {
        return false;
    }
    return true;
}

/* min to max hexadecimal digits at p->at. */
static bool parse_hex(tri_regex_parser *p, int min, int max, uint32_t *code) {
    uint32_t value = 0, digit;
    int n = 0;
    while (n < max && p->at < p->text.len && hex_digit(p->text.ptr[p->at], &digit)) {
        value = value * 16 + digit;
        p->at++;
        n++;
    }
    if (n < min)
        return tri_regex_parse_fail(p, TRI_E_FORMAT, p->at, "a hexadecimal digit is missing");
    if (value > TRI_CODE_MAX || (value >= 0xD800 && value <= 0xDFFF))
        return tri_regex_parse_fail(
            p, TRI_E_FORMAT, p->at, "U+%" PRIX32 " is not a character", value);
    *code = value;
    return true;
}

static bool parse_property(tri_regex_parser *p, tri_code_set *set) {
    size_t start = p->at;
    bool negated = p->text.ptr[p->at + 1] == 'P';
    p->at += 2;
    tri_str name;
    if (p->at < p->text.len && p->text.ptr[p->at] == '{') {
        const char *from = p->text.ptr + p->at + 1;
        const char *to = memchr(from, '}', p->text.len - p->at - 1);
        if (!to) return tri_regex_parse_fail(p, TRI_E_FORMAT, start, "\\p{ without its }");
        name = (tri_str){from, (size_t)(to - from)};
        p->at += name.len + 2;
        if (name.len && name.ptr[0] == '^') {
            negated = !negated;
            name = (tri_str){name.ptr + 1, name.len - 1};
        }
    } else if (p->at < p->text.len) {
        name = (tri_str){p->text.ptr + p->at, 1};
        p->at++;
    } else {
        return tri_regex_parse_fail(p, TRI_E_FORMAT, start, "\\p without a name");
    }
    tri_code_set found = {0};
    if (!tri_class_property(&found, name, p->ast->arena))
        return tri_regex_parse_fail(p, TRI_E_UNSUPPORTED, start,
            "unknown property \\p{%.*s} (known: general categories, scripts, Alphabetic and the "
            "like)",
            (int)(name.len < 40 ? name.len : 40), name.ptr);
    tri_code_set_normalize(&found);
    if (negated) tri_code_set_negate(&found, p->ast->arena);
    tri_code_set_add_set(set, &found, p->ast->arena);
    return true;
}

static bool parse_coded(tri_regex_parser *p, char letter, uint32_t *code) {
    size_t start = p->at;
    p->at += 2;
    if (letter == 'u') return parse_hex(p, 4, 4, code);
    if (letter == 'x' && p->at < p->text.len && p->text.ptr[p->at] == '{') {
        p->at++;
        if (!parse_hex(p, 1, 8, code)) return false;
        if (p->at >= p->text.len || p->text.ptr[p->at] != '}')
            return tri_regex_parse_fail(p, TRI_E_FORMAT, start, "\\x{ without its }");
        p->at++;
        return true;
    }
    if (letter == 'x') return parse_hex(p, 1, 2, code);
    uint32_t value = 0; /* \0, \012 */
    for (int n = 0; n < 2 && p->at < p->text.len && (p->text.ptr[p->at] & ~7) == '0'; n++)
        value = value * 8 + (uint32_t)(p->text.ptr[p->at++] - '0');
    *code = value;
    return true;
}

bool tri_regex_parse_escape(
    tri_regex_parser *p, uint32_t *code, tri_code_set *set, bool *is_set, bool *known) {
    *known = true;
    *is_set = false;
    if (p->at + 1 >= p->text.len)
        return tri_regex_parse_fail(p, TRI_E_FORMAT, p->at, "the pattern ends in a backslash");
    char c = p->text.ptr[p->at + 1];
    static const char controls[] = "a\ae\033f\fn\nr\rt\tv\v";
    for (size_t i = 0; i + 1 < sizeof controls; i += 2) {
        if (controls[i] != c) continue;
        *code = (uint32_t)controls[i + 1];
        p->at += 2;
        return true;
    }
    if (c == 'x' || c == 'u' || c == '0') return parse_coded(p, c, code);
    if (c == 'p' || c == 'P') {
        *is_set = true;
        return parse_property(p, set);
    }
    tri_code_set found = {0};
    if (tri_class_escape(&found, (char)(c | 32), p->ast->arena)) {
        /* Unicode's \w (UTS 18, annex C), which Oniguruma's lacks the joiners of. */
        if ((c | 32) == 'w' && p->syntax == TRI_REGEX_PERL)
            tri_code_set_add(&found, 0x200C, 0x200D, p->ast->arena);
        tri_code_set_normalize(&found);
        if (c < 'a') tri_code_set_negate(&found, p->ast->arena);
        tri_code_set_add_set(set, &found, p->ast->arena);
        *is_set = true;
        p->at += 2;
        return true;
    }
    if ((c >= '1' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        *known = false;
        return true;
    }
    p->at++;
    p->at += tri_utf8_decode_valid(p->text.ptr + p->at, code);
    return true;
}

/* [:alpha:] and [:^alpha:]; *is_posix false: something else starts here. */
static bool parse_posix(tri_regex_parser *p, tri_code_set *set, bool *is_posix) {
    *is_posix = false;
    const char *s = p->text.ptr + p->at;
    size_t n = p->text.len - p->at, end = 2;
    if (n < 4 || s[1] != ':') return true;
    bool negated = s[2] == '^';
    size_t first = negated ? 3 : 2;
    for (end = first; end < n && s[end] >= 'a' && s[end] <= 'z';)
        end++;
    if (end + 1 >= n || s[end] != ':' || s[end + 1] != ']') return true;
    tri_str name = {s + first, end - first};
    tri_code_set found = {0};
    if (!tri_class_posix(&found, name, p->ast->arena))
        return tri_regex_parse_fail(p, TRI_E_FORMAT, p->at, "unknown class [:%.*s:]",
            (int)(name.len < 40 ? name.len : 40), name.ptr);
    tri_code_set_normalize(&found);
    if (negated) tri_code_set_negate(&found, p->ast->arena);
    tri_code_set_add_set(set, &found, p->ast->arena);
    p->at += end + 2;
    *is_posix = true;
    return true;
}

/* One member: a code point (*is_set false) or a set, added to *set. */
static bool parse_member(tri_regex_parser *p, uint32_t *code, tri_code_set *set, bool *is_set) {
    char c = p->text.ptr[p->at];
    *is_set = true;
    if (c == '[') {
        bool is_posix;
        if (!parse_posix(p, set, &is_posix)) return false;
        if (is_posix) return true;
        tri_code_set inner = {0};
        if (!tri_regex_parse_class(p, &inner)) return false;
        tri_code_set_add_set(set, &inner, p->ast->arena);
        return true;
    }
    if (c != '\\') {
        *is_set = false;
        p->at += tri_utf8_decode_valid(p->text.ptr + p->at, code);
        return true;
    }
    size_t start = p->at;
    bool known;
    if (!tri_regex_parse_escape(p, code, set, is_set, &known)) return false;
    if (known) return true;
    if (p->text.ptr[start + 1] == 'b') {
        *code = '\b';
        p->at += 2;
        return true;
    }
    return tri_regex_parse_fail(
        p, TRI_E_UNSUPPORTED, start, "\\%c in a class", p->text.ptr[start + 1]);
}

/* Members up to && or ]. */
static bool parse_members(tri_regex_parser *p, tri_code_set *set, bool first) {
    for (;; first = false) {
        if (p->at >= p->text.len) return true;
        const char *s = p->text.ptr + p->at;
        size_t left = p->text.len - p->at;
        if (s[0] == ']' && !first) return true;
        if (left > 1 && s[0] == '&' && s[1] == '&') return true;
        uint32_t from = 0, to = 0;
        bool is_set;
        size_t start = p->at;
        if (!parse_member(p, &from, set, &is_set)) return false;
        if (is_set) continue;
        to = from;
        s = p->text.ptr + p->at;
        left = p->text.len - p->at;
        if (left > 1 && s[0] == '-' && s[1] != ']' && s[1] != '[' &&
            !(left > 2 && s[1] == '&' && s[2] == '&')) {
            p->at++;
            tri_code_set ignored = {0};
            size_t high = p->at;
            if (!parse_member(p, &to, &ignored, &is_set)) return false;
            if (is_set)
                return tri_regex_parse_fail(
                    p, TRI_E_FORMAT, high, "a range ends in a class of characters");
            if (to < from)
                return tri_regex_parse_fail(p, TRI_E_FORMAT, start,
                    "the range U+%04" PRIX32 "-U+%04" PRIX32 " is empty", from, to);
        }
        tri_code_set_add(set, from, to, p->ast->arena);
    }
}

bool tri_regex_parse_class(tri_regex_parser *p, tri_code_set *out) {
    size_t start = p->at++;
    if (++p->depth > TRI_REGEX_MAX_DEPTH)
        return tri_regex_parse_fail(
            p, TRI_E_LIMIT, start, "nested more than %d deep", (int)TRI_REGEX_MAX_DEPTH);
    bool negated = p->at < p->text.len && p->text.ptr[p->at] == '^';
    if (negated) p->at++;
    /* A ] that comes first is a member, if another one ends the class. */
    bool first = p->at + 1 < p->text.len && p->text.ptr[p->at] == ']' &&
                 memchr(p->text.ptr + p->at + 1, ']', p->text.len - p->at - 1);
    tri_code_set set = {0};
    if (!parse_members(p, &set, first)) return false;
    tri_code_set_normalize(&set);
    while (p->at < p->text.len && p->text.ptr[p->at] == '&') {
        p->at += 2;
        tri_code_set other = {0};
        if (!parse_members(p, &other, false)) return false;
        tri_code_set_normalize(&other);
        tri_code_set_intersect(&set, &other, p->ast->arena);
    }
    if (p->at >= p->text.len)
        return tri_regex_parse_fail(p, TRI_E_FORMAT, start, "[ without its ]");
    p->at++;
    p->depth--;
    if (p->flags.ignore_case) tri_code_set_fold(&set, &p->folds, p->ast->arena);
    if (negated) tri_code_set_negate(&set, p->ast->arena);
    tri_code_set_add_set(out, &set, p->ast->arena);
    tri_code_set_normalize(out);
    return true;
}
