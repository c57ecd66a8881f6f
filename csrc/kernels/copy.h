/* Strided tensor copy: layout changes, broadcasts, slices, matrix transposition.
 *
 * A tt_copy is planned once for dims and strides and then run many times.  Dims of
 * 1 vanish, dims are put in the order of the destination and merged; what is left
 * is one of: a plain memcpy, rows of contiguous bytes, rows of one repeated item,
 * a blocked in-register transposition (NCHW <-> NHWC and the like), or a strided
 * loop.  Large copies are split over the current arena; the result never depends
 * on the split. */
#ifndef TT_KERNELS_COPY_H
#define TT_KERNELS_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "base/shape.h"
#include "base/status.h"

/* Plain data without pointers: may be copied with memcpy. */
typedef struct tt_copy tt_copy;

/* Plans dst[i * dst_strides] = src[i * src_strides] for every index i of dims.
 * item_bytes is 1, 2, 4, 8 or 16; strides count items.  A stride of src may be 0
 * (broadcast) or negative (then src points at the item of index 0); strides of dst
 * must address every item once.  *out comes from tt_alloc, freed with tt_free.
 * TT_LIMIT when a size does not fit, TT_NO_MEMORY. */
tt_status tt_copy_compile(size_t item_bytes, const tt_shape *dims,
                          const int64_t *src_strides, const int64_t *dst_strides,
                          tt_copy **out, tt_error *err);

/* Size of a compiled copy, for those who keep it elsewhere. */
size_t tt_copy_bytes(const tt_copy *copy);

/* Runs in the current arena, in parallel when it is large.  src and dst do not
 * overlap; no alignment is needed. */
void tt_copy_run(const tt_copy *copy, const void *src, void *dst);

/* Estimated nanoseconds of one run on one thread. */
double tt_copy_cost_ns(const tt_copy *copy);

/* "copy:flat", "copy:rows", "copy:transpose" and so on, for profiles. */
const char *tt_copy_name(const tt_copy *copy);

#endif
