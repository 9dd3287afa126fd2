#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/build_options.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

enum { OWN_OPTIONS = 24 };

typedef struct build_args {
    tri_build_options build;
    const char *checkpoint_dir, *kv_cache_type, *load_format;
    bool use_weight_only;
    tri_option_list plugins;
    tri_option table[OWN_OPTIONS + TRI_PRECISION_OPTIONS + TRI_LEGACY_OPTIONS];
    int32_t n;
} build_args;

static void make_table(build_args *a) {
    tri_build_options *b = &a->build;
    const tri_option own[] = {
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "from, to", 0, 0},
        {TRI_OPTION_STRING, "checkpoint_dir", &a->checkpoint_dir, "DIR",
            "a TensorRT-LLM checkpoint, as `trireme convert` writes", 0, 0},
        {TRI_OPTION_STRING, "model_dir", &b->model_dir, "PATH",
            "or a HF directory or a GGUF file, directly", 0, 0},
        {TRI_OPTION_STRING, "output_dir", &b->output_dir, "DIR",
            "the engine to make, whole or not at all; replaced if it exists", 0, 0},
        {TRI_OPTION_STRING, "load_format", &a->load_format, "auto|dummy",
            "dummy: random weights, from config.json alone", 0, 0},
        {TRI_OPTION_SWITCH, "strip_plan", &b->strip_plan, NULL,
            "leave the weights out; `trireme refit` fills them in", 0, 0},
        {TRI_OPTION_SWITCH, "strip_code", &b->strip_code, NULL,
            "of a GPU's engine, leave machine code out: it is compiled where the engine is loaded",
            0, 0},
        {TRI_OPTION_SWITCH, "dry_run", &b->dry_run, NULL,
            "go through the whole build but write nothing: does it build, how large will it be?", 0,
            0},
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "limits (hints: each can be changed at run)", 0, 0},
        {TRI_OPTION_I32, "max_batch_size", &b->max_batch_size, "N", "sequences at once (8)", 1,
            65536},
        {TRI_OPTION_I32, "max_num_tokens", &b->max_num_tokens, "N", "tokens a step (512)", 1,
            1 << 24},
        {TRI_OPTION_I64, "max_seq_len", &b->max_seq_len, "N", "tokens a sequence (the model's)", 2,
            1 << 30},
        {TRI_OPTION_I64, "max_decoder_seq_len", &b->max_seq_len, "N", NULL, 2, 1 << 30},
        {TRI_OPTION_I32, "tokens_per_block", &b->tokens_per_block, "N",
            "of the paged KV cache (32)", 1, 1024},
        {TRI_OPTION_STRING, "kv_cache_type", &a->kv_cache_type, "paged", "the only kind here", 0,
            0},
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "ranks", 0, 0},
        {TRI_OPTION_I32, "tp_size", &b->tp_size, "N",
            "tensor-parallel ranks (1, or the checkpoint's)", 1, 1024},
        {TRI_OPTION_I32, "pp_size", &b->pp_size, "N", "pipeline stages (1, or the checkpoint's)", 1,
            1024},
        {TRI_OPTION_SWITCH, "use_weight_only", &a->use_weight_only, NULL, NULL, 0, 0},
    };
    int32_t n = sizeof own / sizeof *own;
    for (int32_t i = 0; i < n; i++)
        a->table[i] = own[i];
    n += tri_precision_options(b, &a->plugins, a->table + n);
    n += tri_legacy_build_options(a->table + n);
    a->n = n;
}

static int wrong(const char *message, const char *value) {
    fprintf(stderr, "trireme build: ");
    fprintf(stderr, message, value);
    fprintf(stderr, "\n");
    return 2;
}

static int check(build_args *a) {
    tri_build_options *b = &a->build;
    if (a->checkpoint_dir && b->model_dir) {
        return wrong("--checkpoint_dir and --model_dir are both given; one is wanted%s", "");
    }
    if (a->checkpoint_dir) b->model_dir = a->checkpoint_dir;
    if (!b->model_dir) return wrong("--checkpoint_dir or --model_dir is needed%s", "");
    if (!b->output_dir) return wrong("--output_dir is needed%s", "");
    if (strcmp(a->kv_cache_type, "paged") != 0) {
        return wrong("--kv_cache_type is '%s'; only paged is supported", a->kv_cache_type);
    }
    if (strcmp(a->load_format, "auto") != 0 && strcmp(a->load_format, "dummy") != 0) {
        return wrong("--load_format is '%s'; auto or dummy is wanted", a->load_format);
    }
    if (a->use_weight_only && !b->weight_only) b->weight_only = "int8";
    b->dummy_weights = !strcmp(a->load_format, "dummy");
    b->plugins = a->plugins.items;
    b->n_plugins = a->plugins.n;
    return 0;
}

int tri_cmd_build(int argc, char **argv) {
    build_args a = {.build = {.struct_size = sizeof(tri_build_options)},
        .kv_cache_type = "paged",
        .load_format = "auto"};
    make_table(&a);
    const tri_usage usage = {.command = "trireme build",
        .summary = "Compiles a model into an engine: one directory with packed weights, plan and "
                   "tokenizer.",
        .synopsis = "(--checkpoint_dir DIR | --model_dir PATH) --output_dir DIR [options]",
        .examples =
            "  trireme build --model_dir SmolLM2-135M-Instruct.Q4_1.gguf --output_dir ./engine\n"
            "  trireme build --model_dir ./Llama-3.2-1B --output_dir ./engine --dtype bfloat16\n"
            "  trtllm-build --checkpoint_dir ./ckpt --output_dir ./engine --gemm_plugin auto\n",
        .options = a.table,
        .n_options = a.n};
    int rc = tri_options_parse(&usage, argc, argv, NULL, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    if (check(&a)) return 2;
    tri_interruptible work;
    tri_interruptible_begin(&work);
    a.build.progress = tri_interruptible_show;
    a.build.progress_user = &work;
    int64_t started = tri_clock_ns();
    tri_error err = {0};
    tri_status status = tri_build(&a.build, &err);
    tri_interruptible_end(&work);
    if (status) return tri_report("build", &err);
    if (a.build.dry_run) {
        printf("%s: would be built, its weights take %.1f MB; nothing was written\n",
            a.build.output_dir, (double)work.progress.total_bytes / 1e6);
        return 0;
    }
    printf("%s: built in %.2f s\n", a.build.output_dir, (double)(tri_clock_ns() - started) / 1e9);
    return 0;
}
