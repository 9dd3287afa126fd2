/* precision.c - in which types weights are held, how activations enter linears, what caches hold.
 *
 *   matrices   linear weights, embedding tables: cast to precision.weights, GGUF blocks decoded
 *   vectors    norms, biases, scales: float32, since they are small and every kernel reads them so
 *   quantised  linear weights, after the cast; not the head (its error goes straight into the
 *              logits) nor a table it is tied to
 *
 * Weights that come quantised (integers, or floats with scales) stay as they are. */
#include "passes/passes.h"

#include <string.h>

#include "base/codec.h"
#include "passes/match.h"

static bool plain_float(tri_dtype dtype) {
    const tri_dtype_info *info = tri_dtype_get(dtype);
    return info->is_float && !info->is_block;
}

static tri_value *cast(tri_graph *g, tri_value *x, tri_dtype dtype) {
    if (x->type.dtype == dtype) return x;
    return tri_match_constant(g, x, TRI_OP_CAST, &TRI_AS("dtype", tri_dtype_name(dtype)), 1);
}

static tri_value *cast_matrix(tri_graph *g, tri_value *x, const tri_precision *precision) {
    if (precision->weights == TRI_N_DTYPES) return x;
    if (!plain_float(x->type.dtype) && !tri_dtype_get(x->type.dtype)->is_block) return x;
    return cast(g, x, precision->weights);
}

/* The logits' linear: its result reaches an output through ops that keep rows and columns, or its
 * weight is an embedding's table too. */
static bool is_head(const tri_graph *g, const tri_node *linear) {
    const tri_node *root = tri_match_root_weight(tri_node_operand(linear, "weight"));
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_EMBEDDING && root &&
            tri_match_root_weight(tri_node_operand(node, "table")) == root)
            return true;
    }
    const tri_value *value = linear->results[0];
    for (;;) {
        for (int32_t i = 0; i < g->n_outputs; i++) {
            if (g->outputs[i].value == value) return true;
        }
        const tri_node *user = tri_match_sole_user(g, value);
        if (!user || (user->op != TRI_OP_SOFTCAP && user->op != TRI_OP_AFFINE &&
                         user->op != TRI_OP_ALL_GATHER && user->op != TRI_OP_SELECT_ROWS))
            return false;
        value = user->results[0];
    }
}

static const char *weight_name(const tri_value *constant) {
    const tri_node *root = tri_match_root_weight(constant);
    return root ? tri_node_string(root, "name") : "(derived)";
}

static tri_status quantize(
    tri_graph *g, tri_node *linear, const tri_precision *precision, tri_error *err) {
    tri_value *w = tri_node_operand(linear, "weight");
    int64_t k = w->type.dims[1];
    int64_t group = precision->weight_only == TRI_I4 ? precision->group_size : 0;
    if (!plain_float(w->type.dtype) || tri_node_operand(linear, "scales") || is_head(g, linear))
        return TRI_OK;
    if (group > 0 && k % group != 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s has %" PRId64 " columns, no multiple of group_size %" PRId64
            "; choose a group_size that divides them, or -1 for one scale a row",
            weight_name(w), k, group);
    if (precision->weight_only == TRI_I4 && k % 2 != 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s has %" PRId64 " columns, i4 needs an even number; use i8", weight_name(w), k);
    const tri_attr attrs[] = {
        TRI_AS("dtype", tri_dtype_name(precision->weight_only)), TRI_AI("group", group)};
    tri_value *q = tri_match_constant(g, w, TRI_OP_QUANTIZE, attrs, 2);
    tri_value *scales = tri_match_constant(g, w, TRI_OP_QUANTIZE_SCALES, attrs, 2);
    tri_match_set_operand(linear, "scales", scales);
    tri_match_set_operand(linear, "weight", q);
    return TRI_OK;
}

static tri_status set_activation(
    tri_graph *g, tri_node *linear, const char *asked, tri_error *err) {
    const tri_value *w = tri_node_operand(linear, "weight");
    const char *activation = asked;
    if (!activation && tri_dtype_get(w->type.dtype)->is_block)
        activation = "i8";
    else if (!activation)
        activation = w->type.dtype == TRI_F32 ? "f32" : "bf16";
    if (strcmp(activation, "i8") == 0 && w->type.dims[1] % 32 != 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s has %" PRId64 " columns, 8-bit activations come in blocks of 32; use bf16 ones",
            weight_name(w), w->type.dims[1]);
    tri_match_set_string(g, linear, "activation", activation);
    return TRI_OK;
}

static bool is_vector(const tri_node *node, int32_t slot) {
    const tri_value *value = node->operands[slot];
    if (value->type.kind != TRI_TYPE_TENSOR || !plain_float(value->type.dtype)) return false;
    return value->type.n_dims == 1 || strcmp(tri_match_slot_name(node, slot), "scales") == 0;
}

static tri_status convert(
    tri_graph *g, tri_node *node, const tri_precision *precision, tri_error *err) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        tri_value *x = node->operands[i];
        if (!x || !x->constant) continue;
        if (is_vector(node, i))
            node->operands[i] = cast(g, x, TRI_F32);
        else if ((node->op == TRI_OP_LINEAR || node->op == TRI_OP_EMBEDDING) &&
                 !tri_node_operand(node, "scales"))
            node->operands[i] = cast_matrix(g, x, precision);
    }
    if (node->op != TRI_OP_LINEAR) return TRI_OK;
    if (precision->weight_only != TRI_N_DTYPES) TRI_TRY(quantize(g, node, precision, err));
    return set_activation(g, node, precision->activation, err);
}

static tri_status check(const tri_precision *p, tri_error *err) {
    if (p->weights != TRI_F32 && p->weights != TRI_BF16 && p->weights != TRI_F16 &&
        p->weights != TRI_N_DTYPES)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "weights cannot be held as %s; f32, bf16 and f16 can be", tri_dtype_name(p->weights));
    if (p->kv != TRI_F32 && p->kv != TRI_BF16 && p->kv != TRI_F16)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "caches cannot hold %s; f32, bf16 and f16 can be",
            tri_dtype_name(p->kv));
    if (p->weight_only != TRI_I8 && p->weight_only != TRI_I4 && p->weight_only != TRI_N_DTYPES)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "weight-only quantisation to %s does not exist; i8 and i4 do",
            tri_dtype_name(p->weight_only));
    if (p->activation && strcmp(p->activation, "f32") != 0 && strcmp(p->activation, "bf16") != 0 &&
        strcmp(p->activation, "i8") != 0)
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "activation is '%s'; f32, bf16 and i8 exist", p->activation);
    if (p->group_size < 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "group_size is %" PRId32 "; it is 0 (a row) or positive", p->group_size);
    return TRI_OK;
}

tri_status tri_pass_precision(tri_graph *g, const tri_precision *precision, tri_error *err) {
    tri_status rc = check(precision, err);
    if (rc) goto done;
    g->kv_dtype = precision->kv;
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_CACHE) node->results[0]->type.dtype = precision->kv;
        bool derives = node->n_results > 0 && node->results[0]->constant;
        if (!derives) rc = convert(g, node, precision, err);
        if (rc) goto done;
    }

done:
    if (rc) {
        tri_error_context(err, "precision");
        return rc;
    }
    return tri_match_finish(g, "precision", err);
}
