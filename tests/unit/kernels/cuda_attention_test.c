/* step_plan.cu and attention_decode.cu against float64: contexts around the ends of slabs and
 * chunks, shuffled blocks, the new token's k and v in their places; and that a sequence's bits do
 * not depend on the others. */
#include "unit/kernels/cuda_gpu.h"

#include "kernels/cuda/attention.h"

enum { D = 128, BLOCK = 16, MAX_BLOCKS = 80, MAX_S = 9, ITEMS = 64 };

static gpu g;
static bool have_gpu;

typedef struct problem {
    tri_cuda_attention_desc desc;
    int32_t n;
    int32_t context[MAX_S], tables[MAX_S * MAX_BLOCKS];
    float frequencies[D / 2];
    uint16_t *qkv, *cache;
    int64_t n_blocks, block_elems; /* k and v of a block, elements */
} problem;

static const uint16_t *place(const problem *p, const uint16_t *cache, int32_t s, int32_t position,
    int32_t head, int32_t is_v) {
    int32_t block = p->tables[s * MAX_BLOCKS + position / BLOCK];
    return cache + block * p->block_elems + is_v * p->block_elems / 2 +
           (int64_t)(head * BLOCK + position % BLOCK) * D;
}

static void make(
    problem *p, int32_t n_heads, int32_t n_kv_heads, const int32_t *context, int32_t n) {
    *p = (problem){.desc = {n_heads, n_kv_heads, BLOCK}, .n = n};
    int32_t used = 0;
    for (int32_t s = 0; s < n; s++) {
        p->context[s] = context[s];
        for (int32_t b = 0; b < MAX_BLOCKS; b++) {
            bool is_mapped = b * BLOCK < context[s];
            p->tables[s * MAX_BLOCKS + b] = is_mapped ? used : -1;
            used += is_mapped;
        }
    }
    p->n_blocks = used;
    for (int32_t i = 0; i < n * MAX_BLOCKS; i++) /* the last block comes first */
        if (p->tables[i] >= 0) p->tables[i] = used - 1 - p->tables[i];
    p->block_elems = (int64_t)2 * n_kv_heads * BLOCK * D;
    p->cache = random_bf16(p->n_blocks * p->block_elems, 1.0f, 1);
    for (int32_t s = 0; s < n; s++) { /* what is not yet written is anything, NaN too */
        for (int32_t t = context[s] - 1; t < (context[s] + BLOCK - 1) / BLOCK * BLOCK; t++)
            for (int32_t h = 0; h < 2 * n_kv_heads; h++)
                memset((uint16_t *)(uintptr_t)place(p, p->cache, s, t, h / 2, h % 2), 0xff, D * 2);
    }
    p->qkv = random_bf16((int64_t)n * (n_heads + 2 * n_kv_heads) * D, 1.0f, 2);
    for (int32_t i = 0; i < D / 2; i++)
        p->frequencies[i] = powf(10000.0f, -(float)i / (D / 2));
}

static void unmake(problem *p) {
    free(p->qkv);
    free(p->cache);
    gpu_clear(&g);
}

static const uint16_t *row_of(const problem *p, int32_t s, int32_t head) {
    return p->qkv + ((int64_t)s * (p->desc.n_heads + 2 * p->desc.n_kv_heads) + head) * D;
}

/* A head after rope, rounded to bf16 as the cache and the products take it. */
static void rotated(const problem *p, int32_t s, int32_t head, double out[D]) {
    const uint16_t *x = row_of(p, s, head);
    for (int32_t i = 0; i < D / 2; i++) {
        double a = (double)((float)(p->context[s] - 1) * p->frequencies[i]);
        double lo = (double)tri_bf16_to_f32(x[i]), hi = (double)tri_bf16_to_f32(x[i + D / 2]);
        out[i] = (double)tri_bf16_to_f32(tri_f32_to_bf16((float)(lo * cos(a) - hi * sin(a))));
        out[i + D / 2] =
            (double)tri_bf16_to_f32(tri_f32_to_bf16((float)(hi * cos(a) + lo * sin(a))));
    }
}

static void reference(const problem *p, int32_t s, int32_t head, double y[D]) {
    int32_t kv = head / (p->desc.n_heads / p->desc.n_kv_heads), last = p->context[s] - 1;
    double q[D], fresh[D], *w = malloc((size_t)(last + 1) * sizeof *w), most = -1e300, sum = 0;
    rotated(p, s, head, q);
    rotated(p, s, p->desc.n_heads + kv, fresh);
    for (int32_t t = 0; t <= last; t++) {
        const uint16_t *k = place(p, p->cache, s, t, kv, 0);
        w[t] = 0;
        for (int32_t d = 0; d < D; d++)
            w[t] += q[d] * (t == last ? fresh[d] : (double)tri_bf16_to_f32(k[d]));
        w[t] /= sqrt((double)D);
        if (w[t] > most) most = w[t];
    }
    memset(y, 0, D * sizeof *y);
    for (int32_t t = 0; t <= last; t++) {
        const uint16_t *v = t == last ? row_of(p, s, p->desc.n_heads + p->desc.n_kv_heads + kv)
                                      : place(p, p->cache, s, t, kv, 1);
        double weight = exp(w[t] - most);
        sum += weight;
        for (int32_t d = 0; d < D; d++)
            y[d] += weight * (double)tri_bf16_to_f32(v[d]);
    }
    for (int32_t d = 0; d < D; d++)
        y[d] /= sum;
    free(w);
}

/* y [n, H D] and the cache afterwards, for sequences [first, first + n). */
static void run(const problem *p, int32_t first, int32_t n, uint16_t *y, uint16_t *cache) {
    tri_cuda_attention_config config;
    tri_cuda_program program;
    tri_cuda_grid plan_grid, grid;
    char reason[128];
    int32_t positions[MAX_S];
    const tri_cuda_attention_desc *d = &p->desc;
    assert_true(tri_cuda_attention_choose(d, 5, &config, reason));
    tri_cuda_attention_workspace w = tri_cuda_attention_place(d, ITEMS, MAX_S);
    uint8_t *zeros = calloc(1, (size_t)w.end);
    int64_t row = (d->n_heads + 2 * d->n_kv_heads) * D,
            cache_bytes = p->n_blocks * p->block_elems * 2;
    for (int32_t s = 0; s < n; s++)
        positions[s] = p->context[first + s] - 1;
    uint64_t work = gpu_array(&g, zeros, w.end), at = gpu_array(&g, p->cache, cache_bytes);
    uint64_t out = gpu_array(&g, NULL, (int64_t)n * d->n_heads * D * 2);
    const tri_cuda_plan_arguments plan = {.context_lens = gpu_array(&g, p->context + first, n * 4),
        .positions = gpu_array(&g, positions, n * 4),
        .frequencies = gpu_array(&g, p->frequencies, sizeof p->frequencies),
        .items = work + (uint64_t)w.items,
        .first_item = work + (uint64_t)w.first_item,
        .rotations = work + (uint64_t)w.rotations,
        .n_sequences = n};
    tri_cuda_attention_arguments a = {.qkv = gpu_array(&g, p->qkv + first * row, n * row * 2),
        .y = out,
        .block_tables = gpu_array(&g, p->tables + first * MAX_BLOCKS, n * MAX_BLOCKS * 4),
        .context_lens = plan.context_lens,
        .items = plan.items,
        .first_item = plan.first_item,
        .rotations = plan.rotations,
        .parts = work + (uint64_t)w.parts,
        .part_sums = work + (uint64_t)w.part_sums,
        .counters = work + (uint64_t)w.counters,
        .max_blocks = MAX_BLOCKS,
        .n_sequences = n,
        .scale_log2 = (float)(1.4426950408889634 / sqrt((double)D))};
    tri_error err = {0};
    if (tri_cuda_attention_map(
            g.cu, d, at, p->block_elems * 2, p->block_elems, p->n_blocks, &a, &err))
        fail_msg("%s", err.message);
    tri_cuda_plan_program(&config, n, &program, &plan_grid);
    tri_cu_function plan_function = gpu_function(&g, &program, 0);
    tri_cuda_attention_program(d, &config, &program, &grid);
    tri_cu_function function = gpu_function(&g, &program, grid.shared_bytes);
    for (int32_t twice = 0; twice < 2; twice++) { /* the second finds the counters at 0 */
        tri_cuda_enqueue(&g.queue, plan_function, &plan_grid, &plan);
        tri_cuda_enqueue(&g.queue, function, &grid, &a);
    }
    gpu_read(&g, y, out, (int64_t)n * d->n_heads * D * 2);
    gpu_read(&g, cache, at, cache_bytes);
    free(zeros);
}

static void check_cache(const problem *p, const uint16_t *after) {
    uint16_t *expected = malloc((size_t)(p->n_blocks * p->block_elems) * 2);
    memcpy(expected, p->cache, (size_t)(p->n_blocks * p->block_elems) * 2);
    for (int32_t s = 0; s < p->n; s++) {
        for (int32_t h = 0; h < p->desc.n_kv_heads; h++) {
            int64_t k = place(p, p->cache, s, p->context[s] - 1, h, 0) - p->cache;
            int64_t v = place(p, p->cache, s, p->context[s] - 1, h, 1) - p->cache;
            double turned[D];
            rotated(p, s, p->desc.n_heads + h, turned);
            for (int32_t d = 0; d < D; d++) {
                /* float32 may round the other way than float64 where they are nearly halfway */
                double off = fabs((double)tri_bf16_to_f32(after[k + d]) - turned[d]);
                assert_true(off <= 0.0079 * fabs(turned[d]) + 1e-6);
                expected[k + d] = after[k + d];
            }
            memcpy(expected + v, row_of(p, s, p->desc.n_heads + p->desc.n_kv_heads + h), D * 2);
        }
    }
    assert_memory_equal(after, expected, (size_t)(p->n_blocks * p->block_elems) * 2);
    free(expected);
}

static const int32_t contexts[MAX_S] = {1, 15, 16, 33, 255, 256, 257, 511, 1100};

static void check(int32_t n_heads, int32_t n_kv_heads) {
    if (!have_gpu) skip();
    problem p;
    make(&p, n_heads, n_kv_heads, contexts, MAX_S);
    int64_t count = (int64_t)MAX_S * n_heads * D;
    uint16_t *y = malloc((size_t)count * 2);
    uint16_t *cache = malloc((size_t)(p.n_blocks * p.block_elems) * 2);
    float values[D];
    double expected[D];
    run(&p, 0, MAX_S, y, cache);
    for (int32_t s = 0; s < MAX_S; s++) {
        for (int32_t h = 0; h < n_heads; h++) {
            reference(&p, s, h, expected);
            for (int32_t d = 0; d < D; d++)
                values[d] = tri_bf16_to_f32(y[(s * n_heads + h) * D + d]);
            /* Weights and results are rounded to bf16, 2^-9 at most each, and float32 sines move a
             * few of q and k by one step of bf16: together below 2^-7 of the norm. */
            double error = relative_error(values, expected, D);
            if (!(error <= 0.0078)) fail_msg("sequence %d head %d: %g", (int)s, (int)h, error);
        }
    }
    check_cache(&p, cache);
    free(y);
    free(cache);
    unmake(&p);
}

static void test_groups(void **unused) {
    (void)unused;
    check(8, 2);
    check(3, 3);
    check(16, 2);
}

static void test_sequences_do_not_matter(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    problem p;
    make(&p, 8, 2, contexts, MAX_S);
    int64_t row = 8 * D;
    uint16_t *all = malloc((size_t)(MAX_S * row) * 2), *one = malloc((size_t)row * 2);
    uint16_t *cache = malloc((size_t)(p.n_blocks * p.block_elems) * 2);
    run(&p, 0, MAX_S, all, cache);
    for (int32_t s = 0; s < MAX_S; s += 2) {
        run(&p, s, 1, one, cache);
        assert_memory_equal(one, all + s * row, (size_t)row * 2);
    }
    free(all);
    free(one);
    free(cache);
    unmake(&p);
}

static void test_choice(void **unused) {
    (void)unused;
    tri_cuda_attention_config config;
    char reason[128];
    const tri_cuda_attention_desc fits = {32, 8, 32}, wide = {32, 2, 32}, odd = {5, 2, 32};
    assert_true(tri_cuda_attention_choose(&fits, 132, &config, reason));
    assert_true(config.grid > 0 && config.grid % 132 == 0);
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_attention_program(&fits, &config, &program, &grid);
    assert_int_equal(grid.block, config.warps * 32 + 32); /* one more copies */
    assert_int_equal(config.stages % config.warps, 0);
    assert_int_equal(grid.shared_bytes, config.shared_bytes);
    assert_int_equal(tri_cuda_attention_blocks(&fits, &config, 1, config.split), 8);
    assert_int_equal(tri_cuda_attention_blocks(&fits, &config, 3, config.split + 1), 48);
    assert_int_equal(
        tri_cuda_attention_blocks(&fits, &config, 1024, INT64_C(1) << 40), config.grid);
    assert_false(tri_cuda_attention_choose(&wide, 132, &config, reason));
    assert_non_null(strstr(reason, "32 query heads on 2"));
    assert_false(tri_cuda_attention_choose(&odd, 132, &config, reason));
}

int main(void) {
    have_gpu = gpu_open(&g);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_sequences_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
