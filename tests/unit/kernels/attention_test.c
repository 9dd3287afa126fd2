/* attention and kv_write: every candidate against the interpreter; bits that may not depend on how
 * a prompt is cut, on who shares the step, or on the number of threads. */
#include "unit/kernels/lab.h"

typedef struct shape {
    int32_t n_heads, n_kv_heads, head_size, tokens_per_block, window;
    double softcap, scale;
    tri_dtype cache;
} shape;

enum { Y = 12, MAX_TOKENS = 330, MAX_CONTEXT = 700 };

/* q, k, v: columns of one value, rows of a table by token. */
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
        "  %%12 = attention(%%3, %%7) n_heads=%d scale=%.9g softcap=%.9g window=%d : f32[T,%d]\n"
        "  output y = %%12\n",
        s->window ? "sliding" : "full", window, (int)s->tokens_per_block, (int)(q + 2 * kv),
        (int)(q + 2 * kv), (int)q, (int)q, (int)q, (int)kv, (int)kv, (int)(q + kv), (int)kv,
        (int)kv, cache, (int)s->n_kv_heads, (int)s->head_size, cache, (int)s->n_kv_heads,
        (int)s->head_size, (int)s->n_heads, s->scale, s->softcap, (int)s->window, (int)q);
    lab_limits limits = {.tokens = MAX_TOKENS,
        .sequences = LAB_SLOTS,
        .rows = LAB_SLOTS,
        .blocks = MAX_CONTEXT / s->tokens_per_block + 1};
    lab_open(l, body, limits);
}

/* q . k is a chain of D products, p V one of up to a chunk, then a merge a chunk.  Logits of
 * deviation sqrt(D) * scale carry their error into e^logit; 2 ulp of the exponential come on top.
 */
static double tolerance_of(const shape *s) {
    return chain_tolerance(s->head_size) * sqrt((double)s->head_size) + chain_tolerance(256);
}

/* Runs the same steps on both sides and compares after each. */
static void check_steps(
    const shape *s, const lab_sequence steps[][LAB_SLOTS], const int32_t *n_sequences, int32_t n) {
    lab l;
    const char *names[16];
    open_attention(&l, s);
    int32_t n_names = lab_candidates(&l, "attention", NULL, names);
    assert_true(n_names >= 1);
    machine *machines = calloc((size_t)n_names, sizeof *machines);
    for (int32_t i = 0; i < n_names; i++) {
        machine_open(&machines[i], &l,
            (lab_setup){.op = "attention", .kernel = names[i], .n_threads = 1 + i % 3});
    }
    for (int32_t j = 0; j < n; j++) {
        tri_step *step = lab_step(&l, steps[j], n_sequences[j]);
        lab_run(&l, step);
        for (int32_t i = 0; i < n_names; i++) {
            machine_run(&machines[i], step);
            expect_close(&machines[i], Y, tolerance_of(s),
                "%s heads %d/%d of %d, blocks of %d, window %d, softcap %g, %s, step %d", names[i],
                (int)s->n_heads, (int)s->n_kv_heads, (int)s->head_size, (int)s->tokens_per_block,
                (int)s->window, s->softcap, tri_dtype_name(s->cache), (int)j);
        }
        free(step);
    }
    for (int32_t i = 0; i < n_names; i++)
        machine_close(&machines[i]);
    free(machines);
    lab_close(&l);
}

/* A prompt, then decoding beside another's chunks, a sequence without tokens, then a permuted step.
 */
static void test_mixed_steps(void **unused) {
    (void)unused;
    static const lab_sequence steps[][LAB_SLOTS] = {
        {{.id = 0, .n = 37, .context = 37}},
        {{.id = 0, .n = 1, .context = 38}, {.id = 3, .n = 5, .context = 5}},
        {{.id = 3, .n = 130, .context = 135}, {.id = 5, .n = 1, .context = 1},
            {.id = 0, .n = 0, .context = 38}, {.id = 1, .n = 17, .context = 17}},
        {{.id = 1, .n = 1, .context = 18}, {.id = 5, .n = 1, .context = 2},
            {.id = 0, .n = 1, .context = 39}, {.id = 3, .n = 1, .context = 136}},
    };
    static const int32_t n_sequences[] = {1, 2, 4, 4};
    static const shape shapes[] = {
        {9, 3, 64, 32, 0, 0, 0, TRI_BF16},
        {1, 1, 16, 16, 0, 0, 0, TRI_F32},
        {4, 4, 80, 32, 0, 0, 0, TRI_F16},
        {6, 2, 96, 8, 0, 30.0, 0, TRI_BF16},
        {8, 1, 128, 32, 0, 0, 0.05, TRI_F16},
        {2, 1, 256, 64, 0, 50.0, 0.0625, TRI_F32},
        {3, 1, 20, 4, 0, 0, 0, TRI_BF16},
        {2, 2, 7, 5, 0, 0, 0, TRI_F32},
        {6, 3, 32, 16, 16, 0, 0, TRI_BF16},
        {6, 3, 32, 16, 1, 0, 0, TRI_F32},
        {4, 2, 64, 32, 33, 20.0, 0, TRI_F16},
        {64, 1, 16, 32, 0, 0, 0, TRI_BF16},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_steps(&shapes[i], steps, n_sequences, 4);
    }
}

/* Chunks of positions and blocks of the cache end at different places; windows begin within. */
static void test_long_contexts(void **unused) {
    (void)unused;
    static const lab_sequence steps[][LAB_SLOTS] = {
        {{.id = 2, .n = 300, .context = 300}},
        {{.id = 2, .n = 330, .context = 630}},
        {{.id = 2, .n = 1, .context = 631}, {.id = 4, .n = 127, .context = 127}},
        {{.id = 4, .n = 1, .context = 128}, {.id = 2, .n = 9, .context = 640}},
        {{.id = 4, .n = 2, .context = 130}, {.id = 2, .n = 1, .context = 641}},
    };
    static const int32_t n_sequences[] = {1, 1, 2, 2, 2};
    static const shape shapes[] = {
        {3, 1, 64, 48, 0, 0, 0, TRI_BF16},
        {2, 2, 16, 7, 0, 0, 0, TRI_F32},
        {2, 1, 32, 32, 100, 0, 0, TRI_BF16},
        {2, 1, 32, 32, 128, 0, 0, TRI_F32},
        {2, 1, 32, 20, 257, 0, 0, TRI_F16},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_steps(&shapes[i], steps, n_sequences, 5);
    }
}

/* Large logits: without the running maximum e^logit would overflow. */
static void test_large_logits(void **unused) {
    (void)unused;
    static const lab_sequence steps[][LAB_SLOTS] = {{{.id = 0, .n = 200, .context = 200}}};
    static const int32_t n_sequences[] = {1};
    static const shape s = {2, 1, 16, 16, 0, 0, 40.0, TRI_F32};
    lab l;
    open_attention(&l, &s);
    machine m;
    machine_open(&m, &l, (lab_setup){0});
    tri_step *step = lab_step(&l, steps[0], n_sequences[0]);
    lab_run(&l, step);
    machine_run(&m, step);
    /* Logits of some 500 have errors of 500 * 2^-24 * a few, the same relative error in e^logit. */
    expect_close(&m, Y, 500 * 0x1p-24 * 16, "logits in the hundreds");
    free(step);
    machine_close(&m);
    lab_close(&l);
}

/* ---- bits ---- */

enum { LENGTH = 290 };

/* Sequence 6 in chunks of `chunk` tokens, in company when asked; out [LENGTH][width]. */
static void run_in_chunks(
    lab *l, const lab_setup *setup, int32_t chunk, bool company, float *out, int64_t width) {
    machine m;
    machine_open(&m, l, *setup);
    for (int32_t done = 0, j = 0; done < LENGTH; j++) {
        int32_t n = LENGTH - done < chunk ? LENGTH - done : chunk;
        lab_sequence sequences[3] = {{.id = 6, .n = n, .context = done + n},
            {.id = 1, .n = 3, .context = 3 * (j % 60 + 1)},
            {.id = 4, .n = 1, .context = j % 200 + 1}};
        if (company && j % 2) {
            lab_sequence first = sequences[0];
            sequences[0] = sequences[2];
            sequences[2] = first;
        }
        int32_t at = company && j % 2 ? 4 : 0;
        tri_step *step = lab_step(l, sequences, company ? 3 : 1);
        machine_run(&m, step);
        free(step);
        for (int32_t i = 0; i < n; i++) {
            memcpy(
                out + (done + i) * width, machine_row(&m, Y, at + i), (size_t)width * sizeof *out);
        }
        done += n;
    }
    machine_close(&m);
}

static void test_cuts_change_nothing(void **unused) {
    (void)unused;
    static const shape shapes[] = {
        {6, 2, 64, 32, 0, 0, 0, TRI_BF16}, {3, 1, 20, 16, 50, 15.0, 0, TRI_F32}};
    static const int32_t chunks[] = {LENGTH, 1, 7, 64};
    for (size_t i = 0; i < 2; i++) {
        lab l;
        const char *names[16];
        int64_t width = shapes[i].n_heads * shapes[i].head_size;
        float *expected = malloc((size_t)(LENGTH * width) * sizeof *expected);
        float *got = malloc((size_t)(LENGTH * width) * sizeof *got);
        assert_true(expected && got);
        open_attention(&l, &shapes[i]);
        int32_t n = lab_candidates(&l, "attention", NULL, names);
        for (int32_t k = 0; k < n; k++) {
            lab_setup setup = {.op = "attention", .kernel = names[k], .n_threads = 1};
            run_in_chunks(&l, &setup, LENGTH, false, expected, width);
            for (size_t c = 0; c < 4; c++) {
                setup.n_threads = 1 + (int32_t)c % 3;
                run_in_chunks(&l, &setup, chunks[c], c > 0, got, width);
                if (memcmp(expected, got, (size_t)(LENGTH * width) * sizeof *got) != 0) {
                    fail_msg("%s: chunks of %d on %d threads give other bits", names[k],
                        (int)chunks[c], (int)setup.n_threads);
                }
            }
        }
        lab_close(&l);
        free(expected);
        free(got);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed_steps),
        cmocka_unit_test(test_long_contexts),
        cmocka_unit_test(test_large_logits),
        cmocka_unit_test(test_cuts_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
