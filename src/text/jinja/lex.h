/* lex.h - a template's source as tokens, with jinja2's rules for whitespace: trim_blocks,
 * lstrip_blocks, "-" and "+" beside the delimiters, raw blocks and comments. */
#ifndef TRI_TEXT_JINJA_LEX_H
#define TRI_TEXT_JINJA_LEX_H

#include "base/arena.h"
#include "base/buf.h"

typedef enum jj_token_kind {
    JJ_T_END,
    JJ_T_DATA,
    JJ_T_BLOCK_BEGIN,
    JJ_T_BLOCK_END,
    JJ_T_VARIABLE_BEGIN,
    JJ_T_VARIABLE_END,
    JJ_T_NAME,
    JJ_T_STRING, /* unescaped */
    JJ_T_INTEGER,
    JJ_T_FLOAT,
    JJ_T_OPERATOR
} jj_token_kind;

enum {
    JJ_2 = 1 << 8
}; /* operators of two characters: the second one, times JJ_2, plus the first */
#define JJ_OP2(a, b) ((a) + (b)*JJ_2)

typedef struct jj_token {
    uint8_t kind;
    uint16_t op;
    uint32_t at;
    tri_str text;
} jj_token;

typedef struct jj_tokens {
    jj_token *items;
    int32_t n;
} jj_tokens;

/* Tokens borrow from source and arena.  source: newlines are \n already. */
tri_status jj_lex(jj_tokens *tokens, tri_str source, tri_arena *arena, tri_error *err);

/* TRI_E_FORMAT with line and column of `at` before the message. */
tri_status jj_syntax(tri_error *err, tri_str source, size_t at, const char *format, ...)
    TRI_PRINTF(4, 5);

#endif
