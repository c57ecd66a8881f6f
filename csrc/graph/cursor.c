/* A checked walk over bytes that nobody trusts. */
#include "graph/cursor.h"

#include <string.h>

tt_status tt_cursor_take(tt_cursor *cursor, size_t bytes, const uint8_t **out,
                         const char *what, tt_error *err)
{
    if (bytes > tt_cursor_left(cursor))
        return tt_fail(err, TT_BAD_MODEL,
                       "byte %zu: %s takes %zu bytes, only %zu are left",
                       tt_cursor_offset(cursor), what, bytes, tt_cursor_left(cursor));
    *out = cursor->at;
    cursor->at += bytes;
    return TT_OK;
}

tt_status tt_cursor_copy(tt_cursor *cursor, void *out, size_t bytes, const char *what,
                         tt_error *err)
{
    const uint8_t *from = cursor->at;
    TT_TRY(tt_cursor_take(cursor, bytes, &from, what, err));
    if (bytes > 0) memcpy(out, from, bytes);
    return TT_OK;
}

tt_status tt_cursor_u32(tt_cursor *cursor, uint32_t *out, const char *what,
                        tt_error *err)
{
    return tt_cursor_copy(cursor, out, sizeof *out, what, err);
}

tt_status tt_cursor_count(tt_cursor *cursor, size_t bytes, int *out, const char *what,
                          tt_error *err)
{
    size_t offset = tt_cursor_offset(cursor);
    uint32_t n = 0;
    TT_TRY(tt_cursor_u32(cursor, &n, what, err));
    if (n > INT32_MAX || n > tt_cursor_left(cursor) / bytes)
        return tt_fail(err, TT_BAD_MODEL,
                       "byte %zu: %lu %s do not fit the %zu bytes that are left",
                       offset, (unsigned long)n, what, tt_cursor_left(cursor));
    *out = (int)n;
    return TT_OK;
}

tt_status tt_cursor_index(tt_cursor *cursor, int n, int *out, const char *what,
                          tt_error *err)
{
    size_t offset = tt_cursor_offset(cursor);
    uint32_t index = 0;
    TT_TRY(tt_cursor_u32(cursor, &index, what, err));
    if (index >= (uint32_t)n)
        return tt_fail(err, TT_BAD_MODEL,
                       "byte %zu: %s has index %lu, expected below %d", offset, what,
                       (unsigned long)index, n);
    *out = (int)index;
    return TT_OK;
}

tt_status tt_cursor_option(tt_cursor *cursor, int n, int *out, const char *what,
                           tt_error *err)
{
    uint32_t index;
    if (tt_cursor_left(cursor) >= sizeof index) {
        memcpy(&index, cursor->at, sizeof index);
        if (index == UINT32_MAX) {
            cursor->at += sizeof index;
            *out = -1;
            return TT_OK;
        }
    }
    return tt_cursor_index(cursor, n, out, what, err);
}
