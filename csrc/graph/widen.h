/* Constants of bfloat16 as float32. */
#ifndef TT_GRAPH_WIDEN_H
#define TT_GRAPH_WIDEN_H

#include "graph/graph.h"

/* A constant with the values of `narrow`, a constant of bfloat16; a large one is lazy
 * and takes a reference to it. */
tt_status tt_constant_widened(tt_constant *narrow, tt_constant **out, tt_error *err);

#endif
