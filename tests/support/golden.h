/* golden.h - golden models as tests want them: weights in memory, a graph, steps of several
 * sequences.  Header only; include after cmocka.h.  Whatever goes wrong fails the test.
 *
 *     golden_open(&m, "families/llama_tied", NULL);            source, expected.safetensors
 *     golden_weights w = golden_weights_of(m.source, 0);       rank 0's weights, read on demand
 *     tri_graph *g = golden_graph(m.source, 0, 128);           pipeline stage 0, full width
 *     tri_interp *interp = golden_interp(g, &w, NULL, NULL, NULL);
 *     golden_sequence s[] = {golden_prompt(&m, 0, 0), golden_prompt(&m, 2, 1)};
 *     tri_step *step = golden_step(g, s, 2, GOLDEN_ALL_ROWS);  one packed step
 *     golden_run(interp, step);                                then tri_interp_output(...)
 */
#ifndef TRI_TESTS_GOLDEN_H
#define TRI_TESTS_GOLDEN_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/file.h"
#include "data/safetensors.h"
#include "graph/interp.h"
#include "models/source.h"

enum { GOLDEN_SLOTS = 8, GOLDEN_MAX_LEN = 256 };

static inline void golden_ok(tri_status rc, const tri_error *err) {
    if (rc) fail_msg("%s: %s", tri_status_name(rc), err->message);
}

/* ---- weights of one rank ---- */

typedef struct golden_weights {
    const tri_source *source;
    int32_t rank;
    void **rows; /* by index; read on demand, and then the test's to change */
} golden_weights;

static inline golden_weights golden_weights_of(const tri_source *source, int32_t rank) {
    size_t n = (size_t)tri_source_n_weights(source, rank);
    return (golden_weights){source, rank, calloc(n, sizeof(void *))};
}

static inline void golden_weights_free(golden_weights *w) {
    for (int32_t i = 0; i < tri_source_n_weights(w->source, w->rank); i++)
        free(w->rows[i]);
    free(w->rows);
}

static inline void *golden_weight(const golden_weights *w, const char *name) {
    tri_error err = {0};
    int32_t i = tri_source_find(w->source, w->rank, name);
    if (i < 0) fail_msg("no weight %s on rank %d", name, (int)w->rank);
    if (!w->rows[i]) {
        const tri_source_weight *info = tri_source_get(w->source, w->rank, i);
        w->rows[i] = malloc((size_t)(info->n_rows * info->row_bytes));
        golden_ok(tri_source_read(w->source, w->rank, i, 0, info->n_rows, w->rows[i], &err), &err);
    }
    return w->rows[i];
}

/* A tri_interp_weight_fn; user: golden_weights. */
static inline tri_status golden_weight_fn(
    void *user, const char *name, const void **data, tri_error *err) {
    (void)err;
    *data = golden_weight(user, name);
    return TRI_OK;
}

/* ---- a golden directory ---- */

typedef struct golden_model {
    char path[512];
    tri_arena arena;
    tri_source *source;
    tri_safetensors expected;
} golden_model;

/* model, expected: paths below tests/golden.  options: NULL: one rank, weights as stored. */
static inline void golden_open_files(
    golden_model *m, const char *model, const char *expected, const tri_source_options *options) {
    tri_error err = {0};
    char path[600];
    tri_source_options stored = {.dtype = TRI_N_DTYPES};
    *m = (golden_model){0};
    tri_arena_init(&m->arena, 0);
    (void)snprintf(m->path, sizeof m->path, "%s/golden/%s", TRI_TESTS_DIR, model);
    golden_ok(tri_source_open(&m->source, m->path, options ? options : &stored, &err), &err);
    (void)snprintf(path, sizeof path, "%s/golden/%s", TRI_TESTS_DIR, expected);
    golden_ok(tri_safetensors_open(&m->expected, path, &m->arena, &err), &err);
}

/* name: a directory with model and expected.safetensors. */
static inline void golden_open(
    golden_model *m, const char *name, const tri_source_options *options) {
    char expected[300];
    (void)snprintf(expected, sizeof expected, "%s/expected.safetensors", name);
    golden_open_files(m, name, expected, options);
}

static inline void golden_close(golden_model *m) {
    tri_safetensors_close(&m->expected);
    tri_source_close(m->source);
    tri_arena_deinit(&m->arena);
}

/* "seq1.logits" and such; NULL when absent. */
static inline const tri_safetensor *golden_find(const golden_model *m, const char *format, ...) {
    char name[64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return tri_safetensors_find(&m->expected, name);
}

static inline const float *golden_floats(const tri_safetensor *t) {
    assert_non_null(t);
    assert_int_equal(t->dtype, TRI_F32);
    return (const float *)(const void *)t->data; /* writers align to 8 */
}

static inline const int32_t *golden_ints(const tri_safetensor *t) {
    assert_non_null(t);
    assert_int_equal(t->dtype, TRI_I32);
    return (const int32_t *)(const void *)t->data;
}

/* The full-width graph of a pipeline stage, for this config (often the source's own). */
static inline tri_graph *golden_graph_for(const tri_source *source, const tri_model_config *config,
    int32_t pp_rank, int64_t max_seq_len) {
    tri_error err = {0};
    tri_graph *g = NULL;
    golden_ok(tri_graph_create(&g, config->architecture, &err), &err);
    g->kv_dtype = TRI_F32;
    g->tokens_per_block = 4; /* small, so that short sequences have several blocks */
    tri_source_declare(source, pp_rank, g);
    golden_ok(tri_model_define(g, config, pp_rank, max_seq_len, &err), &err);
    return g;
}

static inline tri_graph *golden_graph(
    const tri_source *source, int32_t pp_rank, int64_t max_seq_len) {
    return golden_graph_for(source, tri_source_config(source), pp_rank, max_seq_len);
}

/* ---- steps ---- */

/* Tokens of one sequence in one step.  Caches are by slot: what was fed to the slot before is the
 * context. */
typedef struct golden_sequence {
    const int32_t *tokens;
    int32_t n_tokens, n_before; /* in this step; in earlier steps */
    int32_t slot;               /* [0, GOLDEN_SLOTS) */
} golden_sequence;

static inline golden_sequence golden_prompt(const golden_model *m, int32_t seq, int32_t slot) {
    const tri_safetensor *ids = golden_find(m, "seq%d.input_ids", (int)seq);
    return (golden_sequence){golden_ints(ids), (int32_t)ids->dims[0], 0, slot};
}

typedef enum golden_rows { GOLDEN_LAST_ROWS, GOLDEN_ALL_ROWS } golden_rows;

static inline int32_t golden_max_blocks(const tri_group *group) {
    return group->kind == TRI_GROUP_RECURRENT
               ? 0
               : (GOLDEN_MAX_LEN + group->tokens_per_block - 1) / group->tokens_per_block;
}

static inline void golden_fill_group(tri_step *step, int32_t index, const golden_sequence *s) {
    tri_step_group *group = &step->groups[index];
    uint8_t *base = (uint8_t *)step;
    for (int32_t i = 0; i < step->n_sequences; i++) {
        if (group->max_blocks == 0) {
            ((int32_t *)(void *)(base + group->state_slots))[i] = s[i].slot;
            continue;
        }
        int32_t *table =
            (int32_t *)(void *)(base + group->block_tables) + (int64_t)i * group->max_blocks;
        for (int32_t b = 0; b < group->max_blocks; b++)
            table[b] = b * GOLDEN_SLOTS + s[i].slot; /* a sequence's blocks lie apart */
    }
}

/* Free it with free(). */
static inline tri_step *golden_step(
    const tri_graph *g, const golden_sequence *s, int32_t n, golden_rows rows) {
    tri_step_shape shape = {.n_sequences = n, .n_groups = g->n_groups, .n_position_axes = 1};
    for (int32_t i = 0; i < n; i++)
        shape.n_tokens += s[i].n_tokens;
    shape.n_rows = rows == GOLDEN_ALL_ROWS ? shape.n_tokens : n;
    for (int32_t i = 0; i < g->n_groups; i++)
        shape.max_blocks[i] = golden_max_blocks(&g->groups[i]);

    int64_t n_bytes = tri_step_bytes(&shape);
    assert_true(n_bytes > 0);
    tri_step *step = tri_step_init(malloc((size_t)n_bytes), n_bytes, &shape);
    uint8_t *base = (uint8_t *)step;
    int32_t *tokens = (int32_t *)(void *)(base + step->tokens);
    int32_t *positions = (int32_t *)(void *)(base + step->positions);
    int32_t *cu_seqlens = (int32_t *)(void *)(base + step->cu_seqlens);
    int32_t *context_lens = (int32_t *)(void *)(base + step->context_lens);
    int32_t *prompt_lens = (int32_t *)(void *)(base + step->prompt_lens);
    int32_t *adapter_ids = (int32_t *)(void *)(base + step->adapter_ids);
    int32_t *wanted = (int32_t *)(void *)(base + step->rows);
    tri_step_sampling *sampling = (tri_step_sampling *)(void *)(base + step->sampling);
    int32_t t = 0, r = 0;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < s[i].n_tokens; j++, t++) {
            tokens[t] = s[i].tokens[j];
            positions[t] = s[i].n_before + j;
            if (rows == GOLDEN_LAST_ROWS && j + 1 < s[i].n_tokens) continue;
            sampling[r] = (tri_step_sampling){.sequence = i, .mask_slot = -1};
            wanted[r++] = t;
        }
        cu_seqlens[i + 1] = t;
        context_lens[i] = prompt_lens[i] = s[i].n_before + s[i].n_tokens;
        adapter_ids[i] = -1;
    }
    for (int32_t i = 0; i < g->n_groups; i++)
        golden_fill_group(step, i, s);
    return step;
}

/* observe: NULL, or as tri_interp_options says. */
static inline tri_interp *golden_interp(const tri_graph *g, golden_weights *w,
    void (*observe)(void *, const tri_value *, const float *, int64_t, int64_t), void *observe_user,
    const tri_interp_comm *comm) {
    tri_error err = {0};
    tri_interp *interp = NULL;
    tri_interp_options options = {.weight = golden_weight_fn,
        .weight_user = w,
        .comm = comm,
        .observe = observe,
        .observe_user = observe_user};
    for (int32_t i = 0; i < g->n_groups; i++) {
        int32_t max_blocks = golden_max_blocks(&g->groups[i]);
        options.n_blocks[i] = (max_blocks ? max_blocks : 1) * GOLDEN_SLOTS;
    }
    golden_ok(tri_interp_create(&interp, g, &options, &err), &err);
    return interp;
}

static inline void golden_run(tri_interp *interp, const tri_step *step) {
    tri_error err = {0};
    golden_ok(tri_interp_run(interp, step, &err), &err);
}

/* ---- comparing ---- */

static inline double golden_deviation(const float *x, int64_t n) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    return sqrt(squares / (double)n - sum / (double)n * (sum / (double)n));
}

/* Largest difference in standard deviations of what is expected; infinite where one is no number.
 */
static inline double golden_error(const float *x, const float *expected, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - expected[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    return worst / golden_deviation(expected, n);
}

static inline int32_t golden_best(const float *logits, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

#endif
