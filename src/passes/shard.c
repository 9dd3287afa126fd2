/* shard.c - the full-width graph of a stage becomes rank tp_rank's part of it (arXiv:1909.08053).
 *
 * First `analyse` says for every value whether each rank has all of it or a part of its columns,
 * and which type every weight has on a rank; it changes nothing, so a graph that cannot be split is
 * left as it was.  Then `apply` rewrites.
 *
 * Which linear is split how follows from its weight's name:
 *
 *   attention.qkv        output features by heads: q, k and v each; k and v heads are duplicated
 *                        when there are fewer than ranks
 *   attention.q .k .v    the same, one each
 *   mlp.fc mlp.gate      output features
 *   attention.dense      input features, so ranks hold partial sums: all_reduce follows.  The bias
 *   mlp.proj             is rank 0's, which puts it into the sum once without an op of its own
 *   lm_head              output features, rows padded to a multiple of tp; all_gather drops them
 *   any other name       not split
 *
 * The embedding table is whole on every rank, unless its declaration was replaced by a shard's
 * (use_parallel_embedding): by vocabulary, then all_reduce follows, or by columns (its
 * embedding_sharding_dim 1), then all_gather.
 *
 * A head tied to a whole table takes this rank's rows of it (slice_rows) and gathers.  Each rank
 * computing all logits would need neither, but would read the whole table each step on every rank,
 * the largest matrix of small models, and that would not shrink with tp; the slice is 1 / tp more
 * memory.  Only a vocabulary that tp does not divide is computed whole: a slice has no padding.
 *
 * Row ops in between work on the columns they get; an op that needs them all is an error. */
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "graph/plugins.h"
#include "passes/match.h"

enum { MAX_PARTS = 4 };

/* Columns of a value: stretches, each split evenly.  Of a cache: its heads. */
typedef struct part {
    int64_t full, local;
} part;

typedef struct split {
    int32_t n; /* 0: every rank has the whole value */
    part parts[MAX_PARTS];
} split;

typedef enum rule {
    RULE_WHOLE,
    RULE_QKV,
    RULE_Q,
    RULE_KV, /* k, or v */
    RULE_ROWS,
    RULE_COLUMNS,
    RULE_HEAD,
    RULE_TABLE
} rule;

typedef enum table_split { TABLE_WHOLE, TABLE_BY_ROWS, TABLE_BY_COLUMNS } table_split;

typedef struct shard {
    tri_graph *g;
    int32_t tp, rank;
    split *splits;   /* by value id; values that `apply` makes have none and are whole */
    tri_type *types; /* by weight declaration; n_dims 0: as declared */
    table_split table;
    tri_error *err;
} shard;

/* ---- names ---- */

static const char table_name[] = "transformer.vocab_embedding.weight";

static rule rule_of(const char *weight) {
    static const struct {
        const char *name;
        rule rule;
    } rules[] = {{"attention.qkv", RULE_QKV}, {"attention.q", RULE_Q}, {"attention.k", RULE_KV},
        {"attention.v", RULE_KV}, {"mlp.fc", RULE_ROWS}, {"mlp.gate", RULE_ROWS},
        {"attention.dense", RULE_COLUMNS}, {"mlp.proj", RULE_COLUMNS}, {"lm_head", RULE_HEAD},
        {"transformer.vocab_embedding", RULE_TABLE}};
    tri_str name = tri_str_of(weight);
    if (!tri_str_ends(name, ".weight")) return RULE_WHOLE;
    name.len -= strlen(".weight");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        size_t n = strlen(rules[i].name);
        bool boundary = name.len == n || (name.len > n && name.ptr[name.len - n - 1] == '.');
        if (boundary && tri_str_ends(name, rules[i].name)) return rules[i].rule;
    }
    return RULE_WHOLE;
}

/* A name without a rule when there is no single one. */
static const char *weight_name(const tri_value *constant) {
    const tri_node *root = tri_match_root_weight(constant);
    return root ? tri_node_string(root, "name") : "(a joined weight)";
}

static rule linear_rule(const tri_node *linear) {
    return rule_of(weight_name(tri_node_operand(linear, "weight")));
}

/* ---- weights ---- */

/* Records what weight `constant` starts from is on a rank. */
static tri_status set_type(const shard *s, const tri_value *constant, const tri_type *type) {
    const tri_node *root = tri_match_root_weight(constant);
    int64_t index;
    if (!root)
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "a weight joined from several cannot be split; declare the joined one");
    const char *name = tri_node_string(root, "name");
    bool found = tri_map_get(&s->g->weight_index, tri_str_of(name), &index);
    TRI_ASSERT(found);
    tri_type local = root->results[0]->type; /* dtype: the weight's, before casts */
    memcpy(local.dims, type->dims, sizeof local.dims);
    const tri_type *declared = &s->g->weights[index].type;
    if (!tri_type_equal(declared, &root->results[0]->type) && !tri_type_equal(declared, &local))
        return TRI_FAIL(s->err, TRI_E_ARGUMENT,
            "%s is declared as %s; of %s, rank %" PRId32 " of %" PRId32 " holds %s", name,
            tri_type_print(declared).s, tri_type_print(&root->results[0]->type).s, s->rank, s->tp,
            tri_type_print(&local).s);
    if (s->types[index].n_dims > 0 && !tri_type_equal(&s->types[index], &local))
        return TRI_FAIL(
            s->err, TRI_E_UNSUPPORTED, "%s is used in ways that are split differently", name);
    s->types[index] = local;
    return TRI_OK;
}

static tri_status set_dim(const shard *s, const tri_value *constant, int32_t dim, int64_t extent) {
    tri_type type = constant->type;
    type.dims[dim] = extent;
    return set_type(s, constant, &type);
}

/* Weight, scales and bias of a linear whose output features are split. */
static tri_status split_rows(const shard *s, const tri_node *linear, int64_t rows) {
    const tri_value *bias = tri_node_operand(linear, "bias");
    const tri_value *scales = tri_node_operand(linear, "scales");
    TRI_TRY(set_dim(s, tri_node_operand(linear, "weight"), 0, rows));
    if (bias) TRI_TRY(set_dim(s, bias, 0, rows));
    if (scales && scales->type.dims[0] > 1) TRI_TRY(set_dim(s, scales, 0, rows));
    return TRI_OK;
}

static tri_status split_columns(const shard *s, const tri_node *linear, int64_t columns) {
    const tri_value *weight = tri_node_operand(linear, "weight");
    const tri_value *scales = tri_node_operand(linear, "scales");
    const char *name = weight_name(weight);
    int64_t block = tri_dtype_get(weight->type.dtype)->block_elems;
    TRI_TRY(set_dim(s, weight, 1, columns));
    if (columns % block != 0)
        return TRI_FAIL(s->err, TRI_E_ARGUMENT,
            "%s: %" PRId64 " of %" PRId64 " columns a rank would cut a block of %s (%" PRId64
            " columns); use a smaller tp_size, or decode the blocks when converting",
            name, columns, weight->type.dims[1], tri_dtype_name(weight->type.dtype), block);
    if (!scales || scales->type.n_dims < 2 || scales->type.dims[1] == 1) return TRI_OK;
    int64_t group = weight->type.dims[1] / scales->type.dims[1];
    if (columns % group != 0)
        return TRI_FAIL(s->err, TRI_E_ARGUMENT,
            "%s: %" PRId64 " of %" PRId64 " columns a rank would cut a group of %" PRId64
            " columns that share a scale; use a smaller tp_size",
            name, columns, weight->type.dims[1], group);
    return set_dim(s, scales, 1, columns / group);
}

/* ---- heads ---- */

static tri_status split_evenly(
    const shard *s, const char *what, const char *whose, int64_t n, int64_t *local) {
    if (n % s->tp != 0)
        return TRI_FAIL(s->err, TRI_E_ARGUMENT,
            "%" PRId64 " %s of %s cannot be divided by tp_size %" PRId32, n, what, whose, s->tp);
    *local = n / s->tp;
    return TRI_OK;
}

static tri_status split_kv_heads(const shard *s, const char *whose, int64_t n, int64_t *local) {
    if (n < s->tp && s->tp % n == 0) {
        *local = 1;
        return TRI_OK;
    }
    return split_evenly(s, "kv heads", whose, n, local);
}

/* The attention that value flows into, through row ops. */
static tri_status find_attention(
    const shard *s, const tri_value *value, const char *name, const tri_node **attention) {
    tri_status rc = TRI_OK;
    const tri_node *found = NULL;
    bool *flows = calloc((size_t)s->g->next_id + 1, sizeof *flows);
    if (!flows) return TRI_FAIL(s->err, TRI_E_MEMORY, "out of memory");
    flows[value->id] = true;
    for (const tri_node *node = value->node->next; node && !found; node = node->next) {
        bool any = false;
        for (int32_t i = 0; i < node->n_operands; i++)
            any = any || (node->operands[i] && flows[node->operands[i]->id]);
        if (!any || node->op == TRI_OP_LINEAR) continue;
        if (node->op == TRI_OP_ATTENTION) found = node;
        for (int32_t i = 0; i < node->n_results; i++)
            flows[node->results[i]->id] = true;
    }
    if (!found)
        rc = TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "%s is split by heads, but flows into no attention op", name);
    else
        *attention = found;
    free(flows);
    return rc;
}

static tri_status split_heads(const shard *s, const tri_node *linear, rule kind, split *out) {
    const char *name = weight_name(tri_node_operand(linear, "weight"));
    const tri_node *attention = NULL;
    int64_t rows = tri_node_operand(linear, "weight")->type.dims[0];
    TRI_TRY(find_attention(s, linear->results[0], name, &attention));
    const tri_type *cache = &tri_node_operand(attention, "cache")->type;
    int64_t n_heads = tri_node_int(attention, "n_heads");
    int64_t n_kv = cache->dims[0], size = cache->dims[1], local_heads = 0, local_kv = 0;
    TRI_TRY(split_evenly(s, "heads", name, n_heads, &local_heads));
    TRI_TRY(split_kv_heads(s, name, n_kv, &local_kv));
    part q = {n_heads * size, local_heads * size}, kv = {n_kv * size, local_kv * size};
    split made = {.n = 1, .parts = {kind == RULE_KV ? kv : q}};
    if (kind == RULE_QKV) made = (split){.n = 3, .parts = {q, kv, kv}};
    int64_t full = 0;
    for (int32_t i = 0; i < made.n; i++)
        full += made.parts[i].full;
    if (full != rows)
        return TRI_FAIL(s->err, TRI_E_ARGUMENT,
            "%s has %" PRId64 " rows; %" PRId64 " heads and %" PRId64 " kv heads of %" PRId64
            " are %" PRId64,
            name, rows, n_heads, n_kv, size, full);
    *out = made;
    return TRI_OK;
}

/* ---- what each op makes of split operands ---- */

static split *split_of(const shard *s, const tri_value *value) {
    return &s->splits[value->id];
}

static int64_t local_columns(const split *x) {
    int64_t n = 0;
    for (int32_t i = 0; i < x->n; i++)
        n += x->parts[i].local;
    return n;
}

static bool same_split(const split *a, const split *b) {
    if (a->n != b->n) return false;
    for (int32_t i = 0; i < a->n; i++) {
        if (a->parts[i].full != b->parts[i].full || a->parts[i].local != b->parts[i].local)
            return false;
    }
    return true;
}

static tri_status fail_split(const shard *s, const tri_node *node, const char *slot) {
    return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
        "%s needs all columns of %s, which are split over %" PRId32 " ranks",
        tri_match_describe(node).s, slot, s->tp);
}

/* One half each of fc and gate when both are one weight. */
static tri_status split_mlp(const shard *s, const tri_node *linear, split *out) {
    const tri_value *y = linear->results[0];
    const tri_node *user = tri_match_sole_user(s->g, y);
    int64_t n = y->type.dims[1];
    int32_t halves = user && user->op == TRI_OP_GATED_ACTIVATION && n % 2 == 0 ? 2 : 1;
    part each = {.full = n / halves};
    TRI_TRY(split_evenly(
        s, "features", weight_name(tri_node_operand(linear, "weight")), each.full, &each.local));
    *out = (split){.n = halves, .parts = {each, each}};
    return TRI_OK;
}

static tri_status analyse_columns_linear(const shard *s, const tri_node *linear) {
    const split *x = split_of(s, tri_node_operand(linear, "x"));
    const char *name = weight_name(tri_node_operand(linear, "weight"));
    if (x->n != 1)
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "%s is split by its columns, but what it multiplies is %s", name,
            x->n == 0 ? "whole on every rank" : "of several parts");
    return split_columns(s, linear, x->parts[0].local);
}

/* Rows a rank of the vocabulary, the last ones padding. */
static int64_t vocabulary_rows(const shard *s, int64_t vocab_size) {
    return (vocab_size + s->tp - 1) / s->tp;
}

static bool sliced_head(const shard *s, const tri_node *linear) {
    return linear_rule(linear) == RULE_TABLE && s->table == TABLE_WHOLE &&
           tri_node_operand(linear, "weight")->type.dims[0] % s->tp == 0;
}

/* The linear's result is split (split_of says so for hidden layers) or gathered at once (heads). */
static tri_status analyse_linear(const shard *s, const tri_node *linear) {
    rule kind = linear_rule(linear);
    split *y = split_of(s, linear->results[0]);
    int64_t rows = tri_node_operand(linear, "weight")->type.dims[0];
    if (tri_node_operand(linear, "accumulator"))
        return TRI_FAIL(s->err, TRI_E_ARGUMENT, "%s has an accumulator: shard before fusing",
            tri_match_describe(linear).s);
    if (kind == RULE_COLUMNS) return analyse_columns_linear(s, linear);
    if (split_of(s, tri_node_operand(linear, "x"))->n > 0)
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "%s multiplies columns split over %" PRId32
            " ranks; only attention.dense and mlp.proj can",
            weight_name(tri_node_operand(linear, "weight")), s->tp);
    switch (kind) {
    case RULE_QKV:
    case RULE_Q:
    case RULE_KV:
        TRI_TRY(split_heads(s, linear, kind, y));
        return split_rows(s, linear, local_columns(y));
    case RULE_ROWS:
        TRI_TRY(split_mlp(s, linear, y));
        return split_rows(s, linear, local_columns(y));
    case RULE_HEAD:
        return split_rows(s, linear, vocabulary_rows(s, rows));
    case RULE_TABLE:
        if (s->table == TABLE_BY_COLUMNS)
            return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
                "%s is split by columns and the head is tied to it; use embedding_sharding_dim 0",
                table_name);
        if (s->table == TABLE_BY_ROWS) return split_rows(s, linear, vocabulary_rows(s, rows));
        return TRI_OK;
    case RULE_WHOLE:
    case RULE_COLUMNS:
        break;
    }
    return TRI_OK;
}

static bool splits_table(const shard *s, const tri_node *embedding) {
    const tri_value *table = tri_node_operand(embedding, "table");
    return s->table != TABLE_WHOLE && strcmp(weight_name(table), table_name) == 0;
}

static tri_status analyse_embedding(const shard *s, const tri_node *node) {
    const tri_value *table = tri_node_operand(node, "table");
    int64_t columns = 0;
    if (!splits_table(s, node)) return TRI_OK;
    if (s->table == TABLE_BY_ROWS)
        return set_dim(s, table, 0, vocabulary_rows(s, table->type.dims[0]));
    TRI_TRY(split_evenly(s, "columns", table_name, table->type.dims[1], &columns));
    return set_dim(s, table, 1, columns);
}

/* Every part holds whole stretches of n columns. */
static bool whole_stretches(const split *x, int64_t n) {
    for (int32_t i = 0; i < x->n; i++) {
        if (x->parts[i].local % n != 0) return false;
    }
    return true;
}

static tri_status analyse_norm(const shard *s, const tri_node *node) {
    const split *x = split_of(s, node->operands[0]);
    if (!whole_stretches(x, tri_node_operand(node, "w")->type.dims[0]))
        return fail_split(s, node, "x");
    *split_of(s, node->results[0]) = *x;
    return TRI_OK;
}

static tri_status analyse_rope(const shard *s, const tri_node *node) {
    const split *x = split_of(s, node->operands[0]);
    if (!whole_stretches(x, tri_node_int(node, "head_size"))) return fail_split(s, node, "x");
    *split_of(s, node->results[0]) = *x;
    return TRI_OK;
}

/* Element by element: all operands are split alike, and so is the result. */
static tri_status analyse_elementwise(const shard *s, const tri_node *node) {
    const split *x = NULL;
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (!node->operands[i] || node->operands[i]->constant) continue;
        const split *other = split_of(s, node->operands[i]);
        if (!x) x = other;
        if (!same_split(x, other))
            return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
                "%s: its operands are not split alike over the ranks", tri_match_describe(node).s);
    }
    for (int32_t i = 0; x && i < node->n_results; i++)
        *split_of(s, node->results[i]) = *x;
    return TRI_OK;
}

/* Where columns [first, first + n) of the whole are on a rank: whole parts only. */
static bool find_parts(
    const split *x, int64_t first, int64_t n, split *found, int64_t *local_first) {
    int64_t at = 0, local = 0;
    *found = (split){0};
    for (int32_t i = 0; i < x->n; i++) {
        if (at == first) *local_first = local;
        if (at >= first && at + x->parts[i].full <= first + n)
            found->parts[found->n++] = x->parts[i];
        at += x->parts[i].full;
        local += x->parts[i].local;
    }
    int64_t full = 0;
    for (int32_t i = 0; i < found->n; i++)
        full += found->parts[i].full;
    return full == n;
}

static tri_status analyse_columns(const shard *s, const tri_node *node) {
    const split *x = split_of(s, node->operands[0]);
    int64_t first = tri_node_int(node, "first"), n = tri_node_int(node, "n"), local;
    if (x->n == 0) return TRI_OK;
    if (!find_parts(x, first, n, split_of(s, node->results[0]), &local))
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "%s: columns [%" PRId64 ", %" PRId64 ") are a piece of what is split over %" PRId32
            " ranks",
            tri_match_describe(node).s, first, first + n, s->tp);
    return TRI_OK;
}

static tri_status analyse_gated(const shard *s, const tri_node *node) {
    const split *x = split_of(s, node->operands[0]);
    if (x->n == 0) return TRI_OK;
    if (x->n != 2 || x->parts[0].full != x->parts[1].full) return fail_split(s, node, "x");
    *split_of(s, node->results[0]) = (split){.n = 1, .parts = {x->parts[0]}};
    return TRI_OK;
}

/* kv_write: the cache gets the heads that k and v have here. */
static tri_status analyse_kv_write(const shard *s, const tri_node *node) {
    const split *k = split_of(s, tri_node_operand(node, "k"));
    const split *v = split_of(s, tri_node_operand(node, "v"));
    const tri_value *cache = tri_node_operand(node, "cache");
    int64_t size = cache->type.dims[1];
    if (k->n == 0 && v->n == 0) return TRI_OK;
    if (k->n != 1 || !same_split(k, v) || k->parts[0].local % size != 0)
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "%s: k and v are not split alike, by heads of %" PRId64, tri_match_describe(node).s,
            size);
    split heads = {.n = 1, .parts = {{k->parts[0].full / size, k->parts[0].local / size}}};
    *split_of(s, cache) = *split_of(s, node->results[0]) = heads;
    return TRI_OK;
}

static tri_status analyse_attention(const shard *s, const tri_node *node) {
    const split *q = split_of(s, tri_node_operand(node, "q"));
    const tri_value *cache = tri_node_operand(node, "cache");
    const split *heads = split_of(s, cache);
    if (q->n == 0 && heads->n == 0) return TRI_OK;
    if (q->n != 1 || heads->n != 1 || q->parts[0].local % cache->type.dims[1] != 0)
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "%s: its q and its cache are not split alike, by heads of %" PRId64,
            tri_match_describe(node).s, cache->type.dims[1]);
    *split_of(s, node->results[0]) = *q;
    return TRI_OK;
}

static tri_status analyse_plugin(const shard *s, const tri_node *node) {
    const tri_plugin_op *op = tri_plugin_registry_find_op(s->g->plugins, node->plugin);
    bool any = false;
    for (int32_t i = 0; i < node->n_operands; i++)
        any = any || (node->operands[i] && split_of(s, node->operands[i])->n > 0);
    if (!any) return TRI_OK;
    if (!op || op->shard != TRI_SHARD_COLUMNS)
        return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
            "plugin op %s works on whole rows, but columns of its input are split over %" PRId32
            " ranks; an op that works on any columns says TRI_SHARD_COLUMNS",
            tri_match_describe(node).s, s->tp);
    return analyse_elementwise(s, node);
}

static tri_status analyse_whole(const shard *s, const tri_node *node) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (node->operands[i] && split_of(s, node->operands[i])->n > 0)
            return fail_split(s, node, tri_match_slot_name(node, i));
    }
    return TRI_OK;
}

static tri_status analyse_node(const shard *s, const tri_node *node) {
    if (node->n_results > 0 && node->results[0]->constant) return TRI_OK;
    switch (node->op) {
    case TRI_OP_LINEAR:
        return analyse_linear(s, node);
    case TRI_OP_EMBEDDING:
        return analyse_embedding(s, node);
    case TRI_OP_RMS_NORM:
        return analyse_norm(s, node);
    case TRI_OP_ROPE:
        return analyse_rope(s, node);
    case TRI_OP_ADD:
    case TRI_OP_MUL:
    case TRI_OP_AFFINE:
    case TRI_OP_SOFTCAP:
    case TRI_OP_ACTIVATION:
        return analyse_elementwise(s, node);
    case TRI_OP_COLUMNS:
        return analyse_columns(s, node);
    case TRI_OP_GATED_ACTIVATION:
        return analyse_gated(s, node);
    case TRI_OP_KV_WRITE:
        return analyse_kv_write(s, node);
    case TRI_OP_ATTENTION:
        return analyse_attention(s, node);
    case TRI_OP_PLUGIN:
        return analyse_plugin(s, node);
    case TRI_OP_ALL_REDUCE:
    case TRI_OP_ALL_GATHER:
        return TRI_FAIL(s->err, TRI_E_ARGUMENT, "the graph is split already: it has %s",
            tri_match_describe(node).s);
    default:
        return analyse_whole(s, node);
    }
}

/* How the table was declared, after the graph was made, against what the graph has. */
static table_split find_table_split(const tri_graph *g) {
    int64_t index;
    if (!tri_map_get(&g->weight_index, tri_str_of(table_name), &index)) return TABLE_WHOLE;
    const tri_type *declared = &g->weights[index].type;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op != TRI_OP_WEIGHT || strcmp(tri_node_string(node, "name"), table_name) != 0)
            continue;
        const tri_type *full = &node->results[0]->type;
        if (tri_type_equal(declared, full)) return TABLE_WHOLE;
        return declared->n_dims == 2 && declared->dims[1] != full->dims[1] ? TABLE_BY_COLUMNS
                                                                           : TABLE_BY_ROWS;
    }
    return TABLE_WHOLE;
}

static tri_status analyse(shard *s) {
    s->table = find_table_split(s->g);
    for (const tri_node *node = s->g->first; node; node = node->next)
        TRI_TRY(analyse_node(s, node));
    for (int32_t i = 0; i < s->g->n_outputs; i++) {
        if (split_of(s, s->g->outputs[i].value)->n > 0)
            return TRI_FAIL(s->err, TRI_E_UNSUPPORTED,
                "output %s would be split over %" PRId32 " ranks", s->g->outputs[i].name, s->tp);
    }
    return TRI_OK;
}

/* ---- rewriting ---- */

/* op(value) right behind it, in place of value in all its uses. */
static void append(shard *s, tri_value *value, tri_op op, const tri_attr *attrs, int32_t n_attrs) {
    tri_node *made = tri_node_create(s->g, value->node->next, op, &value, 1, attrs, n_attrs);
    if (s->g->error.status) return;
    made->scope = value->node->scope;
    tri_value_replace(s->g, value, made->results[0]);
    made->operands[0] = value;
}

static void append_gather(shard *s, tri_value *value) {
    const tri_attr attrs[] = {TRI_AI("n_ranks", s->tp), TRI_AI("n", value->type.dims[1])};
    append(s, value, TRI_OP_ALL_GATHER, attrs, 2);
}

static void slice_head(shard *s, tri_node *linear) {
    tri_value *weight = tri_node_operand(linear, "weight");
    int64_t n = weight->type.dims[0] / s->tp;
    const tri_attr attrs[] = {TRI_AI("first", s->rank * n), TRI_AI("n", n)};
    weight = tri_match_constant(s->g, weight, TRI_OP_SLICE_ROWS, attrs, 2);
    tri_match_set_operand(linear, "weight", weight);
}

static void apply_linear(shard *s, tri_node *linear) {
    rule kind = linear_rule(linear);
    if (kind == RULE_COLUMNS) {
        append(s, linear->results[0], TRI_OP_ALL_REDUCE, NULL, 0);
        if (s->rank > 0) tri_match_set_operand(linear, "bias", NULL);
    } else if (sliced_head(s, linear)) {
        slice_head(s, linear);
        append_gather(s, linear->results[0]);
    } else if (kind == RULE_HEAD || (kind == RULE_TABLE && s->table == TABLE_BY_ROWS)) {
        append_gather(s, linear->results[0]);
    }
}

static void apply_embedding(shard *s, tri_node *node) {
    if (!splits_table(s, node)) return;
    if (s->table == TABLE_BY_COLUMNS) {
        append_gather(s, node->results[0]);
        return;
    }
    int64_t vocab_size = tri_node_operand(node, "table")->type.dims[0];
    tri_match_set_int(node, "first", s->rank * vocabulary_rows(s, vocab_size));
    append(s, node->results[0], TRI_OP_ALL_REDUCE, NULL, 0);
}

static void apply_columns(const shard *s, tri_node *node) {
    int64_t first = 0;
    split found;
    if (split_of(s, node->results[0])->n == 0) return;
    const split *x = split_of(s, node->operands[0]);
    (void)find_parts(x, tri_node_int(node, "first"), tri_node_int(node, "n"), &found, &first);
    tri_match_set_int(node, "first", first);
    tri_match_set_int(node, "n", local_columns(&found));
}

static void apply(shard *s) {
    tri_node *next;
    for (tri_node *node = s->g->first; node && !s->g->error.status; node = next) {
        next = node->next; /* what is appended is done already */
        const split *y = node->n_results > 0 ? split_of(s, node->results[0]) : NULL;
        if (node->op == TRI_OP_LINEAR) apply_linear(s, node);
        if (node->op == TRI_OP_EMBEDDING) apply_embedding(s, node);
        if (node->op == TRI_OP_COLUMNS && !node->results[0]->constant) apply_columns(s, node);
        if (node->op == TRI_OP_CACHE && y->n > 0)
            node->results[0]->type.dims[0] = y->parts[0].local;
        if (node->op == TRI_OP_ATTENTION && y->n > 0)
            tri_match_set_int(
                node, "n_heads", y->parts[0].local / tri_node_operand(node, "cache")->type.dims[1]);
    }
    for (int32_t i = 0; i < s->g->n_weights && !s->g->error.status; i++) {
        if (s->types[i].n_dims > 0)
            tri_graph_set_weight_type(s->g, s->g->weights[i].name, &s->types[i]);
    }
}

tri_status tri_pass_shard(tri_graph *g, int32_t tp_size, int32_t tp_rank, tri_error *err) {
    tri_status rc = TRI_OK;
    shard s = {.g = g, .tp = tp_size, .rank = tp_rank, .err = err};
    if (tp_size < 1 || tp_rank < 0 || tp_rank >= tp_size)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "shard: tp_rank is %" PRId32 " of tp_size %" PRId32,
            tp_rank, tp_size);
    if (tp_size > 1) {
        s.splits = calloc((size_t)g->next_id + 1, sizeof *s.splits);
        s.types = calloc((size_t)g->n_weights + 1, sizeof *s.types);
        rc = s.splits && s.types ? analyse(&s) : TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        if (!rc) apply(&s);
    }
    free(s.splits);
    free(s.types);
    if (rc) {
        tri_error_context(err, "shard");
        return rc;
    }
    return tri_match_finish(g, "shard", err);
}
