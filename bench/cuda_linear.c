/* cuda_linear.c - small-M linear layers of Llama-3.1-8B: every candidate, and cuBLASLt beside them.
 *
 *   cuda_linear compile FOLDER     fills FOLDER with cubins; needs no GPU
 *   cuda_linear FOLDER [TBPS]      CSV on stdout
 *   cuda_linear launches [TBPS]    the same of launches as an engine makes them: each candidate,
 * few rows and many, other dtypes and SmolLM2's shapes too
 *
 * A time is of a graph of dependent launches, each with weights of its own, together at least 1 GB,
 * so that all weights come from memory; median of 15 replays, divided by the launches.  floor: the
 * weight bytes over TBPS (4.63 TB/s, what the H200 reads at most); of launches also their
 * operations over 790 TFLOP/s, the larger. */
#include <dlfcn.h>

#include "base/codec.h"
#include "cuda_lab.h"
#include "graph/plugins.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/linear.h"
#include "kernels/kernels.h"
#include "passes/passes.h"

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

/* ---- launches ---- */

typedef struct ask {
    const char *name;
    int32_t weight, n, k; /* n: of w */
    int32_t group;        /* scales: 0 none, -1 rows */
    bool f32, bias, add, bf16_out;
    const char *gate;
} ask;

static const ask asks[] = {
    {"qkv", TRI_BF16, 6144, 4096, 0, false, false, false, true, ""},
    {"qkv bias", TRI_BF16, 6144, 4096, 0, false, true, false, true, ""},
    {"o", TRI_BF16, 4096, 4096, 0, false, false, true, false, ""},
    {"fc+gate", TRI_BF16, 28672, 4096, 0, false, false, false, false, ""},
    {"fc+gate silu", TRI_BF16, 28672, 4096, 0, false, false, false, true, "silu"},
    {"proj", TRI_BF16, 4096, 14336, 0, false, false, true, false, ""},
    {"fc+gate i4", TRI_I4, 28672, 4096, 128, false, false, false, false, ""},
    {"fc+gate i8", TRI_I8, 28672, 4096, -1, false, false, false, false, ""},
    {"fc+gate e4m3", TRI_F8_E4M3, 28672, 4096, -1, false, false, false, false, ""},
    {"fc+gate e4m3 silu", TRI_F8_E4M3, 28672, 4096, -1, false, false, false, true, "silu"},
    {"proj e4m3", TRI_F8_E4M3, 4096, 14336, -1, false, false, true, false, ""},
    {"smol fc", TRI_BF16, 1536, 576, 0, false, false, false, false, ""},
    {"smol fc f32", TRI_F32, 1536, 576, 0, true, false, false, false, ""},
    {"smol proj f32", TRI_F32, 576, 1536, 0, true, false, true, false, ""},
};
static const int32_t launch_rows[] = {1, 8, 32, 64, 128, 512, 2048};
enum { LAUNCH_ROWS = 2048, LAUNCH_COLUMNS = 28672, LAUNCH_CHAIN = 16 };

typedef struct launches {
    const tri_plugin_kernel *kernel;
    void *state;
    tri_plugin_launch launch;
    tri_plugin_tensor inputs[5], output;
    uint64_t pool;
    int64_t weight_bytes;
    int32_t n;
} launches;

static void run_launches(lab *l, void *arg) {
    launches *c = arg;
    c->launch.team = &l->queue;
    for (int32_t i = 0; i < c->n; i++) {
        c->inputs[1].data = (void *)(uintptr_t)(c->pool + (uint64_t)(i * c->weight_bytes));
        c->kernel->launch(c->state, &c->launch);
    }
}

/* Programs come from the folder. */
static void keep_program(void *user, const void *program) {
    lab *l = user;
    tri_error err = {0};
    char key[TRI_CUDA_KEY_BYTES], path[4096];
    lab_function(l, program, 0);
    if (tri_cuda_program_key(program, LAB_ARCH, key, &err)) lab_die(&err);
    (void)snprintf(path, sizeof path, "%s/%s.cubin", l->folder, key);
    uint8_t *cubin = lab_read(path);
    if (l->cu && tri_cuda_modules_add(l->queue.modules, key, cubin, &err)) lab_die(&err);
    free(cubin);
}

static void prepare_launch(lab *l, launches *c) {
    tri_error err = {0};
    l->queue.preparing = true;
    l->queue.collect = keep_program;
    l->queue.collect_user = l;
    c->kernel->launch(c->state, &c->launch);
    l->queue.collect = NULL;
    if (l->cu) c->kernel->launch(c->state, &c->launch);
    l->queue.preparing = false;
    if (tri_cuda_queue_status(&l->queue, c->kernel->name, &err)) lab_die(&err);
}

static void *device_pointer(uint64_t address) {
    return (void *)(uintptr_t)address;
}

static void time_ask(lab *l, const ask *a, const tri_plugin_kernel *kernel, const memory *m,
    uint64_t workspace, double tbps) {
    static const tri_plugin_type none = {.n_dims = -1};
    tri_plugin_device device = {.struct_size = sizeof device,
        .kind = "cuda",
        .arch = LAB_ARCH,
        .n_threads = l->n_multiprocessors};
    int64_t n_groups = a->group > 0 ? a->k / a->group : 1, n = *a->gate ? a->n / 2 : a->n;
    const tri_plugin_type inputs[5] = {
        {a->f32 ? TRI_F32 : TRI_BF16, 2, {TRI_DIM_T, a->k}, "row", false},
        {a->weight, 2, {a->n, a->k}, "row", true},
        a->bias ? (tri_plugin_type){TRI_F32, 1, {a->n}, "row", true} : none,
        a->add ? (tri_plugin_type){TRI_F32, 2, {TRI_DIM_T, n}, "row", false} : none,
        a->group ? (tri_plugin_type){TRI_F32, 2, {a->n, n_groups}, "row", true} : none};
    const tri_plugin_type output = {
        a->bf16_out ? TRI_BF16 : TRI_F32, 2, {TRI_DIM_T, n}, "row", false};
    const tri_plugin_field fields[2] = {
        {.name = "activation", .kind = 2, .s = a->f32 ? "f32" : "bf16"},
        {.name = "gate", .kind = 2, .s = a->gate}};
    const tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = "linear",
        .n_inputs = 5,
        .n_outputs = 1,
        .n_fields = 2,
        .inputs = inputs,
        .outputs = &output,
        .fields = fields,
        .device = &device,
        .max_tokens = LAUNCH_ROWS};
    char reason[160];
    if (kernel->supports(&desc, reason, sizeof reason)) {
        printf("# %s, %s: %s\n", a->name, kernel->name, reason);
        return;
    }
    tri_plugin_step step = {.struct_size = sizeof step};
    launches c = {.kernel = kernel,
        .pool = m->pool,
        .weight_bytes = tri_dtype_row_bytes((tri_dtype)a->weight, a->k) * a->n};
    int64_t fit = ((int64_t)1 << POOL_BYTES_LOG2) / c.weight_bytes;
    c.n = fit < LAUNCH_CHAIN ? (int32_t)fit : LAUNCH_CHAIN;
    c.inputs[0] = (tri_plugin_tensor){device_pointer(m->x), a->k * (a->f32 ? 4 : 2)};
    c.inputs[1] = (tri_plugin_tensor){
        device_pointer(m->pool), tri_dtype_row_bytes((tri_dtype)a->weight, a->k)};
    if (a->bias) c.inputs[2].data = device_pointer(m->scale);
    if (a->add) c.inputs[3] = (tri_plugin_tensor){device_pointer(m->y), n * 4};
    if (a->group) c.inputs[4].data = device_pointer(m->scale);
    c.output = (tri_plugin_tensor){device_pointer(m->y), n * (a->bf16_out ? 2 : 4)};
    c.launch = (tri_plugin_launch){.struct_size = sizeof c.launch,
        .step = &step,
        .inputs = c.inputs,
        .outputs = &c.output,
        .workspace = device_pointer(workspace),
        .team = &l->queue};
    if (kernel->create(&desc, &c.state)) exit(1);
    prepare_launch(l, &c);
    for (size_t i = 0; l->cu && i < sizeof launch_rows / sizeof launch_rows[0]; i++) {
        tri_plugin_cost cost;
        step.extents.n_tokens = launch_rows[i];
        kernel->cost(&desc, &step.extents, &cost);
        double us = lab_time(l, run_launches, &c) * 1e3 / c.n;
        double bytes_us = cost.bytes / (tbps * 1e6), flops_us = cost.flops / 790e6;
        double floor_us = bytes_us > flops_us ? bytes_us : flops_us;
        printf("%s,%s,%d,%d,%d,%.2f,%.0f,%.1f,%.3f\n", a->name, kernel->name, launch_rows[i], a->n,
            a->k, us, cost.bytes / us / 1e3, cost.flops / us / 1e6, floor_us / us);
        fflush(stdout);
    }
    kernel->destroy(c.state);
}

/* ---- layers without attention: norms between linears, or deferred ---- */

static const char layer_text[] =
    "trireme.graph 1\ngraph \"layer\" {\n"
    "  %0 = input name=\"logits\" : f32[R,4096]\n  %1 = weight name=\"n\" : f32[4096]\n"
    "  %2 = weight name=\"o\" : bf16[4096,4096]\n  %3 = weight name=\"fc\" : bf16[28672,4096]\n"
    "  %4 = weight name=\"proj\" : bf16[4096,14336]\n  %5 = weight name=\"qkv\" : bf16[6144,4096]\n"
    "  %6 = rms_norm(%0, %1) dtype=\"bf16\" : bf16[R,4096]\n"
    "  %7 = linear(%6, %2, accumulator=%0) activation=\"bf16\" : f32[R,4096]\n"
    "  %8 = rms_norm(%7, %1) dtype=\"bf16\" : bf16[R,4096]\n"
    "  %9 = linear(%8, %3) activation=\"bf16\" dtype=\"bf16\" gate=\"silu\" : bf16[R,14336]\n"
    "  %10 = linear(%9, %4, accumulator=%7) activation=\"bf16\" : f32[R,4096]\n"
    "  %11 = rms_norm(%10, %1) dtype=\"bf16\" : bf16[R,4096]\n"
    "  %12 = linear(%11, %5) activation=\"bf16\" dtype=\"bf16\" : bf16[R,6144]\n"
    "  output qkv = %12\n  output sum = %10\n}\n";
enum { LAYER_LAUNCHES = 16, LAYER_VALUES = 64, LAYER_ROWS = 32, LAYERS = 16 };

typedef struct layer_launch {
    launches c;
    tri_plugin_tensor inputs[TRI_MAX_OPERANDS], outputs[TRI_MAX_RESULTS];
    int32_t weight; /* operand that is a matrix, or -1 */
    int64_t first_byte;
} layer_launch;

typedef struct layer_chain {
    layer_launch launches[LAYER_LAUNCHES];
    int32_t n;
    uint64_t pool;
    int64_t layer_bytes;
} layer_chain;

static void run_layers(lab *l, void *arg) {
    layer_chain *all = arg;
    for (int32_t i = 0; i < LAYERS; i++) {
        for (int32_t k = 0; k < all->n; k++) {
            layer_launch *p = &all->launches[k];
            if (p->weight >= 0)
                p->inputs[p->weight].data =
                    device_pointer(all->pool + (uint64_t)(i * all->layer_bytes + p->first_byte));
            p->c.launch.team = &l->queue;
            p->c.kernel->launch(p->c.state, &p->c.launch);
        }
    }
}

static tri_plugin_tensor place_value(
    lab *l, const memory *m, uint64_t at[LAYER_VALUES], const tri_value *value) {
    int64_t columns = value->type.n_dims == 2 ? value->type.dims[1] : 1;
    int64_t bytes = tri_dtype_row_bytes(value->type.dtype, columns);
    if (value->constant) return (tri_plugin_tensor){device_pointer(m->scale), bytes};
    if (!at[value->id]) at[value->id] = lab_alloc(l, LAYER_ROWS * bytes);
    return (tri_plugin_tensor){device_pointer(at[value->id]), bytes};
}

static void make_layer_launch(lab *l, const memory *m, uint64_t workspace, tri_kernels *kernels,
    const tri_node *node, tri_plugin_step *step, uint64_t at[LAYER_VALUES], layer_chain *all) {
    layer_launch *p = &all->launches[all->n++];
    const tri_plugin_device device = {.struct_size = sizeof device,
        .kind = "cuda",
        .arch = LAB_ARCH,
        .n_threads = l->n_multiprocessors};
    tri_plugin_type types[TRI_MAX_OPERANDS + TRI_MAX_RESULTS];
    tri_plugin_field fields[TRI_MAX_ATTRS];
    tri_arena arena;
    tri_kernel_choice *choices;
    int32_t n_choices;
    tri_error err = {0};
    *p = (layer_launch){.weight = -1, .first_byte = all->layer_bytes};
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        types[i] = tri_plugin_type_of(value);
        if (!value) continue;
        p->inputs[i] = place_value(l, m, at, value);
        if (!value->constant || value->type.n_dims != 2) continue;
        p->weight = i;
        all->layer_bytes += value->type.dims[0] * p->inputs[i].row_stride_bytes;
    }
    for (int32_t i = 0; i < node->n_results; i++) {
        types[TRI_MAX_OPERANDS + i] = tri_plugin_type_of(node->results[i]);
        p->outputs[i] = place_value(l, m, at, node->results[i]);
    }
    tri_plugin_fields_of(node, fields);
    const tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = tri_op_get(node->op)->name,
        .n_inputs = node->n_operands,
        .n_outputs = node->n_results,
        .n_fields = node->n_attrs,
        .inputs = types,
        .outputs = types + TRI_MAX_OPERANDS,
        .fields = fields,
        .device = &device,
        .max_tokens = LAYER_ROWS,
        .max_sequences = LAYER_ROWS,
        .max_rows = LAYER_ROWS};
    tri_arena_init(&arena, 0);
    if (tri_kernels_choose(kernels, &desc, &arena, &choices, &n_choices, &err)) lab_die(&err);
    p->c.kernel = choices[0].kernel;
    tri_arena_deinit(&arena);
    p->c.launch = (tri_plugin_launch){.struct_size = sizeof p->c.launch,
        .step = step,
        .inputs = p->inputs,
        .outputs = p->outputs,
        .workspace = device_pointer(workspace),
        .team = &l->queue};
    if (p->c.kernel->create(&desc, &p->c.state)) exit(1);
    prepare_launch(l, &p->c);
}

static void time_layers(lab *l, const memory *m, uint64_t workspace, bool deferred) {
    static const int32_t counts[] = {1, 8, 32};
    static layer_chain all;
    uint64_t at[LAYER_VALUES] = {0};
    tri_plugin_step step = {.struct_size = sizeof step};
    tri_graph *g = NULL;
    tri_kernels *kernels = NULL;
    tri_error err = {0};
    all = (layer_chain){.pool = m->pool};
    if (tri_graph_parse(&g, layer_text, strlen(layer_text), &err) ||
        (deferred && tri_pass_defer_norms(g, l->n_multiprocessors, NULL, &err)) ||
        tri_kernels_create(&kernels, &err))
        lab_die(&err);
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op != TRI_OP_INPUT && node->op != TRI_OP_WEIGHT)
            make_layer_launch(l, m, workspace, kernels, node, &step, at, &all);
    }
    for (size_t i = 0; l->cu && i < sizeof counts / sizeof counts[0]; i++) {
        step.extents.n_rows = counts[i];
        double us = lab_time(l, run_layers, &all) * 1e3 / LAYERS;
        printf("layer,%s,%d,,,%.2f,%.0f,,%.3f\n", deferred ? "norms deferred" : "norms between",
            counts[i], us, (double)all.layer_bytes / us / 1e3,
            (double)all.layer_bytes / 4.63e6 / us);
    }
    for (int32_t k = 0; k < all.n; k++)
        if (all.launches[k].c.kernel->destroy)
            all.launches[k].c.kernel->destroy(all.launches[k].c.state);
    tri_kernels_destroy(kernels);
    tri_graph_destroy(g);
}

static void time_launches(lab *l, double tbps) {
    tri_error err = {0};
    int64_t pool_bytes = (int64_t)1 << POOL_BYTES_LOG2;
    if (l->cu && tri_cuda_modules_create(&l->queue.modules, l->cu, LAB_ARCH, &err)) lab_die(&err);
    const memory m = {.pool = lab_alloc(l, pool_bytes),
        .x = lab_alloc(l, (int64_t)LAUNCH_ROWS * 14336 * 4),
        .y = lab_alloc(l, (int64_t)LAUNCH_ROWS * LAUNCH_COLUMNS * 4),
        .scale = lab_alloc(l, LAUNCH_COLUMNS * 128 * 4)};
    uint64_t workspace = lab_alloc(l, (int64_t)1 << 29);
    lab_random(l, m.pool, pool_bytes, LAB_BF16, 1);
    lab_random(l, m.x, (int64_t)LAUNCH_ROWS * 14336 * 2, LAB_BF16, 2);
    lab_random(l, m.scale, LAUNCH_COLUMNS * 128 * 4, LAB_F32, 3);
    printf("layer,kernel,T,N,K,us,GB/s,TFLOP/s,share_of_floor\n");
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        for (int32_t k = 0; tri_cuda_linear_kernels[k]; k++) {
            if (strcmp(tri_cuda_linear_kernels[k]->op, "linear") == 0)
                time_ask(l, &asks[i], tri_cuda_linear_kernels[k], &m, workspace, tbps);
        }
    }
    for (int32_t deferred = 0; deferred < 2; deferred++)
        time_layers(l, &m, workspace, deferred != 0);
}

/* ---- all ---- */

int main(int argc, char **argv) {
    bool of_launches = argc > 1 && strcmp(argv[1], "launches") == 0;
    if (of_launches) {
        argv++;
        argc--;
    }
    bool compile_only = argc > 2 && strcmp(argv[1], "compile") == 0;
    if (argc < 2) return 2;
    double tbps = !compile_only && argc > 2 ? atof(argv[2]) : 4.63;
    lab l;
    lab_open(&l, argv[compile_only ? 2 : 1], compile_only);
    if (of_launches) {
        time_launches(&l, tbps);
        return 0;
    }
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
