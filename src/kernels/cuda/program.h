/* program.h - a kernel specialised: a source of ours, defines, an entry; and the launch of it.
 *
 * A family turns what is asked into a program (pure), NVRTC turns that into a cubin when an engine
 * is built, and a launch passes one struct by value. */
#ifndef TRI_KERNELS_CUDA_PROGRAM_H
#define TRI_KERNELS_CUDA_PROGRAM_H

#include "device/cuda/nvrtc.h"
#include "device/cuda/queue.h"

enum { TRI_CUDA_DEFINES_BYTES = 768, TRI_CUDA_KEY_BYTES = 64 };

typedef struct tri_cuda_program {
    const char *entry; /* the source is entry.cu */
    char defines[TRI_CUDA_DEFINES_BYTES];
} tri_cuda_program;

/* Appends "NAME=value" to the defines; TRI_ASSERTs that there is room. */
void tri_cuda_define(tri_cuda_program *program, const char *name, int64_t value);

/* *cubin is malloc'd.  TRI_E_NOT_FOUND when no source has that entry. */
tri_status tri_cuda_program_compile(const tri_cuda_program *program, const char *arch,
    uint8_t **cubin, int64_t *n_bytes, tri_error *err);

/* "linear_stream-0123456789abcdef": equal for equal source, headers, defines and arch. */
tri_status tri_cuda_program_key(const tri_cuda_program *program, const char *arch,
    char key[TRI_CUDA_KEY_BYTES], tri_error *err);

/* The program's function on a queue's device, compiled there when no engine brought it. */
tri_status tri_cuda_program_find(const tri_cuda_program *program, const tri_cuda_queue *queue,
    uint32_t shared_bytes, tri_cu_function *function, tri_error *err);

#endif
