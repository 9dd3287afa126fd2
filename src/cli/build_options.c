#include "cli/build_options.h"

int32_t tri_precision_options(tri_build_options *b, tri_option_list *plugins, tri_option *table) {
    const tri_option options[] = {
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "numbers", 0, 0},
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
            "columns that share a scale under int4 (128; -1: a whole row)", -1, 65536},
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "target", 0, 0},
        {TRI_OPTION_STRING, "target", &b->target, "cpu|null",
            "the device (cpu); null plans and counts but computes nothing", 0, 0},
        {TRI_OPTION_STRING, "cpu_isa", &b->cpu_isa, "ISA",
            "at most this instruction set: generic or avx2 (what this machine has)", 0, 0},
        {TRI_OPTION_I32, "threads", &b->n_threads, "N", "CPU threads (all)", 1, 4096},
        {TRI_OPTION_LIST, "plugin", plugins, "LIB", "a plugin library; may be given again", 0, 0},
    };
    int32_t n = sizeof options / sizeof *options;
    for (int32_t i = 0; i < n; i++)
        table[i] = options[i];
    return n;
}

int32_t tri_legacy_build_options(tri_option *table) {
    static const char *const ignored[] = {"opt_num_tokens", "max_input_len", "workers",
        "input_timing_cache", "output_timing_cache", "profiling_verbosity", "fast_build",
        "weight_streaming", "max_prompt_embedding_table_size", "logits_dtype", "log_level",
        "enable_debug_output", "visualize_network", "dry_run", "monitor_memory",
        "gather_context_logits", "gather_generation_logits", "gather_all_token_logits",
        "gpt_attention_plugin", "bert_attention_plugin", "nccl_plugin", "moe_plugin",
        "mamba_conv1d_plugin", "gemm_plugin", "gemm_swiglu_plugin", "fp8_rowwise_gemm_plugin",
        "low_latency_gemm_plugin", "low_latency_gemm_swiglu_plugin", "gemm_allreduce_plugin",
        "context_fmha", "context_fmha_fp32_acc", "remove_input_padding", "paged_kv_cache",
        "paged_state", "use_paged_context_fmha", "use_fp8_context_fmha", "use_fused_mlp",
        "reduce_fusion", "user_buffer", "norm_quant_fusion", "fuse_fp4_quant", "multiple_profiles",
        "pp_reduce_scatter", "max_encoder_input_len", "max_lora_rank", "max_draft_len",
        "use_weight_only"};
    static const struct {
        const char *name, *why;
    } unsupported[] = {
        {"lora_dir", "LoRA adapters are not supported"},
        {"lora_plugin", "LoRA adapters are not supported"},
        {"dora_plugin", "DoRA adapters are not supported"},
        {"lora_target_modules", "LoRA adapters are not supported"},
        {"speculative_decoding_mode", "speculative decoding is not supported"},
        {"streamingllm", "attention sinks of StreamingLLM are not supported"},
        {"auto_parallel", "not supported; give --tp_size and --pp_size"},
    };
    int32_t n = 0;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        table[n++] = (tri_option){.kind = TRI_OPTION_IGNORED, .name = ignored[i]};
    }
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        table[n++] = (tri_option){.kind = TRI_OPTION_UNSUPPORTED,
            .name = unsupported[i].name,
            .help = unsupported[i].why};
    }
    return n;
}
