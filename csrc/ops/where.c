/* Where: one of two broadcast inputs, by a bool condition. */
#include "ops/elementwise.h"

static tt_status broadcast(const tt_site *site, int i, tt_shape *out, tt_error *err)
{
    tt_status status = tt_shape_broadcast(out, tt_input_shape(site, i), out, err);
    if (status != TT_OK) tt_error_where(err, site->node->name);
    return status;
}

static tt_status where_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_check_inputs(site, 3, 3, err));
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_BOOL, err));
    TT_TRY(tt_check_dtype(site, 1, TT_TAKES_ANY, err));
    *out = *tt_input_shape(site, 1);
    if (tt_input_shape(site, 2)->dtype != out->dtype)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "inputs 1 and 2 must have one dtype, they are %s and %s",
                          tt_dtype_name(out->dtype),
                          tt_dtype_name(tt_input_shape(site, 2)->dtype));
    TT_TRY(broadcast(site, 2, out, err));
    TT_TRY(broadcast(site, 0, out, err));
    return tt_check_shape(site, out, err);
}

static tt_status where_emit(tt_site *site, tt_eltwise_builder *builder, const int *args,
                            int *result, tt_error *err)
{
    return tt_emit(site, builder, TT_ELTWISE_SELECT, args[0], args[1], args[2], 0, 0,
                   result, err);
}

TT_ELEMENTWISE_OP(where, "Where", "", 9, 0, NULL, "condition ? a : b")
