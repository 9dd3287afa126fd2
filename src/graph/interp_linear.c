/* interp_linear.c - embedding and linear.
 *
 * linear: y = accumulator + sum over groups of scale * (x . w of the group) + bias, all in double,
 * rounded once; with a gate, f(y of the first half of w) * (y of the second).  activation "bf16"
 * rounds x to bf16 first, "i8" replaces it by what tri_quantize_activations makes of each block of
 * 32, scale times integer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "graph/interp_state.h"

double tri_interp_dot(const double *a, const double *b, int64_t n) {
    double lanes[8] = {0}, sum = 0.0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; k++)
            lanes[k] += a[i + k] * b[i + k];
    }
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (int k = 0; k < 8; k++)
        sum += lanes[k];
    return sum;
}

/* Scales of row n of a weight; [rows], [rows, groups] or one for all.  NULL: 1. */
static double scale_of(const tri_interp_slot *scales, int64_t rows, int64_t row, int64_t group) {
    if (!scales) return 1.0;
    int64_t n = scales->rows * scales->columns, n_groups = n / rows;
    return n_groups == 0 || n == 1 ? (double)scales->f[0]
                                   : (double)scales->f[row * n_groups + group];
}

static int64_t n_groups_of(const tri_interp_slot *scales, int64_t rows) {
    int64_t n = scales ? scales->rows * scales->columns / rows : 1;
    return n > 0 ? n : 1;
}

TRI_INTERP_RULE(embedding) {
    const tri_interp_slot *tokens = tri_interp_operand(in, node, "tokens");
    const tri_interp_slot *table = tri_interp_operand(in, node, "table");
    const tri_interp_slot *scales = tri_interp_operand(in, node, "scales");
    int64_t first = tri_node_int(node, "first"), columns = table->columns;
    int64_t group = columns / n_groups_of(scales, table->rows);
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t t = 0; t < tokens->rows; t++) {
        int64_t row = tokens->i[t] - first;
        if (tokens->i[t] < 0 || row < 0 || row >= table->rows) continue;
        for (int64_t c = 0; c < columns; c++)
            y[t * columns + c] = (float)(scale_of(scales, table->rows, row, c / group) *
                                         (double)table->f[row * columns + c]);
    }
    return TRI_OK;
}

/* One row of x as it enters the product. */
static void enter(const char *activation, const float *x, double *out, int64_t n) {
    if (strcmp(activation, "i8") == 0) {
        for (int64_t b = 0; b < n; b += 32) {
            int8_t q[32];
            float scale;
            tri_quantize_activations(x + b, q, &scale, 32);
            for (int i = 0; i < 32; i++)
                out[b + i] = (double)scale * q[i];
        }
        return;
    }
    bool bf16 = strcmp(activation, "bf16") == 0;
    for (int64_t i = 0; i < n; i++)
        out[i] = (double)(bf16 ? tri_bf16_to_f32(tri_f32_to_bf16(x[i])) : x[i]);
}

/* f(sums[:, :n]) * sums[:, n:] */
static void apply_gate(const char *kind, const double *sums, int64_t rows, int64_t n, float *y) {
    for (int64_t t = 0; t < rows; t++) {
        const double *row = sums + t * 2 * n;
        for (int64_t i = 0; i < n; i++)
            y[t * n + i] = (float)(tri_interp_activate(kind, row[i]) * row[n + i]);
    }
}

/* y = sum * norm, and the sums of squares in the first part. */
static tri_status leave_norm(tri_interp *in, const tri_node *node, const float *sum, int64_t rows,
    int64_t n, tri_error *err) {
    const float *norm = tri_interp_operand(in, node, "norm")->f;
    int64_t n_parts = tri_node_int(node, "n_parts");
    float *y, *parts;
    if (!tri_interp_result(in, node, 1, &y, err) || !tri_interp_result(in, node, 2, &parts, err))
        return TRI_E_MEMORY;
    for (int64_t t = 0; t < rows; t++) {
        double squares = 0.0;
        for (int64_t i = t * n; i < (t + 1) * n; i++) {
            y[i] = (float)((double)sum[i] * (double)norm[i % n]);
            squares += (double)sum[i] * (double)sum[i];
        }
        for (int64_t p = 0; p < n_parts; p++)
            parts[t * n_parts + p] = p == 0 ? (float)squares : 0.0f;
    }
    return TRI_OK;
}

/* 1 / rms of what row t of x was made of. */
static double unit_scale(const tri_node *node, const tri_interp_slot *parts, int64_t t, int64_t k) {
    double squares = 0.0;
    if (!parts) return 1.0;
    for (int64_t p = 0; p < parts->columns; p++)
        squares += (double)parts->f[t * parts->columns + p];
    return 1.0 / sqrt(squares / (double)k + tri_node_float(node, "eps"));
}

/* The sums [T, N] of a linear, bias and accumulator in them. */
static tri_status sum_all(tri_interp *in, const tri_node *node, double *sums, tri_error *err) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    const tri_interp_slot *w = tri_interp_operand(in, node, "weight");
    const tri_interp_slot *bias = tri_interp_operand(in, node, "bias");
    const tri_interp_slot *accumulator = tri_interp_operand(in, node, "accumulator");
    const tri_interp_slot *scales = tri_interp_operand(in, node, "scales");
    const tri_interp_slot *parts = tri_interp_operand(in, node, "parts");
    const char *activation = tri_node_string(node, "activation");
    int64_t n_in = x->columns, n_out = w->rows;
    int64_t n_groups = n_groups_of(scales, n_out), group = n_in / n_groups;
    double *entered = malloc((size_t)(x->rows + 1) * (size_t)n_in * sizeof *entered);
    if (!entered) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    double *row = entered + x->rows * n_in; /* of the weight */
    for (int64_t t = 0; t < x->rows; t++)
        enter(activation, x->f + t * n_in, entered + t * n_in, n_in);
    for (int64_t n = 0; n < n_out; n++) {
        for (int64_t i = 0; i < n_in; i++)
            row[i] = (double)w->f[n * n_in + i];
        for (int64_t t = 0; t < x->rows; t++) {
            double sum = 0.0;
            for (int64_t g = 0; g < n_groups; g++)
                sum += scale_of(scales, n_out, n, g) *
                       tri_interp_dot(entered + t * n_in + g * group, row + g * group, group);
            sum *= unit_scale(node, parts, t, n_in);
            if (accumulator) sum += (double)accumulator->f[t * n_out + n];
            if (bias) sum += (double)bias->f[n];
            sums[t * n_out + n] = sum;
        }
    }
    free(entered);
    return TRI_OK;
}

TRI_INTERP_RULE(linear) {
    int64_t rows = tri_interp_operand(in, node, "x")->rows;
    int64_t n = tri_interp_operand(in, node, "weight")->rows;
    bool gated = node->op == TRI_OP_LINEAR && *tri_node_string(node, "gate");
    float *y;
    double *sums = calloc((size_t)(rows * n + 1), sizeof *sums);
    if (!sums) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    tri_status rc = sum_all(in, node, sums, err);
    if (!rc && !tri_interp_result(in, node, 0, &y, err)) rc = TRI_E_MEMORY;
    if (rc) goto done;
    for (int64_t i = 0; !gated && i < rows * n; i++)
        y[i] = (float)sums[i];
    if (gated) apply_gate(tri_node_string(node, "gate"), sums, rows, n / 2, y);
    if (node->op == TRI_OP_LINEAR_NORM) rc = leave_norm(in, node, y, rows, n, err);

done:
    free(sums);
    return rc;
}
