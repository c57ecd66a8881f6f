/* What the two halves of the reader share (read.c: file, read_graph.c: graphs). */
#ifndef TT_GRAPH_READ_STATE_H
#define TT_GRAPH_READ_STATE_H

#include "graph/cursor.h"
#include "graph/read.h"

typedef struct {
    int domain; /* string */
    int version;
} tt_opset;

/* The operator that a node's type named last time: nodes repeat few types. */
typedef struct {
    int domain; /* string, -1: nothing found yet */
    int version;
    const tt_op *op;
} tt_op_memo;

typedef struct {
    tt_cursor cursor;
    tt_source *source;
    const tt_limits *limits;
    int n_strings, n_opsets;
    const char **strings;
    tt_opset *opsets;
    tt_op_memo *memos;         /* by string index of op_type */
    int *name_seen;            /* by string: 1 + last graph with a value of this name */
    int64_t *attribute_seen;   /* by string: number of the last node that has it */
    int *depths;               /* of each graph read: 0 without bodies */
    bool *has_parent;          /* of each graph read */
    int64_t n_values, n_nodes; /* of all graphs so far */
} tt_reader;

/* Reads graph number source->n_graphs and appends it there. */
tt_status tt_read_graph(tt_reader *reader, tt_error *err);

#endif
