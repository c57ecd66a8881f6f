/* dnnl/: matmul, eltwise, binary, softmax, reduction, normalisation, reorder. */
#include <math.h>
#include <string.h>

#include "help_dnnl.h"

CREATOR(new_matmul, tt_matmul_new, tt_matmul_params)
CREATOR(new_eltwise, tt_eltwise_new, tt_unary_params)
CREATOR(new_softmax, tt_softmax_new, tt_unary_params)
CREATOR(new_reduction, tt_reduction_new, tt_unary_params)
CREATOR(new_binary, tt_binary_new, tt_binary_params)
CREATOR(new_layer_norm, tt_layer_norm_new, tt_layer_norm_params)
CREATOR(new_reorder, tt_reorder_new, tt_reorder_params)

enum { MAX_OUT = 8192 };
static double expected[MAX_OUT];

/* [b,m,k] x [b or 1,k,n] with bias; expected in row-major order. */
static void matmul_loop(const tensor *src, const tensor *weights, const tensor *bias,
                        const tensor *dst)
{
    const int64_t *n = dst->md.dims;
    int64_t i = 0, depth = src->md.dims[2];
    for (int64_t b = 0; b < n[0]; ++b)
        for (int64_t r = 0; r < n[1]; ++r)
            for (int64_t c = 0; c < n[2]; ++c, ++i) {
                int64_t wb = weights->md.dims[0] == 1 ? 0 : b;
                expected[i] = bias == NULL ? 0 : get(bias, c);
                for (int64_t k = 0; k < depth; ++k)
                    expected[i] += at(src, b, r, k, 0, 0) * at(weights, wb, k, c, 0, 0);
            }
}

static void try_matmul(const way *w, tt_dtype dtype, int b, int wb, int m, int k, int n,
                       bool constant_weights, double tolerance)
{
    tensor src = tensor_row_major(dtype, b, m, k, DIMS_END);
    tensor weights = tensor_row_major(dtype, wb, k, n, DIMS_END);
    tensor bias = tensor_row_major(TT_F32, 1, 1, n, DIMS_END);
    tensor dst = tensor_padded(TT_F32, b, m, n, DIMS_END);
    tensor before = tensor_copy(&dst);
    tt_matmul_params p = {.src = src.md,
                          .weights =
                              constant_weights ? any_layout(&weights) : weights.md,
                          .bias = bias.md,
                          .dst = dst.md,
                          .attr = tt_attr_default()};
    operand operands[] = {
        {TT_ARG_SRC,     &src    },
        {TT_ARG_WEIGHTS, &weights},
        {TT_ARG_BIAS,    &bias   },
        {TT_ARG_DST,     &dst    }
    };
    run_prim(w, new_matmul, &p, operands, 4);
    matmul_loop(&src, &weights, &bias, &dst);
    check_close(&dst, expected, tolerance);
    /* what lies between the rows of dst is not ours */
    for (int64_t r = 0; r + 1 < b * m; ++r)
        for (int64_t c = n; c < n + 2; ++c)
            CHECK(((float *)dst.data)[r * (n + 2) + c] ==
                  ((float *)before.data)[r * (n + 2) + c]);
    tensor_free(&src);
    tensor_free(&weights);
    tensor_free(&bias);
    tensor_free(&dst);
    tensor_free(&before);
}

static void matmul_in_way(const way *w)
{
    try_matmul(w, TT_F32, 1, 1, 5, 7, 3, true, 1e-5);
    try_matmul(w, TT_F32, 1, 1, 33, 64, 48, true, 1e-4);
    try_matmul(w, TT_F32, 3, 3, 10, 16, 12, false, 1e-4);
    try_matmul(w, TT_F32, 1, 1, 1, 128, 64, true, 1e-4);
}

TT_TEST(matmuls_with_bias_match_the_definition)
{
    for_every_way(matmul_in_way);
}

static void bf16_in_way(const way *w)
{
    tt_dnnl_info info;
    tt_dnnl_info_get(&info);
    if (strstr(info.effective_isa, "avx512") == NULL)
        tt_test_skip("bf16 needs AVX-512 in oneDNN 3.2");
    /* the inputs are exact in bf16 and sums stay in f32 */
    try_matmul(w, TT_BF16, 1, 1, 16, 32, 16, true, 1e-4);
}

TT_TEST(matmul_of_bf16_accumulates_in_f32)
{
    for_every_way(bf16_in_way);
}

typedef struct {
    tt_alg alg;
    float alpha, beta;
    double (*function)(double x, double alpha, double beta);
} eltwise_case;

static double f_abs(double x, double a, double b)
{
    return (void)a, (void)b, fabs(x);
}
static double f_clip(double x, double a, double b)
{
    return fmin(fmax(x, a), b);
}
static double f_elu(double x, double a, double b)
{
    return (void)b, x > 0 ? x : a * expm1(x);
}
static double f_exp(double x, double a, double b)
{
    return (void)a, (void)b, exp(x);
}
static double f_gelu_erf(double x, double a, double b)
{
    return (void)a, (void)b, 0.5 * x * (1 + erf(x / sqrt(2)));
}
static double f_gelu_tanh(double x, double a, double b)
{
    double u = sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
    return (void)a, (void)b, 0.5 * x * (1 + tanh(u));
}
static double f_hardsigmoid(double x, double a, double b)
{
    return fmin(fmax(a * x + b, 0), 1);
}
static double f_hardswish(double x, double a, double b)
{
    return x * f_hardsigmoid(x, a, b);
}
static double f_linear(double x, double a, double b)
{
    return a * x + b;
}
static double f_logistic(double x, double a, double b)
{
    return (void)a, (void)b, 1 / (1 + exp(-x));
}
static double f_mish(double x, double a, double b)
{
    return (void)a, (void)b, x * tanh(log1p(exp(x)));
}
static double f_pow(double x, double a, double b)
{
    return a * pow(x, b);
}
static double f_relu(double x, double a, double b)
{
    return (void)b, x > 0 ? x : a * x;
}
static double f_round(double x, double a, double b)
{
    return (void)a, (void)b, rint(x);
}
static double f_soft_relu(double x, double a, double b)
{
    return (void)b, log1p(exp(a * x)) / a;
}
static double f_square(double x, double a, double b)
{
    return (void)a, (void)b, x * x;
}
static double f_swish(double x, double a, double b)
{
    return (void)b, x / (1 + exp(-a * x));
}
static double f_tanh(double x, double a, double b)
{
    return (void)a, (void)b, tanh(x);
}

static const eltwise_case eltwise_cases[] = {
    {TT_ALG_ABS,         0,      0,     f_abs        },
    {TT_ALG_CLIP,        -0.5f,  0.25f, f_clip       },
    {TT_ALG_ELU,         0.75f,  0,     f_elu        },
    {TT_ALG_EXP,         0,      0,     f_exp        },
    {TT_ALG_GELU_ERF,    0,      0,     f_gelu_erf   },
    {TT_ALG_GELU_TANH,   0,      0,     f_gelu_tanh  },
    {TT_ALG_HARDSIGMOID, 0.25f,  0.5f,  f_hardsigmoid},
    {TT_ALG_HARDSWISH,   0.25f,  0.5f,  f_hardswish  },
    {TT_ALG_LINEAR,      2,      -3,    f_linear     },
    {TT_ALG_LOGISTIC,    0,      0,     f_logistic   },
    {TT_ALG_MISH,        0,      0,     f_mish       },
    {TT_ALG_POW,         2,      2,     f_pow        },
    {TT_ALG_RELU,        0.125f, 0,     f_relu       },
    {TT_ALG_ROUND,       0,      0,     f_round      },
    {TT_ALG_SOFT_RELU,   1,      0,     f_soft_relu  },
    {TT_ALG_SQUARE,      0,      0,     f_square     },
    {TT_ALG_SWISH,       1.5f,   0,     f_swish      },
    {TT_ALG_TANH,        0,      0,     f_tanh       },
};

static void eltwise_in_way(const way *w)
{
    for (size_t k = 0; k < sizeof eltwise_cases / sizeof eltwise_cases[0]; ++k) {
        const eltwise_case *c = &eltwise_cases[k];
        tensor src = tensor_row_major(TT_F32, 3, 50, DIMS_END);
        tensor dst = tensor_row_major(TT_F32, 3, 50, DIMS_END);
        tt_unary_params p = {.alg = c->alg,
                             .src = src.md,
                             .dst = dst.md,
                             .alpha = c->alpha,
                             .beta = c->beta,
                             .attr = tt_attr_default()};
        operand operands[] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &dst}
        };
        run_prim(w, new_eltwise, &p, operands, 2);
        for (int64_t i = 0; i < 150; ++i)
            expected[i] = c->function(get(&src, i), (double)c->alpha, (double)c->beta);
        check_close(&dst, expected, 2e-5);
        tensor_free(&src);
        tensor_free(&dst);
    }
}

TT_TEST(eltwise_algorithms_match_their_formulas)
{
    for_every_way(eltwise_in_way);
}

static void roots_in_way(const way *w)
{
    for (int k = 0; k < 2; ++k) { /* of positive numbers only; in place */
        tensor src = tensor_row_major(TT_F32, 60, DIMS_END);
        tt_unary_params p = {.alg = k ? TT_ALG_SQRT : TT_ALG_LOG,
                             .src = src.md,
                             .dst = src.md,
                             .attr = tt_attr_default()};
        operand operands[] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &src}
        };
        for (int64_t i = 0; i < 60; ++i) {
            double x = fabs(get(&src, i)) + 0.125;
            set(&src, i, x);
            expected[i] = k ? sqrt(x) : log(x);
        }
        run_prim(w, new_eltwise, &p, operands, 2);
        check_close(&src, expected, 5e-6); /* oneDNN's log is off by 2.8e-6 at 5/8 */
        tensor_free(&src);
    }
}

TT_TEST(eltwise_works_in_place)
{
    for_every_way(roots_in_way);
}

static double combine(tt_alg alg, double a, double b)
{
    switch (alg) {
    case TT_ALG_ADD:
        return a + b;
    case TT_ALG_SUB:
        return a - b;
    case TT_ALG_MUL:
        return a * b;
    case TT_ALG_DIV:
        return a / b;
    case TT_ALG_MAX:
        return fmax(a, b);
    default:
        return fmin(a, b);
    }
}

static void binary_in_way(const way *w)
{
    for (int alg = TT_ALG_ADD; alg <= TT_ALG_MIN; ++alg) {
        tensor a = tensor_row_major(TT_F32, 4, 6, 8, DIMS_END);
        tensor b = tensor_row_major(TT_F32, 1, 1, 8, DIMS_END);
        tensor dst = tensor_row_major(TT_F32, 4, 6, 8, DIMS_END);
        tt_binary_params p = {.alg = (tt_alg)alg,
                              .src0 = a.md,
                              .src1 = b.md,
                              .dst = dst.md,
                              .attr = tt_attr_default()};
        operand operands[] = {
            {TT_ARG_SRC,   &a  },
            {TT_ARG_SRC_1, &b  },
            {TT_ARG_DST,   &dst}
        };
        for (int64_t i = 0; i < 8; ++i)
            set(&b, i, 0.5 + (double)i);
        run_prim(w, new_binary, &p, operands, 3);
        for (int64_t i = 0; i < 192; ++i)
            expected[i] = combine((tt_alg)alg, get(&a, i), get(&b, i % 8));
        check_close(&dst, expected, 1e-6);
        tensor_free(&a);
        tensor_free(&b);
        tensor_free(&dst);
    }
}

TT_TEST(binary_algorithms_broadcast_their_second_source)
{
    for_every_way(binary_in_way);
}

static void softmax_in_way(const way *w)
{
    for (int is_log = 0; is_log < 2; ++is_log) {
        tensor src = tensor_row_major(TT_F32, 6, 40, DIMS_END);
        tensor dst = tensor_row_major(TT_F32, 6, 40, DIMS_END);
        tt_unary_params p = {.alg = is_log ? TT_ALG_LOG_SOFTMAX : TT_ALG_SOFTMAX,
                             .src = src.md,
                             .dst = dst.md,
                             .axis = 1,
                             .attr = tt_attr_default()};
        operand operands[] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &dst}
        };
        run_prim(w, new_softmax, &p, operands, 2);
        for (int64_t r = 0; r < 6; ++r) {
            double sum = 0;
            for (int64_t c = 0; c < 40; ++c)
                sum += exp(get(&src, r * 40 + c));
            for (int64_t c = 0; c < 40; ++c) {
                double x = get(&src, r * 40 + c);
                expected[r * 40 + c] = is_log ? x - log(sum) : exp(x) / sum;
            }
        }
        check_close(&dst, expected, 1e-5);
        tensor_free(&src);
        tensor_free(&dst);
    }
}

TT_TEST(softmax_rows_sum_to_one_as_defined)
{
    for_every_way(softmax_in_way);
}

static void reduction_in_way(const way *w)
{
    for (int alg = TT_ALG_REDUCE_MAX; alg <= TT_ALG_REDUCE_MEAN; ++alg) {
        tensor src = tensor_row_major(TT_F32, 9, 12, DIMS_END);
        tensor dst = tensor_row_major(TT_F32, 9, 1, DIMS_END);
        tt_unary_params p = {.alg = (tt_alg)alg,
                             .src = src.md,
                             .dst = dst.md,
                             .attr = tt_attr_default()};
        operand operands[] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &dst}
        };
        run_prim(w, new_reduction, &p, operands, 2);
        for (int64_t r = 0; r < 9; ++r) {
            double most = -INFINITY, least = INFINITY, sum = 0, product = 1;
            for (int64_t c = 0; c < 12; ++c) {
                double x = get(&src, r * 12 + c);
                most = fmax(most, x);
                least = fmin(least, x);
                sum += x;
                product *= x;
            }
            expected[r] = alg == TT_ALG_REDUCE_MAX   ? most
                          : alg == TT_ALG_REDUCE_MIN ? least
                          : alg == TT_ALG_REDUCE_SUM ? sum
                          : alg == TT_ALG_REDUCE_MUL ? product
                                                     : sum / 12;
        }
        check_close(&dst, expected, 1e-5);
        tensor_free(&src);
        tensor_free(&dst);
    }
}

TT_TEST(reductions_over_the_last_dim)
{
    for_every_way(reduction_in_way);
}

static void layer_norm_in_way(const way *w)
{
    for (int flags = 0; flags < 4; ++flags) {
        bool use_scale = (flags & 1) != 0, use_shift = (flags & 2) != 0;
        tensor src = tensor_row_major(TT_F32, 5, 64, DIMS_END);
        tensor dst = tensor_row_major(TT_F32, 5, 64, DIMS_END);
        tensor scale = tensor_row_major(TT_F32, 64, DIMS_END);
        tensor shift = tensor_row_major(TT_F32, 64, DIMS_END);
        tt_layer_norm_params p = {src.md, dst.md, 0.25f, use_scale, use_shift};
        operand operands[4] = {
            {TT_ARG_SRC, &src},
            {TT_ARG_DST, &dst}
        };
        int n = 2;
        if (use_scale) operands[n++] = (operand){TT_ARG_SCALE, &scale};
        if (use_shift) operands[n++] = (operand){TT_ARG_SHIFT, &shift};
        run_prim(w, new_layer_norm, &p, operands, n);
        for (int64_t r = 0; r < 5; ++r) {
            double mean = 0, variance = 0;
            for (int64_t c = 0; c < 64; ++c)
                mean += get(&src, r * 64 + c) / 64;
            for (int64_t c = 0; c < 64; ++c)
                variance += pow(get(&src, r * 64 + c) - mean, 2) / 64;
            for (int64_t c = 0; c < 64; ++c) {
                double x = (get(&src, r * 64 + c) - mean) / sqrt(variance + 0.25);
                if (use_scale) x *= get(&scale, c);
                if (use_shift) x += get(&shift, c);
                expected[r * 64 + c] = x;
            }
        }
        check_close(&dst, expected, 1e-5);
        tensor_free(&src);
        tensor_free(&dst);
        tensor_free(&scale);
        tensor_free(&shift);
    }
}

TT_TEST(layer_norm_has_epsilon_inside_the_root)
{
    for_every_way(layer_norm_in_way);
}

static void reorder_in_way(const way *w)
{
    tensor src = tensor_row_major(TT_F32, 2, 3, 4, 5, DIMS_END);
    tensor dst = tensor_channels_last(TT_F32, 2, 3, 4, 5, DIMS_END);
    tensor scale = tensor_row_major(TT_F32, 1, DIMS_END);
    tensor bytes = tensor_channels_last(TT_S8, 2, 3, 4, 5, DIMS_END);
    tt_reorder_params p = {src.md, dst.md, tt_attr_default()};
    tt_reorder_params q = {src.md, bytes.md, tt_attr_default()};
    operand operands[] = {
        {TT_ARG_SRC, &src},
        {TT_ARG_DST, &dst}
    };
    operand quantised[] = {
        {TT_ARG_SRC,       &src  },
        {TT_ARG_DST,       &bytes},
        {TT_ARG_DST_SCALE, &scale}
    };
    run_prim(w, new_reorder, &p, operands, 2);
    for (int64_t i = 0; i < 120; ++i)
        expected[i] = get(&src, i);
    check_close(&dst, expected, 0);
    set(&scale, 0, 0.125);
    q.attr.dst_scale_mask = 0;
    run_prim(w, new_reorder, &q, quantised, 3);
    for (int64_t i = 0; i < 120; ++i)
        expected[i] = get(&src, i) / 0.125;
    check_close(&bytes, expected, 0);
    tensor_free(&src);
    tensor_free(&dst);
    tensor_free(&scale);
    tensor_free(&bytes);
}

TT_TEST(reorder_changes_strides_and_quantises)
{
    for_every_way(reorder_in_way);
}
