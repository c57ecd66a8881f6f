/* Gelu of ONNX, and its relatives of onnxruntime's com.microsoft domain. */
#include <string.h>

#include "ops/elementwise.h"

static tt_status read_approximate(const tt_site *site, bool *is_tanh, tt_error *err)
{
    const char *text;
    TT_TRY(tt_attribute_string(site->node, "approximate", "none", &text, err));
    *is_tanh = strcmp(text, "tanh") == 0;
    if (*is_tanh || strcmp(text, "none") == 0) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "attribute 'approximate' must be 'none' or 'tanh', not '%.40s'",
                      text);
}

/* ---- Gelu ----------------------------------------------------------------- */

static tt_status gelu_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    bool is_tanh;
    TT_TRY(read_approximate(site, &is_tanh, err));
    return tt_infer_same_of(site, TT_TAKES_FLOAT, out, err);
}

static tt_status gelu_emit(tt_site *site, tt_eltwise_builder *builder, const int *args,
                           int *result, tt_error *err)
{
    bool is_tanh;
    TT_TRY(read_approximate(site, &is_tanh, err));
    return tt_emit_unary(site, builder,
                         is_tanh ? TT_ELTWISE_GELU_TANH : TT_ELTWISE_GELU_ERF, args[0],
                         0, 0, result, err);
}

static bool gelu_post(const tt_site *site, int which, tt_node_post *post)
{
    bool is_tanh;
    (void)which;
    if (read_approximate(site, &is_tanh, NULL) != TT_OK) return false;
    return tt_post_eltwise(post, is_tanh ? TT_ALG_GELU_TANH : TT_ALG_GELU_ERF, 0, 0);
}

TT_ELEMENTWISE_OP(gelu, "Gelu", "", 20, 0, gelu_post, "x Phi(x), or its tanh form")

/* ---- com.microsoft: Gelu, QuickGelu --------------------------------------- */

static tt_status ms_gelu_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_infer_same_of(site, TT_TAKES_FLOAT, out, err);
}

static tt_status ms_gelu_emit(tt_site *site, tt_eltwise_builder *builder,
                              const int *args, int *result, tt_error *err)
{
    return tt_emit_unary(site, builder, TT_ELTWISE_GELU_ERF, args[0], 0, 0, result,
                         err);
}

static bool ms_gelu_post(const tt_site *site, int which, tt_node_post *post)
{
    (void)site, (void)which;
    return tt_post_eltwise(post, TT_ALG_GELU_ERF, 0, 0);
}

TT_ELEMENTWISE_OP(ms_gelu, "Gelu", "com.microsoft", 1, 0, ms_gelu_post, "x Phi(x)")

static tt_status quick_gelu_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_infer_same_of(site, TT_TAKES_FLOAT, out, err);
}

static tt_status quick_gelu_emit(tt_site *site, tt_eltwise_builder *builder,
                                 const int *args, int *result, tt_error *err)
{
    float alpha;
    TT_TRY(tt_attribute_float(site->node, "alpha", 1.702f, &alpha, err));
    return tt_emit_unary(site, builder, TT_ELTWISE_SWISH, args[0], (double)alpha, 0,
                         result, err);
}

static bool quick_gelu_post(const tt_site *site, int which, tt_node_post *post)
{
    float alpha = 1.702f;
    (void)which;
    if (tt_attribute_float(site->node, "alpha", alpha, &alpha, NULL) != TT_OK)
        return false;
    return tt_post_eltwise(post, TT_ALG_SWISH, (double)alpha, 0);
}

TT_ELEMENTWISE_OP(quick_gelu, "QuickGelu", "com.microsoft", 1, 0, quick_gelu_post,
                  "x sigmoid(alpha x)")

/* ---- com.microsoft: BiasGelu, FastGelu ------------------------------------ */

static tt_status infer_biased(tt_site *site, int least, tt_shape *out, tt_error *err)
{
    const tt_shape *x, *bias;
    TT_TRY(tt_check_inputs(site, least, 2, err));
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_FLOAT, err));
    TT_TRY(tt_infer_same(site, out, err));
    if (!tt_has_input(site, 1)) return TT_OK;
    x = tt_input_shape(site, 0);
    bias = tt_input_shape(site, 1);
    if (bias->dtype != x->dtype || bias->rank != 1 || x->rank < 1 ||
        bias->dims[0] != x->dims[x->rank - 1]) {
        char text[128], wanted[128];
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "the bias must be a %s vector over the last dim of %s, it is "
            "%s of shape %s",
            tt_dtype_name(x->dtype), tt_shape_text(x, wanted, sizeof wanted),
            tt_dtype_name(bias->dtype), tt_shape_text(bias, text, sizeof text));
    }
    return TT_OK;
}

static tt_status emit_biased(tt_site *site, tt_eltwise_builder *builder,
                             const int *args, tt_eltwise_op op, int *result,
                             tt_error *err)
{
    int x = args[0];
    if (tt_has_input(site, 1))
        TT_TRY(tt_emit_binary(site, builder, TT_ELTWISE_ADD, x, args[1], &x, err));
    return tt_emit_unary(site, builder, op, x, 0, 0, result, err);
}

static tt_status bias_gelu_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_biased(site, 2, out, err);
}

static tt_status bias_gelu_emit(tt_site *site, tt_eltwise_builder *builder,
                                const int *args, int *result, tt_error *err)
{
    return emit_biased(site, builder, args, TT_ELTWISE_GELU_ERF, result, err);
}

TT_ELEMENTWISE_OP(bias_gelu, "BiasGelu", "com.microsoft", 1, 0, NULL, "gelu(x + bias)")

static tt_status fast_gelu_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_biased(site, 1, out, err);
}

static tt_status fast_gelu_emit(tt_site *site, tt_eltwise_builder *builder,
                                const int *args, int *result, tt_error *err)
{
    return emit_biased(site, builder, args, TT_ELTWISE_GELU_TANH, result, err);
}

static bool fast_gelu_post(const tt_site *site, int which, tt_node_post *post)
{
    if (which != 0 || tt_has_input(site, 1)) return false;
    return tt_post_eltwise(post, TT_ALG_GELU_TANH, 0, 0);
}

TT_ELEMENTWISE_OP(fast_gelu, "FastGelu", "com.microsoft", 1, 0, fast_gelu_post,
                  "The tanh form of gelu(x + bias)")
