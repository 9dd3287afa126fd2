/* model_config.h - what a model is, read from a HF config.json, a GGUF or a TensorRT-LLM
 * checkpoint's config.json, and written as the latter.  One struct for all families; zero means
 * absent.
 *
 * A field that asks for what no family here does is an error that names it; keys that do not change
 * the mathematics (dropout, training, versions) are passed over; unknown ones are logged as a
 * warning. */
#ifndef TRI_DATA_MODEL_CONFIG_H
#define TRI_DATA_MODEL_CONFIG_H

#include "base/arena.h"
#include "base/json.h"
#include "data/gguf.h"
#include "trireme/graph.h"

enum { TRI_MAX_LAYERS = 1024, TRI_MAX_EOS = 16 };

typedef enum tri_quant_kind {
    TRI_QUANT_NONE,
    TRI_QUANT_W8A16, /* "W8A16": int8 weights, one scale a row */
    TRI_QUANT_W4A16, /* "W4A16": int4 weights, group_size columns a scale (0: a row) */
    TRI_QUANT_GGUF   /* "GGUF": blocks kept as they came; types per weight */
} tri_quant_kind;

typedef struct tri_gguf_type_entry { /* quantization.gguf_types: canonical name -> block type */
    const char *name;
    tri_dtype dtype;
} tri_gguf_type_entry;

typedef struct tri_model_config {
    const char *architecture; /* "LlamaForCausalLM" */
    tri_dtype dtype;          /* of the weights: f32, f16, bf16 */
    int32_t vocab_size, hidden_size, n_layers, n_heads, n_kv_heads, head_size, intermediate_size;
    int64_t max_position_embeddings;
    double norm_epsilon;
    const char *hidden_act;                    /* "silu", "gelu", "gelu_pytorch_tanh", "relu" */
    bool attn_bias, attn_dense_bias, mlp_bias; /* qkv, dense, MLP */
    bool qk_layernorm;                         /* RMS norm per head on q and k */
    bool tie_word_embeddings;

    /* rope: [0] global, [1] of sliding layers where the family has its own (Gemma 3) */
    tri_rope_desc rope[2];
    int32_t n_ropes; /* 1, or 2 */
    /* longrope only: both tables; the builder picks by max_seq_len against original_max_positions
     */
    const double *long_factors, *short_factors; /* [rotary_dim / 2] */

    int32_t sliding_window; /* 0: none */
    bool layer_is_sliding[TRI_MAX_LAYERS];
    double attn_logit_softcap, final_logit_softcap; /* 0: none */
    double query_scale;     /* of the attention logits; 0: 1/sqrt(head_size) */
    double embedding_scale; /* 0: 1 */

    struct {
        int32_t tp_size, pp_size;
    } mapping; /* at least 1 */
    bool use_parallel_embedding;
    int32_t embedding_sharding_dim;
    struct {
        tri_quant_kind kind;
        int32_t group_size;
        const tri_gguf_type_entry *gguf_types;
        int32_t n_gguf_types;
    } quantization;

    int32_t bos_id, pad_id; /* -1: none */
    int32_t eos_ids[TRI_MAX_EOS], n_eos;
    const tri_json *source; /* the JSON it was read from, for unknown keys; may be NULL */
} tri_model_config;

/* Architectures known here; NULL at the end. */
extern const char *const tri_architectures[];

/* From a HF config.json's text (text_config of multimodal files is used), then
 * generation_config.json's (empty view: absent), which adds eos ids. */
tri_status tri_model_config_from_hf(tri_model_config *config, tri_str json, tri_str generation_json,
    tri_arena *arena, tri_error *err);
tri_status tri_model_config_from_gguf(
    tri_model_config *config, const tri_gguf *gguf, tri_arena *arena, tri_error *err);
/* The checkpoint layout of research/tensorrt-llm: read and written with the old tools' keys; what
 * they had no key for (softcaps, layer types, second rope) uses HF's names at the top level. */
tri_status tri_model_config_from_checkpoint(
    tri_model_config *config, tri_str json, tri_arena *arena, tri_error *err);
void tri_model_config_write(const tri_model_config *config, tri_json_writer *w); /* one object */

/* Ranges and divisibility between fields (heads by kv heads, tp against heads, ...). */
tri_status tri_model_config_check(const tri_model_config *config, tri_error *err);

/* Layers [first, first + n) of pipeline stage pp_rank: n_layers / pp_size each, which must divide.
 */
tri_status tri_model_config_stage(
    const tri_model_config *config, int32_t pp_rank, int32_t *first, int32_t *n, tri_error *err);

#endif
