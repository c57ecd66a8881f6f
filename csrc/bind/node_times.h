/* Times of a program's nodes, of the calls that were timed step by step. */
#ifndef TT_BIND_NODE_TIMES_H
#define TT_BIND_NODE_TIMES_H

#include "bind/program.h"

/* One call in so many is timed, from the second on: the first one meets cold caches. */
enum { TT_TIMED_EVERY = 64 };

/* With the GIL.  Zeros are empty. */
typedef struct {
    PyObject *by_node; /* {(node, op_type): (n, ns)}, owned; NULL: none yet */
    uint64_t n_calls;
} tt_node_times;

/* Counts a call: is it to be timed? */
static inline bool tt_node_times_want(tt_node_times *times)
{
    return ++times->n_calls % TT_TIMED_EVERY == 2;
}

/* Adds a call's times; step_ns as tt_plan_run left them.  Never fails: what there is no
 * memory for is left out. */
void tt_node_times_add(tt_node_times *times, const tt_plan *plan,
                       const int64_t *step_ns);
/* [{"node", "op_type", "n", "sum_s"}] in the order in which they first ran; NULL with an
 * exception. */
PyObject *tt_node_times_list(const tt_node_times *times);
void tt_node_times_clear(tt_node_times *times);

#endif
