/* Legality of a graph: what every pass may rely on and must leave behind. */
#include "graph/check.h"

#include "base/alloc.h"

/* ---- shapes -------------------------------------------------------------- */

static tt_status check_concrete(const tt_graph *graph, const tt_value *value,
                                tt_error *err)
{
    const tt_shape *shape = &value->shape;
    size_t bytes;
    char text[256];
    if (!tt_dtype_is_known(shape->dtype))
        return tt_fail(err, TT_INTERNAL, "graph '%s': tensor '%s' has no dtype",
                       graph->name, value->name);
    if (shape->rank < 0)
        return tt_fail(err, TT_INTERNAL, "graph '%s': tensor '%s' has no rank",
                       graph->name, value->name);
    if (!tt_dense_bytes(shape, &bytes) ||
        bytes > (uint64_t)graph->limits->max_tensor_bytes)
        return tt_fail(err, TT_INTERNAL,
                       "graph '%s': tensor '%s' has shape %s, which is not concrete or "
                       "exceeds max_tensor_bytes",
                       graph->name, value->name,
                       tt_shape_text(shape, text, sizeof text));
    return TT_OK;
}

static tt_status check_values(const tt_graph *graph, tt_error *err)
{
    for (int i = 0; i < graph->n_values; ++i) {
        const tt_value *value = &graph->values[i];
        if (value->name == NULL)
            return tt_fail(err, TT_INTERNAL, "graph '%s': tensor %d has no name",
                           graph->name, i);
        if (value->shape.rank < TT_UNKNOWN_RANK || value->shape.rank > TT_MAX_RANK)
            return tt_fail(err, TT_INTERNAL, "graph '%s': tensor '%s' has rank %d",
                           graph->name, value->name, value->shape.rank);
        if (value->producer < TT_ABSENT || value->producer >= graph->n_nodes)
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': tensor '%s' comes from node %d of %d",
                           graph->name, value->name, value->producer, graph->n_nodes);
        if (value->constant == NULL) continue;
        if (value->producer != TT_ABSENT)
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': constant '%s' comes from node %d", graph->name,
                           value->name, value->producer);
        if (!tt_shape_equal(&value->shape, tt_constant_shape(value->constant)))
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': tensor '%s' differs in dtype or shape from its "
                           "constant",
                           graph->name, value->name);
    }
    return TT_OK;
}

/* ---- references ---------------------------------------------------------- */

/* `defined[i]`: value i is there before the node that is looked at. */
static tt_status check_use(const tt_graph *graph, const bool *defined, int value,
                           bool specialised, const char *reader, const char *what,
                           tt_error *err)
{
    if (value < 0 || value >= graph->n_values)
        return tt_fail(err, TT_INTERNAL, "graph '%s': '%s' names %s %d of %d tensors",
                       graph->name, reader, what, value, graph->n_values);
    if (!defined[value])
        return tt_fail(err, TT_INTERNAL,
                       "graph '%s': '%s' reads %s '%s' before it is defined",
                       graph->name, reader, what, graph->values[value].name);
    return specialised ? check_concrete(graph, &graph->values[value], err) : TT_OK;
}

static tt_status check_node(const tt_graph *graph, int number, bool *defined,
                            bool specialised, tt_error *err)
{
    const tt_node *node = &graph->nodes[number];
    if (node->n_posts < 0 || node->n_posts > TT_MAX_NODE_POSTS)
        return tt_fail(err, TT_INTERNAL, "graph '%s': '%s' has %d posts", graph->name,
                       node->name, node->n_posts);
    for (int i = 0; i < node->n_inputs; ++i)
        if (node->inputs[i] != TT_ABSENT)
            TT_TRY(check_use(graph, defined, node->inputs[i], specialised, node->name,
                             "input", err));
    for (int i = 0; i < node->n_posts; ++i)
        if (node->posts[i].value != TT_ABSENT)
            TT_TRY(check_use(graph, defined, node->posts[i].value, specialised,
                             node->name, "post operand", err));
    for (int i = 0; i < node->n_outputs; ++i) {
        int value = node->outputs[i];
        if (value == TT_ABSENT) continue;
        if (value < 0 || value >= graph->n_values)
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': '%s' names output %d of %d tensors",
                           graph->name, node->name, value, graph->n_values);
        if (defined[value])
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': '%s' defines tensor '%s' once more",
                           graph->name, node->name, graph->values[value].name);
        if (graph->values[value].producer != number)
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': tensor '%s' comes from node %d '%s', its "
                           "producer says %d",
                           graph->name, graph->values[value].name, number, node->name,
                           graph->values[value].producer);
        defined[value] = true;
        if (specialised) TT_TRY(check_concrete(graph, &graph->values[value], err));
    }
    return TT_OK;
}

/* Inputs, captures and constants are there from the start. */
static tt_status define_sources(const tt_graph *graph, bool *defined, tt_error *err)
{
    for (int i = 0; i < graph->n_values; ++i)
        defined[i] = graph->values[i].constant != NULL;
    for (int i = 0; i < graph->n_inputs + graph->n_captures; ++i) {
        int value = i < graph->n_inputs ? graph->inputs[i]
                                        : graph->captures[i - graph->n_inputs].inner;
        if (value < 0 || value >= graph->n_values)
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s' names input or capture %d of %d tensors",
                           graph->name, value, graph->n_values);
        if (graph->values[value].producer != TT_ABSENT)
            return tt_fail(err, TT_INTERNAL,
                           "graph '%s': input or capture '%s' comes from node %d",
                           graph->name, graph->values[value].name,
                           graph->values[value].producer);
        defined[value] = true;
    }
    return TT_OK;
}

static tt_status check_references(const tt_graph *graph, bool specialised,
                                  bool *defined, tt_error *err)
{
    TT_TRY(define_sources(graph, defined, err));
    for (int i = 0; i < graph->n_nodes; ++i)
        if (!graph->nodes[i].dead)
            TT_TRY(check_node(graph, i, defined, specialised, err));
    for (int i = 0; i < graph->n_outputs; ++i)
        TT_TRY(check_use(graph, defined, graph->outputs[i], specialised, "(outputs)",
                         "output", err));
    return TT_OK;
}

tt_status tt_graph_check(const tt_graph *graph, bool specialised, tt_error *err)
{
    tt_status status;
    bool *defined;
    TT_TRY(check_values(graph, err));
    defined = tt_calloc((size_t)graph->n_values, sizeof *defined);
    if (defined == NULL)
        return tt_fail(err, TT_NO_MEMORY, "checking graph '%s'", graph->name);
    status = check_references(graph, specialised, defined, err);
    tt_free(defined);
    return status;
}
