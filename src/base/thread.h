/* thread.h - a fixed team that runs one function on all its threads, and small primitives.
 *
 * The caller is member 0.  Members spin for a while after a job, then sleep; a job of many phases
 * uses tri_team_barrier inside instead of waking the team for each. */
#ifndef TRI_BASE_THREAD_H
#define TRI_BASE_THREAD_H

#include "base/status.h"

typedef struct tri_team tri_team;
typedef void (*tri_team_fn)(void *arg, int32_t thread, int32_t n_threads);

/* n_threads <= 0: the number of CPUs this process may run on. */
tri_status tri_team_create(tri_team **team, int32_t n_threads, tri_error *err);
void tri_team_destroy(tri_team *team);
int32_t tri_team_size(const tri_team *team);
void tri_team_run(tri_team *team, tri_team_fn fn, void *arg); /* returns when all are done */
/* On members 0 to n - 1 only, and from then on: the others sleep until a run wants them. */
void tri_team_run_on(tri_team *team, int32_t n, tri_team_fn fn, void *arg);
void tri_team_barrier(tri_team *team); /* inside a job only: all members must arrive */
/* Nanoseconds that members have slept at barriers, all together: what members that lost their CPU
 * cost the others. */
int64_t tri_team_slept_ns(const tri_team *team);
int32_t tri_cpu_count(void);

/* [first, last) of n items in units of `unit`, for member `thread`: contiguous, even. */
void tri_split(
    int64_t n, int64_t unit, int32_t thread, int32_t n_threads, int64_t *first, int64_t *last);

#endif
