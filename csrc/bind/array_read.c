/* Arrays, buffers, DLPack tensors and Python numbers -> tensors.
 *
 * Whether an input is read in place or copied is decided here and nowhere else, and
 * every copy is counted. */
#define NO_IMPORT_ARRAY
#include "bind/array_numpy.h"

/* ---- reading ------------------------------------------------------------- */

/* Strides in elements, or why there are none.  Dims of 1 get the stride of the
 * row-major order, so that equal tensors have equal strides. */
static const char *read_strides(PyArrayObject *array, tt_tensor *tensor)
{
    npy_intp n_bytes = PyArray_ITEMSIZE(array);
    const npy_intp *strides = PyArray_STRIDES(array);
    const int64_t *dims = tensor->shape.dims;
    int64_t expected = 1;
    if (!PyArray_ISALIGNED(array)) return "it is not aligned to its elements";
    if (PyArray_IS_C_CONTIGUOUS(array)) {
        tt_strides_row_major(dims, tensor->shape.rank, tensor->strides);
        return NULL;
    }
    for (int i = tensor->shape.rank - 1; i >= 0; --i) {
        if (dims[i] != 1 && strides[i] < 0) return "it has negative strides";
        if (dims[i] != 1 && strides[i] % n_bytes != 0)
            return "its strides are no multiple of its element's size";
        tensor->strides[i] = dims[i] == 1 ? expected : strides[i] / n_bytes;
        expected = tensor->strides[i] * dims[i];
    }
    return NULL;
}

/* Values of `from` may become `to` without being asked: what NumPy calls safe, and
 * any real number as a floating-point number (rounded). */
static bool may_convert(tt_state *state, tt_dtype from, tt_dtype to)
{
    PyObject *a, *b;
    if (from == to) return true;
    if (from == TT_DTYPE_NONE) return false;
    if (tt_dtype_is_float(to))
        return tt_dtype_is_float(from) || tt_dtype_is_int(from) || from == TT_BOOL;
    a = state->dtypes[from];
    b = state->dtypes[to];
    return a != NULL && b != NULL &&
           PyArray_CanCastSafely(tt_type_number(a), tt_type_number(b));
}

/* A row-major array of `dtype` with the values of `object`. */
static PyObject *converted(tt_model_object *model, PyObject *object, tt_dtype dtype)
{
    PyObject *descr = tt_array_dtype(model->state, dtype), *copy;
    if (descr == NULL) return NULL;
    Py_INCREF(descr);
    copy = PyArray_FromAny(
        object, (PyArray_Descr *)descr, 0, 0,
        NPY_ARRAY_CARRAY | NPY_ARRAY_FORCECAST | NPY_ARRAY_ENSURECOPY, NULL);
    if (copy == NULL) return NULL;
    model->n_copies += 1;
    model->bytes_copied += PyArray_NBYTES((PyArrayObject *)copy);
    return copy;
}

static PyObject *refuse_dtype(tt_model_object *model, const tt_input *input,
                              PyArrayObject *array)
{
    const char *want = tt_dtype_name(input->dtype), *as;
    PyArray_Descr *descr = PyArray_DESCR(array);
    char text[64];
    as = tt_array_dtype_text(input->dtype, text, sizeof text);
    if (input->dtype == TT_DTYPE_NONE)
        return tt_raise_format(model->state, TT_BAD_INPUT_TYPE,
                               "input '%s': NumPy dtype %S has no counterpart in ONNX",
                               input->name, descr);
    if (PyArray_ISBYTESWAPPED(array))
        return tt_raise_format(model->state, TT_BAD_INPUT_TYPE,
                               "input '%s': expected %s in native byte order, got %S; "
                               "convert it with x.astype(%s)",
                               input->name, want, descr, as);
    return tt_raise_format(model->state, TT_BAD_INPUT_TYPE,
                           "input '%s': expected dtype %s, got %S; convert it with "
                           "x.astype(%s) if that is what you mean",
                           input->name, want, descr, as);
}

static PyObject *refuse_copy(tt_model_object *model, const tt_input *input,
                             const char *reason)
{
    return tt_raise_format(model->state, TT_BAD_INPUT,
                           "input '%s' cannot be read in place because %s, and a copy "
                           "is not allowed here; pass numpy.ascontiguousarray(x)",
                           input->name, reason);
}

/* Shape, strides and data of an array of the right dtype.  0 done, 1 a copy is
 * needed (*reason), -1 failed. */
static int describe(tt_model_object *model, const tt_input *input, PyArrayObject *array,
                    tt_tensor *tensor, const char **reason)
{
    int rank = PyArray_NDIM(array);
    if (rank > TT_MAX_RANK) {
        tt_raise_format(model->state, TT_BAD_INPUT,
                        "input '%s': at most %d dims are supported, got %d",
                        input->name, TT_MAX_RANK, rank);
        return -1;
    }
    tensor->shape.rank = rank;
    for (int i = 0; i < rank; ++i)
        tensor->shape.dims[i] = PyArray_DIM(array, i);
    tensor->data = PyArray_DATA(array);
    *reason = read_strides(array, tensor);
    return *reason == NULL ? 0 : 1;
}

static int read_array(tt_model_object *model, const tt_input *input,
                      PyArrayObject *array, bool may_copy, tt_tensor *tensor,
                      PyObject **made)
{
    tt_dtype dtype = input->dtype;
    const char *reason = NULL;
    int needs_copy;
    bool matches =
        dtype == TT_DTYPE_NONE || tt_array_has_dtype(model->state, array, dtype);
    if (dtype == TT_DTYPE_NONE) dtype = tt_array_dtype_of(model->state, array);
    if (dtype == TT_DTYPE_NONE || PyArray_ISBYTESWAPPED(array) ||
        (!matches &&
         (!may_copy ||
          !may_convert(model->state, tt_array_dtype_of(model->state, array), dtype)))) {
        refuse_dtype(model, input, array);
        return -1;
    }
    tensor->shape.dtype = dtype;
    if (!matches) reason = "its dtype differs";
    if ((needs_copy = describe(model, input, array, tensor, &reason)) < 0) return -1;
    if (matches && needs_copy == 0) return 0;
    if (!may_copy) {
        refuse_copy(model, input, reason);
        return -1;
    }
    *made = converted(model, (PyObject *)array, dtype);
    if (*made == NULL) return -1;
    return describe(model, input, (PyArrayObject *)*made, tensor, &reason);
}

PyObject *tt_array_from_object(tt_state *state, PyObject *object, bool *is_view)
{
    PyObject *array, *view;
    *is_view = true;
    if (PyObject_CheckBuffer(object) && !PyArray_IsScalar(object, Generic)) {
        view = PyMemoryView_FromObject(object);
        if (view == NULL) return NULL;
        array = PyArray_FromAny(view, NULL, 0, 0, 0, NULL);
        Py_DECREF(view);
        return array;
    }
    if (PyObject_HasAttr((PyObject *)Py_TYPE(object), state->dlpack_name))
        return PyObject_CallOneArg(state->from_dlpack, object);
    *is_view = false;
    return PyArray_FromAny(object, NULL, 0, 0, 0, NULL);
}

/* Python numbers and lists have no dtype of their own: integers fit any integer
 * type that can hold their values (NumPy checks), no items fit everything. */
static bool is_free_to_convert(tt_state *state, PyArrayObject *array, tt_dtype dtype)
{
    if (PyArray_SIZE(array) == 0) return true;
    return tt_dtype_is_int(dtype) && tt_dtype_is_int(tt_array_dtype_of(state, array));
}

static int read_object(tt_model_object *model, const tt_input *input, PyObject *arg,
                       bool may_copy, tt_tensor *tensor, PyObject **made)
{
    bool is_view, matches;
    int status;
    const char *reason;
    PyObject *array = tt_array_from_object(model->state, arg, &is_view), *whole = NULL;
    if (array == NULL) {
        tt_raise_format(model->state, TT_BAD_INPUT_TYPE,
                        "input '%s': expected an array of %s, got %R that cannot be "
                        "read as one",
                        input->name, tt_dtype_name(input->dtype), Py_TYPE(arg));
        return -1;
    }
    matches = input->dtype == TT_DTYPE_NONE ||
              tt_array_has_dtype(model->state, (PyArrayObject *)array, input->dtype);
    if (!is_view && !may_copy) {
        Py_DECREF(array);
        refuse_copy(model, input, "it is no array");
        return -1;
    }
    if (!is_view && !matches &&
        is_free_to_convert(model->state, (PyArrayObject *)array, input->dtype)) {
        *made = converted(model, arg, input->dtype);
        Py_DECREF(array);
        if (*made == NULL) {
            tt_raise_format(model->state, TT_BAD_INPUT_TYPE,
                            "input '%s': the values do not fit into %s", input->name,
                            tt_dtype_name(input->dtype));
            return -1;
        }
        tensor->shape.dtype = input->dtype;
        return describe(model, input, (PyArrayObject *)*made, tensor, &reason);
    }
    status = read_array(model, input, (PyArrayObject *)array, may_copy, tensor, &whole);
    if (status != 0 || whole != NULL) {
        Py_DECREF(array);
        *made = whole;
        return status;
    }
    if (!is_view) {
        model->n_copies += 1;
        model->bytes_copied += PyArray_NBYTES((PyArrayObject *)array);
    }
    *made = array;
    return 0;
}

int tt_array_read(tt_model_object *model, const tt_input *input, PyObject *arg,
                  bool may_copy, tt_tensor *tensor, PyObject **made)
{
    static char absent;
    *made = NULL;
    if (arg == Py_None && input->is_optional) {
        *tensor = (tt_tensor){.shape = {.dtype = TT_NOTHING}, .data = &absent};
        return 0;
    }
    if (tt_dtype_is_counted(input->dtype))
        return tt_object_read(model, input, arg, may_copy, tensor, made);
    if (PyArray_Check(arg))
        return read_array(model, input, (PyArrayObject *)arg, may_copy, tensor, made);
    return read_object(model, input, arg, may_copy, tensor, made);
}
