/* source_plan.c - from the family's rules and the stored tensors to the weights of each rank.
 *
 * A module ("attention.qkv" of a layer) is first seen whole, as rows of the stored tensors one
 * after the other; a rank's weight is then some of those rows and columns.  A checkpoint's files
 * hold ranks' parts already: there a weight is one tensor, and its extents are checked. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "models/source_internal.h"

static const char *const qkv_parts[] = {"attention.q", "attention.k", "attention.v"};

typedef struct tri_whole { /* a module's weight or bias, before sharding */
    tri_segment segments[3];
    int32_t n_segments;
    bool is_vector, is_bias;
    tri_dtype dtype; /* of the weight to be */
    bool mixed;      /* blocks of several formats: to be stored apart */
} tri_whole;

typedef struct tri_plan { /* one rank's, under way */
    tri_source *s;
    tri_source_rank *rank;
    const tri_tensor_table *table; /* NULL: dummy */
    int32_t tp_rank, first_layer, n_layers;
    bool first_stage, last_stage;
    const tri_weight_rule *rule;
    int32_t layer; /* within the stage; -1: outside layers */
} tri_plan;

/* ---- names ---- */

static tri_status no_memory(tri_error *err) {
    return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the list of weights");
}

static char *canonical_name(
    const tri_plan *p, int32_t layer, const char *module, const char *suffix) {
    tri_arena *arena = &p->s->arena;
    if (layer < 0) return tri_arena_printf(arena, "%s%s", module, suffix);
    return tri_arena_printf(arena, "transformer.layers.%" PRId32 ".%s%s", layer, module, suffix);
}

/* The m-th module's tensor in the file. */
static char *stored_name(const tri_plan *p, int32_t m, const char *suffix) {
    tri_source *s = p->s;
    const tri_weight_rule *rule = p->rule;
    int32_t layer = p->first_layer + p->layer;
    bool gguf = s->kind == TRI_SOURCE_GGUF;
    const char *name = gguf ? rule->gguf[m] : rule->hf[m];
    if (rule->per_layer)
        return gguf ? tri_arena_printf(&s->arena, "blk.%" PRId32 ".%s%s", layer, name, suffix)
                    : tri_arena_printf(&s->arena, "%slayers.%" PRId32 ".%s%s", s->hf_prefix, layer,
                          name, suffix);
    if (gguf) return tri_arena_printf(&s->arena, "%s%s", name, suffix);
    if (strncmp(name, "model.", 6) == 0)
        return tri_arena_printf(&s->arena, "%s%s%s", s->hf_prefix, name + 6, suffix);
    return tri_arena_printf(&s->arena, "%s%s", s->hf_head, suffix);
}

static int32_t n_modules(const tri_plan *p) {
    const char *const *names = p->s->kind == TRI_SOURCE_GGUF ? p->rule->gguf : p->rule->hf;
    int32_t n = 0;
    while (n < 3 && names[n])
        n++;
    return n;
}

/* What the m-th module of the rule is called canonically. */
static const char *module_name(const tri_plan *p, int32_t m) {
    return n_modules(p) == 3 ? qkv_parts[m] : p->rule->canonical;
}

/* ---- dtypes ---- */

static bool is_plain_float(tri_dtype dtype) {
    return dtype == TRI_F32 || dtype == TRI_F16 || dtype == TRI_BF16;
}

/* What a stored tensor becomes, before it is put together with others. */
static tri_status target_dtype(
    const tri_source *s, const char *name, tri_dtype stored, tri_dtype *dtype, tri_error *err) {
    const tri_dtype_info *info = tri_dtype_get(stored);
    if (!is_plain_float(stored) && stored != TRI_F64 && !info->is_block)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "%s is stored as %s: weights quantised this way cannot be read; convert the model's "
            "unquantised weights instead",
            name, info->name);
    if (s->options.dtype != TRI_N_DTYPES)
        *dtype = s->options.dtype;
    else
        *dtype = stored == TRI_F64 ? TRI_F32 : stored;
    return TRI_OK;
}

static void join_dtypes(tri_whole *w, tri_dtype dtype, bool is_first) {
    if (is_first || w->dtype == dtype) {
        w->dtype = dtype;
        return;
    }
    if (tri_dtype_get(w->dtype)->is_block || tri_dtype_get(dtype)->is_block) w->mixed = true;
    w->dtype = TRI_F32; /* of several floating types */
}

/* ---- whole modules ---- */

static tri_status check_dims(const tri_plan *p, const char *name, const char *module,
    const tri_stored_tensor *t, const int64_t *want, int32_t n_want, tri_error *err) {
    bool same = t->n_dims == n_want;
    for (int32_t i = 0; i < n_want && same; i++)
        same = t->dims[i] == want[i];
    if (same) return TRI_OK;
    char has[48], due[48];
    if (t->n_dims == 1)
        (void)snprintf(has, sizeof has, "[%" PRId64 "]", t->dims[0]);
    else if (t->n_dims == 2)
        (void)snprintf(has, sizeof has, "[%" PRId64 ", %" PRId64 "]", t->dims[0], t->dims[1]);
    else
        (void)snprintf(has, sizeof has, "of %" PRId32 " dimensions", t->n_dims);
    if (n_want == 1)
        (void)snprintf(due, sizeof due, "[%" PRId64 "]", want[0]);
    else
        (void)snprintf(due, sizeof due, "[%" PRId64 ", %" PRId64 "]", want[0], want[1]);
    return TRI_FAIL(err, TRI_E_FORMAT, "%s (%s) is %s, by the config it should be %s", name,
        canonical_name(p, p->layer, module, ""), has, due);
}

/* The config says that this module has a bias. */
static bool bias_expected(const tri_model_config *c, const char *module) {
    if (strcmp(module, "attention.qkv") == 0) return c->attn_bias;
    if (strcmp(module, "attention.dense") == 0) return c->attn_dense_bias;
    return strncmp(module, "mlp.", 4) == 0 && c->mlp_bias;
}

static bool bias_possible(const char *module) {
    return strncmp(module, "attention.", 10) == 0 ? !strstr(module, "layernorm")
                                                  : strncmp(module, "mlp.", 4) == 0;
}

static tri_status add_stored(
    const tri_plan *p, tri_whole *w, int32_t m, const char *suffix, tri_error *err) {
    tri_source *s = p->s;
    const tri_weight_rule *rule = p->rule;
    const char *module = module_name(p, m);
    char *name = stored_name(p, m, suffix);
    if (!name) return no_memory(err);
    tri_stored_tensor *t = tri_tensor_table_find(p->table, name);
    if (!t)
        return TRI_FAIL(err, TRI_E_NOT_FOUND, "tensor %s, needed for %s of %s, is not in the file",
            name, canonical_name(p, p->layer, rule->canonical, suffix), s->config.architecture);

    int64_t want[2], parts = rule->n_parts > 0 ? rule->n_parts : 1;
    tri_model_weight_dims(&s->config, module, &want[0], &want[1]);
    int32_t n_want = w->is_bias || want[1] == 0 ? 1 : 2;
    int64_t rows = want[0];
    want[0] *= parts;
    TRI_TRY(check_dims(p, name, module, t, want, n_want, err));
    if (n_want == 1 && tri_dtype_get(t->dtype)->is_block)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "%s is a vector stored as %s: vectors must be floats", name, tri_dtype_name(t->dtype));
    tri_dtype dtype;
    TRI_TRY(target_dtype(s, name, t->dtype, &dtype, err));
    join_dtypes(w, dtype, w->n_segments == 0);
    t->used = true;
    w->segments[w->n_segments++] = (tri_segment){
        .kind = TRI_SEGMENT_STORED,
        .first = rule->part * rows,
        .n = rows,
        .n_columns = n_want == 1 ? 1 : want[1],
        .dtype = t->dtype,
        .data = t->data,
        .pair_rows =
            s->kind == TRI_SOURCE_GGUF && rule->gguf_permuted && m < 2 ? s->config.head_size : 0,
    };
    return TRI_OK;
}

/* Seeds come from the names in a HF file, so that stages and shards are parts of one model and a
 * tied head is the embedding. */
static tri_status add_dummy(const tri_plan *p, tri_whole *w, const char *suffix, tri_error *err) {
    const tri_weight_rule *rule = p->rule;
    int64_t rows, columns;
    tri_model_weight_dims(&p->s->config, rule->canonical, &rows, &columns);
    char *name = stored_name(p, 0, suffix);
    if (!name) return no_memory(err);
    bool is_norm = columns == 0;
    w->dtype = p->s->options.dtype != TRI_N_DTYPES ? p->s->options.dtype : p->s->config.dtype;
    w->n_segments = 1;
    w->segments[0] = (tri_segment){
        .kind = is_norm ? TRI_SEGMENT_CONSTANT : TRI_SEGMENT_NORMAL,
        .n = rows,
        .n_columns = w->is_vector ? 1 : columns,
        .seed = tri_hash64(name, strlen(name), (uint64_t)rule->part),
        .value = is_norm ? 1 + rule->gguf_offset : 1 / sqrt((double)columns),
    };
    return TRI_OK;
}

/* No segments: the model has no such bias. */
static tri_status make_whole(const tri_plan *p, bool is_bias, tri_whole *whole, tri_error *err) {
    const char *suffix = is_bias ? ".bias" : ".weight";
    int64_t rows, columns;
    tri_model_weight_dims(&p->s->config, p->rule->canonical, &rows, &columns);
    *whole = (tri_whole){.is_bias = is_bias, .is_vector = is_bias || columns == 0};
    bool wanted = !is_bias || bias_expected(&p->s->config, p->rule->canonical);
    if (!p->table) return wanted ? add_dummy(p, whole, suffix, err) : TRI_OK;

    int32_t n = n_modules(p);
    for (int32_t m = 0; m < n && !wanted && bias_possible(p->rule->canonical); m++) {
        char *name = stored_name(p, m, suffix);
        if (!name) return no_memory(err);
        wanted = tri_tensor_table_find(p->table, name) != NULL;
    }
    for (int32_t m = 0; m < n && wanted; m++)
        TRI_TRY(add_stored(p, whole, m, suffix, err));
    return TRI_OK;
}

/* ---- entries ---- */

static tri_status add_entry(tri_plan *p, const char *module, const char *name,
    const tri_source_entry *entry, tri_error *err) {
    tri_source_rank *rank = p->rank;
    TRI_TRY(tri_map_put(&rank->index, tri_str_of(name), rank->n_entries, err));
    tri_source_entry *e = &rank->entries[rank->n_entries++];
    *e = *entry;
    e->weight.name = name;
    e->module = module;
    e->layer = p->layer;
    return TRI_OK;
}

/* Fills type and row_bytes for a rank's n_rows x n_columns. */
static tri_status set_type(const tri_plan *p, tri_source_entry *e, tri_dtype dtype, bool is_vector,
    const char *name, tri_error *err) {
    tri_source_weight *w = &e->weight;
    w->type = (tri_type){.kind = TRI_TYPE_TENSOR,
        .dtype = dtype,
        .n_dims = is_vector ? 1 : 2,
        .dims = {e->n_rows, is_vector ? 0 : e->n_columns},
        .layout = "row"};
    w->n_rows = is_vector ? 1 : e->n_rows;
    w->row_bytes = tri_dtype_row_bytes(dtype, is_vector ? e->n_rows : e->n_columns);
    if (w->row_bytes < 0)
        return TRI_FAIL(err, TRI_E_LIMIT,
            "%s: tp_size %" PRId32 " leaves %" PRId64
            " columns a rank, which cuts a block of %" PRId32
            " (%s): choose a smaller tp_size, or decode the blocks with dtype bfloat16",
            name, p->s->config.mapping.tp_size, e->n_columns, tri_dtype_get(dtype)->block_elems,
            tri_dtype_name(dtype));
    return TRI_OK;
}

/* The part of w's rows that the shard takes. */
static tri_status cut_segments(const tri_plan *p, const tri_whole *w, const tri_shard *shard,
    tri_source_entry *e, tri_error *err) {
    tri_segment *out = TRI_NEW_N(&p->s->arena, tri_segment, 3 * 3 + 1);
    if (!out) return no_memory(err);
    int32_t n = 0;
    for (int32_t r = 0; r < shard->n_ranges; r++) {
        int64_t start = 0, first = shard->first[r], end = first + shard->n[r];
        for (int32_t i = 0; i < w->n_segments; i++) {
            const tri_segment *s = &w->segments[i];
            int64_t from = first > start ? first : start;
            int64_t to = end < start + s->n ? end : start + s->n;
            if (from < to) {
                out[n] = *s;
                out[n].first = s->first + from - start;
                out[n++].n = to - from;
            }
            start += s->n;
        }
    }
    if (shard->pad_rows > 0)
        out[n++] = (tri_segment){.kind = TRI_SEGMENT_CONSTANT, .n = shard->pad_rows};
    e->segments = out;
    e->n_segments = n;
    return TRI_OK;
}

static tri_status add_whole(tri_plan *p, const char *module, const tri_whole *w, tri_error *err) {
    if (w->n_segments == 0) return TRI_OK;
    char *name = canonical_name(p, p->layer, module, w->is_bias ? ".bias" : ".weight");
    if (!name) return no_memory(err);
    tri_shard shard;
    TRI_TRY(tri_shard_take(&p->s->config, p->rule, module, w->is_bias, p->tp_rank, &shard, err));
    tri_source_entry e = {
        .n_rows = shard.n_rows, .first_column = shard.first_column, .n_columns = shard.n_columns};
    if (p->s->kind == TRI_SOURCE_GGUF && p->table) e.offset = p->rule->gguf_offset;
    TRI_TRY(set_type(p, &e, w->dtype, w->is_vector, name, err));
    TRI_TRY(cut_segments(p, w, &shard, &e, err));
    return add_entry(p, module, name, &e, err);
}

/* q, k and v whose blocks differ stay three weights. */
static tri_status add_parts(tri_plan *p, const tri_whole *w, tri_error *err) {
    TRI_ASSERT(w->n_segments <= (int32_t)(sizeof qkv_parts / sizeof *qkv_parts));
    for (int32_t m = 0; m < w->n_segments; m++) {
        tri_whole part = {.segments = {w->segments[m]},
            .n_segments = 1,
            .is_vector = w->is_vector,
            .is_bias = w->is_bias};
        TRI_TRY(target_dtype(p->s, qkv_parts[m], w->segments[m].dtype, &part.dtype, err));
        TRI_TRY(add_whole(p, qkv_parts[m], &part, err));
    }
    return TRI_OK;
}

static tri_status plan_module(tri_plan *p, tri_error *err) {
    tri_whole weight, bias;
    TRI_TRY(make_whole(p, false, &weight, err));
    TRI_TRY(make_whole(p, true, &bias, err));
    if (weight.mixed) {
        TRI_TRY(add_parts(p, &weight, err));
        return add_parts(p, &bias, err);
    }
    TRI_TRY(add_whole(p, p->rule->canonical, &weight, err));
    return add_whole(p, p->rule->canonical, &bias, err);
}

/* ---- checkpoints ---- */

/* A checkpoint holds blocks as U8 [rows, row bytes]: gives back the logical type.  Types go by the
 * layer's number in the whole model, as ranks share one config.json. */
static tri_status restore_blocks(const tri_plan *p, const char *module, const char *suffix,
    tri_stored_tensor *t, tri_error *err) {
    const tri_model_config *c = &p->s->config;
    int32_t layer = p->layer < 0 ? -1 : p->first_layer + p->layer;
    const char *name = canonical_name(p, layer, module, suffix);
    if (!name) return no_memory(err);
    if (t->dtype != TRI_U8 || t->n_dims != 2) return TRI_OK;
    for (int32_t i = 0; i < c->quantization.n_gguf_types; i++) {
        if (strcmp(c->quantization.gguf_types[i].name, name) != 0) continue;
        const tri_dtype_info *info = tri_dtype_get(c->quantization.gguf_types[i].dtype);
        if (t->dims[1] % info->block_bytes)
            return TRI_FAIL(err, TRI_E_FORMAT,
                "%s has rows of %" PRId64 " bytes, %s comes in blocks of %" PRId32, name,
                t->dims[1], info->name, info->block_bytes);
        t->dtype = c->quantization.gguf_types[i].dtype;
        t->dims[1] = t->dims[1] / info->block_bytes * info->block_elems;
        break;
    }
    return TRI_OK;
}

static tri_status add_ranks_own(tri_plan *p, const char *module, bool is_bias, tri_error *err) {
    tri_source *s = p->s;
    const char *suffix = is_bias ? ".bias" : ".weight";
    char *name = canonical_name(p, p->layer, module, suffix);
    if (!name) return no_memory(err);
    tri_stored_tensor *found = tri_tensor_table_find(p->table, name);
    if (!found && is_bias && !bias_expected(&s->config, module)) return TRI_OK;
    if (!found) return TRI_FAIL(err, TRI_E_NOT_FOUND, "tensor %s is not in the file", name);
    found->used = true;

    tri_stored_tensor t = *found;
    TRI_TRY(restore_blocks(p, module, suffix, &t, err));
    tri_shard shard;
    TRI_TRY(tri_shard_take(&s->config, p->rule, module, is_bias, p->tp_rank, &shard, err));
    int64_t rows, columns;
    tri_model_weight_dims(&s->config, module, &rows, &columns);
    bool is_vector = is_bias || columns == 0;
    int64_t want[2] = {shard.n_rows, shard.n_columns};
    TRI_TRY(check_dims(p, name, module, &t, want, is_vector ? 1 : 2, err));

    tri_dtype dtype;
    TRI_TRY(target_dtype(s, name, t.dtype, &dtype, err));
    tri_segment *segment = TRI_NEW(&s->arena, tri_segment);
    if (!segment) return no_memory(err);
    *segment = (tri_segment){.kind = TRI_SEGMENT_STORED,
        .n = shard.n_rows,
        .n_columns = shard.n_columns,
        .dtype = t.dtype,
        .data = t.data};
    tri_source_entry e = {
        .n_rows = shard.n_rows, .n_columns = shard.n_columns, .n_segments = 1, .segments = segment};
    TRI_TRY(set_type(p, &e, dtype, is_vector, name, err));
    return add_entry(p, module, name, &e, err);
}

static tri_status plan_ranks_own(tri_plan *p, tri_error *err) {
    const char *const *modules = &p->rule->canonical;
    int32_t n = 1;
    char *fused = canonical_name(p, p->layer, p->rule->canonical, ".weight");
    if (!fused) return no_memory(err);
    if (p->rule->shard == TRI_SHARD_QKV && !tri_tensor_table_find(p->table, fused)) {
        modules = qkv_parts;
        n = 3;
    }
    for (int32_t i = 0; i < n; i++) {
        TRI_TRY(add_ranks_own(p, modules[i], false, err));
        if (bias_possible(modules[i])) TRI_TRY(add_ranks_own(p, modules[i], true, err));
    }
    return TRI_OK;
}

/* ---- ranks ---- */

static bool is_embedding(const tri_weight_rule *rule) {
    return strcmp(rule->canonical, "transformer.vocab_embedding") == 0;
}

static bool is_head(const tri_weight_rule *rule) {
    return strcmp(rule->canonical, "lm_head") == 0;
}

static tri_status plan_rule(
    tri_plan *p, const tri_weight_rule *rule, int32_t layer, tri_error *err) {
    p->rule = rule;
    p->layer = layer;
    bool ranks_own = p->s->kind == TRI_SOURCE_CHECKPOINT && p->table;
    return ranks_own ? plan_ranks_own(p, err) : plan_module(p, err);
}

/* A tied head is the embedding itself where one rank has both.  Else the head gets a copy of its
 * own, as the old tools wrote it: the last stage has no embedding, and ranks share the rows. */
static tri_status plan_head(tri_plan *p, const tri_weight_rule *rule, tri_error *err) {
    tri_source *s = p->s;
    if (s->kind == TRI_SOURCE_CHECKPOINT && p->table) {
        bool absent = !tri_tensor_table_find(p->table, "lm_head.weight");
        if (absent && p->first_stage) s->config.tie_word_embeddings = true;
        return absent && p->first_stage ? TRI_OK : plan_rule(p, rule, -1, err);
    }
    if (!s->config.tie_word_embeddings) return plan_rule(p, rule, -1, err);
    if (s->n_ranks == 1) return TRI_OK;
    tri_weight_rule copy = *rule;
    for (int32_t i = 0; i < s->family->n_rules; i++) {
        const tri_weight_rule *embedding = &s->family->rules[i];
        if (!is_embedding(embedding)) continue;
        copy.hf[0] = embedding->hf[0];
        copy.gguf[0] = embedding->gguf[0];
    }
    return plan_rule(p, &copy, -1, err);
}

static tri_status plan_rank(tri_plan *p, tri_error *err) {
    const tri_model_family *f = p->s->family;
    for (int32_t i = 0; i < f->n_rules && p->first_stage; i++)
        if (is_embedding(&f->rules[i])) TRI_TRY(plan_rule(p, &f->rules[i], -1, err));
    for (int32_t layer = 0; layer < p->n_layers; layer++)
        for (int32_t i = 0; i < f->n_rules; i++)
            if (f->rules[i].per_layer) TRI_TRY(plan_rule(p, &f->rules[i], layer, err));
    for (int32_t i = 0; i < f->n_rules && p->last_stage; i++) {
        const tri_weight_rule *rule = &f->rules[i];
        if (rule->per_layer || is_embedding(rule)) continue;
        TRI_TRY(is_head(rule) ? plan_head(p, rule, err) : plan_rule(p, rule, -1, err));
    }
    return TRI_OK;
}

tri_status tri_source_plan(tri_source *s, tri_error *err) {
    int32_t tp = s->config.mapping.tp_size, pp = s->config.mapping.pp_size;
    s->n_ranks = tp * pp;
    s->ranks = TRI_NEW_N(&s->arena, tri_source_rank, s->n_ranks);
    if (!s->ranks) return no_memory(err);
    for (int32_t r = 0; r < s->n_ranks; r++) {
        tri_plan p = {.s = s, .rank = &s->ranks[r], .tp_rank = r % tp};
        if (!s->options.dummy) p.table = &s->tables[s->kind == TRI_SOURCE_CHECKPOINT ? r : 0];
        TRI_TRY(tri_model_config_stage(&s->config, r / tp, &p.first_layer, &p.n_layers, err));
        p.first_stage = r / tp == 0;
        p.last_stage = r / tp == pp - 1;
        /* weight and bias of each rule; of q, k and v each in the worst case */
        int64_t room = ((int64_t)s->family->n_rules + 2) * 2 * (p.n_layers + 1);
        p.rank->entries = TRI_NEW_N(&s->arena, tri_source_entry, room);
        if (!p.rank->entries) return no_memory(err);
        tri_status rc = plan_rank(&p, err);
        if (rc) {
            if (s->n_ranks > 1) tri_error_context(err, "rank %" PRId32, r);
            return rc;
        }
    }
    return TRI_OK;
}
