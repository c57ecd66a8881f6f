/* A picture of bytes is quantised already: Cast, a shift and a factor, and
 * QuantizeLinear become the scale and zero point of the DequantizeLinear behind, and the
 * convolution reads the picture itself.
 *
 * Real values are x = a u + b of the byte u, so u is x with scale a and the zero point
 * that is next to -b / a.  What that rounds off, at most half a step, is the same for
 * every pixel and goes into the convolution's bias; only padding, which stands for 0,
 * keeps it, as any rounded value would.  The few steps that QuantizeLinear may cut off
 * at the ends of its calibrated range are kept; where it cuts off more, nothing is
 * changed. */
#include <math.h>
#include <string.h>

#include "graph/fuse.h"
#include "graph/linear.h"
#include "graph/match.h"
#include "kernels/item.h"
#include "ops/op.h"

enum {
    N_BYTES = 256,
    MAX_STEPS = 12,        /* nodes between the picture and QuantizeLinear */
    MAX_CUT_OFF = 16,      /* steps at either end of the bytes */
    MAX_UNIFORM = 1 << 16, /* elements of an operand that are compared */
    MAX_WEIGHTS = 1 << 20
};

typedef struct {
    int value;                     /* of bytes */
    int n_steps, steps[MAX_STEPS]; /* nodes, from QuantizeLinear upwards */
    float real[N_BYTES];           /* what becomes of each byte */
    double scale, shift;           /* real = scale (u - zero_point) + shift */
    int zero_point;
} picture;

/* ---- reading -------------------------------------------------------------------- */

/* A constant whose elements are all the same. */
static bool is_uniform(const tt_graph *graph, int value, float *out)
{
    const tt_constant *constant = tt_graph_constant(graph, value);
    const float *data = constant == NULL ? NULL : tt_constant_data(constant);
    const tt_shape *shape = &graph->values[value].shape;
    int64_t n = data == NULL ? 0 : tt_shape_numel(shape);
    if (n < 1 || n > MAX_UNIFORM || shape->dtype != TT_F32) return false;
    for (int64_t i = 1; i < n; ++i)
        if (data[i] != data[0]) return false;
    *out = data[0];
    return true;
}

static bool is_move(const tt_node *node)
{
    static const char *const moves[] = {"Transpose", "Reshape", "Squeeze", "Unsqueeze",
                                        "Flatten"};
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; ++i)
        if (tt_node_is(node, moves[i])) return true;
    return false;
}

static bool same_dims(const tt_shape *a, const tt_shape *b)
{
    return a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Which input of an affine step varies, -1 when the node is none; *operand: the other. */
static int affine_input(const tt_graph *graph, const tt_node *node, float *operand)
{
    bool swaps = tt_node_is(node, "Add") || tt_node_is(node, "Mul");
    int which = 0;
    if (!swaps && !tt_node_is(node, "Sub") && !tt_node_is(node, "Div")) return -1;
    if (node->n_inputs != 2) return -1;
    if (swaps && tt_graph_constant(graph, node->inputs[0]) != NULL) which = 1;
    if (!is_uniform(graph, node->inputs[1 - which], operand)) return -1;
    if (!same_dims(&graph->values[node->inputs[which]].shape,
                   &graph->values[node->outputs[0]].shape))
        return -1;
    return which;
}

/* Walks up from the input of QuantizeLinear to bytes. */
static bool trace(tt_graph *graph, const tt_node *quantize, picture *p)
{
    int value = quantize->inputs[0];
    for (p->n_steps = 0; p->n_steps < MAX_STEPS; ++p->n_steps) {
        const tt_node *node = tt_match_only_producer(graph, value, NULL);
        const tt_attribute *to;
        float operand;
        int which = 0;
        if (node == NULL || node->n_posts > 0 || node->n_outputs != 1) return false;
        p->steps[p->n_steps] = (int)(node - graph->nodes);
        if (tt_node_is(node, "Cast")) {
            to = tt_attribute_find(node, "to");
            p->value = node->inputs[0];
            ++p->n_steps;
            return to != NULL && to->kind == TT_ATTRIBUTE_INT &&
                   to->as.ints[0] == TT_F32 &&
                   graph->values[p->value].shape.dtype == TT_U8;
        }
        if (!is_move(node)) which = affine_input(graph, node, &operand);
        if (which < 0) return false;
        value = node->inputs[which];
    }
    return false;
}

static float apply(const tt_graph *graph, const tt_node *node, float x)
{
    float operand = 0.0f;
    if (affine_input(graph, node, &operand) < 0) return x;
    if (tt_node_is(node, "Add")) return x + operand;
    if (tt_node_is(node, "Sub")) return x - operand;
    return tt_node_is(node, "Mul") ? x * operand : x / operand;
}

/* Is what the bytes become a line, and does QuantizeLinear keep all of it? */
static bool measure(const tt_graph *graph, const tt_linear *linear, picture *p)
{
    const double low = linear->dtype == TT_S8 ? -128.0 : 0.0, high = low + 255.0;
    for (int u = 0; u < N_BYTES; ++u)
        p->real[u] = (float)u;
    for (int i = p->n_steps - 1; i >= 0; --i)
        for (int u = 0; u < N_BYTES; ++u)
            p->real[u] = apply(graph, &graph->nodes[p->steps[i]], p->real[u]);
    p->scale = (double)(float)(((double)p->real[255] - (double)p->real[0]) / 255.0);
    if (!(p->scale > 1e-30 && p->scale < 1e30)) return false;
    p->zero_point = 0;
    if (!(fabs((double)p->real[0]) <= 255.4 * p->scale)) return false;
    p->zero_point = (int)rint(-(double)p->real[0] / p->scale);
    if (p->zero_point < 0 || p->zero_point > 255) return false;
    p->shift = (double)p->real[0] + p->scale * p->zero_point;
    for (int u = 0; u < N_BYTES; ++u) {
        double x = (double)p->real[u];
        double line = p->scale * (u - p->zero_point) + p->shift;
        double q = rint(x / linear->scale) + linear->zero_point;
        q = fmin(fmax(q, low), high);
        if (fabs(line - x) > 1e-3 * p->scale) return false;
        const double rounded = fmax(0.501 * linear->scale, MAX_CUT_OFF * p->scale);
        if (fabs((q - linear->zero_point) * linear->scale - x) > rounded) return false;
    }
    return true;
}

/* ---- the readers -------------------------------------------------------------------- */

/* The weights of a convolution: floats, or integers with scales (one, or one for each
 * filter) and perhaps zero points. */
typedef struct {
    tt_constant *items;
    const tt_constant *scales, *zero_points; /* NULL: floats; none */
} filters;

static bool is_one_or(const tt_constant *constant, int64_t n)
{
    int64_t items = constant == NULL ? 0 : tt_shape_numel(tt_constant_shape(constant));
    return (items == 1 || items == n) && tt_constant_data(constant) != NULL;
}

static bool find_scales(const tt_graph *graph, const tt_node *node, int64_t n_dst,
                        filters *out)
{
    const tt_attribute *axis = tt_attribute_find(node, "axis");
    const bool has_zero = node->n_inputs > 2 && node->inputs[2] >= 0;
    out->scales = tt_graph_constant(graph, node->inputs[1]);
    if (has_zero) out->zero_points = tt_graph_constant(graph, node->inputs[2]);
    if (!is_one_or(out->scales, n_dst) || tt_attribute_find(node, "block_size") != NULL)
        return false;
    if (has_zero && !is_one_or(out->zero_points, n_dst)) return false;
    return tt_shape_numel(tt_constant_shape(out->scales)) == 1 ||
           (axis != NULL && axis->kind == TT_ATTRIBUTE_INT && axis->as.ints[0] == 0);
}

static bool find_filters(tt_graph *graph, const tt_node *conv, filters *out)
{
    int value = conv->inputs[1];
    const tt_node *node = tt_match_producer(graph, value, "DequantizeLinear"), *before;
    const tt_shape *shape = &graph->values[value].shape;
    *out = (filters){0};
    if (shape->rank < 3 || tt_shape_numel(shape) > MAX_WEIGHTS) return false;
    if (node != NULL) {
        value = node->inputs[0];
        before = tt_match_producer(graph, value, "QuantizeLinear");
        if (before != NULL)
            value = before->inputs[0];
        else if (!find_scales(graph, node, shape->dims[0], out))
            return false;
    }
    out->items = graph->values[value].constant;
    shape = &graph->values[value].shape;
    return out->items != NULL &&
           (out->scales == NULL ? shape->dtype == TT_F32
                                : shape->dtype == TT_S8 || shape->dtype == TT_U8);
}

/* Item i of one for all, or one each. */
static double item_of(const tt_constant *constant, int64_t i)
{
    const tt_shape *shape = tt_constant_shape(constant);
    return tt_item_load(shape->dtype, tt_constant_data(constant),
                        tt_shape_numel(shape) == 1 ? 0 : i);
}

/* Sum of filter i, of n items that are there. */
static double filter_sum(const filters *f, int64_t i, int64_t n)
{
    const tt_dtype dtype = tt_constant_shape(f->items)->dtype;
    double sum = 0.0;
    for (int64_t k = 0; k < n; ++k)
        sum += tt_item_load(dtype, tt_constant_data(f->items), i * n + k);
    if (f->zero_points != NULL) sum -= (double)n * item_of(f->zero_points, i);
    return f->scales != NULL ? sum * item_of(f->scales, i) : sum;
}

/* Can the bias of this reader take a shift? */
static bool takes_shift(tt_graph *graph, const tt_node *node, int value)
{
    filters f;
    if (!tt_node_is(node, "Conv") || node->inputs[0] != value || node->n_inputs < 2 ||
        node->inputs[1] == value || node->n_posts > 0)
        return false;
    if (node->n_inputs > 2 && node->inputs[2] >= 0 &&
        (tt_graph_constant(graph, node->inputs[2]) == NULL ||
         graph->values[node->inputs[2]].shape.dtype != TT_F32))
        return false;
    return find_filters(graph, node, &f);
}

/* Is every reader of the quantised tensor a DequantizeLinear with its parameters, and
 * every reader of those one whose bias can take the shift? */
static bool readers_agree(tt_graph *graph, int quantized, const tt_linear *linear,
                          bool has_shift)
{
    int n_readers = 0;
    if (tt_graph_is_output(graph, quantized)) return false;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        tt_linear back;
        if (node->dead || node->n_inputs < 1 || node->inputs[0] != quantized) continue;
        if (!tt_node_is(node, "DequantizeLinear") ||
            !tt_linear_of(graph, node, &back) || !tt_linear_same(&back, linear))
            return false;
        ++n_readers;
        if (!has_shift) continue;
        if (tt_graph_is_output(graph, node->outputs[0])) return false;
        for (int k = 0; k < graph->n_nodes; ++k)
            for (int j = 0; j < graph->nodes[k].n_inputs && !graph->nodes[k].dead; ++j)
                if (graph->nodes[k].inputs[j] == node->outputs[0] &&
                    !takes_shift(graph, &graph->nodes[k], node->outputs[0]))
                    return false;
    }
    return n_readers == tt_graph_n_uses(graph, quantized);
}

/* ---- rewriting ---------------------------------------------------------------------- */

static tt_status add_scalar(tt_graph *graph, tt_dtype dtype, double x, int *out,
                            tt_error *err)
{
    const tt_shape shape = {.dtype = dtype};
    tt_constant *constant;
    void *data;
    TT_TRY(tt_constant_empty(&shape, &constant, &data, err));
    if (dtype == TT_F32)
        *(float *)data = (float)x;
    else
        *(uint8_t *)data = (uint8_t)x;
    return tt_graph_add_constant(graph, "", constant, out, err);
}

static tt_status set_inputs(tt_graph *graph, tt_node *node, const int *inputs, int n,
                            tt_error *err)
{
    int *list = tt_region_alloc(graph->region, (size_t)n, sizeof *list);
    if (list == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the inputs of '%s'", node->name);
    memcpy(list, inputs, (size_t)n * sizeof *list);
    node->inputs = list;
    node->n_inputs = n;
    return TT_OK;
}

/* bias += shift times the sum of each filter. */
static tt_status shift_bias(tt_graph *graph, int at, double shift, tt_error *err)
{
    tt_node *conv = &graph->nodes[at];
    tt_constant *old = conv->n_inputs > 2 && conv->inputs[2] >= 0
                           ? graph->values[conv->inputs[2]].constant
                           : NULL;
    const tt_shape *dims = &graph->values[conv->inputs[1]].shape;
    const int64_t n_dst = dims->dims[0];
    const int64_t n = n_dst == 0 ? 0 : tt_shape_numel(dims) / n_dst;
    const tt_shape shape = {.dtype = TT_F32, .rank = 1, .dims = {n_dst}};
    int inputs[3] = {conv->inputs[0], conv->inputs[1]};
    const float *had;
    tt_constant *made;
    filters f;
    tt_status status;
    void *data;
    if (!find_filters(graph, conv, &f)) return TT_OK; /* readers_agree has asked */
    TT_TRY(tt_constant_empty(&shape, &made, &data, err));
    status = tt_constant_pin(f.items, err);
    if (status == TT_OK && old != NULL) {
        status = tt_constant_pin(old, err);
        if (status != TT_OK) tt_constant_unpin(f.items);
    }
    if (status != TT_OK) {
        tt_constant_unref(made);
        return status;
    }
    had = old == NULL ? NULL : tt_constant_data(old);
    for (int64_t i = 0; i < n_dst; ++i)
        ((float *)data)[i] =
            (float)(shift * filter_sum(&f, i, n) + (had ? (double)had[i] : 0.0));
    tt_constant_unpin(f.items);
    if (old != NULL) tt_constant_unpin(old);
    TT_TRY(tt_graph_add_constant(graph, "", made, &inputs[2], err));
    return set_inputs(graph, &graph->nodes[at], inputs, 3, err);
}

static tt_status shift_readers(tt_graph *graph, int value, double shift, tt_error *err)
{
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (!node->dead && node->n_inputs > 0 && node->inputs[0] == value)
            TT_TRY(shift_bias(graph, i, shift, err));
    }
    return TT_OK;
}

static tt_status read_bytes(tt_graph *graph, int at, const picture *p, bool has_shift,
                            tt_error *err)
{
    int quantized = graph->nodes[at].outputs[0], value = p->value, scale, zero;
    TT_TRY(add_scalar(graph, TT_F32, p->scale, &scale, err));
    TT_TRY(add_scalar(graph, TT_U8, p->zero_point, &zero, err));
    for (int i = p->n_steps - 1; i >= 0; --i) {
        tt_node *node = &graph->nodes[p->steps[i]];
        int *inputs;
        if (!is_move(node)) continue;
        inputs = tt_region_alloc(graph->region, (size_t)node->n_inputs, sizeof *inputs);
        if (inputs == NULL)
            return tt_fail(err, TT_NO_MEMORY, "the inputs of '%s'", node->name);
        memcpy(inputs, node->inputs, (size_t)node->n_inputs * sizeof *inputs);
        inputs[0] = value;
        node->inputs = inputs;
        value = node->outputs[0];
        graph->values[value].shape.dtype = TT_U8;
    }
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        const int inputs[3] = {value, scale, zero};
        if (node->dead || node->n_inputs < 1 || node->inputs[0] != quantized) continue;
        TT_TRY(set_inputs(graph, node, inputs, 3, err));
        if (has_shift) TT_TRY(shift_readers(graph, node->outputs[0], p->shift, err));
    }
    graph->nodes[at].dead = true;
    return TT_OK;
}

tt_status tt_graph_fuse_bytes(tt_graph *graph, tt_error *err)
{
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_linear linear;
        picture p;
        bool has_shift;
        if (!tt_node_is(&graph->nodes[i], "QuantizeLinear") ||
            !tt_linear_of(graph, &graph->nodes[i], &linear) ||
            !trace(graph, &graph->nodes[i], &p) || !measure(graph, &linear, &p))
            continue;
        has_shift = fabs(p.shift) > 1e-3 * p.scale;
        if (readers_agree(graph, graph->nodes[i].outputs[0], &linear, has_shift))
            TT_TRY(read_bytes(graph, i, &p, has_shift, err));
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
