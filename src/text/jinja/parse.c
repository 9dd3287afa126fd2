/* parse.c - statements. */
#include "text/jinja/parse.h"

#include <stdio.h>
#include <string.h>

#include "text/jinja/program.h"
#include "text/jinja/vm.h"

enum { MAX_BLOCKS = 100 }; /* nested statements */

static tri_status parse_block(tri_jinja_parser *p, const char *const *ends, tri_jinja_block *block);

static bool is_among(const char *const *names, tri_str name) {
    for (; names && *names; names++)
        if (tri_str_is(name, *names)) return true;
    return false;
}

/* A tag that is not known here, or (name NULL) the end of the template: jinja2's words for it, and
 * where the block began that is open. */
static tri_status fail_tag(tri_jinja_parser *p, uint32_t at, const tri_str *name) {
    char wanted[128] = "", what[128] = "Unexpected end of template.";
    const tri_jinja_open_tag *open = p->open;
    bool expected = false;
    if (name) {
        snprintf(what, sizeof what, "Encountered unknown tag '%.*s'.",
            (int)(name->len < 60 ? name->len : 60), name->ptr);
    }
    if (!open) return tri_jinja_parser_fail(p, at, "%s", what);
    for (const tri_jinja_open_tag *tag = open; name && tag; tag = tag->outer)
        expected = expected || is_among(tag->ends, *name);
    for (const char *const *end = open->ends; *end; end++) {
        size_t n = strlen(wanted);
        snprintf(wanted + n, sizeof wanted - n, "%s'%s'", n ? " or " : "", *end);
    }
    int32_t line, column;
    tri_jinja_place(p->src, open->at, &line, &column);
    return tri_jinja_parser_fail(p, at,
        "%s %s %s. The innermost block that needs to be closed is '%.*s'. It begins in line "
        "%" PRId32 ", column %" PRId32 ".",
        what,
        expected ? "You probably made a nesting mistake. Jinja is expecting this tag, but "
                   "currently looking for"
                 : "Jinja was looking for the following tags:",
        wanted, (int)open->name.len, open->name.ptr, line, column);
}

/* The body of a statement up to one of the end tags (their names NULL-terminated), which stays for
 * the caller. */
static tri_status parse_body(tri_jinja_parser *p, const char *const *ends, tri_jinja_block *block) {
    tri_jinja_skip_op(p, ':');
    if (p->at->kind != TRI_JINJA_T_BLOCK_END)
        return tri_jinja_unexpected(p, "end of statement block");
    p->at++;
    if (p->depth >= MAX_BLOCKS) {
        return tri_jinja_parser_fail(
            p, p->at->at, "statements nested more than %d deep", MAX_BLOCKS);
    }
    p->depth++;
    p->open->ends = ends;
    TRI_TRY(parse_block(p, ends, block));
    p->depth--;
    return p->at->kind == TRI_JINJA_T_END ? fail_tag(p, p->at->at, NULL) : TRI_OK;
}

static tri_status parse_whole_body(tri_jinja_parser *p, const char *end, tri_jinja_block *block) {
    const char *const ends[] = {end, NULL};
    TRI_TRY(parse_body(p, ends, block));
    p->at++;
    return TRI_OK;
}

static tri_status check_target(tri_jinja_parser *p, const tri_jinja_node *target) {
    switch (target->kind) {
    case TRI_JINJA_N_NAME:
    case TRI_JINJA_N_NSREF:
        return TRI_OK;
    case TRI_JINJA_N_TUPLE:
        for (int32_t i = 0; i < target->n; i++)
            TRI_TRY(check_target(p, target->list[i]));
        return TRI_OK;
    default:
        return tri_jinja_parser_fail(p, target->at, "can't assign to this expression");
    }
}

static tri_status parse_target(tri_jinja_parser *p, bool namespaces, tri_jinja_node **target) {
    tri_jinja_tuple_rules rules = {.simple = true, .namespaces = namespaces};
    TRI_TRY(tri_jinja_parse_tuple(p, &rules, target));
    return check_target(p, *target);
}

static tri_status parse_name_target(tri_jinja_parser *p, tri_jinja_node **target) {
    tri_str name;
    TRI_TRY(tri_jinja_node_new(p, target, TRI_JINJA_N_NAME, p->at->at));
    TRI_TRY(tri_jinja_expect_name(p, &name));
    TRI_TRY(tri_jinja_parser_str(p, &(*target)->name, name));
    static const char *const constants[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (tri_str_is(name, constants[i])) {
            return tri_jinja_parser_fail(p, (*target)->at, "can't assign to 'name'");
        }
    }
    return TRI_OK;
}

static tri_status parse_set(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    tri_jinja_node *target = NULL;
    TRI_TRY(parse_target(p, true, &target));
    if (tri_jinja_skip_op(p, '=')) {
        TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_SET, at));
        (*node)->a = target;
        return tri_jinja_parse_tuple(p, &(tri_jinja_tuple_rules){0}, &(*node)->b);
    }
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_SET_BLOCK, at));
    (*node)->a = target;
    TRI_TRY(tri_jinja_parse_filter(p, NULL, false, &(*node)->b));
    return parse_whole_body(p, "endset", &(*node)->body);
}

static tri_status parse_for(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    static const char *const ends[] = {"endfor", "else", NULL};
    tri_jinja_node *made = NULL;
    TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_FOR, at));
    TRI_TRY(parse_target(p, false, &made->a));
    if (!tri_jinja_skip_name(p, "in")) return tri_jinja_unexpected(p, "in");
    TRI_TRY(tri_jinja_parse_tuple(p, &(tri_jinja_tuple_rules){.no_cond = true}, &made->b));
    if (tri_jinja_skip_name(p, "if")) TRI_TRY(tri_jinja_parse_expression(p, true, &made->c));
    made->flag = tri_jinja_skip_name(p, "recursive");
    TRI_TRY(parse_body(p, ends, &made->body));
    *node = made;
    if (tri_str_is(p->at++->text, "endfor")) return TRI_OK;
    return parse_whole_body(p, "endfor", &made->other);
}

static tri_status parse_if(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    tri_jinja_nodes elifs = {0};
    tri_jinja_node *result = NULL;
    for (;;) {
        tri_jinja_node *made = NULL;
        TRI_TRY(tri_jinja_node_new(p, &made, TRI_JINJA_N_IF, at));
        TRI_TRY(tri_jinja_parse_tuple(p, &(tri_jinja_tuple_rules){.no_cond = true}, &made->a));
        TRI_TRY(parse_body(p, ends, &made->body));
        if (result)
            TRI_TRY(tri_jinja_nodes_add(p, &elifs, made));
        else
            result = made;
        at = p->at->at;
        if (tri_jinja_skip_name(p, "elif")) continue;
        if (tri_str_is(p->at++->text, "else")) {
            TRI_TRY(parse_whole_body(p, "endif", &result->other));
        }
        break;
    }
    result->list = elifs.items;
    result->n = elifs.n;
    *node = result;
    return TRI_OK;
}

static tri_status parse_with(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    tri_jinja_nodes items = {0};
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_WITH, at));
    while (p->at->kind != TRI_JINJA_T_BLOCK_END) {
        tri_jinja_node *target, *value;
        if (items.n) TRI_TRY(tri_jinja_expect_op(p, ','));
        TRI_TRY(parse_target(p, false, &target));
        TRI_TRY(tri_jinja_expect_op(p, '='));
        TRI_TRY(tri_jinja_parse_expression(p, true, &value));
        TRI_TRY(tri_jinja_nodes_add(p, &items, target));
        TRI_TRY(tri_jinja_nodes_add(p, &items, value));
    }
    (*node)->list = items.items;
    (*node)->n = items.n;
    return parse_whole_body(p, "endwith", &(*node)->body);
}

static tri_status new_function(tri_jinja_parser *p, tri_jinja_node *node) {
    node->function = TRI_NEW(p->arena, tri_jinja_function);
    if (!node->function) return TRI_FAIL(p->err, TRI_E_MEMORY, "no memory for a template");
    return TRI_OK;
}

static tri_status parse_signature(tri_jinja_parser *p, tri_jinja_function *f) {
    tri_jinja_nodes params = {0}, defaults = {0};
    TRI_TRY(tri_jinja_expect_op(p, '('));
    while (!tri_jinja_at_op(p, ')')) {
        tri_jinja_node *param, *value;
        if (params.n) TRI_TRY(tri_jinja_expect_op(p, ','));
        TRI_TRY(parse_name_target(p, &param));
        for (int32_t i = 0; i < params.n; i++) {
            if (tri_jinja_str_eq(params.items[i]->name, param->name)) {
                return tri_jinja_parser_fail(p, param->at,
                    "duplicate argument '%.*s' in the signature", TRI_JINJA_SHOWN(param->name));
            }
        }
        TRI_TRY(tri_jinja_nodes_add(p, &params, param));
        if (tri_jinja_skip_op(p, '=')) {
            TRI_TRY(tri_jinja_parse_expression(p, true, &value));
            TRI_TRY(tri_jinja_nodes_add(p, &defaults, value));
        } else if (defaults.n) {
            return tri_jinja_parser_fail(
                p, param->at, "non-default argument follows default argument");
        }
    }
    p->at++;
    f->params = params.items;
    f->n_params = params.n;
    f->defaults = defaults.items;
    f->n_defaults = defaults.n;
    return TRI_OK;
}

static tri_status parse_macro(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    tri_jinja_node *name = NULL;
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_MACRO, at));
    TRI_TRY(parse_name_target(p, &name));
    (*node)->name = name->name;
    TRI_TRY(new_function(p, *node));
    (*node)->function->name = name->name;
    TRI_TRY(parse_signature(p, (*node)->function));
    return parse_whole_body(p, "endmacro", &(*node)->function->body);
}

static tri_status parse_call_block(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_CALL_BLOCK, at));
    TRI_TRY(new_function(p, *node));
    if (tri_jinja_at_op(p, '(')) TRI_TRY(parse_signature(p, (*node)->function));
    TRI_TRY(tri_jinja_parse_expression(p, true, &(*node)->a));
    if ((*node)->a->kind != TRI_JINJA_N_CALL) return tri_jinja_parser_fail(p, at, "expected call");
    return parse_whole_body(p, "endcall", &(*node)->function->body);
}

static tri_status parse_print(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    tri_jinja_nodes items = {0};
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_OUTPUT, at));
    while (p->at->kind != TRI_JINJA_T_BLOCK_END) {
        tri_jinja_node *item = NULL;
        if (items.n) TRI_TRY(tri_jinja_expect_op(p, ','));
        TRI_TRY(tri_jinja_parse_expression(p, true, &item));
        TRI_TRY(tri_jinja_nodes_add(p, &items, item));
    }
    (*node)->list = items.items;
    (*node)->n = items.n;
    return TRI_OK;
}

/* include, import, from, extends: jinja2 reads them, too, and fails when it gets there, since
 * nothing loads other templates for a chat template. */
static tri_status parse_loading(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    tri_jinja_str *message;
    while (p->at->kind != TRI_JINJA_T_BLOCK_END) {
        if (p->at->kind == TRI_JINJA_T_END)
            return tri_jinja_unexpected(p, "end of statement block");
        p->at++;
    }
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_RAISE, at));
    TRI_TRY(tri_jinja_parser_str(p, &message, TRI_STR("no loader for this environment specified")));
    (*node)->value = tri_jinja_of_str(message);
    return TRI_OK;
}

static tri_status parse_autoescape(tri_jinja_parser *p, uint32_t at, tri_jinja_node **node) {
    tri_jinja_node *on = NULL;
    TRI_TRY(tri_jinja_parse_expression(p, true, &on));
    if (on->kind != TRI_JINJA_N_CONST || on->value.kind != TRI_JINJA_BOOL || on->value.as.b) {
        return tri_jinja_parser_fail(p, at, "autoescape is not supported, other than with false");
    }
    TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_SCOPE, at));
    return parse_whole_body(p, "endautoescape", &(*node)->body);
}

static tri_status parse_tag(tri_jinja_parser *p, tri_str tag, uint32_t at, tri_jinja_node **node) {
    if (tri_str_is(tag, "set")) return parse_set(p, at, node);
    if (tri_str_is(tag, "if")) return parse_if(p, at, node);
    if (tri_str_is(tag, "for")) return parse_for(p, at, node);
    if (tri_str_is(tag, "macro")) return parse_macro(p, at, node);
    if (tri_str_is(tag, "call")) return parse_call_block(p, at, node);
    if (tri_str_is(tag, "with")) return parse_with(p, at, node);
    if (tri_str_is(tag, "print")) return parse_print(p, at, node);
    if (tri_str_is(tag, "autoescape")) return parse_autoescape(p, at, node);
    if (tri_str_is(tag, "break")) return tri_jinja_node_new(p, node, TRI_JINJA_N_BREAK, at);
    if (tri_str_is(tag, "continue")) return tri_jinja_node_new(p, node, TRI_JINJA_N_CONTINUE, at);
    if (tri_str_is(tag, "filter")) {
        TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_FILTER_BLOCK, at));
        TRI_TRY(tri_jinja_parse_filter(p, NULL, true, &(*node)->a));
        return parse_whole_body(p, "endfilter", &(*node)->body);
    }
    if (tri_str_is(tag, "generation")) {
        TRI_TRY(tri_jinja_node_new(p, node, TRI_JINJA_N_GENERATION, at));
        TRI_TRY(new_function(p, *node));
        return parse_whole_body(p, "endgeneration", &(*node)->function->body);
    }
    if (tri_str_is(tag, "include") || tri_str_is(tag, "import") || tri_str_is(tag, "from") ||
        tri_str_is(tag, "extends")) {
        return parse_loading(p, at, node);
    }
    if (tri_str_is(tag, "block")) {
        return tri_jinja_parser_fail(p, at, "blocks (of template inheritance) are not supported");
    }
    p->open = p->open->outer;
    return fail_tag(p, at, &tag);
}

static tri_status parse_statement(tri_jinja_parser *p, tri_jinja_node **node) {
    tri_jinja_open_tag open = {.at = p->at->at, .outer = p->open};
    if (p->at->kind != TRI_JINJA_T_NAME)
        return tri_jinja_parser_fail(p, open.at, "tag name expected");
    TRI_TRY(tri_jinja_expect_name(p, &open.name));
    p->open = &open;
    tri_status rc = parse_tag(p, open.name, open.at, node);
    p->open = open.outer;
    return rc;
}

static bool at_end_tag(const tri_jinja_parser *p, const char *const *ends) {
    return p->at->kind == TRI_JINJA_T_NAME && is_among(ends, p->at->text);
}

/* Texts and {{ }} that follow each other become one OUTPUT. */
static tri_status add_output(tri_jinja_parser *p, tri_jinja_nodes *body, tri_jinja_nodes *output) {
    if (!output->n) return TRI_OK;
    tri_jinja_node *node = NULL;
    TRI_TRY(tri_jinja_node_new(p, &node, TRI_JINJA_N_OUTPUT, output->items[0]->at));
    node->list = output->items;
    node->n = output->n;
    *output = (tri_jinja_nodes){0};
    return tri_jinja_nodes_add(p, body, node);
}

static tri_status parse_block(
    tri_jinja_parser *p, const char *const *ends, tri_jinja_block *block) {
    tri_jinja_nodes body = {0}, output = {0};
    while (p->at->kind != TRI_JINJA_T_END) {
        const tri_jinja_token *t = p->at++;
        tri_jinja_node *node = NULL;
        if (t->kind == TRI_JINJA_T_DATA) {
            tri_jinja_str *text;
            TRI_TRY(tri_jinja_parser_str(p, &text, t->text));
            TRI_TRY(tri_jinja_node_new(p, &node, TRI_JINJA_N_TEXT, t->at));
            node->value = tri_jinja_of_str(text);
            TRI_TRY(tri_jinja_nodes_add(p, &output, node));
        } else if (t->kind == TRI_JINJA_T_VARIABLE_BEGIN) {
            TRI_TRY(tri_jinja_parse_tuple(p, &(tri_jinja_tuple_rules){0}, &node));
            if (p->at->kind != TRI_JINJA_T_VARIABLE_END)
                return tri_jinja_unexpected(p, "end of print statement");
            p->at++;
            TRI_TRY(tri_jinja_nodes_add(p, &output, node));
        } else if (t->kind == TRI_JINJA_T_BLOCK_BEGIN) {
            TRI_TRY(add_output(p, &body, &output));
            if (at_end_tag(p, ends)) break;
            TRI_TRY(parse_statement(p, &node));
            if (p->at->kind != TRI_JINJA_T_BLOCK_END)
                return tri_jinja_unexpected(p, "end of statement block");
            p->at++;
            TRI_TRY(tri_jinja_nodes_add(p, &body, node));
        } else {
            p->at--;
            return tri_jinja_unexpected(p, NULL);
        }
    }
    TRI_TRY(add_output(p, &body, &output));
    *block = (tri_jinja_block){body.n, body.items};
    return TRI_OK;
}

tri_status tri_jinja_parse(tri_jinja_block *body, tri_str source, const tri_jinja_tokens *tokens,
    tri_arena *arena, tri_error *err) {
    tri_jinja_parser p = {.src = source, .at = tokens->items, .arena = arena, .err = err};
    return parse_block(&p, NULL, body);
}
