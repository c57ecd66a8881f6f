/* Sums of products of one or two strided tensors over any dims, where no matrix product
 * does it: dst[i] = sum over k of x[i, k] (* y[i, k]).  Strides of 0 broadcast.
 * Floats accumulate in double, integers wrap around. */
#ifndef TT_KERNELS_EINSUM_H
#define TT_KERNELS_EINSUM_H

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    tt_dtype dtype; /* any float or integer */
    bool has_y;
    int n_out, n_sum; /* innermost dim last in both */
    int64_t out[TT_MAX_RANK], sum[TT_MAX_RANK];
    int64_t out_x[TT_MAX_RANK], out_y[TT_MAX_RANK], out_dst[TT_MAX_RANK];
    int64_t sum_x[TT_MAX_RANK], sum_y[TT_MAX_RANK];
} tt_einsum_kernel;

/* ptrs: x, y (NULL without), dst.  A tt_kernel of plan/lower.h. */
tt_status tt_einsum_run(const void *params, void *const *ptrs, tt_error *err);

#endif
