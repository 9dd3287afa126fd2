/* step.h - tri_step, the narrow waist between scheduler and device.
 *
 * One flat, pointer-free block of bytes: a header, then arrays at byte offsets from its start.  The
 * same bytes are uploaded, broadcast to ranks, recorded and replayed.  Prefill, chunked prefill,
 * decode and draft verification are the same step: T packed tokens of S sequences, any number of
 * tokens each. Rows: the R tokens whose logits are wanted, ascending, each with its sampling
 * parameters.
 *
 * Lives in base since scheduler, interpreter, kernels and engine all read it and may not see each
 * other. */
#ifndef TRI_BASE_STEP_H
#define TRI_BASE_STEP_H

#include "base/status.h"

enum { TRI_STEP_MAGIC = 0x70657473, TRI_MAX_GROUPS = 8, TRI_STEP_NO_BLOCK = -1 };

/* What one group of caches needs of the step. */
typedef struct tri_step_group {
    uint32_t block_tables; /* i32 [S, max_blocks]; paged groups; -1 where nothing is mapped: entry b
                              of a sequence holds positions [b * tokens_per_block, ...) */
    uint32_t state_slots;  /* i32 [S]; recurrent groups */
    int32_t max_blocks;    /* row length of block_tables, 0 for recurrent groups */
    int32_t reserved;
} tri_step_group;

/* How one row's logits become a token.  Zero-initialised means greedy, no penalties. */
typedef struct tri_step_sampling {
    float temperature;        /* 0: greedy */
    int32_t top_k;            /* 0: all */
    float top_p;              /* 0 or >= 1: all */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 0 or 1: off; over prompt and output */
    float presence_penalty;   /* 0: off; over output */
    float frequency_penalty;  /* 0: off; over output */
    int32_t n_logprobs;       /* top log-probabilities wanted beside the sampled token's */
    uint64_t seed;
    uint64_t counter;  /* index of the token in its sequence: (seed, counter) fixes the draw */
    int32_t sequence;  /* in [0, S): whose row this is */
    int32_t mask_slot; /* -1: none; a bit mask over the vocabulary, filled before sampling */
} tri_step_sampling;

typedef struct tri_step {
    uint32_t magic, n_bytes;
    int32_t n_tokens, n_sequences, n_rows, n_groups; /* T, S, R, groups */
    int32_t n_position_axes;                         /* P: 1, or 3 for m-rope */
    int32_t n_rows_before; /* rows of the step submitted before that tokens may name; 0: none */
    uint64_t id;
    uint32_t tokens;       /* i32 [T]; -1 where an embedding row stands instead; -2 - r: what row r
                              of the step before was sampled as, which only the device knows yet */
    uint32_t positions;    /* i32 [P, T] */
    uint32_t cu_seqlens;   /* i32 [S + 1]: tokens of sequence s are [cu[s], cu[s + 1]) */
    uint32_t context_lens; /* i32 [S]: tokens of the sequence including this step's, so its first
                              token here is at position context_lens[s] - (cu[s + 1] - cu[s]) */
    uint32_t prompt_lens;  /* i32 [S]: positions below are prompt, others output (for penalties) */
    uint32_t adapter_ids;  /* i32 [S]; -1: none */
    uint32_t rows;         /* i32 [R]: indices into tokens */
    uint32_t sampling;     /* tri_step_sampling [R], 8-byte aligned */
    tri_step_group groups[TRI_MAX_GROUPS];
} tri_step;

static inline const void *tri_step_at(const tri_step *step, uint32_t offset) {
    return (const uint8_t *)step + offset;
}
#define TRI_STEP_I32(step, field) ((const int32_t *)tri_step_at((step), (step)->field))
static inline const tri_step_sampling *tri_step_rows_sampling(const tri_step *step) {
    return (const tri_step_sampling *)tri_step_at(step, step->sampling);
}
static inline const int32_t *tri_step_block_table(
    const tri_step *step, int32_t group, int32_t seq) {
    const tri_step_group *g = &step->groups[group];
    return (const int32_t *)tri_step_at(step, g->block_tables) + (int64_t)seq * g->max_blocks;
}

/* A token that names row r of the step before, and back; r < 0: it names none. */
static inline int32_t tri_step_token_of_row(int32_t row) {
    return -2 - row;
}
static inline int32_t tri_step_row_of_token(int32_t token) {
    return -2 - token;
}

/* The extents and group shapes a step is laid out for. */
typedef struct tri_step_shape {
    int32_t n_tokens, n_sequences, n_rows, n_groups, n_position_axes;
    int32_t max_blocks[TRI_MAX_GROUPS]; /* 0: recurrent */
} tri_step_shape;

/* Bytes a step of this shape takes; also the size to reserve for a plan's limits. */
int64_t tri_step_bytes(const tri_step_shape *shape);
/* Lays out a zeroed step in caller's memory (8-byte aligned, capacity >= tri_step_bytes); fields
 * are then filled through tri_step_at.  Block tables start as -1. */
tri_step *tri_step_init(void *memory, int64_t capacity_bytes, const tri_step_shape *shape);
/* Offsets, extents, ranges of every index: a replayed or received step is hostile until this
 * passed. */
tri_status tri_step_check(const tri_step *step, int64_t n_bytes, int32_t vocab_size,
    const int32_t n_blocks[TRI_MAX_GROUPS], tri_error *err);

#endif
