/* options.h - command-line flags from a table: parsing, help, "did you mean".
 *
 * Accepts --name value, --name=value and, for switches, --name alone or with true/false,
 * enable/disable.  A dash and an underscore in a name are the same. */
#ifndef TRI_CLI_OPTIONS_H
#define TRI_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tri_option_kind {
    TRI_OPTION_SWITCH,      /* bool */
    TRI_OPTION_STRING,      /* const char *, borrowed from argv */
    TRI_OPTION_I32,         /* int32_t in [min, max] */
    TRI_OPTION_I64,         /* int64_t in [min, max] */
    TRI_OPTION_U64,         /* uint64_t */
    TRI_OPTION_F32,         /* float in [min, max] */
    TRI_OPTION_LIST,        /* tri_option_list of texts, not empty: may be given several times */
    TRI_OPTION_IGNORED,     /* known from trtllm-build, without meaning here: one warning for all */
    TRI_OPTION_UNSUPPORTED, /* known, asks for what is not here: an error with `help` as the reason;
                               ignored when its value is `value`, or says no */
    TRI_OPTION_HEADING      /* of a section in the help */
} tri_option_kind;

enum { TRI_OPTION_LIST_MAX = 16 };

typedef struct tri_option_list {
    const char *items[TRI_OPTION_LIST_MAX];
    int32_t n;
} tri_option_list;

typedef struct tri_option {
    tri_option_kind kind;
    const char *name;  /* without dashes */
    void *to;          /* as the kind says; the default is what it holds */
    const char *value; /* placeholder in the help: "N", "DIR" */
    const char *help;  /* NULL: another name of a flag, known and not shown */
    double min, max;   /* of I32, I64, F32; both 0: any */
} tri_option;

typedef struct tri_usage {
    const char *command;  /* "trireme build" */
    const char *summary;  /* a sentence */
    const char *synopsis; /* what follows the command */
    const char *examples; /* lines, may be NULL */
    const tri_option *options;
    int32_t n_options;
    int32_t min_positionals, max_positionals;
} tri_usage;

enum { TRI_OPTIONS_OK = 0, TRI_OPTIONS_HELP = 1, TRI_OPTIONS_WRONG = 2 };

/* argv[0] is the first argument.  HELP: help was asked for and printed.  WRONG: what is wrong was
 * printed. */
int tri_options_parse(const tri_usage *usage, int argc, char **argv, const char **positionals,
    int32_t *n_positionals);
void tri_options_help(const tri_usage *usage);

#endif
