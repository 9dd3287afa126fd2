/* ranks.h - the ranks of an engine run together: a device and a plan each, one thread each when
 * there are several; every rank gets the same step bytes. */
#ifndef TRI_EXECUTOR_RANKS_H
#define TRI_EXECUTOR_RANKS_H

#include "engine/plan.h"

typedef struct tri_ranks tri_ranks;

tri_status tri_ranks_create(tri_ranks **ranks, tri_engine *engine, const tri_plan_limits *limits,
    int32_t n_threads, bool profile, tri_error *err);
void tri_ranks_destroy(tri_ranks *ranks);
/* Runs one step on all ranks and waits for it. */
tri_status tri_ranks_run(tri_ranks *ranks, const tri_step *step, tri_error *err);
/* The same in two halves, of a single rank: up to two steps may be under way. */
tri_status tri_ranks_submit(tri_ranks *ranks, const tri_step *step, tri_error *err);
tri_status tri_ranks_complete(tri_ranks *ranks, tri_error *err);
/* Whether there is one rank, so that a step can be made while another is under way; worth_it: and
 * its device computes by itself. */
bool tri_ranks_can_overlap(const tri_ranks *ranks, bool *worth_it);
/* The rank that has logits and tokens: first of the last pipeline stage. */
tri_plan *tri_ranks_head(tri_ranks *ranks);
/* Weights were staged that tri_ranks_take_refit would take. */
bool tri_ranks_refit_waits(const tri_ranks *ranks);
/* Before a step, on all ranks, none under way. */
tri_status tri_ranks_take_refit(tri_ranks *ranks, bool *changed, tri_error *err);
/* Masks are written on every rank of the last stage, so that all sample alike. */
void tri_ranks_set_mask(tri_ranks *ranks, int32_t slot, const uint32_t *mask, int32_t n_words);

#endif
