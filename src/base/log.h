/* log.h - one event a line: time level topic key=value ...  To stderr unless a sink is set. */
#ifndef TRI_BASE_LOG_H
#define TRI_BASE_LOG_H

#include "base/status.h"

typedef enum tri_log_level {
    TRI_LOG_ERROR,
    TRI_LOG_WARN,
    TRI_LOG_INFO,
    TRI_LOG_DEBUG
} tri_log_level;
typedef void (*tri_log_sink)(void *user, tri_log_level level, const char *line);

/* Process-wide, set once at start.  NULL sink: stderr. */
void tri_log_configure(tri_log_level level, tri_log_sink sink, void *user);
void tri_log(tri_log_level level, const char *topic, const char *format, ...) TRI_PRINTF(3, 4);

#endif
