/* QuantizeLinear and DequantizeLinear with one constant scale and zero point, as rewrite
 * rules see them. */
#ifndef TT_GRAPH_LINEAR_H
#define TT_GRAPH_LINEAR_H

#include "graph/graph.h"

typedef struct {
    int node;       /* index of the QuantizeLinear or DequantizeLinear */
    tt_dtype dtype; /* u8 or s8 */
    double scale, zero_point;
} tt_linear;

/* Is there a DequantizeLinear in the graph? */
bool tt_linear_is_used(const tt_graph *graph);
/* The node's parameters, if it is a QuantizeLinear or DequantizeLinear between f32 and
 * 8 bits, with a positive scale in the range where an integer that is dequantised and
 * quantised again is the same. */
bool tt_linear_of(const tt_graph *graph, const tt_node *node, tt_linear *out);
/* The same of the DequantizeLinear that makes `value`; false: something else does. */
bool tt_linear_dequantized(const tt_graph *graph, int value, tt_linear *out);
/* Do both map integers to the same numbers? */
bool tt_linear_same(const tt_linear *a, const tt_linear *b);

#endif
