/* cuda_decode.c - decode attention, and whole decode steps of the Llama-3.1-8B shape, as one graph.
 *
 *   cuda_decode compile FOLDER     fills FOLDER with cubins; needs no GPU
 *   cuda_decode FOLDER [TBPS]      CSV on stdout
 *
 * attention: a graph of 32 dependent launches, each layer with a cache of its own; floor: its keys
 * and values over TBPS.  step: embedding, step_plan, 32 layers of five kernels (qkv, attention with
 * rope and cache write, o, gate-up, down; norms are folded into the linear layers around them),
 * head; dummy weights made on the device; floor: all weights and the cache once over TBPS.  Median
 * of 15 replays. */
#include "cuda_lab.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/rows.h"

enum {
    LAYERS = 32,
    WIDTH = 4096,
    INNER = 14336,
    HEADS = 32,
    KV_HEADS = 8,
    HEAD = 128,
    QKV = (HEADS + 2 * KV_HEADS) * HEAD,
    VOCAB = 128256,
    BLOCK = 32,    /* tokens a cache block */
    MAX_ROWS = 64, /* of the linear layers */
    MAX_SEQUENCES = 256,
    BLOCK_BYTES = 2 * KV_HEADS * BLOCK * HEAD * 2
};

static const tri_cuda_attention_desc attention_desc = {HEADS, KV_HEADS, BLOCK};

typedef struct model {
    uint64_t layers[LAYERS][4]; /* qkv, o, gate_up, down */
    uint64_t norms, head, table, scale;
    uint64_t tokens, context_lens, positions, frequencies, block_tables;
    uint64_t cache, work, x, y16, qkv, attended, inner, logits, parts;
    int64_t layer_cache_bytes; /* from one layer's cache to the next */
    int32_t n_blocks;          /* of a layer */
} model;

typedef struct program {
    tri_cu_function function;
    tri_cuda_grid grid;
} program;

typedef struct step {
    const model *m;
    int32_t n, max_blocks;
    bool no_attention; /* what it costs: left out */
    tri_cuda_attention_workspace place;
    program embedding, plan, attention, linear[5];
    tri_cuda_linear_desc desc[5];
    tri_cuda_linear_config config[5];
} step;

static program get(lab *l, const tri_cuda_program *p, tri_cuda_grid grid) {
    return (program){lab_function(l, p, grid.shared_bytes), grid};
}

/* ---- what runs ---- */

static void enqueue(lab *l, const program *p, const void *arguments) {
    lab_enqueue(l, p->function, &p->grid, arguments);
}

static void enqueue_plan(lab *l, const step *s) {
    const model *m = s->m;
    const tri_cuda_plan_arguments a = {.context_lens = m->context_lens,
        .positions = m->positions,
        .frequencies = m->frequencies,
        .items = m->work + (uint64_t)s->place.items,
        .first_item = m->work + (uint64_t)s->place.first_item,
        .rotations = m->work + (uint64_t)s->place.rotations,
        .n_sequences = s->n};
    enqueue(l, &s->plan, &a);
}

static void enqueue_attention(lab *l, const step *s, int32_t layer) {
    const model *m = s->m;
    tri_cuda_attention_arguments a = {.qkv = m->qkv,
        .y = m->attended,
        .block_tables = m->block_tables,
        .context_lens = m->context_lens,
        .items = m->work + (uint64_t)s->place.items,
        .first_item = m->work + (uint64_t)s->place.first_item,
        .rotations = m->work + (uint64_t)s->place.rotations,
        .parts = m->work + (uint64_t)s->place.parts,
        .part_sums = m->work + (uint64_t)s->place.part_sums,
        .counters = m->work + (uint64_t)s->place.counters,
        .max_blocks = s->max_blocks,
        .n_sequences = s->n,
        .scale_log2 = 1.4426950408889634f / 11.313708498984761f};
    tri_error err = {0};
    if (l->cu && tri_cuda_attention_map(l->cu, &attention_desc,
                     m->cache + (uint64_t)(layer * m->layer_cache_bytes), BLOCK_BYTES,
                     BLOCK_BYTES / 2, m->n_blocks, &a, &err))
        lab_die(&err);
    enqueue(l, &s->attention, &a);
}

static void enqueue_linear(
    lab *l, const step *s, int32_t i, uint64_t w, uint64_t x, uint64_t y, uint64_t next_norm) {
    const model *m = s->m;
    const tri_cuda_linear_desc *d = &s->desc[i];
    tri_cuda_linear_arguments a = {.y = y,
        .r = m->x,
        .scale = m->scale,
        .norm_in = m->parts,
        .norm_out = m->parts,
        .next_weight = next_norm,
        .y16 = m->y16,
        .y_stride = d->n,
        .r_stride = d->n,
        .y16_stride = d->n,
        .in_row = 1,
        .in_part = TRI_CUDA_NORM_STRIDE,
        .out_row = 1,
        .out_part = TRI_CUDA_NORM_STRIDE,
        .n_rows = s->n,
        .eps = 1e-5f};
    tri_error err = {0};
    if (l->cu && tri_cuda_linear_map(l->cu, d, &s->config[i], w, x, d->k, s->n, &a, &err))
        lab_die(&err);
    enqueue(l, &s->linear[i], &a);
}

static void run_attention(lab *l, void *arg) {
    const step *s = arg;
    enqueue_plan(l, s);
    for (int32_t i = 0; i < LAYERS; i++)
        enqueue_attention(l, s, i);
}

static void run_step(lab *l, void *arg) {
    const step *s = arg;
    const model *m = s->m;
    const tri_cuda_embedding_arguments embedding = {.tokens = m->tokens,
        .table = m->table,
        .x = m->x,
        .w = m->norms,
        .y16 = m->y16,
        .parts = m->parts,
        .table_stride = WIDTH * 2,
        .x_stride = WIDTH * 4,
        .n_rows = VOCAB};
    enqueue_plan(l, s);
    enqueue(l, &s->embedding, &embedding);
    for (int32_t i = 0; i < LAYERS; i++) {
        uint64_t norm = m->norms + (uint64_t)(2 * i * WIDTH) * 4;
        enqueue_linear(l, s, 0, m->layers[i][0], m->y16, m->qkv, 0);
        if (!s->no_attention) enqueue_attention(l, s, i);
        enqueue_linear(l, s, 1, m->layers[i][1], m->attended, m->x, norm + WIDTH * 4);
        enqueue_linear(l, s, 2, m->layers[i][2], m->y16, m->inner, 0);
        enqueue_linear(l, s, 3, m->layers[i][3], m->inner, m->x, norm + 2 * WIDTH * 4);
    }
    enqueue_linear(l, s, 4, m->head, m->y16, m->logits, 0);
}

/* ---- making ---- */

static uint64_t weights(lab *l, int64_t n, int64_t k, bool fp8, uint32_t seed) {
    int64_t n_bytes = n * k * (fp8 ? 1 : 2);
    uint64_t w = lab_alloc(l, n_bytes);
    lab_random(l, w, n_bytes, fp8 ? LAB_E4M3 : LAB_BF16, seed);
    return w;
}

static void make_weights(lab *l, model *m, bool fp8) {
    static const int64_t shapes[4][2] = {
        {QKV, WIDTH}, {WIDTH, HEADS * HEAD}, {2 * INNER, WIDTH}, {WIDTH, INNER}};
    for (int32_t i = 0; i < LAYERS; i++)
        for (int32_t j = 0; j < 4; j++)
            m->layers[i][j] = weights(l, shapes[j][0], shapes[j][1], fp8, (uint32_t)(4 * i + j));
    m->head = weights(l, VOCAB, WIDTH, fp8, 1000);
}

static void free_weights(lab *l, model *m) {
    lab_sync(l);
    for (int32_t i = 0; l->cu && i < LAYERS; i++)
        for (int32_t j = 0; j < 4; j++)
            l->cu->free(m->layers[i][j]);
    if (l->cu) l->cu->free(m->head);
}

static void make_model(lab *l, model *m, int64_t max_items) {
    float frequencies[HEAD / 2];
    int32_t tokens[MAX_ROWS];
    m->n_blocks = 8192 + 256;
    m->layer_cache_bytes = (int64_t)m->n_blocks * BLOCK_BYTES;
    m->cache = lab_alloc(l, LAYERS * m->layer_cache_bytes);
    for (int32_t i = 0; i < LAYERS; i++)
        lab_random(l, m->cache + (uint64_t)(i * m->layer_cache_bytes), m->layer_cache_bytes,
            LAB_BF16, (uint32_t)(2000 + i));
    m->table = weights(l, VOCAB, WIDTH, false, 1001);
    m->norms = weights(l, 2 * (2 * LAYERS + 1), WIDTH, false, 1002);
    m->scale = lab_alloc(l, VOCAB * 4);
    lab_random(l, m->scale, VOCAB * 4, LAB_F32, 1003);
    m->tokens = lab_alloc(l, sizeof tokens);
    m->context_lens = lab_alloc(l, MAX_SEQUENCES * 4);
    m->positions = lab_alloc(l, MAX_SEQUENCES * 4);
    m->frequencies = lab_alloc(l, sizeof frequencies);
    m->block_tables = lab_alloc(l, (int64_t)m->n_blocks * 4);
    m->work = lab_alloc(l, tri_cuda_attention_place(&attention_desc, max_items, MAX_SEQUENCES).end);
    m->x = lab_alloc(l, MAX_ROWS * WIDTH * 4);
    m->y16 = lab_alloc(l, MAX_ROWS * WIDTH * 2);
    m->qkv = lab_alloc(l, MAX_SEQUENCES * QKV * 2);
    m->attended = lab_alloc(l, MAX_SEQUENCES * HEADS * HEAD * 2);
    m->inner = lab_alloc(l, MAX_ROWS * INNER * 2);
    m->logits = lab_alloc(l, (int64_t)MAX_ROWS * VOCAB * 4);
    m->parts = lab_alloc(l, l->n_multiprocessors * TRI_CUDA_NORM_STRIDE * 4);
    lab_random(l, m->qkv, MAX_SEQUENCES * QKV * 2, LAB_BF16, 1004);
    for (int32_t i = 0; i < MAX_ROWS; i++)
        tokens[i] = 1999 * (i + 1) % VOCAB;
    float f = 1.0f;
    for (int32_t i = 0; i < HEAD / 2; i++, f *= 0.8146f) /* 500000^(-1/64) */
        frequencies[i] = f;
    lab_upload(l, m->tokens, tokens, sizeof tokens);
    lab_upload(l, m->frequencies, frequencies, sizeof frequencies);
}

/* n sequences of `context` tokens each, blocks dealt in turn so that neighbours lie apart. */
static void set_sequences(lab *l, const model *m, step *s, int32_t n, int32_t context) {
    int32_t lens[MAX_SEQUENCES], positions[MAX_SEQUENCES];
    int32_t *tables = malloc((size_t)m->n_blocks * sizeof *tables);
    s->n = n;
    s->max_blocks = (context + BLOCK - 1) / BLOCK;
    if (!tables || (int64_t)n * s->max_blocks > m->n_blocks) exit(1);
    for (int32_t i = 0; i < n; i++) {
        lens[i] = context;
        positions[i] = context - 1;
        for (int32_t b = 0; b < s->max_blocks; b++)
            tables[i * s->max_blocks + b] = b * n + i;
    }
    lab_upload(l, m->context_lens, lens, n * 4);
    lab_upload(l, m->positions, positions, n * 4);
    lab_upload(l, m->block_tables, tables, (int64_t)n * s->max_blocks * 4);
    free(tables);
}

static void get_attention(
    lab *l, step *s, int32_t stages, int32_t resident, bool early, int64_t max_items) {
    tri_cuda_attention_config config;
    char reason[128];
    if (!tri_cuda_attention_choose(&attention_desc, l->n_multiprocessors, &config, reason)) exit(1);
    config.shared_bytes += (stages - config.stages) * 2 * 16 * HEAD * 2;
    config.stages = stages;
    config.grid = resident * l->n_multiprocessors;
    config.early = early;
    int32_t blocks =
        tri_cuda_attention_blocks(&attention_desc, &config, s->n, (int64_t)s->max_blocks * BLOCK);
    tri_cuda_program p;
    tri_cuda_grid grid;
    tri_cuda_attention_program(&attention_desc, &config, &p, &grid);
    grid.grid_x = (uint32_t)blocks;
    s->attention = get(l, &p, grid);
    tri_cuda_plan_program(&config, s->n, &p, &grid);
    s->plan = get(l, &p, grid);
    s->place = tri_cuda_attention_place(&attention_desc, max_items, MAX_SEQUENCES);
}

static void get_linears(lab *l, step *s, bool fp8) {
    int32_t dtype = fp8 ? TRI_F8_E4M3 : TRI_BF16;
    const tri_cuda_linear_desc descs[5] = {
        {.n = QKV, .k = WIDTH, .norm_in = true, .late = true},
        {.n = WIDTH, .k = HEADS * HEAD, .add = true, .norm_out = true},
        {.n = INNER, .k = WIDTH, .gate = TRI_CUDA_GATE_SILU, .norm_in = true},
        {.n = WIDTH, .k = INNER, .add = true, .norm_out = true},
        {.n = VOCAB, .k = WIDTH, .norm_in = true, .float_out = true},
    };
    for (int32_t i = 0; i < 5; i++) {
        tri_cuda_linear_config config;
        tri_cuda_program p;
        tri_cuda_grid grid;
        tri_error err = {0};
        s->desc[i] = descs[i];
        s->desc[i].weight_dtype = dtype;
        s->desc[i].scaled = fp8;
        if (tri_cuda_linear_choose(&s->desc[i], s->n, l->n_multiprocessors, &config, &err))
            lab_die(&err);
        tri_cuda_linear_program(&s->desc[i], &config, &p, &grid);
        s->linear[i] = get(l, &p, grid);
        s->config[i] = config;
    }
    tri_cuda_program p;
    tri_cuda_grid grid;
    tri_cuda_embedding_program(WIDTH, l->n_multiprocessors, s->n, &p, &grid);
    s->embedding = get(l, &p, grid);
}

/* ---- what is measured ---- */

static double kv_bytes(int32_t n, int32_t context) {
    return 4.0 * KV_HEADS * HEAD * n * context;
}

static void measure_attention(lab *l, const model *m, double tbps, int64_t max_items) {
    static const int32_t variants[][2] = {{8, 3}, {4, 3}}; /* stages, blocks */
    static const int32_t cases[][2] = {{1, 128}, {1, 1024}, {1, 8192}, {1, 32768}, {8, 128},
        {8, 1024}, {8, 8192}, {8, 32768}, {32, 128}, {32, 1024}, {32, 8192}, {128, 128},
        {128, 1024}, {256, 128}, {256, 1024}};
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            step s = {.m = m};
            set_sequences(l, m, &s, cases[i][0], cases[i][1]);
            get_attention(l, &s, variants[v][0], variants[v][1], false, max_items);
            double us = lab_time(l, run_attention, &s) * 1e3 / LAYERS;
            double bytes = kv_bytes(s.n, cases[i][1]), floor_us = bytes / (tbps * 1e6);
            if (!l->cu) continue;
            printf("attention,s%d x%d,%d,%d,%.2f,%.0f,%.3f\n", variants[v][0], variants[v][1], s.n,
                cases[i][1], us, bytes / us / 1e3, floor_us / us);
            fflush(stdout);
        }
    }
}

static void measure_steps(lab *l, model *m, double tbps, int64_t max_items, bool fp8) {
    static const int32_t cases[][2] = {{1, 128}, {1, 1024}, {8, 128}, {8, 1024}, {16, 128},
        {32, 128}, {32, 1024}, {64, 128}, {64, 1024}};
    static const bool variants[][2] = {
        {true, true}, {false, true}, {true, false}}; /* early, attention */
    double params = (double)LAYERS * WIDTH * (QKV + WIDTH + 3.0 * INNER) + (double)VOCAB * WIDTH;
    make_weights(l, m, fp8);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t c = 0; c < sizeof variants / sizeof variants[0]; c++) {
            step s = {.m = m, .no_attention = !variants[c][1]};
            set_sequences(l, m, &s, cases[i][0], cases[i][1]);
            get_attention(l, &s, 8, 3, variants[c][0], max_items);
            get_linears(l, &s, fp8);
            double ms = lab_time(l, run_step, &s);
            double bytes = params * (fp8 ? 1 : 2) + LAYERS * kv_bytes(s.n, cases[i][1]);
            if (!l->cu) continue;
            printf("step,%s%s%s,%d,%d,%.1f,%.0f,%.3f\n", fp8 ? "e4m3" : "bf16",
                variants[c][0] ? "" : " not early", variants[c][1] ? "" : " no attention", s.n,
                cases[i][1], ms * 1e3, bytes / ms / 1e6, bytes / (tbps * 1e9) / ms);
            fflush(stdout);
        }
    }
    free_weights(l, m);
}

int main(int argc, char **argv) {
    enum { MAX_ITEMS = 8192 };
    bool compile_only = argc > 2 && strcmp(argv[1], "compile") == 0;
    if (argc < 2) return 2;
    double tbps = !compile_only && argc > 2 ? atof(argv[2]) : 4.63;
    lab l;
    model m = {0};
    lab_open(&l, argv[compile_only ? 2 : 1], compile_only);
    make_model(&l, &m, MAX_ITEMS);
    printf("what,kernels,sequences,context,us,GB/s,share_of_floor\n");
    measure_attention(&l, &m, tbps, MAX_ITEMS);
    measure_steps(&l, &m, tbps, MAX_ITEMS, false);
    measure_steps(&l, &m, tbps, MAX_ITEMS, true);
    return 0;
}
