/* families_on.h - engines of the golden families on one kind of device: transformers' logits from a
 * float32 engine, the interpreter's in the other modes.  Include after defining FAMILIES_TARGET. */
#ifndef TESTS_ENGINE_FAMILIES_ON_H
#define TESTS_ENGINE_FAMILIES_ON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "support/families.h"
#include "unit/engine/support.h"

static void build_family(const family *f, const golden_model *m, const char *dtype, scratch *dir) {
    *dir = scratch_dir("family");
    tri_build_options options = build_options(m->path, dir->path);
    options.target = FAMILIES_TARGET;
    options.dtype = dtype;
    options.max_seq_len = f->max_seq_len;
    OK(tri_build(&options, err));
}

static void open_on_target(runner *r, const char *dir) {
    const tri_engine_options options = {
        .struct_size = sizeof options, .verify_weights = true, .trust_engine_code = true};
    runner_open_with(r, dir, &options, FAMILIES_TARGET);
}

/* All sequences in one step, as run_prompts does with the interpreter: free it. */
static float *engine_logits(const golden_model *m, const family *f, runner *r, int64_t *n) {
    golden_sequence s[MAX_SEQUENCES];
    *n = fill_prompts(m, f, s) * (int64_t)r->info.vocab_size;
    return runner_logits(r, s, f->n_sequences);
}

static double error_to_transformers(
    const golden_model *m, const family *f, const float *logits, int64_t vocab) {
    double worst = 0;
    for (int32_t i = 0; i < f->n_sequences; i++) {
        const tri_safetensor *want = golden_find(m, "seq%d.logits", (int)f->sequences[i]);
        int64_t n = want->dims[0] * vocab;
        double error = golden_error(logits, golden_floats(want), n);
        if (error > worst) worst = error;
        logits += n;
    }
    return worst;
}

/* Root of the mean square, in standard deviations. */
static double mean_error(const float *x, const float *expected, int64_t n) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++)
        squares += ((double)x[i] - expected[i]) * ((double)x[i] - expected[i]);
    return sqrt(squares / (double)n) / golden_deviation(expected, n);
}

/* Against transformers, which rounds to float32 too: sums of up to 160 products are off by about
 * 1e-6 of themselves on either side, and a dozen of them follow each other. */
static void test_float32(void **state) {
    const family *f = *state;
    golden_model m;
    scratch dir;
    runner r;
    open_family(&m, f);
    build_family(f, &m, "float32", &dir);
    open_on_target(&r, dir.path);
    int64_t n;
    float *logits = engine_logits(&m, f, &r, &n);
    double error = error_to_transformers(&m, f, logits, r.info.vocab_size);
    free(logits);
    if (!(error < 3e-5)) fail_msg("%s: logits are off by %g", f->name, error);
    runner_deinit(&r);
    golden_close(&m);
}

static float *interpreted(const golden_model *m, const family *f, const tri_precision *precision) {
    golden_sequence s[MAX_SEQUENCES];
    fill_prompts(m, f, s);
    tri_graph *g = golden_graph(m->source, 0, f->max_seq_len);
    OK(tri_pass_precision(g, precision, err));
    if (strcmp(FAMILIES_TARGET, "cuda") == 0) {
        OK(tri_pass_fuse(g, err));
        OK(tri_pass_narrow(g, err));
    }
    golden_weights w = golden_weights_of(m->source, 0);
    tri_interp *interp = golden_interp(g, &w, NULL, NULL, NULL);
    tri_step *step = golden_step(g, s, f->n_sequences, GOLDEN_ALL_ROWS);
    golden_run(interp, step);
    int64_t rows, columns;
    const float *logits = tri_interp_output(interp, "logits", &rows, &columns);
    float *copy = malloc((size_t)(rows * columns) * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, logits, (size_t)(rows * columns) * sizeof *copy);
    free(step);
    tri_interp_destroy(interp);
    golden_weights_free(&w);
    tri_graph_destroy(g);
    return copy;
}

/* Sums differ in their last bits, which now and then rounds a bf16 operand the other way, by 2^-8
 * of it.  Were all of them to, each linear would be off by 2^-8 / sqrt(3), a dozen of them by 8e-3.
 * On a GPU attention's q and weights are rounded as well, two more operands a layer beside four
 * linears and the head; they add up as squares. */
static double bf16_tolerance(int32_t n_layers) {
    if (strcmp(FAMILIES_TARGET, "cuda") != 0) return 8e-3;
    return 0x1p-8 / sqrt(3.0) * sqrt(1.0 + 6.0 * n_layers);
}

static void test_bfloat16(void **state) {
    const family *f = *state;
    const tri_precision precision = {TRI_BF16, NULL, TRI_BF16, TRI_N_DTYPES, 0};
    golden_model m;
    scratch dir;
    runner r;
    open_family(&m, f);
    build_family(f, &m, "bfloat16", &dir);
    open_on_target(&r, dir.path);
    float *expected = interpreted(&m, f, &precision);
    int64_t n;
    float *logits = engine_logits(&m, f, &r, &n);
    double error = mean_error(logits, expected, n);
    double limit = bf16_tolerance(r.info.n_layers);
    if (!(error < limit))
        fail_msg("%s: logits are off by %g, %g is the limit", f->name, error, limit);
    free(logits);
    free(expected);
    runner_deinit(&r);
    golden_close(&m);
}

static int families_main(void) {
    const struct CMUnitTest each[] = {
        cmocka_unit_test(test_float32),
        cmocka_unit_test(test_bfloat16),
    };
    return run_family_tests("engine families", each, 2, NULL, 0);
}

#endif
