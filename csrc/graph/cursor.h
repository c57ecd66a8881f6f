/* A checked walk over little-endian bytes that nobody trusts.  Each function steps
 * over what it read, or returns TT_BAD_MODEL with the offset, `what` was expected
 * and what came. */
#ifndef TT_GRAPH_CURSOR_H
#define TT_GRAPH_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    const uint8_t *begin, *at, *end;
} tt_cursor;

static inline size_t tt_cursor_left(const tt_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline size_t tt_cursor_offset(const tt_cursor *cursor)
{
    return (size_t)(cursor->at - cursor->begin);
}

/* Points *out at the next `bytes` bytes. */
tt_status tt_cursor_take(tt_cursor *cursor, size_t bytes, const uint8_t **out,
                         const char *what, tt_error *err);
/* Copies the next `bytes` bytes: numbers, little-endian as the host. */
tt_status tt_cursor_copy(tt_cursor *cursor, void *out, size_t bytes, const char *what,
                         tt_error *err);
tt_status tt_cursor_u32(tt_cursor *cursor, uint32_t *out, const char *what,
                        tt_error *err);
/* A number of items of at least `bytes` bytes each, all of them still to come: so
 * what is allocated for them is bounded by the size of the input. */
tt_status tt_cursor_count(tt_cursor *cursor, size_t bytes, int *out, const char *what,
                          tt_error *err);
/* An index below `n`. */
tt_status tt_cursor_index(tt_cursor *cursor, int n, int *out, const char *what,
                          tt_error *err);
/* The same, or 0xffffffff for none (-1). */
tt_status tt_cursor_option(tt_cursor *cursor, int n, int *out, const char *what,
                           tt_error *err);

#endif
