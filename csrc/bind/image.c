/* Pictures and boxes: resampling, bytes to floats, suppression of boxes.
 *
 * Arguments come through the buffer protocol and are checked here; the work runs
 * without the GIL on the calling thread. */
#include <string.h>

#include "base/alloc.h"
#include "bind/array.h"
#include "kernels/boxes.h"
#include "kernels/image_lut.h"
#include "kernels/image_resize.h"

enum { MAX_BUFFERS = 5, ANY = -1 };

/* Views of the arguments of one call. */
typedef struct {
    Py_buffer views[MAX_BUFFERS];
    int n;
} lent_views;

static void give_back(lent_views *lent)
{
    while (lent->n > 0)
        PyBuffer_Release(&lent->views[--lent->n]);
}

/* A view of `object` with elements of one of `formats` and these dims (ANY: of any size);
 * all but the first dim without gaps.  NULL with an exception set. */
static Py_buffer *lend(lent_views *lent, PyObject *object, const char *name,
                       const char *formats, int rank, const Py_ssize_t *dims)
{
    Py_buffer *view = &lent->views[lent->n];
    Py_ssize_t inner;
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) return NULL;
    ++lent->n;
    if (view->ndim != rank || view->format == NULL || strlen(view->format) != 1 ||
        strchr(formats, view->format[0]) == NULL) {
        PyErr_Format(PyExc_ValueError,
                     "%s: expected %d dims of type '%s', got %d of '%s'", name, rank,
                     formats, view->ndim, view->format == NULL ? "?" : view->format);
        return NULL;
    }
    inner = view->itemsize;
    for (int i = rank - 1; i >= 0; --i) {
        if (view->shape[i] < 1 || (dims[i] != ANY && view->shape[i] != dims[i])) {
            PyErr_Format(PyExc_ValueError, "%s: axis %d has %zd items", name, i,
                         view->shape[i]);
            return NULL;
        }
        if (i == 0 ? view->strides[0] < inner || view->strides[0] % view->itemsize != 0
                   : view->strides[i] != inner) {
            PyErr_Format(PyExc_ValueError, "%s: gaps on axis %d", name, i);
            return NULL;
        }
        if (i > 0) inner *= view->shape[i];
    }
    return view;
}

/* The first view without gaps on axis 0 either. */
static bool is_dense(const Py_buffer *view)
{
    Py_ssize_t inner = view->itemsize;
    for (int i = 1; i < view->ndim; ++i)
        inner *= view->shape[i];
    if (view->strides[0] == inner) return true;
    PyErr_SetString(PyExc_ValueError, "expected an array without gaps");
    return false;
}

static bool read_axis(lent_views *lent, PyObject *first, PyObject *weights,
                      const char *type, Py_ssize_t n_src, tt_image_axis *axis)
{
    Py_ssize_t dims[2] = {ANY, ANY};
    Py_buffer *index = lend(lent, first, "first", "i", 1, dims), *table;
    if (index == NULL || !is_dense(index)) return false;
    dims[0] = index->shape[0];
    table = lend(lent, weights, "weights", type, 2, dims);
    if (table == NULL || !is_dense(table)) return false;
    if (dims[0] > INT32_MAX || table->shape[1] > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "the table is too long");
        return false;
    }
    *axis =
        (tt_image_axis){n_src, dims[0], (int)table->shape[1], index->buf, table->buf};
    return true;
}

/* resize_image(image, x_first, x_weights, y_first, y_weights, math) -> array */
static PyObject *resize_image(PyObject *module, PyObject *args)
{
    PyObject *arguments[MAX_BUFFERS], *result = NULL;
    const Py_ssize_t dims[3] = {ANY, ANY, ANY};
    tt_state *state = tt_state_of(module);
    tt_image_resize resize = {0};
    lent_views lent = {0};
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    tt_shape shape;
    Py_buffer *image;
    void *data;
    int math;
    bool gives_float;
    const char *type;
    if (!PyArg_ParseTuple(args, "OOOOOi:resize_image", &arguments[0], &arguments[1],
                          &arguments[2], &arguments[3], &arguments[4], &math))
        return NULL;
    if (math < 0 || math >= TT_IMAGE_MATH_COUNT)
        return PyErr_Format(PyExc_ValueError, "math: expected 0 to %d, got %d",
                            TT_IMAGE_MATH_COUNT - 1, math);
    type = math == TT_IMAGE_FLOAT || math == TT_IMAGE_ROUNDED ? "f" : "i";
    image = lend(&lent, arguments[0], "image",
                 math == TT_IMAGE_FLOAT || math == TT_IMAGE_COPY ? "Bf" : "B", 3, dims);
    if (image == NULL ||
        !read_axis(&lent, arguments[1], arguments[2], type, image->shape[1],
                   &resize.x) ||
        !read_axis(&lent, arguments[3], arguments[4], type, image->shape[0], &resize.y))
        goto done;
    resize.math = (tt_image_math)math;
    resize.is_float = image->format[0] == 'f';
    resize.n_channels = image->shape[2];
    gives_float = math == TT_IMAGE_FLOAT || resize.is_float;
    shape = (tt_shape){
        .dtype = gives_float ? TT_F32 : TT_U8,
        .rank = 3,
        .dims = {resize.y.n_dst, resize.x.n_dst, resize.n_channels}
    };
    result = tt_array_new(state, &shape, &data);
    if (result == NULL) goto done;
    tt_unlock(&unlocked, state);
    status = tt_image_resize_run(&resize, image->buf, image->strides[0], data, &err);
    tt_relock(&unlocked);
    if (status != TT_OK) {
        Py_CLEAR(result);
        tt_raise(state, status, &err);
    }
done:
    give_back(&lent);
    return result;
}

/* Reads `from`, a tuple of source channels. */
static bool read_channels(PyObject *tuple, Py_ssize_t n_channels, int *from)
{
    Py_ssize_t n = PyTuple_Size(tuple);
    if (n < 0) return false;
    if (n != n_channels || n > TT_IMAGE_LUT_MAX_CHANNELS) {
        PyErr_Format(PyExc_ValueError, "channels: expected %zd, at most %d, got %zd",
                     n_channels, TT_IMAGE_LUT_MAX_CHANNELS, n);
        return false;
    }
    for (Py_ssize_t i = 0; i < n; ++i) {
        long value = PyLong_AsLong(PyTuple_GET_ITEM(tuple, i));
        if (value == -1 && PyErr_Occurred()) return false;
        if (value < 0 || value >= n) {
            PyErr_Format(PyExc_ValueError, "channels: there is no channel %ld", value);
            return false;
        }
        from[i] = (int)value;
    }
    return true;
}

/* image_to_float(image, table, channels, planar) -> array */
static PyObject *image_to_float(PyObject *module, PyObject *args)
{
    PyObject *image_object, *table_object, *channels, *result = NULL;
    Py_ssize_t dims[3] = {ANY, ANY, ANY};
    int planar, from[TT_IMAGE_LUT_MAX_CHANNELS];
    tt_state *state = tt_state_of(module);
    lent_views lent = {0};
    tt_unlocked unlocked;
    Py_buffer *image, *table;
    tt_image_lut lut;
    tt_shape shape = {.dtype = TT_F32, .rank = 3};
    void *data;
    if (!PyArg_ParseTuple(args, "OOO!p:image_to_float", &image_object, &table_object,
                          &PyTuple_Type, &channels, &planar))
        return NULL;
    image = lend(&lent, image_object, "image", "B", 3, dims);
    if (image == NULL || !is_dense(image) ||
        !read_channels(channels, image->shape[2], from))
        goto done;
    dims[0] = image->shape[2];
    dims[1] = 256;
    table = lend(&lent, table_object, "table", "f", 2, dims);
    if (table == NULL || !is_dense(table)) goto done;
    for (int i = 0; i < 3; ++i)
        shape.dims[i] = image->shape[planar ? (i + 2) % 3 : i];
    result = tt_array_new(state, &shape, &data);
    if (result == NULL) goto done;
    lut = (tt_image_lut){image->shape[0] * image->shape[1], (int)image->shape[2],
                         planar != 0, from, table->buf};
    tt_unlock(&unlocked, state);
    tt_image_lut_run(&lut, image->buf, data);
    tt_relock(&unlocked);
done:
    give_back(&lent);
    return result;
}

/* The first n of `kept` as an array. */
static PyObject *array_of_indices(tt_state *state, const int32_t *kept, int64_t n)
{
    tt_shape shape = {.dtype = TT_S32, .rank = 1, .dims = {n}};
    void *data;
    PyObject *result = tt_array_new(state, &shape, &data);
    if (result != NULL && n > 0) memcpy(data, kept, (size_t)n * sizeof *kept);
    return result;
}

/* suppress_boxes(boxes, classes, overlap, n_max) -> indices */
static PyObject *suppress_boxes(PyObject *module, PyObject *args)
{
    PyObject *boxes_object, *classes_object, *result = NULL;
    Py_ssize_t dims[2] = {ANY, 4};
    tt_state *state = tt_state_of(module);
    lent_views lent = {0};
    tt_unlocked unlocked;
    Py_buffer *boxes, *classes = NULL;
    int32_t *kept;
    int64_t n;
    double overlap;
    Py_ssize_t n_max;
    if (!PyArg_ParseTuple(args, "OOdn:suppress_boxes", &boxes_object, &classes_object,
                          &overlap, &n_max))
        return NULL;
    boxes = lend(&lent, boxes_object, "boxes", "f", 2, dims);
    if (boxes == NULL || !is_dense(boxes)) goto done;
    if (classes_object != Py_None) {
        classes = lend(&lent, classes_object, "classes", "i", 1, boxes->shape);
        if (classes == NULL || !is_dense(classes)) goto done;
    }
    if (n_max < 0 || boxes->shape[0] > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "suppress_boxes: %zd of %zd boxes", n_max,
                     boxes->shape[0]);
        goto done;
    }
    if (n_max > boxes->shape[0]) n_max = boxes->shape[0];
    kept = tt_calloc((size_t)n_max + 1, sizeof *kept);
    if (kept == NULL) {
        tt_raise_format(state, TT_NO_MEMORY, "indices of %zd boxes", n_max);
        goto done;
    }
    tt_unlock(&unlocked, state);
    n = tt_boxes_suppress(boxes->buf, classes == NULL ? NULL : classes->buf,
                          boxes->shape[0], overlap, n_max, kept);
    tt_relock(&unlocked);
    result = array_of_indices(state, kept, n);
    tt_free(kept);
done:
    give_back(&lent);
    return result;
}

PyMethodDef tt_image_functions[] = {
    {"resize_image",   resize_image,   METH_VARARGS,
     "resize_image(image, x_first, x_weights, y_first, y_weights, math)\n\n"
     "Pixels (h, w, c) of uint8 or float32, resampled with a table per axis."},
    {"image_to_float", image_to_float, METH_VARARGS,
     "image_to_float(image, table, channels, planar)\n\n"
     "table[c, byte] for each byte, in another order of channels."           },
    {"suppress_boxes", suppress_boxes, METH_VARARGS,
     "suppress_boxes(boxes, classes, overlap, n_max)\n\n"
     "Indices of the boxes that no better one overlaps."                     },
    {NULL,             NULL,           0,            NULL                    },
};
