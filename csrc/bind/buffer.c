/* Objects with the buffer protocol (bytes, mmap, arrays) lent to the engine. */
#include "bind/module.h"

/* The engine may let go of a buffer on any thread, with or without the GIL, and
 * while an exception is pending. */
static void release_view(void *owner)
{
    Py_buffer *view = owner;
    PyObject *type, *value, *traceback;
    PyGILState_STATE gil;
    if (!Py_IsInitialized()) return;
    gil = PyGILState_Ensure();
    PyErr_Fetch(&type, &value, &traceback);
    PyBuffer_Release(view);
    PyMem_Free(view);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
}

static int lend(PyObject *object, tt_buffer *out)
{
    Py_buffer *view = PyMem_Malloc(sizeof *view);
    if (view == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0) {
        PyMem_Free(view);
        return -1;
    }
    *out = (tt_buffer){view->buf, (size_t)view->len, release_view, view};
    return 0;
}

int tt_buffers_from_sequence(PyObject *sequence, tt_buffer **out, int *n)
{
    PyObject *list = PySequence_Fast(sequence, "buffers must be a sequence");
    Py_ssize_t length;
    tt_buffer *buffers;
    *out = NULL;
    *n = 0;
    if (list == NULL) return -1;
    length = PySequence_Fast_GET_SIZE(list);
    buffers =
        length > INT32_MAX ? NULL : PyMem_Calloc((size_t)length + 1, sizeof *buffers);
    if (buffers == NULL) {
        Py_DECREF(list);
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < length; ++i)
        if (lend(PySequence_Fast_GET_ITEM(list, i), &buffers[i]) < 0) {
            while (i-- > 0)
                release_view(buffers[i].owner);
            PyMem_Free(buffers);
            Py_DECREF(list);
            return -1;
        }
    Py_DECREF(list);
    *out = buffers;
    *n = (int)length;
    return 0;
}
