/* cublaslt.h - matrix products by NVIDIA's libcublasLt, found at run time; optional.
 *
 * Own declarations of what is used of it, as driver.h has them; unit/device/cublaslt_test.c holds
 * them against cublasLt.h where that is installed.  One handle and one set of plans for a context,
 * shared by all who hold a reference.  Plans are made while launches prepare; a product then
 * allocates nothing and can be captured into a graph. */
#ifndef TRI_DEVICE_CUDA_CUBLASLT_H
#define TRI_DEVICE_CUDA_CUBLASLT_H

#include "device/cuda/driver.h"

enum { TRI_CUBLASLT_WORKSPACE_BYTES = 32 << 20 }; /* what NVIDIA advises for Hopper */

typedef struct tri_cublaslt tri_cublaslt;
typedef struct tri_cublaslt_plan tri_cublaslt_plan;

/* Of the context that is current.  TRI_E_DEVICE when the library is missing or does not start: err
 * says what it looked for. */
tri_status tri_cublaslt_ref(tri_cublaslt **lt, const tri_cu *cu, tri_error *err);
void tri_cublaslt_unref(tri_cublaslt *lt); /* NULL: nothing */

/* y [M, N] = x [M, K] w [N, K]^T (+ y), x and w bf16, sums float32; rows K or more apart. */
typedef struct tri_cublaslt_product {
    int64_t n, k;
    int64_t x_stride, y_stride, c_stride; /* elements; c_stride: with add */
    int32_t x_align, y_align;             /* bytes, of addresses */
    bool bf16_out;                        /* else float32 */
    bool add;                             /* y = c + ..., c as y */
} tri_cublaslt_product;

/* The plan for up to max_rows rows, made when it is new; lives as long as lt.  Algorithms are the
 * library's own choice, one for each bucket of rows.  TRI_E_UNSUPPORTED: it has none. */
tri_status tri_cublaslt_find(tri_cublaslt *lt, const tri_cublaslt_product *product,
    int32_t max_rows, const tri_cublaslt_plan **plan, tri_error *err);

/* Rows of a bucket's algorithm: m rounded up. */
int32_t tri_cublaslt_bucket(int32_t m);

typedef struct tri_cublaslt_run {
    int32_t n_rows;
    uint64_t w, x, c, y, workspace; /* workspace: TRI_CUBLASLT_WORKSPACE_BYTES; c: with add */
    tri_cu_stream stream;
} tri_cublaslt_run;

tri_status tri_cublaslt_enqueue(
    const tri_cublaslt_plan *plan, const tri_cublaslt_run *run, tri_error *err);

/* ---- what is used of cublasLt.h, for its test ---- */

typedef struct tri_lt_opaque { /* descriptors; the library is told the size */
    uint64_t words[64];
} tri_lt_opaque;
typedef struct tri_lt_algorithm { /* cublasLtMatmulAlgo_t */
    uint64_t words[8];
} tri_lt_algorithm;
typedef struct tri_lt_found { /* cublasLtMatmulHeuristicResult_t */
    tri_lt_algorithm algorithm;
    size_t workspace_bytes;
    int32_t state;
    float waves;
    int32_t reserved[4];
} tri_lt_found;
enum {
    TRI_LT_COMPUTE_F32 = 68, /* CUBLAS_COMPUTE_32F */
    TRI_LT_F32 = 0,          /* cudaDataType */
    TRI_LT_BF16 = 14,
    TRI_LT_TRANSPOSED = 1,         /* CUBLAS_OP_T */
    TRI_LT_DESC_TRANSPOSE_A = 3,   /* CUBLASLT_MATMUL_DESC_TRANSA */
    TRI_LT_PREFER_WORKSPACE = 1,   /* CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES */
    TRI_LT_PREFER_ALIGNMENT_A = 5, /* CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; then B, C, D */
};

#endif
