/* Operators that only move elements (or take the largest, or the mean) work on quantised
 * tensors as well: DequantizeLinear goes behind them, QuantizeLinear before them, until the two
 * meet and cancel.  Between layers of 8 bits then only bytes move.
 *
 * All of it is exact: an element is quantised by itself, whatever its place; scales are
 * positive, so the order stays; and with equal parameters an integer comes back as it
 * was. */
#include <string.h>

#include "base/alloc.h"
#include "graph/fuse.h"
#include "graph/linear.h"
#include "graph/match.h"
#include "ops/mean_linear.h"

/* ---- what moves --------------------------------------------------------------- */

static bool is_text(const tt_node *node, const char *name, const char *expected)
{
    const tt_attribute *a = tt_attribute_find(node, name);
    return a != NULL && a->kind == TT_ATTRIBUTE_STRING &&
           strcmp(a->as.strings[0], expected) == 0;
}

static bool has_text(const tt_node *node, const char *name)
{
    const tt_attribute *a = tt_attribute_find(node, name);
    return a != NULL && a->kind == TT_ATTRIBUTE_STRING;
}

static bool always(const tt_graph *graph, const tt_node *node)
{
    (void)graph, (void)node;
    return true;
}

static bool gives_values_only(const tt_graph *graph, const tt_node *node)
{
    (void)graph;
    return node->n_outputs == 1 || node->outputs[1] < 0;
}

static bool picks_nearest(const tt_graph *graph, const tt_node *node)
{
    (void)graph;
    return (!has_text(node, "mode") || is_text(node, "mode", "nearest")) &&
           !is_text(node, "coordinate_transformation_mode", "tf_crop_and_resize");
}

/* Zeros are the zero point; what pads with elements of the tensor does not matter. */
static bool pads_plainly(const tt_graph *graph, const tt_node *node)
{
    const tt_attribute *value = tt_attribute_find(node, "value");
    double filled = 0.0;
    if (has_text(node, "mode") && !is_text(node, "mode", "constant")) return true;
    if (node->version < 11)
        return false; /* the value is an attribute: a float, whatever the input */
    return value == NULL &&
           (node->n_inputs < 3 || node->inputs[2] < 0 ||
            (tt_match_any_scalar(graph, node->inputs[2], &filled) && filled == 0.0));
}

typedef struct {
    const char *op_type;
    bool (*may)(const tt_graph *graph, const tt_node *node);
    bool takes_many;      /* all inputs are data, not the first alone */
    bool quantise_before; /* no cheaper behind it: nothing is left out */
} mover;

static const mover movers[] = {
    {"Reshape",      always,            false, true },
    {"Flatten",      always,            false, true },
    {"Squeeze",      always,            false, true },
    {"Unsqueeze",    always,            false, true },
    {"Transpose",    always,            false, true },
    {"DepthToSpace", always,            false, true },
    {"SpaceToDepth", always,            false, true },
    {"Concat",       always,            true,  true },
    {"Pad",          pads_plainly,      false, true },
    {"Expand",       always,            false, true },
    {"Tile",         always,            false, true },
    {"Resize",       picks_nearest,     false, false},
    {"Slice",        always,            false, false},
    {"Split",        always,            false, false},
    {"Gather",       always,            false, false},
    {"MaxPool",      gives_values_only, false, false},
};

static const mover *find_mover(const tt_graph *graph, const tt_node *node)
{
    if (node->dead || node->n_posts > 0 || node->n_inputs < 1) return NULL;
    for (size_t i = 0; i < sizeof movers / sizeof movers[0]; ++i)
        if (tt_node_is(node, movers[i].op_type))
            return movers[i].may(graph, node) ? &movers[i] : NULL;
    return NULL;
}

static int n_data(const mover *m, const tt_node *node)
{
    return m->takes_many ? node->n_inputs : 1;
}

/* ---- surgery ------------------------------------------------------------------ */

/* A new value as `like`, but of dtype. */
static tt_status add_value(tt_graph *graph, int like, tt_dtype dtype, int *out,
                           tt_error *err)
{
    tt_shape shape = graph->values[like].shape;
    shape.dtype = dtype;
    return tt_graph_add_value(graph, graph->values[like].name, &shape, out, err);
}

/* A node as `linear`, from `input` to `output`. */
static tt_status add_linear(tt_graph *graph, const tt_node *linear, int input,
                            int output, tt_error *err)
{
    const tt_node like = *linear;
    tt_node *node;
    int *inputs, *outputs;
    TT_TRY(tt_graph_add_node(graph, like.op, like.name, like.n_inputs, 1, &node, err));
    inputs = node->inputs, outputs = node->outputs;
    *node = like;
    node->inputs = inputs, node->outputs = outputs;
    memcpy(inputs, like.inputs, (size_t)like.n_inputs * sizeof *inputs);
    inputs[0] = input;
    outputs[0] = output;
    graph->values[output].producer = graph->n_nodes - 1;
    return TT_OK;
}

static int *copy_list(tt_graph *graph, const int *list, int n)
{
    int *copy = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *copy);
    if (copy != NULL && n > 0) memcpy(copy, list, (size_t)n * sizeof *copy);
    return copy;
}

/* The value that a Pad of dtype fills with: the zero point. */
static tt_status set_pad_value(tt_graph *graph, tt_node *pad, const tt_linear *linear,
                               tt_error *err)
{
    const tt_shape shape = {.dtype = linear->dtype};
    tt_constant *constant;
    void *data;
    int value, n = pad->n_inputs < 3 ? 3 : pad->n_inputs;
    int *inputs = tt_region_alloc(graph->region, (size_t)n, sizeof *inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "the inputs of a Pad");
    TT_TRY(tt_constant_empty(&shape, &constant, &data, err));
    *(uint8_t *)data = (uint8_t)(int)linear->zero_point;
    TT_TRY(tt_graph_add_constant(graph, "", constant, &value, err));
    for (int i = 0; i < n; ++i)
        inputs[i] = i < pad->n_inputs ? pad->inputs[i] : TT_ABSENT;
    inputs[2] = value;
    pad->inputs = inputs;
    pad->n_inputs = n;
    return TT_OK;
}

/* ---- DequantizeLinear goes behind --------------------------------------------- */

/* Weights stay where they are: whoever multiplies by them looks for them there. */
static bool is_weight(tt_graph *graph, const tt_linear *linear)
{
    int value = graph->nodes[linear->node].inputs[0];
    const tt_node *node = tt_match_producer(graph, value, "QuantizeLinear");
    return graph->values[value].constant != NULL ||
           (node != NULL && tt_graph_constant(graph, node->inputs[0]) != NULL);
}

/* The DequantizeLinear that makes every data input, with the same parameters. */
static bool find_common(tt_graph *graph, const tt_node *node, int n, tt_linear *out)
{
    for (int i = 0; i < n; ++i) {
        tt_linear linear;
        if (!tt_linear_dequantized(graph, node->inputs[i], &linear)) return false;
        if (is_weight(graph, &linear)) return false;
        if (i > 0 && !tt_linear_same(out, &linear)) return false;
        if (i == 0) *out = linear;
    }
    return true;
}

static tt_status dequantise_behind(tt_graph *graph, int at, const mover *m,
                                   tt_error *err)
{
    tt_node node = graph->nodes[at];
    tt_linear linear;
    int *inputs, *outputs;
    if (!find_common(graph, &node, n_data(m, &node), &linear)) return TT_OK;
    inputs = copy_list(graph, node.inputs, node.n_inputs);
    outputs = copy_list(graph, node.outputs, node.n_outputs);
    if (inputs == NULL || outputs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "moving '%s'", node.name);
    for (int i = 0; i < n_data(m, &node); ++i)
        inputs[i] = tt_match_producer(graph, inputs[i], NULL)->inputs[0];
    TT_TRY(tt_graph_reserve(graph, (int64_t)graph->n_values + node.n_outputs + 1,
                            (int64_t)graph->n_nodes + node.n_outputs, err));
    for (int i = 0; i < node.n_outputs; ++i) {
        if (outputs[i] < 0) continue;
        TT_TRY(add_value(graph, node.outputs[i], linear.dtype, &outputs[i], err));
        graph->values[outputs[i]].producer = at;
        TT_TRY(add_linear(graph, &graph->nodes[linear.node], outputs[i],
                          node.outputs[i], err));
    }
    node.inputs = inputs;
    node.outputs = outputs;
    graph->nodes[at] = node;
    if (tt_node_is(&node, "Pad") &&
        (!has_text(&node, "mode") || is_text(&node, "mode", "constant")))
        return set_pad_value(graph, &graph->nodes[at], &linear, err);
    return TT_OK;
}

/* ---- QuantizeLinear goes before ----------------------------------------------- */

static bool may_quantise_before(const tt_graph *graph, const mover *m,
                                const tt_node *node)
{
    if (!m->quantise_before || node->n_outputs != 1) return false;
    for (int i = 0; i < n_data(m, node); ++i)
        if (node->inputs[i] < 0 || graph->values[node->inputs[i]].constant != NULL)
            return false;
    return true;
}

/* Node `at` is a QuantizeLinear. */
static tt_status quantise_before(tt_graph *graph, int at, const tt_linear *linear,
                                 tt_error *err)
{
    const tt_node quantize = graph->nodes[at];
    tt_node *moved = tt_match_only_producer(graph, quantize.inputs[0], NULL);
    const mover *m = moved == NULL ? NULL : find_mover(graph, moved);
    const int where = (int)(moved - graph->nodes);
    tt_node node;
    int *inputs;
    if (m == NULL || !may_quantise_before(graph, m, moved)) return TT_OK;
    node = *moved;
    inputs = copy_list(graph, node.inputs, node.n_inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "moving '%s'", node.name);
    TT_TRY(tt_graph_reserve(graph, (int64_t)graph->n_values + node.n_inputs + 1,
                            (int64_t)graph->n_nodes + node.n_inputs, err));
    for (int i = 0; i < n_data(m, &node); ++i) {
        TT_TRY(add_value(graph, node.inputs[i], linear->dtype, &inputs[i], err));
        TT_TRY(add_linear(graph, &quantize, node.inputs[i], inputs[i], err));
    }
    node.inputs = inputs;
    node.outputs = quantize.outputs;
    graph->nodes[where] = node;
    graph->nodes[at].dead = true;
    graph->values[quantize.outputs[0]].producer = where;
    if (tt_node_is(&node, "Pad") &&
        (!has_text(&node, "mode") || is_text(&node, "mode", "constant")))
        return set_pad_value(graph, &graph->nodes[where], linear, err);
    return TT_OK;
}

/* ---- means ---------------------------------------------------------------------- */

/* The axes of a mean over constant ones, or of all spatial dims; their number, or -1. */
static int mean_axes(tt_graph *graph, const tt_node *node, int64_t *axes)
{
    const int rank = graph->values[node->inputs[0]].shape.rank;
    const tt_attribute *listed = tt_attribute_find(node, "axes");
    const tt_constant *constant = NULL;
    const int64_t *from;
    int n = 0;
    if (tt_node_is(node, "GlobalAveragePool")) {
        for (; n < rank - 2; ++n)
            axes[n] = n + 2;
        return n;
    }
    if (node->n_inputs > 1) constant = tt_graph_constant(graph, node->inputs[1]);
    if (constant != NULL && tt_constant_shape(constant)->dtype == TT_S64) {
        from = tt_constant_data(constant);
        n = (int)tt_shape_numel(tt_constant_shape(constant));
    } else if (listed != NULL && listed->kind == TT_ATTRIBUTE_INTS) {
        from = listed->as.ints;
        n = (int)listed->n;
    } else {
        return -1;
    }
    if (n < 1 || n > rank || from == NULL) return -1;
    for (int i = 0; i < n; ++i)
        axes[i] = from[i] < 0 ? from[i] + rank : from[i];
    return n;
}

static tt_status mean_of_bytes(tt_graph *graph, int at, tt_error *err)
{
    tt_node *node = &graph->nodes[at];
    const tt_node *dequantize;
    int64_t axes[TT_MAX_RANK];
    tt_linear linear;
    int n, *inputs;
    if (node->n_posts > 0 || !find_common(graph, node, 1, &linear)) return TT_OK;
    n = mean_axes(graph, node, axes);
    if (n < 0) return TT_OK;
    dequantize = &graph->nodes[linear.node];
    inputs = copy_list(graph, dequantize->inputs, dequantize->n_inputs);
    if (inputs == NULL || !tt_node_set_ints(graph, node, "axes", axes, n))
        return tt_fail(err, TT_NO_MEMORY, "the mean '%s'", node->name);
    node->op = &tt_op_mean_linear;
    node->op_type = tt_op_mean_linear.name;
    node->domain = tt_op_mean_linear.domain;
    node->inputs = inputs;
    node->n_inputs = dequantize->n_inputs;
    return TT_OK;
}

/* ---- they meet ------------------------------------------------------------------ */

static tt_status visit_quantize(tt_graph *graph, int at, tt_error *err)
{
    const tt_node *node = &graph->nodes[at];
    tt_linear to, from;
    if (!tt_linear_of(graph, node, &to)) return TT_OK;
    if (!tt_linear_dequantized(graph, node->inputs[0], &from))
        return quantise_before(graph, at, &to, err);
    if (!tt_linear_same(&from, &to)) return TT_OK;
    tt_graph_replace(graph, node->outputs[0], graph->nodes[from.node].inputs[0]);
    graph->nodes[at].dead = true;
    return TT_OK;
}

/* Every elementwise reader of a dequantised tensor gets a DequantizeLinear of its own,
 * so that it reads bytes: one more instruction of its loop. */
static tt_status share_bytes(tt_graph *graph, int n_nodes, bool *is_taken,
                             tt_error *err)
{
    for (int at = 0; at < n_nodes; ++at) {
        tt_node node = graph->nodes[at];
        if (node.dead || node.op == NULL || node.op->emit == NULL) continue;
        for (int i = 0; i < node.n_inputs; ++i) {
            tt_linear linear;
            int value, *inputs;
            if (!tt_linear_dequantized(graph, node.inputs[i], &linear)) continue;
            if (tt_graph_n_uses(graph, node.inputs[i]) == 1) continue;
            if (is_taken[node.inputs[i]]) {
                TT_TRY(add_value(graph, node.inputs[i], TT_F32, &value, err));
                TT_TRY(add_linear(graph, &graph->nodes[linear.node],
                                  graph->nodes[linear.node].inputs[0], value, err));
                inputs = copy_list(graph, node.inputs, node.n_inputs);
                if (inputs == NULL)
                    return tt_fail(err, TT_NO_MEMORY, "the inputs of '%s'", node.name);
                for (int k = i; k < node.n_inputs; ++k)
                    if (node.inputs[k] == node.inputs[i]) inputs[k] = value;
                graph->nodes[at].inputs = node.inputs = inputs;
            } else {
                is_taken[node.inputs[i]] = true;
            }
        }
    }
    return TT_OK;
}

static tt_status rewrite(tt_graph *graph, tt_error *err)
{
    bool *is_taken;
    tt_status status;
    for (int i = 0; i < graph->n_nodes; ++i) { /* what is appended too */
        const mover *m = find_mover(graph, &graph->nodes[i]);
        if (tt_node_is(&graph->nodes[i], "QuantizeLinear"))
            TT_TRY(visit_quantize(graph, i, err));
        else if (tt_node_is(&graph->nodes[i], "GlobalAveragePool") ||
                 tt_node_is(&graph->nodes[i], "ReduceMean"))
            TT_TRY(mean_of_bytes(graph, i, err));
        else if (m != NULL)
            TT_TRY(dequantise_behind(graph, i, m, err));
    }
    tt_graph_sweep(graph);
    is_taken = tt_calloc((size_t)graph->n_values + 1, sizeof *is_taken);
    if (is_taken == NULL) return tt_fail(err, TT_NO_MEMORY, "dequantised tensors");
    status = share_bytes(graph, graph->n_nodes, is_taken, err);
    tt_free(is_taken);
    return status;
}

tt_status tt_graph_fuse_integer(tt_graph *graph, tt_error *err)
{
    tt_status status;
    if (!tt_linear_is_used(graph)) return TT_OK;
    status = rewrite(graph, err);
    if (status == TT_LIMIT) status = TT_OK; /* what was done so far holds */
    TT_TRY(status);
    TT_TRY(tt_graph_sort(graph, err));
    tt_graph_sweep(graph);
    return TT_OK;
}
