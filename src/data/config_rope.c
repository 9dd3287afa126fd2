/* config_rope.c - rope_scaling objects, as transformers 4 and 5 and TensorRT-LLM checkpoints have
 * them (config_family.h). */
#include <math.h>
#include <string.h>

#include "data/config_family.h"

double tri_config_yarn_attention(double factor, double mscale) {
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

double tri_config_longrope_attention(double factor, int64_t original_max_positions) {
    if (factor <= 1.0 || original_max_positions <= 1) return 1.0;
    return sqrt(1.0 + log(factor) / log((double)original_max_positions));
}

tri_status tri_config_rotary_dim(
    const char *key, double share, int32_t head_size, int32_t *dim, tri_error *err) {
    /* A share that was written as a quotient may fall short of it by a rounding. */
    int32_t n = share <= 1.0 ? (int32_t)floor((double)head_size * share + 1e-6) : 0;
    if (n < 2) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s is %g, it must be at most 1 and leave 2 of a head's %d elements", key, share,
            head_size);
    }
    *dim = n;
    return TRI_OK;
}

static tri_status parse_type(const tri_rope_source *source, tri_rope_type *type, tri_error *err) {
    static const struct {
        const char *name;
        tri_rope_type type;
    } known[] = {
        {"default", TRI_ROPE_DEFAULT},
        {"linear", TRI_ROPE_LINEAR},
        {"llama3", TRI_ROPE_LLAMA3},
        {"yarn", TRI_ROPE_YARN},
        {"longrope", TRI_ROPE_LONGROPE},
        {"su", TRI_ROPE_LONGROPE},
    };
    const char *name = NULL;
    TRI_TRY(tri_json_read_string(source->scaling, "type", &name, err));
    TRI_TRY(tri_json_read_string(source->scaling, "rope_type", &name, err));
    if (!name && !tri_json_get(source->scaling, "factor")) name = "default";
    if (!name) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s has a factor but no rope_type", source->name);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *type = known[i].type;
        if (*type == TRI_ROPE_YARN && source->yarn_is_longrope) *type = TRI_ROPE_LONGROPE;
        return TRI_OK;
    }
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s of type \"%.100s\" is not supported; these are: default, linear, llama3, yarn, "
        "longrope",
        source->name, name);
}

/* A number that the type cannot do without. */
static tri_status read_required(
    const tri_rope_source *source, const char *key, double *value, tri_error *err) {
    const tri_json *item = tri_json_get(source->scaling, key);
    if (!item || item->kind == TRI_JSON_NULL) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s has no %s", source->name, key);
    }
    return tri_config_read_positive(source->scaling, key, value, err);
}

static tri_status read_original(
    const tri_rope_source *source, tri_rope_desc *rope, tri_error *err) {
    rope->original_max_positions = source->max_positions;
    return tri_json_read_i64(source->scaling, "original_max_position_embeddings", 1,
        TRI_CONFIG_POSITIONS_MAX, &rope->original_max_positions, err);
}

static tri_status read_llama3(const tri_rope_source *source, tri_rope_desc *rope, tri_error *err) {
    TRI_TRY(read_required(source, "factor", &rope->factor, err));
    TRI_TRY(read_required(source, "low_freq_factor", &rope->low_freq_factor, err));
    TRI_TRY(read_required(source, "high_freq_factor", &rope->high_freq_factor, err));
    if (rope->high_freq_factor <= rope->low_freq_factor) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s: high_freq_factor %g must be above low_freq_factor %g", source->name,
            rope->high_freq_factor, rope->low_freq_factor);
    }
    return read_original(source, rope, err);
}

static tri_status read_yarn(const tri_rope_source *source, tri_rope_desc *rope, tri_error *err) {
    double mscale = 0.0, mscale_all_dim = 0.0;
    bool truncate = true;
    TRI_TRY(read_required(source, "factor", &rope->factor, err));
    TRI_TRY(read_original(source, rope, err));
    rope->beta_fast = 32.0;
    rope->beta_slow = 1.0;
    TRI_TRY(tri_config_read_positive(source->scaling, "beta_fast", &rope->beta_fast, err));
    TRI_TRY(tri_config_read_positive(source->scaling, "beta_slow", &rope->beta_slow, err));
    TRI_TRY(tri_json_read_bool(source->scaling, "truncate", &truncate, err));
    if (!truncate) {
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "%s: yarn with truncate false is not supported", source->name);
    }
    TRI_TRY(tri_config_read_optional(source->scaling, "mscale", &mscale, err));
    TRI_TRY(tri_config_read_optional(source->scaling, "mscale_all_dim", &mscale_all_dim, err));
    rope->attention_factor = tri_config_yarn_attention(rope->factor, 1.0);
    if (mscale > 0.0 && mscale_all_dim > 0.0) {
        rope->attention_factor = tri_config_yarn_attention(rope->factor, mscale) /
                                 tri_config_yarn_attention(rope->factor, mscale_all_dim);
    }
    return tri_config_read_positive(
        source->scaling, "attention_factor", &rope->attention_factor, err);
}

static tri_status read_factors(const tri_rope_source *source, const char *key,
    const tri_json *outside, int32_t n, const double **factors, tri_arena *arena, tri_error *err) {
    const tri_json *list = outside ? outside : tri_json_get(source->scaling, key);
    if (!tri_json_is(list, TRI_JSON_ARRAY) || list->n != n) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s: %s must be a list of %d numbers, half of what is rotated in a head", source->name,
            key, n);
    }
    double *values = TRI_NEW_N(arena, double, n);
    if (!values) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d rope factors", n);
    for (int32_t i = 0; i < n; i++) {
        const tri_json *item = &list->items[i];
        values[i] = tri_json_is(item, TRI_JSON_NUMBER) ? tri_json_number_f64(item->text) : NAN;
        if (isfinite(values[i]) && values[i] > 0.0) continue;
        return TRI_FAIL(
            err, TRI_E_FORMAT, "%s: %s[%d] must be a number above 0", source->name, key, i);
    }
    *factors = values;
    return TRI_OK;
}

static tri_status read_longrope(const tri_rope_source *source, tri_rope_desc *rope,
    const double **short_factors, const double **long_factors, tri_arena *arena, tri_error *err) {
    int32_t n = rope->rotary_dim / 2;
    TRI_TRY(
        read_factors(source, "short_factor", source->short_factors, n, short_factors, arena, err));
    TRI_TRY(read_factors(source, "long_factor", source->long_factors, n, long_factors, arena, err));
    TRI_TRY(read_original(source, rope, err));
    if (source->original_max_positions)
        rope->original_max_positions = source->original_max_positions;
    rope->factor = (double)source->max_positions / (double)rope->original_max_positions;
    TRI_TRY(tri_config_read_positive(source->scaling, "factor", &rope->factor, err));
    rope->attention_factor =
        tri_config_longrope_attention(rope->factor, rope->original_max_positions);
    return tri_config_read_positive(
        source->scaling, "attention_factor", &rope->attention_factor, err);
}

tri_status tri_config_read_rope(const tri_rope_source *source, tri_rope_desc *rope,
    const double **short_factors, const double **long_factors, tri_arena *arena, tri_error *err) {
    if (!source->scaling || source->scaling->kind == TRI_JSON_NULL) return TRI_OK;
    if (source->scaling->kind != TRI_JSON_OBJECT) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is neither an object nor null", source->name);
    }
    TRI_TRY(parse_type(source, &rope->type, err));
    switch (rope->type) {
    case TRI_ROPE_DEFAULT:
    case TRI_ROPE_DYNAMIC:
        return TRI_OK;
    case TRI_ROPE_LINEAR:
        return read_required(source, "factor", &rope->factor, err);
    case TRI_ROPE_LLAMA3:
        return read_llama3(source, rope, err);
    case TRI_ROPE_YARN:
        return read_yarn(source, rope, err);
    case TRI_ROPE_LONGROPE:
        return read_longrope(source, rope, short_factors, long_factors, arena, err);
    }
    return TRI_OK;
}

/* ---- writing ---- */

static void write_number(tri_json_writer *w, const char *key, double value) {
    tri_json_key(w, key);
    tri_json_f64(w, value);
}

static void write_type(tri_json_writer *w, const char *type) {
    tri_json_begin_object(w);
    tri_json_key(w, "rope_type");
    tri_json_string(w, tri_str_of(type));
}

static void write_original(tri_json_writer *w, const tri_rope_desc *rope) {
    tri_json_key(w, "original_max_position_embeddings");
    tri_json_i64(w, rope->original_max_positions);
}

void tri_config_write_rope(const tri_rope_desc *rope, tri_json_writer *w) {
    switch (rope->type) {
    case TRI_ROPE_DEFAULT:
    case TRI_ROPE_DYNAMIC:
        tri_json_null(w);
        return;
    case TRI_ROPE_LINEAR:
        write_type(w, "linear");
        write_number(w, "factor", rope->factor);
        break;
    case TRI_ROPE_LLAMA3:
        write_type(w, "llama3");
        write_number(w, "factor", rope->factor);
        write_number(w, "low_freq_factor", rope->low_freq_factor);
        write_number(w, "high_freq_factor", rope->high_freq_factor);
        write_original(w, rope);
        break;
    case TRI_ROPE_YARN:
        write_type(w, "yarn");
        write_number(w, "factor", rope->factor);
        write_original(w, rope);
        write_number(w, "beta_fast", rope->beta_fast);
        write_number(w, "beta_slow", rope->beta_slow);
        write_number(w, "attention_factor", rope->attention_factor);
        break;
    case TRI_ROPE_LONGROPE:
        write_type(w, "longrope");
        write_number(w, "factor", rope->factor);
        write_original(w, rope);
        write_number(w, "attention_factor", rope->attention_factor);
        break;
    }
    tri_json_end_object(w);
}
