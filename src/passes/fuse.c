/* fuse.c - fewer, larger ops.  Each rule keeps what the graph computes; only the order of float32
 * roundings may change, by one in the last place, where said.
 *
 *   affine(affine(x))                      -> affine(x)             factors multiplied in double
 *   attention(rope(norm?(q)), kv_write(rope(norm?(k)), v))
 *                                          -> rope_kv_write, attention
 *   mul(activation(linear(x, a)), linear(x, b))
 *                                          -> gated_activation(linear(x, concat_rows(a, b)))
 *   add(x, linear(h, w))                   -> linear(h, w, accumulator=x)
 *   rms_norm(add(x, r))                    -> add_rms_norm(x, r)
 *
 * The last two compete for the residual add of a pre-norm layer, whose sum both the norm and the
 * next residual need.  The accumulator goes first, because it moves fewer bytes with as many
 * launches: linear reads x and writes the sum, rms_norm reads the sum and writes y, 4 T*C in all,
 * and the sum can overwrite x.  linear, then add_rms_norm, writes and reads the branch beside that:
 * 6 T*C.  On the CPU both are two phases with a barrier between; on a GPU the accumulator is the
 * beta of the GEMM.  add_rms_norm takes the sums whose branch does not end in a linear of this
 * rank: after an all_reduce (accumulating before it would add x once a rank), after a sandwich
 * norm. */
#include "passes/passes.h"

#include <string.h>

#include "passes/match.h"

/* ---- affine ---- */

static void fuse_affine(tri_graph *g) {
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op != TRI_OP_AFFINE || !tri_match_is(node->operands[0], TRI_OP_AFFINE)) continue;
        const tri_node *inner = node->operands[0]->node;
        double outer_factor = tri_node_float(node, "factor");
        tri_match_set_float(node, "factor", tri_node_float(inner, "factor") * outer_factor);
        tri_match_set_float(node, "offset",
            tri_node_float(inner, "offset") * outer_factor + tri_node_float(node, "offset"));
        node->operands[0] = inner->operands[0];
    }
}

/* ---- rope_kv_write ---- */

/* The norm per head that feeds rope and nothing else, or NULL. */
static tri_node *head_norm(const tri_graph *g, const tri_node *rope) {
    tri_node *norm = rope->operands[0]->node;
    if (norm->op != TRI_OP_RMS_NORM || !tri_match_sole_user(g, norm->results[0])) return NULL;
    return tri_node_operand(norm, "w")->type.dims[0] == tri_node_int(rope, "head_size") ? norm
                                                                                        : NULL;
}

static bool same_rotation(const tri_node *a, const tri_node *b) {
    return a->operands[1] == b->operands[1] && a->operands[2] == b->operands[2] &&
           tri_node_int(a, "head_size") == tri_node_int(b, "head_size") &&
           tri_node_int(a, "interleaved") == tri_node_int(b, "interleaved") &&
           tri_node_float(a, "magnitude") == tri_node_float(b, "magnitude");
}

static void fuse_rope_at(tri_graph *g, tri_node *attention) {
    tri_node *write = tri_node_operand(attention, "cache")->node;
    const tri_node *rope_q = tri_node_operand(attention, "q")->node;
    if (write->op != TRI_OP_KV_WRITE || rope_q->op != TRI_OP_ROPE) return;
    const tri_node *rope_k = tri_node_operand(write, "k")->node;
    if (rope_k->op != TRI_OP_ROPE || !same_rotation(rope_q, rope_k) ||
        tri_match_sole_user(g, rope_q->results[0]) != attention ||
        tri_match_sole_user(g, rope_k->results[0]) != write ||
        tri_match_sole_user(g, write->results[0]) != attention)
        return;
    const tri_node *norm_q = head_norm(g, rope_q), *norm_k = head_norm(g, rope_k);
    if (norm_q && norm_k && tri_node_float(norm_q, "eps") != tri_node_float(norm_k, "eps"))
        norm_q = norm_k = NULL; /* the op has one eps: these norms stay outside */
    const tri_node *norm = norm_q ? norm_q : norm_k;
    tri_value *operands[] = {norm_q ? norm_q->operands[0] : rope_q->operands[0],
        norm_k ? norm_k->operands[0] : rope_k->operands[0], tri_node_operand(write, "v"),
        tri_node_operand(write, "cache"), tri_node_operand(rope_q, "positions"),
        tri_node_operand(rope_q, "frequencies"), norm_q ? tri_node_operand(norm_q, "w") : NULL,
        norm_k ? tri_node_operand(norm_k, "w") : NULL};
    const tri_attr attrs[] = {TRI_AI("head_size", tri_node_int(rope_q, "head_size")),
        TRI_AI("interleaved", tri_node_int(rope_q, "interleaved")),
        TRI_AF("magnitude", tri_node_float(rope_q, "magnitude")),
        TRI_AF("eps", norm ? tri_node_float(norm, "eps") : 0.0)};
    tri_node *fused =
        tri_node_create(g, attention, TRI_OP_ROPE_KV_WRITE, operands, 8, attrs, norm ? 4 : 3);
    if (g->error.status) return;
    tri_match_set_operand(attention, "q", fused->results[0]);
    tri_match_set_operand(attention, "cache", fused->results[1]);
    tri_node_remove(g, write); /* a write is never dead by itself */
}

/* ---- gated activation ---- */

/* Both sides are left out or can be stacked. */
static bool stackable(const tri_value *a, const tri_value *b, int64_t rows) {
    if (!a || !b) return !a && !b;
    return a->type.dtype == b->type.dtype && a->type.n_dims == b->type.n_dims &&
           (a->type.n_dims == 1 || a->type.dims[1] == b->type.dims[1]) && a->type.dims[0] == rows &&
           b->type.dims[0] == rows /* not one scale for all */
           && strcmp(a->type.layout, "row") == 0 && strcmp(b->type.layout, "row") == 0;
}

static bool same_input(const tri_graph *g, const tri_node *a, const tri_node *b) {
    const tri_value *w = tri_node_operand(a, "weight");
    int64_t n = w->type.dims[0];
    return a != b && tri_node_operand(a, "x") == tri_node_operand(b, "x") &&
           strcmp(tri_node_string(a, "activation"), tri_node_string(b, "activation")) == 0 &&
           !tri_node_operand(a, "accumulator") && !tri_node_operand(b, "accumulator") &&
           stackable(w, tri_node_operand(b, "weight"), n) &&
           stackable(tri_node_operand(a, "bias"), tri_node_operand(b, "bias"), n) &&
           stackable(tri_node_operand(a, "scales"), tri_node_operand(b, "scales"), n)
           /* A weight that something else reads too would be stored twice. */
           && tri_match_sole_user(g, w) == a &&
           tri_match_sole_user(g, tri_node_operand(b, "weight")) == b;
}

static tri_value *stack(
    tri_graph *g, tri_node *before, const tri_node *a, const tri_node *b, const char *slot) {
    tri_value *operands[] = {tri_node_operand(a, slot), tri_node_operand(b, slot)};
    if (!operands[0]) return NULL;
    return tri_node_create(g, before, TRI_OP_CONCAT_ROWS, operands, 2, NULL, 0)->results[0];
}

static tri_node *sole_linear(const tri_graph *g, const tri_value *value) {
    return tri_match_is(value, TRI_OP_LINEAR) && tri_match_sole_user(g, value) ? value->node : NULL;
}

static void fuse_gated_at(tri_graph *g, tri_node *mul) {
    bool first = tri_match_is(mul->operands[0], TRI_OP_ACTIVATION);
    if (!first && !tri_match_is(mul->operands[1], TRI_OP_ACTIVATION)) return;
    const tri_node *activation = mul->operands[first ? 0 : 1]->node;
    if (tri_match_sole_user(g, activation->results[0]) != mul) return;
    const tri_node *a = sole_linear(g, activation->operands[0]);
    const tri_node *b = sole_linear(g, mul->operands[first ? 1 : 0]);
    if (!a || !b || !same_input(g, a, b)) return;

    tri_value *weight = stack(g, mul, a, b, "weight");
    tri_value *bias = stack(g, mul, a, b, "bias");
    tri_value *scales = stack(g, mul, a, b, "scales");
    tri_value *operands[] = {tri_node_operand(a, "x"), weight, bias, NULL, scales};
    tri_node *linear = tri_node_create(g, mul, TRI_OP_LINEAR, operands, 5,
        &TRI_AS("activation", tri_node_string(a, "activation")), 1);
    tri_node *gated = tri_node_create(g, mul, TRI_OP_GATED_ACTIVATION, linear->results, 1,
        &TRI_AS("kind", tri_node_string(activation, "kind")), 1);
    if (!g->error.status) tri_value_replace(g, mul->results[0], gated->results[0]);
}

/* ---- the residual add ---- */

/* The linear moves to where the sum was: what it adds to is known there. */
static void fuse_accumulator_at(tri_graph *g, tri_node *add) {
    for (int32_t i = 1; i >= 0; i--) {
        const tri_node *linear = sole_linear(g, add->operands[i]);
        tri_value *x = add->operands[1 - i];
        if (!linear || tri_node_operand(linear, "accumulator") || x->constant) continue;
        tri_value *operands[] = {tri_node_operand(linear, "x"), tri_node_operand(linear, "weight"),
            tri_node_operand(linear, "bias"), x, tri_node_operand(linear, "scales")};
        tri_node *fused = tri_node_create(g, add, TRI_OP_LINEAR, operands, 5,
            &TRI_AS("activation", tri_node_string(linear, "activation")), 1);
        if (!g->error.status) tri_value_replace(g, add->results[0], fused->results[0]);
        return;
    }
}

static bool uses(const tri_node *node, const tri_value *value) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (node->operands[i] == value) return true;
    }
    return false;
}

/* The sum comes to be where the norm is, so nothing may need it before. */
static void fuse_add_norm_at(tri_graph *g, tri_node *norm) {
    const tri_value *sum = norm->operands[0];
    if (!tri_match_is(sum, TRI_OP_ADD)) return;
    const tri_node *add = sum->node;
    for (const tri_node *node = add->next; node != norm; node = node->next) {
        if (uses(node, sum)) return;
    }
    tri_value *operands[] = {add->operands[0], add->operands[1], tri_node_operand(norm, "w")};
    tri_node *fused = tri_node_create(
        g, norm, TRI_OP_ADD_RMS_NORM, operands, 3, &TRI_AF("eps", tri_node_float(norm, "eps")), 1);
    if (g->error.status) return;
    tri_value_replace(g, norm->results[0], fused->results[1]);
    tri_value_replace(g, add->results[0], fused->results[0]);
}

/* New nodes stand before the matched one, so a sweep does not meet them again; what they replaced
 * stays, unused, until the end of the sweep. */
static void sweep(tri_graph *g, tri_op op, void (*rule)(tri_graph *g, tri_node *node)) {
    for (tri_node *node = g->first; node && !g->error.status; node = node->next) {
        bool constant = node->n_results > 0 && node->results[0]->constant;
        if (node->op == op && !constant) rule(g, node);
    }
    if (!g->error.status) tri_graph_remove_dead(g);
}

tri_status tri_pass_fuse(tri_graph *g, tri_error *err) {
    fuse_affine(g);
    sweep(g, TRI_OP_ATTENTION, fuse_rope_at);
    sweep(g, TRI_OP_MUL, fuse_gated_at);
    sweep(g, TRI_OP_ADD, fuse_accumulator_at);
    sweep(g, TRI_OP_RMS_NORM, fuse_add_norm_at);
    return tri_match_finish(g, "fuse", err);
}
