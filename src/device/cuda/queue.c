#include "device/cuda/queue.h"

void tri_cuda_enqueue(tri_cuda_queue *queue, tri_cu_function function, const tri_cuda_grid *grid,
    const void *arguments) {
    if (queue->result) return;
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
    queue->result = queue->cu->launch(&launch, function, parameters, NULL);
}

tri_status tri_cuda_queue_status(const tri_cuda_queue *queue, const char *what, tri_error *err) {
    return queue->result ? tri_cu_fail(queue->cu, queue->result, what, err) : TRI_OK;
}
