/* Nodes without effect vanish: Identity, Dropout at inference, casts to the type the
 * tensor has. */
#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

static bool is_idle_dropout(const tt_graph *graph, const tt_node *node)
{
    const tt_constant *training;
    double value;
    if (!tt_node_is(node, "Dropout")) return false;
    if (node->n_outputs > 1 && node->outputs[1] >= 0 &&
        tt_graph_n_uses(graph, node->outputs[1]) > 0)
        return false;
    if (node->version < 7) {
        const tt_attribute *is_test = tt_attribute_find(node, "is_test");
        return is_test != NULL && is_test->as.ints[0] != 0;
    }
    if (node->n_inputs < 3 || node->inputs[2] < 0) return true;
    training = tt_graph_constant(graph, node->inputs[2]);
    return training != NULL && tt_scalar_value(training, &value) && value == 0.0;
}

static bool is_idle_cast(const tt_graph *graph, const tt_node *node)
{
    const tt_attribute *to = tt_attribute_find(node, "to");
    return tt_node_is(node, "Cast") && to != NULL && to->kind == TT_ATTRIBUTE_INT &&
           graph->values[node->inputs[0]].shape.rank >= 0 &&
           (int64_t)graph->values[node->inputs[0]].shape.dtype == to->as.ints[0];
}

tt_status tt_graph_simplify(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        if (node->dead || node->n_inputs < 1 || node->inputs[0] < 0) continue;
        if (!tt_node_is(node, "Identity") && !is_idle_dropout(graph, node) &&
            !is_idle_cast(graph, node))
            continue;
        if (node->outputs[0] < 0) continue;
        tt_graph_replace(graph, node->outputs[0], node->inputs[0]);
        node->dead = true;
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
