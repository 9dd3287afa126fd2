#include "engine/bind.h"

#include <string.h>

#include "base/codec.h"
#include "engine/derive.h"
#include "engine/recipe.h"
#include "kernels/step_inputs.h"

/* An operand that is a stored tensor. */
struct tri_bound_constant {
    tri_plugin_tensor *tensor;
    int32_t stored;
};

/* A launch's operands while they are filled in; the launch sees them as const. */
typedef struct operands {
    tri_plugin_tensor *inputs, *outputs;
    const tri_plugin_cache **caches;
    const tri_plugin_state **states;
    int32_t *groups;
} operands;

static tri_status no_memory(tri_error *err) {
    return TRI_FAIL(err, TRI_E_MEMORY, "binding launches: out of memory");
}

/* ---- caches ---- */

/* The cache or counts node that a version of a cache or state goes back to. */
static const tri_node *source_of(const tri_value *value) {
    const tri_node *node = value->node;
    while (node->op != TRI_OP_CACHE && node->op != TRI_OP_COUNTS) {
        const tri_value *before = NULL;
        for (int32_t i = 0; i < node->n_operands && !before; i++) {
            const tri_value *operand = node->operands[i];
            if (operand && operand->type.kind != TRI_TYPE_TENSOR) before = operand;
        }
        TRI_ASSERT(before); /* verify: versions descend from a source */
        node = before->node;
    }
    return node;
}

/* K and V of a block of one layer; or one sequence's state. */
static int64_t unit_bytes(const tri_graph *g, const tri_node *source) {
    const tri_type *t = &source->results[0]->type;
    int64_t n = tri_dtype_row_bytes(t->dtype, 1);
    int64_t factors[3] = {t->dims[0], 1, 1};
    if (t->kind == TRI_TYPE_CACHE) {
        factors[1] = t->dims[1];
        factors[2] = 2 * (int64_t)g->groups[tri_node_int(source, "group")].tokens_per_block;
    }
    for (int i = 0; i < 3; i++) {
        if (n < 0 || __builtin_mul_overflow(n, factors[i], &n)) return -1;
    }
    return (n + 63) / 64 * 64; /* units start at cache lines */
}

int64_t tri_cache_bytes(const tri_graph *g, const tri_node *source, int64_t n_blocks) {
    int64_t n = unit_bytes(g, source);
    if (n < 0 || __builtin_mul_overflow(n, n_blocks, &n)) return -1;
    return n;
}

static bool is_member(const tri_node *node, int32_t group) {
    return (node->op == TRI_OP_CACHE || node->op == TRI_OP_COUNTS) &&
           tri_node_int(node, "group") == group;
}

int64_t tri_group_memory_bytes(const tri_graph *g, int32_t group, int64_t n_blocks) {
    int64_t total = 0;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (!is_member(node, group)) continue;
        int64_t n = tri_cache_bytes(g, node, n_blocks);
        if (n < 0 || __builtin_add_overflow(total, n, &total)) return -1;
    }
    return total;
}

/* Where a member begins in its group's memory: members follow each other in the graph's order. */
static int64_t member_offset(const tri_graph *g, const tri_node *source, int64_t n_blocks) {
    int32_t group = (int32_t)tri_node_int(source, "group");
    int64_t offset = 0;
    for (const tri_node *node = g->first; node != source; node = node->next) {
        if (is_member(node, group)) offset += tri_cache_bytes(g, node, n_blocks);
    }
    return offset;
}

static int32_t engine_group(const tri_binding *b, int32_t local) {
    return b->engine->group_of[b->rank * TRI_MAX_GROUPS + local];
}

static tri_status bind_cache(operands *o, int32_t i, const tri_binding *b, const tri_graph *g,
    const tri_value *value, tri_error *err) {
    const tri_node *source = source_of(value);
    const tri_type *t = &source->results[0]->type;
    int32_t local = (int32_t)tri_node_int(source, "group");
    int32_t group = engine_group(b, local), n_blocks = b->limits->n_blocks[group];
    uint8_t *base = b->group_memory[local] + member_offset(g, source, n_blocks);
    int64_t stride = unit_bytes(g, source);
    o->groups[i] = group;
    if (t->kind == TRI_TYPE_STATE) {
        tri_plugin_state *state = TRI_NEW(b->arena, tri_plugin_state);
        if (!state) return no_memory(err);
        *state = (tri_plugin_state){.struct_size = sizeof *state,
            .base = base,
            .slot_stride_bytes = stride,
            .n_slots = n_blocks};
        o->states[i] = state;
        return TRI_OK;
    }
    tri_plugin_cache *cache = TRI_NEW(b->arena, tri_plugin_cache);
    if (!cache) return no_memory(err);
    int32_t tokens = g->groups[local].tokens_per_block;
    *cache = (tri_plugin_cache){.struct_size = sizeof *cache,
        .base = base,
        .block_stride_bytes = stride,
        .v_offset_bytes = t->dims[0] * t->dims[1] * tokens * tri_dtype_row_bytes(t->dtype, 1),
        .n_blocks = n_blocks,
        .tokens_per_block = tokens,
        .n_kv_heads = (int32_t)t->dims[0],
        .head_size = (int32_t)t->dims[1],
        .dtype = (int32_t)t->dtype};
    o->caches[i] = cache;
    return TRI_OK;
}

/* ---- tensors ---- */

static bool is_logits_input(const tri_value *value) {
    return value->node->op == TRI_OP_INPUT &&
           strcmp(tri_node_string(value->node, "name"), "logits") == 0;
}

/* Which output a value is, or -1. */
static int32_t output_index(const tri_graph *g, const tri_value *value) {
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].value == value) return i;
    }
    return -1;
}

static tri_plugin_tensor placed(const tri_bound *bound, const tri_value *value) {
    const tri_placement *p = &bound->memory_plan.placements[value->id];
    int32_t output = bound->results ? output_index(bound->g, value) : -1;
    if (output >= 0)
        return (tri_plugin_tensor){
            bound->results + output * bound->result_bytes, p->row_stride_bytes};
    TRI_ASSERT(p->offset_bytes >= 0);
    return (tri_plugin_tensor){bound->memory + p->offset_bytes, p->row_stride_bytes};
}

static tri_plugin_tensor activation(
    const tri_bound *bound, const tri_binding *b, const tri_value *value) {
    if (is_logits_input(value)) return (tri_plugin_tensor){b->logits, b->logits_stride_bytes};
    return placed(bound, value);
}

/* Which stored tensor a constant is: equal expressions are one. */
static tri_status find_stored(
    const tri_map *index, const tri_value *value, int32_t *stored, tri_error *err) {
    tri_buf text = {0};
    int64_t at = -1;
    tri_value_print_expression(value, &text);
    tri_status rc = tri_buf_status(&text, err);
    if (!rc && !tri_map_get(index, (tri_str){text.ptr, text.len}, &at))
        rc = TRI_FAIL(err, TRI_E_INTERNAL, "%s is not among the stored tensors", text.ptr);
    tri_buf_deinit(&text);
    if (!rc) *stored = (int32_t)at;
    return rc;
}

static int64_t constant_stride(const tri_type *type) {
    return strcmp(type->layout, "row") == 0 ? tri_type_row_bytes(type) : 0;
}

/* ---- launches ---- */

static tri_status bind_operand(tri_bound *bound, const tri_binding *b, const tri_map *index,
    const tri_value *value, operands *o, int32_t i, tri_error *err) {
    if (!value) return TRI_OK;
    if (value->type.kind != TRI_TYPE_TENSOR) return bind_cache(o, i, b, bound->g, value, err);
    if (!value->constant) {
        o->inputs[i] = activation(bound, b, value);
        return TRI_OK;
    }
    int32_t stored = 0;
    TRI_TRY(find_stored(index, value, &stored, err));
    o->inputs[i].row_stride_bytes = constant_stride(&value->type);
    bound->constants[bound->n_constants++] =
        (struct tri_bound_constant){.tensor = &o->inputs[i], .stored = stored};
    return TRI_OK;
}

static tri_status reserve_operands(
    operands *o, const tri_node *node, tri_arena *arena, tri_error *err) {
    int32_t n = node->n_operands;
    *o = (operands){.inputs = TRI_NEW_N(arena, tri_plugin_tensor, n + 1),
        .outputs = TRI_NEW_N(arena, tri_plugin_tensor, node->n_results + 1),
        .caches = TRI_NEW_N(arena, const tri_plugin_cache *, n + 1),
        .states = TRI_NEW_N(arena, const tri_plugin_state *, n + 1),
        .groups = TRI_NEW_N(arena, int32_t, n + 1)};
    if (!o->inputs || !o->outputs || !o->caches || !o->states || !o->groups) return no_memory(err);
    for (int32_t i = 0; i < n; i++)
        o->groups[i] = -1;
    return TRI_OK;
}

static tri_status bind_launch(tri_bound *bound, const tri_binding *b, const tri_map *index,
    const tri_pick *pick, int32_t launch, tri_error *err) {
    const tri_node *node = pick->node;
    const tri_plugin_kernel *kernel = pick->kernel;
    operands o;
    TRI_TRY(reserve_operands(&o, node, b->arena, err));
    for (int32_t i = 0; i < node->n_operands; i++)
        TRI_TRY(bind_operand(bound, b, index, node->operands[i], &o, i, err));
    for (int32_t i = 0; i < node->n_results; i++) {
        if (node->results[i]->type.kind == TRI_TYPE_TENSOR)
            o.outputs[i] = activation(bound, b, node->results[i]);
    }
    const char *name = tri_node_op_name(node);
    if (*node->scope) name = tri_arena_printf(b->arena, "%s %s", node->scope, name);
    if (!name) return no_memory(err);
    void *state = NULL;
    if (kernel->create && kernel->create(bound->descs[launch], &state) != 0)
        return TRI_FAIL(err, TRI_E_DEVICE, "%s: kernel %s cannot be set up", name, kernel->name);
    bound->launches[bound->n_launches++] = (tri_launch){.kernel = kernel,
        .state = state,
        .inputs = o.inputs,
        .outputs = o.outputs,
        .n_inputs = node->n_operands,
        .n_outputs = node->n_results,
        .caches = o.caches,
        .cache_groups = o.groups,
        .states = o.states,
        .name = name};
    return TRI_OK;
}

/* The copying of tokens, positions and rows, when the graph has them. */
static tri_status bind_inputs(tri_bound *bound, const tri_binding *b, tri_error *err) {
    tri_step_inputs *inputs = TRI_NEW(b->arena, tri_step_inputs);
    tri_plugin_tensor *outputs = TRI_NEW_N(b->arena, tri_plugin_tensor, TRI_MAX_STEP_INPUTS);
    tri_step_input kind;
    if (!inputs || !outputs) return no_memory(err);
    for (const tri_node *node = bound->g->first; node; node = node->next) {
        if (node->op != TRI_OP_INPUT || !tri_step_input_of(tri_node_string(node, "name"), &kind))
            continue;
        if (inputs->n == TRI_MAX_STEP_INPUTS)
            return TRI_FAIL(err, TRI_E_FORMAT, "the graph has an input twice");
        outputs[inputs->n] = activation(bound, b, node->results[0]);
        inputs->kinds[inputs->n++] = kind;
    }
    if (inputs->n == 0) return TRI_OK;
    inputs->sampled = b->sampled;
    bound->launches[bound->n_launches++] =
        (tri_launch){.kernel = tri_step_inputs_kernel_for(tri_device_facts(b->device)->kind),
            .state = inputs,
            .outputs = outputs,
            .n_outputs = inputs->n,
            .name = "inputs"};
    return TRI_OK;
}

/* ---- both phases ---- */

static int64_t workspace_of(const tri_plugin_kernel *kernel, const tri_plugin_desc *desc) {
    return kernel->workspace_bytes ? kernel->workspace_bytes(desc) : 0;
}

static tri_select limits_select(const tri_binding *b) {
    tri_select select = b->engine->select;
    select.max_tokens = b->limits->max_tokens;
    select.max_sequences = b->limits->max_sequences;
    select.max_rows = b->limits->max_rows;
    return select;
}

tri_status tri_bind_measure(tri_bound *bound, const tri_binding *binding, const tri_graph *g,
    const tri_pick *picks, int32_t n_picks, tri_error *err) {
    const tri_plan_limits *limits = binding->limits;
    tri_select select = limits_select(binding);
    *bound = (tri_bound){.g = g};
    bound->descs = TRI_NEW_N(binding->arena, const tri_plugin_desc *, n_picks + 1);
    if (!bound->descs) return no_memory(err);
    TRI_TRY(tri_pass_memory(g, limits->max_tokens, limits->max_sequences, limits->max_rows,
        binding->arena, &bound->memory_plan, err));
    for (int32_t i = 0; i < n_picks; i++) {
        tri_plugin_desc *desc;
        char reason[128];
        TRI_TRY(tri_select_describe(&select, g, picks[i].node, binding->arena, &desc, err));
        desc->kept = picks[i].kept.ptr;
        desc->n_kept_bytes = (int64_t)picks[i].kept.len;
        if (!tri_select_accepts(&select, picks[i].kernel, desc, reason))
            return TRI_FAIL(err, TRI_E_UNSUPPORTED,
                "%s: kernel %s cannot run with these limits: %s", desc->op, picks[i].kernel->name,
                reason);
        int64_t n = workspace_of(picks[i].kernel, desc);
        if (n > bound->workspace_bytes) bound->workspace_bytes = n;
        bound->descs[i] = desc;
    }
    return TRI_OK;
}

/* Descs move up by one when a launch of inputs comes first. */
static void shift_descs(tri_bound *bound, int32_t n_picks) {
    if (bound->n_launches == 0) return;
    memmove(bound->descs + 1, bound->descs, (size_t)n_picks * sizeof *bound->descs);
    bound->descs[0] = NULL;
}

static int32_t count_operands(const tri_pick *picks, int32_t n_picks) {
    int32_t n = 0;
    for (int32_t i = 0; i < n_picks; i++)
        n += picks[i].node->n_operands;
    return n;
}

static tri_status index_stored(tri_map *index, const tri_rank *rank, tri_error *err) {
    TRI_TRY(tri_map_reserve(index, (size_t)rank->n_stored, err));
    for (int32_t i = 0; i < rank->n_stored; i++)
        TRI_TRY(tri_map_put(index, tri_str_of(rank->stored[i].derivation), i, err));
    return TRI_OK;
}

tri_plugin_tensor tri_bound_output(const tri_bound *bound, const char *name) {
    const tri_value *value = tri_graph_output(bound->g, name);
    TRI_ASSERT(value);
    return placed(bound, value);
}

tri_status tri_bind(tri_bound *bound, const tri_binding *binding, const tri_pick *picks,
    int32_t n_picks, tri_error *err) {
    const tri_rank *rank = &binding->engine->ranks[binding->rank];
    tri_map index = {0};
    bound->launches = TRI_NEW_N(binding->arena, tri_launch, n_picks + 1);
    bound->constants =
        TRI_NEW_N(binding->arena, struct tri_bound_constant, count_operands(picks, n_picks) + 1);
    if (!bound->launches || !bound->constants) return no_memory(err);
    tri_status rc = index_stored(&index, rank, err);
    if (!rc) rc = bind_inputs(bound, binding, err);
    if (!rc) shift_descs(bound, n_picks);
    for (int32_t i = 0; i < n_picks && !rc; i++) {
        rc = bind_launch(bound, binding, &index, &picks[i], bound->n_launches, err);
    }
    if (!rc) tri_bind_weights(bound, binding->weights);
    tri_map_deinit(&index);
    return rc;
}

void tri_bind_weights(tri_bound *bound, void *const *weights) {
    for (int32_t i = 0; i < bound->n_constants; i++)
        bound->constants[i].tensor->data = weights[bound->constants[i].stored];
}

void tri_bound_deinit(tri_bound *bound) {
    for (int32_t i = 0; i < bound->n_launches; i++) {
        const tri_launch *l = &bound->launches[i];
        if (l->kernel && l->kernel->destroy) l->kernel->destroy(l->state);
    }
    bound->n_launches = 0;
}
