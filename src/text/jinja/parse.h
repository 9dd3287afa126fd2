/* parse.h - tokens to a tree, by jinja2's grammar. */
#ifndef TRI_TEXT_JINJA_PARSE_H
#define TRI_TEXT_JINJA_PARSE_H

#include "text/jinja/ast.h"
#include "text/jinja/lex.h"

tri_status tri_jinja_parse(tri_jinja_block *body, tri_str source, const tri_jinja_tokens *tokens,
    tri_arena *arena, tri_error *err);

/* ---- between the parser's files ---- */

enum { TRI_JINJA_MAX_HEIGHT = 200 }; /* Python refuses more than that many nested brackets, too */

typedef struct tri_jinja_open_tag { /* a statement that is being read, and the ones around it */
    tri_str name;
    uint32_t at;
    const char *const
        *ends; /* what its body may end with, NULL-terminated; NULL: it is not there */
    struct tri_jinja_open_tag *outer;
} tri_jinja_open_tag;

typedef struct tri_jinja_parser {
    tri_str src;
    const tri_jinja_token *at;
    tri_arena *arena;
    tri_error *err;
    int32_t depth;
    tri_jinja_open_tag *open; /* the innermost */
} tri_jinja_parser;

typedef struct tri_jinja_nodes {
    tri_jinja_node **items;
    int32_t n, cap;
} tri_jinja_nodes;

/* parse_tokens.c */
tri_status tri_jinja_nodes_add(tri_jinja_parser *p, tri_jinja_nodes *nodes, tri_jinja_node *node);
tri_status tri_jinja_node_new(
    tri_jinja_parser *p, tri_jinja_node **node, tri_jinja_node_kind kind, uint32_t at);
/* Fails when the expression got too high. */
tri_status tri_jinja_node_over(
    tri_jinja_parser *p, tri_jinja_node *node, const tri_jinja_node *below);
tri_status tri_jinja_parser_fail(tri_jinja_parser *p, uint32_t at, const char *format, ...)
    TRI_PRINTF(3, 4);
tri_status tri_jinja_parser_str(tri_jinja_parser *p, tri_jinja_str **str, tri_str text);
tri_status tri_jinja_unexpected(tri_jinja_parser *p, const char *wanted);
tri_status tri_jinja_parser_no_memory(tri_jinja_parser *p);

bool tri_jinja_at_op(const tri_jinja_parser *p, int op);
bool tri_jinja_at_name(const tri_jinja_parser *p, const char *name);
bool tri_jinja_skip_op(tri_jinja_parser *p, int op);
bool tri_jinja_skip_name(tri_jinja_parser *p, const char *name);
tri_status tri_jinja_expect_op(tri_jinja_parser *p, int op);
tri_status tri_jinja_expect_name(tri_jinja_parser *p, tri_str *name);

/* parse_primary.c; namespaces: "a.b" is the target of a set. */
tri_status tri_jinja_parse_primary(tri_jinja_parser *p, bool namespaces, tri_jinja_node **node);
tri_status tri_jinja_parse_number(tri_jinja_parser *p, tri_jinja_node **node);
typedef struct tri_jinja_tuple_rules {
    bool simple, no_cond, in_brackets, namespaces;
} tri_jinja_tuple_rules;
tri_status tri_jinja_parse_tuple(
    tri_jinja_parser *p, const tri_jinja_tuple_rules *rules, tri_jinja_node **node);

/* parse_postfix.c: *node is what they follow, then what they make of it. */
tri_status tri_jinja_parse_postfix(tri_jinja_parser *p, tri_jinja_node **node);
tri_status tri_jinja_parse_call(tri_jinja_parser *p, tri_jinja_node **node);
tri_status tri_jinja_parse_test(tri_jinja_parser *p, tri_jinja_node **node);
/* Filters after "|"; of a block: node NULL, and the first without its "|" when inside_tag. */
tri_status tri_jinja_parse_filter(
    tri_jinja_parser *p, tri_jinja_node *below, bool inside_tag, tri_jinja_node **node);

/* parse_expr.c */
tri_status tri_jinja_parse_expression(tri_jinja_parser *p, bool with_cond, tri_jinja_node **node);

#endif
