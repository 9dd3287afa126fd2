/* interp_rows.c - ops on rows: norms, element-wise ops, views.  Each element is computed in double
 * and rounded once. */
#include <math.h>
#include <string.h>

#include "graph/interp_state.h"

void tri_interp_normalise(const float *x, const float *w, int64_t rows, int64_t columns, int64_t n,
    double eps, float *y) {
    for (int64_t from = 0; from < rows * columns; from += n) {
        double squares = 0.0;
        for (int64_t i = 0; i < n; i++)
            squares += (double)x[from + i] * (double)x[from + i];
        double inverse = 1.0 / sqrt(squares / (double)n + eps);
        for (int64_t i = 0; i < n; i++)
            y[from + i] = (float)((double)x[from + i] * inverse * (double)w[i]);
    }
}

/* add_rms_norm normalises the sum as stored, rounded to float32. */
TRI_INTERP_RULE(rms_norm) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    const tri_interp_slot *r = tri_interp_operand(in, node, "r");
    const tri_interp_slot *w = tri_interp_operand(in, node, "w");
    const float *from = x->f;
    float *y, *sum;
    if (r) {
        if (!tri_interp_result(in, node, 0, &sum, err)) return TRI_E_MEMORY;
        for (int64_t i = 0; i < x->rows * x->columns; i++)
            sum[i] = x->f[i] + r->f[i];
        from = sum;
    }
    if (!tri_interp_result(in, node, r ? 1 : 0, &y, err)) return TRI_E_MEMORY;
    tri_interp_normalise(
        from, w->f, x->rows, x->columns, w->rows * w->columns, tri_node_float(node, "eps"), y);
    return TRI_OK;
}

double tri_interp_activate(const char *kind, double x) {
    if (strcmp(kind, "silu") == 0) return x / (1.0 + exp(-x));
    if (strcmp(kind, "gelu") == 0) return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
    if (strcmp(kind, "gelu_tanh") == 0)
        return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    return x > 0.0 ? x : 0.0; /* relu */
}

static double element(const tri_node *node, double a, double b) {
    switch (node->op) {
    case TRI_OP_ADD:
        return a + b;
    case TRI_OP_MUL:
        return a * b;
    case TRI_OP_AFFINE:
        return a * tri_node_float(node, "factor") + tri_node_float(node, "offset");
    case TRI_OP_SOFTCAP:
        return tri_node_float(node, "cap") * tanh(a / tri_node_float(node, "cap"));
    default:
        return tri_interp_activate(tri_node_string(node, "kind"), a);
    }
}

TRI_INTERP_RULE(elementwise) {
    const tri_interp_slot *a = &in->slots[node->operands[0]->id];
    const tri_interp_slot *b = tri_interp_operand(in, node, "b");
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t i = 0; i < a->rows * a->columns; i++)
        y[i] = (float)element(node, (double)a->f[i], b ? (double)b->f[i] : 0.0);
    return TRI_OK;
}

TRI_INTERP_RULE(gated_activation) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    const char *kind = tri_node_string(node, "kind");
    int64_t n = x->columns / 2;
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t r = 0; r < x->rows; r++) {
        const float *row = x->f + r * x->columns;
        for (int64_t c = 0; c < n; c++)
            y[r * n + c] = (float)(tri_interp_activate(kind, (double)row[c]) * (double)row[n + c]);
    }
    return TRI_OK;
}

TRI_INTERP_RULE(columns) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    int64_t first = tri_node_int(node, "first"), n = tri_node_int(node, "n");
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t r = 0; r < x->rows; r++)
        memcpy(y + r * n, x->f + r * x->columns + first, (size_t)n * sizeof *y);
    return TRI_OK;
}

TRI_INTERP_RULE(select_rows) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    const tri_interp_slot *rows = tri_interp_operand(in, node, "rows");
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t r = 0; r < rows->rows; r++)
        memcpy(y + r * x->columns, x->f + rows->i[r] * x->columns, (size_t)x->columns * sizeof *y);
    return TRI_OK;
}
