/* The op attention on a CUDA device, bound and captured as in an engine, against the interpreter:
 * prompts, decoding and idle sequences in one graph's steps, each run until it is a graph's.
 * cuda_attention_paged_test.c measures errors head by head, and holds bits to be equal. */
#include "unit/kernels/lab.h"

typedef struct shape {
    int32_t n_heads, n_kv_heads, head_size, tokens_per_block, window;
    double softcap;
    tri_dtype cache;
} shape;

enum { Y = 12, MAX_TOKENS = 330, MAX_CONTEXT = 700 };

static void open_attention(lab *l, const shape *s) {
    char body[2048], window[64] = "";
    int32_t q = s->n_heads * s->head_size, kv = s->n_kv_heads * s->head_size;
    const char *cache = tri_dtype_name(s->cache);
    if (s->window) (void)snprintf(window, sizeof window, " window=%d", (int)s->window);
    (void)snprintf(body, sizeof body,
        "  group 0 %s%s tokens_per_block=%d\n"
        "  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"qkv\" : f32[61,%d]\n"
        "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"
        "  %%3 = columns(%%2) n=%d : f32[T,%d]\n"
        "  %%4 = columns(%%2) first=%d n=%d : f32[T,%d]\n"
        "  %%5 = columns(%%2) first=%d n=%d : f32[T,%d]\n"
        "  %%6 = cache : cache<%s, %d, %d>\n"
        "  %%7 = kv_write(%%4, %%5, %%6) : cache<%s, %d, %d>\n"
        "  %%12 = attention(%%3, %%7) n_heads=%d softcap=%.9g window=%d : f32[T,%d]\n"
        "  output y = %%12\n",
        s->window ? "sliding" : "full", window, (int)s->tokens_per_block, (int)(q + 2 * kv),
        (int)(q + 2 * kv), (int)q, (int)q, (int)q, (int)kv, (int)kv, (int)(q + kv), (int)kv,
        (int)kv, cache, (int)s->n_kv_heads, (int)s->head_size, cache, (int)s->n_kv_heads,
        (int)s->head_size, (int)s->n_heads, s->softcap, (int)s->window, (int)q);
    lab_limits limits = {.tokens = MAX_TOKENS,
        .sequences = LAB_SLOTS,
        .rows = LAB_SLOTS,
        .blocks = MAX_CONTEXT / s->tokens_per_block + 1};
    lab_open(l, body, limits);
}

/* Of the largest difference, relative to the root mean square.  q and the weights are rounded by
 * 2^-9 at most each in bf16, by 2^-12 in f16.  Where few positions are seen, scores then move by
 * some 2^-8 and results, of size 1 and up to 4, by 2^-6 at most; the mean over contexts of hundreds
 * is about 1/4.  All in float32: chains of sums, as on the CPU. */
static double tolerance_of(const shape *s) {
    if (s->cache == TRI_F32)
        return chain_tolerance(s->head_size) * sqrt((double)s->head_size) + chain_tolerance(256);
    return s->cache == TRI_BF16 ? 0x1p-4 : 0x1p-7;
}

static void test_steps(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const lab_sequence steps[][LAB_SLOTS] = {
        {{.id = 0, .n = 37, .context = 37}},
        {{.id = 0, .n = 1, .context = 38}, {.id = 3, .n = 5, .context = 5}},
        {{.id = 3, .n = 130, .context = 135}, {.id = 5, .n = 1, .context = 1},
            {.id = 0, .n = 0, .context = 38}, {.id = 1, .n = 17, .context = 17}},
        {{.id = 1, .n = 1, .context = 18}, {.id = 5, .n = 1, .context = 2},
            {.id = 0, .n = 1, .context = 39}, {.id = 3, .n = 1, .context = 136}},
        {{.id = 2, .n = 300, .context = 300}},
        {{.id = 2, .n = 330, .context = 630}},
        {{.id = 2, .n = 1, .context = 631}, {.id = 4, .n = 127, .context = 127}},
        {{.id = 4, .n = 2, .context = 129}, {.id = 2, .n = 1, .context = 632}},
    };
    static const int32_t n_sequences[] = {1, 2, 4, 4, 1, 1, 2, 2};
    static const shape shapes[] = {
        {9, 3, 64, 32, 0, 0, TRI_BF16},
        {8, 2, 128, 16, 0, 0, TRI_BF16},
        {6, 2, 96, 8, 0, 30.0, TRI_F16},
        {4, 2, 64, 32, 33, 20.0, TRI_BF16},
        {2, 2, 32, 16, 0, 0, TRI_F32},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        lab l;
        const char *names[16];
        open_attention(&l, &shapes[i]);
        int32_t n_names = lab_candidates_on(&l, "cuda", "attention", NULL, names);
        assert_true(n_names >= 1);
        for (int32_t k = 0; k < n_names; k++) {
            machine m;
            machine_open(&m, &l,
                (lab_setup){.device = "cuda", .n_runs = 3, .op = "attention", .kernel = names[k]});
            for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
                tri_step *step = lab_step(&l, steps[j], n_sequences[j]);
                lab_run(&l, step);
                machine_run(&m, step);
                expect_close(&m, Y, tolerance_of(&shapes[i]), "%s shape %d step %d", names[k],
                    (int)i, (int)j);
                free(step);
            }
            machine_close(&m);
        }
        lab_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
