/* Pooling windows by their definition, for what oneDNN lacks: indices of maxima,
 * p-norms, clipped averages, other types than float.
 *
 * Tensors are [n, channels, d, h, w] (leading ones for fewer spatial dims) with any
 * strides, counted in elements. */
#ifndef TT_KERNELS_POOL_H
#define TT_KERNELS_POOL_H

#include "base/shape.h"
#include "base/status.h"

typedef enum {
    TT_POOL_MAX,
    TT_POOL_MEAN,      /* of the items inside the input */
    TT_POOL_MEAN_PADS, /* padding counts as zeros */
    TT_POOL_NORM       /* (sum |x|^p)^(1/p) */
} tt_pool_mode;

typedef struct {
    tt_pool_mode mode;
    tt_dtype dtype;                 /* any real dtype for MAX, a float one otherwise */
    bool has_indices, column_major; /* MAX: int64 positions of the maxima */
    double p;
    int64_t batch, channels;
    int64_t src[3], dst[3], kernel[3], strides[3], dilations[3];
    int64_t pads_begin[3], pads_end[3]; /* as the model says: what MEAN_PADS counts */
    int64_t src_strides[5], dst_strides[5], index_strides[5];
} tt_pool_kernel;

/* ptrs: src, dst, indices (NULL without).  A tt_kernel of plan/lower.h. */
tt_status tt_pool_run_ref(const void *params, void *const *ptrs, tt_error *err);

#endif
