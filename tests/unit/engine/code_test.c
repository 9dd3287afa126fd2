/* Programs of launches: told by Trireme's own CUDA kernels, kept once each, never asked of a
 * plugin's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "device/cuda/queue.h"
#include "engine/code.h"
#include "kernels/cuda/program.h"

static int n_called;

static void plugin_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    (void)launch;
    n_called++;
}

/* Tells one program, by the columns that its state says. */
static void own_launch(void *state, const tri_plugin_launch *launch) {
    tri_cuda_queue *queue = launch->team;
    assert_true(queue->preparing);
    tri_cuda_program program = {.entry = "rms_norm"};
    tri_cuda_define(&program, "P_COLUMNS", *(const int *)state);
    queue->collect(queue->collect_user, &program);
    n_called++;
}

static void test_collecting(void **unused) {
    (void)unused;
    const tri_plugin_kernel own = {.struct_size = sizeof own,
        .op = "x",
        .name = "own",
        .device = "cuda",
        .launch = own_launch,
        .prepares = true};
    const tri_plugin_kernel plugin = {.struct_size = sizeof plugin,
        .op = "x",
        .name = "plugin",
        .device = "cuda",
        .launch = plugin_launch};
    tri_plugin_kernel older = plugin; /* compiled against a struct that ended before */
    older.struct_size = offsetof(tri_plugin_kernel, prepares);
    older.prepares = true;
    int columns[] = {64, 128, 64};
    tri_error err = {0};
    tri_code code;
    tri_code_init(&code, "sm_90a");
    for (int i = 0; i < 3; i++)
        assert_int_equal(tri_code_add(&code, &own, &columns[i], &err), TRI_OK);
    assert_int_equal(code.n_items, 2);
    assert_int_equal(n_called, 3);
    assert_int_equal(tri_code_add(&code, &plugin, NULL, &err), TRI_OK);
    assert_int_equal(tri_code_add(&code, &older, NULL, &err), TRI_OK);
    assert_int_equal(code.n_items, 2);
    assert_int_equal(n_called, 3);
    tri_code_deinit(&code);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_collecting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
