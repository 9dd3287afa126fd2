/* host_memory.c - memory of the devices that compute on the host: zeroed pages, counted. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "device/device_impl.h"

enum { PAGE_BYTES = 4096, HUGE_PAGE_BYTES = 2 << 20 };

typedef struct tri_host_block {
    void *memory;
    int64_t n_bytes;
    struct tri_host_block *next;
} tri_host_block;

tri_status tri_host_alloc(
    tri_device *device, int64_t n_bytes, int32_t map_flags, void **memory, tri_error *err) {
    int64_t rounded = 0;
    if (__builtin_add_overflow(n_bytes ? n_bytes : 1, PAGE_BYTES - 1, &rounded)) {
        return TRI_FAIL(err, TRI_E_MEMORY, "device memory: %" PRId64 " bytes asked for", n_bytes);
    }
    rounded -= rounded % PAGE_BYTES;

    tri_host_block *block = malloc(sizeof *block);
    if (!block) return TRI_FAIL(err, TRI_E_MEMORY, "device memory: no memory for its bookkeeping");
    void *pages = mmap(NULL, (size_t)rounded, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | map_flags, -1, 0);
    if (pages == MAP_FAILED) {
        free(block);
        return TRI_FAIL(err, TRI_E_MEMORY,
            "device memory: %" PRId64 " bytes refused by the system (%" PRId64
            " reserved so far); lower the limits on tokens, sequences or KV blocks",
            n_bytes, device->counters.reserved_bytes);
    }
    if (rounded >= HUGE_PAGE_BYTES) (void)madvise(pages, (size_t)rounded, MADV_HUGEPAGE); /* hint */

    *block = (tri_host_block){pages, rounded, device->blocks};
    device->blocks = block;
    tri_device_counters *counters = &device->counters;
    counters->reserved_bytes += rounded;
    if (counters->reserved_bytes > counters->peak_reserved_bytes) {
        counters->peak_reserved_bytes = counters->reserved_bytes;
    }
    *memory = pages;
    return TRI_OK;
}

static void release(tri_device *device, tri_host_block **link) {
    tri_host_block *block = *link;
    *link = block->next;
    device->counters.reserved_bytes -= block->n_bytes;
    (void)munmap(block->memory, (size_t)block->n_bytes);
    free(block);
}

void tri_host_free(tri_device *device, void *memory) {
    tri_host_block **link = &device->blocks;
    while (*link && (*link)->memory != memory)
        link = &(*link)->next;
    TRI_ASSERT(*link); /* else it is not this device's memory */
    release(device, link);
}

void tri_host_free_all(tri_device *device) {
    while (device->blocks)
        release(device, &device->blocks);
}
