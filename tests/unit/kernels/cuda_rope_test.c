/* rope, kv_write and rope_kv_write on CUDA against the interpreter: q, what lies in the cache, and
 * that nothing else was written there.  Skips where there is no GPU. */
#include "unit/kernels/lab.h"

#include "graph/interp_state.h"

enum { CACHE_ID = 6, Q_ID = 11, BLOCK = 16, MAX_SEQUENCES = 1100 };

typedef struct shape {
    int32_t n_heads, n_kv_heads, head_size, n_frequencies;
    bool interleaved;
    const char *q_norm, *k_norm; /* their types; NULL: none */
    double magnitude;
    tri_dtype cache;
    bool narrow; /* q, k, v and the result are bf16 */
} shape;

static const shape shapes[] = {
    {9, 3, 64, 32, false, NULL, NULL, 1, TRI_BF16, false},
    {2, 1, 128, 64, false, "f32", "f32", 1, TRI_F32, false},
    {4, 2, 80, 20, false, NULL, NULL, 1.2, TRI_F16, false},
    {3, 3, 96, 48, true, NULL, "bf16", 1, TRI_BF16, false},
    {5, 1, 20, 7, true, NULL, NULL, 0.9, TRI_F32, false},
    {2, 2, 256, 128, false, "f16", "bf16", 1, TRI_BF16, true},
    {1, 1, 9, 3, false, "f32", NULL, 1, TRI_F32, false},
    {32, 8, 128, 64, false, NULL, NULL, 1, TRI_BF16, true},
    {4, 2, 64, 16, true, NULL, NULL, 1, TRI_F16, true},
    {2, 1, 36, 6, false, "f32", "f32", 1, TRI_BF16, true},
    {3, 1, 20, 10, true, "f32", "f32", 1, TRI_F32, false},
    {1, 1, 512, 256, false, NULL, "f32", 1, TRI_F32, false},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

/* Frequencies as models have them: base^(-i / n). */
static void set_frequencies(lab *l, int32_t id, int32_t n) {
    float *f = l->weights[id];
    for (int32_t i = 0; i < n; i++)
        f[i] = (float)pow(10000.0, -(double)i / n);
}

/* Angles are exact to 1e-10 before they are rounded to float32, sines and cosines to 2 ulp, then
 * two products and a sum; the largest element is some 5 times the root mean square. */
static const double turn_tolerance = 40 * 0x1p-24;

/* And what a norm adds, whose largest elements are products of two. */
static double head_tolerance(const shape *s) {
    bool has_norm = s->q_norm || s->k_norm;
    return turn_tolerance + (has_norm ? chain_tolerance(s->head_size / 16) + 60 * 0x1p-24 : 0);
}

/* ---- the cache ---- */

/* A value within `tolerance` of another, which was rounded to the cache's type: rounding can take
 * them to neighbours, which is a step of the type. */
static bool is_near(float a, float b, tri_dtype dtype, double tolerance) {
    double step = dtype == TRI_F32 ? 0 : dtype == TRI_F16 ? 0x1p-10 : 0x1p-7;
    return fabs((double)a - (double)b) <= tolerance + step * fabs((double)b);
}

typedef struct written { /* places of the cache, by block and token */
    bool at[LAB_SLOTS * 64 * BLOCK];
} written;

static void mark(const lab *l, const lab_sequence *sequences, int32_t n, written *w) {
    for (int32_t s = 0; s < n; s++) {
        for (int32_t i = 0; i < sequences[s].n; i++) {
            int32_t position = sequences[s].context - sequences[s].n + i;
            int32_t block = lab_block(l, sequences[s].id, position / BLOCK);
            w->at[block * BLOCK + position % BLOCK] = true;
        }
    }
}

static void untouched(const uint8_t *bytes, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++)
        if (bytes[i] != 0xFF) fail_msg("%s: a byte of the cache was written", what);
}

/* Heads of one block, K or V.  Returns how many elements differ, counts those looked at. */
static int64_t compare_block(const shape *s, const uint8_t *got, const uint8_t *expected,
    const bool *is_written, bool exact, const char *what, int64_t *n_seen) {
    int64_t row_bytes = tri_dtype_row_bytes(s->cache, s->head_size), n_different = 0;
    float a[512], b[512];
    for (int64_t row = 0; row < s->n_kv_heads * BLOCK; row++) {
        if (!is_written[row % BLOCK]) {
            untouched(got + row * row_bytes, row_bytes, what);
            continue;
        }
        tri_codec_decode(s->cache, got + row * row_bytes, a, s->head_size);
        tri_codec_decode(s->cache, expected + row * row_bytes, b, s->head_size);
        *n_seen += s->head_size;
        for (int32_t c = 0; c < s->head_size; c++) {
            n_different += a[c] != b[c];
            if (exact ? a[c] != b[c] : !is_near(a[c], b[c], s->cache, 5 * head_tolerance(s)))
                fail_msg("%s: %s %g in the cache, %g is due", what, exact ? "v" : "k", (double)a[c],
                    (double)b[c]);
        }
    }
    return n_different;
}

/* K turned: an element in some thousands of those of two bytes is rounded the other way. */
static void check_cache(
    machine *m, const shape *s, const written *w, bool turned, const char *what) {
    const uint8_t *bytes = machine_memory(m, CACHE_ID);
    const tri_plugin_cache *cache = NULL;
    for (int32_t i = 0; i < m->n_launches; i++)
        for (int32_t k = 0; k < m->launches[i].n_inputs; k++)
            if (m->launches[i].caches[k]) cache = m->launches[i].caches[k];
    assert_non_null(cache);
    const tri_interp_memory *reference = &m->l->interp->memories[0];
    int64_t half = s->n_kv_heads * BLOCK * tri_dtype_row_bytes(s->cache, s->head_size);
    int64_t n_different = 0, n_seen = 0;
    for (int32_t b = 0; b < m->l->n_blocks; b++) {
        const uint8_t *got = bytes + b * cache->block_stride_bytes;
        const uint8_t *expected = reference->bytes + b * reference->block_bytes;
        n_different += compare_block(s, got, expected, &w->at[b * BLOCK], !turned, what, &n_seen);
        compare_block(s, got + cache->v_offset_bytes, expected + half, &w->at[b * BLOCK], true,
            what, &n_seen);
        untouched(got + half, cache->v_offset_bytes - half, what);
        untouched(got + cache->v_offset_bytes + half,
            cache->block_stride_bytes - cache->v_offset_bytes - half, what);
    }
    assert_true(n_seen > 0);
    if (s->cache != TRI_F32) assert_true(n_different <= 2 + n_seen / 500);
}

/* ---- graphs ---- */

/* qkv in %2: bf16 by a product with relu(1), which is exact. */
static int print_qkv(const shape *s, char *body, size_t room) {
    int width = (s->n_heads + 2 * s->n_kv_heads) * s->head_size;
    if (!s->narrow) {
        return snprintf(body, room,
            "  group 0 full tokens_per_block=16\n  %%0 = input name=\"tokens\" : i32[T]\n"
            "  %%1 = weight name=\"qkv\" : f32[61,%d]\n"
            "  %%2 = embedding(%%0, %%1) : f32[T,%d]\n",
            width, width);
    }
    return snprintf(body, room,
        "  group 0 full tokens_per_block=16\n  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"qkv\" : bf16[61,%d]\n"
        "  %%14 = embedding(%%0, %%1) : f32[T,%d]\n"
        "  %%2 = gated_activation(%%14) kind=\"relu\" dtype=\"bf16\" : bf16[T,%d]\n",
        2 * width, 2 * width, width);
}

static int print_views(const shape *s, char *body, size_t room) {
    int q = s->n_heads * s->head_size, kv = s->n_kv_heads * s->head_size;
    const char *x = s->narrow ? "bf16" : "f32";
    return snprintf(body, room,
        "  %%3 = columns(%%2) n=%d : %s[T,%d]\n"
        "  %%4 = columns(%%2) first=%d n=%d : %s[T,%d]\n"
        "  %%5 = columns(%%2) first=%d n=%d : %s[T,%d]\n"
        "  %%6 = cache : cache<%s, %d, %d>\n",
        q, x, q, q, kv, x, kv, q + kv, kv, x, kv, tri_dtype_name(s->cache), (int)s->n_kv_heads,
        (int)s->head_size);
}

static void print_fused(const shape *s, char *body, size_t room) {
    int q = s->n_heads * s->head_size;
    const char *x = s->narrow ? "bf16" : "f32";
    int at = print_qkv(s, body, room);
    at += print_views(s, body + at, room - (size_t)at);
    (void)snprintf(body + at, room - (size_t)at,
        "  %%7 = input name=\"positions\" : i32[T]\n"
        "  %%8 = weight name=\"f\" : f32[%d]\n"
        "  %%9 = weight name=\"qn\" : %s[%d]\n"
        "  %%10 = weight name=\"kn\" : %s[%d]\n"
        "  %%11, %%12 = rope_kv_write(%%3, %%4, %%5, %%6, %%7, %%8%s%s) head_size=%d "
        "interleaved=%d magnitude=%g eps=0.01 dtype=\"%s\" : %s[T,%d], cache<%s, %d, %d>\n"
        "  output y = %%11\n",
        (int)s->n_frequencies, s->q_norm ? s->q_norm : "f32", (int)s->head_size,
        s->k_norm ? s->k_norm : "f32", (int)s->head_size, s->q_norm ? ", q_norm=%9" : "",
        s->k_norm ? ", k_norm=%10" : "", (int)s->head_size, s->interleaved, s->magnitude, x, x, q,
        tri_dtype_name(s->cache), (int)s->n_kv_heads, (int)s->head_size);
}

static void open_shape(lab *l, const shape *s, const char *body, lab_limits limits) {
    int64_t width = (s->n_heads + 2 * s->n_kv_heads) * s->head_size;
    lab_open(l, body, limits);
    uint16_t *table = l->weights[1];
    for (int64_t row = 0; row < 61 && s->narrow; row++)
        for (int64_t c = 0; c < width; c++)
            table[row * 2 * width + c] = tri_f32_to_bf16(1.0f);
}

static void check_q(machine *m, const shape *s, const char *what) {
    const lab_value *v = &m->l->reference[Q_ID];
    if (!s->narrow) {
        expect_close(m, Q_ID, head_tolerance(s), "%s: q", what);
        return;
    }
    int64_t n_different = 0;
    for (int64_t r = 0; r < v->rows; r++) {
        for (int64_t c = 0; c < v->columns; c++) {
            float got = machine_row(m, Q_ID, r)[c], due = v->f[r * v->columns + c];
            n_different += got != due;
            if (!is_near(got, due, TRI_BF16, 5 * head_tolerance(s)))
                fail_msg("%s: q is %g, %g is due", what, (double)got, (double)due);
        }
    }
    assert_true(n_different <= 2 + v->rows * v->columns / 500);
}

/* ---- tests ---- */

static void test_rope(void **unused) {
    (void)unused;
    lab_require("cuda");
    for (size_t i = 0; i < 5; i++) {
        const shape *s = &shapes[i];
        lab l;
        machine m;
        char body[1024];
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
        tri_step *step = lab_step(&l, sequences, 4);
        lab_run(&l, step);
        machine_open(&m, &l, (lab_setup){.device = "cuda"});
        machine_run(&m, step);
        expect_close(
            &m, 5, turn_tolerance, "rope: %d heads of %d", (int)s->n_heads, (int)s->head_size);
        machine_close(&m);
        free(step);
        lab_close(&l);
    }
}

static void run_fused(
    lab *l, machine *m, const shape *s, const lab_sequence *sequences, int32_t n, written *w) {
    char what[64];
    (void)snprintf(what, sizeof what, "%d heads of %d, %d sequences", (int)s->n_heads,
        (int)s->head_size, (int)n);
    tri_step *step = lab_step(l, sequences, n);
    mark(l, sequences, n, w);
    lab_run(l, step);
    machine_run(m, step);
    check_q(m, s, what);
    check_cache(m, s, w, true, what);
    free(step);
}

static void test_rope_kv_write(void **unused) {
    (void)unused;
    lab_require("cuda");
    for (size_t i = 0; i < N_SHAPES; i++) {
        const shape *s = &shapes[i];
        lab l;
        machine m;
        char body[2048];
        written w = {0};
        print_fused(s, body, sizeof body);
        open_shape(&l, s, body, (lab_limits){.tokens = 40, .sequences = LAB_SLOTS, .blocks = 6});
        set_frequencies(&l, 8, s->n_frequencies);
        const lab_sequence first[] = {
            {.id = 0, .n = 20, .context = 20}, {.id = 3, .n = 15, .context = 15}};
        const lab_sequence second[] = {{.id = 3, .n = 1, .context = 16}, {.id = 2, .context = 1},
            {.id = 1, .n = 2, .context = 2}, {.id = 4, .context = 1},
            {.id = 0, .n = 30, .context = 50}};
        const lab_sequence third[] = {{.id = 0, .n = 1, .context = 51}};
        machine_open(&m, &l, (lab_setup){.device = "cuda", .n_runs = 3});
        run_fused(&l, &m, s, first, 2, &w);
        run_fused(&l, &m, s, second, 5, &w);
        run_fused(&l, &m, s, third, 1, &w);
        machine_close(&m);
        lab_close(&l);
    }
}

/* Most sequences have no tokens, and they are more than one round of the search tells apart. */
static void test_many_sequences(void **unused) {
    (void)unused;
    lab_require("cuda");
    static const int32_t counts[] = {31, 33, 70, MAX_SEQUENCES};
    static lab_sequence sequences[MAX_SEQUENCES];
    const shape *s = &shapes[0];
    lab l;
    machine m;
    char body[2048];
    written w = {0};
    print_fused(s, body, sizeof body);
    open_shape(&l, s, body, (lab_limits){.tokens = 40, .sequences = MAX_SEQUENCES, .blocks = 6});
    set_frequencies(&l, 8, s->n_frequencies);
    machine_open(&m, &l, (lab_setup){.device = "cuda"});
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        int32_t n = counts[k], id = 0;
        for (int32_t i = 0; i < n; i++)
            sequences[i] = (lab_sequence){.id = LAB_SLOTS - 1, .context = 1};
        for (int32_t i = (int32_t)k % 2; i < n && id < LAB_SLOTS - 1; i += n / 7, id++)
            sequences[i] = (lab_sequence){.id = id, .n = 1 + id % 3, .context = 5 + 3 * id};
        run_fused(&l, &m, s, sequences, n, &w);
    }
    machine_close(&m);
    lab_close(&l);
}

/* Enough tokens for a block each. */
static void test_prompt(void **unused) {
    (void)unused;
    lab_require("cuda");
    const shape *s = &shapes[0];
    lab l;
    machine m;
    char body[2048];
    static written w;
    print_fused(s, body, sizeof body);
    open_shape(&l, s, body, (lab_limits){.tokens = 1000, .blocks = 60});
    set_frequencies(&l, 8, s->n_frequencies);
    machine_open(&m, &l, (lab_setup){.device = "cuda"});
    const lab_sequence sequences[] = {
        {.id = 2, .n = 900, .context = 900}, {.id = 5, .n = 99, .context = 99}};
    run_fused(&l, &m, s, sequences, 2, &w);
    machine_close(&m);
    lab_close(&l);
}

/* A block that is not mapped takes nothing; all else is as it was. */
static void test_unmapped(void **unused) {
    (void)unused;
    lab_require("cuda");
    const shape *s = &shapes[0];
    lab l;
    machine m;
    char body[2048];
    written w = {0};
    print_fused(s, body, sizeof body);
    open_shape(&l, s, body, (lab_limits){.tokens = 40, .blocks = 6});
    set_frequencies(&l, 8, s->n_frequencies);
    machine_open(&m, &l, (lab_setup){.device = "cuda"});
    const lab_sequence sequences[] = {
        {.id = 0, .n = 20, .context = 20}, {.id = 1, .n = 20, .context = 20}};
    tri_step *step = lab_step(&l, sequences, 2);
    lab_run(&l, step);
    LAB_FIELD(step, int32_t, groups[0].block_tables)[l.max_blocks] = -1;
    mark(&l, sequences, 2, &w);
    for (int32_t t = 0; t < BLOCK; t++)
        w.at[lab_block(&l, 1, 0) * BLOCK + t] = false;
    machine_run(&m, step);
    check_q(&m, s, "unmapped");
    check_cache(&m, s, &w, true, "unmapped");
    machine_close(&m);
    free(step);
    lab_close(&l);
}

static void test_kv_write(void **unused) {
    (void)unused;
    lab_require("cuda");
    for (size_t i = 0; i < N_SHAPES; i += 2) {
        const shape *s = &shapes[i];
        lab l;
        machine m;
        char body[2048];
        written w = {0};
        int at = print_qkv(s, body, sizeof body);
        at += print_views(s, body + at, sizeof body - (size_t)at);
        (void)snprintf(body + at, sizeof body - (size_t)at,
            "  %%12 = kv_write(%%4, %%5, %%6) : cache<%s, %d, %d>\n  output y = %%3\n",
            tri_dtype_name(s->cache), (int)s->n_kv_heads, (int)s->head_size);
        open_shape(&l, s, body, (lab_limits){.tokens = 40, .blocks = 6});
        const lab_sequence sequences[] = {{.id = 0, .n = 20, .context = 20},
            {.id = 1, .context = 1}, {.id = 3, .n = 15, .context = 44}};
        tri_step *step = lab_step(&l, sequences, 3);
        mark(&l, sequences, 3, &w);
        machine_open(&m, &l, (lab_setup){.device = "cuda"});
        lab_run(&l, step);
        machine_run(&m, step);
        check_cache(&m, s, &w, false, "kv_write");
        machine_close(&m);
        free(step);
        lab_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_kv_write),
        cmocka_unit_test(test_many_sequences),
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_unmapped),
        cmocka_unit_test(test_kv_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
