/* Pieces of large blocks: see pool.h. */
#include "base/pool.h"

#include "base/alloc.h"
#include "base/checked.h"

struct tt_pool_block {
    tt_pool_block *older;
    char *data;
    size_t bytes, used;
};

static tt_pool_block *new_block(tt_pool *pool, size_t bytes)
{
    tt_pool_block *block = tt_calloc(1, sizeof *block);
    if (block == NULL) return NULL;
    block->bytes = bytes > pool->block_bytes ? bytes : pool->block_bytes;
    block->data = tt_alloc_pages(block->bytes);
    if (block->data == NULL) {
        tt_free(block);
        return NULL;
    }
    block->older = pool->newest;
    pool->newest = block;
    return block;
}

void *tt_pool_alloc(tt_pool *pool, size_t bytes)
{
    tt_pool_block *block = pool->newest;
    size_t rounded;
    void *piece;
    if (!tt_round_up(bytes == 0 ? 1 : bytes, TT_ALIGNMENT, &rounded)) return NULL;
    if (block == NULL || block->bytes - block->used < rounded)
        block = new_block(pool, rounded);
    if (block == NULL) return NULL;
    piece = block->data + block->used;
    block->used += rounded;
    return piece;
}

void tt_pool_undo(tt_pool *pool, void *piece)
{
    tt_pool_block *block = pool->newest;
    if (block == NULL || piece == NULL) return;
    block->used = (size_t)((char *)piece - block->data);
}

void tt_pool_free(tt_pool *pool)
{
    while (pool->newest != NULL) {
        tt_pool_block *older = pool->newest->older;
        tt_free_pages(pool->newest->data, pool->newest->bytes);
        tt_free(pool->newest);
        pool->newest = older;
    }
}
