#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

/* The one process-wide state of the library: where diagnostics go, set once at start. */
static struct {
    tri_log_level level;
    tri_log_sink sink;
    void *user;
} config = {.level = TRI_LOG_INFO};

void tri_log_configure(tri_log_level level, tri_log_sink sink, void *user) {
    config.level = level;
    config.sink = sink;
    config.user = user;
}

static const char *level_name(tri_log_level level) {
    switch (level) {
    case TRI_LOG_ERROR:
        return "error";
    case TRI_LOG_WARN:
        return "warn";
    case TRI_LOG_INFO:
        return "info";
    case TRI_LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

/* UTC, ISO 8601 with milliseconds. */
static size_t put_time(char *line, size_t cap) {
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    int more = snprintf(line + n, cap - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    return n + (more > 0 ? (size_t)more : 0);
}

void tri_log(tri_log_level level, const char *topic, const char *format, ...) {
    if (level > config.level) return;
    char line[2048];
    size_t cap = sizeof line - 1; /* room for the newline */
    size_t n = put_time(line, cap);
    int more = snprintf(line + n, cap - n, " %s %s ", level_name(level), topic);
    if (more > 0) n += (size_t)more;
    if (n < cap) {
        va_list args;
        va_start(args, format);
        vsnprintf(line + n, cap - n, format, args);
        va_end(args);
    }
    for (char *c = line; *c; c++) {
        if (*c == '\n' || *c == '\t' || *c == '\r') *c = ' ';
    }
    char shown[sizeof line];
    size_t len = tri_str_escape(tri_str_of(line), shown, cap);
    if (config.sink) {
        config.sink(config.user, level, shown);
        return;
    }
    shown[len] = '\n';
    /* One write, so that lines of several threads do not mix; nowhere to report its failure. */
    ssize_t written = write(STDERR_FILENO, shown, len + 1);
    (void)written;
}
