/* Scalings behind a convolution go into its weights: BatchNormalization, and Mul or
 * Add by a constant per channel.
 *
 *   y = scale * (W x + b) + shift  =  (scale W) x + (scale b + shift)
 *
 * computed in double. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

/* y = scale[c] x + shift[c]; both arrays have n items, from tt_alloc. */
typedef struct {
    int64_t n;
    double *scale, *shift;
} affine;

static const float *f32_vector(const tt_graph *graph, int value, int64_t n)
{
    const tt_constant *constant = tt_graph_constant(graph, value);
    if (constant == NULL || tt_constant_shape(constant)->dtype != TT_F32 ||
        tt_shape_numel(tt_constant_shape(constant)) != n)
        return NULL;
    return tt_constant_data(constant);
}

static bool affine_of_batch_norm(const tt_graph *graph, const tt_node *node, affine *a)
{
    const float *gamma, *beta, *mean, *variance;
    int64_t training;
    float eps;
    double epsilon;
    if (tt_attribute_float(node, "epsilon", 1e-5f, &eps, NULL) != TT_OK ||
        tt_attribute_int(node, "training_mode", 0, &training, NULL) != TT_OK)
        return false; /* its infer says what is wrong */
    if (node->n_inputs != 5 || training != 0) return false;
    epsilon = (double)eps;
    gamma = f32_vector(graph, node->inputs[1], a->n);
    beta = f32_vector(graph, node->inputs[2], a->n);
    mean = f32_vector(graph, node->inputs[3], a->n);
    variance = f32_vector(graph, node->inputs[4], a->n);
    if (!gamma || !beta || !mean || !variance) return false;
    for (int64_t c = 0; c < a->n; ++c) {
        a->scale[c] = (double)gamma[c] / sqrt((double)variance[c] + epsilon);
        a->shift[c] = (double)beta[c] - (double)mean[c] * a->scale[c];
    }
    return true;
}

/* Mul or Add by a constant that is a scalar or a vector along the channels of a
 * tensor of `rank` dims. */
static bool affine_of_binary(const tt_graph *graph, const tt_node *node, int x,
                             int rank, affine *a)
{
    bool is_mul = tt_node_is(node, "Mul");
    const tt_constant *constant = tt_graph_constant(graph, tt_match_other(node, x));
    const tt_shape *shape;
    const float *data;
    int64_t n;
    if ((!is_mul && !tt_node_is(node, "Add")) || constant == NULL) return false;
    shape = tt_constant_shape(constant);
    n = tt_shape_numel(shape);
    if (shape->dtype != TT_F32 || shape->rank > rank) return false;
    if (n != 1 && (n != a->n || shape->rank < rank - 1 ||
                   shape->dims[shape->rank - rank + 1] != a->n))
        return false;
    data = tt_constant_data(constant);
    if (data == NULL) return false; /* a weight in its file */
    for (int64_t c = 0; c < a->n; ++c) {
        double value = (double)data[n == 1 ? 0 : c];
        a->scale[c] = is_mul ? value : 1.0;
        a->shift[c] = is_mul ? 0.0 : value;
    }
    return true;
}

static tt_status scaled_weights(tt_graph *graph, const tt_node *conv, const affine *a,
                                int *out, tt_error *err)
{
    tt_constant *weights = graph->values[conv->inputs[1]].constant;
    const tt_shape *shape = tt_constant_shape(weights);
    int64_t per_channel = tt_shape_numel(shape) / (a->n > 0 ? a->n : 1);
    tt_constant *made;
    const float *src;
    tt_status status;
    void *dst;
    TT_TRY(tt_constant_pin(weights, err));
    status = tt_constant_empty(shape, &made, &dst, err);
    src = tt_constant_data(weights);
    for (int64_t c = 0; c < a->n && status == TT_OK; ++c)
        for (int64_t i = 0; i < per_channel; ++i)
            ((float *)dst)[c * per_channel + i] =
                (float)(a->scale[c] * (double)src[c * per_channel + i]);
    tt_constant_unpin(weights);
    TT_TRY(status);
    return tt_graph_add_constant(graph, graph->values[conv->inputs[1]].name, made, out,
                                 err);
}

static tt_status shifted_bias(tt_graph *graph, const tt_node *conv, const affine *a,
                              int *out, tt_error *err)
{
    bool has_bias = conv->n_inputs > 2 && conv->inputs[2] >= 0;
    const float *bias = has_bias ? f32_vector(graph, conv->inputs[2], a->n) : NULL;
    tt_shape shape = {.dtype = TT_F32, .rank = 1, .dims = {a->n}};
    tt_constant *made;
    void *dst;
    TT_TRY(tt_constant_empty(&shape, &made, &dst, err));
    for (int64_t c = 0; c < a->n; ++c)
        ((float *)dst)[c] =
            (float)(a->scale[c] * (bias ? (double)bias[c] : 0.0) + a->shift[c]);
    return tt_graph_add_constant(graph, "", made, out, err);
}

/* A convolution whose weights (and bias) are constant f32 and whose result only
 * `node` reads. */
static tt_node *foldable_conv(tt_graph *graph, int value)
{
    tt_node *conv = tt_match_only_producer(graph, value, "Conv");
    const tt_constant *weights;
    if (conv == NULL || conv->n_inputs < 2 || conv->n_posts > 0) return NULL;
    weights = tt_graph_constant(graph, conv->inputs[1]);
    if (weights == NULL || tt_constant_shape(weights)->dtype != TT_F32 ||
        tt_constant_shape(weights)->rank < 3)
        return NULL;
    if (conv->n_inputs > 2 && conv->inputs[2] >= 0 &&
        f32_vector(graph, conv->inputs[2], tt_constant_shape(weights)->dims[0]) == NULL)
        return NULL;
    return conv;
}

static tt_status fold_into(tt_graph *graph, tt_node *conv, tt_node *node,
                           const affine *a, tt_error *err)
{
    int *inputs = tt_region_alloc(graph->region, 4, sizeof *inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "folding weights");
    inputs[0] = conv->inputs[0];
    TT_TRY(scaled_weights(graph, conv, a, &inputs[1], err));
    TT_TRY(shifted_bias(graph, conv, a, &inputs[2], err));
    conv->inputs = inputs;
    conv->n_inputs = 3;
    tt_graph_replace(graph, node->outputs[0], conv->outputs[0]);
    node->dead = true;
    return TT_OK;
}

static tt_status fuse_node(tt_graph *graph, tt_node *node, tt_error *err)
{
    bool is_norm = tt_node_is(node, "BatchNormalization");
    if (!is_norm && !tt_node_is(node, "Mul") && !tt_node_is(node, "Add")) return TT_OK;
    for (int which = 0; which < (is_norm ? 1 : node->n_inputs); ++which) {
        int x = node->inputs[which];
        tt_node *conv = foldable_conv(graph, x);
        const tt_shape *weights;
        affine a;
        bool matches;
        tt_status status = TT_OK;
        if (conv == NULL || node->n_outputs < 1) continue;
        weights = tt_constant_shape(tt_graph_constant(graph, conv->inputs[1]));
        a.n = weights->dims[0];
        a.scale = tt_calloc((size_t)a.n + 1, sizeof *a.scale);
        a.shift = tt_calloc((size_t)a.n + 1, sizeof *a.shift);
        matches = a.scale != NULL && a.shift != NULL &&
                  (is_norm ? affine_of_batch_norm(graph, node, &a)
                           : affine_of_binary(graph, node, x, weights->rank, &a));
        if (matches) status = fold_into(graph, conv, node, &a, err);
        tt_free(a.scale);
        tt_free(a.shift);
        if (matches) return status;
    }
    return TT_OK;
}

tt_status tt_graph_fuse_weights(tt_graph *graph, tt_error *err)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        if (!graph->nodes[i].dead) TT_TRY(fuse_node(graph, &graph->nodes[i], err));
    tt_graph_sweep(graph);
    return TT_OK;
}
