/* Expand: broadcasting to a shape, as a view with strides of 0. */
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_shape wanted = {.rank = 0};
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_need_ints(site, 1, wanted.dims, TT_MAX_RANK, &wanted.rank, err));
    for (int i = 0; i < wanted.rank; ++i)
        if (wanted.dims[i] < 0)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "dim %d of the shape is %lld, expected 0 or more", i,
                              (long long)wanted.dims[i]);
    out->dtype = tt_input_shape(site, 0)->dtype;
    tt_status status = tt_shape_broadcast(tt_input_shape(site, 0), &wanted, out, err);
    if (status != TT_OK) tt_error_where(err, site->node->name);
    return status;
}

static tt_status lower_expand(tt_lower *lower, const tt_node *node, tt_error *err)
{
    int64_t strides[TT_MAX_RANK] = {0};
    const tt_shape *src_shape, *dst_shape = tt_output_shape(lower, node, 0);
    tt_operand src;
    int shift;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    src_shape = tt_operand_shape(lower, src);
    shift = dst_shape->rank - src_shape->rank;
    for (int i = 0; i < src_shape->rank; ++i)
        if (src_shape->dims[i] != 1)
            strides[i + shift] = tt_operand_strides(lower, src)[i];
    return tt_lower_view(lower, node, 0, src, strides, 0, err);
}

const tt_op tt_op_expand = {.name = "Expand",
                            .domain = "",
                            .since = 8,
                            .summary = "broadcasts to a shape",
                            .infer = infer,
                            .lower = lower_expand,
                            .takes_strings = true};
