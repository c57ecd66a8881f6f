/* Building, copying and editing graphs.
 * A graph owns its value and node arrays; lists inside nodes live in its region,
 * so an edit never frees and a failed one leaves everything freeable. */
#include "graph/graph.h"

#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "ops/op.h"

/* ---- building ------------------------------------------------------------ */

tt_status tt_graph_new(const tt_limits *limits, tt_graph **out, tt_error *err)
{
    tt_graph *graph = tt_calloc(1, sizeof *graph);
    *out = NULL;
    if (graph == NULL) return tt_fail(err, TT_NO_MEMORY, "a graph");
    graph->name = "";
    graph->limits = limits;
    graph->region = tt_region_new();
    if (graph->region == NULL) {
        tt_graph_free(graph);
        return tt_fail(err, TT_NO_MEMORY, "the region of a graph");
    }
    *out = graph;
    return TT_OK;
}

void tt_graph_free(tt_graph *graph)
{
    if (graph == NULL) return;
    for (int i = 0; i < graph->n_values; ++i)
        tt_constant_unref(graph->values[i].constant);
    tt_free(graph->values);
    tt_free(graph->nodes);
    tt_region_free(graph->region);
    tt_free(graph);
}

tt_status tt_graph_reserve(tt_graph *graph, int64_t n_values, int64_t n_nodes,
                           tt_error *err)
{
    const tt_limits *limits = graph->limits;
    if (n_values > limits->max_values || n_values > INT32_MAX)
        return tt_fail(err, TT_LIMIT, "graph '%s': more than max_values (%lld) values",
                       graph->name, (long long)limits->max_values);
    if (n_nodes > limits->max_nodes || n_nodes > INT32_MAX)
        return tt_fail(err, TT_LIMIT, "graph '%s': more than max_nodes (%lld) nodes",
                       graph->name, (long long)limits->max_nodes);
    if (!tt_grow((void **)&graph->values, &graph->values_capacity, (size_t)n_values,
                 sizeof *graph->values) ||
        !tt_grow((void **)&graph->nodes, &graph->nodes_capacity, (size_t)n_nodes,
                 sizeof *graph->nodes))
        return tt_fail(err, TT_NO_MEMORY, "graph '%s': %lld values and %lld nodes",
                       graph->name, (long long)n_values, (long long)n_nodes);
    return TT_OK;
}

tt_status tt_graph_add_value(tt_graph *graph, const char *name, const tt_shape *shape,
                             int *out, tt_error *err)
{
    tt_value *value;
    TT_TRY(tt_graph_reserve(graph, (int64_t)graph->n_values + 1, graph->n_nodes, err));
    value = &graph->values[graph->n_values];
    memset(value, 0, sizeof *value);
    value->name = name;
    value->shape = *shape;
    value->producer = TT_ABSENT;
    *out = graph->n_values++;
    return TT_OK;
}

tt_status tt_graph_add_constant(tt_graph *graph, const char *name,
                                tt_constant *constant, int *out, tt_error *err)
{
    tt_status status =
        tt_graph_add_value(graph, name, tt_constant_shape(constant), out, err);
    if (status == TT_OK)
        graph->values[*out].constant = constant;
    else
        tt_constant_unref(constant);
    return status;
}

void tt_graph_set_constant(tt_graph *graph, int value, tt_constant *constant)
{
    tt_value *at = &graph->values[value];
    tt_constant *old = at->constant;
    at->constant = constant;
    if (constant != NULL) {
        at->shape = *tt_constant_shape(constant);
        at->producer = TT_ABSENT;
    }
    tt_constant_unref(old);
}

tt_status tt_graph_add_node(tt_graph *graph, const tt_op *op, const char *name,
                            int n_inputs, int n_outputs, tt_node **out, tt_error *err)
{
    tt_node *node;
    int *inputs, *outputs;
    *out = NULL;
    TT_TRY(tt_graph_reserve(graph, graph->n_values, (int64_t)graph->n_nodes + 1, err));
    inputs = tt_region_alloc(graph->region, (size_t)n_inputs, sizeof *inputs);
    outputs = tt_region_alloc(graph->region, (size_t)n_outputs, sizeof *outputs);
    if (inputs == NULL || outputs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "node '%s' with %d inputs and %d outputs",
                       name, n_inputs, n_outputs);
    for (int i = 0; i < n_inputs; ++i)
        inputs[i] = TT_ABSENT;
    for (int i = 0; i < n_outputs; ++i)
        outputs[i] = TT_ABSENT;
    node = &graph->nodes[graph->n_nodes++];
    memset(node, 0, sizeof *node);
    node->op = op;
    node->op_type = op == NULL ? "" : op->name;
    node->domain = op == NULL ? "" : op->domain;
    node->version = op == NULL ? 1 : op->since;
    node->name = name;
    node->n_inputs = n_inputs;
    node->n_outputs = n_outputs;
    node->inputs = inputs;
    node->outputs = outputs;
    *out = node;
    return TT_OK;
}

/* ---- copying ------------------------------------------------------------- */

/* A copy of list[0..n) in the region; sets *failed when there is no memory. */
static int *copy_list(tt_region *region, const int *list, int n, bool *failed)
{
    int *copy = tt_region_alloc(region, (size_t)n, sizeof *copy);
    if (copy == NULL)
        *failed = true;
    else if (n > 0)
        memcpy(copy, list, (size_t)n * sizeof *copy);
    return copy;
}

static bool copy_nodes(const tt_graph *graph, tt_graph *copy)
{
    bool failed = false;
    for (int i = 0; i < graph->n_nodes && !failed; ++i) {
        const tt_node *from = &graph->nodes[i];
        tt_node *to = &copy->nodes[i];
        *to = *from;
        to->inputs = copy_list(copy->region, from->inputs, from->n_inputs, &failed);
        to->outputs = copy_list(copy->region, from->outputs, from->n_outputs, &failed);
        copy->n_nodes = i + 1;
    }
    return !failed;
}

tt_status tt_graph_copy(const tt_graph *graph, tt_graph **out, tt_error *err)
{
    bool failed = false;
    tt_graph *copy;
    *out = NULL;
    TT_TRY(tt_graph_new(graph->limits, &copy, err));
    copy->name = graph->name;
    if (tt_graph_reserve(copy, graph->n_values, graph->n_nodes, err) != TT_OK)
        goto done;
    copy->inputs = copy_list(copy->region, graph->inputs, graph->n_inputs, &failed);
    copy->outputs = copy_list(copy->region, graph->outputs, graph->n_outputs, &failed);
    copy->captures = tt_region_alloc(copy->region, (size_t)graph->n_captures,
                                     sizeof *copy->captures);
    if (failed || copy->captures == NULL || !copy_nodes(graph, copy)) goto done;
    copy->n_inputs = graph->n_inputs;
    copy->n_outputs = graph->n_outputs;
    copy->n_captures = graph->n_captures;
    if (graph->n_captures > 0)
        memcpy(copy->captures, graph->captures,
               (size_t)graph->n_captures * sizeof *copy->captures);
    for (int i = 0; i < graph->n_values; ++i) {
        copy->values[i] = graph->values[i];
        if (copy->values[i].constant != NULL) tt_constant_ref(copy->values[i].constant);
    }
    copy->n_values = graph->n_values;
    *out = copy;
    return TT_OK;
done:
    tt_graph_free(copy);
    return tt_fail(err, TT_NO_MEMORY, "a copy of graph '%s'", graph->name);
}
