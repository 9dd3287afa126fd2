#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/commands.h"

enum { BAR = 32, REDRAW_NS = 50000000, LINE_NS = 1000000000 };

void tri_progress_init(tri_progress *p) {
    *p = (tri_progress){
        .terminal = isatty(STDERR_FILENO) == 1, .started_ns = tri_clock_ns(), .shown_percent = -1};
}

static void clear_line(void) {
    fputs("\r\033[K", stderr);
}

void tri_progress_show(void *user, const char *what, int64_t done, int64_t total) {
    tri_progress *p = user;
    int32_t percent = total > 0 ? (int32_t)(100.0 * (double)done / (double)total) : 0;
    bool other = !p->what || strcmp(p->what, what) != 0;
    int64_t now = tri_clock_ns();
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
    p->shown_percent = percent;
    char bar[BAR + 1];
    int filled = percent * BAR / 100;
    memset(bar, '#', (size_t)filled);
    memset(bar + filled, '.', (size_t)(BAR - filled));
    bar[BAR] = 0;
    clear_line();
    fprintf(stderr, "%-24s [%s] %3d%%  %.1f of %.1f MB", what, bar, percent, (double)done / 1e6,
        (double)total / 1e6);
    fflush(stderr);
}

void tri_progress_end(tri_progress *p) {
    if (p->terminal && p->what) clear_line();
    p->what = NULL;
}
