/* sampling.cuh - a step's sampling parameters on the device, and what they do to a row of logits.
 *
 * Defines  P_VOCAB = V, P_SAMPLING_AT: where a tri_step holds the offset of its tri_step_sampling
 *          array, P_SAMPLING_BYTES of one                    from kernels/cuda/sampling.c */
#ifndef SAMPLING_CUH
#define SAMPLING_CUH

#include "ptx.cuh"

#define VECTORS ((P_VOCAB + 3) / 4) /* of four logits in a row; the last may be short */
#define IN_PROMPT 0x8000u
#define MAX_COUNT 0x7fffu
#define MINUS_INFINITY __int_as_float(0xff800000)

typedef struct step_sampling { /* tri_step_sampling */
    float temperature;
    int top_k;
    float top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    int n_logprobs;
    u64 seed, counter;
    int sequence, mask_slot;
} step_sampling;

static_assert(sizeof(step_sampling) == P_SAMPLING_BYTES, "as base/step.h has it");

DEVICE const step_sampling *sampling_of(const u8 *step, int row) {
    return (const step_sampling *)(step + *(const u32 *)(step + P_SAMPLING_AT)) + row;
}

/* Counts of tokens by sequence, as tri_plugin_state: u16 [V] a slot, 8-byte aligned. */
typedef struct count_slots {
    const u8 *base;
    i64 stride_bytes;
    const int *slots; /* by sequence */
} count_slots;

/* Masks: bit v of word v / 32 of a slot. */
typedef struct mask_slots {
    const u32 *words;
    i64 stride_words;
    int n;
} mask_slots;

DEVICE bool is_penalised(const step_sampling *p) {
    bool repetition = p->repetition_penalty > 0.0f && p->repetition_penalty != 1.0f;
    return repetition || p->presence_penalty != 0.0f || p->frequency_penalty != 0.0f;
}
DEVICE const u8 *counts_of(const count_slots *c, const step_sampling *p) {
    return c->base + c->slots[p->sequence] * c->stride_bytes;
}
/* A slot that does not exist allows nothing: better no token than one that breaks a grammar. */
DEVICE const u32 *mask_of(const mask_slots *m, const step_sampling *p) {
    return m->words && p->mask_slot < m->n ? m->words + p->mask_slot * m->stride_words : 0;
}

/* In double, as few tokens have a count: products are exact then, and one rounding is left. */
DEVICE float penalise(float logit, u32 count, const step_sampling *p) {
    if (!count) return logit;
    double y = logit, n = count & MAX_COUNT, repetition = p->repetition_penalty;
    if (repetition > 0.0) y = y > 0.0 ? y / repetition : y * repetition;
    if (n > 0.0) y -= (double)p->frequency_penalty * n + (double)p->presence_penalty;
    return (float)y;
}
/* Counts of four tokens. */
DEVICE uint2 load_counts(const u8 *counts, int vector) {
    return ((const uint2 *)counts)[vector];
}
DEVICE float4 penalise_vector(float4 x, uint2 counts, const step_sampling *p) {
    if (!(counts.x | counts.y)) return x;
    return make_float4(penalise(x.x, counts.x & 0xffff, p), penalise(x.y, counts.x >> 16, p),
        penalise(x.z, counts.y & 0xffff, p), penalise(x.w, counts.y >> 16, p));
}
/* Bits of four tokens; words NULL: none. */
DEVICE u32 load_mask(const u32 *words, int vector) {
    return words ? words[vector / 8] >> vector % 8 * 4 : 0;
}
DEVICE float4 mask_vector(float4 x, u32 bits) {
    return make_float4(bits & 1 ? x.x : MINUS_INFINITY, bits & 2 ? x.y : MINUS_INFINITY,
        bits & 4 ? x.z : MINUS_INFINITY, bits & 8 ? x.w : MINUS_INFINITY);
}

/* Columns past the end of a row belong to nobody. */
DEVICE void store_vector(float *y, int vector, float4 v) {
    int column = 4 * vector;
    if (column + 4 <= P_VOCAB) {
        ((float4 *)y)[vector] = v;
        return;
    }
    y[column] = v.x;
    if (column + 1 < P_VOCAB) y[column + 1] = v.y;
    if (column + 2 < P_VOCAB) y[column + 2] = v.z;
}

#endif
