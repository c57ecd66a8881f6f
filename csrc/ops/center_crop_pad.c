/* CenterCropPad: cuts or pads with zeros on both sides until the shape is reached. */
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    int64_t wanted[TT_MAX_RANK];
    const int64_t *axes;
    unsigned seen = 0;
    int n, n_axes;
    TT_TRY(tt_need_inputs(site, 2, err));
    *out = *tt_input_shape(site, 0);
    TT_TRY(tt_need_ints(site, 1, wanted, TT_MAX_RANK, &n, err));
    TT_TRY(tt_attribute_ints(node, "axes", &axes, &n_axes, err));
    if (n != (n_axes < 0 ? out->rank : n_axes))
        return tt_fail_at(node, err, TT_BAD_MODEL, "shape has %d items for %d axes", n,
                          n_axes < 0 ? out->rank : n_axes);
    for (int i = 0; i < n; ++i) {
        int axis;
        TT_TRY(tt_axis(node, n_axes < 0 ? i : axes[i], out->rank, &axis, err));
        if (wanted[i] < 0 || (seen & (1u << axis)) != 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "dim %lld of axis %d is wrong",
                              (long long)wanted[i], axis);
        seen |= 1u << axis;
        out->dims[axis] = wanted[i];
    }
    return TT_OK;
}

static tt_status pad_and_copy(tt_lower *lower, const tt_node *node, tt_operand src,
                              const tt_shape *kept, const int64_t *src_strides,
                              int64_t src_offset, const int64_t *start, tt_error *err)
{
    static const int64_t zeros[TT_MAX_RANK] = {0};
    tt_shape shape = *tt_output_shape(lower, node, 0), single = {.dtype = shape.dtype};
    int64_t strides[TT_MAX_RANK], offset = 0;
    tt_operand operands[3] = {src, TT_NO_OPERAND, TT_NO_OPERAND};
    tt_constant *zero;
    tt_moves moves = {0};
    tt_status status;
    void *data;
    TT_TRY(tt_constant_empty(&single, &zero, &data, err));
    TT_TRY(tt_lower_constant(lower, zero, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ANY, &operands[2], err));
    memcpy(strides, tt_operand_strides(lower, operands[2]), sizeof strides);
    for (int i = 0; i < shape.rank; ++i)
        offset += start[i] * strides[i];
    status = tt_moves_add(&moves, &shape, (tt_moves_end){1, zeros, 0},
                          (tt_moves_end){2, strides, 0}, err);
    if (status == TT_OK)
        status = tt_moves_add(&moves, kept, (tt_moves_end){0, src_strides, src_offset},
                              (tt_moves_end){2, strides, offset}, err);
    if (status == TT_OK)
        status = tt_moves_finish(&moves, lower, node, "center_crop_pad", operands, 2, 1,
                                 err);
    tt_moves_free(&moves);
    return status;
}

static tt_status lower_center(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_shape shape = *tt_output_shape(lower, node, 0), kept;
    int64_t strides[TT_MAX_RANK], start[TT_MAX_RANK] = {0}, offset = 0;
    bool pads = false;
    tt_operand src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    kept = *tt_operand_shape(lower, src);
    memcpy(strides, tt_operand_strides(lower, src), sizeof strides);
    for (int i = 0; i < shape.rank; ++i) {
        int64_t more = shape.dims[i] - kept.dims[i];
        pads |= more > 0;
        if (more > 0)
            start[i] = more / 2;
        else
            offset += -more / 2 * strides[i];
        if (more < 0) kept.dims[i] = shape.dims[i];
    }
    if (!pads) return tt_lower_view(lower, node, 0, src, strides, offset, err);
    return pad_and_copy(lower, node, src, &kept, strides, offset, start, err);
}

const tt_op tt_op_center_crop_pad = {.name = "CenterCropPad",
                                     .domain = "",
                                     .since = 18,
                                     .summary = "cuts or pads on both sides to a shape",
                                     .infer = infer,
                                     .lower = lower_center};
