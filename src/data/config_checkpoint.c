/* config_checkpoint.c - config.json of a TensorRT-LLM checkpoint directory, read and written
 * (declared in model_config.h).
 *
 * First come the old tools' keys, all of them and in their order: architecture, dtype,
 * logits_dtype, vocab_size, hidden_size, num_hidden_layers, num_attention_heads,
 * num_key_value_heads, head_size, qk_layernorm, hidden_act, intermediate_size, norm_epsilon,
 * max_position_embeddings, position_embedding_type, rotary_base, rotary_scaling,
 * use_parallel_embedding, embedding_sharding_dim, attn_bias, mlp_bias, residual_mlp,
 * disable_weight_only_quant_plugin, remove_duplicated_kv_heads, moe, mapping, quantization.
 *
 * Then those that the old tools had for single families, when they say something:
 *   rotary_pct                      share of a head that rotates (Phi-3)
 *   longrope_scaling_short_factors, longrope_scaling_long_factors,
 *   original_max_position_embeddings  with position_embedding_type long_rope (Phi-3)
 *   query_pre_attn_scalar, attn_logit_softcapping, final_logit_softcapping    (Gemma 2)
 *   tie_word_embeddings
 *
 * Then what they had no key for, under Hugging Face's names where it has one:
 *   attn_dense_bias          bias of attention.dense when not as usual (our own name)
 *   rotary_dim               elements of a head that rotate, when not all
 *   rope_local_base_freq     rope of sliding layers, when they have their own
 *   sliding_window, layer_types
 *   embedding_multiplier     factor of the embedding's output
 *   bos_token_id, pad_token_id, eos_token_id (a list when not one)
 * and in `quantization` of quant_algo "GGUF": gguf_types, canonical name -> block type. */
#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "data/config_family.h"

static const char *const quant_names[] = {
    [TRI_QUANT_W8A16] = "W8A16", [TRI_QUANT_W4A16] = "W4A16", [TRI_QUANT_GGUF] = "GGUF"};

/* The old tools' default, written wherever the group size says nothing. */
enum { CHECKPOINT_GROUP_SIZE = 128 };

/* attention.dense has a bias where qkv has one, but not where the family always has that. */
static bool usual_dense_bias(const tri_model_config *c) {
    const tri_config_family *family = tri_config_family_find(c->architecture);
    return c->attn_bias && !(family && family->always_qkv_bias);
}

/* ==== writing ==== */

static void put_i64(tri_json_writer *w, const char *key, int64_t value) {
    tri_json_key(w, key);
    tri_json_i64(w, value);
}

static void put_f64(tri_json_writer *w, const char *key, double value) {
    tri_json_key(w, key);
    tri_json_f64(w, value);
}

static void put_bool(tri_json_writer *w, const char *key, bool value) {
    tri_json_key(w, key);
    tri_json_bool(w, value);
}

static void put_string(tri_json_writer *w, const char *key, const char *value) {
    tri_json_key(w, key);
    if (value)
        tri_json_string(w, tri_str_of(value));
    else
        tri_json_null(w);
}

static void put_id(tri_json_writer *w, const char *key, int32_t id) {
    if (id >= 0) put_i64(w, key, id);
}

static void write_moe(tri_json_writer *w) {
    tri_json_key(w, "moe");
    tri_json_begin_object(w);
    put_i64(w, "num_experts", 0);
    put_i64(w, "top_k", 0);
    put_string(w, "normalization_mode", NULL);
    put_i64(w, "tp_mode", 0);
    tri_json_end_object(w);
}

static void write_mapping(const tri_model_config *c, tri_json_writer *w) {
    tri_json_key(w, "mapping");
    tri_json_begin_object(w);
    put_i64(w, "world_size", (int64_t)c->mapping.tp_size * c->mapping.pp_size);
    put_i64(w, "tp_size", c->mapping.tp_size);
    put_i64(w, "pp_size", c->mapping.pp_size);
    put_i64(w, "cp_size", 1);
    put_i64(w, "moe_tp_size", 1);
    put_i64(w, "moe_ep_size", 1);
    put_i64(w, "gpus_per_node", 8);
    tri_json_end_object(w);
}

static void write_quantization(const tri_model_config *c, tri_json_writer *w) {
    tri_quant_kind kind = c->quantization.kind;
    tri_json_key(w, "quantization");
    tri_json_begin_object(w);
    put_string(w, "quant_algo", kind == TRI_QUANT_NONE ? NULL : quant_names[kind]);
    put_string(w, "kv_cache_quant_algo", NULL);
    put_i64(w, "group_size",
        kind == TRI_QUANT_W4A16 ? c->quantization.group_size : CHECKPOINT_GROUP_SIZE);
    put_f64(w, "smoothquant_val", 0.5);
    put_string(w, "clamp_val", NULL);
    put_bool(w, "has_zero_point", false);
    put_bool(w, "pre_quant_scale", false);
    tri_json_key(w, "exclude_modules");
    if (kind == TRI_QUANT_W8A16 || kind == TRI_QUANT_W4A16) {
        tri_json_begin_array(w);
        tri_json_string(w, TRI_STR("lm_head"));
        tri_json_end_array(w);
    } else {
        tri_json_null(w);
    }
    if (kind == TRI_QUANT_GGUF) {
        tri_json_key(w, "gguf_types");
        tri_json_begin_object(w);
        for (int32_t i = 0; i < c->quantization.n_gguf_types; i++) {
            const tri_gguf_type_entry *entry = &c->quantization.gguf_types[i];
            put_string(w, entry->name, tri_dtype_name(entry->dtype));
        }
        tri_json_end_object(w);
    }
    tri_json_end_object(w);
}

static const char *position_embedding(const tri_rope_desc *rope) {
    if (rope->type == TRI_ROPE_LONGROPE) return "long_rope";
    return rope->interleaved ? "rope_gptj" : "rope_gpt_neox";
}

static void write_old_keys(const tri_model_config *c, tri_json_writer *w) {
    put_string(w, "architecture", c->architecture);
    put_string(w, "dtype", tri_dtype_get(c->dtype)->config);
    put_string(w, "logits_dtype", "float32");
    put_i64(w, "vocab_size", c->vocab_size);
    put_i64(w, "hidden_size", c->hidden_size);
    put_i64(w, "num_hidden_layers", c->n_layers);
    put_i64(w, "num_attention_heads", c->n_heads);
    put_i64(w, "num_key_value_heads", c->n_kv_heads);
    put_i64(w, "head_size", c->head_size);
    put_bool(w, "qk_layernorm", c->qk_layernorm);
    put_string(w, "hidden_act", c->hidden_act);
    put_i64(w, "intermediate_size", c->intermediate_size);
    put_f64(w, "norm_epsilon", c->norm_epsilon);
    put_i64(w, "max_position_embeddings", c->max_position_embeddings);
    put_string(w, "position_embedding_type", position_embedding(&c->rope[0]));
    put_f64(w, "rotary_base", c->rope[0].base);
    tri_json_key(w, "rotary_scaling");
    tri_config_write_rope(&c->rope[0], w);
    put_bool(w, "use_parallel_embedding", c->use_parallel_embedding);
    put_i64(w, "embedding_sharding_dim", c->embedding_sharding_dim);
    put_bool(w, "attn_bias", c->attn_bias);
    put_bool(w, "mlp_bias", c->mlp_bias);
    put_bool(w, "residual_mlp", false);
    put_bool(w, "disable_weight_only_quant_plugin", false);
    put_bool(w, "remove_duplicated_kv_heads", false);
    write_moe(w);
    write_mapping(c, w);
    write_quantization(c, w);
}

static void write_factors(tri_json_writer *w, const char *key, const double *factors, int32_t n) {
    tri_json_key(w, key);
    tri_json_begin_array(w);
    for (int32_t i = 0; i < n; i++)
        tri_json_f64(w, factors[i]);
    tri_json_end_array(w);
}

static void write_rope_keys(const tri_model_config *c, tri_json_writer *w) {
    const tri_rope_desc *rope = &c->rope[0];
    int32_t dim = rope->rotary_dim ? rope->rotary_dim : c->head_size;
    if (dim != c->head_size) {
        put_f64(w, "rotary_pct", (double)dim / c->head_size);
        put_i64(w, "rotary_dim", dim);
    }
    if (rope->type == TRI_ROPE_LONGROPE) {
        put_i64(w, "original_max_position_embeddings", rope->original_max_positions);
        write_factors(w, "longrope_scaling_short_factors", c->short_factors, dim / 2);
        write_factors(w, "longrope_scaling_long_factors", c->long_factors, dim / 2);
    }
    if (c->n_ropes == 2) put_f64(w, "rope_local_base_freq", c->rope[1].base);
}

/* The scalar whose -1/2 power is `scale` to the last bit: whole where a whole number gives it, else
 * among the neighbours of 1 / scale^2, where every scale that came of a scalar finds one. */
static double pre_attn_scalar(double scale) {
    double scalar = 1.0 / (scale * scale), whole = rint(scalar);
    if (1.0 / sqrt(whole) == scale) return whole;
    double up = scalar, down = scalar;
    for (int i = 0; i < 8; i++) {
        if (1.0 / sqrt(up) == scale) return up;
        if (1.0 / sqrt(down) == scale) return down;
        up = nextafter(up, INFINITY);
        down = nextafter(down, 0.0);
    }
    return scalar;
}

static void write_layers(const tri_model_config *c, tri_json_writer *w) {
    if (!c->sliding_window) return;
    put_i64(w, "sliding_window", c->sliding_window);
    tri_json_key(w, "layer_types");
    tri_json_begin_array(w);
    for (int32_t i = 0; i < c->n_layers; i++)
        tri_json_string(
            w, tri_str_of(c->layer_is_sliding[i] ? "sliding_attention" : "full_attention"));
    tri_json_end_array(w);
}

static void write_tokens(const tri_model_config *c, tri_json_writer *w) {
    put_id(w, "bos_token_id", c->bos_id);
    put_id(w, "pad_token_id", c->pad_id);
    if (c->n_eos == 1) put_id(w, "eos_token_id", c->eos_ids[0]);
    if (c->n_eos < 2) return;
    tri_json_key(w, "eos_token_id");
    tri_json_begin_array(w);
    for (int32_t i = 0; i < c->n_eos; i++)
        tri_json_i64(w, c->eos_ids[i]);
    tri_json_end_array(w);
}

/* Also when it is 1 in a family that would scale by itself. */
static void write_embedding_scale(const tri_model_config *c, tri_json_writer *w) {
    const tri_config_family *family = tri_config_family_find(c->architecture);
    double scale = c->embedding_scale;
    if (scale == 0.0 && family && family->scales_embedding) scale = 1.0;
    if (scale > 0.0) put_f64(w, "embedding_multiplier", scale);
}

void tri_model_config_write(const tri_model_config *config, tri_json_writer *w) {
    tri_json_begin_object(w);
    write_old_keys(config, w);
    put_bool(w, "tie_word_embeddings", config->tie_word_embeddings);
    if (config->attn_dense_bias != usual_dense_bias(config))
        put_bool(w, "attn_dense_bias", config->attn_dense_bias);
    write_rope_keys(config, w);
    if (config->query_scale > 0.0)
        put_f64(w, "query_pre_attn_scalar", pre_attn_scalar(config->query_scale));
    if (config->attn_logit_softcap > 0.0)
        put_f64(w, "attn_logit_softcapping", config->attn_logit_softcap);
    if (config->final_logit_softcap > 0.0)
        put_f64(w, "final_logit_softcapping", config->final_logit_softcap);
    write_layers(config, w);
    write_embedding_scale(config, w);
    write_tokens(config, w);
    tri_json_end_object(w);
}

/* ==== reading ==== */

typedef struct checkpoint_reader {
    const tri_json *root;
    const tri_config_family *family;
    tri_model_config *config;
    tri_arena *arena;
    tri_error *err;
} checkpoint_reader;

static tri_status missing(checkpoint_reader *r, const char *key) {
    return TRI_FAIL(r->err, TRI_E_FORMAT, "no %s: not the config of a checkpoint", key);
}

static tri_status read_size(
    checkpoint_reader *r, const char *key, bool required, int32_t max, int32_t *value) {
    const tri_json *found = tri_json_get(r->root, key);
    if (required && (!found || tri_json_is(found, TRI_JSON_NULL))) return missing(r, key);
    return tri_json_read_i32(r->root, key, 1, max, value, r->err);
}

static tri_status read_names(checkpoint_reader *r) {
    const char *architecture = NULL, *dtype = NULL, *act = NULL;
    TRI_TRY(tri_json_read_string(r->root, "architecture", &architecture, r->err));
    if (!architecture) return missing(r, "architecture");
    r->family = tri_config_family_find(architecture);
    if (!r->family) return tri_config_unknown_architecture(architecture, r->err);
    r->config->architecture = r->family->architecture;
    TRI_TRY(tri_json_read_string(r->root, "dtype", &dtype, r->err));
    if (!dtype) return missing(r, "dtype");
    TRI_TRY(tri_config_dtype("dtype", dtype, &r->config->dtype, r->err));
    TRI_TRY(tri_json_read_string(r->root, "hidden_act", &act, r->err));
    if (!act) return missing(r, "hidden_act");
    return tri_config_activation("hidden_act", act, &r->config->hidden_act, r->err);
}

static tri_status read_sizes(checkpoint_reader *r) {
    tri_model_config *c = r->config;
    TRI_TRY(read_size(r, "vocab_size", true, TRI_CONFIG_VOCAB_MAX, &c->vocab_size));
    TRI_TRY(read_size(r, "hidden_size", true, TRI_CONFIG_WIDTH_MAX, &c->hidden_size));
    TRI_TRY(read_size(r, "num_hidden_layers", true, TRI_MAX_LAYERS, &c->n_layers));
    TRI_TRY(read_size(r, "num_attention_heads", true, TRI_CONFIG_HEADS_MAX, &c->n_heads));
    c->n_kv_heads = c->n_heads;
    c->head_size = c->hidden_size / c->n_heads;
    c->intermediate_size = 4 * c->hidden_size;
    c->max_position_embeddings = r->family->max_positions;
    TRI_TRY(read_size(r, "num_key_value_heads", false, TRI_CONFIG_HEADS_MAX, &c->n_kv_heads));
    TRI_TRY(read_size(r, "head_size", false, TRI_CONFIG_HEAD_SIZE_MAX, &c->head_size));
    TRI_TRY(read_size(r, "intermediate_size", false, TRI_CONFIG_WIDTH_MAX, &c->intermediate_size));
    return tri_json_read_i64(r->root, "max_position_embeddings", 1, TRI_CONFIG_POSITIONS_MAX,
        &c->max_position_embeddings, r->err);
}

static tri_status read_bool(checkpoint_reader *r, const char *key, bool *value) {
    return tri_json_read_bool(r->root, key, value, r->err);
}

static tri_status read_details(checkpoint_reader *r) {
    const tri_config_family *f = r->family;
    tri_model_config *c = r->config;
    double scalar = 0.0;
    bool shared = f->tie_word_embeddings;
    c->norm_epsilon = 1e-5;
    c->qk_layernorm = f->qk_layernorm;
    c->attn_bias = f->always_qkv_bias;
    if (f->scales_embedding) c->embedding_scale = sqrt((double)c->hidden_size);
    TRI_TRY(tri_config_read_positive(r->root, "norm_epsilon", &c->norm_epsilon, r->err));
    TRI_TRY(read_bool(r, "qk_layernorm", &c->qk_layernorm));
    TRI_TRY(read_bool(r, "attn_bias", &c->attn_bias));
    c->attn_dense_bias = usual_dense_bias(c);
    TRI_TRY(read_bool(r, "attn_dense_bias", &c->attn_dense_bias));
    TRI_TRY(read_bool(r, "mlp_bias", &c->mlp_bias));
    TRI_TRY(read_bool(r, "share_embedding_table", &shared));
    c->tie_word_embeddings = shared;
    TRI_TRY(read_bool(r, "tie_word_embeddings", &c->tie_word_embeddings));
    TRI_TRY(tri_config_read_optional(r->root, "query_pre_attn_scalar", &scalar, r->err));
    if (scalar > 0.0) c->query_scale = 1.0 / sqrt(scalar);
    TRI_TRY(tri_config_read_optional(
        r->root, "attn_logit_softcapping", &c->attn_logit_softcap, r->err));
    TRI_TRY(tri_config_read_optional(
        r->root, "final_logit_softcapping", &c->final_logit_softcap, r->err));
    return tri_config_read_positive(r->root, "embedding_multiplier", &c->embedding_scale, r->err);
}

static tri_status read_positions(checkpoint_reader *r, bool *interleaved) {
    const char *type = NULL;
    TRI_TRY(tri_json_read_string(r->root, "position_embedding_type", &type, r->err));
    if (!type) type = "learned_absolute";
    *interleaved = strcmp(type, "rope_gptj") == 0;
    if (*interleaved || strcmp(type, "rope_gpt_neox") == 0 || strcmp(type, "long_rope") == 0)
        return TRI_OK;
    return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
        "position_embedding_type %.100s is not one of rope_gpt_neox, rope_gptj, long_rope", type);
}

static tri_status read_rotary_dim(checkpoint_reader *r, int32_t *dim) {
    double share = 1.0;
    TRI_TRY(tri_config_read_positive(r->root, "rotary_pct", &share, r->err));
    TRI_TRY(tri_config_rotary_dim("rotary_pct", share, r->config->head_size, dim, r->err));
    return tri_json_read_i32(r->root, "rotary_dim", 2, TRI_CONFIG_HEAD_SIZE_MAX, dim, r->err);
}

static tri_status read_rope(checkpoint_reader *r) {
    tri_model_config *c = r->config;
    tri_rope_desc *rope = &c->rope[0];
    tri_json old_long_rope = {.kind = TRI_JSON_OBJECT}, type = {.kind = TRI_JSON_STRING};
    tri_str type_key = TRI_STR("rope_type");
    tri_rope_source source = {.scaling = tri_json_get(r->root, "rotary_scaling"),
        .name = "rotary_scaling",
        .short_factors = tri_json_get(r->root, "longrope_scaling_short_factors"),
        .long_factors = tri_json_get(r->root, "longrope_scaling_long_factors"),
        .max_positions = c->max_position_embeddings};
    bool has_scaling = source.scaling && source.scaling->kind != TRI_JSON_NULL;
    if (!has_scaling && source.short_factors) { /* the old tools' Phi-3 says no more than this */
        type.text = TRI_STR("longrope");
        old_long_rope =
            (tri_json){.kind = TRI_JSON_OBJECT, .n = 1, .items = &type, .keys = &type_key};
        source.scaling = &old_long_rope;
    }
    TRI_TRY(read_positions(r, &rope->interleaved));
    TRI_TRY(read_rotary_dim(r, &rope->rotary_dim));
    rope->base = 10000.0;
    TRI_TRY(tri_config_read_positive(r->root, "rotary_base", &rope->base, r->err));
    TRI_TRY(tri_json_read_i64(r->root, "original_max_position_embeddings", 1,
        TRI_CONFIG_POSITIONS_MAX, &source.original_max_positions, r->err));
    TRI_TRY(
        tri_config_read_rope(&source, rope, &c->short_factors, &c->long_factors, r->arena, r->err));
    rope->frequency_factors = c->short_factors;
    c->n_ropes = 1;
    if (tri_json_get(r->root, "rope_local_base_freq") || r->family->rope_local_theta > 0.0) {
        c->n_ropes = 2;
        c->rope[1] = (tri_rope_desc){.rotary_dim = c->head_size,
            .interleaved = rope->interleaved,
            .base = r->family->rope_local_theta};
        TRI_TRY(
            tri_config_read_positive(r->root, "rope_local_base_freq", &c->rope[1].base, r->err));
    }
    return TRI_OK;
}

static tri_status read_layers(checkpoint_reader *r) {
    tri_model_config *c = r->config;
    bool found;
    TRI_TRY(tri_json_read_i32(r->root, "sliding_window", 0, INT32_MAX, &c->sliding_window, r->err));
    if (!c->sliding_window) return TRI_OK;
    for (int32_t i = 0; i < c->n_layers; i++)
        c->layer_is_sliding[i] = true;
    return tri_config_read_layer_types(r->root, c->n_layers, c->layer_is_sliding, &found, r->err);
}

/* Old files state these flat; both forms must say that there are no experts. */
static tri_status refuse_moe(checkpoint_reader *r) {
    const tri_json *moe = tri_json_get(r->root, "moe");
    int64_t n = 0, n_flat = 0;
    TRI_TRY(tri_json_read_i64(moe, "num_experts", 0, INT32_MAX, &n, r->err));
    TRI_TRY(tri_json_read_i64(r->root, "moe_num_experts", 0, INT32_MAX, &n_flat, r->err));
    if (n_flat > n) n = n_flat;
    if (n == 0) return TRI_OK;
    return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
        "num_experts is %" PRId64 "; mixtures of experts are not supported", n);
}

static tri_status refuse_set(checkpoint_reader *r, const char *key) {
    bool set = false;
    TRI_TRY(read_bool(r, key, &set));
    if (!set) return TRI_OK;
    return TRI_FAIL(r->err, TRI_E_UNSUPPORTED, "%s true is not supported", key);
}

static tri_status read_mapping(checkpoint_reader *r) {
    tri_model_config *c = r->config;
    const tri_json *mapping = tri_json_get(r->root, "mapping");
    int32_t cp = 1, world = 0;
    TRI_TRY(tri_json_read_i32(
        mapping, "tp_size", 1, TRI_CONFIG_RANKS_MAX, &c->mapping.tp_size, r->err));
    TRI_TRY(tri_json_read_i32(
        mapping, "pp_size", 1, TRI_CONFIG_RANKS_MAX, &c->mapping.pp_size, r->err));
    TRI_TRY(tri_json_read_i32(mapping, "cp_size", 1, TRI_CONFIG_RANKS_MAX, &cp, r->err));
    TRI_TRY(tri_json_read_i32(mapping, "world_size", 1, INT32_MAX, &world, r->err));
    if (cp != 1) {
        return TRI_FAIL(
            r->err, TRI_E_UNSUPPORTED, "cp_size %d: context parallelism is not supported", cp);
    }
    if (world && world != c->mapping.tp_size * c->mapping.pp_size) {
        return TRI_FAIL(r->err, TRI_E_FORMAT, "world_size %d is not tp_size %d * pp_size %d", world,
            c->mapping.tp_size, c->mapping.pp_size);
    }
    TRI_TRY(read_bool(r, "use_parallel_embedding", &c->use_parallel_embedding));
    return tri_json_read_i32(
        r->root, "embedding_sharding_dim", 0, 1, &c->embedding_sharding_dim, r->err);
}

static tri_status read_gguf_types(checkpoint_reader *r, const tri_json *types) {
    tri_model_config *c = r->config;
    if (!tri_json_is(types, TRI_JSON_OBJECT)) {
        return TRI_FAIL(r->err, TRI_E_FORMAT, "quant_algo GGUF without an object gguf_types");
    }
    tri_gguf_type_entry *entries = TRI_NEW_N(r->arena, tri_gguf_type_entry, types->n + 1);
    if (!entries) return TRI_FAIL(r->err, TRI_E_MEMORY, "no memory for %d types", types->n);
    for (int32_t i = 0; i < types->n; i++) {
        const tri_json *type = &types->items[i];
        entries[i].name = types->keys[i].ptr;
        if (tri_json_is(type, TRI_JSON_STRING) &&
            tri_dtype_parse(type->text.ptr, &entries[i].dtype) &&
            tri_dtype_get(entries[i].dtype)->is_block) {
            continue;
        }
        return TRI_FAIL(r->err, TRI_E_FORMAT, "gguf_types: %.200s is \"%.40s\", not a block type",
            entries[i].name, tri_json_is(type, TRI_JSON_STRING) ? type->text.ptr : "");
    }
    c->quantization.gguf_types = entries;
    c->quantization.n_gguf_types = types->n;
    return TRI_OK;
}

static tri_status read_quantization(checkpoint_reader *r) {
    tri_model_config *c = r->config;
    const tri_json *q = tri_json_get(r->root, "quantization");
    const char *algo = NULL, *kv_algo = NULL;
    TRI_TRY(tri_json_read_string(q, "quant_algo", &algo, r->err));
    TRI_TRY(tri_json_read_string(q, "kv_cache_quant_algo", &kv_algo, r->err));
    if (kv_algo) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "kv_cache_quant_algo %.100s is not supported; the cache's type is chosen at build",
            kv_algo);
    }
    if (!algo) return TRI_OK;
    for (int kind = TRI_QUANT_W8A16; kind <= TRI_QUANT_GGUF; kind++) {
        if (strcmp(quant_names[kind], algo) == 0) c->quantization.kind = (tri_quant_kind)kind;
    }
    switch (c->quantization.kind) {
    case TRI_QUANT_NONE:
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "quant_algo %.100s is not supported; these are: W8A16, W4A16, GGUF", algo);
    case TRI_QUANT_W8A16:
        return TRI_OK;
    case TRI_QUANT_W4A16:
        c->quantization.group_size = CHECKPOINT_GROUP_SIZE;
        return tri_json_read_i32(
            q, "group_size", 0, TRI_CONFIG_WIDTH_MAX, &c->quantization.group_size, r->err);
    case TRI_QUANT_GGUF:
        return read_gguf_types(r, tri_json_get(q, "gguf_types"));
    }
    return TRI_OK;
}

static tri_status read_tokens(checkpoint_reader *r) {
    tri_model_config *c = r->config;
    c->bos_id = c->pad_id = -1;
    TRI_TRY(tri_config_read_token(r->root, "bos_token_id", c, &c->bos_id, r->err));
    TRI_TRY(tri_config_read_token(r->root, "pad_token_id", c, &c->pad_id, r->err));
    return tri_config_read_eos(r->root, "eos_token_id", c, r->err);
}

static tri_status read_checkpoint(checkpoint_reader *r) {
    TRI_TRY(read_names(r));
    TRI_TRY(refuse_moe(r));
    TRI_TRY(refuse_set(r, "residual_mlp"));
    TRI_TRY(refuse_set(r, "use_logn_attn"));
    TRI_TRY(refuse_set(r, "remove_duplicated_kv_heads"));
    TRI_TRY(read_sizes(r));
    TRI_TRY(read_details(r));
    TRI_TRY(read_rope(r));
    TRI_TRY(read_layers(r));
    TRI_TRY(read_mapping(r));
    TRI_TRY(read_quantization(r));
    TRI_TRY(read_tokens(r));
    return tri_model_config_check(r->config, r->err);
}

tri_status tri_model_config_from_checkpoint(
    tri_model_config *config, tri_str json, tri_arena *arena, tri_error *err) {
    tri_model_config out = {.mapping = {1, 1}};
    checkpoint_reader r = {.config = &out, .arena = arena, .err = err};
    tri_status rc = tri_json_parse(json, arena, &r.root, err);
    if (!rc && !tri_json_is(r.root, TRI_JSON_OBJECT))
        rc = TRI_FAIL(err, TRI_E_FORMAT, "not a JSON object");
    if (!rc) rc = read_checkpoint(&r);
    if (rc) {
        tri_error_context(err, "config.json");
        return rc;
    }
    out.source = r.root;
    *config = out;
    return TRI_OK;
}
