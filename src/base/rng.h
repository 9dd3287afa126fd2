/* rng.h - counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): the value for (seed,
 * counter) depends on nothing else, so sampling does not depend on batch-mates. */
#ifndef TRI_BASE_RNG_H
#define TRI_BASE_RNG_H

#include <stdint.h>

void tri_philox(uint64_t seed, uint64_t counter_lo, uint64_t counter_hi, uint32_t out[4]);
float tri_rng_uniform(uint64_t seed, uint64_t counter); /* [0, 1), 24 bits */
float tri_rng_normal(uint64_t seed, uint64_t counter);  /* mean 0, deviation 1 */

#endif
