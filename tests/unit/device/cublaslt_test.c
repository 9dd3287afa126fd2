/* Own declarations of cuBLASLt against cublasLt.h, where that is installed; the buckets of rows.
 * Its products are tested with the kernels that use them (kernels/cuda_linear_launch_test.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/cuda/cublaslt.h"

#if __has_include(<cublasLt.h>)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wpedantic"
#    pragma GCC diagnostic ignored "-Wconversion"
#    include <cublasLt.h>
#    pragma GCC diagnostic pop

#    define SAME(ours, theirs) _Static_assert((long)(ours) == (long)(theirs), #    ours)
SAME(sizeof(tri_lt_algorithm), sizeof(cublasLtMatmulAlgo_t));
SAME(sizeof(tri_lt_found), sizeof(cublasLtMatmulHeuristicResult_t));
SAME(offsetof(tri_lt_found, workspace_bytes),
    offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
SAME(offsetof(tri_lt_found, state), offsetof(cublasLtMatmulHeuristicResult_t, state));
_Static_assert(sizeof(tri_lt_opaque) >= sizeof(cublasLtMatmulDescOpaque_t), "desc");
_Static_assert(sizeof(tri_lt_opaque) >= sizeof(cublasLtMatrixLayoutOpaque_t), "layout");
_Static_assert(sizeof(tri_lt_opaque) >= sizeof(cublasLtMatmulPreferenceOpaque_t), "preference");
SAME(TRI_LT_COMPUTE_F32, CUBLAS_COMPUTE_32F);
SAME(TRI_LT_F32, CUDA_R_32F);
SAME(TRI_LT_BF16, CUDA_R_16BF);
SAME(TRI_LT_TRANSPOSED, CUBLAS_OP_T);
SAME(TRI_LT_DESC_TRANSPOSE_A, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(TRI_LT_PREFER_WORKSPACE, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(TRI_LT_PREFER_ALIGNMENT_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(TRI_LT_PREFER_ALIGNMENT_A + 3, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
#endif

/* Buckets hold their rows, grow, and waste at most 31 rows to 256 and half of them from there. */
static void test_buckets(void **unused) {
    (void)unused;
    int32_t last = 0;
    for (int32_t m = 1; m <= 20000; m++) {
        int32_t bucket = tri_cublaslt_bucket(m);
        assert_true(bucket >= m && bucket >= last);
        assert_true(bucket - m <= (m <= 256 ? 31 : m / 2));
        assert_int_equal(tri_cublaslt_bucket(bucket), bucket);
        last = bucket;
    }
    assert_int_equal(tri_cublaslt_bucket(65), 96);
    assert_int_equal(tri_cublaslt_bucket(257), 384);
    assert_int_equal(tri_cublaslt_bucket(8192), 8192);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_buckets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
