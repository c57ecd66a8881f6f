/* trimtab._core.Histogram and .ChannelStatistics: the sketches of csrc/watch.
 *
 * Large arrays are read without the GIL into a sketch of the call's own, which is merged
 * under the GIL: any number of threads may update one object, and a call that fails
 * leaves it as it was. */
#include <math.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "bind/array.h"
#include "bind/sketch.h"
#include "watch/channels.h"
#include "watch/histogram.h"

/* Bytes that `write` fills; how many is known before. */
typedef void write_fn(const void *sketch, tt_writer *writer);

static PyObject *to_bytes(const void *sketch, size_t max_bytes, write_fn *write)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)max_bytes);
    tt_writer writer;
    if (bytes == NULL) return NULL;
    writer.at = (unsigned char *)PyBytes_AS_STRING(bytes);
    write(sketch, &writer);
    if (_PyBytes_Resize(&bytes, (char *)writer.at - PyBytes_AS_STRING(bytes)) < 0)
        return NULL;
    return bytes;
}

/* ---- Histogram ------------------------------------------------------------------ */

typedef struct {
    PyObject ob_base;
    tt_histogram histogram;
} histogram_object;

static tt_histogram *histogram_of(PyObject *object)
{
    return &((histogram_object *)object)->histogram;
}

static PyObject *histogram_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {NULL};
    PyObject *self;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, ":Histogram", names)) return NULL;
    self = type->tp_alloc(type, 0);
    if (self != NULL) tt_histogram_clear(histogram_of(self));
    return self;
}

static void plain_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static tt_status histogram_read(tt_state *state, tt_histogram *histogram,
                                const tt_view *view, tt_error *err)
{
    tt_isa isa = tt_cpu_get()->isa;
    tt_histogram *own;
    tt_unlocked unlocked;
    tt_status status;
    if (tt_view_is_short(view)) return tt_histogram_update(histogram, view, isa, err);
    own = tt_alloc(sizeof *own);
    if (own == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes to count in", sizeof *own);
    tt_unlock(&unlocked, state);
    tt_histogram_clear(own);
    status = tt_histogram_update(own, view, isa, err);
    tt_relock(&unlocked);
    if (status == TT_OK) status = tt_histogram_merge(histogram, own, err);
    tt_free(own);
    return status;
}

static PyObject *histogram_update(PyObject *self, PyObject *object)
{
    tt_state *state = PyType_GetModuleState(Py_TYPE(self));
    tt_error err = {0};
    tt_status status;
    tt_view view;
    PyObject *kept;
    if (tt_array_view(state, object, &view, &kept) < 0) return NULL;
    status = histogram_read(state, histogram_of(self), &view, &err);
    Py_DECREF(kept);
    if (status != TT_OK) return tt_raise(state, status, &err);
    Py_RETURN_NONE;
}

static PyObject *histogram_merge(PyObject *self, PyObject *other)
{
    tt_state *state = PyType_GetModuleState(Py_TYPE(self));
    tt_error err = {0};
    tt_status status;
    if (!Py_IS_TYPE(other, state->histogram_type))
        return PyErr_Format(PyExc_TypeError, "expected a Histogram, got %R",
                            Py_TYPE(other));
    status = tt_histogram_merge(histogram_of(self), histogram_of(other), &err);
    if (status != TT_OK) return tt_raise(state, status, &err);
    Py_RETURN_NONE;
}

static void histogram_write(const void *sketch, tt_writer *writer)
{
    tt_histogram_write(sketch, writer);
}

static PyObject *histogram_to_bytes(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return to_bytes(histogram_of(self), TT_HISTOGRAM_MAX_BYTES, histogram_write);
}

static PyObject *histogram_from_bytes(PyObject *type, PyObject *data)
{
    tt_state *state = PyType_GetModuleState((PyTypeObject *)type);
    tt_error err = {0};
    tt_status status;
    Py_buffer bytes;
    PyObject *self;
    if (PyObject_GetBuffer(data, &bytes, PyBUF_SIMPLE) < 0) return NULL;
    self = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (self != NULL) {
        status =
            tt_histogram_read(histogram_of(self), bytes.buf, (size_t)bytes.len, &err);
        if (status != TT_OK) {
            Py_CLEAR(self);
            tt_raise(state, status, &err);
        }
    }
    PyBuffer_Release(&bytes);
    return self;
}

static PyObject *histogram_reduce(PyObject *self, PyObject *ignored)
{
    return tt_sketch_reduced(self, histogram_to_bytes(self, ignored));
}

static PyObject *histogram_counts(PyObject *self, void *closure)
{
    int64_t *data;
    PyObject *array = tt_array_i64(TT_GRID_CELLS, &data);
    (void)closure;
    if (array != NULL) memcpy(data, histogram_of(self)->counts, TT_GRID_CELLS * 8);
    return array;
}

static double variance_of(const tt_moments *moments)
{
    return moments->n == 0 ? 0.0 : moments->m2 / (double)moments->n;
}

/* A getter of a number of the histogram `h`. */
#define HISTOGRAM_GETTER(name, value)                                    \
    static PyObject *histogram_get_##name(PyObject *self, void *closure) \
    {                                                                    \
        const tt_histogram *h = histogram_of(self);                      \
        (void)closure;                                                   \
        return PyFloat_FromDouble(value);                                \
    }

HISTOGRAM_GETTER(minimum, h->moments.minimum)
HISTOGRAM_GETTER(maximum, h->moments.maximum)
HISTOGRAM_GETTER(mean, h->moments.mean)
HISTOGRAM_GETTER(variance, variance_of(&h->moments))
HISTOGRAM_GETTER(mean_square,
                 h->moments.mean * h->moments.mean + variance_of(&h->moments))
HISTOGRAM_GETTER(width, tt_histogram_width(h))
HISTOGRAM_GETTER(low_edge, tt_histogram_low_edge(h))

static PyObject *histogram_n(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(histogram_of(self)->moments.n);
}

static PyObject *histogram_n_nonfinite(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(histogram_of(self)->moments.n_nonfinite);
}

static PyObject *histogram_repr(PyObject *self)
{
    const tt_moments *m = &histogram_of(self)->moments;
    char text[160];
    if (m->n == 0)
        (void)PyOS_snprintf(text, sizeof text, "Histogram(n=0, n_nonfinite=%lld)",
                            (long long)m->n_nonfinite);
    else
        (void)PyOS_snprintf(text, sizeof text,
                            "Histogram(n=%lld, n_nonfinite=%lld, range=[%.6g, %.6g])",
                            (long long)m->n, (long long)m->n_nonfinite, m->minimum,
                            m->maximum);
    return PyUnicode_FromString(text);
}

static PyMethodDef histogram_methods[] = {
    {"update",     histogram_update,     METH_O,
     "update(array, /)\n\nCounts the items of an array of real numbers."              },
    {"merge",      histogram_merge,      METH_O,
     "merge(other, /)\n\nAdds what another histogram holds."                          },
    {"to_bytes",   histogram_to_bytes,   METH_NOARGS,
     "to_bytes()\n\nThe whole state, about 8 to 16 KB."                               },
    {"from_bytes", histogram_from_bytes, METH_O | METH_CLASS,
     "from_bytes(data, /)\n\nReads one back; InputError if that cannot be."           },
    {"__reduce__", histogram_reduce,     METH_NOARGS,         "Pickles by to_bytes()."},
    {NULL,         NULL,                 0,                   NULL                    },
};

static PyGetSetDef histogram_getters[] = {
    {"n",           histogram_n,               NULL, "finite values",                            NULL},
    {"n_nonfinite", histogram_n_nonfinite,     NULL, "NaN and infinities, left out",             NULL},
    {"counts",      histogram_counts,          NULL, "int64 array of the bins",                  NULL},
    {"minimum",     histogram_get_minimum,     NULL, "smallest finite value; inf while empty",
     NULL                                                                                            },
    {"maximum",     histogram_get_maximum,     NULL, "largest finite value; -inf while empty",
     NULL                                                                                            },
    {"mean",        histogram_get_mean,        NULL, "mean of the finite values; 0 while empty",
     NULL                                                                                            },
    {"variance",    histogram_get_variance,    NULL, "mean of (x - mean)^2",                     NULL},
    {"mean_square", histogram_get_mean_square, NULL, "mean of x^2",                              NULL},
    {"width",       histogram_get_width,       NULL, "of a bin, a power of two; 0 while empty",
     NULL                                                                                            },
    {"low_edge",    histogram_get_low_edge,    NULL, "of the first bin; 0 while empty",          NULL},
    {NULL,          NULL,                      NULL, NULL,                                       NULL},
};

static PyType_Slot histogram_slots[] = {
    TT_SLOT(Py_tp_new, histogram_new),
    TT_SLOT(Py_tp_dealloc, plain_dealloc),
    TT_SLOT(Py_tp_repr, histogram_repr),
    {Py_tp_methods, histogram_methods                                   },
    {Py_tp_getset,  histogram_getters                                   },
    {Py_tp_doc,     "A histogram of arrays that come one after another."},
    {0,             NULL                                                },
};

PyType_Spec tt_histogram_spec = {
    .name = "trimtab._core.Histogram",
    .basicsize = sizeof(histogram_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = histogram_slots,
};

/* ---- ChannelStatistics ------------------------------------------------------------ */

typedef struct {
    PyObject ob_base;
    tt_channels channels;
} channels_object;

static tt_channels *channels_of(PyObject *object)
{
    return &((channels_object *)object)->channels;
}

static PyObject *channels_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, ":ChannelStatistics", names))
        return NULL;
    return type->tp_alloc(type, 0);
}

static void channels_dealloc(PyObject *object)
{
    tt_channels_free(channels_of(object));
    plain_dealloc(object);
}

static tt_status channels_read(tt_state *state, tt_channels *channels,
                               const tt_view *view, int axis, tt_error *err)
{
    tt_isa isa = tt_cpu_get()->isa;
    tt_channels own = {0};
    tt_unlocked unlocked;
    tt_status status;
    if (tt_view_is_short(view))
        return tt_channels_update(channels, view, axis, isa, err);
    tt_unlock(&unlocked, state);
    status = tt_channels_update(&own, view, axis, isa, err);
    tt_relock(&unlocked);
    if (status == TT_OK) status = tt_channels_merge(channels, &own, err);
    tt_channels_free(&own);
    return status;
}

static PyObject *channels_update(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "axis", NULL};
    tt_state *state = PyType_GetModuleState(Py_TYPE(self));
    tt_error err = {0};
    tt_status status;
    tt_view view;
    PyObject *object, *kept;
    int axis = -1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|i:update", names, &object,
                                     &axis))
        return NULL;
    if (tt_array_view(state, object, &view, &kept) < 0) return NULL;
    status = channels_read(state, channels_of(self), &view, axis, &err);
    Py_DECREF(kept);
    if (status != TT_OK) return tt_raise(state, status, &err);
    Py_RETURN_NONE;
}

static PyObject *channels_merge(PyObject *self, PyObject *other)
{
    tt_state *state = PyType_GetModuleState(Py_TYPE(self));
    tt_error err = {0};
    tt_status status;
    if (!Py_IS_TYPE(other, state->channel_statistics_type))
        return PyErr_Format(PyExc_TypeError, "expected a ChannelStatistics, got %R",
                            Py_TYPE(other));
    status = tt_channels_merge(channels_of(self), channels_of(other), &err);
    if (status != TT_OK) return tt_raise(state, status, &err);
    Py_RETURN_NONE;
}

static void channels_write(const void *sketch, tt_writer *writer)
{
    tt_channels_write(sketch, writer);
}

static PyObject *channels_to_bytes(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return to_bytes(channels_of(self), tt_channels_bytes(channels_of(self)),
                    channels_write);
}

static PyObject *channels_from_bytes(PyObject *type, PyObject *data)
{
    tt_state *state = PyType_GetModuleState((PyTypeObject *)type);
    tt_error err = {0};
    tt_status status;
    Py_buffer bytes;
    PyObject *self;
    if (PyObject_GetBuffer(data, &bytes, PyBUF_SIMPLE) < 0) return NULL;
    self = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (self != NULL) {
        status =
            tt_channels_read(channels_of(self), bytes.buf, (size_t)bytes.len, &err);
        if (status != TT_OK) {
            Py_CLEAR(self);
            tt_raise(state, status, &err);
        }
    }
    PyBuffer_Release(&bytes);
    return self;
}

static PyObject *channels_reduce(PyObject *self, PyObject *ignored)
{
    return tt_sketch_reduced(self, channels_to_bytes(self, ignored));
}

static double absmax_of(const tt_channel *channel)
{
    return channel->n == 0 ? 0.0 : fmax(-channel->minimum, channel->maximum);
}

/* A getter of a number of each `channel`. */
#define CHANNEL_GETTER(name, value)                                           \
    static PyObject *channels_get_##name(PyObject *self, void *closure)       \
    {                                                                         \
        const tt_channels *channels = channels_of(self);                      \
        double *data;                                                         \
        PyObject *array = tt_array_f64(channels->n_channels, &data);          \
        (void)closure;                                                        \
        for (int64_t c = 0; array != NULL && c < channels->n_channels; ++c) { \
            const tt_channel *channel = &channels->channels[c];               \
            data[c] = value;                                                  \
        }                                                                     \
        return array;                                                         \
    }

CHANNEL_GETTER(minimum, channel->minimum)
CHANNEL_GETTER(maximum, channel->maximum)
CHANNEL_GETTER(mean, channel->mean)
CHANNEL_GETTER(absmax, absmax_of(channel))

static PyObject *channels_n(PyObject *self, void *closure)
{
    const tt_channels *channels = channels_of(self);
    int64_t *data;
    PyObject *array = tt_array_i64(channels->n_channels, &data);
    (void)closure;
    for (int64_t c = 0; array != NULL && c < channels->n_channels; ++c)
        data[c] = channels->channels[c].n;
    return array;
}

static PyObject *channels_n_channels(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(channels_of(self)->n_channels);
}

static PyObject *channels_n_nonfinite(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(channels_of(self)->n_nonfinite);
}

static PyObject *channels_repr(PyObject *self)
{
    const tt_channels *channels = channels_of(self);
    return PyUnicode_FromFormat("ChannelStatistics(n_channels=%lld, n_nonfinite=%lld)",
                                (long long)channels->n_channels,
                                (long long)channels->n_nonfinite);
}

static PyMethodDef channels_methods[] = {
    {"update",     TT_METHOD(channels_update), METH_VARARGS | METH_KEYWORDS,
     "update(array, /, axis=-1)\n\nReads an array whose channels lie along `axis`."                  },
    {"merge",      channels_merge,             METH_O,
     "merge(other, /)\n\nAdds what another object holds."                                            },
    {"to_bytes",   channels_to_bytes,          METH_NOARGS,
     "to_bytes()\n\nThe whole state, 32 bytes a channel."                                            },
    {"from_bytes", channels_from_bytes,        METH_O | METH_CLASS,
     "from_bytes(data, /)\n\nReads one back; InputError if that cannot be."                          },
    {"__reduce__", channels_reduce,            METH_NOARGS,                  "Pickles by to_bytes()."},
    {NULL,         NULL,                       0,                            NULL                    },
};

static PyGetSetDef channels_getters[] = {
    {"n_channels",  channels_n_channels,  NULL, "0 before the first array",                   NULL},
    {"n",           channels_n,           NULL, "finite values of each channel",              NULL},
    {"n_nonfinite", channels_n_nonfinite, NULL, "NaN and infinities of all",                  NULL},
    {"minimum",     channels_get_minimum, NULL, "smallest value of each channel, or inf",
     NULL                                                                                         },
    {"maximum",     channels_get_maximum, NULL, "largest value of each channel, or -inf",
     NULL                                                                                         },
    {"mean",        channels_get_mean,    NULL, "mean of each channel's finite values, or 0",
     NULL                                                                                         },
    {"absmax",      channels_get_absmax,  NULL, "largest magnitude of each channel, or 0",
     NULL                                                                                         },
    {NULL,          NULL,                 NULL, NULL,                                         NULL},
};

static PyType_Slot channels_slots[] = {
    TT_SLOT(Py_tp_new, channels_new),
    TT_SLOT(Py_tp_dealloc, channels_dealloc),
    TT_SLOT(Py_tp_repr, channels_repr),
    {Py_tp_methods, channels_methods                                     },
    {Py_tp_getset,  channels_getters                                     },
    {Py_tp_doc,     "Range and mean of each channel of arrays that come."},
    {0,             NULL                                                 },
};

PyType_Spec tt_channel_statistics_spec = {
    .name = "trimtab._core.ChannelStatistics",
    .basicsize = sizeof(channels_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = channels_slots,
};
