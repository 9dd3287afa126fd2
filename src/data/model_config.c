#include "data/model_config.h"

#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "data/config_family.h"

/* ---- ranges ---- */

static tri_status check_ranges(const tri_model_config *c, tri_error *err) {
    const struct {
        const char *name;
        int64_t value, min, max;
    } fields[] = {
        {"vocab_size", c->vocab_size, 1, TRI_CONFIG_VOCAB_MAX},
        {"hidden_size", c->hidden_size, 1, TRI_CONFIG_WIDTH_MAX},
        {"intermediate_size", c->intermediate_size, 1, TRI_CONFIG_WIDTH_MAX},
        {"num_hidden_layers", c->n_layers, 1, TRI_MAX_LAYERS},
        {"num_attention_heads", c->n_heads, 1, TRI_CONFIG_HEADS_MAX},
        {"num_key_value_heads", c->n_kv_heads, 1, TRI_CONFIG_HEADS_MAX},
        {"head_size", c->head_size, 1, TRI_CONFIG_HEAD_SIZE_MAX},
        {"max_position_embeddings", c->max_position_embeddings, 1, TRI_CONFIG_POSITIONS_MAX},
        {"sliding_window", c->sliding_window, 0, INT32_MAX},
        {"tp_size", c->mapping.tp_size, 1, TRI_CONFIG_RANKS_MAX},
        {"pp_size", c->mapping.pp_size, 1, TRI_CONFIG_RANKS_MAX},
        {"embedding_sharding_dim", c->embedding_sharding_dim, 0, 1},
        {"group_size", c->quantization.group_size, 0, TRI_CONFIG_WIDTH_MAX},
        {"number of ropes", c->n_ropes, 1, 2},
        {"number of eos_token_id", c->n_eos, 0, TRI_MAX_EOS},
        {"bos_token_id", c->bos_id, -1, c->vocab_size - 1},
        {"pad_token_id", c->pad_id, -1, c->vocab_size - 1},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].value >= fields[i].min && fields[i].value <= fields[i].max) continue;
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s is %" PRId64 ", it must be from %" PRId64 " to %" PRId64, fields[i].name,
            fields[i].value, fields[i].min, fields[i].max);
    }
    for (int32_t i = 0; i < c->n_eos; i++) {
        if (c->eos_ids[i] >= 0 && c->eos_ids[i] < c->vocab_size) continue;
        return TRI_FAIL(err, TRI_E_FORMAT, "eos_token_id %d is not in the vocabulary of %d",
            c->eos_ids[i], c->vocab_size);
    }
    return TRI_OK;
}

static tri_status check_numbers(const tri_model_config *c, tri_error *err) {
    const struct {
        const char *name;
        double value;
    } fields[] = {
        {"norm_epsilon", c->norm_epsilon},
        {"attn_logit_softcapping", c->attn_logit_softcap},
        {"final_logit_softcapping", c->final_logit_softcap},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (isfinite(fields[i].value) && fields[i].value >= 0.0) continue;
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is %g, it must be finite and not negative",
            fields[i].name, fields[i].value);
    }
    const struct {
        const char *name;
        double value;
    } scales[] = {
        {"the scale of queries", c->query_scale}, {"the scale of embeddings", c->embedding_scale}};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        double x = scales[i].value;
        if (x == 0.0 || (x >= 1e-6 && x <= 1e6)) continue;
        return TRI_FAIL(
            err, TRI_E_FORMAT, "%s is %g, it must be from 1e-6 to 1e6", scales[i].name, x);
    }
    return TRI_OK;
}

static tri_status check_names(const tri_model_config *c, tri_error *err) {
    const char *act;
    if (!c->architecture || !tri_config_family_find(c->architecture))
        return tri_config_unknown_architecture(c->architecture ? c->architecture : "", err);
    if (c->dtype != TRI_F32 && c->dtype != TRI_F16 && c->dtype != TRI_BF16) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "dtype %s is not one of float32, float16, bfloat16",
            tri_dtype_name(c->dtype));
    }
    return tri_config_activation("hidden_act", c->hidden_act ? c->hidden_act : "", &act, err);
}

/* ---- rope ---- */

/* Frequencies are quotients by these, in float32; models have 1e4 to 1e9, and factors to 100. */
#define ROPE_MAX 1e18

static tri_status check_rope(const tri_model_config *c, const tri_rope_desc *rope, tri_error *err) {
    bool scaled = rope->type != TRI_ROPE_DEFAULT;
    if (rope->type == TRI_ROPE_DYNAMIC)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "rope of type dynamic is not supported");
    int32_t dim = rope->rotary_dim ? rope->rotary_dim : c->head_size;
    if (dim < 2 || dim > c->head_size || dim % 2) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%d of the %d elements of a head rotate; the number must be even and from 2 on", dim,
            c->head_size);
    }
    if (!(rope->base > 0.0 && rope->base <= ROPE_MAX))
        return TRI_FAIL(err, TRI_E_FORMAT, "rope_theta is %g, it must be above 0 and at most %g",
            rope->base, ROPE_MAX);
    if (scaled && !(rope->factor > 0.0 && rope->factor <= ROPE_MAX))
        return TRI_FAIL(err, TRI_E_FORMAT, "rope factor is %g, it must be above 0 and at most %g",
            rope->factor, ROPE_MAX);
    if (!isfinite(rope->attention_factor) || rope->attention_factor < 0.0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "rope attention_factor is %g, it must not be negative",
            rope->attention_factor);
    }
    bool stretched = scaled && rope->type != TRI_ROPE_LINEAR;
    if (stretched && rope->original_max_positions < 1) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "rope original_max_position_embeddings is %" PRId64 ", it must be at least 1",
            rope->original_max_positions);
    }
    if (rope->type == TRI_ROPE_LONGROPE && (!c->short_factors || !c->long_factors))
        return TRI_FAIL(err, TRI_E_FORMAT, "longrope without short and long factors");
    return TRI_OK;
}

/* ---- between fields ---- */

static tri_status check_divides(
    const char *what, int32_t value, const char *by, int32_t divisor, tri_error *err) {
    if (value % divisor == 0) return TRI_OK;
    return TRI_FAIL(
        err, TRI_E_FORMAT, "%s %d is not a multiple of %s %d", what, value, by, divisor);
}

static tri_status check_mapping(const tri_model_config *c, tri_error *err) {
    int32_t tp = c->mapping.tp_size, pp = c->mapping.pp_size, kv = c->n_kv_heads;
    TRI_TRY(check_divides("num_attention_heads", c->n_heads, "tp_size", tp, err));
    TRI_TRY(check_divides("intermediate_size", c->intermediate_size, "tp_size", tp, err));
    if (kv % tp != 0 && tp % kv != 0) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "neither of num_key_value_heads %d and tp_size %d is a multiple of the other", kv, tp);
    }
    if (c->use_parallel_embedding && c->embedding_sharding_dim == 1)
        TRI_TRY(check_divides("hidden_size", c->hidden_size, "tp_size", tp, err));
    return check_divides("num_hidden_layers", c->n_layers, "pp_size", pp, err);
}

tri_status tri_model_config_check(const tri_model_config *config, tri_error *err) {
    TRI_TRY(check_names(config, err));
    TRI_TRY(check_ranges(config, err));
    TRI_TRY(check_numbers(config, err));
    TRI_TRY(check_divides(
        "num_attention_heads", config->n_heads, "num_key_value_heads", config->n_kv_heads, err));
    for (int32_t i = 0; i < config->n_ropes; i++)
        TRI_TRY(check_rope(config, &config->rope[i], err));
    if (config->n_ropes == 2 && config->rope[1].type != TRI_ROPE_DEFAULT) {
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "the rope of sliding layers is scaled; only the other may be");
    }
    for (int32_t i = 0; i < config->n_layers; i++) {
        if (!config->layer_is_sliding[i] || config->sliding_window) continue;
        return TRI_FAIL(err, TRI_E_FORMAT, "layer %d is sliding, but sliding_window is 0", i);
    }
    return check_mapping(config, err);
}

tri_status tri_model_config_stage(
    const tri_model_config *config, int32_t pp_rank, int32_t *first, int32_t *n, tri_error *err) {
    int32_t pp = config->mapping.pp_size;
    if (pp < 1 || pp_rank < 0 || pp_rank >= pp) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "pipeline rank %d of %d stages", pp_rank, pp);
    }
    TRI_TRY(check_divides("num_hidden_layers", config->n_layers, "pp_size", pp, err));
    *n = config->n_layers / pp;
    *first = pp_rank * *n;
    return TRI_OK;
}
