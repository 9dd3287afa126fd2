/* parse_primary.c - literals, names, brackets and tuples. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja/parse.h"

tri_status tri_jinja_parse_number(tri_jinja_parser *p, tri_jinja_node **node) {
    const tri_jinja_token *t = p->at++;
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CONST, t->at));
    if (t->kind == TRI_JINJA_T_FLOAT) {
        (*node)->value =
            tri_jinja_float(strtod(t->text.ptr, NULL)); /* the lexer ends it with NUL */
        return TRI_OK;
    }
    int base = 10;
    const char *text = t->text.ptr; /* NUL-terminated by the lexer */
    if (t->text.len > 1 && text[0] == '0') {
        base = (text[1] | 32) == 'x'   ? 16
               : (text[1] | 32) == 'o' ? 8
               : (text[1] | 32) == 'b' ? 2
                                       : 10;
        if (base != 10) text += 2;
    }
    uint64_t value = 0;
    for (const char *c = text; *c; c++) {
        int digit = *c <= '9' ? *c - '0' : (*c | 32) - 'a' + 10;
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value) || value > INT64_MAX) {
            if (base != 10) {
                return tri_jinja_parser_fail(p, t->at, "an integer beyond 64 bits");
            }
            tri_jinja_str *digits;
            TRI_TRY(tri_jinja_parser_str(p, &digits, t->text));
            (*node)->value = (tri_jinja_value){.kind = TRI_JINJA_BIG, .as.s = digits};
            return TRI_OK;
        }
    }
    (*node)->value = tri_jinja_int((int64_t)value);
    return TRI_OK;
}

static tri_status parse_strings(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CONST, p->at->at));
    size_t n = 0;
    const tri_jinja_token *first = p->at;
    while (p->at->kind == TRI_JINJA_T_STRING)
        n += p->at++->text.len;
    char *joined = tri_arena_alloc_aligned(p->arena, n + 1, 1);
    if (!joined) return tri_jinja_parser_no_memory(p);
    size_t at = 0;
    for (const tri_jinja_token *t = first; t < p->at; t++) {
        if (t->text.len) memcpy(joined + at, t->text.ptr, t->text.len);
        at += t->text.len;
    }
    tri_jinja_str *s;
    TRI_TRY(tri_jinja_parser_str(p, &s, (tri_str){joined, n}));
    (*node)->value = tri_jinja_of_str(s);
    return TRI_OK;
}

static tri_status parse_items(tri_jinja_parser *p, bool dict, tri_jinja_node **node) {
    char close = dict ? '}' : ']';
    tri_jinja_nodes items = {0};
    TRI_TRY(tri_jinja_node_new(p, node, dict ? TRI_JINJA_N_DICTEX : TRI_JINJA_N_LISTEX, p->at->at));
    p->at++;
    while (!tri_jinja_at_op(p, close)) {
        if (items.n) TRI_TRY(tri_jinja_expect_op(p, ','));
        if (tri_jinja_at_op(p, close)) break;
        for (int i = 0; i <= dict; i++) {
            tri_jinja_node *item = NULL;
            if (i) TRI_TRY(tri_jinja_expect_op(p, ':'));
            TRI_TRY(tri_jinja_parse_expression(p, true, &item));
            TRI_TRY(tri_jinja_nodes_add(p, &items, item));
            TRI_TRY(tri_jinja_node_over(p, *node, item));
        }
    }
    p->at++;
    (*node)->list = items.items;
    (*node)->n = items.n;
    return TRI_OK;
}

tri_status tri_jinja_parse_primary(tri_jinja_parser *p, bool namespaces, tri_jinja_node **node) {
    const tri_jinja_token *t = p->at;
    if (t->kind == TRI_JINJA_T_STRING) return parse_strings(p, node);
    if (t->kind == TRI_JINJA_T_INTEGER || t->kind == TRI_JINJA_T_FLOAT)
        return tri_jinja_parse_number(p, node);
    if (tri_jinja_at_op(p, '[')) return parse_items(p, false, node);
    if (tri_jinja_at_op(p, '{')) return parse_items(p, true, node);
    if (tri_jinja_skip_op(p, '(')) {
        TRI_TRY(tri_jinja_parse_tuple(p, &(tri_jinja_tuple_rules){.in_brackets = true}, node));
        return tri_jinja_expect_op(p, ')');
    }
    if (t->kind != TRI_JINJA_T_NAME) return tri_jinja_unexpected(p, NULL);
    p->at++;
    bool yes = tri_str_is(t->text, "true") || tri_str_is(t->text, "True");
    if (yes || tri_str_is(t->text, "false") || tri_str_is(t->text, "False")) {
        TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CONST, t->at));
        (*node)->value = tri_jinja_bool(yes);
        return TRI_OK;
    }
    if (tri_str_is(t->text, "none") || tri_str_is(t->text, "None")) {
        TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CONST, t->at));
        (*node)->value = tri_jinja_none();
        return TRI_OK;
    }
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_NAME, t->at));
    TRI_TRY(tri_jinja_parser_str(p, &(*node)->name, t->text));
    if (namespaces && tri_jinja_skip_op(p, '.')) {
        tri_str attr;
        TRI_TRY(tri_jinja_expect_name(p, &attr));
        (*node)->kind = TRI_JINJA_N_NSREF;
        TRI_TRY(tri_jinja_parser_str(p, &(*node)->attr, attr));
    }
    return TRI_OK;
}

static bool tuple_ends(const tri_jinja_parser *p) {
    if (p->at->kind == TRI_JINJA_T_VARIABLE_END || p->at->kind == TRI_JINJA_T_BLOCK_END)
        return true;
    return tri_jinja_at_op(p, ')');
}

tri_status tri_jinja_parse_tuple(
    tri_jinja_parser *p, const tri_jinja_tuple_rules *rules, tri_jinja_node **node) {
    uint32_t at = p->at->at;
    tri_jinja_nodes items = {0};
    bool is_tuple = false;
    for (;;) {
        tri_jinja_node *item = NULL;
        if (items.n) TRI_TRY(tri_jinja_expect_op(p, ','));
        if (tuple_ends(p)) break;
        TRI_TRY(rules->simple ? tri_jinja_parse_primary(p, rules->namespaces, &item)
                              : tri_jinja_parse_expression(p, !rules->no_cond, &item));
        TRI_TRY(tri_jinja_nodes_add(p, &items, item));
        if (!tri_jinja_at_op(p, ',')) break;
        is_tuple = true;
    }
    if (!is_tuple && items.n) {
        *node = items.items[0];
        return TRI_OK;
    }
    if (!is_tuple && !rules->in_brackets) {
        return tri_jinja_parser_fail(p, p->at->at, "Expected an expression");
    }
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_TUPLE, at));
    (*node)->list = items.items;
    (*node)->n = items.n;
    for (int32_t i = 0; i < items.n; i++)
        TRI_TRY(tri_jinja_node_over(p, *node, items.items[i]));
    return TRI_OK;
}
