/* parse_expr.c - operators; the functions follow jinja2's precedence, tightest first. */
#include "text/jinja/parse.h"

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
        TRI_TRY(tri_jinja_parse_primary(p, false, node));
        p->depth--;
    }
    TRI_TRY(tri_jinja_parse_postfix(p, node));
    while (with_filter) {
        if (tri_jinja_at_op(p, '|'))
            TRI_TRY(tri_jinja_parse_filter(p, *node, false, node));
        else if (tri_jinja_at_name(p, "is"))
            TRI_TRY(tri_jinja_parse_test(p, node));
        else if (tri_jinja_at_op(p, '('))
            TRI_TRY(tri_jinja_parse_call(p, node));
        else
            break;
    }
    return TRI_OK;
}

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
