/* kernels_cpu.c - what the CPU kernels reach, beside what this machine can do at most.
 *
 *     kernels_cpu [threads [family [shape]]]      one CSV line a case: family, kernel, shape,
 * microseconds, GB/s and its share of measured reads, GFLOP/s and its share of the measured peak:
 * of bf16 tiles for kernels that use them, else of fused multiply-adds in AVX-512 or AVX2
 *
 * Weights of a case are many matrices of one shape, more than the last cache holds, one launch
 * each, so that every launch reads memory; the fastest of several steps counts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/rng.h"
#include "device/cpu/isa.h"
#include "device/device.h"
#include "kernels/cpu/amx.h"
#include "kernels/kernels.h"

enum { MAX_LAUNCHES = 64, REPEATS = 7, MIN_BYTES = 640 << 20, MIN_SAMPLE_NS = 20000000 };

typedef struct limits { /* measured */
    double bytes_per_s, flops_per_s, tile_flops_per_s;
} limits;

typedef struct bench {
    tri_device *device;
    tri_kernels *kernels;
    limits limits;
    int32_t n_threads;
    const char *shapes; /* only those that contain it; "only bf16 M=1,q4_0 M=512": those linears,
                           "only best ...": by the kernel that would be chosen */
} bench;

static void stop(const char *what, const tri_error *err) {
    fprintf(stderr, "kernels_cpu: %s: %s\n", what, err ? err->message : "");
    exit(1);
}

static void *reserve(const bench *b, int64_t n_bytes) {
    tri_error err = {0};
    void *memory = NULL;
    if (tri_device_alloc(b->device, n_bytes, &memory, &err)) stop("memory", &err);
    return memory;
}

/* ---- what the machine can do ---- */

typedef float floats8 __attribute__((vector_size(32)));
typedef int64_t words4 __attribute__((vector_size(32)));

typedef struct limit_job {
    const uint8_t *bytes;
    int64_t n_bytes;
    float sink[64];
} limit_job;

enum { STREAMS = 4 };
/* A thread reads several streams at once, with software prefetch, as the kernels do. */
__attribute__((target("avx2"))) static void read_job(void *arg, int32_t thread, int32_t n) {
    limit_job *job = arg;
    int64_t first, last;
    tri_split(job->n_bytes, STREAMS * 4096, thread, n, &first, &last);
    int64_t stream_bytes = (last - first) / STREAMS;
    words4 sum[STREAMS] = {{0}};
    for (int64_t at = 0; at + 64 <= stream_bytes; at += 64) {
        for (int32_t i = 0; i < STREAMS; i++) {
            const uint8_t *from = job->bytes + first + i * stream_bytes + at;
            __builtin_prefetch(from + 1024);
            sum[i] ^= *(const words4 *)(const void *)from;
            sum[i] ^= *(const words4 *)(const void *)(from + 32);
        }
    }
    sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
    job->sink[thread % 64] = (float)(sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3]);
}

enum { FMA_ROUNDS = 2000000 };
__attribute__((target("avx2,fma"), optimize("fp-contract=fast"))) static void fma_job(
    void *arg, int32_t thread, int32_t n) {
    (void)n;
    limit_job *job = arg;
    floats8 acc[12], x = {1, 1, 1, 1, 1, 1, 1, 1}, y = x * 0.5f;
    for (int32_t i = 0; i < 12; i++)
        acc[i] = x * (float)i;
    for (int32_t round = 0; round < FMA_ROUNDS; round++) {
        for (int32_t i = 0; i < 12; i++)
            acc[i] = acc[i] * y + x;
        __asm__ volatile("" : "+x"(x), "+x"(y));
    }
    float sum = 0;
    for (int32_t i = 0; i < 12; i++)
        sum += acc[i][0] + acc[i][7];
    job->sink[thread % 64] = sum;
}

typedef float floats16 __attribute__((vector_size(64)));
__attribute__((target("avx512f,avx512vl,fma"), optimize("fp-contract=fast"))) static void
fma512_job(void *arg, int32_t thread, int32_t n) {
    (void)n;
    limit_job *job = arg;
    floats16 acc[12], one = {0}, x, y;
    for (int32_t i = 0; i < 16; i++)
        one[i] = 1;
    x = one;
    y = one * 0.5f;
    for (int32_t i = 0; i < 12; i++)
        acc[i] = x * (float)i;
    for (int32_t round = 0; round < FMA_ROUNDS; round++) {
        for (int32_t i = 0; i < 12; i++)
            acc[i] = acc[i] * y + x;
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    float sum = 0;
    for (int32_t i = 0; i < 12; i++)
        sum += acc[i][0] + acc[i][15];
    job->sink[thread % 64] = sum;
}

enum { TILE_ROUNDS = 200000 };
/* Four sums, operands that stay in their registers. */
static void tile_job(void *arg, int32_t thread, int32_t n) {
    (void)arg, (void)thread, (void)n;
    tri_amx_config config = tri_amx_config_for(TRI_AMX_ROWS);
    TRI_AMX_BEGIN(config);
    TRI_AMX_ZERO(4);
    TRI_AMX_ZERO(5);
    TRI_AMX_ZERO(6);
    TRI_AMX_ZERO(7);
    for (int32_t round = 0; round < TILE_ROUNDS; round++) {
        TRI_AMX_DOT_BF16(0, 4, 6);
        TRI_AMX_DOT_BF16(1, 4, 7);
        TRI_AMX_DOT_BF16(2, 5, 6);
        TRI_AMX_DOT_BF16(3, 5, 7);
    }
    TRI_AMX_END();
}

static int64_t now_ns(int32_t n_threads) {
    if (n_threads > 1) return tri_clock_ns();
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double best_seconds(tri_team *team, tri_team_fn fn, void *arg) {
    double best = 1e9;
    for (int32_t i = 0; i < REPEATS; i++) {
        int64_t before = now_ns(tri_team_size(team));
        tri_team_run(team, fn, arg);
        double seconds = (double)(now_ns(tri_team_size(team)) - before) * 1e-9;
        if (seconds < best) best = seconds;
    }
    return best;
}

static limits measure_limits(const bench *b) {
    tri_error err = {0};
    tri_team *team = NULL;
    if (tri_team_create(&team, b->n_threads, &err)) stop("threads", &err);
    limit_job job = {.n_bytes = MIN_BYTES};
    uint8_t *bytes = reserve(b, job.n_bytes);
    memset(bytes, 1, (size_t)job.n_bytes);
    job.bytes = bytes;
    limits l = {.bytes_per_s = (double)job.n_bytes / best_seconds(team, read_job, &job)};
    int32_t isa = tri_cpu_isa_rank(tri_device_facts(b->device)->arch);
    bool wide = isa >= tri_cpu_isa_rank("avx512");
    double fmas = 12.0 * (wide ? 16 : 8) * FMA_ROUNDS * b->n_threads;
    l.flops_per_s = 2 * fmas / best_seconds(team, wide ? fma512_job : fma_job, &job);
    double tiles = 4.0 * 16 * 16 * 32 * TILE_ROUNDS * b->n_threads;
    if (isa >= tri_cpu_isa_rank("amx")) {
        l.tile_flops_per_s = 2 * tiles / best_seconds(team, tile_job, &job);
    }
    tri_device_free(b->device, bytes);
    tri_team_destroy(team);
    return l;
}

/* ---- one case: launches of one kernel over different memory ---- */

typedef struct launch_set {
    const tri_plugin_kernel *kernel;
    tri_plugin_desc desc;
    void *state, *workspace;
    tri_launch launches[MAX_LAUNCHES];
    tri_plugin_tensor inputs[MAX_LAUNCHES][8], outputs[MAX_LAUNCHES][2];
    int32_t n;
} launch_set;

static tri_step *make_step(int32_t n_sequences, int32_t n, int32_t context, int32_t max_blocks) {
    tri_step_shape shape = {.n_tokens = n_sequences * n,
        .n_sequences = n_sequences,
        .n_rows = n_sequences,
        .n_groups = max_blocks ? 1 : 0,
        .n_position_axes = 1,
        .max_blocks = {max_blocks}};
    int64_t n_bytes = tri_step_bytes(&shape);
    tri_step *step = tri_step_init(malloc((size_t)n_bytes), n_bytes, &shape);
    int32_t *cu = (int32_t *)TRI_STEP_I32(step, cu_seqlens);
    int32_t *lens = (int32_t *)TRI_STEP_I32(step, context_lens);
    int32_t *positions = (int32_t *)TRI_STEP_I32(step, positions);
    tri_step_sampling *sampling = (tri_step_sampling *)tri_step_rows_sampling(step);
    for (int32_t s = 0; s < n_sequences; s++) {
        cu[s + 1] = (s + 1) * n;
        lens[s] = context;
        sampling[s].mask_slot = -1;
        for (int32_t i = 0; i < n; i++)
            positions[s * n + i] = context - n + i;
        for (int32_t k = 0; k < max_blocks; k++) {
            ((int32_t *)tri_step_block_table(step, 0, s))[k] = s * max_blocks + k;
        }
    }
    return step;
}

static void finish_set(const bench *b, launch_set *s) {
    tri_error err = {0};
    char reason[128] = "";
    if (s->kernel->supports && s->kernel->supports(&s->desc, reason, sizeof reason)) {
        (void)snprintf(err.message, sizeof err.message, "%s", reason);
        stop(s->kernel->name, &err);
    }
    if (s->kernel->create && s->kernel->create(&s->desc, &s->state)) stop(s->kernel->name, NULL);
    if (s->kernel->workspace_bytes) {
        s->workspace = reserve(b, s->kernel->workspace_bytes(&s->desc));
    }
    for (int32_t i = 0; i < s->n; i++) {
        s->launches[i].kernel = s->kernel;
        s->launches[i].state = s->state;
        s->launches[i].inputs = s->inputs[i];
        s->launches[i].outputs = s->outputs[i];
        s->launches[i].n_inputs = s->desc.n_inputs;
        s->launches[i].n_outputs = s->desc.n_outputs;
    }
}

/* Best time of one launch, and its line. */
static void run_set(const bench *b, launch_set *s, const tri_step *step, const char *shape) {
    tri_error err = {0};
    tri_capture *capture = NULL;
    if (!strstr(shape, b->shapes) && !strstr(b->shapes, "only ")) return;
    tri_launch_list list = {.launches = s->launches, .n_launches = s->n, .workspace = s->workspace};
    if (tri_device_capture(b->device, &list, &capture, &err)) stop(s->kernel->name, &err);
    double best = 1e30;
    int32_t n_steps = 1; /* of a sample, so many that it can be timed */
    for (int32_t i = 0; i <= REPEATS;) {
        int64_t before = now_ns(b->n_threads);
        for (int32_t k = 0; k < n_steps; k++) {
            if (tri_device_submit(capture, step, &err) || tri_device_complete(capture, &err)) {
                stop(s->kernel->name, &err);
            }
        }
        double ns = (double)(now_ns(b->n_threads) - before);
        if (ns < MIN_SAMPLE_NS && n_steps < 1 << 20) {
            n_steps *= 2;
            continue;
        }
        ns /= (double)s->n * n_steps;
        if (i > 0 && ns < best) best = ns; /* the first warms up */
        i++;
    }
    tri_capture_destroy(capture);
    tri_plugin_extents e = {step->n_tokens, step->n_sequences, step->n_rows, 0};
    for (int32_t i = 0; i < step->n_sequences; i++) {
        e.n_context_tokens += TRI_STEP_I32(step, context_lens)[i];
    }
    tri_plugin_cost cost = {0};
    s->kernel->cost(&s->desc, &e, &cost);
    double bytes_per_s = cost.bytes / best * 1e9, flops_per_s = cost.flops / best * 1e9;
    bool tiles = strcmp(s->kernel->isa, "amx") == 0;
    double peak = tiles ? b->limits.tile_flops_per_s : b->limits.flops_per_s;
    printf("%s,%s,%s,%.1f,%.2f,%.0f%%,%.1f,%.0f%%\n", s->kernel->op, s->kernel->name, shape,
        best * 1e-3, bytes_per_s * 1e-9, 100 * bytes_per_s / b->limits.bytes_per_s,
        flops_per_s * 1e-9, 100 * flops_per_s / peak);
    (void)fflush(stdout);
}

static void free_set(const bench *b, launch_set *s) {
    if (s->kernel->destroy) s->kernel->destroy(s->state);
    tri_device_free(b->device, s->workspace);
}

static float *random_rows(const bench *b, int64_t n) {
    float *x = reserve(b, n * 4);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i * 7919 % 2001 - 1000) * 1e-3f;
    return x;
}

/* ---- linear ---- */

typedef struct linear_case {
    const tri_plugin_kernel *kernel; /* NULL: each that can, of those that take panels if any do */
    const char *activation;
    tri_dtype dtype;
    int64_t n, k;
    int32_t m;
} linear_case;

static void bench_linear(const bench *b, const linear_case *c);

static void bench_each(const bench *b, const linear_case *c, const tri_plugin_desc *desc) {
    tri_error err = {0};
    tri_arena arena;
    tri_kernel_choice *choices;
    int32_t n;
    tri_arena_init(&arena, 0);
    if (tri_kernels_choose(b->kernels, desc, &arena, &choices, &n, &err)) stop("choose", &err);
    bool panels = choices[0].kernel->layout != NULL;
    for (int32_t i = 0; i < n && choices[i].supported; i++) {
        linear_case one = *c;
        one.kernel = choices[i].kernel;
        if (i > 0 && strstr(b->shapes, "best ")) break;
        if (one.kernel->isa[0] && (one.kernel->layout != NULL) == panels) bench_linear(b, &one);
    }
    tri_arena_deinit(&arena);
}

static void bench_linear(const bench *b, const linear_case *c) {
    launch_set s = {.kernel = c->kernel};
    bool scaled = c->dtype == TRI_I8 || c->dtype == TRI_I4;
    tri_plugin_type types[6] = {
        {.dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, c->k}, .layout = "row"},
        {.dtype = (int32_t)c->dtype,
            .n_dims = 2,
            .dims = {c->n, c->k},
            .layout = "row",
            .constant = true},
        {.n_dims = -1}, {.n_dims = -1},
        {.dtype = TRI_F32,
            .n_dims = scaled ? 1 : -1,
            .dims = {c->n},
            .layout = "row",
            .constant = true},
        {.dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, c->n}, .layout = "row"}};
    tri_plugin_field field = {.name = "activation", .kind = 2, .s = c->activation};
    s.desc = (tri_plugin_desc){.struct_size = sizeof s.desc,
        .op = "linear",
        .n_inputs = 5,
        .n_outputs = 1,
        .n_fields = 1,
        .inputs = types,
        .outputs = types + 5,
        .fields = &field,
        .device = tri_device_facts(b->device),
        .max_tokens = c->m};
    if (!c->kernel) {
        bench_each(b, c, &s.desc);
        return;
    }
    const char *layout_name = s.kernel->layout ? s.kernel->layout(&s.desc, 1) : NULL;
    const tri_plugin_layout *layout =
        layout_name ? tri_kernels_find_layout(b->kernels, layout_name) : NULL;
    int64_t row_bytes = tri_dtype_row_bytes(c->dtype, c->k);
    int64_t n_bytes = layout ? layout->bytes(&types[1]) : c->n * row_bytes;
    s.n = c->m > 16 ? 4 : (int32_t)((MIN_BYTES + n_bytes - 1) / n_bytes);
    if (s.n > MAX_LAUNCHES) s.n = MAX_LAUNCHES;
    float *x = random_rows(b, c->m * c->k), *y = reserve(b, c->m * c->n * 4);
    float *scales = random_rows(b, c->n);
    uint8_t *weights = reserve(b, n_bytes * s.n);
    for (int64_t i = 0; i < n_bytes; i++)
        weights[i] = (uint8_t)(i * 131 >> 3 & 0x3F);
    if (tri_dtype_get(c->dtype)->is_float &&
        !tri_dtype_get(c->dtype)->is_block) { /* no denormals, which are slow */
        for (int64_t row = 0; row < c->n; row++)
            tri_codec_encode(c->dtype, x, weights + row * row_bytes, c->k);
    }
    for (int32_t i = 1; i < s.n; i++)
        memcpy(weights + i * n_bytes, weights, (size_t)n_bytes);
    for (int32_t i = 0; i < s.n; i++) {
        s.inputs[i][0] = (tri_plugin_tensor){x, c->k * 4};
        s.inputs[i][1] = (tri_plugin_tensor){weights + i * n_bytes, row_bytes};
        s.inputs[i][4] = (tri_plugin_tensor){scales, 4};
        s.outputs[i][0] = (tri_plugin_tensor){y, c->n * 4};
    }
    finish_set(b, &s);
    char shape[96];
    (void)snprintf(shape, sizeof shape, "%s x %s [%" PRId64 " %" PRId64 "] M=%" PRId32,
        tri_dtype_name(c->dtype), c->activation, c->n, c->k, c->m);
    tri_step *step = make_step(1, c->m, c->m, 0);
    run_set(b, &s, step, shape);
    free(step);
    free_set(b, &s);
    tri_device_free(b->device, x);
    tri_device_free(b->device, y);
    tri_device_free(b->device, scales);
    tri_device_free(b->device, weights);
}

static void bench_linears(const bench *b) {
    static const linear_case kinds[] = {
        {.activation = "f32", .dtype = TRI_F32},
        {.activation = "bf16", .dtype = TRI_BF16},
        {.activation = "f32", .dtype = TRI_F16},
        {.activation = "i8", .dtype = TRI_Q8_0},
        {.activation = "i8", .dtype = TRI_Q4_0},
        {.activation = "i8", .dtype = TRI_Q4_1},
        {.activation = "bf16", .dtype = TRI_I8},
        {.activation = "i8", .dtype = TRI_I4},
        {.activation = "i8", .dtype = TRI_Q4_K},
        {.activation = "i8", .dtype = TRI_Q6_K},
        {.activation = "i8", .dtype = TRI_Q5_K},
        {.activation = "i8", .dtype = TRI_Q5_0},
    };
    static const int32_t rows[] = {1, 4, 8, 32, 512};
    for (size_t m = 0; m < sizeof rows / sizeof rows[0]; m++) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            linear_case c = kinds[i];
            c.n = 2048;
            c.k = 2048;
            c.m = rows[m];
            char shape[32];
            (void)snprintf(shape, sizeof shape, "%s M=%" PRId32, tri_dtype_name(c.dtype), c.m);
            if (strstr(b->shapes, "only ") && !strstr(b->shapes, shape)) continue;
            bench_linear(b, &c);
        }
    }
}

/* ---- attention ---- */

static const tri_plugin_kernel *best_attention(const bench *b) {
    static const char *const names[] = {"attention_amx", "attention_avx512", "attention_avx2"};
    int32_t have = tri_cpu_isa_rank(tri_device_facts(b->device)->arch);
    for (int32_t i = 0; i < 2; i++) {
        const tri_plugin_kernel *kernel = tri_kernels_find(b->kernels, names[i]);
        if (kernel && tri_cpu_isa_rank(kernel->isa) <= have) return kernel;
    }
    return tri_kernels_find(b->kernels, names[2]);
}

static void bench_attention(const bench *b, int32_t n_heads, int32_t n_kv_heads, int32_t head_size,
    int32_t n_sequences, int32_t n, int32_t context, tri_dtype dtype) {
    launch_set s = {.kernel = best_attention(b), .n = 1};
    int64_t width = (int64_t)n_heads * head_size;
    tri_plugin_type types[3] = {
        {.dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, width}, .layout = "row"},
        {.dtype = (int32_t)dtype, .n_dims = 2, .dims = {n_kv_heads, head_size}, .layout = "row"},
        {.dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, width}, .layout = "row"}};
    tri_plugin_field field = {.name = "n_heads", .i = n_heads};
    int32_t max_blocks = (context + 31) / 32;
    s.desc = (tri_plugin_desc){.struct_size = sizeof s.desc,
        .op = "attention",
        .n_inputs = 2,
        .n_outputs = 1,
        .n_fields = 1,
        .inputs = types,
        .outputs = types + 2,
        .fields = &field,
        .device = tri_device_facts(b->device),
        .tokens_per_block = 32,
        .max_tokens = n_sequences * n,
        .max_sequences = n_sequences};
    int64_t elem_bytes = dtype == TRI_F32 ? 4 : 2;
    int64_t half = (int64_t)n_kv_heads * head_size * 32 * elem_bytes;
    uint8_t *memory = reserve(b, 2 * half * max_blocks * n_sequences);
    for (int64_t i = 0; i < 2 * half * max_blocks * n_sequences; i++) {
        memory[i] = (uint8_t)(i * 37 & 0x3F);
    }
    tri_plugin_cache cache = {.struct_size = sizeof cache,
        .base = memory,
        .block_stride_bytes = 2 * half,
        .v_offset_bytes = half,
        .n_blocks = max_blocks * n_sequences,
        .tokens_per_block = 32,
        .n_kv_heads = n_kv_heads,
        .head_size = head_size,
        .dtype = (int32_t)dtype};
    const tri_plugin_cache *caches[2] = {NULL, &cache};
    int32_t groups[2] = {-1, 0};
    float *q = random_rows(b, n_sequences * n * width),
          *y = reserve(b, n_sequences * n * width * 4);
    s.inputs[0][0] = (tri_plugin_tensor){q, width * 4};
    s.outputs[0][0] = (tri_plugin_tensor){y, width * 4};
    finish_set(b, &s);
    s.launches[0].caches = caches;
    s.launches[0].cache_groups = groups;
    char shape[96];
    (void)snprintf(shape, sizeof shape,
        "%s heads %" PRId32 "/%" PRId32 " of %" PRId32 " S=%" PRId32 " n=%" PRId32
        " context %" PRId32,
        tri_dtype_name(dtype), n_heads, n_kv_heads, head_size, n_sequences, n, context);
    tri_step *step = make_step(n_sequences, n, context, max_blocks);
    run_set(b, &s, step, shape);
    free(step);
    free_set(b, &s);
    tri_device_free(b->device, memory);
    tri_device_free(b->device, q);
    tri_device_free(b->device, y);
}

/* ---- rows, sampling ---- */

typedef struct row_case {
    const char *kernel;
    int32_t n_inputs, n_outputs, m;
    int64_t x_columns, y_columns;
    int64_t constant; /* length of the last input, a constant vector; 0: none */
} row_case;

static void bench_rows(const bench *b, const row_case *c) {
    launch_set s = {.kernel = tri_kernels_find(b->kernels, c->kernel), .n = 8};
    tri_plugin_type inputs[3], outputs[2];
    for (int32_t i = 0; i < 3; i++) {
        inputs[i] = (tri_plugin_type){
            .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, c->x_columns}, .layout = "row"};
    }
    if (c->constant) {
        inputs[c->n_inputs - 1] = (tri_plugin_type){.dtype = TRI_F32,
            .n_dims = 1,
            .dims = {c->constant},
            .layout = "row",
            .constant = true};
    }
    for (int32_t i = 0; i < 2; i++) {
        outputs[i] = (tri_plugin_type){
            .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_T, c->y_columns}, .layout = "row"};
    }
    s.desc = (tri_plugin_desc){.struct_size = sizeof s.desc,
        .op = s.kernel->op,
        .n_inputs = c->n_inputs,
        .n_outputs = c->n_outputs,
        .inputs = inputs,
        .outputs = outputs,
        .device = tri_device_facts(b->device),
        .max_tokens = c->m,
        .max_rows = c->m};
    float *x = random_rows(b, 3 * c->m * c->x_columns), *y = reserve(b, 8 * c->m * c->x_columns);
    for (int32_t i = 0; i < s.n; i++) {
        for (int32_t k = 0; k < 3; k++) {
            s.inputs[i][k] = (tri_plugin_tensor){x + k * c->m * c->x_columns, c->x_columns * 4};
        }
        for (int32_t k = 0; k < 2; k++) {
            s.outputs[i][k] = (tri_plugin_tensor){y + k * c->m * c->y_columns, c->y_columns * 4};
        }
    }
    finish_set(b, &s);
    char shape[64];
    (void)snprintf(shape, sizeof shape, "[%" PRId32 " %" PRId64 "]", c->m, c->x_columns);
    tri_step *step = make_step(c->m, 1, 1, 0);
    run_set(b, &s, step, shape);
    free(step);
    free_set(b, &s);
    tri_device_free(b->device, x);
    tri_device_free(b->device, y);
}

/* ---- packing ---- */

static void bench_pack(const bench *b, tri_dtype dtype) {
    enum { N = 4096, K = 2048 };
    const tri_plugin_layout *layout = tri_kernels_find_layout(b->kernels, "panel16");
    tri_plugin_type type = {
        .dtype = (int32_t)dtype, .n_dims = 2, .dims = {N, K}, .layout = "row", .constant = true};
    int64_t n_bytes = N * tri_dtype_row_bytes(dtype, K);
    uint8_t *rows = reserve(b, n_bytes), *packed = reserve(b, layout->bytes(&type));
    memset(rows, 3, (size_t)n_bytes);
    double best = 1e30;
    for (int32_t i = 0; i < REPEATS; i++) {
        int64_t before = now_ns(1);
        layout->pack(&type, 0, N, rows, packed);
        double ns = (double)(now_ns(1) - before);
        if (ns < best) best = ns;
    }
    printf("pack,panel16,%s [%d %d] one thread,%.1f,%.2f,,,\n", tri_dtype_name(dtype), N, K,
        best * 1e-3, (double)n_bytes / best);
    tri_device_free(b->device, rows);
    tri_device_free(b->device, packed);
}

int main(int argc, char **argv) {
    tri_error err = {0};
    bench b = {0};
    tri_device_options options = {.kind = "cpu", .n_threads = argc > 1 ? atoi(argv[1]) : 0};
    const char *only = argc > 2 ? argv[2] : "";
    b.shapes = argc > 3 ? argv[3] : "";
    if (tri_device_create(&b.device, &options, &err)) stop("device", &err);
    if (tri_kernels_create(&b.kernels, &err)) stop("kernels", &err);
    b.n_threads = tri_device_facts(b.device)->n_threads;
    b.limits = measure_limits(&b);
    printf("# %" PRId32 " threads of %s: reads %.1f GB/s, fused multiply-adds %.0f GFLOP/s, bf16 "
           "tiles %.0f GFLOP/s\n",
        b.n_threads, tri_device_facts(b.device)->arch, b.limits.bytes_per_s * 1e-9,
        b.limits.flops_per_s * 1e-9, b.limits.tile_flops_per_s * 1e-9);
    printf("family,kernel,shape,us,GB/s,of reads,GFLOP/s,of peak\n");
    if (strstr("linear", only)) bench_linears(&b);
    if (strstr("attention", only)) {
        bench_attention(&b, 9, 3, 64, 1, 1, 1024, TRI_BF16);
        bench_attention(&b, 32, 8, 64, 1, 1, 4096, TRI_BF16);
        bench_attention(&b, 32, 8, 128, 8, 1, 2048, TRI_BF16);
        bench_attention(&b, 32, 8, 128, 8, 1, 2048, TRI_F16);
        bench_attention(&b, 32, 8, 128, 8, 1, 1024, TRI_F32);
        bench_attention(&b, 9, 3, 64, 1, 512, 512, TRI_BF16);
        bench_attention(&b, 32, 8, 64, 1, 512, 2048, TRI_BF16);
        bench_attention(&b, 32, 8, 128, 1, 512, 2048, TRI_BF16);
    }
    if (strstr("rows", only)) {
        static const row_case cases[] = {
            {"rms_norm_avx2", 2, 1, 1, 2048, 2048, 2048},
            {"rms_norm_avx2", 2, 1, 512, 2048, 2048, 2048},
            {"rms_norm_generic", 2, 1, 512, 2048, 2048, 2048},
            {"add_rms_norm_avx2", 3, 2, 1, 576, 576, 576},
            {"add_rms_norm_avx2", 3, 2, 512, 576, 576, 576},
            {"gated_activation_avx2", 1, 1, 1, 16384, 8192, 0},
            {"gated_activation_avx2", 1, 1, 512, 3072, 1536, 0},
            {"add_avx2", 2, 1, 512, 576, 576, 0},
            {"sample_avx2", 1, 2, 1, 49152, 1, 0},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            bench_rows(&b, &cases[i]);
    }
    if (strstr("pack", only)) {
        static const tri_dtype dtypes[] = {
            TRI_F32, TRI_BF16, TRI_F16, TRI_Q8_0, TRI_Q4_0, TRI_Q4_1, TRI_I8, TRI_I4};
        for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
            bench_pack(&b, dtypes[i]);
    }
    tri_kernels_destroy(b.kernels);
    tri_device_destroy(b.device);
    return 0;
}
