/* PRelu: the slope broadcasts to the input, never the other way. */
#include "ops/elementwise.h"

static tt_status prelu_v7_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x;
    TT_TRY(tt_infer_broadcast_of(site, TT_TAKES_NUMBER, out, err));
    x = tt_input_shape(site, 0);
    if (!tt_shape_equal(x, out)) {
        char wanted[256], got[256];
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the slope %s must broadcast to the input %s",
                          tt_shape_text(tt_input_shape(site, 1), got, sizeof got),
                          tt_shape_text(x, wanted, sizeof wanted));
    }
    return TT_OK;
}

static tt_status prelu_v7_emit(tt_site *site, tt_eltwise_builder *builder,
                               const int *args, int *result, tt_error *err)
{
    return tt_emit_binary(site, builder, TT_ELTWISE_PRELU, args[0], args[1], result,
                          err);
}

static bool prelu_v7_post(const tt_site *site, int which, tt_node_post *post)
{
    double slope;
    if (which != 0 || !tt_input_scalar(site, 1, &slope)) return false;
    return tt_post_eltwise(post, TT_ALG_RELU, slope, 0);
}

TT_ELEMENTWISE_OP(prelu_v7, "PRelu", "", 7, 0, prelu_v7_post, "x, or slope x below 0")
