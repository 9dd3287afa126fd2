#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "trireme/graph.h"

const char *tri_version(void) {
    return TRI_VERSION_STRING;
}

void tri_free(void *memory) {
    free(memory);
}

const char *tri_status_name(tri_status status) {
    switch (status) {
    case TRI_OK:
        return "TRI_OK";
    case TRI_E_ARGUMENT:
        return "TRI_E_ARGUMENT";
    case TRI_E_FORMAT:
        return "TRI_E_FORMAT";
    case TRI_E_IO:
        return "TRI_E_IO";
    case TRI_E_MEMORY:
        return "TRI_E_MEMORY";
    case TRI_E_LIMIT:
        return "TRI_E_LIMIT";
    case TRI_E_UNSUPPORTED:
        return "TRI_E_UNSUPPORTED";
    case TRI_E_NOT_FOUND:
        return "TRI_E_NOT_FOUND";
    case TRI_E_VERSION:
        return "TRI_E_VERSION";
    case TRI_E_CHECKSUM:
        return "TRI_E_CHECKSUM";
    case TRI_E_BUSY:
        return "TRI_E_BUSY";
    case TRI_E_CANCELLED:
        return "TRI_E_CANCELLED";
    case TRI_E_DEVICE:
        return "TRI_E_DEVICE";
    case TRI_E_INTERNAL:
        return "TRI_E_INTERNAL";
    }
    return "unknown status";
}

/* Messages quote names from hostile files: one line, nothing in it that a terminal obeys, and no
 * character cut in half at the end. */
static void set_message(tri_error *err, char *text) {
    size_t n = strlen(text);
    if (n == sizeof err->message - 1) {
        size_t last = n;
        while (last > 0 && ((unsigned char)text[last - 1] & 0xC0) == 0x80)
            last--;
        if (last > 0 && (unsigned char)text[last - 1] >= 0xC0) text[last - 1] = 0;
    }
    for (char *c = text; *c; c++) {
        if (*c == '\n' || *c == '\t' || *c == '\r') *c = ' ';
    }
    tri_str_escape(tri_str_of(text), err->message, sizeof err->message);
}

tri_status tri_fail(tri_error *err, tri_status status, const char *format, ...) {
    if (!err) return status;
    char text[sizeof err->message]; /* an argument may be err->message itself */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err->status = status;
    set_message(err, text);
    return status;
}

void tri_error_context(tri_error *err, const char *format, ...) {
    if (!err || err->status == TRI_OK) return;
    char text[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = strlen(text);
    /* A message too long loses its end. */
    if (snprintf(text + n, sizeof text - n, ": %s", err->message) < 0) return;
    set_message(err, text);
}

/* As errors put it: "what path: " or "what path/file: ". */
static bool names_path(const char *message, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    for (const char *at = message; n && (at = memmem(at, strlen(at), path, n)); at++) {
        bool starts = at == message || at[-1] == ' ';
        if (starts && (at[n] == ':' || at[n] == '/')) return true;
    }
    return false;
}

void tri_error_path(tri_error *err, const char *what, const char *path) {
    if (!err || names_path(err->message, path)) return;
    tri_error_context(err, "%s %s", what, path);
}

tri_status tri_fail_errno(tri_error *err, const char *format, ...) {
    int number = errno;
    tri_status status = number == ENOENT   ? TRI_E_NOT_FOUND
                        : number == ENOMEM ? TRI_E_MEMORY
                                           : TRI_E_IO;
    if (!err) return status;
    char text[sizeof err->message], reason[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tri_fail(err, status, "%s: %s", text, strerror_r(number, reason, sizeof reason));
}

_Noreturn void tri_assert_failed(const char *expression, const char *file, int line) {
    char text[512];
    int n = snprintf(text, sizeof text, "%s:%d: assertion failed: %s\n", file, line, expression);
    if (n > (int)sizeof text - 1) n = (int)sizeof text - 1;
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) abort();
    abort();
}
