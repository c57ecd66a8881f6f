/* Constant folding of one node: lowered as a plan of its own, run once.
 *
 * So a folded node and a node at run time go through the same code. */
#include <string.h>

#include "base/alloc.h"
#include "graph/match.h"
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

/* The tensor as strides over a constant that is no view. */
static tt_constant *base_of(tt_constant *constant, int64_t *strides)
{
    const tt_shape *shape = tt_constant_shape(constant);
    const int64_t *seen;
    tt_constant *base = tt_constant_base(constant, &seen);
    tt_strides_row_major(shape->dims, shape->rank, strides);
    if (base == NULL) return constant;
    memcpy(strides, seen, (size_t)shape->rank * sizeof *strides);
    return base;
}

/* Reshape and the like: the same bytes under another shape. */
static tt_status reshaped(tt_graph *graph, const tt_node *node, bool *done,
                          tt_error *err)
{
    tt_constant *src = graph->values[node->inputs[0]].constant, *made, *base;
    const tt_shape *shape = &graph->values[node->outputs[0]].shape;
    int64_t strides[TT_MAX_RANK];
    *done = true;
    if (!tt_constant_is_lazy(src)) {
        tt_status status = tt_constant_new(shape, tt_constant_data(src), unref_owner,
                                           tt_constant_ref(src), &made, err);
        if (status != TT_OK) {
            tt_constant_unref(src);
            return status;
        }
    } else {
        base = base_of(src, strides);
        *done = tt_is_row_major(tt_constant_shape(src), strides);
        if (!*done) return TT_OK;
        tt_strides_row_major(shape->dims, shape->rank, strides);
        TT_TRY(tt_constant_view(shape, base, strides, &made, err));
    }
    tt_graph_set_constant(graph, node->outputs[0], made);
    return TT_OK;
}

/* Transpose of a weight: other strides, so that it is not kept twice. */
static tt_status transposed(tt_graph *graph, const tt_node *node, tt_error *err)
{
    tt_constant *src = graph->values[node->inputs[0]].constant, *made, *base;
    const tt_shape *shape = &graph->values[node->outputs[0]].shape;
    int64_t from[TT_MAX_RANK], strides[TT_MAX_RANK];
    const tt_attribute *perm = tt_attribute_find(node, "perm");
    base = base_of(src, from);
    for (int i = 0; i < shape->rank; ++i)
        strides[i] = from[perm != NULL ? perm->as.ints[i] : shape->rank - 1 - i];
    TT_TRY(tt_constant_view(shape, base, strides, &made, err));
    tt_graph_set_constant(graph, node->outputs[0], made);
    return TT_OK;
}

static bool is_large_weight(const tt_constant *constant)
{
    static const size_t LEAST_BYTES = (size_t)1 << 16;
    const tt_shape *shape = tt_constant_shape(constant);
    return tt_constant_is_lazy(constant) ||
           (shape->dtype == TT_F32 && shape->rank >= 2 &&
            tt_shape_bytes(shape) >= LEAST_BYTES);
}

/* Nodes that only look at a constant in another way; *done: it was one. */
static tt_status alias(tt_graph *graph, const tt_node *node, bool *done, tt_error *err)
{
    const tt_constant *src;
    *done = false;
    if (node->n_inputs < 1 || node->inputs[0] < 0 || node->n_outputs != 1) return TT_OK;
    src = graph->values[node->inputs[0]].constant;
    if (src == NULL) return TT_OK;
    if (node->op->is_reshape) return reshaped(graph, node, done, err);
    if (!tt_node_is(node, "Transpose") || !is_large_weight(src)) return TT_OK;
    *done = true;
    return transposed(graph, node, err);
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
    bool done;
    TT_TRY(alias(graph, node, &done, err));
    if (done) return TT_OK;
    TT_TRY(reserve(graph, node, err));
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
