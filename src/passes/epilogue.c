/* epilogue.c - what follows a linear and can be done where its results are made, on devices whose
 * kernels do so.
 *
 *   gated_activation(linear(x, w))     -> linear(x, w) gate=kind    the linear has no other reader
 *
 * What is computed stays the same; the results between are no longer rounded to float32. */
#include "passes/passes.h"

#include <string.h>

#include "passes/match.h"

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

tri_status tri_pass_epilogue(tri_graph *g, tri_error *err) {
    for (tri_node *node = g->first; node && !g->error.status; node = node->next) {
        if (node->op == TRI_OP_GATED_ACTIVATION) merge_gate(g, node);
    }
    return tri_match_finish(g, "epilogue", err);
}
