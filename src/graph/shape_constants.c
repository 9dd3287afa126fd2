/* shape_constants.c - rules of sources, and of the ops that derive stored tensors from weights. */
#include "graph/shape.h"

#include <string.h>

#include "base/codec.h"

/* ---- sources ---- */

TRI_SHAPE_RULE(input) {
    (void)g;
    const char *name = tri_node_string(node, "name");
    if (strcmp(name, "tokens") == 0 || strcmp(name, "positions") == 0) {
        out[0] = tri_type_tensor(TRI_I32, 1, TRI_DIM_T, 0);
        return TRI_OK;
    }
    if (strcmp(name, "rows") == 0) {
        out[0] = tri_type_tensor(TRI_I32, 1, TRI_DIM_R, 0);
        return TRI_OK;
    }
    if (strcmp(name, "logits") == 0) {
        const tri_type *given = &node->results[0]->type;
        if (!tri_type_is_row(given) || given->dtype != TRI_F32 || given->n_dims != 2 ||
            given->dims[0] != TRI_DIM_R)
            return TRI_FAIL(err, TRI_E_ARGUMENT, "logits are %s, f32[R, vocabulary] is due",
                tri_type_print(given).s);
        out[0] = *given;
        return TRI_OK;
    }
    return TRI_FAIL(
        err, TRI_E_ARGUMENT, "name is '%s'; tokens, positions, rows and logits exist", name);
}

static tri_status fail_weight(const tri_graph *g, const char *name, tri_error *err) {
    enum { MAX_CANDIDATES = 512 };
    const char *names[MAX_CANDIDATES];
    size_t n = 0;
    for (int32_t i = 0; i < g->n_weights && n < MAX_CANDIDATES; i++)
        names[n++] = g->weights[i].name;
    const char *near = tri_nearest(name, names, n);
    return TRI_FAIL(err, TRI_E_NOT_FOUND,
        "'%s' is not among the %" PRId32 " declared weights%s%s%s", name, g->n_weights,
        near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

TRI_SHAPE_RULE(weight) {
    const char *name = tri_node_string(node, "name");
    int64_t index;
    if (!tri_map_get(&g->weight_index, tri_str_of(name), &index)) return fail_weight(g, name, err);
    const tri_type *type = &g->weights[index].type;
    tri_status rc = tri_type_check(type, err);
    if (!rc && type->dims[0] < 1)
        rc = TRI_FAIL(err, TRI_E_ARGUMENT, "declared as %s, a weight has static dims",
            tri_type_print(type).s);
    if (rc) {
        tri_error_context(err, "'%s'", name);
        return rc;
    }
    out[0] = *type;
    return TRI_OK;
}

static tri_status check_group(
    const tri_graph *g, const tri_node *node, bool recurrent, tri_error *err) {
    int64_t group = tri_node_int(node, "group");
    if (group < 0 || group >= g->n_groups)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "group is %" PRId64 ", the graph has %" PRId32 " groups", group, g->n_groups);
    if ((g->groups[group].kind == TRI_GROUP_RECURRENT) != recurrent)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "group %" PRId64 " is %srecurrent", group,
            recurrent ? "not " : "");
    return TRI_OK;
}

TRI_SHAPE_RULE(cache) {
    const tri_type *t = &node->results[0]->type;
    TRI_TRY(check_group(g, node, false, err));
    int64_t layer;
    TRI_TRY(tri_shape_int(node, "layer", 0, INT32_MAX, &layer, err));
    if (t->kind != TRI_TYPE_CACHE || t->n_dims != 2 || t->dims[0] < 1 || t->dims[1] < 1 ||
        t->dims[0] > TRI_MAX_HEADS || t->dims[1] > TRI_MAX_HEAD_SIZE)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "type is %s, cache<dtype, heads, head size> is due, at most %d and %d",
            tri_type_print(t).s, TRI_MAX_HEADS, TRI_MAX_HEAD_SIZE);
    if (t->dtype != TRI_F32 && t->dtype != TRI_F16 && t->dtype != TRI_BF16)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "dtype of a cache is %s; f32, f16 and bf16 can be",
            tri_dtype_name(t->dtype));
    out[0] = *t;
    return TRI_OK;
}

TRI_SHAPE_RULE(counts) {
    TRI_TRY(check_group(g, node, true, err));
    int64_t vocab;
    TRI_TRY(tri_shape_int(node, "vocab_size", 1, INT32_MAX, &vocab, err));
    out[0] = (tri_type){
        .kind = TRI_TYPE_STATE, .dtype = TRI_U16, .n_dims = 1, .dims = {vocab}, .layout = "row"};
    return TRI_OK;
}

/* Each type's parameters in the ranges where its formula has a value. */
TRI_SHAPE_RULE(rope_frequencies) {
    (void)g;
    const char *type = tri_node_string(node, "type");
    double base = tri_node_float(node, "base"), factor = tri_node_float(node, "factor");
    const tri_attr *factors = tri_node_attr(node, "frequency_factors");
    int64_t rotary_dim, original;
    bool llama3 = strcmp(type, "llama3") == 0, yarn = strcmp(type, "yarn") == 0;
    bool longrope = strcmp(type, "longrope") == 0;
    if (!llama3 && !yarn && !longrope && strcmp(type, "default") != 0 &&
        strcmp(type, "linear") != 0)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "type is '%s'; default, linear, llama3, yarn and longrope exist", type);
    TRI_TRY(tri_shape_int(node, "rotary_dim", 2, TRI_MAX_HEAD_SIZE, &rotary_dim, err));
    TRI_TRY(tri_shape_int(
        node, "original_max_positions", llama3 || yarn ? 1 : 0, INT32_MAX, &original, err));
    if (rotary_dim % 2 != 0)
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "rotary_dim is %" PRId64 ", it must be even", rotary_dim);
    if (!(base > 1.0)) return TRI_FAIL(err, TRI_E_ARGUMENT, "base is %g, it must exceed 1", base);
    if (!(factor > 0.0))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "factor is %g, it must be positive", factor);
    double low = tri_node_float(node, "low_freq_factor");
    double high = tri_node_float(node, "high_freq_factor");
    if (llama3 && !(low > 0.0 && high > low))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "low_freq_factor is %g and high_freq_factor %g; 0 < low < high is due", low, high);
    double fast = tri_node_float(node, "beta_fast"), slow = tri_node_float(node, "beta_slow");
    if (yarn && !(slow > 0.0 && fast >= slow))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "beta_slow is %g and beta_fast %g; 0 < slow <= fast is due", slow, fast);
    if (factors->n_fs != (longrope ? rotary_dim / 2 : 0))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "frequency_factors has %" PRId32 " numbers, type '%s' takes %" PRId64, factors->n_fs,
            type, longrope ? rotary_dim / 2 : 0);
    for (int32_t i = 0; i < factors->n_fs; i++) {
        if (!(factors->fs[i] > 0.0))
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "frequency_factors[%" PRId32 "] is %g, it must be positive", i, factors->fs[i]);
    }
    out[0] = tri_type_tensor(TRI_F32, 1, rotary_dim / 2, 0);
    return TRI_OK;
}

/* ---- constants only ---- */

/* Operand `name` is constant and not packed. */
static tri_status stored(
    const tri_node *node, const char *name, const tri_type **type, tri_error *err) {
    const tri_value *x = tri_node_operand(node, name);
    if (!x->constant) return TRI_SHAPE_FAIL(node, name, err, "a constant is due");
    if (!tri_type_is_row(&x->type))
        return TRI_SHAPE_FAIL(node, name, err, "layout row is due: pack comes last");
    *type = &x->type;
    return TRI_OK;
}

TRI_SHAPE_RULE(concat_rows) {
    (void)g;
    const tri_type *a, *b;
    TRI_TRY(stored(node, "a", &a, err));
    TRI_TRY(stored(node, "b", &b, err));
    bool fits = a->dtype == b->dtype && a->n_dims == b->n_dims && a->n_dims <= 2 &&
                (a->n_dims == 1 || a->dims[1] == b->dims[1]);
    if (!fits)
        return TRI_SHAPE_FAIL(node, "b", err, "but a is %s: one dtype and equal columns are due",
            tri_type_print(a).s);
    out[0] = *a;
    out[0].dims[0] = a->dims[0] + b->dims[0];
    return TRI_OK;
}

TRI_SHAPE_RULE(slice_rows) {
    (void)g;
    const tri_type *x;
    TRI_TRY(stored(node, "x", &x, err));
    int64_t first, n;
    TRI_TRY(tri_shape_int(node, "first", 0, x->dims[0] - 1, &first, err));
    TRI_TRY(tri_shape_int(node, "n", 1, x->dims[0] - first, &n, err));
    if (x->n_dims == 1 && tri_dtype_get(x->dtype)->block_elems > 1)
        return TRI_SHAPE_FAIL(node, "x", err, "a vector of blocks cannot be sliced");
    out[0] = *x;
    out[0].dims[0] = n;
    return TRI_OK;
}

TRI_SHAPE_RULE(cast) {
    (void)g;
    const tri_type *x;
    tri_dtype dtype;
    const char *name = tri_node_string(node, "dtype");
    TRI_TRY(stored(node, "x", &x, err));
    if (!tri_dtype_parse(name, &dtype) || !tri_dtype_get(dtype)->is_float ||
        tri_dtype_get(dtype)->is_block || !tri_codec_can_encode(dtype))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "dtype is '%s', a plain float type is due", name);
    if (!tri_type_is_float(x) && !tri_dtype_get(x->dtype)->is_block)
        return TRI_SHAPE_FAIL(node, "x", err, "floats or blocks are due");
    out[0] = *x;
    out[0].dtype = dtype;
    return TRI_OK;
}

static tri_status check_quantize(
    const tri_node *node, const tri_type **x, tri_dtype *dtype, int64_t *group, tri_error *err) {
    const char *name = tri_node_string(node, "dtype");
    TRI_TRY(stored(node, "x", x, err));
    if ((*x)->n_dims != 2 || (!tri_type_is_float(*x) && !tri_dtype_get((*x)->dtype)->is_block))
        return TRI_SHAPE_FAIL(node, "x", err, "a matrix of floats or blocks is due");
    if (!tri_dtype_parse(name, dtype) || (*dtype != TRI_I8 && *dtype != TRI_I4))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "dtype is '%s'; i8 and i4 can be", name);
    TRI_TRY(tri_shape_int(node, "group", 0, (*x)->dims[1], group, err));
    if (*group > 0 && (*x)->dims[1] % *group != 0)
        return TRI_SHAPE_FAIL(
            node, "x", err, "group %" PRId64 " does not divide its columns", *group);
    return TRI_OK;
}

TRI_SHAPE_RULE(quantize) {
    (void)g;
    const tri_type *x;
    tri_dtype dtype;
    int64_t group;
    TRI_TRY(check_quantize(node, &x, &dtype, &group, err));
    out[0] = *x;
    out[0].dtype = dtype;
    return TRI_OK;
}

TRI_SHAPE_RULE(quantize_scales) {
    (void)g;
    const tri_type *x;
    tri_dtype dtype;
    int64_t group;
    TRI_TRY(check_quantize(node, &x, &dtype, &group, err));
    out[0] = group == 0 ? tri_type_tensor(TRI_F32, 1, x->dims[0], 0)
                        : tri_type_tensor(TRI_F32, 2, x->dims[0], x->dims[1] / group);
    return TRI_OK;
}

TRI_SHAPE_RULE(pack) {
    (void)g;
    const tri_type *x;
    const char *layout = tri_node_string(node, "layout");
    TRI_TRY(stored(node, "x", &x, err));
    size_t n = strspn(layout, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (n == 0 || layout[n] != '\0')
        return TRI_FAIL(err, TRI_E_ARGUMENT, "layout is '%s'; names are [a-z0-9_]+", layout);
    out[0] = *x;
    out[0].layout = layout;
    return TRI_OK;
}

TRI_SHAPE_RULE(tie) {
    (void)g;
    const tri_value *x = tri_node_operand(node, "x");
    if (!x->constant) return TRI_SHAPE_FAIL(node, "x", err, "a constant is due");
    out[0] = x->type;
    return TRI_OK;
}
