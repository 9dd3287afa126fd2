#include "cli/build_options.h"

int32_t tri_precision_options(tri_build_options *b, tri_option_list *plugins, tri_option *table) {
    const tri_option options[] = {
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "numbers, settled when an engine is built", 0, 0},
        {TRI_OPTION_STRING, "dtype", &b->dtype, "TYPE",
            "weights: auto (as stored; GGUF blocks stay quantised), float32, float16, bfloat16", 0,
            0},
        {TRI_OPTION_STRING, "activation_dtype", &b->activation_dtype, "TYPE",
            "what enters a linear layer: float32, bfloat16 or int8 (blocks of 32); by default int8 "
            "for GGUF "
            "blocks, else as the weights",
            0, 0},
        {TRI_OPTION_STRING, "kv_cache_dtype", &b->kv_cache_dtype, "TYPE",
            "auto, float32, bfloat16 or float16", 0, 0},
        {TRI_OPTION_STRING, "weight_only_precision", &b->weight_only, "int8|int4",
            "quantise float weights of the layers: int8 with a scale a row, int4 with one a group",
            0, 0},
        {TRI_OPTION_I32, "group_size", &b->group_size, "N",
            "columns that share a scale under int4: a multiple of 32, or -1 for whole rows (128)",
            -1, 65536},
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "target", 0, 0},
        {TRI_OPTION_STRING, "target", &b->target, "TARGET",
            "the device (cpu): cpu, cuda (this machine's), cuda:ARCH as in cuda:sm_90a, which "
            "needs "
            "no GPU here; null plans and counts but computes nothing",
            0, 0},
        {TRI_OPTION_STRING, "cpu_isa", &b->cpu_isa, "ISA",
            "at most this instruction set: generic, avx2, avx512 or amx (what this machine has)", 0,
            0},
        {TRI_OPTION_I32, "threads", &b->n_threads, "N", "CPU threads (all)", 1, 1024},
        {TRI_OPTION_LIST, "plugin", plugins, "LIB", "a plugin library; may be given again", 0, 0},
    };
    int32_t n = sizeof options / sizeof *options;
    for (int32_t i = 0; i < n; i++)
        table[i] = options[i];
    return n;
}

const char *tri_first_build_option(const tri_build_options *b) {
    const struct {
        const char *name;
        bool given;
    } flags[] = {{"dtype", b->dtype}, {"activation_dtype", b->activation_dtype},
        {"kv_cache_dtype", b->kv_cache_dtype}, {"weight_only_precision", b->weight_only},
        {"group_size", b->group_size}, {"target", b->target}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].given) return flags[i].name;
    return NULL;
}

/* trtllm-build's flags that choose how TensorRT does what is done here in one way. */
static const char *const ignored[] = {
    /* limits and logits: taken from the model, or asked for by request */
    "opt_num_tokens", "max_input_len", "max_output_len", "max_encoder_input_len", "logits_dtype",
    "gather_context_logits", "gather_generation_logits", "gather_all_token_logits",
    /* building */
    "workers", "input_timing_cache", "output_timing_cache", "profiling_verbosity", "fast_build",
    "weight_streaming", "weight_sparsity", "log_level", "enable_debug_output", "visualize_network",
    "monitor_memory", "gpus_per_node", "cluster_key", "max_lora_rank", "lora_ckpt_source",
    /* plugins */
    "gpt_attention_plugin", "bert_attention_plugin", "nccl_plugin", "moe_plugin",
    "mamba_conv1d_plugin", "lookup_plugin", "gemm_plugin", "explicitly_disable_gemm_plugin",
    "gemm_swiglu_plugin", "fp8_rowwise_gemm_plugin", "low_latency_gemm_plugin",
    "low_latency_gemm_swiglu_plugin", "gemm_allreduce_plugin",
    /* features */
    "context_fmha", "context_fmha_fp32_acc", "bert_context_fmha_fp32_acc", "remove_input_padding",
    "paged_kv_cache", "paged_state", "use_paged_context_fmha", "use_fp8_context_fmha",
    "use_context_fmha_for_generation", "use_fused_mlp", "use_custom_all_reduce", "multi_block_mode",
    "enable_xqa", "attention_qk_half_accumulation", "reduce_fusion", "user_buffer",
    "norm_quant_fusion", "fuse_fp4_quant", "multiple_profiles", "pp_reduce_scatter",
    "manage_weights"};

/* `off`: the value, beside disable, false, none and 0, that asks for nothing. */
static const struct {
    const char *name, *off, *why;
} unsupported[] = {
    {"max_beam_width", "1", "beam search is not supported; only 1 can be"},
    {"model_config", NULL,
        "for random weights put config.json into a directory, and give that as --model_dir with "
        "--load_format dummy"},
    {"build_config", NULL, "not read; give its fields as flags"},
    {"model_cls_file", NULL,
        "Python models cannot be loaded; include/trireme/graph.h defines models in C"},
    {"model_cls_name", NULL,
        "Python models cannot be loaded; include/trireme/graph.h defines models in C"},
    {"max_prompt_embedding_table_size", NULL,
        "prompt tuning and multimodal inputs are not supported"},
    {"max_multimodal_len", NULL, "prompt tuning and multimodal inputs are not supported"},
    {"lora_dir", NULL, "LoRA adapters are not supported"},
    {"lora_plugin", NULL, "LoRA adapters are not supported"},
    {"lora_target_modules", NULL, "LoRA adapters are not supported"},
    {"dora_plugin", NULL, "DoRA adapters are not supported"},
    {"speculative_decoding_mode", NULL, "speculative decoding is not supported"},
    {"max_draft_len", NULL, "speculative decoding is not supported"},
    {"streamingllm", NULL, "attention sinks of StreamingLLM are not supported"},
    {"auto_parallel", "1", "not supported; give --tp_size and --pp_size"},
};

int32_t tri_legacy_build_options(tri_option *table) {
    enum {
        N_IGNORED = sizeof ignored / sizeof *ignored,
        N_UNSUPPORTED = sizeof unsupported / sizeof *unsupported
    };
    _Static_assert(N_IGNORED + N_UNSUPPORTED <= TRI_LEGACY_OPTIONS, "the caller's table has room");
    int32_t n = 0;
    for (int32_t i = 0; i < N_IGNORED; i++) {
        table[n++] = (tri_option){.kind = TRI_OPTION_IGNORED, .name = ignored[i]};
    }
    for (int32_t i = 0; i < N_UNSUPPORTED; i++) {
        table[n++] = (tri_option){.kind = TRI_OPTION_UNSUPPORTED,
            .name = unsupported[i].name,
            .value = unsupported[i].off,
            .help = unsupported[i].why};
    }
    return n;
}
