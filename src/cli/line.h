/* line.h - lines from a person at a terminal, with editing and history, or from a pipe. */
#ifndef TRI_CLI_LINE_H
#define TRI_CLI_LINE_H

#include <histedit.h>

#include "base/buf.h"

typedef struct tri_line_reader {
    EditLine *editor; /* NULL: from a pipe */
    char *prompt;
    History *history;
    bool dropped; /* the line that was being typed, by Ctrl-C */
    char *buffer;
    size_t room;
} tri_line_reader;

/* Between lines, at a terminal, Ctrl-C is ignored until deinit: what runs then sees to it. */
void tri_line_reader_init(tri_line_reader *reader, char *prompt); /* prompt: borrowed */
void tri_line_reader_deinit(tri_line_reader *reader);
/* The next line without its newline, borrowed until the next call; empty when Ctrl-C dropped it.
 * False at the end of input. */
bool tri_line_read(tri_line_reader *reader, tri_str *line);

#endif
