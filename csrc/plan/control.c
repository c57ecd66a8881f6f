/* Control flow: If by inlining the branch that is taken, the others by running their
 * body as a program of its own (body.h).
 *
 * A body's captures are the last inputs of its node (graph/graph.h) and become the
 * last inputs of the body's program.  Nothing here recurses: a Loop inside a Loop's
 * body is a node of that body's plan, and nesting is bounded by max_depth. */
#include <string.h>

#include "base/alloc.h"
#include "plan/body.h"

/* ---- If --------------------------------------------------------------------- */

/* First input of the node that is a capture of `body`. */
static int first_capture(const tt_node *node, const tt_graph *body)
{
    int at = node->n_inputs - node->n_captures;
    for (int i = 0; i < node->n_attributes; ++i) {
        const tt_attribute *attribute = &node->attributes[i];
        if (attribute->kind != TT_ATTRIBUTE_GRAPH) continue;
        if (attribute->as.graph == body) return at;
        at += attribute->as.graph->n_captures;
    }
    return at;
}

static const tt_graph *branch_of(const tt_node *node, bool condition)
{
    const tt_attribute *attribute =
        tt_attribute_find(node, condition ? "then_branch" : "else_branch");
    if (attribute == NULL || attribute->kind != TT_ATTRIBUTE_GRAPH) return NULL;
    return attribute->as.graph;
}

/* Copies the body's values; map[inner] is the outer index. */
static tt_status copy_values(tt_graph *graph, const tt_node *node, const tt_graph *body,
                             int *map, tt_error *err)
{
    int capture = first_capture(node, body);
    for (int i = 0; i < body->n_values; ++i)
        map[i] = TT_ABSENT;
    for (int i = 0; i < body->n_captures; ++i)
        map[body->captures[i].inner] = node->inputs[capture + i];
    for (int i = 0; i < body->n_values; ++i) {
        const tt_value *value = &body->values[i];
        if (map[i] != TT_ABSENT) continue;
        TT_TRY(tt_graph_add_value(graph, value->name, &value->shape, &map[i], err));
        if (value->constant != NULL)
            tt_graph_set_constant(graph, map[i], tt_constant_ref(value->constant));
    }
    return TT_OK;
}

static int *mapped_list(tt_graph *graph, const int *list, int n, const int *map)
{
    int *out = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *out);
    for (int i = 0; i < n && out != NULL; ++i)
        out[i] = list[i] < 0 ? TT_ABSENT : map[list[i]];
    return out;
}

/* Puts the body's nodes in the place of node `at`. */
static tt_status splice_nodes(tt_graph *graph, int at, const tt_graph *body,
                              const int *map, tt_error *err)
{
    int n_new = body->n_nodes, n_after = graph->n_nodes - at - 1;
    TT_TRY(
        tt_graph_reserve(graph, graph->n_values, (int64_t)graph->n_nodes + n_new, err));
    memmove(&graph->nodes[at + n_new], &graph->nodes[at + 1],
            (size_t)n_after * sizeof *graph->nodes);
    graph->n_nodes += n_new - 1;
    for (int i = 0; i < n_new; ++i) {
        tt_node *copy = &graph->nodes[at + i];
        *copy = body->nodes[i];
        copy->inputs = mapped_list(graph, copy->inputs, copy->n_inputs, map);
        copy->outputs = mapped_list(graph, copy->outputs, copy->n_outputs, map);
        if (copy->inputs == NULL || copy->outputs == NULL) {
            for (int k = i; k < n_new; ++k)
                graph->nodes[at + k].dead = true;
            return tt_fail(err, TT_NO_MEMORY, "inlining a branch");
        }
    }
    for (int i = at; i < graph->n_nodes; ++i) {
        const tt_node *moved = &graph->nodes[i];
        for (int k = 0; k < moved->n_outputs; ++k)
            if (moved->outputs[k] >= 0) graph->values[moved->outputs[k]].producer = i;
    }
    return TT_OK;
}

tt_status tt_graph_inline_if(tt_graph *graph, int at, tt_error *err)
{
    tt_node node = graph->nodes[at];
    const tt_constant *condition = graph->values[node.inputs[0]].constant;
    const tt_graph *body;
    tt_status status;
    int *map;
    if (tt_constant_shape(condition)->dtype != TT_BOOL ||
        tt_shape_numel(tt_constant_shape(condition)) != 1)
        return tt_fail(err, TT_BAD_MODEL, "If '%s': the condition is not one bool",
                       node.name);
    body = branch_of(&node, *(const bool *)tt_constant_data(condition));
    if (body == NULL || body->n_outputs != node.n_outputs)
        return tt_fail(err, TT_BAD_MODEL, "If '%s': expected branches with %d outputs",
                       node.name, node.n_outputs);
    map = tt_calloc((size_t)body->n_values + 1, sizeof *map);
    if (map == NULL) return tt_fail(err, TT_NO_MEMORY, "inlining '%s'", node.name);
    status = copy_values(graph, &node, body, map, err);
    if (status == TT_OK) status = splice_nodes(graph, at, body, map, err);
    for (int i = 0; i < node.n_outputs && status == TT_OK; ++i)
        if (node.outputs[i] >= 0)
            tt_graph_replace(graph, node.outputs[i], map[body->outputs[i]]);
    tt_free(map);
    return status;
}

/* ---- what runs a body --------------------------------------------------------- */

/* Calls, and no table of functions, so that tests/house/core.py sees what may come back
 * to itself: a body with a Loop in it, as deep as max_depth allows. */
static tt_status run(tt_body *body, const tt_node *node, const tt_tensor *const *inputs,
                     tt_tensor *out, tt_error *err)
{
    const char *name = node->op->name;
    if (strcmp(name, "Loop") == 0) return tt_loop_run(body, node, inputs, out, err);
    if (strcmp(name, "Scan") == 0) return tt_scan_run(body, node, inputs, out, err);
    return tt_sequence_map_run(body, node, inputs, out, err);
}

tt_status tt_control_eval(tt_model *model, const tt_node *node,
                          const tt_tensor *const *inputs, tt_tensor *out, tt_poll poll,
                          void *poll_arg, tt_error *err)
{
    const tt_attribute *attribute = tt_attribute_find(node, "body");
    tt_body body = {.poll = poll, .poll_arg = poll_arg};
    tt_status status;
    if (attribute == NULL || attribute->kind != TT_ATTRIBUTE_GRAPH)
        return tt_fail(err, TT_BAD_MODEL, "%s '%s': attribute body is missing",
                       node->op_type, node->name);
    TT_TRY(tt_model_body(model, attribute->as.graph, &body.program, err));
    body.graph = body.program->graph;
    status = run(&body, node, inputs, out, err);
    tt_body_end(&body);
    return status;
}
