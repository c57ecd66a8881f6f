/* What images look like, in a few numbers each, from some of their pixels.
 *
 * Of an image up to 16 rows are looked at, evenly spaced, and of a row up to 1024 pixels
 * in runs of 16: all of an image up to 16 rows and 1024 columns, a fifteenth of one
 * of 224 x 224.  Neighbours are those of the whole image; beyond its border it goes on
 * with the last pixel.  Results do not depend on the instruction set. */
#ifndef TT_WATCH_IMAGE_LOOK_H
#define TT_WATCH_IMAGE_LOOK_H

#include "base/cpu.h"
#include "base/dtype.h"
#include "base/status.h"

/* The numbers, in the units of the pixels unless it says something else.  "Gray" is the
 * mean of the first three channels. */
typedef enum {
    TT_LOOK_BRIGHTNESS,     /* mean of gray */
    TT_LOOK_CONTRAST,       /* standard deviation of gray */
    TT_LOOK_SATURATION,     /* mean of the largest minus the smallest channel */
    TT_LOOK_BLUR,           /* variance of gray's Laplacian (units squared) */
    TT_LOOK_EDGE_DENSITY,   /* share whose gradient is above half the contrast */
    TT_LOOK_NOISE,          /* Immerkaer's estimate of the noise's deviation */
    TT_LOOK_ENTROPY,        /* bits, of 64 bins from the least to the largest gray */
    TT_LOOK_ASPECT,         /* width / height */
    TT_LOOK_CHANNEL_0_MEAN, /* NaN for a channel that is not there */
    TT_LOOK_CHANNEL_1_MEAN,
    TT_LOOK_CHANNEL_2_MEAN,
    TT_N_IMAGE_LOOKS,
} tt_image_look;

/* Images side by side: dims and strides (in bytes, of any sign) in the order
 * image, channel, row, column. */
typedef struct {
    tt_dtype dtype; /* TT_U8 or TT_F32 */
    int64_t dims[4];
    int64_t strides[4];
    const char *data; /* need not be aligned */
} tt_images;

/* out: TT_N_IMAGE_LOOKS floats for each image; all but the aspect are NaN where a pixel
 * that was looked at is not finite, or a sum overflows.  TT_BAD_INPUT_TYPE for another
 * dtype, TT_BAD_INPUT where an image has no pixel, TT_NO_MEMORY. */
tt_status tt_images_look(const tt_images *images, tt_isa isa, float *out,
                         tt_error *err);

#endif
