#include "device/cuda/cublaslt.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct lt_handle *lt_handle; /* cublasLtHandle_t */

/* FN(member, symbol, parameters) */
#define LT_FUNCTIONS(FN)                                                                           \
    FN(create, "cublasLtCreate", (lt_handle *))                                                    \
    FN(destroy, "cublasLtDestroy", (lt_handle))                                                    \
    FN(desc_init, "cublasLtMatmulDescInit_internal",                                               \
        (tri_lt_opaque *, size_t size, int compute, int scale_type))                               \
    FN(desc_set, "cublasLtMatmulDescSetAttribute",                                                 \
        (tri_lt_opaque *, int attribute, const void *value, size_t size))                          \
    FN(layout_init, "cublasLtMatrixLayoutInit_internal",                                           \
        (tri_lt_opaque *, size_t size, int type, uint64_t rows, uint64_t columns, int64_t stride)) \
    FN(preference_init, "cublasLtMatmulPreferenceInit_internal", (tri_lt_opaque *, size_t size))   \
    FN(preference_set, "cublasLtMatmulPreferenceSetAttribute",                                     \
        (tri_lt_opaque *, int attribute, const void *value, size_t size))                          \
    FN(heuristic, "cublasLtMatmulAlgoGetHeuristic",                                                \
        (lt_handle, const tri_lt_opaque *desc, const tri_lt_opaque *a, const tri_lt_opaque *b,     \
            const tri_lt_opaque *c, const tri_lt_opaque *d, const tri_lt_opaque *preference,       \
            int n_asked, tri_lt_found *found, int *n_found))                                       \
    FN(product, "cublasLtMatmul",                                                                  \
        (lt_handle, const tri_lt_opaque *desc, const void *alpha, const void *a,                   \
            const tri_lt_opaque *a_layout, const void *b, const tri_lt_opaque *b_layout,           \
            const void *beta, const void *c, const tri_lt_opaque *c_layout, void *d,               \
            const tri_lt_opaque *d_layout, const tri_lt_algorithm *, void *workspace,              \
            size_t workspace_bytes, tri_cu_stream))

typedef struct lt_table {
#define FN(member, symbol, parameters) int(*member) parameters;
    LT_FUNCTIONS(FN)
#undef FN
} lt_table;

static struct { /* written once, under pthread_once */
    lt_table table;
    tri_status status;
    tri_error error;
} library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct tri_cublaslt_plan {
    tri_cublaslt_plan *next;
    const lt_table *table;
    lt_handle handle;
    tri_cublaslt_product product;
    tri_lt_opaque desc, w;
    int32_t max_rows, n_buckets;
    tri_lt_algorithm algorithms[];
};

struct tri_cublaslt { /* of one context; under `lock` but for what plans hold */
    tri_cublaslt *next;
    const tri_cu *cu;
    tri_cu_context context;
    lt_handle handle;
    tri_cublaslt_plan *plans;
    int32_t n_refs;
};
/* Contexts are the process's, so what belongs to one is too. */
static tri_cublaslt *contexts;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the library ---- */

static tri_status load(lt_table *table, tri_error *err) {
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
        "/usr/local/cuda/lib64/libcublasLt.so"};
    const struct {
        const char *symbol;
        void **at;
    } wanted[] = {
#define FN(member, symbol, parameters) {symbol, (void **)(void *)&table->member},
        LT_FUNCTIONS(FN)
#undef FN
    };
    void *found = NULL;
    for (size_t i = 0; !found && i < sizeof names / sizeof names[0]; i++)
        found = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
    if (!found) {
        return TRI_FAIL(err, TRI_E_DEVICE,
            "no libcublasLt.so.13 or .12; install NVIDIA's package libcublas-13-0, or put its "
            "folder into LD_LIBRARY_PATH");
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].at = dlsym(found, wanted[i].symbol);
        if (!*wanted[i].at)
            return TRI_FAIL(err, TRI_E_DEVICE, "libcublasLt has no %s", wanted[i].symbol);
    }
    return TRI_OK;
}

static void load_once(void) {
    library.status = load(&library.table, &library.error);
}

static tri_status fail(int result, const char *what, tri_error *err) {
    return TRI_FAIL(err, TRI_E_DEVICE, "cuBLASLt: %s: status %d", what, result);
}

/* ---- contexts ---- */

static tri_status open_context(
    tri_cublaslt **lt, const tri_cu *cu, tri_cu_context context, tri_error *err) {
    tri_cublaslt *made = calloc(1, sizeof *made);
    if (!made) return TRI_FAIL(err, TRI_E_MEMORY, "cuBLASLt: no memory");
    int result = library.table.create(&made->handle);
    if (result) {
        free(made);
        return fail(result, "cublasLtCreate", err);
    }
    made->cu = cu;
    made->context = context;
    made->next = contexts;
    contexts = made;
    *lt = made;
    return TRI_OK;
}

tri_status tri_cublaslt_ref(tri_cublaslt **lt, const tri_cu *cu, tri_error *err) {
    tri_cu_context context = NULL;
    pthread_once(&once, load_once);
    if (library.status) return TRI_FAIL(err, library.status, "%s", library.error.message);
    TRI_CU_TRY(cu, context_pop(&context), "cuBLASLt: context", err);
    TRI_CU_TRY(cu, context_push(context), "cuBLASLt: context", err);
    pthread_mutex_lock(&lock);
    tri_status rc = TRI_OK;
    tri_cublaslt *at = contexts;
    while (at && at->context != context)
        at = at->next;
    if (!at) rc = open_context(&at, cu, context, err);
    if (!rc) {
        at->n_refs++;
        *lt = at;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static void close_context(tri_cublaslt *lt) {
    tri_cu_context popped;
    if (lt->cu->context_push(lt->context) == 0) {
        library.table.destroy(lt->handle);
        lt->cu->context_pop(&popped);
    }
    for (tri_cublaslt_plan *plan = lt->plans, *next; plan; plan = next) {
        next = plan->next;
        free(plan);
    }
    free(lt);
}

void tri_cublaslt_unref(tri_cublaslt *lt) {
    if (!lt) return;
    pthread_mutex_lock(&lock);
    if (--lt->n_refs == 0) {
        tri_cublaslt **at = &contexts;
        while (*at != lt)
            at = &(*at)->next;
        *at = lt->next;
        close_context(lt);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- plans ---- */

/* Buckets: by 32 rows to 256, by 128 to 1024, by 512 from there. */
enum { FINE = 32, FINE_ROWS = 256, MIDDLE = 128, MIDDLE_ROWS = 1024, COARSE = 512 };
enum {
    N_FINE = FINE_ROWS / FINE,
    N_MIDDLE = (MIDDLE_ROWS - FINE_ROWS) / MIDDLE,
};

static int32_t bucket_index(int32_t m) {
    if (m <= FINE_ROWS) return (m - 1) / FINE;
    if (m <= MIDDLE_ROWS) return N_FINE + (m - FINE_ROWS - 1) / MIDDLE;
    return N_FINE + N_MIDDLE + (m - MIDDLE_ROWS - 1) / COARSE;
}

static int32_t bucket_rows(int32_t i) {
    if (i < N_FINE) return (i + 1) * FINE;
    if (i < N_FINE + N_MIDDLE) return FINE_ROWS + (i - N_FINE + 1) * MIDDLE;
    return MIDDLE_ROWS + (i - N_FINE - N_MIDDLE + 1) * COARSE;
}

int32_t tri_cublaslt_bucket(int32_t m) {
    return bucket_rows(bucket_index(m));
}

typedef struct layouts {
    tri_lt_opaque x, c, y;
} layouts;

/* The library counts columns first: x is [K, m], y [N, m], w [K, N] to be transposed. */
static int init_layouts(
    const lt_table *t, const tri_cublaslt_product *p, int32_t m, layouts *made) {
    int type = p->bf16_out ? TRI_LT_BF16 : TRI_LT_F32;
    uint64_t n = (uint64_t)p->n, rows = (uint64_t)m;
    int64_t c_stride = p->add ? p->c_stride : p->y_stride;
    int result =
        t->layout_init(&made->x, sizeof made->x, TRI_LT_BF16, (uint64_t)p->k, rows, p->x_stride);
    if (!result) result = t->layout_init(&made->y, sizeof made->y, type, n, rows, p->y_stride);
    if (!result) result = t->layout_init(&made->c, sizeof made->c, type, n, rows, c_stride);
    return result;
}

static tri_status init_preference(
    const lt_table *t, const tri_cublaslt_product *p, tri_lt_opaque *preference, tri_error *err) {
    const uint32_t w_align = 16; /* rows of w are dense */
    const uint32_t alignments[] = {
        w_align, (uint32_t)p->x_align, (uint32_t)p->y_align, (uint32_t)p->y_align};
    size_t room = TRI_CUBLASLT_WORKSPACE_BYTES;
    int result = t->preference_init(preference, sizeof *preference);
    if (!result)
        result = t->preference_set(preference, TRI_LT_PREFER_WORKSPACE, &room, sizeof room);
    for (int i = 0; !result && i < 4; i++) {
        result = t->preference_set(
            preference, TRI_LT_PREFER_ALIGNMENT_A + i, &alignments[i], sizeof alignments[i]);
    }
    return result ? fail(result, "preference", err) : TRI_OK;
}

static tri_status choose_algorithms(tri_cublaslt_plan *plan, tri_error *err) {
    const lt_table *t = plan->table;
    const tri_cublaslt_product *p = &plan->product;
    tri_lt_opaque preference;
    int transpose = TRI_LT_TRANSPOSED;
    int result = t->desc_init(&plan->desc, sizeof plan->desc, TRI_LT_COMPUTE_F32, TRI_LT_F32);
    if (!result)
        result = t->desc_set(&plan->desc, TRI_LT_DESC_TRANSPOSE_A, &transpose, sizeof transpose);
    if (!result)
        result = t->layout_init(
            &plan->w, sizeof plan->w, TRI_LT_BF16, (uint64_t)p->k, (uint64_t)p->n, p->k);
    if (result) return fail(result, "descriptor", err);
    TRI_TRY(init_preference(t, p, &preference, err));
    for (int32_t i = 0; i < plan->n_buckets; i++) {
        layouts l;
        tri_lt_found found = {.state = -1};
        int n = 0;
        result = init_layouts(t, p, bucket_rows(i), &l);
        if (!result)
            result = t->heuristic(
                plan->handle, &plan->desc, &plan->w, &l.x, &l.c, &l.y, &preference, 1, &found, &n);
        if (result || n == 0 || found.state) {
            return TRI_FAIL(err, TRI_E_UNSUPPORTED,
                "cuBLASLt: no algorithm for [%" PRId32 ", %" PRId64 "] x [%" PRId64 ", %" PRId64
                "] (status %d)",
                bucket_rows(i), p->k, p->n, p->k, result);
        }
        plan->algorithms[i] = found.algorithm;
    }
    return TRI_OK;
}

static bool same_product(const tri_cublaslt_product *a, const tri_cublaslt_product *b) {
    return a->n == b->n && a->k == b->k && a->x_stride == b->x_stride &&
           a->y_stride == b->y_stride && a->c_stride == b->c_stride && a->x_align == b->x_align &&
           a->y_align == b->y_align && a->bf16_out == b->bf16_out && a->add == b->add;
}

static tri_status make_plan(tri_cublaslt *lt, const tri_cublaslt_product *product, int32_t max_rows,
    tri_cublaslt_plan **plan, tri_error *err) {
    int32_t n_buckets = bucket_index(max_rows > 0 ? max_rows : 1) + 1;
    tri_cublaslt_plan *made =
        calloc(1, sizeof *made + (size_t)n_buckets * sizeof made->algorithms[0]);
    if (!made) return TRI_FAIL(err, TRI_E_MEMORY, "cuBLASLt: no memory");
    made->table = &library.table;
    made->handle = lt->handle;
    made->product = *product;
    made->max_rows = bucket_rows(n_buckets - 1);
    made->n_buckets = n_buckets;
    tri_status rc = choose_algorithms(made, err);
    if (rc) {
        free(made);
        return rc;
    }
    made->next = lt->plans;
    lt->plans = made;
    *plan = made;
    return TRI_OK;
}

tri_status tri_cublaslt_find(tri_cublaslt *lt, const tri_cublaslt_product *product,
    int32_t max_rows, const tri_cublaslt_plan **plan, tri_error *err) {
    pthread_mutex_lock(&lock);
    tri_status rc = TRI_OK;
    tri_cublaslt_plan *at = lt->plans;
    while (at && !(same_product(&at->product, product) && max_rows <= at->max_rows))
        at = at->next;
    if (!at) rc = make_plan(lt, product, max_rows, &at, err);
    if (!rc) *plan = at;
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- at run ---- */

static void *pointer(uint64_t address) {
    return (void *)(uintptr_t)address;
}

tri_status tri_cublaslt_enqueue(
    const tri_cublaslt_plan *plan, const tri_cublaslt_run *run, tri_error *err) {
    TRI_ASSERT(run->n_rows > 0 && run->n_rows <= plan->max_rows);
    const float one = 1.0f, zero = 0.0f;
    const tri_cublaslt_product *p = &plan->product;
    layouts l;
    int result = init_layouts(plan->table, p, run->n_rows, &l);
    if (!result) {
        result = plan->table->product(plan->handle, &plan->desc, &one, pointer(run->w), &plan->w,
            pointer(run->x), &l.x, p->add ? &one : &zero, pointer(p->add ? run->c : run->y), &l.c,
            pointer(run->y), &l.y, &plan->algorithms[bucket_index(run->n_rows)],
            pointer(run->workspace), TRI_CUBLASLT_WORKSPACE_BYTES, run->stream);
    }
    if (!result) return TRI_OK;
    return TRI_FAIL(err, TRI_E_DEVICE,
        "cuBLASLt: [%" PRId32 ", %" PRId64 "] x [%" PRId64 ", %" PRId64 "]: status %d", run->n_rows,
        p->k, p->n, p->k, result);
}
