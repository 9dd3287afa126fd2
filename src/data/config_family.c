#include "data/config_family.h"

#include <string.h>

static const tri_config_family families[] = {
    {
        .architecture = "LlamaForCausalLM",
        .model_type = "llama",
        .gguf_architecture = "llama",
        .vocab_size = 32000,
        .hidden_size = 4096,
        .intermediate_size = 11008,
        .n_layers = 32,
        .n_heads = 32,
        .max_positions = 2048,
        .norm_epsilon = 1e-6,
        .rope_theta = 10000.0,
        .hidden_act_key = "hidden_act",
        .hidden_act = "silu",
        .reads_attention_bias = true,
        .reads_mlp_bias = true,
        .bos_id = 1,
        .pad_id = -1,
        .eos_id = 2,
    },
    {
        .architecture = "MistralForCausalLM",
        .model_type = "mistral",
        .vocab_size = 32000,
        .hidden_size = 4096,
        .intermediate_size = 14336,
        .n_layers = 32,
        .n_heads = 32,
        .n_kv_heads = 8,
        .max_positions = 131072,
        .norm_epsilon = 1e-6,
        .rope_theta = 10000.0,
        .hidden_act_key = "hidden_act",
        .hidden_act = "silu",
        .window_rule = TRI_WINDOW_ALL,
        .sliding_window = 4096,
        .bos_id = 1,
        .pad_id = -1,
        .eos_id = 2,
    },
    {
        .architecture = "Qwen2ForCausalLM",
        .model_type = "qwen2",
        .gguf_architecture = "qwen2",
        .vocab_size = 151936,
        .hidden_size = 4096,
        .intermediate_size = 22016,
        .n_layers = 32,
        .n_heads = 32,
        .n_kv_heads = 32,
        .max_positions = 32768,
        .norm_epsilon = 1e-6,
        .rope_theta = 10000.0,
        .hidden_act_key = "hidden_act",
        .hidden_act = "silu",
        .always_qkv_bias = true,
        .window_rule = TRI_WINDOW_FROM_LAYER,
        .sliding_window = 4096,
        .max_window_layers = 28,
        .bos_id = -1,
        .pad_id = -1,
        .eos_id = -1,
    },
    {
        .architecture = "Qwen3ForCausalLM",
        .model_type = "qwen3",
        .gguf_architecture = "qwen3",
        .vocab_size = 151936,
        .hidden_size = 4096,
        .intermediate_size = 22016,
        .n_layers = 32,
        .n_heads = 32,
        .n_kv_heads = 32,
        .head_size = 128,
        .max_positions = 32768,
        .norm_epsilon = 1e-6,
        .rope_theta = 10000.0,
        .hidden_act_key = "hidden_act",
        .hidden_act = "silu",
        .reads_attention_bias = true,
        .qk_layernorm = true,
        .window_rule = TRI_WINDOW_FROM_LAYER,
        .sliding_window = 4096,
        .max_window_layers = 28,
        .bos_id = -1,
        .pad_id = -1,
        .eos_id = -1,
    },
    {
        .architecture = "Gemma2ForCausalLM",
        .model_type = "gemma2",
        .gguf_architecture = "gemma2",
        .vocab_size = 256000,
        .hidden_size = 2304,
        .intermediate_size = 9216,
        .n_layers = 26,
        .n_heads = 8,
        .n_kv_heads = 4,
        .head_size = 256,
        .max_positions = 8192,
        .norm_epsilon = 1e-6,
        .rope_theta = 10000.0,
        .hidden_act_key = "hidden_activation",
        .hidden_act = "gelu_pytorch_tanh",
        .tie_word_embeddings = true,
        .reads_attention_bias = true,
        .reads_attn_softcap = true,
        .reads_final_softcap = true,
        .scales_embedding = true,
        .query_pre_attn_scalar = 256.0,
        .attn_softcap = 50.0,
        .final_softcap = 30.0,
        .window_rule = TRI_WINDOW_PATTERN,
        .sliding_window = 4096,
        .window_pattern = 2,
        .bos_id = 2,
        .pad_id = 0,
        .eos_id = 1,
    },
    {
        .architecture = "Gemma3ForCausalLM",
        .model_type = "gemma3_text",
        .gguf_architecture = "gemma3",
        .vocab_size = 262208,
        .hidden_size = 2304,
        .intermediate_size = 9216,
        .n_layers = 26,
        .n_heads = 8,
        .n_kv_heads = 4,
        .head_size = 256,
        .max_positions = 131072,
        .norm_epsilon = 1e-6,
        .rope_theta = 1000000.0,
        .rope_local_theta = 10000.0,
        .hidden_act_key = "hidden_activation",
        .hidden_act = "gelu_pytorch_tanh",
        .tie_word_embeddings = true,
        .reads_attention_bias = true,
        .qk_layernorm = true,
        .reads_final_softcap = true,
        .scales_embedding = true,
        .query_pre_attn_scalar = 256.0,
        .window_rule = TRI_WINDOW_PATTERN,
        .sliding_window = 4096,
        .window_pattern = 6,
        .bos_id = 2,
        .pad_id = 0,
        .eos_id = 1,
    },
    {
        .architecture = "Phi3ForCausalLM",
        .model_type = "phi3",
        .gguf_architecture = "phi3",
        .vocab_size = 32064,
        .hidden_size = 3072,
        .intermediate_size = 8192,
        .n_layers = 32,
        .n_heads = 32,
        .max_positions = 4096,
        .norm_epsilon = 1e-5,
        .rope_theta = 10000.0,
        .hidden_act_key = "hidden_act",
        .hidden_act = "silu",
        .reads_partial_rotary = true,
        .window_rule = TRI_WINDOW_ALL,
        .bos_id = 1,
        .pad_id = 32000,
        .eos_id = 32000,
    },
};

enum { N_FAMILIES = sizeof families / sizeof *families };

const char *const tri_architectures[] = {"LlamaForCausalLM", "MistralForCausalLM",
    "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
    "Phi3ForCausalLM", NULL};

const tri_config_family *tri_config_family_find(const char *architecture) {
    for (int i = 0; i < N_FAMILIES; i++) {
        if (strcmp(families[i].architecture, architecture) == 0) return &families[i];
    }
    return NULL;
}

const tri_config_family *tri_config_family_by_model_type(const char *model_type) {
    for (int i = 0; i < N_FAMILIES; i++) {
        if (strcmp(families[i].model_type, model_type) == 0) return &families[i];
    }
    return NULL;
}

const tri_config_family *tri_config_family_by_gguf(const char *gguf_architecture) {
    for (int i = 0; i < N_FAMILIES; i++) {
        const char *own = families[i].gguf_architecture;
        if (own && strcmp(own, gguf_architecture) == 0) return &families[i];
    }
    return NULL;
}

tri_status tri_config_unknown_architecture(const char *architecture, tri_error *err) {
    tri_buf known = {0};
    for (const char *const *a = tri_architectures; *a; a++)
        tri_buf_printf(&known, "%s%s", a == tri_architectures ? "" : ", ", *a);
    tri_status rc = tri_buf_status(&known, err);
    if (!rc) {
        rc = TRI_FAIL(err, TRI_E_UNSUPPORTED, "architecture \"%.100s\" is not known; these are: %s",
            architecture, known.ptr);
    }
    tri_buf_deinit(&known);
    return rc;
}
