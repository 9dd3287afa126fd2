/* Launch lists on the CPU and null devices, with toy kernels whose results can be written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/cpu/isa.h"
#include "device/device.h"

static tri_device *open_device(const char *kind, int32_t n_threads) {
    tri_error err = {0};
    tri_device *device = NULL;
    tri_device_options options = {.kind = kind, .n_threads = n_threads};
    assert_int_equal(tri_device_create(&device, &options, &err), TRI_OK);
    return device;
}

/* ---- toy kernels ---- */

/* y[t] = 2 x[t] + position[t], tokens dealt to threads in turn. */
static void twice_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    const int32_t *x = launch->inputs[0].data;
    int32_t *y = launch->outputs[0].data;
    for (int32_t t = launch->thread; t < launch->step->extents.n_tokens; t += launch->n_threads) {
        y[t] = 2 * x[t] + launch->step->positions[t];
    }
}

/* Reverses the tokens, so that each thread reads what another wrote in the launch before. */
static void reverse_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    const int32_t *x = launch->inputs[0].data;
    int32_t *y = launch->outputs[0].data;
    int32_t n = launch->step->extents.n_tokens;
    for (int32_t t = launch->thread; t < n; t += launch->n_threads)
        y[t] = x[n - 1 - t];
}

/* Two phases with a barrier: each thread counts its tokens in workspace, then all add them up. */
static void count_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    int32_t *counts = launch->workspace;
    int32_t n = launch->step->extents.n_tokens, mine = 0, sum = 0;
    for (int32_t t = launch->thread; t < n; t += launch->n_threads)
        mine++;
    counts[launch->thread] = mine;
    launch->barrier(launch->team);
    for (int32_t i = 0; i < launch->n_threads; i++)
        sum += counts[i];
    int32_t *y = launch->outputs[0].data;
    if (launch->thread == launch->n_threads - 1) y[0] = sum;
}

/* Writes what the step gave to the cache and state operands. */
static void look_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    int32_t *y = launch->outputs[0].data;
    if (launch->thread) return;
    const tri_plugin_cache *cache = launch->caches[1];
    const tri_plugin_state *slots = launch->states[0];
    y[0] = cache->block_tables[cache->max_blocks + 1]; /* sequence 1, block 1 */
    y[1] = cache->max_blocks;
    y[2] = slots->slots[1];
    y[3] = (int32_t)launch->step->extents.n_context_tokens;
    y[4] = launch->step->context_lens[0];
    y[5] = (int32_t)launch->step->masks[0];
}

static const tri_plugin_kernel twice = {
    .op = "twice", .name = "twice", .device = "cpu", .isa = "", .launch = twice_launch};
static const tri_plugin_kernel reverse = {
    .op = "reverse", .name = "reverse", .device = "cpu", .isa = "", .launch = reverse_launch};
static const tri_plugin_kernel count = {
    .op = "count", .name = "count", .device = "cpu", .isa = "", .launch = count_launch};
static const tri_plugin_kernel look = {
    .op = "look", .name = "look", .device = "cpu", .isa = "", .launch = look_launch};
static const tri_plugin_kernel other = {
    .op = "look", .name = "other", .device = "cuda", .isa = "sm_80", .launch = look_launch};

/* A step of two sequences with 3 and n - 3 tokens at positions 10 and 20. */
static tri_step *make_step(int32_t n_tokens) {
    tri_step_shape shape = {.n_tokens = n_tokens,
        .n_sequences = 2,
        .n_rows = 1,
        .n_groups = 2,
        .n_position_axes = 1,
        .max_blocks = {4, 0}};
    int64_t n_bytes = tri_step_bytes(&shape);
    tri_step *step = tri_step_init(malloc((size_t)n_bytes), n_bytes, &shape);
    int32_t *positions = (int32_t *)TRI_STEP_I32(step, positions);
    int32_t *context_lens = (int32_t *)TRI_STEP_I32(step, context_lens);
    int32_t *cu_seqlens = (int32_t *)TRI_STEP_I32(step, cu_seqlens);
    for (int32_t t = 0; t < n_tokens; t++)
        positions[t] = t < 3 ? 10 + t : 20 + t - 3;
    context_lens[0] = 13;
    context_lens[1] = 20 + n_tokens - 3;
    cu_seqlens[1] = 3;
    cu_seqlens[2] = n_tokens;
    ((int32_t *)tri_step_block_table(step, 0, 1))[1] = 77;
    ((int32_t *)tri_step_at(step, step->groups[1].state_slots))[1] = 5;
    return step;
}

/* ---- memory ---- */

static void test_memory(void **unused) {
    (void)unused;
    static const char *const kinds[] = {"cpu", "null"};
    for (int32_t k = 0; k < 2; k++) {
        tri_device *device = open_device(kinds[k], 1);
        tri_error err = {0};
        uint8_t *a = NULL, *b = NULL;
        assert_int_equal(tri_device_alloc(device, 5000, (void **)&a, &err), TRI_OK);
        assert_int_equal(tri_device_alloc(device, 0, (void **)&b, &err), TRI_OK);
        assert_true(a != b);
        assert_int_equal((uintptr_t)a % 4096, 0);
        for (int32_t i = 0; i < 5000; i++)
            assert_int_equal(a[i], 0);
        assert_int_equal(tri_device_get_counters(device)->reserved_bytes, 8192 + 4096);

        assert_int_equal(tri_device_upload(device, a, "rowing", 7, &err), TRI_OK);
        char text[7];
        assert_int_equal(tri_device_download(device, text, a, 7, &err), TRI_OK);
        assert_string_equal(text, "rowing");
        void *adopted = NULL;
        assert_int_equal(tri_device_adopt(device, text, 7, &adopted, &err), TRI_OK);
        assert_ptr_equal(adopted, text);

        tri_device_free(device, a);
        assert_int_equal(tri_device_get_counters(device)->reserved_bytes, 4096);
        assert_int_equal(tri_device_get_counters(device)->peak_reserved_bytes, 8192 + 4096);
        assert_int_equal(tri_device_alloc(device, -1, (void **)&a, &err), TRI_E_ARGUMENT);
        assert_int_equal(tri_device_alloc(device, INT64_MAX, (void **)&a, &err), TRI_E_MEMORY);
        tri_device_destroy(device); /* frees b */
    }
}

static void test_null_reserves_more_than_the_machine_has(void **unused) {
    (void)unused;
    tri_device *device = open_device("null", 1);
    tri_error err = {0};
    void *memory[4];
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(tri_device_alloc(device, (int64_t)64 << 30, &memory[i], &err), TRI_OK);
    }
    assert_int_equal(tri_device_get_counters(device)->reserved_bytes, (int64_t)256 << 30);
    tri_device_destroy(device);
}

/* ---- launch lists ---- */

static void test_launches_in_order(void **unused) {
    (void)unused;
    enum { N = 37 };
    for (int32_t n_threads = 1; n_threads <= 4; n_threads++) {
        tri_device *device = open_device("cpu", n_threads);
        tri_error err = {0};
        int32_t x[N], y[N], z[N], n_counted = 0, workspace[8];
        for (int32_t i = 0; i < N; i++)
            x[i] = i * i;
        tri_plugin_tensor tx = {x, 4}, ty = {y, 4}, tz = {z, 4}, tn = {&n_counted, 4};
        tri_launch launches[] = {
            {.kernel = &twice, .inputs = &tx, .outputs = &ty, .n_inputs = 1, .n_outputs = 1},
            {.kernel = &reverse, .inputs = &ty, .outputs = &tz, .n_inputs = 1, .n_outputs = 1},
            {.kernel = &twice, .inputs = &tz, .outputs = &tx, .n_inputs = 1, .n_outputs = 1},
            {.kernel = &count, .outputs = &tn, .n_outputs = 1},
        };
        tri_launch_list list = {.launches = launches, .n_launches = 4, .workspace = workspace};
        tri_capture *capture = NULL;
        assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_OK);
        tri_step *step = make_step(N);
        const int32_t *positions = TRI_STEP_I32(step, positions);
        int32_t expected[N];
        for (int32_t i = 0; i < N; i++) {
            int32_t j = N - 1 - i;
            expected[i] = 2 * (2 * j * j + positions[j]) + positions[i];
        }
        assert_int_equal(tri_device_submit(capture, step, &err), TRI_OK);
        assert_int_equal(tri_device_complete(capture, &err), TRI_OK);
        assert_memory_equal(x, expected, sizeof x);
        assert_int_equal(n_counted, N);
        assert_int_equal(tri_device_get_counters(device)->n_launches, 4);
        assert_int_equal(tri_device_get_counters(device)->n_captures, 1);
        assert_int_equal(tri_device_complete(capture, &err), TRI_E_ARGUMENT); /* nothing queued */
        tri_capture_destroy(capture);
        tri_device_destroy(device);
        free(step);
    }
}

static void test_queue(void **unused) {
    (void)unused;
    /* x becomes 2 x + position 10 at each step: after three steps 8 x + 70. */
    tri_device *device = open_device("cpu", 2);
    tri_error err = {0};
    int32_t x[3] = {1, 2, 3};
    tri_plugin_tensor tx = {x, 4};
    tri_launch launch = {
        .kernel = &twice, .inputs = &tx, .outputs = &tx, .n_inputs = 1, .n_outputs = 1};
    tri_launch_list list = {.launches = &launch, .n_launches = 1, .max_step_bytes = 64};
    tri_capture *capture = NULL;
    assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_OK);
    tri_step *step = make_step(3);
    for (int32_t i = 0; i < 3; i++) {
        assert_int_equal(tri_device_submit(capture, step, &err), TRI_OK);
    }
    memset(step, 0xFF, step->n_bytes); /* the bytes were copied */
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(tri_device_complete(capture, &err), TRI_OK);
    int32_t expected[3] = {8 + 70, 16 + 77, 24 + 84};
    assert_memory_equal(x, expected, sizeof x);
    free(step);

    step = make_step(3);
    tri_status rc = TRI_OK;
    int32_t n = 0;
    while ((rc = tri_device_submit(capture, step, &err)) == TRI_OK)
        n++;
    assert_int_equal(rc, TRI_E_BUSY);
    assert_true(n >= 2);
    tri_capture_destroy(capture); /* waits for what is queued */
    tri_device_destroy(device);
    free(step);
}

static void test_step_structure(void **unused) {
    (void)unused;
    tri_device *device = open_device("cpu", 2);
    tri_error err = {0};
    int32_t y[6] = {0};
    uint32_t mask = 0x8001;
    tri_plugin_tensor inputs[2] = {0}, ty = {y, 4};
    tri_plugin_cache cache = {.n_blocks = 9};
    tri_plugin_state state = {.n_slots = 9};
    const tri_plugin_cache *caches[2] = {NULL, &cache};
    const tri_plugin_state *states[2] = {&state, NULL};
    int32_t groups[2] = {1, 0};
    tri_launch launch = {.kernel = &look,
        .inputs = inputs,
        .outputs = &ty,
        .n_inputs = 2,
        .n_outputs = 1,
        .caches = caches,
        .states = states,
        .cache_groups = groups,
        .name = "look"};
    tri_launch_list list = {.launches = &launch,
        .n_launches = 1,
        .masks = &mask,
        .n_mask_slots = 1,
        .mask_stride_words = 1};
    tri_capture *capture = NULL;
    assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_OK);
    tri_step *step = make_step(5);
    assert_int_equal(tri_device_submit(capture, step, &err), TRI_OK);
    assert_int_equal(tri_device_complete(capture, &err), TRI_OK);
    int32_t expected[6] = {77, 4, 5, 13 + 22, 13, 0x8001};
    assert_memory_equal(y, expected, sizeof y);

    int64_t ns = 0;
    tri_device_set_profile(capture, &ns);
    assert_int_equal(tri_device_submit(capture, step, &err), TRI_OK);
    assert_int_equal(tri_device_complete(capture, &err), TRI_OK);
    tri_device_set_profile(capture, NULL);
    assert_true(ns > 0);

    step->n_groups = 1; /* the list uses group 1 */
    assert_int_equal(tri_device_submit(capture, step, &err), TRI_E_ARGUMENT);
    tri_capture_destroy(capture);

    groups[0] = -1; /* a state must be in a group */
    assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_E_ARGUMENT);
    groups[0] = 1;
    launch.kernel = &other;
    assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_E_DEVICE);
    tri_device_destroy(device);

    /* The null device takes any device's kernels, counts them and leaves memory alone. */
    tri_device *null = open_device("null", 3);
    memset(y, 0, sizeof y);
    step->n_groups = 2;
    assert_int_equal(tri_device_capture(null, &list, &capture, &err), TRI_OK);
    assert_int_equal(tri_device_submit(capture, step, &err), TRI_OK);
    assert_int_equal(tri_device_complete(capture, &err), TRI_OK);
    assert_int_equal(y[0], 0);
    assert_int_equal(tri_device_get_counters(null)->n_submits, 1);
    assert_int_equal(tri_device_get_counters(null)->n_launches, 1);
    assert_int_equal(tri_device_facts(null)->n_threads, 3);
    tri_capture_destroy(capture);
    tri_device_destroy(null);
    free(step);
}

/* ---- facts ---- */

static void test_isa(void **unused) {
    (void)unused;
    tri_error err = {0};
    tri_device *device = NULL;
    tri_device_options options = {.kind = "cpu", .n_threads = 1, .isa = "generic"};
    assert_int_equal(tri_device_create(&device, &options, &err), TRI_OK);
    assert_string_equal(tri_device_facts(device)->arch, "");
    tri_device_destroy(device);

    options.isa = "amx"; /* a cap, not a demand */
    assert_int_equal(tri_device_create(&device, &options, &err), TRI_OK);
    assert_string_equal(tri_device_facts(device)->arch, tri_cpu_isa_name(tri_cpu_isa_detect()));
    assert_int_equal(tri_device_facts(device)->n_threads, 1);
    tri_device_destroy(device);

    options.isa = "avx9";
    assert_int_equal(tri_device_create(&device, &options, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "avx9"));
    options = (tri_device_options){.kind = "tpu"};
    assert_int_equal(tri_device_create(&device, &options, &err), TRI_E_UNSUPPORTED);
    options = (tri_device_options){.kind = "cpu", .n_threads = -1};
    assert_int_equal(tri_device_create(&device, &options, &err), TRI_E_ARGUMENT);

    assert_true(tri_cpu_isa_rank("") == 0 && tri_cpu_isa_rank("generic") == 0);
    assert_true(tri_cpu_isa_rank("avx2") < tri_cpu_isa_rank("avx512"));
    assert_true(tri_cpu_isa_rank("avx512") < tri_cpu_isa_rank("amx"));
    assert_int_equal(tri_cpu_isa_rank("sm_80"), -1);
#if defined(__x86_64__)
    if (tri_cpu_isa_detect() >= tri_cpu_isa_rank("avx2")) {
        assert_true(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    } else {
        assert_false(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    }
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_null_reserves_more_than_the_machine_has),
        cmocka_unit_test(test_launches_in_order),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_step_structure),
        cmocka_unit_test(test_isa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
