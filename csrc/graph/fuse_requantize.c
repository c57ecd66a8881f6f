/* Integer operators (quantized.h) read integers beside their src, and write them: a sum
 * with a DequantizeLinear reads what that reads, and a QuantizeLinear behind becomes
 * scale and zero point of the destination. */
#include <math.h>
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "graph/quantized.h"
#include "ops/quantized.h"

/* Each takes two post-ops of oneDNN more (tt_lower_posts). */
enum { MAX_INTEGER_POSTS = 3 };

static bool same_dims(const tt_shape *a, const tt_shape *b)
{
    return a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* x + DequantizeLinear(q) reads q. */
static void read_integers(tt_graph *graph, tt_node *node)
{
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    int n = 0;
    for (int i = 0; i < node->n_posts; ++i) {
        tt_node_post *post = &node->posts[i];
        const tt_node *producer;
        const tt_shape *shape;
        tt_linear linear;
        if (post->kind != TT_POST_BINARY || post->alg != TT_ALG_ADD || post->value < 0)
            continue;
        producer = tt_match_producer(graph, post->value, "DequantizeLinear");
        if (producer == NULL ||
            !tt_linear_match(graph, producer, "DequantizeLinear", &linear))
            continue;
        shape = &graph->values[linear.src].shape;
        if ((shape->dtype != TT_U8 && shape->dtype != TT_S8) ||
            !same_dims(shape, dst) || n++ == MAX_INTEGER_POSTS)
            continue;
        post->value = linear.src;
        post->alpha = linear.scale;
        post->beta = (float)linear.zero_point;
    }
}

/* Does saturating to the integer's range do what this post does? */
static bool is_redundant(const tt_node_post *post, const tt_linear *to)
{
    float least = to->dtype == TT_U8 ? 0.0f : -128.0f, low, high;
    float greatest = least + 255.0f, zero = (float)to->zero_point;
    if (post->kind != TT_POST_ELTWISE) return false;
    if (post->alg == TT_ALG_RELU && post->alpha == 0.0f) {
        low = 0.0f;
        high = INFINITY;
    } else if (post->alg == TT_ALG_CLIP) {
        low = post->alpha;
        high = post->beta;
    } else {
        return false;
    }
    return rintf(low / to->scale) + zero <= least &&
           rintf(high / to->scale) + zero >= greatest;
}

static void absorb(tt_graph *graph, tt_node *quantize, tt_node *producer,
                   const tt_linear *to)
{
    tt_node fused = *producer;
    tt_quantized *extra = fused.extra;
    while (fused.n_posts > 0 && is_redundant(&fused.posts[fused.n_posts - 1], to))
        fused.n_posts--;
    extra->dst_scale = to->scale;
    extra->dst_zero_point = to->zero_point;
    fused.outputs = quantize->outputs;
    (void)graph;
    producer->dead = true;
    *quantize = fused;
}

tt_status tt_graph_fuse_requantize(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i], *producer;
        tt_linear to;
        if (node->dead) continue;
        if (tt_quantized_of(node) != NULL) read_integers(graph, node);
        if (!tt_linear_match(graph, node, "QuantizeLinear", &to) ||
            (to.dtype != TT_U8 && to.dtype != TT_S8))
            continue;
        producer = tt_match_only_producer(graph, to.src, NULL);
        if (producer != NULL && tt_quantized_of(producer) != NULL)
            absorb(graph, node, producer, &to);
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
