/* refit.h - other weights of the same model, into an engine's tensors. */
#ifndef TRI_ENGINE_REFIT_H
#define TRI_ENGINE_REFIT_H

#include "engine/build.h"

/* Whether the source is the model that the rank was built from, but for its weights' values: the
 * same architecture, shapes and settings.  The error names the first difference. */
tri_status tri_refit_check(
    const tri_rank *rank, const tri_source *source, const tri_plugin_set *plugins, tri_error *err);

#endif
