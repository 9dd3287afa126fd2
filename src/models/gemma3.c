/* gemma3.c - Gemma 3, text (arXiv:2503.19786): Gemma 2 with a norm per head on q and k in place of
 * the cap on attention; five layers of six slide, and rotate by a base of their own. */
#include "models/families.h"
#include "models/layers.h"

static const tri_weight_rule rules[] = {
    {"transformer.vocab_embedding", {"model.embed_tokens"}, {"token_embd"},
        .shard = TRI_SHARD_VOCAB},
    {"input_layernorm", {"input_layernorm"}, {"attn_norm"}, .per_layer = true, .gguf_offset = -1},
    {"attention.qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
        {"attn_q", "attn_k", "attn_v"}, TRI_SHARD_QKV, .per_layer = true},
    {"attention.q_layernorm", {"self_attn.q_norm"}, {"attn_q_norm"}, .per_layer = true,
        .gguf_offset = -1},
    {"attention.k_layernorm", {"self_attn.k_norm"}, {"attn_k_norm"}, .per_layer = true,
        .gguf_offset = -1},
    {"attention.dense", {"self_attn.o_proj"}, {"attn_output"}, TRI_SHARD_COLS, .per_layer = true},
    {"post_layernorm", {"post_attention_layernorm"}, {"post_attention_norm"}, .per_layer = true,
        .gguf_offset = -1},
    {"pre_feedforward_layernorm", {"pre_feedforward_layernorm"}, {"ffn_norm"}, .per_layer = true,
        .gguf_offset = -1},
    {"mlp.fc", {"mlp.gate_proj"}, {"ffn_gate"}, TRI_SHARD_ROWS, .per_layer = true},
    {"mlp.gate", {"mlp.up_proj"}, {"ffn_up"}, TRI_SHARD_ROWS, .per_layer = true},
    {"mlp.proj", {"mlp.down_proj"}, {"ffn_down"}, TRI_SHARD_COLS, .per_layer = true},
    {"post_feedforward_layernorm", {"post_feedforward_layernorm"}, {"post_ffw_norm"},
        .per_layer = true, .gguf_offset = -1},
    {"transformer.ln_f", {"model.norm"}, {"output_norm"}, .gguf_offset = -1},
    {"lm_head", {"lm_head"}, {"output"}, .shard = TRI_SHARD_VOCAB},
};

static tri_value *layer(tri_graph *g, const tri_model_config *c, int32_t i, tri_value *x) {
    bool sliding = c->layer_is_sliding[i];
    tri_value *h = tri_layer_norm_plus_one(g, c, x, "input_layernorm");
    tri_qkv qkv = tri_layer_qkv(g, c, h);
    h = tri_attention(g, qkv.q, qkv.k, qkv.v,
        &(tri_attention_desc){
            .n_heads = c->n_heads,
            .n_kv_heads = c->n_kv_heads,
            .head_size = c->head_size,
            .scale = c->query_scale,
            .window = tri_layer_window(c, i),
            .rope = &c->rope[sliding && c->n_ropes == 2],
            .q_norm = tri_affine(g, tri_weight(g, "attention.q_layernorm.weight"), 1, 1),
            .k_norm = tri_affine(g, tri_weight(g, "attention.k_layernorm.weight"), 1, 1),
            .norm_epsilon = c->norm_epsilon,
        });
    h = tri_linear(g, h, "attention.dense");
    x = tri_add(g, x, tri_layer_norm_plus_one(g, c, h, "post_layernorm"));

    h = tri_layer_norm_plus_one(g, c, x, "pre_feedforward_layernorm");
    h = tri_layer_gated_mlp(g, c, h);
    return tri_add(g, x, tri_layer_norm_plus_one(g, c, h, "post_feedforward_layernorm"));
}

static void define(tri_graph *g, const tri_model_config *c, int32_t first, int32_t n) {
    tri_decoder(g, c, first, n, layer, tri_layer_norm_plus_one);
}

const tri_model_family tri_family_gemma3 = {
    .architecture = "Gemma3ForCausalLM",
    .gguf_architecture = "gemma3",
    .rules = rules,
    .n_rules = sizeof(rules) / sizeof(rules[0]),
    .define = define,
};
