/* interp_sampling.c - from logits to tokens, each row by itself, parameters from the step.
 *
 * count_tokens  per token of the step, in its sequence's slot: at position 0 the slot is cleared
 *               first; below prompt_len the token's bit 15 is set, from there on its low 15 bits
 *               count, up to 32767.  Embedding rows (token -1) count nothing.
 * penalties     tokens in prompt or output: logit / repetition when positive, * when not; then, by
 *               the n times the token is in the output, - frequency * n - presence (n > 0).
 * mask          tokens whose bit is 0 get -inf.
 * sample        with counts, of what penalties would give; with masked=1, of what mask would.
 *               Temperature 0: the largest logit, the lowest id among equals.  Else p = softmax(
 *               logits / temperature), tokens in order of (p descending, id ascending); of these
 * stay the first top_k; the shortest prefix whose p add up to top_p (at least one; p are those over
 * the whole vocabulary); those with p >= min_p * the largest p.  One of them is drawn by inverse
 * CDF at u * (sum of theirs), u = tri_rng_uniform(seed, counter): the first whose running sum
 * exceeds it. The log-probability is that of the token in log_softmax of the logits given to
 *               sample, without temperature. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "graph/interp_state.h"

enum { IN_PROMPT = 0x8000, MAX_COUNT = 0x7fff };

static uint16_t *counts_of(const tri_interp *in, const tri_node *node, int32_t sequence) {
    const tri_interp_memory *memory = tri_interp_memory_of(in, tri_node_operand(node, "counts"));
    const tri_step_group *group = &in->step->groups[memory->group];
    int32_t slot = ((const int32_t *)tri_step_at(in->step, group->state_slots))[sequence];
    return (uint16_t *)(void *)(memory->bytes + slot * memory->block_bytes);
}

TRI_INTERP_RULE(count_tokens) {
    (void)err;
    const int32_t *tokens = tri_interp_operand(in, node, "tokens")->i;
    int64_t vocab = tri_node_operand(node, "counts")->type.dims[0];
    for (int32_t t = 0; t < in->step->n_tokens; t++) {
        int32_t s = tri_interp_sequence(in->step, t);
        int32_t position = tri_interp_position(in->step, s, t);
        uint16_t *counts = counts_of(in, node, s);
        if (position == 0) memset(counts, 0, (size_t)vocab * sizeof *counts);
        if (tokens[t] < 0 || tokens[t] >= vocab) continue;
        uint16_t *count = &counts[tokens[t]];
        if (position < TRI_STEP_I32(in->step, prompt_lens)[s])
            *count |= IN_PROMPT;
        else if ((*count & MAX_COUNT) < MAX_COUNT)
            (*count)++;
    }
    return TRI_OK;
}

static float penalise(float logit, uint16_t count, const tri_step_sampling *p) {
    double y = (double)logit, n = count & MAX_COUNT;
    if (p->repetition_penalty > 0.0f && count != 0)
        y = y > 0.0 ? y / (double)p->repetition_penalty : y * (double)p->repetition_penalty;
    if (n > 0.0) y -= (double)p->frequency_penalty * n + (double)p->presence_penalty;
    return (float)y;
}

/* Row r of [R, n]; x may be y. */
static void penalise_row(
    const tri_interp *in, const tri_node *node, int64_t r, const float *x, float *y, int64_t n) {
    const tri_step_sampling *p = &tri_step_rows_sampling(in->step)[r];
    const uint16_t *counts = counts_of(in, node, p->sequence);
    for (int64_t v = 0; v < n; v++)
        y[v] = penalise(x[v], counts[v], p);
}

TRI_INTERP_RULE(penalties) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "logits");
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t r = 0; r < x->rows; r++)
        penalise_row(in, node, r, x->f + r * x->columns, y + r * x->columns, x->columns);
    return TRI_OK;
}

static tri_status mask_row(
    const tri_interp *in, int64_t r, const float *x, float *y, int64_t n, tri_error *err) {
    int32_t slot = tri_step_rows_sampling(in->step)[r].mask_slot;
    const uint32_t *bits = NULL;
    if (slot >= 0) {
        if (in->options.mask) bits = in->options.mask(in->options.mask_user, slot);
        if (!bits)
            return TRI_FAIL(
                err, TRI_E_ARGUMENT, "row %" PRId64 ": no mask in slot %" PRId32, r, slot);
    }
    for (int64_t v = 0; v < n; v++) {
        bool allowed = !bits || (bits[v / 32] >> (v % 32) & 1);
        y[v] = allowed ? x[v] : -INFINITY;
    }
    return TRI_OK;
}

TRI_INTERP_RULE(mask) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "logits");
    int64_t n = x->columns;
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int64_t r = 0; r < x->rows; r++)
        TRI_TRY(mask_row(in, r, x->f + r * n, y + r * n, n, err));
    return TRI_OK;
}

/* ---- sample ---- */

typedef struct candidate {
    double p;
    int32_t id;
} candidate;

static int by_probability(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->p > y->p) return -1;
    if (x->p < y->p) return 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int32_t largest(const float *logits, int64_t n) {
    int64_t best = 0;
    for (int64_t v = 1; v < n; v++) {
        if (logits[v] > logits[best]) best = v;
    }
    return (int32_t)best;
}

/* How many of the sorted candidates stay. */
static int64_t keep(const candidate *sorted, int64_t n, const tri_step_sampling *p) {
    if (p->top_k > 0 && p->top_k < n) n = p->top_k;
    if (p->top_p > 0.0f && p->top_p < 1.0f) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++) {
            sum += sorted[i].p;
            if (sum >= (double)p->top_p) n = i + 1;
        }
    }
    while (n > 1 && sorted[n - 1].p < (double)p->min_p * sorted[0].p)
        n--;
    return n;
}

static int32_t draw(const candidate *sorted, int64_t n, const tri_step_sampling *p) {
    double total = 0.0, sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        total += sorted[i].p;
    double u = (double)tri_rng_uniform(p->seed, p->counter) * total;
    int32_t last = sorted[0].id;
    for (int64_t i = 0; i < n && sorted[i].p > 0.0; i++) {
        sum += sorted[i].p;
        last = sorted[i].id;
        if (sum > u) break;
    }
    return last;
}

static int32_t choose(
    const float *logits, int64_t n, const tri_step_sampling *p, candidate *scratch) {
    int32_t best = largest(logits, n);
    double total = 0.0;
    if (!(p->temperature > 0.0f)) return best;
    for (int64_t v = 0; v < n; v++) {
        double p_v = exp(((double)logits[v] - (double)logits[best]) / (double)p->temperature);
        scratch[v] = (candidate){.p = p_v, .id = (int32_t)v};
        total += p_v;
    }
    for (int64_t v = 0; v < n; v++)
        scratch[v].p /= total;
    qsort(scratch, (size_t)n, sizeof *scratch, by_probability);
    return draw(scratch, keep(scratch, n, p), p);
}

static float log_probability(const float *logits, int64_t n, int32_t token) {
    double max = (double)logits[largest(logits, n)], total = 0.0;
    for (int64_t v = 0; v < n; v++)
        total += exp((double)logits[v] - max);
    return (float)((double)logits[token] - max - log(total));
}

static tri_status sample_row(const tri_interp *in, const tri_node *node, int64_t r, float *logits,
    int64_t n, candidate *scratch, int32_t *token, float *logprob, tri_error *err) {
    const tri_step_sampling *p = &tri_step_rows_sampling(in->step)[r];
    if (tri_node_operand(node, "counts")) penalise_row(in, node, r, logits, logits, n);
    if (tri_node_int(node, "masked")) TRI_TRY(mask_row(in, r, logits, logits, n, err));
    float best = logits[largest(logits, n)];
    if (!isfinite(best))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "row %" PRId64 ": the largest logit is %g; no token can be drawn", r, (double)best);
    *token = choose(logits, n, p, scratch);
    *logprob = log_probability(logits, n, *token);
    return TRI_OK;
}

TRI_INTERP_RULE(sample) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "logits");
    int64_t n = x->columns;
    int32_t *tokens;
    float *logprobs;
    if (!tri_interp_result_i32(in, node, 0, &tokens, err)) return TRI_E_MEMORY;
    if (!tri_interp_result(in, node, 1, &logprobs, err)) return TRI_E_MEMORY;
    candidate *scratch = malloc((size_t)n * sizeof *scratch);
    float *logits = malloc((size_t)n * sizeof *logits);
    tri_status rc = TRI_OK;
    if (!scratch || !logits) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (int64_t r = 0; r < x->rows && !rc; r++) {
        memcpy(logits, x->f + r * n, (size_t)n * sizeof *logits);
        rc = sample_row(in, node, r, logits, n, scratch, &tokens[r], &logprobs[r], err);
    }
    free(scratch);
    free(logits);
    return rc;
}
