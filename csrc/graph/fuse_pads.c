/* A Pad of zeros before a convolution becomes part of the convolution's own padding:
 * exporters of nets with "same" padding write them apart, and the padded copy costs
 * more than many a convolution (EfficientNet-Lite0: 11 % of the time). */
#include <string.h>

#include "graph/fuse.h"
#include "graph/linear.h"
#include "graph/match.h"
#include "ops/op.h"

enum { MAX_SPATIAL = 3 };

typedef struct {
    int n; /* spatial dims */
    int64_t begin[MAX_SPATIAL], end[MAX_SPATIAL];
} padding;

static bool is_text(const tt_node *node, const char *name, const char *expected)
{
    const tt_attribute *a = tt_attribute_find(node, name);
    return a == NULL ||
           (a->kind == TT_ATTRIBUTE_STRING && strcmp(a->as.strings[0], expected) == 0);
}

/* Does the Pad fill with zeros, and the same number of items for every axis? */
static bool pads_zeros(const tt_graph *graph, const tt_node *pad)
{
    const tt_attribute *value = tt_attribute_find(pad, "value");
    double filled = 0.0;
    if (!is_text(pad, "mode", "constant")) return false;
    if (value != NULL &&
        (value->kind != TT_ATTRIBUTE_FLOAT || value->as.floats[0] != 0.0f))
        return false;
    if (pad->version >= 11 && pad->n_inputs > 2 && pad->inputs[2] >= 0 &&
        !tt_match_any_scalar(graph, pad->inputs[2], &filled))
        return false;
    /* all axes: with a list of some, pads are in another order */
    return filled == 0.0 && (pad->n_inputs < 4 || pad->inputs[3] < 0);
}

/* The list [begin of every axis, end of every axis], or NULL. */
static const int64_t *pad_list(const tt_graph *graph, const tt_node *pad, int rank)
{
    const tt_constant *constant;
    const tt_attribute *pads;
    if (pad->version < 11) {
        pads = tt_attribute_find(pad, "pads");
        return pads != NULL && pads->kind == TT_ATTRIBUTE_INTS && pads->n == 2 * rank
                   ? pads->as.ints
                   : NULL;
    }
    constant = pad->n_inputs > 1 ? tt_graph_constant(graph, pad->inputs[1]) : NULL;
    if (constant == NULL || tt_constant_shape(constant)->dtype != TT_S64 ||
        tt_shape_numel(tt_constant_shape(constant)) != 2 * rank)
        return NULL;
    return tt_constant_data(constant);
}

static bool read_padding(const tt_graph *graph, const tt_node *pad, padding *out)
{
    int rank = graph->values[pad->inputs[0]].shape.rank;
    const int64_t *list;
    if (rank < 3 || rank > 2 + MAX_SPATIAL || !pads_zeros(graph, pad)) return false;
    list = pad_list(graph, pad, rank);
    if (list == NULL) return false;
    out->n = rank - 2;
    for (int i = 0; i < rank; ++i) {
        int64_t begin = list[i], end = list[rank + i];
        if (begin < 0 || end < 0 || (i < 2 && (begin | end) != 0)) return false;
        if (i < 2) continue;
        out->begin[i - 2] = begin;
        out->end[i - 2] = end;
    }
    return true;
}

/* Adds the convolution's own pads.  Together they stay below the extent of the kernel:
 * beyond that oneDNN falls back to slower code. */
static bool add_own(const tt_graph *graph, const tt_node *conv, padding *p)
{
    const tt_attribute *pads = tt_attribute_find(conv, "pads");
    const tt_attribute *dilations = tt_attribute_find(conv, "dilations");
    const tt_shape *weights = &graph->values[conv->inputs[1]].shape;
    if (!is_text(conv, "auto_pad", "NOTSET") || weights->rank != 2 + p->n) return false;
    if (pads != NULL && (pads->kind != TT_ATTRIBUTE_INTS || pads->n != 2 * p->n))
        return false;
    if (dilations != NULL &&
        (dilations->kind != TT_ATTRIBUTE_INTS || dilations->n != p->n))
        return false;
    for (int i = 0; i < p->n; ++i) {
        int64_t dilation = dilations != NULL ? dilations->as.ints[i] : 1;
        int64_t own_begin = pads != NULL ? pads->as.ints[i] : 0;
        int64_t own_end = pads != NULL ? pads->as.ints[p->n + i] : 0;
        int64_t room = (weights->dims[2 + i] - 1) * dilation;
        if (p->begin[i] > room - own_begin || p->end[i] > room - own_end) return false;
        p->begin[i] += own_begin;
        p->end[i] += own_end;
    }
    return true;
}

/* The Pad that makes the convolution's input, itself or by way of QuantizeLinear and
 * DequantizeLinear, to which zero is zero too: *quantize is the former, or NULL. */
static tt_node *find_pad(tt_graph *graph, const tt_node *conv, tt_node **quantize)
{
    tt_node *node = tt_match_only_producer(graph, conv->inputs[0], NULL);
    tt_linear to, from;
    *quantize = NULL;
    if (node == NULL || tt_node_is(node, "Pad")) return node;
    if (!tt_linear_dequantized(graph, conv->inputs[0], &from)) return NULL;
    node = tt_match_only_producer(graph, node->inputs[0], "QuantizeLinear");
    if (node == NULL || !tt_linear_of(graph, node, &to) || !tt_linear_same(&to, &from))
        return NULL;
    *quantize = node;
    return tt_match_only_producer(graph, node->inputs[0], "Pad");
}

static void set_dims(tt_graph *graph, int value, const tt_shape *dims)
{
    tt_dtype dtype = graph->values[value].shape.dtype;
    graph->values[value].shape = *dims;
    graph->values[value].shape.dtype = dtype;
}

static void take_pad(tt_graph *graph, tt_node *conv)
{
    tt_node *quantize, *pad = find_pad(graph, conv, &quantize);
    int64_t pads[2 * MAX_SPATIAL];
    tt_node *reader = quantize != NULL ? quantize : conv;
    int *inputs;
    padding p;
    if (pad == NULL || conv->inputs[1] < 0 || !read_padding(graph, pad, &p) ||
        !add_own(graph, conv, &p))
        return;
    for (int i = 0; i < p.n; ++i) {
        pads[i] = p.begin[i];
        pads[p.n + i] = p.end[i];
    }
    inputs = tt_region_alloc(graph->region, (size_t)reader->n_inputs, sizeof *inputs);
    if (inputs == NULL || !tt_node_set_ints(graph, conv, "pads", pads, 2 * p.n)) return;
    memcpy(inputs, reader->inputs, (size_t)reader->n_inputs * sizeof *inputs);
    inputs[0] = pad->inputs[0];
    reader->inputs = inputs;
    if (quantize != NULL) {
        const tt_shape dims = graph->values[pad->inputs[0]].shape;
        set_dims(graph, quantize->outputs[0], &dims);
        set_dims(graph, conv->inputs[0], &dims);
    }
    pad->dead = true;
}

tt_status tt_graph_fuse_pads(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i)
        if (!graph->nodes[i].dead && tt_node_is(&graph->nodes[i], "Conv"))
            take_pad(graph, &graph->nodes[i]);
    tt_graph_sweep(graph);
    return TT_OK;
}
