/* config_family.h - what the readers of model configs share: the families' facts, rope objects,
 * token ids, layer kinds.  Private to src/data. */
#ifndef TRI_DATA_CONFIG_FAMILY_H
#define TRI_DATA_CONFIG_FAMILY_H

#include "data/model_config.h"

/* Far above any model, and low enough that products of two fit 64 bits with room to spare. */
enum {
    TRI_CONFIG_VOCAB_MAX = 1 << 24,
    TRI_CONFIG_WIDTH_MAX = 1 << 24,
    TRI_CONFIG_HEADS_MAX = 1 << 14,
    TRI_CONFIG_HEAD_SIZE_MAX = 1 << 12,
    TRI_CONFIG_RANKS_MAX = 1 << 10
};
#define TRI_CONFIG_POSITIONS_MAX ((int64_t)1 << 40)

typedef enum tri_window_rule {
    TRI_WINDOW_NONE,       /* the family does not slide */
    TRI_WINDOW_ALL,        /* every layer, when a window is given */
    TRI_WINDOW_FROM_LAYER, /* layers from max_window_layers on, when use_sliding_window */
    TRI_WINDOW_PATTERN     /* all but each pattern-th layer */
} tri_window_rule;

/* A family: what its config.json leaves out when it equals the default of transformers'
 * configuration class (versions 4.57 and 5.23), and what that class reads at all. */
typedef struct tri_config_family {
    const char *architecture, *model_type, *gguf_architecture;
    int32_t vocab_size, hidden_size, intermediate_size, n_layers, n_heads;
    int32_t n_kv_heads; /* 0: as n_heads */
    int32_t head_size;  /* 0: hidden_size / n_heads */
    int64_t max_positions;
    double norm_epsilon, rope_theta;
    double rope_local_theta; /* of sliding layers; 0: they rotate as the others */
    const char *hidden_act_key, *hidden_act;
    bool tie_word_embeddings;
    bool reads_attention_bias, reads_mlp_bias, always_qkv_bias, qk_layernorm;
    bool reads_partial_rotary, reads_attn_softcap, reads_final_softcap, scales_embedding;
    double query_pre_attn_scalar, attn_softcap, final_softcap; /* 0: none */
    tri_window_rule window_rule;
    int32_t sliding_window, window_pattern, max_window_layers;
    int32_t bos_id, pad_id, eos_id; /* -1: none */
} tri_config_family;

/* NULL: unknown. */
const tri_config_family *tri_config_family_find(const char *architecture);
const tri_config_family *tri_config_family_by_model_type(const char *model_type);
const tri_config_family *tri_config_family_by_gguf(const char *gguf_architecture);
/* TRI_E_UNSUPPORTED with the known architectures. */
tri_status tri_config_unknown_architecture(const char *architecture, tri_error *err);

/* ---- fields with a twist ---- */

/* Maps a name to one of model_config.h's four activations. */
tri_status tri_config_activation(
    const char *key, const char *name, const char **hidden_act, tri_error *err);
/* "bfloat16", "torch.bfloat16": one of f32, f16, bf16. */
tri_status tri_config_dtype(const char *key, const char *name, tri_dtype *dtype, tri_error *err);
/* Like tri_json_read_f64, but null gives 0 (none), and only finite values >= 0 pass. */
tri_status tri_config_read_optional(
    const tri_json *object, const char *key, double *value, tri_error *err);
/* Finite and above 0. */
tri_status tri_config_read_positive(
    const tri_json *object, const char *key, double *value, tri_error *err);

/* bos_token_id, pad_token_id: null gives -1.  An id outside the vocabulary is dropped with a
 * warning. */
tri_status tri_config_read_token(const tri_json *object, const char *key,
    const tri_model_config *config, int32_t *id, tri_error *err);
/* eos_token_id: an id or a list, added to what is there. */
tri_status tri_config_read_eos(
    const tri_json *object, const char *key, tri_model_config *config, tri_error *err);
tri_status tri_config_add_eos(tri_model_config *config, int64_t id, tri_error *err);

/* layer_types: fills *is_sliding; null or absent leaves it alone and *found false. */
tri_status tri_config_read_layer_types(
    const tri_json *object, int32_t n_layers, bool *is_sliding, bool *found, tri_error *err);

/* ---- rope ---- */

typedef struct tri_rope_source {
    const tri_json *scaling; /* rope_scaling, rope_parameters or rotary_scaling; may be NULL */
    const char *name;        /* of that key, for errors */
    const tri_json *short_factors, *long_factors; /* stated outside `scaling`, or NULL */
    int64_t original_max_positions;               /* stated outside `scaling`, or 0 */
    int64_t max_positions;
    bool yarn_is_longrope; /* Phi-3's first files call longrope "su" or "yarn" */
} tri_rope_source;

/* Fills the type and its numbers; rotary_dim and base are the caller's, before.  factors: where
 * longrope's lists go. */
tri_status tri_config_read_rope(const tri_rope_source *source, tri_rope_desc *rope,
    const double **short_factors, const double **long_factors, tri_arena *arena, tri_error *err);
/* The value of rotary_scaling: null, or an object without the lists. */
void tri_config_write_rope(const tri_rope_desc *rope, tri_json_writer *w);
/* What cos and sin are multiplied by when a config does not say. */
double tri_config_yarn_attention(double factor, double mscale);
double tri_config_longrope_attention(double factor, int64_t original_max_positions);
/* int(head_size * share), as transformers computes it. */
tri_status tri_config_rotary_dim(
    const char *key, double share, int32_t head_size, int32_t *dim, tri_error *err);

/* ---- keys ---- */

/* Refuses keys that ask for what the family lacks, warns of unknown ones.  object: root, or the
 * text_config in it. */
tri_status tri_config_check_hf_keys(
    const tri_json *root, const tri_json *object, const tri_config_family *family, tri_error *err);

#endif
