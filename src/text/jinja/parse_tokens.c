/* parse_tokens.c - what all of the parser's files stand on: errors, nodes, the next token. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/parse.h"
#include "text/jinja/vm.h"

tri_status tri_jinja_parser_fail(tri_jinja_parser *p, uint32_t at, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tri_jinja_syntax(p->err, p->src, at, "%s", message);
}

tri_status tri_jinja_parser_no_memory(tri_jinja_parser *p) {
    return TRI_FAIL(p->err, TRI_E_MEMORY, "no memory for a template");
}

tri_status tri_jinja_node_new(
    tri_jinja_parser *p, tri_jinja_node **node, tri_jinja_node_kind kind, uint32_t at) {
    tri_jinja_node *made = TRI_NEW(p->arena, tri_jinja_node);
    if (!made) return tri_jinja_parser_no_memory(p);
    made->kind = (uint8_t)kind;
    made->at = at;
    made->slot = made->loop_slot = -1;
    *node = made;
    return TRI_OK;
}

tri_status tri_jinja_node_over(
    tri_jinja_parser *p, tri_jinja_node *node, const tri_jinja_node *below) {
    if (!below || node->height > below->height) return TRI_OK;
    node->height = (uint16_t)(below->height + 1);
    if (node->height <= TRI_JINJA_MAX_HEIGHT) return TRI_OK;
    return tri_jinja_parser_fail(
        p, node->at, "expressions nested more than %d deep", TRI_JINJA_MAX_HEIGHT);
}

tri_status tri_jinja_nodes_add(tri_jinja_parser *p, tri_jinja_nodes *nodes, tri_jinja_node *node) {
    if (nodes->n == nodes->cap) {
        int32_t cap = nodes->cap ? nodes->cap * 2 : 4;
        tri_jinja_node **grown = TRI_NEW_N(p->arena, tri_jinja_node *, cap);
        if (!grown) return tri_jinja_parser_no_memory(p);
        if (nodes->n) memcpy(grown, nodes->items, (size_t)nodes->n * sizeof *grown);
        nodes->items = grown;
        nodes->cap = cap;
    }
    nodes->items[nodes->n++] = node;
    return TRI_OK;
}

tri_status tri_jinja_parser_str(tri_jinja_parser *p, tri_jinja_str **str, tri_str text) {
    tri_jinja_str *s = TRI_NEW(p->arena, tri_jinja_str);
    char *copy = s ? tri_arena_strndup(p->arena, text.ptr, text.len) : NULL;
    if (!copy) return tri_jinja_parser_no_memory(p);
    s->ptr = copy;
    s->n = text.len;
    tri_jinja_str_hash(s); /* the template is shared: nothing of it may be filled in later */
    tri_jinja_str_ascii(s);
    *str = s;
    return TRI_OK;
}

bool tri_jinja_at_op(const tri_jinja_parser *p, int op) {
    return p->at->kind == TRI_JINJA_T_OPERATOR && p->at->op == op;
}

bool tri_jinja_at_name(const tri_jinja_parser *p, const char *name) {
    return p->at->kind == TRI_JINJA_T_NAME && tri_str_is(p->at->text, name);
}

bool tri_jinja_skip_op(tri_jinja_parser *p, int op) {
    if (!tri_jinja_at_op(p, op)) return false;
    p->at++;
    return true;
}

bool tri_jinja_skip_name(tri_jinja_parser *p, const char *name) {
    if (!tri_jinja_at_name(p, name)) return false;
    p->at++;
    return true;
}

static const char *const token_names[] = {
    [TRI_JINJA_T_END] = "end of template",
    [TRI_JINJA_T_DATA] = "template data / text",
    [TRI_JINJA_T_BLOCK_BEGIN] = "begin of statement block",
    [TRI_JINJA_T_BLOCK_END] = "end of statement block",
    [TRI_JINJA_T_VARIABLE_BEGIN] = "begin of print statement",
    [TRI_JINJA_T_VARIABLE_END] = "end of print statement",
    [TRI_JINJA_T_STRING] = "string",
    [TRI_JINJA_T_INTEGER] = "integer",
    [TRI_JINJA_T_FLOAT] = "float",
};

tri_status tri_jinja_unexpected(tri_jinja_parser *p, const char *wanted) {
    const tri_jinja_token *t = p->at;
    if (t->kind == TRI_JINJA_T_END && wanted) {
        return tri_jinja_parser_fail(
            p, t->at, "unexpected end of template, expected '%s'.", wanted);
    }
    bool shown = t->kind == TRI_JINJA_T_NAME || t->kind == TRI_JINJA_T_OPERATOR;
    int n = shown ? (int)(t->text.len < 60 ? t->text.len : 60) : (int)strlen(token_names[t->kind]);
    const char *got = shown ? t->text.ptr : token_names[t->kind];
    if (!wanted) return tri_jinja_parser_fail(p, t->at, "unexpected '%.*s'", n, got);
    return tri_jinja_parser_fail(p, t->at, "expected token '%s', got '%.*s'", wanted, n, got);
}

tri_status tri_jinja_expect_op(tri_jinja_parser *p, int op) {
    char text[3] = {(char)(op % TRI_JINJA_2), (char)(op / TRI_JINJA_2), 0};
    return tri_jinja_skip_op(p, op) ? TRI_OK : tri_jinja_unexpected(p, text);
}

tri_status tri_jinja_expect_name(tri_jinja_parser *p, tri_str *name) {
    if (p->at->kind != TRI_JINJA_T_NAME) return tri_jinja_unexpected(p, "name");
    *name = p->at++->text;
    return TRI_OK;
}
