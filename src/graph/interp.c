/* interp.c - slots, constants on demand, one node after the other; what each op means is in
 * interp_<area>.c. */
#include "graph/interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "graph/interp_state.h"
#include "graph/plugins.h"
#include "graph/shape.h"

/* ---- slots ---- */

static int64_t extent(const tri_interp *in, int64_t dim) {
    switch (dim) {
    case TRI_DIM_T:
        return in->step->n_tokens;
    case TRI_DIM_S:
        return in->step->n_sequences;
    case TRI_DIM_R:
        return in->step->n_rows;
    default:
        return dim;
    }
}

/* Vectors are one row when constant (a norm's weight) and one column at run time (token ids). */
static void extents(const tri_interp *in, const tri_type *type, int64_t *rows, int64_t *columns) {
    *rows = 1;
    *columns = tri_type_columns(type);
    if (type->n_dims == 1 && type->dims[0] < 0) {
        *rows = extent(in, type->dims[0]);
        *columns = 1;
        return;
    }
    for (int32_t i = 0; i < type->n_dims - 1; i++)
        *rows *= extent(in, type->dims[i]);
}

const tri_interp_slot *tri_interp_operand(
    const tri_interp *in, const tri_node *node, const char *name) {
    const tri_value *value = tri_node_operand(node, name);
    return value ? &in->slots[value->id] : NULL;
}

static tri_interp_slot *reserve(
    tri_interp *in, const tri_node *node, int32_t index, tri_error *err) {
    const tri_value *value = node->results[index];
    tri_interp_slot *slot = &in->slots[value->id];
    int64_t n_bytes;
    extents(in, &value->type, &slot->rows, &slot->columns);
    if (__builtin_mul_overflow(slot->rows, slot->columns, &n_bytes) ||
        __builtin_mul_overflow(n_bytes, (int64_t)4, &n_bytes)) {
        tri_fail(err, TRI_E_LIMIT, "%s has too many elements", tri_type_print(&value->type).s);
        return NULL;
    }
    if (!slot->owned || n_bytes > slot->owned_bytes) {
        free(slot->owned);
        slot->owned = calloc(n_bytes > 0 ? (size_t)n_bytes : 1, 1);
        slot->owned_bytes = n_bytes;
    } else {
        memset(slot->owned, 0, (size_t)n_bytes);
    }
    slot->f = NULL;
    slot->i = NULL;
    if (!slot->owned) {
        slot->owned_bytes = 0;
        tri_fail(err, TRI_E_MEMORY, "%s: out of memory for %" PRId64 " bytes",
            tri_type_print(&value->type).s, n_bytes);
        return NULL;
    }
    slot->run = in->run;
    return slot;
}

tri_interp_slot *tri_interp_result(
    tri_interp *in, const tri_node *node, int32_t index, float **data, tri_error *err) {
    tri_interp_slot *slot = reserve(in, node, index, err);
    if (slot) slot->f = *data = slot->owned;
    return slot;
}

tri_interp_slot *tri_interp_result_i32(
    tri_interp *in, const tri_node *node, int32_t index, int32_t **data, tri_error *err) {
    tri_interp_slot *slot = reserve(in, node, index, err);
    if (slot) slot->i = *data = slot->owned;
    return slot;
}

void tri_interp_borrow(tri_interp *in, const tri_node *node, const tri_interp_slot *from) {
    tri_interp_slot *slot = &in->slots[node->results[0]->id];
    slot->f = from->f;
    slot->i = from->i;
    slot->rows = from->rows;
    slot->columns = from->columns;
    slot->run = in->run;
}

tri_interp_memory *tri_interp_memory_of(const tri_interp *in, const tri_value *value) {
    return in->slots[value->id].memory;
}

int32_t tri_interp_sequence(const tri_step *step, int32_t token) {
    const int32_t *cu = TRI_STEP_I32(step, cu_seqlens);
    int32_t s = 0;
    while (cu[s + 1] <= token)
        s++;
    return s;
}

int32_t tri_interp_position(const tri_step *step, int32_t sequence, int32_t token) {
    const int32_t *cu = TRI_STEP_I32(step, cu_seqlens);
    return TRI_STEP_I32(step, context_lens)[sequence] - (cu[sequence + 1] - token);
}

/* ---- sources and plugins ---- */

static TRI_INTERP_RULE(input) {
    const char *name = tri_node_string(node, "name");
    const tri_step *step = in->step;
    if (strcmp(name, "logits") == 0) {
        float *y;
        int64_t columns = node->results[0]->type.dims[1];
        if (!in->logits || in->logits_rows != step->n_rows || in->logits_columns != columns)
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "logits set are [%" PRId64 ", %" PRId64 "], the step takes [%" PRId32 ", %" PRId64
                "]",
                in->logits_rows, in->logits_columns, step->n_rows, columns);
        if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
        if (step->n_rows > 0)
            memcpy(y, in->logits, (size_t)step->n_rows * (size_t)columns * sizeof *y);
        return TRI_OK;
    }
    int32_t *y;
    const tri_interp_slot *slot = tri_interp_result_i32(in, node, 0, &y, err);
    if (!slot) return TRI_E_MEMORY;
    const int32_t *x = strcmp(name, "tokens") == 0      ? TRI_STEP_I32(step, tokens)
                       : strcmp(name, "positions") == 0 ? TRI_STEP_I32(step, positions)
                                                        : TRI_STEP_I32(step, rows);
    if (slot->rows > 0) memcpy(y, x, (size_t)slot->rows * sizeof *y);
    return TRI_OK;
}

/* Plugins see floats; integer operands are converted. */
typedef struct plugin_run {
    float *converted[TRI_MAX_OPERANDS];
    const float *inputs[TRI_MAX_OPERANDS];
    float *outputs[TRI_MAX_RESULTS];
    int64_t rows[TRI_MAX_OPERANDS], columns[TRI_MAX_OPERANDS];
    tri_plugin_field fields[TRI_MAX_ATTRS];
} plugin_run;

static tri_status plugin_operand(
    tri_interp *in, const tri_node *node, int32_t index, plugin_run *run, tri_error *err) {
    const tri_value *value = node->operands[index];
    if (!value || value->type.kind != TRI_TYPE_TENSOR) return TRI_OK;
    const tri_interp_slot *slot = &in->slots[value->id];
    run->inputs[index] = slot->f;
    run->rows[index] = slot->rows;
    run->columns[index] = slot->columns;
    if (!slot->i) return TRI_OK;
    int64_t n = slot->rows * slot->columns;
    float *converted = malloc(n > 0 ? (size_t)n * sizeof *converted : 1);
    if (!converted) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int64_t k = 0; k < n; k++)
        converted[k] = (float)slot->i[k];
    run->inputs[index] = run->converted[index] = converted;
    return TRI_OK;
}

static TRI_INTERP_RULE(plugin) {
    const tri_plugin_op *op = tri_plugin_registry_find_op(in->g->plugins, node->plugin);
    plugin_run run = {0};
    tri_status rc = TRI_OK;
    if (!op || !op->reference)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "the plugin has no float32 reference");
    for (int32_t i = 0; !rc && i < node->n_operands; i++)
        rc = plugin_operand(in, node, i, &run, err);
    for (int32_t i = 0; !rc && i < node->n_results; i++) {
        if (node->results[i]->type.dtype != TRI_F32)
            rc = TRI_FAIL(err, TRI_E_UNSUPPORTED, "result %" PRId32 " is %s; f32 can be run", i,
                tri_type_print(&node->results[i]->type).s);
        else if (!tri_interp_result(in, node, i, &run.outputs[i], err))
            rc = TRI_E_MEMORY;
    }
    if (rc) goto done;
    tri_plugin_fields_of(node, run.fields);
    if (op->reference(&(tri_plugin_reference){.inputs = run.inputs,
            .outputs = run.outputs,
            .input_rows = run.rows,
            .input_columns = run.columns,
            .fields = run.fields,
            .n_fields = node->n_attrs}) != 0)
        rc = TRI_FAIL(err, TRI_E_INTERNAL, "the plugin's reference failed");

done:
    for (int32_t i = 0; i < TRI_MAX_OPERANDS; i++)
        free(run.converted[i]);
    return rc;
}

/* ---- dispatch ---- */

static tri_interp_rule rule_of(tri_op op) {
    switch (op) {
    case TRI_OP_INPUT:
        return tri_interp_input;
    case TRI_OP_WEIGHT:
        return tri_interp_weight;
    case TRI_OP_ROPE_FREQUENCIES:
        return tri_interp_rope_frequencies;
    case TRI_OP_CONCAT_ROWS:
        return tri_interp_concat_rows;
    case TRI_OP_SLICE_ROWS:
        return tri_interp_slice_rows;
    case TRI_OP_CAST:
        return tri_interp_cast;
    case TRI_OP_QUANTIZE:
    case TRI_OP_QUANTIZE_SCALES:
        return tri_interp_quantize;
    case TRI_OP_PACK:
    case TRI_OP_TIE:
        return tri_interp_same;
    case TRI_OP_EMBEDDING:
        return tri_interp_embedding;
    case TRI_OP_LINEAR:
    case TRI_OP_LINEAR_NORM:
        return tri_interp_linear;
    case TRI_OP_RMS_NORM:
    case TRI_OP_ADD_RMS_NORM:
        return tri_interp_rms_norm;
    case TRI_OP_ADD:
    case TRI_OP_MUL:
    case TRI_OP_AFFINE:
    case TRI_OP_SOFTCAP:
    case TRI_OP_ACTIVATION:
        return tri_interp_elementwise;
    case TRI_OP_GATED_ACTIVATION:
        return tri_interp_gated_activation;
    case TRI_OP_COLUMNS:
        return tri_interp_columns;
    case TRI_OP_SELECT_ROWS:
        return tri_interp_select_rows;
    case TRI_OP_ROPE:
        return tri_interp_rope;
    case TRI_OP_KV_WRITE:
        return tri_interp_kv_write;
    case TRI_OP_ROPE_KV_WRITE:
        return tri_interp_rope_kv_write;
    case TRI_OP_ATTENTION:
        return tri_interp_attention;
    case TRI_OP_ALL_REDUCE:
        return tri_interp_all_reduce;
    case TRI_OP_ALL_GATHER:
        return tri_interp_all_gather;
    case TRI_OP_SEND:
        return tri_interp_send;
    case TRI_OP_RECEIVE:
        return tri_interp_receive;
    case TRI_OP_COUNT_TOKENS:
        return tri_interp_count_tokens;
    case TRI_OP_PENALTIES:
        return tri_interp_penalties;
    case TRI_OP_MASK:
        return tri_interp_mask;
    case TRI_OP_SAMPLE:
        return tri_interp_sample;
    case TRI_OP_PLUGIN:
        return tri_interp_plugin;
    case TRI_OP_CACHE: /* memory, made with the interpreter */
    case TRI_OP_COUNTS:
    case TRI_N_OPS:
        break;
    }
    return NULL;
}

/* Results of a narrow type hold what that type can. */
static void round_results(const tri_interp *in, const tri_node *node) {
    for (int32_t i = 0; i < node->n_results; i++) {
        const tri_type *t = &node->results[i]->type;
        const tri_interp_slot *slot = &in->slots[node->results[i]->id];
        float *f = slot->owned;
        if (t->kind != TRI_TYPE_TENSOR || t->dtype != TRI_BF16 || slot->f != f) continue;
        for (int64_t k = 0; k < slot->rows * slot->columns; k++)
            f[k] = tri_bf16_to_f32(tri_f32_to_bf16(f[k]));
    }
}

static tri_status observe(tri_interp *in, const tri_node *node, tri_error *err) {
    for (int32_t i = 0; in->options.observe && i < node->n_results; i++) {
        const tri_value *value = node->results[i];
        const tri_interp_slot *slot = &in->slots[value->id];
        const float *data = slot->f;
        float *converted = NULL;
        if (value->type.kind != TRI_TYPE_TENSOR) continue;
        if (slot->i) {
            int64_t n = slot->rows * slot->columns;
            converted = malloc(n > 0 ? (size_t)n * sizeof *converted : 1);
            if (!converted) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
            for (int64_t k = 0; k < n; k++)
                converted[k] = (float)slot->i[k];
            data = converted;
        }
        in->options.observe(in->options.observe_user, value, data, slot->rows, slot->columns);
        free(converted);
    }
    return TRI_OK;
}

static tri_status evaluate(tri_interp *in, const tri_node *node, tri_error *err);

/* As deep as verify lets derivations be. */
static tri_status need_constants(tri_interp *in, const tri_node *node, tri_error *err) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        if (value && value->constant && in->slots[value->id].run == 0)
            TRI_TRY(evaluate(in, value->node, err));
    }
    return TRI_OK;
}

static tri_status evaluate(tri_interp *in, const tri_node *node, tri_error *err) {
    tri_interp_rule rule = rule_of(node->op);
    TRI_TRY(need_constants(in, node, err));
    if (!rule) return TRI_OK;
    tri_status rc = rule(in, node, err);
    if (rc) {
        tri_error_context(err, "%s", node->plugin ? node->plugin : tri_op_get(node->op)->name);
        if (node->n_results > 0) tri_error_context(err, "%%%" PRId32, node->results[0]->id);
        if (*node->scope) tri_error_context(err, "%s", node->scope);
    }
    return rc;
}

/* ---- create and run ---- */

static tri_status make_memory(
    tri_interp *in, const tri_node *node, tri_interp_memory *memory, tri_error *err) {
    const tri_type *t = &node->results[0]->type;
    int32_t group = (int32_t)tri_node_int(node, "group");
    int64_t n_bytes, n_blocks = in->options.n_blocks[group];
    tri_member_bytes bytes = tri_group_member_bytes(node);
    int64_t block_bytes = node->op == TRI_OP_COUNTS
                              ? bytes.per_sequence
                              : bytes.per_token * in->g->groups[group].tokens_per_block;
    if (n_blocks < 1)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "n_blocks of group %" PRId32 " is %" PRId64 ", its %s needs at least 1", group,
            n_blocks, tri_type_print(t).s);
    if (__builtin_mul_overflow(block_bytes, n_blocks, &n_bytes))
        return TRI_FAIL(
            err, TRI_E_LIMIT, "%" PRId64 " blocks of %" PRId64 " bytes", n_blocks, block_bytes);
    *memory = (tri_interp_memory){.bytes = calloc((size_t)n_bytes, 1),
        .n_blocks = (int32_t)n_blocks,
        .group = group,
        .block_bytes = block_bytes};
    if (!memory->bytes)
        return TRI_FAIL(err, TRI_E_MEMORY, "out of memory for %" PRId64 " bytes of cache", n_bytes);
    return TRI_OK;
}

/* One memory for each cache and state, known to the slots of all its versions. */
static tri_status make_memories(tri_interp *in, tri_error *err) {
    int32_t n = 0;
    for (const tri_node *node = in->g->first; node; node = node->next)
        n += node->op == TRI_OP_CACHE || node->op == TRI_OP_COUNTS;
    in->memories = calloc((size_t)n + 1, sizeof *in->memories);
    if (!in->memories) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (const tri_node *node = in->g->first; node; node = node->next) {
        tri_interp_memory *memory = NULL;
        if (node->op == TRI_OP_CACHE || node->op == TRI_OP_COUNTS) {
            memory = &in->memories[in->n_memories];
            TRI_TRY(make_memory(in, node, memory, err));
            in->n_memories++;
        }
        for (int32_t i = 0; i < node->n_operands; i++) {
            const tri_value *value = node->operands[i];
            if (value && value->type.kind != TRI_TYPE_TENSOR) memory = in->slots[value->id].memory;
        }
        for (int32_t i = 0; i < node->n_results; i++) {
            if (node->results[i]->type.kind != TRI_TYPE_TENSOR)
                in->slots[node->results[i]->id].memory = memory;
        }
    }
    return TRI_OK;
}

tri_status tri_interp_create(
    tri_interp **interp, const tri_graph *g, const tri_interp_options *options, tri_error *err) {
    tri_status rc = tri_graph_verify(g, err);
    if (rc) return rc;
    tri_interp *in = calloc(1, sizeof *in);
    if (!in) return TRI_FAIL(err, TRI_E_MEMORY, "interpreter: out of memory");
    in->g = g;
    in->options = *options;
    in->run = 1;
    in->slots = calloc((size_t)g->next_id + 1, sizeof *in->slots);
    rc = in->slots ? make_memories(in, err) : TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    if (rc) {
        tri_interp_destroy(in);
        tri_error_context(err, "interpreter of graph %s", g->name);
        return rc;
    }
    *interp = in;
    return TRI_OK;
}

void tri_interp_destroy(tri_interp *in) {
    if (!in) return;
    for (int32_t i = 0; in->slots && i < in->g->next_id; i++)
        free(in->slots[i].owned);
    for (int32_t i = 0; i < in->n_memories; i++)
        free(in->memories[i].bytes);
    free(in->slots);
    free(in->memories);
    free(in->logits);
    free(in);
}

/* The step is checked as if it came from outside; groups beyond the graph's may hold anything. */
static tri_status check_step(const tri_interp *in, const tri_step *step, tri_error *err) {
    int32_t n_blocks[TRI_MAX_GROUPS];
    for (int32_t i = 0; i < TRI_MAX_GROUPS; i++)
        n_blocks[i] = i < in->g->n_groups && in->options.n_blocks[i] > 0 ? in->options.n_blocks[i]
                                                                         : INT32_MAX;
    TRI_TRY(tri_step_check(step, step->n_bytes, INT32_MAX, n_blocks, err));
    if (step->n_groups < in->g->n_groups)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "the step has %" PRId32 " groups, the graph %" PRId32,
            step->n_groups, in->g->n_groups);
    for (int32_t i = 0; i < in->g->n_groups; i++) {
        bool recurrent = in->g->groups[i].kind == TRI_GROUP_RECURRENT;
        bool used = in->g->groups[i].n_layers > 0 && step->n_sequences > 0;
        if (used && recurrent != (step->groups[i].max_blocks == 0))
            return TRI_FAIL(err, TRI_E_ARGUMENT, "group %" PRId32 " is %srecurrent in the graph", i,
                recurrent ? "" : "not ");
    }
    return TRI_OK;
}

tri_status tri_interp_run(tri_interp *in, const tri_step *step, tri_error *err) {
    tri_status rc = check_step(in, step, err);
    in->step = step;
    in->run++;
    for (const tri_node *node = in->g->first; !rc && node; node = node->next) {
        if (node->n_results > 0 && node->results[0]->constant) continue;
        rc = evaluate(in, node, err);
        if (!rc) round_results(in, node);
        if (!rc) rc = observe(in, node, err);
    }
    in->step = NULL;
    if (rc) tri_error_context(err, "interpreting step %" PRIu64 " of %s", step->id, in->g->name);
    return rc;
}

tri_status tri_interp_constant(
    tri_interp *in, const tri_value *value, const float **data, int64_t *n, tri_error *err) {
    const tri_interp_slot *slot = &in->slots[value->id];
    TRI_ASSERT(value->constant);
    if (slot->run == 0) TRI_TRY(evaluate(in, value->node, err));
    *data = slot->f;
    *n = slot->rows * slot->columns;
    return TRI_OK;
}

/* ---- results ---- */

static const tri_interp_slot *find_result(const tri_interp *in, const char *name) {
    int64_t id;
    for (int32_t i = 0; i < in->g->n_outputs; i++) {
        if (strcmp(in->g->outputs[i].name, name) != 0) continue;
        const tri_interp_slot *slot = &in->slots[in->g->outputs[i].value->id];
        return slot->run > 0 ? slot : NULL;
    }
    if (name[0] != '%' || !tri_str_to_i64(tri_str_of(name + 1), &id) || id < 0 ||
        id >= in->g->next_id || in->slots[id].run == 0)
        return NULL;
    return &in->slots[id];
}

const float *tri_interp_output(
    const tri_interp *in, const char *name, int64_t *rows, int64_t *columns) {
    const tri_interp_slot *slot = find_result(in, name);
    if (!slot || !slot->f) return NULL;
    *rows = slot->rows;
    *columns = slot->columns;
    return slot->f;
}

const int32_t *tri_interp_output_i32(const tri_interp *in, const char *name, int64_t *n) {
    const tri_interp_slot *slot = find_result(in, name);
    if (!slot || !slot->i) return NULL;
    *n = slot->rows * slot->columns;
    return slot->i;
}

void tri_interp_set_logits(tri_interp *in, const float *logits, int64_t rows, int64_t columns) {
    free(in->logits);
    in->logits = NULL;
    in->logits_rows = in->logits_columns = 0;
    if (rows < 0 || columns < 1) return;
    in->logits = malloc(rows > 0 ? (size_t)rows * (size_t)columns * sizeof *logits : 1);
    if (!in->logits) return;
    if (rows > 0) memcpy(in->logits, logits, (size_t)rows * (size_t)columns * sizeof *logits);
    in->logits_rows = rows;
    in->logits_columns = columns;
}
