/* Normalisation over any set of dims: by a norm, or to mean 0 and variance 1. */
#ifndef TT_KERNELS_DIMS_NORM_H
#define TT_KERNELS_DIMS_NORM_H

#include "base/shape.h"

typedef enum {
    TT_DIMS_NORM_L1,     /* x / sum of magnitudes; 0 where that is 0 */
    TT_DIMS_NORM_L2,     /* x / root of the sum of squares; 0 where that is 0 */
    TT_DIMS_NORM_MOMENTS /* (x - mean) / (deviation + 1e-9) */
} tt_dims_norm_kind;

/* Groups are the items of the kept dims, their members those of the reduced ones; src
 * and dst have the same strides.  Sums are taken in double. */
typedef struct {
    tt_dims_norm_kind kind;
    tt_dtype dtype;        /* any float */
    int n_kept, n_reduced; /* innermost dim last in both */
    int64_t kept[TT_MAX_RANK], kept_strides[TT_MAX_RANK];
    int64_t reduced[TT_MAX_RANK], reduced_strides[TT_MAX_RANK];
} tt_dims_norm;

void tt_dims_norm_run(const tt_dims_norm *norm, const void *src, void *dst);

#endif
