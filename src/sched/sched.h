/* sched.h - which sequences run in the next step, and where their KV lives.  Pure: no threads, no
 * clock of its own (times are passed in), no device; simulated in tests for millions of steps.
 *
 * Policy here: first come first served, chunked context, running decodes first, preemption by
 * recompute (the youngest goes back to waiting) when blocks run out. */
#ifndef TRI_SCHED_SCHED_H
#define TRI_SCHED_SCHED_H

#include "base/arena.h"
#include "base/step.h"

typedef struct tri_sched tri_sched;

typedef struct tri_sched_group {
    bool recurrent;
    int32_t window, tokens_per_block, n_blocks; /* recurrent: n_blocks slots */
} tri_sched_group;

typedef struct tri_sched_config {
    int32_t max_batch_size, max_num_tokens, max_queue_size;
    int32_t max_num_rows; /* logits rows a step; 0: max_batch_size */
    int64_t max_seq_len;
    int32_t n_groups;
    tri_sched_group groups[TRI_MAX_GROUPS];
    bool chunked_context;
} tri_sched_config;

tri_status tri_sched_create(tri_sched **sched, const tri_sched_config *config, tri_error *err);
void tri_sched_destroy(tri_sched *sched);

typedef struct tri_sched_request {
    uint64_t id;
    const int32_t *tokens; /* prompt, copied */
    int32_t n_tokens;
    int32_t max_tokens; /* to generate, at least 1 */
    float priority;
    bool all_rows;              /* logits of every prompt token wanted */
    tri_step_sampling sampling; /* sequence, counter are filled in */
} tri_sched_request;

/* TRI_E_LIMIT when the request could never fit; says what would.  Looks only at what never changes,
 * so any thread may ask. */
tri_status tri_sched_check(
    const tri_sched *sched, const tri_sched_request *request, tri_error *err);
/* TRI_E_BUSY: queue full.  TRI_E_LIMIT: as tri_sched_check. */
tri_status tri_sched_add(tri_sched *sched, const tri_sched_request *request, tri_error *err);
/* The sequence ends (finished or cancelled), its blocks return; unknown ids are ignored. */
void tri_sched_remove(tri_sched *sched, uint64_t id);

/* Fills the next step in `memory` (laid out here); *step NULL when nothing can run.  Row r of it
 * belongs to sequence rows[r], which stay until the step after the next is made; sampled is false
 * for rows asked by all_rows before the prompt's end. */
typedef struct tri_sched_row {
    uint64_t id;
    int32_t position; /* of the token whose logits these are */
    bool sampled;     /* its token is wanted */
} tri_sched_row;
tri_status tri_sched_next(tri_sched *sched, void *memory, int64_t capacity_bytes, tri_step **step,
    const tri_sched_row **rows, tri_error *err);
/* Whose sequence s of the step being made is; 0 once removed. */
uint64_t tri_sched_sequence_id(const tri_sched *sched, int32_t s);
/* The step made last is under way and the next may be made before its tokens are known: sequences
 * go on as if they were, with tokens that name its rows (base/step.h).  One step can be so. */
void tri_sched_submitted(tri_sched *sched);
/* After the step: the sampled token of each row (in row order, ignored where not sampled) is
 * appended to its sequence, or takes the place that tri_sched_submitted kept for it. */
void tri_sched_done(tri_sched *sched, const int32_t *tokens);
/* All running sequences are put back to be computed from their tokens again (after a refit). */
void tri_sched_recompute(tri_sched *sched);

typedef struct tri_sched_stats {
    int32_t n_running, n_waiting, blocks_used[TRI_MAX_GROUPS];
    int64_t n_preempted;
} tri_sched_stats;
void tri_sched_get_stats(const tri_sched *sched, tri_sched_stats *stats);

#endif
