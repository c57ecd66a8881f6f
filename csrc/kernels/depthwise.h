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

/* Packed weights [channels, 1, h, w] of f32 or bf16; those of bf16 also in pairs. */
size_t tt_depthwise_packed_bytes(tt_dtype dtype, const int64_t dims[4]);
void tt_depthwise_pack(tt_dtype dtype, const void *weights, const int64_t dims[4],
                       const int64_t strides[4], void *packed);

/* dst_channels are the channels of both, src_channels is 1. */
size_t tt_depthwise_scratch_bytes(const tt_conv_own *kernel);
/* A tt_kernel of plan/lower.h. */
tt_status tt_depthwise_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_depthwise_name(const tt_conv_own *kernel);

/* ---- per instruction set ------------------------------------------------------- */

enum {
    TT_DEPTHWISE_LANES = 16, /* of the packed weights [channels / 16][h][w][16] */
    TT_DEPTHWISE_TILE = 7,   /* outputs */
    TT_DEPTHWISE_PAIR_CHANNELS = 32
};

/* Pairs of weights [channels / 32][rows / 2, columns or pairs of the last row][half][lane]
 * [2], of whole blocks of channels alone. */

/* Which channel of a block a lane has. */
static inline int tt_depthwise_pair_channel(int half, int lane)
{
    return lane / 4 * 8 + half * 4 + lane % 4;
}

/* Column of the first of the j-th pair of a row; the last of an odd number of columns
 * stands second in a pair whose first weight is 0. */
static inline int tt_depthwise_pair_column(int window, int j)
{
    return 2 * j + 1 < window ? 2 * j : window - 2;
}

/* Words of 32 bits of a block. */
static inline int64_t tt_depthwise_pair_words(int64_t h, int64_t w)
{
    return (h / 2 * w + h % 2 * ((w + 1) / 2)) * TT_DEPTHWISE_PAIR_CHANNELS;
}

/* A row of dst. */
typedef struct {
    const tt_conv_own *kernel;
    const void *const *rows; /* kernel_h of the image, or of zeros */
    const float *weights, *bias;
    const uint32_t *pairs;        /* of weights; NULL: not to be used */
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
