/* epilogue.c - what follows a linear and can be done where its results are made, on devices whose
 * kernels do so.
 *
 *   gated_activation(linear(x, w))     -> linear(x, w) gate=kind    the linear has no other reader
 *   rms_norm(linear(x, w, accumulator=r)), read by linears alone
 *                                      -> linear_norm, whose sums of squares the readers divide by
 *
 * What is computed stays the same.  With a gate the results between are no longer rounded to
 * float32; of a deferred norm what is rounded to bf16 is not yet divided by the rms, which errs as
 * much. */
#include "passes/passes.h"

#include <string.h>

#include "passes/match.h"

enum { MAX_READERS = 8, MAX_LAYOUTS = 16, WEIGHT_SLOT = 1 };

static void merge_gate(tri_graph *g, tri_node *gated) {
    const tri_value *sums = gated->operands[0];
    if (!tri_match_is(sums, TRI_OP_LINEAR) || tri_match_sole_user(g, sums) != gated) return;
    const tri_node *linear = sums->node;
    if (tri_node_operand(linear, "accumulator") || *tri_node_string(linear, "gate") ||
        sums->type.dtype != TRI_F32)
        return;
    tri_value *operands[] = {tri_node_operand(linear, "x"), tri_node_operand(linear, "weight"),
        tri_node_operand(linear, "bias"), NULL, tri_node_operand(linear, "scales")};
    const tri_attr attrs[] = {TRI_AS("activation", tri_node_string(linear, "activation")),
        TRI_AS("dtype", tri_node_string(gated, "dtype")),
        TRI_AS("gate", tri_node_string(gated, "kind"))};
    tri_node *merged = tri_node_create(g, gated, TRI_OP_LINEAR, operands, 5, attrs, 3);
    if (!g->error.status) tri_value_replace(g, gated->results[0], merged->results[0]);
}

/* ---- deferred norms ---- */

static bool reads(const tri_node *node, const tri_value *value) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (node->operands[i] == value) return true;
    }
    return false;
}

/* A linear with a residual in float32, read by nobody before the norm, which comes to stand where
 * the norm is. */
static const tri_node *producer_of(const tri_graph *g, const tri_node *norm) {
    const tri_value *sum = norm->operands[0];
    if (!tri_match_is(sum, TRI_OP_LINEAR) || sum->type.dtype != TRI_F32) return NULL;
    const tri_node *linear = sum->node;
    if (!tri_node_operand(linear, "accumulator") || tri_node_operand(linear, "parts") ||
        tri_node_operand(norm, "w")->type.dims[0] != sum->type.dims[1])
        return NULL;
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].value == norm->results[0]) return NULL;
    }
    for (const tri_node *node = linear->next; node && node != norm; node = node->next) {
        if (reads(node, sum)) return NULL;
    }
    return linear;
}

/* x of a linear that rounds it to bf16, and nothing else of it. */
static bool is_reader(const tri_node *node, const tri_value *y) {
    if (node->op != TRI_OP_LINEAR || node->operands[0] != y ||
        strcmp(tri_node_string(node, "activation"), "bf16") != 0 || tri_node_operand(node, "parts"))
        return false;
    for (int32_t i = 1; i < node->n_operands; i++) {
        if (node->operands[i] == y) return false;
    }
    return true;
}

static int32_t find_readers(const tri_node *norm, tri_node *readers[MAX_READERS]) {
    int32_t n = 0;
    for (tri_node *node = norm->next; node; node = node->next) {
        if (!reads(node, norm->results[0])) continue;
        if (n == MAX_READERS || !is_reader(node, norm->results[0])) return 0;
        readers[n++] = node;
    }
    return n;
}

static tri_node *with_norm(tri_graph *g, tri_node *norm, const tri_node *linear, int32_t n_parts) {
    tri_value *operands[] = {tri_node_operand(linear, "x"), tri_node_operand(linear, "weight"),
        tri_node_operand(linear, "bias"), tri_node_operand(linear, "accumulator"),
        tri_node_operand(linear, "scales"), tri_node_operand(norm, "w")};
    const tri_attr attrs[] = {TRI_AS("activation", tri_node_string(linear, "activation")),
        TRI_AF("eps", tri_node_float(norm, "eps")), TRI_AI("n_parts", n_parts)};
    return tri_node_create(g, norm, TRI_OP_LINEAR_NORM, operands, 6, attrs, 3);
}

static tri_node *with_parts(tri_graph *g, tri_node *reader, const tri_node *producer) {
    tri_value *operands[] = {producer->results[1], tri_node_operand(reader, "weight"),
        tri_node_operand(reader, "bias"), tri_node_operand(reader, "accumulator"),
        tri_node_operand(reader, "scales"), producer->results[2]};
    const tri_attr attrs[] = {TRI_AS("activation", tri_node_string(reader, "activation")),
        TRI_AS("dtype", tri_node_string(reader, "dtype")),
        TRI_AS("gate", tri_node_string(reader, "gate")),
        TRI_AF("eps", tri_node_float(producer, "eps"))};
    return tri_node_create(g, reader, TRI_OP_LINEAR, operands, 6, attrs, 4);
}

static bool can(const tri_graph *g, const tri_target *target, const tri_node *node) {
    const char *layouts[MAX_LAYOUTS];
    tri_error why = {0};
    return !target ||
           target->layouts(target->user, g, node, WEIGHT_SLOT, layouts, MAX_LAYOUTS, &why) > 0;
}

/* What was made in vain is dead, and goes at the end. */
static void defer(tri_graph *g, tri_node *norm, int32_t n_parts, const tri_target *target) {
    tri_node *readers[MAX_READERS], *made[MAX_READERS];
    const tri_node *linear = producer_of(g, norm);
    int32_t n = linear ? find_readers(norm, readers) : 0;
    if (n == 0) return;
    tri_node *producer = with_norm(g, norm, linear, n_parts);
    if (g->error.status || !can(g, target, producer)) return;
    for (int32_t i = 0; i < n; i++) {
        made[i] = with_parts(g, readers[i], producer);
        if (g->error.status || !can(g, target, made[i])) return;
    }
    for (int32_t i = 0; i < n; i++)
        tri_value_replace(g, readers[i]->results[0], made[i]->results[0]);
    tri_value_replace(g, linear->results[0], producer->results[0]);
}

tri_status tri_pass_defer_norms(
    tri_graph *g, int32_t n_parts, const tri_target *target, tri_error *err) {
    for (tri_node *node = g->first, *next; node && !g->error.status; node = next) {
        next = node->next;
        if (node->op == TRI_OP_RMS_NORM && !node->results[0]->constant)
            defer(g, node, n_parts, target);
    }
    return tri_match_finish(g, "epilogue", err);
}

tri_status tri_pass_epilogue(tri_graph *g, tri_error *err) {
    for (tri_node *node = g->first; node && !g->error.status; node = node->next) {
        if (node->op == TRI_OP_GATED_ACTIVATION) merge_gate(g, node);
    }
    return tri_match_finish(g, "epilogue", err);
}
