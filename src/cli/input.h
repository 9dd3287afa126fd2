/* input.h - what a command reads as a whole. */
#ifndef TRI_CLI_INPUT_H
#define TRI_CLI_INPUT_H

#include <stdio.h>

#include "base/buf.h"

/* A stream to its end; name: what errors call it.  limit_bytes 0: none. */
tri_status tri_read_stream(
    FILE *file, const char *name, size_t limit_bytes, tri_buf *out, tri_error *err);

#endif
