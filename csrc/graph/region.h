/* A bump allocator: many small blocks, freed all at once.
 * Not thread-safe.  Blocks are aligned to 16 bytes and zeroed. */
#ifndef TT_GRAPH_REGION_H
#define TT_GRAPH_REGION_H

#include <stddef.h>

typedef struct tt_region tt_region;

tt_region *tt_region_new(void);       /* NULL: out of memory */
void tt_region_free(tt_region *pool); /* NULL is allowed */
void *tt_region_alloc(tt_region *pool, size_t count, size_t bytes); /* checked */
char *tt_region_strdup(tt_region *pool, const char *text);
char *tt_region_printf(tt_region *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
size_t tt_region_bytes(const tt_region *pool);

#endif
