/* Small questions that rewrite rules ask about the neighbours of a node. */
#ifndef TT_GRAPH_MATCH_H
#define TT_GRAPH_MATCH_H

#include "graph/graph.h"

/* Is the node this operator of ai.onnx? */
bool tt_node_is(const tt_node *node, const char *op_type);
/* The live node that makes `value` if it is this operator (NULL: any), else NULL. */
tt_node *tt_match_producer(tt_graph *graph, int value, const char *op_type);
/* The same, and nobody else reads the value. */
tt_node *tt_match_only_producer(tt_graph *graph, int value, const char *op_type);
/* Is the value a constant with one element, within 1e-5 relative of `expected`? */
bool tt_match_scalar(const tt_graph *graph, int value, double expected);
/* Any constant with one element. */
bool tt_match_any_scalar(const tt_graph *graph, int value, double *out);
/* The other input of a node with two, or TT_ABSENT when `value` is neither. */
int tt_match_other(const tt_node *node, int value);

/* Turns `node` into another operator over the given inputs; its outputs, name and
 * place stay.  Attributes are set empty.  False (and no change): the operator is not
 * in the table or there is no memory. */
bool tt_node_become(tt_graph *graph, tt_node *node, const char *op_type, int version,
                    const int *inputs, int n_inputs);
/* The same for an operator of any domain (NULL: not in the table). */
bool tt_node_become_op(tt_graph *graph, tt_node *node, const tt_op *op, int version,
                       const int *inputs, int n_inputs);
/* Gives the node one more attribute; false: no memory. */
bool tt_node_set_int(tt_graph *graph, tt_node *node, const char *name, int64_t value);
bool tt_node_set_float(tt_graph *graph, tt_node *node, const char *name, float value);
/* Sets a list of integers (copied), in place of one that the node had. */
bool tt_node_set_ints(tt_graph *graph, tt_node *node, const char *name,
                      const int64_t *values, int n);

#endif
