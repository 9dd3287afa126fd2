#include "device/cuda/cuda_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGING_BYTES = 8 << 20 };

/* ---- the context ---- */

tri_status tri_cuda_enter(tri_cuda_device *device, tri_error *err) {
    if (device->failure.status) {
        return TRI_FAIL(err, device->failure.status, "the CUDA device failed before: %s",
            device->failure.message);
    }
    TRI_CU_TRY(device->cu, context_push(device->context), "CUDA: context", err);
    return TRI_OK;
}

tri_status tri_cuda_leave(tri_cuda_device *device, tri_status rc, tri_error *err) {
    tri_cu_context popped;
    device->cu->context_pop(&popped);
    if (rc == TRI_E_DEVICE && !device->failure.status) {
        if (err)
            device->failure = *err;
        else
            (void)TRI_FAIL(&device->failure, rc, "no cause was asked for");
    }
    return rc;
}

static void synchronize(tri_device *device) {
    tri_cuda_device *d = (tri_cuda_device *)device;
    tri_error err = {0};
    tri_status rc = tri_cuda_enter(d, &err);
    if (rc) return; /* told by the next call that has a status */
    tri_cu_result result = d->cu->stream_synchronize(d->stream);
    if (result) rc = tri_cu_fail(d->cu, result, "CUDA: synchronize", &err);
    tri_cuda_leave(d, rc, &err);
}

/* ---- memory ---- */

static tri_status no_room(tri_cuda_device *d, int64_t n_bytes, tri_error *err) {
    size_t free_bytes = 0, total_bytes = 0;
    d->cu->memory_info(&free_bytes, &total_bytes);
    return TRI_FAIL(err, TRI_E_MEMORY,
        "CUDA: %" PRId64 " bytes of device memory asked for, %zu of %zu are free; lower "
        "--max_batch_size, --max_seq_len or the share for the KV cache",
        n_bytes, free_bytes, total_bytes);
}

static tri_status alloc_zeroed(
    tri_cuda_device *d, int64_t n_bytes, tri_cu_address *address, tri_error *err) {
    size_t n = n_bytes > 0 ? (size_t)n_bytes : 1;
    tri_cu_result result = d->cu->alloc(address, n);
    if (result == TRI_CU_ERROR_OUT_OF_MEMORY) return no_room(d, n_bytes, err);
    if (!result) result = d->cu->fill(*address, 0, n, d->stream);
    if (!result) result = d->cu->stream_synchronize(d->stream);
    return result ? tri_cu_fail(d->cu, result, "CUDA: device memory", err) : TRI_OK;
}

/* Pinned pages: one address for host and device, as all of a 64-bit process's are. */
static tri_status alloc_pinned(
    tri_cuda_device *d, int64_t n_bytes, tri_cuda_block *block, tri_error *err) {
    size_t n = n_bytes > 0 ? (size_t)n_bytes : 1;
    TRI_CU_TRY(
        d->cu, host_alloc(&block->host, n, TRI_CU_HOST_PORTABLE), "CUDA: pinned memory", err);
    memset(block->host, 0, n);
    block->address = (tri_cu_address)(uintptr_t)block->host;
    return TRI_OK;
}

static tri_status alloc_block(
    tri_device *device, int64_t n_bytes, bool shared, void **memory, tri_error *err) {
    tri_cuda_device *d = (tri_cuda_device *)device;
    tri_cuda_block *block = calloc(1, sizeof *block);
    if (!block) return TRI_FAIL(err, TRI_E_MEMORY, "CUDA: no memory for a block's record");
    tri_status rc = tri_cuda_enter(d, err);
    if (!rc && shared) rc = tri_cuda_leave(d, alloc_pinned(d, n_bytes, block, err), err);
    if (!rc && !shared) rc = tri_cuda_leave(d, alloc_zeroed(d, n_bytes, &block->address, err), err);
    if (rc) {
        free(block);
        return rc;
    }
    block->n_bytes = n_bytes;
    block->next = d->memory;
    d->memory = block;
    tri_device_counters *counters = &device->counters;
    counters->reserved_bytes += n_bytes;
    if (counters->reserved_bytes > counters->peak_reserved_bytes)
        counters->peak_reserved_bytes = counters->reserved_bytes;
    *memory = (void *)(uintptr_t)block->address;
    return TRI_OK;
}

static tri_status device_alloc(tri_device *device, int64_t n_bytes, void **memory, tri_error *err) {
    return alloc_block(device, n_bytes, false, memory, err);
}

static tri_status device_alloc_shared(
    tri_device *device, int64_t n_bytes, void **memory, tri_error *err) {
    return alloc_block(device, n_bytes, true, memory, err);
}

/* With the context current. */
static void free_block_memory(const tri_cu *cu, const tri_cuda_block *block) {
    if (block->host)
        cu->host_free(block->host);
    else
        cu->free(block->address); /* waits for what still uses it */
}

static void device_free(tri_device *device, void *memory) {
    tri_cuda_device *d = (tri_cuda_device *)device;
    for (tri_cuda_block **at = &d->memory; *at; at = &(*at)->next) {
        tri_cuda_block *block = *at;
        if (block->address != (tri_cu_address)(uintptr_t)memory) continue;
        *at = block->next;
        device->counters.reserved_bytes -= block->n_bytes;
        if (!tri_cuda_enter(d, NULL)) {
            if (block->host) d->cu->stream_synchronize(d->stream);
            free_block_memory(d->cu, block);
            tri_cuda_leave(d, TRI_OK, NULL);
        }
        free(block);
        return;
    }
}

/* ---- copies: through pinned memory, one buffer filled while the other is on its way ---- */

static tri_status upload_staged(
    tri_cuda_device *d, tri_cu_address to, const uint8_t *from, int64_t n_bytes, tri_error *err) {
    const tri_cu *cu = d->cu;
    for (int64_t at = 0, i = 0; at < n_bytes; at += STAGING_BYTES, i ^= 1) {
        size_t n = (size_t)(n_bytes - at < STAGING_BYTES ? n_bytes - at : STAGING_BYTES);
        TRI_CU_TRY(cu, event_synchronize(d->staged[i]), "CUDA: upload", err);
        memcpy(d->staging[i], from + at, n);
        TRI_CU_TRY(cu, upload(to + (uint64_t)at, d->staging[i], n, d->stream), "CUDA: upload", err);
        TRI_CU_TRY(cu, event_record(d->staged[i], d->stream), "CUDA: upload", err);
    }
    TRI_CU_TRY(cu, stream_synchronize(d->stream), "CUDA: upload", err);
    return TRI_OK;
}

static tri_status download_staged(
    tri_cuda_device *d, uint8_t *to, tri_cu_address from, int64_t n_bytes, tri_error *err) {
    const tri_cu *cu = d->cu;
    int64_t n_parts = (n_bytes + STAGING_BYTES - 1) / STAGING_BYTES;
    for (int64_t i = 0; i <= n_parts; i++) { /* part i is asked for, part i - 1 taken */
        if (i < n_parts) {
            int64_t at = i * STAGING_BYTES, left = n_bytes - at;
            size_t n = (size_t)(left < STAGING_BYTES ? left : STAGING_BYTES);
            TRI_CU_TRY(cu, download(d->staging[i & 1], from + (uint64_t)at, n, d->stream),
                "CUDA: download", err);
            TRI_CU_TRY(cu, event_record(d->staged[i & 1], d->stream), "CUDA: download", err);
        }
        if (i > 0) {
            int64_t at = (i - 1) * STAGING_BYTES, left = n_bytes - at;
            size_t n = (size_t)(left < STAGING_BYTES ? left : STAGING_BYTES);
            TRI_CU_TRY(cu, event_synchronize(d->staged[(i - 1) & 1]), "CUDA: download", err);
            memcpy(to + at, d->staging[(i - 1) & 1], n);
        }
    }
    return TRI_OK;
}

static tri_status device_upload(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err) {
    tri_cuda_device *d = (tri_cuda_device *)device;
    TRI_TRY(tri_cuda_enter(d, err));
    return tri_cuda_leave(
        d, upload_staged(d, (tri_cu_address)(uintptr_t)to, from, n_bytes, err), err);
}

static tri_status device_download(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err) {
    tri_cuda_device *d = (tri_cuda_device *)device;
    TRI_TRY(tri_cuda_enter(d, err));
    return tri_cuda_leave(
        d, download_staged(d, to, (tri_cu_address)(uintptr_t)from, n_bytes, err), err);
}

static tri_status device_adopt(
    tri_device *device, const void *from, int64_t n_bytes, void **memory, tri_error *err) {
    void *made = NULL;
    TRI_TRY(device_alloc(device, n_bytes, &made, err));
    tri_status rc = device_upload(device, made, from, n_bytes, err);
    if (rc)
        device_free(device, made);
    else
        *memory = made;
    return rc;
}

static tri_status add_code(
    tri_device *device, const char *key, const uint8_t *code, tri_error *err) {
    tri_cuda_device *d = (tri_cuda_device *)device;
    TRI_TRY(tri_cuda_enter(d, err));
    return tri_cuda_leave(d, tri_cuda_modules_add(d->modules, key, code, err), err);
}

/* ---- the device ---- */

static void release(tri_cuda_device *d) {
    const tri_cu *cu = d->cu;
    tri_cu_context popped;
    if (d->context && cu->context_push(d->context) == 0) {
        if (d->stream) cu->stream_synchronize(d->stream);
        for (tri_cuda_block *block = d->memory; block; block = block->next)
            free_block_memory(cu, block);
        tri_cuda_modules_destroy(d->modules);
        for (int32_t i = 0; i < TRI_CUDA_STAGING; i++) {
            if (d->staged[i]) cu->event_destroy(d->staged[i]);
            if (d->staging[i]) cu->host_free(d->staging[i]);
        }
        if (d->capturing) cu->stream_destroy(d->capturing);
        if (d->stream) cu->stream_destroy(d->stream);
        cu->context_pop(&popped);
    }
    if (d->context) cu->context_release(d->ordinal);
    for (tri_cuda_block *block = d->memory, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(d);
}

static void device_destroy(tri_device *device) {
    release((tri_cuda_device *)device);
}

static const tri_device_ops cuda_ops = {
    .destroy = device_destroy,
    .alloc = device_alloc,
    .alloc_shared = device_alloc_shared,
    .free = device_free,
    .synchronize = synchronize,
    .upload = device_upload,
    .download = device_download,
    .adopt = device_adopt,
    .add_code = add_code,
    .capture = tri_cuda_capture_create,
    .capture_destroy = tri_cuda_capture_destroy,
    .submit = tri_cuda_submit,
    .complete = tri_cuda_complete,
    .set_profile = tri_cuda_set_profile,
};

static tri_status read_facts(const tri_cu *cu, tri_cu_device ordinal, tri_plugin_device *facts,
    char arch[16], tri_error *err) {
    static const int attributes[5] = {
        TRI_CU_MAJOR, TRI_CU_MINOR, TRI_CU_MULTIPROCESSORS, TRI_CU_L2_BYTES, TRI_CU_SHARED_BYTES};
    int values[5];
    for (int32_t i = 0; i < 5; i++) {
        TRI_CU_TRY(cu, device_attribute(&values[i], attributes[i], ordinal),
            "CUDA: device attributes", err);
    }
    if (values[0] < 8) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "CUDA device %d has compute capability %d.%d, 8.0 is the least", (int)ordinal,
            values[0], values[1]);
    }
    /* The "a" set of a Hopper chip: wgmma and what else no later chip has. */
    (void)snprintf(arch, 16, "sm_%d%d%s", values[0], values[1], values[0] == 9 ? "a" : "");
    *facts = (tri_plugin_device){.struct_size = sizeof(tri_plugin_device),
        .kind = "cuda",
        .arch = arch,
        .n_threads = values[2],
        .l2_bytes = values[3],
        .shared_bytes = values[4]};
    return TRI_OK;
}

bool tri_cuda_device_probe(int32_t index, tri_plugin_device *facts, char arch[16]) {
    const tri_cu *cu;
    tri_cu_device ordinal;
    if (tri_cu_load(&cu, NULL) || cu->device_get(&ordinal, index)) return false;
    return read_facts(cu, ordinal, facts, arch, NULL) == TRI_OK;
}

/* With the context current. */
static tri_status make_resources(tri_cuda_device *d, tri_error *err) {
    const tri_cu *cu = d->cu;
    TRI_CU_TRY(cu, stream_create(&d->stream, TRI_CU_STREAM_NON_BLOCKING), "CUDA: stream", err);
    TRI_CU_TRY(cu, stream_create(&d->capturing, TRI_CU_STREAM_NON_BLOCKING), "CUDA: stream", err);
    for (int32_t i = 0; i < TRI_CUDA_STAGING; i++) {
        TRI_CU_TRY(cu, host_alloc(&d->staging[i], STAGING_BYTES, TRI_CU_HOST_PORTABLE),
            "CUDA: pinned memory", err);
        TRI_CU_TRY(cu, event_create(&d->staged[i], TRI_CU_EVENT_UNTIMED), "CUDA: event", err);
    }
    return tri_cuda_modules_create(&d->modules, cu, d->arch, err);
}

tri_status tri_cuda_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err) {
    const tri_cu *cu;
    int count = 0;
    TRI_TRY(tri_cu_load(&cu, err));
    TRI_CU_TRY(cu, device_count(&count), "CUDA: cuDeviceGetCount", err);
    if (options->index < 0 || options->index >= count) {
        return TRI_FAIL(err, TRI_E_DEVICE, "CUDA device %" PRId32 " asked for, there are %d",
            options->index, count);
    }
    tri_cuda_device *d = calloc(1, sizeof *d);
    if (!d) return TRI_FAIL(err, TRI_E_MEMORY, "CUDA device: no memory");
    d->cu = cu;
    d->base.ops = &cuda_ops;
    tri_status rc = TRI_OK;
    tri_cu_result result = cu->device_get(&d->ordinal, options->index);
    if (!result) result = cu->context_retain(&d->context, d->ordinal);
    if (result) {
        rc = tri_cu_fail(cu, result, "CUDA: context", err);
        goto done;
    }
    rc = read_facts(cu, d->ordinal, &d->base.facts, d->arch, err);
    if (rc) goto done;
    rc = tri_cuda_enter(d, err);
    if (rc) goto done;
    rc = tri_cuda_leave(d, make_resources(d, err), err);
    if (rc) goto done;
    *device = &d->base;

done:
    if (rc) release(d);
    return rc;
}
