/* kernels.h - the registry of kernels and layouts, and choosing among candidates.
 *
 * Built-in families and plugins register alike, through tri_plugin_kernel.  One registry an engine:
 * nothing is process-wide. */
#ifndef TRI_KERNELS_KERNELS_H
#define TRI_KERNELS_KERNELS_H

#include "base/arena.h"
#include "trireme/plugin.h"

typedef struct tri_kernels tri_kernels;

tri_status tri_kernels_create(tri_kernels **kernels, tri_error *err); /* with all built-in ones */
void tri_kernels_destroy(tri_kernels *kernels);
tri_status tri_kernels_register(
    tri_kernels *kernels, const tri_plugin_kernel *kernel, tri_error *err);
tri_status tri_kernels_register_layout(
    tri_kernels *kernels, const tri_plugin_layout *layout, tri_error *err);
const tri_plugin_kernel *tri_kernels_find(const tri_kernels *kernels, const char *name);
const tri_plugin_layout *tri_kernels_find_layout(const tri_kernels *kernels, const char *name);

typedef struct tri_kernel_choice { /* one candidate's verdict */
    const tri_plugin_kernel *kernel;
    bool supported;
    char reason[128]; /* when not */
    tri_plugin_cost cost;
} tri_kernel_choice;

/* All candidates for desc->op, best first (supported, isa within desc->device->arch, then cheapest
 * by cost at a decode step and a prefill step, then registration order).  TRI_E_UNSUPPORTED with
 * every rejection's reason when none can.  choices in the arena. */
tri_status tri_kernels_choose(const tri_kernels *kernels, const tri_plugin_desc *desc,
    tri_arena *arena, tri_kernel_choice **choices, int32_t *n_choices, tri_error *err);

/* The greatest instruction set within `most` that a registered kernel needs: "" when none does. */
const char *tri_kernels_isa(const tri_kernels *kernels, const char *most);

/* "" < "avx2" < "avx512" < "amx"; false for unknown names. */
bool tri_isa_within(const char *needed, const char *have);

#endif
