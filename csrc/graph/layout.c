/* Layout hints; see layout.h.  One walk backwards over the nodes: what a consumer
 * would like is known before its producer is asked. */
#include "graph/layout.h"

#include <string.h>

#include "base/alloc.h"
#include "ops/op.h"

static bool is_op(const tt_node *node, const char *name)
{
    return node->op != NULL && node->op->domain[0] == '\0' &&
           strcmp(node->op->name, name) == 0;
}

/* Memory order of a Transpose's input that makes its output come out as wanted. */
static void hint_transpose(const tt_graph *graph, const tt_node *node,
                           tt_layout_hints *hints)
{
    const tt_value *src = &graph->values[node->inputs[0]];
    const tt_value_hint *above = &hints->values[node->outputs[0]];
    tt_value_hint *hint = &hints->values[node->inputs[0]];
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    const tt_attribute *perm = tt_attribute_find(node, "perm");
    int64_t strides[TT_MAX_RANK];
    if (hint->has_strides || src->producer < 0) return;
    if (above->has_strides)
        memcpy(strides, above->strides, sizeof strides);
    else
        tt_strides_row_major(dst->dims, dst->rank, strides);
    for (int i = 0; i < dst->rank; ++i) {
        int from = perm != NULL ? (int)perm->as.ints[i] : dst->rank - 1 - i;
        hint->strides[from] = strides[i];
    }
    hint->has_strides = true;
    if (above->output >= 0 && hint->output < 0 && src->constant == NULL &&
        (!above->has_strides || above->is_output_transposed) &&
        tt_graph_n_uses(graph, node->inputs[0]) == 1) {
        hint->output = above->output;
        hint->is_output_transposed = true;
    }
}

static void hint_elementwise(const tt_graph *graph, const tt_node *node,
                             tt_layout_hints *hints)
{
    const tt_value_hint *above = &hints->values[node->outputs[0]];
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    if (!above->has_strides) return;
    for (int i = 0; i < node->n_inputs; ++i) {
        tt_value_hint *hint;
        const tt_value *value;
        if (node->inputs[i] < 0) continue;
        value = &graph->values[node->inputs[i]];
        hint = &hints->values[node->inputs[i]];
        if (hint->has_strides || value->shape.rank != dst->rank ||
            memcmp(value->shape.dims, dst->dims,
                   (size_t)dst->rank * sizeof dst->dims[0]) != 0)
            continue;
        hint->has_strides = true;
        memcpy(hint->strides, above->strides, sizeof hint->strides);
    }
}

/* A concatenation's inputs may be written straight into it. */
static void hint_concat(const tt_graph *graph, const tt_node *node,
                        tt_layout_hints *hints)
{
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    const tt_attribute *attribute = tt_attribute_find(node, "axis");
    int64_t axis = attribute != NULL ? attribute->as.ints[0] : 1, start = 0;
    if (axis < 0) axis += dst->rank;
    if (axis < 0 || axis >= dst->rank) return;
    for (int i = 0; i < node->n_inputs; ++i) {
        tt_value_hint *hint;
        int value = node->inputs[i];
        if (value < 0) return;
        hint = &hints->values[value];
        if (hint->concat < 0 && hint->output < 0 &&
            graph->values[value].producer >= 0 &&
            graph->values[value].constant == NULL) {
            hint->concat = node->outputs[0];
            hint->concat_axis = (int)axis;
            hint->concat_start = start;
        }
        start += graph->values[value].shape.dims[axis];
    }
}

/* The model's outputs, and what becomes one by a reshape alone. */
static void hint_outputs(const tt_graph *graph, tt_layout_hints *hints)
{
    for (int i = 0; i < graph->n_outputs; ++i)
        if (hints->values[graph->outputs[i]].output < 0)
            hints->values[graph->outputs[i]].output = i;
}

static void hint_reshape(const tt_graph *graph, const tt_node *node,
                         tt_layout_hints *hints)
{
    int above = hints->values[node->outputs[0]].output, src = node->inputs[0];
    tt_value_hint *hint = &hints->values[src];
    if (hints->values[node->outputs[0]].is_output_transposed) return;
    if (above < 0 || hint->output >= 0 || graph->values[src].constant != NULL ||
        graph->values[src].producer < 0 || node->n_outputs != 1)
        return;
    if (tt_graph_n_uses(graph, src) == 1) hint->output = above;
}

tt_status tt_layout_hint(tt_graph *graph, bool layout, bool views, tt_layout_hints *out,
                         tt_error *err)
{
    out->values = tt_region_alloc(graph->region, (size_t)graph->n_values + 1,
                                  sizeof *out->values);
    if (out->values == NULL)
        return tt_fail(err, TT_NO_MEMORY, "layout hints of %d values", graph->n_values);
    for (int i = 0; i < graph->n_values; ++i)
        out->values[i].concat = out->values[i].output = -1;
    hint_outputs(graph, out);
    for (int i = graph->n_nodes - 1; i >= 0; --i) {
        const tt_node *node = &graph->nodes[i];
        if (node->dead || node->op == NULL || node->n_inputs == 0) continue;
        if (node->op->is_reshape && views)
            hint_reshape(graph, node, out);
        else if (layout && is_op(node, "Transpose"))
            hint_transpose(graph, node, out);
        else if (views && is_op(node, "Concat"))
            hint_concat(graph, node, out);
        else if (layout && node->op->emit != NULL)
            hint_elementwise(graph, node, out);
    }
    return TT_OK;
}
