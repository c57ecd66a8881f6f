/* GatherElements: one element per index, along an axis. */
#include <string.h>

#include "kernels/gather.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, "axis", 0, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src, *indices;
    int axis;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_need_index_dtype(site, 1, err));
    src = tt_input_shape(site, 0);
    indices = tt_input_shape(site, 1);
    TT_TRY(read_axis(site->node, src->rank, &axis, err));
    for (int i = 0; i < src->rank || indices->rank != src->rank; ++i) {
        char from[256], at[256];
        if (indices->rank == src->rank &&
            (i == axis || indices->dims[i] <= src->dims[i]))
            continue;
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "indices %s must have the rank of data %s and be no longer "
                          "but along axis %d",
                          tt_shape_text(indices, at, sizeof at),
                          tt_shape_text(src, from, sizeof from), axis);
    }
    *out = *indices;
    out->dtype = src->dtype;
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    return tt_gather_elements_run(params, ptrs[0], ptrs[1], ptrs[2], err);
}

static tt_status lower_gather_elements(tt_lower *lower, const tt_node *node,
                                       tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0), *indices = tt_input_shape(&site, 1);
    tt_gather_elements gather = {.rank = src->rank,
                                 .dim = 0,
                                 .item_bytes = (int)tt_dtype_bytes(src->dtype),
                                 .is_32 = indices->dtype == TT_S32};
    double n = (double)tt_shape_numel(indices);
    tt_work work = {.bytes = n * (8 + 2 * gather.item_bytes), .cost_ns = 20 + 2 * n};
    tt_operand operands[3];
    TT_TRY(read_axis(node, src->rank, &gather.axis, err));
    gather.dim = src->dims[gather.axis];
    memcpy(gather.dims, indices->dims, sizeof gather.dims);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    memcpy(gather.src_strides, tt_operand_strides(lower, operands[0]),
           sizeof gather.src_strides);
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "gather_elements", run, &gather, sizeof gather,
                           operands, 2, 1, &work, err);
}

const tt_op tt_op_gather_elements = {.name = "GatherElements",
                                     .domain = "",
                                     .since = 11,
                                     .summary = "one element per index along an axis",
                                     .infer = infer,
                                     .lower = lower_gather_elements,
                                     .takes_strings = true};
