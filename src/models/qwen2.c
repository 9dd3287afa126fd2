/* qwen2.c - Qwen 2 and 2.5 (arXiv:2407.10671): Llama with biases on q, k and v, and a sliding
 * window in the upper layers where the config says so. */
#include "models/families.h"

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

const tri_model_family tri_family_qwen2 = {
    .architecture = "Qwen2ForCausalLM",
    .gguf_architecture = "qwen2",
    .rules = rules,
    .n_rules = sizeof(rules) / sizeof(rules[0]),
    .define = tri_llama_define,
};
