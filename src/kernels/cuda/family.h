/* family.h - what CUDA families share: a program with its function, and entries of the registry.
 *
 * A launch of a family (tri_plugin_launch.team is the queue) prepares every program that any step
 * may need while the queue is preparing, and enqueues them otherwise. */
#ifndef TRI_KERNELS_CUDA_FAMILY_H
#define TRI_KERNELS_CUDA_FAMILY_H

#include "kernels/cuda/program.h"
#include "kernels/desc.h"

typedef struct tri_cuda_kernel {
    tri_cuda_program program;
    uint32_t shared_bytes; /* dynamic, the most of any launch */
    tri_cu_function function;
} tri_cuda_kernel;

/* On a preparing queue: finds the function, or tells the program to whoever collects programs. */
void tri_cuda_kernel_prepare(tri_cuda_kernel *kernel, tri_cuda_queue *queue);
/* arguments: one struct, copied. */
void tri_cuda_kernel_enqueue(const tri_cuda_kernel *kernel, tri_cuda_queue *queue,
    const tri_cuda_grid *grid, const void *arguments);

static inline uint64_t tri_cuda_address(const void *device_memory) {
    return (uint64_t)(uintptr_t)device_memory;
}

/* sizeof, op, name ... of a kernel of this device. */
#define TRI_CUDA_KERNEL(op_, name_, isa_, numerics_)                                               \
    .struct_size = sizeof(tri_plugin_kernel), .op = (op_), .name = (name_), .device = "cuda",      \
    .isa = (isa_), .numerics = (numerics_), .graph_capture_safe = true, .prepares = true

#endif
