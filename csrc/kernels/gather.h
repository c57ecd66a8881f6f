/* Gather, GatherElements and GatherND over row-major memory.
 *
 * Parameters are plain data.  All indices are checked first (TT_BAD_INPUT), then rows
 * are copied, in parallel when there is much to copy. */
#ifndef TT_KERNELS_GATHER_H
#define TT_KERNELS_GATHER_H

#include <stdint.h>

#include "base/shape.h"
#include "base/status.h"

/* dst[o][k] = src[o][indices[k]]: rows of row_bytes. */
typedef struct {
    int64_t n_outer, n_indices, dim;
    int64_t src_outer_bytes, src_row_bytes; /* steps of src */
    int64_t row_bytes;
    bool is_32;
} tt_gather;

tt_status tt_gather_run(const tt_gather *gather, const void *src, const void *indices,
                        void *dst, tt_error *err);

/* dst[i..] = src[i.., with indices[i..] in place of i[axis]]. */
typedef struct {
    int rank, axis;
    int64_t dims[TT_MAX_RANK];        /* of indices and dst */
    int64_t src_strides[TT_MAX_RANK]; /* in items */
    int64_t dim;                      /* of src along the axis */
    int item_bytes;
    bool is_32;
} tt_gather_elements;

tt_status tt_gather_elements_run(const tt_gather_elements *gather, const void *src,
                                 const void *indices, void *dst, tt_error *err);

/* Tuples of n_index indices choose slices: dst[b][t] = src[b][tuple t of batch b]. */
typedef struct {
    int n_index;
    int64_t n_batches, n_tuples; /* tuples of one batch */
    int64_t batch_bytes;         /* of src */
    int64_t slice_bytes;
    int64_t dims[TT_MAX_RANK], steps[TT_MAX_RANK]; /* of src, steps in bytes */
    bool is_32;
} tt_gather_nd;

tt_status tt_gather_nd_run(const tt_gather_nd *gather, const void *src,
                           const void *indices, void *dst, tt_error *err);

/* Are the tuples inside dims?  (Also for ScatterND.) */
tt_status tt_tuples_check(const void *indices, bool is_32, int64_t n_tuples,
                          int n_index, const int64_t *dims, tt_error *err);

/* Offset in bytes that tuple t points at. */
static inline int64_t tt_tuple_offset(const tt_gather_nd *gather, const void *indices,
                                      int64_t t)
{
    int64_t offset = 0;
    for (int k = 0; k < gather->n_index; ++k) {
        int64_t at = t * gather->n_index + k;
        int64_t index = gather->is_32 ? ((const int32_t *)indices)[at]
                                      : ((const int64_t *)indices)[at];
        if (index < 0) index += gather->dims[k];
        offset += index * gather->steps[k];
    }
    return offset;
}

#endif
