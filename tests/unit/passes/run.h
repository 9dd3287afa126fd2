/* run.h - models of model.h run by the reference interpreter: alone, or by ranks as threads.
 * Include after cmocka.h.
 *
 * Weights are random, fixed by name, and cut for a rank here, from what TensorRT-LLM's checkpoints
 * hold: independently of the pass under test. */
#ifndef TESTS_PASSES_RUN_H
#define TESTS_PASSES_RUN_H

#include <pthread.h>

#include "base/map.h"
#include "support/golden.h"
#include "unit/passes/model.h"

enum { RUN_MAX_RANKS = 8, RUN_MAX_WEIGHTS = 128, RUN_MAX_STEPS = 4, RUN_VOCAB = 64 };

/* ---- weights ---- */

typedef enum run_embedding { RUN_WHOLE, RUN_BY_ROWS, RUN_BY_COLUMNS } run_embedding;

typedef struct run_weights {
    const test_model *m;
    int32_t tp, rank;
    run_embedding embedding;
    int32_t n;
    struct {
        char name[128];
        void *bytes;
    } made[RUN_MAX_WEIGHTS];
} run_weights;

/* The name in the whole model of what a stage calls `name`. */
static inline void run_global_name(const test_model *m, const char *name, char out[128]) {
    int layer, at = 0;
    if (sscanf(name, "transformer.layers.%d.%n", &layer, &at) == 1 && at > 0)
        snprintf(out, 128, "transformer.layers.%d.%s", layer + m->first, name + at);
    else
        snprintf(out, 128, "%s", name);
}

/* Element i of a weight: uniform, deviation 1 / sqrt(columns) for matrices, so that activations
 * keep their size; 0.3 for vectors; norms around 1 unless they are stored minus one. */
static inline float run_element(
    const test_model *m, const char *global, int64_t i, int64_t columns) {
    uint32_t random[4];
    tri_philox(tri_hash64(global, strlen(global), 1), (uint64_t)i, 0, random);
    float uniform = ((float)(random[0] >> 8) / 8388608.0f - 1.0f) * 1.7320508f;
    if (columns > 1)
        return uniform * (strstr(global, "embedding") ? 1.0f : 1.0f / sqrtf((float)columns)) * 1.5f;
    bool norm = strstr(global, "layernorm") || strstr(global, "ln_f");
    return 0.3f * uniform + (norm && !m->norm_plus_one ? 1.0f : 0.0f);
}

static inline bool run_ends(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

static inline bool run_is(const char *name, const char *module) {
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", module);
    snprintf(bias, sizeof bias, "%s.bias", module);
    return run_ends(name, weight) || run_ends(name, bias);
}

/* Which rows and columns of the whole weight a rank holds; rows past the end are zeros. */
typedef struct run_cut {
    int64_t rows, columns; /* of the whole */
    int32_t n_ranges;
    int64_t first[3], n[3];
    int64_t first_column, n_columns;
} run_cut;

static inline void run_add(run_cut *cut, int64_t first, int64_t n) {
    cut->first[cut->n_ranges] = first;
    cut->n[cut->n_ranges++] = n;
}

/* Heads [rank * n / tp ...) of n, or the one of which this rank has a copy. */
static inline void run_add_heads(
    run_cut *cut, const run_weights *w, int64_t start, int64_t n_heads) {
    int64_t size = w->m->head_size, n = n_heads >= w->tp ? n_heads / w->tp : 1;
    run_add(cut, start + w->rank * n_heads / w->tp * size, n * size);
}

static inline void run_cut_rows(run_cut *cut, const run_weights *w, const char *name) {
    const test_model *m = w->m;
    int64_t q = m->n_heads * m->head_size, kv = m->n_kv_heads * m->head_size;
    int64_t share = (cut->rows + w->tp - 1) / w->tp;
    if (run_is(name, "attention.qkv")) {
        run_add_heads(cut, w, 0, m->n_heads);
        run_add_heads(cut, w, q, m->n_kv_heads);
        run_add_heads(cut, w, q + kv, m->n_kv_heads);
    } else if (run_is(name, "attention.q")) {
        run_add_heads(cut, w, 0, m->n_heads);
    } else if (run_is(name, "attention.k") || run_is(name, "attention.v")) {
        run_add_heads(cut, w, 0, m->n_kv_heads);
    } else if (run_is(name, "mlp.fc") && m->joined_mlp) {
        run_add(cut, w->rank * (m->intermediate / w->tp), m->intermediate / w->tp);
        run_add(
            cut, m->intermediate + w->rank * (m->intermediate / w->tp), m->intermediate / w->tp);
    } else if (run_is(name, "mlp.fc") || run_is(name, "mlp.gate") || run_is(name, "lm_head") ||
               (run_is(name, "vocab_embedding") && w->embedding == RUN_BY_ROWS)) {
        run_add(cut, w->rank * share, share);
    } else {
        run_add(cut, 0, cut->rows);
    }
}

static inline run_cut run_cut_of(
    const run_weights *w, const char *name, int64_t rows, int64_t columns) {
    run_cut cut = {.rows = rows, .columns = columns, .n_columns = columns};
    bool by_columns =
        columns > 1 && (run_is(name, "attention.dense") || run_is(name, "mlp.proj") ||
                           (run_is(name, "vocab_embedding") && w->embedding == RUN_BY_COLUMNS));
    run_cut_rows(&cut, w, name);
    if (by_columns) {
        cut.n_columns = columns / w->tp;
        cut.first_column = w->rank * cut.n_columns;
    }
    return cut;
}

/* Extents of the whole weight, from the model. */
static inline void run_extents(
    const test_model *m, const char *name, int64_t *rows, int64_t *columns) {
    int64_t q = m->n_heads * m->head_size, kv = m->n_kv_heads * m->head_size;
    int64_t up = m->intermediate * (m->joined_mlp ? 2 : 1);
    *rows = m->hidden;
    *columns = m->hidden;
    if (run_is(name, "attention.qkv")) *rows = q + 2 * kv;
    if (run_is(name, "attention.q")) *rows = q;
    if (run_is(name, "attention.k") || run_is(name, "attention.v")) *rows = kv;
    if (run_is(name, "attention.dense")) *columns = q;
    if (run_is(name, "mlp.fc")) *rows = up;
    if (run_is(name, "mlp.gate")) *rows = m->intermediate;
    if (run_is(name, "mlp.proj")) *columns = m->intermediate;
    if (run_is(name, "lm_head") || run_is(name, "vocab_embedding")) *rows = m->vocab;
    if (strstr(name, "_layernorm")) *rows = strstr(name, "attention.") ? m->head_size : m->hidden;
    if (run_ends(name, ".bias") || strstr(name, "layernorm") || strstr(name, "ln_f")) *columns = 1;
}

static inline void *run_make_weight(const run_weights *w, const char *name) {
    int64_t rows, columns, at = 0;
    char global[128];
    run_extents(w->m, name, &rows, &columns);
    run_cut cut = run_cut_of(w, name, rows, columns);
    run_global_name(w->m, name, global);
    bool vector = columns == 1;
    tri_dtype dtype = vector && tri_dtype_get(w->m->dtype)->is_block ? TRI_F32 : w->m->dtype;
    int64_t n_rows = cut.n[0] + cut.n[1] + cut.n[2];
    /* A vector is one row of rows elements. */
    int64_t row_bytes = tri_dtype_row_bytes(dtype, vector ? n_rows : cut.n_columns);
    float *row = calloc((size_t)(vector ? n_rows : cut.n_columns), sizeof *row);
    uint8_t *bytes = calloc((size_t)(vector ? 1 : n_rows), (size_t)row_bytes);
    for (int32_t i = 0; i < cut.n_ranges; i++) {
        for (int64_t r = cut.first[i]; r < cut.first[i] + cut.n[i]; r++, at++) {
            for (int64_t c = 0; c < cut.n_columns; c++) {
                float x = r < rows ? run_element(
                                         w->m, global, r * columns + cut.first_column + c, columns)
                                   : 0.0f;
                row[vector ? at : c] = x;
            }
            if (!vector) tri_codec_encode(dtype, row, bytes + at * row_bytes, cut.n_columns);
        }
    }
    if (vector) tri_codec_encode(dtype, row, bytes, n_rows);
    free(row);
    return bytes;
}

/* A tri_interp_weight_fn; user: run_weights, of one thread. */
static inline tri_status run_weight(
    void *user, const char *name, const void **data, tri_error *err) {
    run_weights *w = user;
    for (int32_t i = 0; i < w->n; i++) {
        if (strcmp(w->made[i].name, name) == 0) {
            *data = w->made[i].bytes;
            return TRI_OK;
        }
    }
    if (w->n == RUN_MAX_WEIGHTS) return TRI_FAIL(err, TRI_E_LIMIT, "too many weights");
    snprintf(w->made[w->n].name, sizeof w->made[w->n].name, "%s", name);
    w->made[w->n].bytes = run_make_weight(w, name);
    *data = w->made[w->n++].bytes;
    return TRI_OK;
}

static inline void run_free_weights(run_weights *w) {
    for (int32_t i = 0; i < w->n; i++)
        free(w->made[i].bytes);
    w->n = 0;
}

/* ---- ranks ---- */

typedef struct run_mail { /* from one rank of a stage to the same rank of the next */
    float *data;
    int64_t n;
} run_mail;

typedef struct run_group {
    int32_t tp, pp;
    bool aborted; /* a rank failed: nobody waits for it */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t arrived[RUN_MAX_RANKS]; /* by stage: at the barrier */
    int64_t round[RUN_MAX_RANKS];
    const float *shown[RUN_MAX_RANKS]; /* by rank: what the others of its stage may read */
    run_mail mail[RUN_MAX_RANKS];      /* by receiving rank */
} run_group;

typedef struct run_rank {
    run_group *group;
    int32_t rank; /* stage * tp + tensor rank */
    tri_graph *g;
    test_model m;
    run_weights weights;
    tri_interp_comm comm;
    const tri_step *const *steps;
    int32_t n_steps;
    float *logits[RUN_MAX_STEPS];
    tri_status status;
    tri_error err;
} run_rank;

static inline void run_barrier(run_group *group, int32_t stage) {
    pthread_mutex_lock(&group->lock);
    int64_t round = group->round[stage];
    if (++group->arrived[stage] == group->tp) {
        group->arrived[stage] = 0;
        group->round[stage]++;
        pthread_cond_broadcast(&group->changed);
    }
    while (group->round[stage] == round && !group->aborted)
        pthread_cond_wait(&group->changed, &group->lock);
    pthread_mutex_unlock(&group->lock);
}

static inline void run_all_reduce(void *user, float *x, int64_t n) {
    run_rank *r = user;
    run_group *group = r->group;
    int32_t stage = r->rank / group->tp;
    float *sum = calloc((size_t)n + 1, sizeof *sum);
    group->shown[r->rank] = x;
    run_barrier(group, stage);
    for (int32_t i = 0; i < group->tp && !group->aborted; i++) {
        for (int64_t k = 0; k < n; k++)
            sum[k] += group->shown[stage * group->tp + i][k];
    }
    run_barrier(group, stage);
    memcpy(x, sum, (size_t)n * sizeof *x);
    free(sum);
}

static inline void run_all_gather(
    void *user, const float *x, float *y, int64_t rows, int64_t columns) {
    run_rank *r = user;
    run_group *group = r->group;
    int32_t stage = r->rank / group->tp;
    group->shown[r->rank] = x;
    run_barrier(group, stage);
    for (int32_t i = 0; i < group->tp && !group->aborted; i++) {
        for (int64_t k = 0; k < rows; k++)
            memcpy(y + (k * group->tp + i) * columns,
                group->shown[stage * group->tp + i] + k * columns, (size_t)columns * sizeof *y);
    }
    run_barrier(group, stage);
}

static inline void run_send(void *user, int32_t to, const float *x, int64_t n) {
    run_rank *r = user;
    run_group *group = r->group;
    run_mail *mail = &group->mail[to * group->tp + r->rank % group->tp];
    pthread_mutex_lock(&group->lock);
    while (mail->data && !group->aborted)
        pthread_cond_wait(&group->changed, &group->lock);
    free(mail->data);
    mail->data = malloc((size_t)(n + 1) * sizeof *x);
    memcpy(mail->data, x, (size_t)n * sizeof *x);
    mail->n = n;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

static inline void run_receive(void *user, int32_t from, float *x, int64_t n) {
    run_rank *r = user;
    run_group *group = r->group;
    run_mail *mail = &group->mail[r->rank];
    (void)from;
    pthread_mutex_lock(&group->lock);
    while (!mail->data && !group->aborted)
        pthread_cond_wait(&group->changed, &group->lock);
    if (mail->data) memcpy(x, mail->data, (size_t)(n < mail->n ? n : mail->n) * sizeof *x);
    free(mail->data);
    mail->data = NULL;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

/* ---- running ---- */

static inline tri_interp_comm run_comm(run_rank *r) {
    return (tri_interp_comm){.user = r,
        .all_reduce = run_all_reduce,
        .all_gather = run_all_gather,
        .send = run_send,
        .receive = run_receive};
}

static inline void run_abort(run_group *group) {
    pthread_mutex_lock(&group->lock);
    group->aborted = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

static inline tri_interp *run_interp(run_rank *r) {
    tri_interp *interp = NULL;
    r->comm = run_comm(r);
    tri_interp_options options = {
        .weight = run_weight, .weight_user = &r->weights, .comm = &r->comm};
    for (int32_t i = 0; i < r->g->n_groups; i++)
        options.n_blocks[i] = golden_max_blocks(&r->g->groups[i]) * GOLDEN_SLOTS;
    r->status = tri_interp_create(&interp, r->g, &options, &r->err);
    return interp;
}

static inline void *run_thread(void *arg) {
    run_rank *r = arg;
    tri_interp *interp = run_interp(r);
    for (int32_t i = 0; i < r->n_steps && !r->status; i++) {
        int64_t rows, columns;
        r->status = tri_interp_run(interp, r->steps[i], &r->err);
        const float *logits = tri_interp_output(interp, "logits", &rows, &columns);
        if (r->status || !logits) continue;
        r->logits[i] = malloc((size_t)(rows * columns) * sizeof *logits);
        memcpy(r->logits[i], logits, (size_t)(rows * columns) * sizeof *logits);
    }
    if (r->status) run_abort(r->group);
    tri_interp_destroy(interp);
    return NULL;
}

/* Two sequences: two prompts; a token of one beside the next piece of the other; a token each. */
typedef struct run_steps {
    int32_t n, n_rows[RUN_MAX_STEPS];
    tri_step *steps[RUN_MAX_STEPS];
} run_steps;

static inline run_steps run_make_steps(const tri_graph *g) {
    static const int32_t a[] = {3, 17, 9, 30, 1, 12, 5, 21}, b[] = {11, 2, 38, 7, 19, 4, 33};
    const golden_sequence s[3][2] = {{{a, 5, 0, 0}, {b, 2, 0, 1}},
        {{a + 5, 1, 5, 0}, {b + 2, 4, 2, 1}}, {{b + 6, 1, 6, 1}, {a + 6, 1, 6, 0}}};
    run_steps out = {.n = 3};
    for (int32_t i = 0; i < out.n; i++) {
        out.steps[i] = golden_step(g, s[i], 2, GOLDEN_ALL_ROWS);
        out.n_rows[i] = out.steps[i]->n_rows;
    }
    return out;
}

static inline void run_free_steps(run_steps *steps) {
    for (int32_t i = 0; i < steps->n; i++)
        free(steps->steps[i]);
}

/* What to do to a rank's graph before it runs; NULL: nothing. */
typedef tri_status (*run_rewrite)(tri_graph *g, int32_t tp, int32_t rank, tri_error *err);

typedef struct run_logits { /* of all steps, row after row */
    float *data;
    int64_t n;
    double deviation;
} run_logits;

static inline void run_collect(const run_rank *r, const run_steps *steps, run_logits *out) {
    int64_t vocab = r->m.vocab;
    for (int32_t i = 0; i < steps->n; i++)
        out->n += steps->n_rows[i] * vocab;
    out->data = malloc((size_t)out->n * sizeof *out->data);
    float *at = out->data;
    for (int32_t i = 0; i < steps->n; i++) {
        assert_non_null(r->logits[i]);
        memcpy(at, r->logits[i], (size_t)(steps->n_rows[i] * vocab) * sizeof *at);
        at += steps->n_rows[i] * vocab;
    }
    out->deviation = golden_deviation(out->data, out->n);
}

typedef struct run_layout {
    int32_t tp, pp;
    run_embedding embedding;
} run_layout;

/* Runs tp * pp ranks as threads; `same`: every tensor rank of the last stage must have the same
 * bits. */
static inline run_logits run_ranks(
    const test_model *m, run_layout how, run_rewrite rewrite, bool same) {
    tri_error err = {0};
    run_group group = {.tp = how.tp, .pp = how.pp};
    run_rank *ranks = calloc(RUN_MAX_RANKS, sizeof *ranks);
    pthread_t threads[RUN_MAX_RANKS];
    run_logits out = {0};
    int32_t n = how.tp * how.pp;
    assert_true(n <= RUN_MAX_RANKS);
    pthread_mutex_init(&group.lock, NULL);
    pthread_cond_init(&group.changed, NULL);
    for (int32_t i = 0; i < n; i++) {
        run_rank *r = &ranks[i];
        *r = (run_rank){.group = &group, .rank = i, .m = *m};
        r->m.n_stage = m->n_layers / how.pp;
        r->m.first = i / how.tp * r->m.n_stage;
        r->weights =
            (run_weights){.m = &r->m, .tp = how.tp, .rank = i % how.tp, .embedding = how.embedding};
        r->g = test_model_define(&r->m);
        assert_non_null(r->g);
        if (rewrite && rewrite(r->g, how.tp, i % how.tp, &err)) fail_msg("%s", err.message);
    }
    /* Groups of stages can differ in number; steps are made for the one with most. */
    const tri_graph *widest = ranks[0].g;
    for (int32_t i = 1; i < n; i++) {
        if (ranks[i].g->n_groups > widest->n_groups) widest = ranks[i].g;
    }
    run_steps steps = run_make_steps(widest);
    for (int32_t i = 0; i < n; i++) {
        ranks[i].steps = (const tri_step *const *)steps.steps;
        ranks[i].n_steps = steps.n;
        assert_int_equal(pthread_create(&threads[i], NULL, run_thread, &ranks[i]), 0);
    }
    for (int32_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    for (int32_t i = 0; i < n; i++) {
        if (ranks[i].status) fail_msg("rank %d: %s", (int)i, ranks[i].err.message);
    }
    run_collect(&ranks[n - how.tp], &steps, &out);
    for (int32_t i = n - how.tp + 1; i < n && same; i++) {
        run_logits other = {0};
        run_collect(&ranks[i], &steps, &other);
        assert_memory_equal(out.data, other.data, (size_t)out.n * sizeof *out.data);
        free(other.data);
    }
    for (int32_t i = 0; i < n; i++) {
        run_free_weights(&ranks[i].weights);
        tri_graph_destroy(ranks[i].g);
        for (int32_t k = 0; k < RUN_MAX_STEPS; k++)
            free(ranks[i].logits[k]);
    }
    run_free_steps(&steps);
    pthread_cond_destroy(&group.changed);
    pthread_mutex_destroy(&group.lock);
    free(ranks);
    return out;
}

static inline run_logits run_model(const test_model *m, run_layout how, run_rewrite rewrite) {
    return run_ranks(m, how, rewrite, true);
}

/* For what is wrong on purpose. */
static inline run_logits run_model_apart(const test_model *m, run_layout how, run_rewrite rewrite) {
    return run_ranks(m, how, rewrite, false);
}

/* Largest difference, in deviations of the expected logits. */
static inline double run_error(const run_logits *got, const run_logits *expected) {
    assert_int_equal(got->n, expected->n);
    return golden_error(got->data, expected->data, got->n);
}

#endif
