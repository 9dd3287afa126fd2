/* cuda_rows.c - the row ops of the Llama-3.1-8B shape on a CUDA device: norms, gates, sums, rope
 * with the cache write, embedding; kernels from the registry's lists.
 *
 *   cuda_rows FOLDER [TBPS]      CSV on stdout; FOLDER as for the other CUDA benches
 *
 * A graph of 32 dependent launches; us: of one, floor: the bytes of its cost over TBPS.  Operands
 * of a few tokens stay in the L2, those of a prompt do not.  Median of 15 replays. */
#include "cuda_lab.h"
#include "kernels/cuda/families.h"

enum {
    LAUNCHES = 32,
    WIDTH = 4096,
    INNER = 14336,
    HEADS = 32,
    KV_HEADS = 8,
    HEAD = 128,
    BLOCK = 32,
    VOCAB = 128256,
    MAX_TOKENS = 8192,
    MAX_OPERANDS = 8
};

typedef struct operand {
    int32_t dtype;
    int64_t rows, columns; /* rows -1: tokens; 0: a vector, constant */
} operand;

typedef struct spec {
    const char *op;
    operand inputs[MAX_OPERANDS], outputs[2];
    int32_t n_inputs, n_outputs;
} spec;

#define T_BF16(n)                                                                                  \
    { TRI_BF16, -1, n }
#define T_F32(n)                                                                                   \
    { TRI_F32, -1, n }
#define CACHE                                                                                      \
    { TRI_BF16, KV_HEADS, HEAD }

static const spec specs[] = {
    {"embedding", {{TRI_I32, -1, 0}, {TRI_BF16, VOCAB, WIDTH}}, {T_F32(WIDTH)}, 2, 1},
    {"rms_norm", {T_F32(WIDTH), {TRI_F32, 0, WIDTH}}, {T_BF16(WIDTH)}, 2, 1},
    {"add_rms_norm", {T_F32(WIDTH), T_F32(WIDTH), {TRI_F32, 0, WIDTH}},
        {T_F32(WIDTH), T_BF16(WIDTH)}, 3, 2},
    {"add", {T_F32(WIDTH), T_F32(WIDTH)}, {T_F32(WIDTH)}, 2, 1},
    {"gated_activation", {T_BF16(2 * INNER)}, {T_BF16(INNER)}, 1, 1},
    {"rope_kv_write",
        {T_BF16(HEADS * HEAD), T_BF16(KV_HEADS *HEAD), T_BF16(KV_HEADS *HEAD), CACHE,
            {TRI_I32, -1, 0}, {TRI_F32, 0, HEAD / 2}},
        {T_BF16(HEADS * HEAD), CACHE}, 6, 2},
};

typedef struct bench {
    uint64_t memory[MAX_OPERANDS + 2], positions, cu_seqlens, context_lens, tables;
    tri_plugin_tensor inputs[MAX_OPERANDS], outputs[2];
    tri_plugin_cache cache;
    const tri_plugin_cache *caches[MAX_OPERANDS];
    tri_plugin_step step;
    const tri_plugin_kernel *kernel;
    void *state;
} bench;

static const tri_plugin_kernel *find(const char *op) {
    const tri_plugin_kernel *const *const lists[] = {tri_cuda_rows_kernels, tri_cuda_rope_kernels};
    for (int32_t i = 0; i < 2; i++)
        for (int32_t k = 0; lists[i][k]; k++)
            if (strcmp(lists[i][k]->op, op) == 0) return lists[i][k];
    exit(1);
}

static int64_t elem_bytes(int32_t dtype) {
    return dtype == TRI_BF16 ? 2 : 4;
}

static tri_plugin_type type_of(const operand *o) {
    bool is_vector = o->rows == 0 || o->columns == 0;
    return (tri_plugin_type){.dtype = o->dtype,
        .n_dims = is_vector ? 1 : 2,
        .dims = {o->rows == -1 ? TRI_DIM_T
                 : is_vector   ? o->columns
                               : o->rows,
            o->columns},
        .layout = "row",
        .constant = o->rows != -1};
}

/* Rows of the table that lie apart. */
static void set_tokens(lab *l, uint64_t to) {
    static int32_t tokens[MAX_TOKENS];
    for (int32_t i = 0; i < MAX_TOKENS; i++)
        tokens[i] = (int32_t)(1999 * (int64_t)(i + 1) % VOCAB);
    lab_upload(l, to, tokens, sizeof tokens);
}

static tri_plugin_tensor make_tensor(lab *l, const operand *o, uint64_t *memory) {
    int64_t columns = o->columns ? o->columns : 1;
    int64_t rows = o->rows == -1 ? MAX_TOKENS : o->rows ? o->rows : 1;
    int64_t n_bytes = rows * columns * elem_bytes(o->dtype);
    if (!*memory) {
        *memory = lab_alloc(l, n_bytes);
        if (o->dtype == TRI_I32) {
            set_tokens(l, *memory);
        } else {
            lab_random(l, *memory, n_bytes, o->dtype == TRI_BF16 ? LAB_BF16 : LAB_F32, 7);
        }
    }
    return (tri_plugin_tensor){(void *)(uintptr_t)*memory, columns * elem_bytes(o->dtype)};
}

/* Decode steps of one token a sequence, or one prompt. */
static void set_step(lab *l, bench *b, int32_t n_tokens) {
    static int32_t cu[MAX_TOKENS + 1], context[MAX_TOKENS], table[MAX_TOKENS];
    bool is_prompt = n_tokens > 64;
    int32_t n = is_prompt ? 1 : n_tokens, blocks = is_prompt ? MAX_TOKENS / BLOCK : 4;
    for (int32_t s = 0; s < n; s++) {
        cu[s + 1] = is_prompt ? n_tokens : s + 1;
        context[s] = is_prompt ? n_tokens : 128;
    }
    for (int32_t i = 0; i < n * blocks; i++)
        table[i] = i;
    lab_upload(l, b->cu_seqlens, cu, (n + 1) * 4);
    lab_upload(l, b->context_lens, context, n * 4);
    lab_upload(l, b->tables, table, n * blocks * 4);
    b->cache.max_blocks = blocks;
    b->step.extents = (tri_plugin_extents){.n_tokens = n_tokens, .n_sequences = n, .n_rows = n};
}

static void run(lab *l, void *arg) {
    bench *b = arg;
    const tri_plugin_launch launch = {.struct_size = sizeof launch,
        .step = &b->step,
        .inputs = b->inputs,
        .outputs = b->outputs,
        .caches = b->caches,
        .team = &l->queue};
    for (int32_t i = 0; i < (l->queue.preparing ? 1 : LAUNCHES); i++)
        b->kernel->launch(b->state, &launch);
}

static void measure(lab *l, bench *b, const spec *s, double tbps) {
    static const int32_t counts[] = {1, 8, 64, 512, MAX_TOKENS};
    tri_error err = {0};
    tri_plugin_type types[MAX_OPERANDS + 2];
    memset(b->memory, 0, sizeof b->memory);
    for (int32_t i = 0; i < s->n_inputs; i++) {
        types[i] = type_of(&s->inputs[i]);
        b->inputs[i] = make_tensor(l, &s->inputs[i], &b->memory[i]);
        b->caches[i] = &b->cache;
    }
    for (int32_t i = 0; i < s->n_outputs; i++) {
        types[MAX_OPERANDS + i] = type_of(&s->outputs[i]);
        b->outputs[i] = make_tensor(l, &s->outputs[i], &b->memory[MAX_OPERANDS + i]);
    }
    const tri_plugin_device facts = {.kind = "cuda", .arch = LAB_ARCH, .n_threads = 132};
    const tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = s->op,
        .n_inputs = s->n_inputs,
        .n_outputs = s->n_outputs,
        .inputs = types,
        .outputs = types + MAX_OPERANDS,
        .device = &facts,
        .tokens_per_block = BLOCK,
        .max_tokens = MAX_TOKENS,
        .max_sequences = 64,
        .max_rows = 64};
    b->kernel = find(s->op);
    if (b->kernel->create(&desc, &b->state)) exit(1);
    l->queue.preparing = true;
    run(l, b);
    l->queue.preparing = false;
    if (tri_cuda_queue_status(&l->queue, s->op, &err)) lab_die(&err);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        tri_plugin_cost cost;
        set_step(l, b, counts[c]);
        b->kernel->cost(&desc, &b->step.extents, &cost);
        double us = lab_time(l, run, b) * 1e3 / LAUNCHES;
        printf("%s,%d,%.2f,%.0f,%.3f\n", s->op, (int)counts[c], us, cost.bytes / us / 1e3,
            cost.bytes / (tbps * 1e6) / us);
        fflush(stdout);
    }
    b->kernel->destroy(b->state);
    for (int32_t i = 0; i < MAX_OPERANDS + 2; i++)
        if (b->memory[i]) l->cu->free(b->memory[i]);
}

int main(int argc, char **argv) {
    enum { N_BLOCKS = MAX_TOKENS / BLOCK, BLOCK_BYTES = 2 * KV_HEADS * BLOCK * HEAD * 2 };
    static int32_t positions[MAX_TOKENS];
    double tbps = argc > 2 ? atof(argv[2]) : 4.28;
    tri_error err = {0};
    lab l;
    bench b = {0};
    if (argc < 2) return 2;
    lab_open(&l, argv[1], false);
    if (tri_cuda_modules_create(&l.queue.modules, l.cu, LAB_ARCH, &err)) lab_die(&err);
    for (int32_t i = 0; i < MAX_TOKENS; i++)
        positions[i] = i;
    b.positions = lab_alloc(&l, sizeof positions);
    b.cu_seqlens = lab_alloc(&l, sizeof positions + 4);
    b.context_lens = lab_alloc(&l, sizeof positions);
    b.tables = lab_alloc(&l, sizeof positions);
    lab_upload(&l, b.positions, positions, sizeof positions);
    b.cache = (tri_plugin_cache){.struct_size = sizeof b.cache,
        .base = (uint8_t *)(uintptr_t)lab_alloc(&l, (int64_t)N_BLOCKS * BLOCK_BYTES),
        .block_stride_bytes = BLOCK_BYTES,
        .v_offset_bytes = BLOCK_BYTES / 2,
        .n_blocks = N_BLOCKS,
        .tokens_per_block = BLOCK,
        .n_kv_heads = KV_HEADS,
        .head_size = HEAD,
        .dtype = TRI_BF16,
        .block_tables = (const int32_t *)(uintptr_t)b.tables};
    b.step = (tri_plugin_step){.struct_size = sizeof b.step,
        .positions = (const int32_t *)(uintptr_t)b.positions,
        .cu_seqlens = (const int32_t *)(uintptr_t)b.cu_seqlens,
        .context_lens = (const int32_t *)(uintptr_t)b.context_lens};
    printf("op,tokens,us,GB/s,share_of_floor\n");
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        measure(&l, &b, &specs[i], tbps);
    return 0;
}
