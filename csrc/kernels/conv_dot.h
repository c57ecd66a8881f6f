/* Convolution of float to a few dst channels (the last layer of masks and pitch
 * contours, filters of sound): src and dst channels-last, one or two spatial dims,
 * dilation 1 along the width.
 *
 * oneDNN gives each dst channel a lane, so one channel leaves 15 of 16 idle.  Here the
 * lanes run along the window: a row of it, kernel width times src channels, is one run
 * of memory, and an output is the dot product of such runs with the weights.  Eight
 * neighbours are computed at a time and their lanes summed together. */
#ifndef TT_KERNELS_CONV_DOT_H
#define TT_KERNELS_CONV_DOT_H

#include "kernels/conv_own.h"

enum { TT_CONV_DOT_CHANNELS = 4 /* of dst, at most */ };

/* Weights [dst channels, src channels, h, w] with these strides as [dst channel, h, w,
 * src channel]; as many floats as there are. */
void tt_conv_dot_pack(const float *weights, const int64_t dims[4],
                      const int64_t strides[4], float *packed);
/* Channels of src touch, and so do the pixels of its rows.  No scratch.  A tt_kernel of
 * plan/lower.h. */
tt_status tt_conv_dot_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_conv_dot_name(void);

/* ---- per instruction set ------------------------------------------------------- */

/* Pixels [x, end) of row y of an image. */
typedef struct {
    const tt_conv_own *kernel;
    const float *src, *weights, *bias; /* src: the image */
    const float *operands[TT_POST_OPS_MAX];
    float *dst;
    bool by_channel; /* a post-op has an operand with one element per channel */
    int64_t at;      /* where the row begins in dst */
    int64_t y, x, end;
} tt_conv_dot_row;

typedef struct {
    const char *name;
    void (*run)(const tt_conv_dot_row *row);
} tt_conv_dot_table;

extern const tt_conv_dot_table tt_conv_dot_scalar, tt_conv_dot_avx2, tt_conv_dot_avx512;

#endif
