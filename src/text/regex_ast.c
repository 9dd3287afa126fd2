#include "text/regex_ast.h"

static void *failed(tri_ast *ast, tri_status status) {
    if (!ast->status) ast->status = status;
    return NULL;
}

static void *no_memory(tri_ast *ast) {
    return failed(ast, TRI_FAIL(ast->err, TRI_E_LIMIT, "the expression needs too much memory"));
}

/* Chains of CAT and ALT lean to the right and are walked in loops: b does not add to depth. */
static tri_node *node(tri_ast *ast, tri_node_kind kind, tri_node *a, tri_node *b) {
    if (ast->status) return NULL;
    tri_node *n = TRI_NEW(ast->arena, tri_node);
    if (!n) return no_memory(ast);
    int32_t depth = a ? a->depth + 1 : 1;
    if (b && b->depth > depth) depth = b->depth;
    if (depth > TRI_REGEX_MAX_DEPTH)
        return failed(ast, TRI_FAIL(ast->err, TRI_E_LIMIT, "at byte %zu: nested more than %d deep",
                               ast->at, (int)TRI_REGEX_MAX_DEPTH));
    *n = (tri_node){.kind = kind, .a = a, .b = b, .depth = depth};
    return n;
}

static int32_t intern(tri_ast *ast, const tri_code_set *codes, bool edge) {
    if (codes->failed) {
        no_memory(ast);
        return -1;
    }
    for (int32_t i = 0; i < ast->n_sets; i++)
        if (ast->sets[i].edge == edge && tri_code_set_equal(&ast->sets[i].codes, codes)) return i;
    if (ast->n_sets == TRI_REGEX_MAX_SETS) {
        failed(ast, TRI_FAIL(ast->err, TRI_E_LIMIT, "at byte %zu: more than %d different classes",
                        ast->at, (int)TRI_REGEX_MAX_SETS));
        return -1;
    }
    ast->sets[ast->n_sets] = (tri_pattern_set){*codes, edge};
    return ast->n_sets++;
}

static tri_node *of_set(tri_ast *ast, tri_node_kind kind, const tri_code_set *codes, bool edge) {
    tri_node *n = node(ast, kind, NULL, NULL);
    int32_t set = n ? intern(ast, codes, edge) : -1;
    if (set < 0) return NULL;
    n->set = set;
    n->nullable = kind != TRI_NODE_SET;
    n->single = true;
    return n;
}

tri_node *tri_node_empty(tri_ast *ast) {
    tri_node *n = node(ast, TRI_NODE_EMPTY, NULL, NULL);
    if (n) n->nullable = n->sure = n->single = true;
    return n;
}

tri_node *tri_node_set(tri_ast *ast, const tri_code_set *codes) {
    return of_set(ast, TRI_NODE_SET, codes, false);
}

tri_node *tri_node_assert(
    tri_ast *ast, tri_node_kind next_or_prev, const tri_code_set *codes, bool edge) {
    return of_set(ast, next_or_prev, codes, edge);
}

tri_node *tri_node_cat(tri_ast *ast, tri_node *a, tri_node *b) {
    if (!a || !b) return NULL;
    if (a->kind == TRI_NODE_EMPTY) return b;
    if (b->kind == TRI_NODE_EMPTY) return a;
    tri_node *n = node(ast, TRI_NODE_CAT, a, b);
    if (!n) return NULL;
    n->nullable = a->nullable && b->nullable;
    n->sure = a->sure && b->sure;
    n->single = a->single && b->single;
    return n;
}

tri_node *tri_node_alt(tri_ast *ast, tri_node *a, tri_node *b) {
    if (!a || !b) return NULL;
    tri_node *n = node(ast, TRI_NODE_ALT, a, b);
    if (!n) return NULL;
    n->nullable = a->nullable || b->nullable;
    n->sure = a->sure || b->sure;
    return n;
}

tri_node *tri_node_repeat(tri_ast *ast, tri_node *a, int32_t min, int32_t max, bool lazy) {
    if (!a) return NULL;
    if (min == 1 && max == 1) return a;
    if (max == 0) return tri_node_empty(ast);
    tri_node *n = node(ast, TRI_NODE_REPEAT, a, NULL);
    if (!n) return NULL;
    n->min = min;
    n->max = max;
    n->lazy = lazy;
    n->nullable = min == 0 || a->nullable;
    n->sure = min == 0 || a->sure;
    n->single = a->single && min == max;
    return n;
}

/* ---- look-around ---- */

/* Does a node only ask about the one code point beside it?  Adds which ones to *codes. */
static bool asks_one(const tri_ast *ast, const tri_node *n, tri_node_kind direction,
    tri_code_set *codes, bool *edge) {
    for (; n->kind == TRI_NODE_ALT; n = n->b)
        if (!asks_one(ast, n->a, direction, codes, edge)) return false;
    if (n->kind == TRI_NODE_REPEAT && n->min == 1 && n->a->kind == TRI_NODE_SET) n = n->a;
    if (n->kind != TRI_NODE_SET && n->kind != direction) return false;
    tri_code_set_add_set(codes, &ast->sets[n->set].codes, ast->arena);
    *edge |= ast->sets[n->set].edge;
    return true;
}

tri_node *tri_node_look(tri_ast *ast, tri_node *body, bool behind, bool negated) {
    if (!body) return NULL;
    tri_node_kind direction = behind ? TRI_NODE_PREV : TRI_NODE_NEXT;
    tri_code_set codes = {0};
    bool edge = false;
    if (asks_one(ast, body, direction, &codes, &edge)) {
        tri_code_set_normalize(&codes);
        if (negated) {
            tri_code_set_negate(&codes, ast->arena);
            edge = !edge;
        }
        return tri_node_assert(ast, direction, &codes, edge);
    }
    int32_t look = 0;
    while (
        look < ast->n_looks && (ast->looks[look].node != body || ast->looks[look].behind != behind))
        look++;
    if (look == TRI_REGEX_MAX_LOOKS)
        return failed(ast, TRI_FAIL(ast->err, TRI_E_LIMIT,
                               "at byte %zu: more than %d parts with look-around of several "
                               "characters",
                               ast->at, (int)TRI_REGEX_MAX_LOOKS));
    tri_node *n = node(ast, TRI_NODE_LOOK, NULL, NULL);
    if (!n) return NULL;
    if (look == ast->n_looks) ast->looks[ast->n_looks++] = (tri_look){body, behind};
    n->set = look;
    n->negated = negated;
    n->nullable = n->single = true;
    return n;
}

tri_node *tri_node_word_boundary(tri_ast *ast, const tri_code_set *word, bool negated) {
    tri_code_set other = *word;
    tri_code_set_negate(&other, ast->arena);
    const tri_code_set *first = negated ? &other : word, *second = negated ? word : &other;
    tri_node *prev_word = tri_node_assert(ast, TRI_NODE_PREV, word, false);
    tri_node *prev_other = tri_node_assert(ast, TRI_NODE_PREV, &other, true);
    return tri_node_alt(ast,
        tri_node_cat(ast, prev_other, tri_node_assert(ast, TRI_NODE_NEXT, first, negated)),
        tri_node_cat(ast, prev_word, tri_node_assert(ast, TRI_NODE_NEXT, second, !negated)));
}

/* ---- atomic groups ---- */

static tri_node *atomic(tri_ast *ast, tri_node *n);

static tri_node *single(tri_node *n) {
    if (n) n->single = true;
    return n;
}

static tri_node *atomic_repeat(tri_ast *ast, tri_node *n) {
    tri_node *x = n->a;
    /* Up to the first iteration nothing can fail that an earlier choice could mend. */
    if (!x->single && n->min <= 1) x = atomic(ast, x);
    if (!x || !x->single || x->nullable) return NULL;
    tri_node *least = tri_node_repeat(ast, x, n->min, n->min, false);
    if (n->min == 0) least = tri_node_empty(ast);
    if (n->lazy || n->min == n->max) return single(least);

    tri_node *no_more = tri_node_look(ast, x, false, true);
    tri_node *rest;
    if (n->max < 0) {
        rest = tri_node_cat(ast, tri_node_repeat(ast, x, 0, -1, false), no_more);
    } else {
        rest = tri_node_empty(ast);
        for (int32_t i = n->min; i < n->max; i++)
            rest = tri_node_alt(ast, tri_node_cat(ast, x, rest), no_more);
    }
    return single(tri_node_cat(ast, least, rest));
}

/* The same language without backtracking into it, or NULL where this way does not reach. */
static tri_node *atomic(tri_ast *ast, tri_node *n) {
    if (n->single) return n;
    if (n->kind == TRI_NODE_CAT) {
        if (!n->a->single) return NULL;
        tri_node *b = atomic(ast, n->b);
        return b ? tri_node_cat(ast, n->a, b) : NULL;
    }
    if (n->kind == TRI_NODE_ALT) {
        tri_node *a = atomic(ast, n->a);
        if (!a || n->a->sure) return a;
        tri_node *b = atomic(ast, n->b);
        if (!b) return NULL;
        tri_node *not_a = tri_node_look(ast, n->a, false, true);
        return single(tri_node_alt(ast, a, tri_node_cat(ast, not_a, b)));
    }
    return n->kind == TRI_NODE_REPEAT ? atomic_repeat(ast, n) : NULL;
}

tri_node *tri_node_atomic(tri_ast *ast, tri_node *body) {
    tri_node *n = body ? atomic(ast, body) : NULL;
    if (!n && !ast->status)
        failed(
            ast, TRI_FAIL(ast->err, TRI_E_UNSUPPORTED,
                     "at byte %zu: this possessive repeat or atomic group (supported: repeats and "
                     "alternatives of what can match in one way only)",
                     ast->at));
    return n;
}
