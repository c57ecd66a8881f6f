/* Indices that come as data: read as int64, checked before they are used. */
#ifndef TT_KERNELS_INDICES_H
#define TT_KERNELS_INDICES_H

#include "base/dtype.h"
#include "base/status.h"

/* Item i of int32 or int64 data. */
static inline int64_t tt_index_at(const void *indices, bool is_32, int64_t i)
{
    return is_32 ? ((const int32_t *)indices)[i] : ((const int64_t *)indices)[i];
}

/* The same with negative ones counted from the end; they have been checked. */
static inline int64_t tt_index_wrapped(const void *indices, bool is_32, int64_t i,
                                       int64_t dim)
{
    int64_t index = tt_index_at(indices, is_32, i);
    return index < 0 ? index + dim : index;
}

/* Are all n indices in [-dim, dim)?  TT_BAD_INPUT names the first that is not. */
tt_status tt_indices_check(const void *indices, bool is_32, int64_t n, int64_t dim,
                           tt_error *err);

#endif
