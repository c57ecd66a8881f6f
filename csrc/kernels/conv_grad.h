/* Gradients of a convolution's weights by the definition, for what oneDNN has no fast form
 * of.  (Its input's gradient is a transposed convolution: conv.h.) */
#ifndef TT_KERNELS_CONV_GRAD_H
#define TT_KERNELS_CONV_GRAD_H

#include "kernels/conv.h"

/* params: a tt_conv_kernel of the forward convolution; dst is the gradient of its result.
 * ptrs: src, dst, then written: weights, bias (NULL: not wanted).  A tt_kernel of
 * plan/lower.h; accumulates in double. */
tt_status tt_conv_grad_weights_ref(const void *params, void *const *ptrs,
                                   tt_error *err);

#endif
