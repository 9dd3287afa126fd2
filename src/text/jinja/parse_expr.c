/* parse_expr.c - expressions; the functions follow jinja2's precedence, loosest first. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/builtin.h"
#include "text/jinja/parse.h"

tri_status tri_jinja_parser_fail(tri_jinja_parser *p, uint32_t at, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tri_jinja_syntax(p->err, p->src, at, "%s", message);
}

static tri_status no_memory(tri_jinja_parser *p) {
    return TRI_FAIL(p->err, TRI_E_MEMORY, "no memory for a template");
}

tri_status tri_jinja_node_new(
    tri_jinja_parser *p, tri_jinja_node **node, tri_jinja_node_kind kind, uint32_t at) {
    tri_jinja_node *made = TRI_NEW(p->arena, tri_jinja_node);
    if (!made) return no_memory(p);
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
        if (!grown) return no_memory(p);
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
    if (!copy) return no_memory(p);
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

/* ---- literals ---- */

static tri_status parse_number(tri_jinja_parser *p, tri_jinja_node **node) {
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
    if (!joined) return no_memory(p);
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

static tri_status parse_primary(tri_jinja_parser *p, bool namespaces, tri_jinja_node **node) {
    const tri_jinja_token *t = p->at;
    if (t->kind == TRI_JINJA_T_STRING) return parse_strings(p, node);
    if (t->kind == TRI_JINJA_T_INTEGER || t->kind == TRI_JINJA_T_FLOAT)
        return parse_number(p, node);
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
        TRI_TRY(rules->simple ? parse_primary(p, rules->namespaces, &item)
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

/* ---- after a primary ---- */

static tri_status parse_slice_part(tri_jinja_parser *p, tri_jinja_node **part) {
    *part = NULL;
    if (tri_jinja_at_op(p, ':') || tri_jinja_at_op(p, ']') || tri_jinja_at_op(p, ','))
        return TRI_OK;
    return tri_jinja_parse_expression(p, true, part);
}

static tri_status parse_subscript(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_node *below = *node;
    uint32_t at = p->at->at;
    if (tri_jinja_skip_op(p, '.')) {
        const tri_jinja_token *t = p->at;
        if (t->kind == TRI_JINJA_T_INTEGER) {
            TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_GETITEM, at));
            TRI_TRY(parse_number(p, &(*node)->b));
        } else if (t->kind == TRI_JINJA_T_NAME) {
            p->at++;
            TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_GETATTR, at));
            TRI_TRY(tri_jinja_parser_str(p, &(*node)->attr, t->text));
            tri_jinja_attr known;
            if (tri_jinja_attr_find(&known, t->text)) {
                tri_jinja_attr *copy = TRI_NEW(p->arena, tri_jinja_attr);
                if (!copy) return no_memory(p);
                *copy = known;
                (*node)->known = copy;
            }
        } else {
            return tri_jinja_parser_fail(p, t->at, "expected name or number");
        }
        (*node)->a = below;
        return tri_jinja_node_over(p, *node, below);
    }
    p->at++;
    tri_jinja_node *made, *first = NULL;
    TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_GETITEM, at));
    made->a = below;
    *node = made;
    if (tri_jinja_at_op(p, ']')) { /* x[]: jinja2 looks up an empty tuple */
        TRI_TRY(tri_jinja_node_new(p, &made->b, TRI_JINJA_N_TUPLE, at));
        p->at++;
        return tri_jinja_node_over(p, made, below);
    }
    TRI_TRY(parse_slice_part(p, &first));
    made->b = first;
    if (tri_jinja_skip_op(p, ':')) {
        made->kind = TRI_JINJA_N_SLICE;
        TRI_TRY(parse_slice_part(p, &made->c));
        if (tri_jinja_skip_op(p, ':')) TRI_TRY(parse_slice_part(p, &made->d));
    } else if (!first) {
        return tri_jinja_unexpected(p, NULL);
    } else if (tri_jinja_at_op(p, ',')) {
        tri_jinja_nodes items = {0};
        TRI_TRY(tri_jinja_nodes_add(p, &items, first));
        while (tri_jinja_skip_op(p, ',')) {
            tri_jinja_node *item = NULL;
            TRI_TRY(tri_jinja_parse_expression(p, true, &item));
            TRI_TRY(tri_jinja_nodes_add(p, &items, item));
        }
        TRI_TRY(tri_jinja_node_new(p, &made->b, TRI_JINJA_N_TUPLE, at));
        made->b->list = items.items;
        made->b->n = items.n;
        for (int32_t i = 0; i < items.n; i++)
            TRI_TRY(tri_jinja_node_over(p, made->b, items.items[i]));
    }
    TRI_TRY(tri_jinja_expect_op(p, ']'));
    TRI_TRY(tri_jinja_node_over(p, made, made->b));
    TRI_TRY(tri_jinja_node_over(p, made, made->c));
    TRI_TRY(tri_jinja_node_over(p, made, made->d));
    return tri_jinja_node_over(p, made, below);
}

static tri_status parse_named(tri_jinja_parser *p, tri_jinja_nodes *named, tri_jinja_call *call) {
    tri_jinja_node *value = NULL;
    tri_str name = p->at->text;
    p->at += 2;
    TRI_TRY(tri_jinja_parse_expression(p, true, &value));
    TRI_TRY(tri_jinja_nodes_add(p, named, value));
    tri_jinja_str **names = TRI_NEW_N(p->arena, tri_jinja_str *, named->n);
    if (!names) return no_memory(p);
    if (named->n > 1) memcpy(names, call->names, (size_t)(named->n - 1) * sizeof *names);
    call->names = names;
    for (int32_t i = 0; i + 1 < named->n; i++) {
        if (tri_str_equal(tri_jinja_view_of(names[i]), name)) {
            return tri_jinja_parser_fail(
                p, value->at, "keyword argument repeated: %.*s", (int)name.len, name.ptr);
        }
    }
    return tri_jinja_parser_str(p, &names[named->n - 1], name);
}

static tri_status parse_args(tri_jinja_parser *p, tri_jinja_node *owner) {
    tri_jinja_call *call = &owner->call;
    tri_jinja_nodes args = {0}, named = {0};
    uint32_t at = p->at->at;
    bool comma = false, valid = true;
    TRI_TRY(tri_jinja_expect_op(p, '('));
    while (!tri_jinja_at_op(p, ')')) {
        tri_jinja_node *value = NULL;
        if (comma) {
            TRI_TRY(tri_jinja_expect_op(p, ','));
            if (tri_jinja_at_op(p, ')')) break;
        }
        if (tri_jinja_skip_op(p, '*')) {
            valid = !call->star && !call->star_star;
            TRI_TRY(tri_jinja_parse_expression(p, true, &value));
            call->star = value;
        } else if (tri_jinja_skip_op(p, TRI_JINJA_OP2('*', '*'))) {
            valid = !call->star_star;
            TRI_TRY(tri_jinja_parse_expression(p, true, &value));
            call->star_star = value;
        } else if (p->at->kind == TRI_JINJA_T_NAME && p->at[1].kind == TRI_JINJA_T_OPERATOR &&
                   p->at[1].op == '=') {
            valid = !call->star_star;
            TRI_TRY(parse_named(p, &named, call));
            value = named.items[named.n - 1];
        } else {
            valid = !call->star && !call->star_star && !named.n;
            TRI_TRY(tri_jinja_parse_expression(p, true, &value));
            TRI_TRY(tri_jinja_nodes_add(p, &args, value));
        }
        if (!valid)
            return tri_jinja_parser_fail(p, at, "invalid syntax for function call expression");
        TRI_TRY(tri_jinja_node_over(p, owner, value));
        comma = true;
    }
    p->at++;
    call->args = args.items;
    call->n = args.n;
    call->named = named.items;
    call->n_named = named.n;
    return TRI_OK;
}

static tri_status parse_call(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_node *below = *node;
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CALL, p->at->at));
    (*node)->a = below;
    TRI_TRY(tri_jinja_node_over(p, *node, below));
    return parse_args(p, *node);
}

static tri_status parse_postfix(tri_jinja_parser *p, tri_jinja_node **node) {
    for (;;) {
        if (tri_jinja_at_op(p, '.') || tri_jinja_at_op(p, '['))
            TRI_TRY(parse_subscript(p, node));
        else if (tri_jinja_at_op(p, '('))
            TRI_TRY(parse_call(p, node));
        else
            return TRI_OK;
    }
}

static tri_status dotted_name(tri_jinja_parser *p, tri_jinja_str **out) {
    tri_str name = {0}, more = {0};
    tri_buf joined = {0};
    TRI_TRY(tri_jinja_expect_name(p, &name));
    tri_buf_append(&joined, name.ptr, name.len);
    tri_status rc = TRI_OK;
    while (!rc && tri_jinja_skip_op(p, '.')) {
        rc = tri_jinja_expect_name(p, &more);
        if (rc) break;
        tri_buf_putc(&joined, '.');
        tri_buf_append(&joined, more.ptr, more.len);
    }
    if (!rc) rc = tri_buf_status(&joined, p->err);
    if (!rc) rc = tri_jinja_parser_str(p, out, (tri_str){joined.ptr, joined.len});
    tri_buf_deinit(&joined);
    return rc;
}

tri_status tri_jinja_parse_filter(
    tri_jinja_parser *p, tri_jinja_node *below, bool inside_tag, tri_jinja_node **node) {
    *node = below;
    while (inside_tag || tri_jinja_skip_op(p, '|')) {
        tri_jinja_node *made = NULL;
        inside_tag = false;
        TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_FILTER, p->at->at));
        TRI_TRY(dotted_name(p, &made->name));
        made->builtin = tri_jinja_filter_find(tri_jinja_view_of(made->name));
        made->a = *node;
        TRI_TRY(tri_jinja_node_over(p, made, *node));
        if (tri_jinja_at_op(p, '(')) TRI_TRY(parse_args(p, made));
        *node = made;
    }
    return TRI_OK;
}

static bool test_argument_follows(const tri_jinja_parser *p) {
    if (tri_jinja_at_name(p, "else") || tri_jinja_at_name(p, "or") || tri_jinja_at_name(p, "and"))
        return false;
    tri_jinja_token_kind kind = (tri_jinja_token_kind)p->at->kind;
    return kind == TRI_JINJA_T_NAME || kind == TRI_JINJA_T_STRING || kind == TRI_JINJA_T_INTEGER ||
           kind == TRI_JINJA_T_FLOAT || tri_jinja_at_op(p, '[') || tri_jinja_at_op(p, '{');
}

static tri_status parse_test(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_node *below = *node, *made;
    uint32_t at = p->at++->at;
    bool negated = tri_jinja_skip_name(p, "not");
    TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_TEST, at));
    TRI_TRY(dotted_name(p, &made->name));
    made->builtin = tri_jinja_test_find(tri_jinja_view_of(made->name));
    made->a = below;
    TRI_TRY(tri_jinja_node_over(p, made, below));
    if (tri_jinja_at_op(p, '(')) {
        TRI_TRY(parse_args(p, made));
    } else if (test_argument_follows(p)) {
        if (tri_jinja_at_name(p, "is")) {
            return tri_jinja_parser_fail(p, p->at->at, "You cannot chain multiple tests with is");
        }
        tri_jinja_node *arg = NULL;
        tri_jinja_nodes args = {0};
        TRI_TRY(parse_primary(p, false, &arg));
        TRI_TRY(parse_postfix(p, &arg));
        TRI_TRY(tri_jinja_nodes_add(p, &args, arg));
        TRI_TRY(tri_jinja_node_over(p, made, arg));
        made->call.args = args.items;
        made->call.n = 1;
    }
    *node = made;
    if (!negated) return TRI_OK;
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_NOT, at));
    (*node)->a = made;
    return tri_jinja_node_over(p, *node, made);
}

static tri_status parse_unary(tri_jinja_parser *p, bool with_filter, tri_jinja_node **node) {
    uint32_t at = p->at->at;
    if (p->depth >= TRI_JINJA_MAX_HEIGHT) {
        return tri_jinja_parser_fail(
            p, at, "expressions nested more than %d deep", TRI_JINJA_MAX_HEIGHT);
    }
    if (tri_jinja_at_op(p, '-') || tri_jinja_at_op(p, '+')) {
        tri_jinja_node *made = NULL;
        TRI_TRY(tri_jinja_node_new(
            p, &made, tri_jinja_at_op(p, '-') ? TRI_JINJA_N_NEG : TRI_JINJA_N_POS, at));
        p->at++;
        p->depth++;
        TRI_TRY(parse_unary(p, false, &made->a));
        p->depth--;
        TRI_TRY(tri_jinja_node_over(p, made, made->a));
        *node = made;
    } else {
        p->depth++;
        TRI_TRY(parse_primary(p, false, node));
        p->depth--;
    }
    TRI_TRY(parse_postfix(p, node));
    while (with_filter) {
        if (tri_jinja_at_op(p, '|'))
            TRI_TRY(tri_jinja_parse_filter(p, *node, false, node));
        else if (tri_jinja_at_name(p, "is"))
            TRI_TRY(parse_test(p, node));
        else if (tri_jinja_at_op(p, '('))
            TRI_TRY(parse_call(p, node));
        else
            break;
    }
    return TRI_OK;
}

/* ---- operators ---- */

static tri_status make_binary(tri_jinja_parser *p, tri_jinja_node_kind kind, uint32_t at,
    tri_jinja_op op, tri_jinja_node *right, tri_jinja_node **left) {
    tri_jinja_node *made = NULL;
    TRI_TRY(tri_jinja_node_new(p, &made, kind, at));
    made->op = (uint8_t)op;
    made->a = *left;
    made->b = right;
    *left = made;
    TRI_TRY(tri_jinja_node_over(p, made, made->a));
    return tri_jinja_node_over(p, made, made->b);
}

static tri_status parse_pow(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(parse_unary(p, true, node));
    while (tri_jinja_at_op(p, TRI_JINJA_OP2('*', '*'))) {
        tri_jinja_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_unary(p, true, &right));
        TRI_TRY(make_binary(p, TRI_JINJA_N_BINARY, at, TRI_JINJA_POW, right, node));
    }
    return TRI_OK;
}

static int math2_op(const tri_jinja_parser *p) {
    return tri_jinja_at_op(p, '*')                       ? TRI_JINJA_MUL
           : tri_jinja_at_op(p, '/')                     ? TRI_JINJA_DIV
           : tri_jinja_at_op(p, TRI_JINJA_OP2('/', '/')) ? TRI_JINJA_FLOORDIV
           : tri_jinja_at_op(p, '%')                     ? TRI_JINJA_MOD
                                                         : -1;
}

static tri_status parse_math2(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(parse_pow(p, node));
    for (int op; (op = math2_op(p)) >= 0;) {
        tri_jinja_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_pow(p, &right));
        TRI_TRY(make_binary(p, TRI_JINJA_N_BINARY, at, (tri_jinja_op)op, right, node));
    }
    return TRI_OK;
}

static tri_status parse_concat(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_nodes items = {0};
    uint32_t at = p->at->at;
    TRI_TRY(parse_math2(p, node));
    if (!tri_jinja_at_op(p, '~')) return TRI_OK;
    TRI_TRY(tri_jinja_nodes_add(p, &items, *node));
    while (tri_jinja_skip_op(p, '~')) {
        TRI_TRY(parse_math2(p, node));
        TRI_TRY(tri_jinja_nodes_add(p, &items, *node));
    }
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CONCAT, at));
    (*node)->list = items.items;
    (*node)->n = items.n;
    for (int32_t i = 0; i < items.n; i++)
        TRI_TRY(tri_jinja_node_over(p, *node, items.items[i]));
    return TRI_OK;
}

static tri_status parse_math1(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(parse_concat(p, node));
    while (tri_jinja_at_op(p, '+') || tri_jinja_at_op(p, '-')) {
        tri_jinja_node *right = NULL;
        tri_jinja_op op = tri_jinja_at_op(p, '+') ? TRI_JINJA_ADD : TRI_JINJA_SUB;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_concat(p, &right));
        TRI_TRY(make_binary(p, TRI_JINJA_N_BINARY, at, op, right, node));
    }
    return TRI_OK;
}

static int compare_op(tri_jinja_parser *p) {
    static const struct {
        int op;
        tri_jinja_op means;
    } ops[] = {{TRI_JINJA_OP2('=', '='), TRI_JINJA_EQ}, {TRI_JINJA_OP2('!', '='), TRI_JINJA_NE},
        {'<', TRI_JINJA_LT}, {TRI_JINJA_OP2('<', '='), TRI_JINJA_LE}, {'>', TRI_JINJA_GT},
        {TRI_JINJA_OP2('>', '='), TRI_JINJA_GE}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (tri_jinja_skip_op(p, ops[i].op)) return (int)ops[i].means;
    }
    if (tri_jinja_skip_name(p, "in")) return TRI_JINJA_IN;
    if (tri_jinja_at_name(p, "not") && p->at[1].kind == TRI_JINJA_T_NAME &&
        tri_str_is(p->at[1].text, "in")) {
        p->at += 2;
        return TRI_JINJA_NOT_IN;
    }
    return -1;
}

static tri_status parse_compare(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_nodes ops = {0};
    uint32_t at = p->at->at;
    TRI_TRY(parse_math1(p, node));
    for (int op; (op = compare_op(p)) >= 0;) {
        tri_jinja_node *operand = NULL;
        TRI_TRY(tri_jinja_node_new(p, &operand, TRI_JINJA_N_OPERAND, p->at[-1].at));
        operand->op = (uint8_t)op;
        TRI_TRY(parse_math1(p, &operand->a));
        TRI_TRY(tri_jinja_node_over(p, operand, operand->a));
        TRI_TRY(tri_jinja_nodes_add(p, &ops, operand));
    }
    if (!ops.n) return TRI_OK;
    tri_jinja_node *made = NULL;
    TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_COMPARE, at));
    made->a = *node;
    made->list = ops.items;
    made->n = ops.n;
    *node = made;
    for (int32_t i = 0; i < ops.n; i++)
        TRI_TRY(tri_jinja_node_over(p, made, ops.items[i]));
    return tri_jinja_node_over(p, made, made->a);
}

static tri_status parse_not(tri_jinja_parser *p, tri_jinja_node **node) {
    uint32_t at = p->at->at;
    int32_t n = 0;
    while (tri_jinja_skip_name(p, "not"))
        n++;
    TRI_TRY(parse_compare(p, node));
    while (n-- > 0) {
        tri_jinja_node *made = NULL;
        TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_NOT, at));
        made->a = *node;
        *node = made;
        TRI_TRY(tri_jinja_node_over(p, made, made->a));
    }
    return TRI_OK;
}

static tri_status parse_and(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(parse_not(p, node));
    while (tri_jinja_at_name(p, "and")) {
        tri_jinja_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_not(p, &right));
        TRI_TRY(make_binary(p, TRI_JINJA_N_AND, at, TRI_JINJA_ADD, right, node));
    }
    return TRI_OK;
}

static tri_status parse_or(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(parse_and(p, node));
    while (tri_jinja_at_name(p, "or")) {
        tri_jinja_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_and(p, &right));
        TRI_TRY(make_binary(p, TRI_JINJA_N_OR, at, TRI_JINJA_ADD, right, node));
    }
    return TRI_OK;
}

static tri_status parse_cond(tri_jinja_parser *p, tri_jinja_node **node) {
    TRI_TRY(parse_or(p, node));
    while (tri_jinja_at_name(p, "if")) {
        tri_jinja_node *made = NULL;
        TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_COND, p->at++->at));
        made->a = *node;
        TRI_TRY(parse_or(p, &made->b));
        if (tri_jinja_skip_name(p, "else")) TRI_TRY(tri_jinja_parse_expression(p, true, &made->c));
        *node = made;
        TRI_TRY(tri_jinja_node_over(p, made, made->a));
        TRI_TRY(tri_jinja_node_over(p, made, made->b));
        TRI_TRY(tri_jinja_node_over(p, made, made->c));
    }
    return TRI_OK;
}

tri_status tri_jinja_parse_expression(tri_jinja_parser *p, bool with_cond, tri_jinja_node **node) {
    if (p->depth >= TRI_JINJA_MAX_HEIGHT) {
        return tri_jinja_parser_fail(
            p, p->at->at, "expressions nested more than %d deep", TRI_JINJA_MAX_HEIGHT);
    }
    p->depth++;
    TRI_TRY(with_cond ? parse_cond(p, node) : parse_or(p, node));
    p->depth--;
    return TRI_OK;
}
