/* Element types, and tensors -> NumPy arrays.
 *
 * Arrays are made over memory of NumPy's or over a block of the engine's own that a
 * capsule frees. */
#include <string.h>

#include "base/alloc.h"
#include "bind/array_numpy.h"

/* Outputs of these sizes get a block of our own, aligned to a cache line.  Below, it
 * costs more than it gains; above, NumPy asks for huge pages, which gains more (see
 * README.md for the figures). */
enum { OWN_BLOCK_BYTES = 1 << 14, HUGE_PAGES_BYTES = 1 << 22 };

/* ---- dtypes -------------------------------------------------------------- */

static const struct {
    tt_dtype dtype;
    int type;
} numpy_types[] = {
    {TT_BOOL, NPY_BOOL      },
    {TT_S8,   NPY_INT8      },
    {TT_U8,   NPY_UINT8     },
    {TT_S16,  NPY_INT16     },
    {TT_U16,  NPY_UINT16    },
    {TT_S32,  NPY_INT32     },
    {TT_U32,  NPY_UINT32    },
    {TT_S64,  NPY_INT64     },
    {TT_U64,  NPY_UINT64    },
    {TT_F16,  NPY_FLOAT16   },
    {TT_F32,  NPY_FLOAT32   },
    {TT_F64,  NPY_FLOAT64   },
    {TT_C64,  NPY_COMPLEX64 },
    {TT_C128, NPY_COMPLEX128},
};

/* Types NumPy lacks: the name in ml_dtypes and what holds the bits without it. */
static const struct {
    tt_dtype dtype;
    const char *name;
    int bits_type;
} ml_types[] = {
    {TT_BF16,       "bfloat16",        NPY_UINT16},
    {TT_F8E4M3FN,   "float8_e4m3fn",   NPY_UINT8 },
    {TT_F8E4M3FNUZ, "float8_e4m3fnuz", NPY_UINT8 },
    {TT_F8E5M2,     "float8_e5m2",     NPY_UINT8 },
    {TT_F8E5M2FNUZ, "float8_e5m2fnuz", NPY_UINT8 },
    {TT_F8E8M0,     "float8_e8m0fnu",  NPY_UINT8 },
    {TT_F6E2M3,     "float6_e2m3fn",   NPY_UINT8 },
    {TT_F6E3M2,     "float6_e3m2fn",   NPY_UINT8 },
    {TT_F4E2M1,     "float4_e2m1fn",   NPY_UINT8 },
    {TT_U4,         "uint4",           NPY_UINT8 },
    {TT_S4,         "int4",            NPY_UINT8 },
    {TT_U2,         "uint2",           NPY_UINT8 },
    {TT_S2,         "int2",            NPY_UINT8 },
};

enum {
    N_NUMPY = sizeof numpy_types / sizeof numpy_types[0],
    N_ML = sizeof ml_types / sizeof ml_types[0]
};

int tt_array_import(tt_state *state)
{
    import_array1(-1);
    for (int i = 0; i < N_NUMPY; ++i) {
        PyArray_Descr *descr = PyArray_DescrFromType(numpy_types[i].type);
        if (descr == NULL) return -1;
        state->dtypes[numpy_types[i].dtype] = (PyObject *)descr;
    }
    return 0;
}

/* Imports ml_dtypes when it is there. */
static PyArray_Descr *ml_descr(int i)
{
    PyObject *module = PyImport_ImportModule("ml_dtypes"), *type;
    PyArray_Descr *descr = NULL;
    if (module == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError)) return NULL;
        PyErr_Clear();
        return PyArray_DescrFromType(ml_types[i].bits_type);
    }
    type = PyObject_GetAttrString(module, ml_types[i].name);
    Py_DECREF(module);
    if (type == NULL) {
        PyErr_Clear();
        return PyArray_DescrFromType(ml_types[i].bits_type);
    }
    if (PyArray_DescrConverter(type, &descr) != NPY_SUCCEED) descr = NULL;
    Py_DECREF(type);
    return descr;
}

const char *tt_array_dtype_text(tt_dtype dtype, char *text, size_t n)
{
    for (int i = 0; i < N_ML; ++i)
        if (ml_types[i].dtype == dtype) {
            snprintf(text, n, "ml_dtypes.%s", ml_types[i].name);
            return text;
        }
    snprintf(text, n, "'%s'", tt_dtype_name(dtype));
    return text;
}

PyObject *tt_array_dtype(tt_state *state, tt_dtype dtype)
{
    if ((unsigned)dtype >= TT_DTYPE_COUNT) dtype = TT_DTYPE_NONE;
    if (state->dtypes[dtype] != NULL) return state->dtypes[dtype];
    for (int i = 0; i < N_ML; ++i)
        if (ml_types[i].dtype == dtype) {
            state->dtypes[dtype] = (PyObject *)ml_descr(i);
            return state->dtypes[dtype];
        }
    return tt_raise_format(state, TT_UNSUPPORTED,
                           "tensors of dtype %s cannot be NumPy arrays",
                           tt_dtype_name(dtype));
}

tt_dtype tt_array_dtype_of(tt_state *state, PyArrayObject *array)
{
    int type = PyArray_TYPE(array);
    for (int i = 0; i < N_NUMPY; ++i)
        if (numpy_types[i].type == type) return numpy_types[i].dtype;
    /* long and long long are two NumPy types of one size */
    if (type == NPY_LONGLONG) return TT_S64;
    if (type == NPY_ULONGLONG) return TT_U64;
    if (type < NPY_USERDEF) return TT_DTYPE_NONE;
    for (int i = 0; i < N_ML; ++i) {
        PyObject *descr = tt_array_dtype(state, ml_types[i].dtype);
        if (descr == NULL)
            PyErr_Clear();
        else if (tt_type_number(descr) == type)
            return ml_types[i].dtype;
    }
    return TT_DTYPE_NONE;
}

bool tt_array_has_dtype(tt_state *state, PyArrayObject *array, tt_dtype dtype)
{
    PyObject *descr = state->dtypes[dtype];
    if (descr != NULL && tt_type_number(descr) == PyArray_TYPE(array)) return true;
    if (tt_array_dtype_of(state, array) == dtype) return true;
    for (int i = 0; i < N_ML; ++i) {
        if (ml_types[i].dtype != dtype) continue;
        /* a uint8 may hold what an element below a byte cannot */
        if (tt_dtype_bits(dtype) >= 8)
            return PyArray_TYPE(array) == ml_types[i].bits_type;
        descr = tt_array_dtype(state, dtype);
        if (descr == NULL) PyErr_Clear();
        return descr != NULL && tt_type_number(descr) == PyArray_TYPE(array);
    }
    return false;
}

/* ---- making -------------------------------------------------------------- */

static void free_block(PyObject *capsule)
{
    tt_free(PyCapsule_GetPointer(capsule, NULL));
}

static void to_npy_dims(const tt_shape *shape, npy_intp *dims)
{
    for (int i = 0; i < shape->rank; ++i)
        dims[i] = (npy_intp)shape->dims[i];
}

PyObject *tt_array_adopt(tt_state *state, const tt_shape *shape, void *block)
{
    npy_intp dims[TT_MAX_RANK];
    PyObject *descr = tt_array_dtype(state, shape->dtype), *owner, *array;
    if (descr == NULL) {
        tt_free(block);
        return NULL;
    }
    owner = PyCapsule_New(block, NULL, free_block);
    if (owner == NULL) {
        tt_free(block);
        return NULL;
    }
    to_npy_dims(shape, dims);
    Py_INCREF(descr);
    array = PyArray_NewFromDescr(&PyArray_Type, (PyArray_Descr *)descr, shape->rank,
                                 dims, NULL, block, NPY_ARRAY_CARRAY, NULL);
    if (array == NULL) {
        Py_DECREF(owner);
        return NULL;
    }
    if (PyArray_SetBaseObject((PyArrayObject *)array, owner) < 0) {
        Py_DECREF(array);
        return NULL;
    }
    return array;
}

PyObject *tt_array_new(tt_state *state, const tt_shape *shape, void **data)
{
    npy_intp dims[TT_MAX_RANK];
    PyObject *descr = tt_array_dtype(state, shape->dtype), *array;
    size_t n_bytes = tt_shape_bytes(shape);
    if (descr == NULL) return NULL;
    if (n_bytes >= OWN_BLOCK_BYTES && n_bytes < HUGE_PAGES_BYTES) {
        *data = tt_alloc(n_bytes);
        if (*data == NULL)
            return tt_raise_format(state, TT_NO_MEMORY, "an output of %zu bytes",
                                   n_bytes);
        return tt_array_adopt(state, shape, *data);
    }
    to_npy_dims(shape, dims);
    Py_INCREF(descr);
    array = PyArray_Empty(shape->rank, dims, (PyArray_Descr *)descr, /*fortran=*/0);
    if (array != NULL) *data = PyArray_DATA((PyArrayObject *)array);
    return array;
}

PyObject *tt_array_copy_of(tt_state *state, const tt_tensor *tensor)
{
    void *data;
    PyObject *array = tt_array_new(state, &tensor->shape, &data);
    size_t n_bytes = tt_shape_bytes(&tensor->shape);
    if (array != NULL && n_bytes > 0) memcpy(data, tensor->data, n_bytes);
    return array;
}

PyObject *tt_array_int64(Py_ssize_t n_rows, Py_ssize_t n_columns, int64_t **data)
{
    npy_intp dims[2] = {n_rows, n_columns};
    PyObject *array = PyArray_SimpleNew(2, dims, NPY_INT64);
    if (array != NULL) *data = PyArray_DATA((PyArrayObject *)array);
    return array;
}

tt_status tt_array_to_tensor(tt_state *state, PyObject *object, tt_tensor *out,
                             tt_error *err)
{
    tt_status status = TT_OK;
    PyObject *any = PyArray_FromAny(object, NULL, 0, TT_MAX_RANK,
                                    NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED, NULL);
    PyArrayObject *array = (PyArrayObject *)any;
    if (array == NULL) {
        PyErr_Clear();
        return tt_fail(err, TT_CALLBACK, "a fallback returned a %s, expected an array",
                       Py_TYPE(object)->tp_name);
    }
    out->shape.dtype = tt_array_dtype_of(state, array);
    out->shape.rank = PyArray_NDIM(array);
    for (int i = 0; i < out->shape.rank; ++i)
        out->shape.dims[i] = PyArray_DIM(array, i);
    if (out->shape.dtype == TT_DTYPE_NONE) {
        status = tt_fail(err, TT_CALLBACK,
                         "a fallback returned an array of dtype '%c%d', which tensors "
                         "cannot hold",
                         PyArray_DESCR(array)->kind, (int)PyArray_ITEMSIZE(array));
        goto done;
    }
    tt_strides_row_major(out->shape.dims, out->shape.rank, out->strides);
    out->data = tt_alloc((size_t)PyArray_NBYTES(array));
    if (out->data == NULL) {
        status = tt_fail(err, TT_NO_MEMORY, "a fallback's result of %lld bytes",
                         (long long)PyArray_NBYTES(array));
        goto done;
    }
    memcpy(out->data, PyArray_DATA(array), (size_t)PyArray_NBYTES(array));
done:
    Py_DECREF(any);
    return status;
}
