/* Memory handed out piece by piece and given back all at once.
 *
 * For blocks that live as long as their owner: the packed weights of a model.  Pieces
 * stand side by side in large blocks, which get huge pages (alloc.c) where single
 * pieces would be too small for them.  Not thread-safe: the owner's lock guards it. */
#ifndef TT_BASE_POOL_H
#define TT_BASE_POOL_H

#include <stddef.h>

typedef struct tt_pool_block tt_pool_block;

/* Zeroed is empty.  block_bytes: size of the blocks (tt_alloc_pages) (a larger
 * piece gets a block of its own); set it before the first piece. */
typedef struct {
    size_t block_bytes;
    tt_pool_block *newest;
} tt_pool;

/* `bytes` aligned to TT_ALIGNMENT, or NULL: out of memory. */
void *tt_pool_alloc(tt_pool *pool, size_t bytes);
/* Gives back the newest piece (what follows it would go too): after a failure. */
void tt_pool_undo(tt_pool *pool, void *piece);
void tt_pool_free(tt_pool *pool);

#endif
