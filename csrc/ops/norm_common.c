/* Lowering helpers of the normalisations: see norm_common.h. */
#include "ops/norm_common.h"

tt_status tt_lower_broadcast(tt_lower *lower, const tt_node *node, int i,
                             const tt_shape *shape, tt_operand *out, tt_error *err)
{
    int64_t strides[TT_MAX_RANK] = {0}, dense[TT_MAX_RANK] = {0};
    tt_shape from;
    tt_operand view;
    TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ANY, &view, err));
    from = *tt_operand_shape(lower, view);
    for (int k = 0; k < from.rank; ++k) {
        int to = k + shape->rank - from.rank;
        if (to >= 0 && from.dims[k] != 1)
            strides[to] = tt_operand_strides(lower, view)[k];
    }
    TT_TRY(tt_lower_subview(lower, view, shape, strides, 0, &view, err));
    tt_strides_row_major(shape->dims, shape->rank, dense);
    return tt_lower_copy(lower, view, dense, out, err);
}

bool tt_may_overwrite(const tt_lower *lower, const tt_node *node, int i)
{
    const tt_graph *graph = tt_lower_graph(lower);
    if (tt_lower_is_output(lower, node, 0)) return false;
    for (int k = 0; k < node->n_inputs; ++k) /* it might overlap input i */
        if (k != i && node->inputs[k] >= 0 &&
            !tt_graph_constant(graph, node->inputs[k]))
            return false;
    return tt_lower_is_last_use(lower, node, node->inputs[i]);
}
