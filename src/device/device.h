/* device.h - memory, launch lists and collectives of one device: "cpu", "cuda" or "null".
 *
 * A launch list is made once, when a plan is loaded, of kernels (trireme/plugin.h) with fixed
 * addresses; submit enqueues it for one step and returns, complete waits.  The null device accepts
 * kernels of any device, plans, captures and counts, and computes nothing. */
#ifndef TRI_DEVICE_DEVICE_H
#define TRI_DEVICE_DEVICE_H

#include "base/step.h"
#include "base/thread.h"
#include "trireme/plugin.h"

typedef struct tri_device tri_device;
typedef struct tri_comm tri_comm; /* comm.h */

typedef struct tri_device_options {
    const char *kind;  /* "cpu", "cuda", "null" */
    int32_t n_threads; /* CPU; 0: all */
    const char *isa;   /* CPU: at most this ("avx2"); NULL: what the machine has */
    int32_t index;     /* CUDA: which of the machine's devices */
} tri_device_options;

/* Facts of a machine's device without making one; arch and what else is text lives in `arch`.
 * False: there is none. */
bool tri_device_probe(const char *kind, int32_t index, tri_plugin_device *facts, char arch[16]);
/* Whether what needs one instruction set runs on another of the same kind: "avx2" within "amx",
 * "sm_80" within "sm_90a"; "sm_90a" only within itself.  False for unknown names. */
bool tri_arch_within(const char *kind, const char *needed, const char *have);

/* Whether a kernel's launch may be called on a queue that only prepares. */
static inline bool tri_kernel_prepares(const tri_plugin_kernel *kernel) {
    return kernel->struct_size >= sizeof(tri_plugin_kernel) && kernel->prepares;
}

/* One launch: a kernel with its operands bound.  Rows of operands are the step's T, S or R. */
typedef struct tri_launch {
    const tri_plugin_kernel *kernel;
    void *state; /* of kernel->create */
    const tri_plugin_tensor *inputs, *outputs;
    int32_t n_inputs, n_outputs;
    const tri_plugin_cache *const
        *caches;                 /* by operand; block_tables are set per step by the device */
    const int32_t *cache_groups; /* by operand: group of the cache or state, -1: none */
    const tri_plugin_state *const *states;
    const char *name; /* for profiles: "transformer.layers.3 linear" */
} tri_launch;

typedef struct tri_launch_list {
    const tri_launch *launches;
    int32_t n_launches;
    void *workspace;
    tri_comm *comm;         /* NULL: a single rank */
    int64_t max_step_bytes; /* of any step to come, so that submit never allocates; 0: slots grow */
    uint32_t *masks;        /* vocabulary bit masks, [n_mask_slots, mask_stride_words]; or NULL */
    int32_t n_mask_slots;
    int64_t mask_stride_words;
    const void *results; /* device memory that each step writes and the host reads; NULL: none */
    int64_t n_result_bytes;
} tri_launch_list;

typedef struct tri_device_counters { /* since creation; what tests of the null device look at */
    int64_t n_submits, n_launches, n_captures;
    int64_t reserved_bytes, peak_reserved_bytes;
} tri_device_counters;

tri_status tri_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err);
void tri_device_destroy(tri_device *device);
const tri_plugin_device *tri_device_facts(const tri_device *device);
const tri_device_counters *tri_device_get_counters(const tri_device *device);

/* Zeroed, 4096-aligned. */
tri_status tri_device_alloc(tri_device *device, int64_t n_bytes, void **memory, tri_error *err);
void tri_device_free(tri_device *device, void *memory);
/* The same, readable and writable by the host at the same address; for little that is used once. */
tri_status tri_device_alloc_shared(
    tri_device *device, int64_t n_bytes, void **memory, tri_error *err);
/* Whether all of the device's memory is the host's own. */
bool tri_device_is_host(const tri_device *device);
/* Between host and device; ordered with submits.  Copies of host memory complete before return. */
tri_status tri_device_upload(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err);
tri_status tri_device_download(
    tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err);
/* Makes mapped file bytes usable as weights; on the CPU they are used where they are (*memory =
 * from). */
tri_status tri_device_adopt(
    tri_device *device, const void *from, int64_t n_bytes, void **memory, tri_error *err);
/* Gives back what adopt made; where bytes are used in place, nothing. */
void tri_device_release(tri_device *device, void *memory);

/* Machine code by key, copied, for launches to find (CUDA: a cubin; elsewhere ignored).  A key that
 * is there stays. */
tri_status tri_device_add_code(
    tri_device *device, const char *key, const uint8_t *code, tri_error *err);

/* Prepares a list (CUDA: a graph later); addresses in it must stay.  Never on the step path. */
typedef struct tri_capture tri_capture;
tri_status tri_device_capture(
    tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err);
void tri_capture_destroy(tri_capture *capture);
/* Enqueues the step; its bytes are copied.  A second submit before complete queues behind. */
tri_status tri_device_submit(tri_capture *capture, const tri_step *step, tri_error *err);
tri_status tri_device_complete(tri_capture *capture, tri_error *err);
/* What the last completed step left in the list's results, until the next complete. */
const void *tri_capture_results(const tri_capture *capture);
/* Per launch, nanoseconds summed since the last reset; profile mode only.  NULL: not on. */
void tri_device_set_profile(tri_capture *capture, int64_t *nanoseconds);

#endif
