/* The casts of a graph to float32 and bfloat16: who reads what as what, and edits. */
#ifndef TT_GRAPH_CASTS_H
#define TT_GRAPH_CASTS_H

#include "graph/graph.h"

typedef enum { TT_AS_F32, TT_AS_BF16, TT_AS_COUNT } tt_cast_as;

/* Valid for the values that the graph had at tt_casts_begin. */
typedef struct {
    tt_graph *graph;
    bool is_native; /* does the processor multiply bfloat16? */
    int n_values;
    int *uses;               /* per value: how often it is read */
    int *casts[TT_AS_COUNT]; /* per value: how many of these are such casts */
    int *wide;               /* per value: the same in float32, or TT_ABSENT */
} tt_casts;

tt_status tt_casts_begin(tt_graph *graph, bool is_native, tt_casts *out, tt_error *err);
void tt_casts_end(tt_casts *casts);

/* What a Cast turns into when that is float32 or bfloat16; TT_DTYPE_NONE for other
 * nodes and for NULL. */
tt_dtype tt_cast_to(const tt_node *node);
/* Is the value read, and by such casts alone? */
bool tt_casts_only(const tt_casts *casts, int value, tt_cast_as as);
static inline tt_dtype tt_casts_dtype(const tt_casts *casts, int value)
{
    return value < 0 ? TT_DTYPE_NONE : casts->graph->values[value].shape.dtype;
}

/* Whoever reads a cast of the value to this type reads the value. */
void tt_casts_drop(tt_casts *casts, int value, tt_cast_as as);
/* A node that makes `to` of `from`, behind the others (tt_graph_sort).  May move the
 * nodes. */
tt_status tt_cast_add(tt_graph *graph, const char *name, int from, int to,
                      tt_dtype dtype, tt_error *err);
/* The same with a new value. */
tt_status tt_cast_new(tt_graph *graph, const char *name, int from, tt_dtype dtype,
                      int *out, tt_error *err);
/* `value` in float32, made once: a constant where it is one.  May move the nodes. */
tt_status tt_casts_widened(tt_casts *casts, const char *name, int value, int *out,
                           tt_error *err);
/* Attention of bfloat16 that ends in node `at`: see mix_attention.c.  Before types are
 * known.  May move the nodes. */
tt_status tt_casts_mix_attention(tt_casts *casts, int at, tt_error *err);
/* Lists of the node's own, to be edited. */
tt_status tt_node_own_lists(tt_graph *graph, tt_node *node, tt_error *err);

#endif
