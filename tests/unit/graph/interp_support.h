/* interp_support.h - running small graph texts through the interpreter. */
#ifndef TRI_TEST_GRAPH_INTERP_SUPPORT_H
#define TRI_TEST_GRAPH_INTERP_SUPPORT_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/graph/support.h"

#include "graph/interp.h"

typedef struct named { /* a weight's bytes */
    const char *name;
    const void *data;
} named;

typedef struct harness {
    tri_graph *g;
    tri_interp *interp;
    const named *weights; /* ends with a NULL name */
    tri_step *step;       /* of the last run */
} harness;

static inline tri_status harness_weight(
    void *user, const char *name, const void **data, tri_error *err) {
    for (const named *w = ((const harness *)user)->weights; w->name; w++) {
        if (strcmp(w->name, name) != 0) continue;
        *data = w->data;
        return TRI_OK;
    }
    return TRI_FAIL(err, TRI_E_NOT_FOUND, "'%s' is not in the test", name);
}

/* h stays where it is. */
static inline void harness_open_with(
    harness *h, const char *body, const named *weights, tri_interp_options options) {
    *h = (harness){.weights = weights};
    options.weight = harness_weight;
    options.weight_user = h;
    for (int i = 0; i < TRI_MAX_GROUPS; i++) {
        if (options.n_blocks[i] == 0) options.n_blocks[i] = 64;
    }
    assert_ok(parse_body(&h->g, body, err));
    assert_ok(tri_interp_create(&h->interp, h->g, &options, err));
}

static inline void harness_open(harness *h, const char *body, const named *weights) {
    harness_open_with(h, body, weights, (tri_interp_options){0});
}

static inline void harness_close(harness *h) {
    tri_interp_destroy(h->interp);
    tri_graph_destroy(h->g);
    free(h->step);
}

/* S sequences of lens[s] tokens each, of which contexts[s] (this step's included) exist by now; all
 * tokens are rows.  Entry b of sequence s is block (5 * (8 * s + b) + 3) % 64, state slot 3 * s
 * + 1.
 */
static inline tri_step *harness_step(harness *h, int32_t n_sequences, const int32_t *lens,
    const int32_t *contexts, const int32_t *tokens) {
    int32_t n_tokens = 0;
    for (int32_t s = 0; s < n_sequences; s++)
        n_tokens += lens[s];
    tri_step_shape shape = {.n_tokens = n_tokens,
        .n_sequences = n_sequences,
        .n_rows = n_tokens,
        .n_groups = h->g->n_groups,
        .n_position_axes = 1};
    for (int32_t i = 0; i < h->g->n_groups; i++)
        shape.max_blocks[i] = h->g->groups[i].kind == TRI_GROUP_RECURRENT ? 0 : 8;
    int64_t n_bytes = tri_step_bytes(&shape);
    free(h->step);
    h->step = malloc((size_t)n_bytes);
    assert_non_null(h->step);
    tri_step *step = tri_step_init(h->step, n_bytes, &shape);
#define FIELD(type, field) ((type *)(void *)((uint8_t *)step + step->field))
    int32_t t = 0;
    for (int32_t s = 0; s < n_sequences; s++) {
        FIELD(int32_t, cu_seqlens)[s + 1] = t + lens[s];
        FIELD(int32_t, context_lens)[s] = contexts[s];
        FIELD(int32_t, prompt_lens)[s] = contexts[s];
        FIELD(int32_t, adapter_ids)[s] = -1;
        for (int32_t i = 0; i < lens[s]; i++, t++) {
            FIELD(int32_t, tokens)[t] = tokens[t];
            FIELD(int32_t, positions)[t] = contexts[s] - lens[s] + i;
            FIELD(int32_t, rows)[t] = t;
            FIELD(tri_step_sampling, sampling)
            [t] = (tri_step_sampling){.sequence = s, .mask_slot = -1};
        }
        for (int32_t i = 0; i < step->n_groups; i++) {
            if (shape.max_blocks[i] == 0) {
                FIELD(int32_t, groups[i].state_slots)[s] = 3 * s + 1;
                continue;
            }
            for (int32_t b = 0; b < 8; b++)
                FIELD(int32_t, groups[i].block_tables)[s * 8 + b] = (5 * (8 * s + b) + 3) % 64;
        }
    }
    return step;
}

/* One new sequence of n tokens 0, 1, 2, ... */
static inline tri_step *harness_simple_step(harness *h, int32_t n) {
    int32_t tokens[64];
    for (int32_t i = 0; i < n; i++)
        tokens[i] = i;
    return harness_step(h, 1, &n, &n, tokens);
}

static inline void harness_run(harness *h) {
    assert_ok(tri_interp_run(h->interp, h->step, err));
}

/* The f32 result `name` is the rows * columns numbers expected, each within tolerance. */
static inline void expect_floats(harness *h, const char *name, const float *expected, int64_t rows,
    int64_t columns, double tolerance) {
    int64_t r = 0, c = 0;
    const float *y = tri_interp_output(h->interp, name, &r, &c);
    assert_non_null(y);
    assert_int_equal(r, rows);
    assert_int_equal(c, columns);
    for (int64_t i = 0; i < rows * columns; i++) {
        double difference = fabs((double)y[i] - (double)expected[i]);
        if (!(difference <= tolerance))
            fail_msg(
                "%s[%d] is %.9g, %.9g is due", name, (int)i, (double)y[i], (double)expected[i]);
    }
}

static inline void expect_constant(
    harness *h, int32_t id, const float *expected, int64_t n, double tolerance) {
    const tri_node *node = h->g->first;
    const float *y = NULL;
    int64_t got = 0;
    while (node && (node->n_results == 0 || node->results[0]->id != id))
        node = node->next;
    assert_non_null(node);
    assert_ok(tri_interp_constant(h->interp, node->results[0], &y, &got, err));
    assert_int_equal(got, n);
    for (int64_t i = 0; i < n; i++) {
        double difference = fabs((double)y[i] - (double)expected[i]);
        if (!(difference <= tolerance))
            fail_msg("%%%d[%d] is %.9g, %.9g is due", (int)id, (int)i, (double)y[i],
                (double)expected[i]);
    }
}

/* The deterministic values that the numbers pasted into tests were computed from. */
static inline void fill(float *out, int32_t n, int32_t seed) {
    for (int32_t i = 0; i < n; i++)
        out[i] = (float)((i * 7 + seed * 3) % 11 - 5) / 4.0f;
}

#define N_OF(array) ((int32_t)(sizeof(array) / sizeof *(array)))
#define RUN_X                                                                                      \
    "  %0 = input name=\"tokens\" : i32[T]\n"                                                      \
    "  %1 = weight name=\"x\" : f32"

#endif
