#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/thread.h"

enum { MOST = 8 };

typedef struct {
    int32_t calls[MOST]; /* plain: each member its own, the caller after */
    int32_t n_threads[MOST];
} roll;

static void answer(void *arg, int32_t thread, int32_t n_threads) {
    roll *r = arg;
    r->calls[thread]++;
    r->n_threads[thread] = n_threads;
}

static void every_member_runs_each_job_once(void **state) {
    (void)state;
    for (int32_t n = 1; n <= MOST; n++) {
        tri_team *team = NULL;
        roll r = {0};
        assert_int_equal(tri_team_create(&team, n, NULL), TRI_OK);
        assert_int_equal(tri_team_size(team), n);
        for (int job = 0; job < 50; job++) {
            tri_team_run(team, answer, &r);
            for (int32_t i = 0; i < n; i++) {
                assert_int_equal(r.calls[i], job + 1);
                assert_int_equal(r.n_threads[i], n);
            }
            /* Long enough that members go to sleep, now and then. */
            if (job % 10 == 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        tri_team_destroy(team);
    }
}

/* Fewer members, then more: those left out sleep through jobs and come back for the next. */
static void jobs_of_some_members(void **state) {
    (void)state;
    static const int32_t sizes[] = {MOST, 1, 3, 2, MOST, MOST, 1, 1, 5, MOST, 2};
    tri_team *team = NULL;
    roll r = {0};
    int32_t due[MOST] = {0};
    assert_int_equal(tri_team_create(&team, MOST, NULL), TRI_OK);
    for (size_t job = 0; job < 40 * sizeof sizes / sizeof sizes[0]; job++) {
        int32_t n = sizes[job % (sizeof sizes / sizeof sizes[0])];
        tri_team_run_on(team, n, answer, &r);
        for (int32_t i = 0; i < MOST; i++) {
            due[i] += i < n;
            assert_int_equal(r.calls[i], due[i]);
            if (i < n) assert_int_equal(r.n_threads[i], n);
        }
        if (job % 50 == 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    tri_team_destroy(team);
}

enum { PHASES = 100 };

typedef struct {
    tri_team *team;
    int32_t cells[2][MOST]; /* plain: only the barrier orders their use */
    _Atomic int32_t n_wrong;
} relay;

/* Each phase a member reads what its neighbour wrote the phase before. */
static void pass_on(void *arg, int32_t thread, int32_t n_threads) {
    relay *r = arg;
    for (int32_t phase = 0; phase < PHASES; phase++) {
        int32_t got = r->cells[phase & 1][(thread + 1) % n_threads];
        if (got != phase) atomic_fetch_add(&r->n_wrong, 1);
        r->cells[~phase & 1][thread] = phase + 1;
        if (phase % 25 == 7 && thread == 0) nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
        tri_team_barrier(r->team);
    }
}

static void barrier_orders_phases(void **state) {
    (void)state;
    for (int32_t n = 1; n <= MOST; n++) {
        relay r = {0};
        assert_int_equal(tri_team_create(&r.team, n, NULL), TRI_OK);
        for (int job = 0; job < 3; job++) {
            for (int i = 0; i < MOST; i++)
                r.cells[0][i] = 0;
            tri_team_run_on(r.team, job == 1 ? (n + 1) / 2 : n, pass_on, &r);
            assert_int_equal(r.n_wrong, 0);
        }
        tri_team_destroy(r.team);
    }
}

static void creation(void **state) {
    (void)state;
    tri_team *team = NULL;
    tri_error err = {0};
    assert_int_equal(tri_team_create(&team, 0, NULL), TRI_OK);
    assert_int_equal(tri_team_size(team), tri_cpu_count());
    tri_team_destroy(team); /* without a job */
    tri_team_destroy(NULL);
    assert_int_equal(tri_team_create(&team, 1000000, &err), TRI_E_LIMIT);

    /* The threads this process may use, not those the machine has. */
    cpu_set_t before, one;
    if (sched_getaffinity(0, sizeof before, &before) != 0) skip();
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    }
    assert_int_equal(tri_cpu_count(), CPU_COUNT(&before));
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(tri_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void split_covers_evenly_in_units(void **state) {
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        for (int64_t unit = 1; unit <= 16; unit++) {
            for (int32_t n_threads = 1; n_threads <= MOST; n_threads++) {
                int64_t at = 0, least = INT64_MAX, most = 0;
                for (int32_t t = 0; t < n_threads; t++) {
                    int64_t first = -1, last = -1;
                    tri_split(n, unit, t, n_threads, &first, &last);
                    assert_int_equal(first, at);
                    assert_true(last >= first);
                    if (last < n) assert_int_equal(last % unit, 0);
                    int64_t units = (last - first + unit - 1) / unit;
                    least = units < least ? units : least;
                    most = units > most ? units : most;
                    at = last;
                }
                assert_int_equal(at, n);
                assert_true(most - least <= 1);
            }
        }
    }
    int64_t first, last;
    tri_split(INT64_MAX, 64, 6, 7, &first, &last);
    assert_true(first > 0 && first < last && last == INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_runs_each_job_once),
        cmocka_unit_test(jobs_of_some_members),
        cmocka_unit_test(barrier_orders_phases),
        cmocka_unit_test(creation),
        cmocka_unit_test(split_covers_evenly_in_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
