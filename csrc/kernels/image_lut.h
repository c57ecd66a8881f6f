/* Bytes of pictures to float32 through a table, and to another layout on the way. */
#ifndef TT_KERNELS_IMAGE_LUT_H
#define TT_KERNELS_IMAGE_LUT_H

#include <stdbool.h>
#include <stdint.h>

enum { TT_IMAGE_LUT_MAX_CHANNELS = 64 };

typedef struct {
    int64_t n_pixels;
    int n_channels;     /* 1 to TT_IMAGE_LUT_MAX_CHANNELS */
    bool is_planar;     /* dst: one plane per channel, else interleaved like src */
    const int *from;    /* source channel of each channel */
    const float *table; /* n_channels x 256 */
} tt_image_lut;

/* dst[pixel, c] = table[c, src[pixel, from[c]]] */
void tt_image_lut_run(const tt_image_lut *lut, const uint8_t *src, float *dst);

#endif
