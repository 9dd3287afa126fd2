/* Collectives as launches: ranks with a device each, all in one process. */
#include <pthread.h>

#include "unit/kernels/lab.h"

#include "device/comm.h"

enum { MAX_RANKS = 4, ROWS = 5, COLUMNS = 37 };

typedef struct rank_case {
    tri_comm_group *group;
    const char *op;
    int32_t rank, n_ranks, stage, kept; /* kept: columns of all_gather's result */
    int64_t pad;                        /* floats between rows of operands */
    float x[ROWS * (COLUMNS + 8)], y[ROWS * (MAX_RANKS * COLUMNS + 8)];
    int64_t y_stride; /* floats */
    tri_status rc;
    bool dies; /* aborts instead of taking part */
} rank_case;

static float value(int32_t rank, int64_t i) {
    return tri_rng_normal((uint64_t)rank + 5, (uint64_t)i);
}

static tri_step *step_of_rows(void) {
    tri_step_shape shape = {.n_tokens = ROWS, .n_sequences = 1, .n_rows = 0, .n_position_axes = 1};
    int64_t n_bytes = tri_step_bytes(&shape);
    tri_step *step = tri_step_init(malloc((size_t)n_bytes), n_bytes, &shape);
    LAB_FIELD(step, int32_t, cu_seqlens)[1] = ROWS;
    LAB_FIELD(step, int32_t, context_lens)[0] = ROWS;
    return step;
}

/* One rank: its launch on its own device, submitted and completed. */
static void *run_rank(void *arg) {
    rank_case *c = arg;
    tri_error err = {0};
    tri_kernels *kernels = NULL;
    tri_device *device = NULL;
    tri_capture *capture = NULL;
    void *state = NULL;
    tri_comm *comm = tri_comm_of_rank(c->group, c->rank);
    if (c->dies) {
        tri_comm_abort(comm);
        return NULL;
    }
    tri_device_options options = {.kind = "cpu", .n_threads = 2};
    if (tri_kernels_create(&kernels, &err) || tri_device_create(&device, &options, &err)) abort();
    char name[48];
    (void)snprintf(name, sizeof name, "%s_threads", c->op);
    const tri_plugin_kernel *kernel = tri_kernels_find(kernels, name);
    bool sends = strcmp(c->op, "send") == 0, receives = strcmp(c->op, "receive") == 0;
    tri_plugin_type x = {
        .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, COLUMNS}, .layout = "row"};
    tri_plugin_type y = x;
    y.dims[1] = c->kept ? c->kept : COLUMNS;
    tri_plugin_field fields[] = {{.name = "n_ranks", .i = c->n_ranks},
        {.name = "to", .i = c->stage}, {.name = "from", .i = c->stage},
        {.name = "columns", .i = COLUMNS}};
    tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = c->op,
        .n_inputs = receives ? 0 : 1,
        .n_outputs = sends ? 0 : 1,
        .n_fields = 4,
        .inputs = &x,
        .outputs = &y,
        .fields = fields,
        .device = tri_device_facts(device),
        .max_tokens = ROWS};
    char reason[128];
    if (kernel->supports(&desc, reason, sizeof reason) || kernel->create(&desc, &state)) abort();
    tri_plugin_tensor tx = {c->x, (COLUMNS + c->pad) * 4}, ty = {c->y, c->y_stride * 4};
    tri_launch launch = {.kernel = kernel,
        .state = state,
        .inputs = &tx,
        .outputs = &ty,
        .n_inputs = desc.n_inputs,
        .n_outputs = desc.n_outputs};
    void *workspace = malloc((size_t)kernel->workspace_bytes(&desc));
    tri_launch_list list = {
        .launches = &launch, .n_launches = 1, .workspace = workspace, .comm = comm};
    if (tri_device_capture(device, &list, &capture, &err)) abort();
    tri_step *step = step_of_rows();
    c->rc = tri_device_submit(capture, step, &err);
    if (!c->rc) c->rc = tri_device_complete(capture, &err);
    tri_capture_destroy(capture);
    kernel->destroy(state);
    tri_device_destroy(device);
    tri_kernels_destroy(kernels);
    free(workspace);
    free(step);
    return NULL;
}

static void run_all(rank_case *cases, int32_t n) {
    pthread_t threads[MAX_RANKS];
    for (int32_t r = 0; r < n; r++) {
        assert_int_equal(pthread_create(&threads[r], NULL, run_rank, &cases[r]), 0);
    }
    for (int32_t r = 0; r < n; r++)
        pthread_join(threads[r], NULL);
}

static rank_case *make_cases(
    tri_comm_group *group, const char *op, int32_t n, int64_t pad, int64_t y_stride) {
    rank_case *cases = calloc(MAX_RANKS, sizeof *cases);
    assert_non_null(cases);
    for (int32_t r = 0; r < n; r++) {
        cases[r] = (rank_case){
            .group = group, .op = op, .rank = r, .n_ranks = n, .pad = pad, .y_stride = y_stride};
        for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
            cases[r].x[i / COLUMNS * (COLUMNS + pad) + i % COLUMNS] = value(r, i);
        }
    }
    return cases;
}

static tri_comm_group *make_group(int32_t tp_size, int32_t pp_size) {
    tri_comm_group *group = NULL;
    assert_ok(tri_comm_group_create(&group, tp_size, pp_size, err));
    return group;
}

static void test_all_reduce(void **unused) {
    (void)unused;
    for (int64_t pad = 0; pad <= 3; pad += 3) {
        tri_comm_group *group = make_group(3, 1);
        rank_case *cases = make_cases(group, "all_reduce", 3, pad, COLUMNS + pad);
        run_all(cases, 3);
        for (int32_t r = 0; r < 3; r++) {
            assert_int_equal(cases[r].rc, TRI_OK);
            for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
                float sum = value(0, i) + value(1, i) + value(2, i);
                float got = cases[r].y[i / COLUMNS * (COLUMNS + pad) + i % COLUMNS];
                assert_memory_equal(&sum, &got, sizeof sum);
            }
        }
        free(cases);
        tri_comm_group_destroy(group);
    }
}

static void test_all_gather(void **unused) {
    (void)unused;
    enum { N = 4, KEPT = N * COLUMNS - 6 };
    for (int64_t pad = 0; pad <= 3; pad += 3) {
        tri_comm_group *group = make_group(N, 1);
        rank_case *cases = make_cases(group, "all_gather", N, pad, KEPT + pad);
        for (int32_t r = 0; r < N; r++)
            cases[r].kept = KEPT;
        run_all(cases, N);
        for (int32_t r = 0; r < N; r++) {
            assert_int_equal(cases[r].rc, TRI_OK);
            for (int64_t i = 0; i < ROWS * KEPT; i++) {
                int64_t row = i / KEPT, column = i % KEPT;
                float expected =
                    value((int32_t)(column / COLUMNS), row * COLUMNS + column % COLUMNS);
                assert_true(cases[r].y[row * (KEPT + pad) + column] == expected);
            }
        }
        free(cases);
        tri_comm_group_destroy(group);
    }
}

static void test_stages(void **unused) {
    (void)unused;
    for (int64_t pad = 0; pad <= 3; pad += 3) {
        tri_comm_group *group = make_group(2, 2);
        rank_case *cases = make_cases(group, "send", 4, pad, COLUMNS + pad);
        for (int32_t r = 0; r < 4; r++) {
            cases[r].op = r < 2 ? "send" : "receive";
            cases[r].stage = r < 2 ? 1 : 0;
        }
        run_all(cases, 4);
        for (int32_t r = 0; r < 4; r++)
            assert_int_equal(cases[r].rc, TRI_OK);
        for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
            int64_t at = i / COLUMNS * (COLUMNS + pad) + i % COLUMNS;
            assert_true(cases[2].y[at] == value(0, i));
            assert_true(cases[3].y[at] == value(1, i));
        }
        free(cases);
        tri_comm_group_destroy(group);
    }
}

/* A rank that fails: the others' steps end, with the reason. */
static void test_failure_ends_the_step(void **unused) {
    (void)unused;
    tri_comm_group *group = make_group(3, 1);
    rank_case *cases = make_cases(group, "all_reduce", 3, 0, COLUMNS);
    cases[1].dies = true;
    run_all(cases, 3);
    assert_int_equal(cases[0].rc, TRI_E_CANCELLED);
    assert_int_equal(cases[2].rc, TRI_E_CANCELLED);
    free(cases);
    tri_comm_group_destroy(group);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_reduce),
        cmocka_unit_test(test_all_gather),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_failure_ends_the_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
