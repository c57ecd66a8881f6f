/* Attention whose products are of bfloat16 between casts, as models say it:
 *
 *     float(MatMul(bfloat16(Softmax(.. float(MatMul(bfloat16(Q), bfloat16(K))) ..)),
 *                  bfloat16(V)))
 *
 * or float(Attention(bfloat16(Q), bfloat16(K), bfloat16(V))).  It becomes attention in
 * float32 that may round for its products (`mixed_bf16`), which then fuses like any
 * other.  Products that are no attention stay as they are. */
#include "graph/casts.h"
#include "graph/match.h"
#include "ops/op.h"

/* Is it bfloat16 of a value that is no constant? */
static bool is_rounded(const tt_casts *w, int value)
{
    tt_node *cast = tt_match_producer(w->graph, value, "Cast");
    return tt_cast_to(cast) == TT_BF16 &&
           tt_graph_constant(w->graph, cast->inputs[0]) == NULL;
}

static bool are_rounded(const tt_casts *w, const tt_node *node, int n)
{
    if (node->n_inputs < n || node->n_outputs < 1 || node->n_posts > 0) return false;
    for (int i = 0; i < n; ++i)
        if (!is_rounded(w, node->inputs[i])) return false;
    return tt_casts_only(w, node->outputs[0], TT_AS_F32);
}

static bool is_product(const tt_casts *w, const tt_node *node)
{
    return node != NULL && tt_node_is(node, "MatMul") && are_rounded(w, node, 2);
}

/* No cache and no scores, which would be rounded too. */
static bool is_whole(const tt_casts *w, const tt_node *node)
{
    if (!tt_node_is(node, "Attention") || !are_rounded(w, node, 3)) return false;
    for (int i = 4; i < node->n_inputs; ++i)
        if (node->inputs[i] >= 0) return false;
    for (int i = 1; i < node->n_outputs; ++i)
        if (node->outputs[i] >= 0) return false;
    return true;
}

/* The product that makes the scores, behind a scale and a mask, or NULL. */
static tt_node *scores_of(const tt_casts *w, const tt_node *softmax)
{
    enum { MOST_BETWEEN = 3 };
    tt_graph *graph = w->graph;
    int value = softmax->inputs[0];
    for (int i = 0; i <= MOST_BETWEEN; ++i) {
        tt_node *node = tt_match_producer(graph, value, NULL);
        if (tt_cast_to(node) == TT_F32)
            return tt_match_producer(graph, node->inputs[0], "MatMul");
        if (node == NULL || node->n_inputs != 2 ||
            !(tt_node_is(node, "Add") || tt_node_is(node, "Mul") ||
              tt_node_is(node, "Div")))
            return NULL;
        value = node->inputs[0];
        if (tt_match_producer(graph, value, NULL) == NULL) value = node->inputs[1];
    }
    return NULL;
}

/* Its first n inputs and its result in float32. */
static tt_status unround(tt_casts *w, int at, int n, tt_error *err)
{
    tt_graph *graph = w->graph;
    TT_TRY(tt_node_own_lists(graph, &graph->nodes[at], err));
    for (int i = 0; i < n; ++i) {
        const tt_node *node = &graph->nodes[at];
        tt_node *cast = tt_match_producer(graph, node->inputs[i], "Cast");
        int source;
        TT_TRY(tt_casts_widened(w, node->name, cast->inputs[0], &source, err));
        graph->nodes[at].inputs[i] = source;
    }
    if (w->is_native && !tt_node_set_int(graph, &graph->nodes[at], "mixed_bf16", 1))
        return tt_fail(err, TT_NO_MEMORY, "an attribute");
    tt_casts_drop(w, graph->nodes[at].outputs[0], TT_AS_F32);
    return TT_OK;
}

tt_status tt_casts_mix_attention(tt_casts *w, int at, tt_error *err)
{
    tt_graph *graph = w->graph;
    const tt_node *node = &graph->nodes[at], *softmax, *scores;
    int scores_at;
    if (node->dead) return TT_OK;
    if (is_whole(w, node)) return unround(w, at, 3, err);
    if (!is_product(w, node)) return TT_OK;
    softmax = tt_match_producer(graph, node->inputs[0], "Cast");
    softmax = tt_match_producer(graph, softmax->inputs[0], "Softmax");
    if (softmax == NULL) return TT_OK;
    scores = scores_of(w, softmax);
    if (!is_product(w, scores)) return TT_OK;
    scores_at = (int)(scores - graph->nodes);
    TT_TRY(unround(w, at, 2, err));
    return unround(w, scores_at, 2, err);
}
