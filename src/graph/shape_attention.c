/* shape_attention.c - rules of attention, collectives and sampling. */
#include "graph/shape.h"

/* ---- attention ---- */

static tri_status token_rows(
    const tri_node *node, const char *name, const tri_type **x, tri_error *err) {
    TRI_TRY(tri_shape_activation(node, name, x, err));
    if ((*x)->dims[0] != TRI_DIM_T) return TRI_SHAPE_FAIL(node, name, err, "[T, columns] is due");
    return TRI_OK;
}

static tri_status whole_heads(
    const tri_node *node, const char *name, const tri_type *x, int64_t head_size, tri_error *err) {
    if (x->dims[1] % head_size != 0)
        return TRI_SHAPE_FAIL(
            node, name, err, "no whole number of heads of size %" PRId64, head_size);
    return TRI_OK;
}

static tri_status check_rope(const tri_node *node, int64_t *head_size, tri_error *err) {
    const tri_value *f = tri_node_operand(node, "frequencies");
    int64_t interleaved;
    TRI_TRY(tri_shape_indices(node, "positions", TRI_DIM_T, err));
    TRI_TRY(tri_shape_int(node, "head_size", 2, TRI_MAX_HEAD_SIZE, head_size, err));
    TRI_TRY(tri_shape_int(node, "interleaved", 0, 1, &interleaved, err));
    if (!f->constant || !tri_type_is_row(&f->type) || f->type.dtype != TRI_F32 ||
        f->type.n_dims != 1 || 2 * f->type.dims[0] > *head_size)
        return TRI_SHAPE_FAIL(node, "frequencies", err,
            "constant f32, one for each rotated pair of a head of size %" PRId64 ", is due",
            *head_size);
    return TRI_OK;
}

TRI_SHAPE_RULE(rope) {
    (void)g;
    const tri_type *x;
    int64_t head_size;
    TRI_TRY(token_rows(node, "x", &x, err));
    TRI_TRY(check_rope(node, &head_size, err));
    TRI_TRY(whole_heads(node, "x", x, head_size, err));
    out[0] = *x;
    return TRI_OK;
}

static tri_status cache_operand(const tri_node *node, const tri_type **cache, tri_error *err) {
    const tri_value *value = tri_node_operand(node, "cache");
    if (value->type.kind != TRI_TYPE_CACHE)
        return TRI_SHAPE_FAIL(node, "cache", err, "a cache is due");
    *cache = &value->type;
    return TRI_OK;
}

/* k and v hold the cache's heads. */
static tri_status check_write(const tri_node *node, const tri_type **cache, tri_error *err) {
    TRI_TRY(cache_operand(node, cache, err));
    static const char *const names[] = {"k", "v"};
    for (int i = 0; i < 2; i++) {
        const tri_type *x;
        TRI_TRY(token_rows(node, names[i], &x, err));
        if (x->dims[1] != (*cache)->dims[0] * (*cache)->dims[1])
            return TRI_SHAPE_FAIL(node, names[i], err, "%s holds %" PRId64 " columns a token",
                tri_type_print(*cache).s, (*cache)->dims[0] * (*cache)->dims[1]);
    }
    return TRI_OK;
}

TRI_SHAPE_RULE(kv_write) {
    (void)g;
    const tri_type *cache;
    TRI_TRY(check_write(node, &cache, err));
    out[0] = *cache;
    return TRI_OK;
}

static tri_status check_head_norm(
    const tri_node *node, const char *name, int64_t head_size, tri_error *err) {
    const tri_value *w = tri_node_operand(node, name);
    if (w && (!w->constant || !tri_type_is_row(&w->type) || !tri_type_is_float(&w->type) ||
                 w->type.n_dims != 1 || w->type.dims[0] != head_size))
        return TRI_SHAPE_FAIL(
            node, name, err, "a constant float [%" PRId64 "] (head_size) is due", head_size);
    return TRI_OK;
}

TRI_SHAPE_RULE(rope_kv_write) {
    (void)g;
    const tri_type *cache, *q;
    int64_t head_size;
    TRI_TRY(token_rows(node, "q", &q, err));
    TRI_TRY(check_write(node, &cache, err));
    TRI_TRY(check_rope(node, &head_size, err));
    if (cache->dims[1] != head_size)
        return TRI_SHAPE_FAIL(node, "cache", err, "but head_size is %" PRId64, head_size);
    TRI_TRY(whole_heads(node, "q", q, head_size, err));
    TRI_TRY(check_head_norm(node, "q_norm", head_size, err));
    TRI_TRY(check_head_norm(node, "k_norm", head_size, err));
    out[0] = *q;
    out[1] = *cache;
    return tri_shape_dtype(node, &out[0], err);
}

TRI_SHAPE_RULE(attention) {
    (void)g;
    const tri_type *cache, *q;
    int64_t n_heads, window;
    TRI_TRY(token_rows(node, "q", &q, err));
    TRI_TRY(cache_operand(node, &cache, err));
    TRI_TRY(tri_shape_int(node, "n_heads", 1, TRI_MAX_HEADS, &n_heads, err));
    TRI_TRY(tri_shape_int(node, "window", 0, INT32_MAX, &window, err));
    if (q->dims[1] != n_heads * cache->dims[1])
        return TRI_SHAPE_FAIL(node, "q", err,
            "%" PRId64 " heads of %" PRId64 " (n_heads, and the size of %s) are %" PRId64
            " columns",
            n_heads, cache->dims[1], tri_type_print(cache).s, n_heads * cache->dims[1]);
    if (n_heads % cache->dims[0] != 0)
        return TRI_SHAPE_FAIL(
            node, "cache", err, "whose heads do not divide n_heads=%" PRId64, n_heads);
    if (tri_node_float(node, "scale") < 0.0 || tri_node_float(node, "softcap") < 0.0)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "scale is %g and softcap %g, neither can be negative",
            tri_node_float(node, "scale"), tri_node_float(node, "softcap"));
    out[0] = *q;
    return tri_shape_dtype(node, &out[0], err);
}

/* ---- collectives ---- */

TRI_SHAPE_RULE(all_gather) {
    (void)g;
    const tri_type *x;
    int64_t n_ranks, n;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    TRI_TRY(tri_shape_int(node, "n_ranks", 1, 65536, &n_ranks, err));
    if (x->dims[1] > TRI_MAX_ELEMS / n_ranks)
        return TRI_SHAPE_FAIL(node, "x", err, "too wide for %" PRId64 " ranks", n_ranks);
    TRI_TRY(tri_shape_int(node, "n", 0, n_ranks * x->dims[1], &n, err));
    out[0] = *x;
    out[0].dims[1] = n > 0 ? n : n_ranks * x->dims[1];
    return TRI_OK;
}

TRI_SHAPE_RULE(send) {
    (void)g;
    (void)out;
    const tri_type *x;
    int64_t to;
    TRI_TRY(tri_shape_activation(node, "x", &x, err));
    return tri_shape_int(node, "to", 0, INT32_MAX, &to, err);
}

TRI_SHAPE_RULE(receive) {
    (void)g;
    int64_t from, columns;
    TRI_TRY(tri_shape_int(node, "from", 0, INT32_MAX, &from, err));
    TRI_TRY(tri_shape_int(node, "columns", 1, INT32_MAX, &columns, err));
    out[0] = tri_type_tensor(TRI_F32, 2, TRI_DIM_T, columns);
    return TRI_OK;
}

/* ---- sampling ---- */

static tri_status logits_operand(const tri_node *node, const tri_type **logits, tri_error *err) {
    TRI_TRY(tri_shape_activation(node, "logits", logits, err));
    if ((*logits)->dims[0] != TRI_DIM_R)
        return TRI_SHAPE_FAIL(node, "logits", err, "f32[R, vocabulary] is due");
    return TRI_OK;
}

static tri_status counts_operand(const tri_node *node, const tri_type **counts, tri_error *err) {
    const tri_value *value = tri_node_operand(node, "counts");
    if (value->type.kind != TRI_TYPE_STATE || value->type.dtype != TRI_U16)
        return TRI_SHAPE_FAIL(node, "counts", err, "state<u16, vocabulary> is due");
    *counts = &value->type;
    return TRI_OK;
}

TRI_SHAPE_RULE(count_tokens) {
    (void)g;
    const tri_type *counts;
    TRI_TRY(tri_shape_indices(node, "tokens", TRI_DIM_T, err));
    TRI_TRY(counts_operand(node, &counts, err));
    out[0] = *counts;
    return TRI_OK;
}

static tri_status counted_logits(const tri_node *node, const tri_type **logits, tri_error *err) {
    const tri_type *counts;
    TRI_TRY(logits_operand(node, logits, err));
    TRI_TRY(counts_operand(node, &counts, err));
    if (counts->dims[0] != (*logits)->dims[1])
        return TRI_SHAPE_FAIL(node, "counts", err, "but logits are %s", tri_type_print(*logits).s);
    return TRI_OK;
}

TRI_SHAPE_RULE(penalties) {
    (void)g;
    const tri_type *logits;
    TRI_TRY(counted_logits(node, &logits, err));
    out[0] = *logits;
    return TRI_OK;
}

TRI_SHAPE_RULE(sample) {
    (void)g;
    const tri_type *logits;
    TRI_TRY(tri_node_operand(node, "counts") ? counted_logits(node, &logits, err)
                                             : logits_operand(node, &logits, err));
    int64_t masked = tri_node_int(node, "masked");
    if (masked != 0 && masked != 1)
        return TRI_FAIL(err, TRI_E_FORMAT, "masked is %" PRId64 ", 0 or 1 is due", masked);
    out[0] = tri_type_tensor(TRI_I32, 1, TRI_DIM_R, 0);
    out[1] = tri_type_tensor(TRI_F32, 1, TRI_DIM_R, 0);
    return TRI_OK;
}
