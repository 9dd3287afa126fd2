#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "models/source.h"

static tri_status convert(const char *model_dir, const char *output_dir, const char *dtype,
    tri_source_options *options, tri_error *err) {
    if (strcmp(dtype, "auto") != 0) {
        if (!tri_dtype_parse(dtype, &options->dtype) ||
            (options->dtype != TRI_F32 && options->dtype != TRI_F16 &&
                options->dtype != TRI_BF16)) {
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "--dtype is '%s'; auto, float32, float16 or bfloat16 is wanted", dtype);
        }
    }
    tri_source *source;
    TRI_TRY(tri_source_open(&source, model_dir, options, err));
    tri_interruptible work;
    tri_interruptible_begin(&work);
    tri_status rc = tri_convert(source, output_dir, tri_interruptible_show, &work, err);
    tri_interruptible_end(&work);
    if (!rc) {
        const tri_model_config *c = tri_source_config(source);
        printf("%s: %s, %d layers, hidden size %d, tp %d, pp %d\n", output_dir, c->architecture,
            c->n_layers, c->hidden_size, c->mapping.tp_size, c->mapping.pp_size);
    }
    tri_source_close(source);
    return rc;
}

int tri_cmd_convert(int argc, char **argv) {
    const char *model_dir = NULL, *output_dir = NULL, *dtype = "auto", *load_format = "auto";
    tri_source_options options = {.dtype = TRI_N_DTYPES};
    const tri_option table[] = {
        {TRI_OPTION_STRING, "model_dir", &model_dir, "PATH", "a HF directory or a GGUF file", 0, 0},
        {TRI_OPTION_STRING, "output_dir", &output_dir, "DIR",
            "the checkpoint directory to make; replaced if it exists", 0, 0},
        {TRI_OPTION_STRING, "dtype", &dtype, "TYPE",
            "auto (as stored; GGUF blocks are kept), float32, float16 or bfloat16", 0, 0},
        {TRI_OPTION_I32, "tp_size", &options.tp_size, "N", "tensor-parallel ranks (1)", 1, 1024},
        {TRI_OPTION_I32, "pp_size", &options.pp_size, "N", "pipeline stages (1)", 1, 1024},
        {TRI_OPTION_STRING, "load_format", &load_format, "auto|dummy",
            "dummy: random weights, from config.json alone", 0, 0},
        {TRI_OPTION_IGNORED, "workers", NULL, "N", NULL, 0, 0},
    };
    const tri_usage usage = {.command = "trireme convert",
        .summary =
            "Writes a model as a TensorRT-LLM checkpoint: config.json, rankN.safetensors,\nand "
            "the tokenizer's files.",
        .synopsis = "--model_dir PATH --output_dir DIR [options]",
        .examples = "  trireme convert --model_dir ./Llama-3.2-1B --output_dir ./ckpt --tp_size 2\n"
                    "  trireme convert --model_dir model.Q4_K_M.gguf --output_dir ./ckpt\n",
        .options = table,
        .n_options = sizeof table / sizeof *table};
    int rc = tri_options_parse(&usage, argc, argv, NULL, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    if (!model_dir || !output_dir) {
        fprintf(stderr, "trireme convert: --model_dir and --output_dir are both needed\n");
        return 2;
    }
    if (strcmp(load_format, "auto") != 0 && strcmp(load_format, "dummy") != 0) {
        fprintf(stderr, "trireme convert: --load_format is '%s'; auto or dummy is wanted\n",
            load_format);
        return 2;
    }
    options.dummy = !strcmp(load_format, "dummy");
    tri_error err = {0};
    if (convert(model_dir, output_dir, dtype, &options, &err)) return tri_report("convert", &err);
    return 0;
}
