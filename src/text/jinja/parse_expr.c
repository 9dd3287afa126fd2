/* parse_expr.c - expressions; the functions follow jinja2's precedence, loosest first. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/builtin.h"
#include "text/jinja/parse.h"

tri_status jj_parser_fail(jj_parser *p, uint32_t at, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return jj_syntax(p->err, p->src, at, "%s", message);
}

static tri_status no_memory(jj_parser *p) {
    return TRI_FAIL(p->err, TRI_E_MEMORY, "no memory for a template");
}

tri_status jj_node_new(jj_parser *p, jj_node **node, jj_node_kind kind, uint32_t at) {
    jj_node *made = TRI_NEW(p->arena, jj_node);
    if (!made) return no_memory(p);
    made->kind = (uint8_t)kind;
    made->at = at;
    made->slot = made->loop_slot = -1;
    *node = made;
    return TRI_OK;
}

tri_status jj_node_over(jj_parser *p, jj_node *node, const jj_node *below) {
    if (!below || node->height > below->height) return TRI_OK;
    node->height = (uint16_t)(below->height + 1);
    if (node->height <= JJ_MAX_HEIGHT) return TRI_OK;
    return jj_parser_fail(p, node->at, "expressions nested more than %d deep", JJ_MAX_HEIGHT);
}

tri_status jj_nodes_add(jj_parser *p, jj_nodes *nodes, jj_node *node) {
    if (nodes->n == nodes->cap) {
        int32_t cap = nodes->cap ? nodes->cap * 2 : 4;
        jj_node **grown = TRI_NEW_N(p->arena, jj_node *, cap);
        if (!grown) return no_memory(p);
        if (nodes->n) memcpy(grown, nodes->items, (size_t)nodes->n * sizeof *grown);
        nodes->items = grown;
        nodes->cap = cap;
    }
    nodes->items[nodes->n++] = node;
    return TRI_OK;
}

tri_status jj_parser_str(jj_parser *p, jj_str **str, tri_str text) {
    jj_str *s = TRI_NEW(p->arena, jj_str);
    char *copy = s ? tri_arena_strndup(p->arena, text.ptr, text.len) : NULL;
    if (!copy) return no_memory(p);
    s->ptr = copy;
    s->n = text.len;
    jj_str_hash(s); /* the template is shared: nothing of it may be filled in later */
    jj_str_ascii(s);
    *str = s;
    return TRI_OK;
}

bool jj_at_op(const jj_parser *p, int op) {
    return p->at->kind == JJ_T_OPERATOR && p->at->op == op;
}

bool jj_at_name(const jj_parser *p, const char *name) {
    return p->at->kind == JJ_T_NAME && tri_str_is(p->at->text, name);
}

bool jj_skip_op(jj_parser *p, int op) {
    if (!jj_at_op(p, op)) return false;
    p->at++;
    return true;
}

bool jj_skip_name(jj_parser *p, const char *name) {
    if (!jj_at_name(p, name)) return false;
    p->at++;
    return true;
}

static const char *const token_names[] = {
    [JJ_T_END] = "end of template",
    [JJ_T_DATA] = "template data / text",
    [JJ_T_BLOCK_BEGIN] = "begin of statement block",
    [JJ_T_BLOCK_END] = "end of statement block",
    [JJ_T_VARIABLE_BEGIN] = "begin of print statement",
    [JJ_T_VARIABLE_END] = "end of print statement",
    [JJ_T_STRING] = "string",
    [JJ_T_INTEGER] = "integer",
    [JJ_T_FLOAT] = "float",
};

tri_status jj_unexpected(jj_parser *p, const char *wanted) {
    const jj_token *t = p->at;
    if (t->kind == JJ_T_END && wanted) {
        return jj_parser_fail(p, t->at, "unexpected end of template, expected '%s'.", wanted);
    }
    bool shown = t->kind == JJ_T_NAME || t->kind == JJ_T_OPERATOR;
    int n = shown ? (int)(t->text.len < 60 ? t->text.len : 60) : (int)strlen(token_names[t->kind]);
    const char *got = shown ? t->text.ptr : token_names[t->kind];
    if (!wanted) return jj_parser_fail(p, t->at, "unexpected '%.*s'", n, got);
    return jj_parser_fail(p, t->at, "expected token '%s', got '%.*s'", wanted, n, got);
}

tri_status jj_expect_op(jj_parser *p, int op) {
    char text[3] = {(char)(op % JJ_2), (char)(op / JJ_2), 0};
    return jj_skip_op(p, op) ? TRI_OK : jj_unexpected(p, text);
}

tri_status jj_expect_name(jj_parser *p, tri_str *name) {
    if (p->at->kind != JJ_T_NAME) return jj_unexpected(p, "name");
    *name = p->at++->text;
    return TRI_OK;
}

/* ---- literals ---- */

static tri_status parse_number(jj_parser *p, jj_node **node) {
    const jj_token *t = p->at++;
    TRI_TRY(jj_node_new(p, node, JJ_N_CONST, t->at));
    if (t->kind == JJ_T_FLOAT) {
        (*node)->value = jj_float(strtod(t->text.ptr, NULL)); /* the lexer ends it with NUL */
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
                return jj_parser_fail(p, t->at, "an integer beyond 64 bits");
            }
            jj_str *digits;
            TRI_TRY(jj_parser_str(p, &digits, t->text));
            (*node)->value = (jj_value){.kind = JJ_BIG, .as.s = digits};
            return TRI_OK;
        }
    }
    (*node)->value = jj_int((int64_t)value);
    return TRI_OK;
}

static tri_status parse_strings(jj_parser *p, jj_node **node) {
    TRI_TRY(jj_node_new(p, node, JJ_N_CONST, p->at->at));
    size_t n = 0;
    const jj_token *first = p->at;
    while (p->at->kind == JJ_T_STRING)
        n += p->at++->text.len;
    char *joined = tri_arena_alloc_aligned(p->arena, n + 1, 1);
    if (!joined) return no_memory(p);
    size_t at = 0;
    for (const jj_token *t = first; t < p->at; t++) {
        if (t->text.len) memcpy(joined + at, t->text.ptr, t->text.len);
        at += t->text.len;
    }
    jj_str *s;
    TRI_TRY(jj_parser_str(p, &s, (tri_str){joined, n}));
    (*node)->value = jj_of_str(s);
    return TRI_OK;
}

static tri_status parse_items(jj_parser *p, bool dict, jj_node **node) {
    char close = dict ? '}' : ']';
    jj_nodes items = {0};
    TRI_TRY(jj_node_new(p, node, dict ? JJ_N_DICTEX : JJ_N_LISTEX, p->at->at));
    p->at++;
    while (!jj_at_op(p, close)) {
        if (items.n) TRI_TRY(jj_expect_op(p, ','));
        if (jj_at_op(p, close)) break;
        for (int i = 0; i <= dict; i++) {
            jj_node *item = NULL;
            if (i) TRI_TRY(jj_expect_op(p, ':'));
            TRI_TRY(jj_parse_expression(p, true, &item));
            TRI_TRY(jj_nodes_add(p, &items, item));
            TRI_TRY(jj_node_over(p, *node, item));
        }
    }
    p->at++;
    (*node)->list = items.items;
    (*node)->n = items.n;
    return TRI_OK;
}

static tri_status parse_primary(jj_parser *p, bool namespaces, jj_node **node) {
    const jj_token *t = p->at;
    if (t->kind == JJ_T_STRING) return parse_strings(p, node);
    if (t->kind == JJ_T_INTEGER || t->kind == JJ_T_FLOAT) return parse_number(p, node);
    if (jj_at_op(p, '[')) return parse_items(p, false, node);
    if (jj_at_op(p, '{')) return parse_items(p, true, node);
    if (jj_skip_op(p, '(')) {
        TRI_TRY(jj_parse_tuple(p, &(jj_tuple_rules){.in_brackets = true}, node));
        return jj_expect_op(p, ')');
    }
    if (t->kind != JJ_T_NAME) return jj_unexpected(p, NULL);
    p->at++;
    bool yes = tri_str_is(t->text, "true") || tri_str_is(t->text, "True");
    if (yes || tri_str_is(t->text, "false") || tri_str_is(t->text, "False")) {
        TRI_TRY(jj_node_new(p, node, JJ_N_CONST, t->at));
        (*node)->value = jj_bool(yes);
        return TRI_OK;
    }
    if (tri_str_is(t->text, "none") || tri_str_is(t->text, "None")) {
        TRI_TRY(jj_node_new(p, node, JJ_N_CONST, t->at));
        (*node)->value = jj_none();
        return TRI_OK;
    }
    TRI_TRY(jj_node_new(p, node, JJ_N_NAME, t->at));
    TRI_TRY(jj_parser_str(p, &(*node)->name, t->text));
    if (namespaces && jj_skip_op(p, '.')) {
        tri_str attr;
        TRI_TRY(jj_expect_name(p, &attr));
        (*node)->kind = JJ_N_NSREF;
        TRI_TRY(jj_parser_str(p, &(*node)->attr, attr));
    }
    return TRI_OK;
}

static bool tuple_ends(const jj_parser *p) {
    if (p->at->kind == JJ_T_VARIABLE_END || p->at->kind == JJ_T_BLOCK_END) return true;
    return jj_at_op(p, ')');
}

tri_status jj_parse_tuple(jj_parser *p, const jj_tuple_rules *rules, jj_node **node) {
    uint32_t at = p->at->at;
    jj_nodes items = {0};
    bool is_tuple = false;
    for (;;) {
        jj_node *item = NULL;
        if (items.n) TRI_TRY(jj_expect_op(p, ','));
        if (tuple_ends(p)) break;
        TRI_TRY(rules->simple ? parse_primary(p, rules->namespaces, &item)
                              : jj_parse_expression(p, !rules->no_cond, &item));
        TRI_TRY(jj_nodes_add(p, &items, item));
        if (!jj_at_op(p, ',')) break;
        is_tuple = true;
    }
    if (!is_tuple && items.n) {
        *node = items.items[0];
        return TRI_OK;
    }
    if (!is_tuple && !rules->in_brackets) {
        return jj_parser_fail(p, p->at->at, "Expected an expression");
    }
    TRI_TRY(jj_node_new(p, node, JJ_N_TUPLE, at));
    (*node)->list = items.items;
    (*node)->n = items.n;
    for (int32_t i = 0; i < items.n; i++)
        TRI_TRY(jj_node_over(p, *node, items.items[i]));
    return TRI_OK;
}

/* ---- after a primary ---- */

static tri_status parse_slice_part(jj_parser *p, jj_node **part) {
    *part = NULL;
    if (jj_at_op(p, ':') || jj_at_op(p, ']') || jj_at_op(p, ',')) return TRI_OK;
    return jj_parse_expression(p, true, part);
}

static tri_status parse_subscript(jj_parser *p, jj_node **node) {
    jj_node *below = *node;
    uint32_t at = p->at->at;
    if (jj_skip_op(p, '.')) {
        const jj_token *t = p->at;
        if (t->kind == JJ_T_INTEGER) {
            TRI_TRY(jj_node_new(p, node, JJ_N_GETITEM, at));
            TRI_TRY(parse_number(p, &(*node)->b));
        } else if (t->kind == JJ_T_NAME) {
            p->at++;
            TRI_TRY(jj_node_new(p, node, JJ_N_GETATTR, at));
            TRI_TRY(jj_parser_str(p, &(*node)->attr, t->text));
            jj_attr known;
            if (jj_attr_find(&known, t->text)) {
                jj_attr *copy = TRI_NEW(p->arena, jj_attr);
                if (!copy) return no_memory(p);
                *copy = known;
                (*node)->known = copy;
            }
        } else {
            return jj_parser_fail(p, t->at, "expected name or number");
        }
        (*node)->a = below;
        return jj_node_over(p, *node, below);
    }
    p->at++;
    jj_node *made, *first = NULL;
    TRI_TRY(jj_node_new(p, &made, JJ_N_GETITEM, at));
    made->a = below;
    *node = made;
    if (jj_at_op(p, ']')) { /* x[]: jinja2 looks up an empty tuple */
        TRI_TRY(jj_node_new(p, &made->b, JJ_N_TUPLE, at));
        p->at++;
        return jj_node_over(p, made, below);
    }
    TRI_TRY(parse_slice_part(p, &first));
    made->b = first;
    if (jj_skip_op(p, ':')) {
        made->kind = JJ_N_SLICE;
        TRI_TRY(parse_slice_part(p, &made->c));
        if (jj_skip_op(p, ':')) TRI_TRY(parse_slice_part(p, &made->d));
    } else if (!first) {
        return jj_unexpected(p, NULL);
    } else if (jj_at_op(p, ',')) {
        jj_nodes items = {0};
        TRI_TRY(jj_nodes_add(p, &items, first));
        while (jj_skip_op(p, ',')) {
            jj_node *item = NULL;
            TRI_TRY(jj_parse_expression(p, true, &item));
            TRI_TRY(jj_nodes_add(p, &items, item));
        }
        TRI_TRY(jj_node_new(p, &made->b, JJ_N_TUPLE, at));
        made->b->list = items.items;
        made->b->n = items.n;
        for (int32_t i = 0; i < items.n; i++)
            TRI_TRY(jj_node_over(p, made->b, items.items[i]));
    }
    TRI_TRY(jj_expect_op(p, ']'));
    TRI_TRY(jj_node_over(p, made, made->b));
    TRI_TRY(jj_node_over(p, made, made->c));
    TRI_TRY(jj_node_over(p, made, made->d));
    return jj_node_over(p, made, below);
}

static tri_status parse_named(jj_parser *p, jj_nodes *named, jj_call *call) {
    jj_node *value = NULL;
    tri_str name = p->at->text;
    p->at += 2;
    TRI_TRY(jj_parse_expression(p, true, &value));
    TRI_TRY(jj_nodes_add(p, named, value));
    jj_str **names = TRI_NEW_N(p->arena, jj_str *, named->n);
    if (!names) return no_memory(p);
    if (named->n > 1) memcpy(names, call->names, (size_t)(named->n - 1) * sizeof *names);
    call->names = names;
    for (int32_t i = 0; i + 1 < named->n; i++) {
        if (tri_str_equal(jj_view_of(names[i]), name)) {
            return jj_parser_fail(
                p, value->at, "keyword argument repeated: %.*s", (int)name.len, name.ptr);
        }
    }
    return jj_parser_str(p, &names[named->n - 1], name);
}

static tri_status parse_args(jj_parser *p, jj_node *owner) {
    jj_call *call = &owner->call;
    jj_nodes args = {0}, named = {0};
    uint32_t at = p->at->at;
    bool comma = false, valid = true;
    TRI_TRY(jj_expect_op(p, '('));
    while (!jj_at_op(p, ')')) {
        jj_node *value = NULL;
        if (comma) {
            TRI_TRY(jj_expect_op(p, ','));
            if (jj_at_op(p, ')')) break;
        }
        if (jj_skip_op(p, '*')) {
            valid = !call->star && !call->star_star;
            TRI_TRY(jj_parse_expression(p, true, &value));
            call->star = value;
        } else if (jj_skip_op(p, JJ_OP2('*', '*'))) {
            valid = !call->star_star;
            TRI_TRY(jj_parse_expression(p, true, &value));
            call->star_star = value;
        } else if (p->at->kind == JJ_T_NAME && p->at[1].kind == JJ_T_OPERATOR &&
                   p->at[1].op == '=') {
            valid = !call->star_star;
            TRI_TRY(parse_named(p, &named, call));
            value = named.items[named.n - 1];
        } else {
            valid = !call->star && !call->star_star && !named.n;
            TRI_TRY(jj_parse_expression(p, true, &value));
            TRI_TRY(jj_nodes_add(p, &args, value));
        }
        if (!valid) return jj_parser_fail(p, at, "invalid syntax for function call expression");
        TRI_TRY(jj_node_over(p, owner, value));
        comma = true;
    }
    p->at++;
    call->args = args.items;
    call->n = args.n;
    call->named = named.items;
    call->n_named = named.n;
    return TRI_OK;
}

static tri_status parse_call(jj_parser *p, jj_node **node) {
    jj_node *below = *node;
    TRI_TRY(jj_node_new(p, node, JJ_N_CALL, p->at->at));
    (*node)->a = below;
    TRI_TRY(jj_node_over(p, *node, below));
    return parse_args(p, *node);
}

static tri_status parse_postfix(jj_parser *p, jj_node **node) {
    for (;;) {
        if (jj_at_op(p, '.') || jj_at_op(p, '['))
            TRI_TRY(parse_subscript(p, node));
        else if (jj_at_op(p, '('))
            TRI_TRY(parse_call(p, node));
        else
            return TRI_OK;
    }
}

static tri_status dotted_name(jj_parser *p, jj_str **out) {
    tri_str name = {0}, more = {0};
    tri_buf joined = {0};
    TRI_TRY(jj_expect_name(p, &name));
    tri_buf_append(&joined, name.ptr, name.len);
    tri_status rc = TRI_OK;
    while (!rc && jj_skip_op(p, '.')) {
        rc = jj_expect_name(p, &more);
        if (rc) break;
        tri_buf_putc(&joined, '.');
        tri_buf_append(&joined, more.ptr, more.len);
    }
    if (!rc) rc = tri_buf_status(&joined, p->err);
    if (!rc) rc = jj_parser_str(p, out, (tri_str){joined.ptr, joined.len});
    tri_buf_deinit(&joined);
    return rc;
}

tri_status jj_parse_filter(jj_parser *p, jj_node *below, bool inside_tag, jj_node **node) {
    *node = below;
    while (inside_tag || jj_skip_op(p, '|')) {
        jj_node *made = NULL;
        inside_tag = false;
        TRI_TRY(jj_node_new(p, &made, JJ_N_FILTER, p->at->at));
        TRI_TRY(dotted_name(p, &made->name));
        made->builtin = jj_filter_find(jj_view_of(made->name));
        made->a = *node;
        TRI_TRY(jj_node_over(p, made, *node));
        if (jj_at_op(p, '(')) TRI_TRY(parse_args(p, made));
        *node = made;
    }
    return TRI_OK;
}

static bool test_argument_follows(const jj_parser *p) {
    if (jj_at_name(p, "else") || jj_at_name(p, "or") || jj_at_name(p, "and")) return false;
    jj_token_kind kind = (jj_token_kind)p->at->kind;
    return kind == JJ_T_NAME || kind == JJ_T_STRING || kind == JJ_T_INTEGER || kind == JJ_T_FLOAT ||
           jj_at_op(p, '[') || jj_at_op(p, '{');
}

static tri_status parse_test(jj_parser *p, jj_node **node) {
    jj_node *below = *node, *made;
    uint32_t at = p->at++->at;
    bool negated = jj_skip_name(p, "not");
    TRI_TRY(jj_node_new(p, &made, JJ_N_TEST, at));
    TRI_TRY(dotted_name(p, &made->name));
    made->builtin = jj_test_find(jj_view_of(made->name));
    made->a = below;
    TRI_TRY(jj_node_over(p, made, below));
    if (jj_at_op(p, '(')) {
        TRI_TRY(parse_args(p, made));
    } else if (test_argument_follows(p)) {
        if (jj_at_name(p, "is")) {
            return jj_parser_fail(p, p->at->at, "You cannot chain multiple tests with is");
        }
        jj_node *arg = NULL;
        jj_nodes args = {0};
        TRI_TRY(parse_primary(p, false, &arg));
        TRI_TRY(parse_postfix(p, &arg));
        TRI_TRY(jj_nodes_add(p, &args, arg));
        TRI_TRY(jj_node_over(p, made, arg));
        made->call.args = args.items;
        made->call.n = 1;
    }
    *node = made;
    if (!negated) return TRI_OK;
    TRI_TRY(jj_node_new(p, node, JJ_N_NOT, at));
    (*node)->a = made;
    return jj_node_over(p, *node, made);
}

static tri_status parse_unary(jj_parser *p, bool with_filter, jj_node **node) {
    uint32_t at = p->at->at;
    if (p->depth >= JJ_MAX_HEIGHT) {
        return jj_parser_fail(p, at, "expressions nested more than %d deep", JJ_MAX_HEIGHT);
    }
    if (jj_at_op(p, '-') || jj_at_op(p, '+')) {
        jj_node *made = NULL;
        TRI_TRY(jj_node_new(p, &made, jj_at_op(p, '-') ? JJ_N_NEG : JJ_N_POS, at));
        p->at++;
        p->depth++;
        TRI_TRY(parse_unary(p, false, &made->a));
        p->depth--;
        TRI_TRY(jj_node_over(p, made, made->a));
        *node = made;
    } else {
        p->depth++;
        TRI_TRY(parse_primary(p, false, node));
        p->depth--;
    }
    TRI_TRY(parse_postfix(p, node));
    while (with_filter) {
        if (jj_at_op(p, '|'))
            TRI_TRY(jj_parse_filter(p, *node, false, node));
        else if (jj_at_name(p, "is"))
            TRI_TRY(parse_test(p, node));
        else if (jj_at_op(p, '('))
            TRI_TRY(parse_call(p, node));
        else
            break;
    }
    return TRI_OK;
}

/* ---- operators ---- */

static tri_status make_binary(
    jj_parser *p, jj_node_kind kind, uint32_t at, jj_op op, jj_node *right, jj_node **left) {
    jj_node *made = NULL;
    TRI_TRY(jj_node_new(p, &made, kind, at));
    made->op = (uint8_t)op;
    made->a = *left;
    made->b = right;
    *left = made;
    TRI_TRY(jj_node_over(p, made, made->a));
    return jj_node_over(p, made, made->b);
}

static tri_status parse_pow(jj_parser *p, jj_node **node) {
    TRI_TRY(parse_unary(p, true, node));
    while (jj_at_op(p, JJ_OP2('*', '*'))) {
        jj_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_unary(p, true, &right));
        TRI_TRY(make_binary(p, JJ_N_BINARY, at, JJ_POW, right, node));
    }
    return TRI_OK;
}

static int math2_op(const jj_parser *p) {
    return jj_at_op(p, '*')                ? JJ_MUL
           : jj_at_op(p, '/')              ? JJ_DIV
           : jj_at_op(p, JJ_OP2('/', '/')) ? JJ_FLOORDIV
           : jj_at_op(p, '%')              ? JJ_MOD
                                           : -1;
}

static tri_status parse_math2(jj_parser *p, jj_node **node) {
    TRI_TRY(parse_pow(p, node));
    for (int op; (op = math2_op(p)) >= 0;) {
        jj_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_pow(p, &right));
        TRI_TRY(make_binary(p, JJ_N_BINARY, at, (jj_op)op, right, node));
    }
    return TRI_OK;
}

static tri_status parse_concat(jj_parser *p, jj_node **node) {
    jj_nodes items = {0};
    uint32_t at = p->at->at;
    TRI_TRY(parse_math2(p, node));
    if (!jj_at_op(p, '~')) return TRI_OK;
    TRI_TRY(jj_nodes_add(p, &items, *node));
    while (jj_skip_op(p, '~')) {
        TRI_TRY(parse_math2(p, node));
        TRI_TRY(jj_nodes_add(p, &items, *node));
    }
    TRI_TRY(jj_node_new(p, node, JJ_N_CONCAT, at));
    (*node)->list = items.items;
    (*node)->n = items.n;
    for (int32_t i = 0; i < items.n; i++)
        TRI_TRY(jj_node_over(p, *node, items.items[i]));
    return TRI_OK;
}

static tri_status parse_math1(jj_parser *p, jj_node **node) {
    TRI_TRY(parse_concat(p, node));
    while (jj_at_op(p, '+') || jj_at_op(p, '-')) {
        jj_node *right = NULL;
        jj_op op = jj_at_op(p, '+') ? JJ_ADD : JJ_SUB;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_concat(p, &right));
        TRI_TRY(make_binary(p, JJ_N_BINARY, at, op, right, node));
    }
    return TRI_OK;
}

static int compare_op(jj_parser *p) {
    static const struct {
        int op;
        jj_op means;
    } ops[] = {{JJ_OP2('=', '='), JJ_EQ}, {JJ_OP2('!', '='), JJ_NE}, {'<', JJ_LT},
        {JJ_OP2('<', '='), JJ_LE}, {'>', JJ_GT}, {JJ_OP2('>', '='), JJ_GE}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (jj_skip_op(p, ops[i].op)) return (int)ops[i].means;
    }
    if (jj_skip_name(p, "in")) return JJ_IN;
    if (jj_at_name(p, "not") && p->at[1].kind == JJ_T_NAME && tri_str_is(p->at[1].text, "in")) {
        p->at += 2;
        return JJ_NOT_IN;
    }
    return -1;
}

static tri_status parse_compare(jj_parser *p, jj_node **node) {
    jj_nodes ops = {0};
    uint32_t at = p->at->at;
    TRI_TRY(parse_math1(p, node));
    for (int op; (op = compare_op(p)) >= 0;) {
        jj_node *operand = NULL;
        TRI_TRY(jj_node_new(p, &operand, JJ_N_OPERAND, p->at[-1].at));
        operand->op = (uint8_t)op;
        TRI_TRY(parse_math1(p, &operand->a));
        TRI_TRY(jj_node_over(p, operand, operand->a));
        TRI_TRY(jj_nodes_add(p, &ops, operand));
    }
    if (!ops.n) return TRI_OK;
    jj_node *made = NULL;
    TRI_TRY(jj_node_new(p, &made, JJ_N_COMPARE, at));
    made->a = *node;
    made->list = ops.items;
    made->n = ops.n;
    *node = made;
    for (int32_t i = 0; i < ops.n; i++)
        TRI_TRY(jj_node_over(p, made, ops.items[i]));
    return jj_node_over(p, made, made->a);
}

static tri_status parse_not(jj_parser *p, jj_node **node) {
    uint32_t at = p->at->at;
    int32_t n = 0;
    while (jj_skip_name(p, "not"))
        n++;
    TRI_TRY(parse_compare(p, node));
    while (n-- > 0) {
        jj_node *made = NULL;
        TRI_TRY(jj_node_new(p, &made, JJ_N_NOT, at));
        made->a = *node;
        *node = made;
        TRI_TRY(jj_node_over(p, made, made->a));
    }
    return TRI_OK;
}

static tri_status parse_and(jj_parser *p, jj_node **node) {
    TRI_TRY(parse_not(p, node));
    while (jj_at_name(p, "and")) {
        jj_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_not(p, &right));
        TRI_TRY(make_binary(p, JJ_N_AND, at, JJ_ADD, right, node));
    }
    return TRI_OK;
}

static tri_status parse_or(jj_parser *p, jj_node **node) {
    TRI_TRY(parse_and(p, node));
    while (jj_at_name(p, "or")) {
        jj_node *right = NULL;
        uint32_t at = p->at++->at;
        TRI_TRY(parse_and(p, &right));
        TRI_TRY(make_binary(p, JJ_N_OR, at, JJ_ADD, right, node));
    }
    return TRI_OK;
}

static tri_status parse_cond(jj_parser *p, jj_node **node) {
    TRI_TRY(parse_or(p, node));
    while (jj_at_name(p, "if")) {
        jj_node *made = NULL;
        TRI_TRY(jj_node_new(p, &made, JJ_N_COND, p->at++->at));
        made->a = *node;
        TRI_TRY(parse_or(p, &made->b));
        if (jj_skip_name(p, "else")) TRI_TRY(jj_parse_expression(p, true, &made->c));
        *node = made;
        TRI_TRY(jj_node_over(p, made, made->a));
        TRI_TRY(jj_node_over(p, made, made->b));
        TRI_TRY(jj_node_over(p, made, made->c));
    }
    return TRI_OK;
}

tri_status jj_parse_expression(jj_parser *p, bool with_cond, jj_node **node) {
    if (p->depth >= JJ_MAX_HEIGHT) {
        return jj_parser_fail(p, p->at->at, "expressions nested more than %d deep", JJ_MAX_HEIGHT);
    }
    p->depth++;
    TRI_TRY(with_cond ? parse_cond(p, node) : parse_or(p, node));
    p->depth--;
    return TRI_OK;
}
