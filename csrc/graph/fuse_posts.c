/* Activations, residual sums and scalings become post-ops of the convolution or matmul
 * that makes their input.
 *
 * The fused node stands where the absorbed one stood, so that whatever the post-op
 * reads has been made by then. */
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"
#include "ops/quantized.h"

static bool same_dims(const tt_shape *a, const tt_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; ++i)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

/* May a tensor of shape b be the second operand of a binary post-op on a result of
 * shape a?  The full tensor, or a vector along the channel (dim 1 of convolutions, the
 * last dim of matmuls): oneDNN has no fast path for anything else. */
static bool operand_fits(const tt_node *producer, const tt_shape *a, const tt_shape *b)
{
    bool is_conv = tt_node_is(producer, "Conv") ||
                   tt_node_is(producer, "ConvTranspose") ||
                   tt_quantized_is_conv(producer);
    int channel = is_conv ? 1 : a->rank - 1;
    if (b->dtype != TT_F32) return false;
    if (same_dims(a, b)) return true;
    if (b->rank > a->rank || a->rank < 1) return false;
    for (int i = 0; i < b->rank; ++i) {
        int at = i + a->rank - b->rank;
        if (b->dims[i] != 1 && (at != channel || b->dims[i] != a->dims[at]))
            return false;
    }
    return true;
}

/* The producer of input `which` that can take this node as a post-op, or NULL. */
static tt_node *absorber(tt_graph *graph, tt_node *node, int which, tt_node_post *post)
{
    int value = node->inputs[which];
    tt_node *producer = tt_match_only_producer(graph, value, NULL);
    const tt_shape *shape = &graph->values[node->outputs[0]].shape;
    tt_site site = {graph, node, -1};
    if (producer == NULL || producer->op == NULL || !producer->op->accepts_posts ||
        producer->n_outputs != 1 || producer->n_posts == TT_MAX_NODE_POSTS)
        return NULL;
    if (shape->dtype != TT_F32 || graph->values[value].shape.dtype != TT_F32 ||
        !same_dims(&graph->values[value].shape, shape))
        return NULL;
    memset(post, 0, sizeof *post);
    post->value = TT_ABSENT;
    if (!node->op->as_post(&site, which, post)) return NULL;
    if (post->value >= 0 &&
        !operand_fits(producer, shape, &graph->values[post->value].shape))
        return NULL;
    return producer;
}

static void absorb(tt_graph *graph, int at, tt_node *producer, tt_node_post post)
{
    tt_node *node = &graph->nodes[at];
    tt_node fused = *producer;
    post.node = node->name;
    fused.posts[fused.n_posts++] = post;
    fused.outputs = node->outputs;
    producer->dead = true;
    *node = fused;
}

static bool try_fuse(tt_graph *graph, int at)
{
    tt_node *node = &graph->nodes[at], *best = NULL;
    tt_node_post best_post = {0};
    if (node->dead || node->op == NULL || node->op->as_post == NULL ||
        node->n_outputs != 1 || node->n_posts > 0)
        return false;
    for (int which = 0; which < node->n_inputs; ++which) {
        tt_node_post post;
        tt_node *producer;
        if (node->inputs[which] < 0) continue;
        producer = absorber(graph, node, which, &post);
        if (producer != NULL && producer > best) { /* the later one: more is ready */
            best = producer;
            best_post = post;
        }
    }
    if (best == NULL) return false;
    absorb(graph, at, best, best_post);
    return true;
}

tt_status tt_graph_fuse_posts(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i)
        (void)try_fuse(graph, i);
    tt_graph_sweep(graph);
    return TT_OK;
}
