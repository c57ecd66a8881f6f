/* Arrays as views for csrc/watch, and small arrays of its results. */
#define NO_IMPORT_ARRAY
#include "bind/array_numpy.h"

static int refuse(tt_state *state, PyArrayObject *array, const char *wanted)
{
    tt_raise_format(state, TT_BAD_INPUT_TYPE, "expected %s, got an array of %S", wanted,
                    PyArray_DESCR(array));
    return -1;
}

static int describe(tt_state *state, PyArrayObject *array, tt_view *view)
{
    int rank = PyArray_NDIM(array);
    view->dtype = tt_array_dtype_of(state, array);
    if (view->dtype == TT_DTYPE_NONE) return refuse(state, array, "real numbers");
    if (PyArray_ISBYTESWAPPED(array))
        return refuse(state, array, "numbers in native byte order");
    if (rank > TT_MAX_RANK) {
        tt_raise_format(state, TT_BAD_INPUT, "at most %d dims are supported, got %d",
                        TT_MAX_RANK, rank);
        return -1;
    }
    view->rank = rank;
    view->data = PyArray_DATA(array);
    for (int i = 0; i < rank; ++i) {
        view->dims[i] = PyArray_DIM(array, i);
        view->strides[i] = PyArray_STRIDE(array, i);
    }
    return 0;
}

int tt_array_view(tt_state *state, PyObject *object, tt_view *view, PyObject **kept)
{
    bool is_view;
    *kept = PyArray_Check(object) ? Py_NewRef(object)
                                  : tt_array_from_object(state, object, &is_view);
    if (*kept == NULL) {
        tt_raise_format(state, TT_BAD_INPUT_TYPE,
                        "expected an array of real numbers, got %R that cannot be read "
                        "as one",
                        Py_TYPE(object));
        return -1;
    }
    if (describe(state, (PyArrayObject *)*kept, view) == 0) return 0;
    Py_CLEAR(*kept);
    return -1;
}

static PyObject *vector(int64_t n, int type, void **data)
{
    npy_intp dims[1] = {(npy_intp)n};
    PyObject *array = PyArray_SimpleNew(1, dims, type);
    *data = array == NULL ? NULL : PyArray_DATA((PyArrayObject *)array);
    return array;
}

PyObject *tt_array_f64(int64_t n, double **data)
{
    return vector(n, NPY_FLOAT64, (void **)data);
}

PyObject *tt_array_i64(int64_t n, int64_t **data)
{
    return vector(n, NPY_INT64, (void **)data);
}
