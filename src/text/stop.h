/* stop.h - stop strings over a stream: text is passed on unless it could still become one. */
#ifndef TRI_TEXT_STOP_H
#define TRI_TEXT_STOP_H

#include "base/buf.h"

typedef struct tri_stop_filter {
    const char *const *stops; /* borrowed; empty ones never stop */
    int32_t n_stops;
    tri_buf held;
} tri_stop_filter;

void tri_stop_filter_init(tri_stop_filter *f, const char *const *stops, int32_t n_stops);
void tri_stop_filter_deinit(tri_stop_filter *f);
/* True when a stop string has come: out has what stands before it. */
bool tri_stop_filter_add(tri_stop_filter *f, tri_str text, tri_buf *out);
void tri_stop_filter_finish(tri_stop_filter *f, tri_buf *out);

#endif
