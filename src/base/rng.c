#include "base/rng.h"

#include <math.h>

void tri_philox(uint64_t seed, uint64_t counter_lo, uint64_t counter_hi, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

float tri_rng_uniform(uint64_t seed, uint64_t counter) {
    uint32_t bits[4];
    tri_philox(seed, counter, 0, bits);
    return (float)(bits[0] >> 8) * 0x1p-24f;
}

/* Box-Muller; counter_hi keeps its bits apart from the uniform ones of the same counter. */
float tri_rng_normal(uint64_t seed, uint64_t counter) {
    uint32_t bits[4];
    tri_philox(seed, counter, 1, bits);
    double u = ((double)bits[0] + 1.0) * 0x1p-32; /* (0, 1] */
    double angle = (double)bits[1] * 0x1p-32 * 6.283185307179586;
    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}
