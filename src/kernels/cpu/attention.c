/* attention.c - kernels of attention: y [T, H D] = softmax(scale q K^T) V, causal, over paged K and
 * V of G key heads; sliding windows, softcap, grouped queries.
 *
 *     row      one head of one query; the H / G heads of a key head and neighbouring queries share
 *              its keys and values: up to TRI_ATTENTION_ROWS rows are an item
 *     chunk    TRI_CHUNK positions, from 0: scores, softmax, product with V give a part (max, sum,
 *              output); parts of a row are merged in the order of chunks
 *
 * Share    many items: whole items, taken in turn.  Few: their chunks, parts through workspace, a
 * barrier, then every thread merges some rows; the same operations in the same order Bound decode:
 * reading K and V once.  Prompts: 4 D operations a (row, position) */
#include "kernels/cpu/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/kv_cache.h"
#include "kernels/cpu/vec_math.h"

enum {
    Q,
    CACHE,
    ROWS = TRI_ATTENTION_ROWS,
    COLUMNS = TRI_ATTENTION_COLUMNS,
    MAX_HEAD = 1024,
    PARTS_BYTES = 1 << 20, /* of workspace for parts, for each thread */
    ITEMS_A_THREAD = 4     /* fewer are shared by chunks */
};

typedef struct attention {
    const tri_attention_functions *functions;
    int64_t n_heads, n_kv_heads, head_size, width; /* width: head_size in whole panels */
    int64_t window;                                /* 0: all */
    float scale, softcap;
    int32_t n_threads;
} attention;

/* ---- what is asked ---- */

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    if (tri_require_f32(desc, Q, reason, reason_bytes)) return 1;
    if (tri_cache_elem_bytes(cache->dtype) == 0) {
        return tri_reject(reason, reason_bytes, "caches are float32, float16 or bfloat16");
    }
    if (cache->dims[1] > MAX_HEAD) {
        return tri_reject(reason, reason_bytes, "heads of %d columns, at most %d are possible",
            (int)cache->dims[1], MAX_HEAD);
    }
    if (tri_desc_int(desc, "n_heads", 0) % cache->dims[0]) {
        return tri_reject(reason, reason_bytes, "key heads do not divide n_heads");
    }
    return 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    double columns = (double)desc->inputs[Q].dims[1], tokens = extents->n_tokens;
    double context = (double)extents->n_context_tokens;
    double sequences = extents->n_sequences > 0 ? extents->n_sequences : 1;
    double window = (double)tri_desc_int(desc, "window", 0);
    double queries = tokens / sequences, seen = context / sequences - (queries - 1) / 2;
    if (window > 0 && window < seen) seen = window;
    if (window > 0 && (window + queries) * sequences < context) {
        context = (window + queries) * sequences;
    }
    double kv_bytes =
        2.0 * (double)(cache->dims[0] * cache->dims[1] * tri_cache_elem_bytes(cache->dtype));
    *c = (tri_plugin_cost){
        .bytes = kv_bytes * context + 8 * columns * tokens, .flops = 4 * columns * tokens * seen};
}

static void describe(
    const tri_plugin_desc *desc, const tri_attention_functions *functions, attention *a) {
    const tri_plugin_type *cache = &desc->inputs[CACHE];
    double scale = tri_desc_float(desc, "scale", 0.0);
    *a = (attention){.functions = functions,
        .n_heads = tri_desc_int(desc, "n_heads", 0),
        .n_kv_heads = cache->dims[0],
        .head_size = cache->dims[1],
        .width = tri_round_up(cache->dims[1], COLUMNS),
        .window = tri_desc_int(desc, "window", 0),
        .scale = (float)(scale > 0.0 ? scale : 1.0 / sqrt((double)cache->dims[1])),
        .softcap = (float)tri_desc_float(desc, "softcap", 0.0),
        .n_threads = desc->device->n_threads};
}

static int32_t create(
    const tri_plugin_desc *desc, const tri_attention_functions *functions, void **state) {
    attention *a = malloc(sizeof *a);
    if (!a) return 1;
    describe(desc, functions, a);
    *state = a;
    return 0;
}

static int32_t create_avx512(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_attention_avx512, state);
}
static int32_t create_avx2(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_attention_avx2, state);
}
static int32_t create_generic(const tri_plugin_desc *desc, void **state) {
    return create(desc, &tri_attention_generic, state);
}

/* ---- workspace: a scratch for each thread, then parts ---- */

typedef struct scratch { /* of one thread */
    float *q;            /* [ROWS][width] */
    float *scores;       /* [ROWS][TRI_CHUNK] */
    float *panel;        /* [max(width, TRI_CHUNK)][COLUMNS] */
    float *part, *total; /* [ROWS][width] */
} scratch;

/* Where thread `thread` has its scratch; returns the bytes that all scratches take. */
static int64_t place_scratch(
    const attention *a, void *workspace, int32_t thread, int32_t n_threads, scratch *s) {
    int64_t longest = a->width > TRI_CHUNK ? a->width : TRI_CHUNK;
    int64_t rows = ROWS * a->width, scores = (int64_t)ROWS * TRI_CHUNK, panel = longest * COLUMNS;
    int64_t floats = 3 * rows + scores + panel;
    if (s) {
        float *at = (float *)workspace + thread * floats;
        *s = (scratch){.q = at,
            .scores = at + rows,
            .panel = at + rows + scores,
            .part = at + rows + scores + panel,
            .total = at + 2 * rows + scores + panel};
    }
    return n_threads * floats * (int64_t)sizeof(float);
}

static int64_t parts_room(const attention *a) {
    return (int64_t)PARTS_BYTES * a->n_threads / (int64_t)sizeof(float);
}

static int64_t workspace_bytes(const tri_plugin_desc *desc) {
    attention a;
    describe(desc, &tri_attention_generic, &a);
    return place_scratch(&a, NULL, 0, a.n_threads, NULL) + parts_room(&a) * (int64_t)sizeof(float);
}

/* ---- items ---- */

typedef struct item { /* some rows of one key head of one sequence */
    int32_t sequence;
    int64_t kv_head, first_row, n_rows; /* row = query of the sequence * shared heads + head */
    int64_t first_chunk, last_chunk;    /* that any of its rows sees */
} item;

typedef struct run {
    const attention *a;
    const tri_plugin_launch *launch;
    const tri_plugin_cache *cache;
    int64_t shared; /* query heads of a key head */
    scratch s;
    float *parts;
    const item *at;
} run;

static int64_t n_queries(const run *r, int32_t sequence) {
    const int32_t *cu = r->launch->step->cu_seqlens;
    return cu[sequence + 1] - cu[sequence];
}

static int64_t position_of(const run *r, int32_t sequence, int64_t row) {
    int64_t query = row / r->shared;
    return r->launch->step->context_lens[sequence] - n_queries(r, sequence) + query;
}

static int64_t first_seen(const run *r, int64_t position) {
    int64_t window = r->a->window;
    return window > 0 && position + 1 > window ? position + 1 - window : 0;
}

/* Starts before the first item. */
static item items_begin(void) {
    return (item){.sequence = -1};
}

/* The next item; false after the last. */
static bool items_next(const run *r, item *it) {
    int32_t n_sequences = r->launch->step->extents.n_sequences;
    int64_t n_rows = it->sequence >= 0 ? n_queries(r, it->sequence) * r->shared : 0;
    it->first_row += it->n_rows;
    if (it->sequence < 0 || it->first_row >= n_rows) {
        it->first_row = 0;
        it->kv_head++;
    }
    if (it->sequence < 0 || it->kv_head >= r->a->n_kv_heads) {
        it->kv_head = 0;
        do {
            it->sequence++;
        } while (it->sequence < n_sequences && n_queries(r, it->sequence) == 0);
        if (it->sequence >= n_sequences) return false;
        n_rows = n_queries(r, it->sequence) * r->shared;
    }
    int64_t left = n_rows - it->first_row;
    it->n_rows = left < ROWS ? left : ROWS;
    int64_t lowest = position_of(r, it->sequence, it->first_row);
    int64_t highest = position_of(r, it->sequence, it->first_row + it->n_rows - 1);
    it->first_chunk = first_seen(r, lowest) / TRI_CHUNK;
    it->last_chunk = highest / TRI_CHUNK;
    return true;
}

/* Token and column of a row of the item. */
static const float *row_of(
    const run *r, const tri_plugin_tensor *tensor, const item *it, int64_t i) {
    int64_t row = it->first_row + i;
    int64_t token = r->launch->step->cu_seqlens[it->sequence] + row / r->shared;
    int64_t head = it->kv_head * r->shared + row % r->shared;
    return tri_row_f32(tensor, token) + head * r->a->head_size;
}

static void load_queries(const run *r, const item *it) {
    const attention *a = r->a;
    for (int64_t i = 0; i < it->n_rows; i++) {
        memcpy(r->s.q + i * a->width, row_of(r, &r->launch->inputs[Q], it, i),
            (size_t)a->head_size * sizeof(float));
    }
}

/* ---- one chunk ---- */

/* What K and V are outside a sequence: the longest row of zeros. */
static const uint8_t zeros[MAX_HEAD * 4];

typedef struct chunk_rows { /* K and V of each position; zeros outside [first, last) */
    const uint8_t *k[TRI_CHUNK + COLUMNS], *v[TRI_CHUNK + COLUMNS];
} chunk_rows;

static void find_rows(
    const run *r, const item *it, int64_t chunk, int64_t first, int64_t last, chunk_rows *rows) {
    int64_t row_bytes = r->a->head_size * tri_cache_elem_bytes(r->cache->dtype);
    const uint8_t *at = NULL;
    for (int64_t j = 0; j < TRI_CHUNK + COLUMNS; j++) {
        int64_t position = chunk * TRI_CHUNK + j;
        rows->k[j] = rows->v[j] = zeros;
        if (j < first || j >= last) continue;
        bool next_block = position % r->cache->tokens_per_block == 0;
        if (j == first || next_block)
            at = tri_cache_at(r->cache, it->sequence, position, it->kv_head);
        else if (at)
            at += row_bytes;
        if (!at) continue;
        rows->k[j] = at;
        rows->v[j] = at + r->cache->v_offset_bytes;
    }
}

/* part [n_rows][width], and max and sum of each row: -infinity where a row sees none of the chunk.
 */
static void attend_chunk(
    const run *r, const item *it, int64_t chunk, float *part, float *max, float *sum) {
    const attention *a = r->a;
    const tri_attention_functions *f = a->functions;
    chunk_rows rows;
    int64_t start = chunk * TRI_CHUNK;
    int64_t highest = position_of(r, it->sequence, it->first_row + it->n_rows - 1);
    int64_t lowest = first_seen(r, position_of(r, it->sequence, it->first_row));
    int64_t first = lowest > start ? lowest - start : 0;
    int64_t last = highest + 1 - start < TRI_CHUNK ? highest + 1 - start : TRI_CHUNK;
    find_rows(r, it, chunk, first, last, &rows);
    int64_t from = first - first % COLUMNS, to = tri_round_up(last, COLUMNS);

    for (int64_t j = from; j < to; j += COLUMNS) {
        f->load_keys(r->cache->dtype, rows.k + j, rows.v + j, a->head_size, r->s.panel);
        f->multiply(
            r->s.panel, r->s.q, a->width, it->n_rows, a->head_size, r->s.scores + j, TRI_CHUNK);
    }
    for (int64_t i = 0; i < it->n_rows; i++) {
        int64_t position = position_of(r, it->sequence, it->first_row + i);
        int64_t row_first = first_seen(r, position) - start, row_last = position + 1 - start;
        float *scores = r->s.scores + i * TRI_CHUNK;
        f->softmax(scores + from, to - from, row_first - from, row_last - from, a->scale,
            a->softcap, &max[i], &sum[i]);
    }
    if (f->multiply_values(r->cache->dtype, rows.v + from, r->s.scores + from, TRI_CHUNK,
            it->n_rows, to - from, a->head_size, part, a->width)) {
        return;
    }
    for (int64_t column = 0; column < a->head_size; column += COLUMNS) {
        int64_t left = a->head_size - column;
        f->load_values(r->cache->dtype, rows.v + from, to - from, column,
            left < COLUMNS ? left : COLUMNS, r->s.panel);
        f->multiply(r->s.panel, r->s.scores + from, TRI_CHUNK, it->n_rows, to - from, part + column,
            a->width);
    }
}

/* Adds a part to the running total of a row. */
static void merge_part(const attention *a, float *total, float *total_max, float *total_sum,
    const float *part, float max, float sum) {
    if (max == -INFINITY) return; /* the row sees none of the chunk */
    float larger = *total_max > max ? *total_max : max;
    float keep = *total_max == -INFINITY ? 0.0f : tri_expf(*total_max - larger);
    float take = tri_expf(max - larger);
    a->functions->merge(total, keep, part, take, a->width);
    *total_sum = *total_sum * keep + sum * take;
    *total_max = larger;
}

static void store_row(const run *r, const item *it, int64_t i, const float *total, float sum) {
    float *y = (float *)(uintptr_t)row_of(r, &r->launch->outputs[0], it, i);
    float inverse = 1.0f / sum;
    for (int64_t c = 0; c < r->a->head_size; c++)
        y[c] = total[c] * inverse;
}

/* ---- whole items ---- */

static void attend_item(const run *r, const item *it) {
    const attention *a = r->a;
    float max[ROWS], sum[ROWS], total_max[ROWS], total_sum[ROWS];
    for (int64_t i = 0; i < it->n_rows; i++) {
        total_max[i] = -INFINITY;
        total_sum[i] = 0.0f;
    }
    memset(r->s.total, 0, (size_t)(it->n_rows * a->width) * sizeof(float));
    load_queries(r, it);
    for (int64_t chunk = it->first_chunk; chunk <= it->last_chunk; chunk++) {
        attend_chunk(r, it, chunk, r->s.part, max, sum);
        for (int64_t i = 0; i < it->n_rows; i++) {
            merge_part(a, r->s.total + i * a->width, &total_max[i], &total_sum[i],
                r->s.part + i * a->width, max[i], sum[i]);
        }
    }
    for (int64_t i = 0; i < it->n_rows; i++) {
        store_row(r, it, i, r->s.total + i * a->width, total_sum[i]);
    }
}

static void attend_by_items(const run *r) {
    item it = items_begin();
    int64_t mine = tri_launch_take(r->launch, 0, 1);
    for (int64_t i = 0; items_next(r, &it); i++) {
        if (i != mine) continue;
        attend_item(r, &it);
        mine = tri_launch_take(r->launch, 0, 1);
    }
}

/* ---- items by chunks ---- */

/* A part in workspace: [n_rows][width], max [n_rows], sum [n_rows]. */
static int64_t part_floats(const attention *a, const item *it) {
    return it->n_rows * (a->width + 2);
}

typedef struct totals {
    int64_t n_items, n_units, floats; /* units: (item, chunk) pairs */
} totals;

static totals count(const run *r) {
    totals t = {0};
    item it = items_begin();
    while (items_next(r, &it)) {
        int64_t n_chunks = it.last_chunk - it.first_chunk + 1;
        t.n_items++;
        t.n_units += n_chunks;
        t.floats += n_chunks * part_floats(r->a, &it);
    }
    return t;
}

static void attend_units(const run *r, int64_t first, int64_t last) {
    const attention *a = r->a;
    float *at = r->parts;
    int64_t unit = 0;
    item it = items_begin();
    while (unit < last && items_next(r, &it)) {
        bool loaded = false;
        for (int64_t chunk = it.first_chunk; chunk <= it.last_chunk; chunk++, unit++) {
            if (unit >= first && unit < last) {
                float *max = at + it.n_rows * a->width;
                if (!loaded) load_queries(r, &it);
                loaded = true;
                attend_chunk(r, &it, chunk, at, max, max + it.n_rows);
            }
            at += part_floats(a, &it);
        }
    }
}

static void merge_units(const run *r) {
    const attention *a = r->a;
    const float *at = r->parts;
    int64_t row = 0;
    item it = items_begin();
    while (items_next(r, &it)) {
        for (int64_t i = 0; i < it.n_rows; i++, row++) {
            if (row % r->launch->n_threads != r->launch->thread) continue;
            float total_max = -INFINITY, total_sum = 0.0f, *total = r->s.total;
            memset(total, 0, (size_t)a->width * sizeof *total);
            for (int64_t c = 0; c <= it.last_chunk - it.first_chunk; c++) {
                const float *part = at + c * part_floats(a, &it);
                const float *max = part + it.n_rows * a->width, *sum = max + it.n_rows;
                merge_part(a, total, &total_max, &total_sum, part + i * a->width, max[i], sum[i]);
            }
            store_row(r, &it, i, total, total_sum);
        }
        at += (it.last_chunk - it.first_chunk + 1) * part_floats(a, &it);
    }
}

static void attention_launch(void *state, const tri_plugin_launch *launch) {
    const attention *a = state;
    run r = {.a = a,
        .launch = launch,
        .cache = launch->caches[CACHE],
        .shared = a->n_heads / a->n_kv_heads};
    int64_t scratch_bytes =
        place_scratch(a, launch->workspace, launch->thread, launch->n_threads, &r.s);
    r.parts = (float *)(void *)((uint8_t *)launch->workspace + scratch_bytes);

    totals t = count(&r);
    if (t.n_items >= (int64_t)ITEMS_A_THREAD * launch->n_threads || t.n_units == t.n_items ||
        t.floats > parts_room(a)) {
        attend_by_items(&r);
        return;
    }
    int64_t first, last;
    tri_launch_share(launch, t.n_units, &first, &last);
    attend_units(&r, first, last);
    launch->barrier(launch->team); /* merging reads parts of all threads */
    merge_units(&r);
}

/* ---- registration ---- */

#define ATTENTION_KERNEL(variant, isa_, numerics_)                                                 \
    static const tri_plugin_kernel attention_##variant = {                                         \
        TRI_CPU_KERNEL("attention", "attention_" #variant, isa_, numerics_), .supports = supports, \
        .cost = cost, .workspace_bytes = workspace_bytes, .create = create_##variant,              \
        .destroy = free, .launch = attention_launch};
ATTENTION_KERNEL(avx512, "avx512", "f32_fma_chunk128")
ATTENTION_KERNEL(avx2, "avx2", "f32_fma_chunk128")
ATTENTION_KERNEL(generic, "", "f32_chunk128")

const tri_plugin_kernel *const tri_attention_kernels[] = {
    &attention_avx512, &attention_avx2, &attention_generic, NULL};
