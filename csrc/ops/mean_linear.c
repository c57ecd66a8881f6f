/* Means over dims of an 8-bit tensor; see mean_linear.h. */
#include "ops/mean_linear.h"

#include "kernels/mean_bytes.h"
#include "ops/fail.h"
#include "plan/lower.h"

static tt_status lower_mean(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape x = *tt_input_shape(&site, 0);
    const tt_attribute *axes = tt_attribute_find(node, "axes");
    bool is_reduced[TT_MAX_RANK] = {false};
    tt_mean_bytes mean = {
        .dims = {.kind = TT_REDUCE_MEAN, .dtype = x.dtype}
    };
    const double n = (double)tt_shape_numel(&x);
    const tt_work work = {.flops = n, .bytes = n, .cost_ns = 20.0 + 0.05 * n};
    tt_operand operands[2];
    if (axes == NULL || !tt_scalar_value(tt_input_constant(&site, 1), &mean.scale) ||
        (tt_has_input(&site, 2) &&
         !tt_scalar_value(tt_input_constant(&site, 2), &mean.zero_point)))
        return tt_fail_at(node, err, TT_INTERNAL, "has no scalars");
    for (int64_t i = 0; i < axes->n; ++i)
        is_reduced[axes->as.ints[i]] = true;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    tt_reduce_plan(&mean.dims, &x, tt_operand_strides(lower, operands[0]), is_reduced);
    return tt_lower_kernel(lower, node, "mean_bytes", tt_mean_bytes_run, &mean,
                           sizeof mean, operands, 1, 1, &work, err);
}

const tt_op tt_op_mean_linear = {.name = "MeanLinear",
                                 .domain = "trimtab",
                                 .since = 1,
                                 .summary = "mean of a dequantised tensor",
                                 .lower = lower_mean};
