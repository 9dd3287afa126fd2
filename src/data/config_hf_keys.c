/* config_hf_keys.c - the keys of a HF config.json that no field of tri_model_config stands for:
 * those that would change the mathematics are refused unless neutral, those that do not are passed
 * over, the rest is warned of (config_family.h). */
#include <string.h>

#include "base/log.h"
#include "data/config_family.h"

/* ---- refused unless neutral ---- */

/* What a key must be so that it changes nothing.  null, false, 0 and an empty list always do. */
typedef struct restricted_key {
    const char *name;
    double neutral;
} restricted_key;

static const restricted_key restricted[] = {
    {"num_experts", 0},
    {"num_local_experts", 0},
    {"n_routed_experts", 0},
    {"num_experts_per_tok", 0},
    {"n_shared_experts", 0},
    {"moe_intermediate_size", 0},
    {"shared_expert_intermediate_size", 0},
    {"enable_moe_block", 0},
    {"use_bidirectional_attention", 0},
    {"add_cross_attention", 0},
    {"is_encoder_decoder", 0},
    {"qk_layernorm", 0},
    {"use_qk_norm", 0},
    {"clip_qkv", 0},
    {"kv_lora_rank", 0},
    {"q_lora_rank", 0},
    {"attention_chunk_size", 0},
    {"no_rope_layers", 0},
    {"num_kv_shared_layers", 0},
    {"use_parallel_residual", 0},
    {"parallel_attn", 0},
    {"attn_temperature_tuning", 0},
    {"use_logn_attn", 0},
    {"logit_scale", 1},
    {"logits_scaling", 1},
    {"residual_multiplier", 1},
    {"embedding_multiplier", 1},
    {"attention_multiplier", 0},
    {"rope_interleaved", 0},
    {"lm_head_bias", 0},
    {"use_mrope", 0},
    {"rotary_pct", 1},
    {"rotary_emb_fraction", 1},
    {"alibi", 0},
    {"use_alibi", 0},
    {"vision_config", 0},
    {"audio_config", 0},
};

/* The same for what has names. */
static const struct {
    const char *name, *neutral[3];
} restricted_names[] = {
    {"norm_type", {"rmsnorm", "rms_norm", "RMSNorm"}},
};

static bool is_neutral(const tri_json *value, double neutral) {
    switch (value->kind) {
    case TRI_JSON_NULL:
        return true;
    case TRI_JSON_BOOL:
        return !value->boolean;
    case TRI_JSON_ARRAY:
    case TRI_JSON_OBJECT:
        return value->n == 0;
    case TRI_JSON_NUMBER: {
        double x = tri_json_number_f64(value->text);
        return x == 0.0 || x == neutral;
    }
    default:
        return false;
    }
}

static tri_status refuse(
    const char *key, const tri_json *value, const tri_config_family *family, tri_error *err) {
    char shown[64] = "a list or an object";
    tri_buf text = {0};
    tri_json_writer w;
    tri_json_writer_init(&w, &text, 0);
    if (value->kind != TRI_JSON_ARRAY && value->kind != TRI_JSON_OBJECT) {
        tri_json_value(&w, value);
        if (text.ptr && text.len < sizeof shown) memcpy(shown, text.ptr, text.len + 1);
    }
    tri_buf_deinit(&text);
    return TRI_FAIL(err, TRI_E_UNSUPPORTED, "%s %s: %s has no such thing here", key, shown,
        family->architecture);
}

static tri_status check_neutral(const tri_json *object, const char *key, double neutral,
    const tri_config_family *family, tri_error *err) {
    const tri_json *value = tri_json_get(object, key);
    if (!value || is_neutral(value, neutral)) return TRI_OK;
    return refuse(key, value, family, err);
}

static tri_status check_neutral_name(const tri_json *object, const char *key,
    const char *const neutral[3], const tri_config_family *family, tri_error *err) {
    const tri_json *value = tri_json_get(object, key);
    if (!value || value->kind == TRI_JSON_NULL) return TRI_OK;
    for (int i = 0; i < 3; i++) {
        if (value->kind == TRI_JSON_STRING && tri_str_is(value->text, neutral[i])) return TRI_OK;
    }
    return refuse(key, value, family, err);
}

static tri_status check_quantization(const tri_json *object, const char *key, tri_error *err) {
    const tri_json *q = tri_json_get(object, key);
    const char *method = "of an unnamed method";
    if (!q || q->kind == TRI_JSON_NULL) return TRI_OK;
    if (q->kind == TRI_JSON_OBJECT) TRI_TRY(tri_json_read_string(q, "quant_method", &method, err));
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s: quant_method %.100s is not supported; use the unquantised model, or a GGUF of it", key,
        method);
}

/* Keys that some families read and others do not. */
static tri_status check_family_keys(
    const tri_json *object, const tri_config_family *family, tri_error *err) {
    const struct {
        const char *key;
        bool read;
        double neutral;
    } keys[] = {
        {"attention_bias", family->reads_attention_bias || family->always_qkv_bias, 0},
        {"mlp_bias", family->reads_mlp_bias, 0},
        {"partial_rotary_factor", family->reads_partial_rotary, 1},
        {"final_logit_softcapping", family->reads_final_softcap, 0},
        /* Gemma 3's class stores it and never uses it. */
        {"attn_logit_softcapping", family->reads_attn_softcap || family->reads_final_softcap, 0},
        {"query_pre_attn_scalar", family->query_pre_attn_scalar > 0, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (keys[i].read) continue;
        TRI_TRY(check_neutral(object, keys[i].key, keys[i].neutral, family, err));
    }
    return TRI_OK;
}

/* ---- passed over ---- */

static const char *const known_keys[] = {
    /* read into fields */
    "architectures", "model_type", "torch_dtype", "dtype", "vocab_size", "hidden_size",
    "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "max_position_embeddings", "original_max_position_embeddings", "rms_norm_eps",
    "hidden_act", "hidden_activation", "attention_bias", "mlp_bias", "tie_word_embeddings",
    "rope_theta", "rope_scaling", "rope_parameters", "rope_local_base_freq",
    "partial_rotary_factor", "sliding_window", "sliding_window_pattern", "use_sliding_window",
    "max_window_layers", "layer_types", "attn_logit_softcapping", "final_logit_softcapping",
    "query_pre_attn_scalar", "bos_token_id", "eos_token_id", "pad_token_id", "quantization_config",
    "compression_config",
    /* training, loading, generation, bookkeeping */
    "attention_dropout", "attn_implementation", "attn_pdrop", "auto_map", "bad_words_ids",
    "begin_suppress_tokens", "cache_implementation", "chunk_size_feed_forward",
    "cross_attention_hidden_size", "decoder_start_token_id", "diversity_penalty", "do_sample",
    "dropout", "early_stopping", "embd_pdrop", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id",
    "forced_eos_token_id", "full_attn_mod", "interpolate_factor", "hidden_dropout", "id2label",
    "initializer_range", "is_decoder", "is_llama_config", "label2id", "length_penalty",
    "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
    "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores", "prefix",
    "pretraining_tp", "problem_type", "pruned_heads", "remove_invalid_values", "repetition_penalty",
    "resid_pdrop", "return_dict", "return_dict_in_generate", "sep_token_id", "suppress_tokens",
    "task_specific_params", "temperature", "tf_legacy_loss", "tie_encoder_decoder",
    "tokenizer_class", "top_k", "top_p", "torchscript", "transformers_version",
    "transformers.js_config", "typical_p", "unsloth_fixed", "unsloth_version", "use_bfloat16",
    "use_cache"};

static bool is_known(tri_str key) {
    if (tri_str_starts(key, "_")) return true;
    for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys; i++) {
        if (tri_str_is(key, known_keys[i])) return true;
    }
    for (size_t i = 0; i < sizeof restricted / sizeof *restricted; i++) {
        if (tri_str_is(key, restricted[i].name)) return true;
    }
    for (size_t i = 0; i < sizeof restricted_names / sizeof *restricted_names; i++) {
        if (tri_str_is(key, restricted_names[i].name)) return true;
    }
    return false;
}

static void warn_unknown(const tri_json *object) {
    enum { MAX_NAMED = 16 };
    tri_buf names = {0};
    int32_t n_unknown = 0;
    for (int32_t i = 0; i < object->n; i++) {
        if (is_known(object->keys[i])) continue;
        if (n_unknown < MAX_NAMED)
            tri_buf_printf(&names, "%s%.64s", n_unknown ? "," : "", object->keys[i].ptr);
        n_unknown++;
    }
    if (n_unknown && names.ptr) {
        tri_log(TRI_LOG_WARN, "config", "unknown_keys=%" PRId32 " ignored=%s%s", n_unknown,
            names.ptr, n_unknown > MAX_NAMED ? ",..." : "");
    }
    tri_buf_deinit(&names);
}

tri_status tri_config_check_hf_keys(
    const tri_json *root, const tri_json *object, const tri_config_family *family, tri_error *err) {
    for (size_t i = 0; i < sizeof restricted / sizeof *restricted; i++) {
        TRI_TRY(check_neutral(object, restricted[i].name, restricted[i].neutral, family, err));
    }
    for (size_t i = 0; i < sizeof restricted_names / sizeof *restricted_names; i++) {
        TRI_TRY(check_neutral_name(
            object, restricted_names[i].name, restricted_names[i].neutral, family, err));
    }
    TRI_TRY(check_family_keys(object, family, err));
    const tri_json *places[] = {root, object};
    for (int i = 0; i < 2; i++) {
        TRI_TRY(check_quantization(places[i], "quantization_config", err));
        TRI_TRY(check_quantization(places[i], "compression_config", err));
    }
    warn_unknown(object);
    return TRI_OK;
}
