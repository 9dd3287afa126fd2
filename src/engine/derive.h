/* derive.h - evaluating a stored tensor's derivation straight into where it is stored. */
#ifndef TRI_ENGINE_DERIVE_H
#define TRI_ENGINE_DERIVE_H

#include "base/thread.h"
#include "engine/recipe.h"
#include "kernels/kernels.h"

/* The bytes that a tensor of this type takes as it is stored: what its layout says, or dense rows.
 * TRI_E_UNSUPPORTED names a layout that is unknown or cannot hold the type. */
tri_status tri_stored_bytes(
    const tri_kernels *kernels, const tri_type *type, int64_t *n_bytes, tri_error *err);

/* Computes `value` into out (tri_stored_bytes of its type) on all threads of the team.  Besides
 * out, a few MB a thread are used.  On failure out holds anything. */
tri_status tri_derive(const tri_value *value, const tri_supply *supply, const tri_kernels *kernels,
    tri_team *team, void *out, tri_error *err);

#endif
