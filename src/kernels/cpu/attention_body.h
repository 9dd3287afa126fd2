/* attention_body.h - softmax and merge of attention.h; included once for each instruction set. */
#include <math.h>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/vec_math.h"

/* Sums run over 16 lanes, element j in lane j % 16, then over pairs of lanes. */
static void softmax(float *s, int64_t n, int64_t first, int64_t last, float scale, float softcap,
    float *max_out, float *sum_out) {
    float max = -INFINITY, lanes[16];
    for (int64_t j = 0; j < n; j++)
        s[j] *= scale;
    if (softcap > 0.0f) {
        for (int64_t j = 0; j < n; j++)
            s[j] = softcap * tri_tanhf(s[j] / softcap);
    }
    for (int32_t l = 0; l < 16; l++)
        lanes[l] = -INFINITY;
    for (int64_t j = 0; j < n; j += 16) {
        for (int32_t l = 0; l < 16; l++) {
            float logit = j + l >= first && j + l < last ? s[j + l] : -INFINITY;
            lanes[l] = logit > lanes[l] ? logit : lanes[l];
        }
    }
    for (int32_t l = 0; l < 16; l++)
        max = lanes[l] > max ? lanes[l] : max;
    for (int32_t l = 0; l < 16; l++)
        lanes[l] = 0.0f;
    for (int64_t j = 0; j < n; j += 16) {
        for (int32_t l = 0; l < 16; l++) {
            float e = tri_expf(s[j + l] - max);
            e = j + l >= first && j + l < last ? e : 0.0f;
            s[j + l] = e;
            lanes[l] += e;
        }
    }
    for (int32_t width = 8; width > 0; width /= 2) {
        for (int32_t l = 0; l < width; l++)
            lanes[l] += lanes[l + width];
    }
    *max_out = max;
    *sum_out = lanes[0];
}

static void merge(float *total, float a, const float *part, float b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        total[i] = total[i] * a + part[i] * b;
}
