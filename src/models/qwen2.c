/* qwen2.c - Qwen 2 and 2.5 (arXiv:2407.10671): Llama with biases on q, k and v, and a sliding
 * window in the upper layers where the config says so. */
#include "models/families.h"
#include "models/layers.h"

static const tri_weight_rule rules[] = {
    {"transformer.vocab_embedding", {"model.embed_tokens"}, {"token_embd"},
        .shard = TRI_SHARD_VOCAB},
    {"input_layernorm", {"input_layernorm"}, {"attn_norm"}, .per_layer = true},
    {"attention.qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
        {"attn_q", "attn_k", "attn_v"}, TRI_SHARD_QKV, .per_layer = true},
    {"attention.dense", {"self_attn.o_proj"}, {"attn_output"}, TRI_SHARD_COLS, .per_layer = true},
    {"post_layernorm", {"post_attention_layernorm"}, {"ffn_norm"}, .per_layer = true},
    {"mlp.fc", {"mlp.gate_proj"}, {"ffn_gate"}, TRI_SHARD_ROWS, .per_layer = true},
    {"mlp.gate", {"mlp.up_proj"}, {"ffn_up"}, TRI_SHARD_ROWS, .per_layer = true},
    {"mlp.proj", {"mlp.down_proj"}, {"ffn_down"}, TRI_SHARD_COLS, .per_layer = true},
    {"transformer.ln_f", {"model.norm"}, {"output_norm"}, .shard = TRI_SHARD_NONE},
    {"lm_head", {"lm_head"}, {"output"}, .shard = TRI_SHARD_VOCAB},
};

static tri_value *layer(tri_graph *g, const tri_model_config *c, int32_t i, tri_value *x) {
    tri_value *h = tri_layer_norm(g, c, x, "input_layernorm");
    tri_qkv qkv = tri_layer_qkv(g, c, h);
    h = tri_attention(g, qkv.q, qkv.k, qkv.v,
        &(tri_attention_desc){
            .n_heads = c->n_heads,
            .n_kv_heads = c->n_kv_heads,
            .head_size = c->head_size,
            .window = tri_layer_window(c, i),
            .rope = &c->rope[0],
        });
    x = tri_add(g, x, tri_linear(g, h, "attention.dense"));

    h = tri_layer_norm(g, c, x, "post_layernorm");
    return tri_add(g, x, tri_layer_gated_mlp(g, c, h));
}

static void define(tri_graph *g, const tri_model_config *c, int32_t first, int32_t n) {
    tri_decoder(g, c, first, n, layer, tri_layer_norm);
}

const tri_model_family tri_family_qwen2 = {
    .architecture = "Qwen2ForCausalLM",
    .gguf_architecture = "qwen2",
    .rules = rules,
    .n_rules = sizeof(rules) / sizeof(rules[0]),
    .define = define,
};
