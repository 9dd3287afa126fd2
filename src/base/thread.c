/* thread.c - the team (declared in thread.h).
 *
 * Everything waits on events: a counter that changes and the number of those asleep on it. A
 * waiter spins first, for work of microseconds comes at once; then it counts itself asleep and lets
 * the kernel compare the counter again before it blocks (futex). A notifier changes the counter,
 * then looks for sleepers. Both orders are sequentially consistent, so either the notifier sees the
 * sleeper or the sleeper sees the change. */
#include "base/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

enum { SPIN_NS = 50000, SPINS_PER_CLOCK = 64, CACHE_LINE = 64, MAX_THREADS = 1024 };
enum { ACTIVE_BITS = 11, ACTIVE_MASK = (1 << ACTIVE_BITS) - 1 }; /* MAX_THREADS fits */

typedef struct event {
    _Alignas(CACHE_LINE) _Atomic uint32_t count;
    _Atomic int32_t n_asleep;
} event;

struct tri_team {
    int32_t n_threads;
    int32_t n_active; /* members of the job; the caller writes it between jobs */
    int64_t spin_ns;
    pthread_t *threads; /* n_threads - 1: members 1 and up */
    int32_t n_started;

    /* Written by the caller before it notifies `job`, read by members after. */
    tri_team_fn fn;
    void *arg;
    atomic_bool stop;

    event job;      /* each job: its number, and below it (ACTIVE_BITS) how many members it has */
    event finished; /* by the last member to finish */
    event phase;    /* by the last member to arrive at a barrier */
    _Alignas(CACHE_LINE) _Atomic int32_t n_running; /* members but 0 that still run the job */
    _Alignas(CACHE_LINE) _Atomic int32_t n_arrived; /* at the barrier */
    _Alignas(CACHE_LINE) _Atomic int64_t slept_ns;  /* at barriers */
    _Atomic bool busy;
};

typedef struct member {
    tri_team *team;
    int32_t index;
} member;

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void notify_with(event *s, uint32_t add) {
    atomic_fetch_add(&s->count, add);
    if (atomic_load(&s->n_asleep) > 0) {
        syscall(SYS_futex, &s->count, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}

static void notify(event *s) {
    notify_with(s, 1);
}

/* Only the caller changes it.  Another number; n_active members. */
static void notify_job(tri_team *team) {
    uint32_t old = atomic_load(&team->job.count);
    uint32_t next = ((old >> ACTIVE_BITS) + 1) << ACTIVE_BITS | (uint32_t)team->n_active;
    notify_with(&team->job, next - old);
}

/* Returns when the counter is no longer `old`: the nanoseconds slept. */
static int64_t wait_past(event *s, uint32_t old, int64_t spin_ns) {
    int64_t start_ns = tri_clock_ns(), now_ns;
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (atomic_load_explicit(&s->count, memory_order_acquire) != old) return 0;
            pause_cpu();
        }
        now_ns = tri_clock_ns();
    } while (now_ns - start_ns < spin_ns);
    atomic_fetch_add(&s->n_asleep, 1);
    while (atomic_load(&s->count) == old) {
        syscall(SYS_futex, &s->count, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub(&s->n_asleep, 1);
    return tri_clock_ns() - now_ns;
}

static void *member_main(void *argument) {
    member m = *(member *)argument;
    free(argument);
    tri_team *team = m.team;
    bool active = true;
    for (uint32_t job = 0;;) {
        wait_past(&team->job, job, active ? team->spin_ns : 0);
        job = atomic_load(&team->job.count); /* before `stop`, which is set before the last one */
        if (atomic_load(&team->stop)) return NULL;
        int32_t n_active = (int32_t)(job & ACTIVE_MASK);
        active = m.index < n_active; /* then there is no other job before this member is done */
        if (!active) continue;
        team->fn(team->arg, m.index, n_active);
        if (atomic_fetch_sub(&team->n_running, 1) == 1) notify(&team->finished);
    }
}

static tri_status start_member(tri_team *team, int32_t index, tri_error *err) {
    member *m = malloc(sizeof *m);
    if (!m) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for thread %" PRId32, index);
    *m = (member){team, index};
    int rc = pthread_create(&team->threads[index - 1], NULL, member_main, m);
    if (rc == 0) {
        team->n_started++;
        return TRI_OK;
    }
    free(m);
    errno = rc;
    return tri_fail_errno(err, "start thread %" PRId32 " of %" PRId32, index, team->n_threads);
}

tri_status tri_team_create(tri_team **team, int32_t n_threads, tri_error *err) {
    int32_t n_cpus = tri_cpu_count();
    if (n_threads <= 0) n_threads = n_cpus < MAX_THREADS ? n_cpus : MAX_THREADS;
    if (n_threads > MAX_THREADS) {
        return TRI_FAIL(
            err, TRI_E_LIMIT, "%" PRId32 " threads, the limit is %d", n_threads, (int)MAX_THREADS);
    }
    tri_status rc = TRI_OK;
    tri_team *t = aligned_alloc(CACHE_LINE, sizeof *t);
    if (!t) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a team of threads");
    *t = (tri_team){.n_threads = n_threads, .n_active = n_threads};
    /* With more threads than CPUs, who spins keeps another from running. */
    t->spin_ns = n_threads <= n_cpus ? SPIN_NS : 0;
    t->threads = calloc((size_t)n_threads, sizeof *t->threads);
    if (!t->threads) rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for a team of threads");

    /* Signals are for the threads of the program's own. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 1; !rc && i < n_threads; i++)
        rc = start_member(t, i, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (rc) {
        tri_team_destroy(t);
    } else {
        *team = t;
    }
    return rc;
}

void tri_team_destroy(tri_team *team) {
    if (!team) return;
    atomic_store(&team->stop, true);
    notify_job(team);
    for (int32_t i = 0; i < team->n_started; i++)
        pthread_join(team->threads[i], NULL);
    free(team->threads);
    free(team);
}

int32_t tri_team_size(const tri_team *team) {
    return team->n_threads;
}

void tri_team_run(tri_team *team, tri_team_fn fn, void *arg) {
    tri_team_run_on(team, team->n_threads, fn, arg);
}

void tri_team_run_on(tri_team *team, int32_t n, tri_team_fn fn, void *arg) {
    bool was_busy = atomic_exchange(&team->busy, true);
    TRI_ASSERT(!was_busy); /* one caller at a time, and not from inside a job */
    TRI_ASSERT(n > 0 && n <= team->n_threads);
    team->n_active = n;
    if (n > 1) {
        uint32_t finished = atomic_load(&team->finished.count);
        team->fn = fn;
        team->arg = arg;
        atomic_store(&team->n_running, n - 1);
        notify_job(team);
        fn(arg, 0, n);
        wait_past(&team->finished, finished, team->spin_ns);
    } else {
        fn(arg, 0, 1);
    }
    atomic_store(&team->busy, false);
}

void tri_team_barrier(tri_team *team) {
    uint32_t phase = atomic_load(&team->phase.count);
    if (atomic_fetch_add(&team->n_arrived, 1) == team->n_active - 1) {
        atomic_store(&team->n_arrived, 0);
        notify(&team->phase);
    } else {
        int64_t slept_ns = wait_past(&team->phase, phase, team->spin_ns);
        if (slept_ns > 0) atomic_fetch_add(&team->slept_ns, slept_ns);
    }
}

int64_t tri_team_slept_ns(const tri_team *team) {
    return atomic_load(&team->slept_ns);
}

int32_t tri_cpu_count(void) {
    /* The kernel refuses a set smaller than its own. */
    for (int n_cpus = 1024; n_cpus <= 1 << 20; n_cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)n_cpus);
        if (!set) break;
        size_t n_bytes = CPU_ALLOC_SIZE((size_t)n_cpus);
        int count = sched_getaffinity(0, n_bytes, set) == 0 ? CPU_COUNT_S(n_bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
        if (errno != EINVAL) break;
    }
    return 1;
}

void tri_split(
    int64_t n, int64_t unit, int32_t thread, int32_t n_threads, int64_t *first, int64_t *last) {
    TRI_ASSERT(n >= 0 && unit > 0 && thread >= 0 && thread < n_threads);
    int64_t n_units = n / unit + (n % unit != 0);
    int64_t each = n_units / n_threads, more = n_units % n_threads;
    int64_t first_unit = each * thread + (thread < more ? thread : more);
    int64_t last_unit = first_unit + each + (thread < more);
    /* The last unit may be cut short; its end is found without passing n. */
    *first = first_unit < n_units ? first_unit * unit : n;
    *last = last_unit < n_units ? last_unit * unit : n;
}
