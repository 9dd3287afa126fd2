/* null_device.c - plans, captures and counts like any device, and computes nothing.
 *
 * Memory is address space only: pages that nobody touches take no room, so a plan for a large
 * machine fits a small one. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device/cpu/isa.h"
#include "device/device_impl.h"

typedef struct null_capture {
    tri_capture base;
    int32_t n_launches, n_groups;
    int32_t n_queued;
} null_capture;

static tri_status device_alloc(tri_device *device, int64_t n_bytes, void **memory, tri_error *err) {
    return tri_host_alloc(device, n_bytes, MAP_NORESERVE, memory, err);
}

static void synchronize(tri_device *device) {
    (void)device; /* nothing ever runs */
}

static tri_status capture_create(
    tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err) {
    null_capture *c = calloc(1, sizeof *c);
    if (!c) return TRI_FAIL(err, TRI_E_MEMORY, "capture: no memory");
    *c = (null_capture){.base = {.device = device, .results = list->results},
        .n_launches = list->n_launches,
        .n_groups = tri_launch_list_groups(list)};
    *capture = &c->base;
    return TRI_OK;
}

static void capture_destroy(tri_capture *capture) {
    free(capture);
}

static tri_status submit(tri_capture *capture, const tri_step *step, tri_error *err) {
    null_capture *c = (null_capture *)capture;
    TRI_TRY(tri_launch_list_check_step(c->n_groups, step, err));
    if (c->n_queued >= TRI_DEVICE_MAX_QUEUED) {
        return TRI_FAIL(err, TRI_E_BUSY, "submit: %d steps are already queued; complete one first",
            TRI_DEVICE_MAX_QUEUED);
    }
    c->n_queued++;
    capture->device->counters.n_submits++;
    capture->device->counters.n_launches += c->n_launches;
    return TRI_OK;
}

static tri_status complete(tri_capture *capture, tri_error *err) {
    null_capture *c = (null_capture *)capture;
    if (c->n_queued == 0) return TRI_FAIL(err, TRI_E_ARGUMENT, "complete: no step was submitted");
    c->n_queued--;
    return TRI_OK;
}

static void set_profile(tri_capture *capture, int64_t *nanoseconds) {
    (void)capture;
    (void)nanoseconds; /* every launch takes no time */
}

static void device_destroy(tri_device *device) {
    tri_host_free_all(device);
    free(device);
}

static const tri_device_ops null_ops = {
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

tri_status tri_null_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err) {
    /* A plan's wish, not held against this machine: nothing is run. */
    int32_t rank = options->isa ? tri_cpu_isa_rank(options->isa) : tri_cpu_isa_detect();
    if (rank < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "CPU instruction set \"%s\" is unknown; there are %s",
            options->isa, tri_cpu_isa_list());
    }
    tri_device *d = calloc(1, sizeof *d);
    if (!d) return TRI_FAIL(err, TRI_E_MEMORY, "null device: no memory");
    d->ops = &null_ops;
    d->facts = (tri_plugin_device){.struct_size = sizeof(tri_plugin_device),
        .kind = "null",
        .arch = tri_cpu_isa_name(rank),
        .n_threads = options->n_threads ? options->n_threads : tri_cpu_count(),
        .l2_bytes = 512 << 10};
    *device = d;
    return TRI_OK;
}
