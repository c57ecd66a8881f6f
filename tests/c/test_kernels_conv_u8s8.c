/* Convolutions of u8 by s8 of random shapes against plain loops, in memory that ends
 * where the tensors end. */
#include <math.h>
#include <string.h>

#include "help_kernels_conv_u8s8.h"

enum { N_TRIALS = 400 };

static void draw_shape(tt_conv_u8s8 *k)
{
    static const int channels[] = {1, 2, 3, 4, 8, 12, 17, 64};
    static const tt_dtype dtypes[] = {TT_U8, TT_U8, TT_S8, TT_F32};
    static const tt_dtype sums[] = {TT_DTYPE_NONE, TT_U8, TT_S8};
    *k = (tt_conv_u8s8){.batch = random_to(1, 2),
                        .src_channels = channels[random_to(0, 7)],
                        .dst_channels = random_to(1, 140),
                        .src_h = random_to(1, 9),
                        .src_w = random_to(1, 20),
                        .kernel_h = random_to(1, 3),
                        .kernel_w = random_to(1, 4),
                        .stride_h = random_to(1, 3),
                        .stride_w = random_to(1, 3),
                        .pad_h = random_to(0, 2),
                        .pad_w = random_to(0, 2),
                        .dst = dtypes[random_to(0, 3)],
                        .sum = sums[random_to(0, 2)],
                        .sum_scale = .25f,
                        .src_zero_point = (uint8_t)random_to(0, 255),
                        .is_bounded = random_to(0, 3) > 0,
                        .n_slots = random_to(1, 3)};
    if (random_to(0, 1)) k->kernel_h = k->kernel_w = 1;
    if (random_to(0, 1)) k->pad_h = k->pad_w = 0;
    convolution_bound(k);
}

static void fill(convolution *c)
{
    convolution_fill(c, 1.0f / 512.0f, 0.125f, tt_conv_u8s8_packed_bytes,
                     tt_conv_u8s8_pack, tt_conv_u8s8_scratch_bytes(&c->kernel));
}

/* Scales are powers of two and offsets eighths: nothing but the result is rounded. */
static double expected(const convolution *c, int64_t pixel, int64_t channel)
{
    const tt_conv_u8s8 *k = &c->kernel;
    const uint8_t *src = c->ptrs[TT_CONV_U8S8_SRC];
    const uint8_t *added = c->ptrs[TT_CONV_U8S8_SUM];
    int64_t x = pixel % k->dst_w * k->stride_w - k->pad_w, row = pixel / k->dst_w;
    int64_t y = row % k->dst_h * k->stride_h - k->pad_h, total = 0;
    int64_t at = pixel * k->dst_channels + channel;
    double result;
    for (int64_t i = 0; i < k->src_channels; ++i)
        for (int64_t j = 0; j < k->kernel_h; ++j)
            for (int64_t l = 0; l < k->kernel_w; ++l) {
                int64_t v = y + j, u = x + l, line = row / k->dst_h * k->src_h + v;
                int64_t w =
                    ((channel * k->src_channels + i) * k->kernel_h + j) * k->kernel_w +
                    l;
                if (v < 0 || v >= k->src_h || u < 0 || u >= k->src_w) continue;
                total += (src[(line * k->src_w + u) * k->src_channels + i] -
                          k->src_zero_point) *
                         c->weights[w];
            }
    result = (double)total / 512.0 + 0.125;
    if (k->sum == TT_U8) result += 0.25 * added[at];
    if (k->sum == TT_S8) result += 0.25 * (int8_t)added[at];
    return fmin(fmax(result, (double)k->low), (double)k->high);
}

static void check(const convolution *c)
{
    const tt_conv_u8s8 *k = &c->kernel;
    const void *dst = c->ptrs[TT_CONV_U8S8_DST];
    for (int64_t i = 0; i < convolution_pixels(k); ++i)
        for (int64_t j = 0; j < k->dst_channels; ++j) {
            int64_t at = i * k->dst_channels + j;
            double x = expected(c, i, j);
            if (k->dst == TT_F32)
                CHECK_NEAR((double)((const float *)dst)[at], x, 1e-4);
            else if (k->dst == TT_U8)
                CHECK_INT(((const uint8_t *)dst)[at], rint(x));
            else
                CHECK_INT(((const int8_t *)dst)[at], rint(x));
        }
}

TT_TEST(conv_u8s8_is_what_its_header_says)
{
    static convolution c;
    int n = 0;
    for (int trial = 0; trial < N_TRIALS; ++trial) {
        tt_conv_u8s8 *k = &c.kernel;
        draw_shape(k);
        if (k->dst_h < 1 || k->dst_w < 1 || !tt_conv_u8s8_can(k)) continue;
        fill(&c);
        CHECK_OK(tt_conv_u8s8_run(k, c.ptrs, ERR));
        check(&c);
        convolution_empty(&c);
        ++n;
    }
    CHECK(n > N_TRIALS / 3);
}

TT_TEST(conv_u8s8_works_in_place_of_what_it_adds)
{
    static convolution c;
    tt_conv_u8s8 *k = &c.kernel;
    size_t n;
    void *copy, *scratch;
    do
        draw_shape(k);
    while (k->dst_h < 1 || k->dst_w < 1 || !tt_conv_u8s8_can(k) || k->dst == TT_F32 ||
           k->sum != k->dst);
    fill(&c);
    n = convolution_dst_bytes(k);
    copy = c.ptrs[TT_CONV_U8S8_SUM];
    scratch = c.ptrs[TT_CONV_U8S8_DST];
    memcpy(scratch, copy, n);
    c.ptrs[TT_CONV_U8S8_SUM] = scratch;
    CHECK_OK(tt_conv_u8s8_run(k, c.ptrs, ERR));
    c.ptrs[TT_CONV_U8S8_SUM] = copy;
    check(&c);
    convolution_empty(&c);
}
