/* Programs: keys, defines, sources that are not there; and every family compiled by NVRTC for
 * sm_90a at the shapes of an 8B model, which needs no GPU.  Compiling skips where NVRTC is not
 * installed. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/linear_plain.h"
#include "kernels/cuda/rows.h"

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

/* Bytes of local memory a kernel of a cubin has: registers spilled, arrays indexed at run time.  Of
 * the section .nv.info, records {format 4, attribute, size, words}; attribute 0x11 is a frame's
 * size, of a symbol. */
static uint32_t frame_bytes(const uint8_t *cubin, int64_t n_bytes) {
    enum { WORDS = 4, FRAME_SIZE = 0x11, FRAME_RECORD = 12 };
    Elf64_Ehdr head;
    uint32_t most = 0;
    memcpy(&head, cubin, sizeof head);
    for (uint32_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr section, names;
        const uint8_t *headers = cubin + head.e_shoff;
        memcpy(&section, headers + i * sizeof section, sizeof section);
        memcpy(&names, headers + head.e_shstrndx * sizeof names, sizeof names);
        assert_true((int64_t)(names.sh_offset + section.sh_name) < n_bytes);
        if (strcmp((const char *)cubin + names.sh_offset + section.sh_name, ".nv.info") != 0)
            continue;
        const uint8_t *at = cubin + section.sh_offset, *end = at + section.sh_size;
        while (at + FRAME_RECORD <= end) {
            uint16_t size;
            uint32_t value;
            memcpy(&size, at + 2, sizeof size);
            memcpy(&value, at + 8, sizeof value);
            if (at[0] == WORDS && at[1] == FRAME_SIZE && value > most) most = value;
            at += 4 + (at[0] == WORDS ? size : 0);
        }
    }
    return most;
}

static void compiles_for(const tri_cuda_program *program, const char *arch) {
    tri_error err = {0};
    uint8_t *cubin = NULL;
    int64_t n_bytes = 0;
    tri_status rc = tri_cuda_program_compile(program, arch, &cubin, &n_bytes, &err);
    if (rc == TRI_E_DEVICE) skip();
    if (rc) fail_msg("%s", err.message);
    assert_true(n_bytes > (int64_t)sizeof(Elf64_Ehdr));
    assert_memory_equal(cubin, "\177ELF", 4);
    if (frame_bytes(cubin, n_bytes) > 0) {
        fail_msg("%s [%s] for %s spills: %u bytes of local memory", program->entry,
            program->defines, arch, frame_bytes(cubin, n_bytes));
    }
    free(cubin);
}

static void compiles(const tri_cuda_program *program) {
    compiles_for(program, "sm_90a");
}

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
    tri_cuda_program enter = {.entry = "linear_enter", .defines = "P_X_BF16=0"};
    compiles(&enter);
}

/* All the shapes of a pass at all row buckets, as engines ask for them. */
static void test_linear_stream(void **unused) {
    (void)unused;
    static const tri_cuda_linear_desc descs[] = {
        {.n = 6144, .k = 4096, .weight_dtype = TRI_BF16, .bias = true},
        {.n = 4096, .k = 14336, .weight_dtype = TRI_BF16, .add = true, .float_out = true},
        {.n = 14336, .k = 4096, .weight_dtype = TRI_BF16, .gate = TRI_CUDA_GATE_GELU_TANH},
        {.n = 1536, .k = 576, .weight_dtype = TRI_F8_E4M3, .scaled = true, .one_scale = true},
    };
    static const int32_t rows[] = {8, 16, 32, 64};
    for (int32_t i = 0; i < 16; i++) {
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

static void test_rows(void **unused) {
    (void)unused;
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_norm_program(4096, true, 8, &program, &grid);
    compiles(&program);
    tri_cuda_embedding_program(4096, 128256, 132, 8, &program, &grid);
    compiles(&program);
    tri_cuda_rope_program(&(tri_cuda_rope_desc){32, 8, 128, 64, 32}, 8, &program, &grid);
    assert_int_equal(grid.grid_y, 48);
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
        cmocka_unit_test(test_broken_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
