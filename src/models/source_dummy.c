/* source_dummy.c - random weights without a file.
 *
 * Element i of a weight is quantile q[b] of the normal distribution, scaled by the deviation, where
 * b is 12 bits of splitmix64 (Steele, Lea, Flood 2014) of the weight's seed and i / 4: four
 * elements a hash and one table load each, since a build of 1B weights must not wait for its random
 * numbers. So a value depends on the weight's name and the element's place alone, whatever the
 * sharding. */
#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "models/source_internal.h"

enum { N_QUANTILES = 4096, ELEMS_PER_HASH = 4 };

/* x with P(normal < x) = p, by bisection: 40 halvings of [-8, 8] are below float32's precision. */
static double normal_quantile(double p) {
    double low = -8, high = 8;
    for (int i = 0; i < 40; i++) {
        double x = 0.5 * (low + high);
        if (0.5 * erfc(-x / sqrt(2)) < p)
            low = x;
        else
            high = x;
    }
    return 0.5 * (low + high);
}

const float *tri_dummy_quantiles(tri_arena *arena) {
    float *q = TRI_NEW_N(arena, float, N_QUANTILES);
    if (!q) return NULL;
    for (int32_t i = 0; i < N_QUANTILES / 2; i++) {
        q[i] = (float)normal_quantile((i + 0.5) / N_QUANTILES);
        q[N_QUANTILES - 1 - i] = -q[i];
    }
    return q;
}

static uint64_t splitmix64(uint64_t seed, uint64_t counter) {
    uint64_t z = seed + (counter + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t pick(uint64_t seed, int64_t index) {
    uint64_t hash = splitmix64(seed, (uint64_t)index / ELEMS_PER_HASH);
    return (uint32_t)(hash >> (16 * ((uint64_t)index % ELEMS_PER_HASH))) % N_QUANTILES;
}

/* Elements of 2 or 4 bytes out of a table of encoded quantiles. */
#define DEFINE_FILL(name, type)                                                                    \
    static void name(                                                                              \
        const void *table, uint64_t seed, int64_t first, int64_t n, uint8_t *restrict out) {       \
        const type *restrict values = table;                                                       \
        int64_t i = 0;                                                                             \
        for (; i < n && (first + i) % ELEMS_PER_HASH; i++)                                         \
            memcpy(out + i * (int64_t)sizeof(type), &values[pick(seed, first + i)], sizeof(type)); \
        for (; i + ELEMS_PER_HASH <= n; i += ELEMS_PER_HASH) {                                     \
            uint64_t hash = splitmix64(seed, (uint64_t)(first + i) / ELEMS_PER_HASH);              \
            type four[ELEMS_PER_HASH];                                                             \
            for (int32_t j = 0; j < ELEMS_PER_HASH; j++)                                           \
                four[j] = values[(hash >> (16 * j)) % N_QUANTILES];                                \
            memcpy(out + i * (int64_t)sizeof(type), four, sizeof(four));                           \
        }                                                                                          \
        for (; i < n; i++)                                                                         \
            memcpy(out + i * (int64_t)sizeof(type), &values[pick(seed, first + i)], sizeof(type)); \
    }
DEFINE_FILL(fill_16, uint16_t)
DEFINE_FILL(fill_32, uint32_t)

void tri_dummy_fill(const float *quantiles, const tri_segment *segment, int64_t first, int64_t n,
    int64_t first_column, int64_t n_columns, tri_dtype dtype, uint8_t *out) {
    float scaled[N_QUANTILES];
    uint32_t encoded[N_QUANTILES];
    int32_t elem_bytes = tri_dtype_get(dtype)->block_bytes;
    TRI_ASSERT(elem_bytes == 2 || elem_bytes == 4);
    for (int32_t i = 0; i < N_QUANTILES; i++)
        scaled[i] = (float)segment->value * quantiles[i];
    tri_codec_encode(dtype, scaled, encoded, N_QUANTILES);

    bool dense = n_columns == segment->n_columns;
    int64_t n_runs = dense ? 1 : n, run = dense ? n * n_columns : n_columns;
    for (int64_t i = 0; i < n_runs; i++) {
        int64_t index = (first + i) * segment->n_columns + first_column;
        if (elem_bytes == 2)
            fill_16(encoded, segment->seed, index, run, out + i * run * 2);
        else
            fill_32(encoded, segment->seed, index, run, out + i * run * 4);
    }
}
