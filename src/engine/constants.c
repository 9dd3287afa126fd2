#include "engine/constants.h"

#include <math.h>

tri_status tri_quantization_of(tri_quantization *q, const tri_node *node, tri_error *err) {
    const char *name = tri_node_string(node, "dtype");
    q->group = tri_node_int(node, "group");
    if (!tri_dtype_parse(name, &q->dtype) || (q->dtype != TRI_I8 && q->dtype != TRI_I4))
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "quantize to '%s'; i8 and i4 can be", name);
    q->largest = q->dtype == TRI_I4 ? 7.0f : 127.0f;
    return TRI_OK;
}

static float group_scale(const tri_quantization *q, const float *x, int64_t n) {
    float max = 0.0f;
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        max = a > max ? a : max;
    }
    return max / q->largest;
}

/* Half to even by adding what leaves no bits below one (|x| <= 127 here); not a number becomes
 * -largest.  Plain arithmetic, so that compilers make vectors of it. */
static void quantize_values(
    const float *restrict x, int64_t n, float scale, float largest, int8_t *restrict out) {
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    for (int64_t i = 0; i < n; i++) {
        float v = scale > 0.0f ? x[i] / scale : 0.0f;
        v = v > largest ? largest : v >= -largest ? v : -largest;
        out[i] = (int8_t)(v + magic - magic);
    }
}

/* Elements [first, first + n) of a row of nibbles, in order: the low half of a byte comes first. */
static void store_nibbles(const int8_t *q, int64_t first, int64_t n, uint8_t *row) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t nibble = (uint32_t)q[i] & 15u;
        uint8_t *byte = &row[(first + i) / 2];
        *byte = (uint8_t)((first + i) % 2 == 0 ? nibble : *byte | nibble << 4);
    }
}

static void quantize_group(
    const tri_quantization *q, const float *x, int64_t first, int64_t n, void *row) {
    float scale = group_scale(q, x + first, n);
    int8_t piece[512];
    if (q->dtype == TRI_I8) {
        quantize_values(x + first, n, scale, q->largest, (int8_t *)row + first);
        return;
    }
    for (int64_t i = 0; i < n; i += (int64_t)sizeof piece) {
        int64_t m = n - i < (int64_t)sizeof piece ? n - i : (int64_t)sizeof piece;
        quantize_values(x + first + i, m, scale, q->largest, piece);
        store_nibbles(piece, first + i, m, row);
    }
}

void tri_quantize_row(const tri_quantization *q, const float *x, int64_t n, void *row) {
    int64_t group = q->group > 0 ? q->group : n;
    for (int64_t first = 0; first < n; first += group)
        quantize_group(q, x, first, group, row);
}

void tri_quantize_row_scales(const tri_quantization *q, const float *x, int64_t n, float *scales) {
    int64_t group = q->group > 0 ? q->group : n;
    for (int64_t g = 0; g < n / group; g++)
        scales[g] = group_scale(q, x + g * group, group);
}

void tri_constant_affine(float *x, int64_t n, double factor, double offset) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(x[i] * factor + offset);
}
