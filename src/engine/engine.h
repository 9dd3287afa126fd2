/* engine.h - an open engine: its ranks, what it knows of plugins, and its weights, which may be
 * replaced while it runs.
 *
 * Lifetimes: the engine outlives its plans.  All of it is fixed once open, but `weights` and
 * `generation`, which the lock guards: a refit puts in new sets, and each plan keeps the set that
 * it took until it takes the next. */
#ifndef TRI_ENGINE_ENGINE_H
#define TRI_ENGINE_ENGINE_H

#include <pthread.h>

#include "engine/build.h"
#include "engine/plan.h"

/* Where the stored tensors of one rank are. */
typedef struct tri_weight_set {
    const uint8_t *const *data; /* by stored tensor; NULL pointers: stripped */
    tri_arena arena;
    void *memory; /* owned pages, or NULL: the rank's file */
    size_t n_bytes;
    int32_t n_refs; /* guarded by the engine's lock */
} tri_weight_set;

struct tri_engine {
    tri_arena arena;
    const char *dir;
    const char *repacked; /* for tri_engine_info */
    tri_engine_config config;
    tri_engine_spec spec; /* rank 0's */
    tri_plugin_set plugins;
    tri_engine_target target; /* what kernels were chosen for; of a null device too */
    tri_plugin_device facts;  /* of it */
    tri_select select;
    bool null_device;
    bool dummy_weights;   /* a stripped engine may run on random ones */
    bool trust_code;      /* machine code in its files may run */
    const char *code_dir; /* where compiled kernels are kept; NULL: nowhere */
    tri_rank *ranks;
    int32_t n_ranks;

    /* Groups of all ranks together, numbered as in steps; the last is the token counts of sampling.
     * group_of[rank * TRI_MAX_GROUPS + i]: group i of the rank's graphs. */
    tri_plan_group groups[TRI_MAX_GROUPS];
    int32_t n_groups;
    int32_t *group_of;

    pthread_mutex_t lock;
    pthread_mutex_t taking; /* held while weights are put in, and while all ranks of an executor
                               take them: before `lock` */
    bool has_locks;
    tri_weight_set **weights; /* one for each rank */
    int64_t generation;
};

/* The set of a rank as it is now, referenced; tri_weight_set_unref gives it back. */
tri_weight_set *tri_engine_take_weights(tri_engine *engine, int32_t rank, int64_t *generation);
void tri_weight_set_unref(tri_engine *engine, tri_weight_set *set);
/* Puts in one set for each rank (taken over) and counts a generation. */
void tri_engine_put_weights(tri_engine *engine, tri_weight_set **sets);

/* ---- lowering again ---- */

/* The ranks of `dir` do not run on `isa`: lowers them again from what they store, into a directory
 * of the cache made once and found again later.  *path in the arena; *made: this call made it. */
tri_status tri_repack(const char *dir, const char *cache_dir, const char *isa,
    const tri_plugin_set *plugins, tri_arena *arena, const char **path, bool *made, tri_error *err);

#endif
