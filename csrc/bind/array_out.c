/* out= arrays: what can be written in place, what not, and why. */
#define NO_IMPORT_ARRAY
#include "bind/array_numpy.h"

/* ---- out= ---------------------------------------------------------------- */

/* Addresses from the first byte to one past the last; equal when there is none. */
static void extent_of(PyArrayObject *array, uintptr_t *begin, uintptr_t *end)
{
    *begin = *end = (uintptr_t)PyArray_DATA(array);
    if (PyArray_SIZE(array) == 0) return;
    *end += (uintptr_t)PyArray_ITEMSIZE(array);
    for (int i = 0; i < PyArray_NDIM(array); ++i) {
        npy_intp reach = PyArray_STRIDE(array, i) * (PyArray_DIM(array, i) - 1);
        if (reach < 0)
            *begin -= (uintptr_t)-reach;
        else
            *end += (uintptr_t)reach;
    }
}

bool tt_array_overlap(PyObject *a, PyObject *b)
{
    uintptr_t begin_a, end_a, begin_b, end_b;
    extent_of((PyArrayObject *)a, &begin_a, &end_a);
    extent_of((PyArrayObject *)b, &begin_b, &end_b);
    return begin_a < end_b && begin_b < end_a;
}

static bool overlaps(PyArrayObject *array, const tt_tensor *tensor)
{
    uintptr_t begin, end, first = (uintptr_t)tensor->data, last;
    int64_t span = tt_span(&tensor->shape, tensor->strides);
    extent_of(array, &begin, &end);
    last = first + (uintptr_t)span * tt_dtype_bytes(tensor->shape.dtype);
    return begin < last && first < end;
}

static bool has_shape(PyArrayObject *array, const tt_shape *shape)
{
    if (PyArray_NDIM(array) != shape->rank) return false;
    for (int i = 0; i < shape->rank; ++i)
        if (PyArray_DIM(array, i) != shape->dims[i]) return false;
    return true;
}

/* The very same elements, row-major; dtype and shape have been compared. */
static bool is_same(PyArrayObject *array, const tt_tensor *tensor)
{
    int64_t dense[TT_MAX_RANK];
    if (PyArray_DATA(array) != tensor->data || !has_shape(array, &tensor->shape))
        return false;
    tt_strides_row_major(tensor->shape.dims, tensor->shape.rank, dense);
    for (int i = 0; i < tensor->shape.rank; ++i)
        if (tensor->shape.dims[i] != 1 && tensor->strides[i] != dense[i]) return false;
    return true;
}

tt_out tt_array_check_out(tt_state *state, PyObject *out, PyObject *name,
                          const tt_shape *shape, const tt_input *inputs,
                          const tt_tensor *tensors, int n_inputs, int shared,
                          void **data)
{
    PyArrayObject *array = (PyArrayObject *)out;
    char text[128];
    tt_out how = TT_OUT_DIRECT;
    if (!PyArray_Check(out)) {
        tt_raise_format(state, TT_BAD_INPUT_TYPE,
                        "out '%U': expected a numpy.ndarray, got %R", name,
                        Py_TYPE(out));
        return TT_OUT_ERROR;
    }
    if (!tt_array_has_dtype(state, array, shape->dtype) ||
        PyArray_ISBYTESWAPPED(array)) {
        tt_raise_format(state, TT_BAD_INPUT_TYPE, "out '%U': expected dtype %s, got %S",
                        name, tt_dtype_name(shape->dtype), PyArray_DESCR(array));
        return TT_OUT_ERROR;
    }
    if (!has_shape(array, shape)) {
        PyObject *got =
            PyArray_IntTupleFromIntp(PyArray_NDIM(array), PyArray_DIMS(array));
        if (got == NULL) return TT_OUT_ERROR;
        tt_raise_format(state, TT_BAD_INPUT, "out '%U': expected shape %s, got %S",
                        name, tt_shape_text(shape, text, sizeof text), got);
        Py_DECREF(got);
        return TT_OUT_ERROR;
    }
    if (!PyArray_ISWRITEABLE(array)) {
        tt_raise_format(state, TT_BAD_INPUT, "out '%U' is read-only", name);
        return TT_OUT_ERROR;
    }
    if (!PyArray_ISCARRAY(array)) how = TT_OUT_BY_COPY;
    for (int i = 0; i < n_inputs && how == TT_OUT_DIRECT; ++i)
        if (overlaps(array, &tensors[i]) &&
            !(i == shared && is_same(array, &tensors[i]))) {
            tt_raise_format(state, TT_BAD_INPUT,
                            "out '%U' shares memory with input '%s': pass an array of "
                            "its own",
                            name, inputs[i].name);
            return TT_OUT_ERROR;
        }
    *data = PyArray_DATA(array);
    return how;
}

int tt_array_assign(PyObject *dst, PyObject *src)
{
    return PyArray_CopyInto((PyArrayObject *)dst, (PyArrayObject *)src);
}

size_t tt_array_bytes(PyObject *array)
{
    return (size_t)PyArray_NBYTES((PyArrayObject *)array);
}
