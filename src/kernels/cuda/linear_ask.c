#include "kernels/cuda/linear_ask.h"

#include <string.h>

#include "base/codec.h"

enum {
    MAX_DIM = 1 << 30,
    CHUNK_ROWS = 1024,
    CHUNK_BYTES = 256 << 20, /* of float32 sums in workspace */
    CHUNK_UNIT = 64
};

static bool readable_weight(int32_t dtype) {
    return dtype == TRI_F32 || dtype == TRI_BF16 || dtype == TRI_F16 || dtype == TRI_F8_E4M3 ||
           dtype == TRI_I8 || dtype == TRI_I4;
}

static int32_t read_weight(
    const tri_plugin_type *w, tri_cuda_linear_ask *ask, char *reason, size_t reason_bytes) {
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)w->dtype);
    if (!tri_type_has_layout(w, "row"))
        return tri_reject(reason, reason_bytes, "the weight is stored as %s", w->layout);
    if (!readable_weight(w->dtype))
        return tri_reject(reason, reason_bytes, "%s weights cannot be read", info->name);
    if (w->n_dims != 2 || w->dims[0] > MAX_DIM || w->dims[1] > MAX_DIM)
        return tri_reject(reason, reason_bytes, "the weight is no matrix of at most 2^30 rows");
    if (w->dtype == TRI_I4 && w->dims[1] % 2) {
        return tri_reject(reason, reason_bytes, "i4 rows of %lld columns: an even number is due",
            (long long)w->dims[1]);
    }
    ask->weight_dtype = w->dtype;
    ask->w_rows = w->dims[0];
    ask->k = w->dims[1];
    return 0;
}

static int32_t read_scales(
    const tri_plugin_type *scales, tri_cuda_linear_ask *ask, char *reason, size_t reason_bytes) {
    bool integer = ask->weight_dtype == TRI_I8 || ask->weight_dtype == TRI_I4;
    if (!scales)
        return integer ? tri_reject(reason, reason_bytes, "integer weights need scales") : 0;
    if (scales->dtype != TRI_F32 || !tri_type_has_layout(scales, "row"))
        return tri_reject(reason, reason_bytes, "scales are no float32 rows");
    ask->n_groups = scales->n_dims == 2 ? scales->dims[1] : 1;
    ask->one_scale = scales->n_dims == 1 && scales->dims[0] == 1 && ask->w_rows > 1;
    if (ask->n_groups < 1 || ask->k % ask->n_groups)
        return tri_reject(reason, reason_bytes, "scales do not fit the weight");
    return 0;
}

static bool is_float_row(const tri_plugin_type *type, bool bf16_too) {
    return !type || (tri_type_has_layout(type, "row") &&
                        (type->dtype == TRI_F32 || (bf16_too && type->dtype == TRI_BF16)));
}

static int32_t gate_of(const char *name) {
    static const char *const names[] = {"", "silu", "gelu", "gelu_tanh", "relu"};
    for (int32_t i = 0; i < 5; i++) {
        if (strcmp(name, names[i]) == 0) return i;
    }
    return -1;
}

/* Parts that come, or norm and parts that go. */
static int32_t read_norm(
    const tri_plugin_desc *desc, tri_cuda_linear_ask *ask, char *reason, size_t reason_bytes) {
    const tri_plugin_type *last = tri_desc_input(desc, TRI_LINEAR_PARTS);
    ask->norm_out = strcmp(desc->op, "linear_norm") == 0;
    ask->norm_in = !ask->norm_out && last;
    ask->eps = (float)tri_desc_float(desc, "eps", 0.0);
    if (!is_float_row(last, false))
        return tri_reject(reason, reason_bytes, "norm or parts are no float32 rows");
    if (ask->norm_in) ask->n_parts = (int32_t)last->dims[1];
    if (ask->norm_out) ask->n_parts = (int32_t)desc->outputs[TRI_LINEAR_LEFT_PARTS].dims[1];
    return 0;
}

int32_t tri_cuda_linear_read(
    const tri_plugin_desc *desc, tri_cuda_linear_ask *ask, char *reason, size_t reason_bytes) {
    const tri_plugin_type *x = tri_desc_input(desc, TRI_LINEAR_X), *y = &desc->outputs[0];
    const char *activation = tri_desc_string(desc, "activation", "f32");
    int32_t gate = gate_of(tri_desc_string(desc, "gate", ""));
    tri_cuda_linear_ask a = {.first_dim = y->dims[0],
        .max_rows = tri_desc_max_rows(desc, y),
        .bf16_x = x->dtype == TRI_BF16,
        .bf16_out = y->dtype == TRI_BF16,
        .bias = tri_desc_input(desc, TRI_LINEAR_BIAS) != NULL,
        .add = tri_desc_input(desc, TRI_LINEAR_ACCUMULATOR) != NULL};
    if (read_weight(&desc->inputs[TRI_LINEAR_WEIGHT], &a, reason, reason_bytes) ||
        read_scales(tri_desc_input(desc, TRI_LINEAR_SCALES), &a, reason, reason_bytes) ||
        read_norm(desc, &a, reason, reason_bytes))
        return 1;
    if (!is_float_row(x, true) || !is_float_row(y, true) ||
        !is_float_row(tri_desc_input(desc, TRI_LINEAR_BIAS), false) ||
        !is_float_row(tri_desc_input(desc, TRI_LINEAR_ACCUMULATOR), false))
        return tri_reject(reason, reason_bytes, "an operand is no float32 row");
    if (strcmp(activation, "f32") != 0 && strcmp(activation, "bf16") != 0)
        return tri_reject(
            reason, reason_bytes, "%s activations; f32 and bf16 are read", activation);
    if (gate < 0) return tri_reject(reason, reason_bytes, "unknown gate");
    a.rounds = strcmp(activation, "bf16") == 0;
    a.gate = (tri_cuda_gate)gate;
    a.n = a.gate ? a.w_rows / 2 : a.w_rows;
    *ask = a;
    return 0;
}

void tri_cuda_linear_cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost) {
    const tri_plugin_type *w = &desc->inputs[TRI_LINEAR_WEIGHT], *y = &desc->outputs[0];
    const tri_plugin_type *scales = tri_desc_input(desc, TRI_LINEAR_SCALES);
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)w->dtype);
    double m = (double)tri_extent_rows(extents, y->dims[0]), n = (double)tri_plugin_columns(y);
    double rows = (double)w->dims[0], k = (double)w->dims[1];
    double x_bytes = desc->inputs[TRI_LINEAR_X].dtype == TRI_BF16 ? 2 : 4;
    double y_bytes = y->dtype == TRI_BF16 ? 2 : 4;
    cost->bytes =
        rows * k * info->block_bytes / info->block_elems + m * (x_bytes * k + y_bytes * n);
    if (scales)
        cost->bytes +=
            4.0 * (double)scales->dims[0] * (scales->n_dims == 2 ? (double)scales->dims[1] : 1.0);
    if (tri_desc_input(desc, TRI_LINEAR_ACCUMULATOR)) cost->bytes += 4 * m * n;
    cost->flops = 2 * m * rows * k;
}

int64_t tri_cuda_linear_chunk(const tri_cuda_linear_ask *ask) {
    int64_t rows = CHUNK_BYTES / (ask->w_rows * (int64_t)sizeof(float)) / CHUNK_UNIT * CHUNK_UNIT;
    if (rows > CHUNK_ROWS) rows = CHUNK_ROWS;
    if (rows < CHUNK_UNIT) rows = CHUNK_UNIT;
    return rows;
}
