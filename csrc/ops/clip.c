/* Clip: bounds are attributes up to opset 10, scalar inputs since. */
#include <float.h>
#include <math.h>

#include "ops/elementwise.h"

/* ---- opsets 1 to 10 ------------------------------------------------------- */

static tt_status read_bounds(const tt_site *site, float *low, float *high,
                             tt_error *err)
{
    TT_TRY(tt_attribute_float(site->node, "min", -FLT_MAX, low, err));
    return tt_attribute_float(site->node, "max", FLT_MAX, high, err);
}

static tt_status clip_v1_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_infer_same_of(site, TT_TAKES_FLOAT, out, err);
}

static tt_status clip_v1_emit(tt_site *site, tt_eltwise_builder *builder,
                              const int *args, int *result, tt_error *err)
{
    float low, high;
    TT_TRY(read_bounds(site, &low, &high, err));
    return tt_emit_unary(site, builder, TT_ELTWISE_CLIP, args[0], (double)low,
                         (double)high, result, err);
}

static bool clip_v1_post(const tt_site *site, int which, tt_node_post *post)
{
    float low, high;
    (void)which;
    if (read_bounds(site, &low, &high, NULL) != TT_OK) return false;
    return tt_post_eltwise(post, TT_ALG_CLIP, (double)low, (double)high);
}

TT_ELEMENTWISE_OP(clip_v1, "Clip", "", 1, 10, clip_v1_post, "min(max(x, low), high)")

/* ---- since opset 11 ------------------------------------------------------- */

static tt_status clip_v11_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_check_inputs(site, 1, 3, err));
    for (int i = 0; i < site->node->n_inputs; ++i) {
        const tt_shape *shape;
        TT_TRY(tt_check_dtype(site, i, TT_TAKES_NUMBER, err));
        if (i == 0 || !tt_has_input(site, i)) continue;
        shape = tt_input_shape(site, i);
        if (tt_shape_numel(shape) == 1 && shape->rank <= 1 &&
            shape->dtype == tt_input_shape(site, 0)->dtype)
            continue;
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "bound %d must be a %s scalar, it is %s of rank %d with %lld "
                          "elements",
                          i, tt_dtype_name(tt_input_shape(site, 0)->dtype),
                          tt_dtype_name(shape->dtype), shape->rank,
                          (long long)tt_shape_numel(shape));
    }
    return tt_infer_same(site, out, err);
}

/* The constant bounds, infinite when absent; false when one is only known at run time. */
static bool constant_bounds(const tt_site *site, double *low, double *high)
{
    *low = -(double)INFINITY, *high = (double)INFINITY;
    if (tt_has_input(site, 1) && !tt_input_scalar(site, 1, low)) return false;
    return !tt_has_input(site, 2) || tt_input_scalar(site, 2, high);
}

static tt_status clip_v11_emit(tt_site *site, tt_eltwise_builder *builder,
                               const int *args, int *result, tt_error *err)
{
    double low, high;
    *result = args[0];
    if (builder->registers[args[0]] == TT_F32 && constant_bounds(site, &low, &high))
        return tt_emit_unary(site, builder, TT_ELTWISE_CLIP, args[0], low, high, result,
                             err);
    if (tt_has_input(site, 1))
        TT_TRY(tt_emit_binary(site, builder, TT_ELTWISE_MAX, *result, args[1], result,
                              err));
    if (tt_has_input(site, 2))
        TT_TRY(tt_emit_binary(site, builder, TT_ELTWISE_MIN, *result, args[2], result,
                              err));
    return TT_OK;
}

static bool clip_v11_post(const tt_site *site, int which, tt_node_post *post)
{
    double low, high;
    if (which != 0 || !constant_bounds(site, &low, &high)) return false;
    return tt_post_eltwise(post, TT_ALG_CLIP, low, high);
}

TT_ELEMENTWISE_OP(clip_v11, "Clip", "", 11, 0, clip_v11_post, "min(max(x, low), high)")
