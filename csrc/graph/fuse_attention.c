/* Attention as exporters write it, made cheap.
 *
 *   MatMul(a * s, b * t)       =  (s t) MatMul(a, b)     scalars leave the operands
 *   Softmax(scores + mask)     =  MaskedSoftmax(scores, mask)
 *
 * The transposes around attention need no rule: they are strides (plan/lower.h). */
#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/masked_softmax.h"
#include "ops/op.h"

/* The scalar s when the node computes x * s or x / s; *x is the value. */
static bool scalar_factor(const tt_graph *graph, const tt_node *node, int *x, double *s)
{
    bool is_div = tt_node_is(node, "Div");
    if (!is_div && !tt_node_is(node, "Mul")) return false;
    for (int k = 1; k >= (is_div ? 1 : 0); --k) {
        double found;
        const tt_shape *shape;
        if (!tt_match_any_scalar(graph, node->inputs[k], &found)) continue;
        *x = node->inputs[1 - k];
        shape = &graph->values[node->inputs[k]].shape;
        if (shape->rank > graph->values[*x].shape.rank) return false;
        *s = is_div ? 1.0 / found : found;
        return !is_div || found != 0.0;
    }
    return false;
}

static void hoist_scale(tt_graph *graph, tt_node *node)
{
    double scale = 1.0;
    bool found = false;
    for (int k = 0; k < 2; ++k) {
        tt_node *inner = tt_match_only_producer(graph, node->inputs[k], NULL);
        double s;
        int x;
        if (inner == NULL || !scalar_factor(graph, inner, &x, &s)) continue;
        node->inputs[k] = x;
        inner->dead = true;
        scale *= s;
        found = true;
    }
    if (!found) return;
    node->posts[node->n_posts++] = (tt_node_post){.kind = TT_POST_ELTWISE,
                                                  .alg = TT_ALG_LINEAR,
                                                  .alpha = (float)scale,
                                                  .value = TT_ABSENT,
                                                  .node = "scale"};
}

/* Does the mask broadcast to the scores without making them larger? */
static bool mask_fits(const tt_shape *scores, const tt_shape *mask)
{
    if (mask->dtype != TT_F32 || mask->rank > scores->rank) return false;
    for (int i = 0; i < mask->rank; ++i) {
        int64_t dim = scores->dims[i + scores->rank - mask->rank];
        if (mask->dims[i] != 1 && mask->dims[i] != dim) return false;
    }
    return mask->rank > 0 &&
           mask->dims[mask->rank - 1] == scores->dims[scores->rank - 1];
}

static bool is_last_axis(const tt_graph *graph, const tt_node *node)
{
    const tt_attribute *attribute = tt_attribute_find(node, "axis");
    int rank = graph->values[node->inputs[0]].shape.rank;
    int64_t axis =
        attribute != NULL ? attribute->as.ints[0] : (node->version >= 13 ? -1 : 1);
    return axis == -1 || axis == rank - 1;
}

static void mask_softmax(tt_graph *graph, tt_node *node)
{
    tt_node *add = tt_match_only_producer(graph, node->inputs[0], "Add");
    int *inputs;
    if (add == NULL || !is_last_axis(graph, node)) return;
    for (int k = 0; k < 2; ++k) {
        int scores = add->inputs[k], mask = add->inputs[1 - k];
        if (graph->values[scores].shape.dtype != TT_F32 ||
            tt_match_producer(graph, scores, "MatMul") == NULL ||
            !mask_fits(&graph->values[scores].shape, &graph->values[mask].shape))
            continue;
        inputs = tt_region_alloc(graph->region, 2, sizeof *inputs);
        if (inputs == NULL) return;
        inputs[0] = scores;
        inputs[1] = mask;
        node->inputs = inputs;
        node->n_inputs = 2;
        node->op = &tt_op_masked_softmax;
        node->op_type = "Softmax+Add";
        add->dead = true;
        return;
    }
}

tt_status tt_graph_fuse_attention(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        if (node->dead || node->op == NULL || node->n_inputs < 1) continue;
        if (graph->values[node->outputs[0]].shape.dtype != TT_F32) continue;
        if (tt_node_is(node, "MatMul") && node->n_posts == 0)
            hoist_scale(graph, node);
        else if (tt_node_is(node, "Softmax"))
            mask_softmax(graph, node);
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
