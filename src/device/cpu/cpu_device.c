/* cpu_device.c - steps run on a fixed team of threads.
 *
 * submit copies the step into a slot of its capture and queues it; one worker thread takes the
 * queue in order and is member 0 of the team.  A step is one job of the team: each launch is called
 * on every member, and a barrier after each makes its results visible to the next; nothing is woken
 * in between.
 *
 * The mutex guards the queue and the state of slots.  A capture's bound launches are touched by the
 * worker alone while one of its steps runs, so a second step of the capture may wait in its own
 * slot. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "device/bound.h"
#include "device/comm.h"
#include "device/cpu/isa.h"
#include "device/device_impl.h"

/* A member that shares its CPU with other programs stops the team at every barrier until it runs
 * again.  Once more than LOST_SHARE of WINDOW_NS of steps goes so, steps are left to one member
 * fewer; after a while, each time a longer one, all are tried again.  Results do not depend on it.
 */
enum { WINDOW_NS = 30 * 1000000, LOST_PERCENT = 35, FIRST_PAUSE_NS = 300 * 1000000 };
#define LAST_PAUSE_NS ((int64_t)5 * 1000000000)

/* How long the worker looks for the next step before it sleeps: decoding submits again within
 * microseconds, and waking a sleeping thread costs tens of them. */
enum { SPIN_NS = 30000 };

typedef struct cpu_slot {
    tri_capture *capture;
    struct cpu_slot *next; /* in the device's queue */
    tri_step *step;
    int64_t capacity_bytes;
    void *results; /* the step's, when it has run */
    bool done;
} cpu_slot;

typedef struct pace { /* the worker's: how many members run steps */
    int32_t n_active;
    int64_t steps_ns, lost_ns; /* of the window */
    int64_t all_again_ns;      /* when all are tried */
    int64_t pause_ns;
} pace;

typedef struct cpu_device {
    tri_device base;
    tri_team *team;
    pthread_t worker;
    pthread_mutex_t mutex;
    pthread_cond_t queued, finished;
    cpu_slot *first, *last; /* queue; the first may be running */
    atomic_bool wake;       /* something was queued, or stop: for the spinning worker */
    bool stop;
    pace pace;
} cpu_device;

typedef struct cpu_capture {
    tri_capture base;
    tri_launch *launches;
    tri_bound_launch *bound;
    int64_t (*taken)[2]; /* by launch: its counters */
    int32_t n_launches, n_groups;
    tri_comm *comm;
    tri_plugin_step step;
    int64_t *profile;
    const void *results;
    int64_t n_result_bytes;
    cpu_slot slots[TRI_DEVICE_MAX_QUEUED];
    int64_t n_submitted, n_completed; /* slot of a step: its number modulo the slots */
} cpu_capture;

/* ---- running ---- */

static void team_barrier(void *team) {
    tri_team_barrier(team);
}

static void bind_step(cpu_capture *c, const tri_step *step) {
    const int32_t *context_lens = TRI_STEP_I32(step, context_lens);
    int64_t n_context_tokens = 0;
    for (int32_t s = 0; s < step->n_sequences; s++)
        n_context_tokens += context_lens[s];

    uintptr_t base = (uintptr_t)step;
    tri_step_bind(&c->step, step, base, n_context_tokens);
    memset(c->taken, 0, (size_t)c->n_launches * sizeof *c->taken);
    for (int32_t i = 0; i < c->n_launches; i++)
        tri_bound_launch_set_step(&c->bound[i], &c->launches[i], step, base);
}

static void run_launches(void *arg, int32_t thread, int32_t n_threads) {
    const cpu_capture *c = arg;
    const cpu_device *device = (const cpu_device *)c->base.device;
    int64_t before = c->profile && thread == 0 ? tri_clock_ns() : 0;
    for (int32_t i = 0; i < c->n_launches; i++) {
        tri_plugin_launch launch = c->bound[i].launch;
        launch.thread = thread;
        launch.n_threads = n_threads;
        c->launches[i].kernel->launch(c->launches[i].state, &launch);
        tri_team_barrier(device->team); /* the next launch reads what all members wrote */
        if (c->profile && thread == 0) {
            int64_t now = tri_clock_ns();
            c->profile[i] += now - before;
            before = now;
        }
    }
}

static void run_step(cpu_device *d, cpu_capture *c) {
    pace *p = &d->pace;
    int32_t n_threads = tri_team_size(d->team);
    int64_t before_ns = tri_clock_ns(), slept_ns = tri_team_slept_ns(d->team);
    if (p->n_active < n_threads && before_ns >= p->all_again_ns) {
        p->n_active = n_threads;
        p->steps_ns = p->lost_ns = 0;
    }
    tri_team_run_on(d->team, p->n_active, run_launches, c);
    if (p->n_active == 1) return;

    int64_t now_ns = tri_clock_ns();
    p->steps_ns += now_ns - before_ns;
    p->lost_ns += (tri_team_slept_ns(d->team) - slept_ns) / (p->n_active - 1);
    if (p->steps_ns < WINDOW_NS) return;
    if (p->lost_ns > p->steps_ns / 100 * LOST_PERCENT) {
        p->pause_ns = p->pause_ns == 0                  ? FIRST_PAUSE_NS
                      : 2 * p->pause_ns < LAST_PAUSE_NS ? 2 * p->pause_ns
                                                        : LAST_PAUSE_NS;
        p->all_again_ns = now_ns + p->pause_ns;
        p->n_active--;
    } else if (p->n_active == n_threads) {
        p->pause_ns = 0;
    }
    p->steps_ns = p->lost_ns = 0;
}

/* The next queued slot, or NULL at the end.  Called and returns with the mutex held. */
static cpu_slot *take_next(cpu_device *d) {
    while (!d->first && !d->stop) {
        atomic_store(&d->wake, false);
        pthread_mutex_unlock(&d->mutex);
        int64_t until = tri_clock_ns() + SPIN_NS;
        while (!atomic_load_explicit(&d->wake, memory_order_acquire) && tri_clock_ns() < until) {
        }
        pthread_mutex_lock(&d->mutex);
        while (!d->first && !d->stop)
            pthread_cond_wait(&d->queued, &d->mutex);
    }
    return d->first; /* at stop, what is queued still runs */
}

static void *work(void *arg) {
    cpu_device *d = arg;
    pthread_mutex_lock(&d->mutex);
    for (cpu_slot *slot; (slot = take_next(d)) != NULL;) {
        pthread_mutex_unlock(&d->mutex);

        cpu_capture *c = (cpu_capture *)slot->capture;
        bind_step(c, slot->step);
        run_step(d, c);
        if (c->n_result_bytes > 0) memcpy(slot->results, c->results, (size_t)c->n_result_bytes);

        pthread_mutex_lock(&d->mutex);
        d->first = slot->next;
        if (!d->first) d->last = NULL;
        slot->done = true;
        pthread_cond_broadcast(&d->finished);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

static void synchronize(tri_device *device) {
    cpu_device *d = (cpu_device *)device;
    pthread_mutex_lock(&d->mutex);
    while (d->first)
        pthread_cond_wait(&d->finished, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
}

/* ---- captures ---- */

static void capture_destroy(tri_capture *capture) {
    cpu_capture *c = (cpu_capture *)capture;
    synchronize(capture->device);
    for (int32_t i = 0; c->bound && i < c->n_launches; i++)
        tri_bound_launch_deinit(&c->bound[i]);
    for (int32_t i = 0; i < TRI_DEVICE_MAX_QUEUED; i++) {
        free(c->slots[i].step);
        free(c->slots[i].results);
    }
    free(c->launches);
    free(c->bound);
    free(c->taken);
    free(c);
}

static bool bind_launch(cpu_capture *c, int32_t i, void *workspace, tri_comm *comm) {
    tri_bound_launch *bound = &c->bound[i];
    if (!tri_bound_launch_init(bound, &c->launches[i], &c->step, workspace, comm)) return false;
    bound->launch.barrier = team_barrier;
    bound->launch.team = ((cpu_device *)c->base.device)->team;
    bound->launch.taken = c->taken[i];
    return true;
}

static tri_status check_for_cpu(
    const tri_device *device, const tri_launch *launch, int32_t i, tri_error *err) {
    const tri_plugin_kernel *kernel = launch->kernel;
    int32_t have = tri_cpu_isa_rank(device->facts.arch), needed = tri_cpu_isa_rank(kernel->isa);
    if (strcmp(kernel->device, "cpu") != 0 || needed < 0 || needed > have) {
        return TRI_FAIL(err, TRI_E_DEVICE,
            "launch %" PRId32 " %s: kernel %s is for %s %s, this device is cpu %s", i,
            launch->name ? launch->name : "", kernel->name, kernel->device,
            kernel->isa ? kernel->isa : "", device->facts.arch);
    }
    return TRI_OK;
}

static tri_status capture_create(
    tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err) {
    for (int32_t i = 0; i < list->n_launches; i++) {
        TRI_TRY(check_for_cpu(device, &list->launches[i], i, err));
    }
    tri_status rc = TRI_OK;
    size_t n = (size_t)list->n_launches;
    cpu_capture *c = calloc(1, sizeof *c);
    if (!c) return TRI_FAIL(err, TRI_E_MEMORY, "capture: no memory");
    c->base.device = device;
    c->n_launches = list->n_launches;
    c->n_groups = tri_launch_list_groups(list);
    c->comm = list->comm;
    c->results = list->results;
    c->n_result_bytes = list->n_result_bytes;
    c->step.struct_size = sizeof(tri_plugin_step);
    c->step.masks = list->masks;
    c->step.mask_stride_words = list->mask_stride_words;
    c->step.n_mask_slots = list->n_mask_slots;
    c->launches = calloc(n ? n : 1, sizeof *c->launches);
    c->bound = calloc(n ? n : 1, sizeof *c->bound);
    c->taken = calloc(n ? n : 1, sizeof *c->taken);
    bool ok = c->launches && c->bound && c->taken;
    if (ok && n) memcpy(c->launches, list->launches, n * sizeof *c->launches);
    for (int32_t i = 0; ok && i < list->n_launches; i++) {
        ok = bind_launch(c, i, list->workspace, list->comm);
    }
    for (int32_t i = 0; ok && i < TRI_DEVICE_MAX_QUEUED; i++) {
        cpu_slot *slot = &c->slots[i];
        slot->capture = &c->base;
        slot->capacity_bytes = list->max_step_bytes;
        if (list->max_step_bytes > 0) slot->step = malloc((size_t)list->max_step_bytes);
        if (list->n_result_bytes > 0) slot->results = malloc((size_t)list->n_result_bytes);
        ok = (list->max_step_bytes <= 0 || slot->step) &&
             (list->n_result_bytes <= 0 || slot->results);
    }
    if (!ok) {
        rc = TRI_FAIL(
            err, TRI_E_MEMORY, "capture of %" PRId32 " launches: no memory", list->n_launches);
        goto done;
    }
    *capture = &c->base;

done:
    if (rc) capture_destroy(&c->base);
    return rc;
}

static void set_profile(tri_capture *capture, int64_t *nanoseconds) {
    synchronize(capture->device);
    ((cpu_capture *)capture)->profile = nanoseconds;
}

/* ---- steps ---- */

static tri_status submit(tri_capture *capture, const tri_step *step, tri_error *err) {
    cpu_capture *c = (cpu_capture *)capture;
    cpu_device *d = (cpu_device *)capture->device;
    TRI_TRY(tri_launch_list_check_step(c->n_groups, step, err));
    if (c->n_submitted - c->n_completed >= TRI_DEVICE_MAX_QUEUED) {
        return TRI_FAIL(err, TRI_E_BUSY, "submit: %d steps are already queued; complete one first",
            TRI_DEVICE_MAX_QUEUED);
    }
    cpu_slot *slot = &c->slots[c->n_submitted % TRI_DEVICE_MAX_QUEUED];
    if (step->n_bytes > slot->capacity_bytes) {
        tri_step *grown = realloc(slot->step, step->n_bytes);
        if (!grown) {
            return TRI_FAIL(err, TRI_E_MEMORY, "submit: no memory for a step of %" PRIu32 " bytes",
                step->n_bytes);
        }
        slot->step = grown;
        slot->capacity_bytes = step->n_bytes;
    }
    memcpy(slot->step, step, step->n_bytes);
    slot->next = NULL;
    slot->done = false;
    c->n_submitted++;
    d->base.counters.n_submits++;
    d->base.counters.n_launches += c->n_launches;

    pthread_mutex_lock(&d->mutex);
    if (d->last)
        d->last->next = slot;
    else
        d->first = slot;
    d->last = slot;
    atomic_store_explicit(&d->wake, true, memory_order_release);
    pthread_cond_signal(&d->queued);
    pthread_mutex_unlock(&d->mutex);
    return TRI_OK;
}

static tri_status complete(tri_capture *capture, tri_error *err) {
    cpu_capture *c = (cpu_capture *)capture;
    cpu_device *d = (cpu_device *)capture->device;
    if (c->n_completed == c->n_submitted) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "complete: no step was submitted");
    }
    cpu_slot *slot = &c->slots[c->n_completed % TRI_DEVICE_MAX_QUEUED];
    pthread_mutex_lock(&d->mutex);
    while (!slot->done)
        pthread_cond_wait(&d->finished, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
    c->n_completed++;
    capture->results = slot->results;
    if (c->comm && tri_comm_aborted(c->comm)) {
        return TRI_FAIL(
            err, TRI_E_CANCELLED, "step %" PRIu64 ": another rank failed", slot->step->id);
    }
    return TRI_OK;
}

/* ---- the device ---- */

static void device_destroy(tri_device *device) {
    cpu_device *d = (cpu_device *)device;
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    atomic_store(&d->wake, true);
    pthread_cond_signal(&d->queued);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->worker, NULL);
    tri_team_destroy(d->team);
    tri_host_free_all(device);
    pthread_cond_destroy(&d->finished);
    pthread_cond_destroy(&d->queued);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

static tri_status device_alloc(tri_device *device, int64_t n_bytes, void **memory, tri_error *err) {
    return tri_host_alloc(device, n_bytes, 0, memory, err);
}

static const tri_device_ops cpu_ops = {
    .destroy = device_destroy,
    .alloc = device_alloc,
    .free = tri_host_free,
    .synchronize = synchronize,
    .capture = capture_create,
    .capture_destroy = capture_destroy,
    .submit = submit,
    .complete = complete,
    .set_profile = set_profile,
};

tri_status tri_cpu_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err) {
    tri_status rc = TRI_OK;
    int32_t isa = tri_cpu_isa_detect();
    if (options->isa) {
        int32_t most = tri_cpu_isa_rank(options->isa);
        if (most < 0) {
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "CPU instruction set \"%s\" is unknown; there are %s", options->isa,
                tri_cpu_isa_list());
        }
        if (most < isa) isa = most;
    }
    cpu_device *d = calloc(1, sizeof *d);
    if (!d) return TRI_FAIL(err, TRI_E_MEMORY, "CPU device: no memory");
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->queued, NULL);
    pthread_cond_init(&d->finished, NULL);
    rc = tri_team_create(&d->team, options->n_threads, err);
    if (rc) goto done;
    d->pace.n_active = tri_team_size(d->team);
    long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    d->base.ops = &cpu_ops;
    d->base.facts = (tri_plugin_device){.struct_size = sizeof(tri_plugin_device),
        .kind = "cpu",
        .arch = tri_cpu_isa_name(isa),
        .n_threads = tri_team_size(d->team),
        .l2_bytes = l2 > 0 ? l2 : 512 << 10};
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&d->worker, NULL, work, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        errno = failed;
        rc = tri_fail_errno(err, "CPU device: cannot start its worker thread");
        goto done;
    }
    *device = &d->base;

done:
    if (rc) {
        tri_team_destroy(d->team);
        pthread_cond_destroy(&d->finished);
        pthread_cond_destroy(&d->queued);
        pthread_mutex_destroy(&d->mutex);
        free(d);
    }
    return rc;
}
