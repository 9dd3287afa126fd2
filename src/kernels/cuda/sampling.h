/* sampling.h - count_tokens, penalties, mask and sample on CUDA: what is launched for which
 * vocabulary. */
#ifndef TRI_KERNELS_CUDA_SAMPLING_H
#define TRI_KERNELS_CUDA_SAMPLING_H

#include "kernels/cuda/program.h"

typedef struct tri_cuda_sample_desc {
    int64_t vocabulary;
    bool counts, masks; /* penalties, masks applied as logits are read */
} tri_cuda_sample_desc;

typedef struct tri_cuda_sample_config {
    int32_t threads, cluster; /* blocks of a cluster share a row */
    bool resident;            /* the row stays in shared memory */
    uint32_t shared_bytes;    /* dynamic */
} tri_cuda_sample_config;

/* By the architecture ("sm_90a"); results are the same for all. */
tri_cuda_sample_config tri_cuda_sample_choose(const tri_cuda_sample_desc *desc, const char *arch);
void tri_cuda_sample_program(const tri_cuda_sample_desc *desc, const tri_cuda_sample_config *config,
    tri_cuda_program *program);
void tri_cuda_count_tokens_program(int64_t vocabulary, tri_cuda_program *program);
void tri_cuda_penalties_program(int64_t vocabulary, tri_cuda_program *program);
void tri_cuda_mask_program(int64_t vocabulary, tri_cuda_program *program);

#endif
