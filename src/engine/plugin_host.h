/* plugin_host.h - loading plugin libraries: what an engine or a build knows beside the built-in.
 *
 * Libraries stay loaded until the process ends: what they registered is used by address, and a
 * library that is loaded twice is the same library.  Paths come from the caller, never from an
 * engine. */
#ifndef TRI_ENGINE_PLUGIN_HOST_H
#define TRI_ENGINE_PLUGIN_HOST_H

#include "graph/plugins.h"
#include "kernels/kernels.h"

typedef struct tri_plugin_set {
    tri_kernels *kernels;     /* built-in ones and the plugins' */
    tri_plugin_registry *ops; /* of the plugins */
} tri_plugin_set;

/* Errors name the library and, where versions differ, both ABI numbers. */
tri_status tri_plugin_set_open(
    tri_plugin_set *set, const char *const *paths, int32_t n_paths, tri_error *err);
void tri_plugin_set_close(tri_plugin_set *set);

/* Replaces each op that a plugin's op stands in for, where its match agrees. */
tri_status tri_plugin_set_replace(const tri_plugin_set *set, tri_graph *g, tri_error *err);

#endif
