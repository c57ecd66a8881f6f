/* A chain of zeroed chunks; blocks are cut from the newest one. */
#include "graph/region.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"

enum { BLOCK_ALIGNMENT = 16, FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 18 };

typedef struct chunk {
    struct chunk *next;
    size_t used, size; /* of the bytes after this header */
} chunk;

/* The header takes whole alignment units, so that blocks stay aligned. */
enum {
    HEADER_BYTES =
        (sizeof(chunk) + BLOCK_ALIGNMENT - 1) / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT
};

struct tt_region {
    chunk *chunks; /* newest first; all older ones are full */
    size_t bytes;
    size_t next_size;
};

tt_region *tt_region_new(void)
{
    tt_region *region = tt_calloc(1, sizeof *region);
    if (region != NULL) region->next_size = FIRST_CHUNK;
    return region;
}

void tt_region_free(tt_region *region)
{
    chunk *at, *next;
    if (region == NULL) return;
    for (at = region->chunks; at != NULL; at = next) {
        next = at->next;
        tt_free(at);
    }
    tt_free(region);
}

/* Appends a chunk with room for at least `bytes`. */
static chunk *add_chunk(tt_region *region, size_t bytes)
{
    size_t size = bytes > region->next_size ? bytes : region->next_size, total;
    chunk *added;
    if (!tt_add_size(size, HEADER_BYTES, &total)) return NULL;
    added = tt_calloc(1, total);
    if (added == NULL) return NULL;
    added->size = size;
    added->next = region->chunks;
    region->chunks = added;
    region->bytes += total;
    if (region->next_size < LARGEST_CHUNK) region->next_size *= 2;
    return added;
}

void *tt_region_alloc(tt_region *region, size_t count, size_t bytes)
{
    size_t wanted;
    chunk *at = region->chunks;
    void *block;
    if (!tt_mul_size(count, bytes, &wanted)) return NULL;
    if (!tt_round_up(wanted == 0 ? 1 : wanted, BLOCK_ALIGNMENT, &wanted)) return NULL;
    if (at == NULL || at->size - at->used < wanted) at = add_chunk(region, wanted);
    if (at == NULL) return NULL;
    block = (char *)at + HEADER_BYTES + at->used;
    at->used += wanted;
    return block;
}

char *tt_region_strdup(tt_region *region, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tt_region_alloc(region, bytes, 1);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}

char *tt_region_printf(tt_region *region, const char *format, ...)
{
    va_list args;
    char *text;
    int n;
    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) return NULL;
    text = tt_region_alloc(region, (size_t)n + 1, 1);
    if (text == NULL) return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

size_t tt_region_bytes(const tt_region *region)
{
    return region->bytes;
}
