#include "kernels/cpu/attention_body.h"

#include "base/codec.h"

enum { COLUMNS = TRI_ATTENTION_COLUMNS, MAX_HEAD = 1024 };

static void load_keys(int32_t dtype, const uint8_t *const *rows, const uint8_t *const *values,
    int64_t d, float *panel) {
    (void)values;
    float row[MAX_HEAD];
    for (int64_t j = 0; j < COLUMNS; j++) {
        tri_codec_decode((tri_dtype)dtype, rows[j], row, d);
        for (int64_t i = 0; i < d; i++)
            panel[i * COLUMNS + j] = row[i];
    }
}

static void load_values(int32_t dtype, const uint8_t *const *rows, int64_t n, int64_t column,
    int64_t width, float *panel) {
    int64_t elem_bytes = dtype == TRI_F32 ? 4 : 2;
    for (int64_t j = 0; j < n; j++, panel += COLUMNS) {
        memset(panel, 0, COLUMNS * sizeof *panel);
        tri_codec_decode((tri_dtype)dtype, rows[j] + column * elem_bytes, panel, width);
    }
}

static void multiply(const float *panel, const float *x, int64_t x_stride, int64_t m, int64_t n,
    float *sums, int64_t sums_stride) {
    for (int64_t r = 0; r < m; r++) {
        float acc[COLUMNS] = {0};
        for (int64_t k = 0; k < n; k++) {
            float xk = x[r * x_stride + k];
            for (int64_t j = 0; j < COLUMNS; j++)
                acc[j] += panel[k * COLUMNS + j] * xk;
        }
        memcpy(sums + r * sums_stride, acc, sizeof acc);
    }
}

static bool multiply_values(int32_t dtype, const uint8_t *const *rows, const float *x,
    int64_t x_stride, int64_t m, int64_t n, int64_t d, float *sums, int64_t sums_stride) {
    (void)dtype, (void)rows, (void)x, (void)x_stride, (void)m, (void)n, (void)d, (void)sums;
    (void)sums_stride;
    return false;
}

const tri_attention_functions tri_attention_generic = {.load_keys = load_keys,
    .load_values = load_values,
    .multiply = multiply,
    .multiply_values = multiply_values,
    .softmax = softmax,
    .merge = merge};
