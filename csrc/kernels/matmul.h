/* Matrix products by their definition, for the types that oneDNN does not multiply:
 * integers (which wrap around), double and half precision.  Batches of
 * dst[m,n] = sum over k of a[m,k] b[k,n] (+ bias[n]), all strides in elements. */
#ifndef TT_KERNELS_MATMUL_H
#define TT_KERNELS_MATMUL_H

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    tt_dtype dtype;
    bool has_bias;
    int n_batch; /* batch dims; strides of 0 broadcast */
    int64_t batch[TT_MAX_RANK];
    int64_t a_batch[TT_MAX_RANK], b_batch[TT_MAX_RANK], dst_batch[TT_MAX_RANK];
    int64_t m, n, k;
    int64_t a_m, a_k, b_k, b_n, dst_m, dst_n; /* strides */
} tt_matmul_kernel;

/* ptrs: a, b, bias (NULL without), dst.  A tt_kernel of plan/lower.h. */
tt_status tt_matmul_run_ref(const void *params, void *const *ptrs, tt_error *err);

#endif
