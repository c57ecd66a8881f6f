/* Matmuls with weights of 8 bits whose activations are quantised on the fly, as tools
 * for dynamic quantisation write them:
 *
 *   q, s, z = DynamicQuantizeLinear(x)
 *   y = Cast(MatMulInteger(q, B, z, B_zero)) * (s * B_scale)    or  .. * s * B_scale
 *
 * become DynamicQuantizeMatMul(x, B, B_scale, B_zero) of the domain trimtab. */
#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

typedef struct {
    tt_node *quantize, *multiply;
    int b_scale;
} match;

/* MatMulInteger of what DynamicQuantizeLinear made, when `value` is its result as
 * float32 and nobody else reads it. */
static bool find_product(tt_graph *graph, int value, match *out)
{
    tt_node *cast = tt_match_only_producer(graph, value, "Cast");
    if (cast == NULL || graph->values[value].shape.dtype != TT_F32) return false;
    out->multiply = tt_match_only_producer(graph, cast->inputs[0], "MatMulInteger");
    if (out->multiply == NULL || out->multiply->n_inputs < 3) return false;
    out->quantize =
        tt_match_producer(graph, out->multiply->inputs[0], "DynamicQuantizeLinear");
    return out->quantize != NULL &&
           out->multiply->inputs[0] == out->quantize->outputs[0] &&
           out->multiply->inputs[2] == out->quantize->outputs[2];
}

/* root = product * (s * B_scale) */
static bool match_product_of_scales(tt_graph *graph, tt_node *root, int k, match *out)
{
    tt_node *scales;
    if (!find_product(graph, root->inputs[k], out)) return false;
    scales = tt_match_producer(graph, root->inputs[1 - k], "Mul");
    if (scales == NULL) return false;
    out->b_scale = tt_match_other(scales, out->quantize->outputs[1]);
    return out->b_scale >= 0;
}

/* root = (product * one scale) * the other */
static bool match_scale_by_scale(tt_graph *graph, tt_node *root, int k, match *out)
{
    tt_node *inner = tt_match_only_producer(graph, root->inputs[k], "Mul");
    for (int i = 0; inner != NULL && i < 2; ++i) {
        int first = inner->inputs[1 - i], second = root->inputs[1 - k];
        if (!find_product(graph, inner->inputs[i], out)) continue;
        if (first != out->quantize->outputs[1] && second != out->quantize->outputs[1])
            return false;
        out->b_scale = first == out->quantize->outputs[1] ? second : first;
        return true;
    }
    return false;
}

/* One number, or one for each of n columns. */
static bool is_per_column(const tt_graph *graph, int value, int64_t n)
{
    const tt_shape *shape = &graph->values[value].shape;
    if (shape->rank < 0 || shape->rank > 1) return false;
    return shape->rank == 0 || shape->dims[0] == 1 || shape->dims[0] == n;
}

static bool is_supported(const tt_graph *graph, const match *m)
{
    const tt_node *multiply = m->multiply;
    const tt_shape *x = &graph->values[m->quantize->inputs[0]].shape;
    const tt_shape *b = &graph->values[multiply->inputs[1]].shape;
    if (x->rank < 2 || b->rank != 2 || x->dtype != TT_F32) return false;
    if (graph->values[m->b_scale].shape.dtype != TT_F32 ||
        !is_per_column(graph, m->b_scale, b->dims[1]))
        return false;
    return multiply->n_inputs < 4 || multiply->inputs[3] < 0 ||
           is_per_column(graph, multiply->inputs[3], b->dims[1]);
}

static void fuse(tt_graph *graph, tt_node *root)
{
    const tt_op *op = tt_op_find("trimtab", "DynamicQuantizeMatMul", 1);
    for (int k = 0; k < 2; ++k) {
        match m;
        int inputs[4];
        if (!match_product_of_scales(graph, root, k, &m) &&
            !match_scale_by_scale(graph, root, k, &m))
            continue;
        if (!is_supported(graph, &m)) return;
        inputs[0] = m.quantize->inputs[0];
        inputs[1] = m.multiply->inputs[1];
        inputs[2] = m.b_scale;
        inputs[3] = m.multiply->n_inputs > 3 ? m.multiply->inputs[3] : TT_ABSENT;
        if (tt_node_become_op(graph, root, op, 1, inputs, 4))
            (void)tt_node_set_int(graph, root, "per_token", 0);
        return;
    }
}

tt_status tt_graph_fuse_dynamic_quantized(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i)
        if (tt_node_is(&graph->nodes[i], "Mul")) fuse(graph, &graph->nodes[i]);
    tt_graph_sweep(graph);
    return TT_OK;
}
