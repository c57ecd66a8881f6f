/* Bytes to float32 through a table: see image_lut.h. */
#include "kernels/image_lut.h"

/* Blocks of pixels whose bytes stay in L1 while each plane is written. */
enum { BLOCK = 4096 };

static void run_planes(const tt_image_lut *lut, const uint8_t *src, float *dst,
                       int64_t begin, int64_t end)
{
    int64_t step = lut->n_channels;
    for (int c = 0; c < lut->n_channels; ++c) {
        const float *table = lut->table + c * 256;
        const uint8_t *from = src + lut->from[c];
        float *plane = dst + c * lut->n_pixels;
        for (int64_t i = begin; i < end; ++i)
            plane[i] = table[from[i * step]];
    }
}

void tt_image_lut_run(const tt_image_lut *lut, const uint8_t *src, float *dst)
{
    if (lut->is_planar) {
        for (int64_t i = 0; i < lut->n_pixels; i += BLOCK)
            run_planes(lut, src, dst, i,
                       lut->n_pixels - i < BLOCK ? lut->n_pixels : i + BLOCK);
        return;
    }
    for (int64_t i = 0; i < lut->n_pixels; ++i)
        for (int c = 0; c < lut->n_channels; ++c)
            dst[i * lut->n_channels + c] =
                lut->table[c * 256 + src[i * lut->n_channels + lut->from[c]]];
}
