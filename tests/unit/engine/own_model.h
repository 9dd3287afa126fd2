/* own_model.h - hand-made random models (tests/unit/passes/model.h) as engines, with their weights
 * by name and their logits by the interpreter.  Header only. */
#ifndef TESTS_ENGINE_OWN_MODEL_H
#define TESTS_ENGINE_OWN_MODEL_H

#include "engine/recipe.h"
#include "unit/engine/support.h"
#include "unit/passes/model.h"

/* Weights of a seed: normal, deviation 1/sqrt(columns) for matrices, around 1 for vectors.  Blocks
 * are encoded. */
typedef struct own_weights {
    const tri_graph *g;
    uint64_t seed;
    void **rows; /* by declaration, made on demand */
} own_weights;

static inline own_weights own_weights_of(const tri_graph *g, uint64_t seed) {
    return (own_weights){g, seed, calloc((size_t)g->n_weights + 1, sizeof(void *))};
}

static inline void own_weights_free(own_weights *w) {
    for (int32_t i = 0; i < w->g->n_weights; i++)
        free(w->rows[i]);
    free(w->rows);
}

static inline void *own_weight(own_weights *w, const char *name) {
    int64_t index;
    assert_true(tri_map_get(&w->g->weight_index, tri_str_of(name), &index));
    if (w->rows[index]) return w->rows[index];
    const tri_type *t = &w->g->weights[index].type;
    bool matrix = t->n_dims == 2;
    int64_t n = matrix ? t->dims[0] * t->dims[1] : t->dims[0];
    uint64_t seed = tri_hash64(name, strlen(name), w->seed);
    float *floats = malloc((size_t)n * sizeof *floats);
    assert_non_null(floats);
    /* Larger than by fan-in: logits should spread. */
    float scale = matrix ? 1.5f / sqrtf((float)t->dims[1]) : 0.1f;
    for (int64_t i = 0; i < n; i++)
        floats[i] = (matrix ? 0.0f : 1.0f) + scale * tri_rng_normal(seed, (uint64_t)i);
    w->rows[index] = malloc((size_t)tri_type_dense_bytes(t));
    assert_non_null(w->rows[index]);
    tri_codec_encode(t->dtype, floats, w->rows[index], n);
    free(floats);
    return w->rows[index];
}

/* A tri_interp_weight_fn. */
static inline tri_status own_interp_weight(
    void *user, const char *name, const void **data, tri_error *err) {
    (void)err;
    *data = own_weight(user, name);
    return TRI_OK;
}

/* A tri_weight_reader. */
static inline tri_status own_read(
    void *user, const char *name, void *out, int64_t n_bytes, tri_error *err) {
    own_weights *w = user;
    int64_t index;
    (void)err;
    assert_true(tri_map_get(&w->g->weight_index, tri_str_of(name), &index));
    assert_int_equal(n_bytes, tri_type_dense_bytes(&w->g->weights[index].type));
    memcpy(out, own_weight(w, name), (size_t)n_bytes);
    return TRI_OK;
}

/* Two sequences, of different lengths. */
static inline int32_t own_prompts(golden_sequence s[2], int32_t tokens[2][16]) {
    static const int32_t lengths[2] = {11, 6};
    for (int32_t i = 0; i < 2; i++) {
        for (int32_t t = 0; t < lengths[i]; t++)
            tokens[i][t] = (7 * t + 13 * i + 3) % 40;
        s[i] = (golden_sequence){tokens[i], lengths[i], 0, i};
    }
    return lengths[0] + lengths[1];
}

/* Logits of the two sequences by the interpreter, precision applied to a copy of g: free it. */
static inline float *own_reference(
    const tri_graph *g, own_weights *w, const tri_precision *precision) {
    tri_graph *copy = NULL;
    tri_interp *interp = NULL;
    golden_sequence s[2];
    int32_t tokens[2][16];
    int32_t n_tokens = own_prompts(s, tokens);
    OK(tri_graph_clone(g, &copy, err));
    if (precision) OK(tri_pass_precision(copy, precision, err));
    tri_interp_options options = {.weight = own_interp_weight, .weight_user = w};
    for (int32_t i = 0; i < copy->n_groups; i++)
        options.n_blocks[i] = golden_max_blocks(&copy->groups[i]) * GOLDEN_SLOTS;
    OK(tri_interp_create(&interp, copy, &options, err));
    tri_step *step = golden_step(copy, s, 2, GOLDEN_ALL_ROWS);
    golden_run(interp, step);
    int64_t rows, columns;
    const float *logits = tri_interp_output(interp, "logits", &rows, &columns);
    assert_int_equal(rows, n_tokens);
    float *out = malloc((size_t)(rows * columns) * sizeof *out);
    assert_non_null(out);
    memcpy(out, logits, (size_t)(rows * columns) * sizeof *out);
    tri_interp_destroy(interp);
    tri_graph_destroy(copy);
    free(step);
    return out;
}

#endif
