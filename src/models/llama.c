/* llama.c - Llama 2 and 3 (arXiv:2307.09288, arXiv:2407.21783), and models of the same shape such
 * as SmolLM2: RMS norms before attention and MLP, grouped-query attention with rotary positions, a
 * gated MLP.  llama.cpp stores its q and k rows for a rope of neighbouring pairs, and calls Mistral
 * llama too. */
#include "models/families.h"
#include "models/layers.h"

const tri_weight_rule tri_llama_rules[TRI_LLAMA_RULES] = {
    {"transformer.vocab_embedding", {"model.embed_tokens"}, {"token_embd"},
        .shard = TRI_SHARD_VOCAB},
    {"input_layernorm", {"input_layernorm"}, {"attn_norm"}, .per_layer = true},
    {"attention.qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
        {"attn_q", "attn_k", "attn_v"}, TRI_SHARD_QKV, .per_layer = true, .gguf_permuted = true},
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

void tri_llama_define(tri_graph *g, const tri_model_config *c, int32_t first, int32_t n) {
    tri_decoder(g, c, first, n, layer, tri_layer_norm);
}

const tri_model_family tri_family_llama = {
    .architecture = "LlamaForCausalLM",
    .gguf_architecture = "llama",
    .rules = tri_llama_rules,
    .n_rules = TRI_LLAMA_RULES,
    .define = tri_llama_define,
};
