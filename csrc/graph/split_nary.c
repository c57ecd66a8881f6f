/* Sum, Max and Min of many tensors become a tree of nodes with few inputs each: an
 * elementwise step reads a bounded number of operands.  Mean becomes Sum and Div. */
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

enum { MAX_INPUTS = 8 };

static bool is_nary(const tt_node *node)
{
    return (tt_node_is(node, "Sum") || tt_node_is(node, "Max") ||
            tt_node_is(node, "Min") || tt_node_is(node, "Mean")) &&
           node->n_inputs > MAX_INPUTS;
}

/* Mean(x..) = Sum(x..) / n: the node becomes the division. */
static tt_status split_mean(tt_graph *graph, int at, tt_error *err)
{
    tt_shape shape = {.dtype = graph->values[graph->nodes[at].inputs[0]].shape.dtype,
                      .rank = TT_UNKNOWN_RANK};
    tt_shape scalar = {.dtype = TT_F32};
    const tt_op *div = tt_op_find("", "Div", 14), *sum = tt_op_find("", "Sum", 13);
    tt_constant *count;
    tt_node *made, *mean;
    int total, divisor;
    void *data;
    if (div == NULL || sum == NULL || shape.dtype != TT_F32) return TT_OK;
    TT_TRY(tt_constant_empty(&scalar, &count, &data, err));
    *(float *)data = (float)graph->nodes[at].n_inputs;
    TT_TRY(tt_graph_add_constant(graph, "", count, &divisor, err));
    TT_TRY(tt_graph_add_value(graph, graph->nodes[at].name, &shape, &total, err));
    TT_TRY(tt_graph_add_node(graph, sum, graph->nodes[at].name,
                             graph->nodes[at].n_inputs, 1, &made, err));
    mean = &graph->nodes[at];
    made->op_type = sum->name;
    made->domain = sum->domain;
    made->version = 13;
    memcpy(made->inputs, mean->inputs, (size_t)mean->n_inputs * sizeof *made->inputs);
    made->outputs[0] = total;
    int inputs[2] = {total, divisor};
    (void)tt_node_become(graph, mean, "Div", 14, inputs, 2);
    return TT_OK;
}

/* The first MAX_INPUTS inputs go to a node of their own. */
static tt_status split_once(tt_graph *graph, int at, tt_error *err)
{
    const tt_node *node = &graph->nodes[at];
    tt_shape shape = {.dtype = graph->values[node->inputs[0]].shape.dtype,
                      .rank = TT_UNKNOWN_RANK};
    int n_rest = node->n_inputs - MAX_INPUTS, part, *inputs;
    tt_node *made, *whole;
    TT_TRY(tt_graph_add_value(graph, node->name, &shape, &part, err));
    TT_TRY(tt_graph_add_node(graph, node->op, node->name, MAX_INPUTS, 1, &made, err));
    inputs = tt_region_alloc(graph->region, (size_t)n_rest + 1, sizeof *inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "splitting a sum");
    whole = &graph->nodes[at];
    made->op_type = whole->op_type;
    made->domain = whole->domain;
    made->version = whole->version;
    memcpy(made->inputs, whole->inputs, MAX_INPUTS * sizeof *inputs);
    made->outputs[0] = part;
    memcpy(inputs, whole->inputs + MAX_INPUTS, (size_t)n_rest * sizeof *inputs);
    inputs[n_rest] = part;
    whole->inputs = inputs;
    whole->n_inputs = n_rest + 1;
    return TT_OK;
}

tt_status tt_graph_split_nary(tt_graph *graph, tt_error *err)
{
    bool changed = false;
    for (int i = 0; i < graph->n_nodes; ++i) {
        if (!is_nary(&graph->nodes[i])) continue;
        changed = true;
        if (tt_node_is(&graph->nodes[i], "Mean")) {
            TT_TRY(split_mean(graph, i, err));
            continue;
        }
        while (graph->nodes[i].n_inputs > MAX_INPUTS)
            TT_TRY(split_once(graph, i, err));
    }
    return changed ? tt_graph_sort(graph, err) : TT_OK;
}
