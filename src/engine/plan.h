/* plan.h - an engine made runnable on a device for given limits: memory reserved, launches bound.
 *
 * One plan a rank.  submit and complete never allocate; logits and sampled tokens of the last
 * completed step are read in place.  One thread at a time (the executor's). */
#ifndef TRI_ENGINE_PLAN_H
#define TRI_ENGINE_PLAN_H

#include "base/step.h"
#include "device/comm.h"
#include "device/device.h"
#include "trireme/engine.h"

typedef struct tri_plan tri_plan;

typedef struct tri_plan_limits {
    int32_t max_tokens, max_sequences, max_rows; /* T, S, R */
    int64_t max_seq_len;
    int32_t n_blocks[TRI_MAX_GROUPS]; /* paged groups: blocks; recurrent: slots */
} tri_plan_limits;

/* What a scheduler must know of a group. */
typedef struct tri_plan_group {
    bool recurrent;
    int32_t window; /* 0: full */
    int32_t tokens_per_block;
    int64_t bytes_per_block; /* or per sequence */
} tri_plan_group;
int32_t tri_engine_groups(const tri_engine *engine, tri_plan_group groups[TRI_MAX_GROUPS]);

/* The device that a rank runs on: of the engine's target, of a machine with several the rank's.
 * n_threads: of a CPU, 0: all. */
tri_status tri_engine_device(
    tri_device **device, const tri_engine *engine, int32_t rank, int32_t n_threads, tri_error *err);
tri_status tri_plan_create(tri_plan **plan, tri_engine *engine, int32_t rank, tri_device *device,
    tri_comm *comm, const tri_plan_limits *limits, tri_error *err);
void tri_plan_destroy(tri_plan *plan);
const tri_plan_limits *tri_plan_get_limits(const tri_plan *plan);
/* The shape of the largest step (for tri_step_bytes and tri_step_init). */
tri_step_shape tri_plan_step_shape(const tri_plan *plan);

/* Forward pass and sampling of one step; the bytes are copied. */
tri_status tri_plan_submit(tri_plan *plan, const tri_step *step, tri_error *err);
tri_status tri_plan_complete(tri_plan *plan, tri_error *err);

/* Of the last completed step, on the last pipeline stage: host memory, valid until the next submit.
 * Logits are fetched when they are asked for. */
const int32_t *tri_plan_tokens(const tri_plan *plan); /* [R] sampled */
const float *tri_plan_logprobs(const tri_plan *plan); /* [R] of them */
tri_status tri_plan_read_logits(                      /* [R, vocab_size], before sampling */
    tri_plan *plan, const float **logits, tri_error *err);
uint32_t *tri_plan_mask(tri_plan *plan, int32_t slot); /* vocabulary bit mask of a mask slot */

/* Whether tri_plan_take_refit would change anything. */
bool tri_plan_refit_waits(const tri_plan *plan);
/* Takes weights staged by tri_engine_refit, between steps. *changed: sequences must be recomputed.
 */
tri_status tri_plan_take_refit(tri_plan *plan, bool *changed, tri_error *err);
/* The plans of all ranks, which so take the same weights: no refit can come in between. */
tri_status tri_plans_take_refit(
    tri_plan *const *plans, int32_t n_plans, bool *changed, tri_error *err);

typedef struct tri_plan_launch_info { /* for profiles */
    const char *name, *kernel;
    double bytes, flops; /* of the last step */
    int64_t nanoseconds; /* since the last reset; 0 unless profiling */
} tri_plan_launch_info;
int32_t tri_plan_n_launches(const tri_plan *plan);
void tri_plan_get_launch(const tri_plan *plan, int32_t i, tri_plan_launch_info *info);
void tri_plan_set_profile(tri_plan *plan, bool on);

#endif
