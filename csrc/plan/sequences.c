/* Sequences whose tensors are known when a plan is made, as torch exports split and
 * unbind: they become the tensors themselves, and cost nothing when it runs.
 *
 * Whatever makes such a sequence is rewritten to SequenceConstruct over its tensors, a
 * node that has no step: who reads a sequence made by one knows its tensors.  SequenceAt
 * becomes Identity of one of them, ConcatFromSequence becomes Concat.  Only where
 * somebody needs the sequence itself (an output, a Loop, an index that is data) is the
 * graph cut at the SequenceConstruct, and that evaluated. */
#include <string.h>

#include "base/alloc.h"
#include "graph/match.h"
#include "plan/plan.h"

/* A sequence of more tensors is not written out. */
enum { MOST_TENSORS = 1024 };

bool tt_node_lists_tensors(const tt_node *node)
{
    return node->op != NULL && !node->dead && tt_node_is(node, "SequenceConstruct");
}

/* The node that lists the tensors of a sequence, or NULL. */
static const tt_node *list_of(const tt_graph *graph, int value)
{
    int producer = value < 0 ? -1 : graph->values[value].producer;
    const tt_node *node = producer < 0 ? NULL : &graph->nodes[producer];
    if (node == NULL || producer >= graph->n_nodes || !tt_node_lists_tensors(node) ||
        node->n_outputs != 1 || node->outputs[0] != value)
        return NULL;
    return node;
}

/* An int64 or int32 of a constant; false when it is not known. */
static bool constant_at(const tt_graph *graph, const tt_node *node, int input,
                        int64_t fallback, int64_t *out)
{
    const tt_constant *constant;
    *out = fallback;
    if (input >= node->n_inputs || node->inputs[input] < 0) return true;
    constant = graph->values[node->inputs[input]].constant;
    if (constant == NULL || tt_constant_data(constant) == NULL ||
        tt_shape_numel(tt_constant_shape(constant)) != 1)
        return false;
    if (tt_constant_shape(constant)->dtype == TT_S64)
        *out = *(const int64_t *)tt_constant_data(constant);
    else if (tt_constant_shape(constant)->dtype == TT_S32)
        *out = *(const int32_t *)tt_constant_data(constant);
    else
        return false;
    return true;
}

/* ---- rewriting a node --------------------------------------------------------- */

/* Makes the node another one over n inputs, which the caller fills; attributes stay. */
static tt_status become(tt_graph *graph, tt_node *node, const char *name, int version,
                        int n_inputs, tt_error *err)
{
    int *inputs = tt_region_alloc(graph->region, (size_t)n_inputs + 1, sizeof *inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "'%s'", node->name);
    node->op = tt_op_find("", name, version);
    if (node->op == NULL) return tt_fail(err, TT_INTERNAL, "there is no %s", name);
    node->op_type = node->op->name;
    node->domain = node->op->domain;
    node->version = version;
    node->inputs = inputs;
    node->n_inputs = n_inputs;
    return TT_OK;
}

/* Room for n nodes before node `at`; the first of them are empty. */
static tt_status make_room(tt_graph *graph, int at, int n, tt_error *err)
{
    TT_TRY(tt_graph_reserve(graph, graph->n_values, (int64_t)graph->n_nodes + n, err));
    memmove(&graph->nodes[at + n], &graph->nodes[at],
            (size_t)(graph->n_nodes - at) * sizeof *graph->nodes);
    memset(&graph->nodes[at], 0, (size_t)n * sizeof *graph->nodes);
    for (int i = at; i < at + n; ++i)
        graph->nodes[i].dead = true; /* until they are made */
    graph->n_nodes += n;
    for (int i = at + n; i < graph->n_nodes; ++i) {
        const tt_node *moved = &graph->nodes[i];
        for (int k = 0; k < moved->n_outputs; ++k)
            if (moved->outputs[k] >= 0) graph->values[moved->outputs[k]].producer = i;
    }
    return TT_OK;
}

/* Fills the empty node `at` with an operator over `data` and a constant list of int64
 * (axes, lengths), with n_outputs new values named like `like`. */
static tt_status make_node(tt_graph *graph, int at, const tt_node *like,
                           const char *name, int data, const int64_t *list, int n_list,
                           int n_outputs, tt_error *err)
{
    tt_shape shape = {.dtype = TT_S64, .rank = 1, .dims = {n_list}}, unknown = {0};
    tt_node made = *like;
    const char *value_name = graph->values[like->outputs[0]].name;
    tt_constant *constant;
    int input;
    TT_TRY(become(graph, &made, name, 13, 2, err));
    TT_TRY(tt_constant_new(&shape, list, NULL, NULL, &constant, err));
    TT_TRY(tt_graph_add_constant(graph, value_name, constant, &input, err));
    made.inputs[0] = data;
    made.inputs[1] = input;
    made.n_outputs = n_outputs;
    made.outputs =
        tt_region_alloc(graph->region, (size_t)n_outputs + 1, sizeof *made.outputs);
    if (made.outputs == NULL) return tt_fail(err, TT_NO_MEMORY, "'%s'", like->name);
    for (int i = 0; i < n_outputs; ++i) {
        TT_TRY(tt_graph_add_value(graph, value_name, &unknown, &made.outputs[i], err));
        graph->values[made.outputs[i]].producer = at;
    }
    graph->nodes[at] = made;
    return TT_OK;
}

/* ---- operators ------------------------------------------------------------------ */

/* Wraps a position; false outside of [0, n): left to be refused when it runs. */
static bool wrap(int64_t *at, int64_t n)
{
    if (*at < 0) *at += n;
    return *at >= 0 && *at < n;
}

static tt_status fold_at(tt_graph *graph, tt_node *node, const tt_node *list,
                         tt_error *err)
{
    int64_t at;
    int tensor;
    if (node->n_inputs < 2 || !constant_at(graph, node, 1, list->n_inputs, &at) ||
        !wrap(&at, list->n_inputs))
        return TT_OK;
    tensor = list->inputs[at];
    TT_TRY(become(graph, node, "Identity", 14, 1, err));
    node->inputs[0] = tensor;
    return TT_OK;
}

/* The list with one tensor more or less. */
static tt_status fold_edit(tt_graph *graph, tt_node *node, const tt_node *list,
                           tt_error *err)
{
    bool inserts = tt_node_is(node, "SequenceInsert");
    const int *tensors = list->inputs;
    int n = list->n_inputs, tensor = inserts ? node->inputs[1] : -1;
    int64_t at;
    if (!constant_at(graph, node, inserts ? 2 : 1, inserts ? n : n - 1, &at) ||
        (!(inserts && at == n) && !wrap(&at, n)) || n >= MOST_TENSORS)
        return TT_OK;
    TT_TRY(become(graph, node, "SequenceConstruct", 11, inserts ? n + 1 : n - 1, err));
    for (int i = 0, k = 0; i < node->n_inputs; ++i) {
        if (inserts && i == at) {
            node->inputs[i] = tensor;
            continue;
        }
        if (!inserts && i == at) k = 1;
        node->inputs[i] = tensors[inserts ? i - (i > at) : i + k];
    }
    return TT_OK;
}

static tt_status fold_copy(tt_graph *graph, tt_node *node, const tt_node *list,
                           tt_error *err)
{
    const int *tensors = list->inputs;
    int n = list->n_inputs;
    TT_TRY(become(graph, node, "SequenceConstruct", 11, n, err));
    memcpy(node->inputs, tensors, (size_t)n * sizeof *tensors);
    return TT_OK;
}

static tt_status fold_length(tt_graph *graph, tt_node *node, const tt_node *list,
                             tt_error *err)
{
    tt_shape shape = {.dtype = TT_S64};
    int64_t n = list->n_inputs;
    tt_constant *constant;
    TT_TRY(tt_constant_new(&shape, &n, NULL, NULL, &constant, err));
    graph->values[node->outputs[0]].shape = shape;
    tt_graph_set_constant(graph, node->outputs[0], constant);
    node->dead = true;
    return TT_OK;
}

/* Concat, of tensors with a new axis where they shall have one. */
static tt_status fold_concat(tt_graph *graph, int at, tt_error *err)
{
    const tt_node *list = list_of(graph, graph->nodes[at].inputs[0]);
    tt_node node = graph->nodes[at];
    const int *tensors = list->inputs;
    int n = list->n_inputs;
    int64_t axis, is_new;
    if (n == 0 || tt_attribute_find(&node, "axis") == NULL) return TT_OK;
    TT_TRY(tt_attribute_int(&node, "axis", 0, &axis, err));
    TT_TRY(tt_attribute_int(&node, "new_axis", 0, &is_new, err));
    TT_TRY(become(graph, &node, "Concat", 13, n, err));
    memcpy(node.inputs, tensors, (size_t)n * sizeof *tensors);
    if (is_new == 0) {
        graph->nodes[at] = node;
        return TT_OK;
    }
    TT_TRY(make_room(graph, at, n, err));
    for (int i = 0; i < n; ++i) {
        TT_TRY(
            make_node(graph, at + i, &node, "Unsqueeze", tensors[i], &axis, 1, 1, err));
        node.inputs[i] = graph->nodes[at + i].outputs[0];
    }
    graph->nodes[at + n] = node;
    return TT_OK;
}

/* Lengths of the parts; *n = -1 when they are not known or too many. */
static void part_lengths(const tt_graph *graph, const tt_node *node, int64_t dim,
                         int64_t *lengths, int *n)
{
    const tt_constant *given = NULL;
    int64_t size = 1, left = dim;
    bool is_list = false;
    *n = -1;
    if (node->n_inputs > 1 && node->inputs[1] >= 0) {
        given = graph->values[node->inputs[1]].constant;
        if (given == NULL || tt_constant_data(given) == NULL) return;
        is_list = tt_constant_shape(given)->rank == 1;
        if (is_list && (tt_constant_shape(given)->dtype != TT_S64 ||
                        tt_constant_shape(given)->dims[0] > MOST_TENSORS))
            return;
        if (!is_list && !constant_at(graph, node, 1, 1, &size)) return;
    }
    if (is_list) {
        *n = (int)tt_constant_shape(given)->dims[0];
        memcpy(lengths, tt_constant_data(given), (size_t)*n * sizeof *lengths);
        return;
    }
    if (size < 1 || (dim - 1) / size >= MOST_TENSORS) return;
    for (*n = 0; left > 0; left -= size)
        lengths[(*n)++] = left < size ? left : size;
}

static tt_status fold_split(tt_graph *graph, int at, tt_error *err)
{
    tt_node node = graph->nodes[at];
    const tt_shape *src = &graph->values[node.inputs[0]].shape;
    int64_t lengths[MOST_TENSORS], axis, keepdims;
    bool drops;
    int n, data = node.inputs[0], n_new, *parts;
    TT_TRY(tt_attribute_int(&node, "axis", 0, &axis, err));
    TT_TRY(tt_attribute_int(&node, "keepdims", 1, &keepdims, err));
    if (!wrap(&axis, src->rank)) return TT_OK;
    part_lengths(graph, &node, src->dims[axis], lengths, &n);
    if (n < 1) return TT_OK;
    drops = keepdims == 0 && (node.n_inputs < 2 || node.inputs[1] < 0);
    n_new = drops ? 1 + n : 1;
    TT_TRY(make_room(graph, at, n_new, err));
    TT_TRY(make_node(graph, at, &node, "Split", data, lengths, n, n, err));
    parts = graph->nodes[at].outputs;
    TT_TRY(become(graph, &node, "SequenceConstruct", 11, n, err));
    for (int i = 0; i < n; ++i) {
        node.inputs[i] = parts[i];
        if (!drops) continue;
        TT_TRY(
            make_node(graph, at + 1 + i, &node, "Squeeze", parts[i], &axis, 1, 1, err));
        node.inputs[i] = graph->nodes[at + 1 + i].outputs[0];
    }
    graph->nodes[at + n_new] = node;
    return TT_OK;
}

tt_status tt_graph_fold_sequence(tt_graph *graph, int at, tt_error *err)
{
    tt_node *node = &graph->nodes[at];
    const tt_node *list;
    if (node->dead || node->op == NULL || !node->op->takes_sequences) return TT_OK;
    if (node->n_outputs != 1 || node->outputs[0] < 0) return TT_OK;
    if (tt_node_is(node, "SequenceEmpty"))
        return become(graph, node, "SequenceConstruct", 11, 0, err);
    if (node->n_inputs < 1 || node->inputs[0] < 0) return TT_OK;
    if (tt_node_is(node, "SplitToSequence")) return fold_split(graph, at, err);
    list = list_of(graph, node->inputs[0]);
    if (list == NULL) return TT_OK;
    if (tt_node_is(node, "SequenceAt")) return fold_at(graph, node, list, err);
    if (tt_node_is(node, "SequenceLength")) return fold_length(graph, node, list, err);
    if (tt_node_is(node, "ConcatFromSequence")) return fold_concat(graph, at, err);
    if (tt_node_is(node, "SequenceErase") ||
        (tt_node_is(node, "SequenceInsert") && node->n_inputs > 1 &&
         node->inputs[1] >= 0))
        return fold_edit(graph, node, list, err);
    if (tt_node_is(node, "Identity") || tt_node_is(node, "Optional") ||
        tt_node_is(node, "OptionalGetElement"))
        return fold_copy(graph, node, list, err);
    return TT_OK;
}

int tt_graph_listed_input(const tt_graph *graph, const tt_node *node)
{
    if (node->op != NULL && (node->op->reads_shape_only || tt_node_lists_tensors(node)))
        return -1;
    for (int i = 0; i < node->n_inputs; ++i)
        if (list_of(graph, node->inputs[i]) != NULL)
            return graph->values[node->inputs[i]].producer;
    return -1;
}

int tt_graph_listed_output(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_outputs; ++i)
        if (list_of(graph, graph->outputs[i]) != NULL)
            return graph->values[graph->outputs[i]].producer;
    return -1;
}
