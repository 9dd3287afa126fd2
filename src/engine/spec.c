#include "engine/spec.h"

#include <string.h>

#include "base/codec.h"
#include "kernels/kernels.h"

enum { MAX_RANKS = 1024, MAX_BATCH = 1 << 16, MAX_TOKENS = 1 << 24 };
#define MAX_LENGTH ((int64_t)1 << 30)

/* ---- from options ---- */

tri_status tri_option_dtype(const char *flag, const char *value, tri_dtype *dtype, tri_error *err) {
    static const char *const names[] = {"auto", "float32", "float16", "bfloat16"};
    static const tri_dtype dtypes[] = {TRI_N_DTYPES, TRI_F32, TRI_F16, TRI_BF16};
    if (!value) value = "auto";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(value, names[i]) == 0) {
            *dtype = dtypes[i];
            return TRI_OK;
        }
    }
    return TRI_FAIL(
        err, TRI_E_ARGUMENT, "%s is '%s'; auto, float32, float16 and bfloat16 can be", flag, value);
}

static tri_status activation_of(const char *value, const char **activation, tri_error *err) {
    if (!value || strcmp(value, "auto") == 0)
        *activation = NULL;
    else if (strcmp(value, "float32") == 0)
        *activation = "f32";
    else if (strcmp(value, "bfloat16") == 0)
        *activation = "bf16";
    else if (strcmp(value, "int8") == 0)
        *activation = "i8";
    else
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "activation_dtype is '%s'; auto, float32, bfloat16 and int8 can be", value);
    return TRI_OK;
}

static tri_status weight_only_of(
    const tri_build_options *options, tri_precision *p, tri_error *err) {
    const char *value = options->weight_only;
    p->weight_only = TRI_N_DTYPES;
    p->group_size = 0;
    if (!value || strcmp(value, "none") == 0) return TRI_OK;
    if (strcmp(value, "int8") == 0) {
        p->weight_only = TRI_I8;
    } else if (strcmp(value, "int4") == 0) {
        p->weight_only = TRI_I4;
        p->group_size = options->group_size == 0 ? 128 : options->group_size;
        if (options->group_size == -1) p->group_size = 0;
    } else {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "weight_only is '%s'; int8 and int4 can be", value);
    }
    if (p->group_size < 0 || p->group_size > 1 << 20 || p->group_size % 32 != 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "group_size is %" PRId32 "; a multiple of 32, or -1 for a scale a row, can be",
            options->group_size);
    return TRI_OK;
}

static tri_status within(const char *flag, int64_t value, int64_t max, tri_error *err) {
    if (value < 0 || value > max)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%s is %" PRId64 "; 1 to %" PRId64 " can be, 0 means the default", flag, value, max);
    return TRI_OK;
}

static tri_status check_numbers(const tri_build_options *o, tri_error *err) {
    TRI_TRY(within("tp_size", o->tp_size, MAX_RANKS, err));
    TRI_TRY(within("pp_size", o->pp_size, MAX_RANKS, err));
    TRI_TRY(within("max_batch_size", o->max_batch_size, MAX_BATCH, err));
    TRI_TRY(within("max_num_tokens", o->max_num_tokens, MAX_TOKENS, err));
    TRI_TRY(within("max_seq_len", o->max_seq_len, MAX_LENGTH, err));
    TRI_TRY(within("tokens_per_block", o->tokens_per_block, 1024, err));
    if (o->max_beam_width < 0 || o->max_beam_width > 1)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "max_beam_width is %" PRId32 "; beam search is not supported, only 1 can be",
            o->max_beam_width);
    if (o->n_plugins < 0 || (o->n_plugins > 0 && !o->plugins))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "n_plugins is %" PRId32, o->n_plugins);
    return TRI_OK;
}

tri_status tri_spec_from_options(tri_engine_spec *spec, const tri_build_options *options,
    tri_engine_target *target, tri_error *err) {
    tri_engine_spec s = {0};
    if (options->struct_size != sizeof *options)
        return TRI_FAIL(err, TRI_E_VERSION,
            "tri_build_options.struct_size is %" PRIu32 ", this library reads %zu",
            options->struct_size, sizeof *options);
    TRI_TRY(tri_target_parse(target, options->target, options->cpu_isa, err));
    s.target = target->kind;
    s.isa = tri_isa_shown(target->arch);
    bool gpu = strcmp(target->kind, "cuda") == 0;
    TRI_TRY(check_numbers(options, err));
    TRI_TRY(tri_option_dtype("dtype", options->dtype, &s.precision.weights, err));
    TRI_TRY(tri_option_dtype("kv_cache_dtype", options->kv_cache_dtype, &s.precision.kv, err));
    TRI_TRY(activation_of(options->activation_dtype, &s.precision.activation, err));
    TRI_TRY(weight_only_of(options, &s.precision, err));
    s.tokens_per_block = options->tokens_per_block ? options->tokens_per_block : 32;
    s.max_batch_size = options->max_batch_size ? options->max_batch_size : gpu ? 256 : 8;
    s.max_num_tokens = options->max_num_tokens ? options->max_num_tokens : gpu ? 8192 : 512;
    s.max_seq_len = options->max_seq_len;
    s.stripped = options->strip_plan;
    *spec = s;
    return TRI_OK;
}

/* ---- JSON ---- */

static void write_dtype(tri_json_writer *w, const char *key, tri_dtype dtype) {
    tri_json_key(w, key);
    if (dtype == TRI_N_DTYPES)
        tri_json_null(w);
    else
        tri_json_string(w, tri_str_of(tri_dtype_name(dtype)));
}

static void write_i64(tri_json_writer *w, const char *key, int64_t value) {
    tri_json_key(w, key);
    tri_json_i64(w, value);
}

static void write_text(tri_json_writer *w, const char *key, const char *value) {
    tri_json_key(w, key);
    if (value)
        tri_json_string(w, tri_str_of(value));
    else
        tri_json_null(w);
}

void tri_spec_write(const tri_engine_spec *spec, tri_json_writer *w) {
    const tri_precision *p = &spec->precision;
    tri_json_begin_object(w);
    write_text(w, "target", spec->target);
    write_text(w, "isa", spec->isa);
    write_i64(w, "rank", spec->rank);
    write_i64(w, "tp_size", spec->tp_size);
    write_i64(w, "pp_size", spec->pp_size);
    write_dtype(w, "weights", p->weights);
    write_text(w, "activation", p->activation);
    write_dtype(w, "kv_cache", p->kv);
    write_dtype(w, "weight_only", p->weight_only);
    write_i64(w, "group_size", p->group_size);
    write_i64(w, "tokens_per_block", spec->tokens_per_block);
    write_i64(w, "max_batch_size", spec->max_batch_size);
    write_i64(w, "max_num_tokens", spec->max_num_tokens);
    write_i64(w, "max_seq_len", spec->max_seq_len);
    tri_json_key(w, "stripped");
    tri_json_bool(w, spec->stripped);
    tri_json_end_object(w);
}

static tri_status read_dtype(
    const tri_json *object, const char *key, uint32_t allowed, tri_dtype *dtype, tri_error *err) {
    const char *name = NULL;
    tri_dtype parsed;
    TRI_TRY(tri_json_read_string(object, key, &name, err));
    *dtype = TRI_N_DTYPES;
    if (!name) return TRI_OK;
    if (!tri_dtype_parse(name, &parsed) || parsed >= 32 || !(allowed >> parsed & 1))
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is '%s', which it cannot be", key, name);
    *dtype = parsed;
    return TRI_OK;
}

/* One of the names, into *value. */
static tri_status read_choice(const tri_json *object, const char *key, const char *const *names,
    const char **value, tri_error *err) {
    const char *given = NULL;
    TRI_TRY(tri_json_read_string(object, key, &given, err));
    *value = NULL;
    if (!given) return TRI_OK;
    for (; *names; names++) {
        if (strcmp(given, *names) == 0) {
            *value = *names;
            return TRI_OK;
        }
    }
    return TRI_FAIL(err, TRI_E_FORMAT, "%s is '%s', which it cannot be", key, given);
}

static tri_status read_names(
    tri_engine_spec *s, const tri_json *object, tri_arena *arena, tri_error *err) {
    static const char *const activations[] = {"f32", "bf16", "i8", NULL};
    const char *target = NULL, *isa = NULL;
    TRI_TRY(tri_json_read_string(object, "target", &target, err));
    TRI_TRY(tri_json_read_string(object, "isa", &isa, err));
    if (!target || !isa) return TRI_FAIL(err, TRI_E_FORMAT, "target or isa is missing");
    TRI_TRY(tri_target_check(target, tri_isa_of(isa), err));
    s->target = tri_arena_strdup(arena, target);
    s->isa = tri_arena_strdup(arena, isa);
    if (!s->target || !s->isa) return TRI_FAIL(err, TRI_E_MEMORY, "build settings: out of memory");
    return read_choice(object, "activation", activations, &s->precision.activation, err);
}

tri_status tri_spec_read(
    tri_engine_spec *spec, const tri_json *object, tri_arena *arena, tri_error *err) {
    const uint32_t floats = 1u << TRI_F32 | 1u << TRI_F16 | 1u << TRI_BF16;
    tri_engine_spec s = {.tp_size = 1, .pp_size = 1, .tokens_per_block = 32};
    if (!tri_json_is(object, TRI_JSON_OBJECT))
        return TRI_FAIL(err, TRI_E_FORMAT, "build settings are not an object");
    TRI_TRY(read_names(&s, object, arena, err));
    TRI_TRY(read_dtype(object, "weights", floats, &s.precision.weights, err));
    TRI_TRY(read_dtype(object, "kv_cache", floats, &s.precision.kv, err));
    TRI_TRY(read_dtype(
        object, "weight_only", 1u << TRI_I8 | 1u << TRI_I4, &s.precision.weight_only, err));
    TRI_TRY(tri_json_read_i32(object, "group_size", 0, 1 << 20, &s.precision.group_size, err));
    TRI_TRY(tri_json_read_i32(object, "tp_size", 1, MAX_RANKS, &s.tp_size, err));
    TRI_TRY(tri_json_read_i32(object, "pp_size", 1, MAX_RANKS, &s.pp_size, err));
    TRI_TRY(tri_json_read_i32(object, "rank", 0, s.tp_size * s.pp_size - 1, &s.rank, err));
    TRI_TRY(tri_json_read_i32(object, "tokens_per_block", 1, 1024, &s.tokens_per_block, err));
    s.max_batch_size = s.max_num_tokens = 1;
    s.max_seq_len = 1;
    TRI_TRY(tri_json_read_i32(object, "max_batch_size", 1, MAX_BATCH, &s.max_batch_size, err));
    TRI_TRY(tri_json_read_i32(object, "max_num_tokens", 1, MAX_TOKENS, &s.max_num_tokens, err));
    TRI_TRY(tri_json_read_i64(object, "max_seq_len", 1, MAX_LENGTH, &s.max_seq_len, err));
    TRI_TRY(tri_json_read_bool(object, "stripped", &s.stripped, err));
    *spec = s;
    return TRI_OK;
}
