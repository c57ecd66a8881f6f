/* Direct convolution by its definition, for what oneDNN has no fast form of: double
 * precision, half precision, weights that change from call to call.
 *
 * Tensors are [n, channels, d, h, w] with three spatial dims (leading ones for fewer)
 * and any strides, counted in elements.  Accumulates in double. */
#ifndef TT_KERNELS_CONV_H
#define TT_KERNELS_CONV_H

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    tt_dtype dtype; /* f32, f64, f16, bf16 */
    bool has_bias;
    bool is_transposed; /* ConvTranspose: src is spread over dst */
    int64_t batch, groups, src_channels, dst_channels; /* per group */
    int64_t src[3], dst[3], kernel[3], strides[3], dilations[3], pads[3];
    int64_t src_strides[5], dst_strides[5];
    int64_t weights_strides[6]; /* group, dst channel, src channel, kernel dims */
} tt_conv_kernel;

/* ptrs: src, weights, bias (NULL without), dst.  A tt_kernel of plan/lower.h. */
tt_status tt_conv_run_ref(const void *params, void *const *ptrs, tt_error *err);

#endif
