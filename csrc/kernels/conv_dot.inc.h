/* Convolution to a few channels; compiled per instruction set (see simd.h).  A window
 * is rows of `n` floats; what hangs over the image is cut off its rows. */
#include "kernels/post_ops.inc.h"

enum { TOGETHER = 8 /* neighbours */ };

/* Windows of neighbours, `step` apart: `rows` runs of n floats each. */
typedef struct {
    const float *src, *weights;
    int64_t n, rows, src_row, weights_row, step;
} windows;

static void dots(const windows *w, float *out)
{
    vf sum[TOGETHER];
    for (int q = 0; q < TOGETHER; ++q)
        sum[q] = vf_zero();
    for (int64_t r = 0; r < w->rows; ++r) {
        const float *src = w->src + r * w->src_row;
        const float *weights = w->weights + r * w->weights_row;
        int64_t j = 0;
        for (; j + VF_N <= w->n; j += VF_N) {
            vf weight = vf_load(weights + j);
#pragma GCC unroll 8
            for (int q = 0; q < TOGETHER; ++q)
                sum[q] = vf_fma(vf_load(src + q * w->step + j), weight, sum[q]);
        }
        if (j < w->n) {
            vf weight = vf_load_n(weights + j, w->n - j);
#pragma GCC unroll 8
            for (int q = 0; q < TOGETHER; ++q)
                sum[q] =
                    vf_fma(vf_load_n(src + q * w->step + j, w->n - j), weight, sum[q]);
        }
    }
    vf_sums8(sum, out);
}

static float dot(const windows *w)
{
    vf sum = vf_zero();
    for (int64_t r = 0; r < w->rows; ++r) {
        const float *src = w->src + r * w->src_row;
        const float *weights = w->weights + r * w->weights_row;
        for (int64_t j = 0; j < w->n; j += VF_N) {
            int64_t n = w->n - j < VF_N ? w->n - j : VF_N;
            sum = vf_fma(vf_load_n(src + j, n), vf_load_n(weights + j, n), sum);
        }
    }
    return vf_sum(sum);
}

/* The window of pixel x; its first column in the kernel is cut off to the image. */
static windows window_at(const tt_conv_dot_row *row, int64_t x)
{
    const tt_conv_own *k = row->kernel;
    int64_t c = k->src_channels, line = k->kernel_w * c;
    int64_t top = row->y * k->stride_h - k->pad_h, left = x * k->stride_w - k->pad_w;
    int64_t first = top < 0 ? (-top + k->dilation_h - 1) / k->dilation_h : 0;
    int64_t fit = k->src_h - top;
    int64_t last = fit <= 0 ? 0 : (fit - 1) / k->dilation_h + 1;
    int64_t begin = left < 0 ? -left : 0;
    int64_t end = k->src_w - left < k->kernel_w ? k->src_w - left : k->kernel_w;
    if (last > k->kernel_h) last = k->kernel_h;
    if (end < begin) end = begin;
    if (last <= first || end == begin) return (windows){.rows = 0};
    return (windows){.src = row->src + (top + first * k->dilation_h) * k->src_y +
                            (left + begin) * c,
                     .weights = row->weights + first * line + begin * c,
                     .n = (end - begin) * c,
                     .rows = last - first,
                     .src_row = k->dilation_h * k->src_y,
                     .weights_row = line,
                     .step = k->stride_w * c};
}

/* Do the windows of this pixel and its neighbours lie within the width? */
static bool is_inside(const tt_conv_dot_row *row, int64_t x)
{
    const tt_conv_own *k = row->kernel;
    int64_t left = x * k->stride_w - k->pad_w;
    int64_t right = left + (TOGETHER - 1) * k->stride_w + k->kernel_w;
    return x + TOGETHER <= row->end && left >= 0 && right <= k->src_w;
}

/* Sums of n pixels, [channel][TOGETHER], go to dst. */
static void store(const tt_conv_dot_row *row, float sums[][TOGETHER], int64_t x,
                  int64_t n)
{
    const tt_conv_own *k = row->kernel;
    int64_t channels = k->dst_channels;
    if (channels == 1 && k->dst_x == 1 && !row->by_channel) { /* pixels are lanes */
        vf bias = vf_set1(row->bias != NULL ? row->bias[0] : 0.0f);
        for (int64_t q = 0; q < n; q += VF_N) {
            int64_t lanes = n - q < VF_N ? n - q : VF_N;
            posts_store(&k->posts, row->operands, vf_load_n(sums[0] + q, lanes) + bias,
                        row->dst, row->at + x + q, 0, lanes);
        }
        return;
    }
    for (int64_t q = 0; q < n; ++q) {
        float pixel[VF_N] = {0};
        for (int64_t o = 0; o < channels; ++o)
            pixel[o] = sums[o][q] + (row->bias != NULL ? row->bias[o] : 0.0f);
        posts_store(&k->posts, row->operands, vf_load(pixel), row->dst,
                    row->at + (x + q) * k->dst_x, 0, channels);
    }
}

static void run(const tt_conv_dot_row *row)
{
    const tt_conv_own *k = row->kernel;
    int64_t channel = k->kernel_h * k->kernel_w * k->src_channels;
    for (int64_t x = row->x, n; x < row->end; x += n) {
        float sums[TT_CONV_DOT_CHANNELS][TOGETHER];
        windows w = window_at(row, x);
        n = is_inside(row, x) ? TOGETHER : 1;
        for (int64_t o = 0; o < k->dst_channels; ++o, w.weights += channel) {
            if (w.rows == 0)
                for (int q = 0; q < TOGETHER; ++q)
                    sums[o][q] = 0.0f;
            else if (n == TOGETHER)
                dots(&w, sums[o]);
            else
                sums[o][0] = dot(&w);
        }
        store(row, sums, x, n);
    }
}

const tt_conv_dot_table TABLE = {TABLE_NAME, run};
