/* A piece of a row of a direct convolution: blocks of pixels by dst channels in
 * registers; compiled per instruction set (see simd.h). */
#include "kernels/conv_posts.inc.h"
#include "kernels/tile.inc.h"

/* The block that starts at pixel x and `channel`; `valid` of its m pixels are stored,
 * the others read what the caller's buffer has behind its end. */
static inline __attribute__((always_inline)) void
direct_block(const int m, const int n_vectors, const tt_conv_direct_row *row,
             const float *weights, int64_t x, int64_t valid, int64_t channel)
{
    const tt_conv_posts *posts = &row->kernel->posts;
    int64_t left = row->kernel->dst_channels - channel, step = row->kernel->dst_x;
    int64_t at = row->at + x * step + channel;
    vf sum[16][4];
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j) {
        int64_t n = left - j * VF_N < 0 ? 0 : left - j * VF_N;
        vf bias = vf_zero();
        if (row->bias != NULL)
            bias = vf_load_n(row->bias + channel + j * VF_N, n < VF_N ? n : VF_N);
#pragma GCC unroll 16
        for (int i = 0; i < m; ++i)
            sum[i][j] = bias;
    }
    for (int64_t t = 0; t < row->n_taps; ++t) {
        const float *item = row->taps[t] + x;
        vf column[4];
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
    if (posts->n == 0 && left >= n_vectors * VF_N) {
        if (posts->has_clamp) {
#pragma GCC unroll 16
            for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
                for (int j = 0; j < n_vectors; ++j)
                    sum[i][j] = posts_clamp(posts, sum[i][j]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < m; ++i) {
            if (i >= valid) return;
#pragma GCC unroll 4
            for (int j = 0; j < n_vectors; ++j)
                vf_store(row->dst + at + i * step + j * VF_N, sum[i][j]);
        }
        return;
    }
    float kept[16 * 4 * VF_N];
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; ++j)
            vf_store(kept + (i * n_vectors + j) * VF_N, sum[i][j]);
    for (int64_t i = 0; i < valid; ++i)
        for (int64_t j = 0; j < n_vectors && j * VF_N < left; ++j) {
            int64_t n = left - j * VF_N < VF_N ? left - j * VF_N : VF_N;
            posts_store(posts, row->operands, vf_load(kept + (i * n_vectors + j) * VF_N),
                        row->dst, at + i * step + j * VF_N, channel + j * VF_N, n);
        }
}

static inline __attribute__((always_inline)) void
direct_blocks(const int m, const int n_vectors, const tt_conv_direct_row *row,
              int64_t x, int64_t valid)
{
    int64_t width = n_vectors * VF_N;
    for (int64_t block = 0; block < row->blocks; ++block)
        direct_block(m, n_vectors, row, row->weights + block * row->n_taps * width, x,
                     valid, block * width);
}

/* Blocks of the full height, then of a third of it. */
static inline __attribute__((always_inline)) void
direct_pixels(const int n_vectors, const tt_conv_direct_row *row)
{
    const int full = TILE_M(n_vectors), part = (full + 2) / 3;
    int64_t x = 0;
    for (; row->n - x > full - part; x += full)
        direct_blocks(full, n_vectors, row, x, row->n - x < full ? row->n - x : full);
    for (; x < row->n; x += part)
        direct_blocks(part, n_vectors, row, x, row->n - x < part ? row->n - x : part);
}

static void direct_run(const tt_conv_direct_row *row)
{
    switch (row->vectors) {
    case 1:
        direct_pixels(1, row);
        break;
    case 2:
        direct_pixels(2, row);
        break;
#if TILE_VECTORS > 3
    case 4:
        direct_pixels(4, row);
        break;
#endif
    default:
        direct_pixels(3, row);
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
