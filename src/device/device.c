#include "device/device.h"

#include <string.h>

#include "device/cpu/isa.h"
#include "device/device_impl.h"

tri_status tri_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err) {
    const char *kind = options && options->kind ? options->kind : "cpu";
    tri_device_options given = options ? *options : (tri_device_options){0};
    if (given.n_threads < 0 || given.n_threads > 1024) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "device %s: %" PRId32 " threads asked for, 0 (all) to 1024 are possible", kind,
            given.n_threads);
    }
    if (strcmp(kind, "cpu") == 0) return tri_cpu_device_create(device, &given, err);
    if (strcmp(kind, "cuda") == 0) return tri_cuda_device_create(device, &given, err);
    if (strcmp(kind, "null") == 0) return tri_null_device_create(device, &given, err);
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "device kind \"%s\" is unknown; this build has \"cpu\", \"cuda\" and \"null\"", kind);
}

bool tri_device_probe(const char *kind, int32_t index, tri_plugin_device *facts, char arch[16]) {
    if (strcmp(kind, "cuda") == 0) return tri_cuda_device_probe(index, facts, arch);
    return false;
}

/* Texts of one length compare as numbers do. */
static bool cuda_arch_within(const char *needed, const char *have) {
    size_t n = strlen(needed), h = strlen(have);
    if (strncmp(needed, "sm_", 3) != 0 || strncmp(have, "sm_", 3) != 0) return false;
    if (needed[n - 1] == 'a') return strcmp(needed, have) == 0;
    if (have[h - 1] == 'a') h--;
    return n < h || (n == h && strncmp(needed, have, n) <= 0);
}

bool tri_arch_within(const char *kind, const char *needed, const char *have) {
    if (strcmp(kind, "cuda") == 0) return !needed[0] || cuda_arch_within(needed, have);
    int32_t n = tri_cpu_isa_rank(needed), h = tri_cpu_isa_rank(have);
    return n >= 0 && h >= 0 && n <= h;
}

void tri_device_destroy(tri_device *device) {
    if (device) device->ops->destroy(device);
}

const tri_plugin_device *tri_device_facts(const tri_device *device) {
    return &device->facts;
}

const tri_device_counters *tri_device_get_counters(const tri_device *device) {
    return &device->counters;
}

/* ---- memory ---- */

tri_status tri_device_alloc(tri_device *device, int64_t n_bytes, void **memory, tri_error *err) {
    if (n_bytes < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "device memory: %" PRId64 " bytes asked for", n_bytes);
    }
    return device->ops->alloc(device, n_bytes, memory, err);
}

tri_status tri_device_alloc_shared(
    tri_device *device, int64_t n_bytes, void **memory, tri_error *err) {
    if (!device->ops->alloc_shared || n_bytes < 0)
        return tri_device_alloc(device, n_bytes, memory, err);
    return device->ops->alloc_shared(device, n_bytes, memory, err);
}

bool tri_device_is_host(const tri_device *device) {
    return !device->ops->upload;
}

void tri_device_free(tri_device *device, void *memory) {
    if (memory) device->ops->free(device, memory);
}

typedef tri_status (*copy_op)(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err);

/* By the device's own way, or as between host memories. */
static tri_status copy(
    tri_device *device, copy_op own, void *to, const void *from, int64_t n_bytes, tri_error *err) {
    if (n_bytes < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "device copy of %" PRId64 " bytes", n_bytes);
    }
    if (own) return own(device, to, from, n_bytes, err);
    device->ops->synchronize(device);
    if (n_bytes) memmove(to, from, (size_t)n_bytes);
    return TRI_OK;
}

tri_status tri_device_upload(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err) {
    return copy(device, device->ops->upload, to, from, n_bytes, err);
}

tri_status tri_device_download(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err) {
    return copy(device, device->ops->download, to, from, n_bytes, err);
}

tri_status tri_device_adopt(
    tri_device *device, const void *from, int64_t n_bytes, void **memory, tri_error *err) {
    if (n_bytes < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "device memory: %" PRId64 " bytes to adopt", n_bytes);
    }
    if (device->ops->adopt) return device->ops->adopt(device, from, n_bytes, memory, err);
    *memory = (void *)(uintptr_t)from; /* weights: only ever read */
    return TRI_OK;
}

void tri_device_release(tri_device *device, void *memory) {
    if (memory && device->ops->adopt) device->ops->free(device, memory);
}

/* ---- launch lists ---- */

tri_status tri_launch_list_check(const tri_launch_list *list, tri_error *err) {
    if (list->n_launches < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "launch list of %" PRId32, list->n_launches);
    }
    for (int32_t i = 0; i < list->n_launches; i++) {
        const tri_launch *launch = &list->launches[i];
        const char *name = launch->name ? launch->name : "";
        if (!launch->kernel || !launch->kernel->launch) {
            return TRI_FAIL(err, TRI_E_ARGUMENT, "launch %" PRId32 " %s: no kernel", i, name);
        }
        for (int32_t k = 0; k < launch->n_inputs; k++) {
            bool bound =
                (launch->caches && launch->caches[k]) || (launch->states && launch->states[k]);
            int32_t group = bound && launch->cache_groups ? launch->cache_groups[k] : -1;
            if (bound && (group < 0 || group >= TRI_MAX_GROUPS)) {
                return TRI_FAIL(err, TRI_E_ARGUMENT,
                    "launch %" PRId32 " %s: operand %" PRId32 " is in group %" PRId32
                    ", groups are 0 to %d",
                    i, name, k, group, TRI_MAX_GROUPS - 1);
            }
        }
    }
    return TRI_OK;
}

int32_t tri_launch_list_groups(const tri_launch_list *list) {
    int32_t n = 0;
    for (int32_t i = 0; i < list->n_launches; i++) {
        const tri_launch *launch = &list->launches[i];
        for (int32_t k = 0; launch->cache_groups && k < launch->n_inputs; k++) {
            if (launch->cache_groups[k] >= n) n = launch->cache_groups[k] + 1;
        }
    }
    return n;
}

tri_status tri_launch_list_check_step(int32_t n_groups, const tri_step *step, tri_error *err) {
    if (step->magic != TRI_STEP_MAGIC || step->n_bytes < sizeof(tri_step)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "not a step: magic %08" PRIx32 ", %" PRIu32 " bytes",
            step->magic, step->n_bytes);
    }
    if (step->n_groups < n_groups) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "step %" PRIu64 " has %" PRId32 " groups of caches, its launches use %" PRId32,
            step->id, step->n_groups, n_groups);
    }
    return TRI_OK;
}

tri_status tri_device_add_code(
    tri_device *device, const char *key, const uint8_t *code, tri_error *err) {
    return device->ops->add_code ? device->ops->add_code(device, key, code, err) : TRI_OK;
}

tri_status tri_device_capture(
    tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err) {
    TRI_TRY(tri_launch_list_check(list, err));
    tri_status rc = device->ops->capture(device, list, capture, err);
    if (!rc) device->counters.n_captures++;
    return rc;
}

const void *tri_capture_results(const tri_capture *capture) {
    return capture->results;
}

void tri_capture_destroy(tri_capture *capture) {
    if (capture) capture->device->ops->capture_destroy(capture);
}

tri_status tri_device_submit(tri_capture *capture, const tri_step *step, tri_error *err) {
    return capture->device->ops->submit(capture, step, err);
}

tri_status tri_device_complete(tri_capture *capture, tri_error *err) {
    return capture->device->ops->complete(capture, err);
}

void tri_device_set_profile(tri_capture *capture, int64_t *nanoseconds) {
    capture->device->ops->set_profile(capture, nanoseconds);
}
