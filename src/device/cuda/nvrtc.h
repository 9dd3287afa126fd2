/* nvrtc.h - CUDA C to machine code, by libnvrtc, found at run time.  Needs no GPU.
 *
 * One architecture at a time ("sm_90a"): a cubin, which runs on nothing else. */
#ifndef TRI_DEVICE_CUDA_NVRTC_H
#define TRI_DEVICE_CUDA_NVRTC_H

#include "base/status.h"

typedef struct tri_nvrtc_header {
    const char *name, *text; /* what #include "name" finds */
} tri_nvrtc_header;

typedef struct tri_nvrtc_source {
    const char *name, *text; /* of the file, for messages */
    const char *defines;     /* "P_N=4096 P_K=4096": each becomes -D */
    const tri_nvrtc_header *headers;
    int32_t n_headers;
} tri_nvrtc_source;

/* *cubin is malloc'd, the caller frees it.  TRI_E_DEVICE when NVRTC is missing (says what to
 * install), TRI_E_INTERNAL with the compiler's first lines when the source does not compile. */
tri_status tri_nvrtc_compile(const tri_nvrtc_source *source, const char *arch, uint8_t **cubin,
    int64_t *n_bytes, tri_error *err);

#endif
