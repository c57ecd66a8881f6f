/* NumPy's C API, for the files array*.c and no others.
 *
 * The table of functions is imported by array.c; the others define NO_IMPORT_ARRAY
 * before they include this. */
#ifndef TT_BIND_ARRAY_NUMPY_H
#define TT_BIND_ARRAY_NUMPY_H

#include "bind/array.h"

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL tt_numpy_api
/* The table holds void pointers that are called as functions. */
#pragma GCC diagnostic ignored "-Wpedantic"
#include <numpy/arrayobject.h>

/* The tt_dtype of an array's elements; TT_DTYPE_NONE when there is none. */
tt_dtype tt_array_dtype_of(tt_state *state, PyArrayObject *array);
/* Does the array hold elements of `dtype`?  The bits of a type NumPy lacks may come
 * as unsigned integers. */
bool tt_array_has_dtype(tt_state *state, PyArrayObject *array, tt_dtype dtype);

/* The object as an array: of its memory where it has some (*is_view), else a copy. */
PyObject *tt_array_from_object(tt_state *state, PyObject *object, bool *is_view);

static inline int tt_type_number(PyObject *descr)
{
    return ((PyArray_Descr *)descr)->type_num;
}

#endif
