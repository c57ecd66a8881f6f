/* Legality of a graph between the stages of a compile.
 * Tests run it after every pass. */
#ifndef TT_GRAPH_CHECK_H
#define TT_GRAPH_CHECK_H

#include "graph/graph.h"

/* Every index in range, one producer per value and the right one, nodes in
 * topological order, constants as their values say.  `specialised`: every value that
 * a live node or an output names has a concrete shape within the limits.
 * TT_INTERNAL names the first defect: a graph that was read is legal, so a pass
 * broke it.  TT_NO_MEMORY. */
tt_status tt_graph_check(const tt_graph *graph, bool specialised, tt_error *err);

#endif
