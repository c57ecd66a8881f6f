/* What the types of sketches in this folder share. */
#ifndef TT_BIND_SKETCH_H
#define TT_BIND_SKETCH_H

#include "bind/module.h"
#include "watch/view.h"

/* Up to here an array is read with the GIL. */
enum { TT_FEW_ITEMS = 4096 };

static inline bool tt_view_is_short(const tt_view *view)
{
    int64_t n = 1;
    for (int i = 0; i < view->rank && n <= TT_FEW_ITEMS; ++i)
        n *= view->dims[i];
    return n <= TT_FEW_ITEMS;
}

/* (type.from_bytes, (bytes,)) for __reduce__; takes the bytes, NULL stays NULL. */
static inline PyObject *tt_sketch_reduced(PyObject *self, PyObject *bytes)
{
    PyObject *maker;
    if (bytes == NULL) return NULL;
    maker = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "from_bytes");
    if (maker == NULL) {
        Py_DECREF(bytes);
        return NULL;
    }
    return Py_BuildValue("N(N)", maker, bytes);
}

#endif
