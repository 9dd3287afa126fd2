/* kv_cache.h - where a paged cache holds things, and where tokens of a step belong. */
#ifndef TRI_KERNELS_CPU_KV_CACHE_H
#define TRI_KERNELS_CPU_KV_CACHE_H

#include "kernels/cpu/cpu.h"

/* Bytes of an element of f32, f16 and bf16 caches; 0 for others. */
static inline int64_t tri_cache_elem_bytes(int32_t dtype) {
    return dtype == TRI_F32 ? 4 : dtype == TRI_F16 || dtype == TRI_BF16 ? 2 : 0;
}

/* K of a token: `position` of `sequence`, head h; V lies v_offset_bytes further.  NULL where
 * nothing is mapped. */
static inline uint8_t *tri_cache_at(
    const tri_plugin_cache *cache, int64_t sequence, int64_t position, int64_t head) {
    int64_t entry = position / cache->tokens_per_block;
    if (entry >= cache->max_blocks) return NULL;
    int32_t block = cache->block_tables[sequence * cache->max_blocks + entry];
    if (block < 0 || block >= cache->n_blocks) return NULL;
    int64_t row = head * cache->tokens_per_block + position % cache->tokens_per_block;
    return cache->base + block * cache->block_stride_bytes +
           row * cache->head_size * tri_cache_elem_bytes(cache->dtype);
}

/* Walks tokens in order and knows the sequence and position of each. */
typedef struct tri_token_walk {
    const tri_plugin_step *step;
    int32_t sequence;
} tri_token_walk;

static inline int32_t tri_walk_to(tri_token_walk *walk, int64_t token) {
    const int32_t *cu = walk->step->cu_seqlens;
    while (token >= cu[walk->sequence + 1])
        walk->sequence++;
    return walk->step->context_lens[walk->sequence] - (cu[walk->sequence + 1] - (int32_t)token);
}

#endif
