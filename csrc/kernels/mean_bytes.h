/* Means of 8-bit tensors over any set of dims, dequantised: (mean of q - zero point)
 * times scale, exact up to one rounding each of mean and product. */
#ifndef TT_KERNELS_MEAN_BYTES_H
#define TT_KERNELS_MEAN_BYTES_H

#include "kernels/reduce.h"

typedef struct {
    tt_reduce_kernel dims; /* filled by tt_reduce_plan; dtype u8 or s8 */
    double scale, zero_point;
} tt_mean_bytes;

/* ptrs: src, dst (f32, dense, in the order of the kept dims).  A tt_kernel of
 * plan/lower.h. */
tt_status tt_mean_bytes_run(const void *params, void *const *ptrs, tt_error *err);

#endif
