/* Programs: keys, defines, sources that are not there; and every family compiled by NVRTC at the
 * shapes of models, which needs no GPU.  A kernel that spills, or has a stack at all, fails.
 * Compiling skips where NVRTC is not installed. */
#include "unit/kernels/lab.h"
#include "unit/kernels/nvrtc.h"

#include "kernels/cuda/attention.h"
#include "kernels/cuda/linear_plain.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/sampling.h"

static void test_keys(void **unused) {
    (void)unused;
    char a[TRI_CUDA_KEY_BYTES], b[TRI_CUDA_KEY_BYTES];
    tri_error err = {0};
    tri_cuda_program p = {.entry = "rms_norm"}, q = p;
    tri_cuda_define(&p, "P_COLUMNS", 4096);
    tri_cuda_define(&p, "P_THREADS", 512);
    assert_string_equal(p.defines, "P_COLUMNS=4096 P_THREADS=512");
    assert_int_equal(tri_cuda_program_key(&p, "sm_90a", a, &err), TRI_OK);
    assert_int_equal(tri_cuda_program_key(&p, "sm_90a", b, &err), TRI_OK);
    assert_string_equal(a, b);
    assert_int_equal(strncmp(a, "rms_norm-", 9), 0);
    assert_int_equal(tri_cuda_program_key(&p, "sm_80", b, &err), TRI_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(tri_cuda_program_key(&q, "sm_90a", b, &err), TRI_OK);
    assert_string_not_equal(a, b);
    p.entry = "no_such_kernel";
    assert_int_equal(tri_cuda_program_key(&p, "sm_90a", a, &err), TRI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "no_such_kernel"));
}

/* ---- what a cubin says of its kernels ---- */

enum { NOTE_VALUE = 4, NOTE_FRAME_BYTES = 0x11 }; /* of .nv.info: form, and kind of note */

static uint64_t number_at(const uint8_t *bytes, int64_t at, int32_t n_bytes) {
    uint64_t v = 0;
    for (int32_t i = n_bytes - 1; i >= 0; i--)
        v = v << 8 | bytes[at + i];
    return v;
}

/* The largest stack frame that one section of notes tells; each: form, kind, length, values. */
static int64_t frame_bytes_of(const uint8_t *notes, int64_t n_bytes) {
    int64_t most = 0;
    for (int64_t at = 0; at + 4 <= n_bytes;) {
        int64_t length = notes[at] == NOTE_VALUE ? (int64_t)number_at(notes, at + 2, 2) : 0;
        if (notes[at] == NOTE_VALUE && notes[at + 1] == NOTE_FRAME_BYTES) {
            int64_t frame = (int64_t)number_at(notes, at + 8, 4); /* behind the symbol */
            if (frame > most) most = frame;
        }
        at += 4 + length;
    }
    return most;
}

/* Finds ".nv.info" among an ELF file's sections; -1: there is none. */
static int64_t frame_bytes(const uint8_t *elf) {
    enum { SECTION_BYTES = 64 };
    int64_t first = (int64_t)number_at(elf, 40, 8), n = (int64_t)number_at(elf, 60, 2);
    int64_t names = first + (int64_t)number_at(elf, 62, 2) * SECTION_BYTES;
    const char *text = (const char *)elf + number_at(elf, names + 24, 8);
    for (int64_t i = 0; i < n; i++) {
        int64_t section = first + i * SECTION_BYTES;
        if (strcmp(text + number_at(elf, section, 4), ".nv.info") != 0) continue;
        return frame_bytes_of(
            elf + number_at(elf, section + 24, 8), (int64_t)number_at(elf, section + 32, 8));
    }
    return -1;
}

static void compiles_for(const tri_cuda_program *program, const char *arch) {
    tri_error err = {0};
    uint8_t *cubin = NULL;
    int64_t n_bytes = 0;
    if (!nvrtc_wanted()) return;
    tri_status rc = tri_cuda_program_compile(program, arch, &cubin, &n_bytes, &err);
    if (rc == TRI_E_DEVICE) skip();
    if (rc) fail_msg("%s", err.message);
    assert_true(n_bytes > 64);
    assert_memory_equal(cubin, "\177ELF", 4);
    int64_t frame = frame_bytes(cubin);
    free(cubin);
    if (frame != 0) {
        fail_msg("%s for %s has a stack of %d bytes: %s", program->entry, arch, (int)frame,
            program->defines);
    }
}

static void compiles(const tri_cuda_program *program) {
    compiles_for(program, "sm_90a");
}

/* ---- programs of a graph ---- */

static void compile_collected(void *arch, const void *program) {
    compiles_for(program, arch);
}

static void compiles_kernel(const tri_plugin_kernel *kernel, const tri_plugin_desc *desc) {
    void *state = NULL;
    tri_cuda_queue queue = {.preparing = true,
        .collect = compile_collected,
        .collect_user = (void *)(uintptr_t)desc->device->arch};
    const tri_plugin_launch launch = {.struct_size = sizeof launch, .team = &queue};
    assert_int_equal(kernel->create(desc, &state), 0);
    kernel->launch(state, &launch);
    kernel->destroy(state);
    assert_int_equal(queue.status, TRI_OK);
}

/* Every CUDA kernel that can compute a node, on each architecture.  Returns how many. */
static int32_t compiles_node(machine *m, const tri_node *node) {
    static const char *const archs[] = {"sm_80", "sm_90a"};
    int32_t n_compiled = 0;
    for (size_t a = 0; a < 2; a++) {
        const tri_plugin_device facts = {
            .struct_size = sizeof facts, .kind = "cuda", .arch = archs[a], .n_threads = 132};
        tri_plugin_desc *desc = machine_describe(m, node);
        desc->device = &facts;
        tri_arena arena;
        tri_kernel_choice *choices = NULL;
        int32_t n = 0;
        tri_arena_init(&arena, 0);
        assert_ok(tri_kernels_choose(m->l->kernels, desc, &arena, &choices, &n, err));
        for (int32_t i = 0; i < n && choices[i].supported; i++, n_compiled++)
            compiles_kernel(choices[i].kernel, desc);
        tri_arena_deinit(&arena);
    }
    return n_compiled;
}

static void compiles_graph(const char *body) {
    lab l = {.max_tokens = 8192, .max_sequences = 256, .max_rows = 256};
    machine m = {.l = &l, .device = lab_device(&(lab_setup){0})};
    int32_t n = 0;
    assert_ok(parse_body(&l.g, body, err));
    assert_ok(tri_kernels_create(&l.kernels, err));
    for (const tri_node *node = l.g->first; node; node = node->next) {
        if (node->op != TRI_OP_INPUT && node->op != TRI_OP_WEIGHT && node->op != TRI_OP_CACHE &&
            node->op != TRI_OP_COLUMNS)
            n += compiles_node(&m, node);
    }
    assert_true(n > 0);
    tri_kernels_destroy(l.kernels);
    tri_graph_destroy(l.g);
    machine_close(&m);
}

/* ---- families ---- */

static void test_linear(void **unused) {
    (void)unused;
    static const tri_cuda_linear_desc descs[] = {
        {.n = 6144, .k = 4096, .weight_dtype = TRI_BF16, .norm_in = true, .late = true},
        {.n = 4096, .k = 14336, .weight_dtype = TRI_BF16, .add = true, .norm_out = true},
        {.n = 14336,
            .k = 4096,
            .weight_dtype = TRI_F8_E4M3,
            .scaled = true,
            .gate = TRI_CUDA_GATE_SILU},
        {.n = 128256, .k = 4096, .weight_dtype = TRI_F8_E4M3, .scaled = true, .float_out = true},
        {.n = 200, .k = 1000, .weight_dtype = TRI_BF16},
    };
    for (size_t i = 0; i < sizeof descs / sizeof descs[0]; i++) {
        tri_cuda_linear_config config;
        tri_cuda_program program;
        tri_cuda_grid grid;
        tri_error err = {0};
        if (tri_cuda_linear_choose(&descs[i], i % 2 ? 64 : 8, 132, &config, &err))
            fail_msg("%s", err.message);
        tri_cuda_linear_program(&descs[i], &config, &program, &grid);
        compiles(&program);
    }
}

/* Every dtype of w with float32 and bf16 x, aligned or not, scales or none: all of sm_90a, each
 * third of sm_80 too. */
static void test_plain_linear(void **unused) {
    (void)unused;
    static const int32_t dtypes[] = {TRI_F32, TRI_BF16, TRI_F16, TRI_F8_E4M3, TRI_I8, TRI_I4};
    int32_t n = 0;
    for (int32_t i = 0; i < 24; i++) {
        const tri_cuda_linear_ask ask = {.n = 4096,
            .w_rows = 4096,
            .k = i / 6 % 2 ? 4094 : 4096,
            .weight_dtype = dtypes[i % 6],
            .bf16_x = i / 12 != 0,
            .rounds = i % 5 != 0,
            .n_groups = i / 6 == 1   ? 1
                        : i / 6 == 2 ? 32
                                     : 0,
            .max_rows = 512};
        tri_cuda_plain plain;
        tri_cuda_plain_init(&plain, &ask, i % 2);
        const tri_cuda_program *programs[] = {&plain.dot[0].program, &plain.dot[1].program,
            &plain.many[0].program, plain.tiles ? &plain.many[1].program : NULL};
        for (int32_t j = 0; j < 4 && programs[j]; j++) {
            compiles(programs[j]);
            if (n++ % 3 == 0) compiles_for(programs[j], "sm_80");
        }
    }
    for (int32_t gate = 0; gate <= TRI_CUDA_GATE_RELU; gate++) {
        tri_cuda_kernel finish;
        tri_cuda_finish_init(&finish,
            &(tri_cuda_linear_ask){.gate = (tri_cuda_gate)gate, .bf16_out = gate % 2 == 0});
        compiles_for(&finish.program, "sm_80");
    }
    static const tri_cuda_program others[] = {{.entry = "linear_enter", .defines = "P_X_BF16=0"},
        {.entry = "linear_enter", .defines = "P_X_BF16=1"},
        {.entry = "linear_norm", .defines = "P_THREADS=512"},
        {.entry = "linear_decode", .defines = "P_W=3"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        compiles(&others[i]);
}

/* All the shapes of a pass at all row buckets, as engines ask for them. */
static void test_linear_stream(void **unused) {
    (void)unused;
    static const tri_cuda_linear_desc descs[] = {
        {.n = 6144, .k = 4096, .weight_dtype = TRI_BF16, .bias = true},
        {.n = 4096, .k = 14336, .weight_dtype = TRI_BF16, .add = true, .float_out = true},
        {.n = 14336, .k = 4096, .weight_dtype = TRI_BF16, .gate = TRI_CUDA_GATE_GELU_TANH},
        {.n = 14336,
            .k = 4096,
            .weight_dtype = TRI_F8_E4M3,
            .scaled = true,
            .gate = TRI_CUDA_GATE_SILU,
            .norm_in = true},
        {.n = 1536, .k = 576, .weight_dtype = TRI_F8_E4M3, .scaled = true, .one_scale = true},
    };
    static const int32_t rows[] = {8, 16, 32, 64};
    for (int32_t i = 0; i < 20; i++) {
        tri_cuda_linear_config config;
        tri_cuda_program program;
        tri_cuda_grid grid;
        tri_error err = {0};
        if (tri_cuda_linear_choose(&descs[i / 4], rows[i % 4], 132, &config, &err))
            fail_msg("%s", err.message);
        tri_cuda_linear_program(&descs[i / 4], &config, &program, &grid);
        compiles(&program);
    }
}

static void test_attention(void **unused) {
    (void)unused;
    static const tri_cuda_attention_desc descs[] = {{32, 8, 32}, {16, 2, 8}};
    for (size_t i = 0; i < sizeof descs / sizeof descs[0]; i++) {
        tri_cuda_attention_config config;
        tri_cuda_program program;
        tri_cuda_grid grid;
        char reason[128];
        assert_true(tri_cuda_attention_choose(&descs[i], 132, &config, reason));
        config.early = i == 0;
        tri_cuda_attention_program(&descs[i], &config, &program, &grid);
        compiles(&program);
        tri_cuda_plan_program(&config, 8, &program, &grid);
        compiles(&program);
    }
}

/* The row ops of an 8B model, in f32 and as the pass that narrows leaves them. */
#define LLAMA(x)                                                                                   \
    "  group 0 full tokens_per_block=32\n"                                                         \
    "  %0 = input name=\"tokens\" : i32[T]\n"                                                      \
    "  %1 = weight name=\"table\" : bf16[128256,4096]\n"                                           \
    "  %2 = embedding(%0, %1) : f32[T,4096]\n"                                                     \
    "  %3 = weight name=\"w\" : f32[4096]\n"                                                       \
    "  %4 = rms_norm(%2, %3) dtype=\"" x "\" : " x "[T,4096]\n"                                    \
    "  %5, %6 = add_rms_norm(%2, %2, %3) dtype=\"" x "\" : f32[T,4096], " x "[T,4096]\n"           \
    "  %7 = weight name=\"qkv\" : bf16[1024,6144]\n"                                               \
    "  %8 = embedding(%0, %7) : f32[T,6144]\n"                                                     \
    "  %9 = columns(%8) n=4096 : f32[T,4096]\n"                                                    \
    "  %10 = columns(%8) first=4096 n=1024 : f32[T,1024]\n"                                        \
    "  %11 = cache : cache<bf16, 8, 128>\n"                                                        \
    "  %12 = input name=\"positions\" : i32[T]\n"                                                  \
    "  %13 = weight name=\"f\" : f32[64]\n"                                                        \
    "  %14 = weight name=\"qn\" : f32[128]\n"                                                      \
    "  %15, %16 = rope_kv_write(%9, %10, %10, %11, %12, %13) head_size=128 dtype=\"" x "\" : " x   \
    "[T,4096], cache<bf16, 8, 128>\n"                                                              \
    "  %17, %18 = rope_kv_write(%9, %10, %10, %16, %12, %13, q_norm=%14, k_norm=%14) "             \
    "head_size=128 dtype=\"" x "\" : " x "[T,4096], cache<bf16, 8, 128>\n"                         \
    "  %19 = gated_activation(%8) dtype=\"" x "\" : " x "[T,3072]\n"                               \
    "  %20 = input name=\"rows\" : i32[R]\n"                                                       \
    "  %21 = select_rows(%4, %20) : " x "[R,4096]\n"                                               \
    "  output y = %21\n"

/* What other families have: heads of 256 and of odd sizes, element-wise ops, narrow operands. */
static const char others[] =
    "  group 0 full tokens_per_block=16\n"
    "  %0 = input name=\"tokens\" : i32[T]\n"
    "  %1 = weight name=\"table\" : i8[1000,2304]\n"
    "  %2 = weight name=\"scales\" : f32[1000]\n"
    "  %3 = embedding(%0, %1, scales=%2) : f32[T,2304]\n"
    "  %4 = affine(%3) factor=48 : f32[T,2304]\n"
    "  %5 = weight name=\"w\" : f32[256]\n"
    "  %6 = rms_norm(%4, %5) dtype=\"bf16\" : bf16[T,2304]\n"
    "  %7, %8 = add_rms_norm(%6, %6, %5) : bf16[T,2304], f32[T,2304]\n"
    "  %9 = softcap(%8) cap=30 : f32[T,2304]\n"
    "  %10 = activation(%6) kind=\"gelu\" : f32[T,2304]\n"
    "  %11 = gated_activation(%6) kind=\"gelu_tanh\" dtype=\"bf16\" : bf16[T,1152]\n"
    "  %12 = add(%10, %6) : f32[T,2304]\n"
    "  %13 = mul(%12, %9) : f32[T,2304]\n"
    "  %14 = input name=\"positions\" : i32[T]\n"
    "  %15 = weight name=\"f\" : f32[128]\n"
    "  %16 = rope(%6, %14, %15) head_size=256 interleaved=1 : bf16[T,2304]\n"
    "  %17 = cache : cache<f16, 9, 256>\n"
    "  %18 = kv_write(%16, %6, %17) : cache<f16, 9, 256>\n"
    "  %19 = weight name=\"f9\" : f32[3]\n"
    "  %20 = rope(%4, %14, %19) head_size=9 : f32[T,2304]\n"
    "  %21 = weight name=\"wide\" : f16[10,32768]\n"
    "  %22 = embedding(%0, %21) : f32[T,32768]\n"
    "  %23 = weight name=\"w_wide\" : f32[32768]\n"
    "  %24, %25 = add_rms_norm(%22, %22, %23) : f32[T,32768], f32[T,32768]\n"
    "  %26 = weight name=\"odd\" : f32[10,32767]\n"
    "  %27 = embedding(%0, %26) : f32[T,32767]\n"
    "  %28 = weight name=\"w_odd\" : f32[32767]\n"
    "  %29 = rms_norm(%27, %28) : f32[T,32767]\n"
    "  %30 = weight name=\"f512\" : f32[256]\n"
    "  %31 = rope(%22, %14, %30) head_size=512 : f32[T,32768]\n"
    "  output y = %25\n";

static void test_rows(void **unused) {
    (void)unused;
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_embedding_program(4096, 132, 8, &program, &grid);
    assert_int_equal(grid.grid_x, 8);
    compiles(&program);
    compiles_graph(LLAMA("f32"));
    compiles_graph(LLAMA("bf16"));
    compiles_graph(others);
}

/* Shares of a row in shared memory, with two blocks a multiprocessor and with one; rows that are
 * read again and again, where there are no clusters. */
static void test_sampling(void **unused) {
    (void)unused;
    static const struct {
        int64_t vocabulary;
        const char *arch;
        int32_t threads, cluster;
        bool resident;
    } due[] = {
        {128256, "sm_90a", 512, 8, true},
        {262144, "sm_90a", 1024, 8, true},
        {1503, "sm_90a", 512, 8, true},
        {500000, "sm_90a", 512, 8, false},
        {128256, "sm_80", 512, 1, false},
        {1500, "sm_80", 512, 1, true},
    };
    tri_cuda_program program;
    for (size_t i = 0; i < sizeof due / sizeof due[0]; i++) {
        tri_cuda_sample_desc desc = {.vocabulary = due[i].vocabulary};
        tri_cuda_sample_config c = tri_cuda_sample_choose(&desc, due[i].arch);
        assert_int_equal(c.threads, due[i].threads);
        assert_int_equal(c.cluster, due[i].cluster);
        assert_int_equal(c.resident, due[i].resident);
        desc.counts = desc.masks = i != 2;
        tri_cuda_sample_program(&desc, &c, &program);
        compiles_for(&program, due[i].arch);
    }
    tri_cuda_count_tokens_program(128256, &program);
    compiles(&program);
    tri_cuda_penalties_program(128256, &program);
    compiles(&program);
    tri_cuda_mask_program(128256, &program);
    compiles(&program);
}

/* A source that does not compile says where and why, on one line. */
static void test_broken_source(void **unused) {
    (void)unused;
    tri_error err = {0};
    uint8_t *cubin = NULL;
    int64_t n_bytes = 0;
    tri_cuda_program program = {.entry = "rms_norm"};
    tri_cuda_define(&program, "P_THREADS", 512);
    tri_status rc = tri_cuda_program_compile(&program, "sm_90a", &cubin, &n_bytes, &err);
    if (rc == TRI_E_DEVICE) skip();
    assert_int_equal(rc, TRI_E_INTERNAL);
    assert_non_null(strstr(err.message, "P_COLUMNS"));
    assert_null(strchr(err.message, '\n'));
    assert_null(cubin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_stream),
        cmocka_unit_test(test_plain_linear),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_broken_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
