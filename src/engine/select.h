/* select.h - which kernel computes a node: asks the registry, heeds how constants are stored.
 *
 * A candidate takes part when it supports the node, runs on the target, and wants every constant
 * operand in the layout that it has.  Order among them is the registry's. */
#ifndef TRI_ENGINE_SELECT_H
#define TRI_ENGINE_SELECT_H

#include "kernels/kernels.h"
#include "passes/passes.h"

/* What lowering is done for.  Borrowed; must outlive what was made with it. */
typedef struct tri_select {
    const tri_kernels *kernels;
    const tri_plugin_device *device;
    int32_t max_tokens, max_sequences, max_rows;
} tri_select;

/* A node as kernels see it, in the arena. */
tri_status tri_select_describe(const tri_select *select, const tri_graph *g, const tri_node *node,
    tri_arena *arena, tri_plugin_desc **desc, tri_error *err);

/* All candidates with their verdicts, those that can come first; TRI_E_UNSUPPORTED with the reasons
 * when none can. */
tri_status tri_select_candidates(const tri_select *select, const tri_plugin_desc *desc,
    tri_arena *arena, tri_kernel_choice **choices, int32_t *n_choices, tri_error *err);
/* Whether this very kernel can; reason (128 bytes) says why not. */
bool tri_select_accepts(const tri_select *select, const tri_plugin_kernel *kernel,
    const tri_plugin_desc *desc, char reason[128]);

/* Whether a node becomes a launch: run-time ops, but sources and views. */
bool tri_node_is_launch(const tri_node *node);
/* "linear", or a plugin op's name. */
const char *tri_node_op_name(const tri_node *node);

/* For tri_pass_layout; select must stay where it is. */
tri_target tri_select_target(tri_select *select);

#endif
