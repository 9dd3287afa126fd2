/* cuda_attention.c - the op attention on a GPU: prompts and decoding, microseconds a launch.
 *
 *     bench_cuda_attention CUBINS [compile]
 *
 * compile: fills the folder with programs, needs no GPU.  Each figure is of a graph of dependent
 * launches, each with a cache of its own, 2 GB in all or more.  floor: reading keys and values at
 * TBPS, or 4 D operations a head and pair of positions at TFLOPS.  Prints CSV. */
#include <math.h>
#include <string.h>

#include "cuda_lab.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/family.h"

enum { BLOCK = 32, MAX_LAYERS = 32, MAX_S = 256, MAX_T = 8192 };
static const double tbps = 4.63, tflops = 796;
static const int64_t pool_bytes = INT64_C(36) << 30, least_bytes = INT64_C(2) << 30;

typedef struct bench {
    int32_t n_heads, n_kv_heads, head_size;
    const tri_plugin_kernel *kernel;
    void *state;
    int64_t workspace_bytes;
    uint64_t pool, q, y, work, tables, cu, contexts;
    int32_t n_sequences, n_tokens, n_layers, max_blocks;
    int64_t layer_bytes;
} bench;

static void add_cubin(void *user, const void *what) {
    lab *l = user;
    const tri_cuda_program *program = what;
    char key[TRI_CUDA_KEY_BYTES], path[4096];
    tri_error err = {0};
    lab_function(l, program, 0);
    if (tri_cuda_program_key(program, LAB_ARCH, key, &err)) lab_die(&err);
    (void)snprintf(path, sizeof path, "%s/%s.cubin", l->folder, key);
    uint8_t *cubin = lab_read(path);
    if (l->cu && tri_cuda_modules_add(l->queue.modules, key, cubin, &err)) lab_die(&err);
    free(cubin);
}

static bool open_kernel(lab *l, bench *b, const tri_plugin_kernel *kernel) {
    const tri_plugin_device device = {
        .kind = "cuda", .arch = LAB_ARCH, .n_threads = l->n_multiprocessors};
    const tri_plugin_field fields[] = {{.name = "n_heads", .kind = 0, .i = b->n_heads}};
    int64_t columns = (int64_t)b->n_heads * b->head_size;
    const tri_plugin_type inputs[2] = {
        {.dtype = TRI_BF16, .n_dims = 2, .dims = {TRI_DIM_T, columns}, .layout = "row"},
        {.dtype = TRI_BF16, .n_dims = 2, .dims = {b->n_kv_heads, b->head_size}}};
    const tri_plugin_type output = {
        .dtype = TRI_BF16, .n_dims = 2, .dims = {TRI_DIM_T, columns}, .layout = "row"};
    const tri_plugin_desc desc = {.op = "attention",
        .n_inputs = 2,
        .n_outputs = 1,
        .n_fields = 1,
        .inputs = inputs,
        .outputs = &output,
        .fields = fields,
        .device = &device,
        .tokens_per_block = BLOCK,
        .max_tokens = MAX_T,
        .max_sequences = MAX_S};
    char reason[128] = "";
    b->kernel = kernel;
    if (kernel->supports(&desc, reason, sizeof reason) || kernel->create(&desc, &b->state))
        return false;
    b->workspace_bytes = kernel->workspace_bytes ? kernel->workspace_bytes(&desc) : 0;
    tri_cuda_queue collecting = {.preparing = true, .collect = add_cubin, .collect_user = l};
    kernel->launch(b->state, &(tri_plugin_launch){.team = &collecting});
    if (!l->cu) return true;
    l->queue.preparing = true;
    kernel->launch(b->state, &(tri_plugin_launch){.team = &l->queue});
    l->queue.preparing = false;
    if (l->queue.status) lab_die(&l->queue.error);
    return true;
}

static void run(lab *l, void *arg) {
    const bench *b = arg;
    int64_t stride = (int64_t)b->n_heads * b->head_size * 2;
    int64_t half = (int64_t)b->n_kv_heads * BLOCK * b->head_size * 2;
    const tri_plugin_step step = {.extents = {b->n_tokens, b->n_sequences, 0, 0},
        .cu_seqlens = (const int32_t *)(uintptr_t)b->cu,
        .context_lens = (const int32_t *)(uintptr_t)b->contexts};
    for (int32_t i = 0; i < b->n_layers; i++) {
        const tri_plugin_cache cache = {
            .base = (uint8_t *)(uintptr_t)(b->pool + (uint64_t)(i * b->layer_bytes)),
            .block_stride_bytes = 2 * half,
            .v_offset_bytes = half,
            .n_blocks = b->n_sequences * b->max_blocks,
            .tokens_per_block = BLOCK,
            .n_kv_heads = b->n_kv_heads,
            .head_size = b->head_size,
            .dtype = TRI_BF16,
            .block_tables = (const int32_t *)(uintptr_t)b->tables,
            .max_blocks = b->max_blocks};
        const tri_plugin_cache *caches[2] = {NULL, &cache};
        const tri_plugin_tensor inputs[2] = {{(void *)(uintptr_t)b->q, stride}, {0}};
        const tri_plugin_tensor output = {(void *)(uintptr_t)b->y, stride};
        b->kernel->launch(b->state, &(tri_plugin_launch){.step = &step,
                                        .inputs = inputs,
                                        .outputs = &output,
                                        .caches = caches,
                                        .workspace = (void *)(uintptr_t)b->work,
                                        .team = &l->queue});
    }
}

static void measure(lab *l, bench *b, int32_t n_sequences, int32_t n, int32_t context) {
    int32_t cu[MAX_S + 1] = {0}, contexts[MAX_S];
    b->n_sequences = n_sequences;
    b->n_tokens = n_sequences * n;
    b->max_blocks = (context + BLOCK - 1) / BLOCK;
    int32_t n_blocks = n_sequences * b->max_blocks;
    int32_t *tables = malloc((size_t)n_blocks * sizeof *tables);
    if (!tables) exit(1);
    for (int32_t i = 0; i < n_sequences; i++) {
        cu[i + 1] = cu[i] + n;
        contexts[i] = context;
    }
    for (int32_t i = 0; i < n_blocks; i++)
        tables[i] = i;
    for (int32_t i = n_blocks - 1; i > 0; i--) {
        int32_t j = (int32_t)(((int64_t)i * 7919 + 17) % (i + 1)), t = tables[i];
        tables[i] = tables[j];
        tables[j] = t;
    }
    lab_upload(l, b->tables, tables, n_blocks * 4);
    lab_upload(l, b->cu, cu, (n_sequences + 1) * 4);
    lab_upload(l, b->contexts, contexts, n_sequences * 4);
    free(tables);
    b->layer_bytes = (int64_t)n_blocks * 4 * b->n_kv_heads * BLOCK * b->head_size;
    int64_t layers = (least_bytes + b->layer_bytes - 1) / b->layer_bytes;
    b->n_layers = layers < 4 ? 4 : layers > MAX_LAYERS ? MAX_LAYERS : (int32_t)layers;
    if (b->n_layers * b->layer_bytes > pool_bytes)
        b->n_layers = (int32_t)(pool_bytes / b->layer_bytes);
    double us = lab_time(l, run, b) * 1e3 / b->n_layers;
    double bytes = 4.0 * b->n_kv_heads * b->head_size * context * n_sequences;
    double pairs = (double)n * context - (double)n * (n - 1) / 2;
    double flops = 4.0 * b->n_heads * b->head_size * pairs * n_sequences;
    double floor_us = fmax(bytes / tbps, flops / tflops) / 1e6;
    printf("%s,%d/%d x %d,%d,%d,%d,%.2f,%.2f,%.1f,%.3f\n", b->kernel->name, (int)b->n_heads,
        (int)b->n_kv_heads, (int)b->head_size, (int)n_sequences, (int)n, (int)context, us,
        bytes / us / 1e6, flops / us / 1e6, floor_us / us);
    fflush(stdout);
}

static void measure_shape(lab *l, bench *b) {
    static const int32_t decode[][2] = {{1, 128}, {1, 1024}, {1, 8192}, {1, 32768}, {8, 128},
        {8, 1024}, {8, 8192}, {32, 128}, {32, 1024}, {32, 8192}, {128, 128}, {128, 1024},
        {128, 8192}, {256, 128}};
    static const int32_t prompts[][3] = {
        {1, 512, 512}, {1, 2048, 2048}, {1, 8192, 8192}, {8, 1024, 1024}, {2, 1024, 8192}};
    for (size_t i = 0; i < sizeof decode / sizeof decode[0]; i++)
        measure(l, b, decode[i][0], 1, decode[i][1]);
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++)
        measure(l, b, prompts[i][0], prompts[i][1], prompts[i][2]);
}

int main(int argc, char **argv) {
    static const int32_t heads[][3] = {{32, 8, 128}, {32, 8, 64}};
    lab l;
    tri_error err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: %s CUBINS [compile]\n", argv[0]);
        return 1;
    }
    bool compile = argc > 2 && strcmp(argv[2], "compile") == 0;
    lab_open(&l, argv[1], compile);
    if (l.cu && tri_cuda_modules_create(&l.queue.modules, l.cu, LAB_ARCH, &err)) lab_die(&err);
    printf("kernel,heads,sequences,tokens,context,us,TB/s,TFLOP/s,share of the floor\n");
    uint64_t pool = lab_alloc(&l, pool_bytes), q = lab_alloc(&l, (int64_t)MAX_T * 4096 * 2),
             y = lab_alloc(&l, (int64_t)MAX_T * 4096 * 2), lists = lab_alloc(&l, 8 << 20);
    lab_random(&l, pool, pool_bytes, LAB_BF16, 1);
    lab_random(&l, q, (int64_t)MAX_T * 4096 * 2, LAB_BF16, 2);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        for (int32_t k = 0; tri_cuda_attention_kernels[k]; k++) {
            bench b = {.n_heads = heads[i][0],
                .n_kv_heads = heads[i][1],
                .head_size = heads[i][2],
                .pool = pool,
                .q = q,
                .y = y,
                .cu = lists,
                .contexts = lists + 4096,
                .tables = lists + 8192};
            if (!open_kernel(&l, &b, tri_cuda_attention_kernels[k])) continue;
            b.work = lab_alloc(&l, b.workspace_bytes);
            if (l.cu) measure_shape(&l, &b);
            b.kernel->destroy(b.state);
        }
    }
    return 0;
}
