/* Every family against what transformers computed (tests/golden/make_families.py): the residual
 * stream after each layer, the logits, and the greedy continuation.
 *
 * Tolerance: the interpreter and transformers add the same float32 products in another order.  The
 * generator measured float32 against float64 on each model: below 1e-5 of the logits' deviation.
 * Ten times that is allowed; the smallest mutation (a projection rotated by a row, a number of the
 * config changed by a tenth) moves the logits by 1e-2 or more, and must be seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/families.h"

#define TOLERANCE 1e-4
enum { N_GREEDY = 32 };

/* ---- forward ---- */

typedef struct stream { /* the residual stream of one step: layer inputs and outputs */
    int64_t rows, columns;
    float *layers[MAX_LAYERS + 1];
    int32_t n_seen; /* layers that produced something */
} stream;

/* The last value of its width in a layer's scope is the layer's output; before the first layer, the
 * last one is its input. */
static void keep_stream(
    void *user, const tri_value *value, const float *data, int64_t rows, int64_t columns) {
    stream *s = user;
    if (rows != s->rows || columns != s->columns || value->constant) return;
    int layer = -1;
    if (sscanf(value->node->scope, "transformer.layers.%d", &layer) != 1 && s->n_seen > 0) return;
    assert_in_range(layer + 1, 0, MAX_LAYERS);
    if (layer + 1 > s->n_seen) s->n_seen = layer + 1;
    size_t n_bytes = (size_t)(rows * columns) * sizeof(float);
    if (!s->layers[layer + 1]) s->layers[layer + 1] = malloc(n_bytes);
    memcpy(s->layers[layer + 1], data, n_bytes);
}

static void check_stream(const golden_model *m, const family *f, const stream *kept) {
    int64_t offset = 0;
    int32_t n_layers = tri_source_config(m->source)->n_layers;
    assert_int_equal(kept->n_seen, n_layers);
    for (int32_t i = 0; i < f->n_sequences; i++) {
        const tri_safetensor *ids = golden_find(m, "seq%d.input_ids", (int)f->sequences[i]);
        const tri_safetensor *hidden = golden_find(m, "seq%d.hidden", (int)f->sequences[i]);
        int64_t n = ids->dims[0] * kept->columns;
        for (int32_t layer = 0; hidden && layer <= n_layers; layer++) {
            double error =
                golden_error(kept->layers[layer] + offset, golden_floats(hidden) + layer * n, n);
            if (!(error < TOLERANCE))
                fail_msg("%s: error %g before layer %d", f->name, error, (int)layer);
        }
        offset += n;
    }
}

static void test_forward(void **state) {
    const family *f = *state;
    golden_model m;
    open_family(&m, f);
    golden_weights w = golden_weights_of(m.source, 0);
    tri_graph *g = golden_graph(m.source, 0, f->max_seq_len);
    golden_sequence s[MAX_SEQUENCES];
    stream kept = {
        .rows = fill_prompts(&m, f, s), .columns = tri_source_config(m.source)->hidden_size};
    double error = run_prompts(&m, f, g, &w, keep_stream, &kept);
    check_stream(&m, f, &kept);
    if (!(error < TOLERANCE)) fail_msg("%s: logits are off by %g", f->name, error);
    for (int32_t i = 0; i <= MAX_LAYERS; i++)
        free(kept.layers[i]);
    tri_graph_destroy(g);
    golden_weights_free(&w);
    golden_close(&m);
}

/* ---- greedy ---- */

/* Continues all sequences at once for n tokens each, the first from `step`'s last rows. */
static void check_greedy(const golden_model *m, const family *f, tri_interp *interp,
    const tri_graph *g, golden_sequence *s, int32_t first, int32_t n) {
    for (int32_t k = first; k < first + n; k++) {
        tri_step *step = golden_step(g, s, f->n_sequences, GOLDEN_LAST_ROWS);
        golden_run(interp, step);
        free(step);
        int64_t rows, columns;
        const float *logits = tri_interp_output(interp, "logits", &rows, &columns);
        for (int32_t i = 0; i < f->n_sequences; i++) {
            const int32_t *greedy =
                golden_ints(golden_find(m, "seq%d.greedy", (int)f->sequences[i]));
            int32_t token = golden_best(logits + i * columns, columns);
            if (token != greedy[k])
                fail_msg("%s: seq%d, token %d is %d, not %d", f->name, (int)f->sequences[i], (int)k,
                    (int)token, (int)greedy[k]);
            s[i].n_before += s[i].n_tokens;
            s[i].tokens = &greedy[k];
            s[i].n_tokens = 1;
        }
    }
}

/* Every margin is 0.02 or more (tests/golden/README.md), so that every token must agree. */
static void test_greedy(void **state) {
    const family *f = *state;
    golden_model m;
    open_family(&m, f);
    golden_weights w = golden_weights_of(m.source, 0);
    tri_graph *g = golden_graph(m.source, 0, f->max_seq_len);
    tri_interp *interp = golden_interp(g, &w, NULL, NULL, NULL);
    golden_sequence s[MAX_SEQUENCES];
    fill_prompts(&m, f, s);
    check_greedy(&m, f, interp, g, s, 0, N_GREEDY);
    tri_interp_destroy(interp);
    tri_graph_destroy(g);
    golden_weights_free(&w);
    golden_close(&m);
}

/* A sequence of 50 tokens passes the 64 of the short factors while it is continued; transformers
 * then rotates all of it by the long ones. */
static void test_longrope_crossing(void **state) {
    (void)state;
    family f = {"families/phi3_longrope", 64, 1, {3}};
    enum { PROMPT = 50, SHORT = 64, BEFORE = SHORT - PROMPT + 1 };
    golden_model m;
    open_family(&m, &f);
    golden_weights w = golden_weights_of(m.source, 0);

    tri_graph *g = golden_graph(m.source, 0, SHORT);
    tri_interp *interp = golden_interp(g, &w, NULL, NULL, NULL);
    golden_sequence s = golden_prompt(&m, 3, 0);
    assert_int_equal(s.n_tokens, PROMPT);
    int32_t tokens[PROMPT + BEFORE];
    memcpy(tokens, s.tokens, sizeof(int32_t) * PROMPT);
    memcpy(tokens + PROMPT, golden_ints(golden_find(&m, "seq3.greedy")), sizeof(int32_t) * BEFORE);
    check_greedy(&m, &f, interp, g, &s, 0, BEFORE);
    tri_interp_destroy(interp);
    tri_graph_destroy(g);

    g = golden_graph(m.source, 0, SHORT + 1);
    interp = golden_interp(g, &w, NULL, NULL, NULL);
    s = (golden_sequence){.tokens = tokens, .n_tokens = PROMPT + BEFORE};
    check_greedy(&m, &f, interp, g, &s, BEFORE, N_GREEDY - BEFORE);
    tri_interp_destroy(interp);
    tri_graph_destroy(g);
    golden_weights_free(&w);
    golden_close(&m);
}

/* ---- pipeline stages ---- */

typedef struct wire { /* what stage 0 sends to stage 1 */
    float *x;
    int64_t n;
} wire;

static void wire_send(void *user, int32_t to, const float *x, int64_t n) {
    wire *w = user;
    assert_int_equal(to, 1);
    w->x = malloc((size_t)n * sizeof(float));
    w->n = n;
    memcpy(w->x, x, (size_t)n * sizeof(float));
}

static void wire_receive(void *user, int32_t from, float *x, int64_t n) {
    wire *w = user;
    assert_int_equal(from, 0);
    assert_int_equal(n, w->n);
    memcpy(x, w->x, (size_t)n * sizeof(float));
}

/* Two stages, one after the other; the second of a tied model has a head of its own. */
static void test_two_stages(void **state) {
    const family *f = *state;
    golden_model m;
    tri_source_options options = {.dtype = TRI_N_DTYPES, .pp_size = 2};
    golden_open(&m, f->name, &options);
    golden_sequence s[MAX_SEQUENCES];
    fill_prompts(&m, f, s);
    wire between = {0};
    tri_interp_comm comm = {.user = &between, .send = wire_send, .receive = wire_receive};
    for (int32_t stage = 0; stage < 2; stage++) {
        golden_weights w = golden_weights_of(m.source, stage);
        tri_graph *g = golden_graph(m.source, stage, f->max_seq_len);
        tri_interp *interp = golden_interp(g, &w, NULL, NULL, &comm);
        tri_step *step = golden_step(g, s, f->n_sequences, GOLDEN_ALL_ROWS);
        golden_run(interp, step);
        if (stage == 1) {
            int64_t rows, columns;
            const float *logits = tri_interp_output(interp, "logits", &rows, &columns);
            for (int32_t i = 0; i < f->n_sequences; i++) {
                const tri_safetensor *want = golden_find(&m, "seq%d.logits", (int)f->sequences[i]);
                int64_t n = s[i].n_tokens * columns;
                assert_true(golden_error(logits, golden_floats(want), n) < TOLERANCE);
                logits += n;
            }
        }
        free(step);
        tri_interp_destroy(interp);
        tri_graph_destroy(g);
        golden_weights_free(&w);
    }
    free(between.x);
    golden_close(&m);
}

/* ---- spelling ---- */

/* config.v5.json says in the words of transformers 5 what config.json says in those of 4. */
static void test_newer_spelling(void **state) {
    const family *f = *state;
    char path[600], *old_text = NULL, *new_text = NULL;
    golden_model m;
    tri_error err = {0};
    tri_str json;
    open_family(&m, f);
    (void)snprintf(path, sizeof path, "%s/config.v5.json", m.path);
    if (tri_source_get_kind(m.source) == TRI_SOURCE_HF) {
        tri_model_config config;
        golden_ok(tri_file_read(path, 1 << 20, &m.arena, &json, &err), &err);
        golden_ok(tri_model_config_from_hf(&config, json, (tri_str){0}, &m.arena, &err), &err);
        tri_graph *old_graph = golden_graph(m.source, 0, f->max_seq_len);
        tri_graph *new_graph = golden_graph_for(m.source, &config, 0, f->max_seq_len);
        golden_ok(tri_graph_print(old_graph, &old_text, &err), &err);
        golden_ok(tri_graph_print(new_graph, &new_text, &err), &err);
        assert_string_equal(old_text, new_text);
        tri_free(old_text);
        tri_free(new_text);
        tri_graph_destroy(old_graph);
        tri_graph_destroy(new_graph);
    }
    golden_close(&m);
}

/* ---- names ---- */

static void test_every_architecture_is_defined(void **state) {
    (void)state;
    for (const char *const *a = tri_architectures; *a; a++) {
        const tri_model_family *found = tri_model_find(*a);
        assert_non_null(found);
        assert_string_equal(found->architecture, *a);
        if (found->gguf_architecture)
            assert_ptr_equal(tri_model_find_gguf(found->gguf_architecture), found);
    }
    assert_null(tri_model_find("GPT2LMHeadModel"));
    assert_null(tri_model_find_gguf("gpt2"));
}

static void test_unknown_architecture_lists_the_known(void **state) {
    (void)state;
    tri_error err = {0};
    tri_graph *g = NULL;
    golden_ok(tri_graph_create(&g, "x", &err), &err);
    tri_model_config config = {.architecture = "GPT2LMHeadModel", .n_layers = 1};
    assert_int_equal(tri_model_define(g, &config, 0, 8, &err), TRI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "GPT2LMHeadModel"));
    assert_non_null(strstr(err.message, "Phi3ForCausalLM"));
    tri_graph_destroy(g);
}

static void test_missing_weight_is_named(void **state) {
    (void)state;
    golden_model m;
    golden_open(&m, "families/llama_mha", NULL);
    tri_error err = {0};
    tri_graph *g = NULL;
    golden_ok(tri_graph_create(&g, "x", &err), &err);
    assert_int_not_equal(tri_model_define(g, tri_source_config(m.source), 0, 8, &err), TRI_OK);
    assert_non_null(strstr(err.message, "transformer.vocab_embedding.weight"));
    tri_graph_destroy(g);
    golden_close(&m);
}

int main(void) {
    static const family staged[] = {FAMILY("qwen2"), FAMILY("gemma2")};
    const struct CMUnitTest each[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_newer_spelling),
    };
    const struct CMUnitTest others[] = {
        cmocka_unit_test_prestate(test_two_stages, (void *)(uintptr_t)&staged[0]),
        cmocka_unit_test_prestate(test_two_stages, (void *)(uintptr_t)&staged[1]),
        cmocka_unit_test(test_longrope_crossing),
        cmocka_unit_test(test_every_architecture_is_defined),
        cmocka_unit_test(test_unknown_architecture_lists_the_known),
        cmocka_unit_test(test_missing_weight_is_named),
    };
    return run_family_tests("models/family", each, 3, others, sizeof(others) / sizeof(others[0]));
}
