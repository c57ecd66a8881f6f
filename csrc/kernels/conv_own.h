/* What the own convolutions (winograd.h, conv_direct.h, conv_dot.h, depthwise.h) are
 * given: one description, and pointers in one order. */
#ifndef TT_KERNELS_CONV_OWN_H
#define TT_KERNELS_CONV_OWN_H

#include <stddef.h>

#include "base/status.h"
#include "kernels/post_ops.h"

/* A single spatial dim is the width of images of one row. */
typedef struct {
    int64_t batch, src_channels, dst_channels;
    int64_t src_h, src_w, dst_h, dst_w, kernel_h, kernel_w, stride_h, stride_w;
    int64_t dilation_h, dilation_w, pad_h, pad_w;
    /* elements from image to image, channel to channel, row to row, pixel to pixel;
     * channels of dst touch */
    int64_t src_n, src_c, src_y, src_x, dst_n, dst_y, dst_x;
    /* else f32; depthwise.h alone has bf16 */
    bool is_src_bf16, is_weights_bf16, is_dst_bf16;
    int n_slots; /* pieces the work is dealt to, each with scratch of its own */
    tt_post_ops posts;
} tt_conv_own;

enum {
    TT_CONV_OWN_SRC,
    TT_CONV_OWN_WEIGHTS, /* packed */
    TT_CONV_OWN_BIAS,    /* NULL: none */
    TT_CONV_OWN_POST,    /* TT_POST_OPS_MAX operands, NULL where none */
    TT_CONV_OWN_DST = TT_CONV_OWN_POST + TT_POST_OPS_MAX,
    TT_CONV_OWN_SCRATCH, /* if the kernel wants any */
    TT_CONV_OWN_POINTERS
};

/* How dst channels are cut: `blocks` of `vectors` vectors. */
typedef struct {
    int64_t blocks;
    int vectors;
} tt_channel_cut;

/* The fewest blocks of at most `most` vectors, all of the same width. */
static inline tt_channel_cut tt_cut_channels(int64_t channels, int lanes, int64_t most)
{
    int64_t vectors = (channels + lanes - 1) / lanes;
    int64_t blocks = (vectors + most - 1) / most;
    return (tt_channel_cut){blocks, (int)((vectors + blocks - 1) / blocks)};
}

#endif
