/* Activations of one input with attributes. */
#include "ops/elementwise.h"

/* The value of a float attribute, for as_post: a wrong kind gives the default here
 * and an error in emit. */
static double peek(const tt_site *site, const char *name, float fallback)
{
    float value = fallback;
    (void)tt_attribute_float(site->node, name, fallback, &value, NULL);
    return (double)value;
}

/* Integers (Shrink takes them) are computed in double and truncated again. */
static tt_status emit(const tt_site *site, tt_eltwise_builder *builder,
                      tt_eltwise_op op, int x, double alpha, double beta, int *result,
                      tt_error *err)
{
    const tt_dtype dtype = builder->registers[x];
    if (!tt_dtype_is_int(dtype))
        return tt_emit_unary(site, builder, op, x, alpha, beta, result, err);
    TT_TRY(tt_emit_cast(site, builder, x, TT_F64, &x, err));
    TT_TRY(tt_emit_unary(site, builder, op, x, alpha, beta, &x, err));
    return tt_emit_cast(site, builder, x, dtype, result, err);
}

/* X(record, op_type, since, instruction, alpha's name, default, beta's name, default,
 * post-op algorithm, summary); alpha and beta have the instruction's meaning. */
#define ACTIVATION_LIST(X)                                                             \
    X(leaky_relu, "LeakyRelu", 1, LEAKY_RELU, "alpha", 0.01f, "", 0, TT_ALG_RELU,      \
      "x, or alpha x below 0")                                                         \
    X(elu, "Elu", 1, ELU, "alpha", 1.0f, "", 0, TT_ALG_ELU,                            \
      "x, or alpha (e^x - 1) below 0")                                                 \
    X(selu, "Selu", 1, SELU, "alpha", 1.67326319217681884765625f, "gamma",             \
      1.05070102214813232421875f, TT_ALG_NONE, "gamma elu(x)")                         \
    X(celu, "Celu", 12, CELU, "alpha", 1.0f, "", 0, TT_ALG_NONE,                       \
      "x, or alpha (e^(x / alpha) - 1) below 0")                                       \
    X(hard_sigmoid, "HardSigmoid", 1, HARD_SIGMOID, "alpha", 0.2f, "beta", 0.5f,       \
      TT_ALG_HARDSIGMOID, "max(0, min(1, alpha x + beta))")                            \
    X(thresholded_relu, "ThresholdedRelu", 10, THRESHOLDED_RELU, "alpha", 1.0f, "", 0, \
      TT_ALG_NONE, "x above alpha, else 0")                                            \
    X(shrink, "Shrink", 9, SHRINK, "lambd", 0.5f, "bias", 0.0f, TT_ALG_NONE,           \
      "0 within lambd of 0, else x moved by bias towards 0")                           \
    X(swish, "Swish", 24, SWISH, "alpha", 1.0f, "", 0, TT_ALG_SWISH,                   \
      "x sigmoid(alpha x)")

#define ACTIVATION_RECORD(record, op_type, since, instruction, name1, default1, name2, \
                          default2, alg_, summary)                                     \
    static tt_status record##_infer(tt_site *site, tt_shape *out, tt_error *err)       \
    {                                                                                  \
        return tt_infer_same_of(site,                                                  \
                                TT_ELTWISE_##instruction == TT_ELTWISE_SHRINK          \
                                    ? TT_TAKES_NUMBER                                  \
                                    : TT_TAKES_FLOAT,                                  \
                                out, err);                                             \
    }                                                                                  \
    static tt_status record##_emit(tt_site *site, tt_eltwise_builder *builder,         \
                                   const int *args, int *result, tt_error *err)        \
    {                                                                                  \
        float alpha, beta = default2;                                                  \
        TT_TRY(tt_attribute_float(site->node, name1, default1, &alpha, err));          \
        if (name2[0] != '\0')                                                          \
            TT_TRY(tt_attribute_float(site->node, name2, default2, &beta, err));       \
        return emit(site, builder, TT_ELTWISE_##instruction, args[0], (double)alpha,   \
                    (double)beta, result, err);                                        \
    }                                                                                  \
    static bool record##_post(const tt_site *site, int which, tt_node_post *post)      \
    {                                                                                  \
        (void)which;                                                                   \
        if ((alg_) == TT_ALG_NONE) return false;                                       \
        return tt_post_eltwise(post, alg_, peek(site, name1, default1),                \
                               name2[0] == '\0' ? 0.0 : peek(site, name2, default2));  \
    }                                                                                  \
    TT_ELEMENTWISE_OP(record, op_type, "", since, 0, record##_post, summary)
ACTIVATION_LIST(ACTIVATION_RECORD)
