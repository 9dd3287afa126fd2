#include "kernels/cuda/family.h"

void tri_cuda_kernel_prepare(tri_cuda_kernel *kernel, tri_cuda_queue *queue) {
    TRI_ASSERT(queue->preparing);
    if (queue->status) return;
    if (queue->collect) {
        queue->collect(queue->collect_user, &kernel->program);
        return;
    }
    queue->status = tri_cuda_program_find(
        &kernel->program, queue, kernel->shared_bytes, &kernel->function, &queue->error);
}

void tri_cuda_kernel_enqueue(const tri_cuda_kernel *kernel, tri_cuda_queue *queue,
    const tri_cuda_grid *grid, const void *arguments) {
    TRI_ASSERT(kernel->function || queue->status);
    tri_cuda_enqueue(queue, kernel->function, grid, arguments);
}
