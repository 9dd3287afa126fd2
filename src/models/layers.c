#include "models/layers.h"

#include <stdio.h>
#include <string.h>

static tri_value *embed(tri_graph *g, const tri_model_config *c) {
    tri_value *table = tri_weight(g, "transformer.vocab_embedding.weight");
    tri_value *x = tri_embedding(g, tri_input_tokens(g), table);
    return c->embedding_scale != 0 ? tri_affine(g, x, c->embedding_scale, 0) : x;
}

static void head(tri_graph *g, const tri_model_config *c, tri_value *x) {
    bool tied = !tri_graph_has_weight(g, "lm_head.weight");
    tri_value *logits = tied ? tri_matmul(g, x, tri_weight(g, "transformer.vocab_embedding.weight"))
                             : tri_linear(g, x, "lm_head");
    if (c->final_logit_softcap != 0) logits = tri_softcap(g, logits, c->final_logit_softcap);
    tri_output_logits(g, logits);
}

static tri_value *receive(tri_graph *g, const tri_model_config *c, int32_t stage) {
    tri_attr attrs[] = {TRI_AI("from", stage), TRI_AI("columns", c->hidden_size)};
    return tri_node_create(g, NULL, TRI_OP_RECEIVE, NULL, 0, attrs, 2)->results[0];
}

static void send(tri_graph *g, tri_value *x, int32_t stage) {
    tri_attr to = TRI_AI("to", stage);
    tri_node_create(g, NULL, TRI_OP_SEND, &x, 1, &to, 1);
}

void tri_decoder(tri_graph *g, const tri_model_config *c, int32_t first, int32_t n,
    tri_layer_fn layer, tri_norm_fn norm) {
    int32_t stage = first / n; /* stages are equally deep */
    tri_value *x = stage == 0 ? embed(g, c) : receive(g, c, stage - 1);
    for (int32_t i = 0; i < n; i++) {
        tri_scope_push(g, "transformer.layers.%d", (int)i);
        x = layer(g, c, first + i, x);
        tri_scope_pop(g);
    }
    if (first + n < c->n_layers) {
        send(g, x, stage + 1);
        return;
    }
    x = tri_select_rows(g, x, tri_input_rows(g));
    head(g, c, norm(g, c, x, "transformer.ln_f"));
}

static tri_value *norm_weight(tri_graph *g, const char *name) {
    char full[128];
    int n = snprintf(full, sizeof full, "%s.weight", name);
    TRI_ASSERT(n > 0 && (size_t)n < sizeof full);
    return tri_weight(g, full);
}

tri_value *tri_layer_norm(tri_graph *g, const tri_model_config *c, tri_value *x, const char *name) {
    return tri_rms_norm(g, x, norm_weight(g, name), c->norm_epsilon);
}

tri_value *tri_layer_norm_plus_one(
    tri_graph *g, const tri_model_config *c, tri_value *x, const char *name) {
    return tri_rms_norm(g, x, tri_affine(g, norm_weight(g, name), 1, 1), c->norm_epsilon);
}

tri_qkv tri_layer_qkv(tri_graph *g, const tri_model_config *c, tri_value *x) {
    if (!tri_graph_has_weight(g, "attention.qkv.weight"))
        return (tri_qkv){.q = tri_linear(g, x, "attention.q"),
            .k = tri_linear(g, x, "attention.k"),
            .v = tri_linear(g, x, "attention.v")};

    int64_t n_q = (int64_t)c->n_heads * c->head_size;
    int64_t n_kv = (int64_t)c->n_kv_heads * c->head_size;
    tri_value *qkv = tri_linear(g, x, "attention.qkv");
    return (tri_qkv){.q = tri_columns(g, qkv, 0, n_q),
        .k = tri_columns(g, qkv, n_q, n_kv),
        .v = tri_columns(g, qkv, n_q + n_kv, n_kv)};
}

int32_t tri_layer_window(const tri_model_config *c, int32_t layer) {
    return c->layer_is_sliding[layer] ? c->sliding_window : 0;
}

static tri_activation_kind activation_kind(const char *hidden_act) {
    if (strcmp(hidden_act, "gelu") == 0) return TRI_GELU;
    if (strcmp(hidden_act, "gelu_pytorch_tanh") == 0) return TRI_GELU_TANH;
    if (strcmp(hidden_act, "relu") == 0) return TRI_RELU;
    TRI_ASSERT(strcmp(hidden_act, "silu") == 0); /* the config's reader knows no other */
    return TRI_SILU;
}

tri_value *tri_layer_gated_mlp(tri_graph *g, const tri_model_config *c, tri_value *x) {
    tri_value *h = tri_activation(g, tri_linear(g, x, "mlp.fc"), activation_kind(c->hidden_act));
    return tri_linear(g, tri_mul(g, h, tri_linear(g, x, "mlp.gate")), "mlp.proj");
}
