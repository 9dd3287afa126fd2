/* parse_postfix.c - what follows a primary: subscripts, calls, filters and tests. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/builtin.h"
#include "text/jinja/parse.h"

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
            TRI_TRY(tri_jinja_parse_number(p, &(*node)->b));
        } else if (t->kind == TRI_JINJA_T_NAME) {
            p->at++;
            TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_GETATTR, at));
            TRI_TRY(tri_jinja_parser_str(p, &(*node)->attr, t->text));
            tri_jinja_attr known;
            if (tri_jinja_attr_find(&known, t->text)) {
                tri_jinja_attr *copy = TRI_NEW(p->arena, tri_jinja_attr);
                if (!copy) return tri_jinja_parser_no_memory(p);
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
    if (!names) return tri_jinja_parser_no_memory(p);
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

tri_status tri_jinja_parse_call(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_node *below = *node;
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CALL, p->at->at));
    (*node)->a = below;
    TRI_TRY(tri_jinja_node_over(p, *node, below));
    return parse_args(p, *node);
}

tri_status tri_jinja_parse_postfix(tri_jinja_parser *p, tri_jinja_node **node) {
    for (;;) {
        if (tri_jinja_at_op(p, '.') || tri_jinja_at_op(p, '['))
            TRI_TRY(parse_subscript(p, node));
        else if (tri_jinja_at_op(p, '('))
            TRI_TRY(tri_jinja_parse_call(p, node));
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

tri_status tri_jinja_parse_test(tri_jinja_parser *p, tri_jinja_node **node) {
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
        TRI_TRY(tri_jinja_parse_primary(p, false, &arg));
        TRI_TRY(tri_jinja_parse_postfix(p, &arg));
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
