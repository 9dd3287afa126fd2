#include "cli/line.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_HISTORY = 1000 };

static tri_line_reader *reader_of(EditLine *editor) {
    void *reader = NULL;
    el_get(editor, EL_CLIENTDATA, &reader);
    return reader;
}

static char *show_prompt(EditLine *editor) {
    return reader_of(editor)->prompt;
}

/* As a shell does: what was typed stays to be seen, and is forgotten. */
static unsigned char drop_line(EditLine *editor, int key) {
    (void)key;
    fputs("^C\n", stdout);
    reader_of(editor)->dropped = true;
    return CC_NEWLINE;
}

/* What the terminal would do, with its modes put back for whoever has it meanwhile. */
static unsigned char stop_here(EditLine *editor, int key) {
    (void)key;
    el_set(editor, EL_PREP_TERM, 0);
    kill(0, SIGTSTP);
    el_set(editor, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

/* While a line is being typed, and only then, keys that would send signals are keys like others.
 * All of them: libedit forgets a single character it was told to give up (intr=) when those of the
 * terminal are not its defaults.  Names are wide: libedit keeps copies of others, and never frees
 * them. */
static void bind_signals(EditLine *editor) {
    el_set(editor, EL_SETTY, "-d", "-isig", NULL);
    el_wset(editor, EL_ADDFN, L"drop-line", L"forget the line", drop_line);
    el_set(editor, EL_BIND, "^C", "drop-line", NULL);
    el_wset(editor, EL_ADDFN, L"stop-here", L"stop the process", stop_here);
    el_set(editor, EL_BIND, "^Z", "stop-here", NULL);
}

void tri_line_reader_init(tri_line_reader *r, char *prompt) {
    HistEvent event;
    *r = (tri_line_reader){.prompt = prompt};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return;
    /* The terminal's encoding, for line editing alone: numbers stay as C writes them. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    r->editor = el_init("trireme", stdin, stdout, stderr);
    r->history = r->editor ? history_init() : NULL;
    if (!r->editor) return;
    signal(SIGINT, SIG_IGN);
    el_set(r->editor, EL_CLIENTDATA, r);
    el_set(r->editor, EL_PROMPT, show_prompt);
    el_set(r->editor, EL_EDITOR, "emacs");
    bind_signals(r->editor);
    if (!r->history) return;
    history(r->history, &event, H_SETSIZE, MAX_HISTORY);
    el_set(r->editor, EL_HIST, history, r->history);
}

void tri_line_reader_deinit(tri_line_reader *r) {
    if (r->history) history_end(r->history);
    if (r->editor) {
        el_end(r->editor);
        signal(SIGINT, SIG_DFL);
    }
    free(r->buffer);
    *r = (tri_line_reader){0};
}

static bool read_typed(tri_line_reader *r, tri_str *line) {
    int n = 0;
    HistEvent event;
    r->dropped = false;
    const char *text = el_gets(r->editor, &n);
    if (r->dropped) {
        *line = tri_str_of("");
        return true;
    }
    if (!text || n <= 0) {
        fputs("\n", stdout); /* the shell's prompt begins a line */
        return false;
    }
    *line = (tri_str){text, strcspn(text, "\n")};
    if (line->len && r->history) history(r->history, &event, H_ENTER, text);
    return true;
}

bool tri_line_read(tri_line_reader *r, tri_str *line) {
    if (r->editor) return read_typed(r, line);
    if (getline(&r->buffer, &r->room, stdin) < 0) return false;
    *line = (tri_str){r->buffer, strcspn(r->buffer, "\n")};
    return true;
}
