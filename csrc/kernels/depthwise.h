/* Depthwise convolution of float32 or bfloat16, channels-last, without dilation; sums
 * are of float32.
 *
 * Tiles of neighbouring outputs of one vector of channels: each pixel is loaded once for
 * all columns of the window.  A row is done vector by vector, which hardware does not
 * foresee: the image is fetched one row ahead, in the order of memory. */
#ifndef TT_KERNELS_DEPTHWISE_H
#define TT_KERNELS_DEPTHWISE_H

#include "base/dtype.h"
#include "kernels/conv_own.h"

/* Longest window, stride and padding. */
enum { TT_DEPTHWISE_EXTENT_MAX = 16 };

/* Packed weights [channels, 1, h, w] of f32 or bf16. */
size_t tt_depthwise_packed_bytes(const int64_t dims[4]);
void tt_depthwise_pack(tt_dtype dtype, const void *weights, const int64_t dims[4],
                       const int64_t strides[4], float *packed);

/* dst_channels are the channels of both, src_channels is 1. */
size_t tt_depthwise_scratch_bytes(const tt_conv_own *kernel);
/* A tt_kernel of plan/lower.h. */
tt_status tt_depthwise_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_depthwise_name(const tt_conv_own *kernel);

/* ---- per instruction set ------------------------------------------------------- */

enum {
    TT_DEPTHWISE_LANES = 16, /* of the packed weights [channels / 16][h][w][16] */
    TT_DEPTHWISE_TILE = 7    /* outputs */
};

/* A row of dst. */
typedef struct {
    const tt_conv_own *kernel;
    const void *const *rows; /* kernel_h of the image, or of zeros */
    const float *weights, *bias;
    const float *const *operands; /* of post-ops */
    const char *ahead;            /* what the next row of dst needs besides, .. */
    int64_t ahead_bytes;          /* .. to be fetched; 0: nothing */
    void *dst;
    int64_t at; /* first pixel's place in dst */
} tt_depthwise_row;

typedef struct {
    const char *name;
    void (*run)(const tt_depthwise_row *row);
} tt_depthwise_table;

extern const tt_depthwise_table tt_depthwise_scalar, tt_depthwise_avx2,
    tt_depthwise_avx512, tt_depthwise_avx512_bf16;

#endif
