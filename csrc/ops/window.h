/* Sliding windows: what Conv, ConvTranspose and the pools read alike. */
#ifndef TT_OPS_WINDOW_H
#define TT_OPS_WINDOW_H

#include "ops/op.h"

/* All lists have `rank` items, one per spatial dim. */
typedef struct {
    int rank;
    bool ceil_mode; /* pools: output dims rounded up */
    int64_t src[TT_MAX_SPATIAL], dst[TT_MAX_SPATIAL];
    int64_t kernel[TT_MAX_SPATIAL], strides[TT_MAX_SPATIAL];
    int64_t dilations[TT_MAX_SPATIAL]; /* counted from 1, as in ONNX */
    int64_t pads_begin[TT_MAX_SPATIAL], pads_end[TT_MAX_SPATIAL];
} tt_window;

/* Reads kernel_shape, strides, dilations and pads over src [N, C, spatial..];
 * auto_pad is not resolved and dst not filled.  `kernel` is the spatial part of
 * the weights' shape, which kernel_shape must repeat; NULL: kernel_shape is
 * required. */
tt_status tt_window_read(const tt_node *node, const tt_shape *src,
                         const int64_t *kernel, tt_window *out, tt_error *err);

/* The same, then resolves auto_pad and fills dst (a window that slides). */
tt_status tt_window_slide(const tt_node *node, const tt_shape *src,
                          const int64_t *kernel, tt_window *out, tt_error *err);

/* The same window over two dims: a single one is the width of images of one row. */
tt_window tt_window_plane(const tt_window *window);

/* Initialisers of what kernels are told of it, but for dilations. */
#define TT_WINDOW_FIELDS(plane)                                                \
    .src_h = (plane).src[0], .src_w = (plane).src[1], .dst_h = (plane).dst[0], \
    .dst_w = (plane).dst[1], .kernel_h = (plane).kernel[0],                    \
    .kernel_w = (plane).kernel[1], .stride_h = (plane).strides[0],             \
    .stride_w = (plane).strides[1], .pad_h = (plane).pads_begin[0],            \
    .pad_w = (plane).pads_begin[1]

/* (kernel - 1) * dilation + 1 of dim i. */
static inline int64_t tt_window_extent(const tt_window *window, int i)
{
    return (window->kernel[i] - 1) * window->dilations[i] + 1;
}

#endif
