/* ir.h - the graph inside: values, nodes, groups, and walking and rewriting them.
 *
 * A graph is a list of nodes in execution order (definitions before uses; verify checks).
 * Everything lives in the graph's arena: rewriting leaves garbage there, which goes with the graph.
 * Passes change a graph in place through the calls at the end.  One thread at a time. */
#ifndef TRI_GRAPH_IR_H
#define TRI_GRAPH_IR_H

#include "base/arena.h"
#include "base/map.h"
#include "base/step.h"
#include "trireme/graph.h"

typedef enum tri_op {
#define TRI_OP(ENUM, name, version, shape) TRI_OP_##ENUM,
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
    TRI_N_OPS
} tri_op;

enum { TRI_MAX_OPERANDS = 8, TRI_MAX_RESULTS = 3, TRI_MAX_ATTRS = 12 };

typedef enum tri_attr_kind {
    TRI_ATTR_INT,
    TRI_ATTR_FLOAT,
    TRI_ATTR_STRING,
    TRI_ATTR_FLOATS
} tri_attr_kind;

typedef struct tri_attr {
    const char *name;
    tri_attr_kind kind;
    int64_t i;
    double f;
    const char *s;    /* never NULL for strings */
    const double *fs; /* n_fs of them */
    int32_t n_fs;
} tri_attr;

typedef struct tri_op_info { /* a row of ops.def */
    const char *name;
    int32_t version, n_operands, n_results, n_attrs;
    const char *operand_names[TRI_MAX_OPERANDS];
    bool operand_optional[TRI_MAX_OPERANDS];
    const char *result_names[TRI_MAX_RESULTS];
    tri_attr attrs[TRI_MAX_ATTRS]; /* names, kinds, defaults */
} tri_op_info;

const tri_op_info *tri_op_get(tri_op op);
bool tri_op_find(const char *name, tri_op *op);

typedef enum tri_type_kind { TRI_TYPE_TENSOR, TRI_TYPE_CACHE, TRI_TYPE_STATE } tri_type_kind;

typedef struct tri_type {
    tri_type_kind kind;
    tri_dtype dtype; /* of elements; of K and V for a cache */
    int32_t n_dims;
    int64_t dims[TRI_MAX_DIMS]; /* or TRI_DIM_*; a cache: [n_kv_heads, head_size]; a state: [n] */
    const char *layout;         /* "row" unless packed; interned in the graph */
} tri_type;

struct tri_value {
    int32_t id; /* unique in the graph; printed as %id */
    tri_type type;
    struct tri_node *node; /* that defines it */
    int32_t result;        /* which result of it */
    bool constant;         /* known at build: weight, rope_frequencies, and ops on constants only */
};

typedef struct tri_node {
    tri_op op;
    int32_t version;
    int32_t n_operands, n_results;
    tri_value *operands[TRI_MAX_OPERANDS]; /* NULL: an optional one left out */
    tri_value *results[TRI_MAX_RESULTS];
    int32_t n_attrs;
    tri_attr *attrs;    /* in the order of ops.def (of the plugin, for a plugin op), all present */
    const char *scope;  /* "transformer.layers.3", "" at the top */
    const char *plugin; /* op name of a plugin node, else NULL */
    struct tri_node *previous, *next;
} tri_node;

/* Caches or states that share block tables or slots. */
typedef enum tri_group_kind {
    TRI_GROUP_FULL,
    TRI_GROUP_SLIDING,
    TRI_GROUP_RECURRENT
} tri_group_kind;

typedef struct tri_group {
    tri_group_kind kind;
    int32_t window;             /* sliding: positions a token sees */
    int32_t tokens_per_block;   /* paged kinds */
    int32_t n_layers;           /* members: caches, or states */
    int64_t bytes_per_token;    /* paged kinds: K and V over all its layers */
    int64_t bytes_per_sequence; /* recurrent */
} tri_group;

typedef struct tri_output {
    const char *name; /* "logits"; "hidden" of a pipeline stage has none: it sends */
    tri_value *value;
} tri_output;

enum { TRI_MAX_OUTPUTS = 4 };

typedef struct tri_graph_weight { /* a declaration */
    const char *name;
    tri_type type;
    tri_value *value; /* what tri_weight made of it, or NULL */
} tri_graph_weight;

struct tri_plugin_registry; /* graph/plugins.h */

struct tri_graph {
    tri_arena arena;
    const char *name;
    tri_node *first, *last;
    int32_t n_nodes, next_id;
    int32_t n_groups;
    tri_group groups[TRI_MAX_GROUPS];
    int32_t n_outputs;
    tri_output outputs[TRI_MAX_OUTPUTS];
    tri_dtype kv_dtype;        /* for caches declared from here on */
    int32_t tokens_per_block;  /* likewise; default 32 */
    tri_graph_weight *weights; /* declarations, growing */
    int32_t n_weights, cap_weights;
    tri_map weight_index;
    const char *scopes[16]; /* full prefix at each depth */
    int32_t n_scopes;
    tri_error error;                           /* sticky */
    tri_map strings;                           /* interned: text to its address in the arena */
    const struct tri_plugin_registry *plugins; /* borrowed; NULL: no plugin ops */
    void *owned; /* goes with the graph, by release; what lends it its plugins */
    void (*release)(void *owned);
    tri_node *broken; /* what a create that failed returns; in no list */
};

/* ---- building and rewriting ---- */

/* Appends (before `before`, or at the end when NULL) a node and infers its result types. Attributes
 * left out take their defaults.  A node that cannot be sets the graph's sticky error and still
 * returns a node with harmless results, so callers need not check. */
tri_node *tri_node_create(tri_graph *g, tri_node *before, tri_op op, tri_value *const *operands,
    int32_t n_operands, const tri_attr *attrs, int32_t n_attrs);
/* The same for sources whose type no rule can know (cache, input "logits"): results get `types`. */
tri_node *tri_node_create_typed(tri_graph *g, tri_node *before, tri_op op,
    tri_value *const *operands, int32_t n_operands, const tri_attr *attrs, int32_t n_attrs,
    const tri_type *types);
/* A node of the plugin op `name`, which g->plugins must know. */
tri_node *tri_node_create_plugin(tri_graph *g, tri_node *before, const char *name,
    tri_value *const *operands, int32_t n_operands, const tri_attr *attrs, int32_t n_attrs);
#define TRI_AI(n, v) ((tri_attr){.name = (n), .kind = TRI_ATTR_INT, .i = (v)})
#define TRI_AF(n, v) ((tri_attr){.name = (n), .kind = TRI_ATTR_FLOAT, .f = (v)})
#define TRI_AS(n, v) ((tri_attr){.name = (n), .kind = TRI_ATTR_STRING, .s = (v)})

int64_t tri_node_int(const tri_node *node, const char *attr);
double tri_node_float(const tri_node *node, const char *attr);
const char *tri_node_string(const tri_node *node, const char *attr);
const tri_attr *tri_node_attr(const tri_node *node, const char *attr); /* NULL: no such */
tri_value *tri_node_operand(const tri_node *node, const char *name);   /* NULL: left out */

/* Every use of `from` becomes `to` (outputs too).  O(nodes). */
void tri_value_replace(tri_graph *g, tri_value *from, tri_value *to);
int32_t tri_value_count_uses(const tri_graph *g, const tri_value *value); /* outputs count */
void tri_node_remove(tri_graph *g, tri_node *node); /* its results must be unused */
void tri_graph_remove_dead(
    tri_graph *g); /* except send, kv_write, count_tokens and outputs' needs */
/* Infers all result types again from the sources, after an attribute or a weight's type was
 * changed. */
tri_status tri_graph_infer(tri_graph *g, tri_error *err);
tri_status tri_graph_clone(const tri_graph *g, tri_graph **copy, tri_error *err);

/* Records the first error only; `scope` of the graph goes in front. */
tri_status tri_graph_fail(tri_graph *g, tri_status status, const char *format, ...)
    TRI_PRINTF(3, 4);
const char *tri_graph_intern(tri_graph *g, const char *text); /* NULL: sticky out of memory */
void tri_graph_set_plugins(tri_graph *g, const struct tri_plugin_registry *plugins);
/* The group of this kind, window and block size, added when there is none; -1 after an error. */
int32_t tri_group_find(tri_graph *g, tri_group_kind kind, int32_t window, int32_t tokens_per_block);
/* n_layers and bytes of every group from the nodes; create, remove and infer do it themselves. */
void tri_graph_count_groups(tri_graph *g);
/* Replaces what a weight was declared as; tri_graph_infer then carries it on. */
void tri_graph_set_weight_type(tri_graph *g, const char *name, const tri_type *type);
tri_value *tri_input_logits(tri_graph *g, int64_t vocab_size); /* f32 [R, V]: sampling graphs */
double tri_rope_magnitude(const tri_rope_desc *rope);          /* what attention_factor comes to */
void tri_graph_set_output(tri_graph *g, const char *name, tri_value *value);
bool tri_type_equal(const tri_type *a, const tri_type *b);
typedef struct tri_type_text {
    char s[128];
} tri_type_text;
tri_type_text tri_type_print(const tri_type *type);              /* "bf16[49152,576]@panel16" */
tri_status tri_graph_verify(const tri_graph *g, tri_error *err); /* rules listed in verify.c */

/* ---- text ---- */
/* trireme.graph 1
 * graph "LlamaForCausalLM" {
 *   group 0 full tokens_per_block=32
 *   %0 = input name="tokens" : i32[T]
 *   %1 = weight name="transformer.vocab_embedding.weight" : bf16[49152,576]
 *   %2 = embedding(%0, %1) : f32[T,576]
 *   %8 = linear(%6, %7, bias=%9) activation="bf16" : f32[T,960]        # transformer.layers.0
 *   %20, %21 = add_rms_norm(%2, %19, %3) eps=1e-05 : f32[T,576], f32[T,576]
 *   output logits = %99
 * }
 *   %22 = plugin.swish_beta(%21) beta=1.5 : f32[T,576]
 * Attributes at their default are not printed (a plugin's always are), nor is version 1 of an op:
 * version 2 would be linear.2(...).  Packed types end in @layout; caches are
 * cache<bf16, 3, 64>, states state<u16, 49152>.  Doubles print so that they read back exactly. */
void tri_graph_print_to(const tri_graph *g, tri_buf *out);
/* One constant value's derivation as an expression, e.g.
 * pack(concat_rows(weight("a"), weight("b")), layout="panel16"). */
void tri_value_print_expression(const tri_value *value, tri_buf *out);
/* tri_graph_parse for text that may hold plugin ops. */
tri_status tri_graph_parse_with(tri_graph **g, const char *text, size_t n_bytes,
    const struct tri_plugin_registry *plugins, tri_error *err);

#endif
