/* interrupt.h - Ctrl-C, SIGTERM and SIGHUP as a wish to end: work that writes files asks at each
 * progress call, ends, and leaves nothing behind.  A second signal ends the process as it would
 * have without all this. */
#ifndef TRI_CLI_INTERRUPT_H
#define TRI_CLI_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/commands.h"

enum { TRI_INTERRUPT_SIGNALS = 3 };

/* Of one piece of work: progress that can be interrupted. */
typedef struct tri_interruptible {
    tri_progress progress;
    bool said; /* the last word on something besides */
    struct sigaction before[TRI_INTERRUPT_SIGNALS];
} tri_interruptible;

void tri_interruptible_begin(tri_interruptible *work);
/* tri_build_progress; false once a signal has come. */
bool tri_interruptible_show(void *work, const char *what, int64_t done, int64_t total);
/* Takes the line away and gives the signals back. */
void tri_interruptible_end(tri_interruptible *work);

/* The exit status of what ended with `status`: 128 + the signal that cancelled it, else 1. */
int tri_interrupt_exit(tri_status status);

#endif
