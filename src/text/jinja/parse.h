/* parse.h - tokens to a tree, by jinja2's grammar. */
#ifndef TRI_TEXT_JINJA_PARSE_H
#define TRI_TEXT_JINJA_PARSE_H

#include "text/jinja/ast.h"
#include "text/jinja/lex.h"

tri_status jj_parse(
    jj_block *body, tri_str source, const jj_tokens *tokens, tri_arena *arena, tri_error *err);

/* ---- between the parser's files ---- */

enum { JJ_MAX_HEIGHT = 200 }; /* Python refuses more than that many nested brackets, too */

typedef struct jj_open_tag { /* a statement that is being read, and the ones around it */
    tri_str name;
    uint32_t at;
    const char *const
        *ends; /* what its body may end with, NULL-terminated; NULL: it is not there */
    struct jj_open_tag *outer;
} jj_open_tag;

typedef struct jj_parser {
    tri_str src;
    const jj_token *at;
    tri_arena *arena;
    tri_error *err;
    int32_t depth;
    jj_open_tag *open; /* the innermost */
} jj_parser;

typedef struct jj_nodes {
    jj_node **items;
    int32_t n, cap;
} jj_nodes;

tri_status jj_nodes_add(jj_parser *p, jj_nodes *nodes, jj_node *node);
tri_status jj_node_new(jj_parser *p, jj_node **node, jj_node_kind kind, uint32_t at);
/* Fails when the expression got too high. */
tri_status jj_node_over(jj_parser *p, jj_node *node, const jj_node *below);
tri_status jj_parser_fail(jj_parser *p, uint32_t at, const char *format, ...) TRI_PRINTF(3, 4);
tri_status jj_parser_str(jj_parser *p, jj_str **str, tri_str text);
tri_status jj_unexpected(jj_parser *p, const char *wanted);

bool jj_at_op(const jj_parser *p, int op);
bool jj_at_name(const jj_parser *p, const char *name);
bool jj_skip_op(jj_parser *p, int op);
bool jj_skip_name(jj_parser *p, const char *name);
tri_status jj_expect_op(jj_parser *p, int op);
tri_status jj_expect_name(jj_parser *p, tri_str *name);

tri_status jj_parse_expression(jj_parser *p, bool with_cond, jj_node **node);
typedef struct jj_tuple_rules {
    bool simple, no_cond, in_brackets, namespaces;
} jj_tuple_rules;
tri_status jj_parse_tuple(jj_parser *p, const jj_tuple_rules *rules, jj_node **node);
/* Filters after "|"; of a block: node NULL, and the first without its "|" when inside_tag. */
tri_status jj_parse_filter(jj_parser *p, jj_node *below, bool inside_tag, jj_node **node);

#endif
