#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { HELP_COLUMN = 30, HELP_WIDTH = 92, MAX_NAMES = 160 };

static void print_wrapped(const char *text, int column) {
    while (*text) {
        size_t room = (size_t)(HELP_WIDTH - column), n = strcspn(text, "\n");
        if (n > room) {
            n = room;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0) n = room;
        }
        printf("%.*s\n", (int)n, text);
        text += n;
        while (*text == ' ' || *text == '\n')
            text++;
        if (*text) printf("%*s", column, "");
    }
}

void tri_options_help(const tri_usage *usage) {
    printf("%s\n\nusage: %s %s\n", usage->summary, usage->command, usage->synopsis);
    bool headed = false, ignored = false;
    for (int32_t i = 0; i < usage->n_options; i++) {
        const tri_option *o = &usage->options[i];
        if (o->kind == TRI_OPTION_IGNORED) ignored = true;
        if (o->kind == TRI_OPTION_UNSUPPORTED || !o->help) continue;
        if (o->kind == TRI_OPTION_HEADING) {
            printf("\n%s\n", o->help);
            headed = true;
            continue;
        }
        if (!headed) printf("\noptions\n");
        headed = true;
        char left[80];
        snprintf(left, sizeof left, "  --%s%s%s", o->name, o->value ? " " : "",
            o->value ? o->value : "");
        int n = printf("%s", left);
        if (n >= HELP_COLUMN) {
            printf("\n");
            n = 0;
        }
        printf("%*s", HELP_COLUMN - n, "");
        print_wrapped(o->help, HELP_COLUMN);
    }
    if (ignored) {
        printf("\naccepted for old scripts, without effect\n ");
        int column = 1;
        for (int32_t i = 0; i < usage->n_options; i++) {
            const tri_option *o = &usage->options[i];
            if (o->kind != TRI_OPTION_IGNORED) continue;
            int n = (int)strlen(o->name) + 3;
            if (column + n > HELP_WIDTH) {
                printf("\n ");
                column = 1;
            }
            column += printf(" --%s", o->name);
        }
        printf("\n");
    }
    if (usage->examples) printf("\nexamples\n%s", usage->examples);
}

static bool same_name(const char *a, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char x = a[i] == '-' ? '_' : a[i], y = b[i] == '-' ? '_' : b[i];
        if (x != y || !y) return false;
    }
    return b[n] == 0;
}

static const tri_option *find(const tri_usage *usage, const char *name, size_t n) {
    for (int32_t i = 0; i < usage->n_options; i++) {
        const tri_option *o = &usage->options[i];
        if (o->kind != TRI_OPTION_HEADING && same_name(name, o->name, n)) return o;
    }
    return NULL;
}

static int unknown(const tri_usage *usage, const char *name) {
    const char *names[MAX_NAMES];
    size_t n = 0;
    for (int32_t i = 0; i < usage->n_options && n < MAX_NAMES; i++) {
        if (usage->options[i].kind != TRI_OPTION_HEADING) names[n++] = usage->options[i].name;
    }
    const char *near = tri_nearest(name, names, n);
    fprintf(stderr, "%s: unknown flag --%s", usage->command, name);
    if (near) fprintf(stderr, "; did you mean --%s?", near);
    fprintf(stderr, "\n(%s --help lists them)\n", usage->command);
    return TRI_OPTIONS_WRONG;
}

static int out_of_range(const tri_usage *usage, const tri_option *o, const char *text) {
    fprintf(stderr, "%s: --%s is '%s'; ", usage->command, o->name, text);
    if (o->min != 0 || o->max != 0) {
        fprintf(stderr, "a number from %.15g to %.15g is wanted\n", o->min, o->max);
    } else if (o->kind == TRI_OPTION_U64) {
        fprintf(stderr, "a whole number from 0 to %" PRIu64 " is wanted\n", UINT64_MAX);
    } else {
        fprintf(stderr, "a number is wanted\n");
    }
    return TRI_OPTIONS_WRONG;
}

static bool in_range(const tri_option *o, double value) {
    return (o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max);
}

/* "--max_beam_width 1", "--lora_plugin disable": scripts spell defaults out. */
static bool asks_for_nothing(const tri_option *o, const char *value) {
    static const char *const words[] = {"disable", "disabled", "false", "none", "0"};
    if (o->value && !strcmp(value, o->value)) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(value, words[i])) return true;
    return false;
}

static bool parse_switch(const char *text, bool *value) {
    static const char *const words[] = {
        "true", "false", "enable", "disable", "on", "off", "1", "0", "yes", "no"};
    for (int i = 0; i < 10; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *value = i % 2 == 0;
        return true;
    }
    return false;
}

static int assign(const tri_usage *usage, const tri_option *o, const char *text) {
    int64_t i64 = 0;
    double f64 = 0;
    bool is_i64 = tri_str_to_i64(tri_str_of(text), &i64);
    switch (o->kind) {
    case TRI_OPTION_STRING:
        *(const char **)o->to = text;
        return TRI_OPTIONS_OK;
    case TRI_OPTION_I32:
        if (!is_i64 || i64 < INT32_MIN || i64 > INT32_MAX || !in_range(o, (double)i64)) break;
        *(int32_t *)o->to = (int32_t)i64;
        return TRI_OPTIONS_OK;
    case TRI_OPTION_I64:
        if (!is_i64 || !in_range(o, (double)i64)) break;
        *(int64_t *)o->to = i64;
        return TRI_OPTIONS_OK;
    case TRI_OPTION_U64: {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno || *end || end == text || *text == '-') break;
        *(uint64_t *)o->to = value;
        return TRI_OPTIONS_OK;
    }
    case TRI_OPTION_F32:
        if (!tri_str_to_f64(tri_str_of(text), &f64) || !isfinite(f64) || !in_range(o, f64)) break;
        *(float *)o->to = (float)f64;
        return TRI_OPTIONS_OK;
    case TRI_OPTION_LIST: {
        tri_option_list *list = o->to;
        if (!*text) {
            fprintf(stderr, "%s: --%s is empty; %s is wanted\n", usage->command, o->name, o->value);
            return TRI_OPTIONS_WRONG;
        }
        if (list->n == TRI_OPTION_LIST_MAX) {
            fprintf(stderr, "%s: --%s given more than %d times\n", usage->command, o->name,
                TRI_OPTION_LIST_MAX);
            return TRI_OPTIONS_WRONG;
        }
        list->items[list->n++] = text;
        return TRI_OPTIONS_OK;
    }
    default:
        break;
    }
    return out_of_range(usage, o, text);
}

static void warn_ignored(const tri_usage *usage, const char *const *names, int32_t n) {
    if (!n) return;
    fprintf(stderr, "%s: without effect here, accepted for old scripts:", usage->command);
    for (int32_t i = 0; i < n; i++)
        fprintf(stderr, " --%s", names[i]);
    fprintf(stderr, "\n");
}

/* One flag at argv[*i]; *i moves past the value it takes. */
static int parse_flag(const tri_usage *usage, int argc, char **argv, int *i, const char **ignored,
    int32_t *n_ignored) {
    const char *name = argv[*i] + 2, *value = strchr(name, '=');
    size_t n = value ? (size_t)(value - name) : strlen(name);
    if (value) value++;
    const tri_option *o = find(usage, name, n);
    if (!o) {
        char copy[128];
        snprintf(copy, sizeof copy, "%.*s", (int)n, name);
        return unknown(usage, copy);
    }
    bool next_is_value = *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0;
    if (o->kind == TRI_OPTION_UNSUPPORTED) {
        const char *asked = value ? value : next_is_value ? argv[*i + 1] : "";
        if (!asks_for_nothing(o, asked)) {
            fprintf(stderr, "%s: --%s: %s\n", usage->command, o->name, o->help);
            return TRI_OPTIONS_WRONG;
        }
    }
    if (o->kind == TRI_OPTION_IGNORED || o->kind == TRI_OPTION_UNSUPPORTED) {
        if (!value && next_is_value) (*i)++;
        if (o->kind == TRI_OPTION_UNSUPPORTED) return TRI_OPTIONS_OK;
        if (*n_ignored < MAX_NAMES) ignored[(*n_ignored)++] = o->name;
        return TRI_OPTIONS_OK;
    }
    if (o->kind == TRI_OPTION_SWITCH) {
        bool on = true;
        if (value && !parse_switch(value, &on)) {
            fprintf(stderr, "%s: --%s is '%s'; true or false is wanted\n", usage->command, o->name,
                value);
            return TRI_OPTIONS_WRONG;
        }
        if (!value && next_is_value && parse_switch(argv[*i + 1], &on)) (*i)++;
        *(bool *)o->to = on;
        return TRI_OPTIONS_OK;
    }
    if (!value) {
        if (*i + 1 >= argc) {
            fprintf(stderr, "%s: --%s needs a value (%s)\n", usage->command, o->name, o->value);
            return TRI_OPTIONS_WRONG;
        }
        value = argv[++*i];
    }
    return assign(usage, o, value);
}

int tri_options_parse(const tri_usage *usage, int argc, char **argv, const char **positionals,
    int32_t *n_positionals) {
    const char *ignored[MAX_NAMES];
    int32_t n_ignored = 0, n = 0;
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            tri_options_help(usage);
            return TRI_OPTIONS_HELP;
        }
        if (!strncmp(argv[i], "--", 2) && argv[i][2]) {
            int rc = parse_flag(usage, argc, argv, &i, ignored, &n_ignored);
            if (rc) return rc;
        } else if (argv[i][0] == '-' && argv[i][1]) {
            fprintf(stderr,
                "%s: %s is no flag; flags are words after two dashes\n(%s --help lists them)\n",
                usage->command, argv[i], usage->command);
            return TRI_OPTIONS_WRONG;
        } else if (n == usage->max_positionals) {
            fprintf(stderr, "%s: '%s' is one argument too many\nusage: %s %s\n", usage->command,
                argv[i], usage->command, usage->synopsis);
            return TRI_OPTIONS_WRONG;
        } else {
            positionals[n++] = argv[i];
        }
    }
    if (n < usage->min_positionals) {
        fprintf(stderr, "usage: %s %s\n(%s --help tells more)\n", usage->command, usage->synopsis,
            usage->command);
        return TRI_OPTIONS_WRONG;
    }
    warn_ignored(usage, ignored, n_ignored);
    if (n_positionals) *n_positionals = n;
    return TRI_OPTIONS_OK;
}
