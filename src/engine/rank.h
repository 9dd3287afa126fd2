/* rank.h - one rank of an engine in memory: its graphs, its launches, its stored tensors.
 *
 * Made either by lowering a canonical graph (build) or from a rank's file (open); what follows
 * - writing, planning, refitting - does not ask which. */
#ifndef TRI_ENGINE_RANK_H
#define TRI_ENGINE_RANK_H

#include "base/thread.h"
#include "engine/file.h"
#include "engine/lower.h"
#include "engine/plugin_host.h"
#include "engine/recipe.h"

typedef struct tri_rank {
    tri_arena arena;
    tri_engine_spec spec;
    tri_engine_file file; /* of an opened rank; else zero */
    bool has_file;
    tri_graph *graph;  /* lowered */
    tri_graph *sample; /* on the last pipeline stage, else NULL */
    tri_str canonical; /* text */
    tri_stored *stored;
    int64_t *stored_bytes;
    int32_t n_stored;
    tri_pick *forward, *sampling; /* launches */
    int32_t n_forward, n_sampling;
    const char *other_numerics; /* of an opened rank: where its plan is followed with other sums */
} tri_rank;

void tri_rank_close(tri_rank *rank);

/* canonical is lowered in place and taken over, also on failure. */
tri_status tri_rank_lower(tri_rank *rank, tri_graph *canonical, const tri_engine_spec *spec,
    const tri_plugin_set *plugins, tri_select *select, tri_error *err);

/* Reads the file, checks it all, and takes the plan's kernels where they can be had.  *misfit (room
 * bytes) says why the stored layouts cannot be run on select's target, or is "". */
tri_status tri_rank_open(tri_rank *rank, const char *path, const tri_plugin_set *plugins,
    const tri_select *select, char *misfit, size_t room, tri_error *err);
/* The same of a file in memory, borrowed. */
tri_status tri_rank_parse(tri_rank *rank, const uint8_t *bytes, int64_t n_bytes,
    const tri_plugin_set *plugins, const tri_select *select, char *misfit, size_t room,
    tri_error *err);

/* Where an opened rank's stored tensors are; NULL pointers when it was stripped. */
tri_status tri_rank_data(
    const tri_rank *rank, tri_arena *arena, const uint8_t *const **data, tri_error *err);
int64_t tri_rank_weight_bytes(const tri_rank *rank);

/* Writes dir/rankN.engine, its weights derived from `supply` (not asked when the spec is stripped).
 * after: called when a weight is done, may be NULL. */
typedef struct tri_rank_writing {
    const tri_plugin_set *plugins;
    const tri_select *select; /* what the rank was lowered for */
    bool strip_code;          /* no machine code is made */
    const tri_supply *supply;
    tri_team *team;
    tri_status (*after)(void *user, const char *name, int64_t n_bytes, tri_error *err);
    void *user;
} tri_rank_writing;
tri_status tri_rank_write(
    const tri_rank *rank, const char *path, const tri_rank_writing *writing, tri_error *err);

/* dir/rankN.engine */
char *tri_rank_path(tri_arena *arena, const char *dir, int32_t rank);

#endif
