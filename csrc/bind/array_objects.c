/* Texts, sequences and what is absent: Python objects <-> tensors of references.
 *
 * Arrays of str, lists of arrays and None come in by a copy and go out by another. */
#define NO_IMPORT_ARRAY
#include "bind/array_numpy.h"

#include "base/alloc.h"
#include "kernels/copy.h"

/* ---- texts ---------------------------------------------------------------- */

/* The text of a str or bytes; TT_BAD_INPUT_TYPE for anything else.  No exception. */
static tt_status read_text(PyObject *object, tt_text **out, tt_error *err)
{
    PyObject *bytes;
    tt_status status;
    *out = NULL;
    if (PyUnicode_Check(object))
        bytes = PyUnicode_AsEncodedString(object, "utf-8", "surrogateescape");
    else
        bytes = PyBytes_Check(object) ? Py_NewRef(object) : NULL;
    if (bytes == NULL) {
        PyErr_Clear();
        return tt_fail(err, TT_BAD_INPUT_TYPE, "expected texts (str), got a %s",
                       Py_TYPE(object)->tp_name);
    }
    status = tt_text_new(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes), out,
                         err);
    Py_DECREF(bytes);
    return status;
}

static tt_status fill_texts(PyArrayObject *array, tt_tensor *out, tt_error *err)
{
    tt_shape shape = {.dtype = TT_STRING, .rank = PyArray_NDIM(array)};
    PyObject *const *items = PyArray_DATA(array);
    tt_text **texts;
    for (int i = 0; i < shape.rank; ++i)
        shape.dims[i] = PyArray_DIM(array, i);
    TT_TRY(tt_tensor_new(&shape, out, err));
    texts = out->data;
    for (npy_intp i = 0; i < PyArray_SIZE(array); ++i) {
        tt_status status =
            read_text(items[i] == NULL ? Py_None : items[i], &texts[i], err);
        if (status == TT_OK) continue;
        tt_tensor_free(out);
        return status;
    }
    return TT_OK;
}

/* A tensor of its own from a str, or an array or nested lists of them. */
static tt_status read_texts(PyObject *object, tt_tensor *out, tt_error *err)
{
    PyArray_Descr *descr = PyArray_DescrFromType(NPY_OBJECT);
    PyObject *array = PyArray_FromAny(object, descr, 0, TT_MAX_RANK,
                                      NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST, NULL);
    tt_status status;
    if (array == NULL) {
        PyErr_Clear();
        return tt_fail(err, TT_BAD_INPUT_TYPE,
                       "expected an array of texts of at most %d dims, got a %s",
                       TT_MAX_RANK, Py_TYPE(object)->tp_name);
    }
    status = fill_texts((PyArrayObject *)array, out, err);
    Py_DECREF(array);
    return status;
}

static PyObject *array_of_texts(const tt_tensor *tensor)
{
    npy_intp dims[TT_MAX_RANK];
    tt_text *const *texts = tensor->data;
    PyObject *array;
    for (int i = 0; i < tensor->shape.rank; ++i)
        dims[i] = (npy_intp)tensor->shape.dims[i];
    array = PyArray_SimpleNew(tensor->shape.rank, dims, NPY_OBJECT);
    for (int64_t i = 0; array != NULL && i < tt_shape_numel(&tensor->shape); ++i) {
        PyObject **items = PyArray_DATA((PyArrayObject *)array);
        size_t n_bytes;
        const char *bytes = tt_text_bytes(texts[i], &n_bytes);
        PyObject *text =
            PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)n_bytes, "surrogateescape");
        if (text == NULL)
            Py_CLEAR(array);
        else
            Py_XSETREF(items[i], text);
    }
    return array;
}

/* ---- sequences ------------------------------------------------------------- */

/* A row-major copy of a tensor with any strides. */
static tt_status own_copy(const tt_tensor *tensor, tt_tensor *out, tt_error *err)
{
    size_t item = tt_dtype_bytes(tensor->shape.dtype);
    tt_copy *copy;
    TT_TRY(tt_tensor_new(&tensor->shape, out, err));
    if (tt_copy_compile(item, &tensor->shape, tensor->strides, out->strides, &copy,
                        err) != TT_OK) {
        tt_free(out->data);
        out->data = NULL;
        return TT_NO_MEMORY;
    }
    tt_copy_run(copy, tensor->data, out->data);
    tt_free(copy);
    tt_tensor_own(out);
    return TT_OK;
}

static int raise_at(tt_model_object *model, const tt_input *input, tt_status status,
                    const tt_error *err)
{
    if (status == TT_NO_MEMORY)
        tt_raise(model->state, status, err);
    else
        tt_raise_format(model->state, status, "input '%s': %s", input->name, err->text);
    return -1;
}

/* Adds one array to the list. */
static int read_item(tt_model_object *model, const tt_input *input, PyObject *object,
                     tt_list **list)
{
    const tt_limits *limits = tt_model_graph(model->model)->limits;
    tt_input item = {.key = input->key,
                     .name = input->name,
                     .dtype = input->item == NULL ? TT_DTYPE_NONE : input->item->dtype};
    PyObject *made;
    tt_tensor tensor, owned;
    tt_error err = {0};
    tt_status status;
    if (tt_array_read(model, &item, object, /*may_copy=*/true, &tensor, &made) < 0)
        return -1;
    status = own_copy(&tensor, &owned, &err);
    Py_XDECREF(made);
    if (status == TT_OK) status = tt_list_append(list, &owned, limits, &err);
    return status == TT_OK ? 0 : raise_at(model, input, status, &err);
}

static int read_list(tt_model_object *model, const tt_input *input, PyObject *arg,
                     tt_list **list)
{
    PyObject *items;
    if (!PyList_Check(arg) && !PyTuple_Check(arg)) {
        tt_raise_format(model->state, TT_BAD_INPUT_TYPE,
                        "input '%s': expected a list of arrays, got %R", input->name,
                        Py_TYPE(arg));
        return -1;
    }
    items = PySequence_Tuple(arg); /* a list may change under us */
    for (Py_ssize_t i = 0; items != NULL && i < PyTuple_GET_SIZE(items); ++i)
        if (read_item(model, input, PyTuple_GET_ITEM(items, i), list) < 0)
            Py_CLEAR(items);
    if (items == NULL) return -1;
    Py_DECREF(items);
    return 0;
}

/* A tensor that is no sequence. */
static PyObject *plain_copy_of(tt_state *state, const tt_tensor *tensor)
{
    return tensor->shape.dtype == TT_STRING ? array_of_texts(tensor)
                                            : tt_array_copy_of(state, tensor);
}

static PyObject *list_of_arrays(tt_state *state, const tt_list *list)
{
    PyObject *out = PyList_New((Py_ssize_t)tt_list_n(list));
    for (int64_t i = 0; out != NULL && i < tt_list_n(list); ++i) {
        PyObject *array = plain_copy_of(state, tt_list_at(list, i));
        if (array == NULL)
            Py_CLEAR(out);
        else
            PyList_SET_ITEM(out, (Py_ssize_t)i, array);
    }
    return out;
}

/* ---- arguments --------------------------------------------------------------- */

static void free_kept(PyObject *capsule)
{
    tt_tensor *tensor = PyCapsule_GetPointer(capsule, NULL);
    tt_tensor_free(tensor);
    tt_free(tensor);
}

/* An object that frees the tensor in the end; takes it in any case. */
static PyObject *keep(tt_state *state, tt_tensor *tensor)
{
    tt_tensor *kept = tt_alloc(sizeof *kept);
    PyObject *capsule = kept == NULL ? NULL : PyCapsule_New(kept, NULL, free_kept);
    if (capsule != NULL) {
        *kept = *tensor;
        return capsule;
    }
    tt_free(kept);
    tt_tensor_free(tensor);
    return tt_raise_format(state, TT_NO_MEMORY, "%s", "an argument");
}

int tt_object_read(tt_model_object *model, const tt_input *input, PyObject *arg,
                   bool may_copy, tt_tensor *tensor, PyObject **made)
{
    static const tt_shape sequence = {.dtype = TT_SEQUENCE};
    tt_error err = {0};
    tt_status status;
    if (!may_copy) {
        tt_raise_format(model->state, TT_BAD_INPUT,
                        "input '%s' is a %s, which cannot be read in place, and a copy "
                        "is not allowed here",
                        input->name, tt_dtype_name(input->dtype));
        return -1;
    }
    if (input->dtype == TT_STRING)
        status = read_texts(arg, tensor, &err);
    else
        status = tt_tensor_new(&sequence, tensor, &err);
    if (status != TT_OK) return raise_at(model, input, status, &err);
    if (input->dtype == TT_SEQUENCE && read_list(model, input, arg, tensor->data) < 0) {
        tt_tensor_free(tensor);
        return -1;
    }
    model->n_copies += 1;
    model->bytes_copied += (int64_t)tt_shape_bytes(&tensor->shape);
    *made = keep(model->state, tensor);
    return *made == NULL ? -1 : 0;
}

/* ---- results ------------------------------------------------------------------ */

PyObject *tt_object_copy_of(tt_state *state, const tt_tensor *tensor)
{
    switch ((int)tensor->shape.dtype) {
    case TT_NOTHING:
        Py_RETURN_NONE;
    case TT_SEQUENCE:
        return list_of_arrays(state, tt_tensor_list(tensor));
    default:
        return plain_copy_of(state, tensor);
    }
}

PyObject *tt_object_adopt(tt_state *state, tt_tensor *tensor)
{
    PyObject *object;
    if (!tt_dtype_is_object(tensor->shape.dtype))
        return tt_array_adopt(state, &tensor->shape, tensor->data);
    object = tt_object_copy_of(state, tensor);
    tt_tensor_free(tensor);
    return object;
}

static bool holds_texts(PyObject *object)
{
    int type;
    if (!PyArray_Check(object)) return PyUnicode_Check(object) || PyBytes_Check(object);
    type = PyArray_TYPE((PyArrayObject *)object);
    return type == NPY_OBJECT || type == NPY_UNICODE || type == NPY_STRING ||
           type == NPY_VSTRING;
}

static tt_status plain_to_tensor(tt_state *state, PyObject *object, tt_tensor *out,
                                 tt_error *err)
{
    tt_status status;
    if (!holds_texts(object)) return tt_array_to_tensor(state, object, out, err);
    status = read_texts(object, out, err);
    return status == TT_BAD_INPUT_TYPE
               ? tt_fail(err, TT_CALLBACK,
                         "a fallback returned objects that are no "
                         "texts in an array")
               : status;
}

static bool is_list_of_arrays(PyObject *object)
{
    if (!PyList_CheckExact(object)) return false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(object); ++i)
        if (!PyArray_Check(PyList_GET_ITEM(object, i))) return false;
    return true;
}

tt_status tt_object_to_tensor(tt_state *state, PyObject *object,
                              const tt_limits *limits, tt_tensor *out, tt_error *err)
{
    tt_shape shape = {.dtype = object == Py_None ? TT_NOTHING : TT_SEQUENCE};
    tt_status status;
    if (object != Py_None && !is_list_of_arrays(object))
        return plain_to_tensor(state, object, out, err);
    TT_TRY(tt_tensor_new(&shape, out, err));
    if (object == Py_None) return TT_OK;
    status = TT_OK;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(object) && status == TT_OK; ++i) {
        tt_tensor item;
        status = plain_to_tensor(state, PyList_GET_ITEM(object, i), &item, err);
        if (status == TT_OK) status = tt_list_append(out->data, &item, limits, err);
    }
    if (status != TT_OK) tt_tensor_free(out);
    return status;
}
