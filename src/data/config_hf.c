/* config_hf.c - config.json and generation_config.json of Hugging Face directories, as
 * transformers 4 and 5 write them (declared in model_config.h). */
#include <math.h>
#include <string.h>

#include "data/config_family.h"

typedef struct hf_reader {
    const tri_json *root;   /* of the file */
    const tri_json *object; /* root, or its text_config */
    const tri_config_family *family;
    tri_model_config *config;
    tri_arena *arena;
    tri_error *err;
} hf_reader;

static bool is_present(const tri_json *object, const char *key) {
    const tri_json *value = tri_json_get(object, key);
    return value && value->kind != TRI_JSON_NULL;
}

/* ---- which family ---- */

/* The text half of Gemma 3's multimodal files: the only ones whose halves are known here. */
static const char *const multimodal_architecture = "Gemma3ForConditionalGeneration";

static tri_status find_family(hf_reader *r) {
    const char *architecture = NULL, *model_type = NULL;
    const tri_json *list = tri_json_get(r->root, "architectures");
    if (tri_json_is(list, TRI_JSON_ARRAY) && list->n > 0 &&
        tri_json_is(&list->items[0], TRI_JSON_STRING)) {
        architecture = list->items[0].text.ptr;
    }
    TRI_TRY(tri_json_read_string(r->root, "model_type", &model_type, r->err));
    if (!architecture && !model_type) {
        return TRI_FAIL(r->err, TRI_E_FORMAT,
            "neither architectures nor model_type: not the config of a Hugging Face model");
    }
    r->object = r->root;
    if (architecture && strcmp(architecture, multimodal_architecture) == 0) {
        r->object = tri_json_get(r->root, "text_config");
        if (!tri_json_is(r->object, TRI_JSON_OBJECT)) {
            return TRI_FAIL(
                r->err, TRI_E_FORMAT, "%s without a text_config", multimodal_architecture);
        }
        architecture = "Gemma3ForCausalLM";
    }
    r->family = architecture ? tri_config_family_find(architecture)
                             : tri_config_family_by_model_type(model_type);
    if (!r->family) {
        return tri_config_unknown_architecture(architecture ? architecture : model_type, r->err);
    }
    r->config->architecture = r->family->architecture;
    return TRI_OK;
}

/* ---- sizes ---- */

static tri_status read_size(hf_reader *r, const char *key, int32_t max, int32_t *value) {
    return tri_json_read_i32(r->object, key, 1, max, value, r->err);
}

static tri_status read_sizes(hf_reader *r) {
    const tri_config_family *f = r->family;
    tri_model_config *c = r->config;
    c->vocab_size = f->vocab_size;
    c->hidden_size = f->hidden_size;
    c->intermediate_size = f->intermediate_size;
    c->n_layers = f->n_layers;
    c->n_heads = f->n_heads;
    c->max_position_embeddings = f->max_positions;
    TRI_TRY(read_size(r, "vocab_size", TRI_CONFIG_VOCAB_MAX, &c->vocab_size));
    TRI_TRY(read_size(r, "hidden_size", TRI_CONFIG_WIDTH_MAX, &c->hidden_size));
    TRI_TRY(read_size(r, "intermediate_size", TRI_CONFIG_WIDTH_MAX, &c->intermediate_size));
    TRI_TRY(read_size(r, "num_hidden_layers", TRI_MAX_LAYERS, &c->n_layers));
    TRI_TRY(read_size(r, "num_attention_heads", TRI_CONFIG_HEADS_MAX, &c->n_heads));
    TRI_TRY(tri_json_read_i64(r->object, "max_position_embeddings", 1, TRI_CONFIG_POSITIONS_MAX,
        &c->max_position_embeddings, r->err));

    /* null means "derive it" even where the class has a default. */
    bool own_kv = !tri_json_get(r->object, "num_key_value_heads") && f->n_kv_heads;
    c->n_kv_heads = own_kv ? f->n_kv_heads : c->n_heads;
    TRI_TRY(read_size(r, "num_key_value_heads", TRI_CONFIG_HEADS_MAX, &c->n_kv_heads));
    bool own_head_size = !tri_json_get(r->object, "head_dim") && f->head_size;
    c->head_size = own_head_size ? f->head_size : c->hidden_size / c->n_heads;
    return read_size(r, "head_dim", TRI_CONFIG_HEAD_SIZE_MAX, &c->head_size);
}

static tri_status read_dtype(hf_reader *r) {
    static const char *const keys[] = {"dtype", "torch_dtype"};
    const tri_json *objects[] = {r->object, r->root};
    r->config->dtype = TRI_F32; /* torch's default */
    for (int o = 0; o < 2; o++) {
        for (int k = 0; k < 2; k++) {
            const char *name = NULL;
            TRI_TRY(tri_json_read_string(objects[o], keys[k], &name, r->err));
            if (name) return tri_config_dtype(keys[k], name, &r->config->dtype, r->err);
        }
    }
    return TRI_OK;
}

/* ---- norms, biases, scales ---- */

static tri_status read_details(hf_reader *r) {
    const tri_config_family *f = r->family;
    tri_model_config *c = r->config;
    const char *act = f->hidden_act;
    TRI_TRY(tri_json_read_string(r->object, f->hidden_act_key, &act, r->err));
    TRI_TRY(tri_config_activation(f->hidden_act_key, act, &c->hidden_act, r->err));
    c->norm_epsilon = f->norm_epsilon;
    TRI_TRY(tri_config_read_positive(r->object, "rms_norm_eps", &c->norm_epsilon, r->err));
    c->tie_word_embeddings = f->tie_word_embeddings;
    TRI_TRY(tri_json_read_bool(r->object, "tie_word_embeddings", &c->tie_word_embeddings, r->err));
    if (f->reads_attention_bias)
        TRI_TRY(tri_json_read_bool(r->object, "attention_bias", &c->attn_bias, r->err));
    c->attn_dense_bias = c->attn_bias;
    c->attn_bias |= f->always_qkv_bias;
    if (f->reads_mlp_bias) TRI_TRY(tri_json_read_bool(r->object, "mlp_bias", &c->mlp_bias, r->err));
    c->qk_layernorm = f->qk_layernorm;
    if (f->scales_embedding) c->embedding_scale = sqrt((double)c->hidden_size);
    if (f->query_pre_attn_scalar > 0.0) {
        double scalar = f->query_pre_attn_scalar;
        TRI_TRY(tri_config_read_positive(r->object, "query_pre_attn_scalar", &scalar, r->err));
        c->query_scale = 1.0 / sqrt(scalar);
    }
    if (f->reads_attn_softcap) {
        c->attn_logit_softcap = f->attn_softcap;
        TRI_TRY(tri_config_read_optional(
            r->object, "attn_logit_softcapping", &c->attn_logit_softcap, r->err));
    }
    if (f->reads_final_softcap) {
        c->final_logit_softcap = f->final_softcap;
        TRI_TRY(tri_config_read_optional(
            r->object, "final_logit_softcapping", &c->final_logit_softcap, r->err));
    }
    return TRI_OK;
}

/* ---- sliding windows ---- */

/* The window: 0 when null; the class's default when absent. */
static tri_status read_window(hf_reader *r, int32_t *window) {
    *window = tri_json_get(r->object, "sliding_window") ? 0 : r->family->sliding_window;
    TRI_TRY(tri_json_read_i32(r->object, "sliding_window", 0, INT32_MAX, window, r->err));
    if (r->family->window_rule != TRI_WINDOW_FROM_LAYER) return TRI_OK;
    bool use = false;
    TRI_TRY(tri_json_read_bool(r->object, "use_sliding_window", &use, r->err));
    if (!use) *window = 0;
    return TRI_OK;
}

static tri_status derive_layers(hf_reader *r, bool *is_sliding) {
    const tri_config_family *f = r->family;
    int32_t first = f->max_window_layers, pattern = f->window_pattern;
    TRI_TRY(tri_json_read_i32(r->object, "max_window_layers", 0, INT32_MAX, &first, r->err));
    if (f->rope_local_theta > 0.0) {
        TRI_TRY(
            tri_json_read_i32(r->object, "sliding_window_pattern", 1, INT32_MAX, &pattern, r->err));
    }
    for (int32_t i = 0; i < r->config->n_layers; i++) {
        is_sliding[i] = f->window_rule == TRI_WINDOW_ALL ||
                        (f->window_rule == TRI_WINDOW_FROM_LAYER && i >= first) ||
                        (f->window_rule == TRI_WINDOW_PATTERN && (i + 1) % pattern != 0);
    }
    return TRI_OK;
}

static tri_status read_layers(hf_reader *r) {
    tri_model_config *c = r->config;
    bool derived[TRI_MAX_LAYERS] = {false}, listed[TRI_MAX_LAYERS] = {false}, found = false;
    int32_t window = 0;
    if (r->family->window_rule != TRI_WINDOW_NONE) {
        TRI_TRY(read_window(r, &window));
        if (window) TRI_TRY(derive_layers(r, derived));
    }
    TRI_TRY(tri_config_read_layer_types(r->object, c->n_layers, listed, &found, r->err));
    bool reads_list = r->family->window_rule == TRI_WINDOW_PATTERN ||
                      r->family->window_rule == TRI_WINDOW_FROM_LAYER;
    const bool *layers = found && reads_list ? listed : derived;
    for (int32_t i = 0; i < c->n_layers; i++) {
        if (found && listed[i] != derived[i] && (!reads_list || !window)) {
            return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
                "layer_types[%d] is %s, but %s makes the layer %s", i,
                listed[i] ? "sliding_attention" : "full_attention",
                window ? c->architecture : "the absent sliding_window",
                derived[i] ? "sliding" : "full");
        }
        c->layer_is_sliding[i] = layers[i];
        if (layers[i]) c->sliding_window = window;
    }
    return TRI_OK;
}

/* ---- rope ---- */

/* transformers 5 nests rope_parameters by layer type where a family has two. */
static const tri_json *nested_rope(const tri_json *parameters, const char *layer_type) {
    const tri_json *nested = tri_json_get(parameters, layer_type);
    return tri_json_is(nested, TRI_JSON_OBJECT) ? nested : NULL;
}

static tri_status read_base(
    hf_reader *r, const tri_json *parameters, const char *key, double class_default, double *base) {
    *base = class_default;
    TRI_TRY(tri_config_read_positive(r->object, key, base, r->err));
    return tri_config_read_positive(parameters, "rope_theta", base, r->err);
}

static tri_status read_rotary_dim(hf_reader *r, const tri_json *parameters, int32_t *dim) {
    double share = 1.0;
    TRI_TRY(tri_config_read_positive(r->object, "partial_rotary_factor", &share, r->err));
    TRI_TRY(tri_config_read_positive(parameters, "partial_rotary_factor", &share, r->err));
    if (share != 1.0 && !r->family->reads_partial_rotary) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "partial_rotary_factor %g: %s rotates whole heads", share, r->config->architecture);
    }
    return tri_config_rotary_dim("partial_rotary_factor", share, r->config->head_size, dim, r->err);
}

static tri_status read_local_rope(hf_reader *r, const tri_json *parameters) {
    tri_rope_desc *local = &r->config->rope[1];
    tri_rope_source source = {.scaling = parameters,
        .name = "rope_parameters.sliding_attention",
        .max_positions = r->config->max_position_embeddings};
    const double *factors[2];
    local->rotary_dim = r->config->head_size;
    TRI_TRY(read_base(
        r, parameters, "rope_local_base_freq", r->family->rope_local_theta, &local->base));
    TRI_TRY(tri_config_read_rope(&source, local, &factors[0], &factors[1], r->arena, r->err));
    if (local->type != TRI_ROPE_DEFAULT) {
        return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
            "%s is scaled; only full-attention layers may be", source.name);
    }
    r->config->n_ropes = 2;
    return TRI_OK;
}

static tri_status read_rope(hf_reader *r) {
    tri_model_config *c = r->config;
    const tri_json *parameters = tri_json_get(r->object, "rope_parameters"), *local = NULL;
    tri_rope_source source = {.name = "rope_parameters",
        .max_positions = c->max_position_embeddings,
        .yarn_is_longrope = r->family->reads_partial_rotary};
    if (nested_rope(parameters, "full_attention") || nested_rope(parameters, "sliding_attention")) {
        if (r->family->rope_local_theta <= 0.0) {
            return TRI_FAIL(r->err, TRI_E_UNSUPPORTED,
                "rope_parameters by layer type: %s rotates all layers alike", c->architecture);
        }
        local = nested_rope(parameters, "sliding_attention");
        parameters = nested_rope(parameters, "full_attention");
        source.name = "rope_parameters.full_attention";
    }
    source.scaling = parameters;
    if (is_present(r->object, "rope_scaling")) { /* as transformers 5: the old key wins */
        source.scaling = tri_json_get(r->object, "rope_scaling");
        source.name = "rope_scaling";
    }
    TRI_TRY(tri_json_read_i64(r->object, "original_max_position_embeddings", 1,
        TRI_CONFIG_POSITIONS_MAX, &source.original_max_positions, r->err));
    c->n_ropes = 1;
    TRI_TRY(read_base(r, parameters, "rope_theta", r->family->rope_theta, &c->rope[0].base));
    TRI_TRY(read_rotary_dim(r, parameters, &c->rope[0].rotary_dim));
    TRI_TRY(tri_config_read_rope(
        &source, &c->rope[0], &c->short_factors, &c->long_factors, r->arena, r->err));
    c->rope[0].frequency_factors = c->short_factors;
    if (r->family->rope_local_theta > 0.0) TRI_TRY(read_local_rope(r, local));
    return TRI_OK;
}

/* ---- tokens ---- */

static tri_status read_tokens(hf_reader *r, const tri_json *generation) {
    tri_model_config *c = r->config;
    const tri_json *places[] = {r->object, r->root, generation};
    bool found_eos = false;
    c->bos_id = r->family->bos_id;
    c->pad_id = r->family->pad_id;
    for (int i = 0; i < 3; i++) {
        if (i == 1 && r->root == r->object) continue;
        if (i == 0 || c->bos_id < 0)
            TRI_TRY(tri_config_read_token(places[i], "bos_token_id", c, &c->bos_id, r->err));
        if (i == 0 || c->pad_id < 0)
            TRI_TRY(tri_config_read_token(places[i], "pad_token_id", c, &c->pad_id, r->err));
        if (!tri_json_get(places[i], "eos_token_id")) continue;
        found_eos = true;
        TRI_TRY(tri_config_read_eos(places[i], "eos_token_id", c, r->err));
    }
    if (found_eos) return TRI_OK;
    return tri_config_add_eos(c, r->family->eos_id, r->err);
}

static tri_status read_generation(
    hf_reader *r, tri_str generation_json, const tri_json **generation) {
    *generation = NULL;
    if (generation_json.len == 0) return TRI_OK;
    tri_status rc = tri_json_parse(generation_json, r->arena, generation, r->err);
    if (!rc && !tri_json_is(*generation, TRI_JSON_OBJECT))
        rc = TRI_FAIL(r->err, TRI_E_FORMAT, "not a JSON object");
    if (rc) tri_error_context(r->err, "generation_config.json");
    return rc;
}

/* ---- all of it ---- */

static tri_status read_config(hf_reader *r, const tri_json *generation) {
    TRI_TRY(find_family(r));
    TRI_TRY(tri_config_check_hf_keys(r->root, r->object, r->family, r->err));
    TRI_TRY(read_sizes(r));
    TRI_TRY(read_dtype(r));
    TRI_TRY(read_details(r));
    TRI_TRY(read_layers(r));
    TRI_TRY(read_rope(r));
    TRI_TRY(read_tokens(r, generation));
    return tri_model_config_check(r->config, r->err);
}

tri_status tri_model_config_from_hf(tri_model_config *config, tri_str json, tri_str generation_json,
    tri_arena *arena, tri_error *err) {
    tri_model_config out = {.mapping = {1, 1}};
    hf_reader r = {.config = &out, .arena = arena, .err = err};
    const tri_json *generation;
    TRI_TRY(read_generation(&r, generation_json, &generation));
    tri_status rc = tri_json_parse(json, arena, &r.root, err);
    if (!rc && !tri_json_is(r.root, TRI_JSON_OBJECT))
        rc = TRI_FAIL(err, TRI_E_FORMAT, "not a JSON object");
    if (!rc) rc = read_config(&r, generation);
    if (rc) {
        tri_error_context(err, "config.json");
        return rc;
    }
    out.source = r.root;
    *config = out;
    return TRI_OK;
}
