/* Depthwise convolution of u8 by s8, channels-last, without dilation, in integers.
 *
 * Four rows of the window are one dot product of four bytes (vpdpbusd): the bytes of
 * four rows of the image at one place are put side by side once, in a buffer, and serve
 * all columns of the window.  A single row that is left, as of five, is taken four
 * columns at a time.  Where there is no image stands the zero point, so that
 * its part of the sum is the same everywhere and goes into the offset:
 *
 *   dst = clamp(multiplier[c] * sum(src * weights) + offset[c], low, high)
 *
 * rounded to even and saturated when dst is u8 or s8. */
#ifndef TT_KERNELS_CONV_DEPTHWISE_H
#define TT_KERNELS_CONV_DEPTHWISE_H

#include <stddef.h>

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    int64_t batch, channels, src_h, src_w, dst_h, dst_w;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    tt_dtype dst; /* u8, s8, f32 */
    uint8_t src_zero_point;
    bool is_bounded; /* no result before it is clamped is beyond an int32 */
    float low, high;
    int n_slots; /* pieces the work is dealt to, each with scratch of its own */
} tt_conv_depthwise;

enum {
    TT_CONV_DEPTHWISE_SRC,
    TT_CONV_DEPTHWISE_WEIGHTS,    /* packed */
    TT_CONV_DEPTHWISE_MULTIPLIER, /* f32, by place; of channels rounded up to 16 */
    TT_CONV_DEPTHWISE_OFFSET,     /* the same */
    TT_CONV_DEPTHWISE_DST,
    TT_CONV_DEPTHWISE_SCRATCH,
    TT_CONV_DEPTHWISE_POINTERS
};

/* Channels come in wide blocks, and the rest in narrow ones.  In a wide block bytes are
 * interleaved and packed within quarters of a register, so that each of its four
 * vectors of sums holds four channels of each quarter. */
enum { TT_CONV_DEPTHWISE_WIDE = 64, TT_CONV_DEPTHWISE_NARROW = 16 };

/* Channels of the block that begins at channel c: 64, or up to 16. */
static inline int64_t tt_conv_depthwise_block(int64_t channels, int64_t c)
{
    int64_t left = channels - c;
    if (left >= TT_CONV_DEPTHWISE_WIDE) return TT_CONV_DEPTHWISE_WIDE;
    return left < TT_CONV_DEPTHWISE_NARROW ? left : TT_CONV_DEPTHWISE_NARROW;
}

/* Which sum channel c gets. */
static inline int64_t tt_conv_depthwise_place(int64_t channels, int64_t c)
{
    int64_t in = c % TT_CONV_DEPTHWISE_WIDE, first = c - in;
    if (channels - first < TT_CONV_DEPTHWISE_WIDE) return c;
    return first + in % 16 / 4 * 16 + in / 16 * 4 + in % 4;
}

/* Dot products of a window: four rows of a column; of a single row that is left over,
 * four columns. */
enum { TT_CONV_DEPTHWISE_QUAD = 4 };

static inline int64_t tt_conv_depthwise_quads(int64_t n)
{
    return (n + TT_CONV_DEPTHWISE_QUAD - 1) / TT_CONV_DEPTHWISE_QUAD;
}

static inline bool tt_conv_depthwise_has_single(int64_t kernel_h)
{
    return kernel_h % TT_CONV_DEPTHWISE_QUAD == 1;
}

static inline int64_t tt_conv_depthwise_products(int64_t kernel_h, int64_t kernel_w)
{
    bool has_single = tt_conv_depthwise_has_single(kernel_h);
    int64_t quads = tt_conv_depthwise_quads(kernel_h - (has_single ? 1 : 0));
    return quads * kernel_w + (has_single ? tt_conv_depthwise_quads(kernel_w) : 0);
}

/* Does saturation bound the results, once rounded, as much as they are to be? */
static inline bool tt_conv_depthwise_is_plain(const tt_conv_depthwise *k)
{
    return k->dst == TT_U8 && k->is_bounded && k->low <= 0.5f && k->high > 254.5f;
}

/* Is there a fast version for this processor? */
bool tt_conv_depthwise_is_fast(void);
size_t tt_conv_depthwise_packed_bytes(int64_t channels, int64_t kernel_h,
                                      int64_t kernel_w);
/* From [channels, kernel_h, kernel_w] with these strides. */
void tt_conv_depthwise_pack(const int8_t *weights, const int64_t dims[3],
                            const int64_t strides[3], int8_t *packed);
size_t tt_conv_depthwise_scratch_bytes(const tt_conv_depthwise *kernel);
/* A tt_kernel of plan/lower.h. */
tt_status tt_conv_depthwise_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_conv_depthwise_name(void);

/* ---- per instruction set ------------------------------------------------------- */

/* A block of channels of a piece of a row of dst. */
typedef struct {
    const tt_conv_depthwise *kernel;
    const uint8_t *const *rows; /* kernel_h, rounded up to 4: at pixel 0; missing
                                   ones and those behind the last are zero points */
    int64_t channel;            /* first of the block */
    const int8_t *weights;      /* of the block */
    const float *multiplier, *offset;
    uint8_t *buffer; /* columns of four bytes per channel */
    char *dst;       /* first pixel */
    int64_t x, n;    /* pixels of dst */
    int n_channels;  /* 64, or up to 16 */
} tt_conv_depthwise_row;

typedef struct {
    const char *name;
    void (*run)(const tt_conv_depthwise_row *row);
} tt_conv_depthwise_table;

extern const tt_conv_depthwise_table tt_conv_depthwise_scalar, tt_conv_depthwise_vnni;

#endif
