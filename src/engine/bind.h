/* bind.h - a graph's launches with addresses: what a device captures. */
#ifndef TRI_ENGINE_BIND_H
#define TRI_ENGINE_BIND_H

#include "device/device.h"
#include "engine/engine.h"

/* A graph made runnable: every launch's operands are addresses in `memory`, caches, and weights. */
typedef struct tri_bound {
    const tri_graph *g;
    tri_memory_plan memory_plan;
    uint8_t *memory; /* activations */
    uint8_t
        *results; /* of outputs, result_bytes each, where the host reads them; NULL: in memory */
    int64_t result_bytes;
    tri_launch *launches;
    const tri_plugin_desc **descs; /* NULL: our own copying of step inputs */
    int32_t n_launches;
    int64_t workspace_bytes;              /* the most that any launch asks for */
    struct tri_bound_constant *constants; /* operands that are weights */
    int32_t n_constants;
} tri_bound;

/* What binding needs to know. */
typedef struct tri_binding {
    tri_engine *engine;
    int32_t rank;
    tri_device *device;
    const tri_plan_limits *limits;
    tri_arena *arena;
    const int32_t *sampled; /* where sampled tokens are, for the next step's; NULL: elsewhere */
    void *const *weights;   /* on the device, by stored tensor */
    uint8_t *const *group_memory; /* by the rank's own group number */

    /* Of a sampling graph: where the logits are. */
    uint8_t *logits;
    int64_t logits_stride_bytes;
} tri_binding;

/* Sizes only: memory_plan and workspace_bytes of what tri_bind would bind. */
tri_status tri_bind_measure(tri_bound *bound, const tri_binding *binding, const tri_graph *g,
    const tri_pick *picks, int32_t n_picks, tri_error *err);
/* After tri_bind_measure and with bound->memory set: makes the kernels' states and all launches. */
tri_status tri_bind(tri_bound *bound, const tri_binding *binding, const tri_pick *picks,
    int32_t n_picks, tri_error *err);
/* Where an output is, once there is memory. */
tri_plugin_tensor tri_bound_output(const tri_bound *bound, const char *name);
/* Points constants at weights elsewhere; captures made before must be made again. */
void tri_bind_weights(tri_bound *bound, void *const *weights);
void tri_bound_deinit(tri_bound *bound); /* states of kernels */

/* Bytes of one cache or state of a graph for n blocks or slots; -1: over 2^63. */
int64_t tri_cache_bytes(const tri_graph *g, const tri_node *source, int64_t n_blocks);
/* Bytes of all members of a group. */
int64_t tri_group_memory_bytes(const tri_graph *g, int32_t group, int64_t n_blocks);

#endif
