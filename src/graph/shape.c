/* shape.c - the frame of shape inference, and the rules of dense and row ops.
 *
 * Run-time activations are f32 [T|R|S, C] in layout row; indices are i32 [T] or [R].  Constants
 * have static dims and any dtype.  Element-wise ops take both; a constant becomes f32. */
#include "graph/shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "graph/plugins.h"

/* ---- types ---- */

tri_type tri_type_tensor(tri_dtype dtype, int32_t n_dims, int64_t first, int64_t second) {
    return (tri_type){.kind = TRI_TYPE_TENSOR,
        .dtype = dtype,
        .n_dims = n_dims,
        .dims = {first, n_dims > 1 ? second : 0},
        .layout = "row"};
}

bool tri_type_is_row(const tri_type *type) {
    return type->kind == TRI_TYPE_TENSOR && strcmp(type->layout, "row") == 0;
}

bool tri_type_is_float(const tri_type *type) {
    const tri_dtype_info *info = tri_dtype_get(type->dtype);
    return info->is_float && !info->is_block;
}

int64_t tri_type_columns(const tri_type *type) {
    return type->n_dims > 0 ? type->dims[type->n_dims - 1] : 1;
}

bool tri_type_equal(const tri_type *a, const tri_type *b) {
    if (a->kind != b->kind || a->dtype != b->dtype || a->n_dims != b->n_dims) return false;
    for (int32_t i = 0; i < a->n_dims; i++) {
        if (a->dims[i] != b->dims[i]) return false;
    }
    return strcmp(a->layout, b->layout) == 0;
}

/* Appends at *at; what does not fit is cut off. */
static void append(tri_type_text *text, size_t *at, const char *format, ...) TRI_PRINTF(3, 4);

static void append(tri_type_text *text, size_t *at, const char *format, ...) {
    va_list args;
    if (*at >= sizeof text->s) return;
    va_start(args, format);
    int n = vsnprintf(text->s + *at, sizeof text->s - *at, format, args);
    va_end(args);
    *at += n > 0 ? (size_t)n : 0;
}

static void append_dim(tri_type_text *text, size_t *at, int64_t dim) {
    if (dim == TRI_DIM_T)
        append(text, at, "T");
    else if (dim == TRI_DIM_S)
        append(text, at, "S");
    else if (dim == TRI_DIM_R)
        append(text, at, "R");
    else
        append(text, at, "%" PRId64, dim);
}

tri_type_text tri_type_print(const tri_type *type) {
    static const char *const kinds[] = {"", "cache<", "state<"};
    tri_type_text out = {0};
    size_t at = 0;
    bool tensor = type->kind == TRI_TYPE_TENSOR;
    append(
        &out, &at, "%s%s%s", kinds[type->kind], tri_dtype_name(type->dtype), tensor ? "[" : ", ");
    for (int32_t i = 0; i < type->n_dims; i++) {
        if (i > 0) append(&out, &at, "%s", tensor ? "," : ", ");
        append_dim(&out, &at, type->dims[i]);
    }
    append(&out, &at, "%s", tensor ? "]" : ">");
    if (tensor && strcmp(type->layout, "row") != 0) append(&out, &at, "@%s", type->layout);
    return out;
}

tri_status tri_type_check(const tri_type *type, tri_error *err) {
    int64_t n = 1;
    if ((uint32_t)type->dtype >= TRI_N_DTYPES)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "dtype %d does not exist", (int)type->dtype);
    if (type->n_dims < 1 || type->n_dims > TRI_MAX_DIMS)
        return TRI_FAIL(
            err, TRI_E_LIMIT, "%" PRId32 " dims, 1 to %d can be", type->n_dims, TRI_MAX_DIMS);
    for (int32_t i = 0; i < type->n_dims; i++) {
        int64_t d = type->dims[i];
        bool run_time = d == TRI_DIM_T || d == TRI_DIM_S || d == TRI_DIM_R;
        if (run_time && (i > 0 || type->kind != TRI_TYPE_TENSOR))
            return TRI_FAIL(err, TRI_E_ARGUMENT, "%s: T, S and R can only be the first dim",
                tri_type_print(type).s);
        if (!run_time && d < 1)
            return TRI_FAIL(
                err, TRI_E_ARGUMENT, "dim %" PRId32 " is %" PRId64 ", at least 1 is due", i, d);
        if (!run_time && (__builtin_mul_overflow(n, d, &n) || n > TRI_MAX_ELEMS))
            return TRI_FAIL(
                err, TRI_E_LIMIT, "%s has more than 2^48 elements", tri_type_print(type).s);
    }
    if (type->kind == TRI_TYPE_TENSOR &&
        tri_dtype_row_bytes(type->dtype, tri_type_columns(type)) < 0 && tri_type_columns(type) > 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%s: a row is no whole number of blocks of %" PRId32,
            tri_type_print(type).s, tri_dtype_get(type->dtype)->block_elems);
    if (strlen(type->layout) > 48)
        return TRI_FAIL(err, TRI_E_LIMIT, "layout '%.48s...' has more than 48 bytes", type->layout);
    return TRI_OK;
}

/* ---- what the rules share ---- */

tri_status tri_shape_fail(
    const tri_node *node, const char *name, tri_error *err, const char *needs, ...) {
    char text[320];
    const tri_value *value = tri_node_operand(node, name);
    va_list args;
    va_start(args, needs);
    vsnprintf(text, sizeof text, needs, args);
    va_end(args);
    return TRI_FAIL(err, TRI_E_ARGUMENT, "%s is %s%s, %s", name,
        value && value->constant ? "constant " : "",
        value ? tri_type_print(&value->type).s : "left out", text);
}

tri_status tri_shape_activation(
    const tri_node *node, const char *name, const tri_type **type, tri_error *err) {
    const tri_value *value = tri_node_operand(node, name);
    const tri_type *t = &value->type;
    if (value->constant || !tri_type_is_row(t) || (t->dtype != TRI_F32 && t->dtype != TRI_BF16) ||
        t->n_dims != 2 || t->dims[0] > 0)
        return TRI_SHAPE_FAIL(
            node, name, err, "f32 or bf16 [T, columns] computed at run time is due");
    *type = t;
    return TRI_OK;
}

tri_status tri_shape_dtype(const tri_node *node, tri_type *result, tri_error *err) {
    const char *dtype = tri_node_string(node, "dtype");
    bool narrow = strcmp(dtype, "bf16") == 0;
    if (!narrow && strcmp(dtype, "f32") != 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "dtype is '%s'; f32 and bf16 can be", dtype);
    result->dtype = narrow ? TRI_BF16 : TRI_F32;
    return TRI_OK;
}

tri_status tri_shape_indices(const tri_node *node, const char *name, int64_t dim, tri_error *err) {
    const tri_type *t = &tri_node_operand(node, name)->type;
    if (!tri_type_is_row(t) || t->dtype != TRI_I32 || t->n_dims != 1 || t->dims[0] != dim) {
        tri_type due = tri_type_tensor(TRI_I32, 1, dim, 0);
        return TRI_SHAPE_FAIL(node, name, err, "%s is due", tri_type_print(&due).s);
    }
    return TRI_OK;
}

tri_status tri_shape_int(const tri_node *node, const char *attr, int64_t min, int64_t max,
    int64_t *value, tri_error *err) {
    int64_t v = tri_node_int(node, attr);
    if (v < min || v > max)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s is %" PRId64 ", it must be %" PRId64 " to %" PRId64, attr, v, min, max);
    *value = v;
    return TRI_OK;
}

static const tri_shape_rule rules[TRI_N_OPS] = {
#define TRI_OP(ENUM, name, version, rule) [TRI_OP_##ENUM] = tri_shape_##rule,
#define TRI_IN(name)
#define TRI_IN_OPTIONAL(name)
#define TRI_OUT(name)
#define TRI_ATTR_I(name, default_)
#define TRI_ATTR_F(name, default_)
#define TRI_ATTR_S(name, default_)
#define TRI_ATTR_FS(name)
#define TRI_OP_END
#include "graph/ops.def"
#include "graph/ops_undef.h"
};

tri_status tri_shape_infer(
    const tri_graph *g, const tri_node *node, tri_type types[TRI_MAX_RESULTS], tri_error *err) {
    tri_type out[TRI_MAX_RESULTS];
    for (int32_t i = 0; i < TRI_MAX_RESULTS; i++)
        out[i] = tri_type_tensor(TRI_F32, 1, 1, 0);
    tri_status rc = rules[node->op](g, node, out, err);
    for (int32_t i = 0; !rc && i < node->n_results; i++)
        rc = tri_type_check(&out[i], err);
    if (rc) {
        tri_error_context(err, "%s", node->plugin ? node->plugin : tri_op_get(node->op)->name);
        return rc;
    }
    memcpy(types, out, sizeof out);
    return TRI_OK;
}

/* ---- dense ---- */

/* Scales of a weight [n, k]: a plain float [n], [n, k / group] or, one for all, [1]. */
static tri_status check_scales(
    const tri_node *node, const char *weight_name, const tri_type *w, tri_error *err) {
    const tri_value *scales = tri_node_operand(node, "scales");
    const tri_dtype_info *info = tri_dtype_get(w->dtype);
    if (!scales) {
        if (!info->is_float && !info->is_block)
            return TRI_SHAPE_FAIL(
                node, weight_name, err, "integers need scales: the weight's scales are missing");
        return TRI_OK;
    }
    const tri_type *s = &scales->type;
    if (info->is_block)
        return TRI_SHAPE_FAIL(
            node, weight_name, err, "its blocks hold their own scales: leave scales out");
    if (!scales->constant || !tri_type_is_row(s) || !tri_type_is_float(s))
        return TRI_SHAPE_FAIL(node, "scales", err, "constant floats are due");
    bool per_row = s->n_dims == 1 && (s->dims[0] == w->dims[0] || s->dims[0] == 1);
    bool per_group = s->n_dims == 2 && s->dims[0] == w->dims[0] && w->dims[1] % s->dims[1] == 0;
    if (!per_row && !per_group)
        return TRI_SHAPE_FAIL(node, "scales", err,
            "of %s %s: [%" PRId64 "] or [%" PRId64 ", groups dividing %" PRId64 "] is due",
            weight_name, tri_type_print(w).s, w->dims[0], w->dims[0], w->dims[1]);
    return TRI_OK;
}

static tri_status matrix(
    const tri_node *node, const char *name, const tri_type **type, tri_error *err) {
    const tri_value *w = tri_node_operand(node, name);
    if (!w->constant || w->type.kind != TRI_TYPE_TENSOR || w->type.n_dims != 2)
        return TRI_SHAPE_FAIL(node, name, err, "a constant matrix [out, in] is due");
    *type = &w->type;
    return TRI_OK;
}

TRI_SHAPE_RULE(embedding) {
    (void)g;
    const tri_type *table;
    TRI_TRY(tri_shape_indices(node, "tokens", TRI_DIM_T, err));
    TRI_TRY(matrix(node, "table", &table, err));
    TRI_TRY(check_scales(node, "table", table, err));
    int64_t first;
    TRI_TRY(tri_shape_int(node, "first", 0, INT32_MAX, &first, err));
    out[0] = tri_type_tensor(TRI_F32, 2, TRI_DIM_T, table->dims[1]);
    return TRI_OK;
}

static tri_status check_gate(const tri_node *node, const tri_type *w, tri_error *err) {
    const char *gate = tri_node_string(node, "gate");
    if (!tri_activation_known(gate))
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "gate is '%s'; silu, gelu, gelu_tanh and relu exist", gate);
    if (w->dims[0] % 2 != 0)
        return TRI_SHAPE_FAIL(node, "weight", err, "with a gate an even number of rows is due");
    if (tri_node_operand(node, "accumulator"))
        return TRI_SHAPE_FAIL(node, "accumulator", err, "with a gate there is none");
    return TRI_OK;
}

static tri_status check_parts(const tri_node *node, const tri_type *x, tri_error *err) {
    const tri_type *parts;
    if (!tri_node_operand(node, "parts")) return TRI_OK;
    TRI_TRY(tri_shape_activation(node, "parts", &parts, err));
    if (parts->dtype != TRI_F32 || parts->dims[0] != x->dims[0])
        return TRI_SHAPE_FAIL(
            node, "parts", err, "f32 of as many rows as x, %s, is due", tri_type_print(x).s);
    return TRI_OK;
}

/* What linear and linear_norm share: the sums' type. */
static tri_status infer_linear(const tri_node *node, tri_type *out, tri_error *err) {
    const tri_type *x, *w;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    TRI_TRY(matrix(node, "weight", &w, err));
    TRI_TRY(check_scales(node, "weight", w, err));
    if (w->dims[1] != x->dims[1])
        return TRI_SHAPE_FAIL(node, "weight", err, "which takes %" PRId64 " columns, but x is %s",
            w->dims[1], tri_type_print(x).s);
    const char *activation = tri_node_string(node, "activation");
    if (strcmp(activation, "f32") != 0 && strcmp(activation, "bf16") != 0 &&
        strcmp(activation, "i8") != 0)
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "activation is '%s'; f32, bf16 and i8 exist", activation);
    if (strcmp(activation, "i8") == 0 && x->dims[1] % 32 != 0)
        return TRI_SHAPE_FAIL(
            node, "x", err, "activation=\"i8\" needs a multiple of 32 columns (its block)");
    const tri_value *bias = tri_node_operand(node, "bias");
    if (bias &&
        (!bias->constant || !tri_type_is_row(&bias->type) || !tri_type_is_float(&bias->type) ||
            bias->type.n_dims != 1 || bias->type.dims[0] != w->dims[0]))
        return TRI_SHAPE_FAIL(node, "bias", err,
            "a constant float [%" PRId64 "] is due for weight %s", w->dims[0], tri_type_print(w).s);
    bool gated = node->op == TRI_OP_LINEAR && *tri_node_string(node, "gate");
    if (gated) TRI_TRY(check_gate(node, w, err));
    *out = tri_type_tensor(TRI_F32, 2, x->dims[0], gated ? w->dims[0] / 2 : w->dims[0]);
    if (tri_node_operand(node, "accumulator")) {
        const tri_type *accumulator;
        TRI_TRY(tri_shape_activation(node, "accumulator", &accumulator, err));
        if (!tri_type_equal(accumulator, out))
            return TRI_SHAPE_FAIL(node, "accumulator", err, "the sum is %s", tri_type_print(out).s);
    }
    return TRI_OK;
}

TRI_SHAPE_RULE(linear) {
    (void)g;
    const tri_type *x;
    TRI_TRY(infer_linear(node, &out[0], err));
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    TRI_TRY(check_parts(node, x, err));
    return tri_shape_dtype(node, &out[0], err);
}

TRI_SHAPE_RULE(linear_norm) {
    (void)g;
    int64_t n_parts;
    TRI_TRY(infer_linear(node, &out[0], err));
    const tri_value *norm = tri_node_operand(node, "norm");
    if (!norm) return TRI_FAIL(err, TRI_E_ARGUMENT, "linear_norm: norm is left out");
    if (!norm->constant || !tri_type_is_row(&norm->type) || !tri_type_is_float(&norm->type) ||
        norm->type.n_dims != 1 || norm->type.dims[0] != out[0].dims[1])
        return TRI_SHAPE_FAIL(
            node, "norm", err, "a constant float [%" PRId64 "] is due", out[0].dims[1]);
    TRI_TRY(tri_shape_int(node, "n_parts", 1, 4096, &n_parts, err));
    out[1] = out[0];
    out[1].dtype = TRI_BF16;
    out[2] = tri_type_tensor(TRI_F32, 2, out[0].dims[0], n_parts);
    return TRI_OK;
}

/* ---- rows ---- */

static tri_status check_norm(const tri_node *node, const tri_type *x, tri_error *err) {
    const tri_value *w = tri_node_operand(node, "w");
    if (!w->constant || !tri_type_is_row(&w->type) || !tri_type_is_float(&w->type) ||
        w->type.n_dims != 1)
        return TRI_SHAPE_FAIL(node, "w", err, "a constant float vector is due");
    if (x->dims[1] % w->type.dims[0] != 0)
        return TRI_SHAPE_FAIL(node, "w", err, "whose length does not divide the columns of x %s",
            tri_type_print(x).s);
    if (tri_node_float(node, "eps") < 0.0)
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "eps is %g, it cannot be negative", tri_node_float(node, "eps"));
    return TRI_OK;
}

TRI_SHAPE_RULE(rms_norm) {
    (void)g;
    const tri_type *x;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    TRI_TRY(check_norm(node, x, err));
    out[0] = *x;
    return tri_shape_dtype(node, &out[0], err);
}

TRI_SHAPE_RULE(add_rms_norm) {
    (void)g;
    const tri_type *x, *r;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    TRI_TRY(tri_shape_activation(node, "r", &r, err));
    if (!tri_type_equal(x, r))
        return TRI_SHAPE_FAIL(node, "r", err, "but x is %s", tri_type_print(x).s);
    TRI_TRY(check_norm(node, x, err));
    out[0] = out[1] = *x;
    return tri_shape_dtype(node, &out[1], err);
}

/* A run-time activation or a constant of plain floats; *result is its type as f32. */
static tri_status elementwise(
    const tri_node *node, const char *name, tri_type *result, tri_error *err) {
    const tri_value *x = tri_node_operand(node, name);
    const tri_type *activation;
    if (!x->constant) TRI_TRY(tri_shape_activation(node, name, &activation, err));
    if (!tri_type_is_row(&x->type) || !tri_type_is_float(&x->type))
        return TRI_SHAPE_FAIL(node, name, err, "floats in layout row are due");
    *result = x->type;
    result->dtype = TRI_F32;
    return TRI_OK;
}

TRI_SHAPE_RULE(binary) {
    (void)g;
    tri_type b;
    TRI_TRY(elementwise(node, "a", &out[0], err));
    TRI_TRY(elementwise(node, "b", &b, err));
    if (!tri_type_equal(&out[0], &b))
        return TRI_SHAPE_FAIL(
            node, "b", err, "but a is %s: both must have one shape", tri_type_print(&out[0]).s);
    return TRI_OK;
}

bool tri_activation_known(const char *kind) {
    return strcmp(kind, "silu") == 0 || strcmp(kind, "gelu") == 0 ||
           strcmp(kind, "gelu_tanh") == 0 || strcmp(kind, "relu") == 0;
}

static tri_status check_kind(const tri_node *node, tri_error *err) {
    const char *kind = tri_node_string(node, "kind");
    if (!tri_activation_known(kind))
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "kind is '%s'; silu, gelu, gelu_tanh and relu exist", kind);
    return TRI_OK;
}

TRI_SHAPE_RULE(unary) {
    (void)g;
    const char *operand = tri_op_get(node->op)->operand_names[0];
    if (node->op == TRI_OP_ALL_REDUCE || node->op == TRI_OP_MASK) {
        const tri_type *x;
        TRI_TRY(tri_shape_activation(node, operand, &x, err));
        out[0] = *x;
        return TRI_OK;
    }
    if (node->op == TRI_OP_ACTIVATION) TRI_TRY(check_kind(node, err));
    if (node->op == TRI_OP_SOFTCAP && !(tri_node_float(node, "cap") > 0.0))
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "cap is %g, it must be positive", tri_node_float(node, "cap"));
    return elementwise(node, operand, &out[0], err);
}

TRI_SHAPE_RULE(gated) {
    (void)g;
    const tri_type *x;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    TRI_TRY(check_kind(node, err));
    if (x->dims[1] % 2 != 0)
        return TRI_SHAPE_FAIL(node, "x", err, "an even number of columns is due");
    out[0] = *x;
    out[0].dims[1] = x->dims[1] / 2;
    return tri_shape_dtype(node, &out[0], err);
}

TRI_SHAPE_RULE(columns) {
    (void)g;
    const tri_value *x = tri_node_operand(node, "x");
    const tri_type *activation;
    if (!x->constant) TRI_TRY(tri_shape_activation(node, "x", &activation, err));
    if (!tri_type_is_row(&x->type))
        return TRI_SHAPE_FAIL(node, "x", err, "layout row is due: slice before packing");
    int64_t width = tri_type_columns(&x->type), first, n;
    TRI_TRY(tri_shape_int(node, "first", 0, width - 1, &first, err));
    TRI_TRY(tri_shape_int(node, "n", 1, width - first, &n, err));
    int64_t block = tri_dtype_get(x->type.dtype)->block_elems;
    if (first % block != 0 || n % block != 0)
        return TRI_SHAPE_FAIL(node, "x", err,
            "columns [%" PRId64 ", %" PRId64 ") would cut one of its blocks of %" PRId64, first,
            first + n, block);
    out[0] = x->type;
    out[0].dims[x->type.n_dims - 1] = n;
    return TRI_OK;
}

TRI_SHAPE_RULE(select_rows) {
    (void)g;
    const tri_type *x;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    if (x->dims[0] != TRI_DIM_T) return TRI_SHAPE_FAIL(node, "x", err, "[T, columns] is due");
    TRI_TRY(tri_shape_indices(node, "rows", TRI_DIM_R, err));
    out[0] = *x;
    out[0].dims[0] = TRI_DIM_R;
    return TRI_OK;
}

/* ---- plugins ---- */

TRI_SHAPE_RULE(plugin) {
    const tri_plugin_op *op = tri_plugin_registry_find_op(g->plugins, node->plugin);
    tri_plugin_type inputs[TRI_MAX_OPERANDS], outputs[TRI_MAX_RESULTS];
    tri_plugin_field fields[TRI_MAX_ATTRS];
    if (!op)
        return TRI_FAIL(
            err, TRI_E_NOT_FOUND, "no plugin with this op is loaded; name it: --plugin");
    for (int32_t i = 0; i < node->n_operands; i++)
        inputs[i] = tri_plugin_type_of(node->operands[i]);
    for (int32_t i = 0; i < TRI_MAX_RESULTS; i++)
        outputs[i] = (tri_plugin_type){.layout = "row"};
    tri_plugin_fields_of(node, fields);
    if (op->infer(inputs, node->n_operands, fields, node->n_attrs, outputs) != 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "the plugin refused these operands or fields");
    for (int32_t i = 0; i < node->n_results; i++) {
        const tri_plugin_type *o = &outputs[i];
        if (o->n_dims < 1 || o->n_dims > TRI_MAX_DIMS)
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "the plugin inferred %" PRId32 " dims for result %" PRId32, o->n_dims, i);
        if (o->layout && strcmp(o->layout, "row") != 0)
            return TRI_FAIL(err, TRI_E_UNSUPPORTED,
                "the plugin gives result %" PRId32 " layout '%s'; results are in layout row", i,
                o->layout);
        out[i] = (tri_type){.kind = TRI_TYPE_TENSOR,
            .dtype = (tri_dtype)o->dtype,
            .n_dims = o->n_dims,
            .layout = "row"};
        memcpy(out[i].dims, o->dims, sizeof out[i].dims);
    }
    return TRI_OK;
}
