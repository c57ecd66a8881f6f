/* Chains: elementwise nodes joined into one node that runs as one loop.
 *
 * Enters: a specialised graph.  Leaves: the same graph in which every maximal tree
 * of elementwise nodes with one result became one node with op == tt_op_chain and
 * extra == tt_chain.  Values inside the chain are never stored. */
#ifndef TT_GRAPH_CHAIN_H
#define TT_GRAPH_CHAIN_H

#include "graph/graph.h"

/* The absorbed nodes in topological order; the last one makes the result. */
typedef struct {
    int n_nodes;
    tt_node *nodes;
} tt_chain;

extern const tt_op tt_op_chain;

/* Is the value a scalar that a chain holds as an immediate instead of loading it? */
bool tt_chain_immediate(const tt_graph *graph, int value, double *out);

tt_status tt_graph_chain(tt_graph *graph, tt_error *err);

#endif
