/* Editing a graph in place: uses, replacing, dropping dead nodes, sorting.
 * All of it is linear in the size of the graph and iterative. */
#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"

int tt_graph_n_uses(const tt_graph *graph, int value)
{
    int n = 0;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs; ++k)
            n += node->inputs[k] == value;
        for (int k = 0; k < node->n_posts; ++k)
            n += node->posts[k].value == value;
    }
    for (int i = 0; i < graph->n_outputs; ++i)
        n += graph->outputs[i] == value;
    return n;
}

void tt_graph_replace(tt_graph *graph, int from, int to)
{
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs; ++k)
            if (node->inputs[k] == from) node->inputs[k] = to;
        for (int k = 0; k < node->n_posts; ++k)
            if (node->posts[k].value == from) node->posts[k].value = to;
    }
    for (int i = 0; i < graph->n_outputs; ++i)
        if (graph->outputs[i] == from) graph->outputs[i] = to;
}

bool tt_graph_is_output(const tt_graph *graph, int value)
{
    for (int i = 0; i < graph->n_outputs; ++i)
        if (graph->outputs[i] == value) return true;
    return false;
}

/* Sets the producer of every value from the lists of the live nodes.  What became a
 * constant is no output of its node any more. */
static void number_producers(tt_graph *graph)
{
    for (int i = 0; i < graph->n_values; ++i)
        graph->values[i].producer = TT_ABSENT;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->n_outputs; ++k) {
            int value = node->outputs[k];
            if (value < 0) continue;
            if (graph->values[value].constant != NULL)
                node->outputs[k] = TT_ABSENT;
            else
                graph->values[value].producer = i;
        }
    }
}

/* Input k of the node, counting post operands as inputs behind the others. */
static int operand_of(const tt_node *node, int k)
{
    return k < node->n_inputs ? node->inputs[k] : node->posts[k - node->n_inputs].value;
}

/* The node that makes operand k of `node`, or -1. */
static int source_of(const tt_graph *graph, const tt_node *node, int k)
{
    int value = operand_of(node, k);
    return value < 0 ? -1 : graph->values[value].producer;
}

/* ---- sweeping ------------------------------------------------------------ */

/* Marks what outputs depend on, in alive[n_nodes]; stack[n_nodes] is scratch. */
static void mark_alive(const tt_graph *graph, bool *alive, int *stack)
{
    int depth = 0;
    for (int i = 0; i < graph->n_outputs; ++i) {
        int value = graph->outputs[i];
        int source = value < 0 ? -1 : graph->values[value].producer;
        if (source < 0 || alive[source]) continue;
        alive[source] = true;
        stack[depth++] = source;
    }
    while (depth > 0) {
        const tt_node *node = &graph->nodes[stack[--depth]];
        for (int k = 0; k < node->n_inputs + node->n_posts; ++k) {
            int source = source_of(graph, node, k);
            if (source < 0 || alive[source]) continue;
            alive[source] = true;
            stack[depth++] = source;
        }
    }
}

void tt_graph_sweep(tt_graph *graph)
{
    bool *alive = tt_calloc((size_t)graph->n_nodes, sizeof *alive);
    int *stack = tt_calloc((size_t)graph->n_nodes, sizeof *stack);
    int n = 0;
    number_producers(graph);
    if (alive != NULL && stack != NULL) {
        mark_alive(graph, alive, stack);
        for (int i = 0; i < graph->n_nodes; ++i)
            if (!alive[i]) graph->nodes[i].dead = true;
    }
    tt_free(alive);
    tt_free(stack);
    for (int i = 0; i < graph->n_nodes; ++i) {
        if (graph->nodes[i].dead) continue;
        if (n != i) graph->nodes[n] = graph->nodes[i];
        ++n;
    }
    graph->n_nodes = n;
    number_producers(graph);
}

/* ---- sorting ------------------------------------------------------------- */

static bool is_sorted(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs + node->n_posts; ++k)
            if (source_of(graph, node, k) >= i) return false;
    }
    return true;
}

/* What the walk knows of a node: the next operand to look at, and its state. */
typedef struct {
    int next;
    enum { FRESH, OPEN, DONE } state;
} visit;

/* Walks from node `root` to what it depends on and appends each node to `order`
 * behind its sources.  Returns a node on a cycle, or -1. */
static int visit_from(const tt_graph *graph, int root, visit *visits, int *stack,
                      int *order, int *n_order)
{
    int depth = 0;
    if (visits[root].state == DONE) return -1;
    visits[root].state = OPEN;
    stack[depth++] = root;
    while (depth > 0) {
        int at = stack[depth - 1];
        const tt_node *node = &graph->nodes[at];
        if (visits[at].next < node->n_inputs + node->n_posts) {
            int source = source_of(graph, node, visits[at].next++);
            if (source < 0 || visits[source].state == DONE) continue;
            if (visits[source].state == OPEN) return source;
            visits[source].state = OPEN;
            stack[depth++] = source;
        } else {
            visits[at].state = DONE;
            order[(*n_order)++] = at;
            --depth;
        }
    }
    return -1;
}

tt_status tt_graph_sort(tt_graph *graph, tt_error *err)
{
    size_t n = (size_t)graph->n_nodes;
    tt_status status = TT_OK;
    int cycle = -1, n_order = 0;
    visit *visits;
    int *stack, *order;
    tt_node *nodes;
    number_producers(graph);
    if (is_sorted(graph)) return TT_OK;
    visits = tt_calloc(n, sizeof *visits);
    stack = tt_calloc(n, sizeof *stack);
    order = tt_calloc(n, sizeof *order);
    nodes = tt_calloc(n, sizeof *nodes);
    if (visits == NULL || stack == NULL || order == NULL || nodes == NULL) {
        status = tt_fail(err, TT_NO_MEMORY, "sorting the %d nodes of graph '%s'",
                         graph->n_nodes, graph->name);
        goto done;
    }
    for (int i = 0; i < graph->n_nodes && cycle < 0; ++i)
        if (!graph->nodes[i].dead)
            cycle = visit_from(graph, i, visits, stack, order, &n_order);
    if (cycle >= 0) {
        status = tt_fail(err, TT_BAD_MODEL, "%s '%s' depends on its own output",
                         graph->nodes[cycle].op_type, graph->nodes[cycle].name);
        goto done;
    }
    for (int i = 0; i < n_order; ++i)
        nodes[i] = graph->nodes[order[i]];
    memcpy(graph->nodes, nodes, (size_t)n_order * sizeof *nodes);
    graph->n_nodes = n_order;
    number_producers(graph);
done:
    tt_free(visits);
    tt_free(stack);
    tt_free(order);
    tt_free(nodes);
    return status;
}
