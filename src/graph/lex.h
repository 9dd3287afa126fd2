/* lex.h - words, numbers and strings of graph text, which is hostile.
 *
 * Every take moves the cursor past what it took, and past blanks before it; lines end it. */
#ifndef TRI_GRAPH_LEX_H
#define TRI_GRAPH_LEX_H

#include "base/buf.h"

typedef struct tri_lexer {
    const char *at, *end;
} tri_lexer;

void tri_lex_skip_blanks(tri_lexer *p);
bool tri_lex_at(tri_lexer *p, char c);
bool tri_lex_take(tri_lexer *p, char c);
tri_status tri_lex_expect(tri_lexer *p, char c, tri_error *err);
/* TRI_E_FORMAT: "`what` is due, not '...'", with what stands at the cursor. */
tri_status tri_lex_expected(tri_lexer *p, const char *what, tri_error *err);

/* Letters, digits and _, and what else is in `more`; may be empty. */
tri_str tri_lex_word(tri_lexer *p, const char *more);
/* A word with its NUL in `out`; false when empty or too long. */
bool tri_lex_name(tri_lexer *p, const char *more, char *out, size_t room);
tri_status tri_lex_integer(
    tri_lexer *p, int64_t min, int64_t max, const char *what, int64_t *value, tri_error *err);
tri_status tri_lex_number(tri_lexer *p, const char *what, double *value, tri_error *err);
/* A quoted string, unescaped, with its NUL in `out`. */
tri_status tri_lex_string(tri_lexer *p, char *out, size_t room, tri_error *err);

#endif
