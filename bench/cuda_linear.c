/* cuda_linear.c - small-M linear layers of Llama-3.1-8B: every candidate, and cuBLASLt beside them.
 *
 *   cuda_linear compile FOLDER     fills FOLDER with cubins; needs no GPU
 *   cuda_linear FOLDER [TBPS]      CSV on stdout
 *
 * A time is of a graph of dependent launches, each with weights of its own, together at least 1 GB,
 * so that all weights come from memory; median of 15 replays, divided by the launches.  floor: the
 * weight bytes over TBPS (4.63 TB/s, what the H200 reads at most). */
#include <dlfcn.h>

#include "cuda_lab.h"
#include "kernels/cuda/linear.h"

#if __has_include(<cublasLt.h>)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wpedantic"
#    pragma GCC diagnostic ignored "-Wconversion"
#    include <cublasLt.h>
#    pragma GCC diagnostic pop
#    define HAVE_CUBLASLT 1
#else
#    define HAVE_CUBLASLT 0
#endif

enum { MAX_CHAIN = 32, POOL_BYTES_LOG2 = 33, WORKSPACE_BYTES = 32 << 20 };

typedef struct layer {
    const char *name;
    int64_t n, k; /* of y and x */
    bool gated, add, float_out;
} layer;

static const layer layers[] = {
    {"qkv", 6144, 4096, false, false, false},
    {"o", 4096, 4096, false, true, false},
    {"gate_up", 14336, 4096, true, false, false},
    {"down", 4096, 14336, false, true, false},
    {"head", 128256, 4096, false, false, true},
};
static const int32_t rows[] = {1, 2, 4, 8, 16, 32, 64};

typedef struct memory {
    uint64_t pool, x, y, r, scale;
} memory;

typedef struct chain {
    const layer *layer;
    tri_cuda_linear_desc desc;
    tri_cuda_linear_config config;
    tri_cu_function function;
    tri_cuda_grid grid;
    const memory *memory;
    int64_t weight_bytes;
    int32_t n, m;
} chain;

/* Each launch reads what the one before wrote only in order, not in value: y is not the next x. */
static void run_chain(lab *l, void *arg) {
    const chain *c = arg;
    for (int32_t i = 0; i < c->n; i++) {
        tri_cuda_linear_arguments a = {.y = c->memory->y,
            .r = c->memory->r,
            .scale = c->memory->scale,
            .y_stride = c->desc.n,
            .r_stride = c->desc.n,
            .n_rows = c->m};
        uint64_t w = c->memory->pool + (uint64_t)(i * c->weight_bytes);
        tri_error err = {0};
        if (l->cu && tri_cuda_linear_map(
                         l->cu, &c->desc, &c->config, w, c->memory->x, c->desc.k, c->m, &a, &err))
            lab_die(&err);
        lab_enqueue(l, c->function, &c->grid, &a);
    }
}

static void print_row(
    const chain *c, const char *kernel, const char *dtype, double ms, double tbps) {
    double us = ms * 1e3 / c->n, floor_us = (double)c->weight_bytes / (tbps * 1e6);
    printf("%s,%s,%s,%d,%lld,%lld,%.2f,%.0f,%.3f\n", dtype, c->layer->name, kernel, c->m,
        (long long)c->layer->n, (long long)c->layer->k, us, (double)c->weight_bytes / us / 1e3,
        floor_us / us);
    fflush(stdout);
}

static void time_candidates(lab *l, chain *c, const char *dtype, double tbps) {
    tri_cuda_linear_config config;
    char reason[128];
    for (int32_t i = 0;
         tri_cuda_linear_candidate(&c->desc, c->m, l->n_multiprocessors, i, &config, reason); i++) {
        if (reason[0]) continue;
        tri_cuda_program program;
        char name[64];
        tri_cuda_linear_program(&c->desc, &config, &program, &c->grid);
        c->config = config;
        c->function = lab_function(l, &program, c->grid.shared_bytes);
        (void)snprintf(
            name, sizeof name, "stream t%d c%d s%d", config.tiles, config.chunk, config.stages);
        double ms = lab_time(l, run_chain, c);
        if (l->cu) print_row(c, name, dtype, ms, tbps);
    }
}

/* ---- cuBLASLt ---- */

#if HAVE_CUBLASLT
typedef struct lt {
    void *library;
    cublasLtHandle_t handle;
    __typeof__(&cublasLtCreate) create;
    __typeof__(&cublasLtMatmul) matmul;
    __typeof__(&cublasLtMatmulAlgoGetHeuristic) heuristic;
    __typeof__(&cublasLtMatmulDescCreate) desc_create;
    __typeof__(&cublasLtMatmulDescSetAttribute) desc_set;
    __typeof__(&cublasLtMatrixLayoutCreate) layout_create;
    __typeof__(&cublasLtMatmulPreferenceCreate) preference_create;
    __typeof__(&cublasLtMatmulPreferenceSetAttribute) preference_set;
    /* of one problem */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulAlgo_t algorithm;
    uint64_t workspace, one;
    chain *chain;
} lt;

static bool lt_open(lt *t) {
    *t = (lt){.library = dlopen("libcublasLt.so.13", RTLD_NOW)};
    if (!t->library) return false;
#    define FIND(member, name) *(void **)(void *)&t->member = dlsym(t->library, name)
    FIND(create, "cublasLtCreate");
    FIND(matmul, "cublasLtMatmul");
    FIND(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    FIND(desc_create, "cublasLtMatmulDescCreate");
    FIND(desc_set, "cublasLtMatmulDescSetAttribute");
    FIND(layout_create, "cublasLtMatrixLayoutCreate");
    FIND(preference_create, "cublasLtMatmulPreferenceCreate");
    FIND(preference_set, "cublasLtMatmulPreferenceSetAttribute");
#    undef FIND
    return t->create && t->create(&t->handle) == CUBLAS_STATUS_SUCCESS;
}

/* y^T [N, M] = w [N, K] x^T, column-major: w is given as [K, N] to be transposed. */
static bool lt_prepare(lt *t, chain *c) {
    bool fp8 = c->desc.weight_dtype == TRI_F8_E4M3;
    cudaDataType_t in = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    int64_t n = c->desc.gate ? 2 * c->desc.n : c->desc.n;
    cublasOperation_t transpose = CUBLAS_OP_T;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found[1];
    size_t room = WORKSPACE_BYTES;
    int count = 0;
    t->chain = c;
    if (t->desc_create(&t->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F)) return false;
    t->desc_set(t->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose);
    if (fp8) {
        t->desc_set(t->desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &t->one, sizeof t->one);
        t->desc_set(t->desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &t->one, sizeof t->one);
    }
    t->layout_create(&t->w, in, (uint64_t)c->desc.k, (uint64_t)n, c->desc.k);
    t->layout_create(&t->x, in, (uint64_t)c->desc.k, (uint64_t)c->m, c->desc.k);
    t->layout_create(&t->y, CUDA_R_16BF, (uint64_t)n, (uint64_t)c->m, n);
    t->preference_create(&preference);
    t->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room);
    if (t->heuristic(t->handle, t->desc, t->w, t->x, t->y, t->y, preference, 1, found, &count) ||
        count == 0)
        return false;
    t->algorithm = found[0].algo;
    return true;
}

static void run_lt(lab *l, void *arg) {
    const lt *t = arg;
    const float one = 1.0f, zero = 0.0f;
    for (int32_t i = 0; i < t->chain->n; i++) {
        uint64_t w = t->chain->memory->pool + (uint64_t)(i * t->chain->weight_bytes);
        cublasStatus_t rc = t->matmul(t->handle, t->desc, &one, (const void *)(uintptr_t)w, t->w,
            (const void *)(uintptr_t)t->chain->memory->x, t->x, &zero,
            (void *)(uintptr_t)t->chain->memory->y, t->y, (void *)(uintptr_t)t->chain->memory->y,
            t->y, &t->algorithm, (void *)(uintptr_t)t->workspace, WORKSPACE_BYTES,
            (cudaStream_t)l->queue.stream);
        if (rc) fprintf(stderr, "cublasLtMatmul: %d\n", (int)rc);
    }
}

static void time_lt(lab *l, lt *t, chain *c, const char *dtype, double tbps) {
    if (lt_prepare(t, c)) print_row(c, "cublasLt", dtype, lab_time(l, run_lt, t), tbps);
}
#endif

/* ---- all ---- */

int main(int argc, char **argv) {
    bool compile_only = argc > 2 && strcmp(argv[1], "compile") == 0;
    if (argc < 2) return 2;
    double tbps = !compile_only && argc > 2 ? atof(argv[2]) : 4.63;
    lab l;
    lab_open(&l, argv[compile_only ? 2 : 1], compile_only);
    const memory m = {.pool = lab_alloc(&l, (int64_t)1 << POOL_BYTES_LOG2),
        .x = lab_alloc(&l, 64 * 14336 * 4),
        .y = lab_alloc(&l, 64 * 128256 * 4),
        .r = lab_alloc(&l, 64 * 14336 * 4),
        .scale = lab_alloc(&l, 128256 * 4)};
    lab_random(&l, m.x, 64 * 14336 * 2, LAB_BF16, 1);
    lab_random(&l, m.scale, 128256 * 4, LAB_F32, 2);
#if HAVE_CUBLASLT
    lt t;
    float one = 1.0f;
    bool have_lt = !compile_only && lt_open(&t);
    if (have_lt) {
        t.workspace = lab_alloc(&l, WORKSPACE_BYTES);
        t.one = lab_alloc(&l, 4);
        lab_upload(&l, t.one, &one, 4);
    }
#endif
    printf("dtype,layer,kernel,M,N,K,us,GB/s,share_of_floor\n");
    for (int32_t fp8 = 0; fp8 < 2; fp8++) {
        lab_random(&l, m.pool, (int64_t)1 << POOL_BYTES_LOG2, fp8 ? LAB_E4M3 : LAB_BF16, 3);
        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
            const layer *y = &layers[i];
            int64_t bytes = y->n * (y->gated ? 2 : 1) * y->k * (fp8 ? 1 : 2);
            int64_t fit = ((int64_t)1 << POOL_BYTES_LOG2) / bytes;
            for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
                chain c = {.layer = y,
                    .desc = {.n = y->n,
                        .k = y->k,
                        .weight_dtype = fp8 ? TRI_F8_E4M3 : TRI_BF16,
                        .scaled = fp8,
                        .gate = y->gated ? TRI_CUDA_GATE_SILU : TRI_CUDA_GATE_NONE,
                        .add = y->add,
                        .float_out = y->float_out},
                    .memory = &m,
                    .weight_bytes = bytes,
                    .n = fit < MAX_CHAIN ? (int32_t)fit : MAX_CHAIN,
                    .m = rows[j]};
                time_candidates(&l, &c, fp8 ? "e4m3" : "bf16", tbps);
#if HAVE_CUBLASLT
                if (have_lt) time_lt(&l, &t, &c, fp8 ? "e4m3" : "bf16", tbps);
#endif
            }
        }
    }
    return 0;
}
