/* trimtab._core.TableSketch: csrc/watch/table.h as a Python type.
 *
 * The table has its own lock, so the GIL is only for Python: large arrays are read
 * without it. */
#include "bind/table.h"

#include "base/alloc.h"
#include "base/cpu.h"
#include "bind/array.h"
#include "bind/sketch.h"
#include "bind/table_layout.h"

typedef struct {
    PyObject ob_base;
    tt_table *table;
} table_object;

static tt_table *table_of(PyObject *object)
{
    return ((table_object *)object)->table;
}

static tt_state *state_of(PyObject *object)
{
    return PyType_GetModuleState(Py_TYPE(object));
}

PyObject *tt_table_object_new(tt_state *state, tt_table *table)
{
    PyTypeObject *type = state->table_sketch_type;
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL)
        tt_table_free(table);
    else
        ((table_object *)self)->table = table;
    return self;
}

tt_table *tt_table_of_object(tt_state *state, PyObject *object)
{
    if (Py_IS_TYPE(object, state->table_sketch_type)) return table_of(object);
    PyErr_Format(PyExc_TypeError, "expected a TableSketch, got %R", Py_TYPE(object));
    return NULL;
}

/* An empty table of a layout, whose reference it takes. */
static PyObject *empty_of(tt_state *state, tt_table_layout *layout)
{
    tt_error err = {0};
    tt_table *table;
    tt_status status = tt_table_new(layout, &table, &err);
    tt_table_layout_unref(layout);
    return status == TT_OK ? tt_table_object_new(state, table)
                           : tt_raise(state, status, &err);
}

static PyObject *sketch_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"edges", "scales", NULL};
    tt_state *state = PyType_GetModuleState(type);
    PyObject *edges, *scales = Py_None;
    tt_table_layout *layout;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:TableSketch", names, &edges,
                                     &scales))
        return NULL;
    layout = tt_table_layout_from(state, edges, scales);
    return layout == NULL ? NULL : empty_of(state, layout);
}

static void sketch_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    tt_table_free(table_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- updates ---------------------------------------------------------------------- */

/* column: -1 for all of them. */
static tt_status add(tt_table *table, int64_t column, const tt_view *view,
                     tt_error *err)
{
    tt_isa isa = tt_cpu_get()->isa;
    return column < 0 ? tt_table_update(table, view, isa, err)
                      : tt_table_update_column(table, column, view, isa, err);
}

/* -1 for None, -2 with an exception. */
static int64_t column_from(tt_state *state, const tt_table *table, PyObject *object)
{
    int64_t n = tt_table_layout_n_columns(tt_table_layout_of(table)), column;
    if (object == Py_None) return -1;
    column = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (column == -1 && PyErr_Occurred()) return -2;
    if (column >= -n && column < n) return column < 0 ? column + n : column;
    tt_raise_format(state, TT_BAD_INPUT, "column %R is outside [-%lld, %lld)", object,
                    (long long)n, (long long)n);
    return -2;
}

static PyObject *sketch_update(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                               PyObject *keywords)
{
    tt_state *state = state_of(self);
    Py_ssize_t n_keywords = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    tt_table *table = table_of(self);
    int64_t column = -1;
    tt_error err = {0};
    tt_unlocked unlocked;
    tt_status status;
    tt_view view;
    PyObject *kept;
    if (n_args != 1 || n_keywords > 1 ||
        (n_keywords == 1 &&
         !tt_keyword_is(PyTuple_GET_ITEM(keywords, 0), state->column_keyword)))
        return PyErr_Format(PyExc_TypeError,
                            "update(array, /, *, column=None) got %zd positional and "
                            "%zd keyword arguments",
                            n_args, n_keywords);
    if (n_keywords == 1) column = column_from(state, table, args[1]);
    if (column < -1 || tt_array_view(state, args[0], &view, &kept) < 0) return NULL;
    if (tt_view_is_short(&view))
        status = add(table, column, &view, &err);
    else {
        tt_unlock(&unlocked, state);
        status = add(table, column, &view, &err);
        tt_relock(&unlocked);
    }
    Py_DECREF(kept);
    if (status != TT_OK) return tt_raise(state, status, &err);
    Py_RETURN_NONE;
}

static PyObject *sketch_merge(PyObject *self, PyObject *other)
{
    tt_state *state = state_of(self);
    tt_table *from = tt_table_of_object(state, other);
    tt_error err = {0};
    tt_status status;
    if (from == NULL) return NULL;
    status = tt_table_merge(table_of(self), from, &err);
    if (status != TT_OK) return tt_raise(state, status, &err);
    Py_RETURN_NONE;
}

static PyObject *sketch_clear(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    tt_table_clear(table_of(self));
    Py_RETURN_NONE;
}

static PyObject *sketch_copy(PyObject *self, PyObject *ignored)
{
    tt_state *state = state_of(self);
    tt_error err = {0};
    tt_table *copy;
    tt_status status = tt_table_copy(table_of(self), &copy, &err);
    (void)ignored;
    return status == TT_OK ? tt_table_object_new(state, copy)
                           : tt_raise(state, status, &err);
}

static PyObject *sketch_empty(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return empty_of(state_of(self),
                    tt_table_layout_ref(tt_table_layout_of(table_of(self))));
}

static PyObject *sketch_has_bins_of(PyObject *self, PyObject *other)
{
    tt_table *table = tt_table_of_object(state_of(self), other);
    if (table == NULL) return NULL;
    return PyBool_FromLong(tt_table_layout_equal(tt_table_layout_of(table),
                                                 tt_table_layout_of(table_of(self))));
}

/* ---- bytes ------------------------------------------------------------------------ */

static PyObject *bytes_of(tt_table *table, bool has_layout)
{
    const tt_table_layout *layout = tt_table_layout_of(table);
    size_t n_bytes = tt_table_max_bytes(table);
    PyObject *bytes;
    tt_writer writer;
    if (has_layout) n_bytes += tt_table_layout_bytes(layout); /* far below 2^63 */
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n_bytes);
    if (bytes == NULL) return NULL;
    writer.at = (unsigned char *)PyBytes_AS_STRING(bytes);
    if (has_layout) tt_table_layout_write(layout, &writer);
    tt_table_write(table, &writer);
    (void)_PyBytes_Resize(&bytes, (char *)writer.at - PyBytes_AS_STRING(bytes));
    return bytes; /* NULL if that failed */
}

static PyObject *sketch_to_bytes(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"layout", NULL};
    int has_layout = true;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$p:to_bytes", names,
                                     &has_layout))
        return NULL;
    return bytes_of(table_of(self), has_layout);
}

/* Reads a table, and before it its layout, unless there is one. */
static tt_status read_table(tt_table_layout *given, const void *data, size_t n_bytes,
                            tt_table **out, tt_error *err)
{
    tt_reader reader = {data, n_bytes, false};
    tt_table_layout *layout;
    tt_status status;
    if (given != NULL) return tt_table_read(given, data, n_bytes, out, err);
    TT_TRY(tt_table_layout_read(&reader, &layout, err));
    status = tt_table_read(layout, reader.at, reader.n_left, out, err);
    tt_table_layout_unref(layout);
    return status;
}

static PyObject *sketch_from_bytes(PyObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "layout", NULL};
    tt_state *state = PyType_GetModuleState((PyTypeObject *)type);
    tt_table_layout *layout = NULL;
    tt_error err = {0};
    PyObject *like = Py_None;
    tt_status status;
    tt_table *table;
    Py_buffer bytes;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*|$O:from_bytes", names, &bytes,
                                     &like))
        return NULL;
    if (like != Py_None) {
        table = tt_table_of_object(state, like);
        if (table == NULL) {
            PyBuffer_Release(&bytes);
            return NULL;
        }
        layout = tt_table_layout_of(table);
    }
    status = read_table(layout, bytes.buf, (size_t)bytes.len, &table, &err);
    PyBuffer_Release(&bytes);
    return status == TT_OK ? tt_table_object_new(state, table)
                           : tt_raise(state, status, &err);
}

static PyObject *sketch_reduce(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return tt_sketch_reduced(self, bytes_of(table_of(self), /*has_layout=*/true));
}

/* ---- what it holds ---------------------------------------------------------------- */

static int64_t n_columns_of(PyObject *self)
{
    return tt_table_layout_n_columns(tt_table_layout_of(table_of(self)));
}

/* A getter of a field of each column's summary. */
#define SUMMARY_GETTER(kind, type, name)                                  \
    static PyObject *sketch_get_##name(PyObject *self, void *closure)     \
    {                                                                     \
        type *data;                                                       \
        PyObject *array = tt_array_##kind(n_columns_of(self), &data);     \
        (void)closure;                                                    \
        for (int64_t c = 0; array != NULL && c < n_columns_of(self); ++c) \
            data[c] = tt_table_summarize(table_of(self), c).name;         \
        return array;                                                     \
    }

SUMMARY_GETTER(i64, int64_t, n)
SUMMARY_GETTER(i64, int64_t, n_missing)
SUMMARY_GETTER(i64, int64_t, n_infinite)
SUMMARY_GETTER(i64, int64_t, n_clamped)
SUMMARY_GETTER(f64, double, minimum)
SUMMARY_GETTER(f64, double, maximum)
SUMMARY_GETTER(f64, double, mean)
SUMMARY_GETTER(f64, double, variance)
SUMMARY_GETTER(f64, double, n_distinct)

static PyObject *counts_of(PyObject *self, int64_t column)
{
    tt_table *table = table_of(self);
    int64_t n = tt_table_layout_column(tt_table_layout_of(table), column).n, *data;
    PyObject *array = tt_array_i64(n + 1, &data);
    if (array != NULL) tt_table_counts(table, column, data);
    return array;
}

static PyObject *edges_of(PyObject *self, int64_t column)
{
    tt_table_column bins =
        tt_table_layout_column(tt_table_layout_of(table_of(self)), column);
    size_t n_bytes = (size_t)bins.n * sizeof(double); /* or codes, of the same size */
    int64_t *codes;
    double *edges;
    PyObject *array;
    if (bins.is_categorical) {
        array = tt_array_i64(bins.n, &codes);
        if (array != NULL && bins.n > 0) memcpy(codes, bins.codes, n_bytes);
    } else {
        array = tt_array_f64(bins.n, &edges);
        if (array != NULL && bins.n > 0) memcpy(edges, bins.edges, n_bytes);
    }
    return array;
}

static PyObject *list_of(PyObject *self, PyObject *(*item_of)(PyObject *, int64_t))
{
    PyObject *list = PyList_New((Py_ssize_t)n_columns_of(self));
    for (Py_ssize_t c = 0; list != NULL && c < PyList_GET_SIZE(list); ++c) {
        PyObject *item = item_of(self, c);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, c, item);
    }
    return list;
}

static PyObject *sketch_counts(PyObject *self, void *closure)
{
    (void)closure;
    return list_of(self, counts_of);
}

static PyObject *sketch_edges(PyObject *self, void *closure)
{
    (void)closure;
    return list_of(self, edges_of);
}

static PyObject *sketch_n_rows(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(tt_table_n_rows(table_of(self)));
}

static PyObject *sketch_n_columns(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(n_columns_of(self));
}

static PyObject *sketch_nbytes(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(tt_table_memory_bytes(table_of(self)));
}

static PyObject *sketch_repr(PyObject *self)
{
    return PyUnicode_FromFormat("TableSketch(n_columns=%lld, n_rows=%lld)",
                                (long long)n_columns_of(self),
                                (long long)tt_table_n_rows(table_of(self)));
}

static PyMethodDef methods[] = {
    {"update",      TT_METHOD(sketch_update),     METH_FASTCALL | METH_KEYWORDS,
     "update(array, /, *, column=None)\n\nCounts the rows of an array, or items of one "
     "column."                                                                                                            },
    {"merge",       sketch_merge,                 METH_O,
     "merge(other, /)\n\nAdds what another sketch of the same bins holds."                                                },
    {"clear",       sketch_clear,                 METH_NOARGS,                   "clear()\n\nForgets all but the bins."   },
    {"copy",        sketch_copy,                  METH_NOARGS,                   "copy()\n\nA sketch that holds the same."},
    {"empty",       sketch_empty,                 METH_NOARGS,
     "empty()\n\nAn empty sketch of the same bins, which both share."                                                     },
    {"has_bins_of", sketch_has_bins_of,           METH_O,
     "has_bins_of(other, /)\n\nCan the two be merged?"                                                                    },
    {"to_bytes",    TT_METHOD(sketch_to_bytes),   METH_VARARGS | METH_KEYWORDS,
     "to_bytes(*, layout=True)\n\nThe whole state, with the bins unless told."                                            },
    {"from_bytes",  TT_METHOD(sketch_from_bytes),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "from_bytes(data, /, *, layout=None)\n\nReads one back, without bins for those of "
     "another sketch; InputError if that cannot be."                                                                      },
    {"__copy__",    sketch_copy,                  METH_NOARGS,                   "copy()"                                 },
    {"__reduce__",  sketch_reduce,                METH_NOARGS,                   "Pickles by to_bytes()."                 },
    {NULL,          NULL,                         0,                             NULL                                     },
};

static PyGetSetDef getters[] = {
    {"counts",     sketch_counts,         NULL, "per column, counts of its bins",       NULL},
    {"edges",      sketch_edges,          NULL, "per column, its edges or codes",       NULL},
    {"n_rows",     sketch_n_rows,         NULL, "rows that came: the most of a column", NULL},
    {"n_columns",  sketch_n_columns,      NULL, "columns",                              NULL},
    {"nbytes",     sketch_nbytes,         NULL, "bytes in memory, without the bins",    NULL},
    {"n",          sketch_get_n,          NULL, "values in the counts, per column",     NULL},
    {"n_missing",  sketch_get_n_missing,  NULL, "NaN, per column",                      NULL},
    {"n_infinite", sketch_get_n_infinite, NULL, "infinities, per column",               NULL},
    {"n_clamped",  sketch_get_n_clamped,  NULL, "values too far away for the sums",     NULL},
    {"minimum",    sketch_get_minimum,    NULL, "smallest finite value, or NaN",        NULL},
    {"maximum",    sketch_get_maximum,    NULL, "largest finite value, or NaN",         NULL},
    {"mean",       sketch_get_mean,       NULL, "mean of the finite values, or NaN",    NULL},
    {"variance",   sketch_get_variance,   NULL, "population variance, or NaN",          NULL},
    {"n_distinct", sketch_get_n_distinct, NULL, "different values, estimated",          NULL},
    {NULL,         NULL,                  NULL, NULL,                                   NULL},
};

static PyType_Slot slots[] = {
    TT_SLOT(Py_tp_new, sketch_new),
    TT_SLOT(Py_tp_dealloc, sketch_dealloc),
    TT_SLOT(Py_tp_repr, sketch_repr),
    {Py_tp_methods, methods                                                           },
    {Py_tp_getset,  getters                                                           },
    {Py_tp_doc,     "What columns of tables hold, counted in the bins of a reference."},
    {0,             NULL                                                              },
};

PyType_Spec tt_table_sketch_spec = {
    .name = "trimtab._core.TableSketch",
    .basicsize = sizeof(table_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
