/* penalties.c - kernels of count_tokens, penalties and mask: what happens to logits before
 * sampling.
 *
 *     count_tokens   sequences in turn; position 0 clears a sequence's counts first
 *     penalties      tokens seen: logit / repetition when positive, * when not; then by the n times
 *                    a token is in the output, - frequency n - presence
 *     mask           tokens whose bit is 0 get -infinity
 *
 * Share    count_tokens: sequences.  The others: pieces of PIECE columns of rows
 * Bound    memory */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/step.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/kv_cache.h"

enum { IN_PROMPT = 0x8000, MAX_COUNT = 0x7FFF, PIECE = 4096 };
enum { LOGITS = 0, COUNTS = 1 };

typedef struct over_vocabulary {
    int64_t vocabulary;
} over_vocabulary;

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    bool counting = strcmp(desc->op, "count_tokens") == 0;
    if (!counting && tri_require_f32(desc, LOGITS, reason, reason_bytes)) return 1;
    if (desc->n_inputs > COUNTS && desc->inputs[COUNTS].dtype != TRI_U16) {
        return tri_reject(reason, reason_bytes, "counts are not 16 bits");
    }
    return 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    if (strcmp(desc->op, "count_tokens") == 0) {
        *c = (tri_plugin_cost){.bytes = 8.0 * extents->n_tokens};
        return;
    }
    double vocabulary = (double)tri_plugin_columns(&desc->outputs[0]);
    *c = (tri_plugin_cost){.bytes = 10.0 * extents->n_rows * vocabulary};
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    over_vocabulary *s = malloc(sizeof *s);
    if (!s) return 1;
    bool counting = strcmp(desc->op, "count_tokens") == 0;
    s->vocabulary = counting ? desc->inputs[COUNTS].dims[0] : tri_plugin_columns(&desc->outputs[0]);
    *state = s;
    return 0;
}

static uint16_t *counts_of(const tri_plugin_state *state, int64_t sequence) {
    return (uint16_t *)(void *)(state->base + state->slots[sequence] * state->slot_stride_bytes);
}

/* ---- count_tokens ---- */

static void count_sequence(
    const over_vocabulary *s, const tri_plugin_launch *launch, int32_t sequence, uint16_t *counts) {
    const tri_step *step = launch->step->step;
    const int32_t *tokens = launch->inputs[0].data, *cu = launch->step->cu_seqlens;
    int32_t n_prompt = TRI_STEP_I32(step, prompt_lens)[sequence];
    int32_t position = launch->step->context_lens[sequence] - (cu[sequence + 1] - cu[sequence]);
    for (int32_t t = cu[sequence]; t < cu[sequence + 1]; t++, position++) {
        if (position == 0) memset(counts, 0, (size_t)s->vocabulary * sizeof *counts);
        if (tokens[t] < 0 || tokens[t] >= s->vocabulary) continue;
        uint16_t *count = &counts[tokens[t]];
        if (position < n_prompt)
            *count |= IN_PROMPT;
        else if ((*count & MAX_COUNT) < MAX_COUNT)
            (*count)++;
    }
}

static void count_tokens_launch(void *state, const tri_plugin_launch *launch) {
    const tri_plugin_state *counts = launch->states[COUNTS];
    int64_t first, last;
    tri_launch_share(launch, launch->step->extents.n_sequences, &first, &last);
    for (int64_t sequence = first; sequence < last; sequence++) {
        count_sequence(state, launch, (int32_t)sequence, counts_of(counts, sequence));
    }
}

/* ---- penalties ---- */

static void penalise(
    const float *x, const uint16_t *counts, const tri_step_sampling *p, float *y, int64_t n) {
    float repetition = p->repetition_penalty > 0.0f ? p->repetition_penalty : 1.0f;
    for (int64_t v = 0; v < n; v++) {
        float logit = x[v], times = (float)(counts[v] & MAX_COUNT);
        if (counts[v]) logit = logit > 0.0f ? logit / repetition : logit * repetition;
        if (times > 0.0f) logit -= p->frequency_penalty * times + p->presence_penalty;
        y[v] = logit;
    }
}

typedef struct piece { /* of a row of logits */
    int64_t row, first, n;
} piece;

static int64_t n_pieces(const over_vocabulary *s, const tri_plugin_launch *launch) {
    return launch->step->extents.n_rows * ((s->vocabulary + PIECE - 1) / PIECE);
}

static piece piece_of(const over_vocabulary *s, int64_t index) {
    int64_t in_row = (s->vocabulary + PIECE - 1) / PIECE, first = index % in_row * PIECE;
    int64_t left = s->vocabulary - first;
    return (piece){index / in_row, first, left < PIECE ? left : PIECE};
}

static void penalties_launch(void *state, const tri_plugin_launch *launch) {
    const over_vocabulary *s = state;
    const tri_step_sampling *sampling = tri_step_rows_sampling(launch->step->step);
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t i = first; i < last; i++) {
        piece at = piece_of(s, i);
        const tri_step_sampling *p = &sampling[at.row];
        const float *x = tri_row_f32(&launch->inputs[LOGITS], at.row) + at.first;
        float *y = tri_row_f32(&launch->outputs[0], at.row) + at.first;
        bool repetition = p->repetition_penalty > 0.0f && p->repetition_penalty != 1.0f;
        if (repetition || p->presence_penalty != 0.0f || p->frequency_penalty != 0.0f) {
            const uint16_t *counts = counts_of(launch->states[COUNTS], p->sequence) + at.first;
            penalise(x, counts, p, y, at.n);
        } else if (y != x) {
            memcpy(y, x, (size_t)at.n * sizeof *y);
        }
    }
}

/* ---- mask ---- */

static void mask_launch(void *state, const tri_plugin_launch *launch) {
    const over_vocabulary *s = state;
    const tri_plugin_step *step = launch->step;
    const tri_step_sampling *sampling = tri_step_rows_sampling(step->step);
    int64_t first, last;
    tri_launch_share(launch, n_pieces(s, launch), &first, &last);
    for (int64_t i = first; i < last; i++) {
        piece at = piece_of(s, i);
        const float *x = tri_row_f32(&launch->inputs[LOGITS], at.row) + at.first;
        float *y = tri_row_f32(&launch->outputs[0], at.row) + at.first;
        int32_t slot = sampling[at.row].mask_slot;
        if (slot < 0) {
            if (y != x) memcpy(y, x, (size_t)at.n * sizeof *y);
            continue;
        }
        /* A slot that does not exist allows nothing: better no token than one that breaks a
         * grammar.
         */
        bool exists = step->masks && slot < step->n_mask_slots;
        const uint32_t *words = exists ? step->masks + slot * step->mask_stride_words : NULL;
        for (int64_t v = 0; v < at.n; v++) {
            int64_t token = at.first + v;
            bool allowed = words && (words[token / 32] >> (token % 32) & 1);
            y[v] = allowed ? x[v] : -INFINITY;
        }
    }
}

/* ---- registration ---- */

#define VOCABULARY_KERNEL(op)                                                                      \
    static const tri_plugin_kernel op##_kernel = {TRI_CPU_KERNEL(#op, #op "_generic", "", "f32"),  \
        .supports = supports, .cost = cost, .create = create, .destroy = free,                     \
        .launch = op##_launch};
VOCABULARY_KERNEL(count_tokens)
VOCABULARY_KERNEL(penalties)
VOCABULARY_KERNEL(mask)

const tri_plugin_kernel *const tri_penalty_kernels[] = {
    &count_tokens_kernel, &penalties_kernel, &mask_kernel, NULL};
