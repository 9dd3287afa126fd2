/* lab.h - one small graph run twice: by the interpreter, and launch by launch on a device with
 * chosen kernels.
 *
 * Graphs are text; weights are random, keyed by their names.  Workspace is filled with rubbish
 * before each step and guarded behind its end, caches start as NaN, rows of activations lie apart.
 *
 * On "cuda" all of that is device memory with a mirror on the host, which holds what a step left
 * behind once machine_run is over.  Values are NaN before a step, and what lies between their rows
 * or behind the step's last must be untouched after it.  A test calls lab_require("cuda") first. */
#ifndef TRI_TEST_KERNELS_LAB_H
#define TRI_TEST_KERNELS_LAB_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/graph/support.h"

#include "base/codec.h"
#include "base/map.h"
#include "base/rng.h"
#include "device/device.h"
#include "graph/interp.h"
#include "graph/plugins.h"
#include "kernels/kernels.h"

enum { LAB_VALUES = 64, LAB_NODES = 64, LAB_GUARD = 256, LAB_SLOTS = 8 };

/* ---- the graph and its reference ---- */

typedef struct lab_value { /* what the interpreter made of a value in the last step */
    float *f;
    int64_t rows, columns;
} lab_value;

typedef struct lab {
    tri_graph *g;
    tri_interp *interp;
    tri_kernels *kernels;
    void *weights[LAB_VALUES]; /* by value id */
    lab_value reference[LAB_VALUES];
    int32_t max_tokens, max_sequences, max_rows, max_blocks; /* blocks of a sequence */
    int32_t n_blocks;
    const float *logits; /* of graphs that take them; [max_rows, vocabulary] */
    uint32_t masks[2][64];
} lab;

static inline float lab_random(uint64_t seed, int64_t i) {
    return tri_rng_normal(seed, (uint64_t)i);
}

/* Random blocks: any bits, but scales that are sound numbers of about 0.01. */
static inline void lab_fill_blocks(tri_dtype dtype, uint8_t *bytes, int64_t n, uint64_t seed) {
    const tri_dtype_info *info = tri_dtype_get(dtype);
    static const struct {
        tri_dtype dtype;
        int32_t at[2];
    } scales[] = {{TRI_Q4_0, {0, -1}}, {TRI_Q4_1, {0, 2}}, {TRI_Q5_0, {0, -1}}, {TRI_Q5_1, {0, 2}},
        {TRI_Q8_0, {0, -1}}, {TRI_Q2_K, {80, 82}}, {TRI_Q3_K, {108, -1}}, {TRI_Q4_K, {0, 2}},
        {TRI_Q5_K, {0, 2}}, {TRI_Q6_K, {208, -1}}, {TRI_IQ4_NL, {0, -1}}, {TRI_IQ4_XS, {0, -1}}};
    for (int64_t i = 0; i < n; i += info->block_bytes) {
        for (int32_t j = 0; j < info->block_bytes; j++) {
            uint32_t word[4];
            tri_philox(seed, (uint64_t)i, (uint64_t)j, word);
            bytes[i + j] = (uint8_t)word[0];
        }
        for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
            for (int32_t k = 0; k < 2 && scales[s].dtype == dtype; k++) {
                if (scales[s].at[k] < 0) continue;
                uint16_t h = tri_f32_to_f16(0.01f * lab_random(seed + 1, i + k));
                memcpy(bytes + i + scales[s].at[k], &h, 2);
            }
        }
        if (dtype == TRI_MXFP4) bytes[i] = (uint8_t)(118 + bytes[i] % 6);
    }
}

static inline void *lab_make_weight(const tri_type *type, uint64_t seed) {
    int64_t columns = type->dims[type->n_dims - 1], rows = type->n_dims == 2 ? type->dims[0] : 1;
    int64_t row_bytes = tri_dtype_row_bytes(type->dtype, columns);
    uint8_t *bytes = malloc((size_t)(rows * row_bytes));
    float *row = malloc((size_t)columns * sizeof *row);
    assert_non_null(bytes);
    assert_non_null(row);
    const tri_dtype_info *info = tri_dtype_get(type->dtype);
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *to = bytes + r * row_bytes;
        if (info->is_block) {
            lab_fill_blocks(type->dtype, to, row_bytes, seed + (uint64_t)r * 1000003);
            continue;
        }
        if (type->dtype == TRI_I8 || type->dtype == TRI_I4) {
            for (int64_t i = 0; i < row_bytes; i++) {
                uint32_t word[4];
                tri_philox(seed, (uint64_t)r, (uint64_t)i, word);
                to[i] = (uint8_t)word[0];
            }
            continue;
        }
        for (int64_t c = 0; c < columns; c++)
            row[c] = lab_random(seed, r * columns + c);
        tri_codec_encode(type->dtype, row, to, columns);
    }
    free(row);
    return bytes;
}

static inline tri_status lab_weight(
    void *user, const char *name, const void **data, tri_error *err) {
    const lab *l = user;
    for (const tri_node *node = l->g->first; node; node = node->next) {
        if (node->op != TRI_OP_WEIGHT || strcmp(tri_node_string(node, "name"), name) != 0) continue;
        *data = l->weights[node->results[0]->id];
        return TRI_OK;
    }
    return TRI_FAIL(err, TRI_E_NOT_FOUND, "%s", name);
}

static inline const uint32_t *lab_mask(void *user, int32_t slot) {
    return ((const lab *)user)->masks[slot];
}

static inline void lab_observe(
    void *user, const tri_value *value, const float *data, int64_t rows, int64_t columns) {
    lab_value *v = &((lab *)user)->reference[value->id];
    size_t n_bytes = (size_t)(rows * columns) * sizeof *data;
    free(v->f);
    *v = (lab_value){.f = malloc(n_bytes + 1), .rows = rows, .columns = columns};
    assert_non_null(v->f);
    if (n_bytes) memcpy(v->f, data, n_bytes);
}

typedef struct lab_limits {
    int32_t tokens, sequences, rows, blocks; /* blocks of a sequence */
} lab_limits;

/* Anew, when weights have changed. */
static inline void lab_interpret(lab *l) {
    tri_interp_options options = {.weight = lab_weight,
        .weight_user = l,
        .observe = lab_observe,
        .observe_user = l,
        .mask = lab_mask,
        .mask_user = l};
    for (int32_t i = 0; i < TRI_MAX_GROUPS; i++)
        options.n_blocks[i] = l->n_blocks;
    tri_interp_destroy(l->interp);
    assert_ok(tri_interp_create(&l->interp, l->g, &options, err));
}

/* l stays where it is. */
static inline void lab_open(lab *l, const char *body, lab_limits limits) {
    *l = (lab){.max_tokens = limits.tokens ? limits.tokens : 8,
        .max_sequences = limits.sequences ? limits.sequences : 4,
        .max_rows = limits.rows ? limits.rows : 8,
        .max_blocks = limits.blocks ? limits.blocks : 4};
    assert_ok(parse_body(&l->g, body, err));
    assert_true(l->g->next_id <= LAB_VALUES);
    for (const tri_node *node = l->g->first; node; node = node->next) {
        if (node->op != TRI_OP_WEIGHT) continue;
        const char *name = tri_node_string(node, "name");
        l->weights[node->results[0]->id] =
            lab_make_weight(&node->results[0]->type, tri_hash64(name, strlen(name), 1));
    }
    l->n_blocks = LAB_SLOTS * l->max_blocks;
    if (l->n_blocks % 7 == 0) l->n_blocks++;
    lab_interpret(l);
    assert_ok(tri_kernels_create(&l->kernels, err));
}

static inline void lab_close(lab *l) {
    tri_interp_destroy(l->interp);
    tri_kernels_destroy(l->kernels);
    tri_graph_destroy(l->g);
    for (int32_t i = 0; i < LAB_VALUES; i++) {
        free(l->weights[i]);
        free(l->reference[i].f);
    }
}

/* ---- steps ---- */

typedef struct lab_sequence {
    int32_t id;            /* below LAB_SLOTS: its blocks and its slot */
    int32_t n, context;    /* tokens in the step; tokens it has by then */
    const int32_t *tokens; /* NULL: made from id and position */
    tri_step_sampling sampling;
} lab_sequence;

static inline int32_t lab_token(const lab_sequence *s, int32_t position) {
    return s->tokens ? s->tokens[position - (s->context - s->n)]
                     : (s->id * 31 + position * 7 + 3) % 61;
}

static inline int32_t lab_block(const lab *l, int32_t id, int32_t entry) {
    return ((id * l->max_blocks + entry) * 7 + 3) % l->n_blocks;
}

#define LAB_FIELD(step, type, field) ((type *)(void *)((uint8_t *)(step) + (step)->field))

/* The last token of each sequence is a row.  Free the result. */
static inline tri_step *lab_step(const lab *l, const lab_sequence *sequences, int32_t n) {
    int32_t n_tokens = 0, n_rows = 0;
    for (int32_t s = 0; s < n; s++) {
        n_tokens += sequences[s].n;
        n_rows += sequences[s].n > 0;
    }
    tri_step_shape shape = {.n_tokens = n_tokens,
        .n_sequences = n,
        .n_rows = n_rows,
        .n_groups = l->g->n_groups,
        .n_position_axes = 1};
    for (int32_t i = 0; i < l->g->n_groups; i++) {
        shape.max_blocks[i] = l->g->groups[i].kind == TRI_GROUP_RECURRENT ? 0 : l->max_blocks;
    }
    int64_t n_bytes = tri_step_bytes(&shape);
    void *memory = malloc((size_t)n_bytes);
    assert_non_null(memory);
    tri_step *step = tri_step_init(memory, n_bytes, &shape);
    int32_t t = 0, r = 0;
    for (int32_t s = 0; s < n; s++) {
        const lab_sequence *q = &sequences[s];
        LAB_FIELD(step, int32_t, cu_seqlens)[s + 1] = t + q->n;
        LAB_FIELD(step, int32_t, context_lens)[s] = q->context;
        LAB_FIELD(step, int32_t, prompt_lens)[s] = 5;
        LAB_FIELD(step, int32_t, adapter_ids)[s] = -1;
        for (int32_t i = 0; i < q->n; i++, t++) {
            int32_t position = q->context - q->n + i;
            LAB_FIELD(step, int32_t, tokens)[t] = lab_token(q, position);
            LAB_FIELD(step, int32_t, positions)[t] = position;
        }
        if (q->n > 0) {
            LAB_FIELD(step, int32_t, rows)[r] = t - 1;
            tri_step_sampling *sampling = &LAB_FIELD(step, tri_step_sampling, sampling)[r++];
            *sampling = q->sampling;
            sampling->sequence = s;
            sampling->mask_slot -= 1; /* 0 means none here, 1 the first slot */
        }
        for (int32_t i = 0; i < step->n_groups; i++) {
            if (shape.max_blocks[i] == 0) {
                LAB_FIELD(step, int32_t, groups[i].state_slots)[s] = q->id;
                continue;
            }
            int32_t tokens_per_block = l->g->groups[i].tokens_per_block;
            for (int32_t b = 0; b * tokens_per_block < q->context; b++) {
                LAB_FIELD(step, int32_t, groups[i].block_tables)
                [s * l->max_blocks + b] = lab_block(l, q->id, b);
            }
        }
    }
    return step;
}

/* ---- the kernels' side ---- */

typedef struct lab_setup {
    const char *device; /* NULL: "cpu" */
    int32_t n_threads;
    int32_t n_runs;  /* of every step; 0: one.  The third is a graph's on "cuda" */
    const char *isa; /* NULL: the machine's */
    const char *op;  /* whose kernel is `kernel`; the others take their first choice */
    const char *kernel;
    bool reuse_accumulator; /* linear's result in its accumulator's memory */
} lab_setup;

typedef struct machine {
    lab *l;
    tri_device *device;
    bool remote; /* the device's memory is not the host's */
    int32_t n_runs;
    tri_capture *capture;
    const tri_value *tensors[LAB_VALUES]; /* by value id, as what follows */
    uint8_t *values[LAB_VALUES];          /* for kernels */
    uint8_t *host[LAB_VALUES];            /* for the test: the same, or its mirror */
    float *wide[LAB_VALUES];              /* of bf16 values, dense rows */
    int64_t strides[LAB_VALUES];
    int64_t value_bytes[LAB_VALUES]; /* 0: in another's memory */
    void *owned[8 * LAB_NODES], *device_owned[8 * LAB_NODES];
    int32_t n_owned, n_device_owned;
    tri_launch launches[LAB_NODES];
    int32_t n_launches;
    uint8_t *workspace, *workspace_host;
    int64_t workspace_bytes;
    uint8_t *memories[LAB_VALUES]; /* of caches and states, by value id */
    uint8_t *memories_host[LAB_VALUES];
    int64_t memory_bytes[LAB_VALUES];
    uint32_t *masks;
} machine;

/* One for the process: contexts take long to make, and programs stay compiled.  NULL: there is
 * none. */
static inline tri_device *lab_gpu(tri_error *err) {
    static tri_device *device;
    tri_device_options options = {.kind = "cuda"};
    if (!device && tri_device_create(&device, &options, err)) return NULL;
    return device;
}

/* Skips the test, with the reason, where there is no such device. */
static inline void lab_require(const char *kind) {
    tri_error err = {0};
    if (strcmp(kind, "cuda") != 0 || lab_gpu(&err)) return;
    print_message("%s\n", err.message);
    skip();
}

static inline bool lab_is_remote(const char *kind) {
    return kind && strcmp(kind, "cpu") != 0;
}

static inline tri_device *lab_device(const lab_setup *setup) {
    tri_device *device = NULL;
    if (lab_is_remote(setup->device)) {
        assert_ok((device = lab_gpu(err)) ? TRI_OK : TRI_E_DEVICE);
        return device;
    }
    tri_device_options options = {
        .kind = "cpu", .n_threads = setup->n_threads ? setup->n_threads : 2, .isa = setup->isa};
    assert_ok(tri_device_create(&device, &options, err));
    return device;
}

static inline void *machine_keep(machine *m, size_t n_bytes) {
    void *memory = calloc(1, n_bytes ? n_bytes : 1);
    assert_non_null(memory);
    assert_true(m->n_owned < 8 * LAB_NODES);
    m->owned[m->n_owned++] = memory;
    return memory;
}

/* What kernels get for n_bytes at `host`, of machine_keep, uploaded as they are. */
static inline void *machine_device_memory(machine *m, void *host, int64_t n_bytes) {
    void *memory = NULL;
    if (!m->remote) return host;
    assert_true(m->n_device_owned < 8 * LAB_NODES);
    assert_ok(tri_device_alloc(m->device, n_bytes, &memory, err));
    m->device_owned[m->n_device_owned++] = memory;
    if (n_bytes) assert_ok(tri_device_upload(m->device, memory, host, n_bytes, err));
    return memory;
}

static inline int64_t lab_max_rows(const lab *l, int64_t dim) {
    return dim == TRI_DIM_T   ? l->max_tokens
           : dim == TRI_DIM_S ? l->max_sequences
           : dim == TRI_DIM_R ? l->max_rows
                              : dim;
}

static inline int64_t lab_rows(const tri_step *step, int64_t dim) {
    return dim == TRI_DIM_T   ? step->n_tokens
           : dim == TRI_DIM_S ? step->n_sequences
           : dim == TRI_DIM_R ? step->n_rows
                              : dim;
}

static inline int64_t lab_elem_bytes(const tri_value *value) {
    return tri_dtype_row_bytes(value->type.dtype, 1);
}
static inline int64_t lab_columns(const tri_value *value) {
    return value->type.n_dims == 2 ? value->type.dims[1] : 1;
}
static inline int64_t lab_round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* For what is read as floats but is none. */
static inline void machine_widen(machine *m, const tri_value *value) {
    m->tensors[value->id] = value;
    if (value->type.dtype != TRI_BF16) return;
    int64_t n = lab_max_rows(m->l, value->type.dims[0]) * lab_columns(value);
    m->wide[value->id] = machine_keep(m, (size_t)n * sizeof(float));
}

/* Rows lie 5 elements apart, or where the device wants them and 16 bytes; one-dimensional values
 * are dense. */
static inline void machine_reserve(machine *m, const tri_value *value) {
    const tri_type *t = &value->type;
    int32_t id = value->id;
    if (t->kind != TRI_TYPE_TENSOR || m->values[id]) return;
    int64_t elem = lab_elem_bytes(value), columns = lab_columns(value);
    int64_t apart = m->remote ? lab_round_up(columns * elem, 16) + 16 : (columns + 5) * elem;
    m->strides[id] = t->n_dims == 2 ? apart : elem;
    m->value_bytes[id] = lab_max_rows(m->l, t->dims[0]) * m->strides[id];
    m->host[id] = machine_keep(m, (size_t)m->value_bytes[id]);
    m->values[id] = machine_device_memory(m, m->host[id], m->value_bytes[id]);
    machine_widen(m, value);
}

/* In another value's memory, `offset` bytes on. */
static inline void machine_share(
    machine *m, const tri_value *value, const tri_value *owner, int64_t offset) {
    m->values[value->id] = m->values[owner->id] + offset;
    m->host[value->id] = m->host[owner->id] + offset;
    m->strides[value->id] = m->strides[owner->id];
    machine_widen(m, value);
}

static inline const tri_node *lab_source(const tri_value *value) {
    const tri_node *node = value->node;
    while (node->op != TRI_OP_CACHE && node->op != TRI_OP_COUNTS) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (node->operands[i] && node->operands[i]->type.kind != TRI_TYPE_TENSOR) {
                node = node->operands[i]->node;
                break;
            }
        }
    }
    return node;
}

static inline void machine_bind_memory(
    machine *m, const tri_value *value, tri_launch *launch, int32_t i) {
    const tri_node *source = lab_source(value);
    const tri_type *t = &source->results[0]->type;
    int32_t id = source->results[0]->id, group = (int32_t)tri_node_int(source, "group");
    int32_t tokens = m->l->g->groups[group].tokens_per_block;
    bool is_cache = t->kind == TRI_TYPE_CACHE;
    int64_t k_bytes = is_cache ? t->dims[0] * t->dims[1] * tokens * tri_dtype_row_bytes(t->dtype, 1)
                               : t->dims[0] * 2;
    /* Units lie apart too; on a GPU by rows, which is how copies count. */
    int64_t row_bytes = is_cache ? tri_dtype_row_bytes(t->dtype, t->dims[1]) : 0;
    int64_t v_offset = k_bytes + (m->remote ? row_bytes : 32);
    int64_t unit = is_cache ? 2 * v_offset : lab_round_up(k_bytes, m->remote ? 64 : 1) + 64;
    if (!m->memories[id]) {
        m->memory_bytes[id] = unit * m->l->n_blocks;
        m->memories_host[id] = machine_keep(m, (size_t)m->memory_bytes[id]);
        memset(m->memories_host[id], 0xFF, (size_t)m->memory_bytes[id]);
        m->memories[id] = machine_device_memory(m, m->memories_host[id], m->memory_bytes[id]);
    }
    ((int32_t *)(uintptr_t)launch->cache_groups)[i] = group;
    if (is_cache) {
        tri_plugin_cache *cache = machine_keep(m, sizeof *cache);
        *cache = (tri_plugin_cache){.struct_size = sizeof *cache,
            .base = m->memories[id],
            .block_stride_bytes = unit,
            .v_offset_bytes = v_offset,
            .n_blocks = m->l->n_blocks,
            .tokens_per_block = tokens,
            .n_kv_heads = (int32_t)t->dims[0],
            .head_size = (int32_t)t->dims[1],
            .dtype = (int32_t)t->dtype};
        ((const tri_plugin_cache **)(uintptr_t)launch->caches)[i] = cache;
        return;
    }
    tri_plugin_state *state = machine_keep(m, sizeof *state);
    *state = (tri_plugin_state){.struct_size = sizeof *state,
        .base = m->memories[id],
        .slot_stride_bytes = unit,
        .n_slots = m->l->n_blocks};
    ((const tri_plugin_state **)(uintptr_t)launch->states)[i] = state;
}

static inline void machine_bind_constant(machine *m, const tri_value *value,
    const tri_plugin_kernel *kernel, const tri_plugin_desc *desc, tri_plugin_tensor *tensor,
    int32_t i) {
    const char *layout_name = kernel->layout ? kernel->layout(desc, i) : NULL;
    const tri_plugin_type *type = &desc->inputs[i];
    assert_non_null(m->l->weights[value->id]);
    if (!layout_name || strcmp(layout_name, "row") == 0) {
        int64_t row_bytes =
            tri_dtype_row_bytes((tri_dtype)type->dtype, type->dims[type->n_dims - 1]);
        int64_t rows = type->n_dims == 2 ? type->dims[0] : 1;
        void *data = machine_device_memory(m, m->l->weights[value->id], rows * row_bytes);
        *tensor = (tri_plugin_tensor){data, type->n_dims == 2 ? row_bytes : 4};
        return;
    }
    const tri_plugin_layout *layout = tri_kernels_find_layout(m->l->kernels, layout_name);
    assert_non_null(layout);
    int64_t n_bytes = layout->bytes(type);
    assert_true(n_bytes > 0);
    void *packed = machine_keep(m, (size_t)n_bytes);
    layout->pack(type, 0, type->dims[0], m->l->weights[value->id], packed);
    *tensor = (tri_plugin_tensor){machine_device_memory(m, packed, n_bytes), 0};
}

static inline const tri_plugin_kernel *lab_choose(
    const lab *l, const tri_plugin_desc *desc, const lab_setup *setup) {
    if (setup->kernel && strcmp(desc->op, setup->op) == 0) {
        const tri_plugin_kernel *kernel = tri_kernels_find(l->kernels, setup->kernel);
        assert_non_null(kernel);
        char reason[128] = "";
        if (kernel->supports && kernel->supports(desc, reason, sizeof reason)) {
            fail_msg("%s: %s", setup->kernel, reason);
        }
        return kernel;
    }
    tri_arena arena;
    tri_kernel_choice *choices = NULL;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    assert_ok(tri_kernels_choose(l->kernels, desc, &arena, &choices, &n, err));
    const tri_plugin_kernel *kernel = choices[0].kernel;
    tri_arena_deinit(&arena);
    return kernel;
}

static inline tri_plugin_desc *machine_describe(machine *m, const tri_node *node) {
    const lab *l = m->l;
    tri_plugin_type *types = machine_keep(m, 16 * sizeof *types);
    tri_plugin_field *fields = machine_keep(m, TRI_MAX_ATTRS * sizeof *fields);
    tri_plugin_desc *desc = machine_keep(m, sizeof *desc);
    for (int32_t i = 0; i < node->n_operands; i++)
        types[i] = tri_plugin_type_of(node->operands[i]);
    for (int32_t i = 0; i < node->n_results; i++) {
        types[8 + i] = tri_plugin_type_of(node->results[i]);
    }
    tri_plugin_fields_of(node, fields);
    *desc = (tri_plugin_desc){.struct_size = sizeof *desc,
        .op = tri_op_get(node->op)->name,
        .n_inputs = node->n_operands,
        .n_outputs = node->n_results,
        .n_fields = node->n_attrs,
        .inputs = types,
        .outputs = types + 8,
        .fields = fields,
        .device = tri_device_facts(m->device),
        .tokens_per_block = l->g->n_groups ? l->g->groups[0].tokens_per_block : 0,
        .max_tokens = l->max_tokens,
        .max_sequences = l->max_sequences,
        .max_rows = l->max_rows};
    return desc;
}

static inline void machine_add(machine *m, const tri_node *node, const lab_setup *setup) {
    tri_plugin_desc *desc = machine_describe(m, node);
    const tri_plugin_kernel *kernel = lab_choose(m->l, desc, setup);
    size_t n = (size_t)node->n_operands;
    tri_plugin_tensor *inputs = machine_keep(m, n * sizeof *inputs);
    tri_plugin_tensor *outputs = machine_keep(m, TRI_MAX_RESULTS * sizeof *outputs);
    tri_launch *launch = &m->launches[m->n_launches++];
    *launch = (tri_launch){.kernel = kernel,
        .inputs = inputs,
        .outputs = outputs,
        .n_inputs = node->n_operands,
        .n_outputs = node->n_results,
        .caches = machine_keep(m, n * sizeof(void *)),
        .states = machine_keep(m, n * sizeof(void *)),
        .cache_groups = machine_keep(m, n * sizeof(int32_t)),
        .name = desc->op};
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        ((int32_t *)(uintptr_t)launch->cache_groups)[i] = -1;
        if (!value) continue;
        if (value->type.kind != TRI_TYPE_TENSOR) {
            machine_bind_memory(m, value, launch, i);
        } else if (value->constant) {
            machine_bind_constant(m, value, kernel, desc, &inputs[i], i);
        } else {
            inputs[i] = (tri_plugin_tensor){m->values[value->id], m->strides[value->id]};
        }
    }
    for (int32_t i = 0; i < node->n_results; i++) {
        const tri_value *value = node->results[i];
        const tri_value *accumulator =
            node->op == TRI_OP_LINEAR ? tri_node_operand(node, "accumulator") : NULL;
        if (setup->reuse_accumulator && accumulator) {
            machine_share(m, value, accumulator, 0);
        }
        machine_reserve(m, value);
        outputs[i] = (tri_plugin_tensor){m->values[value->id], m->strides[value->id]};
    }
    if (kernel->create) assert_int_equal(kernel->create(desc, &launch->state), 0);
    int64_t need = kernel->workspace_bytes ? kernel->workspace_bytes(desc) : 0;
    if (need > m->workspace_bytes) m->workspace_bytes = need;
}

/* m stays where it is. */
static inline void machine_open(machine *m, lab *l, lab_setup setup) {
    *m = (machine){.l = l,
        .device = lab_device(&setup),
        .remote = lab_is_remote(setup.device),
        .n_runs = setup.n_runs ? setup.n_runs : 1};
    for (const tri_node *node = l->g->first; node; node = node->next) {
        if (node->n_results && node->results[0]->constant) continue;
        if (node->op == TRI_OP_INPUT) {
            machine_reserve(m, node->results[0]);
        } else if (node->op == TRI_OP_COLUMNS) {
            const tri_value *x = node->operands[0];
            machine_share(m, node->results[0], x, lab_elem_bytes(x) * tri_node_int(node, "first"));
        } else if (node->op != TRI_OP_CACHE && node->op != TRI_OP_COUNTS) {
            assert_true(m->n_launches < LAB_NODES);
            machine_add(m, node, &setup);
        }
    }
    int64_t with_guard = m->workspace_bytes + LAB_GUARD;
    m->workspace_host = machine_keep(m, (size_t)with_guard);
    m->workspace = machine_device_memory(m, m->workspace_host, with_guard);
    m->masks = machine_device_memory(m, l->masks, sizeof l->masks);
    tri_launch_list list = {.launches = m->launches,
        .n_launches = m->n_launches,
        .workspace = m->workspace,
        .masks = m->masks,
        .n_mask_slots = 2,
        .mask_stride_words = 64};
    assert_ok(tri_device_capture(m->device, &list, &m->capture, err));
}

static inline void machine_close(machine *m) {
    tri_capture_destroy(m->capture);
    for (int32_t i = 0; i < m->n_launches; i++) {
        if (m->launches[i].kernel->destroy) m->launches[i].kernel->destroy(m->launches[i].state);
    }
    for (int32_t i = 0; i < m->n_device_owned; i++)
        tri_device_free(m->device, m->device_owned[i]);
    if (!m->remote) tri_device_destroy(m->device);
    for (int32_t i = 0; i < m->n_owned; i++)
        free(m->owned[i]);
}

static inline void machine_inputs(machine *m, const tri_step *step) {
    for (const tri_node *node = m->l->g->first; node; node = node->next) {
        if (node->op != TRI_OP_INPUT) continue;
        const char *name = tri_node_string(node, "name");
        uint8_t *to = m->host[node->results[0]->id];
        if (strcmp(name, "tokens") == 0) {
            memcpy(to, TRI_STEP_I32(step, tokens), (size_t)step->n_tokens * 4);
        } else if (strcmp(name, "positions") == 0) {
            memcpy(to, TRI_STEP_I32(step, positions), (size_t)step->n_tokens * 4);
        } else if (strcmp(name, "rows") == 0) {
            memcpy(to, TRI_STEP_I32(step, rows), (size_t)step->n_rows * 4);
        } else {
            int64_t columns = node->results[0]->type.dims[1];
            for (int64_t r = 0; r < step->n_rows; r++) {
                memcpy(to + r * m->strides[node->results[0]->id], m->l->logits + r * columns,
                    (size_t)columns * 4);
            }
        }
    }
}

/* Inputs as they are, all else as NaN bits. */
static inline void machine_upload(machine *m) {
    for (int32_t id = 0; id < LAB_VALUES && m->remote; id++) {
        if (!m->value_bytes[id]) continue;
        if (m->tensors[id]->node->op != TRI_OP_INPUT)
            memset(m->host[id], 0xFF, (size_t)m->value_bytes[id]);
        assert_ok(
            tri_device_upload(m->device, m->values[id], m->host[id], m->value_bytes[id], err));
    }
    if (!m->remote) return;
    assert_ok(tri_device_upload(m->device, m->masks, m->l->masks, sizeof m->l->masks, err));
    assert_ok(tri_device_upload(
        m->device, m->workspace, m->workspace_host, m->workspace_bytes + LAB_GUARD, err));
}

/* What lies between the rows of a value, and behind its last. */
static inline void machine_check_gaps(const machine *m, int32_t id, const tri_step *step) {
    const tri_value *value = m->tensors[id];
    int64_t row_bytes = lab_columns(value) * lab_elem_bytes(value);
    int64_t rows = lab_rows(step, value->type.dims[0]);
    for (int64_t at = 0; at < m->value_bytes[id]; at++) {
        bool is_row = at / m->strides[id] < rows && at % m->strides[id] < row_bytes;
        if (!is_row && m->host[id][at] != 0xFF) {
            fail_msg("value %%%d was written outside its rows: %d bytes into row %d", (int)id,
                (int)(at % m->strides[id]), (int)(at / m->strides[id]));
        }
    }
}

static inline void machine_download(machine *m, const tri_step *step) {
    for (int32_t id = 0; id < LAB_VALUES && m->remote; id++) {
        if (!m->value_bytes[id] || m->tensors[id]->node->op == TRI_OP_INPUT) continue;
        assert_ok(
            tri_device_download(m->device, m->host[id], m->values[id], m->value_bytes[id], err));
        machine_check_gaps(m, id, step);
    }
    if (m->remote) {
        assert_ok(tri_device_download(
            m->device, m->workspace_host, m->workspace, m->workspace_bytes + LAB_GUARD, err));
    }
    for (int32_t id = 0; id < LAB_VALUES; id++) {
        if (!m->wide[id]) continue;
        int64_t columns = lab_columns(m->tensors[id]);
        for (int64_t r = 0; r < lab_rows(step, m->tensors[id]->type.dims[0]); r++) {
            tri_codec_decode(
                TRI_BF16, m->host[id] + r * m->strides[id], m->wide[id] + r * columns, columns);
        }
    }
}

static inline void machine_run(machine *m, const tri_step *step) {
    for (int32_t run = 0; run < m->n_runs; run++) {
        machine_inputs(m, step);
        memset(m->workspace_host, 0xFF, (size_t)(m->workspace_bytes + LAB_GUARD));
        machine_upload(m);
        assert_ok(tri_device_submit(m->capture, step, err));
        assert_ok(tri_device_complete(m->capture, err));
        machine_download(m, step);
        for (int32_t i = 0; i < LAB_GUARD; i++) {
            if (m->workspace_host[m->workspace_bytes + i] != 0xFF)
                fail_msg("workspace was overrun");
        }
    }
}

/* What a cache or state holds after the steps so far; id: of the value of its `cache` or `counts`
 * node. */
static inline const uint8_t *machine_memory(machine *m, int32_t id) {
    if (m->remote) {
        assert_ok(tri_device_download(
            m->device, m->memories_host[id], m->memories[id], m->memory_bytes[id], err));
    }
    return m->memories_host[id];
}

static inline void lab_run(lab *l, const tri_step *step) {
    for (const tri_node *node = l->g->first; node && l->logits; node = node->next) {
        if (node->op != TRI_OP_INPUT || strcmp(tri_node_string(node, "name"), "logits") != 0) {
            continue;
        }
        tri_interp_set_logits(l->interp, l->logits, step->n_rows, node->results[0]->type.dims[1]);
    }
    assert_ok(tri_interp_run(l->interp, step, err));
}

/* bf16 as floats, int32 as they are. */
static inline const float *machine_row(const machine *m, int32_t id, int64_t row) {
    if (m->wide[id]) return m->wide[id] + row * lab_columns(m->tensors[id]);
    return (const float *)(const void *)(m->host[id] + row * m->strides[id]);
}

/* ---- comparing ---- */

/* The one error metric: the largest difference, over the reference's root mean square.  NaN is the
 * largest error. */
static inline double machine_error_from(const machine *m, int32_t id, const lab_value *v) {
    double squares = 0, most = 0;
    for (int64_t i = 0; i < v->rows * v->columns; i++)
        squares += (double)v->f[i] * (double)v->f[i];
    double rms = sqrt(squares / (double)(v->rows * v->columns));
    for (int64_t r = 0; r < v->rows; r++) {
        const float *y = machine_row(m, id, r);
        for (int64_t c = 0; c < v->columns; c++) {
            double difference = fabs((double)y[c] - (double)v->f[r * v->columns + c]);
            if (!(difference <= most)) most = difference;
            if (isnan(difference)) return INFINITY;
        }
    }
    return rms > 0 ? most / rms : most;
}

static inline double machine_error(const machine *m, int32_t id) {
    return machine_error_from(m, id, &m->l->reference[id]);
}

#define expect_close(m, id, tolerance, ...)                                                        \
    expect_close_to((m), (id), &(m)->l->reference[(id)], (tolerance), __VA_ARGS__)
#define expect_close_to(m, id, value, tolerance, ...)                                              \
    do {                                                                                           \
        double expect_error = machine_error_from((m), (id), (value));                              \
        if (!(expect_error <= (tolerance))) {                                                      \
            char expect_text[256];                                                                 \
            (void)snprintf(expect_text, sizeof expect_text, __VA_ARGS__);                          \
            fail_msg("%s: error %.3g, at most %.3g is due", expect_text, expect_error,             \
                (double)(tolerance));                                                              \
        }                                                                                          \
    } while (0)

/* Every kernel that can compute the op in this graph on such a device.  Names are in the
 * registry's order; returns their number. */
static inline int32_t lab_candidates_on(
    lab *l, const char *device, const char *op, const char *isa, const char *names[16]) {
    lab_setup setup = {.device = device, .n_threads = 1, .isa = isa};
    machine m = {.l = l, .device = lab_device(&setup), .remote = lab_is_remote(device)};
    const tri_node *node = l->g->first;
    while (node && strcmp(tri_op_get(node->op)->name, op) != 0)
        node = node->next;
    assert_non_null(node);
    tri_plugin_desc *desc = machine_describe(&m, node);
    tri_arena arena;
    tri_kernel_choice *choices = NULL;
    int32_t n = 0, n_supported = 0;
    tri_arena_init(&arena, 0);
    assert_ok(tri_kernels_choose(l->kernels, desc, &arena, &choices, &n, err));
    for (int32_t i = 0; i < n; i++) {
        if (choices[i].supported && n_supported < 16) {
            names[n_supported++] = choices[i].kernel->name;
        }
    }
    tri_arena_deinit(&arena);
    if (!m.remote) tri_device_destroy(m.device);
    for (int32_t i = 0; i < m.n_owned; i++)
        free(m.owned[i]);
    return n_supported;
}

static inline int32_t lab_candidates(
    lab *l, const char *op, const char *isa, const char *names[16]) {
    return lab_candidates_on(l, "cpu", op, isa, names);
}

/* Roundings of float32 that a chain of n sums of random terms gathers: about sqrt(n) / 2 units in
 * the last place of the sum's own size, some 5 deviations for the largest of thousands of results,
 * and a few more for scales and the final store. */
static inline double chain_tolerance(int64_t n) {
    return (8.0 + 4.0 * sqrt((double)n)) * 0x1p-24;
}

#endif
