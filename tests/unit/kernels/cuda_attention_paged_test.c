/* attention_paged.cu and attention_float.cu against float64: prompts, cut prompts and decoding
 * tokens in one step, windows, softcap, groups of 3 and 32, sequences without tokens, contexts of
 * thousands; and that a token's bits depend neither on the others, nor on how its prompt was cut.
 *
 * An argument names a folder of cubins to use, and to fill where there is no GPU; another, how many
 * of the shapes are tried. */
#include "unit/kernels/cuda_gpu.h"
#include "unit/kernels/nvrtc.h"

#include "base/file.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/family.h"

enum { MAX_S = 64, MAX_BLOCKS = 1024, MULTIPROCESSORS = 132 };

static gpu g;
static bool have_gpu;
static const char *cubins;        /* a folder, or NULL */
static int32_t n_multiprocessors; /* as kernels are told */

typedef struct shape {
    int32_t n_heads, n_kv_heads, head_size, block, window;
    double softcap, scale;
    tri_dtype cache, q, y;
} shape;

typedef struct chunk { /* of a sequence, in a step */
    int32_t id, n, context;
} chunk;

/* ---- a kernel as the engine uses it ---- */

typedef struct kernel {
    const tri_plugin_kernel *kernel;
    void *state;
    int64_t workspace_bytes;
} kernel;

/* Whether a key is new; those that are loaded are not made again. */
static bool is_new(const char *key) {
    static char seen[64][TRI_CUDA_KEY_BYTES];
    static int32_t n;
    for (int32_t i = 0; i < n; i++)
        if (strcmp(seen[i], key) == 0) return false;
    assert_true(n < 64);
    (void)snprintf(seen[n++], sizeof seen[0], "%s", key);
    return true;
}

static void add_cubin(void *user, const void *what) {
    const tri_cuda_program *program = what;
    const char *arch = user;
    char key[TRI_CUDA_KEY_BYTES], path[1024];
    tri_error err = {0};
    uint8_t *cubin = NULL;
    int64_t n_bytes = 0;
    assert_int_equal(tri_cuda_program_key(program, arch, key, &err), TRI_OK);
    if (!is_new(key) || (!have_gpu && !nvrtc_wanted())) return;
    (void)snprintf(path, sizeof path, "%s/%s.cubin", cubins ? cubins : ".", key);
    FILE *f = cubins ? fopen(path, "rb") : NULL;
    if (f) {
        fseek(f, 0, SEEK_END);
        n_bytes = ftell(f);
        rewind(f);
        cubin = malloc((size_t)n_bytes);
        assert_int_equal(fread(cubin, 1, (size_t)n_bytes, f), n_bytes);
        fclose(f);
    } else {
        tri_status rc = tri_cuda_program_compile(program, arch, &cubin, &n_bytes, &err);
        if (rc == TRI_E_DEVICE) skip();
        if (rc) fail_msg("%s: %s", program->defines, err.message);
        f = cubins ? fopen(path, "wb") : NULL;
        if (f) {
            assert_int_equal(fwrite(cubin, 1, (size_t)n_bytes, f), n_bytes);
            fclose(f);
        }
    }
    if (have_gpu && tri_cuda_modules_add(g.queue.modules, key, cubin, &err))
        fail_msg("%s", err.message);
    free(cubin);
}

/* The n'th that supports the shape; false: there are no more. */
static bool open_kernel(kernel *k, const shape *s, int32_t n) {
    const tri_plugin_device device = {.struct_size = sizeof device,
        .kind = "cuda",
        .arch = have_gpu ? g.arch : "sm_90a",
        .n_threads = n_multiprocessors};
    const tri_plugin_field fields[] = {{.name = "n_heads", .kind = 0, .i = s->n_heads},
        {.name = "window", .kind = 0, .i = s->window},
        {.name = "softcap", .kind = 1, .f = s->softcap},
        {.name = "scale", .kind = 1, .f = s->scale}};
    int64_t columns = (int64_t)s->n_heads * s->head_size;
    const tri_plugin_type inputs[2] = {
        {.dtype = (int32_t)s->q, .n_dims = 2, .dims = {TRI_DIM_T, columns}, .layout = "row"},
        {.dtype = (int32_t)s->cache, .n_dims = 2, .dims = {s->n_kv_heads, s->head_size}}};
    const tri_plugin_type output = {
        .dtype = (int32_t)s->y, .n_dims = 2, .dims = {TRI_DIM_T, columns}, .layout = "row"};
    const tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = "attention",
        .n_inputs = 2,
        .n_outputs = 1,
        .n_fields = 4,
        .inputs = inputs,
        .outputs = &output,
        .fields = fields,
        .device = &device,
        .tokens_per_block = s->block,
        .max_tokens = 4096,
        .max_sequences = MAX_S};
    char reason[128] = "";
    *k = (kernel){0};
    for (int32_t i = 0; tri_cuda_attention_kernels[i]; i++) {
        const tri_plugin_kernel *candidate = tri_cuda_attention_kernels[i];
        if (candidate->supports(&desc, reason, sizeof reason) != 0 || n-- > 0) continue;
        k->kernel = candidate;
        break;
    }
    if (!k->kernel) return false;
    assert_int_equal(k->kernel->create(&desc, &k->state), 0);
    k->workspace_bytes = k->kernel->workspace_bytes ? k->kernel->workspace_bytes(&desc) : 0;
    /* As when an engine is built, and as when it is loaded. */
    tri_cuda_queue collecting = {
        .preparing = true, .collect = add_cubin, .collect_user = (void *)(uintptr_t)device.arch};
    k->kernel->launch(k->state, &(tri_plugin_launch){.team = &collecting});
    if (!have_gpu) return true;
    g.queue.preparing = true;
    k->kernel->launch(k->state, &(tri_plugin_launch){.team = &g.queue});
    g.queue.preparing = false;
    if (g.queue.status) fail_msg("%s", g.queue.error.message);
    return true;
}

static void close_kernel(kernel *k) {
    k->kernel->destroy(k->state);
    gpu_clear(&g);
}

/* ---- memory ---- */

typedef struct problem {
    const shape *s;
    kernel k;
    int32_t lengths[MAX_S]; /* of what each sequence has in the cache, in the end */
    int32_t *tables;        /* [MAX_S, MAX_BLOCKS] */
    int64_t n_blocks, block_bytes, v_offset;
    uint8_t *cache;
    float *q; /* by sequence and position: [MAX_S][longest][columns], from numbers */
    uint64_t at_cache, at_work;
} problem;

static int64_t elem_bytes(tri_dtype dtype) {
    return dtype == TRI_F32 ? 4 : 2;
}

static int64_t columns_of(const shape *s) {
    return (int64_t)s->n_heads * s->head_size;
}

/* lengths[MAX_S]; wrap: blocks are used again after so many, so that long contexts need no memory.
 */
static bool open_problem(
    problem *p, const shape *s, int32_t nth, const int32_t *lengths, int32_t wrap) {
    *p = (problem){.s = s};
    memcpy(p->lengths, lengths, sizeof p->lengths);
    if (!open_kernel(&p->k, s, nth)) return false;
    p->tables = malloc((size_t)MAX_S * MAX_BLOCKS * sizeof *p->tables);
    int32_t used = 0;
    for (int32_t i = 0; i < MAX_S; i++) {
        for (int32_t b = 0; b < MAX_BLOCKS; b++) {
            bool is_mapped = (int64_t)b * s->block < lengths[i];
            p->tables[i * MAX_BLOCKS + b] = is_mapped ? used++ % wrap : -1;
        }
    }
    p->n_blocks = used < wrap ? used : wrap;
    for (int32_t i = 0; i < MAX_S * MAX_BLOCKS; i++) /* the last block comes first */
        if (p->tables[i] >= 0) p->tables[i] = (int32_t)p->n_blocks - 1 - p->tables[i];
    int64_t half = (int64_t)s->n_kv_heads * s->block * s->head_size * elem_bytes(s->cache);
    p->v_offset = half + s->head_size * elem_bytes(s->cache); /* halves lie apart, by a row */
    p->block_bytes = 2 * p->v_offset;
    p->cache = malloc((size_t)(p->n_blocks * p->block_bytes));
    memset(p->cache, 0xff, (size_t)(p->n_blocks * p->block_bytes));
    float *row = malloc((size_t)s->head_size * sizeof *row);
    uint64_t at = 0;
    for (int32_t i = 0; i < MAX_S; i++) {
        for (int32_t t = 0; t < lengths[i]; t++) {
            for (int32_t h = 0; h < 2 * s->n_kv_heads; h++) {
                uint8_t *to = p->cache + p->tables[i * MAX_BLOCKS + t / s->block] * p->block_bytes +
                              (h % 2) * p->v_offset +
                              (int64_t)(h / 2 * s->block + t % s->block) * s->head_size *
                                  elem_bytes(s->cache);
                if (wrap < used && i > 0) continue;
                for (int32_t d = 0; d < s->head_size; d++)
                    row[d] = tri_rng_normal(7, at++);
                tri_codec_encode(s->cache, row, to, s->head_size);
            }
        }
    }
    free(row);
    if (!have_gpu) return true;
    p->at_cache = gpu_array(&g, p->cache, p->n_blocks * p->block_bytes);
    p->at_work = gpu_array(&g, NULL, p->k.workspace_bytes);
    return true;
}

static void close_problem(problem *p) {
    close_kernel(&p->k);
    free(p->tables);
    free(p->cache);
}

/* A query: by sequence and position, so that it is the same however the prompt is cut. */
static void make_query(const shape *s, int32_t id, int32_t position, float *q) {
    for (int64_t c = 0; c < columns_of(s); c++) {
        q[c] = tri_rng_normal(
            11 + (uint64_t)id, (uint64_t)position * (uint64_t)columns_of(s) + (uint64_t)c);
        if (s->q == TRI_BF16) q[c] = tri_bf16_to_f32(tri_f32_to_bf16(q[c]));
    }
}

/* One step; y [T, columns], free it. */
static float *run(problem *p, const chunk *chunks, int32_t n) {
    const shape *s = p->s;
    int64_t columns = columns_of(s), q_stride = columns * elem_bytes(s->q) + 48;
    int64_t y_stride = columns * elem_bytes(s->y) + 16;
    int32_t cu[MAX_S + 1] = {0}, contexts[MAX_S], *tables, first_kept = g.n_kept;
    tables = malloc((size_t)n * MAX_BLOCKS * sizeof *tables);
    for (int32_t i = 0; i < n; i++) {
        cu[i + 1] = cu[i] + chunks[i].n;
        contexts[i] = chunks[i].context;
        for (int32_t b = 0; b < MAX_BLOCKS; b++) { /* nothing is mapped beyond the context */
            bool is_there = (int64_t)b * s->block < chunks[i].context;
            tables[i * MAX_BLOCKS + b] = is_there ? p->tables[chunks[i].id * MAX_BLOCKS + b] : -1;
        }
    }
    int64_t n_tokens = cu[n];
    uint8_t *q = malloc((size_t)(n_tokens * q_stride) + 1);
    uint8_t *out = malloc((size_t)(n_tokens * y_stride) + 1);
    float *y = malloc((size_t)(n_tokens * columns) * sizeof *y + 1);
    float *row = malloc((size_t)columns * sizeof *row);
    memset(q, 0xff, (size_t)(n_tokens * q_stride));
    for (int32_t i = 0; i < n; i++) {
        for (int32_t t = cu[i]; t < cu[i + 1]; t++) {
            make_query(s, chunks[i].id, chunks[i].context - (cu[i + 1] - t), row);
            tri_codec_encode(s->q, row, q + t * q_stride, columns);
        }
    }
    uint64_t at_y = gpu_array(&g, NULL, n_tokens * y_stride);
    const tri_plugin_cache cache = {.struct_size = sizeof cache,
        .base = (uint8_t *)(uintptr_t)p->at_cache,
        .block_stride_bytes = p->block_bytes,
        .v_offset_bytes = p->v_offset,
        .n_blocks = (int32_t)p->n_blocks,
        .tokens_per_block = s->block,
        .n_kv_heads = s->n_kv_heads,
        .head_size = s->head_size,
        .dtype = (int32_t)s->cache,
        .block_tables = (const int32_t *)(uintptr_t)gpu_array(
            &g, tables, (int64_t)n * MAX_BLOCKS * (int64_t)sizeof *tables),
        .max_blocks = MAX_BLOCKS};
    const tri_plugin_cache *caches[2] = {NULL, &cache};
    const tri_plugin_tensor inputs[2] = {
        {(void *)(uintptr_t)gpu_array(&g, q, n_tokens * q_stride), q_stride}, {0}};
    const tri_plugin_tensor output = {(void *)(uintptr_t)at_y, y_stride};
    const tri_plugin_step step = {.struct_size = sizeof step,
        .extents = {(int32_t)n_tokens, n, 0, 0},
        .cu_seqlens = (const int32_t *)(uintptr_t)gpu_array(&g, cu, (n + 1) * 4),
        .context_lens = (const int32_t *)(uintptr_t)gpu_array(&g, contexts, n * 4)};
    const tri_plugin_launch launch = {.struct_size = sizeof launch,
        .step = &step,
        .inputs = inputs,
        .outputs = &output,
        .caches = caches,
        .workspace = (void *)(uintptr_t)p->at_work,
        .team = &g.queue};
    for (int32_t twice = 0; twice < 2; twice++) /* the second finds what the first left */
        p->k.kernel->launch(p->k.state, &launch);
    gpu_read(&g, out, at_y, n_tokens * y_stride);
    for (int64_t t = 0; t < n_tokens; t++) {
        tri_codec_decode(s->y, out + t * y_stride, y + t * columns, columns);
        for (int64_t b = columns * elem_bytes(s->y); b < y_stride; b++)
            assert_int_equal(out[t * y_stride + b], GPU_POISON); /* between the rows */
    }
    while (g.n_kept > first_kept)
        gpu_check(&g, g.cu->free(g.kept[--g.n_kept]), "free");
    free(q);
    free(out);
    free(row);
    free(tables);
    return y;
}

/* ---- the reference ---- */

static void decode_row(
    const problem *p, int32_t id, int32_t position, int32_t head, bool is_v, float *row) {
    const shape *s = p->s;
    const uint8_t *at =
        p->cache + p->tables[id * MAX_BLOCKS + position / s->block] * p->block_bytes +
        (is_v ? p->v_offset : 0) +
        (int64_t)(head * s->block + position % s->block) * s->head_size * elem_bytes(s->cache);
    tri_codec_decode(s->cache, at, row, s->head_size);
}

static void reference(
    const problem *p, int32_t id, int32_t position, int32_t head, const float *q, double *y) {
    const shape *s = p->s;
    int32_t kv = head / (s->n_heads / s->n_kv_heads), d_head = s->head_size;
    int32_t first = s->window && position + 1 > s->window ? position + 1 - s->window : 0;
    double *w = malloc((size_t)(position + 1) * sizeof *w), most = -HUGE_VAL, sum = 0;
    float *row = malloc((size_t)d_head * sizeof *row);
    double scale = s->scale > 0 ? s->scale : 1 / sqrt((double)d_head);
    for (int32_t t = first; t <= position; t++) {
        decode_row(p, id, t, kv, false, row);
        w[t] = 0;
        for (int32_t d = 0; d < d_head; d++)
            w[t] += (double)q[head * d_head + d] * (double)row[d];
        w[t] *= scale;
        if (s->softcap > 0) w[t] = s->softcap * tanh(w[t] / s->softcap);
        most = fmax(most, w[t]);
    }
    memset(y, 0, (size_t)d_head * sizeof *y);
    for (int32_t t = first; t <= position; t++) {
        double weight = exp(w[t] - most);
        decode_row(p, id, t, kv, true, row);
        sum += weight;
        for (int32_t d = 0; d < d_head; d++)
            y[d] += weight * (double)row[d];
    }
    for (int32_t d = 0; d < d_head; d++)
        y[d] /= sum;
    free(w);
    free(row);
}

/* Of a head's result, relative to its norm.  q, the weights and y are rounded, each by 2^-9 at most
 * in bf16 (2^-12 in f16) and by about a third of that on average: scores of deviation 1 move by the
 * same share, in random directions.  2^-7 bounds the three in bf16; with float32 results and an f16
 * cache 2^-10 does; all in float32, sums of thousands of terms stay within 1e-5. */
static double tolerance_of(const shape *s) {
    if (s->cache == TRI_BF16) return 0x1p-7;
    if (s->y == TRI_BF16) return 0x1p-8;
    return s->cache == TRI_F16 ? 0x1p-10 : 1e-5;
}

static void compare(const problem *p, const chunk *chunks, int32_t n, const float *y) {
    const shape *s = p->s;
    float *q = malloc((size_t)columns_of(s) * sizeof *q);
    double expected[256];
    int64_t t = 0;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < chunks[i].n; j++, t++) {
            int32_t position = chunks[i].context - chunks[i].n + j;
            bool is_end = j < 3 || j >= chunks[i].n - 3;
            if (chunks[i].n > 100 && !is_end && j % 23) continue; /* enough of long prompts */
            make_query(s, chunks[i].id, position, q);
            for (int32_t h = 0; h < s->n_heads; h++) {
                reference(p, chunks[i].id, position, h, q, expected);
                double error = relative_error(
                    y + t * columns_of(s) + (int64_t)h * s->head_size, expected, s->head_size);
                if (!(error <= tolerance_of(s))) {
                    fail_msg("%s heads %d/%d of %d, blocks of %d, window %d: sequence %d position "
                             "%d head %d: %g",
                        p->k.kernel->name, (int)s->n_heads, (int)s->n_kv_heads, (int)s->head_size,
                        (int)s->block, (int)s->window, (int)i, (int)position, (int)h, error);
                }
            }
        }
    }
    free(q);
}

/* ---- the tests ---- */

static const shape shapes[] = {
    {32, 8, 128, 32, 0, 0, 0, TRI_BF16, TRI_BF16, TRI_BF16},
    {9, 3, 64, 16, 0, 0, 0, TRI_BF16, TRI_F32, TRI_F32},
    {8, 4, 256, 64, 0, 50.0, 0.0625, TRI_BF16, TRI_F32, TRI_BF16},
    {4, 4, 80, 32, 0, 0, 0, TRI_F16, TRI_F32, TRI_F32},
    {6, 2, 96, 8, 40, 30.0, 0, TRI_BF16, TRI_BF16, TRI_F32},
    {32, 1, 64, 16, 0, 0, 0, TRI_BF16, TRI_BF16, TRI_BF16},
    {4, 2, 128, 32, 300, 0, 0, TRI_F16, TRI_BF16, TRI_BF16},
    {6, 2, 72, 16, 0, 20.0, 0, TRI_BF16, TRI_F32, TRI_BF16},
    {6, 2, 128, 8, 150, 20.0, 0, TRI_BF16, TRI_F32, TRI_BF16},
    {6, 2, 64, 16, 33, 20.0, 0, TRI_F32, TRI_F32, TRI_F32},
    {4, 2, 128, 32, 0, 0, 0, TRI_F32, TRI_BF16, TRI_BF16},
};
static size_t n_shapes = sizeof shapes / sizeof shapes[0];

static const int32_t lengths[MAX_S] = {130, 300, 45, 1, 700, 64, 2100, 17, 256, 257};

/* Short and long, around the ends of tiles, runs and rows of a block; one without tokens. */
static const chunk mixed[] = {{0, 67, 130}, {1, 1, 300}, {2, 0, 40}, {3, 1, 1}, {4, 200, 520},
    {5, 64, 64}, {6, 1, 2100}, {7, 3, 17}, {8, 1, 256}, {9, 1, 257}};
static const chunk decoding[] = {{6, 1, 2100}, {1, 1, 300}, {3, 1, 1}, {8, 1, 256}, {9, 1, 257}};
static const chunk alone[] = {{6, 1, 2099}};
static const chunk prompt[] = {{4, 700, 700}};
static const struct {
    const chunk *chunks;
    int32_t n;
} steps[] = {{mixed, 10}, {decoding, 5}, {alone, 1}, {prompt, 1}};

static void test_programs_compile(void **unused) {
    (void)unused;
    size_t n = cubins ? n_shapes : 1; /* a second or two each */
    for (size_t i = 0; i < n; i++) {
        kernel k;
        for (int32_t nth = 0; open_kernel(&k, &shapes[i], nth); nth++)
            close_kernel(&k);
    }
}

static void test_against_float64(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    for (size_t i = 0; i < n_shapes; i++) {
        problem p;
        for (int32_t nth = 0; open_problem(&p, &shapes[i], nth, lengths, 1 << 20); nth++) {
            for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
                float *y = run(&p, steps[j].chunks, steps[j].n);
                compare(&p, steps[j].chunks, steps[j].n, y);
                free(y);
            }
            close_problem(&p);
        }
    }
}

/* One token again, in pieces of `cut`; `at`: what the mixed step made of the chunk. */
static void check_cut(problem *p, chunk c, int32_t cut, bool company, const float *at) {
    int64_t row = columns_of(p->s);
    int32_t group = p->s->n_heads / p->s->n_kv_heads, few = (group + 15) / 16 * 16;
    bool is_hopper = strcmp(p->k.kernel->name, "attention_hopper") == 0;
    for (int32_t done = 0; done < c.n; done += cut) {
        int32_t left = c.n - done, n = left < cut ? left : cut;
        if (cut == 1 && done > 2 && done % 16) continue; /* enough of them */
        /* There, few rows and many have sums of different orders. */
        if (is_hopper && (n * group > few) != (c.n * group > few)) continue;
        const chunk chunks[] = {{c.id, n, c.context - c.n + done + n}, {0, 1, 90}};
        float *again = run(p, chunks, company ? 2 : 1);
        if (memcmp(again, at + done * row, (size_t)(n * row) * sizeof *at) != 0) {
            fail_msg("%s head size %d: sequence %d, %d tokens from %d alone differ",
                p->k.kernel->name, (int)p->s->head_size, (int)c.id, (int)n,
                (int)(c.context - c.n + done));
        }
        free(again);
    }
}

/* Every token of the mixed step again: alone as the one new token, then in cut prompts. */
static void test_company_and_cuts_change_nothing(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    static const int32_t cuts[] = {1, 5, 64, 90};
    for (size_t i = 0; i < n_shapes; i++) {
        problem p;
        for (int32_t nth = 0; open_problem(&p, &shapes[i], nth, lengths, 1 << 20); nth++) {
            float *y = run(&p, mixed, 10), *at = y;
            for (size_t c = 0; c < sizeof mixed / sizeof mixed[0]; c++) {
                for (size_t k = 0; k < 4; k++)
                    check_cut(&p, mixed[c], cuts[k], k == 2, at);
                at += mixed[c].n * columns_of(&shapes[i]);
            }
            free(y);
            close_problem(&p);
        }
    }
}

/* So much work that contexts are not split, or parts would not fit, against one alone; and so few
 * blocks that each does more units than it knows ahead. */
static void test_splitting_changes_nothing(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    static const int32_t long_lengths[MAX_S] = {3200, 30000, 20000, 11000};
    static const int32_t blocks[] = {MULTIPROCESSORS, 2};
    const shape *s = &shapes[0];
    int64_t row = columns_of(s);
    for (size_t k = 0; k < 2; k++) {
        chunk many[40];
        problem p;
        n_multiprocessors = blocks[k];
        assert_true(open_problem(&p, s, 0, long_lengths, 3200 / s->block));
        n_multiprocessors = g.n_multiprocessors;
        for (int32_t i = 0; i < 40; i++)
            many[i] = (chunk){1 + i % 3, 1, long_lengths[1 + i % 3] / (k ? 10 : 1) - i};
        float *y = run(&p, many, 40);
        for (int32_t i = 0; i < 40; i += 9) {
            float *one = run(&p, many + i, 1);
            assert_memory_equal(one, y + i * row, (size_t)row * sizeof *y);
            free(one);
        }
        free(y);
        close_problem(&p);
    }
}

static void rejects(const shape *s, const char *name, const char *part) {
    const tri_plugin_device device = {.kind = "cuda", .arch = "sm_86", .n_threads = 80};
    const tri_plugin_field fields[] = {{.name = "n_heads", .kind = 0, .i = s->n_heads}};
    const tri_plugin_type inputs[2] = {{.dtype = (int32_t)s->q, .n_dims = 2, .layout = "row"},
        {.dtype = (int32_t)s->cache, .n_dims = 2, .dims = {s->n_kv_heads, s->head_size}}};
    const tri_plugin_type output = {.dtype = (int32_t)s->y, .n_dims = 2, .layout = "row"};
    const tri_plugin_desc desc = {.n_inputs = 2,
        .n_outputs = 1,
        .n_fields = 1,
        .inputs = inputs,
        .outputs = &output,
        .fields = fields,
        .device = &device,
        .tokens_per_block = s->block,
        .max_sequences = MAX_S};
    for (int32_t i = 0; tri_cuda_attention_kernels[i]; i++) {
        char reason[128] = "";
        if (strcmp(tri_cuda_attention_kernels[i]->name, name) != 0) continue;
        assert_int_not_equal(
            tri_cuda_attention_kernels[i]->supports(&desc, reason, sizeof reason), 0);
        if (!strstr(reason, part)) fail_msg("\"%s\" does not say \"%s\"", reason, part);
    }
}

static void test_reasons(void **unused) {
    (void)unused;
    static const shape odd = {4, 2, 60, 16, 0, 0, 0, TRI_BF16, TRI_F32, TRI_F32},
                       wide = {4, 2, 512, 16, 0, 0, 0, TRI_BF16, TRI_F32, TRI_F32},
                       group = {64, 1, 64, 16, 0, 0, 0, TRI_BF16, TRI_F32, TRI_F32},
                       type = {4, 2, 64, 16, 0, 0, 0, TRI_F32, TRI_F32, TRI_F32},
                       room = {4, 2, 256, 16, 0, 0, 0, TRI_BF16, TRI_F32, TRI_F32};
    rejects(&odd, "attention_paged", "heads of 60");
    rejects(&wide, "attention_paged", "heads of 512");
    rejects(&group, "attention_paged", "64 query heads on 1");
    rejects(&type, "attention_paged", "bfloat16");
    rejects(&room, "attention_paged", "shared memory");
    rejects(&room, "attention_float", "float32");
    rejects(&type, "attention_hopper", "sm_90a");
}

int main(int argc, char **argv) {
    tri_error err = {0};
    cubins = argc > 1 ? argv[1] : NULL;
    if (argc > 2 && strtoul(argv[2], NULL, 10) < n_shapes) n_shapes = strtoul(argv[2], NULL, 10);
    have_gpu = gpu_open(&g);
    n_multiprocessors = have_gpu ? g.n_multiprocessors : MULTIPROCESSORS;
    if (have_gpu && tri_cuda_modules_create(&g.queue.modules, g.cu, g.arch, &err)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_programs_compile),
        cmocka_unit_test(test_against_float64),
        cmocka_unit_test(test_company_and_cuts_change_nothing),
        cmocka_unit_test(test_splitting_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
