/* Parameters of QuantizeLinear and DequantizeLinear; see linear.h. */
#include "graph/linear.h"

#include "graph/match.h"
#include "ops/op.h"

bool tt_linear_is_used(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        if (tt_node_is(&graph->nodes[i], "DequantizeLinear")) return true;
    return false;
}

/* One element for all of them, not one per place along an axis of one place. */
static bool read_scalar(const tt_graph *graph, int value, double *out)
{
    return value >= 0 && graph->values[value].shape.rank <= 1 &&
           tt_match_any_scalar(graph, value, out);
}

bool tt_linear_of(const tt_graph *graph, const tt_node *node, tt_linear *out)
{
    const bool back = tt_node_is(node, "DequantizeLinear");
    const tt_attribute *block = tt_attribute_find(node, "block_size");
    tt_dtype real, scale;
    if (!back && !tt_node_is(node, "QuantizeLinear")) return false;
    if (node->n_inputs < 2 || node->inputs[0] < 0 || node->outputs[0] < 0) return false;
    if (block != NULL && (block->kind != TT_ATTRIBUTE_INT || block->as.ints[0] != 0))
        return false;
    real = graph->values[back ? node->outputs[0] : node->inputs[0]].shape.dtype;
    out->dtype = graph->values[back ? node->inputs[0] : node->outputs[0]].shape.dtype;
    if (real != TT_F32 || (out->dtype != TT_U8 && out->dtype != TT_S8)) return false;
    if (!read_scalar(graph, node->inputs[1], &out->scale)) return false;
    scale = graph->values[node->inputs[1]].shape.dtype;
    out->zero_point = 0.0;
    if (node->n_inputs > 2 && node->inputs[2] >= 0 &&
        !read_scalar(graph, node->inputs[2], &out->zero_point))
        return false;
    out->node = (int)(node - graph->nodes);
    return scale == TT_F32 && out->scale > 1e-30 && out->scale < 1e30;
}

bool tt_linear_dequantized(const tt_graph *graph, int value, tt_linear *out)
{
    const tt_node *node;
    if (value < 0 || graph->values[value].producer < 0) return false;
    node = &graph->nodes[graph->values[value].producer];
    return tt_node_is(node, "DequantizeLinear") && tt_linear_of(graph, node, out);
}

bool tt_linear_same(const tt_linear *a, const tt_linear *b)
{
    return a->dtype == b->dtype && a->scale == b->scale &&
           a->zero_point == b->zero_point;
}
