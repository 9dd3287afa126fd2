/* builtin.h - every kernel and layout of ours, in order of preference within an op; both lists end
 * in NULL.  A family file defines one array of tri_plugin_kernel pointers, ending in NULL. */
#ifndef TRI_KERNELS_BUILTIN_H
#define TRI_KERNELS_BUILTIN_H

#include "trireme/plugin.h"

extern const tri_plugin_kernel *const *const tri_builtin_families[];
extern const tri_plugin_layout *const tri_builtin_layouts[];

#endif
