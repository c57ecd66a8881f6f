/* Winograd convolutions of bytes of random shapes against what their header says, in
 * doubles, and against the plain convolution that they stand for. */
#include <math.h>
#include <string.h>

#include "help_kernels_conv_u8s8.h"
#include "kernels/winograd_u8s8.h"

enum { N_TRIALS = 150, PLANES = TT_WINOGRAD_PLANES };

static void draw_shape(tt_conv_u8s8 *k)
{
    static const int channels[] = {1, 3, 4, 17, 64, 70};
    static const int to[] = {33, 64, 100, 128, 120};
    static const tt_dtype dtypes[] = {TT_U8, TT_U8, TT_S8, TT_F32};
    static const tt_dtype sums[] = {TT_DTYPE_NONE, TT_U8, TT_S8};
    *k = (tt_conv_u8s8){.batch = random_to(1, 3),
                        .src_channels = channels[random_to(0, 5)],
                        .dst_channels = to[random_to(0, 4)],
                        .src_h = random_to(1, 9),
                        .src_w = random_to(1, 12),
                        .kernel_h = 3,
                        .kernel_w = 3,
                        .stride_h = 1,
                        .stride_w = 1,
                        .pad_h = random_to(0, 3),
                        .pad_w = random_to(0, 3),
                        .dst = dtypes[random_to(0, 3)],
                        .sum = sums[random_to(0, 2)],
                        .sum_scale = .25f,
                        .src_zero_point = (uint8_t)random_to(0, 255),
                        .is_bounded = random_to(0, 3) > 0,
                        .n_slots = random_to(1, 3)};
    convolution_bound(k);
}

static void fill(convolution *c)
{
    convolution_fill(c, 1.0f / 1024.0f, 100.125f, tt_winograd_u8s8_packed_bytes,
                     tt_winograd_u8s8_pack, tt_winograd_u8s8_scratch_bytes(&c->kernel));
}

/* src less its zero point, 0 outside. */
static int src_at(const convolution *c, int64_t image, int64_t y, int64_t x,
                  int64_t channel)
{
    const tt_conv_u8s8 *k = &c->kernel;
    const uint8_t *src = c->ptrs[TT_CONV_U8S8_SRC];
    if (y < 0 || y >= k->src_h || x < 0 || x >= k->src_w) return 0;
    return src[((image * k->src_h + y) * k->src_w + x) * k->src_channels + channel] -
           k->src_zero_point;
}

static const int BT[4][4] = {
    {1, 0,  -1, 0 },
    {0, 1,  1,  0 },
    {0, -1, 1,  0 },
    {0, 1,  0,  -1}
};
static const int G2[4][3] = {
    {2, 0,  0},
    {1, 1,  1},
    {1, -1, 1},
    {0, 0,  2}
};
static const int AT[2][4] = {
    {1, 1, 1,  0 },
    {0, 1, -1, -1}
};

static int times_bt(const int d[4][4], int p)
{
    int sum = 0;
    for (int y = 0; y < 4; ++y)
        for (int x = 0; x < 4; ++x)
            sum += BT[p / 4][y] * BT[p % 4][x] * d[y][x];
    return sum;
}

static int times_g(const int8_t *g, int p)
{
    int sum = 0;
    for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 3; ++x)
            sum += G2[p / 4][y] * G2[p % 4][x] * g[3 * y + x];
    return sum;
}

/* A quarter, rounded as the header says; of bytes that count from their zero point. */
static int quarter(const tt_conv_u8s8 *k, int v, int p, int64_t channel)
{
    int half = channel % 2 == 0 ? 2 : 1;
    int x = (int)floor(
        (v + (p == TT_WINOGRAD_SUMS ? 4 * k->src_zero_point : 0) + half) / 4.0);
    if (p == TT_WINOGRAD_SUMS) return x - k->src_zero_point;
    return x < 127 ? x : 127;
}

typedef struct {
    double rounded, exact;
} results;

/* Products of the 16 planes at a tile, of one channel of dst. */
static void products(const convolution *c, int64_t image, int64_t top, int64_t left,
                     int64_t channel, double m[PLANES])
{
    const tt_conv_u8s8 *k = &c->kernel;
    const int8_t *weights = c->weights + channel * k->src_channels * 9;
    for (int p = 0; p < PLANES; ++p) {
        int most = 0;
        double sum = 0.0;
        for (int64_t i = 0; i < k->src_channels; ++i) {
            int u = times_g(weights + i * 9, p);
            if (most < (u < 0 ? -u : u)) most = u < 0 ? -u : u;
        }
        for (int64_t i = 0; i < k->src_channels && most > 0; ++i) {
            int d[4][4], w;
            for (int y = 0; y < 4; ++y)
                for (int x = 0; x < 4; ++x)
                    d[y][x] =
                        src_at(c, image, top - k->pad_h + y, left - k->pad_w + x, i);
            w = (int)lrintf((float)times_g(weights + i * 9, p) * 127.0f / (float)most);
            sum += quarter(k, times_bt((const int(*)[4])d, p), p, i) * w;
        }
        m[p] = sum * most / 127.0;
    }
}

static results expected(const convolution *c, int64_t pixel, int64_t channel)
{
    const tt_conv_u8s8 *k = &c->kernel;
    const uint8_t *added = c->ptrs[TT_CONV_U8S8_SUM];
    int64_t x = pixel % k->dst_w, row = pixel / k->dst_w, y = row % k->dst_h;
    int64_t image = row / k->dst_h, at = pixel * k->dst_channels + channel;
    const int8_t *weights = c->weights + channel * k->src_channels * 9;
    results r = {0};
    double m[PLANES];
    products(c, image, y / 2 * 2, x / 2 * 2, channel, m);
    for (int p = 0; p < PLANES; ++p)
        r.rounded += AT[y % 2][p / 4] * AT[x % 2][p % 4] * m[p];
    for (int64_t i = 0; i < k->src_channels; ++i)
        for (int j = 0; j < 9; ++j)
            r.exact += src_at(c, image, y - k->pad_h + j / 3, x - k->pad_w + j % 3, i) *
                       weights[i * 9 + j];
    r.rounded = r.rounded / 1024.0 + 100.125;
    r.exact = r.exact / 1024.0 + 100.125;
    if (k->sum == TT_U8) r.rounded += 0.25 * added[at], r.exact += 0.25 * added[at];
    if (k->sum == TT_S8)
        r.rounded += 0.25 * (int8_t)added[at], r.exact += 0.25 * (int8_t)added[at];
    r.rounded = fmin(fmax(r.rounded, (double)k->low), (double)k->high);
    r.exact = fmin(fmax(r.exact, (double)k->low), (double)k->high);
    return r;
}

/* Each result to half a unit, and all of them near the convolution; adds up squares of
 * the noise and of what would be there without a signal. */
static void check(const convolution *c, double *noise, double *signal)
{
    const tt_conv_u8s8 *k = &c->kernel;
    const uint8_t *dst = c->ptrs[TT_CONV_U8S8_DST];
    int64_t n = convolution_pixels(k);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = random_to(0, 6); j < k->dst_channels; j += 7) {
            results r = expected(c, i, j);
            int64_t at = i * k->dst_channels + j;
            double got = dst[at];
            if (k->dst == TT_S8) got = (int8_t)dst[at];
            if (k->dst == TT_F32) got = (double)((const float *)(const void *)dst)[at];
            CHECK(fabs(got - r.rounded) <= (k->dst == TT_F32 ? 1e-3 : 0.501));
            *noise += (r.rounded - r.exact) * (r.rounded - r.exact);
            *signal += (r.exact - 100.125) * (r.exact - 100.125);
        }
}

TT_TEST(winograd_u8s8_is_what_its_header_says)
{
    static convolution c;
    double noise = 0.0, signal = 0.0;
    int n = 0;
    for (int trial = 0; trial < N_TRIALS; ++trial) {
        tt_conv_u8s8 *k = &c.kernel;
        draw_shape(k);
        if (k->dst_h < 1 || k->dst_w < 1) continue;
        CHECK(tt_winograd_u8s8_can(k));
        fill(&c);
        CHECK_OK(tt_winograd_u8s8_run(k, c.ptrs, ERR));
        check(&c, &noise, &signal);
        convolution_empty(&c);
        ++n;
    }
    CHECK(n > N_TRIALS / 2);
    CHECK(10.0 * log10(signal / noise) > 28.0);
}

/* All that is rounded is zero: inputs that are equal, and weights of one sign. */
TT_TEST(winograd_u8s8_is_exact_where_nothing_is_rounded)
{
    static convolution c;
    tt_conv_u8s8 *k = &c.kernel;
    uint8_t *src;
    do
        draw_shape(k);
    while (k->dst_h < 1 || k->dst_w < 1 || k->dst != TT_U8 || k->sum != TT_DTYPE_NONE);
    k->src_zero_point = 8;
    fill(&c);
    src = c.ptrs[TT_CONV_U8S8_SRC];
    memset(src, 8, (size_t)(k->batch * k->src_h * k->src_w * k->src_channels));
    CHECK_OK(tt_winograd_u8s8_run(k, c.ptrs, ERR));
    for (size_t i = 0; i < convolution_dst_bytes(k); ++i)
        CHECK_INT(((uint8_t *)c.ptrs[TT_CONV_U8S8_DST])[i], 100);
    convolution_empty(&c);
}

TT_TEST(winograd_u8s8_works_in_place_of_what_it_adds)
{
    static convolution c;
    tt_conv_u8s8 *k = &c.kernel;
    double noise = 0.0, signal = 0.0;
    void *copy, *scratch;
    do
        draw_shape(k);
    while (k->dst_h < 1 || k->dst_w < 1 || k->sum != k->dst);
    fill(&c);
    copy = c.ptrs[TT_CONV_U8S8_SUM];
    scratch = c.ptrs[TT_CONV_U8S8_DST];
    memcpy(scratch, copy, convolution_dst_bytes(k));
    c.ptrs[TT_CONV_U8S8_SUM] = scratch;
    CHECK_OK(tt_winograd_u8s8_run(k, c.ptrs, ERR));
    c.ptrs[TT_CONV_U8S8_SUM] = copy;
    check(&c, &noise, &signal);
    convolution_empty(&c);
}

TT_TEST(winograd_u8s8_knows_what_it_cannot)
{
    tt_conv_u8s8 k = {.src_channels = 64,
                      .dst_channels = 64,
                      .kernel_h = 3,
                      .kernel_w = 3,
                      .stride_h = 1,
                      .stride_w = 1,
                      .dst = TT_U8};
    CHECK(tt_winograd_u8s8_can(&k));
    k.stride_w = 2;
    CHECK(!tt_winograd_u8s8_can(&k));
    k.stride_w = 1;
    k.kernel_h = 1;
    CHECK(!tt_winograd_u8s8_can(&k));
    k.kernel_h = 3;
    k.dst_channels = 80; /* a panel of 16 */
    CHECK(!tt_winograd_u8s8_can(&k));
}
