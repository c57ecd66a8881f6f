/* What Conv and ConvTranspose share: weights seen per group, the choice between
 * oneDNN and the own kernel, post-ops. */
#ifndef TT_OPS_CONV_COMMON_H
#define TT_OPS_CONV_COMMON_H

#include "kernels/conv.h"
#include "ops/posts.h"
#include "ops/window.h"

typedef struct {
    tt_window window;
    bool is_transposed;
    int64_t groups, src_channels, dst_channels; /* per group */
} tt_conv_geometry;

/* What the attributes and the shapes of inputs 0 and 1 say of a Conv. */
tt_status tt_conv_read_geometry(const tt_site *site, tt_conv_geometry *out,
                                tt_error *err);

/* Weights of this shape and these strides as oneDNN sees them: [g,] oc, ic, k... */
tt_md tt_conv_weights_md(const tt_conv_geometry *geometry, const tt_shape *shape,
                         const int64_t *strides);
/* A tensor of this shape with its channels innermost. */
tt_md tt_conv_image_md(const tt_shape *shape);
/* Strides, dilations and pads in oneDNN's words. */
void tt_conv_window_params(const tt_window *window, tt_conv_params *out);
/* What conv_ref.c is told of a convolution, but for the strides of its tensors. */
tt_conv_kernel tt_conv_plain_kernel(const tt_conv_geometry *geometry, tt_dtype dtype,
                                    int64_t batch);
/* Strides of n, c and up to three spatial dims as exactly three. */
void tt_conv_five(const int64_t *strides, int rank, int64_t *out);
/* Strides of weights as conv_ref.c counts them. */
void tt_conv_six(const tt_conv_geometry *geometry, const tt_md *weights, int64_t *out);

/* Adds the steps of a convolution whose output shape is known and not empty. */
tt_status tt_conv_lower(tt_lower *lower, const tt_node *node,
                        const tt_conv_geometry *geometry, tt_error *err);

/* The same through a kernel of our own that beats oneDNN's (conv_own.c); *done says
 * whether there is one for this convolution. */
tt_status tt_conv_lower_own(tt_lower *lower, const tt_node *node,
                            const tt_conv_geometry *geometry, const tt_work *work,
                            bool *done, tt_error *err);

/* Products that make an item of dst. */
int64_t tt_conv_taps(const tt_conv_geometry *geometry);

/* One channel to one, windows of one or two dims without dilation, and windows and steps
 * of at most `most`? */
bool tt_conv_is_depthwise(const tt_conv_geometry *geometry, int64_t most);

/* A depthwise one of u8 through a kernel of our own (conv_depthwise.c). */
tt_status tt_conv_lower_depthwise(tt_lower *lower, const tt_node *node,
                                  const tt_conv_geometry *geometry, const tt_work *work,
                                  bool *done, tt_error *err);

/* Another one of u8, of one group (conv_u8s8.c). */
tt_status tt_conv_lower_u8s8(tt_lower *lower, const tt_node *node,
                             const tt_conv_geometry *geometry, const tt_work *work,
                             bool *done, tt_error *err);

/* Has oneDNN something better than its reference implementation for an integer
 * convolution (ops/quantized.h)? */
tt_status tt_conv_is_fast(tt_engine *engine, const tt_site *site,
                          const tt_conv_geometry *geometry, bool *out, tt_error *err);

#endif
