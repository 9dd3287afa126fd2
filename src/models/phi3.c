/* phi3.c - Phi-3 (arXiv:2404.14219): Llama stored with q, k, v in one matrix and both MLP inputs in
 * another; only part of each head may be rotated, and long contexts rotate by the tables of
 * LongRoPE (arXiv:2402.13753), of which tri_model_define has chosen one. */
#include "models/families.h"

static const tri_weight_rule rules[] = {
    {"transformer.vocab_embedding", {"model.embed_tokens"}, {"token_embd"},
        .shard = TRI_SHARD_VOCAB},
    {"input_layernorm", {"input_layernorm"}, {"attn_norm"}, .per_layer = true},
    {"attention.qkv", {"self_attn.qkv_proj"}, {"attn_qkv"}, TRI_SHARD_QKV, .per_layer = true},
    {"attention.dense", {"self_attn.o_proj"}, {"attn_output"}, TRI_SHARD_COLS, .per_layer = true},
    {"post_layernorm", {"post_attention_layernorm"}, {"ffn_norm"}, .per_layer = true},
    {"mlp.fc", {"mlp.gate_up_proj"}, {"ffn_up"}, TRI_SHARD_ROWS, .per_layer = true, .part = 0,
        .n_parts = 2},
    {"mlp.gate", {"mlp.gate_up_proj"}, {"ffn_up"}, TRI_SHARD_ROWS, .per_layer = true, .part = 1,
        .n_parts = 2},
    {"mlp.proj", {"mlp.down_proj"}, {"ffn_down"}, TRI_SHARD_COLS, .per_layer = true},
    {"transformer.ln_f", {"model.norm"}, {"output_norm"}, .shard = TRI_SHARD_NONE},
    {"lm_head", {"lm_head"}, {"output"}, .shard = TRI_SHARD_VOCAB},
};

const tri_model_family tri_family_phi3 = {
    .architecture = "Phi3ForCausalLM",
    .gguf_architecture = "phi3",
    .rules = rules,
    .n_rules = sizeof(rules) / sizeof(rules[0]),
    .define = tri_llama_define,
};
