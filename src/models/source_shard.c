/* source_shard.c - which rows and columns of a weight a tensor-parallel rank holds. */
#include <string.h>

#include "models/source_internal.h"

static tri_status uneven(
    const char *module, const char *what, int64_t n, int32_t tp, tri_error *err) {
    return TRI_FAIL(err, TRI_E_LIMIT,
        "%s: %" PRId64 " %s cannot be cut evenly for %" PRId32
        " ranks: choose a tp_size that divides it",
        module, n, what, tp);
}

static void add_range(tri_shard *shard, int64_t first, int64_t n) {
    shard->first[shard->n_ranges] = first;
    shard->n[shard->n_ranges++] = n;
    shard->n_rows += n;
}

static tri_status take_rows(
    tri_shard *shard, const char *module, int64_t rows, int32_t tp, int32_t rank, tri_error *err) {
    if (rows % tp) return uneven(module, "rows", rows, tp, err);
    add_range(shard, rank * (rows / tp), rows / tp);
    return TRI_OK;
}

static tri_status take_columns(tri_shard *shard, const char *module, int64_t columns, int32_t tp,
    int32_t rank, tri_error *err) {
    if (columns % tp) return uneven(module, "columns", columns, tp, err);
    shard->n_columns = columns / tp;
    shard->first_column = rank * shard->n_columns;
    return TRI_OK;
}

static void take_vocabulary(tri_shard *shard, int64_t rows, int32_t tp, int32_t rank) {
    int64_t each = (rows + tp - 1) / tp;
    int64_t first = rank * each < rows ? rank * each : rows;
    add_range(shard, first, rows - first < each ? rows - first : each);
    shard->pad_rows = each - shard->n_rows;
    shard->n_rows = each;
}

/* The rank's heads of one of q, k, v, whose n_heads heads start at row `start`.  With fewer heads
 * than ranks, neighbouring ranks hold the same one. */
static tri_status take_heads(tri_shard *shard, const char *module, int64_t start, int64_t n_heads,
    int64_t head_size, int32_t tp, int32_t rank, tri_error *err) {
    if (n_heads % tp && tp % n_heads) return uneven(module, "heads", n_heads, tp, err);
    int64_t n = n_heads >= tp ? n_heads / tp : 1;
    add_range(shard, start + rank * n_heads / tp * head_size, n * head_size);
    return TRI_OK;
}

static tri_status take_qkv(tri_shard *shard, const tri_model_config *c, const char *module,
    int32_t tp, int32_t rank, tri_error *err) {
    if (c->n_heads % tp) return uneven(module, "query heads", c->n_heads, tp, err);
    static const char *const parts[] = {"attention.q", "attention.k", "attention.v"};
    bool fused = strcmp(module, "attention.qkv") == 0;
    int64_t start = 0;
    for (int32_t p = 0; p < 3; p++) {
        int64_t n_heads = p == 0 ? c->n_heads : c->n_kv_heads;
        if (fused || strcmp(module, parts[p]) == 0)
            TRI_TRY(take_heads(shard, module, start, n_heads, c->head_size, tp, rank, err));
        if (fused) start += n_heads * c->head_size;
    }
    return TRI_OK;
}

tri_status tri_shard_take(const tri_model_config *c, const tri_weight_rule *rule,
    const char *module, bool is_bias, int32_t rank, tri_shard *shard, tri_error *err) {
    int32_t tp = c->mapping.tp_size;
    int64_t rows, columns;
    tri_model_weight_dims(c, module, &rows, &columns);
    if (is_bias || columns == 0) columns = 1;

    tri_shard taken = {.n_columns = columns};
    bool embedding = strcmp(module, "transformer.vocab_embedding") == 0;
    tri_shard_rule how = rule->shard;
    if (embedding && !c->use_parallel_embedding) how = TRI_SHARD_NONE;
    if (embedding && c->use_parallel_embedding && c->embedding_sharding_dim == 1)
        how = TRI_SHARD_COLS;
    if (how == TRI_SHARD_COLS && is_bias) how = TRI_SHARD_NONE; /* added once, after the sum */
    switch (how) {
    case TRI_SHARD_NONE:
    case TRI_SHARD_COLS:
        add_range(&taken, 0, rows);
        if (how == TRI_SHARD_COLS) TRI_TRY(take_columns(&taken, module, columns, tp, rank, err));
        break;
    case TRI_SHARD_ROWS:
        TRI_TRY(take_rows(&taken, module, rows, tp, rank, err));
        break;
    case TRI_SHARD_VOCAB:
        take_vocabulary(&taken, rows, tp, rank);
        break;
    case TRI_SHARD_QKV:
        TRI_TRY(take_qkv(&taken, c, module, tp, rank, err));
        break;
    }
    *shard = taken;
    return TRI_OK;
}
