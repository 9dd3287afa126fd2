/* bpe_inside.h - a BPE model's tables, for bpe.c, which fills them, and bpe_encode.c. */
#ifndef TRI_TEXT_BPE_INSIDE_H
#define TRI_TEXT_BPE_INSIDE_H

#include "text/bpe.h"
#include "text/pieces.h"

typedef struct tri_bpe_merge { /* rank -1: free slot */
    uint64_t pair;             /* left << 32 | right */
    int32_t rank, id;
} tri_bpe_merge;

struct tri_bpe {
    tri_bpe_config config;
    tri_pieces table;
    int32_t byte_ids[256]; /* of the single bytes; over characters: of ASCII ones without affix */
    int32_t fallback_ids[256]; /* of <0x00>... */
    bool has_affixes, can_block;
    tri_bpe_merge *merges;
    size_t merge_mask;
    int32_t merge_shift;
    int32_t last_merged; /* what the merge before made */
};

static inline uint64_t tri_bpe_pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static inline size_t tri_bpe_first_slot(const tri_bpe *bpe, uint64_t pair) {
    return (size_t)((pair ^ pair >> 29) * 0x9E3779B97F4A7C15u >> bpe->merge_shift);
}

static inline tri_bpe_merge *tri_bpe_merge_slot(const tri_bpe *bpe, int32_t left, int32_t right) {
    uint64_t pair = tri_bpe_pair_of(left, right);
    size_t at = tri_bpe_first_slot(bpe, pair);
    while (bpe->merges[at].pair != pair && bpe->merges[at].rank >= 0)
        at = (at + 1) & bpe->merge_mask;
    return &bpe->merges[at];
}

#endif
