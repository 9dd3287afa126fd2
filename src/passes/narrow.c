/* narrow.c - run-time values that only bf16 products read are held in bf16: half the bytes to move,
 * and what a GPU's matrix units take as it is.
 *
 *   rms_norm, add_rms_norm, gated_activation, attention
 *       whose every reader is a linear that rounds x to bf16: rounded once, here or there, so
 *       nothing changes
 *   linear
 *       that makes q, k and v for a bf16 cache: k and v are rounded for the cache anyway, q for the
 *       products with k; what changes is that rope turns rounded values
 *   rope_kv_write
 *       q of attention over a bf16 cache
 *
 * Readers are found through columns and select_rows, which pass values on. */
#include "passes/passes.h"

#include <string.h>

#include "passes/match.h"

typedef bool (*reader_fn)(const tri_node *reader, int32_t slot);

static bool is_named(const tri_node *node, int32_t slot, const char *name) {
    return strcmp(tri_match_slot_name(node, slot), name) == 0;
}

static bool passes_on(const tri_node *node, int32_t slot) {
    return (node->op == TRI_OP_COLUMNS || node->op == TRI_OP_SELECT_ROWS) &&
           is_named(node, slot, "x");
}

/* Whether there are readers, and all of them are such. */
static bool all_readers(const tri_graph *g, const tri_value *value, reader_fn is_such) {
    int32_t n = 0;
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].value == value) return false;
    }
    for (const tri_node *node = value->node->next; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (node->operands[i] != value) continue;
            bool fits =
                passes_on(node, i) ? all_readers(g, node->results[0], is_such) : is_such(node, i);
            if (!fits) return false;
            n++;
        }
    }
    return n > 0;
}

static bool rounds_to_bf16(const tri_node *node, int32_t slot) {
    return node->op == TRI_OP_LINEAR && is_named(node, slot, "x") &&
           strcmp(tri_node_string(node, "activation"), "bf16") == 0;
}

static bool has_bf16_cache(const tri_node *node) {
    const tri_value *cache = tri_node_operand(node, "cache");
    return cache && cache->type.dtype == TRI_BF16;
}

static bool writes_bf16(const tri_node *node, int32_t slot) {
    if (node->op == TRI_OP_KV_WRITE) return has_bf16_cache(node) && slot < 2;
    return node->op == TRI_OP_ROPE_KV_WRITE && has_bf16_cache(node) &&
           (is_named(node, slot, "q") || is_named(node, slot, "k") || is_named(node, slot, "v"));
}

static bool attends_to_bf16(const tri_node *node, int32_t slot) {
    return node->op == TRI_OP_ATTENTION && is_named(node, slot, "q") && has_bf16_cache(node);
}

static void narrow(tri_graph *g, tri_node *node) {
    reader_fn is_such;
    int32_t result = 0;
    switch (node->op) {
    case TRI_OP_ADD_RMS_NORM:
        result = 1;
        is_such = rounds_to_bf16;
        break;
    case TRI_OP_RMS_NORM:
    case TRI_OP_GATED_ACTIVATION:
    case TRI_OP_ATTENTION:
        is_such = rounds_to_bf16;
        break;
    case TRI_OP_LINEAR:
        if (tri_node_operand(node, "accumulator")) return;
        is_such = writes_bf16;
        break;
    case TRI_OP_ROPE_KV_WRITE:
        is_such = attends_to_bf16;
        break;
    default:
        return;
    }
    if (all_readers(g, node->results[result], is_such))
        tri_match_set_string(g, node, "dtype", "bf16");
}

tri_status tri_pass_narrow(tri_graph *g, tri_error *err) {
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->n_results > 0 && !node->results[0]->constant) narrow(g, node);
    }
    return tri_match_finish(g, "narrow", err);
}
