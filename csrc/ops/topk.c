/* TopK: the k largest or smallest along an axis, in order.  k is an attribute in opset
 * 1, an input since 10; opset 11 adds largest and sorted (the result always is). */
#include "kernels/topk.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, "axis", -1, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int64_t k = -1;
    int axis, n = 1;
    TT_TRY(tt_need_inputs(site, node->version < 10 ? 1 : 2, err));
    src = tt_input_shape(site, 0);
    TT_TRY(read_axis(node, src->rank, &axis, err));
    if (node->version < 10)
        TT_TRY(tt_attribute_int(node, "k", -1, &k, err));
    else
        TT_TRY(tt_need_ints(site, 1, &k, 1, &n, err));
    if (n != 1 || k < 0 || k > src->dims[axis])
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "k is %lld, axis %d has %lld elements", (long long)k, axis,
                          (long long)src->dims[axis]);
    if (!tt_topk_has(src->dtype))
        return tt_fail_at(node, err, TT_UNSUPPORTED, "order of %s",
                          tt_dtype_name(src->dtype));
    out[0] = *src;
    out[0].dims[axis] = k;
    if (node->n_outputs > 1) {
        out[1] = out[0];
        out[1].dtype = TT_S64;
    }
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_topk_run(params, ptrs[0], ptrs[1], ptrs[2]);
    return TT_OK;
}

static tt_status lower_topk(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0);
    tt_topk topk = {.dtype = src->dtype, .n_outer = 1, .n_inner = 1, .largest = true};
    tt_operand operands[3];
    tt_work work = {.bytes = (double)tt_shape_bytes(src)};
    int64_t largest = 1;
    int axis;
    TT_TRY(read_axis(node, src->rank, &axis, err));
    if (node->version >= 11)
        TT_TRY(tt_attribute_int(node, "largest", 1, &largest, err));
    topk.largest = largest != 0;
    topk.n = src->dims[axis];
    for (int i = 0; i < src->rank; ++i)
        if (i != axis) *(i < axis ? &topk.n_outer : &topk.n_inner) *= src->dims[i];
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[2], err));
    if (operands[1] == TT_NO_OPERAND && operands[2] == TT_NO_OPERAND) return TT_OK;
    {
        tt_shape shape = *tt_operand_shape(
            lower, operands[1] == TT_NO_OPERAND ? operands[2] : operands[1]);
        topk.k = shape.dims[axis];
        if (operands[2] == TT_NO_OPERAND) /* the kernel works in the indices */
            TT_TRY(tt_lower_temporary(lower, (size_t)tt_shape_numel(&shape) * 8,
                                      &operands[2], err));
    }
    work.cost_ns = 30 + 1.5 * (double)tt_shape_numel(tt_input_shape(&site, 0));
    return tt_lower_kernel(lower, node, "topk", run, &topk, sizeof topk, operands, 1, 2,
                           &work, err);
}

const tt_op tt_op_topk = {.name = "TopK",
                          .domain = "",
                          .since = 1,
                          .summary = "the k largest or smallest along an axis",
                          .infer = infer,
                          .lower = lower_topk};
