/* model.h - a family: how its checkpoint's names map to canonical weights, and its graph.
 *
 * Canonical names are TensorRT-LLM's (research: transformer.layers.N.attention.qkv.weight; mlp.fc
 * is HF's gate_proj and mlp.gate its up_proj).  N counts from the pipeline stage's first layer. */
#ifndef TRI_MODELS_MODEL_H
#define TRI_MODELS_MODEL_H

#include "data/model_config.h"
#include "graph/ir.h"

typedef enum tri_shard_rule {
    TRI_SHARD_NONE, /* replicated: norms, row-parallel biases */
    TRI_SHARD_ROWS, /* output features: mlp.fc, mlp.gate */
    TRI_SHARD_COLS, /* input features: attention.dense, mlp.proj */
    TRI_SHARD_QKV,  /* q, k, v each by heads, kv heads duplicated when fewer than ranks */
    TRI_SHARD_VOCAB /* rows, padded with zeros to a multiple of tp: lm_head, parallel embedding */
} tri_shard_rule;

/* canonical "attention.qkv" <- rows of the HF modules in order.  Applies to .weight and, when the
 * file has it, .bias.  `canonical` and `hf` are prefixes inside a layer, or whole names outside
 * layers. */
typedef struct tri_weight_rule {
    const char *canonical;
    const char *hf[3]; /* NULL-terminated unless 3 */
    const char *gguf[3];
    tri_shard_rule shard;
    bool per_layer;
    bool gguf_permuted;    /* llama.cpp stores q and k rows pairwise interleaved: hf[0], hf[1] are
                              undone */
    double gguf_offset;    /* added to what a GGUF stores (Gemma's norms are stored plus one: -1) */
    int32_t part, n_parts; /* the part-th of n_parts equal stretches of the module's rows; n_parts
                              0: all of them */
} tri_weight_rule;

typedef struct tri_model_family {
    const char *architecture;
    const char *gguf_architecture; /* "llama", NULL: none */
    const tri_weight_rule *rules;
    int32_t n_rules;
    /* Emits layers [first, first + n) (the stage's), embedding when first is 0, head when the last.
     */
    void (*define)(tri_graph *g, const tri_model_config *config, int32_t first, int32_t n);
} tri_model_family;

/* Full extents of a canonical module ("attention.qkv", "attention.q", "lm_head"; no layer, no
 * ".weight"): a matrix [rows, columns], or with columns 0 a vector of `rows`.  A bias is a vector
 * of its module's rows. */
void tri_model_weight_dims(
    const tri_model_config *config, const char *module, int64_t *rows, int64_t *columns);

/* NULL: unknown; the caller's error lists tri_architectures. */
const tri_model_family *tri_model_find(const char *architecture);
const tri_model_family *tri_model_find_gguf(const char *gguf_architecture);

/* The whole graph of one pipeline stage before sharding (full widths).  Weights must be declared.
 * Between stages: receive first, send last.  max_seq_len picks longrope's table. */
tri_status tri_model_define(tri_graph *g, const tri_model_config *config, int32_t pp_rank,
    int64_t max_seq_len, tri_error *err);

#endif
