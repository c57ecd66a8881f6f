/* dnnl/: convolution, deconvolution, pooling, resampling against loops in double. */
#include <math.h>
#include <string.h>

#include "help_dnnl.h"

CREATOR(new_conv, tt_conv_new, tt_conv_params)
CREATOR(new_deconv, tt_deconv_new, tt_conv_params)
CREATOR(new_pool, tt_pool_new, tt_pool_params)
CREATOR(new_resampling, tt_resampling_new, tt_unary_params)

enum { MAX_OUT = 8192 };
static double expected[MAX_OUT];

/* Two spatial dims; weights [g, oc/g, ic/g, kh, kw]; adds bias and clips below 0. */
static void conv_loop(const tensor *src, const tensor *weights, const tensor *bias,
                      const tt_conv_params *p, const tensor *dst, bool relu)
{
    const int64_t *n = dst->md.dims, *k = weights->md.dims;
    int64_t i = 0;
    for (int64_t b = 0; b < n[0]; ++b)
        for (int64_t oc = 0; oc < n[1]; ++oc)
            for (int64_t y = 0; y < n[2]; ++y)
                for (int64_t x = 0; x < n[3]; ++x, ++i) {
                    int64_t g = oc / k[1];
                    double sum = get(bias, oc);
                    for (int64_t ic = 0; ic < k[2]; ++ic)
                        for (int64_t u = 0; u < k[3]; ++u)
                            for (int64_t v = 0; v < k[4]; ++v)
                                sum += at(weights, g, oc % k[1], ic, u, v) *
                                       at(src, b, g * k[2] + ic,
                                          y * p->strides[0] - p->pads_begin[0] +
                                              u * (p->dilations[0] + 1),
                                          x * p->strides[1] - p->pads_begin[1] +
                                              v * (p->dilations[1] + 1),
                                          0);
                    expected[i] = relu && sum < 0 ? 0 : sum;
                }
}

/* The order of channels is the tensors'; groups of one are given as no groups. */
static void try_conv(const way *w, int groups, int ic, int oc, int stride, int dilation)
{
    int h = 9, kernel = 3, pad = 1;
    int out = (h + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
    tensor src = tensor_channels_last(TT_F32, 2, ic, h, h, DIMS_END);
    tensor weights = tensor_row_major(TT_F32, groups, oc / groups, ic / groups, kernel,
                                      kernel, DIMS_END);
    tensor bias = tensor_row_major(TT_F32, oc, DIMS_END);
    tensor dst = tensor_channels_last(TT_F32, 2, oc, out, out, DIMS_END);
    tt_conv_params p = {
        .src = src.md,
        .weights = any_layout(&weights),
        .bias = bias.md,
        .dst = dst.md,
        .strides = {stride,       stride      },
        .dilations = {dilation - 1, dilation - 1},
        .pads_begin = {pad,          pad         },
        .pads_end = {pad,          pad         },
        .attr = tt_attr_default()
    };
    operand operands[] = {
        {TT_ARG_SRC,     &src    },
        {TT_ARG_WEIGHTS, &weights},
        {TT_ARG_BIAS,    &bias   },
        {TT_ARG_DST,     &dst    }
    };
    p.attr.n_posts = 1;
    p.attr.posts[0] = (tt_post){.kind = TT_POST_ELTWISE, .alg = TT_ALG_RELU};
    run_prim(w, new_conv, &p, operands, 4);
    conv_loop(&src, &weights, &bias, &p, &dst, /*relu=*/true);
    check_close(&dst, expected, 1e-4);
    tensor_free(&src);
    tensor_free(&weights);
    tensor_free(&bias);
    tensor_free(&dst);
}

static void conv_in_way(const way *w)
{
    try_conv(w, 1, 3, 16, 2, 1);
    try_conv(w, 1, 16, 32, 1, 1);
    try_conv(w, 1, 7, 5, 1, 2);
    try_conv(w, 2, 8, 6, 1, 1);
    try_conv(w, 16, 16, 16, 1, 1);
}

TT_TEST(convolutions_with_bias_and_relu_match_the_definition)
{
    for_every_way(conv_in_way);
}

/* One spatial dim in the conv's own rank. */
static void conv_1d_in_way(const way *w)
{
    tensor src = tensor_row_major(TT_F32, 1, 4, 20, DIMS_END);
    tensor weights = tensor_row_major(TT_F32, 6, 4, 5, DIMS_END);
    tensor dst = tensor_row_major(TT_F32, 1, 6, 18, DIMS_END);
    tt_conv_params p = {.src = src.md,
                        .weights = any_layout(&weights),
                        .dst = dst.md,
                        .strides = {1},
                        .pads_begin = {0},
                        .pads_end = {2},
                        .attr = tt_attr_default()};
    operand operands[] = {
        {TT_ARG_SRC,     &src    },
        {TT_ARG_WEIGHTS, &weights},
        {TT_ARG_DST,     &dst    }
    };
    run_prim(w, new_conv, &p, operands, 3);
    for (int64_t oc = 0, i = 0; oc < 6; ++oc)
        for (int64_t x = 0; x < 18; ++x, ++i) {
            expected[i] = 0;
            for (int64_t ic = 0; ic < 4; ++ic)
                for (int64_t k = 0; k < 5; ++k)
                    expected[i] +=
                        at(&src, 0, ic, x + k, 0, 0) * at(&weights, oc, ic, k, 0, 0);
        }
    check_close(&dst, expected, 1e-4);
    tensor_free(&src);
    tensor_free(&weights);
    tensor_free(&dst);
}

TT_TEST(convolutions_of_one_spatial_dim_pad_at_either_end)
{
    for_every_way(conv_1d_in_way);
}

/* dst starts as the residual: dst = conv + dst, and then times a binary operand. */
static void conv_sum_in_way(const way *w)
{
    tensor src = tensor_channels_last(TT_F32, 1, 16, 6, 6, DIMS_END);
    tensor weights = tensor_row_major(TT_F32, 16, 16, 1, 1, DIMS_END);
    tensor dst = tensor_channels_last(TT_F32, 1, 16, 6, 6, DIMS_END);
    tensor factor = tensor_row_major(TT_F32, 1, 16, 1, 1, DIMS_END);
    tensor before = tensor_copy(&dst);
    tt_conv_params p = {
        .src = src.md,
        .weights = any_layout(&weights),
        .dst = dst.md,
        .strides = {1, 1},
        .attr = tt_attr_default()
    };
    operand operands[] = {
        {TT_ARG_SRC,      &src    },
        {TT_ARG_WEIGHTS,  &weights},
        {TT_ARG_DST,      &dst    },
        {TT_ARG_POST + 1, &factor }
    };
    p.attr.n_posts = 2;
    p.attr.posts[0] = (tt_post){.kind = TT_POST_SUM, .scale = 0.5f};
    p.attr.posts[1] =
        (tt_post){.kind = TT_POST_BINARY, .alg = TT_ALG_MUL, .operand = factor.md};
    run_prim(w, new_conv, &p, operands, 4);
    for (int64_t oc = 0, i = 0; oc < 16; ++oc)
        for (int64_t y = 0; y < 6; ++y)
            for (int64_t x = 0; x < 6; ++x, ++i) {
                double sum = 0.5 * get(&before, i);
                for (int64_t ic = 0; ic < 16; ++ic)
                    sum += at(&src, 0, ic, y, x, 0) * at(&weights, oc, ic, 0, 0, 0);
                expected[i] = sum * get(&factor, oc);
            }
    check_close(&dst, expected, 1e-4);
    tensor_free(&src);
    tensor_free(&weights);
    tensor_free(&dst);
    tensor_free(&factor);
    tensor_free(&before);
}

TT_TEST(convolution_adds_to_its_destination_and_multiplies_by_an_operand)
{
    for_every_way(conv_sum_in_way);
}

/* u8 x s8 with run-time scales and zero points, dst u8. */
static void conv_int8_in_way(const way *w)
{
    tensor src = tensor_channels_last(TT_U8, 1, 16, 5, 5, DIMS_END);
    tensor weights = tensor_row_major(TT_S8, 8, 16, 3, 3, DIMS_END);
    tensor bias = tensor_row_major(TT_F32, 8, DIMS_END);
    tensor dst = tensor_channels_last(TT_U8, 1, 8, 3, 3, DIMS_END);
    tensor src_scale = tensor_row_major(TT_F32, 1, DIMS_END);
    tensor weights_scale = tensor_row_major(TT_F32, 8, DIMS_END);
    tensor dst_scale = tensor_row_major(TT_F32, 1, DIMS_END);
    tensor src_zero = tensor_row_major(TT_S32, 1, DIMS_END);
    tensor dst_zero = tensor_row_major(TT_S32, 1, DIMS_END);
    tt_conv_params p = {
        .src = src.md,
        .weights = any_layout(&weights),
        .bias = bias.md,
        .dst = dst.md,
        .strides = {1, 1},
        .attr = tt_attr_default()
    };
    operand operands[] = {
        {TT_ARG_SRC,            &src          },
        {TT_ARG_WEIGHTS,        &weights      },
        {TT_ARG_BIAS,           &bias         },
        {TT_ARG_DST,            &dst          },
        {TT_ARG_SRC_SCALE,      &src_scale    },
        {TT_ARG_WEIGHTS_SCALE,  &weights_scale},
        {TT_ARG_DST_SCALE,      &dst_scale    },
        {TT_ARG_SRC_ZERO_POINT, &src_zero     },
        {TT_ARG_DST_ZERO_POINT, &dst_zero     }
    };
    p.attr.src_scale_mask = p.attr.dst_scale_mask = 0;
    p.attr.weights_scale_mask = 1;
    p.attr.src_zero_point_mask = p.attr.dst_zero_point_mask = 0;
    set(&src_scale, 0, 0.0625);
    set(&dst_scale, 0, 0.5);
    set(&src_zero, 0, 8);
    set(&dst_zero, 0, 100);
    for (int64_t oc = 0; oc < 8; ++oc)
        set(&weights_scale, oc, 0.03125 * (double)(oc + 1));
    run_prim(w, new_conv, &p, operands, 9);
    for (int64_t oc = 0, i = 0; oc < 8; ++oc)
        for (int64_t y = 0; y < 3; ++y)
            for (int64_t x = 0; x < 3; ++x, ++i) {
                double sum = 0;
                for (int64_t ic = 0; ic < 16; ++ic)
                    for (int64_t k = 0; k < 9; ++k)
                        sum += (at(&src, 0, ic, y + k / 3, x + k % 3, 0) - 8) *
                               at(&weights, oc, ic, k / 3, k % 3, 0);
                sum = sum * 0.0625 * get(&weights_scale, oc) + get(&bias, oc);
                sum = rint(sum / 0.5) + 100;
                expected[i] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
            }
    check_close(&dst, expected, 1); /* ties may round either way */
    for (int i = 0; i < 9; ++i)
        tensor_free((tensor *)operands[i].tensor);
}

TT_TEST(quantised_convolution_applies_scales_and_zero_points)
{
    for_every_way(conv_int8_in_way);
}

static void deconv_in_way(const way *w)
{
    tensor src = tensor_channels_last(TT_F32, 1, 4, 5, 5, DIMS_END);
    tensor weights = tensor_row_major(TT_F32, 6, 4, 3, 3, DIMS_END);
    tensor dst = tensor_channels_last(TT_F32, 1, 6, 10, 10, DIMS_END);
    tt_conv_params p = {
        .src = src.md,
        .weights = any_layout(&weights),
        .dst = dst.md,
        .strides = {2, 2},
        .pads_begin = {1, 1},
        .pads_end = {0, 0},
        .attr = tt_attr_default()
    };
    operand operands[] = {
        {TT_ARG_SRC,     &src    },
        {TT_ARG_WEIGHTS, &weights},
        {TT_ARG_DST,     &dst    }
    };
    run_prim(w, new_deconv, &p, operands, 3);
    memset(expected, 0, sizeof expected);
    for (int64_t oc = 0; oc < 6; ++oc)
        for (int64_t ic = 0; ic < 4; ++ic)
            for (int64_t j = 0; j < 25; ++j)
                for (int64_t k = 0; k < 9; ++k) {
                    int64_t y = j / 5 * 2 + k / 3 - 1, x = j % 5 * 2 + k % 3 - 1;
                    if (y < 0 || x < 0 || y >= 10 || x >= 10) continue;
                    expected[oc * 100 + y * 10 + x] +=
                        at(&src, 0, ic, j / 5, j % 5, 0) *
                        at(&weights, oc, ic, k / 3, k % 3, 0);
                }
    check_close(&dst, expected, 1e-4);
    tensor_free(&src);
    tensor_free(&weights);
    tensor_free(&dst);
}

TT_TEST(deconvolution_scatters_as_defined)
{
    for_every_way(deconv_in_way);
}

static void pool_in_way(const way *w)
{
    static const tt_alg algs[] = {TT_ALG_POOL_MAX, TT_ALG_POOL_AVG_INCLUDE,
                                  TT_ALG_POOL_AVG_EXCLUDE};
    for (int a = 0; a < 3; ++a) {
        tensor src = tensor_channels_last(TT_F32, 1, 16, 8, 8, DIMS_END);
        tensor dst = tensor_channels_last(TT_F32, 1, 16, 4, 4, DIMS_END);
        tt_pool_params p = {
            .alg = algs[a],
            .src = src.md,
            .dst = dst.md,
            .kernel = {3, 3},
            .strides = {2, 2},
            .pads_begin = {1, 1},
            .attr = tt_attr_default()
        };
        operand operands[] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &dst}
        };
        run_prim(w, new_pool, &p, operands, 2);
        for (int64_t c = 0, i = 0; c < 16; ++c)
            for (int64_t j = 0; j < 16; ++j, ++i) {
                double most = -INFINITY, sum = 0;
                int count = 0;
                for (int64_t k = 0; k < 9; ++k) {
                    int64_t y = j / 4 * 2 + k / 3 - 1, x = j % 4 * 2 + k % 3 - 1;
                    if (y < 0 || x < 0 || y > 7 || x > 7) continue;
                    sum += at(&src, 0, c, y, x, 0);
                    most = fmax(most, at(&src, 0, c, y, x, 0));
                    ++count;
                }
                expected[i] = a == 0 ? most : sum / (a == 1 ? 9 : count);
            }
        check_close(&dst, expected, 1e-6);
        tensor_free(&src);
        tensor_free(&dst);
    }
}

TT_TEST(pooling_of_each_kind_matches_the_definition)
{
    for_every_way(pool_in_way);
}

static void resampling_in_way(const way *w)
{
    for (int linear = 0; linear < 2; ++linear) {
        tensor src = tensor_channels_last(TT_F32, 1, 8, 3, 4, DIMS_END);
        tensor dst = tensor_channels_last(TT_F32, 1, 8, 6, 8, DIMS_END);
        tt_unary_params p = {.alg = linear ? TT_ALG_RESAMPLE_LINEAR : TT_ALG_NEAREST,
                             .src = src.md,
                             .dst = dst.md,
                             .attr = tt_attr_default()};
        operand operands[] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &dst}
        };
        run_prim(w, new_resampling, &p, operands, 2);
        for (int64_t c = 0, i = 0; c < 8; ++c)
            for (int64_t y = 0; y < 6; ++y)
                for (int64_t x = 0; x < 8; ++x, ++i) {
                    double v = fmin(fmax(((double)y + 0.5) / 2 - 0.5, 0), 2);
                    double u = fmin(fmax(((double)x + 0.5) / 2 - 0.5, 0), 3);
                    int64_t y0 = (int64_t)v, x0 = (int64_t)u;
                    int64_t y1 = y0 < 2 ? y0 + 1 : 2, x1 = x0 < 3 ? x0 + 1 : 3;
                    double fy = v - (double)y0, fx = u - (double)x0;
                    double upper = (1 - fx) * at(&src, 0, c, y0, x0, 0) +
                                   fx * at(&src, 0, c, y0, x1, 0);
                    double lower = (1 - fx) * at(&src, 0, c, y1, x0, 0) +
                                   fx * at(&src, 0, c, y1, x1, 0);
                    expected[i] = linear ? (1 - fy) * upper + fy * lower
                                         : at(&src, 0, c, y / 2, x / 2, 0);
                }
        check_close(&dst, expected, 1e-5);
        tensor_free(&src);
        tensor_free(&dst);
    }
}

TT_TEST(resampling_doubles_nearest_and_linear)
{
    for_every_way(resampling_in_way);
}
