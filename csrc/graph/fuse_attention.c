/* Attention as exporters write it, made cheap.
 *
 *   MatMul(a * s, b * t)       =  (s t) MatMul(a, b)     scalars leave the operands
 *   Softmax(scores + mask)     =  MaskedSoftmax(scores, mask)
 *   MatMul(softmax(s Q K), V)  =  FusedAttention(Q, K, V)
 *
 * The transposes around attention need no rule: they are strides (plan/lower.h). */
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/fused_attention.h"
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

/* Keeps the name of a node that `node` does the work of, for profiles. */
static void keep_name(tt_node *node, const char *name)
{
    if (node->n_posts < TT_MAX_NODE_POSTS)
        node->posts[node->n_posts++] =
            (tt_node_post){.alg = -1, .value = TT_ABSENT, .node = name};
}

static bool is_scores(tt_graph *graph, int value)
{
    tt_node *node = tt_match_producer(graph, value, NULL);
    double unused;
    if (node != NULL && scalar_factor(graph, node, &value, &unused))
        node = tt_match_producer(graph, value, NULL);
    return node != NULL && tt_node_is(node, "MatMul");
}

static void mask_softmax(tt_graph *graph, tt_node *node)
{
    tt_node *add = tt_match_only_producer(graph, node->inputs[0], "Add");
    int *inputs;
    if (add == NULL || !is_last_axis(graph, node)) return;
    for (int k = 0; k < 2; ++k) {
        int scores = add->inputs[k], mask = add->inputs[1 - k];
        if (graph->values[scores].shape.dtype != TT_F32 || !is_scores(graph, scores) ||
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
        keep_name(node, add->name);
        add->dead = true;
        return;
    }
}

/* ---- the whole of it -------------------------------------------------------------- */

typedef struct {
    tt_node *softmax, *scale, *scores; /* scale: a Mul or Div in between, or NULL */
    int q, k, v, mask;
    bool is_row_major; /* K is [.., N, D] */
    double factor;
} attention;

/* Is it a Transpose of the last two dims? */
static bool swaps_last(const tt_node *node, int rank)
{
    const tt_attribute *perm = tt_attribute_find(node, "perm");
    if (perm == NULL) return rank == 2;
    for (int i = 0; i < rank; ++i) {
        int wanted = i < rank - 2 ? i : 2 * rank - 3 - i;
        if (perm->as.ints[i] != wanted) return false;
    }
    return true;
}

static bool is_split_back(const tt_shape *rows, const tt_shape *columns)
{
    int rank = rows->rank;
    if (rank != columns->rank || rank < 3) return false;
    for (int i = 0; i < rank - 2; ++i)
        if (rows->dims[i] != columns->dims[i]) return false;
    return rows->dims[rank - 1] == columns->dims[rank - 2] &&
           rows->dims[rank - 2] == columns->dims[rank - 1];
}

/* The keys as rows when `value` is their Transpose, also one between two Reshapes that
 * merge the leading dims and split them again; else `value`. */
static int find_keys(tt_graph *graph, int value, bool *is_row_major)
{
    const tt_shape *columns = &graph->values[value].shape;
    tt_node *outer = tt_match_producer(graph, value, "Reshape"), *inner, *node;
    *is_row_major = true;
    node = tt_match_producer(graph, outer ? outer->inputs[0] : value, "Transpose");
    if (node != NULL && swaps_last(node, graph->values[node->inputs[0]].shape.rank)) {
        if (outer == NULL) return node->inputs[0];
        inner = tt_match_producer(graph, node->inputs[0], "Reshape");
        if (inner != NULL && graph->values[node->inputs[0]].shape.rank == 3 &&
            is_split_back(&graph->values[inner->inputs[0]].shape, columns))
            return inner->inputs[0];
    }
    *is_row_major = false;
    return value;
}

/* Do all operands have the rank of the result, and its dims or ones in front? */
static bool operands_fit(const tt_graph *graph, const tt_shape *dst, const int *values)
{
    if (dst->rank < 3 || dst->rank > 4 || tt_shape_numel(dst) == 0) return false;
    for (int i = 0; i < 3; ++i) {
        const tt_shape *shape = &graph->values[values[i]].shape;
        if (shape->dtype != TT_F32 || shape->rank != dst->rank ||
            tt_shape_numel(shape) == 0)
            return false;
        for (int k = 0; k < dst->rank - 2; ++k)
            if (shape->dims[k] != 1 && shape->dims[k] != dst->dims[k]) return false;
    }
    return graph->values[values[1]].constant == NULL &&
           graph->values[values[2]].constant == NULL;
}

/* The matmul of Q and K, with its scale as the only post-op or a node behind it. */
static bool find_scores(tt_graph *graph, int value, attention *a)
{
    double factor;
    int x;
    a->factor = 1.0;
    a->scale = tt_match_only_producer(graph, value, NULL);
    if (a->scale != NULL && scalar_factor(graph, a->scale, &x, &factor)) {
        a->factor = factor;
        value = x;
    } else {
        a->scale = NULL;
    }
    a->scores = tt_match_only_producer(graph, value, "MatMul");
    if (a->scores == NULL || a->scores->n_posts > 1) return false;
    if (a->scores->n_posts == 1) {
        const tt_node_post *post = &a->scores->posts[0];
        if (post->kind != TT_POST_ELTWISE || post->alg != TT_ALG_LINEAR ||
            post->beta != 0.0f)
            return false;
        a->factor *= (double)post->alpha;
    }
    return true;
}

static bool match_attention(tt_graph *graph, const tt_node *node, attention *a)
{
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    a->softmax = tt_match_only_producer(graph, node->inputs[0], NULL);
    a->mask = TT_ABSENT;
    if (a->softmax == NULL) return false;
    if (a->softmax->op == &tt_op_masked_softmax)
        a->mask = a->softmax->inputs[1];
    else if (!tt_node_is(a->softmax, "Softmax") || !is_last_axis(graph, a->softmax))
        return false;
    if (!find_scores(graph, a->softmax->inputs[0], a)) return false;
    if (!operands_fit(
            graph, dst,
            (const int[]){a->scores->inputs[0], a->scores->inputs[1], node->inputs[1]}))
        return false;
    a->q = a->scores->inputs[0];
    a->k = find_keys(graph, a->scores->inputs[1], &a->is_row_major);
    a->v = node->inputs[1];
    return true;
}

static void fuse_whole(tt_graph *graph, tt_node *node)
{
    attention a;
    tt_node fused = *node;
    int *inputs;
    if (!match_attention(graph, node, &a)) return;
    inputs = tt_region_alloc(graph->region, 4, sizeof *inputs);
    if (inputs == NULL) return;
    memcpy(inputs, (const int[]){a.q, a.k, a.v, a.mask}, 4 * sizeof *inputs);
    fused.op = &tt_op_fused_attention;
    fused.op_type = "Attention";
    fused.inputs = inputs;
    fused.n_inputs = 4;
    if (!tt_node_set_float(graph, &fused, "scale", (float)a.factor) ||
        !tt_node_set_int(graph, &fused, "is_row_major", a.is_row_major))
        return;
    keep_name(&fused, a.scores->name);
    if (a.scale != NULL) keep_name(&fused, a.scale->name);
    if (a.mask >= 0) keep_name(&fused, a.softmax->posts[0].node);
    keep_name(&fused, a.softmax->name);
    a.scores->dead = a.softmax->dead = true;
    if (a.scale != NULL) a.scale->dead = true;
    *node = fused;
}

/* ---- the passes ------------------------------------------------------------------- */

static bool makes_f32(const tt_graph *graph, const tt_node *node)
{
    return !node->dead && node->op != NULL && node->n_inputs >= 1 &&
           graph->values[node->outputs[0]].shape.dtype == TT_F32;
}

tt_status tt_graph_fuse_scores(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        if (!makes_f32(graph, node)) continue;
        if (tt_node_is(node, "MatMul") && node->n_posts == 0)
            hoist_scale(graph, node);
        else if (tt_node_is(node, "Softmax"))
            mask_softmax(graph, node);
    }
    tt_graph_sweep(graph);
    return TT_OK;
}

tt_status tt_graph_fuse_attention(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        if (makes_f32(graph, node) && tt_node_is(node, "MatMul") && node->n_posts == 0)
            fuse_whole(graph, node);
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
