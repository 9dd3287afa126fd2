/* interp_const.c - weights and what derives from them, as float32.
 *
 * Rope frequencies of pair i of n = rotary_dim / 2, f_i = base^(-2i / rotary_dim):
 *   default   f_i
 *   linear    f_i / factor
 *   llama3    wavelength w = 2 pi / f_i, L original positions: f_i where w < L / high_freq_factor;
 *             f_i / factor where w > L / low_freq_factor; between them a linear mix of the two, by
 *             s = (L / w - low) / (high - low).  As Llama 3.1's reference code.
 *   yarn      arXiv:2309.00071, section 3.2: f_i / factor, mixed with f_i by a ramp over i from the
 *             pair that turns beta_fast times in L positions (rounded down) to the one that turns
 *             beta_slow times (rounded up)
 *   longrope  f_i / frequency_factors[i], arXiv:2402.13753
 * quantize: scale = max|w| / (127 or 7) of a group of columns in float32, q = w / scale rounded
 * half to even; a group of zeros has scale 0. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "graph/interp_state.h"
#include "graph/shape.h"

static const double two_pi = 6.283185307179586476925;

TRI_INTERP_RULE(weight) {
    const tri_value *value = node->results[0];
    const char *name = tri_node_string(node, "name");
    const void *data = NULL;
    float *y;
    if (!in->options.weight)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "'%s': no callback gives weights", name);
    if (strcmp(value->type.layout, "row") != 0)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "'%s' is stored in layout %s, row is due", name,
            value->type.layout);
    TRI_TRY(in->options.weight(in->options.weight_user, name, &data, err));
    const tri_interp_slot *slot = tri_interp_result(in, node, 0, &y, err);
    if (!slot) return TRI_E_MEMORY;
    int64_t row_bytes = tri_dtype_row_bytes(value->type.dtype, slot->columns);
    for (int64_t r = 0; r < slot->rows; r++)
        tri_codec_decode(value->type.dtype, (const uint8_t *)data + r * row_bytes,
            y + r * slot->columns, slot->columns);
    return TRI_OK;
}

/* ---- rope frequencies ---- */

/* The pair that turns `turns` times in `positions`, as a real number. */
static double pair_of_turns(double turns, double rotary_dim, double base, double positions) {
    return rotary_dim * log(positions / (turns * two_pi)) / (2.0 * log(base));
}

static double yarn(const tri_node *node, double f, double pair) {
    double base = tri_node_float(node, "base"), dim = (double)tri_node_int(node, "rotary_dim");
    double positions = (double)tri_node_int(node, "original_max_positions");
    double first = floor(pair_of_turns(tri_node_float(node, "beta_fast"), dim, base, positions));
    double last = ceil(pair_of_turns(tri_node_float(node, "beta_slow"), dim, base, positions));
    first = fmax(first, 0.0);
    last = fmin(last, dim - 1.0);
    if (!(last > first) && !(last < first)) last += 0.001; /* a step instead of 0 / 0 */
    double ramp = fmin(fmax((pair - first) / (last - first), 0.0), 1.0);
    return f / tri_node_float(node, "factor") * ramp + f * (1.0 - ramp);
}

static double llama3(const tri_node *node, double f) {
    double positions = (double)tri_node_int(node, "original_max_positions");
    double low = tri_node_float(node, "low_freq_factor");
    double high = tri_node_float(node, "high_freq_factor");
    double factor = tri_node_float(node, "factor"), wavelength = two_pi / f;
    if (wavelength < positions / high) return f;
    if (wavelength > positions / low) return f / factor;
    double s = (positions / wavelength - low) / (high - low);
    return (1.0 - s) * f / factor + s * f;
}

void tri_rope_frequencies(const tri_node *node, float *y, int64_t n) {
    const char *type = tri_node_string(node, "type");
    double base = tri_node_float(node, "base"), dim = (double)tri_node_int(node, "rotary_dim");
    const tri_attr *factors = tri_node_attr(node, "frequency_factors");
    for (int64_t i = 0; i < n; i++) {
        double f = pow(base, -2.0 * (double)i / dim);
        if (strcmp(type, "linear") == 0)
            f /= tri_node_float(node, "factor");
        else if (strcmp(type, "llama3") == 0)
            f = llama3(node, f);
        else if (strcmp(type, "yarn") == 0)
            f = yarn(node, f, (double)i);
        else if (strcmp(type, "longrope") == 0)
            f /= factors->fs[i];
        y[i] = (float)f;
    }
}

TRI_INTERP_RULE(rope_frequencies) {
    float *y;
    const tri_interp_slot *slot = tri_interp_result(in, node, 0, &y, err);
    if (!slot) return TRI_E_MEMORY;
    tri_rope_frequencies(node, y, slot->columns);
    return TRI_OK;
}

/* ---- derivations ---- */

/* Elements of rows [0, first) of dim 0. */
static int64_t elems_before(const tri_type *type, int64_t first) {
    int64_t n = first;
    for (int32_t i = 1; i < type->n_dims; i++)
        n *= type->dims[i];
    return n;
}

TRI_INTERP_RULE(concat_rows) {
    const tri_interp_slot *a = tri_interp_operand(in, node, "a");
    const tri_interp_slot *b = tri_interp_operand(in, node, "b");
    int64_t n_a = a->rows * a->columns, n_b = b->rows * b->columns;
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    memcpy(y, a->f, (size_t)n_a * sizeof *y);
    memcpy(y + n_a, b->f, (size_t)n_b * sizeof *y);
    return TRI_OK;
}

TRI_INTERP_RULE(slice_rows) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    const tri_type *type = &tri_node_operand(node, "x")->type;
    int64_t first = elems_before(type, tri_node_int(node, "first"));
    int64_t n = elems_before(type, tri_node_int(node, "n"));
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    memcpy(y, x->f + first, (size_t)n * sizeof *y);
    return TRI_OK;
}

TRI_INTERP_RULE(cast) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    tri_dtype dtype = node->results[0]->type.dtype;
    int64_t row_bytes = tri_dtype_row_bytes(dtype, x->columns);
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    void *row = malloc((size_t)row_bytes);
    if (!row) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int64_t r = 0; r < x->rows; r++) {
        tri_codec_encode(dtype, x->f + r * x->columns, row, x->columns);
        tri_codec_decode(dtype, row, y + r * x->columns, x->columns);
    }
    free(row);
    return TRI_OK;
}

static float group_scale(const float *x, int64_t n, float largest) {
    float max = 0.0f;
    for (int64_t i = 0; i < n; i++)
        max = fmaxf(max, fabsf(x[i]));
    return max / largest;
}

TRI_INTERP_RULE(quantize) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    float largest = strcmp(tri_node_string(node, "dtype"), "i4") == 0 ? 7.0f : 127.0f;
    int64_t group = tri_node_int(node, "group");
    if (group == 0) group = x->columns;
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t g = 0; g < x->rows * (x->columns / group); g++) {
        const float *from = x->f + g * group;
        float scale = group_scale(from, group, largest);
        if (node->op == TRI_OP_QUANTIZE_SCALES) {
            y[g] = scale;
            continue;
        }
        for (int64_t i = 0; i < group; i++) {
            float q = scale > 0.0f ? rintf(from[i] / scale) : 0.0f;
            y[g * group + i] = fminf(fmaxf(q, -largest), largest);
        }
    }
    return TRI_OK;
}

TRI_INTERP_RULE(same) {
    (void)err;
    tri_interp_borrow(in, node, tri_interp_operand(in, node, "x"));
    return TRI_OK;
}
