/* regex_parse.h - the text of a pattern into a tree. */
#ifndef TRI_TEXT_REGEX_PARSE_H
#define TRI_TEXT_REGEX_PARSE_H

#include "text/regex.h"
#include "text/regex_ast.h"

/* ast: zeroed but for its arena and err. */
tri_status tri_regex_parse(tri_ast *ast, tri_str pattern, tri_regex_syntax syntax);

/* Inside regex_parse*.c. */
typedef struct tri_regex_parser {
    tri_ast *ast;
    tri_str text;
    size_t at;
    tri_regex_syntax syntax;
    int32_t depth;
    struct {
        bool ignore_case, dot_all, multiline, extended;
    } flags;
    tri_fold_table folds;
} tri_regex_parser;

/* Sets the error with its place in the pattern; always false. */
bool tri_regex_parse_fail(
    tri_regex_parser *p, tri_status status, size_t at, const char *format, ...) TRI_PRINTF(4, 5);
/* At the '[': the class up to its ']'. */
bool tri_regex_parse_class(tri_regex_parser *p, tri_code_set *out);
/* At a backslash: a single code point (*is_set false) or a set of them; *known false and nothing
 * consumed: neither of these. */
bool tri_regex_parse_escape(
    tri_regex_parser *p, uint32_t *code, tri_code_set *set, bool *is_set, bool *known);

#endif
