/* shape.h - what types a node's results have, given its operands and attributes. */
#ifndef TRI_GRAPH_SHAPE_H
#define TRI_GRAPH_SHAPE_H

#include "graph/ir.h"

/* Of scopes and output names: what text needs no quotes for. */
#define TRI_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

/* silu gelu gelu_tanh relu. */
bool tri_activation_known(const char *kind);

/* Limits that keep every product below in int64. */
enum {
    TRI_MAX_CONSTANT_DEPTH = 64,
    TRI_MAX_VALUES = 1 << 20,
    TRI_MAX_HEADS = 65536,
    TRI_MAX_HEAD_SIZE = 65536
};
#define TRI_MAX_ELEMS ((int64_t)1 << 48)

/* The node needs operands and all attributes; cache and input "logits" keep the type their result
 * has.  On failure the message names the op, the operand, its type and what would fit; `types` is
 * untouched. */
tri_status tri_shape_infer(
    const tri_graph *g, const tri_node *node, tri_type types[TRI_MAX_RESULTS], tri_error *err);

/* Known at build: weights, rope_frequencies, and what takes only constants. */
bool tri_node_is_constant(const tri_node *node);

typedef struct tri_member_bytes {
    int64_t per_token, per_sequence;
} tri_member_bytes;
tri_member_bytes tri_group_member_bytes(const tri_node *node); /* a cache or counts node's share */

/* Gives the node's results these types (layouts interned) and says whether they are constant. */
void tri_node_set_types(tri_graph *g, tri_node *node, const tri_type *types);

/* One rule, as ops.def names it. */
typedef tri_status (*tri_shape_rule)(
    const tri_graph *g, const tri_node *node, tri_type *out, tri_error *err);
#define TRI_SHAPE_RULE(rule)                                                                       \
    tri_status tri_shape_##rule(                                                                   \
        const tri_graph *g, const tri_node *node, tri_type *out, tri_error *err)
TRI_SHAPE_RULE(input);
TRI_SHAPE_RULE(weight);
TRI_SHAPE_RULE(cache);
TRI_SHAPE_RULE(rope_frequencies);
TRI_SHAPE_RULE(concat_rows);
TRI_SHAPE_RULE(slice_rows);
TRI_SHAPE_RULE(cast);
TRI_SHAPE_RULE(quantize);
TRI_SHAPE_RULE(quantize_scales);
TRI_SHAPE_RULE(pack);
TRI_SHAPE_RULE(tie);
TRI_SHAPE_RULE(embedding);
TRI_SHAPE_RULE(linear);
TRI_SHAPE_RULE(linear_norm);
TRI_SHAPE_RULE(rms_norm);
TRI_SHAPE_RULE(add_rms_norm);
TRI_SHAPE_RULE(binary);
TRI_SHAPE_RULE(unary);
TRI_SHAPE_RULE(gated);
TRI_SHAPE_RULE(columns);
TRI_SHAPE_RULE(select_rows);
TRI_SHAPE_RULE(rope);
TRI_SHAPE_RULE(kv_write);
TRI_SHAPE_RULE(rope_kv_write);
TRI_SHAPE_RULE(attention);
TRI_SHAPE_RULE(all_gather);
TRI_SHAPE_RULE(send);
TRI_SHAPE_RULE(receive);
TRI_SHAPE_RULE(counts);
TRI_SHAPE_RULE(count_tokens);
TRI_SHAPE_RULE(penalties);
TRI_SHAPE_RULE(sample);
TRI_SHAPE_RULE(plugin);

/* ---- what the rules share ---- */

tri_type tri_type_tensor(tri_dtype dtype, int32_t n_dims, int64_t first, int64_t second);
bool tri_type_is_row(const tri_type *type);     /* a tensor, layout "row" */
bool tri_type_is_float(const tri_type *type);   /* elements f32 f16 bf16 f64 f8; no blocks */
int64_t tri_type_columns(const tri_type *type); /* the last dim */
/* Dims, dtype and layout of a result or a declaration are within the limits. */
tri_status tri_type_check(const tri_type *type, tri_error *err);
/* Operand `name` is run-time float32 or bf16 [T|R|S, C] in layout row; *type is its type. */
tri_status tri_shape_activation(
    const tri_node *node, const char *name, const tri_type **type, tri_error *err);
/* Operand `name` is i32 [dim]. */
tri_status tri_shape_indices(const tri_node *node, const char *name, int64_t dim, tri_error *err);
/* TRI_E_ARGUMENT: "`name` is <type>, <needs>".  The macro shows the analyzer that it fails. */
tri_status tri_shape_fail(const tri_node *node, const char *name, tri_error *err, const char *needs,
    ...) TRI_PRINTF(4, 5);
#define TRI_SHAPE_FAIL(...) (tri_shape_fail(__VA_ARGS__), TRI_E_ARGUMENT)
/* The dtype attribute, f32 or bf16, as the type of a result. */
tri_status tri_shape_dtype(const tri_node *node, tri_type *result, tri_error *err);
/* Integer attribute within [min, max]. */
tri_status tri_shape_int(const tri_node *node, const char *attr, int64_t min, int64_t max,
    int64_t *value, tri_error *err);

#endif
