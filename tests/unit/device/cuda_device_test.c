/* A CUDA device: copies, launch lists run directly and as graphs, profiles, two devices at once,
 * errors. Skips where there is no GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/cuda/nvrtc.h"
#include "device/cuda/queue.h"
#include "device/device.h"

static tri_device *open_device(void) {
    tri_device *device = NULL;
    if (tri_device_create(&device, &(tri_device_options){.kind = "cuda"}, NULL)) skip();
    return device;
}

static void must(tri_status rc, const tri_error *err) {
    if (rc) fail_msg("%s", err->message);
}

/* ---- memory ---- */

static void test_copies(void **unused) {
    (void)unused;
    tri_device *device = open_device();
    tri_error err = {0};
    static const int64_t sizes[] = {1, 4097, (8 << 20) - 1, 3 * (8 << 20) + 5}; /* staging: 8 MB */
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        int64_t n = sizes[s];
        uint8_t *from = malloc((size_t)n), *to = malloc((size_t)n);
        void *memory = NULL, *adopted = NULL;
        for (int64_t i = 0; i < n; i++)
            from[i] = (uint8_t)((uint64_t)i * 2654435761u >> 13);
        must(tri_device_alloc(device, n, &memory, &err), &err);
        must(tri_device_download(device, to, memory, n, &err), &err);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(to[i], 0);
        must(tri_device_upload(device, memory, from, n, &err), &err);
        memset(to, 0xee, (size_t)n);
        must(tri_device_download(device, to, memory, n, &err), &err);
        assert_memory_equal(to, from, (size_t)n);
        must(tri_device_adopt(device, from, n, &adopted, &err), &err);
        memset(to, 0xee, (size_t)n);
        must(tri_device_download(device, to, adopted, n, &err), &err);
        assert_memory_equal(to, from, (size_t)n);
        assert_int_equal(tri_device_get_counters(device)->reserved_bytes, 2 * n);
        tri_device_release(device, adopted);
        tri_device_free(device, memory);
        assert_int_equal(tri_device_get_counters(device)->reserved_bytes, 0);
        free(from);
        free(to);
    }
    void *memory = NULL;
    assert_int_equal(tri_device_alloc(device, INT64_C(1) << 50, &memory, &err), TRI_E_MEMORY);
    assert_non_null(strstr(err.message, "are free"));
    must(tri_device_alloc(device, 16, &memory, &err), &err); /* a full device is no broken one */
    tri_device_destroy(device);
}

/* ---- launches ---- */

/* y[t] = factor x[t] + position[t], and one block more that sums the context lengths into y[T]. */
static const char source[] =
    "typedef struct { const int *x, *positions, *lens; int *y; int n, n_sequences; } arguments;\n"
    "extern \"C\" __global__ void scale(const __grid_constant__ arguments a) {\n"
    "    asm volatile(\"griddepcontrol.launch_dependents;\" ::: \"memory\");\n"
    "    asm volatile(\"griddepcontrol.wait;\" ::: \"memory\");\n"
    "    int t = threadIdx.x, sum = 0;\n"
    "    if (t < a.n) a.y[t] = FACTOR * a.x[t] + a.positions[t];\n"
    "    for (int s = 0; s < a.n_sequences; s++) sum += a.lens[s];\n"
    "    if (t == a.n) a.y[t] = sum;\n"
    "}\n";

typedef struct scale_arguments {
    const void *x, *positions, *lens;
    void *y;
    int32_t n, n_sequences;
} scale_arguments;

typedef struct scale_state {
    const char *defines, *key;
    tri_cu_function function;
    int32_t n_calls; /* that enqueued */
} scale_state;

static tri_status compile(
    const void *what, const char *arch, uint8_t **cubin, int64_t *n_bytes, tri_error *err) {
    const tri_nvrtc_source s = {.name = "scale.cu", .text = source, .defines = what};
    return tri_nvrtc_compile(&s, arch, cubin, n_bytes, err);
}

static void scale_launch(void *state, const tri_plugin_launch *launch) {
    scale_state *s = state;
    tri_cuda_queue *queue = launch->team;
    if (queue->preparing) {
        queue->status = tri_cuda_modules_find(
            queue->modules, s->key, "scale", 0, compile, s->defines, &s->function, &queue->error);
        return;
    }
    const tri_plugin_step *step = launch->step;
    const scale_arguments a = {.x = launch->inputs[0].data,
        .positions = step->positions,
        .lens = step->context_lens,
        .y = launch->outputs[0].data,
        .n = step->extents.n_tokens,
        .n_sequences = step->extents.n_sequences};
    tri_cuda_enqueue(queue, s->function, &(tri_cuda_grid){1, 1, 128, 0}, &a);
    s->n_calls++;
}

static const tri_plugin_kernel scale_kernel = {.struct_size = sizeof(tri_plugin_kernel),
    .op = "scale",
    .name = "scale",
    .device = "cuda",
    .isa = "sm_80",
    .launch = scale_launch,
    .graph_capture_safe = true,
    .prepares = true};

enum { MAX_TOKENS = 100 };

static tri_step *make_step(int32_t n_tokens, int32_t seed) {
    tri_step_shape shape = {
        .n_tokens = n_tokens, .n_sequences = 2, .n_rows = 1, .n_position_axes = 1};
    int64_t n_bytes = tri_step_bytes(&shape);
    tri_step *step = tri_step_init(malloc((size_t)n_bytes), n_bytes, &shape);
    step->id = (uint64_t)seed;
    for (int32_t t = 0; t < n_tokens; t++)
        ((int32_t *)(uintptr_t)TRI_STEP_I32(step, positions))[t] = seed + t;
    ((int32_t *)(uintptr_t)TRI_STEP_I32(step, context_lens))[0] = seed;
    ((int32_t *)(uintptr_t)TRI_STEP_I32(step, context_lens))[1] = 7;
    return step;
}

typedef struct chain { /* x -> 3x + p -> 5(3x + p) + p */
    tri_device *device;
    int32_t *memory; /* three rows of MAX_TOKENS + 1 */
    scale_state states[2];
    tri_capture *capture;
} chain;

static void open_chain(chain *c) {
    tri_error err = {0};
    void *memory;
    *c = (chain){.device = open_device(),
        .states = {
            {.defines = "FACTOR=3", .key = "scale-3"}, {.defines = "FACTOR=5", .key = "scale-5"}}};
    int32_t x[MAX_TOKENS + 1];
    for (int32_t i = 0; i <= MAX_TOKENS; i++)
        x[i] = 11 * i;
    must(tri_device_alloc(c->device, 3 * sizeof x, &memory, &err), &err);
    must(tri_device_upload(c->device, memory, x, sizeof x, &err), &err);
    c->memory = memory;
    tri_plugin_tensor rows[3];
    for (int32_t i = 0; i < 3; i++)
        rows[i].data = c->memory + i * (MAX_TOKENS + 1);
    const tri_launch launches[2] = {{.kernel = &scale_kernel,
                                        .state = &c->states[0],
                                        .inputs = &rows[0],
                                        .outputs = &rows[1],
                                        .n_inputs = 1,
                                        .n_outputs = 1,
                                        .name = "first"},
        {.kernel = &scale_kernel,
            .state = &c->states[1],
            .inputs = &rows[1],
            .outputs = &rows[2],
            .n_inputs = 1,
            .n_outputs = 1,
            .name = "second"}};
    static tri_plugin_tensor kept[2][3]; /* tensors are borrowed by the list */
    static int32_t n_open;
    memcpy(kept[n_open % 2], rows, sizeof rows);
    tri_launch bound[2] = {launches[0], launches[1]};
    bound[0].inputs = &kept[n_open % 2][0];
    bound[0].outputs = bound[1].inputs = &kept[n_open % 2][1];
    bound[1].outputs = &kept[n_open % 2][2];
    n_open++;
    const tri_launch_list list = {.launches = bound, .n_launches = 2, .max_step_bytes = 1 << 16};
    must(tri_device_capture(c->device, &list, &c->capture, &err), &err);
}

static void check_result(const chain *c, int32_t n_tokens, int32_t seed) {
    tri_error err = {0};
    int32_t y[MAX_TOKENS + 1];
    must(tri_device_download(c->device, y, c->memory + 2 * (MAX_TOKENS + 1), sizeof y, &err), &err);
    for (int32_t t = 0; t < n_tokens; t++)
        assert_int_equal(y[t], 5 * (33 * t + seed + t) + seed + t);
    assert_int_equal(y[n_tokens], seed + 7);
}

static void run_step(chain *c, int32_t n_tokens, int32_t seed) {
    tri_error err = {0};
    tri_step *step = make_step(n_tokens, seed);
    must(tri_device_submit(c->capture, step, &err), &err);
    free(step);
    must(tri_device_complete(c->capture, &err), &err);
    check_result(c, n_tokens, seed);
}

static void close_chain(chain *c) {
    tri_capture_destroy(c->capture);
    tri_device_destroy(c->device);
}

static void test_graphs(void **unused) {
    (void)unused;
    chain c;
    open_chain(&c);
    run_step(&c, 40, 1);
    assert_int_equal(c.states[0].n_calls, 1);
    run_step(&c, 40, 2); /* seen again: launched, then captured */
    assert_int_equal(c.states[0].n_calls, 3);
    for (int32_t i = 3; i < 9; i++) {
        run_step(&c, 40, i); /* the graph, with other bytes */
        assert_int_equal(c.states[0].n_calls, 3);
    }
    run_step(&c, 41, 1);
    assert_int_equal(c.states[0].n_calls, 4);
    for (int32_t n = 1; n < MAX_TOKENS; n++) { /* many kinds */
        run_step(&c, n, n);
        run_step(&c, n, n + 1);
        run_step(&c, n, n + 2);
    }
    assert_int_equal(tri_device_get_counters(c.device)->n_captures, 1);
    close_chain(&c);
}

/* Steps queue behind each other; the slots are bounded. */
static void test_queue(void **unused) {
    (void)unused;
    chain c;
    open_chain(&c);
    tri_error err = {0};
    int32_t n = 0;
    for (tri_status rc = TRI_OK; !rc; n++) {
        tri_step *step = make_step(20, n);
        rc = tri_device_submit(c.capture, step, &err);
        free(step);
        if (rc) {
            assert_int_equal(rc, TRI_E_BUSY);
            break;
        }
    }
    assert_int_equal(n, 4);
    for (int32_t i = 0; i < n; i++)
        must(tri_device_complete(c.capture, &err), &err);
    check_result(&c, 20, n - 1);
    assert_int_equal(tri_device_complete(c.capture, &err), TRI_E_ARGUMENT);
    close_chain(&c);
}

static void test_profile(void **unused) {
    (void)unused;
    chain c;
    open_chain(&c);
    int64_t ns[2] = {0};
    tri_device_set_profile(c.capture, ns);
    run_step(&c, 30, 1);
    run_step(&c, 30, 2);
    run_step(&c, 30, 3);
    assert_true(ns[0] > 0 && ns[1] > 0 && ns[0] < 1000000000 && ns[1] < 1000000000);
    assert_int_equal(c.states[0].n_calls, 3); /* no graph */
    tri_device_set_profile(c.capture, NULL);
    run_step(&c, 30, 4);
    close_chain(&c);
}

static void test_two_devices(void **unused) {
    (void)unused;
    chain a, b;
    open_chain(&a);
    open_chain(&b);
    for (int32_t i = 1; i < 5; i++) {
        run_step(&a, 10, i);
        run_step(&b, 10 + i, 3 * i);
    }
    close_chain(&a);
    run_step(&b, 10, 99);
    close_chain(&b);
}

static void nothing_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    (void)launch;
}

static void test_refusals(void **unused) {
    (void)unused;
    tri_device *device = open_device();
    tri_error err = {0};
    static const struct {
        const char *device, *isa;
    } wrong[] = {{"cpu", ""}, {"cuda", "sm_99"}, {"cuda", "sm_80a"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const tri_plugin_kernel kernel = {.op = "x",
            .name = "x",
            .device = wrong[i].device,
            .isa = wrong[i].isa,
            .launch = nothing_launch};
        const tri_launch launch = {.kernel = &kernel};
        tri_capture *capture = NULL;
        const tri_launch_list list = {.launches = &launch, .n_launches = 1};
        assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_E_DEVICE);
        assert_non_null(strstr(err.message, "this device is cuda"));
    }
    scale_state broken = {.defines = "FACTOR=no_such_name", .key = "scale-broken"};
    const tri_launch launch = {.kernel = &scale_kernel, .state = &broken, .name = "broken"};
    const tri_launch_list list = {.launches = &launch, .n_launches = 1};
    tri_capture *capture = NULL;
    assert_int_equal(tri_device_capture(device, &list, &capture, &err), TRI_E_INTERNAL);
    assert_non_null(strstr(err.message, "no_such_name"));
    tri_device *other = NULL;
    const tri_device_options far = {.kind = "cuda", .index = 77};
    assert_int_equal(tri_device_create(&other, &far, &err), TRI_E_DEVICE);
    assert_non_null(strstr(err.message, "77"));
    tri_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_two_devices),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
