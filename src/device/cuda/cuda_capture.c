/* cuda_capture.c - launch lists on a CUDA device: direct launches, and graphs of them.
 *
 * A step's bytes go through a pinned slot to one fixed place on the device; the stream orders a
 * step behind the one before, so one place is enough.  Launches are enqueued one by one until the
 * same kind of step comes again: then its launches are captured into a graph, after the step, off
 * its path. Kind: the step's header but its id, that is extents and where its arrays lie; nothing
 * else may change what a kernel enqueues, extents.n_context_tokens in particular.
 *
 *     seen once -> seen again: wanted -> complete() captures: ready -> every later step of the kind
 *
 * Programmatic edges between kernels are kept in graphs.  A kernel that is not graph_capture_safe
 * keeps its list without graphs.  While profiling, launches are direct, do not overlap, and lie
 * between events. */
#include <stdlib.h>
#include <string.h>

#include "device/bound.h"
#include "device/cuda/cuda_device.h"

enum { MAX_GRAPHS = 160 }; /* kinds of steps; the oldest is forgotten for a new one */

typedef struct graph {
    tri_step kind;
    tri_cu_graph_exec exec; /* NULL: not captured */
    bool wanted, impossible;
    int64_t last_use;
} graph;

typedef struct slot { /* of a submitted step */
    tri_step *step;   /* pinned */
    int64_t capacity_bytes;
    void *results; /* pinned; copied after the launches */
    tri_cu_event done;
    graph *wanted; /* to be captured when the step is complete */
} slot;

typedef struct cuda_capture {
    tri_capture base;
    tri_launch *launches;
    tri_bound_launch *bound;
    int32_t n_launches, n_groups;
    bool can_capture;
    tri_cuda_queue queue;
    tri_plugin_step step;
    tri_cu_address step_bytes; /* on the device */
    int64_t step_capacity_bytes, n_result_bytes;
    tri_cu_address results;
    slot slots[TRI_DEVICE_MAX_QUEUED];
    int64_t n_submitted, n_completed; /* slot of a step: its number modulo the slots */
    graph *graphs;
    int32_t n_graphs;
    int64_t *profile;
    tri_cu_event *events; /* n_launches + 1, while profiling */
} cuda_capture;

static tri_cuda_device *device_of(cuda_capture *c) {
    return (tri_cuda_device *)c->base.device;
}

/* ---- binding ---- */

/* Addresses of a step of this header once its bytes are on the device. */
static void bind_step(cuda_capture *c, const tri_step *header, int64_t n_context_tokens) {
    uintptr_t base = (uintptr_t)c->step_bytes;
    tri_step_bind(&c->step, header, base, n_context_tokens);
    for (int32_t i = 0; i < c->n_launches; i++)
        tri_bound_launch_set_step(&c->bound[i], &c->launches[i], header, base);
}

static bool bind_launch(cuda_capture *c, int32_t i, void *workspace, tri_comm *comm) {
    tri_bound_launch *b = &c->bound[i];
    if (!tri_bound_launch_init(b, &c->launches[i], &c->step, workspace, comm)) return false;
    b->launch.n_threads = 1;
    b->launch.team = &c->queue;
    return true;
}

static void launch_one(cuda_capture *c, int32_t i) {
    tri_plugin_launch launch = c->bound[i].launch;
    launch.stream = c->queue.stream;
    c->launches[i].kernel->launch(c->launches[i].state, &launch);
}

static tri_status launch_all(cuda_capture *c, tri_error *err) {
    for (int32_t i = 0; i < c->n_launches && !c->queue.status; i++)
        launch_one(c, i);
    return tri_cuda_queue_status(&c->queue, "step", err);
}

/* ---- making ---- */

static tri_status check_for_cuda(
    const tri_device *device, const tri_launch *launch, int32_t i, tri_error *err) {
    const tri_plugin_kernel *kernel = launch->kernel;
    const char *isa = kernel->isa ? kernel->isa : "", *arch = device->facts.arch;
    if (strcmp(kernel->device, "cuda") != 0 || !tri_arch_within("cuda", isa, arch)) {
        return TRI_FAIL(err, TRI_E_DEVICE,
            "launch %" PRId32 " %s: kernel %s is for %s %s, this device is cuda %s", i,
            launch->name ? launch->name : "", kernel->name, kernel->device, isa, arch);
    }
    return TRI_OK;
}

/* With the context current. */
static tri_status make_slots(cuda_capture *c, int64_t n_bytes, tri_error *err) {
    const tri_cu *cu = device_of(c)->cu;
    c->step_capacity_bytes = n_bytes;
    TRI_CU_TRY(cu, alloc(&c->step_bytes, (size_t)n_bytes), "CUDA: memory of a step", err);
    for (int32_t i = 0; i < TRI_DEVICE_MAX_QUEUED; i++) {
        void *step;
        TRI_CU_TRY(cu, host_alloc(&step, (size_t)n_bytes, TRI_CU_HOST_PORTABLE),
            "CUDA: pinned memory of a step", err);
        c->slots[i].step = step;
        c->slots[i].capacity_bytes = n_bytes;
        if (c->n_result_bytes > 0)
            TRI_CU_TRY(cu,
                host_alloc(&c->slots[i].results, (size_t)c->n_result_bytes, TRI_CU_HOST_PORTABLE),
                "CUDA: pinned memory of results", err);
        TRI_CU_TRY(cu, event_create(&c->slots[i].done, TRI_CU_EVENT_UNTIMED), "CUDA: event", err);
    }
    return TRI_OK;
}

/* Every launch finds its functions. */
static tri_status prepare(cuda_capture *c, int64_t n_bytes, tri_error *err) {
    TRI_TRY(make_slots(c, n_bytes, err));
    c->queue.preparing = true;
    for (int32_t i = 0; i < c->n_launches; i++) {
        if (!tri_kernel_prepares(c->launches[i].kernel)) continue;
        launch_one(c, i);
        if (c->queue.status) {
            return tri_cuda_queue_status(
                &c->queue, c->launches[i].name ? c->launches[i].name : "launch", err);
        }
    }
    c->queue.preparing = false;
    return TRI_OK;
}

tri_status tri_cuda_capture_create(
    tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err) {
    enum { LEAST_STEP_BYTES = 1 << 20 }; /* where the list does not say */
    tri_cuda_device *d = (tri_cuda_device *)device;
    for (int32_t i = 0; i < list->n_launches; i++)
        TRI_TRY(check_for_cuda(device, &list->launches[i], i, err));
    tri_status rc = TRI_OK;
    size_t n = (size_t)list->n_launches;
    cuda_capture *c = calloc(1, sizeof *c);
    if (!c) return TRI_FAIL(err, TRI_E_MEMORY, "capture: no memory");
    c->base.device = device;
    c->n_launches = list->n_launches;
    c->n_groups = tri_launch_list_groups(list);
    c->can_capture = true;
    c->queue =
        (tri_cuda_queue){.cu = d->cu, .stream = d->stream, .modules = d->modules, .overlap = true};
    c->results = (tri_cu_address)(uintptr_t)list->results;
    c->n_result_bytes = list->n_result_bytes;
    c->step.struct_size = sizeof(tri_plugin_step);
    c->step.masks = list->masks;
    c->step.mask_stride_words = list->mask_stride_words;
    c->step.n_mask_slots = list->n_mask_slots;
    c->launches = calloc(n ? n : 1, sizeof *c->launches);
    c->bound = calloc(n ? n : 1, sizeof *c->bound);
    c->graphs = calloc(MAX_GRAPHS, sizeof *c->graphs);
    bool ok = c->launches && c->bound && c->graphs;
    if (ok && n) memcpy(c->launches, list->launches, n * sizeof *c->launches);
    for (int32_t i = 0; ok && i < list->n_launches; i++) {
        ok = bind_launch(c, i, list->workspace, list->comm);
        if (!list->launches[i].kernel->graph_capture_safe) c->can_capture = false;
    }
    if (!ok) {
        rc = TRI_FAIL(
            err, TRI_E_MEMORY, "capture of %" PRId32 " launches: no memory", list->n_launches);
        goto done;
    }
    rc = tri_cuda_enter(d, err);
    if (rc) goto done;
    rc = prepare(c, list->max_step_bytes > 0 ? list->max_step_bytes : LEAST_STEP_BYTES, err);
    rc = tri_cuda_leave(d, rc, err);
    if (rc) goto done;
    *capture = &c->base;

done:
    if (rc) tri_cuda_capture_destroy(&c->base);
    return rc;
}

static void drop_events(cuda_capture *c) {
    for (int32_t i = 0; c->events && i <= c->n_launches; i++)
        if (c->events[i]) device_of(c)->cu->event_destroy(c->events[i]);
    free(c->events);
    c->events = NULL;
}

/* What lives in the driver; with the context current. */
static void drop_resources(cuda_capture *c) {
    const tri_cu *cu = device_of(c)->cu;
    cu->stream_synchronize(device_of(c)->stream);
    for (int32_t i = 0; i < c->n_graphs; i++)
        if (c->graphs[i].exec) cu->graph_exec_destroy(c->graphs[i].exec);
    for (int32_t i = 0; i < TRI_DEVICE_MAX_QUEUED; i++) {
        if (c->slots[i].done) cu->event_destroy(c->slots[i].done);
        if (c->slots[i].step) cu->host_free(c->slots[i].step);
        if (c->slots[i].results) cu->host_free(c->slots[i].results);
    }
    drop_events(c);
    if (c->step_bytes) cu->free(c->step_bytes);
}

void tri_cuda_capture_destroy(tri_capture *capture) {
    cuda_capture *c = (cuda_capture *)capture;
    tri_cuda_device *d = device_of(c);
    tri_cu_context popped;
    if (d->cu->context_push(d->context) == 0) {
        drop_resources(c);
        d->cu->context_pop(&popped);
    }
    for (int32_t i = 0; c->bound && i < c->n_launches; i++)
        tri_bound_launch_deinit(&c->bound[i]);
    free(c->graphs);
    free(c->launches);
    free(c->bound);
    free(c);
}

/* ---- graphs ---- */

static tri_step kind_of(const tri_step *step) {
    tri_step kind = *step;
    kind.id = 0;
    return kind;
}

/* The entry of a kind, made or taken from the one longest unused; *is_known: it was there. */
static graph *find_graph(cuda_capture *c, const tri_step *step, bool *is_known) {
    const tri_step kind = kind_of(step);
    graph *oldest = &c->graphs[0];
    *is_known = true;
    for (int32_t i = 0; i < c->n_graphs; i++) {
        graph *g = &c->graphs[i];
        if (memcmp(&g->kind, &kind, sizeof kind) == 0) return g;
        if (g->last_use < oldest->last_use) oldest = g;
    }
    *is_known = false;
    graph *g = c->n_graphs < MAX_GRAPHS ? &c->graphs[c->n_graphs++] : oldest;
    if (g->exec) device_of(c)->cu->graph_exec_destroy(g->exec); /* after it has run */
    *g = (graph){.kind = kind};
    return g;
}

/* Captures the launches of a kind on the stream that is for this. */
static tri_status make_graph(cuda_capture *c, graph *g, tri_error *err) {
    tri_cuda_device *d = device_of(c);
    const tri_cu *cu = d->cu;
    tri_cu_graph made = NULL;
    bind_step(c, &g->kind, 0);
    TRI_CU_TRY(cu, capture_begin(d->capturing, TRI_CU_CAPTURE_THREAD_LOCAL), "CUDA: graph", err);
    c->queue.stream = d->capturing;
    tri_status rc = launch_all(c, err);
    c->queue.stream = d->stream;
    tri_cu_result result = cu->capture_end(d->capturing, &made); /* ends it in any case */
    if (!rc && result) rc = tri_cu_fail(cu, result, "CUDA: graph", err);
    if (!rc) {
        result = cu->graph_instantiate(&g->exec, made, 0);
        if (result) rc = tri_cu_fail(cu, result, "CUDA: graph", err);
    }
    if (made) cu->graph_destroy(made);
    return rc;
}

/* ---- steps ---- */

static int64_t count_context(const tri_step *step) {
    const int32_t *context_lens = TRI_STEP_I32(step, context_lens);
    int64_t n = 0;
    for (int32_t s = 0; s < step->n_sequences; s++)
        n += context_lens[s];
    return n;
}

static tri_status run_profiled(cuda_capture *c, tri_error *err) {
    const tri_cu *cu = device_of(c)->cu;
    c->queue.overlap = false;
    for (int32_t i = 0; i < c->n_launches; i++) {
        TRI_CU_TRY(cu, event_record(c->events[i], c->queue.stream), "CUDA: event", err);
        launch_one(c, i);
    }
    TRI_CU_TRY(cu, event_record(c->events[c->n_launches], c->queue.stream), "CUDA: event", err);
    c->queue.overlap = true;
    return tri_cuda_queue_status(&c->queue, "step", err);
}

static tri_status run(cuda_capture *c, slot *s, tri_error *err) {
    tri_cuda_device *d = device_of(c);
    TRI_CU_TRY(
        d->cu, upload(c->step_bytes, s->step, s->step->n_bytes, d->stream), "CUDA: step", err);
    if (c->profile) {
        bind_step(c, s->step, count_context(s->step));
        return run_profiled(c, err);
    }
    if (!c->can_capture) {
        bind_step(c, s->step, count_context(s->step));
        return launch_all(c, err);
    }
    bool is_known;
    graph *g = find_graph(c, s->step, &is_known);
    g->last_use = c->n_submitted;
    if (g->exec) {
        TRI_CU_TRY(d->cu, graph_launch(g->exec, d->stream), "CUDA: graph", err);
        return TRI_OK;
    }
    if (is_known && !g->wanted) {
        g->wanted = true;
        s->wanted = g;
    }
    bind_step(c, s->step, count_context(s->step));
    return launch_all(c, err);
}

tri_status tri_cuda_submit(tri_capture *capture, const tri_step *step, tri_error *err) {
    cuda_capture *c = (cuda_capture *)capture;
    tri_cuda_device *d = device_of(c);
    TRI_TRY(tri_launch_list_check_step(c->n_groups, step, err));
    if (c->n_submitted - c->n_completed >= (c->profile ? 1 : TRI_DEVICE_MAX_QUEUED)) {
        return TRI_FAIL(err, TRI_E_BUSY, "submit: %d steps are already queued; complete one first",
            (int)(c->n_submitted - c->n_completed));
    }
    if (step->n_bytes > c->step_capacity_bytes) {
        return TRI_FAIL(err, TRI_E_LIMIT,
            "submit: a step of %" PRIu32 " bytes, the list is for %" PRId64, step->n_bytes,
            c->step_capacity_bytes);
    }
    slot *s = &c->slots[c->n_submitted % TRI_DEVICE_MAX_QUEUED];
    memcpy(s->step, step, step->n_bytes);
    s->wanted = NULL;
    TRI_TRY(tri_cuda_enter(d, err));
    tri_status rc = run(c, s, err);
    if (!rc) {
        tri_cu_result result = 0;
        if (c->n_result_bytes > 0)
            result = d->cu->download(s->results, c->results, (size_t)c->n_result_bytes, d->stream);
        if (!result) result = d->cu->event_record(s->done, d->stream);
        if (result) rc = tri_cu_fail(d->cu, result, "CUDA: event", err);
    }
    rc = tri_cuda_leave(d, rc, err);
    if (rc) return rc;
    c->n_submitted++;
    d->base.counters.n_submits++;
    d->base.counters.n_launches += c->n_launches;
    return TRI_OK;
}

static tri_status add_times(cuda_capture *c, tri_error *err) {
    for (int32_t i = 0; i < c->n_launches; i++) {
        float ms;
        TRI_CU_TRY(device_of(c)->cu, event_elapsed(&ms, c->events[i], c->events[i + 1]),
            "CUDA: event", err);
        c->profile[i] += (int64_t)((double)ms * 1e6);
    }
    return TRI_OK;
}

static tri_status finish(cuda_capture *c, slot *s, tri_error *err) {
    TRI_CU_TRY(device_of(c)->cu, event_synchronize(s->done), "CUDA: step", err);
    if (c->profile && c->events) TRI_TRY(add_times(c, err));
    graph *g = s->wanted;
    s->wanted = NULL;
    if (!g || !g->wanted || g->exec || g->impossible) return TRI_OK;
    tri_status rc = make_graph(c, g, err);
    g->impossible = rc != TRI_OK;
    return rc;
}

tri_status tri_cuda_complete(tri_capture *capture, tri_error *err) {
    cuda_capture *c = (cuda_capture *)capture;
    tri_cuda_device *d = device_of(c);
    if (c->n_completed == c->n_submitted)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "complete: no step was submitted");
    slot *s = &c->slots[c->n_completed % TRI_DEVICE_MAX_QUEUED];
    c->n_completed++;
    capture->results = s->results;
    TRI_TRY(tri_cuda_enter(d, err));
    return tri_cuda_leave(d, finish(c, s, err), err);
}

void tri_cuda_set_profile(tri_capture *capture, int64_t *nanoseconds) {
    cuda_capture *c = (cuda_capture *)capture;
    tri_cuda_device *d = device_of(c);
    if (tri_cuda_enter(d, NULL)) return;
    d->cu->stream_synchronize(d->stream);
    drop_events(c);
    c->profile = NULL;
    size_t n = (size_t)c->n_launches + 1;
    if (nanoseconds) c->events = calloc(n, sizeof *c->events);
    bool ok = c->events != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = d->cu->event_create(&c->events[i], TRI_CU_EVENT_TIMED) == 0;
    if (ok)
        c->profile = nanoseconds;
    else
        drop_events(c); /* then there is no profile: times stay 0 */
    tri_cuda_leave(d, TRI_OK, NULL);
}
