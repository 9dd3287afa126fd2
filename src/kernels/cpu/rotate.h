/* rotate.h - sines and cosines of positions, and turning heads by them; one body compiled for each
 * instruction set, the bits are the same in all. */
#ifndef TRI_KERNELS_CPU_ROTATE_H
#define TRI_KERNELS_CPU_ROTATE_H

#include <stdbool.h>
#include <stdint.h>

enum { TRI_MAX_ROTATED_HEAD = 1024 };

typedef struct tri_rotate_functions {
    /* c, s [n] = magnitude * cos, sin of position * frequencies.  The angle is reduced in double,
     * so positions of millions lose nothing. */
    void (*angles)(
        int32_t position, const float *frequencies, int64_t n, float magnitude, float *c, float *s);
    /* out = head with its first 2n columns turned; out may be head. */
    void (*turn)(const float *head, float *out, int64_t head_size, int64_t n, bool interleaved,
        const float *c, const float *s);
} tri_rotate_functions;

extern const tri_rotate_functions tri_rotate_generic, tri_rotate_avx2;

#endif
