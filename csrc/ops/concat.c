/* Concat: producers write straight into the result where they can; what is not there
 * already is copied to its place. */
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

/* Opset 1 knows a default axis of 1; later ones require the attribute. */
static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    if (node->version >= 4 && tt_attribute_find(node, "axis") == NULL)
        return tt_fail_at(node, err, TT_BAD_MODEL, "attribute '%s' is missing", "axis");
    TT_TRY(tt_attribute_int(node, "axis", 1, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    int axis;
    TT_TRY(tt_need_inputs(site, node->n_inputs > 0 ? node->n_inputs : 1, err));
    *out = *tt_input_shape(site, 0);
    TT_TRY(read_axis(node, out->rank, &axis, err));
    for (int k = 1; k < node->n_inputs; ++k) {
        const tt_shape *src = tt_input_shape(site, k);
        bool fits = src->rank == out->rank && src->dtype == out->dtype;
        for (int i = 0; fits && i < out->rank; ++i)
            fits = i == axis || src->dims[i] == out->dims[i];
        if (fits) fits = tt_add_i64(out->dims[axis], src->dims[axis], &out->dims[axis]);
        if (!fits) {
            char first[256], other[256];
            return tt_fail_at(
                node, err, TT_BAD_MODEL,
                "input %d is %s%s, which does not fit %s%s of input 0 but "
                "for axis %d",
                k, tt_dtype_name(src->dtype), tt_shape_text(src, other, sizeof other),
                tt_dtype_name(out->dtype),
                tt_shape_text(tt_input_shape(site, 0), first, sizeof first), axis);
        }
    }
    return TT_OK;
}

/* The result lies in memory like the largest input. */
static tt_status make_dst(tt_lower *lower, const tt_node *node, tt_operand *out,
                          tt_error *err)
{
    tt_order order = TT_ORDER_ROW_MAJOR;
    int64_t most = -1;
    for (int k = 0; k < node->n_inputs; ++k) {
        tt_operand src;
        int64_t n;
        TT_TRY(tt_lower_src(lower, node, k, TT_ORDER_ANY, &src, err));
        n = tt_shape_numel(tt_operand_shape(lower, src));
        if (n <= most) continue;
        most = n;
        order = tt_order_like(lower, src);
    }
    if (order == TT_ORDER_ROW_MAJOR) order = TT_ORDER_ANY;
    return tt_lower_dst(lower, node, 0, order, out, err);
}

/* Has input k been written to its place already?  A tensor that comes twice is only
 * in its first place. */
static bool is_placed(const tt_lower *lower, const tt_node *node, int k)
{
    for (int i = 0; i < k; ++i)
        if (node->inputs[i] == node->inputs[k]) return false;
    return tt_lower_is_placed(lower, node, k);
}

/* Adds the moves of all inputs; operands[0..n) are the sources, then comes dst. */
static tt_status add_moves(tt_lower *lower, const tt_node *node, tt_operand dst,
                           int axis, tt_operand *operands, int *n_src, tt_moves *moves,
                           tt_error *err)
{
    int64_t strides[TT_MAX_RANK], src_strides[TT_MAX_RANK], offset = 0;
    int n = node->n_inputs;
    memcpy(strides, tt_operand_strides(lower, dst), sizeof strides);
    *n_src = n;
    for (int k = 0; k < n; ++k) {
        tt_shape shape;
        TT_TRY(tt_lower_src(lower, node, k, TT_ORDER_ANY, &operands[k], err));
        shape = *tt_operand_shape(lower, operands[k]);
        memcpy(src_strides, tt_operand_strides(lower, operands[k]), sizeof src_strides);
        if (is_placed(lower, node, k))
            operands[k] = TT_NO_OPERAND;
        else
            TT_TRY(tt_moves_add(moves, &shape, (tt_moves_end){k, src_strides, 0},
                                (tt_moves_end){n, strides, offset}, err));
        offset += shape.dims[axis] * strides[axis];
    }
    operands[n] = dst;
    return TT_OK;
}

static tt_status lower_concat(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_operand dst = TT_NO_OPERAND, *operands;
    tt_moves moves = {0};
    tt_status status;
    int axis, n_src;
    TT_TRY(read_axis(node, tt_output_shape(lower, node, 0)->rank, &axis, err));
    for (int k = 0; k < node->n_inputs && dst == TT_NO_OPERAND; ++k)
        if (tt_lower_is_placed(lower, node, k))
            TT_TRY(tt_lower_value(lower, node->outputs[0], TT_ORDER_ANY, &dst, err));
    if (dst == TT_NO_OPERAND) TT_TRY(make_dst(lower, node, &dst, err));
    operands = tt_calloc((size_t)node->n_inputs + 1, sizeof *operands);
    if (operands == NULL)
        return tt_fail_at(node, err, TT_NO_MEMORY, "%d inputs", node->n_inputs);
    status = add_moves(lower, node, dst, axis, operands, &n_src, &moves, err);
    if (status == TT_OK)
        status =
            tt_moves_finish(&moves, lower, node, "concat", operands, n_src, 1, err);
    tt_moves_free(&moves);
    tt_free(operands);
    return status;
}

const tt_op tt_op_concat = {.name = "Concat",
                            .domain = "",
                            .since = 1,
                            .summary = "tensors one after the other along an axis",
                            .infer = infer,
                            .lower = lower_concat,
                            .takes_strings = true};
