/* Sampling as plans run it, against the interpreter's sampling of the plan's own logits: penalties
 * over what was counted in earlier steps, masks filled between steps, every way to draw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/lower.h"
#include "unit/engine/own_model.h"

typedef struct sampler {
    runner r;
    tri_graph *graph;
    tri_interp *interp;
} sampler;

static const uint32_t *mask_of(void *user, int32_t slot) {
    return tri_plan_mask(runner_head(user), slot);
}

static void sampler_init(sampler *s, scratch *dir) {
    const test_model model = test_model_named("llama", 1);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 2);
    *dir = scratch_dir("sampling");
    tri_build_options options = build_options(NULL, dir->path);
    OK(tri_build_graph(g, own_read, &w, &options, err));
    own_weights_free(&w);
    tri_graph_destroy(g);
    runner_open(&s->r, dir->path);
    OK(tri_sample_graph_create(
        &s->graph, s->r.engine->ranks[0].graph, s->r.info.vocab_size, false, err));
    tri_interp_options io = {.mask = mask_of, .mask_user = &s->r};
    memcpy(io.n_blocks, s->r.limits.n_blocks, sizeof io.n_blocks);
    OK(tri_interp_create(&s->interp, s->graph, &io, err));
}

static void sampler_deinit(sampler *s) {
    tri_interp_destroy(s->interp);
    tri_graph_destroy(s->graph);
    runner_deinit(&s->r);
}

static tri_step_sampling *sampling_of(tri_step *step) {
    return (tri_step_sampling *)(uintptr_t)tri_step_rows_sampling(step);
}

/* One step both ways: equal tokens; log-probabilities within float32's rounding of a sum of
 * vocabulary terms. */
static void check_step(sampler *s, tri_step *step) {
    const float *logits = runner_run(&s->r, step);
    tri_plan *plan = runner_head(&s->r);
    tri_interp_set_logits(s->interp, logits, step->n_rows, s->r.info.vocab_size);
    golden_run(s->interp, step);
    int64_t n, rows, columns;
    const int32_t *tokens = tri_interp_output_i32(s->interp, "tokens", &n);
    const float *logprobs = tri_interp_output(s->interp, "logprobs", &rows, &columns);
    assert_int_equal(n, step->n_rows);
    for (int32_t i = 0; i < step->n_rows; i++) {
        assert_int_equal(tri_plan_tokens(plan)[i], tokens[i]);
        double off = fabs((double)tri_plan_logprobs(plan)[i] - (double)logprobs[i]);
        if (!(off < 1e-5)) fail_msg("log p of row %d is off by %g", (int)i, off);
    }
}

static void test_draws(void **state) {
    (void)state;
    static const tri_step_sampling ways[] = {
        {.temperature = 0.0f},
        {.temperature = 1.0f, .seed = 1},
        {.temperature = 1.7f, .top_k = 5, .seed = 2},
        {.temperature = 0.8f, .top_p = 0.7f, .seed = 3},
        {.temperature = 2.0f, .min_p = 0.1f, .seed = 4},
        {.temperature = 1.0f, .top_k = 9, .top_p = 0.8f, .min_p = 0.02f, .seed = 5},
        {.temperature = 0.0f, .repetition_penalty = 1.8f},
        {.temperature = 1.0f, .presence_penalty = 2.0f, .frequency_penalty = 1.5f, .seed = 6},
    };
    sampler s;
    scratch dir;
    sampler_init(&s, &dir);
    static const int32_t tokens[] = {3, 7, 3, 3, 11, 7, 2, 9, 3, 1, 30, 31, 3, 3, 8, 5};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        for (int32_t at = 0; at < 16; at += 4) { /* a prompt of 8, the rest as if generated */
            const golden_sequence q[2] = {{tokens + at, 4, at, 0}, {tokens + 3, 2, 0, 1}};
            tri_step *step = golden_step(&s.r.groups, q, 2, GOLDEN_ALL_ROWS);
            ((int32_t *)(uintptr_t)tri_step_at(step, step->prompt_lens))[0] = 8;
            for (int32_t r = 0; r < step->n_rows; r++) {
                int32_t sequence = sampling_of(step)[r].sequence;
                sampling_of(step)[r] = ways[i];
                sampling_of(step)[r].sequence = sequence;
                sampling_of(step)[r].mask_slot = -1;
                sampling_of(step)[r].counter = (uint64_t)(at + r);
            }
            check_step(&s, step);
            free(step);
        }
    }
    sampler_deinit(&s);
}

static void test_masks(void **state) {
    (void)state;
    sampler s;
    scratch dir;
    sampler_init(&s, &dir);
    const int32_t tokens[] = {3, 7, 9};
    const golden_sequence q = {tokens, 3, 0, 0};
    for (int32_t only = 0; only < 40; only += 13) {
        tri_step *step = golden_step(&s.r.groups, &q, 1, GOLDEN_ALL_ROWS);
        uint32_t *mask = tri_plan_mask(runner_head(&s.r), 2);
        mask[0] = mask[1] = 0;
        mask[only / 32] = 1u << only % 32;
        sampling_of(step)[1].mask_slot = 2;
        check_step(&s, step);
        assert_int_equal(tri_plan_tokens(runner_head(&s.r))[1], only);
        free(step);
    }
    sampler_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
