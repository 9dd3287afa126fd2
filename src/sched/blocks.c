#include "sched/blocks.h"

#include <stdlib.h>

#include "base/step.h"

tri_status tri_block_pool_init(tri_block_pool *pool, int32_t n_blocks, tri_error *err) {
    TRI_ASSERT(n_blocks >= 0);
    int32_t *list = malloc(sizeof(int32_t) * (size_t)(n_blocks ? n_blocks : 1));
    if (!list) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a list of %d blocks", n_blocks);
    for (int32_t i = 0; i < n_blocks; i++)
        list[i] = n_blocks - 1 - i;
    *pool = (tri_block_pool){.free = list, .n_free = n_blocks, .n_blocks = n_blocks};
    return TRI_OK;
}

void tri_block_pool_deinit(tri_block_pool *pool) {
    free(pool->free);
    *pool = (tri_block_pool){0};
}

int32_t tri_block_pool_take(tri_block_pool *pool) {
    return pool->n_free ? pool->free[--pool->n_free] : TRI_STEP_NO_BLOCK;
}

void tri_block_pool_give(tri_block_pool *pool, int32_t block) {
    TRI_ASSERT(block >= 0 && block < pool->n_blocks && pool->n_free < pool->n_blocks);
    pool->free[pool->n_free++] = block;
}

static int32_t entries_for(int32_t tokens_per_block, int64_t end) {
    return (int32_t)((end + tokens_per_block - 1) / tokens_per_block);
}

int32_t tri_block_list_missing(const tri_block_list *list, int32_t tokens_per_block, int64_t end) {
    int32_t wanted = entries_for(tokens_per_block, end);
    return wanted > list->n_entries ? wanted - list->n_entries : 0;
}

void tri_block_list_grow(
    tri_block_list *list, tri_block_pool *pool, int32_t tokens_per_block, int64_t end) {
    int32_t wanted = entries_for(tokens_per_block, end);
    while (list->n_entries < wanted) {
        int32_t block = tri_block_pool_take(pool);
        TRI_ASSERT(block >= 0);
        list->entries[list->n_entries++] = block;
        list->n_held++;
    }
}

void tri_block_list_trim(
    tri_block_list *list, tri_block_pool *pool, int32_t tokens_per_block, int64_t first) {
    int64_t whole = first / tokens_per_block;
    int32_t end = whole < list->n_entries ? (int32_t)whole : list->n_entries;
    /* What was trimmed before is one run of -1 at the front: stop at it. */
    for (int32_t i = end - 1; i >= 0 && list->entries[i] >= 0; i--) {
        tri_block_pool_give(pool, list->entries[i]);
        list->entries[i] = TRI_STEP_NO_BLOCK;
        list->n_held--;
    }
}

void tri_block_list_clear(tri_block_list *list, tri_block_pool *pool) {
    for (int32_t i = 0; i < list->n_entries; i++) {
        if (list->entries[i] >= 0) tri_block_pool_give(pool, list->entries[i]);
    }
    list->n_entries = list->n_held = 0;
}
