/* Programs: keys, defines, sources that are not there; and every family compiled by NVRTC for
 * sm_90a at the shapes of an 8B model, which needs no GPU.  Compiling skips where NVRTC is not
 * installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/linear.h"
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

static void compiles_for(const tri_cuda_program *program, const char *arch) {
    tri_error err = {0};
    uint8_t *cubin = NULL;
    int64_t n_bytes = 0;
    tri_status rc = tri_cuda_program_compile(program, arch, &cubin, &n_bytes, &err);
    if (rc == TRI_E_DEVICE) skip();
    if (rc) fail_msg("%s", err.message);
    assert_true(n_bytes > 4);
    assert_memory_equal(cubin, "\177ELF", 4);
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
        {.n = 14336, .k = 4096, .weight_dtype = TRI_F8_E4M3, .scaled = true, .gated = true},
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
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_broken_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
