/* A graph as text, for people (text, dot) and for programs (JSON). */
#ifndef TT_GRAPH_DUMP_H
#define TT_GRAPH_DUMP_H

#include "graph/graph.h"

/* TEXT: one line per node.  DOT: for Graphviz, constants left out.  JSON: one object
 * {name, inputs, outputs, values, nodes}; tensors are named, not numbered. */
typedef enum { TT_DUMP_TEXT, TT_DUMP_DOT, TT_DUMP_JSON } tt_dump_format;

/* Bodies of If, Loop and Scan appear by name only.  *out is freed with tt_free.
 * Only live nodes are shown.  TT_NO_MEMORY. */
tt_status tt_graph_dump(const tt_graph *graph, tt_dump_format format, char **out,
                        tt_error *err);

#endif
