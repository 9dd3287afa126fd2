#include "executor/ranks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct rank {
    struct tri_ranks *owner;
    int32_t index;
    tri_device *device;
    tri_plan *plan;
    pthread_t thread;
    bool has_thread;
    tri_status status;
    tri_error error;
} rank;

struct tri_ranks {
    int32_t n, tp_size;
    rank *ranks;
    tri_plan **plans; /* of the ranks */
    tri_comm_group *group;
    pthread_mutex_t lock;
    pthread_cond_t start, finished;
    const tri_step *step; /* being run */
    uint64_t n_started;
    int32_t n_running;
    bool stop;
};

static tri_status run_one(rank *r, const tri_step *step) {
    tri_status rc = tri_plan_submit(r->plan, step, &r->error);
    if (!rc) rc = tri_plan_complete(r->plan, &r->error);
    if (rc && r->owner->group) tri_comm_abort(tri_comm_of_rank(r->owner->group, r->index));
    return rc;
}

static void *rank_thread(void *arg) {
    rank *r = arg;
    tri_ranks *all = r->owner;
    uint64_t n_done = 0;
    pthread_mutex_lock(&all->lock);
    for (;;) {
        while (!all->stop && all->n_started == n_done)
            pthread_cond_wait(&all->start, &all->lock);
        if (all->stop) break;
        n_done = all->n_started;
        const tri_step *step = all->step;
        pthread_mutex_unlock(&all->lock);
        tri_status rc = run_one(r, step);
        pthread_mutex_lock(&all->lock);
        r->status = rc;
        if (--all->n_running == 0) pthread_cond_signal(&all->finished);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

static tri_status create_rank(tri_ranks *all, int32_t index, tri_engine *engine,
    const tri_plan_limits *limits, int32_t n_threads, bool profile, tri_error *err) {
    rank *r = &all->ranks[index];
    r->owner = all;
    r->index = index;
    TRI_TRY(tri_engine_device(&r->device, engine, index, n_threads, err));
    tri_comm *comm = all->group ? tri_comm_of_rank(all->group, index) : NULL;
    TRI_TRY(tri_plan_create(&r->plan, engine, index, r->device, comm, limits, err));
    all->plans[index] = r->plan;
    if (profile) tri_plan_set_profile(r->plan, true);
    if (all->n == 1) return TRI_OK;
    if (pthread_create(&r->thread, NULL, rank_thread, r)) {
        return TRI_FAIL(err, TRI_E_MEMORY, "no thread for rank %d of %d", index, all->n);
    }
    r->has_thread = true;
    return TRI_OK;
}

tri_status tri_ranks_create(tri_ranks **ranks, tri_engine *engine, const tri_plan_limits *limits,
    int32_t n_threads, bool profile, tri_error *err) {
    tri_status rc = TRI_OK;
    tri_engine_info info;
    tri_engine_get_info(engine, &info);
    tri_ranks *all = calloc(1, sizeof *all);
    if (!all) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for ranks");
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->start, NULL);
    pthread_cond_init(&all->finished, NULL);
    all->n = info.tp_size * info.pp_size;
    all->tp_size = info.tp_size;
    all->ranks = calloc((size_t)all->n, sizeof(rank));
    all->plans = calloc((size_t)all->n, sizeof(tri_plan *));
    if (!all->ranks || !all->plans) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d ranks", all->n);
        goto done;
    }
    if (all->n > 1) {
        rc = tri_comm_group_create(&all->group, info.tp_size, info.pp_size, err);
        if (rc) goto done;
    }
    int32_t total = n_threads > 0 ? n_threads : tri_cpu_count();
    int32_t each = total / all->n > 0 ? total / all->n : 1;
    for (int32_t i = 0; i < all->n && !rc; i++) {
        rc = create_rank(all, i, engine, limits, each, profile, err);
        if (rc) tri_error_context(err, "rank %d", i);
    }
    if (!rc) *ranks = all;

done:
    if (rc) tri_ranks_destroy(all);
    return rc;
}

void tri_ranks_destroy(tri_ranks *all) {
    if (!all) return;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_broadcast(&all->start);
    pthread_mutex_unlock(&all->lock);
    for (int32_t i = 0; all->ranks && i < all->n; i++) {
        rank *r = &all->ranks[i];
        if (r->has_thread) pthread_join(r->thread, NULL);
        tri_plan_destroy(r->plan);
        tri_device_destroy(r->device);
    }
    tri_comm_group_destroy(all->group);
    pthread_cond_destroy(&all->start);
    pthread_cond_destroy(&all->finished);
    pthread_mutex_destroy(&all->lock);
    free(all->ranks);
    free(all->plans);
    free(all);
}

tri_status tri_ranks_run(tri_ranks *all, const tri_step *step, tri_error *err) {
    if (all->n == 1) {
        tri_status rc = run_one(&all->ranks[0], step);
        if (rc && err) *err = all->ranks[0].error;
        return rc;
    }
    pthread_mutex_lock(&all->lock);
    all->step = step;
    all->n_running = all->n;
    all->n_started++;
    pthread_cond_broadcast(&all->start);
    while (all->n_running)
        pthread_cond_wait(&all->finished, &all->lock);
    pthread_mutex_unlock(&all->lock);
    /* The first failure that is not the echo of another rank's. */
    const rank *failed = NULL;
    for (int32_t i = 0; i < all->n; i++) {
        const rank *r = &all->ranks[i];
        if (r->status && (!failed || failed->status == TRI_E_CANCELLED)) failed = r;
    }
    if (failed && err) {
        *err = failed->error;
        tri_error_context(err, "rank %d", failed->index);
    }
    return failed ? failed->status : TRI_OK;
}

tri_status tri_ranks_submit(tri_ranks *all, const tri_step *step, tri_error *err) {
    TRI_ASSERT(all->n == 1);
    return tri_plan_submit(all->ranks[0].plan, step, err);
}

tri_status tri_ranks_complete(tri_ranks *all, tri_error *err) {
    TRI_ASSERT(all->n == 1);
    return tri_plan_complete(all->ranks[0].plan, err);
}

bool tri_ranks_can_overlap(const tri_ranks *all, bool *worth_it) {
    *worth_it = all->n == 1 && !tri_device_is_host(all->ranks[0].device);
    return all->n == 1;
}

bool tri_ranks_refit_waits(const tri_ranks *all) {
    return tri_plan_refit_waits(all->ranks[0].plan);
}

tri_plan *tri_ranks_head(tri_ranks *all) {
    return all->ranks[all->n - all->tp_size].plan;
}

tri_status tri_ranks_take_refit(tri_ranks *all, bool *changed, tri_error *err) {
    return tri_plans_take_refit(all->plans, all->n, changed, err);
}

void tri_ranks_set_mask(tri_ranks *all, int32_t slot, const uint32_t *mask, int32_t n_words) {
    for (int32_t i = all->n - all->tp_size; i < all->n; i++) {
        memcpy(tri_plan_mask(all->ranks[i].plan, slot), mask, sizeof *mask * (size_t)n_words);
    }
}
