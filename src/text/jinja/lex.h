/* lex.h - a template's source as tokens, with jinja2's rules for whitespace: trim_blocks,
 * lstrip_blocks, "-" and "+" beside the delimiters, raw blocks and comments. */
#ifndef TRI_TEXT_JINJA_LEX_H
#define TRI_TEXT_JINJA_LEX_H

#include "base/arena.h"
#include "base/buf.h"

typedef enum tri_jinja_token_kind {
    TRI_JINJA_T_END,
    TRI_JINJA_T_DATA,
    TRI_JINJA_T_BLOCK_BEGIN,
    TRI_JINJA_T_BLOCK_END,
    TRI_JINJA_T_VARIABLE_BEGIN,
    TRI_JINJA_T_VARIABLE_END,
    TRI_JINJA_T_NAME,
    TRI_JINJA_T_STRING, /* unescaped */
    TRI_JINJA_T_INTEGER,
    TRI_JINJA_T_FLOAT,
    TRI_JINJA_T_OPERATOR
} tri_jinja_token_kind;

enum {
    TRI_JINJA_2 = 1 << 8
}; /* operators of two characters: the second one, times TRI_JINJA_2, plus the first */
#define TRI_JINJA_OP2(a, b) ((a) + (b)*TRI_JINJA_2)

typedef struct tri_jinja_token {
    uint8_t kind;
    uint16_t op;
    uint32_t at;
    tri_str text;
} tri_jinja_token;

typedef struct tri_jinja_tokens {
    tri_jinja_token *items;
    int32_t n;
} tri_jinja_tokens;

/* Tokens borrow from source and arena.  source: newlines are \n already. */
tri_status tri_jinja_lex(
    tri_jinja_tokens *tokens, tri_str source, tri_arena *arena, tri_error *err);

/* TRI_E_FORMAT with line and column of `at` before the message. */
tri_status tri_jinja_syntax(tri_error *err, tri_str source, size_t at, const char *format, ...)
    TRI_PRINTF(4, 5);

#endif
