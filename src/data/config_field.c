/* config_field.c - single fields that all readers of configs take alike (config_family.h). */
#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "data/config_family.h"

/* ---- names ---- */

tri_status tri_config_activation(
    const char *key, const char *name, const char **hidden_act, tri_error *err) {
    static const struct {
        const char *name, *canonical;
    } known[] = {
        {"silu", "silu"},
        {"swish", "silu"},
        {"swiglu", "silu"}, /* TensorRT-LLM's word for a gated silu */
        {"gelu", "gelu"},
        {"gelu_pytorch_tanh", "gelu_pytorch_tanh"},
        {"gelu_new", "gelu_pytorch_tanh"}, /* the same formula */
        {"relu", "relu"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *hidden_act = known[i].canonical;
        return TRI_OK;
    }
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s \"%.100s\" is not known; these are: silu, gelu, gelu_pytorch_tanh, relu", key, name);
}

tri_status tri_config_dtype(const char *key, const char *name, tri_dtype *dtype, tri_error *err) {
    const char *bare = strncmp(name, "torch.", 6) == 0 ? name + 6 : name;
    tri_dtype parsed;
    if (tri_dtype_parse(bare, &parsed) &&
        (parsed == TRI_F32 || parsed == TRI_F16 || parsed == TRI_BF16)) {
        *dtype = parsed;
        return TRI_OK;
    }
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s \"%.100s\" is not one of float32, float16, bfloat16", key, name);
}

/* ---- numbers ---- */

tri_status tri_config_read_optional(
    const tri_json *object, const char *key, double *value, tri_error *err) {
    double x = 0.0;
    if (!tri_json_get(object, key)) return TRI_OK;
    TRI_TRY(tri_json_read_f64(object, key, &x, err));
    if (!isfinite(x) || x < 0.0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is %g, it must be finite and not negative", key, x);
    }
    *value = x;
    return TRI_OK;
}

tri_status tri_config_read_positive(
    const tri_json *object, const char *key, double *value, tri_error *err) {
    const tri_json *item = tri_json_get(object, key);
    double x = 0.0;
    if (!item || item->kind == TRI_JSON_NULL) return TRI_OK;
    TRI_TRY(tri_json_read_f64(object, key, &x, err));
    if (!isfinite(x) || x <= 0.0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is %g, it must be finite and above 0", key, x);
    }
    *value = x;
    return TRI_OK;
}

/* ---- token ids ---- */

static bool in_vocabulary(const tri_model_config *config, const char *key, int64_t id) {
    if (id >= 0 && id < config->vocab_size) return true;
    if (id != -1) {
        tri_log(TRI_LOG_WARN, "config", "%s=%" PRId64 " dropped, vocab_size=%" PRId32, key, id,
            config->vocab_size);
    }
    return false;
}

tri_status tri_config_read_token(const tri_json *object, const char *key,
    const tri_model_config *config, int32_t *id, tri_error *err) {
    if (!tri_json_get(object, key)) return TRI_OK;
    int64_t value = -1;
    TRI_TRY(tri_json_read_i64(object, key, INT64_MIN, INT64_MAX, &value, err));
    *id = in_vocabulary(config, key, value) ? (int32_t)value : -1;
    return TRI_OK;
}

tri_status tri_config_add_eos(tri_model_config *config, int64_t id, tri_error *err) {
    if (!in_vocabulary(config, "eos_token_id", id)) return TRI_OK;
    for (int32_t i = 0; i < config->n_eos; i++) {
        if (config->eos_ids[i] == id) return TRI_OK;
    }
    if (config->n_eos == TRI_MAX_EOS) {
        return TRI_FAIL(err, TRI_E_LIMIT, "more than %d different eos_token_id", (int)TRI_MAX_EOS);
    }
    config->eos_ids[config->n_eos++] = (int32_t)id;
    return TRI_OK;
}

tri_status tri_config_read_eos(
    const tri_json *object, const char *key, tri_model_config *config, tri_error *err) {
    const tri_json *value = tri_json_get(object, key);
    if (!tri_json_is(value, TRI_JSON_ARRAY)) {
        int64_t id = -1;
        TRI_TRY(tri_json_read_i64(object, key, INT64_MIN, INT64_MAX, &id, err));
        return tri_config_add_eos(config, id, err);
    }
    for (int32_t i = 0; i < value->n; i++) {
        int64_t id;
        const tri_json *item = &value->items[i];
        if (!tri_json_is(item, TRI_JSON_NUMBER) || !tri_json_number_i64(item->text, &id)) {
            return TRI_FAIL(err, TRI_E_FORMAT, "entry %d of %s is not an integer", i, key);
        }
        TRI_TRY(tri_config_add_eos(config, id, err));
    }
    return TRI_OK;
}

/* ---- layers ---- */

tri_status tri_config_read_layer_types(
    const tri_json *object, int32_t n_layers, bool *is_sliding, bool *found, tri_error *err) {
    const tri_json *types = tri_json_get(object, "layer_types");
    *found = false;
    if (!types || types->kind == TRI_JSON_NULL) return TRI_OK;
    if (types->kind != TRI_JSON_ARRAY || types->n != n_layers) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "layer_types must be a list of %d names, one a layer", n_layers);
    }
    for (int32_t i = 0; i < n_layers; i++) {
        const tri_json *type = &types->items[i];
        bool sliding =
            tri_json_is(type, TRI_JSON_STRING) && tri_str_is(type->text, "sliding_attention");
        bool full = tri_json_is(type, TRI_JSON_STRING) && tri_str_is(type->text, "full_attention");
        if (!sliding && !full) {
            return TRI_FAIL(err, TRI_E_UNSUPPORTED,
                "layer_types[%d] is \"%.100s\"; known are full_attention and sliding_attention", i,
                tri_json_is(type, TRI_JSON_STRING) ? type->text.ptr : "");
        }
        is_sliding[i] = sliding;
    }
    *found = true;
    return TRI_OK;
}
