/* DequantizeLinear > Conv, MatMul, ... becomes one integer operator, and takes in the
 * QuantizeLinear behind it: see quantized.h.
 *
 * Weights come as integers with a DequantizeLinear, or as f32 with a QuantizeLinear and
 * a DequantizeLinear: then the integers are made at load for this processor.  Folding
 * constants would end both before anybody saw them, so what a layer here wants is
 * marked first (tt_node.is_kept), once per model. */
#include <math.h>
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "graph/quantized.h"
#include "ops/quantized.h"

/* With weights of 7 bits no sum of two products u8 x s8 leaves 16 bits: 2 * 255 * 64. */
enum { SAFE_LIMIT = 64, FULL_LIMIT = 127 };

/* ---- reading ---------------------------------------------------------------- */

static const tt_constant *input_constant(const tt_graph *graph, const tt_node *node,
                                         int i)
{
    return i < node->n_inputs ? tt_graph_constant(graph, node->inputs[i]) : NULL;
}

static bool has_input(const tt_node *node, int i)
{
    return i < node->n_inputs && node->inputs[i] >= 0;
}

/* The scales and zero points of a node that has no blocks and speaks f32. */
static bool read_constants(const tt_graph *graph, const tt_node *node,
                           const tt_constant **scales, const tt_constant **zero_points)
{
    const tt_attribute *block = tt_attribute_find(node, "block_size");
    const tt_attribute *made = tt_attribute_find(node, "output_dtype");
    *scales = input_constant(graph, node, 1);
    *zero_points = input_constant(graph, node, 2);
    if (!has_input(node, 0) || *scales == NULL || tt_constant_data(*scales) == NULL ||
        tt_constant_shape(*scales)->dtype != TT_F32)
        return false;
    if (block != NULL && (block->kind != TT_ATTRIBUTE_INT || block->as.ints[0] != 0))
        return false;
    if (made != NULL && tt_node_is(node, "DequantizeLinear") &&
        (made->kind != TT_ATTRIBUTE_INT ||
         (made->as.ints[0] != TT_F32 && made->as.ints[0] != 0)))
        return false;
    if (!has_input(node, 2)) return true;
    return *zero_points != NULL && tt_constant_data(*zero_points) != NULL;
}

static bool is_positive(float scale)
{
    return scale > 0.0f && isfinite(scale) && isfinite(1.0f / scale);
}

bool tt_linear_match(const tt_graph *graph, const tt_node *node, const char *op_type,
                     tt_linear *out)
{
    const tt_constant *scales, *zero_points;
    bool quantises = strcmp(op_type, "QuantizeLinear") == 0;
    double zero_point = 0.0;
    if (!tt_node_is(node, op_type) || node->outputs[0] < 0 ||
        !read_constants(graph, node, &scales, &zero_points) ||
        tt_shape_numel(tt_constant_shape(scales)) != 1)
        return false;
    out->src = node->inputs[0];
    out->scale = *(const float *)tt_constant_data(scales);
    out->dtype =
        graph->values[quantises ? node->outputs[0] : node->inputs[0]].shape.dtype;
    if (zero_points != NULL) {
        if (!tt_scalar_value(zero_points, &zero_point)) return false;
        out->dtype = tt_constant_shape(zero_points)->dtype;
    }
    out->zero_point = (int)zero_point;
    return is_positive(out->scale);
}

static bool is_byte(tt_dtype dtype)
{
    return dtype == TT_U8 || dtype == TT_S8;
}

/* ---- weights ---------------------------------------------------------------- */

typedef struct {
    int value;      /* s8, u8 or f32 constant */
    int scales;     /* value */
    int axis;       /* of the scales */
    int first;      /* node index of the QuantizeLinear, or -1 */
    int last;       /* of the DequantizeLinear */
    tt_dtype dtype; /* of the integers: s8, or u8 around 128 */
} weights;

static bool are_all(const tt_constant *constant, int wanted)
{
    const uint8_t *data = tt_constant_data(constant);
    int64_t n = tt_shape_numel(tt_constant_shape(constant));
    for (int64_t i = 0; i < n; ++i)
        if (data[i] != (uint8_t)wanted) return false;
    return true;
}

static bool are_positive(const tt_constant *scales)
{
    const float *data = tt_constant_data(scales);
    int64_t n = tt_shape_numel(tt_constant_shape(scales));
    for (int64_t i = 0; i < n; ++i)
        if (!is_positive(data[i])) return false;
    return n > 0;
}

/* One end of the chain: scales, symmetric zero points, the axis.  The integer's type is
 * the zero points', or `otherwise`. */
static bool read_end(const tt_graph *graph, const tt_node *node, int rank,
                     tt_dtype otherwise, weights *w)
{
    const tt_constant *scales, *zero_points;
    const tt_attribute *axis = tt_attribute_find(node, "axis");
    if (!read_constants(graph, node, &scales, &zero_points) || !are_positive(scales) ||
        tt_constant_shape(scales)->rank > 1)
        return false;
    w->dtype = zero_points != NULL ? tt_constant_shape(zero_points)->dtype : otherwise;
    if (!is_byte(w->dtype) ||
        !(zero_points != NULL ? are_all(zero_points, w->dtype == TT_U8 ? 128 : 0)
                              : w->dtype == TT_S8))
        return false;
    w->scales = node->inputs[1];
    w->axis = axis != NULL ? (int)axis->as.ints[0] : 1;
    if (w->axis < 0) w->axis += rank;
    return true;
}

/* Reads what makes `value`. */
static bool read_weights(tt_graph *graph, int value, weights *w)
{
    tt_node *last = tt_match_producer(graph, value, "DequantizeLinear"), *first;
    const tt_constant *constant;
    tt_dtype dtype = TT_S8;
    weights before;
    *w = (weights){.first = -1};
    if (last == NULL || !has_input(last, 0)) return false;
    w->last = (int)(last - graph->nodes);
    w->value = last->inputs[0];
    first = tt_match_producer(graph, w->value, "QuantizeLinear");
    if (first != NULL && has_input(first, 0)) {
        w->first = (int)(first - graph->nodes);
        w->value = first->inputs[0];
    }
    constant = tt_graph_constant(graph, w->value);
    if (constant == NULL) return false;
    if (first == NULL) dtype = tt_constant_shape(constant)->dtype;
    if (!read_end(graph, last, tt_constant_shape(constant)->rank, dtype, w))
        return false;
    if (first == NULL) return tt_constant_shape(constant)->dtype == w->dtype;
    before = *w;
    if (tt_constant_shape(constant)->dtype != TT_F32 || w->dtype != TT_S8 ||
        !read_end(graph, first, tt_constant_shape(constant)->rank, TT_U8, &before))
        return false;
    return before.dtype == w->dtype && before.scales == w->scales &&
           before.axis == w->axis;
}

/* ---- layers ----------------------------------------------------------------- */

typedef struct {
    const tt_op *op; /* the integer operator */
    tt_linear src;
    weights weights;
} layer;

static int64_t int_attribute(const tt_node *node, const char *name, int64_t otherwise)
{
    const tt_attribute *a = tt_attribute_find(node, name);
    return a != NULL && a->kind == TT_ATTRIBUTE_INT ? a->as.ints[0] : otherwise;
}

static bool is_one(const tt_node *node, const char *name)
{
    const tt_attribute *a = tt_attribute_find(node, name);
    return a == NULL || (a->kind == TT_ATTRIBUTE_FLOAT && a->as.floats[0] == 1.0f);
}

/* The axis of the weights along which they may have scales; -1: only one for all;
 * -2: nothing that integers compute. */
static int conv_axis(const tt_node *node, int rank)
{
    (void)node;
    return rank >= 3 ? 0 : -2;
}

static int conv_transpose_axis(const tt_node *node, int rank)
{
    if (rank < 3) return -2;
    return int_attribute(node, "group", 1) == 1 ? 1 : -1;
}

static int matmul_axis(const tt_node *node, int rank)
{
    (void)node;
    return rank == 2 ? 1 : -2;
}

static int gemm_axis(const tt_node *node, int rank)
{
    if (rank != 2 || !is_one(node, "alpha") || !is_one(node, "beta")) return -2;
    return int_attribute(node, "transB", 0) != 0 ? 0 : 1;
}

static const struct {
    const char *op_type;
    const tt_op *op;
    int (*axis)(const tt_node *node, int rank);
} kinds[] = {
    {"Conv",          &tt_op_quantized_conv,           conv_axis          },
    {"ConvTranspose", &tt_op_quantized_conv_transpose, conv_transpose_axis},
    {"MatMul",        &tt_op_quantized_matmul,         matmul_axis        },
    {"Gemm",          &tt_op_quantized_gemm,           gemm_axis          },
};

static bool scales_fit(const tt_graph *graph, const weights *w, int axis)
{
    const tt_shape *shape = tt_constant_shape(tt_graph_constant(graph, w->value));
    int64_t n = tt_shape_numel(tt_constant_shape(tt_graph_constant(graph, w->scales)));
    if (tt_shape_numel(shape) == 0) return false;
    if (n == 1) return axis >= -1;
    return axis >= 0 && w->axis == axis && n == shape->dims[axis];
}

/* Is the node a layer that integers compute?  Where products of two bytes saturate,
 * integers of a file must be small enough, and s8 activations stay in f32 (oneDNN would
 * halve the weights). */
static tt_status match_layer(tt_graph *graph, tt_node *node, bool is_exact, layer *out,
                             bool *found, tt_error *err)
{
    const tt_node *producer;
    size_t kind = 0;
    const tt_constant *constant;
    *found = false;
    while (kind < sizeof kinds / sizeof *kinds &&
           !tt_node_is(node, kinds[kind].op_type))
        ++kind;
    if (kind == sizeof kinds / sizeof *kinds || node->n_inputs < 2) return TT_OK;
    producer = tt_match_producer(graph, node->inputs[0], "DequantizeLinear");
    if (producer == NULL ||
        !tt_linear_match(graph, producer, "DequantizeLinear", &out->src) ||
        !read_weights(graph, node->inputs[1], &out->weights))
        return TT_OK;
    constant = tt_graph_constant(graph, out->weights.value);
    if (!scales_fit(graph, &out->weights,
                    kinds[kind].axis(node, tt_constant_shape(constant)->rank)))
        return TT_OK;
    out->op = kinds[kind].op;
    *found = true;
    if (is_exact) return TT_OK;
    *found = out->src.dtype != TT_S8;
    if (!*found || out->weights.first >= 0) return TT_OK;
    return tt_weights_within(graph->values[out->weights.value].constant, SAFE_LIMIT,
                             found, err);
}

tt_status tt_graph_keep_linear(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i)
        graph->nodes[i].is_kept = tt_node_is(&graph->nodes[i], "QuantizeLinear") ||
                                  tt_node_is(&graph->nodes[i], "DequantizeLinear");
    return TT_OK;
}

static void forget(tt_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        graph->nodes[i].is_kept = false;
}

tt_status tt_graph_keep_weights(tt_graph *graph, bool is_exact, tt_error *err)
{
    forget(graph);
    for (int i = 0; i < graph->n_nodes; ++i) {
        layer l;
        bool found;
        TT_TRY(match_layer(graph, &graph->nodes[i], is_exact, &l, &found, err));
        if (!found) continue;
        graph->nodes[l.weights.last].is_kept = true;
        if (l.weights.first >= 0) graph->nodes[l.weights.first].is_kept = true;
    }
    return TT_OK;
}

/* ---- rewriting -------------------------------------------------------------- */

/* An f32 constant with every item times `factor`. */
static tt_status scaled(tt_graph *graph, int value, float factor, int *out,
                        tt_error *err)
{
    const tt_constant *from = tt_graph_constant(graph, value);
    const float *src = tt_constant_data(from);
    int64_t n = tt_shape_numel(tt_constant_shape(from));
    tt_constant *made;
    void *dst;
    TT_TRY(tt_constant_empty(tt_constant_shape(from), &made, &dst, err));
    for (int64_t i = 0; i < n; ++i)
        ((float *)dst)[i] = src[i] * factor;
    return tt_graph_add_constant(graph, graph->values[value].name, made, out, err);
}

/* Values of the s8 weights and of their scales. */
static tt_status make_weights(tt_graph *graph, const weights *w, bool is_exact,
                              int *made_weights, int *made_scales, tt_error *err)
{
    tt_constant *from = graph->values[w->value].constant, *made;
    *made_weights = w->value;
    *made_scales = w->scales;
    if (w->first < 0 && w->dtype == TT_S8) return TT_OK;
    if (w->first < 0) {
        TT_TRY(tt_weights_shifted(from, &made, err));
    } else {
        if (!is_exact)
            TT_TRY(scaled(graph, w->scales, (float)FULL_LIMIT / SAFE_LIMIT, made_scales,
                          err));
        TT_TRY(tt_weights_quantized(from, tt_graph_constant(graph, *made_scales),
                                    w->axis, is_exact ? FULL_LIMIT : SAFE_LIMIT, &made,
                                    err));
    }
    return tt_graph_add_constant(graph, graph->values[w->value].name, made,
                                 made_weights, err);
}

static tt_status become(tt_graph *graph, int at, const layer *l, bool is_exact,
                        tt_error *err)
{
    int made_weights, made_scales;
    int *inputs =
        tt_region_alloc(graph->region, TT_QUANTIZED_SCALES + 1, sizeof *inputs);
    tt_quantized *extra = tt_region_alloc(graph->region, 1, sizeof *extra);
    tt_node *node = &graph->nodes[at];
    if (inputs == NULL || extra == NULL)
        return tt_fail(err, TT_NO_MEMORY, "an integer operator");
    TT_TRY(
        make_weights(graph, &l->weights, is_exact, &made_weights, &made_scales, err));
    inputs[0] = l->src.src;
    inputs[1] = made_weights;
    inputs[2] = has_input(node, 2) ? node->inputs[2] : TT_ABSENT;
    inputs[TT_QUANTIZED_SCALES] = made_scales;
    *extra = (tt_quantized){.src_scale = l->src.scale,
                            .src_zero_point = l->src.zero_point,
                            .dst_scale = 1.0f};
    node->op = l->op;
    node->op_type = l->op->name;
    node->domain = l->op->domain;
    node->inputs = inputs;
    node->n_inputs = TT_QUANTIZED_SCALES + 1;
    node->extra = extra;
    return TT_OK;
}

/* What only shapes tell. */
static bool fits_shapes(const tt_graph *graph, const tt_node *node, const layer *l)
{
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    const tt_shape *src = &graph->values[l->src.src].shape;
    if (!is_byte(src->dtype) || src->dtype != l->src.dtype || dst->dtype != TT_F32)
        return false;
    if (l->op == &tt_op_quantized_matmul && src->rank < 2) return false;
    return !has_input(node, 2) || graph->values[node->inputs[2]].shape.dtype == TT_F32;
}

/* Back to what it was where integers would be slow. */
static tt_status try_integers(tt_graph *graph, int at, const layer *l,
                              tt_engine *engine, bool is_exact, tt_error *err)
{
    tt_node was = graph->nodes[at];
    tt_site site = {graph, &graph->nodes[at], -1};
    bool is_fast;
    TT_TRY(become(graph, at, l, is_exact, err));
    TT_TRY(tt_quantized_is_fast(engine, &site, &is_fast, err));
    if (!is_fast) graph->nodes[at] = was;
    return TT_OK;
}

tt_status tt_graph_fuse_quantized(tt_graph *graph, tt_engine *engine, bool is_exact,
                                  bool *has_left, tt_error *err)
{
    *has_left = false;
    for (int i = 0; i < graph->n_nodes; ++i) {
        layer l;
        bool found;
        *has_left |= graph->nodes[i].is_kept;
        TT_TRY(match_layer(graph, &graph->nodes[i], is_exact, &l, &found, err));
        if (found && fits_shapes(graph, &graph->nodes[i], &l))
            TT_TRY(try_integers(graph, i, &l, engine, is_exact, err));
    }
    forget(graph);
    tt_graph_sweep(graph);
    return TT_OK;
}
