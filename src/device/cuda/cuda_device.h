/* cuda_device.h - one CUDA device: context, memory, staging.  For src/device/cuda and its users in
 * kernels.
 *
 * The primary context is shared by all in the process; streams, modules and memory are this
 * device's own, so that several engines work side by side.  A failure of the driver is kept: the
 * device then answers everything with that first cause (CUDA's own errors are sticky), the process
 * goes on. */
#ifndef TRI_DEVICE_CUDA_DEVICE_H
#define TRI_DEVICE_CUDA_DEVICE_H

#include "device/cuda/queue.h"
#include "device/device_impl.h"

enum { TRI_CUDA_STAGING = 2 }; /* pinned buffers that copies alternate between */

typedef struct tri_cuda_block { /* of device memory, or of the host's that both see */
    struct tri_cuda_block *next;
    tri_cu_address address;
    void *host; /* NULL: the device's */
    int64_t n_bytes;
} tri_cuda_block;

typedef struct tri_cuda_device {
    tri_device base;
    const tri_cu *cu;
    tri_cu_device ordinal;
    tri_cu_context context;
    tri_cu_stream stream, capturing; /* of steps and copies; of graphs in the making */
    tri_cuda_modules *modules;
    tri_cuda_block *memory;
    void *staging[TRI_CUDA_STAGING];
    tri_cu_event staged[TRI_CUDA_STAGING];
    char arch[16];
    tri_error failure; /* status TRI_OK: none */
} tri_cuda_device;

/* Makes the context current for the calling thread; between the two, driver calls. */
tri_status tri_cuda_enter(tri_cuda_device *device, tri_error *err);
/* Pops it, and keeps rc's cause when the driver failed. */
tri_status tri_cuda_leave(tri_cuda_device *device, tri_status rc, tri_error *err);

/* cuda_capture.c */
tri_status tri_cuda_capture_create(
    tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err);
void tri_cuda_capture_destroy(tri_capture *capture);
tri_status tri_cuda_submit(tri_capture *capture, const tri_step *step, tri_error *err);
tri_status tri_cuda_complete(tri_capture *capture, tri_error *err);
void tri_cuda_set_profile(tri_capture *capture, int64_t *nanoseconds);

#endif
