/* A group of Winograd tiles: transform the inputs, 36 matrix products per block of dst
 * channels, transform back; compiled per instruction set (see simd.h). */
#include "kernels/post_ops.inc.h"
#include "kernels/tile.inc.h"

enum { WINOGRAD_K = 128 }; /* src channels whose weights stay in L1 */

static const float WINOGRAD_A = 0.707106781f, WINOGRAD_B = 1.41421356f;

/* B^T d for the points 0, a, -a, b, -b, infinity; a^2 = 1/2, b^2 = 2. */
static inline void winograd_forward(const vf d[6], vf v[6])
{
    const vf a = vf_set1(WINOGRAD_A), b = vf_set1(WINOGRAD_B), half = vf_set1(-0.5f);
    const vf two = vf_set1(-2.0f), sum = vf_set1(-2.5f);
    vf even = vf_fma(two, d[2], d[4]), odd = a * vf_fma(two, d[1], d[3]);
    v[0] = vf_fma(sum, d[2], d[0] + d[4]);
    v[5] = vf_fma(sum, d[3], d[1] + d[5]);
    v[1] = even + odd;
    v[2] = even - odd;
    even = vf_fma(half, d[2], d[4]);
    odd = b * vf_fma(half, d[1], d[3]);
    v[3] = even + odd;
    v[4] = even - odd;
}

/* A^T m. */
static inline void winograd_back(const vf m[6], vf y[4])
{
    vf p = m[1] + m[2], q = m[3] + m[4];
    vf r = vf_set1(WINOGRAD_A) * (m[1] - m[2]), u = vf_set1(WINOGRAD_B) * (m[3] - m[4]);
    y[0] = m[0] + p + q;
    y[1] = r + u;
    y[2] = vf_fma(vf_set1(0.5f), p, q + q);
    y[3] = vf_fma(vf_set1(0.5f), r, u + u) + m[5];
}

/* ---- inputs ----------------------------------------------------------------------- */

/* Where the 36 inputs of a tile are. */
static void winograd_locate(const tt_winograd_group *g, int64_t tile,
                            const float *from[36])
{
    const tt_conv_own *k = g->kernel;
    int64_t across = (k->dst_w + 3) / 4, down = (k->dst_h + 3) / 4;
    int64_t left = tile % across * 4 - k->pad_w;
    int64_t top = tile / across % down * 4 - k->pad_h;
    const float *image = g->src + tile / (across * down) * k->src_n;
    for (int64_t y = 0; y < 6; ++y)
        for (int64_t x = 0; x < 6; ++x) {
            bool inside = top + y >= 0 && top + y < k->src_h && left + x >= 0 &&
                          left + x < k->src_w;
            from[y * 6 + x] = inside
                                  ? image + (top + y) * k->src_y + (left + x) * k->src_x
                                  : g->zeros;
        }
}

static inline void winograd_input(const float *const from[36], int64_t channel,
                                  int64_t n, float *to, int64_t plane)
{
    vf columns[6][6];
#pragma GCC unroll 6
    for (int x = 0; x < 6; ++x) {
        vf d[6], v[6];
#pragma GCC unroll 6
        for (int y = 0; y < 6; ++y)
            d[y] = n == VF_N ? vf_load(from[y * 6 + x] + channel)
                             : vf_load_n(from[y * 6 + x] + channel, n);
        winograd_forward(d, v);
#pragma GCC unroll 6
        for (int y = 0; y < 6; ++y)
            columns[y][x] = v[y];
    }
#pragma GCC unroll 6
    for (int y = 0; y < 6; ++y) {
        vf v[6];
        winograd_forward(columns[y], v);
#pragma GCC unroll 6
        for (int x = 0; x < 6; ++x)
            vf_store(to + (y * 6 + x) * plane, v[x]);
    }
}

static int64_t winograd_rounded(int64_t channels)
{
    return (channels + VF_N - 1) / VF_N * VF_N;
}

static void winograd_inputs(const tt_winograd_group *g)
{
    int64_t channels = g->kernel->src_channels, row = winograd_rounded(channels);
    for (int64_t i = 0; i < g->n; ++i) {
        const float *from[36];
        float *to = g->inputs + i * row;
        int64_t c = 0;
        winograd_locate(g, g->first + i, from);
        for (; c + VF_N <= channels; c += VF_N)
            winograd_input(from, c, VF_N, to + c, g->input_plane);
        if (c < channels) winograd_input(from, c, channels - c, to + c, g->input_plane);
    }
    /* what products of whole blocks of rows read behind the last tile */
    for (int64_t plane = 0; plane < 36; ++plane)
        memset(g->inputs + plane * g->input_plane + g->n * row, 0,
               (size_t)((g->padded_n - g->n) * row) * sizeof(float));
}

/* ---- products --------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void winograd_product(
    const tt_winograd_group *g, const int n_vectors, const float *a, const float *b,
    float *dst)
{
    const int rows = TILE_M(n_vectors);
    int64_t channels = g->kernel->src_channels, a_row = winograd_rounded(channels);
    int64_t width = n_vectors * VF_N;
    for (int64_t c = 0; c < channels; c += WINOGRAD_K) {
        int64_t k = channels - c < WINOGRAD_K ? channels - c : WINOGRAD_K;
        for (int64_t i = 0; i < g->padded_n; i += rows)
            tile(rows, n_vectors, k, a + i * a_row + c, a_row, 1, b + c * width, width,
                 dst + i * width, width, c > 0);
    }
}

static void winograd_products(const tt_winograd_group *g, int64_t block)
{
    int64_t each = g->kernel->src_channels * g->cut.vectors * VF_N;
    const float *weights = g->weights + block * 36 * each;
    for (int64_t i = 0; i < 36; ++i) {
        const float *a = g->inputs + i * g->input_plane, *b = weights + i * each;
        float *dst = g->products + i * g->product_plane;
        switch (g->cut.vectors) {
        case 1:
            winograd_product(g, 1, a, b, dst);
            break;
        case 2:
            winograd_product(g, 2, a, b, dst);
            break;
#if TILE_VECTORS > 3
        case 4:
            winograd_product(g, 4, a, b, dst);
            break;
#endif
        default:
            winograd_product(g, 3, a, b, dst);
        }
    }
}

/* ---- outputs ---------------------------------------------------------------------- */

/* One vector of channels of a tile: rows x columns outputs from dst + at on. */
static inline void winograd_output(const tt_winograd_group *g, const float *from,
                                   int64_t at, int64_t rows, int64_t columns,
                                   int64_t channel, int64_t n)
{
    const tt_conv_own *k = g->kernel;
    vf half[4][6], bias = vf_zero();
    if (g->bias != NULL) bias = vf_load_n(g->bias + channel, n);
#pragma GCC unroll 6
    for (int x = 0; x < 6; ++x) {
        vf m[6], y[4];
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i)
            m[i] = vf_load(from + (i * 6 + x) * g->product_plane);
        winograd_back(m, y);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            half[i][x] = y[i];
    }
    for (int64_t i = 0; i < rows; ++i) {
        vf y[4];
        winograd_back(half[i], y);
        for (int64_t x = 0; x < columns; ++x)
            posts_store(&k->posts, g->operands, y[x] + bias, g->dst,
                        at + i * k->dst_y + x * k->dst_x, channel, n);
    }
}

static void winograd_outputs(const tt_winograd_group *g, int64_t block)
{
    const tt_conv_own *k = g->kernel;
    int64_t across = (k->dst_w + 3) / 4, down = (k->dst_h + 3) / 4;
    int64_t width = g->cut.vectors * VF_N, start = block * width;
    for (int64_t i = 0; i < g->n; ++i) {
        int64_t tile = g->first + i, left = tile % across * 4;
        int64_t top = tile / across % down * 4;
        int64_t rows = k->dst_h - top < 4 ? k->dst_h - top : 4;
        int64_t columns = k->dst_w - left < 4 ? k->dst_w - left : 4;
        int64_t at =
            tile / (across * down) * k->dst_n + top * k->dst_y + left * k->dst_x;
        for (int64_t c = 0; c < width && start + c < k->dst_channels; c += VF_N) {
            int64_t left_over = k->dst_channels - start - c;
            winograd_output(g, g->products + i * width + c, at + start + c, rows,
                            columns, start + c, left_over < VF_N ? left_over : VF_N);
        }
    }
}

static void winograd_group(const tt_winograd_group *g)
{
    winograd_inputs(g);
    for (int64_t block = 0; block < g->cut.blocks; ++block) {
        winograd_products(g, block);
        winograd_outputs(g, block);
    }
}

const tt_winograd_table TABLE = {
    TABLE_NAME,
    VF_N,
    TILE_VECTORS,
    {TILE_M(1), TILE_M(2), TILE_M(3), TILE_M(4)},
    winograd_group
};
