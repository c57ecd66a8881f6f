/* MatMul and Gemm with dequantised weights read the integers themselves:
 *
 *   y = x DequantizeLinear(w)      Transpose behind it, Gemm with a bias: the same
 *
 * become WeightOnlyMatMul(x, w, scales, zero points) of the domain trimtab.  A row or
 * two take what reading the weights takes, and nobody makes floats of them. */
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

/* Smaller weights are in the cache as floats, too. */
enum { MIN_WEIGHTS = 1 << 16, GROUP = 8 };

typedef struct {
    int w, scales, zeros, bias;
    bool transposed;
    int64_t block;
} match;

static int64_t int_of(const tt_node *node, const char *name, int64_t otherwise)
{
    const tt_attribute *found = tt_attribute_find(node, name);
    return found == NULL || found->kind != TT_ATTRIBUTE_INT ? otherwise
                                                            : found->as.ints[0];
}

static bool is_one(const tt_node *node, const char *name)
{
    const tt_attribute *found = tt_attribute_find(node, name);
    return found == NULL ||
           (found->kind == TT_ATTRIBUTE_FLOAT && found->as.floats[0] == 1.0f);
}

static bool is_narrow(tt_dtype dtype)
{
    return dtype == TT_S8 || dtype == TT_U8 || dtype == TT_S4 || dtype == TT_U4;
}

static bool has_input(const tt_node *node, int i)
{
    return i < node->n_inputs && node->inputs[i] >= 0;
}

static const tt_shape *constant_shape(const tt_graph *graph, int value)
{
    const tt_constant *constant = tt_graph_constant(graph, value);
    return constant == NULL ? NULL : tt_constant_shape(constant);
}

/* Scales or zero points: one, one a column, or as the weights with blocks of rows. */
static bool fits(const tt_shape *found, const tt_shape *w, int axis_k, int axis,
                 int64_t block)
{
    int64_t n = w->dims[1 - axis_k], k = w->dims[axis_k];
    if (block == 0)
        return found->rank <= 1 && (tt_shape_numel(found) == 1 ||
                                    (tt_shape_numel(found) == n && axis == 1 - axis_k));
    return axis == axis_k && block % GROUP == 0 && found->rank == 2 &&
           found->dims[1 - axis_k] == n && found->dims[axis_k] == (k - 1) / block + 1;
}

/* What the weights of a product are made of. */
static bool match_weights(tt_graph *graph, int value, match *out)
{
    tt_node *node = tt_match_producer(graph, value, "Transpose");
    const tt_shape *w, *scales, *zeros;
    int64_t axis;
    int axis_k;
    if (node != NULL) {
        const tt_attribute *perm = tt_attribute_find(node, "perm");
        if (perm != NULL && (perm->kind != TT_ATTRIBUTE_INTS || perm->n != 2 ||
                             perm->as.ints[0] != 1 || perm->as.ints[1] != 0))
            return false;
        out->transposed = !out->transposed;
        value = node->inputs[0];
    }
    node = tt_match_producer(graph, value, "DequantizeLinear");
    if (node == NULL || node->is_kept || node->n_inputs < 2) return false;
    w = constant_shape(graph, node->inputs[0]);
    scales = constant_shape(graph, node->inputs[1]);
    if (w == NULL || scales == NULL || w->rank != 2 || scales->dtype != TT_F32 ||
        !is_narrow(w->dtype) || tt_shape_numel(w) < MIN_WEIGHTS ||
        int_of(node, "output_dtype", TT_F32) != TT_F32)
        return false;
    axis = int_of(node, "axis", 1);
    if (axis < 0) axis += 2;
    axis_k = out->transposed ? 1 : 0;
    out->block = int_of(node, "block_size", 0);
    if (out->block < 0 || !fits(scales, w, axis_k, (int)axis, out->block)) return false;
    out->w = node->inputs[0];
    out->scales = node->inputs[1];
    out->zeros = has_input(node, 2) ? node->inputs[2] : TT_ABSENT;
    if (out->zeros == TT_ABSENT) return true;
    zeros = constant_shape(graph, out->zeros);
    return zeros != NULL && zeros->dtype == w->dtype &&
           fits(zeros, w, axis_k, (int)axis, out->block);
}

/* No bias, or one number a column. */
static bool match_bias(tt_graph *graph, const tt_node *gemm, match *out)
{
    const tt_shape *w = constant_shape(graph, out->w), *bias;
    int64_t n = w->dims[out->transposed ? 0 : 1];
    out->bias = has_input(gemm, 2) ? gemm->inputs[2] : TT_ABSENT;
    if (out->bias == TT_ABSENT) return true;
    bias = constant_shape(graph, out->bias);
    return is_one(gemm, "beta") && bias != NULL && bias->dtype == TT_F32 &&
           bias->rank >= 1 && bias->dims[bias->rank - 1] == n &&
           tt_shape_numel(bias) == n;
}

static bool match_product(tt_graph *graph, const tt_node *node, match *out)
{
    bool is_gemm = tt_node_is(node, "Gemm");
    *out = (match){.bias = TT_ABSENT};
    if (!is_gemm && !tt_node_is(node, "MatMul")) return false;
    if (!has_input(node, 0) || !has_input(node, 1)) return false;
    /* whole layers of integers are left to fuse_quantized.c */
    if (tt_match_producer(graph, node->inputs[0], "DequantizeLinear") != NULL)
        return false;
    if (!is_gemm) return match_weights(graph, node->inputs[1], out);
    if (int_of(node, "transA", 0) != 0 || !is_one(node, "alpha")) return false;
    out->transposed = int_of(node, "transB", 0) != 0;
    return match_weights(graph, node->inputs[1], out) && match_bias(graph, node, out);
}

tt_status tt_graph_fuse_weight_only(tt_graph *graph, tt_error *err)
{
    const tt_op *op = tt_op_find("trimtab", "WeightOnlyMatMul", 1);
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        match m;
        if (node->dead || !match_product(graph, node, &m)) continue;
        const int inputs[] = {node->inputs[0], m.w, m.scales, m.zeros, m.bias};
        if (!tt_node_become_op(graph, node, op, 1, inputs, 5) ||
            !tt_node_set_int(graph, node, "transposed", m.transposed) ||
            !tt_node_set_int(graph, node, "block", m.block))
            return tt_fail(err, TT_NO_MEMORY, "weights that stay integers");
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
