/* What holds the weights, lent to the engine: objects with the buffer protocol (bytes,
 * mmap, arrays), and files as (object, descriptor, size, time of change).
 *
 * A file is read, never mapped: one that became shorter would end the process. Its
 * size and time of change must still be those of when it was loaded. */
#include "bind/module.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

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
    *out = (tt_buffer){view->buf, (size_t)view->len, release_view, view, NULL};
    return 0;
}

/* ---- files ----------------------------------------------------------------- */

typedef struct {
    PyObject *keeper; /* closes the descriptor when it goes */
    int descriptor;
    long long size, mtime_ns;
} lent_file;

static void release_file(void *owner)
{
    lent_file *file = owner;
    PyObject *type, *value, *traceback;
    PyGILState_STATE gil;
    if (!Py_IsInitialized()) return;
    gil = PyGILState_Ensure();
    PyErr_Fetch(&type, &value, &traceback);
    Py_DECREF(file->keeper);
    PyMem_Free(file);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
}

/* Whoever writes to a file sets its time first, so looking after reading is enough. */
static tt_status check_unchanged(const lent_file *file, tt_error *err)
{
    struct stat now;
    if (fstat(file->descriptor, &now) == 0 && (long long)now.st_size == file->size &&
        (long long)now.st_mtim.tv_sec * 1000000000 + now.st_mtim.tv_nsec ==
            file->mtime_ns)
        return TT_OK;
    return tt_fail(err, TT_FILE_CHANGED,
                   "the model's file has changed since it was loaded, and weights that "
                   "are needed again were in it: load the model again");
}

/* Without the GIL. */
static tt_status read_file(void *owner, uint64_t offset, size_t n_bytes, void *dst,
                           tt_error *err)
{
    const lent_file *file = owner;
    size_t done = 0;
    while (done < n_bytes) {
        ssize_t n = pread(file->descriptor, (char *)dst + done, n_bytes - done,
                          (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return tt_fail(err, TT_FILE_CHANGED, "the model's file cannot be read: %s",
                           strerror(errno));
        if (n == 0) return check_unchanged(file, err);
        done += (size_t)n;
    }
    return check_unchanged(file, err);
}

static int lend_file(PyObject *tuple, tt_buffer *out)
{
    lent_file *file = PyMem_Calloc(1, sizeof *file);
    if (file == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (!PyArg_ParseTuple(tuple, "OiLL:buffer", &file->keeper, &file->descriptor,
                          &file->size, &file->mtime_ns) ||
        file->descriptor < 0 || file->size < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "a file needs a descriptor and a size");
        PyMem_Free(file);
        return -1;
    }
    Py_INCREF(file->keeper);
    *out = (tt_buffer){NULL, (size_t)file->size, release_file, file, read_file};
    return 0;
}

/* Closes a descriptor when nobody refers to it any more.  In C, since Python handles
 * signals inside of a __del__ written in Python, and an exception there is lost: a
 * Ctrl-C during loading was. */
static void close_descriptor(PyObject *capsule)
{
    int *descriptor = PyCapsule_GetPointer(capsule, NULL);
    if (descriptor == NULL) return;
    (void)close(*descriptor);
    PyMem_Free(descriptor);
}

PyObject *tt_descriptor_keeper(PyObject *module, PyObject *argument)
{
    long value = PyLong_AsLong(argument);
    PyObject *capsule;
    int *descriptor;
    (void)module;
    if (value == -1 && PyErr_Occurred()) return NULL;
    if (value < 0 || value > INT_MAX)
        return PyErr_Format(PyExc_ValueError, "no descriptor: %ld", value);
    descriptor = PyMem_Malloc(sizeof *descriptor);
    if (descriptor == NULL) return PyErr_NoMemory();
    *descriptor = (int)value;
    capsule = PyCapsule_New(descriptor, NULL, close_descriptor);
    if (capsule == NULL) PyMem_Free(descriptor);
    return capsule;
}

/* ---- all of them ------------------------------------------------------------- */

static void give_back(const tt_buffer *buffer)
{
    buffer->release(buffer->owner);
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
    for (Py_ssize_t i = 0; i < length; ++i) {
        PyObject *item = PySequence_Fast_GET_ITEM(list, i);
        int done = PyTuple_CheckExact(item) ? lend_file(item, &buffers[i])
                                            : lend(item, &buffers[i]);
        if (done < 0) {
            while (i-- > 0)
                give_back(&buffers[i]);
            PyMem_Free(buffers);
            Py_DECREF(list);
            return -1;
        }
    }
    Py_DECREF(list);
    *out = buffers;
    *n = (int)length;
    return 0;
}
