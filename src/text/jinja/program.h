/* program.h - a compiled template. */
#ifndef TRI_TEXT_JINJA_PROGRAM_H
#define TRI_TEXT_JINJA_PROGRAM_H

#include "text/jinja/ast.h"
#include "text/jinja/jinja.h"

struct tri_jinja {
    tri_arena arena;
    tri_str source; /* newlines made \n, the last one dropped, as positions count */
    tri_jinja_function *root;
};

/* Line and column, from 1, of a byte of text; columns count code points. */
void tri_jinja_place(tri_str text, size_t at, int32_t *line, int32_t *column);

#endif
