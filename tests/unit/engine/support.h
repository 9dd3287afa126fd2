/* support.h - engines in tests: building them in scratch directories, and running steps of all
 * their ranks as threads of one process.  Header only; include after cmocka.h. */
#ifndef TESTS_ENGINE_SUPPORT_H
#define TESTS_ENGINE_SUPPORT_H

#include <pthread.h>

#include "device/comm.h"
#include "device/device.h"
#include "engine/engine.h"
#include "support/golden.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        tri_error ok_err = {0};                                                                    \
        tri_error *err = &ok_err;                                                                  \
        if (call) fail_msg("%s:%d: %s", __FILE__, __LINE__, ok_err.message);                       \
    } while (0)

/* The call fails with this status and its message has each of the words. */
#define FAILS(status, call, ...)                                                                   \
    do {                                                                                           \
        tri_error fail_err = {0};                                                                  \
        tri_error *err = &fail_err;                                                                \
        const char *const fail_words[] = {__VA_ARGS__};                                            \
        tri_status fail_rc = (call);                                                               \
        if (fail_rc != (status))                                                                   \
            fail_msg("%s:%d: %s is due, not %s (%s)", __FILE__, __LINE__, tri_status_name(status), \
                tri_status_name(fail_rc), fail_err.message);                                       \
        for (size_t fail_i = 0; fail_i < sizeof fail_words / sizeof *fail_words; fail_i++) {       \
            if (!strstr(fail_err.message, fail_words[fail_i]))                                     \
                fail_msg("%s:%d: '%s' is not in '%s'", __FILE__, __LINE__, fail_words[fail_i],     \
                    fail_err.message);                                                             \
        }                                                                                          \
    } while (0)

typedef struct scratch {
    char path[512];
} scratch;

/* A path under the build directory that nothing is at; its parent exists. */
static inline scratch scratch_dir(const char *name) {
    scratch s;
    (void)snprintf(s.path, sizeof s.path, "%s/scratch/engine", TRI_BUILD_DIR);
    OK(tri_path_make_dirs(s.path, err));
    (void)snprintf(s.path, sizeof s.path, "%s/scratch/engine/%s", TRI_BUILD_DIR, name);
    if (tri_path_exists(s.path)) OK(tri_path_remove_tree(s.path, err));
    return s;
}

static inline scratch golden_path(const char *name) {
    scratch s;
    (void)snprintf(s.path, sizeof s.path, "%s/golden/%s", TRI_TESTS_DIR, name);
    return s;
}

/* ---- running ---- */

typedef struct runner_rank {
    struct runner *runner;
    int32_t index;
    tri_device *device;
    tri_plan *plan;
    pthread_t thread;
    tri_status status;
    tri_error error;
} runner_rank;

/* An engine with a plan for each rank. */
typedef struct runner {
    tri_engine *engine;
    tri_engine_info info;
    tri_graph groups; /* the engine's groups, as golden_step wants them */
    tri_comm_group *comm;
    int32_t n_ranks;
    runner_rank ranks[8];
    const tri_step *step;
    tri_plan_limits limits;
} runner;

static inline void runner_limits(runner *r) {
    tri_plan_group groups[TRI_MAX_GROUPS];
    int32_t n = tri_engine_groups(r->engine, groups);
    r->limits = (tri_plan_limits){.max_tokens = 512,
        .max_sequences = GOLDEN_SLOTS,
        .max_rows = 512,
        .max_seq_len = GOLDEN_MAX_LEN};
    r->groups.n_groups = n;
    for (int32_t i = 0; i < n; i++) {
        r->groups.groups[i] =
            (tri_group){.kind = groups[i].recurrent ? TRI_GROUP_RECURRENT : TRI_GROUP_FULL,
                .tokens_per_block = groups[i].tokens_per_block};
        int32_t max_blocks = golden_max_blocks(&r->groups.groups[i]);
        r->limits.n_blocks[i] = (max_blocks ? max_blocks : 1) * GOLDEN_SLOTS;
    }
}

static inline void *runner_create_plan(void *arg) {
    runner_rank *k = arg;
    runner *r = k->runner;
    tri_comm *comm = r->comm ? tri_comm_of_rank(r->comm, k->index) : NULL;
    k->status =
        tri_plan_create(&k->plan, r->engine, k->index, k->device, comm, &r->limits, &k->error);
    return NULL;
}

/* kind: "cpu" or "null"; takes the engine over. */
static inline void runner_init(runner *r, tri_engine *engine, const char *kind) {
    *r = (runner){.engine = engine};
    tri_engine_get_info(engine, &r->info);
    r->n_ranks = r->info.tp_size * r->info.pp_size;
    assert_true(r->n_ranks <= 8);
    runner_limits(r);
    if (r->n_ranks > 1) OK(tri_comm_group_create(&r->comm, r->info.tp_size, r->info.pp_size, err));
    for (int32_t i = 0; i < r->n_ranks; i++) {
        const tri_device_options options = {.kind = kind,
            .n_threads = r->n_ranks > 1 ? 1 : 2,
            .isa = strcmp(kind, "cpu") == 0 ? r->info.isa : NULL};
        r->ranks[i].runner = r;
        r->ranks[i].index = i;
        OK(tri_device_create(&r->ranks[i].device, &options, err));
        runner_create_plan(&r->ranks[i]);
        golden_ok(r->ranks[i].status, &r->ranks[i].error);
    }
}

static inline void runner_deinit(runner *r) {
    for (int32_t i = 0; i < r->n_ranks; i++) {
        tri_plan_destroy(r->ranks[i].plan);
        tri_device_destroy(r->ranks[i].device);
    }
    tri_comm_group_destroy(r->comm);
    tri_engine_close(r->engine);
}

static inline void runner_open_with(
    runner *r, const char *dir, const tri_engine_options *options, const char *kind) {
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, dir, options, err));
    runner_init(r, engine, kind);
}

static inline void runner_open(runner *r, const char *dir) {
    const tri_engine_options options = {.struct_size = sizeof options, .verify_weights = true};
    runner_open_with(r, dir, &options, "cpu");
}

static inline void *runner_run_rank(void *arg) {
    runner_rank *k = arg;
    k->status = tri_plan_submit(k->plan, k->runner->step, &k->error);
    if (!k->status) k->status = tri_plan_complete(k->plan, &k->error);
    if (k->status && k->runner->comm) tri_comm_abort(tri_comm_of_rank(k->runner->comm, k->index));
    return NULL;
}

static inline tri_plan *runner_head(runner *r) {
    return r->ranks[r->n_ranks - r->info.tp_size].plan;
}

/* Runs one step on all ranks; logits of the head. */
static inline const float *runner_run(runner *r, const tri_step *step) {
    r->step = step;
    for (int32_t i = 1; i < r->n_ranks; i++)
        assert_int_equal(
            pthread_create(&r->ranks[i].thread, NULL, runner_run_rank, &r->ranks[i]), 0);
    runner_run_rank(&r->ranks[0]);
    for (int32_t i = 1; i < r->n_ranks; i++)
        pthread_join(r->ranks[i].thread, NULL);
    for (int32_t i = 0; i < r->n_ranks; i++)
        golden_ok(r->ranks[i].status, &r->ranks[i].error);
    const float *logits;
    OK(tri_plan_read_logits(runner_head(r), &logits, err));
    return logits;
}

/* The sequences in one step, logits of every token copied: free it. */
static inline float *runner_logits(runner *r, const golden_sequence *s, int32_t n) {
    tri_step *step = golden_step(&r->groups, s, n, GOLDEN_ALL_ROWS);
    const float *logits = runner_run(r, step);
    size_t bytes = (size_t)step->n_rows * (size_t)r->info.vocab_size * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    memcpy(copy, logits, bytes);
    free(step);
    return copy;
}

/* ---- building ---- */

static inline tri_build_options build_options(const char *model, const char *output) {
    return (tri_build_options){.struct_size = sizeof(tri_build_options),
        .model_dir = model,
        .output_dir = output,
        .max_seq_len = GOLDEN_MAX_LEN,
        .tokens_per_block = 4,
        .n_threads = 2};
}

#endif
