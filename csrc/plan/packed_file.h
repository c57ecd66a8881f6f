/* Packed weights in a file, so that the next process need not pack them.
 *
 *   header   magic "TTPW", n, hash of the table
 *   table    n times: key, hash of the bytes, offset from the header, number of bytes
 *   bytes    at multiples of 64
 *
 * In the byte order of the machine that wrote it.  Whatever is damaged is not used. */
#ifndef TT_PLAN_PACKED_FILE_H
#define TT_PLAN_PACKED_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"

typedef struct {
    tt_hash key;
    const void *data;
    size_t bytes;
} tt_packed_piece;

typedef struct tt_packed_file tt_packed_file;

/* Never fails: a file that cannot be used has no pieces.  NULL: out of memory. */
tt_packed_file *tt_packed_file_open(int descriptor, uint64_t offset);
void tt_packed_file_close(tt_packed_file *file); /* NULL is allowed */
size_t tt_packed_file_n(const tt_packed_file *file);
/* Reads the piece of this key and size; false: it is not there, or damaged. */
bool tt_packed_file_read(tt_packed_file *file, tt_hash key, void *dst, size_t bytes);
/* At the descriptor's position. */
tt_status tt_packed_file_write(int descriptor, const tt_packed_piece *pieces, size_t n,
                               tt_error *err);

#endif
