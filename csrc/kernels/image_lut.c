/* Bytes to float32 through a table: see image_lut.h. */
#include "kernels/image_lut.h"

/* Blocks of pixels whose bytes stay in L1 while each channel is written. */
enum { BLOCK = 2048 };

/* Every step-th byte to every to-th float; eight independent loads at a time, since one
 * alone waits for its byte. */
static inline void run_channel(const float *restrict table, const uint8_t *restrict src,
                               int64_t step, float *restrict dst, int64_t to, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8, src += 8 * step, dst += 8 * to) {
        float a = table[src[0]], b = table[src[step]];
        float c = table[src[2 * step]], d = table[src[3 * step]];
        float e = table[src[4 * step]], f = table[src[5 * step]];
        float g = table[src[6 * step]], h = table[src[7 * step]];
        dst[0] = a;
        dst[to] = b;
        dst[2 * to] = c;
        dst[3 * to] = d;
        dst[4 * to] = e;
        dst[5 * to] = f;
        dst[6 * to] = g;
        dst[7 * to] = h;
    }
    for (; i < n; ++i, src += step, dst += to)
        *dst = table[*src];
}

void tt_image_lut_run(const tt_image_lut *lut, const uint8_t *src, float *dst)
{
    int64_t step = lut->n_channels;
    int64_t to = lut->is_planar ? 1 : step, plane = lut->is_planar ? lut->n_pixels : 1;
    for (int64_t i = 0; i < lut->n_pixels; i += BLOCK) {
        int64_t n = lut->n_pixels - i < BLOCK ? lut->n_pixels - i : BLOCK;
        for (int c = 0; c < lut->n_channels; ++c) {
            const float *table = lut->table + c * 256;
            const uint8_t *from = src + i * step + lut->from[c];
            float *at = dst + i * to + c * plane;
            if (step == 3 && to == 1)
                run_channel(table, from, 3, at, 1, n);
            else if (to == 1)
                run_channel(table, from, step, at, 1, n);
            else
                run_channel(table, from, step, at, step, n);
        }
    }
}
