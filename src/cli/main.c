/* main.c - the command line: which command, by the name the binary was called by or the first
 * argument. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

typedef struct command {
    const char *name, *alias; /* alias: the program name that means it */
    int (*run)(int argc, char **argv);
    const char *summary;
} command;

static const command commands[] = {
    {"convert", NULL, tri_cmd_convert,
        "a HF directory or GGUF file into a TensorRT-LLM checkpoint"},
    {"build", "trtllm-build", tri_cmd_build, "a checkpoint, HF directory or GGUF into an engine"},
    {"refit", "trtllm-refit", tri_cmd_refit,
        "other weights into an engine, without building again"},
    {"inspect", NULL, tri_cmd_inspect,
        "what is in an engine, checkpoint, safetensors or GGUF file"},
    {"run", NULL, tri_cmd_run, "a prompt or a chat, from an engine or straight from a model"},
    {"tokenize", NULL, tri_cmd_tokenize, "text into token ids"},
    {"detokenize", NULL, tri_cmd_detokenize, "token ids into text"},
    {"bench", NULL, tri_cmd_bench, "prefill and decode speed of an engine"},
    {"render-template", NULL, tri_cmd_render_template,
        "a conversation as the model's chat template writes it"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void) {
    printf(
        "trireme %s - compiles large language models into engines and runs them\n\n"
        "usage: trireme COMMAND [arguments]     (trireme COMMAND --help tells more)\n\ncommands\n",
        tri_version());
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    printf("\nexamples\n"
           "  trireme run SmolLM2-135M-Instruct.Q4_1.gguf --prompt \"What is the capital of "
           "France?\"\n"
           "  trireme run SmolLM2-135M-Instruct.Q4_1.gguf            a chat\n"
           "  trireme build --model_dir ./Llama-3.2-1B --output_dir ./engine\n"
           "  trireme inspect ./engine\n");
}

int tri_report(const char *name, const tri_error *err) {
    fprintf(stderr, "trireme %s: %s\n", name, err->message);
    return tri_interrupt_exit(err->status);
}

bool tri_cache_dir(char *path, size_t room) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (xdg && *xdg == '/') {
        n = snprintf(path, room, "%s/trireme", xdg);
    } else if (home && *home == '/') {
        n = snprintf(path, room, "%s/.cache/trireme", home);
    }
    return n > 0 && (size_t)n < room;
}

static int unknown_command(const char *name) {
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = tri_nearest(name, names, N_COMMANDS);
    fprintf(stderr, "trireme: unknown command '%s'", name);
    if (near) fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\n(trireme --help lists them)\n");
    return 2;
}

static int help_of(const char *name) {
    char flag[] = "--help", *argv[] = {flag};
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(name, commands[i].name)) return commands[i].run(1, argv);
    }
    return unknown_command(name);
}

static int dispatch(int argc, char **argv) {
    const char *program = argc > 0 ? tri_path_base(argv[0]) : "trireme";
    for (int i = 0; i < N_COMMANDS; i++) {
        if (commands[i].alias && !strcmp(program, commands[i].alias)) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    if (argc < 2) {
        print_help();
        return 2;
    }
    const char *name = argv[1];
    if (!strcmp(name, "help") && argc > 2) return help_of(argv[2]);
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help();
        return 0;
    }
    if (!strcmp(name, "--version") || !strcmp(name, "version")) {
        printf("trireme %s\n", tri_version());
        return 0;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(name, commands[i].name)) return commands[i].run(argc - 2, argv + 2);
    }
    return unknown_command(name);
}

int main(int argc, char **argv) {
    tri_show_warnings(NULL);
    int status = dispatch(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    perror("trireme: cannot write the output");
    return status ? status : 1;
}
