/* Hints about memory orders, computed before lowering from a specialised graph.
 *
 * Enters: a graph with shapes.  Leaves: per value the strides its consumers would
 * like (so that a Transpose behind a matmul costs nothing), the place inside a
 * concatenation, and the model output whose memory it may be written to. */
#ifndef TT_GRAPH_LAYOUT_H
#define TT_GRAPH_LAYOUT_H

#include "graph/graph.h"

typedef struct {
    bool has_strides; /* consumers want exactly these strides */
    int64_t strides[TT_MAX_RANK];
    int concat; /* value index of the concatenation, or -1 */
    int concat_axis;
    int64_t concat_start;      /* first index along the axis */
    int output;                /* number of the model output it becomes, or -1 */
    bool is_output_transposed; /* .. when it is stored with exactly `strides` */
} tt_value_hint;

typedef struct {
    tt_value_hint *values; /* n_values of the graph, in the graph's region */
} tt_layout_hints;

/* `wanted` false (pass switched off): hints that say nothing, but for outputs. */
tt_status tt_layout_hint(tt_graph *graph, bool layout, bool views, tt_layout_hints *out,
                         tt_error *err);

#endif
