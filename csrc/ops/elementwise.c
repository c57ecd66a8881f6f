/* Shared by the elementwise operators: see elementwise.h. */
#include "ops/elementwise.h"

/* ---- dtypes --------------------------------------------------------------- */

static const char *const takes_text[] = {
    [TT_TAKES_FLOAT] = "a float type",
    [TT_TAKES_NUMBER] = "a float or integer type",
    [TT_TAKES_SIGNED] = "a float or signed integer type",
    [TT_TAKES_INT] = "an integer type",
    [TT_TAKES_UNSIGNED] = "an unsigned integer type",
    [TT_TAKES_BOOL] = "bool",
    [TT_TAKES_ANY] = "a float or integer type or bool",
};

bool tt_takes_dtype(tt_takes takes, tt_dtype dtype)
{
    switch (takes) {
    case TT_TAKES_FLOAT:
        return tt_dtype_is_float(dtype);
    case TT_TAKES_NUMBER:
        return tt_dtype_is_float(dtype) || tt_dtype_is_int(dtype);
    case TT_TAKES_SIGNED:
        return tt_dtype_is_float(dtype) || tt_dtype_is_signed_int(dtype);
    case TT_TAKES_INT:
        return tt_dtype_is_int(dtype);
    case TT_TAKES_UNSIGNED:
        return tt_dtype_is_unsigned_int(dtype);
    case TT_TAKES_BOOL:
        return dtype == TT_BOOL;
    case TT_TAKES_ANY:
        return tt_dtype_is_float(dtype) || tt_dtype_is_int(dtype) || dtype == TT_BOOL;
    }
    return false;
}

tt_status tt_check_dtype(const tt_site *site, int i, tt_takes takes, tt_error *err)
{
    tt_dtype dtype;
    if (!tt_has_input(site, i)) return TT_OK;
    dtype = tt_input_shape(site, i)->dtype;
    if (tt_takes_dtype(takes, dtype)) return TT_OK;
    return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                      "input %d must be of %s, it is %s", i, takes_text[takes],
                      tt_dtype_name(dtype));
}

static tt_status check_dtypes(const tt_site *site, tt_takes takes, tt_error *err)
{
    for (int i = 0; i < site->node->n_inputs; ++i)
        TT_TRY(tt_check_dtype(site, i, takes, err));
    return TT_OK;
}

tt_status tt_check_inputs(const tt_site *site, int least, int most, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, least, err));
    if (site->node->n_inputs <= most) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL, "takes at most %d inputs, got %d",
                      most, site->node->n_inputs);
}

tt_status tt_infer_same_of(tt_site *site, tt_takes takes, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(check_dtypes(site, takes, err));
    return tt_infer_same(site, out, err);
}

tt_status tt_infer_broadcast_of(tt_site *site, tt_takes takes, tt_shape *out,
                                tt_error *err)
{
    TT_TRY(tt_check_inputs(site, 2, 2, err));
    TT_TRY(check_dtypes(site, takes, err));
    return tt_infer_broadcast(site, out, err);
}

tt_status tt_infer_compare_of(tt_site *site, tt_takes takes, tt_shape *out,
                              tt_error *err)
{
    TT_TRY(tt_check_inputs(site, 2, 2, err));
    TT_TRY(check_dtypes(site, takes, err));
    return tt_infer_compare(site, out, err);
}

/* ---- instructions --------------------------------------------------------- */

static tt_status emit_failed(const tt_site *site, const tt_eltwise_builder *builder,
                             tt_eltwise_op op, tt_dtype dtype, tt_error *err)
{
    if (tt_eltwise_has(op, dtype))
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "the elementwise program is full (%d instructions, %d "
                          "registers)",
                          builder->n_instructions, builder->n_registers);
    return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                      "no elementwise kernel for dtype %s", tt_dtype_name(dtype));
}

tt_status tt_emit(const tt_site *site, tt_eltwise_builder *builder, tt_eltwise_op op,
                  int a, int b, int c, double alpha, double beta, int *result,
                  tt_error *err)
{
    *result =
        tt_eltwise_add(builder, op, a, b, c, alpha, beta, /*cast_to=*/TT_DTYPE_NONE);
    if (*result >= 0) return TT_OK;
    return emit_failed(site, builder, op,
                       builder->registers[op == TT_ELTWISE_SELECT ? b : a], err);
}

tt_status tt_emit_unary(const tt_site *site, tt_eltwise_builder *builder,
                        tt_eltwise_op op, int a, double alpha, double beta, int *result,
                        tt_error *err)
{
    return tt_emit(site, builder, op, a, -1, -1, alpha, beta, result, err);
}

tt_status tt_emit_binary(const tt_site *site, tt_eltwise_builder *builder,
                         tt_eltwise_op op, int a, int b, int *result, tt_error *err)
{
    return tt_emit(site, builder, op, a, b, -1, 0.0, 0.0, result, err);
}

tt_status tt_emit_cast(const tt_site *site, tt_eltwise_builder *builder, int a,
                       tt_dtype to, int *result, tt_error *err)
{
    if (builder->registers[a] == to) {
        *result = a;
        return TT_OK;
    }
    *result = tt_eltwise_add(builder, TT_ELTWISE_CAST, a, -1, -1, 0.0, 0.0, to);
    if (*result >= 0) return TT_OK;
    return emit_failed(site, builder, TT_ELTWISE_CAST, builder->registers[a], err);
}

tt_status tt_emit_constant(const tt_site *site, tt_eltwise_builder *builder,
                           tt_dtype dtype, double value, int *result, tt_error *err)
{
    *result = tt_eltwise_constant(builder, dtype, value);
    if (*result >= 0) return TT_OK;
    return emit_failed(site, builder, TT_ELTWISE_ADD, dtype, err);
}

/* ---- post-ops ------------------------------------------------------------- */

bool tt_post_eltwise(tt_node_post *post, int alg, double alpha, double beta)
{
    post->kind = TT_POST_ELTWISE;
    post->alg = alg;
    post->alpha = (float)alpha;
    post->beta = (float)beta;
    post->value = TT_ABSENT;
    return true;
}

bool tt_post_binary(const tt_site *site, int alg, int which, int other,
                    tt_node_post *post)
{
    const int *inputs = site->node->inputs;
    if (inputs[which] == inputs[other]) return false;
    post->kind = TT_POST_BINARY;
    post->alg = alg;
    post->alpha = post->beta = 0.0f;
    post->value = inputs[other];
    return true;
}

bool tt_input_scalar(const tt_site *site, int i, double *out)
{
    return tt_scalar_value(tt_input_constant(site, i), out);
}
