/* Weights of convolutions as bfloat16. */
#ifndef TT_GRAPH_NARROW_H
#define TT_GRAPH_NARROW_H

#include "graph/graph.h"

/* Weights of one dst channel up to which their sum is worth keeping. */
enum { TT_NARROW_TAPS = 64 };

/* Float32 weights [dst channels, ..] of at most TT_NARROW_TAPS each, rounded to
 * bfloat16 so that the sum of each channel is kept as well as it can be: what a filter
 * makes of a constant input is not shifted.  Some weights go to the other neighbour for
 * that.  A lazy constant that takes a reference to `wide`. */
tt_status tt_constant_narrowed(tt_constant *wide, tt_constant **out, tt_error *err);

#endif
