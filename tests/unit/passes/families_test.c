/* families_test.c - every golden family, cut for ranks by tri_source and rewritten by the passes,
 * gives the logits that its whole graph gives.
 *
 * Sources cut weights, the shard pass cuts graphs: each is written without the other's code, and
 * they must agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/run.h"

static const char *const families[] = {"gemma2", "gemma3", "llama_bias", "llama_mha",
    "llama_rope_llama3", "llama_tied", "mistral", "phi3", "phi3_longrope", "qwen2", "qwen3",
    "qwen3_bias"};

typedef struct stage_run {
    run_rank rank; /* group, graph, steps, logits; weights are the source's */
    golden_weights source_weights;
    tri_interp *interp;
} stage_run;

static void *run_stage(void *arg) {
    stage_run *s = arg;
    run_rank *r = &s->rank;
    for (int32_t i = 0; i < r->n_steps && !r->status; i++) {
        int64_t rows, columns;
        r->status = tri_interp_run(s->interp, r->steps[i], &r->err);
        const float *logits = tri_interp_output(s->interp, "logits", &rows, &columns);
        if (r->status || !logits) continue;
        r->logits[i] = malloc((size_t)(rows * columns) * sizeof *logits);
        memcpy(r->logits[i], logits, (size_t)(rows * columns) * sizeof *logits);
    }
    if (r->status) run_abort(r->group);
    return NULL;
}

/* Read before threads start: a failing read fails the test, which only its own thread may do. */
static void read_all(const golden_weights *w) {
    for (int32_t i = 0; i < tri_source_n_weights(w->source, w->rank); i++)
        golden_weight(w, tri_source_get(w->source, w->rank, i)->name);
}

static void rewrite(tri_graph *g, const tri_source *source, int32_t rank, int32_t tp) {
    tri_error err = {0};
    const tri_precision p = {.weights = TRI_F32, .weight_only = TRI_N_DTYPES};
    if (tp > 1) {
        /* As a build does: shards are declared as the source has them, and the pass must agree. */
        for (int32_t i = 0; i < tri_source_n_weights(source, rank); i++) {
            const tri_source_weight *w = tri_source_get(source, rank, i);
            tri_graph_set_weight_type(g, w->name, &w->type);
        }
        golden_ok(tri_pass_shard(g, tp, rank % tp, &err), &err);
    }
    golden_ok(tri_pass_precision(g, &p, &err), &err);
    golden_ok(tri_pass_fuse(g, &err), &err);
}

static run_logits run_family(const char *family, run_layout how, bool plain) {
    char path[64];
    golden_model m;
    run_group group = {.tp = how.tp, .pp = how.pp};
    stage_run *runs = calloc(RUN_MAX_RANKS, sizeof *runs);
    pthread_t threads[RUN_MAX_RANKS];
    run_logits out = {0};
    int32_t n = how.tp * how.pp;
    tri_source_options options = {.dtype = TRI_N_DTYPES, .tp_size = how.tp, .pp_size = how.pp};
    snprintf(path, sizeof path, "families/%s", family);
    golden_open(&m, path, &options);
    pthread_mutex_init(&group.lock, NULL);
    pthread_cond_init(&group.changed, NULL);
    for (int32_t i = 0; i < n; i++) {
        stage_run *s = &runs[i];
        s->rank = (run_rank){.group = &group, .rank = i};
        s->rank.m.vocab = tri_source_config(m.source)->vocab_size;
        s->source_weights = golden_weights_of(m.source, i);
        s->rank.g = golden_graph(m.source, i / how.tp, 128);
        if (!plain) rewrite(s->rank.g, m.source, i, how.tp);
        read_all(&s->source_weights);
        s->rank.comm = run_comm(&s->rank);
        s->interp = golden_interp(s->rank.g, &s->source_weights, NULL, NULL, &s->rank.comm);
    }
    /* Two prompts together, then the one goes on beside a third. */
    golden_sequence first[] = {golden_prompt(&m, 0, 0), golden_prompt(&m, 1, 1)};
    golden_sequence second[] = {golden_prompt(&m, 0, 0), golden_prompt(&m, 1, 2)};
    second[0].n_before = first[0].n_tokens;
    second[1].n_tokens = 3;
    for (int32_t i = 0; i < n; i++) {
        run_rank *r = &runs[i].rank;
        tri_step **steps = calloc(2, sizeof *steps);
        steps[0] = golden_step(r->g, first, 2, GOLDEN_ALL_ROWS);
        steps[1] = golden_step(r->g, second, 2, GOLDEN_ALL_ROWS);
        r->steps = (const tri_step *const *)steps;
        r->n_steps = 2;
    }
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_stage, &runs[i]), 0);
    for (int32_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    for (int32_t i = 0; i < n; i++)
        golden_ok(runs[i].rank.status, &runs[i].rank.err);
    const run_rank *last = &runs[n - 1].rank;
    run_steps steps = {.n = 2, .n_rows = {last->steps[0]->n_rows, last->steps[1]->n_rows}};
    run_collect(last, &steps, &out);
    for (int32_t i = 0; i < n; i++) {
        run_rank *r = &runs[i].rank;
        tri_interp_destroy(runs[i].interp);
        golden_weights_free(&runs[i].source_weights);
        tri_graph_destroy(r->g);
        for (int32_t k = 0; k < 2; k++) {
            free((void *)(uintptr_t)r->steps[k]);
            free(r->logits[k]);
        }
        free((void *)(uintptr_t)r->steps);
    }
    pthread_cond_destroy(&group.changed);
    pthread_mutex_destroy(&group.lock);
    free(runs);
    golden_close(&m);
    return out;
}

/* As in shard_test.c: some roundings of 2^-24 a sum over ranks, over four layers here and with
 * logits that spread by 3 and more. */
static const double some_roundings = 2e-5;

static bool can_be_cut(const char *family, run_layout how) {
    golden_model m;
    char path[64];
    snprintf(path, sizeof path, "families/%s", family);
    golden_open(&m, path, NULL);
    const tri_model_config *c = tri_source_config(m.source);
    bool yes = c->n_layers % how.pp == 0 && c->n_heads % how.tp == 0 &&
               c->intermediate_size % how.tp == 0 &&
               (c->n_kv_heads % how.tp == 0 || how.tp % c->n_kv_heads == 0);
    golden_close(&m);
    return yes;
}

static void test_family(void **state) {
    const char *family = *state;
    static const run_layout layouts[] = {{1, 1, 0}, {2, 1, 0}, {3, 1, 0}, {4, 1, 0}, {1, 2, 0},
        {1, 3, 0}, {1, 7, 0}, {2, 2, 0}, {2, 3, 0}};
    run_logits plain = run_family(family, layouts[0], true);
    bool by_heads = false, by_layers = false;
    assert_true(plain.deviation > 1.0);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        run_layout how = layouts[i];
        if (!can_be_cut(family, how)) continue;
        by_heads = by_heads || how.tp > 1;
        by_layers = by_layers || how.pp > 1;
        run_logits got = run_family(family, how, false);
        double error = run_error(&got, &plain);
        if (!(error < some_roundings))
            fail_msg("%s at tp %d, pp %d: %g", family, (int)how.tp, (int)how.pp, error);
        free(got.data);
    }
    assert_true(by_heads && by_layers);
    free(plain.data);
}

int main(void) {
    enum { N = sizeof families / sizeof *families };
    struct CMUnitTest tests[N];
    for (int32_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){.name = families[i],
            .test_func = test_family,
            .initial_state = (void *)(uintptr_t)families[i]};
    return cmocka_run_group_tests_name("passes/families", tests, NULL, NULL);
}
