/* families.h - the golden families, and running their prompts in one packed step.  Header only;
 * include after cmocka.h. */
#ifndef TRI_TESTS_FAMILIES_H
#define TRI_TESTS_FAMILIES_H

#include "support/golden.h"

enum { MAX_SEQUENCES = 4, MAX_LAYERS = 8 };

typedef struct family {
    const char *name;
    int64_t max_seq_len;
    int32_t n_sequences, sequences[MAX_SEQUENCES]; /* in the order of the packed step */
} family;

#define FAMILY(text)                                                                               \
    {                                                                                              \
        .name = "families/" text, .max_seq_len = 256, .n_sequences = 3, .sequences = { 2, 0, 1 }   \
    }
static const family families[] = {
    FAMILY("llama_mha"),
    FAMILY("llama_rope_llama3"),
    FAMILY("llama_tied"),
    FAMILY("llama_bias"),
    FAMILY("mistral"),
    FAMILY("qwen2"),
    FAMILY("qwen3"),
    FAMILY("qwen3_bias"),
    FAMILY("gemma2"),
    FAMILY("gemma3"),
    FAMILY("phi3"),
    /* original_max_position_embeddings is 64: short factors up to there, long ones beyond */
    {"families/phi3_longrope", 64, 2, {2, 0}},
    {"families/phi3_longrope", 256, 1, {1}},
    {"gguf/tiny_llama", 256, 2, {1, 0}},
};

static inline void open_family(golden_model *m, const family *f) {
    if (strcmp(f->name, "gguf/tiny_llama") == 0)
        golden_open_files(m, "gguf/tiny_llama.gguf", "gguf/tiny_llama.safetensors", NULL);
    else
        golden_open(m, f->name, NULL);
}

/* Reports every value of the step, as tri_interp_options.observe; NULL: none. */
typedef void (*observe_fn)(void *, const tri_value *, const float *, int64_t, int64_t);

static inline int32_t fill_prompts(const golden_model *m, const family *f, golden_sequence *s) {
    int32_t n_tokens = 0;
    for (int32_t i = 0; i < f->n_sequences; i++) {
        s[i] = golden_prompt(m, f->sequences[i], i);
        n_tokens += s[i].n_tokens;
    }
    return n_tokens;
}

/* The worst error of the logits over all sequences, all in one step. */
static inline double run_prompts(const golden_model *m, const family *f, const tri_graph *g,
    golden_weights *w, observe_fn observe, void *user) {
    golden_sequence s[MAX_SEQUENCES];
    int32_t n_tokens = fill_prompts(m, f, s);
    tri_interp *interp = golden_interp(g, w, observe, user, NULL);
    tri_step *step = golden_step(g, s, f->n_sequences, GOLDEN_ALL_ROWS);
    golden_run(interp, step);
    int64_t rows, columns;
    const float *logits = tri_interp_output(interp, "logits", &rows, &columns);
    assert_int_equal(rows, n_tokens);
    double worst = 0;
    for (int32_t i = 0; i < f->n_sequences; i++) {
        const tri_safetensor *want = golden_find(m, "seq%d.logits", (int)f->sequences[i]);
        int64_t n = s[i].n_tokens * columns;
        assert_int_equal(want->dims[1], columns);
        double error = golden_error(logits, golden_floats(want), n);
        if (error > worst) worst = error;
        logits += n;
    }
    tri_interp_destroy(interp);
    free(step);
    return worst;
}

/* One test for each family. */
static inline int run_family_tests(const char *group, const struct CMUnitTest *each, size_t n_each,
    const struct CMUnitTest *others, size_t n_others) {
    enum { N = sizeof(families) / sizeof(families[0]), MAX_TESTS = 64 };
    struct CMUnitTest tests[MAX_TESTS];
    char names[MAX_TESTS][96];
    size_t n = 0;
    assert_true(N * n_each + n_others <= MAX_TESTS);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < n_each; k++) {
            (void)snprintf(names[n], sizeof names[n], "%s %s (%d)", each[k].name, families[i].name,
                (int)families[i].max_seq_len);
            tests[n] = each[k];
            tests[n].name = names[n];
            tests[n++].initial_state = (void *)(uintptr_t)&families[i];
        }
    for (size_t i = 0; i < n_others; i++)
        tests[n++] = others[i];
    return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}

#endif
