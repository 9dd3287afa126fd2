/* lower.h - from a rank's canonical graph to the graph that is stored and run.
 *
 * Canonical: as the model was defined and sharded, on canonical weights.  Lowered: numbers as they
 * are held (precision), ops fused, every constant in the layout its kernels take.  Lowering is a
 * function of the canonical graph, the precision and what the target's kernels can do, so that an
 * engine can be lowered again for another CPU from what it stores. */
#ifndef TRI_ENGINE_LOWER_H
#define TRI_ENGINE_LOWER_H

#include "engine/select.h"
#include "passes/passes.h"

/* Changes g in place; it is verified between passes. */
tri_status tri_lower(
    tri_graph *g, const tri_precision *precision, tri_select *select, tri_error *err);

/* The sampling of a graph's logits, a graph of its own since its launches may wait for masks that
 * are filled late: counts, penalties, mask, sample.  Its groups are g's and one more, which it
 * adds: the token counts of each sequence.  fused: penalties and mask are done by sample itself, as
 * it reads the logits.  Outputs "tokens" and "logprobs". */
tri_status tri_sample_graph_create(
    tri_graph **sample, const tri_graph *g, int64_t vocab_size, bool fused, tri_error *err);

/* The value of an output, or NULL. */
const tri_value *tri_graph_output(const tri_graph *g, const char *name);

/* One launch of a graph. */
typedef struct tri_pick {
    const tri_node *node;
    const tri_plugin_kernel *kernel;
    tri_str kept; /* what a plugin op keeps with this use; borrowed from the file */
} tri_pick;

/* The launches of g in order, each with its best kernel. */
tri_status tri_pick_kernels(const tri_select *select, const tri_graph *g, tri_arena *arena,
    tri_pick **picks, int32_t *n_picks, tri_error *err);

#endif
