/* The registry, and choosing among candidates. */
#include "unit/kernels/lab.h"

#include "kernels/builtin.h"

static tri_kernels *all_kernels(void) {
    tri_kernels *kernels = NULL;
    assert_ok(tri_kernels_create(&kernels, err));
    return kernels;
}

static void no_launch(void *state, const tri_plugin_launch *launch) {
    (void)state;
    (void)launch;
}

static int32_t refuses(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    (void)desc;
    (void)snprintf(reason, reason_bytes, "it is Tuesday");
    return 1;
}

static void cheap(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost) {
    (void)desc;
    *cost = (tri_plugin_cost){.bytes = 10.0 * extents->n_tokens};
}

static void dear(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost) {
    (void)desc;
    *cost = (tri_plugin_cost){.bytes = 1e6 * extents->n_tokens};
}

#define KERNEL(name_, isa_)                                                                        \
    .struct_size = sizeof(tri_plugin_kernel), .op = "swish_beta", .name = name_, .device = "cpu",  \
    .isa = isa_, .launch = no_launch
static const tri_plugin_kernel cheap_one = {KERNEL("cheap", ""), .cost = cheap};
static const tri_plugin_kernel dear_one = {KERNEL("dear", ""), .cost = dear};
static const tri_plugin_kernel second_cheap = {KERNEL("second", ""), .cost = cheap};
static const tri_plugin_kernel needs_amx = {KERNEL("needs_amx", "amx"), .cost = cheap};
static const tri_plugin_kernel reluctant = {KERNEL("reluctant", ""), .supports = refuses};

static const tri_plugin_device avx2 = {
    .struct_size = sizeof(tri_plugin_device), .kind = "cpu", .arch = "avx2", .n_threads = 2};
static const tri_plugin_device null = {
    .struct_size = sizeof(tri_plugin_device), .kind = "null", .arch = "avx2", .n_threads = 2};

static void test_every_op_has_a_kernel_for_any_cpu(void **unused) {
    (void)unused;
    tri_kernels *kernels = all_kernels();
    for (int32_t op = 0; op < TRI_N_OPS; op++) {
        static const tri_op without[] = {TRI_OP_INPUT, TRI_OP_WEIGHT, TRI_OP_CACHE,
            TRI_OP_ROPE_FREQUENCIES, TRI_OP_CONCAT_ROWS, TRI_OP_SLICE_ROWS, TRI_OP_CAST,
            TRI_OP_QUANTIZE, TRI_OP_QUANTIZE_SCALES, TRI_OP_PACK, TRI_OP_TIE, TRI_OP_COLUMNS,
            TRI_OP_COUNTS, TRI_OP_PLUGIN};
        /* Made by a pass for devices that say they can. */
        static const tri_op elsewhere[] = {TRI_OP_LINEAR_NORM};
        bool needs_none = false, found = (tri_op)op == elsewhere[0];
        for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
            needs_none = needs_none || without[i] == (tri_op)op;
        }
        for (int32_t f = 0; tri_builtin_families[f]; f++) {
            for (int32_t i = 0; tri_builtin_families[f][i]; i++) {
                const tri_plugin_kernel *k = tri_builtin_families[f][i];
                assert_ptr_equal(tri_kernels_find(kernels, k->name), k);
                assert_true(k->numerics && k->numerics[0]);
                bool same = strcmp(k->op, tri_op_get((tri_op)op)->name) == 0;
                found = found || (same && strcmp(k->isa, "") == 0);
                assert_false(same && needs_none);
            }
        }
        if (!found && !needs_none) fail_msg("%s has no plain kernel", tri_op_get((tri_op)op)->name);
    }
    assert_null(tri_kernels_find(kernels, "linear_of_tomorrow"));
    assert_non_null(tri_kernels_find_layout(kernels, "panel16"));
    assert_null(tri_kernels_find_layout(kernels, "row"));
    tri_kernels_destroy(kernels);
}

static void test_choosing(void **unused) {
    (void)unused;
    tri_kernels *kernels = all_kernels();
    tri_arena arena;
    tri_kernel_choice *choices = NULL;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    static const tri_plugin_kernel *const order[] = {
        &reluctant, &dear_one, &needs_amx, &cheap_one, &second_cheap};
    for (int32_t i = 0; i < 5; i++)
        assert_ok(tri_kernels_register(kernels, order[i], err));
    tri_plugin_desc desc = {
        .struct_size = sizeof desc, .op = "swish_beta", .device = &avx2, .max_tokens = 64};
    assert_ok(tri_kernels_choose(kernels, &desc, &arena, &choices, &n, err));
    assert_int_equal(n, 5);
    assert_ptr_equal(choices[0].kernel, &cheap_one);
    assert_ptr_equal(choices[1].kernel, &second_cheap); /* as cheap, registered later */
    assert_ptr_equal(choices[2].kernel, &dear_one);
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(choices[i].supported, i < 3);
    for (int32_t i = 3; i < 5; i++) {
        assert_string_equal(choices[i].reason,
            choices[i].kernel == &reluctant ? "it is Tuesday" : "needs amx, the target is avx2");
    }
    desc.device = &null; /* takes what the named architecture would */
    assert_ok(tri_kernels_choose(kernels, &desc, &arena, &choices, &n, err));
    assert_ptr_equal(choices[0].kernel, &cheap_one);
    tri_arena_deinit(&arena);
    tri_kernels_destroy(kernels);
}

static void test_none_can(void **unused) {
    (void)unused;
    tri_kernels *kernels = all_kernels();
    tri_arena arena;
    tri_kernel_choice *choices = NULL;
    int32_t n = 0;
    tri_error err = {0};
    tri_arena_init(&arena, 0);
    tri_plugin_desc desc = {.struct_size = sizeof desc, .op = "swish_beta", .device = &avx2};
    assert_int_equal(
        tri_kernels_choose(kernels, &desc, &arena, &choices, &n, &err), TRI_E_UNSUPPORTED);
    assert_has(err.message, "swish_beta");
    assert_int_equal(tri_kernels_register(kernels, &reluctant, &err), TRI_OK);
    assert_int_equal(tri_kernels_register(kernels, &needs_amx, &err), TRI_OK);
    assert_int_equal(
        tri_kernels_choose(kernels, &desc, &arena, &choices, &n, &err), TRI_E_UNSUPPORTED);
    assert_has(err.message, "reluctant: it is Tuesday");
    assert_has(err.message, "needs_amx: needs amx");
    tri_arena_deinit(&arena);
    tri_kernels_destroy(kernels);
}

static void test_registering(void **unused) {
    (void)unused;
    tri_kernels *kernels = all_kernels();
    tri_error err = {0};
    tri_plugin_kernel bad = cheap_one;
    assert_int_equal(tri_kernels_register(kernels, &cheap_one, &err), TRI_OK);
    assert_int_equal(tri_kernels_register(kernels, &bad, &err), TRI_E_ARGUMENT); /* the same name */
    bad.name = "bad";
    bad.launch = NULL;
    assert_int_equal(tri_kernels_register(kernels, &bad, &err), TRI_E_ARGUMENT);
    bad.launch = no_launch;
    bad.struct_size = 8;
    assert_int_equal(tri_kernels_register(kernels, &bad, &err), TRI_E_ARGUMENT);
    tri_plugin_layout layout = *tri_builtin_layouts[0];
    assert_int_equal(tri_kernels_register_layout(kernels, &layout, &err), TRI_E_ARGUMENT);
    layout.name = "row";
    assert_int_equal(tri_kernels_register_layout(kernels, &layout, &err), TRI_E_ARGUMENT);
    layout.name = "panel17";
    layout.unpack = NULL;
    assert_int_equal(tri_kernels_register_layout(kernels, &layout, &err), TRI_E_ARGUMENT);
    layout.unpack = tri_builtin_layouts[0]->unpack;
    assert_int_equal(tri_kernels_register_layout(kernels, &layout, &err), TRI_OK);
    tri_kernels_destroy(kernels);
}

static void test_isa_within(void **unused) {
    (void)unused;
    assert_true(tri_isa_within("", ""));
    assert_true(tri_isa_within("", "avx2"));
    assert_true(tri_isa_within("avx2", "avx2"));
    assert_true(tri_isa_within("avx512", "amx"));
    assert_false(tri_isa_within("avx2", ""));
    assert_false(tri_isa_within("amx", "avx512"));
    assert_false(tri_isa_within("sm_80", "sm_80"));
    assert_false(tri_isa_within("avx2", "avx3"));
}

/* What an engine needs of a CPU is what its kernels do, not what the CPU has. */
static void test_isa_of_kernels(void **unused) {
    (void)unused;
    tri_kernels *kernels = all_kernels();
    assert_string_equal(tri_kernels_isa(kernels, ""), "");
    assert_string_equal(tri_kernels_isa(kernels, "avx2"), "avx2");
    assert_string_equal(tri_kernels_isa(kernels, "avx512"), "avx512");
    assert_string_equal(tri_kernels_isa(kernels, "amx"), "amx");
    tri_kernels_destroy(kernels);
}

/* A constant that is still to be packed suits a kernel of panels; one packed otherwise does not. */
static void test_layouts_of_linear(void **unused) {
    (void)unused;
    tri_kernels *kernels = all_kernels();
    char reason[128];
    tri_plugin_type inputs[5] = {
        {.dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, 64}, .layout = "row"},
        {.dtype = TRI_BF16, .n_dims = 2, .dims = {32, 64}, .layout = "row", .constant = true},
        {.n_dims = -1}, {.n_dims = -1}, {.n_dims = -1}};
    tri_plugin_type output = {
        .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, 32}, .layout = "row"};
    tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = "linear",
        .n_inputs = 5,
        .n_outputs = 1,
        .inputs = inputs,
        .outputs = &output,
        .device = &avx2,
        .max_tokens = 16};
    const tri_plugin_kernel *panels = tri_kernels_find(kernels, "linear_panel16_avx2");
    const tri_plugin_kernel *rows = tri_kernels_find(kernels, "linear_row_avx2");
    assert_int_equal(panels->supports(&desc, reason, sizeof reason), 0);
    assert_string_equal(panels->layout(&desc, 1), "panel16");
    assert_null(panels->layout(&desc, 0));
    inputs[1].layout = "panel16";
    assert_int_equal(panels->supports(&desc, reason, sizeof reason), 0);
    assert_int_not_equal(rows->supports(&desc, reason, sizeof reason), 0);
    assert_has(reason, "panel16");
    inputs[1].layout = "tiles";
    assert_int_not_equal(panels->supports(&desc, reason, sizeof reason), 0);
    inputs[1].layout = "row";
    inputs[1].dtype = TRI_Q4_K;
    assert_int_not_equal(
        panels->supports(&desc, reason, sizeof reason), 0); /* 64 % 256 and no form */
    inputs[1].dtype = TRI_I64;
    assert_int_not_equal(rows->supports(&desc, reason, sizeof reason), 0);
    inputs[1].dtype = TRI_I8; /* without scales */
    assert_int_not_equal(rows->supports(&desc, reason, sizeof reason), 0);
    tri_kernels_destroy(kernels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_has_a_kernel_for_any_cpu),
        cmocka_unit_test(test_choosing),
        cmocka_unit_test(test_none_can),
        cmocka_unit_test(test_registering),
        cmocka_unit_test(test_isa_within),
        cmocka_unit_test(test_isa_of_kernels),
        cmocka_unit_test(test_layouts_of_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
