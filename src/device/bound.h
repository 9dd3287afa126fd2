/* bound.h - a launch with operands of its own, since block tables and state slots are set in them
 * step by step; for src/device only. */
#ifndef TRI_DEVICE_BOUND_H
#define TRI_DEVICE_BOUND_H

#include "device/device.h"

typedef struct tri_bound_launch {
    tri_plugin_launch launch;
    tri_plugin_cache *caches; /* copies of those that the list gave, by operand */
    const tri_plugin_cache **caches_by_operand;
    tri_plugin_state *states;
    const tri_plugin_state **states_by_operand;
} tri_bound_launch;

/* bound: zeroed.  Fills in what every device's launch has: operands, step, workspace, comm.  False:
 * no memory; deinit frees what there is. */
bool tri_bound_launch_init(tri_bound_launch *bound, const tri_launch *launch,
    const tri_plugin_step *step, void *workspace, tri_comm *comm);
void tri_bound_launch_deinit(tri_bound_launch *bound);
/* For a step of this header whose bytes stand at `base`, as the device sees them. */
void tri_bound_launch_set_step(
    tri_bound_launch *bound, const tri_launch *launch, const tri_step *header, uintptr_t base);

/* The same for what launches share: addresses of the step's arrays, and its extents. */
void tri_step_bind(
    tri_plugin_step *to, const tri_step *header, uintptr_t base, int64_t n_context_tokens);

#endif
