#include "device/cuda/queue.h"

void tri_cuda_enqueue(tri_cuda_queue *queue, tri_cu_function function, const tri_cuda_grid *grid,
    const void *arguments) {
    if (queue->status) return;
    TRI_ASSERT(!queue->preparing);
    tri_cu_attribute programmatic = {.id = TRI_CU_LAUNCH_PROGRAMMATIC, .value.programmatic = 1};
    const tri_cu_launch launch = {.grid_x = grid->grid_x,
        .grid_y = grid->grid_y,
        .grid_z = 1,
        .block_x = grid->block,
        .block_y = 1,
        .block_z = 1,
        .shared_bytes = grid->shared_bytes,
        .stream = queue->stream,
        .attributes = &programmatic,
        .n_attributes = queue->overlap ? 1 : 0};
    void *parameters[1] = {(void *)(uintptr_t)arguments}; /* only read */
    tri_cu_result result = queue->cu->launch(&launch, function, parameters, NULL);
    if (result) queue->status = tri_cu_fail(queue->cu, result, "CUDA: launch", &queue->error);
}

tri_status tri_cuda_queue_status(const tri_cuda_queue *queue, const char *what, tri_error *err) {
    if (!queue->status) return TRI_OK;
    return TRI_FAIL(err, queue->status, "%s: %s", what, queue->error.message);
}
