/* build.h - what building, refitting and lowering again have in common. */
#ifndef TRI_ENGINE_BUILD_H
#define TRI_ENGINE_BUILD_H

#include "engine/config.h"
#include "engine/rank.h"
#include "engine/target.h"
#include "models/source.h"

tri_select tri_select_for(
    const tri_kernels *kernels, const tri_plugin_device *facts, const tri_engine_spec *spec);
/* Opens a model as engines read it: as it is stored, since casts are steps of derivations; only
 * blocks that a shard would cut are decoded first. */
tri_status tri_source_for(
    tri_source **source, const char *path, const tri_engine_spec *spec, bool dummy, tri_error *err);

/* The canonical graph of a rank: defined by the family, its plugin ops put in, sharded.  dtypes_of:
 * when given, its declarations' dtypes are used where names agree (for refits from a model that is
 * stored in other types).  *n_parameters (may be NULL): elements of the stage's weights, unsharded.
 */
tri_status tri_canonical_graph(tri_graph **graph, const tri_source *source, int32_t rank,
    const tri_engine_spec *spec, const tri_plugin_set *plugins, const tri_graph *dtypes_of,
    int64_t *n_parameters, tri_error *err);
int64_t tri_graph_parameters(const tri_graph *g); /* elements of the weights it uses */

/* Whether a file of that name is one that a build writes into an engine's directory. */
bool tri_engine_has_file(const char *name);

/* Bytes of weights done, told to the caller of a build. */
typedef struct tri_build_report {
    tri_build_progress progress; /* may be NULL */
    void *user;
    int64_t done, total;
} tri_build_report;
/* TRI_E_CANCELLED when the caller does not want to go on. */
tri_status tri_build_report_show(const tri_build_report *report, const char *what, tri_error *err);
/* tri_rank_writing.after */
tri_status tri_build_report_weight(void *user, const char *name, int64_t n_bytes, tri_error *err);

#endif
