/* sample.c - kernels of sample: logits [R, V] to a token and its log-probability a row.
 *
 *     temperature 0   the largest logit, the lowest id among equals; so is one whose inverse is
 *                     not finite
 *     else            p = softmax(logits / temperature), tokens in order of (p descending, id
 *                     ascending); of these the first top_k; the shortest prefix whose p add up to
 *                     top_p; those with p >= min_p * the largest.  One is drawn by inverse CDF at
 *                     u * (sum of theirs), u = uniform(seed, counter)
 *     log-probability in log_softmax of the logits as given, without temperature
 *
 * A row without a finite largest logit gets token -1 and log-probability NaN: its request fails,
 * alone.
 *
 * The order is never made in full: tokens fall into buckets by the high bits of p, whose counts and
 * sums tell in which bucket a cut or the draw falls; only such buckets are sorted.
 *
 * Share    pieces of PIECE columns for maxima and sums (combined in the order of pieces, in
 * double), then whole rows */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/step.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/sampling.h"
#include "kernels/cpu/vec_math.h"

enum {
    PIECE = 4096,
    BUCKET_SHIFT = 18, /* 5 bits of mantissa: p within a bucket differ by 3 % at most */
    N_BUCKETS = (0x3F800000 >> BUCKET_SHIFT) + 1 /* p from 0 to 1 */
};

typedef struct sample {
    const tri_sampling_functions *functions;
    int64_t vocabulary, n_pieces, max_rows;
    int32_t n_threads;
} sample;

/* ---- what is asked ---- */

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    if (tri_require_f32(desc, 0, reason, reason_bytes)) return 1;
    if (tri_desc_input(desc, 1) || tri_desc_int(desc, "masked", 0)) {
        return tri_reject(reason, reason_bytes, "penalties and masks are ops of their own here");
    }
    if (tri_plugin_columns(&desc->inputs[0]) > INT32_MAX) {
        return tri_reject(reason, reason_bytes, "more than 2^31 tokens");
    }
    return 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    double elements = extents->n_rows * (double)tri_plugin_columns(&desc->inputs[0]);
    *c = (tri_plugin_cost){.bytes = 8 * elements, .flops = 20 * elements};
}

static void describe(
    const tri_plugin_desc *desc, const tri_sampling_functions *functions, sample *s) {
    int64_t vocabulary = tri_plugin_columns(&desc->inputs[0]);
    *s = (sample){.functions = functions,
        .vocabulary = vocabulary,
        .n_pieces = (vocabulary + PIECE - 1) / PIECE,
        .max_rows = tri_desc_max_rows(desc, &desc->inputs[0]),
        .n_threads = desc->device->n_threads};
}

static int32_t create(
    const tri_plugin_desc *desc, const tri_sampling_functions *functions, void **state) {
    sample *s = malloc(sizeof *s);
    if (!s) return 1;
    describe(desc, functions, s);
    *state = s;
    return 0;
}

static int32_t create_avx2(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_sampling_avx2, state);
}
static int32_t create_generic(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_sampling_generic, state);
}

/* ---- workspace ---- */

typedef struct bucket {
    double sum;
    int32_t n, at; /* at: where its tokens begin when listed */
} bucket;

typedef struct places {
    float *max, *sum, *hot_sum; /* [rows][n_pieces]: of the logits; hot: with temperature */
    float *p;                   /* [rows][V]: with temperature, not normalised */
    bucket *buckets;            /* [N_BUCKETS], this thread's */
    int32_t *listed;            /* [V], this thread's */
    int64_t end_bytes;
} places;

/* One function sizes and places; base NULL: sizes only. */
static places place(const sample *s, int64_t rows, int32_t thread, uint8_t *base) {
    int64_t piece_bytes = tri_round_up(rows * s->n_pieces * 4, TRI_CACHE_LINE);
    int64_t p_bytes = tri_round_up(rows * s->vocabulary * 4, TRI_CACHE_LINE);
    int64_t bucket_bytes = tri_round_up(N_BUCKETS * (int64_t)sizeof(bucket), TRI_CACHE_LINE);
    int64_t thread_bytes = bucket_bytes + tri_round_up(s->vocabulary * 4, TRI_CACHE_LINE);
    int64_t threads_at = 3 * piece_bytes + p_bytes;
    places p = {.end_bytes = threads_at + s->n_threads * thread_bytes};
    if (!base) return p;
    p.max = (float *)(void *)base;
    p.sum = (float *)(void *)(base + piece_bytes);
    p.hot_sum = (float *)(void *)(base + 2 * piece_bytes);
    p.p = (float *)(void *)(base + 3 * piece_bytes);
    uint8_t *mine = base + threads_at + thread * thread_bytes;
    p.buckets = (bucket *)(void *)mine;
    p.listed = (int32_t *)(void *)(mine + bucket_bytes);
    return p;
}

static int64_t workspace_bytes(const tri_plugin_desc *desc) {
    sample s;
    describe(desc, &tri_sampling_generic, &s);
    return place(&s, s.max_rows, 0, NULL).end_bytes;
}

/* What logits are multiplied with; 0: the largest is taken. */
static float sharpness(const tri_step_sampling *how) {
    float inverse = how->temperature > 0.0f ? 1.0f / how->temperature : 0.0f;
    return isfinite(inverse) ? inverse : 0.0f;
}

/* ---- one row: buckets ---- */

static int32_t bucket_of(float p) {
    uint32_t b = tri_bits_of_float(p) >> BUCKET_SHIFT;
    return b < N_BUCKETS ? (int32_t)b : N_BUCKETS - 1;
}

static void fill_buckets(const float *p, int64_t n, bucket *buckets, int32_t *listed) {
    memset(buckets, 0, N_BUCKETS * sizeof *buckets);
    for (int64_t v = 0; v < n; v++) {
        bucket *b = &buckets[bucket_of(p[v])];
        b->n++;
        b->sum += (double)p[v];
    }
    int32_t at = 0;
    for (int32_t b = N_BUCKETS - 1; b >= 0; b--) {
        buckets[b].at = at;
        at += buckets[b].n;
    }
    for (int64_t v = 0; v < n; v++)
        listed[buckets[bucket_of(p[v])].at++] = (int32_t)v;
    for (int32_t b = 0; b < N_BUCKETS; b++)
        buckets[b].at -= buckets[b].n;
}

static bool comes_before(const float *p, int32_t a, int32_t b) {
    return p[a] > p[b] || (p[a] == p[b] && a < b);
}

/* Heap sort: the buckets are small, but a flat row may put all tokens in one. */
static void sift(const float *p, int32_t *ids, int64_t at, int64_t n) {
    int32_t id = ids[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && comes_before(p, ids[child], ids[child + 1])) child++;
        if (!comes_before(p, id, ids[child])) break;
        ids[at] = ids[child];
    }
    ids[at] = id;
}

static void sort_ids(const float *p, int32_t *ids, int64_t n) {
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift(p, ids, i, n);
    for (int64_t end = n - 1; end > 0; end--) {
        int32_t last = ids[end];
        ids[end] = ids[0];
        ids[0] = last;
        sift(p, ids, 0, end);
    }
}

typedef struct ordered { /* tokens by falling p, whole buckets at a time */
    const float *p;
    const bucket *buckets;
    int32_t *listed;
} ordered;

static const int32_t *sorted_bucket(ordered *o, int32_t b) {
    const bucket *at = &o->buckets[b];
    sort_ids(o->p, o->listed + at->at, at->n);
    return o->listed + at->at;
}

typedef struct kept { /* a prefix of the order */
    int64_t n;
    double sum;
} kept;

/* The shortest prefix with n_most tokens or a sum of at least sum_least. */
static kept cut(ordered *o, int64_t n_most, double sum_least) {
    kept k = {0};
    for (int32_t b = N_BUCKETS - 1; b >= 0; b--) {
        const bucket *at = &o->buckets[b];
        if (at->n == 0) continue;
        if (k.n + at->n <= n_most && k.sum + at->sum < sum_least) {
            k.n += at->n;
            k.sum += at->sum;
            continue;
        }
        const int32_t *ids = sorted_bucket(o, b);
        for (int32_t i = 0; i < at->n && k.n < n_most && k.sum < sum_least; i++) {
            k.n++;
            k.sum += (double)o->p[ids[i]];
        }
        break;
    }
    return k;
}

/* The kept tokens with p of at least `least`; they are a prefix too. */
static kept cut_small(ordered *o, kept k, float least) {
    kept shorter = {0};
    for (int32_t b = N_BUCKETS - 1; b >= 0 && shorter.n < k.n; b--) {
        const bucket *at = &o->buckets[b];
        if (at->n == 0) continue;
        if (b > bucket_of(least) && shorter.n + at->n <= k.n) {
            shorter.n += at->n;
            shorter.sum += at->sum;
            continue;
        }
        const int32_t *ids = sorted_bucket(o, b);
        for (int32_t i = 0; i < at->n && shorter.n < k.n; i++) {
            if (o->p[ids[i]] < least) return shorter;
            shorter.n++;
            shorter.sum += (double)o->p[ids[i]];
        }
    }
    return shorter;
}

/* The first kept token at which the running sum exceeds `target`, else the last of p > 0. */
static int32_t draw(ordered *o, kept k, double target) {
    double sum = 0;
    int64_t n = 0;
    int32_t last = -1;
    for (int32_t b = N_BUCKETS - 1; b >= 0 && n < k.n; b--) {
        const bucket *at = &o->buckets[b];
        if (at->n == 0) continue;
        bool inside = n + at->n <= k.n && sum + at->sum <= target;
        const int32_t *ids = inside ? o->listed + at->at : sorted_bucket(o, b);
        if (inside) {
            n += at->n;
            sum += at->sum;
            for (int32_t i = 0; i < at->n; i++) {
                if (o->p[ids[i]] > 0.0f && (last < 0 || comes_before(o->p, last, ids[i]))) {
                    last = ids[i];
                }
            }
            continue;
        }
        for (int32_t i = 0; i < at->n && n < k.n && o->p[ids[i]] > 0.0f; i++, n++) {
            sum += (double)o->p[ids[i]];
            last = ids[i];
            if (sum > target) return last;
        }
    }
    return last;
}

static int32_t draw_token(
    const sample *s, const places *w, const float *p, double total, const tri_step_sampling *how) {
    fill_buckets(p, s->vocabulary, w->buckets, w->listed);
    ordered o = {.p = p, .buckets = w->buckets, .listed = w->listed};
    int64_t n_most = how->top_k > 0 && how->top_k < s->vocabulary ? how->top_k : s->vocabulary;
    bool nucleus = how->top_p > 0.0f && how->top_p < 1.0f;
    kept k = cut(&o, n_most, nucleus ? (double)how->top_p * total : INFINITY);
    if (how->min_p > 0.0f) {
        float largest = 1.0f; /* p is e^(logit - largest logit) before it is normalised */
        float least = how->min_p * largest;
        if (least > 1.0f) least = 1.0f; /* one always stays */
        k = cut_small(&o, k, least);
    }
    return draw(&o, k, (double)tri_rng_uniform(how->seed, how->counter) * k.sum);
}

/* ---- launch ---- */

static int32_t first_equal(const float *x, int64_t n, float value) {
    int64_t v = 0;
    while (v < n && x[v] != value)
        v++;
    return v < n ? (int32_t)v : -1;
}

typedef struct row_facts {
    float max;
    double sum, hot_sum;
} row_facts;

static float row_max(const sample *s, const places *w, int64_t row) {
    return s->functions->max(w->max + row * s->n_pieces, s->n_pieces);
}

static void sample_row(const sample *s, const places *w, const tri_plugin_launch *launch,
    const tri_step_sampling *how, int64_t row) {
    const float *logits = tri_row_f32(&launch->inputs[0], row);
    int32_t *token = (int32_t *)(void *)tri_row_f32(&launch->outputs[0], row);
    float *logprob = tri_row_f32(&launch->outputs[1], row);
    row_facts f = {.max = row_max(s, w, row)};
    for (int64_t i = row * s->n_pieces; i < (row + 1) * s->n_pieces; i++) {
        f.sum += (double)w->sum[i];
        f.hot_sum += (double)w->hot_sum[i];
    }
    if (!isfinite(f.max) || !isfinite(f.sum)) {
        *token = -1;
        *logprob = NAN;
        return;
    }
    *token = sharpness(how) > 0.0f ? draw_token(s, w, w->p + row * s->vocabulary, f.hot_sum, how)
                                   : first_equal(logits, s->vocabulary, f.max);
    *logprob = (float)((double)logits[*token] - (double)f.max - log(f.sum));
}

static void sample_launch(void *state, const tri_plugin_launch *launch) {
    const sample *s = state;
    int64_t rows = launch->step->extents.n_rows, first, last;
    const tri_step_sampling *sampling = tri_step_rows_sampling(launch->step->step);
    TRI_ASSERT(launch->workspace);
    places w = place(s, rows, launch->thread, launch->workspace);
    tri_launch_share(launch, rows * s->n_pieces, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t row = i / s->n_pieces, column = i % s->n_pieces * PIECE;
        int64_t n = s->vocabulary - column < PIECE ? s->vocabulary - column : PIECE;
        w.max[i] = s->functions->max(tri_row_f32(&launch->inputs[0], row) + column, n);
    }
    launch->barrier(launch->team); /* sums need the maximum of the whole row */
    for (int64_t i = first; i < last; i++) {
        int64_t row = i / s->n_pieces, column = i % s->n_pieces * PIECE;
        int64_t n = s->vocabulary - column < PIECE ? s->vocabulary - column : PIECE;
        const float *x = tri_row_f32(&launch->inputs[0], row) + column;
        float max = row_max(s, &w, row), factor = sharpness(&sampling[row]);
        w.sum[i] = s->functions->exp_sum(x, n, max, 1.0f, NULL);
        if (factor > 0.0f) {
            w.hot_sum[i] =
                s->functions->exp_sum(x, n, max, factor, w.p + row * s->vocabulary + column);
        } else {
            w.hot_sum[i] = 0.0f;
        }
    }
    launch->barrier(launch->team); /* rows need all their pieces */
    tri_launch_share(launch, rows, &first, &last);
    for (int64_t row = first; row < last; row++) {
        sample_row(s, &w, launch, &sampling[row], row);
    }
}

/* ---- registration ---- */

#define SAMPLE_KERNEL(variant, isa_)                                                               \
    static const tri_plugin_kernel sample_##variant = {                                            \
        TRI_CPU_KERNEL("sample", "sample_" #variant, isa_, "f32_pieces4096"),                      \
        .supports = supports, .cost = cost, .workspace_bytes = workspace_bytes,                    \
        .create = create_##variant, .destroy = free, .launch = sample_launch};
SAMPLE_KERNEL(avx2, "avx2")
SAMPLE_KERNEL(generic, "")

const tri_plugin_kernel *const tri_sample_kernels[] = {&sample_avx2, &sample_generic, NULL};
