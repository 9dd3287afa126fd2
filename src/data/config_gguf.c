/* config_gguf.c - a model's config from a GGUF's metadata and tensor names, as llama.cpp's
 * converters write them (declared in model_config.h).
 *
 * What llama.cpp settles per architecture and not in the file is settled alike here: activations,
 * Gemma's embedding scale, its layer patterns and, by their shape, the 27B models' query scale. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "data/config_family.h"

enum { GGUF_KEY_BYTES = 96 };

typedef struct gguf_reader {
    const tri_gguf *gguf;
    const tri_config_family *family;
    tri_model_config *config;
    tri_arena *arena;
    tri_error *err;
    char key[GGUF_KEY_BYTES];
} gguf_reader;

/* "llama.block_count" of "block_count", until the next call. */
static const char *key_of(gguf_reader *r, const char *name) {
    snprintf(r->key, sizeof r->key, "%s.%s", r->family->gguf_architecture, name);
    return r->key;
}

static bool has_tensor(const gguf_reader *r, const char *name) {
    return tri_gguf_tensor_find(r->gguf, name) != NULL;
}

/* ---- fields ---- */

static tri_status missing(gguf_reader *r, const char *name) {
    return TRI_FAIL(r->err, TRI_E_FORMAT, "no key %s", key_of(r, name));
}

static tri_status read_i64(
    gguf_reader *r, const char *name, int64_t min, int64_t max, int64_t *value) {
    return tri_gguf_read_i64(r->gguf, key_of(r, name), min, max, value, r->err);
}

/* A size, or one for each layer if they are all the same. */
static tri_status read_size(gguf_reader *r, const char *name, int32_t max, int32_t *value) {
    const tri_gguf_value *v = tri_gguf_find(r->gguf, key_of(r, name));
    int64_t x = *value;
    if (v && v->kind == TRI_GGUF_ARRAY) {
        x = tri_gguf_array_i64(v, 0);
        for (int64_t i = 1; i < v->n; i++) {
            if (tri_gguf_array_i64(v, i) == x) continue;
            return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
                "%s differs between layers (%" PRId64 ", %" PRId64 "), which is not supported",
                r->key, x, tri_gguf_array_i64(v, i));
        }
        if (x < 1 || x > max) {
            return TRI_FAIL(
                r->err, TRI_E_FORMAT, "%s is %" PRId64 ", it must be from 1 to %d", r->key, x, max);
        }
    } else if (v) {
        TRI_TRY(tri_gguf_read_i64(r->gguf, r->key, 1, max, &x, r->err));
    }
    *value = (int32_t)x;
    return TRI_OK;
}

static tri_status require_size(gguf_reader *r, const char *name, int32_t max, int32_t *value) {
    if (!tri_gguf_find(r->gguf, key_of(r, name))) return missing(r, name);
    return read_size(r, name, max, value);
}

/* Finite and above 0, or also 0. */
static tri_status read_number(gguf_reader *r, const char *name, bool zero_allowed, double *value) {
    double x = *value;
    TRI_TRY(tri_gguf_read_f64(r->gguf, key_of(r, name), &x, r->err));
    if (!isfinite(x) || x < 0.0 || (x == 0.0 && !zero_allowed && tri_gguf_find(r->gguf, r->key))) {
        return TRI_FAIL(r->err, TRI_E_FORMAT, "%s is %g, it must be finite and %s 0", r->key, x,
            zero_allowed ? "at least" : "above");
    }
    *value = x;
    return TRI_OK;
}

/* ---- which family ---- */

static tri_status find_family(gguf_reader *r) {
    tri_str name = {0};
    int64_t n_parts = 0;
    TRI_TRY(tri_gguf_read_str(r->gguf, "general.architecture", &name, r->err));
    if (name.len == 0) return TRI_FAIL(r->err, TRI_E_FORMAT, "no key general.architecture");
    char *text = tri_arena_strndup(r->arena, name.ptr, name.len);
    if (!text) return TRI_FAIL(r->err, TRI_E_MEMORY, "no memory for the config");
    r->family = tri_config_family_by_gguf(text);
    if (!r->family) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "general.architecture %.100s is not known; these are: llama, qwen2, qwen3, gemma2, "
            "gemma3, phi3",
            text);
    }
    r->config->architecture = r->family->architecture;
    TRI_TRY(tri_gguf_read_i64(r->gguf, "split.count", 0, INT32_MAX, &n_parts, r->err));
    if (n_parts > 1) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "one of %" PRId64 " parts; join them with llama-gguf-split --merge", n_parts);
    }
    int64_t n_experts = 0;
    TRI_TRY(read_i64(r, "expert_count", 0, INT32_MAX, &n_experts));
    if (n_experts > 0) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "%s is %" PRId64 "; mixtures of experts are not supported", key_of(r, "expert_count"),
            n_experts);
    }
    return TRI_OK;
}

/* Keys of llama.cpp that change the mathematics in ways that no family here has. */
static tri_status refuse_extras(gguf_reader *r) {
    static const char *const factors[] = {"logit_scale", "residual_scale", "embedding_scale",
        "attention.clamp_kqv", "attention.max_alibi_bias"};
    bool causal = true;
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        double x = 1.0;
        TRI_TRY(tri_gguf_read_f64(r->gguf, key_of(r, factors[i]), &x, r->err));
        if (x == 0.0 || x == 1.0) continue;
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED, "%s is %g: %s has no such thing here", r->key, x,
            r->config->architecture);
    }
    TRI_TRY(tri_gguf_read_bool(r->gguf, key_of(r, "attention.causal"), &causal, r->err));
    if (causal) return TRI_OK;
    return TRI_FAIL(
        r->err, TRI_E_UNSUPPORTED, "%s is false: only causal models are supported", r->key);
}

/* ---- sizes ---- */

/* The embedding knows best: some files pad it beyond the tokenizer's vocabulary. */
static tri_status read_vocabulary(gguf_reader *r) {
    const tri_gguf_tensor *embedding = tri_gguf_tensor_find(r->gguf, "token_embd.weight");
    const tri_gguf_value *tokens = tri_gguf_find(r->gguf, "tokenizer.ggml.tokens");
    int64_t n = tokens && tokens->kind == TRI_GGUF_ARRAY ? tokens->n : 0;
    TRI_TRY(read_i64(r, "vocab_size", 1, TRI_CONFIG_VOCAB_MAX, &n));
    if (embedding && embedding->n_dims == 2) n = embedding->dims[0];
    if (n < 1 || n > TRI_CONFIG_VOCAB_MAX) {
        return TRI_FAIL(r->err, TRI_E_FORMAT,
            "token_embd.weight and tokenizer.ggml.tokens give a vocabulary of %" PRId64
            ", it must be from 1 to %d",
            n, TRI_CONFIG_VOCAB_MAX);
    }
    r->config->vocab_size = (int32_t)n;
    return TRI_OK;
}

static tri_status read_sizes(gguf_reader *r) {
    tri_model_config *c = r->config;
    TRI_TRY(read_vocabulary(r));
    TRI_TRY(require_size(r, "embedding_length", TRI_CONFIG_WIDTH_MAX, &c->hidden_size));
    TRI_TRY(require_size(r, "block_count", TRI_MAX_LAYERS, &c->n_layers));
    TRI_TRY(require_size(r, "feed_forward_length", TRI_CONFIG_WIDTH_MAX, &c->intermediate_size));
    TRI_TRY(require_size(r, "attention.head_count", TRI_CONFIG_HEADS_MAX, &c->n_heads));
    c->n_kv_heads = c->n_heads;
    TRI_TRY(read_size(r, "attention.head_count_kv", TRI_CONFIG_HEADS_MAX, &c->n_kv_heads));
    c->head_size = c->hidden_size / c->n_heads;
    TRI_TRY(read_size(r, "attention.key_length", TRI_CONFIG_HEAD_SIZE_MAX, &c->head_size));
    int32_t value_size = c->head_size;
    TRI_TRY(read_size(r, "attention.value_length", TRI_CONFIG_HEAD_SIZE_MAX, &value_size));
    if (value_size != c->head_size) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "attention.value_length %d is not attention.key_length %d", value_size, c->head_size);
    }
    if (!tri_gguf_find(r->gguf, key_of(r, "context_length"))) return missing(r, "context_length");
    return read_i64(r, "context_length", 1, TRI_CONFIG_POSITIONS_MAX, &c->max_position_embeddings);
}

/* Of what is not in blocks: block types are kept beside, by weight. */
static tri_dtype plain_dtype(const gguf_reader *r) {
    static const char *const names[] = {"blk.0.attn_q.weight", "blk.0.attn_qkv.weight"};
    for (int i = 0; i < 2; i++) {
        const tri_gguf_tensor *t = tri_gguf_tensor_find(r->gguf, names[i]);
        if (t && (t->dtype == TRI_F16 || t->dtype == TRI_BF16)) return t->dtype;
    }
    return TRI_F32;
}

/* ---- norms, biases, scales ---- */

/* llama.cpp tells Gemma's 27B by its depth; they scale queries by the model's width over its heads
 * and not by the size of a head. */
static double query_scale(const tri_model_config *c, const tri_config_family *family) {
    if (family->query_pre_attn_scalar <= 0.0) return 0.0;
    bool is_gemma3 = family->rope_local_theta > 0.0;
    bool is_27b = c->n_layers == (is_gemma3 ? 62 : 46);
    double scalar = is_27b ? (double)c->hidden_size / c->n_heads : (double)c->head_size;
    return 1.0 / sqrt(scalar);
}

static tri_status read_details(gguf_reader *r) {
    const tri_config_family *f = r->family;
    tri_model_config *c = r->config;
    c->dtype = plain_dtype(r);
    c->hidden_act = f->hidden_act;
    if (!tri_gguf_find(r->gguf, key_of(r, "attention.layer_norm_rms_epsilon")))
        return missing(r, "attention.layer_norm_rms_epsilon");
    TRI_TRY(read_number(r, "attention.layer_norm_rms_epsilon", true, &c->norm_epsilon));
    c->attn_bias = f->always_qkv_bias || has_tensor(r, "blk.0.attn_q.bias") ||
                   has_tensor(r, "blk.0.attn_qkv.bias");
    c->attn_dense_bias = has_tensor(r, "blk.0.attn_output.bias");
    c->mlp_bias = has_tensor(r, "blk.0.ffn_down.bias") || has_tensor(r, "blk.0.ffn_up.bias");
    c->qk_layernorm = f->qk_layernorm;
    c->tie_word_embeddings = !has_tensor(r, "output.weight");
    if (f->scales_embedding) c->embedding_scale = sqrt((double)c->hidden_size);
    c->query_scale = query_scale(c, f);
    TRI_TRY(read_number(r, "attention.scale", true, &c->query_scale));
    if (f->reads_attn_softcap) {
        c->attn_logit_softcap = f->attn_softcap;
        TRI_TRY(read_number(r, "attn_logit_softcapping", true, &c->attn_logit_softcap));
    }
    if (!f->reads_final_softcap) return TRI_OK;
    c->final_logit_softcap = f->final_softcap;
    return read_number(r, "final_logit_softcapping", true, &c->final_logit_softcap);
}

/* ---- sliding windows ---- */

/* A flag for each layer, or the period: all layers but each period-th slide. */
static tri_status read_pattern(gguf_reader *r, bool *is_sliding, bool *found) {
    const tri_gguf_value *v = tri_gguf_find(r->gguf, key_of(r, "attention.sliding_window_pattern"));
    int32_t n_layers = r->config->n_layers;
    int64_t period = r->family->window_pattern;
    *found = v != NULL;
    if (v && v->kind == TRI_GGUF_ARRAY) {
        if (v->n != n_layers) {
            return TRI_FAIL(r->err, TRI_E_FORMAT, "%s has %" PRId64 " entries for %d layers",
                r->key, v->n, n_layers);
        }
        for (int32_t i = 0; i < n_layers; i++)
            is_sliding[i] = tri_gguf_array_i64(v, i) != 0;
        return TRI_OK;
    }
    TRI_TRY(read_i64(r, "attention.sliding_window_pattern", 1, INT32_MAX, &period));
    for (int32_t i = 0; i < n_layers && period; i++)
        is_sliding[i] = (i + 1) % period != 0;
    return TRI_OK;
}

static tri_status read_layers(gguf_reader *r) {
    tri_model_config *c = r->config;
    bool is_gemma2 = r->family->reads_attn_softcap, found = false;
    int64_t window = is_gemma2 ? r->family->sliding_window : 0;
    TRI_TRY(read_i64(r, "attention.sliding_window", 0, INT32_MAX, &window));
    if (window == 0) return TRI_OK;
    TRI_TRY(read_pattern(r, c->layer_is_sliding, &found));
    if (r->family->window_rule == TRI_WINDOW_FROM_LAYER && !found) {
        tri_log(TRI_LOG_WARN, "config", "%s=%" PRId64 " ignored, no sliding_window_pattern",
            key_of(r, "attention.sliding_window"), window);
        return TRI_OK;
    }
    bool every = !found && r->family->window_rule != TRI_WINDOW_PATTERN;
    for (int32_t i = 0; i < c->n_layers; i++) {
        c->layer_is_sliding[i] |= every;
        if (c->layer_is_sliding[i]) c->sliding_window = (int32_t)window;
    }
    return TRI_OK;
}

/* ---- rope ---- */

static tri_status read_factors(
    gguf_reader *r, const char *name, int32_t n, const double **factors) {
    const tri_gguf_tensor *t = tri_gguf_tensor_find(r->gguf, name);
    if (!t || t->dtype != TRI_F32 || t->n_dims != 1 || t->dims[0] != n) {
        return TRI_FAIL(r->err, TRI_E_FORMAT,
            "%s must hold %d float32 factors, half of what is rotated in a head", name, n);
    }
    double *values = TRI_NEW_N(r->arena, double, n);
    if (!values) return TRI_FAIL(r->err, TRI_E_MEMORY, "no memory for %d rope factors", n);
    for (int32_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, t->data + (size_t)i * sizeof x, sizeof x);
        if (!isfinite(x) || x <= 0.0f)
            return TRI_FAIL(r->err, TRI_E_FORMAT, "%s[%d] is %g, it must be above 0", name, i, x);
        values[i] = (double)x;
    }
    *factors = values;
    return TRI_OK;
}

/* Llama 3's frequencies come as one factor each, for short and long sequences alike. */
static tri_status read_rope_freqs(gguf_reader *r, tri_rope_desc *rope) {
    tri_model_config *c = r->config;
    rope->type = TRI_ROPE_LONGROPE;
    rope->factor = rope->attention_factor = 1.0;
    rope->original_max_positions = c->max_position_embeddings;
    TRI_TRY(read_factors(r, "rope_freqs.weight", rope->rotary_dim / 2, &c->short_factors));
    c->long_factors = c->short_factors;
    return TRI_OK;
}

static tri_status read_longrope(gguf_reader *r, tri_rope_desc *rope) {
    tri_model_config *c = r->config;
    int32_t n = rope->rotary_dim / 2;
    rope->type = TRI_ROPE_LONGROPE;
    TRI_TRY(read_factors(r, "rope_factors_short.weight", n, &c->short_factors));
    TRI_TRY(read_factors(r, "rope_factors_long.weight", n, &c->long_factors));
    rope->factor = (double)c->max_position_embeddings / (double)rope->original_max_positions;
    rope->attention_factor =
        tri_config_longrope_attention(rope->factor, rope->original_max_positions);
    return read_number(r, "rope.scaling.attn_factor", false, &rope->attention_factor);
}

static tri_status read_yarn(gguf_reader *r, tri_rope_desc *rope) {
    double attention = 1.0;
    rope->type = TRI_ROPE_YARN;
    rope->beta_fast = 32.0;
    rope->beta_slow = 1.0;
    TRI_TRY(read_number(r, "rope.scaling.yarn_beta_fast", false, &rope->beta_fast));
    TRI_TRY(read_number(r, "rope.scaling.yarn_beta_slow", false, &rope->beta_slow));
    TRI_TRY(read_number(r, "rope.scaling.attn_factor", false, &attention));
    TRI_TRY(read_number(r, "rope.scaling.yarn_attn_factor", false, &attention));
    rope->attention_factor = attention * tri_config_yarn_attention(rope->factor, 1.0);
    return TRI_OK;
}

static tri_status read_scaling(gguf_reader *r, tri_rope_desc *rope) {
    tri_str type = TRI_STR("none");
    double factor = 0.0; /* 0 and 1: not scaled */
    bool has_freqs =
        strcmp(r->family->gguf_architecture, "llama") == 0 && has_tensor(r, "rope_freqs.weight");
    rope->original_max_positions = r->config->max_position_embeddings;
    TRI_TRY(read_number(r, "rope.scale_linear", true, &factor)); /* before there were types */
    if (factor > 0.0) type = TRI_STR("linear");
    TRI_TRY(read_number(r, "rope.scaling.factor", true, &factor));
    TRI_TRY(read_i64(r, "rope.scaling.original_context_length", 1, TRI_CONFIG_POSITIONS_MAX,
        &rope->original_max_positions));
    TRI_TRY(tri_gguf_read_str(r->gguf, key_of(r, "rope.scaling.type"), &type, r->err));
    if (has_tensor(r, "rope_factors_long.weight")) return read_longrope(r, rope);
    bool scaled = !tri_str_is(type, "none") && factor > 0.0 && factor != 1.0;
    if (has_freqs && !scaled) return read_rope_freqs(r, rope);
    if (!scaled) {
        rope->original_max_positions = 0;
        return TRI_OK;
    }
    rope->factor = factor;
    if (tri_str_is(type, "yarn") && !has_freqs) return read_yarn(r, rope);
    if (tri_str_is(type, "linear") && !has_freqs) {
        rope->type = TRI_ROPE_LINEAR;
        rope->original_max_positions = 0;
        return TRI_OK;
    }
    return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
        "%s \"%.*s\"%s is not supported; none, linear and "
        "yarn are",
        key_of(r, "rope.scaling.type"), (int)(type.len < 40 ? type.len : 40), type.ptr,
        has_freqs ? " beside rope_freqs.weight" : "");
}

static tri_status read_rope(gguf_reader *r) {
    tri_model_config *c = r->config;
    tri_rope_desc *rope = &c->rope[0], *local = &c->rope[1];
    rope->rotary_dim = c->head_size;
    rope->base = 10000.0;
    TRI_TRY(read_size(r, "rope.dimension_count", TRI_CONFIG_HEAD_SIZE_MAX, &rope->rotary_dim));
    TRI_TRY(read_number(r, "rope.freq_base", false, &rope->base));
    TRI_TRY(read_scaling(r, rope));
    rope->frequency_factors = c->short_factors;
    c->n_ropes = 1;
    if (r->family->rope_local_theta <= 0.0) return TRI_OK;
    c->n_ropes = 2;
    local->rotary_dim = rope->rotary_dim;
    local->base = r->family->rope_local_theta;
    return read_number(r, "rope.freq_base_swa", false, &local->base);
}

/* ---- tokens ---- */

static tri_status read_token(gguf_reader *r, const char *key, int32_t *id) {
    int64_t value = -1;
    TRI_TRY(tri_gguf_read_i64(r->gguf, key, INT64_MIN, INT64_MAX, &value, r->err));
    if (value >= 0 && value < r->config->vocab_size) *id = (int32_t)value;
    return TRI_OK;
}

/* Ends of turns that files name only by their text: the sole way in which older ones do. */
static tri_status add_turn_ends(gguf_reader *r) {
    static const char *const texts[] = {
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>"};
    enum { CONTROL = 3, USER_DEFINED = 4 }; /* of tokenizer.ggml.token_type */
    const tri_gguf_value *tokens = tri_gguf_find(r->gguf, "tokenizer.ggml.tokens");
    const tri_gguf_value *types = tri_gguf_find(r->gguf, "tokenizer.ggml.token_type");
    if (!tokens || !tokens->strings || !types) return TRI_OK;
    for (int64_t i = 0; i < tokens->n; i++) {
        int64_t type = tri_gguf_array_i64(types, i);
        if (type != CONTROL && type != USER_DEFINED) continue;
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
            if (tri_str_is(tokens->strings[i], texts[k]))
                TRI_TRY(tri_config_add_eos(r->config, i, r->err));
        }
    }
    return TRI_OK;
}

static tri_status read_tokens(gguf_reader *r) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id"};
    r->config->bos_id = r->config->pad_id = -1;
    TRI_TRY(read_token(r, "tokenizer.ggml.bos_token_id", &r->config->bos_id));
    TRI_TRY(read_token(r, "tokenizer.ggml.padding_token_id", &r->config->pad_id));
    for (int i = 0; i < 3; i++) {
        int32_t id = -1;
        TRI_TRY(read_token(r, ends[i], &id));
        TRI_TRY(tri_config_add_eos(r->config, id, r->err));
    }
    return add_turn_ends(r);
}

/* ---- all of it ---- */

static tri_status read_config(gguf_reader *r) {
    TRI_TRY(find_family(r));
    TRI_TRY(refuse_extras(r));
    TRI_TRY(read_sizes(r));
    TRI_TRY(read_details(r));
    TRI_TRY(read_layers(r));
    TRI_TRY(read_rope(r));
    TRI_TRY(read_tokens(r));
    return tri_model_config_check(r->config, r->err);
}

tri_status tri_model_config_from_gguf(
    tri_model_config *config, const tri_gguf *gguf, tri_arena *arena, tri_error *err) {
    tri_model_config out = {.mapping = {1, 1}};
    gguf_reader r = {.gguf = gguf, .config = &out, .arena = arena, .err = err};
    tri_status rc = read_config(&r);
    if (rc) {
        tri_error_context(err, "GGUF metadata");
        return rc;
    }
    *config = out;
    return TRI_OK;
}
