#include "text/regex_program.h"

#include <string.h>

typedef struct builder {
    tri_program *program;
    const tri_ast *ast;
    int32_t cap;
    tri_status status;
} builder;

static int32_t emit(builder *b, tri_op op, int32_t a) {
    tri_program *p = b->program;
    if (b->status) return 0;
    if (p->n == TRI_REGEX_MAX_INSTRUCTIONS) {
        b->status = TRI_FAIL(b->ast->err, TRI_E_LIMIT, "repeats make more than %d steps",
            (int)TRI_REGEX_MAX_INSTRUCTIONS);
        return 0;
    }
    if (p->n == b->cap) {
        int32_t cap = b->cap ? 2 * b->cap : 64;
        tri_instruction *grown = TRI_NEW_N(b->ast->arena, tri_instruction, cap);
        if (!grown) {
            b->status = TRI_FAIL(b->ast->err, TRI_E_LIMIT, "the expression needs too much memory");
            return 0;
        }
        if (p->n) memcpy(grown, p->code, (size_t)p->n * sizeof *grown);
        p->code = grown;
        b->cap = cap;
    }
    p->code[p->n] =
        (tri_instruction){.op = (uint8_t)op, .a = (uint16_t)a, .next = p->n + 1, .alternative = -1};
    return p->n++;
}

static void build(builder *b, const tri_node *n);

/* A fork to the instruction after it and to one not known yet: land() sets that. */
static int32_t emit_fork(builder *b) {
    return emit(b, TRI_OP_SPLIT, 0);
}

static void land(builder *b, int32_t split, int32_t target, bool lazy) {
    if (b->status) return;
    tri_instruction *i = &b->program->code[split];
    i->alternative = target;
    if (lazy) {
        i->alternative = i->next;
        i->next = target;
    }
}

/* x{n,}: the last copy loops. */
static void build_repeat(builder *b, const tri_node *n) {
    int32_t copies = n->max < 0 && n->min > 0 ? n->min - 1 : n->min;
    for (int32_t i = 0; i < copies && !b->status; i++)
        build(b, n->a);
    if (n->max < 0) {
        int32_t entry = n->min == 0 ? emit_fork(b) : -1;
        int32_t loop = b->program->n;
        build(b, n->a);
        int32_t again = emit(b, TRI_OP_LOOP, 0);
        if (b->status) return;
        tri_instruction *i = &b->program->code[again];
        i->a = n->lazy;
        i->next = n->lazy ? b->program->n : loop;
        i->alternative = n->lazy ? loop : b->program->n;
        if (entry >= 0) land(b, entry, b->program->n, n->lazy);
        return;
    }
    /* Optional copies, each inside the one before: all their forks leave to the same end. */
    int32_t first = b->program->n;
    for (int32_t i = n->min; i < n->max && !b->status; i++) {
        int32_t split = emit_fork(b);
        if (!b->status) b->program->code[split].b = 1;
        build(b, n->a);
    }
    if (b->status) return;
    for (int32_t i = first; i < b->program->n; i++) {
        tri_instruction *code = &b->program->code[i];
        if (code->op != TRI_OP_SPLIT || !code->b) continue;
        code->b = 0;
        land(b, i, b->program->n, n->lazy);
    }
}

static void build_alternatives(builder *b, const tri_node *n) {
    int32_t previous_jump = -1; /* jumps to the end, chained through `next` */
    for (; n->kind == TRI_NODE_ALT && !b->status; n = n->b) {
        int32_t split = emit_fork(b);
        build(b, n->a);
        int32_t jump = emit(b, TRI_OP_JUMP, 0);
        if (b->status) return;
        b->program->code[jump].next = previous_jump;
        previous_jump = jump;
        land(b, split, b->program->n, false);
    }
    build(b, n);
    while (previous_jump >= 0 && !b->status) {
        int32_t jump = previous_jump;
        previous_jump = b->program->code[jump].next;
        b->program->code[jump].next = b->program->n;
    }
}

static void build_backward(builder *b, const tri_node *n) {
    int32_t n_items = 1, i = 0;
    for (const tri_node *x = n; x->kind == TRI_NODE_CAT; x = x->b)
        n_items++;
    const tri_node **items = TRI_NEW_N(b->ast->arena, const tri_node *, n_items);
    if (!items) {
        b->status = TRI_FAIL(b->ast->err, TRI_E_LIMIT, "the expression needs too much memory");
        return;
    }
    for (; n->kind == TRI_NODE_CAT; n = n->b)
        items[i++] = n->a;
    items[i] = n;
    while (n_items > 0)
        build(b, items[--n_items]);
}

static void build(builder *b, const tri_node *n) {
    bool backward = b->program->backward;
    if (b->status) return;
    if (n->kind == TRI_NODE_CAT && backward) {
        build_backward(b, n);
        return;
    }
    for (; n->kind == TRI_NODE_CAT; n = n->b)
        build(b, n->a);
    switch (n->kind) {
    case TRI_NODE_SET:
        emit(b, TRI_OP_SET, n->set);
        break;
    case TRI_NODE_NEXT:
        emit(b, backward ? TRI_OP_BEHIND : TRI_OP_AHEAD, n->set);
        break;
    case TRI_NODE_PREV:
        emit(b, backward ? TRI_OP_AHEAD : TRI_OP_BEHIND, n->set);
        break;
    case TRI_NODE_LOOK: {
        int32_t look = emit(b, TRI_OP_LOOK, n->set);
        if (!b->status) b->program->code[look].b = !n->negated;
        break;
    }
    case TRI_NODE_ALT:
        build_alternatives(b, n);
        break;
    case TRI_NODE_REPEAT:
        build_repeat(b, n);
        break;
    case TRI_NODE_EMPTY:
    case TRI_NODE_CAT:
        break;
    }
}

static int32_t behind_jumps(const tri_program *p, int32_t i) {
    while (i >= 0 && p->code[i].op == TRI_OP_JUMP)
        i = p->code[i].next;
    return i;
}

/* Jumps only lead forward, so this ends. */
static void skip_jumps(tri_program *p) {
    for (int32_t i = 0; i < p->n; i++) {
        if (p->code[i].op == TRI_OP_MATCH) continue;
        p->code[i].next = behind_jumps(p, p->code[i].next);
        p->code[i].alternative = behind_jumps(p, p->code[i].alternative);
    }
}

/* Which instructions may reach a BEHIND before they read: to a fixed point, against the flow. */
static void mark_asks_last(tri_program *p) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t i = p->n - 1; i >= 0; i--) {
            const tri_instruction *c = &p->code[i];
            if (p->asks_last[i] || c->op == TRI_OP_SET || c->op == TRI_OP_MATCH) continue;
            bool asks = c->op == TRI_OP_BEHIND || p->asks_last[c->next] ||
                        (c->alternative >= 0 && p->asks_last[c->alternative]);
            p->asks_last[i] = asks;
            changed |= asks;
        }
    }
}

static tri_status find_kinds(tri_program *p, const tri_ast *ast, const tri_symbols *s) {
    uint8_t *asked = TRI_NEW_N(ast->arena, uint8_t, ast->n_sets + 1);
    if (!asked) return TRI_FAIL(ast->err, TRI_E_LIMIT, "the expression needs too much memory");
    for (int32_t i = 0; i < p->n; i++)
        if (p->code[i].op == TRI_OP_BEHIND) asked[p->code[i].a] = 1;
    for (int32_t symbol = 0; symbol <= s->n; symbol++) {
        int32_t kind = 0;
        for (; kind < p->n_kinds; kind++) {
            bool same = true;
            for (int32_t i = 0; i < ast->n_sets && same; i++) {
                const uint8_t *member = s->member + 256 * (size_t)i;
                same = !asked[i] || member[symbol] == member[p->symbol_of_kind[kind]];
            }
            if (same) break;
        }
        if (kind == p->n_kinds) p->symbol_of_kind[p->n_kinds++] = (uint8_t)symbol;
        p->kind[symbol] = (uint8_t)kind;
    }
    return TRI_OK;
}

tri_status tri_program_build(tri_program *program, const tri_ast *ast, const tri_symbols *symbols,
    const tri_node *root, bool backward, bool search) {
    *program = (tri_program){.backward = backward, .search = search};
    builder b = {.program = program, .ast = ast};
    build(&b, root);
    emit(&b, TRI_OP_MATCH, 0);
    if (b.status) return b.status;
    skip_jumps(program);
    program->asks_last = TRI_NEW_N(ast->arena, uint8_t, program->n);
    if (!program->asks_last)
        return TRI_FAIL(ast->err, TRI_E_LIMIT, "the expression needs too much memory");
    mark_asks_last(program);
    return find_kinds(program, ast, symbols);
}
