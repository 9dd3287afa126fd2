/* progress.c - how far a build is, and the library's warnings: both on stderr, one line each.
 *
 * On a terminal the line is drawn over itself, so it never exceeds the terminal's width: what can
 * be cut, the name of what is being done, stands last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/commands.h"

enum { BAR = 24, MAX_COLUMNS = 200, REDRAW_NS = 50000000, LINE_NS = 1000000000 };

/* A dumb terminal shows escapes as text. */
static bool can_redraw(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && term && *term && strcmp(term, "dumb") != 0;
}

static int32_t columns(void) {
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col < MAX_COLUMNS ? size.ws_col : MAX_COLUMNS;
}

static void clear_line(void) {
    fputs("\r\033[K", stderr);
}

/* "2026-01-31T12:00:00.000Z warn topic text": people want neither the time nor a record. */
static void show_log(void *user, tri_log_level level, const char *line) {
    tri_progress *p = user;
    const char *text = strchr(line, ' ');
    text = text ? strchr(text + 1, ' ') : NULL;
    if (p && p->terminal && p->what) clear_line();
    fprintf(stderr, "%s:%s\n", level == TRI_LOG_ERROR ? "error" : "warning", text ? text : line);
}

void tri_show_warnings(tri_progress *over) {
    tri_log_configure(TRI_LOG_WARN, show_log, over);
}

void tri_progress_init(tri_progress *p) {
    *p =
        (tri_progress){.terminal = can_redraw(), .started_ns = tri_clock_ns(), .shown_percent = -1};
    tri_show_warnings(p);
}

/* Columns and bytes are the same for printable ASCII; a name may hold anything. */
static void make_printable(char *text) {
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7E) *c = '?';
    }
}

static void draw(const tri_progress *p, int64_t done) {
    char line[2 * MAX_COLUMNS], bar[BAR + 1];
    int filled = p->shown_percent * BAR / 100;
    memset(bar, '#', (size_t)filled);
    memset(bar + filled, '.', (size_t)(BAR - filled));
    bar[BAR] = 0;
    (void)snprintf(line, sizeof line, "%3d%% [%s] %.1f of %.1f MB  %.*s", p->shown_percent, bar,
        (double)done / 1e6, (double)p->total_bytes / 1e6, MAX_COLUMNS, p->what);
    make_printable(line);
    clear_line();
    fprintf(stderr, "%.*s", columns() - 1, line); /* in the last column the cursor would wrap */
    fflush(stderr);
}

void tri_progress_show(void *user, const char *what, int64_t done, int64_t total) {
    tri_progress *p = user;
    int32_t percent = total > 0 ? (int32_t)(100.0 * (double)done / (double)total) : 0;
    bool other = !p->what || strcmp(p->what, what) != 0;
    int64_t now = tri_clock_ns();
    p->total_bytes = total;
    if (!p->terminal) {
        if (now - (p->shown_ns ? p->shown_ns : p->started_ns) < LINE_NS) return;
        p->shown_ns = now;
        fprintf(stderr, "%3d%%  %.1f of %.1f MB  %s\n", percent, (double)done / 1e6,
            (double)total / 1e6, what);
        return;
    }
    if (!other && (percent == p->shown_percent || now - p->shown_ns < REDRAW_NS) && done < total) {
        return;
    }
    p->what = what;
    p->shown_ns = now;
    p->shown_percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
    draw(p, done);
}

void tri_progress_end(tri_progress *p) {
    if (p->terminal && p->what) clear_line();
    p->what = NULL;
    tri_show_warnings(NULL);
}
