/* sources.h - the CUDA sources, inside the binary. */
#ifndef TRI_KERNELS_CUDA_SOURCES_H
#define TRI_KERNELS_CUDA_SOURCES_H

/* Text of <name>.cu, or of inc/<name>.cuh; NULL when there is none. */
const char *tri_cuda_source(const char *name);

#endif
