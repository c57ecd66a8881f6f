/* The one way this engine takes memory, so that failure can be injected.
 * Thread-safe.  A returned block belongs to the caller, who frees it with
 * tt_free.  NULL means out of memory (or an injected failure). */
#ifndef TT_BASE_ALLOC_H
#define TT_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TT_ALIGNMENT = 64 };

void *tt_alloc(size_t bytes);                /* aligned to TT_ALIGNMENT */
void *tt_calloc(size_t count, size_t bytes); /* zeroed, product checked */
/* Grows *block (count elements of `bytes`) to at least `wanted` elements,
 * doubling; *capacity is updated.  On failure the old block stays valid. */
bool tt_grow(void **block, size_t *capacity, size_t wanted, size_t bytes);
char *tt_strdup(const char *text);
void tt_free(void *block); /* NULL is allowed */
/* The same for what may be large (weights, working memory): goes back to the system at
 * once when freed, with its size; from some MiB on it asks for huge pages. */
void *tt_alloc_pages(size_t bytes);
void tt_free_pages(void *block, size_t bytes); /* NULL is allowed */

/* Gives back what the allocator keeps of blocks that were freed. */
void tt_alloc_trim(void);

/* Test hook: the k-th allocation from now on fails (k >= 1); with `sticky`
 * every later one too; k = 0 switches the hook off.  Returns the number of
 * allocations since the last call.  Process wide. */
int64_t tt_alloc_fail_at(int64_t k, bool sticky);

#ifdef __cplusplus
}
#endif

#endif
