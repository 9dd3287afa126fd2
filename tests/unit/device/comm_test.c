/* Collectives among threads: values, rank order of sums, and that nobody waits for a dead rank. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "device/comm.h"

enum { MAX_RANKS = 4, N = 5003 };

typedef struct rank_job {
    tri_comm *comm;
    int32_t rank, n_ranks;
    tri_status rc;
    bool ok;
} rank_job;

static float value(int32_t rank, int32_t round, int64_t i) {
    return tri_rng_normal((uint64_t)(rank * 100 + round), (uint64_t)i);
}

static void run_ranks(
    void *(*fn)(void *), rank_job jobs[MAX_RANKS], tri_comm_group *group, int32_t n_ranks) {
    pthread_t threads[MAX_RANKS];
    for (int32_t r = 0; r < n_ranks; r++) {
        jobs[r] = (rank_job){tri_comm_of_rank(group, r), r, n_ranks, TRI_OK, true};
        assert_int_equal(pthread_create(&threads[r], NULL, fn, &jobs[r]), 0);
    }
    for (int32_t r = 0; r < n_ranks; r++)
        pthread_join(threads[r], NULL);
}

static tri_comm_group *make_group(int32_t tp_size, int32_t pp_size) {
    tri_error err = {0};
    tri_comm_group *group = NULL;
    assert_int_equal(tri_comm_group_create(&group, tp_size, pp_size, &err), TRI_OK);
    return group;
}

/* ---- within a stage ---- */

static void *reduce_rank(void *arg) {
    rank_job *job = arg;
    float *x = malloc(N * sizeof *x);
    for (int32_t round = 0; round < 20; round++) {
        int64_t n = round % 2 ? N - round * 200 : round; /* also 0 and fewer than ranks */
        for (int64_t i = 0; i < n; i++)
            x[i] = value(job->rank, round, i);
        job->rc = tri_comm_all_reduce(job->comm, x, n);
        if (job->rc) break;
        for (int64_t i = 0; i < n; i++) {
            float sum = value(0, round, i);
            for (int32_t r = 1; r < job->n_ranks; r++)
                sum += value(r, round, i);
            if (memcmp(&sum, &x[i], sizeof sum) != 0) job->ok = false;
        }
    }
    free(x);
    return NULL;
}

static void test_all_reduce(void **unused) {
    (void)unused;
    for (int32_t n_ranks = 1; n_ranks <= MAX_RANKS; n_ranks++) {
        tri_comm_group *group = make_group(n_ranks, 1);
        rank_job jobs[MAX_RANKS];
        run_ranks(reduce_rank, jobs, group, n_ranks);
        for (int32_t r = 0; r < n_ranks; r++) {
            assert_int_equal(jobs[r].rc, TRI_OK);
            assert_true(jobs[r].ok);
        }
        tri_comm_group_destroy(group);
    }
}

static void *gather_rank(void *arg) {
    rank_job *job = arg;
    enum { ROWS = 7, COLUMNS = 11 };
    float x[ROWS * COLUMNS], y[ROWS * COLUMNS * MAX_RANKS];
    for (int32_t round = 0; round < 10; round++) {
        for (int32_t i = 0; i < ROWS * COLUMNS; i++)
            x[i] = value(job->rank, round, i);
        job->rc = tri_comm_all_gather(job->comm, x, y, ROWS, COLUMNS);
        if (job->rc) break;
        for (int32_t row = 0; row < ROWS; row++) {
            for (int32_t c = 0; c < job->n_ranks * COLUMNS; c++) {
                float expected = value(c / COLUMNS, round, row * COLUMNS + c % COLUMNS);
                if (y[row * job->n_ranks * COLUMNS + c] != expected) job->ok = false;
            }
        }
    }
    return NULL;
}

static void test_all_gather(void **unused) {
    (void)unused;
    for (int32_t n_ranks = 1; n_ranks <= MAX_RANKS; n_ranks++) {
        tri_comm_group *group = make_group(n_ranks, 1);
        rank_job jobs[MAX_RANKS];
        run_ranks(gather_rank, jobs, group, n_ranks);
        for (int32_t r = 0; r < n_ranks; r++) {
            assert_int_equal(jobs[r].rc, TRI_OK);
            assert_true(jobs[r].ok);
        }
        tri_comm_group_destroy(group);
    }
}

/* ---- between stages: two stages of two ranks, all reducing on the way ---- */

static void *pipeline_rank(void *arg) {
    rank_job *job = arg;
    int32_t stage = job->rank / 2, tp_rank = job->rank % 2;
    float x[64];
    for (int32_t round = 0; round < 50 && !job->rc; round++) {
        int64_t n = 1 + round;
        if (stage == 0) {
            for (int64_t i = 0; i < n; i++)
                x[i] = (float)(round + tp_rank * 1000 + i);
            job->rc = tri_comm_send(job->comm, 1, x, n);
            if (!job->rc) job->rc = tri_comm_all_reduce(job->comm, x, n);
        } else {
            job->rc = tri_comm_receive(job->comm, 0, x, n);
            for (int64_t i = 0; !job->rc && i < n; i++) {
                if (x[i] != (float)(round + tp_rank * 1000 + i)) job->ok = false;
            }
            if (!job->rc) job->rc = tri_comm_all_reduce(job->comm, x, n);
            if (!job->rc && x[0] != (float)(2 * round + 1000)) job->ok = false;
        }
    }
    return NULL;
}

static void test_pipeline(void **unused) {
    (void)unused;
    tri_comm_group *group = make_group(2, 2);
    rank_job jobs[MAX_RANKS];
    run_ranks(pipeline_rank, jobs, group, 4);
    for (int32_t r = 0; r < 4; r++) {
        assert_int_equal(jobs[r].rc, TRI_OK);
        assert_true(jobs[r].ok);
    }
    tri_comm_group_destroy(group);
}

/* ---- failure ---- */

static void *failing_rank(void *arg) {
    rank_job *job = arg;
    float x[100] = {0};
    for (int32_t round = 0; round < 10 && !job->rc; round++) {
        if (job->rank == 2 && round == 5) {
            tri_comm_abort(job->comm);
            job->rc = TRI_E_DEVICE;
        } else {
            job->rc = tri_comm_all_reduce(job->comm, x, 100);
        }
    }
    return NULL;
}

static void *mismatched_rank(void *arg) {
    rank_job *job = arg;
    float x[100] = {0};
    job->rc = tri_comm_all_reduce(job->comm, x, job->rank == 1 ? 99 : 100);
    return NULL;
}

static void *waiting_rank(void *arg) {
    rank_job *job = arg;
    float x[1] = {0};
    if (job->rank == 0)
        tri_comm_abort(job->comm);
    else
        job->rc = tri_comm_receive(job->comm, 0, x, 1);
    return NULL;
}

static void test_abort_releases_all(void **unused) {
    (void)unused;
    rank_job jobs[MAX_RANKS];
    tri_comm_group *group = make_group(4, 1);
    run_ranks(failing_rank, jobs, group, 4);
    for (int32_t r = 0; r < 4; r++) {
        assert_int_equal(jobs[r].rc, r == 2 ? TRI_E_DEVICE : TRI_E_CANCELLED);
    }
    assert_true(tri_comm_aborted(tri_comm_of_rank(group, 0)));
    float x = 0;
    assert_int_equal(tri_comm_all_reduce(tri_comm_of_rank(group, 0), &x, 1), TRI_E_CANCELLED);
    tri_comm_group_destroy(group);

    group = make_group(3, 1);
    run_ranks(mismatched_rank, jobs, group, 3);
    for (int32_t r = 0; r < 3; r++)
        assert_int_equal(jobs[r].rc, TRI_E_CANCELLED);
    tri_comm_group_destroy(group);

    group = make_group(1, 2);
    run_ranks(waiting_rank, jobs, group, 2);
    assert_int_equal(jobs[1].rc, TRI_E_CANCELLED);
    assert_int_equal(tri_comm_send(tri_comm_of_rank(group, 0), 1, &x, 1), TRI_E_CANCELLED);
    tri_comm_group_destroy(group);
}

static void test_limits(void **unused) {
    (void)unused;
    tri_error err = {0};
    tri_comm_group *group = NULL;
    assert_int_equal(tri_comm_group_create(&group, 0, 1, &err), TRI_E_ARGUMENT);
    assert_int_equal(tri_comm_group_create(&group, 1 << 20, 1 << 20, &err), TRI_E_ARGUMENT);
    assert_null(group);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_reduce),
        cmocka_unit_test(test_all_gather),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_abort_releases_all),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
