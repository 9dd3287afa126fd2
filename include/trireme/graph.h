/* graph.h - defining a model: a graph of ops over packed tokens, weights by canonical name.
 *
 * SSA: each function below appends one op and returns its value.  The graph owns everything made
 * with it; values are valid until tri_graph_destroy.  One thread at a time.
 *
 * Errors are sticky: the first op that cannot be (wrong shape, unknown weight) records its message
 * with the scope it happened in, and every later call returns a harmless value; tri_graph_finish
 * reports it. So a model definition needs no error handling of its own and reads like the paper.
 *
 * Extents: T tokens, R rows whose logits are wanted; activations are [T, C] float32 ("x" below).
 * Weight matrices are [out, in], as in TensorRT-LLM checkpoints. */
#ifndef TRIREME_GRAPH_H
#define TRIREME_GRAPH_H

#include "trireme/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tri_graph tri_graph;
typedef struct tri_value tri_value;

/* name: the architecture, "LlamaForCausalLM". */
TRI_API tri_status tri_graph_create(tri_graph **graph, const char *name, tri_error *err);
TRI_API void tri_graph_destroy(tri_graph *graph);

/* Names inside are prefixed "transformer.layers.3." (the dot is added). */
TRI_API void tri_scope_push(tri_graph *g, const char *format, ...) TRI_PRINTF(2, 3);
TRI_API void tri_scope_pop(tri_graph *g);

/* ---- declared before use ---- */

/* Declares that the checkpoint holds `name` (in full, no scope) with this dtype and shape [n_dims].
 * Build does this from the checkpoint; a hand-made model does it for its own weights. */
TRI_API void tri_graph_declare_weight(
    tri_graph *g, const char *name, tri_dtype dtype, const int64_t *dims, int32_t n_dims);
TRI_API bool tri_graph_has_weight(const tri_graph *g, const char *name); /* scope applies */

/* ---- inputs, weights, constants ---- */

TRI_API tri_value *tri_input_tokens(tri_graph *g);    /* i32 [T] */
TRI_API tri_value *tri_input_positions(tri_graph *g); /* i32 [T] (axis 0) */
TRI_API tri_value *tri_input_rows(tri_graph *g);      /* i32 [R] */
/* The declared weight `name` in the current scope. */
TRI_API tri_value *tri_weight(tri_graph *g, const char *name);

/* ---- ops ---- */

TRI_API tri_value *tri_embedding(tri_graph *g, tri_value *tokens, tri_value *table); /* [T, C] */
/* y = x w^T + b; `name` is the prefix: name.weight, name.bias when declared, and the scales its
 * quantisation has.  x [T, in] -> [T, out]. */
TRI_API tri_value *tri_linear(tri_graph *g, tri_value *x, const char *name);
/* The same with the weight at hand, for tied embeddings. */
TRI_API tri_value *tri_matmul(tri_graph *g, tri_value *x, tri_value *weight);
/* y = x * rsqrt(mean(x^2) + eps) * w over the last w-sized stretch of the row: with w [D] and x [T,
 * H * D] every head is normalised alone.  arXiv:1910.07467 */
TRI_API tri_value *tri_rms_norm(tri_graph *g, tri_value *x, tri_value *w, double eps);
TRI_API tri_value *tri_add(tri_graph *g, tri_value *a, tri_value *b);
TRI_API tri_value *tri_mul(tri_graph *g, tri_value *a, tri_value *b);
/* y = x * factor + offset; on a weight it is folded at build. */
TRI_API tri_value *tri_affine(tri_graph *g, tri_value *x, double factor, double offset);
TRI_API tri_value *tri_softcap(tri_graph *g, tri_value *x, double cap); /* cap * tanh(x / cap) */

typedef enum tri_activation_kind {
    TRI_SILU,
    TRI_GELU,      /* exact, erf */
    TRI_GELU_TANH, /* the tanh approximation */
    TRI_RELU
} tri_activation_kind;

TRI_API tri_value *tri_activation(tri_graph *g, tri_value *x, tri_activation_kind kind);
/* Columns [first, first + n) of x: a view, not a copy. */
TRI_API tri_value *tri_columns(tri_graph *g, tri_value *x, int64_t first, int64_t n);
/* The rows of x [T, C] whose logits are wanted: [R, C]. */
TRI_API tri_value *tri_select_rows(tri_graph *g, tri_value *x, tri_value *rows);

/* ---- rotary position embedding ---- */

typedef enum tri_rope_type {
    TRI_ROPE_DEFAULT,
    TRI_ROPE_LINEAR,   /* frequencies / factor */
    TRI_ROPE_LLAMA3,   /* low_freq_factor, high_freq_factor, original_max_positions */
    TRI_ROPE_YARN,     /* arXiv:2309.00071: beta_fast, beta_slow, attention_factor */
    TRI_ROPE_LONGROPE, /* arXiv:2402.13753: one factor per frequency */
    TRI_ROPE_DYNAMIC   /* NTK by length; not supported by the models here */
} tri_rope_type;

typedef struct tri_rope_desc {
    tri_rope_type type;
    int32_t rotary_dim; /* rotated leading part of each head; even; 0: all */
    bool interleaved;   /* pairs (2i, 2i+1) as GPT-J; else (i, i + rotary_dim/2) as GPT-NeoX */
    double base;        /* theta */
    double factor, low_freq_factor, high_freq_factor, beta_fast, beta_slow;
    double attention_factor; /* cos and sin are multiplied by it; 0: what the type's paper says */
    int64_t original_max_positions;
    const double *frequency_factors; /* [rotary_dim / 2], longrope; copied */
} tri_rope_desc;

/* ---- attention ---- */

typedef struct tri_attention_desc {
    int32_t n_heads, n_kv_heads, head_size;
    double scale;         /* of the logits; 0: 1 / sqrt(head_size) */
    double logit_softcap; /* 0: none */
    int32_t window;       /* a token sees the last `window` positions, itself included; 0: all */
    const tri_rope_desc *rope;  /* NULL: no rotation */
    tri_value *q_norm, *k_norm; /* weights [head_size] of a norm per head before rope, or NULL */
    double norm_epsilon;
} tri_attention_desc;

/* Causal self-attention over this sequence's cache: normalises and rotates q and k, appends k and v
 * to the layer's cache, attends.  q [T, n_heads * head_size], k and v [T, n_kv_heads * head_size].
 * The cache is declared on the way: layers of the same kind and window share one group.  -> [T,
 * n_heads * head_size] */
TRI_API tri_value *tri_attention(
    tri_graph *g, tri_value *q, tri_value *k, tri_value *v, const tri_attention_desc *desc);

/* ---- an op of a plugin (see plugin.h) ---- */

typedef struct tri_field { /* one attribute */
    const char *name;
    enum { TRI_FIELD_I64, TRI_FIELD_F64, TRI_FIELD_STRING } kind;
    int64_t i64;
    double f64;
    const char *string;
} tri_field;

/* op: "plugin name".  Result 0 of it. */
TRI_API tri_value *tri_plugin_op_value(tri_graph *g, const char *op, tri_value *const *inputs,
    int32_t n_inputs, const tri_field *fields, int32_t n_fields);

/* ---- done ---- */

/* Names the graph's result: [R, vocab_size] float32. */
TRI_API void tri_output_logits(tri_graph *g, tri_value *logits);
/* Verifies the whole; the first error of the definition, if any. */
TRI_API tri_status tri_graph_finish(tri_graph *g, tri_error *err);

/* Text form.  Print allocates *text (free it with tri_free). */
TRI_API tri_status tri_graph_print(const tri_graph *g, char **text, tri_error *err);
TRI_API tri_status tri_graph_parse(tri_graph **g, const char *text, size_t n_bytes, tri_error *err);

#ifdef __cplusplus
}
#endif
#endif
