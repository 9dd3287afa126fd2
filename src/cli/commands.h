/* commands.h - the commands of `trireme`, and what they share.
 *
 * Each takes its arguments after the command's name and returns the process's exit status: 0, 1
 * when what was asked failed, 2 when it was asked wrongly, 130 when Ctrl-C cut it short. */
#ifndef TRI_CLI_COMMANDS_H
#define TRI_CLI_COMMANDS_H

#include "trireme/engine.h"

int tri_cmd_convert(int argc, char **argv);
int tri_cmd_build(int argc, char **argv);
int tri_cmd_refit(int argc, char **argv);
int tri_cmd_inspect(int argc, char **argv);
int tri_cmd_run(int argc, char **argv);
int tri_cmd_tokenize(int argc, char **argv);
int tri_cmd_detokenize(int argc, char **argv);
int tri_cmd_bench(int argc, char **argv);
int tri_cmd_render_template(int argc, char **argv);

enum { TRI_EXIT_INTERRUPTED = 130 }; /* as shells report a program that Ctrl-C ended */

/* "trireme run: message" on stderr; returns 1, or 128 + the signal that cancelled the work. */
int tri_report(const char *command, const tri_error *err);

/* $XDG_CACHE_HOME/trireme, or ~/.cache/trireme; false when neither variable has an absolute path,
 * as the XDG base directory specification has it. */
bool tri_cache_dir(char *path, size_t room);

typedef struct tri_engine_checks {
    bool verify;             /* every weight's checksum */
    bool trust_engine_code;  /* run the machine code that an engine brings */
    const char *load_format; /* NULL, "auto", or "dummy": random weights for a stripped engine */
} tri_engine_checks;

/* Opens an engine directory as it is; a HF directory, GGUF or checkpoint is built into the cache
 * first, as `build` says, which names the plugins and the instruction set too; options that only a
 * build can follow are refused for an engine.  What is done is told on stderr. */
tri_status tri_engine_for(tri_engine **engine, const char *path, tri_build_options *build,
    tri_engine_checks checks, tri_error *err);

/* ---- progress.c: a bar on a terminal, elsewhere a line a second; on stderr ---- */
typedef struct tri_progress {
    bool terminal;
    const char *what; /* last shown */
    int64_t shown_ns;
    int32_t shown_percent;
    int64_t started_ns, total_bytes;
} tri_progress;

void tri_progress_init(tri_progress *progress);
void tri_progress_show(void *progress, const char *what, int64_t done, int64_t total);
void tri_progress_end(tri_progress *progress);
/* The library's warnings as lines for people on stderr; over a progress line, if one is drawn. */
void tri_show_warnings(tri_progress *over);

#endif
