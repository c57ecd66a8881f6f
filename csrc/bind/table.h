/* _core.TableSketch for other files of this folder. */
#ifndef TT_BIND_TABLE_H
#define TT_BIND_TABLE_H

#include "bind/module.h"
#include "watch/table.h"

extern PyType_Spec tt_table_sketch_spec;

/* A new object of a table, which it takes in any case. */
PyObject *tt_table_object_new(tt_state *state, tt_table *table);

/* The table of an object, which owns it; NULL and TypeError for any other object. */
tt_table *tt_table_of_object(tt_state *state, PyObject *object);

#endif
