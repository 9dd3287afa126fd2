#include "cli/interrupt.h"

#include <stdio.h>

static const int signals[TRI_INTERRUPT_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t came; /* the signal, 0: none; signals belong to the process */

static void on_signal(int signal_number) {
    came = signal_number;
}

/* What is ignored stays ignored: nohup, and background jobs of a shell. */
void tri_interruptible_begin(tri_interruptible *work) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    *work = (tri_interruptible){0};
    sigemptyset(&action.sa_mask);
    came = 0;
    for (int i = 0; i < TRI_INTERRUPT_SIGNALS; i++) {
        sigaction(signals[i], NULL, &work->before[i]);
        if (work->before[i].sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL);
    }
    tri_progress_init(&work->progress);
}

bool tri_interruptible_show(void *user, const char *what, int64_t done, int64_t total) {
    tri_interruptible *work = user;
    if (came) return false;
    if (total > 0) {
        work->said = false;
        tri_progress_show(&work->progress, what, done, total);
    } else if (!work->said) {
        work->said = true;
        fprintf(stderr, "%s\n", what);
    }
    return true;
}

void tri_interruptible_end(tri_interruptible *work) {
    tri_progress_end(&work->progress);
    for (int i = 0; i < TRI_INTERRUPT_SIGNALS; i++)
        sigaction(signals[i], &work->before[i], NULL);
}

int tri_interrupt_exit(tri_status status) {
    return status == TRI_E_CANCELLED && came ? 128 + came : 1;
}
