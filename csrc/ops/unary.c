/* Elementwise functions of one input without attributes. */
#include "ops/elementwise.h"

/* No post-op: nobody absorbs it. */
#define NO_POST TT_ALG_NONE, 0, 0

/* X(record, op_type, since, instruction, dtypes, post-op: algorithm, alpha, beta,
 * summary) */
#define UNARY_LIST(X)                                                                  \
    X(abs, "Abs", 1, ABS, NUMBER, TT_ALG_ABS, 0, 0, "|x|")                             \
    X(neg, "Neg", 1, NEG, SIGNED, TT_ALG_LINEAR, -1, 0, "-x")                          \
    X(sign, "Sign", 9, SIGN, NUMBER, NO_POST, "-1, 0 or 1")                            \
    X(ceil, "Ceil", 1, CEIL, FLOAT, NO_POST, "Smallest integer not below x")           \
    X(floor, "Floor", 1, FLOOR, FLOAT, NO_POST, "Largest integer not above x")         \
    X(round, "Round", 11, ROUND, FLOAT, TT_ALG_ROUND, 0, 0,                            \
      "Nearest integer, half to even")                                                 \
    X(sqrt, "Sqrt", 1, SQRT, FLOAT, TT_ALG_SQRT, 0, 0, "Square root")                  \
    X(reciprocal, "Reciprocal", 1, RECIPROCAL, FLOAT, TT_ALG_POW, 1, -1, "1 / x")      \
    X(exp, "Exp", 1, EXP, FLOAT, TT_ALG_EXP, 0, 0, "e^x")                              \
    X(log, "Log", 1, LOG, FLOAT, TT_ALG_LOG, 0, 0, "Natural logarithm")                \
    X(erf, "Erf", 9, ERF, FLOAT, NO_POST, "Gauss error function")                      \
    X(sin, "Sin", 7, SIN, FLOAT, NO_POST, "Sine")                                      \
    X(cos, "Cos", 7, COS, FLOAT, NO_POST, "Cosine")                                    \
    X(tan, "Tan", 7, TAN, FLOAT, NO_POST, "Tangent")                                   \
    X(asin, "Asin", 7, ASIN, FLOAT, NO_POST, "Inverse sine")                           \
    X(acos, "Acos", 7, ACOS, FLOAT, NO_POST, "Inverse cosine")                         \
    X(atan, "Atan", 7, ATAN, FLOAT, NO_POST, "Inverse tangent")                        \
    X(sinh, "Sinh", 9, SINH, FLOAT, NO_POST, "Hyperbolic sine")                        \
    X(cosh, "Cosh", 9, COSH, FLOAT, NO_POST, "Hyperbolic cosine")                      \
    X(asinh, "Asinh", 9, ASINH, FLOAT, NO_POST, "Inverse hyperbolic sine")             \
    X(acosh, "Acosh", 9, ACOSH, FLOAT, NO_POST, "Inverse hyperbolic cosine")           \
    X(atanh, "Atanh", 9, ATANH, FLOAT, NO_POST, "Inverse hyperbolic tangent")          \
    X(relu, "Relu", 1, RELU, SIGNED, TT_ALG_RELU, 0, 0, "max(x, 0)")                   \
    X(sigmoid, "Sigmoid", 1, SIGMOID, FLOAT, TT_ALG_LOGISTIC, 0, 0, "1 / (1 + e^-x)")  \
    X(tanh, "Tanh", 1, TANH, FLOAT, TT_ALG_TANH, 0, 0, "Hyperbolic tangent")           \
    X(softplus, "Softplus", 1, SOFTPLUS, FLOAT, TT_ALG_SOFT_RELU, 1, 0, "ln(1 + e^x)") \
    X(softsign, "Softsign", 1, SOFTSIGN, FLOAT, NO_POST, "x / (1 + |x|)")              \
    X(hard_swish, "HardSwish", 14, HARD_SWISH, FLOAT, TT_ALG_HARDSWISH, 1.0 / 6, 0.5,  \
      "x max(0, min(1, x / 6 + 1/2))")                                                 \
    X(mish, "Mish", 18, MISH, FLOAT, TT_ALG_MISH, 0, 0, "x tanh(softplus(x))")         \
    X(bitwise_not, "BitwiseNot", 18, BITWISE_NOT, INT, NO_POST, "Every bit flipped")

/* NO_POST stands for three arguments, hence one more round of expansion. */
#define UNARY_RECORD(...) UNARY_RECORD_(__VA_ARGS__)
#define UNARY_RECORD_(record, op_type, since, instruction, dtypes, alg, alpha, beta, \
                      summary)                                                       \
    static tt_status record##_infer(tt_site *site, tt_shape *out, tt_error *err)     \
    {                                                                                \
        return tt_infer_same_of(site, TT_TAKES_##dtypes, out, err);                  \
    }                                                                                \
    static tt_status record##_emit(tt_site *site, tt_eltwise_builder *builder,       \
                                   const int *args, int *result, tt_error *err)      \
    {                                                                                \
        return tt_emit_unary(site, builder, TT_ELTWISE_##instruction, args[0], 0, 0, \
                             result, err);                                           \
    }                                                                                \
    static bool record##_post(const tt_site *site, int which, tt_node_post *post)    \
    {                                                                                \
        (void)site, (void)which;                                                     \
        return (alg) != TT_ALG_NONE && tt_post_eltwise(post, alg, alpha, beta);      \
    }                                                                                \
    TT_ELEMENTWISE_OP(record, op_type, "", since, 0, record##_post, summary)
UNARY_LIST(UNARY_RECORD)

/* ---- Not ------------------------------------------------------------------ */

static tt_status not_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_infer_same_of(site, TT_TAKES_BOOL, out, err);
}

static tt_status not_emit(tt_site *site, tt_eltwise_builder *builder, const int *args,
                          int *result, tt_error *err)
{
    return tt_emit_unary(site, builder, TT_ELTWISE_NOT, args[0], 0, 0, result, err);
}

TT_ELEMENTWISE_OP(not, "Not", "", 1, 0, NULL, "Logical not")

/* ---- IsNaN, IsInf --------------------------------------------------------- */

static tt_status is_nan_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_infer_same_of(site, TT_TAKES_FLOAT, out, err));
    out->dtype = TT_BOOL;
    return TT_OK;
}

static tt_status is_nan_emit(tt_site *site, tt_eltwise_builder *builder,
                             const int *args, int *result, tt_error *err)
{
    return tt_emit_unary(site, builder, TT_ELTWISE_IS_NAN, args[0], 0, 0, result, err);
}

TT_ELEMENTWISE_OP(is_nan, "IsNaN", "", 9, 0, NULL, "Is x not a number?")

static tt_status is_inf_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return is_nan_infer(site, out, err);
}

static tt_status is_inf_emit(tt_site *site, tt_eltwise_builder *builder,
                             const int *args, int *result, tt_error *err)
{
    int64_t negative, positive;
    TT_TRY(tt_attribute_int(site->node, "detect_negative", 1, &negative, err));
    TT_TRY(tt_attribute_int(site->node, "detect_positive", 1, &positive, err));
    return tt_emit_unary(site, builder, TT_ELTWISE_IS_INF, args[0], negative != 0,
                         positive != 0, result, err);
}

TT_ELEMENTWISE_OP(is_inf, "IsInf", "", 10, 0, NULL, "Is x an infinity?")
