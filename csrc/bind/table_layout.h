/* Bins of a table from Python objects. */
#ifndef TT_BIND_TABLE_LAYOUT_H
#define TT_BIND_TABLE_LAYOUT_H

#include "bind/module.h"
#include "watch/table.h"

/* edges: a sequence with, per column, float edges, int64 codes of categories, or None;
 * scales: a sequence of numbers and None, or None. */
tt_table_layout *tt_table_layout_from(tt_state *state, PyObject *edges,
                                      PyObject *scales);

#endif
