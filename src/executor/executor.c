/* executor.c - the engine's thread:
 *
 *     iterate:  admit (new, cancelled, late requests) -> sched_next -> submit
 *                                   the step before:     complete -> sched_done -> deliver
 *
 * Where the device computes by itself a step is made and submitted while the one before is under
 * way, its tokens still unknown to the host; elsewhere, and where the host has a say in between,
 * each is waited for.
 *
 * One lock guards the list of live requests.  The thread holds it to admit and to deliver, never
 * while a step runs.  Requests end on the thread alone and are freed by the await that takes their
 * last response. */
#include "executor/executor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "executor/limits.h"
#include "executor/ranks.h"
#include "executor/request.h"

typedef struct flight { /* a step: what is needed of it once it has ended */
    const tri_sched_row *rows;
    int32_t n_rows;
    uint64_t *ids; /* of its sequences; 0: removed since */
    int32_t n_ids, n_prompt_tokens;
    int64_t started_ns;
} flight;

struct tri_executor {
    tri_engine *engine;
    tri_engine_info info;
    tri_executor_limits limits;
    tri_ranks *ranks;
    tri_sched *sched;
    void *step_memory;
    int64_t step_bytes;
    uint32_t *mask; /* one row of the vocabulary, scratch */
    int32_t n_mask_words;
    bool is_single; /* one rank */
    bool overlaps;  /* a step is made while the one before is under way */
    bool flies;     /* one is */
    flight flight, next;
    int64_t ended_ns; /* when the last step did */

    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    tri_pending *first, *last; /* live: not yet freed, oldest delivery first */
    int32_t n_unfinished;
    uint64_t next_id;
    bool stop, has_thread;
    pthread_t thread;
    tri_executor_stats stats;
};

/* ---- the list ---- */

static void append(tri_executor *x, tri_pending *p) {
    p->next = NULL;
    if (x->last) {
        x->last->next = p;
    } else {
        x->first = p;
    }
    x->last = p;
}

static void unlink_pending(tri_executor *x, tri_pending *p) {
    tri_pending *previous = NULL;
    for (tri_pending *at = x->first; at; previous = at, at = at->next) {
        if (at != p) continue;
        if (previous) {
            previous->next = p->next;
        } else {
            x->first = p->next;
        }
        if (x->last == p) x->last = previous;
        return;
    }
}

static tri_pending *find(tri_executor *x, uint64_t id) {
    for (tri_pending *p = x->first; p; p = p->next) {
        if (p->id == id) return p;
    }
    return NULL;
}

static void finish(tri_executor *x, tri_pending *p, tri_finish_reason reason, const char *message) {
    if (p->finish_reason == TRI_NOT_FINISHED) {
        if (message) {
            size_t n = strnlen(message, sizeof p->error_msg - 1);
            memcpy(p->error_msg, message, n);
            p->error_msg[n] = 0;
        }
        tri_pending_finish(p, reason, tri_clock_ns());
    }
    if (p->added) tri_sched_remove(x->sched, p->id);
    p->added = false;
    x->n_unfinished--;
}

/* ---- an iteration ---- */

static tri_step_sampling row_sampling(const tri_sampling_config *c) {
    return (tri_step_sampling){.temperature = c->temperature,
        .top_k = c->top_k,
        .top_p = c->top_p,
        .min_p = c->min_p,
        .repetition_penalty = c->repetition_penalty,
        .presence_penalty = c->presence_penalty,
        .frequency_penalty = c->frequency_penalty,
        .seed = c->seed,
        .mask_slot = -1};
}

static tri_sched_request sched_request(const tri_pending *p) {
    return (tri_sched_request){.id = p->id,
        .tokens = p->input,
        .n_tokens = p->n_input,
        .max_tokens = p->max_tokens,
        .priority = p->priority,
        .all_rows = p->context_logits != NULL,
        .sampling = row_sampling(&p->sampling)};
}

static void admit(tri_executor *x) {
    int64_t now = tri_clock_ns();
    for (tri_pending *p = x->first; p; p = p->next) {
        if (p->finish_reason != TRI_NOT_FINISHED) continue;
        if (p->cancelled) {
            finish(x, p, TRI_FINISH_CANCELLED, NULL);
        } else if (p->deadline_ns && now >= p->deadline_ns) {
            finish(x, p, TRI_FINISH_TIMED_OUT, NULL);
        } else if (!p->added) {
            tri_error err = {0};
            tri_sched_request request = sched_request(p);
            if (tri_sched_add(x->sched, &request, &err)) {
                finish(x, p, TRI_FINISH_ERROR, err.message);
            } else {
                p->added = true;
            }
        }
    }
}

/* Rows whose end is not allowed yet: the end ids are masked out. */
static void mask_ends(tri_executor *x, tri_step *step, const tri_sched_row *rows) {
    tri_step_sampling *sampling = (tri_step_sampling *)(void *)((uint8_t *)step + step->sampling);
    for (int32_t r = 0; r < step->n_rows; r++) {
        const tri_pending *p = rows[r].sampled ? find(x, rows[r].id) : NULL;
        if (!p || p->n_tokens >= p->sampling.min_tokens) continue;
        memset(x->mask, 0xFF, sizeof *x->mask * (size_t)x->n_mask_words);
        for (int32_t i = 0; i < p->n_end_ids; i++) {
            int32_t id = p->end_ids[i];
            if (id >= 0 && id < x->info.vocab_size) x->mask[id / 32] &= ~(1u << (id % 32));
        }
        tri_ranks_set_mask(x->ranks, r, x->mask, x->n_mask_words);
        sampling[r].mask_slot = r;
    }
}

/* Kernels draw no token, -1, where no logit is the largest. */
static void fail_undrawn(tri_executor *x, tri_pending *p) {
    tri_error err = {0};
    (void)TRI_FAIL(&err, TRI_E_INTERNAL,
        "the logits are not finite at token %d; are the weights damaged? (inspect --verify checks "
        "an engine's)",
        p->n_input + p->n_tokens);
    finish(x, p, TRI_FINISH_ERROR, err.message);
}

static void deliver_row(tri_executor *x, const tri_sched_row *row, int32_t r, int64_t now) {
    tri_plan *head = tri_ranks_head(x->ranks);
    tri_pending *p = find(x, row->id);
    if (!p || p->finish_reason != TRI_NOT_FINISHED) return;
    const float *logits = NULL;
    tri_error err = {0};
    if (p->context_logits || p->output.return_generation_logits) {
        if (tri_plan_read_logits(head, &logits, &err)) {
            finish(x, p, TRI_FINISH_ERROR, err.message);
            return;
        }
        logits += (int64_t)r * x->info.vocab_size;
    }
    if (p->context_logits && row->position < p->n_input) {
        memcpy(p->context_logits + (int64_t)row->position * x->info.vocab_size, logits,
            sizeof(float) * (size_t)x->info.vocab_size);
    }
    if (!row->sampled) return;
    int32_t token = tri_plan_tokens(head)[r];
    if (token < 0) {
        fail_undrawn(x, p);
        return;
    }
    tri_pending_append(p, token, tri_plan_logprobs(head)[r], now);
    x->stats.n_generated_tokens++;
    if (p->output.return_generation_logits &&
        tri_pending_keep_logits(p, logits, x->info.vocab_size, &err)) {
        finish(x, p, TRI_FINISH_ERROR, err.message);
    } else if (p->finish_reason != TRI_NOT_FINISHED) {
        finish(x, p, p->finish_reason, NULL);
    }
}

/* Whoever was in a step ends with the reason, the others go on. */
static void fail_step(tri_executor *x, const flight *f, const tri_error *err) {
    for (int32_t s = 0; s < f->n_ids; s++) {
        tri_pending *p = f->ids[s] ? find(x, f->ids[s]) : NULL;
        if (p) finish(x, p, TRI_FINISH_ERROR, err->message);
    }
}

static void fail_all(tri_executor *x, const tri_error *err) {
    for (tri_pending *p = x->first; p; p = p->next) {
        if (p->finish_reason == TRI_NOT_FINISHED) finish(x, p, TRI_FINISH_ERROR, err->message);
    }
}

static int32_t count_prompt_tokens(const tri_step *step) {
    const int32_t *cu = TRI_STEP_I32(step, cu_seqlens);
    int32_t n = 0;
    for (int32_t s = 0; s < step->n_sequences; s++) {
        int32_t end = TRI_STEP_I32(step, context_lens)[s];
        int32_t first = end - (cu[s + 1] - cu[s]);
        int32_t prompt = TRI_STEP_I32(step, prompt_lens)[s];
        if (first < prompt) n += (end < prompt ? end : prompt) - first;
    }
    return n;
}

static void update_stats(tri_executor *x) {
    tri_sched_stats sched;
    tri_sched_get_stats(x->sched, &sched);
    tri_executor_stats *stats = &x->stats;
    stats->n_running = sched.n_running;
    stats->n_waiting = sched.n_waiting;
    stats->n_preempted = sched.n_preempted;
    stats->kv_blocks_used = stats->kv_blocks_total = 0;
    for (int32_t g = 0; g < x->limits.sched.n_groups; g++) {
        if (x->limits.sched.groups[g].recurrent) continue;
        stats->kv_blocks_used += sched.blocks_used[g];
        stats->kv_blocks_total += x->limits.sched.groups[g].n_blocks;
    }
}

/* ---- steps under way ---- */

/* Rows that the host must see, or prepare, before the next step: logits that are read back, and
 * ends that are masked out as long as there are few tokens. */
static bool is_alone(tri_executor *x, const tri_sched_row *rows, int32_t n_rows) {
    if (!x->overlaps) return true;
    for (int32_t r = 0; r < n_rows; r++) {
        const tri_pending *p = find(x, rows[r].id);
        if (p && (p->context_logits || p->output.return_generation_logits ||
                     p->n_tokens < p->sampling.min_tokens))
            return true;
    }
    return false;
}

static void note_flight(tri_executor *x, const tri_step *step, const tri_sched_row *rows) {
    flight *f = &x->next;
    f->rows = rows;
    f->n_rows = step->n_rows;
    f->n_ids = step->n_sequences;
    f->n_prompt_tokens = count_prompt_tokens(step);
    f->started_ns = tri_clock_ns();
    for (int32_t s = 0; s < step->n_sequences; s++)
        f->ids[s] = tri_sched_sequence_id(x->sched, s);
}

/* The step that was noted is under way. */
static void take_off(tri_executor *x) {
    flight landed = x->flight;
    x->flight = x->next;
    x->next = landed; /* its memory */
    x->flies = true;
    tri_sched_submitted(x->sched);
}

/* What a step that has ended made, or why it failed. */
static void hand_out(tri_executor *x, const flight *f, const tri_error *failure) {
    int64_t now = tri_clock_ns(), last = x->ended_ns;
    if (failure) fail_step(x, f, failure);
    tri_sched_done(x->sched, failure ? NULL : tri_plan_tokens(tri_ranks_head(x->ranks)));
    for (int32_t r = 0; r < f->n_rows && !failure; r++)
        deliver_row(x, &f->rows[r], r, now);
    x->stats.n_iterations++;
    x->stats.n_prompt_tokens += f->n_prompt_tokens;
    x->stats.step_us += (now - (f->started_ns > last ? f->started_ns : last)) / 1000;
    x->ended_ns = now;
    update_stats(x);
    pthread_cond_broadcast(&x->ready);
}

/* Waits for the step under way.  Under the lock on entry and on return. */
static void land(tri_executor *x) {
    tri_error err = {0};
    pthread_mutex_unlock(&x->lock);
    tri_status rc = tri_ranks_complete(x->ranks, &err);
    pthread_mutex_lock(&x->lock);
    x->flies = false;
    hand_out(x, &x->flight, rc ? &err : NULL);
}

/* Several ranks run together, each in its thread: one step after the other. */
static void run_together(tri_executor *x, const tri_step *step) {
    tri_error err = {0};
    pthread_mutex_unlock(&x->lock);
    tri_status rc = tri_ranks_run(x->ranks, step, &err);
    pthread_mutex_lock(&x->lock);
    hand_out(x, &x->next, rc ? &err : NULL);
}

static void start(tri_executor *x, const tri_step *step, bool alone) {
    tri_error err = {0};
    pthread_mutex_unlock(&x->lock);
    tri_status rc = tri_ranks_submit(x->ranks, step, &err);
    pthread_mutex_lock(&x->lock);
    if (x->flies) land(x);
    if (rc) {
        fail_step(x, &x->next, &err);
        return;
    }
    take_off(x);
    if (alone) land(x);
}

/* Under the lock on entry and on return; lets go of it while the device works. */
static bool iterate(tri_executor *x) {
    tri_error err = {0};
    bool refitted = false;
    admit(x);
    if (x->flies && tri_ranks_refit_waits(x->ranks)) land(x);
    if (!x->flies && tri_ranks_take_refit(x->ranks, &refitted, &err)) fail_all(x, &err);
    if (refitted) tri_sched_recompute(x->sched);

    tri_step *step = NULL;
    const tri_sched_row *rows = NULL;
    if (tri_sched_next(x->sched, x->step_memory, x->step_bytes, &step, &rows, &err)) {
        if (x->flies) land(x);
        fail_all(x, &err);
        return true;
    }
    if (!step && x->flies) {
        land(x);
        return true;
    }
    if (!step) {
        if (x->n_unfinished) {
            tri_fail(&err, TRI_E_INTERNAL, "%d requests wait and none can run", x->n_unfinished);
            fail_all(x, &err);
        }
        update_stats(x);
        return false;
    }
    bool alone = is_alone(x, rows, step->n_rows);
    if (alone && x->flies) land(x);
    mask_ends(x, step, rows);
    note_flight(x, step, rows);
    if (x->is_single)
        start(x, step, alone);
    else
        run_together(x, step);
    return true;
}

static void *executor_thread(void *arg) {
    tri_executor *x = arg;
    pthread_mutex_lock(&x->lock);
    while (!x->stop) {
        if (iterate(x)) continue;
        pthread_cond_broadcast(&x->ready);
        if (!x->stop && !x->n_unfinished) pthread_cond_wait(&x->work, &x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

/* ---- create, destroy ---- */

static void init_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static tri_status prepare(tri_executor *x, const tri_executor_config *config, tri_error *err) {
    tri_plan_group groups[TRI_MAX_GROUPS];
    int32_t n_groups = tri_engine_groups(x->engine, groups);
    TRI_TRY(tri_executor_choose_limits(&x->limits, &x->info, groups, n_groups, config, err));
    TRI_TRY(tri_sched_create(&x->sched, &x->limits.sched, err));
    TRI_TRY(tri_ranks_create(
        &x->ranks, x->engine, &x->limits.plan, config->n_threads, config->profile, err));
    tri_step_shape shape = tri_plan_step_shape(tri_ranks_head(x->ranks));
    x->step_bytes = tri_step_bytes(&shape);
    x->step_memory = malloc((size_t)x->step_bytes);
    x->n_mask_words = (x->info.vocab_size + 31) / 32;
    x->mask = malloc(sizeof *x->mask * (size_t)x->n_mask_words);
    x->flight.ids = calloc((size_t)x->limits.plan.max_sequences, sizeof *x->flight.ids);
    x->next.ids = calloc((size_t)x->limits.plan.max_sequences, sizeof *x->next.ids);
    if (!x->step_memory || !x->mask || !x->flight.ids || !x->next.ids) {
        return TRI_FAIL(
            err, TRI_E_MEMORY, "no memory for a step of %" PRId64 " bytes", x->step_bytes);
    }
    x->stats.kv_bytes = x->limits.kv_bytes;
    bool worth_it;
    x->is_single = tri_ranks_can_overlap(x->ranks, &worth_it);
    if (config->overlap_scheduler > 0 && !x->is_single)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "overlap_scheduler needs a single rank, there are %d",
            x->info.tp_size * x->info.pp_size);
    /* Times of launches are taken of one step at a time. */
    x->overlaps = (worth_it || config->overlap_scheduler > 0) && config->overlap_scheduler >= 0 &&
                  !config->profile;
    return TRI_OK;
}

tri_status tri_executor_create(tri_executor **executor, tri_engine *engine,
    const tri_executor_config *config, tri_error *err) {
    static const tri_executor_config defaults = {.struct_size = sizeof defaults};
    if (!config) config = &defaults;
    if (config->struct_size != sizeof *config) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "tri_executor_config.struct_size is %u, this library's is %zu; compile against its "
            "headers",
            config->struct_size, sizeof *config);
    }
    tri_executor *x = calloc(1, sizeof *x);
    if (!x) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for an executor");
    x->engine = engine;
    x->next_id = 1;
    pthread_mutex_init(&x->lock, NULL);
    init_condition(&x->work);
    init_condition(&x->ready);
    tri_engine_get_info(engine, &x->info);
    tri_status rc = prepare(x, config, err);
    if (!rc && !config->manual) {
        x->has_thread = pthread_create(&x->thread, NULL, executor_thread, x) == 0;
        if (!x->has_thread) rc = TRI_FAIL(err, TRI_E_MEMORY, "no thread for the executor");
    }
    if (rc) {
        tri_executor_destroy(x);
        tri_error_context(err, "executor");
        return rc;
    }
    *executor = x;
    return TRI_OK;
}

void tri_executor_destroy(tri_executor *x) {
    if (!x) return;
    pthread_mutex_lock(&x->lock);
    x->stop = true;
    pthread_cond_broadcast(&x->work);
    pthread_cond_broadcast(&x->ready);
    pthread_mutex_unlock(&x->lock);
    if (x->has_thread) pthread_join(x->thread, NULL);
    for (tri_pending *p = x->first; p;) {
        tri_pending *next = p->next;
        tri_pending_destroy(p);
        p = next;
    }
    tri_ranks_destroy(x->ranks);
    tri_sched_destroy(x->sched);
    pthread_cond_destroy(&x->work);
    pthread_cond_destroy(&x->ready);
    pthread_mutex_destroy(&x->lock);
    free(x->step_memory);
    free(x->mask);
    free(x->flight.ids);
    free(x->next.ids);
    free(x);
}

/* ---- requests ---- */

tri_status tri_executor_enqueue(
    tri_executor *x, const tri_request *request, uint64_t *request_id, tri_error *err) {
    if (request->struct_size != sizeof *request) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "tri_request.struct_size is %u, this library's is %zu; compile against its headers",
            request->struct_size, sizeof *request);
    }
    int64_t room = x->limits.sched.max_seq_len;
    if (x->limits.max_kv_tokens < room) room = x->limits.max_kv_tokens;
    int64_t max_new = room - request->n_input_token_ids;
    if (max_new > INT32_MAX) max_new = INT32_MAX;
    tri_pending *p = NULL;
    TRI_TRY(tri_pending_create(&p, request, &x->info, (int32_t)max_new, err));
    tri_sched_request as_scheduled = sched_request(p);
    tri_status rc = tri_sched_check(x->sched, &as_scheduled, err);

    pthread_mutex_lock(&x->lock);
    int32_t most = x->limits.sched.max_batch_size + x->limits.sched.max_queue_size;
    if (!rc && x->n_unfinished >= most) {
        rc = TRI_FAIL(err, TRI_E_BUSY,
            "%d requests run or wait; max_batch_size is %d and max_queue_size %d; try again later",
            x->n_unfinished, x->limits.sched.max_batch_size, x->limits.sched.max_queue_size);
    }
    if (!rc) {
        p->id = x->next_id++;
        *request_id = p->id;
        append(x, p);
        x->n_unfinished++;
        pthread_cond_signal(&x->work);
    }
    pthread_mutex_unlock(&x->lock);
    if (rc) tri_pending_destroy(p);
    return rc;
}

/* Under the lock: a response of `id` (0: any), or NULL when none is due. */
static tri_status take_response(
    tri_executor *x, uint64_t id, tri_response **response, bool *known, tri_error *err) {
    *known = id == 0;
    for (tri_pending *p = x->first; p; p = p->next) {
        if (id && p->id != id) continue;
        *known = true;
        if (!tri_pending_is_ready(p)) continue;
        *response = tri_pending_respond(p, x->info.vocab_size);
        if (!*response) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a response");
        unlink_pending(x, p);
        if ((*response)->is_final) {
            tri_pending_destroy(p);
        } else {
            append(x, p); /* others come first next time */
        }
        return TRI_OK;
    }
    return TRI_OK;
}

tri_status tri_executor_await(
    tri_executor *x, uint64_t id, int64_t timeout_ms, tri_response **response, tri_error *err) {
    int64_t until_ns = timeout_ms >= 0 && timeout_ms < INT64_MAX / 2000000
                           ? tri_clock_ns() + timeout_ms * 1000000
                           : INT64_MAX;
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    tri_response *found = NULL;
    tri_status rc = TRI_OK;
    pthread_mutex_lock(&x->lock);
    for (bool late = false;;) {
        bool known = false;
        rc = take_response(x, id, &found, &known, err);
        if (rc || found) break;
        if (!known) {
            rc = TRI_FAIL(err, TRI_E_NOT_FOUND,
                "request %" PRIu64 " is not here: never enqueued, or its last response was taken",
                id);
            break;
        }
        if (x->stop) {
            rc = TRI_FAIL(err, TRI_E_CANCELLED, "the executor is being destroyed");
            break;
        }
        if (late) break;
        if (until_ns == INT64_MAX) {
            pthread_cond_wait(&x->ready, &x->lock);
        } else {
            late = pthread_cond_timedwait(&x->ready, &x->lock, &until) == ETIMEDOUT;
        }
    }
    pthread_mutex_unlock(&x->lock);
    if (!rc) *response = found;
    return rc;
}

tri_status tri_executor_cancel(tri_executor *x, uint64_t id, tri_error *err) {
    tri_status rc = TRI_OK;
    pthread_mutex_lock(&x->lock);
    tri_pending *p = find(x, id);
    if (p) {
        p->cancelled = true;
        pthread_cond_signal(&x->work);
    } else {
        rc = TRI_FAIL(err, TRI_E_NOT_FOUND, "request %" PRIu64 " is not here", id);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

tri_status tri_executor_step(tri_executor *x, bool *did_work, tri_error *err) {
    if (x->has_thread) {
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "the executor has its own thread; create it with config.manual");
    }
    pthread_mutex_lock(&x->lock);
    *did_work = iterate(x);
    pthread_mutex_unlock(&x->lock);
    return TRI_OK;
}

void tri_executor_get_stats(tri_executor *x, tri_executor_stats *stats) {
    pthread_mutex_lock(&x->lock);
    *stats = x->stats;
    pthread_mutex_unlock(&x->lock);
}

tri_plan *tri_executor_plan(tri_executor *x) {
    return tri_ranks_head(x->ranks);
}
