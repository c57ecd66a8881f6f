/* Elements below a byte: close together in files, a byte each in memory. */
#ifndef TT_GRAPH_UNPACK_H
#define TT_GRAPH_UNPACK_H

#include "graph/read.h"

/* Writes the elements of a shape to dst, one a byte.  They take n_bytes at `offset` of
 * the buffer, as tt_packed_bytes says, the first in the low bits. */
tt_status tt_read_unpacked(const tt_shape *shape, const tt_buffer *buffer,
                           uint64_t offset, size_t n_bytes, void *dst, tt_error *err);

#endif
