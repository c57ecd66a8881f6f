/* A piece of a row of a direct convolution: blocks of pixels by dst channels in
 * registers; compiled per instruction set (see simd.h). */
#include "kernels/post_ops.inc.h"
#include "kernels/tile.inc.h"

/* Stores a block whose results go through steps, which need registers themselves. */
static inline __attribute__((always_inline)) void direct_keep(
    const int m, const int n_vectors, const tt_conv_direct_row *row, vf sum[16][4],
    int64_t at, int64_t valid, int64_t channel)
{
    const tt_post_ops *posts = &row->kernel->posts;
    int64_t left = row->kernel->dst_channels - channel, step = row->kernel->dst_x;
    float kept[16 * 4 * VF_N];
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; ++j)
            vf_store(kept + (i * n_vectors + j) * VF_N, sum[i][j]);
    for (int64_t i = 0; i < m && i < valid; ++i)
        for (int64_t j = 0; j < n_vectors && j * VF_N < left; ++j) {
            int64_t n = left - j * VF_N < VF_N ? left - j * VF_N : VF_N;
            vf x = vf_load(kept + (i * n_vectors + j) * VF_N);
            int64_t to = at + i * step + j * VF_N, first = channel + j * VF_N;
            x = posts_steps(posts, row->operands, x, to, first, n);
            vf_store_n(row->dst + to, x, n);
        }
}

/* The block that starts at pixel x and `channel`; the first `valid` of its m pixels are
 * stored,
 * the others read what the caller's buffer has behind its end. */
static inline __attribute__((always_inline)) void direct_block(
    const int m, const int n_vectors, const tt_conv_direct_row *row,
    const float *weights, int64_t x, int64_t valid, int64_t channel)
{
    const tt_post_ops *posts = &row->kernel->posts;
    int64_t left = row->kernel->dst_channels - channel, step = row->kernel->dst_x;
    int64_t at = row->at + x * step + channel;
    vf sum[16][4];
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j) {
        int64_t n = left - j * VF_N;
        vf bias = vf_zero();
        if (row->bias != NULL && n > 0)
            bias = vf_load_n(row->bias + channel + j * VF_N, n < VF_N ? n : VF_N);
#pragma GCC unroll 16
        for (int i = 0; i < m; ++i)
            sum[i][j] = bias;
    }
    for (int64_t t = 0; t < row->n_taps; ++t) {
        const float *item = row->taps[t] + x;
        vf column[4];
        /* or gcc keeps x + i for every i, in more registers than there are */
        __asm__("" : "+r"(item));
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; ++j)
            column[j] = vf_load(weights + (t * n_vectors + j) * VF_N);
#pragma GCC unroll 16
        for (int i = 0; i < m; ++i) {
            vf broadcast = vf_set1(item[i]);
#pragma GCC unroll 4
            for (int j = 0; j < n_vectors; ++j)
                sum[i][j] = vf_fma(broadcast, column[j], sum[i][j]);
        }
    }
    if (posts->has_clamp) {
#pragma GCC unroll 16
        for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
            for (int j = 0; j < n_vectors; ++j)
                sum[i][j] = posts_clamp(posts, sum[i][j]);
    }
    if (posts->n > 0) {
        direct_keep(m, n_vectors, row, sum, at, valid, channel);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i) {
        float *to = row->dst + at + i * step;
        if (i >= valid) return;
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; ++j)
            if (left >= (j + 1) * VF_N)
                vf_store(to + j * VF_N, sum[i][j]);
            else if (left > j * VF_N)
                vf_store_n(to + j * VF_N, sum[i][j], left - j * VF_N);
    }
}

/* Blocks of dst channels [block, end): blocks of pixels of the full height, then of a
 * third of it. */
static inline __attribute__((always_inline)) void direct_pixels(
    const int n_vectors, const tt_conv_direct_row *row, int64_t block, int64_t end)
{
    const int full = TILE_M(n_vectors), part = (full + 2) / 3;
    int64_t width = n_vectors * VF_N, each = row->n_taps * width, x = 0;
    for (; row->n - x > full - part; x += full)
        for (int64_t i = block; i < end; ++i)
            direct_block(full, n_vectors, row, row->weights + i * each, x, row->n - x,
                         i * width);
    for (; x < row->n; x += part)
        for (int64_t i = block; i < end; ++i)
            direct_block(part, n_vectors, row, row->weights + i * each, x, row->n - x,
                         i * width);
}

/* Few weights: all channels of a pixel at once, which writes dst in order.  Many: a
 * block of channels at a time, whose weights stay in L1. */
static inline __attribute__((always_inline)) void direct_channels(
    const int n_vectors, const tt_conv_direct_row *row)
{
    enum { FEW = 4096 };
    int64_t step = row->blocks;
    if (row->blocks * row->n_taps * n_vectors * VF_N > FEW) step = 1;
    for (int64_t block = 0; block < row->blocks; block += step)
        direct_pixels(n_vectors, row, block, block + step);
}

static void direct_run(const tt_conv_direct_row *row)
{
    switch (row->vectors) {
    case 1:
        direct_channels(1, row);
        break;
    case 2:
        direct_channels(2, row);
        break;
#if TILE_VECTORS > 3
    case 4:
        direct_channels(4, row);
        break;
#endif
    default:
        direct_channels(3, row);
    }
}

static void direct_gather(const float *src, int64_t stride, float *dst, int64_t n)
{
    if (stride == 1)
        memcpy(dst, src, (size_t)n * sizeof *dst);
    else if (stride == 2)
        for (int64_t i = 0; i < n; ++i)
            dst[i] = src[2 * i];
    else if (stride == 3)
        for (int64_t i = 0; i < n; ++i)
            dst[i] = src[3 * i];
    else
        for (int64_t i = 0; i < n; ++i)
            dst[i] = src[i * stride];
}

const tt_conv_direct_table TABLE = {TABLE_NAME, VF_N, TILE_VECTORS, direct_run,
                                    direct_gather};
