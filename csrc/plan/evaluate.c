/* Constant folding of one node: lowered as a plan of its own, run once.
 *
 * So a folded node and a node at run time go through the same code. */
#include <string.h>

#include "base/alloc.h"
#include "plan/plan.h"

static tt_status reserve(tt_graph *graph, const tt_node *node, tt_error *err)
{
    int64_t bytes = 0;
    for (int i = 0; i < node->n_outputs; ++i)
        if (node->outputs[i] >= 0)
            bytes += (int64_t)tt_shape_bytes(&graph->values[node->outputs[i]].shape);
    if (bytes > graph->limits->max_fold_bytes - graph->folded_bytes)
        return tt_fail(err, TT_LIMIT, "folding %s '%s' takes %lld bytes", node->op_type,
                       node->name, (long long)bytes);
    graph->folded_bytes += bytes;
    return TT_OK;
}

static void unref_owner(void *owner)
{
    tt_constant_unref(owner);
}

/* Reshape and the like: the same bytes under another shape. */
static tt_status alias_constant(tt_graph *graph, const tt_node *node, tt_error *err)
{
    tt_constant *src = graph->values[node->inputs[0]].constant, *made;
    const tt_shape *shape = &graph->values[node->outputs[0]].shape;
    tt_status status = tt_constant_new(shape, tt_constant_data(src), unref_owner,
                                       tt_constant_ref(src), &made, err);
    if (status != TT_OK) {
        tt_constant_unref(src);
        return status;
    }
    tt_graph_set_constant(graph, node->outputs[0], made);
    return TT_OK;
}

/* A graph of this node alone; its value i is input i, then the outputs. */
static tt_status isolate(const tt_graph *graph, const tt_node *node, tt_graph **out,
                         tt_error *err)
{
    tt_graph *alone;
    tt_node *copy;
    int index;
    TT_TRY(tt_graph_new(graph->limits, &alone, err));
    *out = alone;
    TT_TRY(tt_graph_add_node(alone, node->op, node->name, node->n_inputs,
                             node->n_outputs, &copy, err));
    copy->op_type = node->op_type;
    copy->domain = node->domain;
    copy->version = node->version;
    copy->attributes = node->attributes;
    copy->n_attributes = node->n_attributes;
    copy->extra = node->extra;
    alone->outputs =
        tt_region_alloc(alone->region, (size_t)node->n_outputs + 1, sizeof(int));
    if (alone->outputs == NULL) return tt_fail(err, TT_NO_MEMORY, "a folded node");
    for (int i = 0; i < node->n_inputs; ++i) {
        const tt_value *value;
        if (node->inputs[i] < 0) continue;
        value = &graph->values[node->inputs[i]];
        TT_TRY(tt_graph_add_value(alone, value->name, &value->shape, &index, err));
        copy = &alone->nodes[0];
        copy->inputs[i] = index;
        if (value->constant != NULL)
            tt_graph_set_constant(alone, index, tt_constant_ref(value->constant));
    }
    for (int i = 0; i < node->n_outputs; ++i) {
        const tt_value *value;
        if (node->outputs[i] < 0) continue;
        value = &graph->values[node->outputs[i]];
        TT_TRY(tt_graph_add_value(alone, value->name, &value->shape, &index, err));
        copy = &alone->nodes[0];
        copy->outputs[i] = index;
        alone->values[index].producer = 0;
        alone->outputs[alone->n_outputs++] = index;
    }
    return TT_OK;
}

/* Inputs of which only the shape matters become inputs without an address. */
static tt_status add_inputs(tt_graph *alone, tt_error *err)
{
    const tt_node *node = &alone->nodes[0];
    alone->inputs =
        tt_region_alloc(alone->region, (size_t)node->n_inputs + 1, sizeof(int));
    if (alone->inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "a folded node");
    for (int i = 0; i < node->n_inputs; ++i)
        if (node->inputs[i] >= 0 && alone->values[node->inputs[i]].constant == NULL)
            alone->inputs[alone->n_inputs++] = node->inputs[i];
    return TT_OK;
}

static tt_status run_alone(tt_plan *plan, tt_graph *graph, const tt_node *node,
                           tt_error *err)
{
    tt_context *context;
    tt_status status;
    int k = 0;
    TT_TRY(tt_context_lease(plan, &context, err));
    status = TT_OK;
    for (int i = 0; i < node->n_outputs && status == TT_OK; ++i) {
        tt_constant *made;
        void *data;
        if (node->outputs[i] < 0) continue;
        status = tt_constant_empty(&graph->values[node->outputs[i]].shape, &made, &data,
                                   err);
        if (status != TT_OK) break;
        tt_graph_set_constant(graph, node->outputs[i], made);
        status = tt_context_set(plan, context, plan->n_inputs + k++, data, err);
    }
    if (status == TT_OK) status = tt_context_run(plan, context, NULL, NULL, NULL, err);
    tt_context_return(plan, context);
    return status;
}

/* The node makes its outputs again: it may run with the others. */
static void drop_outputs(tt_graph *graph, const tt_node *node)
{
    for (int i = 0; i < node->n_outputs; ++i) {
        tt_value *value;
        if (node->outputs[i] < 0) continue;
        value = &graph->values[node->outputs[i]];
        tt_constant_unref(value->constant);
        value->constant = NULL;
        value->producer = (int)(node - graph->nodes);
    }
}

tt_status tt_evaluate_node(tt_model *model, tt_graph *graph, tt_node *node,
                           tt_error *err)
{
    tt_plan *plan;
    tt_status status;
    TT_TRY(reserve(graph, node, err));
    if (node->op->is_reshape && node->n_outputs == 1 &&
        graph->values[node->inputs[0]].constant != NULL)
        return alias_constant(graph, node, err);
    plan = tt_plan_new(model, err);
    if (plan == NULL) return TT_NO_MEMORY;
    status = isolate(graph, node, &plan->graph, err);
    if (status == TT_OK) status = add_inputs(plan->graph, err);
    if (status == TT_OK) {
        plan->n_inputs = plan->graph->n_inputs;
        plan->n_outputs = plan->graph->n_outputs;
        status = tt_plan_lower(plan, plan->graph, NULL, err);
    }
    if (status == TT_OK) status = run_alone(plan, graph, node, err);
    if (status != TT_OK) drop_outputs(graph, node);
    tt_plan_free(plan);
    return status;
}
