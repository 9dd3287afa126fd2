/* blocks.h - KV blocks (or state slots) of one group: a free list, and which blocks a sequence
 * holds.
 *
 * Blocks are handed out lowest-recently-freed first.  Nothing allocates after init. */
#ifndef TRI_SCHED_BLOCKS_H
#define TRI_SCHED_BLOCKS_H

#include "base/status.h"

typedef struct tri_block_pool {
    int32_t *free; /* stack */
    int32_t n_free, n_blocks;
} tri_block_pool;

tri_status tri_block_pool_init(tri_block_pool *pool, int32_t n_blocks, tri_error *err);
void tri_block_pool_deinit(tri_block_pool *pool);
int32_t tri_block_pool_take(tri_block_pool *pool); /* -1: none free */
void tri_block_pool_give(tri_block_pool *pool, int32_t block);

/* Blocks of one sequence in one group: entry b holds positions [b * tokens_per_block, ...), or is
 * -1 where the window has passed it by. */
typedef struct tri_block_list {
    int32_t *entries;
    int32_t n_entries, n_held; /* entries known, those not -1 */
} tri_block_list;

/* How many blocks must be taken before positions [0, end) are mapped. */
int32_t tri_block_list_missing(const tri_block_list *list, int32_t tokens_per_block, int64_t end);
/* Takes them; the pool must have that many. */
void tri_block_list_grow(
    tri_block_list *list, tri_block_pool *pool, int32_t tokens_per_block, int64_t end);
/* Gives back blocks that hold only positions before `first`. */
void tri_block_list_trim(
    tri_block_list *list, tri_block_pool *pool, int32_t tokens_per_block, int64_t first);
void tri_block_list_clear(tri_block_list *list, tri_block_pool *pool);

#endif
