/* queue.h - enqueueing kernels: where a launch of ours goes.
 *
 * What tri_plugin_launch.team points to on a CUDA device, for Trireme's own kernels.  Launches have
 * no status: a failure is kept, the first one, every later call does nothing, and whoever opened
 * the queue looks afterwards.
 *
 * Before a launch list is used, each launch is called once on a queue with `preparing` set: it
 * finds its functions (tri_cuda_modules_find), keeps them in its state and enqueues nothing.  With
 * `collect` set as well there need be no device: a launch then only tells which programs it is made
 * of, so that an engine can bring them. */
#ifndef TRI_DEVICE_CUDA_QUEUE_H
#define TRI_DEVICE_CUDA_QUEUE_H

#include "device/cuda/modules.h"

typedef struct tri_cuda_queue {
    const tri_cu *cu;
    tri_cu_stream stream;
    tri_cuda_modules *modules;
    bool preparing;
    void (*collect)(void *user, const void *program); /* tri_cuda_program, of kernels/cuda */
    void *collect_user;
    bool overlap; /* a kernel may start while its predecessor ends: kernels wait in their code */
    tri_status status;
    tri_error error;
} tri_cuda_queue;

typedef struct tri_cuda_grid {
    uint32_t grid_x, grid_y, block;
    uint32_t shared_bytes; /* dynamic */
} tri_cuda_grid;

/* The kernel's only parameter is a struct, passed by value. */
void tri_cuda_enqueue(tri_cuda_queue *queue, tri_cu_function function, const tri_cuda_grid *grid,
    const void *arguments);

/* The first failure of what was enqueued, "what: ..." in front. */
tri_status tri_cuda_queue_status(const tri_cuda_queue *queue, const char *what, tri_error *err);

#endif
