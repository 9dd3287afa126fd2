/* model.h - small models with every shape that families emit, for the tests of passes: defined
 * through the public graph.h, weights random by name. */
#ifndef TESTS_PASSES_MODEL_H
#define TESTS_PASSES_MODEL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/rng.h"
#include "graph/ir.h"

typedef struct test_model {
    int32_t n_layers, hidden, n_heads, n_kv_heads, head_size, intermediate, vocab;
    tri_dtype dtype;
    bool qkv_bias, dense_bias, mlp_bias;
    bool qk_norm;       /* [head_size], before rope */
    bool separate_qkv;  /* attention.q, .k, .v */
    bool joined_mlp;    /* mlp.fc is [2 * intermediate, hidden] and gated */
    bool parallel;      /* x + attention(n) + mlp(n), one norm */
    bool sandwich;      /* norm of each branch before the residual add */
    bool norm_plus_one; /* norms multiply by 1 + w */
    bool tied;          /* the head is the embedding table */
    double embedding_scale, attention_softcap, final_softcap; /* 0: none */
    int32_t window;         /* of odd layers; 0: full everywhere */
    int32_t first, n_stage; /* pipeline stage: layers [first, first + n_stage); n_stage 0: all */
} test_model;

/* What families look like, each with what sets it apart. */
static const char *const test_model_names[] = {
    "llama", "qwen2", "qwen3", "gemma", "separate", "blocks", "bias", "joined", "parallel"};

static inline test_model test_model_named(const char *name, int32_t n_layers) {
    test_model m = {.n_layers = n_layers,
        .hidden = 32,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 8,
        .intermediate = 64,
        .vocab = 40,
        .dtype = TRI_BF16};
    if (strcmp(name, "qwen2") == 0) m.qkv_bias = true;
    if (strcmp(name, "qwen3") == 0) m.qk_norm = m.tied = true;
    if (strcmp(name, "gemma") == 0) {
        m.window = 4;
        m.qk_norm = m.tied = m.sandwich = m.norm_plus_one = true;
        m.embedding_scale = 5.65625;
        m.attention_softcap = 50.0;
        m.final_softcap = 30.0;
    }
    if (strcmp(name, "separate") == 0) m.separate_qkv = m.qkv_bias = true;
    if (strcmp(name, "blocks") == 0) m.dtype = TRI_Q8_0;
    if (strcmp(name, "bias") == 0) m.qkv_bias = m.dense_bias = m.mlp_bias = true;
    if (strcmp(name, "joined") == 0) m.joined_mlp = true;
    if (strcmp(name, "parallel") == 0) m.parallel = true;
    return m;
}

static inline void test_declare(
    tri_graph *g, const test_model *m, const char *name, int64_t rows, int64_t columns) {
    int64_t dims[] = {rows, columns};
    bool blocks = tri_dtype_get(m->dtype)->is_block; /* vectors are floats in a GGUF too */
    tri_graph_declare_weight(
        g, name, blocks && columns == 0 ? TRI_F32 : m->dtype, dims, columns > 0 ? 2 : 1);
}

static inline void test_declare_linear(tri_graph *g, const test_model *m, int32_t layer,
    const char *name, int64_t rows, int64_t columns, bool bias) {
    char full[128];
    snprintf(full, sizeof full, "transformer.layers.%d.%s.weight", layer, name);
    test_declare(g, m, full, rows, columns);
    snprintf(full, sizeof full, "transformer.layers.%d.%s.bias", layer, name);
    if (bias) test_declare(g, m, full, rows, 0);
}

static inline void test_declare_norm(
    tri_graph *g, const test_model *m, int32_t layer, const char *name, int64_t n) {
    char full[128];
    snprintf(full, sizeof full, "transformer.layers.%d.%s.weight", layer, name);
    test_declare(g, m, full, n, 0);
}

static inline void test_declare_layer(tri_graph *g, const test_model *m, int32_t i) {
    int64_t c = m->hidden, q = m->n_heads * m->head_size, kv = m->n_kv_heads * m->head_size;
    if (m->separate_qkv) {
        test_declare_linear(g, m, i, "attention.q", q, c, m->qkv_bias);
        test_declare_linear(g, m, i, "attention.k", kv, c, m->qkv_bias);
        test_declare_linear(g, m, i, "attention.v", kv, c, m->qkv_bias);
    } else {
        test_declare_linear(g, m, i, "attention.qkv", q + 2 * kv, c, m->qkv_bias);
    }
    test_declare_linear(g, m, i, "attention.dense", c, q, m->dense_bias);
    test_declare_linear(
        g, m, i, "mlp.fc", (m->joined_mlp ? 2 : 1) * m->intermediate, c, m->mlp_bias);
    if (!m->joined_mlp) test_declare_linear(g, m, i, "mlp.gate", m->intermediate, c, m->mlp_bias);
    test_declare_linear(g, m, i, "mlp.proj", c, m->intermediate, m->mlp_bias);
    test_declare_norm(g, m, i, "input_layernorm", c);
    test_declare_norm(g, m, i, "post_layernorm", c);
    if (m->qk_norm) {
        test_declare_norm(g, m, i, "attention.q_layernorm", m->head_size);
        test_declare_norm(g, m, i, "attention.k_layernorm", m->head_size);
    }
    if (m->sandwich) {
        test_declare_norm(g, m, i, "pre_feedforward_layernorm", c);
        test_declare_norm(g, m, i, "post_feedforward_layernorm", c);
    }
}

static inline tri_value *test_norm_weight(tri_graph *g, const test_model *m, const char *name) {
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    tri_value *w = tri_weight(g, full);
    return m->norm_plus_one ? tri_affine(g, w, 1.0, 1.0) : w;
}

static inline tri_value *test_norm(
    tri_graph *g, const test_model *m, tri_value *x, const char *name) {
    return tri_rms_norm(g, x, test_norm_weight(g, m, name), 1e-5);
}

static inline tri_value *test_attend(
    tri_graph *g, const test_model *m, int32_t layer, tri_value *h) {
    const tri_rope_desc rope = {.type = TRI_ROPE_DEFAULT, .base = 10000.0};
    int64_t q = m->n_heads * m->head_size, kv = m->n_kv_heads * m->head_size;
    tri_attention_desc desc = {.n_heads = m->n_heads,
        .n_kv_heads = m->n_kv_heads,
        .head_size = m->head_size,
        .logit_softcap = m->attention_softcap,
        .window = layer % 2 ? m->window : 0,
        .rope = &rope,
        .norm_epsilon = 1e-5};
    tri_value *parts[3];
    if (m->separate_qkv) {
        parts[0] = tri_linear(g, h, "attention.q");
        parts[1] = tri_linear(g, h, "attention.k");
        parts[2] = tri_linear(g, h, "attention.v");
    } else {
        tri_value *qkv = tri_linear(g, h, "attention.qkv");
        parts[0] = tri_columns(g, qkv, 0, q);
        parts[1] = tri_columns(g, qkv, q, kv);
        parts[2] = tri_columns(g, qkv, q + kv, kv);
    }
    if (m->qk_norm) {
        desc.q_norm = test_norm_weight(g, m, "attention.q_layernorm");
        desc.k_norm = test_norm_weight(g, m, "attention.k_layernorm");
    }
    return tri_linear(g, tri_attention(g, parts[0], parts[1], parts[2], &desc), "attention.dense");
}

static inline tri_value *test_mlp(tri_graph *g, const test_model *m, tri_value *h) {
    tri_value *fc = tri_linear(g, h, "mlp.fc");
    if (m->joined_mlp) {
        fc = tri_node_create(g, NULL, TRI_OP_GATED_ACTIVATION, &fc, 1, NULL, 0)->results[0];
    } else {
        tri_value *gate = tri_linear(g, h, "mlp.gate");
        fc = tri_mul(g, tri_activation(g, fc, TRI_SILU), gate);
    }
    return tri_linear(g, fc, "mlp.proj");
}

static inline tri_value *test_layer(tri_graph *g, const test_model *m, int32_t i, tri_value *x) {
    tri_scope_push(g, "transformer.layers.%d", i);
    tri_value *h = test_norm(g, m, x, "input_layernorm");
    tri_value *a = test_attend(g, m, m->first + i, h);
    if (m->parallel) {
        x = tri_add(g, tri_add(g, x, a), test_mlp(g, m, h));
    } else if (m->sandwich) {
        x = tri_add(g, x, test_norm(g, m, a, "post_layernorm"));
        h = test_mlp(g, m, test_norm(g, m, x, "pre_feedforward_layernorm"));
        x = tri_add(g, x, test_norm(g, m, h, "post_feedforward_layernorm"));
    } else {
        x = tri_add(g, x, a);
        x = tri_add(g, x, test_mlp(g, m, test_norm(g, m, x, "post_layernorm")));
    }
    tri_scope_pop(g);
    return x;
}

/* A stage's graph at full widths.  Layers of a stage count from 0, as in its checkpoint; `layer`
 * of the whole model is first + i. */
static inline tri_graph *test_model_define(const test_model *m) {
    tri_graph *g = NULL;
    tri_error err = {0};
    int32_t n = m->n_stage > 0 ? m->n_stage : m->n_layers;
    bool begins = m->first == 0, ends = m->first + n == m->n_layers;
    if (tri_graph_create(&g, "TestForCausalLM", &err)) return NULL;
    if (begins || m->tied)
        test_declare(g, m, "transformer.vocab_embedding.weight", m->vocab, m->hidden);
    for (int32_t i = 0; i < n; i++)
        test_declare_layer(g, m, i);
    if (ends) test_declare(g, m, "transformer.ln_f.weight", m->hidden, 0);
    if (ends && !m->tied) test_declare(g, m, "lm_head.weight", m->vocab, m->hidden);

    tri_value *x;
    if (begins) {
        x = tri_embedding(
            g, tri_input_tokens(g), tri_weight(g, "transformer.vocab_embedding.weight"));
        if (m->embedding_scale > 0.0) x = tri_affine(g, x, m->embedding_scale, 0.0);
    } else {
        const tri_attr attrs[] = {TRI_AI("from", 0), TRI_AI("columns", m->hidden)};
        x = tri_node_create(g, NULL, TRI_OP_RECEIVE, NULL, 0, attrs, 2)->results[0];
    }
    for (int32_t i = 0; i < n; i++)
        x = test_layer(g, m, i, x);
    if (ends) {
        x = test_norm(g, m, x, "transformer.ln_f");
        x = tri_select_rows(g, x, tri_input_rows(g));
        x = m->tied ? tri_matmul(g, x, tri_weight(g, "transformer.vocab_embedding.weight"))
                    : tri_linear(g, x, "lm_head");
        if (m->final_softcap > 0.0) x = tri_softcap(g, x, m->final_softcap);
        tri_output_logits(g, x);
    } else {
        tri_node_create(g, NULL, TRI_OP_SEND, &x, 1, &TRI_AI("to", 1), 1);
    }
    if (tri_graph_finish(g, &err)) {
        fprintf(stderr, "model: %s\n", err.message);
        tri_graph_destroy(g);
        return NULL;
    }
    return g;
}

#endif
