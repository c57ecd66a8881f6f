/* DynamicQuantizeLinear: to uint8 over the range of the data, zero included. */
#include <math.h>
#include <string.h>

#include "kernels/quantize.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_shape src;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = *tt_input_shape(site, 0);
    if (src.dtype != TT_F32)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the input must be float32, not %s",
                          tt_dtype_name(src.dtype));
    if (site->node->n_outputs != 3)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%d outputs, expected 3",
                          site->node->n_outputs);
    out[0] = src;
    out[0].dtype = TT_U8;
    out[1] = (tt_shape){.dtype = TT_F32};
    out[2] = (tt_shape){.dtype = TT_U8};
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_quantize *quantize = params;
    float low, high, scale, *scale_out = ptrs[2];
    uint8_t *zero_out = ptrs[3];
    double zero;
    (void)err;
    tt_range_with_zero(ptrs[0], quantize->n_inner, &low, &high);
    scale = high == low ? 1.0f : (high - low) / 255.0f;
    zero = nearbyint((double)(-low / scale));
    *scale_out = scale;
    *zero_out = (uint8_t)(zero < 0 ? 0 : zero > 255 ? 255 : zero);
    tt_quantize_run(quantize, ptrs[0], scale_out, zero_out, ptrs[1]);
    return TT_OK;
}

/* An output, or working memory where nobody reads it. */
static tt_status make_scalar(tt_lower *lower, const tt_node *node, int i,
                             tt_operand *out, tt_error *err)
{
    TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR, out, err));
    if (*out != TT_NO_OPERAND) return TT_OK;
    return tt_lower_temporary(lower, 4, out, err);
}

static tt_status lower_dynamic(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_quantize quantize = {
        .real = TT_F32, .quantized = TT_U8, .scale = TT_F32, .n_outer = 1, .n_axis = 1};
    int64_t strides[TT_MAX_RANK];
    tt_operand operands[4];
    tt_work work = {0};
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_DENSE, &operands[0], err));
    memcpy(strides, tt_operand_strides(lower, operands[0]), sizeof strides);
    quantize.n_inner = tt_shape_numel(tt_operand_shape(lower, operands[0]));
    if (node->outputs[0] < 0)
        return tt_fail_at(node, err, TT_BAD_MODEL, "output %d has no name", 0);
    TT_TRY(tt_lower_dst_strided(lower, node, 0, strides, &operands[1], err));
    TT_TRY(make_scalar(lower, node, 1, &operands[2], err));
    TT_TRY(make_scalar(lower, node, 2, &operands[3], err));
    work.bytes = 9 * (double)quantize.n_inner;
    work.cost_ns = 30 + .3 * (double)quantize.n_inner;
    return tt_lower_kernel(lower, node, "dynamic_quantize", run, &quantize,
                           sizeof quantize, operands, 1, 3, &work, err);
}

const tt_op tt_op_dynamic_quantize_linear = {.name = "DynamicQuantizeLinear",
                                             .domain = "",
                                             .since = 11,
                                             .summary =
                                                 "to uint8 over the data's range",
                                             .infer = infer,
                                             .lower = lower_dynamic};
