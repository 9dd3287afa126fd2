/* supply.h - where the leaves of derivations come from: a model, a caller's function, or an engine
 * that holds derived tensors and is asked for what they derive from. */
#ifndef TRI_ENGINE_SUPPLY_H
#define TRI_ENGINE_SUPPLY_H

#include "engine/file.h"
#include "engine/recipe.h"
#include "kernels/kernels.h"
#include "models/source.h"

/* ---- a model, one rank of it ---- */

typedef struct tri_source_supply {
    const tri_source *source;
    int32_t rank;
} tri_source_supply;
/* s must stay where it is. */
tri_supply tri_supply_source(tri_source_supply *s);

/* ---- a function that fills whole weights ---- */

/* Holds the weights of the recipes made since the last clear. */
typedef struct tri_reader_supply {
    tri_weight_reader read;
    void *user;
    struct tri_held_weight *held;
} tri_reader_supply;
tri_supply tri_supply_reader(tri_reader_supply *s);
void tri_reader_supply_clear(tri_reader_supply *s);

/* ---- an engine's own tensors ---- */

typedef struct tri_recovery {
    tri_arena arena;
    tri_buf found; /* what can be got back: recovered[] */
    tri_map index; /* expression -> place in found */
    const tri_stored *stored;
    int32_t n_stored;
} tri_recovery;

/* What the stored tensors (data[i] of stored[i]) can give back: each step's inverse, as long as
 * steps lose nothing.  Everything is borrowed. */
tri_status tri_recovery_create(tri_recovery *recovery, const tri_stored *stored,
    const uint8_t *const *data, int32_t n_stored, const tri_kernels *kernels, tri_error *err);
void tri_recovery_destroy(tri_recovery *recovery);
/* A weight that cannot be got back is an error that names the step that loses it. */
tri_supply tri_supply_recovery(tri_recovery *recovery);

#endif
