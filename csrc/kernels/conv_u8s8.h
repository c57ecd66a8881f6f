/* Convolution of u8 by s8, channels-last, without groups and dilation, as products of
 * matrices in integers.
 *
 * A row of the left matrix is what a pixel of dst sees, four taps at a time: with a
 * window of 1x1 in the image itself, else in a buffer of rows of the image, where the
 * zero point stands for what is outside.  Sums go from registers to dst:
 *
 *   x = multiplier[c] * sum((src - src_zero_point) * weights) + offset[c]
 *   dst = clamp(x + sum_scale * sum, low, high)
 *
 * rounded to even and saturated when dst is u8 or s8. */
#ifndef TT_KERNELS_CONV_U8S8_H
#define TT_KERNELS_CONV_U8S8_H

#include <stddef.h>

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    int64_t batch, src_channels, dst_channels, src_h, src_w, dst_h, dst_w;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    tt_dtype dst; /* u8, s8, f32 */
    tt_dtype sum; /* of what is added, as large as dst: u8, s8; or TT_DTYPE_NONE */
    float sum_scale;
    uint8_t src_zero_point;
    bool is_bounded; /* no x is beyond an int32 */
    float low, high;
    int n_slots; /* pieces the work is dealt to, each with scratch of its own */
} tt_conv_u8s8;

enum {
    TT_CONV_U8S8_SRC,
    TT_CONV_U8S8_WEIGHTS,    /* packed */
    TT_CONV_U8S8_MULTIPLIER, /* f32, by place; of channels rounded up to 64 */
    TT_CONV_U8S8_OFFSET,     /* the same */
    TT_CONV_U8S8_SUM,        /* channels-last; may be dst */
    TT_CONV_U8S8_DST,
    TT_CONV_U8S8_SCRATCH,
    TT_CONV_U8S8_POINTERS
};

/* Dst channels come in panels of 64, the last one of 32 where that is enough.  Within a
 * panel they are dealt to vectors of sums in fours, as saturating packs want them. */
enum { TT_CONV_U8S8_WIDE = 64, TT_CONV_U8S8_NARROW = 32 };

/* Sums of the panel that begins at channel `first`. */
static inline int64_t tt_conv_u8s8_width(int64_t channels, int64_t first)
{
    return channels - first > TT_CONV_U8S8_NARROW ? TT_CONV_U8S8_WIDE
                                                  : TT_CONV_U8S8_NARROW;
}

/* Which sum channel c gets. */
static inline int64_t tt_conv_u8s8_place(int64_t channels, int64_t c)
{
    int64_t in = c % TT_CONV_U8S8_WIDE, first = c - in;
    int64_t vectors = tt_conv_u8s8_width(channels, first) / 16;
    return first + in / 4 % vectors * 16 + in / 4 / vectors * 4 + in % 4;
}

/* Is there a fast version for this processor? */
bool tt_conv_u8s8_is_fast(void);
/* Does saturation bound the results, once rounded, as much as they are to be? */
static inline bool tt_conv_u8s8_is_plain(const tt_conv_u8s8 *k)
{
    return k->dst == TT_U8 && k->low <= 0.5f && k->high > 254.5f &&
           (k->sum == TT_DTYPE_NONE || k->sum == TT_U8);
}
/* Can it do this one at all? */
bool tt_conv_u8s8_can(const tt_conv_u8s8 *kernel);
/* False: too many. */
bool tt_conv_u8s8_packed_bytes(const int64_t dims[4], size_t *out);
/* From [dst channels, src channels, kernel_h, kernel_w] with these strides. */
void tt_conv_u8s8_pack(const int8_t *weights, const int64_t dims[4],
                       const int64_t strides[4], void *packed);
size_t tt_conv_u8s8_scratch_bytes(const tt_conv_u8s8 *kernel);
/* A tt_kernel of plan/lower.h. */
tt_status tt_conv_u8s8_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_conv_u8s8_name(void);

/* ---- per instruction set ------------------------------------------------------- */

/* Some pixels of a panel of channels. */
typedef struct {
    const tt_conv_u8s8 *kernel;
    const uint8_t *const *rows; /* what n pixels see; the last one twice */
    const int64_t *offsets;     /* from there on to groups of four taps */
    int64_t n, n_groups;
    const int8_t *weights; /* the panel: per group and sum four, then totals */
    const int8_t *next;    /* what is wanted after it */
    const float *multiplier, *offset;
    const uint8_t *sum; /* at the first pixel and channel, like dst */
    char *dst;
    int n_channels, width; /* 64, or up to 32 of 32 */
} tt_conv_u8s8_block;

typedef struct {
    const char *name;
    /* Every step-th of n bytes; reads and writes up to 64 behind them. */
    void (*copy)(uint8_t *to, const uint8_t *from, int64_t n, int64_t step);
    void (*run)(const tt_conv_u8s8_block *block);
} tt_conv_u8s8_table;

/* Totals of the weights, times the zero point, are taken out. */
static inline const int32_t *tt_conv_u8s8_totals(const tt_conv_u8s8_block *b)
{
    return (const int32_t *)(const void *)(b->weights + b->n_groups * 4 * b->width);
}

extern const tt_conv_u8s8_table tt_conv_u8s8_scalar, tt_conv_u8s8_vnni;

#endif
