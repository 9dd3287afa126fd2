#include <stdio.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"

int tri_cmd_refit(int argc, char **argv) {
    const char *engine_dir = NULL, *checkpoint_dir = NULL, *model_dir = NULL, *output_dir = NULL;
    tri_option_list plugins = {0};
    const tri_option table[] = {
        {TRI_OPTION_STRING, "engine_dir", &engine_dir, "DIR", "the engine", 0, 0},
        {TRI_OPTION_STRING, "checkpoint_dir", &checkpoint_dir, "DIR",
            "the new weights: a TensorRT-LLM checkpoint", 0, 0},
        {TRI_OPTION_STRING, "model_dir", &model_dir, "PATH", "or a HF directory or a GGUF file", 0,
            0},
        {TRI_OPTION_STRING, "output_dir", &output_dir, "DIR",
            "a new engine; without it the engine's own files are replaced at once", 0, 0},
        {TRI_OPTION_LIST, "plugin", &plugins, "LIB", "a plugin library; may be given again", 0, 0},
        {TRI_OPTION_IGNORED, "log_level", NULL, NULL, NULL, 0, 0},
    };
    const tri_usage usage = {.command = "trireme refit",
        .summary = "Puts other weights of the same model into an engine, or fills one built with "
                   "--strip_plan.",
        .synopsis = "--engine_dir DIR (--checkpoint_dir DIR | --model_dir PATH) [--output_dir DIR]",
        .examples = "  trireme refit --engine_dir ./engine --checkpoint_dir ./tuned\n",
        .options = table,
        .n_options = sizeof table / sizeof *table};
    int rc = tri_options_parse(&usage, argc, argv, NULL, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    if (!engine_dir || !checkpoint_dir == !model_dir) {
        fprintf(stderr, "trireme refit: --engine_dir and one of --checkpoint_dir, --model_dir are "
                        "needed\n");
        return 2;
    }
    tri_interruptible work;
    tri_interruptible_begin(&work);
    int64_t started = tri_clock_ns();
    tri_error err = {0};
    tri_status status =
        tri_refit(engine_dir, checkpoint_dir ? checkpoint_dir : model_dir, output_dir,
            &(tri_engine_options){.struct_size = sizeof(tri_engine_options),
                .plugins = plugins.items,
                .n_plugins = plugins.n},
            tri_interruptible_show, &work, &err);
    tri_interruptible_end(&work);
    if (status) return tri_report("refit", &err);
    printf("%s: refitted in %.2f s\n", output_dir ? output_dir : engine_dir,
        (double)(tri_clock_ns() - started) / 1e9);
    return 0;
}
