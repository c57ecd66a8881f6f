/* Pow: the result has the dtype of the base; since opset 12 the exponent may have
 * another one. */
#include "ops/elementwise.h"

static tt_status pow_v7_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_status status;
    TT_TRY(tt_check_inputs(site, 2, 2, err));
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_NUMBER, err));
    TT_TRY(tt_check_dtype(site, 1, TT_TAKES_NUMBER, err));
    *out = *tt_input_shape(site, 0);
    status =
        tt_shape_broadcast(tt_input_shape(site, 0), tt_input_shape(site, 1), out, err);
    if (status != TT_OK) {
        tt_error_where(err, site->node->name);
        return status;
    }
    return tt_check_shape(site, out, err);
}

/* Where base and exponent meet: integers in int64 (the low bits are those of any
 * narrower integer), else the wider float. */
static tt_dtype common_dtype(tt_dtype base, tt_dtype exponent)
{
    if (base == exponent) return base;
    if (tt_dtype_is_int(base) && tt_dtype_is_int(exponent)) return TT_S64;
    if (base == TT_F32 || (exponent == TT_F32 && base != TT_F64))
        return tt_dtype_is_int(base) ? TT_F64 : TT_F32;
    return TT_F64;
}

static tt_status pow_v7_emit(tt_site *site, tt_eltwise_builder *builder,
                             const int *args, int *result, tt_error *err)
{
    const tt_dtype base = builder->registers[args[0]];
    const tt_dtype dtype = common_dtype(base, builder->registers[args[1]]);
    double exponent;
    int x, y;
    if (tt_dtype_is_float(base) && tt_input_scalar(site, 1, &exponent))
        return tt_emit_unary(site, builder, TT_ELTWISE_POW_SCALAR, args[0], exponent, 0,
                             result, err);
    TT_TRY(tt_emit_cast(site, builder, args[0], dtype, &x, err));
    TT_TRY(tt_emit_cast(site, builder, args[1], dtype, &y, err));
    TT_TRY(tt_emit_binary(site, builder, TT_ELTWISE_POW, x, y, &x, err));
    return tt_emit_cast(site, builder, x, base, result, err);
}

static bool pow_v7_post(const tt_site *site, int which, tt_node_post *post)
{
    double exponent;
    if (which != 0 || !tt_input_scalar(site, 1, &exponent)) return false;
    if (exponent == 2.0) return tt_post_eltwise(post, TT_ALG_SQUARE, 0, 0);
    if (exponent == 0.5) return tt_post_eltwise(post, TT_ALG_SQRT, 0, 0);
    if (exponent == -1.0) return tt_post_eltwise(post, TT_ALG_POW, 1, -1);
    return false;
}

TT_ELEMENTWISE_OP(pow_v7, "Pow", "", 7, 0, pow_v7_post, "a to the power of b")
