/* sampling_body.h - the loops of sampling.h; included once for each instruction set, which defines
 * TRI_SAMPLING_FUNCTIONS. */
#include "kernels/cpu/sampling.h"
#include "kernels/cpu/vec_math.h"

enum { LANES = 16 };

static float max_of(const float *x, int64_t n) {
    float lanes[LANES], max = -INFINITY;
    int64_t i = 0;
    for (int32_t j = 0; j < LANES; j++)
        lanes[j] = -INFINITY;
    for (; i + LANES <= n; i += LANES) {
        for (int32_t j = 0; j < LANES; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    }
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int32_t j = 0; j < LANES; j++)
        max = lanes[j] > max ? lanes[j] : max;
    return max;
}

/* Over 16 lanes, then pairs of lanes. */
static float exp_sum(const float *x, int64_t n, float shift, float factor, float *p) {
    float lanes[LANES] = {0}, terms[LANES];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int32_t j = 0; j < LANES; j++)
            terms[j] = tri_expf((x[i + j] - shift) * factor);
        for (int32_t j = 0; j < LANES; j++)
            lanes[j] += terms[j];
        if (p) memcpy(p + i, terms, sizeof terms);
    }
    for (int32_t j = 0; i + j < n; j++) {
        float term = tri_expf((x[i + j] - shift) * factor);
        lanes[j] += term;
        if (p) p[i + j] = term;
    }
    for (int32_t width = LANES / 2; width > 0; width /= 2) {
        for (int32_t j = 0; j < width; j++)
            lanes[j] += lanes[j + width];
    }
    return lanes[0];
}

const tri_sampling_functions TRI_SAMPLING_FUNCTIONS = {.max = max_of, .exp_sum = exp_sum};
