/* rope and rope_kv_write: every candidate against the interpreter; what was written is seen through
 * attention. */
#include "unit/kernels/lab.h"

typedef struct shape {
    int32_t n_heads, n_kv_heads, head_size, n_frequencies;
    bool interleaved, q_norm, k_norm;
    double magnitude;
    tri_dtype cache;
} shape;

static const shape shapes[] = {
    {9, 3, 64, 32, false, false, false, 1, TRI_BF16},
    {2, 1, 128, 64, false, true, true, 1, TRI_F32},
    {4, 2, 80, 20, false, false, false, 1.2, TRI_F16},
    {3, 3, 96, 48, true, false, true, 1, TRI_BF16},
    {1, 1, 2, 1, true, true, false, 1, TRI_F32},
    {5, 1, 20, 7, true, false, false, 0.9, TRI_F32},
    {2, 2, 256, 128, false, true, true, 1, TRI_BF16},
    {1, 1, 9, 3, false, false, false, 1, TRI_F32},
};

/* Frequencies as models have them: base^(-i / n). */
static void set_frequencies(lab *l, int32_t id, int32_t n) {
    float *f = l->weights[id];
    for (int32_t i = 0; i < n; i++)
        f[i] = (float)pow(10000.0, -(double)i / n);
}

/* Angles are exact to 1e-10 before they are rounded to float32, sines and cosines to 2 ulp, then
 * two products and a sum; the largest element is some 5 times the root mean square. */
static const double turn_tolerance = 40 * 0x1p-24;

static void test_rope(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const shape *s = &shapes[i];
        lab l;
        char body[1024];
        const char *names[16];
        int columns = s->n_heads * s->head_size;
        (void)snprintf(body, sizeof body,
            "  %%0 = input name=\"tokens\" : i32[T]\n"
            "  %%1 = weight name=\"x\" : f32[61,%d]\n"
            "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"
            "  %%3 = input name=\"positions\" : i32[T]\n"
            "  %%4 = weight name=\"f\" : f32[%d]\n"
            "  %%5 = rope(%%2, %%3, %%4) head_size=%d interleaved=%d magnitude=%g : f32[T,%d]\n"
            "  output y = %%5\n",
            columns, columns, (int)s->n_frequencies, (int)s->head_size, s->interleaved,
            s->magnitude, columns);
        lab_open(&l, body, (lab_limits){.tokens = 40, .blocks = 1});
        set_frequencies(&l, 4, s->n_frequencies);
        lab_sequence sequences[] = {{.id = 0, .n = 30, .context = 30},
            {.id = 1, .n = 1, .context = 8191}, {.id = 2, .n = 3, .context = 131072},
            {.id = 3, .n = 2, .context = 1000003}};
        int32_t n = lab_candidates(&l, "rope", NULL, names);
        tri_step *step = lab_step(&l, sequences, 4);
        lab_run(&l, step);
        for (int32_t k = 0; k < n; k++) {
            machine m;
            machine_open(&m, &l, (lab_setup){.op = "rope", .kernel = names[k], .n_threads = 1 + k});
            machine_run(&m, step);
            expect_close(&m, 5, turn_tolerance, "%s %d heads of %d", names[k], (int)s->n_heads,
                (int)s->head_size);
            machine_close(&m);
        }
        free(step);
        lab_close(&l);
    }
}

static void fused_body(const shape *s, char *body, size_t room) {
    int q = s->n_heads * s->head_size, kv = s->n_kv_heads * s->head_size;
    const char *dtype = tri_dtype_name(s->cache);
    (void)snprintf(body, room,
        "  group 0 full tokens_per_block=16\n"
        "  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"qkv\" : f32[61,%d]\n"
        "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n"
        "  %%3 = columns(%%2) n=%d : f32[T,%d]\n"
        "  %%4 = columns(%%2) first=%d n=%d : f32[T,%d]\n"
        "  %%5 = columns(%%2) first=%d n=%d : f32[T,%d]\n"
        "  %%6 = cache : cache<%s, %d, %d>\n"
        "  %%7 = input name=\"positions\" : i32[T]\n"
        "  %%8 = weight name=\"f\" : f32[%d]\n"
        "  %%9 = weight name=\"qn\" : f32[%d]\n"
        "  %%10 = weight name=\"kn\" : f32[%d]\n"
        "  %%11, %%12 = rope_kv_write(%%3, %%4, %%5, %%6, %%7, %%8%s%s) head_size=%d "
        "interleaved=%d magnitude=%g eps=0.01 : f32[T,%d], cache<%s, %d, %d>\n"
        "  %%13 = attention(%%11, %%12) n_heads=%d : f32[T,%d]\n"
        "  output y = %%13\n",
        q + 2 * kv, q + 2 * kv, q, q, q, kv, kv, q + kv, kv, kv, dtype, (int)s->n_kv_heads,
        (int)s->head_size, (int)s->n_frequencies, (int)s->head_size, (int)s->head_size,
        s->q_norm ? ", q_norm=%9" : "", s->k_norm ? ", k_norm=%10" : "", (int)s->head_size,
        s->interleaved, s->magnitude, q, dtype, (int)s->n_kv_heads, (int)s->head_size,
        (int)s->n_heads, q);
}

static void test_rope_kv_write(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const shape *s = &shapes[i];
        lab l;
        char body[2048];
        const char *names[16];
        fused_body(s, body, sizeof body);
        lab_open(&l, body, (lab_limits){.tokens = 40, .sequences = LAB_SLOTS, .blocks = 6});
        set_frequencies(&l, 8, s->n_frequencies);
        const lab_sequence first[] = {
            {.id = 0, .n = 20, .context = 20}, {.id = 3, .n = 15, .context = 15}};
        const lab_sequence second[] = {{.id = 3, .n = 1, .context = 16},
            {.id = 1, .n = 2, .context = 2}, {.id = 0, .n = 30, .context = 50}};
        tri_step *steps[] = {lab_step(&l, first, 2), lab_step(&l, second, 3)};
        int32_t n = lab_candidates(&l, "rope_kv_write", NULL, names);
        machine m[4];
        assert_true(n <= 4);
        for (int32_t k = 0; k < n; k++) {
            machine_open(&m[k], &l,
                (lab_setup){.op = "rope_kv_write", .kernel = names[k], .n_threads = 1 + k});
        }
        for (int32_t j = 0; j < 2; j++) {
            lab_run(&l, steps[j]);
            for (int32_t k = 0; k < n; k++) {
                machine_run(&m[k], steps[j]);
                expect_close(&m[k], 11, turn_tolerance + chain_tolerance(s->head_size / 16),
                    "%s: q, %d heads of %d", names[k], (int)s->n_heads, (int)s->head_size);
                /* A key that lies near the middle of two bf16 values may round the other way: 2^-9
                 * of one element in some 10^4; f32 caches have no such cliff. */
                double cliff = s->cache == TRI_F32 ? 0 : s->cache == TRI_F16 ? 0x1p-12 : 0x1p-9;
                expect_close(&m[k], 13,
                    cliff + chain_tolerance(s->head_size) * sqrt((double)s->head_size) +
                        chain_tolerance(256),
                    "%s: attention over what was written, %d heads of %d, %s", names[k],
                    (int)s->n_heads, (int)s->head_size, tri_dtype_name(s->cache));
            }
        }
        for (int32_t k = 0; k < n; k++)
            machine_close(&m[k]);
        free(steps[0]);
        free(steps[1]);
        lab_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_kv_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
