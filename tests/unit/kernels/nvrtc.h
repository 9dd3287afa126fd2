/* nvrtc.h - whether tests compile CUDA sources: not under a sanitizer, which looks at our code and
 * not at the compiler's, and would have the same work done twice. */
#ifndef TRI_TEST_KERNELS_NVRTC_H
#define TRI_TEST_KERNELS_NVRTC_H

#include <stdbool.h>

static inline bool nvrtc_wanted(void) {
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return true;
#endif
}

#endif
