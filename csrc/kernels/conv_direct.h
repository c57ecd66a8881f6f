/* Direct convolution of float with few src channels (the first layer of image and
 * sound models): any kernel size, stride, dilation and padding, one or two spatial
 * dims, src in any strides, dst channels-last.
 *
 * Every tap of the window is one step of a matrix product [pixels, taps] by [taps, dst
 * channels] whose left side is never stored: a register block of pixels by channels
 * takes its items straight from the rows of the image.  The rows are copied to a small
 * buffer first, which adds the padding and splits them into `stride_w` phases, so that
 * neighbouring outputs read neighbouring floats whatever the stride and layout. */
#ifndef TT_KERNELS_CONV_DIRECT_H
#define TT_KERNELS_CONV_DIRECT_H

#include "kernels/conv_own.h"

/* Packed weights [dst channels, src channels, h, w]. */
size_t tt_conv_direct_packed_bytes(const int64_t dims[4]);
void tt_conv_direct_pack(const float *weights, const int64_t dims[4],
                         const int64_t strides[4], float *packed);

size_t tt_conv_direct_scratch_bytes(const tt_conv_own *kernel);
/* A tt_kernel of plan/lower.h. */
tt_status tt_conv_direct_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_conv_direct_name(void);

/* ---- per instruction set ------------------------------------------------------- */

/* A piece of a row of outputs. */
typedef struct {
    const tt_conv_own *kernel;
    int64_t blocks;
    int vectors; /* of dst channels in a block */
    const float *weights, *bias;
    const float *operands[TT_POST_OPS_MAX];
    const float **taps; /* what each tap multiplies for the first pixel */
    int64_t n_taps, n;  /* n: pixels */
    float *dst;
    int64_t at; /* first pixel's place in dst */
} tt_conv_direct_row;

typedef struct {
    const char *name;
    int lanes, max_vectors;
    void (*run)(const tt_conv_direct_row *row);
    /* every step-th of n floats that are `stride` apart */
    void (*gather)(const float *src, int64_t stride, float *dst, int64_t n);
} tt_conv_direct_table;

extern const tt_conv_direct_table tt_conv_direct_scalar, tt_conv_direct_avx2,
    tt_conv_direct_avx512;

#endif
